/* SPDX-License-Identifier: MIT */
/*
 * Tests of authd/dpop.c: keys are made at start, a good proof is damaged in one way (RFC 9449 4.3,
 * 11). links: authd/dpop.c authd/htu.c authd/httpsurl.c authd/seen.c authd/jws.c authd/jwa.c authd/jwkread.c
 * links: authd/claimread.c authd/tokenerr.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/claims.h"
#include "authd/dpop.h"
#include "authd/jwkread.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "regress/unit/jose.h"

#define NOW 1750000000
#define MONO_MS UINT64_C(7200000) /* the first moment of a slot */
#define BASE "https://shell.example.org"
#define PATH "/v1/sessions"
#define TOKEN "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"

_Static_assert(MONO_MS % DPOP_NONCE_SLOT_MS == 0, "the tests of nonces count from it");

/* A proof in parts, so that a row can replace one; ATH is filled in. */
#define HEADER "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s}}"
#define JTI "\"jti\":\"%s\","
#define HTM "\"htm\":\"GET\","
#define HTU "\"htu\":\"" BASE PATH "\","
#define IAT "\"iat\":1750000000,"
#define ATH "\"ath\":\"%s\""
#define CLAIMS "{" JTI HTM HTU IAT ATH "}"

static struct jose_keys keys;
static char jkt[JWK_THUMBPRINT_SIZE], ath[64];
static char proof[JOSE_TOKEN_SIZE];
static struct dpop *dpop;

/* ---- proofs ----------------------------------------------------------------------------------- */

static void
thumbprint(EVP_PKEY *key, char out[static JWK_THUMBPRINT_SIZE])
{
	char members[JOSE_JWK_SIZE], text[JOSE_JWK_SIZE + 2];
	struct json_error_text why;
	json_t *json;

	jose_public(key, members);
	snprintf(text, sizeof(text), "{%s}", members);
	assert_int_equal(json_parse_strict(text, strlen(text), 2, &json, &why), 0);
	assert_int_equal(jwk_thumbprint(json, out), 0);
	json_release(json);
}

