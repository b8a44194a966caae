/* SPDX-License-Identifier: MIT */
/*
 * The making of a session: decide (policy, then place), reserve, write down, order. Nothing is
 * ordered that is not in the audit log before.
 */
#include "placerd/placerd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/cleanup.h"
#include "common/codec.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "placerd/asked_record.h"
#include "placerd/decision.h"
#include "placerd/nodes.h"
#include "placerd/quota.h"
#include "placerd/where.h"

#define SPAWN_RETRY_SECONDS 1

/* What was decided on one request. */
struct verdict {
	int error; /* 0: it may be made */
	const char *rule_id;
	struct policy_decision decision; /* its detail says why not */
	uint32_t live;                   /* the subject's sessions of that profile, then */
	struct where where;              /* its choice, when policy allows it */
	size_t node;                     /* of d->nodes: the one chosen */
	char reasons[PLACE_REASON_BYTES];
};

bool
create_in_sandbox(void)
{
	return strcmp(proc_config()->runtime, "sandbox") == 0;
}

/* A retry measures latencies anew, so they are no part of what has to be the same. */
static uint64_t
hash_wish(const struct pl_create *want)
{
	const struct view parts[] = { want->profile, want->placement_hint, want->image_ref };
	uint64_t h = fnv1a(FNV1A_SEED, &want->ttl_seconds, sizeof(want->ttl_seconds));

	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		h = fnv1a(h, &parts[i].len, sizeof(parts[i].len));
		h = fnv1a(h, parts[i].p, parts[i].len);
	}
	return h;
}

/* --- repeats --- */

static int
answer_created(const struct asked *q, const struct session *s)
{
	struct pl_session made = session_to_wire(s);

	return peers_answer(q, MSG_AUTH_CREATED, &made);
}

int
create_answer_repeat(const struct asked *q, const struct session *s)
{
	if (!s)
		return peers_refuse(q, -FOG_E_UNAVAILABLE, "", "");
	return s->make_error ? peers_refuse(q, s->make_error, "", "") : answer_created(q, s);
}

void
create_answer_repeats(struct placerd *d)
{
	struct asked *q = TAILQ_FIRST(&d->repeats), *after;

	for (; q; q = after) {
		const struct session *s = registry_find(d->registry, &q->session_id);

		after = TAILQ_NEXT(q, next);
		if (s && s->status == STATUS_STARTING)
			continue;
		TAILQ_REMOVE(&d->repeats, q, next);
		q->is_repeat = false;
		if (s && provisional_is(s)) {
			/* Should ptyd's end go down by it, so do these requests. */
			provisional_order(d, q, provisional_until(q->is_forwarded));
			after = TAILQ_FIRST(&d->repeats);
			continue;
		}
		peers_take(d, q->id);
		create_answer_repeat(q, s);
		free(q);
	}
}

/* The same key again: the same session, as soon as there is one. */
static int
repeat(struct placerd *d, struct peer *from, const struct msg *m, struct session *s)
{
	struct pl_session made = session_to_wire(s);
	struct asked *q;

	if (s->idem_hash != hash_wish(&m->u.create))
		return peers_refuse_message(from, m, -FOG_E_IDEMPOTENCY, "", "");
	if (s->status != STATUS_STARTING && !provisional_is(s))
		return peer_send(from, MSG_AUTH_CREATED, m->request_id, &m->trace, &made, -1);
	q = peers_ask(d, from, m, PH_CREATE, &s->id);
	if (!q)
		return 0;
	q->is_forwarded = m->u.create.forwarded_by.len > 0;
	q->is_repeat = s->status == STATUS_STARTING;
	if (q->is_repeat)
		TAILQ_INSERT_TAIL(&d->repeats, q, next);
	else
		provisional_order(d, q, provisional_until(q->is_forwarded));
	return 0;
}

/* --- decide --- */

static void
deny(struct verdict *v, int error, const char *rule_id)
{
	v->error = error;
	v->rule_id = rule_id;
}

