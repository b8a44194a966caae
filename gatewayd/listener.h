/* SPDX-License-Identifier: MIT */
/*
 * Accepting, within a limit for all and one for each source (S12). A source that has a penalty is
 * not served. A trusted proxy's connections count for the clients behind it, and it has no penalty;
 * but all whom its fields fail to name are one source with its address.
 */
#ifndef GATEWAYD_LISTENER_H
#define GATEWAYD_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

struct conn;
struct gateway;
struct listener;
struct source;

#define LISTENER_ADDR_SIZE 64 /* "[…]:65535" */

/* fd (taken) listens already. NULL when out of memory. */
struct listener *listener_new(struct gateway *g, int fd, bool is_metrics);
void listener_free(struct listener *l);

/* Where fd really listens, "127.0.0.1:8080" or "[::1]:8080". 0, or -1 with errno. */
int listener_address(int fd, char addr[static LISTENER_ADDR_SIZE], bool *is_loopback,
    bool *is_wildcard);

/*
 * Whose the request is, once its head is read: sets c->x.source, and c->from of a connection that
 * comes by a trusted proxy. 0, or -1: that client is over its limit of connections or has a
 * penalty, and is answered 429.
 */
int listener_identify(struct conn *c);

/* One connection of this source has ended. NULL is fine. */
void source_release(struct source *s);

#endif
