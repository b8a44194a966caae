/* SPDX-License-Identifier: MIT */
/*
 * The failure detector in virtual time: every node of a fleet runs fleet.c and asks the others over
 * a network that loses. How long is it until a dead node is out for each of the others, and how
 * often is one out that lives?
 */
#include "placerd/fleet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "regress/sim/events.h"
#include "regress/sim/prng.h"
#include "regress/sim/sim.h"
#include "regress/sim/stats.h"

#define NODES_SIZES 3  /* of sim_sizes */
#define VICTIMS_OF 125 /* one dies at a time in so many nodes */
#define WATCH_MS 60000 /* a death, at most */
#define ROUNDS_TO_SETTLE 2
#define RTT_MIN_MS 2
#define RTT_MAX_MS 150
#define RTO_FIRST_MS 1000 /* of a SYN: RFC 6298 2.1 */
#define RTO_MIN_MS 200    /* as Linux has it */
#define EXCHANGES 3       /* TCP, TLS 1.3, the request: on a new connection */
#define KEPT_MS 55000     /* as fetcher/transfer.c keeps one: then it is the request alone */
#define RETRIES_MAX 4

enum loss_kind { LOSS_OF_PROBES, LOSS_OF_PACKETS };

static const struct setting {
	enum loss_kind kind;
	uint32_t per_million;
} settings[] = {
	{ LOSS_OF_PROBES, 0 },
	{ LOSS_OF_PROBES, 10000 },
	{ LOSS_OF_PROBES, 50000 },
	{ LOSS_OF_PROBES, 100000 },
	{ LOSS_OF_PACKETS, 10000 },
	{ LOSS_OF_PACKETS, 50000 },
	{ LOSS_OF_PACKETS, 100000 },
};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

struct detector_result {
	uint32_t nodes, setting;
	uint64_t deaths, observers, seen; /* pairs; those by which it was out within WATCH_MS */
	uint64_t in_time;                 /* within FLEET_DEAD_MS */
	struct summary first_ms, out_ms;  /* of a death: the first to know; of a pair */
	uint64_t probes, false_alarms;    /* in the calm */
	uint64_t opened;                  /* likewise, the probes that made a new connection */
	uint64_t node_seconds;
	uint32_t busiest; /* probes of one node in one second */
};
_Static_assert(sizeof(struct detector_result) <= JOB_RESULT_BYTES, "a result has its room");

enum event_kind { ASK, ARRIVES, HEARD, LOST };

/* A probe on its way there, and back as its answer, with whom its sender has lost. */
struct flight {
	uint32_t asker, asked, back_ms;
	uint64_t asked_ms;
	size_t n, suspects[FLEET_SUSPECTS_MAX];
	uint32_t next_free; /* its own place: it is in the air */
};
#define NO_FLIGHT UINT32_MAX

struct member {
	struct fleet *fleet;
	bool is_dead;
	uint64_t born_ms; /* what it asked before is nothing to it */
	uint32_t wakes;   /* the number of the ASK that counts */
	uint64_t second, probes_in_second;
};

struct detector {
	uint32_t n;
	const struct setting *setting;
	struct member *members;
	uint32_t *heard_ms; /* by asker and asked: when an answer came */
	struct events events;
	struct flight *flights;
	uint32_t n_flights, free_flight;
	struct prng r;
	uint64_t now_ms;
	bool is_calm;
	uint64_t died_ms;
	uint32_t observers_left;
	bool first_is_known;
	struct samples first_ms, out_ms;
	struct detector_result *out;
};

/* --- the network --- */

static uint32_t
rtt_ms(struct detector *d, uint32_t a, uint32_t b)
{
	uint64_t pair = a < b ? (uint64_t)a << 32 | b : (uint64_t)b << 32 | a;
	uint32_t base = RTT_MIN_MS +
	    (uint32_t)(prng_mix(pair + 77) >> 40) % (RTT_MAX_MS - RTT_MIN_MS);

	return base * prng_between(&d->r, 70, 130) / 100 + 1;
}

/* There and back, with as many repeats as the losses make. */
static uint32_t
exchange_ms(struct detector *d, uint32_t rtt, bool is_first)
{
	uint32_t took = rtt, rto = is_first ? RTO_FIRST_MS : RTO_MIN_MS + rtt;

	for (int i = 0; i < RETRIES_MAX; i++) {
		if (!prng_chance(&d->r, d->setting->per_million) &&
		    !prng_chance(&d->r, d->setting->per_million))
			break;
		took += rto;
		rto *= 2;
	}
	return took;
}

