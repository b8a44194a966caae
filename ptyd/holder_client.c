/* SPDX-License-Identifier: MIT */
/* The stream of one client: see holder_client.h and stream.def. */
#include "ptyd/holder_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"

/* What fits into the pending bytes beside the rest of a frame; control frames are below 300. */
#define CONTROL_BYTES 4096
#define CONTROL_ROOM 512 /* kept for what must be told: the exit, a gap, why it parts */
#define SEND_BUDGET_BYTES (512u << 10)
#define READ_BUDGET_BYTES (256u << 10)
/* Of a frame that has begun the rest is kept, whatever becomes of the ring: so 32 viewers' are small. */
#define VIEWER_FRAME_BYTES 16384

static size_t
frame_max(uint8_t role)
{
	return role == ROLE_DRIVER ? STREAM_DATA_MAX : VIEWER_FRAME_BYTES;
}

static const struct timeval look_after = { .tv_sec = 1 };

/* --- what goes before all else --- */

static size_t
pending_room(const struct client *c)
{
	return c->pending_max - c->pending_len;
}

static void
queue_control(struct client *c, enum stream_type type, const void *payload)
{
	struct writer w;

	if (c->exit_is_queued || c->has_left)
		return; /* nothing follows it */
	writer_init(&w, c->pending + c->pending_len, pending_room(c));
	if (stream_put(&w, type, payload) == 0)
		c->pending_len += w.len;
	else
		log_debug("event=control_frame_dropped type=%s", stream_rows[type].name);
}

void
client_queue_status(struct client *c, enum stream_state state, uint64_t at_s, const char *detail)
{
	struct stream_status status = { .state = (uint8_t)state,
		.at_s = at_s,
		.detail = view_of(detail) };

	/* Why it parts has the room that is kept. */
	if (c->is_parting || pending_room(c) >= CONTROL_ROOM)
		queue_control(c, STREAM_STATUS, &status);
}

static void
queue_exit(struct client *c)
{
	const struct pl_state *s = &c->h->state;
	struct stream_exit end = { .exit_kind = s->exit_kind,
		.exit_value = s->exit_value,
		.end_reason = s->end_reason };

	queue_control(c, STREAM_EXIT, &end);
	c->exit_is_queued = true;
}

static void
queue_hello(struct client *c, uint64_t out_lost)
{
	const struct holder *h = c->h;
	struct stream_hello hello = { .session_id = h->plan.session_id,
		.role = c->role,
		.cols = h->cols,
		.rows = h->rows,
		.in_next = h->input.next,
		.expires_s = h->plan.expires_s,
		.out_from = c->cursor,
		.out_lost = out_lost,
		.out_next = ring_end(h->ring),
		.attachment = c->number,
		.until_s = identity_wall_s(c->until_boot_ms) };

	c->cols = h->cols;
	c->rows = h->rows;
	queue_control(c, STREAM_HELLO, &hello);
}

void
client_begin(struct client *c, uint64_t out_from, uint64_t out_lost)
{
	c->cursor = out_from;
	window_begin(c->window, out_from);
	queue_hello(c, out_lost);
}

/* It was so slow that the ring went on without it: to where it will not at once be late again. */
static void
skip_lost(struct client *c)
{
	const struct ring *ring = c->h->ring;
	uint64_t kept = ring_end(ring) - ring_start(ring);
	uint64_t lost_from = c->cursor;

	c->cursor = ring_end(ring) - (kept / 2 < STREAM_DATA_MAX ? kept / 2 : STREAM_DATA_MAX);
	window_skip(c->window, c->cursor);
	queue_hello(c, c->cursor - lost_from);
}

/* A screen that only watches has to be of the size that the driver gave. */
static bool
has_other_size(const struct client *c)
{
	return c->role == ROLE_VIEWER && (c->cols != c->h->cols || c->rows != c->h->rows);
}

/* --- sending --- */

/* SIGPIPE is ignored. write, unlike send, is allowed with any argument: the kernel need not run the filter. */

static ssize_t
send_pending(struct client *c)
{
	ssize_t n = write(c->fd, c->pending, c->pending_len);

	if (n > 0) {
		c->pending_len -= (size_t)n;
		memmove(c->pending, c->pending + n, c->pending_len);
	}
	return n;
}

/* The frame has begun: what follows its first n bytes is promised. */
static void
keep_rest(struct client *c, const struct iovec iov[static 3], size_t n)
{
	for (int i = 0; i < 3; i++) {
		size_t skip = n < iov[i].iov_len ? n : iov[i].iov_len;
		size_t left = iov[i].iov_len - skip;

		n -= skip;
		if (left == 0)
			continue; /* there may be no span at all */
		memcpy(c->pending + c->pending_len, (const char *)iov[i].iov_base + skip, left);
		c->pending_len += left;
	}
}

