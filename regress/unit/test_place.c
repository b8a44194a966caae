/* SPDX-License-Identifier: MIT */
/*
 * Placement: who is fit, in which order, and why; that no constraint is ever broken, whatever the
 * fleet; that jitter moves nobody to and fro; and how long it takes.
 */
/* links: placerd/place.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "placerd/place.h"

#define ROW_NODES 5
#define NONE PLACE_LATENCY_NONE

/* --- rows --- */

struct node_row {
	const char *name;
	enum node_tier tier;
	const char *region;
	uint32_t latency_ms; /* 0: not measured */
	uint32_t load, capacity;
	enum node_state state;
	bool has_failed;
};

/* name, tier, region, latency_ms, load, capacity */
/* clang-format off */
#define UP(...) { __VA_ARGS__, NODE_UP, false }
#define TRIED(...) { __VA_ARGS__, NODE_UP, true }
#define IN(state, ...) { __VA_ARGS__, state, false }
/* clang-format on */

static const struct place_row {
	const char *what;
	struct node_row nodes[ROW_NODES]; /* the last without a name */
	const char *hint, *current;
	int rc;
	const char *order; /* name: reasons, in order, of those that are fit */
} rows[] = {
	{ "no node at all", { { 0 } }, "", "", -FOG_E_NO_NODE, "" },
	{ "the one local node", { UP("a", TIER_FOG, "r", 0, 0, 2) }, "", "", 0, "a: local-only;" },
	{ "the one local node is a cloud node", { UP("a", TIER_CLOUD, "r", 0, 1, 2) }, "", "", 0,
	    "a: local-only;" },
	{ "one node, hinted at", { UP("a", TIER_FOG, "r", 0, 0, 2) }, "a", "", 0,
	    "a: local-only,hint-honoured;" },
	{ "one node, another hinted at", { UP("a", TIER_FOG, "r", 0, 0, 2) }, "b", "", 0,
	    "a: local-only,hint-unknown-node;" },
	{ "a part of a name is no name", { UP("ab", TIER_FOG, "r", 0, 0, 2) }, "a", "", 0,
	    "ab: local-only,hint-unknown-node;" },
	{ "full", { UP("a", TIER_FOG, "r", 0, 2, 2) }, "", "", -FOG_E_FULL, "" },
	{ "overfull after adoption", { UP("a", TIER_FOG, "r", 0, 3, 2) }, "", "", -FOG_E_FULL, "" },
	{ "holds nothing", { UP("a", TIER_FOG, "r", 0, 0, 0) }, "", "", -FOG_E_FULL, "" },
	{ "draining", { IN(NODE_DRAINING, "a", TIER_FOG, "r", 0, 0, 2) }, "", "", -FOG_E_FULL, "" },
	{ "down", { IN(NODE_DOWN, "a", TIER_FOG, "r", 0, 0, 2) }, "", "", -FOG_E_NO_NODE, "" },
	{ "not heard of", { IN(NODE_UNKNOWN, "a", TIER_FOG, "r", 0, 0, 2) }, "", "", -FOG_E_NO_NODE,
	    "" },
	{ "one full, the other down",
	    { UP("a", TIER_FOG, "r", 0, 2, 2), IN(NODE_DOWN, "b", TIER_FOG, "r", 0, 0, 2) }, "", "",
	    -FOG_E_NO_NODE, "" },
	{ "one lost probe decides nothing",
	    { IN(NODE_SUSPECT, "a", TIER_FOG, "r", 0, 0, 2), UP("b", TIER_FOG, "r", 0, 1, 2) }, "",
	    "", 0, "a: fog-first;b: fog-first;" },
	{ "fog before cloud",
	    { UP("a", TIER_CLOUD, "r", 1, 0, 9), UP("b", TIER_FOG, "r", 99, 1, 2) }, "", "", 0,
	    "b: fog-first;a: ;" },
	{ "cloud when no fog is fit",
	    { UP("a", TIER_CLOUD, "r", 0, 8, 9), UP("b", TIER_FOG, "r", 0, 2, 2),
		IN(NODE_DOWN, "c", TIER_FOG, "r", 0, 0, 2) },
	    "", "", 0, "a: cloud-fallback;" },
	{ "the region to fall back to before others, though it is farther",
	    { UP("a", TIER_CLOUD, "r", 1, 0, 9), UP("b", TIER_CLOUD, "home", 80, 0, 9) }, "", "", 0,
	    "b: cloud-fallback;a: cloud-fallback;" },
	{ "that region makes no fog node better",
	    { UP("a", TIER_FOG, "r", 0, 0, 9), UP("b", TIER_FOG, "home", 0, 0, 9) }, "", "", 0,
	    "a: fog-first;b: fog-first;" },
	{ "the hint goes before the tier and latency",
	    { UP("a", TIER_CLOUD, "r", 90, 8, 9), UP("b", TIER_FOG, "r", 1, 0, 2) }, "a", "", 0,
	    "a: hint-honoured;b: fog-first;" },
	{ "and before where one was",
	    { UP("a", TIER_FOG, "r", 90, 8, 9), UP("b", TIER_FOG, "r", 1, 0, 2) }, "a", "b", 0,
	    "a: fog-first,hint-honoured;b: fog-first;" },
	{ "the hint is no constraint",
	    { UP("a", TIER_FOG, "r", 0, 1, 1), UP("b", TIER_FOG, "r", 0, 0, 1) }, "a", "", 0,
	    "b: fog-first,hint-not-fit;" },
	{ "nor a way around one",
	    { IN(NODE_DOWN, "a", TIER_FOG, "r", 0, 0, 1), UP("b", TIER_CLOUD, "r", 0, 0, 1) }, "a",
	    "", 0, "b: cloud-fallback,hint-not-fit;" },
	{ "an unknown hint changes no order",
	    { UP("a", TIER_CLOUD, "r", 0, 0, 9), UP("b", TIER_FOG, "r", 0, 1, 2) }, "zz", "", 0,
	    "b: fog-first,hint-unknown-node;a: hint-unknown-node;" },
	{ "the nearest",
	    { UP("a", TIER_FOG, "r", 40, 0, 2), UP("b", TIER_FOG, "r", 20, 1, 2),
		UP("c", TIER_FOG, "r", 0, 0, 2) },
	    "", "", 0, "b: fog-first,nearest;a: fog-first;c: fog-first;" },
	{ "within a band the load decides, and none is the nearest",
	    { UP("a", TIER_FOG, "r", 100, 1, 2), UP("b", TIER_FOG, "r", 103, 0, 2) }, "", "", 0,
	    "b: fog-first;a: fog-first;" },
	{ "the lesser share of capacity in use",
	    { UP("a", TIER_FOG, "r", 0, 1, 2), UP("b", TIER_FOG, "r", 0, 49, 100) }, "", "", 0,
	    "b: fog-first;a: fog-first;" },
	{ "shares of numbers as large as there are",
	    { UP("a", TIER_FOG, "r", 0, UINT32_MAX - 1, UINT32_MAX),
		UP("b", TIER_FOG, "r", 0, UINT32_MAX - 3, UINT32_MAX - 1) },
	    "", "", 0, "b: fog-first;a: fog-first;" },
	{ "by name when all else is equal",
	    { UP("b", TIER_FOG, "r", 0, 0, 2), UP("ab", TIER_FOG, "r", 0, 0, 4),
		UP("a", TIER_FOG, "r", 0, 0, 3) },
	    "", "", 0, "a: fog-first;ab: fog-first;b: fog-first;" },
	{ "stays where it was, though another is a little nearer",
	    { UP("a", TIER_FOG, "r", 20, 0, 2), UP("b", TIER_FOG, "r", 30, 1, 2) }, "", "b", 0,
	    "b: fog-first,stayed;a: fog-first;" },
	{ "and moves when it is much nearer",
	    { UP("a", TIER_FOG, "r", 20, 0, 2), UP("b", TIER_FOG, "r", 34, 1, 2) }, "", "b", 0,
	    "a: fog-first,nearest;b: fog-first;" },
	{ "was at the nearest already",
	    { UP("a", TIER_FOG, "r", 20, 1, 2), UP("b", TIER_FOG, "r", 30, 0, 2) }, "", "a", 0,
	    "a: fog-first,nearest;b: fog-first;" },
	{ "stays without any measure",
	    { UP("a", TIER_FOG, "r", 0, 0, 2), UP("b", TIER_FOG, "r", 0, 1, 2) }, "", "b", 0,
	    "b: fog-first,stayed;a: fog-first;" },
	{ "leaves one that it has not measured",
	    { UP("a", TIER_FOG, "r", 90, 0, 2), UP("b", TIER_FOG, "r", 0, 0, 2) }, "", "b", 0,
	    "a: fog-first,nearest;b: fog-first;" },
	{ "goes back to the fog, however far",
	    { UP("a", TIER_FOG, "r", 90, 0, 2), UP("b", TIER_CLOUD, "home", 9, 0, 2) }, "", "b", 0,
	    "a: fog-first;b: ;" },
	{ "does not stay where it is full",
	    { UP("a", TIER_FOG, "r", 20, 0, 2), UP("b", TIER_FOG, "r", 20, 2, 2) }, "", "b", 0,
	    "a: fog-first;" },
	{ "the next when the best has failed",
	    { TRIED("a", TIER_FOG, "r", 20, 0, 2), UP("b", TIER_FOG, "r", 40, 0, 2) }, "", "", 0,
	    "b: fog-first,next-best;" },
	{ "the cloud when all fog has failed",
	    { TRIED("a", TIER_FOG, "r", 20, 0, 2), UP("b", TIER_CLOUD, "r", 40, 0, 2) }, "", "", 0,
	    "b: cloud-fallback,next-best;" },
	{ "the next when the one it was at has failed",
	    { UP("a", TIER_FOG, "r", 20, 0, 2), TRIED("b", TIER_FOG, "r", 22, 0, 2) }, "", "b", 0,
	    "a: fog-first,next-best;" },
	{ "one that would have come later anyhow",
	    { UP("a", TIER_FOG, "r", 20, 0, 2), TRIED("b", TIER_FOG, "r", 40, 0, 2) }, "", "", 0,
	    "a: fog-first;" },
	{ "one that has failed and is full was no candidate",
	    { UP("a", TIER_FOG, "r", 20, 0, 2), TRIED("b", TIER_FOG, "r", 2, 2, 2) }, "", "", 0,
	    "a: fog-first;" },
	{ "all have failed",
	    { TRIED("a", TIER_FOG, "r", 20, 0, 2), TRIED("b", TIER_FOG, "r", 20, 0, 2) }, "", "",
	    -FOG_E_NO_NODE, "" },
};

