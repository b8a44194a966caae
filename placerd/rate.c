/* SPDX-License-Identifier: MIT */
/*
 * Buckets in libc's balanced tree, as in quota.c, and in a queue, of which each take looks at some in
 * turn and forgets the full ones.
 */
#include "placerd/rate.h"

#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/err.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MINUTE (60 * NS_PER_S)
/* Looked at in each take, which adds one at most: so the table shrinks as soon as it may. */
#define LOOKS 4
#define RETRY_FULL_S 1

struct bucket {
	struct view issuer, subject; /* first: the tree compares keys; they point into names */
	TAILQ_ENTRY(bucket) next;
	uint64_t full_at_ns; /* Generic Cell Rate Algorithm: the theoretical arrival time */
	char names[];
};

struct rate {
	void *root;
	TAILQ_HEAD(buckets, bucket) buckets;
	size_t n_entries;
	uint64_t step_ns; /* from one to the next; 0: no limit */
};

static int
compare_buckets(const void *left, const void *right)
{
	const struct bucket *a = left, *b = right;
	int order = view_compare(a->subject, b->subject);

	return order ? order : view_compare(a->issuer, b->issuer);
}

struct rate *
rate_new(uint32_t per_minute)
{
	struct rate *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	TAILQ_INIT(&r->buckets);
	r->step_ns = per_minute ? NS_PER_MINUTE / per_minute : 0;
	return r;
}

static void
forget(struct rate *r, struct bucket *b)
{
	tdelete(b, &r->root, compare_buckets);
	TAILQ_REMOVE(&r->buckets, b, next);
	r->n_entries--;
	free(b);
}

void
rate_free(struct rate *r)
{
	struct bucket *b;

	while (r && (b = TAILQ_FIRST(&r->buckets)))
		forget(r, b);
	free(r);
}

/* Some in turn: a full one is as good as none. */
static void
forget_full(struct rate *r, uint64_t now_ns)
{
	struct bucket *b, *after;
	unsigned looked = 0;

	for (b = TAILQ_FIRST(&r->buckets); b && looked < LOOKS; b = after, looked++) {
		after = TAILQ_NEXT(b, next);
		if (b->full_at_ns <= now_ns) {
			forget(r, b);
			continue;
		}
		TAILQ_REMOVE(&r->buckets, b, next);
		TAILQ_INSERT_TAIL(&r->buckets, b, next);
	}
}

static struct bucket *
bucket_new(struct rate *r, struct view issuer, struct view subject)
{
	struct bucket *b = malloc(sizeof(*b) + issuer.len + subject.len);

	if (!b)
		return NULL;
	memset(b, 0, sizeof(*b));
	memcpy(b->names, issuer.p, issuer.len);
	memcpy(b->names + issuer.len, subject.p, subject.len);
	b->issuer = view_bytes(b->names, issuer.len);
	b->subject = view_bytes(b->names + issuer.len, subject.len);
	if (!tsearch(b, &r->root, compare_buckets)) {
		free(b);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&r->buckets, b, next);
	r->n_entries++;
	return b;
}

static int
find_bucket(struct rate *r, struct view issuer, struct view subject, struct bucket **out,
    uint32_t *retry_after_s)
{
	struct bucket key = { .issuer = issuer, .subject = subject };
	struct bucket *const *node = tfind(&key, &r->root, compare_buckets);

	if (node) {
		*out = *node;
		return 0;
	}
	if (r->n_entries >= RATE_ENTRIES_MAX) {
		*retry_after_s = RETRY_FULL_S;
		return -FOG_E_RATE;
	}
	*out = bucket_new(r, issuer, subject);
	return *out ? 0 : -FOG_E_NOMEM;
}

int
rate_take(struct rate *r, struct view issuer, struct view subject, uint64_t now_mono_ms,
    uint32_t *retry_after_s)
{
	uint64_t now_ns = now_mono_ms * NS_PER_MS, full_at_ns;
	struct bucket *b;
	int rc;

	if (r->step_ns == 0)
		return 0;
	forget_full(r, now_ns);
	rc = find_bucket(r, issuer, subject, &b, retry_after_s);
	if (rc != 0)
		return rc;
	full_at_ns = (b->full_at_ns > now_ns ? b->full_at_ns : now_ns) + r->step_ns;
	/* A bucket holds what a minute brings: it is empty when that is how long it takes to fill. */
	if (full_at_ns - now_ns > NS_PER_MINUTE) {
		*retry_after_s = (uint32_t)((full_at_ns - now_ns - NS_PER_MINUTE + NS_PER_S - 1) /
		    NS_PER_S);
		return -FOG_E_RATE;
	}
	b->full_at_ns = full_at_ns;
	return 0;
}

size_t
rate_entries(const struct rate *r)
{
	return r->n_entries;
}
