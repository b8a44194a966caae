/* SPDX-License-Identifier: MIT */
/*
 * placerd's asking of other nodes, between a prober and nodes that are played by hand, and lie.
 * links: placerd/probe.c placerd/nodestatus.c placerd/fleet.c placerd/nodes.c placerd/yaml.c placerd/audit.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "placerd/nodes.h"
#include "placerd/nodestatus.h"
#include "placerd/placerd.h"
#include "placerd/probe.h"
#include "placerd/where.h"
#include "placerd/yaml.h"
#include "regress/unit/role_check.h"

#define PROBER EDGE_PLACE_PROBE
#define NODES 3

static struct placerd placerd;
static struct nodetoken_key
    *keys[NODES + 1]; /* of fog-1, which this is, to fog-3; then a stranger's */
static char key_lines[NODES][128];
static unsigned refusals;    /* lines of the log */
static char told_state[256]; /* the last of a state */

/* where.c's: what the living sessions of this node have been promised. */
void
where_own_load(const struct placerd *d, struct place_room *out)
{
	(void)d;
	*out = (struct place_room){ 7, 3500, 4096 };
}

static struct nodetoken_key *
make_key(char line[128])
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char *der = NULL;
	struct nodetoken_key *key;
	const char *why;
	char *pem;
	long len;

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
	len = BIO_get_mem_data(bio, &pem);
	key = nodetoken_key_new(pem, (size_t)len, &why);
	assert_non_null(key);
	len = i2d_PUBKEY(pkey, &der);
	assert_int_equal(len, 91);
	EVP_EncodeBlock((unsigned char *)line, der, (int)len);
	OPENSSL_free(der);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return key;
}

static struct nodes *
read_nodes(size_t from, size_t count)
{
	char text[4096], err[YAML_ERROR_BYTES] = "";
	int len = snprintf(text, sizeof(text), "self: fog-1\nnodes:\n");
	struct nodes *nodes;

	for (size_t i = 0; i < NODES; i++) {
		if (i != 0 && (i < from || i >= from + count))
			continue;
		len += snprintf(text + len, sizeof(text) - (size_t)len,
		    "  - name: fog-%zu\n    url: https://fog-%zu.example.org\n    region: eu\n"
		    "    tier: fog\n    trust: trusted\n    data_labels: []\n"
		    "    capacity: {sessions: 10, cpu: \"4\", memory: \"8Gi\"}\n"
		    "    public_key: \"%s\"\n",
		    i + 1, i + 1, key_lines[i]);
	}
	nodes = nodes_new_from_yaml("nodes.yaml", text, (size_t)len, "https://*.example.org",
	    "fog-1", err, sizeof(err));
	assert_string_equal(err, "");
	assert_non_null(nodes);
	return nodes;
}

static void
count_line(enum log_level level, const char *line)
{
	(void)level;
	refusals += strstr(line, "event=node_status_refused") != NULL;
	if (strstr(line, "event=node_state "))
		snprintf(told_state, sizeof(told_state), "%s", line);
}

static void
edge_up(void *ctx, struct peer *p)
{
	(void)ctx;
	(void)p;
	if (placerd.probe)
		probe_edge_up(placerd.probe);
}

static void
edge_down(void *ctx, enum edge edge)
{
	(void)ctx;
	(void)edge;
	probe_edge_down(placerd.probe);
}

static int
on_part(void *ctx, struct peer *from, struct msg *m)
{
	(void)ctx;
	(void)from;
	return probe_on_part(placerd.probe, m->request_id, &m->u.fetched_part);
}

static int
on_end(void *ctx, struct peer *from, struct msg *m)
{
	(void)ctx;
	(void)from;
	return probe_on_end(placerd.probe, m->request_id, &m->u.fetched);
}

static unsigned
phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	(void)ctx;
	(void)from;
	return m->request_id ? probe_phase(placerd.probe, m->request_id) : PH_NOTE;
}

static const msg_handler handlers[MSG_COUNT] = {
	[MSG_PLACE_FETCHED_PART] = on_part,
	[MSG_PLACE_FETCHED] = on_end,
};

