/* SPDX-License-Identifier: MIT */
/* The results as tables for people and as JSON for machines. */
#ifndef FOG_BENCH_REPORT_H
#define FOG_BENCH_REPORT_H

#include <stddef.h>

#include "regress/bench/measure.h"

/* The figures, then the bounds. Returns how many of these are not met. */
unsigned report_print(const struct contender *all, size_t n);
/* Fails where the file cannot be written. */
void report_write_json(const char *path, const struct contender *all, size_t n,
    const struct effort *e);

#endif
