/* SPDX-License-Identifier: MIT */
/*
 * An attached terminal: WebSocket of the client on one side, stream of the session's holder on the
 * other (DESIGN 3.2). Each direction has a bounded queue: above its high mark the source is not
 * read (S15). It runs on a thread of worker.c; the functions here are the main thread's.
 */
#ifndef GATEWAYD_ATTACH_H
#define GATEWAYD_ATTACH_H

#include "gatewayd/gatewayd.h"

/*
 * The stream and the word of authd are both there (c->x.attach): answers 101 and takes the
 * connection over, or answers why not.
 */
void attach_start(struct conn *c);
/*
 * Starts g->workers; workers_stop() tells each client that the process ends (close code 1001), as
 * far as that goes out at once. 0 or -1.
 */
int attach_init(struct gateway *g);

#endif
