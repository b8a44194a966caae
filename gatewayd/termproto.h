/* SPDX-License-Identifier: MIT */
/*
 * The two protocols of an attached terminal (DESIGN 3.2), JSON text frames and the binary
 * fog.pty.v1, to and from the messages of the holder's stream. Pure: bytes in, bytes out; what
 * WebSocket itself asks for is ws.c's.
 *
 * Close codes of our own (RFC 6455 7.4.2), beside those of RFC 6455 7.4.1:
 *   4000  the holder's stream ended without an exit: the session may live, attach again
 *   4001  another driver attached
 *   4002  the session ended, not by its shell's own exit
 *   4003  the identity has lapsed and was not renewed: sign in, attach again
 *   4004  the identity was revoked: sign in
 */
#ifndef GATEWAYD_TERMPROTO_H
#define GATEWAYD_TERMPROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/stream.h"

#define TERM_CLOSE_LOST 4000
#define TERM_CLOSE_TAKEN_OVER 4001
#define TERM_CLOSE_ENDED 4002
#define TERM_CLOSE_IDENTITY_EXPIRED 4003
#define TERM_CLOSE_REVOKED 4004

/* An end without an exit status reads as this code. */
#define TERM_EXIT_UNKNOWN 255
/* Room for any JSON payload written here. */
#define TERM_JSON_SIZE 1024
#define TERM_TOKEN_MAX 4096 /* messages.def */

enum term_proto { TERM_JSON, TERM_V1 };

enum term_kind { TERM_NOTHING, TERM_INPUT, TERM_RESIZE, TERM_ACK, TERM_PROBE, TERM_RENEWAL };

/* What a client said. */
struct term_event {
	enum term_kind kind;
	/*
	 * TERM_INPUT: at least one; in the message or in scratch. TERM_RENEWAL: an attach token, in
	 * the message.
	 */
	struct view bytes;
	bool has_offset;     /* TERM_INPUT of fog.pty.v1 */
	uint64_t offset;     /* TERM_INPUT, TERM_ACK */
	uint64_t value;      /* TERM_PROBE */
	uint16_t cols, rows; /* TERM_RESIZE: 1..1000 */
};

/*
 * Reads one whole message. scratch has room for len bytes. 0 with *out; or the code to close the
 * WebSocket with, and *why in words free of remote text.
 */
unsigned term_decode(enum term_proto proto, bool is_text, const unsigned char *message, size_t len,
    unsigned char *scratch, struct term_event *out, const char **why);

/*
 * Bytes of the message that carries len bytes of output, and writing it: out has one byte more.
 * For TERM_V1 the bytes may be at out + 1 already; then none is copied.
 */
size_t term_output_size(enum term_proto proto, size_t len);
void term_put_output(enum term_proto proto, const void *bytes, size_t len, unsigned char *out);

/*
 * Every other message of the holder as a message to the client. Its length; 0: this protocol has
 * no such message.
 */
size_t term_put_message(enum term_proto proto, const struct stream_msg *m,
    char out[static TERM_JSON_SIZE]);

/* The status that a renewal was refused, by an error of err.def. Its length; 0: as above. */
size_t term_put_refusal(enum term_proto proto, int error, char out[static TERM_JSON_SIZE]);

/* The status of a session that runs in the cloud for want of a fog node. Its length; 0: as above. */
size_t term_put_fallback(enum term_proto proto, const char *node, char out[static TERM_JSON_SIZE]);

/* The code to close with after an exit, after a status that ended the stream, or after neither. */
unsigned term_close_code(const struct stream_exit *exit, enum stream_state last_status);
/* In words, for the close frame (at most 123 bytes). */
const char *term_close_reason(unsigned code);

#endif
