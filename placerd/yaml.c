/* SPDX-License-Identifier: MIT */
/* The strict YAML reader: libyaml's events, walked along a table of types. */

#include "placerd/yaml.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#define PATH_BYTES 128 /* "profiles[1023].allowed_groups[63]" and the like: made of our own names */
#define WHY_BYTES 384
#define SHOW_BYTES 68    /* a value quoted in a message, cut */
#define TYPO_BYTES 32    /* longer keys get no suggestion */
#define DECIMALS_MAX 18u /* 10^18 fits in 64 bits */

__extension__ typedef unsigned __int128 u128;

/* A map or a list of which some is read. */
struct frame {
	const struct yaml_type *type;
	void *at; /* the struct that a map fills; the list */
	size_t line, path_before;
	size_t items;               /* of a list, so far */
	size_t seen[YAML_KEYS_MAX]; /* of a map: the line on which each key stood, 0: not yet */
};

struct yaml_reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the one being looked at */
	struct frame frames[YAML_DEPTH_MAX];
	size_t depth;
	bool is_begun;
	const struct yaml_type *type;
	void *out;
	const char *file_name;
	const char *bytes;
	size_t len;
	char path[PATH_BYTES];
	size_t path_len;
	char *err;
	size_t err_size;
};

static void vformat_error(char *err, size_t err_size, const char *file_name, size_t line,
    const char *path, const char *fmt, va_list ap) __attribute__((format(printf, 6, 0)));

/* Messages. A message that does not fit is cut: it is for a person, and nothing parses it. */

static void
vformat_error(char *err, size_t err_size, const char *file_name, size_t line, const char *path,
    const char *fmt, va_list ap)
{
	char why[WHY_BYTES];

	(void)vsnprintf(why, sizeof(why), fmt, ap);
	(void)snprintf(err, err_size, "%s:%zu: %s%s%s", file_name, line, path, *path ? ": " : "",
	    why);
}

void
yaml_format_error(char *err, size_t err_size, const char *file_name, size_t line, const char *path,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vformat_error(err, err_size, file_name, line, path, fmt, ap);
	va_end(ap);
}

static int __attribute__((format(printf, 3, 4)))
fail(struct yaml_reader *r, size_t line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vformat_error(r->err, r->err_size, r->file_name, line, r->path, fmt, ap);
	va_end(ap);
	return -1;
}

/* Quotes what the file says, so that it cannot speak to the operator's terminal (S34). */
static const char *
show(char out[SHOW_BYTES], const char *text)
{
	size_t n = 0;

	out[n++] = '"';
	for (; *text && n < SHOW_BYTES - 5; text++)
		out[n++] = *text >= 0x20 && *text < 0x7f ? *text : '?';
	memcpy(out + n, *text ? "...\"" : "\"", *text ? 5 : 2);
	return out;
}

static size_t
event_line(const struct yaml_reader *r)
{
	return r->event.start_mark.line + 1;
}

static size_t
line_at_offset(const struct yaml_reader *r, size_t offset)
{
	size_t line = 1;

	for (size_t i = 0; i < offset && i < r->len; i++)
		line += r->bytes[i] == '\n';
	return line;
}

/* libyaml says "cannot start any token" for the commonest slip; we say tab. */
static bool
line_is_indented_by_tab(const struct yaml_reader *r, size_t line)
{
	size_t i = 0;

	for (size_t at = 1; at < line && i < r->len; i++)
		at += r->bytes[i] == '\n';
	while (i < r->len && r->bytes[i] == ' ')
		i++;
	return i < r->len && r->bytes[i] == '\t';
}

static int
fail_syntax(struct yaml_reader *r)
{
	const yaml_parser_t *p = &r->parser;
	size_t line = p->problem_mark.line + 1;

	if (p->error == YAML_MEMORY_ERROR)
		return fail(r, line, "out of memory");
	if (p->error == YAML_READER_ERROR)
		return fail(r, line_at_offset(r, p->problem_offset),
		    "the file is not plain UTF-8 text (%s)", p->problem);
	if (line_is_indented_by_tab(r, line))
		return fail(r, line, "a tab in the indentation; YAML wants spaces");
	return fail(r, line, "not valid YAML at column %zu: %s%s%s", p->problem_mark.column + 1,
	    p->context ? p->context : "", p->context ? ": " : "", p->problem);
}

