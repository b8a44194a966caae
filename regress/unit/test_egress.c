/* SPDX-License-Identifier: MIT */
/*
 * Tests of the rules of what a session may reach: their text, their bytes, and what they
 * make of nftables. links: common/egress.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/egress.h"
#include "common/egress_denied.h"
#include "common/egress_nft.h"
#include "common/egress_rtnl.h"
#include "common/err.h"
#include "common/session.h"

static struct egress_rule
rule_of(const char *text)
{
	struct egress_rule r = { 0 };
	const char *wrong = egress_parse(text, &r);

	if (wrong)
		print_error("%s: %s\n", text, wrong);
	assert_null(wrong);
	return r;
}

static void
assert_same(const struct egress_rule *a, const struct egress_rule *b)
{
	unsigned char packed[2][EGRESS_RULE_BYTES];

	egress_pack(a, 1, packed[0]);
	egress_pack(b, 1, packed[1]);
	assert_memory_equal(packed[0], packed[1], sizeof(packed[0]));
}

struct text_case {
	const char *text, *canonical; /* NULL: refused */
};

static void
texts_are_read_and_written(void **state)
{
	static const struct text_case cases[] = {
		{ "10.1.0.0/16 tcp 443", "10.1.0.0/16 tcp 443" },
		{ "10.1.2.3", "10.1.2.3/32" },
		{ "10.1.2.3 udp 53", "10.1.2.3/32 udp 53" },
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "10.0.0.0/8 any", "10.0.0.0/8" },
		{ "10.0.0.0/8 tcp", "10.0.0.0/8 tcp" },
		{ "10.0.0.0/8 icmp", "10.0.0.0/8 icmp" },
		{ "10.0.0.0/8 tcp 1-65535", "10.0.0.0/8 tcp 1-65535" },
		{ "10.0.0.0/8 tcp 80-80", "10.0.0.0/8 tcp 80" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "::/0 udp 53", "::/0 udp 53" },
		{ "2001:DB8:0::/48 tcp 443", "2001:db8::/48 tcp 443" },
		{ "2001:db8::1", "2001:db8::1/128" },
		{ "128.0.0.0/1", "128.0.0.0/1" },
		{ "169.254.169.254 tcp 80", "169.254.169.254/32 tcp 80" },
		{ "fe80::/10", "fe80::/10" },
		{ "", NULL },
		{ " ", NULL },
		{ " 10.0.0.0/8", NULL },
		{ "10.0.0.0/8 ", NULL },
		{ "10.0.0.0/8  tcp", NULL },
		{ "10.0.0.0/8 tcp ", NULL },
		{ "10.0.0.0/8\ttcp", NULL },
		{ "10.0.0.0/8 tcp 443 ", NULL },
		{ "10.0.0.0/8 tcp 443 x", NULL },
		{ "10.0.0.0/8 sctp", NULL },
		{ "10.0.0.0/8 TCP", NULL },
		{ "10.0.0.0/8 443", NULL },
		{ "10.0.0.0/8 any 443", NULL },
		{ "10.0.0.0/8 icmp 8", NULL },
		{ "10.0.0.0/8 tcp 0", NULL },
		{ "10.0.0.0/8 tcp 65536", NULL },
		{ "10.0.0.0/8 tcp 0443", NULL },
		{ "10.0.0.0/8 tcp -1", NULL },
		{ "10.0.0.0/8 tcp 1-", NULL },
		{ "10.0.0.0/8 tcp 2-1", NULL },
		{ "10.0.0.0/8 tcp 1-2-3", NULL },
		{ "10.0.0.0/8 tcp 99999999999999999999", NULL },
		{ "10.0.0.1/8", NULL },
		{ "2001:db8::1/64", NULL },
		{ "10.0.0.0/33", NULL },
		{ "10.0.0.0/08", NULL },
		{ "10.0.0.0/", NULL },
		{ "10.0.0.0/-1", NULL },
		{ "10.0.0.0/8/8", NULL },
		{ "::/129", NULL },
		{ "10.0.0/8", NULL },
		{ "010.0.0.0/8", NULL },
		{ "10.0.0.0.0/8", NULL },
		{ "example.org tcp 443", NULL },
		{ "fe80::1%eth0", NULL },
		{ "127.0.0.1", NULL },
		{ "127.0.0.0/8 tcp 80", NULL },
		{ "0.0.0.0", NULL },
		{ "0.0.0.0/8", NULL },
		{ "224.0.0.1 udp 5353", NULL },
		{ "255.255.255.255", NULL },
		{ "::1", NULL },
		{ "::/128", NULL },
		{ "::ffff:127.0.0.1", NULL },
		{ "::ffff:0:0/96", NULL },
		{ "ff02::1", NULL },
		{ "10.0.0.0/8 tcp 443; flush ruleset", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct egress_rule r = { .family = 77 }, again;
		const char *wrong = egress_parse(cases[i].text, &r);
		char text[EGRESS_TEXT_SIZE];

		if (!wrong != !!cases[i].canonical)
			print_error("%s: %s\n", cases[i].text, wrong ? wrong : "taken");
		assert_int_equal(!wrong, !!cases[i].canonical);
		if (wrong) {
			assert_int_equal(r.family, 77);
			continue;
		}
		assert_null(egress_check(&r));
		egress_format(&r, text);
		assert_string_equal(text, cases[i].canonical);
		again = rule_of(text);
		assert_same(&again, &r);
	}
}

