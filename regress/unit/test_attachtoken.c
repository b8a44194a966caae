/* SPDX-License-Identifier: MIT */
/* Tests of authd/attachtoken.c. links: authd/attachtoken.c */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/attachtoken.h"
#include "common/b64url.h"

#define BOOT "3f1c2d4e-0000-4aaa-8bbb-123456789abc"
#define OTHER_BOOT "3f1c2d4e-0000-4aaa-8bbb-123456789abd"
#define SESSION "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0"
#define WALL_S 1750000000
#define BOOT_MS UINT64_C(5000000)

static unsigned char key_bytes[] = "0123456789abcdef0123456789abcdef";
static unsigned char old_key_bytes[] = "an older key, of the same length";
static const struct secret key = { key_bytes, 32 };
static const struct secret old_key = { old_key_bytes, 32 };
static const struct secret *const keys[ATTACHTOKEN_KEYS] = { &key };
static const struct attach_now now = { WALL_S, BOOT_MS, BOOT };

static struct attachtoken
good_claims(void)
{
	struct attachtoken claims = {
		.role = ROLE_DRIVER,
		.subject = "alice",
		.subject_issuer = "https://idp.example.org",
		.issued_wall_s = WALL_S,
		.expires_wall_s = WALL_S + 60,
		.boot_id = BOOT,
		.expires_boot_ms = BOOT_MS + 60000,
		.identity_until_boot_ms = BOOT_MS + 900000,
		.identity_issued_s = WALL_S - 300,
		.identity_sid = "9d1e/α",
	};

	assert_int_equal(id_parse(SESSION, strlen(SESSION), &claims.session_id), 0);
	memcpy(claims.token_id.b, "\x00\x01\xfe\xff 89abcdef...", ID_BYTES);
	return claims;
}

static size_t
good_token(char token[static ATTACHTOKEN_SIZE])
{
	struct attachtoken claims = good_claims();

	assert_int_equal(attachtoken_mint(&key, &claims, token, ATTACHTOKEN_SIZE), 0);
	return strlen(token);
}

static int
verify(const char *token)
{
	struct attachtoken claims;

	return attachtoken_verify(keys, token, strlen(token), &now, &claims);
}

/* Whatever stands before the last dot, with a signature that is right for it. */
static void
sign(char *token, size_t size, const struct secret *with)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len;
	size_t len = strlen(token);

	assert_non_null(HMAC(EVP_sha256(), with->bytes, (int)with->len,
	    (const unsigned char *)token, len, mac, &mac_len));
	token[len++] = '.';
	assert_int_equal(b64url_encode(mac, mac_len, token + len, size - len), 0);
}