static bool
is_kept(const struct detector *d, uint32_t asker, uint32_t asked)
{
	uint32_t heard_ms = d->heard_ms[(size_t)asker * d->n + asked];

	return heard_ms != 0 && d->now_ms - heard_ms <= KEPT_MS;
}

/* UINT32_MAX: no answer. */
static uint32_t
answer_ms(struct detector *d, uint32_t asker, uint32_t asked, uint32_t rtt)
{
	int exchanges = is_kept(d, asker, asked) ? 1 : EXCHANGES;
	uint32_t took = 0;

	if (d->members[asked].is_dead)
		return UINT32_MAX;
	if (d->setting->kind == LOSS_OF_PROBES)
		return prng_chance(&d->r, d->setting->per_million) ? UINT32_MAX
								   : (uint32_t)exchanges * rtt;
	for (int i = 0; i < exchanges; i++)
		took += exchange_ms(d, rtt, exchanges > 1 && i == 0);
	return took;
}

/* --- flights --- */

static uint32_t
take_flight(struct detector *d)
{
	uint32_t at = d->free_flight;

	if (at == NO_FLIGHT) {
		uint32_t more = d->n_flights ? d->n_flights : 1024;

		d->flights = sim_resize(d->flights, d->n_flights + more, sizeof(*d->flights));
		for (at = d->n_flights; at < d->n_flights + more; at++) {
			d->flights[at].next_free = d->free_flight;
			d->free_flight = at;
		}
		d->n_flights += more;
		at = d->free_flight;
	}
	d->free_flight = d->flights[at].next_free;
	return at;
}

static void
land(struct detector *d, uint32_t at)
{
	d->flights[at].next_free = d->free_flight;
	d->free_flight = at;
}

/* --- asking --- */

static void
add(struct detector *d, enum event_kind kind, uint32_t asker, uint32_t asked, uint32_t in_ms,
    uint64_t asked_ms)
{
	struct event e = { .at_ms = d->now_ms + in_ms,
		.kind = kind,
		.node = asker,
		.life = asked,
		.cpu_milli = in_ms,
		.memory_bytes = asked_ms };

	events_add(&d->events, &e);
}

static void
count_probe(struct detector *d, struct member *m)
{
	uint64_t second = d->now_ms / 1000;

	if (m->second != second) {
		m->second = second;
		m->probes_in_second = 0;
	}
	m->probes_in_second++;
	if (m->probes_in_second > d->out->busiest)
		d->out->busiest = (uint32_t)m->probes_in_second;
}

static void
ask(struct detector *d, uint32_t asker, uint32_t asked, uint32_t timeout_ms)
{
	uint32_t rtt = rtt_ms(d, asker, asked), took = answer_ms(d, asker, asked, rtt), at;
	struct flight *flight;

	count_probe(d, &d->members[asker]);
	d->out->probes += d->is_calm;
	d->out->opened += d->is_calm && !is_kept(d, asker, asked);
	add(d, LOST, asker, asked, timeout_ms, d->now_ms); /* nothing, when it is heard first */
	if (took > FLEET_ANSWER_MAX_MS)
		return;
	at = take_flight(d);
	flight = &d->flights[at];
	*flight = (struct flight){ .asker = asker,
		.asked = asked,
		.back_ms = rtt / 2,
		.asked_ms = d->now_ms };
	flight->n = fleet_suspects(d->members[asker].fleet, flight->suspects);
	add(d, ARRIVES, asked, at, took - rtt / 2, d->now_ms);
}

/* All that is due now; and when to come again. */
static void
ask_all(struct detector *d, uint32_t asker)
{
	struct member *m = &d->members[asker];
	uint32_t ms = 0;
	size_t asked;

	while ((asked = fleet_next(m->fleet, d->now_ms, &ms)) != SIZE_MAX)
		ask(d, asker, (uint32_t)asked, ms);
	add(d, ASK, asker, ++m->wakes, ms ? ms : 1, 0);
}

/* --- what comes of it --- */