static void
texts_are_bounded(void **state)
{
	char longest[4096];
	struct egress_rule r = { 0 };

	(void)state;
	memset(longest, '1', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_non_null(egress_parse(longest, &r));
	/* The longest that is written. */
	r = rule_of("2001:db8:1111:2222:3333:4444:5555:6666/128 icmp");
	r.protocol = EGRESS_UDP;
	r.port_from = 10000;
	r.port_to = UINT16_MAX;
	egress_format(&r, longest);
	assert_string_equal(longest, "2001:db8:1111:2222:3333:4444:5555:6666/128 udp 10000-65535");
}

struct reach_case {
	const char *text;
	enum egress_reach reach;
};

static void
addresses_are_named_or_left_out(void **state)
{
	static const struct reach_case cases[] = {
		{ "0.0.0.0/0", EGRESS_ANYBODY },
		{ "169.0.0.0/8", EGRESS_ANYBODY },
		{ "169.252.0.0/14", EGRESS_ANYBODY },
		{ "169.254.0.0/16", EGRESS_NAMED },
		{ "169.254.169.0/24", EGRESS_NAMED },
		{ "169.254.169.254 tcp 80", EGRESS_NAMED },
		{ "100.100.100.200", EGRESS_NAMED },
		{ "100.100.100.0/24", EGRESS_ANYBODY },
		{ "192.0.2.1", EGRESS_NAMED },
		{ "192.0.2.0/31", EGRESS_ANYBODY },
		{ "::/0", EGRESS_ANYBODY },
		{ "fe80::/64", EGRESS_NAMED },
		{ "fe00::/8", EGRESS_ANYBODY },
		{ "fd00:ec2::254", EGRESS_NAMED },
		{ "fd00::/8", EGRESS_ANYBODY },
		{ "64:ff9b::a9fe:a9fe", EGRESS_NAMED },
		{ "64:ff9b::/96", EGRESS_ANYBODY },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct egress_rule r = rule_of(cases[i].text);

		assert_int_equal(egress_reach_of(&r), cases[i].reach);
	}
	for (size_t i = 0; i < egress_range_count; i++) {
		const struct egress_range *range = &egress_ranges[i];
		struct egress_rule r = { .family = range->family, .prefix = range->prefix };

		memcpy(r.address, range->address, sizeof(r.address));
		assert_int_equal(egress_reach_of(&r), range->reach);
		assert_int_equal(!egress_check(&r), range->reach == EGRESS_NAMED);
	}
}

static void
lists_are_packed_and_unpacked(void **state)
{
	const struct egress_rule rules[] = { rule_of("10.1.0.0/16 tcp 443-65535"),
		rule_of("2001:db8::/48 udp 53"), rule_of("0.0.0.0/0 icmp") };
	struct egress_rule out[EGRESS_RULES_MAX];
	unsigned char bytes[COUNT_OF(rules) * EGRESS_RULE_BYTES];

	(void)state;
	assert_int_equal(egress_pack(rules, COUNT_OF(rules), bytes), sizeof(bytes));
	assert_int_equal(egress_unpack(bytes, sizeof(bytes), out), COUNT_OF(rules));
	for (size_t i = 0; i < COUNT_OF(rules); i++)
		assert_same(&out[i], &rules[i]);
	assert_int_equal(egress_pack(rules, 0, bytes), 0);
	assert_int_equal(egress_unpack(bytes, 0, out), 0);
	assert_int_equal(egress_unpack(NULL, 0, out), 0);
}

static void
bad_bytes_are_refused(void **state)
{
	static const struct {
		unsigned at;
		unsigned char value;
	} cases[] = { { 0, 0 }, { 0, 5 }, { 1, 33 }, { 1, 15 }, { 2, EGRESS_PROTOCOL_COUNT },
		{ 2, EGRESS_ICMP }, { 2, EGRESS_ANY }, { 3, 1 }, { 4, 2 }, { 7, 0 }, { 8, 127 },
		{ 10, 1 }, { 12, 1 }, { 23, 1 } };
	struct egress_rule rule = rule_of("10.1.0.0/16 tcp 256-400"), out[EGRESS_RULES_MAX];
	unsigned char good[EGRESS_RULE_BYTES], many[(EGRESS_RULES_MAX + 1) * EGRESS_RULE_BYTES];

	(void)state;
	memset(out, 0x55, sizeof(out));
	assert_int_equal(egress_pack(&rule, 1, good), sizeof(good));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		memcpy(many, good, sizeof(good));
		memcpy(many + sizeof(good), good, sizeof(good));
		many[sizeof(good) + cases[i].at] = cases[i].value;
		if (cases[i].at == 7) /* from 256 to 256 is a range */
			many[sizeof(good) + 6] = 0;
		assert_int_equal(egress_unpack(many, 2 * sizeof(good), out), -FOG_E_BOUNDS);
	}
	for (size_t len = 1; len < sizeof(good); len++)
		assert_int_equal(egress_unpack(good, len, out), -FOG_E_BOUNDS);
	for (size_t i = 0; i <= EGRESS_RULES_MAX; i++)
		memcpy(many + i * sizeof(good), good, sizeof(good));
	assert_int_equal(egress_unpack(many, sizeof(many), out), -FOG_E_BOUNDS);
	assert_int_equal(out[0].family, 0x55);
	assert_int_equal(egress_unpack(many, sizeof(many) - sizeof(good), out), EGRESS_RULES_MAX);
}

