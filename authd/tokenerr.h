/* SPDX-License-Identifier: MIT */
/*
 * Why a signed token was refused: every reason once, E(NAME, code, answer). NAME becomes
 * TOKEN_E_NAME; functions return it negated. `code` is for the log alone: it names the rule and
 * holds nothing of the token. `answer` is the error of RFC 6750 3.1 for the WWW-Authenticate
 * header, which tells a stranger no more than that; NULL where the fault is ours (503).
 */
#ifndef AUTHD_TOKENERR_H
#define AUTHD_TOKENERR_H

#define TOKEN_INVALID "invalid_token"

#define TOKEN_ERRORS(E) \
	/* the compact form, RFC 7515 3.1 and 7.1 */ \
	E(LENGTH, "length_out_of_range", TOKEN_INVALID) \
	E(PARTS, "not_three_parts", TOKEN_INVALID) \
	E(ENCODING, "base64url_not_canonical", TOKEN_INVALID) \
	/* the header, RFC 7515 4.1, RFC 8725 3.1 and 3.10 */ \
	E(HEADER_JSON, "header_not_json", TOKEN_INVALID) \
	E(CRIT, "header_crit", TOKEN_INVALID) \
	E(B64, "header_b64", TOKEN_INVALID) \
	E(JWK, "header_jwk", TOKEN_INVALID) \
	E(JKU, "header_jku", TOKEN_INVALID) \
	E(X5U, "header_x5u", TOKEN_INVALID) \
	E(X5C, "header_x5c", TOKEN_INVALID) \
	E(HEADER_MEMBER, "header_member_wrong", TOKEN_INVALID) \
	E(ALG_NONE, "alg_none", TOKEN_INVALID) \
	E(ALG_SYMMETRIC, "alg_symmetric", TOKEN_INVALID) \
	E(ALG_UNKNOWN, "alg_unknown", TOKEN_INVALID) \
	/* key and signature, RFC 7515 5.2 */ \
	E(ALG_NOT_ALLOWED, "alg_not_allowed", TOKEN_INVALID) \
	E(KID_MISSING, "kid_missing", TOKEN_INVALID) \
	E(KID_UNKNOWN, "kid_unknown", TOKEN_INVALID) \
	E(ALG_NOT_OF_KEY, "alg_not_of_key", TOKEN_INVALID) \
	E(SIGNATURE, "signature_wrong", TOKEN_INVALID) \
	/* the claims, RFC 7519 4.1, RFC 9068 4, OIDC Back-Channel Logout 1.0 2.6 */ \
	E(CLAIMS_JSON, "claims_not_json", TOKEN_INVALID) \
	E(TYP_UNKNOWN, "typ_unknown", TOKEN_INVALID) \
	E(TYP_NOT_AT_JWT, "typ_not_at_jwt", TOKEN_INVALID) \
	E(TYP_OTHER_USE, "typ_of_another_use", TOKEN_INVALID) \
	E(ID_TOKEN, "id_token", TOKEN_INVALID) \
	E(LOGOUT_TOKEN, "logout_token", TOKEN_INVALID) \
	E(EVENT_TOKEN, "event_token", TOKEN_INVALID) \
	E(ISS_MISSING, "iss_missing", TOKEN_INVALID) \
	E(ISS_OTHER, "iss_other", TOKEN_INVALID) \
	E(SUB_MISSING, "sub_missing", TOKEN_INVALID) \
	E(SUB_TEXT, "sub_not_clean_text", TOKEN_INVALID) \
	E(AUD_MISSING, "aud_missing", TOKEN_INVALID) \
	E(AUD_SHAPE, "aud_wrong_shape", TOKEN_INVALID) \
	E(AUD_OTHER, "aud_other", TOKEN_INVALID) \
	E(CLIENT_MISSING, "client_missing", TOKEN_INVALID) \
	E(CLIENT_OTHER, "client_other", TOKEN_INVALID) \
	E(EXP_MISSING, "exp_missing", TOKEN_INVALID) \
	E(EXP_NUMBER, "exp_not_a_date", TOKEN_INVALID) \
	E(EXP_PAST, "exp_past", TOKEN_INVALID) \
	E(NBF_NUMBER, "nbf_not_a_date", TOKEN_INVALID) \
	E(NBF_FUTURE, "nbf_future", TOKEN_INVALID) \
	E(IAT_MISSING, "iat_missing", TOKEN_INVALID) \
	E(IAT_NUMBER, "iat_not_a_date", TOKEN_INVALID) \
	E(IAT_FUTURE, "iat_future", TOKEN_INVALID) \
	E(LIFE, "life_out_of_range", TOKEN_INVALID) \
	E(AUTH_TIME, "auth_time_not_a_date", TOKEN_INVALID) \
	E(JTI_MISSING, "jti_missing", TOKEN_INVALID) \
	E(JTI_TEXT, "jti_not_clean_text", TOKEN_INVALID) \
	E(SID_TEXT, "sid_not_clean_text", TOKEN_INVALID) \
	E(CNF, "cnf_not_a_dpop_key", TOKEN_INVALID) \
	E(GROUPS_SHAPE, "groups_wrong_shape", TOKEN_INVALID) \
	E(GROUPS_SIZE, "groups_too_many", TOKEN_INVALID) \
	E(EVENTS_MISSING, "events_without_logout", TOKEN_INVALID) \
	E(WHO_MISSING, "neither_sub_nor_sid", TOKEN_INVALID) \
	E(NONCE, "nonce_in_logout_token", TOKEN_INVALID) \
	/* ours */ \
	E(CRYPTO, "library_failed", NULL)

enum token_error {
	TOKEN_OK,
#define TOKEN_ENUM(name, code, answer) TOKEN_E_##name,
	TOKEN_ERRORS(TOKEN_ENUM)
#undef TOKEN_ENUM
	    TOKEN_E_COUNT
};

/* Of what a function returned: the code for the log. Static; "unknown" for a number of no reason. */
const char *token_error_code(int error);

/* The error of RFC 6750 3.1, or NULL when the fault is not the token's. Static. */
const char *token_error_answer(int error);

#endif
