/* SPDX-License-Identifier: MIT */
/* Terminal protocols: see termproto.h. */
#include "gatewayd/termproto.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "common/mono.h"

#define WS_UNSUPPORTED_DATA 1003
#define WS_POLICY_VIOLATION 1008

#define SIZE_MAX_CELLS 1000 /* stream.def */

/* --- from the client: JSON --- */

struct stdin_frame {
	struct json_str type, data_b64;
};

struct resize_frame {
	struct json_str type;
	uint32_t cols, rows;
};

static const struct json_member stdin_members[] = {
	{ "type", JSON_KIND_STR, true, 1, 16, offsetof(struct stdin_frame, type) },
	{ "data_b64", JSON_KIND_STR, true, 0, 4u << 20, offsetof(struct stdin_frame, data_b64) },
};

static const struct json_member resize_members[] = {
	{ "type", JSON_KIND_STR, true, 1, 16, offsetof(struct resize_frame, type) },
	{ "cols", JSON_KIND_U32, true, 1, SIZE_MAX_CELLS, offsetof(struct resize_frame, cols) },
	{ "rows", JSON_KIND_U32, true, 1, SIZE_MAX_CELLS, offsetof(struct resize_frame, rows) },
};

static int
b64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four characters, of which the last `pad` are '='. False: not canonical. */
static bool
b64_group(const char *text, size_t pad, unsigned char *out)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < 4 - pad ? b64_value(text[i]) : 0;

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
	}
	if ((pad == 1 && (bits & 0xff)) || (pad == 2 && (bits & 0xffff)))
		return false; /* RFC 4648 3.5 */
	for (size_t i = 0; i < 3 - pad; i++)
		out[i] = (unsigned char)(bits >> (16 - 8 * i));
	return true;
}

/* Strict RFC 4648 4. EVP_DecodeBlock would skip white space and forget the padding. */
static bool
b64_decode(const char *text, size_t len, unsigned char *out, size_t *out_len)
{
	size_t pad = len >= 1 && text[len - 1] == '=' ? len >= 2 && text[len - 2] == '=' ? 2 : 1
						      : 0;

	if (len % 4 != 0)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		if (!b64_group(text + i, i + 4 == len ? pad : 0, out + i / 4 * 3))
			return false;
	}
	*out_len = len / 4 * 3 - pad;
	return true;
}

static const char *
read_stdin(const struct json_t *obj, unsigned char *scratch, struct term_event *out)
{
	struct stdin_frame frame = { 0 };
	struct json_error_text err;
	size_t len;

	if (json_read_members(obj, stdin_members, COUNT_OF(stdin_members), &frame, &err) != 0)
		return "a stdin frame has exactly type and data_b64";
	if (!b64_decode(frame.data_b64.s, frame.data_b64.len, scratch, &len))
		return "data_b64 is not base64";
	out->kind = len > 0 ? TERM_INPUT : TERM_NOTHING;
	out->bytes = view_bytes(scratch, len);
	return NULL;
}

static const char *
read_resize(const struct json_t *obj, unsigned char *scratch, struct term_event *out)
{
	struct resize_frame frame = { 0 };
	struct json_error_text err;

	(void)scratch;
	if (json_read_members(obj, resize_members, COUNT_OF(resize_members), &frame, &err) != 0)
		return "a resize frame has exactly type, cols and rows, 1 to 1000";
	out->kind = TERM_RESIZE;
	out->cols = (uint16_t)frame.cols;
	out->rows = (uint16_t)frame.rows;
	return NULL;
}

static const struct json_frame {
	const char *type;
	const char *(*read)(const struct json_t *obj, unsigned char *scratch,
	    struct term_event *out);
} json_frames[] = { { "stdin", read_stdin }, { "resize", read_resize } };

static const char *
read_json_object(const struct json_t *obj, unsigned char *scratch, struct term_event *out)
{
	const char *type = json_peek_str(obj, "type");

	for (size_t i = 0; type && i < COUNT_OF(json_frames); i++) {
		if (strcmp(type, json_frames[i].type) == 0)
			return json_frames[i].read(obj, scratch, out);
	}
	return "the type of the frame is unknown";
}

