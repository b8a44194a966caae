/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/termproto.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "gatewayd/termproto.h"

#define SCRATCH 4096
#define BYTES(text) text, sizeof(text) - 1

struct decode_case {
	enum term_proto proto;
	bool is_text;
	const char *message;
	size_t len;
	unsigned code;
	struct term_event want; /* bytes.p NULL: none */
};

static const struct decode_case good[] = {
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"bHMK\"}"), 0,
	    { .kind = TERM_INPUT, .bytes = { "ls\n", 3 } } },
	{ TERM_JSON, true, BYTES("{ \"data_b64\" : \"bA==\", \"type\" : \"stdin\" }"), 0,
	    { .kind = TERM_INPUT, .bytes = { "l", 1 } } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"AP8=\"}"), 0,
	    { .kind = TERM_INPUT, .bytes = { "\0\xff", 2 } } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"+/+/\"}"), 0,
	    { .kind = TERM_INPUT, .bytes = { "\xfb\xff\xbf", 3 } } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"\"}"), 0,
	    { .kind = TERM_NOTHING } },
	{ TERM_JSON, true, BYTES("{\"type\":\"resize\",\"cols\":220,\"rows\":50}"), 0,
	    { .kind = TERM_RESIZE, .cols = 220, .rows = 50 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"resize\",\"cols\":1000,\"rows\":1}"), 0,
	    { .kind = TERM_RESIZE, .cols = 1000, .rows = 1 } },
	{ TERM_V1, false, BYTES("i\0\0\0\0\0\0\1\2ls\n"), 0,
	    { .kind = TERM_INPUT, .has_offset = true, .offset = 258, .bytes = { "ls\n", 3 } } },
	{ TERM_V1, false, BYTES("i\0\0\0\0\0\0\1\2"), 0, { .kind = TERM_NOTHING } },
	{ TERM_V1, false, BYTES("r\0\120\0\30"), 0,
	    { .kind = TERM_RESIZE, .cols = 80, .rows = 24 } },
	{ TERM_V1, false, BYTES("r\3\350\0\1"), 0,
	    { .kind = TERM_RESIZE, .cols = 1000, .rows = 1 } },
	{ TERM_V1, false, BYTES("a\0\0\0\0\0\0\0\7"), 0, { .kind = TERM_ACK, .offset = 7 } },
	{ TERM_V1, false, BYTES("p\0\0\0\0\0\0\0\7"), 0, { .kind = TERM_PROBE, .value = 7 } },
	{ TERM_V1, false, BYTES("q\0\0\0\0\0\0\0\7"), 0, { .kind = TERM_NOTHING } },
};

static const struct decode_case bad[] = {
	{ TERM_JSON, false, BYTES("{\"type\":\"stdin\",\"data_b64\":\"bHMK\"}"), 1003, { 0 } },
	{ TERM_V1, true, BYTES("i\0\0\0\0\0\0\0\0x"), 1003, { 0 } },
	{ TERM_JSON, true, BYTES(""), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("[]"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\""), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":7}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"exec\",\"data_b64\":\"\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdout\",\"data_b64\":\"\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"\",\"x\":1}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"\",\"data_b64\":\"\"}"), 1008,
	    { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"eA=!\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"e===\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"====\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"eHh4eA=\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"eA==eA==\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"eB==\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"AP9=\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\" bHMK\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"stdin\",\"data_b64\":\"-_-_\"}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"resize\",\"cols\":0,\"rows\":50}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"resize\",\"cols\":1001,\"rows\":50}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"resize\",\"cols\":-1,\"rows\":50}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"resize\",\"cols\":\"80\",\"rows\":50}"), 1008,
	    { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"resize\",\"cols\":80.0,\"rows\":50}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":\"resize\",\"cols\":80}"), 1008, { 0 } },
	{ TERM_JSON, true, BYTES("{\"type\":{\"type\":{\"type\":{}}}}"), 1008, { 0 } },
	{ TERM_V1, false, BYTES(""), 1008, { 0 } },
	{ TERM_V1, false, BYTES("Z"), 1008, { 0 } },
	{ TERM_V1, false, BYTES("ox"), 1008, { 0 } },
	{ TERM_V1, false, BYTES("h{}"), 1008, { 0 } },
	{ TERM_V1, false, BYTES("i\0\0\0"), 1008, { 0 } },
	{ TERM_V1, false, BYTES("r\0\120"), 1008, { 0 } },
	{ TERM_V1, false, BYTES("r\0\120\0\30\0"), 1008, { 0 } },
	{ TERM_V1, false, BYTES("r\0\0\0\30"), 1008, { 0 } },
	{ TERM_V1, false, BYTES("r\3\351\0\30"), 1008, { 0 } },
	{ TERM_V1, false, BYTES("a\0\0\0\0\0\0\0"), 1008, { 0 } },
	{ TERM_V1, false, BYTES("p\0\0\0\0\0\0\0\0\0"), 1008, { 0 } },
	{ TERM_V1, false, BYTES("q\0"), 1008, { 0 } },
};

