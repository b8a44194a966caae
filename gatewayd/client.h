/* SPDX-License-Identifier: MIT */
/*
 * The socket of a client while a terminal is attached, plain or TLS: read and written directly,
 * one call for each turn, while the connection's bufferevent rests. What the socket does not take
 * waits in the bufferevent's own output, so that the connection can end in its usual way after.
 */
#ifndef GATEWAYD_CLIENT_H
#define GATEWAYD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct bufferevent;
struct event_base;
struct client;

struct client_ops {
	void (*readable)(void *ctx); /* or the client has gone: client_read() tells */
	void (*writable)(void *ctx); /* some of the backlog has left */
};

/*
 * Takes the socket over; what waits in the output goes out first. What waits in the input is the
 * caller's. Starts without reading. NULL when out of memory: the bufferevent is then as it was.
 */
struct client *client_new(struct event_base *base, struct bufferevent *bev,
    const struct client_ops *ops, void *ctx);
/* Leaves the bufferevent disabled, with the backlog in its output. NULL is fine. */
void client_free(struct client *c);

/* One read. Bytes; 0: none now; -1: the client has gone. */
ssize_t client_read(struct client *c, void *out, size_t size);
/* At once if nothing waits, else later. A failure is told by the next client_read(), soon. */
void client_write(struct client *c, const void *bytes, size_t len);
size_t client_backlog(const struct client *c);
void client_set_reading(struct client *c, bool is_reading);

#endif
