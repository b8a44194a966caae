/* SPDX-License-Identifier: MIT */
/*
 * Asking the other nodes how they are, and answering them. fleet.c says whom to ask and what
 * follows; the asking is done by placerd's own fetcher, the prober (EDGE_PLACE_PROBE), which is
 * treated as broken into: it has no key, so that it can bring no answer but one that the asked node
 * has signed for this very ask. A node that lies about its name, repeats an old status, is slow or
 * sends a lot is one that has not answered.
 */
#ifndef PLACERD_PROBE_H
#define PLACERD_PROBE_H

#include <stdint.h>

#include "common/msg.h"
#include "common/nodetoken.h"
#include "placerd/fleet.h"

/*
 * As many as the detector has under way when eight nodes die at once: it asks again before an answer
 * is given up. Whoever is due when there are more waits.
 */
#define PROBE_UNDER_WAY_MAX 96
/* What the prober has over its deadline to say that it has passed. */
#define PROBE_SILENCE_MS 2000
/*
 * Signatures checked for those who ask, in all: strangers can send forged ones. Seventy of a core's
 * milliseconds in a second at most go there; the fleet asks a node 8 times a second altogether, and
 * some 40 times after a death.
 */
#define PROBE_ANSWERS_PER_SECOND 200

struct placerd;
struct probe;

/*
 * After the filter, with nodes, fleet and node_key of d in place; nodetoken_load and json_init were
 * called before it. NULL: no memory or no randomness.
 */
struct probe *probe_new(struct placerd *d);
void probe_free(struct probe *p); /* NULL is fine */
/*
 * d->nodes and d->fleet are others now; the old table of nodes may still be there or not. What is
 * under way goes on for the nodes of the same names.
 */
void probe_nodes_changed(struct placerd *d);

/* Somebody is to be asked now: after fleet_wanted and its like. */
void probe_soon(struct probe *p);

/* The prober's end of the edge has come, or gone. */
void probe_edge_up(struct probe *p);
void probe_edge_down(struct probe *p);
/* peer_ops.phase_of for its messages. */
unsigned probe_phase(const struct probe *p, uint64_t request_id);
/* 0 or -FOG_E_LIAR. */
int probe_on_part(struct probe *p, uint64_t request_id, const struct pl_fetched_part *part);
int probe_on_end(struct probe *p, uint64_t request_id, const struct pl_fetched *end);

/*
 * Another node asks: checks its token and makes the answer. 0; -FOG_E_NODE_TOKEN: not one of a node
 * of the fleet for this one, now; -FOG_E_RATE: too many ask; -FOG_E_INTERNAL. Logged.
 */
int probe_answer_status(struct placerd *d, struct view ask,
    char out[static NODETOKEN_MAX_BYTES + 1]);

#endif
