/* SPDX-License-Identifier: MIT */
/*
 * How ptyd finds a holder: the socket it listens on, the check of who connects, the nonces, and
 * the messages. One broker at a time; a new one that shows the nonce replaces the old.
 */
#include "ptyd/holder.h"

#include <errno.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/peer.h"
#include "common/secret.h"
#include "ptyd/launch.h"

#define BACKLOG 4

static struct holder *the_holder; /* for the log sink, which has no context */

static void
to_broker(enum log_level level, const char *line)
{
	struct pl_holder_log log = { .level = (uint8_t)level, .text = view_of(line) };

	if (log.text.len > 512)
		log.text.len = 512;
	/* Not through a broker whose queue is the trouble: it counts as stuck soon enough. */
	if (!peer_is_up(the_holder->broker) || log.text.len == 0 || !text_is_clean(log.text) ||
	    peer_send(the_holder->broker, MSG_PTY_HOLDER_LOG, 0, NULL, &log, -1) != 0)
		the_holder->log_dropped++;
}

static unsigned
phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	(void)ctx;
	(void)from;
	return m->request_id == 0 ? PH_NOTE : PH_NEW; /* each is answered before the next is read */
}

static void
on_down(void *ctx, struct peer *p, enum peer_down why, const char *detail)
{
	struct holder *h = ctx;

	(void)why;
	(void)detail;
	/* One that went down inside peer_new is neither yet: see on_accept. */
	if (p == h->broker || p == h->candidate)
		peer_free(p);
	if (p == h->broker)
		h->broker = NULL;
	else if (p == h->candidate)
		h->candidate = NULL;
}

static bool
is_for_us(const struct holder *h, const struct id128 *session_id)
{
	return id_equal(session_id, &h->plan.session_id);
}

static void
send_hello(const struct holder *h, struct peer *to)
{
	struct pl_holder_hello hello = { .nonce = h->plan.nonce, .slot = h->plan.slot };

#define COPY_FIELD(type, kind, name, min, max) hello.name = h->plan.name;
	FIELDS_owned(COPY_FIELD, )
#undef COPY_FIELD
	    hello.status = h->state.status;
	hello.exit_kind = h->state.exit_kind;
	hello.exit_value = h->state.exit_value;
	hello.end_reason = h->state.end_reason;
	peer_send(to, MSG_PTY_HOLDER_HELLO, 0, NULL, &hello, -1);
	explicit_bzero(&hello.nonce, sizeof(hello.nonce));
}

/* The first message of a candidate; nothing else is answered before its nonce has been seen. */
static int
broker_on_hello(void *ctx, struct peer *from, struct msg *m)
{
	struct holder *h = ctx;

	if (from != h->candidate || !is_for_us(h, &m->u.nonce.session_id) ||
	    !secret_equal(m->u.nonce.nonce.b, h->plan.broker_nonce.b, sizeof(struct raw32)))
		return -FOG_E_LIAR;
	peer_free(h->broker);
	h->broker = from;
	h->candidate = NULL;
	event_del(h->hello_timer);
	send_hello(h, from);
	if (h->log_dropped > 0)
		log_info("event=log_dropped lines=%lu", h->log_dropped);
	h->log_dropped = 0;
	return 0;
}

static int
refuse(struct peer *to, const struct msg *m, int error)
{
	struct pl_holder_refused why = { .error = (uint16_t)-error, .detail = view_of("") };

	return peer_send(to, MSG_PTY_HOLDER_REFUSED, m->request_id, &m->trace, &why, -1);
}

static int
broker_on_attach(void *ctx, struct peer *from, struct msg *m)
{
	struct holder *h = ctx;
	const struct pl_grant *g = &m->u.grant;
	struct pl_session_role what = { .session_id = g->session_id, .role = g->role };
	int fd = -1, rc;

	if (from != h->broker)
		return -FOG_E_LIAR;
	rc = clients_attach(h, g, &fd);
	if (rc != 0)
		return refuse(from, m, rc);
	if (g->role == ROLE_DRIVER)
		time_touch(h);
	time_confirm(h, 0); /* its owner knows of it */
	return peer_send(from, MSG_PTY_HOLDER_STREAM, m->request_id, &m->trace, &what, fd);
}

static int
broker_on_extend(void *ctx, struct peer *from, struct msg *m)
{
	struct holder *h = ctx;
	struct pl_extended done = { .session_id = m->u.extend.session_id };
	int rc;

	if (from != h->broker || !is_for_us(h, &m->u.extend.session_id))
		return -FOG_E_LIAR;
	rc = time_extend(h, m->u.extend.ttl_seconds);
	if (rc != 0)
		return refuse(from, m, rc);
	done.expires_s = h->plan.expires_s;
	return peer_send(from, MSG_PTY_HOLDER_EXTENDED, m->request_id, &m->trace, &done, -1);
}

