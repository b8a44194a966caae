/* SPDX-License-Identifier: MIT */
/*
 * A decision of placement as the audit log keeps it, and back: from the record alone the same
 * place_choose gives the same choice for the same reasons, or the same refusal. A fleet of any size
 * makes a record of bounded size: the candidates that were kept, the best of the rejected ones up to
 * DECISION_REJECTED_MAX, and how many of each kind there were; what was left out could not have been
 * chosen before what is there.
 */
#ifndef PLACERD_DECISION_H
#define PLACERD_DECISION_H

#include <stddef.h>

#include "placerd/place.h"

#define DECISION_REJECTED_MAX 16
#define DECISION_NODES_MAX (PLACE_KEPT + DECISION_REJECTED_MAX + 2) /* the hint, the current one */
#define DECISION_REGIONS_MAX 64
#define DECISION_MAX_BYTES \
	8192 /* of the record, as compact JSON in ASCII; LINE_MAX_BYTES of audit.c */

struct json_t;
struct nodes;

/*
 * The record, one JSON object: {"request":{…},"nodes":[{…}],"choice":"name","reasons":"a,b",
 * "fit":N,"rejected":{"code":N,…}}. choice and reasons are absent when no node was fit. A member that
 * would be none, false or unknown is absent. Of labels it names those that are asked for, and of a
 * node which of them it lacks.
 *
 * Below DECISION_MAX_BYTES, where texts are within their bounds (names, regions and labels of 64
 * bytes): names, regions and labels that are long and many leave room for fewer rejected nodes, and
 * then of regions and labels only those are kept that decide something. NULL: no memory. The caller's.
 */
struct json_t *decision_to_json(const struct place_request *request, const struct place_node *nodes,
    size_t n, const struct place_choice *choice, const struct nodes *fleet);

/* Read back: owns its memory. */
struct decision {
	struct place_request request;
	struct place_node nodes[DECISION_NODES_MAX];
	size_t n;
	struct view choice; /* the name in the record; empty: none was fit */
	struct view reasons;
	struct json_t *object; /* what the views point into */
	struct view regions[DECISION_REGIONS_MAX];
	char labels[PLACE_LABELS_MAX][65]; /* what the bits stand for */
	size_t n_labels;
};

/*
 * Takes a reference of obj. 0, or -1 with what is wrong; *out is then as decision_fini leaves it.
 * request.regions points into *out, which is not to be copied.
 */
int decision_from_json(struct json_t *obj, struct decision *out, char *err, size_t err_size);
void decision_fini(struct decision *d);

#endif