/* --- the networks of sessions --- */

#define NET4 "100.127.224.0/19"
#define NET6 "fd66:6f67:5e55::/112"

static struct egress_net
net_of(const char *v4, const char *v6)
{
	struct egress_net net;

	assert_null(egress_net_parse(v4, v6, &net));
	return net;
}

static void
networks_are_read(void **state)
{
	static const char *const bad4[] = { "", "100.127.224.0", "100.127.224.0/20",
		"100.127.224.1/19", "100.127.224.0/19 tcp", "127.0.0.0/19", "169.254.0.0/19",
		"224.0.0.0/19", NET6 };
	static const char *const bad6[] = { "", "fd66::/64", "fd66::1/112", "fe80::/112",
		"ff02::/112", "::ffff:1.2.0.0/112", "64:ff9b::a9fe:0/112", NET4 };
	struct egress_net net;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad4); i++)
		assert_non_null(egress_net_parse(bad4[i], NET6, &net));
	for (size_t i = 0; i < COUNT_OF(bad6); i++)
		assert_non_null(egress_net_parse(NET4, bad6[i], &net));
	net_of(NET4, NET6);
}

struct address_case {
	uint32_t slot;
	enum egress_side side;
	const char *v4, *v6, *name;
};

static void
slots_have_addresses(void **state)
{
	static const struct address_case cases[] = {
		{ 0, EGRESS_HOST, "100.127.224.0", "fd66:6f67:5e55::", "fog0" },
		{ 0, EGRESS_SESSION, "100.127.224.1", "fd66:6f67:5e55::1", "fog0" },
		{ 127, EGRESS_SESSION, "100.127.224.255", "fd66:6f67:5e55::ff", "fog127" },
		{ 128, EGRESS_HOST, "100.127.225.0", "fd66:6f67:5e55::100", "fog128" },
		{ SESSION_RANGES - 1, EGRESS_SESSION, "100.127.255.255", "fd66:6f67:5e55::1fff",
		    "fog4095" },
	};
	struct egress_net net = net_of(NET4, NET6);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct address_case *k = &cases[i];
		struct egress_address a4 = egress_address(&net, 4, k->slot, k->side),
				      a6 = egress_address(&net, 6, k->slot, k->side);
		char text[INET6_ADDRSTRLEN], name[EGRESS_NAME_SIZE];

		assert_string_equal(inet_ntop(AF_INET, a4.bytes, text, sizeof(text)), k->v4);
		assert_string_equal(inet_ntop(AF_INET6, a6.bytes, text, sizeof(text)), k->v6);
		egress_link_name(k->slot, name);
		assert_string_equal(name, k->name);
	}
}

