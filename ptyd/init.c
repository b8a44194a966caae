/* SPDX-License-Identifier: MIT */
/*
 * session-init: the first process of a session. Makes the sandbox from within, gives up what it has
 * in it, starts the shell on the terminal, reaps what is orphaned, tells the holder how the shell
 * ended, and leaves nothing behind. Started from a sealed memfd, and without any right on the host.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
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

#include "common/cleanup.h"
#include "common/id.h"
#include "ptyd/initplan.h"
#include "ptyd/inside.h"
#include "ptyd/launch.h"
#include "ptyd/shellfilter.h"

#define SANDBOX_SHELL "/bin/bash"
#define LAST_SHELL "/bin/sh" /* where there is no other */
#define SANDBOX_HOME "/home/" INSIDE_USER
#define HOSTNAME "cloudshell"
#define TEXT_SIZE 256
#define PTYS_MAX 64 /* of a session, where the host has so many for all */
#define PTYS_MIN 4
#define FILES 4096
#define SCRATCH_BLOCK 4096
#define KILL_ROUNDS 1000 /* of 2 ms: then the end of the pid namespace has to do */
#define CHILDREN_MAX 4096

/* Whose shell it is, and what it is told of itself. */
struct login {
	const char *shell;
	char home[TEXT_SIZE], user[TEXT_SIZE], session_id[ID_TEXT_SIZE];
};

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
exec_shell(const struct login *who)
{
	static char home[TEXT_SIZE + 8], user[TEXT_SIZE + 8], logname[TEXT_SIZE + 8], id[64],
	    shell[128];
	char *env[] = { "TERM=xterm-256color", "LANG=C.UTF-8", shell,
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games", home, user,
		logname, id, NULL };

	snprintf(home, sizeof(home), "HOME=%s", who->home);
	snprintf(user, sizeof(user), "USER=%s", who->user);
	snprintf(logname, sizeof(logname), "LOGNAME=%s", who->user);
	snprintf(id, sizeof(id), "FOG_SESSION_ID=%s", who->session_id);
	exec_as_login(who->shell, env, shell, sizeof(shell));
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
start_shell(const struct login *who)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	take_foreground();
	launch_shell_begin(INIT_FD_HOLDER);
	reset_signals();
	umask(022);
	if (enter_home(who->home))
		exec_shell(who);
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

/* --- becoming the first process of a session --- */

static int
fail_at(enum spawn_stage *at, enum spawn_stage stage, int rc)
{
	*at = stage;
	return rc;
}

/* Nobody but this process sees its memory or its descriptors. */
static int
shut_off(void)
{
	sigset_t all;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
	    (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0))
		return -errno;
	for (int fd = INIT_FD_HOLDER; fd < INIT_FD_END; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	syscall(SYS_close_range, INIT_FD_END, ~0U, 0);
	/* SIGHUP from the terminal included: init ends by the rules above alone. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	return 0;
}

static bool
read_plan(int fd, struct init_plan *p)
{
	unsigned char record[INIT_PLAN_BYTES];
	ssize_t n = read(fd, record, sizeof(record));
	struct reader r;

	if (n < 0)
		return false;
	reader_init(&r, record, (size_t)n);
	return codec_get(&r, &init_plan_layout, p, NULL) == 0 && reader_done(&r) == 0;
}

static bool
copy_text(char out[static TEXT_SIZE], const char *text)
{
	return text && *text && snprintf(out, TEXT_SIZE, "%s", text) < TEXT_SIZE;
}

/* Out of passwd(5) itself: other name services would have to be reached from here. */
static bool
find_user(uid_t uid, struct login *who)
{
	FILE *passwd = fopen("/etc/passwd", "re");
	struct passwd entry, *found;
	bool is_found = false;
	char room[1024];

	while (passwd && !is_found && fgetpwent_r(passwd, &entry, room, sizeof(room), &found) == 0)
		is_found = entry.pw_uid == uid && copy_text(who->home, entry.pw_dir) &&
		    copy_text(who->user, entry.pw_name);
	if (passwd)
		fclose(passwd);
	return is_found;
}

/* With its shell borrowed from the plan. */
static int
find_login(const struct init_plan *p, struct login *who)
{
	const char *shell = (const char *)p->shell.b;
	bool is_sandbox = p->owner == OWNER_SANDBOX;

	id_format(&p->session_id, who->session_id);
	who->shell = is_sandbox ? SANDBOX_SHELL : LAST_SHELL;
	snprintf(who->home, sizeof(who->home), "%s", is_sandbox ? SANDBOX_HOME : "/tmp");
	snprintf(who->user, sizeof(who->user), "%s", is_sandbox ? INSIDE_USER : "session");
	if (p->owner == OWNER_USER && !find_user(getuid(), who)) {
		snprintf(who->home, sizeof(who->home), "/tmp");
		snprintf(who->user, sizeof(who->user), "%u", getuid());
	}
	/* One that the profile names, of a sandbox alone: it runs behind all its walls. */
	if (!is_sandbox || shell[0] == '\0')
		return 0;
	if (shell[0] != '/' || strnlen(shell, sizeof(p->shell.b)) == sizeof(p->shell.b))
		return -EINVAL;
	who->shell = shell;
	return 0;
}

/* 0 where it cannot be read. */
static uint32_t
read_number(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return (uint32_t)strtoul(text, NULL, 10);
}

/*
 * All devpts of a host share one pool, of which a part is kept for the host's own. Some sessions
 * that take all they may must leave the others theirs.
 */
static uint32_t
share_of_ptys(uint32_t max_sessions)
{
	uint32_t all = read_number("/proc/sys/kernel/pty/max");
	uint32_t kept = read_number("/proc/sys/kernel/pty/reserve");
	uint32_t share = all > kept ? (all - kept) / max_sessions : 0;

	if (share < PTYS_MIN)
		return PTYS_MIN;
	return share < PTYS_MAX ? share : PTYS_MAX;
}

/* /run is a file system of this session's that nobody has been in yet. */
static int
name_resolver(const struct init_plan *p)
{
	char address[INET6_ADDRSTRLEN], line[INET6_ADDRSTRLEN + 16];
	int family = p->resolver_len == sizeof(struct in6_addr) ? AF_INET6 : AF_INET, len;
	cleanup_fd int fd = -1;

	if (p->resolver_len == 0)
		return 0;
	inet_ntop(family, &p->resolver, address, sizeof(address));
	len = snprintf(line, sizeof(line), "nameserver %s\n", address);
	fd = open("/run/resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd >= 0 && write(fd, line, (size_t)len) == len ? 0 : -errno;
}

/* On 0, 1 and 2. Its size is there before the holder can ask for it. */
static int
make_terminal(struct inside *s, const struct init_plan *p)
{
	cleanup_fd int master = -1; /* nobody in the session has it */
	cleanup_fd int slave = -1;
	int rc = inside_open_terminal(s, &master, &slave);

	if (rc == 0)
		rc = inside_prepare_terminal(slave, p->cols, p->rows);
	if (rc == 0)
		rc = inside_give_terminal(s, master);
	for (int fd = STDIN_FILENO; rc == 0 && fd <= STDERR_FILENO; fd++)
		rc = dup2(slave, fd) < 0 ? -errno : 0;
	return rc;
}

static int
enter_sandbox(const struct init_plan *p, enum spawn_stage *at)
{
	const struct inside_limits limits = { FILES, FILES, p->processes };
	struct inside s = { .plan = { .tmp_bytes = p->memory_bytes / 4,
				.tmp_inodes = p->memory_bytes / 4 / SCRATCH_BLOCK,
				.ptys = share_of_ptys(p->max_sessions),
				.hostname = HOSTNAME } };
	int rc;

	for (int i = 0; i < SANDBOX_PARTS; i++)
		s.parts[i] = i == PART_HOME && !p->has_home ? -1 : INIT_FD_PARTS + i;
	rc = inside_enter(&s);
	if (rc != 0)
		return fail_at(at, s.stage, rc);
	rc = name_resolver(p);
	if (rc != 0)
		return fail_at(at, STAGE_NETWORK, rc);
	rc = make_terminal(&s, p);
	if (rc != 0)
		return fail_at(at, STAGE_TERMINAL, rc);
	rc = inside_limit(&limits);
	if (rc != 0)
		return fail_at(at, STAGE_LIMITS, rc);
	rc = inside_confine(&s);
	return fail_at(at, s.stage, rc);
}

/*
 * With the stub, whose ids are the last. Outside a pid namespace init must live on to kill the
 * others: there the end of its pipe alone tells it.
 */
static int
enter_host(const struct init_plan *p, enum spawn_stage *at)
{
	static const struct inside_limits limits = { 1024, 65536, 4096 };
	int rc = inside_prepare_terminal(STDIN_FILENO, p->cols, p->rows);

	if (rc != 0)
		return fail_at(at, STAGE_PTY, rc);
	rc = inside_limit(&limits);
	if (rc == 0 && getpid() == 1)
		rc = inside_die_with_maker();
	return fail_at(at, STAGE_INIT, rc);
}

/* A signalfd, or -errno and where it failed. The filter comes last (S26). */
static int
settle(const struct init_plan *p, enum spawn_stage *at)
{
	sigset_t child;
	int fd, rc = p->owner == OWNER_SANDBOX ? enter_sandbox(p, at) : enter_host(p, at);

	if (rc != 0)
		return rc;
	syscall(SYS_close_range, INIT_FD_PLAN, ~0U, 0);
	*at = STAGE_INIT;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0 || ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0)
		return -errno;
	*at = STAGE_FILTER;
	rc = shellfilter_load();
	return rc ? rc : fd;
}

/* EIO of a terminal: nobody has its other end. That is no want of terminals, its holder did not stay. */
static _Noreturn void
fail(enum spawn_stage stage, int rc)
{
	if (rc == -EIO && (stage == STAGE_PTY || stage == STAGE_INIT))
		stage = STAGE_HOLDER;
	launch_report(INIT_FD_REPORT, stage, -rc);
	_exit(1);
}

int
main(void)
{
	enum spawn_stage at = STAGE_INIT;
	struct shell shell = { 0 };
	struct init_plan plan = { 0 };
	struct login who;
	int signals, rc = shut_off();

	if (rc == 0 && !read_plan(INIT_FD_PLAN, &plan))
		rc = -EBADMSG;
	if (rc != 0)
		fail(STAGE_INIT, rc);
	rc = find_login(&plan, &who);
	if (rc != 0)
		fail(STAGE_PLAN, rc);
	signals = settle(&plan, &at);
	if (signals < 0)
		fail(at, signals);
	shell.pid = start_shell(&who);
	if (shell.pid < 0)
		fail(STAGE_INIT, -errno);
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
