/* SPDX-License-Identifier: MIT */
/* What policy was asked comes back from its record as it was, and nothing else is taken for one. */
/* links: placerd/asked_record.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "placerd/asked_record.h"

static void
test_round_trip(void **state)
{
	unsigned char groups[64];
	struct policy_identity who = { view_of("https://a"), view_of("bob"), view_of("") };
	struct policy_request request = { .profile = view_of("gr\xc3\xbcn"),
		.ttl_seconds = 90,
		.image_ref = view_of("base"),
		.needs_image = true };
	struct asked_record back;
	char err[256] = "";
	struct writer w;
	json_t *obj;

	(void)state;
	writer_init(&w, groups, sizeof(groups));
	put_view(&w, view_of("ops"));
	put_view(&w, view_of("dev"));
	who.groups = view_bytes(groups, w.len);
	obj = asked_record_to_json(&who, &request, 3);
	assert_non_null(obj);
	assert_int_equal(asked_record_from_json(obj, &back, err, sizeof(err)), 0);
	assert_true(view_equal(back.identity.groups, who.groups));
	assert_true(view_is(back.request.profile, "gr\xc3\xbcn"));
	assert_true(view_is(back.request.image_ref, "base"));
	assert_int_equal(back.request.ttl_seconds, 90);
	assert_true(back.request.needs_image);
	assert_int_equal(back.live_sessions, 3);
	json_decref(obj);
}

/* A group that is no UTF-8 is written all the same, and is then no group of anybody's. */
static void
test_odd_bytes(void **state)
{
	unsigned char groups[16];
	struct policy_identity who = { 0 };
	struct policy_request request = { .profile = view_of("\xff") };
	struct asked_record back;
	char err[256] = "";
	struct writer w;
	json_t *obj;

	(void)state;
	writer_init(&w, groups, sizeof(groups));
	put_view(&w, view_of("\xfe"));
	who.groups = view_bytes(groups, w.len);
	obj = asked_record_to_json(&who, &request, 0);
	assert_non_null(obj);
	assert_int_equal(asked_record_from_json(obj, &back, err, sizeof(err)), 0);
	assert_false(list_holds(back.identity.groups, view_of("\xfe")));
	json_decref(obj);
}

#define REST "\"image_ref\":\"\",\"needs_image\":false,\"live_sessions\":0"

static void
test_refused(void **state)
{
	static const struct {
		const char *record, *said;
	} rows[] = {
		{ "{\"profile\":\"p\",\"ttl_seconds\":1," REST "}", "groups" },
		{ "{\"profile\":\"p\",\"ttl_seconds\":1," REST ",\"groups\":\"a\"}", "groups" },
		{ "{\"profile\":\"p\",\"ttl_seconds\":1," REST ",\"groups\":[1]}", "groups" },
		{ "{\"profile\":\"p\",\"ttl_seconds\":1," REST ",\"groups\":[\"\\u0007\"]}",
		    "groups" },
		{ "{\"profile\":\"p\",\"ttl_seconds\":-1," REST ",\"groups\":[]}", "ttl_seconds" },
		{ "{\"profile\":7,\"ttl_seconds\":1," REST ",\"groups\":[]}", "profile" },
		{ "{\"ttl_seconds\":1," REST ",\"groups\":[]}", "profile" },
		{ "{\"profile\":\"p\",\"ttl_seconds\":1," REST ",\"groups\":[],\"x\":1}", "x" },
		{ "[]", "no object" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		json_t *obj = json_loads(rows[i].record, 0, NULL);
		struct asked_record back;
		char err[256] = "";

		assert_non_null(obj);
		if (asked_record_from_json(obj, &back, err, sizeof(err)) == 0)
			fail_msg("taken: %s", rows[i].record);
		if (!strstr(err, rows[i].said))
			fail_msg("%s: %s", rows[i].record, err);
		json_decref(obj);
	}
}

/* More groups than authd ever hands on. */
static void
test_too_many_groups(void **state)
{
	json_t *groups = json_array(), *obj;
	struct asked_record back;
	char err[256] = "";

	(void)state;
	for (int i = 0; i < 1000; i++)
		json_array_append_new(groups, json_string("a group"));
	obj = json_pack("{s:s, s:i, s:s, s:b, s:i, s:o}", "profile", "p", "ttl_seconds", 0,
	    "image_ref", "", "needs_image", 0, "live_sessions", 0, "groups", groups);
	assert_int_equal(asked_record_from_json(obj, &back, err, sizeof(err)), -1);
	assert_non_null(strstr(err, "groups"));
	json_decref(obj);
}

static int
group_setup(void **state)
{
	(void)state;
	return json_init();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_odd_bytes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_many_groups),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
