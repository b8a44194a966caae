/* SPDX-License-Identifier: MIT */
/* From what this placerd knows to the inputs of placement: see where.h. */
#include "placerd/where.h"

#include <stdlib.h>
#include <string.h>

#include "common/mono.h"
#include "common/proc.h"
#include "placerd/distance.h"
#include "placerd/fleet.h"
#include "placerd/hold.h"
#include "placerd/nodes.h"

#define PLACES_MAX 4096 /* subjects; one that falls on another's place takes it */

/* --- where subjects were placed last --- */

struct places {
	struct {
		uint64_t
		    subject; /* hash of issuer and subject; a wrong guess costs a little latency */
		struct where_kept kept;
	} of[PLACES_MAX];
};

static uint64_t
hash_subject(struct view issuer, struct view subject)
{
	uint64_t h = fnv1a(FNV1A_SEED, issuer.p, issuer.len);

	h = fnv1a(h, "", 1);
	return fnv1a(h, subject.p, subject.len);
}

void
where_remember(struct placerd *d, struct view issuer, struct view subject,
    const struct where_kept *kept)
{
	uint64_t h = hash_subject(issuer, subject);

	if (kept->last == 0)
		return;
	if (!d->places)
		d->places = calloc(1, sizeof(*d->places));
	if (!d->places)
		return;
	d->places->of[h % PLACES_MAX].subject = h;
	d->places->of[h % PLACES_MAX].kept = *kept;
}

/* A tag of a node that has left the fleet, and that of none, are no node's. */
struct hold
where_hold(const struct placerd *d, struct view issuer, struct view subject)
{
	uint64_t h = hash_subject(issuer, subject);
	struct hold hold = { HOLD_NONE, HOLD_NONE };

	if (d->places && d->places->of[h % PLACES_MAX].subject == h) {
		hold.home = nodes_find_tag(d->nodes, d->places->of[h % PLACES_MAX].kept.home);
		hold.last = nodes_find_tag(d->nodes, d->places->of[h % PLACES_MAX].kept.last);
	}
	return hold;
}

/* --- the table of nodes --- */

void
where_own_load(const struct placerd *d, struct place_room *out)
{
	*out = (struct place_room){ .sessions = (uint32_t)registry_live(d->registry) };
	for (const struct session *s = NULL; (s = registry_next_live(d->registry, s));) {
		out->cpu_milli += s->cpu_milli;
		out->memory_bytes += s->memory_bytes;
	}
}

static enum node_state
own_state(const struct placerd *d)
{
	if (!d->is_synced)
		return NODE_DOWN;
	return d->is_draining ? NODE_DRAINING : NODE_UP;
}

static enum node_state
state_of(const struct placerd *d, size_t node, uint64_t now_mono_ms)
{
	enum node_state state;

	if (node == nodes_self(d->nodes))
		return own_state(d);
	state = fleet_state(d->fleet, node, now_mono_ms);
	if (fleet_is_cordoned(d->fleet, node) && (state == NODE_UP || state == NODE_SUSPECT))
		return NODE_DRAINING;
	return state;
}

static void
fill(const struct placerd *d, size_t i, uint64_t now_mono_ms, struct place_node *out)
{
	const struct node *node = nodes_at(d->nodes, i);
	bool is_self = i == nodes_self(d->nodes);

	*out = (struct place_node){ .name = view_of(node->name),
		.region = view_of(node->region),
		.tier = node->tier,
		.trust = node->trust,
		.labels = node->labels,
		.state = state_of(d, i, now_mono_ms),
		.capacity = node->capacity,
		.latency_ms = PLACE_LATENCY_NONE };
	if (is_self)
		where_own_load(d, &out->load);
	else
		out->load = fleet_load(d->fleet, i);
	if (is_self && out->capacity.sessions > proc_config()->max_sessions)
		out->capacity.sessions = proc_config()->max_sessions;
}

