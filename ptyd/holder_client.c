/* SPDX-License-Identifier: MIT */
/*
 * The attached stream of a holder: output as frames out of the ring at a cursor, small control
 * frames between them, and the client's frames in. See holder.h and stream.def.
 */
#include "ptyd/holder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"

#define CONTROL_BYTES 4096 /* control frames waiting; each is below 300 */
#define CONTROL_ROOM 512   /* with less room than this, no more of the client's frames are read */
#define SEND_BUDGET_BYTES (512u << 10)
#define READ_BUDGET_BYTES (256u << 10)
#define PARTINGS_MAX 4
#define PARTING_BYTES (STREAM_FRAME_MAX + 2 * CONTROL_BYTES)

struct client {
	struct holder *h;
	int fd;
	struct event *readable, *writable;
	uint64_t cursor; /* next output byte for the socket */
	uint64_t acked;
	/* The output frame in progress: what is left of its header, and of its bytes at cursor. */
	unsigned char header[STREAM_HEADER_BYTES];
	size_t header_left, body_left;
	unsigned char control[CONTROL_BYTES];
	size_t control_len;
	bool exit_is_queued, is_blocked;
	size_t in_len;
	unsigned char in[STREAM_FRAME_MAX];
};

/* The last words to a stream that is no longer the driver's. */
struct parting {
	int fd;
	struct event *writable, *deadline;
	size_t at, len;
	unsigned char bytes[];
};

static unsigned partings;

/* --- parting --- */

static void
parting_free(struct parting *p)
{
	if (p->writable)
		event_free(p->writable);
	if (p->deadline)
		event_free(p->deadline);
	close_fd(&p->fd);
	free(p);
	partings--;
}

static void
on_parting(evutil_socket_t fd, short what, void *arg)
{
	struct parting *p = arg;
	ssize_t n = 0;

	if (!(what & EV_TIMEOUT) || p->at == 0)
		n = send(fd >= 0 ? fd : p->fd, p->bytes + p->at, p->len - p->at, MSG_NOSIGNAL);
	if (n > 0)
		p->at += (size_t)n;
	if (p->at == p->len || (what & EV_TIMEOUT) || (n < 0 && errno != EAGAIN))
		parting_free(p);
}

static void
start_parting(struct holder *h, struct parting *p)
{
	static const struct timeval deadline = { .tv_sec = 1 };

	partings++;
	p->writable = event_new(h->base, p->fd, EV_WRITE | EV_PERSIST, on_parting, p);
	p->deadline = evtimer_new(h->base, on_parting, p);
	if (!p->writable || !p->deadline || event_add(p->writable, NULL) != 0 ||
	    event_add(p->deadline, &deadline) != 0)
		parting_free(p);
}

/* Everything that must follow what the socket has, so that the last frame is whole. */
static void
copy_rest(const struct client *c, struct writer *w)
{
	struct iovec view[2];
	size_t left = c->body_left;

	put_raw(w, c->header + STREAM_HEADER_BYTES - c->header_left, c->header_left);
	if (left > 0 && ring_view(c->h->ring, c->cursor, view) > 0) {
		for (int i = 0; i < 2 && left > 0; i++) {
			size_t n = view[i].iov_len < left ? view[i].iov_len : left;

			put_raw(w, view[i].iov_base, n);
			left -= n;
		}
	}
	put_raw(w, c->control, c->control_len);
}

static void
client_free(struct client *c)
{
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	close_fd(&c->fd);
	explicit_bzero(c->in, c->in_len);
	free(c);
}

/* Tells the client why and lets it go; the last frame in progress is completed. */
static void
part(struct holder *h, enum stream_state state, const char *detail)
{
	struct client *c = h->client;
	struct stream_status why = { .state = (uint8_t)state, .detail = view_of(detail) };
	struct parting *p = NULL;
	struct writer w;

	h->client = NULL;
	if (partings < PARTINGS_MAX)
		p = malloc(sizeof(*p) + PARTING_BYTES);
	if (p) {
		*p = (struct parting){ .fd = -1 };
		writer_init(&w, p->bytes, PARTING_BYTES);
		copy_rest(c, &w);
		stream_put(&w, STREAM_STATUS, &why);
		p->len = w.len;
		p->fd = steal_fd(&c->fd);
	}
	client_free(c);
	if (p)
		start_parting(h, p);
}

/* --- sending --- */

static bool
is_at_boundary(const struct client *c)
{
	return c->header_left == 0 && c->body_left == 0;
}

