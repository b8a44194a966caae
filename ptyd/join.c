/* SPDX-License-Identifier: MIT */
/*
 * The broker's end of a holder: who it is (SO_PEERCRED, a pidfd from before its nonce, the nonce
 * itself), what it says, and how its death is noticed. See broker.h.
 */
#include "ptyd/broker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "common/secret.h"

#define LOG_LINES_A_SECOND 20

/* --- what it says --- */

static unsigned
phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	(void)ctx;
	(void)from;
	return m->request_id == 0 ? PH_NOTE : requests_phase(broker.requests, m->request_id);
}

static bool
is_of(const struct session *s, const struct id128 *id)
{
	return id_equal(id, &s->record.pl.session_id);
}

static struct pl_state
state_of_hello(const struct pl_holder_hello *h)
{
	return (struct pl_state){ .session_id = h->session_id,
		.status = h->status,
		.exit_kind = h->exit_kind,
		.exit_value = h->exit_value,
		.end_reason = h->end_reason };
}

static void
take_state(struct session *s, const struct pl_state *state)
{
	if (session_has_ended(state->status))
		session_end(s, state);
	else
		session_set_status(s, state->status);
}

/*
 * The nonce goes to one of our own version alone. Sent at once it might meet a pair that a holder
 * of another version has closed, and would hide why.
 */
static int
holder_on_greeting(void *ctx, struct peer *from, struct msg *m)
{
	const struct session *s = ctx;
	struct pl_nonce nonce = { s->record.pl.session_id, s->record.pl.broker_nonce };

	(void)m;
	peer_send(from, MSG_HOLD_HELLO, 0, NULL, &nonce, -1);
	explicit_bzero(&nonce, sizeof(nonce));
	return 0;
}

static int
holder_on_hello(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = ctx;
	const struct pl_holder_hello *h = &m->u.holder_hello;
	struct pl_state state = state_of_hello(h);

	(void)from;
	if (s->stage != SESSION_JOINING || !is_of(s, &h->session_id) ||
	    h->slot != s->record.pl.slot || h->status == STATUS_STARTING ||
	    !secret_equal(h->nonce.b, s->record.pl.nonce.b, sizeof(h->nonce.b)) ||
	    !session_set_expiry(s, h->expires_s))
		return -FOG_E_LIAR;
	session_set_confirm(s, h->confirm_by_boot_ms);
	session_set_stage(s, SESSION_LIVE);
	session_joined(s);
	take_state(s, &state);
	adopt_settled(s);
	return 0;
}

static int
holder_on_state(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = ctx;
	const struct pl_state *state = &m->u.state;

	(void)from;
	if (s->stage != SESSION_LIVE || !is_of(s, &state->session_id) || session_is_ended(s) ||
	    state->status == STATUS_STARTING || state->status == STATUS_LOST)
		return -FOG_E_LIAR;
	take_state(s, state);
	return 0;
}

/* The stream goes on to gatewayd; the way here and the way there name the same request. */
static int
holder_on_stream(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = ctx;
	const struct pl_session_role *what = &m->u.session_role;
	struct pending *p = pending_find(m->request_id, s, PH_ATTACH), answered;

	(void)from;
	/* Else gatewayd would take us for the liar. */
	if (!p || !is_of(s, &what->session_id) || what->role != p->role ||
	    !peer_fd_is_stream(m->fd))
		return -FOG_E_LIAR;
	answered = *p;
	pending_done(p);
	session_set_confirm(s, 0);
	if (proc_send(EDGE_DELIVERY, MSG_GATE_DELIVER, answered.id, &answered.trace, what,
		steal_fd(&m->fd)) == 0)
		proc_send(EDGE_PLACE_PTY, MSG_PLACE_ATTACHED, answered.id, &answered.trace, what,
		    -1);
	else
		broker_refuse(answered.id, &answered.trace, -FOG_E_UNAVAILABLE,
		    "the gateway is not there");
	return 0;
}

/* Exactly as long as it was told: the record and placerd follow. */
static int
holder_on_extended(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = ctx;
	const struct pl_extended *done = &m->u.extended;
	struct pending *p = pending_find(m->request_id, s, PH_EXTEND), answered;

	(void)from;
	if (!p || !is_of(s, &done->session_id) ||
	    done->expires_s != s->record.pl.created_s + p->ttl_seconds ||
	    !session_set_expiry(s, done->expires_s))
		return -FOG_E_LIAR;
	answered = *p;
	pending_done(p);
	proc_send(EDGE_PLACE_PTY, MSG_PLACE_EXTENDED, answered.id, &answered.trace, done, -1);
	return 0;
}

