/* SPDX-License-Identifier: MIT */
/*
 * Where a session goes: a pure function from the decision of policy, the hint and the nodes to an
 * order of candidates, each with its reasons, and the choice (DESIGN 4). No I/O and no clock in it.
 */
#ifndef PLACERD_PLACE_H
#define PLACERD_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/session.h"
#include "placerd/policy.h"

#define PLACE_REASON_BYTES 65 /* fits what all the reasons of one candidate can come to */

/* R(NAME, code): appended to, never reordered; the codes are public (placement_reason). */
#define PLACE_REASONS(R) \
	R(LOCAL_ONLY, "local-only")               /* there is one node */ \
	R(FOG_FIRST, "fog-first")                 /* fit, and in the fog */ \
	R(CLOUD_FALLBACK, "cloud-fallback")       /* fit, and no fog node is */ \
	R(HINT_HONOURED, "hint-honoured")         /* fit, and the one hinted at */ \
	R(HINT_UNKNOWN_NODE, "hint-unknown-node") /* the hint names none of the nodes */ \
	R(HINT_NOT_FIT, "hint-not-fit")           /* the node hinted at is not fit */ \
	R(UNHEALTHY, "unhealthy") \
	R(NO_CAPACITY, "no-capacity")

#define PLACE_REASON_ENUM(name, code) PLACE_##name,
enum place_reason { PLACE_REASONS(PLACE_REASON_ENUM) PLACE_REASON_COUNT };

struct place_node {
	struct view name; /* unique in the table */
	struct view region;
	enum node_tier tier;
	bool healthy;
	uint32_t capacity; /* sessions it can hold */
	uint32_t load;     /* sessions it holds or is making */
};

struct place_candidate {
	const struct place_node *node; /* borrowed from the table */
	bool fit;                      /* no constraint is against it */
	uint32_t reasons;              /* 1u << enum place_reason */
};

/*
 * Orders all n nodes into candidates (the caller's, room for n): the fit ones first, and of those
 * the one hinted at, then fog before cloud, then the lesser share of capacity in use, then by name.
 * hint is the name of a node, empty for none; it is a wish and excludes nobody. Returns 0 when
 * candidates[0] is the choice; -FOG_E_NO_NODE when none is fit; -FOG_E_DENIED, with no
 * candidates, when policy has not allowed the request.
 */
int place_choose(const struct policy_decision *decision, struct view hint,
    const struct place_node *nodes, size_t n, struct place_candidate *candidates);

/* The candidate's codes, joined by commas. */
void place_format_reasons(uint32_t reasons, char out[PLACE_REASON_BYTES]);

#endif
