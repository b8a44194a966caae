/* SPDX-License-Identifier: MIT */
/*
 * Days of whole fleets: requests by the hour of each town, nodes that die, drain and are cut off,
 * people and nodes that lie. A fleet that is too large to have all its sessions made one by one is
 * filled by a background of the same curve, and a sample of the sessions is made.
 */
#include "regress/sim/days.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "regress/sim/stats.h"

#define DAY_MS UINT64_C(86400000)
#define USE_PER_MILLE 450 /* of all seats, in the mean of a day */
#define TURNS_A_DAY 24    /* of a seat: the mean session takes an hour */
#define MEAN_DEMAND 600   /* per mille of the greatest, over a day: see weather.c */
#define USERS_PER_NODE 20
#define USERS_MAX 200000

/* The size of that job, and which of its fleets. */
static uint32_t
size_of(const struct effort *e, uint32_t job, uint32_t *world)
{
	uint32_t i = 0;

	for (;; i++) {
		uint32_t n = e->requests[i] > 0 ? e->worlds[i] : 0;

		if (job < n)
			break;
		job -= n;
	}
	*world = job;
	return i;
}

static uint32_t
days_jobs(const struct effort *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SIZES; i++)
		n += e->requests[i] > 0 ? e->worlds[i] : 0;
	return n;
}

static uint64_t
seats_of(const struct world *w)
{
	uint64_t seats = 0;

	for (uint32_t i = 0; i < w->n; i++)
		seats += w->seen[0][i].capacity.sessions;
	return seats;
}

static void
note_use(struct days *d, uint64_t seats)
{
	uint64_t used = 0, ppm;

	for (uint32_t i = 0; i < d->w->n; i++)
		used += weather_load(d, i).sessions;
	ppm = per_million_of(used, seats);
	if (ppm > d->out->used_ppm_peak)
		d->out->used_ppm_peak = ppm;
}

/* Somebody for whom it is the hour to work. */
static struct world_user *
someone(struct days *d)
{
	struct world_user *u;

	do
		u = &d->w->users[prng_below(&d->r, d->w->n_users)];
	while (prng_below(&d->r, 1000) >= weather_demand(d, u->town));
	return u;
}

static void
live(struct days *d, uint64_t requests)
{
	uint64_t seats = seats_of(d->w);
	uint64_t a_day = seats * TURNS_A_DAY * USE_PER_MILLE / 1000;
	uint64_t gap_us, now_us = 0;

	if (requests < a_day) {
		d->background = (uint32_t)(1000 * USE_PER_MILLE / MEAN_DEMAND * (a_day - requests) /
		    a_day);
		a_day = requests;
	}
	gap_us = DAY_MS * 1000 / (a_day ? a_day : 1);
	weather_begin(d);
	for (uint64_t i = 0; i < requests; i++) {
		now_us += prng_exponential(&d->r, gap_us);
		weather_move(d, now_us / 1000);
		request_serve(d, someone(d));
		if (i % (requests / 64 + 1) == 0)
			note_use(d, seats);
	}
	d->out->simulated_hours = d->now_ms / (DAY_MS / 24);
}

static void
days_run(const struct effort *e, uint32_t job, void *result)
{
	uint32_t world, size = size_of(e, job, &world), n = sim_sizes[size];
	uint64_t users = (uint64_t)n * USERS_PER_NODE;
	struct days d = { .out = result, .guesses = e->guesses };

	prng_init(&d.r, e->seed, UINT64_C(0x200000000) + world * SIZES + size);
	d.out->nodes = n;
	d.w = world_new(n, users > USERS_MAX ? USERS_MAX : (uint32_t)users, &d.r);
	live(&d, e->requests[size] / e->worlds[size]);
	events_free(&d.events);
	world_free(d.w);
}

/* --- what is told --- */

/* "12.34 %" */
static const char *
percent(uint64_t part, uint64_t whole, char out[24])
{
	uint64_t ppm = per_million_of(part, whole);

	if (whole == 0)
		snprintf(out, 24, "-");
	else
		snprintf(out, 24, "%" PRIu64 ".%02" PRIu64 " %%", ppm / 10000, ppm / 100 % 100);
	return out;
}

static uint32_t
ratio_at(const struct days_result *d, unsigned per_mille)
{
	uint64_t seen = 0;
	uint32_t i = 0;

	for (; i < RATIO_TOP; i++) {
		seen += d->ratio[i];
		if (seen > 0 && seen * 1000 >= d->judged * per_mille)
			break;
	}
	return i;
}

static void
tell_service(const struct days_result *d, struct report *r)
{
	char fog[24], near[24], any[24], unbound[24];
	uint32_t p99 = ratio_at(d, 990);

	report_line(r,
	    "| %u | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64
	    " | %s | %s | %s | %s | %u.%02u |",
	    d->nodes, d->requests, d->decisions, d->simulated_hours, d->broken,
	    percent(d->fog, d->served, fog), percent(d->near_class, d->judged, near),
	    percent(d->near_free, d->judged_free, unbound), percent(d->near_any, d->judged, any),
	    p99 / 100, p99 % 100);
}