/* The answer is what holds now: a session that stays is not made to wait again. */
static int
broker_on_confirm(void *ctx, struct peer *from, struct msg *m)
{
	struct holder *h = ctx;
	struct pl_confirm done = { .session_id = m->u.confirm.session_id };
	int rc;

	if (from != h->broker || !is_for_us(h, &m->u.confirm.session_id))
		return -FOG_E_LIAR;
	rc = time_confirm(h, m->u.confirm.confirm_by_boot_ms);
	if (rc != 0)
		return refuse(from, m, rc);
	done.confirm_by_boot_ms = h->plan.confirm_by_boot_ms;
	return peer_send(from, MSG_PTY_HOLDER_CONFIRMED, m->request_id, &m->trace, &done, -1);
}

static int
broker_on_renew(void *ctx, struct peer *from, struct msg *m)
{
	struct holder *h = ctx;
	struct pl_renewed done = { .session_id = m->u.regrant.session_id,
		.attachment = m->u.regrant.attachment };
	int rc;

	if (from != h->broker || !is_for_us(h, &m->u.regrant.session_id))
		return -FOG_E_LIAR;
	rc = identity_renew(h, &m->u.regrant);
	if (rc != 0)
		return refuse(from, m, rc);
	return peer_send(from, MSG_PTY_HOLDER_RENEWED, m->request_id, &m->trace, &done, -1);
}

static int
broker_on_detach(void *ctx, struct peer *from, struct msg *m)
{
	struct holder *h = ctx;

	if (from != h->broker || !is_for_us(h, &m->u.detach.session_id))
		return -FOG_E_LIAR;
	identity_revoke(h, m->u.detach.sid_hash);
	return 0;
}

static unsigned
status_of(unsigned reason)
{
	return reason == END_TTL ? STATUS_EXPIRED : STATUS_TERMINATED;
}

static int
broker_on_end(void *ctx, struct peer *from, struct msg *m)
{
	struct holder *h = ctx;

	if (from != h->broker || !is_for_us(h, &m->u.end.session_id))
		return -FOG_E_LIAR;
	holder_end(h, status_of(m->u.end.end_reason), m->u.end.end_reason);
	return 0;
}

static int
broker_on_state_kept(void *ctx, struct peer *from, struct msg *m)
{
	struct holder *h = ctx;

	if (from != h->broker || !is_for_us(h, &m->u.session_id.session_id) ||
	    !session_has_ended(h->state.status))
		return -FOG_E_LIAR;
	holder_state_kept(h);
	return 0;
}

void
broker_send_state(struct holder *h)
{
	if (peer_is_up(h->broker))
		peer_send(h->broker, MSG_PTY_HOLDER_STATE, 0, NULL, &h->state, -1);
}

static const msg_handler handlers[MSG_COUNT] = {
	[MSG_HOLD_HELLO] = broker_on_hello,
	[MSG_HOLD_ATTACH] = broker_on_attach,
	[MSG_HOLD_EXTEND] = broker_on_extend,
	[MSG_HOLD_RENEW] = broker_on_renew,
	[MSG_HOLD_DETACH] = broker_on_detach,
	[MSG_HOLD_CONFIRM] = broker_on_confirm,
	[MSG_HOLD_END] = broker_on_end,
	[MSG_HOLD_STATE_KEPT] = broker_on_state_kept,
};
static const struct peer_ops ops = { handlers, phase_of, on_down };

static bool
is_broker(const struct holder *h, int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return false;
	return who.uid == h->plan.broker_uid;
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval patience = { .tv_sec = 2 };
	struct holder *h = arg;
	struct peer_end end = { .edge = EDGE_HOLDER,
		.self = PROC_HOLDER,
		.other = PROC_PTYD,
		.way = PEER_BOTH,
		.epoch = 1 };
	cleanup_fd int got = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct peer *p;

	(void)what;
	if (got < 0)
		return;
	if (!is_broker(h, got)) {
		log_warnx("event=stranger_refused");
		return;
	}
	peer_free(h->candidate);
	end.fd = steal_fd(&got);
	h->candidate = NULL;
	p = peer_new(h->base, &end, &ops, h);
	if (!peer_is_up(p)) {
		peer_free(p);
		return;
	}
	h->candidate = p;
	event_add(h->hello_timer, &patience);
}

/* A candidate that says nothing holds nothing. */
static void
on_hello_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;

	(void)fd;
	(void)what;
	peer_free(h->candidate);
	h->candidate = NULL;
}

int
broker_start(struct holder *h)
{
	the_holder = h;
	log_init(-1, LOG_LEVEL_INFO);
	log_set_sink(to_broker);
	h->acceptor = event_new(h->base, HOLDER_FD_LISTEN, EV_READ | EV_PERSIST, on_accept, h);
	h->hello_timer = evtimer_new(h->base, on_hello_timeout, h);
	return h->acceptor && h->hello_timer ? 0 : -1;
}

int
broker_listen(struct holder *h)
{
	if (listen(HOLDER_FD_LISTEN, BACKLOG) != 0)
		return -1;
	return event_add(h->acceptor, NULL);
}
