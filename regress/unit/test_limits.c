/* SPDX-License-Identifier: MIT */
/* Token buckets by source, what a source is, and what somebody with very many of them can do. */
/* links: gatewayd/limits.c gatewayd/source.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "common/cleanup.h"
#include "gatewayd/limits.h"

#define START_MS 1000000

static struct source_key
key_of(const char *text)
{
	struct in6_addr a = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (strchr(text, ':'))
		assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	else
		assert_int_equal(inet_pton(AF_INET, text, a.s6_addr + 12), 1);
	return source_of_address(&a);
}

/* The nth /64 below a /32. */
static struct source_key
nth_key(uint32_t prefix, uint32_t n)
{
	struct in6_addr a = { 0 };
	uint32_t words[2] = { htonl(prefix), htonl(n) };

	memcpy(&a, words, sizeof(words));
	return source_of_address(&a);
}

/* --- sources --- */

static void
test_sources(void **state)
{
	static const struct {
		const char *address, *source, *wide;
	} rows[] = {
		{ "192.0.2.7", "192.0.2.7", "192.0.0.0" },
		{ "::ffff:192.0.2.7", "192.0.2.7", "192.0.0.0" },
		{ "127.0.0.1", "127.0.0.1", "127.0.0.0" },
		{ "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8::/64" },
		{ "2001:db8:1:2::", "2001:db8:1:2::/64", "2001:db8::/64" },
		{ "::1", "::/64", "::/64" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct source_key k = key_of(rows[i].address), wide = source_wide(&k);
		char text[SOURCE_TEXT_SIZE];

		assert_string_equal(source_format(&k, text), rows[i].source);
		assert_string_equal(source_format(&wide, text), rows[i].wide);
	}
}

static void
test_socket_addresses(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_un {
		sa_family_t family;
	} other = { AF_UNIX };
	struct source_key want = key_of("192.0.2.7"), none = { 0 }, k;

	(void)state;
	assert_int_equal(inet_pton(AF_INET, "192.0.2.7", &in.sin_addr), 1);
	k = source_of_sockaddr((struct sockaddr *)&in);
	assert_true(source_equal(&k, &want));
	k = source_of_sockaddr((struct sockaddr *)&other);
	assert_true(source_equal(&k, &none));
}

/* The vectors of the reference implementation: key 00…0f, messages of 00, 01, … */
static void
test_siphash(void **state)
{
	static const struct source_hash_key key = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
	static const struct {
		size_t len;
		uint64_t hash;
	} rows[] = { { 0, 0x726fdb47dd0e0e31u }, { 1, 0x74f839c593dc67fdu },
		{ 8, 0x93f5f5799a932462u }, { 15, 0xa129ca6149be45e5u } };
	unsigned char bytes[16];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_true(source_siphash(&key, bytes, rows[i].len) == rows[i].hash);
}

/* --- one bucket --- */

static struct limits *
new_limits(uint32_t failed, uint32_t attaches, uint32_t creates)
{
	const uint32_t per_minute[LIMIT_KINDS] = { failed, attaches, creates };
	struct limits *l = limits_new(per_minute);

	assert_non_null(l);
	return l;
}

/* Each step: a time after the start, and how many may be taken then, one after the other. */
static void
test_rate(void **state)
{
	static const struct {
		uint32_t per_minute;
		struct {
			uint64_t at_ms;
			unsigned granted;
		} steps[4];
	} rows[] = {
		{ 1, { { 0, 1 }, { 59999, 0 }, { 60000, 1 }, { 60001, 0 } } },
		{ 3, { { 0, 3 }, { 19999, 0 }, { 20000, 1 }, { 60000, 2 } } },
		{ 60, { { 0, 60 }, { 1000, 1 }, { 11000, 10 }, { 200000, 60 } } },
		{ 1000, { { 0, 1000 }, { 60, 1 }, { 120, 1 }, { 600000, 1000 } } },
	};
	struct source_key from = key_of("192.0.2.7");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct limits *l = new_limits(0, rows[i].per_minute, 0);

		for (size_t step = 0; step < 4; step++) {
			uint64_t now = START_MS + rows[i].steps[step].at_ms;

			for (unsigned n = 0; n < rows[i].steps[step].granted; n++)
				assert_int_equal(limits_take(l, LIMIT_ATTACHES, &from, now), 0);
			assert_int_not_equal(limits_take(l, LIMIT_ATTACHES, &from, now), 0);
		}
		limits_free(l);
	}
}

static void
test_wait_is_true(void **state)
{
	struct limits *l = new_limits(0, 0, 7);
	struct source_key from = key_of("192.0.2.7");
	uint64_t now = START_MS;

	(void)state;
	while (limits_take(l, LIMIT_CREATES, &from, now) == 0)
		;
	for (int i = 0; i < 20; i++) {
		uint32_t wait = limits_wait(l, LIMIT_CREATES, &from, now);

		assert_in_range(wait, 1, 9); /* 60 s / 7, rounded up */
		assert_int_not_equal(limits_wait(l, LIMIT_CREATES, &from, now + (wait - 1) * 1000),
		    0);
		now += wait * UINT64_C(1000);
		assert_int_equal(limits_take(l, LIMIT_CREATES, &from, now), 0);
	}
	limits_free(l);
}