static int
fail_kind(struct yaml_reader *r, const char *wanted)
{
	const char *found = "a single value";

	if (r->event.type == YAML_SEQUENCE_START_EVENT)
		found = "a list";
	else if (r->event.type == YAML_MAPPING_START_EVENT)
		found = "a mapping";
	else if (r->event.data.scalar.length == 0)
		found = "nothing";
	return fail(r, event_line(r), "must be %s, but here is %s", wanted, found);
}

/* Events. */

/* The two things that can hang on any node: an anchor, and a tag. */
static int
check_properties(struct yaml_reader *r, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	char shown[SHOW_BYTES];

	if (anchor)
		return fail(r, event_line(r), "an anchor (&) is not allowed: %s",
		    show(shown, (const char *)anchor));
	if (tag)
		return fail(r, event_line(r), "a tag (!) is not allowed: %s",
		    show(shown, (const char *)tag));
	return 0;
}

/* C0, DEL and C1: nothing that we configure has them, and messages and logs repeat these values. */
static bool
has_control(const unsigned char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] == 0x7f)
			return true;
		if (text[i] == 0xc2 && i + 1 < len && text[i + 1] < 0xa0)
			return true;
	}
	return false;
}

static int
check_scalar(struct yaml_reader *r)
{
	const yaml_event_t *e = &r->event;

	if (check_properties(r, e->data.scalar.anchor, NULL) < 0)
		return -1;
	if (e->data.scalar.tag)
		return check_properties(r, NULL, e->data.scalar.tag);
	if (e->start_mark.line != e->end_mark.line)
		return fail(r, event_line(r), "a value must stand on one line");
	if (has_control(e->data.scalar.value, e->data.scalar.length))
		return fail(r, event_line(r), "a value must not have control characters");
	return 0;
}

static int
check_event(struct yaml_reader *r)
{
	const yaml_event_t *e = &r->event;

	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return fail(r, event_line(r), "an alias (*) is not allowed; write the value out");
	case YAML_SCALAR_EVENT:
		return check_scalar(r);
	case YAML_SEQUENCE_START_EVENT:
		return check_properties(r, e->data.sequence_start.anchor,
		    e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return check_properties(r, e->data.mapping_start.anchor, e->data.mapping_start.tag);
	default:
		return 0;
	}
}

static int
next_event(struct yaml_reader *r)
{
	yaml_event_delete(&r->event);
	if (!yaml_parser_parse(&r->parser, &r->event))
		return fail_syntax(r);
	return check_event(r);
}

/* The path of the value being read, for messages. */

static size_t __attribute__((format(printf, 2, 3)))
path_push(struct yaml_reader *r, const char *fmt, ...)
{
	size_t before = r->path_len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->path + before, sizeof(r->path) - before, fmt, ap);
	va_end(ap);
	if (n > 0)
		r->path_len = before + (size_t)n;
	if (r->path_len >= sizeof(r->path))
		r->path_len = sizeof(r->path) - 1;
	return before;
}

static void
path_pop(struct yaml_reader *r, size_t before)
{
	r->path_len = before;
	r->path[before] = '\0';
}

/* Keys. */

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein distance, one row at a time. */
static size_t
edit_distance(const char *a, const char *b)
{
	size_t row[TYPO_BYTES + 1], len = strlen(b);

	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < len; j++) {
			size_t above = row[j + 1];

			row[j + 1] = min3(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
			diagonal = above;
		}
	}
	return row[len];
}

/* The available key that is at most two slips away, or NULL. */
static const char *
nearest_key(const struct yaml_key *keys, const char *text)
{
	const char *nearest = NULL;
	size_t least = 3;

	if (strlen(text) > TYPO_BYTES)
		return NULL;
	for (; keys->name; keys++) {
		size_t distance;

		if (keys->presence == YAML_RESERVED || strlen(keys->name) > TYPO_BYTES)
			continue;
		distance = edit_distance(text, keys->name);
		if (distance < least) {
			least = distance;
			nearest = keys->name;
		}
	}
	return nearest;
}

