/* SPDX-License-Identifier: MIT */
/* WebSocket to holder stream: see attach.h. */
#include "gatewayd/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "gatewayd/answer.h"
#include "gatewayd/conn.h"
#include "gatewayd/termproto.h"
#include "gatewayd/ws.h"

/* To the client: above HIGH the holder is not read; HARD bounds what pings can add to it. */
#define CLIENT_HIGH_BYTES (256u << 10)
#define CLIENT_LOW_BYTES (64u << 10)
#define CLIENT_HARD_BYTES (2 * CLIENT_HIGH_BYTES)
/* To the holder: above HIGH the client is not read. */
#define HOLDER_HIGH_BYTES (64u << 10)
#define HOLDER_LOW_BYTES (16u << 10)

#define READ_BYTES 65536 /* of the holder in one wake-up */
#define SLOT_MS 10       /* in each: one resize, and so many pings and probes */
#define SLOT_PINGS 250
#define PINGS_UNANSWERED_MAX 2

#define WS_INTERNAL_ERROR 1011
#define WS_GOING_AWAY 1001
#define WS_POLICY_VIOLATION 1008

struct attach {
	struct conn *c;
	struct ws *ws;
	struct id128 session_id;
	uint8_t role;
	enum term_proto proto;
	uint64_t started_ms;

	int fd; /* the holder's stream */
	struct event *readable, *writable;
	struct evbuffer *to_holder;
	unsigned char *partial; /* the beginning of a frame of the holder */
	size_t partial_len;
	bool hello_seen;
	uint64_t in_next; /* next input offset, for clients that do not count */
	enum stream_state last_status;

	struct event *slot; /* the end of the current slot */
	uint64_t slot_ms;   /* when it began */
	unsigned slot_pings;
	bool throttled, resize_waits;
	uint64_t resized_ms;
	struct stream_resize resize;

	struct event *tick; /* every WS_PING_SECONDS */
	bool heard;         /* anything of the client since the last tick */
	unsigned unanswered;

	const char *end; /* why it ends, for the log; NULL: it goes on */
};

/* --- predicates and what follows from them --- */

static size_t
client_backlog(const struct attach *a)
{
	return evbuffer_get_length(conn_output(a->c));
}

static bool
can_read_client(const struct attach *a)
{
	return a->hello_seen && !a->throttled && !a->end && !ws_is_closed(a->ws) &&
	    evbuffer_get_length(a->to_holder) < HOLDER_HIGH_BYTES &&
	    client_backlog(a) < CLIENT_HARD_BYTES;
}

static bool
can_read_holder(const struct attach *a)
{
	return !a->end && client_backlog(a) < CLIENT_HIGH_BYTES;
}

static void
update_events(struct attach *a)
{
	/* Before the hello the client may send: it waits in the input, which is bounded. */
	if (!a->hello_seen || can_read_client(a))
		bufferevent_enable(a->c->bev, EV_READ);
	else
		bufferevent_disable(a->c->bev, EV_READ);
	if (can_read_holder(a))
		event_add(a->readable, NULL);
	else
		event_del(a->readable);
}

/* --- the end --- */

void
attach_free(struct attach *a)
{
	if (!a)
		return;
	a->c->g->metrics.attached--;
	log_info("event=detach sid=%s reason=%s code=%u dur_ms=%llu", log_id(&a->session_id),
	    a->end ? a->end : "client_gone", ws_close_code(a->ws),
	    (unsigned long long)(mono_ms() - a->started_ms));
	event_free(a->readable);
	event_free(a->writable);
	event_free(a->slot);
	event_free(a->tick);
	close(a->fd);
	evbuffer_free(a->to_holder);
	ws_free(a->ws);
	free(a->partial);
	free(a);
}

/* What was typed last goes out as far as the holder takes it at once. */
static void
flush_to_holder(struct attach *a)
{
	if (evbuffer_get_length(a->to_holder) > 0)
		evbuffer_write(a->to_holder, a->fd);
	if (evbuffer_get_length(a->to_holder) > 0)
		event_add(a->writable, NULL);
}