static const char *
decode_json(const unsigned char *message, size_t len, unsigned char *scratch,
    struct term_event *out)
{
	struct json_error_text err;
	struct json_t *obj;
	const char *why;

	/* An empty message may have no address. */
	if (len == 0 || json_parse_strict((const char *)message, len, 2, &obj, &err) != 0)
		return "the frame is not one JSON object";
	why = read_json_object(obj, scratch, out);
	json_release(obj);
	return why;
}

/* --- from the client: fog.pty.v1 --- */

static bool
read_input(struct reader *r, struct term_event *out)
{
	out->has_offset = true;
	out->offset = get_u64(r);
	if (r->err)
		return false;
	out->bytes = view_bytes(r->p + r->at, r->len - r->at);
	r->at = r->len;
	out->kind = out->bytes.len > 0 ? TERM_INPUT : TERM_NOTHING;
	return true;
}

static bool
read_size(struct reader *r, struct term_event *out)
{
	out->kind = TERM_RESIZE;
	out->cols = get_u16(r);
	out->rows = get_u16(r);
	return out->cols >= 1 && out->cols <= SIZE_MAX_CELLS && out->rows >= 1 &&
	    out->rows <= SIZE_MAX_CELLS;
}

static bool
read_ack(struct reader *r, struct term_event *out)
{
	out->kind = TERM_ACK;
	out->offset = get_u64(r);
	return true;
}

static bool
read_probe(struct reader *r, struct term_event *out)
{
	out->kind = TERM_PROBE;
	out->value = get_u64(r);
	return true;
}

/* The characters of a compact JWS (RFC 7515 7.1); what it means is authd's to say. */
static bool
read_token(struct reader *r, struct term_event *out)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789-_.";
	size_t len = r->len - r->at;

	for (size_t i = r->at; i < r->len; i++) {
		if (r->p[i] == '\0' || !strchr(allowed, r->p[i]))
			return false;
	}
	out->kind = TERM_RENEWAL;
	out->bytes = view_bytes(r->p + r->at, len);
	r->at = r->len;
	return len >= 1 && len <= TERM_TOKEN_MAX;
}

/* We send no probe, so an answer is like an unasked pong (RFC 6455 5.5.3). */
static bool
read_answer(struct reader *r, struct term_event *out)
{
	(void)get_u64(r);
	out->kind = TERM_NOTHING;
	return true;
}

static const struct v1_type {
	char letter;
	bool (*read)(struct reader *r, struct term_event *out);
	const char *rule;
} v1_types[] = {
	{ 'i', read_input, "an input message has an offset of 8 bytes, then bytes" },
	{ 'r', read_size, "a resize message has columns and rows, 1 to 1000" },
	{ 'a', read_ack, "an acknowledgement has an offset of 8 bytes" },
	{ 'p', read_probe, "a probe has 8 bytes" },
	{ 'q', read_answer, "an answer has 8 bytes" },
	{ 't', read_token, "a renewal has an attach token, 4096 bytes at most" },
};

static const char *
decode_v1(const unsigned char *message, size_t len, struct term_event *out)
{
	struct reader r;

	for (size_t i = 0; len > 0 && i < COUNT_OF(v1_types); i++) {
		if (message[0] != (unsigned char)v1_types[i].letter)
			continue;
		reader_init(&r, message + 1, len - 1);
		return v1_types[i].read(&r, out) && reader_done(&r) == 0 ? NULL : v1_types[i].rule;
	}
	return "the type of the message is unknown";
}

unsigned
term_decode(enum term_proto proto, bool is_text, const unsigned char *message, size_t len,
    unsigned char *scratch, struct term_event *out, const char **why)
{
	struct term_event event = { .kind = TERM_NOTHING };

	if (is_text != (proto == TERM_JSON)) {
		*why = is_text ? "fog.pty.v1 has binary messages"
			       : "fog.pty.json has text messages";
		return WS_UNSUPPORTED_DATA;
	}
	*why = proto == TERM_JSON ? decode_json(message, len, scratch, &event)
				  : decode_v1(message, len, &event);
	if (*why)
		return WS_POLICY_VIOLATION;
	*out = event;
	return 0;
}

/* --- to the client --- */

/* A stdout frame is these two with base64 between them. */
static const char stdout_head[] = "{\"type\":\"stdout\",\"data_b64\":\"";
static const char stdout_tail[] = "\"}";

