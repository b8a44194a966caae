/* SPDX-License-Identifier: MIT */
/* Numbers collected over rounds, and what is said of them. */
#ifndef FOG_BENCH_STATS_H
#define FOG_BENCH_STATS_H

#include <stddef.h>

#define SAMPLES_MAX 65536

/* All zero: empty. */
struct samples {
	double *v;
	size_t n, room;
};

void samples_add(struct samples *s, double v); /* beyond SAMPLES_MAX: fails */
void samples_free(struct samples *s);
/* The value at fraction 0..1 of the sorted samples (nearest rank; 0.5 of an even number: the mean
 * of the middle two). s is not empty. */
double samples_at(const struct samples *s, double fraction);
/* of[i] / by[i], as many as both have. out is empty before. */
void samples_ratio(const struct samples *of, const struct samples *by, struct samples *out);
/* of[i] - from[i], likewise. */
void samples_difference(const struct samples *of, const struct samples *from, struct samples *out);

#endif
