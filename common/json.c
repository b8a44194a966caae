/* SPDX-License-Identifier: MIT */
/* Strict reading of JSON on jansson, and members into structs by a table. */
#include "common/json.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/secret.h"

/* What the scanner can track; no caller may ask for more. */
#define SCAN_DEPTH_MAX 64

struct span {
	size_t start, len;
};

/*
 * A walk over the text before jansson sees it, and over the part before an error after it. It knows
 * strings, nesting and member names and nothing else of JSON: on text that is not JSON it finds
 * some place, never reads outside, and jansson refuses the text anyway.
 */
struct scan {
	size_t offset;
	unsigned int depth;
	bool name_next; /* the next string is the name of a member */
	bool is_object[SCAN_DEPTH_MAX + 1];
	struct span
	    names[SCAN_DEPTH_MAX + 1]; /* the member last named at each depth; len 0: none */
	const char *fault;
};

int
json_init(void)
{
	static bool is_seeded; /* as global as jansson's seed is */
	size_t seed = 0;

	if (is_seeded)
		return 0;
	while (seed == 0) {
		if (secret_random(&seed, sizeof(seed)) != 0)
			return -1;
	}
	json_object_seed(seed);
	is_seeded = true;
	return 0;
}

/* Copies len bytes to out, printable ASCII only, cut to size. */
static void
copy_printable(char *out, size_t size, const char *text, size_t len)
{
	size_t n = len < size - 1 ? len : size - 1;

	for (size_t i = 0; i < n; i++)
		out[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
	out[n] = '\0';
}

/* Appends to the text of err; what does not fit is cut. */
__attribute__((format(printf, 2, 3))) static void
say(struct json_error_text *err, const char *format, ...)
{
	size_t used = strlen(err->text);
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(err->text + used, sizeof(err->text) - used, format, ap);
	va_end(ap);
}

/* Returns the offset after the string that opens at offset start; len when it never closes. */
static size_t
scan_string(const char *bytes, size_t len, size_t start)
{
	for (size_t i = start + 1; i < len; i++) {
		if (bytes[i] == '"')
			return i + 1;
		if (bytes[i] == '\\')
			i++;
	}
	return len;
}

static void
scan_open(struct scan *scan, bool is_object, unsigned int max_depth)
{
	if (scan->depth == max_depth) {
		scan->fault = "nested too deeply";
		return;
	}
	scan->depth++;
	scan->is_object[scan->depth] = scan->name_next = is_object;
	scan->names[scan->depth] = (struct span){ 0, 0 };
}

static void
scan_close(struct scan *scan)
{
	if (scan->depth > 0)
		scan->depth--;
	scan->name_next = false;
}

static void
scan_comma(struct scan *scan)
{
	scan->name_next = scan->is_object[scan->depth];
	if (scan->name_next)
		scan->names[scan->depth] = (struct span){ 0, 0 };
}

/* Takes one character outside strings, or one whole string. */
static void
scan_step(struct scan *scan, const char *bytes, size_t len, unsigned int max_depth)
{
	size_t start = scan->offset, next = start + 1;

	switch (bytes[start]) {
	case '{':
	case '[':
		scan_open(scan, bytes[start] == '{', max_depth);
		break;
	case '}':
	case ']':
		scan_close(scan);
		break;
	case ',':
		scan_comma(scan);
		break;
	case '"':
		next = scan_string(bytes, len, start);
		if (scan->name_next && next - start > 2)
			scan->names[scan->depth] = (struct span){ start + 1, next - start - 2 };
		scan->name_next = false;
		break;
	default:
		break;
	}
	if (scan->fault == NULL)
		scan->offset = next;
}

static void
scan_run(struct scan *scan, const char *bytes, size_t len, unsigned int max_depth)
{
	memset(scan, 0, sizeof(*scan));
	while (scan->offset < len && scan->fault == NULL)
		scan_step(scan, bytes, len, max_depth);
}

/* The member that the scan stopped in: the innermost that has a name. */
static struct span
scan_member(const struct scan *scan)
{
	unsigned int depth = scan->depth;

	while (depth > 0 && scan->names[depth].len == 0)
		depth--;
	return scan->names[depth];
}

static void
count_lines(const char *bytes, size_t offset, struct json_error_text *err)
{
	err->line = err->column = 1;
	for (size_t i = 0; i < offset; i++) {
		if (bytes[i] == '\n') {
			err->line++;
			err->column = 1;
		} else if (((unsigned char)bytes[i] & 0xc0) != 0x80) {
			err->column++;
		}
	}
}

static int
fail_at(const char *bytes, const struct scan *scan, const char *fault, struct json_error_text *err)
{
	struct span member = scan_member(scan);

	memset(err, 0, sizeof(*err));
	err->offset = scan->offset;
	count_lines(bytes, scan->offset, err);
	copy_printable(err->member, sizeof(err->member), bytes + member.start, member.len);
	say(err, "line %u, column %u", err->line, err->column);
	if (err->member[0] != '\0')
		say(err, ", at member \"%s\"", err->member);
	say(err, ": %s", fault);
	return -1;
}

/* jansson's own texts quote what was sent, which may be keys that were typed. */
static const char *
jansson_fault(const json_error_t *error)
{
	switch (json_error_code(error)) {
	case json_error_premature_end_of_input:
		return "the text ends too early";
	case json_error_end_of_input_expected:
		return "something follows the object";
	case json_error_duplicate_key:
		return "the member is there twice";
	case json_error_numeric_overflow:
		return "the number is out of range";
	case json_error_invalid_utf8:
		return "not UTF-8";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "NUL is not allowed";
	case json_error_out_of_memory:
		return "out of memory";
	default:
		return "not JSON (RFC 8259)";
	}
}

static int
fail_jansson(const char *bytes, size_t len, const json_error_t *error, struct json_error_text *err)
{
	size_t position = error->position > 0 ? (size_t)error->position : 0;
	struct scan scan;

	scan_run(&scan, bytes, position < len ? position : len, SCAN_DEPTH_MAX);
	return fail_at(bytes, &scan, jansson_fault(error), err);
}

int
json_parse_strict(const char *bytes, size_t len, unsigned int max_depth, struct json_t **out,
    struct json_error_text *err)
{
	const char *nul = memchr(bytes, '\0', len);
	struct scan scan;
	json_error_t error;
	json_t *value;

	/* jansson drops one that follows a number. */
	if (nul != NULL) {
		scan_run(&scan, bytes, (size_t)(nul - bytes), SCAN_DEPTH_MAX);
		return fail_at(bytes, &scan, "NUL is not allowed", err);
	}
	if (max_depth > SCAN_DEPTH_MAX)
		max_depth = SCAN_DEPTH_MAX;
	/* jansson recurses once for each level, up to 2048: refuse before it starts. */
	scan_run(&scan, bytes, len, max_depth);
	if (scan.fault != NULL)
		return fail_at(bytes, &scan, scan.fault, err);
	if (json_init() != 0)
		return fail_at(bytes, &scan, "no randomness", err);
	value = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &error);
	if (value == NULL)
		return fail_jansson(bytes, len, &error, err);
	if (!json_is_object(value)) {
		json_decref(value);
		memset(&scan, 0, sizeof(scan));
		return fail_at(bytes, &scan, "must be an object", err);
	}
	*out = value;
	return 0;
}

