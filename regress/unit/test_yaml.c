/* SPDX-License-Identifier: MIT */
/* The strict YAML reader, against a table of its own. */
/* links: placerd/yaml.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "placerd/yaml.h"

#define WORDS_MAX 3

struct words {
	char *words[WORDS_MAX];
	size_t count;
};

struct thing {
	uint32_t size;
	char *label;
	struct words words;
	uint64_t cpu_milli;
	uint64_t bytes;
};

static void *
append_word(void *list)
{
	struct words *words = list;

	return words->count < WORDS_MAX ? &words->words[words->count++] : NULL;
}

static const struct yaml_type word_type = { .kind = YAML_KIND_SCALAR,
	.min = 1,
	.max = 8,
	.set = yaml_set_string };

/* clang-format off */
static const struct yaml_key thing_keys[] = {
	{ "size", YAML_REQUIRED, offsetof(struct thing, size),
	  { .kind = YAML_KIND_SCALAR, .min = 1, .max = 50, .set = yaml_set_u32 } },
	{ "label", YAML_OPTIONAL, offsetof(struct thing, label),
	  { .kind = YAML_KIND_SCALAR, .min = 0, .max = 16, .set = yaml_set_string } },
	{ "words", YAML_OPTIONAL, offsetof(struct thing, words),
	  { .kind = YAML_KIND_LIST, .min = 1, .max = WORDS_MAX, .append = append_word,
	    .item = &word_type } },
	{ "cpu", YAML_OPTIONAL, offsetof(struct thing, cpu_milli),
	  { .kind = YAML_KIND_SCALAR, .min = 1, .max = 64000, .set = yaml_set_cpu } },
	{ "bytes", YAML_OPTIONAL, offsetof(struct thing, bytes),
	  { .kind = YAML_KIND_SCALAR, .min = 0, .max = UINT64_MAX, .set = yaml_set_bytes } },
	{ "colour", YAML_RESERVED, 0, { 0 } },
	{ 0 }
};
/* clang-format on */

static const struct yaml_type thing_type = { .kind = YAML_KIND_MAP, .keys = thing_keys };

static int
read_thing(const char *text, size_t len, struct thing *thing, char err[YAML_ERROR_BYTES])
{
	memset(thing, 0, sizeof(*thing));
	err[0] = '\0';
	return yaml_read("t.yaml", text, len, &thing_type, thing, err, YAML_ERROR_BYTES);
}

static void
thing_fini(struct thing *thing)
{
	free(thing->label);
	for (size_t i = 0; i < thing->words.count; i++)
		free(thing->words.words[i]);
}

/* Exactly this line, and the phrase somewhere behind it. */
static void
assert_error(const char *err, const char *file, size_t line, const char *phrase)
{
	char start[64];

	(void)snprintf(start, sizeof(start), "%s:%zu: ", file, line);
	if (strncmp(err, start, strlen(start)) != 0 || !strstr(err, phrase))
		fail_msg("\"%s\" is not \"%s... %s\"", err, start, phrase);
}