static size_t
fill_nodes(const struct node_row *from, struct place_node *nodes)
{
	size_t n = 0;

	for (; n < ROW_NODES && from[n].name; n++) {
		nodes[n] = (struct place_node){ .name = view_of(from[n].name),
			.region = view_of(from[n].region),
			.tier = from[n].tier,
			.trust = TRUST_BASIC,
			.state = from[n].state,
			.has_failed = from[n].has_failed,
			.capacity.sessions = from[n].capacity,
			.load.sessions = from[n].load,
			.latency_ms = from[n].latency_ms ? from[n].latency_ms : NONE };
	}
	return n;
}

static void
describe(const struct place_choice *choice, const struct place_node *nodes, char *out,
    size_t out_size)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < choice->n_fit; i++) {
		char reasons[PLACE_REASON_BYTES];

		place_format_reasons(choice->fit[i].reasons, reasons);
		len += (size_t)snprintf(out + len, out_size - len, "%.*s: %s;",
		    VIEW_ARG(nodes[choice->fit[i].node].name), reasons);
		assert_true(len < out_size);
	}
}

static struct place_request
plain_request(const char *hint, const char *current)
{
	return (struct place_request){ .hint = view_of(hint),
		.current = view_of(current),
		.fallback_region = view_of("home"),
		.needs.sessions = 1 };
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct place_request request = plain_request(rows[i].hint, rows[i].current);
		struct place_node nodes[ROW_NODES];
		size_t n = fill_nodes(rows[i].nodes, nodes);
		struct place_choice choice;
		char order[512];
		int rc = place_choose(&request, nodes, n, &choice);

		describe(&choice, nodes, order, sizeof(order));
		if (rc != rows[i].rc || strcmp(order, rows[i].order) != 0)
			fail_msg("%s: %d \"%s\"", rows[i].what, rc, order);
		assert_int_equal(choice.n_fit_all + choice.n_rejected, n);
	}
}

