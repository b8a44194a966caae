/* SPDX-License-Identifier: MIT */
/* links: common/msg.c */
/* messages.def: every row round trip, each bound, every truncation; PROTOCOL holds the same table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/msg.h"
#include "common/stream.h"
#include "regress/unit/table_check.h"

static void
test_every_payload(void **state)
{
	(void)state;
	for (size_t i = 0; i < PAYLOAD_COUNT; i++)
		table_check(&msg_layouts[i]);
}

/* Numbers are unique and grouped by receiver; names are unique. */
static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < MSG_COUNT; i++) {
		for (size_t j = i + 1; j < MSG_COUNT; j++) {
			assert_int_not_equal(msg_rows[i].number, msg_rows[j].number);
			assert_string_not_equal(msg_rows[i].name, msg_rows[j].name);
			if (msg_rows[i].number >> 8 == msg_rows[j].number >> 8)
				assert_int_equal(msg_rows[i].receiver, msg_rows[j].receiver);
		}
		assert_true(msg_rows[i].fds <= 1);
		assert_int_not_equal(msg_rows[i].phases, 0);
	}
}

/* S8: what gatewayd can send goes to authd alone, and has no field for a subject or groups. */
static void
test_gatewayd_names_nobody(void **state)
{
	(void)state;
	for (size_t i = 0; i < MSG_COUNT; i++) {
		const struct layout *l = &msg_layouts[msg_rows[i].payload];

		if (msg_rows[i].sender != PROC_GATEWAYD)
			continue;
		assert_int_equal(msg_rows[i].receiver, PROC_AUTHD);
		assert_int_equal(msg_rows[i].fds, 0);
		for (size_t j = 0; j < l->count; j++) {
			assert_string_not_equal(l->fields[j].name, "subject");
			assert_string_not_equal(l->fields[j].name, "issuer");
			assert_string_not_equal(l->fields[j].name, "groups");
		}
	}
}

/* Who reads with privilege gets records of one size, without anything to parse. */
static void
test_privileged_readers_get_fixed_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < MSG_COUNT; i++) {
		uint8_t to = msg_rows[i].receiver;

		if (to == PROC_FOGD || to == PROC_ROLE || to == PROC_SPAWNER)
			assert_true(codec_is_fixed(&msg_layouts[msg_rows[i].payload]));
	}
}

/* Each message travels on one edge; HELLO, which is anybody's, on all. */
static void
test_edges(void **state)
{
	(void)state;
	for (size_t i = 0; i < MSG_COUNT; i++) {
		unsigned on = 0;

		for (int edge = EDGE_CONTROL; edge <= EDGE_HOLDER; edge++)
			on += edge != EDGE_COUNT && msg_travels_on(&msg_rows[i], (enum edge)edge);
		assert_int_equal(on, i == MSG_HELLO ? EDGE_HOLDER : 1);
	}
	assert_true(msg_travels_on(&msg_rows[MSG_GATE_DELIVER], EDGE_DELIVERY));
	assert_true(msg_travels_on(&msg_rows[MSG_HOLD_ATTACH], EDGE_HOLDER));
	assert_true(msg_travels_on(&msg_rows[MSG_PTY_HOLDER_STATE], EDGE_HOLDER));
	assert_true(msg_travels_on(&msg_rows[MSG_CTL_READY], EDGE_CONTROL));
	assert_true(msg_travels_on(&msg_rows[MSG_CTL_SET_VERBOSE], EDGE_CONTROL));
	for (int a = EDGE_CONTROL; a <= EDGE_HOLDER; a++) {
		for (int b = a + 1; b <= EDGE_HOLDER; b++)
			assert_true(msg_edge_hash((enum edge)a) != msg_edge_hash((enum edge)b));
	}
}

/*
 * The contract with holders that run already. When one of these changes, the sessions that run at
 * the moment of an upgrade go on, but the new build cannot attach them (PROTOCOL 1.6). So think:
 * can the change be made without it, by a new message of another edge, or a bound that was wide
 * enough from the start? If not, change the value here and say so in CHANGELOG.md.
 *
 * HELLO by itself never changes: by it two builds find out that they differ.
 */
#define HOLDER_EDGE_HASH UINT64_C(0xb533137d95040aab)
#define HELLO_HASH UINT64_C(0x3ecb8b3cf91b6070)

static void
assert_pinned(const char *what, uint64_t got, uint64_t pinned)
{
	if (got != pinned)
		fail_msg("the hash of %s is UINT64_C(0x%016llx) now", what,
		    (unsigned long long)got);
}

static void
test_holder_contract(void **state)
{
	(void)state;
	assert_int_equal(msg_rows[MSG_HELLO].number, 1);
	assert_int_equal(MSG_HEADER_BYTES, 26);
	assert_pinned("hello", codec_hash(FNV1A_SEED, &msg_layouts[PAYLOAD_hello]), HELLO_HASH);
	assert_pinned("the holder's edge", msg_edge_hash(EDGE_HOLDER), HOLDER_EDGE_HASH);
}

