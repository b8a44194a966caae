/* SPDX-License-Identifier: MIT */
/*
 * The limits of sessions, by cgroup v2 (S29, R3, R9; kernel: admin-guide/cgroup-v2.rst). One
 * directory per session below a subtree that has been delegated to the service, everything reached
 * by descriptor from /sys/fs/cgroup (S27):
 *
 *	<base>/service   fogd and all its roles and holders, since a group that hands controllers
 *	                 on may hold no process of its own
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
	int (*fs_type)(int fd, long *type);
	int (*make_dir)(int dir, const char *name);
	int (*remove_dir)(int dir, const char *name);
	ssize_t (*read_at)(int fd, void *to, size_t size, off_t at);
	ssize_t (*write)(int fd, const void *from, size_t len);
	int (*wait)(int fd, int timeout_ms); /* for a change of cgroup.events */
};
extern const struct cgroup_sys cgroup_kernel;

/* The delegated subtree. */
struct cgroup {
	const struct cgroup_sys *sys;
	int base;           /* O_PATH; -1 when empty */
	bool is_hybrid;     /* the v2 tree stands beside v1 ones, which have most controllers */
	bool is_in_leaf;    /* this process was in a leaf "service" */
	unsigned available; /* controllers that may be handed to sessions */
	unsigned enabled;   /* those that are */
};
#define CGROUP_EMPTY \
	{ \
		.base = -1 \
	}

/*
 * Opens the group of this process, or its parent if this is the leaf "service" already, and reads
 * which controllers there are. -EOPNOTSUPP: no cgroup v2 is mounted here, or this process is
 * in none of it. A v2 tree without controllers (DESIGN 6) is no error: available lacks them.
 *
 * beside: NULL, or the name of a group next to it (a unit of the same slice) to open in its place.
 * While sessions live their base hands controllers on, and nothing can be started in it:
 * systemd then cannot restart a unit whose own group is that base. A name that is no component of
 * a path is -EINVAL, a group that is not there -ENOENT.
 */
int cgroup_open(struct cgroup *c, const struct cgroup_sys *sys, const char *beside);
void cgroup_close(struct cgroup *c);

/*
 * Moves this process, with all its threads, into the leaf "service", which is made if need be.
 * For fogd before it has a child: what is forked afterwards is born there. 0 also if it is
 * there already.
 */
int cgroup_enter_leaf(const struct cgroup_sys *sys);

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

/* NULL, or what is wrong (static text). Pure. */
const char *cgroup_limits_check(const struct cgroup_limits *l);

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

/* Which limits the group of a session has, as cgroup_session_make says it. */
unsigned cgroup_session_holds(const struct cgroup *c, int dir);

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
 * Removes the groups of all slots that `keep` does not name, their processes killed, in timeout_ms
 * altogether. keep NULL, for a spawner that begins and knows no session yet: groups in which
 * somebody lives stay. Returns how many of those to be removed are still there.
 */
unsigned cgroup_sweep(const struct cgroup *c, bool (*keep)(void *ctx, uint32_t slot), void *ctx,
    uint32_t timeout_ms);

/* --- consumption --- */

enum cgroup_figure {
	CGROUP_CPU_USEC, /* since it was made */
	CGROUP_MEMORY_BYTES,
	CGROUP_MEMORY_PEAK_BYTES,
	CGROUP_PIDS_NOW, /* processes and threads */
	CGROUP_OOM_KILLS,
	CGROUP_FIGURES
};
enum cgroup_wait { CGROUP_WAIT_CPU, CGROUP_WAIT_MEMORY, CGROUP_WAIT_IO, CGROUP_WAITS };

/* What this host does not say (no controller, PSI switched off) is marked as not known. */
struct cgroup_usage {
	uint64_t figure[CGROUP_FIGURES];
	struct cgroup_pressure pressure[CGROUP_WAITS];
	bool has_figure[CGROUP_FIGURES];
	bool has_pressure[CGROUP_WAITS];
};

/* -ENOENT, in a race -ENODEV: the group has been removed; -EBADMSG: the kernel wrote what we cannot
 * read. */
int cgroup_usage_read(const struct cgroup *c, int dir, struct cgroup_usage *out);

#endif
