/* SPDX-License-Identifier: MIT */
/* Answers of many records: see listing.h. */
#include "authd/listing.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <jansson.h>

#include "authd/nodeanswer.h"
#include "authd/nodefetch.h"
#include "common/cleanup.h"
#include "common/fleetorigins.h"
#include "common/log.h"
#include "common/proc.h"

/*
 * Some 320 records of our own at most each, and as many as LISTING_THEIRS_MAX of other nodes: as many
 * answers at once as fit a peer's queue with room to spare, and no more while gatewayd has not read
 * those before.
 */
#define LISTINGS_MAX 7
#define RETRY_MS 2

struct source {
	struct gather *of;
	char node[NODE_NAME_BYTES], url[NODE_URL_BYTES];
	bool is_down;            /* as placerd knows: it is not waited for */
	struct nodefetch *fetch; /* while it is asked */
};

struct gather {
	struct authd *a;
	uint64_t id; /* of the request */
	char self[NODE_NAME_BYTES];
	bool is_begun; /* placerd has said all */
	size_t count, rows;
	unsigned open;
	struct source sources[LISTING_NODES_MAX];
};

/* --- one after the other --- */

/* The kernel says so when three quarters of the socket's buffer are free. */
static bool
gate_keeps_up(void)
{
	struct peer *gate = proc_peer(EDGE_GATE_AUTH);
	struct pollfd p = { .fd = gate ? peer_fd(gate) : -1, .events = POLLOUT };

	return !gate || (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT));
}

static int
pass_on(const struct asked *q)
{
	struct pl_identity who = { WHO_OF(q) };

	return proc_send(EDGE_AUTH_PLACE, q->passed_on, q->id, &q->trace, &who, -1);
}

static void
start_waiting(struct authd *a)
{
	static const struct timeval retry = { .tv_usec = RETRY_MS * 1000 };
	struct asked *q;

	while (a->listings < LISTINGS_MAX && (q = TAILQ_FIRST(&a->waiting))) {
		if (!gate_keeps_up()) {
			event_add(a->place_free, &retry);
			return;
		}
		TAILQ_REMOVE(&a->waiting, q, next);
		q->is_sent = true;
		a->listings++;
		asked_sent(a, q->id, pass_on(q));
	}
}

static void
on_place_free(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start_waiting(arg);
}

int
listing_start(struct authd *a)
{
	TAILQ_INIT(&a->waiting);
	a->place_free = evtimer_new(proc_base(), on_place_free, a);
	return a->place_free ? 0 : -1;
}

void
listing_add(struct authd *a, struct asked *q, enum msg_type passed_on)
{
	q->passed_on = passed_on;
	TAILQ_INSERT_TAIL(&a->waiting, q, next);
	start_waiting(a);
}

static void
free_gather(struct gather *g)
{
	for (size_t i = 0; g && i < g->count; i++) {
		if (g->sources[i].fetch)
			nodefetch_cancel(g->sources[i].fetch);
	}
	free(g);
}

void
listing_release(struct authd *a, struct asked *q)
{
	free_gather(q->gather);
	if (!q->is_sent) {
		TAILQ_REMOVE(&a->waiting, q, next);
		return;
	}
	a->listings--;
	/* In a turn of its own: this may be a walk through the table of requests. */
	event_active(a->place_free, EV_TIMEOUT, 0);
}

bool
listing_is_silent(const struct asked *q)
{
	return !q->is_sent || (q->gather && q->gather->is_begun);
}

/* --- other nodes --- */

static int
add_source(struct gather *g, const struct pl_also *also)
{
	struct source *s = &g->sources[g->count];

	if (g->count == LISTING_NODES_MAX || view_copy(also->node, s->node, sizeof(s->node)) != 0 ||
	    view_copy(also->url, s->url, sizeof(s->url)) != 0 ||
	    view_copy(also->self, g->self, sizeof(g->self)) != 0)
		return -FOG_E_LIAR;
	s->of = g;
	s->is_down = also->is_down;
	g->count++;
	return 0;
}

