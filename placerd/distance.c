/* SPDX-License-Identifier: MIT */
/* The guess of a latency: see distance.h. */
#include "placerd/distance.h"

#include "placerd/place.h"

#define GUESS_MAX_MS 60000 /* as of a measure: LATENCY_MAX_MS */

uint32_t
distance_guess(uint32_t own_ms, uint32_t mean_ms)
{
	uint64_t sum = (uint64_t)own_ms + mean_ms;

	if (own_ms == PLACE_LATENCY_NONE || mean_ms == 0)
		return PLACE_LATENCY_NONE;
	return sum < GUESS_MAX_MS ? (uint32_t)sum : GUESS_MAX_MS;
}