static int
set_up(void **state)
{
	(void)state;
	memset(&placerd, 0, sizeof(placerd));
	role.self = PROC_PLACERD;
	role.ctx = &placerd;
	role.edge_up = edge_up;
	role.edge_down = edge_down;
	role.ops.handlers = handlers;
	role.ops.phase_of = phase_of;
	role_begin();
	log_set_sink(count_line);
	refusals = 0;
	assert_int_equal(json_init(), 0);
	assert_true(nodetoken_load());
	for (size_t i = 0; i <= NODES; i++) {
		char line[128];

		keys[i] = make_key(i < NODES ? key_lines[i] : line);
	}
	placerd.nodes = read_nodes(1, 1);
	placerd.node_key = keys[0];
	placerd.fleet = fleet_new(2, 0, 1, mono_ms());
	placerd.probe = probe_new(&placerd);
	assert_non_null(placerd.probe);
	connect_neighbour(PROBER);
	return 0;
}

/* The latest question that was heard. */
static struct asked_node {
	uint64_t id;
	struct nodetoken token;
} asked;

static int
tear_down(void **state)
{
	(void)state;
	probe_free(placerd.probe);
	fleet_free(placerd.fleet);
	nodes_free(placerd.nodes);
	for (size_t i = 0; i <= NODES; i++)
		nodetoken_key_free(keys[i]);
	placerd.probe = NULL;
	nodetoken_fini(&asked.token);
	role_end();
	return 0;
}

/* --- the asked node --- */

