/* SPDX-License-Identifier: MIT */
/* links: common/buf.c */
/* Views, bounded writers and readers, packed lists. Storage is exact, so that ASAN sees one byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

static void
test_views(void **state)
{
	(void)state;
	assert_int_equal(view_of(NULL).len, 0);
	assert_int_equal(view_of("abc").len, 3);
	assert_true(view_equal(view_of(NULL), view_of("")));
	assert_true(view_equal(view_of("abc"), view_bytes("abcd", 3)));
	assert_false(view_equal(view_of("abc"), view_of("abd")));
	assert_false(view_equal(view_of("abc"), view_of("ab")));
	assert_true(view_is(view_bytes("abcd", 3), "abc"));
	assert_false(view_is(view_bytes("ab\0", 3), "ab"));
	assert_true(view_is(view_bytes(NULL, 0), ""));
}

static void
test_view_copy(void **state)
{
	static const struct {
		const char *in;
		size_t len, room;
		int rc;
	} rows[] = {
		{ "", 0, 1, 0 },
		{ "abc", 3, 4, 0 },
		{ "abc", 3, 3, -FOG_E_BOUNDS },
		{ "", 0, 0, -FOG_E_BOUNDS },
		{ "a\0c", 3, 8, -FOG_E_BOUNDS },
		{ NULL, 0, 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char out[8] = "#######";

		assert_int_equal(view_copy(view_bytes(rows[i].in, rows[i].len), out, rows[i].room),
		    rows[i].rc);
		if (rows[i].rc != 0)
			assert_string_equal(out, "#######");
		else
			assert_string_equal(out, rows[i].in ? rows[i].in : "");
	}
}

static const unsigned char all_kinds[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
	0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 'r', 'a', 'w', 0, 2, 'h', 'i', 0, 0 };

static void
put_all(struct writer *w)
{
	put_u8(w, 0x01);
	put_u16(w, 0x0203);
	put_u32(w, 0x04050607);
	put_u64(w, UINT64_C(0x08090a0b0c0d0e0f));
	put_raw(w, "raw", 3);
	put_view(w, view_of("hi"));
	put_view(w, view_of(""));
}

/* Big-endian, and whatever the room: never past it, the first error kept. */
static void
test_writer(void **state)
{
	(void)state;
	for (size_t room = 0; room <= sizeof(all_kinds); room++) {
		unsigned char *storage = malloc(room ? room : 1);
		struct writer w;

		assert_non_null(storage);
		writer_init(&w, storage, room);
		put_all(&w);
		assert_true(w.len <= room);
		assert_int_equal(w.err, room < sizeof(all_kinds) ? -FOG_E_BOUNDS : 0);
		assert_memory_equal(storage, all_kinds, w.len);
		/* After an error nothing more is written, although it would fit. */
		if (w.err) {
			size_t len = w.len;

			put_raw(&w, "", 0);
			put_u8(&w, 1);
			assert_int_equal(w.len, len);
			assert_int_equal(w.err, -FOG_E_BOUNDS);
		}
		free(storage);
	}
}

static void
test_writer_long_view(void **state)
{
	static unsigned char storage[UINT16_MAX + 16];
	static char text[UINT16_MAX + 1];
	struct writer w;

	(void)state;
	writer_init(&w, storage, sizeof(storage));
	put_view(&w, view_bytes(text, UINT16_MAX));
	assert_int_equal(w.err, 0);
	assert_int_equal(w.len, UINT16_MAX + 2);
	writer_init(&w, storage, sizeof(storage));
	put_view(&w, view_bytes(text, UINT16_MAX + 1));
	assert_int_equal(w.err, -FOG_E_BOUNDS);
	assert_int_equal(w.len, 0);
}

/* Reads all; zeros and empty views once the record has ended. */
static int
get_all(struct reader *r)
{
	unsigned char raw[3] = "###";
	struct view hi, empty;
	bool right = get_u8(r) == 0x01;

	right = get_u16(r) == 0x0203 && right;
	right = get_u32(r) == 0x04050607 && right;
	right = get_u64(r) == UINT64_C(0x08090a0b0c0d0e0f) && right;
	get_raw(r, raw, sizeof(raw));
	hi = get_view(r);
	empty = get_view(r);
	assert_non_null(hi.p);
	assert_non_null(empty.p);
	assert_int_equal(empty.len, 0);
	if (r->err == 0)
		assert_true(right && memcmp(raw, "raw", 3) == 0 && view_is(hi, "hi"));
	else
		assert_int_equal(hi.len == 0 || view_is(hi, "hi"), 1);
	return reader_done(r);
}

