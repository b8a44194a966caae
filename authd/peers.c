/* SPDX-License-Identifier: MIT */
/*
 * Requests from gatewayd, on to placerd with a name; answers back. gatewayd is taken for hostile:
 * it has no field in which to name a subject, and what an answer is about is held against what was
 * asked, so that no token is minted for a session or role that nobody wished for.
 */
#include "authd/peers.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "authd/asked.h"
#include "authd/forward.h"
#include "authd/keyfetch.h"
#include "authd/listing.h"
#include "authd/nodefetch.h"
#include "authd/waiting.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/proc.h"

#define REQUESTS_MAX 1024

/* As asked_refuse_message, for what is wrong with a token. */
static int
refuse_token(struct peer *from, const struct msg *m, int error, const struct refusal *r)
{
	struct pl_gate_refused why = { .error = (uint16_t)-error,
		.detail = view_of(r->detail),
		.retry_after_s = r->retry_after_s,
		.nonce = view_of(r->nonce) };

	log_info("%s req=%llx error=%s reason=\"%s\"",
	    m->type == MSG_AUTH_LOGOUT ? "event=logout_refused" : "event=bearer_refused",
	    (unsigned long long)m->request_id, err_code(error), r->reason);
	peer_send(from, MSG_GATE_REFUSED, m->request_id, &m->trace, &why, -1);
	return 0;
}

/* --- requests that wait for a key --- */

static int
refuse_for_now(const struct authd *a, struct peer *from, const struct msg *m)
{
	struct refusal why = { .reason = "no_room_to_wait_for_a_key",
		.detail = "",
		.retry_after_s = keyfetch_retry_after_s(a->provider) };

	return refuse_token(from, m, -FOG_E_NO_KEYS, &why);
}

/*
 * Its id is in use from now on, and no message with it is legal: neither a second one of gatewayd nor
 * an answer of placerd, which has not heard of it.
 */
static int
wait_for_key(struct authd *a, struct peer *from, const struct msg *m)
{
	uint64_t deadline = asked_deadline_mono_ms(a);
	struct waiter *w = waiting_add(a->waiting_for_key, m, peer_epoch(from), deadline);

	if (w &&
	    requests_add(a->requests, m->request_id, PH_WAITS, &m->trace, asked_left_ms(deadline),
		w))
		return 0;
	if (w)
		waiting_remove(a->waiting_for_key, w);
	return refuse_for_now(a, from, m);
}

/* As if it came only now; but its deadline stays what it was. */
static void
go_on(void *ctx, const struct waiter *w, struct msg *m)
{
	struct authd *a = ctx;
	struct request *r = requests_find(a->requests, w->id);
	struct peer *gate = proc_peer(EDGE_GATE_AUTH);

	if (r)
		requests_remove(a->requests, r);
	if (!gate || peer_epoch(gate) != w->gate_epoch)
		return;
	a->deadline_mono_ms = w->deadline_mono_ms;
	authd_handlers[m->type](a, gate, m);
	a->deadline_mono_ms = 0;
}

static void
on_round_ended(void *ctx)
{
	struct authd *a = ctx;

	waiting_wake(a->waiting_for_key);
}

/* Nobody is left to be answered, and placerd has not heard of them: their ids are free. */
static void
forget_waiting(struct authd *a)
{
	struct waiter *w;

	while (a->waiting_for_key && (w = waiting_first(a->waiting_for_key))) {
		requests_remove(a->requests, requests_find(a->requests, w->id));
		waiting_remove(a->waiting_for_key, w);
	}
}

/* The provider did not answer in time, or there is no more point in its answer. */
static void
lose_waiting(struct authd *a, const struct request *r, int error)
{
	struct pl_gate_refused why = { .error = FOG_E_NO_KEYS,
		.retry_after_s = keyfetch_retry_after_s(a->provider) };
	struct waiter *w = r->data;
	struct asked q = { .id = w->id, .gate_epoch = w->gate_epoch, .trace = r->trace };

	if (error == -FOG_E_TIMEOUT)
		log_warnx("event=timeout req=%llx waited_for=keys", (unsigned long long)r->id);
	else
		why.error = (uint16_t)-error;
	waiting_remove(a->waiting_for_key, w);
	asked_answer(&q, MSG_GATE_REFUSED, &why);
}

