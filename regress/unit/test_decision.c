/* SPDX-License-Identifier: MIT */
/* The record of a decision: from it alone the same choice comes again, for the same reasons. */
/* links: placerd/decision.c placerd/place.c placerd/nodes.c placerd/yaml.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "placerd/decision.h"
#include "placerd/nodes.h"

#define FLEET_MAX 1000
#define LABELS 20
#define REGIONS 24

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint32_t
below(uint32_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 0x2545f4914f6cdd1d) >> 33) % n;
}

static char node_names[FLEET_MAX + 1][65];
static char region_names[REGIONS][65];
static char label_names[PLACE_LABELS_MAX][65];

/* A fleet that knows all the labels: one node is enough for that. */
static struct nodes *
fleet_with_labels(size_t n_labels)
{
	char text[8192], err[512];
	size_t len = (size_t)snprintf(text, sizeof(text),
	    "nodes:\n  - name: a\n    url: https://a.example.org\n    region: r\n    tier: fog\n"
	    "    trust: basic\n    capacity: { sessions: 1 }\n    public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0D"
	    "AQcDQgAEXURl+akyE5QH1oc+U7sr32b+zjEGKZShYo175i3pKr+HCt5CBkRa1HDIjP0DYDFpkCJ+LHfzx1+5RkvB"
	    "m61MMQ==\n    data_labels:\n");
	struct nodes *fleet;

	for (size_t i = 0; i < n_labels; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "      - %s\n",
		    label_names[i]);
	assert_true(len < sizeof(text));
	fleet = nodes_new_from_yaml("n", text, len, "https://a.example.org", "a", err, sizeof(err));
	if (!fleet)
		fail_msg("%s", err);
	return fleet;
}

struct world {
	struct place_node nodes[FLEET_MAX];
	size_t n;
	struct view regions[REGIONS];
	struct place_request request;
};

static struct place_room
random_room(uint32_t most)
{
	return (struct place_room){ below(most), below(most), below(most) };
}

/* picky: of a hundred, how many nodes are rejected by something. */
static void
random_node(struct place_node *node, size_t i, uint32_t picky)
{
	bool is_bad = below(100) < picky;

	*node = (struct place_node){ .name = view_of(node_names[i]),
		.region = view_of(region_names[is_bad ? below(REGIONS) : 0]),
		.tier = below(3) ? TIER_FOG : TIER_CLOUD,
		.trust = is_bad ? 1 + below(TRUST_COUNT - 1) : TRUST_ATTESTED,
		.labels = is_bad ? below(8) : 0x7fffffffffffffff,
		.state = is_bad ? 1 + below(NODE_STATE_COUNT - 1) : NODE_UP,
		.has_failed = below(12) == 0,
		.capacity = random_room(8),
		.load = random_room(is_bad ? 8 : 2),
		.latency_ms = below(2) ? 5 + below(60) : PLACE_LATENCY_NONE };
	if (!is_bad)
		node->capacity.sessions += 4;
}

static struct view
random_name(size_t n)
{
	return below(3) == 0 ? view_of("") : view_of(node_names[below((uint32_t)n + 1)]);
}

static void
random_world(struct world *w)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 5, 12, 40, 150 };
	static const uint32_t pickies[] = { 0, 30, 90, 100 };
	uint32_t picky = pickies[below(COUNT_OF(pickies))];

	w->n = below(50) ? sizes[below(COUNT_OF(sizes))] : FLEET_MAX;
	for (size_t i = 0; i < w->n; i++)
		random_node(&w->nodes[i], i, picky);
	for (size_t i = 0; i < REGIONS; i++)
		w->regions[i] = view_of(region_names[i]);
	w->request = (struct place_request){ .hint = random_name(w->n),
		.current = random_name(w->n),
		.regions = w->regions,
		.n_regions = below(2) ? 0 : 1 + below(3),
		.labels = below(2) ? 0 : below(16),
		.min_trust = below(TRUST_COUNT),
		.fallback_region = view_of(region_names[below(2)]),
		.needs = { 1, below(3), below(3) } };
	if (below(20) == 0)
		w->request.labels |= PLACE_LABEL_NOBODY_HAS;
	if (below(10) == 0) { /* everyone is full, or nearly everyone */
		for (size_t i = below(2); i < w->n; i++)
			w->nodes[i].capacity.sessions = 0;
	}
}

