/* SPDX-License-Identifier: MIT */
/*
 * How often a subject may ask: a token bucket each, that holds as many as a minute brings. Kept as
 * the moment at which it would be full again (GCRA), on the monotonic clock (R10). Bounded: a
 * bucket that is full says nothing, and is forgotten.
 */
#ifndef PLACERD_RATE_H
#define PLACERD_RATE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define RATE_ENTRIES_MAX 65536 /* subjects whose bucket is not full */

struct rate;

/* per_minute 0: no limit. NULL: no memory. */
struct rate *rate_new(uint32_t per_minute);
void rate_free(struct rate *r); /* NULL is fine */

/*
 * Takes one. 0; -FOG_E_RATE: none is left, and *retry_after_s (from 1) says when the next is there;
 * -FOG_E_NOMEM. A table that is full of other subjects refuses as well: they are all busy.
 */
int rate_take(struct rate *r, struct view issuer, struct view subject, uint64_t now_mono_ms,
    uint32_t *retry_after_s);

size_t rate_entries(const struct rate *r);

#endif
