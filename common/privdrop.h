/* SPDX-License-Identifier: MIT */
/* Dropping privilege, in the order of STYLE.md, and proving it (S2). */
#ifndef FOG_PRIVDROP_H
#define FOG_PRIVDROP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Capability masks, bit n = capability n of linux/capability.h. */
#define CAP_BIT(cap) (UINT64_C(1) << (cap))
extern const uint64_t privdrop_spawner_caps; /* DESIGN 2.1: ids and lists */
extern const uint64_t privdrop_fogd_caps;    /* what fogd keeps: its own and the spawner's */

/* fogd's child before exec, as root: bounding set, groups, ids, ambient capabilities.
 * keep: the bounding set to leave. For uid 0 (the spawner) exec raises it by itself; for other
 * ids the kept ones become ambient. Returns NULL, or the name of the step that failed (errno). */
const char *privdrop_before_exec(uid_t uid, gid_t gid, uint64_t keep);

/* Bounding, permitted, effective and inheritable cut to `keep` in this process, ids unchanged. */
const char *privdrop_limit_caps(uint64_t keep);

/* The role after loading: fchdir(root_fd), chroot(".") when rooted. */
const char *privdrop_enter_root(int root_fd, bool rooted);

/* Gives up all but `keep`, no_new_privs, not dumpable; then proves: ids cannot be regained,
 * capabilities are `keep`, NNP is set. */
const char *privdrop_finish(uint64_t keep);

/* The holder and session-init: from root (or from the user itself) to one id for good. */
const char *privdrop_to_session(uid_t uid, gid_t gid);

/* After the filter: PR_GET_SECCOMP says 2. */
bool privdrop_filter_is_on(void);

/*
 * RLIMIT_CORE 1: with 0 a core_pattern that is a pipe would still get a dump (core(5)), with 1 nothing
 * does. 0 where it is that already and may not be raised. 0 or -1.
 */
int privdrop_core_limit(void);
/* RLIMIT_NOFILE, RLIMIT_FSIZE (0: leave) and the above. */
const char *privdrop_limits(uint64_t nofile, bool may_write_files);

#endif
