/* SPDX-License-Identifier: MIT */
/*
 * People who stay where they are and load the page 200 times: how often are they placed elsewhere
 * than the time before? Nothing happens to the nodes but that their load changes; all that is new
 * each time is the jitter of what the page measures.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "regress/sim/prng.h"
#include "regress/sim/sim.h"
#include "regress/sim/stats.h"
#include "regress/sim/world.h"

#define LOADS 200
#define MOVES_TOP 16

struct people_result {
	uint32_t nodes;
	uint64_t people, loads, moves;
	uint32_t by_moves[MOVES_TOP + 1]; /* people; the last counts all above */
	uint64_t near_first, near_last; /* within 1.2 of the best, at the first and the last load */
};
_Static_assert(sizeof(struct people_result) <= JOB_RESULT_BYTES, "a result has its room");

static uint32_t
size_of(const struct effort *e, uint32_t job)
{
	uint32_t i = 0;

	for (;; i++) {
		if (e->people[i] > 0 && job-- == 0)
			return i;
	}
}

static uint32_t
people_jobs(const struct effort *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SIZES; i++)
		n += e->people[i] > 0;
	return n;
}

/* Of half of them, to anything that leaves them room. */
static void
change_loads(struct world *w, struct prng *r)
{
	for (uint32_t i = 0; i < w->n; i++) {
		struct place_node *node = &w->seen[0][i];

		if (prng_chance(r, PER_MILLION / 2))
			node->load.sessions = prng_below(r, node->capacity.sessions);
	}
}

/* False: policy permits them no node. */
static bool
load_page(struct world *w, struct world_user *u, uint32_t entry, bool guesses, struct prng *r,
    uint32_t *node)
{
	struct measure measured[SAID_MAX];
	struct place_request request;
	struct place_choice choice;
	uint32_t n = world_measure(w, u, entry, r, measured);
	int rc;

	world_request(w, u, &request);
	world_hold(u, w->seen[0], &request);
	world_set_latencies(w->seen[0], measured, n);
	if (guesses)
		world_guess(w, entry, r, w->seen[0]);
	rc = place_choose(&request, w->seen[0], w->n, &choice);
	world_clear_latencies(w, w->seen[0]);
	if (rc != 0)
		return false;
	*node = (uint32_t)choice.fit[0].node;
	u->hold = hold_after(&u->hold, &request, w->seen[0], *node);
	return true;
}

/* Among those of its tier that policy permits: all have room, and are up. */
static bool
is_near(const struct world *w, const struct world_user *u, uint32_t node)
{
	uint64_t mine = world_true_us(w, u, node);
	struct place_request request;

	world_request(w, u, &request);
	for (uint32_t i = 0; i < w->n; i++) {
		const struct place_node *other = &w->seen[0][i];

		if (other->tier == w->seen[0][node].tier && place_judge(&request, other) == 0 &&
		    mine * 10 > (uint64_t)world_true_us(w, u, i) * 12)
			return false;
	}
	return true;
}

static void
watch(struct world *w, struct world_user *u, bool guesses, struct prng *r,
    struct people_result *out)
{
	uint32_t node = 0, was, moves = 0, entry = world_entry(w, u->town, r);

	if (!load_page(w, u, entry, guesses, r, &node))
		return;
	was = node;
	out->near_first += is_near(w, u, node);
	for (int i = 1; i < LOADS; i++) {
		change_loads(w, r);
		if (!load_page(w, u, entry, guesses, r, &node))
			sim_fail("a node that was fit is not any more");
		moves += node != was;
		was = node;
	}
	out->near_last += is_near(w, u, node);
	out->people++;
	out->loads += LOADS;
	out->moves += moves;
	out->by_moves[moves < MOVES_TOP ? moves : MOVES_TOP]++;
}

static void
people_run(const struct effort *e, uint32_t job, void *result)
{
	struct people_result *out = result;
	uint32_t size = size_of(e, job);
	struct prng r;
	struct world *w;

	prng_init(&r, e->seed, UINT64_C(0x300000000) + size);
	w = world_new(sim_sizes[size], e->people[size], &r);
	out->nodes = w->n;
	for (uint32_t i = 0; i < w->n_users; i++)
		watch(w, &w->users[i], e->guesses, &r, out);
	world_free(w);
}

/* At most one move in 200 loads: in the mean over all people, as thousandths of a move. */
static void
tell_one(const struct people_result *p, struct report *r)
{
	uint64_t per_mille = p->people ? p->moves * 1000 / p->people : 0;
	uint64_t above = 0;
	char what[REPORT_CELL_BYTES];

	for (uint32_t i = 2; i <= MOVES_TOP; i++)
		above += p->by_moves[i];
	report_line(r,
	    "| %u | %" PRIu64 " | %u | %u | %" PRIu64 " | %" PRIu64 ".%03" PRIu64 " | %" PRIu64
	    ".%" PRIu64 " %% | %" PRIu64 ".%" PRIu64 " %% |",
	    p->nodes, p->people, p->by_moves[0], p->by_moves[1], above, per_mille / 1000,
	    per_mille % 1000, per_million_of(p->near_first, p->people) / 10000,
	    per_million_of(p->near_first, p->people) / 1000 % 10,
	    per_million_of(p->near_last, p->people) / 10000,
	    per_million_of(p->near_last, p->people) / 1000 % 10);
	snprintf(what, sizeof(what), "moves per person in 200 page loads, %u nodes", p->nodes);
	report_bound(r, p->people > 0 && p->moves <= p->people, what, "<= 1",
	    "%" PRIu64 ".%03" PRIu64, per_mille / 1000, per_mille % 1000);
}

static void
people_tell(const struct effort *e, const unsigned char *results, uint32_t jobs, struct report *r)
{
	(void)e;
	report_section(r, "People who stay where they are");
	report_line(r,
	    "%d page loads each, with ±30 %% of jitter on every probe, the least of %d probes, and "
	    "the load of half of the nodes another each time. The page measures %d nodes at most, "
	    "and comes from the same node each time.\n",
	    LOADS, PROBES, MEASURED_MAX);
	report_line(r,
	    "| nodes | people | never moved | moved once | more often | moves per person | within 1.2x "
	    "at the first load | at the last |");
	report_line(r, "|---:|---:|---:|---:|---:|---:|---:|---:|");
	for (uint32_t job = 0; job < jobs; job++)
		tell_one(RESULT_OF(struct people_result, results, job), r);
}

const struct sim_part part_people = { "people", false, people_jobs, people_run, people_tell };
