/* SPDX-License-Identifier: MIT */
/* Measurements: see measure.h. */
#include "regress/bench/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"
#include "regress/bench/procstat.h"
#include "regress/bench/service.h"

#define LINE_BYTES 64 /* 63 letters and a newline; 2^6 divides the file */
#define FILE_BYTES ((size_t)FLOOD_FILE_MIB << 20)
#define FLOOD_COPIES (FLOOD_MIB / FLOOD_FILE_MIB)

static char flood_file[512];

void
measure_prepare(const char *dir)
{
	FILE *f;

	snprintf(flood_file, sizeof(flood_file), "%s/flood", dir);
	f = fopen(flood_file, "we");
	if (!f)
		bench_fail_errno("%s", flood_file);
	for (size_t i = 0; i < FILE_BYTES / LINE_BYTES; i++)
		fprintf(f, "%0*zu\n", LINE_BYTES - 1, i);
	if (fclose(f) != 0)
		bench_fail_errno("%s", flood_file);
}

/* --- flood --- */

static void
type_flood(struct terminal *t)
{
	char command[64 + FLOOD_COPIES * sizeof(flood_file)];
	size_t len = (size_t)snprintf(command, sizeof(command), "cat");

	for (int i = 0; i < FLOOD_COPIES; i++)
		len += (size_t)snprintf(command + len, sizeof(command) - len, " %s", flood_file);
	snprintf(command + len, sizeof(command) - len, "\n");
	terminal_type_text(t, command);
}

static void
count_output(struct terminal *t, size_t bytes)
{
	size_t got = 0;

	while (got < bytes)
		got += t->ops->next(t, true).len;
	if (got != bytes)
		bench_fail("%zu bytes came of %zu", got, bytes);
}

/* Nothing may be left of the flood: the first that comes is the answer to the next command. */
static void
expect_end_of_flood(struct terminal *t)
{
	struct view v;

	terminal_type_text(t, "echo $((6*7))\n");
	v = t->ops->next(t, false);
	if (v.len < 2 || memcmp(v.p, "42", 2) != 0)
		bench_fail("there is more output than the flood has");
}

void
measure_flood(const struct terminal_ops *ops, struct results *r)
{
	const size_t bytes = FLOOD_COPIES * (FILE_BYTES + FILE_BYTES / LINE_BYTES);
	struct terminal *t = ops->open();
	double cpu_s, from_s;

	terminal_quieten(t);
	cpu_s = ops->cpu_s(t);
	from_s = bench_now_s();
	type_flood(t);
	count_output(t, bytes);
	samples_add(&r->of[METRIC_FLOOD], (double)bytes / 1e6 / (bench_now_s() - from_s));
	samples_add(&r->of[METRIC_CPU], (ops->cpu_s(t) - cpu_s) / ((double)bytes / 1e9));
	expect_end_of_flood(t);
	ops->close(t);
}

/* --- echo --- */

static double
echo_once_us(struct terminal *t, char letter)
{
	double from_s = bench_now_s();
	struct view v;

	t->ops->type(t, &letter, 1);
	v = t->ops->next(t, false);
	if (v.len != 1 || v.p[0] != letter)
		bench_fail("another byte came back");
	return (bench_now_s() - from_s) * 1e6;
}

void
measure_echo(const struct terminal_ops *ops, struct results *r)
{
	struct terminal *t = ops->open();
	struct samples echo = { 0 };

	terminal_quieten(t);
	terminal_type_text(t, "stty raw -echo; printf 'RA%s' W; exec cat\n");
	terminal_expect(t, "RAW");
	for (int i = 0; i < ECHO_WARMUP; i++)
		echo_once_us(t, (char)('a' + i % 26));
	for (int i = 0; i < ECHO_COUNT; i++)
		samples_add(&echo, echo_once_us(t, (char)('a' + i % 26)));
	samples_add(&r->of[METRIC_ECHO_P50], samples_at(&echo, 0.5));
	samples_add(&r->of[METRIC_ECHO_P99], samples_at(&echo, 0.99));
	samples_free(&echo);
	ops->close(t);
}

/* --- create to prompt --- */

void
measure_prompt(const struct terminal_ops *ops, struct results *r)
{
	struct samples prompt = { 0 }, open = { 0 };

	for (int i = 0; i < PROMPT_COUNT; i++) {
		double from_s = bench_now_s();
		struct terminal *t = ops->open();

		samples_add(&open, (bench_now_s() - from_s) * 1e3);
		terminal_expect_prompt(t);
		samples_add(&prompt, (bench_now_s() - from_s) * 1e3);
		ops->close(t);
	}
	samples_add(&r->of[METRIC_PROMPT], samples_at(&prompt, 0.5));
	samples_add(&r->of[METRIC_OPEN], samples_at(&open, 0.5));
	samples_free(&prompt);
	samples_free(&open);
}

/* --- idle sessions --- */

static struct terminal *
open_to_prompt(const struct terminal_ops *ops)
{
	struct terminal *t = ops->open();

	terminal_expect_prompt(t);
	return t;
}

/* What is loaded or reserved once is no growth. */
static void
open_and_close_one(const struct terminal_ops *ops)
{
	struct terminal *t = open_to_prompt(ops);

	ops->close(t);
}

static void
add_growth(const struct memory *before, const struct memory *after, struct results *r)
{
	samples_add(&r->of[METRIC_GATEWAY_RSS], (after->rss_kib - before->rss_kib) / IDLE_GROUP);
	samples_add(&r->of[METRIC_GATEWAY_PSS], (after->pss_kib - before->pss_kib) / IDLE_GROUP);
}

static void
open_group(const struct terminal_ops *ops, struct terminal **group, pid_t gatewayd,
    struct results *r)
{
	struct memory before, after;

	if (proc_memory(gatewayd, &before) != 0)
		bench_fail("gatewayd is gone");
	for (int i = 0; i < IDLE_GROUP; i++)
		group[i] = open_to_prompt(ops);
	if (proc_memory(gatewayd, &after) != 0)
		bench_fail("gatewayd is gone");
	add_growth(&before, &after, r);
}

/* private_pages may be NULL. */
static void
add_memory_of_all(const char *name, struct samples *pss, struct samples *private_pages)
{
	pid_t pids[IDLE_SESSIONS];
	size_t n = proc_descendants(service_pid(), name, pids, COUNT_OF(pids));
	struct memory m;

	if (n != IDLE_SESSIONS)
		bench_fail("%zu processes %s for %d sessions", n, name, IDLE_SESSIONS);
	for (size_t i = 0; i < n; i++) {
		if (proc_memory(pids[i], &m) != 0)
			bench_fail("a %s is gone", name);
		samples_add(pss, m.pss_kib);
		if (private_pages)
			samples_add(private_pages, m.private_kib);
	}
}

bool
measure_idle(const struct terminal_ops *ops, struct results *r)
{
	struct terminal *t[IDLE_SESSIONS];
	pid_t gatewayd = service_process("gatewayd");
	struct memory m;

	if (proc_memory(gatewayd, &m) != 0)
		return false;
	open_and_close_one(ops);
	for (int i = 0; i < IDLE_SESSIONS; i += IDLE_GROUP)
		open_group(ops, t + i, gatewayd, r);
	add_memory_of_all("holder", &r->of[METRIC_HOLDER_PSS], &r->of[METRIC_HOLDER_PRIVATE]);
	add_memory_of_all("session-init", &r->of[METRIC_INIT_PSS], NULL);
	for (int i = 0; i < IDLE_SESSIONS; i++)
		ops->close(t[i]);
	return true;
}