/* The rule, and behind what it says what is against how many nodes, and who was tried. */
static void
refuse_place(const struct pl_create *want, struct verdict *v, int rc, const struct elsewhere *e)
{
	struct policy_decision *decision = &v->decision;
	enum policy_rule rule = POLICY_ALLOW;
	size_t used;

	if (rc == -FOG_E_NOMEM) {
		deny(v, rc, "");
		return;
	}
	for (size_t i = 0; i < v->where.n; i++)
		rule = policy_rule_of_placement(rule,
		    place_judge(&v->where.request, &v->where.nodes[i]));
	policy_deny_placement(decision, rule, want->profile);
	deny(v, -(int)policy_rule_error(decision->rule), policy_rule_id(decision->rule));
	used = strlen(decision->detail);
	if (e && *e->tried)
		snprintf(decision->detail + used, sizeof(decision->detail) - used, "; tried %s",
		    e->tried);
}

static void
choose_node(struct placerd *d, const struct pl_create *want, const struct elsewhere *e,
    struct verdict *v)
{
	struct where_ask ask = { .issuer = want->issuer,
		.subject = want->subject,
		.hint = want->placement_hint,
		.latencies = want->latencies,
		.decision = &v->decision,
		.only_here = want->forwarded_by.len > 0 || elsewhere_is_late(e),
		.failed = e ? e->failed : NULL,
		.n_failed = e ? e->n_failed : 0 };
	int rc = where_choose(d, &ask, &v->where);

	if (rc != 0) {
		refuse_place(want, v, rc, e);
		return;
	}
	v->node = ask.only_here ? nodes_self(d->nodes) : v->where.choice.fit[0].node;
	place_format_reasons(v->where.choice.fit[0].reasons, v->reasons);
}

static void
decide(struct placerd *d, const struct pl_create *want, const struct elsewhere *e,
    struct verdict *v)
{
	struct policy_identity who = { want->issuer, want->subject, want->groups };
	struct policy_request request = { want->profile, want->ttl_seconds, want->image_ref,
		.needs_image = create_in_sandbox() };
	struct quota_key key = { want->issuer, want->subject, want->profile };

	memset(v, 0, sizeof(*v));
	v->live = quota_count(d->keepers.quota, &key);
	policy_admit(d->policy, &who, &request, v->live, &v->decision);
	v->rule_id = policy_rule_id(v->decision.rule);
	v->error = -(int)policy_rule_error(v->decision.rule);
	if (v->error == 0)
		choose_node(d, want, e, v);
}

/* What policy went by. */
static struct json_t *
record_request(const struct pl_create *want, const struct verdict *v)
{
	struct policy_identity who = { want->issuer, want->subject, want->groups };
	struct policy_request request = { want->profile, want->ttl_seconds, want->image_ref,
		.needs_image = create_in_sandbox() };

	return asked_record_to_json(&who, &request, v->live);
}

static int
refuse_denied(struct placerd *d, struct peer *from, const struct msg *m, const struct verdict *v)
{
	const struct pl_create *want = &m->u.create;
	struct audit_event e = { .name = AUDIT_POLICY_DENIED,
		.issuer = want->issuer,
		.subject = want->subject,
		.profile = want->profile,
		.rule_id = view_of(v->rule_id),
		.node = view_of(d->node_name),
		.detail = view_of(v->decision.detail),
		.policy = view_of(v->decision.version),
		.request = record_request(want, v),
		.trace = &m->trace };
	struct pl_refused why = { .error = (uint16_t)-v->error,
		.rule_id = view_of(v->rule_id),
		.detail = view_of(v->decision.detail),
		.policy_version = view_of(v->decision.version),
		.change = view_of(v->decision.change) };
	char shown[128];

	if (v->where.nodes)
		e.decision = decision_to_json(&v->where.request, v->where.nodes, v->where.n,
		    &v->where.choice, d->nodes);
	audit_write(d->keepers.audit, &e);
	json_release(e.request);
	json_release(e.decision);
	log_info("event=create_denied req=%llx rule=%s subject=%s",
	    (unsigned long long)m->request_id, v->rule_id,
	    log_escape(want->subject, shown, sizeof(shown)));
	peer_send(from, MSG_AUTH_REFUSED, m->request_id, &m->trace, &why, -1);
	return 0;
}