/* --- requests to placerd --- */

static void
on_lost(void *ctx, struct request *r, int error)
{
	struct authd *a = ctx;
	struct asked *q = r->data;

	if (r->phase == PH_WAITS) {
		lose_waiting(a, r, error);
		return;
	}
	if (error == -FOG_E_TIMEOUT)
		log_warnx("event=timeout req=%llx waited_for=placerd", (unsigned long long)r->id);
	asked_refuse(q, error, "");
	asked_release(a, q);
}

_Static_assert(offsetof(union payload, bearer.bearer) == 0 &&
	offsetof(union payload, bearer_session.bearer) == 0 &&
	offsetof(union payload, bearer_create.bearer) == 0 &&
	offsetof(union payload, bearer_session.proof) == offsetof(union payload, bearer.proof) &&
	offsetof(union payload, bearer_create.proof) == offsetof(union payload, bearer.proof),
    "the bearer comes first, with its scheme and proof");

/* As ask, for somebody: the bearer of m is verified first, whatever comes after. */
static struct asked *
ask_as(struct authd *a, struct peer *from, const struct msg *m, enum msg_phase phase)
{
	struct refusal why;
	struct identity who;
	struct asked *q;
	int rc = verify_bearer(a, m, &who, &why);

	if (rc != 0) {
		if (rc == VERIFY_WAIT)
			wait_for_key(a, from, m);
		else
			refuse_token(from, m, rc, &why);
		return NULL;
	}
	q = asked_new(a, from, m, phase);
	if (!q)
		return NULL;
	q->who = who;
	q->is_bound = m->u.bearer.scheme == SCHEME_DPOP;
	view_copy(m->u.bearer.forwarded_by, q->forwarded_by, sizeof(q->forwarded_by));
	pass_keep(q, m);
	return q;
}

#define COPY_FIELD(T, kind, name, min, max) .name = from_gate->name,

static int
on_create(void *ctx, struct peer *from, struct msg *m)
{
	const struct pl_bearer_create *from_gate = &m->u.bearer_create;
	struct asked *q = ask_as(ctx, from, m, PH_CREATE);

	if (q) {
		struct pl_create to = { WHO_OF(q), FIELDS_wish(COPY_FIELD, ) };

		asked_sent(ctx, m->request_id,
		    proc_send(EDGE_AUTH_PLACE, MSG_PLACE_CREATE, m->request_id, &m->trace, &to,
			-1));
	}
	return 0;
}

static int
ask_listing(struct authd *a, struct peer *from, const struct msg *m, enum msg_phase phase,
    enum msg_type passed_on)
{
	struct asked *q = ask_as(a, from, m, phase);

	if (q)
		listing_add(a, q, passed_on);
	return 0;
}

static int
on_list(void *ctx, struct peer *from, struct msg *m)
{
	return ask_listing(ctx, from, m, PH_LIST, MSG_PLACE_LIST);
}

static int
on_profiles(void *ctx, struct peer *from, struct msg *m)
{
	return ask_listing(ctx, from, m, PH_PROFILES, MSG_PLACE_PROFILES);
}

static int
on_nodes(void *ctx, struct peer *from, struct msg *m)
{
	return ask_listing(ctx, from, m, PH_NODES, MSG_PLACE_NODES);
}

static int
ask_of_session(struct authd *a, struct peer *from, const struct msg *m, enum msg_phase phase,
    enum msg_type passed_on)
{
	const struct pl_bearer_session *from_gate = &m->u.bearer_session;
	struct asked *q = ask_as(a, from, m, phase);

	if (q) {
		struct pl_who_session to = { WHO_OF(q), .session_id = from_gate->session_id };

		q->session_id = from_gate->session_id;
		asked_sent(a, m->request_id,
		    proc_send(EDGE_AUTH_PLACE, passed_on, m->request_id, &m->trace, &to, -1));
	}
	return 0;
}

