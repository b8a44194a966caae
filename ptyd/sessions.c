/* SPDX-License-Identifier: MIT */
/*
 * The life of a session as the broker sees it, what is pending about it, and the list of all for
 * placerd. See broker.h.
 */
#include "ptyd/broker.h"

#include <fcntl.h>
#include <stdlib.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"

#define JOIN_MS 3000
#define RETRY_MS 200
#define END_MS 3000    /* then the spawner kills */
#define LATE_MS 60000  /* an answer that nobody waits for is still listened to */
#define KEEP_MS 600000 /* the final state, after placerd has it */

struct broker broker = { .sessions = TAILQ_HEAD_INITIALIZER(broker.sessions),
	.forgotten = TAILQ_HEAD_INITIALIZER(broker.forgotten),
	.of_all = SLIST_HEAD_INITIALIZER(broker.of_all) };

static const char *const stage_names[] = { "making", "joining", "live", "apart", "foreign" };

/* --- pending requests --- */

static struct pendings *
pendings_of(struct session *s)
{
	return s ? &s->pendings : &broker.of_all;
}

struct pending *
pending_new(struct session *s, const struct msg *m, enum msg_phase phase, uint64_t timeout_ms)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct pending){ .session = s,
		.id = m->request_id,
		.trace = m->trace,
		.phase = phase };
	if (!requests_add(broker.requests, p->id, phase, &p->trace, timeout_ms, p)) {
		free(p);
		return NULL;
	}
	SLIST_INSERT_HEAD(pendings_of(s), p, next);
	return p;
}

struct pending *
pending_find(uint64_t id, const struct session *s, enum msg_phase phase)
{
	struct request *r = requests_find(broker.requests, id);
	struct pending *p = r ? r->data : NULL;

	return p && p->session == s && p->phase == phase ? p : NULL;
}

static void
pending_free(struct pending *p)
{
	struct request *r = requests_find(broker.requests, p->id);

	if (r)
		requests_remove(broker.requests, r);
	free(p);
}

void
pending_done(struct pending *p)
{
	SLIST_REMOVE(pendings_of(p->session), p, pending, next);
	pending_free(p);
}

/* The first is no more pending: its copy says whom to answer. False: there is none. */
static bool
pending_take(struct session *s, struct pending *out)
{
	struct pending *p = SLIST_FIRST(&s->pendings);

	if (!p)
		return false;
	*out = *p;
	SLIST_REMOVE_HEAD(&s->pendings, next);
	pending_free(p);
	return true;
}

void
broker_refuse(uint64_t id, const struct trace *trace, int error, const char *detail)
{
	struct pl_refused refused = { .error = (uint16_t)-error,
		.rule_id = view_of(""),
		.detail = view_of(detail) };

	proc_send(EDGE_PLACE_PTY, MSG_PLACE_REFUSED, id, trace, &refused, -1);
}

/* Sending comes last: should the pair with placerd end over it, what is pending is dropped. */
void
pending_refuse(struct pending *p, int error, const char *detail)
{
	struct pending answered = *p;

	pending_done(p);
	broker_refuse(answered.id, &answered.trace, error, detail);
}

void
pending_outlive(struct pending *p, int error)
{
	struct pending refused = *p;

	p->is_answered = true;
	if (refused.is_answered ||
	    !requests_add(broker.requests, p->id, p->phase, &p->trace, LATE_MS, p))
		pending_done(p);
	if (!refused.is_answered)
		broker_refuse(refused.id, &refused.trace, error, "");
}

static struct pending *
pending_create_of(struct session *s)
{
	struct pending *p = SLIST_FIRST(&s->pendings);

	return p && p->phase == PH_CREATE ? p : NULL;
}

/* --- sessions --- */

static void on_timer(evutil_socket_t fd, short what, void *arg);

/* The end of an id is random; its beginning names the node. */
static struct chain *
chain_of(const struct id128 *id)
{
	return &broker.ids[(id->b[14] | (unsigned)id->b[15] << 8) & (SESSION_CHAINS - 1)];
}

struct session *
session_new(const struct pl_session_record *from)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->pidfd = -1;
	s->timer = evtimer_new(proc_base(), on_timer, s);
	if (!s->timer || record_init(&s->record, from) != RECORD_OK) {
		if (s->timer)
			event_free(s->timer);
		free(s);
		return NULL;
	}
	SLIST_INIT(&s->pendings);
	TAILQ_INSERT_TAIL(&broker.sessions, s, next);
	LIST_INSERT_HEAD(chain_of(&from->session_id), s, by_id);
	return s;
}

/*
 * The record of an ended session may name a slot that has been given to another since: of those
 * that a new broker reads, only one can hold it, and when that one goes the other has it.
 */
