/* SPDX-License-Identifier: MIT */
/* Pieces of small text files: see span.h. */
#include "ptyd/span.h"

#include <string.h>

bool
span_take_until(struct span *from, char end, struct span *out)
{
	const char *at = from->len ? memchr(from->p, end, from->len) : NULL;

	if (!at)
		return false;
	*out = (struct span){ from->p, (size_t)(at - from->p) };
	from->p = at + 1;
	from->len -= out->len + 1;
	return true;
}

bool
span_is(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

bool
span_take_prefix(struct span *s, const char *prefix)
{
	size_t len = strlen(prefix);

	if (s->len < len || memcmp(s->p, prefix, len) != 0)
		return false;
	s->p += len;
	s->len -= len;
	return true;
}

bool
span_number(struct span s, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0 || (s.len > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9 || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, digit, &n))
			return false;
	}
	*out = n;
	return true;
}

bool
span_is_word(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.'))
			return false;
	}
	return s.len > 0;
}

bool
span_open(const char *text, size_t len, struct span *out)
{
	*out = (struct span){ text, len };
	return len <= SPAN_MAX_BYTES && (len == 0 || !memchr(text, '\0', len));
}
