/* SPDX-License-Identifier: MIT */
/* Tests of common/json.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/json.h"

struct request {
	struct json_str profile;
	uint32_t ttl_seconds;
	uint64_t size;
	bool is_recorded;
	struct json_u32_map latency_ms;
};

#define FIELD(name) offsetof(struct request, name)

static const struct json_member request_members[] = {
	{ "profile", JSON_KIND_STR, true, 1, 8, FIELD(profile) },
	{ "ttl_seconds", JSON_KIND_U32, false, 1, 86400, FIELD(ttl_seconds) },
	{ "size", JSON_KIND_U64, false, 0, INT64_MAX, FIELD(size) },
	{ "record", JSON_KIND_BOOL, false, 0, 0, FIELD(is_recorded) },
	{ "latency_ms", JSON_KIND_OBJECT_U32, false, 0, 60000, FIELD(latency_ms) },
};

#define ROWS (sizeof(request_members) / sizeof(request_members[0]))

static int
parse(const char *text, struct json_t **obj, struct json_error_text *err)
{
	return json_parse_strict(text, strlen(text), JSON_DEPTH_DEFAULT, obj, err);
}

static void
test_good_texts(void **state)
{
	static const char *const rows[] = {
		"{}",
		" \t\r\n{ } \n",
		"{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}",
		"{\"a\":\"[[[[[[[[[[{{{{{{{{{{\"}",
		"{\"a\":\"\\\"[[[[[[[[[[[[\\\\\"}",
		"{\"a\":[[[[[[[1]]]]]]]}",
		"{\"a\":-1.5e3,\"b\":null,\"c\":true,\"d\":\"\\u00e9\\ud83d\\ude00\\t\"}",
		"{\"\":1}",
		"{\"a\":9223372036854775807}",
	};
	struct json_error_text err;
	struct json_t *obj;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		obj = NULL;
		if (parse(rows[i], &obj, &err) != 0)
			fail_msg("%s: %s", rows[i], err.text);
		assert_non_null(obj);
		json_release(obj);
	}
	json_release(NULL);
}

static void
test_bad_texts(void **state)
{
	static const struct {
		const char *text, *member, *message;
	} rows[] = {
		{ "", "", "line 1, column 1: the text ends too early" },
		{ "   ", "", "line 1, column 4: the text ends too early" },
		{ "[]", "", "line 1, column 1: must be an object" },
		{ "[{\"a\":1}]", "", "line 1, column 1: must be an object" },
		{ "null", "", "not JSON" },
		{ "\"a\"", "", "not JSON" },
		{ "{", "", "the text ends too early" },
		{ "{\"a\"", "a", "the text ends too early" },
		{ "{\"a\":", "a", "the text ends too early" },
		{ "{\"a\":1", "a", "the text ends too early" },
		{ "{\"a\":\"b", "a", "the text ends too early" },
		{ "{\"a\":1,}", "", "not JSON" },
		{ "{\"a\" 1}", "a", "not JSON" },
		{ "{a:1}", "", "not JSON" },
		{ "{'a':1}", "", "not JSON" },
		{ "{\"a\":01}", "a", "not JSON" },
		{ "{\"a\":+1}", "a", "not JSON" },
		{ "{\"a\":.5}", "a", "not JSON" },
		{ "{\"a\":0x10}", "a", "not JSON" },
		{ "{\"a\":NaN}", "a", "not JSON" },
		{ "{\"a\":True}", "a", "not JSON" },
		{ "{\"a\":1}/**/", "", "something follows the object" },
		{ "{\"a\":1} {}", "", "something follows the object" },
		{ "{\"a\":1}x", "", "something follows the object" },
		{ "\xef\xbb\xbf{}", "", "not JSON" },
		{ "{\"a\":1,\"a\":1}", "a",
		    "line 1, column 11, at member \"a\": the member is there twice" },
		{ "{\"a\":1,\"\\u0061\":1}", "\\u0061", "the member is there twice" },
		{ "{\"x\":{\"b\":1,\n \"b\":2}}", "b", "line 2, column 5, at member \"b\": " },
		{ "{\"x\":[{\"b\":1,\"b\":2}]}", "b", "the member is there twice" },
		{ "{\"ttl\":9223372036854775808}", "ttl", "the number is out of range" },
		{ "{\"ttl\":-99999999999999999999}", "ttl", "the number is out of range" },
		{ "{\"r\":1e999}", "r", "the number is out of range" },
		{ "{\"a\":\"\\u0000\"}", "a", "NUL is not allowed" },
		{ "{\"a\\u0000b\":1}", "a\\u0000b", "NUL is not allowed" },
		{ "{\"a\":\"\\ud800\"}", "a", "not JSON" },
		{ "{\"a\":\"\\udc00\\ud800\"}", "a", "not JSON" },
		{ "{\"a\":\"\xff\"}", "a", "not UTF-8" },
		{ "{\"a\":\"\xc0\xaf\"}", "a", "not UTF-8" },
		{ "{\"a\":\"\xed\xa0\x80\"}", "a", "not UTF-8" },
		{ "{\"a\":\"\xf4\x90\x80\x80\"}", "a", "not UTF-8" },
		{ "{\"a\":\"\t\"}", "a", "not JSON" },
		{ "{\"a\":\"\\x41\"}", "a", "not JSON" },
		{ "{\"a\":[[[[[[[[1]]]]]]]]}", "a",
		    "column 13, at member \"a\": nested too deeply" },
		{ "{\"a\":{\"b\":[[[[[[[[1]]]]]]]]}}", "b", "nested too deeply" },
	};
	struct json_error_text err;
	struct json_t *obj = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (parse(rows[i].text, &obj, &err) == 0)
			fail_msg("accepted: %s", rows[i].text);
		assert_null(obj);
		if (strstr(err.text, rows[i].message) == NULL)
			fail_msg("%s: \"%s\" is not in \"%s\"", rows[i].text, rows[i].message,
			    err.text);
		if (strcmp(err.member, rows[i].member) != 0)
			fail_msg("%s: member \"%s\", %s", rows[i].text, err.member, err.text);
		assert_in_range(err.offset, 0, strlen(rows[i].text));
	}
}

