/* SPDX-License-Identifier: MIT */
/* Connections: see conn.h. */
#include "gatewayd/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <jansson.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "gatewayd/answer.h"
#include "gatewayd/api.h"
#include "gatewayd/listener.h"
#include "gatewayd/penalty.h"
#include "gatewayd/tls.h"

/* Bytes read ahead while a request is being answered; reading pauses above it. */
#define SINGLE_READ_BYTES (64u << 10)
#define SINGLE_WRITE_BYTES (256u << 10) /* libevent stops at 16 KiB and asks epoll in between */
#define READ_AHEAD_BYTES 65536
#define LINGER_MS 2000
#define LINGER_BYTES (4u << 20)

static const char *const state_names[] = { "handshake", "idle", "head", "body", "pending", "drain",
	"flush", "linger", "attached", "dead" };

struct evbuffer *
conn_input(struct conn *c)
{
	return bufferevent_get_input(c->bev);
}

struct evbuffer *
conn_output(struct conn *c)
{
	return bufferevent_get_output(c->bev);
}

/* --- states --- */

static uint32_t
state_timeout_ms(const struct conn *c, enum conn_state state)
{
	const struct config *config = c->g->config;

	switch (state) {
	case CONN_HANDSHAKE:
		return config->tls_handshake_timeout_ms;
	case CONN_HEAD:
		return config->http_header_timeout_ms;
	case CONN_BODY:
		return config->http_body_timeout_ms;
	case CONN_IDLE:
	case CONN_DRAIN:
	case CONN_FLUSH:
		return config->http_idle_timeout_ms;
	case CONN_LINGER:
		return LINGER_MS;
	default:
		return 0; /* authd's answer and WebSockets have deadlines of their own */
	}
}

static void
set_state(struct conn *c, enum conn_state state)
{
	uint32_t ms = state_timeout_ms(c, state);
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	log_debug("event=conn_state from=%s to=%s", state_names[c->state], state_names[state]);
	c->state = state;
	if (ms > 0)
		event_add(c->deadline, &tv);
	else
		event_del(c->deadline);
}

static bool
is_reading(const struct conn *c)
{
	return c->state == CONN_IDLE || c->state == CONN_HEAD || c->state == CONN_BODY;
}

void
exchange_clear(struct conn *c)
{
	struct exchange *x = &c->x;

	if (x->request_id) {
		struct request *r = requests_find(c->g->requests, x->request_id);

		if (r)
			requests_remove(c->g->requests, r);
	}
	if (x->body)
		explicit_bzero(x->body, x->body_len);
	free(x->body);
	json_decref(x->list);
	json_decref(x->unreachable);
	if (x->started_ms)
		close_fd(&x->attach.fd);
	*x = (struct exchange){ .attach = { .fd = -1 } };
}

void
conn_free(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	exchange_clear(c);
	event_free(c->deadline);
	http1_free(c->parser);
	bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
	bufferevent_free(c->bev);
	source_release(c->source);
	c->state = CONN_DEAD;
	TAILQ_REMOVE(&c->g->conns, c, next);
	TAILQ_INSERT_TAIL(&c->g->graves, c, next);
	c->g->metrics.connections_open--;
	event_active(c->g->reaper, EV_TIMEOUT, 0);
}

void
conn_reap(struct gateway *g)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&g->graves))) {
		TAILQ_REMOVE(&g->graves, c, next);
		c->magic = 0;
		free(c);
	}
}

/* --- the end --- */

static void
start_linger(struct conn *c)
{
	/* Closing at once with unread bytes would reset the connection under our answer. */
	if (c->peer_eof) {
		conn_free(c);
		return;
	}
	tls_shutdown_write(c->bev);
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	set_state(c, CONN_LINGER);
	bufferevent_enable(c->bev, EV_READ);
}

static void
discard(struct conn *c)
{
	size_t len = evbuffer_get_length(conn_input(c));

	evbuffer_drain(conn_input(c), len);
	c->discarded += len;
	if (c->discarded > LINGER_BYTES)
		conn_free(c);
}

void
conn_finish(struct conn *c)
{
	set_state(c, CONN_FLUSH);
	bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
	bufferevent_enable(c->bev, c->peer_eof ? EV_WRITE : EV_READ | EV_WRITE);
	evbuffer_drain(conn_input(c), evbuffer_get_length(conn_input(c)));
	if (evbuffer_get_length(conn_output(c)) == 0)
		start_linger(c);
}