static int
setup(void **state)
{
	unsigned char digest[32];

	(void)state;
	jose_keys_make(&keys);
	assert_int_equal(jwa_init(), 0);
	thumbprint(keys.p256, jkt);
	assert_int_equal(EVP_Digest(TOKEN, strlen(TOKEN), digest, NULL, EVP_sha256(), NULL), 1);
	assert_int_equal(b64url_encode(digest, sizeof(digest), ath, sizeof(ath)), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	jose_keys_free(&keys);
	return 0;
}

static void
start(const char *base_url, jwa_set allowed, bool need_nonce)
{
	const struct dpop_config config = { .base_url = base_url,
		.allowed = allowed,
		.need_nonce = need_nonce };

	dpop_free(dpop);
	dpop = NULL;
	assert_int_equal(dpop_new(&config, &dpop), 0);
}

static int
start_test(void **state)
{
	(void)state;
	start(BASE, JWA_ALL, false);
	return 0;
}

static int
end_test(void **state)
{
	(void)state;
	dpop_free(dpop);
	dpop = NULL;
	return 0;
}

/* Memory and nonces of the process before are gone, and its proofs are still young. */
static void
start_again(int64_t started_s)
{
	const struct dpop_config config = { .base_url = BASE,
		.allowed = JWA_ALL,
		.started_s = (time_t)started_s };

	dpop_free(dpop);
	dpop = NULL;
	assert_int_equal(dpop_new(&config, &dpop), 0);
}

static const char *
fresh_jti(void)
{
	static char jti[32];
	static unsigned int number;

	snprintf(jti, sizeof(jti), "jti-%u", ++number);
	return jti;
}

/* %s becomes the next text of args, of which there are two; %% a percent sign. */
static void
fill(char *out, size_t size, const char *format, const char *const args[static 2])
{
	size_t len = 0, arg = 0;

	for (const char *at = format; *at != '\0'; at++) {
		const char *piece = at;
		int piece_len = 1;

		if (*at == '%' && *++at == 's') {
			assert_in_range(arg, 0, 1);
			piece = args[arg++];
			piece_len = (int)strlen(piece);
		}
		len += (size_t)snprintf(out + len, size - len, "%.*s", piece_len, piece);
		assert_in_range(len, 0, size - 1);
	}
}

/* Each %s of a header is the public members of key; those of claims are jti, then ath. */
static void
make_with(const char *header_format, const char *claims_format, const char *jti, EVP_PKEY *key,
    enum jwa_alg alg)
{
	char members[JOSE_JWK_SIZE], header[2 * JOSE_JWK_SIZE], claims[8192];

	jose_public(key, members);
	fill(header, sizeof(header), header_format, (const char *const[2]){ members, members });
	fill(claims, sizeof(claims), claims_format, (const char *const[2]){ jti, ath });
	jose_make(proof, header, claims, key, alg);
}

static void
make(const char *header_format, const char *claims_format)
{
	make_with(header_format, claims_format, fresh_jti(), keys.p256, JWA_ES256);
}

static int
check_request(const struct dpop_request *request, int64_t wall_s, uint64_t mono_ms)
{
	const struct dpop_now now = { (time_t)wall_s, mono_ms };

	return dpop_check(dpop, request, &now);
}

static struct dpop_request
request_of(const char *text)
{
	return (struct dpop_request){ view_of(text), "GET", PATH, view_of(TOKEN), jkt, "alice" };
}

static int
check_at(int64_t wall_s, uint64_t mono_ms)
{
	struct dpop_request request = request_of(proof);

	return check_request(&request, wall_s, mono_ms);
}

static int
check(void)
{
	return check_at(NOW, MONO_MS);
}

static void
expect(const char *name, int got, int want)
{
	if (got != -want)
		fail_msg("%s: %s instead of %s", name, dpop_error_code(got),
		    dpop_error_code(-want));
}

/* ---- good ones -------------------------------------------------------------------------------- */

static void
test_every_algorithm(void **state)
{
	static const char format[] = "{\"jwk\":{%%s},\"alg\":\"%s\",\"typ\":\"dpop+jwt\"}";
	const struct {
		EVP_PKEY *key;
		enum jwa_alg alg;
	} rows[] = {
		{ keys.rsa, JWA_RS256 },
		{ keys.rsa, JWA_RS384 },
		{ keys.rsa, JWA_RS512 },
		{ keys.rsa, JWA_PS256 },
		{ keys.p256, JWA_ES256 },
		{ keys.p384, JWA_ES384 },
		{ keys.ed25519, JWA_EDDSA },
		{ keys.ed25519, JWA_ED25519 },
	};
	char header[128], print[JWK_THUMBPRINT_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct dpop_request request = request_of(proof);

		start(BASE, JWA_BIT(rows[i].alg), false);
		thumbprint(rows[i].key, print);
		request.jkt = print;
		snprintf(header, sizeof(header), format, jwa_name(rows[i].alg));
		make_with(header, CLAIMS, fresh_jti(), rows[i].key, rows[i].alg);
		request.proof = view_of(proof);
		expect(jwa_name(rows[i].alg), check_request(&request, NOW, MONO_MS), 0);
		start(BASE, JWA_ALL & ~JWA_BIT(rows[i].alg), false);
		expect(jwa_name(rows[i].alg), check_request(&request, NOW, MONO_MS), DPOP_E_ALG);
	}
}

static void
test_members_that_nobody_asked_for(void **state)
{
	(void)state;
	make("{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"kid\":\"a\",\"x5t\":\"b\",\"jwk\":{%s,"
	     "\"kid\":\"a\",\"use\":\"sig\",\"alg\":\"ES256\",\"key_ops\":[\"verify\"],"
	     "\"ext\":true}}",
	    "{" JTI HTM HTU IAT
	    "\"nonce\":\"not ours\",\"sub\":7,\"exp\":1750000001,\"nbf\":1750000000," ATH "}");
	expect("more members", check(), 0);
}

/* ---- the published examples ------------------------------------------------------------------- */

#define RFC9449_HEADER \
	"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgt" \
	"MzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VO" \
	"SmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
#define RFC9449_JKT "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" /* 6.1 */

/* RFC 9449 7.1: for a protected resource, with the token and its ath. */
static void
test_rfc9449_resource(void **state)
{
	static const char text[] = RFC9449_HEADER
	    ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJj"
	    "ZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU"
	    "8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E"
	    "OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
	struct dpop_request request = { view_of(text), "GET", "/protectedresource",
		view_of("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"), RFC9449_JKT, "alice" };

	(void)state;
	start("https://resource.example.org/", JWA_ALL, false);
	expect("RFC 9449 7.1", check_request(&request, 1562262618, MONO_MS), 0);
	expect("again", check_request(&request, 1562262618, MONO_MS), DPOP_E_REPLAY);
	request.token = view_of(TOKEN);
	expect("another token", check_request(&request, 1562262618, MONO_MS), DPOP_E_ATH);
	request.jkt = jkt;
	expect("another key", check_request(&request, 1562262618, MONO_MS), DPOP_E_OTHER_KEY);
}

/* RFC 9449 4.2: for the token endpoint, so that it has no ath: all before that is right. */
static void
test_rfc9449_token_endpoint(void **state)
{
	static const char text[] = RFC9449_HEADER
	    ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVy"
	    "LmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8i"
	    "giMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
	struct dpop_request request = { view_of(text), "POST", "/token", view_of(TOKEN),
		RFC9449_JKT, "alice" };

	(void)state;
	start("https://server.example.com", JWA_ALL, false);
	expect("RFC 9449 4.2", check_request(&request, 1562262616, MONO_MS), DPOP_E_ATH);
}

static void
test_thumbprints(void **state)
{
	static const struct {
		const char *jwk, *want;
	} rows[] = {
		/* RFC 7638 3.1 */
		{ "{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbb"
		  "fAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5"
		  "n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0z"
		  "gdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPks"
		  "INHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":"
		  "\"RS256\",\"kid\":\"2011-04-29\"}",
		    "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" },
		/* RFC 8037 A.3 */
		{ "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
		  "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
		    "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" },
		/* RFC 9449 4.2 and 6.1 */
		{ "{\"kty\":\"EC\",\"x\":\"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs\",\"y\":"
		  "\"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA\",\"crv\":\"P-256\"}",
		    RFC9449_JKT },
	};
	char out[JWK_THUMBPRINT_SIZE];
	struct json_error_text why;
	json_t *json;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(json_parse_strict(rows[i].jwk, strlen(rows[i].jwk), 1, &json,
				     &why),
		    0);
		assert_int_equal(jwk_thumbprint(json, out), 0);
		assert_string_equal(out, rows[i].want);
		json_release(json);
	}
}

/* ---- bad ones: the form and the header -------------------------------------------------------- */

