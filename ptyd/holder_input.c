/* SPDX-License-Identifier: MIT */
/* Input by offset: see holder_input.h. */
#include "ptyd/holder_input.h"

#include <string.h>

#include "common/err.h"

void
input_init(struct input *in)
{
	in->next = 0;
	in->at = in->len = 0;
}

static size_t
enqueue(struct input *in, const unsigned char *bytes, size_t len)
{
	size_t room = INPUT_QUEUE_BYTES - in->len;

	if (len > room)
		len = room;
	if (len > INPUT_QUEUE_BYTES - in->at - in->len) {
		memmove(in->bytes, in->bytes + in->at, in->len);
		in->at = 0;
	}
	memcpy(in->bytes + in->at + in->len, bytes, len);
	in->len += len;
	in->next += len;
	return len;
}

int
input_offer(struct input *in, uint64_t offset, const void *bytes, size_t len)
{
	uint64_t known;

	if (offset > in->next || len > UINT64_MAX - offset)
		return -FOG_E_OFFSET;
	known = in->next - offset;
	if (known >= len)
		return 0;
	len -= (size_t)known;
	return enqueue(in, (const unsigned char *)bytes + known, len) == len ? 0 : -FOG_E_FULL;
}

const unsigned char *
input_view(const struct input *in, size_t *len)
{
	*len = in->len;
	return in->len > 0 ? in->bytes + in->at : NULL;
}

void
input_consume(struct input *in, size_t len)
{
	if (len > in->len)
		len = in->len;
	explicit_bzero(in->bytes + in->at, len);
	in->at += len;
	in->len -= len;
	if (in->len == 0)
		in->at = 0;
}