static void
test_raw_nul_is_refused_everywhere(void **state)
{
	static const char text[] = "{\"a\":\"b\",\"c\":[1,2]}";
	char with_nul[sizeof(text)];
	struct json_error_text err;
	struct json_t *obj = NULL;
	size_t len = sizeof(text) - 1;

	(void)state;
	for (size_t at = 0; at <= len; at++) {
		memcpy(with_nul, text, at);
		with_nul[at] = '\0';
		memcpy(with_nul + at + 1, text + at, len - at);
		assert_int_equal(json_parse_strict(with_nul, len + 1, 8, &obj, &err), -1);
		assert_null(obj);
	}
}

static void
test_every_truncation_is_refused(void **state)
{
	static const char text[] =
	    "{\"profile\":\"x\\u00e9\xc3\xa9\",\"latency_ms\":{\"fog-1\":12}}";
	struct json_error_text err;
	struct json_t *obj = NULL;

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 1; len++)
		assert_int_equal(json_parse_strict(text, len, 8, &obj, &err), -1);
	assert_int_equal(json_parse_strict(text, sizeof(text) - 1, 8, &obj, &err), 0);
	json_release(obj);
}

static void
test_depth_bound(void **state)
{
	static char deep[200001];
	struct json_error_text err;
	struct json_t *obj = NULL;

	(void)state;
	assert_int_equal(json_parse_strict("{}", 2, 0, &obj, &err), -1);
	assert_int_equal(json_parse_strict("{\"a\":{}}", 8, 1, &obj, &err), -1);
	assert_int_equal(json_parse_strict("{\"a\":{}}", 8, 2, &obj, &err), 0);
	json_release(obj);
	/* A caller that asks for more than can be tracked gets what can be tracked. */
	memset(deep, '[', sizeof(deep));
	obj = NULL;
	assert_int_equal(json_parse_strict(deep, sizeof(deep) - 1, UINT32_MAX, &obj, &err), -1);
	assert_non_null(strstr(err.text, "nested too deeply"));
	assert_null(obj);
}

