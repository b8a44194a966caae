/* SPDX-License-Identifier: MIT */
/* Fetches from other nodes: see nodefetch.h. */
#include "authd/nodefetch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "common/codec.h"
#include "common/mono.h"
#include "common/proc.h"

#define OWN_IDS (UINT64_C(1) << 63)
#define TICK_MS 250
#define PERSONS 1024 /* buckets: two persons of one have one rate */

struct nodefetch {
	TAILQ_ENTRY(nodefetch) next;
	uint64_t id;
	enum nodefetch_kind kind;
	uint64_t node;       /* hash of its authority */
	nodefetch_done done; /* NULL: cancelled */
	void *ctx;
	uint64_t silent_mono_ms; /* the fetcher has to have answered */
	bool is_lost;            /* with the fetcher; to be told in a turn of its own */
	size_t len, max;
	char body[];
};

struct nodefetches {
	TAILQ_HEAD(, nodefetch) list;
	unsigned count[NODEFETCH_KIND_COUNT];
	/* GCRA: the theoretical arrival times of the next. */
	uint64_t next_us[NODEFETCH_KIND_COUNT], persons_us[NODEFETCH_KIND_COUNT][PERSONS];
	uint64_t last;
	struct event *turn; /* something is lost */
	struct event *tick; /* looks for silence, while anything is under way */
};

struct rate {
	unsigned burst, per_second;
};

/* Their sums are those of the fetcher: NODE_FETCHES_MAX, and the rate of its lane. */
static const struct kind {
	unsigned at_once, of_node; /* the latter: of one node */
	struct rate all, person; /* the latter 0: it has none, since another kind is behind each */
} kinds[NODEFETCH_KIND_COUNT] = {
	[NODEFETCH_CREATE] = { 32, 16, { 64, 40 }, { 32, 10 } },
	[NODEFETCH_SESSION] = { 24, 12, { 128, 60 }, { 32, 16 } },
	[NODEFETCH_LIST] = { 48, 12, { 192, 100 }, { 64, 20 } },
	[NODEFETCH_CONFIRM] = { 16, 12, { 128, 56 }, { 0, 0 } },
};

static void
arm(struct nodefetches *ns)
{
	static const struct timeval every = { .tv_usec = TICK_MS * 1000 };

	if (!TAILQ_EMPTY(&ns->list))
		event_add(ns->tick, &every);
}

static struct nodefetch *
find(const struct nodefetches *ns, uint64_t id)
{
	struct nodefetch *f;

	TAILQ_FOREACH(f, &ns->list, next) {
		if (f->id == id)
			return f;
	}
	return NULL;
}

static void
take_out(struct nodefetches *ns, struct nodefetch *f)
{
	TAILQ_REMOVE(&ns->list, f, next);
	ns->count[f->kind]--;
}

/* An answer may hold an attach token. */
static void
wipe(struct nodefetch *f)
{
	explicit_bzero(f->body, f->len);
	free(f);
}

/* Off the list first: whoever is told may send and cancel others. */
static void
end(struct nodefetches *ns, struct nodefetch *f, const char *error, unsigned status)
{
	struct nodefetch_end how = { .error = error,
		.status = status,
		.body = f->body,
		.len = f->len };

	take_out(ns, f);
	if (f->done)
		f->done(f->ctx, &how);
	wipe(f);
}

static struct nodefetch *
first_lost(const struct nodefetches *ns)
{
	struct nodefetch *f;

	TAILQ_FOREACH(f, &ns->list, next) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) as in waiting_first */
		if (f->is_lost)
			return f;
	}
	return NULL;
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct nodefetches *ns = arg;
	struct nodefetch *f;

	(void)fd;
	(void)what;
	while ((f = first_lost(ns)))
		end(ns, f, "fetcher_gone", 0);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct nodefetches *ns = arg;
	struct peer *fetcher = proc_peer(EDGE_AUTH_FETCH);
	struct nodefetch *f;

	(void)fd;
	(void)what;
	arm(ns);
	TAILQ_FOREACH(f, &ns->list, next) {
		if (fetcher && !f->is_lost && f->silent_mono_ms <= mono_ms()) {
			peer_lied(fetcher, "it is silent");
			return;
		}
	}
}

struct nodefetches *
nodefetches_new(struct event_base *base)
{
	struct nodefetches *ns = calloc(1, sizeof(*ns));

	if (!ns)
		return NULL;
	TAILQ_INIT(&ns->list);
	ns->turn = evtimer_new(base, on_turn, ns);
	ns->tick = evtimer_new(base, on_tick, ns);
	if (ns->turn && ns->tick)
		return ns;
	nodefetches_free(ns);
	return NULL;
}

void
nodefetches_free(struct nodefetches *ns)
{
	struct nodefetch *f;

	if (!ns)
		return;
	while ((f = TAILQ_FIRST(&ns->list))) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) as in waiting_first */
		take_out(ns, f);
		wipe(f);
	}
	if (ns->turn)
		event_free(ns->turn);
	if (ns->tick)
		event_free(ns->tick);
	free(ns);
}

