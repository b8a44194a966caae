/* SPDX-License-Identifier: MIT */
/* Days of a fleet: what happens to its nodes, the requests to it, and what came of them. */
#ifndef FOG_SIM_DAYS_H
#define FOG_SIM_DAYS_H

#include "regress/sim/events.h"
#include "regress/sim/prng.h"
#include "regress/sim/sim.h"
#include "regress/sim/world.h"

/* C(NAME, text): why a request was refused: the first step that nobody passes. */
#define DAYS_CAUSES(C) \
	C(POLICY, "no node of that region, labels and trust") \
	C(HEALTH, "those are all unreachable or draining") \
	C(FULL, "those are all full") \
	C(TRIED, "those that were left have failed") \
	C(LATE, "the deadline of the tries has passed")
#define DAYS_CAUSE_ENUM(name, text) CAUSE_##name,
enum days_cause { DAYS_CAUSES(DAYS_CAUSE_ENUM) CAUSES };

/* From simulated_hours to used_ppm_peak. */
#define DAYS_COUNTS \
	((offsetof(struct days_result, used_ppm_peak) - \
	     offsetof(struct days_result, simulated_hours)) / \
	    sizeof(uint64_t))
#define RATIO_TOP 1000 /* of a latency to the best, in hundredths; the last counts all above */

struct days_result {
	uint32_t nodes;
	uint64_t simulated_hours;
	uint64_t requests, decisions, broken, served, fog;
	uint64_t refused[CAUSES];
	uint64_t tries_dead, tries_full;   /* nodes that were tried and did not take it */
	uint64_t returns;                  /* served, and where they were last was known */
	uint64_t moves_free, moves_forced; /* it would have done; it would not */
	uint64_t judged;                   /* whose latency was held against the best */
	uint64_t near_class, near_any;     /* within 1.2 of the best of its class; of any node */
	uint64_t judged_free,
	    near_free;              /* likewise of its class, of profiles that demand only room */
	uint64_t full_with_room;    /* refused as full although a permitted node had room */
	uint64_t full_free_ppm_sum; /* of permitted nodes' room, when refused as full */
	uint64_t deaths, drains, cuts, lost_sessions;
	uint64_t used_ppm_peak;        /* of all seats */
	uint32_t ratio[RATIO_TOP + 1]; /* to the best of its class */
	char wrong[120];               /* the first broken rule */
};
_Static_assert(sizeof(struct days_result) <= JOB_RESULT_BYTES, "a result has its room");

struct days {
	struct world *w;
	struct prng r;
	struct events events;
	uint64_t now_ms, heard_ms; /* reports are in up to then */
	uint32_t next_report;      /* whose is next */
	uint32_t background;       /* per mille of the load that is not simulated one by one */
	bool guesses;              /* see struct effort */
	struct days_result *out;
};

/* weather.c: nodes die, heal, drain, are cut off and heard of. */
void weather_begin(struct days *d);
void weather_move(struct days *d, uint64_t to_ms);            /* all that happens until then */
uint32_t weather_demand(const struct days *d, uint32_t town); /* of that hour, per mille */
/* What is really in use, and whether that much more fits. */
void weather_ask(struct days *d, uint32_t entry); /* for the loads of those that are near it */
struct place_room weather_load(const struct days *d, uint32_t node);
bool weather_takes(const struct days *d, uint32_t node, const struct place_room *needs);
/* A session, begun now. */
void weather_occupy(struct days *d, uint32_t node, const struct place_room *needs, uint64_t ms);

/* request.c: one request, from the measuring to its end. */
void request_serve(struct days *d, struct world_user *u);

#endif