/* A token signed with our key, whatever its header and claims. */
static void
forge(char token[static ATTACHTOKEN_SIZE], const char *header, const char *claims)
{
	size_t len;

	assert_int_equal(b64url_encode(header, strlen(header), token, ATTACHTOKEN_SIZE), 0);
	len = strlen(token);
	token[len++] = '.';
	assert_int_equal(b64url_encode(claims, strlen(claims), token + len, ATTACHTOKEN_SIZE - len),
	    0);
	sign(token, ATTACHTOKEN_SIZE, &key);
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"fog-attach+jwt\"}"

/* The claims in parts, so that a row can replace one. */
#define ISS "\"iss\":\"cloudshell-fog\","
#define JTI "\"jti\":\"AAH-_yA4OWFiY2RlZi4uLg\","
#define SID "\"sid\":\"" SESSION "\","
#define SUB "\"sub\":\"alice\","
#define SUB_ISS "\"sub_iss\":\"dev\","
#define ROLE "\"role\":\"viewer\","
#define BOOT_CLAIM "\"boot\":\"" BOOT "\","
#define IAT "\"iat\":1750000000,"
#define EXP "\"exp\":1750000060,"
#define ID_UNTIL "\"id_until\":0,"
#define ID_IAT "\"id_iat\":1749999900,"
#define ID_SID "\"id_sid\":\"\""
#define ID ID_UNTIL ID_IAT ID_SID
#define EXP_BOOT "\"exp_boot\":5060000," ID

static void
test_round_trip(void **state)
{
	struct attachtoken claims = good_claims(), out;
	char token[ATTACHTOKEN_SIZE];

	(void)state;
	memset(&out, 0x5a, sizeof(out));
	good_token(token);
	assert_int_equal(attachtoken_verify(keys, token, strlen(token), &now, &out), 0);
	assert_true(id_equal(&out.token_id, &claims.token_id));
	assert_true(id_equal(&out.session_id, &claims.session_id));
	assert_int_equal(out.role, ROLE_DRIVER);
	assert_string_equal(out.subject, claims.subject);
	assert_string_equal(out.subject_issuer, claims.subject_issuer);
	assert_int_equal(out.issued_wall_s, claims.issued_wall_s);
	assert_int_equal(out.expires_wall_s, claims.expires_wall_s);
	assert_string_equal(out.boot_id, BOOT);
	assert_int_equal(out.expires_boot_ms, claims.expires_boot_ms);
	assert_int_equal(out.identity_until_boot_ms, claims.identity_until_boot_ms);
	assert_int_equal(out.identity_issued_s, claims.identity_issued_s);
	assert_string_equal(out.identity_sid, claims.identity_sid);
}

static void
test_longest_names_round_trip(void **state)
{
	struct attachtoken claims = good_claims(), out;
	char token[ATTACHTOKEN_SIZE];

	(void)state;
	/* What JSON writes longest: two bytes for each quotation mark. */
	memset(claims.subject, '"', ATTACHTOKEN_SUBJECT_MAX_BYTES);
	for (size_t i = 0; i < ATTACHTOKEN_SUBJECT_ISSUER_MAX_BYTES; i += 2)
		memcpy(claims.subject_issuer + i, "\xc3\xa9", 3);
	memset(claims.identity_sid, '\\', ATTACHTOKEN_SID_MAX_BYTES);
	assert_int_equal(attachtoken_mint(&key, &claims, token, sizeof(token)), 0);
	assert_int_equal(attachtoken_verify(keys, token, strlen(token), &now, &out), 0);
	assert_string_equal(out.subject, claims.subject);
	assert_string_equal(out.subject_issuer, claims.subject_issuer);
	assert_string_equal(out.identity_sid, claims.identity_sid);
}

/* SESSION_TOKEN_SIGNING_KEY_PREVIOUS: what the old key has signed lives on, and nothing else does. */
static void
test_rotation_of_keys(void **state)
{
	const struct secret empty = SECRET_EMPTY, third = { key_bytes, 31 };
	const struct secret *const before[ATTACHTOKEN_KEYS] = { &old_key, NULL };
	const struct secret *const during[ATTACHTOKEN_KEYS] = { &key, &old_key };
	const struct secret *const after[ATTACHTOKEN_KEYS] = { &key, &empty };
	const struct secret *const wrong[ATTACHTOKEN_KEYS] = { &key, &third };
	const struct secret *const none[ATTACHTOKEN_KEYS] = { &empty, &old_key };
	struct attachtoken claims = good_claims(), out;
	char old[ATTACHTOKEN_SIZE], new[ATTACHTOKEN_SIZE];
	size_t old_len, new_len = good_token(new);

	(void)state;
	assert_int_equal(attachtoken_mint(&old_key, &claims, old, sizeof(old)), 0);
	old_len = strlen(old);
	assert_int_equal(attachtoken_verify(before, old, old_len, &now, &out), 0);
	assert_int_equal(attachtoken_verify(before, new, new_len, &now, &out),
	    -ATTACHTOKEN_E_SIGNATURE);
	assert_int_equal(attachtoken_verify(during, old, old_len, &now, &out), 0);
	assert_int_equal(attachtoken_verify(during, new, new_len, &now, &out), 0);
	assert_int_equal(attachtoken_verify(after, old, old_len, &now, &out),
	    -ATTACHTOKEN_E_SIGNATURE);
	assert_int_equal(attachtoken_verify(after, new, new_len, &now, &out), 0);
	assert_int_equal(attachtoken_verify(wrong, new, new_len, &now, &out), -ATTACHTOKEN_E_KEY);
	assert_int_equal(attachtoken_verify(none, old, old_len, &now, &out), -ATTACHTOKEN_E_KEY);
	new[new_len - 2] = new[new_len - 2] == 'A' ? 'B' : 'A';
	assert_int_equal(attachtoken_verify(during, new, new_len, &now, &out),
	    -ATTACHTOKEN_E_SIGNATURE);
}

static void
test_every_truncation_is_refused(void **state)
{
	char token[ATTACHTOKEN_SIZE], *copy;
	size_t len = good_token(token);
	struct attachtoken out;

	(void)state;
	for (size_t n = 0; n < len; n++) {
		/* A copy of its own, so that the sanitizer sees each byte read behind it. */
		copy = malloc(n + 1);
		assert_non_null(copy);
		memcpy(copy, token, n);
		assert_true(attachtoken_verify(keys, copy, n, &now, &out) < 0);
		assert_true(attachtoken_verify(keys, token + len - n, n, &now, &out) < 0);
		free(copy);
	}
}

static void
test_every_flipped_bit_is_refused(void **state)
{
	char token[ATTACHTOKEN_SIZE];
	size_t len = good_token(token);
	struct attachtoken out, untouched;

	(void)state;
	memset(&out, 0x5a, sizeof(out));
	untouched = out;
	for (size_t bit = 0; bit < 8 * len; bit++) {
		token[bit / 8] ^= (char)(1 << bit % 8);
		assert_true(attachtoken_verify(keys, token, len, &now, &out) < 0);
		assert_memory_equal(&out, &untouched, sizeof(out));
		token[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_int_equal(attachtoken_verify(keys, token, len, &now, &out), 0);
}

static void
test_every_added_byte_is_refused(void **state)
{
	char token[ATTACHTOKEN_SIZE], longer[ATTACHTOKEN_SIZE];
	size_t len = good_token(token);
	struct attachtoken out;

	(void)state;
	for (size_t at = 0; at <= len; at++) {
		memcpy(longer, token, at);
		memcpy(longer + at + 1, token + at, len - at);
		for (size_t i = 0; i < sizeof("=.A \n"); i++) { /* with the NUL */
			longer[at] = "=.A \n"[i];
			assert_true(attachtoken_verify(keys, longer, len + 1, &now, &out) < 0);
		}
	}
}

static void
test_other_keys_are_refused(void **state)
{
	char token[ATTACHTOKEN_SIZE];
	size_t len = good_token(token);
	struct secret other;
	const struct secret *const others[ATTACHTOKEN_KEYS] = { &other, &old_key };
	struct attachtoken out;

	(void)state;
	for (size_t bit = 0; bit < 8 * key.len; bit++) {
		assert_int_equal(secret_copy(&other, key.bytes, key.len), 0);
		other.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_int_equal(attachtoken_verify(others, token, len, &now, &out),
		    -ATTACHTOKEN_E_SIGNATURE);
		secret_wipe(&other);
	}
}

static void
test_key_length(void **state)
{
	struct attachtoken claims = good_claims(), out;
	unsigned char bytes[SECRET_MAX_BYTES + 1] = { 1 };
	static const struct {
		size_t len;
		int error;
	} rows[] = {
		{ 0, -ATTACHTOKEN_E_KEY },
		{ 31, -ATTACHTOKEN_E_KEY },
		{ 32, 0 },
		{ 200, 0 },
		{ SECRET_MAX_BYTES, 0 },
		{ SECRET_MAX_BYTES + 1, -ATTACHTOKEN_E_KEY },
	};
	char token[ATTACHTOKEN_SIZE] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct secret k = { bytes, rows[i].len };
		const struct secret *const ks[ATTACHTOKEN_KEYS] = { &k };

		assert_int_equal(attachtoken_mint(&k, &claims, token, sizeof(token)),
		    rows[i].error);
		assert_int_equal(attachtoken_verify(ks, token, strlen(token), &now, &out),
		    rows[i].error);
	}
}

static void
test_forged_good_token_is_taken(void **state)
{
	char token[ATTACHTOKEN_SIZE];

	(void)state;
	forge(token, HEADER, "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}");
	assert_int_equal(verify(token), 0);
	/* Order and white space of the claims are free. */
	forge(token, HEADER,
	    "{ \r\n" EXP BOOT_CLAIM SUB SUB_ISS IAT ISS JTI SID ROLE EXP_BOOT "\n}");
	assert_int_equal(verify(token), 0);
}

static void
test_other_headers_are_refused(void **state)
{
	static const char *const rows[] = {
		"{\"alg\":\"none\",\"typ\":\"fog-attach+jwt\"}",
		"{\"alg\":\"hs256\",\"typ\":\"fog-attach+jwt\"}",
		"{\"alg\":\"HS384\",\"typ\":\"fog-attach+jwt\"}",
		"{\"alg\":\"RS256\",\"typ\":\"fog-attach+jwt\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"typ\":\"application/fog-attach+jwt\"}",
		"{\"alg\":\"HS256\",\"typ\":\"FOG-ATTACH+JWT\"}",
		"{\"alg\":\"HS256\"}",
		"{\"typ\":\"fog-attach+jwt\"}",
		"{}",
		"[]",
		"null",
		"\"HS256\"",
		"",
		"{\"alg\":\"HS256\",\"typ\":\"fog-attach+jwt\",\"kid\":\"1\"}",
		"{\"alg\":\"HS256\",\"typ\":\"fog-attach+jwt\",\"crit\":[\"exp\"]}",
		"{\"alg\":\"HS256\",\"typ\":\"fog-attach+jwt\",\"b64\":false}",
		"{\"alg\":\"HS256\",\"typ\":\"fog-attach+jwt\",\"jwk\":{}}",
		"{\"alg\":\"HS256\",\"typ\":\"fog-attach+jwt\",\"zip\":\"DEF\"}",
		"{\"alg\":\"none\",\"alg\":\"HS256\",\"typ\":\"fog-attach+jwt\"}",
		"{\"alg\":\"HS256\",\"\\u0061lg\":\"HS256\",\"typ\":\"fog-attach+jwt\"}",
		"{\"alg\":[\"HS256\"],\"typ\":\"fog-attach+jwt\"}",
		"{\"alg\":\"HS256\",\"typ\":null}",
		"{\"typ\":\"fog-attach+jwt\",\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\", \"typ\":\"fog-attach+jwt\"}",
		(HEADER "{}"),
		(HEADER " x"),
		("\xef\xbb\xbf" HEADER),
	};
	char token[ATTACHTOKEN_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		forge(token, rows[i],
		    "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}");
		assert_int_equal(verify(token),
		    rows[i][0] == '\0' ? -ATTACHTOKEN_E_PARTS : -ATTACHTOKEN_E_HEADER);
	}
}

static void
test_other_claims_are_refused(void **state)
{
	static const struct {
		const char *claims;
		enum attachtoken_error error;
	} rows[] = {
		/* one absent */
		{ "{" JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}", ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE IAT EXP EXP_BOOT "}", ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP ID "}",
		    ATTACHTOKEN_E_CLAIMS },
		/* one twice, or unknown */
		{ "{" ISS ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB
		  "\"s\\u0075b\":\"root\"," SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE
		  "\"role\":\"driver\"," BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP "\"exp\":9750000000," EXP_BOOT
		  "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP "\"groups\":[]," EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP "\"nbf\":0," EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		/* wrong types and values */
		{ "{\"iss\":\"dev\"," JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_ISSUER },
		{ "{\"iss\":\"cloudshell-fog2\"," JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP
			EXP_BOOT "}",
		    ATTACHTOKEN_E_ISSUER },
		{ "{\"iss\":[\"cloudshell-fog\"]," JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP
			EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS "\"jti\":\"AAH-_yA4OWFiY2RlZi4uLh\"," SID SUB SUB_ISS ROLE BOOT_CLAIM IAT
			EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS "\"jti\":\"AAH-_yA4OWFiY2RlZi4u\"," SID SUB SUB_ISS ROLE BOOT_CLAIM IAT
			EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI "\"sid\":\"2489E9AD-2EE2-8E00-8EC9-32D5F69181C0\"," SUB SUB_ISS ROLE
			BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID "\"sub\":\"\"," SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID "\"sub\":null," SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID "\"sub\":\"al\\nice\"," SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT
		  "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID
		  "\"sub\":\"alice\\u0000\"," SUB_ISS ROLE BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS "\"role\":\"owner\"," BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_ROLE },
		{ "{" ISS JTI SID SUB SUB_ISS "\"role\":\"Driver\"," BOOT_CLAIM IAT EXP EXP_BOOT
		  "}",
		    ATTACHTOKEN_E_ROLE },
		{ "{" ISS JTI SID SUB SUB_ISS "\"role\":2," BOOT_CLAIM IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE "\"boot\":\"\"," IAT EXP EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE "\"boot\":\"" OTHER_BOOT "\"," IAT EXP EXP_BOOT
		  "}",
		    ATTACHTOKEN_E_BOOT },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT "\"exp\":\"1750000060\"," EXP_BOOT
		  "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT "\"exp\":1750000060.0," EXP_BOOT
		  "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT "\"exp\":-1," EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT
		  "\"exp\":9223372036854775807," EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT
		  "\"exp\":99999999999999999999," EXP_BOOT "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT "\"exp\":1750000000," EXP_BOOT
		  "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP "\"exp_boot\":null," ID "}",
		    ATTACHTOKEN_E_CLAIMS },
		{ "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP "\"exp_boot\":{\"a\":1}," ID
		  "}",
		    ATTACHTOKEN_E_CLAIMS },
	/* the identity behind it */
#define FIRST "{" ISS JTI SID SUB SUB_ISS ROLE BOOT_CLAIM IAT EXP "\"exp_boot\":5060000,"
		{ FIRST ID_IAT ID_SID "}", ATTACHTOKEN_E_CLAIMS },
		{ FIRST ID_UNTIL ID_SID "}", ATTACHTOKEN_E_CLAIMS },
		{ FIRST ID_UNTIL "\"id_iat\":1749999900}", ATTACHTOKEN_E_CLAIMS },
		{ FIRST ID_UNTIL ID_UNTIL ID_IAT ID_SID "}", ATTACHTOKEN_E_CLAIMS },
		{ FIRST "\"id_until\":-1," ID_IAT ID_SID "}", ATTACHTOKEN_E_CLAIMS },
		{ FIRST "\"id_until\":\"0\"," ID_IAT ID_SID "}", ATTACHTOKEN_E_CLAIMS },
		{ FIRST "\"id_until\":253402300800," ID_IAT ID_SID "}", ATTACHTOKEN_E_CLAIMS },
		{ FIRST "\"id_until\":5000000," ID_IAT ID_SID "}", ATTACHTOKEN_E_IDENTITY },
		{ FIRST "\"id_until\":1," ID_IAT ID_SID "}", ATTACHTOKEN_E_IDENTITY },
		{ FIRST ID_UNTIL "\"id_iat\":1e9," ID_SID "}", ATTACHTOKEN_E_CLAIMS },
		{ FIRST ID_UNTIL ID_IAT "\"id_sid\":null}", ATTACHTOKEN_E_CLAIMS },
		{ FIRST ID_UNTIL ID_IAT "\"id_sid\":\"a\\u001b\"}", ATTACHTOKEN_E_CLAIMS },
#undef FIRST
		{ "[]", ATTACHTOKEN_E_CLAIMS },
		{ "not json", ATTACHTOKEN_E_CLAIMS },
		{ "", ATTACHTOKEN_E_PARTS },
	};
	char token[ATTACHTOKEN_SIZE];
	int error;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		forge(token, HEADER, rows[i].claims);
		error = verify(token);
		if (error != -(int)rows[i].error)
			fail_msg("%s: %s", rows[i].claims, attachtoken_strerror(error));
	}
}

