/* SPDX-License-Identifier: MIT */
/* The words of nodes: what is made is taken, everything else is not; and what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/b64url.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "common/nodetoken.h"

#define NOW UINT64_C(1750000000)
#define SIGNATURE_BYTES 64
#define ASK_HEADER "{\"alg\":\"ES256\",\"typ\":\"fog-node-ask+jwt\"}"
#define JTI "00112233445566778899aabbccddeeff"

static EVP_PKEY *pkey; /* of key */
static struct nodetoken_key *key, *other_key;
static struct nodetoken_pin *pin, *other_pin;

/* --- keys --- */

static size_t
pem_of(EVP_PKEY *of, const EVP_CIPHER *cipher, char *out, size_t out_size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char password[] = "secret", *text;
	long len;

	assert_non_null(of);
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, of, cipher, cipher ? password : NULL,
			     cipher ? 6 : 0, NULL, NULL),
	    1);
	len = BIO_get_mem_data(bio, &text);
	assert_true(len > 0 && (size_t)len < out_size);
	memcpy(out, text, (size_t)len);
	BIO_free(bio);
	EVP_PKEY_free(of);
	return (size_t)len;
}

static struct nodetoken_key *
make_key(EVP_PKEY *of)
{
	char pem[4096];
	size_t len = pem_of(of, NULL, pem, sizeof(pem));
	const char *why = NULL;
	struct nodetoken_key *k = nodetoken_key_new(pem, len, &why);

	assert_non_null(k);
	return k;
}

static struct nodetoken_pin *
pin_of(const struct nodetoken_key *k)
{
	unsigned char point[NODETOKEN_KEY_BYTES];
	struct nodetoken_pin *p;

	nodetoken_key_public(k, point);
	assert_int_equal(point[0], 4);
	p = nodetoken_pin_new(point);
	assert_non_null(p);
	return p;
}

static int
set_up(void **state)
{
	(void)state;
	assert_int_equal(json_init(), 0);
	assert_true(nodetoken_load());
	assert_true(nodetoken_load());
	pkey = EVP_EC_gen("P-256");
	assert_int_equal(EVP_PKEY_up_ref(pkey), 1);
	key = make_key(pkey);
	other_key = make_key(EVP_EC_gen("P-256"));
	pin = pin_of(key);
	other_pin = pin_of(other_key);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	EVP_PKEY_free(pkey);
	nodetoken_key_free(key);
	nodetoken_key_free(other_key);
	nodetoken_pin_free(pin);
	nodetoken_pin_free(other_pin);
	return 0;
}

static void
assert_no_key(const void *pem, size_t len, const char *want)
{
	const char *why = NULL;

	assert_null(nodetoken_key_new(pem, len, &why));
	assert_string_equal(why, want);
}

static void
test_keys_of_other_kinds(void **state)
{
	char pem[8192];

	(void)state;
	assert_no_key("", 0, "it is no PEM private key");
	assert_no_key("-----BEGIN PRIVATE KEY-----\nAAAA\n", 33, "it is no PEM private key");
	assert_no_key(pem, pem_of(EVP_EC_gen("P-384"), NULL, pem, sizeof(pem)),
	    "its curve is not P-256");
	assert_no_key(pem, pem_of(EVP_RSA_gen(2048), NULL, pem, sizeof(pem)),
	    "it is no key of an elliptic curve");
	assert_no_key(pem, pem_of(EVP_EC_gen("P-256"), EVP_aes_256_cbc(), pem, sizeof(pem)),
	    "it is encrypted with a password");
}

static void
test_pins_off_the_curve(void **state)
{
	unsigned char point[NODETOKEN_KEY_BYTES];

	(void)state;
	nodetoken_key_public(key, point);
	assert_true(nodetoken_is_point(point));
	point[64] ^= 1;
	assert_false(nodetoken_is_point(point));
	assert_null(nodetoken_pin_new(point));
	point[64] ^= 1;
	point[0] = 6; /* the hybrid form */
	assert_false(nodetoken_is_point(point));
	assert_null(nodetoken_pin_new(point));
	point[0] = 4;
	memset(point + 1, 0xff, 32); /* no element of the field */
	assert_false(nodetoken_is_point(point));
	assert_null(nodetoken_pin_new(point));
	memset(point, 0, sizeof(point)); /* the point at infinity */
	assert_false(nodetoken_is_point(point));
	assert_null(nodetoken_pin_new(point));
}

