/* SPDX-License-Identifier: MIT */
/* The stream between gatewayd and a holder: stream.def expanded, and its framing. */
#ifndef FOG_STREAM_H
#define FOG_STREAM_H

#include "common/codec.h"
#include "common/msg.h"
#include "common/session.h"

#define STREAM_DATA_MAX 65536 /* bytes of terminal data in one frame */
#define STREAM_HEADER_BYTES 5 /* u32 length, u8 type */
#define STREAM_FRAME_MAX (STREAM_HEADER_BYTES + 8 + STREAM_DATA_MAX)

/* What a `status` frame says: X(NAME, text). */
#define STREAM_STATES(X) \
	X(TAKEN_OVER, "taken_over") /* another driver attached */ \
	X(EXPIRING, "expiring") \
	X(SHUTTING_DOWN, "shutting_down") \
	X(BAD_INPUT, "bad_input")         /* an offset from the future: the stream ends */ \
	X(TOOK_OVER, "took_over")         /* to a new driver: another one was detached for it */ \
	X(VIEWER_JOINED, "viewer_joined") /* to all others; the detail counts */ \
	X(VIEWER_LEFT, "viewer_left") \
	X(DRIVER_JOINED, "driver_joined") /* to viewers */ \
	X(DRIVER_LEFT, "driver_left") \
	X(IDLE, "idle")           /* ends at at_s unless somebody types or extends it */ \
	X(EXTENDED, "extended")   /* the end is at_s now */ \
	X(READ_ONLY, "read_only") /* to a viewer that types or resizes, once: it is ignored */ \
	X(IDENTITY_EXPIRING, \
	    "identity_expiring") /* this client is detached at at_s unless renewed */ \
	X(RENEWED, "renewed")    /* it may stay attached until at_s */ \
	X(IDENTITY_EXPIRED, \
	    "identity_expired") /* detached: its identity was not renewed in time */ \
	X(REVOKED, "revoked")   /* detached: its identity has been revoked */

#define ENUM_STREAM_STATE(name, text) STREAM_STATE_##name,
enum stream_state { STREAM_STATE_NONE, STREAM_STATES(ENUM_STREAM_STATE) STREAM_STATE_COUNT };

#include "common/stream.def"

#define STREAM_STRUCT(NAME, letter, name, sender) \
	struct stream_##name { \
		FIELDS_stream_##name(CODEC_MEMBER, ) \
	};
STREAM_MESSAGES(STREAM_STRUCT)
#undef STREAM_STRUCT

#define STREAM_ENUM(NAME, letter, name, sender) STREAM_##NAME,
enum stream_type { STREAM_MESSAGES(STREAM_ENUM) STREAM_COUNT };
#undef STREAM_ENUM

struct stream_msg {
	enum stream_type type;
	union {
#define STREAM_MEMBER(NAME, letter, name, sender) struct stream_##name name;
		STREAM_MESSAGES(STREAM_MEMBER)
#undef STREAM_MEMBER
	} u; /* views borrow from the bytes given to stream_next */
};

struct stream_row {
	const char *name;
	unsigned char letter;
	uint8_t sender; /* PROC_HOLDER or PROC_GATEWAYD */
	struct layout layout;
};

extern const struct stream_row stream_rows[STREAM_COUNT];

/* Appends one whole frame. 0 or -FOG_E_BOUNDS. */
int stream_put(struct writer *w, enum stream_type type, const void *payload);

/*
 * Only the header of a data frame, for a sender that gathers the bytes itself (writev):
 * OUTPUT has no fields before its tail. len is 1..STREAM_DATA_MAX.
 */
void stream_put_output_header(unsigned char out[static STREAM_HEADER_BYTES], size_t len);

/*
 * Reads one frame sent by `sender` from the front of len bytes. 1: *out is set and *used is the
 * frame's size; 0: more bytes are needed; -FOG_E_LIAR: not a frame of that sender.
 */
int stream_next(const void *bytes, size_t len, enum proc_id sender, struct stream_msg *out,
    size_t *used);

/* Mixes the whole table into an FNV-1a hash: see msg_edge_hash. */
uint64_t stream_hash(uint64_t seed);
const char *stream_state_name(unsigned state);

#endif