/* Milliseconds as gatewayd wrote them: digits. Names of nobody's count nothing. */
static void
take_latencies(const struct placerd *d, struct view list, struct place_node *nodes)
{
	struct view name, ms;

	while (list_next(&list, &name) && list_next(&list, &ms)) {
		size_t node = nodes_find(d->nodes, name);
		uint32_t value = 0;

		for (size_t i = 0; i < ms.len && i < 6; i++)
			value = value * 10 + (uint32_t)(ms.p[i] - '0');
		if (node != SIZE_MAX && ms.len > 0)
			nodes[node].latency_ms = value;
	}
}

/* What the client has not measured, from what this node has. */
static void
guess_latencies(const struct placerd *d, struct place_node *nodes)
{
	size_t self = nodes_self(d->nodes);

	for (size_t i = 0; i < nodes_count(d->nodes); i++) {
		if (i != self && nodes[i].latency_ms == PLACE_LATENCY_NONE)
			nodes[i].latency_ms = distance_guess(nodes[self].latency_ms,
			    fleet_mean_ms(d->fleet, i));
	}
}

static void
take_failed(const struct placerd *d, const struct where_ask *ask, struct place_node *nodes)
{
	for (size_t i = 0; i < ask->n_failed; i++) {
		size_t node = nodes_find_tag(d->nodes, ask->failed[i]);

		if (node != SIZE_MAX)
			nodes[node].has_failed = true;
	}
}

/* --- the request --- */

static void
fill_request(const struct placerd *d, const struct where_ask *ask, struct where *out)
{
	const struct policy_decision *decision = ask->decision;

	for (size_t i = 0; i < decision->n_regions; i++)
		out->regions[i] = view_of(decision->regions[i]);
	out->request = (struct place_request){ .hint = ask->hint,
		.regions = out->regions,
		.n_regions = decision->n_regions,
		.min_trust = decision->min_trust,
		.fallback_region = view_of(proc_config()->cloud_fallback_region),
		.needs = { .sessions = 1,
		    .cpu_milli = decision->limits.cpu_milli,
		    .memory_bytes = decision->limits.memory_bytes } };
	for (size_t i = 0; i < decision->n_labels; i++) {
		uint64_t bit = nodes_label(d->nodes, view_of(decision->labels[i]));

		out->request.labels |= bit ? bit : PLACE_LABEL_NOBODY_HAS;
	}
}

static int
choose_of_all(const struct placerd *d, const struct where_ask *ask, struct where *out)
{
	struct hold hold = where_hold(d, ask->issuer, ask->subject);
	size_t current = hold_current(&hold, &out->request, out->nodes);
	int rc;

	if (current != HOLD_NONE)
		out->request.current = out->nodes[current].name;
	rc = place_choose(&out->request, out->nodes, out->n, &out->choice);
	if (rc != 0 || out->choice.fit[0].reasons & 1u << PLACE_HINT_HONOURED)
		return rc;
	hold = hold_after(&hold, &out->request, out->nodes, out->choice.fit[0].node);
	out->kept = (struct where_kept){ .home = nodes_at(d->nodes, hold.home)->tag,
		.last = nodes_at(d->nodes, hold.last)->tag };
	return 0;
}

int
where_choose(struct placerd *d, const struct where_ask *ask, struct where *out)
{
	uint64_t now_mono_ms = mono_ms();
	size_t n = nodes_count(d->nodes), self = nodes_self(d->nodes);

	*out = (struct where){ .n = ask->only_here ? 1 : n };
	out->nodes = calloc(out->n, sizeof(*out->nodes));
	if (!out->nodes)
		return -FOG_E_NOMEM;
	fill_request(d, ask, out);
	if (ask->only_here) {
		fill(d, self, now_mono_ms, &out->nodes[0]);
		return place_choose(&out->request, out->nodes, 1, &out->choice);
	}
	for (size_t i = 0; i < n; i++) {
		fill(d, i, now_mono_ms, &out->nodes[i]);
		if (fleet_would_refuse(d->fleet, i, &out->request.needs, now_mono_ms))
			out->nodes[i].load = out->nodes[i].capacity;
	}
	take_latencies(d, ask->latencies, out->nodes);
	guess_latencies(d, out->nodes);
	take_failed(d, ask, out->nodes);
	return choose_of_all(d, ask, out);
}

void
where_fini(struct where *w)
{
	free(w->nodes);
	w->nodes = NULL;
}
