/* SPDX-License-Identifier: MIT */
/* Asks for statuses, and gives this node's: see probe.h. */
#include "placerd/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/json.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "placerd/nodes.h"
#include "placerd/nodestatus.h"
#include "placerd/placerd.h"
#include "placerd/where.h"

#define HTTP_OK 200
#define STATUS_PATH "/v1/node/status"
#define ANSWER_STEP_MS (1000 / PROBE_ANSWERS_PER_SECOND)
#define ANSWER_BURST 50
#define REFUSED_LOG_MS 10000 /* one line of an ask that was refused in so long */

/* An ask that the prober has not ended. */
struct ask {
	uint64_t id; /* 0: this place is free */
	char name[NODESTATUS_NAME_MAX_BYTES + 1];
	struct id128 jti;
	uint64_t asked_ms, overdue_ms, silent_ms;
	bool is_settled; /* the detector has heard what comes of it, or need not */
	char *body;      /* of NODETOKEN_MAX_BYTES; NULL: nothing has come */
	size_t len;
};

struct probe {
	struct placerd *d;
	struct event *timer;
	struct ask asks[PROBE_UNDER_WAY_MAX];
	uint64_t id_last; /* an id is never used twice */
	/* Of each node by index: why its last answer was none; NULL: it was one. Static text. */
	const char **trouble;
	size_t n;            /* 0: there was no memory for it */
	uint64_t answers_ms; /* GCRA: the theoretical arrival time of the next who asks us */
	uint64_t said_refused_ms;
	unsigned refused; /* since then */
};

/* Of the network and not of the node: told with the state that follows from them. */
static const bool is_weather[FETCH_E_COUNT] = {
	[FETCH_E_NAME] = true,
	[FETCH_E_CONNECT] = true,
	[FETCH_E_TIME] = true,
};

static size_t
find_node(const struct probe *p, const char *name)
{
	return nodes_find(p->d->nodes, view_of(name));
}

/* --- the log: what is new, and no line for each probe --- */

static const char *
trouble_of(const struct probe *p, size_t node)
{
	return node < p->n && p->trouble[node] ? p->trouble[node] : "\"\"";
}

/* False: it is known already. */
static bool
note_trouble(struct probe *p, size_t node, const char *why)
{
	if (node >= p->n || p->trouble[node] == why ||
	    (why && p->trouble[node] && strcmp(p->trouble[node], why) == 0))
		return false;
	p->trouble[node] = why;
	return true;
}

/* One loss is told to developers alone: it is nothing to act on, and on a bad line there are many. */
static void
say_changes(struct probe *p)
{
	enum node_state was, is;
	size_t node;

	while (fleet_take_change(p->d->fleet, &node, &was, &is)) {
		const char *name = nodes_at(p->d->nodes, node)->name;

		if (is == NODE_SUSPECT || (was == NODE_SUSPECT && is == NODE_UP))
			log_debug("event=node_state node=%s was=%s is=%s", name,
			    session_node_state_name(was), session_node_state_name(is));
		else
			log_info("event=node_state node=%s was=%s is=%s reason=%s", name,
			    session_node_state_name(was), session_node_state_name(is),
			    trouble_of(p, node));
	}
}

static void
say_refused(struct probe *p, size_t node, const char *why)
{
	if (note_trouble(p, node, why))
		log_warnx("event=node_status_refused node=%s reason=%s",
		    nodes_at(p->d->nodes, node)->name, why);
}

/* --- asking --- */

static void
arm(struct probe *p, uint64_t now_ms, uint32_t wait_ms)
{
	uint64_t next_ms = now_ms + wait_ms, wait;
	struct timeval tv;

	for (size_t i = 0; i < PROBE_UNDER_WAY_MAX; i++) {
		const struct ask *a = &p->asks[i];
		uint64_t due_ms = a->is_settled ? a->silent_ms : a->overdue_ms;

		if (a->id && due_ms < next_ms)
			next_ms = due_ms;
	}
	wait = next_ms > now_ms ? next_ms - now_ms : 0;
	tv = (struct timeval){ .tv_sec = (time_t)(wait / 1000),
		.tv_usec = (suseconds_t)(wait % 1000 * 1000) };
	event_add(p->timer, &tv);
}