/* The next ask, which has to be this node's own and for fog-2. */
static const union payload *
hear_any_ask(void)
{
	const union payload *u = NULL;

	for (int i = 0; i < 300 && !u; i++) {
		turn_for_ms(10);
		if (recv(role.far[PROBER], role.bytes, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
			u = hear(PROBER, MSG_PROBE_SEND, 0);
	}
	assert_non_null(u);
	return u;
}

#define OTHER_URL "https://fog-2.example.org/v1/node/status"

static void
take_ask(const union payload *u)
{
	unsigned char point[NODETOKEN_KEY_BYTES];
	const char *why = NULL;
	struct nodetoken_pin *pin;

	assert_true(view_is(u->fetch.url, OTHER_URL));
	assert_int_equal(u->fetch.to, FETCH_TO_NODE);
	assert_int_equal(u->fetch.method, METHOD_GET);
	assert_int_equal(u->fetch.timeout_ms, FLEET_ANSWER_MAX_MS);
	assert_int_equal(u->fetch.body.len + u->fetch.idem_key.len + u->fetch.forwarded_by.len, 0);
	assert_memory_equal(u->fetch.authorization.p, "Bearer ", 7);
	nodetoken_key_public(keys[0], point);
	pin = nodetoken_pin_new(point);
	nodetoken_fini(&asked.token);
	assert_int_equal(nodetoken_verify(pin, NODETOKEN_ASK,
			     view_bytes(u->fetch.authorization.p + 7,
				 u->fetch.authorization.len - 7),
			     "fog-2", (uint64_t)wall_s(), &asked.token, &why),
	    0);
	nodetoken_pin_free(pin);
	assert_string_equal(asked.token.issuer, "fog-1");
	asked.id = role.heard.request_id;
}

static void
hear_ask(void)
{
	take_ask(hear_any_ask());
}

static struct nodetoken
good_answer(void)
{
	struct nodetoken t = { .kind = NODETOKEN_STATUS,
		.issuer = "fog-2",
		.audience = "fog-1",
		.id = asked.token.id,
		.issued_s = (uint64_t)wall_s() };
	struct nodestatus s = { .version = "0.1.0", .is_ready = true, .load = { 5, 250, 1024 } };

	t.expires_s = t.issued_s + NODETOKEN_LIFE_S;
	t.status = nodestatus_to_json(&s);
	return t;
}

static void
answer_bytes(uint16_t status, const char *body, size_t len)
{
	struct pl_fetched end = { .status = status, .total_bytes = (uint32_t)len };

	for (size_t at = 0; at < len; at += 100) {
		struct pl_fetched_part part = { .part = view_bytes(body + at,
						    len - at < 100 ? len - at : 100) };

		say(PROBER, MSG_PLACE_FETCHED_PART, asked.id, &part);
	}
	say(PROBER, MSG_PLACE_FETCHED, asked.id, &end);
}

/* t->status is taken. */
static void
answer(struct nodetoken *t, const struct nodetoken_key *key)
{
	char text[NODETOKEN_MAX_BYTES + 1];

	assert_int_equal(nodetoken_make(key, t, text, sizeof(text)), 0);
	nodetoken_fini(t);
	answer_bytes(200, text, strlen(text));
}

static enum node_state
state_of_other(void)
{
	return fleet_state(placerd.fleet, 1, mono_ms());
}

static void
answer_well(void)
{
	struct nodetoken t = good_answer();

	answer(&t, keys[1]);
	assert_int_equal(state_of_other(), NODE_UP);
}

static void
test_an_answer(void **state)
{
	(void)state;
	hear_ask();
	assert_int_equal(state_of_other(), NODE_UNKNOWN);
	answer_well();
	assert_int_equal(fleet_load(placerd.fleet, 1).sessions, 5);
	assert_int_equal(fleet_load(placerd.fleet, 1).cpu_milli, 250);
	hear_ask();
	answer_well();
	assert_int_equal(refusals, 0);
	assert_int_equal(role.lies, 0);
}

/* --- answers that are none --- */

static void
lie_name(void)
{
	struct nodetoken t = good_answer();

	strcpy(t.issuer, "fog-3");
	answer(&t, keys[1]);
}

static void
lie_key(void)
{
	struct nodetoken t = good_answer();

	answer(&t, keys[NODES]);
}

static void
lie_other_node(void)
{
	struct nodetoken t = good_answer();

	strcpy(t.issuer, "fog-3");
	answer(&t, keys[2]);
}

static void
lie_replay(void)
{
	struct nodetoken t = good_answer();

	t.id.b[0] ^= 1;
	answer(&t, keys[1]);
}

static void
lie_audience(void)
{
	struct nodetoken t = good_answer();

	strcpy(t.audience, "fog-3");
	answer(&t, keys[1]);
}

static void
lie_clock(void)
{
	struct nodetoken t = good_answer();

	t.issued_s -= 600;
	t.expires_s -= 600;
	answer(&t, keys[1]);
}

static void
lie_status(void)
{
	struct nodetoken t = good_answer();

	json_object_set_new(t.status, "sessions", json_integer(-1));
	answer(&t, keys[1]);
}

static void
lie_kind(void)
{
	struct nodetoken t = good_answer();

	nodetoken_fini(&t);
	t.kind = NODETOKEN_ASK;
	answer(&t, keys[1]);
}

static void
lie_http(void)
{
	answer_bytes(503, "{}", 2);
}

static void
lie_garbage(void)
{
	answer_bytes(200, "<html>", 6);
}

static void
lie_empty(void)
{
	answer_bytes(200, "", 0);
}

static void
lie_large(void)
{
	struct pl_fetched end = { .error = FETCH_E_SIZE };

	say(PROBER, MSG_PLACE_FETCHED, asked.id, &end);
}

static void (*const lies[])(void) = { lie_name, lie_key, lie_other_node, lie_replay, lie_audience,
	lie_clock, lie_status, lie_kind, lie_http, lie_garbage, lie_empty, lie_large };

/* As at the start: the other node is asked at once. */
static void
begin_anew(void)
{
	fleet_free(placerd.fleet);
	placerd.fleet = fleet_new(2, 0, 1, mono_ms());
	probe_nodes_changed(&placerd);
}

static void
test_answers_that_are_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(lies); i++) {
		unsigned before = refusals;

		if (i > 0)
			begin_anew();
		hear_ask();
		hear_nothing(PROBER); /* it is not asked twice */
		lies[i]();
		if (state_of_other() != NODE_UNKNOWN || refusals != before + 1)
			fail_msg("lie %zu: %s, %u lines", i,
			    session_node_state_name(state_of_other()), refusals - before);
		assert_int_equal(fleet_load(placerd.fleet, 1).sessions, 0);
	}
	assert_int_equal(role.lies, 0);
}

/* The same complaint fills no log; and who never answers well is out. */
static void
test_a_node_that_goes_on_lying(void **state)
{
	(void)state;
	hear_ask();
	answer_well();
	for (int i = 0; i < FLEET_LOST_MAX; i++) {
		hear_ask();
		lie_key();
	}
	assert_int_equal(state_of_other(), NODE_DOWN);
	assert_int_equal(refusals, 1);
}

static void
lose_all(enum fetch_error error)
{
	struct pl_fetched end = { .error = (uint8_t)error };

	for (int i = 0; i < FLEET_LOST_MAX; i++) {
		hear_ask();
		if (error == FETCH_OK)
			turn_for_ms(FLEET_TIMEOUT_MIN_MS + 50); /* it ends no more in time */
		else
			say(PROBER, MSG_PLACE_FETCHED, asked.id, &end);
	}
	for (int i = 0; i < 100 && state_of_other() != NODE_DOWN; i++)
		turn_for_ms(10);
	assert_int_equal(state_of_other(), NODE_DOWN);
}