static int
on_show(void *ctx, struct peer *from, struct msg *m)
{
	return ask_of_session(ctx, from, m, PH_SHOW, MSG_PLACE_SHOW);
}

static int
on_end(void *ctx, struct peer *from, struct msg *m)
{
	return ask_of_session(ctx, from, m, PH_END, MSG_PLACE_END);
}

static int
on_confirm(void *ctx, struct peer *from, struct msg *m)
{
	return ask_of_session(ctx, from, m, PH_CONFIRM, MSG_PLACE_CONFIRM);
}

static int
on_mint(void *ctx, struct peer *from, struct msg *m)
{
	const struct pl_bearer_mint *from_gate = &m->u.bearer_mint;
	struct asked *q = ask_as(ctx, from, m, PH_MINT);

	if (q) {
		struct pl_who_mint to = { WHO_OF(q), .session_id = from_gate->session_id,
			.role = from_gate->role };

		q->session_id = from_gate->session_id;
		q->role = from_gate->role;
		asked_sent(ctx, m->request_id,
		    proc_send(EDGE_AUTH_PLACE, MSG_PLACE_MINT, m->request_id, &m->trace, &to, -1));
	}
	return 0;
}

static int
on_extend(void *ctx, struct peer *from, struct msg *m)
{
	const struct pl_bearer_extend *from_gate = &m->u.bearer_extend;
	struct asked *q = ask_as(ctx, from, m, PH_EXTEND);

	if (q) {
		struct pl_who_extend to = { WHO_OF(q), .session_id = from_gate->session_id,
			.ttl_seconds = from_gate->ttl_seconds };

		q->session_id = from_gate->session_id;
		asked_sent(ctx, m->request_id,
		    proc_send(EDGE_AUTH_PLACE, MSG_PLACE_EXTEND, m->request_id, &m->trace, &to,
			-1));
	}
	return 0;
}

/* One public text for all causes: a forger learns nothing. */
static int
check_attach_token(const struct authd *a, const struct msg *m, struct view token,
    const struct id128 *session_id, struct grant *g)
{
	const char *why = "";
	int rc = grant_verify(&a->keys, token, g, &why);

	if (rc == 0 && !id_equal(&g->session_id, session_id)) {
		why = "OTHER_SESSION";
		rc = -FOG_E_BAD_ATTACH_TOKEN;
	}
	if (rc != 0)
		log_info("event=attach_token_refused sid=%s req=%llx reason=%s", log_id(session_id),
		    (unsigned long long)m->request_id, why);
	return rc;
}

#define GRANT_OF(g) \
	.session_id = (g).session_id, SUBJECT_OF(g), .token_id = (g).token_id, \
	.token_expires_boot_ms = (g).expires_boot_ms, .role = (uint8_t)(g).role

static int
on_attach(void *ctx, struct peer *from, struct msg *m)
{
	const struct pl_use_token *use = &m->u.use_token;
	struct grant g;
	struct asked *q;
	int rc = check_attach_token(ctx, m, use->token, &use->session_id, &g);

	if (rc != 0)
		return asked_refuse_message(from, m, rc, "");
	q = asked_new(ctx, from, m, PH_ATTACH);
	if (q) {
		struct pl_attach to = { GRANT_OF(g), .has_out = use->has_out,
			.out_from = use->out_from };

		q->session_id = g.session_id;
		q->role = to.role;
		asked_sent(ctx, m->request_id,
		    proc_send(EDGE_AUTH_PLACE, MSG_PLACE_ATTACH, m->request_id, &m->trace, &to,
			-1));
	}
	return 0;
}

