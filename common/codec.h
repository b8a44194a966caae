/* SPDX-License-Identifier: MIT */
/*
 * Structs to bytes and back from a description: messages.def, stream.def and config.def all
 * become rows of `struct field`, and this one interpreter checks every bound in both
 * directions. Views in a decoded struct borrow from the record.
 */
#ifndef FOG_CODEC_H
#define FOG_CODEC_H

#include "common/buf.h"

enum field_kind {
	FIELD_u8,
	FIELD_u16,
	FIELD_u32,
	FIELD_u64,
	FIELD_id,     /* struct id128, 16 bytes */
	FIELD_raw32,  /* struct raw32, 32 bytes */
	FIELD_raw768, /* struct raw768, 768 bytes */
	FIELD_str,    /* struct view: clean text */
	FIELD_bytes,  /* struct view: anything */
	FIELD_list,   /* struct view: packed strings */
	FIELD_tail    /* struct view: all that is left of the record, no length in front */
};

struct raw32 {
	unsigned char b[32];
};

struct raw768 {
	unsigned char b[768];
};

typedef uint8_t field_u8;
typedef uint16_t field_u16;
typedef uint32_t field_u32;
typedef uint64_t field_u64;
typedef struct id128 field_id;
typedef struct raw32 field_raw32;
typedef struct raw768 field_raw768;
typedef struct view field_str;
typedef struct view field_bytes;
typedef struct view field_list;
typedef struct view field_tail;

struct field {
	const char *name;
	enum field_kind kind;
	uint16_t offset;
	uint64_t min, max; /* of the value, or of the length in bytes */
};

struct layout {
	const char *name;
	const struct field *fields;
	uint16_t count;
	uint16_t size; /* of the struct */
};

/* Helpers for the tables: a struct member, and its row. */
#define CODEC_MEMBER(type, kind, name, min, max) field_##kind name;
#define CODEC_ROW(type, kind, name, min, max) \
	{ #name, FIELD_##kind, offsetof(type, name), (uint64_t)(min), (uint64_t)(max) },

/* 0, or -FOG_E_BOUNDS; *bad (may be NULL) is set to the field at fault. */
int codec_put(struct writer *w, const struct layout *l, const void *from, const struct field **bad);
/* 0, -FOG_E_TRUNCATED or -FOG_E_BOUNDS. Does not look at what follows the last field. */
int codec_get(struct reader *r, const struct layout *l, void *into, const struct field **bad);
bool codec_is_fixed(const struct layout *l); /* has no view */
/* Mixes the layout into an FNV-1a hash, so that both ends can tell that they agree. */
uint64_t codec_hash(uint64_t seed, const struct layout *l);
uint64_t fnv1a(uint64_t seed, const void *p, size_t len);
#define FNV1A_SEED UINT64_C(0xcbf29ce484222325)

#endif
