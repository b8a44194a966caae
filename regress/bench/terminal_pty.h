/* SPDX-License-Identifier: MIT */
/* A program on a PTY that this process reads: the bare shell, and the other sandboxes. */
#ifndef FOG_BENCH_TERMINAL_PTY_H
#define FOG_BENCH_TERMINAL_PTY_H

#include <sys/types.h>

#include "regress/bench/terminal.h"

#define PTY_READ_BYTES 65536 /* a read of a PTY gives at most 4095 of them */

struct pty_terminal {
	struct terminal base;
	int master;
	pid_t pid;
	size_t len; /* of what was read last */
	char bytes[PTY_READ_BYTES];
};

/* `become` runs in the child, on the new PTY, and does not return. */
struct terminal *pty_terminal_start(const struct terminal_ops *ops, void (*become)(void));
/* Rows of operations. Reading fails when the program has ended, and says what it said last. */
void pty_terminal_type(struct terminal *t, const void *bytes, size_t len);
struct view pty_terminal_next(struct terminal *t, bool is_counting);
/* Kills the program and waits for its end. */
void pty_terminal_close(struct terminal *t);
/* Waits until it has ended by itself. */
void pty_terminal_join(struct terminal *t);

#endif