static ssize_t
send_output(struct client *c, size_t len)
{
	unsigned char header[STREAM_HEADER_BYTES];
	struct iovec iov[3] = { { header, sizeof(header) } };
	ssize_t n;

	stream_put_output_header(header, len);
	ring_view(c->h->ring, c->cursor, iov + 1);
	if (iov[1].iov_len > len)
		iov[1].iov_len = len;
	iov[2].iov_len = len - iov[1].iov_len;
	n = writev(c->fd, iov, iov[2].iov_len > 0 ? 3 : 2);
	if (n <= 0)
		return n;
	if ((size_t)n < sizeof(header) + len)
		keep_rest(c, iov, (size_t)n);
	c->cursor += len;
	window_sent(c->window, len, mono_ms());
	return n;
}

/* When the session has ended there is nothing to interrupt: the sockets may have it all. */
static size_t
output_room(struct client *c)
{
	uint64_t waiting = ring_end(c->h->ring) - c->cursor;

	if (waiting > 0 && c->h->phase == HOLDER_LIVING)
		waiting = window_send_room(c->window, waiting);
	return waiting < frame_max(c->role) ? (size_t)waiting : frame_max(c->role);
}

/* Bytes sent; 0: there is nothing to send now; -1: errno. */
static ssize_t
send_next(struct client *c)
{
	size_t len;

	if (c->pending_len > 0)
		return send_pending(c);
	if (c->is_parting)
		return 0;
	if (c->cursor < ring_start(c->h->ring)) {
		skip_lost(c);
		return send_pending(c);
	}
	if (has_other_size(c)) {
		queue_hello(c, 0);
		return send_pending(c);
	}
	len = output_room(c);
	if (len > 0)
		return send_output(c, len);
	if (c->h->phase != HOLDER_FLUSHING || c->exit_is_queued)
		return 0;
	queue_exit(c);
	return send_pending(c);
}

void
client_flush(struct client *c)
{
	size_t sent = 0;
	ssize_t n = 0;

	if (c->is_over || c->has_left)
		return;
	while (sent < SEND_BUDGET_BYTES && (n = send_next(c)) > 0)
		sent += (size_t)n;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		clients_lose(c);
	else if (n != 0)
		event_add(c->writable, NULL);
	else
		event_del(c->writable);
	if (n == 0 && c->is_parting)
		clients_lose(c);
}

bool
client_has_all(const struct client *c)
{
	return c->is_over || (c->exit_is_queued && c->pending_len == 0);
}

/* --- receiving --- */

static int
on_input(struct client *c, const struct stream_msg *m)
{
	/* What is typed after the shell has gone is nobody's. */
	if (c->h->phase != HOLDER_LIVING)
		return 0;
	return input_offer(&c->h->input, m->u.input.offset, m->u.input.bytes.p,
	    m->u.input.bytes.len);
}

static int
on_resize(struct client *c, const struct stream_msg *m)
{
	term_resize(c->h, m->u.resize.cols, m->u.resize.rows);
	return 0;
}

/* Of a viewer: ignored, and said so once. */
static int
on_forbidden(struct client *c, const struct stream_msg *m)
{
	(void)m;
	if (!c->was_told_read_only)
		client_queue_status(c, STREAM_STATE_READ_ONLY, 0, "You are watching");
	c->was_told_read_only = true;
	return 0;
}

static int
on_ack(struct client *c, const struct stream_msg *m)
{
	return window_ack(c->window, m->u.ack.offset, mono_ms());
}

static int
on_probe(struct client *c, const struct stream_msg *m)
{
	struct stream_answer answer = { .value = m->u.probe.value };

	if (pending_room(c) < CONTROL_ROOM)
		return -FOG_E_FULL;
	queue_control(c, STREAM_ANSWER, &answer);
	return 0;
}

/* 0: done with this frame; -FOG_E_FULL: offer it again when something has drained. */
typedef int (*frame_handler)(struct client *c, const struct stream_msg *m);

static const struct {
	frame_handler driver, viewer;
} handlers[STREAM_COUNT] = {
	[STREAM_INPUT] = { on_input, on_forbidden },
	[STREAM_RESIZE] = { on_resize, on_forbidden },
	[STREAM_ACK] = { on_ack, on_ack },
	[STREAM_PROBE] = { on_probe, on_probe },
};

static int
handle_frame(struct client *c, const struct stream_msg *m)
{
	frame_handler handle = c->role == ROLE_DRIVER ? handlers[m->type].driver
						      : handlers[m->type].viewer;

	return handle ? handle(c, m) : -FOG_E_LIAR;
}