/* RFC 7515 and RFC 8725 traps: what other verifiers have taken. */
static void
test_token_shapes(void **state)
{
	char good[ATTACHTOKEN_SIZE], token[ATTACHTOKEN_SIZE + 8];
	char *first, *second;

	(void)state;
	good_token(good);
	first = strchr(good, '.');
	second = strchr(first + 1, '.');

	/* alg none: the signature is left out, with and without the last dot (RFC 7519 6). */
	snprintf(token, sizeof(token), "%.*s.", (int)(second - good), good);
	assert_int_equal(verify(token), -ATTACHTOKEN_E_PARTS);
	snprintf(token, sizeof(token), "%.*s", (int)(second - good), good);
	assert_int_equal(verify(token), -ATTACHTOKEN_E_PARTS);
	snprintf(token, sizeof(token), "eyJhbGciOiJub25lIn0%.*s.", (int)(second - first), first);
	assert_int_equal(verify(token), -ATTACHTOKEN_E_PARTS);
	snprintf(token, sizeof(token), "eyJhbGciOiJub25lIn0%s", first);
	assert_int_equal(verify(token), -ATTACHTOKEN_E_HEADER);

	/* detached content, an empty header, JWE's five parts, the JSON serialisation */
	snprintf(token, sizeof(token), "%.*s.%s", (int)(first - good), good, second);
	assert_int_equal(verify(token), -ATTACHTOKEN_E_PARTS);
	assert_int_equal(verify(first), -ATTACHTOKEN_E_PARTS);
	assert_int_equal(verify(".."), -ATTACHTOKEN_E_PARTS);
	assert_int_equal(verify("."), -ATTACHTOKEN_E_PARTS);
	assert_int_equal(verify("a.b.c.d.e"), -ATTACHTOKEN_E_PARTS);
	assert_int_equal(verify("{\"payload\":\"e30\",\"signatures\":[]}"), -ATTACHTOKEN_E_PARTS);
	assert_int_equal(verify(""), -ATTACHTOKEN_E_LENGTH);

	/*
	 * a signature that is a prefix, has padding, or spells the same bytes with the bits left
	 * over set
	 */
	snprintf(token, sizeof(token), "%.*s.AA", (int)(second - good), good);
	assert_int_equal(verify(token), -ATTACHTOKEN_E_SIGNATURE);
	snprintf(token, sizeof(token), "%s=", good);
	assert_int_equal(verify(token), -ATTACHTOKEN_E_SIGNATURE);
	snprintf(token, sizeof(token), "%s", good);
	token[strlen(token) - 1]++;
	assert_int_equal(verify(token), -ATTACHTOKEN_E_ENCODING);
}

