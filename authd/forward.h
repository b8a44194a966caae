/* SPDX-License-Identifier: MIT */
/*
 * A request that is for another node (DESIGN 4). placerd names one node at a time; it is asked once,
 * through the fetcher, with the person's own token (S37), and placerd hears what came of it. placerd is
 * not taken at its word for where a token may go: FLEET_ORIGINS says that. Of a create the first answer
 * that is good is taken and confirmed, and no other ever is: what a node has made and could not tell
 * of ends there by itself.
 */
#ifndef AUTHD_FORWARD_H
#define AUTHD_FORWARD_H

#include "authd/asked.h"

/* AUTH_FORWARD. 0 or -FOG_E_LIAR. */
int forward_on_request(void *ctx, struct peer *from, struct msg *m);
/* The request is over: whatever the node answers is dropped. */
void forward_drop(struct asked *q);

#endif
