/* SPDX-License-Identifier: MIT */
/*
 * Requests from authd, answers and notes from ptyd. Who asks is authd's word; whose a session is,
 * and whether it lives, is looked up here each time, whatever the others have checked.
 */
#include "placerd/placerd.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "placerd/fleetlist.h"
#include "placerd/probe.h"

#define REQUESTS_MAX 1024
/* Times the listings that authd has under way at once, this fits a peer's queue. */
#define LIST_ROWS_MAX 320 /* five profiles full */

/* --- answers to authd --- */

int
peers_answer(const struct asked *q, enum msg_type type, const void *payload)
{
	struct peer *auth = proc_peer(EDGE_AUTH_PLACE);

	if (auth && peer_epoch(auth) == q->auth_epoch)
		peer_send(auth, type, q->id, &q->trace, payload, -1);
	return 0;
}

int
peers_refuse(const struct asked *q, int error, const char *rule_id, const char *detail)
{
	struct pl_refused why = { .error = (uint16_t)-error,
		.rule_id = view_of(rule_id),
		.detail = view_of(detail) };

	return peers_answer(q, MSG_AUTH_REFUSED, &why);
}

static int
answer_message(struct peer *from, const struct msg *m, enum msg_type type, const void *payload)
{
	peer_send(from, type, m->request_id, &m->trace, payload, -1);
	return 0;
}

int
peers_refuse_message(struct peer *from, const struct msg *m, int error, const char *rule_id,
    const char *detail)
{
	struct pl_refused why = { .error = (uint16_t)-error,
		.rule_id = view_of(rule_id),
		.detail = view_of(detail) };

	return answer_message(from, m, MSG_AUTH_REFUSED, &why);
}

static int
refuse_plainly(struct peer *from, const struct msg *m, int error)
{
	return peers_refuse_message(from, m, error, "", "");
}

/* --- the table of requests --- */

struct asked *
peers_ask(struct placerd *d, struct peer *from, const struct msg *m, enum msg_phase phase,
    const struct id128 *session_id)
{
	return peers_ask_within(d, from, m, phase, session_id, UINT64_MAX);
}

struct asked *
peers_ask_within(struct placerd *d, struct peer *from, const struct msg *m, enum msg_phase phase,
    const struct id128 *session_id, uint64_t timeout_ms)
{
	/* Sooner than authd gives up: who knows most says what it was. */
	uint64_t most_ms = proc_config()->request_timeout_ms / 10 * 8;
	struct asked *q = calloc(1, sizeof(*q));

	if (timeout_ms > most_ms)
		timeout_ms = most_ms;
	if (!q || !requests_add(d->requests, m->request_id, phase, &m->trace, timeout_ms, q)) {
		refuse_plainly(from, m, q ? -FOG_E_FULL : -FOG_E_NOMEM);
		free(q);
		return NULL;
	}
	q->id = m->request_id;
	q->auth_epoch = peer_epoch(from);
	q->phase = phase;
	q->trace = m->trace;
	q->session_id = *session_id;
	return q;
}

struct asked *
peers_take(struct placerd *d, uint64_t id)
{
	struct request *r = requests_find(d->requests, id);
	struct asked *q = r ? r->data : NULL;

	if (r)
		requests_remove(d->requests, r);
	return q;
}

static struct asked *
find_asked(struct placerd *d, const struct msg *m)
{
	return requests_find(d->requests, m->request_id)->data;
}

void
peers_ordered(struct placerd *d, uint64_t id, int rc)
{
	struct asked *q = rc ? peers_take(d, id) : NULL;

	if (!q)
		return;
	peers_refuse(q, rc, "", "");
	free(q);
}

