/* SPDX-License-Identifier: MIT */
/* Floods: at full speed, interrupted, and not read at all. See measure.h. */
#include <stdio.h>
#include <string.h>

#include "regress/bench/bench.h"
#include "regress/bench/flood.h"
#include "regress/bench/measure.h"

#define LINE_BYTES 64 /* 63 letters and a newline; 2^6 divides the file */
#define FILE_BYTES ((size_t)FLOOD_SLICE_MIB << 20)
#define STALL_PROBE_MS 100
#define STALL_SLICES_BEFORE 4

/* A newline comes as two bytes. */
static const size_t slice_bytes = FILE_BYTES + FILE_BYTES / LINE_BYTES;
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

/* --- what others flood with --- */

void
flood_start(struct terminal *t)
{
	terminal_type_text(t,
	    "PS1=PRO''MPT:; "
	    "yes 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n");
}

void
flood_read(struct terminal *t, size_t bytes)
{
	size_t got = 0;

	while (got < bytes)
		got += t->ops->next(t, true).len;
}

/* --- at full speed --- */

static void
read_slice(struct terminal *t)
{
	char command[16 + sizeof(flood_file)];
	size_t got = 0;

	snprintf(command, sizeof(command), "cat %s\n", flood_file);
	terminal_type_text(t, command);
	while (got < slice_bytes)
		got += t->ops->next(t, true).len;
	if (got != slice_bytes)
		bench_fail("%zu bytes came of %zu", got, slice_bytes);
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

struct flood {
	struct terminal *t;
	double wall_s, cpu_s;
};

static void
open_floods(struct contender *const *all, size_t n, struct flood *floods)
{
	for (size_t i = 0; i < n; i++) {
		bench_doing("flood of %s", all[i]->ops->name);
		floods[i] = (struct flood){ .t = all[i]->ops->open() };
		terminal_quieten(floods[i].t);
		floods[i].t->ops->cpu_s(floods[i].t);
	}
}

static void
measure_slice(struct flood *f)
{
	double cpu_s = f->t->ops->cpu_s(f->t), from_s = bench_now_s();

	bench_doing("flood of %s", f->t->ops->name);
	read_slice(f->t);
	f->wall_s += bench_now_s() - from_s;
	f->cpu_s += f->t->ops->cpu_s(f->t) - cpu_s;
}

static void
close_flood(struct contender *c, struct flood *f, double bytes)
{
	expect_end_of_flood(f->t);
	f->t->ops->close(f->t);
	samples_add(&c->results.of[METRIC_FLOOD], bytes / 1e6 / f->wall_s);
	samples_add(&c->results.of[METRIC_CPU], f->cpu_s / (bytes / 1e9));
}

void
measure_floods(struct contender *const *all, size_t n, const struct effort *e)
{
	struct flood floods[CONTENDERS_MAX];

	open_floods(all, n, floods);
	for (unsigned slice = 0; slice < e->flood_slices; slice++) {
		for (size_t i = 0; i < n; i++)
			measure_slice(&floods[(i + slice) % n]);
	}
	for (size_t i = 0; i < n; i++)
		close_flood(all[i], &floods[i], (double)slice_bytes * e->flood_slices);
}

/* --- interrupted --- */

#define PROMPT "PROMPT:"
#define PROMPT_BYTES (sizeof(PROMPT) - 1)

/* A client that reads SLOW_CLIENT_BYTES_S: so many bytes so far, since then, and the last of them. */
struct slow_client {
	double from_s, got;
	char last[PROMPT_BYTES];
};

static void
keep_last(struct slow_client *s, struct view v)
{
	size_t n = v.len < PROMPT_BYTES ? v.len : PROMPT_BYTES;

	memmove(s->last, s->last + n, PROMPT_BYTES - n);
	memcpy(s->last + PROMPT_BYTES - n, v.p + v.len - n, n);
}

static void
slow_next(struct slow_client *s, struct terminal *t)
{
	struct view v = t->ops->next(t, false);
	double ahead_s;

	keep_last(s, v);
	s->got += (double)v.len;
	ahead_s = s->from_s + s->got / SLOW_CLIENT_BYTES_S - bench_now_s();
	if (ahead_s >= 0.001)
		bench_sleep_ms((unsigned)(ahead_s * 1e3));
}

void
measure_interrupt(struct contender *c, const struct effort *e)
{
	struct terminal *t = c->ops->open();
	struct slow_client s;
	double from_s;

	terminal_quieten(t);
	flood_start(t);
	s = (struct slow_client){ .from_s = bench_now_s() };
	while (bench_now_s() - s.from_s < e->flow_ms / 1e3)
		slow_next(&s, t);
	from_s = bench_now_s();
	terminal_type_text(t, "\003");
	while (memcmp(s.last, PROMPT, PROMPT_BYTES) != 0)
		slow_next(&s, t);
	samples_add(&c->results.of[METRIC_INTERRUPT], (bench_now_s() - from_s) * 1e3);
	t->ops->close(t);
}

/* --- not read --- */

static double
memory_kib(struct terminal *t)
{
	struct memory m;

	if (t->ops->memory(t, &m) != 0)
		bench_fail("the memory of %s cannot be read", t->ops->name);
	return m.pss_kib;
}

/* What a flood needs that is read is there before: only what piles up is growth. */
void
measure_stall(struct contender *c, const struct effort *e)
{
	struct terminal *t = c->ops->open();
	double before_kib, most_kib = 0;

	if (!measure_can_read_memory()) {
		t->ops->close(t);
		return;
	}
	terminal_quieten(t);
	for (int i = 0; i < STALL_SLICES_BEFORE; i++)
		read_slice(t);
	before_kib = memory_kib(t);
	flood_start(t);
	for (unsigned ms = 0; ms < e->stall_ms; ms += STALL_PROBE_MS) {
		double growth_kib;

		bench_sleep_ms(STALL_PROBE_MS);
		growth_kib = memory_kib(t) - before_kib;
		most_kib = growth_kib > most_kib ? growth_kib : most_kib;
	}
	samples_add(&c->results.of[METRIC_STALL], most_kib);
	t->ops->close(t);
}
