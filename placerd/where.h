/* SPDX-License-Identifier: MIT */
/*
 * Placement of one request on what this placerd knows now: its nodes, what the prober heard of them,
 * its own registry, and where each subject was placed last. The deciding is place.c's.
 */
#ifndef PLACERD_WHERE_H
#define PLACERD_WHERE_H

#include "placerd/place.h"
#include "placerd/hold.h"
#include "placerd/placerd.h"

struct where {
	struct place_request request;
	struct view regions[POLICY_PLACES_MAX]; /* what request points to: not to be copied */
	struct place_node *nodes; /* by index of d->nodes; only_here: this node alone */
	size_t n;
	struct place_choice choice;
	struct where_kept
	    kept; /* when it is made as chosen; none, where a hint or this node alone was */
};

/* What is asked. All borrowed. */
struct where_ask {
	struct view issuer, subject;
	struct view hint;
	struct view
	    latencies; /* list of messages.def: name, milliseconds, …; unknown names count nothing */
	const struct policy_decision *decision; /* allowed */
	bool only_here;                         /* forwarded to us: no other node is a candidate */
	const uint32_t *failed;                 /* tags of nodes that were tried */
	size_t n_failed;
};

/* As place_choose; -FOG_E_NOMEM. *out is to be given to where_fini in any case. */
int where_choose(struct placerd *d, const struct where_ask *ask, struct where *out);
void where_fini(struct where *w);
/* The subject's session is made where it was chosen to be. None: nothing is changed by it. */
void where_remember(struct placerd *d, struct view issuer, struct view subject,
    const struct where_kept *kept);
/* What is held on to for the subject: the next choice, and whom the page should measure. */
struct hold where_hold(const struct placerd *d, struct view issuer, struct view subject);
/* What the living sessions of this node have been promised. */
void where_own_load(const struct placerd *d, struct place_room *out);

#endif
