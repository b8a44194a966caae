/* SPDX-License-Identifier: MIT */
/* The checker: see checker.h. */
#include "regress/sim/checker.h"

#include "common/err.h"

static bool
same_text(struct view a, struct view b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (a.p[i] != b.p[i])
			return false;
	}
	return true;
}

static bool
region_is_allowed(const struct place_request *request, const struct place_node *node)
{
	if (request->n_regions == 0)
		return true;
	for (size_t i = 0; i < request->n_regions; i++) {
		if (same_text(request->regions[i], node->region))
			return true;
	}
	return false;
}

static bool
has_labels(const struct place_request *request, const struct place_node *node)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		bool is_needed = (request->labels >> bit) % 2 == 1;

		if (is_needed && (node->labels >> bit) % 2 == 0)
			return false;
	}
	return true;
}

static bool
is_trusted(const struct place_request *request, const struct place_node *node)
{
	return (int)node->trust >= (int)request->min_trust;
}

bool
checker_permits(const struct place_request *request, const struct place_node *node)
{
	return region_is_allowed(request, node) && has_labels(request, node) &&
	    is_trusted(request, node);
}

static bool
is_healthy(const struct place_node *node)
{
	switch (node->state) {
	case NODE_UP:
	case NODE_SUSPECT: /* nothing is decided on a lost probe */
	case NODE_DRAINING:
		return true;
	default:
		return false;
	}
}

bool
checker_serves(const struct place_node *node)
{
	return is_healthy(node) && node->state != NODE_DRAINING;
}

static bool
fits_in(uint64_t capacity, uint64_t load, uint64_t more)
{
	return load <= capacity && capacity - load >= more;
}

bool
checker_has_room(const struct place_request *request, const struct place_node *node)
{
	const struct place_room *all = &node->capacity, *used = &node->load;
	const struct place_room *more = &request->needs;

	if (!fits_in(all->sessions, used->sessions, more->sessions))
		return false;
	if (all->cpu_milli != 0 && !fits_in(all->cpu_milli, used->cpu_milli, more->cpu_milli))
		return false;
	return all->memory_bytes == 0 ||
	    fits_in(all->memory_bytes, used->memory_bytes, more->memory_bytes);
}

bool
checker_fits(const struct place_request *request, const struct place_node *node)
{
	return checker_permits(request, node) && checker_serves(node) &&
	    checker_has_room(request, node) && !node->has_failed;
}

/* --- what all nodes come to --- */

struct totals {
	size_t fit, fog_fit, fallback_fit;
	size_t by[PLACE_REASON_COUNT];
	bool only_room_or_drain; /* nothing else is against any of them */
	size_t hinted;           /* index; n: none */
};

static void
count_against(const struct place_request *request, const struct place_node *node, struct totals *t)
{
	bool other = false;
#define AGAINST(reason, is_against, counts_as_other) \
	do { \
		if (is_against) { \
			t->by[PLACE_##reason]++; \
			other = other || (counts_as_other); \
		} \
	} while (0)
	AGAINST(REGION, !region_is_allowed(request, node), true);
	AGAINST(LABELS, !has_labels(request, node), true);
	AGAINST(TRUST, !is_trusted(request, node), true);
	AGAINST(UNHEALTHY, !is_healthy(node), true);
	AGAINST(DRAINING, node->state == NODE_DRAINING, false);
	AGAINST(NO_CAPACITY, !checker_has_room(request, node), false);
	AGAINST(FAILED, node->has_failed, true);
#undef AGAINST
	if (other)
		t->only_room_or_drain = false;
}

static struct totals
add_up(const struct place_request *request, const struct place_node *nodes, size_t n)
{
	struct totals t = { .only_room_or_drain = n > 0, .hinted = n };

	for (size_t i = 0; i < n; i++) {
		count_against(request, &nodes[i], &t);
		if (request->hint.len > 0 && same_text(request->hint, nodes[i].name))
			t.hinted = i;
		if (!checker_fits(request, &nodes[i]))
			continue;
		t.fit++;
		t.fog_fit += nodes[i].tier == TIER_FOG;
		t.fallback_fit += nodes[i].tier == TIER_CLOUD &&
		    same_text(nodes[i].region, request->fallback_region);
	}
	return t;
}

/* --- what is said of them --- */

static const char *
judge_kept(const struct place_request *request, const struct place_node *nodes, size_t n,
    const struct place_choice *choice, const struct totals *t)
{
	for (size_t i = 0; i < choice->n_fit; i++) {
		const struct place_candidate *c = &choice->fit[i];

		if (c->node >= n)
			return "a candidate that is no node";
		if (!checker_fits(request, &nodes[c->node]))
			return "a candidate against a constraint";
		if (c->reasons >> PLACE_CONSTRAINTS_FROM != 0)
			return "a fit candidate with a reason against it";
		if (c->reasons & 1u << PLACE_FOG_FIRST && nodes[c->node].tier != TIER_FOG)
			return "fog-first of a cloud node";
		if (c->reasons & 1u << PLACE_CLOUD_FALLBACK && t->fog_fit > 0)
			return "cloud-fallback although a fog node is fit";
		for (size_t k = 0; k < i; k++) {
			if (choice->fit[k].node == c->node)
				return "the same candidate twice";
		}
	}
	return NULL;
}

static const char *
judge_counts(size_t n, const struct place_choice *choice, const struct totals *t)
{
	size_t kept = t->fit < PLACE_KEPT ? t->fit : PLACE_KEPT;

	if (choice->n_fit_all != t->fit || choice->n_rejected != n - t->fit)
		return "fit and rejected are counted wrong";
	if (choice->n_fit != kept)
		return "fewer candidates are kept than there are";
	for (size_t i = PLACE_CONSTRAINTS_FROM; i < PLACE_REASON_COUNT; i++) {
		if (choice->rejected_by[i] != t->by[i])
			return "a constraint is counted wrong";
	}
	return NULL;
}

static const char *
judge_first(const struct place_request *request, const struct place_node *nodes, size_t n,
    const struct place_choice *choice, const struct totals *t)
{
	const struct place_node *first = &nodes[choice->fit[0].node];
	bool is_hinted = t->hinted < n && &nodes[t->hinted] == first;

	if (t->hinted < n && checker_fits(request, &nodes[t->hinted]) && !is_hinted)
		return "the hint was fit, and is not the choice";
	if (choice->fit[0].reasons & 1u << PLACE_HINT_HONOURED && !is_hinted)
		return "hint-honoured without its being hinted at";
	if (is_hinted)
		return NULL;
	if (t->fog_fit > 0 && first->tier != TIER_FOG)
		return "cloud before a fit fog node";
	if (t->fog_fit == 0 && t->fallback_fit > 0 &&
	    !same_text(first->region, request->fallback_region))
		return "another cloud region before the fallback's";
	return NULL;
}

const char *
checker_judge(const struct place_request *request, const struct place_node *nodes, size_t n, int rc,
    const struct place_choice *choice)
{
	struct totals t = add_up(request, nodes, n);
	const char *wrong = judge_counts(n, choice, &t);

	if (wrong)
		return wrong;
	if (rc == 0 && t.fit == 0)
		return "chosen although nothing fits";
	if (rc != 0 && t.fit > 0)
		return "refused although something fits";
	if (rc != 0 && rc != (t.only_room_or_drain ? -FOG_E_FULL : -FOG_E_NO_NODE))
		return "refused with another error";
	wrong = judge_kept(request, nodes, n, choice, &t);
	if (!wrong && rc == 0)
		wrong = judge_first(request, nodes, n, choice, &t);
	return wrong;
}
