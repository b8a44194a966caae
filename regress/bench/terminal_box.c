/* SPDX-License-Identifier: MIT */
/* A shell in the sandboxes of others: bwrap, and a container of crun. See box.h. */
#include <signal.h>

#include "regress/bench/box.h"
#include "regress/bench/procstat.h"
#include "regress/bench/terminal_pty.h"

static struct terminal *
bwrap_open(void)
{
	return pty_terminal_start(&terminal_bwrap, box_become_bwrap);
}

static struct terminal *
crun_open(void)
{
	box_next_container();
	return pty_terminal_start(&terminal_crun, box_become_crun);
}

/* The shell ends, and crun puts the container away: a killed crun would leave it. */
static void
crun_close(struct terminal *t)
{
	terminal_type_text(t, "exit\n");
	pty_terminal_join(t);
}

static double
box_cpu_s(struct terminal *t)
{
	return proc_cpu_s(((struct pty_terminal *)t)->pid);
}

const struct terminal_ops terminal_bwrap = { "bwrap", bwrap_open, pty_terminal_type,
	pty_terminal_next, box_cpu_s, NULL, pty_terminal_close };
const struct terminal_ops terminal_crun = { "crun", crun_open, pty_terminal_type, pty_terminal_next,
	box_cpu_s, NULL, crun_close };
