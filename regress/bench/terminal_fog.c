/* SPDX-License-Identifier: MIT */
/* Ours: a session by the API, attached by fog.pty.v1 or fog.pty.json, plain or over TLS (PROTOCOL). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"
#include "regress/bench/http.h"
#include "regress/bench/procstat.h"
#include "regress/bench/service.h"
#include "regress/bench/terminal.h"
#include "regress/bench/websocket.h"

/* Consumption is told after so much output or time, whichever is first (PROTOCOL 3.2). */
#define ACK_BYTES 8192
#define ACK_MS 50
#define JSON_TYPED_MAX 1024
#define OUTPUT_MAX (WS_RECV_BYTES / 2 / 4 * 3) /* of the longest message */
#define RING_KIB 4096                          /* the default ring: a mapping of its own */

struct fog_terminal {
	struct terminal base;
	enum service service;
	pid_t gatewayd, holder;        /* 0: not looked for yet */
	uint64_t in_at, out_at, acked; /* offsets of fog.pty.v1 */
	char id[64];
	unsigned char output[OUTPUT_MAX]; /* decoded, of fog.pty.json */
	struct websocket ws;
};

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* --- create, attach, end --- */

static void
expect_status(const struct http_answer *a, unsigned status, const char *what)
{
	if (a->status != status)
		bench_fail("%s: status %u: %.400s", what, a->status, a->body);
}

static void
create_session(struct fog_terminal *t, char *token, size_t token_size)
{
	static const char body[] = "{\"profile\":\"default\",\"ttl_seconds\":600}";
	uint16_t port = service_port(t->service);
	struct http_answer a;
	struct link l;

	link_open(&l, port, t->service == SERVICE_TLS);
	http_exchange(&l, &a,
	    "POST /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
	    "Authorization: Bearer bench\r\nContent-Type: application/json\r\n"
	    "Content-Length: %zu\r\n\r\n%s",
	    port, strlen(body), body);
	link_close(&l);
	expect_status(&a, 201, "POST /v1/sessions");
	json_text_member(a.body, "session_id", t->id, sizeof(t->id));
	json_text_member(a.body, "token", token, token_size);
}

static void
attach(struct fog_terminal *t, const char *protocol, const char *token)
{
	uint16_t port = service_port(t->service);
	struct http_answer a;
	struct link l;

	link_open(&l, port, t->service == SERVICE_TLS);
	http_exchange(&l, &a,
	    "GET /v1/sessions/%s/pty HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	    "Sec-WebSocket-Protocol: %s, fog.token.%s\r\n\r\n",
	    t->id, port, protocol, token);
	expect_status(&a, 101, "attach");
	ws_init(&t->ws, &l, view_bytes(a.body, a.body_len));
}

static struct terminal *
fog_open(const struct terminal_ops *ops, enum service service, const char *protocol)
{
	struct fog_terminal *t = calloc(1, sizeof(*t));
	char token[4096];

	if (!t)
		bench_fail("out of memory");
	t->base.ops = ops;
	t->service = service;
	create_session(t, token, sizeof(token));
	attach(t, protocol, token);
	return &t->base;
}

static void
fog_close(struct terminal *base)
{
	struct fog_terminal *t = (struct fog_terminal *)base;
	uint16_t port = service_port(t->service);
	struct http_answer a;
	struct link l;

	link_open(&l, port, t->service == SERVICE_TLS);
	http_exchange(&l, &a,
	    "DELETE /v1/sessions/%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
	    "Authorization: Bearer bench\r\n\r\n",
	    t->id, port);
	link_close(&l);
	expect_status(&a, 200, "DELETE");
	ws_fini(&t->ws);
	free(t);
}

/* The holder is the youngest of all, as long as sessions are opened one after the other. */
static void
find_processes(struct fog_terminal *t)
{
	if (t->holder != 0)
		return;
	t->holder = service_process(t->service, "holder");
	t->gatewayd = service_process(t->service, "gatewayd");
}

static double
fog_cpu_s(struct terminal *base)
{
	struct fog_terminal *t = (struct fog_terminal *)base;

	find_processes(t);
	return proc_cpu_s(t->gatewayd) + proc_cpu_s(t->holder);
}