static void
test_good(void **state)
{
	static const struct {
		const char *text;
		uint32_t size;
		const char *label;
		size_t words;
	} rows[] = {
		{ "size: 3\n", 3, NULL, 0 },
		{ "size: 50", 50, NULL, 0 },
		{ "---\nsize: 1\n...\n", 1, NULL, 0 },
		{ "# nothing\n\nsize: 1 # one\n", 1, NULL, 0 },
		{ "size: 1\r\nlabel: a b\r\n", 1, "a b", 0 },
		{ "\xef\xbb\xbfsize: 1\n", 1, NULL, 0 },
		{ "{size: 2, label: x}", 2, "x", 0 },
		{ "{\"size\": 2, \"label\": \"x\"}", 2, "x", 0 },
		{ "size: 1\nlabel: \"1000\"\n", 1, "1000", 0 },
		{ "size: 1\nlabel: 'yes'\n", 1, "yes", 0 },
		{ "size: 1\nlabel: ''\n", 1, "", 0 },
		{ "size: 1\nlabel: 1x\n", 1, "1x", 0 },
		{ "size: 1\nlabel: infra\n", 1, "infra", 0 },
		{ "size: 1\nlabel: inf\n", 1, "inf", 0 },
		{ "size: 1\nlabel: Gr\xc3\xb6\xc3\x9f\x65\n", 1, "Gr\xc3\xb6\xc3\x9f\x65", 0 },
		{ "size: 1\nlabel: a\nwords: [a, b, 'c']\n", 1, "a", 3 },
		{ "size: 1\nwords:\n  - a\n  - b\n", 1, NULL, 2 },
		{ "size: 1\nwords:\n- a\n", 1, NULL, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char err[YAML_ERROR_BYTES];
		struct thing thing;

		if (read_thing(rows[i].text, strlen(rows[i].text), &thing, err) != 0)
			fail_msg("row %zu: %s", i, err);
		assert_int_equal(thing.size, rows[i].size);
		assert_int_equal(thing.words.count, rows[i].words);
		assert_int_equal(thing.label == NULL, rows[i].label == NULL);
		if (rows[i].label)
			assert_string_equal(thing.label, rows[i].label);
		thing_fini(&thing);
	}
}

static const struct {
	const char *text;
	size_t line;
	const char *phrase;
} bad_rows[] = {
	/* Documents */
	{ "", 1, "the file is empty" },
	{ "# only words\n\n", 1, "the file is empty" },
	{ "---\n...\n", 2, "must be a mapping (key: value), but here is nothing" },
	{ "size: 1\n---\nsize: 2\n", 2, "a second document" },
	{ "size: 1\n...\nsize: 2\n", 3, "did not find expected <document start>" },
	{ "%YAML 1.1\n---\nsize: 1\n", 1, "directives (%) are not allowed" },
	{ "%TAG !e! tag:example.org,2000:\n---\nsize: 1\n", 1, "directives (%) are not allowed" },
	{ "- size: 1\n", 1, "must be a mapping (key: value), but here is a list" },
	{ "\nsize\n", 2, "must be a mapping (key: value), but here is a single value" },
	/* Syntax */
	{ "size: 1\nlabel: \"x\n", 3,
	    "not valid YAML at column 1: while scanning a quoted scalar" },
	{ "size: 1\n\tlabel: x\n", 2, "a tab in the indentation; YAML wants spaces" },
	{ "size: 1\nwords:\n  \t- a\n", 3, "a tab in the indentation" },
	{ "size: 1\nlabel: a: b\n", 2, "mapping values are not allowed" },
	{ "size: 1\nlabel: @x\n", 2, "cannot start any token" },
	{ "size: 1\n  label: x\n", 1, "size: a value must stand on one line" },
	{ "size: 1\nwords: [a, b\n", 3, "not valid YAML" },
	{ "size: 1\nlabel: \xff\n", 2, "not plain UTF-8 text" },
	{ "size: 1\nlabel: \xc0\xaf\n", 2, "not plain UTF-8 text" },
	{ "size: 1\nlabel: \xed\xa0\x80\n", 2, "not plain UTF-8 text" },
	{ "size: 1\n\nlabel: \x1b[2J\n", 3, "not plain UTF-8 text" },
	/* What YAML has, and we have not */
	{ "size: &a 1\n", 1, "an anchor (&) is not allowed: \"a\"" },
	{ "size: 1\nlabel: *a\n", 2, "an alias (*) is not allowed" },
	{ "size: 1\nwords: &w [a]\n", 2, "words: an anchor (&) is not allowed: \"w\"" },
	{ "&m size: 1\n", 1, "an anchor (&) is not allowed" },
	{ "--- &m\nsize: 1\n", 1, "an anchor (&) is not allowed" },
	{ "size: !!int 1\n", 1, "a tag (!) is not allowed: \"tag:yaml.org,2002:int\"" },
	{ "size: 1\nlabel: ! x\n", 2, "a tag (!) is not allowed" },
	{ "size: 1\nwords: !!seq [a]\n", 2, "a tag (!) is not allowed" },
	{ "!!map {size: 1}\n", 1, "a tag (!) is not allowed" },
	{ "size: 1\n<<: {label: x}\n", 2, "a merge key (<<) is not allowed" },
	{ "size: 1\nlabel: a\n  b\n", 2, "must stand on one line" },
	{ "size: 1\nlabel: |\n  a\n", 2, "must stand on one line" },
	{ "size: 1\nlabel: >-\n  a\n", 2, "must stand on one line" },
	{ "size: 1\nlabel: 'a\n  b'\n", 2, "must stand on one line" },
	/* Keys */
	{ "label: x\n", 1, "the key \"size\" is missing" },
	{ "{}", 1, "the key \"size\" is missing" },
	{ "size: 1\nsise: 1\n", 2, "unknown key \"sise\"; did you mean \"size\"?" },
	{ "size: 1\nWords: [a]\n", 2, "did you mean \"words\"?" },
	{ "size: 1\nwieght: 1\n", 2,
	    "unknown key \"wieght\"; known here: size, label, words, cpu, bytes" },
	{ "size: 1\n? [a]\n: b\n", 2, "a key must be a word" },
	{ "size: 1\n{a: b}: c\n", 2, "a key must be a word" },
	{ "size: 1\n: c\n", 2, "did not find expected key" },
	{ "size: 1\n\"\": c\n", 2, "unknown key \"\"; known here: size" },
	{ "size: 1\n\"\\x1b[2J\": c\n", 2, "must not have control characters" },
	{ "size: 1\n\"a\\0b\": c\n", 2, "must not have control characters" },
	{ "size: 1\nlabel: x\n\nsize: 2\n", 4, "size: given twice; the first is on line 1" },
	{ "size: 1\nlabel: x\n\"label\": y\n", 3, "label: given twice; the first is on line 2" },
	{ "size: 1\ncolour: red\n", 2, "colour: not available yet in this version" },
	{ "size: 1\ncolor: red\n", 2, "known here: size, label, words, cpu, bytes" },
	{ "size: 1\na_key_that_is_longer_than_any_that_we_have_and_goes_on_and_on_and_on: 1\n", 2,
	    "_goes_on_and_on_...\"; known here: size, " },
	/* Kinds */
	{ "size: [1]\n", 1, "size: must be a single value, but here is a list" },
	{ "size:\n  a: 1\n", 2, "size: must be a single value, but here is a mapping" },
	{ "size: 1\nwords: a\n", 2, "words: must be a list, but here is a single value" },
	{ "size: 1\nwords:\n", 2, "words: must be a list, but here is nothing" },
	{ "size: 1\nwords: []\n", 2, "words: needs at least 1 item" },
	{ "size: 1\nwords:\n - a\n - b\n - c\n - d\n", 6, "words: has more than 3 items" },
	{ "size: 1\nwords:\n - a\n - [b]\n", 4,
	    "words[1]: must be a single value, but here is a list" },
	{ "size: 1\nwords: [[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]\n", 2,
	    "words[0]: must be a single value" },
	{ "size: 1\nlabel:\n", 2, "label: has no value" },
	/* Numbers */
	{ "size:\n", 1, "size: has no value" },
	{ "size: \"3\"\n", 1, "size: is text in quotes; write 3" },
	{ "size: '3'\n", 1, "size: is text in quotes; write 3" },
	{ "size: 0\n", 1, "\"0\" is not a whole number from 1 to 50" },
	{ "size: 51\n", 1, "\"51\" is not a whole number from 1 to 50" },
	{ "size: 0x3\n", 1, "\"0x3\" is not a whole number" },
	{ "size: 03\n", 1, "\"03\" is not a whole number" },
	{ "size: 0o3\n", 1, "\"0o3\" is not a whole number" },
	{ "size: +3\n", 1, "\"+3\" is not a whole number" },
	{ "size: -3\n", 1, "\"-3\" is not a whole number" },
	{ "size: 3.0\n", 1, "\"3.0\" is not a whole number" },
	{ "size: 3e0\n", 1, "\"3e0\" is not a whole number" },
	{ "size: 1_0\n", 1, "\"1_0\" is not a whole number" },
	{ "size: 1:30\n", 1, "\"1:30\" is not a whole number" },
	{ "size: yes\n", 1, "\"yes\" is not a whole number" },
	{ "size: ~\n", 1, "\"~\" is not a whole number" },
	{ "size: \"\"\n", 1, "\"\" is not a whole number" },
	{ "size: \xd9\xa3\n", 1, "\"?\?\" is not a whole number" },
	{ "size: 4294967297\n", 1, "is not a whole number from 1 to 50" },
	{ "size: 18446744073709551617\n", 1, "is not a whole number from 1 to 50" },
	/* Texts */
	{ "size: 1\nlabel: 12345678901234567\n", 2, "has 17 bytes; allowed are 0 to 16" },
	{ "size: 1\nwords: [aaaaaaaaa]\n", 2,
	    "words[0]: \"aaaaaaaaa\" has 9 bytes; allowed are 1 to 8" },
	{ "size: 1\nwords: [a, '']\n", 2, "words[1]: \"\" has 0 bytes" },
	{ "size: 1\nlabel: 1000\n", 2, "must be text; write \"1000\" with the quotes" },
	{ "size: 1\nlabel: 1e3\n", 2, "must be text; write \"1e3\"" },
	{ "size: 1\nlabel: 0x1f\n", 2, "must be text" },
	{ "size: 1\nlabel: 0o17\n", 2, "must be text" },
	{ "size: 1\nlabel: 1_000\n", 2, "must be text" },
	{ "size: 1\nlabel: 12:30:45\n", 2, "must be text" },
	{ "size: 1\nlabel: 2026-11-22\n", 2, "must be text" },
	{ "size: 1\nlabel: -.5\n", 2, "must be text" },
	{ "size: 1\nlabel: .NaN\n", 2, "must be text" },
	{ "size: 1\nlabel: -.inf\n", 2, "must be text" },
	{ "size: 1\nlabel: No\n", 2, "must be text" },
	{ "size: 1\nlabel: null\n", 2, "must be text" },
	{ "size: 1\nlabel: ~\n", 2, "must be text" },
	{ "size: 1\nlabel: \"a\\0b\"\n", 2, "label: a value must not have control characters" },
	{ "size: 1\nlabel: \"a\\tb\"\n", 2, "must not have control characters" },
	{ "size: 1\nlabel: \"a\\x7fb\"\n", 2, "must not have control characters" },
	{ "size: 1\nlabel: \"a\\x9bb\"\n", 2, "must not have control characters" },
};

static void
test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad_rows); i++) {
		char err[YAML_ERROR_BYTES];
		struct thing thing;

		if (read_thing(bad_rows[i].text, strlen(bad_rows[i].text), &thing, err) == 0)
			fail_msg("row %zu was taken: %s", i, bad_rows[i].text);
		assert_error(err, "t.yaml", bad_rows[i].line, bad_rows[i].phrase);
		thing_fini(&thing);
	}
}

