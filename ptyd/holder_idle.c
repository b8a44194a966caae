/* SPDX-License-Identifier: MIT */
/* Idle time: see holder_idle.h. */
#include "ptyd/holder_idle.h"

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t
step_of(uint64_t timeout_ms)
{
	uint64_t step_ms = least(timeout_ms / 10, IDLE_STEP_MAX_MS);

	if (step_ms < IDLE_STEP_MIN_MS)
		step_ms = IDLE_STEP_MIN_MS;
	return least(step_ms, timeout_ms / 2);
}

void
idle_init(struct idle *i, uint32_t timeout_seconds, uint64_t now_ms)
{
	*i = (struct idle){ .timeout_ms = (uint64_t)timeout_seconds * 1000, .used_ms = now_ms };
	i->step_ms = step_of(i->timeout_ms);
}

void
idle_reset(struct idle *i, uint64_t now_ms)
{
	i->used_ms = now_ms;
	i->is_warned = false;
}

enum idle_verdict
idle_look(struct idle *i, uint64_t now_ms, uint64_t input_next, bool has_job, uint64_t *wait_ms)
{
	uint64_t unused_ms, left_ms;
	bool was_warned;

	if (has_job || i->had_job || input_next != i->input_next)
		idle_reset(i, now_ms);
	i->had_job = has_job;
	i->input_next = input_next;
	unused_ms = now_ms - i->used_ms;
	if (unused_ms >= i->timeout_ms)
		return IDLE_END;
	left_ms = i->timeout_ms - unused_ms;
	if (left_ms > i->step_ms) {
		*wait_ms = least(i->step_ms, left_ms - i->step_ms);
		return IDLE_GO_ON;
	}
	*wait_ms = left_ms;
	was_warned = i->is_warned;
	i->is_warned = true;
	return was_warned ? IDLE_GO_ON : IDLE_WARN;
}