static int
fail_unknown_key(struct yaml_reader *r, const struct yaml_key *keys, const char *text)
{
	const char *nearest = nearest_key(keys, text);
	char shown[SHOW_BYTES], known[WHY_BYTES / 2];
	size_t n = 0;

	if (strcmp(text, "<<") == 0)
		return fail(r, event_line(r),
		    "a merge key (<<) is not allowed; write the keys out");
	show(shown, text);
	if (nearest)
		return fail(r, event_line(r), "unknown key %s; did you mean \"%s\"?", shown,
		    nearest);
	known[0] = '\0';
	for (; keys->name && n < sizeof(known); keys++) {
		if (keys->presence != YAML_RESERVED)
			n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "",
			    keys->name);
	}
	return fail(r, event_line(r), "unknown key %s; known here: %s", shown, known);
}

static const struct yaml_key *
find_key(const struct yaml_key *keys, const char *text)
{
	for (size_t i = 0; i < YAML_KEYS_MAX && keys[i].name; i++) {
		if (strcmp(keys[i].name, text) == 0)
			return &keys[i];
	}
	return NULL;
}

static int
check_required(struct yaml_reader *r, const struct yaml_key *keys, const size_t *seen, size_t line)
{
	for (size_t i = 0; i < YAML_KEYS_MAX && keys[i].name; i++) {
		if (keys[i].presence == YAML_REQUIRED && !seen[i])
			return fail(r, line, "the key \"%s\" is missing", keys[i].name);
	}
	return 0;
}

/* Values. */

static int
read_scalar(struct yaml_reader *r, const struct yaml_type *type, void *field)
{
	struct yaml_scalar scalar;
	char why[WHY_BYTES];

	if (r->event.type != YAML_SCALAR_EVENT)
		return fail_kind(r, "a single value");
	scalar.text = (const char *)r->event.data.scalar.value;
	scalar.len = r->event.data.scalar.length;
	scalar.line = event_line(r);
	scalar.plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (scalar.plain && scalar.len == 0)
		return fail(r, scalar.line, "has no value");
	if (type->set(type, &scalar, field, why, sizeof(why)) < 0)
		return fail(r, scalar.line, "%s", why);
	return 0;
}

static int
begin_many(struct yaml_reader *r, const struct yaml_type *type, void *field, size_t path_before)
{
	bool is_map = type->kind == YAML_KIND_MAP;

	if (is_map && r->event.type != YAML_MAPPING_START_EVENT)
		return fail_kind(r, "a mapping (key: value)");
	if (!is_map && r->event.type != YAML_SEQUENCE_START_EVENT)
		return fail_kind(r, type->min ? "a list" : "a list ([] for an empty one)");
	if (r->depth == YAML_DEPTH_MAX)
		return fail(r, event_line(r), "is nested too deep");
	r->frames[r->depth++] = (struct frame){ .type = type,
		.at = field,
		.line = event_line(r),
		.path_before = path_before };
	return 0;
}

/* The current event begins it. path_before: where the path ends without it. */
static int
begin_value(struct yaml_reader *r, const struct yaml_type *type, void *field, size_t path_before)
{
	if (type->kind != YAML_KIND_SCALAR)
		return begin_many(r, type, field, path_before);
	if (read_scalar(r, type, field) < 0)
		return -1;
	path_pop(r, path_before);
	return 0;
}

static int
end_many(struct yaml_reader *r)
{
	path_pop(r, r->frames[--r->depth].path_before);
	return 0;
}

/* The current event is the key. */
static int
read_member(struct yaml_reader *r, struct frame *f)
{
	const struct yaml_key *keys = f->type->keys, *key;
	size_t before, *line;

	if (r->event.type != YAML_SCALAR_EVENT)
		return fail(r, event_line(r), "a key must be a word, not a list or a mapping");
	key = find_key(keys, (const char *)r->event.data.scalar.value);
	if (!key)
		return fail_unknown_key(r, keys, (const char *)r->event.data.scalar.value);
	before = path_push(r, "%s%s", r->path_len ? "." : "", key->name);
	if (key->presence == YAML_RESERVED)
		return fail(r, event_line(r), "not available yet in this version; remove the key");
	line = &f->seen[key - keys];
	if (*line)
		return fail(r, event_line(r), "given twice; the first is on line %zu", *line);
	*line = event_line(r);
	if (next_event(r) < 0)
		return -1;
	return begin_value(r, &key->type, (char *)f->at + key->offset, before);
}

