/* SPDX-License-Identifier: MIT */
/* The guess of a latency that was not measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "placerd/distance.h"
#include "placerd/place.h"

static void
test_guess(void **state)
{
	static const struct {
		uint32_t own_ms, mean_ms, guess_ms;
	} rows[] = {
		{ 10, 25, 35 },
		{ 0, 1, 1 },
		{ PLACE_LATENCY_NONE, 25, PLACE_LATENCY_NONE },
		{ 10, 0, PLACE_LATENCY_NONE }, /* never answered */
		{ 59999, 1, 60000 },
		{ 60000, 2000, 60000 },
		{ PLACE_LATENCY_NONE - 1, UINT32_MAX, 60000 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(distance_guess(rows[i].own_ms, rows[i].mean_ms), rows[i].guess_ms);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_guess) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
