/* SPDX-License-Identifier: MIT */
/* TRUSTED_PROXIES, and the client behind one (RFC 7239). */
/* links: gatewayd/forwarded.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "gatewayd/forwarded.h"

#define PROXY "10.0.0.1"
#define TRUSTED "10.0.0.0/24 192.0.2.7 2001:db8:1::/48"

static struct in6_addr
address_of(const char *text)
{
	struct in6_addr a = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (strchr(text, ':'))
		assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	else
		assert_int_equal(inet_pton(AF_INET, text, a.s6_addr + 12), 1);
	return a;
}

/* --- the list --- */

static void
test_trust(void **state)
{
	static const struct {
		const char *list, *address;
		bool trusted;
	} rows[] = {
		{ "10.0.0.0/24", "10.0.0.0", true },
		{ "10.0.0.0/24", "10.0.0.255", true },
		{ "10.0.0.0/24", "10.0.1.0", false },
		{ "10.0.0.0/24", "2001:db8::1", false },
		{ "10.0.0.0/25", "10.0.0.128", false },
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "128.0.0.0/1", "200.0.0.1", true },
		{ "128.0.0.0/1", "100.0.0.1", false },
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7/32", "192.0.2.6", false },
		{ "192.0.2.7", "::ffff:192.0.2.7", true },
		{ "::ffff:192.0.2.7", "192.0.2.7", true },
		{ "::ffff:192.0.2.0/120", "192.0.2.9", true },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/32", "2001:db9::1", false },
		{ "2001:db8::1", "2001:db8::2", false },
		{ "::1 127.0.0.1", "127.0.0.1", true },
		{ "  ::1   127.0.0.1  ", "::1", true },
		{ "::1 127.0.0.1", "127.0.0.2", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char err[PROXIES_ERROR_SIZE];
		struct in6_addr a = address_of(rows[i].address);
		struct proxies *p;

		assert_int_equal(proxies_new(rows[i].list, &p, err), 0);
		if (proxies_trust(p, &a) != rows[i].trusted)
			fail_msg("%s in %s", rows[i].address, rows[i].list);
		proxies_free(p);
	}
}