static void
on_lost(void *ctx, struct request *r, int error)
{
	struct placerd *d = ctx;
	struct asked *q = r->data;

	if (error == -FOG_E_TIMEOUT)
		log_warnx("event=timeout sid=%s req=%llx waited_for=%s", log_id(&q->session_id),
		    (unsigned long long)r->id, q->elsewhere ? q->elsewhere->name : "ptyd");
	if (q->is_repeat)
		TAILQ_REMOVE(&d->repeats, q, next);
	if (q->phase == PH_CREATE)
		create_on_lost(d, q, error);
	else if (q->elsewhere)
		elsewhere_on_lost(d, q, error);
	else if (q->phase == PH_SHOW)
		show_on_lost(d, q);
	else
		peers_refuse(q, error, "", "");
	free(q);
}

/* --- changes --- */

struct audit_event
peers_audit_of(const struct session *s, enum audit_name name, enum audit_phase phase,
    const struct trace *trace)
{
	return (struct audit_event){ .name = name,
		.phase = phase,
		.session_id = &s->id,
		.issuer = view_of(s->issuer),
		.subject = view_of(s->subject),
		.profile = view_of(s->profile),
		.node = view_of(s->node),
		.trace = trace };
}

void
peers_change(struct placerd *d, struct session *s, const struct session_change *to)
{
	enum session_status was = s->status;

	if (session_set_state(s, to, &d->keepers) != 0) {
		log_debug("event=state_ignored sid=%s from=%s to=%s", log_id(&s->id),
		    session_status_name(s->status), session_status_name(to->status));
		return;
	}
	totals_count(&d->totals, was, s->status);
	if (session_has_ended(s->status))
		registry_settle(d->registry, s);
	if (was == STATUS_STARTING && s->status != STATUS_STARTING)
		event_active(d->loose_ends, EV_TIMEOUT, 0);
}

void
peers_abandon(struct placerd *d, struct session *s)
{
	s->is_abandoned = d->has_abandoned = true;
	event_active(d->loose_ends, EV_TIMEOUT, 0);
}

/* An order of our own: its id is drawn from all 64 bits, its answer goes to nobody. */
static void
end_abandoned(struct placerd *d, struct session *s)
{
	struct pl_end end = { .session_id = s->id, .end_reason = END_ABANDONED };
	struct asked *q = calloc(1, sizeof(*q));
	struct id128 random;
	uint64_t timeout_ms = proc_config()->request_timeout_ms, id;
	int rc;

	s->is_abandoned = false;
	if (!q || id_random(&random) != 0) {
		free(q);
		return;
	}
	memcpy(&q->id, random.b, sizeof(q->id));
	q->phase = PH_END;
	q->session_id = s->id;
	if (!requests_add(d->requests, q->id, PH_END, NULL, timeout_ms, q)) {
		free(q);
		return;
	}
	log_info("event=session_abandoned sid=%s", log_id(&s->id));
	/* Should ptyd's end go down by it, q goes with all that it was asked. */
	id = q->id;
	rc = proc_send(EDGE_PLACE_PTY, MSG_PTY_END, id, NULL, &end, -1);
	peers_ordered(d, id, rc);
}

static void
end_all_abandoned(struct placerd *d)
{
	d->has_abandoned = false;
	for (struct session *s = NULL; (s = registry_next(d->registry, s));) {
		if (s->is_abandoned)
			end_abandoned(d, s);
	}
}

static void
on_loose_ends(evutil_socket_t fd, short what, void *arg)
{
	struct placerd *d = arg;

	(void)fd;
	(void)what;
	create_answer_repeats(d);
	if (d->has_abandoned)
		end_all_abandoned(d);
}

/* --- requests of authd --- */

/* Before ptyd has told its sessions, one that is not in the registry may be there all the same. */
int
peers_refuse_unknown(struct placerd *d, struct peer *from, const struct msg *m)
{
	return refuse_plainly(from, m, d->was_synced ? -FOG_E_NO_SESSION : -FOG_E_UNAVAILABLE);
}