/* The close frame is in the output: lets it go out. The attach is gone after this. */
static void
finish(struct attach *a, const char *why)
{
	struct conn *c = a->c;

	if (!a->end)
		a->end = why;
	flush_to_holder(a);
	c->attach = NULL;
	attach_free(a);
	conn_finish(c);
}

static void
end(struct attach *a, unsigned code, const char *reason, const char *why)
{
	ws_close(a->ws, code, reason);
	finish(a, why);
}

/* After anything that may have closed the WebSocket from within a callback. False: it is over. */
static bool
settle(struct attach *a)
{
	if (ws_is_closed(a->ws)) {
		finish(a, "client");
		return false;
	}
	flush_to_holder(a);
	update_events(a);
	return true;
}

/* --- from the client --- */

static void
put_frame(struct attach *a, enum stream_type type, const void *payload)
{
	static unsigned char frame[STREAM_FRAME_MAX];
	struct writer w;

	writer_init(&w, frame, sizeof(frame));
	if (stream_put(&w, type, payload) == 0)
		evbuffer_add(a->to_holder, w.p, w.len);
	else
		log_error("event=unsendable stream=%s", stream_rows[type].name);
	explicit_bzero(frame, w.len); /* keystrokes */
}

static void
take_input(struct attach *a, const struct term_event *e)
{
	uint64_t offset = e->has_offset ? e->offset : a->in_next;

	for (size_t at = 0; at < e->bytes.len; at += STREAM_DATA_MAX) {
		size_t left = e->bytes.len - at;
		size_t len = left < STREAM_DATA_MAX ? left : STREAM_DATA_MAX;
		struct stream_input input = { .offset = offset + at,
			.bytes = view_bytes(e->bytes.p + at, len) };

		put_frame(a, STREAM_INPUT, &input);
	}
	a->in_next = offset + e->bytes.len;
	a->c->g->metrics.terminal_in_bytes += e->bytes.len;
}

static void
arm_slot(struct attach *a)
{
	static const struct timeval slot = { .tv_usec = SLOT_MS * 1000 };

	if (!event_pending(a->slot, EV_TIMEOUT, NULL))
		event_add(a->slot, &slot);
}

/* At most one a slot; of more, the newest. */
static void
take_resize(struct attach *a, const struct term_event *e)
{
	a->resize = (struct stream_resize){ .cols = e->cols, .rows = e->rows };
	a->resize_waits = mono_ms() - a->resized_ms < SLOT_MS;
	if (a->resize_waits) {
		arm_slot(a);
		return;
	}
	a->resized_ms = mono_ms();
	put_frame(a, STREAM_RESIZE, &a->resize);
}

/* Above the rate the client is not read until the slot is over. */
static void
count_ping(struct attach *a)
{
	uint64_t now = mono_ms();

	if (now - a->slot_ms >= SLOT_MS) {
		a->slot_ms = now;
		a->slot_pings = 0;
	}
	if (++a->slot_pings >= SLOT_PINGS) {
		a->throttled = true;
		arm_slot(a);
	}
}

static void
take_event(struct attach *a, const struct term_event *e)
{
	switch (e->kind) {
	case TERM_INPUT:
		take_input(a, e);
		break;
	case TERM_RESIZE:
		take_resize(a, e);
		break;
	case TERM_ACK:
		put_frame(a, STREAM_ACK, &(struct stream_ack){ .offset = e->offset });
		break;
	case TERM_PROBE:
		count_ping(a);
		put_frame(a, STREAM_PROBE, &(struct stream_probe){ .value = e->value });
		break;
	case TERM_NOTHING:
		break;
	}
}

static void
on_ws_message(void *ctx, bool is_text, const unsigned char *bytes, size_t len)
{
	struct attach *a = ctx;
	struct term_event e;
	const char *why;
	unsigned code = term_decode(a->proto, is_text, bytes, len, a->c->g->scratch, &e, &why);

	if (code == 0) {
		take_event(a, &e);
		if (a->proto == TERM_JSON && e.kind == TERM_INPUT)
			explicit_bzero(a->c->g->scratch, e.bytes.len); /* keystrokes */
		return;
	}
	a->end = "bad_message";
	ws_close(a->ws, code, why);
}

