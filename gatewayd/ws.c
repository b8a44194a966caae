/* SPDX-License-Identifier: MIT */
/* WebSocket handshake and frames: see ws.h. */
#include "gatewayd/ws.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <wslay/wslay.h>

#include "common/cleanup.h"
#include "common/err.h"

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 1.3 */
#define KEY_CHARS 24                                   /* base64 of 16 bytes */
#define CLOSE_REASON_MAX 123
#define TOKEN_PREFIX "fog.token."
#define TERMINAL_PREFIX "fog.pty."

static const char *const terminal_protocols[] = { "fog.pty.v1", "fog.pty.json" };

struct ws {
	const struct ws_ops *ops;
	void *ctx;
	wslay_event_context_ptr wslay;
	size_t max_message_bytes, fragments;
	/* The frame being read; control frames are wslay's own. */
	bool frame_is_data, frame_is_last;
	uint64_t frame_bytes;
	/* Its message: in wslay's buffer if it came in one piece, else gathered here. */
	struct view piece;
	unsigned char *gathered;
	size_t gathered_len, gathered_room;
	unsigned fault; /* what wslay let pass: the code to close with */
	unsigned close_code;
	bool closed;
};

/* --- the opening handshake --- */

static struct view
trim(struct view v)
{
	while (v.len > 0 && (v.p[0] == ' ' || v.p[0] == '\t'))
		v = view_bytes(v.p + 1, v.len - 1);
	while (v.len > 0 && (v.p[v.len - 1] == ' ' || v.p[v.len - 1] == '\t'))
		v.len--;
	return v;
}

/* The next element of a comma-separated list (RFC 9110 5.6.1). False at the end. */
static bool
next_element(struct view *list, struct view *element)
{
	const char *comma;

	if (!list->p)
		return false;
	comma = memchr(list->p, ',', list->len);
	*element = trim(view_bytes(list->p, comma ? (size_t)(comma - list->p) : list->len));
	if (comma)
		*list = view_bytes(comma + 1, list->len - (size_t)(comma + 1 - list->p));
	else
		*list = view_bytes(NULL, 0);
	return true;
}

static bool
is_word(struct view v, const char *word)
{
	return v.len == strlen(word) && strncasecmp(v.p, word, v.len) == 0;
}

static bool
has_prefix(struct view v, const char *prefix)
{
	return v.len >= strlen(prefix) && memcmp(v.p, prefix, strlen(prefix)) == 0;
}

static bool
header_unique(const struct http1 *h, const char *name, struct view *out)
{
	struct http1_view value;

	if (http1_header_unique(h, name, &value) != 1)
		return false;
	*out = view_bytes(value.ptr, value.len);
	return true;
}

/* RFC 6455 4.2.1: Upgrade holds websocket, Connection upgrade, the version is 13. */
static bool
is_upgrade(const struct http1 *h)
{
	struct view upgrade, version, element;

	if (!http1_request(h)->upgrade || !header_unique(h, "Upgrade", &upgrade) ||
	    !header_unique(h, "Sec-WebSocket-Version", &version) || !view_is(version, "13"))
		return false;
	while (next_element(&upgrade, &element)) {
		if (is_word(element, "websocket"))
			return true;
	}
	return false;
}

/* The key is the canonical base64 of 16 bytes: 22 characters, the last with 4 bits unused, "==". */
static bool
is_key(struct view key)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789+/";

	if (key.len != KEY_CHARS || memcmp(key.p + 22, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < 22; i++) {
		if (!key.p[i] || !strchr(alphabet, key.p[i]))
			return false;
	}
	return strchr("AQgw", key.p[21]) != NULL;
}

static bool
compute_accept(struct view key, char out[static WS_ACCEPT_SIZE])
{
	unsigned char text[KEY_CHARS + sizeof(WS_GUID)], digest[EVP_MAX_MD_SIZE];
	unsigned len;

	memcpy(text, key.p, KEY_CHARS);
	memcpy(text + KEY_CHARS, WS_GUID, sizeof(WS_GUID));
	if (EVP_Digest(text, sizeof(text) - 1, digest, &len, EVP_sha1(), NULL) != 1)
		return false;
	EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
	return true;
}

static const char *
find_terminal_protocol(struct view name)
{
	for (size_t i = 0; i < COUNT_OF(terminal_protocols); i++) {
		if (view_is(name, terminal_protocols[i]))
			return terminal_protocols[i];
	}
	return NULL;
}

