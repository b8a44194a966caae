/* SPDX-License-Identifier: MIT */
/* Placement: constraints decide who is fit, preferences the order among those. */

#include "placerd/place.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"

#define BIT(name) (1u << PLACE_##name)

static uint32_t
constraints_against(const struct place_node *node)
{
	return (node->healthy ? 0 : BIT(UNHEALTHY)) |
	    (node->load < node->capacity ? 0 : BIT(NO_CAPACITY));
}

/* Both are fit, so neither capacity is 0. Cross-multiplied: a < b where a/ca < b/cb. */
static int
compare_load(const struct place_node *a, const struct place_node *b)
{
	uint64_t left = (uint64_t)a->load * b->capacity, right = (uint64_t)b->load * a->capacity;

	return (left > right) - (left < right);
}

static int
compare_names(struct view a, struct view b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.p, b.p, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int
compare_candidates(const void *left, const void *right)
{
	const struct place_candidate *a = left, *b = right;
	uint32_t hinted = BIT(HINT_HONOURED);
	int order = 0;

	if (a->fit != b->fit)
		return a->fit ? -1 : 1;
	if ((a->reasons ^ b->reasons) & hinted)
		return a->reasons & hinted ? -1 : 1;
	if (a->fit && a->node->tier != b->node->tier)
		return a->node->tier == TIER_FOG ? -1 : 1;
	if (a->fit)
		order = compare_load(a->node, b->node);
	return order ? order : compare_names(a->node->name, b->node->name);
}

/* Without a hint nothing is said of it; with one, every fit node says what became of it. */
static uint32_t
hint_reason(struct view hint, const struct place_node *nodes, size_t n,
    const struct place_node *node)
{
	if (hint.len == 0)
		return 0;
	if (view_equal(hint, node->name))
		return BIT(HINT_HONOURED);
	for (size_t i = 0; i < n; i++) {
		if (view_equal(hint, nodes[i].name))
			return constraints_against(&nodes[i]) ? BIT(HINT_NOT_FIT) : 0;
	}
	return BIT(HINT_UNKNOWN_NODE);
}

static uint32_t
tier_reason(const struct place_node *nodes, size_t n, const struct place_node *node)
{
	if (n == 1)
		return BIT(LOCAL_ONLY);
	if (node->tier == TIER_FOG)
		return BIT(FOG_FIRST);
	for (size_t i = 0; i < n; i++) {
		if (nodes[i].tier == TIER_FOG && !constraints_against(&nodes[i]))
			return 0;
	}
	return BIT(CLOUD_FALLBACK);
}

int
place_choose(const struct policy_decision *decision, struct view hint,
    const struct place_node *nodes, size_t n, struct place_candidate *candidates)
{
	if (decision->rule != POLICY_ALLOW)
		return -FOG_E_DENIED;
	for (size_t i = 0; i < n; i++) {
		struct place_candidate *candidate = &candidates[i];

		candidate->node = &nodes[i];
		candidate->reasons = constraints_against(&nodes[i]);
		candidate->fit = candidate->reasons == 0;
		if (candidate->fit)
			candidate->reasons = tier_reason(nodes, n, &nodes[i]) |
			    hint_reason(hint, nodes, n, &nodes[i]);
	}
	qsort(candidates, n, sizeof(*candidates), compare_candidates);
	return n > 0 && candidates[0].fit ? 0 : -FOG_E_NO_NODE;
}

#define REASON_CODE(name, code) [PLACE_##name] = (code),

static const char *const reason_codes[] = { PLACE_REASONS(REASON_CODE) };

void
place_format_reasons(uint32_t reasons, char out[PLACE_REASON_BYTES])
{
	char *end = out;

	*out = '\0';
	for (size_t i = 0; i < COUNT_OF(reason_codes); i++) {
		size_t left = PLACE_REASON_BYTES - (size_t)(end - out);

		if (!(reasons & (1u << i)) || strlen(reason_codes[i]) + 1 >= left)
			continue;
		if (end != out)
			*end++ = ',';
		end = stpcpy(end, reason_codes[i]);
	}
}
