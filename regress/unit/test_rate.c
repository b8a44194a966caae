/* SPDX-License-Identifier: MIT */
/* Tests of placerd/rate.c: bursts, refill, waiting times, and a table that does not grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/err.h"
#include "placerd/rate.h"

#define START_MS UINT64_C(1000000)

static int
take(struct rate *r, const char *subject, uint64_t now_ms, uint32_t *wait_s)
{
	*wait_s = 0;
	return rate_take(r, view_of("https://idp"), view_of(subject), now_ms, wait_s);
}

static void
test_burst_and_refill(void **state)
{
	static const uint32_t per_minute[] = { 1, 2, 7, 30, 60, 1000 };
	uint32_t wait_s;

	(void)state;
	for (size_t i = 0; i < sizeof(per_minute) / sizeof(per_minute[0]); i++) {
		struct rate *r = rate_new(per_minute[i]);
		uint64_t now = START_MS;

		for (uint32_t n = 0; n < per_minute[i]; n++)
			assert_int_equal(take(r, "alice", now, &wait_s), 0);
		assert_int_equal(take(r, "alice", now, &wait_s), -FOG_E_RATE);
		assert_int_equal(wait_s, (60 + per_minute[i] - 1) / per_minute[i]);
		/* A refusal takes nothing, and what it says is true. */
		now += wait_s * 1000;
		assert_int_equal(take(r, "alice", now, &wait_s), 0);
		/* A minute later all are there again, and no more than these. */
		now += 60000;
		for (uint32_t n = 0; n < per_minute[i]; n++)
			assert_int_equal(take(r, "alice", now, &wait_s), 0);
		assert_int_equal(take(r, "alice", now, &wait_s), -FOG_E_RATE);
		rate_free(r);
	}
}

static void
test_subjects_are_apart(void **state)
{
	struct rate *r = rate_new(1);
	uint32_t wait_s;

	(void)state;
	assert_int_equal(take(r, "alice", START_MS, &wait_s), 0);
	assert_int_equal(take(r, "bob", START_MS, &wait_s), 0);
	assert_int_equal(take(r, "alice", START_MS, &wait_s), -FOG_E_RATE);
	assert_int_equal(rate_take(r, view_of("https://other"), view_of("alice"), START_MS,
			     &wait_s),
	    0);
	/* Where one name ends and the next begins is told apart. */
	assert_int_equal(rate_take(r, view_of("https://idpa"), view_of("lice"), START_MS, &wait_s),
	    0);
	rate_free(r);
}

static void
test_no_limit(void **state)
{
	struct rate *r = rate_new(0);
	uint32_t wait_s;

	(void)state;
	for (int i = 0; i < 100000; i++)
		assert_int_equal(take(r, "alice", START_MS, &wait_s), 0);
	assert_int_equal(rate_entries(r), 0);
	rate_free(r);
}

/* A full table refuses others, and empties by itself. */
static void
test_table(void **state)
{
	struct rate *r = rate_new(1);
	char name[32];
	uint32_t wait_s;

	(void)state;
	for (unsigned i = 0; i < RATE_ENTRIES_MAX; i++) {
		snprintf(name, sizeof(name), "user-%u", i);
		assert_int_equal(take(r, name, START_MS, &wait_s), 0);
	}
	assert_int_equal(rate_entries(r), RATE_ENTRIES_MAX);
	assert_int_equal(take(r, "one more", START_MS, &wait_s), -FOG_E_RATE);
	assert_true(wait_s >= 1);
	assert_int_equal(take(r, "user-5", START_MS, &wait_s), -FOG_E_RATE);
	for (unsigned i = 0; i < RATE_ENTRIES_MAX / 2; i++)
		assert_int_equal(take(r, "alice", START_MS + 60000 + i * 60000, &wait_s), 0);
	assert_in_range(rate_entries(r), 1, 2);
	rate_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_refill),
		cmocka_unit_test(test_subjects_are_apart),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