static void
assert_told(const char *reason)
{
	turn_for_ms(10);
	if (!strstr(told_state, "node=fog-2 ") || !strstr(told_state, " is=unreachable ") ||
	    !strstr(told_state, reason))
		fail_msg("%s: %s", reason, told_state);
}

/* Who is out is told with the cause, also where nothing but silence came of asking. */
static void
test_why_it_is_out(void **state)
{
	struct nodetoken t;
	struct nodestatus s = { .version = "0.1.0", .is_ready = false };

	(void)state;
	hear_ask();
	answer_well();
	lose_all(FETCH_OK);
	assert_told("reason=timeout");
	connect_neighbour(PROBER);
	begin_anew();
	hear_ask();
	answer_well();
	lose_all(FETCH_E_CONNECT);
	assert_told("reason=connection_failed");
	begin_anew();
	hear_ask();
	t = good_answer();
	json_release(t.status);
	t.status = nodestatus_to_json(&s);
	answer(&t, keys[1]);
	assert_told("reason=not_ready");
}

static void
test_a_late_answer(void **state)
{
	struct asked_node first;

	(void)state;
	hear_ask();
	answer_well();
	hear_ask();
	first = asked;
	/* By the time that the answer before took, on a machine that is busy. */
	for (int i = 0; i < FLEET_TIMEOUT_MAX_MS / 10 && state_of_other() == NODE_UP; i++)
		turn_for_ms(10);
	assert_int_equal(state_of_other(), NODE_SUSPECT);
	hear_ask(); /* while the first is still under way */
	assert_true(asked.id != first.id);
	asked = first;
	answer_well();
	turn_for_ms(FLEET_AGAIN_SOON_MS + 50); /* the second is settled by that */
	assert_int_equal(state_of_other(), NODE_UP);
}

/* --- a prober that lies --- */

static void
test_more_than_was_asked_for(void **state)
{
	static const char bytes[4096];
	struct pl_fetched_part part = { .part = view_bytes(bytes, sizeof(bytes)) };

	(void)state;
	hear_ask();
	for (size_t i = 0; i <= NODETOKEN_MAX_BYTES / sizeof(bytes); i++)
		say(PROBER, MSG_PLACE_FETCHED_PART, asked.id, &part);
	assert_int_equal(role.lies, 1);
	connect_neighbour(PROBER);
	hear_ask();
	answer_well();
}

static void
test_lies_of_the_prober(void **state)
{
	struct pl_fetched end = { .status = 200, .total_bytes = 5 };

	(void)state;
	hear_ask();
	say(PROBER, MSG_PLACE_FETCHED, asked.id, &end); /* no bytes have come */
	assert_int_equal(role.lies, 1);
	connect_neighbour(PROBER);
	hear_ask();
	end = (struct pl_fetched){ .error = FETCH_E_TIME };
	say(PROBER, MSG_PLACE_FETCHED, asked.id + 1, &end); /* nobody asked for that */
	assert_int_equal(role.lies, 2);
	connect_neighbour(PROBER);
	hear_ask();
	say(PROBER, MSG_PLACE_FETCHED, asked.id, &end);
	turn_for_ms(20);
	say(PROBER, MSG_PLACE_FETCHED, asked.id, &end); /* twice */
	assert_int_equal(role.lies, 3);
}

static void
test_silence_of_the_prober(void **state)
{
	(void)state;
	hear_ask();
	turn_for_ms(FLEET_ANSWER_MAX_MS + PROBE_SILENCE_MS + 100);
	assert_int_equal(role.lies, 1);
	assert_int_not_equal(state_of_other(), NODE_UP);
}

/* Without a prober nobody is asked, and nobody is out by that. */
static void
test_no_prober(void **state)
{
	(void)state;
	hear_ask();
	answer_well();
	disconnect(PROBER);
	turn_for_ms(3000);
	assert_int_equal(state_of_other(), NODE_UP);
	connect_neighbour(PROBER);
	hear_ask();
	answer_well();
}

/* --- a reload --- */

