/* SPDX-License-Identifier: MIT */
/*
 * What the claims of a token must say (S18): two tables of rules, one for access tokens (RFC 9068
 * 4, RFC 7519 4.1, RFC 8725 3.8 to 3.12) and one for logout tokens (OIDC Back-Channel Logout 1.0
 * 2.6). Only of a payload whose signature is right. Time is a parameter; nothing is remembered: the
 * caller refuses a jti of a logout token that it has seen.
 */
#ifndef AUTHD_CLAIMS_H
#define AUTHD_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CLAIMS_DEPTH 8
#define CLAIMS_SKEW_MAX_S 60      /* S18 */
#define CLAIMS_TEXT_MAX_BYTES 255 /* iss, sub, jti, sid, one group */
#define CLAIMS_TEXT_SIZE (CLAIMS_TEXT_MAX_BYTES + 1)
#define CLAIMS_GROUPS_BYTES 4096
#define CLAIMS_GROUPS_MAX 256 /* as many as a list in a message holds (codec.c) */
#define CLAIMS_GROUPS_PATH_MAX_BYTES 255
#define CLAIMS_JKT_SIZE 44 /* a SHA-256 in base64url and a NUL */

/* exp minus iat of a logout token at most; the standard recommends two minutes (2.4). */
#define CLAIMS_LOGOUT_LIFE_MAX_S 600

/*
 * A NumericDate (RFC 7519 2): a number from 0 to the end of the year 9999, whole or with a
 * fraction, which is cut so that the token lives shorter: exp down, nbf and iat up; but issued_s of an
 * access token down, since that is held against revocations.
 */
#define CLAIMS_DATE_MAX UINT64_C(253402300799)

/* From the configuration. The texts live as long as it is used, are not NULL unless said, not empty. */
struct claims_policy {
	const char *issuer;      /* compared byte for byte (RFC 9068 4, OIDC Discovery 4.3) */
	const char *audience;    /* of access tokens: aud is this, or an array that holds it */
	const char *client_id;   /* of logout tokens: their aud */
	bool require_client;     /* azp, client_id, cid or appid: one is there, all are client_id */
	const char *groups_path; /* a member, or members joined by dots; NULL: no groups are read */
	uint32_t skew_s;         /* more than CLAIMS_SKEW_MAX_S counts as that */
	uint32_t max_life_s;     /* exp minus iat of an access token at most */
	bool require_at_jwt;     /* RFC 9068 4: no typ but at+jwt */
	bool accept_id_tokens;   /* for providers without JWT access tokens */
};

struct claims {
	char issuer[CLAIMS_TEXT_SIZE];
	char subject[CLAIMS_TEXT_SIZE]; /* empty only in a logout token that names a sid */
	uint64_t expires_s, issued_s;   /* wall clock */
	bool has_auth_time;
	uint64_t auth_time_s;
	char jti[CLAIMS_TEXT_SIZE]; /* empty: absent; in a logout token always there */
	char sid[CLAIMS_TEXT_SIZE]; /* empty: absent */
	char jkt[CLAIMS_JKT_SIZE];  /* empty: a bearer token; else take it only with a DPoP proof */
	size_t groups_len;
	unsigned char
	    groups[CLAIMS_GROUPS_BYTES]; /* packed, see list_next; the last: known.c cuts it */
};

/*
 * Whether an access token of this typ (jws.typ) with this payload may be taken now, in this order:
 *  - the payload is one JSON object, every member once (S17);
 *  - typ, in any letter case, with or without "application/" (RFC 7515 4.1.9): at+jwt; JWT or
 *    absent unless require_at_jwt; nothing else (RFC 8725 3.11, 3.12);
 *  - no events claim: logout and security event tokens (RFC 8417 2.2);
 *  - no claim typ of Refresh, Offline or Logout, nor of ID unless accept_id_tokens (Keycloak);
 *  - unless its typ is at+jwt, which says what it is, or accept_id_tokens: none of nonce, at_hash,
 *    c_hash, s_hash, which ID tokens have (OIDC Core 2, 3.1.3.6, 3.3.2.11);
 *  - iss, sub, aud (RFC 7519 4.1.1 to 4.1.3), the client when required;
 *  - exp, nbf, iat with the skew (4.1.4 to 4.1.6), the whole life, auth_time;
 *  - jti, sid, groups, and cnf, which must be a DPoP key's jkt and nothing else (RFC 9449 6.1):
 *    taking a token that is bound in another way would unbind it.
 * Returns 0 or a negative enum token_error; *out is set only on success.
 */
int claims_check_access(const struct claims_policy *policy, time_t now_s, const char *typ,
    const unsigned char *payload, size_t len, struct claims *out);

/* RFC 7519 4.1.4: on or after exp is too late, but for the skew. */
bool claims_are_past(const struct claims_policy *policy, time_t now_s, uint64_t expires_s);

/*
 * The same for a logout token (Back-Channel Logout 1.0 2.4, 2.6): typ is logout+jwt, JWT or absent;
 * iss; aud holds client_id; iat and exp, with a life of at most CLAIMS_LOGOUT_LIFE_MAX_S; jti;
 * events has the member of back-channel logout, an object; sub or sid or both; no nonce.
 */
int claims_check_logout(const struct claims_policy *policy, time_t now_s, const char *typ,
    const unsigned char *payload, size_t len, struct claims *out);

#endif