int
listing_on_also(void *ctx, struct peer *from, struct msg *m)
{
	struct authd *a = ctx;
	struct asked *q = asked_find(a, m->request_id);
	const struct pl_also *also = &m->u.also;

	(void)from;
	if (listing_is_silent(q) || !nodeanswer_is_base(also->url) ||
	    !fleetorigins_cover(proc_config()->fleet_origins, also->url))
		return -FOG_E_LIAR;
	if (*q->forwarded_by)
		return 0;
	if (!q->gather)
		q->gather = calloc(1, sizeof(*q->gather));
	if (!q->gather)
		return 0;
	q->gather->a = a;
	q->gather->id = q->id;
	return add_source(q->gather, also);
}

static void
name_unreached(const struct asked *q, const struct source *s, const char *why)
{
	struct pl_node_name name = { .node = view_of(s->node) };

	log_info("event=list_incomplete req=%llx node=%s reason=%s", (unsigned long long)q->id,
	    s->node, why);
	asked_answer(q, MSG_GATE_UNREACHED, &name);
}

static void
relay_rows(const struct asked *q, const json_t *rows)
{
	char text[NODEANSWER_BODY_BYTES];
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		struct pl_relayed relayed = { .status = 200,
			.body = view_bytes(text, nodeanswer_write(row, text)) };

		asked_answer(q, MSG_GATE_RELAYED, &relayed);
	}
}

/* All rows of a node, or its name. */
static void
take_rows(struct gather *g, const struct asked *q, const struct source *s,
    const struct nodefetch_end *end)
{
	struct nodeanswer_asked asked = { .phase = PH_LIST, .node = s->node, .url = s->url };
	const char *why = end->error;
	json_t *rows = NULL;

	if (!why)
		rows = nodeanswer_read_list(&asked, end->status, end->body, end->len, &why);
	if (rows && json_array_size(rows) > LISTING_THEIRS_MAX - g->rows)
		why = "too_many_sessions";
	if (rows && !*why) {
		g->rows += json_array_size(rows);
		relay_rows(q, rows);
	} else {
		name_unreached(q, s, why);
	}
	json_decref(rows);
}

static void
finish(struct gather *g)
{
	struct authd *a = g->a;
	struct asked *q = asked_take(a, g->id);

	asked_answer(q, MSG_GATE_DONE, NULL);
	asked_release(a, q);
}

static void
on_answer(void *ctx, const struct nodefetch_end *end)
{
	struct source *s = ctx;
	struct gather *g = s->of;

	s->fetch = NULL;
	g->open--;
	take_rows(g, asked_find(g->a, g->id), s, end);
	if (g->open == 0)
		finish(g);
}

static struct nodefetch *
ask_node(struct source *s, const struct asked *q)
{
	char url[NODE_URL_BYTES + 32];
	const struct pass *p = q->pass;
	struct pl_fetch what = { .to = FETCH_TO_NODE,
		.method = METHOD_GET,
		.authorization = view_bytes(p->authorization, p->len),
		.forwarded_by = view_of(s->of->self),
		.max_bytes = NODEANSWER_LIST_BYTES,
		.timeout_ms = LISTING_NODE_MS };

	snprintf(url, sizeof(url), "%s/v1/sessions", s->url);
	what.url = view_of(url);
	return nodefetch_send(s->of->a->nodes, NODEFETCH_LIST,
	    nodefetch_person(q->who.issuer, q->who.subject), &what, on_answer, s);
}

static const char *
why_not_asked(const struct asked *q, const struct source *s)
{
	if (s->is_down)
		return "node_is_down";
	return q->is_bound ? "token_is_bound" : "busy";
}

/* A DPoP-bound token cannot be shown to them: then their names are all that can be told. */
bool
listing_gather(struct authd *a, struct asked *q)
{
	struct gather *g = q->gather;

	(void)a;
	if (!g)
		return false;
	g->is_begun = true;
	for (size_t i = 0; i < g->count; i++) {
		struct source *s = &g->sources[i];

		s->fetch = q->pass && !s->is_down ? ask_node(s, q) : NULL;
		if (s->fetch)
			g->open++;
		else
			name_unreached(q, s, why_not_asked(q, s));
	}
	return g->open > 0;
}
