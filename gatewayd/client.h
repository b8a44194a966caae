/* SPDX-License-Identifier: MIT */
/*
 * The socket of a client while a terminal is attached, plain or TLS: read and written directly,
 * one call for each turn, on a loop of its own, while the connection's bufferevent rests on the
 * main one. What the socket does not take waits here, and goes back into the bufferevent's output
 * in the end, so that the connection can end in its usual way after.
 */
#ifndef GATEWAYD_CLIENT_H
#define GATEWAYD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct bufferevent;
struct evbuffer;
struct event_base;
struct client;

struct client_ops {
	void (*readable)(void *ctx); /* or the client has gone: client_read() tells */
	void (*writable)(void *ctx); /* some of the backlog has left */
};

/* On the bufferevent's thread. Takes over the socket and what waits. NULL when out of memory. */
struct client *client_new(struct bufferevent *bev, const struct client_ops *ops, void *ctx);
/* Leaves the bufferevent disabled, with the backlog in its output. NULL is fine. */
void client_free(struct client *c);

/* On the base's thread, as all that follows. Starts without reading. 0, or -1: out of memory. */
int client_start(struct client *c, struct event_base *base);
void client_stop(struct client *c);
/* What had come before the start, and what the caller puts back. */
struct evbuffer *client_early(struct client *c);

/* One read. Bytes; 0: none now; -1: the client has gone. */
ssize_t client_read(struct client *c, void *out, size_t size);
/* At once if nothing waits, else later. A failure is told by the next client_read(), soon. */
void client_write(struct client *c, const void *bytes, size_t len);
size_t client_backlog(const struct client *c);
void client_set_reading(struct client *c, bool is_reading);
/* Of one who is not read, so that client_read() cannot tell. */
bool client_has_left(const struct client *c);

#endif
