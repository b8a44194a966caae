/* SPDX-License-Identifier: MIT */
/*
 * Whether a session is in use, by looks at it on one clock. It is in use when something was typed
 * since the last look, or when a job has the terminal at this look or had it at the last. So it
 * ends never sooner than its timeout after the last use and at most a step later, and typing costs
 * nothing. Pure.
 */
#ifndef FOG_HOLDER_IDLE_H
#define FOG_HOLDER_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#define IDLE_STEP_MIN_MS 1000
#define IDLE_STEP_MAX_MS 60000

struct idle {
	uint64_t timeout_ms; /* 0: it never ends for this */
	uint64_t step_ms;    /* between two looks; from the warning to the end */
	uint64_t used_ms;    /* the last look at which it was in use */
	uint64_t input_next; /* at the last look */
	bool had_job;        /* at the last look */
	bool is_warned;
};

enum idle_verdict { IDLE_GO_ON, IDLE_WARN, IDLE_END };

/* The step is a tenth of the timeout within the bounds above, and at most half of it. */
void idle_init(struct idle *i, uint32_t timeout_seconds, uint64_t now_ms);
/* In use now, by other than typing: a new driver, an extension. */
void idle_reset(struct idle *i, uint64_t now_ms);
/*
 * One look, when the timeout is not 0. IDLE_WARN comes once until the session is in use again.
 * *wait_ms is the time to the next look; of IDLE_WARN, to the end.
 */
enum idle_verdict idle_look(struct idle *i, uint64_t now_ms, uint64_t input_next, bool has_job,
    uint64_t *wait_ms);

#endif
