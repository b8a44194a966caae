/* SPDX-License-Identifier: MIT */
/*
 * The words of nodes to each other: JWTs (RFC 7519) in compact form, ES256 (RFC 7518 3.4) and nothing
 * else, made with the node's own key and checked with the one that nodes.yaml pins for that name.
 *
 * An ask: {"typ":"fog-node-ask+jwt"} iss, aud, iat, exp (30 s), jti, and, where there is something to
 * tell, "suspects", an array. An answer: {"typ":"fog-node-status+jwt"} iss, aud, iat, exp, jti of the
 * ask, so that an old one is worth nothing, and "status", one JSON object. What stands in the array and
 * the object is read by placerd/nodestatus.h.
 */
#ifndef COMMON_NODETOKEN_H
#define COMMON_NODETOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/id.h"

#define NODETOKEN_MAX_BYTES 8192
#define NODETOKEN_LIFE_S 30
#define NODETOKEN_SKEW_S 60
#define NODETOKEN_KEY_BYTES 65 /* uncompressed point of P-256 (SEC 1 2.3.3) */

enum nodetoken_kind { NODETOKEN_ASK, NODETOKEN_STATUS };

struct nodetoken_key; /* private */
struct nodetoken_pin; /* public, ready for use: building one costs more than checking */

struct nodetoken {
	enum nodetoken_kind kind;
	char issuer[65], audience[65]; /* names of nodes */
	struct id128 id;               /* jti: 32 hexadecimal digits */
	uint64_t issued_s, expires_s;
	struct json_t *status;   /* NODETOKEN_STATUS: owned; else NULL */
	struct json_t *suspects; /* NODETOKEN_ASK: owned, or NULL: none; else NULL */
};

/*
 * Loads all that OpenSSL would load when it is first needed, by making and checking one token of each
 * kind. Call it, and json_init, before the filter: nothing here opens a file after it. A second call
 * does nothing.
 */
bool nodetoken_load(void);

/* PEM of a P-256 private key (RFC 5915 or 5208). NULL: it is none, and *why says what it is. */
struct nodetoken_key *nodetoken_key_new(const void *pem, size_t len, const char **why);
void nodetoken_key_free(struct nodetoken_key *key);
void nodetoken_key_public(const struct nodetoken_key *key,
    unsigned char out[static NODETOKEN_KEY_BYTES]);
/*
 * Whether it is an uncompressed point of the curve, of which a pin could be made: for a whole file of
 * them, at a hundredth of the price. False also when memory is short.
 */
bool nodetoken_is_point(const unsigned char point[static NODETOKEN_KEY_BYTES]);
/* NULL: no point of the curve, or no memory. */
struct nodetoken_pin *nodetoken_pin_new(const unsigned char point[static NODETOKEN_KEY_BYTES]);
void nodetoken_pin_free(struct nodetoken_pin *pin);

/* Makes one; t->status and t->suspects are borrowed. 0, -FOG_E_BOUNDS: does not fit, or -FOG_E_INTERNAL. */
int nodetoken_make(const struct nodetoken_key *key, const struct nodetoken *t, char *out,
    size_t out_size);

/*
 * Who it says it is from, before anything is checked, to find the pin by: 0 or -1. Strict: three
 * parts of canonical base64url, no member twice, exactly the members above (S17).
 */
int nodetoken_peek_issuer(struct view token, char out[static 65]);
/*
 * Checks signature, kind, audience and time (now_s: wall clock), and that it lives no longer than
 * NODETOKEN_LIFE_S. 0; or -FOG_E_NODE_TOKEN with the cause in *why: static text for the log and the
 * asker ("clock_differs" when only the time is wrong). *out is set only on success. Whose pin it was
 * is for the caller to hold against out->issuer.
 */
int nodetoken_verify(const struct nodetoken_pin *pin, enum nodetoken_kind kind, struct view token,
    const char *audience, uint64_t now_s, struct nodetoken *out, const char **why);
void nodetoken_fini(struct nodetoken *t); /* what a verified one owns */

#endif
