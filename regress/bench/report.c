/* SPDX-License-Identifier: MIT */
/* Reports: see report.h. */
#include "regress/bench/report.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"
#include "regress/bench/bounds.h"

struct metric_row {
	const char *key, *title, *unit;
	int decimals;
	bool has_ratio;
};

#define METRIC_ROW(NAME, key, title, unit, decimals, ratio) { key, title, unit, decimals, ratio },
static const struct metric_row metric_rows[METRIC_COUNT] = { METRICS(METRIC_ROW) };

#define REFERENCES 4

/* What figures are told as ratios to; NULL: nothing more. */
static const struct section {
	enum metric from, to;
	const struct terminal_ops *references[REFERENCES];
} sections[] = {
	{ METRIC_FLOOD, METRIC_THREADS,
	    { &terminal_pty, &terminal_relay, &terminal_relay2, &terminal_ttyd } },
	{ METRIC_BOX_PROMPT, METRIC_COUNT - 1, { &terminal_pty, &terminal_bwrap, &terminal_crun } },
};

static const char *const verdict_names[] = { [VERDICT_MET] = "met",
	[VERDICT_NOT_MET] = "NOT MET",
	[VERDICT_NOT_MEASURED] = "not measured",
	[VERDICT_TOLD] = "no bound" };

static const struct contender *
find_contender(const struct terminal_ops *ops, const struct contender *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (all[i].ops == ops)
			return &all[i];
	}
	return NULL;
}

static const struct terminal_ops *const *
references_of(enum metric m)
{
	size_t i = 0;

	while (m > sections[i].to)
		i++;
	return sections[i].references;
}

/* --- the figures --- */

/* The ratios to one of the references, round by round; empty when there are none. */
static void
ratios_to(const struct terminal_ops *reference, enum metric m, const struct contender *of,
    const struct contender *all, size_t n, struct samples *out)
{
	const struct contender *by = find_contender(reference, all, n);

	*out = (struct samples){ 0 };
	if (reference && by && by != of && metric_rows[m].has_ratio)
		samples_ratio(&of->results.of[m], &by->results.of[m], out);
}

static void
print_ratios(enum metric m, const struct contender *of, const struct contender *all, size_t n)
{
	for (size_t i = 0; i < REFERENCES; i++) {
		struct samples ratio;

		ratios_to(references_of(m)[i], m, of, all, n, &ratio);
		if (ratio.n > 0)
			printf(" %8.2f", samples_at(&ratio, 0.5));
		else
			printf(" %8s", "");
		samples_free(&ratio);
	}
}

static void
print_metric(enum metric m, const struct contender *all, size_t n)
{
	const struct metric_row *row = &metric_rows[m];

	printf("%s%s%s\n", row->title, row->unit[0] ? ", " : "", row->unit);
	for (size_t i = 0; i < n; i++) {
		const struct samples *s = &all[i].results.of[m];

		if (s->n == 0)
			continue;
		printf("  %-14s %10.*f %10.*f %10.*f ", all[i].ops->name, row->decimals,
		    samples_at(s, 0.5), row->decimals, samples_at(s, 0), row->decimals,
		    samples_at(s, 1));
		print_ratios(m, &all[i], all, n);
		printf("\n");
	}
}

static bool
is_measured(enum metric m, const struct contender *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (all[i].results.of[m].n > 0)
			return true;
	}
	return false;
}

static bool
has_figures(const struct section *s, const struct contender *all, size_t n)
{
	enum metric m = s->from;

	while (m <= s->to && !is_measured(m, all, n))
		m++;
	return m <= s->to;
}

static void
print_section(const struct section *s, const struct contender *all, size_t n)
{
	printf("%63s\n", "ratio in the same round, to");
	printf("%-16s %10s %10s %10s ", "", "median", "min", "max");
	for (size_t i = 0; i < REFERENCES && s->references[i]; i++)
		printf(" %8s", s->references[i]->name);
	printf("\n");
	for (enum metric m = s->from; m <= s->to; m++) {
		if (is_measured(m, all, n))
			print_metric(m, all, n);
	}
}

