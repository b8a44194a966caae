/* SPDX-License-Identifier: MIT */
/* Tests of authd/seen.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "authd/seen.h"
#include "common/cleanup.h"

#define LIFE_MS 1000

static struct seen *
make(size_t capacity, size_t per_owner)
{
	const struct seen_config config = { capacity, per_owner, LIFE_MS };
	struct seen *s = NULL;

	assert_int_equal(seen_new(&config, &s), 0);
	return s;
}

static int
add(struct seen *s, const char *owner, unsigned int number, uint64_t now_ms)
{
	char item[16];

	snprintf(item, sizeof(item), "%u", number);
	return seen_add(s, view_of(owner), view_of(item), now_ms);
}

static void
test_once_while_it_lives(void **state)
{
	struct seen *s = make(8, 8);

	(void)state;
	assert_int_equal(add(s, "a", 1, 5000), 0);
	assert_int_equal(add(s, "a", 1, 5000), -SEEN_E_REPLAY);
	assert_int_equal(add(s, "a", 1, 5000 + LIFE_MS - 1), -SEEN_E_REPLAY);
	assert_int_equal(add(s, "a", 1, 5000 + LIFE_MS), 0);
	assert_int_equal(add(s, "a", 1, 5000 + LIFE_MS), -SEEN_E_REPLAY);
	seen_free(s);
}

static void
test_owner_and_item_are_kept_apart(void **state)
{
	struct seen *s = make(8, 8);

	(void)state;
	assert_int_equal(seen_add(s, view_of("ab"), view_of("c"), 0), 0);
	assert_int_equal(seen_add(s, view_of("a"), view_of("bc"), 0), 0);
	assert_int_equal(seen_add(s, view_of("abc"), view_of(""), 0), 0);
	assert_int_equal(seen_add(s, view_of(""), view_of("abc"), 0), 0);
	assert_int_equal(seen_add(s, view_of("ab"), view_bytes("c\0", 2), 0), 0);
	assert_int_equal(seen_add(s, view_of("ab"), view_of("c"), 0), -SEEN_E_REPLAY);
	assert_int_equal(seen_add(s, view_of("abc"), view_of(""), 0), -SEEN_E_REPLAY);
	seen_free(s);
}

static void
test_full_forgets_nothing_that_lives(void **state)
{
	struct seen *s = make(100, 100);

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(add(s, "a", i, i), 0);
	assert_int_equal(add(s, "a", 100, 100), -SEEN_E_FULL);
	assert_int_equal(add(s, "b", 0, 999), -SEEN_E_FULL);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(add(s, "a", i, 999), -SEEN_E_REPLAY);
	/* The first has died: there is room for one, and for one alone. */
	assert_int_equal(add(s, "a", 100, 1000), 0);
	assert_int_equal(add(s, "a", 101, 1000), -SEEN_E_FULL);
	assert_int_equal(add(s, "a", 1, 1000), -SEEN_E_REPLAY);
	seen_free(s);
}

static void
test_one_owner_cannot_fill_it(void **state)
{
	struct seen *s = make(100, 10);

	(void)state;
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(add(s, "a", i, 0), 0);
	assert_int_equal(add(s, "a", 10, 0), -SEEN_E_TOO_MANY);
	assert_int_equal(add(s, "a", 3, 0), -SEEN_E_REPLAY);
	assert_int_equal(add(s, "b", 10, 1), 0);
	/* What is dead does not count, whoever is before it in the ring. */
	assert_int_equal(add(s, "a", 10, LIFE_MS), 0);
	assert_int_equal(add(s, "b", 10, LIFE_MS), -SEEN_E_REPLAY);
	seen_free(s);
}

/* Against a plain array, over many turns of the ring. */
static void
test_against_a_model(void **state)
{
	struct {
		unsigned int number;
		uint64_t until_ms;
	} model[64];
	struct seen *s = make(64, 64);
	size_t from = 0, to = 0, taken = 0;
	uint64_t now_ms = 0;
	uint32_t random = 1;

	(void)state;
	for (unsigned int n = 0; n < 100000; n++) {
		unsigned int number;
		int want = 0, got;

		random = random * 1664525 + 1013904223;
		number = random >> 16 & 0xff;
		now_ms += random >> 24 & 0x1f;
		while (from < to && model[from % 64].until_ms <= now_ms)
			from++;
		for (size_t i = from; i < to; i++) {
			if (model[i % 64].number == number)
				want = -SEEN_E_REPLAY;
		}
		if (want == 0 && to - from == 64)
			want = -SEEN_E_FULL;
		got = add(s, "a", number, now_ms);
		if (got != want)
			fail_msg("step %u: %d instead of %d", n, got, want);
		if (want == 0) {
			model[to % 64].number = number;
			model[to++ % 64].until_ms = now_ms + LIFE_MS;
			taken++;
		}
	}
	assert_true(taken > 10000);
	seen_free(s);
}

static void
test_clock_that_goes_back(void **state)
{
	struct seen *s = make(8, 8);

	(void)state;
	assert_int_equal(add(s, "a", 1, 10000), 0);
	assert_int_equal(add(s, "a", 2, 4000), 0);
	/* The second is not forgotten before the first, behind which it stands. */
	assert_int_equal(add(s, "a", 2, 10999), -SEEN_E_REPLAY);
	assert_int_equal(add(s, "a", 1, 11000), 0);
	assert_int_equal(add(s, "a", 2, 11000), 0);
	/* Nor does the end of time wrap around. */
	assert_int_equal(add(s, "a", 3, UINT64_MAX - 1), 0);
	assert_int_equal(add(s, "a", 3, UINT64_MAX - 1), -SEEN_E_REPLAY);
	seen_free(s);
}

static void
test_two_memories_have_two_keys(void **state)
{
	struct seen *a = make(8, 8), *b = make(8, 8);

	(void)state;
	assert_int_equal(add(a, "a", 1, 0), 0);
	assert_int_equal(add(b, "a", 1, 0), 0);
	assert_int_equal(add(a, "a", 1, 0), -SEEN_E_REPLAY);
	seen_free(a);
	seen_free(b);
	seen_free(NULL);
}

static void
test_configs_that_are_refused(void **state)
{
	static const struct seen_config rows[] = {
		{ 0, 1, 1 },
		{ 1, 0, 1 },
		{ 1, 1, 0 },
		{ 1, 2, 1 },
		{ SEEN_CAPACITY_MAX + 1, 1, 1 },
	};
	struct seen *s = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		errno = 0;
		assert_int_equal(seen_new(&rows[i], &s), -1);
		assert_int_equal(errno, EINVAL);
		assert_null(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once_while_it_lives),
		cmocka_unit_test(test_owner_and_item_are_kept_apart),
		cmocka_unit_test(test_full_forgets_nothing_that_lives),
		cmocka_unit_test(test_one_owner_cannot_fill_it),
		cmocka_unit_test(test_against_a_model),
		cmocka_unit_test(test_clock_that_goes_back),
		cmocka_unit_test(test_two_memories_have_two_keys),
		cmocka_unit_test(test_configs_that_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
