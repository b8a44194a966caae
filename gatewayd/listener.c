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
#include "gatewayd/conn.h"

#define ACCEPT_BATCH 64 /* in one wake-up */
#define PAUSE_MS 100    /* when the system has no descriptor left */
#define BUCKETS 1024    /* power of two */
#define KEY_BYTES 9     /* family, then IPv4 in full or the first 64 bits of IPv6 */

struct source {
	struct source *next;
	unsigned char key[KEY_BYTES];
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
static struct source *sources[BUCKETS];

static void
source_key(const struct sockaddr_storage *ss, unsigned char key[static KEY_BYTES])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

	memset(key, 0, KEY_BYTES);
	if (ss->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		key[0] = AF_INET;
		memcpy(key + 1, in6->sin6_addr.s6_addr + 12, 4);
	} else if (ss->ss_family == AF_INET6) {
		key[0] = AF_INET6;
		memcpy(key + 1, in6->sin6_addr.s6_addr, 8);
	} else {
		key[0] = AF_INET;
		memcpy(key + 1, &in->sin_addr, 4);
	}
}

static struct source **
bucket_of(const unsigned char key[static KEY_BYTES])
{
	return &sources[fnv1a(FNV1A_SEED, key, KEY_BYTES) & (BUCKETS - 1)];
}

static struct source *
source_take(const unsigned char key[static KEY_BYTES])
{
	struct source **bucket = bucket_of(key);
	struct source *s = *bucket;

	while (s && memcmp(s->key, key, KEY_BYTES) != 0)
		s = s->next;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		memcpy(s->key, key, KEY_BYTES);
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
	at = bucket_of(s->key);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s);
}

/* A refused connection gets no answer: nothing is spent on it. */
static void
admit(struct listener *l, int fd, const struct sockaddr_storage *ss)
{
	struct gateway *g = l->g;
	unsigned char key[KEY_BYTES];
	struct source *s;

	source_key(ss, key);
	s = g->metrics.connections_open < g->max_connections ? source_take(key) : NULL;
	if (!s || s->count > g->config->max_connections_per_source) {
		g->metrics.connections_refused++;
		log_debug("event=connection_refused reason=%s", s ? "source" : "total");
		source_release(s);
		close(fd);
		return;
	}
	if (conn_new(g, fd, s, l->is_metrics) != 0)
		log_warnx("event=connection_refused reason=memory");
}

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
