/* SPDX-License-Identifier: MIT */
/* What is told of the fleet: to people (GET /v1/nodes, GET /v1/sessions) and to other nodes. */
#ifndef PLACERD_FLEETLIST_H
#define PLACERD_FLEETLIST_H

#include "placerd/placerd.h"

#define FLEETLIST_NODES_MAX 32 /* shown to one caller, this one among them: the nearest to us */
#define FLEETLIST_ALSO_MAX 16  /* asked for one list of sessions, likewise */

/* PLACE_NODES: those to measure latency against. */
int fleetlist_on_nodes(void *ctx, struct peer *from, struct msg *m);
/* Names the other nodes that may have sessions of who asks m, a list that was not passed on. */
void fleetlist_also(struct placerd *d, struct peer *from, const struct msg *m);
/* PLACE_STATUS: another node asks how this one is. */
int fleetlist_on_status(void *ctx, struct peer *from, struct msg *m);

#endif