static int
fog_memory(struct terminal *base, struct memory *out)
{
	struct fog_terminal *t = (struct fog_terminal *)base;
	struct memory front, holder;

	find_processes(t);
	if (proc_memory(t->gatewayd, 0, &front) != 0 ||
	    proc_memory(t->holder, RING_KIB, &holder) != 0)
		return -1;
	out->rss_kib = front.rss_kib + holder.rss_kib;
	out->pss_kib = front.pss_kib + holder.pss_kib;
	out->private_kib = front.private_kib + holder.private_kib;
	return 0;
}

/* --- fog.pty.v1 --- */

static void
v1_on_hello(struct fog_terminal *t, struct view payload)
{
	char json[2048];

	if (view_copy(payload, json, sizeof(json)) != 0)
		bench_fail("a hello of %zu bytes", payload.len);
	t->in_at = json_number_member(json, "in_next");
	t->out_at = t->acked = json_number_member(json, "out_from");
}

static struct terminal *
v1_open_on(const struct terminal_ops *ops, enum service service)
{
	struct terminal *base = fog_open(ops, service, "fog.pty.v1");
	struct fog_terminal *t = (struct fog_terminal *)base;
	struct view first = ws_next(&t->ws, WS_BINARY);

	if (first.len < 1 || first.p[0] != 'h')
		bench_fail("the first message is no hello");
	v1_on_hello(t, view_bytes(first.p + 1, first.len - 1));
	link_set_patience(&t->ws.link, ACK_MS);
	return base;
}

static struct terminal *
v1_open(void)
{
	return v1_open_on(&terminal_fog_v1, SERVICE_PLAIN);
}

static struct terminal *
v1_tls_open(void)
{
	return v1_open_on(&terminal_fog_v1_tls, SERVICE_TLS);
}

static struct terminal *
sandbox_open(void)
{
	return v1_open_on(&terminal_fog_sandbox, SERVICE_SANDBOX);
}

static void
v1_type(struct terminal *base, const void *bytes, size_t len)
{
	struct fog_terminal *t = (struct fog_terminal *)base;
	unsigned char storage[WS_SEND_MAX];
	struct writer w;

	writer_init(&w, storage, sizeof(storage));
	put_u8(&w, 'i');
	put_u64(&w, t->in_at);
	put_raw(&w, bytes, len);
	if (w.err != 0)
		bench_fail("typing %zu bytes at once", len);
	ws_send(&t->ws, WS_BINARY, storage, w.len);
	t->in_at += len;
}

static void
v1_acknowledge(struct fog_terminal *t)
{
	unsigned char storage[9];
	struct writer w;

	writer_init(&w, storage, sizeof(storage));
	put_u8(&w, 'a');
	put_u64(&w, t->out_at);
	ws_send(&t->ws, WS_BINARY, storage, w.len);
	t->acked = t->out_at;
}

static struct view
v1_next(struct terminal *base, bool is_counting)
{
	struct fog_terminal *t = (struct fog_terminal *)base;
	struct view v;

	(void)is_counting;
	do {
		while (!(v = ws_next(&t->ws, WS_BINARY)).p) {
			if (t->out_at != t->acked)
				v1_acknowledge(t);
		}
		if (v.len > 0 && v.p[0] == 'x')
			bench_fail("the session ended: %.*s", VIEW_ARG(v));
	} while (v.len < 2 || v.p[0] != 'o');
	t->out_at += v.len - 1;
	if (t->out_at - t->acked >= ACK_BYTES)
		v1_acknowledge(t);
	return view_bytes(v.p + 1, v.len - 1);
}

const struct terminal_ops terminal_fog_v1 = { "fog.pty.v1", v1_open, v1_type, v1_next, fog_cpu_s,
	fog_memory, fog_close };
const struct terminal_ops terminal_fog_v1_tls = { "v1 over TLS", v1_tls_open, v1_type, v1_next,
	fog_cpu_s, fog_memory, fog_close };

const struct terminal_ops terminal_fog_sandbox = { "sandbox", sandbox_open, v1_type, v1_next,
	fog_cpu_s, fog_memory, fog_close };