static void
queue_control(struct client *c, enum stream_type type, const void *payload)
{
	struct writer w;

	writer_init(&w, c->control + c->control_len, CONTROL_BYTES - c->control_len);
	if (stream_put(&w, type, payload) == 0)
		c->control_len += w.len;
	else
		log_warnx("event=control_frame_dropped type=%s", stream_rows[type].name);
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
begin_frame(struct client *c, uint64_t waiting)
{
	c->body_left = waiting < STREAM_DATA_MAX ? (size_t)waiting : STREAM_DATA_MAX;
	c->header_left = STREAM_HEADER_BYTES;
	stream_put_output_header(c->header, c->body_left);
}

static ssize_t
send_output(struct client *c)
{
	struct iovec iov[3] = { { c->header + STREAM_HEADER_BYTES - c->header_left,
	    c->header_left } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 3 };
	size_t left = c->body_left, done;
	ssize_t n;

	if (ring_view(c->h->ring, c->cursor, iov + 1) < 0) {
		errno = EPROTO; /* reading is paused before this can happen: see window.h */
		return -1;
	}
	for (int i = 1; i < 3; i++) {
		iov[i].iov_len = iov[i].iov_len < left ? iov[i].iov_len : left;
		left -= iov[i].iov_len;
	}
	n = sendmsg(c->fd, &mh, MSG_NOSIGNAL);
	if (n <= 0)
		return n;
	done = (size_t)n < c->header_left ? (size_t)n : c->header_left;
	c->header_left -= done;
	c->body_left -= (size_t)n - done;
	c->cursor += (size_t)n - done;
	return n;
}

static ssize_t
send_control(struct client *c)
{
	ssize_t n = send(c->fd, c->control, c->control_len, MSG_NOSIGNAL);

	if (n > 0) {
		c->control_len -= (size_t)n;
		memmove(c->control, c->control + n, c->control_len);
	}
	return n;
}

/* Bytes sent; 0: there is nothing to send; -1: errno. */
static ssize_t
send_next(struct client *c)
{
	uint64_t waiting = ring_end(c->h->ring) - c->cursor;

	if (!is_at_boundary(c))
		return send_output(c);
	if (c->control_len > 0)
		return send_control(c);
	if (waiting > 0) {
		begin_frame(c, waiting);
		return send_output(c);
	}
	if (c->h->phase != HOLDER_FLUSHING || c->exit_is_queued)
		return 0;
	queue_exit(c);
	return send_control(c);
}

void
client_flush(struct holder *h)
{
	struct client *c = h->client;
	size_t sent = 0;
	ssize_t n = 0;

	while (c && sent < SEND_BUDGET_BYTES && (n = send_next(c)) > 0)
		sent += (size_t)n;
	if (!c)
		return;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		client_drop(h);
		return;
	}
	if (n == 0)
		event_del(c->writable);
	else
		event_add(c->writable, NULL);
	if (h->phase == HOLDER_FLUSHING)
		holder_advance(h);
}

bool
client_has_all(const struct holder *h)
{
	const struct client *c = h->client;

	return !c || (c->exit_is_queued && c->control_len == 0 && is_at_boundary(c));
}

uint64_t
client_lag(const struct holder *h)
{
	return h->client ? ring_end(h->ring) - h->client->cursor : 0;
}

void
client_send_status(struct holder *h, enum stream_state state, const char *detail)
{
	struct stream_status status = { .state = (uint8_t)state, .detail = view_of(detail) };

	if (!h->client)
		return;
	queue_control(h->client, STREAM_STATUS, &status);
	client_flush(h);
}

/* --- receiving --- */

static int
on_input(struct holder *h, const struct stream_msg *m)
{
	/* What is typed after the shell has gone is nobody's. */
	if (h->phase != HOLDER_LIVING)
		return 0;
	return input_offer(&h->input, m->u.input.offset, m->u.input.bytes.p, m->u.input.bytes.len);
}

static int
on_resize(struct holder *h, const struct stream_msg *m)
{
	if (h->phase == HOLDER_LIVING)
		term_resize(h, m->u.resize.cols, m->u.resize.rows);
	return 0;
}

static int
on_ack(struct holder *h, const struct stream_msg *m)
{
	struct client *c = h->client;

	if (m->u.ack.offset > c->cursor)
		return -FOG_E_LIAR;
	if (m->u.ack.offset > c->acked)
		c->acked = m->u.ack.offset;
	return 0;
}

static int
on_probe(struct holder *h, const struct stream_msg *m)
{
	struct stream_answer answer = { .value = m->u.probe.value };

	if (CONTROL_BYTES - h->client->control_len < CONTROL_ROOM)
		return -FOG_E_FULL;
	queue_control(h->client, STREAM_ANSWER, &answer);
	return 0;
}

/* 0: done with this frame; -FOG_E_FULL: offer it again when something has drained. */
static int
handle_frame(struct holder *h, const struct stream_msg *m)
{
	switch (m->type) {
	case STREAM_INPUT:
		return on_input(h, m);
	case STREAM_RESIZE:
		return on_resize(h, m);
	case STREAM_ACK:
		return on_ack(h, m);
	case STREAM_PROBE:
		return on_probe(h, m);
	default:
		return -FOG_E_LIAR;
	}
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
		rc = handle_frame(c->h, &m);
		if (rc == 0)
			at += used;
	}
	memmove(c->in, c->in + at, c->in_len - at);
	explicit_bzero(c->in + c->in_len - at, at);
	c->in_len -= at;
	return rc;
}