static unsigned
list_rows(struct placerd *d, struct peer *from, const struct msg *m, int ended, unsigned room)
{
	const struct pl_identity *who = &m->u.identity;
	struct session *s = NULL;
	unsigned n = 0;

	while (n < room && (s = registry_next_of(d->registry, who->issuer, who->subject, s))) {
		struct pl_session row = session_to_wire(s);

		if (session_has_ended(s->status) != ended)
			continue;
		answer_message(from, m, MSG_AUTH_SESSION, &row);
		n++;
	}
	return n;
}

/* The living first, then those that ended last; as many as there is room for. */
static int
on_list(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	unsigned n;

	if (!d->was_synced)
		return refuse_plainly(from, m, -FOG_E_UNAVAILABLE);
	registry_sweep(d->registry, mono_ms());
	n = list_rows(d, from, m, 0, LIST_ROWS_MAX);
	list_rows(d, from, m, 1, LIST_ROWS_MAX - n);
	fleetlist_also(d, from, m);
	return answer_message(from, m, MSG_AUTH_DONE, NULL);
}

static struct session *
find_for(struct placerd *d, const struct pl_who_session *who)
{
	registry_sweep(d->registry, mono_ms());
	return registry_find_owned(d->registry, &who->session_id, who->issuer, who->subject);
}

static int
on_end(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	struct session *s = find_for(d, &m->u.who_session);
	struct pl_end end = { .session_id = m->u.who_session.session_id,
		.end_reason = END_REQUEST };
	struct pl_session_id ended = { .session_id = end.session_id };

	if (!d->is_synced)
		return refuse_plainly(from, m, -FOG_E_UNAVAILABLE);
	if (!s)
		return peers_refuse_unknown(d, from, m);
	if (session_has_ended(s->status))
		return answer_message(from, m, MSG_AUTH_ENDED, &ended);
	if (peers_ask(d, from, m, PH_END, &s->id))
		peers_ordered(d, m->request_id,
		    proc_send(EDGE_PLACE_PTY, MSG_PTY_END, m->request_id, &m->trace, &end, -1));
	return 0;
}

#define RUNS_ON "it runs on until its end; this version can end it, but not attach it"

static int
on_mint(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_who_mint *who = &m->u.who_mint;
	struct pl_session_role mintable = { .session_id = who->session_id, .role = who->role };
	struct session *s;
	struct asked *q;

	registry_sweep(d->registry, mono_ms());
	s = registry_find_owned(d->registry, &who->session_id, who->issuer, who->subject);
	if (!s)
		return peers_refuse_unknown(d, from, m);
	if (session_has_ended(s->status))
		return refuse_plainly(from, m, -FOG_E_SESSION_ENDED);
	if (s->is_other_version)
		return peers_refuse_message(from, m, -FOG_E_HOLDER_VERSION, "", RUNS_ON);
	if (!provisional_is(s))
		return answer_message(from, m, MSG_AUTH_MINTABLE, &mintable);
	q = peers_ask(d, from, m, PH_MINT, &s->id);
	if (!q)
		return 0;
	q->role = who->role;
	provisional_order(d, q, 0);
	return 0;
}

int
peers_find_living(struct placerd *d, const struct id128 *id, struct view issuer,
    struct view subject, struct session **out)
{
	struct session *s;

	if (!d->is_synced)
		return -FOG_E_UNAVAILABLE;
	s = registry_find_owned(d->registry, id, issuer, subject);
	if (!s)
		return -FOG_E_NO_SESSION;
	if (session_has_ended(s->status))
		return -FOG_E_SESSION_ENDED;
	*out = s;
	return 0;
}

static int
write_attached(struct placerd *d, const struct session *s, const struct asked *q,
    enum audit_phase phase, const char *reason)
{
	struct audit_event e = peers_audit_of(s, AUDIT_SESSION_ATTACHED, phase, &q->trace);

	e.role = view_of(session_role_name(q->role));
	e.reason = view_of(reason);
	return audit_write(d->keepers.audit, &e);
}

