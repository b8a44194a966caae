/* SPDX-License-Identifier: MIT */
/*
 * The sessions of this node, by id and by owner. Those that have ended are kept for
 * REGISTRY_KEEP_MS, as many as fit, so that their owner still sees how they ended and a repeated
 * create still finds them.
 */
#ifndef PLACERD_REGISTRY_H
#define PLACERD_REGISTRY_H

#include <stddef.h>
#include <stdint.h>

#include "placerd/session.h"

#define REGISTRY_KEEP_MS (10 * 60 * 1000)
#define REGISTRY_ENDED_MAX 4096             /* the oldest go first */
#define REGISTRY_REPEAT_MS (10 * 60 * 1000) /* DESIGN 3.1: Idempotency-Key */

struct registry;

struct registry *registry_new(void); /* NULL: no memory or no randomness */
void registry_free(struct registry *r);

/*
 * Adds a copy of *from, whose state must be STATUS_NONE. NULL: the id is known, SESSION_SLOTS live
 * ones are there, or no memory. The registry owns what it returns, until registry_remove or
 * registry_sweep.
 */
struct session *registry_add(struct registry *r, const struct session *from);
void registry_remove(struct registry *r, struct session *s);

/* The session has ended: it no longer counts as live, and is kept for a while. Once. */
void registry_settle(struct registry *r, struct session *s);
/* Forgets the ended ones whose time is over, or for which there is no room. */
void registry_sweep(struct registry *r, uint64_t now_mono_ms);

struct session *registry_find(struct registry *r, const struct id128 *id);
struct session *registry_find_owned(struct registry *r, const struct id128 *id, struct view issuer,
    struct view subject);
/* The owner's session that was made with this key in the last ten minutes. */
struct session *registry_find_repeat(struct registry *r, struct view issuer, struct view subject,
    struct view idem_key, uint64_t now_mono_ms);

/*
 * Walks: NULL begins, NULL ends. Meanwhile sessions may be settled but not removed. registry_next
 * gives the oldest first, registry_next_of the newest.
 */
struct session *registry_next(struct registry *r, struct session *prev);
/* Those that are not settled alone, the oldest first; meanwhile none may be settled. */
const struct session *registry_next_live(const struct registry *r, const struct session *prev);
struct session *registry_next_of(struct registry *r, struct view issuer, struct view subject,
    struct session *prev);

size_t registry_live(const struct registry *r);
size_t registry_ended(const struct registry *r);

#endif
