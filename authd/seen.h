/* SPDX-License-Identifier: MIT */
/*
 * What has been seen within the last while, each thing once: a memory of fixed size against replay
 * (RFC 9449 11.1). It never forgets what is still alive: when it is full it refuses. Entries stand
 * under a hash with a random key, so that nobody can aim two of them at one place, and hold no text.
 */
#ifndef AUTHD_SEEN_H
#define AUTHD_SEEN_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define SEEN_CAPACITY_MAX 16777216

/* Why an item was refused; functions return it negated. */
enum seen_error {
	SEEN_OK,
	SEEN_E_REPLAY,   /* it is there and alive */
	SEEN_E_TOO_MANY, /* of one owner */
	SEEN_E_FULL,     /* of all */
	SEEN_E_CRYPTO,   /* a library failed */
};

struct seen_config {
	size_t capacity;      /* living items; 1 to SEEN_CAPACITY_MAX */
	size_t per_owner;     /* of one owner; two owners share it once in some thousand pairs */
	uint64_t remember_ms; /* life of an item; the same for all, so the oldest goes first */
};

struct seen;

/*
 * About 28 bytes for each item, which take memory once they are used. Returns 0, or -1 with errno:
 * EINVAL, ENOMEM, or no randomness. On success seen_free.
 */
int seen_new(const struct seen_config *config, struct seen **out);
void seen_free(struct seen *s); /* wipes the key; NULL is fine */

/*
 * Remembers an item of an owner, both any bytes, from now_ms on; forgets what has died until then.
 * now_ms is of a clock that never goes back; if it does, nothing lives shorter. O(1) over time: each
 * item is put and forgotten once. Returns 0, or a negative enum seen_error, and then nothing is
 * remembered.
 */
int seen_add(struct seen *s, struct view owner, struct view item, uint64_t now_ms);

#endif
