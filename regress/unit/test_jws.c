/* SPDX-License-Identifier: MIT */
/* Tests of authd/jws.c and authd/tokenerr.c. links: authd/jws.c authd/jwa.c authd/tokenerr.c */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "authd/jws.h"
#include "authd/tokenerr.h"
#include "common/b64url.h"
#include "common/cleanup.h"

#define GOOD_HEADER "{\"alg\":\"ES256\",\"kid\":\"k 1\",\"typ\":\"at+jwt\",\"x5t\":\"abc\"}"
#define PAYLOAD "{\"sub\":\"alice\"}"

static struct jws jws;

/* header.payload.signature of any bytes. Returns the length. */
static size_t
put(char *out, size_t size, const char *header, const char *payload, const char *signature)
{
	const char *parts[] = { header, payload, signature };
	size_t len = 0;

	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (i > 0)
			out[len++] = '.';
		assert_int_equal(b64url_encode(parts[i], strlen(parts[i]), out + len, size - len),
		    0);
		len += strlen(out + len);
	}
	return len;
}

static int
parse_header(const char *header)
{
	char token[2 * JWS_MAX_BYTES];
	size_t len = put(token, sizeof(token), header, PAYLOAD, "sig");

	return jws_parse(token, len, &jws);
}

static void
test_good(void **state)
{
	char token[512];
	size_t len = put(token, sizeof(token), GOOD_HEADER, PAYLOAD, "sig");

	(void)state;
	/* It needs no NUL, and does not read what follows. */
	token[len] = '.';
	assert_int_equal(jws_parse(token, len, &jws), 0);
	assert_int_equal(jws.alg, JWA_ES256);
	assert_true(jws.has_kid);
	assert_string_equal(jws.kid, "k 1");
	assert_string_equal(jws.typ, "at+jwt");
	assert_int_equal(jws.payload_len, strlen(PAYLOAD));
	assert_memory_equal(jws.payload, PAYLOAD, strlen(PAYLOAD));
	assert_int_equal(jws.signature_len, 3);
	assert_memory_equal(jws.signature, "sig", 3);
	assert_ptr_equal(jws.input, token);
	assert_int_equal(jws.input_len, len - 5);
}

static void
test_members_may_be_absent(void **state)
{
	(void)state;
	assert_int_equal(parse_header("{\"alg\":\"RS256\"}"), 0);
	assert_false(jws.has_kid);
	assert_string_equal(jws.typ, "");
	assert_int_equal(parse_header("{\"alg\":\"RS256\",\"kid\":\"\"}"), 0);
	assert_true(jws.has_kid);
}

static const struct {
	const char *header;
	enum token_error want;
} headers[] = {
	{ "", TOKEN_E_PARTS },
	{ "{}", TOKEN_E_HEADER_MEMBER },
	{ "[]", TOKEN_E_HEADER_JSON },
	{ "\"alg\"", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\"", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\"}}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"alg\":\"RS256\"}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"a\":{\"b\":1,\"b\":2}}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"a\":[[[]]]}", TOKEN_OK },
	{ "{\"alg\":\"RS256\",\"a\":[[[[]]]]}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"crit\":[]}", TOKEN_E_CRIT },
	{ "{\"alg\":\"RS256\",\"crit\":null}", TOKEN_E_CRIT },
	{ "{\"alg\":\"RS256\",\"b64\":true}", TOKEN_E_B64 },
	{ "{\"alg\":\"RS256\",\"jwk\":{}}", TOKEN_E_JWK },
	{ "{\"alg\":\"RS256\",\"jku\":\"\"}", TOKEN_E_JKU },
	{ "{\"alg\":\"RS256\",\"x5u\":\"\"}", TOKEN_E_X5U },
	{ "{\"alg\":\"RS256\",\"x5c\":[]}", TOKEN_E_X5C },
	{ "{\"alg\":\"NoNe\"}", TOKEN_E_ALG_NONE },
	{ "{\"alg\":\"HS512\"}", TOKEN_E_ALG_SYMMETRIC },
	{ "{\"alg\":\"rs256\"}", TOKEN_E_ALG_UNKNOWN },
	{ "{\"alg\":256}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":\"RS256\",\"kid\":7}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":\"RS256\",\"kid\":\"a\\u0007\"}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":\"RS256\",\"typ\":\"\"}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":\"RS256\",\"typ\":[\"JWT\"]}", TOKEN_E_HEADER_MEMBER },
};

static void
test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		int got = parse_header(headers[i].header);

		if (got != -(int)headers[i].want)
			fail_msg("%s: %s", headers[i].header, token_error_code(got));
	}
}