/* A fresh attach token, for an attachment that is there already. */
static int
on_renew(void *ctx, struct peer *from, struct msg *m)
{
	const struct pl_use_renewal *use = &m->u.use_renewal;
	struct grant g;
	struct asked *q;
	int rc = check_attach_token(ctx, m, use->token, &use->session_id, &g);

	if (rc != 0)
		return asked_refuse_message(from, m, rc, "");
	q = asked_new(ctx, from, m, PH_RENEW);
	if (q) {
		struct pl_renew to = { GRANT_OF(g), .attachment = use->attachment };

		q->session_id = g.session_id;
		q->attachment = use->attachment;
		asked_sent(ctx, m->request_id,
		    proc_send(EDGE_AUTH_PLACE, MSG_PLACE_RENEW, m->request_id, &m->trace, &to, -1));
	}
	return 0;
}

/* OIDC Back-Channel Logout 1.0 2.5 and 2.6; whether its jti is new is for placerd to say. */
static int
on_logout(void *ctx, struct peer *from, struct msg *m)
{
	struct authd *a = ctx;
	struct refusal why;
	struct claims c;
	int rc = verify_logout(a, m->u.logout.token, &c, &why);

	if (rc == VERIFY_WAIT)
		return wait_for_key(a, from, m);
	if (rc != 0)
		return refuse_token(from, m, rc, &why);
	if (asked_new(a, from, m, PH_LOGOUT)) {
		/* The token is good for the skew past its exp, and so long it may be sent again. */
		struct pl_revoke to = { .issuer = view_of(c.issuer),
			.subject = view_of(c.subject),
			.sid = view_of(c.sid),
			.at_s = c.issued_s,
			.jti = view_of(c.jti),
			.jti_expires_s = c.expires_s + CLAIMS_SKEW_MAX_S };

		asked_sent(a, m->request_id,
		    proc_send(EDGE_AUTH_PLACE, MSG_PLACE_REVOKE, m->request_id, &m->trace, &to,
			-1));
	}
	return 0;
}

static int
on_check(void *ctx, struct peer *from, struct msg *m)
{
	if (asked_new(ctx, from, m, PH_READY))
		asked_sent(ctx, m->request_id,
		    proc_send(EDGE_AUTH_PLACE, MSG_PLACE_CHECK, m->request_id, &m->trace,
			&m->u.check, -1));
	return 0;
}

/* Another node's own token, which placerd reads: nobody is signed in by it. */
static int
on_status(void *ctx, struct peer *from, struct msg *m)
{
	if (asked_new(ctx, from, m, PH_STATUS))
		asked_sent(ctx, m->request_id,
		    proc_send(EDGE_AUTH_PLACE, MSG_PLACE_STATUS, m->request_id, &m->trace,
			&m->u.node_token, -1));
	return 0;
}

/* --- answers of placerd --- */

/*
 * Those that only change their number. last: phases in which it is the whole answer or its end.
 * about: phases in which it has to name the session, and by `names` the role or the attachment,
 * that was asked for.
 */
enum names { NAMES_SESSION, NAMES_ROLE, NAMES_ATTACHMENT };

static const struct relay {
	enum msg_type from, to;
	unsigned last, about;
	enum names names;
} relays[] = {
	{ MSG_AUTH_SESSION, MSG_GATE_SESSION, 0, 0, NAMES_SESSION },
	{ MSG_AUTH_SHOWN, MSG_GATE_SHOWN, PH_SHOW, PH_SHOW, NAMES_SESSION },
	{ MSG_AUTH_ENDED, MSG_GATE_ENDED, PH_END, PH_END, NAMES_SESSION },
	{ MSG_AUTH_EXTENDED, MSG_GATE_EXTENDED, PH_EXTEND, PH_EXTEND, NAMES_SESSION },
	{ MSG_AUTH_PROFILE, MSG_GATE_PROFILE, 0, 0, NAMES_SESSION },
	{ MSG_AUTH_NODE, MSG_GATE_NODE, 0, 0, NAMES_SESSION },
	{ MSG_AUTH_DONE, MSG_GATE_DONE, PH_LISTINGS, 0, NAMES_SESSION },
	{ MSG_AUTH_ATTACHED, MSG_GATE_ATTACHED, PH_ATTACH, PH_ATTACH, NAMES_ROLE },
	{ MSG_AUTH_RENEWED, MSG_GATE_RENEWED, PH_RENEW, PH_RENEW, NAMES_ATTACHMENT },
	{ MSG_AUTH_REVOKED, MSG_GATE_LOGGED_OUT, PH_LOGOUT, 0, NAMES_SESSION },
	{ MSG_AUTH_CONFIRMED, MSG_GATE_CONFIRMED, PH_CONFIRM, PH_CONFIRM, NAMES_SESSION },
	{ MSG_AUTH_NODE_STATUS, MSG_GATE_STATUS, PH_STATUS, 0, NAMES_SESSION },
};