static size_t longest;

/* As text and back: what is in the log is all there is. */
static void
reread(const struct world *w, const struct place_choice *choice, const struct nodes *fleet,
    struct decision *out)
{
	char err[256] = "";
	struct json_error_text why;
	json_t *obj = decision_to_json(&w->request, w->nodes, w->n, choice, fleet), *again;
	char *text;

	assert_non_null(obj);
	text = json_dumps(obj, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(obj);
	assert_non_null(text);
	assert_true(strlen(text) < DECISION_MAX_BYTES);
	longest = strlen(text) > longest ? strlen(text) : longest;
	if (json_parse_strict(text, strlen(text), JSON_DEPTH_DEFAULT, &again, &why) != 0)
		fail_msg("%s: %s", why.text, text);
	if (decision_from_json(again, out, err, sizeof(err)) != 0)
		fail_msg("%s: %s", err, text);
	json_release(again);
	free(text);
}

static void
check_replay(const struct world *w, const struct nodes *fleet)
{
	struct place_choice choice, again;
	char reasons[PLACE_REASON_BYTES];
	struct decision d;
	int rc = place_choose(&w->request, w->nodes, w->n, &choice);

	reread(w, &choice, fleet, &d);
	assert_int_equal(place_choose(&d.request, d.nodes, d.n, &again), rc);
	assert_int_equal(choice.n_fit, again.n_fit < choice.n_fit ? again.n_fit : choice.n_fit);
	for (size_t i = 0; i < choice.n_fit; i++)
		assert_true(view_equal(w->nodes[choice.fit[i].node].name,
		    d.nodes[again.fit[i].node].name));
	if (rc == 0) {
		assert_int_equal(again.fit[0].reasons, choice.fit[0].reasons);
		place_format_reasons(choice.fit[0].reasons, reasons);
		assert_true(view_is(d.reasons, reasons));
		assert_true(view_equal(d.choice, w->nodes[choice.fit[0].node].name));
	} else {
		assert_int_equal(d.choice.len, 0);
		assert_int_equal(d.reasons.len, 0);
	}
	decision_fini(&d);
}

static void
number_name(char out[static 65], const char *prefix, int digits, unsigned number)
{
	(void)snprintf(out, 65, "%s%0*u", prefix, digits, number);
}

static void
name_all(const char *node, const char *region, const char *label, int digits)
{
	for (unsigned i = 0; i < COUNT_OF(node_names); i++)
		number_name(node_names[i], node, digits, i);
	for (unsigned i = 0; i < COUNT_OF(region_names); i++)
		number_name(region_names[i], region, digits, i);
	for (unsigned i = 0; i < COUNT_OF(label_names); i++)
		number_name(label_names[i], label, digits, i);
}

static void
test_random_fleets(void **state)
{
	static struct world w;
	struct nodes *fleet;

	(void)state;
	name_all("n", "region-", "l", 1);
	fleet = fleet_with_labels(4);
	for (unsigned round = 0; round < 5000; round++) {
		random_world(&w);
		check_replay(&w, fleet);
	}
	nodes_free(fleet);
}

/* Names of 64 bytes everywhere, numbers as large as they are, and more labels than there is room for. */
static void
widen(struct world *w)
{
	w->request.n_regions = below(4) ? REGIONS : 1;
	w->request.labels = below(4) ? PLACE_LABEL_NOBODY_HAS - 1 : 7;
	for (size_t i = 0; i < w->n; i++) {
		struct place_node *node = &w->nodes[i];

		if (below(3) == 0)
			node->labels = (UINT64_C(1) << 62) - 1 - (UINT64_C(1) << below(62));
		if (below(3) == 0)
			node->region = view_of(region_names[below(REGIONS)]);
		node->capacity.cpu_milli = node->capacity.memory_bytes = INT64_MAX - 1;
		node->load.cpu_milli = node->load.memory_bytes = INT64_MAX - 1000;
		if (node->latency_ms != PLACE_LATENCY_NONE)
			node->latency_ms += 4000000000u;
	}
}

static void
test_wide_records(void **state)
{
	static const char wide[] = "abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.abcde-";
	static struct world w;
	struct nodes *fleet;

	(void)state;
	name_all(wide, wide, wide, 4);
	assert_int_equal(strlen(node_names[0]), 64);
	fleet = fleet_with_labels(PLACE_LABELS_MAX);
	for (unsigned round = 0; round < 3000; round++) {
		random_world(&w);
		widen(&w);
		check_replay(&w, fleet);
		w.request.hint =
		    view_of("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
			    "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"
			    "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
			    "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f");
		check_replay(&w, fleet);
	}
	print_message("the longest record: %zu bytes of %d\n", longest, DECISION_MAX_BYTES);
	nodes_free(fleet);
}

/* What a client sends as a hint need be no text at all. */
static void
test_hostile_texts(void **state)
{
	static const char *const hints[] = { "\xff\xfe", "\"\\/", "</script>", "\xc3\xa4", "\x7f" };
	static struct world w;
	struct nodes *fleet;

	(void)state;
	name_all("n", "region-", "l", 1);
	fleet = fleet_with_labels(4);
	for (unsigned round = 0; round < 200; round++) {
		random_world(&w);
		w.request.hint = view_of(hints[round % COUNT_OF(hints)]);
		check_replay(&w, fleet);
	}
	nodes_free(fleet);
}

#define NODE(more) \
	"{\"name\":\"a\",\"region\":\"r\",\"tier\":\"fog\",\"trust\":\"basic\",\"state\":\"up\"," \
	"\"sessions\":[0,4]" more "}"
#define RECORD(request, nodes) "{\"request\":{" request "},\"nodes\":[" nodes "]}"

static const struct read_row {
	const char *text;
	const char *says; /* NULL: it is good */
} read_rows[] = {
	{ RECORD("", ""), NULL },
	{ RECORD("\"sessions\":1", NODE("")), NULL },
	{ RECORD("\"labels\":[\"x\"]", NODE(",\"lacks\":[\"x\"]")), NULL },
	{ "{}", "request is not an object" },
	{ "{\"request\":[]}", "request is not an object" },
	{ "{\"request\":{},\"nodes\":{}}", "nodes is not a list" },
	{ "{\"request\":{},\"nodes\":[],\"more\":1}", "the record has a member" },
	{ RECORD("\"more\":1", ""), "request has a member" },
	{ RECORD("", NODE(",\"more\":1")), "a node has a member" },
	{ RECORD("", NODE("") "," NODE("")), "two of one name" },
	{ RECORD("", "1"), "a node is not an object" },
	{ RECORD("", "{\"name\":\"a\"}"), "no name, tier, trust or state" },
	{ RECORD("", NODE(",\"latency_ms\":-1")), "latency_ms is not a whole number" },
	{ RECORD("", NODE(",\"latency_ms\":1e9")), "latency_ms is not a whole number" },
	{ RECORD("", NODE(",\"latency_ms\":4294967295")), "latency_ms is not a whole number" },
	{ RECORD("", NODE(",\"cpu_milli\":[1]")), "cpu_milli is not a list of two" },
	{ RECORD("", NODE(",\"cpu_milli\":[1,null]")), "cpu_milli is not a whole number" },
	{ RECORD("", NODE(",\"failed\":1")), "failed is neither true nor false" },
	{ RECORD("", NODE(",\"lacks\":[\"x\"]")), "a label that is not asked for" },
	{ RECORD("\"labels\":[\"x\",\"x\"]", ""), "labels has one twice" },
	{ RECORD("\"labels\":[1]", ""), "labels is not a text" },
	{ RECORD("\"min_trust\":\"much\"", ""), "min_trust is none of the words" },
	{ RECORD("\"hint\":\"\"", ""), "hint is not a text" },
	{ RECORD("\"sessions\":4294967296", ""), "sessions is not a whole number" },
	{ RECORD("\"regions\":\"r\"", ""), "regions is not a list" },
};

static void
test_reading(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(read_rows); i++) {
		json_t *obj = json_loads(read_rows[i].text, 0, NULL);
		char err[256] = "";
		struct decision d;
		int rc;

		assert_non_null(obj);
		rc = decision_from_json(obj, &d, err, sizeof(err));
		json_decref(obj);
		if (read_rows[i].says ? rc == 0 || !strstr(err, read_rows[i].says) : rc != 0)
			fail_msg("%s: %d \"%s\"", read_rows[i].text, rc, err);
		if (rc == 0)
			decision_fini(&d);
	}
}