static int
on_attach(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_attach *want = &m->u.attach;
	struct pl_grant grant = { .session_id = want->session_id,
		.token_id = want->token_id,
		.token_expires_boot_ms = want->token_expires_boot_ms,
		.role = want->role,
		.until_boot_ms = want->until_boot_ms,
		.sid_hash = identity_sid_hash(want->sid),
		.has_out = want->has_out,
		.out_from = want->out_from };
	struct session *s = NULL;
	struct asked *q;
	int rc = peers_find_living(d, &want->session_id, want->issuer, want->subject, &s);

	if (rc != 0)
		return refuse_plainly(from, m, rc);
	q = peers_ask(d, from, m, PH_ATTACH, &s->id);
	if (!q)
		return 0;
	q->role = want->role;
	q->sid_hash = grant.sid_hash;
	rc = write_attached(d, s, q, AUDIT_INTENT, NULL);
	if (rc == 0)
		rc = proc_send(EDGE_PLACE_PTY, MSG_PTY_ATTACH, m->request_id, &m->trace, &grant,
		    -1);
	peers_ordered(d, m->request_id, rc);
	return 0;
}

static int
on_profiles(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	struct policy_identity who = { m->u.identity.issuer, m->u.identity.subject,
		m->u.identity.groups };
	const struct policy_profile *p;

	for (size_t i = 0; (p = policy_profile_at(d->policy, i)); i++) {
		struct pl_profile row = { .name = view_of(p->name),
			.cpu_milli = p->limits.cpu_milli,
			.memory_bytes = p->limits.memory_bytes,
			.storage_bytes = p->limits.storage_bytes,
			.max_ttl_seconds = p->max_ttl_seconds,
			.idle_timeout_s = p->limits.idle_timeout_seconds,
			.max_sessions = p->max_sessions };

		if (policy_visible(&who, p))
			answer_message(from, m, MSG_AUTH_PROFILE, &row);
	}
	return answer_message(from, m, MSG_AUTH_DONE, NULL);
}

/* --- ptyd: its list of sessions --- */

static void
keep_state(const struct id128 *id)
{
	struct pl_session_id kept = { .session_id = *id };

	proc_send(EDGE_PLACE_PTY, MSG_PTY_STATE_KEPT, 0, NULL, &kept, -1);
}

static struct session_change
change_of(const struct pl_session *told)
{
	return (struct session_change){ .status = (enum session_status)told->status,
		.end_reason = (enum end_reason)told->end_reason,
		.exit_kind = (enum exit_kind)told->exit_kind,
		.exit_value = told->exit_value };
}

/* A duration, so that a step of the wall clock since then does little harm. */
static uint64_t
born_mono_ms(uint64_t created_s)
{
	uint64_t now_s = (uint64_t)wall_s();
	uint64_t age_s = now_s > created_s ? now_s - created_s : 0;

	return mono_ms() - age_s * 1000;
}

static struct session *
add_told(struct placerd *d, const struct pl_owned *told)
{
	const struct policy_profile *profile = policy_find_profile(d->policy, told->profile);
	struct session fresh = { .born_mono_ms = born_mono_ms(told->created_s),
		.on_logout = profile ? profile->limits.on_logout : ON_LOGOUT_END,
		.cpu_milli = profile ? profile->limits.cpu_milli : 0,
		.memory_bytes = profile ? profile->limits.memory_bytes : 0 };
	struct session *s;

	if (session_fill(&fresh, told) != 0)
		return NULL;
	s = registry_add(d->registry, &fresh);
	/* It exists, whatever the limit is now. */
	if (s && !session_has_ended(told->status) && session_count(s, &d->keepers, UINT32_MAX) != 0)
		log_warnx("event=session_uncounted sid=%s", log_id(&s->id));
	return s;
}

/*
 * What was here under this id, when the list may go on from it. Written off and alive after all:
 * the list is the truth, and begins anew; but what was given up in the making is to be ended.
 */