static void
test_other_nodes(void **state)
{
	static const size_t map[] = { 0, 1, SIZE_MAX };
	struct nodes *was = placerd.nodes;
	struct fleet *fleet;

	(void)state;
	hear_ask();
	answer_well();
	hear_ask();
	placerd.nodes = read_nodes(1, 2);
	fleet = fleet_new(3, 0, 1, mono_ms());
	fleet_adopt(fleet, placerd.fleet, map);
	fleet_free(placerd.fleet);
	placerd.fleet = fleet;
	probe_nodes_changed(&placerd);
	nodes_free(was);
	answer_well();
	was = placerd.nodes;
	placerd.nodes = read_nodes(2, 1); /* fog-2 has left */
	fleet_free(placerd.fleet);
	placerd.fleet = fleet_new(2, 0, 1, mono_ms());
	probe_nodes_changed(&placerd);
	nodes_free(was);
	turn_for_ms(50);
	assert_int_equal(fleet_state(placerd.fleet, 1, mono_ms()), NODE_UNKNOWN);
}

/* --- being asked --- */

static int
be_asked(const char *issuer, const char *audience, const struct nodetoken_key *key, char *out)
{
	struct nodetoken t = { .kind = NODETOKEN_ASK, .issued_s = (uint64_t)wall_s() };
	char token[NODETOKEN_MAX_BYTES + 1];

	t.expires_s = t.issued_s + NODETOKEN_LIFE_S;
	snprintf(t.issuer, sizeof(t.issuer), "%s", issuer);
	snprintf(t.audience, sizeof(t.audience), "%s", audience);
	t.id.b[5] = 9;
	assert_int_equal(nodetoken_make(key, &t, token, sizeof(token)), 0);
	return probe_answer_status(&placerd, view_of(token), out);
}

static void
test_being_asked(void **state)
{
	unsigned char point[NODETOKEN_KEY_BYTES];
	char out[NODETOKEN_MAX_BYTES + 1];
	struct nodestatus s;
	struct nodetoken t;
	const char *why = NULL;
	struct nodetoken_pin *pin;

	(void)state;
	placerd.is_draining = true;
	assert_int_equal(be_asked("fog-2", "fog-1", keys[1], out), 0);
	nodetoken_key_public(keys[0], point);
	pin = nodetoken_pin_new(point);
	assert_int_equal(nodetoken_verify(pin, NODETOKEN_STATUS, view_of(out), "fog-2",
			     (uint64_t)wall_s(), &t, &why),
	    0);
	nodetoken_pin_free(pin);
	assert_string_equal(t.issuer, "fog-1");
	assert_int_equal(t.id.b[5], 9);
	assert_int_equal(nodestatus_from_json(t.status, &s, &why), 0);
	nodetoken_fini(&t);
	assert_string_equal(s.version, FOG_VERSION);
	assert_false(s.is_ready); /* ptyd has not told its sessions */
	assert_true(s.is_draining);
	assert_int_equal(s.load.sessions, 7);
	assert_int_equal(s.load.memory_bytes, 4096);
}

static void
test_being_asked_by_others(void **state)
{
	char out[NODETOKEN_MAX_BYTES + 1];

	(void)state;
	assert_int_equal(be_asked("fog-2", "fog-1", keys[NODES], out), -FOG_E_NODE_TOKEN);
	assert_int_equal(be_asked("fog-2", "fog-3", keys[1], out), -FOG_E_NODE_TOKEN);
	assert_int_equal(be_asked("fog-9", "fog-1", keys[1], out), -FOG_E_NODE_TOKEN);
	assert_int_equal(be_asked("fog-1", "fog-1", keys[0], out), -FOG_E_NODE_TOKEN);
	assert_int_equal(probe_answer_status(&placerd, view_of("a.b.c"), out), -FOG_E_NODE_TOKEN);
	assert_int_equal(probe_answer_status(&placerd, view_of(""), out), -FOG_E_NODE_TOKEN);
}

static void
test_too_many_ask(void **state)
{
	char out[NODETOKEN_MAX_BYTES + 1];
	unsigned answered = 0;
	uint64_t start_ms = mono_ms();

	(void)state;
	for (int i = 0; i < 2000; i++)
		answered += probe_answer_status(&placerd, view_of("a.b.c"), out) != -FOG_E_RATE;
	assert_in_range(answered, 40,
	    60 + (mono_ms() - start_ms + 1) * PROBE_ANSWERS_PER_SECOND / 1000);
	turn_for_ms(50);
	assert_int_equal(be_asked("fog-2", "fog-1", keys[1], out), 0);
}

