/* SPDX-License-Identifier: MIT */
/*
 * A provider's token from its text to what it says, in the only right order: form, key, signature,
 * claims (RFC 7519 7.2, RFC 9068 4). No I/O and no clock.
 */
#ifndef AUTHD_TOKEN_H
#define AUTHD_TOKEN_H

#include <stddef.h>
#include <time.h>

#include "authd/claims.h"
#include "authd/jwk.h"

/*
 * Loads what OpenSSL and jansson would else load with the first token; before the filter. Returns 0
 * or -1.
 */
int token_init(void);

/*
 * token needs no NUL; it is borrowed, no part of it is kept, copies are wiped. Returns 0 or a
 * negative enum token_error of jws_parse, jwk_set_verify or claims_check_*, the first that holds;
 * *out is set only on success. An access token whose claims have a jkt needs a DPoP proof as well.
 */
int token_check_access(const char *token, size_t len, struct jwk_set *keys,
    const struct claims_policy *policy, time_t now_s, struct claims *out);
int token_check_logout(const char *token, size_t len, struct jwk_set *keys,
    const struct claims_policy *policy, time_t now_s, struct claims *out);

#endif
