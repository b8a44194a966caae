/* SPDX-License-Identifier: MIT */
/*
 * The input stream of a session: bytes numbered from 0, so that what is sent again after a lost
 * connection is not typed twice; and the bounded queue in front of the terminal. Pure.
 */
#ifndef FOG_HOLDER_INPUT_H
#define FOG_HOLDER_INPUT_H

#include <stddef.h>
#include <stdint.h>

#define INPUT_QUEUE_BYTES 65536

struct input {
	uint64_t next;  /* offset of the next byte expected */
	size_t at, len; /* the queue: len bytes from index at, not wrapped */
	unsigned char bytes[INPUT_QUEUE_BYTES];
};

void input_init(struct input *in); /* does not touch the queue's bytes */

/*
 * Bytes of the stream from offset. What is known already is ignored, the rest queued. 0: all
 * taken; -FOG_E_FULL: as much as there is room for was taken, offer the same again later;
 * -FOG_E_OFFSET: they begin after the next byte expected, and nothing was taken.
 */
int input_offer(struct input *in, uint64_t offset, const void *bytes, size_t len);

/* What waits for the terminal: NULL when there is nothing. Borrowed until the next call. */
const unsigned char *input_view(const struct input *in, size_t *len);
void input_consume(struct input *in, size_t len); /* wipes: these are keystrokes */

#endif
