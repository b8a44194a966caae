/* SPDX-License-Identifier: MIT */
/* Tests of common/ring.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ring.h"

#define MODEL_BYTES 20000

/* The byte of the stream at an offset; its period divides no capacity used here. */
static unsigned char
stream_byte(uint64_t offset)
{
	return (unsigned char)(offset % 251);
}

static void
write_stream(struct ring *r, size_t len)
{
	static unsigned char bytes[MODEL_BYTES];

	assert_true(len <= sizeof(bytes));
	for (size_t i = 0; i < len; i++)
		bytes[i] = stream_byte(ring_end(r) + i);
	ring_write(r, bytes, len);
}

/* Whether the view from offset holds exactly the stream from there to the end. */
static void
assert_view(const struct ring *r, uint64_t offset)
{
	struct iovec view[2];
	int spans = ring_view(r, offset, view);
	uint64_t at = offset;

	assert_in_range(spans, 0, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(view[i].iov_len > 0, i < spans);
		for (size_t j = 0; j < view[i].iov_len; j++)
			if (((unsigned char *)view[i].iov_base)[j] != stream_byte(at++))
				fail_msg("wrong byte at offset %llu", (unsigned long long)at - 1);
	}
	assert_int_equal(at, ring_end(r));
}

static void
test_new_refuses_bad_capacities(void **state)
{
	(void)state;
	errno = 0;
	assert_null(ring_new(0));
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_null(ring_new(SIZE_MAX));
	assert_int_equal(errno, EINVAL);
	ring_free(NULL);
}

static void
test_empty_ring(void **state)
{
	struct ring *r = ring_new(16);
	struct iovec view[2];

	(void)state;
	assert_non_null(r);
	ring_write(r, "", 0);
	assert_int_equal(ring_start(r), 0);
	assert_int_equal(ring_end(r), 0);
	assert_int_equal(ring_view(r, 0, view), 0);
	assert_null(view[0].iov_base);
	assert_int_equal(ring_view(r, 1, view), -1);
	ring_free(r);
}

static void
test_views_outside_are_refused(void **state)
{
	struct ring *r = ring_new(10);
	struct iovec view[2];

	(void)state;
	assert_non_null(r);
	write_stream(r, 25);
	assert_int_equal(ring_start(r), 15);
	assert_int_equal(ring_end(r), 25);
	assert_int_equal(ring_view(r, 14, view), -1);
	assert_int_equal(ring_view(r, 26, view), -1);
	assert_int_equal(ring_view(r, UINT64_MAX, view), -1);
	assert_int_equal(ring_view(r, 25, view), 0);
	assert_view(r, 15);
	ring_free(r);
}

/* Writes of every length around every capacity, each view after each write. */
static void
test_small_rings_completely(void **state)
{
	struct ring *r;

	(void)state;
	for (size_t capacity = 1; capacity <= 9; capacity++) {
		for (size_t len = 0; len <= 2 * capacity + 1; len++) {
			r = ring_new(capacity);
			assert_non_null(r);
			for (int writes = 0; writes < 12; writes++) {
				write_stream(r, len);
				assert_int_equal(ring_end(r) - ring_start(r),
				    ring_end(r) < capacity ? ring_end(r) : capacity);
				for (uint64_t at = ring_start(r); at <= ring_end(r); at++)
					assert_view(r, at);
			}
			ring_free(r);
		}
	}
}

static void
test_random_writes_against_the_stream(void **state)
{
	static const size_t capacities[] = { 1, 2, 7, 4095, 4096, 4097, 10000 };
	struct ring *r;

	(void)state;
	srandom(1);
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
		r = ring_new(capacities[i]);
		assert_non_null(r);
		for (int writes = 0; writes < 300; writes++) {
			write_stream(r, (size_t)random() % (writes % 10 == 0 ? MODEL_BYTES : 100));
			assert_view(r, ring_start(r));
			assert_view(r,
			    ring_end(r) - (uint64_t)random() % (ring_end(r) - ring_start(r) + 1));
		}
		ring_free(r);
	}
}

/* Filled in place, with ever fewer bytes than there is space for. */
static void
test_space_in_place(void **state)
{
	static const size_t capacities[] = { 1, 7, 4096, 10000 };
	unsigned char *space;
	size_t len, n;

	(void)state;
	srandom(2);
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
		struct ring *r = ring_new(capacities[i]);

		assert_non_null(r);
		for (int writes = 0; writes < 300; writes++) {
			space = ring_space(r, &len);
			assert_in_range(len, 1, capacities[i]);
			n = (size_t)random() % (len + 1);
			for (size_t j = 0; j < n; j++)
				space[j] = stream_byte(ring_end(r) + j);
			ring_append(r, n);
			assert_view(r, ring_start(r));
			write_stream(r, (size_t)random() % 10);
			assert_view(r, ring_start(r));
		}
		ring_free(r);
	}
}

/* Pages of this process that are in memory. */
static long
resident_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	char line[128] = "", *at;

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	(void)strtol(line, &at, 10);
	return strtol(at, NULL, 10);
}

static void
test_untouched_memory_costs_nothing(void **state)
{
	const size_t capacity = 512 * 1024 * 1024;
	long before = resident_pages();
	struct ring *r = ring_new(capacity);

	(void)state;
	assert_non_null(r);
	write_stream(r, 1000);
	assert_in_range(resident_pages() - before + 64, 0, 64 + 256);
	ring_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_refuses_bad_capacities),
		cmocka_unit_test(test_empty_ring),
		cmocka_unit_test(test_views_outside_are_refused),
		cmocka_unit_test(test_small_rings_completely),
		cmocka_unit_test(test_random_writes_against_the_stream),
		cmocka_unit_test(test_space_in_place),
		cmocka_unit_test(test_untouched_memory_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