static void
on_ws_control(void *ctx, enum ws_opcode opcode)
{
	if (opcode == WS_PING)
		count_ping(ctx);
}

static size_t
on_ws_read(void *ctx, void *out, size_t len)
{
	struct attach *a = ctx;
	int n = can_read_client(a) ? evbuffer_remove(conn_input(a->c), out, len) : 0;

	return n > 0 ? (size_t)n : 0;
}

static void
on_ws_write(void *ctx, const void *bytes, size_t len)
{
	struct attach *a = ctx;

	evbuffer_add(conn_output(a->c), bytes, len);
}

static const struct ws_ops ws_ops = { on_ws_read, on_ws_write, on_ws_message, on_ws_control };

/* Takes what waits in the input, as far as it may be read now. */
static void
resume_client(struct attach *a)
{
	if (a->hello_seen)
		ws_receive(a->ws);
	settle(a);
}

void
attach_on_client(struct attach *a)
{
	a->heard = true;
	a->unanswered = 0;
	resume_client(a);
}

void
attach_on_client_drained(struct attach *a)
{
	resume_client(a);
}

/* --- to the client --- */

/* One WebSocket message for all the output of one read: written in place, once. */
static void
send_output(struct attach *a, const void *bytes, size_t len)
{
	size_t size = term_output_size(a->proto, len), at;
	struct evbuffer *out = conn_output(a->c);
	struct evbuffer_iovec room;

	if (evbuffer_reserve_space(out, (ev_ssize_t)(WS_HEADER_MAX + size), &room, 1) != 1)
		return;
	at = ws_put_header(a->proto == TERM_V1 ? WS_BINARY : WS_TEXT, size, room.iov_base);
	term_put_output(a->proto, bytes, len, (unsigned char *)room.iov_base + at);
	room.iov_len = at + size;
	evbuffer_commit_space(out, &room, 1);
	a->c->g->metrics.terminal_out_bytes += len;
}

static void
send_message(struct attach *a, const struct stream_msg *m)
{
	unsigned char header[WS_HEADER_MAX];
	char text[TERM_JSON_SIZE];
	size_t len = term_put_message(a->proto, m, text);
	enum ws_opcode opcode = a->proto == TERM_V1 ? WS_BINARY : WS_TEXT;

	if (len == 0)
		return;
	evbuffer_add(conn_output(a->c), header, ws_put_header(opcode, len, header));
	evbuffer_add(conn_output(a->c), text, len);
}

/* One more after the first tells of output that the ring has lost. */
static const char *
take_hello(struct attach *a, const struct stream_hello *h)
{
	if (!id_equal(&h->session_id, &a->session_id) || h->role != a->role)
		return "its hello is for another session or role";
	if (!a->hello_seen)
		a->in_next = h->in_next;
	a->hello_seen = true;
	return NULL;
}

/* One frame that is no output. NULL, or what is wrong with it. */
static const char *
take_frame(struct attach *a, const struct stream_msg *m)
{
	const char *wrong = NULL;

	if (m->type == STREAM_HELLO)
		wrong = take_hello(a, &m->u.hello);
	else if (!a->hello_seen)
		wrong = "no hello first";
	if (wrong)
		return wrong;
	if (m->type == STREAM_STATUS)
		a->last_status = (enum stream_state)m->u.status.state;
	send_message(a, m);
	if (m->type == STREAM_EXIT) {
		unsigned code = term_close_code(&m->u.exit, a->last_status);

		a->end = session_end_name(m->u.exit.end_reason);
		ws_close(a->ws, code, term_close_reason(code));
	}
	return NULL;
}

/* Output of consecutive frames, pushed together in the buffer that they were read into. */
struct gather {
	unsigned char *at;
	size_t len;
};

static void
flush_gather(struct attach *a, struct gather *g)
{
	if (g->len > 0)
		send_output(a, g->at, g->len);
	g->len = 0;
}

