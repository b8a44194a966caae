/* SPDX-License-Identifier: MIT */
/*
 * A signed token in compact form (RFC 7515 3.1 and 7.1) taken apart, strictly (S16, S17; RFC 8725
 * 3.1 to 3.3, 3.10). Nothing here is believed yet: a parsed token is a claim until
 * jwk_set_verify has found its signature right.
 */
#ifndef AUTHD_JWS_H
#define AUTHD_JWS_H

#include <stdbool.h>
#include <stddef.h>

#include "authd/jwa.h"
#include "common/b64url.h"

#define JWS_MAX_BYTES 8192
#define JWS_PAYLOAD_MAX_BYTES B64URL_BYTES_MAX(JWS_MAX_BYTES)
#define JWS_HEADER_DEPTH 4
#define JWS_KID_MAX_BYTES 128
#define JWS_TYP_MAX_BYTES 64

struct json_t;

struct jws {
	enum jwa_alg alg; /* as the header says: to be compared, never to be obeyed */
	bool has_kid;     /* an empty kid is one */
	char kid[JWS_KID_MAX_BYTES + 1]; /* RFC 7515 4.1.4 */
	char typ[JWS_TYP_MAX_BYTES + 1]; /* RFC 7515 4.1.9, as it came; empty: absent */
	const char *input;               /* borrowed from the token: what is signed */
	size_t input_len;
	size_t payload_len, signature_len;
	unsigned char payload[JWS_PAYLOAD_MAX_BYTES];
	unsigned char signature[JWA_SIGNATURE_MAX_BYTES];
};

/*
 * Takes len bytes; token needs no NUL, and must live as long as out is used. Refused:
 *  - any length but 1 to JWS_MAX_BYTES, any number of parts but three, an empty part (RFC 7515 7.1);
 *  - base64url that is padded, has a foreign character or bits left over (RFC 7515 2);
 *  - a header that is not one JSON object with every member once (RFC 7515 4, RFC 8725 3.7);
 *  - crit, whatever it lists (4.1.11), b64 (RFC 7797), and keys that a token brings or points to:
 *    jwk, jku, x5u, x5c (4.1.2, 4.1.3, 4.1.5, 4.1.6);
 *  - alg none, HMAC, and all that JWA_ALGS does not list (RFC 8725 3.1 and 3.2).
 * Other members are ignored, as RFC 7515 4 asks. Returns 0 or a negative enum token_error; *out
 * means something only on success.
 */
int jws_parse(const char *token, size_t len, struct jws *out);

/*
 * The same, but an embedded jwk is taken out instead of refused, unread: for DPoP proofs alone (RFC
 * 9449 4.2), which are believed only when that key is one known before. *jwk is set on success,
 * NULL: there is none; the caller gives it to json_release.
 */
int jws_parse_with_key(const char *token, size_t len, struct jws *out, struct json_t **jwk);

#endif
