/* SPDX-License-Identifier: MIT */
/* Answers from authd, streams from ptyd: see peers.h. */
#include "gatewayd/peers.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "gatewayd/answer.h"
#include "gatewayd/api.h"
#include "gatewayd/api_json.h"
#include "gatewayd/askers.h"
#include "gatewayd/attach.h"
#include "gatewayd/challenge.h"
#include "gatewayd/renewal.h"

#define LIST_MAX 4096 /* items of one answer */
#define URL_SIZE 512
#define UNREACHABLE_MAX 16 /* nodes that one list is gathered from */

/* --- asking --- */

/*
 * An id holds the epoch of the first pair with authd, which no other gatewayd has had: what is
 * queued for a dead one cannot reach its successor (DESIGN 2.1).
 */
static uint64_t
next_id(struct gateway *g)
{
	if (++g->last_request == 0)
		g->last_request = 1;
	return (uint64_t)g->incarnation << 32 | g->last_request;
}

static void
answer_lost(struct conn *c, enum msg_phase phase, int error)
{
	bool authd = proc_peer(EDGE_GATE_AUTH) != NULL;

	if (phase == PH_READY && c->is_metrics)
		api_metrics_answer(c, NULL);
	else if (phase == PH_READY)
		answer_json_unready(c, api_json_ready(authd, false, NULL));
	else
		answer_error(c, error, NULL);
}

struct question {
	enum msg_type type;
	enum msg_phase phase;
	const struct trace *trace;
	const void *payload;
	void *data; /* of the request: a connection, or a renewal in PH_RENEW */
	uint64_t timeout_ms;
};

/* 0, or an error that nobody has been told yet. *id is set before authd can answer. */
static int
ask(struct gateway *g, const struct question *q, uint64_t *id)
{
	struct peer *auth = proc_peer(EDGE_GATE_AUTH);
	uint64_t this_id = next_id(g);
	struct request *r;
	int rc;

	if (!auth)
		return -FOG_E_UNAVAILABLE;
	/* The table alone is no bound: a client that has left is out of it, its question is not. */
	if (peer_queued(auth) >= GATEWAY_PENDING_MAX)
		return -FOG_E_FULL;
	r = requests_add(g->requests, this_id, q->phase, q->trace, q->timeout_ms, q->data);
	if (!r)
		return -FOG_E_FULL;
	*id = this_id;
	rc = proc_send(EDGE_GATE_AUTH, q->type, this_id, q->trace, q->payload, -1);
	/* When sending took the pair down, every request has been answered already. */
	r = rc != 0 ? requests_find(g->requests, this_id) : NULL;
	if (!r)
		return 0;
	requests_remove(g->requests, r);
	*id = 0;
	return rc;
}

void
peers_ask(struct conn *c, enum msg_type type, enum msg_phase phase, const void *payload)
{
	peers_ask_within(c, type, phase, payload, UINT64_MAX);
}

void
peers_ask_within(struct conn *c, enum msg_type type, enum msg_phase phase, const void *payload,
    uint64_t timeout_ms)
{
	uint64_t most_ms = c->g->config->request_timeout_ms;
	struct question q = { .type = type,
		.phase = phase,
		.trace = &c->x.trace,
		.payload = payload,
		.data = c,
		.timeout_ms = timeout_ms < most_ms ? timeout_ms : most_ms };
	int rc = ask(c->g, &q, &c->x.request_id);

	if (rc != 0)
		answer_lost(c, phase, rc);
}

void
peers_ask_renewal(struct gateway *g, struct renewal *r)
{
	struct pl_use_renewal use = { .token = view_bytes(r->token, r->token_len),
		.session_id = r->session_id,
		.attachment = r->attachment };
	struct question q = { .type = MSG_AUTH_RENEW,
		.phase = PH_RENEW,
		.trace = &r->trace,
		.payload = &use,
		.data = r,
		.timeout_ms = g->config->request_timeout_ms };
	uint64_t id;
	int rc = ask(g, &q, &id);

	if (rc != 0)
		renewal_answer(g, r, rc);
}

/* The request is answered now: it is out of the table, so that nothing else can answer it. */
static struct conn *
finish(struct gateway *g, struct request *r)
{
	struct conn *c = r->data;

	c->x.request_id = 0;
	requests_remove(g->requests, r);
	return c;
}

void
peers_request_lost(void *ctx, struct request *r, int error)
{
	struct conn *c;

	if (r->phase == PH_RENEW) {
		renewal_answer(ctx, r->data, error);
		return;
	}
	c = r->data;
	c->x.request_id = 0;
	answer_lost(c, r->phase, error);
}