static void
add_gather(struct gather *g, struct view bytes)
{
	if (g->len == 0)
		g->at = (unsigned char *)(uintptr_t)bytes.p;
	else
		memmove(g->at + g->len, bytes.p, bytes.len);
	g->len += bytes.len;
}

/* Every whole frame at the front of len bytes; *used is where the rest begins. */
static const char *
take_frames(struct attach *a, const unsigned char *bytes, size_t len, size_t *used)
{
	struct gather g = { 0 };
	const char *wrong = NULL;
	struct stream_msg m;
	size_t n;
	int rc = 1;

	for (*used = 0; !wrong && !ws_is_closed(a->ws); *used += n) {
		rc = stream_next(bytes + *used, len - *used, PROC_HOLDER, &m, &n);
		if (rc != 1)
			break;
		if (m.type == STREAM_OUTPUT && a->hello_seen) {
			add_gather(&g, m.u.output.bytes);
			continue;
		}
		flush_gather(a, &g);
		wrong = take_frame(a, &m);
	}
	flush_gather(a, &g);
	return rc < 0 ? "a frame that is none" : wrong;
}

static int
keep_partial(struct attach *a, const unsigned char *bytes, size_t len)
{
	free(a->partial);
	a->partial = NULL;
	a->partial_len = len;
	if (len == 0)
		return 0;
	a->partial = malloc(len);
	if (!a->partial)
		return -FOG_E_NOMEM;
	memcpy(a->partial, bytes, len);
	return 0;
}

static void
end_without_exit(struct attach *a)
{
	unsigned code = term_close_code(NULL, a->last_status);

	end(a, code, term_close_reason(code),
	    a->last_status ? stream_state_name(a->last_status) : "holder_closed");
}

static void
take_bytes(struct attach *a, const unsigned char *bytes, size_t len)
{
	bool was_waiting = !a->hello_seen;
	const char *wrong;
	size_t used;

	wrong = take_frames(a, bytes, len, &used);
	if (wrong) {
		log_warnx("event=holder_lied sid=%s detail=\"%s\"", log_id(&a->session_id), wrong);
		end(a, WS_INTERNAL_ERROR, "", "holder_lied");
	} else if (keep_partial(a, bytes + used, len - used) != 0) {
		end(a, WS_INTERNAL_ERROR, "", "memory");
	} else if (settle(a) && was_waiting && a->hello_seen) {
		resume_client(a); /* what came while the hello was awaited */
	}
}

static void
on_holder_readable(evutil_socket_t fd, short what, void *arg)
{
	/* One turn at a time; an idle attachment has no buffer. */
	static unsigned char turn[STREAM_FRAME_MAX + READ_BYTES];
	struct attach *a = arg;
	ssize_t n;

	(void)what;
	if (a->partial_len > 0)
		memcpy(turn, a->partial, a->partial_len);
	n = read((int)fd, turn + a->partial_len, READ_BYTES);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		end_without_exit(a);
	else
		take_bytes(a, turn, a->partial_len + (size_t)n);
}

static void
on_holder_writable(evutil_socket_t fd, short what, void *arg)
{
	struct attach *a = arg;
	bool was_full = evbuffer_get_length(a->to_holder) > HOLDER_LOW_BYTES;

	(void)fd;
	(void)what;
	flush_to_holder(a);
	if (was_full && evbuffer_get_length(a->to_holder) <= HOLDER_LOW_BYTES)
		resume_client(a);
}

void
attach_on_client_gone(struct attach *a)
{
	struct conn *c = a->c;

	flush_to_holder(a);
	conn_free(c);
}

/* --- time --- */