static void
test_headers_that_are_refused(void **state)
{
	static const struct {
		const char *header;
		int error;
	} rows[] = {
		/* typ: RFC 9449 4.3 step 4; RFC 8725 3.11 */
		{ "{\"alg\":\"ES256\",\"jwk\":{%s}}", DPOP_E_TYP },
		{ "{\"typ\":\"JWT\",\"alg\":\"ES256\",\"jwk\":{%s}}", DPOP_E_TYP },
		{ "{\"typ\":\"at+jwt\",\"alg\":\"ES256\",\"jwk\":{%s}}", DPOP_E_TYP },
		{ "{\"typ\":\"DPoP+JWT\",\"alg\":\"ES256\",\"jwk\":{%s}}", DPOP_E_TYP },
		{ "{\"typ\":\"dpop+jwt \",\"alg\":\"ES256\",\"jwk\":{%s}}", DPOP_E_TYP },
		{ "{\"typ\":\"application/dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s}}", DPOP_E_TYP },
		{ "{\"typ\":[\"dpop+jwt\"],\"alg\":\"ES256\",\"jwk\":{%s}}",
		    TOKEN_E_HEADER_MEMBER },
		/* alg: step 5, 11.6 */
		{ "{\"typ\":\"dpop+jwt\",\"jwk\":{%s}}", TOKEN_E_HEADER_MEMBER },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"none\",\"jwk\":{%s}}", TOKEN_E_ALG_NONE },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"nOnE\",\"jwk\":{%s}}", TOKEN_E_ALG_NONE },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"HS256\",\"jwk\":{%s}}", TOKEN_E_ALG_SYMMETRIC },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"HS512\",\"jwk\":{%s}}", TOKEN_E_ALG_SYMMETRIC },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"es256\",\"jwk\":{%s}}", TOKEN_E_ALG_UNKNOWN },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256K\",\"jwk\":{%s}}", TOKEN_E_ALG_UNKNOWN },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"RS256\",\"jwk\":{%s}}", DPOP_E_ALG_NOT_OF_KEY },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES384\",\"jwk\":{%s}}", DPOP_E_ALG_NOT_OF_KEY },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"EdDSA\",\"jwk\":{%s}}", DPOP_E_ALG_NOT_OF_KEY },
		/* jwk: steps 6 and 7 */
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\"}", DPOP_E_JWK_MISSING },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":null}", DPOP_E_JWK },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":[]}", DPOP_E_JWK },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":\"{}\"}", DPOP_E_JWK },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":[{%s}]}", DPOP_E_JWK },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{}}", DPOP_E_JWK },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{\"keys\":[{%s}]}}",
		    DPOP_E_JWK },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}",
		    DPOP_E_JWK_SYMMETRIC },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s,\"d\":\"AAAA\"}}",
		    DPOP_E_JWK_PRIVATE },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s,\"d\":null}}",
		    DPOP_E_JWK_PRIVATE },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s,\"p\":\"\"}}",
		    DPOP_E_JWK_PRIVATE },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s,\"oth\":[]}}",
		    DPOP_E_JWK_PRIVATE },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s,\"use\":\"enc\"}}",
		    DPOP_E_JWK },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s,\"alg\":\"ES384\"}}",
		    DPOP_E_JWK },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\",\"crv\":"
		  "\"P-521\",\"x\":\"AAAA\",\"y\":\"AAAA\"}}",
		    DPOP_E_JWK },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\",\"crv\":"
		  "\"P-256\",\"x\":\"AAAA\"}}",
		    DPOP_E_JWK },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\",\"crv\":"
		  "\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}}",
		    DPOP_E_OTHER_KEY },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s},\"jwk\":{%s}}",
		    TOKEN_E_HEADER_JSON },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s,\"kty\":\"EC\"}}",
		    TOKEN_E_HEADER_JSON },
		/* what no token may bring, with a jwk or without */
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s},\"crit\":[\"exp\"]}",
		    TOKEN_E_CRIT },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s},\"b64\":false}",
		    TOKEN_E_B64 },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jku\":\"https://a/\"}", TOKEN_E_JKU },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s},\"x5u\":\"https://a/\"}",
		    TOKEN_E_X5U },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s},\"x5c\":[]}", TOKEN_E_X5C },
		{ "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s}", TOKEN_E_HEADER_JSON },
		{ "[{%s}]", TOKEN_E_HEADER_JSON },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		make(rows[i].header, CLAIMS);
		expect(rows[i].header, check(), rows[i].error);
	}
	make(HEADER, CLAIMS);
	expect("the good header", check(), 0);
}

/* An embedded key proves nothing by itself: it must be the one that the token is bound to. */
static void
test_other_keys_are_refused(void **state)
{
	char members[JOSE_JWK_SIZE], header[JOSE_JWK_SIZE + 64], claims[1024];

	(void)state;
	make_with(HEADER, CLAIMS, fresh_jti(), keys.p256_other, JWA_ES256);
	expect("a thief's key", check(), DPOP_E_OTHER_KEY);

	/* The right key in the header, signed by another. */
	jose_public(keys.p256, members);
	snprintf(header, sizeof(header), HEADER, members);
	snprintf(claims, sizeof(claims), CLAIMS, fresh_jti(), ath);
	jose_make(proof, header, claims, keys.p256_other, JWA_ES256);
	expect("signed by another key", check(), TOKEN_E_SIGNATURE);

	/* HMAC with the public key, which everybody has (RFC 8725 2.1), under an honest alg. */
	jose_put_input(proof, header, strlen(header), claims, strlen(claims));
	{
		unsigned char mac[64];
		unsigned int len;
		size_t at = strlen(proof);

		assert_non_null(HMAC(EVP_sha512(), members, (int)strlen(members),
		    (const unsigned char *)proof, at, mac, &len));
		proof[at++] = '.';
		assert_int_equal(b64url_encode(mac, len, proof + at, sizeof(proof) - at), 0);
	}
	expect("a MAC for a signature", check(), TOKEN_E_SIGNATURE);
}

