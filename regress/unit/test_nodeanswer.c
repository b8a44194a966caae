/* SPDX-License-Identifier: MIT */
/*
 * Answers of other nodes, good and hostile.
 * links: authd/nodeanswer.c authd/httpsurl.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "authd/nodeanswer.h"
#include "common/cleanup.h"
#include "common/json.h"

#define NODE "fog-b"
#define URL "https://fog-b.example.org:8443"

static struct id128 session;
static char session_text[ID_TEXT_SIZE], other_text[ID_TEXT_SIZE];

static int
set_up(void **state)
{
	struct id128 other;

	(void)state;
	assert_int_equal(json_init(), 0);
	assert_int_equal(id_session_new(id_node_tag(NODE), &session), 0);
	assert_int_equal(id_session_new(id_node_tag("fog-c"), &other), 0);
	id_format(&session, session_text);
	id_format(&other, other_text);
	return 0;
}

/* Text with @ for the id of the session, and ! for that of one of another node. */
static char *
fill(const char *text)
{
	char *out = calloc(1, strlen(text) * ID_TEXT_SIZE + 1), *at = out;

	assert_non_null(out);
	for (; *text; text++) {
		if (*text == '@' || *text == '!')
			at = stpcpy(at, *text == '@' ? session_text : other_text);
		else
			*at++ = *text;
	}
	return out;
}

#define PLACEMENT "\"placement\":{\"node\":\"fog-b\",\"region\":\"eu\",\"tier\":\"fog\"}"
#define GRANT(url) \
	"{\"ws_url\":\"" url "\",\"token\":\"a.b-c_d\",\"expires_at\":\"2026-01-02T03:04:05Z\"}"
#define OWN_URL "wss://fog-b.example.org:8443/v1/sessions/@/pty"
#define CREATED(id, url, placement, more) \
	"{\"session_id\":\"" id "\",\"attach\":" GRANT(url) "," placement more "}"
#define SESSION(id, placement, more) \
	"{\"session_id\":\"" id "\",\"profile\":\"default\",\"status\":\"running\"," \
	"\"created_at\":\"2026-01-02T03:04:05Z\",\"expires_at\":\"2026-01-02T04:04:05Z\"," placement \
	",\"placement_reason\":\"fog-first,nearest\"" more "}"
#define PROBLEM(status, more) \
	"{\"type\":\"urn:x\",\"title\":\"No\",\"status\":" #status \
	",\"code\":\"not_allowed\"" more "}"

static enum forward_result
answer_of(enum msg_phase phase, unsigned status, const char *text, struct nodeanswer *out)
{
	struct nodeanswer_asked asked = { .phase = phase,
		.node = NODE,
		.url = URL,
		.session_id = session,
		.reason = "fog-first" };
	cleanup_free char *body = fill(text);

	return nodeanswer_read(&asked, status, body, strlen(body), out);
}

