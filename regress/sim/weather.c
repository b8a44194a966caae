/* SPDX-License-Identifier: MIT */
/* What happens to nodes by itself: see days.h. */
#include "placerd/fleet.h"
#include "regress/sim/days.h"

#define HOUR_MS UINT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define DEATH_EVERY_MS (10 * DAY_MS) /* of one node */
#define DEAD_MS (20 * HOUR_MS / 60)
#define DRAIN_EVERY_MS (30 * DAY_MS)
#define DRAIN_MS HOUR_MS
#define CUT_EVERY_MS (12 * HOUR_MS)
#define CUT_MS (10 * HOUR_MS / 60)

enum event_kind {
	SESSION_END,
	NODE_DIES,
	NODE_IS_SUSPECT,
	NODE_IS_KNOWN_DEAD,
	NODE_HEALS,
	NODE_DRAINS,
	NODE_UNDRAINS,
	CUT_BEGINS,
	CUT_IS_KNOWN,
	CUT_ENDS,
	CUT_END_IS_KNOWN
};

/* Of a town's own clock: what of the greatest demand there is, per mille. */
static const uint16_t demand[24] = { 180, 130, 110, 100, 110, 150, 250, 420, 640, 850, 960, 1000,
	930, 940, 990, 980, 920, 800, 660, 560, 500, 430, 330, 240 };

uint32_t
weather_demand(const struct days *d, uint32_t town)
{
	return demand[(d->now_ms / HOUR_MS + d->w->towns[town].hour) % 24];
}

static void
add(struct days *d, uint32_t kind, uint32_t node, uint64_t in_ms)
{
	struct event e = { .at_ms = d->now_ms + in_ms,
		.kind = kind,
		.node = node,
		.life = d->w->nodes[node].life };

	events_add(&d->events, &e);
}

/* --- load --- */

static uint64_t
background_of(const struct world_node *it, uint64_t capacity)
{
	return capacity * it->background_per_mille / 1000;
}

struct place_room
weather_load(const struct days *d, uint32_t node)
{
	const struct world_node *it = &d->w->nodes[node];
	const struct place_room *all = &d->w->seen[0][node].capacity;

	return (struct place_room){ .sessions = it->used.sessions +
		    (uint32_t)background_of(it, all->sessions),
		.cpu_milli = it->used.cpu_milli + background_of(it, all->cpu_milli),
		.memory_bytes = it->used.memory_bytes + background_of(it, all->memory_bytes) };
}

bool
weather_takes(const struct days *d, uint32_t node, const struct place_room *needs)
{
	const struct place_room *all = &d->w->seen[0][node].capacity;
	struct place_room load = weather_load(d, node);

	return load.sessions + needs->sessions <= all->sessions &&
	    load.cpu_milli + needs->cpu_milli <= all->cpu_milli &&
	    load.memory_bytes + needs->memory_bytes <= all->memory_bytes;
}

static void
promise(struct place_room *load, const struct place_room *needs)
{
	load->sessions += needs->sessions;
	load->cpu_milli += needs->cpu_milli;
	load->memory_bytes += needs->memory_bytes;
}

/*
 * Half of all sessions come in at other nodes than the one whose table this is: those are not known
 * here until the node is heard of.
 */
void
weather_occupy(struct days *d, uint32_t node, const struct place_room *needs, uint64_t ms)
{
	struct event end = { .at_ms = d->now_ms + ms,
		.kind = SESSION_END,
		.node = node,
		.life = d->w->nodes[node].life,
		.cpu_milli = (uint32_t)needs->cpu_milli,
		.memory_bytes = needs->memory_bytes };

	events_add(&d->events, &end);
	promise(&d->w->nodes[node].used, needs);
	if (prng_chance(&d->r, PER_MILLION / 2))
		return;
	for (int side = 0; side < SIDES; side++)
		promise(&d->w->seen[side][node].load, needs);
}

static void
end_session(struct days *d, const struct event *e)
{
	struct place_room *used = &d->w->nodes[e->node].used;

	if (e->life != d->w->nodes[e->node].life)
		return;
	used->sessions--;
	used->cpu_milli -= e->cpu_milli;
	used->memory_bytes -= e->memory_bytes;
}

/* What it says of itself. Of the dead, and over a cut, nothing is heard. */
static void
hear(struct days *d, uint32_t node)
{
	struct world_node *it = &d->w->nodes[node];
	struct place_room load = { 0 };

	if (it->is_dead || d->w->is_cut)
		return;
	if (!it->says_no_load)
		load = weather_load(d, node);
	it->heard_ms = d->now_ms;
	for (int side = 0; side < SIDES; side++)
		d->w->seen[side][node].load = load;
}

/* Its own people's sessions, which are not simulated, and what it says then. */
static void
report(struct days *d, uint32_t node)
{
	struct world_node *it = &d->w->nodes[node];
	uint32_t noise = prng_between(&d->r, 600, 1300);

	it->background_per_mille = (uint32_t)((uint64_t)d->background *
	    weather_demand(d, it->town) / 1000 * noise / 1000);
	if (it->background_per_mille > 1000)
		it->background_per_mille = 1000;
	hear(d, node);
}

/* As fleet_wanted does, for those that are nearest. The answers come before the request. */
void
weather_ask(struct days *d, uint32_t entry)
{
	uint64_t *at_ms = &d->w->nodes[entry].wanted_ms;
	uint32_t wanted[WANTED_MAX], n = world_wanted(d->w, entry, wanted);

	for (uint32_t i = 0; i < n; i++) {
		if (d->now_ms < d->w->nodes[wanted[i]].heard_ms + FLEET_FRESH_MS ||
		    *at_ms > d->now_ms + FLEET_WANTED_MAX * FLEET_WANTED_EVERY_MS)
			continue;
		*at_ms = (*at_ms > d->now_ms ? *at_ms : d->now_ms) + FLEET_WANTED_EVERY_MS;
		hear(d, wanted[i]);
	}
}