/* One element of Sec-WebSocket-Protocol. The first fog.pty.* that we know is chosen. */
static bool
take_protocol(struct view name, struct ws_handshake *out, bool *unknown)
{
	const char *found = find_terminal_protocol(name);

	if (name.len == 0)
		return false;
	if (has_prefix(name, TOKEN_PREFIX)) {
		if (out->token.p)
			return false;
		out->token = view_bytes(name.p + strlen(TOKEN_PREFIX),
		    name.len - strlen(TOKEN_PREFIX));
	} else if (found && !out->protocol) {
		out->protocol = found;
	} else if (!found && has_prefix(name, TERMINAL_PREFIX)) {
		*unknown = true;
	}
	return true;
}

/* RFC 6455 11.3.4: the field may be there more than once. */
static bool
read_protocols(const struct http1 *h, struct ws_handshake *out)
{
	struct http1_view value;
	struct view list, name;
	bool unknown = false;

	for (size_t i = 0; http1_header_get(h, "Sec-WebSocket-Protocol", i, &value); i++) {
		list = view_bytes(value.ptr, value.len);
		while (next_element(&list, &name)) {
			if (!take_protocol(name, out, &unknown))
				return false;
		}
	}
	return out->protocol || !unknown;
}

enum ws_verdict
ws_check_handshake(const struct http1 *h, struct ws_handshake *out)
{
	struct view key;

	*out = (struct ws_handshake){ .protocol = NULL };
	if (!is_upgrade(h))
		return WS_NOT_UPGRADE;
	if (!header_unique(h, "Sec-WebSocket-Key", &key) || !is_key(key) ||
	    !compute_accept(key, out->accept))
		return WS_BAD_KEY;
	return read_protocols(h, out) ? WS_ACCEPTED : WS_BAD_PROTOCOL;
}

/* --- frames --- */

size_t
ws_put_header(enum ws_opcode opcode, size_t len, unsigned char out[static WS_HEADER_MAX])
{
	size_t extended = len < 126 ? 0 : len < 65536 ? 2 : 8;

	out[0] = (unsigned char)(0x80 | opcode); /* FIN */
	out[1] = extended == 0 ? (unsigned char)len : extended == 2 ? 126 : 127;
	for (size_t i = 0; i < extended; i++)
		out[2 + i] = (unsigned char)((uint64_t)len >> 8 * (extended - 1 - i));
	return 2 + extended;
}

static void
write_frame(struct ws *ws, enum ws_opcode opcode, const void *payload, size_t len)
{
	unsigned char header[WS_HEADER_MAX];

	ws->ops->write(ws->ctx, header, ws_put_header(opcode, len, header));
	if (len > 0)
		ws->ops->write(ws->ctx, payload, len);
}

static ssize_t
on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
	struct ws *ws = arg;
	size_t n = ws->fault || ws->closed ? 0 : ws->ops->read(ws->ctx, buf, len);

	(void)flags;
	if (n > 0)
		return (ssize_t)n;
	wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
	return -1;
}

static ssize_t
on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *arg)
{
	struct ws *ws = arg;

	(void)ctx;
	(void)flags;
	ws->ops->write(ws->ctx, data, len);
	return (ssize_t)len;
}

static void
refuse(struct ws *ws, unsigned code)
{
	ws->fault = code;
	wslay_event_shutdown_read(ws->wslay);
}

/* Without buffering wslay knows the size of a frame, not that of a message. */
static void
on_frame_start(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_start_arg *frame,
    void *arg)
{
	struct ws *ws = arg;

	(void)ctx;
	ws->frame_is_data = !wslay_is_ctrl_frame(frame->opcode);
	if (!ws->frame_is_data)
		return;
	ws->frame_is_last = frame->fin;
	ws->frame_bytes = frame->payload_length;
	ws->fragments = frame->opcode == WSLAY_CONTINUATION_FRAME ? ws->fragments + 1 : 1;
	if (ws->fragments > WS_FRAGMENTS_MAX ||
	    ws->frame_bytes > ws->max_message_bytes - ws->gathered_len)
		refuse(ws, WSLAY_CODE_MESSAGE_TOO_BIG);
}

/* Room grows with what has come: a length that is only announced costs nothing. */
static int
gather(struct ws *ws, const unsigned char *bytes, size_t len)
{
	size_t need = ws->gathered_len + len, room = 2 * ws->gathered_room;
	unsigned char *grown;

	if (need > ws->gathered_room) {
		room = room > need ? room : need;
		grown = realloc(ws->gathered, room);
		if (!grown)
			return -FOG_E_NOMEM;
		ws->gathered = grown;
		ws->gathered_room = room;
	}
	memcpy(ws->gathered + ws->gathered_len, bytes, len);
	ws->gathered_len = need;
	return 0;
}

