/* SPDX-License-Identifier: MIT */
/* Tests of ptyd/holder_window.c: what a lagging client has not got is never overwritten. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ptyd/holder_window.h"

#define MIB (1u << 20)

static void
test_rows(void **state)
{
	static const struct {
		const char *name;
		size_t ring;
		bool was_paused, has_client, is_ending;
		uint64_t lag;
		size_t room;
	} rows[] = {
		{ "nobody attached", 4 * MIB, false, false, false, 0, GATHER_BYTES },
		{ "nobody attached any more", 4 * MIB, true, false, false, 0, GATHER_BYTES },
		{ "no lag", 4 * MIB, false, true, false, 0, GATHER_BYTES },
		{ "below the mark", 4 * MIB, false, true, false, WINDOW_BYTES - 1, GATHER_BYTES },
		{ "at the mark", 4 * MIB, false, true, false, WINDOW_BYTES, 0 },
		{ "still above half", 4 * MIB, true, true, false, WINDOW_BYTES / 2, 0 },
		{ "below half", 4 * MIB, true, true, false, WINDOW_BYTES / 2 - 1, GATHER_BYTES },
		{ "replay of a full ring", 4 * MIB, false, true, false, 4 * MIB, 0 },
		{ "small ring", 4096, false, true, false, 0, 4096 },
		{ "small ring, some lag", 4096, false, true, false, 2047, 2049 },
		{ "small ring, half", 4096, false, true, false, 2048, 0 },
		{ "ending", 4 * MIB, true, true, true, WINDOW_BYTES, GATHER_BYTES },
		{ "ending, nearly full", 4 * MIB, false, true, true, 4 * MIB - 5, 5 },
		{ "ending, full", 4 * MIB, false, true, true, 4 * MIB, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct window w = { rows[i].ring, rows[i].was_paused };

		print_message("%s\n", rows[i].name);
		assert_int_equal(window_room(&w, rows[i].has_client, rows[i].is_ending,
				     rows[i].lag),
		    rows[i].room);
	}
}

/* Whatever happens: lag and what may be read fit into the ring together. */
static void
test_invariant(void **state)
{
	static const size_t rings[] = { 4096, 65536, 100000, 512 * 1024, 4 * MIB };

	(void)state;
	for (size_t r = 0; r < sizeof(rings) / sizeof(rings[0]); r++) {
		struct window w = { rings[r], false };

		for (uint64_t lag = 0; lag <= rings[r]; lag += 61) {
			assert_true(lag + window_room(&w, true, false, lag) <= rings[r]);
			assert_true(lag + window_room(&w, true, true, lag) <= rings[r]);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_invariant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