static void
test_reader(void **state)
{
	(void)state;
	for (size_t len = 0; len <= sizeof(all_kinds) + 1; len++) {
		unsigned char *bytes = calloc(1, len ? len : 1);
		int wanted = len < sizeof(all_kinds) ? -FOG_E_TRUNCATED
		    : len > sizeof(all_kinds)        ? -FOG_E_TRAILING
						     : 0;
		struct reader r;

		assert_non_null(bytes);
		memcpy(bytes, all_kinds, len < sizeof(all_kinds) ? len : sizeof(all_kinds));
		reader_init(&r, bytes, len);
		assert_int_equal(get_all(&r), wanted);
		assert_true(r.at <= r.len);
		free(bytes);
	}
}

/* A length that promises more than there is, up to the largest that can be written. */
static void
test_reader_false_length(void **state)
{
	static const unsigned char records[][4] = { { 0, 3, 'a', 'b' }, { 0xff, 0xff, 'a', 'b' } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(records); i++) {
		struct reader r;
		struct view v;

		reader_init(&r, records[i], sizeof(records[i]));
		v = get_view(&r);
		assert_int_equal(v.len, 0);
		assert_int_equal(r.err, -FOG_E_TRUNCATED);
		assert_int_equal(get_u8(&r), 0); /* the error stays, although a byte is left */
		assert_int_equal(reader_done(&r), -FOG_E_TRUNCATED);
	}
}

#define LIST(bytes) \
	{ \
		bytes, sizeof(bytes) - 1 \
	}

static void
test_list_check(void **state)
{
	static const struct {
		const char *name;
		struct view list;
		bool good; /* at most 3 items of 1 to 4 bytes */
	} rows[] = {
		{ "empty", LIST(""), true },
		{ "one", LIST("\0\1a"), true },
		{ "three", LIST("\0\1a\0\2bc\0\4defg"), true },
		{ "four", LIST("\0\1a\0\1b\0\1c\0\1d"), false },
		{ "item too short", LIST("\0\0"), false },
		{ "item too long", LIST("\0\5abcde"), false },
		{ "length cut", LIST("\0\1a\0"), false },
		{ "item cut", LIST("\0\1a\0\2b"), false },
		{ "length of 65535", LIST("\xff\xff\1a"), false },
		{ "control character", LIST("\0\1\n"), false },
		{ "NUL", LIST("\0\2a\0"), false },
		{ "DEL", LIST("\0\1\x7f"), false },
		{ "nothing at NULL", { NULL, 0 }, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *exact = malloc(rows[i].list.len + 1);

		print_message("  %s\n", rows[i].name);
		assert_non_null(exact);
		if (rows[i].list.len > 0)
			memcpy(exact, rows[i].list.p, rows[i].list.len);
		assert_int_equal(list_check(view_bytes(exact, rows[i].list.len), 3, 1, 4),
		    rows[i].good);
		free(exact);
	}
}

static void
test_list_walk(void **state)
{
	struct view list = LIST("\0\1a\0\2bc\0\0\0\2d");
	struct view rest = list, item;

	(void)state;
	assert_true(list_next(&rest, &item) && view_is(item, "a"));
	assert_true(list_next(&rest, &item) && view_is(item, "bc"));
	assert_true(list_next(&rest, &item) && view_is(item, ""));
	assert_false(list_next(&rest, &item)); /* the last one is cut */
	assert_int_equal(rest.len, 3);
	assert_true(list_holds(list, view_of("bc")));
	assert_false(list_holds(list, view_of("b")));
	assert_false(list_holds(list, view_of("d")));
	assert_false(list_holds(view_of(NULL), view_of("")));
}

static void
test_text_is_clean(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;

		assert_int_equal(text_is_clean(view_bytes(&byte, 1)), c >= 0x20 && c != 0x7f);
	}
	assert_true(text_is_clean(view_of("")));
	assert_false(text_is_clean(view_of("two\nlines")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_view_copy),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_writer_long_view),
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_reader_false_length),
		cmocka_unit_test(test_list_check),
		cmocka_unit_test(test_list_walk),
		cmocka_unit_test(test_text_is_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
