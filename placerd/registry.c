/* SPDX-License-Identifier: MIT */
/* Sessions in two hash tables. The seed is random: subjects are chosen outside. */
#include "placerd/registry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/codec.h"
#include "common/secret.h"

#define BUCKETS 1024 /* power of two */

struct entry {
	struct session s; /* first: callers hold a pointer to it */
	bool is_settled;
	LIST_ENTRY(entry) by_id, by_owner;
	TAILQ_ENTRY(entry) in_all;
	TAILQ_ENTRY(entry) in_row; /* of those that live, or of those that ended */
};

LIST_HEAD(chain, entry);
TAILQ_HEAD(row, entry);

struct registry {
	uint64_t seed;
	struct chain ids[BUCKETS], owners[BUCKETS];
	struct row all, live; /* in the order of their making */
	struct row ended;     /* in the order of their end */
	size_t n_live, n_ended;
};

struct registry *
registry_new(void)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (!r || secret_random(&r->seed, sizeof(r->seed)) != 0) {
		free(r);
		return NULL;
	}
	TAILQ_INIT(&r->all);
	TAILQ_INIT(&r->live);
	TAILQ_INIT(&r->ended);
	return r;
}

void
registry_free(struct registry *r)
{
	struct entry *e, *after;

	for (e = r ? TAILQ_FIRST(&r->all) : NULL; e; e = after) {
		after = TAILQ_NEXT(e, in_all);
		free(e);
	}
	free(r);
}

static struct chain *
id_chain(struct registry *r, const struct id128 *id)
{
	return &r->ids[fnv1a(r->seed, id->b, sizeof(id->b)) & (BUCKETS - 1)];
}

static struct chain *
owner_chain(struct registry *r, struct view issuer, struct view subject)
{
	uint64_t h = fnv1a(r->seed, &issuer.len, sizeof(issuer.len));

	h = fnv1a(h, issuer.p, issuer.len);
	return &r->owners[fnv1a(h, subject.p, subject.len) & (BUCKETS - 1)];
}

struct session *
registry_add(struct registry *r, const struct session *from)
{
	struct entry *e;

	if (r->n_live >= SESSION_SLOTS || registry_find(r, &from->id))
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->s = *from;
	LIST_INSERT_HEAD(id_chain(r, &from->id), e, by_id);
	LIST_INSERT_HEAD(owner_chain(r, view_of(from->issuer), view_of(from->subject)), e,
	    by_owner);
	TAILQ_INSERT_TAIL(&r->all, e, in_all);
	TAILQ_INSERT_TAIL(&r->live, e, in_row);
	r->n_live++;
	return &e->s;
}

static struct entry *
entry_of(struct session *s)
{
	return (struct entry *)(void *)s;
}

static void
leave_live(struct registry *r, struct entry *e)
{
	TAILQ_REMOVE(&r->live, e, in_row);
	r->n_live--;
}

static void
leave_ended(struct registry *r, struct entry *e)
{
	TAILQ_REMOVE(&r->ended, e, in_row);
	r->n_ended--;
}

static void
forget(struct registry *r, struct entry *e)
{
	LIST_REMOVE(e, by_id);
	LIST_REMOVE(e, by_owner);
	TAILQ_REMOVE(&r->all, e, in_all);
	free(e);
}

void
registry_remove(struct registry *r, struct session *s)
{
	struct entry *e = entry_of(s);

	if (e->is_settled)
		leave_ended(r, e);
	else
		leave_live(r, e);
	forget(r, e);
}

void
registry_settle(struct registry *r, struct session *s)
{
	struct entry *e = entry_of(s);

	if (e->is_settled)
		return;
	e->is_settled = true;
	leave_live(r, e);
	TAILQ_INSERT_TAIL(&r->ended, e, in_row);
	r->n_ended++;
}

void
registry_sweep(struct registry *r, uint64_t now_mono_ms)
{
	struct entry *e, *after;

	for (e = TAILQ_FIRST(&r->ended); e; e = after) {
		if (r->n_ended <= REGISTRY_ENDED_MAX &&
		    now_mono_ms - e->s.ended_mono_ms < REGISTRY_KEEP_MS)
			return;
		after = TAILQ_NEXT(e, in_row);
		leave_ended(r, e);
		forget(r, e);
	}
}

struct session *
registry_find(struct registry *r, const struct id128 *id)
{
	struct entry *e;

	LIST_FOREACH(e, id_chain(r, id), by_id)
	{
		if (id_equal(&e->s.id, id))
			return &e->s;
	}
	return NULL;
}

struct session *
registry_find_owned(struct registry *r, const struct id128 *id, struct view issuer,
    struct view subject)
{
	struct session *s = registry_find(r, id);

	return s && session_is_owned_by(s, issuer, subject) ? s : NULL;
}

struct session *
registry_find_repeat(struct registry *r, struct view issuer, struct view subject,
    struct view idem_key, uint64_t now_mono_ms)
{
	struct session *s = NULL;

	while (idem_key.len > 0 && (s = registry_next_of(r, issuer, subject, s))) {
		/* What was ended for want of somebody who knew of it is nobody's answer. */
		if (view_is(idem_key, s->idem_key) && s->end_reason != END_ABANDONED &&
		    now_mono_ms - s->born_mono_ms < REGISTRY_REPEAT_MS)
			return s;
	}
	return NULL;
}

struct session *
registry_next(struct registry *r, struct session *prev)
{
	struct entry *e = prev ? TAILQ_NEXT(entry_of(prev), in_all) : TAILQ_FIRST(&r->all);

	return e ? &e->s : NULL;
}

const struct session *
registry_next_live(const struct registry *r, const struct session *prev)
{
	const struct entry *e = prev ? TAILQ_NEXT((const struct entry *)(const void *)prev, in_row)
				     : TAILQ_FIRST(&r->live);

	return e ? &e->s : NULL;
}

struct session *
registry_next_of(struct registry *r, struct view issuer, struct view subject, struct session *prev)
{
	struct entry *e = prev ? LIST_NEXT(entry_of(prev), by_owner)
			       : LIST_FIRST(owner_chain(r, issuer, subject));

	while (e && !session_is_owned_by(&e->s, issuer, subject))
		e = LIST_NEXT(e, by_owner);
	return e ? &e->s : NULL;
}

size_t
registry_live(const struct registry *r)
{
	return r->n_live;
}

size_t
registry_ended(const struct registry *r)
{
	return r->n_ended;
}
