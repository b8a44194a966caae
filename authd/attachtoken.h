/* SPDX-License-Identifier: MIT */
/*
 * Attach tokens (DESIGN 3.2, S19): a JWT (RFC 7519) signed with HMAC-SHA256, which lets its bearer
 * attach once to one session in one role. authd mints and verifies; the holder consumes the token
 * id, so that single use survives the death of authd. Nothing here reads a clock or remembers a
 * token.
 */
#ifndef AUTHD_ATTACHTOKEN_H
#define AUTHD_ATTACHTOKEN_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "common/id.h"
#include "common/mono.h"
#include "common/session.h"
#include "common/secret.h"

#define ATTACHTOKEN_ISSUER "cloudshell-fog"
#define ATTACHTOKEN_TYPE "fog-attach+jwt"

/* Bytes of the longest token, and of a buffer that holds any token with its NUL. */
#define ATTACHTOKEN_MAX_BYTES 4096
#define ATTACHTOKEN_SIZE (ATTACHTOKEN_MAX_BYTES + 1)

/* RFC 7518 3.2: a key for HS256 has at least the size of the hash. */
#define ATTACHTOKEN_KEY_MIN_BYTES 32

#define ATTACHTOKEN_SUBJECT_MAX_BYTES 256
#define ATTACHTOKEN_SUBJECT_ISSUER_MAX_BYTES 256
#define ATTACHTOKEN_SID_MAX_BYTES 255

/* How far the wall clock may have stepped while a token lived (S18). */
#define ATTACHTOKEN_SKEW_S 60

struct attachtoken {
	struct id128 token_id;                                         /* jti */
	struct id128 session_id;                                       /* sid */
	enum attach_role role;                                         /* role */
	char subject[ATTACHTOKEN_SUBJECT_MAX_BYTES + 1];               /* sub */
	char subject_issuer[ATTACHTOKEN_SUBJECT_ISSUER_MAX_BYTES + 1]; /* sub_iss */
	time_t issued_wall_s;                                          /* iat */
	time_t expires_wall_s;                                         /* exp */
	char boot_id[BOOT_ID_SIZE]; /* boot: the boot that expires_boot_ms belongs to */
	uint64_t expires_boot_ms;   /* exp_boot: on CLOCK_BOOTTIME */

	/* Of the access token for which this one was made, so that an attachment ends with it. */
	uint64_t identity_until_boot_ms; /* id_until: on CLOCK_BOOTTIME; 0: it has no end */
	uint64_t identity_issued_s;      /* id_iat: wall clock */
	char identity_sid[ATTACHTOKEN_SID_MAX_BYTES + 1]; /* id_sid; empty: it has none */
};

/*
 * The keys that verify: the current one, which also mints, and before it in a rotation the one that
 * minted until then (NULL or empty: there is none).
 */
enum { ATTACHTOKEN_CURRENT, ATTACHTOKEN_PREVIOUS, ATTACHTOKEN_KEYS };

/* The verifier's now: wall_s(), boot_ms() and what boot_id_read gave at start. */
struct attach_now {
	time_t wall_s;
	uint64_t boot_ms;
	const char *boot_id;
};

/* Why a token was refused or not made: E(name, text for logs). Functions return them negated. */
#define ATTACHTOKEN_ERRORS(E) \
	E(LENGTH, "length out of range") \
	E(PARTS, "not three parts") \
	E(ENCODING, "base64url not canonical") \
	E(SIGNATURE, "signature does not match") \
	E(HEADER, "header is not ours") \
	E(CLAIMS, "claims missing, unknown, repeated or of the wrong type") \
	E(ISSUER, "issuer is not ours") \
	E(ROLE, "role unknown") \
	E(BOOT, "made in another boot") \
	E(FUTURE, "issued in the future") \
	E(EXPIRED, "expired") \
	E(IDENTITY, "the identity behind it has ended") \
	E(KEY, "key too short") \
	E(ARGUMENT, "claims cannot be put into a token") \
	E(SPACE, "no room for the token") \
	E(CRYPTO, "library failed")

enum attachtoken_error {
	ATTACHTOKEN_OK,
#define ATTACHTOKEN_ENUM(name, text) ATTACHTOKEN_E_##name,
	ATTACHTOKEN_ERRORS(ATTACHTOKEN_ENUM)
#undef ATTACHTOKEN_ENUM
};

/* A short text for the log, of what a function here returned. Holds nothing of the token. */
const char *attachtoken_strerror(int error);

/*
 * Makes and verifies one token of a throw-away key. Call it before the filter is loaded: it leaves
 * OpenSSL's providers and jansson's seed loaded, so that nothing here opens a file later. Returns 0
 * or a negative error.
 */
int attachtoken_init(void);

/*
 * Writes the token of claims, NUL-terminated, to out, or makes nothing: claims that
 * attachtoken_verify would refuse for their shape are -ATTACHTOKEN_E_ARGUMENT. The caller bounds
 * the life (S19) and draws token_id by id_random. Returns 0 or a negative error; out is written
 * only on success.
 */
int attachtoken_mint(const struct secret *key, const struct attachtoken *claims, char *out,
    size_t out_size);

/*
 * Fills *out when the token is ours, whole and alive; token needs no NUL. The header is compared as
 * text with the one that mint writes, the signature is always HMAC-SHA256 over the text as it came:
 * nothing of a stranger's token is parsed. Each key is tried, all in constant time. On the boot named
 * in it a token lives until expires_boot_ms, and not past identity_until_boot_ms, and the wall clock
 * may be off by ATTACHTOKEN_SKEW_S; on another boot it is dead. The caller compares session_id with the session asked for. Returns 0 or a negative error; *out is
 * set only on success.
 */
int attachtoken_verify(const struct secret *const keys[static ATTACHTOKEN_KEYS], const char *token,
    size_t len, const struct attach_now *now, struct attachtoken *out);

#endif
