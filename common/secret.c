/* SPDX-License-Identifier: MIT */
/* Secret bytes: made, moved, compared in constant time, wiped. */
#include "common/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int
secret_random(void *p, size_t len)
{
	unsigned char *at = p;
	ssize_t n;

	while (len > 0) {
		n = getrandom(at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static unsigned char *
secret_alloc(size_t len)
{
	if (len == 0 || len > SECRET_MAX_BYTES) {
		errno = EINVAL;
		return NULL;
	}
	return calloc(1, len);
}

int
secret_init_random(struct secret *s, size_t len)
{
	unsigned char *bytes = secret_alloc(len);

	if (bytes == NULL)
		return -1;
	if (secret_random(bytes, len) != 0) {
		free(bytes);
		return -1;
	}
	*s = (struct secret){ bytes, len };
	return 0;
}

int
secret_copy(struct secret *s, const void *bytes, size_t len)
{
	unsigned char *copy = secret_alloc(len);

	if (copy == NULL)
		return -1;
	memcpy(copy, bytes, len);
	*s = (struct secret){ copy, len };
	return 0;
}

void
secret_take(struct secret *to, struct secret *from)
{
	struct secret moved = *from;

	*from = SECRET_EMPTY;
	*to = moved;
}

void
secret_wipe(struct secret *s)
{
	if (s == NULL)
		return;
	if (s->bytes != NULL)
		explicit_bzero(s->bytes, s->len);
	free(s->bytes);
	*s = SECRET_EMPTY;
}

bool
secret_equal(const void *a, const void *b, size_t len)
{
	/*
	 * volatile: a compiler that may drop a read could leave the loop at the first difference.
	 */
	const volatile unsigned char *x = a, *y = b;
	volatile unsigned char difference = 0;

	for (size_t i = 0; i < len; i++)
		difference |= x[i] ^ y[i];
	return difference == 0;
}