static void
tell_refusals(const struct days_result *d, struct report *r)
{
	char with_room[24], peak[24];
	uint64_t full = d->refused[CAUSE_FULL];
	uint64_t free_ppm = full ? d->full_free_ppm_sum / full : 0;

	report_line(r,
	    "| %u | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64
	    " | %s | %s | %" PRIu64 ".%02" PRIu64 " %% |",
	    d->nodes, d->refused[CAUSE_POLICY], d->refused[CAUSE_HEALTH], full,
	    d->refused[CAUSE_TRIED], d->refused[CAUSE_LATE],
	    percent(d->used_ppm_peak, 1000000, peak), percent(d->full_with_room, full, with_room),
	    free_ppm / 10000, free_ppm / 100 % 100);
}

static void
tell_moves(const struct days_result *d, struct report *r)
{
	char free_moves[24], forced[24];

	report_line(r,
	    "| %u | %" PRIu64 " | %s | %s | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64
	    " | %" PRIu64 " | %" PRIu64 " |",
	    d->nodes, d->returns, percent(d->moves_free, d->returns, free_moves),
	    percent(d->moves_forced, d->returns, forced), d->deaths, d->drains, d->cuts,
	    d->lost_sessions, d->tries_dead, d->tries_full);
}

struct table {
	const char *intro, *head, *rule;
	void (*tell)(const struct days_result *d, struct report *r);
};

static const struct table tables[] = {
	{ "Each decision was held against the independent checker. The latency is the true one of "
	  "the node that took the session, against the best node that was fit then, of the same "
	  "class (fog; the fallback region; other cloud), and of any class. Requests with a hint and "
	  "of people who lie are not in it.",
	    "| nodes | requests | decisions | simulated hours | broken rules | served by fog | within "
	    "1.2x of the best | without constraints | of any class | ratio p99 |",
	    "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|", tell_service },
	{ "Refusals by the first step that no node passes; and what room there was really when the "
	  "answer was \"full\": this node hears of each other one only every so often.",
	    "| nodes | policy permits none | unreachable or draining | full | all tried | deadline | "
	    "seats in use, peak | full, but one had room | seats free then |",
	    "|---:|---:|---:|---:|---:|---:|---:|---:|---:|", tell_refusals },
	{ "Moves of people who were placed before; and what happened to the nodes. \"Tried in vain\" "
	  "are nodes that were chosen and were dead or cut off already, or were full already.",
	    "| nodes | returns | moved by choice | moved because it was not fit | deaths | drains | "
	    "partitions | sessions lost | tried in vain: gone | full |",
	    "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|", tell_moves },
};

static void
judge(const struct days_result *all, struct report *r)
{
	char near[24];

	report_bound(r, all->broken == 0 && all->decisions > 0,
	    "broken rules, days of whole fleets", "0", "%" PRIu64 " of %" PRIu64 "%s%s",
	    all->broken, all->decisions, *all->wrong ? ": " : "", all->wrong);
	report_bound(r, all->judged > 0 && all->near_class * 100 >= all->judged * 95,
	    "requests served within 1.2x of the best latency", ">= 95 %", "%s",
	    percent(all->near_class, all->judged, near));
}

/* Every count of it; the peak is the greatest. */
static void
sum_up(struct days_result *all, const struct days_result *one)
{
	uint64_t *to = &all->simulated_hours;
	const uint64_t *from = &one->simulated_hours;
	uint64_t peak = all->used_ppm_peak;

	for (size_t i = 0; i < DAYS_COUNTS; i++)
		to[i] += from[i];
	for (size_t i = 0; i <= RATIO_TOP; i++)
		all->ratio[i] += one->ratio[i];
	all->used_ppm_peak = peak > one->used_ppm_peak ? peak : one->used_ppm_peak;
	all->nodes = one->nodes;
	if (!*all->wrong)
		memcpy(all->wrong, one->wrong, sizeof(all->wrong));
}

static void
days_tell(const struct effort *e, const unsigned char *results, uint32_t jobs, struct report *r)
{
	struct days_result all = { 0 }, by_size[SIZES] = { 0 };
	uint32_t world;

	for (uint32_t job = 0; job < jobs; job++) {
		const struct days_result *one = RESULT_OF(struct days_result, results, job);

		sum_up(&all, one);
		sum_up(&by_size[size_of(e, job, &world)], one);
	}
	judge(&all, r);
	report_section(r, "Days of whole fleets");
	report_line(r, "%" PRIu64 " requests in all; of the smaller sizes, to several fleets.",
	    all.requests);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		report_line(r, "\n%s\n\n%s\n%s", tables[i].intro, tables[i].head, tables[i].rule);
		for (uint32_t size = 0; size < SIZES; size++) {
			if (by_size[size].requests > 0)
				tables[i].tell(&by_size[size], r);
		}
	}
}

const struct sim_part part_days = { "days", false, days_jobs, days_run, days_tell };
