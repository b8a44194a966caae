/* SPDX-License-Identifier: MIT */
/* Signature algorithms by OpenSSL: one table, one verifier for each kind of key. */
#include "authd/jwa.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "authd/tokenerr.h"
#include "common/cleanup.h"

#define DER_MAX_BYTES 128 /* P-384: two integers of 49 bytes and their heads */
#define ED25519_SIGNATURE_BYTES 64

enum kind { RSA_PKCS1, RSA_PSS, P256, P384, ED25519, KIND_COUNT };

static const struct {
	const char *name;
	enum kind kind;
	const char *digest; /* NULL: the signature hashes by itself */
} algs[JWA_COUNT] = {
#define JWA_ROW(name, text, kind, digest) [JWA_##name] = { text, kind, digest },
	JWA_ALGS(JWA_ROW)
#undef JWA_ROW
};

/* What a key must be, and how wide half of a raw signature is. */
static const struct {
	const char *type, *curve;
	size_t half; /* bytes of r and of s; 0: not of that shape */
	int padding;
} kinds[KIND_COUNT] = {
	[RSA_PKCS1] = { "RSA", NULL, 0, RSA_PKCS1_PADDING },
	[RSA_PSS] = { "RSA", NULL, 0, RSA_PKCS1_PSS_PADDING },
	[P256] = { "EC", "prime256v1", 32, 0 },
	[P384] = { "EC", "secp384r1", 48, 0 },
	[ED25519] = { "ED25519", NULL, 0, 0 },
};

static EVP_MD *digests[JWA_COUNT]; /* fetched once: a fetch for each token costs more than a hash */

int
jwa_init(void)
{
	for (size_t i = 0; i < JWA_COUNT; i++) {
		if (algs[i].digest == NULL || digests[i] != NULL)
			continue;
		digests[i] = EVP_MD_fetch(NULL, algs[i].digest, NULL);
		if (digests[i] == NULL)
			return -1;
	}
	return 0;
}

int
jwa_from_name(const char *name, enum jwa_alg *out)
{
	for (unsigned int i = 0; i < JWA_COUNT; i++) {
		if (strcmp(algs[i].name, name) == 0) {
			*out = (enum jwa_alg)i;
			return 0;
		}
	}
	return -1;
}

const char *
jwa_name(enum jwa_alg alg)
{
	return (unsigned int)alg < JWA_COUNT ? algs[alg].name : "unknown";
}

int
jwa_set_parse(const char *text, jwa_set *out)
{
	jwa_set set = 0;
	enum jwa_alg alg;
	char name[16];
	size_t len;

	for (;; text += len + 1) {
		len = strcspn(text, ", ");
		if (len == 0 || len >= sizeof(name))
			return -1;
		memcpy(name, text, len);
		name[len] = '\0';
		if (jwa_from_name(name, &alg) != 0 || (set & JWA_BIT(alg)) != 0)
			return -1;
		set |= JWA_BIT(alg);
		if (text[len] == '\0')
			break;
	}
	*out = set;
	return 0;
}

static bool
key_fits(EVP_PKEY *key, enum kind kind)
{
	char curve[32];
	size_t len;

	if (EVP_PKEY_is_a(key, kinds[kind].type) != 1)
		return false;
	if (kinds[kind].curve == NULL)
		return true;
	return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve),
		   &len) == 1 &&
	    strcmp(curve, kinds[kind].curve) == 0;
}

/* A context that has been through this may verify any number of signatures. */
static EVP_PKEY_CTX *
context_new(enum jwa_alg alg, EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	int padding = kinds[algs[alg].kind].padding;
	bool ok;

	ok = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1;
	if (ok && padding != 0)
		ok = EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1;
	ok = ok && EVP_PKEY_CTX_set_signature_md(ctx, digests[alg]) == 1;
	if (ok && padding == RSA_PKCS1_PSS_PADDING)
		ok = EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digests[alg]) == 1 &&
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	if (ok)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

static size_t
signature_length(enum kind kind, EVP_PKEY *key)
{
	if (kind == ED25519)
		return ED25519_SIGNATURE_BYTES;
	if (kinds[kind].half != 0)
		return 2 * kinds[kind].half;
	return (size_t)EVP_PKEY_get_size(key);
}

int
jwa_verifier_init(struct jwa_verifier *v, enum jwa_alg alg, EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = NULL;

	if (jwa_init() != 0 || !key_fits(key, algs[alg].kind))
		return -1;
	if (algs[alg].digest != NULL) {
		ctx = context_new(alg, key);
		if (ctx == NULL)
			return -1;
	}
	*v = (struct jwa_verifier){ alg, key, ctx, signature_length(algs[alg].kind, key) };
	return 0;
}

void
jwa_verifier_fini(struct jwa_verifier *v)
{
	EVP_PKEY_CTX_free(v->ctx);
	v->ctx = NULL;
}

/* RFC 7518 3.4 into what OpenSSL reads. Returns the length, or -1. */
static int
raw_to_der(const unsigned char *raw, size_t half, unsigned char der[static DER_MAX_BYTES])
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, (int)half, NULL), *s = BN_bin2bn(raw + half, (int)half, NULL);
	int len = -1;

	if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
	} else if (i2d_ECDSA_SIG(sig, NULL) <= DER_MAX_BYTES) {
		len = i2d_ECDSA_SIG(sig, &der);
	}
	ECDSA_SIG_free(sig);
	return len;
}

static int
verify_digest(struct jwa_verifier *v, const void *input, size_t input_len,
    const unsigned char *signature, size_t signature_len)
{
	size_t half = kinds[algs[v->alg].kind].half;
	unsigned char digest[EVP_MAX_MD_SIZE], der[DER_MAX_BYTES];
	unsigned int digest_len;
	int der_len;

	if (EVP_Digest(input, input_len, digest, &digest_len, digests[v->alg], NULL) != 1)
		return -TOKEN_E_CRYPTO;
	if (half != 0) {
		der_len = raw_to_der(signature, half, der);
		if (der_len < 0)
			return -TOKEN_E_CRYPTO;
		signature = der;
		signature_len = (size_t)der_len;
	}
	return EVP_PKEY_verify(v->ctx, signature, signature_len, digest, digest_len) == 1
	    ? 0
	    : -TOKEN_E_SIGNATURE;
}

/* Ed25519 takes the whole text at once (RFC 8032 5.1): no context outlives a signature. */
static int
verify_whole(struct jwa_verifier *v, const void *input, size_t input_len,
    const unsigned char *signature, size_t signature_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int rc = -TOKEN_E_CRYPTO;

	if (ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, v->key) == 1)
		rc = EVP_DigestVerify(ctx, signature, signature_len, input, input_len) == 1
		    ? 0
		    : -TOKEN_E_SIGNATURE;
	EVP_MD_CTX_free(ctx);
	return rc;
}

int
jwa_verify(struct jwa_verifier *v, const void *input, size_t input_len,
    const unsigned char *signature, size_t signature_len)
{
	int rc;

	if (signature_len != v->signature_len)
		return -TOKEN_E_SIGNATURE;
	if (v->ctx != NULL)
		rc = verify_digest(v, input, input_len, signature, signature_len);
	else
		rc = verify_whole(v, input, input_len, signature, signature_len);
	ERR_clear_error(); /* OpenSSL queues what a stranger's signature did not fit */
	return rc;
}
