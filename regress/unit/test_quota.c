/* SPDX-License-Identifier: MIT */
/* Session counts: reserve and release in every order that creates can meet in. */
/* links: placerd/quota.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "placerd/quota.h"

static int
setup(void **state)
{
	*state = quota_new();
	return *state ? 0 : -1;
}

static int
teardown(void **state)
{
	quota_free(*state);
	return 0;
}

static struct quota_key
key_of(const char *issuer, const char *subject, const char *profile)
{
	return (struct quota_key){ view_of(issuer), view_of(subject), view_of(profile) };
}

/* Steps: a letter reserves for that subject, its capital is refused, '-' and a letter releases. */
static void
test_orders(void **state)
{
	static const struct {
		uint32_t max;
		const char *steps;
		uint32_t a, b;
	} rows[] = {
		{ 0, "A", 0, 0 },
		{ 1, "a", 1, 0 },
		{ 1, "aA", 1, 0 },
		{ 1, "a-a", 0, 0 },
		{ 1, "a-aaA", 1, 0 },
		{ 1, "aA-aa", 1, 0 },
		/* the second create comes while the first is being made, and the first then fails */
		{ 2, "aaA-aaA", 2, 0 },
		{ 2, "aa-a-a", 0, 0 },
		{ 2, "aa-a-aaaA", 2, 0 },
		{ 3, "aaaAAA-a-aaaA", 3, 0 },
		/* one subject's sessions are no other's */
		{ 1, "abAB", 1, 1 },
		{ 1, "ab-aaAB-bbB-b-a", 0, 0 },
		{ 2, "abab-aaABA-b", 2, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct quota *quota = quota_new();
		struct quota_key a = key_of("i", "a", "p"), b = key_of("i", "b", "p");

		assert_non_null(quota);
		for (const char *s = rows[i].steps; *s; s++) {
			bool release = *s == '-', refused = *s == 'A' || *s == 'B';
			const struct quota_key *key;
			int rc;

			s += release;
			key = *s == 'a' || *s == 'A' ? &a : &b;
			rc = release ? quota_release(quota, key)
				     : quota_reserve(quota, key, rows[i].max);
			if (rc != (refused ? -FOG_E_QUOTA : 0))
				fail_msg("%s at \"%s\": %d", rows[i].steps, s, rc);
		}
		assert_int_equal(quota_count(quota, &a), rows[i].a);
		assert_int_equal(quota_count(quota, &b), rows[i].b);
		assert_int_equal(quota_entries(quota), (rows[i].a > 0) + (rows[i].b > 0));
		quota_free(quota);
	}
}

/* Every interleaving of four creates, each of which reserves and may later release. */
static void
test_interleavings(void **state)
{
	enum { CREATES = 4, MAX = 2, STEPS = CREATES * 2 };
	struct quota_key key = key_of("i", "s", "p");

	(void)state;
	/* Step k moves create (order >> 2k) & 3 on: first it reserves, then it releases. */
	for (uint32_t order = 0; order < 1u << (2 * STEPS); order++) {
		enum { NEW, HELD, DONE } creates[CREATES] = { NEW, NEW, NEW, NEW };
		struct quota *quota = quota_new();
		uint32_t held = 0;

		for (unsigned int k = 0; k < STEPS; k++) {
			unsigned int who = order >> (2 * k) & 3;

			if (creates[who] == NEW) {
				bool room = held < MAX;

				if ((quota_reserve(quota, &key, MAX) == 0) != room)
					fail_msg("order %x step %u", order, k);
				creates[who] = room ? HELD : DONE;
				held += room;
			} else if (creates[who] == HELD) {
				if (quota_release(quota, &key) != 0)
					fail_msg("order %x step %u", order, k);
				creates[who] = DONE;
				held--;
			}
			if (quota_count(quota, &key) != held || held > MAX)
				fail_msg("order %x step %u", order, k);
		}
		quota_free(quota);
	}
}

/* The parts of a key do not run into each other, and each of them matters. */
static void
test_keys_differ(void **state)
{
	static const char *const keys[][3] = {
		{ "a", "b", "c" },
		{ "b", "a", "c" },
		{ "a", "c", "b" },
		{ "c", "b", "a" },
		{ "ab", "c", "d" },
		{ "a", "bc", "d" },
		{ "a", "b", "cd" },
		{ "abc", "b", "c" },
		{ "a", "b", "C" },
		{ "a", "B", "c" },
		{ "a ", "b", "c" },
		{ "a", "b ", "c" },
		{ "a", "bb", "c" },
		{ "a", "b", "cc" },
		{ "aa", "b", "c" },
	};
	struct quota *quota = *state;

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		struct quota_key key = key_of(keys[i][0], keys[i][1], keys[i][2]);

		assert_int_equal(quota_count(quota, &key), 0);
		assert_int_equal(quota_reserve(quota, &key, 1), 0);
		assert_int_equal(quota_count(quota, &key), 1);
	}
	assert_int_equal(quota_entries(quota), COUNT_OF(keys));
}