/* Asking costs nothing; what has happened costs also when there was nothing left. */
static void
test_charge(void **state)
{
	struct limits *l = new_limits(2, 0, 0);
	struct source_key from = key_of("2001:db8::1");

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(limits_wait(l, LIMIT_FAILED_TOKENS, &from, START_MS), 0);
	limits_charge(l, LIMIT_FAILED_TOKENS, &from, START_MS);
	assert_int_equal(limits_wait(l, LIMIT_FAILED_TOKENS, &from, START_MS), 0);
	limits_charge(l, LIMIT_FAILED_TOKENS, &from, START_MS);
	assert_int_equal(limits_wait(l, LIMIT_FAILED_TOKENS, &from, START_MS), 30);
	limits_charge(l, LIMIT_FAILED_TOKENS, &from, START_MS);
	assert_int_equal(limits_wait(l, LIMIT_FAILED_TOKENS, &from, START_MS), 60);
	for (int i = 0; i < 100; i++)
		limits_charge(l, LIMIT_FAILED_TOKENS, &from, START_MS);
	assert_int_equal(limits_wait(l, LIMIT_FAILED_TOKENS, &from, START_MS), 90);
	assert_int_equal(limits_wait(l, LIMIT_FAILED_TOKENS, &from, START_MS + 90000), 0);
	limits_free(l);
}

static void
test_apart(void **state)
{
	struct limits *l = new_limits(1, 1, 0);
	struct source_key a = key_of("2001:db8:0:1::1"), same = key_of("2001:db8:0:1:ffff::9");
	struct source_key b = key_of("2001:db8:0:2::1"), v4 = key_of("192.0.2.7");

	(void)state;
	assert_int_equal(limits_take(l, LIMIT_ATTACHES, &a, START_MS), 0);
	assert_int_not_equal(limits_take(l, LIMIT_ATTACHES, &a, START_MS), 0);
	assert_int_not_equal(limits_take(l, LIMIT_ATTACHES, &same, START_MS), 0);
	assert_int_equal(limits_take(l, LIMIT_ATTACHES, &b, START_MS), 0);
	assert_int_equal(limits_take(l, LIMIT_ATTACHES, &v4, START_MS), 0);
	assert_int_equal(limits_take(l, LIMIT_FAILED_TOKENS, &a, START_MS), 0);
	for (int i = 0; i < 1000; i++) /* 0: no limit */
		assert_int_equal(limits_take(l, LIMIT_CREATES, &a, START_MS), 0);
	limits_free(l);
	assert_int_equal(limits_take(NULL, LIMIT_CREATES, &a, START_MS), 0);
	limits_charge(NULL, LIMIT_CREATES, &a, START_MS);
}

/* --- very many sources --- */

/* Takes what there is, of each of so many sources. How many grants there were. */
static uint64_t
exhaust(struct limits *l, uint32_t prefix, uint32_t sources, uint64_t now_ms)
{
	uint64_t granted = 0;

	for (uint32_t n = 0; n < sources; n++) {
		struct source_key k = nth_key(prefix, n);

		while (limits_take(l, LIMIT_ATTACHES, &k, now_ms) == 0)
			granted++;
	}
	return granted;
}

/*
 * An attacker with a /32 fills the table. What he gets is bounded, the ones that he has used up
 * stay so, his neighbours in the /32 share what is left of it, and nobody else is in the way.
 */
static void
test_full_table(void **state)
{
	struct limits *l = new_limits(0, 2, 0);
	uint32_t attackers = 4 * LIMITS_SOURCES;
	struct source_key victim = key_of("198.51.100.9"), other = nth_key(0x20020db8, 1);
	uint64_t granted = exhaust(l, 0x20010db8, attackers, START_MS);

	(void)state;
	assert_in_range(granted, LIMITS_SOURCES, 2 * LIMITS_SOURCES + 2 * LIMITS_WIDE_FACTOR);
	assert_int_equal(exhaust(l, 0x20010db8, attackers, START_MS + 1), 0);
	/* Newcomers elsewhere: with their own wide prefix, which may do more than one source. */
	assert_int_equal(limits_take(l, LIMIT_ATTACHES, &victim, START_MS + 1), 0);
	assert_int_equal(limits_take(l, LIMIT_ATTACHES, &victim, START_MS + 1), 0);
	assert_int_equal(limits_take(l, LIMIT_ATTACHES, &other, START_MS + 1), 0);
	/* A minute later all is full again, and the table has room. */
	assert_int_equal(limits_take(l, LIMIT_ATTACHES, &victim, START_MS + 120000), 0);
	assert_int_equal(limits_take(l, LIMIT_ATTACHES, &victim, START_MS + 120000), 0);
	assert_int_not_equal(limits_take(l, LIMIT_ATTACHES, &victim, START_MS + 120000), 0);
	limits_free(l);
}

/* More wide prefixes than there are places: still nobody is refused for want of one. */
static void
test_full_wide_table(void **state)
{
	struct limits *l = new_limits(0, 1, 0);
	struct source_key victim = key_of("198.51.100.9");

	(void)state;
	exhaust(l, 0x20010db8, 2 * LIMITS_SOURCES, START_MS);
	for (uint32_t prefix = 0; prefix < 2 * LIMITS_WIDE_SOURCES; prefix++)
		exhaust(l, 0x30000000 + prefix, LIMITS_WIDE_FACTOR + 1, START_MS);
	assert_int_equal(limits_take(l, LIMIT_ATTACHES, &victim, START_MS), 0);
	limits_free(l);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_socket_addresses),
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_wait_is_true),
		cmocka_unit_test(test_charge),
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_full_table),
		cmocka_unit_test(test_full_wide_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
