/* SPDX-License-Identifier: MIT */
/* The addresses and nftables rules of sessions: see egress_nft.h. */
#include "common/egress_nft.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/session.h"

#define TABLE EGRESS_TABLE " "

/* --- addresses --- */

const char *
egress_net_parse(const char *v4, const char *v6, struct egress_net *out)
{
	const char *const texts[] = { v4, v6 };
	static const struct {
		uint8_t family, prefix;
	} wanted[] = { { 4, EGRESS_NET_PREFIX }, { 6, EGRESS_NET_PREFIX6 } };
	struct egress_rule r[2];

	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		const char *wrong = egress_parse(texts[i], &r[i]);

		if (wrong)
			return wrong;
		if (r[i].family != wanted[i].family || r[i].prefix != wanted[i].prefix ||
		    strchr(texts[i], ' ') || egress_reach_of(&r[i]) != EGRESS_ANYBODY)
			return "EGRESS_NETWORK is an IPv4 /19, EGRESS_NETWORK6 an IPv6 /112";
	}
	memcpy(out->v4, r[0].address, sizeof(out->v4));
	memcpy(out->v6, r[1].address, sizeof(out->v6));
	return NULL;
}

struct egress_address
egress_address(const struct egress_net *net, unsigned family, uint32_t slot, enum egress_side side)
{
	struct egress_address a;
	unsigned last = family == 4 ? 3 : 15;
	uint32_t n = slot * 2 + side;

	memcpy(a.bytes, family == 4 ? net->v4 : net->v6, sizeof(a.bytes));
	a.bytes[last] |= n & 0xff;
	a.bytes[last - 1] |= n >> 8 & 0xff;
	return a;
}

void
egress_link_name(uint32_t slot, char name[static EGRESS_NAME_SIZE])
{
	snprintf(name, EGRESS_NAME_SIZE, "fog%u", slot % SESSION_RANGES);
}

/* --- text --- */

__attribute__((format(printf, 2, 3))) static void
say(struct egress_script *s, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(s->text + s->len, sizeof(s->text) - s->len, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(s->text) - s->len)
		s->is_cut = true;
	else
		s->len += (size_t)n;
}

static void
format_address(unsigned family, const unsigned char *address, unsigned prefix,
    char out[static EGRESS_TEXT_SIZE])
{
	struct egress_rule r = { .family = (uint8_t)family, .prefix = (uint8_t)prefix };

	memcpy(r.address, address, sizeof(r.address));
	egress_format(&r, out);
}

static void
format_net(const struct egress_net *net, unsigned family, char out[static EGRESS_TEXT_SIZE])
{
	format_address(family, family == 4 ? net->v4 : net->v6,
	    family == 4 ? EGRESS_NET_PREFIX : EGRESS_NET_PREFIX6, out);
}

static const char *
ip(unsigned family)
{
	return family == 4 ? "ip" : "ip6";
}

/* --- the host --- */

#define GROUP "0x666f67"
_Static_assert(EGRESS_GROUP == 0x666f67, "GROUP");
#define ICMP "meta l4proto { icmp, ipv6-icmp } "

/*
 * `from` and `to` are entered with all packets from and to our interfaces. An ICMP error belongs to
 * the connection it is about. The mark tells a session's connections from those of an earlier
 * one in its slot.
 */
