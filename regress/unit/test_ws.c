/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/ws.c. links: gatewayd/ws.c gatewayd/http1.c */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "gatewayd/ws.h"

/* Those of wslay too. A sanitizer has an allocator of its own. */
static size_t allocations;
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define COUNTS_ALLOCATIONS
void *__libc_malloc(size_t size);

void *
malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}
#endif

#define MAX_MESSAGE 4096
#define BYTES(text) text, sizeof(text) - 1

/* --- the handshake --- */

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" /* RFC 6455 1.3 */
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define PROTOCOLS(list) UPGRADE KEY VERSION "Sec-WebSocket-Protocol: " list "\r\n"

static const struct {
	const char *fields;
	enum ws_verdict verdict;
	const char *protocol, *token;
} handshakes[] = {
	{ UPGRADE KEY VERSION, WS_ACCEPTED, NULL, NULL },
	{ "Upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n" KEY VERSION, WS_ACCEPTED,
	    NULL, NULL },
	{ "Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n" KEY VERSION, WS_ACCEPTED, NULL,
	    NULL },
	{ "", WS_NOT_UPGRADE, NULL, NULL },
	{ "Upgrade: websocket\r\n" KEY VERSION, WS_NOT_UPGRADE, NULL, NULL },
	{ "Connection: Upgrade\r\n" KEY VERSION, WS_NOT_UPGRADE, NULL, NULL },
	{ "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY VERSION, WS_NOT_UPGRADE, NULL, NULL },
	{ UPGRADE KEY, WS_NOT_UPGRADE, NULL, NULL },
	{ UPGRADE KEY "Sec-WebSocket-Version: 8\r\n", WS_NOT_UPGRADE, NULL, NULL },
	{ UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n", WS_NOT_UPGRADE, NULL, NULL },
	{ UPGRADE KEY VERSION VERSION, WS_NOT_UPGRADE, NULL, NULL },
	{ UPGRADE VERSION, WS_BAD_KEY, NULL, NULL },
	{ UPGRADE KEY KEY VERSION, WS_BAD_KEY, NULL, NULL },
	{ UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n", WS_BAD_KEY, NULL, NULL },
	{ UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n", WS_BAD_KEY, NULL,
	    NULL },
	{ UPGRADE VERSION "Sec-WebSocket-Key: not base64 at all!!!!!==\r\n", WS_BAD_KEY, NULL,
	    NULL },
	{ UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==x\r\n", WS_BAD_KEY, NULL,
	    NULL },
	{ PROTOCOLS("fog.pty.v1"), WS_ACCEPTED, "fog.pty.v1", NULL },
	{ PROTOCOLS("fog.pty.json"), WS_ACCEPTED, "fog.pty.json", NULL },
	{ PROTOCOLS("fog.pty.v1, fog.token.a.b.c"), WS_ACCEPTED, "fog.pty.v1", "a.b.c" },
	{ PROTOCOLS("fog.token.a.b.c,fog.pty.json,fog.pty.v1"), WS_ACCEPTED, "fog.pty.json",
	    "a.b.c" },
	{ PROTOCOLS("fog.token.a.b.c"), WS_ACCEPTED, NULL, "a.b.c" },
	{ PROTOCOLS("fog.token."), WS_ACCEPTED, NULL, "" },
	{ PROTOCOLS("chat"), WS_ACCEPTED, NULL, NULL },
	{ PROTOCOLS("fog.pty.v9, fog.pty.v1"), WS_ACCEPTED, "fog.pty.v1", NULL },
	{ PROTOCOLS("fog.pty.v1") "Sec-WebSocket-Protocol: fog.token.x\r\n", WS_ACCEPTED,
	    "fog.pty.v1", "x" },
	{ PROTOCOLS("fog.pty.v99"), WS_BAD_PROTOCOL, NULL, NULL },
	{ PROTOCOLS("fog.pty.v99, fog.token.a"), WS_BAD_PROTOCOL, NULL, NULL },
	{ PROTOCOLS("fog.token.a, fog.token.b"), WS_BAD_PROTOCOL, NULL, NULL },
	{ PROTOCOLS("fog.pty.v1,,fog.token.a"), WS_BAD_PROTOCOL, NULL, NULL },
	{ PROTOCOLS("fog.pty.v1,"), WS_BAD_PROTOCOL, NULL, NULL },
};

static struct http1 *
parse_request(const char *fields)
{
	static const struct http1_limits limits = { .header_bytes = 4096,
		.header_count = 32,
		.uri_bytes = 64,
		.body_bytes = 0 };
	struct http1 *h = http1_new(&limits);
	char text[2048];
	size_t used;
	int len;

	assert_non_null(h);
	len = snprintf(text, sizeof(text), "GET /x HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
	assert_int_equal(http1_feed(h, text, (size_t)len, &used), HTTP1_HEADERS_DONE);
	return h;
}

static void
checks_handshakes(void **state)
{
	struct ws_handshake shake;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(handshakes); i++) {
		struct http1 *h = parse_request(handshakes[i].fields);
		enum ws_verdict verdict = ws_check_handshake(h, &shake);

		if (verdict != handshakes[i].verdict)
			fail_msg("%d for:\n%s", verdict, handshakes[i].fields);
		if (verdict == WS_ACCEPTED) {
			assert_string_equal(shake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
			if (handshakes[i].protocol)
				assert_string_equal(shake.protocol, handshakes[i].protocol);
			else
				assert_null(shake.protocol);
			assert_int_equal(shake.token.p != NULL, handshakes[i].token != NULL);
			if (handshakes[i].token)
				assert_true(view_is(shake.token, handshakes[i].token));
		}
		http1_free(h);
	}
}

/* --- frames --- */

struct side {
	const unsigned char *in;
	size_t in_len, in_at, step;
	unsigned char out[65536];
	size_t out_len;
	char messages[MAX_MESSAGE + 64];
	size_t message_count, control_count;
	bool last_is_text;
};

static size_t
side_read(void *ctx, void *out, size_t len)
{
	struct side *s = ctx;
	size_t left = s->in_len - s->in_at;
	size_t n = left < s->step ? left : s->step;

	n = n < len ? n : len;
	memcpy(out, s->in + s->in_at, n);
	s->in_at += n;
	return n;
}

static void
side_write(void *ctx, const void *bytes, size_t len)
{
	struct side *s = ctx;

	assert_true(s->out_len + len <= sizeof(s->out));
	memcpy(s->out + s->out_len, bytes, len);
	s->out_len += len;
}

static void
side_message(void *ctx, bool is_text, const unsigned char *bytes, size_t len)
{
	struct side *s = ctx;

	assert_true(len <= MAX_MESSAGE);
	if (len > 0)
		memcpy(s->messages, bytes, len);
	s->messages[len] = '\0';
	s->last_is_text = is_text;
	s->message_count++;
}

static void
side_control(void *ctx, enum ws_opcode opcode)
{
	struct side *s = ctx;

	assert_true(opcode == WS_PING || opcode == WS_PONG);
	s->control_count++;
}

static const struct ws_ops ops = { side_read, side_write, side_message, side_control };

/* All masked with the key 00 00 00 00 where masked: the payload is readable. */
#define MASK "\0\0\0\0"

static const struct {
	const char *name, *bytes;
	size_t len;
	unsigned code; /* of our close frame; 0: none */
	size_t messages, controls;
} streams[] = {
	{ "text", BYTES("\x81\x82" MASK "hi"), 0, 1, 0 },
	{ "binary", BYTES("\x82\x82" MASK "hi"), 0, 1, 0 },
	{ "empty text", BYTES("\x81\x80" MASK), 0, 1, 0 },
	{ "fragments with a ping inside",
	    BYTES("\x01\x81" MASK "h\x89\x81" MASK "p\x80\x81" MASK "i"), 0, 1, 1 },
	{ "pong", BYTES("\x8a\x80" MASK), 0, 0, 1 },
	{ "close 1000", BYTES("\x88\x82" MASK "\x03\xe8"), 1000, 0, 0 },
	{ "close 4321 with a reason",
	    BYTES("\x88\x85" MASK "\x10\xe1"
		  "bye"),
	    4321, 0, 0 },
	{ "unmasked", BYTES("\x81\x02hi"), 1002, 0, 0 },
	{ "reserved bit 1", BYTES("\xc1\x82" MASK "hi"), 1002, 0, 0 },
	{ "reserved bit 3", BYTES("\x91\x82" MASK "hi"), 1002, 0, 0 },
	{ "opcode 3", BYTES("\x83\x80" MASK), 1002, 0, 0 },
	{ "opcode 11", BYTES("\x8b\x80" MASK), 1002, 0, 0 },
	{ "fragmented ping", BYTES("\x09\x80" MASK), 1002, 0, 0 },
	{ "ping of 126 bytes", BYTES("\x89\xfe\0\x7e" MASK), 1002, 0, 0 },
	{ "continuation of nothing", BYTES("\x80\x81" MASK "x"), 1002, 0, 0 },
	{ "text inside fragments", BYTES("\x01\x81" MASK "h\x81\x81" MASK "i"), 1002, 0, 0 },
	{ "length of 16 bits not needed", BYTES("\x81\xfe\0\x02" MASK "hi"), 1002, 0, 0 },
	{ "length of 64 bits not needed", BYTES("\x81\xff\0\0\0\0\0\0\0\x02" MASK "hi"), 1002, 0,
	    0 },
	{ "length with its highest bit", BYTES("\x81\xff\x80\0\0\0\0\0\0\0" MASK), 1002, 0, 0 },
	{ "close with one byte", BYTES("\x88\x81" MASK "x"), 1002, 0, 0 },
	{ "close 999", BYTES("\x88\x82" MASK "\x03\xe7"), 1002, 0, 0 },
	{ "close 1005", BYTES("\x88\x82" MASK "\x03\xed"), 1002, 0, 0 },
	{ "close with a reason not UTF-8", BYTES("\x88\x83" MASK "\x03\xe8\xff"), 1007, 0, 0 },
	{ "text not UTF-8", BYTES("\x81\x82" MASK "\xc3\x28"), 1007, 0, 0 },
	{ "text that ends in a character", BYTES("\x81\x81" MASK "\xc3"), 1007, 0, 0 },
	{ "text with a surrogate", BYTES("\x81\x83" MASK "\xed\xa0\x80"), 1007, 0, 0 },
	{ "text not UTF-8 across fragments", BYTES("\x01\x81" MASK "\xc3\x80\x81" MASK "("), 1007,
	    0, 0 },
	{ "over the limit", BYTES("\x82\xfe\x10\x01" MASK "x"), 1009, 0, 0 },
	{ "absurd length", BYTES("\x82\xff\0\0\1\0\0\0\0\0" MASK "x"), 1009, 0, 0 },
};

static unsigned
close_code_of(const struct side *s)
{
	const unsigned char *p = s->out;

	while (p < s->out + s->out_len && p[0] != (0x80 | WS_CLOSE))
		p += 2 + p[1]; /* only short frames here */
	return p < s->out + s->out_len && p[1] >= 2 ? (unsigned)p[2] << 8 | p[3] : 0;
}

static struct side *
run_stream(const void *bytes, size_t len, size_t step, struct ws **ws)
{
	struct side *s = calloc(1, sizeof(*s));

	*s = (struct side){ .in = bytes, .in_len = len, .step = step };
	*ws = ws_new(&ops, s, MAX_MESSAGE);
	assert_non_null(*ws);
	while (s->in_at < s->in_len && !ws_is_closed(*ws)) {
		size_t before = s->in_at;

		ws_receive(*ws);
		if (s->in_at == before)
			break;
	}
	return s;
}

static void
reads_frames(void **state)
{
	struct ws *ws;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(streams); i++) {
		struct side *s = run_stream(streams[i].bytes, streams[i].len, 4096, &ws);

		if (close_code_of(s) != streams[i].code ||
		    s->message_count != streams[i].messages ||
		    s->control_count != streams[i].controls)
			fail_msg("%s: close %u, %zu messages, %zu controls", streams[i].name,
			    close_code_of(s), s->message_count, s->control_count);
		assert_int_equal(ws_is_closed(ws), streams[i].code != 0);
		assert_int_equal(ws_close_code(ws), streams[i].code);
		ws_free(ws);
		free(s);
	}
}

static void
pings_are_answered(void **state)
{
	struct ws *ws;
	struct side *s = run_stream(BYTES("\x89\x83" MASK "abc"), 1, &ws);

	(void)state;
	assert_int_equal(s->out_len, 5);
	assert_memory_equal(s->out,
	    "\x8a\x03"
	    "abc",
	    5);
	ws_ping(ws);
	assert_memory_equal(s->out + 5, "\x89\x00", 2);
	ws_close(ws, 4000, "why");
	assert_memory_equal(s->out + 7, "\x88\x05\x0f\xa0why", 7);
	ws_close(ws, 1000, "");
	ws_ping(ws);
	assert_int_equal(s->out_len, 14);
	assert_int_equal(ws_close_code(ws), 4000);
	ws_free(ws);
	free(s);
}

static void
too_many_fragments_are_refused(void **state)
{
	size_t count = WS_FRAGMENTS_MAX + 1, len = 0;
	unsigned char *bytes = malloc(count * 7);
	struct side *s;
	struct ws *ws;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		/* One byte each, all but the first a continuation. */
		const unsigned char one[7] = { i == 0 ? 0x02 : 0x00, 0x81, 0, 0, 0, 0, 'x' };

		memcpy(bytes + len, one, sizeof(one));
		len += sizeof(one);
	}
	s = run_stream(bytes, len, 4096, &ws);
	assert_int_equal(close_code_of(s), 1009);
	ws_free(ws);
	free(s);
	s = run_stream(bytes, len - 7, 4096, &ws);
	assert_false(ws_is_closed(ws));
	ws_free(ws);
	free(s);
	free(bytes);
}

/* A message of so many bytes, 'a' to 'z' again and again, in frames of equal size. */
static size_t
put_message(unsigned char *out, size_t len, size_t frames)
{
	size_t at = 0, piece = len / frames;

	for (size_t i = 0; i < frames; i++) {
		size_t from = i * piece, size = i + 1 < frames ? piece : len - from;
		unsigned char header[WS_HEADER_MAX];
		size_t header_len = ws_put_header(WS_BINARY, size, header);

		header[0] = (unsigned char)((i + 1 == frames ? 0x80 : 0) |
		    (i == 0 ? WS_BINARY : 0));
		header[1] |= 0x80; /* masked */
		memcpy(out + at, header, header_len);
		memset(out + at + header_len, 0, 4); /* with zeros */
		at += header_len + 4;
		for (size_t j = 0; j < size; j++)
			out[at++] = (unsigned char)('a' + (from + j) % 26);
	}
	return at;
}

/* In one piece or in many, below and above what wslay reads at once. */
static void
messages_come_whole(void **state)
{
	static const size_t lens[] = { 1, 2, 125, 126, 4087, 4088, 4089, MAX_MESSAGE };
	static const size_t steps[] = { 1, 13, 4096 };
	static unsigned char bytes[2 * (MAX_MESSAGE + 64)];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lens) * COUNT_OF(steps) * 3; i++) {
		size_t want = lens[i / 3 / COUNT_OF(steps)], len;
		struct side *s;
		struct ws *ws;

		/* Two of them: the second must know nothing of the first. */
		len = put_message(bytes, want, 1 + i % 3);
		len += put_message(bytes + len, want, 1);
		s = run_stream(bytes, len, steps[i / 3 % COUNT_OF(steps)], &ws);
		assert_false(ws_is_closed(ws));
		assert_int_equal(s->message_count, 2);
		assert_int_equal(strlen(s->messages), want);
		for (size_t j = 0; j < want; j++)
			assert_int_equal(s->messages[j], 'a' + j % 26);
		ws_free(ws);
		free(s);
	}
}