static void
on_chunk(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_chunk_arg *chunk,
    void *arg)
{
	struct ws *ws = arg;

	(void)ctx;
	if (!ws->frame_is_data || ws->fault || ws->closed || chunk->data_length == 0)
		return;
	if (ws->gathered_len == 0 && ws->frame_is_last && chunk->data_length == ws->frame_bytes)
		ws->piece = view_bytes(chunk->data, chunk->data_length);
	else if (gather(ws, chunk->data, chunk->data_length) != 0)
		refuse(ws, WSLAY_CODE_INTERNAL_SERVER_ERROR);
}

static void
forget_message(struct ws *ws)
{
	if (ws->gathered)
		explicit_bzero(ws->gathered, ws->gathered_len); /* keystrokes */
	free(ws->gathered);
	ws->gathered = NULL;
	ws->gathered_len = ws->gathered_room = 0;
	ws->piece = view_bytes(NULL, 0);
}

static void
deliver_message(struct ws *ws, bool is_text)
{
	if (ws->piece.p)
		ws->ops->on_message(ws->ctx, is_text, (const unsigned char *)ws->piece.p,
		    ws->piece.len);
	else
		ws->ops->on_message(ws->ctx, is_text, ws->gathered, ws->gathered_len);
	forget_message(ws);
}

static void
on_msg(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
	struct ws *ws = arg;

	(void)ctx;
	if (ws->fault || ws->closed)
		return;
	switch (m->opcode) {
	case WSLAY_TEXT_FRAME:
	case WSLAY_BINARY_FRAME:
		deliver_message(ws, m->opcode == WSLAY_TEXT_FRAME);
		break;
	case WSLAY_CONNECTION_CLOSE:
		/* wslay takes one byte for an empty close; RFC 6455 5.5.1 wants two or none. */
		if (m->msg_length == 1)
			ws->fault = WSLAY_CODE_PROTOCOL_ERROR;
		break;
	default:
		ws->ops->on_control(ws->ctx, (enum ws_opcode)m->opcode);
		break;
	}
}

struct ws *
ws_new(const struct ws_ops *ops, void *ctx, size_t max_message_bytes)
{
	static const struct wslay_event_callbacks callbacks = { .recv_callback = on_recv,
		.send_callback = on_send,
		.on_frame_recv_start_callback = on_frame_start,
		.on_frame_recv_chunk_callback = on_chunk,
		.on_msg_recv_callback = on_msg };
	struct ws *ws = calloc(1, sizeof(*ws));

	if (!ws)
		return NULL;
	ws->ops = ops;
	ws->ctx = ctx;
	if (wslay_event_context_server_init(&ws->wslay, &callbacks, ws) != 0) {
		free(ws);
		return NULL;
	}
	ws->max_message_bytes = max_message_bytes;
	wslay_event_config_set_max_recv_msg_length(ws->wslay, max_message_bytes);
	/* Its buffering is two allocations for each message. */
	wslay_event_config_set_no_buffering(ws->wslay, 1);
	return ws;
}

void
ws_free(struct ws *ws)
{
	if (!ws)
		return;
	wslay_event_context_free(ws->wslay);
	forget_message(ws);
	free(ws);
}

void
ws_receive(struct ws *ws)
{
	int rc;

	if (ws->closed)
		return;
	rc = wslay_event_recv(ws->wslay);
	if (ws->closed)
		return; /* by a handler */
	/* A broken header makes wslay queue a close without a code: ours goes out in its place. */
	if (rc == WSLAY_ERR_CALLBACK_FAILURE) {
		ws_close(ws, WSLAY_CODE_PROTOCOL_ERROR, "");
	} else if (rc != 0) {
		ws_close(ws, WSLAY_CODE_INTERNAL_SERVER_ERROR, "");
	} else if (ws->fault) {
		ws_close(ws, ws->fault, "");
	} else {
		wslay_event_send(ws->wslay);
		if (wslay_event_get_close_sent(ws->wslay)) {
			ws->closed = true;
			ws->close_code = wslay_event_get_status_code_sent(ws->wslay);
		}
	}
}

void
ws_ping(struct ws *ws)
{
	if (!ws->closed)
		write_frame(ws, WS_PING, NULL, 0);
}

void
ws_close(struct ws *ws, unsigned code, const char *reason)
{
	unsigned char payload[2 + CLOSE_REASON_MAX];
	size_t len = strnlen(reason, CLOSE_REASON_MAX);

	if (ws->closed)
		return;
	payload[0] = (unsigned char)(code >> 8);
	payload[1] = (unsigned char)code;
	memcpy(payload + 2, reason, len);
	write_frame(ws, WS_CLOSE, payload, 2 + len);
	ws->closed = true;
	ws->close_code = code;
}

bool
ws_is_closed(const struct ws *ws)
{
	return ws->closed;
}

unsigned
ws_close_code(const struct ws *ws)
{
	return ws->close_code;
}
