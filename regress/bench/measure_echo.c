/* SPDX-License-Identifier: MIT */
/* Echoes: alone, and beside a flood. See measure.h. */
#include <unistd.h>

#include "regress/bench/bench.h"
#include "regress/bench/child.h"
#include "regress/bench/flood.h"
#include "regress/bench/measure.h"

#define FLOWING_BYTES (4u << 20)

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

static void
echo_slice(struct terminal *t, struct samples *echo)
{
	for (int i = 0; i < ECHO_SLICE; i++)
		samples_add(echo, echo_once_us(t, (char)('a' + i % 26)));
}

/* The first slice warms up and does not count. */
static struct terminal *
open_raw_cat(const struct terminal_ops *ops)
{
	struct terminal *t = ops->open();
	struct samples warm_up = { 0 };

	terminal_quieten(t);
	terminal_type_text(t, "stty raw -echo; printf 'RA%s' W; exec cat\n");
	terminal_expect(t, "RAW");
	echo_slice(t, &warm_up);
	samples_free(&warm_up);
	return t;
}

static void
add_percentiles(struct samples *echo, struct samples *p50, struct samples *p99)
{
	samples_add(p50, samples_at(echo, 0.5));
	samples_add(p99, samples_at(echo, 0.99));
	samples_free(echo);
}

struct echo {
	struct terminal *t;
	struct samples us;
};

void
measure_echoes(struct contender *const *all, size_t n, const struct effort *e)
{
	struct echo echoes[CONTENDERS_MAX] = { 0 };

	for (size_t i = 0; i < n; i++) {
		bench_doing("echo of %s", all[i]->ops->name);
		echoes[i].t = open_raw_cat(all[i]->ops);
	}
	for (unsigned slice = 0; slice < e->echo_slices; slice++) {
		for (size_t i = 0; i < n; i++) {
			struct echo *next = &echoes[(i + slice) % n];

			bench_doing("echo of %s", next->t->ops->name);
			echo_slice(next->t, &next->us);
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct samples *of = all[i]->results.of;

		add_percentiles(&echoes[i].us, &of[METRIC_ECHO_P50], &of[METRIC_ECHO_P99]);
		all[i]->ops->close(echoes[i].t);
	}
}

/* A process of its own that reads the flood until it is killed. */
static pid_t
read_in_child(struct terminal *flood)
{
	pid_t pid = child_start();

	if (pid != 0)
		return pid;
	for (;;)
		flood_read(flood, FLOWING_BYTES);
}

/* With terminals of its own: which CPU each process of them lands on is drawn anew. */
static void
busy_slice(const struct terminal_ops *ops, unsigned ms, struct samples *us)
{
	struct terminal *t = open_raw_cat(ops);
	struct terminal *flood = ops->open();
	double until_s;
	pid_t reader;

	terminal_quieten(flood);
	flood_start(flood);
	flood_read(flood, FLOWING_BYTES);
	reader = read_in_child(flood);
	until_s = bench_now_s() + ms / 1e3;
	while (bench_now_s() < until_s && us->n + ECHO_SLICE <= SAMPLES_MAX)
		echo_slice(t, us);
	child_join(reader, 0);
	ops->close(flood);
	ops->close(t);
}

void
measure_busy_echoes(struct contender *const *all, size_t n, const struct effort *e)
{
	struct samples us[CONTENDERS_MAX] = { 0 };

	for (unsigned slice = 0; slice < e->busy_slices; slice++) {
		for (size_t i = 0; i < n; i++) {
			size_t next = (i + slice) % n;

			bench_doing("echo of %s beside a flood", all[next]->ops->name);
			busy_slice(all[next]->ops, e->busy_ms, &us[next]);
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct samples *of = all[i]->results.of;

		add_percentiles(&us[i], &of[METRIC_BUSY_P50], &of[METRIC_BUSY_P99]);
	}
}
