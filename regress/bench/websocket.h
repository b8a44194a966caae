/* SPDX-License-Identifier: MIT */
/* The client's side of a WebSocket (RFC 6455), on a connection that has been upgraded. */
#ifndef FOG_BENCH_WEBSOCKET_H
#define FOG_BENCH_WEBSOCKET_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "regress/bench/link.h"

#define WS_RECV_BYTES (512u << 10)     /* holds the longest message twice */
#define WS_RECV_ONCE_BYTES (64u << 10) /* what a slow client takes out of the kernel at a time */
#define WS_SEND_MAX 4096

enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

struct websocket {
	struct link link;
	uint32_t mask;   /* of the next message; changes with each */
	size_t from, to; /* what has been received and not read */
	unsigned char bytes[WS_RECV_BYTES];
};

/* Takes the connection out of l; first is what came with the answer to the upgrade. */
void ws_init(struct websocket *w, struct link *l, struct view first);
void ws_fini(struct websocket *w);
/* One message in one frame and one send. */
void ws_send(struct websocket *w, enum ws_opcode opcode, const void *bytes, size_t len);
/*
 * Waits for a message of that kind, borrowed until the next call. Pings are answered; a message of
 * another kind, in fragments, or the close by the server fails. Without an address: nothing came
 * within the patience of the link.
 */
struct view ws_next(struct websocket *w, enum ws_opcode opcode);

#endif
