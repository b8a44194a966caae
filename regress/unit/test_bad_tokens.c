/* SPDX-License-Identifier: MIT */
/*
 * Tokens that must be refused, each for the right reason: keys are made at start, a good token is
 * damaged in one way (RFC 8725, S16 to S18). links: authd/token.c authd/claims.c authd/claimread.c
 * links: authd/jwk.c authd/jwkread.c authd/jwa.c authd/jws.c authd/tokenerr.c authd/attachtoken.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <jansson.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/attachtoken.h"
#include "authd/token.h"
#include "authd/tokenerr.h"
#include "common/cleanup.h"
#include "regress/unit/jose.h"

#define NOW 1750000000
#define ISSUER "https://idp.example.org/realms/a"
#define GOOD_HEADER "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"at+jwt\"}"
#define GOOD_CLAIMS \
	"{\"iss\":\"" ISSUER "\",\"sub\":\"alice\",\"aud\":\"fog\",\"exp\":1750000300," \
	"\"iat\":1749999990,\"client_id\":\"fog-page\",\"jti\":\"j1\"}"
#define LONG_TOKEN_BYTES 102400
#define ROWS_MIN 120

/* RS384 is the algorithm that is known and not configured. */
#define ALLOWED (JWA_ALL & ~JWA_BIT(JWA_RS384))

static struct jose_keys keys;
static struct jwk_set *set;
static char token[JOSE_TOKEN_SIZE];
static size_t rows_seen;

static const struct claims_policy policy = {
	.issuer = ISSUER,
	.audience = "fog",
	.client_id = "fog-page",
	.groups_path = "realm_access.roles",
	.skew_s = 60,
	.max_life_s = 3600,
};

/* ---- the provider's keys ---------------------------------------------------------------------- */

static void
add_key(char *text, size_t size, EVP_PKEY *key, const char *more)
{
	char public[JOSE_JWK_SIZE];
	size_t len = strlen(text);

	jose_public(key, public);
	snprintf(text + len, size - len, "{%s,%s},", public, more);
}

static int
setup(void **state)
{
	static char text[JWK_SET_MAX_BYTES] = "{\"keys\":[";
	struct jwk_report report;

	(void)state;
	jose_keys_make(&keys);
	add_key(text, sizeof(text), keys.rsa, "\"kid\":\"rsa\"");
	add_key(text, sizeof(text), keys.rsa_other, "\"kid\":\"bound\",\"alg\":\"RS256\"");
	add_key(text, sizeof(text), keys.rsa_other, "\"kid\":\"enc\",\"use\":\"enc\"");
	add_key(text, sizeof(text), keys.rsa_weak, "\"kid\":\"weak\"");
	add_key(text, sizeof(text), keys.p256, "\"kid\":\"p256\"");
	add_key(text, sizeof(text), keys.p384, "\"kid\":\"p384\"");
	add_key(text, sizeof(text), keys.ed25519, "\"kid\":\"ed\"");
	strncat(text, "{\"kty\":\"oct\",\"kid\":\"oct\",\"k\":\"c2VjcmV0\"}]}", 64);
	assert_int_equal(token_init(), 0);
	assert_int_equal(jwk_set_parse(text, strlen(text), ALLOWED, &set, &report), 0);
	assert_int_equal(report.used, 5);
	assert_int_equal(report.skipped, 3);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	jwk_set_free(set);
	jose_keys_free(&keys);
	return 0;
}

/* Refused by this name, and nothing is filled in. */
static void
expect(const char *name, const char *text, size_t len, const struct claims_policy *p,
    enum token_error want)
{
	static const struct claims untouched;
	struct claims claims;
	int error;

	memset(&claims, 0, sizeof(claims));
	error = token_check_access(text, len, set, p, NOW, &claims);
	rows_seen++;
	if (error != -(int)want)
		fail_msg("%s: %s instead of %s", name, token_error_code(error),
		    token_error_code(-(int)want));
	assert_memory_equal(&claims, &untouched, sizeof(claims));
}

static void
make_good(void)
{
	jose_make(token, GOOD_HEADER, GOOD_CLAIMS, keys.rsa, JWA_RS256);
}

static void
test_the_good_one_is_taken(void **state)
{
	struct claims claims;

	(void)state;
	make_good();
	assert_int_equal(token_check_access(token, strlen(token), set, &policy, NOW, &claims), 0);
	assert_string_equal(claims.subject, "alice");
	assert_string_equal(claims.issuer, ISSUER);
}

/* ---- headers, all signed with the right key --------------------------------------------------- */

