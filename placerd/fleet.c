/* SPDX-License-Identifier: MIT */
/*
 * The failure detector. Whoever may be asked stands in one of four heaps by the moment at which that
 * is due: those that are near, those that are urgent, which are suspect or hinted at, those whose load
 * is wanted, and all others in turn. Nothing here walks through the fleet but its making.
 */
#include "placerd/fleet.h"

#include <stdlib.h>
#include <sys/queue.h>

#define NO_POSITION UINT32_MAX
#define MS_PER_PROBE (1000 / FLEET_PROBES_PER_SECOND)
#define MS_PER_URGENT_PROBE (1000 / FLEET_URGENT_PER_SECOND)
#define URGENT_BURST 32 /* in advance: eight that die at once are asked four times each */
#define MS_PER_HINT (1000 / FLEET_HINTS_PER_SECOND)
#define HINTS_BURST 16 /* a whole answer's */
#define MS_PER_NEWS 400
#define NEWS_BURST 2
/*
 * Losses in a row before others are told. They then ask as well, and tell others when they have lost
 * as often: where each tenth probe is lost by chance one tells in a hundred that were told, and not
 * one of FLEET_NEAR, so that a false word dies out.
 */
#define LOST_TO_TELL 2
#define FIRST_TRIES 3       /* of who has never been heard of, before it waits for a whole round */
#define HINTED_MORE_MS 100  /* than half as long again as its mean, for one that is hinted at */
#define HINT_COUNTS_MS 4000 /* so long another node's loss counts beside our own */
#define HINT_STALE_MS 300   /* an answer that is newer than this beats a hint */
#define TELL_MS 10000       /* a loss is told so long */
#define STALE_MIN_MS 30000  /* what was heard before that, and three calm rounds, is not known */

enum queue { QUEUE_NEAR, QUEUE_URGENT, QUEUE_WANTED, QUEUE_TURN, QUEUES };

struct node {
	uint64_t due_ms;
	uint64_t asked_ms, heard_ms, hinted_ms, lost_ms;
	uint64_t silent_ms;         /* when the first that was lost in a row was asked */
	uint32_t hinted_by;         /* the latest */
	uint32_t order;             /* among those due at the same moment */
	uint32_t position;          /* in its heap */
	uint32_t every_ms;          /* of who is near; 0: it is asked in turn */
	uint32_t mean8, deviation4; /* of its answers, ms, scaled as in RFC 6298 2 */
	uint16_t lost;              /* in a row */
	uint8_t queue;              /* enum queue */
	bool is_asked, is_heard, is_hinted, is_down, is_told;
	bool is_ready, is_draining, is_cordoned;
	bool is_changed;
	uint8_t logged; /* enum node_state, as fleet_take_change has said */
	struct place_room load, promised, promised_since; /* the latter: since it was asked */
	uint64_t promises_ms;                             /* the first of those */
	struct place_room refused;                        /* it had no room for that */
	uint64_t refused_ms;                              /* 0: never */
	TAILQ_ENTRY(node) next_told, next_changed;
};

/* By due_ms, then by order. */
struct heap {
	uint32_t *at;
	uint32_t n;
};

struct fleet {
	size_t n, self;
	struct node *nodes;
	struct heap heaps[QUEUES];
	uint32_t near[FLEET_NEAR];
	size_t n_near;
	TAILQ_HEAD(, node) told, changed;
	uint64_t seed;
	uint64_t now_ms;    /* the latest that was said */
	uint64_t probes_ms; /* GCRA: the theoretical arrival time of the next probe */
	uint64_t step_ms;   /* from one probe to the next, by which probes_ms was reckoned */
	uint64_t alarm_until_ms;
	uint64_t urgent_ms; /* GCRA, likewise */
	uint64_t hints_ms;  /* GCRA, of hints that cost a probe */
	uint64_t wanted_ms; /* GCRA, of who is asked for its load */
	uint64_t told_ms;   /* GCRA, of the rounds in which news is told */
	uint64_t news_ms;   /* who is near and was asked before that does not know the latest */
	uint32_t order_last;
};

/* --- heaps --- */