/* --- reserve --- */

bool
create_load(void)
{
	struct raw32 ignored;

	return create_home_id(view_of("i"), view_of("s"), view_of("p"), &ignored) == 0;
}

/* Neither an issuer nor a subject nor a profile has a NUL in it. */
int
create_home_id(struct view issuer, struct view subject, struct view profile, struct raw32 *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct raw32 id;
	bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
	    EVP_DigestUpdate(ctx, issuer.p, issuer.len) && EVP_DigestUpdate(ctx, "", 1) &&
	    EVP_DigestUpdate(ctx, subject.p, subject.len) && EVP_DigestUpdate(ctx, "", 1) &&
	    EVP_DigestUpdate(ctx, profile.p, profile.len) && EVP_DigestFinal_ex(ctx, id.b, NULL);

	EVP_MD_CTX_free(ctx);
	if (!good)
		return -FOG_E_INTERNAL;
	*out = id;
	return 0;
}

#define COPY_OWNED(T, kind, name, min, max) .name = owned->name,

/* What it may use, for FIELDS_box; egress is where its rules are packed. */
static struct pl_plan
plan_of(const struct pl_owned *owned, const struct verdict *v,
    unsigned char egress[static EGRESS_RULES_MAX * EGRESS_RULE_BYTES])
{
	const struct policy_limits *limits = &v->decision.limits;
	uint32_t ring_bytes = (uint32_t)limits->ring_bytes; /* POLICY_RING_MAX_BYTES at most */
	size_t egress_len = egress_pack(limits->egress, limits->n_egress, egress);

	return (struct pl_plan){ .ttl_seconds = v->decision.ttl_seconds,
		.idle_timeout_s = limits->idle_timeout_seconds,
		.ring_bytes = ring_bytes ? ring_bytes : proc_config()->output_ring_bytes,
		.cpu_milli = limits->cpu_milli,
		.memory_bytes = limits->memory_bytes,
		.storage_bytes = limits->storage_bytes,
		.pids = limits->pids,
		.io_weight = (uint16_t)limits->io_weight,
		.limits = (uint8_t)limits->limits_mode,
		.home = (uint8_t)limits->home,
		.shell = limits->shell,
		.resolver = view_bytes(limits->dns.address, limits->dns.len),
		.egress = view_bytes(egress, egress_len),
		FIELDS_owned(COPY_OWNED, ) };
}

static struct pl_owned
describe(const struct placerd *d, const struct pl_create *want, const struct verdict *v,
    const struct id128 *id)
{
	const struct node *node = nodes_at(d->nodes, nodes_self(d->nodes));
	uint64_t now_s = (uint64_t)wall_s();

	return (struct pl_owned){ .session_id = *id,
		.profile = want->profile,
		.status = STATUS_STARTING,
		.created_s = now_s,
		.expires_s = now_s + v->decision.ttl_seconds,
		.node = view_of(node->name),
		.region = view_of(node->region),
		.tier = (uint8_t)node->tier,
		.placement_reason = view_of(v->reasons),
		.image = v->decision.image,
		.issuer = want->issuer,
		.subject = want->subject,
		.sid = want->sid,
		.idem_key = want->idem_key,
		.idem_hash = hash_wish(want),
		.confirm_by_boot_ms = provisional_until(want->forwarded_by.len > 0) };
}

