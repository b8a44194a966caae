/* SPDX-License-Identifier: MIT */
/* Form bodies: see form.h. */
#include "gatewayd/form.h"

#include <string.h>

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that text begins with, into *out. Bytes used; 0: malformed. */
static size_t
decode_byte(const char *text, size_t len, char *out)
{
	char c = *text; /* out may be the same place */
	int high, low;

	if (c <= ' ' || c > '~')
		return 0;
	if (c != '%') {
		*out = c == '+' ? ' ' : c;
		return 1;
	}
	high = len >= 3 ? hex_value(text[1]) : -1;
	low = high >= 0 ? hex_value(text[2]) : -1;
	if (low < 0)
		return 0;
	*out = (char)(high << 4 | low);
	return 3;
}

/* In place: what is decoded is never longer. False: malformed. */
static bool
decode(char *text, size_t len, struct view *out)
{
	size_t at = 0, used = 1, n = 0;

	while (at < len && used > 0) {
		used = decode_byte(text + at, len - at, &text[n]);
		at += used;
		n++;
	}
	*out = view_bytes(text, n);
	return used > 0;
}

/* "name=value". A value may hold more of "=", a name may not be empty. */
static bool
decode_pair(char *text, size_t len, struct view *name, struct view *value)
{
	char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : 0;

	return name_len > 0 && decode(text, name_len, name) &&
	    decode(equals + 1, len - name_len - 1, value);
}

enum form_verdict
form_find(char *body, size_t len, const char *name, struct view *out)
{
	struct view found = { 0 }, this_name, value;
	size_t at = 0, pairs = 0, matches = 0;

	while (at < len) {
		const char *end = memchr(body + at, '&', len - at);
		size_t pair_len = end ? (size_t)(end - body) - at : len - at;

		/* A "&" at the very end has an empty pair behind it. */
		if (++pairs > FORM_PAIRS_MAX || (end && at + pair_len + 1 == len) ||
		    !decode_pair(body + at, pair_len, &this_name, &value))
			return FORM_MALFORMED;
		if (view_is(this_name, name)) {
			found = value;
			matches++;
		}
		at += pair_len + 1;
	}
	if (matches != 1)
		return matches == 0 ? FORM_MISSING : FORM_REPEATED;
	*out = found;
	return FORM_FOUND;
}
