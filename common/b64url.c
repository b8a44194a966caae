/* SPDX-License-Identifier: MIT */
/* base64url without padding, canonical only. */
#include "common/b64url.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int
b64url_encode(const void *bytes, size_t len, char *out, size_t out_size)
{
	const unsigned char *from = bytes;
	unsigned int bits = 0, count = 0;

	if (out_size == 0 || len > SIZE_MAX / 2 || B64URL_TEXT_LEN(len) > out_size - 1)
		return -1;
	for (size_t i = 0; i < len; i++) {
		bits = (bits << 8 | from[i]) & 0xffff;
		for (count += 8; count >= 6; count -= 6)
			*out++ = alphabet[bits >> (count - 6) & 0x3f];
	}
	if (count > 0)
		*out++ = alphabet[bits << (6 - count) & 0x3f];
	*out = '\0';
	return 0;
}

/*
 * One more than the value of each character of the alphabet, 0 for all others. A table, because
 * tokens are mostly base64url: reading them takes a good part of the time that a signature leaves.
 * What is looked up came from the network, and is no secret of ours.
 */
/* clang-format off */
#define ROW4(c, value) [c] = (value) + 1, (value) + 2, (value) + 3, (value) + 4
static const unsigned char values[256] = {
	ROW4('A', 0), ROW4('E', 4), ROW4('I', 8), ROW4('M', 12), ROW4('Q', 16), ROW4('U', 20),
	['Y'] = 25, ['Z'] = 26,
	ROW4('a', 26), ROW4('e', 30), ROW4('i', 34), ROW4('m', 38), ROW4('q', 42), ROW4('u', 46),
	['y'] = 51, ['z'] = 52,
	ROW4('0', 52), ROW4('4', 56), ['8'] = 61, ['9'] = 62,
	['-'] = 63, ['_'] = 64,
};
/* clang-format on */

#define NOT_IN_ALPHABET UINT32_MAX

/* Four characters as 24 bits, or NOT_IN_ALPHABET. */
static uint32_t
read_quad(const char text[static 4])
{
	const unsigned char *from = (const unsigned char *)text;
	uint32_t a = values[from[0]], b = values[from[1]], c = values[from[2]], d = values[from[3]];

	if (a == 0 || b == 0 || c == 0 || d == 0)
		return NOT_IN_ALPHABET;
	return (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
}

/*
 * Two or three characters at the end. Bits that no byte takes must be 0, or several texts would
 * stand for one value. Returns 0 or -1.
 */
static int
read_tail(const char *text, size_t len, unsigned char *out)
{
	char quad[4] = "AAAA"; /* zeros behind */
	uint32_t bits;

	memcpy(quad, text, len);
	bits = read_quad(quad);
	if (bits == NOT_IN_ALPHABET || (bits & (len == 2 ? 0xffff : 0xff)) != 0)
		return -1;
	out[0] = (unsigned char)(bits >> 16);
	if (len == 3)
		out[1] = (unsigned char)(bits >> 8);
	return 0;
}

int
b64url_decode(const char *text, size_t len, unsigned char *out, size_t out_size, size_t *out_len)
{
	size_t whole = len / 4 * 4;
	uint32_t bits;

	if (len % 4 == 1 || B64URL_BYTES_MAX(len) > out_size)
		return -1;
	for (size_t i = 0; i < whole; i += 4, out += 3) {
		bits = read_quad(text + i);
		if (bits == NOT_IN_ALPHABET)
			return -1;
		out[0] = (unsigned char)(bits >> 16);
		out[1] = (unsigned char)(bits >> 8);
		out[2] = (unsigned char)bits;
	}
	if (len > whole && read_tail(text + whole, len - whole, out) != 0)
		return -1;
	*out_len = B64URL_BYTES_MAX(len);
	return 0;
}
