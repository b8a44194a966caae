/* SPDX-License-Identifier: MIT */
/*
 * From the spawner's fork to the exec of a holder and of a session-init: see launch.h. All of
 * this runs in children; a failure is a report and _exit.
 */
#include "ptyd/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/privdrop.h"
#include "ptyd/connector.h"
#include "ptyd/shellfilter.h"

#define SAFE_FD 64 /* above every number that an exec'd program finds something at */

static _Noreturn void
fail(int report, enum spawn_stage stage, int error)
{
	launch_report(report, stage, error);
	_exit(1);
}

/* Puts descriptors at 0, 1, 2, …; sources may have any numbers, also those. */
static int
place_fds(const int *from, int count)
{
	int high[HOLDER_FD_END];

	for (int i = 0; i < count; i++) {
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, SAFE_FD);
		if (high[i] < 0)
			return -1;
	}
	for (int i = 0; i < count; i++) {
		if (dup2(high[i], i) < 0)
			return -1;
	}
	return (int)syscall(SYS_close_range, count, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* The program to exec and the report must not lie where the new descriptors go. */
static int
out_of_the_way(int fd, int report)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, SAFE_FD);

	if (high < 0)
		fail(report, STAGE_FORK, errno);
	return high;
}

static void
exec_fd(int fd, char *const *argv)
{
	static char *const no_env[] = { NULL };

	syscall(SYS_execveat, fd, "", argv, no_env, AT_EMPTY_PATH);
}

static void
take_terminal(const struct launch *l, int report)
{
	const int fds[INIT_FD_END] = { l->slave, l->slave,
		l->slave, [INIT_FD_HOLDER] = l->init_pair[1], [INIT_FD_REPORT] = report };
	int rc;

	setsid();
	if (place_fds(fds, INIT_FD_END) != 0)
		fail(report, STAGE_INIT, errno);
	rc = l->connector->attach(l);
	if (rc != 0)
		fail(report, STAGE_INIT, -rc);
}

static void
confine_init(const struct launch *l, int report)
{
	int rc = l->connector->limits(l);

	if (rc != 0)
		fail(report, STAGE_INIT, -rc);
	if (privdrop_to_session(l->ids.shell_uid, l->ids.shell_gid))
		fail(report, STAGE_IDS, errno);
	/*
	 * After the last change of ids, which would clear it. Outside a pid namespace init must
	 * live on to kill the others: there the end of its pipe alone tells it.
	 */
	if (getpid() == 1 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		fail(report, STAGE_INIT, errno);
	rc = shellfilter_load(l->filter);
	if (rc != 0)
		fail(report, STAGE_INIT, -rc);
}

static _Noreturn void
become_init(const struct launch *l)
{
	int report = out_of_the_way(l->report, l->report);
	int exe = out_of_the_way(l->init_exe, report);
	char *argv[] = { "session-init", (char *)(uintptr_t)l->ids.home,
		(char *)(uintptr_t)l->ids.user, (char *)(uintptr_t)l->session_id, NULL };

	take_terminal(l, report);
	confine_init(l, report);
	exec_fd(exe, argv);
	fail(report, STAGE_INIT, errno);
}

static _Noreturn void
become_holder(const struct launch *l, int init_pidfd)
{
	int report = out_of_the_way(l->report, l->report);
	int exe = out_of_the_way(l->holder_exe, report);
	const int fds[HOLDER_FD_END] = { l->null, l->null, l->null, [HOLDER_FD_MASTER] = l->master,
		[HOLDER_FD_LISTEN] = l->listener, [HOLDER_FD_INIT] = l->init_pair[0],
		[HOLDER_FD_PLAN] = l->plan, [HOLDER_FD_INIT_PID] = init_pidfd,
		[HOLDER_FD_FILTER] = l->holder_filter, [HOLDER_FD_REPORT] = report };
	char *const argv[] = { "holder", NULL };

	if (place_fds(fds, HOLDER_FD_END) != 0)
		fail(report, STAGE_HOLDER, errno);
	if (privdrop_to_session(l->ids.holder_uid, l->ids.holder_gid))
		fail(report, STAGE_IDS, errno);
	exec_fd(exe, argv);
	fail(report, STAGE_HOLDER, errno);
}

static _Noreturn void
make_session(const struct launch *l)
{
	static const int on = 1;
	int rc, pidfd;
	pid_t init;

	setsid(); /* signals of fogd's terminal are not a session's */
	if (chdir("/") != 0)
		fail(l->report, STAGE_FORK, errno);
	rc = l->connector->allocate(l);
	if (rc != 0)
		fail(l->report, STAGE_NAMESPACE, -rc);
	/* Before anybody can send: what was sent without it names no sender. */
	if (setsockopt(l->init_pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
		fail(l->report, STAGE_FORK, errno);
	init = fork();
	if (init == 0)
		become_init(l);
	if (init < 0)
		fail(l->report, STAGE_FORK, errno);
	pidfd = (int)syscall(SYS_pidfd_open, init, 0);
	if (pidfd < 0)
		fail(l->report, STAGE_INIT, errno);
	become_holder(l, pidfd);
}

pid_t
launch_fork(const struct launch *l)
{
	pid_t pid = fork();

	if (pid == 0)
		make_session(l);
	return pid;
}