/* --- constraints, one at a time --- */

static const struct judge_row {
	const char *what;
	struct place_node node; /* laid over a fit one: what is not 0 */
	const char *reasons;
} judge_rows[] = {
	{ "fit", { .state = NODE_UP }, "" },
	{ "another region", { .region = { "s", 1 } }, "region-not-allowed" },
	{ "one label of two", { .labels = 1 }, "data-label-missing" },
	{ "others besides", { .labels = 7 }, "" },
	{ "less trust", { .trust = TRUST_BASIC }, "trust-too-low" },
	{ "more trust", { .trust = TRUST_ATTESTED }, "" },
	{ "suspect", { .state = NODE_SUSPECT }, "" },
	{ "down", { .state = NODE_DOWN }, "unhealthy" },
	{ "unknown", { .state = NODE_UNKNOWN }, "unhealthy" },
	{ "draining", { .state = NODE_DRAINING }, "draining" },
	{ "failed", { .has_failed = true }, "failed" },
	{ "the last place", { .load.sessions = 9 }, "" },
	{ "no place", { .load.sessions = 10 }, "no-capacity" },
	{ "the last of its CPU", { .load.cpu_milli = 3500 }, "" },
	{ "not enough CPU", { .load.cpu_milli = 3501 }, "no-capacity" },
	{ "not enough memory", { .load.memory_bytes = 1000 }, "no-capacity" },
	{ "more in use than there is", { .load.memory_bytes = UINT64_MAX }, "no-capacity" },
	{ "all at once",
	    { .region = { "s", 1 },
		.labels = 4,
		.trust = TRUST_BASIC,
		.state = NODE_DOWN,
		.load.sessions = 10 },
	    "region-not-allowed,data-label-missing,trust-too-low,unhealthy" },
};