size_t
term_output_size(enum term_proto proto, size_t len)
{
	if (proto == TERM_V1)
		return 1 + len;
	return sizeof(stdout_head) - 1 + (len + 2) / 3 * 4 + sizeof(stdout_tail) - 1;
}

void
term_put_output(enum term_proto proto, const void *bytes, size_t len, unsigned char *out)
{
	if (proto == TERM_V1) {
		out[0] = 'o';
		if (out + 1 != bytes)
			memcpy(out + 1, bytes, len);
		return;
	}
	memcpy(out, stdout_head, sizeof(stdout_head) - 1);
	out += sizeof(stdout_head) - 1;
	out += EVP_EncodeBlock(out, bytes, (int)len);
	memcpy(out, stdout_tail, sizeof(stdout_tail) - 1);
}

static json_t *
hello_json(const struct stream_hello *h)
{
	char id[ID_TEXT_SIZE], at[RFC3339_UTC_SIZE];
	json_t *obj;

	id_format(&h->session_id, id);
	rfc3339_utc((time_t)h->expires_s, at);
	obj = json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:s}", "session_id", id, "role",
	    session_role_name(h->role), "cols", h->cols, "rows", h->rows, "out_from",
	    (json_int_t)h->out_from, "out_lost", (json_int_t)h->out_lost, "out_next",
	    (json_int_t)h->out_next, "in_next", (json_int_t)h->in_next, "expires_at", at);
	if (obj && h->until_s != 0) {
		rfc3339_utc((time_t)h->until_s, at);
		json_object_set_new(obj, "identity_until", json_string(at));
	}
	return obj;
}

static int
exit_code(const struct stream_exit *e)
{
	if (e->exit_kind == EXIT_NONE)
		return TERM_EXIT_UNKNOWN;
	return e->exit_kind == EXIT_SIGNAL ? (int)(128 + (e->exit_value & 127))
					   : (int)e->exit_value;
}

static json_t *
exit_json(enum term_proto proto, const struct stream_exit *e)
{
	json_t *obj;

	if (proto == TERM_JSON)
		return json_pack("{s:s, s:i}", "type", "exit", "code", exit_code(e));
	obj = json_pack("{s:i}", "code", exit_code(e));
	if (e->exit_kind == EXIT_SIGNAL)
		json_object_set_new(obj, "signal", json_integer(e->exit_value));
	if (e->end_reason != END_EXIT)
		json_object_set_new(obj, "reason", json_string(session_end_name(e->end_reason)));
	return obj;
}

/* What brought the state about, for programs; the detail is for people. */
static const char *
status_reason(unsigned state)
{
	static const char *const reasons[STREAM_STATE_COUNT] = {
		[STREAM_STATE_TAKEN_OVER] = "driver_attached",
		[STREAM_STATE_EXPIRING] = "ttl",
		[STREAM_STATE_SHUTTING_DOWN] = "shutdown",
		[STREAM_STATE_BAD_INPUT] = "offset_invalid",
		[STREAM_STATE_TOOK_OVER] = "driver_attached",
		[STREAM_STATE_VIEWER_JOINED] = "viewer_attached",
		[STREAM_STATE_VIEWER_LEFT] = "viewer_detached",
		[STREAM_STATE_DRIVER_JOINED] = "driver_attached",
		[STREAM_STATE_DRIVER_LEFT] = "driver_detached",
		[STREAM_STATE_IDLE] = "idle",
		[STREAM_STATE_EXTENDED] = "request",
		[STREAM_STATE_READ_ONLY] = "role",
		[STREAM_STATE_IDENTITY_EXPIRING] = "identity",
		[STREAM_STATE_RENEWED] = "request",
		[STREAM_STATE_IDENTITY_EXPIRED] = "identity",
		[STREAM_STATE_REVOKED] = "revocation",
	};

	return state < STREAM_STATE_COUNT && reasons[state] ? reasons[state] : "";
}

static json_t *
status_json(const struct stream_status *s)
{
	json_t *detail = json_stringn(s->detail.p, s->detail.len); /* NULL: not UTF-8 */
	json_t *obj = json_pack("{s:s, s:s, s:o}", "state", stream_state_name(s->state), "reason",
	    status_reason(s->state), "detail", detail ? detail : json_string(""));
	char at[RFC3339_UTC_SIZE];

	if (s->at_s != 0) {
		rfc3339_utc((time_t)s->at_s, at);
		json_object_set_new(obj, "expires_at", json_string(at));
	}
	return obj;
}