static void
free_ask(struct ask *a)
{
	free(a->body);
	*a = (struct ask){ 0 };
}

/*
 * why: what the log tells of the node, if it becomes more than a loss; the end of the ask, which may
 * come later, knows better. So it is no more than what to say where nothing else is known.
 */
static void
lose(struct probe *p, struct ask *a, const char *why)
{
	size_t node = find_node(p, a->name);

	if (!a->is_settled && node != SIZE_MAX) {
		if (node < p->n && !p->trouble[node])
			note_trouble(p, node, why);
		fleet_lost(p->d->fleet, node, mono_ms());
	}
	a->is_settled = true;
}

/* What it was asked before is settled by an answer. */
static void
settle_all(struct probe *p, const char *name)
{
	for (size_t i = 0; i < PROBE_UNDER_WAY_MAX; i++) {
		if (p->asks[i].id && strcmp(p->asks[i].name, name) == 0)
			p->asks[i].is_settled = true;
	}
}

static const char *
self_name(const struct placerd *d)
{
	return nodes_at(d->nodes, nodes_self(d->nodes))->name;
}

static struct nodetoken
token_of(const struct placerd *d, enum nodetoken_kind kind, const char *audience)
{
	struct nodetoken t = { .kind = kind, .issued_s = (uint64_t)wall_s() };

	t.expires_s = t.issued_s + NODETOKEN_LIFE_S;
	snprintf(t.issuer, sizeof(t.issuer), "%s", self_name(d));
	snprintf(t.audience, sizeof(t.audience), "%s", audience);
	return t;
}

static void
own_suspects(const struct placerd *d, struct suspects *out)
{
	size_t lost[FLEET_SUSPECTS_MAX];

	out->n = fleet_suspects(d->fleet, lost);
	for (size_t i = 0; i < out->n; i++)
		snprintf(out->names[i], sizeof(out->names[i]), "%s",
		    nodes_at(d->nodes, lost[i])->name);
}

/* Whom this node has lost goes along: who is asked need not ask to know. */
static int
make_ask(const struct placerd *d, const struct ask *a, const char *to, char *out, size_t out_size)
{
	struct nodetoken t = token_of(d, NODETOKEN_ASK, to);
	struct suspects lost;
	int rc = 0;

	t.id = a->jti;
	own_suspects(d, &lost);
	if (lost.n > 0) {
		t.suspects = nodestatus_suspects_to_json(&lost);
		rc = t.suspects ? 0 : -FOG_E_NOMEM;
	}
	if (rc == 0)
		rc = nodetoken_make(d->node_key, &t, out, out_size);
	nodetoken_fini(&t);
	return rc;
}

static int
send_ask(struct probe *p, const struct ask *a, const struct node *node)
{
	char url[512], bearer[NODETOKEN_MAX_BYTES + 8] = "Bearer ";
	struct pl_fetch get = { .to = FETCH_TO_NODE,
		.method = METHOD_GET,
		.max_bytes = NODETOKEN_MAX_BYTES,
		.timeout_ms = FLEET_ANSWER_MAX_MS };

	if ((size_t)snprintf(url, sizeof(url), "%s" STATUS_PATH, node->url) >= sizeof(url) ||
	    make_ask(p->d, a, node->name, bearer + strlen(bearer), NODETOKEN_MAX_BYTES) != 0)
		return -FOG_E_INTERNAL;
	get.url = view_of(url);
	get.authorization = view_of(bearer);
	return proc_send(EDGE_PLACE_PROBE, MSG_PROBE_SEND, a->id, NULL, &get, -1);
}