void
json_release(struct json_t *obj)
{
	json_decref(obj);
}

bool
json_text_is_printable(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	for (size_t i = 0; i < len; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f)
			return false;
		/* U+0080 to U+009F, C1: a terminal may take U+009B for CSI. */
		if (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0)
			return false;
	}
	return true;
}

/* The readers: 0 and, when field is not NULL, the value in it; or -1. */

static int
read_str(const json_t *value, const struct json_member *member, void *field)
{
	struct json_str str = { json_string_value(value), json_string_length(value) };

	if (str.s == NULL || str.len < member->min || str.len > member->max)
		return -1;
	if (!json_text_is_printable(str.s, str.len))
		return -1;
	if (field != NULL)
		*(struct json_str *)field = str;
	return 0;
}

static int
read_number(const json_t *value, const struct json_member *member, uint64_t *number)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || n < 0)
		return -1;
	if ((uint64_t)n < member->min || (uint64_t)n > member->max)
		return -1;
	*number = (uint64_t)n;
	return 0;
}

static int
read_u64(const json_t *value, const struct json_member *member, void *field)
{
	uint64_t number;

	if (read_number(value, member, &number) != 0)
		return -1;
	if (field != NULL)
		*(uint64_t *)field = number;
	return 0;
}

static int
read_u32(const json_t *value, const struct json_member *member, void *field)
{
	uint64_t number;

	/* A table whose max is too large for the field must not cut numbers short. */
	if (read_number(value, member, &number) != 0 || number > UINT32_MAX)
		return -1;
	if (field != NULL)
		*(uint32_t *)field = (uint32_t)number;
	return 0;
}

