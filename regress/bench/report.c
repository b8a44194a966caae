/* SPDX-License-Identifier: MIT */
/* Reports: see report.h. */
#include "regress/bench/report.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"

struct metric_row {
	const char *key, *title, *unit;
	int decimals;
	bool has_ratio;
};

#define METRIC_ROW(NAME, key, title, unit, decimals, ratio) { key, title, unit, decimals, ratio },
static const struct metric_row metric_rows[METRIC_COUNT] = { METRICS(METRIC_ROW) };

static void
print_spread(const struct samples *s, int decimals)
{
	printf(" %10.*f %10.*f %10.*f", decimals, samples_at(s, 0.5), decimals, samples_at(s, 0),
	    decimals, samples_at(s, 1));
}

static void
print_ratio(const struct samples *of, const struct samples *floor)
{
	struct samples ratio = { 0 };

	samples_ratio(of, floor, &ratio);
	if (ratio.n > 0)
		printf("   %6.2f (%.2f..%.2f)", samples_at(&ratio, 0.5), samples_at(&ratio, 0),
		    samples_at(&ratio, 1));
	samples_free(&ratio);
}

static void
print_metric(enum metric m, const struct contender *all, size_t n)
{
	const struct metric_row *row = &metric_rows[m];

	printf("%s, %s\n", row->title, row->unit);
	for (size_t i = 0; i < n; i++) {
		const struct samples *s = &all[i].results.of[m];

		if (s->n == 0)
			continue;
		printf("  %-14s", all[i].ops->name);
		print_spread(s, row->decimals);
		if (i > 0 && row->has_ratio)
			print_ratio(s, &all[0].results.of[m]);
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

void
report_print(const struct contender *all, size_t n)
{
	printf("%16s %10s %10s %10s   ratio to %s (min..max)\n", "", "median", "min", "max",
	    all[0].ops->name);
	for (int m = 0; m < METRIC_COUNT; m++) {
		if (is_measured(m, all, n))
			print_metric(m, all, n);
	}
}

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
write_ratio(FILE *f, const struct samples *of, const struct samples *floor)
{
	struct samples ratio = { 0 };

	samples_ratio(of, floor, &ratio);
	if (ratio.n > 0) {
		fprintf(f, ", ");
		write_samples(f, "ratio", &ratio);
	}
	samples_free(&ratio);
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
			if (metric_rows[m].has_ratio)
				write_ratio(f, s, &all[0].results.of[m]);
			fprintf(f, "}");
			separator = ",\n";
		}
	}
}

void
report_write_json(const char *path, const struct contender *all, size_t n, unsigned rounds)
{
	FILE *f = fopen(path, "we");
	struct utsname u;

	if (!f || uname(&u) != 0)
		bench_fail_errno("%s", path);
	fprintf(f, "{\n  \"version\": \"%s\",\n  \"kernel\": \"%s\",\n  \"cpus\": %ld,\n",
	    FOG_VERSION, u.release, sysconf(_SC_NPROCESSORS_ONLN));
	fprintf(f, "  \"rounds\": %u,\n  \"flood_bytes\": %zu,\n  \"idle_sessions\": %d,\n", rounds,
	    (size_t)FLOOD_MIB << 20, IDLE_SESSIONS);
	fprintf(f, "  \"results\": [");
	write_results(f, all, n);
	fprintf(f, "\n  ]\n}\n");
	if (fclose(f) != 0)
		bench_fail_errno("%s", path);
}
