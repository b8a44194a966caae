/* SPDX-License-Identifier: MIT */
/*
 * One public key out of its JSON (RFC 7517 4, RFC 7518 6.2 and 6.3, RFC 8037 2), for jwk.c alone.
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

/* The key, checked; its kty and crv have passed jwk_read_algs. Free it by jwk_free_pkey. */
int jwk_read_pkey(const struct json_t *json, struct evp_pkey_st **out);
void jwk_free_pkey(struct evp_pkey_st *pkey); /* NULL is fine */

#endif
