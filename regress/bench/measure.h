/* SPDX-License-Identifier: MIT */
/* What is measured, of whom and how much of it. */
#ifndef FOG_BENCH_MEASURE_H
#define FOG_BENCH_MEASURE_H

#include <stdbool.h>

#include "regress/bench/stats.h"
#include "regress/bench/terminal.h"

/* The figures: X(NAME, key, title, unit, decimals, whether ratios mean anything). */
#define METRICS(X) \
	X(FLOOD, "flood_mb_s", "output of a flood", "MB/s", 1, true) \
	X(CPU, "cpu_s_per_gb", "CPU time in the flood, PTY to client", "s/GB", 2, true) \
	X(ECHO_P50, "echo_p50_us", "echo of one byte, quiet, p50", "us", 0, true) \
	X(ECHO_P99, "echo_p99_us", "echo of one byte, quiet, p99", "us", 0, true) \
	X(BUSY_P50, "echo_busy_p50_us", "echo while another session floods, p50", "us", 0, true) \
	X(BUSY_P99, "echo_busy_p99_us", "echo while another session floods, p99", "us", 0, true) \
	X(INTERRUPT, "interrupt_ms", "ctrl-C in a flood, client at 10 MB/s, to the prompt", "ms", \
	    1, true) \
	X(STALL, "stall_kib", "growth while a client stalls in a flood, PSS without the ring", \
	    "KiB", 0, false) \
	X(PROMPT, "create_to_prompt_p50_ms", "create (connect) to prompt, p50", "ms", 2, true) \
	X(OPEN, "create_to_attached_p50_ms", "of that until attached, p50", "ms", 2, false) \
	X(RATE, "sessions_per_s", "sessions, to the prompt and ended, 8 at a time", "1/s", 1, \
	    true) \
	X(FRONT_RSS, "front_rss_kib", "gatewayd (ttyd): RSS growth per idle session", "KiB", 1, \
	    false) \
	X(FRONT_PSS, "front_pss_kib", "gatewayd (ttyd): PSS growth per idle session", "KiB", 1, \
	    false) \
	X(HOLDER_PSS, "holder_pss_kib", "holder: PSS without the ring", "KiB", 0, false) \
	X(HOLDER_PRIVATE, "holder_private_kib", "holder: private pages without the ring", "KiB", \
	    0, false) \
	X(INIT_PSS, "session_init_pss_kib", "session-init: PSS", "KiB", 0, false) \
	X(THREADS, "threads_per_session", "threads that sessions add, per idle session", "", 2, \
	    false) \
	X(BOX_PROMPT, "sandbox_to_prompt_p50_ms", "sandbox, create to prompt, p50", "ms", 2, true) \
	X(BOX_P99, "sandbox_to_prompt_p99_ms", "sandbox, create to prompt, p99", "ms", 2, true) \
	X(BOX_TAIL, "sandbox_to_prompt_p99_by_p50", "sandbox, create to prompt, p99 over p50", "", \
	    2, false) \
	X(BOX_OPEN, "sandbox_to_attached_p50_ms", "sandbox, of that until attached, p50", "ms", 2, \
	    false) \
	X(BOX_RATE, "sandboxes_per_s", "sandboxes, to the prompt and ended, 8 at a time", "1/s", \
	    1, true) \
	X(BOX_FIXED, "sandbox_fixed_pss_kib", \
	    "sandbox: PSS of all of the service but the shell, growth per session", "KiB", 0, \
	    false) \
	X(BOX_HOLDER, "sandbox_holder_pss_kib", "sandbox: of that, the holder with its ring", \
	    "KiB", 0, false) \
	X(BOX_INIT, "sandbox_init_pss_kib", "sandbox: of that, session-init", "KiB", 0, false) \
	X(BOX_REST, "sandbox_rest_pss_kib", "sandbox: of that, all else", "KiB", 0, false)

#define METRIC_ENUM(NAME, key, title, unit, decimals, ratio) METRIC_##NAME,
enum metric { METRICS(METRIC_ENUM) METRIC_COUNT };

/* Of one terminal, a sample per round (memory: a sample per group of sessions, or per process). */
struct results {
	struct samples of[METRIC_COUNT];
};