static void
ask(struct probe *p, struct ask *a, size_t index, uint32_t wait_ms)
{
	const struct node *node = nodes_at(p->d->nodes, index);
	uint64_t id = ++p->id_last;

	*a = (struct ask){ .id = id, .asked_ms = mono_ms() };
	a->overdue_ms = a->asked_ms + wait_ms;
	a->silent_ms = a->asked_ms + FLEET_ANSWER_MAX_MS + PROBE_SILENCE_MS;
	snprintf(a->name, sizeof(a->name), "%s", node->name);
	/* A send that brings the edge down has freed this ask by probe_edge_down. */
	if ((id_random(&a->jti) != 0 || send_ask(p, a, node) != 0) && a->id == id) {
		fleet_unasked(p->d->fleet, index, mono_ms());
		free_ask(a);
	}
}

static struct ask *
find_free(struct probe *p)
{
	for (size_t i = 0; i < PROBE_UNDER_WAY_MAX; i++) {
		if (!p->asks[i].id)
			return &p->asks[i];
	}
	return NULL;
}

/* Whoever is due; then the timer for whatever is next. */
static void
go_on(struct probe *p)
{
	uint32_t wait_ms = FLEET_PROBE_EVERY_MS;
	struct ask *a;

	while (proc_peer(EDGE_PLACE_PROBE) && (a = find_free(p))) {
		size_t node = fleet_next(p->d->fleet, mono_ms(), &wait_ms);

		if (node == SIZE_MAX)
			break;
		ask(p, a, node, wait_ms);
		wait_ms = FLEET_PROBE_EVERY_MS;
	}
	say_changes(p);
	arm(p, mono_ms(), wait_ms);
}

void
probe_soon(struct probe *p)
{
	arm(p, mono_ms(), 0);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;
	struct peer *prober = proc_peer(EDGE_PLACE_PROBE);
	uint64_t now_ms = mono_ms();
	bool is_silent = false;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < PROBE_UNDER_WAY_MAX; i++) {
		struct ask *a = &p->asks[i];

		if (a->id && now_ms >= a->overdue_ms)
			lose(p, a, session_fetch_error_name(FETCH_E_TIME));
		is_silent = is_silent || (a->id && now_ms >= a->silent_ms);
	}
	if (prober && is_silent)
		peer_lied(prober, "it is silent"); /* frees the asks */
	go_on(p);
}

/* --- the prober's side --- */

static struct ask *
find_ask(const struct probe *p, uint64_t request_id)
{
	for (size_t i = 0; request_id && i < PROBE_UNDER_WAY_MAX; i++) {
		if (p->asks[i].id == request_id)
			return (struct ask *)(uintptr_t)&p->asks[i];
	}
	return NULL;
}

void
probe_edge_up(struct probe *p)
{
	go_on(p);
}

/* One loss decides nothing: not though every node that was being asked has one by our own fault. */
void
probe_edge_down(struct probe *p)
{
	for (size_t i = 0; i < PROBE_UNDER_WAY_MAX; i++) {
		if (p->asks[i].id) {
			lose(p, &p->asks[i], "prober_gone");
			free_ask(&p->asks[i]);
		}
	}
}

/* There are no late answers, since silence ends the edge: whatever else comes is a lie. */
unsigned
probe_phase(const struct probe *p, uint64_t request_id)
{
	return find_ask(p, request_id) ? PH_FETCH : PH_NOTE;
}

int
probe_on_part(struct probe *p, uint64_t request_id, const struct pl_fetched_part *part)
{
	struct ask *a = find_ask(p, request_id);

	if (!a || part->part.len > NODETOKEN_MAX_BYTES - a->len)
		return -FOG_E_LIAR;
	if (!a->body)
		a->body = malloc(NODETOKEN_MAX_BYTES);
	if (a->body)
		memcpy(a->body + a->len, part->part.p, part->part.len);
	a->len += part->part.len;
	return 0;
}

/* Those that another node has lost; its word of itself is none. */
static void
take_hints(struct probe *p, size_t by, const struct suspects *lost)
{
	for (size_t i = 0; i < lost->n; i++) {
		size_t node = find_node(p, lost->names[i]);

		if (node != SIZE_MAX)
			fleet_hinted(p->d->fleet, node, by, mono_ms());
	}
}