/* Bound to the token as they may be: what cannot be a key verifies nothing. */
static void
test_keys_that_are_none(void **state)
{
	static const struct {
		const char *alg, *jwk;
	} rows[] = {
		/* not on the curve */
		{ "ES256",
		    "{\"kty\":\"EC\",\"crv\":\"P-256\","
		    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1\"}" },
		{ "ES256",
		    "{\"kty\":\"EC\",\"crv\":\"P-256\","
		    "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
		    "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}" },
		/* of another curve's length */
		{ "ES384",
		    "{\"kty\":\"EC\",\"crv\":\"P-384\","
		    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}" },
		/* padded, or with bits left over: two texts of one key have two thumbprints */
		{ "ES256",
		    "{\"kty\":\"EC\",\"crv\":\"P-256\","
		    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU=\","
		    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}" },
		{ "EdDSA",
		    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
		    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp\"}" },
		{ "EdDSA", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}" },
		/* RSA: too short, and an exponent that is a cube root away from a forgery */
		{ "RS256", "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AQAB\"}" },
		{ "RS256",
		    "{\"kty\":\"RSA\",\"e\":\"Aw\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nnd"
		    "rQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX"
		    "jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65"
		    "YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91C"
		    "bOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw"
		    "0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\"}" },
	};
	char header[1024], claims[1024], print[JWK_THUMBPRINT_SIZE];
	struct dpop_request request = request_of(proof);
	struct json_error_text why;
	json_t *json;

	(void)state;
	request.jkt = print;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(json_parse_strict(rows[i].jwk, strlen(rows[i].jwk), 1, &json,
				     &why),
		    0);
		assert_int_equal(jwk_thumbprint(json, print), 0);
		json_release(json);
		snprintf(header, sizeof(header), "{\"typ\":\"dpop+jwt\",\"alg\":\"%s\",\"jwk\":%s}",
		    rows[i].alg, rows[i].jwk);
		snprintf(claims, sizeof(claims), CLAIMS, fresh_jti(), ath);
		jose_make(proof, header, claims, keys.p256, JWA_ES256);
		request.proof = view_of(proof);
		expect(rows[i].jwk, check_request(&request, NOW, MONO_MS), DPOP_E_JWK);
	}
}

static void
test_shapes_that_are_refused(void **state)
{
	char good[4096];
	struct dpop_request request = request_of("");
	char *first, *second;

	(void)state;
	expect("no proof", check_request(&request, NOW, MONO_MS), DPOP_E_MISSING);
	request.proof = view_of(NULL);
	expect("NULL", check_request(&request, NOW, MONO_MS), DPOP_E_MISSING);
	make(HEADER, CLAIMS);
	memcpy(good, proof, sizeof(good));
	first = strchr(good, '.');
	second = strchr(first + 1, '.');

	snprintf(proof, sizeof(proof), "%.*s.", (int)(second - good), good);
	expect("no signature", check(), TOKEN_E_PARTS);
	snprintf(proof, sizeof(proof), "%.*s", (int)(second - good), good);
	expect("two parts", check(), TOKEN_E_PARTS);
	snprintf(proof, sizeof(proof), "%s.", good);
	expect("a dot behind", check(), TOKEN_E_PARTS);
	snprintf(proof, sizeof(proof), "%s.e30.e30", good);
	expect("five parts", check(), TOKEN_E_PARTS);
	snprintf(proof, sizeof(proof), "%s, %s", good, good);
	expect("two headers in one", check(), TOKEN_E_PARTS);
	snprintf(proof, sizeof(proof), "%s=", good);
	expect("padded", check(), TOKEN_E_ENCODING);
	snprintf(proof, sizeof(proof), " %s", good);
	expect("space before", check(), TOKEN_E_ENCODING);
	snprintf(proof, sizeof(proof), "%s", good);
	proof[strlen(proof) - 4] = proof[strlen(proof) - 4] == 'A' ? 'B' : 'A';
	expect("another signature", check(), TOKEN_E_SIGNATURE);
	memset(proof, 'a', sizeof(proof) - 1);
	expect("long", check(), TOKEN_E_LENGTH);
	snprintf(proof, sizeof(proof), "%s", TOKEN);
	expect("the token itself", check(), DPOP_E_TYP);
	snprintf(proof, sizeof(proof), "%s", good);
	expect("the good one", check(), 0);
}

static void
test_every_flipped_bit_is_refused(void **state)
{
	size_t len;

	(void)state;
	make(HEADER, CLAIMS);
	len = strlen(proof);
	for (size_t i = 0; i < len; i++) {
		char was = proof[i];

		proof[i] = (char)(was ^ 1 << i % 7);
		if (proof[i] == '\0')
			proof[i] = '!';
		if (check() == 0)
			fail_msg("taken with another byte %zu", i);
		proof[i] = was;
	}
	expect("the good one", check(), 0);
}

