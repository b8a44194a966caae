/* SPDX-License-Identifier: MIT */
/*
 * A provider's public keys (JWK set, RFC 7517 5; RFC 7518 6; RFC 8037 2), and the one place where
 * a signature is checked. Which algorithms a key verifies is decided here, when the set is read, by
 * the configuration, the key's type and its own `alg`; a token's header only says which of them it
 * claims (S16, RFC 8725 3.1).
 */
#ifndef AUTHD_JWK_H
#define AUTHD_JWK_H

#include <stddef.h>
#include <stdint.h>

#include "authd/jwa.h"
#include "authd/jws.h"

#define JWK_SET_MAX_BYTES 65536
#define JWK_SET_MAX_KEYS 32 /* members of `keys`, of any kind */
#define JWK_SET_DEPTH 6

/* Keys of one kid that are tried for one token: a bound to what a forged token costs. */
#define JWK_SAME_KID_MAX 4

/*
 * What is wrong with a set or with one key of it: E(NAME, code for the log). A set is refused whole
 * for the first group; a key is left out for the second (RFC 7517 5 asks to ignore those).
 */
#define JWK_ERRORS(E) \
	E(SIZE, "set_too_large") \
	E(JSON, "set_not_json") \
	E(SHAPE, "set_without_keys_array") \
	E(COUNT, "set_of_too_many_keys") \
	E(PRIVATE, "set_leaks_private_key") \
	E(SAME_KID, "set_repeats_kid_too_often") \
	E(EMPTY, "set_without_usable_key") \
	E(MEMORY, "out_of_memory") \
\
	E(KEY_SHAPE, "key_not_an_object_of_texts") \
	E(KTY, "kty_unknown") \
	E(SYMMETRIC, "kty_symmetric") \
	E(KID, "kid_wrong") \
	E(USE, "use_not_sig") \
	E(KEY_OPS, "key_ops_without_verify") \
	E(ALG, "alg_not_for_this_key") \
	E(CURVE, "crv_unknown") \
	E(ENCODING, "number_wrong") \
	E(WEAK, "rsa_size_or_exponent") \
	E(INVALID, "key_invalid")

enum jwk_error {
	JWK_OK,
#define JWK_ENUM(name, code) JWK_E_##name,
	JWK_ERRORS(JWK_ENUM)
#undef JWK_ENUM
};

const char *jwk_error_code(int error);

struct jwk_set; /* immutable but for OpenSSL's own contexts: one thread */

/* What was left out of a set that was read or refused as empty. */
struct jwk_report {
	size_t used, skipped;
	int first_skipped; /* negative enum jwk_error; 0: none */
};

/*
 * Reads len bytes of a JWK set into *out, which the caller gives to jwk_set_free. allowed: the
 * configured algorithms. A key is used when
 *  - it is RSA of JWA_RSA_MIN_BITS to JWA_RSA_MAX_BITS with an odd exponent of 65537 to 2^64 (RFC
 *    7518 6.3, NIST SP 800-56B 6.2), EC P-256 or P-384 (6.2), or OKP Ed25519 (RFC 8037), and
 *    OpenSSL finds the public key valid (RFC 8725 3.4);
 *  - `use` is absent or "sig" (RFC 7517 4.2), `key_ops` absent or holds "verify" (4.3);
 *  - `alg` is absent or fits its type, and then is the only one it verifies (4.4);
 *  - at least one of its algorithms is allowed.
 * Symmetric keys (oct), unknown types and broken keys are left out and counted. A set in which any
 * key has a private member is refused: whoever can read it can sign. report may be NULL; it is
 * filled also on refusal. Returns 0 or a negative enum jwk_error; *out is set only on success.
 */
int jwk_set_parse(const char *bytes, size_t len, jwa_set allowed, struct jwk_set **out,
    struct jwk_report *report);
void jwk_set_free(struct jwk_set *set); /* NULL is fine */
/* Of no other set that this process ever has. Not 0. */
uint64_t jwk_set_serial(const struct jwk_set *set);

/*
 * Whether the signature is right by a key of the set. A token with a kid is tried with each key of
 * exactly that kid that verifies its algorithm: the same kid may stand on several keys (RFC 7517
 * 4.5, and a provider in the middle of a rotation), at most JWK_SAME_KID_MAX. A token without kid
 * is taken only when a single key of the set verifies its algorithm (OIDC Core 10.1). Returns 0 or
 * a negative enum token_error:
 *  -TOKEN_E_ALG_NOT_ALLOWED  the configuration does not list it
 *  -TOKEN_E_KID_UNKNOWN      no key has this kid (or, without one, this algorithm): fetch, S20, R11
 *  -TOKEN_E_KID_MISSING      several keys could be meant
 *  -TOKEN_E_ALG_NOT_OF_KEY   the kid is known, its key verifies other algorithms
 *  -TOKEN_E_SIGNATURE, -TOKEN_E_CRYPTO
 */
int jwk_set_verify(struct jwk_set *set, const struct jws *jws);

#endif