static int
read_item(struct yaml_reader *r, struct frame *f)
{
	const struct yaml_type *type = f->type;
	size_t before;
	void *item;

	if (f->items >= type->max)
		return fail(r, event_line(r), "has more than %ju items", (uintmax_t)type->max);
	before = path_push(r, "[%zu]", f->items++);
	item = type->append(f->at);
	if (!item)
		return fail(r, event_line(r), "out of memory");
	return begin_value(r, type->item, item, before);
}

/* The next member or item of what is being read, or its end. */
static int
read_next(struct yaml_reader *r)
{
	struct frame *f = &r->frames[r->depth - 1];

	if (next_event(r) < 0)
		return -1;
	if (f->type->kind == YAML_KIND_MAP) {
		if (r->event.type != YAML_MAPPING_END_EVENT)
			return read_member(r, f);
		return check_required(r, f->type->keys, f->seen, f->line) < 0 ? -1 : end_many(r);
	}
	if (r->event.type != YAML_SEQUENCE_END_EVENT)
		return read_item(r, f);
	if (f->items < f->type->min)
		return fail(r, f->line, "needs at least %ju item%s%s", (uintmax_t)f->type->min,
		    f->type->hint ? ": " : "", f->type->hint ? f->type->hint : "");
	return end_many(r);
}

/* Files. */

static int
begin_document(struct yaml_reader *r)
{
	const yaml_event_t *e = &r->event;

	if (next_event(r) < 0 || next_event(r) < 0)
		return -1;
	if (e->type == YAML_STREAM_END_EVENT)
		return fail(r, 1, "the file is empty");
	if (e->data.document_start.version_directive ||
	    e->data.document_start.tag_directives.start !=
		e->data.document_start.tag_directives.end)
		return fail(r, event_line(r), "directives (%%) are not allowed");
	r->is_begun = true;
	return next_event(r) < 0 ? -1 : begin_value(r, r->type, r->out, 0);
}

static int
end_document(struct yaml_reader *r)
{
	if (next_event(r) < 0 || next_event(r) < 0) /* the end of the document; of the stream */
		return -1;
	if (r->event.type != YAML_STREAM_END_EVENT)
		return fail(r, event_line(r), "a second document is not allowed");
	return 0;
}

struct yaml_reader *
yaml_reader_new(const char *file_name, const void *bytes, size_t len, const struct yaml_type *type,
    void *out, char *err, size_t err_size)
{
	uint64_t most = type->max ? type->max : YAML_FILE_MAX_BYTES;
	struct yaml_reader *r;

	if (len > most) {
		yaml_format_error(err, err_size, file_name, 1, "",
		    "the file has %zu bytes; at most %ju are read", len, (uintmax_t)most);
		return NULL;
	}
	r = calloc(1, sizeof(*r));
	if (!r || !yaml_parser_initialize(&r->parser)) {
		yaml_format_error(err, err_size, file_name, 1, "", "out of memory");
		free(r);
		return NULL;
	}
	r->file_name = file_name;
	r->bytes = bytes;
	r->len = len;
	r->type = type;
	r->out = out;
	r->err = err;
	r->err_size = err_size;
	/* Said, not guessed: otherwise a byte order mark would switch to UTF-16. */
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, bytes, len);
	return r;
}

void
yaml_reader_free(struct yaml_reader *r)
{
	if (!r)
		return;
	yaml_event_delete(&r->event);
	yaml_parser_delete(&r->parser);
	free(r);
}

int
yaml_reader_go_on(struct yaml_reader *r, size_t members)
{
	if (!r->is_begun && begin_document(r) < 0)
		return -1;
	for (; r->depth > 0; members--) {
		if (members == 0)
			return 1;
		if (read_next(r) < 0)
			return -1;
	}
	return end_document(r);
}

int
yaml_read(const char *file_name, const void *bytes, size_t len, const struct yaml_type *type,
    void *out, char *err, size_t err_size)
{
	struct yaml_reader *r = yaml_reader_new(file_name, bytes, len, type, out, err, err_size);
	int rc = r ? yaml_reader_go_on(r, SIZE_MAX) : -1;

	yaml_reader_free(r);
	return rc;
}

/* Setters. */

/* False on an empty text, a leading zero (octal to some), anything but digits, or overflow. */
static bool
parse_u32(const char *text, uint32_t *value)
{
	uint64_t v = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return false;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			return false;
		v = v * 10 + (uint64_t)(*text - '0');
		if (v > UINT32_MAX)
			return false;
	}
	*value = (uint32_t)v;
	return true;
}

