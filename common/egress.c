/* SPDX-License-Identifier: MIT */
/* What a session may reach: see egress.h. */
#include "common/egress.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"

#define V4_BYTES 4

static const char *const protocols[] = {
#define PROTOCOL_TEXT(name, text) [EGRESS_##name] = text,
	EGRESS_PROTOCOLS(PROTOCOL_TEXT)
};

const struct egress_range egress_ranges[] = {
	{ EGRESS_NEVER, 4, 8, { 0 } },                   /* RFC 6890: this host */
	{ EGRESS_NEVER, 4, 8, { 127 } },                 /* loopback */
	{ EGRESS_NEVER, 4, 4, { 224 } },                 /* multicast */
	{ EGRESS_NEVER, 4, 4, { 240 } },                 /* reserved, and broadcast */
	{ EGRESS_NAMED, 4, 16, { 169, 254 } },           /* link-local, and most clouds' metadata */
	{ EGRESS_NAMED, 4, 32, { 100, 100, 100, 200 } }, /* metadata: Alibaba */
	{ EGRESS_NAMED, 4, 32, { 168, 63, 129, 16 } },   /* Azure */
	{ EGRESS_NAMED, 4, 32, { 192, 0, 0, 192 } },     /* Oracle */
	{ EGRESS_NEVER, 6, 127, { 0 } },                 /* unspecified and loopback */
	{ EGRESS_NEVER, 6, 96, { [10] = 0xff, [11] = 0xff } }, /* IPv4-mapped */
	{ EGRESS_NEVER, 6, 8, { 0xff } },                      /* multicast */
	{ EGRESS_NAMED, 6, 10, { 0xfe, 0x80 } },               /* link-local */
	{ EGRESS_NAMED, 6, 128, { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 } }, /* AWS */
	{ EGRESS_NAMED, 6, 128, { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54 } }, /* GCP */
	/* RFC 6052: IPv4 link-local behind a NAT64 */
	{ EGRESS_NAMED, 6, 112, { 0x00, 0x64, 0xff, 0x9b, [12] = 169, [13] = 254 } },
};
const size_t egress_range_count = COUNT_OF(egress_ranges);

static unsigned
family_bits(unsigned family)
{
	return family == 4 ? 32 : 128;
}

