/* SPDX-License-Identifier: MIT */
/*
 * Tests of authd/jwk.c, authd/jwkread.c and authd/jwa.c.
 * links: authd/jwk.c authd/jwkread.c authd/jwa.c authd/jws.c authd/tokenerr.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "authd/jwk.h"
#include "authd/tokenerr.h"
#include "common/cleanup.h"
#include "common/filter.h"
#include "common/json.h"
#include "regress/unit/jose.h"

#define SET_SIZE (JWK_SET_MAX_BYTES + 4096)
#define PAYLOAD "{\"sub\":\"alice\"}"

static struct jose_keys keys;
static char text[SET_SIZE], token[JOSE_TOKEN_SIZE];
static struct jwk_report report;
static struct jws jws;

static int
setup(void **state)
{
	(void)state;
	jose_keys_make(&keys);
	return jwa_init();
}

static int
teardown(void **state)
{
	(void)state;
	jose_keys_free(&keys);
	return 0;
}

static void
set_begin(void)
{
	snprintf(text, sizeof(text), "{\"keys\":[");
}

/* more: further members, each after a comma */
static void
set_add(EVP_PKEY *key, const char *more)
{
	char public[JOSE_JWK_SIZE];
	size_t len = strlen(text);

	jose_public(key, public);
	assert_in_range(snprintf(text + len, sizeof(text) - len, "%s{%s%s}",
			    text[len - 1] == '[' ? "" : ",", public, more),
	    1, sizeof(text) - len - 1);
}

static void
set_add_text(const char *json)
{
	size_t len = strlen(text);

	snprintf(text + len, sizeof(text) - len, "%s%s", text[len - 1] == '[' ? "" : ",", json);
}

static void
set_close(void)
{
	size_t len = strlen(text);

	snprintf(text + len, sizeof(text) - len, "]}");
}

static int
set_end(jwa_set allowed, struct jwk_set **out)
{
	set_close();
	return jwk_set_parse(text, strlen(text), allowed, out, &report);
}

/* One key, whose parsing gives what jwk_set_parse gave, or why it was left out. */
static int
parse_one(EVP_PKEY *key, const char *more)
{
	struct jwk_set *set = NULL;
	int error;

	set_begin();
	set_add(key, more);
	error = set_end(JWA_ALL, &set);
	jwk_set_free(set);
	return error == -JWK_E_EMPTY ? report.first_skipped : error;
}

static int
verify(struct jwk_set *set, const char *header, EVP_PKEY *key, enum jwa_alg alg)
{
	jose_make(token, header, PAYLOAD, key, alg);
	assert_int_equal(jws_parse(token, strlen(token), &jws), 0);
	return jwk_set_verify(set, &jws);
}

static const struct {
	const char *header;
	size_t key; /* offset in struct jose_keys */
	enum jwa_alg alg;
} good[] = {
	{ "{\"alg\":\"RS256\",\"kid\":\"r\"}", offsetof(struct jose_keys, rsa), JWA_RS256 },
	{ "{\"alg\":\"RS384\",\"kid\":\"r\"}", offsetof(struct jose_keys, rsa), JWA_RS384 },
	{ "{\"alg\":\"RS512\",\"kid\":\"r\"}", offsetof(struct jose_keys, rsa), JWA_RS512 },
	{ "{\"alg\":\"PS256\",\"kid\":\"r\"}", offsetof(struct jose_keys, rsa), JWA_PS256 },
	{ "{\"alg\":\"ES256\",\"kid\":\"e\"}", offsetof(struct jose_keys, p256), JWA_ES256 },
	{ "{\"alg\":\"ES384\",\"kid\":\"f\"}", offsetof(struct jose_keys, p384), JWA_ES384 },
	{ "{\"alg\":\"EdDSA\",\"kid\":\"o\"}", offsetof(struct jose_keys, ed25519), JWA_EDDSA },
	{ "{\"alg\":\"Ed25519\",\"kid\":\"o\"}", offsetof(struct jose_keys, ed25519), JWA_ED25519 },
};

static EVP_PKEY *
key_at(size_t offset)
{
	return *(EVP_PKEY **)((char *)&keys + offset);
}