/* --- there and back --- */

static struct nodetoken
ask_of(uint64_t issued_s)
{
	struct nodetoken t = { .kind = NODETOKEN_ASK,
		.issuer = "fog-1",
		.audience = "fog-2",
		.issued_s = issued_s,
		.expires_s = issued_s + NODETOKEN_LIFE_S };

	for (size_t i = 0; i < ID_BYTES; i++)
		t.id.b[i] = (unsigned char)(0x11 * i);
	return t;
}

static void
make(const struct nodetoken *t, char *out)
{
	assert_int_equal(nodetoken_make(key, t, out, NODETOKEN_MAX_BYTES), 0);
}

static const char *
verify(const char *token, enum nodetoken_kind kind, struct nodetoken *out)
{
	const char *why = NULL;
	int rc = nodetoken_verify(pin, kind, view_of(token), "fog-2", NOW, out, &why);

	assert_int_equal(rc, why ? -FOG_E_NODE_TOKEN : 0);
	return why ? why : "";
}

static void
assert_refused(const char *token, const char *want)
{
	struct nodetoken out;

	assert_string_equal(verify(token, NODETOKEN_ASK, &out), want);
}

static void
test_ask(void **state)
{
	struct nodetoken t = ask_of(NOW), out;
	char token[NODETOKEN_MAX_BYTES], issuer[65];

	(void)state;
	make(&t, token);
	assert_true(strlen(token) < 512);
	assert_string_equal(verify(token, NODETOKEN_ASK, &out), "");
	assert_string_equal(out.issuer, "fog-1");
	assert_string_equal(out.audience, "fog-2");
	assert_true(id_equal(&out.id, &t.id));
	assert_int_equal(out.issued_s, NOW);
	assert_int_equal(out.expires_s, NOW + NODETOKEN_LIFE_S);
	assert_null(out.status);
	nodetoken_fini(&out);
	assert_int_equal(nodetoken_peek_issuer(view_of(token), issuer), 0);
	assert_string_equal(issuer, "fog-1");
}

/* What it has lost goes along; none is said where there is nothing to say. */
static void
test_ask_with_suspects(void **state)
{
	struct nodetoken t = ask_of(NOW), out;
	char token[NODETOKEN_MAX_BYTES], issuer[65];

	(void)state;
	t.suspects = json_pack("[s, s]", "fog-3", "fog-4");
	make(&t, token);
	assert_string_equal(verify(token, NODETOKEN_ASK, &out), "");
	assert_true(json_equal(out.suspects, t.suspects));
	assert_null(out.status);
	nodetoken_fini(&out);
	assert_null(out.suspects);
	assert_int_equal(nodetoken_peek_issuer(view_of(token), issuer), 0);
	json_decref(t.suspects);
	t.suspects = NULL;
	make(&t, token);
	assert_string_equal(verify(token, NODETOKEN_ASK, &out), "");
	assert_null(out.suspects);
	nodetoken_fini(&out);
}

static void
test_status(void **state)
{
	struct nodetoken t = ask_of(NOW), out;
	char token[NODETOKEN_MAX_BYTES], issuer[65];

	(void)state;
	t.kind = NODETOKEN_STATUS;
	t.status = json_pack("{s:i, s:[s]}", "v", 1, "suspects", "fog-3");
	make(&t, token);
	assert_string_equal(verify(token, NODETOKEN_STATUS, &out), "");
	assert_true(json_equal(out.status, t.status));
	nodetoken_fini(&out);
	assert_refused(token, "other_kind");
	assert_int_equal(nodetoken_peek_issuer(view_of(token), issuer), 0);
	json_decref(t.status);
}