/* Where a payload names a session, the id is its first field. */
_Static_assert(offsetof(union payload, session.session_id) == 0 &&
	offsetof(union payload, shown.session_id) == 0 &&
	offsetof(union payload, session_role.session_id) == 0 &&
	offsetof(union payload, attached.session_id) == 0 &&
	offsetof(union payload, renewed.session_id) == 0 &&
	offsetof(union payload, session_id.session_id) == 0,
    "the session id comes first");
_Static_assert(offsetof(union payload, attached.role) == offsetof(union payload, session_role.role),
    "and the role after it");

static bool
is_about(const struct asked *q, const struct msg *m, enum names names)
{
	return id_equal(&m->u.session_id.session_id, &q->session_id) &&
	    (names != NAMES_ROLE || m->u.session_role.role == q->role) &&
	    (names != NAMES_ATTACHMENT || m->u.renewed.attachment == q->attachment);
}

static const struct relay *
find_relay(enum msg_type type)
{
	for (size_t i = 0; i < COUNT_OF(relays); i++) {
		if (relays[i].from == type)
			return &relays[i];
	}
	return NULL;
}

static int
on_relayed(void *ctx, struct peer *from, struct msg *m)
{
	struct authd *a = ctx;
	const struct relay *relay = find_relay(m->type);
	struct asked *q = asked_find(a, m->request_id);

	(void)from;
	if ((q->phase & PH_LISTINGS) && listing_is_silent(q))
		return -FOG_E_LIAR;
	if ((relay->about & q->phase) && !is_about(q, m, relay->names))
		return -FOG_E_LIAR;
	if (!(relay->last & q->phase)) {
		asked_answer(q, relay->to, &m->u);
		return 0;
	}
	if (m->type == MSG_AUTH_DONE && listing_gather(a, q))
		return 0;
	q = asked_take(a, m->request_id);
	asked_answer(q, relay->to, &m->u);
	asked_release(a, q);
	return 0;
}

static int
on_refused(void *ctx, struct peer *from, struct msg *m)
{
	struct authd *a = ctx;
	struct asked *q = asked_find(a, m->request_id);
	const struct pl_refused *placer = &m->u.refused;
	struct pl_gate_refused why = { .error = placer->error,
		.rule_id = placer->rule_id,
		.detail = placer->detail,
		.retry_after_s = placer->retry_after_s,
		.policy_version = placer->policy_version,
		.change = placer->change };

	(void)from;
	if ((q->phase & PH_LISTINGS) && listing_is_silent(q))
		return -FOG_E_LIAR;
	asked_take(a, q->id);
	asked_answer(q, MSG_GATE_REFUSED, &why);
	asked_release(a, q);
	return 0;
}

/* Without a provider and without the shim nobody can sign in, now or later. */
static enum sign_in
sign_in_of(const struct authd *a)
{
	if (a->provider)
		return keyfetch_sign_in(a->provider);
	return a->dev_shim ? SIGN_IN_DEV : SIGN_IN_WAITING;
}

#define COPY_READY(T, kind, name, min, max) .name = m->u.ready.name,

static int
on_ready(void *ctx, struct peer *from, struct msg *m)
{
	struct authd *a = ctx;
	struct asked *q = asked_take(a, m->request_id);
	struct pl_gate_ready ready = { .sign_in = (uint8_t)sign_in_of(a),
		FIELDS_ready(COPY_READY, ) };

	(void)from;
	asked_answer(q, MSG_GATE_READY, &ready);
	asked_release(a, q);
	return 0;
}

