/* SPDX-License-Identifier: MIT */
/* Hard limits and slots: see plan.h. */
#include "ptyd/plan.h"

#include "common/cleanup.h"
#include "common/id.h"

#define HIGHEST_UID UINT64_C(0xfffffffd) /* the last two mean "nobody changed" and overflow */

bool
slots_has(const struct slots *s, uint32_t slot)
{
	return slot < SESSION_SLOTS && s->used[slot / 64] >> slot % 64 & 1;
}

bool
slots_take(struct slots *s, uint32_t slot)
{
	if (slot >= SESSION_SLOTS || slots_has(s, slot))
		return false;
	s->used[slot / 64] |= UINT64_C(1) << (slot % 64);
	return true;
}

void
slots_release(struct slots *s, uint32_t slot)
{
	if (slot < SESSION_SLOTS)
		s->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

int
slots_lowest(const struct slots *s, uint32_t limit, uint32_t *slot)
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

/* Also of a slot that no session has. */
static int
first_id(uint32_t uid_base, uint32_t range, uid_t *uid)
{
	uint64_t first = uid_base + (uint64_t)range * SESSION_IDS_PER_SLOT;

	if (uid_base == 0 || first + SESSION_IDS_PER_SLOT - 1 > HIGHEST_UID)
		return -FOG_E_BOUNDS;
	*uid = (uid_t)first;
	return 0;
}

int
plan_uid(uint32_t uid_base, uint32_t slot, uid_t *uid)
{
	return slot < SESSION_SLOTS ? first_id(uid_base, slot, uid) : -FOG_E_BOUNDS;
}

int
plan_holder_uid(uint32_t uid_base, uint32_t slot, uid_t *uid)
{
	int rc = slot < SESSION_SLOTS ? first_id(uid_base, SESSION_SLOTS, uid) : -FOG_E_BOUNDS;

	if (rc == 0)
		*uid += slot;
	return rc;
}

int
plan_uid_of_tools(uint32_t uid_base, uid_t *uid)
{
	int rc = first_id(uid_base, SESSION_SLOTS, uid);

	if (rc == 0)
		*uid += SESSION_SLOTS;
	return rc;
}

bool
plan_slot_of_holder(uint32_t uid_base, uid_t uid, uint32_t *slot)
{
	uint32_t range, rest;

	if (!plan_owns_uid(uid_base, uid))
		return false;
	range = (uid - uid_base) / SESSION_IDS_PER_SLOT;
	rest = (uid - uid_base) % SESSION_IDS_PER_SLOT;
	if (range == SESSION_SLOTS ? rest >= SESSION_SLOTS : rest != 0)
		return false;
	*slot = range == SESSION_SLOTS ? rest : range;
	return true;
}

bool
plan_owns_uid(uint32_t uid_base, uid_t uid)
{
	return uid >= uid_base &&
	    (uint64_t)uid - uid_base < (uint64_t)SESSION_RANGES * SESSION_IDS_PER_SLOT;
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
	    slots_lowest(host->slots, SESSION_SLOTS, &found) != 0)
		return -FOG_E_FULL;
	*why = "there are no ids left for another session";
	if (plan_uid(limits->uid_base, found, &uid) != 0 ||
	    plan_holder_uid(limits->uid_base, found, &uid) != 0)
		return -FOG_E_FULL;
	*why = NULL;
	*slot = found;
	return 0;
}
