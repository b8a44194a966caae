/* SPDX-License-Identifier: MIT */
/*
 * What a session may reach: a list of rules, and everything else is denied (S30). In plans a list
 * is packed, EGRESS_RULE_BYTES each. Pure.
 */
#ifndef FOG_EGRESS_H
#define FOG_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EGRESS_RULES_MAX 32
#define EGRESS_RULE_BYTES 24
#define EGRESS_ADDRESS_BYTES 16
#define EGRESS_TEXT_SIZE 96

/* X(NAME, as in policy.yaml) */
#define EGRESS_PROTOCOLS(X) \
	X(ANY, "any") \
	X(TCP, "tcp") \
	X(UDP, "udp") \
	X(ICMP, "icmp") /* or ICMPv6 */

#define EGRESS_ENUM(name, text) EGRESS_##name,
enum egress_protocol { EGRESS_PROTOCOLS(EGRESS_ENUM) EGRESS_PROTOCOL_COUNT };

struct egress_rule {
	uint8_t family; /* 4 or 6 */
	uint8_t prefix; /* bits: 0..32 or 0..128 */
	uint8_t protocol;
	uint16_t port_from, port_to; /* 0, 0: every port; both of TCP or UDP alone */
	unsigned char address[EGRESS_ADDRESS_BYTES]; /* network order; bits past the prefix are 0 */
};

/*
 * Addresses that a rule reaches only if it names them: it is one address, or lies wholly in one of
 * these ranges (link-local, metadata services). Of a wider rule they are left out, and so are the
 * host's own addresses. What is EGRESS_NEVER (loopback, multicast, …) no rule reaches.
 */
enum egress_reach { EGRESS_ANYBODY, EGRESS_NAMED, EGRESS_NEVER };

struct egress_range {
	enum egress_reach reach;
	uint8_t family, prefix;
	unsigned char address[EGRESS_ADDRESS_BYTES];
};
extern const struct egress_range egress_ranges[];
extern const size_t egress_range_count;

/* True when all of the rule's addresses lie in those of the other, which has the same family. */
bool egress_is_within(const struct egress_rule *rule, unsigned prefix,
    const unsigned char address[static EGRESS_ADDRESS_BYTES]);
/* Whether the rule names what it reaches, see above; EGRESS_NEVER: egress_check refuses it. */
enum egress_reach egress_reach_of(const struct egress_rule *rule);

/* NULL, or what is wrong (static text). */
const char *egress_check(const struct egress_rule *rule);

/*
 * "CIDR", "CIDR PROTOCOL" or "CIDR PROTOCOL PORT[-PORT]", such as "10.1.0.0/16 tcp 443"; an address
 * without a prefix is that one address. NULL, or what is wrong (static text).
 */
const char *egress_parse(const char *text, struct egress_rule *out);
/* Back to that text: canonical (always with a prefix, without "any"), so that it names the rule in logs
 * and counters. For rules that egress_check takes. */
void egress_format(const struct egress_rule *rule, char out[static EGRESS_TEXT_SIZE]);

/* Bytes of the packed list, at most EGRESS_RULES_MAX * EGRESS_RULE_BYTES. */
size_t egress_pack(const struct egress_rule *rules, size_t count, unsigned char *out);
/* How many; -FOG_E_BOUNDS: a rule that egress_check refuses, or bytes left over. */
int egress_unpack(const void *bytes, size_t len, struct egress_rule out[static EGRESS_RULES_MAX]);

#endif