static void
hear(struct probe *p, struct ask *a, size_t index, const struct nodestatus *s)
{
	uint64_t now_ms = mono_ms();
	const struct fleet_report report = { .load = s->load,
		.is_ready = s->is_ready,
		.is_draining = s->is_draining,
		.version = NODESTATUS_V };

	fleet_heard(p->d->fleet, index, &report, (uint32_t)(now_ms - a->asked_ms), now_ms);
	take_hints(p, index, &s->suspects);
	settle_all(p, a->name);
	note_trouble(p, index, s->is_ready ? NULL : "not_ready");
}

/* NULL: it is the answer to this ask, and *out says how the node is. Else why not. */
static const char *
read_answer(const struct probe *p, const struct ask *a, const struct node *node,
    struct nodestatus *out)
{
	struct nodetoken_pin *pin = nodetoken_pin_new(node->key);
	const char *why = "out_of_memory";
	struct nodetoken t;
	int rc = -FOG_E_NOMEM;

	if (pin && a->body)
		rc = nodetoken_verify(pin, NODETOKEN_STATUS, view_bytes(a->body, a->len),
		    self_name(p->d), (uint64_t)wall_s(), &t, &why);
	nodetoken_pin_free(pin);
	if (rc != 0)
		return a->len > 0 ? why : "empty";
	if (strcmp(t.issuer, node->name) != 0)
		why = "other_name";
	else if (!id_equal(&t.id, &a->jti))
		why = "not_of_this_ask";
	else if (nodestatus_from_json(t.status, out, &why) == 0)
		why = NULL;
	nodetoken_fini(&t);
	return why;
}

static void
take_answer(struct probe *p, struct ask *a, const struct pl_fetched *end)
{
	size_t index = find_node(p, a->name);
	struct nodestatus status = { 0 };
	const char *why;

	if (index == SIZE_MAX || index == nodes_self(p->d->nodes))
		return; /* it has left the fleet meanwhile */
	if (end->error != FETCH_OK)
		why = session_fetch_error_name(end->error);
	else if (end->status != HTTP_OK)
		why = "status_not_200";
	else
		why = read_answer(p, a, nodes_at(p->d->nodes, index), &status);
	if (!why) {
		hear(p, a, index, &status);
	} else if (end->error == FETCH_E_BUSY) {
		if (!a->is_settled)
			fleet_unasked(p->d->fleet, index, mono_ms());
	} else {
		if (is_weather[end->error])
			note_trouble(p, index, why);
		else
			say_refused(p, index, why);
		lose(p, a, why);
	}
}

int
probe_on_end(struct probe *p, uint64_t request_id, const struct pl_fetched *end)
{
	struct ask *a = find_ask(p, request_id);

	if (!a || (end->error == FETCH_OK ? end->total_bytes != a->len : end->status != 0))
		return -FOG_E_LIAR;
	take_answer(p, a, end);
	free_ask(a);
	go_on(p);
	return 0;
}

/* --- answering --- */

static bool
may_answer(struct probe *p, uint64_t now_ms)
{
	if (p->answers_ms > now_ms + ANSWER_BURST * ANSWER_STEP_MS)
		return false;
	p->answers_ms = (p->answers_ms > now_ms ? p->answers_ms : now_ms) + ANSWER_STEP_MS;
	return true;
}

/* Of strangers: bounded whatever they send. name is of the fleet, or empty. */
static int
refuse_ask(struct probe *p, int error, const char *name, const char *why)
{
	uint64_t now_ms = mono_ms();

	p->refused++;
	if (p->said_refused_ms != 0 && now_ms - p->said_refused_ms < REFUSED_LOG_MS)
		return error;
	log_warnx("event=node_ask_refused node=%s reason=%s count=%u", *name ? name : "\"\"", why,
	    p->refused);
	p->said_refused_ms = now_ms;
	p->refused = 0;
	return error;
}

static bool
take_news(struct probe *p, size_t by, const struct nodetoken *ask)
{
	struct suspects lost;

	if (!ask->suspects)
		return true;
	if (nodestatus_suspects_from_json(ask->suspects, &lost) != 0)
		return false;
	take_hints(p, by, &lost);
	arm(p, mono_ms(), 0);
	return true;
}