/* --- bounds --- */

uint64_t
nodefetch_person(const char *issuer, const char *subject)
{
	return fnv1a(fnv1a(FNV1A_SEED, issuer, strlen(issuer) + 1), subject, strlen(subject)) | 1;
}

static uint64_t
hash_node(struct view url)
{
	const char *path = url.len > 8 ? memchr(url.p + 8, '/', url.len - 8) : NULL;

	return fnv1a(FNV1A_SEED, url.p, path ? (size_t)(path - url.p) : url.len);
}

static bool
may(const uint64_t *next_us, const struct rate *r, uint64_t now_us)
{
	return *next_us <= now_us + (r->burst - 1) * UINT64_C(1000000) / r->per_second;
}

static void
take(uint64_t *next_us, const struct rate *r, uint64_t now_us)
{
	*next_us = (*next_us > now_us ? *next_us : now_us) + 1000000 / r->per_second;
}

static unsigned
count_of_node(const struct nodefetches *ns, enum nodefetch_kind kind, uint64_t node)
{
	const struct nodefetch *f;
	unsigned count = 0;

	TAILQ_FOREACH(f, &ns->list, next)
		count += f->kind == kind && f->node == node;
	return count;
}

/* Whether there is room, which is taken. */
static bool
take_room(struct nodefetches *ns, enum nodefetch_kind kind, uint64_t whose, uint64_t node)
{
	uint64_t now_us = mono_ms() * 1000, *person_us = &ns->persons_us[kind][whose % PERSONS];
	const struct kind *k = &kinds[kind];
	bool is_counted = whose != 0 && k->person.burst > 0;

	if (ns->count[kind] >= k->at_once || count_of_node(ns, kind, node) >= k->of_node ||
	    !may(&ns->next_us[kind], &k->all, now_us) ||
	    (is_counted && !may(person_us, &k->person, now_us)))
		return false;
	take(&ns->next_us[kind], &k->all, now_us);
	if (is_counted)
		take(person_us, &k->person, now_us);
	return true;
}

struct nodefetch *
nodefetch_send(struct nodefetches *ns, enum nodefetch_kind kind, uint64_t whose,
    const struct pl_fetch *what, nodefetch_done done, void *ctx)
{
	uint64_t node = hash_node(what->url);
	struct nodefetch *f;

	if (!proc_peer(EDGE_AUTH_FETCH) || !take_room(ns, kind, whose, node))
		return NULL;
	f = malloc(sizeof(*f) + what->max_bytes);
	if (!f)
		return NULL;
	*f = (struct nodefetch){ .id = OWN_IDS | ++ns->last,
		.kind = kind,
		.node = node,
		.done = done,
		.ctx = ctx,
		.max = what->max_bytes,
		.silent_mono_ms = mono_ms() + what->timeout_ms + NODEFETCH_SILENCE_MS };
	/* Not in the list yet: a send that brings the edge down does not tell of this one. */
	if (proc_send(EDGE_AUTH_FETCH, MSG_FETCH_SEND, f->id, NULL, what, -1) != 0) {
		free(f);
		return NULL;
	}
	ns->count[kind]++;
	TAILQ_INSERT_TAIL(&ns->list, f, next);
	arm(ns);
	return f;
}

void
nodefetch_cancel(struct nodefetch *f)
{
	f->done = NULL;
}

bool
nodefetch_is_ours(uint64_t request_id)
{
	return request_id & OWN_IDS;
}

/* There are no late answers, since silence ends the edge: whatever else comes is a lie. */
unsigned
nodefetches_phase(const struct nodefetches *ns, uint64_t request_id)
{
	const struct nodefetch *f = find(ns, request_id);

	return f && !f->is_lost ? PH_FETCH : PH_NOTE;
}

int
nodefetches_on_part(struct nodefetches *ns, const struct msg *m)
{
	struct nodefetch *f = find(ns, m->request_id);
	struct view part = m->u.fetched_part.part;

	if (part.len > f->max - f->len)
		return -FOG_E_LIAR;
	memcpy(f->body + f->len, part.p, part.len);
	f->len += part.len;
	return 0;
}

int
nodefetches_on_end(struct nodefetches *ns, const struct msg *m)
{
	struct nodefetch *f = find(ns, m->request_id);
	const struct pl_fetched *how = &m->u.fetched;

	if (how->error == FETCH_OK ? how->total_bytes != f->len : how->status != 0)
		return -FOG_E_LIAR;
	end(ns, f, how->error == FETCH_OK ? NULL : session_fetch_error_name(how->error),
	    how->status);
	return 0;
}

/* In a turn of its own: the edge may have gone down by a send of somebody who is to be told. */
void
nodefetches_edge_down(struct nodefetches *ns)
{
	struct nodefetch *f;

	TAILQ_FOREACH(f, &ns->list, next)
		f->is_lost = true;
	event_active(ns->turn, EV_TIMEOUT, 0);
}
