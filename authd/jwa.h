/* SPDX-License-Identifier: MIT */
/*
 * The signature algorithms that exist here (RFC 7518 3.1, RFC 8037 3.1, RFC 9864 2.2): all of them
 * asymmetric (S16). `none` and the HMAC family have no row, so that no configuration can name them.
 */
#ifndef AUTHD_JWA_H
#define AUTHD_JWA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A(NAME, name on the wire, kind of key, digest). EdDSA is Ed25519 alone: Ed448 has no row. RFC
 * 9864 gives it the second name, which newer providers write.
 */
#define JWA_ALGS(A) \
	A(RS256, "RS256", RSA_PKCS1, "SHA256") \
	A(RS384, "RS384", RSA_PKCS1, "SHA384") \
	A(RS512, "RS512", RSA_PKCS1, "SHA512") \
	A(PS256, "PS256", RSA_PSS, "SHA256") \
	A(ES256, "ES256", P256, "SHA256") \
	A(ES384, "ES384", P384, "SHA384") \
	A(EDDSA, "EdDSA", ED25519, NULL) \
	A(ED25519, "Ed25519", ED25519, NULL)

enum jwa_alg {
#define JWA_ENUM(name, text, kind, digest) JWA_##name,
	JWA_ALGS(JWA_ENUM)
#undef JWA_ENUM
	    JWA_COUNT
};

/* A set of algorithms: bit n is enum jwa_alg n. */
typedef uint32_t jwa_set;

#define JWA_BIT(alg) ((jwa_set)1 << (alg))
#define JWA_ALL (((jwa_set)1 << JWA_COUNT) - 1)

/* What one key can do at most, by its type and curve (RFC 8725 3.1: one key, one use). */
#define JWA_SET_RSA \
	(JWA_BIT(JWA_RS256) | JWA_BIT(JWA_RS384) | JWA_BIT(JWA_RS512) | JWA_BIT(JWA_PS256))
#define JWA_SET_P256 JWA_BIT(JWA_ES256)
#define JWA_SET_P384 JWA_BIT(JWA_ES384)
#define JWA_SET_ED25519 (JWA_BIT(JWA_EDDSA) | JWA_BIT(JWA_ED25519))

/* The longest signature: RSA of JWA_RSA_MAX_BITS. */
#define JWA_RSA_MIN_BITS 2048 /* RFC 7518 3.3 */
#define JWA_RSA_MAX_BITS 4096 /* checking a larger one, or 32 of them, takes seconds */
#define JWA_SIGNATURE_MAX_BYTES (JWA_RSA_MAX_BITS / 8)

struct evp_pkey_st;     /* OpenSSL's EVP_PKEY */
struct evp_pkey_ctx_st; /* OpenSSL's EVP_PKEY_CTX */

/*
 * Fetches every digest once. Call it before the filter is loaded: it leaves OpenSSL's configuration
 * and providers loaded, so that nothing later opens a file. A second call does nothing. Returns 0
 * or -1.
 */
int jwa_init(void);

/* Sets *out by the name on the wire, letter case matters. Returns 0, or -1 for a name of none. */
int jwa_from_name(const char *name, enum jwa_alg *out);
const char *jwa_name(enum jwa_alg alg);

/* Reads names apart by one comma or space, none twice and at least one. Returns 0 or -1. */
int jwa_set_parse(const char *text, jwa_set *out);

/*
 * What verifies signatures of one algorithm with one key: set up once, used for every token. The
 * caller chooses alg by the key and not by a token. key is borrowed and must outlive it.
 */
struct jwa_verifier {
	enum jwa_alg alg;
	struct evp_pkey_st *key;
	struct evp_pkey_ctx_st *ctx; /* NULL for Ed25519 */
	size_t signature_len;        /* bytes; the only length that is right */
};

/* Returns 0 or -1; on success jwa_verifier_fini. The kind of key must fit alg. */
int jwa_verifier_init(struct jwa_verifier *v, enum jwa_alg alg, struct evp_pkey_st *key);
void jwa_verifier_fini(struct jwa_verifier *v);

/*
 * RFC 7515 5.2 step 8. A signature of ES256 and ES384 is r and s side by side, each of the length of
 * the curve's order (RFC 7518 3.4); DER is wrong. RSA-PSS takes a salt of the digest's length alone
 * (RFC 7518 3.5). Returns 0, -TOKEN_E_SIGNATURE or -TOKEN_E_CRYPTO.
 */
int jwa_verify(struct jwa_verifier *v, const void *input, size_t input_len,
    const unsigned char *signature, size_t signature_len);

#endif
