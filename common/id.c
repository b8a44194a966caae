/* SPDX-License-Identifier: MIT */
/* 128-bit identifiers: random, UUIDv8 of sessions, W3C trace ids. */
#include "common/id.h"

#include <string.h>

#include "common/secret.h"

#define PARENT_ID_BYTES 8
#define TRACEPARENT_LEN 55 /* 2 + 1 + 32 + 1 + 16 + 1 + 2 */

static const char hex_digits[] = "0123456789abcdef";

int
id_random(struct id128 *out)
{
	struct id128 id = { { 0 } };

	if (secret_random(id.b, sizeof(id.b)) != 0)
		return -1;
	*out = id;
	return 0;
}

int
id_session_new(uint32_t node_tag, struct id128 *out)
{
	struct id128 id;

	if (id_random(&id) != 0)
		return -1;
	id.b[0] = (unsigned char)(node_tag >> 24);
	id.b[1] = (unsigned char)(node_tag >> 16);
	id.b[2] = (unsigned char)(node_tag >> 8);
	id.b[3] = (unsigned char)node_tag;
	id.b[6] = (unsigned char)(0x80 | (id.b[6] & 0x0f));
	id.b[8] = (unsigned char)(0x80 | (id.b[8] & 0x3f));
	*out = id;
	return 0;
}

bool
id_is_session(const struct id128 *id)
{
	return (id->b[6] & 0xf0) == 0x80 && (id->b[8] & 0xc0) == 0x80;
}

uint32_t
id_session_node_tag(const struct id128 *id)
{
	return (uint32_t)id->b[0] << 24 | (uint32_t)id->b[1] << 16 | (uint32_t)id->b[2] << 8 |
	    (uint32_t)id->b[3];
}

uint32_t
id_node_tag(const char *name)
{
	uint32_t hash = UINT32_C(2166136261);

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * UINT32_C(16777619);
	return hash;
}

/* Whether character i of the canonical form of a UUID is a hyphen. */
static bool
is_hyphen_place(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

void
id_format(const struct id128 *id, char out[static ID_TEXT_SIZE])
{
	size_t digit = 0;

	for (size_t i = 0; i < ID_TEXT_SIZE - 1; i++) {
		if (is_hyphen_place(i)) {
			out[i] = '-';
			continue;
		}
		out[i] = hex_digits[id->b[digit / 2] >> (digit % 2 ? 0 : 4) & 0x0f];
		digit++;
	}
	out[ID_TEXT_SIZE - 1] = '\0';
}

/* The value of a lower-case hexadecimal digit, or -1. */
static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Reads 2 * n digits. out is written up to the first that is none. */
static int
hex_read(const char *text, unsigned char *out, size_t n)
{
	int high, low;

	for (size_t i = 0; i < n; i++) {
		high = hex_value(text[2 * i]);
		low = hex_value(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return -1;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return 0;
}

int
id_parse(const char *text, size_t len, struct id128 *out)
{
	char digits[2 * ID_BYTES];
	struct id128 id;
	size_t n = 0;

	if (len != ID_TEXT_SIZE - 1)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (!is_hyphen_place(i))
			digits[n++] = text[i];
		else if (text[i] != '-')
			return -1;
	}
	if (hex_read(digits, id.b, ID_BYTES) != 0)
		return -1;
	*out = id;
	return 0;
}

bool
id_equal(const struct id128 *a, const struct id128 *b)
{
	return memcmp(a->b, b->b, ID_BYTES) == 0;
}

bool
id_is_zero(const struct id128 *id)
{
	static const struct id128 zero;

	return id_equal(id, &zero);
}

static bool
is_all_zero(const unsigned char *bytes, size_t len)
{
	unsigned char any = 0;

	for (size_t i = 0; i < len; i++)
		any |= bytes[i];
	return any == 0;
}

int
trace_random(unsigned char out[static TRACE_ID_BYTES])
{
	unsigned char trace[TRACE_ID_BYTES];

	do {
		if (secret_random(trace, sizeof(trace)) != 0)
			return -1;
	} while (is_all_zero(trace, sizeof(trace)));
	memcpy(out, trace, sizeof(trace));
	return 0;
}

int
trace_parse(const char *value, size_t len, unsigned char out[static TRACE_ID_BYTES])
{
	unsigned char trace[TRACE_ID_BYTES], parent[PARENT_ID_BYTES], flags;

	if (len != TRACEPARENT_LEN || memcmp(value, "00-", 3) != 0)
		return -1;
	if (hex_read(value + 3, trace, sizeof(trace)) != 0 || value[35] != '-')
		return -1;
	if (hex_read(value + 36, parent, sizeof(parent)) != 0 || value[52] != '-')
		return -1;
	if (hex_read(value + 53, &flags, 1) != 0)
		return -1;
	if (is_all_zero(trace, sizeof(trace)) || is_all_zero(parent, sizeof(parent)))
		return -1;
	memcpy(out, trace, sizeof(trace));
	return 0;
}

void
trace_format(const unsigned char trace[static TRACE_ID_BYTES], char out[static TRACE_ID_TEXT_SIZE])
{
	for (size_t i = 0; i < TRACE_ID_BYTES; i++) {
		out[2 * i] = hex_digits[trace[i] >> 4];
		out[2 * i + 1] = hex_digits[trace[i] & 0x0f];
	}
	out[TRACE_ID_TEXT_SIZE - 1] = '\0';
}