static const struct row {
	enum msg_phase phase;
	unsigned status;
	const char *body;
	enum forward_result result;
	const char *want; /* what is relayed, or the detail */
} rows[] = {
	/* Only what is known travels on, and the reason is ours. */
	{ PH_CREATE, 201,
	    CREATED("@", OWN_URL, PLACEMENT, ",\"placement_reason\":\"because\",\"evil\":[1]"),
	    FORWARD_DONE,
	    "{\"session_id\":\"@\",\"attach\":" GRANT(
		OWN_URL) "," PLACEMENT ",\"placement_reason\":\"fog-first\"}" },
	{ PH_CREATE, 201, CREATED("!", OWN_URL, PLACEMENT, ""), FORWARD_FAILED,
	    "the session's id is not one of that node" },
	{ PH_CREATE, 201,
	    CREATED("@", OWN_URL,
		"\"placement\":{\"node\":\"fog-c\",\"region\":\"eu\",\"tier\":\"fog\"}", ""),
	    FORWARD_FAILED, "the session is said to be on another node" },
	{ PH_CREATE, 201,
	    CREATED("@", "wss://evil.example.org:8443/v1/sessions/@/pty", PLACEMENT, ""),
	    FORWARD_FAILED, "the ws_url is not on that node" },
	{ PH_CREATE, 201, CREATED("@", "wss://fog-b.example.org/v1/sessions/@/pty", PLACEMENT, ""),
	    FORWARD_FAILED, "the ws_url is not on that node" },
	{ PH_CREATE, 201,
	    CREATED("@", "ws://fog-b.example.org:8443/v1/sessions/@/pty", PLACEMENT, ""),
	    FORWARD_FAILED, "the ws_url is not on that node" },
	{ PH_CREATE, 201,
	    CREATED("@", "wss://fog-b.example.org:8443@evil.org/v1/sessions/@/pty", PLACEMENT, ""),
	    FORWARD_FAILED, "the ws_url is not on that node" },
	{ PH_CREATE, 201,
	    CREATED("@", "wss://fog-b.example.org:8443/v1/sessions/!/pty", PLACEMENT, ""),
	    FORWARD_FAILED, "the ws_url is not on that node" },
	{ PH_CREATE, 201, CREATED("@", OWN_URL "?token=x", PLACEMENT, ""), FORWARD_FAILED,
	    "the ws_url is not on that node" },
	{ PH_CREATE, 201,
	    "{\"session_id\":\"@\",\"attach\":{\"ws_url\":\"" OWN_URL
	    "\",\"token\":\"a b\",\"expires_at\":\"2026-01-02T03:04:05Z\"}," PLACEMENT "}",
	    FORWARD_FAILED, "not what the API answers" },
	{ PH_CREATE, 201, CREATED("@", OWN_URL, "\"x\":1", ""), FORWARD_FAILED,
	    "not what the API answers" },
	{ PH_CREATE, 201, "[]", FORWARD_FAILED, "the body is no JSON object" },
	{ PH_CREATE, 201, "{\"session_id\":\"@\",\"session_id\":\"@\"}", FORWARD_FAILED,
	    "the body is no JSON object" },
	{ PH_CREATE, 200, CREATED("@", OWN_URL, PLACEMENT, ""), FORWARD_FAILED,
	    "a status that is none of the API" },
	{ PH_CREATE, 307, "{}", FORWARD_FAILED, "a status that is none of the API" },
	{ PH_CREATE, 403, PROBLEM(403, ",\"detail\":\"not you\""), FORWARD_REFUSED,
	    "not_allowed: not you" },
	{ PH_CREATE, 503, PROBLEM(503, ""), FORWARD_REFUSED, "not_allowed: No" },
	{ PH_CREATE, 502, "<html>", FORWARD_FAILED, "the body is no JSON object" },
	{ PH_CREATE, 403, PROBLEM(404, ""), FORWARD_FAILED, "an error without its code" },
	{ PH_CREATE, 403, "{\"status\":403,\"code\":\"A B\"}", FORWARD_FAILED,
	    "an error without its code" },
	/* Another control character than those that JSON has no room for: C1. */
	{ PH_CREATE, 403, PROBLEM(403, ",\"detail\":\"\\u009b31m\""), FORWARD_REFUSED,
	    "not_allowed: No" },

	{ PH_SHOW, 200,
	    SESSION("@", PLACEMENT,
		",\"image_ref\":\"sha256:00ff\",\"exit\":{\"code\":137,\"signal\":9,\"x\":0},"
		"\"end_reason\":\"ttl\",\"limits\":{\"enforced\":[\"cpu\",\"pids\"]},"
		"\"usage\":{\"cpu_seconds\":0.5,\"pids\":3,\"pressure\":{\"cpu\":1.25}},\"y\":{}"),
	    FORWARD_DONE,
	    SESSION("@", PLACEMENT,
		",\"image_ref\":\"sha256:00ff\",\"exit\":{\"code\":137,\"signal\":9},"
		"\"end_reason\":\"ttl\",\"limits\":{\"enforced\":[\"cpu\",\"pids\"]},"
		"\"usage\":{\"cpu_seconds\":0.5,\"pids\":3,\"pressure\":{\"cpu\":1.25}}") },
	{ PH_SHOW, 200, SESSION("!", PLACEMENT, ""), FORWARD_FAILED,
	    "the answer is about another session" },
	{ PH_SHOW, 200, SESSION("@", PLACEMENT, ",\"usage\":{\"pids\":-1}"), FORWARD_FAILED,
	    "not what the API answers" },
	{ PH_SHOW, 200, SESSION("@", PLACEMENT, ",\"usage\":7"), FORWARD_FAILED,
	    "not what the API answers" },
	{ PH_SHOW, 200, SESSION("@", PLACEMENT, ",\"end_reason\":\"bored\""), FORWARD_FAILED,
	    "not what the API answers" },
	{ PH_SHOW, 200, SESSION("@", PLACEMENT, ",\"limits\":{\"enforced\":[\"luck\"]}"),
	    FORWARD_FAILED, "not what the API answers" },
	{ PH_SHOW, 200, SESSION("@", PLACEMENT, ",\"image_ref\":\"<b>\""), FORWARD_FAILED,
	    "not what the API answers" },
	{ PH_SHOW, 404,
	    PROBLEM(404, ",\"detail\":\"gone\",\"rule_id\":\"a.b\",\"node\":\"fog-c\",\"z\":1"),
	    FORWARD_DONE,
	    "{\"title\":\"No\",\"detail\":\"gone\",\"rule_id\":\"a.b\","
	    "\"type\":\"urn:cloudshell-fog:error:not_allowed\",\"status\":404,"
	    "\"code\":\"not_allowed\",\"node\":\"fog-b\"}" },
	{ PH_SHOW, 401, PROBLEM(401, ""), FORWARD_DONE,
	    "{\"title\":\"No\",\"type\":\"urn:cloudshell-fog:error:not_allowed\",\"status\":401,"
	    "\"code\":\"not_allowed\",\"node\":\"fog-b\"}" },
	/* What the API has for some calls alone. */
	{ PH_SHOW, 403, PROBLEM(403, ""), FORWARD_REFUSED, "not_allowed: No" },
	{ PH_END, 403, PROBLEM(403, ""), FORWARD_REFUSED, "not_allowed: No" },
	{ PH_SHOW, 422, PROBLEM(422, ""), FORWARD_REFUSED, "not_allowed: No" },
	{ PH_MINT, 403, PROBLEM(403, ""), FORWARD_DONE,
	    "{\"title\":\"No\",\"type\":\"urn:cloudshell-fog:error:not_allowed\",\"status\":403,"
	    "\"code\":\"not_allowed\",\"node\":\"fog-b\"}" },
	{ PH_EXTEND, 422, PROBLEM(422, ""), FORWARD_DONE,
	    "{\"title\":\"No\",\"type\":\"urn:cloudshell-fog:error:not_allowed\",\"status\":422,"
	    "\"code\":\"not_allowed\",\"node\":\"fog-b\"}" },
	/* That node does not know itself by this name. */
	{ PH_SHOW, 421, PROBLEM(421, ""), FORWARD_REFUSED, "not_allowed: No" },
	{ PH_SHOW, 500, PROBLEM(500, ""), FORWARD_REFUSED, "not_allowed: No" },
	{ PH_EXTEND, 200, SESSION("@", PLACEMENT, ""), FORWARD_DONE, SESSION("@", PLACEMENT, "") },
	{ PH_END, 200, "{\"terminated\":true,\"by\":\"me\"}", FORWARD_DONE,
	    "{\"terminated\":true}" },
	{ PH_END, 200, "{\"terminated\":false}", FORWARD_FAILED, "not what the API answers" },
	{ PH_MINT, 201, GRANT(OWN_URL), FORWARD_DONE, GRANT(OWN_URL) },
	{ PH_MINT, 201, GRANT("wss://evil.example.org/v1/sessions/@/pty"), FORWARD_FAILED,
	    "the ws_url is not on that node" },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		cleanup_free char *want = fill(rows[i].want);
		struct nodeanswer out;

		assert_int_equal(answer_of(rows[i].phase, rows[i].status, rows[i].body, &out),
		    rows[i].result);
		assert_int_equal(out.status, rows[i].status);
		if (rows[i].result != FORWARD_DONE) {
			assert_string_equal(out.detail, want);
			assert_int_equal(out.len, 0);
			continue;
		}
		assert_int_equal(out.len, strlen(want));
		assert_memory_equal(out.body, want, out.len);
		if (rows[i].phase == PH_CREATE)
			assert_true(id_equal(&out.session_id, &session));
	}
}

