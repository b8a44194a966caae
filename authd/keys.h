/* SPDX-License-Identifier: MIT */
/*
 * The provider's keys as they age (R11): when to fetch them, what of an answer to take, and whether
 * those at hand may still be used. Only decisions: the clock is a parameter and keyfetch.c does the
 * I/O. A round is the discovery document and then the set that it names; new keys are taken all at
 * once at its end, and a round that fails changes nothing of what is at hand.
 */
#ifndef AUTHD_KEYS_H
#define AUTHD_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "authd/jwk.h"
#include "authd/metadata.h"
#include "common/session.h"

/* After a failed round the next starts so much later, doubled with each, up to the second. */
#define KEYS_RETRY_MIN_MS UINT64_C(1000)
#define KEYS_RETRY_MAX_MS UINT64_C(30000)

#define KEYS_NEVER UINT64_MAX

struct keys_config {
	const char *issuer; /* a good one (issuer_parse); lives as long as the keys */
	jwa_set algorithms; /* that are taken */
	uint64_t refresh_ms, max_age_ms, cooldown_ms;
};

struct keys; /* all times are of one clock that also runs while the machine sleeps: boot_ms() */

/* NULL when out of memory. The first round is due at once. */
struct keys *keys_new(const struct keys_config *config);
void keys_free(struct keys *k); /* NULL is fine */

/* When keys_begin is to be called; KEYS_NEVER while a round is under way. */
uint64_t keys_due_ms(const struct keys *k);
/* When the keys at hand become too old; KEYS_NEVER without any. */
uint64_t keys_end_ms(const struct keys *k);

/* Begins a round. Then, and after each KEYS_MORE, keys_url is what to fetch, of at most that size. */
void keys_begin(struct keys *k);
bool keys_is_fetching(const struct keys *k);
const char *keys_url(const struct keys *k);
size_t keys_max_bytes(const struct keys *k);

/*
 * A token names a key that is not at hand. True: a round is under way, in which it may turn up (one
 * has begun now if there was none). False: there was one for such a key within the cool-down, which
 * runs from its end: the token is refused.
 */
bool keys_want_unknown(struct keys *k, uint64_t now_ms);

enum keys_step { KEYS_FAILED = -1, KEYS_DONE, KEYS_MORE };

/* The body that came from keys_url, or that none came and why (a static text for the log). */
enum keys_step keys_take(struct keys *k, uint64_t now_ms, const char *body, size_t len);
void keys_fail(struct keys *k, uint64_t now_ms, const char *why);

/* The set to verify with, borrowed until the next keys_take; NULL: there is none, or it is too old. */
struct jwk_set *keys_usable(const struct keys *k, uint64_t now_ms);
enum sign_in keys_sign_in(const struct keys *k, uint64_t now_ms);
/* Why the last round failed; "" when it did not. Static. */
const char *keys_trouble(const struct keys *k);
/* Of the last set that was read: what was used and left out. */
const struct jwk_report *keys_report(const struct keys *k);
/* When to ask again, for Retry-After: 1 or more seconds. */
uint32_t keys_retry_after_s(const struct keys *k, uint64_t now_ms);

#endif