static unsigned
decode(const struct decode_case *c, unsigned char *scratch, struct term_event *out)
{
	const char *why = NULL;
	/* A copy of the exact size, so that a sanitizer sees a read past its end. */
	unsigned char *message = malloc(c->len ? c->len : 1);
	unsigned code;

	memcpy(message, c->message, c->len);
	code = term_decode(c->proto, c->is_text, message, c->len, scratch, out, &why);
	assert_int_equal(code != 0, why != NULL);
	/* The bytes of fog.pty.v1 lie in the message: keep them. */
	if (code == 0 && out->bytes.len > 0 && out->bytes.p != (const char *)scratch) {
		memcpy(scratch, out->bytes.p, out->bytes.len);
		out->bytes.p = (const char *)scratch;
	}
	free(message);
	return code;
}

static void
reads_clients(void **state)
{
	unsigned char scratch[SCRATCH];
	struct term_event e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		const struct term_event *want = &good[i].want;

		if (decode(&good[i], scratch, &e) != 0)
			fail_msg("refused: %s", good[i].message);
		assert_int_equal(e.kind, want->kind);
		if (e.kind == TERM_NOTHING)
			continue;
		assert_true(view_equal(e.bytes, want->bytes));
		assert_int_equal(e.has_offset, want->has_offset);
		assert_int_equal(e.offset, want->offset);
		assert_int_equal(e.value, want->value);
		assert_int_equal(e.cols, want->cols);
		assert_int_equal(e.rows, want->rows);
	}
}

static void
refuses_clients(void **state)
{
	unsigned char scratch[SCRATCH];
	struct term_event e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		unsigned code = decode(&bad[i], scratch, &e);

		if (code != bad[i].code)
			fail_msg("%u for: %s", code, bad[i].message);
	}
}

static void
every_cut_of_a_good_message_is_refused(void **state)
{
	unsigned char scratch[SCRATCH];
	struct term_event e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct decode_case cut = good[i];

		/* Input may end anywhere behind its offset. */
		while (cut.len > (cut.proto == TERM_V1 && cut.message[0] == 'i' ? 9 : 0)) {
			cut.len--;
			if (cut.message[0] != 'i' || cut.len < 9)
				assert_int_equal(decode(&cut, scratch, &e), 1008);
		}
	}
}