static void
test_bad_lists(void **state)
{
	static const struct {
		const char *list, *item, *why;
	} rows[] = {
		{ "proxy.example", "proxy.example", "is no address" },
		{ "10.0.0.1 nginx", "nginx", "is no address" },
		{ "10.0.0.1,10.0.0.2", "10.0.0.1,10.0.0.2", "is no address" },
		{ "10.0.0", "10.0.0", "is no address" },
		{ "010.0.0.1", "010.0.0.1", "is no address" },
		{ "10.0.0.1:80", "10.0.0.1:80", "is no address" },
		{ "[::1]", "[::1]", "is no address" },
		{ "fe80::1%eth0", "fe80::1%eth0", "is no address" },
		{ "/24", "/24", "is no address" },
		{ "10.0.0.0/", "10.0.0.0/", "no length" },
		{ "10.0.0.0/33", "10.0.0.0/33", "no length" },
		{ "10.0.0.0/08", "10.0.0.0/08", "no length" },
		{ "10.0.0.0/-1", "10.0.0.0/-1", "no length" },
		{ "10.0.0.0/8/8", "10.0.0.0/8/8", "no length" },
		{ "2001:db8::/129", "2001:db8::/129", "no length" },
		{ "0.0.0.0/0", "0.0.0.0/0", "everybody" },
		{ "::/0", "::/0", "everybody" },
		{ "10.0.0.1/24", "10.0.0.1/24", "is a host meant" },
		{ "2001:db8::1/64", "2001:db8::1/64", "is a host meant" },
		{ "\t10.0.0.1", "\t10.0.0.1", "is no address" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char err[PROXIES_ERROR_SIZE] = "", quoted[64];
		struct proxies *p = NULL;

		if (proxies_new(rows[i].list, &p, err) == 0)
			fail_msg("taken: %s", rows[i].list);
		assert_null(p);
		snprintf(quoted, sizeof(quoted), "\"%s\"", rows[i].item);
		if (!strstr(err, quoted) || !strstr(err, rows[i].why) ||
		    strncmp(err, "TRUSTED_PROXIES: ", 17) != 0)
			fail_msg("%s: %s", rows[i].list, err);
	}
}

static void
test_list_bounds(void **state)
{
	char list[80 * 12] = "", err[PROXIES_ERROR_SIZE];
	struct proxies *p = NULL;

	(void)state;
	assert_int_equal(proxies_new("", &p, err), 0);
	assert_null(p);
	assert_int_equal(proxies_new("   ", &p, err), 0);
	assert_null(p);
	for (int i = 0; i < PROXIES_MAX; i++)
		snprintf(list + strlen(list), 12, "10.0.0.%d ", i);
	assert_int_equal(proxies_new(list, &p, err), 0);
	proxies_free(p);
	snprintf(list + strlen(list), 12, "10.0.1.1");
	assert_int_equal(proxies_new(list, &p, err), -1);
	assert_non_null(strstr(err, "10.0.1.1"));
}

/* --- the fields --- */

static void
split(const char *fields, struct forwarded_lines *out)
{
	out->count = 0;
	for (const char *at = fields; at; at = *at ? at + 1 : NULL) {
		size_t len = strcspn(at, "\n");

		out->line[out->count++] = view_bytes(at, len);
		at += len;
		if (!*at)
			break;
	}
}

static void
expect_client(const char *x_forwarded_for, const char *forwarded, const char *want)
{
	struct forwarded_lines x = { 0 }, rfc = { 0 };
	struct in6_addr proxy = address_of(PROXY), got, wanted = address_of(want);
	char err[PROXIES_ERROR_SIZE], text[INET6_ADDRSTRLEN];
	struct proxies *p;

	assert_int_equal(proxies_new(TRUSTED, &p, err), 0);
	if (x_forwarded_for)
		split(x_forwarded_for, &x);
	if (forwarded)
		split(forwarded, &rfc);
	got = forwarded_client(p, &proxy, &x, &rfc);
	if (!IN6_ARE_ADDR_EQUAL(&got, &wanted))
		fail_msg("X-Forwarded-For: %s Forwarded: %s: got %s",
		    x_forwarded_for ? x_forwarded_for : "-", forwarded ? forwarded : "-",
		    inet_ntop(AF_INET6, &got, text, sizeof(text)));
	proxies_free(p);
}

/* One line of a field, several as \n. */
static void
test_x_forwarded_for(void **state)
{
	static const struct {
		const char *field, *client;
	} rows[] = {
		{ NULL, PROXY },
		{ "", PROXY },
		{ "203.0.113.5", "203.0.113.5" },
		{ "  203.0.113.5\t", "203.0.113.5" },
		{ "203.0.113.5:4711", "203.0.113.5" },
		{ "2001:db8::5", "2001:db8::5" },
		{ "[2001:db8::5]", "2001:db8::5" },
		{ "[2001:db8::5]:4711", "2001:db8::5" },
		{ "::ffff:203.0.113.5", "203.0.113.5" },
		/* what stands left of the first that is not trusted is anybody's word */
		{ "198.51.100.9, 203.0.113.5", "203.0.113.5" },
		{ "127.0.0.1, 10.0.0.9, 203.0.113.5", "203.0.113.5" },
		{ "<script>, 203.0.113.5", "203.0.113.5" },
		{ "203.0.113.5, 10.0.0.9", "203.0.113.5" },
		{ "203.0.113.5, 10.0.0.9,192.0.2.7 , 2001:db8:1::9", "203.0.113.5" },
		{ "198.51.100.9\n203.0.113.5", "203.0.113.5" },
		{ "203.0.113.5\n10.0.0.9", "203.0.113.5" },
		{ "203.0.113.5\n10.0.0.9\n", "203.0.113.5" },
		{ "203.0.113.5, , 10.0.0.9,", "203.0.113.5" },
		/* garbage where an address is needed: nobody but the proxy */
		{ "203.0.113.5, unknown", PROXY },
		{ "203.0.113.5, garbage, 10.0.0.9", PROXY },
		{ "203.0.113.5\ngarbage", PROXY },
		{ "203.0.113.5 10.0.0.9", PROXY },
		{ "203.0.113.256", PROXY },
		{ "203.0.113.5:", PROXY },
		{ "203.0.113.5:123456", PROXY },
		{ "203.0.113.5:80x", PROXY },
		{ "[203.0.113.5]", PROXY },
		{ "[2001:db8::5", PROXY },
		{ "2001:db8::5]", PROXY },
		{ "[2001:db8::5]x", PROXY },
		{ "[]", PROXY },
		{ ":", PROXY },
		{ "fe80::1%eth0", PROXY },
		{ "\"203.0.113.5\"", PROXY },
		{ "10.0.0.9", PROXY },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd", PROXY },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		expect_client(rows[i].field, NULL, rows[i].client);
}

static void
test_forwarded(void **state)
{
	static const struct {
		const char *field, *client;
	} rows[] = {
		{ "for=203.0.113.5", "203.0.113.5" },
		{ "For=203.0.113.5;proto=https;by=10.0.0.1", "203.0.113.5" },
		{ "by=10.0.0.1 ; for=203.0.113.5 ; host=a.example", "203.0.113.5" },
		{ "for=\"203.0.113.5:47011\"", "203.0.113.5" },
		{ "for=203.0.113.5:47011", "203.0.113.5" },
		{ "for=\"[2001:db8::5]:4711\"", "2001:db8::5" },
		{ "for=\"[2001:db8::5]\"", "2001:db8::5" },
		{ "for=198.51.100.9, for=203.0.113.5", "203.0.113.5" },
		{ "for=203.0.113.5, for=10.0.0.9;proto=http", "203.0.113.5" },
		{ "for=\"open, for=203.0.113.5", "203.0.113.5" },
		{ "for=203.0.113.5\nfor=10.0.0.9", "203.0.113.5" },
		{ "for=[2001:db8::5]", PROXY },
		{ "for=\"2001:db8::5\"", PROXY },
		{ "for=unknown", PROXY },
		{ "for=_hidden", PROXY },
		{ "for=\"_SEVKISEK\"", PROXY },
		{ "for=203.0.113.5;for=198.51.100.9", PROXY },
		{ "for=203.0.113.5, proto=https", PROXY },
		{ "for", PROXY },
		{ "for=", PROXY },
		{ "for=\"", PROXY },
		{ "=203.0.113.5", PROXY },
		{ "203.0.113.5", PROXY },
		{ ";;;", PROXY },
		/* the Host of a client in the proxy's item: "," ";" and "=" are fine in a name */
		{ "for=203.0.113.5;host=\"a,for=198.51.100.9;x=\"", "203.0.113.5" },
		{ "for=203.0.113.5;host=\"a,for=198.51.100.9\";proto=http", "203.0.113.5" },
		{ "host=\"a;for=198.51.100.9\";for=203.0.113.5", "203.0.113.5" },
		{ "for=203.0.113.5;host=\"a\\\",for=198.51.100.9;x=\"", "203.0.113.5" },
		{ "x=\", for=203.0.113.5;host=\"a,for=198.51.100.9\"", "203.0.113.5" },
		{ "for=198.51.100.9;x=, for=203.0.113.5;host=a\"", PROXY },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		expect_client(NULL, rows[i].field, rows[i].client);
}

/* A proxy sets one of the two, and the client writes what it likes into the other. */
static void
test_both(void **state)
{
	static const struct {
		const char *x_forwarded_for, *forwarded, *client;
	} rows[] = {
		{ "203.0.113.5", "for=203.0.113.5", "203.0.113.5" },
		{ "203.0.113.5", "for=198.51.100.9", PROXY },
		{ "203.0.113.5", "for=unknown", PROXY },
		{ "203.0.113.5", "", PROXY },
		{ "garbage", "for=203.0.113.5", PROXY },
		{ "", "for=203.0.113.5", PROXY },
		{ "garbage", "garbage", PROXY },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		expect_client(rows[i].x_forwarded_for, rows[i].forwarded, rows[i].client);
}

static void
test_hops(void **state)
{
	char field[64 * 12] = "203.0.113.5";
	size_t len = strlen(field);

	(void)state;
	for (int i = 0; i < FORWARDED_HOPS_MAX; i++) {
		expect_client(field, NULL, "203.0.113.5");
		len += (size_t)snprintf(field + len, sizeof(field) - len, ", 10.0.0.9");
	}
	expect_client(field, NULL, PROXY);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_list_bounds),
		cmocka_unit_test(test_x_forwarded_for),
		cmocka_unit_test(test_forwarded),
		cmocka_unit_test(test_both),
		cmocka_unit_test(test_hops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