static const char *const host_lines[] = {
	"add table inet cloudshell_fog",
	"add set " TABLE "unnamed4 { type ipv4_addr; flags interval; }",
	"add set " TABLE "unnamed6 { type ipv6_addr; flags interval; }",
	"add set " TABLE "own4 { type ifname . ipv4_addr; }",
	"add set " TABLE "own6 { type ifname . ipv6_addr; }",
	"add map " TABLE "senders { type ifname : verdict; }",
	"add map " TABLE "receivers { type ifname : verdict; }",
	"add counter " TABLE "spoofed",
	"add counter " TABLE EGRESS_DENIED_COUNTER,
	"add chain " TABLE "from",
	"add chain " TABLE "to",
	"add chain " TABLE "answers",
	"add chain " TABLE "crowded",
	"add chain " TABLE "prerouting { type filter hook prerouting priority raw; }",
	"add chain " TABLE "input { type filter hook input priority filter; }",
	"add chain " TABLE "forward { type filter hook forward priority filter; }",
	"add chain " TABLE "output { type filter hook output priority filter; }",
	"add chain " TABLE "postrouting { type nat hook postrouting priority srcnat; }",
	"flush chain " TABLE "from",
	"flush chain " TABLE "to",
	"flush chain " TABLE "answers",
	"flush chain " TABLE "crowded",
	"flush chain " TABLE "prerouting",
	"flush chain " TABLE "input",
	"flush chain " TABLE "forward",
	"flush chain " TABLE "output",
	"flush chain " TABLE "postrouting",
	"flush set " TABLE "unnamed4",
	"flush set " TABLE "unnamed6",
	"add rule " TABLE "prerouting iifgroup != " GROUP " accept",
	"add rule " TABLE "prerouting iifname . ip saddr @own4 accept",
	"add rule " TABLE "prerouting iifname . ip6 saddr @own6 accept",
	"add rule " TABLE "prerouting counter name spoofed drop",
	"add rule " TABLE "input iifgroup " GROUP " goto from",
	"add rule " TABLE "forward iifgroup " GROUP " goto from",
	"add rule " TABLE "forward oifgroup " GROUP " goto to",
	"add rule " TABLE "output oifgroup " GROUP " ct state related " ICMP "accept",
	"add rule " TABLE "output oifgroup " GROUP " goto to",
	"add rule " TABLE "from ct state invalid drop",
	"add rule " TABLE "from oifgroup != " GROUP " ct state related " ICMP "accept",
	"add rule " TABLE "from iifname vmap @senders",
	"add rule " TABLE "from drop",
	"add rule " TABLE "to oifname vmap @receivers",
	"add rule " TABLE "to drop",
	"add rule " TABLE "answers ct state established accept",
	"add rule " TABLE "answers ct state related " ICMP "accept",
	"add rule " TABLE "crowded counter name " EGRESS_DENIED_COUNTER,
	"add rule " TABLE "crowded limit rate 5/second log prefix \"fog-deny egress.connections \"",
	"add rule " TABLE "crowded reject with icmpx admin-prohibited",
};

void
egress_script_host(struct egress_script *s, const struct egress_net *net)
{
	char text[EGRESS_TEXT_SIZE];

	for (size_t i = 0; i < COUNT_OF(host_lines); i++)
		say(s, "%s\n", host_lines[i]);
	for (size_t i = 0; i < egress_range_count; i++) {
		const struct egress_range *r = &egress_ranges[i];

		format_address(r->family, r->address, r->prefix, text);
		say(s, "add element " TABLE "unnamed%u { %s }\n", r->family, text);
	}
	for (unsigned family = 4; family <= 6; family += 2) {
		format_net(net, family, text);
		say(s,
		    "add rule " TABLE "postrouting oifgroup != " GROUP " %s saddr %s masquerade\n",
		    ip(family), text);
	}
}

/* --- a session --- */

static void
say_protocol(struct egress_script *s, const struct egress_rule *r)
{
	const char *name = r->protocol == EGRESS_TCP ? "tcp" : "udp";

	if (r->protocol == EGRESS_ANY)
		return;
	if (r->protocol == EGRESS_ICMP)
		say(s, " meta l4proto %s", r->family == 4 ? "icmp" : "ipv6-icmp");
	else if (r->port_from == 0)
		say(s, " meta l4proto %s", name);
	else
		say(s, " %s dport %u-%u", name, r->port_from, r->port_to);
}

/*
 * What a rule does not name is left out of it: the host's own addresses (unicast is what the host
 * would send on), unnamed4 and unnamed6; and the network of sessions always.
 */