/* What was sent may be keys that were typed: nothing of a value may be in a text that is logged. */
static void
test_errors_do_not_quote_values(void **state)
{
	static const char *const rows[] = {
		"{\"data_b64\":\"c2VjcmV0\" \"secret\"}",
		"{\"data_b64\":secret}",
		"{\"data_b64\":\"secret\xff\"}",
		"{\"data_b64\":\"secret",
		"{\"data_b64\":\"secret\\u0000\"}",
		"{\"data_b64\":{\"secret\" ",
	};
	struct json_error_text err;
	struct json_t *obj = NULL;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i], &obj, &err), -1);
		assert_null(strstr(err.text, "secret"));
		assert_string_equal(err.member, "data_b64");
	}
	/* Names of members are quoted. */
	assert_int_equal(parse(rows[5], &obj, &err), -1);
	assert_string_equal(err.member, "secret");
}

static void
test_error_texts_are_printable_and_bounded(void **state)
{
	char text[600];
	struct json_error_text err;
	struct json_t *obj = NULL;

	(void)state;
	memset(text, 'n', sizeof(text));
	text[0] = '{';
	text[1] = '"';
	memcpy(text + 2, "\x7f[2J\xc2\x9b\x7f", 7);
	memcpy(text + 500, "\":x", 4);
	text[504] = '\0';
	assert_int_equal(parse(text, &obj, &err), -1);
	assert_int_equal(strlen(err.member), JSON_ERROR_MEMBER_SIZE - 1);
	assert_memory_equal(err.member, "?[2J???nnn", 10);
	assert_true(strlen(err.text) < JSON_ERROR_MESSAGE_SIZE);
	assert_true(json_text_is_printable(err.text, strlen(err.text)));
}

static void
test_members_are_read(void **state)
{
	struct request request = { .ttl_seconds = 7 };
	struct json_error_text err;
	struct json_t *obj;

	(void)state;
	assert_int_equal(parse("{\"latency_ms\":{\"fog-1\":0,\"cloud\":60000},\"record\":true,"
			       "\"size\":9223372036854775807,\"ttl_seconds\":86400,"
			       "\"profile\":\"d\\u00e9f\"}",
			     &obj, &err),
	    0);
	assert_int_equal(json_read_members(obj, request_members, ROWS, &request, &err), 0);
	assert_string_equal(request.profile.s,
	    "d\xc3\xa9"
	    "f");
	assert_int_equal(request.profile.len, 4);
	assert_int_equal(request.ttl_seconds, 86400);
	assert_int_equal(request.size, INT64_MAX);
	assert_true(request.is_recorded);
	assert_int_equal(request.latency_ms.count, 2);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(request.latency_ms.entries[i].value,
		    strcmp(request.latency_ms.entries[i].name.s, "cloud") == 0 ? 60000 : 0);
	json_release(obj);
}

static void
test_absent_members_keep_their_defaults(void **state)
{
	struct request request = { .ttl_seconds = 7, .is_recorded = true };
	struct json_error_text err;
	struct json_t *obj;

	(void)state;
	assert_int_equal(parse("{\"profile\":\"p\"}", &obj, &err), 0);
	assert_int_equal(json_read_members(obj, request_members, ROWS, &request, &err), 0);
	assert_int_equal(request.ttl_seconds, 7);
	assert_true(request.is_recorded);
	assert_int_equal(request.latency_ms.count, 0);
	json_release(obj);
}

#define LONG_NAME "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" /* 65 */