static void
the_limit_is_for_all_frames_of_a_message(void **state)
{
	static unsigned char bytes[2 * (MAX_MESSAGE + 64)];
	size_t len = put_message(bytes, MAX_MESSAGE + 1, 2);
	struct ws *ws;
	struct side *s = run_stream(bytes, len, 4096, &ws);

	(void)state;
	assert_int_equal(close_code_of(s), 1009);
	assert_int_equal(s->message_count, 0);
	ws_free(ws);
	free(s);
}

static void
a_short_message_allocates_nothing(void **state)
{
	unsigned char bytes[64];
	struct side s = { .in = bytes, .step = sizeof(bytes) };
	struct ws *ws = ws_new(&ops, &s, MAX_MESSAGE);
	size_t before;

	(void)state;
	s.in_len = put_message(bytes, 10, 1);
	before = allocations;
	for (int i = 0; i < 1000; i++) {
		s.in_at = 0;
		ws_receive(ws);
	}
	assert_int_equal(s.message_count, 1000);
#ifdef COUNTS_ALLOCATIONS
	assert_true(before > 0);
	assert_int_equal(allocations, before);
#endif
	ws_free(ws);
}

static void
writes_headers(void **state)
{
	static const struct {
		size_t len;
		const char *bytes;
		size_t size;
	} cases[] = {
		{ 0, BYTES("\x82\x00") },
		{ 125, BYTES("\x82\x7d") },
		{ 126, BYTES("\x82\x7e\0\x7e") },
		{ 65535, BYTES("\x82\x7e\xff\xff") },
		{ 65536, BYTES("\x82\x7f\0\0\0\0\0\1\0\0") },
	};
	unsigned char out[WS_HEADER_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(ws_put_header(WS_BINARY, cases[i].len, out), cases[i].size);
		assert_memory_equal(out, cases[i].bytes, cases[i].size);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_handshakes),
		cmocka_unit_test(reads_frames),
		cmocka_unit_test(pings_are_answered),
		cmocka_unit_test(too_many_fragments_are_refused),
		cmocka_unit_test(messages_come_whole),
		cmocka_unit_test(the_limit_is_for_all_frames_of_a_message),
		cmocka_unit_test(a_short_message_allocates_nothing),
		cmocka_unit_test(writes_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