/* Each twice, since what verifies is set up once and used again; and each damaged in between. */
static void
test_every_algorithm(void **state)
{
	struct jwk_set *set;

	(void)state;
	set_begin();
	set_add(keys.rsa, ",\"kid\":\"r\"");
	set_add(keys.p256, ",\"kid\":\"e\",\"use\":\"sig\",\"alg\":\"ES256\"");
	set_add(keys.p384, ",\"kid\":\"f\",\"key_ops\":[\"verify\"]");
	set_add(keys.ed25519, ",\"kid\":\"o\",\"alg\":\"EdDSA\"");
	assert_int_equal(set_end(JWA_ALL, &set), 0);
	assert_int_equal(report.used, 4);
	assert_int_equal(report.skipped, 0);
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		EVP_PKEY *key = key_at(good[i].key);

		assert_int_equal(verify(set, good[i].header, key, good[i].alg), 0);
		jws.signature[jws.signature_len / 2] ^= 1;
		assert_int_equal(jwk_set_verify(set, &jws), -TOKEN_E_SIGNATURE);
		assert_int_equal(verify(set, good[i].header, key, good[i].alg), 0);
		jws.signature_len--;
		assert_int_equal(jwk_set_verify(set, &jws), -TOKEN_E_SIGNATURE);
	}
	jwk_set_free(set);
}

