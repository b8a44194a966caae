/* SPDX-License-Identifier: MIT */
/*
 * What a client sends on an attached WebSocket under libFuzzer: the first byte chooses protocol and
 * frame kind, the rest is one message. What is accepted has to be in bounds, and its input has to
 * fit the stream; output of the same bytes has to have the length that was promised.
 */
#include "gatewayd/termproto.h"

#include <stdlib.h>
#include <string.h>

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
check_event(const struct term_event *e, const unsigned char *message, size_t len,
    const unsigned char *scratch)
{
	const unsigned char *p = (const unsigned char *)e->bytes.p;

	if (e->kind == TERM_RESIZE)
		INVARIANT(e->cols >= 1 && e->cols <= 1000 && e->rows >= 1 && e->rows <= 1000);
	if (e->kind == TERM_RENEWAL) {
		INVARIANT(e->bytes.len >= 1 && e->bytes.len <= TERM_TOKEN_MAX);
		INVARIANT(p == message + 1 && e->bytes.len == len - 1);
		for (size_t i = 0; i < e->bytes.len; i++)
			INVARIANT(p[i] > ' ' && p[i] < 0x7f);
	}
	if (e->kind != TERM_INPUT)
		return;
	INVARIANT(e->bytes.len >= 1 && e->bytes.len <= len);
	INVARIANT((p >= scratch && p + e->bytes.len <= scratch + len) ||
	    (p >= message && p + e->bytes.len <= message + len));
}

static void
check_output(enum term_proto proto, const uint8_t *data, size_t len)
{
	size_t size = term_output_size(proto, len);
	unsigned char *out = malloc(size);

	term_put_output(proto, data, len, out);
	INVARIANT(proto == TERM_V1 ? memcmp(out + 1, data, len) == 0 : out[size - 1] == '}');
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct term_event e;
	const char *why = NULL;
	unsigned char *scratch;
	enum term_proto proto;
	unsigned code;

	if (len < 1)
		return 0;
	proto = data[0] & 1 ? TERM_V1 : TERM_JSON;
	scratch = malloc(len);
	code = term_decode(proto, data[0] & 2, data + 1, len - 1, scratch, &e, &why);
	INVARIANT(code == 0 || code == 1003 || code == 1008);
	INVARIANT((code == 0) == (why == NULL));
	if (code == 0)
		check_event(&e, data + 1, len - 1, scratch);
	if (len > 1)
		check_output(proto, data + 1, len - 1);
	free(scratch);
	return 0;
}