static void
test_what_does_not_fit(void **state)
{
	struct nodetoken t = ask_of(NOW);
	char token[NODETOKEN_MAX_BYTES], name[65], text[8001];

	(void)state;
	assert_int_equal(nodetoken_make(key, &t, token, 100), -FOG_E_BOUNDS);
	t.kind = NODETOKEN_STATUS;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	t.status = json_pack("{s:s}", "a", text);
	assert_int_equal(nodetoken_make(key, &t, token, sizeof(token)), -FOG_E_BOUNDS);
	json_decref(t.status);
	memset(token, 'a', sizeof(token));
	assert_int_equal(nodetoken_peek_issuer(view_bytes(token, sizeof(token)), name), -1);
}

/* --- the clock --- */

static const struct {
	int64_t issued; /* from now, seconds */
	uint64_t life;
	const char *want;
} times[] = {
	{ 0, 30, "" },
	{ 0, 1, "" },
	{ 60, 30, "" },
	{ 61, 30, "clock_differs" },
	{ -89, 30, "" },
	{ -90, 30, "clock_differs" },
	{ 600, 30, "clock_differs" },
	{ -600, 30, "clock_differs" },
	{ 0, 31, "lifetime" },
	{ 0, 0, "lifetime" },
	{ -600, 3600, "lifetime" },
};

static void
test_times(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(times); i++) {
		struct nodetoken t = ask_of(NOW + (uint64_t)times[i].issued), out;
		char token[NODETOKEN_MAX_BYTES];
		const char *why;

		t.expires_s = t.issued_s + times[i].life;
		make(&t, token);
		why = verify(token, NODETOKEN_ASK, &out);
		if (strcmp(why, times[i].want) != 0)
			fail_msg("row %zu: %s", i, why);
	}
}

/* Who is wrong about more than the time is not told that it is the clock. */
static void
test_clock_is_blamed_last(void **state)
{
	struct nodetoken t = ask_of(NOW - 600);
	char token[NODETOKEN_MAX_BYTES];

	(void)state;
	strcpy(t.audience, "fog-3");
	make(&t, token);
	assert_refused(token, "other_audience");
}

/* --- forgeries --- */

static void
test_other_key(void **state)
{
	struct nodetoken t = ask_of(NOW), out;
	char token[NODETOKEN_MAX_BYTES];
	const char *why = NULL;

	(void)state;
	assert_int_equal(nodetoken_make(other_key, &t, token, sizeof(token)), 0);
	assert_refused(token, "signature");
	assert_int_equal(nodetoken_verify(other_pin, NODETOKEN_ASK, view_of(token), "fog-2", NOW,
			     &out, &why),
	    0);
	nodetoken_fini(&out);
}

/* No change of one bit is taken. */
static void
test_every_bit(void **state)
{
	struct nodetoken t = ask_of(NOW), out;
	char token[NODETOKEN_MAX_BYTES];

	(void)state;
	make(&t, token);
	for (size_t at = 0, len = strlen(token); at < len; at++) {
		char was = token[at];

		token[at] ^= (char)(1 << at % 7);
		if (*verify(token, NODETOKEN_ASK, &out) == '\0')
			fail_msg("taken with another character %zu", at);
		token[at] = was;
	}
	assert_string_equal(verify(token, NODETOKEN_ASK, &out), "");
}

static void
put_signature(char *token, size_t size)
{
	unsigned char der[80], raw[SIGNATURE_BYTES];
	const unsigned char *at = der;
	size_t der_len = sizeof(der), len = strlen(token);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ECDSA_SIG *sig;

	assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(ctx, der, &der_len, (unsigned char *)token, len), 1);
	sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
	token[len++] = '.';
	assert_int_equal(b64url_encode(raw, sizeof(raw), token + len, size - len), 0);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
}

/* Any claims under any header, rightly signed with the key that is pinned. */
static void
forge(const char *header, const char *claims, char *out, size_t out_size)
{
	size_t len;

	assert_int_equal(b64url_encode(header, strlen(header), out, out_size), 0);
	len = strlen(out);
	out[len++] = '.';
	assert_int_equal(b64url_encode(claims, strlen(claims), out + len, out_size - len), 0);
	put_signature(out, out_size);
}

