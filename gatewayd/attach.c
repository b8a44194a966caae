/* SPDX-License-Identifier: MIT */
/* WebSocket to holder stream: see attach.h. */
#include "gatewayd/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "gatewayd/answer.h"
#include "gatewayd/client.h"
#include "gatewayd/conn.h"
#include "gatewayd/penalty.h"
#include "gatewayd/renewal.h"
#include "gatewayd/termproto.h"
#include "gatewayd/worker.h"
#include "gatewayd/ws.h"

/* In one wake-up, so that no attachment keeps the others waiting. */
#define HOLDER_READ_BYTES (64u << 10)
#define CLIENT_READ_BYTES (16u << 10)
/*
 * What waits for the client: above HIGH the holder is not read; one turn more in base64 stays
 * below HARD, which bounds what pings can add.
 */
#define CLIENT_HIGH_BYTES (32u << 10)
#define CLIENT_HARD_BYTES (160u << 10)
/* What waits for the holder: above HIGH the client is not read. */
#define HOLDER_HIGH_BYTES (64u << 10)
#define HOLDER_LOW_BYTES (16u << 10)

/* Before what is read of the holder: the header of a message and the type of an output message. */
#define TURN_ROOM (WS_HEADER_MAX + 1)
#define CONTROL_MAX 512 /* the longest frame of a holder that is no output, and more */
#define SLOT_MS 10      /* in each: one resize, and so many pings and probes */
#define SLOT_PINGS 250
#define PINGS_UNANSWERED_MAX 2
/* A client renews every few minutes; one whose token was refused may try again. */
#define RENEWALS_MS 10000
#define RENEWALS_MAX 10 /* in so long */

#define WS_INTERNAL_ERROR 1011
#define WS_GOING_AWAY 1001
#define WS_POLICY_VIOLATION 1008

/* Buffers for one turn of one attachment at a time: an idle attachment has none. */
struct turn {
	/*
	 * Frames for the holder, sent together at the end of the turn: see settle() and finish().
	 * Each turn leaves it empty.
	 */
	struct {
		const struct attach *of;
		size_t len;
		unsigned char bytes[2 * STREAM_FRAME_MAX];
	} outbox;
	unsigned char client[CLIENT_READ_BYTES];
	unsigned char holder[TURN_ROOM + CONTROL_MAX + HOLDER_READ_BYTES];
	unsigned char text[TURN_ROOM + HOLDER_READ_BYTES / 3 * 4 + TERM_JSON_SIZE];
	unsigned char decoded[]; /* WS_MAX_MESSAGE_BYTES */
};

struct attach {
	struct conn *c;
	struct worker_view *w; /* the thread that it runs on; NULL before and after */
	TAILQ_ENTRY(attach) next;
	struct client *client;
	struct ws *ws;
	struct id128 session_id;
	uint8_t role;
	char fallback_node[65]; /* of attach_wait */
	enum term_proto proto;
	uint64_t started_ms;

	int fd; /* the holder's stream */
	struct event *readable, *writable;
	struct evbuffer *to_holder;
	size_t output_left; /* of an output frame of the holder that has begun */
	size_t partial_len; /* the beginning of another one */
	unsigned char partial[CONTROL_MAX];
	bool hello_seen;
	uint64_t in_next; /* next input offset, for clients that do not count */
	bool ack_waits;
	struct stream_ack ack; /* the furthest of this turn */
	enum stream_state last_status;

	struct source_key source; /* of the client */
	uint64_t attachment;      /* of the hello: what a renewal is for */
	struct renewal *renewal;  /* the main thread's until it is back; NULL: none */
	uint64_t renewals_ms;     /* since when they are counted */
	unsigned renewals;

	const unsigned char *in; /* of the client in this turn, not yet taken */
	size_t in_len;

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
	bool is_gone;    /* nothing more can be sent */
};

/* --- predicates and what follows from them --- */

static bool
can_read_client(const struct attach *a)
{
	return a->hello_seen && !a->throttled && !a->end && !ws_is_closed(a->ws) &&
	    evbuffer_get_length(a->to_holder) < HOLDER_HIGH_BYTES &&
	    client_backlog(a->client) < CLIENT_HARD_BYTES;
}