/* False: the client is not attached any more. */
static bool
settle(struct holder *h, int rc)
{
	struct client *c = h->client;

	c->is_blocked = rc == -FOG_E_FULL;
	if (c->is_blocked)
		event_del(c->readable);
	else if (rc == 0)
		event_add(c->readable, NULL);
	if (rc == 0 || c->is_blocked)
		return true;
	log_warnx("event=bad_stream reason=%s", err_code(rc));
	if (rc == -FOG_E_OFFSET)
		part(h, STREAM_STATE_BAD_INPUT, "Input is missing before what was sent");
	client_drop(h);
	return false;
}

/* 1: more may follow; 0: not now; -1: the client has gone. */
static int
read_some(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);

	if (n > 0) {
		c->in_len += (size_t)n;
		return 1;
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
	while (more == 1 && got < READ_BUDGET_BYTES && !c->is_blocked) {
		size_t before = c->in_len;

		more = read_some(c);
		got += more == 1 ? c->in_len - before : 0;
		if (more == 1 && !settle(h, take_frames(c)))
			return;
	}
	if (more < 0)
		client_drop(h);
	else
		client_flush(h);
	term_update(h);
}

void
client_resume(struct holder *h)
{
	struct client *c = h->client;

	if (c && c->is_blocked)
		settle(h, take_frames(c));
}

static void
on_client_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct holder *h = c->h;

	(void)fd;
	(void)what;
	client_flush(h);
	client_resume(h);
	term_update(h);
}

/* --- attaching --- */

void
client_drop(struct holder *h)
{
	if (h->client)
		client_free(h->client);
	h->client = NULL;
	if (h->phase == HOLDER_LIVING)
		holder_set_status(h, STATUS_DETACHED);
	term_update(h);
	if (h->phase == HOLDER_FLUSHING)
		holder_advance(h);
}

static int
check_grant(const struct holder *h, const struct pl_grant *g)
{
	if (!id_equal(&g->session_id, &h->plan.session_id))
		return -FOG_E_NO_SESSION;
	if (h->phase != HOLDER_LIVING)
		return -FOG_E_SESSION_ENDED;
	if (g->role != ROLE_DRIVER)
		return -FOG_E_ROLE;
	if (g->has_out && g->out_from > ring_end(h->ring))
		return -FOG_E_OFFSET;
	return 0;
}

static struct client *
client_new(struct holder *h, int fd)
{
	struct client *c = malloc(sizeof(*c));

	if (!c) {
		close_fd(&fd);
		return NULL;
	}
	/* Not its buffers, which are most of it. */
	memset(c, 0, offsetof(struct client, in));
	c->h = h;
	c->fd = fd;
	c->readable = event_new(h->base, fd, EV_READ | EV_PERSIST, on_client_readable, c);
	c->writable = event_new(h->base, fd, EV_WRITE | EV_PERSIST, on_client_writable, c);
	if (c->readable && c->writable && event_add(c->readable, NULL) == 0)
		return c;
	client_free(c);
	return NULL;
}

static void
queue_hello(struct client *c, const struct pl_grant *g)
{
	const struct holder *h = c->h;
	uint64_t start = ring_start(h->ring);
	uint64_t asked = g->has_out ? g->out_from : start;
	struct stream_hello hello = { .session_id = h->plan.session_id,
		.role = g->role,
		.cols = h->cols,
		.rows = h->rows,
		.in_next = h->input.next,
		.expires_s = h->plan.expires_s,
		.out_from = asked > start ? asked : start,
		.out_next = ring_end(h->ring) };

	hello.out_lost = hello.out_from - asked;
	c->cursor = c->acked = hello.out_from;
	queue_control(c, STREAM_HELLO, &hello);
}

int
client_attach(struct holder *h, const struct pl_grant *g, int *fd)
{
	int pair[2], rc = check_grant(h, g);
	struct client *c;

	if (rc == 0)
		rc = tokens_consume(&h->tokens, &g->token_id, g->token_expires_boot_ms, boot_ms());
	if (rc != 0)
		return rc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return -FOG_E_UNAVAILABLE;
	c = client_new(h, pair[0]);
	if (!c) {
		close_fd(&pair[1]);
		return -FOG_E_NOMEM;
	}
	if (h->client)
		part(h, STREAM_STATE_TAKEN_OVER, "Another window attached to this session");
	h->client = c;
	queue_hello(c, g);
	*fd = pair[1];
	holder_set_status(h, STATUS_RUNNING);
	client_flush(h);
	term_update(h);
	return 0;
}
