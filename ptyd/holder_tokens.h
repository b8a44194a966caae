/* SPDX-License-Identifier: MIT */
/*
 * The attach tokens a session has seen (S19): consumed here, where the record outlives every
 * daemon. Bounded: an id is forgotten once its token has expired, since then the expiry refuses
 * it. Pure; times are CLOCK_BOOTTIME in milliseconds.
 */
#ifndef FOG_HOLDER_TOKENS_H
#define FOG_HOLDER_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "common/id.h"

#define TOKENS_MAX 1024
#define TOKEN_LIFE_MAX_MS 600000 /* a longer one is not of our making, and would stay too long */

struct tokens {
	size_t count;
	struct {
		struct id128 id;
		uint64_t expires_boot_ms;
	} used[TOKENS_MAX];
};

void tokens_init(struct tokens *t);
/*
 * 0: now consumed. -FOG_E_USED_ATTACH_TOKEN; -FOG_E_BAD_ATTACH_TOKEN: expired or too long;
 * -FOG_E_RATE: more tokens are live than the set can hold.
 */
int tokens_consume(struct tokens *t, const struct id128 *id, uint64_t expires_boot_ms,
    uint64_t now_boot_ms);

#endif