static void
test_encoding_of_signed_parts_is_canonical(void **state)
{
	static const struct {
		const char *signed_part;
		int error;
	} rows[] = {
		{ "e31.e30", -ATTACHTOKEN_E_HEADER },
		{ "e30=.e30", -ATTACHTOKEN_E_HEADER },
		{ "e30 .e30", -ATTACHTOKEN_E_HEADER },
		{ "e3+0.e30", -ATTACHTOKEN_E_HEADER },
		{ "e.e30", -ATTACHTOKEN_E_HEADER },
		{ "eyJhbGciOiJIUzI1NiIsInR5cCI6ImZvZy1hdHRhY2grand0In0.e31",
		    -ATTACHTOKEN_E_ENCODING },
		{ "eyJhbGciOiJIUzI1NiIsInR5cCI6ImZvZy1hdHRhY2grand0In0.e30=",
		    -ATTACHTOKEN_E_ENCODING },
		{ "eyJhbGciOiJIUzI1NiIsInR5cCI6ImZvZy1hdHRhY2grand0In0.e30",
		    -ATTACHTOKEN_E_CLAIMS },
	};
	char token[ATTACHTOKEN_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(token, sizeof(token), "%s", rows[i].signed_part);
		sign(token, sizeof(token), &key);
		assert_int_equal(verify(token), rows[i].error);
	}
}