/* A NUL ends no file: what stands behind it counts. */
static void
test_nul_in_file(void **state)
{
	static const char text[] = "size: 1\n\0label: x\n";
	char err[YAML_ERROR_BYTES];
	struct thing thing;

	(void)state;
	assert_int_equal(read_thing(text, sizeof(text) - 1, &thing, err), -1);
	assert_error(err, "t.yaml", 2, "not plain UTF-8 text");
	thing_fini(&thing);
}

/* A byte order mark must not make another encoding of it. */
static void
test_utf16(void **state)
{
	static const char text[] = "\xff\xfes\0i\0z\0e\0:\0 \0001\0\n";
	char err[YAML_ERROR_BYTES];
	struct thing thing;

	(void)state;
	assert_int_equal(read_thing(text, sizeof(text), &thing, err), -1);
	assert_error(err, "t.yaml", 1, "not plain UTF-8 text");
	thing_fini(&thing);
}

/* size: 1, then a comment that fills the file up to len bytes. */
static int
read_padded(size_t len, char err[YAML_ERROR_BYTES])
{
	char *text = malloc(len);
	struct thing thing;
	int rc;

	assert_non_null(text);
	memset(text, '#', len);
	text[snprintf(text, len, "size: 1 ")] = '#'; /* over its NUL */
	rc = read_thing(text, len, &thing, err);
	free(text);
	thing_fini(&thing);
	return rc;
}

