/* SPDX-License-Identifier: MIT */
/* Hard limits, and the slots of holders: see plan.h. */
#include "ptyd/plan.h"

#include "common/cleanup.h"
#include "common/id.h"

int
plan_free_slot(const struct slots *s, uint32_t limit, uint32_t *slot)
{
	for (uint32_t i = 0; i < COUNT_OF(s->used); i++) {
		uint64_t free_bits = ~s->used[i];
		uint32_t found;

		if (free_bits == 0)
			continue;
		found = i * 64 + (uint32_t)__builtin_ctzll(free_bits);
		if (found >= limit)
			break;
		*slot = found;
		return 0;
	}
	return -FOG_E_FULL;
}

bool
plan_slot_of_holder(uint32_t uid_base, uid_t uid, uint32_t *slot)
{
	uint32_t range, rest;

	if (!slots_own_uid(uid_base, uid))
		return false;
	range = (uid - uid_base) / SESSION_IDS_PER_SLOT;
	rest = (uid - uid_base) % SESSION_IDS_PER_SLOT;
	if (range == SESSION_SLOTS ? rest >= SESSION_SLOTS : rest != 0)
		return false;
	*slot = range == SESSION_SLOTS ? rest : range;
	return true;
}

/* A session that is asked for has not begun. NULL, or what is wrong with it. */
static const char *
check_new(const struct pl_plan *p)
{
	if (!id_is_session(&p->session_id))
		return "the id is no session id";
	if (p->status != STATUS_STARTING || p->exit_kind != EXIT_NONE ||
	    p->end_reason != END_NONE || p->exit_value != 0)
		return "it is not a new session";
	if (p->expires_s < p->created_s || p->expires_s - p->created_s > PLAN_TTL_MAX_SECONDS)
		return "its times do not fit";
	return NULL;
}

static const char *
check_sizes(const struct pl_plan *p)
{
	if (p->ttl_seconds < 1 || p->ttl_seconds > PLAN_TTL_MAX_SECONDS)
		return "the ttl is above the hard limit";
	if (p->idle_timeout_s > PLAN_IDLE_MAX_SECONDS)
		return "the idle time is above the hard limit";
	if (p->ring_bytes < PLAN_RING_MIN_BYTES || p->ring_bytes > PLAN_RING_MAX_BYTES)
		return "the output ring is outside the hard limits";
	return NULL;
}

int
plan_check(const struct pl_plan *p, const struct plan_limits *limits, const struct plan_host *host,
    uint32_t *slot, const char **why)
{
	uint32_t found;
	uid_t uid;

	if ((*why = check_new(p)) || (*why = check_sizes(p)))
		return -FOG_E_BOUNDS;
	*why = "the session is known already";
	if (host->id_known)
		return -FOG_E_BOUNDS;
	*why = "the node has no room for another session";
	if (host->living >= limits->max_sessions ||
	    plan_free_slot(host->slots, SESSION_SLOTS, &found) != 0)
		return -FOG_E_FULL;
	*why = "there are no ids left for another session";
	if (slots_uid(limits->uid_base, found, &uid) != 0 ||
	    slots_holder_uid(limits->uid_base, found, &uid) != 0)
		return -FOG_E_FULL;
	*why = NULL;
	*slot = found;
	return 0;
}
