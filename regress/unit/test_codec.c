/* SPDX-License-Identifier: MIT */
/* links: common/codec.c */
/* The interpreter of field tables, on a table of its own that has every kind of field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/codec.h"
#include "regress/unit/table_check.h"

#define FIELDS_numbers(F, T) \
	F(T, u8, a, 1, 3) \
	F(T, u16, b, 256, 300) \
	F(T, u32, c, 0, UINT32_MAX) \
	F(T, u64, d, 5, UINT64_C(1) << 40) \
	F(T, id, e, 0, 0) \
	F(T, raw32, f, 0, 0)
#define FIELDS_views(F, T) \
	F(T, str, text, 2, 8) \
	F(T, bytes, blob, 0, 4) \
	F(T, list, items, 0, 64)
#define FIELDS_tailed(F, T) \
	F(T, u16, first, 0, 9) \
	F(T, tail, rest, 1, 6)

#define TABLE(name) \
	struct name { \
		FIELDS_##name(CODEC_MEMBER, ) \
	}; \
	static const struct field fields_##name[] = { FIELDS_##name(CODEC_ROW, struct name) }; \
	static const struct layout layout_##name = { #name, fields_##name, \
		COUNT_OF(fields_##name), sizeof(struct name) };
TABLE(numbers)
TABLE(views)
TABLE(tailed)

static void
test_tables(void **state)
{
	(void)state;
	table_check(&layout_numbers);
	table_check(&layout_views);
	table_check(&layout_tailed);
	assert_true(codec_is_fixed(&layout_numbers));
	assert_false(codec_is_fixed(&layout_views));
	assert_false(codec_is_fixed(&layout_tailed));
}

#define BYTES(b) \
	{ \
		b, sizeof(b) - 1 \
	}

/* What is written in `views`: refused with the field at fault, or taken and read back. */
static const struct row {
	const char *name;
	struct views v;
	const char *bad;
} rows[] = {
	{ "least", { BYTES("ab"), BYTES(""), BYTES("") }, NULL },
	{ "most", { BYTES("abcdefgh"), BYTES("\0\1\n\xff"), BYTES("\0\1a\0\2bc") }, NULL },
	{ "text short", { BYTES("a"), BYTES(""), BYTES("") }, "text" },
	{ "text long", { BYTES("abcdefghi"), BYTES(""), BYTES("") }, "text" },
	{ "text with a newline", { BYTES("a\nb"), BYTES(""), BYTES("") }, "text" },
	{ "text with NUL", { BYTES("a\0b"), BYTES(""), BYTES("") }, "text" },
	{ "blob long", { BYTES("ab"), BYTES("12345"), BYTES("") }, "blob" },
	{ "list cut", { BYTES("ab"), BYTES(""), BYTES("\0\2a") }, "items" },
	{ "list with an empty item", { BYTES("ab"), BYTES(""), BYTES("\0\0") }, "items" },
	{ "list with a control character", { BYTES("ab"), BYTES(""), BYTES("\0\1\t") }, "items" },
};

/* The record as a liar would write it, bounds or not. */
static size_t
write_unchecked(const struct views *v, unsigned char *out, size_t size)
{
	struct writer w;

	writer_init(&w, out, size);
	put_view(&w, v->text);
	put_view(&w, v->blob);
	put_view(&w, v->items);
	assert_int_equal(w.err, 0);
	return w.len;
}

static void
test_views_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		const struct field *put_bad = NULL, *get_bad = NULL;
		int wanted = row->bad ? -FOG_E_BOUNDS : 0;
		unsigned char bytes[256], again[256];
		struct views back;
		struct writer w;
		struct reader r;
		size_t len = write_unchecked(&row->v, bytes, sizeof(bytes));

		print_message("  %s\n", row->name);
		writer_init(&w, again, sizeof(again));
		reader_init(&r, bytes, len);
		assert_int_equal(codec_put(&w, &layout_views, &row->v, &put_bad), wanted);
		assert_int_equal(codec_get(&r, &layout_views, &back, &get_bad), wanted);
		if (row->bad) {
			assert_string_equal(put_bad->name, row->bad);
			assert_string_equal(get_bad->name, row->bad);
			continue;
		}
		assert_int_equal(w.len, len);
		assert_memory_equal(again, bytes, len);
		assert_int_equal(reader_done(&r), 0);
		assert_true(view_equal(back.text, row->v.text));
		assert_true(view_equal(back.blob, row->v.blob));
		assert_true(view_equal(back.items, row->v.items));
	}
}

static void
test_wire_form(void **state)
{
	static const unsigned char wanted[] = { 0, 7, 'x', 'y', 'z' };
	struct tailed t = { .first = 7, .rest = BYTES("xyz") }, back;
	unsigned char bytes[16];
	struct writer w;
	struct reader r;

	(void)state;
	writer_init(&w, bytes, sizeof(bytes));
	assert_int_equal(codec_put(&w, &layout_tailed, &t, NULL), 0);
	assert_int_equal(w.len, sizeof(wanted));
	assert_memory_equal(bytes, wanted, sizeof(wanted));
	reader_init(&r, bytes, w.len);
	assert_int_equal(codec_get(&r, &layout_tailed, &back, NULL), 0);
	assert_int_equal(back.first, 7);
	assert_true(view_is(back.rest, "xyz"));
	assert_ptr_equal(back.rest.p, bytes + 2); /* borrowed, not copied */
}

static void
test_room(void **state)
{
	struct tailed t = { .first = 7, .rest = BYTES("xyz") };

	(void)state;
	for (size_t room = 0; room < 5; room++) {
		unsigned char bytes[5];
		struct writer w;

		writer_init(&w, bytes, room);
		assert_int_equal(codec_put(&w, &layout_tailed, &t, NULL), -FOG_E_BOUNDS);
		assert_true(w.len <= room);
	}
}

/* Name, kind, order and bounds all count: two builds that differ in one do not talk. */
static void
test_hash(void **state)
{
	struct field changed[COUNT_OF(fields_numbers)];
	struct layout other = layout_numbers;
	uint64_t h = codec_hash(FNV1A_SEED, &layout_numbers);

	(void)state;
	assert_true(h == codec_hash(FNV1A_SEED, &layout_numbers));
	assert_true(h != codec_hash(FNV1A_SEED + 1, &layout_numbers));
	for (int what = 0; what < 5; what++) {
		memcpy(changed, fields_numbers, sizeof(changed));
		other.fields = changed;
		switch (what) {
		case 0:
			changed[1].name = "z";
			break;
		case 1:
			changed[1].kind = FIELD_u32;
			break;
		case 2:
			changed[1].min++;
			break;
		case 3:
			changed[1].max++;
			break;
		default:
			changed[0] = fields_numbers[1];
			changed[1] = fields_numbers[0];
			break;
		}
		assert_true(h != codec_hash(FNV1A_SEED, &other));
	}
	/* The published test vectors of FNV-1a, 64 bits. */
	assert_true(fnv1a(FNV1A_SEED, "", 0) == UINT64_C(0xcbf29ce484222325));
	assert_true(fnv1a(FNV1A_SEED, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
	assert_true(fnv1a(FNV1A_SEED, "foobar", 6) == UINT64_C(0x85944171f73967e8));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_views_both_ways),
		cmocka_unit_test(test_wire_form),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