static void
test_length_bound(void **state)
{
	char token[ATTACHTOKEN_SIZE + 1];
	struct attachtoken out;

	(void)state;
	memset(token, 'A', sizeof(token));
	token[100] = token[3000] = '.';
	assert_int_equal(attachtoken_verify(keys, token, ATTACHTOKEN_MAX_BYTES, &now, &out),
	    -ATTACHTOKEN_E_HEADER);
	assert_int_equal(attachtoken_verify(keys, token, ATTACHTOKEN_MAX_BYTES + 1, &now, &out),
	    -ATTACHTOKEN_E_LENGTH);
	/* The longest payload there can be, signed: it is decoded whole and is no JSON. */
	memset(token, 'A', sizeof(token));
	memcpy(token, "eyJhbGciOiJIUzI1NiIsInR5cCI6ImZvZy1hdHRhY2grand0In0.", 52);
	token[ATTACHTOKEN_MAX_BYTES - 44] = '\0';
	sign(token, sizeof(token), &key);
	assert_int_equal(strlen(token), ATTACHTOKEN_MAX_BYTES);
	assert_int_equal(verify(token), -ATTACHTOKEN_E_CLAIMS);
}

static void
test_clocks(void **state)
{
	static const struct {
		struct attach_now now;
		int error;
	} rows[] = {
		{ { WALL_S, BOOT_MS, BOOT }, 0 },
		{ { WALL_S + 59, BOOT_MS + 59999, BOOT }, 0 },
		{ { WALL_S, BOOT_MS + 60000, BOOT }, -ATTACHTOKEN_E_EXPIRED },
		{ { WALL_S, UINT64_MAX, BOOT }, -ATTACHTOKEN_E_EXPIRED },
		/*
		 * A wall clock that was set back revives nothing, and one within the skew kills
		   nothing.
		 */
		{ { WALL_S - 60, BOOT_MS + 60000, BOOT }, -ATTACHTOKEN_E_EXPIRED },
		{ { WALL_S + 119, BOOT_MS + 1000, BOOT }, 0 },
		{ { WALL_S + 120, BOOT_MS + 1000, BOOT }, -ATTACHTOKEN_E_EXPIRED },
		{ { WALL_S - 60, BOOT_MS, BOOT }, 0 },
		{ { WALL_S - 61, BOOT_MS, BOOT }, -ATTACHTOKEN_E_FUTURE },
		{ { 0, BOOT_MS, BOOT }, -ATTACHTOKEN_E_FUTURE },
		/* After a reboot the clock since boot starts again. */
		{ { WALL_S, BOOT_MS, OTHER_BOOT }, -ATTACHTOKEN_E_BOOT },
		{ { WALL_S, 0, OTHER_BOOT }, -ATTACHTOKEN_E_BOOT },
		{ { WALL_S, BOOT_MS, "" }, -ATTACHTOKEN_E_BOOT },
	};
	struct attachtoken out;
	char token[ATTACHTOKEN_SIZE];
	size_t len = good_token(token);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(attachtoken_verify(keys, token, len, &rows[i].now, &out),
		    rows[i].error);
}

