/* SPDX-License-Identifier: MIT */
/*
 * Who is behind a proxy (S13): TRUSTED_PROXIES, and the one thing that is believed of what a proxy
 * listed there says, the address of its client. Pure.
 *
 * Of X-Forwarded-For and Forwarded (RFC 7239) the items are read from the right, where the proxy
 * next to us has put its own: the first address that is no trusted proxy is the client. What stands
 * left of it anybody may have written, and is not looked at. Where an item is no address (garbage,
 * "unknown", an obfuscated name), where there is none, or where both fields are there and tell of
 * different clients (a proxy that sets one passes the other on as the client wrote it), the address
 * is that of the proxy itself.
 */
#ifndef GATEWAYD_FORWARDED_H
#define GATEWAYD_FORWARDED_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

#define PROXIES_MAX 64
#define PROXIES_ERROR_SIZE 192
#define FORWARDED_LINES_MAX 16 /* of one name, the last ones; each bounded by http1.h */
#define FORWARDED_HOPS_MAX 32  /* trusted proxies that a request may have come through */

struct proxies;

/*
 * list: addresses and prefixes ("192.0.2.7", "2001:db8::/48"), separated by spaces. 0 with *out,
 * NULL for an empty list; or -1 with a message that names the item and says what would be right.
 */
int proxies_new(const char *list, struct proxies **out, char err[static PROXIES_ERROR_SIZE]);
void proxies_free(struct proxies *p); /* NULL is fine */

/* IPv4 as ::ffff:a.b.c.d. NULL trusts nobody. */
bool proxies_trust(const struct proxies *p, const struct in6_addr *a);

/* Field lines of one name in the order they came. */
struct forwarded_lines {
	size_t count;
	struct view line[FORWARDED_LINES_MAX];
};

/* The client behind `proxy`, which is trusted; either argument may have no lines. */
struct in6_addr forwarded_client(const struct proxies *p, const struct in6_addr *proxy,
    const struct forwarded_lines *x_forwarded_for, const struct forwarded_lines *forwarded);

#endif
