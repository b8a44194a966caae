/* SPDX-License-Identifier: MIT */
/* The results as a table for people and as JSON for machines. */
#ifndef FOG_BENCH_REPORT_H
#define FOG_BENCH_REPORT_H

#include <stddef.h>

#include "regress/bench/measure.h"

/* One per terminal; the first is the floor that ratios refer to, round by round. */
struct contender {
	const struct terminal_ops *ops;
	struct results results;
};

void report_print(const struct contender *all, size_t n);
/* Fails where the file cannot be written. */
void report_write_json(const char *path, const struct contender *all, size_t n, unsigned rounds);

#endif
