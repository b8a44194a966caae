/* SPDX-License-Identifier: MIT */
/* Framing of the stream: see stream.h. */
#include "common/stream.h"

#include "common/cleanup.h"

#define STREAM_FIELDS(NAME, letter, name, sender) \
	static const struct field fields_##name[] = { FIELDS_stream_##name(CODEC_ROW, \
	    struct stream_##name){ 0 } };
STREAM_MESSAGES(STREAM_FIELDS)

#define STREAM_ROW(NAME, letter, name, sender) \
	{ #NAME, letter, PROC_##sender, \
		{ #name, fields_##name, COUNT_OF(fields_##name) - 1, \
		    sizeof(struct stream_##name) } },
const struct stream_row stream_rows[STREAM_COUNT] = { STREAM_MESSAGES(STREAM_ROW) };

#define STATE_TEXT(name, text) text,
static const char *const state_names[] = { "unknown", STREAM_STATES(STATE_TEXT) };

static void
put_be32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

int
stream_put(struct writer *w, enum stream_type type, const void *payload)
{
	size_t start = w->len;
	int rc;

	put_u32(w, 0);
	put_u8(w, stream_rows[type].letter);
	rc = codec_put(w, &stream_rows[type].layout, payload, NULL);
	if (rc == 0)
		put_be32(w->p + start, (uint32_t)(w->len - start - 4));
	return rc;
}

void
stream_put_output_header(unsigned char out[static STREAM_HEADER_BYTES], size_t len)
{
	put_be32(out, (uint32_t)len + 1);
	out[4] = stream_rows[STREAM_OUTPUT].letter;
}

static int
find_row(unsigned char letter, enum proc_id sender, enum stream_type *type)
{
	for (size_t i = 0; i < STREAM_COUNT; i++) {
		if (stream_rows[i].letter == letter && stream_rows[i].sender == sender) {
			*type = (enum stream_type)i;
			return 0;
		}
	}
	return -FOG_E_LIAR;
}

static int
read_frame(const unsigned char *frame, size_t len, enum proc_id sender, struct stream_msg *out)
{
	struct reader r;

	if (find_row(frame[0], sender, &out->type) != 0)
		return -FOG_E_LIAR;
	reader_init(&r, frame + 1, len - 1);
	if (codec_get(&r, &stream_rows[out->type].layout, &out->u, NULL) != 0)
		return -FOG_E_LIAR;
	return reader_done(&r) == 0 ? 1 : -FOG_E_LIAR;
}

int
stream_next(const void *bytes, size_t len, enum proc_id sender, struct stream_msg *out,
    size_t *used)
{
	struct reader r;
	uint32_t frame_len;
	int rc;

	if (len < 4)
		return 0;
	reader_init(&r, bytes, len);
	frame_len = get_u32(&r);
	if (frame_len < 1 || frame_len > STREAM_FRAME_MAX - 4)
		return -FOG_E_LIAR;
	if (len - 4 < frame_len)
		return 0;
	rc = read_frame((const unsigned char *)bytes + 4, frame_len, sender, out);
	if (rc == 1)
		*used = 4 + (size_t)frame_len;
	return rc;
}

uint64_t
stream_hash(uint64_t seed)
{
	for (size_t i = 0; i < STREAM_COUNT; i++) {
		seed = fnv1a(seed, &stream_rows[i].letter, sizeof(stream_rows[i].letter));
		seed = codec_hash(seed, &stream_rows[i].layout);
	}
	return seed;
}

const char *
stream_state_name(unsigned state)
{
	return state_names[state < COUNT_OF(state_names) ? state : 0];
}