static void
release_slot(struct session *s)
{
	struct pl_slot slot = { .session_id = s->record.pl.session_id, .slot = s->record.pl.slot };
	struct session *other;

	if (!s->holds_slot)
		return;
	s->holds_slot = false;
	TAILQ_FOREACH(other, &broker.sessions, next) {
		if (other != s && other->record.pl.slot == s->record.pl.slot &&
		    other->stage != SESSION_APART) {
			other->holds_slot = true;
			return;
		}
	}
	proc_send(EDGE_PTY_SPAWN, MSG_SPAWN_RELEASE, 0, NULL, &slot, -1);
	if (!slots_has(&broker.strays, slot.slot))
		slots_release(&broker.slots, slot.slot);
}

void
session_refuse_all(struct session *s, int error, const char *detail)
{
	struct pending p;

	while (pending_take(s, &p))
		broker_refuse(p.id, &p.trace, error, detail);
}

static void
session_free(struct session *s)
{
	TAILQ_REMOVE(&broker.forgotten, s, next);
	event_free(s->timer);
	record_fini(&s->record);
	free(s);
}

static void
remove_files(const struct session *s)
{
	for (int kind = 0; kind < RECORD_FILE_COUNT; kind++)
		record_unlink(&s->record.pl.session_id, (enum record_file)kind);
}

/* At the end of the turn: whoever is in the middle of something still has its pointer. */
void
session_forget(struct session *s)
{
	static const struct timeval at_once = { 0 };

	if (s->is_forgotten)
		return;
	session_refuse_all(s, -FOG_E_NO_SESSION, "");
	join_end(s);
	remove_files(s);
	release_slot(s);
	TAILQ_REMOVE(&broker.sessions, s, next);
	LIST_REMOVE(s, by_id);
	TAILQ_INSERT_TAIL(&broker.forgotten, s, next);
	s->is_forgotten = true;
	event_add(s->timer, &at_once);
	broker_try_list();
}

struct session *
session_find(const struct id128 *id)
{
	struct session *s;

	LIST_FOREACH(s, chain_of(id), by_id)
	{
		if (id_equal(&s->record.pl.session_id, id))
			return s;
	}
	return NULL;
}

bool
session_is_ended(const struct session *s)
{
	return session_has_ended(s->record.pl.status);
}

bool
session_is_other_version(const struct session *s)
{
	return s->stage == SESSION_FOREIGN && s->is_other_version;
}

bool
session_save(const struct session *s)
{
	enum record_result result = record_save(&s->record);

	if (result != RECORD_OK)
		log_warn("event=record_not_saved sid=%s result=%d",
		    log_id(&s->record.pl.session_id), result);
	return result == RECORD_OK;
}

void
session_set_stage(struct session *s, enum session_stage stage)
{
	if (s->stage == stage || s->is_forgotten)
		return;
	log_debug("event=session_stage sid=%s from=%s to=%s", log_id(&s->record.pl.session_id),
	    stage_names[s->stage], stage_names[stage]);
	s->stage = stage;
	event_del(s->timer);
	if (stage == SESSION_JOINING)
		session_set_timer(s, JOIN_MS);
}

void
session_set_timer(struct session *s, uint64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	if (!s->is_forgotten)
		event_add(s->timer, &tv);
}

/* Not before placerd has the list: it would not know the session. Nor of what nobody knows. */
static void
tell_state(const struct session *s)
{
	const struct pl_session_record *r = &s->record.pl;
	struct pl_state state = { .session_id = r->session_id,
		.status = r->status,
		.exit_kind = r->exit_kind,
		.exit_value = r->exit_value,
		.end_reason = r->end_reason };

	if (!broker.list_is_due && !s->is_half_made)
		proc_send(EDGE_PLACE_PTY, MSG_PLACE_STATE, 0, NULL, &state, -1);
}

bool
session_set_expiry(struct session *s, uint64_t expires_s)
{
	struct pl_session_record *r = &s->record.pl;

	if (expires_s < r->created_s || expires_s - r->created_s > PLAN_TTL_MAX_SECONDS)
		return false;
	if (r->expires_s == expires_s)
		return true;
	r->expires_s = expires_s;
	session_save(s);
	return true;
}

void
session_set_confirm(struct session *s, uint64_t confirm_by_boot_ms)
{
	if (s->record.pl.confirm_by_boot_ms == confirm_by_boot_ms)
		return;
	s->record.pl.confirm_by_boot_ms = confirm_by_boot_ms;
	session_save(s);
}

void
session_set_status(struct session *s, unsigned status)
{
	if (session_is_ended(s) || s->record.pl.status == status)
		return;
	log_debug("event=session_status sid=%s from=%s to=%s", log_id(&s->record.pl.session_id),
	    session_status_name(s->record.pl.status), session_status_name(status));
	s->record.pl.status = (uint8_t)status;
	tell_state(s);
}

