/* SPDX-License-Identifier: MIT */
/* A flood without end, to measure something else beside. */
#ifndef FOG_BENCH_FLOOD_H
#define FOG_BENCH_FLOOD_H

#include <stddef.h>

#include "regress/bench/terminal.h"

/* In a quiet terminal: `yes` with lines of 63 letters; after a ctrl-C the prompt is "PROMPT:". */
void flood_start(struct terminal *t);
/* Reads at least so many bytes of it. */
void flood_read(struct terminal *t, size_t bytes);

#endif
