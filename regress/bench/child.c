/* SPDX-License-Identifier: MIT */
/* Children: see child.h. */
#include "regress/bench/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "regress/bench/bench.h"

#define POLL_MS 1

pid_t
child_start(void)
{
	pid_t parent = getpid(), pid;

	fflush(NULL); /* or a child that gives up would write it a second time */
	pid = fork();
	if (pid < 0)
		bench_fail_errno("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

void
child_exec(char *const argv[], char *const env[], const char *output)
{
	int fd = open(output ? output : "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
	    0644);

	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(126);
	execvpe(argv[0], argv, env);
	_exit(127);
}

int
child_join(pid_t pid, unsigned seconds)
{
	double deadline_s = bench_now_s() + seconds;
	int status = 0;
	pid_t got;

	while ((got = waitpid(pid, &status, WNOHANG)) == 0) {
		if (bench_now_s() >= deadline_s)
			kill(pid, SIGKILL);
		bench_sleep_ms(POLL_MS);
	}
	if (got < 0)
		bench_fail_errno("waiting for a child");
	return status;
}
