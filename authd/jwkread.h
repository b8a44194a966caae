/* SPDX-License-Identifier: MIT */
/*
 * One public key out of its JSON (RFC 7517 4, RFC 7518 6.2 and 6.3, RFC 8037 2), for jwk.c and dpop.c.
 * All functions take any JSON value, and return 0 or a negative enum jwk_error.
 */
#ifndef AUTHD_JWKREAD_H
#define AUTHD_JWKREAD_H

#include <stdbool.h>

#include "authd/jwa.h"
#include "authd/jwk.h"

struct json_t;

/* RFC 7518 6.2.2 and 6.3.2, RFC 8037 2: a member that only the private key has. */
bool jwk_has_private_member(const struct json_t *json);

/* RFC 7517 4.5. Absent is fine. */
int jwk_read_kid(const struct json_t *json, char kid[static JWS_KID_MAX_BYTES + 1], bool *has_kid);

/* What kty, crv, use, key_ops and alg leave (RFC 7517 4.1 to 4.4); never empty. */
int jwk_read_algs(const struct json_t *json, jwa_set *out);

/* Bytes of a SHA-256 in base64url with its NUL. */
#define JWK_THUMBPRINT_SIZE 44

/* RFC 7638 3: of the members that make the key, which has passed jwk_read_algs. */
int jwk_thumbprint(const struct json_t *json, char out[static JWK_THUMBPRINT_SIZE]);

/*
 * The key, of a size that is taken and, on a curve, on it (OpenSSL looks when it makes one); its kty
 * and crv have passed jwk_read_algs. Free it by jwk_free_pkey.
 */
int jwk_read_pkey(const struct json_t *json, struct evp_pkey_st **out);

/*
 * RFC 8725 3.4, in full: a point of prime order; an RSA modulus that is odd and no prime. It takes 3 to
 * 17 ms for RSA, so it is for the provider's keys alone.
 */
int jwk_check_pkey(struct evp_pkey_st *pkey);
void jwk_free_pkey(struct evp_pkey_st *pkey); /* NULL is fine */

#endif