static size_t
put_json(enum term_proto proto, char letter, json_t *obj, char out[static TERM_JSON_SIZE])
{
	size_t at = 0, len;

	if (proto == TERM_V1)
		out[at++] = letter;
	len = obj ? json_dumpb(obj, out + at, TERM_JSON_SIZE - at, JSON_COMPACT) : 0;
	json_decref(obj);
	return len > 0 && len <= TERM_JSON_SIZE - at ? at + len : 0;
}

static size_t
put_answer(const struct stream_answer *a, char out[static TERM_JSON_SIZE])
{
	struct writer w;

	writer_init(&w, out, TERM_JSON_SIZE);
	put_u8(&w, 'q');
	put_u64(&w, a->value);
	return w.len;
}

size_t
term_put_message(enum term_proto proto, const struct stream_msg *m, char out[static TERM_JSON_SIZE])
{
	if (m->type == STREAM_EXIT)
		return put_json(proto, 'x', exit_json(proto, &m->u.exit), out);
	if (proto == TERM_JSON)
		return 0;
	switch (m->type) {
	case STREAM_HELLO:
		return put_json(proto, 'h', hello_json(&m->u.hello), out);
	case STREAM_STATUS:
		return put_json(proto, 's', status_json(&m->u.status), out);
	case STREAM_ANSWER:
		return put_answer(&m->u.answer, out);
	default:
		return 0;
	}
}

size_t
term_put_refusal(enum term_proto proto, int error, char out[static TERM_JSON_SIZE])
{
	if (proto == TERM_JSON)
		return 0;
	return put_json(proto, 's',
	    json_pack("{s:s, s:s, s:s}", "state", "renewal_refused", "reason", err_code(error),
		"detail", err_title(error)),
	    out);
}

size_t
term_put_fallback(enum term_proto proto, const char *node, char out[static TERM_JSON_SIZE])
{
	char detail[160];

	if (proto == TERM_JSON)
		return 0;
	snprintf(detail, sizeof(detail),
	    "no fog node could take this session: it runs in the cloud, on %s", node);
	return put_json(proto, 's',
	    json_pack("{s:s, s:s, s:s}", "state", "degraded", "reason", "cloud-fallback", "detail",
		detail),
	    out);
}

unsigned
term_close_code(const struct stream_exit *exit, enum stream_state last_status)
{
	if (exit)
		return exit->end_reason == END_EXIT ? 1000 : TERM_CLOSE_ENDED;
	switch (last_status) {
	case STREAM_STATE_TAKEN_OVER:
		return TERM_CLOSE_TAKEN_OVER;
	case STREAM_STATE_BAD_INPUT:
		return WS_POLICY_VIOLATION;
	case STREAM_STATE_SHUTTING_DOWN:
		return 1001;
	case STREAM_STATE_IDENTITY_EXPIRED:
		return TERM_CLOSE_IDENTITY_EXPIRED;
	case STREAM_STATE_REVOKED:
		return TERM_CLOSE_REVOKED;
	default:
		return TERM_CLOSE_LOST;
	}
}

const char *
term_close_reason(unsigned code)
{
	static const struct {
		unsigned code;
		const char *text;
	} reasons[] = {
		{ 1000, "" },
		{ 1001, "The service is shutting down." },
		{ WS_POLICY_VIOLATION, "An offset is not one that was expected." },
		{ TERM_CLOSE_LOST, "Detached: the session's holder closed the stream." },
		{ TERM_CLOSE_TAKEN_OVER, "Another terminal has attached to this session." },
		{ TERM_CLOSE_ENDED, "The session was ended." },
		{ TERM_CLOSE_IDENTITY_EXPIRED, "Detached: the sign-in has lapsed." },
		{ TERM_CLOSE_REVOKED, "Detached: the identity has been revoked." },
	};

	for (size_t i = 0; i < COUNT_OF(reasons); i++) {
		if (reasons[i].code == code)
			return reasons[i].text;
	}
	return "";
}
