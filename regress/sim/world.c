/* SPDX-License-Identifier: MIT */
/* Made-up fleets: see world.h. */
#include "regress/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "regress/sim/sim.h"

#define WIDTH_KM 20000
#define HEIGHT_KM 8000
#define US_PER_KM 15 /* there and back in glass, on a way half as long again as the straight one */
#define IN_TOWN_US 600
#define LABELS 8
#define CLOUD_EVERY 10 /* nodes */
#define CLOUD_REGIONS 6
#define LYING_NODES (PER_MILLION / 50)
#define LYING_USERS (PER_MILLION / 50)
#define GIB (UINT64_C(1) << 30)

/* --- the map --- */

static uint32_t
root_of(uint64_t v)
{
	uint64_t low = 0, high = UINT32_MAX;

	while (low < high) {
		uint64_t middle = (low + high + 1) / 2;

		if (middle * middle <= v)
			low = middle;
		else
			high = middle - 1;
	}
	return (uint32_t)low;
}

static uint32_t
distance_km(const struct site *a, const struct site *b)
{
	int64_t x = a->x_km - b->x_km, y = a->y_km - b->y_km;

	return root_of((uint64_t)(x * x + y * y));
}

static void
order_towns(struct world *w, uint32_t from)
{
	const uint32_t *us = w->town_us[from];
	uint8_t *order = w->town_order[from];

	for (uint32_t i = 0; i < TOWNS; i++) {
		uint32_t at = i;

		for (; at > 0 && us[order[at - 1]] > us[i]; at--)
			order[at] = order[at - 1];
		order[at] = (uint8_t)i;
	}
}

/* The first town of a region is its centre; each other one belongs to the nearest centre. */
static void
make_towns(struct world *w, struct prng *r)
{
	for (uint32_t i = 0; i < TOWNS; i++) {
		struct site *t = &w->towns[i];

		t->x_km = (int32_t)prng_below(r, WIDTH_KM);
		t->y_km = (int32_t)prng_below(r, HEIGHT_KM);
		t->hour = (uint32_t)t->x_km * 24 / WIDTH_KM;
		t->region = i < w->n_regions ? i : 0;
		for (uint32_t k = 1; i >= w->n_regions && k < w->n_regions; k++) {
			if (distance_km(t, &w->towns[k]) < distance_km(t, &w->towns[t->region]))
				t->region = k;
		}
	}
	for (uint32_t i = 0; i < TOWNS; i++) {
		for (uint32_t k = 0; k < TOWNS; k++)
			w->town_us[i][k] = IN_TOWN_US +
			    distance_km(&w->towns[i], &w->towns[k]) * US_PER_KM;
	}
	for (uint32_t i = 0; i < TOWNS; i++)
		order_towns(w, i);
	for (uint32_t i = 0; i < w->n_regions; i++)
		snprintf(w->regions[i], NAME_BYTES, "region-%u", i);
}

/* --- policy --- */

/* The first half of the profiles demands nothing but room. */
static void
make_profiles(struct world *w, struct prng *r)
{
	for (uint32_t i = 0; i < PROFILES; i++) {
		struct world_profile *p = &w->profiles[i];

		p->needs = (struct place_room){ .sessions = 1,
			.cpu_milli = 250 * prng_between(r, 1, 4),
			.memory_bytes = GIB / 4 * prng_between(r, 1, 8) };
		p->min_trust = TRUST_BASIC;
		if (i < PROFILES / 2)
			continue;
		p->n_regions = prng_below(r, 4);
		for (size_t k = 0; k < p->n_regions; k++)
			p->regions[k] = view_of(w->regions[prng_below(r, w->n_regions)]);
		for (uint32_t k = prng_below(r, 3); k > 0; k--)
			p->labels |= UINT64_C(1) << prng_below(r, LABELS);
		p->min_trust = (enum node_trust)prng_between(r, TRUST_BASIC, TRUST_ATTESTED);
	}
}

