/* SPDX-License-Identifier: MIT */
/* Bounded typed buffers: see buf.h. */
#include "common/buf.h"

#include <string.h>

#include "common/err.h"

struct view
view_of(const char *text)
{
	return (struct view){ .p = text, .len = text ? strlen(text) : 0 };
}

struct view
view_bytes(const void *p, size_t len)
{
	return (struct view){ .p = p, .len = len };
}

bool
view_equal(struct view a, struct view b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

int
view_compare(struct view a, struct view b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return a.len ? memcmp(a.p, b.p, a.len) : 0;
}

bool
view_is(struct view v, const char *text)
{
	return view_equal(v, view_of(text));
}

int
view_copy(struct view v, char *out, size_t out_size)
{
	if (v.len >= out_size || (v.len > 0 && memchr(v.p, 0, v.len)))
		return -FOG_E_BOUNDS;
	if (v.len > 0)
		memcpy(out, v.p, v.len);
	out[v.len] = '\0';
	return 0;
}

void
writer_init(struct writer *w, void *storage, size_t cap)
{
	*w = (struct writer){ .p = storage, .cap = cap };
}

void
put_raw(struct writer *w, const void *p, size_t len)
{
	if (w->err)
		return;
	if (len > w->cap - w->len) {
		w->err = -FOG_E_BOUNDS;
		return;
	}
	if (len > 0)
		memcpy(w->p + w->len, p, len);
	w->len += len;
}

static void
put_be(struct writer *w, uint64_t v, size_t width)
{
	unsigned char bytes[8];

	for (size_t i = 0; i < width; i++)
		bytes[i] = (unsigned char)(v >> (8 * (width - 1 - i)));
	put_raw(w, bytes, width);
}

void
put_u8(struct writer *w, uint8_t v)
{
	put_be(w, v, 1);
}

void
put_u16(struct writer *w, uint16_t v)
{
	put_be(w, v, 2);
}

void
put_u32(struct writer *w, uint32_t v)
{
	put_be(w, v, 4);
}

void
put_u64(struct writer *w, uint64_t v)
{
	put_be(w, v, 8);
}

void
put_view(struct writer *w, struct view v)
{
	if (v.len > UINT16_MAX) {
		w->err = w->err ? w->err : -FOG_E_BOUNDS;
		return;
	}
	put_u16(w, (uint16_t)v.len);
	put_raw(w, v.p, v.len);
}

void
reader_init(struct reader *r, const void *p, size_t len)
{
	*r = (struct reader){ .p = p, .len = len };
}

/* Borrows the next len bytes, or notes the error and gives NULL. */
static const unsigned char *
take(struct reader *r, size_t len)
{
	const unsigned char *p;

	if (r->err)
		return NULL;
	if (len > r->len - r->at) {
		r->err = -FOG_E_TRUNCATED;
		return NULL;
	}
	p = r->p + r->at;
	r->at += len;
	return p;
}

static uint64_t
get_be(struct reader *r, size_t width)
{
	const unsigned char *p = take(r, width);
	uint64_t v = 0;

	for (size_t i = 0; p && i < width; i++)
		v = v << 8 | p[i];
	return v;
}

uint8_t
get_u8(struct reader *r)
{
	return (uint8_t)get_be(r, 1);
}

uint16_t
get_u16(struct reader *r)
{
	return (uint16_t)get_be(r, 2);
}

uint32_t
get_u32(struct reader *r)
{
	return (uint32_t)get_be(r, 4);
}

uint64_t
get_u64(struct reader *r)
{
	return get_be(r, 8);
}

void
get_raw(struct reader *r, void *out, size_t len)
{
	const unsigned char *p = take(r, len);

	if (p)
		memcpy(out, p, len);
	else
		memset(out, 0, len);
}

struct view
get_view(struct reader *r)
{
	size_t len = get_u16(r);
	const unsigned char *p = take(r, len);

	return p ? view_bytes(p, len) : (struct view){ .p = "", .len = 0 };
}

int
reader_done(const struct reader *r)
{
	if (r->err)
		return r->err;
	return r->at == r->len ? 0 : -FOG_E_TRAILING;
}

bool
list_next(struct view *list, struct view *item)
{
	struct reader r;
	struct view got;

	if (list->len == 0)
		return false;
	reader_init(&r, list->p, list->len);
	got = get_view(&r);
	if (r.err)
		return false;
	*item = got;
	*list = view_bytes(list->p + r.at, list->len - r.at);
	return true;
}

bool
list_check(struct view list, size_t max_items, size_t min_len, size_t max_len)
{
	struct view item;
	size_t n = 0;

	while (list_next(&list, &item)) {
		if (++n > max_items || item.len < min_len || item.len > max_len ||
		    !text_is_clean(item))
			return false;
	}
	return list.len == 0;
}

bool
list_holds(struct view list, struct view wanted)
{
	struct view item;

	while (list_next(&list, &item)) {
		if (view_equal(item, wanted))
			return true;
	}
	return false;
}

bool
text_is_clean(struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}