static void
reads_renewals(void **state)
{
	static const char *const wrong[] = { "t", "t ", "ta b", "ta=", "ta+b", "ta/b", "ta\n",
		"t\xc3\xa9" };
	char message[TERM_TOKEN_MAX + 3] = "t";
	unsigned char scratch[TERM_TOKEN_MAX + 3];
	struct decode_case c = { TERM_V1, false, BYTES("teyJ.e30.Az_-09"), 0, { 0 } };
	struct term_event e;

	(void)state;
	assert_int_equal(decode(&c, scratch, &e), 0);
	assert_int_equal(e.kind, TERM_RENEWAL);
	assert_true(view_is(e.bytes, "eyJ.e30.Az_-09"));
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		c.message = wrong[i];
		c.len = strlen(wrong[i]);
		assert_int_equal(decode(&c, scratch, &e), 1008);
	}
	c.message = "ta\0b";
	c.len = 4;
	assert_int_equal(decode(&c, scratch, &e), 1008);
	memset(message + 1, 'a', TERM_TOKEN_MAX + 1);
	c.message = message;
	c.len = 1 + TERM_TOKEN_MAX;
	assert_int_equal(decode(&c, scratch, &e), 0);
	c.len++;
	assert_int_equal(decode(&c, scratch, &e), 1008);
	c = (struct decode_case){ TERM_JSON, true, BYTES("{\"type\":\"t\",\"token\":\"a\"}"), 0,
		{ 0 } };
	assert_int_equal(decode(&c, scratch, &e), 1008);
}

static void
writes_output(void **state)
{
	static const struct {
		const char *bytes, *text;
	} cases[] = {
		{ "x", "{\"type\":\"stdout\",\"data_b64\":\"eA==\"}" },
		{ "ab", "{\"type\":\"stdout\",\"data_b64\":\"YWI=\"}" },
		{ "abc", "{\"type\":\"stdout\",\"data_b64\":\"YWJj\"}" },
		{ "\x1b[1m\xc3\xa9", "{\"type\":\"stdout\",\"data_b64\":\"G1sxbcOp\"}" },
	};
	unsigned char out[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t len = strlen(cases[i].bytes);
		size_t size = term_output_size(TERM_JSON, len);

		memset(out, '!', sizeof(out));
		term_put_output(TERM_JSON, cases[i].bytes, len, out);
		assert_int_equal(size, strlen(cases[i].text));
		assert_memory_equal(out, cases[i].text, size);
		assert_int_equal(out[size], '!');
		assert_int_equal(term_output_size(TERM_V1, len), len + 1);
		term_put_output(TERM_V1, cases[i].bytes, len, out);
		assert_int_equal(out[0], 'o');
		assert_memory_equal(out + 1, cases[i].bytes, len);
	}
}

#define HELLO \
	{ \
		.session_id = { { 0x12, 0x34 } }, .role = ROLE_DRIVER, .cols = 80, .rows = 24, \
		.out_from = 5, .out_lost = 2, .out_next = 9, .in_next = UINT64_C(1) << 40, \
		.expires_s = 1000000000, .attachment = 7 \
	}
#define HELLO_UNTIL \
	{ \
		.session_id = { { 0x12, 0x34 } }, .role = ROLE_VIEWER, .cols = 80, .rows = 24, \
		.expires_s = 1000000000, .attachment = 7, .until_s = 1000000001 \
	}

