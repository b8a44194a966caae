/* SPDX-License-Identifier: MIT */
/*
 * Small fleets of every kind, one request to each, held against the checker: also numbers that no
 * sane fleet has. And what has to hold between two calls: a table in another order, and what a
 * client says of latency, change neither who is fit nor whether anybody is.
 */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "placerd/place.h"
#include "regress/sim/checker.h"
#include "regress/sim/prng.h"
#include "regress/sim/sim.h"

#define NODES_MAX_SMALL 12
#define NAMES 16
#define WRONG_BYTES 120

struct fleets_result {
	uint64_t fleets, chosen, refused, broken;
	char wrong[WRONG_BYTES];
};
_Static_assert(sizeof(struct fleets_result) <= JOB_RESULT_BYTES, "a result has its room");

struct small_fleet {
	struct place_node nodes[NODES_MAX_SMALL];
	size_t n;
	struct place_request request;
	struct view regions[3];
};

static const char *const names[NAMES] = { "a", "b", "c", "d", "aa", "ab", "edge-1", "edge-10",
	"edge-2", "fog", "fog-fog", "z", "n1", "n2", "cloud", "A" };
static const char *const regions[] = { "eu", "us", "eu-1", "EU" };
static const uint64_t amounts[] = { 0, 1, 2, 100, 101, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX };
static const uint32_t latencies[] = { 0, 1, 9, 10, 11, 30, 31, 100, 60000, UINT32_MAX - 1,
	PLACE_LATENCY_NONE };

#define ONE_OF(r, table) ((table)[prng_below((r), COUNT_OF(table))])

static struct place_room
some_room(struct prng *r)
{
	return (struct place_room){ .sessions = (uint32_t)ONE_OF(r, amounts),
		.cpu_milli = ONE_OF(r, amounts),
		.memory_bytes = ONE_OF(r, amounts) };
}

static uint64_t
some_labels(struct prng *r)
{
	static const uint64_t bits[] = { 0, 1, 2, UINT64_C(1) << 63, 5, UINT64_MAX };

	return ONE_OF(r, bits);
}

/* Half of them with nothing against them but what their neighbours may have. */
static void
make_node(struct prng *r, const char *name, struct place_node *out)
{
	bool is_plain = prng_chance(r, PER_MILLION / 2);

	*out = (struct place_node){ .name = view_of(name),
		.region = view_of(ONE_OF(r, regions)),
		.tier = prng_chance(r, PER_MILLION / 2) ? TIER_FOG : TIER_CLOUD,
		.trust = (enum node_trust)prng_between(r, TRUST_BASIC, TRUST_ATTESTED),
		.labels = is_plain ? UINT64_MAX : some_labels(r),
		.state = is_plain ? NODE_UP : (enum node_state)prng_below(r, NODE_STATE_COUNT),
		.has_failed = prng_chance(r, PER_MILLION / 10),
		.capacity = some_room(r),
		.load = some_room(r),
		.latency_ms = ONE_OF(r, latencies) };
	if (is_plain) {
		out->capacity = (struct place_room){ .sessions = prng_between(r, 1, 9) };
		out->load = (struct place_room){ .sessions = prng_below(r, 10) };
	}
}

static void
make_request(struct prng *r, struct small_fleet *f)
{
	struct place_request *q = &f->request;

	*q = (struct place_request){ .regions = f->regions,
		.n_regions = prng_chance(r, PER_MILLION / 2) ? 0 : prng_below(r, 4),
		.labels = prng_chance(r, PER_MILLION / 2) ? 0 : some_labels(r),
		.min_trust = (enum node_trust)prng_below(r, TRUST_COUNT),
		.fallback_region = view_of(ONE_OF(r, regions)),
		.needs = { .sessions = 1 } };
	if (prng_chance(r, PER_MILLION / 4)) {
		q->needs = some_room(r);
		q->needs.sessions = 1;
	}
	for (size_t i = 0; i < q->n_regions; i++)
		f->regions[i] = view_of(ONE_OF(r, regions));
	if (prng_chance(r, PER_MILLION / 3))
		q->hint = view_of(ONE_OF(r, names));
	if (prng_chance(r, PER_MILLION / 2))
		q->current = view_of(ONE_OF(r, names));
}

static void
make_fleet(struct prng *r, struct small_fleet *f)
{
	size_t first = prng_below(r, NAMES);

	f->n = prng_below(r, NODES_MAX_SMALL + 1);
	for (size_t i = 0; i < f->n; i++)
		make_node(r, names[(first + i) % NAMES], &f->nodes[i]);
	make_request(r, f);
}

/* --- two calls --- */

static void
shuffle(struct prng *r, struct place_node *nodes, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t other = prng_below(r, (uint32_t)i);
		struct place_node held = nodes[i - 1];

		nodes[i - 1] = nodes[other];
		nodes[other] = held;
	}
}