/* In the registry and counted, or an error and nothing. */
static int
reserve(struct placerd *d, const struct msg *m, const struct pl_owned *owned,
    const struct policy_decision *decision, struct session **out)
{
	struct session fresh = { .born_mono_ms = mono_ms(),
		.trace = m->trace,
		.on_logout = decision->limits.on_logout,
		.cpu_milli = decision->limits.cpu_milli,
		.memory_bytes = decision->limits.memory_bytes };
	struct session *s;
	int rc = session_fill(&fresh, owned);

	if (rc != 0)
		return rc;
	s = registry_add(d->registry, &fresh);
	if (!s)
		return -FOG_E_FULL;
	rc = session_count(s, &d->keepers, decision->max_sessions);
	if (rc != 0)
		registry_remove(d->registry, s);
	else
		*out = s;
	return rc;
}

static void
unreserve(struct placerd *d, struct session *s)
{
	session_uncount(s, &d->keepers);
	registry_remove(d->registry, s);
}

/* --- write down, order --- */

/*
 * Everything that placement went by, so that the record alone replays it. made NULL: the id is for
 * another node to make.
 */
static int
write_decided(struct placerd *d, const struct msg *m, const struct verdict *v,
    const struct id128 *made)
{
	const struct pl_create *want = &m->u.create;
	const struct node *node = nodes_at(d->nodes, v->node);
	struct audit_event e = { .name = AUDIT_PLACEMENT_DECIDED,
		.session_id = made,
		.issuer = want->issuer,
		.subject = want->subject,
		.profile = want->profile,
		.rule_id = view_of(v->rule_id),
		.node = view_of(node->name),
		.reason = view_of(v->reasons),
		.policy = view_of(v->decision.version),
		.request = record_request(want, v),
		.decision = decision_to_json(&v->where.request, v->where.nodes, v->where.n,
		    &v->where.choice, d->nodes),
		.trace = &m->trace };
	int rc = audit_write(d->keepers.audit, &e);

	json_release(e.request);
	json_release(e.decision);
	return rc;
}

static int
write_intent(struct placerd *d, const struct session *s, const struct trace *trace)
{
	struct audit_event created = peers_audit_of(s, AUDIT_SESSION_CREATED, AUDIT_INTENT, trace);

	created.rule_id = view_of(policy_rule_id(POLICY_ALLOW));
	created.policy = view_of(policy_version(d->policy));
	created.image = &s->image;
	return audit_write(d->keepers.audit, &created);
}

static void
order(struct placerd *d, struct session *s, const struct msg *m, const struct pl_plan *plan)
{
	struct session_change starting = { .status = STATUS_STARTING };
	struct asked *q;
	char shown[128];
	int rc;

	peers_change(d, s, &starting);
	log_info("event=session_ordered sid=%s req=%llx profile=%s reason=%s subject=%s",
	    log_id(&s->id), (unsigned long long)m->request_id, s->profile, s->placement_reason,
	    log_escape(view_of(s->subject), shown, sizeof(shown)));
	rc = proc_send(EDGE_PLACE_PTY, MSG_PTY_CREATE, m->request_id, &m->trace, plan, -1);
	/* When the edge went down by it, the request is lost and has been refused already. */
	q = rc ? peers_take(d, m->request_id) : NULL;
	if (q) {
		struct pl_refused why = { .error = (uint16_t)-rc };

		create_on_refused(d, q, &why);
		free(q);
	}
}

