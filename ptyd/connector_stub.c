/* SPDX-License-Identifier: MIT */
/* The stub connector: a plain local shell. See connector.h. */
#include "ptyd/connector.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/privdrop.h"
#include "ptyd/pty.h"
#include "ptyd/shellfilter.h"

static int
stub_start(void)
{
	return 0;
}

static void
stub_begin(const struct pl_spawn *order)
{
	(void)order;
}

/* A terminal of the host's, and a pid namespace where root can make one: init's death is then everybody's. */
static int
stub_allocate(struct launch *l)
{
	struct pty pty;
	int rc;

	l->stage = STAGE_PTY;
	rc = pty_open(&pty, l->order->cols, l->order->rows);
	if (rc != 0)
		return rc;
	l->master = pty.master;
	l->slave = pty.slave;
	if (!l->ids.change)
		return 0;
	rc = pty_give(&pty, l->ids.shell_uid, l->ids.shell_gid);
	if (rc != 0)
		return rc;
	l->stage = STAGE_NAMESPACE;
	return unshare(CLONE_NEWPID) == 0 ? 0 : -errno;
}

static int
stub_fork(struct launch *l, pid_t *pid)
{
	(void)l;
	*pid = fork();
	return *pid < 0 ? -errno : 0;
}

static int
stub_settle(struct launch *l, pid_t init)
{
	(void)l;
	(void)init;
	return 0;
}

static int
stub_attach(struct launch *l)
{
	(void)l;
	return 0;
}

static const struct limit {
	__rlimit_resource_t what;
	rlim_t soft, hard;
} stub_limits_table[] = {
	{ RLIMIT_NOFILE, 1024, 65536 },
	{ RLIMIT_NPROC, 4096, 4096 },
	{ RLIMIT_CORE, 1, 1 },
};

static rlim_t
lower(rlim_t a, rlim_t b)
{
	return a < b ? a : b; /* RLIM_INFINITY is the largest number */
}

static int
set_limits(void)
{
	struct rlimit now;

	for (size_t i = 0; i < COUNT_OF(stub_limits_table); i++) {
		const struct limit *row = &stub_limits_table[i];

		if (getrlimit(row->what, &now) != 0)
			return -errno;
		now.rlim_max = lower(now.rlim_max, row->hard);
		now.rlim_cur = lower(now.rlim_max, row->soft);
		if (setrlimit(row->what, &now) != 0)
			return -errno;
	}
	return 0;
}

static int
stub_limits(struct launch *l)
{
	int rc = set_limits();

	if (rc != 0)
		return rc;
	l->stage = STAGE_IDS;
	if (privdrop_to_session(l->ids.shell_uid, l->ids.shell_gid))
		return -errno;
	l->stage = STAGE_INIT;
	/*
	 * After the last change of ids, which would clear it. Outside a pid namespace init must
	 * live on to kill the others: there the end of its pipe alone tells it.
	 */
	if (getpid() == 1 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return -errno;
	return shellfilter_load(l->filter);
}

/* With the holder its end of init's pipe closes, and init gets its death signal. */
static int
stub_terminate(int holder_pidfd)
{
	return syscall(SYS_pidfd_send_signal, holder_pidfd, SIGKILL, NULL, 0) == 0 ? 0 : -errno;
}

static int
stub_release(uint32_t slot)
{
	(void)slot;
	return 0;
}

static void
stub_usage(uint32_t slot, struct pl_usage *out)
{
	(void)slot;
	(void)out; /* nothing is known */
}

const struct connector_ops connector_stub = { "stub", stub_start, stub_begin, stub_allocate,
	stub_fork, stub_settle, stub_attach, stub_limits, stub_terminate, stub_release,
	stub_usage };
