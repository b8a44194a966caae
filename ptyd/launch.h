/* SPDX-License-Identifier: MIT */
/*
 * How a session is born: the numbers of the descriptors that a holder and a session-init find at
 * their exec, the records on their pipes, and the fork itself.
 *
 * spawner -- fork --> maker -- clone --> init -- exec --> session-init -- fork --> shell
 *                       `-- drop, exec --> holder
 *
 * One pipe carries a report to the spawner: each of them holds its writing end until it stands
 * (holder: it listens; init: the shell's exec went through), so that the end of file without a
 * report says that all three do.
 */
#ifndef FOG_LAUNCH_H
#define FOG_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/session.h"
#include "ptyd/initplan.h"
#include "ptyd/sandbox.h"

/* 0, 1 and 2 of the holder are /dev/null: it logs through the broker. */
enum holder_fd {
	HOLDER_FD_MASTER = 3,
	HOLDER_FD_LISTEN,   /* bound; the holder listens itself, so that SO_PEERCRED names it */
	HOLDER_FD_INIT,     /* stream pair to init: its end kills the session */
	HOLDER_FD_PLAN,     /* sealed memfd: holder_plan */
	HOLDER_FD_INIT_PID, /* pidfd of init, a child of the holder */
	HOLDER_FD_FILTER,   /* sealed memfd: its seccomp filter, built once in the spawner */
	HOLDER_FD_IMAGE, /* of the image, with a shared flock: while it is open, it is not removed */
	HOLDER_FD_SLOT,  /* with a lock: while it is open, nobody else gets its ids */
	HOLDER_FD_REPORT, /* closed once the holder listens */
	HOLDER_FD_END
};

/* 0, 1 and 2 of session-init are the terminal; in a sandbox /dev/null until it has made one. */
enum init_fd {
	INIT_FD_HOLDER = 3,
	INIT_FD_REPORT,
	INIT_FD_PLAN,  /* pipe: init_plan */
	INIT_FD_PARTS, /* of a sandbox: enum sandbox_part; /dev/null for one that is not there */
	INIT_FD_END = INIT_FD_PARTS + SANDBOX_PARTS
};

#define REPORT_BYTES 3
#define SHELL_RECORD_BYTES 2

/* What failed, on the pipe to the spawner: one atomic write. */
static inline void
launch_report(int fd, enum spawn_stage stage, int error)
{
	unsigned char b[REPORT_BYTES] = { (unsigned char)stage, (unsigned char)(error >> 8),
		(unsigned char)error };
	ssize_t n = write(fd, b, sizeof(b));

	(void)n; /* nobody is left to tell */
}

static inline bool
launch_report_get(const unsigned char *b, size_t len, enum spawn_stage *stage, int *error)
{
	if (len != REPORT_BYTES || b[0] == STAGE_NONE || b[0] >= STAGE_COUNT)
		return false;
	*stage = (enum spawn_stage)b[0];
	*error = b[1] << 8 | b[2];
	return true;
}

/*
 * From the shell's process to the holder, before its exec: with it comes who sends it, and that is
 * the group which has the terminal while no job has it.
 */
static inline void
launch_shell_begin(int fd)
{
	unsigned char b[SHELL_RECORD_BYTES] = { EXIT_NONE };
	ssize_t n = write(fd, b, sizeof(b));

	(void)n;
}

static inline bool
launch_shell_begun(const unsigned char *b, size_t len)
{
	return len == SHELL_RECORD_BYTES && b[0] == EXIT_NONE;
}

/* How the shell ended, from init to the holder. */
static inline void
launch_shell_end(int fd, enum exit_kind kind, int value)
{
	unsigned char b[SHELL_RECORD_BYTES] = { (unsigned char)kind, (unsigned char)value };
	ssize_t n = write(fd, b, sizeof(b));

	(void)n;
}

static inline bool
launch_shell_end_get(const unsigned char *b, size_t len, enum exit_kind *kind, unsigned *value)
{
	if (len != SHELL_RECORD_BYTES || b[0] == EXIT_NONE || b[0] > EXIT_SIGNAL)
		return false;
	*kind = (enum exit_kind)b[0];
	*value = b[1];
	return true;
}

struct connector_ops;
struct pl_spawn;

struct launch_ids {
	bool change;      /* false: started without root, all stay as they are */
	uid_t holder_uid; /* its gid, too */
	uid_t shell_uid;
	gid_t shell_gid;
};

/* All descriptors are borrowed: the caller closes its own after the fork. */
struct launch {
	const struct connector_ops *connector;
	const struct pl_spawn *order;
	enum spawn_stage stage; /* where its functions fail, unless they name another */
	int holder_filter;      /* filter_export(PROC_HOLDER) */
	struct launch_ids ids;
	struct init_plan init;
	const int *parts; /* SANDBOX_PARTS; NULL: no sandbox */
	int null, listener, plan, report;
	int master, slave; /* -1: session-init opens them where it is to live */
	int image;         /* HOLDER_FD_IMAGE; null where there is none */
	int slot;          /* HOLDER_FD_SLOT; null where there is none */
	int init_pair[2];  /* holder's end, init's end */
	int holder_exe, init_exe;
};

/* Forks the maker, which becomes the holder. Its pid, or -1 with errno. */
pid_t launch_fork(struct launch *l);

#endif
