/* SPDX-License-Identifier: MIT */
/* Tests of common/id.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/id.h"

/* The example of RFC 9562 B.1. */
#define UUID "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0"

/* The example of W3C Trace Context 3.2.2.5. */
#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define TRACEPARENT "00-" TRACE "-00f067aa0ba902b7-01"

static void
test_format_and_parse(void **state)
{
	static const unsigned char bytes[ID_BYTES] = { 0x24, 0x89, 0xe9, 0xad, 0x2e, 0xe2, 0x8e,
		0x00, 0x8e, 0xc9, 0x32, 0xd5, 0xf6, 0x91, 0x81, 0xc0 };
	struct id128 id;
	char text[ID_TEXT_SIZE];

	(void)state;
	assert_int_equal(id_parse(UUID, strlen(UUID), &id), 0);
	assert_memory_equal(id.b, bytes, ID_BYTES);
	id_format(&id, text);
	assert_string_equal(text, UUID);
	assert_true(id_is_session(&id));
	assert_int_equal(id_session_node_tag(&id), 0x2489e9ad);
}

static void
test_parse_refuses_other_forms(void **state)
{
	static const char *const rows[] = {
		"",
		"2489E9AD-2EE2-8E00-8EC9-32D5F69181C0",
		"2489e9ad-2ee2-8e00-8ec9-32d5f69181c",
		"2489e9ad-2ee2-8e00-8ec9-32d5f69181c00",
		"2489e9ad2ee28e008ec932d5f69181c0",
		"2489e9ad2ee28e008ec932d5f69181c0----",
		"{2489e9ad-2ee2-8e00-8ec9-32d5f69181c}",
		" 489e9ad-2ee2-8e00-8ec9-32d5f69181c0",
		"+489e9ad-2ee2-8e00-8ec9-32d5f69181c0",
		"2489e9a-d2ee2-8e00-8ec9-32d5f69181c0",
		"0x89e9ad-2ee2-8e00-8ec9-32d5f69181c0",
		"2489e9ad_2ee2_8e00_8ec9_32d5f69181c0",
		"2489e9ag-2ee2-8e00-8ec9-32d5f69181c0",
	};
	struct id128 id, untouched;

	(void)state;
	memset(&id, 0x5a, sizeof(id));
	untouched = id;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(id_parse(rows[i], strlen(rows[i]), &id), -1);
		assert_true(id_equal(&id, &untouched));
	}
}

/* Every byte at every place: accepted exactly when the canonical text comes out again. */
static void
test_parse_each_byte_at_each_place(void **state)
{
	char text[ID_TEXT_SIZE], again[ID_TEXT_SIZE];
	struct id128 id;
	unsigned int accepted = 0;

	(void)state;
	for (size_t i = 0; i < ID_TEXT_SIZE - 1; i++) {
		for (int c = 0; c < 256; c++) {
			memcpy(text, UUID, sizeof(text));
			text[i] = (char)c;
			if (id_parse(text, ID_TEXT_SIZE - 1, &id) != 0)
				continue;
			id_format(&id, again);
			assert_memory_equal(text, again, ID_TEXT_SIZE);
			accepted++;
		}
	}
	assert_int_equal(accepted, 32 * 16 + 4);
}

static void
test_truncated_ids_are_refused(void **state)
{
	struct id128 id;

	(void)state;
	for (size_t len = 0; len < strlen(UUID); len++)
		assert_int_equal(id_parse(UUID, len, &id), -1);
}

/* Which bits are fixed and which move: the tag, version and variant, and 90 random ones. */
static void
test_session_ids(void **state)
{
	struct id128 id, ones = { { 0 } }, zeros = { { 0 } };
	unsigned int moving = 0;

	(void)state;
	for (int draw = 0; draw < 200; draw++) {
		assert_int_equal(id_session_new(0xdeadbeef, &id), 0);
		assert_true(id_is_session(&id));
		assert_int_equal(id_session_node_tag(&id), 0xdeadbeef);
		for (size_t i = 0; i < ID_BYTES; i++) {
			ones.b[i] |= id.b[i];
			zeros.b[i] |= (unsigned char)~id.b[i];
		}
	}
	for (size_t bit = 0; bit < 8 * ID_BYTES; bit++)
		moving += ones.b[bit / 8] >> bit % 8 & zeros.b[bit / 8] >> bit % 8 & 1;
	assert_int_equal(moving, 90);
}