/*
 * An ask is good for as often as it is shown in its minute of life: what it gives is signed for who
 * asked and of no use to others, changes nothing here but whom this node asks next, within the bounds
 * of fleet_hinted and fleet_seen, and costs no more than a forged one.
 */
static int
check_ask(struct placerd *d, struct view token, struct nodetoken *out)
{
	struct probe *p = d->probe;
	const char *why = "malformed";
	char issuer[NODESTATUS_NAME_MAX_BYTES + 1];
	struct nodetoken_pin *pin;
	size_t index;
	int rc;

	if (nodetoken_peek_issuer(token, issuer) != 0)
		return refuse_ask(p, -FOG_E_NODE_TOKEN, "", why);
	index = nodes_find(d->nodes, view_of(issuer));
	if (index == SIZE_MAX || index == nodes_self(d->nodes))
		return refuse_ask(p, -FOG_E_NODE_TOKEN, "", "unknown_node");
	pin = nodetoken_pin_new(nodes_at(d->nodes, index)->key);
	if (!pin)
		return -FOG_E_INTERNAL;
	rc = nodetoken_verify(pin, NODETOKEN_ASK, token, self_name(d), (uint64_t)wall_s(), out,
	    &why);
	nodetoken_pin_free(pin);
	if (rc == 0 && !take_news(p, index, out)) {
		nodetoken_fini(out);
		rc = -FOG_E_NODE_TOKEN;
		why = "suspects";
	}
	if (rc != 0)
		return refuse_ask(p, rc, nodes_at(d->nodes, index)->name, why);
	fleet_seen(d->fleet, index, mono_ms());
	return 0;
}

static struct json_t *
own_status(struct placerd *d)
{
	struct nodestatus s = { .version = FOG_VERSION,
		.is_ready = d->is_synced && audit_retry(d->keepers.audit) == 0,
		.is_draining = d->is_draining };

	where_own_load(d, &s.load);
	own_suspects(d, &s.suspects);
	return nodestatus_to_json(&s);
}

int
probe_answer_status(struct placerd *d, struct view ask, char out[static NODETOKEN_MAX_BYTES + 1])
{
	struct nodetoken asked, answer;
	int rc;

	if (!d->probe || !d->node_key)
		return -FOG_E_NODE_TOKEN; /* there are no others */
	if (!may_answer(d->probe, mono_ms()))
		return refuse_ask(d->probe, -FOG_E_RATE, "", "too_many");
	rc = check_ask(d, ask, &asked);
	if (rc != 0)
		return rc;
	answer = token_of(d, NODETOKEN_STATUS, asked.issuer);
	answer.id = asked.id;
	answer.status = own_status(d);
	nodetoken_fini(&asked);
	rc = answer.status ? nodetoken_make(d->node_key, &answer, out, NODETOKEN_MAX_BYTES + 1)
			   : -FOG_E_INTERNAL;
	nodetoken_fini(&answer);
	return rc;
}

/* --- its life --- */

static void
watch_nodes(struct probe *p)
{
	size_t n = nodes_count(p->d->nodes);

	free(p->trouble);
	p->trouble = calloc(n, sizeof(*p->trouble));
	p->n = p->trouble ? n : 0;
	arm(p, mono_ms(), 0);
}

struct probe *
probe_new(struct placerd *d)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->d = d;
	p->timer = evtimer_new(proc_base(), on_timer, p);
	if (!p->timer) {
		free(p);
		return NULL;
	}
	watch_nodes(p);
	return p;
}

/* What is under way was asked by the detector before: only an answer counts. */
void
probe_nodes_changed(struct placerd *d)
{
	struct probe *p = d->probe;

	if (!p)
		return;
	for (size_t i = 0; i < PROBE_UNDER_WAY_MAX; i++)
		p->asks[i].is_settled = true;
	watch_nodes(p);
}

void
probe_free(struct probe *p)
{
	if (!p)
		return;
	event_free(p->timer);
	for (size_t i = 0; i < PROBE_UNDER_WAY_MAX; i++)
		free(p->asks[i].body);
	free(p->trouble);
	free(p);
}