static const struct {
	struct stream_msg m;
	const char *v1, *json; /* NULL: no such message */
} messages[] = {
	{ { .type = STREAM_HELLO, .u.hello = HELLO },
	    "h{\"session_id\":\"12340000-0000-0000-0000-000000000000\",\"role\":\"driver\","
	    "\"cols\":80,\"rows\":24,\"out_from\":5,\"out_lost\":2,\"out_next\":9,\"in_next\":1099511627776,"
	    "\"expires_at\":\"2001-09-09T01:46:40Z\"}",
	    NULL },
	{ { .type = STREAM_HELLO, .u.hello = HELLO_UNTIL },
	    "h{\"session_id\":\"12340000-0000-0000-0000-000000000000\",\"role\":\"viewer\","
	    "\"cols\":80,\"rows\":24,\"out_from\":0,\"out_lost\":0,\"out_next\":0,\"in_next\":0,"
	    "\"expires_at\":\"2001-09-09T01:46:40Z\",\"identity_until\":\"2001-09-09T01:46:41Z\"}",
	    NULL },
	{ { .type = STREAM_EXIT, .u.exit = { EXIT_CODE, 3, END_EXIT } }, "x{\"code\":3}",
	    "{\"type\":\"exit\",\"code\":3}" },
	{ { .type = STREAM_EXIT, .u.exit = { EXIT_SIGNAL, 9, END_EXIT } },
	    "x{\"code\":137,\"signal\":9}", "{\"type\":\"exit\",\"code\":137}" },
	{ { .type = STREAM_EXIT, .u.exit = { EXIT_SIGNAL, 1, END_TTL } },
	    "x{\"code\":129,\"signal\":1,\"reason\":\"ttl\"}", "{\"type\":\"exit\",\"code\":129}" },
	{ { .type = STREAM_EXIT, .u.exit = { EXIT_NONE, 0, END_REQUEST } },
	    "x{\"code\":255,\"reason\":\"request\"}", "{\"type\":\"exit\",\"code\":255}" },
	{ { .type = STREAM_STATUS, .u.status = { STREAM_STATE_TAKEN_OVER, 0, { "a \"b\"", 5 } } },
	    "s{\"state\":\"taken_over\",\"reason\":\"driver_attached\",\"detail\":\"a \\\"b\\\"\"}",
	    NULL },
	{ { .type = STREAM_STATUS,
	      .u.status = { STREAM_STATE_EXPIRING, 1000000000, { "\xff", 1 } } },
	    "s{\"state\":\"expiring\",\"reason\":\"ttl\",\"detail\":\"\","
	    "\"expires_at\":\"2001-09-09T01:46:40Z\"}",
	    NULL },
	{ { .type = STREAM_STATUS,
	      .u.status = { STREAM_STATE_IDENTITY_EXPIRING, 1000000000, { "", 0 } } },
	    "s{\"state\":\"identity_expiring\",\"reason\":\"identity\",\"detail\":\"\","
	    "\"expires_at\":\"2001-09-09T01:46:40Z\"}",
	    NULL },
	{ { .type = STREAM_STATUS, .u.status = { STREAM_STATE_RENEWED, 1000000000, { "", 0 } } },
	    "s{\"state\":\"renewed\",\"reason\":\"request\",\"detail\":\"\","
	    "\"expires_at\":\"2001-09-09T01:46:40Z\"}",
	    NULL },
	{ { .type = STREAM_STATUS, .u.status = { STREAM_STATE_REVOKED, 0, { "", 0 } } },
	    "s{\"state\":\"revoked\",\"reason\":\"revocation\",\"detail\":\"\"}", NULL },
	{ { .type = STREAM_EXIT, .u.exit = { EXIT_NONE, 0, END_REVOKED } },
	    "x{\"code\":255,\"reason\":\"revoked\"}", "{\"type\":\"exit\",\"code\":255}" },
};

static void
writes_refused_renewals(void **state)
{
	static const char want[] =
	    "s{\"state\":\"renewal_refused\",\"reason\":\"attach_token_used\","
	    "\"detail\":\"The attach token has been used\"}";
	char out[TERM_JSON_SIZE];
	size_t len = term_put_refusal(TERM_V1, FOG_E_USED_ATTACH_TOKEN, out);

	(void)state;
	assert_int_equal(len, strlen(want));
	assert_memory_equal(out, want, len);
	assert_int_equal(term_put_refusal(TERM_JSON, FOG_E_USED_ATTACH_TOKEN, out), 0);
}

static void
writes_where_a_session_fell_back_to(void **state)
{
	static const char want[] =
	    "s{\"state\":\"degraded\",\"reason\":\"cloud-fallback\",\"detail\":"
	    "\"no fog node could take this session: it runs in the cloud, on c-1\"}";
	char out[TERM_JSON_SIZE];
	size_t len = term_put_fallback(TERM_V1, "c-1", out);

	(void)state;
	assert_int_equal(len, strlen(want));
	assert_memory_equal(out, want, len);
	assert_int_equal(term_put_fallback(TERM_JSON, "c-1", out), 0);
}