static const char *
judge_order(struct prng *r, struct small_fleet *f, int rc, const struct place_choice *choice)
{
	struct place_node before[NODES_MAX_SMALL];
	struct place_choice again;

	memcpy(before, f->nodes, sizeof(before));
	shuffle(r, f->nodes, f->n);
	if (place_choose(&f->request, f->nodes, f->n, &again) != rc || again.n_fit != choice->n_fit)
		return "another answer for another order of the table";
	for (size_t i = 0; i < again.n_fit; i++) {
		if (!view_equal(f->nodes[again.fit[i].node].name,
			before[choice->fit[i].node].name) ||
		    again.fit[i].reasons != choice->fit[i].reasons)
			return "another order of candidates for another order of the table";
	}
	return NULL;
}

static const char *
judge_latency(struct prng *r, struct small_fleet *f, int rc, const struct place_choice *choice)
{
	struct place_choice again;

	for (size_t i = 0; i < f->n; i++)
		f->nodes[i].latency_ms = ONE_OF(r, latencies);
	if (place_choose(&f->request, f->nodes, f->n, &again) != rc ||
	    again.n_fit_all != choice->n_fit_all ||
	    memcmp(again.rejected_by, choice->rejected_by, sizeof(again.rejected_by)) != 0)
		return "what a client says of latency made a node fit, or not fit";
	return checker_judge(&f->request, f->nodes, f->n, rc, &again);
}

static const char *
judge_single(const struct small_fleet *f)
{
	for (size_t i = 0; i < f->n; i++) {
		bool is_fit = place_judge(&f->request, &f->nodes[i]) == 0;

		if (is_fit != checker_fits(&f->request, &f->nodes[i]))
			return "place_judge is of another opinion than the checker";
	}
	return NULL;
}

/* --- the part --- */

static const char *
try_fleet(struct prng *r, struct small_fleet *f, struct fleets_result *out)
{
	struct place_choice choice;
	const char *wrong;
	int rc;

	make_fleet(r, f);
	rc = place_choose(&f->request, f->nodes, f->n, &choice);
	if (rc == 0)
		out->chosen++;
	else
		out->refused++;
	wrong = checker_judge(&f->request, f->nodes, f->n, rc, &choice);
	if (!wrong)
		wrong = judge_single(f);
	if (!wrong)
		wrong = judge_order(r, f, rc, &choice);
	return wrong ? wrong : judge_latency(r, f, rc, &choice);
}

static uint32_t
fleets_jobs(const struct effort *e)
{
	return e->fleet_jobs;
}

static void
fleets_run(const struct effort *e, uint32_t job, void *result)
{
	struct fleets_result *out = result;
	struct small_fleet f;
	struct prng r;

	prng_init(&r, e->seed, UINT64_C(0x100000000) + job);
	memset(&f, 0, sizeof(f));
	for (uint64_t i = job; i < e->fleets; i += e->fleet_jobs) {
		const char *wrong = try_fleet(&r, &f, out);

		out->fleets++;
		if (!wrong)
			continue;
		if (out->broken++ == 0)
			snprintf(out->wrong, sizeof(out->wrong), "%s (fleet %llu)", wrong,
			    (unsigned long long)i);
	}
}

static void
fleets_tell(const struct effort *e, const unsigned char *results, uint32_t jobs, struct report *r)
{
	struct fleets_result all = { 0 };

	(void)e;
	for (uint32_t job = 0; job < jobs; job++) {
		const struct fleets_result *one = RESULT_OF(struct fleets_result, results, job);

		all.fleets += one->fleets;
		all.chosen += one->chosen;
		all.refused += one->refused;
		all.broken += one->broken;
		if (one->broken > 0 && !*all.wrong)
			snprintf(all.wrong, sizeof(all.wrong), "%s", one->wrong);
	}
	report_section(r, "Small fleets of every kind");
	report_line(r,
	    "%llu fleets of 0 to %d nodes with made-up constraints, states, loads up to 2^64-1 and "
	    "latencies: %llu were served, %llu refused. Every choice was held against an "
	    "independent checker, then asked for again with the table in another order and with "
	    "other latencies. Decisions that were wrong: %llu%s%s.",
	    (unsigned long long)all.fleets, NODES_MAX_SMALL, (unsigned long long)all.chosen,
	    (unsigned long long)all.refused, (unsigned long long)all.broken,
	    *all.wrong ? ", the first: " : "", all.wrong);
	report_bound(r, all.broken == 0 && all.fleets > 0, "random fleets with a broken rule", "0",
	    "%llu of %llu", (unsigned long long)all.broken, (unsigned long long)all.fleets);
}

const struct sim_part part_fleets = { "fleets", false, fleets_jobs, fleets_run, fleets_tell };