/* --- nodes --- */

/* Towns are of very different sizes, and the fog is where people are. */
static uint32_t
some_town(struct prng *r)
{
	uint32_t one = prng_below(r, TOWNS), two = prng_below(r, TOWNS);

	return one < two ? one : two;
}

static uint64_t
some_labels(struct prng *r)
{
	return prng_next(r) & prng_next(r) & ((UINT64_C(1) << LABELS) - 1);
}

static struct place_room
some_capacity(struct prng *r, enum node_tier tier)
{
	uint32_t sessions = prng_between(r, 40, 160) * (tier == TIER_CLOUD ? 4 : 1);

	return (struct place_room){ .sessions = sessions,
		.cpu_milli = UINT64_C(800) * sessions,
		.memory_bytes = GIB * 5 / 4 * sessions };
}

/* At least one of the cloud, in the fallback region. */
static void
make_node(struct world *w, uint32_t i, struct prng *r)
{
	struct world_node *node = &w->nodes[i];
	struct place_node *seen = &w->seen[0][i];
	bool is_cloud = i % CLOUD_EVERY == 0;
	uint32_t clouds = w->n_regions < CLOUD_REGIONS ? w->n_regions : CLOUD_REGIONS;

	node->town = is_cloud ? i / CLOUD_EVERY % clouds : some_town(r);
	node->base_us = prng_between(r, 300, 3000);
	node->says_no_load = prng_chance(r, LYING_NODES);
	snprintf(w->names[i], NAME_BYTES, "n%u", i);
	*seen = (struct place_node){ .name = view_of(w->names[i]),
		.region = view_of(w->regions[w->towns[node->town].region]),
		.tier = is_cloud ? TIER_CLOUD : TIER_FOG,
		.trust = is_cloud ? TRUST_TRUSTED
				  : (enum node_trust)prng_between(r, TRUST_BASIC, TRUST_ATTESTED),
		.labels = some_labels(r),
		.state = NODE_UP,
		.capacity = some_capacity(r, is_cloud ? TIER_CLOUD : TIER_FOG),
		.latency_ms = PLACE_LATENCY_NONE };
	w->seen[1][i] = *seen;
}

static void
sort_by_town(struct world *w)
{
	uint32_t at[TOWNS + 1];

	for (uint32_t i = 0; i < w->n; i++)
		w->town_from[w->nodes[i].town + 1]++;
	for (uint32_t i = 0; i < TOWNS; i++)
		w->town_from[i + 1] += w->town_from[i];
	memcpy(at, w->town_from, sizeof(at));
	for (uint32_t i = 0; i < w->n; i++)
		w->by_town[at[w->nodes[i].town]++] = i;
}

static void
make_user(struct world_user *u, struct prng *r)
{
	*u = (struct world_user){ .town = some_town(r),
		.access_us = prng_between(r, 3000, 20000),
		.profile = prng_below(r, PROFILES),
		.hold = { HOLD_NONE, HOLD_NONE },
		.lies = prng_chance(r, LYING_USERS) };
}

struct world *
world_new(uint32_t n, uint32_t n_users, struct prng *r)
{
	struct world *w = sim_zeroed(1, sizeof(*w));

	w->n = n;
	w->n_users = n_users;
	w->n_regions = n / 4 < 2 ? 2 : n / 4 > REGIONS_MAX ? REGIONS_MAX : n / 4;
	w->nodes = sim_zeroed(n, sizeof(*w->nodes));
	w->users = sim_zeroed(n_users, sizeof(*w->users));
	w->names = sim_zeroed(n, sizeof(*w->names));
	w->by_town = sim_zeroed(n, sizeof(*w->by_town));
	w->near = sim_zeroed(n, sizeof(*w->near));
	for (int side = 0; side < SIDES; side++)
		w->seen[side] = sim_zeroed(n, sizeof(*w->seen[side]));
	make_towns(w, r);
	make_profiles(w, r);
	for (uint32_t i = 0; i < n; i++)
		make_node(w, i, r);
	sort_by_town(w);
	for (uint32_t i = 0; i < n_users; i++)
		make_user(&w->users[i], r);
	return w;
}