static const struct {
	const char *header;
	enum token_error want;
} headers[] = {
	/* alg: RFC 8725 3.1, 3.2 */
	{ "{\"alg\":\"none\"}", TOKEN_E_ALG_NONE },
	{ "{\"alg\":\"None\",\"kid\":\"rsa\"}", TOKEN_E_ALG_NONE },
	{ "{\"alg\":\"NONE\",\"kid\":\"rsa\"}", TOKEN_E_ALG_NONE },
	{ "{\"alg\":\"nOnE\",\"kid\":\"rsa\"}", TOKEN_E_ALG_NONE },
	{ "{\"alg\":\"HS256\",\"kid\":\"rsa\"}", TOKEN_E_ALG_SYMMETRIC },
	{ "{\"alg\":\"HS384\",\"kid\":\"rsa\"}", TOKEN_E_ALG_SYMMETRIC },
	{ "{\"alg\":\"HS512\",\"kid\":\"oct\"}", TOKEN_E_ALG_SYMMETRIC },
	{ "{\"alg\":\"hs256\",\"kid\":\"oct\"}", TOKEN_E_ALG_SYMMETRIC },
	{ "{\"alg\":\"rs256\",\"kid\":\"rsa\"}", TOKEN_E_ALG_UNKNOWN },
	{ "{\"alg\":\"RS256 \",\"kid\":\"rsa\"}", TOKEN_E_ALG_UNKNOWN },
	{ "{\"alg\":\"\",\"kid\":\"rsa\"}", TOKEN_E_ALG_UNKNOWN },
	{ "{\"alg\":\"RS1\",\"kid\":\"rsa\"}", TOKEN_E_ALG_UNKNOWN },
	{ "{\"alg\":\"PS384\",\"kid\":\"rsa\"}", TOKEN_E_ALG_UNKNOWN },
	{ "{\"alg\":\"ES512\",\"kid\":\"p256\"}", TOKEN_E_ALG_UNKNOWN },
	{ "{\"alg\":\"ES256K\",\"kid\":\"p256\"}", TOKEN_E_ALG_UNKNOWN },
	{ "{\"alg\":\"RSA-OAEP\",\"kid\":\"rsa\"}", TOKEN_E_ALG_UNKNOWN },
	{ "{\"alg\":\"dir\",\"kid\":\"rsa\"}", TOKEN_E_ALG_UNKNOWN },
	{ "{\"alg\":256,\"kid\":\"rsa\"}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":null,\"kid\":\"rsa\"}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":[\"RS256\"],\"kid\":\"rsa\"}", TOKEN_E_HEADER_MEMBER },
	{ "{\"kid\":\"rsa\"}", TOKEN_E_HEADER_MEMBER },
	{ "{\"Alg\":\"RS256\",\"kid\":\"rsa\"}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":\"RS256\\u0000\",\"kid\":\"rsa\"}", TOKEN_E_HEADER_JSON },
	/* crit, and what it is for: RFC 7515 4.1.11, RFC 7797 */
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"crit\":[\"exp\"],\"exp\":1}", TOKEN_E_CRIT },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"crit\":[]}", TOKEN_E_CRIT },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"crit\":[\"b64\"],\"b64\":false}", TOKEN_E_CRIT },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"b64\":false}", TOKEN_E_B64 },
	/* keys that a token brings along: RFC 8725 3.10 */
	{ "{\"alg\":\"RS256\",\"jku\":\"https://evil.example/keys\"}", TOKEN_E_JKU },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jku\":\"file:///etc/passwd\"}", TOKEN_E_JKU },
	{ "{\"alg\":\"RS256\",\"x5u\":\"https://evil.example/cert\"}", TOKEN_E_X5U },
	{ "{\"alg\":\"RS256\",\"x5c\":[\"MIIB\"]}", TOKEN_E_X5C },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}",
	    TOKEN_E_JWK },
	/* kid: RFC 8725 3.10, a name and nothing else */
	{ "{\"alg\":\"RS256\",\"kid\":\"nobody\"}", TOKEN_E_KID_UNKNOWN },
	{ "{\"alg\":\"RS256\",\"kid\":\"RSA\"}", TOKEN_E_KID_UNKNOWN },
	{ "{\"alg\":\"RS256\",\"kid\":\"\"}", TOKEN_E_KID_UNKNOWN },
	{ "{\"alg\":\"RS256\",\"kid\":\"../../../dev/null\"}", TOKEN_E_KID_UNKNOWN },
	{ "{\"alg\":\"RS256\",\"kid\":\"' OR 1=1 --\"}", TOKEN_E_KID_UNKNOWN },
	{ "{\"alg\":\"RS256\",\"kid\":\"enc\"}", TOKEN_E_KID_UNKNOWN },
	{ "{\"alg\":\"RS256\",\"kid\":\"oct\"}", TOKEN_E_KID_UNKNOWN },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\\u0007\"}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":\"RS256\",\"kid\":null}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":\"RS256\",\"kid\":[\"rsa\"]}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}", TOKEN_E_KID_MISSING },
	{ "{\"alg\":\"RS384\",\"kid\":\"rsa\"}", TOKEN_E_ALG_NOT_ALLOWED },
	/* typ: RFC 8725 3.11 */
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"logout+jwt\"}", TOKEN_E_LOGOUT_TOKEN },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"application/Logout+JWT\"}",
	    TOKEN_E_LOGOUT_TOKEN },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"secevent+jwt\"}", TOKEN_E_EVENT_TOKEN },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"dpop+jwt\"}", TOKEN_E_TYP_OTHER_USE },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"fog-attach+jwt\"}", TOKEN_E_TYP_OTHER_USE },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"JOSE\"}", TOKEN_E_TYP_UNKNOWN },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"at+jwt;x\"}", TOKEN_E_TYP_UNKNOWN },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"text/at+jwt\"}", TOKEN_E_TYP_UNKNOWN },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":1}", TOKEN_E_HEADER_MEMBER },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"\"}", TOKEN_E_HEADER_MEMBER },
	/* one object, each member once: RFC 7515 4, RFC 8725 2.4 */
	{ "[\"RS256\"]", TOKEN_E_HEADER_JSON },
	{ "\"RS256\"", TOKEN_E_HEADER_JSON },
	{ "null", TOKEN_E_HEADER_JSON },
	{ "RS256", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\"} ,", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\"}{}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\"", TOKEN_E_HEADER_JSON },
	{ "{'alg':'RS256','kid':'rsa'}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",/**/\"kid\":\"rsa\"}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"rsa\"}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"\\u0061lg\":\"none\",\"kid\":\"rsa\"}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"kid\":\"p256\"}", TOKEN_E_HEADER_JSON },
	{ "\xef\xbb\xbf{\"alg\":\"RS256\",\"kid\":\"rsa\"}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"kid\":\"\xff\xfe\"}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"kid\":\"\xc0\xae\"}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"kid\":\"\\ud800\"}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"a\":[[[[1]]]]}", TOKEN_E_HEADER_JSON },
	{ "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"a\":1e999}", TOKEN_E_HEADER_JSON },
};

