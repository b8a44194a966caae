/* SPDX-License-Identifier: MIT */
/*
 * Checks that hold for every field table: round trip at both bounds, each bound exceeded by one
 * refused when written and when read, every truncation refused, nothing left over accepted.
 */
#ifndef TABLE_CHECK_H
#define TABLE_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/codec.h"
#include "common/err.h"

#define TABLE_ROOM (1u << 18)

/* Room for the struct of any layout. */
union table_struct {
	max_align_t align;
	unsigned char room[4096];
};

static uint64_t
table_width_max(const struct field *f)
{
	static const uint64_t most[] = { UINT8_MAX, UINT16_MAX, UINT32_MAX, UINT64_MAX };

	return f->kind <= FIELD_u64 ? most[f->kind]
	    : f->kind == FIELD_tail ? UINT32_MAX
				    : UINT16_MAX;
}

static void
table_set_number(const struct field *f, void *at, uint64_t v)
{
	switch (f->kind) {
	case FIELD_u8:
		*(uint8_t *)at = (uint8_t)v;
		break;
	case FIELD_u16:
		*(uint16_t *)at = (uint16_t)v;
		break;
	case FIELD_u32:
		*(uint32_t *)at = (uint32_t)v;
		break;
	default:
		*(uint64_t *)at = v;
		break;
	}
}

/* A packed list of exactly `len` bytes cannot always be made of clean items; empty or one item. */
static size_t
table_list_bytes(char *out, uint64_t len)
{
	if (len < 3)
		return 0;
	if (len > 200)
		len = 200;
	out[0] = 0;
	out[1] = (char)(len - 2);
	memset(out + 2, 'g', len - 2);
	return len;
}

/* Of the kinds that have one size, in the order of enum field_kind. */
static const size_t table_sizes[] = { 1, 2, 4, 8, sizeof(struct id128), sizeof(struct raw32),
	sizeof(struct raw768) };

static void
table_set(const struct field *f, void *into, uint64_t v)
{
	static char text[TABLE_ROOM], list[256];
	void *at = (char *)into + f->offset;

	if (f->kind <= FIELD_u64) {
		table_set_number(f, at, v);
	} else if (f->kind < FIELD_str) {
		memset(at, 0xa5, table_sizes[f->kind]);
	} else if (f->kind == FIELD_list && v <= f->max) {
		*(struct view *)at = view_bytes(list, table_list_bytes(list, v));
	} else {
		memset(text, 'x', sizeof(text));
		*(struct view *)at = view_bytes(text, v);
	}
}

static void
table_fill(const struct layout *l, void *into, bool high)
{
	memset(into, 0, l->size);
	for (size_t i = 0; i < l->count; i++)
		table_set(&l->fields[i], into, high ? l->fields[i].max : l->fields[i].min);
}

static bool
table_same_field(const struct field *f, const void *a, const void *b)
{
	const void *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;

	if (f->kind < FIELD_str)
		return memcmp(x, y, table_sizes[f->kind]) == 0;
	return view_equal(*(const struct view *)x, *(const struct view *)y);
}

static void
table_round_trip(const struct layout *l, bool high, unsigned char *room)
{
	static union table_struct in_room, out_room;
	void *in = &in_room, *out = &out_room;
	struct writer w;
	struct reader r;

	table_fill(l, in, high);
	writer_init(&w, room, TABLE_ROOM);
	assert_int_equal(codec_put(&w, l, in, NULL), 0);
	reader_init(&r, room, w.len);
	assert_int_equal(codec_get(&r, l, out, NULL), 0);
	assert_int_equal(reader_done(&r), 0);
	for (size_t i = 0; i < l->count; i++)
		assert_true(table_same_field(&l->fields[i], in, out));
}

/* Every cut is an error, but where the last field takes what there is and its bounds allow. */
static void
table_truncations(const struct layout *l, unsigned char *room)
{
	static union table_struct in_room, out_room;
	void *in = &in_room, *out = &out_room;
	bool tail = l->count > 0 && l->fields[l->count - 1].kind == FIELD_tail;
	struct writer w;

	table_fill(l, in, false);
	writer_init(&w, room, TABLE_ROOM);
	assert_int_equal(codec_put(&w, l, in, NULL), 0);
	for (size_t cut = 0; cut < w.len; cut++) {
		unsigned char *exact = malloc(cut ? cut : 1);
		struct reader r;

		memcpy(exact, room, cut); /* so that a sanitizer sees a byte too far */
		reader_init(&r, exact, cut);
		assert_int_not_equal(codec_get(&r, l, out, NULL), 0);
		free(exact);
	}
	if (!tail) {
		struct reader r;

		room[w.len] = 0;
		reader_init(&r, room, w.len + 1);
		assert_int_equal(codec_get(&r, l, out, NULL), 0);
		assert_int_equal(reader_done(&r), -FOG_E_TRAILING);
	}
}

/* The bytes of a record in which one field is out of its bounds, made with bounds lifted. */
static size_t
table_forge(const struct layout *l, size_t index, uint64_t v, unsigned char *room)
{
	static union table_struct in_room;
	void *in = &in_room;
	static struct field fields[64];
	struct layout lax = *l;
	struct writer w;

	assert_true(l->count <= COUNT_OF(fields));
	memcpy(fields, l->fields, l->count * sizeof(*fields));
	fields[index].min = 0;
	fields[index].max = UINT64_MAX;
	if (fields[index].kind == FIELD_list || fields[index].kind == FIELD_str)
		fields[index].kind = FIELD_bytes;
	lax.fields = fields;
	table_fill(l, in, false);
	table_set(&fields[index], in, v);
	writer_init(&w, room, TABLE_ROOM);
	assert_int_equal(codec_put(&w, &lax, in, NULL), 0);
	return w.len;
}

static void
table_refuses(const struct layout *l, size_t index, uint64_t v, unsigned char *room)
{
	static union table_struct in_room;
	void *in = &in_room;
	const struct field *f = &l->fields[index], *bad = NULL;
	size_t len = table_forge(l, index, v, room);
	struct reader r;
	struct writer w;

	reader_init(&r, room, len);
	assert_int_not_equal(codec_get(&r, l, in, &bad), 0);
	assert_ptr_equal(bad, f);
	table_fill(l, in, false);
	if (f->kind == FIELD_list)
		return; /* table_set makes only legal lists */
	table_set(f, in, v);
	bad = NULL;
	writer_init(&w, room, TABLE_ROOM);
	assert_int_equal(codec_put(&w, l, in, &bad), -FOG_E_BOUNDS);
	assert_ptr_equal(bad, f);
}

static size_t
table_bounds(const struct layout *l, unsigned char *room)
{
	size_t checked = 0;

	for (size_t i = 0; i < l->count; i++) {
		const struct field *f = &l->fields[i];

		if (f->kind >= FIELD_id && f->kind < FIELD_str)
			continue;
		if (f->min > 0) {
			table_refuses(l, i, f->min - 1, room);
			checked++;
		}
		if (f->max < table_width_max(f)) {
			table_refuses(l, i, f->max + 1, room);
			checked++;
		}
	}
	return checked;
}

static void
table_check(const struct layout *l)
{
	static unsigned char room[TABLE_ROOM];

	table_round_trip(l, false, room);
	table_round_trip(l, true, room);
	table_truncations(l, room);
	table_bounds(l, room);
}

#endif