static int
mint(const struct authd *a, const struct asked *q, const struct id128 *session_id, uint8_t role,
    struct grant *g, char *token)
{
	*g = (struct grant){ .session_id = *session_id, .role = role };
	memcpy(g->issuer, q->who.issuer, sizeof(g->issuer));
	memcpy(g->subject, q->who.subject, sizeof(g->subject));
	memcpy(g->sid, q->who.sid, sizeof(g->sid));
	g->issued_s = q->who.issued_s;
	g->until_boot_ms = q->who.until_boot_ms;
	return grant_mint(&a->keys, g, token, ATTACH_TOKEN_BYTES);
}

#define COPY_SESSION(T, kind, name, min, max) .name = session->name,

static int
on_created(void *ctx, struct peer *from, struct msg *m)
{
	struct authd *a = ctx;
	const struct pl_session *session = &m->u.session;
	struct asked *q = asked_take(a, m->request_id);
	char token[ATTACH_TOKEN_BYTES];
	struct grant g;
	int rc = mint(a, q, &session->session_id, ROLE_DRIVER, &g, token);

	(void)from;
	if (rc == 0) {
		struct pl_created created = { .token = view_of(token),
			.token_expires_s = g.expires_s,
			FIELDS_session(COPY_SESSION, ) };

		asked_answer(q, MSG_GATE_CREATED, &created);
		log_info("event=token_minted sid=%s req=%llx token_id=%s role=driver",
		    log_id(&g.session_id), (unsigned long long)q->id, log_id(&g.token_id));
	} else {
		asked_refuse(q, rc, "");
	}
	explicit_bzero(token, sizeof(token));
	asked_release(a, q);
	return 0;
}

static int
on_mintable(void *ctx, struct peer *from, struct msg *m)
{
	struct authd *a = ctx;
	struct asked *q = asked_find(a, m->request_id);
	char token[ATTACH_TOKEN_BYTES];
	struct grant g;
	int rc;

	(void)from;
	if (!is_about(q, m, NAMES_ROLE))
		return -FOG_E_LIAR;
	q = asked_take(a, m->request_id);
	rc = mint(a, q, &q->session_id, q->role, &g, token);
	if (rc == 0) {
		struct pl_minted minted = { .session_id = g.session_id,
			.role = q->role,
			.token = view_of(token),
			.token_expires_s = g.expires_s };

		asked_answer(q, MSG_GATE_MINTED, &minted);
		log_info("event=token_minted sid=%s req=%llx token_id=%s role=%s",
		    log_id(&g.session_id), (unsigned long long)q->id, log_id(&g.token_id),
		    session_role_name(g.role));
	} else {
		asked_refuse(q, rc, "");
	}
	explicit_bzero(token, sizeof(token));
	asked_release(a, q);
	return 0;
}

/* --- the fetcher --- */

static int
on_fetched_part(void *ctx, struct peer *from, struct msg *m)
{
	const struct authd *a = ctx;

	(void)from;
	return nodefetch_is_ours(m->request_id) ? nodefetches_on_part(a->nodes, m)
						: keyfetch_on_part(a->provider, &m->u.fetched_part);
}

static int
on_fetched(void *ctx, struct peer *from, struct msg *m)
{
	const struct authd *a = ctx;

	(void)from;
	return nodefetch_is_ours(m->request_id) ? nodefetches_on_end(a->nodes, m)
						: keyfetch_on_end(a->provider, &m->u.fetched);
}

/* --- the role's hooks --- */

/* The ids of gatewayd's requests and those of our own to the fetcher have nothing in common. */
unsigned
peers_phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	const struct authd *a = ctx;

	if (m->request_id == 0)
		return PH_NOTE;
	if (peer_edge(from) == EDGE_AUTH_FETCH && nodefetch_is_ours(m->request_id))
		return nodefetches_phase(a->nodes, m->request_id);
	if (peer_edge(from) == EDGE_AUTH_FETCH)
		return a->provider ? keyfetch_phase(a->provider, m->request_id) : PH_NOTE;
	return requests_phase(a->requests, m->request_id);
}

