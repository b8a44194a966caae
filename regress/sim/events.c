/* SPDX-License-Identifier: MIT */
/* A binary heap: see events.h. */
#include "regress/sim/events.h"

#include <stdlib.h>

#include "regress/sim/sim.h"

#define ROOM_AT_FIRST 256

static bool
is_before(const struct event *a, const struct event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->number < b->number;
}

void
events_add(struct events *e, const struct event *event)
{
	struct event added = *event;
	size_t at = e->n;

	if (e->n == e->room) {
		e->room = e->room ? e->room * 2 : ROOM_AT_FIRST;
		e->heap = sim_resize(e->heap, e->room, sizeof(*e->heap));
	}
	e->n++;
	added.number = e->added++;
	for (; at > 0 && is_before(&added, &e->heap[(at - 1) / 2]); at = (at - 1) / 2)
		e->heap[at] = e->heap[(at - 1) / 2];
	e->heap[at] = added;
}

bool
events_take(struct events *e, uint64_t now_ms, struct event *out)
{
	struct event last;
	size_t at = 0, child;

	if (e->n == 0 || e->heap[0].at_ms > now_ms)
		return false;
	*out = e->heap[0];
	last = e->heap[--e->n];
	while ((child = 2 * at + 1) < e->n) {
		if (child + 1 < e->n && is_before(&e->heap[child + 1], &e->heap[child]))
			child++;
		if (!is_before(&e->heap[child], &last))
			break;
		e->heap[at] = e->heap[child];
		at = child;
	}
	e->heap[at] = last;
	return true;
}

void
events_free(struct events *e)
{
	free(e->heap);
	*e = (struct events){ 0 };
}