static void
test_file_size(void **state)
{
	char err[YAML_ERROR_BYTES];

	(void)state;
	assert_int_equal(read_padded(YAML_FILE_MAX_BYTES, err), 0);
	assert_int_equal(read_padded(YAML_FILE_MAX_BYTES + 1, err), -1);
	assert_error(err, "t.yaml", 1, "the file has 2097153 bytes; at most 2097152 are read");
}

/* Nesting ends with the table, not with the stack or the patience of the parser. */
static void
test_depth(void **state)
{
	static const char *const openers[] = { "[", "{a: ", "- ", "? " };
	char err[YAML_ERROR_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(openers); i++) {
		size_t step = strlen(openers[i]), len = YAML_FILE_MAX_BYTES / step * step;
		char *text = malloc(len);
		struct thing thing;

		assert_non_null(text);
		for (size_t at = 0; at < len; at += step)
			memcpy(text + at, openers[i], step);
		assert_int_equal(read_thing(text, len, &thing, err), -1);
		assert_error(err, "t.yaml", 1, "");
		free(text);
		thing_fini(&thing);
	}
}

/* "NAME:LINE: message", where the line counts from 1 and the message is not empty. */
static bool
names_a_line(const char *err, const char *start)
{
	char *end;

	if (strncmp(err, start, strlen(start)) != 0)
		return false;
	return strtoul(err + strlen(start), &end, 10) > 0 && strncmp(end, ": ", 2) == 0 && end[2];
}