static void
test_bounds(void **state)
{
	char header[JWS_KID_MAX_BYTES + 64], token[JWS_MAX_BYTES + 2];
	int n = snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"%0*d\"}",
	    JWS_KID_MAX_BYTES, 7);
	size_t len;

	(void)state;
	assert_in_range(n, 1, sizeof(header) - 1);
	assert_int_equal(parse_header(header), 0);
	assert_int_equal(strlen(jws.kid), JWS_KID_MAX_BYTES);
	snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"%0*d\"}",
	    JWS_KID_MAX_BYTES + 1, 7);
	assert_int_equal(parse_header(header), -TOKEN_E_HEADER_MEMBER);

	/* The longest token, and one byte more. */
	len = put(token, sizeof(token), "{\"alg\":\"RS256\"}", "", "sig");
	memmove(token + JWS_MAX_BYTES - 5, token + len - 5, 5);
	memset(token + len - 5, 'A', JWS_MAX_BYTES - len);
	assert_int_equal(jws_parse(token, JWS_MAX_BYTES, &jws), 0);
	token[JWS_MAX_BYTES] = 'A';
	assert_int_equal(jws_parse(token, JWS_MAX_BYTES + 1, &jws), -TOKEN_E_LENGTH);
	assert_int_equal(jws_parse(token, 0, &jws), -TOKEN_E_LENGTH);
}

static void
test_signature_bound(void **state)
{
	char signature[JWA_SIGNATURE_MAX_BYTES + 4] = "", token[4096];
	size_t len;

	(void)state;
	memset(signature, 'x', JWA_SIGNATURE_MAX_BYTES);
	len = put(token, sizeof(token), "{\"alg\":\"RS256\"}", PAYLOAD, signature);
	assert_int_equal(jws_parse(token, len, &jws), 0);
	assert_int_equal(jws.signature_len, JWA_SIGNATURE_MAX_BYTES);
	signature[JWA_SIGNATURE_MAX_BYTES] = 'x';
	len = put(token, sizeof(token), "{\"alg\":\"RS256\"}", PAYLOAD, signature);
	assert_int_equal(jws_parse(token, len, &jws), -TOKEN_E_SIGNATURE);
}

/* What a lenient decoder would skip over, at every place. */
static void
test_foreign_characters_anywhere(void **state)
{
	static const char extra[] = "=. \n\r\t+/%\\\"&;";
	char token[512], other[512];
	size_t len = put(token, sizeof(token), GOOD_HEADER, PAYLOAD, "sig");

	(void)state;
	for (size_t at = 0; at <= len; at++) {
		for (size_t i = 0; i < strlen(extra); i++) {
			memcpy(other, token, at);
			other[at] = extra[i];
			memcpy(other + at + 1, token + at, len - at);
			assert_int_not_equal(jws_parse(other, len + 1, &jws), 0);
		}
	}
}

static void
test_algorithms(void **state)
{
	enum jwa_alg alg;
	jwa_set set = 7;

	(void)state;
	for (unsigned int i = 0; i < JWA_COUNT; i++) {
		assert_int_equal(jwa_from_name(jwa_name((enum jwa_alg)i), &alg), 0);
		assert_int_equal(alg, i);
	}
	assert_string_equal(jwa_name(JWA_COUNT), "unknown");
	assert_int_equal(jwa_set_parse("RS256", &set), 0);
	assert_int_equal(set, JWA_BIT(JWA_RS256));
	assert_int_equal(jwa_set_parse("ES256,EdDSA RS256", &set), 0);
	assert_int_equal(set, JWA_BIT(JWA_RS256) | JWA_BIT(JWA_ES256) | JWA_BIT(JWA_EDDSA));
	assert_int_equal(jwa_set_parse("", &set), -1);
	assert_int_equal(jwa_set_parse("RS256,", &set), -1);
	assert_int_equal(jwa_set_parse("RS256,,ES256", &set), -1);
	assert_int_equal(jwa_set_parse("RS256,RS256", &set), -1);
	assert_int_equal(jwa_set_parse("RS256,none", &set), -1);
	assert_int_equal(jwa_set_parse("HS256", &set), -1);
	assert_int_equal(jwa_set_parse("RS256RS256RS256RS256", &set), -1);
}

static void
test_every_error_has_a_code_of_its_own(void **state)
{
	(void)state;
	assert_string_equal(token_error_code(0), "ok");
	assert_null(token_error_answer(0));
	for (int i = 1; i <= TOKEN_E_CRYPTO; i++) {
		for (int j = 0; j < i; j++)
			assert_string_not_equal(token_error_code(-i), token_error_code(-j));
		assert_string_not_equal(token_error_code(-i), "unknown");
		if (i != TOKEN_E_CRYPTO)
			assert_string_equal(token_error_answer(-i), "invalid_token");
	}
	assert_null(token_error_answer(-TOKEN_E_CRYPTO));
	assert_string_equal(token_error_code(1), "unknown");
	assert_string_equal(token_error_code(-TOKEN_E_CRYPTO - 1), "unknown");
	assert_null(token_error_answer(-TOKEN_E_CRYPTO - 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_members_may_be_absent),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_signature_bound),
		cmocka_unit_test(test_foreign_characters_anywhere),
		cmocka_unit_test(test_algorithms),
		cmocka_unit_test(test_every_error_has_a_code_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