static void
note_out(struct detector *d, uint32_t node)
{
	uint32_t ms = (uint32_t)(d->now_ms - d->died_ms);

	if (!d->members[node].is_dead) {
		d->out->false_alarms += d->is_calm;
		return;
	}
	if (d->is_calm || ms > WATCH_MS)
		return;
	samples_add(&d->out_ms, ms);
	d->out->seen++;
	d->out->in_time += ms <= FLEET_DEAD_MS;
	d->observers_left--;
	if (!d->first_is_known)
		samples_add(&d->first_ms, ms);
	d->first_is_known = true;
}

/* Where it was not known to be there, nothing is lost. */
static void
take_changes(struct detector *d, struct fleet *f)
{
	enum node_state was, is;
	size_t node;

	while (fleet_take_change(f, &node, &was, &is)) {
		if (is == NODE_DOWN && was != NODE_UNKNOWN)
			note_out(d, (uint32_t)node);
	}
}

static void
take_hints(struct detector *d, struct fleet *f, uint32_t by, const struct flight *flight)
{
	for (size_t i = 0; i < flight->n; i++)
		fleet_hinted(f, flight->suspects[i], by, d->now_ms);
}

static void
be_asked(struct detector *d, struct fleet *f, uint32_t at)
{
	struct flight *flight = &d->flights[at];

	fleet_seen(f, flight->asker, d->now_ms);
	take_hints(d, f, flight->asker, flight);
	flight->n = fleet_suspects(f, flight->suspects);
	add(d, HEARD, flight->asker, at, flight->back_ms, flight->asked_ms);
}

static void
hear(struct detector *d, struct fleet *f, uint32_t at)
{
	struct fleet_report report = { .is_ready = true, .version = 1 };
	const struct flight *flight = &d->flights[at];

	fleet_heard(f, flight->asked, &report, (uint32_t)(d->now_ms - flight->asked_ms), d->now_ms);
	take_hints(d, f, flight->asked, flight);
	d->heard_ms[(size_t)flight->asker * d->n + flight->asked] = (uint32_t)d->now_ms;
	land(d, at);
}

/* Nobody is there for it: not the one that it goes to, nor the one that has sent it. */
static bool
is_void(const struct detector *d, const struct event *e)
{
	const struct member *m = &d->members[e->node];

	switch ((enum event_kind)e->kind) {
	case ASK:
		return m->is_dead || e->life != m->wakes;
	case HEARD:
		return m->is_dead || e->memory_bytes < m->born_ms ||
		    d->members[d->flights[e->life].asked].is_dead;
	case LOST:
		return m->is_dead || e->memory_bytes < m->born_ms ||
		    e->memory_bytes < d->heard_ms[(size_t)e->node * d->n + e->life];
	default:
		return m->is_dead;
	}
}

static void
happen(struct detector *d, const struct event *e)
{
	struct member *m = &d->members[e->node];

	if (is_void(d, e)) {
		if (e->kind == ARRIVES || e->kind == HEARD)
			land(d, e->life);
		return;
	}
	if (e->kind == ARRIVES)
		be_asked(d, m->fleet, e->life);
	else if (e->kind == HEARD)
		hear(d, m->fleet, e->life);
	else if (e->kind == LOST)
		fleet_lost(m->fleet, e->life, d->now_ms);
	take_changes(d, m->fleet);
	ask_all(d, e->node);
}

static void
run_until(struct detector *d, uint64_t ms)
{
	struct event e;

	while (events_take(&d->events, ms, &e)) {
		d->now_ms = e.at_ms;
		happen(d, &e);
		if (!d->is_calm && d->observers_left == 0 && d->died_ms != 0)
			return;
	}
	d->now_ms = ms;
}

/* --- a fleet's life --- */

/* So that each has heard of each, and the alarm about who has come is over. */
static uint64_t
settle_ms(const struct detector *d)
{
	return FLEET_ALARM_MS + 10000 +
	    (uint64_t)d->n * 1000 / FLEET_PROBES_PER_SECOND * ROUNDS_TO_SETTLE;
}

/* It starts anew, and knows nothing. */
static void
revive(struct detector *d, uint32_t node)
{
	struct member *m = &d->members[node];

	fleet_free(m->fleet);
	m->fleet = fleet_new(d->n, node, prng_next(&d->r), d->now_ms);
	if (!m->fleet)
		sim_fail("no memory for a fleet of %u nodes", d->n);
	m->is_dead = false;
	m->born_ms = d->now_ms;
	for (uint32_t i = 0; i < d->n; i++)
		d->heard_ms[(size_t)node * d->n + i] = 0;
	ask_all(d, node);
}

