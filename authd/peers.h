/* SPDX-License-Identifier: MIT */
/* authd's side of its two edges: what proc_main needs of peers.c. */
#ifndef AUTHD_PEERS_H
#define AUTHD_PEERS_H

#include "authd/authd.h"
#include "common/peer.h"

extern const msg_handler authd_handlers[MSG_COUNT];

int peers_start(struct authd *a); /* after the config is read; 0 or -1 */
unsigned peers_phase_of(void *ctx, struct peer *from, const struct msg *m);
void peers_edge_up(void *ctx, struct peer *p);
void peers_edge_down(void *ctx, enum edge edge);

#endif
