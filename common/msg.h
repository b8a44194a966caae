/* SPDX-License-Identifier: MIT */
/*
 * messages.def expanded: payload structs, message rows, and one record on the wire:
 *   u16 number, u64 request id, 16 bytes W3C trace id, payload fields. See PROTOCOL.
 */
#ifndef FOG_MSG_H
#define FOG_MSG_H

#include <stdbool.h>

#include "common/codec.h"
#include "common/err.h"
#include "common/session.h"

#define MSG_HEADER_BYTES 26
#define MSG_MAX_BYTES 16384

/* The programs; a message names its sender and receiver by these. */
enum proc_id {
	PROC_ANY,
	PROC_FOGD,
	PROC_GATEWAYD,
	PROC_AUTHD,
	PROC_PLACERD,
	PROC_PTYD,
	PROC_SPAWNER,
	PROC_HOLDER,
	PROC_FETCHER,
	PROC_PROBER, /* placerd's fetcher */
	PROC_ROLE,   /* as receiver: any of fogd's children */
	PROC_COUNT
};

/* The socket pairs between them. */
enum edge {
	EDGE_CONTROL, /* fogd <-> role */
	EDGE_GATE_AUTH,
	EDGE_AUTH_PLACE,
	EDGE_PLACE_PTY,
	EDGE_PTY_SPAWN,
	EDGE_DELIVERY, /* ptyd -> gatewayd, one way */
	EDGE_AUTH_FETCH,
	EDGE_PLACE_PROBE,
	EDGE_COUNT,
	EDGE_HOLDER /* ptyd <-> holder: made by ptyd, not by fogd */
};

/* Files that a reload hands over. */
enum reload_file { FILE_NONE, FILE_POLICY, FILE_TLS_CERT, FILE_TLS_KEY, FILE_NODES, FILE_COUNT };

/* The states of a request, and the two kinds of message that belong to none. */
enum msg_phase {
	PH_NEW = 1,
	PH_CREATE = 2,
	PH_LIST = 4,
	PH_SHOW = 8,
	PH_END = 16,
	PH_MINT = 32,
	PH_ATTACH = 64,
	PH_PROFILES = 128,
	PH_NODES = 256,
	PH_READY = 512,
	PH_EXTEND = 1024,
	PH_RENEW = 2048,
	PH_LOGOUT = 4096,
	PH_FETCH = 8192,
	PH_SYNC = 16384,
	PH_NOTE = 32768,
	PH_HELLO = 65536,
	PH_STATUS = 131072,
	PH_CONFIRM = 262144,
	PH_ASKED = 16382 | PH_STATUS | PH_CONFIRM /* every state of a request but PH_NEW */
};

#include "common/messages.def"

#define PAYLOAD_STRUCT(name) \
	struct pl_##name { \
		FIELDS_##name(CODEC_MEMBER, ) \
	};
PAYLOADS(PAYLOAD_STRUCT)
#undef PAYLOAD_STRUCT

#define PAYLOAD_ENUM(name) PAYLOAD_##name,
enum payload_kind { PAYLOADS(PAYLOAD_ENUM) PAYLOAD_COUNT };
#undef PAYLOAD_ENUM

#define PAYLOAD_MEMBER(name) struct pl_##name name;
union payload {
	PAYLOADS(PAYLOAD_MEMBER)
};
#undef PAYLOAD_MEMBER

/* Index of a row (dense), as opposed to its number on the wire. */
#define MSG_ENUM(NAME, name, number, sender, fds, phases, payload) MSG_##NAME,
enum msg_type {
#define MSG_GROUP(receiver) MESSAGES_TO_##receiver(MSG_ENUM)
	MESSAGE_GROUPS(MSG_GROUP)
#undef MSG_GROUP
	    MSG_COUNT
};
#undef MSG_ENUM

struct msg_row {
	const char *name; /* "AUTH_CREATE" */
	uint16_t number;
	uint8_t sender, receiver; /* enum proc_id */
	uint8_t fds;              /* descriptors in the record: 0 or 1 */
	uint32_t phases;          /* of enum msg_phase */
	enum payload_kind payload;
};

struct trace {
	unsigned char b[16];
};

struct msg {
	enum msg_type type;
	uint64_t request_id; /* gatewayd's incarnation << 32 | counter; 0: none */
	struct trace trace;
	union payload u; /* views borrow from the record: valid until the handler returns */
	int fd;          /* -1: none; a handler that keeps it calls steal_fd */
};

extern const struct msg_row msg_rows[MSG_COUNT];
extern const struct layout msg_layouts[PAYLOAD_COUNT];

/* Writes header and payload. 0 or -FOG_E_BOUNDS. `payload` may be NULL for PAYLOAD_none. */
int msg_put(struct writer *w, enum msg_type type, uint64_t request_id, const struct trace *trace,
    const void *payload);
/* Reads the header alone: -FOG_E_LIAR for a number that is not in the table. */
int msg_get_header(struct reader *r, struct msg *out);
/* Reads the payload into out->u and wants the record to end there. */
int msg_get_payload(struct reader *r, struct msg *out);
bool msg_travels_on(const struct msg_row *row, enum edge edge); /* in one of its directions */
/*
 * What HELLO carries: the messages that travel on this edge and their layouts; for EDGE_HOLDER also
 * those of the stream, since who is given a holder's stream has to understand it.
 */
uint64_t msg_edge_hash(enum edge edge);
const char *proc_name(unsigned proc);
const char *edge_name(unsigned edge);

#endif