/* --- fog.pty.json --- */

static struct terminal *
json_open(void)
{
	return fog_open(&terminal_fog_json, SERVICE_PLAIN, "fog.pty.json");
}

static struct terminal *
json_tls_open(void)
{
	return fog_open(&terminal_fog_json_tls, SERVICE_TLS, "fog.pty.json");
}

/* RFC 4648 4. out takes 4 characters for each 3 bytes begun, and a NUL. */
static void
base64_encode(const unsigned char *in, size_t len, char *out)
{
	for (size_t i = 0; i < len; i += 3) {
		size_t have = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)in[i] << 16 | (have > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
		    (have > 2 ? in[i + 2] : 0);

		*out++ = base64_alphabet[v >> 18];
		*out++ = base64_alphabet[v >> 12 & 63];
		*out++ = have > 1 ? base64_alphabet[v >> 6 & 63] : '=';
		*out++ = have > 2 ? base64_alphabet[v & 63] : '=';
	}
	*out = '\0';
}

static size_t
base64_bytes(struct view text)
{
	if (text.len == 0 || text.len % 4 != 0)
		bench_fail("base64 of %zu characters", text.len);
	return text.len / 4 * 3 - (text.p[text.len - 1] == '=') - (text.p[text.len - 2] == '=');
}

static struct view
base64_decode(struct view text, unsigned char *out, size_t size)
{
	size_t len = base64_bytes(text);
	uint32_t v = 0;

	if (len > size)
		bench_fail("output of %zu bytes in one message", len);
	for (size_t i = 0, n = 0; i < text.len && n < len; i++) {
		const char *at = strchr(base64_alphabet, text.p[i]);

		v = v << 6 | (at ? (uint32_t)(at - base64_alphabet) : 0);
		if (i % 4 == 3) {
			for (int shift = 16; shift >= 0 && n < len; shift -= 8)
				out[n++] = (unsigned char)(v >> shift);
			v = 0;
		}
	}
	return view_bytes(out, len);
}

static void
json_type(struct terminal *base, const void *bytes, size_t len)
{
	struct fog_terminal *t = (struct fog_terminal *)base;
	char text[JSON_TYPED_MAX / 3 * 4 + 5], frame[sizeof(text) + 64];

	if (len > JSON_TYPED_MAX)
		bench_fail("typing %zu bytes at once", len);
	base64_encode(bytes, len, text);
	snprintf(frame, sizeof(frame), "{\"type\":\"stdin\",\"data_b64\":\"%s\"}", text);
	ws_send(&t->ws, WS_TEXT, frame, strlen(frame));
}

/* The value of data_b64; empty when the frame is no stdout. */
static struct view
json_data(struct view frame)
{
	static const char name[] = "\"data_b64\":\"";
	const char *from = memmem(frame.p, frame.len, name, strlen(name));
	const char *to;

	if (!from)
		return view_bytes(NULL, 0);
	from += strlen(name);
	to = memchr(from, '"', frame.len - (size_t)(from - frame.p));
	if (!to)
		bench_fail("a frame that is no JSON");
	return view_bytes(from, (size_t)(to - from));
}

static struct view
json_next(struct terminal *base, bool is_counting)
{
	struct fog_terminal *t = (struct fog_terminal *)base;
	struct view frame, text;

	do {
		frame = ws_next(&t->ws, WS_TEXT);
		if (memmem(frame.p, frame.len < 64 ? frame.len : 64, "\"exit\"", 6))
			bench_fail("the session ended: %.*s", VIEW_ARG(frame));
		text = json_data(frame);
	} while (text.len == 0);
	if (is_counting)
		return view_bytes(NULL, base64_bytes(text));
	return base64_decode(text, t->output, sizeof(t->output));
}

const struct terminal_ops terminal_fog_json = { "fog.pty.json", json_open, json_type, json_next,
	fog_cpu_s, fog_memory, fog_close };
const struct terminal_ops terminal_fog_json_tls = { "json over TLS", json_tls_open, json_type,
	json_next, fog_cpu_s, fog_memory, fog_close };
