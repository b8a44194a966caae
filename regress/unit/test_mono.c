/* SPDX-License-Identifier: MIT */
/* Tests of common/mono.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "common/mono.h"

static void
test_clocks_agree_with_the_kernel(void **state)
{
	struct timespec before, after;
	uint64_t ms;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &before);
	ms = mono_ms();
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_in_range(ms, (uint64_t)before.tv_sec * 1000 + (uint64_t)before.tv_nsec / 1000000,
	    (uint64_t)after.tv_sec * 1000 + (uint64_t)after.tv_nsec / 1000000);
	clock_gettime(CLOCK_BOOTTIME, &before);
	ms = boot_ms();
	clock_gettime(CLOCK_BOOTTIME, &after);
	assert_in_range(ms, (uint64_t)before.tv_sec * 1000 + (uint64_t)before.tv_nsec / 1000000,
	    (uint64_t)after.tv_sec * 1000 + (uint64_t)after.tv_nsec / 1000000);
	clock_gettime(CLOCK_REALTIME, &before);
	ms = (uint64_t)wall_s();
	clock_gettime(CLOCK_REALTIME, &after);
	assert_in_range(ms, (uint64_t)before.tv_sec, (uint64_t)after.tv_sec);
}

static void
test_mono_counts_milliseconds(void **state)
{
	const struct timespec pause = { 0, 30 * 1000000 };
	uint64_t start = mono_ms();

	(void)state;
	nanosleep(&pause, NULL);
	/* The upper bound only tells milliseconds from smaller units on a busy machine. */
	assert_in_range(mono_ms() - start, 29, 20000);
}

static void
test_rfc3339_of_known_times(void **state)
{
	static const struct {
		time_t t;
		const char *text;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00Z" },
		{ 951782399, "2000-02-28T23:59:59Z" },
		{ 951782400, "2000-02-29T00:00:00Z" },
		{ 951868800, "2000-03-01T00:00:00Z" },
		{ 1000000000, "2001-09-09T01:46:40Z" },
		{ 1709251199, "2024-02-29T23:59:59Z" },
		{ 1735689599, "2024-12-31T23:59:59Z" },
		{ 2147483648, "2038-01-19T03:14:08Z" },
		{ 4107542400, "2100-03-01T00:00:00Z" },
		{ 253402300799, "9999-12-31T23:59:59Z" },
		{ 253402300800, "9999-12-31T23:59:59Z" },
		{ INT64_MAX, "9999-12-31T23:59:59Z" },
		{ -1, "1970-01-01T00:00:00Z" },
		{ INT64_MIN, "1970-01-01T00:00:00Z" },
	};
	char text[RFC3339_UTC_SIZE + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(text, '#', sizeof(text));
		rfc3339_utc(rows[i].t, text);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(text[RFC3339_UTC_SIZE], '#');
	}
}

/* Every day of 8000 years, at another second of each, against the C library. */
static void
test_rfc3339_against_gmtime(void **state)
{
	char text[RFC3339_UTC_SIZE], expected[RFC3339_UTC_SIZE];
	struct tm tm;

	(void)state;
	for (time_t t = 0; t <= 253402300799; t += 86399) {
		assert_non_null(gmtime_r(&t, &tm));
		assert_int_equal(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", &tm),
		    20);
		rfc3339_utc(t, text);
		if (strcmp(text, expected) != 0)
			assert_string_equal(text, expected);
	}
}

static void
test_boot_id_is_lower_case_and_stable(void **state)
{
	char first[BOOT_ID_SIZE] = "", second[BOOT_ID_SIZE] = "";

	(void)state;
	assert_int_equal(boot_id_read(first), 0);
	assert_int_equal(boot_id_read(second), 0);
	assert_string_equal(first, second);
	assert_int_equal(strlen(first), BOOT_ID_SIZE - 1);
	assert_int_equal(strspn(first, "0123456789abcdef-"), BOOT_ID_SIZE - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clocks_agree_with_the_kernel),
		cmocka_unit_test(test_mono_counts_milliseconds),
		cmocka_unit_test(test_rfc3339_of_known_times),
		cmocka_unit_test(test_rfc3339_against_gmtime),
		cmocka_unit_test(test_boot_id_is_lower_case_and_stable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
