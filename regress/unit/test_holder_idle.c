/* SPDX-License-Identifier: MIT */
/* Idle time by looks: never sooner than the timeout after the last use, a step later at most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "ptyd/holder_idle.h"

#define BORN_MS 5000

static void
test_steps(void **state)
{
	static const struct {
		uint32_t timeout_seconds;
		uint64_t step_ms;
	} rows[] = { { 0, 0 }, { 1, 500 }, { 2, 1000 }, { 3, 1000 }, { 10, 1000 }, { 11, 1100 },
		{ 599, 59900 }, { 600, 60000 }, { 601, 60000 }, { 604800, 60000 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct idle idle;

		idle_init(&idle, rows[i].timeout_seconds, BORN_MS);
		assert_int_equal(idle.timeout_ms, rows[i].timeout_seconds * UINT64_C(1000));
		assert_int_equal(idle.step_ms, rows[i].step_ms);
	}
}

/* What a session of a 100 s timeout goes through, from its birth at 0; looks when they are due. */
struct look {
	uint64_t at_s;
	uint64_t input_next;
	bool has_job;
	enum idle_verdict verdict;
	uint64_t wait_s;
};

static void
play(const struct look *looks, size_t n)
{
	struct idle idle;

	idle_init(&idle, 100, BORN_MS);
	for (size_t i = 0; i < n; i++) {
		uint64_t wait_ms = 0;
		enum idle_verdict verdict = idle_look(&idle, BORN_MS + looks[i].at_s * 1000,
		    looks[i].input_next, looks[i].has_job, &wait_ms);

		if (verdict != looks[i].verdict || wait_ms != looks[i].wait_s * 1000)
			fail_msg("look %zu: %d, wait %llu ms", i, (int)verdict,
			    (unsigned long long)wait_ms);
	}
}

static void
test_nothing_is_done(void **state)
{
	static const struct look looks[] = {
		{ 10, 0, false, IDLE_GO_ON, 10 },
		{ 20, 0, false, IDLE_GO_ON, 10 },
		{ 85, 0, false, IDLE_GO_ON, 5 }, /* the next is the warning's */
		{ 90, 0, false, IDLE_WARN, 10 },
		{ 95, 0, false, IDLE_GO_ON, 5 }, /* too early: it is warned once */
		{ 100, 0, false, IDLE_END, 0 },
	};

	(void)state;
	play(looks, COUNT_OF(looks));
}

static void
test_typing(void **state)
{
	static const struct look looks[] = {
		{ 10, 7, false, IDLE_GO_ON, 10 }, { 90, 7, false, IDLE_GO_ON, 10 },
		{ 100, 7, false, IDLE_WARN, 10 },
		{ 110, 8, false, IDLE_GO_ON, 10 }, /* typed after the warning */
		{ 199, 8, false, IDLE_GO_ON, 1 },
		{ 200, 8, false, IDLE_WARN, 10 }, /* and warned again */
		{ 211, 8, false, IDLE_END, 0 },   /* a look that is late */
	};

	(void)state;
	play(looks, COUNT_OF(looks));
}

/* A job that was there at one look and is over at the next may have ended just now. */
static void
test_jobs(void **state)
{
	static const struct look looks[] = {
		{ 90, 0, false, IDLE_WARN, 10 },
		{ 100, 0, true, IDLE_GO_ON, 10 },
		{ 900, 0, true, IDLE_GO_ON, 10 },
		{ 910, 0, false, IDLE_GO_ON, 10 },
		{ 999, 0, false, IDLE_GO_ON, 1 },
		{ 1000, 0, false, IDLE_WARN, 10 },
		{ 1010, 0, false, IDLE_END, 0 },
	};

	(void)state;
	play(looks, COUNT_OF(looks));
}

static void
test_reset(void **state)
{
	struct idle idle;
	uint64_t wait_ms;

	(void)state;
	idle_init(&idle, 100, BORN_MS);
	assert_int_equal(idle_look(&idle, BORN_MS + 99000, 0, false, &wait_ms), IDLE_WARN);
	assert_int_equal(wait_ms, 1000);
	idle_reset(&idle, BORN_MS + 99500);
	assert_int_equal(idle_look(&idle, BORN_MS + 100000, 0, false, &wait_ms), IDLE_GO_ON);
	assert_int_equal(wait_ms, 10000);
	assert_int_equal(idle_look(&idle, BORN_MS + 189500, 0, false, &wait_ms), IDLE_WARN);
	assert_int_equal(idle_look(&idle, BORN_MS + 199500, 0, false, &wait_ms), IDLE_END);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_nothing_is_done),
		cmocka_unit_test(test_typing),
		cmocka_unit_test(test_jobs),
		cmocka_unit_test(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
