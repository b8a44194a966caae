/* SPDX-License-Identifier: MIT */
/*
 * The limits of sessions, by cgroup v2 (S29, R3, R9; kernel: admin-guide/cgroup-v2.rst). One
 * directory per session below a subtree that has been delegated to the service, everything reached
 * by descriptor from /sys/fs/cgroup (S27):
 *
 *	<base>/s<slot>   init and shell of the session in that slot; never its holder, which
 *	                 has to outlive an out-of-memory kill of the group
 *
 * Functions return 0 or -errno unless said otherwise; results are set only on success; what a
 * failing one has made is gone again. None allocates, logs or keeps a descriptor but those in its
 * results. All descriptors are close-on-exec.
 */
#ifndef FOG_CGROUP_H
#define FOG_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/vfs.h>

#include "common/buf.h"
#include "ptyd/cgroupfile.h"

/* Which limits hold: the bits of enum cgroup_controller, and this one, which needs no controller
 * of its own but a kernel that accounts for swap. */
#define CGROUP_SWAP (1U << CGROUP_CONTROLLERS)

/* What S29 asks of a host. The weight of io is a wish: not every kernel has one. */
#define CGROUP_NEEDED (CGROUP_CPU | CGROUP_MEMORY | CGROUP_SWAP | CGROUP_PIDS)

/* The system calls behind this module, as a table so that a test can make each of them fail. Each
 * gives -1 and errno like the call it stands for. */
struct cgroup_sys {
	const char *mount; /* "/sys/fs/cgroup" */
	const char *own;   /* "/proc/self/cgroup" */
	int (*open_root)(const char *path, int flags);
	/* Never leaves dir, follows no link. */
	int (*open_below)(int dir, const char *path, int flags);
	int (*fs_info)(int fd, struct statfs *out);
	int (*make_dir)(int dir, const char *name, mode_t mode);
	int (*remove_dir)(int dir, const char *name, int flags);
	ssize_t (*read_at)(int fd, void *to, size_t size, off_t at);
	ssize_t (*write)(int fd, const void *from, size_t len);
	int (*wait)(int fd, int timeout_ms); /* for a change of cgroup.events */
};
extern const struct cgroup_sys cgroup_kernel;

/* The delegated subtree. */
struct cgroup {
	const struct cgroup_sys *sys;
	int base;           /* O_PATH; -1 when empty */
	unsigned available; /* controllers that may be handed to sessions */
	unsigned enabled;   /* those that are */
};
#define CGROUP_EMPTY \
	{ \
		.base = -1 \
	}

/*
 * Opens the group `beside` that of this process (a unit of the same slice; NULL: its own), and reads
 * which controllers there are. Not its own where sessions live: then their base hands controllers on, and nothing
 * can be started in it, so that systemd could not restart a unit whose own group is that base.
 * -EOPNOTSUPP: no cgroup v2 is mounted here, or this process is in none of it; -EINVAL: the name is no
 * component of a path; -ENOENT: there is no such group. A v2 tree without controllers (DESIGN 6) is
 * no error: available lacks them.
 */
int cgroup_open(struct cgroup *c, const struct cgroup_sys *sys, const char *beside);
void cgroup_close(struct cgroup *c);

/*
 * Enables what is available for the groups below: all or nothing. -EBUSY: a process is left in
 * base itself, so the group was not ours alone (what is not ours is not moved). Asks nothing of a
 * tree without controllers: compare enabled with what is needed afterwards.
 */
int cgroup_prepare(struct cgroup *c);

/* --- a session --- */

#define CGROUP_CPU_MAX_MILLI 1024000
#define CGROUP_MEMORY_MIN_BYTES (UINT64_C(1) << 20)
#define CGROUP_MEMORY_MAX_BYTES (UINT64_C(1) << 44)
#define CGROUP_PIDS_MIN 2 /* init and shell */
#define CGROUP_PIDS_MAX 4194304
#define CGROUP_IO_WEIGHT_MAX 10000

struct cgroup_limits {
	uint64_t cpu_milli;    /* thousandths of a CPU, 1…CGROUP_CPU_MAX_MILLI */
	uint64_t memory_bytes; /* the kernel rounds down to pages; of swap there is none */
	uint32_t pids;         /* processes and threads */
	uint32_t io_weight;    /* 1…CGROUP_IO_WEIGHT_MAX, 100 is the kernel's own; 0: leave it */
};

/* Pure. */
bool cgroup_limits_fit(const struct cgroup_limits *l);

/*
 * Makes the group of a slot with its limits written. *dir (the caller's, O_PATH) is for clone3 with
 * CLONE_INTO_CGROUP and the functions below; *holds says which limits are on.
 * -EINVAL: limits or slot out of bounds; -EOPNOTSUPP: a limit of `required` cannot be enforced
 * here; -EEXIST: the slot has a group still, which is left as it is.
 */
int cgroup_session_make(const struct cgroup *c, uint32_t slot, const struct cgroup_limits *l,
    unsigned required, int *dir, unsigned *holds);

/* The group of a session that an earlier spawner made. -ENOENT: there is none. */
int cgroup_session_open(const struct cgroup *c, uint32_t slot, int *dir);

/* SIGKILL to all in it, those being forked included. Does not wait. */
int cgroup_session_kill(const struct cgroup *c, int dir);

/* Does not wait either. 0 also if there is none; -EBUSY: somebody lives in it. */
int cgroup_session_remove(const struct cgroup *c, uint32_t slot);

/*
 * Kills, waits until nobody is left and removes; 0 also if there is none. -ETIMEDOUT: somebody does
 * not die (state D); all has been killed, the group stays, call again. timeout_ms 0: one look.
 */
int cgroup_session_end(const struct cgroup *c, uint32_t slot, uint32_t timeout_ms);

/*
 * For a spawner that begins and knows no session yet: removes the groups of all slots in which nobody
 * lives. Returns how many of those to be removed are still there.
 */
unsigned cgroup_sweep(const struct cgroup *c);

/*
 * The files of CGROUP_STATS that this host has, as a record (cgroupfile.h) and unread. -ENOENT, in a
 * race -ENODEV: the group has been removed; -EMSGSIZE: *w has no room for them.
 */
int cgroup_pack_stats(const struct cgroup *c, int dir, struct writer *w);

#endif