static void
test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		jose_make(token, headers[i].header, GOOD_CLAIMS, keys.rsa, JWA_RS256);
		expect(headers[i].header, token, strlen(token), &policy, headers[i].want);
	}
}

/* The attacker's own key in the header, and a signature that is right by it. */
static void
test_embedded_key(void **state)
{
	char public[JOSE_JWK_SIZE], header[2 * JOSE_JWK_SIZE];

	(void)state;
	jose_public(keys.rsa_other, public);
	snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"jwk\":{%s}}", public);
	jose_make(token, header, GOOD_CLAIMS, keys.rsa_other, JWA_RS256);
	expect("embedded key", token, strlen(token), &policy, TOKEN_E_JWK);
}

/* ---- keys and algorithms ---------------------------------------------------------------------- */

#define KEY(name) offsetof(struct jose_keys, name)

/* What the header says, and who has signed by what. */
static const struct {
	const char *alg, *kid;
	size_t key;
	enum jwa_alg signed_by;
	enum token_error want;
} signatures[] = {
	{ "RS256", "rsa", KEY(rsa_other), JWA_RS256, TOKEN_E_SIGNATURE },
	{ "RS256", "rsa", KEY(rsa), JWA_PS256, TOKEN_E_SIGNATURE },
	{ "PS256", "rsa", KEY(rsa), JWA_RS256, TOKEN_E_SIGNATURE },
	{ "RS256", "rsa", KEY(rsa), JWA_RS512, TOKEN_E_SIGNATURE },
	{ "RS512", "rsa", KEY(rsa), JWA_RS256, TOKEN_E_SIGNATURE },
	{ "RS256", "rsa", KEY(rsa_weak), JWA_RS256, TOKEN_E_SIGNATURE },
	{ "RS256", "rsa", KEY(p256), JWA_ES256, TOKEN_E_SIGNATURE },
	{ "PS256", "bound", KEY(rsa_other), JWA_PS256, TOKEN_E_ALG_NOT_OF_KEY },
	{ "RS512", "bound", KEY(rsa_other), JWA_RS512, TOKEN_E_ALG_NOT_OF_KEY },
	{ "RS256", "weak", KEY(rsa_weak), JWA_RS256, TOKEN_E_KID_UNKNOWN },
	{ "RS256", "enc", KEY(rsa_other), JWA_RS256, TOKEN_E_KID_UNKNOWN },
	{ "RS384", "rsa", KEY(rsa), JWA_RS384, TOKEN_E_ALG_NOT_ALLOWED },
	{ "ES256", "rsa", KEY(rsa), JWA_RS256, TOKEN_E_ALG_NOT_OF_KEY },
	{ "EdDSA", "rsa", KEY(ed25519), JWA_EDDSA, TOKEN_E_ALG_NOT_OF_KEY },
	{ "RS256", "p256", KEY(rsa), JWA_RS256, TOKEN_E_ALG_NOT_OF_KEY },
	{ "RS256", "ed", KEY(rsa), JWA_RS256, TOKEN_E_ALG_NOT_OF_KEY },
	{ "ES256", "p256", KEY(p256_other), JWA_ES256, TOKEN_E_SIGNATURE },
	{ "ES256", "p256", KEY(p384), JWA_ES384, TOKEN_E_SIGNATURE },
	{ "ES256", "p384", KEY(p384), JWA_ES384, TOKEN_E_ALG_NOT_OF_KEY },
	{ "ES384", "p256", KEY(p256), JWA_ES256, TOKEN_E_ALG_NOT_OF_KEY },
	{ "ES384", "p384", KEY(p256), JWA_ES256, TOKEN_E_SIGNATURE },
	{ "EdDSA", "ed", KEY(p256), JWA_ES256, TOKEN_E_SIGNATURE },
	{ "ES256", "ed", KEY(ed25519), JWA_EDDSA, TOKEN_E_ALG_NOT_OF_KEY },
};

