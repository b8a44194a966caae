/* SPDX-License-Identifier: MIT */
/*
 * Single claims out of a payload, strictly, for claims.c and dpop.c. A claim that is absent is no error
 * here. All return 0 or the negative of the error that the caller named, of whatever enum.
 */
#ifndef AUTHD_CLAIMREAD_H
#define AUTHD_CLAIMREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "authd/claims.h"
#include "authd/tokenerr.h"

struct json_t;
struct writer;

enum claim_round { CLAIM_ROUND_DOWN, CLAIM_ROUND_UP };

struct claim_date {
	bool is_there;
	uint64_t s; /* at most CLAIMS_DATE_MAX; 0 when absent */
};

/* Text of 1 to CLAIMS_TEXT_MAX_BYTES without control characters; absent: out becomes empty. */
int claim_read_text(const struct json_t *json, const char *name, char out[static CLAIMS_TEXT_SIZE],
    int error);

/* A NumericDate (RFC 7519 2) from 0 to CLAIMS_DATE_MAX, a fraction rounded away. */
int claim_read_date(const struct json_t *json, const char *name, enum claim_round round, int error,
    struct claim_date *out);

/*
 * Packs the groups at path, see CLAIMS_GROUPS_BYTES: an array of texts, or one text; null is absent.
 * A member of the whole name comes first, since names may hold dots (https://example.org/groups);
 * then the path is walked member by member. What does not fit, or is more than CLAIMS_GROUPS_MAX, is
 * -TOKEN_E_GROUPS_SIZE: groups are never cut off, because a policy may take rights away from a group.
 */
int claim_read_groups(const struct json_t *json, const char *path, struct writer *out);

/* RFC 9449 6.1, RFC 7800 3.1: cnf of exactly one member, jkt. Else -TOKEN_E_CNF. */
int claim_read_jkt(const struct json_t *json, char out[static CLAIMS_JKT_SIZE]);

#endif
