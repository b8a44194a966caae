/* SPDX-License-Identifier: MIT */
/*
 * How much output may be on its way to a client. A client acknowledges what its screen has taken;
 * more than the window is not sent beyond that, and while the driver's window is full the terminal
 * is not read: so the program waits, and what ^C brings comes soon. The window follows what the
 * path carries in its own delay and a little more, as told by the delay of acknowledgements. A
 * client that has not acknowledged anything is bounded by the sockets alone. Pure.
 *
 * Offsets are those of the output; times are in milliseconds of a clock that does not step.
 */
#ifndef FOG_HOLDER_WINDOW_H
#define FOG_HOLDER_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_MIN_BYTES (16u << 10) /* two acknowledgements of 8 KiB */
#define WINDOW_START_BYTES (64u << 10)
#define WINDOW_MAX_BYTES (512u << 10)
#define WINDOW_SLACK_MS 50 /* delay that a queue of ours may add */
#define WINDOW_UNACKED_BYTES \
	(64u << 10) /* may wait for the socket of one that never acknowledges */

struct window {
	/* What is known of the path: kept when the client attaches again. */
	uint32_t bytes, max_bytes;
	uint64_t base_ms; /* the path's own delay; 0: not known */

	/* This attachment. */
	uint64_t sent, acked; /* offsets */
	bool has_acked;

	/* The round in progress: it ends when the mark is acknowledged. */
	bool has_mark, is_limited; /* the window has held something back */
	uint64_t mark, mark_ms;
	uint64_t mark_flight; /* on its way when the mark was sent, it included */
};

void window_init(struct window *w, size_t ring_bytes);
/* An attachment begins: its first byte has this offset. */
void window_begin(struct window *w, uint64_t offset);
/* What has not been sent is lost up to this offset. */
void window_skip(struct window *w, uint64_t offset);

void window_sent(struct window *w, size_t len, uint64_t now_ms);
/* 0, or -FOG_E_OFFSET: beyond what was sent. An old one is ignored. */
int window_ack(struct window *w, uint64_t offset, uint64_t now_ms);

/* How many of so many bytes may be sent now. */
size_t window_send_room(struct window *w, uint64_t waiting_bytes);
/* How many bytes may be added to the output, whose end this is. */
size_t window_read_room(struct window *w, uint64_t end);

#endif