static void
every_state_has_a_reason(void **state)
{
	struct stream_msg m = { .type = STREAM_STATUS };
	char out[TERM_JSON_SIZE + 1];

	(void)state;
	for (unsigned i = 1; i < STREAM_STATE_COUNT; i++) {
		size_t len;

		m.u.status.state = (uint8_t)i;
		len = term_put_message(TERM_V1, &m, out);
		out[len] = '\0';
		if (len == 0 || strstr(out, "\"reason\":\"\""))
			fail_msg("%s", stream_state_name(i));
	}
}

static void
writes_messages(void **state)
{
	static const struct stream_msg answer = { .type = STREAM_ANSWER, .u.answer = { 258 } };
	char out[TERM_JSON_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(messages); i++) {
		size_t len = term_put_message(TERM_V1, &messages[i].m, out);

		assert_int_equal(len, strlen(messages[i].v1));
		assert_memory_equal(out, messages[i].v1, len);
		len = term_put_message(TERM_JSON, &messages[i].m, out);
		assert_int_equal(len, messages[i].json ? strlen(messages[i].json) : 0);
		assert_memory_equal(out, messages[i].json ? messages[i].json : "", len);
	}
	assert_int_equal(term_put_message(TERM_V1, &answer, out), 9);
	assert_memory_equal(out, "q\0\0\0\0\0\0\1\2", 9);
	assert_int_equal(term_put_message(TERM_JSON, &answer, out), 0);
}

static void
chooses_close_codes(void **state)
{
	static const struct stream_exit plain = { EXIT_CODE, 0, END_EXIT },
					ttl = { EXIT_NONE, 0, END_TTL };

	(void)state;
	assert_int_equal(term_close_code(&plain, STREAM_STATE_NONE), 1000);
	assert_int_equal(term_close_code(&ttl, STREAM_STATE_EXPIRING), TERM_CLOSE_ENDED);
	assert_int_equal(term_close_code(NULL, STREAM_STATE_NONE), TERM_CLOSE_LOST);
	assert_int_equal(term_close_code(NULL, STREAM_STATE_TAKEN_OVER), TERM_CLOSE_TAKEN_OVER);
	assert_int_equal(term_close_code(NULL, STREAM_STATE_BAD_INPUT), 1008);
	assert_int_equal(term_close_code(NULL, STREAM_STATE_SHUTTING_DOWN), 1001);
	assert_int_equal(term_close_code(NULL, STREAM_STATE_IDENTITY_EXPIRED),
	    TERM_CLOSE_IDENTITY_EXPIRED);
	assert_int_equal(term_close_code(NULL, STREAM_STATE_REVOKED), TERM_CLOSE_REVOKED);
	assert_int_equal(term_close_code(NULL, STREAM_STATE_IDENTITY_EXPIRING), TERM_CLOSE_LOST);
	assert_int_equal(term_close_code(NULL, STREAM_STATE_RENEWED), TERM_CLOSE_LOST);
	assert_int_equal(term_close_code(&(struct stream_exit){ EXIT_NONE, 0, END_REVOKED },
			     STREAM_STATE_REVOKED),
	    TERM_CLOSE_ENDED);
	for (unsigned code = 1000; code < 5000; code++)
		assert_true(strlen(term_close_reason(code)) <= 123);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_clients),
		cmocka_unit_test(refuses_clients),
		cmocka_unit_test(every_cut_of_a_good_message_is_refused),
		cmocka_unit_test(reads_renewals),
		cmocka_unit_test(writes_output),
		cmocka_unit_test(writes_messages),
		cmocka_unit_test(writes_refused_renewals),
		cmocka_unit_test(writes_where_a_session_fell_back_to),
		cmocka_unit_test(every_state_has_a_reason),
		cmocka_unit_test(chooses_close_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
