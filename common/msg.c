/* SPDX-License-Identifier: MIT */
/* The tables of messages.def, and the record around a payload. */
#include "common/msg.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/stream.h"

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
#define ROW_TO_FETCHER(NAME, name, ...) MSG_ROW(PROC_FETCHER, NAME, __VA_ARGS__)
#define ROW_TO_PROBER(NAME, name, ...) MSG_ROW(PROC_PROBER, NAME, __VA_ARGS__)
#define ROW_TO_FOGD(NAME, name, ...) MSG_ROW(PROC_FOGD, NAME, __VA_ARGS__)
#define ROW_TO_ROLE(NAME, name, ...) MSG_ROW(PROC_ROLE, NAME, __VA_ARGS__)
const struct msg_row msg_rows[MSG_COUNT] = { MESSAGE_GROUPS(ROWS_OF) };

static const char *const proc_names[PROC_COUNT] = { "any", "fogd", "gatewayd", "authd", "placerd",
	"ptyd", "spawner", "holder", "fetcher", "prober", "role" };

static const struct {
	const char *name;
	uint8_t left, right; /* enum proc_id */
} edges[] = {
	[EDGE_CONTROL] = { "control", PROC_FOGD, PROC_ROLE },
	[EDGE_GATE_AUTH] = { "gatewayd-authd", PROC_GATEWAYD, PROC_AUTHD },
	[EDGE_AUTH_PLACE] = { "authd-placerd", PROC_AUTHD, PROC_PLACERD },
	[EDGE_PLACE_PTY] = { "placerd-ptyd", PROC_PLACERD, PROC_PTYD },
	[EDGE_PTY_SPAWN] = { "ptyd-spawner", PROC_PTYD, PROC_SPAWNER },
	[EDGE_DELIVERY] = { "ptyd-gatewayd", PROC_PTYD, PROC_GATEWAYD },
	[EDGE_AUTH_FETCH] = { "authd-fetcher", PROC_AUTHD, PROC_FETCHER },
	[EDGE_PLACE_PROBE] = { "placerd-prober", PROC_PLACERD, PROC_PROBER },
	[EDGE_COUNT] = { "", PROC_COUNT, PROC_COUNT },
	[EDGE_HOLDER] = { "ptyd-holder", PROC_PTYD, PROC_HOLDER },
};

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

/* A control pair is each role's: a message on it may be one role's alone. */
static bool
is_end(unsigned named, unsigned end)
{
	return named == PROC_ANY || named == end ||
	    (end == PROC_ROLE && named != PROC_FOGD && named != PROC_HOLDER);
}

bool
msg_travels_on(const struct msg_row *row, enum edge edge)
{
	unsigned left = edges[edge].left, right = edges[edge].right;

	return (is_end(row->sender, left) && is_end(row->receiver, right)) ||
	    (is_end(row->sender, right) && is_end(row->receiver, left));
}

/* The number says who receives; nothing goes in whose value another edge may change. */
uint64_t
msg_edge_hash(enum edge edge)
{
	uint64_t h = edge == EDGE_HOLDER ? stream_hash(FNV1A_SEED) : FNV1A_SEED;

	for (size_t i = 0; i < MSG_COUNT; i++) {
		const struct msg_row *row = &msg_rows[i];

		if (!msg_travels_on(row, edge))
			continue;
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
	return edge < COUNT_OF(edges) ? edges[edge].name : "unknown";
}