static void
test_signatures(void **state)
{
	char header[128];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(signatures); i++) {
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"}",
		    signatures[i].alg, signatures[i].kid);
		jose_make(token, header, GOOD_CLAIMS,
		    *(EVP_PKEY **)((char *)&keys + signatures[i].key), signatures[i].signed_by);
		expect(header, token, strlen(token), &policy, signatures[i].want);
	}
}

static void
put_signature(const unsigned char *signature, size_t len)
{
	size_t at = strlen(token);

	token[at++] = '.';
	assert_int_equal(b64url_encode(signature, len, token + at, JOSE_TOKEN_SIZE - at), 0);
}

/* Signatures of ES256 in other shapes: DER, all zero (CVE-2022-21449), cut, with a byte more. */
static void
test_shapes_of_ecdsa(void **state)
{
	static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"p256\"}";
	unsigned char der[256], raw[65] = { 0 };
	size_t len;

	(void)state;
	jose_put_input(token, header, strlen(header), GOOD_CLAIMS, strlen(GOOD_CLAIMS));
	len = jose_sign_der(keys.p256, "SHA256", false, token, der, sizeof(der));
	jose_der_to_raw(der, len, 32, raw);
	put_signature(der, len);
	expect("ES256 in DER", token, strlen(token), &policy, TOKEN_E_SIGNATURE);
	*strrchr(token, '.') = '\0';
	put_signature(raw, 65);
	expect("ES256 of 65 bytes", token, strlen(token), &policy, TOKEN_E_SIGNATURE);
	*strrchr(token, '.') = '\0';
	put_signature(raw, 63);
	expect("ES256 of 63 bytes", token, strlen(token), &policy, TOKEN_E_SIGNATURE);
	memset(raw, 0, sizeof(raw));
	*strrchr(token, '.') = '\0';
	put_signature(raw, 64);
	expect("ES256 of zeros", token, strlen(token), &policy, TOKEN_E_SIGNATURE);
	memset(raw, 0xff, sizeof(raw));
	*strrchr(token, '.') = '\0';
	put_signature(raw, 64);
	expect("ES256 above the order", token, strlen(token), &policy, TOKEN_E_SIGNATURE);
}

/* RFC 8725 2.1: HMAC keyed with what everybody knows of the public key. */
static void
test_public_key_as_secret(void **state)
{
	static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"rsa\",\"typ\":\"at+jwt\"}";
	static const char forged[] = "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"at+jwt\"}";
	unsigned char *der = NULL, mac[32];
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem;
	long pem_len;
	int der_len = i2d_PUBKEY(keys.rsa, &der);

	(void)state;
	assert_true(der_len > 0 && PEM_write_bio_PUBKEY(bio, keys.rsa) == 1);
	pem_len = BIO_get_mem_data(bio, &pem);
	for (int i = 0; i < 4; i++) {
		const char *h = i < 2 ? header : forged;
		const void *secret = i % 2 == 0 ? (const void *)pem : der;
		int secret_len = i % 2 == 0 ? (int)pem_len : der_len;

		jose_put_input(token, h, strlen(h), GOOD_CLAIMS, strlen(GOOD_CLAIMS));
		assert_non_null(HMAC(EVP_sha256(), secret, secret_len, (unsigned char *)token,
		    strlen(token), mac, NULL));
		put_signature(mac, sizeof(mac));
		expect(h, token, strlen(token), &policy,
		    i < 2 ? TOKEN_E_ALG_SYMMETRIC : TOKEN_E_SIGNATURE);
	}
	OPENSSL_free(der);
	BIO_free(bio);
}

/* Our own attach token as an access token, and the other way round (RFC 8725 2.7). */
static void
test_attach_tokens(void **state)
{
	static unsigned char bytes[] = "0123456789abcdef0123456789abcdef";
	static const char boot[] = "3f1c2d4e-0000-4aaa-8bbb-123456789abc";
	const struct secret secret = { bytes, 32 };
	const struct secret *const secrets[ATTACHTOKEN_KEYS] = { &secret };
	const struct attach_now now = { NOW, 1000, boot };
	struct attachtoken claims = { .role = ROLE_DRIVER,
		.subject = "alice",
		.subject_issuer = ISSUER,
		.issued_wall_s = NOW,
		.expires_wall_s = NOW + 60,
		.expires_boot_ms = 61000 };

	(void)state;
	memcpy(claims.boot_id, boot, sizeof(boot));
	assert_int_equal(attachtoken_mint(&secret, &claims, token, sizeof(token)), 0);
	assert_int_equal(attachtoken_verify(secrets, token, strlen(token), &now, &claims), 0);
	expect("attach token", token, strlen(token), &policy, TOKEN_E_ALG_SYMMETRIC);
	make_good();
	assert_int_equal(attachtoken_verify(secrets, token, strlen(token), &now, &claims),
	    -ATTACHTOKEN_E_HEADER);
}

/* ---- the text of a good token, changed -------------------------------------------------------- */