/* Of the living, those for whom it is there. */
static uint32_t
count_observers(const struct detector *d, uint32_t node)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < d->n; i++) {
		enum node_state is = fleet_state(d->members[i].fleet, node, d->now_ms);

		count += !d->members[i].is_dead && is != NODE_DOWN && is != NODE_UNKNOWN;
	}
	return count;
}

static void
watch_deaths(struct detector *d, uint32_t episodes)
{
	uint32_t victims = d->n / VICTIMS_OF > 1 ? d->n / VICTIMS_OF : 1;

	for (uint32_t i = 0; i < episodes; i++) {
		uint32_t first = prng_below(&d->r, d->n);

		d->died_ms = d->now_ms;
		d->first_is_known = false;
		d->observers_left = 0;
		for (uint32_t k = 0; k < victims; k++)
			d->members[(first + k * VICTIMS_OF) % d->n].is_dead = true;
		for (uint32_t k = 0; k < victims; k++)
			d->observers_left += count_observers(d, (first + k * VICTIMS_OF) % d->n);
		d->out->deaths += victims;
		d->out->observers += d->observers_left;
		run_until(d, d->now_ms + WATCH_MS);
		d->died_ms = 0;
		for (uint32_t k = 0; k < victims; k++)
			revive(d, (first + k * VICTIMS_OF) % d->n);
		run_until(d, d->now_ms + settle_ms(d));
	}
}

static void
begin(struct detector *d, uint64_t seed)
{
	d->members = sim_zeroed(d->n, sizeof(*d->members));
	d->heard_ms = sim_zeroed((size_t)d->n * d->n, sizeof(*d->heard_ms));
	d->now_ms = 1000;
	d->free_flight = NO_FLIGHT;
	for (uint32_t i = 0; i < d->n; i++) {
		d->members[i].fleet = fleet_new(d->n, i, prng_mix(seed + i + 1), d->now_ms);
		if (!d->members[i].fleet)
			sim_fail("no memory for a fleet of %u nodes", d->n);
	}
	for (uint32_t i = 0; i < d->n; i++)
		ask_all(d, i);
	run_until(d, settle_ms(d));
}

static void
end(struct detector *d)
{
	d->out->first_ms = samples_summary(&d->first_ms);
	d->out->out_ms = samples_summary(&d->out_ms);
	samples_free(&d->first_ms);
	samples_free(&d->out_ms);
	for (uint32_t i = 0; i < d->n; i++)
		fleet_free(d->members[i].fleet);
	free(d->members);
	free(d->heard_ms);
	free(d->flights);
	events_free(&d->events);
}

static uint32_t
detector_jobs(const struct effort *e)
{
	uint32_t n = 0;

	while (n < NODES_SIZES && sim_sizes[n] <= e->detector_nodes)
		n++;
	return n * SETTINGS;
}

static void
detector_run(const struct effort *e, uint32_t job, void *result)
{
	struct detector d = { .out = result };
	uint32_t victims;

	d.n = sim_sizes[job / SETTINGS];
	d.setting = &settings[job % SETTINGS];
	d.out->nodes = d.n;
	d.out->setting = job % SETTINGS;
	prng_init(&d.r, e->seed, UINT64_C(0x600000000) + job);
	begin(&d, e->seed + job);
	d.is_calm = true;
	run_until(&d, d.now_ms + (uint64_t)e->detector_calm_s * 1000);
	d.out->node_seconds = (uint64_t)d.n * e->detector_calm_s;
	d.is_calm = false;
	victims = d.n / VICTIMS_OF > 1 ? d.n / VICTIMS_OF : 1;
	watch_deaths(&d, e->detector_deaths / victims);
	end(&d);
}

/* --- what is told --- */

static void
tell_one(const struct detector_result *d, struct report *r)
{
	const struct setting *s = &settings[d->setting];
	uint64_t alarms = per_million_of(d->false_alarms, d->probes);
	uint64_t in_time = per_million_of(d->in_time, d->observers);
	uint64_t rate = d->node_seconds ? d->probes * 100 / d->node_seconds : 0;
	uint64_t opened = d->node_seconds ? d->opened * 100 / d->node_seconds : 0;

	report_line(r,
	    "| %u | %u %% of %s | %" PRIu64 " | %u | %u | %u | %u | %" PRIu64 ".%" PRIu64
	    " %% | %" PRIu64 ".%02" PRIu64 " | %" PRIu64 ".%02" PRIu64 " | %u | %" PRIu64
	    " | %" PRIu64 " | %" PRIu64 " |",
	    d->nodes, s->per_million / 10000, s->kind == LOSS_OF_PROBES ? "probes" : "packets",
	    d->deaths, d->first_ms.p50, d->out_ms.p50, d->out_ms.p99, d->out_ms.max,
	    in_time / 10000, in_time / 1000 % 10, rate / 100, rate % 100, opened / 100,
	    opened % 100, d->busiest, d->probes, d->false_alarms, alarms);
}

