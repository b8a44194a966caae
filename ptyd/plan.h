/* SPDX-License-Identifier: MIT */
/*
 * A plan held against ptyd's own hard limits, whatever placerd has checked already: pure. And
 * the slots, each of which stands for one range of ids (DESIGN 2.1, S29).
 */
#ifndef FOG_PLAN_H
#define FOG_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/msg.h"

#define PLAN_TTL_MAX_SECONDS 604800
#define PLAN_IDLE_MAX_SECONDS 604800
#define PLAN_RING_MIN_BYTES 4096
#define PLAN_RING_MAX_BYTES (64u << 20)

struct slots {
	uint64_t used[SESSION_RANGES / 64];
};

struct plan_limits {
	uint32_t max_sessions;
	uint32_t uid_base;
};

struct plan_host {
	const struct slots *slots;
	uint32_t living; /* sessions that have not ended, those being made included */
	bool id_known;
};

/* Takes nothing. 0 and *slot; else -FOG_E_… and *why (static). */
int plan_check(const struct pl_plan *p, const struct plan_limits *limits,
    const struct plan_host *host, uint32_t *slot, const char **why);

bool slots_take(struct slots *s, uint32_t slot); /* false: it is taken, or there is none such */
bool slots_has(const struct slots *s, uint32_t slot);
void slots_release(struct slots *s, uint32_t slot);
/* The lowest free one below limit. 0 or -FOG_E_FULL. */
int slots_lowest(const struct slots *s, uint32_t limit, uint32_t *slot);

/* First id of a slot's range, the session's own 0. -FOG_E_BOUNDS: no such id. */
int plan_uid(uint32_t uid_base, uint32_t slot, uid_t *uid);
/*
 * The id of its holder: in the last range, so that no session's user namespace has it and nobody in
 * one can be it.
 */
int plan_holder_uid(uint32_t uid_base, uint32_t slot, uid_t *uid);
/* Of programs that make what sessions use, and of nobody else. */
int plan_uid_of_tools(uint32_t uid_base, uid_t *uid);
/* False: this is no holder's id. Those of builds before 0.2 had the first id of their slot's range. */
bool plan_slot_of_holder(uint32_t uid_base, uid_t uid, uint32_t *slot);
/* Whether this id belongs to any slot's range. */
bool plan_owns_uid(uint32_t uid_base, uid_t uid);

#endif