/* A port that is the default one may be written or not. */
static void
test_default_port(void **state)
{
	static const char *const urls[][2] = {
		{ "https://fog-b.example.org", "wss://fog-b.example.org:443/v1/sessions/@/pty" },
		{ "https://fog-b.example.org:443", "wss://FOG-B.example.org/v1/sessions/@/pty" },
	};
	struct nodeanswer out;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(urls); i++) {
		struct nodeanswer_asked asked = { .phase = PH_MINT,
			.node = NODE,
			.url = urls[i][0],
			.session_id = session };
		cleanup_free char *url = fill(urls[i][1]);
		char body[512];

		snprintf(body, sizeof(body),
		    "{\"ws_url\":\"%s\",\"token\":\"t\",\"expires_at\":\"2026-01-02T03:04:05Z\"}",
		    url);
		assert_int_equal(nodeanswer_read(&asked, 201, body, strlen(body), &out),
		    FORWARD_DONE);
	}
}

/* A long detail is cut, and not within a character. */
static void
test_detail_is_cut(void **state)
{
	struct nodeanswer out;
	char body[1024], detail[601] = "";

	(void)state;
	for (int i = 0; i < 250; i++)
		memcpy(detail + 2 * i, "\xc3\xa4", 3);
	snprintf(body, sizeof(body),
	    "{\"status\":403,\"code\":\"no\",\"title\":\"x\",\"detail\":\"%s\"}", detail);
	assert_int_equal(answer_of(PH_CREATE, 403, body, &out), FORWARD_REFUSED);
	assert_int_equal(strlen(out.detail), 200);
	assert_memory_equal(out.detail, "no: \xc3\xa4\xc3\xa4", 8);
	assert_int_equal((unsigned char)out.detail[199], 0xa4);
}

