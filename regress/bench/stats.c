/* SPDX-License-Identifier: MIT */
/* Samples: see stats.h. */
#include "regress/bench/stats.h"

#include <stdlib.h>
#include <string.h>

#include "regress/bench/bench.h"

void
samples_add(struct samples *s, double v)
{
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 64;
		s->v = reallocarray(s->v, s->room, sizeof(*s->v));
	}
	if (!s->v || s->n == SAMPLES_MAX)
		bench_fail("no room for a sample");
	s->v[s->n++] = v;
}

void
samples_free(struct samples *s)
{
	free(s->v);
	*s = (struct samples){ 0 };
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
pick(const double *sorted, size_t n, double fraction)
{
	size_t rank = (size_t)(fraction * (double)n);

	if (rank >= n)
		rank = n - 1;
	if (fraction == 0.5 && n % 2 == 0)
		return (sorted[rank - 1] + sorted[rank]) / 2;
	return sorted[rank];
}

double
samples_at(const struct samples *s, double fraction)
{
	double *sorted = calloc(s->n + 1, sizeof(*sorted));
	double found;

	if (!sorted || s->n == 0)
		bench_fail("nothing was measured");
	memcpy(sorted, s->v, s->n * sizeof(*sorted));
	qsort(sorted, s->n, sizeof(*sorted), compare);
	found = pick(sorted, s->n, fraction);
	free(sorted);
	return found;
}

void
samples_ratio(const struct samples *of, const struct samples *by, struct samples *out)
{
	for (size_t i = 0; i < of->n && i < by->n; i++) {
		if (by->v[i] > 0)
			samples_add(out, of->v[i] / by->v[i]);
	}
}

void
samples_difference(const struct samples *of, const struct samples *from, struct samples *out)
{
	for (size_t i = 0; i < of->n && i < from->n; i++)
		samples_add(out, of->v[i] - from->v[i]);
}