/* --- news --- */

/* Three nodes: this one, fog-2 that is watched here, fog-3 that says things. */
static void
begin_with_three(void)
{
	struct nodes *was = placerd.nodes;

	placerd.nodes = read_nodes(1, 2);
	fleet_free(placerd.fleet);
	placerd.fleet = fleet_new(3, 0, 1, mono_ms());
	probe_nodes_changed(&placerd);
	nodes_free(was);
}

/* fog-3 is asked as well, and does not answer. */
static void
hear_ask_of_other(void)
{
	const union payload *u = hear_any_ask();

	while (!view_is(u->fetch.url, OTHER_URL))
		u = hear_any_ask();
	take_ask(u);
}

static int
be_told(json_t *suspects)
{
	struct nodetoken t = { .kind = NODETOKEN_ASK,
		.issuer = "fog-3",
		.audience = "fog-1",
		.issued_s = (uint64_t)wall_s(),
		.suspects = suspects };
	char token[NODETOKEN_MAX_BYTES + 1], out[NODETOKEN_MAX_BYTES + 1];

	t.expires_s = t.issued_s + NODETOKEN_LIFE_S;
	assert_int_equal(nodetoken_make(keys[2], &t, token, sizeof(token)), 0);
	nodetoken_fini(&t);
	return probe_answer_status(&placerd, view_of(token), out);
}

static json_t *
names(size_t count, const char *name)
{
	json_t *list = json_array();

	while (count-- > 0)
		json_array_append_new(list, json_string(name));
	return list;
}

/* Whoever asks may say whom it has lost: then that one is asked, and nothing else follows. */
static void
test_news_with_an_ask(void **state)
{
	uint64_t start_ms;

	(void)state;
	begin_with_three();
	hear_ask_of_other();
	answer_well();
	turn_for_ms(320); /* an answer that new beats a hint */
	start_ms = mono_ms();
	assert_int_equal(be_told(names(1, "fog-2")), 0);
	assert_int_equal(state_of_other(), NODE_UP);
	hear_ask_of_other();
	assert_true(mono_ms() - start_ms < 300); /* and not in its turn */
	answer_well();
	assert_int_equal(be_told(names(1, "fog-1")), 0); /* of this node itself */
	assert_int_equal(be_told(names(1, "fog-3")), 0); /* of itself */
	assert_int_equal(be_told(names(1, "nobody")), 0);
	assert_int_equal(be_told(names(FLEET_SUSPECTS_MAX, "fog-2")), 0);
	assert_int_equal(state_of_other(), NODE_UP);
}

static void
test_news_that_is_none(void **state)
{
	(void)state;
	begin_with_three();
	assert_int_equal(be_told(names(FLEET_SUSPECTS_MAX + 1, "fog-2")), -FOG_E_NODE_TOKEN);
	assert_int_equal(be_told(names(1, "")), -FOG_E_NODE_TOKEN);
	assert_int_equal(be_told(names(1, "a\033[2J")), -FOG_E_NODE_TOKEN);
	assert_int_equal(be_told(json_pack("[i]", 2)), -FOG_E_NODE_TOKEN);
	assert_int_equal(be_told(json_object()), -FOG_E_NODE_TOKEN);
}

/* What this node has lost goes along with its asks. */
static void
test_asks_tell(void **state)
{
	(void)state;
	hear_ask();
	answer_well();
	hear_ask();
	assert_null(asked.token.suspects);
	for (int i = 0; i < 3; i++) { /* in no time: the second is not late enough to be told */
		lie_http();
		hear_ask();
	}
	assert_string_equal(json_string_value(json_array_get(asked.token.suspects, 0)), "fog-2");
	answer_well();
	hear_ask();
	assert_null(asked.token.suspects);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_answer),
		TEST(test_answers_that_are_none),
		TEST(test_a_node_that_goes_on_lying),
		TEST(test_why_it_is_out),
		TEST(test_a_late_answer),
		TEST(test_more_than_was_asked_for),
		TEST(test_lies_of_the_prober),
		TEST(test_silence_of_the_prober),
		TEST(test_no_prober),
		TEST(test_other_nodes),
		TEST(test_being_asked),
		TEST(test_being_asked_by_others),
		TEST(test_too_many_ask),
		TEST(test_news_with_an_ask),
		TEST(test_news_that_is_none),
		TEST(test_asks_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