/* Replaces the parts of token by copies with something before and after. */
static void
around(size_t which, const char *before, const char *after)
{
	static char copy[JOSE_TOKEN_SIZE];
	char *part = copy, *end;
	size_t len = 0;

	memcpy(copy, token, strlen(token) + 1);
	for (size_t i = 0; i < 3; i++, part = end + 1) {
		end = part + strcspn(part, ".");
		len += (size_t)snprintf(token + len, sizeof(token) - len, "%s%s%.*s%s",
		    i > 0 ? "." : "", i == which ? before : "", (int)(end - part), part,
		    i == which ? after : "");
	}
}

static char *
part_of(size_t which)
{
	char *part = token;

	while (which-- > 0)
		part = strchr(part, '.') + 1;
	return part;
}

static void
drop_part(size_t which)
{
	char *part = part_of(which);
	size_t len = strcspn(part, ".");

	memmove(part, part + len, strlen(part + len) + 1);
}

/* Sets the bits that no byte takes: 256 bytes of RSA leave two characters and four such bits. */
static void
set_spare_bits(void)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char *last = token + strlen(token) - 1;

	*last = alphabet[(strchr(alphabet, *last) - alphabet) | 1];
}

/* As a lenient decoder would have it: + for -, / for _, found or made. */
static void
standard_alphabet(void)
{
	for (;; make_good()) {
		char *c = strpbrk(part_of(2), "-_");

		if (c == NULL)
			continue;
		*c = *c == '-' ? '+' : '/';
		return;
	}
}

static const struct {
	const char *name;
	size_t part;
	const char *before, *after;
	enum token_error want;
} damage[] = {
	{ "a dot behind", 2, "", ".", TOKEN_E_PARTS },
	{ "two dots behind", 2, "", "..", TOKEN_E_PARTS },
	{ "a dot before", 0, ".", "", TOKEN_E_PARTS },
	{ "a fourth part", 2, "", ".AAAA", TOKEN_E_PARTS },
	{ "five parts, as JWE has", 2, "", ".AAAA.AAAA", TOKEN_E_PARTS },
	{ "a dot in the payload", 1, "e30.", "", TOKEN_E_PARTS },
	{ "a padded header", 0, "", "=", TOKEN_E_ENCODING },
	{ "a padded payload", 1, "", "==", TOKEN_E_ENCODING },
	{ "a padded signature", 2, "", "==", TOKEN_E_ENCODING },
	{ "a space before", 0, " ", "", TOKEN_E_ENCODING },
	{ "the scheme before", 0, "Bearer ", "", TOKEN_E_ENCODING },
	{ "a newline behind", 2, "", "\n", TOKEN_E_ENCODING },
	{ "a newline in the payload", 1, "\r\n", "", TOKEN_E_ENCODING },
	{ "quotes", 0, "\"", "", TOKEN_E_ENCODING },
	{ "a percent escape", 2, "", "%3D", TOKEN_E_ENCODING },
	{ "bytes above ASCII", 1, "\xc3\xa4", "", TOKEN_E_ENCODING },
	{ "a comma and more", 2, "", ",AAAA", TOKEN_E_ENCODING },
	{ "a header of more", 0, "AAAA", "", TOKEN_E_HEADER_JSON },
	{ "a payload of more", 1, "", "AAAA", TOKEN_E_SIGNATURE },
	{ "a signature of more", 2, "", "AAAA", TOKEN_E_SIGNATURE },
	{ "a signature after zeros", 2, "AAAA", "", TOKEN_E_SIGNATURE },
};

static void
test_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(damage); i++) {
		make_good();
		around(damage[i].part, damage[i].before, damage[i].after);
		expect(damage[i].name, token, strlen(token), &policy, damage[i].want);
	}
}

static void
test_missing_parts(void **state)
{
	static const char *const texts[] = { ".", "..", "...", "e30", "e30.e30", "e30..e30",
		".e30.e30", "e30.e30." };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		make_good();
		drop_part(i);
		expect("an empty part", token, strlen(token), &policy, TOKEN_E_PARTS);
	}
	make_good();
	*strrchr(token, '.') = '\0';
	expect("no signature", token, strlen(token), &policy, TOKEN_E_PARTS);
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		expect(texts[i], texts[i], strlen(texts[i]), &policy, TOKEN_E_PARTS);
	/* RFC 7515 7.2: the JSON forms are not ours, nor is an unsecured token (6). */
	expect("JSON form", "{\"payload\":\"e30\",\"signatures\":[]}", 33, &policy, TOKEN_E_PARTS);
	jose_put_input(token, "{\"alg\":\"none\"}", 14, GOOD_CLAIMS, strlen(GOOD_CLAIMS));
	token[strlen(token) + 1] = '\0';
	token[strlen(token)] = '.';
	expect("alg none, unsigned", token, strlen(token), &policy, TOKEN_E_PARTS);
}

static void
test_other_spellings(void **state)
{
	size_t len;

	(void)state;
	make_good();
	set_spare_bits();
	expect("spare bits", token, strlen(token), &policy, TOKEN_E_ENCODING);
	make_good();
	standard_alphabet();
	expect("the alphabet of RFC 4648 4", token, strlen(token), &policy, TOKEN_E_ENCODING);
	make_good();
	len = strlen(token);
	expect("a NUL behind", token, len + 1, &policy, TOKEN_E_ENCODING);
	part_of(1)[3] = '\0';
	expect("a NUL inside", token, len, &policy, TOKEN_E_ENCODING);
	make_good();
	token[strlen(token) - 1] = '\0';
	expect("a character less", token, strlen(token), &policy, TOKEN_E_ENCODING);
	make_good();
	token[strlen(token) - 2] = '\0';
	expect("a byte of signature less", token, strlen(token), &policy, TOKEN_E_SIGNATURE);
}

