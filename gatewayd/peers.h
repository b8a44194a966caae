/* SPDX-License-Identifier: MIT */
/* The two edges of gatewayd: questions to authd and its answers, streams delivered by ptyd. */
#ifndef GATEWAYD_PEERS_H
#define GATEWAYD_PEERS_H

#include "common/peer.h"
#include "gatewayd/gatewayd.h"

struct renewal;

/*
 * Asks authd for this connection's request; the answer, a refusal or the deadline answers it. When
 * there is nobody to ask it is answered at once.
 */
void peers_ask(struct conn *c, enum msg_type type, enum msg_phase phase, const void *payload);
/* As that, but given up sooner: after timeout_ms, or the time for any request if that is less. */
void peers_ask_within(struct conn *c, enum msg_type type, enum msg_phase phase, const void *payload,
    uint64_t timeout_ms);

/* Asks authd for an attached client; renewal_answer() gets what comes of it. */
void peers_ask_renewal(struct gateway *g, struct renewal *r);

/* For struct role; ctx is the struct gateway. */
extern const msg_handler peers_handlers[MSG_COUNT];
unsigned peers_phase_of(void *ctx, struct peer *from, const struct msg *m);
void peers_edge_up(void *ctx, struct peer *p);
void peers_edge_down(void *ctx, enum edge edge);

/* For requests_new: a deadline has passed, or authd is gone. */
void peers_request_lost(void *ctx, struct request *r, int error);

#endif
