/* SPDX-License-Identifier: MIT */
/*
 * Under which names this server answers: the allow-lists for Host and Origin (S13), and the URL of
 * an attachment. Pure. Names are kept in one canonical form: lower case, port always written.
 */
#ifndef GATEWAYD_ORIGIN_H
#define GATEWAYD_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define ORIGIN_NAME_SIZE 288 /* "https://" name ":" port */
#define ORIGIN_HOSTS_MAX 8
#define ORIGIN_ALLOWED_MAX 32
#define ORIGIN_CSP_SIZE 4096 /* each of FLEET_ORIGINS stands in it twice */

struct origin_config {
	const char *gateway_url;     /* GATEWAY_URL; empty: from the listener */
	const char *allowed_origins; /* ALLOWED_ORIGINS; empty: that of the base */
	const char *listener;        /* "127.0.0.1:8080", "[::1]:8080": where it really listens */
	bool listener_is_loopback;
	bool tls;
	bool
	    plain_is_meant; /* without TLS off loopback: a TLS proxy is in front, or no tokens come */
	const char *fleet_origins; /* FLEET_ORIGINS, borrowed; NULL or empty: no other nodes */
};

struct origins {
	bool https;       /* of the public base */
	bool is_loopback; /* its names of loopback are one origin */
	bool listens_on_loopback;
	char base[ORIGIN_NAME_SIZE];                    /* "host:port", canonical */
	char hosts[ORIGIN_HOSTS_MAX][ORIGIN_NAME_SIZE]; /* "host:port" */
	size_t host_count;
	char allowed[ORIGIN_ALLOWED_MAX][ORIGIN_NAME_SIZE]; /* "scheme://host:port" */
	size_t allowed_count;
	const char *fleet; /* FLEET_ORIGINS; empty: none */
};

/*
 * 0, or -1 with *why (static text) for a GATEWAY_URL or ALLOWED_ORIGINS that is none, and for a
 * listener off loopback without TLS that nobody has asked for (S24).
 */
int origins_init(struct origins *o, const struct origin_config *config, const char **why);

/* The value of a Host field (RFC 9110 7.2) and of an Origin field (RFC 6454 7). */
bool origins_allow_host(const struct origins *o, struct view host);
bool origins_allow_origin(const struct origins *o, struct view origin);

/* Whether an Origin is that of a node of the fleet, whose page may call the API (Fetch 3.2). */
bool origins_is_node(const struct origins *o, struct view origin);

/*
 * The public base as "http(s)://host" or "ws(s)://host", a default port left out. A client that
 * came by one of the names of loopback (host, NULL p: unknown) is shown that same name.
 * 0 or -FOG_E_BOUNDS.
 */
int origins_base_url(const struct origins *o, bool websocket, struct view host, char *out,
    size_t out_size);

/*
 * The sources of connect-src: 'self', the WebSocket origins of the base, and both kinds of each of
 * FLEET_ORIGINS but IPv6 addresses, which cannot stand in a policy.
 */
void origins_connect_src(const struct origins *o, char out[static ORIGIN_CSP_SIZE]);

#endif
