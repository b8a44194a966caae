/* SPDX-License-Identifier: MIT */
/* Samples: see stats.h. */
#include "regress/sim/stats.h"

#include <stdlib.h>

#include "regress/sim/sim.h"

#define ROOM_AT_FIRST 1024

void
samples_add(struct samples *s, uint64_t v)
{
	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : ROOM_AT_FIRST;
		s->v = sim_resize(s->v, s->room, sizeof(*s->v));
	}
	s->v[s->n++] = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

void
samples_free(struct samples *s)
{
	free(s->v);
	*s = (struct samples){ 0 };
}

static int
compare(const void *left, const void *right)
{
	const uint32_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

static uint32_t
sorted_at(const struct samples *s, unsigned per_mille)
{
	size_t rank = (s->n * per_mille + 999) / 1000;

	if (s->n == 0)
		return 0;
	return s->v[rank == 0 ? 0 : rank - 1];
}

static void
sort(struct samples *s)
{
	if (s->n > 0)
		qsort(s->v, s->n, sizeof(*s->v), compare);
}

uint32_t
samples_at(struct samples *s, unsigned per_mille)
{
	sort(s);
	return sorted_at(s, per_mille);
}

struct summary
samples_summary(struct samples *s)
{
	sort(s);
	return (struct summary){ .n = s->n,
		.p50 = sorted_at(s, 500),
		.p99 = sorted_at(s, 990),
		.max = sorted_at(s, 1000) };
}

uint64_t
per_million_of(uint64_t part, uint64_t whole)
{
	return whole ? (uint64_t)((unsigned __int128)part * 1000000 / whole) : 0;
}
