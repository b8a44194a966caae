/* SPDX-License-Identifier: MIT */
/*
 * One client of a holder and its stream: output as frames out of the ring at a cursor, control
 * frames between them, and the client's frames in. Who the clients are is known to holder_attach.c,
 * which owns them.
 */
#ifndef FOG_HOLDER_CLIENT_H
#define FOG_HOLDER_CLIENT_H

#include <sys/queue.h>

#include "ptyd/holder.h"

struct client {
	TAILQ_ENTRY(client) next;
	struct holder *h;
	uint8_t role;
	uint64_t number;                      /* unlike that of any other client of this holder */
	uint64_t until_boot_ms, warn_boot_ms; /* of its identity; 0: no end, or warned already */
	uint64_t sid_hash;                    /* of its identity; 0: that has no sid */
	int fd;
	struct event *readable, *writable;
	struct event *hangup;   /* while nothing is read of it: looks whether it has gone */
	struct event *deadline; /* of one that parts */
	uint64_t cursor;        /* the output byte that the next frame begins with */
	uint16_t cols, rows;    /* that it was told */
	struct window *window;  /* the driver's is the holder's: what it knows stays */
	struct window own_window;
	bool exit_is_queued;
	bool is_blocked; /* a frame of it waits for room */
	bool has_left;   /* nobody is there any more; what it sent before waits for room */
	bool was_told_read_only;
	bool is_parting; /* it gets what is pending, and nothing more */
	bool is_over;    /* to be freed at the end of this turn */

	/* Goes before all else: control frames, and what a socket did not take of an output frame. */
	size_t pending_len, pending_max;
	unsigned char *pending; /* behind this struct */
	size_t in_len;
	unsigned char in[STREAM_FRAME_MAX];
};

/* A stream for this role. *fd is its other end, the caller's. NULL: no memory or descriptors. */
struct client *client_new(struct holder *h, uint8_t role, int *fd);
void client_free(struct client *c);

/* Output begins at this offset, after a hello that says so; lost: bytes missing before it. */
void client_begin(struct client *c, uint64_t out_from, uint64_t out_lost);
/* A client that does not read does not get more than fits: it is a status less. */
void client_queue_status(struct client *c, enum stream_state state, uint64_t at_s,
    const char *detail);

void client_flush(struct client *c);         /* there is something new to send */
void client_resume(struct client *c);        /* there may be room for a frame that waits */
bool client_has_all(const struct client *c); /* the exit too */

#endif
