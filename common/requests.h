/* SPDX-License-Identifier: MIT */
/*
 * The requests a process has passed on and not yet answered, by id: their phase is what makes an
 * answer legal. Bounded; every entry has a deadline on the monotonic clock.
 */
#ifndef FOG_REQUESTS_H
#define FOG_REQUESTS_H

#include "common/msg.h"

struct event_base;
struct requests;

struct request {
	uint64_t id;
	enum msg_phase phase;
	struct trace trace;
	uint64_t deadline_mono_ms;
	void *data; /* the owner's; freed by the owner */
};

/* A deadline has passed, or requests_clear: the entry is removed when this returns. */
typedef void (*request_lost)(void *ctx, struct request *r, int error);

/* At most `max` at once. NULL when out of memory. */
struct requests *requests_new(struct event_base *base, size_t max, request_lost lost, void *ctx);
void requests_free(struct requests *rs); /* without calling lost */

/* NULL: the id is 0 or known already, the table is full, or no memory. */
struct request *requests_add(struct requests *rs, uint64_t id, enum msg_phase phase,
    const struct trace *trace, uint64_t timeout_ms, void *data);
struct request *requests_find(struct requests *rs, uint64_t id);
void requests_remove(struct requests *rs, struct request *r);
/* Calls lost(…, error) for each and removes it. */
void requests_clear(struct requests *rs, int error);
size_t requests_count(const struct requests *rs);
/* For peer_ops.phase_of: PH_NEW when unknown. */
unsigned requests_phase(struct requests *rs, uint64_t id);

#endif