void
conn_answered(struct conn *c)
{
	exchange_clear(c);
	if (!c->keep_alive)
		conn_finish(c);
	else
		set_state(c, CONN_DRAIN);
}

void
conn_become_attached(struct conn *c, struct attach *a)
{
	http1_free(c->parser);
	c->parser = NULL;
	c->attach = a;
	exchange_clear(c);
	set_state(c, CONN_ATTACHED);
}

/* --- requests --- */

static void
begin_exchange(struct conn *c)
{
	c->x.started_ms = mono_ms();
	c->x.source = c->from;
	c->requests++;
	c->keep_alive = false;
	if (trace_random(c->x.trace.b) != 0)
		log_warn("event=no_randomness");
}

static void
refuse_malformed(struct conn *c)
{
	unsigned status = (unsigned)http1_status(c->parser);

	if (!c->x.started_ms)
		begin_exchange(c);
	c->keep_alive = false;
	answer_http_error(c, status, http1_reason(c->parser));
}

static void
on_headers(struct conn *c)
{
	const struct http1_request *r = http1_request(c->parser);
	bool has_body = r->chunked || r->content_length > 0;

	begin_exchange(c);
	c->keep_alive = r->keep_alive && c->requests < c->g->config->http_max_requests;
	if (listener_identify(c) != 0)
		return;
	api_check(c, has_body);
	/* A body that nobody will look at is not read: answer and close. */
	if (c->x.error && has_body) {
		c->keep_alive = false;
		api_answer_check(c);
		return;
	}
	set_state(c, CONN_BODY);
	if (r->expect_continue && has_body)
		evbuffer_add_printf(conn_output(c), "HTTP/1.1 100 Continue\r\n\r\n");
}

static void
on_body(struct conn *c)
{
	struct http1_view piece = http1_body(c->parser);
	struct exchange *x = &c->x;
	char *grown = realloc(x->body, x->body_len + piece.len + 1);

	if (!grown) {
		c->keep_alive = false;
		answer_error(c, -FOG_E_NOMEM, NULL);
		return;
	}
	x->body = grown;
	memcpy(x->body + x->body_len, piece.ptr, piece.len);
	x->body_len += piece.len;
	x->body[x->body_len] = '\0';
}

static void
on_done(struct conn *c)
{
	set_state(c, CONN_PENDING);
	if (c->x.error)
		api_answer_check(c);
	else
		api_handle(c);
}

static void
on_event(struct conn *c, enum http1_event event)
{
	switch (event) {
	case HTTP1_HEADERS_DONE:
		on_headers(c);
		break;
	case HTTP1_BODY:
		on_body(c);
		break;
	case HTTP1_DONE:
		on_done(c);
		break;
	case HTTP1_ERROR:
		refuse_malformed(c);
		break;
	default:
		break;
	}
}

/* One step of the parser over the contiguous front of the input. False: it wants more bytes. */
static bool
feed(struct conn *c)
{
	struct evbuffer *in = conn_input(c);
	size_t len = evbuffer_get_contiguous_space(in), consumed = 0;
	unsigned char *bytes = len > 0 ? evbuffer_pullup(in, (ev_ssize_t)len) : NULL;
	enum http1_event event = http1_feed(c->parser, bytes, len, &consumed);

	if (c->state == CONN_IDLE && http1_started(c->parser))
		set_state(c, CONN_HEAD);
	on_event(c, event);
	if (c->state != CONN_DEAD)
		evbuffer_drain(conn_input(c), consumed);
	return event != HTTP1_NEED_MORE ||
	    (c->state != CONN_DEAD && evbuffer_get_length(conn_input(c)) > 0);
}

static void
pump(struct conn *c)
{
	while (is_reading(c) && feed(c))
		;
	/* The client has shut its side and no whole request is left of what it sent. */
	if (is_reading(c) && c->peer_eof)
		conn_free(c);
}

static void
next_request(struct conn *c)
{
	http1_reset(c->parser);
	set_state(c, CONN_IDLE);
	pump(c);
}

/* --- callbacks --- */