static void
test_changed_content(void **state)
{
	char other[JOSE_TOKEN_SIZE / 8];
	char *c;

	(void)state;
	make_good();
	c = part_of(2) + 10;
	*c = *c == 'A' ? 'B' : 'A';
	expect("a bit of the signature", token, strlen(token), &policy, TOKEN_E_SIGNATURE);

	/* Somebody else's signature, and this one under another subject. */
	make_good();
	snprintf(other, sizeof(other), "%.*s", (int)sizeof(other) - 1, part_of(2));
	jose_make(token, GOOD_HEADER, "{\"sub\":\"root\"}", keys.rsa, JWA_RS256);
	memcpy(part_of(2), other, strlen(other) + 1);
	expect("a signature of another token", token, strlen(token), &policy, TOKEN_E_SIGNATURE);

	/* RFC 8725 2.6: a token inside of a token says nothing. */
	make_good();
	snprintf(other, sizeof(other), "%.*s", (int)sizeof(other) - 1, token);
	jose_make(token, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"cty\":\"JWT\"}", other, keys.rsa,
	    JWA_RS256);
	expect("a nested token", token, strlen(token), &policy, TOKEN_E_CLAIMS_JSON);
}

static void
test_lengths(void **state)
{
	(void)state;
	make_good();
	expect("nothing", token, 0, &policy, TOKEN_E_LENGTH);
	memset(token, 'A', LONG_TOKEN_BYTES);
	expect("8193 bytes", token, JWS_MAX_BYTES + 1, &policy, TOKEN_E_LENGTH);
	expect("100 kB", token, LONG_TOKEN_BYTES, &policy, TOKEN_E_LENGTH);
	memset(token, '.', LONG_TOKEN_BYTES);
	expect("8 kB of dots", token, JWS_MAX_BYTES, &policy, TOKEN_E_PARTS);
}

/* ---- claims, rightly signed ------------------------------------------------------------------- */

