/* SPDX-License-Identifier: MIT */
/*
 * What a node says of itself to the others, as the status of its token (common/nodetoken.h):
 *   {"v":1,"version":"0.1.0","ready":true,"draining":false,"sessions":12,"cpu_milli":4000,
 *    "memory_bytes":8589934592,"suspects":["fog-7"]}
 * Members that are not known are passed over, so that a newer node can say more; known ones are read
 * strictly. Its suspects it says with an ask too, alone. What it says is its own word and decides nothing against nodes.yaml (S37).
 */
#ifndef PLACERD_NODESTATUS_H
#define PLACERD_NODESTATUS_H

#include <stdbool.h>

#include "placerd/fleet.h"

#define NODESTATUS_V 1 /* of the object: another one is not read */
#define NODESTATUS_VERSION_MAX_BYTES 32
#define NODESTATUS_NAME_MAX_BYTES 64

struct json_t;

/* Nodes that one has lost lately. */
struct suspects {
	size_t n;
	char names[FLEET_SUSPECTS_MAX][NODESTATUS_NAME_MAX_BYTES + 1];
};

struct nodestatus {
	char version[NODESTATUS_VERSION_MAX_BYTES + 1];
	bool is_ready, is_draining;
	struct place_room load; /* promised to its living sessions */
	struct suspects suspects;
};

/* The caller's. NULL: no memory, or a text that is not UTF-8. */
struct json_t *nodestatus_to_json(const struct nodestatus *s);
/* 0; or -1 with the member that is wrong in *why, static text, and *out untouched. */
int nodestatus_from_json(const struct json_t *obj, struct nodestatus *out, const char **why);

/* Likewise, of the suspects alone; from_json: 0; or -1 and *out is of no use. */
struct json_t *nodestatus_suspects_to_json(const struct suspects *s);
int nodestatus_suspects_from_json(const struct json_t *list, struct suspects *out);

#endif
