/* SPDX-License-Identifier: MIT */
/*
 * How the other nodes are: who is asked when, and what follows from answers and from silence. Pure:
 * the clock is an argument, and the asking is done by whoever calls (probe.c; the simulator).
 *
 * No decision hangs on one lost probe. A node is suspect after one, and is asked again sooner; it is
 * out when FLEET_LOST_MAX in a row are lost, or FLEET_LOST_HINTED where another node has lost it too.
 * Where each twentieth probe is lost by chance that is about one wrong "out" in a million probes, and
 * ten where each tenth is; it is mended by the next answer. When a probe counts as lost follows the
 * node's answers (the mean and the mean deviation of their times, as in RFC 6298 2), within bounds, so
 * that a far or busy node is not taken for a dead one. An answer that is later than that is an answer
 * still, and is learned from.
 *
 * In a fleet of up to FLEET_SMALL nodes all are asked in turn, each again before its connection is
 * closed. In a larger one a node has others near it, the same as long as the fleet is the same: it
 * watches FLEET_WATCHED of them once a second, and as many watch it; FLEET_NEAR in all it asks often
 * enough to keep their connections open. All the others it asks in turn, one each FLEET_CALM_EVERY_MS;
 * at the full rate in its first round and for FLEET_ALARM_MS after somebody is out, or back.
 *
 * Who has lost a node twice says so in each ask and each answer, and asks those that are near at once,
 * so that they know. They look for themselves, and when they have lost it twice they do the same: so a
 * death is at every node after a few steps, each of the time it takes to lose two probes, and a word
 * about a node that lives goes no further than to those who were told. Within FLEET_DEAD_MS a dead
 * node is out at all others in fleets of up to 5,000 nodes, also where eight die at once and each
 * twentieth probe is lost by chance (regress/unit/test_fleet.c, docs/placement-figures.md: 1,000 nodes;
 * each step more is enough for some ten times as many). Where many die at once, as in a cut,
 * FLEET_URGENT_PER_SECOND bounds it: three in a second.
 *
 * What is known of a node's load in a large fleet is as old as its turn is long. So whoever is about to
 * be placed is a reason to ask those that are nearest (fleet_wanted), at a rate of its own.
 *
 * A word is a reason to ask, and no more: nobody is out by what others say. One liar moves
 * FLEET_HINTS_PER_SECOND probes; several, who name the same nodes, FLEET_URGENT_PER_SECOND.
 *
 * The cost is bounded whatever the fleet's size. An ask and being asked as often cost 1.2 to 1.5 ms of
 * CPU on a connection that is kept, and about 4 ms on a new one: eight a second of the former are 1 % of
 * a core, and those to who is near with one each FLEET_CALM_EVERY_MS are less
 * (regress/bench/probes.mjs measures it).
 */
#ifndef PLACERD_FLEET_H
#define PLACERD_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/session.h"
#include "placerd/place.h"

#define FLEET_PROBE_EVERY_MS 1000 /* one node, where the fleet is small enough */
#define FLEET_PROBES_PER_SECOND 8
#define FLEET_SMALL 64 /* nodes: up to here each is asked on a connection that is still open */
#define FLEET_CALM_EVERY_MS 2000 /* in turn, in larger ones, while nothing happens */
#define FLEET_WATCHED 3          /* in larger ones: so many are asked once a second all the same */
#define FLEET_NEAR 20            /* with them: who is told of a loss at once */
/*
 * The others of those: their connections stay open, and are not the oldest of the 64 that are kept
 * (fetcher/requests.c), among which those to nodes that are asked in turn come and go.
 */
#define FLEET_NEAR_EVERY_MS 30000
#define FLEET_ALARM_MS 10000 /* so long after the last trouble the rate is the higher one */
#define FLEET_URGENT_PER_SECOND 16
#define FLEET_HINTS_PER_SECOND 2
#define FLEET_FRESH_MS 10000       /* what is known of a node to which somebody may go next */
#define FLEET_WANTED_MAX 16        /* so many of those and one more are asked at once, */
#define FLEET_WANTED_EVERY_MS 2000 /* and one each so often in the long run */
#define FLEET_PROMISES_MS 60000    /* so long sessions that were given to a node are added up */
#define FLEET_REFUSED_MS 10000     /* so long a node that had no room is not asked for as much */
#define FLEET_LOST_MAX 6           /* in a row */
#define FLEET_LOST_HINTED 5        /* where another node has lost it too */
#define FLEET_AGAIN_MS 500         /* from one asking of a suspect to the next */
#define FLEET_AGAIN_SOON_MS 250    /* likewise at first, and where another node has lost it too */
#define FLEET_DEAD_MS 5000
#define FLEET_TIMEOUT_MIN_MS 300 /* one retransmission by TCP (RFC 6298 2.4 as Linux has it) */
#define FLEET_TIMEOUT_MAX_MS 1200
#define FLEET_ANSWER_MAX_MS 2000 /* what comes later than that is not waited for */
#define FLEET_SUSPECTS_MAX 16    /* names in one answer */

