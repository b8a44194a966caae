/* SPDX-License-Identifier: MIT */
/*
 * From the spawner's fork to the exec of a holder and of a session-init: see launch.h. All of
 * this runs in children; a failure is a report and _exit.
 */
#include "ptyd/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/privdrop.h"
#include "ptyd/connector.h"

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
	int high[SAFE_FD];

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
must(const struct launch *l, int report, int rc)
{
	if (rc != 0)
		fail(report, l->stage, -rc);
}

/*
 * The terminals go before what runs in them, or on a busy machine a key would wait behind that: by
 * the session's scheduling group where the kernel makes such (sched(7), autogroup), else by process.
 */
static void
give_way(void)
{
	cleanup_fd int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "10", 2) < 0)
		setpriority(PRIO_PROCESS, 0, 10);
}

static _Noreturn void
become_init(struct launch *l, int init_plan)
{
	int report = out_of_the_way(l->report, l->report);
	int exe = out_of_the_way(l->init_exe, report);
	int fds[INIT_FD_END] = { [INIT_FD_HOLDER] = l->init_pair[1],
		[INIT_FD_REPORT] = report,
		[INIT_FD_PLAN] = init_plan };
	char *const argv[] = { "session-init", NULL };

	setsid();
	give_way();
	must(l, report, l->connector->enter(l));
	l->stage = STAGE_INIT;
	for (int i = 0; i < INIT_FD_HOLDER; i++)
		fds[i] = l->slave < 0 ? l->null : l->slave;
	for (int i = 0; i < SANDBOX_PARTS; i++)
		fds[INIT_FD_PARTS + i] = !l->parts || l->parts[i] < 0 ? l->null : l->parts[i];
	if (place_fds(fds, INIT_FD_END) == 0)
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
		[HOLDER_FD_FILTER] = l->holder_filter, [HOLDER_FD_IMAGE] = l->image,
		[HOLDER_FD_SLOT] = l->slot, [HOLDER_FD_REPORT] = report };
	char *const argv[] = { "holder", NULL };

	if (place_fds(fds, HOLDER_FD_END) != 0)
		fail(report, STAGE_HOLDER, errno);
	if (privdrop_to_session(l->ids.holder_uid, l->ids.holder_uid))
		fail(report, STAGE_IDS, errno);
	exec_fd(exe, argv);
	fail(report, STAGE_HOLDER, errno);
}

static _Noreturn void
make_session(struct launch *l)
{
	static const int on = 1;
	int pidfd, init_plan;
	pid_t init = -1;

	/* Signals of fogd's terminal are not a session's. */
	setpgid(0, 0);
	l->stage = STAGE_FORK;
	/* Before anybody can send: what was sent without it names no sender. */
	if (chdir("/") != 0 ||
	    setsockopt(l->init_pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
		fail(l->report, STAGE_FORK, errno);
	must(l, l->report, l->connector->allocate(l));
	l->stage = STAGE_PLAN;
	init_plan = init_plan_pipe(&l->init);
	must(l, l->report, init_plan < 0 ? init_plan : 0);
	l->stage = STAGE_FORK;
	must(l, l->report, l->connector->fork(l, &init));
	if (init == 0)
		become_init(l, init_plan);
	pidfd = (int)syscall(SYS_pidfd_open, init, 0);
	if (pidfd < 0)
		fail(l->report, STAGE_INIT, errno);
	l->stage = STAGE_INIT;
	if (l->connector->settle)
		must(l, l->report, l->connector->settle(l, init));
	become_holder(l, pidfd);
}

pid_t
launch_fork(struct launch *l)
{
	pid_t pid = fork();

	if (pid == 0)
		make_session(l);
	return pid;
}
