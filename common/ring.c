/* SPDX-License-Identifier: MIT */
/* The replay ring: the last bytes of a numbered stream, in one lazily touched mapping. */
#include "common/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct ring {
	unsigned char *bytes;
	size_t capacity_bytes;
	uint64_t end; /* offset of the next byte; what is kept follows from it and the capacity */
};

struct ring *
ring_new(size_t capacity_bytes)
{
	struct ring *r;

	if (capacity_bytes == 0 || capacity_bytes > PTRDIFF_MAX) {
		errno = EINVAL;
		return NULL;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->bytes = mmap(NULL, capacity_bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->bytes == MAP_FAILED) {
		free(r);
		return NULL;
	}
	r->capacity_bytes = capacity_bytes;
	return r;
}

void
ring_free(struct ring *r)
{
	if (r == NULL)
		return;
	munmap(r->bytes, r->capacity_bytes);
	free(r);
}

/* A wrapped offset would make a client read bytes under wrong numbers: there is no going on. */
static void
move_end(struct ring *r, size_t len)
{
	if (len > UINT64_MAX - r->end)
		abort();
	r->end += len;
}

void *
ring_space(struct ring *r, size_t *len)
{
	size_t at = (size_t)(r->end % r->capacity_bytes);

	*len = r->capacity_bytes - at;
	return r->bytes + at;
}

void
ring_append(struct ring *r, size_t len)
{
	move_end(r, len);
}

void
ring_write(struct ring *r, const void *bytes, size_t len)
{
	const unsigned char *from = bytes;
	size_t at, first;

	move_end(r, len);
	if (len > r->capacity_bytes) {
		from += len - r->capacity_bytes;
		len = r->capacity_bytes;
	}
	if (len == 0)
		return;
	at = (size_t)((r->end - len) % r->capacity_bytes);
	first = r->capacity_bytes - at < len ? r->capacity_bytes - at : len;
	memcpy(r->bytes + at, from, first);
	memcpy(r->bytes, from + first, len - first);
}

uint64_t
ring_start(const struct ring *r)
{
	return r->end > r->capacity_bytes ? r->end - r->capacity_bytes : 0;
}

uint64_t
ring_end(const struct ring *r)
{
	return r->end;
}

int
ring_view(const struct ring *r, uint64_t offset, struct iovec view[static 2])
{
	size_t at, len, first;

	if (offset < ring_start(r) || offset > r->end)
		return -1;
	view[0] = view[1] = (struct iovec){ NULL, 0 };
	len = (size_t)(r->end - offset); /* at most the capacity */
	if (len == 0)
		return 0;
	at = (size_t)(offset % r->capacity_bytes);
	first = r->capacity_bytes - at < len ? r->capacity_bytes - at : len;
	view[0] = (struct iovec){ r->bytes + at, first };
	if (first == len)
		return 1;
	view[1] = (struct iovec){ r->bytes, len - first };
	return 2;
}