static void
test_session_ids_have_version_and_variant(void **state)
{
	static const struct {
		const char *text;
		bool is_session;
	} rows[] = {
		{ "00000000-0000-8000-8000-000000000000", true },
		{ "ffffffff-ffff-8fff-bfff-ffffffffffff", true },
		{ "00000000-0000-4000-8000-000000000000", false },
		{ "00000000-0000-9000-8000-000000000000", false },
		{ "00000000-0000-8000-0000-000000000000", false },
		{ "00000000-0000-8000-4000-000000000000", false },
		{ "00000000-0000-8000-c000-000000000000", false },
		{ "00000000-0000-0000-0000-000000000000", false },
	};
	struct id128 id;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(id_parse(rows[i].text, strlen(rows[i].text), &id), 0);
		assert_int_equal(id_is_session(&id), rows[i].is_session);
	}
}

static void
test_random_ids_differ(void **state)
{
	struct id128 a, b;

	(void)state;
	assert_int_equal(id_random(&a), 0);
	assert_int_equal(id_random(&b), 0);
	assert_true(id_equal(&a, &a));
	assert_false(id_equal(&a, &b));
	assert_false(id_is_zero(&a));
	memset(&a, 0, sizeof(a));
	assert_true(id_is_zero(&a));
	a.b[15] = 1;
	assert_false(id_is_zero(&a));
}

/* The published vectors of FNV-1a, 32 bits. */
static void
test_node_tags(void **state)
{
	(void)state;
	assert_int_equal(id_node_tag(""), 0x811c9dc5);
	assert_int_equal(id_node_tag("a"), 0xe40c292c);
	assert_int_equal(id_node_tag("foobar"), 0xbf9cf968);
	assert_int_not_equal(id_node_tag("fog-1"), id_node_tag("fog-2"));
}

static void
test_traceparent(void **state)
{
	static const struct {
		const char *value;
		int result;
	} rows[] = {
		{ TRACEPARENT, 0 },
		{ "00-" TRACE "-00f067aa0ba902b7-00", 0 },
		{ "00-" TRACE "-00f067aa0ba902b7-ff", 0 },
		{ "00-00000000000000000000000000000001-0000000000000001-00", 0 },
		{ "", -1 },
		{ "00-00000000000000000000000000000000-00f067aa0ba902b7-01", -1 },
		{ "00-" TRACE "-0000000000000000-01", -1 },
		{ "01-" TRACE "-00f067aa0ba902b7-01", -1 },
		{ "ff-" TRACE "-00f067aa0ba902b7-01", -1 },
		{ "00-" TRACE "-00f067aa0ba902b7-01-", -1 },
		{ "00-" TRACE "-00f067aa0ba902b7-01-extra", -1 },
		{ " " TRACEPARENT, -1 },
		{ TRACEPARENT " ", -1 },
		{ "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", -1 },
		{ "00-" TRACE "-00F067AA0BA902B7-01", -1 },
		{ "00-" TRACE "-00f067aa0ba902b7-0g", -1 },
		{ "00_" TRACE "_00f067aa0ba902b7_01", -1 },
		{ "00-" TRACE "000f067aa0ba902b7-01", -1 },
		{ "00-" TRACE "-00f067aa0ba902b7001", -1 },
	};
	unsigned char trace[TRACE_ID_BYTES];
	char text[TRACE_ID_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(trace, 0x5a, sizeof(trace));
		assert_int_equal(trace_parse(rows[i].value, strlen(rows[i].value), trace),
		    rows[i].result);
		trace_format(trace, text);
		if (rows[i].result == 0)
			assert_memory_equal(text, rows[i].value + 3, 32);
		else
			assert_string_equal(text, "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a");
	}
	for (size_t len = 0; len < strlen(TRACEPARENT); len++)
		assert_int_equal(trace_parse(TRACEPARENT, len, trace), -1);
}

static void
test_random_traces_differ_and_parse(void **state)
{
	unsigned char a[TRACE_ID_BYTES], b[TRACE_ID_BYTES];
	char text[TRACE_ID_TEXT_SIZE], header[64] = "00-";

	(void)state;
	assert_int_equal(trace_random(a), 0);
	assert_int_equal(trace_random(b), 0);
	assert_memory_not_equal(a, b, TRACE_ID_BYTES);
	trace_format(a, text);
	memcpy(header + 3, text, 32);
	memcpy(header + 35, "-00f067aa0ba902b7-01", 21);
	assert_int_equal(trace_parse(header, 55, b), 0);
	assert_memory_equal(a, b, TRACE_ID_BYTES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_and_parse),
		cmocka_unit_test(test_parse_refuses_other_forms),
		cmocka_unit_test(test_parse_each_byte_at_each_place),
		cmocka_unit_test(test_truncated_ids_are_refused),
		cmocka_unit_test(test_session_ids),
		cmocka_unit_test(test_session_ids_have_version_and_variant),
		cmocka_unit_test(test_random_ids_differ),
		cmocka_unit_test(test_node_tags),
		cmocka_unit_test(test_traceparent),
		cmocka_unit_test(test_random_traces_differ_and_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