/* The token lives no longer than the identity for which it was made. */
static void
test_end_of_identity(void **state)
{
	static const struct {
		uint64_t until_boot_ms, now_boot_ms;
		int error;
	} rows[] = {
		{ 0, BOOT_MS, 0 },
		{ 0, BOOT_MS + 59999, 0 },
		{ BOOT_MS + 1000, BOOT_MS + 999, 0 },
		{ BOOT_MS + 1000, BOOT_MS + 1000, -ATTACHTOKEN_E_IDENTITY },
		{ 1, BOOT_MS, -ATTACHTOKEN_E_IDENTITY },
		{ BOOT_MS + 1000, BOOT_MS + 60000, -ATTACHTOKEN_E_EXPIRED },
	};
	struct attachtoken claims = good_claims(), out;
	char token[ATTACHTOKEN_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct attach_now at = { WALL_S, rows[i].now_boot_ms, BOOT };

		claims.identity_until_boot_ms = rows[i].until_boot_ms;
		assert_int_equal(attachtoken_mint(&key, &claims, token, sizeof(token)), 0);
		assert_int_equal(attachtoken_verify(keys, token, strlen(token), &at, &out),
		    rows[i].error);
	}
}

static void
assert_not_minted(const struct attachtoken *claims)
{
	char token[ATTACHTOKEN_SIZE] = "untouched";

	assert_int_equal(attachtoken_mint(&key, claims, token, sizeof(token)),
	    -ATTACHTOKEN_E_ARGUMENT);
	assert_string_equal(token, "untouched");
}