/* ---- bad ones: the claims --------------------------------------------------------------------- */

static void
test_claims_that_are_refused(void **state)
{
	static const struct {
		const char *claims;
		int error;
	} rows[] = {
		/* htm: step 8; RFC 9110 9.1: case matters */
		{ "{" JTI HTU IAT ATH "}", DPOP_E_HTM },
		{ "{" JTI "\"htm\":\"POST\"," HTU IAT ATH "}", DPOP_E_HTM },
		{ "{" JTI "\"htm\":\"get\"," HTU IAT ATH "}", DPOP_E_HTM },
		{ "{" JTI "\"htm\":\"GET \"," HTU IAT ATH "}", DPOP_E_HTM },
		{ "{" JTI "\"htm\":\"\"," HTU IAT ATH "}", DPOP_E_HTM },
		{ "{" JTI "\"htm\":[\"GET\"]," HTU IAT ATH "}", DPOP_E_HTM },
		{ "{" JTI "\"htm\":null," HTU IAT ATH "}", DPOP_E_HTM },
		{ "{" JTI HTM "\"htm\":\"GET\"," HTU IAT ATH "}", DPOP_E_CLAIMS_JSON },
		/* htu: step 9 */
		{ "{" JTI HTM IAT ATH "}", DPOP_E_HTU },
		{ "{" JTI HTM "\"htu\":[\"" BASE PATH "\"]," IAT ATH "}", DPOP_E_HTU },
		{ "{" JTI HTM "\"htu\":\"\"," IAT ATH "}", DPOP_E_HTU },
		{ "{" JTI HTM "\"htu\":\"" PATH "\"," IAT ATH "}", DPOP_E_HTU },
		{ "{" JTI HTM "\"htu\":\"//shell.example.org" PATH "\"," IAT ATH "}", DPOP_E_HTU },
		{ "{" JTI HTM "\"htu\":\"https://a@shell.example.org" PATH "\"," IAT ATH "}",
		    DPOP_E_HTU },
		{ "{" JTI HTM "\"htu\":\"https://idp.example.org" PATH "\"," IAT ATH "}",
		    DPOP_E_HTU_ORIGIN },
		{ "{" JTI HTM "\"htu\":\"http://shell.example.org" PATH "\"," IAT ATH "}",
		    DPOP_E_HTU_ORIGIN },
		{ "{" JTI HTM "\"htu\":\"http://shell.example.org:443" PATH "\"," IAT ATH "}",
		    DPOP_E_HTU_ORIGIN },
		{ "{" JTI HTM "\"htu\":\"https://shell.example.org:8443" PATH "\"," IAT ATH "}",
		    DPOP_E_HTU_ORIGIN },
		{ "{" JTI HTM "\"htu\":\"https://shell.example.org.evil.example" PATH "\"," IAT ATH
		  "}",
		    DPOP_E_HTU_ORIGIN },
		{ "{" JTI HTM "\"htu\":\"https://localhost" PATH "\"," IAT ATH "}",
		    DPOP_E_HTU_ORIGIN },
		{ "{" JTI HTM "\"htu\":\"" BASE "\"," IAT ATH "}", DPOP_E_HTU_PATH },
		{ "{" JTI HTM "\"htu\":\"" BASE PATH "/\"," IAT ATH "}", DPOP_E_HTU_PATH },
		{ "{" JTI HTM "\"htu\":\"" BASE PATH "/x\"," IAT ATH "}", DPOP_E_HTU_PATH },
		{ "{" JTI HTM "\"htu\":\"" BASE "/V1/sessions\"," IAT ATH "}", DPOP_E_HTU_PATH },
		{ "{" JTI HTM "\"htu\":\"" BASE "//v1/sessions\"," IAT ATH "}", DPOP_E_HTU_PATH },
		{ "{" JTI HTM "\"htu\":\"" BASE "/v1%%2Fsessions\"," IAT ATH "}", DPOP_E_HTU_PATH },
		{ "{" JTI HTM "\"htu\":\"" BASE PATH "\\u0000\"," IAT ATH "}", DPOP_E_CLAIMS_JSON },
		/* iat: step 11 */
		{ "{" JTI HTM HTU ATH "}", DPOP_E_IAT },
		{ "{" JTI HTM HTU "\"iat\":\"1750000000\"," ATH "}", DPOP_E_IAT },
		{ "{" JTI HTM HTU "\"iat\":null," ATH "}", DPOP_E_IAT },
		{ "{" JTI HTM HTU "\"iat\":-1," ATH "}", DPOP_E_IAT },
		{ "{" JTI HTM HTU "\"iat\":1e308," ATH "}", DPOP_E_IAT },
		{ "{" JTI HTM HTU "\"iat\":0," ATH "}", DPOP_E_IAT_PAST },
		{ "{" JTI HTM HTU "\"iat\":1749999939," ATH "}", DPOP_E_IAT_PAST },
		{ "{" JTI HTM HTU "\"iat\":1750000061," ATH "}", DPOP_E_IAT_FUTURE },
		{ "{" JTI HTM HTU "\"iat\":253402300799," ATH "}", DPOP_E_IAT_FUTURE },
		/* exp and nbf, when somebody writes them */
		{ "{" JTI HTM HTU IAT "\"exp\":1749999940," ATH "}", DPOP_E_DATES },
		{ "{" JTI HTM HTU IAT "\"exp\":\"never\"," ATH "}", DPOP_E_DATES },
		{ "{" JTI HTM HTU IAT "\"nbf\":1750000061," ATH "}", DPOP_E_DATES },
		{ "{" JTI HTM HTU IAT "\"nbf\":{}," ATH "}", DPOP_E_DATES },
		/* ath: step 12 */
		{ "{" JTI HTM HTU "\"iat\":1750000000}", DPOP_E_ATH },
		{ "{" JTI HTM HTU IAT "\"ath\":null}", DPOP_E_ATH },
		{ "{" JTI HTM HTU IAT "\"ath\":\"\"}", DPOP_E_ATH },
		{ "{" JTI HTM HTU IAT "\"ath\":\"fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo\"}",
		    DPOP_E_ATH },
		{ "{" JTI HTM HTU IAT "\"ath\":\"%s=\"}", DPOP_E_ATH },
		{ "{" JTI HTM HTU IAT "\"ath\":[\"%s\"]}", DPOP_E_ATH },
		/* jti: 4.2 */
		{ "{\"\":\"%s\"," HTM HTU IAT ATH "}", DPOP_E_JTI },
		{ "{\"jti\":\"\",\"x\":\"%s\"," HTM HTU IAT ATH "}", DPOP_E_JTI },
		{ "{\"jti\":7,\"x\":\"%s\"," HTM HTU IAT ATH "}", DPOP_E_JTI },
		{ "{\"jti\":[\"%s\"]," HTM HTU IAT ATH "}", DPOP_E_JTI },
		{ "{\"jti\":\"%s\\u001b\"," HTM HTU IAT ATH "}", DPOP_E_JTI },
		/* the whole */
		{ "[]", DPOP_E_CLAIMS_JSON },
		{ "x", DPOP_E_CLAIMS_JSON },
		{ "{}", DPOP_E_HTM },
		{ CLAIMS "x", DPOP_E_CLAIMS_JSON },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		make(HEADER, rows[i].claims);
		expect(rows[i].claims, check(), rows[i].error);
	}
}