/* --- scripts --- */

static struct egress_script script;

static void
start(void)
{
	script.len = 0;
	script.is_cut = false;
}

static void
assert_says(const char *what)
{
	if (!strstr(script.text, what))
		print_error("%s\n---\n%s", what, script.text);
	assert_non_null(strstr(script.text, what));
}

#define T "add rule inet cloudshell_fog "

static void
a_session_becomes_rules(void **state)
{
	const struct egress_rule rules[] = { rule_of("10.1.0.0/16 tcp 443"),
		rule_of("169.254.169.254 tcp 80-81"), rule_of("0.0.0.0/0 udp"),
		rule_of("2001:db8::/48 icmp"), rule_of("::/0") };
	struct egress_net net = net_of(NET4, NET6);

	(void)state;
	start();
	egress_script_add(&script, &net, 7, rules, COUNT_OF(rules), 0xabc1);
	assert_false(script.is_cut);
	assert_int_equal(script.len, strlen(script.text));
	assert_says(T "s7 meta nfproto ipv4 ip daddr 10.1.0.0/16 tcp dport 443-443 fib daddr type "
		      "unicast ip daddr != @unnamed4 ip daddr != 100.127.224.0/19 counter ct mark "
		      "set 0xabc1 accept comment \"1: 10.1.0.0/16 tcp 443\"\n");
	assert_says(T
	    "s7 meta nfproto ipv4 ip daddr 169.254.169.254/32 tcp dport 80-81 ip daddr != "
	    "100.127.224.0/19 counter ct mark set 0xabc1 accept comment \"2: "
	    "169.254.169.254/32 tcp 80-81\"\n");
	assert_says(T "s7 meta nfproto ipv4 meta l4proto udp fib daddr type unicast ");
	assert_says(T "s7 meta nfproto ipv6 ip6 daddr 2001:db8::/48 meta l4proto ipv6-icmp fib ");
	assert_says(T
	    "s7 meta nfproto ipv6 fib daddr type unicast ip6 daddr != @unnamed6 ip6 daddr "
	    "!= fd66:6f67:5e55::/112 counter ");
	assert_says("add element inet cloudshell_fog own4 { \"fog7\" . 100.127.224.15 }\n");
	assert_says("add element inet cloudshell_fog own6 { \"fog7\" . fd66:6f67:5e55::f }\n");
	assert_says("add element inet cloudshell_fog senders { \"fog7\" : jump s7 }\n");
	assert_says(T "r7 ct mark 0xabc1 goto answers\n");
	/* How many connections it may have is looked at before any rule. */
	assert_non_null(strstr(script.text,
	    T "s7 ct state new ct count over 1024 counter name s7_deny goto crowded\n"));
	assert_true(strstr(script.text, "ct count over") < strstr(script.text, "accept comment"));
	/* The deny is last in its chain. */
	assert_true(strstr(script.text, "comment \"5: ::/0\"") <
	    strstr(script.text, T "s7 counter name s7_deny counter name denied\n"));
	start();
	egress_script_remove(&script, &net, 7);
	assert_says("delete element inet cloudshell_fog own4 { \"fog7\" . 100.127.224.15 }\n");
	assert_says("delete chain inet cloudshell_fog s7\n");
	assert_says("delete counter inet cloudshell_fog s7_deny\n");
}

