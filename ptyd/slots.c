/* SPDX-License-Identifier: MIT */
/* Slots and their ids: see slots.h. */
#include "ptyd/slots.h"

#include "common/err.h"

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
slots_uid(uint32_t uid_base, uint32_t slot, uid_t *uid)
{
	return slot < SESSION_SLOTS ? first_id(uid_base, slot, uid) : -FOG_E_BOUNDS;
}

int
slots_holder_uid(uint32_t uid_base, uint32_t slot, uid_t *uid)
{
	int rc = slot < SESSION_SLOTS ? first_id(uid_base, SESSION_SLOTS, uid) : -FOG_E_BOUNDS;

	if (rc == 0)
		*uid += slot;
	return rc;
}

int
slots_tools_uid(uint32_t uid_base, uid_t *uid)
{
	int rc = first_id(uid_base, SESSION_SLOTS, uid);

	if (rc == 0)
		*uid += SESSION_SLOTS;
	return rc;
}

bool
slots_own_uid(uint32_t uid_base, uid_t uid)
{
	return uid >= uid_base &&
	    (uint64_t)uid - uid_base < (uint64_t)SESSION_RANGES * SESSION_IDS_PER_SLOT;
}
