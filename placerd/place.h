/* SPDX-License-Identifier: MIT */
/*
 * Where a session goes: a pure function from what was asked, what policy demands and the nodes as
 * they are known to an order of candidates, each with its reasons, and the choice (DESIGN 4). No I/O,
 * no clock and no memory in it: the same inputs give the same answer, whatever their order.
 *
 * Constraints come first and are never traded: region and data labels (residency), trust, health,
 * drain, capacity. Nothing that a client or a node says relaxes one (S37). Among what is left: the
 * hint, fog before cloud, of the cloud the fallback region first, then latency as the client measured
 * it, with hysteresis, then load.
 */
#ifndef PLACERD_PLACE_H
#define PLACERD_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/session.h"

#define PLACE_LABELS_MAX 63 /* data labels of a fleet: bits of a mask, but for the next one */
#define PLACE_LABEL_NOBODY_HAS (UINT64_C(1) << 63) /* needed, and of no node of the fleet */
#define PLACE_KEPT 8          /* candidates that are told, best first: as many as are ever tried */
#define PLACE_REASON_BYTES 65 /* fits what the reasons of one candidate can come to */
#define PLACE_LATENCY_NONE UINT32_MAX

/*
 * R(NAME, code): the codes are public (placement_reason, audit, fogctl) and only appended to. First
 * why a candidate was preferred or what became of the hint, then what is against it.
 */
#define PLACE_REASONS(R) \
	R(LOCAL_ONLY, "local-only")               /* there is one node */ \
	R(FOG_FIRST, "fog-first")                 /* fit, and in the fog */ \
	R(CLOUD_FALLBACK, "cloud-fallback")       /* fit, and no fog node is */ \
	R(HINT_HONOURED, "hint-honoured")         /* fit, and the one hinted at */ \
	R(HINT_UNKNOWN_NODE, "hint-unknown-node") /* the hint names none of the nodes */ \
	R(HINT_NOT_FIT, "hint-not-fit")           /* the node hinted at is not fit */ \
	R(NEAREST, "nearest")                     /* of its tier, by the client's measure */ \
	R(STAYED, "stayed") /* this subject was there; another is better by too little to move */ \
	R(NEXT_BEST, "next-best") /* a better one was tried and has failed */ \
	R(REGION, "region-not-allowed") \
	R(LABELS, "data-label-missing") \
	R(TRUST, "trust-too-low") \
	R(UNHEALTHY, "unhealthy") \
	R(DRAINING, "draining") \
	R(NO_CAPACITY, "no-capacity") \
	R(FAILED, "failed") /* tried for this request, and it has failed */

#define PLACE_REASON_ENUM(name, code) PLACE_##name,
enum place_reason { PLACE_REASONS(PLACE_REASON_ENUM) PLACE_REASON_COUNT };
#define PLACE_CONSTRAINTS_FROM PLACE_REGION /* this and later ones exclude */

/*
 * What a node has, or a session takes. A node of no sessions holds none; cpu or memory of 0: it does
 * not say how much, and that is not looked at.
 */
struct place_room {
	uint32_t sessions;
	uint64_t cpu_milli;
	uint64_t memory_bytes;
};

struct place_node {
	struct view name; /* unique in the table */
	struct view region;
	enum node_tier tier;
	enum node_trust trust;
	uint64_t labels; /* bits, as in the request */
	enum node_state state;
	bool has_failed;            /* tried for this request already */
	struct place_room capacity; /* as configured, never as the node says */
	struct place_room load;     /* in use, or promised since we last heard of it */
	uint32_t latency_ms;        /* of the client; PLACE_LATENCY_NONE: it has not measured it */
};

struct place_request {
	struct view hint;           /* name of a node; empty: none. A wish, which excludes nobody */
	struct view current;        /* what is held on to for this subject (hold.h); empty: none */
	const struct view *regions; /* allowed ones; none: all are */
	size_t n_regions;
	uint64_t labels; /* a node must have all of them */
	enum node_trust min_trust;
	struct view fallback_region; /* CLOUD_FALLBACK_REGION */
	struct place_room needs;     /* sessions is 1 */
};

struct place_candidate {
	size_t node;      /* its index in the table */
	uint32_t reasons; /* 1u << enum place_reason */
};

struct place_choice {
	struct place_candidate fit[PLACE_KEPT]; /* best first; fit[0] is the choice */
	size_t n_fit;                           /* in fit */
	size_t n_fit_all, n_rejected;
	uint32_t rejected_by[PLACE_REASON_COUNT]; /* how many each constraint is against */
};

/*
 * Chooses among n nodes (any number), in time linear in n, without allocating. 0; or -FOG_E_NO_NODE
 * when none is fit: *out tells then why all the same. Where every node is rejected by capacity or
 * drain alone it is -FOG_E_FULL.
 */
int place_choose(const struct place_request *request, const struct place_node *nodes, size_t n,
    struct place_choice *out);

/*
 * What is against one node: bits of constraints, 0 when it is fit. For whoever wants the reasons of
 * each rejected candidate.
 */
uint32_t place_judge(const struct place_request *request, const struct place_node *node);

/*
 * Which of two comes first where both are fit, but for the hold on the current one: below or above 0,
 * never 0 for two names.
 */
int place_compare(const struct place_request *request, const struct place_node *a,
    const struct place_node *b);

/*
 * Whether `other` is so much better than `now`, both in ms, that it is worth a move: the one rule of
 * hysteresis. True when now is PLACE_LATENCY_NONE and other is not.
 */
bool place_is_worth_moving(uint32_t now_ms, uint32_t other_ms);

/* The codes of the bits, joined by commas; cut whole codes that do not fit. */
void place_format_reasons(uint32_t reasons, char out[PLACE_REASON_BYTES]);
const char *place_reason_code(enum place_reason reason); /* static */
/* -1: there is no such code. */
int place_find_reason(struct view code);

#endif
