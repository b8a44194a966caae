/* SPDX-License-Identifier: MIT */
/*
 * What the choice holds on to (place.h: current): a subject's home, which is the node that was chosen
 * for them when nothing stood in the way of the best; or, while home is full, drained or gone, where
 * they were last. So whoever had to go further comes back when home can have them again, and is not
 * kept away by the hysteresis that holds them against jitter. Pure.
 */
#ifndef PLACERD_HOLD_H
#define PLACERD_HOLD_H

#include "placerd/place.h"

#define HOLD_NONE SIZE_MAX

struct hold {
	size_t home, last; /* index in the table, or HOLD_NONE */
};

/* The node that is held on to for this request, or HOLD_NONE. */
size_t hold_current(const struct hold *h, const struct place_request *request,
    const struct place_node *nodes);

/* When nodes[chosen] has the session, by no hint. What failed on the way has has_failed set. */
struct hold hold_after(const struct hold *h, const struct place_request *request,
    const struct place_node *nodes, size_t chosen);

#endif