static void
test_mint_refuses_bad_claims(void **state)
{
	struct attachtoken claims;

	(void)state;
#define REFUSED(change) \
	do { \
		claims = good_claims(); \
		change; \
		assert_not_minted(&claims); \
	} while (0)
	REFUSED(claims.role = 0);
	REFUSED(claims.role = ROLE_VIEWER + 1);
	REFUSED(claims.subject[0] = '\0');
	REFUSED(claims.subject[2] = '\n');
	REFUSED(claims.subject[2] = '\xff');
	REFUSED(memset(claims.subject, 'a', sizeof(claims.subject)));
	REFUSED(claims.subject_issuer[0] = '\0');
	REFUSED(claims.boot_id[35] = '\0');
	REFUSED(memset(claims.boot_id, 'a', sizeof(claims.boot_id)));
	REFUSED(claims.issued_wall_s = -1);
	REFUSED(claims.expires_wall_s = claims.issued_wall_s);
	REFUSED(claims.expires_wall_s = INT64_MAX);
	REFUSED(claims.expires_boot_ms = UINT64_MAX);
	REFUSED(claims.identity_until_boot_ms = UINT64_MAX);
	REFUSED(claims.identity_issued_s = UINT64_MAX);
	REFUSED(claims.identity_sid[1] = '\t');
	REFUSED(claims.identity_sid[1] = '\xff');
	REFUSED(memset(claims.identity_sid, 'a', sizeof(claims.identity_sid)));
#undef REFUSED
}