/* Signatures that others made: RFC 7515 A.2 and A.3, RFC 8037 A.4. */
#define RFC7515_PAYLOAD \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
static const char rfc_set[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHm"
    "fHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGz"
    "jb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxv"
    "b3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW"
    "yuXpoQ\",\"e\":\"AQAB\"},"
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
static const char rfc_rs256[] =
    "eyJhbGciOiJSUzI1NiJ9." RFC7515_PAYLOAD
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"
    "p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMH"
    "lb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9"
    "QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
static const char rfc_es256[] =
    "eyJhbGciOiJFUzI1NiJ9." RFC7515_PAYLOAD
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char rfc_eddsa[] =
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
static const char *const rfc_tokens[] = { rfc_rs256, rfc_es256, rfc_eddsa };

static void
test_examples_of_the_rfcs(void **state)
{
	struct jwk_set *set;

	(void)state;
	assert_int_equal(jwk_set_parse(rfc_set, strlen(rfc_set), JWA_ALL, &set, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(rfc_tokens); i++) {
		assert_int_equal(jws_parse(rfc_tokens[i], strlen(rfc_tokens[i]), &jws), 0);
		assert_int_equal(jwk_set_verify(set, &jws), 0);
	}
	jwk_set_free(set);
}

/*
 * What authd does, in a process that has loaded nothing but what the init functions load: under the
 * filter no file can be opened any more, and a call that is not listed kills.
 */
static int
run_filtered(void)
{
	struct jwk_set *set;

	if (json_init() != 0 || jwa_init() != 0 || filter_load(PROC_AUTHD) != 0)
		return 1;
	if (jwk_set_parse(rfc_set, strlen(rfc_set), JWA_ALL, &set, NULL) != 0)
		return 2;
	for (size_t i = 0; i < COUNT_OF(rfc_tokens); i++) {
		if (jws_parse(rfc_tokens[i], strlen(rfc_tokens[i]), &jws) != 0 ||
		    jwk_set_verify(set, &jws) != 0)
			return 3;
	}
	jwk_set_free(set);
	return 0;
}

static void
test_under_the_filter_of_authd(void **state)
{
	char *argv[] = { "test_jwk", "filtered", NULL };
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A set that allows one algorithm takes no other, whatever its keys could do. */
static void
test_configuration_binds(void **state)
{
	struct jwk_set *set;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		set_begin();
		set_add(keys.rsa, ",\"kid\":\"r\"");
		set_add(keys.p256, ",\"kid\":\"e\"");
		set_add(keys.p384, ",\"kid\":\"f\"");
		set_add(keys.ed25519, ",\"kid\":\"o\"");
		assert_int_equal(set_end(JWA_BIT(good[i].alg), &set), 0);
		assert_int_equal(report.used, 1);
		for (size_t j = 0; j < COUNT_OF(good); j++)
			assert_int_equal(verify(set, good[j].header, key_at(good[j].key),
					     good[j].alg),
			    i == j ? 0 : -TOKEN_E_ALG_NOT_ALLOWED);
		jwk_set_free(set);
	}
}

static void
test_alg_of_the_key_binds(void **state)
{
	struct jwk_set *set;

	(void)state;
	set_begin();
	set_add(keys.rsa, ",\"kid\":\"r\",\"alg\":\"PS256\"");
	assert_int_equal(set_end(JWA_ALL, &set), 0);
	assert_int_equal(verify(set, "{\"alg\":\"PS256\",\"kid\":\"r\"}", keys.rsa, JWA_PS256), 0);
	assert_int_equal(verify(set, "{\"alg\":\"RS256\",\"kid\":\"r\"}", keys.rsa, JWA_RS256),
	    -TOKEN_E_ALG_NOT_OF_KEY);
	jwk_set_free(set);
}

/* RFC 7518 3.5: the salt is as long as the digest. */
static void
test_salt_of_pss(void **state)
{
	static const char header[] = "{\"alg\":\"PS256\"}";
	static const int salts[] = { 0, 20, 31, 33, 32 };
	EVP_PKEY_CTX *pkey_ctx;
	struct jwk_set *set;

	(void)state;
	set_begin();
	set_add(keys.rsa, "");
	assert_int_equal(set_end(JWA_ALL, &set), 0);
	for (size_t i = 0; i < COUNT_OF(salts); i++) {
		EVP_MD_CTX *ctx = EVP_MD_CTX_new();
		size_t len = sizeof(jws.signature);

		jose_make(token, header, PAYLOAD, keys.rsa, JWA_PS256);
		assert_int_equal(jws_parse(token, strlen(token), &jws), 0);
		assert_int_equal(EVP_DigestSignInit_ex(ctx, &pkey_ctx, "SHA256", NULL, NULL,
				     keys.rsa, NULL),
		    1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, salts[i]), 1);
		assert_int_equal(EVP_DigestSign(ctx, jws.signature, &len,
				     (const unsigned char *)jws.input, jws.input_len),
		    1);
		EVP_MD_CTX_free(ctx);
		assert_int_equal(jwk_set_verify(set, &jws),
		    salts[i] == 32 ? 0 : -TOKEN_E_SIGNATURE);
	}
	jwk_set_free(set);
}

static void
test_kid(void **state)
{
	struct jwk_set *set;

	(void)state;
	set_begin();
	set_add(keys.rsa, ",\"kid\":\"a\"");
	set_add(keys.rsa_other, ",\"kid\":\"b\"");
	set_add(keys.p256, "");
	assert_int_equal(set_end(JWA_ALL, &set), 0);
	assert_int_equal(verify(set, "{\"alg\":\"RS256\",\"kid\":\"b\"}", keys.rsa_other,
			     JWA_RS256),
	    0);
	assert_int_equal(verify(set, "{\"alg\":\"RS256\",\"kid\":\"b\"}", keys.rsa, JWA_RS256),
	    -TOKEN_E_SIGNATURE);
	assert_int_equal(verify(set, "{\"alg\":\"RS256\",\"kid\":\"c\"}", keys.rsa, JWA_RS256),
	    -TOKEN_E_KID_UNKNOWN);
	/* Without a kid: only where no other key could be meant. */
	assert_int_equal(verify(set, "{\"alg\":\"RS256\"}", keys.rsa, JWA_RS256),
	    -TOKEN_E_KID_MISSING);
	assert_int_equal(verify(set, "{\"alg\":\"ES256\"}", keys.p256, JWA_ES256), 0);
	assert_int_equal(verify(set, "{\"alg\":\"ES384\"}", keys.p384, JWA_ES384),
	    -TOKEN_E_KID_UNKNOWN);
	/* A key without a kid has none, not the empty one. */
	assert_int_equal(verify(set, "{\"alg\":\"ES256\",\"kid\":\"\"}", keys.p256, JWA_ES256),
	    -TOKEN_E_KID_UNKNOWN);
	jwk_set_free(set);
}

static void
test_same_kid(void **state)
{
	struct jwk_set *set;

	(void)state;
	set_begin();
	set_add(keys.rsa, ",\"kid\":\"a\"");
	set_add(keys.rsa_other, ",\"kid\":\"a\"");
	set_add(keys.p256, ",\"kid\":\"a\"");
	assert_int_equal(set_end(JWA_ALL, &set), 0);
	assert_int_equal(verify(set, "{\"alg\":\"RS256\",\"kid\":\"a\"}", keys.rsa, JWA_RS256), 0);
	assert_int_equal(verify(set, "{\"alg\":\"RS256\",\"kid\":\"a\"}", keys.rsa_other,
			     JWA_RS256),
	    0);
	assert_int_equal(verify(set, "{\"alg\":\"ES256\",\"kid\":\"a\"}", keys.p256, JWA_ES256), 0);
	assert_int_equal(verify(set, "{\"alg\":\"ES256\",\"kid\":\"a\"}", keys.p256_other,
			     JWA_ES256),
	    -TOKEN_E_SIGNATURE);
	jwk_set_free(set);

	set_begin();
	for (size_t i = 0; i <= JWK_SAME_KID_MAX; i++)
		set_add(keys.p256, ",\"kid\":\"a\"");
	assert_int_equal(set_end(JWA_ALL, &set), -JWK_E_SAME_KID);
}

static void
test_members_of_a_key(void **state)
{
	char more[256];

	(void)state;
	assert_int_equal(parse_one(keys.rsa, ",\"use\":\"sig\",\"x5t\":\"y\",\"new\":{\"a\":[1]}"),
	    0);
	assert_int_equal(parse_one(keys.rsa, ",\"use\":\"enc\""), -JWK_E_USE);
	assert_int_equal(parse_one(keys.rsa, ",\"use\":null"), -JWK_E_USE);
	assert_int_equal(parse_one(keys.rsa, ",\"key_ops\":[\"sign\",\"verify\"]"), 0);
	assert_int_equal(parse_one(keys.rsa, ",\"key_ops\":[\"encrypt\"]"), -JWK_E_KEY_OPS);
	assert_int_equal(parse_one(keys.rsa, ",\"key_ops\":[]"), -JWK_E_KEY_OPS);
	assert_int_equal(parse_one(keys.rsa, ",\"key_ops\":\"verify\""), -JWK_E_KEY_OPS);
	assert_int_equal(parse_one(keys.rsa, ",\"alg\":\"RS512\""), 0);
	assert_int_equal(parse_one(keys.rsa, ",\"alg\":\"ES256\""), -JWK_E_ALG);
	assert_int_equal(parse_one(keys.rsa, ",\"alg\":\"HS256\""), -JWK_E_ALG);
	assert_int_equal(parse_one(keys.rsa, ",\"alg\":\"RSA-OAEP\""), -JWK_E_ALG);
	assert_int_equal(parse_one(keys.rsa, ",\"alg\":1"), -JWK_E_ALG);
	assert_int_equal(parse_one(keys.p256, ",\"alg\":\"ES384\""), -JWK_E_ALG);
	assert_int_equal(parse_one(keys.rsa, ",\"kid\":1"), -JWK_E_KID);
	assert_int_equal(parse_one(keys.rsa, ",\"kid\":\"a\\nb\""), -JWK_E_KID);
	snprintf(more, sizeof(more), ",\"kid\":\"%0*d\"", JWS_KID_MAX_BYTES + 1, 1);
	assert_int_equal(parse_one(keys.rsa, more), -JWK_E_KID);
	assert_int_equal(parse_one(keys.rsa_weak, ""), -JWK_E_WEAK);
}

static void
test_private_members_refuse_the_set(void **state)
{
	static const char *const names[] = { "d", "p", "q", "dp", "dq", "qi", "oth", "priv" };
	struct jwk_set *set;
	char more[32];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(more, sizeof(more), ",\"%s\":\"AQ\"", names[i]);
		set_begin();
		set_add(keys.p256, "");
		set_add(keys.rsa, more);
		assert_int_equal(set_end(JWA_ALL, &set), -JWK_E_PRIVATE);
	}
}

