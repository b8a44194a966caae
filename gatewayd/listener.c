/* SPDX-License-Identifier: MIT */
/* Accepting connections: see listener.h. */
#include "gatewayd/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/secret.h"
#include "gatewayd/answer.h"
#include "gatewayd/conn.h"
#include "gatewayd/forwarded.h"
#include "gatewayd/penalty.h"

#define ACCEPT_BATCH 64 /* in one wake-up */
#define PAUSE_MS 100    /* when the system has no descriptor left */
#define BUCKETS 1024    /* power of two */
#define BUSY_RETRY_SECONDS 5

struct source {
	struct source *next;
	struct source_key key;
	unsigned count;
};

struct listener {
	struct gateway *g;
	int fd;
	bool is_metrics;
	bool is_starved; /* since the last connection that could be accepted */
	struct event *readable, *resume;
};

/* One table for all listeners: an address is one source whichever it comes to. */
static struct {
	struct source_hash_key hash_key;
	struct source *bucket[BUCKETS];
} sources;

static struct source **
bucket_of(const struct source_key *key)
{
	return &sources.bucket[source_hash(&sources.hash_key, key) & (BUCKETS - 1)];
}

static struct source *
source_take(const struct source_key *key)
{
	struct source **bucket = bucket_of(key);
	struct source *s = *bucket;

	while (s && !source_equal(&s->key, key))
		s = s->next;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		s->key = *key;
		s->next = *bucket;
		*bucket = s;
	}
	s->count++;
	return s;
}

void
source_release(struct source *s)
{
	struct source **at;

	if (!s || --s->count > 0)
		return;
	at = bucket_of(&s->key);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s);
}

/* One more connection of it. NULL with *why: it may not have one. */
static struct source *
admit_source(struct gateway *g, const struct source_key *key, uint32_t *retry_s, const char **why)
{
	struct source *s;

	*retry_s = penalties_left(g->penalties, key, boot_ms());
	*why = "penalty";
	if (*retry_s > 0)
		return NULL;
	*retry_s = BUSY_RETRY_SECONDS;
	*why = "memory";
	s = source_take(key);
	if (!s || s->count <= g->config->max_connections_per_source)
		return s;
	source_release(s);
	*why = "source";
	return NULL;
}

static void
count_refused(struct gateway *g, const struct source_key *key, const char *why)
{
	char text[SOURCE_TEXT_SIZE];

	g->metrics.connections_refused++;
	log_debug("event=connection_refused reason=%s source=%s", why, source_format(key, text));
}

/* A refused connection gets no answer: nothing is spent on it. */
static void
admit(struct listener *l, int fd, const struct sockaddr_storage *ss)
{
	struct gateway *g = l->g;
	struct arrival a = { .address = source_address((const struct sockaddr *)ss),
		.is_metrics = l->is_metrics };
	bool is_full = g->metrics.connections_open >= g->max_connections;
	const char *why = "total";
	uint32_t retry_s;

	a.from = source_of_address(&a.address);
	a.by_proxy = !l->is_metrics && proxies_trust(g->proxies, &a.address);
	if (!is_full && !a.by_proxy)
		a.source = admit_source(g, &a.from, &retry_s, &why);
	if (is_full || (!a.source && !a.by_proxy)) {
		count_refused(g, &a.from, why);
		close(fd);
		return;
	}
	if (conn_new(g, fd, &a) != 0)
		log_warnx("event=connection_refused reason=memory");
}

/* --- requests by a trusted proxy --- */

static void
collect_lines(const struct conn *c, const char *name, struct forwarded_lines *out)
{
	size_t count = http1_header_count(c->parser, name);
	size_t skip = count > FORWARDED_LINES_MAX ? count - FORWARDED_LINES_MAX : 0;
	struct http1_view value;

	out->count = 0;
	while (http1_header_get(c->parser, name, skip + out->count, &value))
		out->line[out->count++] = view_bytes(value.ptr, value.len);
}

/* *is_told: of somebody, though it may be of nobody that can be named. */
static struct source_key
find_client(const struct conn *c, bool *is_told)
{
	struct forwarded_lines x_forwarded_for, forwarded;
	struct in6_addr client;

	collect_lines(c, "X-Forwarded-For", &x_forwarded_for);
	collect_lines(c, "Forwarded", &forwarded);
	*is_told = x_forwarded_for.count + forwarded.count > 0;
	client = forwarded_client(c->g->proxies, &c->address, &x_forwarded_for, &forwarded);
	return source_of_address(&client);
}