void
peers_edge_up(void *ctx, struct peer *p)
{
	const struct authd *a = ctx;

	log_debug("event=neighbour peer=%s", proc_name(peer_other(p)));
	if (peer_edge(p) == EDGE_AUTH_FETCH && a->provider)
		keyfetch_edge_up(a->provider);
}

/*
 * gatewayd's end: what it asked stays in the table until it is answered or late, so that its
 * successor cannot use the same ids meanwhile and make this process look like a liar to placerd.
 */
void
peers_edge_down(void *ctx, enum edge edge)
{
	struct authd *a = ctx;

	if (edge == EDGE_AUTH_PLACE)
		requests_clear(a->requests, -FOG_E_UNAVAILABLE);
	else if (edge == EDGE_GATE_AUTH)
		forget_waiting(a);
	if (edge == EDGE_AUTH_FETCH)
		nodefetches_edge_down(a->nodes);
	if (edge == EDGE_AUTH_FETCH && a->provider)
		keyfetch_edge_down(a->provider);
}

static int
start_provider(struct authd *a)
{
	if (!a->key_rules.issuer)
		return 0;
	a->waiting_for_key = waiting_new(proc_base(), go_on, a);
	a->provider = keyfetch_new(proc_base(), &a->key_rules, proc_config()->oidc_fetch_timeout_ms,
	    on_round_ended, a);
	return a->waiting_for_key && a->provider ? 0 : -1;
}

int
peers_start(struct authd *a)
{
	TAILQ_INIT(&a->confirms);
	a->nodes = nodefetches_new(proc_base());
	a->requests = requests_new(proc_base(), REQUESTS_MAX, on_lost, a);
	return a->nodes && a->requests && listing_start(a) == 0 ? start_provider(a) : -1;
}

const msg_handler authd_handlers[MSG_COUNT] = {
	[MSG_AUTH_CREATE] = on_create,
	[MSG_AUTH_LIST] = on_list,
	[MSG_AUTH_SHOW] = on_show,
	[MSG_AUTH_END] = on_end,
	[MSG_AUTH_MINT] = on_mint,
	[MSG_AUTH_ATTACH] = on_attach,
	[MSG_AUTH_EXTEND] = on_extend,
	[MSG_AUTH_RENEW] = on_renew,
	[MSG_AUTH_LOGOUT] = on_logout,
	[MSG_AUTH_PROFILES] = on_profiles,
	[MSG_AUTH_NODES] = on_nodes,
	[MSG_AUTH_CHECK] = on_check,
	[MSG_AUTH_CONFIRM] = on_confirm,
	[MSG_AUTH_STATUS] = on_status,
	[MSG_AUTH_SESSION] = on_relayed,
	[MSG_AUTH_SHOWN] = on_relayed,
	[MSG_AUTH_CREATED] = on_created,
	[MSG_AUTH_MINTABLE] = on_mintable,
	[MSG_AUTH_ENDED] = on_relayed,
	[MSG_AUTH_EXTENDED] = on_relayed,
	[MSG_AUTH_PROFILE] = on_relayed,
	[MSG_AUTH_NODE] = on_relayed,
	[MSG_AUTH_DONE] = on_relayed,
	[MSG_AUTH_REFUSED] = on_refused,
	[MSG_AUTH_ATTACHED] = on_relayed,
	[MSG_AUTH_RENEWED] = on_relayed,
	[MSG_AUTH_REVOKED] = on_relayed,
	[MSG_AUTH_READY] = on_ready,
	[MSG_AUTH_FORWARD] = forward_on_request,
	[MSG_AUTH_ALSO] = listing_on_also,
	[MSG_AUTH_CONFIRMED] = on_relayed,
	[MSG_AUTH_NODE_STATUS] = on_relayed,
	[MSG_AUTH_FETCHED_PART] = on_fetched_part,
	[MSG_AUTH_FETCHED] = on_fetched,
};