static struct place_node
overlay(const struct place_node *over)
{
	struct place_node node = { .name = view_of("a"),
		.region = over->region.len ? over->region : view_of("r"),
		.tier = TIER_FOG,
		.trust = over->trust ? over->trust : TRUST_TRUSTED,
		.labels = over->labels ? over->labels : 3,
		.state = over->state ? over->state : NODE_UP,
		.has_failed = over->has_failed,
		.capacity = { 10, 4000, 1000 },
		.load = over->load,
		.latency_ms = NONE };

	return node;
}

static void
test_judge(void **state)
{
	const struct view regions[] = { view_of("q"), view_of("r") };
	struct place_request request = { .regions = regions,
		.n_regions = 2,
		.labels = 3,
		.min_trust = TRUST_TRUSTED,
		.needs = { 1, 500, 1 } };
	struct place_node node;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(judge_rows); i++) {
		char reasons[PLACE_REASON_BYTES];

		node = overlay(&judge_rows[i].node);
		place_format_reasons(place_judge(&request, &node), reasons);
		if (strcmp(reasons, judge_rows[i].reasons) != 0)
			fail_msg("%s: \"%s\"", judge_rows[i].what, reasons);
	}
	request.labels = PLACE_LABEL_NOBODY_HAS;
	node = overlay(&judge_rows[0].node);
	assert_int_equal(place_judge(&request, &node), 1u << PLACE_LABELS);
	request = (struct place_request){ .needs = { 1, UINT64_MAX, UINT64_MAX } };
	node.capacity.cpu_milli = node.capacity.memory_bytes = 0; /* it does not say */
	assert_int_equal(place_judge(&request, &node), 0);
}

/* --- random fleets, held against a second and plainer reading of the rules --- */

static uint64_t random_state = 0x9e3779b97f4a7c15;

/* xorshift64*, so that a failure is the same the next time. */
static uint64_t
random_u64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1d;
}

static uint32_t
below(uint32_t n)
{
	return (uint32_t)(random_u64() >> 33) % n;
}

/* Exclusive of 1. */
static double
uniform(void)
{
	return (double)(random_u64() >> 11) / 9007199254740992.0;
}

#define FLEET_MAX 24
#define REGIONS 3

static const char *const region_names[REGIONS] = { "east", "west", "home" };
static char node_names[FLEET_MAX + 1][4];

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

static void
random_node(struct place_node *node, size_t i)
{
	static const uint32_t latencies[] = { NONE, 0, 1, 2, 9, 10, 15, 16, 17, 18, 30, 33, 40, 41,
		60, 200, 100000, NONE - 1 };

	*node = (struct place_node){ .name = view_of(node_names[i]),
		.region = view_of(region_names[below(REGIONS)]),
		.tier = below(3) ? TIER_FOG : TIER_CLOUD,
		.trust = 1 + below(TRUST_COUNT - 1),
		.labels = below(8) | below(8),
		.state = below(3) ? NODE_UP : below(NODE_STATE_COUNT),
		.has_failed = below(8) == 0,
		.capacity = random_room(8),
		.load = random_room(5),
		.latency_ms = latencies[below(COUNT_OF(latencies))] };
}

static struct view
random_name(void)
{
	return below(2) ? view_of("") : view_of(node_names[below(FLEET_MAX + 1)]);
}

static void
random_world(struct world *w)
{
	w->n = below(8) ? below(9) : below(FLEET_MAX + 1);
	for (size_t i = 0; i < w->n; i++)
		random_node(&w->nodes[i], i);
	for (size_t i = 0; i < REGIONS; i++)
		w->regions[i] = view_of(region_names[i]);
	w->request = (struct place_request){ .hint = random_name(),
		.current = random_name(),
		.regions = w->regions,
		.n_regions = below(4) ? 0 : 1 + below(REGIONS),
		.labels = below(3) ? 0 : 1u << below(3),
		.min_trust = below(TRUST_COUNT),
		.fallback_region = view_of("home"),
		.needs = { 1, below(3), below(3) } };
}

static void
shuffle(struct world *w)
{
	for (size_t i = w->n; i > 1; i--) {
		size_t j = below((uint32_t)i);
		struct place_node node = w->nodes[j];

		w->nodes[j] = w->nodes[i - 1];
		w->nodes[i - 1] = node;
	}
}

static bool
naive_is_fit(const struct place_request *r, const struct place_node *node)
{
	bool region = r->n_regions == 0;

	for (size_t i = 0; i < r->n_regions; i++)
		region |= strcmp(r->regions[i].p, node->region.p) == 0;
	if (!region || node->has_failed || node->trust < r->min_trust)
		return false;
	for (int bit = 0; bit < 64; bit++) {
		if ((r->labels >> bit & 1) && !(node->labels >> bit & 1))
			return false;
	}
	if (node->state != NODE_UP && node->state != NODE_SUSPECT)
		return false;
	if (node->load.sessions + r->needs.sessions > node->capacity.sessions)
		return false;
	if (node->capacity.cpu_milli &&
	    node->load.cpu_milli + r->needs.cpu_milli > node->capacity.cpu_milli)
		return false;
	return !node->capacity.memory_bytes ||
	    node->load.memory_bytes + r->needs.memory_bytes <= node->capacity.memory_bytes;
}

