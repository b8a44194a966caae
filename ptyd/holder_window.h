/* SPDX-License-Identifier: MIT */
/*
 * How much of the terminal may be read now: a client that lags behind stops the reading, so that
 * the program waits (^C then works during a flood) and nothing it has not got is overwritten.
 * Pure.
 */
#ifndef FOG_HOLDER_WINDOW_H
#define FOG_HOLDER_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_BYTES (256u << 10) /* lag of the client at which reading stops */
#define GATHER_BYTES 65536        /* the most read in one wake-up, and one frame */

struct window {
	size_t ring_bytes;
	bool is_paused;
};

/*
 * Bytes that may be read from the terminal in this wake-up. has_client false: nobody is pinned,
 * the ring overwrites. is_ending: the shell has gone and what is left is little: up to the ring.
 */
size_t window_room(struct window *w, bool has_client, bool is_ending, uint64_t lag_bytes);

#endif