/* --- answers --- */

static int
ws_url(struct conn *c, const struct id128 *session, char out[static URL_SIZE])
{
	char base[ORIGIN_NAME_SIZE + 8], id[ID_TEXT_SIZE];
	int n;

	if (origins_base_url(&c->g->origins, true, api_header(c, "Host"), base, sizeof(base)) != 0)
		return -FOG_E_BOUNDS;
	id_format(session, id);
	n = snprintf(out, URL_SIZE, "%s/v1/sessions/%s/pty", base, id);
	return n < 0 || n >= URL_SIZE ? -FOG_E_BOUNDS : 0;
}

static int
add_item(struct conn *c, json_t *item)
{
	if (!c->x.list)
		c->x.list = json_array();
	if (!item || !c->x.list || json_array_size(c->x.list) >= LIST_MAX) {
		json_decref(item);
		return -FOG_E_LIAR;
	}
	return json_array_append_new(c->x.list, item) == 0 ? 0 : -FOG_E_NOMEM;
}

/* --- what another node has answered --- */

static int
add_relayed(struct conn *c, struct view body)
{
	json_t *item = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(item)) {
		json_decref(item);
		return -FOG_E_LIAR;
	}
	return add_item(c, item);
}

static int
on_relayed(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);

	(void)from;
	if (r->phase == PH_LIST)
		return add_relayed(r->data, m->u.relayed.body);
	answer_relayed(finish(g, r), m->u.relayed.status, m->u.relayed.body);
	return 0;
}

static int
on_unreached(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct conn *c = requests_find(g->requests, m->request_id)->data;
	struct view node = m->u.node_name.node;

	(void)from;
	if (!c->x.unreachable)
		c->x.unreachable = json_array();
	if (json_array_size(c->x.unreachable) >= UNREACHABLE_MAX ||
	    json_array_append_new(c->x.unreachable, json_stringn(node.p, node.len)) != 0)
		return -FOG_E_LIAR;
	return 0;
}

/* It goes into a header field. */
static bool
is_clean_url(struct view url)
{
	for (size_t i = 0; i < url.len; i++) {
		if (url.p[i] <= ' ' || url.p[i] > '~')
			return false;
	}
	return url.len > 8 && memcmp(url.p, "https://", 8) == 0;
}

static int
on_redirect(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;

	(void)from;
	if (!is_clean_url(m->u.redirect.url))
		return -FOG_E_LIAR;
	answer_elsewhere(finish(g, requests_find(g->requests, m->request_id)), m->u.redirect.url);
	return 0;
}

/* --- and this one --- */

static int
on_session(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);
	struct conn *c = r->data;

	(void)from;
	if (r->phase == PH_LIST)
		return add_item(c, api_json_session(&m->u.session));
	if (!id_equal(&m->u.session.session_id, &c->x.session_id))
		return -FOG_E_LIAR;
	answer_json(finish(g, r), 200, api_json_session(&m->u.session));
	return 0;
}

static int
on_shown(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);
	const struct conn *c = r->data;

	(void)from;
	if (!id_equal(&m->u.shown.session_id, &c->x.session_id))
		return -FOG_E_LIAR;
	answer_json(finish(g, r), 200, api_json_shown(&m->u.shown));
	return 0;
}

static int
on_created(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct conn *c = finish(g, requests_find(g->requests, m->request_id));
	char url[URL_SIZE];

	(void)from;
	if (ws_url(c, &m->u.created.session_id, url) != 0)
		answer_error(c, -FOG_E_INTERNAL, NULL);
	else
		answer_json(c, 201, api_json_created(&m->u.created, url));
	return 0;
}

static int
on_minted(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);
	struct conn *c = r->data;
	char url[URL_SIZE];

	(void)from;
	if (!id_equal(&m->u.minted.session_id, &c->x.session_id))
		return -FOG_E_LIAR;
	finish(g, r);
	if (ws_url(c, &m->u.minted.session_id, url) != 0)
		answer_error(c, -FOG_E_INTERNAL, NULL);
	else
		answer_json(c, 201,
		    api_json_grant(url, m->u.minted.token, m->u.minted.token_expires_s));
	return 0;
}

static int
on_ended(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);
	struct conn *c = r->data;

	(void)from;
	if (!id_equal(&m->u.session_id.session_id, &c->x.session_id))
		return -FOG_E_LIAR;
	answer_json(finish(g, r), 200, json_pack("{s:b}", "terminated", 1));
	return 0;
}