/* As often as fleet.c asks in the calm, one node after the other. */
static void
hear_in_turn(struct days *d, uint64_t to_ms)
{
	uint64_t each_ms = d->w->n > FLEET_SMALL ? FLEET_CALM_EVERY_MS
						 : 1000 / FLEET_PROBES_PER_SECOND;
	uint64_t due = (to_ms - d->heard_ms) / each_ms;

	d->heard_ms += due * each_ms;
	if (due > d->w->n)
		due = d->w->n;
	for (; due > 0; due--) {
		report(d, d->next_report);
		d->next_report = (d->next_report + 1) % d->w->n;
	}
}

/* --- death, drain, partition --- */

/* The bound of detector.c, which is for few that die at once. */
static uint64_t
detection_ms(struct days *d)
{
	return prng_between(&d->r, FLEET_TIMEOUT_MIN_MS, FLEET_DEAD_MS);
}

/* Half of the fleet is lost, one after the other: as long as they can be asked often enough. */
static uint64_t
cut_detection_ms(struct days *d)
{
	uint64_t all_ms = FLEET_DEAD_MS +
	    (uint64_t)d->w->n / 2 * FLEET_LOST_HINTED * 1000 / FLEET_URGENT_PER_SECOND;

	return prng_between(&d->r, FLEET_TIMEOUT_MIN_MS,
	    (uint32_t)(all_ms < CUT_MS ? all_ms : CUT_MS));
}

static void
die(struct days *d, uint32_t node)
{
	struct world_node *it = &d->w->nodes[node];
	uint64_t known_ms = detection_ms(d);

	d->out->deaths++;
	d->out->lost_sessions += it->used.sessions;
	it->is_dead = true;
	it->life++;
	it->used = (struct place_room){ 0 };
	add(d, NODE_IS_SUSPECT, node, known_ms / 2);
	add(d, NODE_IS_KNOWN_DEAD, node, known_ms);
	add(d, NODE_HEALS, node, known_ms + prng_exponential(&d->r, DEAD_MS));
}

static void
heal(struct days *d, uint32_t node)
{
	struct world_node *it = &d->w->nodes[node];

	it->is_dead = it->is_known_dead = it->is_suspect = false;
	report(d, node);
	add(d, NODE_DIES, node, prng_exponential(&d->r, DEATH_EVERY_MS));
}

static void
tell_all(struct days *d)
{
	for (uint32_t i = 0; i < d->w->n; i++)
		world_tell_state(d->w, i);
}

static void
change_cut(struct days *d, uint32_t kind)
{
	struct world *w = d->w;

	switch (kind) {
	case CUT_BEGINS:
		d->out->cuts++;
		w->is_cut = true;
		for (uint32_t i = 0; i < w->n_regions; i++)
			w->side[i] = (uint8_t)prng_below(&d->r, SIDES);
		add(d, CUT_IS_KNOWN, 0, cut_detection_ms(d));
		add(d, CUT_ENDS, 0, CUT_MS);
		return;
	case CUT_ENDS:
		w->is_cut = false;
		add(d, CUT_END_IS_KNOWN, 0, cut_detection_ms(d));
		add(d, CUT_BEGINS, 0, prng_exponential(&d->r, CUT_EVERY_MS) + CUT_MS);
		return;
	default:
		w->is_cut_known = kind == CUT_IS_KNOWN;
		tell_all(d);
	}
}

static void
drain(struct days *d, uint32_t node, bool is_draining)
{
	d->w->nodes[node].is_draining = is_draining;
	d->out->drains += is_draining;
	if (is_draining)
		add(d, NODE_UNDRAINS, node, DRAIN_MS);
	else
		add(d, NODE_DRAINS, node, prng_exponential(&d->r, DRAIN_EVERY_MS));
}

static void
happen(struct days *d, const struct event *e)
{
	switch (e->kind) {
	case SESSION_END:
		end_session(d, e);
		return;
	case NODE_DIES:
		die(d, e->node);
		break;
	case NODE_IS_SUSPECT:
		d->w->nodes[e->node].is_suspect = true;
		break;
	case NODE_IS_KNOWN_DEAD:
		d->w->nodes[e->node].is_known_dead = true;
		break;
	case NODE_HEALS:
		heal(d, e->node);
		break;
	case NODE_DRAINS:
	case NODE_UNDRAINS:
		drain(d, e->node, e->kind == NODE_DRAINS);
		break;
	default:
		change_cut(d, e->kind);
		return;
	}
	world_tell_state(d->w, e->node);
}

void
weather_begin(struct days *d)
{
	for (uint32_t i = 0; i < d->w->n; i++) {
		add(d, NODE_DIES, i, prng_exponential(&d->r, DEATH_EVERY_MS));
		add(d, NODE_DRAINS, i, prng_exponential(&d->r, DRAIN_EVERY_MS));
		report(d, i);
	}
	add(d, CUT_BEGINS, 0, prng_exponential(&d->r, CUT_EVERY_MS));
}

void
weather_move(struct days *d, uint64_t to_ms)
{
	struct event e;

	while (events_take(&d->events, to_ms, &e)) {
		d->now_ms = e.at_ms;
		happen(d, &e);
	}
	d->now_ms = to_ms;
	hear_in_turn(d, to_ms);
}
