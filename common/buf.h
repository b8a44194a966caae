/* SPDX-License-Identifier: MIT */
/*
 * Bounded typed buffers for records. Integers are big-endian, strings carry a u16 length and
 * hold no NUL. A writer never grows past its capacity, a reader never runs past its end; both
 * remember the first error, so that a chain of calls is checked once at its end.
 */
#ifndef FOG_BUF_H
#define FOG_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/id.h"

/* Borrowed bytes; for text not NUL-terminated. Valid while what it points into is. */
struct view {
	const char *p;
	size_t len;
};

/* For printf's "%.*s". */
#define VIEW_ARG(v) (int)(v).len, (v).p ? (v).p : ""

struct view view_of(const char *text); /* NULL reads as empty */
struct view view_bytes(const void *p, size_t len);
bool view_equal(struct view a, struct view b); /* not for secrets */
bool view_is(struct view v, const char *text);
/* For trees: by length, then by bytes. Below, equal to or above 0. */
int view_compare(struct view a, struct view b);
/* Copies with a NUL. -FOG_E_BOUNDS if it does not fit or holds a NUL. */
int view_copy(struct view v, char *out, size_t out_size);

struct writer {
	unsigned char *p;
	size_t len, cap;
	int err; /* 0 or the first -FOG_E_… */
};

struct reader {
	const unsigned char *p;
	size_t len, at;
	int err;
};

void writer_init(struct writer *w, void *storage, size_t cap);
void put_u8(struct writer *w, uint8_t v);
void put_u16(struct writer *w, uint16_t v);
void put_u32(struct writer *w, uint32_t v);
void put_u64(struct writer *w, uint64_t v);
void put_raw(struct writer *w, const void *p, size_t len);
void put_view(struct writer *w, struct view v); /* u16 length, bytes */

void reader_init(struct reader *r, const void *p, size_t len);
uint8_t get_u8(struct reader *r);
uint16_t get_u16(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
void get_raw(struct reader *r, void *out, size_t len);
struct view get_view(struct reader *r); /* borrowed from the record */
/* 0 when all was read without error; -FOG_E_TRAILING when bytes are left over. */
int reader_done(const struct reader *r);

/*
 * A list field is packed views inside one view: u16 length, bytes, and so on.
 * list_next takes the next off the front; false at the end or when the rest is malformed.
 * list_check says whether the whole is well-formed: ≤ max items of min_len..max_len text bytes.
 */
bool list_next(struct view *list, struct view *item);
bool list_check(struct view list, size_t max_items, size_t min_len, size_t max_len);
bool list_holds(struct view list, struct view item);

/* Text without NUL and other C0 controls and DEL; anything valid in a name we log or store. */
bool text_is_clean(struct view v);

#endif
