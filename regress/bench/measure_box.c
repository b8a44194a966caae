/* SPDX-License-Identifier: MIT */
/* Sandboxes: how soon, how evenly, how many a second, and what one costs. See measure.h. */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"
#include "regress/bench/box.h"
#include "regress/bench/child.h"
#include "regress/bench/measure.h"
#include "regress/bench/procstat.h"
#include "regress/bench/service.h"

#define PROBE_S 20
#define PROCESSES_MAX 512

/* --- whether there is one --- */

static _Noreturn void
become_probe(const struct terminal_ops *ops)
{
	int fd = open(box_log(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct terminal *t;

	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(126);
	bench_doing("%s", ops->name);
	t = ops->open();
	terminal_expect_prompt(t);
	terminal_type_text(t, BOX_QUESTION);
	terminal_expect(t, BOX_ANSWER);
	ops->close(t);
	_exit(0);
}

const char *
measure_box_probe(const struct terminal_ops *ops)
{
	static char said[600];
	pid_t pid = child_start();
	FILE *f;

	if (pid == 0)
		become_probe(ops);
	if (child_join(pid, PROBE_S) == 0)
		return NULL;
	f = fopen(box_log(), "re");
	if (!f || !fgets(said, sizeof(said), f))
		snprintf(said, sizeof(said), "no shell of the image answered within %d s", PROBE_S);
	if (f)
		fclose(f);
	said[strcspn(said, "\r\n")] = '\0';
	return said;
}

/* --- to the prompt --- */

struct times {
	struct samples prompt, open;
};

static void
open_boxes(const struct contender *c, unsigned count, struct times *times)
{
	for (unsigned i = 0; i < count; i++) {
		double from_s = bench_now_s();
		struct terminal *t = c->ops->open();

		samples_add(&times->open, (bench_now_s() - from_s) * 1e3);
		terminal_expect_prompt(t);
		samples_add(&times->prompt, (bench_now_s() - from_s) * 1e3);
		c->ops->close(t);
	}
}

static void
add_times(struct contender *c, struct times *times)
{
	double p50 = samples_at(&times->prompt, 0.5), p99 = samples_at(&times->prompt, 0.99);

	samples_add(&c->results.of[METRIC_BOX_PROMPT], p50);
	samples_add(&c->results.of[METRIC_BOX_OPEN], samples_at(&times->open, 0.5));
	samples_add(&c->results.of[METRIC_BOX_P99], p99);
	samples_add(&c->results.of[METRIC_BOX_TAIL], p99 / p50);
	samples_free(&times->prompt);
	samples_free(&times->open);
}

/* A fork copies tables of all that floods have left in this process, and ours does not fork here. */
static void
be_small(void)
{
	malloc_trim(0);
}

void
measure_boxes(struct contender *const *all, size_t n, const struct effort *e)
{
	struct times times[CONTENDERS_MAX] = { 0 };

	be_small();
	for (unsigned slice = 0; slice < e->box_slices; slice++) {
		for (size_t i = 0; i < n; i++) {
			bench_doing("%s: create to prompt", all[i]->ops->name);
			open_boxes(all[i], BOX_SLICE, &times[i]);
		}
	}
	for (size_t i = 0; i < n; i++)
		add_times(all[i], &times[i]);
}

void
measure_box_rate(struct contender *c, const struct effort *e)
{
	be_small();
	samples_add(&c->results.of[METRIC_BOX_RATE],
	    measure_sessions_per_s(c->ops, e->box_rate_sessions));
}

/* --- what one costs --- */

/* PSS of all of the service by that name (NULL: whatever their names); *count: how many they are. */
static double
pss_of(const char *name, size_t *count)
{
	pid_t pids[PROCESSES_MAX];
	struct memory m;
	double sum_kib = 0;

	*count = proc_descendants(service_pid(SERVICE_SANDBOX), name, pids, COUNT_OF(pids));
	if (*count == COUNT_OF(pids))
		bench_fail("too many processes");
	for (size_t i = 0; i < *count; i++) {
		if (proc_memory(pids[i], 0, &m) == 0)
			sum_kib += m.pss_kib;
		else if (name)
			bench_fail("process %d is gone", (int)pids[i]);
	}
	return sum_kib;
}

static double
pss_of_each(const char *name, size_t sessions)
{
	size_t count;
	double sum_kib = pss_of(name, &count);

	if (count != sessions)
		bench_fail("%zu processes %s for %zu sessions", count, name, sessions);
	return sum_kib;
}

/* In KiB, of so many sessions at their prompts. */
struct cost {
	double fixed, holders, inits;
};

static struct cost
cost_of(size_t sessions)
{
	struct memory fogd;
	struct cost cost;
	size_t count;

	if (proc_memory(service_pid(SERVICE_SANDBOX), 0, &fogd) != 0)
		bench_fail("fogd is gone");
	cost.fixed = fogd.pss_kib + pss_of(NULL, &count) - pss_of_each(BOX_SHELL_ARGV0, sessions);
	cost.holders = pss_of_each("holder", sessions);
	cost.inits = pss_of_each("session-init", sessions);
	return cost;
}

static void
add_cost(struct samples *of, const struct cost *before, const struct cost *after)
{
	double fixed = (after->fixed - before->fixed) / IDLE_GROUP;
	double holder = (after->holders - before->holders) / IDLE_GROUP;
	double init = (after->inits - before->inits) / IDLE_GROUP;

	samples_add(&of[METRIC_BOX_FIXED], fixed);
	samples_add(&of[METRIC_BOX_HOLDER], holder);
	samples_add(&of[METRIC_BOX_INIT], init);
	samples_add(&of[METRIC_BOX_REST], fixed - holder - init);
}

/* The ends of a session: its processes are gone soon after it is. */
static void
await_no_sessions(void)
{
	pid_t pid;

	while (proc_descendants(service_pid(SERVICE_SANDBOX), "holder", &pid, 1) > 0 ||
	    proc_descendants(service_pid(SERVICE_SANDBOX), "session-init", &pid, 1) > 0)
		bench_sleep_ms(10);
}

/* What is loaded or reserved once is no growth: one session comes and goes first. */
void
measure_box_memory(struct contender *c, const struct effort *e)
{
	struct terminal *t[IDLE_MAX];
	struct cost before, after;

	t[0] = c->ops->open();
	terminal_expect_prompt(t[0]);
	c->ops->close(t[0]);
	await_no_sessions();
	before = cost_of(0);
	for (unsigned i = 0; i < e->idle_sessions; i++) {
		t[i] = c->ops->open();
		terminal_expect_prompt(t[i]);
		if ((i + 1) % IDLE_GROUP == 0) {
			after = cost_of(i + 1);
			add_cost(c->results.of, &before, &after);
			before = after;
		}
	}
	for (unsigned i = 0; i < e->idle_sessions; i++)
		c->ops->close(t[i]);
}