/* Whoever is given a holder's stream has to understand it; nobody else depends on that table. */
static void
test_stream_is_in_the_holder_edge_alone(void **state)
{
	uint64_t h = stream_hash(FNV1A_SEED);

	(void)state;
	assert_true(h != FNV1A_SEED && h != stream_hash(1));
	for (size_t i = 0; i < MSG_COUNT; i++) {
		if (!msg_travels_on(&msg_rows[i], EDGE_HOLDER))
			continue;
		h = fnv1a(h, &msg_rows[i].number, sizeof(msg_rows[i].number));
		h = fnv1a(h, &msg_rows[i].fds, sizeof(msg_rows[i].fds));
		h = codec_hash(h, &msg_layouts[msg_rows[i].payload]);
	}
	assert_true(h == msg_edge_hash(EDGE_HOLDER));
}

static void
test_record(void **state)
{
	unsigned char room[MSG_MAX_BYTES];
	struct trace trace = { .b = { 1, 2, 3 } };
	struct pl_session_role in = { .role = ROLE_DRIVER }, *out;
	struct writer w;
	struct reader r;
	struct msg m;

	(void)state;
	writer_init(&w, room, sizeof(room));
	assert_int_equal(msg_put(&w, MSG_GATE_DELIVER, 77, &trace, &in), 0);
	reader_init(&r, room, w.len);
	assert_int_equal(msg_get_header(&r, &m), 0);
	assert_int_equal(m.type, MSG_GATE_DELIVER);
	assert_int_equal(m.request_id, 77);
	assert_memory_equal(m.trace.b, trace.b, sizeof(trace.b));
	assert_int_equal(m.fd, -1);
	assert_int_equal(msg_get_payload(&r, &m), 0);
	out = &m.u.session_role;
	assert_int_equal(out->role, ROLE_DRIVER);
	for (size_t cut = 0; cut < MSG_HEADER_BYTES; cut++) {
		reader_init(&r, room, cut);
		assert_int_not_equal(msg_get_header(&r, &m), 0);
	}
	room[0] = 0x7f;
	reader_init(&r, room, w.len);
	assert_int_equal(msg_get_header(&r, &m), -FOG_E_LIAR);
}

/* Everything a row may hold fits into one record, so a legal message can always be sent. */
static void
test_largest_fits(void **state)
{
	(void)state;
	for (size_t i = 0; i < PAYLOAD_COUNT; i++) {
		const struct layout *l = &msg_layouts[i];
		size_t len = MSG_HEADER_BYTES;

		for (size_t j = 0; j < l->count; j++)
			len += l->fields[j].kind >= FIELD_str ? l->fields[j].max + 2 : 32;
		assert_true(len <= MSG_MAX_BYTES);
	}
}

static char *
read_protocol(void)
{
	const char *top = getenv("FOG_TOP");
	char path[4096];
	char *text = calloc(1, 1 << 18);
	FILE *f;

	snprintf(path, sizeof(path), "%s/PROTOCOL", top ? top : ".");
	f = fopen(path, "r");
	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 18) - 1, f) > 0);
	fclose(f);
	return text;
}

/* PROTOCOL has a line `0xNNNN NAME sender receiver descriptors payload` for each row. */
static void
test_protocol_document(void **state)
{
	cleanup_free char *text = read_protocol();

	(void)state;
	for (size_t i = 0; i < MSG_COUNT; i++) {
		const struct msg_row *row = &msg_rows[i];
		char line[160];

		snprintf(line, sizeof(line), "\n    0x%04x %-16s %-8s -> %-8s %u %s\n", row->number,
		    row->name, proc_name(row->sender), proc_name(row->receiver), row->fds,
		    msg_layouts[row->payload].name);
		if (!strstr(text, line))
			fail_msg("PROTOCOL lacks the line:%s", line);
	}
}

static const char *
kind_name(enum field_kind kind)
{
	static const char *const names[] = { "u8", "u16", "u32", "u64", "id", "raw32", "raw768",
		"str", "bytes", "list", "tail" };

	return names[kind];
}

/* … and for each payload its fields: `name kind min max`, in order, after a line `payload:`. */
static void
test_protocol_fields(void **state)
{
	cleanup_free char *text = read_protocol();

	(void)state;
	for (size_t i = 0; i < PAYLOAD_COUNT; i++) {
		const struct layout *l = &msg_layouts[i];
		char part[4096];
		size_t n = (size_t)snprintf(part, sizeof(part), "\n    %s:\n", l->name);

		for (size_t j = 0; j < l->count; j++) {
			const struct field *f = &l->fields[j];

			n += (size_t)snprintf(part + n, sizeof(part) - n,
			    "        %-22s %-6s %llu..%llu\n", f->name, kind_name(f->kind),
			    (unsigned long long)f->min, (unsigned long long)f->max);
		}
		if (!strstr(text, part))
			fail_msg("PROTOCOL lacks the part:%s", part);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_payload),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_gatewayd_names_nobody),
		cmocka_unit_test(test_privileged_readers_get_fixed_records),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_holder_contract),
		cmocka_unit_test(test_stream_is_in_the_holder_edge_alone),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_largest_fits),
		cmocka_unit_test(test_protocol_document),
		cmocka_unit_test(test_protocol_fields),
	};

	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