/* An answer as the kernel writes it: the object with its data, a counter of bytes and packets. */
static size_t
answer_with(char *to, uint16_t type, uint64_t packets)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(to);
	struct nlattr *data;

	h->nlmsg_type = type;
	mnl_nlmsg_put_extra_header(h, sizeof(struct nfgenmsg));
	mnl_attr_put_strz(h, NFTA_OBJ_NAME, "s7_deny");
	data = mnl_attr_nest_start(h, NFTA_OBJ_DATA);
	mnl_attr_put_u64(h, NFTA_COUNTER_BYTES, htobe64(packets * 60));
	mnl_attr_put_u64(h, NFTA_COUNTER_PACKETS, htobe64(packets));
	mnl_attr_nest_end(h, data);
	return h->nlmsg_len;
}

static size_t
error_with(char *to, int error)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(to);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(h, sizeof(*e));

	h->nlmsg_type = NLMSG_ERROR;
	e->error = error;
	return h->nlmsg_len;
}

static void
what_was_denied_is_read(void **state)
{
	const uint16_t object = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWOBJ;
	_Alignas(struct nlmsghdr) char answer[512];
	uint64_t packets = 5;
	size_t len;

	(void)state;
	len = error_with(answer, -ENOENT);
	assert_int_equal(egress_denied_read(answer, len, &packets), -ENOENT);
	len = error_with(answer, 0);
	assert_int_equal(egress_denied_read(answer, len, &packets), -EBADMSG);
	len = answer_with(answer, object + 1, 12);
	assert_int_equal(egress_denied_read(answer, len, &packets), -EBADMSG);
	len = answer_with(answer, object, 12);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(egress_denied_read(answer, cut, &packets), -EBADMSG);
	assert_int_equal(packets, 5);
	assert_int_equal(egress_denied_read(answer, len, &packets), 0);
	assert_int_equal(packets, 12);
}

static void
what_was_denied_is_asked_by_name(void **state)
{
	struct egress_denied_query one = egress_denied_ask(7);
	struct egress_denied_query all = egress_denied_ask(SESSION_RANGES);

	(void)state;
	assert_non_null(memmem(one.bytes, one.len, "s7_deny", sizeof("s7_deny")));
	assert_non_null(memmem(all.bytes, all.len, "denied", sizeof("denied")));
	assert_non_null(memmem(all.bytes, all.len, "cloudshell_fog", sizeof("cloudshell_fog")));
}