/* RFC 9449 4.3 step 9: what is the same URL by RFC 3986 6.2.2 and 6.2.3. */
static void
test_spellings_of_our_url(void **state)
{
	static const char *const rows[] = {
		BASE PATH,
		"HTTPS://SHELL.example.ORG" PATH,
		BASE ":443" PATH,
		BASE ":" PATH,
		BASE PATH "?limit=10",
		BASE PATH "#top",
		BASE "/v1/./x/../sessions",
		BASE "/%%76%%31/sessions",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char claims[512];

		snprintf(claims, sizeof(claims),
		    "{"
		    "\"jti\":\"%%s\"," HTM "\"htu\":\"%s\"," IAT "\"ath\":\"%%s\"}",
		    rows[i]);
		make(HEADER, claims);
		expect(rows[i], check(), 0);
	}
}

static void
test_without_base_loopback_alone(void **state)
{
	static const struct {
		const char *htu;
		int error;
	} rows[] = {
		{ "http://localhost:8080" PATH, 0 },
		{ "https://localhost" PATH, 0 },
		{ "http://127.0.0.1:1" PATH, 0 },
		{ "http://[::1]:65535" PATH, 0 },
		{ BASE PATH, DPOP_E_HTU_ORIGIN },
		{ "http://127.0.0.2" PATH, DPOP_E_HTU_ORIGIN },
		{ "http://localhost.example.org" PATH, DPOP_E_HTU_ORIGIN },
		{ "http://10.0.0.1" PATH, DPOP_E_HTU_ORIGIN },
		{ "http://localhost:8080/v1/profiles", DPOP_E_HTU_PATH },
		{ "ws://localhost:8080" PATH, DPOP_E_HTU },
	};
	static const char *const bases[] = { "", NULL };

	(void)state;
	for (size_t b = 0; b < COUNT_OF(bases); b++) {
		start(bases[b], JWA_ALL, false);
		for (size_t i = 0; i < COUNT_OF(rows); i++) {
			char claims[512];

			snprintf(claims, sizeof(claims),
			    "{"
			    "\"jti\":\"%%s\"," HTM "\"htu\":\"%s\"," IAT "\"ath\":\"%%s\"}",
			    rows[i].htu);
			make(HEADER, claims);
			expect(rows[i].htu, check(), rows[i].error);
		}
	}
}

/* What the request does counts, not what the proof or the sender of the request says. */
static void
test_proof_for_another_request(void **state)
{
	struct dpop_request request;

	(void)state;
	make(HEADER, CLAIMS);
	request = request_of(proof);
	request.method = "DELETE";
	expect("method", check_request(&request, NOW, MONO_MS), DPOP_E_HTM);
	request = request_of(proof);
	request.path = "/v1/sessions/2489e9ad-2ee2-8e00-8ec9-32d5f69181c0";
	expect("path", check_request(&request, NOW, MONO_MS), DPOP_E_HTU_PATH);
	request = request_of(proof);
	request.token = view_of(TOKEN "x");
	expect("token", check_request(&request, NOW, MONO_MS), DPOP_E_ATH);
	request = request_of(proof);
	request.jkt = RFC9449_JKT;
	expect("key", check_request(&request, NOW, MONO_MS), DPOP_E_OTHER_KEY);
	request.jkt = "";
	expect("no key", check_request(&request, NOW, MONO_MS), DPOP_E_OTHER_KEY);
	/* None of these has used it up. */
	request = request_of(proof);
	expect("right", check_request(&request, NOW, MONO_MS), 0);
}

