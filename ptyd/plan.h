/* SPDX-License-Identifier: MIT */
/*
 * A plan held against ptyd's own hard limits, whatever placerd has checked already: pure.
 */
#ifndef FOG_PLAN_H
#define FOG_PLAN_H

#include "common/msg.h"
#include "ptyd/slots.h"

#define PLAN_TTL_MAX_SECONDS 604800
#define PLAN_IDLE_MAX_SECONDS 604800
#define PLAN_RING_MIN_BYTES 4096
#define PLAN_RING_MAX_BYTES (64u << 20)

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

/* The lowest free one below limit. 0 or -FOG_E_FULL. */
int plan_free_slot(const struct slots *s, uint32_t limit, uint32_t *slot);
/* False: this is no holder's id. Those of builds before 0.2 had the first id of their slot's range. */
bool plan_slot_of_holder(uint32_t uid_base, uid_t uid, uint32_t *slot);

#endif