static void
the_host_is_made_anew(void **state)
{
	struct egress_net net = net_of(NET4, NET6);

	(void)state;
	start();
	egress_script_host(&script, &net);
	assert_false(script.is_cut);
	assert_says("add element inet cloudshell_fog unnamed4 { 169.254.0.0/16 }\n");
	assert_says("add element inet cloudshell_fog unnamed4 { 127.0.0.0/8 }\n");
	assert_says("add element inet cloudshell_fog unnamed6 { fe80::/10 }\n");
	assert_says("postrouting oifgroup != 0x666f67 ip saddr 100.127.224.0/19 masquerade\n");
	/* What living sessions have stays. */
	assert_null(strstr(script.text, "delete"));
	assert_null(strstr(script.text, "flush map"));
	assert_null(strstr(script.text, "flush set inet cloudshell_fog own"));
}

static void
scripts_are_bounded(void **state)
{
	struct egress_rule rules[EGRESS_RULES_MAX];
	struct egress_net net = net_of(NET4, "fd66:6f67:5e55:1111:2222:3333:4444:0/112");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rules); i++)
		rules[i] = rule_of("2001:db8:1111:2222:3333:4444:5555:6660/124 tcp 10000-65535");
	start();
	egress_script_add(&script, &net, SESSION_RANGES - 1, rules, COUNT_OF(rules), UINT32_MAX);
	assert_false(script.is_cut);
	egress_script_add(&script, &net, SESSION_RANGES - 1, rules, COUNT_OF(rules), UINT32_MAX);
	assert_true(script.is_cut);
	assert_true(strlen(script.text) < sizeof(script.text));
}

static void
requests_are_bounded(void **state)
{
	struct egress_net net = net_of(NET4, NET6);
	struct egress_request r = { .len = 0 };
	unsigned seen = 0;

	(void)state;
	egress_put_pair(&r, SESSION_RANGES - 1, 1);
	for (unsigned family = 4; family <= 6; family += 2) {
		egress_put_address(&r, 2, family, egress_address(&net, family, 1, EGRESS_SESSION));
		egress_put_default_route(&r, 2, family,
		    egress_address(&net, family, 1, EGRESS_HOST));
	}
	egress_put_up(&r, 2);
	egress_put_removal(&r, SESSION_RANGES - 1);
	assert_int_equal(r.count, 7);
	assert_true(r.len <= sizeof(r.bytes) / 2);
	/* Messages lie end to end, numbered, each to be answered. */
	for (size_t at = 0; at < r.len; seen++) {
		const struct nlmsghdr *h = (const void *)(r.bytes + at);

		assert_int_equal(h->nlmsg_seq, seen + 1);
		assert_true(h->nlmsg_flags & NLM_F_ACK && h->nlmsg_flags & NLM_F_REQUEST);
		assert_true(h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= r.len - at);
		at += NLMSG_ALIGN(h->nlmsg_len);
	}
	assert_int_equal(seen, r.count);
}

static void
pairs_have_addresses_of_their_own(void **state)
{
	const unsigned char expected[] = { 0x02, 'f', 'o', 'g', 0x0f, 0xff };
	struct egress_hardware a = egress_hardware(SESSION_RANGES - 1), b = egress_hardware(1);

	(void)state;
	assert_memory_equal(a.bytes, expected, sizeof(expected));
	assert_memory_not_equal(a.bytes, b.bytes, sizeof(a.bytes));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_read_and_written),
		cmocka_unit_test(texts_are_bounded),
		cmocka_unit_test(addresses_are_named_or_left_out),
		cmocka_unit_test(lists_are_packed_and_unpacked),
		cmocka_unit_test(bad_bytes_are_refused),
		cmocka_unit_test(networks_are_read),
		cmocka_unit_test(slots_have_addresses),
		cmocka_unit_test(a_session_becomes_rules),
		cmocka_unit_test(what_was_denied_is_read),
		cmocka_unit_test(what_was_denied_is_asked_by_name),
		cmocka_unit_test(the_host_is_made_anew),
		cmocka_unit_test(scripts_are_bounded),
		cmocka_unit_test(requests_are_bounded),
		cmocka_unit_test(pairs_have_addresses_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