int
yaml_set_u32(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	char shown[SHOW_BYTES];
	uint32_t value;
	bool good = parse_u32(scalar->text, &value);

	if (good && scalar->plain && value >= type->min && value <= type->max) {
		*(uint32_t *)field = value;
		return 0;
	}
	if (good && !scalar->plain)
		(void)snprintf(why, why_size, "is text in quotes; write %s", scalar->text);
	else
		(void)snprintf(why, why_size, "%s is not a whole number from %ju to %ju",
		    show(shown, scalar->text), (uintmax_t)type->min, (uintmax_t)type->max);
	return -1;
}

/* Would some YAML reader take this, unquoted, for null, a truth value, a number or a date? */
static bool
is_ambiguous(const char *text)
{
	static const char *const words[] = { "~", "null", "true", "false", "yes", "no", "on", "off",
		"y", "n", ".inf", "-.inf", "+.inf", ".nan" };
	char *end;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i]) == 0)
			return true;
	}
	if (text[strspn(text, "0123456789_:.,+-")] == '\0')
		return true;
	if (text[0] == '0' && (text[1] == 'o' || text[1] == 'b') && isdigit((unsigned char)text[2]))
		return true;
	(void)strtod(text, &end);
	return isdigit((unsigned char)text[strspn(text, "+-.")]) && *end == '\0';
}

int
yaml_set_string(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field,
    char *why, size_t why_size)
{
	char shown[SHOW_BYTES], *copy;

	if (scalar->len < type->min || scalar->len > type->max) {
		(void)snprintf(why, why_size, "%s has %zu bytes; allowed are %ju to %ju",
		    show(shown, scalar->text), scalar->len, (uintmax_t)type->min,
		    (uintmax_t)type->max);
		return -1;
	}
	if (scalar->plain && is_ambiguous(scalar->text)) {
		(void)snprintf(why, why_size, "must be text; write %s with the quotes",
		    show(shown, scalar->text));
		return -1;
	}
	copy = strdup(scalar->text);
	if (!copy) {
		(void)snprintf(why, why_size, "out of memory");
		return -1;
	}
	*(char **)field = copy;
	return 0;
}

/* Quantities. */

enum quantity_result { QUANTITY_GOOD, QUANTITY_SYNTAX, QUANTITY_TOO_FINE, QUANTITY_TOO_LARGE };

struct quantity_unit {
	uint64_t per_one;     /* how many units the plain number 1 means */
	const char *name;     /* of one unit */
	const char *examples; /* when the text gives no better idea */
};

static const struct quantity_unit unit_cpu = { 1000, "a thousandth of a CPU (1m)", "500m or 0.5" };
static const struct quantity_unit unit_bytes = { 1, "a byte", "512Mi or 512M" };

static const struct quantity_suffix {
	const char *text;
	uint64_t multiplier, divisor;
} suffixes[] = {
	{ "", 1, 1 },
	{ "m", 1, 1000 },
	{ "k", UINT64_C(1000), 1 },
	{ "M", UINT64_C(1000000), 1 },
	{ "G", UINT64_C(1000000000), 1 },
	{ "T", UINT64_C(1000000000000), 1 },
	{ "Ki", UINT64_C(1) << 10, 1 },
	{ "Mi", UINT64_C(1) << 20, 1 },
	{ "Gi", UINT64_C(1) << 30, 1 },
	{ "Ti", UINT64_C(1) << 40, 1 },
};

static const struct quantity_suffix *
find_suffix(const char *text)
{
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (strcmp(suffixes[i].text, text) == 0)
			return &suffixes[i];
	}
	return NULL;
}

/* Digits with at most one point, as mantissa and power of ten; *text moves behind them. */
static enum quantity_result
parse_number(const char **text, uint64_t *mantissa, uint64_t *power)
{
	unsigned int digits = 0, decimals = 0;
	bool point = false;

	*mantissa = 0;
	*power = 1;
	for (; isdigit((unsigned char)**text) || (**text == '.' && !point); ++*text) {
		if (**text == '.') {
			point = true;
			continue;
		}
		digits++;
		if (__builtin_mul_overflow(*mantissa, 10, mantissa) ||
		    __builtin_add_overflow(*mantissa, (uint64_t)(**text - '0'), mantissa))
			return QUANTITY_TOO_LARGE;
		if (!point)
			continue;
		if (++decimals > DECIMALS_MAX)
			return QUANTITY_TOO_FINE;
		*power *= 10;
	}
	return digits ? QUANTITY_GOOD : QUANTITY_SYNTAX;
}

