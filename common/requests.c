/* SPDX-License-Identifier: MIT */
/* Pending requests: an RB-free hash of chains, one timer for all deadlines. See requests.h. */
#include "common/requests.h"

#include <stdbool.h>
#include <stdlib.h>

#include <event2/event.h>

#include "common/mono.h"

#define BUCKETS 256 /* power of two */
#define SWEEP_MS 100

struct entry {
	struct request r; /* first: callers hold a pointer to it */
	struct entry *next;
	bool is_late;
};

struct requests {
	struct entry *buckets[BUCKETS];
	size_t count, max;
	request_lost lost;
	void *ctx;
	struct event *sweep;
};

static struct entry **
slot_of(struct requests *rs, uint64_t id)
{
	return &rs->buckets[(id ^ id >> 32) & (BUCKETS - 1)];
}

static void
mark_until(struct requests *rs, uint64_t now_ms)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct entry *e = rs->buckets[i]; e; e = e->next)
			e->is_late = e->r.deadline_mono_ms <= now_ms;
	}
}

static struct entry *
take_late(struct requests *rs, struct entry **at)
{
	struct entry *e;

	while (*at && !(*at)->is_late)
		at = &(*at)->next;
	e = *at;
	if (e) {
		*at = e->next;
		rs->count--;
	}
	return e;
}

/*
 * Removes each entry past the deadline (UINT64_MAX: every one), telling its owner, who may add,
 * remove or clear others: no place in a chain is kept across that.
 */
static void
lose_until(struct requests *rs, uint64_t now_ms, int error)
{
	struct entry *e;

	mark_until(rs, now_ms);
	for (size_t i = 0; i < BUCKETS; i++) {
		while ((e = take_late(rs, &rs->buckets[i]))) {
			rs->lost(rs->ctx, &e->r, error);
			free(e);
		}
	}
}

static void
arm(struct requests *rs)
{
	static const struct timeval every = { .tv_usec = SWEEP_MS * 1000 };

	if (rs->count > 0 && !event_pending(rs->sweep, EV_TIMEOUT, NULL))
		event_add(rs->sweep, &every);
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct requests *rs = arg;

	(void)fd;
	(void)what;
	lose_until(rs, mono_ms(), -FOG_E_TIMEOUT);
	arm(rs);
}

struct requests *
requests_new(struct event_base *base, size_t max, request_lost lost, void *ctx)
{
	struct requests *rs = calloc(1, sizeof(*rs));

	if (!rs)
		return NULL;
	rs->max = max;
	rs->lost = lost;
	rs->ctx = ctx;
	rs->sweep = evtimer_new(base, on_sweep, rs);
	if (!rs->sweep) {
		free(rs);
		return NULL;
	}
	return rs;
}

void
requests_free(struct requests *rs)
{
	if (!rs)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (rs->buckets[i]) {
			struct entry *e = rs->buckets[i];

			rs->buckets[i] = e->next;
			free(e);
		}
	}
	event_free(rs->sweep);
	free(rs);
}

struct request *
requests_add(struct requests *rs, uint64_t id, enum msg_phase phase, const struct trace *trace,
    uint64_t timeout_ms, void *data)
{
	struct entry **slot = slot_of(rs, id);
	struct entry *e;

	if (id == 0 || rs->count >= rs->max || requests_find(rs, id))
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->r = (struct request){ .id = id,
		.phase = phase,
		.data = data,
		.deadline_mono_ms = mono_ms() + timeout_ms };
	if (trace)
		e->r.trace = *trace;
	e->next = *slot;
	*slot = e;
	rs->count++;
	arm(rs);
	return &e->r;
}

struct request *
requests_find(struct requests *rs, uint64_t id)
{
	for (struct entry *e = *slot_of(rs, id); e; e = e->next) {
		if (e->r.id == id)
			return &e->r;
	}
	return NULL;
}

void
requests_remove(struct requests *rs, struct request *r)
{
	struct entry **at = slot_of(rs, r->id);

	while (*at && &(*at)->r != r)
		at = &(*at)->next;
	if (*at) {
		struct entry *e = *at;

		*at = e->next;
		rs->count--;
		free(e);
	}
}

void
requests_clear(struct requests *rs, int error)
{
	lose_until(rs, UINT64_MAX, error);
}

size_t
requests_count(const struct requests *rs)
{
	return rs->count;
}

unsigned
requests_phase(struct requests *rs, uint64_t id)
{
	const struct request *r = requests_find(rs, id);

	return r ? (unsigned)r->phase : PH_NEW;
}