static int
naive_class(const struct place_request *r, const struct place_node *node)
{
	if (r->hint.len && strcmp(r->hint.p, node->name.p) == 0)
		return 0;
	if (node->tier == TIER_FOG)
		return 1;
	return strcmp(node->region.p, r->fallback_region.p) == 0 ? 2 : 3;
}

/* The least latency of the band. */
static double
naive_band(uint32_t ms)
{
	double least = 1, step;

	if (ms == NONE)
		return 1e30;
	while (least * 2 <= ms)
		least *= 2;
	step = least < 8 ? 1 : least / 8;
	return (double)(uint64_t)(ms / step) * step;
}

static double
naive_share(const struct place_node *node)
{
	double most = node->capacity.sessions
	    ? (double)node->load.sessions / node->capacity.sessions
	    : 0;
	double cpu = node->capacity.cpu_milli
	    ? (double)node->load.cpu_milli / (double)node->capacity.cpu_milli
	    : 0;
	double memory = node->capacity.memory_bytes
	    ? (double)node->load.memory_bytes / (double)node->capacity.memory_bytes
	    : 0;

	most = cpu > most ? cpu : most;
	return memory > most ? memory : most;
}

/* Numbers so small that equal shares are equal doubles. */
static int
naive_compare(const struct place_request *r, const struct place_node *a, const struct place_node *b)
{
	double bands = naive_band(a->latency_ms) - naive_band(b->latency_ms);
	double shares = naive_share(a) - naive_share(b);
	int classes = naive_class(r, a) - naive_class(r, b);

	if (classes)
		return classes;
	if (bands < 0 || bands > 0)
		return bands < 0 ? -1 : 1;
	if (shares < 0 || shares > 0)
		return shares < 0 ? -1 : 1;
	return strcmp(a->name.p, b->name.p);
}

/* Where the subject is kept: NULL when `best` takes it. */
static const struct place_node *
naive_kept(const struct world *w, const struct place_node *best)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct place_node *node = &w->nodes[i];
		double now = node->latency_ms, other = best->latency_ms;

		if (strcmp(node->name.p, w->request.current.p) != 0)
			continue;
		if (!naive_is_fit(&w->request, node) ||
		    naive_class(&w->request, node) != naive_class(&w->request, best))
			return NULL;
		if (best->latency_ms == NONE)
			return node;
		if (node->latency_ms == NONE)
			return NULL;
		return 10 * now >= 17 * other && now - other >= 4 ? NULL : node;
	}
	return NULL;
}

static void
check_choice(const struct world *w, int rc, const struct place_choice *choice)
{
	const struct place_node *best = NULL, *kept;
	size_t n_fit = 0;

	for (size_t i = 0; i < w->n; i++) {
		if (!naive_is_fit(&w->request, &w->nodes[i]))
			continue;
		n_fit++;
		if (!best || naive_compare(&w->request, &w->nodes[i], best) < 0)
			best = &w->nodes[i];
	}
	assert_int_equal(choice->n_fit_all, n_fit);
	assert_int_equal(choice->n_rejected, w->n - n_fit);
	assert_int_equal(choice->n_fit, n_fit < PLACE_KEPT ? n_fit : PLACE_KEPT);
	assert_int_equal(rc == 0, n_fit > 0);
	if (!best)
		return;
	kept = naive_kept(w, best);
	assert_ptr_equal(&w->nodes[choice->fit[0].node], kept ? kept : best);
	assert_int_equal((choice->fit[0].reasons & 1u << PLACE_STAYED) != 0, kept && kept != best);
}

/* Each is fit, none is there twice, and all but the first are in order: so none is left out either. */
static void
check_candidates(const struct world *w, const struct place_choice *choice)
{
	size_t from = choice->n_fit && choice->fit[0].reasons & 1u << PLACE_STAYED ? 1 : 0;

	for (size_t i = 0; i < choice->n_fit; i++) {
		const struct place_node *node = &w->nodes[choice->fit[i].node];

		assert_true(naive_is_fit(&w->request, node));
		assert_int_equal(place_judge(&w->request, node), 0);
		if (i > from)
			assert_true(naive_compare(&w->request, &w->nodes[choice->fit[i - 1].node],
					node) < 0);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(choice->fit[j].node, choice->fit[i].node);
	}
}

/* A person reads all of it: nothing is cut, and there is some. */
static void
check_reasons(const struct place_choice *choice)
{
	char text[PLACE_REASON_BYTES];
	uint32_t left = choice->fit[0].reasons;

	place_format_reasons(left, text);
	assert_int_not_equal(left, 0);
	for (char *at, *code = strtok_r(text, ",", &at); code; code = strtok_r(NULL, ",", &at)) {
		int reason = place_find_reason(view_of(code));

		assert_in_range(reason, 0, PLACE_CONSTRAINTS_FROM - 1);
		left &= ~(1u << reason);
	}
	assert_int_equal(left, 0);
}