/* What a contender takes part in. */
enum takes_part {
	IN_FLOOD = 1 << 0,
	IN_ECHO = 1 << 1,
	IN_BUSY_ECHO = 1 << 2,
	IN_INTERRUPT = 1 << 3,
	IN_STALL = 1 << 4,
	IN_PROMPT = 1 << 5,
	IN_RATE = 1 << 6,
	IN_IDLE = 1 << 7,
	IN_BOX = 1 << 8,
	IN_BOX_RATE = 1 << 9,
	IN_BOX_MEMORY = 1 << 10,
};

struct contender {
	const struct terminal_ops *ops;
	unsigned takes_part; /* enum takes_part */
	struct results results;
	char missing[600]; /* why it cannot take part; "": it can */
};

#define CONTENDERS_MAX 11

/* How much of everything is done. */
struct effort {
	unsigned rounds;
	unsigned flood_slices; /* per round and contender, FLOOD_SLICE_MIB each */
	unsigned echo_slices;  /* per round and contender, ECHO_SLICE each */
	unsigned busy_slices;  /* of echoes beside a flood, per round and contender */
	unsigned busy_ms;      /* how long one of those takes */
	unsigned flow_ms;      /* how long a flood goes on before the ctrl-C */
	unsigned stall_ms;     /* how long a client does not read */
	unsigned prompts;
	unsigned rate_sessions;     /* of each of RATE_CLIENTS clients */
	unsigned idle_sessions;     /* a multiple of IDLE_GROUP, at most IDLE_MAX */
	unsigned box_slices;        /* per round and contender, BOX_SLICE each */
	unsigned box_rate_sessions; /* of each of RATE_CLIENTS clients */
};

#define FLOOD_SLICE_MIB 4 /* of what is written; newlines become two bytes on the way */
#define ECHO_SLICE 100
#define SLOW_CLIENT_BYTES_S 10e6
#define RATE_CLIENTS 8
#define IDLE_MAX 50
#define BOX_SLICE 5
#define IDLE_GROUP 10

/* Makes the file that is written out again and again; removed with its folder. */
void measure_prepare(const char *dir);

/*
 * FLOOD, CPU of all n: `cat` of a file in the page cache, cooked output, from the command to the
 * end. A round is many short slices in turn, so that what the scheduler makes of a slice (reader
 * and writer on one CPU or on two) and what else the machine does befalls all of them alike.
 */
void measure_floods(struct contender *const *all, size_t n, const struct effort *e);

/* ECHO_*: bytes one at a time through `cat`, terminal raw, its own echo off; in slices as above. */
void measure_echoes(struct contender *const *all, size_t n, const struct effort *e);

/* BUSY_*: the same while `yes` runs in another terminal whose client reads all it gets; in slices. */
void measure_busy_echoes(struct contender *const *all, size_t n, const struct effort *e);

/* The others do it once for one contender, and add to its results. */

/* INTERRUPT: `yes`, read at SLOW_CLIENT_BYTES_S; from typing ctrl-C until the prompt is read. */
void measure_interrupt(struct contender *c, const struct effort *e);
/* STALL: the most by which memory exceeds that after a flood that was read, while none is read. */
void measure_stall(struct contender *c, const struct effort *e);
/* PROMPT, OPEN: from nothing to the prompt of a login shell. */
void measure_prompt(struct contender *c, const struct effort *e);
/* RATE: RATE_CLIENTS clients that open, wait for the prompt and end, each one after the other. */
void measure_rate(struct contender *c, const struct effort *e);
/* What that is for one: RATE_CLIENTS clients of so many sessions each. */
double measure_sessions_per_s(const struct terminal_ops *ops, unsigned sessions);
/* FRONT_*, HOLDER_*, INIT_*, THREADS: sessions at their prompt. Of a service, or of ttyd. */
void measure_idle(struct contender *c, const struct effort *e);

/* False when /proc/PID/smaps of the service may not be read (it takes root): no memory then. */
bool measure_can_read_memory(void);

/* NULL, or why this way to a sandbox leads to no shell of the image of box.h. */
const char *measure_box_probe(const struct terminal_ops *ops);
/* BOX_PROMPT, BOX_P99, BOX_TAIL, BOX_OPEN of all n, in slices. */
void measure_boxes(struct contender *const *all, size_t n, const struct effort *e);
/* BOX_RATE, of one. */
void measure_box_rate(struct contender *c, const struct effort *e);
/* BOX_FIXED and what it is made of, of ours. */
void measure_box_memory(struct contender *c, const struct effort *e);

#endif