void
session_answer_ended(struct session *s)
{
	struct pl_session_id id = { s->record.pl.session_id };
	struct pending p;

	while (pending_take(s, &p)) {
		if (p.phase == PH_END)
			proc_send(EDGE_PLACE_PTY, MSG_PLACE_ENDED, p.id, &p.trace, &id, -1);
		else
			broker_refuse(p.id, &p.trace, -FOG_E_SESSION_ENDED, "");
	}
}

void
session_tell_kept(struct session *s)
{
	struct pl_session_id id = { s->record.pl.session_id };

	if (peer_is_up(s->holder))
		peer_send(s->holder, MSG_HOLD_STATE_KEPT, 0, NULL, &id, -1);
}

void
session_end(struct session *s, const struct pl_state *end)
{
	struct pl_session_record *r = &s->record.pl;

	if (session_is_ended(s) || s->is_forgotten)
		return;
	r->status = end->status;
	r->exit_kind = end->exit_kind;
	r->exit_value = end->exit_value;
	r->end_reason = end->end_reason;
	r->ended_boot_ms = boot_ms();
	event_del(s->timer);
	log_info("event=session_ended sid=%s status=%s reason=%s exit_kind=%u exit_value=%u",
	    log_id(&r->session_id), session_status_name(r->status), session_end_name(r->end_reason),
	    r->exit_kind, r->exit_value);
	session_save(s);
	tell_state(s);
	session_answer_ended(s);
	if (s->is_half_made)
		session_tell_kept(s);
}

/*
 * What a holder that is not spoken to cannot tell, and nobody timed here. A step of the wall clock
 * may give it a wrong name, and does nothing else.
 */
static bool
has_run_its_time(const struct session *s)
{
	return s->stage == SESSION_FOREIGN && (uint64_t)wall_s() >= s->record.pl.expires_s;
}

void
session_end_lost(struct session *s)
{
	struct pl_state end = { .session_id = s->record.pl.session_id,
		.status = STATUS_LOST,
		.end_reason = END_HOLDER };

	if (s->end_asked) {
		end.status = STATUS_TERMINATED;
		end.end_reason = s->end_asked;
	} else if (has_run_its_time(s)) {
		end.status = STATUS_EXPIRED;
		end.end_reason = END_TTL;
	}
	session_end(s, &end);
}

void
session_kill(struct session *s)
{
	struct pl_session_id id = { s->record.pl.session_id };
	int pidfd = s->pidfd < 0 ? -1 : fcntl(s->pidfd, F_DUPFD_CLOEXEC, 0);

	if (pidfd < 0)
		return;
	if (proc_send(EDGE_PTY_SPAWN, MSG_SPAWN_KILL, 0, NULL, &id, pidfd) != 0)
		log_warnx("event=kill_not_sent sid=%s", log_id(&id.session_id));
}

void
session_keep(struct session *s)
{
	if (s->stage == SESSION_APART && s->record.pl.acknowledged)
		session_set_timer(s, KEEP_MS);
}

void
session_apart(struct session *s)
{
	if (s->is_forgotten)
		return;
	session_end_lost(s);
	join_end(s);
	record_unlink(&s->record.pl.session_id, RECORD_FILE_SOCKET);
	release_slot(s);
	session_set_stage(s, SESSION_APART);
	adopt_settled(s);
	session_keep(s);
	if (s->is_half_made)
		session_forget(s);
}

void
session_abort(struct session *s, int error, const char *detail)
{
	log_warnx("event=create_failed sid=%s code=%s detail=\"%s\"",
	    log_id(&s->record.pl.session_id), err_code(error), detail);
	session_kill(s);
	remove_files(s);
	session_refuse_all(s, error, detail);
	session_forget(s);
}

void
session_give_up(struct session *s, int error, const char *detail)
{
	s->is_found = s->is_half_made = true;
	session_refuse_all(s, error, detail);
	session_set_timer(s, RETRY_MS);
}

static void
tell_started(struct session *s, struct pending *p)
{
	struct pl_session_id id = { s->record.pl.session_id };
	struct pending answered = *p;

	log_info("event=session_started sid=%s holder_pid=%u slot=%u", log_id(&id.session_id),
	    s->holder_pid, s->record.pl.slot);
	pending_done(p);
	proc_send(EDGE_PLACE_PTY, MSG_PLACE_STARTED, answered.id, &answered.trace, &id, -1);
}

void
session_ask_end(struct session *s, unsigned reason)
{
	struct pl_end end = { s->record.pl.session_id, (uint8_t)reason };

	s->end_asked = (uint8_t)reason;
	session_set_timer(s, END_MS);
	if (s->stage == SESSION_LIVE && peer_is_up(s->holder))
		peer_send(s->holder, MSG_HOLD_END, 0, NULL, &end, -1);
	else if (s->stage == SESSION_FOREIGN)
		session_kill(s);
}

