/* SPDX-License-Identifier: MIT */
/*
 * What session-init is told of its session, as one record on a pipe: written by the maker before its
 * fork, read by the program after its exec. See launch.h for the descriptors beside it.
 */
#ifndef FOG_INITPLAN_H
#define FOG_INITPLAN_H

#include <stdint.h>

#include "common/codec.h"
#include "common/session.h"

/* Whose the shell is: of a sandbox; a user's of this host; an id's that nobody else has. */
enum init_owner { OWNER_SANDBOX, OWNER_USER, OWNER_NOBODY, OWNER_COUNT };

#define FIELDS_init_plan(F, T) \
	F(T, u8, owner, 0, OWNER_COUNT - 1) \
	F(T, id, session_id, 0, 0) \
	F(T, raw32, shell, 0, 0) /* a path that ends in NUL; of a sandbox alone */ \
	F(T, u16, cols, 1, 1000) \
	F(T, u16, rows, 1, 1000) \
	F(T, u8, has_home, 0, 1) \
	F(T, u32, processes, 0, UINT32_MAX) \
	F(T, u64, memory_bytes, 0, UINT64_MAX) \
	F(T, u32, max_sessions, 1, UINT32_MAX) /* of this host: they share its terminals */ \
	F(T, u8, resolver_len, 0, 16) \
	F(T, id, resolver, 0, 0)

#define INIT_PLAN_BYTES 256 /* of the record at most; less than a pipe takes at once */

extern const struct layout init_plan_layout;

struct init_plan {
	FIELDS_init_plan(CODEC_MEMBER, _)
};

/* The reading end of a pipe that holds it, close-on-exec; or -errno. */
int init_plan_pipe(const struct init_plan *p);

#endif
