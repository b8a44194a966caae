/* SPDX-License-Identifier: MIT */
/* Token buckets by source: see limits.h. */
#include "gatewayd/limits.h"

#include <stdlib.h>

#include "common/secret.h"

#define WAYS 16 /* places that one source can have */
#define MINUTE_US UINT64_C(60000000)

/*
 * A bucket as the time at which it is full again (the generic cell rate algorithm, ITU-T I.371):
 * each one taken moves it on by the interval, and what would move it more than a minute ahead of
 * now is not there. So a bucket holds what is allowed in a minute.
 */
struct bucket {
	struct source_key from;
	uint64_t full_us[LIMIT_KINDS];
};

struct table {
	size_t sets;
	unsigned factor; /* how many times the limit of one source */
	struct bucket (*set)[WAYS];
};

struct limits {
	uint32_t per_minute[LIMIT_KINDS];
	struct source_hash_key key;
	struct table narrow, wide;
};

static int
table_init(struct table *t, size_t sources, unsigned factor)
{
	t->sets = sources / WAYS;
	t->factor = factor;
	t->set = calloc(t->sets, sizeof(*t->set)); /* its pages come with their first use */
	return t->set ? 0 : -1;
}

struct limits *
limits_new(const uint32_t per_minute[static LIMIT_KINDS])
{
	struct limits *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	for (int kind = 0; kind < LIMIT_KINDS; kind++)
		l->per_minute[kind] = per_minute[kind];
	if (secret_random(&l->key, sizeof(l->key)) == 0 &&
	    table_init(&l->narrow, LIMITS_SOURCES, 1) == 0 &&
	    table_init(&l->wide, LIMITS_WIDE_SOURCES, LIMITS_WIDE_FACTOR) == 0)
		return l;
	limits_free(l);
	return NULL;
}

void
limits_free(struct limits *l)
{
	if (!l)
		return;
	free(l->narrow.set);
	free(l->wide.set);
	free(l);
}

/* --- finding a bucket --- */

static uint64_t
full_again(const struct bucket *b)
{
	uint64_t latest = 0;

	for (int kind = 0; kind < LIMIT_KINDS; kind++) {
		if (b->full_us[kind] > latest)
			latest = b->full_us[kind];
	}
	return latest;
}

static struct bucket *
set_of(const struct limits *l, const struct table *t, const struct source_key *from)
{
	return t->set[source_hash(&l->key, from) % t->sets];
}

/* Its own, or the one that is full first: a place that may be taken when it is full now. */
static struct bucket *
pick(struct bucket set[static WAYS], const struct source_key *from)
{
	struct bucket *first = &set[0];

	for (int i = 0; i < WAYS; i++) {
		if (source_equal(&set[i].from, from))
			return &set[i];
		if (full_again(&set[i]) < full_again(first))
			first = &set[i];
	}
	return first;
}

/* Where a source is counted, and as whom. */
struct place {
	const struct table *t;
	struct bucket *b;       /* to be read, or to be taken over */
	struct source_key from; /* what has to stand in it */
};

static struct place
place_of(const struct limits *l, const struct source_key *from, uint64_t now_us)
{
	struct bucket *own = pick(set_of(l, &l->narrow, from), from);
	struct source_key wide = source_wide(from);

	if (source_equal(&own->from, from) || full_again(own) <= now_us)
		return (struct place){ &l->narrow, own, *from };
	return (struct place){ &l->wide, pick(set_of(l, &l->wide, &wide), &wide), wide };
}

/* --- a bucket --- */

static uint64_t
interval_us(const struct limits *l, enum limit_kind kind, const struct table *t)
{
	uint64_t us = MINUTE_US / ((uint64_t)l->per_minute[kind] * t->factor);

	return us > 0 ? us : 1;
}

static uint64_t
full_us(const struct place *p, enum limit_kind kind, uint64_t now_us)
{
	uint64_t us = source_equal(&p->b->from, &p->from) ? p->b->full_us[kind] : 0;

	return us > now_us ? us : now_us;
}

/* Seconds until there is one, rounded up. */
static uint32_t
wait_s(const struct limits *l, const struct place *p, enum limit_kind kind, uint64_t now_us)
{
	uint64_t next = full_us(p, kind, now_us) + interval_us(l, kind, p->t);

	if (next <= now_us + MINUTE_US)
		return 0;
	return (uint32_t)((next - now_us - MINUTE_US + 999999) / 1000000);
}

static void
put(const struct limits *l, const struct place *p, enum limit_kind kind, uint64_t now_us)
{
	uint64_t full = full_us(p, kind, now_us) + interval_us(l, kind, p->t);

	if (!source_equal(&p->b->from, &p->from))
		*p->b = (struct bucket){ .from = p->from };
	p->b->full_us[kind] = full < now_us + 2 * MINUTE_US ? full : now_us + 2 * MINUTE_US;
}

/* --- what callers ask --- */

uint32_t
limits_wait(const struct limits *l, enum limit_kind kind, const struct source_key *from,
    uint64_t now_ms)
{
	struct place p;

	if (!l || l->per_minute[kind] == 0)
		return 0;
	p = place_of(l, from, now_ms * 1000);
	return wait_s(l, &p, kind, now_ms * 1000);
}

uint32_t
limits_take(struct limits *l, enum limit_kind kind, const struct source_key *from, uint64_t now_ms)
{
	uint32_t wait = limits_wait(l, kind, from, now_ms);

	if (wait == 0)
		limits_charge(l, kind, from, now_ms);
	return wait;
}

void
limits_charge(struct limits *l, enum limit_kind kind, const struct source_key *from,
    uint64_t now_ms)
{
	struct place p;

	if (!l || l->per_minute[kind] == 0)
		return;
	p = place_of(l, from, now_ms * 1000);
	put(l, &p, kind, now_ms * 1000);
}