#define COORDINATE "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define EC_KEY(crv, x, y) "{\"kty\":\"EC\",\"crv\":" crv ",\"x\":\"" x "\",\"y\":\"" y "\"}"

static const struct {
	const char *key;
	enum jwk_error want;
} bad_keys[] = {
	{ "7", JWK_E_KEY_SHAPE },
	{ "[]", JWK_E_KEY_SHAPE },
	{ "{}", JWK_E_KEY_SHAPE },
	{ "{\"kty\":1}", JWK_E_KEY_SHAPE },
	{ "{\"kty\":\"oct\",\"k\":\"c2VjcmV0\",\"alg\":\"HS256\",\"kid\":\"a\"}", JWK_E_SYMMETRIC },
	{ "{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\",\"pub\":\"AA\"}", JWK_E_KTY },
	{ "{\"kty\":\"rsa\",\"n\":\"AQ\",\"e\":\"AQAB\"}", JWK_E_KTY },
	{ "{\"kty\":\"RSA\"}", JWK_E_ENCODING },
	{ "{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}", JWK_E_ENCODING },
	{ "{\"kty\":\"RSA\",\"n\":\"AQAB==\",\"e\":\"AQAB\"}", JWK_E_ENCODING },
	{ "{\"kty\":\"RSA\",\"n\":5,\"e\":\"AQAB\"}", JWK_E_ENCODING },
	{ "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", JWK_E_WEAK },
	{ EC_KEY("\"P-256\"", COORDINATE, COORDINATE), JWK_E_INVALID }, /* off the curve */
	{ EC_KEY("\"P-384\"", COORDINATE, COORDINATE), JWK_E_ENCODING },
	{ EC_KEY("\"P-256\"", "AAAA", COORDINATE), JWK_E_ENCODING },
	{ EC_KEY("\"P-256\"", COORDINATE, ""), JWK_E_ENCODING },
	{ EC_KEY("\"P-256\"", COORDINATE "AAAA", COORDINATE), JWK_E_ENCODING },
	{ EC_KEY("\"P-521\"", COORDINATE, COORDINATE), JWK_E_CURVE },
	{ EC_KEY("\"secp256k1\"", COORDINATE, COORDINATE), JWK_E_CURVE },
	{ EC_KEY("null", COORDINATE, COORDINATE), JWK_E_CURVE },
	{ "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" COORDINATE "\"}", JWK_E_CURVE },
	{ "{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" COORDINATE "\"}", JWK_E_CURVE },
	{ "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}", JWK_E_ENCODING },
	{ "{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}", JWK_E_ENCODING },
};