#define TIMES "\"iat\":1750000000,\"exp\":1750000030"
#define GOOD "{\"iss\":\"fog-1\",\"aud\":\"fog-2\"," TIMES ",\"jti\":\"" JTI "\"}"
#define LONG_NAME "12345678901234567890123456789012345678901234567890123456789012345"

static const struct {
	const char *header, *claims, *want;
} forgeries[] = {
	{ ASK_HEADER, GOOD, "" },
	{ "{\"typ\":\"fog-node-ask+jwt\",\"alg\":\"ES256\"}", GOOD, "malformed" },
	{ "{\"alg\":\"none\",\"typ\":\"fog-node-ask+jwt\"}", GOOD, "malformed" },
	{ "{\"alg\":\"HS256\",\"typ\":\"fog-node-ask+jwt\"}", GOOD, "malformed" },
	{ "{\"alg\":\"ES256\",\"typ\":\"JWT\"}", GOOD, "malformed" },
	{ "{\"alg\":\"ES256\",\"typ\":\"fog-node-ask+jwt\",\"kid\":\"a\"}", GOOD, "malformed" },
	{ "{\"alg\":\"ES256\",\"typ\":\"fog-node-status+jwt\"}", GOOD, "other_kind" },
	{ ASK_HEADER, "[]", "claims" },
	{ ASK_HEADER, GOOD ",\"suspects\":{}}", "claims" },
	{ ASK_HEADER, GOOD ",\"suspects\":null}", "claims" },
	{ ASK_HEADER, GOOD ",\"suspects\":\"fog-3\"}", "claims" },
	{ ASK_HEADER, GOOD ",\"suspects\":[],\"suspects\":[]}", "claims" },
	{ ASK_HEADER, GOOD ",\"suspects\":[],\"status\":{}}", "claims" },
	{ ASK_HEADER, "{}", "claims" },
	{ ASK_HEADER, GOOD "}", "claims" },
	{ ASK_HEADER, "{\"iss\":\"fog-1\",\"iss\":\"fog-1\",\"aud\":\"fog-2\"," TIMES "}",
	    "claims" },
	{ ASK_HEADER, "{\"iss\":\"fog-1\",\"aud\":[\"fog-2\"]," TIMES ",\"jti\":\"" JTI "\"}",
	    "claims" },
	{ ASK_HEADER, "{\"iss\":\"\",\"aud\":\"fog-2\"," TIMES ",\"jti\":\"" JTI "\"}", "claims" },
	{ ASK_HEADER, "{\"iss\":\"" LONG_NAME "\",\"aud\":\"fog-2\"," TIMES ",\"jti\":\"" JTI "\"}",
	    "claims" },
	{ ASK_HEADER, "{\"iss\":\"a\\u0000b\",\"aud\":\"fog-2\"," TIMES ",\"jti\":\"" JTI "\"}",
	    "claims" },
	{ ASK_HEADER, "{\"iss\":\"a\\nb\",\"aud\":\"fog-2\"," TIMES ",\"jti\":\"" JTI "\"}",
	    "claims" },
	{ ASK_HEADER,
	    "{\"iss\":\"fog-1\",\"aud\":\"fog-2\",\"iat\":1750000000.0,\"exp\":1750000030,"
	    "\"jti\":\"" JTI "\"}",
	    "claims" },
	{ ASK_HEADER,
	    "{\"iss\":\"fog-1\",\"aud\":\"fog-2\",\"iat\":-1,\"exp\":1750000030,"
	    "\"jti\":\"" JTI "\"}",
	    "claims" },
	{ ASK_HEADER,
	    "{\"iss\":\"fog-1\",\"aud\":\"fog-2\"," TIMES
	    ",\"jti\":\"00112233445566778899AABBCCDDEEFF\"}",
	    "claims" },
	{ ASK_HEADER, "{\"iss\":\"fog-1\",\"aud\":\"fog-2\"," TIMES ",\"jti\":\"0011\"}",
	    "claims" },
	{ ASK_HEADER,
	    "{\"iss\":\"fog-1\",\"aud\":\"fog-2\"," TIMES ",\"jti\":\"" JTI "\",\"nbf\":1}",
	    "claims" },
	{ ASK_HEADER,
	    "{\"iss\":\"fog-1\",\"aud\":\"fog-2\"," TIMES ",\"jti\":\"" JTI "\",\"status\":{}}",
	    "claims" },
};