static void
print_metrics(const struct contender *all, size_t n)
{
	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		if (has_figures(&sections[i], all, n))
			print_section(&sections[i], all, n);
	}
	for (size_t i = 0; i < n; i++) {
		if (all[i].missing[0] != '\0')
			printf("%s is not measured: %s\n", all[i].ops->name, all[i].missing);
	}
}

/* --- the bounds --- */

/* "0.93 (0.91..0.96)" */
static void
print_found(const struct bound *b, const struct samples *s)
{
	bool is_ratio = b->kind == AT_LEAST_RATIO || b->kind == AT_MOST_RATIO;
	int decimals = is_ratio ? 2 : metric_rows[b->metric].decimals;
	char text[64] = "-";

	if (s->n > 0)
		snprintf(text, sizeof(text), "%.*f (%.*f..%.*f)", decimals, samples_at(s, 0.5),
		    decimals, samples_at(s, 0), decimals, samples_at(s, 1));
	printf(" %-22s", text);
}

static void
print_required(const struct bound *b)
{
	char text[64];

	if (b->kind == AT_MOST_VALUE)
		snprintf(text, sizeof(text), "<= %g %s", b->limit, metric_rows[b->metric].unit);
	else if (b->kind == ONLY_DIFFERENCE)
		snprintf(text, sizeof(text), "%s over %s", metric_rows[b->metric].unit,
		    b->to->name);
	else
		snprintf(text, sizeof(text), "%s %.2f x %s",
		    b->kind == AT_LEAST_RATIO ? ">=" : "<=", b->limit, b->to->name);
	printf(" %-17s", text);
}

/*
 * A bound to the relay that the PTY alone or relay2, our design with nothing in it, misses too; one
 * to crun that bwrap misses, which does less, or the bare shell without any sandbox.
 */
static void
print_floors(const struct bound *missed, const struct contender *all, size_t n)
{
	static const struct {
		const struct terminal_ops *to, *floor;
	} floors[] = { { &terminal_relay, &terminal_pty }, { &terminal_relay, &terminal_relay2 },
		{ &terminal_crun, &terminal_pty }, { &terminal_crun, &terminal_bwrap } };

	for (size_t i = 0; i < COUNT_OF(floors); i++) {
		struct bound floor = *missed;
		struct samples found = { 0 };

		if (missed->to != floors[i].to)
			continue;
		floor.of = floors[i].floor;
		if (bound_judge(&floor, all, n, &found) == VERDICT_NOT_MET)
			printf("%-12s %.2f is what %s alone reaches of this in the same rounds\n",
			    "", samples_at(&found, 0.5), floor.of->name);
		samples_free(&found);
	}
}

/* Those that were not asked for are left out. */
static bool
is_asked_for(const struct bound *b, const struct contender *all, size_t n)
{
	const struct contender *of = find_contender(b->of, all, n);

	return of && of->takes_part != 0;
}

static unsigned
print_bounds(const struct contender *all, size_t n)
{
	unsigned not_met = 0, bounded = 0;

	printf("\n%-12s %-22s %-17s\n", "required", "median (min..max)", "bound");
	for (size_t i = 0; i < bounds_count; i++) {
		const struct bound *b = &bounds[i];
		struct samples found;
		enum verdict v;

		if (!is_asked_for(b, all, n))
			continue;
		v = bound_judge(b, all, n, &found);
		printf("%-12s", verdict_names[v]);
		print_found(b, &found);
		print_required(b);
		printf(" %s: %s\n", b->of->name, metric_rows[b->metric].title);
		if (v == VERDICT_NOT_MET)
			print_floors(b, all, n);
		not_met += v == VERDICT_NOT_MET;
		bounded += b->kind != ONLY_DIFFERENCE;
		samples_free(&found);
	}
	printf("%u of %u bounds are not met\n", not_met, bounded);
	return not_met;
}

unsigned
report_print(const struct contender *all, size_t n)
{
	print_metrics(all, n);
	return print_bounds(all, n);
}

/* --- JSON --- */