static void
test_window(void **state)
{
	static const struct {
		int64_t wall_s;
		int error;
	} rows[] = {
		{ NOW - 61, DPOP_E_IAT_FUTURE },
		{ NOW - 60, 0 },
		{ NOW, 0 },
		{ NOW + 60, 0 },
		{ NOW + 61, DPOP_E_IAT_PAST },
		{ 0, DPOP_E_IAT_FUTURE },
		{ -1, DPOP_E_IAT_FUTURE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		make(HEADER, CLAIMS);
		expect("window", check_at(rows[i].wall_s, MONO_MS), rows[i].error);
	}
}

/* ---- replay ----------------------------------------------------------------------------------- */

static void
test_replay(void **state)
{
	struct dpop_request request;
	char other[JWK_THUMBPRINT_SIZE];

	(void)state;
	make_with(HEADER, CLAIMS, "once", keys.p256, JWA_ES256);
	expect("first", check(), 0);
	expect("at once", check(), DPOP_E_REPLAY);
	/* It is remembered for as long as any clock within the bounds could take it. */
	expect("later", check_at(NOW + 60, MONO_MS + 60000), DPOP_E_REPLAY);
	expect("clock set back", check_at(NOW - 60, MONO_MS + DPOP_REMEMBER_MS - 1), DPOP_E_REPLAY);
	/* The same jti in another proof of this key; ECDSA signs it differently. */
	make_with(HEADER, CLAIMS, "once", keys.p256, JWA_ES256);
	expect("signed again", check(), DPOP_E_REPLAY);
	/* The same jti by another key is another proof. */
	thumbprint(keys.p256_other, other);
	make_with(HEADER, CLAIMS, "once", keys.p256_other, JWA_ES256);
	request = request_of(proof);
	request.jkt = other;
	expect("another key", check_request(&request, NOW, MONO_MS), 0);
}

static void
test_long_jti(void **state)
{
	char jti[CLAIMS_TEXT_SIZE + 1];

	(void)state;
	memset(jti, 'j', sizeof(jti));
	jti[CLAIMS_TEXT_MAX_BYTES] = '\0';
	make_with(HEADER, CLAIMS, jti, keys.p256, JWA_ES256);
	expect("255 bytes", check(), 0);
	expect("again", check(), DPOP_E_REPLAY);
	jti[CLAIMS_TEXT_MAX_BYTES] = 'j';
	jti[CLAIMS_TEXT_MAX_BYTES + 1] = '\0';
	make_with(HEADER, CLAIMS, jti, keys.p256, JWA_ES256);
	expect("256 bytes", check(), DPOP_E_JTI);
}

/*
 * One person cannot use up the memory, with however many keys, and what is remembered is not
 * forgotten for new ones.
 */
static void
test_many_proofs_of_one_person(void **state)
{
	static const char format[] = "{\"typ\":\"dpop+jwt\",\"alg\":\"EdDSA\",\"jwk\":{%s}}";
	char first[4096], print[JWK_THUMBPRINT_SIZE], jti[16];
	struct dpop_request request = request_of(proof);

	(void)state;
	thumbprint(keys.ed25519, print);
	request.jkt = print;
	for (unsigned int i = 0; i <= DPOP_REMEMBER_MAX_PER_PERSON; i++) {
		snprintf(jti, sizeof(jti), "%u", i);
		make_with(format, CLAIMS, jti, keys.ed25519, JWA_EDDSA);
		if (i == 0)
			memcpy(first, proof, sizeof(first));
		request.proof = view_of(proof);
		expect(jti, check_request(&request, NOW, MONO_MS),
		    i < DPOP_REMEMBER_MAX_PER_PERSON ? 0 : DPOP_E_TOO_MANY);
	}
	assert_int_equal(dpop_error_answer(-DPOP_E_TOO_MANY), -FOG_E_RATE);
	request.proof = view_of(first);
	expect("the first", check_request(&request, NOW, MONO_MS), DPOP_E_REPLAY);
	make(HEADER, CLAIMS);
	expect("another key", check(), DPOP_E_TOO_MANY);
	request = request_of(proof);
	request.who = "bob";
	expect("another person", check_request(&request, NOW, MONO_MS), 0);
}

/* ---- nonces ----------------------------------------------------------------------------------- */

static void
make_with_nonce(const char *nonce)
{
	char claims[512];

	snprintf(claims, sizeof(claims),
	    "{"
	    "\"jti\":\"%%s\"," HTM HTU IAT "\"nonce\":%s,\"ath\":\"%%s\"}",
	    nonce);
	make(HEADER, claims);
}

/* A proof that a process before this one may have taken is not taken again without a nonce of ours. */
static void
test_nonce_after_a_restart(void **state)
{
	char nonce[DPOP_NONCE_SIZE], quoted[DPOP_NONCE_SIZE + 2];

	(void)state;
	make(HEADER, CLAIMS);
	expect("first", check(), 0);
	start_again(NOW);
	expect("replayed", check_at(NOW + 1, MONO_MS), DPOP_E_NONCE_MISSING);
	assert_int_equal(dpop_nonce(dpop, MONO_MS, nonce), 0);
	snprintf(quoted, sizeof(quoted), "\"%s\"", nonce);
	make_with_nonce(quoted);
	expect("with a nonce", check_at(NOW + 1, MONO_MS), 0);
	start_again(NOW - 1);
	make(HEADER, CLAIMS);
	expect("made since then", check(), 0);
}

static void
test_nonce(void **state)
{
	char nonce[DPOP_NONCE_SIZE], again[DPOP_NONCE_SIZE], text[64];
	const uint64_t slot = DPOP_NONCE_SLOT_MS;

	(void)state;
	start(BASE, JWA_ALL, true);
	assert_int_equal(dpop_nonce(dpop, MONO_MS, nonce), 0);
	assert_int_equal(strlen(nonce), DPOP_NONCE_SIZE - 1);
	assert_int_equal(dpop_nonce(dpop, MONO_MS + slot - 1, again), 0);
	assert_string_equal(nonce, again);
	assert_int_equal(dpop_nonce(dpop, MONO_MS + slot, again), 0);
	assert_string_not_equal(nonce, again);
	snprintf(text, sizeof(text), "\"%s\"", nonce);

	make(HEADER, CLAIMS);
	expect("none", check(), DPOP_E_NONCE_MISSING);
	make_with_nonce("\"\"");
	expect("empty", check(), DPOP_E_NONCE);
	make_with_nonce("null");
	expect("null", check(), DPOP_E_NONCE);
	make_with_nonce("7");
	expect("number", check(), DPOP_E_NONCE);
	make_with_nonce("\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"");
	expect("of somebody else", check(), DPOP_E_NONCE);
	make_with_nonce(text);
	expect("from the future", check_at(NOW, MONO_MS - 1), DPOP_E_NONCE);
	expect("too old", check_at(NOW, MONO_MS + 2 * slot), DPOP_E_NONCE);
	expect("ours", check_at(NOW, MONO_MS + 2 * slot - 1), 0);
	/* A nonce is no licence to repeat. */
	expect("ours again", check_at(NOW, MONO_MS + 2 * slot - 1), DPOP_E_REPLAY);
	make_with_nonce(text);
	expect("ours for another proof", check_at(NOW, MONO_MS), 0);

	/* Another process, another key. */
	start(BASE, JWA_ALL, true);
	make_with_nonce(text);
	expect("of the process before", check(), DPOP_E_NONCE);
	assert_int_equal(dpop_nonce(dpop, 0, nonce), 0);
	snprintf(text, sizeof(text), "\"%s\"", nonce);
	make_with_nonce(text);
	expect("at the first moment of a boot", check_at(NOW, 0), 0);
}

/* ---- the rest --------------------------------------------------------------------------------- */

static void
test_answers(void **state)
{
	(void)state;
	assert_int_equal(dpop_error_answer(0), 0);
	assert_string_equal(dpop_error_code(0), "ok");
	for (int e = 1; e < DPOP_E_COUNT; e++) {
		int answer = dpop_error_answer(-e);

		assert_string_not_equal(dpop_error_code(-e), "unknown");
		if (e == TOKEN_E_CRYPTO)
			assert_int_equal(answer, -FOG_E_INTERNAL);
		else if (e <= TOKEN_E_CRYPTO)
			assert_int_equal(answer, -FOG_E_BAD_PROOF);
		else
			assert_in_range(-answer, 1, FOG_E_COUNT - 1);
	}
	assert_int_equal(dpop_error_answer(-DPOP_E_REPLAY), -FOG_E_BAD_PROOF);
	assert_int_equal(dpop_error_answer(-DPOP_E_NONCE), -FOG_E_NEED_NONCE);
	assert_int_equal(dpop_error_answer(-DPOP_E_NONCE_MISSING), -FOG_E_NEED_NONCE);
	assert_int_equal(dpop_error_answer(-DPOP_E_FULL), -FOG_E_FULL);
	assert_string_equal(dpop_error_code(-DPOP_E_COUNT), "unknown");
	assert_string_equal(dpop_error_code(1), "unknown");
	assert_string_equal(dpop_error_code(INT32_MIN), "unknown");
	assert_int_equal(dpop_error_answer(-DPOP_E_COUNT), -FOG_E_INTERNAL);
}

static void
test_configs_that_are_refused(void **state)
{
	static const char *const rows[] = { "shell.example.org", "ftp://shell.example.org",
		"https://", "https://shell.example.org/fog", "https://a@shell.example.org",
		"https://shell example.org", "https://shell.example.org:70000" };
	struct dpop *d = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct dpop_config config = { .base_url = rows[i], .allowed = JWA_ALL };

		errno = 0;
		assert_int_equal(dpop_new(&config, &d), -1);
		assert_int_equal(errno, EINVAL);
		assert_null(d);
	}
	dpop_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start_test, end_test)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_algorithm),
		TEST(test_members_that_nobody_asked_for),
		TEST(test_rfc9449_resource),
		TEST(test_rfc9449_token_endpoint),
		TEST(test_thumbprints),
		TEST(test_headers_that_are_refused),
		TEST(test_other_keys_are_refused),
		TEST(test_keys_that_are_none),
		TEST(test_shapes_that_are_refused),
		TEST(test_every_flipped_bit_is_refused),
		TEST(test_claims_that_are_refused),
		TEST(test_spellings_of_our_url),
		TEST(test_without_base_loopback_alone),
		TEST(test_proof_for_another_request),
		TEST(test_window),
		TEST(test_replay),
		TEST(test_long_jti),
		TEST(test_many_proofs_of_one_person),
		TEST(test_nonce_after_a_restart),
		TEST(test_nonce),
		TEST(test_answers),
		TEST(test_configs_that_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
