/* SPDX-License-Identifier: MIT */
/*
 * What a decision costs, by the size of the fleet, and what policy costs by the number of profiles.
 * Time is that of this thread on the processor, so that what else the machine does is not in it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "placerd/place.h"
#include "placerd/policy.h"
#include "placerd/yaml.h"
#include "regress/sim/prng.h"
#include "regress/sim/sim.h"
#include "regress/sim/stats.h"
#include "regress/sim/world.h"

#define SIZES_TIMED 4
#define CALLS_MIN 200
#define CALLS_MAX 20000
#define SHORT_CALL_NODES 1000 /* below it, so many calls as visit so many are timed at once */
#define USERS 1000
#define PROFILES_MADE 1000
#define POLICY_CALLS 20000
#define POLICY_BATCH 16
#define DECISION_NS 1000000 /* at DECISION_NODES */
#define DECISION_NODES 10000
#define POLICY_NS 50000

static const uint32_t sizes[SIZES_TIMED] = { 100, 1000, 10000, 100000 };

struct speed_result {
	struct summary ns[SIZES_TIMED];
	struct summary policy_ns;
	uint32_t profiles;
	char policy_error[256];
};
_Static_assert(sizeof(struct speed_result) <= JOB_RESULT_BYTES, "a result has its room");

static uint64_t
thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- decisions --- */

/* Loads of all kinds, and one node in twenty that is out of it. */
static void
fill(struct world *w, struct prng *r)
{
	for (uint32_t i = 0; i < w->n; i++) {
		struct place_node *node = &w->seen[0][i];

		node->load.sessions = prng_below(r, node->capacity.sessions + 1);
		node->load.memory_bytes = node->capacity.memory_bytes * prng_below(r, 100) / 100;
		if (prng_chance(r, PER_MILLION / 20))
			node->state = NODE_DOWN;
	}
}

static void
time_calls(struct world *w, uint32_t calls, struct prng *r, struct samples *out)
{
	uint32_t batch = w->n < SHORT_CALL_NODES ? SHORT_CALL_NODES / w->n : 1;
	struct measure measured[SAID_MAX];
	struct place_choice choice;

	for (uint32_t i = 0; i < calls; i++) {
		struct world_user *u = &w->users[prng_below(r, w->n_users)];
		uint32_t entry = world_entry(w, u->town, r);
		uint32_t n = world_measure(w, u, entry, r, measured);
		struct place_request request;
		uint64_t start;

		world_request(w, u, &request);
		world_hold(u, w->seen[0], &request);
		world_set_latencies(w->seen[0], measured, n);
		world_guess(w, entry, r, w->seen[0]);
		start = thread_ns();
		for (uint32_t k = 0; k < batch; k++)
			place_choose(&request, w->seen[0], w->n, &choice);
		samples_add(out, (thread_ns() - start) / batch);
		world_clear_latencies(w, w->seen[0]);
		if (choice.n_fit)
			u->hold = hold_after(&u->hold, &request, w->seen[0], choice.fit[0].node);
	}
}

static struct summary
time_decisions(const struct effort *e, uint32_t n)
{
	uint64_t calls = e->speed_visits / n;
	struct samples ns = { 0 };
	struct summary summary;
	struct prng r;
	struct world *w;

	prng_init(&r, e->seed, UINT64_C(0x400000000) + n);
	w = world_new(n, USERS, &r);
	fill(w, &r);
	if (calls < CALLS_MIN)
		calls = CALLS_MIN;
	time_calls(w, calls > CALLS_MAX ? CALLS_MAX : (uint32_t)calls, &r, &ns);
	summary = samples_summary(&ns);
	samples_free(&ns);
	world_free(w);
	return summary;
}

/* --- policy --- */

static struct policy *
make_policy(uint32_t profiles, char *err, size_t err_size)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct policy *policy;

	if (!out)
		sim_fail("no memory");
	fputs("profiles:\n", out);
	for (uint32_t i = 0; i < profiles; i++)
		fprintf(out,
		    "  - name: profile-%u\n    cpu: \"500m\"\n    memory: \"512Mi\"\n"
		    "    storage: \"1Gi\"\n    max_ttl_seconds: 3600\n    max_sessions: 3\n"
		    "    allowed_groups: [ \"group-%u\", \"staff\" ]\n",
		    i, i);
	fclose(out);
	policy = policy_new_from_yaml("made-up.yaml", text, len, err, err_size);
	free(text);
	return policy;
}

/* As packed as in a record: u16 length, bytes. */
static struct view
pack_group(const char *name, char out[64])
{
	size_t len = strlen(name);

	out[0] = 0;
	out[1] = (char)len;
	memcpy(out + 2, name, len);
	return view_bytes(out, len + 2);
}

