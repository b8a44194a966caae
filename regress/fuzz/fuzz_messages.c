/* SPDX-License-Identifier: MIT */
/* links: common/msg.c common/codec.c common/buf.c */
/* A record from a hostile neighbour: what decodes is within bounds and encodes to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "common/msg.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char again[MSG_MAX_BYTES];
	struct reader r;
	struct writer w;
	struct msg m;

	if (size > MSG_MAX_BYTES)
		return 0;
	reader_init(&r, data, size);
	if (msg_get_header(&r, &m) != 0 || msg_get_payload(&r, &m) != 0)
		return 0;
	writer_init(&w, again, sizeof(again));
	if (msg_put(&w, m.type, m.request_id, &m.trace, &m.u) != 0)
		abort();
	if (w.len != size || memcmp(again, data, size) != 0)
		abort();
	return 0;
}