static void
test_forgeries(void **state)
{
	char token[NODETOKEN_MAX_BYTES];
	struct nodetoken out;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(forgeries); i++) {
		const char *why;

		forge(forgeries[i].header, forgeries[i].claims, token, sizeof(token));
		why = verify(token, NODETOKEN_ASK, &out);
		if (strcmp(why, forgeries[i].want) != 0)
			fail_msg("row %zu: %s", i, why);
		if (*why == '\0')
			nodetoken_fini(&out);
	}
}

/* A status that is no object. */
static void
test_status_of_another_shape(void **state)
{
	static const char *const claims[] = { GOOD,
		"{\"iss\":\"fog-1\",\"aud\":\"fog-2\"," TIMES ",\"jti\":\"" JTI "\",\"status\":[]}",
		"{\"iss\":\"fog-1\",\"aud\":\"fog-2\"," TIMES ",\"jti\":\"" JTI
		"\",\"status\":null}" };
	char token[NODETOKEN_MAX_BYTES];
	struct nodetoken out;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(claims); i++) {
		forge("{\"alg\":\"ES256\",\"typ\":\"fog-node-status+jwt\"}", claims[i], token,
		    sizeof(token));
		assert_string_equal(verify(token, NODETOKEN_STATUS, &out), "claims");
	}
}

static void
test_signatures_of_another_form(void **state)
{
	struct nodetoken t = ask_of(NOW);
	char token[NODETOKEN_MAX_BYTES], *dot;
	unsigned char zeros[SIGNATURE_BYTES] = { 0 };

	(void)state;
	make(&t, token);
	dot = strrchr(token, '.');
	assert_int_equal(b64url_encode(zeros, sizeof(zeros), dot + 1, 128), 0);
	assert_refused(token, "signature");
	assert_int_equal(b64url_encode(zeros, sizeof(zeros) - 1, dot + 1, 128), 0);
	assert_refused(token, "signature");
	memcpy(dot + 1, "AA==", sizeof("AA=="));
	assert_refused(token, "signature");
	dot[1] = '\0';
	assert_refused(token, "malformed");
	*dot = '\0';
	assert_refused(token, "malformed");
	assert_refused("", "malformed");
}

/* --- cost --- */

static double
cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

#define ROUNDS 500

static void
test_cost(void **state)
{
	struct nodetoken t = ask_of(NOW), out;
	char token[NODETOKEN_MAX_BYTES];
	double start = cpu_us(), made, taken, pinned;

	(void)state;
	for (int i = 0; i < ROUNDS; i++)
		make(&t, token);
	made = cpu_us();
	for (int i = 0; i < ROUNDS; i++)
		assert_string_equal(verify(token, NODETOKEN_ASK, &out), "");
	taken = cpu_us();
	for (int i = 0; i < ROUNDS; i++)
		nodetoken_pin_free(pin_of(key));
	pinned = cpu_us();
	print_message("a token of %zu bytes: making %.0f us, checking %.0f us, a pin %.0f us\n",
	    strlen(token), (made - start) / ROUNDS, (taken - made) / ROUNDS,
	    (pinned - taken) / ROUNDS);
	/* 8 asked and 8 answered in a second are 16 of each: under a tenth of a core wherever this runs. */
	assert_true(16 * (taken - start) / ROUNDS < 1e5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_of_other_kinds),
		cmocka_unit_test(test_pins_off_the_curve),
		cmocka_unit_test(test_ask),
		cmocka_unit_test(test_ask_with_suspects),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_what_does_not_fit),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_clock_is_blamed_last),
		cmocka_unit_test(test_other_key),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_forgeries),
		cmocka_unit_test(test_status_of_another_shape),
		cmocka_unit_test(test_signatures_of_another_form),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
