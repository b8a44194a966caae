/* SPDX-License-Identifier: MIT */
/* Where other nodes ask from: see askers.h. */
#include "gatewayd/askers.h"

#include <stdlib.h>

#include "common/secret.h"

#define WAYS 16 /* places that one source can have */
#define SETS (ASKERS_MAX / WAYS)
#define BURST 2 /* seconds' worth in advance */

struct asker {
	struct source_key from;
	uint64_t answered_ms; /* 0: the place is free */
	uint64_t next_us;     /* GCRA: the theoretical arrival time of the next */
};

struct askers {
	struct source_hash_key key;
	uint64_t strangers_us; /* likewise, of all others */
	struct asker set[SETS][WAYS];
};

struct askers *
askers_new(void)
{
	struct askers *a = calloc(1, sizeof(*a));

	if (a && secret_random(&a->key, sizeof(a->key)) == 0)
		return a;
	askers_free(a);
	return NULL;
}

void
askers_free(struct askers *a)
{
	free(a);
}

/* Its own place, or the one whose source was answered longest ago. */
static struct asker *
pick(struct asker set[static WAYS], const struct source_key *from)
{
	struct asker *oldest = &set[0];

	for (int i = 0; i < WAYS; i++) {
		if (set[i].answered_ms != 0 && source_equal(&set[i].from, from))
			return &set[i];
		if (set[i].answered_ms < oldest->answered_ms)
			oldest = &set[i];
	}
	return oldest;
}

static bool
is_of(const struct asker *k, const struct source_key *from, uint64_t now_ms)
{
	return k->answered_ms != 0 && source_equal(&k->from, from) &&
	    now_ms - k->answered_ms < ASKERS_KEEP_MS;
}

static const struct asker *
find(const struct askers *a, const struct source_key *from, uint64_t now_ms)
{
	const struct asker *set = a->set[source_hash(&a->key, from) % SETS];

	for (int i = 0; i < WAYS; i++) {
		if (is_of(&set[i], from, now_ms))
			return &set[i];
	}
	return NULL;
}

static bool
take(uint64_t *next_us, uint64_t now_us, unsigned per_second)
{
	uint64_t step_us = 1000000 / per_second;

	if (*next_us > now_us + BURST * UINT64_C(1000000) - step_us)
		return false;
	*next_us = (*next_us > now_us ? *next_us : now_us) + step_us;
	return true;
}

bool
askers_take(struct askers *a, const struct source_key *from, uint64_t now_ms)
{
	struct asker *own = pick(a->set[source_hash(&a->key, from) % SETS], from);

	if (is_of(own, from, now_ms))
		return take(&own->next_us, now_ms * 1000, ASKERS_EACH_PER_SECOND);
	return take(&a->strangers_us, now_ms * 1000, ASKERS_STRANGERS_PER_SECOND);
}

void
askers_answered(struct askers *a, const struct source_key *from, uint64_t now_ms)
{
	struct asker *own = pick(a->set[source_hash(&a->key, from) % SETS], from);

	if (own->answered_ms == 0 || !source_equal(&own->from, from))
		*own = (struct asker){ .from = *from };
	own->answered_ms = now_ms > 0 ? now_ms : 1;
}

bool
askers_know(const struct askers *a, const struct source_key *from, uint64_t now_ms)
{
	return find(a, from, now_ms) != NULL;
}