static struct session *
find_told(struct placerd *d, const struct pl_owned *told)
{
	struct session *s = registry_find(d->registry, &told->session_id);

	if (!s || !session_has_ended(s->status) || session_has_ended(told->status))
		return s;
	if (s->make_error) {
		peers_abandon(d, s);
		return s;
	}
	log_warnx("event=session_found_again sid=%s was=%s", log_id(&s->id),
	    session_status_name(s->status));
	registry_remove(d->registry, s);
	return NULL;
}

#define COPY_TOLD(T, kind, name, min, max) .name = told->name,

static int
on_known(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_known *told = &m->u.known;
	struct pl_owned owned = { FIELDS_owned(COPY_TOLD, ) };
	struct pl_session state = { FIELDS_session(COPY_TOLD, ) };
	struct session_change to = change_of(&state);
	struct session *s = find_told(d, &owned);

	(void)from;
	if (s &&
	    (!session_is_owned_by(s, told->issuer, told->subject) ||
		!view_is(told->profile, s->profile)))
		return -FOG_E_LIAR;
	if (!s)
		s = add_told(d, &owned);
	if (!s) {
		log_warnx("event=session_not_kept sid=%s", log_id(&told->session_id));
		return 0;
	}
	s->is_named = true;
	s->expires_s = told->expires_s; /* extended while we did not hear it */
	s->confirm_by_boot_ms = told->confirm_by_boot_ms;
	s->is_other_version = told->other_version;
	peers_change(d, s, &to);
	if (session_has_ended(told->status))
		keep_state(&told->session_id);
	return 0;
}

/* Live here, but not in ptyd's list: it ended unseen, or was never made. */
static void
write_off(struct placerd *d, struct session *s)
{
	struct session_change lost = { .status = STATUS_LOST, .end_reason = END_HOLDER };
	struct session_change failed = { .status = STATUS_FAILED, .end_reason = END_SPAWN };

	if (s->status == STATUS_STARTING) {
		s->idem_key[0] = '\0';
		s->make_error = -FOG_E_SPAWN;
		peers_change(d, s, &failed);
	} else {
		peers_change(d, s, &lost);
	}
}

static int
on_known_all(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;

	(void)from;
	(void)m;
	for (struct session *s = NULL; (s = registry_next(d->registry, s));) {
		if (!s->is_named && !session_has_ended(s->status))
			write_off(d, s);
	}
	d->is_synced = d->was_synced = true;
	revoke_on_synced(d);
	log_info("event=sessions_known live=%zu ended=%zu", registry_live(d->registry),
	    registry_ended(d->registry));
	return 0;
}

/* --- ptyd: answers and notes --- */

static int
on_attached(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	struct asked *q = find_asked(d, m);
	struct session *s = registry_find(d->registry, &q->session_id);

	(void)from;
	if (!id_equal(&q->session_id, &m->u.session_role.session_id) ||
	    q->role != m->u.session_role.role)
		return -FOG_E_LIAR;
	peers_take(d, q->id);
	if (s) {
		session_driven(s, q->role, q->sid_hash);
		s->confirm_by_boot_ms = 0; /* so does its holder */
		write_attached(d, s, q, AUDIT_OUTCOME, NULL);
	}
	log_info("event=attached sid=%s req=%llx role=%s", log_id(&q->session_id),
	    (unsigned long long)q->id, session_role_name(q->role));
	if (s) {
		struct pl_attached attached = { .session_id = s->id,
			.role = q->role,
			.node = view_of(s->node),
			.placement_reason = view_of(s->placement_reason) };

		peers_answer(q, MSG_AUTH_ATTACHED, &attached);
	} else {
		peers_refuse(q, -FOG_E_NO_SESSION, "", "");
	}
	free(q);
	return 0;
}

