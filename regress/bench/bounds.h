/* SPDX-License-Identifier: MIT */
/* What the figures have to reach, as a table, and whether they do. */
#ifndef FOG_BENCH_BOUNDS_H
#define FOG_BENCH_BOUNDS_H

#include "regress/bench/measure.h"

enum bound_kind {
	AT_LEAST_RATIO, /* the median of the ratios of the same round */
	AT_MOST_RATIO,
	AT_MOST_VALUE,   /* the median itself */
	ONLY_DIFFERENCE, /* no bound: how much more it is, in the same round */
};

enum verdict { VERDICT_MET, VERDICT_NOT_MET, VERDICT_NOT_MEASURED, VERDICT_TOLD };

struct bound {
	enum metric metric;
	const struct terminal_ops *of, *to; /* to NULL: a value */
	enum bound_kind kind;
	double limit;
};

extern const struct bound bounds[];
extern const size_t bounds_count;

/* out: the ratios, differences or values; empty when it was not measured; samples_free() it. */
enum verdict bound_judge(const struct bound *b, const struct contender *all, size_t n,
    struct samples *out);

#endif
