/* SPDX-License-Identifier: MIT */
/*
 * DPoP (RFC 9449): whether a request that comes with a token bound to a key (cnf.jkt) comes from
 * the holder of that key. No clock is read here. What is remembered: the jti of proofs that were
 * taken (seen.h), and a random key for nonces, both of this process alone.
 */
#ifndef AUTHD_DPOP_H
#define AUTHD_DPOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "authd/jwa.h"
#include "authd/tokenerr.h"
#include "common/buf.h"

#define DPOP_PROOF_MAX_BYTES 4096 /* the bound of messages.def */

/* How far iat may be off, to both sides (RFC 9449 4.3 step 11, 11.1). */
#define DPOP_WINDOW_S 60

/*
 * How long a jti is remembered: a proof from the edge of the future lives for both windows; the rest
 * is for a wall clock that is set back meanwhile.
 */
#define DPOP_REMEMBER_MS (UINT64_C(1000) * (2 * DPOP_WINDOW_S + 60))

/*
 * Proofs of that time: of all together, and of one person, so that nobody can use up the memory: of
 * a person and not of a key, since a provider binds tokens to as many keys as somebody likes to make.
 */
#define DPOP_REMEMBER_MAX 65536
#define DPOP_REMEMBER_MAX_PER_PERSON 8192

/* A nonce serves in the slot that it was made in and in the next. */
#define DPOP_NONCE_SLOT_MS UINT64_C(120000)
#define DPOP_NONCE_SIZE 44 /* bytes, with the NUL */

/*
 * Why a proof was refused: E(NAME, code for the log, error of err.def for the answer). Numbered
 * behind enum token_error, since what is wrong with the form of a proof is told by those.
 */
#define DPOP_ERRORS(E) \
	E(MISSING, "proof_missing", BAD_PROOF) \
	E(TYP, "proof_typ_not_dpop_jwt", BAD_PROOF) \
	E(ALG, "proof_alg_not_allowed", BAD_PROOF) \
	E(JWK_MISSING, "proof_without_jwk", BAD_PROOF) \
	E(JWK_PRIVATE, "proof_jwk_private", BAD_PROOF) \
	E(JWK_SYMMETRIC, "proof_jwk_symmetric", BAD_PROOF) \
	E(JWK, "proof_jwk_wrong", BAD_PROOF) \
	E(ALG_NOT_OF_KEY, "proof_alg_not_of_key", BAD_PROOF) \
	E(OTHER_KEY, "proof_by_another_key", BAD_PROOF) \
	E(CLAIMS_JSON, "proof_claims_not_json", BAD_PROOF) \
	E(HTM, "proof_htm_wrong", BAD_PROOF) \
	E(HTU, "proof_htu_not_a_url", BAD_PROOF) \
	E(HTU_ORIGIN, "proof_htu_of_another_origin", BAD_PROOF) \
	E(HTU_PATH, "proof_htu_of_another_path", BAD_PROOF) \
	E(IAT, "proof_iat_missing_or_not_a_date", BAD_PROOF) \
	E(IAT_PAST, "proof_iat_past", BAD_PROOF) \
	E(IAT_FUTURE, "proof_iat_future", BAD_PROOF) \
	E(DATES, "proof_exp_or_nbf_wrong", BAD_PROOF) \
	E(ATH, "proof_ath_missing_or_other", BAD_PROOF) \
	E(JTI, "proof_jti_missing_or_not_clean", BAD_PROOF) \
	E(NONCE_MISSING, "proof_nonce_missing", NEED_NONCE) \
	E(NONCE, "proof_nonce_old_or_not_ours", NEED_NONCE) \
	E(REPLAY, "proof_replayed", BAD_PROOF) \
	E(TOO_MANY, "proofs_of_one_person_too_many", RATE) \
	E(FULL, "proof_memory_full", FULL)