static int
on_confirmed(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);
	const struct conn *c = r->data;

	(void)from;
	if (!id_equal(&m->u.session_id.session_id, &c->x.session_id))
		return -FOG_E_LIAR;
	answer_json(finish(g, r), 200, json_pack("{s:b}", "confirmed", 1));
	return 0;
}

static int
on_status(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct conn *c = finish(g, requests_find(g->requests, m->request_id));
	struct view token = m->u.node_status.token;

	(void)from;
	askers_answered(g->askers, &c->x.source, mono_ms());
	answer_text(c, "application/jwt", token.p, token.len);
	return 0;
}

static int
on_profile(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);

	(void)from;
	return add_item(r->data, api_json_profile(&m->u.profile));
}

static int
on_node(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct conn *c = requests_find(g->requests, m->request_id)->data;
	char url[ORIGIN_NAME_SIZE + 8];

	(void)from;
	if (origins_base_url(&g->origins, false, api_header(c, "Host"), url, sizeof(url)) != 0)
		return -FOG_E_BOUNDS;
	return add_item(c, api_json_node(&m->u.node, url));
}

static int
on_done(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);
	const char *name = r->phase == PH_LIST ? "sessions"
	    : r->phase == PH_PROFILES          ? "profiles"
					       : "nodes";
	struct conn *c = finish(g, r);
	json_t *list = c->x.list ? c->x.list : json_array();
	json_t *obj = json_pack("{s:o}", name, list);

	(void)from;
	c->x.list = NULL;
	if (obj && c->x.unreachable)
		json_object_set(obj, "unreachable_nodes", c->x.unreachable);
	answer_json(c, 200, obj);
	return 0;
}

static void
finish_renewal(struct gateway *g, struct request *r, int error)
{
	struct renewal *renewal = r->data;

	requests_remove(g->requests, r);
	renewal_answer(g, renewal, error);
}

static void
answer_refused(struct conn *c, enum msg_phase phase, const struct pl_gate_refused *why)
{
	struct problem p = { .error = why->error,
		.detail = why->detail,
		.rule_id = why->rule_id,
		.retry_after_s = why->retry_after_s,
		.policy_version = why->policy_version,
		.change = why->change,
		.nonce = why->nonce };

	/* Which check failed is in authd's log alone; a node's operator is told. */
	if (err_http_status(p.error) == 401 && p.error != FOG_E_NODE_TOKEN)
		p.detail = view_bytes(NULL, 0);
	if (phase == PH_LOGOUT)
		c->g->metrics.logouts_refused++;
	if (phase == PH_READY)
		answer_lost(c, phase, p.error);
	else
		answer_problem(c, &p);
}

static int
on_refused(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);
	enum msg_phase phase = r->phase;

	(void)from;
	if (!challenge_nonce_is_clean(m->u.gate_refused.nonce))
		return -FOG_E_LIAR;
	if (phase == PH_RENEW)
		finish_renewal(g, r, m->u.gate_refused.error);
	else
		answer_refused(finish(g, r), phase, &m->u.gate_refused);
	return 0;
}

static int
on_renewed(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);
	const struct renewal *renewal = r->data;

	(void)from;
	if (!id_equal(&m->u.renewed.session_id, &renewal->session_id) ||
	    m->u.renewed.attachment != renewal->attachment)
		return -FOG_E_LIAR;
	finish_renewal(g, r, FOG_OK);
	return 0;
}

static int
on_logged_out(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct conn *c = finish(g, requests_find(g->requests, m->request_id));

	(void)from;
	g->metrics.logouts++;
	answer_json(c, 200, json_pack("{s:b}", "logged_out", 1));
	return 0;
}

static int
on_ready(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct conn *c = finish(g, requests_find(g->requests, m->request_id));
	json_t *obj;

	(void)from;
	if (c->is_metrics) {
		api_metrics_answer(c, &m->u.gate_ready);
		return 0;
	}
	obj = api_json_ready(true, true, &m->u.gate_ready);
	if (api_is_ready(&m->u.gate_ready))
		answer_json(c, 200, obj);
	else
		answer_json_unready(c, obj);
	return 0;
}

/* --- an attach: the word of authd and the stream from ptyd, in either order --- */

static void
start_when_complete(struct gateway *g, struct request *r)
{
	struct conn *c = r->data;

	if (c->x.attach.fd >= 0 && c->x.attach.granted_role != ROLE_NONE)
		attach_start(finish(g, r));
}

