/* SPDX-License-Identifier: MIT */
/*
 * Requests whose token names a key that is being fetched. Each is kept as the record it came in,
 * which holds a token: bounded in number and bytes, and wiped when it goes. Its id stands in the
 * table of requests meanwhile, in PH_WAITS, so that nobody can use it a second time.
 */
#ifndef AUTHD_WAITING_H
#define AUTHD_WAITING_H

#include <stddef.h>
#include <stdint.h>

#include "common/msg.h"

/* A phase in which no message that has an id is legal, from anybody. */
#define PH_WAITS PH_NOTE

#define WAITING_MAX 256
#define WAITING_MAX_BYTES (1u << 20)
/* Looked at again in one turn of the event loop: a token costs some 30 to 100 microseconds. */
#define WAITING_A_TURN 32

struct event_base;
struct waiting;

struct waiter {
	uint64_t id, gate_epoch; /* who asked: it is for no later gatewayd */
	uint64_t deadline_mono_ms;
};

/* One may go on: m is its message, valid until this returns, after which it is forgotten. */
typedef void (*waiting_go)(void *ctx, const struct waiter *w, struct msg *m);

/* NULL when out of memory. */
struct waiting *waiting_new(struct event_base *base, waiting_go go, void *ctx);
void waiting_free(struct waiting *ws); /* wipes all; NULL is fine */

/* NULL when there is no room. m stays the caller's. */
struct waiter *waiting_add(struct waiting *ws, const struct msg *m, uint64_t gate_epoch,
    uint64_t deadline_mono_ms);
void waiting_remove(struct waiting *ws, struct waiter *w);
/* The one that has waited longest, or NULL. */
struct waiter *waiting_first(struct waiting *ws);
/* All that wait now go on, in the order in which they came, from the next turn on. */
void waiting_wake(struct waiting *ws);
size_t waiting_count(const struct waiting *ws);

#endif