/* changes are merged into GOOD_CLAIMS; null takes a claim away. */
static const struct {
	const char *changes;
	enum token_error want;
} changed[] = {
	{ "{\"iss\":null}", TOKEN_E_ISS_MISSING },
	{ "{\"iss\":\"https://idp.example.org/realms/b\"}", TOKEN_E_ISS_OTHER },
	{ "{\"iss\":\"" ISSUER "/\"}", TOKEN_E_ISS_OTHER },
	{ "{\"iss\":\"HTTPS://idp.example.org/realms/a\"}", TOKEN_E_ISS_OTHER },
	{ "{\"iss\":\"\"}", TOKEN_E_ISS_OTHER },
	{ "{\"iss\":[\"" ISSUER "\"]}", TOKEN_E_ISS_OTHER },
	{ "{\"sub\":null}", TOKEN_E_SUB_MISSING },
	{ "{\"sub\":null,\"email\":\"alice@example.org\"}", TOKEN_E_SUB_MISSING },
	{ "{\"sub\":\"\"}", TOKEN_E_SUB_TEXT },
	{ "{\"sub\":1000}", TOKEN_E_SUB_TEXT },
	{ "{\"sub\":[\"alice\"]}", TOKEN_E_SUB_TEXT },
	{ "{\"sub\":\"alice\\n\"}", TOKEN_E_SUB_TEXT },
	{ "{\"sub\":\"\\u001b[2Jalice\"}", TOKEN_E_SUB_TEXT },
	{ "{\"sub\":\"alice\\u007f\"}", TOKEN_E_SUB_TEXT },
	{ "{\"sub\":\"\\u009b2Jalice\"}", TOKEN_E_SUB_TEXT },
	{ "{\"aud\":null}", TOKEN_E_AUD_MISSING },
	{ "{\"aud\":\"other\"}", TOKEN_E_AUD_OTHER },
	{ "{\"aud\":\"FOG\"}", TOKEN_E_AUD_OTHER },
	{ "{\"aud\":\"fog2\"}", TOKEN_E_AUD_OTHER },
	{ "{\"aud\":\"\"}", TOKEN_E_AUD_OTHER },
	{ "{\"aud\":\"fog-page\"}", TOKEN_E_AUD_OTHER },
	{ "{\"aud\":[\"account\",\"other\"]}", TOKEN_E_AUD_OTHER },
	{ "{\"aud\":[]}", TOKEN_E_AUD_SHAPE },
	{ "{\"aud\":[\"fog\",7]}", TOKEN_E_AUD_SHAPE },
	{ "{\"aud\":[[\"fog\"]]}", TOKEN_E_AUD_SHAPE },
	{ "{\"aud\":{\"fog\":true}}", TOKEN_E_AUD_SHAPE },
	{ "{\"aud\":true}", TOKEN_E_AUD_SHAPE },
	{ "{\"exp\":null}", TOKEN_E_EXP_MISSING },
	{ "{\"exp\":\"1750000300\"}", TOKEN_E_EXP_NUMBER },
	{ "{\"exp\":1e308}", TOKEN_E_EXP_NUMBER },
	{ "{\"exp\":1e15}", TOKEN_E_EXP_NUMBER },
	{ "{\"exp\":253402300800}", TOKEN_E_EXP_NUMBER },
	{ "{\"exp\":9223372036854775807}", TOKEN_E_EXP_NUMBER },
	{ "{\"exp\":-1}", TOKEN_E_EXP_NUMBER },
	{ "{\"exp\":true}", TOKEN_E_EXP_NUMBER },
	{ "{\"exp\":[1750000300]}", TOKEN_E_EXP_NUMBER },
	{ "{\"exp\":0}", TOKEN_E_EXP_PAST },
	{ "{\"exp\":1749999940,\"iat\":1749999000}", TOKEN_E_EXP_PAST },
	{ "{\"exp\":1749999940.9,\"iat\":1749999000}", TOKEN_E_EXP_PAST },
	{ "{\"nbf\":1750000061}", TOKEN_E_NBF_FUTURE },
	{ "{\"nbf\":1750000060.5}", TOKEN_E_NBF_FUTURE },
	{ "{\"nbf\":\"0\"}", TOKEN_E_NBF_NUMBER },
	{ "{\"nbf\":-1e9}", TOKEN_E_NBF_NUMBER },
	{ "{\"iat\":null}", TOKEN_E_IAT_MISSING },
	{ "{\"iat\":\"now\"}", TOKEN_E_IAT_NUMBER },
	{ "{\"iat\":1750000061}", TOKEN_E_IAT_FUTURE },
	{ "{\"iat\":1749996000}", TOKEN_E_LIFE },
	{ "{\"exp\":1750003591}", TOKEN_E_LIFE },
	{ "{\"exp\":253402300799}", TOKEN_E_LIFE },
	{ "{\"exp\":1749999990}", TOKEN_E_LIFE },
	{ "{\"auth_time\":\"yesterday\"}", TOKEN_E_AUTH_TIME },
	{ "{\"jti\":\"\"}", TOKEN_E_JTI_TEXT },
	{ "{\"jti\":5}", TOKEN_E_JTI_TEXT },
	{ "{\"sid\":\"a\\u0000\"}", TOKEN_E_CLAIMS_JSON },
	{ "{\"sid\":\"a\\tb\"}", TOKEN_E_SID_TEXT },
	{ "{\"realm_access\":{\"roles\":{}}}", TOKEN_E_GROUPS_SHAPE },
	{ "{\"realm_access\":{\"roles\":[7]}}", TOKEN_E_GROUPS_SHAPE },
	{ "{\"realm_access\":{\"roles\":[\"\"]}}", TOKEN_E_GROUPS_SHAPE },
	{ "{\"realm_access\":{\"roles\":[\"a\\nadmin\"]}}", TOKEN_E_GROUPS_SHAPE },
	{ "{\"cnf\":{}}", TOKEN_E_CNF },
	{ "{\"cnf\":\"x\"}", TOKEN_E_CNF },
	{ "{\"cnf\":{\"jkt\":\"short\"}}", TOKEN_E_CNF },
	{ "{\"cnf\":{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J\"}}", TOKEN_E_CNF },
	{ "{\"cnf\":{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\",\"x5t#S256\":\"a\"}}",
	    TOKEN_E_CNF },
	{ "{\"cnf\":{\"x5t#S256\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}}", TOKEN_E_CNF },
	{ "{\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}}",
	    TOKEN_E_LOGOUT_TOKEN },
	{ "{\"events\":{\"https://schemas.openid.net/secevent/caep/event-type/session-revoked\":{}}}",
	    TOKEN_E_EVENT_TOKEN },
	{ "{\"events\":[]}", TOKEN_E_EVENT_TOKEN },
	{ "{\"typ\":\"Refresh\"}", TOKEN_E_TYP_OTHER_USE },
	{ "{\"typ\":\"Offline\"}", TOKEN_E_TYP_OTHER_USE },
	{ "{\"typ\":\"Logout\"}", TOKEN_E_LOGOUT_TOKEN },
	{ "{\"typ\":\"ID\"}", TOKEN_E_ID_TOKEN },
};

static void
make_changed(const char *header, const char *changes)
{
	json_t *claims = json_loads(GOOD_CLAIMS, 0, NULL), *value;
	json_t *change = json_loads(changes, JSON_ALLOW_NUL, NULL);
	const char *name;
	char *text;

	if (change == NULL)
		fail_msg("%s is not JSON", changes);
	json_object_foreach(change, name, value) {
		if (json_is_null(value))
			json_object_del(claims, name);
		else
			json_object_set(claims, name, value);
	}
	text = json_dumps(claims, JSON_COMPACT);
	jose_make(token, header, text, keys.rsa, JWA_RS256);
	free(text);
	json_decref(change);
	json_decref(claims);
}

static void
test_claims(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(changed); i++) {
		make_changed(GOOD_HEADER, changed[i].changes);
		expect(changed[i].changes, token, strlen(token), &policy, changed[i].want);
	}
}

