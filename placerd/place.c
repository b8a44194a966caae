/* SPDX-License-Identifier: MIT */
/* Placement: constraints decide who is fit, preferences the order among those. */

#include "placerd/place.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"

#define BIT(name) (1u << PLACE_##name)
#define MERELY_FULL (BIT(NO_CAPACITY) | BIT(DRAINING)) /* it will pass by itself */

__extension__ typedef unsigned __int128 u128;

/* What is preferred to all else, best first. */
enum class { CLASS_HINTED, CLASS_FOG, CLASS_FALLBACK_REGION, CLASS_CLOUD };

/* How much of one thing is in use: load / capacity, no fraction of it. */
struct share {
	uint64_t load, capacity;
};

/* A node with all that its place in the order hangs on. */
struct rank {
	const struct place_node *node;
	enum class class;
	uint32_t band; /* of its latency */
	struct share share;
};

/* What one walk along the table finds. */
struct survey {
	struct rank best[PLACE_KEPT]; /* of the fit ones, best first */
	size_t n_best;
	struct rank current,
	    failed;           /* where the subject was; the best of those tried. node NULL: none */
	bool is_current_fit;  /* or it has failed, and would be */
	bool has_fog;         /* a fit one */
	bool is_merely_full;  /* every node that is rejected */
	uint32_t hint_reason; /* when nothing honours it */
};

/* Constraints. */

static bool
allows_region(const struct place_request *request, struct view region)
{
	for (size_t i = 0; i < request->n_regions; i++) {
		if (view_equal(request->regions[i], region))
			return true;
	}
	return request->n_regions == 0;
}

static bool
has_room(uint64_t load, uint64_t needs, uint64_t capacity)
{
	return load <= capacity && needs <= capacity - load;
}

static bool
has_capacity(const struct place_room *needs, const struct place_node *node)
{
	const struct place_room *load = &node->load, *all = &node->capacity;

	return has_room(load->sessions, needs->sessions, all->sessions) &&
	    (all->cpu_milli == 0 || has_room(load->cpu_milli, needs->cpu_milli, all->cpu_milli)) &&
	    (all->memory_bytes == 0 ||
		has_room(load->memory_bytes, needs->memory_bytes, all->memory_bytes));
}

uint32_t
place_judge(const struct place_request *request, const struct place_node *node)
{
	uint32_t against = 0;

	if (!allows_region(request, node->region))
		against |= BIT(REGION);
	if ((request->labels & ~node->labels) != 0)
		against |= BIT(LABELS);
	if (node->trust < request->min_trust)
		against |= BIT(TRUST);
	if (node->state == NODE_DRAINING)
		against |= BIT(DRAINING);
	else if (node->state != NODE_UP && node->state != NODE_SUSPECT)
		against |= BIT(UNHEALTHY);
	if (!has_capacity(&request->needs, node))
		against |= BIT(NO_CAPACITY);
	if (node->has_failed)
		against |= BIT(FAILED);
	return against;
}

/* Preferences. */

/* Whole products: a < b where a.load / a.capacity < b.load / b.capacity. */
static int
compare_shares(struct share a, struct share b)
{
	u128 left = (u128)a.load * b.capacity, right = (u128)b.load * a.capacity;

	return (left > right) - (left < right);
}

/* What the node does not say, or has none of, is not looked at. */
static void
take_fuller(struct share *fullest, uint64_t load, uint64_t capacity)
{
	struct share share = { load, capacity };

	if (capacity > 0 && compare_shares(*fullest, share) < 0)
		*fullest = share;
}

static struct share
fullest_share(const struct place_node *node)
{
	struct share fullest = { 0, 1 };

	take_fuller(&fullest, node->load.sessions, node->capacity.sessions);
	take_fuller(&fullest, node->load.cpu_milli, node->capacity.cpu_milli);
	take_fuller(&fullest, node->load.memory_bytes, node->capacity.memory_bytes);
	return fullest;
}

/*
 * Nodes in one band are equally near. Its bounds are the numbers of one binary digit and three more,
 * so that each is wider than the one before by 1/15 to 1/8; below 16 ms each number is a band.
 */
static uint32_t
latency_band(uint32_t ms)
{
	uint32_t shift;

	if (ms == PLACE_LATENCY_NONE)
		return UINT32_MAX;
	if (ms < 16)
		return ms;
	shift = 28 - (uint32_t)__builtin_clz(ms);
	return shift * 8 + (ms >> shift);
}