static bool
has_prefix(const unsigned char *address, unsigned prefix, const unsigned char *of)
{
	unsigned whole = prefix / 8, rest = prefix % 8;

	if (memcmp(address, of, whole) != 0)
		return false;
	return rest == 0 || ((address[whole] ^ of[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

bool
egress_is_within(const struct egress_rule *rule, unsigned prefix,
    const unsigned char address[static EGRESS_ADDRESS_BYTES])
{
	return rule->prefix >= prefix && has_prefix(rule->address, prefix, address);
}

enum egress_reach
egress_reach_of(const struct egress_rule *rule)
{
	for (size_t i = 0; i < COUNT_OF(egress_ranges); i++) {
		const struct egress_range *r = &egress_ranges[i];

		if (r->family == rule->family && egress_is_within(rule, r->prefix, r->address))
			return r->reach;
	}
	return rule->prefix == family_bits(rule->family) ? EGRESS_NAMED : EGRESS_ANYBODY;
}

static bool
has_bits_past(const unsigned char *address, unsigned prefix)
{
	for (unsigned bit = prefix; bit < EGRESS_ADDRESS_BYTES * 8; bit++) {
		if (address[bit / 8] >> (7 - bit % 8) & 1)
			return true;
	}
	return false;
}

static const char *
check_ports(const struct egress_rule *r)
{
	if (r->port_from == 0 && r->port_to == 0)
		return NULL;
	if (r->protocol != EGRESS_TCP && r->protocol != EGRESS_UDP)
		return "a port needs tcp or udp before it";
	if (r->port_from == 0 || r->port_from > r->port_to)
		return "a port is 1 to 65535, a range of ports goes upwards";
	return NULL;
}

const char *
egress_check(const struct egress_rule *r)
{
	if (r->family != 4 && r->family != 6)
		return "no IPv4 or IPv6 address";
	if (r->prefix > family_bits(r->family))
		return "the prefix is longer than the address";
	if (r->protocol >= EGRESS_PROTOCOL_COUNT)
		return "the protocol is any, tcp, udp or icmp";
	if (has_bits_past(r->address, r->prefix))
		return "the address has bits set past its prefix";
	if (egress_reach_of(r) == EGRESS_NEVER)
		return "loopback, multicast and reserved addresses cannot be reached";
	return check_ports(r);
}

/* Decimal without leading zeros. -1: not a number, or above max. */
static long
take_number(const char **text, long max)
{
	const char *p = *text;
	long n = 0;

	if (*p < '0' || *p > '9' || (p[0] == '0' && p[1] >= '0' && p[1] <= '9'))
		return -1;
	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (*p - '0');
		if (n > max)
			return -1;
	}
	*text = p;
	return n;
}

static const char *
parse_cidr(char *word, struct egress_rule *r)
{
	char *slash = strchr(word, '/');
	const char *bits = slash ? slash + 1 : NULL;
	long prefix;

	if (slash)
		*slash = '\0';
	if (inet_pton(AF_INET, word, r->address) == 1)
		r->family = 4;
	else if (inet_pton(AF_INET6, word, r->address) == 1)
		r->family = 6;
	else
		return "no IPv4 or IPv6 address";
	prefix = bits ? take_number(&bits, family_bits(r->family)) : family_bits(r->family);
	if (prefix < 0 || (bits && *bits != '\0'))
		return "the prefix is no number, or longer than the address";
	r->prefix = (uint8_t)prefix;
	return NULL;
}

static const char *
parse_protocol(const char *word, struct egress_rule *r)
{
	for (unsigned i = 0; i < COUNT_OF(protocols); i++) {
		if (strcmp(word, protocols[i]) == 0) {
			r->protocol = (uint8_t)i;
			return NULL;
		}
	}
	return "the protocol is any, tcp, udp or icmp";
}

static const char *
parse_ports(const char *word, struct egress_rule *r)
{
	long from = take_number(&word, UINT16_MAX), to = from;

	if (from > 0 && *word == '-') {
		word++;
		to = take_number(&word, UINT16_MAX);
	}
	if (from <= 0 || to < from || *word != '\0')
		return "a port is 1 to 65535, a range of ports goes upwards";
	r->port_from = (uint16_t)from;
	r->port_to = (uint16_t)to;
	return NULL;
}

const char *
egress_parse(const char *text, struct egress_rule *out)
{
	char copy[EGRESS_TEXT_SIZE];
	struct egress_rule r = { 0 };
	char *protocol, *ports;
	const char *wrong;

	if (strlen(text) >= sizeof(copy))
		return "longer than any rule";
	memcpy(copy, text, strlen(text) + 1);
	protocol = strchr(copy, ' ');
	if (protocol)
		*protocol++ = '\0';
	ports = protocol ? strchr(protocol, ' ') : NULL;
	if (ports)
		*ports++ = '\0';
	wrong = parse_cidr(copy, &r);
	if (!wrong && protocol)
		wrong = parse_protocol(protocol, &r);
	if (!wrong && ports)
		wrong = parse_ports(ports, &r);
	if (!wrong)
		wrong = egress_check(&r);
	if (!wrong)
		*out = r;
	return wrong;
}

void
egress_format(const struct egress_rule *r, char out[static EGRESS_TEXT_SIZE])
{
	char address[INET6_ADDRSTRLEN] = "", ports[16] = "";

	inet_ntop(r->family == 4 ? AF_INET : AF_INET6, r->address, address, sizeof(address));
	if (r->port_from != 0 && r->port_to != r->port_from)
		snprintf(ports, sizeof(ports), " %u-%u", r->port_from, r->port_to);
	else if (r->port_from != 0)
		snprintf(ports, sizeof(ports), " %u", r->port_from);
	if (r->protocol == EGRESS_ANY)
		snprintf(out, EGRESS_TEXT_SIZE, "%s/%u", address, r->prefix);
	else
		snprintf(out, EGRESS_TEXT_SIZE, "%s/%u %s%s", address, r->prefix,
		    protocols[r->protocol], ports);
}

size_t
egress_pack(const struct egress_rule *rules, size_t count, unsigned char *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct egress_rule *r = &rules[i];
		unsigned char *at = out + i * EGRESS_RULE_BYTES;

		at[0] = r->family;
		at[1] = r->prefix;
		at[2] = r->protocol;
		at[3] = 0;
		at[4] = r->port_from >> 8;
		at[5] = r->port_from & 0xff;
		at[6] = r->port_to >> 8;
		at[7] = r->port_to & 0xff;
		memcpy(at + 8, r->address, EGRESS_ADDRESS_BYTES);
	}
	return count * EGRESS_RULE_BYTES;
}

int
egress_unpack(const void *bytes, size_t len, struct egress_rule out[static EGRESS_RULES_MAX])
{
	struct egress_rule rules[EGRESS_RULES_MAX] = { 0 };
	const unsigned char *at = bytes;
	size_t count = len / EGRESS_RULE_BYTES;

	if (len % EGRESS_RULE_BYTES != 0 || count > EGRESS_RULES_MAX)
		return -FOG_E_BOUNDS;
	for (size_t i = 0; i < count; i++, at += EGRESS_RULE_BYTES) {
		struct egress_rule *r = &rules[i];

		r->family = at[0];
		r->prefix = at[1];
		r->protocol = at[2];
		r->port_from = (uint16_t)(at[4] << 8 | at[5]);
		r->port_to = (uint16_t)(at[6] << 8 | at[7]);
		memcpy(r->address, at + 8, EGRESS_ADDRESS_BYTES);
		if (at[3] != 0 || egress_check(r))
			return -FOG_E_BOUNDS;
	}
	if (count > 0)
		memcpy(out, rules, count * sizeof(rules[0]));
	return (int)count;
}