/* One record as it stands in the log, byte by byte: others read it too. */
static void
test_format(void **state)
{
	static const char expected[] =
	    "{\"request\":{\"hint\":\"n9\",\"regions\":[\"region-0\"],\"labels\":[\"l0\"],"
	    "\"min_trust\":\"trusted\",\"fallback_region\":\"region-1\",\"sessions\":1,"
	    "\"cpu_milli\":500},\"nodes\":[{\"name\":\"n1\",\"region\":\"region-0\",\"tier\":\"fog\","
	    "\"trust\":\"attested\",\"state\":\"up\",\"sessions\":[1,4],\"cpu_milli\":[500,4000],"
	    "\"latency_ms\":12},{\"name\":\"n0\",\"region\":\"region-1\",\"tier\":\"cloud\","
	    "\"trust\":\"basic\",\"state\":\"unreachable\",\"sessions\":[0,2],\"lacks\":[\"l0\"]}],"
	    "\"choice\":\"n1\",\"reasons\":\"fog-first,hint-unknown-node\",\"fit\":1,"
	    "\"rejected\":{\"region-not-allowed\":1,\"data-label-missing\":1,\"trust-too-low\":1,"
	    "\"unhealthy\":1}}";
	struct place_node nodes[2];
	struct place_request request;
	struct place_choice choice;
	struct nodes *fleet;
	struct view region;
	json_t *obj;
	char *text;

	(void)state;
	name_all("n", "region-", "l", 1);
	fleet = fleet_with_labels(1);
	region = view_of(region_names[0]);
	nodes[0] = (struct place_node){ view_of("n0"), view_of("region-1"), TIER_CLOUD, TRUST_BASIC,
		0, NODE_DOWN, false, { 2, 0, 0 }, { 0, 0, 0 }, PLACE_LATENCY_NONE };
	nodes[1] = (struct place_node){ view_of("n1"), region, TIER_FOG, TRUST_ATTESTED, 1, NODE_UP,
		false, { 4, 4000, 0 }, { 1, 500, 0 }, 12 };
	request = (struct place_request){ .hint = view_of("n9"),
		.regions = &region,
		.n_regions = 1,
		.labels = 1,
		.min_trust = TRUST_TRUSTED,
		.fallback_region = view_of("region-1"),
		.needs = { 1, 500, 0 } };
	assert_int_equal(place_choose(&request, nodes, 2, &choice), 0);
	obj = decision_to_json(&request, nodes, 2, &choice, fleet);
	text = json_dumps(obj, JSON_COMPACT);
	assert_string_equal(text, expected);
	free(text);
	json_decref(obj);
	nodes_free(fleet);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_random_fleets),
		cmocka_unit_test(test_wide_records),
		cmocka_unit_test(test_hostile_texts),
	};

	return json_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
