/* SPDX-License-Identifier: MIT */
/* What a page measures of a fleet, and says of it: as web/latency.ts and placerd/fleetlist.c do. */
#include "placerd/distance.h"
#include "regress/sim/sim.h"
#include "regress/sim/world.h"

#define JITTER_PER_MILLE 300
#define EARLY_PROBES 2 /* then a node that is so many times as far as the best is asked no more */
#define EARLY_FACTOR 3
#define EXCHANGES 3 /* of a probe between nodes: TCP, TLS, the request */
#define LIE_MAX_MS 60000

/* --- what the entry shows --- */

struct near {
	uint32_t node, us;
};

/* NEAR_KEPT of them; UINT32_MAX where there are fewer. */
static uint32_t *
find_near(const struct world *w, uint32_t entry)
{
	uint32_t *out = sim_zeroed(NEAR_KEPT, sizeof(*out)), n = 0;
	struct near kept[NEAR_KEPT];

	for (uint32_t i = 0; i < w->n; i++) {
		struct near it = { i, world_between_us(w, entry, i) };
		uint32_t at;

		if (i == entry || (n == NEAR_KEPT && it.us >= kept[n - 1].us))
			continue;
		if (n < NEAR_KEPT)
			n++;
		for (at = n - 1; at > 0 && kept[at - 1].us > it.us; at--)
			kept[at] = kept[at - 1];
		kept[at] = it;
	}
	for (uint32_t i = 0; i < NEAR_KEPT; i++)
		out[i] = i < n ? kept[i].node : UINT32_MAX;
	return out;
}

static uint32_t
take_tier(const struct world *w, const uint32_t *shown, uint32_t n_shown, enum node_tier tier,
    struct measure *out, uint32_t n)
{
	for (uint32_t i = 0; i < n_shown && n < MEASURED_MAX; i++) {
		if (w->seen[0][shown[i]].tier == tier)
			out[n++].node = shown[i];
	}
	return n;
}

static const uint32_t *
near_of(struct world *w, uint32_t entry)
{
	if (!w->near[entry])
		w->near[entry] = find_near(w, entry);
	return w->near[entry];
}

uint32_t
world_wanted(struct world *w, uint32_t entry, uint32_t out[static WANTED_MAX])
{
	const struct place_node *seen = w->seen[world_side(w, entry)];
	const uint32_t *near = near_of(w, entry);
	uint32_t n = 0;

	for (uint32_t i = 0; i < NEAR_KEPT && n < WANTED_MAX; i++) {
		if (near[i] != UINT32_MAX && seen[near[i]].state == NODE_UP)
			out[n++] = near[i];
	}
	return n;
}

/* Those that are up, with or without room. */
static uint32_t
take_shown(struct world *w, uint32_t entry, bool with_room, uint32_t *out, uint32_t n)
{
	const struct place_node *seen = w->seen[world_side(w, entry)];
	const uint32_t *near = near_of(w, entry);

	for (uint32_t i = 0; i < NEAR_KEPT && n < SHOWN_MAX - 1; i++) {
		const struct place_node *node = near[i] == UINT32_MAX ? NULL : &seen[near[i]];

		if (node && node->state == NODE_UP &&
		    with_room == (node->load.sessions < node->capacity.sessions))
			out[n++] = near[i];
	}
	return n;
}

static uint32_t
put_first(uint32_t entry, size_t node, uint32_t *shown, uint32_t n)
{
	uint32_t at = 0;

	if (node == HOLD_NONE || node == entry)
		return n;
	while (at < n && shown[at] != node)
		at++;
	if (at == n && n < SHOWN_MAX - 1)
		n++;
	else if (at == n)
		at--;
	for (; at > 0; at--)
		shown[at] = shown[at - 1];
	shown[0] = (uint32_t)node;
	return n;
}

/* Those that are measured. */
static uint32_t
find_targets(struct world *w, const struct world_user *u, uint32_t entry, struct measure *out)
{
	uint32_t shown[SHOWN_MAX], n_shown, n = 0;

	n_shown = take_shown(w, entry, true, shown, 0);
	n_shown = take_shown(w, entry, false, shown, n_shown);
	n_shown = put_first(entry, u->hold.last, shown, n_shown);
	n_shown = put_first(entry, u->hold.home, shown, n_shown);
	out[n++].node = entry;
	n = take_tier(w, shown, n_shown, TIER_FOG, out, n);
	return take_tier(w, shown, n_shown, TIER_CLOUD, out, n);
}

/* --- what it measures --- */

static uint32_t
probe_ms(uint32_t true_us, uint32_t probes, uint32_t least_ms, struct prng *r)
{
	for (uint32_t i = 0; i < probes; i++) {
		uint64_t per_mille = prng_between(r, 1000 - JITTER_PER_MILLE,
		    1000 + JITTER_PER_MILLE);
		uint32_t ms = (uint32_t)((true_us * per_mille / 1000 + 500) / 1000);

		if (ms < least_ms)
			least_ms = ms;
	}
	return least_ms;
}

uint32_t
world_measure(struct world *w, const struct world_user *u, uint32_t entry, struct prng *r,
    struct measure out[static SAID_MAX])
{
	uint32_t targets = find_targets(w, u, entry, out), n = 0, best_ms = UINT32_MAX;

	for (uint32_t i = 0; i < targets; i++) {
		if (w->nodes[out[i].node].is_dead)
			continue;
		out[n].node = out[i].node;
		out[n].ms = probe_ms(world_true_us(w, u, out[n].node), EARLY_PROBES, UINT32_MAX, r);
		best_ms = out[n].ms < best_ms ? out[n].ms : best_ms;
		n++;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (out[i].ms <= EARLY_FACTOR * best_ms)
			out[i].ms = probe_ms(world_true_us(w, u, out[i].node),
			    PROBES - EARLY_PROBES, out[i].ms, r);
	}
	return n;
}

uint32_t
world_measure_falsely(const struct world *w, struct prng *r, struct measure out[static SAID_MAX])
{
	uint32_t n = w->n < SAID_MAX ? w->n : SAID_MAX;
	uint32_t start = prng_below(r, w->n);

	for (uint32_t i = 0; i < n; i++)
		out[i] = (struct measure){ (start + i) % w->n, prng_below(r, LIE_MAX_MS + 1) };
	return n;
}

void
world_set_latencies(struct place_node *nodes, const struct measure *m, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		nodes[m[i].node].latency_ms = m[i].ms;
}

void
world_clear_latencies(const struct world *w, struct place_node *nodes)
{
	for (uint32_t i = 0; i < w->n; i++)
		nodes[i].latency_ms = PLACE_LATENCY_NONE;
}

/*
 * The entry opens a new connection for most of its probes, so that it sees three round trips; and the
 * mean of them goes up and down a little.
 */
void
world_guess(const struct world *w, uint32_t entry, struct prng *r, struct place_node *nodes)
{
	uint32_t own_ms = nodes[entry].latency_ms;

	for (uint32_t i = 0; i < w->n; i++) {
		uint64_t between_us = (uint64_t)EXCHANGES * world_between_us(w, entry, i);
		uint32_t mean_ms = (uint32_t)(between_us * prng_between(r, 90, 110) / 100000);

		if (nodes[i].latency_ms == PLACE_LATENCY_NONE)
			nodes[i].latency_ms = distance_guess(own_ms, mean_ms);
	}
}
