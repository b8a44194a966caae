/* SPDX-License-Identifier: MIT */
/* The acknowledged window: see holder_window.h. */
#include "ptyd/holder_window.h"

#include "common/err.h"

/* Less room than this part of the window is no room: no small steps while it is full. */
#define STEP_PART 8
#define CHANGE_MAX 2 /* times, by one sample: it may have been an accident */
#define ACK_MS 50    /* a client acknowledges at latest so long after a byte (PROTOCOL 2) */

static uint64_t
lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t
higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void
window_init(struct window *w, size_t ring_bytes)
{
	/* What is on its way has to be in the ring still when the connection is lost. */
	uint32_t max = (uint32_t)lower(WINDOW_MAX_BYTES, ring_bytes / 2);

	*w = (struct window){ .bytes = (uint32_t)lower(WINDOW_START_BYTES, max), .max_bytes = max };
}

void
window_begin(struct window *w, uint64_t offset)
{
	w->has_acked = false;
	window_skip(w, offset);
}

void
window_skip(struct window *w, uint64_t offset)
{
	w->sent = w->acked = offset;
	w->has_mark = false;
}

void
window_sent(struct window *w, size_t len, uint64_t now_ms)
{
	w->sent += len;
	if (w->has_mark)
		return;
	w->has_mark = true;
	w->is_limited = false;
	w->mark = w->sent;
	w->mark_ms = now_ms;
	w->mark_flight = w->sent - w->acked;
}

static void
resize(struct window *w, uint64_t bytes)
{
	uint64_t least = lower(WINDOW_MIN_BYTES, w->max_bytes);

	w->bytes = (uint32_t)higher(least, lower(bytes, w->max_bytes));
}

/*
 * Less delay is always believed. More, of a path that got longer, only of a sample that cannot have
 * waited in a queue of ours: few bytes, or a window that does not get smaller.
 */
static void
learn_base(struct window *w, uint64_t delay_ms)
{
	if (w->base_ms == 0 || delay_ms < w->base_ms || w->mark_flight <= WINDOW_MIN_BYTES / 2 ||
	    w->bytes <= WINDOW_MIN_BYTES)
		w->base_ms = delay_ms;
}

/* mark_flight / delay_ms is what the path carries: so much of that in the delay that it should have. */
static void
learn(struct window *w, uint64_t delay_ms)
{
	bool is_small = w->mark_flight <= WINDOW_MIN_BYTES;
	uint64_t own_ms, target;

	if (w->base_ms == 0 && !is_small) {
		resize(w, WINDOW_MIN_BYTES); /* so that the next sample tells */
		return;
	}
	learn_base(w, delay_ms);
	own_ms = w->base_ms + ACK_MS;
	if (delay_ms > own_ms + WINDOW_SLACK_MS) {
		target = w->mark_flight * (own_ms + WINDOW_SLACK_MS / 2) / delay_ms;
		if (!is_small)
			resize(w, lower(higher(target, w->bytes / CHANGE_MAX), w->bytes));
	} else if (w->is_limited && delay_ms < own_ms + WINDOW_SLACK_MS / 2) {
		target = w->mark_flight * (own_ms + WINDOW_SLACK_MS) / delay_ms;
		resize(w, lower(higher(target, w->bytes), (uint64_t)w->bytes * CHANGE_MAX));
	}
}

int
window_ack(struct window *w, uint64_t offset, uint64_t now_ms)
{
	if (offset > w->sent)
		return -FOG_E_OFFSET;
	w->has_acked = true;
	w->acked = higher(w->acked, offset);
	if (w->has_mark && w->acked >= w->mark) {
		w->has_mark = false;
		learn(w, higher(now_ms - w->mark_ms, 1));
	}
	return 0;
}

static uint64_t
room(struct window *w, uint64_t used, uint64_t limit)
{
	if (used + limit / STEP_PART <= limit)
		return limit - used;
	w->is_limited = true;
	return 0;
}

size_t
window_send_room(struct window *w, uint64_t waiting_bytes)
{
	uint64_t flight = w->sent - w->acked;

	if (!w->has_acked || flight + waiting_bytes <= w->bytes)
		return waiting_bytes;
	return (size_t)room(w, flight, w->bytes);
}

size_t
window_read_room(struct window *w, uint64_t end)
{
	if (w->has_acked)
		return (size_t)room(w, end - w->acked, w->bytes);
	return (size_t)room(w, end - w->sent, lower(WINDOW_UNACKED_BYTES, w->max_bytes));
}