static void
write_samples(FILE *f, const char *name, const struct samples *s)
{
	fprintf(f, "\"%s\": {\"median\": %.6g, \"min\": %.6g, \"max\": %.6g, \"samples\": [", name,
	    samples_at(s, 0.5), samples_at(s, 0), samples_at(s, 1));
	for (size_t i = 0; i < s->n; i++)
		fprintf(f, "%s%.6g", i == 0 ? "" : ", ", s->v[i]);
	fprintf(f, "]}");
}

static void
write_ratios(FILE *f, enum metric m, const struct contender *of, const struct contender *all,
    size_t n)
{
	for (size_t i = 0; i < REFERENCES && references_of(m)[i]; i++) {
		const struct terminal_ops *reference = references_of(m)[i];
		struct samples ratio;
		char name[64];

		ratios_to(reference, m, of, all, n, &ratio);
		snprintf(name, sizeof(name), "ratio_to_%s", reference->name);
		if (ratio.n > 0) {
			fprintf(f, ", ");
			write_samples(f, name, &ratio);
		}
		samples_free(&ratio);
	}
}

static void
write_results(FILE *f, const struct contender *all, size_t n)
{
	const char *separator = "\n";

	for (int m = 0; m < METRIC_COUNT; m++) {
		for (size_t i = 0; i < n; i++) {
			const struct samples *s = &all[i].results.of[m];

			if (s->n == 0)
				continue;
			fprintf(f,
			    "%s    {\"metric\": \"%s\", \"unit\": \"%s\", \"terminal\": \"%s\", ",
			    separator, metric_rows[m].key, metric_rows[m].unit, all[i].ops->name);
			write_samples(f, "value", s);
			write_ratios(f, m, &all[i], all, n);
			fprintf(f, "}");
			separator = ",\n";
		}
	}
}

static void
write_bounds(FILE *f, const struct contender *all, size_t n)
{
	static const char *const kinds[] = { [AT_LEAST_RATIO] = "ratio at least",
		[AT_MOST_RATIO] = "ratio at most",
		[AT_MOST_VALUE] = "value at most",
		[ONLY_DIFFERENCE] = "difference" };
	const char *separator = "\n";

	for (size_t i = 0; i < bounds_count; i++) {
		const struct bound *b = &bounds[i];
		struct samples found;
		enum verdict v = bound_judge(b, all, n, &found);

		fprintf(f,
		    "%s    {\"metric\": \"%s\", \"terminal\": \"%s\", \"to\": \"%s\", "
		    "\"kind\": \"%s\", \"limit\": %g, \"verdict\": \"%s\"",
		    separator, metric_rows[b->metric].key, b->of->name, b->to ? b->to->name : "",
		    kinds[b->kind], b->limit, verdict_names[v]);
		if (found.n > 0) {
			fprintf(f, ", ");
			write_samples(f, "found", &found);
		}
		fprintf(f, "}");
		separator = ",\n";
		samples_free(&found);
	}
}

void
report_write_json(const char *path, const struct contender *all, size_t n, const struct effort *e)
{
	FILE *f = fopen(path, "we");
	struct utsname u;

	if (!f || uname(&u) != 0)
		bench_fail_errno("%s", path);
	fprintf(f, "{\n  \"version\": \"%s\",\n  \"kernel\": \"%s\",\n  \"cpus\": %ld,\n",
	    FOG_VERSION, u.release, sysconf(_SC_NPROCESSORS_ONLN));
	fprintf(f, "  \"rounds\": %u,\n  \"flood_bytes\": %zu,\n  \"idle_sessions\": %u,\n",
	    e->rounds, ((size_t)FLOOD_SLICE_MIB << 20) * e->flood_slices, e->idle_sessions);
	fprintf(f, "  \"results\": [");
	write_results(f, all, n);
	fprintf(f, "\n  ],\n  \"bounds\": [");
	write_bounds(f, all, n);
	fprintf(f, "\n  ]\n}\n");
	if (fclose(f) != 0)
		bench_fail_errno("%s", path);
}
