/* SPDX-License-Identifier: MIT */
/* The stub connector: a plain local shell. See connector.h. */
#include "ptyd/connector.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "common/cleanup.h"

/* A pid namespace where root can make one: init's death is then everybody's. */
static int
stub_allocate(const struct launch *l)
{
	if (!l->ids.change)
		return 0;
	return unshare(CLONE_NEWPID) == 0 ? 0 : -errno;
}

static int
stub_attach(const struct launch *l)
{
	(void)l;
	return ioctl(STDIN_FILENO, TIOCSCTTY, 0) == 0 ? 0 : -errno;
}

static const struct limit {
	__rlimit_resource_t what;
	rlim_t soft, hard;
} stub_limits_table[] = {
	{ RLIMIT_NOFILE, 1024, 65536 },
	{ RLIMIT_NPROC, 4096, 4096 },
	{ RLIMIT_CORE, 0, 0 },
};

static rlim_t
lower(rlim_t a, rlim_t b)
{
	return a < b ? a : b; /* RLIM_INFINITY is the largest number */
}

static int
stub_limits(const struct launch *l)
{
	struct rlimit now;

	(void)l;
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

/* With the holder its end of init's pipe closes, and init gets its death signal. */
static int
stub_terminate(int holder_pidfd)
{
	return syscall(SYS_pidfd_send_signal, holder_pidfd, SIGKILL, NULL, 0) == 0 ? 0 : -errno;
}

const struct connector_ops connector_stub = { "stub", stub_allocate, stub_attach, stub_limits,
	stub_terminate };
