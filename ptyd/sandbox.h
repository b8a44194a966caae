/* SPDX-License-Identifier: MIT */
/*
 * The sandbox (S25 to S28), the half that needs the host's root: detached copies of its trees, its
 * namespaces and their ids. All that it is made of comes as descriptors and numbers: no path of a
 * session or of its image is ever resolved but by openat2 beneath a descriptor, without links. It
 * runs between fork and exec, so it allocates and logs nothing.
 *
 *   maker (the spawner's child, privileged)          init (pid 1 of the sandbox)
 *   sandbox_prepare  detached copies of the trees
 *   sandbox_clone    ------------------------------> in all its new namespaces, no ids yet
 *                    <------- its user namespace --- sandbox_enter
 *   sandbox_map      --------- the maps are on ----> root of that namespace and of nothing else;
 *                                                    exec of session-init: see inside.h
 *   sandbox_take_terminal <--- PTY of its devpts --- inside_give_terminal
 *   sandbox_fini
 *
 * Whatever mounts, in init, has privilege in the session's own user namespace alone, and no code of
 * it is in a program that runs as root of the host: a fault of overlayfs is not one of host root.
 * The maker keeps what only the host's root can do: copies of host trees, with the ids of this
 * session, and the maps. /proc of the maker has to be whole: the kernel lets nobody mount a new one
 * where parts of the old are covered.
 */
#ifndef FOG_SANDBOX_H
#define FOG_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>

#include "common/session.h"

/* The device nodes of a sandbox, which are the host's. X(name, major, minor) */
#define SANDBOX_NODES(X) \
	X("null", 1, 3) \
	X("zero", 1, 5) \
	X("full", 1, 7) \
	X("random", 1, 8) \
	X("urandom", 1, 9) \
	X("tty", 5, 0)
#define COUNT_NODE(name, major, minor) +1
#define SANDBOX_DEVICES (0 SANDBOX_NODES(COUNT_NODE))

/* The descriptors that session-init builds with, in this order. */
enum sandbox_part {
	PART_SYNC, /* its end of the pair to the maker */
	PART_IMAGE,
	PART_WRITABLE,
	PART_UPPER,
	PART_WORK,
	PART_HOME,
	PART_DEVICES,
	SANDBOX_PARTS = PART_DEVICES + SANDBOX_DEVICES
};

/* Descriptors are borrowed; an optional one that is not there is -1. */
struct sandbox_plan {
	int image; /* directory: the root; ids on disk from 0. Never written */
	/* Directories, or mounts that are mounted nowhere yet and become the session's: */
	int writable; /* with "upper" and "work", both owned by first_id */
	int home; /* optional: the root of what is /home/USER; its files' ids from home_first_id */
	int cgroup;             /* optional: where init is born (CLONE_INTO_CGROUP) */
	uint32_t first_id;      /* of this host: the session's 0 */
	uint32_t home_first_id; /* on the home's disk: the session's 0 */
};

/* All descriptors are its own. Read what it says of itself in `stage` when a call fails. */
struct sandbox {
	const struct sandbox_plan *plan; /* borrowed */
	enum spawn_stage stage;
	int parts[SANDBOX_PARTS]; /* -1: not there */
	int sync;                 /* the maker's end */
};

/* All of these return 0 or -errno, and leave where they were in s->stage. */

/* In the maker, in the host's mount namespace; sets all of s. plan stays until sandbox_fini. */
int sandbox_prepare(struct sandbox *s, const struct sandbox_plan *plan);
/* In the maker: as fork; *pid is 0 in init. */
int sandbox_clone(struct sandbox *s, pid_t *pid);
/* In the maker: waits for init, gives it its ids and lets it go on. */
int sandbox_map(struct sandbox *s, pid_t init);
/* In init: until it is root of its own user namespace, and nobody on the host. */
int sandbox_enter(struct sandbox *s);
/* In the maker: waits for the master of a PTY, the caller's. -EPIPE: init has failed. */
int sandbox_take_terminal(struct sandbox *s, int *master);
/* In either. */
void sandbox_fini(struct sandbox *s);

#endif