enum dpop_error {
	DPOP_E_FIRST = TOKEN_E_COUNT - 1,
#define DPOP_ENUM(name, code, answer) DPOP_E_##name,
	DPOP_ERRORS(DPOP_ENUM)
#undef DPOP_ENUM
	    DPOP_E_COUNT
};

/* Of what dpop_check returned: the code for the log. Static; holds nothing of the proof. */
const char *dpop_error_code(int error);

/*
 * Of what dpop_check returned, for the answer: -FOG_E_BAD_PROOF, -FOG_E_NEED_NONCE, -FOG_E_RATE,
 * -FOG_E_FULL, or -FOG_E_INTERNAL when a library failed; 0 for 0.
 */
int dpop_error_answer(int error);

struct dpop_config {
	/*
	 * GATEWAY_URL: scheme, host and port that clients know us by. Empty or NULL: http or https on
	 * localhost, 127.0.0.1 or [::1], any port.
	 */
	const char *base_url;
	jwa_set
	    allowed; /* OIDC_ALGORITHMS (jwa_set_parse); JWA_ALL when only dev tokens are taken */
	bool need_nonce; /* DPOP_NONCE */
	/*
	 * wall_s() when this process began: a process before it may have taken what was made until
	 * then, and what it remembered is gone. Such a proof needs a nonce, so that whoever can make
	 * authd end cannot make it take a proof twice.
	 */
	time_t started_s;
};

struct dpop;

/*
 * Makes the key of the nonces and the memory. Before the filter, after token_init; config is copied.
 * Returns 0, or -1 with errno: EINVAL for a base_url that is none, ENOMEM, or no randomness. On
 * success dpop_free.
 */
int dpop_new(const struct dpop_config *config, struct dpop **out);
void dpop_free(struct dpop *d); /* wipes; NULL is fine */

/* A request as authd knows it by what the request does, and what came with it. All borrowed. */
struct dpop_request {
	struct view proof;  /* the one DPoP header as it came; empty: none */
	const char *method; /* "GET": compared as it is (RFC 9110 9.1) */
	const char *path;   /* "/v1/sessions": in normal form */
	struct view token;  /* the access token, found good by token_check_access */
	const char *jkt;    /* its claims.jkt, not empty */
	const char *who;    /* its claims.subject: whose share of the memory it takes */
};

struct dpop_now {
	time_t wall_s;    /* wall_s() */
	uint64_t mono_ms; /* mono_ms() */
};

/*
 * RFC 9449 4.3 and 7.1, in this order; nothing is remembered of a proof that is refused:
 *  - a strict compact JWS as in jws_parse, but with an embedded jwk;
 *  - typ is exactly dpop+jwt, alg is one of allowed;
 *  - jwk is a public key (no private member, not oct) which alg fits, and its SHA-256 thumbprint
 *    (RFC 7638) is jkt;
 *  - the signature is right by it;
 *  - htm is method; htu is our origin and path after RFC 3986 6.2.2 and 6.2.3, without query and
 *    fragment; iat is within DPOP_WINDOW_S; exp and nbf, which no proof needs, are kept to when
 *    there; ath is the hash of token; jti is 1 to 255 clean bytes;
 *  - nonce, when it is needed (always for a proof that is not younger than this process), is one of
 *    ours, of this slot or the last (RFC 9449 8, 9);
 *  - the jti was not taken before with this key (11.1).
 * Returns 0, or a negative enum token_error or enum dpop_error. Where dpop_error_answer says
 * -FOG_E_NEED_NONCE, the answer carries dpop_nonce.
 */
int dpop_check(struct dpop *d, const struct dpop_request *request, const struct dpop_now *now);

/* The nonce of this slot, NUL-terminated (RFC 9449 8.1: 43 characters of base64url). 0 or -1. */
int dpop_nonce(const struct dpop *d, uint64_t mono_ms, char out[static DPOP_NONCE_SIZE]);

#endif
