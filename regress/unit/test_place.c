/* SPDX-License-Identifier: MIT */
/* Placement: who is fit, in which order, and why. */
/* links: placerd/place.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "placerd/place.h"

#define NODES_MAX 4

struct node_row {
	const char *name;
	enum node_tier tier;
	bool healthy;
	uint32_t capacity, load;
};

static const struct policy_decision allowed = { .rule = POLICY_ALLOW };

static const struct place_row {
	const char *what;
	struct node_row nodes[NODES_MAX]; /* the last without a name */
	const char *hint;
	int rc;
	const char *order; /* name: reasons, in order */
} rows[] = {
	{ "no node at all", { { 0 } }, "", -FOG_E_NO_NODE, "" },
	{ "the one local node", { { "a", TIER_FOG, true, 2, 0 } }, "", 0, "a: local-only;" },
	{ "the one local node is a cloud node", { { "a", TIER_CLOUD, true, 2, 1 } }, "", 0,
	    "a: local-only;" },
	{ "one node, hinted at", { { "a", TIER_FOG, true, 2, 0 } }, "a", 0,
	    "a: local-only,hint-honoured;" },
	{ "one node, another hinted at", { { "a", TIER_FOG, true, 2, 0 } }, "b", 0,
	    "a: local-only,hint-unknown-node;" },
	{ "a part of a name is no name", { { "ab", TIER_FOG, true, 2, 0 } }, "a", 0,
	    "ab: local-only,hint-unknown-node;" },
	{ "full", { { "a", TIER_FOG, true, 2, 2 } }, "", -FOG_E_NO_NODE, "a: no-capacity;" },
	{ "overfull after adoption", { { "a", TIER_FOG, true, 2, 3 } }, "", -FOG_E_NO_NODE,
	    "a: no-capacity;" },
	{ "holds nothing", { { "a", TIER_FOG, true, 0, 0 } }, "", -FOG_E_NO_NODE,
	    "a: no-capacity;" },
	{ "unhealthy", { { "a", TIER_FOG, false, 2, 0 } }, "", -FOG_E_NO_NODE, "a: unhealthy;" },
	{ "both", { { "a", TIER_FOG, false, 2, 2 } }, "a", -FOG_E_NO_NODE,
	    "a: unhealthy,no-capacity;" },
	{ "fog before cloud", { { "a", TIER_CLOUD, true, 9, 0 }, { "b", TIER_FOG, true, 2, 1 } },
	    "", 0, "b: fog-first;a: ;" },
	{ "cloud when no fog is fit",
	    { { "a", TIER_CLOUD, true, 9, 8 }, { "b", TIER_FOG, true, 2, 2 },
		{ "c", TIER_FOG, false, 2, 0 } },
	    "", 0, "a: cloud-fallback;b: no-capacity;c: unhealthy;" },
	{ "the hint goes before the tier",
	    { { "a", TIER_CLOUD, true, 9, 8 }, { "b", TIER_FOG, true, 2, 0 } }, "a", 0,
	    "a: hint-honoured;b: fog-first;" },
	{ "the hint is no constraint",
	    { { "a", TIER_FOG, true, 1, 1 }, { "b", TIER_FOG, true, 1, 0 } }, "a", 0,
	    "b: fog-first,hint-not-fit;a: no-capacity;" },
	{ "nor a way around one",
	    { { "a", TIER_FOG, false, 1, 0 }, { "b", TIER_CLOUD, true, 1, 0 } }, "a", 0,
	    "b: cloud-fallback,hint-not-fit;a: unhealthy;" },
	{ "an unknown hint changes no order",
	    { { "a", TIER_CLOUD, true, 9, 0 }, { "b", TIER_FOG, true, 2, 1 } }, "zz", 0,
	    "b: fog-first,hint-unknown-node;a: hint-unknown-node;" },
	{ "the lesser share of capacity in use",
	    { { "a", TIER_FOG, true, 2, 1 }, { "b", TIER_FOG, true, 100, 49 } }, "", 0,
	    "b: fog-first;a: fog-first;" },
	{ "shares of numbers as large as there are",
	    { { "a", TIER_FOG, true, UINT32_MAX, UINT32_MAX - 1 },
		{ "b", TIER_FOG, true, UINT32_MAX - 1, UINT32_MAX - 3 } },
	    "", 0, "b: fog-first;a: fog-first;" },
	{ "by name when all else is equal",
	    { { "b", TIER_FOG, true, 2, 0 }, { "ab", TIER_FOG, true, 4, 0 },
		{ "a", TIER_FOG, true, 3, 0 } },
	    "", 0, "a: fog-first;ab: fog-first;b: fog-first;" },
};