/* A bad key is left out, and the good one beside it serves on. */
static void
test_bad_keys_are_skipped(void **state)
{
	struct jwk_set *set;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad_keys); i++) {
		set_begin();
		set_add_text(bad_keys[i].key);
		set_add(keys.p256, ",\"kid\":\"a\"");
		assert_int_equal(set_end(JWA_ALL, &set), 0);
		if (report.first_skipped != -(int)bad_keys[i].want)
			fail_msg("%s: %s", bad_keys[i].key, jwk_error_code(report.first_skipped));
		assert_int_equal(report.skipped, 1);
		assert_int_equal(verify(set, "{\"alg\":\"ES256\",\"kid\":\"a\"}", keys.p256,
				     JWA_ES256),
		    0);
		jwk_set_free(set);
	}
}

/* The modulus of a good key with other exponents, and with a zero in front. */
static void
test_rsa_numbers(void **state)
{
	static const struct {
		const char *prefix, *e;
		int want;
	} rows[] = {
		{ "", "AQAB", 0 },
		{ "", "AQ", -JWK_E_WEAK },               /* 1: anything is a signature of itself */
		{ "", "Aw", -JWK_E_WEAK },               /* 3 */
		{ "", "AQAC", -JWK_E_WEAK },             /* 65538 */
		{ "", "AQAA", -JWK_E_WEAK },             /* 65536 */
		{ "", "AAEAAQ", -JWK_E_ENCODING },       /* 65537 after a zero */
		{ "", "AQAAAAAAAAAB", -JWK_E_ENCODING }, /* nine bytes */
		{ "AAAA", "AQAB", -JWK_E_ENCODING },
	};
	char n[JOSE_JWK_SIZE];
	struct jwk_set *set;
	int error;

	(void)state;
	jose_number(keys.rsa, OSSL_PKEY_PARAM_RSA_N, 0, n);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		snprintf(text, sizeof(text),
		    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s%s\",\"e\":\"%s\"}]}", rows[i].prefix, n,
		    rows[i].e);
		set = NULL;
		error = jwk_set_parse(text, strlen(text), JWA_ALL, &set, &report);
		jwk_set_free(set);
		assert_int_equal(error, rows[i].want == 0 ? 0 : -JWK_E_EMPTY);
		assert_int_equal(report.first_skipped, rows[i].want);
	}
}

