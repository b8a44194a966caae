/* SPDX-License-Identifier: MIT */
/*
 * Addresses and nftables rules of sessions with egress (S30), as text for libnftables: made of numbers,
 * constants and egress_format alone, in one bounded buffer. Pure. See ptyd/egress.h for how the
 * table works.
 */
#ifndef FOG_EGRESS_NFT_H
#define FOG_EGRESS_NFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/egress.h"

#define EGRESS_TABLE_NAME "cloudshell_fog"
#define EGRESS_TABLE "inet " EGRESS_TABLE_NAME
#define EGRESS_DENIED_COUNTER "denied" /* of all sessions, also of those that are gone */
#define EGRESS_GROUP 0x666f67          /* IFLA_GROUP of our interfaces */
#define EGRESS_NAME_SIZE 16            /* IFNAMSIZ */
#define EGRESS_NET_PREFIX 19           /* a /31 for each slot */
#define EGRESS_NET_PREFIX6 112         /* a /127 */
#define EGRESS_LINK_PREFIX 31
#define EGRESS_LINK_PREFIX6 127
#define EGRESS_CONNECTIONS_MAX 1024 /* of a session at once; the host's table has room for all */
#define EGRESS_SCRIPT_BYTES \
	16384 /* EGRESS_RULES_MAX rules at most 400 each, and what is around them */

/* Addresses 2n (the host) and 2n + 1 (the session) of both networks are slot n's. */
struct egress_net {
	unsigned char v4[EGRESS_ADDRESS_BYTES]; /* network order; 4 bytes, then 0 */
	unsigned char v6[EGRESS_ADDRESS_BYTES];
};

enum egress_side { EGRESS_HOST, EGRESS_SESSION };

struct egress_address {
	unsigned char bytes[EGRESS_ADDRESS_BYTES];
};

/* "100.127.224.0/19" and "fd66:6f67:5e55::/112". NULL, or what is wrong (static text). */
const char *egress_net_parse(const char *v4, const char *v6, struct egress_net *out);
/* Slots are below SESSION_RANGES. */
struct egress_address egress_address(const struct egress_net *net, unsigned family, uint32_t slot,
    enum egress_side side);
/* The host's end of the pair: fogN. */
void egress_link_name(uint32_t slot, char name[static EGRESS_NAME_SIZE]);

struct egress_script {
	char text[EGRESS_SCRIPT_BYTES]; /* one command a line */
	size_t len;
	bool is_cut; /* did not fit: not to be used */
};

/* These append. The table, with what belongs to no session renewed: */
void egress_script_host(struct egress_script *s, const struct egress_net *net);
/* A session that is not there yet. mark: of its connections, not 0. */
void egress_script_add(struct egress_script *s, const struct egress_net *net, uint32_t slot,
    const struct egress_rule *rules, unsigned count, uint32_t mark);
void egress_script_remove(struct egress_script *s, const struct egress_net *net, uint32_t slot);

#endif
