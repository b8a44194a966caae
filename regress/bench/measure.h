/* SPDX-License-Identifier: MIT */
/* What is measured: each function does it once, for one terminal, and adds to the results. */
#ifndef FOG_BENCH_MEASURE_H
#define FOG_BENCH_MEASURE_H

#include <stdbool.h>

#include "regress/bench/stats.h"
#include "regress/bench/terminal.h"

/* The figures: X(NAME, key, title, unit, decimals, whether a ratio to the floor means anything). */
#define METRICS(X) \
	X(FLOOD, "flood_mb_s", "output of a flood", "MB/s", 1, true) \
	X(CPU, "cpu_s_per_gb", "CPU time in the flood, PTY to client", "s/GB", 2, true) \
	X(ECHO_P50, "echo_p50_us", "echo of one byte, p50", "us", 0, true) \
	X(ECHO_P99, "echo_p99_us", "echo of one byte, p99", "us", 0, true) \
	X(PROMPT, "create_to_prompt_p50_ms", "create to prompt, p50", "ms", 2, true) \
	X(OPEN, "create_to_attached_p50_ms", "of that until attached, p50", "ms", 2, false) \
	X(GATEWAY_RSS, "gatewayd_rss_kib", "gatewayd, RSS growth per session", "KiB", 1, false) \
	X(GATEWAY_PSS, "gatewayd_pss_kib", "gatewayd, PSS growth per session", "KiB", 1, false) \
	X(HOLDER_PSS, "holder_pss_kib", "holder, PSS", "KiB", 0, false) \
	X(HOLDER_PRIVATE, "holder_private_kib", "holder, private pages", "KiB", 0, false) \
	X(INIT_PSS, "session_init_pss_kib", "session-init, PSS", "KiB", 0, false)

#define METRIC_ENUM(NAME, key, title, unit, decimals, ratio) METRIC_##NAME,
enum metric { METRICS(METRIC_ENUM) METRIC_COUNT };

/* Of one terminal, a sample per round (memory: a sample per group of sessions, or per process). */
struct results {
	struct samples of[METRIC_COUNT];
};

#define FLOOD_FILE_MIB 8
#define FLOOD_MIB 64 /* of what is written; newlines become two bytes on the way */
#define ECHO_COUNT 1000
#define ECHO_WARMUP 100
#define PROMPT_COUNT 8
#define IDLE_SESSIONS 50
#define IDLE_GROUP 10

/* Makes the file that is written out again and again; removed with its folder. */
void measure_prepare(const char *dir);

/* FLOOD, CPU: `cat` of a file in the page cache, cooked output; from the command to the end. */
void measure_flood(const struct terminal_ops *ops, struct results *r);
/* ECHO_*: a byte at a time through `cat` with the terminal raw and its own echo off. */
void measure_echo(const struct terminal_ops *ops, struct results *r);
/* PROMPT, OPEN: from nothing to the prompt of a login shell. */
void measure_prompt(const struct terminal_ops *ops, struct results *r);
/* GATEWAY_*, HOLDER_*, INIT_*: sessions at their prompt. False when smaps may not be read. */
bool measure_idle(const struct terminal_ops *ops, struct results *r);

#endif