/*
 * The connection counts for the client of its last request, and for nobody while that is unknown.
 * Clients who cannot be named count together as the proxy: one may have written a field to be none.
 */
static int
change_client(struct conn *c, const struct source_key *client, bool is_told)
{
	struct source *s = NULL;
	const char *why = NULL;
	uint32_t retry_s = 0;

	c->x.source = c->from = *client;
	source_release(c->source);
	c->source = NULL;
	if (!is_told)
		return 0;
	s = admit_source(c->g, client, &retry_s, &why);
	c->source = s;
	if (s)
		return 0;
	count_refused(c->g, client, why);
	c->keep_alive = false; /* a body may follow, which nobody reads */
	answer_rate_limited(c, retry_s);
	return -1;
}

int
listener_identify(struct conn *c)
{
	struct source_key client;
	bool is_told;
	int rc;

	c->x.source = c->from;
	if (!c->by_proxy)
		return 0;
	client = find_client(c, &is_told);
	rc = change_client(c, &client, is_told);
	if (rc == 0)
		penalty_working(conn_client(c));
	return rc;
}

/* --- listeners --- */

/* Out of descriptors or memory: the connection stays in the backlog, and we must not spin on it. */
static void
pause_accepting(struct listener *l)
{
	static const struct timeval pause = { .tv_usec = PAUSE_MS * 1000 };

	if (!l->is_starved)
		log_warn("event=accept_paused");
	l->is_starved = true;
	event_del(l->readable);
	event_add(l->resume, &pause);
}

static void
on_connection(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	struct sockaddr_storage ss = { 0 };
	socklen_t len;

	(void)what;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int conn;

		len = sizeof(ss);
		conn = accept4((int)fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (conn >= 0) {
			l->is_starved = false;
			admit(l, conn, &ss);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_accepting(l);
		return;
	}
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	event_add(l->readable, NULL);
}

struct listener *
listener_new(struct gateway *g, int fd, bool is_metrics)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l) {
		close(fd);
		return NULL;
	}
	*l = (struct listener){ .g = g, .fd = fd, .is_metrics = is_metrics };
	if (sources.hash_key.k0 == 0 &&
	    secret_random(&sources.hash_key, sizeof(sources.hash_key)) != 0) {
		listener_free(l);
		return NULL;
	}
	evutil_make_socket_nonblocking(fd);
	l->readable = event_new(g->base, fd, EV_READ | EV_PERSIST, on_connection, l);
	l->resume = evtimer_new(g->base, on_resume, l);
	if (!l->readable || !l->resume || event_add(l->readable, NULL) != 0) {
		listener_free(l);
		return NULL;
	}
	return l;
}

void
listener_free(struct listener *l)
{
	if (!l)
		return;
	if (l->readable)
		event_free(l->readable);
	if (l->resume)
		event_free(l->resume);
	close_fd(&l->fd);
	free(l);
}

int
listener_address(int fd, char addr[static LISTENER_ADDR_SIZE], bool *is_loopback, bool *is_wildcard)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} name = { .in6 = { 0 } };
	socklen_t len = sizeof(name);
	char text[INET6_ADDRSTRLEN];
	bool is6;

	if (getsockname(fd, &name.any, &len) != 0)
		return -1;
	is6 = name.any.sa_family == AF_INET6;
	if (!inet_ntop(name.any.sa_family,
		is6 ? (const void *)&name.in6.sin6_addr : (const void *)&name.in.sin_addr, text,
		sizeof(text)))
		return -1;
	/* The port is at the same place in both. */
	snprintf(addr, LISTENER_ADDR_SIZE, is6 ? "[%s]:%u" : "%s:%u", text,
	    ntohs(name.in.sin_port));
	*is_loopback = is6 ? IN6_IS_ADDR_LOOPBACK(&name.in6.sin6_addr)
			   : ntohl(name.in.sin_addr.s_addr) >> 24 == 127;
	*is_wildcard = is6 ? IN6_IS_ADDR_UNSPECIFIED(&name.in6.sin6_addr)
			   : name.in.sin_addr.s_addr == htonl(INADDR_ANY);
	return 0;
}
