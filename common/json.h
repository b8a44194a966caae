/* SPDX-License-Identifier: MIT */
/*
 * Strict reading of JSON that a remote sent (RFC 8259; S17): one object, every member once, bounded
 * size and depth, then members into a struct by a table. json.c and nodetoken.c are the only
 * files in common that use jansson; each is an object of its own in the library, which programs that
 * run as root do not pull in.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t; /* jansson's */

/* Nesting that suffices for everything the API reads: {} is 1, {"a":{}} is 2. */
#define JSON_DEPTH_DEFAULT 8

#define JSON_ERROR_MEMBER_SIZE 65
#define JSON_ERROR_MESSAGE_SIZE 256

/* Entries in one JSON_KIND_OBJECT_U32, and bytes in one of its names. */
#define JSON_U32_MAP_MAX 64
#define JSON_U32_NAME_MAX_BYTES 64

/*
 * What was wrong, for the person who sent it. Both texts are printable ASCII whatever was sent, cut
 * at their size. member is empty when the fault belongs to none. Line and column count from 1, the
 * column in characters; offset in bytes; all three are 0 when the fault is not one of syntax.
 */
struct json_error_text {
	unsigned int line, column;
	size_t offset;
	char member[JSON_ERROR_MEMBER_SIZE];
	char text[JSON_ERROR_MESSAGE_SIZE];
};

/*
 * A string of the document: UTF-8, no control characters, NUL-terminated, valid while the object
 * lives.
 */
struct json_str {
	const char *s; /* NULL: the member was absent */
	size_t len;    /* bytes */
};

/* An object of names to numbers, such as latency_ms. Names are not repeated. */
struct json_u32_map {
	size_t count;
	struct json_u32_entry {
		struct json_str name;
		uint32_t value;
	} entries[JSON_U32_MAP_MAX];
};

enum json_kind {
	JSON_KIND_STR,        /* struct json_str;      min, max: length in bytes */
	JSON_KIND_U32,        /* uint32_t;             min, max: the value */
	JSON_KIND_U64,        /* uint64_t;             min, max: the value, at most INT64_MAX */
	JSON_KIND_BOOL,       /* bool;                 min, max unused */
	JSON_KIND_OBJECT_U32, /* struct json_u32_map;  min, max: each value */
};

/*
 * A row of a table: which member goes where. offset is that of the field in the struct to be
 * filled.
 */
struct json_member {
	const char *name;
	enum json_kind kind;
	bool required;
	uint64_t min, max;
	size_t offset;
};

/*
 * Seeds jansson's hash tables from getrandom. Call it before the filter is loaded in every process
 * that uses jansson: left alone, jansson opens /dev/urandom when it makes its
 * first object. A second call does nothing. Returns 0, or -1 with errno.
 */
int json_init(void);

/*
 * Parses len bytes (bounded by the caller) into *out, which the caller gives to json_release.
 * Refused: anything but one object at the top, anything after it, a member named twice at any
 * depth, NUL in any spelling, bad UTF-8, numbers that do not fit, nesting above max_depth. Returns
 * 0, or -1 with *err filled.
 */
int json_parse_strict(const char *bytes, size_t len, unsigned int max_depth, struct json_t **out,
    struct json_error_text *err);
void json_release(struct json_t *obj); /* NULL is fine */

/*
 * Fills fields of the struct at out from the members of obj by the table. A member that is absent
 * and not required leaves its field alone: set the default first. Refused: members that are not in
 * the table, and wrong types, also null and 1.0 for a number; lengths and values outside min..max;
 * strings with control characters (C0, DEL, C1). Returns 0, or -1 with *err filled and out
 * untouched.
 */
int json_read_members(const struct json_t *obj, const struct json_member *table, size_t rows,
    void *out, struct json_error_text *err);

/*
 * The text of one member, to choose the table by; NULL when it is absent or not a string. Valid
 * while obj lives, and unchecked: it is for comparing with constants.
 */
const char *json_peek_str(const struct json_t *obj, const char *name);

/* Whether UTF-8 text holds no control characters: C0, DEL or C1. Does not check the UTF-8. */
bool json_text_is_printable(const char *s, size_t len);

#endif
