/* SPDX-License-Identifier: MIT */
/*
 * The replay ring: the last capacity bytes of a stream whose bytes are numbered from 0. Memory
 * only, no I/O.
 *
 * Offsets are absolute and 64 bits wide: 1 GB/s wraps one after 584 years, so offsets never wrap
 * here, and the ring ends the process rather than let one. A byte at offset o lies at o %
 * capacity.
 */
#ifndef COMMON_RING_H
#define COMMON_RING_H

#include <stddef.h>
#include <stdint.h>

#include <sys/uio.h>

struct ring;

/*
 * An empty ring. Its memory is an anonymous mapping, so that a page costs nothing before output
 * reaches it. Returns NULL with errno (EINVAL: no capacity, or above PTRDIFF_MAX).
 */
struct ring *ring_new(size_t capacity_bytes);
void ring_free(struct ring *r); /* NULL is fine */

/*
 * Appends len bytes; the oldest are overwritten. Of more than capacity only the last part is kept.
 */
void ring_write(struct ring *r, const void *bytes, size_t len);

/*
 * The same without a copy: *len bytes of space (never 0, up to where the memory wraps) to be filled
 * from their front, and then the number filled. The space is that of the oldest bytes: no view
 * between the two.
 */
void *ring_space(struct ring *r, size_t *len);
void ring_append(struct ring *r, size_t len);

/* The offset of the oldest byte kept, and of the next one to be written. Equal when empty. */
uint64_t ring_start(const struct ring *r);
uint64_t ring_end(const struct ring *r);

/*
 * Sets view to the bytes from offset to the end, in order: no, one or two spans. They point into
 * the ring and hold until the next ring_write or ring_space. Returns the number of spans, or -1
 * when offset is before the start (lost: begin at ring_start) or after the end. Unused spans are
 * {NULL, 0}.
 */
int ring_view(const struct ring *r, uint64_t offset, struct iovec view[static 2]);

#endif