/* In the calm of a large fleet, of one node in 100 s. */
#define CALM_PER_100_S \
	(100 * FLEET_WATCHED + 100 * 1000 / FLEET_CALM_EVERY_MS + \
	    (FLEET_NEAR - FLEET_WATCHED) * 100 * 1000 / FLEET_NEAR_EVERY_MS)

static void
judge(const struct detector_result *d, struct report *r)
{
	const struct setting *s = &settings[d->setting];
	char what[REPORT_CELL_BYTES], limit[REPORT_CELL_BYTES];

	snprintf(limit, sizeof(limit), "<= %d ms", FLEET_DEAD_MS);
	if (s->kind == LOSS_OF_PROBES && s->per_million <= 50000) {
		snprintf(what, sizeof(what),
		    "a dead node is out at all others, %u nodes, %u %% of probes lost", d->nodes,
		    s->per_million / 10000);
		report_bound(r, d->seen == d->observers && d->out_ms.max <= FLEET_DEAD_MS, what,
		    limit, "%u ms at most", d->out_ms.max);
	}
	if (s->per_million == 0 && d->nodes > FLEET_SMALL) {
		snprintf(what, sizeof(what), "probes of one node in the calm, %u nodes", d->nodes);
		snprintf(limit, sizeof(limit), "<= %d in 100 s", CALM_PER_100_S * 11 / 10);
		report_bound(r, d->probes <= d->node_seconds * CALM_PER_100_S * 11 / 1000, what,
		    limit, "%" PRIu64 " in %" PRIu64 " s of all nodes", d->probes, d->node_seconds);
	}
	if (s->kind == LOSS_OF_PROBES && s->per_million <= 50000) {
		snprintf(what, sizeof(what), "wrongly out, %u nodes, %u %% of probes lost",
		    d->nodes, s->per_million / 10000);
		report_bound(r, per_million_of(d->false_alarms, d->probes) <= 1, what,
		    "<= 1 in 10^6 probes", "%" PRIu64 " in %" PRIu64, d->false_alarms, d->probes);
	}
}

static void
detector_tell(const struct effort *e, const unsigned char *results, uint32_t jobs, struct report *r)
{
	(void)e;
	report_section(r, "The failure detector");
	report_line(r,
	    "Every node asks the others in virtual time (at most %d a second in turn; in a fleet of "
	    "more than %d nodes one each %d s, but for %d s after trouble, and %d of them once a second and %d "
	    "more each %d s), round trips from %d to %d ms. Either so many probes are lost without an "
	    "answer, or so many packets of them, which TCP sends again: a probe is a new connection "
	    "of three exchanges, or one exchange where the last answer is at most %d s old. A death "
	    "is timed for each of the other nodes that had heard of the dead one; one node in %d "
	    "dies at the same time.\n",
	    FLEET_PROBES_PER_SECOND, FLEET_SMALL, FLEET_CALM_EVERY_MS / 1000, FLEET_ALARM_MS / 1000,
	    FLEET_WATCHED, FLEET_NEAR - FLEET_WATCHED, FLEET_NEAR_EVERY_MS / 1000, RTT_MIN_MS,
	    RTT_MAX_MS, KEPT_MS / 1000, VICTIMS_OF);
	report_line(r,
	    "| nodes | loss | deaths | first out p50, ms | out p50 | p99 | max | within 5 s | probes "
	    "a node and second | on new connections | in one second, most | probes in the calm | "
	    "wrongly out | in 10^6 probes |");
	report_line(r, "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
	for (uint32_t job = 0; job < jobs; job++) {
		tell_one(RESULT_OF(struct detector_result, results, job), r);
		judge(RESULT_OF(struct detector_result, results, job), r);
	}
}

const struct sim_part part_detector = { "detector", false, detector_jobs, detector_run,
	detector_tell };
