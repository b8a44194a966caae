/* SPDX-License-Identifier: MIT */
/* What is going to happen, the earliest first; of the same moment, the first that was added. */
#ifndef FOG_SIM_EVENTS_H
#define FOG_SIM_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event {
	uint64_t at_ms, number;
	uint32_t kind, node;
	uint32_t life; /* of the node, when it was added */
	uint32_t cpu_milli;
	uint64_t memory_bytes;
};

/* All zero: none. */
struct events {
	struct event *heap;
	size_t n, room;
	uint64_t added;
};

void events_add(struct events *e, const struct event *event);
/* The next, if it is due; false: none is. */
bool events_take(struct events *e, uint64_t now_ms, struct event *out);
void events_free(struct events *e);

#endif
