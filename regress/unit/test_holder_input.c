/* SPDX-License-Identifier: MIT */
/* Tests of ptyd/holder_input.c: nothing is typed twice, nothing is skipped, nothing overflows. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "ptyd/holder_input.h"

static struct input in;

/* The byte of the stream at an offset. */
static unsigned char
stream_byte(uint64_t offset)
{
	return (unsigned char)(offset % 251);
}

static int
offer(uint64_t offset, size_t len)
{
	unsigned char *bytes = malloc(len + 1);
	int rc;

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = stream_byte(offset + i);
	rc = input_offer(&in, offset, bytes, len);
	free(bytes);
	return rc;
}

/* Takes n bytes off the queue and asserts that they are the stream from offset on. */
static void
assert_typed(uint64_t offset, size_t n)
{
	size_t len;
	const unsigned char *got = input_view(&in, &len);

	assert_true(len >= n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[i], stream_byte(offset + i));
	input_consume(&in, n);
}

static void
test_offsets(void **state)
{
	static const struct {
		const char *name;
		uint64_t next, offset;
		size_t len;
		int rc;
		uint64_t next_after;
	} rows[] = {
		{ "in order", 100, 100, 5, 0, 105 },
		{ "known already", 100, 90, 10, 0, 100 },
		{ "known long ago", 100, 0, 10, 0, 100 },
		{ "overlap", 100, 95, 10, 0, 105 },
		{ "from the future", 100, 101, 5, -FOG_E_OFFSET, 100 },
		{ "far future", 100, UINT64_MAX, 1, -FOG_E_OFFSET, 100 },
		{ "nothing", 100, 100, 0, 0, 100 },
		{ "the queue exactly", 100, 100, INPUT_QUEUE_BYTES, 0, 100 + INPUT_QUEUE_BYTES },
		{ "one too many", 100, 100, INPUT_QUEUE_BYTES + 1, -FOG_E_FULL,
		    100 + INPUT_QUEUE_BYTES },
		{ "past the end of numbers", UINT64_MAX - 2, UINT64_MAX - 2, 5, -FOG_E_OFFSET,
		    UINT64_MAX - 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t taken = rows[i].next_after - rows[i].next;

		print_message("%s\n", rows[i].name);
		input_init(&in);
		in.next = rows[i].next;
		assert_int_equal(offer(rows[i].offset, rows[i].len), rows[i].rc);
		assert_true(in.next == rows[i].next_after);
		assert_int_equal(in.len, taken);
		assert_typed(rows[i].next, (size_t)taken);
	}
}

/* A full queue takes the rest of the same frame later, without a byte twice. */
static void
test_offered_again(void **state)
{
	(void)state;
	input_init(&in);
	assert_int_equal(offer(0, INPUT_QUEUE_BYTES - 10), 0);
	assert_int_equal(offer(INPUT_QUEUE_BYTES - 10, 30), -FOG_E_FULL);
	assert_typed(0, 7);
	assert_int_equal(offer(INPUT_QUEUE_BYTES - 10, 30), -FOG_E_FULL);
	assert_true(in.next == INPUT_QUEUE_BYTES + 7);
	assert_typed(7, INPUT_QUEUE_BYTES);
	assert_int_equal(offer(INPUT_QUEUE_BYTES - 10, 30), 0);
	assert_typed(INPUT_QUEUE_BYTES + 7, 13);
	assert_null(input_view(&in, &(size_t){ 0 }));
}

/* Random offers, resends and reads give the stream once, in order. */
static void
test_model(void **state)
{
	uint64_t typed = 0;
	unsigned seed = 7;

	(void)state;
	input_init(&in);
	for (int i = 0; i < 20000; i++) {
		uint64_t back = (uint64_t)(rand_r(&seed) % 300);
		uint64_t offset = back < in.next ? in.next - back : 0;
		size_t len;

		offer(offset, (size_t)(rand_r(&seed) % 2000));
		input_view(&in, &len);
		len = len ? (size_t)rand_r(&seed) % (len + 1) : 0;
		assert_typed(typed, len);
		typed += len;
		assert_true(typed + in.len == in.next);
	}
	assert_true(typed > 1000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_offered_again),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