static void
test_mint_needs_room(void **state)
{
	struct attachtoken claims = good_claims();
	char token[ATTACHTOKEN_SIZE];
	size_t len = good_token(token);

	(void)state;
	token[0] = '#';
	assert_int_equal(attachtoken_mint(&key, &claims, token, len), -ATTACHTOKEN_E_SPACE);
	assert_int_equal(attachtoken_mint(&key, &claims, token, 0), -ATTACHTOKEN_E_SPACE);
	assert_int_equal(token[0], '#');
	assert_int_equal(attachtoken_mint(&key, &claims, token, len + 1), 0);
	assert_int_equal(strlen(token), len);
}

/*
 * The token is a header value: nothing in it that a list of subprotocols cannot hold (RFC
 * 9110 5.6.2).
 */
static void
test_token_characters(void **state)
{
	char token[ATTACHTOKEN_SIZE];
	size_t len = good_token(token);

	(void)state;
	assert_int_equal(strspn(token,
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			     "0123456789-_."),
	    len);
}

static void
test_names(void **state)
{
	(void)state;
	for (int e = 0; e <= ATTACHTOKEN_E_CRYPTO; e++)
		assert_string_not_equal(attachtoken_strerror(-e), "unknown error");
	assert_string_equal(attachtoken_strerror(-ATTACHTOKEN_E_CRYPTO - 1), "unknown error");
	assert_string_equal(attachtoken_strerror(1), "unknown error");
	assert_string_equal(attachtoken_strerror(INT32_MIN), "unknown error");
}

static void
test_init(void **state)
{
	(void)state;
	assert_int_equal(attachtoken_init(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_longest_names_round_trip),
		cmocka_unit_test(test_rotation_of_keys),
		cmocka_unit_test(test_end_of_identity),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_every_flipped_bit_is_refused),
		cmocka_unit_test(test_every_added_byte_is_refused),
		cmocka_unit_test(test_other_keys_are_refused),
		cmocka_unit_test(test_key_length),
		cmocka_unit_test(test_forged_good_token_is_taken),
		cmocka_unit_test(test_other_headers_are_refused),
		cmocka_unit_test(test_other_claims_are_refused),
		cmocka_unit_test(test_token_shapes),
		cmocka_unit_test(test_encoding_of_signed_parts_is_canonical),
		cmocka_unit_test(test_length_bound),
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_mint_refuses_bad_claims),
		cmocka_unit_test(test_mint_needs_room),
		cmocka_unit_test(test_token_characters),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