static void
time_policy(const struct policy *policy, uint32_t profiles, struct prng *r, struct samples *ns)
{
	struct policy_decision decision;
	char packed[64], name[POLICY_NAME_MAX_BYTES];

	for (uint32_t i = 0; i < POLICY_CALLS; i++) {
		struct policy_identity who = { view_of("https://id.example"), view_of("someone"),
			pack_group(i % 2 ? "staff" : "others", packed) };
		struct policy_request request = { .profile = view_of(name), .ttl_seconds = 600 };
		uint64_t start;

		snprintf(name, sizeof(name), "profile-%u", prng_below(r, profiles + 10));
		request.profile = view_of(name);
		start = thread_ns();
		for (int k = 0; k < POLICY_BATCH; k++)
			policy_admit(policy, &who, &request, 0, &decision);
		samples_add(ns, (thread_ns() - start) / POLICY_BATCH);
	}
}

static void
measure_policy(const struct effort *e, struct speed_result *out)
{
	struct policy *policy;
	struct samples ns = { 0 };
	struct prng r;

	prng_init(&r, e->seed, UINT64_C(0x500000000));
	out->profiles = PROFILES_MADE;
	policy = make_policy(PROFILES_MADE, out->policy_error, sizeof(out->policy_error));
	if (!policy)
		return;
	time_policy(policy, PROFILES_MADE, &r, &ns);
	out->policy_ns = samples_summary(&ns);
	samples_free(&ns);
	policy_free(policy);
}

/* --- the part --- */

static uint32_t
speed_jobs(const struct effort *e)
{
	(void)e;
	return 1;
}

static void
speed_run(const struct effort *e, uint32_t job, void *result)
{
	struct speed_result *out = result;

	(void)job;
	for (uint32_t i = 0; i < SIZES_TIMED; i++)
		out->ns[i] = time_decisions(e, sizes[i]);
	measure_policy(e, out);
}

/* n log n from one size to the next: times ten and the quotient of the logarithms, in hundredths. */
static uint64_t
growth_allowed(uint32_t i)
{
	uint32_t digits = i + 3; /* log10 of sizes[i + 1] */

	return 10 * 100 * digits / (digits - 1);
}

static void
judge_growth(const struct effort *e, const struct speed_result *s, struct report *r)
{
	uint64_t slack = e->slack < 200 ? e->slack : 200;
	/* Past the caches each node costs more, however simple the function: half as much again. */
	uint64_t allowed = growth_allowed(1) * growth_allowed(2) / 100 * 3 / 2 * slack / 100;
	uint64_t found = s->ns[1].p50 ? (uint64_t)s->ns[3].p50 * 100 / s->ns[1].p50 : UINT32_MAX;
	char limit[REPORT_CELL_BYTES];

	snprintf(limit, sizeof(limit), "<= %" PRIu64 "x (n log n, and the caches)", allowed / 100);
	report_bound(r, found <= allowed, "growth of the time from 1,000 to 100,000 nodes", limit,
	    "%" PRIu64 "x", found / 100);
}

static void
judge_times(const struct effort *e, const struct speed_result *s, struct report *r)
{
	uint64_t decision = (uint64_t)DECISION_NS * e->slack / 100;
	uint64_t policy = (uint64_t)POLICY_NS * e->slack / 100;
	char limit[REPORT_CELL_BYTES];

	snprintf(limit, sizeof(limit), "<= %" PRIu64 " us", decision / 1000);
	report_bound(r, s->ns[2].p99 <= decision, "a decision at 10,000 nodes, p99", limit, "%u us",
	    s->ns[2].p99 / 1000);
	snprintf(limit, sizeof(limit), "<= %" PRIu64 " us", policy / 1000);
	if (s->policy_ns.n == 0)
		report_bound(r, false, "policy with 1,000 profiles, p99", limit, "%s",
		    s->policy_error);
	else
		report_bound(r, s->policy_ns.p99 <= policy, "policy with 1,000 profiles, p99",
		    limit, "%u.%02u us", s->policy_ns.p99 / 1000, s->policy_ns.p99 / 10 % 100);
}

static void
speed_tell(const struct effort *e, const unsigned char *results, uint32_t jobs, struct report *r)
{
	const struct speed_result *s = RESULT_OF(struct speed_result, results, 0);

	(void)jobs;
	judge_times(e, s, r);
	judge_growth(e, s, r);
	report_section(r, "What a decision costs");
	report_line(r,
	    "place_choose alone, of one thread, with nothing else of the simulator running. %u "
	    "profiles: policy_admit takes %u ns in the middle and %u ns at p99.\n",
	    s->profiles, s->policy_ns.p50, s->policy_ns.p99);
	report_line(r,
	    "| nodes | decisions | p50 | p99 | per node, p50 |\n|---:|---:|---:|---:|---:|");
	for (uint32_t i = 0; i < SIZES_TIMED; i++)
		report_line(r, "| %u | %" PRIu64 " | %u.%01u us | %u.%01u us | %u ns |", sizes[i],
		    s->ns[i].n, s->ns[i].p50 / 1000, s->ns[i].p50 / 100 % 10, s->ns[i].p99 / 1000,
		    s->ns[i].p99 / 100 % 10, s->ns[i].p50 / sizes[i]);
}

const struct sim_part part_speed = { "speed", true, speed_jobs, speed_run, speed_tell };