/* Handles the whole frames that have arrived. Returns 0, -FOG_E_FULL, or why the stream ends. */
static int
take_frames(struct client *c)
{
	struct stream_msg m;
	size_t at = 0, used = 0;
	int rc = 0;

	while (rc == 0) {
		int got = stream_next(c->in + at, c->in_len - at, PROC_GATEWAYD, &m, &used);

		if (got <= 0) {
			rc = got;
			break;
		}
		rc = handle_frame(c, &m);
		if (rc == 0)
			at += used;
	}
	c->in_len -= at;
	memmove(c->in, c->in + at, c->in_len);
	explicit_bzero(c->in + c->in_len, at);
	return rc;
}

/* Hands on what has arrived, as far as the terminal and the queues take it. */
static void
serve(struct client *c)
{
	int rc;

	do
		rc = take_frames(c);
	while (term_deliver(c->h) > 0 && rc == -FOG_E_FULL);
	c->is_blocked = rc == -FOG_E_FULL;
	if (c->is_blocked && !c->has_left)
		event_add(c->hangup, &look_after);
	else
		event_del(c->hangup);
	if (c->is_blocked)
		event_del(c->readable);
	else if (rc == 0)
		event_add(c->readable, NULL);
	else
		clients_refuse(c, rc);
}

/* 1: more may follow; 0: not now; -1: the client has gone. */
static int
read_some(struct client *c)
{
	size_t room = sizeof(c->in) - c->in_len;
	ssize_t n = read(c->fd, c->in + c->in_len, room);

	if (n > 0) {
		c->in_len += (size_t)n;
		return (size_t)n == room;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void
on_client_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct holder *h = c->h;
	size_t got = 0;
	int more = 1;

	(void)fd;
	(void)what;
	while (more == 1 && got < READ_BUDGET_BYTES && !c->is_blocked && !c->is_parting) {
		size_t before = c->in_len;

		more = read_some(c);
		got += c->in_len - before;
		serve(c);
	}
	if (more < 0)
		clients_lose(c);
	client_flush(c);
	term_update(h);
}

/*
 * While nothing is read the end of the stream is not either. A look now and then: epoll tells of an
 * end that is an error in a way that libevent has no event for alone.
 */
static void
on_client_look(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct holder *h = c->h;
	struct pollfd end = { .fd = c->fd };

	(void)fd;
	(void)what;
	if (poll(&end, 1, 0) != 1) {
		event_add(c->hangup, &look_after);
		return;
	}
	clients_left(c);
	client_resume(c); /* it may have waited for the client to read */
	term_update(h);
}

void
client_resume(struct client *c)
{
	if (c->is_blocked && !c->is_parting && !c->is_over)
		serve(c);
}

static void
on_client_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct holder *h = c->h;

	(void)fd;
	(void)what;
	client_flush(c);
	client_resume(c);
	term_update(h);
	if (h->phase == HOLDER_FLUSHING)
		holder_advance(h);
}

/* --- making one --- */

void
client_free(struct client *c)
{
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	if (c->hangup)
		event_free(c->hangup);
	if (c->deadline)
		event_free(c->deadline);
	close_fd(&c->fd);
	explicit_bzero(c->in, c->in_len);
	free(c);
}

static struct client *
client_alloc(struct holder *h, uint8_t role)
{
	size_t pending_max = STREAM_HEADER_BYTES + frame_max(role) + CONTROL_BYTES;
	struct client *c = malloc(sizeof(*c) + pending_max);

	if (!c)
		return NULL;
	/* Not its buffers, which are most of it. */
	memset(c, 0, offsetof(struct client, in));
	c->h = h;
	c->role = role;
	c->fd = -1;
	c->pending = (unsigned char *)(c + 1);
	c->pending_max = pending_max;
	c->window = role == ROLE_DRIVER ? &h->window : &c->own_window;
	window_init(&c->own_window, h->plan.ring_bytes);
	return c;
}

static int
start_events(struct client *c)
{
	struct event_base *base = c->h->base;

	c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_client_readable, c);
	c->writable = event_new(base, c->fd, EV_WRITE | EV_PERSIST, on_client_writable, c);
	c->hangup = evtimer_new(base, on_client_look, c);
	return c->readable && c->writable && c->hangup ? event_add(c->readable, NULL) : -1;
}

struct client *
client_new(struct holder *h, uint8_t role, int *fd)
{
	struct client *c = client_alloc(h, role);
	int pair[2];

	if (!c)
		return NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
		client_free(c);
		return NULL;
	}
	c->fd = pair[0];
	c->number = ++h->attachments;
	if (start_events(c) == 0) {
		*fd = pair[1];
		return c;
	}
	client_free(c);
	close_fd(&pair[1]);
	return NULL;
}