/* One of the codes, which commas separate. */
static bool
names_reason(struct view codes, const char *code)
{
	while (codes.len > 0) {
		const char *comma = memchr(codes.p, ',', codes.len);
		size_t len = comma ? (size_t)(comma - codes.p) : codes.len;
		size_t used = len + (comma ? 1 : 0);

		if (view_is(view_bytes(codes.p, len), code))
			return true;
		codes = view_bytes(codes.p + used, codes.len - used);
	}
	return false;
}

static int
on_attached(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);
	struct exchange *x = &((struct conn *)r->data)->x;
	const struct pl_attached *said = &m->u.attached;

	(void)from;
	if (!id_equal(&said->session_id, &x->session_id) || x->attach.granted_role != ROLE_NONE ||
	    (x->attach.fd >= 0 && x->attach.delivered_role != said->role))
		return -FOG_E_LIAR;
	x->attach.granted_role = said->role;
	if (names_reason(said->placement_reason, "cloud-fallback"))
		view_copy(said->node, x->attach.fallback_node, sizeof(x->attach.fallback_node));
	start_when_complete(g, r);
	return 0;
}

static int
on_deliver(void *ctx, struct peer *from, struct msg *m)
{
	struct gateway *g = ctx;
	struct request *r = requests_find(g->requests, m->request_id);
	struct exchange *x = &((struct conn *)r->data)->x;
	const struct pl_session_role *said = &m->u.session_role;

	(void)from;
	if (!id_equal(&said->session_id, &x->session_id) || x->attach.fd >= 0 ||
	    (x->attach.granted_role != ROLE_NONE && x->attach.granted_role != said->role) ||
	    !peer_fd_is_stream(m->fd))
		return -FOG_E_LIAR;
	x->attach.fd = steal_fd(&m->fd);
	x->attach.delivered_role = said->role;
	start_when_complete(g, r);
	return 0;
}

const msg_handler peers_handlers[MSG_COUNT] = {
	[MSG_GATE_SESSION] = on_session,
	[MSG_GATE_SHOWN] = on_shown,
	[MSG_GATE_EXTENDED] = on_session,
	[MSG_GATE_CREATED] = on_created,
	[MSG_GATE_MINTED] = on_minted,
	[MSG_GATE_ENDED] = on_ended,
	[MSG_GATE_PROFILE] = on_profile,
	[MSG_GATE_NODE] = on_node,
	[MSG_GATE_DONE] = on_done,
	[MSG_GATE_REFUSED] = on_refused,
	[MSG_GATE_ATTACHED] = on_attached,
	[MSG_GATE_READY] = on_ready,
	[MSG_GATE_RENEWED] = on_renewed,
	[MSG_GATE_LOGGED_OUT] = on_logged_out,
	[MSG_GATE_RELAYED] = on_relayed,
	[MSG_GATE_UNREACHED] = on_unreached,
	[MSG_GATE_REDIRECT] = on_redirect,
	[MSG_GATE_CONFIRMED] = on_confirmed,
	[MSG_GATE_STATUS] = on_status,
	[MSG_GATE_DELIVER] = on_deliver,
};

unsigned
peers_phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	struct gateway *g = ctx;

	(void)from;
	return m->request_id ? requests_phase(g->requests, m->request_id) : PH_NOTE;
}

/* --- edges --- */

void
peers_edge_up(void *ctx, struct peer *p)
{
	struct gateway *g = ctx;

	if (peer_edge(p) == EDGE_GATE_AUTH && g->incarnation == 0)
		g->incarnation = (uint32_t)peer_epoch(p);
}

/* No stream will come for these any more, whatever authd says. */
static void
lose_undelivered(struct gateway *g)
{
	struct conn *c, *after;

	for (c = TAILQ_FIRST(&g->conns); c; c = after) {
		struct request *r = requests_find(g->requests, c->x.request_id);

		after = TAILQ_NEXT(c, next);
		if (r && r->phase == PH_ATTACH && c->x.attach.fd < 0)
			answer_error(finish(g, r), -FOG_E_UNAVAILABLE, NULL);
	}
}

void
peers_edge_down(void *ctx, enum edge edge)
{
	struct gateway *g = ctx;

	if (edge == EDGE_GATE_AUTH)
		requests_clear(g->requests, -FOG_E_UNAVAILABLE);
	else if (edge == EDGE_DELIVERY)
		lose_undelivered(g);
}
