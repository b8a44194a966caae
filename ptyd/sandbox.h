/* SPDX-License-Identifier: MIT */
/*
 * The sandbox (S25 to S28): namespaces, mounts and the loss of all privilege. All that it is made
 * of comes as descriptors and numbers: no path of a session or of its image is ever resolved but
 * by openat2 beneath a descriptor, without links. It runs between fork and exec, so it allocates
 * and logs nothing.
 *
 *   maker (the spawner's child, privileged)          init (pid 1 of the sandbox)
 *   sandbox_prepare  detached copies of the trees
 *   sandbox_clone    ------------------------------> in all its new namespaces, no ids yet
 *                    <------- its user namespace --- sandbox_enter
 *   sandbox_map      --------- the maps are on ----> mounts, root, /dev, /proc …
 *   sandbox_take_terminal <--- PTY of its devpts --- sandbox_open_terminal
 *   sandbox_fini                                     sandbox_confine, then exec
 *
 * Whatever mounts, in init, has privilege in the session's own user namespace alone: a fault of
 * overlayfs is not one of host root. The maker keeps what only the host's root can do: copies
 * of host trees, with the ids of this session, and the maps. /proc of the maker has to be whole:
 * the kernel lets nobody mount a new one where parts of the old are covered.
 */
#ifndef FOG_SANDBOX_H
#define FOG_SANDBOX_H

#include <linux/filter.h>
#include <stdint.h>
#include <sys/types.h>

#define SANDBOX_HOSTNAME_SIZE 65
#define SANDBOX_USER_SIZE 33
#define SANDBOX_DEVICES 6
/* Who the person is inside; images are made for that (fogctl image). */
#define SANDBOX_USER "user"
#define SANDBOX_HOME "/home/" SANDBOX_USER

/* Where it failed. X(NAME, text) */
#define SANDBOX_STAGES(X) \
	X(PLAN, "plan") \
	X(IMAGE, "image") \
	X(STORAGE, "storage") \
	X(HOME, "home") \
	X(DEVICES, "devices") \
	X(NAMESPACE, "namespace") \
	X(IDS, "ids") \
	X(NETWORK, "network") \
	X(ROOT, "root") \
	X(PROC, "proc") \
	X(TERMINAL, "terminal") \
	X(LIMITS, "limits") \
	X(FILTER, "filter")

#define ENUM_SANDBOX_STAGE(name, text) SANDBOX_AT_##name,
enum sandbox_stage { SANDBOX_AT_NONE, SANDBOX_STAGES(ENUM_SANDBOX_STAGE) SANDBOX_AT_COUNT };

/* Descriptors are borrowed; an optional one that is not there is -1. */
struct sandbox_plan {
	int image; /* directory: the root; ids on disk from 0. Never written */
	/* Directories, or mounts that are mounted nowhere yet and become the session's: */
	int writable; /* with "upper" and "work", both owned by first_id */
	int home; /* optional: the root of what is /home/USER; its files' ids from home_first_id */
	int cgroup;             /* optional: where init is born (CLONE_INTO_CGROUP) */
	uint32_t first_id;      /* of this host: the session's 0 */
	uint32_t home_first_id; /* on the home's disk: the session's 0 */
	uint32_t uid, gid;      /* inside, 1..65533 */
	uint64_t tmp_bytes;     /* of each of /tmp, /run and /dev/shm */
	uint64_t tmp_inodes;
	uint32_t ptys, files, processes;
	char hostname[SANDBOX_HOSTNAME_SIZE]; /* letters, digits, '-' */
	char user[SANDBOX_USER_SIZE];         /* lower-case letters, digits, '-' */
};

/* All descriptors are its own. Read what it says of itself in `stage` when a call fails. */
struct sandbox {
	const struct sandbox_plan *plan; /* borrowed */
	enum sandbox_stage stage;
	int image, writable, upper, work, home, devices[SANDBOX_DEVICES];
	int sync[2];                  /* maker's, init's */
	int staging, root, dev, proc; /* init's */
};

#define SANDBOX_EMPTY \
	{ \
		.image = -1, .writable = -1, .upper = -1, .work = -1, .home = -1, \
		.devices = { -1, -1, -1, -1, -1, -1 }, .sync = { -1, -1 }, .staging = -1, \
		.root = -1, .dev = -1, .proc = -1 \
	}

/* Static text; "unknown" for a number that is not in the table. */
const char *sandbox_stage_name(unsigned stage);

/* All of these return 0 or -errno, and leave where they were in s->stage. */

/* A plan's numbers and texts, without a system call. */
int sandbox_check(const struct sandbox_plan *plan);
/* In the maker, in the host's mount namespace. s is SANDBOX_EMPTY; plan stays until sandbox_fini. */
int sandbox_prepare(struct sandbox *s, const struct sandbox_plan *plan);
/* In the maker: as fork; *pid is 0 in init. */
int sandbox_clone(struct sandbox *s, pid_t *pid);
/* In the maker: waits for init, gives it its ids and lets it go on. */
int sandbox_map(struct sandbox *s, pid_t init);
/* In init: until it stands in its own root with nothing of the host's left. */
int sandbox_enter(struct sandbox *s);
/* In init, after sandbox_enter: a PTY of the session's own devpts, owned by its user; both ends are the
 * caller's. Then, as soon as it is as it should be, its master goes to the maker. */
int sandbox_open_terminal(struct sandbox *s, int *master, int *slave);
int sandbox_give_terminal(struct sandbox *s, int master);
/* In the maker: waits for that master, which becomes the caller's. -EPIPE: init has failed. */
int sandbox_take_terminal(struct sandbox *s, int *master);
/* In init: limits, ids, capabilities, no_new_privs, Landlock where there is one, the filter; as
 * pid 1 it also dies with its maker. */
int sandbox_confine(struct sandbox *s, const struct sock_fprog *filter);
/* In either. */
void sandbox_fini(struct sandbox *s);

#endif