static void
send_detach(const struct session *s, uint64_t sid_hash)
{
	struct pl_detach detach = { .session_id = s->record.pl.session_id, .sid_hash = sid_hash };

	if (peer_is_up(s->holder))
		peer_send(s->holder, MSG_HOLD_DETACH, 0, NULL, &detach, -1);
}

/* To a holder of another version nobody is attached: gatewayd has lost all that was. */
void
session_detach(struct session *s, uint64_t sid_hash)
{
	if (s->stage == SESSION_LIVE) {
		send_detach(s, sid_hash);
		return;
	}
	/* Of two that wait at once one is made: everybody. */
	s->detach_sid_hash = s->detach_due && s->detach_sid_hash != sid_hash ? 0 : sid_hash;
	s->detach_due = true;
}

/* Orders that came while it was not joined. */
static void
carry_out(struct session *s)
{
	if (s->is_half_made)
		session_ask_end(s, END_ABANDONED);
	else if (session_is_ended(s) && s->record.pl.acknowledged)
		session_tell_kept(s);
	else if (s->end_asked && !session_is_ended(s))
		session_ask_end(s, s->end_asked);
	if (s->detach_due)
		send_detach(s, s->detach_sid_hash);
	s->detach_due = false;
}

void
session_joined(struct session *s)
{
	struct pending *p = pending_create_of(s);

	if (s->is_found)
		log_info("event=session_adopted sid=%s holder_pid=%u slot=%u",
		    log_id(&s->record.pl.session_id), s->holder_pid, s->record.pl.slot);
	if (p) {
		/* From here on it has begun, also to a later broker, who would else end it. */
		s->record.pl.status = STATUS_DETACHED;
		if (session_save(s)) {
			tell_started(s, p);
		} else { /* its holder lives: the ids are its own until it has ended */
			s->record.pl.status = STATUS_STARTING;
			session_give_up(s, -FOG_E_SPAWN, "plan: its record cannot be written");
		}
	}
	carry_out(s);
	broker_try_list();
}

/* There may be no spawner now. */
static void
kill_until_dead(struct session *s)
{
	session_kill(s);
	session_set_timer(s, END_MS);
}

/* What this means depends on where the session is. */
static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	if (s->is_forgotten)
		session_free(s);
	else if (s->stage == SESSION_MAKING && s->is_found)
		adopt_try(s);
	else if (s->stage == SESSION_JOINING && !s->is_found)
		session_give_up(s, -FOG_E_SPAWN, "adopt: the holder did not answer in time");
	else if (s->stage == SESSION_JOINING && s->is_awaited)
		adopt_settled(s); /* it lives, it may still answer */
	else if (s->stage == SESSION_JOINING ||
	    (s->stage == SESSION_LIVE && (!session_is_ended(s) || !s->holder)))
		kill_until_dead(s);
	else if (s->stage == SESSION_FOREIGN && s->end_asked)
		session_ask_end(s, s->end_asked); /* there may have been no spawner */
	else if (s->stage == SESSION_APART)
		session_forget(s);
}

/* --- the list --- */

#define COPY_FIELD(type, kind, name, min, max) to.name = from->name;

static bool
is_on_its_way(const struct session *s)
{
	if (s->is_awaited)
		return true;
	return !s->is_found && (s->stage == SESSION_MAKING || s->stage == SESSION_JOINING);
}

static struct pl_known
known_of(const struct session *s)
{
	const struct pl_session_record *from = &s->record.pl;
	struct pl_known to = { .other_version = session_is_other_version(s) };

	FIELDS_owned(COPY_FIELD, ) if (to.status == STATUS_STARTING) to.status = STATUS_DETACHED;
	return to;
}

/* Not what nobody was told of, nor one of which only a stranger at its socket is known. */
static bool
is_to_be_told(const struct session *s)
{
	return !s->is_half_made && (s->stage != SESSION_FOREIGN || s->pidfd >= 0);
}

void
broker_try_list(void)
{
	struct session *s;

	if (!broker.list_is_due || !proc_peer(EDGE_PLACE_PTY))
		return;
	TAILQ_FOREACH(s, &broker.sessions, next) {
		if (is_on_its_way(s))
			return;
	}
	broker.list_is_due = false;
	TAILQ_FOREACH(s, &broker.sessions, next) {
		struct pl_known known = known_of(s);

		if (is_to_be_told(s))
			proc_send(EDGE_PLACE_PTY, MSG_PLACE_KNOWN, 0, NULL, &known, -1);
	}
	proc_send(EDGE_PLACE_PTY, MSG_PLACE_KNOWN_ALL, 0, NULL, NULL, -1);
}
