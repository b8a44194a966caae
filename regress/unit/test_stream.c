/* SPDX-License-Identifier: MIT */
/* links: common/stream.c */
/* stream.def: every row round trip, each bound, every truncation, and the framing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/stream.h"
#include "regress/unit/table_check.h"

static void
test_every_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < STREAM_COUNT; i++)
		table_check(&stream_rows[i].layout);
}

/* One direction's letters are unique: the letter and the sender name the message. */
static void
test_letters(void **state)
{
	(void)state;
	for (size_t i = 0; i < STREAM_COUNT; i++) {
		for (size_t j = i + 1; j < STREAM_COUNT; j++)
			assert_true(stream_rows[i].letter != stream_rows[j].letter);
	}
}

static void
test_framing(void **state)
{
	static unsigned char room[2 * STREAM_FRAME_MAX];
	struct stream_probe in = { .value = 0x0102030405060708 };
	struct stream_msg m;
	struct writer w;
	size_t used = 0, frame;

	(void)state;
	writer_init(&w, room, sizeof(room));
	assert_int_equal(stream_put(&w, STREAM_PROBE, &in), 0);
	frame = w.len;
	assert_int_equal(stream_put(&w, STREAM_PROBE, &in), 0);
	for (size_t len = 0; len < frame; len++)
		assert_int_equal(stream_next(room, len, PROC_GATEWAYD, &m, &used), 0);
	assert_int_equal(stream_next(room, w.len, PROC_GATEWAYD, &m, &used), 1);
	assert_int_equal(used, frame);
	assert_int_equal(m.type, STREAM_PROBE);
	assert_true(m.u.probe.value == in.value);
	/* the same bytes from the other side are not its message */
	assert_int_equal(stream_next(room, w.len, PROC_HOLDER, &m, &used), -FOG_E_LIAR);
}

static void
test_bad_frames(void **state)
{
	static const struct {
		const char *name;
		unsigned char bytes[16];
		size_t len;
	} rows[] = {
		{ "no type", { 0, 0, 0, 0 }, 4 },
		{ "too long", { 0, 1, 0, 64, 'i' }, 5 },
		{ "huge", { 0xff, 0xff, 0xff, 0xff, 'i' }, 5 },
		{ "unknown type", { 0, 0, 0, 1, 'Z' }, 5 },
		{ "short probe", { 0, 0, 0, 3, 'p', 0, 0 }, 7 },
		{ "long resize", { 0, 0, 0, 6, 'r', 0, 80, 0, 24, 0 }, 10 },
		{ "resize to nothing", { 0, 0, 0, 5, 'r', 0, 0, 0, 24 }, 9 },
		{ "empty input", { 0, 0, 0, 9, 'i', 0, 0, 0, 0, 0, 0, 0, 0 }, 13 },
	};
	struct stream_msg m;
	size_t used;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (stream_next(rows[i].bytes, rows[i].len, PROC_GATEWAYD, &m, &used) !=
		    -FOG_E_LIAR)
			fail_msg("accepted: %s", rows[i].name);
	}
}

static void
test_output_header(void **state)
{
	static unsigned char room[STREAM_FRAME_MAX];
	struct stream_msg m;
	size_t used;

	(void)state;
	stream_put_output_header(room, STREAM_DATA_MAX);
	memset(room + STREAM_HEADER_BYTES, 'y', STREAM_DATA_MAX);
	assert_int_equal(stream_next(room, STREAM_HEADER_BYTES + STREAM_DATA_MAX, PROC_HOLDER, &m,
			     &used),
	    1);
	assert_int_equal(m.type, STREAM_OUTPUT);
	assert_int_equal(m.u.output.bytes.len, STREAM_DATA_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row),
		cmocka_unit_test(test_letters),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_bad_frames),
		cmocka_unit_test(test_output_header),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