static void
test_truncated(void **state)
{
	static const char text[] = "# one\nsize: 12\nlabel: \"a \xc3\xb6\"\nwords:\n  - 'x'\n"
				   "  - y\ncpu: 1.5\nbytes: \"2Ki\"\n";

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		char err[YAML_ERROR_BYTES], *copy = malloc(len ? len : 1);
		struct thing thing;

		assert_non_null(copy);
		memcpy(copy, text, len); /* of exactly that size, so that reading on is seen */
		if (read_thing(copy, len, &thing, err) == 0)
			assert_int_equal(thing.size == 12 || thing.size == 1, 1);
		else if (!names_a_line(err, "t.yaml:"))
			fail_msg("%zu bytes: %s", len, err);
		free(copy);
		thing_fini(&thing);
	}
}

/* A buffer of any size gets a terminated message. */
static void
test_short_message(void **state)
{
	(void)state;
	for (size_t size = 1; size < 40; size++) {
		char err[40];
		struct thing thing = { 0 };

		memset(err, 'x', sizeof(err));
		assert_int_equal(yaml_read("t.yaml", "size: 0", 7, &thing_type, &thing, err, size),
		    -1);
		assert_int_equal(strlen(err), size - 1);
	}
}

static const struct quantity_row {
	yaml_set_fn *set;
	const char *text;
	bool good;
	uint64_t value;
	const char *why;
} quantity_rows[] = {
	{ yaml_set_cpu, "500m", true, 500, NULL },
	{ yaml_set_cpu, "2", true, 2000, NULL },
	{ yaml_set_cpu, "0.5", true, 500, NULL },
	{ yaml_set_cpu, ".5", true, 500, NULL },
	{ yaml_set_cpu, "5.", true, 5000, NULL },
	{ yaml_set_cpu, "007", true, 7000, NULL },
	{ yaml_set_cpu, "0.001", true, 1, NULL },
	{ yaml_set_cpu, "0.0010000", true, 1, NULL },
	{ yaml_set_cpu, "1500.0m", true, 1500, NULL },
	{ yaml_set_cpu, "0.064k", true, 64000, NULL },
	{ yaml_set_cpu, "64", true, 64000, NULL },
	{ yaml_set_cpu, "64.001", false, 0, "out of bounds; allowed are 1m to 64" },
	{ yaml_set_cpu, "0", false, 0, "out of bounds; allowed are 1m to 64" },
	{ yaml_set_cpu, "0.0005", false, 0, "\"0.0005\" is finer than a thousandth of a CPU" },
	{ yaml_set_cpu, "0.5m", false, 0, "finer than" },
	{ yaml_set_cpu, "500M", false, 0, "out of bounds" },
	{ yaml_set_cpu, "", false, 0, "\"\" is not a quantity; write for example 500m or 0.5" },
	{ yaml_set_cpu, ".", false, 0, "is not a quantity" },
	{ yaml_set_cpu, "m", false, 0, "is not a quantity" },
	{ yaml_set_cpu, "1.2.3", false, 0, "is not a quantity" },
	{ yaml_set_cpu, "-1", false, 0, "is not a quantity" },
	{ yaml_set_cpu, "+1", false, 0, "is not a quantity" },
	{ yaml_set_cpu, " 1", false, 0, "is not a quantity" },
	{ yaml_set_cpu, "1 ", false, 0, "is not a quantity" },
	{ yaml_set_cpu, "0,5", false, 0, "is not a quantity" },
	{ yaml_set_cpu, "0x10", false, 0, "is not a quantity" },
	{ yaml_set_cpu, "1e3", false, 0, "is not a quantity" },
	{ yaml_set_cpu, "500n", false, 0, "is not a quantity" },
	{ yaml_set_cpu, "2 cores", false, 0, "is not a quantity; write for example 500m or 0.5" },
	{ yaml_set_bytes, "0", true, 0, NULL },
	{ yaml_set_bytes, "512Mi", true, UINT64_C(512) << 20, NULL },
	{ yaml_set_bytes, "512M", true, 512000000, NULL },
	{ yaml_set_bytes, "1Ki", true, 1024, NULL },
	{ yaml_set_bytes, "1k", true, 1000, NULL },
	{ yaml_set_bytes, "1.5Gi", true, UINT64_C(3) << 29, NULL },
	{ yaml_set_bytes, "3G", true, UINT64_C(3000000000), NULL },
	{ yaml_set_bytes, "2Ti", true, UINT64_C(2) << 40, NULL },
	{ yaml_set_bytes, "2T", true, UINT64_C(2000000000000), NULL },
	{ yaml_set_bytes, "8000m", true, 8, NULL },
	{ yaml_set_bytes, "0.0009765625Ki", true, 1, NULL },
	{ yaml_set_bytes, "1.000000000000000000", true, 1, NULL },
	{ yaml_set_bytes, "18446744073709551615", true, UINT64_MAX, NULL },
	{ yaml_set_bytes, "16777215.999Ti", false, 0, "finer than a byte" },
	{ yaml_set_bytes, "16777215.5Ti", true, UINT64_MAX - (UINT64_C(1) << 39) + 1, NULL },
	{ yaml_set_bytes, "16777216Ti", false, 0, "out of bounds; allowed are 0 to" },
	{ yaml_set_bytes, "18446744073709551616", false, 0, "out of bounds" },
	{ yaml_set_bytes, "18446744073709551615Ti", false, 0, "out of bounds" },
	{ yaml_set_bytes, "99999999999999999999999999999999", false, 0, "out of bounds" },
	{ yaml_set_bytes, "0.0000000000000000000000000000001Ti", false, 0, "finer than a byte" },
	{ yaml_set_bytes, "100m", false, 0, "\"100m\" is finer than a byte" },
	{ yaml_set_bytes, "1.5", false, 0, "finer than a byte" },
	{ yaml_set_bytes, "512MB", false, 0, "is not a quantity; write 512Mi or 512M" },
	{ yaml_set_bytes, "512mb", false, 0, "is not a quantity; write 512Mi or 512M" },
	{ yaml_set_bytes, "512KB", false, 0, "is not a quantity; write 512Ki or 512k" },
	{ yaml_set_bytes, "512K", false, 0, "is not a quantity; write 512Ki or 512k" },
	{ yaml_set_bytes, "1.5 GiB", false, 0, "is not a quantity; write 1.5Gi or 1.5G" },
	{ yaml_set_bytes, "1Pi", false, 0, "is not a quantity; write for example 512Mi or 512M" },
	{ yaml_set_bytes, "MB", false, 0, "is not a quantity; write for example 512Mi or 512M" },
	{ yaml_set_bytes, "lots", false, 0, "is not a quantity" },
};