static void
test_random_fleets(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 150000; round++) {
		struct place_choice choice, again;
		char before[1024], after[1024];
		struct world w;
		int rc;

		random_world(&w);
		rc = place_choose(&w.request, w.nodes, w.n, &choice);
		check_choice(&w, rc, &choice);
		check_candidates(&w, &choice);
		if (rc == 0)
			check_reasons(&choice);
		describe(&choice, w.nodes, before, sizeof(before));
		shuffle(&w);
		assert_int_equal(place_choose(&w.request, w.nodes, w.n, &again), rc);
		describe(&again, w.nodes, after, sizeof(after));
		assert_string_equal(before, after);
		assert_memory_equal(choice.rejected_by, again.rejected_by,
		    sizeof(choice.rejected_by));
	}
}

/* An order among all, fit or not: the sign turns with the sides, and two that follow are one chain. */
static void
test_order(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		const struct place_node *a, *b, *c;
		struct world w;

		random_world(&w);
		if (w.n < 3)
			continue;
		a = &w.nodes[0];
		b = &w.nodes[1];
		c = &w.nodes[2];
		assert_int_equal(place_compare(&w.request, a, a), 0);
		assert_int_not_equal(place_compare(&w.request, a, b), 0);
		assert_int_equal(place_compare(&w.request, a, b) < 0,
		    place_compare(&w.request, b, a) > 0);
		if (place_compare(&w.request, a, b) < 0 && place_compare(&w.request, b, c) < 0)
			assert_true(place_compare(&w.request, a, c) < 0);
	}
}

/* --- jitter --- */

#define PROBES 5
#define DISTANCES 217
#define JITTER 0.3

/* What a page reports of a node: the least of a few probes, in whole milliseconds. */
static uint32_t
measure(double true_ms)
{
	double least = 2 * true_ms;

	for (int i = 0; i < PROBES; i++) {
		double probe = true_ms * (1 - JITTER + 2 * JITTER * uniform());

		least = probe < least ? probe : least;
	}
	return (uint32_t)(least + 0.5);
}

static void
equal_nodes(struct place_node *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		nodes[i] = (struct place_node){ .name = view_of(node_names[i]),
			.region = view_of("r"),
			.tier = TIER_FOG,
			.trust = TRUST_BASIC,
			.state = NODE_UP,
			.capacity.sessions = 100,
			.load.sessions = below(50) };
	}
}

/* Moves in so many page loads between n nodes that are all as far. */
static unsigned
moves_among_equals(double true_ms, size_t n, unsigned loads)
{
	struct place_request request = plain_request("", "");
	struct place_node nodes[FLEET_MAX];
	struct place_choice choice;
	unsigned moves = 0;

	equal_nodes(nodes, n);
	request.current = nodes[0].name;
	for (unsigned i = 0; i < loads; i++) {
		for (size_t j = 0; j < n; j++)
			nodes[j].latency_ms = measure(true_ms);
		assert_int_equal(place_choose(&request, nodes, n, &choice), 0);
		if (view_equal(nodes[choice.fit[0].node].name, request.current))
			continue;
		request.current = nodes[choice.fit[0].node].name;
		moves++;
	}
	return moves;
}

/* By the choice itself, in the mean over all distances, at most one move in 200 page loads. */
static void
test_jitter_moves_nobody(void **state)
{
	static const size_t numbers[] = { 2, 4, 8, 16 };
	const unsigned loads = 1000;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		unsigned moves = 0;
		double worst = 0, ms = 0.5;

		for (unsigned j = 0; j < DISTANCES; j++) {
			unsigned here = moves_among_equals(ms, numbers[i], loads);

			moves += here;
			worst = here > worst ? here : worst;
			ms *= 1.03; /* to 300 */
		}
		print_message("%zu equal nodes: %u moves in %u page loads; at the worst distance "
			      "%.1f in 200\n",
		    numbers[i], moves, DISTANCES * loads, worst * 200 / loads);
		assert_true((uint64_t)moves * 200 <= (uint64_t)DISTANCES * loads);
	}
}

/* The chance that what a page reports of a node is at most so many ms. */
static double
chance_of_at_most(double true_ms, uint32_t ms)
{
	double u = ((ms + 0.5) / true_ms - (1 - JITTER)) / (2 * JITTER), none_below = 1;

	if (u <= 0)
		return 0;
	for (int i = 0; i < PROBES; i++)
		none_below *= u < 1 ? 1 - u : 0;
	return 1 - none_below;
}