/* Either it waits as long as it was told, or it stays. */
static int
holder_on_confirmed(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = ctx;
	const struct pl_confirm *done = &m->u.confirm;
	struct pending *p = pending_find(m->request_id, s, PH_CONFIRM), answered;

	(void)from;
	if (!p || !is_of(s, &done->session_id) ||
	    (done->confirm_by_boot_ms != 0 && done->confirm_by_boot_ms != p->confirm_by_boot_ms))
		return -FOG_E_LIAR;
	answered = *p;
	pending_done(p);
	session_set_confirm(s, done->confirm_by_boot_ms);
	proc_send(EDGE_PLACE_PTY, MSG_PLACE_CONFIRMED, answered.id, &answered.trace, done, -1);
	return 0;
}

static int
holder_on_renewed(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = ctx;
	const struct pl_renewed *done = &m->u.renewed;
	struct pending *p = pending_find(m->request_id, s, PH_RENEW), answered;

	(void)from;
	if (!p || !is_of(s, &done->session_id) || done->attachment != p->attachment)
		return -FOG_E_LIAR;
	answered = *p;
	pending_done(p);
	proc_send(EDGE_PLACE_PTY, MSG_PLACE_RENEWED, answered.id, &answered.trace, done, -1);
	return 0;
}

static int
holder_on_refused(void *ctx, struct peer *from, struct msg *m)
{
	static const enum msg_phase phases[] = { PH_ATTACH, PH_EXTEND, PH_RENEW, PH_CONFIRM };
	struct pending *p = NULL;
	int error;

	(void)from;
	for (size_t i = 0; !p && i < COUNT_OF(phases); i++)
		p = pending_find(m->request_id, ctx, phases[i]);
	if (!p)
		return -FOG_E_LIAR;
	/* Its build may know errors that this one does not. */
	error = m->u.holder_refused.error;
	pending_refuse(p, error < FOG_E_COUNT ? -error : -FOG_E_INTERNAL, "");
	return 0;
}

/* One that has been broken into must not fill the log. */
static int
holder_on_log(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = ctx;
	uint64_t second = mono_ms() / 1000;
	char text[600];

	(void)from;
	if (second != s->log_second) {
		if (s->log_lines > LOG_LINES_A_SECOND)
			log_warnx("event=holder_log_dropped sid=%s lines=%u",
			    log_id(&s->record.pl.session_id), s->log_lines - LOG_LINES_A_SECOND);
		s->log_second = second;
		s->log_lines = 0;
	}
	if (++s->log_lines > LOG_LINES_A_SECOND)
		return 0;
	log_escape(m->u.holder_log.text, text, sizeof(text));
	if (m->u.holder_log.level <= LOG_LEVEL_WARN)
		log_warnx("event=holder_log sid=%s text=%s", log_id(&s->record.pl.session_id),
		    text);
	else
		log_debug("event=holder_log sid=%s text=%s", log_id(&s->record.pl.session_id),
		    text);
	return 0;
}

static const msg_handler handlers[MSG_COUNT] = {
	[MSG_HELLO] = holder_on_greeting,
	[MSG_PTY_HOLDER_HELLO] = holder_on_hello,
	[MSG_PTY_HOLDER_STREAM] = holder_on_stream,
	[MSG_PTY_HOLDER_EXTENDED] = holder_on_extended,
	[MSG_PTY_HOLDER_RENEWED] = holder_on_renewed,
	[MSG_PTY_HOLDER_CONFIRMED] = holder_on_confirmed,
	[MSG_PTY_HOLDER_REFUSED] = holder_on_refused,
	[MSG_PTY_HOLDER_STATE] = holder_on_state,
	[MSG_PTY_HOLDER_LOG] = holder_on_log,
};

/* --- how it goes --- */

static int
open_connection(const struct session *s, int *out)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	record_name(&s->record.pl.session_id, RECORD_FILE_SOCKET, at.sun_path);
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
		return -errno;
	*out = steal_fd(&fd);
	return 0;
}

/*
 * Its nonce will not say that the pidfd is its own, and not of a later process with its number. A
 * connection made after the pidfd was opened does: only the holder has the socket that listens.
 */
static bool
listens_still(const struct session *s)
{
	cleanup_fd int fd = -1;
	int rc = open_connection(s, &fd);

	return rc == 0 || rc == -EAGAIN;
}

/*
 * Its owner keeps the shell, sees it and may end it; to attach it takes a build that speaks as
 * its holder does. What nobody was told of is ended (R3).
 */