static size_t
count_list(unsigned status, const char *text, const char **why)
{
	struct nodeanswer_asked asked = { .phase = PH_LIST, .node = NODE, .url = URL };
	cleanup_free char *body = fill(text);
	json_t *list = nodeanswer_read_list(&asked, status, body, strlen(body), why);
	size_t n = list ? json_array_size(list) : SIZE_MAX;

	json_decref(list);
	return n;
}

static void
test_lists(void **state)
{
	const char *why;

	(void)state;
	assert_int_equal(count_list(200, "{\"sessions\":[]}", &why), 0);
	assert_string_equal(why, "");
	assert_int_equal(count_list(200,
			     "{\"sessions\":[" SESSION("@", PLACEMENT, ",\"x\":1") "],\"y\":2}",
			     &why),
	    1);
	/* One that it did not start: none is believed. */
	assert_int_equal(count_list(200,
			     "{\"sessions\":[" SESSION("@", PLACEMENT, "") "," SESSION("!",
				 PLACEMENT, "") "]}",
			     &why),
	    SIZE_MAX);
	assert_string_equal(why, "not_its_sessions");
	assert_int_equal(count_list(200, "{\"sessions\":[1]}", &why), SIZE_MAX);
	assert_int_equal(count_list(200, "{}", &why), SIZE_MAX);
	assert_int_equal(count_list(200, "{\"sessions\":{}}", &why), SIZE_MAX);
	assert_int_equal(count_list(200, "", &why), SIZE_MAX);
	assert_string_equal(why, "not_json");
	assert_int_equal(count_list(503, "{\"sessions\":[]}", &why), SIZE_MAX);
	assert_string_equal(why, "status_not_200");
}

static void
test_base_urls(void **state)
{
	static const struct {
		const char *url;
		bool good;
	} urls[] = { { "https://a.example.org", true }, { "https://10.0.0.5:8443", true },
		{ "https://[::1]:8443", true }, { "https://a.example.org/", false },
		{ "https://a.example.org?x", false }, { "http://a.example.org", false },
		{ "https://u@a.example.org", false }, { "https://a b", false },
		{ "https://", false }, { "https://a.example.org#x", false } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(urls); i++)
		assert_int_equal(nodeanswer_is_base(view_of(urls[i].url)), urls[i].good);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_default_port),
		cmocka_unit_test(test_detail_is_cut),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_base_urls),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
