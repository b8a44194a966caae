/* SPDX-License-Identifier: MIT */
/* One request, as a page, the node that it came to and the nodes that are tried treat it. */
#include <stdio.h>
#include <string.h>

#include "regress/sim/checker.h"
#include "regress/sim/days.h"
#include "regress/sim/stats.h"

#define MINUTE_MS UINT64_C(60000)
#define SHORT_MEAN_MS (20 * MINUTE_MS)
#define LONG_MEAN_MS (120 * MINUTE_MS)
#define TTL_MS (480 * MINUTE_MS)
#define SHORT_OF_ALL 600000 /* per million */
#define HINTED (PER_MILLION / 33)
#define DEAD_TRY_MS 1000 /* until it is given up */
#define DEADLINE_MS 3000 /* of all tries: FORWARD_TIMEOUT_MS */
#define NEAR 120         /* hundredths of the best latency */

struct attempt {
	struct world_user *user;
	struct place_node *nodes; /* as its side knows them */
	struct place_request request;
	struct place_choice choice;
	uint32_t entry; /* the node that it came to */
	bool is_hinted;
	uint32_t failed[PLACE_KEPT];
	size_t n_failed;
	uint32_t spent_ms;
};

static void
prepare(struct days *d, struct world_user *u, struct attempt *a)
{
	struct measure measured[SAID_MAX];
	uint32_t n;

	*a = (struct attempt){ .user = u, .entry = world_entry(d->w, u->town, &d->r) };
	a->nodes = d->w->seen[world_side(d->w, a->entry)];
	world_request(d->w, u, &a->request);
	a->is_hinted = prng_chance(&d->r, HINTED);
	if (a->is_hinted)
		a->request.hint = a->nodes[prng_below(&d->r, d->w->n)].name;
	n = u->lies ? world_measure_falsely(d->w, &d->r, measured)
		    : world_measure(d->w, u, a->entry, &d->r, measured);
	weather_ask(d, a->entry); /* when the page has asked for the list, and before its request */
	world_set_latencies(a->nodes, measured, n);
	if (d->guesses)
		world_guess(d->w, a->entry, &d->r, a->nodes);
}

static void
clean_up(struct days *d, struct attempt *a)
{
	world_clear_latencies(d->w, a->nodes);
	for (size_t i = 0; i < a->n_failed; i++)
		a->nodes[a->failed[i]].has_failed = false;
}

/* Each decision is held against the rules. */
static int
choose(struct days *d, struct attempt *a)
{
	const char *wrong;
	int rc;

	world_hold(a->user, a->nodes, &a->request);
	rc = place_choose(&a->request, a->nodes, d->w->n, &a->choice);
	wrong = checker_judge(&a->request, a->nodes, d->w->n, rc, &a->choice);

	d->out->decisions++;
	if (wrong && d->out->broken++ == 0)
		snprintf(d->out->wrong, sizeof(d->out->wrong), "%s (%u nodes, request %llu)", wrong,
		    d->w->n, (unsigned long long)d->out->requests);
	return rc;
}

/* --- refused --- */

static enum days_cause
cause_of(const struct days *d, const struct attempt *a)
{
	enum days_cause cause = CAUSE_POLICY;

	for (uint32_t i = 0; i < d->w->n; i++) {
		const struct place_node *node = &a->nodes[i];
		enum days_cause one = CAUSE_HEALTH;

		if (!checker_permits(&a->request, node))
			continue;
		if (checker_serves(node))
			one = checker_has_room(&a->request, node) ? CAUSE_TRIED : CAUSE_FULL;
		if (one > cause)
			cause = one;
	}
	return cause;
}

/* Of the nodes that policy permits and that are there: was there room, known or not? */
static void
look_for_room(struct days *d, const struct attempt *a)
{
	uint64_t seats = 0, taken = 0;
	bool has_room = false;

	for (uint32_t i = 0; i < d->w->n; i++) {
		const struct place_node *node = &a->nodes[i];
		struct place_room load;

		if (!checker_permits(&a->request, node) || !checker_serves(node) ||
		    !world_reaches(d->w, a->entry, i))
			continue;
		load = weather_load(d, i);
		seats += node->capacity.sessions;
		taken += load.sessions < node->capacity.sessions ? load.sessions
								 : node->capacity.sessions;
		has_room |= weather_takes(d, i, &a->request.needs);
	}
	d->out->full_with_room += has_room;
	d->out->full_free_ppm_sum += PER_MILLION - per_million_of(taken, seats);
}