static int
proceed(struct placerd *d, struct peer *from, struct msg *m, const struct verdict *v)
{
	unsigned char egress[EGRESS_RULES_MAX * EGRESS_RULE_BYTES];
	struct id128 id;
	struct pl_owned owned;
	struct pl_plan plan;
	struct session *s = NULL;
	int rc = id_session_new(id_node_tag(d->node_name), &id) == 0 ? 0 : -FOG_E_INTERNAL;

	if (rc == 0) {
		owned = describe(d, &m->u.create, v, &id);
		plan = plan_of(&owned, v, egress);
		if (plan.home == HOME_PERSISTENT)
			rc = create_home_id(owned.issuer, owned.subject, owned.profile,
			    &plan.home_id);
	}
	if (rc == 0)
		rc = reserve(d, m, &owned, &v->decision, &s);
	if (rc != 0)
		return peers_refuse_message(from, m, rc, "", "");
	if (!peers_ask(d, from, m, PH_CREATE, &id)) {
		unreserve(d, s);
		return 0;
	}
	if (write_decided(d, m, v, &s->id) != 0 || write_intent(d, s, &m->trace) != 0) {
		free(peers_take(d, m->request_id));
		unreserve(d, s);
		return peers_refuse_message(from, m, -FOG_E_NO_AUDIT, "", "");
	}
	if (m->u.create.forwarded_by.len == 0)
		where_remember(d, m->u.create.issuer, m->u.create.subject, &v->where.kept);
	order(d, s, m, &plan);
	return 0;
}

/* To another node; e is taken. */
static int
pass_on(struct placerd *d, struct peer *from, const struct msg *m, const struct verdict *v,
    struct elsewhere *e)
{
	if (write_decided(d, m, v, NULL) == 0)
		return elsewhere_create(d, from, m, v->node, v->reasons, hash_wish(&m->u.create), e,
		    &v->where);
	elsewhere_give_up(d, &m->u.create, e);
	return peers_refuse_message(from, m, -FOG_E_NO_AUDIT, "", "");
}

int
create_try(struct placerd *d, struct peer *from, struct msg *m, struct elsewhere *e)
{
	struct verdict v;
	int rc;

	decide(d, &m->u.create, e, &v);
	if (v.error == 0 && v.node != nodes_self(d->nodes)) {
		rc = pass_on(d, from, m, &v, e);
	} else {
		rc = v.error ? refuse_denied(d, from, m, &v) : proceed(d, from, m, &v);
		elsewhere_give_up(d, &m->u.create, e);
	}
	where_fini(&v.where);
	return rc;
}

/* The same key again, and the session was made elsewhere: that node knows it, and answers. */
static int
repeat_elsewhere(struct placerd *d, struct peer *from, const struct msg *m,
    enum elsewhere_repeat earlier, size_t node)
{
	struct pl_refused busy = { .error = FOG_E_UNAVAILABLE,
		.detail = view_of("the first request with this Idempotency-Key is still under way"),
		.retry_after_s = 1 };

	if (earlier == ELSEWHERE_OTHER_WISH)
		return peers_refuse_message(from, m, -FOG_E_IDEMPOTENCY, "", "");
	if (earlier == ELSEWHERE_GONE)
		return peers_refuse_message(from, m, -FOG_E_UNREACHABLE, "",
		    "the node that may have made a session for this Idempotency-Key is out or has "
		    "left the fleet; another key makes another session");
	if (earlier == ELSEWHERE_MADE)
		return elsewhere_create(d, from, m, node, "repeated", hash_wish(&m->u.create), NULL,
		    NULL);
	peer_send(from, MSG_AUTH_REFUSED, m->request_id, &m->trace, &busy, -1);
	return 0;
}

int
create_on_request(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_create *want = &m->u.create;
	enum elsewhere_repeat passed;
	struct session *earlier;
	size_t node = SIZE_MAX;

	if (!d->is_synced)
		return peers_refuse_message(from, m, -FOG_E_UNAVAILABLE, "", "");
	registry_sweep(d->registry, mono_ms());
	earlier = registry_find_repeat(d->registry, want->issuer, want->subject, want->idem_key,
	    mono_ms());
	if (earlier)
		return repeat(d, from, m, earlier);
	passed = elsewhere_find_repeat(d, want, hash_wish(want), &node);
	if (passed != ELSEWHERE_NEW)
		return repeat_elsewhere(d, from, m, passed, node);
	return create_try(d, from, m, NULL);
}

/* --- what became of it --- */

