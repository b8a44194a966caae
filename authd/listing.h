/* SPDX-License-Identifier: MIT */
/*
 * Answers of many records: a few at a time, so that a burst of them, which any client can send, does
 * not make a gatewayd that is merely busy look stuck. And the list of sessions, to which other nodes
 * add theirs: placerd names them (AUTH_ALSO), they are asked at once and in parallel, and those that
 * do not answer are named (R12).
 */
#ifndef AUTHD_LISTING_H
#define AUTHD_LISTING_H

#include "authd/asked.h"

#define LISTING_NODES_MAX 16   /* that one list is gathered from */
#define LISTING_NODE_MS 1000   /* for the answer of each */
#define LISTING_THEIRS_MAX 256 /* rows of other nodes in one list */

int listing_start(struct authd *a); /* 0 or -1 */
/* q goes to placerd as passed_on, at once or when it is its turn. */
void listing_add(struct authd *a, struct asked *q, enum msg_type passed_on);
/* AUTH_ALSO: 0 or -FOG_E_LIAR. */
int listing_on_also(void *ctx, struct peer *from, struct msg *m);
/* placerd has nothing to say about q now: it was not asked yet, or has said all. */
bool listing_is_silent(const struct asked *q);
/* placerd has said all. False: q is to be ended; true: it goes on here. */
bool listing_gather(struct authd *a, struct asked *q);
/* Of asked_release: its place is for another. */
void listing_release(struct authd *a, struct asked *q);

#endif