struct fleet;

/* What a node says of itself: checked by whoever read it, and bounded by its configured capacity. */
struct fleet_report {
	struct place_room load;
	bool is_ready;    /* its parts are all there */
	bool is_draining; /* it takes no new sessions */
	uint32_t version; /* of the status record */
};

/* n nodes by index, self among them; seed spreads the order of asking. NULL: no memory. */
struct fleet *fleet_new(size_t n, size_t self, uint64_t seed, uint64_t now_ms);
void fleet_free(struct fleet *f);
/*
 * The state of `from` for the nodes that go on to exist: map[i] is the index in `from` of the node
 * that is i here, SIZE_MAX for a new one.
 */
void fleet_adopt(struct fleet *f, const struct fleet *from, const size_t *map);

/*
 * Whom to ask now: its index, with how long to wait for the answer until fleet_lost is to be called;
 * SIZE_MAX: nobody yet, and *wait_ms is when to come again. A node that is being asked is not asked a
 * second time before it is lost.
 */
size_t fleet_next(struct fleet *f, uint64_t now_ms, uint32_t *wait_ms);

/*
 * What came of asking. took_ms: from the asking to the answer. One that comes after fleet_lost, up to
 * FLEET_ANSWER_MAX_MS, is to be given to fleet_heard all the same; and whatever else that node was
 * asked before it has no part in fleet_lost any more.
 */
void fleet_heard(struct fleet *f, size_t node, const struct fleet_report *report, uint32_t took_ms,
    uint64_t now_ms);
void fleet_lost(struct fleet *f, size_t node, uint64_t now_ms);
/* It could not be asked, by no fault of its own: it is asked later, and nothing follows. */
void fleet_unasked(struct fleet *f, size_t node, uint64_t now_ms);
/* Another node (by) has lost it: a reason to ask it soon, and no more. */
void fleet_hinted(struct fleet *f, size_t node, size_t by, uint64_t now_ms);

/* It has asked us, under its key: one that was lost is asked soon. */
void fleet_seen(struct fleet *f, size_t node, uint64_t now_ms);

/*
 * Somebody may be placed there next: it is asked soon where what is known of it is older than
 * FLEET_FRESH_MS, as far as the rate allows.
 */
void fleet_wanted(struct fleet *f, size_t node, uint64_t now_ms);

/* A session was given to it: counted until it is heard of again, which is wanted. */
void fleet_promise(struct fleet *f, size_t node, const struct place_room *needs, uint64_t now_ms);
/*
 * It had no room for that, and is asked what it has; and whether it is to be expected that it has none
 * for these until it has said so. Others may fit.
 */
void fleet_refused(struct fleet *f, size_t node, const struct place_room *needs, uint64_t now_ms);
bool fleet_would_refuse(const struct fleet *f, size_t node, const struct place_room *needs,
    uint64_t now_ms);

/* By this node's admin: no new sessions there from here. Outlives restarts in nodes' state file. */
void fleet_cordon(struct fleet *f, size_t node, bool cordoned);
bool fleet_is_cordoned(const struct fleet *f, size_t node);

/*
 * As it counts for placement. A node that is not ready counts as down. What was heard too long ago,
 * since this node cannot ask, is not known any more: NODE_UNKNOWN.
 */
enum node_state fleet_state(const struct fleet *f, size_t node, uint64_t now_ms);
struct place_room fleet_load(const struct fleet *f, size_t node);
/* Since it was last heard of, ms; UINT64_MAX: never. And the mean time of its answers. */
uint64_t fleet_silent_ms(const struct fleet *f, size_t node, uint64_t now_ms);
uint32_t fleet_mean_ms(const struct fleet *f, size_t node);
/* Those that this node has lost lately, the newest first, at most FLEET_SUSPECTS_MAX. How many. */
size_t fleet_suspects(const struct fleet *f, size_t out[static FLEET_SUSPECTS_MAX]);
/* A change of state since the last call, one at a time: for the log. False: none. */
bool fleet_take_change(struct fleet *f, size_t *node, enum node_state *was, enum node_state *is);

#endif