/* A prime is no modulus: who knows one factor knows all. */
static void
test_rsa_modulus_is_checked(void **state)
{
	unsigned char bytes[256];
	char n[JOSE_JWK_SIZE];
	BIGNUM *prime = BN_new();
	struct jwk_set *set;

	(void)state;
	assert_int_equal(BN_generate_prime_ex(prime, 2048, 0, NULL, NULL, NULL), 1);
	assert_int_equal(BN_bn2binpad(prime, bytes, sizeof(bytes)), sizeof(bytes));
	BN_free(prime);
	for (int even = 0; even < 2; even++) {
		bytes[sizeof(bytes) - 1] &= (unsigned char)~even;
		assert_int_equal(b64url_encode(bytes, sizeof(bytes), n, sizeof(n)), 0);
		snprintf(text, sizeof(text),
		    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}]}", n);
		assert_int_equal(jwk_set_parse(text, strlen(text), JWA_ALL, &set, &report),
		    -JWK_E_EMPTY);
		assert_int_equal(report.first_skipped, -JWK_E_INVALID);
	}
}

static const struct {
	const char *set;
	enum jwk_error want;
} bad_sets[] = {
	{ "", JWK_E_SIZE },
	{ "null", JWK_E_JSON },
	{ "[]", JWK_E_JSON },
	{ "{\"keys\":[]} x", JWK_E_JSON },
	{ "{\"keys\":[],\"keys\":[]}", JWK_E_JSON },
	{ "{\"keys\":[{\"kty\":\"RSA\",\"kty\":\"EC\"}]}", JWK_E_JSON },
	{ "\xef\xbb\xbf{\"keys\":[]}", JWK_E_JSON },
	{ "{\"keys\":[{\"a\":[[[[]]]]}]}", JWK_E_JSON },
	{ "{}", JWK_E_SHAPE },
	{ "{\"keys\":{}}", JWK_E_SHAPE },
	{ "{\"kty\":\"EC\"}", JWK_E_SHAPE },
	{ "{\"keys\":[]}", JWK_E_EMPTY },
	{ "{\"keys\":[null]}", JWK_E_EMPTY },
};

static void
test_bad_sets(void **state)
{
	struct jwk_set *set;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad_sets); i++) {
		int error = jwk_set_parse(bad_sets[i].set, strlen(bad_sets[i].set), JWA_ALL, &set,
		    NULL);

		if (error != -(int)bad_sets[i].want)
			fail_msg("%s: %s", bad_sets[i].set, jwk_error_code(error));
	}
}

static void
test_bounds(void **state)
{
	struct jwk_set *set;

	(void)state;
	set_begin();
	set_add(keys.p256, "");
	for (size_t i = 1; i < JWK_SET_MAX_KEYS; i++)
		set_add_text("{}");
	assert_int_equal(set_end(JWA_ALL, &set), 0);
	jwk_set_free(set);
	set_begin();
	for (size_t i = 0; i <= JWK_SET_MAX_KEYS; i++)
		set_add_text("{}");
	assert_int_equal(set_end(JWA_ALL, &set), -JWK_E_COUNT);

	set_begin();
	set_add(keys.p256, "");
	set_close();
	memset(text + strlen(text), ' ', sizeof(text) - strlen(text));
	assert_int_equal(jwk_set_parse(text, JWK_SET_MAX_BYTES, JWA_ALL, &set, NULL), 0);
	jwk_set_free(set);
	assert_int_equal(jwk_set_parse(text, JWK_SET_MAX_BYTES + 1, JWA_ALL, &set, NULL),
	    -JWK_E_SIZE);
}

static void
test_error_codes(void **state)
{
	(void)state;
	for (int i = 1; i <= JWK_E_INVALID; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(jwk_error_code(-i), jwk_error_code(-j));
	assert_string_equal(jwk_error_code(1), "unknown");
	assert_string_equal(jwk_error_code(-JWK_E_INVALID - 1), "unknown");
	jwk_set_free(NULL);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_algorithm),
		cmocka_unit_test(test_examples_of_the_rfcs),
		cmocka_unit_test(test_under_the_filter_of_authd),
		cmocka_unit_test(test_configuration_binds),
		cmocka_unit_test(test_alg_of_the_key_binds),
		cmocka_unit_test(test_salt_of_pss),
		cmocka_unit_test(test_kid),
		cmocka_unit_test(test_same_kid),
		cmocka_unit_test(test_members_of_a_key),
		cmocka_unit_test(test_private_members_refuse_the_set),
		cmocka_unit_test(test_bad_keys_are_skipped),
		cmocka_unit_test(test_rsa_numbers),
		cmocka_unit_test(test_rsa_modulus_is_checked),
		cmocka_unit_test(test_bad_sets),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_error_codes),
	};

	(void)argv;
	if (argc > 1)
		_exit(run_filtered());
	return cmocka_run_group_tests(tests, setup, teardown);
}
