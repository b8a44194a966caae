/* SPDX-License-Identifier: MIT */
/* Whole numbers that are collected, and what is said of them. */
#ifndef FOG_SIM_STATS_H
#define FOG_SIM_STATS_H

#include <stddef.h>
#include <stdint.h>

/* All zero: empty. */
struct samples {
	uint32_t *v;
	size_t n, room;
};

void samples_add(struct samples *s, uint64_t v); /* above UINT32_MAX: that */
void samples_free(struct samples *s);
/* The value at so many per thousand of the sorted samples (nearest rank); 0 of none. Sorts. */
uint32_t samples_at(struct samples *s, unsigned per_mille);

/* What is left of samples. */
struct summary {
	uint64_t n;
	uint32_t p50, p99, max;
};

struct summary samples_summary(struct samples *s); /* sorts */

/* part / whole in parts per million; 0 of nothing. */
uint64_t per_million_of(uint64_t part, uint64_t whole);

#endif
