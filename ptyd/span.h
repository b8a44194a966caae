/* SPDX-License-Identifier: MIT */
/*
 * Pieces of the small text files of the kernel, taken off their front: pure, no allocation. Functions
 * that return bool say whether it was so; results are set only then.
 */
#ifndef FOG_SPAN_H
#define FOG_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPAN_MAX_BYTES 4096 /* of a file */

/* A piece of a text, without its terminator. Borrowed. */
struct span {
	const char *p;
	size_t len;
};

/* A whole file; false when no read of ours could have given it. */
bool span_open(const char *text, size_t len, struct span *out);
/* Cuts what stands before the terminator off the front. False: there is no terminator left. */
bool span_take_until(struct span *from, char end, struct span *out);
bool span_take_prefix(struct span *s, const char *prefix);
bool span_is(struct span s, const char *text);
/* Lower-case letters, digits, '_' and '.', at least one. */
bool span_is_word(struct span s);
/* A whole span of decimal digits, as the kernel writes them: no sign, no leading zero. */
bool span_number(struct span s, uint64_t *out);

#endif