static void
test_wrong_members_are_named(void **state)
{
	static const char str[] = "must be a string without control characters, of 1 to 8 bytes";
	static const char u32[] = "must be a whole number from 1 to 86400";
	static const char u64[] = "must be a whole number from 0 to 9223372036854775807";
	static const char map[] =
	    "must be an object of at most 64 names, each of 1 to 64 bytes, and "
	    "whole numbers from 0 to 60000";
	static const struct {
		const char *text, *member, *message;
	} rows[] = {
		{ "{}", "profile", "member \"profile\" is missing" },
		{ "{\"profile\":\"p\",\"ttl\":1}", "ttl",
		    "unknown member \"ttl\"; known: profile, ttl_seconds, size, record, latency_ms" },
		{ "{\"Profile\":\"p\"}", "Profile", "unknown member" },
		{ "{\"profile\":\"p\",\"\":1}", "", "unknown member \"\"" },
		{ "{\"profile\":null}", "profile", str },
		{ "{\"profile\":1}", "profile", str },
		{ "{\"profile\":[\"p\"]}", "profile", str },
		{ "{\"profile\":\"\"}", "profile", str },
		{ "{\"profile\":\"123456789\"}", "profile", str },
		{ "{\"profile\":\"a\\nb\"}", "profile", str },
		{ "{\"profile\":\"a\\u001b\"}", "profile", str },
		{ "{\"profile\":\"a\\u007f\"}", "profile", str },
		{ "{\"profile\":\"a\\u009b\"}", "profile", str },
		{ "{\"profile\":\"p\",\"ttl_seconds\":\"60\"}", "ttl_seconds", u32 },
		{ "{\"profile\":\"p\",\"ttl_seconds\":60.0}", "ttl_seconds", u32 },
		{ "{\"profile\":\"p\",\"ttl_seconds\":6e1}", "ttl_seconds", u32 },
		{ "{\"profile\":\"p\",\"ttl_seconds\":0}", "ttl_seconds", u32 },
		{ "{\"profile\":\"p\",\"ttl_seconds\":-1}", "ttl_seconds", u32 },
		{ "{\"profile\":\"p\",\"ttl_seconds\":86401}", "ttl_seconds", u32 },
		{ "{\"profile\":\"p\",\"ttl_seconds\":4294967297}", "ttl_seconds", u32 },
		{ "{\"profile\":\"p\",\"ttl_seconds\":null}", "ttl_seconds", u32 },
		{ "{\"profile\":\"p\",\"ttl_seconds\":true}", "ttl_seconds", u32 },
		{ "{\"profile\":\"p\",\"size\":-1}", "size", u64 },
		{ "{\"profile\":\"p\",\"record\":1}", "record", "must be true or false" },
		{ "{\"profile\":\"p\",\"record\":\"true\"}", "record", "must be true or false" },
		{ "{\"profile\":\"p\",\"latency_ms\":[1]}", "latency_ms", map },
		{ "{\"profile\":\"p\",\"latency_ms\":{\"a\":60001}}", "latency_ms", map },
		{ "{\"profile\":\"p\",\"latency_ms\":{\"a\":1.5}}", "latency_ms", map },
		{ "{\"profile\":\"p\",\"latency_ms\":{\"a\":null}}", "latency_ms", map },
		{ "{\"profile\":\"p\",\"latency_ms\":{\"\":1}}", "latency_ms", map },
		{ "{\"profile\":\"p\",\"latency_ms\":{\"a\\n\":1}}", "latency_ms", map },
		{ "{\"profile\":\"p\",\"latency_ms\":{\"" LONG_NAME "\":1}}", "latency_ms", map },
	};
	struct request request, untouched;
	struct json_error_text err;
	struct json_t *obj;

	(void)state;
	memset(&request, 0x5a, sizeof(request));
	untouched = request;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i].text, &obj, &err), 0);
		if (json_read_members(obj, request_members, ROWS, &request, &err) == 0)
			fail_msg("accepted: %s", rows[i].text);
		assert_memory_equal(&request, &untouched, sizeof(request));
		if (strstr(err.text, rows[i].message) == NULL)
			fail_msg("%s: \"%s\" is not in \"%s\"", rows[i].text, rows[i].message,
			    err.text);
		assert_string_equal(err.member, rows[i].member);
		json_release(obj);
	}
}