static int
on_ended(void *ctx, struct peer *from, struct msg *m)
{
	static const struct session_change terminated = { .status = STATUS_TERMINATED,
		.end_reason = END_REQUEST };
	struct placerd *d = ctx;
	struct asked *q = find_asked(d, m);
	struct session *s = registry_find(d->registry, &q->session_id);

	(void)from;
	if (!id_equal(&q->session_id, &m->u.session_id.session_id))
		return -FOG_E_LIAR;
	peers_take(d, q->id);
	if (s && !session_has_ended(s->status))
		peers_change(d, s, &terminated);
	peers_answer(q, MSG_AUTH_ENDED, &m->u.session_id);
	free(q);
	return 0;
}

static int
on_refused(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	struct asked *q = find_asked(d, m);
	const struct session *s = registry_find(d->registry, &q->session_id);
	const struct pl_refused *why = &m->u.refused;

	(void)from;
	if (q->is_repeat)
		return -FOG_E_LIAR;
	peers_take(d, q->id);
	log_info("event=refused sid=%s req=%llx error=%s", log_id(&q->session_id),
	    (unsigned long long)q->id, err_code(why->error));
	if (q->is_confirming) {
		provisional_on_refused(q, why);
	} else if (q->phase == PH_CREATE) {
		create_on_refused(d, q, why);
	} else if (q->phase == PH_SHOW) {
		show_on_lost(d, q);
	} else {
		if (q->phase == PH_ATTACH && s)
			write_attached(d, s, q, AUDIT_OUTCOME, err_code(why->error));
		if (q->phase == PH_EXTEND)
			extend_on_refused(d, q, why);
		if (q->phase == PH_RENEW)
			renew_on_refused(d, q, why);
		peers_answer(q, MSG_AUTH_REFUSED, why);
	}
	free(q);
	return 0;
}

static int
on_state(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_state *told = &m->u.state;
	struct session_change to = { .status = (enum session_status)told->status,
		.end_reason = (enum end_reason)told->end_reason,
		.exit_kind = (enum exit_kind)told->exit_kind,
		.exit_value = told->exit_value };
	struct session *s = registry_find(d->registry, &told->session_id);

	(void)from;
	if (!s)
		log_debug("event=state_of_unknown sid=%s", log_id(&told->session_id));
	else if (session_has_ended(s->status) && !session_has_ended(to.status))
		peers_abandon(d, s); /* given up here, and come to life after all */
	else
		peers_change(d, s, &to);
	if (session_has_ended(to.status))
		keep_state(&told->session_id);
	return 0;
}

/* --- the prober --- */

static int
on_fetched_part(void *ctx, struct peer *from, struct msg *m)
{
	const struct placerd *d = ctx;

	(void)from;
	return probe_on_part(d->probe, m->request_id, &m->u.fetched_part);
}

static int
on_fetched(void *ctx, struct peer *from, struct msg *m)
{
	const struct placerd *d = ctx;

	(void)from;
	return probe_on_end(d->probe, m->request_id, &m->u.fetched);
}

/* --- the role's hooks --- */

static unsigned
phase_of_request(struct placerd *d, struct peer *from, uint64_t id)
{
	const struct request *r = requests_find(d->requests, id);
	const struct asked *q = r ? r->data : NULL;

	/*
	 * An authd that has just started does not know which ids its predecessor left pending here,
	 * and must not be taken for a liar: the request is refused for want of a place.
	 */
	if (q && peer_edge(from) == EDGE_AUTH_PLACE && q->auth_epoch != peer_epoch(from))
		return PH_NEW;
	/* What another node was asked, ptyd has not heard of. */
	if (q && q->elsewhere && peer_edge(from) == EDGE_PLACE_PTY)
		return PH_NOTE;
	return r ? (unsigned)r->phase : PH_NEW;
}

unsigned
peers_phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	struct placerd *d = ctx;

	if (peer_edge(from) == EDGE_PLACE_PROBE)
		return d->probe ? probe_phase(d->probe, m->request_id) : PH_NOTE;
	if (m->request_id != 0)
		return phase_of_request(d, from, m->request_id);
	return d->is_synced ? PH_NOTE : PH_NOTE | PH_SYNC;
}

