/* SPDX-License-Identifier: MIT */
/* Tests of common/compact.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compact.h"

static void
test_three_parts(void **state)
{
	static const char text[] = "aa.b.ccc";
	struct view parts[COMPACT_PARTS];

	(void)state;
	assert_int_equal(compact_split(view_of(text), parts), 0);
	assert_true(view_is(parts[COMPACT_HEADER], "aa"));
	assert_true(view_is(parts[COMPACT_PAYLOAD], "b"));
	assert_true(view_is(parts[COMPACT_SIGNATURE], "ccc"));
	assert_ptr_equal(compact_input(parts).p, text);
	assert_true(view_is(compact_input(parts), "aa.b"));
}

static void
test_other_shapes_are_refused(void **state)
{
	static const char *const rows[] = { "", ".", "..", "...", "a", "a.", ".a", "a.b", "a.b.",
		"a..c", ".b.c", "a.b.c.", "a.b.c.d", "a.b.c.d.e", "..c", "a.." };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct view parts[COMPACT_PARTS] = { { rows[i], 7 } };
		size_t len = strlen(rows[i]);
		/* A copy of its own, so that the sanitizer sees each byte read behind it. */
		char *copy = malloc(len + 1);

		assert_non_null(copy);
		memcpy(copy, rows[i], len);
		if (compact_split(view_bytes(copy, len), parts) != -1)
			fail_msg("taken: %s", rows[i]);
		assert_ptr_equal(parts[0].p, rows[i]);
		assert_int_equal(parts[0].len, 7);
		free(copy);
	}
	assert_int_equal(compact_split(view_of(NULL), (struct view[COMPACT_PARTS]){ 0 }), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_parts),
		cmocka_unit_test(test_other_shapes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
