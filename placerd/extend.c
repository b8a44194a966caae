/* SPDX-License-Identifier: MIT */
/* The lengthening of a session's life: decide (policy), write down, order. As create.c does it. */
#include "placerd/placerd.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"

/* From its making to its end: what placerd ordered, or ptyd has told since. */
static uint32_t
life_seconds(const struct session *s)
{
	uint64_t life_s = s->expires_s > s->created_s ? s->expires_s - s->created_s : 0;

	return life_s < UINT32_MAX ? (uint32_t)life_s : UINT32_MAX;
}

static int
write_extended(struct placerd *d, const struct session *s, const struct asked *q,
    enum audit_phase phase, const char *reason)
{
	struct audit_event e = peers_audit_of(s, AUDIT_SESSION_EXTENDED, phase, &q->trace);
	char detail[32];

	snprintf(detail, sizeof(detail), "ttl_seconds %u", q->ttl_seconds);
	e.detail = view_of(detail);
	e.rule_id = view_of(policy_rule_id(POLICY_ALLOW));
	if (phase == AUDIT_INTENT) /* it may be another by the outcome */
		e.policy = view_of(policy_version(d->policy));
	e.reason = view_of(reason);
	return audit_write(d->keepers.audit, &e);
}

static int
refuse_denied(struct placerd *d, struct peer *from, const struct msg *m, const struct session *s,
    const struct policy_decision *decision)
{
	struct audit_event e = peers_audit_of(s, AUDIT_POLICY_DENIED, AUDIT_NO_PHASE, &m->trace);
	const char *rule_id = policy_rule_id(decision->rule);
	struct pl_refused why = { .error = (uint16_t)policy_rule_error(decision->rule),
		.rule_id = view_of(rule_id),
		.detail = view_of(decision->detail),
		.policy_version = view_of(decision->version),
		.change = view_of(decision->change) };

	e.rule_id = why.rule_id;
	e.detail = why.detail;
	e.policy = why.policy_version;
	audit_write(d->keepers.audit, &e);
	log_info("event=extend_denied sid=%s req=%llx rule=%s", log_id(&s->id),
	    (unsigned long long)m->request_id, rule_id);
	peer_send(from, MSG_AUTH_REFUSED, m->request_id, &m->trace, &why, -1);
	return 0;
}

static int
proceed(struct placerd *d, struct peer *from, const struct msg *m, const struct session *s,
    uint32_t ttl_seconds)
{
	struct pl_extend order = { .session_id = s->id, .ttl_seconds = ttl_seconds };
	struct asked *q = peers_ask(d, from, m, PH_EXTEND, &s->id);
	int rc;

	if (!q)
		return 0;
	q->ttl_seconds = ttl_seconds;
	rc = write_extended(d, s, q, AUDIT_INTENT, NULL);
	if (rc == 0)
		rc = proc_send(EDGE_PLACE_PTY, MSG_PTY_EXTEND, m->request_id, &m->trace, &order,
		    -1);
	peers_ordered(d, m->request_id, rc);
	return 0;
}

int
extend_on_request(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_who_extend *want = &m->u.who_extend;
	struct policy_identity who = { want->issuer, want->subject, want->groups };
	struct policy_request request = { .ttl_seconds = want->ttl_seconds };
	struct policy_decision decision;
	const struct session *s;

	if (!d->is_synced)
		return peers_refuse_message(from, m, -FOG_E_UNAVAILABLE, "", "");
	registry_sweep(d->registry, mono_ms());
	s = registry_find_owned(d->registry, &want->session_id, want->issuer, want->subject);
	if (!s)
		return peers_refuse_unknown(d, from, m);
	if (session_has_ended(s->status))
		return peers_refuse_message(from, m, -FOG_E_SESSION_ENDED, "", "");
	if (s->is_other_version)
		return peers_refuse_message(from, m, -FOG_E_HOLDER_VERSION, "", "");
	request.profile = view_of(s->profile);
	policy_extend(d->policy, &who, &request, life_seconds(s), &decision);
	if (decision.rule != POLICY_ALLOW)
		return refuse_denied(d, from, m, s, &decision);
	return proceed(d, from, m, s, decision.ttl_seconds);
}

int
extend_on_extended(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_extended *done = &m->u.extended;
	struct asked *q = requests_find(d->requests, m->request_id)->data;
	struct session *s = registry_find(d->registry, &q->session_id);
	struct pl_session row;

	(void)from;
	if (!id_equal(&q->session_id, &done->session_id) ||
	    (s && done->expires_s != s->created_s + q->ttl_seconds))
		return -FOG_E_LIAR;
	peers_take(d, q->id);
	if (s) {
		s->expires_s = done->expires_s;
		write_extended(d, s, q, AUDIT_OUTCOME, NULL);
		log_info("event=session_extended sid=%s req=%llx ttl_seconds=%u", log_id(&s->id),
		    (unsigned long long)q->id, q->ttl_seconds);
		row = session_to_wire(s);
		peers_answer(q, MSG_AUTH_EXTENDED, &row);
	} else {
		peers_refuse(q, -FOG_E_NO_SESSION, "", "");
	}
	free(q);
	return 0;
}

void
extend_on_refused(struct placerd *d, const struct asked *q, const struct pl_refused *why)
{
	const struct session *s = registry_find(d->registry, &q->session_id);

	if (s)
		write_extended(d, s, q, AUDIT_OUTCOME, err_code(why->error));
}
