/* SPDX-License-Identifier: MIT */
/*
 * An attached terminal: WebSocket of the client on one side, stream of the session's holder on the
 * other (DESIGN 3.2). Each direction has a bounded queue: above its high mark the source is not
 * read (S15).
 */
#ifndef GATEWAYD_ATTACH_H
#define GATEWAYD_ATTACH_H

#include "gatewayd/gatewayd.h"

/*
 * The stream and the word of authd are both there (c->x.attach): answers 101 and takes the
 * connection over, or answers why not.
 */
void attach_start(struct conn *c);
void attach_free(struct attach *a); /* NULL is fine; the client is not told */

/* The process ends: close code 1001 to each client, as far as it goes out at once. */
void attach_stop_all(struct gateway *g);

#endif