/* What a proxy has sent since its last request is of that client, or of another. */
const struct source_key *
conn_client(const struct conn *c)
{
	bool is_known = c->source && (c->x.started_ms || c->state == CONN_ATTACHED);

	return !c->by_proxy || is_known ? &c->from : NULL;
}

static void
on_tls_read(void *arg)
{
	struct conn *c = arg;

	penalty_working(conn_client(c));
	event_active(c->g->rested, EV_TIMEOUT, 0);
}

static void
on_readable(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->magic != CONN_MAGIC)
		return;
	penalty_working(conn_client(c));
	if (c->state == CONN_LINGER || c->state == CONN_FLUSH)
		discard(c);
	else
		pump(c);
	penalty_working(NULL);
}

static void
on_writable(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->magic != CONN_MAGIC)
		return;
	if (evbuffer_get_length(conn_output(c)) > 0)
		return;
	penalty_working(conn_client(c));
	if (c->state == CONN_DRAIN)
		next_request(c);
	else if (c->state == CONN_FLUSH)
		start_linger(c);
	penalty_working(NULL);
}

static void
on_eof(struct conn *c)
{
	c->peer_eof = true;
	if (c->state != CONN_PENDING && c->state != CONN_DRAIN && c->state != CONN_FLUSH)
		conn_free(c);
}

static void
on_bev_event(struct bufferevent *bev, short what, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->magic != CONN_MAGIC)
		return;
	if (what & BEV_EVENT_CONNECTED) {
		set_state(c, CONN_HEAD);
	} else if (what & BEV_EVENT_ERROR) {
		if (c->state == CONN_HANDSHAKE)
			c->g->metrics.tls_failed++;
		conn_free(c);
	} else if (what & BEV_EVENT_EOF) {
		on_eof(c);
	}
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	if (c->magic != CONN_MAGIC)
		return;
	if (c->state == CONN_BODY || (c->state == CONN_HEAD && http1_started(c->parser))) {
		if (!c->x.started_ms)
			begin_exchange(c);
		c->keep_alive = false;
		answer_http_error(c, 408, "the request was not complete in time");
	} else {
		conn_free(c);
	}
}

/* --- birth --- */

static int
open_conn(struct conn *c, int fd)
{
	static const int on = 1, idle_s = 60, between_s = 15, count = 4;
	struct gateway *g = c->g;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* One who vanished while nothing is read of him, and so not pinged either, is missed too. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between_s, sizeof(between_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	c->tls_reader = (struct tls_reader){ on_tls_read, c };
	c->bev = g->tls && !c->is_metrics
	    ? tls_accept(g->tls, g->base, fd)
	    : bufferevent_socket_new(g->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->bev) {
		close(fd);
		return -FOG_E_NOMEM;
	}
	tls_watch(c->bev, &c->tls_reader);
	bufferevent_set_max_single_read(c->bev, SINGLE_READ_BYTES);
	bufferevent_set_max_single_write(c->bev, SINGLE_WRITE_BYTES);
	c->parser = http1_new(&g->limits);
	c->deadline = evtimer_new(g->base, on_deadline, c);
	return c->parser && c->deadline ? 0 : -FOG_E_NOMEM;
}

static void
discard_unborn(struct conn *c)
{
	if (c->bev)
		bufferevent_free(c->bev);
	if (c->deadline)
		event_free(c->deadline);
	http1_free(c->parser);
	source_release(c->source);
	free(c);
}

int
conn_new(struct gateway *g, int fd, const struct arrival *arrival)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		source_release(arrival->source);
		return -FOG_E_NOMEM;
	}
	*c = (struct conn){ .magic = CONN_MAGIC,
		.g = g,
		.source = arrival->source,
		.from = arrival->from,
		.address = arrival->address,
		.by_proxy = arrival->by_proxy,
		.is_metrics = arrival->is_metrics,
		.x = { .attach = { .fd = -1 } } };
	if (open_conn(c, fd) != 0) {
		discard_unborn(c);
		return -FOG_E_NOMEM;
	}
	TAILQ_INSERT_TAIL(&g->conns, c, next);
	g->metrics.connections_open++;
	g->metrics.connections_total++;
	bufferevent_setcb(c->bev, on_readable, on_writable, on_bev_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, READ_AHEAD_BYTES);
	set_state(c, g->tls && !c->is_metrics ? CONN_HANDSHAKE : CONN_HEAD);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	return 0;
}
