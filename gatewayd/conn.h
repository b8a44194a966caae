/* SPDX-License-Identifier: MIT */
/*
 * One connection: bytes through the parser to a request, one answer to each in order, then keep
 * alive, close in a way that the client sees, or become a WebSocket. All deadlines are absolute.
 */
#ifndef GATEWAYD_CONN_H
#define GATEWAYD_CONN_H

#include "gatewayd/gatewayd.h"

/* What the listener knows of a new connection. */
struct arrival {
	struct source *source; /* NULL: not counted, a trusted proxy's */
	struct source_key from;
	struct in6_addr address;
	bool by_proxy, is_metrics;
};

/* fd and the source are taken, also on failure (-FOG_E_NOMEM). */
int conn_new(struct gateway *g, int fd, const struct arrival *a);

/* Whom this thread works for while it looks at bytes of c; NULL: nobody that can be named. */
const struct source_key *conn_client(const struct conn *c);

/* Ends it at once; the struct lives until the end of the turn. Fine to repeat. */
void conn_free(struct conn *c);

/* An answer has been put into the output: what comes next follows from keep_alive. */
void conn_answered(struct conn *c);

/* Sends what is in the output, shuts for writing, waits a little for the client to see it. */
void conn_finish(struct conn *c);

/* 101 was put into the output: from now on a->… of attach.c has the bytes. */
void conn_become_attached(struct conn *c, struct attach *a);

struct evbuffer *conn_input(struct conn *c);
struct evbuffer *conn_output(struct conn *c);

/* Frees the request's own memory and forgets it. */
void exchange_clear(struct conn *c);

void conn_reap(struct gateway *g);

#endif