static int
read_bool(const json_t *value, const struct json_member *member, void *field)
{
	(void)member;
	if (!json_is_boolean(value))
		return -1;
	if (field != NULL)
		*(bool *)field = json_is_true(value);
	return 0;
}

static int
read_object_u32(const json_t *value, const struct json_member *member, void *field)
{
	struct json_u32_map *map = field;
	struct json_u32_entry entry;
	json_t *object = (json_t *)value, *number;
	const char *name;
	size_t n = 0;

	if (!json_is_object(value) || json_object_size(value) > JSON_U32_MAP_MAX)
		return -1;
	json_object_foreach(object, name, number) {
		entry.name = (struct json_str){ name, strlen(name) };
		if (entry.name.len == 0 || entry.name.len > JSON_U32_NAME_MAX_BYTES)
			return -1;
		if (!json_text_is_printable(name, entry.name.len))
			return -1;
		if (read_u32(number, member, &entry.value) != 0)
			return -1;
		if (map != NULL)
			map->entries[n++] = entry;
	}
	if (map != NULL)
		map->count = n;
	return 0;
}

/* What is right, for the person: before, then "min to max" where after is there, then after. */
static const struct kind {
	int (*read)(const json_t *, const struct json_member *, void *);
	const char *before, *after;
} kinds[] = {
	[JSON_KIND_STR] = { read_str, "a string without control characters, of ", " bytes" },
	[JSON_KIND_U32] = { read_u32, "a whole number from ", "" },
	[JSON_KIND_U64] = { read_u64, "a whole number from ", "" },
	[JSON_KIND_BOOL] = { read_bool, "true or false", NULL },
	[JSON_KIND_OBJECT_U32] = { read_object_u32,
	    "an object of at most 64 names, each of 1 to 64 bytes, and whole numbers from ", "" },
};

_Static_assert(JSON_U32_MAP_MAX == 64 && JSON_U32_NAME_MAX_BYTES == 64, "the text above says 64");

static void
fail_member(struct json_error_text *err, const char *name)
{
	memset(err, 0, sizeof(*err));
	copy_printable(err->member, sizeof(err->member), name, strlen(name));
}

static int
fail_value(struct json_error_text *err, const struct json_member *member)
{
	const struct kind *kind = &kinds[member->kind];

	fail_member(err, member->name);
	say(err, "member \"%s\" must be %s", err->member, kind->before);
	if (kind->after != NULL)
		say(err, "%llu to %llu%s", (unsigned long long)member->min,
		    (unsigned long long)member->max, kind->after);
	return -1;
}

static int
fail_unknown(struct json_error_text *err, const char *name, const struct json_member *table,
    size_t rows)
{
	fail_member(err, name);
	say(err, "unknown member \"%s\"; known:", err->member);
	for (size_t i = 0; i < rows; i++)
		say(err, "%s %s", i == 0 ? "" : ",", table[i].name);
	return -1;
}

static bool
is_known(const char *name, const struct json_member *table, size_t rows)
{
	for (size_t i = 0; i < rows; i++) {
		if (strcmp(table[i].name, name) == 0)
			return true;
	}
	return false;
}

static int
check_members(json_t *obj, const struct json_member *table, size_t rows,
    struct json_error_text *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(obj, name, value) {
		if (!is_known(name, table, rows))
			return fail_unknown(err, name, table, rows);
	}
	for (size_t i = 0; i < rows; i++) {
		value = json_object_get(obj, table[i].name);
		if (value == NULL && table[i].required) {
			fail_member(err, table[i].name);
			say(err, "member \"%s\" is missing", err->member);
			return -1;
		}
		if (value != NULL && kinds[table[i].kind].read(value, &table[i], NULL) != 0)
			return fail_value(err, &table[i]);
	}
	return 0;
}

int
json_read_members(const struct json_t *obj, const struct json_member *table, size_t rows, void *out,
    struct json_error_text *err)
{
	const json_t *value;

	/* First check all, then store, so that a refused object leaves nothing half filled. */
	if (check_members((json_t *)obj, table, rows, err) != 0)
		return -1;
	for (size_t i = 0; i < rows; i++) {
		value = json_object_get(obj, table[i].name);
		if (value != NULL)
			(void)kinds[table[i].kind].read(value, &table[i],
			    (char *)out + table[i].offset);
	}
	return 0;
}

const char *
json_peek_str(const struct json_t *obj, const char *name)
{
	return json_string_value(json_object_get(obj, name));
}