static void
on_slot(evutil_socket_t fd, short what, void *arg)
{
	struct attach *a = arg;

	(void)fd;
	(void)what;
	if (a->resize_waits) {
		a->resize_waits = false;
		a->resized_ms = mono_ms();
		put_frame(a, STREAM_RESIZE, &a->resize);
	}
	a->throttled = false;
	resume_client(a);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct attach *a = arg;
	bool deaf = evbuffer_get_length(a->to_holder) >= HOLDER_HIGH_BYTES;

	(void)fd;
	(void)what;
	/* While the shell does not take input the client is not read: its silence means nothing. */
	if (a->heard || deaf) {
		a->heard = false;
		return;
	}
	if (a->unanswered >= PINGS_UNANSWERED_MAX) {
		end(a, WS_POLICY_VIOLATION, "Two pings were not answered.", "ping_timeout");
		return;
	}
	a->unanswered++;
	ws_ping(a->ws);
}

/* --- the beginning --- */

static int
make_events(struct attach *a)
{
	struct event_base *base = a->c->g->base;
	struct timeval every = { .tv_sec = a->c->g->config->ws_ping_seconds };

	a->readable = event_new(base, a->fd, EV_READ | EV_PERSIST, on_holder_readable, a);
	a->writable = event_new(base, a->fd, EV_WRITE, on_holder_writable, a);
	a->slot = evtimer_new(base, on_slot, a);
	a->tick = event_new(base, -1, EV_PERSIST, on_tick, a);
	if (!a->readable || !a->writable || !a->slot || !a->tick)
		return -FOG_E_NOMEM;
	return event_add(a->tick, &every) == 0 ? 0 : -FOG_E_NOMEM;
}

static void
discard_unborn(struct attach *a)
{
	struct event *events[] = { a->readable, a->writable, a->slot, a->tick };

	for (size_t i = 0; i < COUNT_OF(events); i++) {
		if (events[i])
			event_free(events[i]);
	}
	if (a->to_holder)
		evbuffer_free(a->to_holder);
	close_fd(&a->fd);
	ws_free(a->ws);
	free(a);
}

static struct attach *
attach_new(struct conn *c)
{
	struct attach_wait *wait = &c->x.attach;
	struct attach *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	*a = (struct attach){ .c = c,
		.session_id = c->x.session_id,
		.role = wait->delivered_role,
		.fd = steal_fd(&wait->fd),
		.started_ms = mono_ms(),
		.proto = wait->protocol && strcmp(wait->protocol, "fog.pty.v1") == 0 ? TERM_V1
										     : TERM_JSON };
	a->ws = ws_new(&ws_ops, a, c->g->config->ws_max_message_bytes);
	a->to_holder = evbuffer_new();
	if (a->ws && a->to_holder && make_events(a) == 0)
		return a;
	discard_unborn(a);
	return NULL;
}

void
attach_start(struct conn *c)
{
	struct attach *a = attach_new(c);
	char trace[TRACE_ID_TEXT_SIZE];

	if (!a) {
		answer_error(c, -FOG_E_NOMEM, NULL);
		return;
	}
	trace_format(c->x.trace.b, trace);
	log_info("event=attach sid=%s role=%s proto=%s trace=%s", log_id(&a->session_id),
	    session_role_name(a->role), a->proto == TERM_V1 ? "fog.pty.v1" : "fog.pty.json", trace);
	c->g->metrics.attached++;
	c->g->metrics.attached_total++;
	answer_switching(c, c->x.attach.accept, c->x.attach.protocol);
	conn_become_attached(c, a);
	bufferevent_setwatermark(c->bev, EV_WRITE, CLIENT_LOW_BYTES, 0);
	if (c->peer_eof)
		attach_on_client_gone(a);
	else
		update_events(a);
}

/* A process that ends has no more turns: what the socket takes now is what the client sees. */
static void
stop_one(struct conn *c)
{
	struct evbuffer *out = conn_output(c);

	ws_close(c->attach->ws, WS_GOING_AWAY, "The service is restarting.");
	if (c->g->tls)
		return;
	evbuffer_unfreeze(out, 1);
	evbuffer_write(out, bufferevent_getfd(c->bev));
}

void
attach_stop_all(struct gateway *g)
{
	struct conn *c;

	TAILQ_FOREACH(c, &g->conns, next) {
		if (c->attach)
			stop_one(c);
	}
}