void
world_free(struct world *w)
{
	if (!w)
		return;
	for (int side = 0; side < SIDES; side++)
		free(w->seen[side]);
	free(w->nodes);
	free(w->users);
	free(w->names);
	for (uint32_t i = 0; i < w->n; i++)
		free(w->near[i]);
	free(w->near);
	free(w->by_town);
	free(w);
}

/* --- who is where --- */

uint32_t
world_region(const struct world *w, uint32_t node)
{
	return w->towns[w->nodes[node].town].region;
}

uint32_t
world_side(const struct world *w, uint32_t node)
{
	return w->is_cut ? w->side[world_region(w, node)] : 0;
}

bool
world_reaches(const struct world *w, uint32_t from, uint32_t node)
{
	return !w->nodes[node].is_dead && world_side(w, node) == world_side(w, from);
}

uint32_t
world_entry(const struct world *w, uint32_t town, struct prng *r)
{
	for (uint32_t i = 0; i < TOWNS; i++) {
		uint32_t there = w->town_order[town][i], from = w->town_from[there];
		uint32_t n = w->town_from[there + 1] - from, start = prng_below(r, n);

		for (uint32_t k = 0; k < n; k++) {
			uint32_t node = w->by_town[from + (start + k) % n];

			if (!w->nodes[node].is_dead)
				return node;
		}
	}
	return 0;
}

/* What two networks lose to each other is the same each time. */
static uint32_t
detour_us(uint64_t a, uint64_t b)
{
	return (uint32_t)(prng_mix((a << 32 | b) + 1) >> 48) * 2000 / 65536;
}

uint32_t
world_true_us(const struct world *w, const struct world_user *u, uint32_t node)
{
	const struct world_node *to = &w->nodes[node];

	return u->access_us + w->town_us[u->town][to->town] + to->base_us +
	    detour_us((uint64_t)(u - w->users) + w->n, node);
}

uint32_t
world_between_us(const struct world *w, uint32_t a, uint32_t b)
{
	const struct world_node *one = &w->nodes[a], *other = &w->nodes[b];

	return one->base_us + w->town_us[one->town][other->town] + other->base_us +
	    (a < b ? detour_us(a, b) : detour_us(b, a));
}

static enum node_state
state_for(const struct world *w, uint32_t node, uint32_t side)
{
	const struct world_node *it = &w->nodes[node];

	if (it->is_known_dead || (w->is_cut_known && w->side[world_region(w, node)] != side))
		return NODE_DOWN;
	if (it->is_draining)
		return NODE_DRAINING;
	return it->is_suspect ? NODE_SUSPECT : NODE_UP;
}

void
world_tell_state(struct world *w, uint32_t node)
{
	for (uint32_t side = 0; side < SIDES; side++)
		w->seen[side][node].state = state_for(w, node, side);
}

void
world_request(const struct world *w, const struct world_user *u, struct place_request *out)
{
	const struct world_profile *p = &w->profiles[u->profile];

	*out = (struct place_request){ .regions = p->regions,
		.n_regions = p->n_regions,
		.labels = p->labels,
		.min_trust = p->min_trust,
		.fallback_region = view_of(w->regions[0]),
		.needs = p->needs };
}

void
world_hold(const struct world_user *u, const struct place_node *nodes,
    struct place_request *request)
{
	size_t current = hold_current(&u->hold, request, nodes);

	request->current = current == HOLD_NONE ? view_of("") : nodes[current].name;
}

bool
world_is_free(const struct world *w, const struct world_user *u)
{
	const struct world_profile *p = &w->profiles[u->profile];

	return p->n_regions == 0 && p->labels == 0 && p->min_trust == TRUST_BASIC;
}