/* The chance that one page load moves somebody, among n nodes that are all as far. */
static double
chance_of_a_move(double true_ms, size_t n)
{
	double chance = 0;

	for (uint32_t now = 1; now < true_ms * (1 + JITTER) + 1; now++) {
		double here = chance_of_at_most(true_ms, now) - chance_of_at_most(true_ms, now - 1);
		double none_is = 1;
		uint32_t other = now;

		while (other > 0 && !place_is_worth_moving(now, other))
			other--;
		if (!place_is_worth_moving(now, other))
			continue;
		for (size_t i = 1; i < n; i++)
			none_is *= 1 - chance_of_at_most(true_ms, other);
		chance += here * (1 - none_is);
	}
	return chance;
}

/* Not in the mean only: whole milliseconds are unlucky at some distances. */
static void
test_no_distance_is_unlucky(void **state)
{
	static const size_t numbers[] = { 2, 4, 8, 12, FLEET_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		double worst = 0, worst_ms = 0, ms = 0.5;

		for (unsigned step = 0; step < 3200; step++) { /* 0.5 to 300 ms */
			double moves = 200 * chance_of_a_move(ms, numbers[i]);

			worst_ms = moves > worst ? ms : worst_ms;
			worst = moves > worst ? moves : worst;
			ms *= 1.002;
		}
		print_message("%zu equal nodes: %.2f moves in 200 page loads at %.1f ms, the worst "
			      "distance\n",
		    numbers[i], worst, worst_ms);
		assert_true(worst <= 1);
	}
}

/* A person who comes back now and then, to a fleet whose nodes fail and heal. */
static void
live(size_t n, double nearest_ms, double farthest_ms, unsigned loads, uint64_t *served,
    uint64_t *near)
{
	struct place_request request = plain_request("", "");
	struct place_node nodes[FLEET_MAX];
	double true_ms[FLEET_MAX], log_range = farthest_ms / nearest_ms;
	struct place_choice choice;

	equal_nodes(nodes, n);
	for (size_t i = 0; i < n; i++) {
		true_ms[i] = nearest_ms;
		for (uint32_t steps = below(64); steps > 0; steps--)
			true_ms[i] *= log_range > 30 ? 1.0569 : 1.0368; /* x33 or x10 in 64 steps */
	}
	for (unsigned load = 0; load < loads; load++) {
		double best = 1e30;

		for (size_t i = 0; i < n; i++) {
			if (nodes[i].state == NODE_UP)
				nodes[i].state = below(100) ? NODE_UP : NODE_DOWN;
			else
				nodes[i].state = below(3) ? NODE_DOWN : NODE_UP;
			nodes[i].load.sessions = below(90);
			nodes[i].latency_ms = measure(true_ms[i]);
			if (nodes[i].state == NODE_UP && true_ms[i] < best)
				best = true_ms[i];
		}
		if (place_choose(&request, nodes, n, &choice) != 0)
			continue;
		request.current = nodes[choice.fit[0].node].name;
		++*served;
		*near += true_ms[choice.fit[0].node] <= 1.2 * best;
	}
}

/* At least 95 % are served within 1.2 times the best that they may have, by the true latencies. */
static void
test_near_enough(void **state)
{
	static const size_t numbers[] = { 3, 8, 16, 24 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		uint64_t served = 0, near = 0;

		for (unsigned person = 0; person < 3000; person++)
			live(numbers[i], 5, person % 2 ? 165 : 50, 20, &served, &near);
		print_message("%zu nodes: %.2f %% within 1.2 x of the best\n", numbers[i],
		    100.0 * (double)near / (double)served);
		assert_true(near * 100 >= served * 95);
	}
}

static void
test_worth_moving(void **state)
{
	static const struct {
		uint32_t now, other;
		bool worth;
	} moves[] = { { 17, 10, true }, { 16, 10, false }, { 10, 10, false }, { 10, 17, false },
		{ 3, 0, false }, { 4, 0, true }, { 4, 1, false }, { 5, 1, true },
		{ NONE, 10, true }, { 10, NONE, false }, { NONE, NONE, false },
		{ NONE - 1, 2526451349, true }, { NONE - 1, 2526451350, false } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(moves); i++) {
		if (place_is_worth_moving(moves[i].now, moves[i].other) != moves[i].worth)
			fail_msg("%u to %u", moves[i].now, moves[i].other);
	}
	for (uint32_t now = 0; now < 300; now++) { /* never there and back */
		for (uint32_t other = 0; other < 300; other++)
			assert_false(place_is_worth_moving(now, other) &&
			    place_is_worth_moving(other, now));
	}
}

/* --- time --- */

#if defined(__SANITIZE_ADDRESS__)
#define SLACK 10
#elif defined(__OPTIMIZE__)
#define SLACK 1
#else
#define SLACK 4
#endif
#define RUNS 400
#define TIMED_MAX 100000

/* CPU time of this thread: what else the machine does is not counted. */
static double
thread_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int
compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

struct timed {
	double median_ms, p99_ms;
};