/* RFC 9068 5, RFC 8725 2.7: an ID token for the same audience, from the same provider. */
static void
test_id_tokens(void **state)
{
	static const char *const marks[] = { "{\"nonce\":\"n\"}", "{\"at_hash\":\"h\"}",
		"{\"c_hash\":\"h\"}", "{\"s_hash\":\"h\"}", "{\"typ\":\"ID\"}" };
	static const char *const types[] = { "{\"alg\":\"RS256\",\"kid\":\"rsa\"}",
		"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"JWT\"}" };
	struct claims_policy strict = policy;

	(void)state;
	strict.require_at_jwt = true;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		for (size_t j = 0; j < COUNT_OF(marks); j++) {
			make_changed(types[i], marks[j]);
			expect(marks[j], token, strlen(token), &policy, TOKEN_E_ID_TOKEN);
		}
		make_changed(types[i], "{}");
		expect(types[i], token, strlen(token), &strict, TOKEN_E_TYP_NOT_AT_JWT);
	}
}

static void
test_clients(void **state)
{
	struct claims_policy p = policy;

	(void)state;
	p.require_client = true;
	make_changed(GOOD_HEADER, "{\"client_id\":null}");
	expect("no client", token, strlen(token), &p, TOKEN_E_CLIENT_MISSING);
	make_changed(GOOD_HEADER, "{\"client_id\":\"other\"}");
	expect("another client", token, strlen(token), &p, TOKEN_E_CLIENT_OTHER);
	make_changed(GOOD_HEADER, "{\"azp\":\"other\"}");
	expect("two clients", token, strlen(token), &p, TOKEN_E_CLIENT_OTHER);
	make_changed(GOOD_HEADER, "{\"client_id\":[\"fog-page\"]}");
	expect("a list of clients", token, strlen(token), &p, TOKEN_E_CLIENT_OTHER);
}

/* Payloads that are no JSON object, rightly signed. */
static const struct {
	const char *text;
	size_t len; /* 0: strlen */
} payloads[] = {
	{ "[]", 0 },
	{ "\"alice\"", 0 },
	{ "null", 0 },
	{ "alice", 0 },
	{ "{} {}", 0 },
	{ "{\"sub\":\"alice\",\"sub\":\"root\"}", 0 },
	{ "{\"sub\":\"alice\",\"s\\u0075b\":\"root\"}", 0 },
	{ "{\"a\":{\"b\":1,\"b\":2}}", 0 },
	{ "\xef\xbb\xbf{\"sub\":\"alice\"}", 0 },
	{ "{\"sub\":\"al\xff\x69"
	  "ce\"}",
	    0 },
	{ "{\"sub\":\"\xed\xa0\x80\"}", 0 },
	{ "{\"sub\":\"alice\"}\0", 16 },
	{ "{\"sub\":\"al\0ce\"}", 15 },
	{ "{\"a\":[[[[[[[[1]]]]]]]]}", 0 },
	{ "{\"exp\":1e999}", 0 },
	{ "{\"exp\":99999999999999999999}", 0 },
	{ "{\"exp\":0x7fffffff}", 0 },
	{ "{\"exp\":NaN}", 0 },
	{ "{\"exp\":01750000300}", 0 },
	{ "{\"sub\":\"alice\",}", 0 },
};

static void
test_payloads(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(payloads); i++) {
		size_t len = payloads[i].len != 0 ? payloads[i].len : strlen(payloads[i].text);

		jose_put_input(token, GOOD_HEADER, strlen(GOOD_HEADER), payloads[i].text, len);
		jose_sign(token, keys.rsa, JWA_RS256);
		expect(payloads[i].text, token, strlen(token), &policy, TOKEN_E_CLAIMS_JSON);
	}
}

/* An access token is no logout token, and the whole way of a good one. */
static void
test_logout_tokens(void **state)
{
	struct claims claims;

	(void)state;
	make_good();
	assert_int_equal(token_check_logout(token, strlen(token), set, &policy, NOW, &claims),
	    -TOKEN_E_TYP_OTHER_USE);
	make_changed("{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"logout+jwt\"}",
	    "{\"aud\":\"fog-page\","
	    "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}}");
	assert_int_equal(token_check_logout(token, strlen(token), set, &policy, NOW, &claims), 0);
	expect("a logout token", token, strlen(token), &policy, TOKEN_E_LOGOUT_TOKEN);
	token[strlen(token) / 2] ^= 1;
	assert_int_not_equal(token_check_logout(token, strlen(token), set, &policy, NOW, &claims),
	    0);
}

static void
test_there_were_enough(void **state)
{
	(void)state;
	print_message("%zu bad tokens\n", rows_seen);
	assert_true(rows_seen >= ROWS_MIN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_good_one_is_taken),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_embedded_key),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_shapes_of_ecdsa),
		cmocka_unit_test(test_public_key_as_secret),
		cmocka_unit_test(test_attach_tokens),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_missing_parts),
		cmocka_unit_test(test_other_spellings),
		cmocka_unit_test(test_changed_content),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_id_tokens),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_payloads),
		cmocka_unit_test(test_logout_tokens),
		cmocka_unit_test(test_there_were_enough),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
