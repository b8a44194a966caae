/* SPDX-License-Identifier: MIT */
/* The lowest floor: openpty, fork, and one process that reads the PTY. */
#include <errno.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "regress/bench/bench.h"
#include "regress/bench/procstat.h"
#include "regress/bench/terminal.h"

#define READ_BYTES 65536 /* a read of a PTY gives at most 4095 of them */

struct pty_terminal {
	struct terminal base;
	int master;
	pid_t shell;
	char bytes[READ_BYTES];
};

static struct terminal *
pty_terminal_open(void)
{
	struct winsize size = { .ws_col = 80, .ws_row = 24 };
	struct pty_terminal *p = calloc(1, sizeof(*p));

	if (!p)
		bench_fail("out of memory");
	p->base.ops = &terminal_pty;
	p->shell = forkpty(&p->master, NULL, NULL, &size);
	if (p->shell == 0)
		terminal_become_shell();
	if (p->shell < 0)
		bench_fail_errno("forkpty");
	return &p->base;
}

static void
pty_terminal_type(struct terminal *t, const void *bytes, size_t len)
{
	struct pty_terminal *p = (struct pty_terminal *)t;

	while (write(p->master, bytes, len) != (ssize_t)len) {
		if (errno != EINTR)
			bench_fail_errno("writing to the PTY");
		bench_interrupted();
	}
}

static struct view
pty_terminal_next(struct terminal *t, bool is_counting)
{
	struct pty_terminal *p = (struct pty_terminal *)t;
	ssize_t n;

	(void)is_counting;
	while ((n = read(p->master, p->bytes, sizeof(p->bytes))) <= 0) {
		if (n == 0 || errno != EINTR)
			bench_fail_errno("reading the PTY");
		bench_interrupted();
	}
	return view_bytes(p->bytes, (size_t)n);
}

static double
pty_terminal_cpu_s(struct terminal *t)
{
	(void)t;
	return proc_cpu_s(getpid());
}

static void
pty_terminal_close(struct terminal *t)
{
	struct pty_terminal *p = (struct pty_terminal *)t;

	kill(p->shell, SIGKILL);
	close(p->master);
	while (waitpid(p->shell, NULL, 0) < 0 && errno == EINTR)
		bench_interrupted();
	free(p);
}

const struct terminal_ops terminal_pty = { "pty", pty_terminal_open, pty_terminal_type,
	pty_terminal_next, pty_terminal_cpu_s, NULL, pty_terminal_close };