static struct timed
time_choice(const struct place_node *nodes, size_t n, size_t runs)
{
	static struct view regions[8];
	struct place_request request = plain_request("none-such", "n77");
	struct place_choice choice;
	double took[RUNS];

	for (size_t i = 0; i < COUNT_OF(regions); i++)
		regions[i] = view_of(i < REGIONS - 1 ? "elsewhere" : region_names[i % REGIONS]);
	request.regions = regions;
	request.n_regions = COUNT_OF(regions);
	request.needs = (struct place_room){ 1, 500, 1 << 20 };
	for (size_t i = 0; i < runs; i++) {
		double from = thread_ms();

		(void)place_choose(&request, nodes, n, &choice);
		took[i] = thread_ms() - from;
		assert_int_equal(choice.n_fit_all + choice.n_rejected, n);
	}
	qsort(took, runs, sizeof(took[0]), compare_doubles);
	return (struct timed){ took[runs / 2], took[runs * 99 / 100] };
}

static void
test_time(void **state)
{
	struct place_node *nodes = calloc(TIMED_MAX, sizeof(*nodes));
	char(*names)[16] = calloc(TIMED_MAX, sizeof(*names));
	struct timed small, middle, large;

	(void)state;
	if (!nodes || !names)
		abort();
	for (size_t i = 0; i < TIMED_MAX; i++) {
		random_node(&nodes[i], 0);
		(void)snprintf(names[i], sizeof(names[i]), "n%zu", i * 7919 % TIMED_MAX);
		nodes[i].name = view_of(names[i]);
		nodes[i].capacity = (struct place_room){ 100, 64000, UINT64_C(1) << 38 };
		nodes[i].load = (struct place_room){ below(100), below(64000), below(1u << 30) };
		nodes[i].latency_ms = 1 + below(300);
	}
	small = time_choice(nodes, 1000, RUNS);
	middle = time_choice(nodes, 10000, RUNS);
	large = time_choice(nodes, TIMED_MAX, RUNS / 4);
	print_message("1,000 nodes: p99 %.3f ms; 10,000: p99 %.3f ms; 100,000: p99 %.2f ms\n",
	    small.p99_ms, middle.p99_ms, large.p99_ms);
	assert_true(middle.p99_ms <= 1.0 * SLACK);
	/* Ten times as many take about ten times as long; what leaves the cache takes longer. */
	assert_true(middle.median_ms <= 20 * small.median_ms);
	assert_true(large.median_ms <= 25 * middle.median_ms);
	free(nodes);
	free(names);
}

/* --- codes --- */

/* Whatever bits are set, the text fits and is not cut inside a code. */
static void
test_format(void **state)
{
	char out[PLACE_REASON_BYTES];

	(void)state;
	for (uint32_t reasons = 0; reasons < 1u << PLACE_REASON_COUNT; reasons++) {
		memset(out, 'x', sizeof(out));
		place_format_reasons(reasons, out);
		assert_non_null(memchr(out, '\0', sizeof(out)));
	}
	place_format_reasons(1u << PLACE_UNHEALTHY | 1u << PLACE_NO_CAPACITY, out);
	assert_string_equal(out, "unhealthy,no-capacity");
	place_format_reasons(UINT32_MAX, out);
	assert_string_equal(out, "local-only,fog-first,cloud-fallback,hint-honoured,hint-not-fit");
	place_format_reasons(0, out);
	assert_string_equal(out, "");
	for (unsigned i = 0; i < PLACE_REASON_COUNT; i++)
		assert_int_equal(place_find_reason(view_of(place_reason_code(i))), i);
	assert_int_equal(place_find_reason(view_of("nearer")), -1);
	assert_int_equal(place_find_reason(view_of("")), -1);
	assert_string_equal(place_reason_code(PLACE_REASON_COUNT), "");
}

/* fog-nodes.yaml(5) tells all of them, in this order: what is against a node, then the others. */
static void
test_manual(void **state)
{
	char page[32768], entry[64], *at, *found;
	FILE *file = fopen("man/fog-nodes.yaml.5", "rb"); /* tests run at the top of the tree */
	size_t len;

	(void)state;
	if (!file)
		abort();
	len = fread(page, 1, sizeof(page) - 1, file);
	fclose(file);
	page[len] = '\0';
	at = page;
	for (unsigned i = 0; i < PLACE_REASON_COUNT; i++) {
		unsigned reason = (PLACE_CONSTRAINTS_FROM + i) % PLACE_REASON_COUNT;

		(void)snprintf(entry, sizeof(entry), "\n.It Li %s Ta ", place_reason_code(reason));
		found = strstr(at, entry);
		if (found)
			at = found;
		else
			fail_msg("%s is not in the manual, or not in its place", entry);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_random_fleets),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_worth_moving),
		cmocka_unit_test(test_jitter_moves_nobody),
		cmocka_unit_test(test_no_distance_is_unlucky),
		cmocka_unit_test(test_near_enough),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_manual),
	};

	for (size_t i = 0; i < COUNT_OF(node_names); i++)
		(void)snprintf(node_names[i], sizeof(node_names[i]), "n%02zu", i);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