static bool
can_read_holder(const struct attach *a)
{
	return !a->end && client_backlog(a->client) < CLIENT_HIGH_BYTES;
}

static void
update_events(struct attach *a)
{
	bool is_reading = event_pending(a->readable, EV_READ, NULL);

	client_set_reading(a->client, can_read_client(a));
	if (can_read_holder(a) && !is_reading)
		event_add(a->readable, NULL);
	else if (!can_read_holder(a) && is_reading)
		event_del(a->readable);
}

/* --- to the holder --- */

static void
clear_outbox(struct turn *t)
{
	explicit_bzero(t->outbox.bytes, t->outbox.len); /* keystrokes */
	t->outbox.len = 0;
	t->outbox.of = NULL;
}

/* What the holder does not take now waits. That it has gone is told by what is read of it. */
static void
send_outbox(struct attach *a)
{
	struct turn *t = a->w->turn;
	size_t done = 0;
	ssize_t n;

	if (evbuffer_get_length(a->to_holder) == 0) {
		n = write(a->fd, t->outbox.bytes, t->outbox.len);
		if (n > 0)
			done = (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			done = t->outbox.len;
	}
	if (done < t->outbox.len)
		evbuffer_add(a->to_holder, t->outbox.bytes + done, t->outbox.len - done);
	clear_outbox(t);
}

static void
put_frame(struct attach *a, enum stream_type type, const void *payload)
{
	struct turn *t = a->w->turn;
	struct writer w;

	if (t->outbox.len > sizeof(t->outbox.bytes) - STREAM_FRAME_MAX)
		send_outbox(a);
	t->outbox.of = a;
	writer_init(&w, t->outbox.bytes + t->outbox.len, sizeof(t->outbox.bytes) - t->outbox.len);
	if (stream_put(&w, type, payload) == 0)
		t->outbox.len += w.len;
	else
		log_error("event=unsendable stream=%s", stream_rows[type].name);
}

static void
put_ack(struct attach *a)
{
	if (a->ack_waits)
		put_frame(a, STREAM_ACK, &a->ack);
	a->ack_waits = false;
}

static void
flush_to_holder(struct attach *a)
{
	put_ack(a);
	if (a->w->turn->outbox.of == a)
		send_outbox(a);
	if (evbuffer_get_length(a->to_holder) > 0)
		event_add(a->writable, NULL);
}

/* --- the end --- */

static void
drop_events(struct attach *a)
{
	struct event **events[] = { &a->readable, &a->writable, &a->slot, &a->tick };

	for (size_t i = 0; i < COUNT_OF(events); i++) {
		if (*events[i])
			event_free(*events[i]);
		*events[i] = NULL;
	}
	client_stop(a->client);
}

/* Gives the connection back to the main thread: the attach is not touched after this. */
static void
leave(struct attach *a)
{
	struct worker_view *w = a->w;

	if (w->turn->outbox.of == a)
		clear_outbox(w->turn);
	log_info("event=detach sid=%s reason=%s code=%u dur_ms=%llu", log_id(&a->session_id),
	    a->end ? a->end : "client_gone", ws_close_code(a->ws),
	    (unsigned long long)(mono_ms() - a->started_ms));
	drop_events(a);
	TAILQ_REMOVE(&w->attached, a, next);
	if (a->renewal)
		a->renewal->a = NULL;
	a->w = NULL;
	worker_return(w, a->c);
}

/* The close frame is sent, or waits in the client: lets it go out. The attach is gone after this. */
static void
finish(struct attach *a, const char *why)
{
	if (!a->end)
		a->end = why;
	flush_to_holder(a);
	leave(a);
}

/* The client cannot be told anything. The attach is gone after this. */
static void
lose_client(struct attach *a)
{
	a->is_gone = true;
	flush_to_holder(a);
	leave(a);
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

/* One message of len bytes, for whose header there is room before them; 0: none. */
static void
send_text(struct attach *a, char *text, size_t len)
{
	unsigned char header[WS_HEADER_MAX];
	size_t header_len;

	if (len == 0)
		return;
	header_len = ws_put_header(a->proto == TERM_V1 ? WS_BINARY : WS_TEXT, len, header);
	memcpy(text + WS_HEADER_MAX - header_len, header, header_len);
	client_write(a->client, text + WS_HEADER_MAX - header_len, header_len + len);
}

/* --- from the client --- */

static void
take_input(struct attach *a, const struct term_event *e)
{
	uint64_t offset = e->has_offset ? e->offset : a->in_next;

	put_ack(a); /* in the client's order: behind one that ends the stream nothing is typed */
	for (size_t at = 0; at < e->bytes.len; at += STREAM_DATA_MAX) {
		size_t left = e->bytes.len - at;
		size_t len = left < STREAM_DATA_MAX ? left : STREAM_DATA_MAX;
		struct stream_input input = { .offset = offset + at,
			.bytes = view_bytes(e->bytes.p + at, len) };

		put_frame(a, STREAM_INPUT, &input);
	}
	a->in_next = offset + e->bytes.len;
	atomic_fetch_add_explicit(&a->w->in_bytes, e->bytes.len, memory_order_relaxed);
}

static void
arm_slot(struct attach *a)
{
	static const struct timeval slot = { .tv_usec = SLOT_MS * 1000 };

	if (!event_pending(a->slot, EV_TIMEOUT, NULL))
		event_add(a->slot, &slot);
}

/* The last is a whole slot ago, whatever its two clock readings have cut off. */
static bool
may_resize(const struct attach *a)
{
	return mono_ms() - a->resized_ms > SLOT_MS;
}

/* At most one a slot; of more, the newest. */
static void
pass_resize(struct attach *a)
{
	a->resize_waits = !may_resize(a);
	if (a->resize_waits) {
		arm_slot(a);
		return;
	}
	a->resized_ms = mono_ms();
	put_frame(a, STREAM_RESIZE, &a->resize);
}

static void
take_resize(struct attach *a, const struct term_event *e)
{
	a->resize = (struct stream_resize){ .cols = e->cols, .rows = e->rows };
	pass_resize(a);
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

/* One of many is enough, and the furthest also tells of the worst. */
static void
take_ack(struct attach *a, uint64_t offset)
{
	if (!a->ack_waits || offset > a->ack.offset)
		a->ack.offset = offset;
	a->ack_waits = true;
}

static void
refuse_renewal(struct attach *a, int error)
{
	char text[WS_HEADER_MAX + TERM_JSON_SIZE];

	send_text(a, text, term_put_refusal(a->proto, error, text + WS_HEADER_MAX));
}

static bool
may_renew(struct attach *a)
{
	uint64_t now = mono_ms();

	if (now - a->renewals_ms >= RENEWALS_MS) {
		a->renewals_ms = now;
		a->renewals = 0;
	}
	return !a->renewal && ++a->renewals <= RENEWALS_MAX;
}

/* One at a time: the main thread asks, and on_renewal() has the answer. */
static void
take_renewal(struct attach *a, struct view token)
{
	struct renewal *r;

	count_ping(a);
	if (!may_renew(a)) {
		refuse_renewal(a, FOG_E_RATE);
		return;
	}
	r = renewal_new(a, token);
	if (!r) {
		refuse_renewal(a, FOG_E_NOMEM);
		return;
	}
	r->session_id = a->session_id;
	r->attachment = a->attachment;
	r->source = a->source;
	a->renewal = r;
	worker_ask(a->w, r);
}

/* What was renewed the holder itself tells. */
static void
on_renewal(struct renewal *r)
{
	struct attach *a = r->a;
	int error = r->error;

	renewal_free(r);
	if (!a)
		return;
	a->renewal = NULL;
	if (error != 0)
		refuse_renewal(a, error);
	settle(a);
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
		take_ack(a, e->offset);
		break;
	case TERM_PROBE:
		count_ping(a);
		put_frame(a, STREAM_PROBE, &(struct stream_probe){ .value = e->value });
		break;
	case TERM_RENEWAL:
		take_renewal(a, e->bytes);
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
	unsigned char *decoded = a->w->turn->decoded;
	unsigned code = term_decode(a->proto, is_text, bytes, len, decoded, &e, &why);

	if (code == 0) {
		take_event(a, &e);
		if (a->proto == TERM_JSON && e.kind == TERM_INPUT)
			explicit_bzero(decoded, e.bytes.len); /* keystrokes */
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

/* What an earlier turn left over comes first. */
static size_t
on_ws_read(void *ctx, void *out, size_t len)
{
	struct attach *a = ctx;
	struct evbuffer *left = client_early(a->client);

	if (!can_read_client(a))
		return 0;
	if (evbuffer_get_length(left) > 0)
		return (size_t)evbuffer_remove(left, out, len);
	if (a->in_len == 0)
		return 0;
	len = len < a->in_len ? len : a->in_len;
	memcpy(out, a->in, len);
	a->in += len;
	a->in_len -= len;
	return len;
}

static void
on_ws_write(void *ctx, const void *bytes, size_t len)
{
	struct attach *a = ctx;

	client_write(a->client, bytes, len);
}

static const struct ws_ops ws_ops = { on_ws_read, on_ws_write, on_ws_message, on_ws_control };

/* Takes what waits in the input, as far as it may be read now. */
static void
resume_client(struct attach *a)
{
	ws_receive(a->ws);
	settle(a);
}

static void
take_client_bytes(struct attach *a, unsigned char *bytes, size_t len)
{
	a->heard = true;
	a->unanswered = 0;
	a->in = bytes;
	a->in_len = len;
	ws_receive(a->ws);
	evbuffer_add(client_early(a->client), a->in, a->in_len);
	a->in_len = 0;
	explicit_bzero(bytes, len); /* keystrokes */
	settle(a);
}

static void
on_client_readable(void *ctx)
{
	struct attach *a = ctx;
	unsigned char *turn = a->w->turn->client;
	ssize_t n;

	penalty_working(conn_client(a->c));
	n = client_read(a->client, turn, CLIENT_READ_BYTES);
	if (n > 0)
		take_client_bytes(a, turn, (size_t)n);
	else if (n < 0)
		lose_client(a);
	penalty_working(NULL);
}

static void
on_client_writable(void *ctx)
{
	struct attach *a = ctx;

	penalty_working(conn_client(a->c));
	resume_client(a);
	penalty_working(NULL);
}

static const struct client_ops client_ops = { on_client_readable, on_client_writable };

/* --- to the client --- */

/*
 * One WebSocket message for all the output of one read. fog.pty.v1 gets the bytes from where they
 * are: TURN_ROOM before them is ours.
 */
static void
send_output(struct attach *a, unsigned char *bytes, size_t len)
{
	unsigned char header[WS_HEADER_MAX];
	unsigned char *at = a->proto == TERM_V1 ? bytes - 1 : a->w->turn->text + TURN_ROOM;
	size_t size = term_output_size(a->proto, len), header_len;

	term_put_output(a->proto, bytes, len, at);
	header_len = ws_put_header(a->proto == TERM_V1 ? WS_BINARY : WS_TEXT, size, header);
	memcpy(at - header_len, header, header_len);
	client_write(a->client, at - header_len, header_len + size);
	atomic_fetch_add_explicit(&a->w->out_bytes, len, memory_order_relaxed);
}

static void
send_message(struct attach *a, const struct stream_msg *m)
{
	char text[WS_HEADER_MAX + TERM_JSON_SIZE];

	send_text(a, text, term_put_message(a->proto, m, text + WS_HEADER_MAX));
}

/* The client is told once where it is, when that is not where it should be. */
static void
send_fallback(struct attach *a)
{
	char text[WS_HEADER_MAX + TERM_JSON_SIZE];

	if (*a->fallback_node)
		send_text(a, text,
		    term_put_fallback(a->proto, a->fallback_node, text + WS_HEADER_MAX));
}

/* One more after the first tells of output that the ring has lost. */
static const char *
take_hello(struct attach *a, const struct stream_hello *h)
{
	if (!id_equal(&h->session_id, &a->session_id) || h->role != a->role)
		return "its hello is for another session or role";
	if (a->hello_seen && h->attachment != a->attachment)
		return "its hello is for another attachment";
	if (!a->hello_seen)
		a->in_next = h->in_next;
	a->attachment = h->attachment;
	a->hello_seen = true;
	return NULL;
}

/* One frame that is no output. NULL, or what is wrong with it. */
static const char *
take_frame(struct attach *a, const struct stream_msg *m)
{
	bool is_first = !a->hello_seen;
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
	if (is_first)
		send_fallback(a);
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
add_gather(struct gather *g, unsigned char *bytes, size_t len)
{
	if (g->len == 0)
		g->at = bytes;
	else
		memmove(g->at + g->len, bytes, len);
	g->len += len;
}

/*
 * Takes the header of an output frame, whose bytes may still be to come. 1; 0: it is none, or not
 * whole yet.
 */
static int
take_output_header(struct attach *a, const unsigned char *bytes, size_t len)
{
	struct reader r;
	uint32_t frame_len;

	if (len < STREAM_HEADER_BYTES)
		return 0;
	reader_init(&r, bytes, len);
	frame_len = get_u32(&r);
	if (get_u8(&r) != stream_rows[STREAM_OUTPUT].letter || frame_len < 2 ||
	    frame_len > 1 + STREAM_DATA_MAX)
		return 0;
	a->output_left = frame_len - 1;
	return 1;
}

/* The next piece of output, or the next whole frame. *used 0: the rest has to wait for more. */
static const char *
take_next(struct attach *a, struct gather *g, unsigned char *bytes, size_t len, size_t *used)
{
	struct stream_msg m;
	int rc;

	*used = 0;
	if (a->output_left > 0) {
		*used = len < a->output_left ? len : a->output_left;
		a->output_left -= *used;
		add_gather(g, bytes, *used);
		return NULL;
	}
	if (take_output_header(a, bytes, len)) {
		*used = STREAM_HEADER_BYTES;
		return a->hello_seen ? NULL : "no hello first";
	}
	rc = stream_next(bytes, len, PROC_HOLDER, &m, used);
	if (rc == 1) {
		flush_gather(a, g);
		return take_frame(a, &m);
	}
	return rc < 0 || len > CONTROL_MAX ? "a frame that is none" : NULL;
}

/* All there is. The beginning of a frame that is not whole is kept. */
static const char *
take_frames(struct attach *a, unsigned char *bytes, size_t len)
{
	struct gather g = { 0 };
	const char *wrong = NULL;
	size_t at = 0, used = 1;

	while (!wrong && at < len && used > 0 && !ws_is_closed(a->ws)) {
		wrong = take_next(a, &g, bytes + at, len - at, &used);
		at += used;
	}
	flush_gather(a, &g);
	a->partial_len = 0;
	if (!wrong && !ws_is_closed(a->ws)) {
		a->partial_len = len - at;
		memcpy(a->partial, bytes + at, len - at);
	}
	return wrong;
}

static void
end_without_exit(struct attach *a)
{
	unsigned code = term_close_code(NULL, a->last_status);

	end(a, code, term_close_reason(code),
	    a->last_status ? stream_state_name(a->last_status) : "holder_closed");
}

static void
take_holder_bytes(struct attach *a, unsigned char *bytes, size_t len)
{
	bool was_waiting = !a->hello_seen;
	const char *wrong = take_frames(a, bytes, len);

	if (wrong) {
		log_warnx("event=holder_lied sid=%s detail=\"%s\"", log_id(&a->session_id), wrong);
		end(a, WS_INTERNAL_ERROR, "", "holder_lied");
	} else if (settle(a) && was_waiting && a->hello_seen) {
		resume_client(a); /* what came while the hello was awaited */
	}
}

static void
on_holder_readable(evutil_socket_t fd, short what, void *arg)
{
	struct attach *a = arg;
	unsigned char *bytes = a->w->turn->holder + TURN_ROOM;
	ssize_t n;

	(void)what;
	memcpy(bytes, a->partial, a->partial_len);
	n = read((int)fd, bytes + a->partial_len, HOLDER_READ_BYTES);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	penalty_working(conn_client(a->c));
	if (n <= 0)
		end_without_exit(a);
	else
		take_holder_bytes(a, bytes, a->partial_len + (size_t)n);
	penalty_working(NULL);
}

static void
on_holder_writable(evutil_socket_t fd, short what, void *arg)
{
	struct attach *a = arg;
	bool was_full = evbuffer_get_length(a->to_holder) > HOLDER_LOW_BYTES;

	(void)what;
	if (evbuffer_write(a->to_holder, (int)fd) < 0 && errno != EAGAIN && errno != EINTR)
		evbuffer_drain(a->to_holder, evbuffer_get_length(a->to_holder));
	flush_to_holder(a);
	if (was_full && evbuffer_get_length(a->to_holder) <= HOLDER_LOW_BYTES)
		resume_client(a);
}

/* --- time --- */

static void
on_slot(evutil_socket_t fd, short what, void *arg)
{
	struct attach *a = arg;

	(void)fd;
	(void)what;
	/* The timer counts from the beginning of the turn that armed it, which may be long ago. */
	if (a->resize_waits)
		pass_resize(a);
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
	if (deaf && client_has_left(a->client)) {
		lose_client(a);
		return;
	}
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
	struct event_base *base = a->w->base;
	struct timeval every = { .tv_sec = a->c->g->config->ws_ping_seconds };

	a->readable = event_new(base, a->fd, EV_READ | EV_PERSIST, on_holder_readable, a);
	a->writable = event_new(base, a->fd, EV_WRITE, on_holder_writable, a);
	a->slot = evtimer_new(base, on_slot, a);
	a->tick = event_new(base, -1, EV_PERSIST, on_tick, a);
	if (!a->readable || !a->writable || !a->slot || !a->tick || event_add(a->tick, &every) != 0)
		return -1;
	return client_start(a->client, base);
}

/* On the worker: from here on its loop has it. */
static void
run(struct attach *a, struct worker_view *w)
{
	a->w = w;
	TAILQ_INSERT_TAIL(&w->attached, a, next);
	if (make_events(a) != 0) {
		a->end = "memory";
		lose_client(a);
	} else {
		update_events(a);
	}
}

/* A process that ends has no more turns: what the socket takes now is what the client sees. */
static void
stop(struct worker_view *w)
{
	struct attach *a;

	TAILQ_FOREACH(a, &w->attached, next)
		ws_close(a->ws, WS_GOING_AWAY, "The service is restarting.");
}

static struct turn *
turn_new(const struct gateway *g)
{
	return calloc(1, sizeof(struct turn) + g->config->ws_max_message_bytes);
}

/* --- on the main thread --- */

static void
attach_free(struct attach *a)
{
	client_free(a->client);
	if (a->to_holder)
		evbuffer_free(a->to_holder);
	ws_free(a->ws);
	close_fd(&a->fd);
	free(a);
}

static void
ended(struct conn *c)
{
	bool is_gone = c->attach->is_gone;

	attach_free(c->attach);
	c->attach = NULL;
	c->g->metrics.attached--;
	if (is_gone)
		conn_free(c);
	else
		conn_finish(c);
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
		.source = c->x.source,
		.fd = steal_fd(&wait->fd),
		.started_ms = mono_ms(),
		.proto = wait->protocol && strcmp(wait->protocol, "fog.pty.v1") == 0 ? TERM_V1
										     : TERM_JSON };
	memcpy(a->fallback_node, wait->fallback_node, sizeof(a->fallback_node));
	a->ws = ws_new(&ws_ops, a, c->g->config->ws_max_message_bytes);
	a->to_holder = evbuffer_new();
	if (a->ws && a->to_holder)
		return a;
	attach_free(a);
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
	answer_switching(c, c->x.attach.accept, c->x.attach.protocol);
	a->client = client_new(c->bev, &client_ops, a);
	conn_become_attached(c, a);
	c->g->metrics.attached++;
	c->g->metrics.attached_total++;
	if (!c->peer_eof && a->client && c->g->workers) {
		workers_give(c->g->workers, c);
		return;
	}
	a->is_gone = true;
	ended(c);
}

int
attach_init(struct gateway *g)
{
	static const struct worker_ops ops = { turn_new, run, stop, ended, renewal_ask,
		on_renewal };

	g->workers = workers_start(g, g->config->gateway_workers, &ops);
	return g->workers ? 0 : -1;
}