static void
refuse(struct days *d, const struct attempt *a)
{
	enum days_cause cause = a->spent_ms >= DEADLINE_MS ? CAUSE_LATE : cause_of(d, a);

	d->out->refused[cause]++;
	if (cause == CAUSE_FULL)
		look_for_room(d, a);
}

/* --- served --- */

/* Fog, the fallback region, the rest of the cloud: between these, latency decides nothing. */
static int
class_of(const struct attempt *a, const struct place_node *node)
{
	if (node->tier == TIER_FOG)
		return 0;
	return view_equal(node->region, a->request.fallback_region) ? 1 : 2;
}

/* What the hint decides is none of latency's; and who lies has chosen for themselves. */
static void
judge_latency(struct days *d, const struct attempt *a, uint32_t node)
{
	uint64_t mine = world_true_us(d->w, a->user, node), best_any = mine, best_class = mine;
	uint64_t hundredths;

	if (a->is_hinted || a->user->lies)
		return;
	for (uint32_t i = 0; i < d->w->n; i++) {
		uint64_t us;

		if (!checker_fits(&a->request, &a->nodes[i]))
			continue;
		us = world_true_us(d->w, a->user, i);
		if (us < best_any)
			best_any = us;
		if (us < best_class && class_of(a, &a->nodes[i]) == class_of(a, &a->nodes[node]))
			best_class = us;
	}
	hundredths = (mine * 100 + best_class - 1) / best_class;
	d->out->judged++;
	d->out->near_class += hundredths <= NEAR;
	d->out->judged_free += world_is_free(d->w, a->user);
	d->out->near_free += world_is_free(d->w, a->user) && hundredths <= NEAR;
	d->out->near_any += mine * 100 <= best_any * NEAR;
	d->out->ratio[hundredths > RATIO_TOP ? RATIO_TOP : hundredths]++;
}

static void
count_move(struct days *d, const struct attempt *a, uint32_t node)
{
	size_t was = a->user->hold.last;

	if (was == HOLD_NONE || a->is_hinted || a->user->lies)
		return;
	d->out->returns++;
	if (was == node)
		return;
	if (checker_fits(&a->request, &a->nodes[was]) &&
	    class_of(a, &a->nodes[was]) == class_of(a, &a->nodes[node]))
		d->out->moves_free++;
	else
		d->out->moves_forced++;
}

static void
settle(struct days *d, struct attempt *a, uint32_t node)
{
	uint64_t mean = prng_chance(&d->r, SHORT_OF_ALL) ? SHORT_MEAN_MS : LONG_MEAN_MS;
	uint64_t ms = prng_exponential(&d->r, mean);

	d->out->served++;
	d->out->fog += a->nodes[node].tier == TIER_FOG;
	judge_latency(d, a, node);
	count_move(d, a, node);
	if (!a->is_hinted)
		a->user->hold = hold_after(&a->user->hold, &a->request, a->nodes, node);
	weather_occupy(d, node, &a->request.needs, ms > TTL_MS ? TTL_MS : ms);
}

/* It answers, and its own counts allow it. False: it has failed, and is not tried again. */
static bool
try_node(struct days *d, struct attempt *a, uint32_t node)
{
	bool is_there = world_reaches(d->w, a->entry, node);

	if (is_there && !d->w->nodes[node].is_draining && weather_takes(d, node, &a->request.needs))
		return true;
	d->out->tries_dead += !is_there;
	d->out->tries_full += is_there;
	a->spent_ms += is_there ? 0 : DEAD_TRY_MS;
	a->nodes[node].has_failed = true;
	a->failed[a->n_failed++] = node;
	return false;
}

void
request_serve(struct days *d, struct world_user *u)
{
	struct attempt a;
	bool is_served = false;

	d->out->requests++;
	prepare(d, u, &a);
	while (!is_served && a.n_failed < PLACE_KEPT && a.spent_ms < DEADLINE_MS) {
		uint32_t node;

		if (choose(d, &a) != 0)
			break;
		node = (uint32_t)a.choice.fit[0].node;
		is_served = try_node(d, &a, node);
		if (is_served)
			settle(d, &a, node);
	}
	if (!is_served)
		refuse(d, &a);
	clean_up(d, &a);
}
