/* SPDX-License-Identifier: MIT */
/*
 * Access tokens that were found right before, so that a client's next request does not cost another
 * signature (RS256 takes 20 us, ES256 70). An entry is good for exactly the bytes of that token
 * (by SHA-256), under the very set of keys that verified it, and until the token's end. So a key
 * that the provider withdraws, or any refresh, makes every token be verified anew; what else can
 * change while a token lives, its DPoP proof and its revocation, is not remembered here. No token is
 * kept. Pure: the clock is a parameter. One thread.
 */
#ifndef AUTHD_KNOWN_H
#define AUTHD_KNOWN_H

#include <stdbool.h>

#include "authd/claims.h"
#include "authd/jwk.h"
#include "common/buf.h"

/* A token has one place in the table: the next one there replaces it. At most 5 MiB, usually 1. */
#define KNOWN_TOKENS 1024

struct known;

/* Before the filter. NULL: out of memory, or OpenSSL failed. */
struct known *known_new(void);
void known_free(struct known *k); /* NULL is fine */

/* True: *out is what token_check_access said of this token, and it is not past its end. */
bool known_get(struct known *k, struct view token, const struct jwk_set *set,
    const struct claims_policy *policy, time_t now_s, struct claims *out);
/* Of a token that token_check_access has just found right. Without memory it is not remembered. */
void known_put(struct known *k, struct view token, const struct jwk_set *set,
    const struct claims *claims);

#endif