/* The names in a key are views of a record that is gone after the call. */
static void
test_names_are_copied(void **state)
{
	struct quota *quota = *state;
	char issuer[] = "https://idp.example", subject[] = "alice", profile[] = "default";
	struct quota_key key = { view_bytes(issuer, sizeof(issuer) - 1), view_bytes(subject, 5),
		view_bytes(profile, 7) };
	struct quota_key same = key_of("https://idp.example", "alice", "default");

	assert_int_equal(quota_reserve(quota, &key, 2), 0);
	memset(issuer, 'x', sizeof(issuer));
	memset(subject, 'x', sizeof(subject));
	memset(profile, 'x', sizeof(profile));
	assert_int_equal(quota_count(quota, &same), 1);
	assert_int_equal(quota_count(quota, &key), 0);
	assert_int_equal(quota_release(quota, &same), 0);
}

static void
test_release_without_reserve(void **state)
{
	struct quota *quota = *state;
	struct quota_key key = key_of("i", "s", "p"), other = key_of("i", "s", "q");

	assert_int_equal(quota_release(quota, &key), -FOG_E_INTERNAL);
	assert_int_equal(quota_reserve(quota, &key, 1), 0);
	assert_int_equal(quota_release(quota, &other), -FOG_E_INTERNAL);
	assert_int_equal(quota_count(quota, &key), 1);
	assert_int_equal(quota_release(quota, &key), 0);
	assert_int_equal(quota_release(quota, &key), -FOG_E_INTERNAL);
	assert_int_equal(quota_count(quota, &key), 0);
}

/* What lives at a start is counted whatever the limit is by now, and then it holds for the next. */
static void
test_adoption(void **state)
{
	struct quota *quota = *state;
	struct quota_key key = key_of("i", "s", "p");

	for (int i = 0; i < 5; i++)
		assert_int_equal(quota_reserve(quota, &key, UINT32_MAX), 0);
	assert_int_equal(quota_reserve(quota, &key, 3), -FOG_E_QUOTA);
	for (int i = 0; i < 3; i++)
		assert_int_equal(quota_release(quota, &key), 0);
	assert_int_equal(quota_reserve(quota, &key, 3), 0);
	assert_int_equal(quota_reserve(quota, &key, 3), -FOG_E_QUOTA);
}

static void
test_bounds(void **state)
{
	struct quota *quota = *state;
	char name[QUOTA_NAME_MAX_BYTES + 1] = "n";
	struct view longest = view_bytes(name, QUOTA_NAME_MAX_BYTES);
	struct view longer = view_bytes(name, QUOTA_NAME_MAX_BYTES + 1);
	struct view a = view_of("a"), none = view_of(NULL);
	struct quota_key good = { longest, longest, longest };
	struct quota_key bad[] = { { none, a, a }, { a, none, a }, { a, a, none }, { longer, a, a },
		{ a, longer, a }, { a, a, longer } };

	assert_int_equal(quota_reserve(quota, &good, 1), 0);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(quota_reserve(quota, &bad[i], 1), -FOG_E_BOUNDS);
	assert_int_equal(quota_entries(quota), 1);
}

/* Full: a new subject is refused, one that is there goes on, and a release makes room. */
static void
test_full(void **state)
{
	struct quota *quota = *state;
	struct quota_key first = key_of("i", "s0", "p"), extra = key_of("i", "extra", "p");
	char name[16];

	for (unsigned int i = 0; i < QUOTA_ENTRIES_MAX; i++) {
		struct quota_key key;

		(void)snprintf(name, sizeof(name), "s%u", i);
		key = key_of("i", name, "p");
		if (quota_reserve(quota, &key, 2) != 0)
			fail_msg("entry %u", i);
	}
	assert_int_equal(quota_entries(quota), QUOTA_ENTRIES_MAX);
	assert_int_equal(quota_reserve(quota, &extra, 2), -FOG_E_FULL);
	assert_int_equal(quota_reserve(quota, &first, 2), 0);
	assert_int_equal(quota_release(quota, &first), 0);
	assert_int_equal(quota_release(quota, &first), 0);
	assert_int_equal(quota_reserve(quota, &extra, 2), 0);
	assert_int_equal(quota_count(quota, &extra), 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_interleavings),
		cmocka_unit_test_setup_teardown(test_keys_differ, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_are_copied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_without_reserve, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adoption, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
