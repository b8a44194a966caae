/* SPDX-License-Identifier: MIT */
/* The status of a node: there and back, what is passed over, and what is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "placerd/nodestatus.h"

/* "" or the member that is wrong. */
static const char *
read_text(const char *text, struct nodestatus *out)
{
	struct json_error_text err;
	const char *why = "";
	json_t *obj;
	int rc;

	assert_int_equal(json_parse_strict(text, strlen(text), JSON_DEPTH_DEFAULT, &obj, &err), 0);
	rc = nodestatus_from_json(obj, out, &why);
	assert_int_equal(rc, *why ? -1 : 0);
	json_release(obj);
	return why;
}

static void
test_there_and_back(void **state)
{
	struct nodestatus s = { .version = "0.1.0",
		.is_ready = true,
		.load = { 12, 4000, UINT64_C(8) << 30 },
		.suspects.n = FLEET_SUSPECTS_MAX };
	struct nodestatus back;
	struct suspects alone;
	const char *why;
	json_t *obj;

	(void)state;
	for (size_t i = 0; i < s.suspects.n; i++)
		snprintf(s.suspects.names[i], sizeof(s.suspects.names[i]), "fog-%zu", i);
	obj = nodestatus_to_json(&s);
	assert_non_null(obj);
	assert_int_equal(nodestatus_from_json(obj, &back, &why), 0);
	assert_memory_equal(&s, &back, sizeof(s));
	json_decref(obj);
	memset(&alone, 0, sizeof(alone));
	obj = nodestatus_suspects_to_json(&s.suspects);
	assert_int_equal(nodestatus_suspects_from_json(obj, &alone), 0);
	assert_memory_equal(&s.suspects, &alone, sizeof(alone));
	json_array_append_new(obj, json_string("one-more"));
	assert_int_equal(nodestatus_suspects_from_json(obj, &alone), -1);
	json_decref(obj);
	strcpy(s.suspects.names[3], "\xff");
	assert_null(nodestatus_to_json(&s));
	assert_null(nodestatus_suspects_to_json(&s.suspects));
}

#define HEAD "{\"v\":1,\"version\":\"2.0\",\"ready\":true,\"draining\":true,"
#define LOAD "\"sessions\":1,\"cpu_milli\":2,\"memory_bytes\":3"
#define LONG_NAME "12345678901234567890123456789012345678901234567890123456789012345"

static void
test_more_than_is_known(void **state)
{
	struct nodestatus s;

	(void)state;
	assert_string_equal(read_text(HEAD LOAD
				",\"suspects\":[],\"gpu\":[{\"a\":1}],\"load\":null}",
				&s),
	    "");
	assert_string_equal(s.version, "2.0");
	assert_true(s.is_ready && s.is_draining);
	assert_int_equal(s.load.sessions, 1);
	assert_int_equal(s.load.cpu_milli, 2);
	assert_int_equal(s.load.memory_bytes, 3);
	assert_int_equal(s.suspects.n, 0);
}

static const struct {
	const char *text, *wrong;
} refused[] = {
	{ "{}", "v" },
	{ "{\"v\":2}", "v" },
	{ "{\"v\":1.0}", "v" },
	{ "{\"v\":1}", "version" },
	{ "{\"v\":1,\"version\":\"\"}", "version" },
	{ "{\"v\":1,\"version\":\"a\\u001b[2J\"}", "version" },
	{ "{\"v\":1,\"version\":\"123456789012345678901234567890123\"}", "version" },
	{ "{\"v\":1,\"version\":\"1\",\"ready\":1}", "ready" },
	{ "{\"v\":1,\"version\":\"1\",\"ready\":true,\"draining\":null}", "draining" },
	{ HEAD "\"sessions\":-1}", "sessions" },
	{ HEAD "\"sessions\":1e3}", "sessions" },
	{ HEAD "\"sessions\":4294967296}", "sessions" },
	{ HEAD "\"sessions\":1,\"cpu_milli\":-5}", "cpu_milli" },
	{ HEAD "\"sessions\":1,\"cpu_milli\":9223372036854775807}", "cpu_milli" },
	{ HEAD "\"sessions\":1,\"cpu_milli\":1,\"memory_bytes\":\"3\"}", "memory_bytes" },
	{ HEAD LOAD "}", "suspects" },
	{ HEAD LOAD ",\"suspects\":\"fog-1\"}", "suspects" },
	{ HEAD LOAD ",\"suspects\":[1]}", "suspects" },
	{ HEAD LOAD ",\"suspects\":[\"\"]}", "suspects" },
	{ HEAD LOAD ",\"suspects\":[\"a\\nb\"]}", "suspects" },
	{ HEAD LOAD ",\"suspects\":[\"" LONG_NAME "\"]}", "suspects" },
	{ HEAD LOAD ",\"suspects\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\","
		    "\"11\",\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]}",
	    "suspects" },
};

static void
test_refused(void **state)
{
	struct nodestatus s, before;

	(void)state;
	memset(&s, 0x5a, sizeof(s));
	before = s;
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		const char *why = read_text(refused[i].text, &s);

		if (strcmp(why, refused[i].wrong) != 0)
			fail_msg("%s: %s", refused[i].text, why);
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_more_than_is_known),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
