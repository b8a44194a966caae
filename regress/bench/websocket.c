/* SPDX-License-Identifier: MIT */
/* WebSocket frames: see websocket.h. */
#include "regress/bench/websocket.h"

#include <stdbool.h>
#include <string.h>

#include "regress/bench/bench.h"

#define FIN 0x80
#define MASKED 0x80
#define HEAD_MAX 14

struct frame {
	uint8_t opcode;
	struct view payload;
};

void
ws_init(struct websocket *w, struct link *l, struct view first)
{
	if (first.len > sizeof(w->bytes))
		bench_fail("too much behind the answer to the upgrade");
	w->link = *l;
	*l = (struct link){ .fd = -1 };
	w->mask = (uint32_t)(uintptr_t)w | 1;
	w->from = 0;
	w->to = first.len;
	memcpy(w->bytes, first.p, first.len);
}

void
ws_fini(struct websocket *w)
{
	link_close(&w->link);
}

/* Xorshift: the masks must differ, as a browser's do; nobody is there to guess them. */
static uint32_t
next_mask(struct websocket *w)
{
	w->mask ^= w->mask << 13;
	w->mask ^= w->mask >> 17;
	w->mask ^= w->mask << 5;
	return w->mask;
}

void
ws_send(struct websocket *w, enum ws_opcode opcode, const void *bytes, size_t len)
{
	unsigned char storage[HEAD_MAX + WS_SEND_MAX], key[4];
	uint32_t mask = next_mask(w);
	struct writer frame;
	size_t head;

	writer_init(&frame, storage, sizeof(storage));
	put_u8(&frame, FIN | (uint8_t)opcode);
	put_u8(&frame, MASKED | (uint8_t)(len < 126 ? len : 126));
	if (len >= 126)
		put_u16(&frame, (uint16_t)len);
	put_u32(&frame, mask);
	head = frame.len;
	put_raw(&frame, bytes, len);
	if (frame.err != 0 || len > WS_SEND_MAX)
		bench_fail("a message of %zu bytes is too long", len);
	memcpy(key, storage + head - sizeof(key), sizeof(key));
	for (size_t i = 0; i < len; i++)
		storage[head + i] ^= key[i % sizeof(key)];
	link_send(&w->link, storage, frame.len);
}

/* Takes one whole frame off the front; false when more has to come. */
static bool
take_frame(struct websocket *w, struct frame *out)
{
	const unsigned char *at = w->bytes + w->from;
	size_t have = w->to - w->from, head = 2;
	uint64_t len = 0;

	if (have < head)
		return false;
	if ((at[0] & 0xf0) != FIN || (at[1] & MASKED))
		bench_fail("a frame in fragments, masked or with reserved bits");
	head += at[1] == 126 ? 2 : at[1] == 127 ? 8 : 0;
	if (have < head)
		return false;
	for (size_t i = 2; i < head; i++)
		len = len << 8 | at[i];
	if (head == 2)
		len = at[1];
	if (len > sizeof(w->bytes) / 2)
		bench_fail("a message of %llu bytes", (unsigned long long)len);
	if (have < head + len)
		return false;
	out->opcode = at[0] & 0xf;
	out->payload = view_bytes(at + head, len);
	w->from += head + len;
	return true;
}

/* False: nothing came in time. */
static bool
receive_more(struct websocket *w)
{
	size_t room, n;

	if (w->from == w->to || w->from > sizeof(w->bytes) / 2) {
		memmove(w->bytes, w->bytes + w->from, w->to - w->from);
		w->to -= w->from;
		w->from = 0;
	}
	room = sizeof(w->bytes) - w->to;
	n = link_recv(&w->link, w->bytes + w->to,
	    room < WS_RECV_ONCE_BYTES ? room : WS_RECV_ONCE_BYTES);
	w->to += n;
	return n > 0;
}

static _Noreturn void
fail_on_close(struct view payload)
{
	const unsigned char *p = (const unsigned char *)payload.p;

	bench_fail("the service closed the WebSocket with %u",
	    payload.len >= 2 ? (unsigned)(p[0] << 8 | p[1]) : 1005);
}

struct view
ws_next(struct websocket *w, enum ws_opcode opcode)
{
	struct frame f;

	for (;;) {
		while (!take_frame(w, &f)) {
			if (!receive_more(w))
				return view_bytes(NULL, 0);
		}
		if (f.opcode == opcode)
			return f.payload;
		if (f.opcode == WS_CLOSE)
			fail_on_close(f.payload);
		if (f.opcode != WS_PING)
			bench_fail("a frame with opcode %u", f.opcode);
		ws_send(w, WS_PONG, f.payload.p, f.payload.len);
	}
}