static void
say_rule(struct egress_script *s, const struct egress_net *net, uint32_t slot, unsigned id,
    const struct egress_rule *r, uint32_t mark)
{
	char text[EGRESS_TEXT_SIZE], address[EGRESS_TEXT_SIZE];

	say(s, "add rule " TABLE "s%u meta nfproto ipv%u", slot, r->family);
	format_address(r->family, r->address, r->prefix, address);
	if (r->prefix > 0)
		say(s, " %s daddr %s", ip(r->family), address);
	say_protocol(s, r);
	if (egress_reach_of(r) != EGRESS_NAMED)
		say(s, " fib daddr type unicast %s daddr != @unnamed%u", ip(r->family), r->family);
	format_net(net, r->family, address);
	egress_format(r, text);
	say(s, " %s daddr != %s counter ct mark set 0x%x accept comment \"%u: %s\"\n",
	    ip(r->family), address, mark, id, text);
}

static void
say_own(struct egress_script *s, const struct egress_net *net, uint32_t slot, const char *verb)
{
	char name[EGRESS_NAME_SIZE], address[EGRESS_TEXT_SIZE];

	egress_link_name(slot, name);
	for (unsigned family = 4; family <= 6; family += 2) {
		struct egress_address a = egress_address(net, family, slot, EGRESS_SESSION);

		format_address(family, a.bytes, family == 4 ? 32 : 128, address);
		*strchr(address, '/') = '\0';
		say(s, "%s element " TABLE "own%u { \"%s\" . %s }\n", verb, family, name, address);
	}
}

void
egress_script_add(struct egress_script *s, const struct egress_net *net, uint32_t slot,
    const struct egress_rule *rules, unsigned count, uint32_t mark)
{
	char name[EGRESS_NAME_SIZE];

	egress_link_name(slot, name);
	say(s, "create counter " TABLE "s%u_deny\n", slot);
	say(s, "create chain " TABLE "s%u\ncreate chain " TABLE "r%u\n", slot, slot);
	/* Before any rule: the host's table of connections is everybody's. */
	say(s,
	    "add rule " TABLE "s%u ct state new ct count over %u counter name s%u_deny "
	    "goto crowded\n",
	    slot, EGRESS_CONNECTIONS_MAX, slot);
	for (unsigned i = 0; i < count; i++)
		say_rule(s, net, slot, i + 1, &rules[i], mark);
	say(s,
	    "add rule " TABLE "s%u counter name s%u_deny counter name " EGRESS_DENIED_COUNTER "\n",
	    slot, slot);
	say(s,
	    "add rule " TABLE "s%u limit rate 5/second "
	    "log prefix \"fog-deny s%u egress.no_rule \"\n",
	    slot, slot);
	say(s, "add rule " TABLE "s%u reject with icmpx admin-prohibited\n", slot);
	say(s, "add rule " TABLE "r%u ct mark 0x%x goto answers\n", slot, mark);
	say_own(s, net, slot, "add");
	say(s, "add element " TABLE "senders { \"%s\" : jump s%u }\n", name, slot);
	say(s, "add element " TABLE "receivers { \"%s\" : jump r%u }\n", name, slot);
}

void
egress_script_remove(struct egress_script *s, const struct egress_net *net, uint32_t slot)
{
	char name[EGRESS_NAME_SIZE];

	egress_link_name(slot, name);
	say(s, "delete element " TABLE "senders { \"%s\" }\n", name);
	say(s, "delete element " TABLE "receivers { \"%s\" }\n", name);
	say_own(s, net, slot, "delete");
	for (const char *kind = "sr"; *kind; kind++)
		say(s, "flush chain " TABLE "%c%u\ndelete chain " TABLE "%c%u\n", *kind, slot,
		    *kind, slot);
	say(s, "delete counter " TABLE "s%u_deny\n", slot);
}