static int
read_latencies(size_t count, struct request *request)
{
	char text[2048] = "{\"profile\":\"p\",\"latency_ms\":{";
	struct json_error_text err;
	struct json_t *obj;
	size_t len = strlen(text);
	int result;

	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\"n%zu\":%zu",
		    i == 0 ? "" : ",", i, i);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "}}");
	assert_int_equal(json_parse_strict(text, len, 2, &obj, &err), 0);
	result = json_read_members(obj, request_members, ROWS, request, &err);
	json_release(obj);
	return result;
}

static void
test_map_is_bounded(void **state)
{
	struct request request;

	(void)state;
	assert_int_equal(read_latencies(JSON_U32_MAP_MAX, &request), 0);
	assert_int_equal(request.latency_ms.count, JSON_U32_MAP_MAX);
	assert_int_equal(read_latencies(JSON_U32_MAP_MAX + 1, &request), -1);
}

/* A table whose max does not fit the field must not cut numbers short. */
static void
test_u32_never_overflows(void **state)
{
	static const struct json_member table[] = { { "n", JSON_KIND_U32, true, 0, UINT64_MAX,
	    0 } };
	struct json_error_text err;
	struct json_t *obj;
	uint32_t n[2] = { 0, 0x5a5a5a5a };

	(void)state;
	assert_int_equal(parse("{\"n\":4294967295}", &obj, &err), 0);
	assert_int_equal(json_read_members(obj, table, 1, n, &err), 0);
	assert_int_equal(n[0], UINT32_MAX);
	assert_int_equal(n[1], 0x5a5a5a5a);
	json_release(obj);
	assert_int_equal(parse("{\"n\":4294967296}", &obj, &err), 0);
	assert_int_equal(json_read_members(obj, table, 1, n, &err), -1);
	json_release(obj);
}

static void
test_peek(void **state)
{
	struct json_error_text err;
	struct json_t *obj;

	(void)state;
	assert_int_equal(parse("{\"type\":\"stdin\",\"n\":1}", &obj, &err), 0);
	assert_string_equal(json_peek_str(obj, "type"), "stdin");
	assert_null(json_peek_str(obj, "n"));
	assert_null(json_peek_str(obj, "absent"));
	json_release(obj);
}

static void
test_printable(void **state)
{
	static const struct {
		const char *text;
		bool is_printable;
	} rows[] = {
		{ "", true },
		{ "a b~", true },
		{ "\xc3\x9b\xe2\x80\x9b", true }, /* bytes of C1 inside other characters */
		{ "\xc2\xa0", true },
		{ "\xc2\x80", false },
		{ "\xc2\x9f", false },
		{ "a\x1f", false },
		{ "\x7f", false },
		{ "\n", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(json_text_is_printable(rows[i].text, strlen(rows[i].text)),
		    rows[i].is_printable);
	assert_false(json_text_is_printable("a\0b", 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_texts),
		cmocka_unit_test(test_bad_texts),
		cmocka_unit_test(test_raw_nul_is_refused_everywhere),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_depth_bound),
		cmocka_unit_test(test_errors_do_not_quote_values),
		cmocka_unit_test(test_error_texts_are_printable_and_bounded),
		cmocka_unit_test(test_members_are_read),
		cmocka_unit_test(test_absent_members_keep_their_defaults),
		cmocka_unit_test(test_wrong_members_are_named),
		cmocka_unit_test(test_map_is_bounded),
		cmocka_unit_test(test_u32_never_overflows),
		cmocka_unit_test(test_peek),
		cmocka_unit_test(test_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
