/* SPDX-License-Identifier: MIT */
/* The tables of messages.def, and the record around a payload. */
#include "common/msg.h"

#include <string.h>

#include "common/cleanup.h"

#define PAYLOAD_FIELDS(name) \
	static const struct field fields_##name[] = { FIELDS_##name(CODEC_ROW, struct pl_##name){ \
	    0 } };
PAYLOADS(PAYLOAD_FIELDS)

#define PAYLOAD_LAYOUT(name) \
	{ #name, fields_##name, COUNT_OF(fields_##name) - 1, sizeof(struct pl_##name) },
const struct layout msg_layouts[PAYLOAD_COUNT] = { PAYLOADS(PAYLOAD_LAYOUT) };

#define ROWS_OF(receiver) MESSAGES_TO_##receiver(ROW_TO_##receiver)
#define MSG_ROW(receiver, NAME, number, sender, fds, phases, payload) \
	{ #NAME, number, PROC_##sender, receiver, fds, phases, PAYLOAD_##payload },
#define ROW_TO_ANY(NAME, name, ...) MSG_ROW(PROC_ANY, NAME, __VA_ARGS__)
#define ROW_TO_GATEWAYD(NAME, name, ...) MSG_ROW(PROC_GATEWAYD, NAME, __VA_ARGS__)
#define ROW_TO_AUTHD(NAME, name, ...) MSG_ROW(PROC_AUTHD, NAME, __VA_ARGS__)
#define ROW_TO_PLACERD(NAME, name, ...) MSG_ROW(PROC_PLACERD, NAME, __VA_ARGS__)
#define ROW_TO_PTYD(NAME, name, ...) MSG_ROW(PROC_PTYD, NAME, __VA_ARGS__)
#define ROW_TO_SPAWNER(NAME, name, ...) MSG_ROW(PROC_SPAWNER, NAME, __VA_ARGS__)
#define ROW_TO_HOLDER(NAME, name, ...) MSG_ROW(PROC_HOLDER, NAME, __VA_ARGS__)
#define ROW_TO_FOGD(NAME, name, ...) MSG_ROW(PROC_FOGD, NAME, __VA_ARGS__)
#define ROW_TO_ROLE(NAME, name, ...) MSG_ROW(PROC_ROLE, NAME, __VA_ARGS__)
const struct msg_row msg_rows[MSG_COUNT] = { MESSAGE_GROUPS(ROWS_OF) };

static const char *const proc_names[PROC_COUNT] = { "any", "fogd", "gatewayd", "authd", "placerd",
	"ptyd", "spawner", "holder", "role" };
static const char *const edge_names[] = { "control", "gatewayd-authd", "authd-placerd",
	"placerd-ptyd", "ptyd-spawner", "ptyd-gatewayd", "", "ptyd-holder" };

int
msg_put(struct writer *w, enum msg_type type, uint64_t request_id, const struct trace *trace,
    const void *payload)
{
	static const struct trace no_trace;
	const struct msg_row *row = &msg_rows[type];

	put_u16(w, row->number);
	put_u64(w, request_id);
	put_raw(w, trace ? trace->b : no_trace.b, sizeof(no_trace.b));
	return codec_put(w, &msg_layouts[row->payload], payload, NULL);
}

static int
find_row(uint16_t number, enum msg_type *type)
{
	for (size_t i = 0; i < MSG_COUNT; i++) {
		if (msg_rows[i].number == number) {
			*type = (enum msg_type)i;
			return 0;
		}
	}
	return -FOG_E_LIAR;
}

int
msg_get_header(struct reader *r, struct msg *out)
{
	uint16_t number = get_u16(r);

	out->request_id = get_u64(r);
	get_raw(r, out->trace.b, sizeof(out->trace.b));
	out->fd = -1;
	if (r->err)
		return r->err;
	return find_row(number, &out->type);
}

int
msg_get_payload(struct reader *r, struct msg *out)
{
	const struct layout *l = &msg_layouts[msg_rows[out->type].payload];
	int rc = codec_get(r, l, &out->u, NULL);

	return rc ? rc : reader_done(r);
}

uint64_t
msg_table_hash(void)
{
	uint64_t h = FNV1A_SEED;

	for (size_t i = 0; i < MSG_COUNT; i++) {
		const struct msg_row *row = &msg_rows[i];

		h = fnv1a(h, &row->number, sizeof(row->number));
		h = fnv1a(h, &row->fds, sizeof(row->fds));
		h = codec_hash(h, &msg_layouts[row->payload]);
	}
	return h;
}

const char *
proc_name(unsigned proc)
{
	return proc < PROC_COUNT ? proc_names[proc] : "unknown";
}

const char *
edge_name(unsigned edge)
{
	return edge < COUNT_OF(edge_names) ? edge_names[edge] : "unknown";
}
