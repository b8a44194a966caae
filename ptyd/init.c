/* SPDX-License-Identifier: MIT */
/*
 * session-init: the first process of a session. Starts the shell on the terminal, reaps what is
 * orphaned, tells the holder how the shell ended, and leaves nothing behind. Started from a
 * sealed memfd with the ids, the limits and the filter of the shell already on.
 *
 *   session-init HOME USER SESSION_ID SHELL
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "ptyd/launch.h"

#define LAST_SHELL "/bin/sh" /* where there is no SHELL */
#define KILL_ROUNDS 1000     /* of 2 ms: then the end of the pid namespace has to do */
#define CHILDREN_MAX 4096

enum { ARG_HOME = 1, ARG_USER, ARG_SESSION_ID, ARG_SHELL, ARG_COUNT };

struct shell {
	pid_t pid;
	int status; /* of wait; valid once ended */
	bool ended;
};

static const char *
enter_home(const char *home)
{
	if (chdir(home) == 0)
		return home;
	if (chdir("/tmp") == 0)
		return "/tmp";
	return chdir("/") == 0 ? "/" : NULL;
}

/* shell: of env, to be said there. */
static void
exec_as_login(const char *path, char **env, char *shell, size_t size)
{
	char name[64];
	char *args[] = { name, NULL };

	snprintf(name, sizeof(name), "-%s", strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	snprintf(shell, size, "SHELL=%s", path);
	execve(path, args, env);
}

/* Nothing of the service's environment is here to inherit; this is all that a shell starts with. */
static void
exec_shell(char **argv)
{
	static char home[1024 + 8], user[128], logname[128], id[64], shell[128];
	char *env[] = { "TERM=xterm-256color", "LANG=C.UTF-8", shell,
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games", home, user,
		logname, id, NULL };

	snprintf(home, sizeof(home), "HOME=%s", argv[ARG_HOME]);
	snprintf(user, sizeof(user), "USER=%s", argv[ARG_USER]);
	snprintf(logname, sizeof(logname), "LOGNAME=%s", argv[ARG_USER]);
	snprintf(id, sizeof(id), "FOG_SESSION_ID=%s", argv[ARG_SESSION_ID]);
	exec_as_login(argv[ARG_SHELL], env, shell, sizeof(shell));
	exec_as_login(LAST_SHELL, env, shell, sizeof(shell));
}

/* An own process group in the foreground: ^C reaches the shell and not init. */
static void
take_foreground(void)
{
	pid_t self = getpid();

	setpgid(0, 0);
	ioctl(STDIN_FILENO, TIOCSPGRP, &self); /* SIGTTOU is blocked until below */
}

static void
reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static pid_t
start_shell(char **argv)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	take_foreground();
	launch_shell_begin(INIT_FD_HOLDER);
	reset_signals();
	umask(022);
	if (enter_home(argv[ARG_HOME]))
		exec_shell(argv);
	launch_report(INIT_FD_REPORT, STAGE_SHELL, errno);
	_exit(127);
}

/* 1: somebody was reaped; 0: nobody has ended; -1: there is no child any more. */
static int
reap_one(struct shell *shell)
{
	int status;
	pid_t pid = waitpid(-1, &status, WNOHANG);

	if (pid < 0)
		return errno == EINTR ? 0 : -1;
	if (pid == 0)
		return 0;
	if (pid == shell->pid && !shell->ended) {
		shell->ended = true;
		shell->status = status;
	}
	return 1;
}

/*
 * Without a pid namespace: orphans come to us as the subreaper, so killing our children again and
 * again gets all of them. They are unreaped, so their numbers cannot have been reused.
 */
static void
kill_children(void)
{
	static char text[CHILDREN_MAX];
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	char *at = text, *end;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	for (long pid = strtol(at, &end, 10); end != at; pid = strtol(at, &end, 10)) {
		at = end;
		/* Each number is followed by a blank, but for one that did not fit: not a child's. */
		if (pid > 1 && *end == ' ')
			kill((pid_t)pid, SIGKILL);
	}
}

static void
kill_all(struct shell *shell)
{
	static const struct timespec pause = { .tv_nsec = 2000000 };
	int reaped = 0;

	for (int i = 0; i < KILL_ROUNDS && reaped >= 0; i++) {
		if (getpid() == 1)
			kill(-1, SIGKILL);
		else
			kill_children();
		while ((reaped = reap_one(shell)) > 0)
			;
		if (reaped == 0)
			nanosleep(&pause, NULL);
	}
}

static void
tell_end(const struct shell *shell)
{
	if (!shell->ended)
		return;
	if (WIFSIGNALED(shell->status))
		launch_shell_end(INIT_FD_HOLDER, EXIT_SIGNAL, WTERMSIG(shell->status));
	else
		launch_shell_end(INIT_FD_HOLDER, EXIT_CODE, WEXITSTATUS(shell->status));
}

/* Until the shell has ended, or the holder has closed its end. */
static void
wait_for_end(struct shell *shell, int signals)
{
	struct pollfd p[] = { { .fd = INIT_FD_HOLDER, .events = POLLIN },
		{ .fd = signals, .events = POLLIN } };
	struct signalfd_siginfo info;

	while (!shell->ended) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		if (p[0].revents)
			return;
		while (read(signals, &info, sizeof(info)) > 0)
			;
		while (reap_one(shell) > 0)
			;
	}
}

static int
prepare(void)
{
	sigset_t all, child;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		return -1;
	for (int fd = INIT_FD_HOLDER; fd < INIT_FD_END; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	syscall(SYS_close_range, INIT_FD_END, ~0U, 0);
	/* SIGHUP from the terminal included: init ends by the rules above alone. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	return signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
}

int
main(int argc, char **argv)
{
	struct shell shell = { 0 };
	int signals;

	if (argc != ARG_COUNT)
		return 2;
	signals = prepare();
	if (signals >= 0)
		shell.pid = start_shell(argv);
	if (signals < 0 || shell.pid < 0) {
		launch_report(INIT_FD_REPORT, STAGE_INIT, errno);
		return 1;
	}
	close(INIT_FD_REPORT);
	/* The terminal is the shell's: once all its users are gone, the holder sees the end. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		close(fd);
	wait_for_end(&shell, signals);
	if (shell.ended) {
		tell_end(&shell);
		kill_all(&shell);
	} else {
		kill_all(&shell);
		tell_end(&shell);
	}
	return 0;
}