static void
write_outcome(struct placerd *d, const struct session *s, const struct trace *trace,
    const struct pl_refused *why)
{
	struct audit_event allocated = peers_audit_of(s, AUDIT_RUNTIME_ALLOCATED, AUDIT_OUTCOME,
	    trace);
	struct audit_event created = peers_audit_of(s, AUDIT_SESSION_CREATED, AUDIT_OUTCOME, trace);

	allocated.image = created.image = &s->image;
	if (why) {
		created.reason = view_of(err_code(why->error));
		created.detail = why->detail;
	}
	if (!why)
		audit_write(d->keepers.audit, &allocated);
	audit_write(d->keepers.audit, &created);
}

int
create_on_started(void *ctx, struct peer *from, struct msg *m)
{
	static const struct session_change detached = { .status = STATUS_DETACHED };
	struct placerd *d = ctx;
	struct asked *q = requests_find(d->requests, m->request_id)->data;
	struct session *s = registry_find(d->registry, &q->session_id);

	(void)from;
	if (q->is_repeat || q->is_confirming ||
	    !id_equal(&q->session_id, &m->u.session_id.session_id))
		return -FOG_E_LIAR;
	q = peers_take(d, m->request_id);
	if (s) {
		write_outcome(d, s, &q->trace, NULL);
		if (s->status == STATUS_STARTING)
			peers_change(d, s, &detached);
		if (revoke_ends(d, s))
			peers_refuse(q, -FOG_E_REVOKED, "", "");
		else
			answer_created(q, s);
	} else {
		peers_refuse(q, -FOG_E_INTERNAL, "", "");
	}
	free(q);
	return 0;
}

static void
fail(struct placerd *d, const struct asked *q, const struct pl_refused *why, enum end_reason reason)
{
	struct session_change failed = { .status = STATUS_FAILED, .end_reason = reason };
	struct session *s = registry_find(d->registry, &q->session_id);

	peers_answer(q, MSG_AUTH_REFUSED, why);
	if (!s)
		return;
	write_outcome(d, s, &q->trace, why);
	s->idem_key[0] = '\0'; /* whoever repeats it gets another try */
	s->make_error = -(int)why->error;
	if (!session_has_ended(s->status))
		peers_change(d, s, &failed);
}

/* Stages that fail until somebody changes the node or the policy: there is no point in a retry. */
static const enum spawn_stage lasting_stages[] = { STAGE_IMAGE, STAGE_LIMITS, STAGE_NETWORK,
	STAGE_NAMESPACE, STAGE_IDS, STAGE_FILTER };

/* ptyd says "STAGE: cause". */
static bool
is_lasting(struct view detail)
{
	for (size_t i = 0; i < COUNT_OF(lasting_stages); i++) {
		struct view stage = view_of(session_stage_name(lasting_stages[i]));

		if (detail.len > stage.len && detail.p[stage.len] == ':' &&
		    view_equal(view_bytes(detail.p, stage.len), stage))
			return true;
	}
	return false;
}

void
create_on_refused(struct placerd *d, const struct asked *q, const struct pl_refused *why)
{
	struct pl_refused to = *why;

	if (to.error == FOG_E_SPAWN && to.retry_after_s == 0 && !is_lasting(to.detail))
		to.retry_after_s = SPAWN_RETRY_SECONDS;
	fail(d, q, &to, END_SPAWN);
}

/*
 * Late: given up, and ended should it come to life after all. With ptyd gone, the next list of its
 * sessions says whether this one is there.
 */
void
create_on_lost(struct placerd *d, struct asked *q, int error)
{
	struct pl_refused why = { .error = (uint16_t)-error };
	struct session *s = registry_find(d->registry, &q->session_id);

	if (q->elsewhere) {
		elsewhere_on_lost(d, q, error);
		return;
	}
	if (q->is_repeat || q->is_confirming || error != -FOG_E_TIMEOUT || !s) {
		peers_answer(q, MSG_AUTH_REFUSED, &why);
		return;
	}
	fail(d, q, &why, END_ABANDONED);
	peers_abandon(d, s);
}