static void
leave_alone(struct session *s, uint64_t hash, const char *detail)
{
	if (!listens_still(s)) {
		join_end(s);
		session_set_stage(s, SESSION_MAKING);
		adopt_try(s);
		return;
	}
	log_warnx("event=holder_left_alone sid=%s hash=%016" PRIx64 " own_hash=%016" PRIx64
		  " detail=\"%s\"",
	    log_id(&s->record.pl.session_id), hash, msg_edge_hash(EDGE_HOLDER), detail);
	session_set_stage(s, SESSION_FOREIGN);
	if (s->is_half_made)
		session_ask_end(s, END_ABANDONED);
	else if (s->end_asked) /* while it was being joined */
		session_ask_end(s, s->end_asked);
	adopt_settled(s);
}

static bool
holder_has_exited(const struct session *s)
{
	return s->pidfd < 0 || !event_pending(s->on_exit, EV_READ, NULL);
}

static void
on_down(void *ctx, struct peer *p, enum peer_down why, const char *detail)
{
	struct session *s = ctx;
	bool was_joining = s->stage == SESSION_JOINING;
	uint64_t hash = peer_other_hash(p);

	peer_free(p);
	s->holder = NULL;
	if (was_joining && s->is_found && (why == PEER_LIED || why == PEER_OTHER_VERSION)) {
		s->is_other_version = why == PEER_OTHER_VERSION;
		leave_alone(s, hash, detail);
		return;
	}
	/* Without a connection nobody guards it: what still lives has to go, with its ids until then. */
	if (!session_is_ended(s))
		session_kill(s);
	if (was_joining && !s->is_found)
		session_give_up(s, -FOG_E_SPAWN, "adopt: the holder did not answer as it should");
	if (was_joining)
		session_set_stage(s, SESSION_LIVE);
	session_end_lost(s);
	adopt_settled(s);
	if (holder_has_exited(s))
		session_apart(s);
	else if (session_is_ended(s)) /* it may still have output for its clients */
		session_set_timer(s, UNHEARD_MS);
}

static const struct peer_ops ops = { handlers, phase_of, on_down };

/* The connection ends by itself, after what is still in it has been read. */
static void
on_holder_exit(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	if (!s->holder)
		session_apart(s);
}

void
join_end(struct session *s)
{
	peer_free(s->holder);
	s->holder = NULL;
	if (s->on_exit)
		event_free(s->on_exit);
	s->on_exit = NULL;
	close_fd(&s->pidfd);
}

/* --- connecting --- */

/* Who listens there, by the kernel's word from when it began to. */
static bool
is_holder_of(const struct session *s, uid_t uid)
{
	uint32_t slot;

	if (!proc_is_rooted())
		return uid == geteuid();
	return plan_slot_of_holder(proc_config()->session_uid_base, uid, &slot) &&
	    slot == s->record.pl.slot;
}

static int
check_owner(const struct session *s, int fd, pid_t *pid)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return -errno;
	if (!is_holder_of(s, who.uid)) {
		log_warnx("event=stranger_at_socket sid=%s uid=%u",
		    log_id(&s->record.pl.session_id), who.uid);
		return -EPERM;
	}
	*pid = who.pid;
	return 0;
}

/* Before the nonce comes back: if the number had been reused, the nonce would not come. */
static int
watch_process(struct session *s, pid_t pid)
{
	s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (s->pidfd < 0)
		return -errno;
	s->holder_pid = (uint32_t)pid;
	s->on_exit = event_new(proc_base(), s->pidfd, EV_READ, on_holder_exit, s);
	return s->on_exit && event_add(s->on_exit, NULL) == 0 ? 0 : -ENOMEM;
}

static int
greet(struct session *s, int fd)
{
	struct peer_end end = { .fd = fd,
		.edge = EDGE_HOLDER,
		.self = PROC_PTYD,
		.other = PROC_HOLDER,
		.way = PEER_BOTH,
		.epoch = 1 };

	s->holder = peer_new(proc_base(), &end, &ops, s);
	if (!s->holder)
		return -ENOMEM;
	session_set_stage(s, SESSION_JOINING);
	return 0;
}

int
join_start(struct session *s)
{
	cleanup_fd int fd = -1;
	pid_t pid = 0;
	int rc = open_connection(s, &fd);

	if (rc == 0)
		rc = check_owner(s, fd, &pid);
	if (rc == 0)
		rc = watch_process(s, pid);
	if (rc == 0)
		rc = greet(s, steal_fd(&fd));
	if (rc != 0)
		join_end(s);
	return rc;
}
