/* SPDX-License-Identifier: MIT */
/* The interpreter of field tables: see codec.h. */
#include "common/codec.h"

#include <string.h>

#include "common/err.h"

#define LIST_MAX_ITEMS 256
#define LIST_MAX_ITEM_BYTES 256

static bool
in_range(uint64_t v, uint64_t min, uint64_t max)
{
	return v >= min && v <= max;
}

static bool
view_fits(const struct field *f, struct view v)
{
	if (!in_range(v.len, f->min, f->max))
		return false;
	if (f->kind == FIELD_str)
		return text_is_clean(v);
	if (f->kind == FIELD_list)
		return list_check(v, LIST_MAX_ITEMS, 1, LIST_MAX_ITEM_BYTES);
	return true;
}

static bool
put_number(struct writer *w, const struct field *f, const void *at)
{
	uint64_t v;

	switch (f->kind) {
	case FIELD_u8:
		v = *(const uint8_t *)at;
		put_u8(w, (uint8_t)v);
		break;
	case FIELD_u16:
		v = *(const uint16_t *)at;
		put_u16(w, (uint16_t)v);
		break;
	case FIELD_u32:
		v = *(const uint32_t *)at;
		put_u32(w, (uint32_t)v);
		break;
	default:
		v = *(const uint64_t *)at;
		put_u64(w, v);
		break;
	}
	return in_range(v, f->min, f->max);
}

static bool
put_field(struct writer *w, const struct field *f, const void *at)
{
	const struct view *v = at;

	switch (f->kind) {
	case FIELD_id:
		put_raw(w, at, sizeof(struct id128));
		return true;
	case FIELD_raw32:
		put_raw(w, at, sizeof(struct raw32));
		return true;
	case FIELD_raw768:
		put_raw(w, at, sizeof(struct raw768));
		return true;
	case FIELD_str:
	case FIELD_bytes:
	case FIELD_list:
		put_view(w, *v);
		return view_fits(f, *v);
	case FIELD_tail:
		put_raw(w, v->p, v->len);
		return view_fits(f, *v);
	default:
		return put_number(w, f, at);
	}
}

int
codec_put(struct writer *w, const struct layout *l, const void *from, const struct field **bad)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct field *f = &l->fields[i];

		if (put_field(w, f, (const char *)from + f->offset) && w->err == 0)
			continue;
		if (bad)
			*bad = f;
		w->err = w->err ? w->err : -FOG_E_BOUNDS;
		return w->err;
	}
	return 0;
}

static bool
get_number(struct reader *r, const struct field *f, void *at)
{
	uint64_t v;

	switch (f->kind) {
	case FIELD_u8:
		v = *(uint8_t *)at = get_u8(r);
		break;
	case FIELD_u16:
		v = *(uint16_t *)at = get_u16(r);
		break;
	case FIELD_u32:
		v = *(uint32_t *)at = get_u32(r);
		break;
	default:
		v = *(uint64_t *)at = get_u64(r);
		break;
	}
	return in_range(v, f->min, f->max);
}

static struct view
get_tail(struct reader *r)
{
	struct view v = view_bytes(r->p + r->at, r->len - r->at);

	r->at = r->len;
	return v;
}

static bool
get_field(struct reader *r, const struct field *f, void *at)
{
	struct view *v = at;

	switch (f->kind) {
	case FIELD_id:
		get_raw(r, at, sizeof(struct id128));
		return true;
	case FIELD_raw32:
		get_raw(r, at, sizeof(struct raw32));
		return true;
	case FIELD_raw768:
		get_raw(r, at, sizeof(struct raw768));
		return true;
	case FIELD_str:
	case FIELD_bytes:
	case FIELD_list:
		*v = get_view(r);
		return view_fits(f, *v);
	case FIELD_tail:
		*v = get_tail(r);
		return view_fits(f, *v);
	default:
		return get_number(r, f, at);
	}
}

int
codec_get(struct reader *r, const struct layout *l, void *into, const struct field **bad)
{
	memset(into, 0, l->size);
	for (size_t i = 0; i < l->count; i++) {
		const struct field *f = &l->fields[i];

		if (get_field(r, f, (char *)into + f->offset) && r->err == 0)
			continue;
		if (bad)
			*bad = f;
		r->err = r->err ? r->err : -FOG_E_BOUNDS;
		return r->err;
	}
	return 0;
}

bool
codec_is_fixed(const struct layout *l)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->fields[i].kind >= FIELD_str)
			return false;
	}
	return true;
}

uint64_t
fnv1a(uint64_t seed, const void *p, size_t len)
{
	const unsigned char *bytes = p;

	for (size_t i = 0; i < len; i++)
		seed = (seed ^ bytes[i]) * UINT64_C(0x100000001b3);
	return seed;
}

uint64_t
codec_hash(uint64_t seed, const struct layout *l)
{
	seed = fnv1a(seed, l->name, strlen(l->name));
	for (size_t i = 0; i < l->count; i++) {
		const struct field *f = &l->fields[i];

		seed = fnv1a(seed, f->name, strlen(f->name));
		seed = fnv1a(seed, &f->kind, sizeof(f->kind));
		seed = fnv1a(seed, &f->min, sizeof(f->min));
		seed = fnv1a(seed, &f->max, sizeof(f->max));
	}
	return seed;
}
