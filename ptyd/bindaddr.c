/* SPDX-License-Identifier: MIT */
/* LISTEN_ADDR and METRICS_ADDR: numeric addresses into listening sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/mono.h"
#include "ptyd/fogd.h"

#define BIND_RETRY_MS 2000 /* a predecessor's sockets close with its last role */
#define BACKLOG 1024

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool
parse_port(const char *text, in_port_t *port)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n > 65535)
		return false;
	*port = htons((uint16_t)n);
	return true;
}

/* 127.0.0.1:8080, [::1]:8080, localhost:8080, :8080 (every address, both families). */
static bool
parse(const char *text, union address *a)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool bracketed = len > 1 && text[0] == '[' && text[len - 1] == ']';
	in_port_t port;

	if (!colon || len >= sizeof(host) || !parse_port(colon + 1, &port))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)len - 2 * bracketed, text + bracketed);
	if (len == 0 || bracketed) {
		a->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port };
		return inet_pton(AF_INET6, len ? host : "::", &a->v6.sin6_addr) == 1;
	}
	a->v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
	return inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1",
		   &a->v4.sin_addr) == 1;
}

static bool
is_loopback(const union address *a)
{
	if (a->any.sa_family == AF_INET)
		return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

static int
bind_once(const union address *a)
{
	int on = 1, off = 0;
	int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, &a->any, len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	close_fd(&fd);
	return -1;
}

int
bindaddr_open(const char *variable, const char *addr, bool need_loopback, bool check_only, int *out,
    char err[static ERR_SIZE])
{
	uint64_t until = mono_ms() + BIND_RETRY_MS;
	union address a;

	if (!parse(addr, &a))
		FAIL("%s=%s: not an address; write 127.0.0.1:8080 or [::1]:8080", variable, addr);
	if (need_loopback && !is_loopback(&a))
		FAIL("%s=%s: without OIDC_ISSUER_URL, or with USE_STUB_CONNECTOR=1, it must be on "
		     "loopback; write 127.0.0.1:PORT or [::1]:PORT",
		    variable, addr);
	if (check_only)
		return 0;
	while ((*out = bind_once(&a)) < 0 && errno == EADDRINUSE && mono_ms() < until)
		usleep(50000);
	if (*out < 0)
		FAIL("%s=%s: %s", variable, addr, strerror(errno));
	return 0;
}
