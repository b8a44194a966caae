/* SPDX-License-Identifier: MIT */
/*
 * Secret bytes: keys and nonces that are wiped when they go, and compared in constant time.
 * Links nothing but libc, since root programs use it too.
 */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* The most that one secret may hold. */
#define SECRET_MAX_BYTES 4096

/* Owns its bytes. The empty secret is {NULL, 0}; SECRET_EMPTY makes one. */
struct secret {
	unsigned char *bytes;
	size_t len;
};

#define SECRET_EMPTY ((struct secret){ 0 })

/*
 * Fills len bytes at p from the kernel's generator (getrandom(2)), blocking only until it is
 * seeded for the first time after boot. Returns 0, or -1 with errno.
 */
int secret_random(void *p, size_t len);

/*
 * These two make *s, which is overwritten without being read. They return 0, or -1 with errno
 * (EINVAL: len is 0 or above SECRET_MAX_BYTES), and set *s only on success.
 */
int secret_init_random(struct secret *s, size_t len);
int secret_copy(struct secret *s, const void *bytes, size_t len);

/*
 * Moves the bytes of *from into *to, which is overwritten without being read; *from is empty after
 * it.
 */
void secret_take(struct secret *to, struct secret *from);

/*
 * Overwrites the bytes, frees them and leaves the empty secret. The empty secret and NULL are fine.
 */
void secret_wipe(struct secret *s);

/* Whether a and b hold the same len bytes. The time depends on len alone. len 0: true. */
bool secret_equal(const void *a, const void *b, size_t len);

#endif
