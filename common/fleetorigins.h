/* SPDX-License-Identifier: MIT */
/*
 * FLEET_ORIGINS: the one static rule that says where the fleet's nodes may be. Whoever takes a node's
 * URL, connects to one, or lets the page of one in, asks here. Pure.
 *
 * Entries are separated by spaces, each "https://HOST[:PORT]" (port 443 when it has none). HOST is a
 * name in lower case, an IPv4 address, an IPv6 address in brackets, or "*." before a name with a dot
 * in it, which stands for one or more labels more: *.fog.example.org covers a.b.fog.example.org and
 * not fog.example.org itself.
 */
#ifndef FOG_FLEETORIGINS_H
#define FOG_FLEETORIGINS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

#define FLEETORIGINS_HTTPS_PORT 443

struct fleetorigin {
	struct view host; /* of the list: with its "*." or its brackets, without the port */
	uint16_t port;
	bool is_ipv6;
};

/*
 * Whether the list covers a URL: exactly "https://HOST[:PORT]", then its end or one of / ? # and
 * whatever follows. Letters of the name may be of either case. Never covered: a user before the host,
 * a name with a dot at its end, and a host that some readers take for an address and others for a name
 * (127.1, 0x7f000001).
 */
bool fleetorigins_cover(const char *origins, struct view url);

/* Whether every entry is one: 0, or -1 with *why (static text). An empty list is fine. */
int fleetorigins_check(const char *origins, const char **why);

/* The entry at *at, which moves behind it; *at begins as the list. False at the end or at a bad one. */
bool fleetorigins_next(const char **at, struct fleetorigin *out);

#endif
