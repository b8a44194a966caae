/* SPDX-License-Identifier: MIT */
/* For tests of tokens: keys made at start, their JWKs, and tokens signed with them. */
#ifndef FOG_TEST_JOSE_H
#define FOG_TEST_JOSE_H

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#include "authd/jwa.h"
#include "common/b64url.h"

#define JOSE_TOKEN_SIZE 131072
#define JOSE_JWK_SIZE 2048

/* Keys by the kid that a test gives them. */
struct jose_keys {
	EVP_PKEY *rsa, *rsa_other, *rsa_weak, *p256, *p256_other, *p384, *ed25519;
};

static inline void
jose_keys_make(struct jose_keys *k)
{
	k->rsa = EVP_RSA_gen(2048);
	k->rsa_other = EVP_RSA_gen(2048);
	k->rsa_weak = EVP_RSA_gen(1024);
	k->p256 = EVP_EC_gen("P-256");
	k->p256_other = EVP_EC_gen("P-256");
	k->p384 = EVP_EC_gen("P-384");
	k->ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_non_null(k->rsa);
	assert_non_null(k->rsa_other);
	assert_non_null(k->rsa_weak);
	assert_non_null(k->p256);
	assert_non_null(k->p256_other);
	assert_non_null(k->p384);
	assert_non_null(k->ed25519);
}

static inline void
jose_keys_free(struct jose_keys *k)
{
	EVP_PKEY_free(k->rsa);
	EVP_PKEY_free(k->rsa_other);
	EVP_PKEY_free(k->rsa_weak);
	EVP_PKEY_free(k->p256);
	EVP_PKEY_free(k->p256_other);
	EVP_PKEY_free(k->p384);
	EVP_PKEY_free(k->ed25519);
}

/* One number of a key in base64url; size 0: as few bytes as it takes. */
static inline void
jose_number(EVP_PKEY *key, const char *param, size_t size, char out[static JOSE_JWK_SIZE])
{
	unsigned char bytes[1024];
	BIGNUM *bn = NULL;

	assert_int_equal(EVP_PKEY_get_bn_param(key, param, &bn), 1);
	if (size == 0)
		size = (size_t)BN_num_bytes(bn);
	assert_int_equal(BN_bn2binpad(bn, bytes, (int)size), (int)size);
	assert_int_equal(b64url_encode(bytes, size, out, JOSE_JWK_SIZE), 0);
	BN_free(bn);
}

/* The members of the public key, without braces: "kty":…, … */
static inline void
jose_public(EVP_PKEY *key, char out[static JOSE_JWK_SIZE])
{
	char a[JOSE_JWK_SIZE], b[JOSE_JWK_SIZE];
	unsigned char raw[32];
	size_t raw_len = sizeof(raw), size;
	int n;

	if (EVP_PKEY_is_a(key, "RSA")) {
		jose_number(key, OSSL_PKEY_PARAM_RSA_N, 0, a);
		jose_number(key, OSSL_PKEY_PARAM_RSA_E, 0, b);
		n = snprintf(out, JOSE_JWK_SIZE, "\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"", a, b);
	} else if (EVP_PKEY_is_a(key, "EC")) {
		size = EVP_PKEY_get_bits(key) == 256 ? 32 : 48;
		jose_number(key, OSSL_PKEY_PARAM_EC_PUB_X, size, a);
		jose_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, size, b);
		n = snprintf(out, JOSE_JWK_SIZE,
		    "\"kty\":\"EC\",\"crv\":\"P-%d\",\"x\":\"%s\",\"y\":\"%s\"",
		    EVP_PKEY_get_bits(key), a, b);
	} else {
		assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &raw_len), 1);
		assert_int_equal(b64url_encode(raw, raw_len, a, sizeof(a)), 0);
		n = snprintf(out, JOSE_JWK_SIZE, "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"",
		    a);
	}
	assert_in_range(n, 1, JOSE_JWK_SIZE - 1);
}

/* Signs with OpenSSL's own shape of the signature: DER for EC. */
static inline size_t
jose_sign_der(EVP_PKEY *key, const char *digest, bool is_pss, const char *input, unsigned char *out,
    size_t size)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey_ctx;

	assert_int_equal(EVP_DigestSignInit_ex(ctx, &pkey_ctx, digest, NULL, NULL, key, NULL), 1);
	if (is_pss) {
		EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST);
	}
	assert_int_equal(EVP_DigestSign(ctx, out, &size, (const unsigned char *)input,
			     strlen(input)),
	    1);
	EVP_MD_CTX_free(ctx);
	return size;
}

/* RFC 7518 3.4 */
static inline size_t
jose_der_to_raw(const unsigned char *der, size_t len, size_t half, unsigned char *raw)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);

	assert_non_null(sig);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)half), (int)half);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, (int)half), (int)half);
	ECDSA_SIG_free(sig);
	return 2 * half;
}

static inline const char *
jose_digest(enum jwa_alg alg)
{
	if (alg == JWA_EDDSA || alg == JWA_ED25519)
		return NULL;
	if (alg == JWA_RS384 || alg == JWA_ES384)
		return "SHA384";
	return alg == JWA_RS512 ? "SHA512" : "SHA256";
}

/* Appends a dot and the signature as the standard has it. */
static inline void
jose_sign(char *token, EVP_PKEY *key, enum jwa_alg alg)
{
	unsigned char der[1024], raw[96];
	const unsigned char *signature = der;
	size_t len = jose_sign_der(key, jose_digest(alg), alg == JWA_PS256, token, der,
	    sizeof(der));
	size_t at = strlen(token);

	if (EVP_PKEY_is_a(key, "EC")) {
		len = jose_der_to_raw(der, len, EVP_PKEY_get_bits(key) == 256 ? 32 : 48, raw);
		signature = raw;
	}
	token[at++] = '.';
	assert_int_equal(b64url_encode(signature, len, token + at, JOSE_TOKEN_SIZE - at), 0);
}

/* Header, dot, payload: what is signed. */
static inline void
jose_put_input(char token[static JOSE_TOKEN_SIZE], const void *header, size_t header_len,
    const void *payload, size_t payload_len)
{
	size_t at;

	assert_int_equal(b64url_encode(header, header_len, token, JOSE_TOKEN_SIZE), 0);
	at = strlen(token);
	token[at++] = '.';
	assert_int_equal(b64url_encode(payload, payload_len, token + at, JOSE_TOKEN_SIZE - at), 0);
}

static inline void
jose_make(char token[static JOSE_TOKEN_SIZE], const char *header, const char *payload,
    EVP_PKEY *key, enum jwa_alg alg)
{
	jose_put_input(token, header, strlen(header), payload, strlen(payload));
	jose_sign(token, key, alg);
}

#endif