static void
test_quantities(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(quantity_rows); i++) {
		const struct quantity_row *row = &quantity_rows[i];
		struct yaml_type type = { .min = row->set == yaml_set_cpu,
			.max = row->set == yaml_set_cpu ? 64000 : UINT64_MAX };
		struct yaml_scalar scalar = { .text = row->text, .len = strlen(row->text) };
		char why[YAML_ERROR_BYTES] = "";
		uint64_t value = 77;
		int rc = row->set(&type, &scalar, &value, why, sizeof(why));

		if (rc != (row->good ? 0 : -1))
			fail_msg("\"%s\": %d %s", row->text, rc, why);
		assert_int_equal(value, row->good ? row->value : 77);
		if (!row->good && !strstr(why, row->why))
			fail_msg("\"%s\": \"%s\" does not say \"%s\"", row->text, why, row->why);
	}
}

/* Bounds are said in the suffix that one would write. */
static void
test_quantity_bounds(void **state)
{
	static const struct {
		uint64_t min, max;
		const char *why;
	} rows[] = {
		{ UINT64_C(1) << 20, UINT64_C(1) << 44, "allowed are 1Mi to 16Ti" },
		{ 1000, 3000000, "allowed are 1k to 3M" },
		{ 1536, 1048577, "allowed are 1536 to 1048577" },
	};
	struct yaml_scalar scalar = { .text = "1", .len = 1 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct yaml_type type = { .min = rows[i].min, .max = rows[i].max };
		char why[YAML_ERROR_BYTES];
		uint64_t value;

		assert_int_equal(yaml_set_bytes(&type, &scalar, &value, why, sizeof(why)), -1);
		if (!strstr(why, rows[i].why))
			fail_msg("%s", why);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_nul_in_file),
		cmocka_unit_test(test_utf16),
		cmocka_unit_test(test_file_size),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_short_message),
		cmocka_unit_test(test_quantities),
		cmocka_unit_test(test_quantity_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