static enum quantity_result
parse_quantity(const char *text, const struct quantity_unit *unit, uint64_t *value)
{
	const struct quantity_suffix *suffix;
	enum quantity_result result;
	uint64_t mantissa, power;
	u128 dividend, divisor;

	result = parse_number(&text, &mantissa, &power);
	if (result != QUANTITY_GOOD)
		return result;
	suffix = find_suffix(text);
	if (!suffix)
		return QUANTITY_SYNTAX;
	/* 64 bits by at most 2^40 by 1000, and 10^18 by 1000: neither reaches 128 bits. */
	dividend = (u128)mantissa * suffix->multiplier * unit->per_one;
	divisor = (u128)power * suffix->divisor;
	if (dividend % divisor != 0)
		return QUANTITY_TOO_FINE;
	if (dividend / divisor > UINT64_MAX)
		return QUANTITY_TOO_LARGE;
	*value = (uint64_t)(dividend / divisor);
	return QUANTITY_GOOD;
}

/* "512MB", "512 mb": the number and the letter are clear enough to say what would be right. */
static void
explain_syntax(const char *text, const struct quantity_unit *unit, char *why, size_t why_size)
{
	const char *number = text, *rest = text + strspn(text, "0123456789.");
	char shown[SHOW_BYTES], letter;

	letter = (char)toupper((unsigned char)rest[strspn(rest, " ")]);
	show(shown, text);
	if (unit->per_one == 1 && rest != text && rest - text < 20 && letter &&
	    strchr("KMGT", letter))
		(void)snprintf(why, why_size, "%s is not a quantity; write %.*s%ci or %.*s%c",
		    shown, (int)(rest - text), number, letter, (int)(rest - text), number,
		    letter == 'K' ? 'k' : letter);
	else
		(void)snprintf(why, why_size, "%s is not a quantity; write for example %s", shown,
		    unit->examples);
}

/* A bound as one would write it: in the largest suffix that leaves a whole number. */
static void
format_quantity(char *out, size_t out_size, uint64_t value, const struct quantity_unit *unit)
{
	size_t best = 0;

	if (value % unit->per_one != 0) {
		(void)snprintf(out, out_size, "%jum", (uintmax_t)value);
		return;
	}
	value /= unit->per_one;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (unit->per_one == 1 && suffixes[i].divisor == 1 &&
		    value >= suffixes[i].multiplier && value % suffixes[i].multiplier == 0 &&
		    suffixes[i].multiplier >= suffixes[best].multiplier)
			best = i;
	}
	(void)snprintf(out, out_size, "%ju%s", (uintmax_t)(value / suffixes[best].multiplier),
	    suffixes[best].text);
}

static int
set_quantity(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size, const struct quantity_unit *unit)
{
	char shown[SHOW_BYTES], least[32], most[32];
	enum quantity_result result;
	uint64_t value = 0;

	result = parse_quantity(scalar->text, unit, &value);
	if (result == QUANTITY_GOOD && value >= type->min && value <= type->max) {
		*(uint64_t *)field = value;
		return 0;
	}
	if (result == QUANTITY_SYNTAX) {
		explain_syntax(scalar->text, unit, why, why_size);
		return -1;
	}
	show(shown, scalar->text);
	format_quantity(least, sizeof(least), type->min, unit);
	format_quantity(most, sizeof(most), type->max, unit);
	if (result == QUANTITY_TOO_FINE)
		(void)snprintf(why, why_size, "%s is finer than %s", shown, unit->name);
	else
		(void)snprintf(why, why_size, "%s is out of bounds; allowed are %s to %s", shown,
		    least, most);
	return -1;
}

int
yaml_set_cpu(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	return set_quantity(type, scalar, field, why, why_size, &unit_cpu);
}

int
yaml_set_bytes(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field,
    char *why, size_t why_size)
{
	return set_quantity(type, scalar, field, why, why_size, &unit_bytes);
}
