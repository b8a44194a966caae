/* SPDX-License-Identifier: MIT */
/* Sessions: how soon, how many a second, and what they cost while idle. See measure.h. */
#include <sys/types.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"
#include "regress/bench/child.h"
#include "regress/bench/measure.h"
#include "regress/bench/procstat.h"
#include "regress/bench/service.h"

#define RATE_S 60
#define RING_KIB 4096

static struct terminal *
open_to_prompt(const struct terminal_ops *ops)
{
	struct terminal *t = ops->open();

	terminal_expect_prompt(t);
	return t;
}

void
measure_prompt(struct contender *c, const struct effort *e)
{
	struct samples prompt = { 0 }, open = { 0 };

	for (unsigned i = 0; i < e->prompts; i++) {
		double from_s = bench_now_s();
		struct terminal *t = c->ops->open();

		samples_add(&open, (bench_now_s() - from_s) * 1e3);
		terminal_expect_prompt(t);
		samples_add(&prompt, (bench_now_s() - from_s) * 1e3);
		c->ops->close(t);
	}
	samples_add(&c->results.of[METRIC_PROMPT], samples_at(&prompt, 0.5));
	samples_add(&c->results.of[METRIC_OPEN], samples_at(&open, 0.5));
	samples_free(&prompt);
	samples_free(&open);
}

/* --- many at a time --- */

static pid_t
start_client(const struct terminal_ops *ops, unsigned sessions)
{
	pid_t pid = child_start();

	if (pid != 0)
		return pid;
	for (unsigned i = 0; i < sessions; i++) {
		struct terminal *t = open_to_prompt(ops);

		ops->close(t);
	}
	_exit(0);
}

double
measure_sessions_per_s(const struct terminal_ops *ops, unsigned sessions)
{
	pid_t clients[RATE_CLIENTS];
	double from_s = bench_now_s();

	for (size_t i = 0; i < RATE_CLIENTS; i++)
		clients[i] = start_client(ops, sessions);
	for (size_t i = 0; i < RATE_CLIENTS; i++) {
		if (child_join(clients[i], RATE_S) != 0)
			bench_fail("a client did not come to its end");
	}
	return RATE_CLIENTS * sessions / (bench_now_s() - from_s);
}

void
measure_rate(struct contender *c, const struct effort *e)
{
	samples_add(&c->results.of[METRIC_RATE], measure_sessions_per_s(c->ops, e->rate_sessions));
}

/* --- idle --- */

bool
measure_can_read_memory(void)
{
	struct memory m;

	return proc_memory(service_process(SERVICE_PLAIN, "gatewayd"), 0, &m) == 0;
}

/* The process that all sessions of the contender share. */
static pid_t
front_of(const struct terminal_ops *ops, enum service *service)
{
	if (ops == &terminal_ttyd)
		return terminal_ttyd_pid();
	*service = ops == &terminal_fog_v1_tls ? SERVICE_TLS : SERVICE_PLAIN;
	return service_process(*service, "gatewayd");
}

static void
front_memory(pid_t front, struct memory *m)
{
	if (proc_memory(front, 0, m) != 0)
		bench_fail("process %d is gone", (int)front);
}

static void
open_group(struct contender *c, struct terminal **group, pid_t front)
{
	struct memory before, after;

	front_memory(front, &before);
	for (int i = 0; i < IDLE_GROUP; i++)
		group[i] = open_to_prompt(c->ops);
	front_memory(front, &after);
	samples_add(&c->results.of[METRIC_FRONT_RSS],
	    (after.rss_kib - before.rss_kib) / IDLE_GROUP);
	samples_add(&c->results.of[METRIC_FRONT_PSS],
	    (after.pss_kib - before.pss_kib) / IDLE_GROUP);
}

/* private_pages may be NULL. */
static void
add_memory_of_all(enum service service, const char *name, unsigned sessions, struct samples *pss,
    struct samples *private_pages)
{
	pid_t pids[IDLE_MAX];
	size_t n = proc_descendants(service_pid(service), name, pids, COUNT_OF(pids));
	struct memory m;

	if (n != sessions)
		bench_fail("%zu processes %s for %u sessions", n, name, sessions);
	for (size_t i = 0; i < n; i++) {
		if (proc_memory(pids[i], RING_KIB, &m) != 0)
			bench_fail("a %s is gone", name);
		samples_add(pss, m.pss_kib);
		if (private_pages)
			samples_add(private_pages, m.private_kib);
	}
}

/* More than the one that a holder has, and than the front had without sessions. */
static unsigned
further_threads(enum service service, pid_t front, unsigned front_before)
{
	pid_t pids[IDLE_MAX];
	size_t n = proc_descendants(service_pid(service), "holder", pids, COUNT_OF(pids));
	unsigned sum = proc_threads(front) - front_before;

	for (size_t i = 0; i < n; i++)
		sum += proc_threads(pids[i]) - 1;
	return sum;
}

static void
add_sessions(struct contender *c, enum service service, pid_t front, unsigned sessions,
    unsigned front_threads)
{
	struct samples *of = c->results.of;

	add_memory_of_all(service, "holder", sessions, &of[METRIC_HOLDER_PSS],
	    &of[METRIC_HOLDER_PRIVATE]);
	add_memory_of_all(service, "session-init", sessions, &of[METRIC_INIT_PSS], NULL);
	samples_add(&of[METRIC_THREADS],
	    (double)further_threads(service, front, front_threads) / sessions);
}

/* What is loaded or reserved once is no growth: one session comes and goes first. */
void
measure_idle(struct contender *c, const struct effort *e)
{
	struct terminal *t[IDLE_MAX];
	enum service service = SERVICE_COUNT;
	pid_t front = front_of(c->ops, &service);
	unsigned front_threads;

	c->ops->close(open_to_prompt(c->ops));
	front_threads = proc_threads(front);
	for (unsigned i = 0; i < e->idle_sessions; i += IDLE_GROUP)
		open_group(c, t + i, front);
	if (service != SERVICE_COUNT)
		add_sessions(c, service, front, e->idle_sessions, front_threads);
	for (unsigned i = 0; i < e->idle_sessions; i++)
		c->ops->close(t[i]);
}
