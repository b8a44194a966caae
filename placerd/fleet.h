/* SPDX-License-Identifier: MIT */
/*
 * How the other nodes are: who is asked when, and what follows from answers and from silence. Pure:
 * the clock is an argument, and the asking is done by whoever calls (probe.c; the simulator).
 *
 * No decision hangs on one lost probe. A node is suspect after one, and is asked again sooner; it is
 * out when FLEET_LOST_MAX in a row are lost, or FLEET_LOST_HINTED where another node has lost it too:
 * in fleets of up to FLEET_SMALL nodes within FLEET_DEAD_MS of its death. Where each tenth probe is
 * lost by chance that is one wrong "out" in a million probes, less than one a day of a node that asks
 * eight times a second; it is mended by the next answer. When a probe counts as lost follows the
 * node's answers (the mean and the mean deviation of their times, as in RFC 6298 2), within bounds, so
 * that a far or busy node is not taken for a dead one. An answer that is later than that is an answer
 * still, and is learned from.
 *
 * The cost is bounded whatever the fleet's size: at most FLEET_PROBES_PER_SECOND. In a fleet of up to
 * FLEET_SMALL nodes each is asked again before its connection is closed, and a probe takes about 1.2
 * ms of CPU: 1 % of a core. In a larger one most probes are a new connection, of about 4.5 ms, and
 * FLEET_CALM_PER_SECOND cost as much. It is asked at the full rate in its first round, and for
 * FLEET_ALARM_MS after trouble: somebody who was there is lost three times in a row, or once after
 * another node has lost it too, or one that was out is back. Who is out for long is no trouble, nor is
 * a loss by chance.
 *
 * Each answer names whom its sender has lost, and those are asked next (FLEET_HINTS_PER_SECOND at
 * most, so that a liar moves few probes and decides nothing). So a death is seen by someone within a
 * second or two, is out there within about 5 s, and the others hear of it one from the other: where
 * no probe is lost by chance, all know after about 8 s among 100 nodes, and after about 14 s
 * among 1,000 of which eight die at once (docs/placement-figures.md).
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
#define FLEET_CALM_PER_SECOND 2 /* in larger ones, while nothing happens */
#define FLEET_ALARM_MS 10000    /* so long after the last trouble that rate is the higher one */
#define FLEET_HINTS_PER_SECOND 2
#define FLEET_LOST_MAX 6
#define FLEET_LOST_HINTED 5
#define FLEET_AGAIN_MS 500      /* from one asking of a suspect to the next */
#define FLEET_AGAIN_SOON_MS 250 /* likewise at first, and where another node has lost it too */
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
/* Another node has lost it: a reason to ask it soon, and no more. */
void fleet_hinted(struct fleet *f, size_t node, uint64_t now_ms);

/* It has asked us, under its key: one that was lost is asked soon. */
void fleet_seen(struct fleet *f, size_t node, uint64_t now_ms);

/* A session was given to it: counted until it is heard of again. */
void fleet_promise(struct fleet *f, size_t node, const struct place_room *needs);

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
