/* SPDX-License-Identifier: MIT */
/* The slots of sessions, each of which stands for one range of ids (DESIGN 2.1, S29): pure. */
#ifndef FOG_SLOTS_H
#define FOG_SLOTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/session.h"

struct slots {
	uint64_t used[SESSION_RANGES / 64];
};

bool slots_take(struct slots *s, uint32_t slot); /* false: it is taken, or there is none such */
bool slots_has(const struct slots *s, uint32_t slot);
void slots_release(struct slots *s, uint32_t slot);

/* First id of a slot's range, the session's own 0. -FOG_E_BOUNDS: no such id. */
int slots_uid(uint32_t uid_base, uint32_t slot, uid_t *uid);
/*
 * The id of its holder: in the last range, so that no session's user namespace has it and nobody in
 * one can be it.
 */
int slots_holder_uid(uint32_t uid_base, uint32_t slot, uid_t *uid);
/* Of programs that make what sessions use, and of nobody else. */
int slots_tools_uid(uint32_t uid_base, uid_t *uid);
/* Whether this id belongs to any slot's range. */
bool slots_own_uid(uint32_t uid_base, uid_t uid);

#endif
