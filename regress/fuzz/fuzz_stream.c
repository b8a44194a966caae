/* SPDX-License-Identifier: MIT */
/* links: common/stream.c common/codec.c common/buf.c */
/* The stream from either side: first byte chooses the sender, the rest is cut into frames. */
#include <stdlib.h>
#include <string.h>

#include "common/stream.h"

static size_t
frames(const uint8_t *data, size_t size, enum proc_id sender)
{
	static unsigned char again[STREAM_FRAME_MAX];
	struct stream_msg m;
	struct writer w;
	size_t used = 0;
	int rc = stream_next(data, size, sender, &m, &used);

	if (rc != 1)
		return 0;
	writer_init(&w, again, sizeof(again));
	if (used > size || stream_put(&w, m.type, &m.u) != 0)
		abort();
	if (w.len != used || memcmp(again, data, used) != 0)
		abort();
	return used;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum proc_id sender = size > 0 && data[0] & 1 ? PROC_HOLDER : PROC_GATEWAYD;

	for (size_t at = 1; at < size;) {
		size_t used = frames(data + at, size - at, sender);

		if (used == 0)
			break;
		at += used;
	}
	return 0;
}
