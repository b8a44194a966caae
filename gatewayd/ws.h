/* SPDX-License-Identifier: MIT */
/*
 * WebSocket (RFC 6455): the checks of the opening handshake, and frames. Frames are read by wslay,
 * which also answers pings and closes; all that we send on our own goes out by one writer here.
 * No extension is ever agreed to.
 */
#ifndef GATEWAYD_WS_H
#define GATEWAYD_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "gatewayd/http1.h"

struct evbuffer;

#define WS_ACCEPT_SIZE 29     /* base64 of a SHA-1, and its NUL */
#define WS_HEADER_MAX 10      /* of an unmasked frame (RFC 6455 5.2) */
#define WS_FRAGMENTS_MAX 1024 /* frames of one message */

enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

enum ws_verdict {
	WS_ACCEPTED,
	WS_NOT_UPGRADE, /* 426: not asked for websocket version 13 */
	WS_BAD_KEY,     /* 400 */
	WS_BAD_PROTOCOL /* 400: a list that is none, two tokens, or an unknown fog.pty.* alone */
};

struct ws_handshake {
	char accept[WS_ACCEPT_SIZE]; /* Sec-WebSocket-Accept (4.2.2) */
	const char *protocol;        /* the fog.pty.* to echo; NULL: none was named */
	struct view token; /* of fog.token.<jwt>; p NULL: none; borrowed from the request */
};

/* RFC 6455 4.2.1 but for Host and Origin, which are origin.h's. */
enum ws_verdict ws_check_handshake(const struct http1 *h, struct ws_handshake *out);

/* The header of one whole unmasked frame; returns its length. */
size_t ws_put_header(enum ws_opcode opcode, size_t len, unsigned char out[static WS_HEADER_MAX]);

struct ws_ops {
	/* Bytes of the client; 0: none now. */
	size_t (*read)(void *ctx, void *out, size_t len);
	/* A frame of ours, whole or in pieces that follow each other at once. */
	void (*write)(void *ctx, const void *bytes, size_t len);
	void (*on_message)(void *ctx, bool is_text, const unsigned char *bytes, size_t len);
	void (*on_control)(void *ctx, enum ws_opcode opcode); /* a ping or a pong */
};

struct ws;

/* NULL when out of memory. ops and ctx outlive it. */
struct ws *ws_new(const struct ws_ops *ops, void *ctx, size_t max_message_bytes);
void ws_free(struct ws *ws); /* NULL is fine; not within a callback */

/* Reads all there is. Afterwards ws_is_closed may have become true. */
void ws_receive(struct ws *ws);
void ws_ping(struct ws *ws);
/* Sends a close frame unless one was sent. reason: at most 123 bytes. */
void ws_close(struct ws *ws, unsigned code, const char *reason);
/* A close frame was sent, ours or an answer: send and read no more. */
bool ws_is_closed(const struct ws *ws);
/* The code that was sent (0: none yet), for the log. */
unsigned ws_close_code(const struct ws *ws);

#endif