static enum class class_of(const struct place_request *request, const struct place_node *node) {
	if (request->hint.len > 0 && view_equal(request->hint, node->name)) return CLASS_HINTED;
	if (node->tier == TIER_FOG) return CLASS_FOG;
	return view_equal(request->fallback_region, node->region) ? CLASS_FALLBACK_REGION
								  : CLASS_CLOUD;
}

static struct rank
rank_of(const struct place_request *request, const struct place_node *node)
{
	return (struct rank){ .node = node,
		.class = class_of(request, node),
		.band = latency_band(node->latency_ms),
		.share = fullest_share(node) };
}

static int
compare_names(struct view a, struct view b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.p, b.p, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int
compare_ranks(const struct rank *a, const struct rank *b)
{
	int order;

	if (a->class != b->class)
		return a->class < b->class ? -1 : 1;
	if (a->band != b->band)
		return a->band < b->band ? -1 : 1;
	order = compare_shares(a->share, b->share);
	return order ? order : compare_names(a->node->name, b->node->name);
}

int
place_compare(const struct place_request *request, const struct place_node *a,
    const struct place_node *b)
{
	struct rank left = rank_of(request, a), right = rank_of(request, b);

	return compare_ranks(&left, &right);
}

/*
 * At ±30 % of jitter the least of five probes lies between 0.7 and 1.3 of the truth, and above 1.19 of
 * it, 1.7 times the least that any equal node can show, once in 4,800. Whole milliseconds widen that,
 * the more the nearer the nodes are: hence the floor, which nobody feels. So nobody is moved more than
 * once in 200 page loads, at whatever distance and among up to 24 equal nodes. Whoever is 1.3 times as
 * far as need be is let go by the same jitter, so that nearly all are served by a near one
 * (test_place.c has the figures).
 */
#define MOVE_NUMERATOR 17
#define MOVE_DENOMINATOR 10
#define MOVE_FLOOR_MS 4

bool
place_is_worth_moving(uint32_t now_ms, uint32_t other_ms)
{
	if (now_ms == PLACE_LATENCY_NONE || other_ms == PLACE_LATENCY_NONE)
		return now_ms != other_ms && now_ms == PLACE_LATENCY_NONE;
	return now_ms >= (uint64_t)other_ms + MOVE_FLOOR_MS &&
	    (uint64_t)now_ms * MOVE_DENOMINATOR >= (uint64_t)other_ms * MOVE_NUMERATOR;
}

/* The choice. */

static void
insert(struct survey *s, const struct rank *rank)
{
	size_t at = s->n_best;

	if (at == PLACE_KEPT && compare_ranks(rank, &s->best[PLACE_KEPT - 1]) > 0)
		return;
	if (at < PLACE_KEPT)
		s->n_best++;
	else
		at--;
	for (; at > 0 && compare_ranks(rank, &s->best[at - 1]) < 0; at--)
		s->best[at] = s->best[at - 1];
	s->best[at] = *rank;
}

static void
survey_rejected(struct survey *s, const struct rank *rank, uint32_t against,
    struct place_choice *out)
{
	out->n_rejected++;
	for (uint32_t left = against; left; left &= left - 1)
		out->rejected_by[__builtin_ctz(left)]++;
	if (against & ~MERELY_FULL)
		s->is_merely_full = false;
	if (rank->class == CLASS_HINTED)
		s->hint_reason = BIT(HINT_NOT_FIT);
	if (against == BIT(FAILED) && (!s->failed.node || compare_ranks(rank, &s->failed) < 0))
		s->failed = *rank;
}

static void
survey_node(struct survey *s, const struct place_request *request, const struct place_node *node,
    struct place_choice *out)
{
	uint32_t against = place_judge(request, node);
	struct rank rank = rank_of(request, node);

	if ((against & ~BIT(FAILED)) == 0 && request->current.len > 0 &&
	    view_equal(request->current, node->name)) {
		s->current = rank;
		s->is_current_fit = against == 0;
	}
	if (against) {
		survey_rejected(s, &rank, against, out);
		return;
	}
	out->n_fit_all++;
	s->has_fog |= node->tier == TIER_FOG;
	if (rank.class == CLASS_HINTED)
		s->hint_reason = 0;
	insert(s, &rank);
}

/* Whether the one where the subject was is preferred to `other`, which comes before it. */
static bool
holds_on(const struct rank *current, const struct rank *other)
{
	return current->node && current->class == other->class &&
	    !place_is_worth_moving(current->node->latency_ms, other->node->latency_ms);
}

/* To the front, if it is to be kept: true when another would have been there. */
static bool
keep_current(struct survey *s)
{
	size_t at = 0;

	if (!s->is_current_fit || s->best[0].node == s->current.node ||
	    !holds_on(&s->current, &s->best[0]))
		return false;
	while (at < s->n_best && s->best[at].node != s->current.node)
		at++;
	if (at == PLACE_KEPT) /* it was not among the best, and takes the place of the last */
		at--;
	memmove(&s->best[1], &s->best[0], at * sizeof(s->best[0]));
	s->best[0] = s->current;
	return true;
}

/* Latency has decided for the first when one of those that are told is further. */
static bool
is_nearest(const struct survey *s)
{
	for (size_t i = 1; i < s->n_best; i++) {
		if (s->best[i].class == s->best[0].class && s->best[i].band > s->best[0].band)
			return true;
	}
	return false;
}

/* A node that was tried came before the choice, by rank or because the subject was there. */
static bool
is_next_best(const struct survey *s)
{
	bool was_there = s->current.node && !s->is_current_fit;

	return (s->failed.node && compare_ranks(&s->failed, &s->best[0]) < 0) ||
	    (was_there && holds_on(&s->current, &s->best[0]));
}

static uint32_t
reasons_of(const struct survey *s, const struct rank *rank, size_t n)
{
	uint32_t reasons = rank->class == CLASS_HINTED ? BIT(HINT_HONOURED) : s->hint_reason;

	if (n == 1)
		reasons |= BIT(LOCAL_ONLY);
	else if (rank->node->tier == TIER_FOG)
		reasons |= BIT(FOG_FIRST);
	else if (!s->has_fog)
		reasons |= BIT(CLOUD_FALLBACK);
	return reasons;
}

static void
tell(struct survey *s, const struct place_node *nodes, size_t n, struct place_choice *out)
{
	bool stayed = keep_current(s);

	out->n_fit = s->n_best;
	for (size_t i = 0; i < s->n_best; i++) {
		out->fit[i].node = (size_t)(s->best[i].node - nodes);
		out->fit[i].reasons = reasons_of(s, &s->best[i], n);
	}
	if (stayed)
		out->fit[0].reasons |= BIT(STAYED);
	else if (is_nearest(s))
		out->fit[0].reasons |= BIT(NEAREST);
	if (is_next_best(s))
		out->fit[0].reasons |= BIT(NEXT_BEST);
}

int
place_choose(const struct place_request *request, const struct place_node *nodes, size_t n,
    struct place_choice *out)
{
	struct survey s = { .is_merely_full = true,
		.hint_reason = request->hint.len ? BIT(HINT_UNKNOWN_NODE) : 0 };

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < n; i++)
		survey_node(&s, request, &nodes[i], out);
	if (s.n_best == 0)
		return n > 0 && s.is_merely_full ? -FOG_E_FULL : -FOG_E_NO_NODE;
	tell(&s, nodes, n, out);
	return 0;
}

/* The codes. */

#define REASON_CODE(name, code) [PLACE_##name] = (code),

static const char *const reason_codes[] = { PLACE_REASONS(REASON_CODE) };

const char *
place_reason_code(enum place_reason reason)
{
	return reason < PLACE_REASON_COUNT ? reason_codes[reason] : "";
}

void
place_format_reasons(uint32_t reasons, char out[PLACE_REASON_BYTES])
{
	char *end = out;

	*out = '\0';
	for (size_t i = 0; i < COUNT_OF(reason_codes); i++) {
		size_t left = PLACE_REASON_BYTES - (size_t)(end - out);

		if (!(reasons & (1u << i)) ||
		    strlen(reason_codes[i]) + (end != out ? 1 : 0) >= left)
			continue;
		if (end != out)
			*end++ = ',';
		end = stpcpy(end, reason_codes[i]);
	}
}

int
place_find_reason(struct view code)
{
	for (size_t i = 0; i < COUNT_OF(reason_codes); i++) {
		if (view_is(code, reason_codes[i]))
			return (int)i;
	}
	return -1;
}
