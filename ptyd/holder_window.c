/* SPDX-License-Identifier: MIT */
/* Back-pressure: see holder_window.h. */
#include "ptyd/holder_window.h"

static uint64_t
lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

size_t
window_room(struct window *w, bool has_client, bool is_ending, uint64_t lag_bytes)
{
	uint64_t high = lower(WINDOW_BYTES, w->ring_bytes / 2);

	if (!has_client) {
		w->is_paused = false;
		return GATHER_BYTES;
	}
	if (lag_bytes >= w->ring_bytes)
		return 0;
	if (!is_ending) {
		/* Resumes at half, so that one frame less does not mean one read more. */
		w->is_paused = lag_bytes >= (w->is_paused ? high / 2 : high);
		if (w->is_paused)
			return 0;
	}
	return (size_t)lower(GATHER_BYTES, w->ring_bytes - lag_bytes);
}
