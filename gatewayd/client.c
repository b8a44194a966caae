/* SPDX-License-Identifier: MIT */
/* The socket of an attached client: see client.h. */
#include "gatewayd/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/cleanup.h"

/*
 * What the kernel takes and has not sent yet. More would only be older output for a person who
 * types ^C: what is on the way it does not count.
 */
#define NOTSENT_BYTES (32 << 10)

struct client {
	struct bufferevent *bev;
	SSL *ssl; /* NULL: plain */
	int fd;
	struct evbuffer *early, *backlog;
	struct event *readable, *writable;
	struct event *again; /* TLS: more has been read ahead, for a later turn */
	const struct client_ops *ops;
	void *ctx;
	bool is_reading, is_dead;
	bool has_read; /* TLS: from the socket, in this client_read() */
};

size_t
client_backlog(const struct client *c)
{
	return evbuffer_get_length(c->backlog);
}

bool
client_has_left(const struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLRDHUP };

	return c->is_dead || (poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

struct evbuffer *
client_early(struct client *c)
{
	return c->early;
}

/* Told as the end of what is read, and not from within a write. */
static void
die(struct client *c)
{
	c->is_dead = true;
	evbuffer_drain(c->backlog, client_backlog(c));
	event_del(c->writable);
	event_active(c->readable, EV_READ, 0);
}

/*
 * What OpenSSL has read ahead no descriptor tells of. Others come first: an event made active here
 * would run before the loop looks at any descriptor.
 */
static void
read_again(struct client *c)
{
	static const struct timeval at_once = { 0 };

	event_add(c->again, &at_once);
}

/* --- sending --- */

/* One record. Bytes taken; 0: no room now. */
static size_t
send_record(struct client *c, const void *bytes, size_t len)
{
	size_t done = 0;

	ERR_clear_error();
	/* There is no renegotiation: a write waits for nothing but room. */
	if (SSL_write_ex(c->ssl, bytes, len, &done) != 1 &&
	    SSL_get_error(c->ssl, 0) != SSL_ERROR_WANT_WRITE)
		die(c);
	return done;
}

static size_t
send_tls(struct client *c, const unsigned char *bytes, size_t len)
{
	size_t at = 0, n;

	while (at < len && (n = send_record(c, bytes + at, len - at)) > 0)
		at += n;
	return at;
}

static size_t
send_plain(struct client *c, const unsigned char *bytes, size_t len)
{
	ssize_t n = write(c->fd, bytes, len);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		die(c);
	return n > 0 ? (size_t)n : 0;
}

void
client_write(struct client *c, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	size_t done = 0;

	if (c->is_dead)
		return;
	if (client_backlog(c) == 0)
		done = c->ssl ? send_tls(c, at, len) : send_plain(c, at, len);
	if (done == len || c->is_dead)
		return;
	if (evbuffer_add(c->backlog, at + done, len - done) != 0 ||
	    event_add(c->writable, NULL) != 0)
		die(c);
}

/* A record that was begun is continued with at least as many bytes in one piece (SSL_write(3)). */
static void
flush_tls(struct client *c)
{
	size_t len, n;

	while ((len = client_backlog(c)) > 0) {
		len = len < SSL3_RT_MAX_PLAIN_LENGTH ? len : SSL3_RT_MAX_PLAIN_LENGTH;
		n = send_record(c, evbuffer_pullup(c->backlog, (ev_ssize_t)len), len);
		if (n == 0)
			return;
		evbuffer_drain(c->backlog, n);
	}
}

static void
flush(struct client *c)
{
	if (c->ssl)
		flush_tls(c);
	else if (evbuffer_write(c->backlog, c->fd) < 0 && errno != EAGAIN && errno != EINTR)
		die(c);
	if (client_backlog(c) > 0)
		event_add(c->writable, NULL);
	else
		event_del(c->writable);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	flush(c);
	if (c->ssl && c->is_reading) { /* it may have waited for room: see recv_tls() */
		event_add(c->readable, NULL);
		read_again(c);
	}
	c->ops->writable(c->ctx);
}

/* --- receiving --- */

/*
 * One read of the socket in each of ours. OpenSSL itself goes on over records that hold no data for
 * as long as they come: what it has read ahead seldom ends where a record does.
 */
static long
on_bio(BIO *bio, int what, const char *bytes, size_t len, int i, long l, int rc, size_t *done)
{
	struct client *c = (struct client *)BIO_get_callback_arg(bio);

	(void)bytes, (void)len, (void)i, (void)l, (void)done;
	if (what != BIO_CB_READ)
		return rc;
	if (c->has_read) {
		BIO_set_retry_read(bio);
		return -1;
	}
	c->has_read = true;
	return rc;
}

static void
watch_bio(struct client *c, BIO_callback_fn_ex callback)
{
	BIO_set_callback_arg(SSL_get_rbio(c->ssl), (char *)c);
	BIO_set_callback_ex(SSL_get_rbio(c->ssl), callback);
}

static ssize_t
recv_tls(struct client *c, void *out, size_t size)
{
	size_t n = 0;
	int error;

	c->has_read = false;
	ERR_clear_error();
	if (SSL_read_ex(c->ssl, out, size, &n) == 1) {
		if (c->is_reading && SSL_has_pending(c->ssl))
			read_again(c);
		return (ssize_t)n;
	}
	error = SSL_get_error(c->ssl, 0);
	/* An answer to a KeyUpdate goes first: till it has, the socket is readable for nothing. */
	if (error == SSL_ERROR_WANT_WRITE) {
		event_del(c->readable);
		event_add(c->writable, NULL);
	}
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t
recv_plain(struct client *c, void *out, size_t size)
{
	ssize_t n = read(c->fd, out, size);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n > 0 ? n : -1;
}

ssize_t
client_read(struct client *c, void *out, size_t size)
{
	if (c->is_dead)
		return -1;
	return c->ssl ? recv_tls(c, out, size) : recv_plain(c, out, size);
}

void
client_set_reading(struct client *c, bool is_reading)
{
	if (c->is_reading == is_reading || c->is_dead)
		return;
	c->is_reading = is_reading;
	if (!is_reading) {
		event_del(c->readable);
		event_del(c->again);
		return;
	}
	event_add(c->readable, NULL);
	if (c->ssl && SSL_has_pending(c->ssl))
		read_again(c);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	c->ops->readable(c->ctx);
}

/* --- taking over and giving back --- */

/* A bufferevent over a socket freezes the ends of its buffers that are its own. */
static void
take_over(struct client *c)
{
	static const int notsent = NOTSENT_BYTES;
	struct evbuffer *output = bufferevent_get_output(c->bev);

	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	evbuffer_unfreeze(output, 1);
	evbuffer_add_buffer(c->backlog, output);
	evbuffer_add_buffer(c->early, bufferevent_get_input(c->bev));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent, sizeof(notsent));
	if (c->ssl) {
		SSL_set_read_ahead(c->ssl, 1); /* else each record is two reads */
		watch_bio(c, on_bio);
	}
}

struct client *
client_new(struct bufferevent *bev, const struct client_ops *ops, void *ctx)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct client){ .bev = bev,
		.ssl = bufferevent_openssl_get_ssl(bev),
		.fd = bufferevent_getfd(bev),
		.early = evbuffer_new(),
		.backlog = evbuffer_new(),
		.ops = ops,
		.ctx = ctx };
	if (!c->early || !c->backlog) {
		client_free(c);
		return NULL;
	}
	take_over(c);
	return c;
}

int
client_start(struct client *c, struct event_base *base)
{
	c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, c->fd, EV_WRITE | EV_PERSIST, on_writable, c);
	c->again = evtimer_new(base, on_readable, c);
	if (!c->readable || !c->writable || !c->again)
		return -1;
	if (client_backlog(c) > 0)
		flush(c);
	return 0;
}

void
client_stop(struct client *c)
{
	struct event **events[] = { &c->readable, &c->writable, &c->again };

	for (size_t i = 0; i < COUNT_OF(events); i++) {
		if (*events[i])
			event_free(*events[i]);
		*events[i] = NULL;
	}
}

void
client_free(struct client *c)
{
	if (!c)
		return;
	if (c->backlog) {
		evbuffer_add_buffer(bufferevent_get_output(c->bev), c->backlog);
		evbuffer_free(c->backlog);
	}
	if (c->early)
		evbuffer_free(c->early);
	if (c->ssl)
		watch_bio(c, NULL);
	free(c);
}
