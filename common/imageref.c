/* SPDX-License-Identifier: MIT */
/* Names of images: see imageref.h. */
#include "common/imageref.h"

#include <string.h>

#define PREFIX "sha256:"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)
#define DIGEST_BYTES (sizeof(struct raw32))

_Static_assert(IMAGEREF_DIGEST_TEXT_SIZE == PREFIX_BYTES + 2 * DIGEST_BYTES + 1, "sha256:HEX");

#define SHOWN "`fogctl image list` shows it"

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool
is_name(struct view v)
{
	if (v.len < 1 || v.len > IMAGEREF_NAME_MAX || !is_name_byte(v.p[0]))
		return false;
	for (size_t i = 1; i < v.len; i++) {
		if (!is_name_byte(v.p[i]) && v.p[i] != '.' && v.p[i] != '_' && v.p[i] != '-')
			return false;
		if (v.p[i] == '.' && v.p[i - 1] == '.')
			return false;
	}
	return true;
}

/* -1: no digit of ours, which are lower case. */
static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
read_digest(struct view v, struct raw32 *out)
{
	struct raw32 digest;

	if (v.len != PREFIX_BYTES + 2 * DIGEST_BYTES || memcmp(v.p, PREFIX, PREFIX_BYTES) != 0)
		return false;
	for (size_t i = 0; i < DIGEST_BYTES; i++) {
		const char *pair = v.p + PREFIX_BYTES + 2 * i;
		int high = hex_value(pair[0]), low = hex_value(pair[1]);

		if (high < 0 || low < 0)
			return false;
		digest.b[i] = (unsigned char)(high << 4 | low);
	}
	if (imageref_is_none(&digest))
		return false;
	*out = digest;
	return true;
}

const char *
imageref_parse(struct view text, struct raw32 *digest)
{
	const char *at = text.len ? memchr(text.p, '@', text.len) : NULL;
	struct view name = view_bytes(text.p, at ? (size_t)(at - text.p) : 0), rest = text;

	if (at)
		rest = view_bytes(at + 1, text.len - name.len - 1);
	else if (text.len < PREFIX_BYTES || memcmp(text.p, PREFIX, PREFIX_BYTES) != 0)
		return "a name or a tag can be moved, so a digest is needed, as in "
		       "NAME@sha256:HEX; " SHOWN;
	if (at && !is_name(name))
		return "the name before the @ has a-z and 0-9, and inside also - . _, at most 64";
	if (!read_digest(rest, digest))
		return "a digest is sha256: and 64 of 0-9 and a-f; " SHOWN;
	return NULL;
}

void
imageref_format(const struct raw32 *digest, char out[static IMAGEREF_DIGEST_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	char *at = out + PREFIX_BYTES;

	memcpy(out, PREFIX, PREFIX_BYTES);
	for (size_t i = 0; i < DIGEST_BYTES; i++) {
		*at++ = digits[digest->b[i] >> 4];
		*at++ = digits[digest->b[i] & 15];
	}
	*at = '\0';
}

bool
imageref_is_none(const struct raw32 *digest)
{
	static const struct raw32 none;

	return memcmp(digest, &none, sizeof(none)) == 0;
}