void
peers_edge_up(void *ctx, struct peer *p)
{
	struct placerd *d = ctx;

	if (peer_edge(p) == EDGE_PLACE_PROBE && d->probe)
		probe_edge_up(d->probe);
	if (peer_edge(p) != EDGE_PLACE_PTY)
		return;
	d->is_synced = false;
	for (struct session *s = NULL; (s = registry_next(d->registry, s));)
		s->is_named = false;
}

/* What authd asked goes on: its outcome is written down, though nobody is left to be answered. */
void
peers_edge_down(void *ctx, enum edge edge)
{
	struct placerd *d = ctx;

	if (edge == EDGE_PLACE_PROBE && d->probe)
		probe_edge_down(d->probe);
	if (edge != EDGE_PLACE_PTY)
		return;
	d->is_synced = false;
	requests_clear(d->requests, -FOG_E_UNAVAILABLE);
}

int
peers_start(struct placerd *d)
{
	TAILQ_INIT(&d->repeats);
	d->loose_ends = evtimer_new(proc_base(), on_loose_ends, d);
	d->requests = requests_new(proc_base(), REQUESTS_MAX, on_lost, d);
	return d->loose_ends && d->requests ? 0 : -1;
}

/* What somebody asks for, once identity.c has let them. */
const msg_handler peers_requests[MSG_COUNT] = {
	[MSG_PLACE_CREATE] = create_on_request,
	[MSG_PLACE_LIST] = on_list,
	[MSG_PLACE_SHOW] = show_on_request,
	[MSG_PLACE_END] = on_end,
	[MSG_PLACE_MINT] = on_mint,
	[MSG_PLACE_ATTACH] = on_attach,
	[MSG_PLACE_EXTEND] = extend_on_request,
	[MSG_PLACE_RENEW] = renew_on_request,
	[MSG_PLACE_PROFILES] = on_profiles,
	[MSG_PLACE_NODES] = fleetlist_on_nodes,
	[MSG_PLACE_CONFIRM] = provisional_on_confirm,
};

const msg_handler placerd_handlers[MSG_COUNT] = {
	[MSG_PLACE_CREATE] = identity_on_request,
	[MSG_PLACE_LIST] = identity_on_request,
	[MSG_PLACE_SHOW] = identity_on_request,
	[MSG_PLACE_END] = identity_on_request,
	[MSG_PLACE_MINT] = identity_on_request,
	[MSG_PLACE_ATTACH] = identity_on_request,
	[MSG_PLACE_EXTEND] = identity_on_request,
	[MSG_PLACE_RENEW] = identity_on_request,
	[MSG_PLACE_PROFILES] = identity_on_request,
	[MSG_PLACE_NODES] = identity_on_request,
	[MSG_PLACE_CONFIRM] = identity_on_request,
	[MSG_PLACE_STATUS] = fleetlist_on_status,
	[MSG_PLACE_FORWARDED] = elsewhere_on_forwarded,
	[MSG_PLACE_FETCHED_PART] = on_fetched_part,
	[MSG_PLACE_FETCHED] = on_fetched,
	[MSG_PLACE_CHECK] = totals_on_check,
	[MSG_PLACE_REVOKE] = revoke_on_request,
	[MSG_PLACE_KNOWN] = on_known,
	[MSG_PLACE_KNOWN_ALL] = on_known_all,
	[MSG_PLACE_STARTED] = create_on_started,
	[MSG_PLACE_ATTACHED] = on_attached,
	[MSG_PLACE_ENDED] = on_ended,
	[MSG_PLACE_EXTENDED] = extend_on_extended,
	[MSG_PLACE_RENEWED] = renew_on_renewed,
	[MSG_PLACE_USAGE] = show_on_usage,
	[MSG_PLACE_CONFIRMED] = provisional_on_confirmed,
	[MSG_PLACE_REFUSED] = on_refused,
	[MSG_PLACE_STATE] = on_state,
};
