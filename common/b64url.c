/* SPDX-License-Identifier: MIT */
/* base64url without padding, canonical only. */
#include "common/b64url.h"

#include <stdint.h>

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

/* The value of one character of the alphabet, or -1. */
static int
b64url_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int
b64url_decode(const char *text, size_t len, unsigned char *out, size_t out_size, size_t *out_len)
{
	unsigned int bits = 0, count = 0;
	size_t n = 0;
	int value;

	if (len % 4 == 1 || B64URL_BYTES_MAX(len) > out_size)
		return -1;
	for (size_t i = 0; i < len; i++) {
		value = b64url_value(text[i]);
		if (value < 0)
			return -1;
		bits = (bits << 6 | (unsigned int)value) & 0xffff;
		count += 6;
		if (count >= 8) {
			count -= 8;
			out[n++] = (unsigned char)(bits >> count);
		}
	}
	/* Bits that no byte takes must be 0, or several texts would stand for one value. */
	if ((bits & ((1U << count) - 1)) != 0)
		return -1;
	*out_len = n;
	return 0;
}