static size_t
fill_nodes(const struct node_row *from, struct place_node *nodes)
{
	size_t n = 0;

	for (; n < NODES_MAX && from[n].name; n++) {
		nodes[n] = (struct place_node){ .name = view_of(from[n].name),
			.region = view_of("r"),
			.tier = from[n].tier,
			.healthy = from[n].healthy,
			.capacity = from[n].capacity,
			.load = from[n].load };
	}
	return n;
}

static void
describe(const struct place_candidate *candidates, size_t n, char *out, size_t out_size)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		char reasons[PLACE_REASON_BYTES];

		place_format_reasons(candidates[i].reasons, reasons);
		len += (size_t)snprintf(out + len, out_size - len, "%.*s: %s;",
		    VIEW_ARG(candidates[i].node->name), reasons);
		assert_true(len < out_size);
	}
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct place_candidate candidates[NODES_MAX];
		struct place_node nodes[NODES_MAX];
		size_t n = fill_nodes(rows[i].nodes, nodes);
		char order[512];
		int rc = place_choose(&allowed, view_of(rows[i].hint), nodes, n, candidates);

		describe(candidates, n, order, sizeof(order));
		if (rc != rows[i].rc || strcmp(order, rows[i].order) != 0)
			fail_msg("%s: %d \"%s\"", rows[i].what, rc, order);
		assert_int_equal(n > 0 && candidates[0].fit, rc == 0);
		if (rc == 0) /* no choice without a reason */
			assert_int_not_equal(candidates[0].reasons, 0);
	}
}

/* The order of the table is not the order of the choice. */
static void
test_permutations(void **state)
{
	static const struct node_row table[] = { { "a", TIER_CLOUD, true, 4, 0 },
		{ "b", TIER_FOG, true, 4, 1 }, { "c", TIER_FOG, true, 4, 0 },
		{ "d", TIER_FOG, false, 4, 0 } };
	static const char order[] = "c: fog-first;b: fog-first;a: ;d: unhealthy;";

	(void)state;
	for (unsigned int code = 0; code < 256; code++) {
		unsigned int at[NODES_MAX] = { code & 3, code >> 2 & 3, code >> 4 & 3,
			code >> 6 & 3 };
		struct node_row shuffled[NODES_MAX];
		struct place_candidate candidates[NODES_MAX];
		struct place_node nodes[NODES_MAX];
		unsigned int seen = 0;
		char text[512];

		for (size_t i = 0; i < NODES_MAX; i++) {
			shuffled[i] = table[at[i]];
			seen |= 1u << at[i];
		}
		if (seen != 0xf) /* some node twice: no permutation */
			continue;
		assert_int_equal(fill_nodes(shuffled, nodes), NODES_MAX);
		assert_int_equal(place_choose(&allowed, view_of(""), nodes, NODES_MAX, candidates),
		    0);
		describe(candidates, NODES_MAX, text, sizeof(text));
		assert_string_equal(text, order);
	}
}

static void
test_denied(void **state)
{
	struct place_node node = { .name = view_of("a"),
		.tier = TIER_FOG,
		.healthy = true,
		.capacity = 1 };

	(void)state;
	for (unsigned int rule = 0; rule < POLICY_RULE_COUNT; rule++) {
		struct policy_decision decision = { .rule = rule };
		struct place_candidate candidate = { .node = NULL };
		int rc = place_choose(&decision, view_of(""), &node, 1, &candidate);

		assert_int_equal(rc, rule == POLICY_ALLOW ? 0 : -FOG_E_DENIED);
		assert_ptr_equal(candidate.node, rule == POLICY_ALLOW ? &node : NULL);
	}
}

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
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_permutations),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
