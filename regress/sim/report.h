/* SPDX-License-Identifier: MIT */
/* What was found: text by section, in Markdown, and the bounds with whether they are met. */
#ifndef FOG_SIM_REPORT_H
#define FOG_SIM_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define REPORT_BOUNDS_MAX 64
#define REPORT_CELL_BYTES 96

struct report_bound {
	char what[REPORT_CELL_BYTES], found[REPORT_CELL_BYTES], limit[REPORT_CELL_BYTES];
	bool is_met;
};

struct report {
	char *text; /* of all sections */
	size_t text_len;
	FILE *out; /* into text */
	struct report_bound bounds[REPORT_BOUNDS_MAX];
	size_t n_bounds;
};

void report_init(struct report *r);
void report_fini(struct report *r);
void report_section(struct report *r, const char *title);
void report_line(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Names the bound that was tried last: what is printf's. */
void report_bound(struct report *r, bool is_met, const char *what, const char *limit,
    const char *found, ...) __attribute__((format(printf, 5, 6)));
/* All of it. True when every bound is met. */
bool report_print(struct report *r, FILE *out, const char *command);

#endif
