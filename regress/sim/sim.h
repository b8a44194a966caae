/* SPDX-License-Identifier: MIT */
/*
 * The simulator of placement: the very functions of placerd on made-up fleets and people. It is cut
 * into parts, each a row of sim_parts; a part is cut into jobs, which run in several processes and
 * leave their results in shared memory; then each part tells what came of its jobs.
 */
#ifndef FOG_SIM_SIM_H
#define FOG_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "regress/sim/report.h"

#define SIZES 5 /* of fleets: 10, 100, … 100,000 nodes */
extern const uint32_t sim_sizes[SIZES];

/* How much is done: the long run, the short one. */
struct effort {
	const char *name;
	uint64_t seed;
	uint32_t fleets;          /* small random ones, in all */
	uint32_t fleet_jobs;      /* into which they are cut */
	uint32_t requests[SIZES]; /* by size of the fleet; 0: that size is left out */
	uint32_t worlds[SIZES];   /* fleets of that size, which share those requests */
	uint32_t people[SIZES];   /* who stay where they are, and load the page */
	uint32_t speed_visits;    /* candidates looked at for each size when time is taken */
	uint32_t speed_sizes;     /* how many of the sizes */
	uint32_t detector_nodes;  /* the largest fleet in which everybody asks everybody */
	uint32_t detector_deaths;
	bool guesses;             /* unmeasured nodes, by the entry's own probes of them */
	uint32_t detector_calm_s; /* without a death, for wrong alarms */
	uint32_t slack;           /* by which bounds on time are multiplied, in percent of them */
};

#define JOB_RESULT_BYTES 8192

struct sim_part {
	const char *name;
	bool is_alone; /* it takes time, so that nothing else runs meanwhile */
	uint32_t (*jobs)(const struct effort *e);
	void (*run)(const struct effort *e, uint32_t job, void *result);
	/* results[job] are at results + job * JOB_RESULT_BYTES. */
	void (*tell)(const struct effort *e, const unsigned char *results, uint32_t jobs,
	    struct report *r);
};

extern const struct sim_part part_speed, part_fleets, part_days, part_people, part_detector;

/* Memory, or the end of the program. */
void *sim_zeroed(size_t n, size_t size);
void *sim_resize(void *p, size_t n, size_t size);
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define RESULT_OF(type, results, job) \
	((const type *)(const void *)((results) + (size_t)(job)*JOB_RESULT_BYTES))

#endif
