/* SPDX-License-Identifier: MIT */
/* What the choice holds on to: see hold.h. */
#include "placerd/hold.h"

#define BIT(reason) (1u << PLACE_##reason)
#define PASSING (BIT(UNHEALTHY) | BIT(DRAINING) | BIT(NO_CAPACITY) | BIT(FAILED))

size_t
hold_current(const struct hold *h, const struct place_request *request,
    const struct place_node *nodes)
{
	bool is_home_fit = h->home != HOLD_NONE && place_judge(request, &nodes[h->home]) == 0;

	return is_home_fit ? h->home : h->last;
}

struct hold
hold_after(const struct hold *h, const struct place_request *request,
    const struct place_node *nodes, size_t chosen)
{
	uint32_t against = h->home != HOLD_NONE ? place_judge(request, &nodes[h->home]) : 0;
	bool is_away = against != 0 && (against & ~PASSING) == 0;

	return (struct hold){ .home = is_away ? h->home : chosen, .last = chosen };
}