static bool
is_before(const struct node *a, const struct node *b)
{
	return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void
heap_put(struct fleet *f, struct heap *h, uint32_t position, uint32_t index)
{
	h->at[position] = index;
	f->nodes[index].position = position;
}

static void
heap_up(struct fleet *f, struct heap *h, uint32_t position)
{
	uint32_t index = h->at[position];

	while (position > 0) {
		uint32_t parent = (position - 1) / 2;

		if (!is_before(&f->nodes[index], &f->nodes[h->at[parent]]))
			break;
		heap_put(f, h, position, h->at[parent]);
		position = parent;
	}
	heap_put(f, h, position, index);
}

static void
heap_down(struct fleet *f, struct heap *h, uint32_t position)
{
	uint32_t index = h->at[position];

	for (;;) {
		uint32_t child = 2 * position + 1;

		if (child >= h->n)
			break;
		if (child + 1 < h->n &&
		    is_before(&f->nodes[h->at[child + 1]], &f->nodes[h->at[child]]))
			child++;
		if (!is_before(&f->nodes[h->at[child]], &f->nodes[index]))
			break;
		heap_put(f, h, position, h->at[child]);
		position = child;
	}
	heap_put(f, h, position, index);
}

static void
leave_heap(struct fleet *f, struct node *n)
{
	struct heap *h = &f->heaps[n->queue];
	uint32_t position = n->position;

	if (position == NO_POSITION)
		return;
	n->position = NO_POSITION;
	h->n--;
	if (position == h->n)
		return;
	heap_put(f, h, position, h->at[h->n]);
	heap_up(f, h, position);
	heap_down(f, h, position); /* of whoever stands there then */
}

static void
enter_heap(struct fleet *f, struct node *n, enum queue queue, uint64_t due_ms)
{
	struct heap *h = &f->heaps[queue];

	leave_heap(f, n);
	n->queue = (uint8_t)queue;
	n->due_ms = due_ms;
	n->order = ++f->order_last;
	h->at[h->n] = (uint32_t)(n - f->nodes);
	heap_up(f, h, h->n++);
}

/* --- the pace --- */

static uint64_t
calm_step_ms(const struct fleet *f)
{
	return f->n <= FLEET_SMALL ? MS_PER_PROBE : FLEET_CALM_EVERY_MS;
}

/* What was taken in advance stays as many probes as it was, at whichever pace. */
static void
keep_pace(struct fleet *f, uint64_t now_ms)
{
	uint64_t step_ms = now_ms < f->alarm_until_ms ? MS_PER_PROBE : calm_step_ms(f);

	if (f->probes_ms > now_ms)
		f->probes_ms = now_ms + (f->probes_ms - now_ms) * step_ms / f->step_ms;
	f->step_ms = step_ms;
}

/* Somebody is out, or back: who asks faster hears sooner of whom else that is true. */
static void
raise_alarm(struct fleet *f, uint64_t now_ms)
{
	if (f->alarm_until_ms < now_ms + FLEET_ALARM_MS)
		f->alarm_until_ms = now_ms + FLEET_ALARM_MS;
}

/* --- the fleet --- */

/* splitmix64 */
static uint64_t
next_random(uint64_t *seed)
{
	uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* Fisher and Yates, inside out. */
static void
shuffle(uint32_t *order, size_t n, uint64_t *seed)
{
	for (size_t i = 0; i < n; i++) {
		size_t with = next_random(seed) % (i + 1);

		order[i] = order[with];
		order[with] = (uint32_t)i;
	}
}

static uint32_t
next_in_ring(const uint32_t *order, size_t n, size_t self)
{
	size_t at = 0;

	while (order[at] != self)
		at++;
	return order[(at + 1) % n];
}

/*
 * In each of so many rings, which are the same for all nodes that have the same file, the one after
 * this node is near to it. So as many have this one near, and a word that each passes on to those
 * near it is everywhere after as many steps as it takes FLEET_NEAR to grow to the fleet's size.
 */
static void
choose_near(struct fleet *f, uint32_t *order)
{
	for (uint64_t ring = 0; f->n > FLEET_SMALL && ring < FLEET_NEAR; ring++) {
		uint64_t seed = ring;
		uint32_t next;

		shuffle(order, f->n, &seed);
		next = next_in_ring(order, f->n, f->self);
		if (f->nodes[next].every_ms)
			continue;
		f->near[f->n_near++] = next;
		f->nodes[next].every_ms = ring < FLEET_WATCHED ? FLEET_PROBE_EVERY_MS
							       : FLEET_NEAR_EVERY_MS;
	}
}

/*
 * All are due at once, in an order of this node's own: or all nodes would ask the same one first.
 * Those that are near within a second, since nothing else spreads them.
 */
static int
enter_all(struct fleet *f, uint64_t now_ms)
{
	uint32_t *order = calloc(f->n, sizeof(*order));

	if (!order)
		return -1;
	choose_near(f, order);
	shuffle(order, f->n, &f->seed);
	for (size_t i = 0; i < f->n; i++) {
		struct node *n = &f->nodes[order[i]];

		if (n->every_ms)
			enter_heap(f, n, QUEUE_NEAR,
			    now_ms + next_random(&f->seed) % FLEET_PROBE_EVERY_MS);
		else if (order[i] != f->self)
			enter_heap(f, n, QUEUE_TURN, now_ms);
	}
	free(order);
	return 0;
}

static int
make_heaps(struct fleet *f)
{
	for (size_t i = 0; i < QUEUES; i++) {
		f->heaps[i].at = calloc(f->n, sizeof(*f->heaps[i].at));
		if (!f->heaps[i].at)
			return -1;
	}
	return 0;
}

struct fleet *
fleet_new(size_t n, size_t self, uint64_t seed, uint64_t now_ms)
{
	struct fleet *f = calloc(1, sizeof(*f));

	if (!f || n == 0 || n >= NO_POSITION)
		goto fail;
	f->n = n;
	f->self = self;
	f->seed = seed;
	f->now_ms = now_ms;
	f->step_ms = MS_PER_PROBE;
	f->alarm_until_ms = now_ms + n * MS_PER_PROBE; /* the first round: nobody is known */
	TAILQ_INIT(&f->told);
	TAILQ_INIT(&f->changed);
	f->nodes = calloc(n, sizeof(*f->nodes));
	if (!f->nodes || make_heaps(f) != 0)
		goto fail;
	for (size_t i = 0; i < n; i++)
		f->nodes[i] = (struct node){ .position = NO_POSITION, .logged = NODE_UNKNOWN };
	if (enter_all(f, now_ms) == 0)
		return f;
fail:
	fleet_free(f);
	return NULL;
}

void
fleet_free(struct fleet *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < QUEUES; i++)
		free(f->heaps[i].at);
	free(f->nodes);
	free(f);
}

static struct node *
find_other(const struct fleet *f, size_t node)
{
	return node < f->n && node != f->self ? &f->nodes[node] : NULL;
}

/* --- states --- */

/* Three rounds more, which are what takes long in a large fleet. */
static uint64_t
stale_ms(const struct fleet *f)
{
	return STALE_MIN_MS + 3 * f->n * calm_step_ms(f);
}

static enum node_state
state_of(const struct fleet *f, const struct node *n, uint64_t now_ms)
{
	if (n == &f->nodes[f->self])
		return n->is_cordoned ? NODE_DRAINING : NODE_UP;
	if (n->is_down)
		return NODE_DOWN;
	if (!n->is_heard || (now_ms > n->heard_ms && now_ms - n->heard_ms > stale_ms(f)))
		return NODE_UNKNOWN;
	if (!n->is_ready)
		return NODE_DOWN;
	if (n->is_draining || n->is_cordoned)
		return NODE_DRAINING;
	return n->lost > 0 ? NODE_SUSPECT : NODE_UP;
}

enum node_state
fleet_state(const struct fleet *f, size_t node, uint64_t now_ms)
{
	return node < f->n ? state_of(f, &f->nodes[node], now_ms) : NODE_UNKNOWN;
}

static void
note_change(struct fleet *f, struct node *n)
{
	if (n->is_changed || state_of(f, n, f->now_ms) == n->logged)
		return;
	n->is_changed = true;
	TAILQ_INSERT_TAIL(&f->changed, n, next_changed);
}

/* What has changed back meanwhile is not told. */
bool
fleet_take_change(struct fleet *f, size_t *node, enum node_state *was, enum node_state *is)
{
	struct node *n;

	while ((n = TAILQ_FIRST(&f->changed))) {
		TAILQ_REMOVE(&f->changed, n, next_changed);
		n->is_changed = false;
		*node = (size_t)(n - f->nodes);
		*was = (enum node_state)n->logged;
		*is = state_of(f, n, f->now_ms);
		n->logged = (uint8_t)*is;
		if (*was != *is)
			return true;
	}
	return false;
}

/* --- whom others are told of --- */

static uint64_t
max_ms(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Generic Cell Rate Algorithm: when the next may be taken, of so many in advance. */
static uint64_t
token_ms(uint64_t tat_ms, uint64_t step_ms, unsigned burst)
{
	return tat_ms > burst * step_ms ? tat_ms - burst * step_ms : 0;
}

static void
take_token(uint64_t *tat_ms, uint64_t now_ms, uint64_t step_ms)
{
	*tat_ms = max_ms(*tat_ms, now_ms) + step_ms;
}

/* Those that are near are asked at once, and so told; who is being asked is so afterwards. */
static void
spread_news(struct fleet *f, uint64_t now_ms)
{
	if (f->news_ms > now_ms)
		return; /* it goes with what is told then */
	f->news_ms = max_ms(now_ms, token_ms(f->told_ms, MS_PER_NEWS, NEWS_BURST));
	take_token(&f->told_ms, now_ms, MS_PER_NEWS);
	for (size_t i = 0; i < f->n_near; i++) {
		struct node *n = &f->nodes[f->near[i]];

		if (n->position != NO_POSITION && n->queue == QUEUE_NEAR && !n->is_down &&
		    n->due_ms > f->news_ms)
			enter_heap(f, n, QUEUE_NEAR, f->news_ms);
	}
}

static void
tell(struct fleet *f, struct node *n, uint64_t now_ms)
{
	if (n->is_told)
		TAILQ_REMOVE(&f->told, n, next_told);
	n->is_told = true;
	n->lost_ms = now_ms;
	TAILQ_INSERT_HEAD(&f->told, n, next_told);
}

static void
tell_no_more(struct fleet *f, struct node *n)
{
	if (n->is_told)
		TAILQ_REMOVE(&f->told, n, next_told);
	n->is_told = false;
}

size_t
fleet_suspects(const struct fleet *f, size_t out[static FLEET_SUSPECTS_MAX])
{
	const struct node *n;
	size_t count = 0;

	TAILQ_FOREACH(n, &f->told, next_told) {
		if (count == FLEET_SUSPECTS_MAX || f->now_ms - n->lost_ms > TELL_MS)
			break;
		out[count++] = (size_t)(n - f->nodes);
	}
	return count;
}

/* --- asking --- */

static uint32_t
clamp_timeout(uint32_t ms)
{
	if (ms < FLEET_TIMEOUT_MIN_MS)
		return FLEET_TIMEOUT_MIN_MS;
	return ms > FLEET_TIMEOUT_MAX_MS ? FLEET_TIMEOUT_MAX_MS : ms;
}

static uint32_t
again_ms(const struct node *n)
{
	return n->is_hinted || n->lost < LOST_TO_TELL ? FLEET_AGAIN_SOON_MS : FLEET_AGAIN_MS;
}

/* The deviation of few answers is large: who is said to be dead is not waited for by that. */
static uint32_t
first_timeout_of(const struct node *n)
{
	uint32_t ms = n->mean8 / 8 + n->deviation4, hinted_ms = n->mean8 * 3 / 16 + HINTED_MORE_MS;

	return clamp_timeout(n->is_hinted && hinted_ms < ms ? hinted_ms : ms);
}

/* A suspect is asked again and again while the earlier answers may still come. */
static uint32_t
timeout_of(const struct node *n)
{
	if (!n->is_heard || n->is_down)
		return FLEET_TIMEOUT_MAX_MS;
	return n->lost > 0 ? again_ms(n) : first_timeout_of(n);
}

static uint32_t
ms_until(uint64_t due_ms, uint64_t now_ms)
{
	uint64_t wait = due_ms > now_ms ? due_ms - now_ms : 1;

	return wait < FLEET_PROBE_EVERY_MS ? (uint32_t)wait : FLEET_PROBE_EVERY_MS;
}

/* When the next of a queue may be asked: those that are near are few. */
static uint64_t
paced_ms(const struct fleet *f, enum queue queue)
{
	switch (queue) {
	case QUEUE_URGENT:
		return token_ms(f->urgent_ms, MS_PER_URGENT_PROBE, URGENT_BURST);
	case QUEUE_TURN:
		return f->probes_ms;
	default:
		return 0;
	}
}

static void
pay(struct fleet *f, enum queue queue, uint64_t now_ms)
{
	if (queue == QUEUE_URGENT)
		take_token(&f->urgent_ms, now_ms, MS_PER_URGENT_PROBE);
	else if (queue == QUEUE_TURN)
		take_token(&f->probes_ms, now_ms, f->step_ms);
}

/* NULL: nobody yet, and *wait_ms is when to come again. */
static struct node *
choose(struct fleet *f, uint64_t now_ms, uint32_t *wait_ms)
{
	uint64_t next_ms = UINT64_MAX;

	for (enum queue queue = QUEUE_NEAR; queue < QUEUES; queue++) {
		const struct heap *h = &f->heaps[queue];
		uint64_t at_ms;

		if (h->n == 0)
			continue;
		at_ms = max_ms(f->nodes[h->at[0]].due_ms, paced_ms(f, queue));
		if (at_ms <= now_ms) {
			pay(f, queue, now_ms);
			return &f->nodes[h->at[0]];
		}
		next_ms = at_ms < next_ms ? at_ms : next_ms;
	}
	*wait_ms = ms_until(next_ms, now_ms);
	return NULL;
}

static void
add_room(struct place_room *to, const struct place_room *more)
{
	to->sessions += more->sessions;
	to->cpu_milli += more->cpu_milli;
	to->memory_bytes += more->memory_bytes;
}

size_t
fleet_next(struct fleet *f, uint64_t now_ms, uint32_t *wait_ms)
{
	struct node *n;

	f->now_ms = max_ms(f->now_ms, now_ms);
	keep_pace(f, now_ms);
	n = choose(f, now_ms, wait_ms);
	if (!n)
		return SIZE_MAX;
	leave_heap(f, n);
	n->is_asked = true;
	n->asked_ms = now_ms;
	/* What is promised from here on may be missing in its answer. */
	add_room(&n->promised, &n->promised_since);
	n->promised_since = (struct place_room){ 0 };
	*wait_ms = timeout_of(n);
	return (size_t)(n - f->nodes);
}

/* --- what came of it --- */

/* RFC 6298 2.2 and 2.3 with alpha 1/8 and beta 1/4, the first answer included. */
static void
learn(struct node *n, uint32_t took_ms)
{
	int64_t error;

	if (took_ms > FLEET_ANSWER_MAX_MS)
		took_ms = FLEET_ANSWER_MAX_MS;
	if (!n->is_heard) {
		n->mean8 = 8 * took_ms;
		n->deviation4 = 2 * took_ms;
		return;
	}
	error = (int64_t)took_ms - n->mean8 / 8;
	n->mean8 = (uint32_t)(n->mean8 + error);
	n->deviation4 = (uint32_t)(n->deviation4 + (error < 0 ? -error : error) -
	    n->deviation4 / 4);
}

/* Not quite regularly: or those who watch a node would ask it at the same moment after a while. */
static uint64_t
next_near_ms(struct fleet *f, const struct node *n)
{
	if (n->asked_ms < f->news_ms && !n->is_down)
		return f->news_ms;
	return n->asked_ms + n->every_ms * 4 / 5 + next_random(&f->seed) % (n->every_ms * 2 / 5);
}

/*
 * Its turn comes round a second after it was asked, or later where many stand before it. Where all
 * nodes have asked it at the same moment, as they do after a death or a hint, each takes up another
 * place in its round: or nobody would look at it until all do so again. How long its round is at
 * present, by the paces of the last one, is seen from who waits longest. Who was lost when it was asked
 * for the first time comes next after those that have not been asked.
 */
static uint64_t
next_turn_ms(struct fleet *f, const struct node *n, bool is_scattered)
{
	const struct heap *turn = &f->heaps[QUEUE_TURN];
	uint64_t due_ms = n->asked_ms + FLEET_PROBE_EVERY_MS, first_ms;

	if (turn->n == 0)
		return due_ms;
	first_ms = f->nodes[turn->at[0]].due_ms + FLEET_PROBE_EVERY_MS;
	if (!n->is_heard && n->lost < FIRST_TRIES)
		return first_ms;
	if (is_scattered && due_ms > first_ms)
		due_ms -= next_random(&f->seed) % (due_ms - first_ms);
	return due_ms;
}

/* Nothing about it is urgent. */
static void
ask_as_ever(struct fleet *f, struct node *n, bool is_scattered)
{
	if (n->every_ms)
		enter_heap(f, n, QUEUE_NEAR, next_near_ms(f, n));
	else
		enter_heap(f, n, QUEUE_TURN, next_turn_ms(f, n, is_scattered));
}

void
fleet_heard(struct fleet *f, size_t node, const struct fleet_report *report, uint32_t took_ms,
    uint64_t now_ms)
{
	struct node *n = find_other(f, node);
	bool was_urgent;

	if (!n)
		return;
	f->now_ms = max_ms(f->now_ms, now_ms);
	learn(n, took_ms);
	was_urgent = n->queue == QUEUE_URGENT || n->is_down || n->lost > 0;
	if (n->is_down)
		raise_alarm(f, now_ms);
	n->is_heard = true;
	n->heard_ms = now_ms;
	n->is_asked = n->is_hinted = n->is_down = false;
	n->lost = 0;
	n->is_ready = report->is_ready;
	n->is_draining = report->is_draining;
	n->load = report->load;
	n->promised = (struct place_room){ 0 };
	if (n->asked_ms >= n->refused_ms)
		n->refused_ms = 0; /* it says itself what room it has */
	tell_no_more(f, n);
	ask_as_ever(f, n, was_urgent);
	note_change(f, n);
}

/* Suspects are asked again soon; who was never there, or is out, has time. */
static void
ask_later(struct fleet *f, struct node *n, uint64_t now_ms)
{
	/* A refused connection is lost in no time: a node that starts anew is not out by that. */
	if (n->is_heard && !n->is_down && n->lost > 0)
		enter_heap(f, n, QUEUE_URGENT, max_ms(now_ms, n->asked_ms + again_ms(n)));
	else
		ask_as_ever(f, n, n->queue == QUEUE_URGENT);
}

static bool
counts_as_hinted(struct node *n, uint64_t now_ms)
{
	if (n->is_hinted && now_ms - n->hinted_ms > HINT_COUNTS_MS)
		n->is_hinted = false;
	return n->is_hinted;
}

/* A far node's answer to the second ask is still under way when that has been lost. */
static bool
is_to_tell(const struct node *n, uint64_t now_ms)
{
	uint32_t answer_ms = n->mean8 / 8 * 5 / 4;

	return n->is_heard && n->lost >= LOST_TO_TELL &&
	    now_ms - n->silent_ms >= first_timeout_of(n) + answer_ms;
}

void
fleet_lost(struct fleet *f, size_t node, uint64_t now_ms)
{
	struct node *n = find_other(f, node);
	bool was_down;

	if (!n || !n->is_asked)
		return;
	f->now_ms = max_ms(f->now_ms, now_ms);
	was_down = n->is_down;
	n->is_asked = false;
	if (n->lost == 0)
		n->silent_ms = n->asked_ms;
	if (n->lost < UINT16_MAX)
		n->lost++;
	if (n->lost >= (counts_as_hinted(n, now_ms) ? FLEET_LOST_HINTED : FLEET_LOST_MAX))
		n->is_down = true;
	if (n->is_heard && n->is_down && !was_down)
		raise_alarm(f, now_ms);
	/* Once it is out, others are told for a while and no more. */
	if (!was_down && is_to_tell(n, now_ms)) {
		if (!n->is_told)
			spread_news(f, now_ms);
		tell(f, n, now_ms);
	}
	ask_later(f, n, now_ms);
	note_change(f, n);
}

void
fleet_unasked(struct fleet *f, size_t node, uint64_t now_ms)
{
	struct node *n = find_other(f, node);

	if (!n || !n->is_asked)
		return;
	n->is_asked = false;
	ask_later(f, n, now_ms);
}

/* Whether another one has said so lately. */
static bool
is_second_hint(struct node *n, uint32_t by, uint64_t now_ms)
{
	return counts_as_hinted(n, now_ms) && n->hinted_by != by;
}

/*
 * Only who is thought to be there is asked; an answer that is newer than the hint may be beats it.
 * What two nodes say needs no token: so one liar, who can use them up, keeps no news from being heard.
 */
void
fleet_hinted(struct fleet *f, size_t node, size_t by, uint64_t now_ms)
{
	struct node *n = find_other(f, node);
	bool is_new, is_free;

	if (!n || !n->is_heard || n->is_down || by >= f->n || by == node)
		return;
	is_new = n->lost == 0 && !n->is_asked;
	if (is_new && now_ms - n->heard_ms < HINT_STALE_MS)
		return;
	is_free = is_second_hint(n, (uint32_t)by, now_ms);
	n->is_hinted = true;
	n->hinted_ms = now_ms;
	n->hinted_by = (uint32_t)by;
	if (!is_new || n->queue == QUEUE_URGENT)
		return;
	if (!is_free && token_ms(f->hints_ms, MS_PER_HINT, HINTS_BURST) > now_ms)
		return;
	if (!is_free)
		take_token(&f->hints_ms, now_ms, MS_PER_HINT);
	enter_heap(f, n, QUEUE_URGENT, now_ms);
}

void
fleet_seen(struct fleet *f, size_t node, uint64_t now_ms)
{
	struct node *n = find_other(f, node);

	if (!n || n->is_asked || n->queue == QUEUE_URGENT || (n->is_heard && !n->is_down))
		return;
	if (now_ms < n->asked_ms + FLEET_AGAIN_MS ||
	    token_ms(f->hints_ms, MS_PER_HINT, HINTS_BURST) > now_ms)
		return;
	take_token(&f->hints_ms, now_ms, MS_PER_HINT);
	enter_heap(f, n, QUEUE_URGENT, now_ms);
	if (n->is_down)
		raise_alarm(f, now_ms);
}

/* Whoever is suspect or out is asked as that demands; what that takes is none of this. */
void
fleet_wanted(struct fleet *f, size_t node, uint64_t now_ms)
{
	struct node *n = find_other(f, node);

	if (!n || n->is_asked || n->queue == QUEUE_URGENT || n->queue == QUEUE_WANTED ||
	    n->lost > 0 || (n->is_heard && now_ms < n->heard_ms + FLEET_FRESH_MS) ||
	    token_ms(f->wanted_ms, FLEET_WANTED_EVERY_MS, FLEET_WANTED_MAX) > now_ms)
		return;
	take_token(&f->wanted_ms, now_ms, FLEET_WANTED_EVERY_MS);
	enter_heap(f, n, QUEUE_WANTED, now_ms);
}

/* --- what is known of each --- */

/* They are many only where they also end: those of a minute are enough. */
static bool
are_promises_old(const struct fleet *f, const struct node *n)
{
	return f->now_ms > n->promises_ms + FLEET_PROMISES_MS;
}

void
fleet_promise(struct fleet *f, size_t node, const struct place_room *needs, uint64_t now_ms)
{
	struct node *n = find_other(f, node);

	if (!n)
		return;
	f->now_ms = max_ms(f->now_ms, now_ms);
	if (are_promises_old(f, n))
		n->promised = n->promised_since = (struct place_room){ 0 };
	if (n->promised.sessions + n->promised_since.sessions == 0)
		n->promises_ms = f->now_ms;
	add_room(n->is_asked ? &n->promised_since : &n->promised, needs);
	fleet_wanted(f, node, now_ms);
}

void
fleet_refused(struct fleet *f, size_t node, const struct place_room *needs, uint64_t now_ms)
{
	struct node *n = find_other(f, node);

	if (!n)
		return;
	n->refused = *needs;
	n->refused_ms = now_ms;
	fleet_wanted(f, node, now_ms);
}

bool
fleet_would_refuse(const struct fleet *f, size_t node, const struct place_room *needs,
    uint64_t now_ms)
{
	const struct node *n = find_other(f, node);

	return n && n->refused_ms > 0 && now_ms - n->refused_ms < FLEET_REFUSED_MS &&
	    needs->sessions >= n->refused.sessions && needs->cpu_milli >= n->refused.cpu_milli &&
	    needs->memory_bytes >= n->refused.memory_bytes;
}

void
fleet_cordon(struct fleet *f, size_t node, bool cordoned)
{
	if (node >= f->n)
		return;
	f->nodes[node].is_cordoned = cordoned;
	note_change(f, &f->nodes[node]);
}

bool
fleet_is_cordoned(const struct fleet *f, size_t node)
{
	return node < f->n && f->nodes[node].is_cordoned;
}

struct place_room
fleet_load(const struct fleet *f, size_t node)
{
	struct place_room load = { 0 };

	if (node < f->n)
		load = f->nodes[node].load;
	if (node < f->n && !are_promises_old(f, &f->nodes[node])) {
		add_room(&load, &f->nodes[node].promised);
		add_room(&load, &f->nodes[node].promised_since);
	}
	return load;
}

uint64_t
fleet_silent_ms(const struct fleet *f, size_t node, uint64_t now_ms)
{
	const struct node *n = find_other(f, node);

	if (!n || !n->is_heard)
		return UINT64_MAX;
	return now_ms > n->heard_ms ? now_ms - n->heard_ms : 0;
}

uint32_t
fleet_mean_ms(const struct fleet *f, size_t node)
{
	const struct node *n = find_other(f, node);

	return n ? n->mean8 / 8 : 0;
}

/* --- another table of the same nodes --- */

/* Who is near, and by whom one was hinted at, is of the table. */
static void
adopt(struct fleet *f, struct node *n, const struct node *from)
{
	const struct node fresh = *n;

	*n = *from;
	n->position = fresh.position;
	n->order = fresh.order;
	n->due_ms = fresh.due_ms;
	n->queue = fresh.queue;
	n->every_ms = fresh.every_ms;
	n->is_asked = n->is_hinted = n->is_changed = n->is_told = false;
	if (n == &f->nodes[f->self])
		return;
	if (from->is_told)
		tell(f, n, from->lost_ms);
	if (n->is_heard && !n->is_down && n->lost > 0)
		enter_heap(f, n, QUEUE_URGENT, fresh.due_ms);
	note_change(f, n);
}

void
fleet_adopt(struct fleet *f, const struct fleet *from, const size_t *map)
{
	uint64_t alarm_until_ms = from->alarm_until_ms;

	f->now_ms = max_ms(f->now_ms, from->now_ms);
	f->probes_ms = from->probes_ms;
	f->step_ms = from->step_ms;
	f->urgent_ms = from->urgent_ms;
	f->hints_ms = from->hints_ms;
	f->wanted_ms = from->wanted_ms;
	f->told_ms = from->told_ms;
	for (size_t i = 0; i < f->n; i++) {
		if (map[i] < from->n)
			adopt(f, &f->nodes[i], &from->nodes[map[i]]);
		else /* nodes nobody knows: a first round again */
			alarm_until_ms = max_ms(alarm_until_ms, f->alarm_until_ms);
	}
	f->alarm_until_ms = alarm_until_ms;
}
