/* SPDX-License-Identifier: MIT */
/*
 * A fleet and the people who use it, on a plane: regions, towns in them, nodes in the towns and, of
 * the cloud, at a few sites; the true time between a person and a node; policy's profiles; and what
 * the two sides of a partition know of each node. Times are in microseconds where they are true, and
 * in whole milliseconds where a client says them.
 */
#ifndef FOG_SIM_WORLD_H
#define FOG_SIM_WORLD_H

#include "placerd/fleet.h"
#include "placerd/hold.h"
#include "placerd/place.h"
#include "regress/sim/prng.h"

#define TOWNS 48
#define REGIONS_MAX 24
#define PROFILES 32
#define SAID_MAX 64     /* latencies of one request (docs/openapi.json) */
#define MEASURED_MAX 12 /* nodes by one page, and so many probes of each: web/latency.ts */
#define PROBES 5
#define WANTED_MAX FLEET_WANTED_MAX
#define SHOWN_MAX 32 /* by GET /v1/nodes, the node itself among them: placerd/fleetlist.h */
#define NEAR_KEPT 64 /* of which those are the first that are up */
#define NAME_BYTES 20

struct site { /* a town, or a region of the cloud */
	int32_t x_km, y_km;
	uint32_t region;
	uint32_t hour; /* of its clock, after that of x 0 */
};

struct world_node {
	uint32_t town;
	uint32_t base_us;
	struct place_room used;        /* by the sessions that were placed here */
	uint32_t background_per_mille; /* of its capacity: by others', which are not simulated */
	uint32_t life;                 /* rises with each death */
	uint64_t heard_ms;             /* of what is in the tables */
	uint64_t wanted_ms;            /* as an entry: of the rate at which it asks for loads */
	bool says_no_load;             /* it lies: 0 */
	bool is_dead, is_known_dead, is_suspect, is_draining;
};

struct world_user {
	uint32_t town;
	uint32_t access_us; /* their last mile, the same to all nodes */
	uint32_t profile;
	struct hold hold;
	bool lies; /* latencies out of the air */
};

struct world_profile {
	struct view regions[3];
	size_t n_regions;
	uint64_t labels;
	enum node_trust min_trust;
	struct place_room needs;
};

#define SIDES 2

struct world {
	uint32_t n, n_users, n_regions;
	struct world_node *nodes;
	struct world_user *users;
	/* As each side of a partition knows them; the same while there is none. */
	struct place_node *seen[SIDES];
	struct site towns[TOWNS];
	uint32_t town_us[TOWNS][TOWNS]; /* round trip on the way between */
	struct world_profile profiles[PROFILES];
	uint32_t *by_town, town_from[TOWNS + 1]; /* node indices, by town */
	uint8_t town_order[TOWNS][TOWNS];        /* the nearest first */
	uint32_t **near;                         /* of each node, when somebody has asked there */
	char (*names)[NAME_BYTES];
	char regions[REGIONS_MAX][NAME_BYTES];
	bool is_cut, is_cut_known; /* in two sides */
	uint8_t side[REGIONS_MAX]; /* of a region, while it is */
};

/* What a client says of one node. */
struct measure {
	uint32_t node, ms;
};

struct world *world_new(uint32_t n, uint32_t n_users, struct prng *r);
void world_free(struct world *w);

uint32_t world_region(const struct world *w, uint32_t node);
/* The node that somebody there comes to: one in their town, or as near as there is a living one. */
uint32_t world_entry(const struct world *w, uint32_t town, struct prng *r);
uint32_t world_side(const struct world *w, uint32_t node); /* of a partition */
/* Whether `from` can pass a request on to the node: it lives, and is on the same side. */
bool world_reaches(const struct world *w, uint32_t from, uint32_t node);
/* True round trip, of a person and between nodes. */
uint32_t world_true_us(const struct world *w, const struct world_user *u, uint32_t node);
uint32_t world_between_us(const struct world *w, uint32_t a, uint32_t b);
/*
 * What a page measures that came from `entry`: that node, then of those that are up and nearest to it
 * the fog before the cloud. Each the least of PROBES, each with ±30 % of jitter; of a node that is
 * three times as far as another after two, of two. How many.
 */
uint32_t world_measure(struct world *w, const struct world_user *u, uint32_t entry, struct prng *r,
    struct measure out[static SAID_MAX]);
/* Whom the entry asks for their load when it is asked for the list: as many as there are. */
uint32_t world_wanted(struct world *w, uint32_t entry, uint32_t out[static WANTED_MAX]);
/* The same, out of the air. */
uint32_t world_measure_falsely(const struct world *w, struct prng *r,
    struct measure out[static SAID_MAX]);
/* Of those that have none yet, what the entry makes of its own probes: distance.h. */
void world_guess(const struct world *w, uint32_t entry, struct prng *r, struct place_node *nodes);
/* Policy demands nothing but room for them. */
bool world_is_free(const struct world *w, const struct world_user *u);
void world_set_latencies(struct place_node *nodes, const struct measure *m, uint32_t n);
void world_clear_latencies(const struct world *w, struct place_node *nodes);

/* Brings what is known of the node's state to both sides. */
void world_tell_state(struct world *w, uint32_t node);
void world_request(const struct world *w, const struct world_user *u, struct place_request *out);
/* What that choice holds on to, by what these nodes are known to be; before each. */
void world_hold(const struct world_user *u, const struct place_node *nodes,
    struct place_request *request);

#endif
