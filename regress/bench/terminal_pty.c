/* SPDX-License-Identifier: MIT */
/* The lowest floor: openpty, fork, and one process that reads the PTY. See terminal_pty.h. */
#include "regress/bench/terminal_pty.h"

#include <errno.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "regress/bench/bench.h"
#include "regress/bench/procstat.h"

struct terminal *
pty_terminal_start(const struct terminal_ops *ops, void (*become)(void))
{
	struct winsize size = { .ws_col = 80, .ws_row = 24 };
	struct pty_terminal *p = calloc(1, sizeof(*p));

	if (!p)
		bench_fail("out of memory");
	p->base.ops = ops;
	p->pid = forkpty(&p->master, NULL, NULL, &size);
	if (p->pid == 0) {
		become();
		_exit(127);
	}
	if (p->pid < 0)
		bench_fail_errno("forkpty");
	return &p->base;
}

static struct terminal *
pty_terminal_open(void)
{
	return pty_terminal_start(&terminal_pty, terminal_become_shell);
}

void
pty_terminal_type(struct terminal *t, const void *bytes, size_t len)
{
	struct pty_terminal *p = (struct pty_terminal *)t;

	while (write(p->master, bytes, len) != (ssize_t)len) {
		if (errno != EINTR)
			bench_fail_errno("writing to the PTY");
		bench_interrupted();
	}
}

struct view
pty_terminal_next(struct terminal *t, bool is_counting)
{
	struct pty_terminal *p = (struct pty_terminal *)t;
	ssize_t n;

	(void)is_counting;
	while ((n = read(p->master, p->bytes, sizeof(p->bytes))) <= 0) {
		if (n == 0 || errno != EINTR)
			bench_fail("it has ended: %.*s", (int)p->len, p->bytes);
		bench_interrupted();
	}
	p->len = (size_t)n;
	return view_bytes(p->bytes, p->len);
}

static double
pty_terminal_cpu_s(struct terminal *t)
{
	(void)t;
	return proc_cpu_s(getpid());
}

void
pty_terminal_join(struct terminal *t)
{
	struct pty_terminal *p = (struct pty_terminal *)t;
	ssize_t n;

	do {
		n = read(p->master, p->bytes, sizeof(p->bytes));
		bench_interrupted();
	} while (n > 0 || (n < 0 && errno == EINTR));
	close(p->master);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		bench_interrupted();
	free(p);
}

void
pty_terminal_close(struct terminal *t)
{
	struct pty_terminal *p = (struct pty_terminal *)t;

	kill(p->pid, SIGKILL);
	close(p->master);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		bench_interrupted();
	free(p);
}

const struct terminal_ops terminal_pty = { "pty", pty_terminal_open, pty_terminal_type,
	pty_terminal_next, pty_terminal_cpu_s, NULL, pty_terminal_close };
