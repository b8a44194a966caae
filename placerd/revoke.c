/* SPDX-License-Identifier: MIT */
/*
 * The end of an identity: written down, so that no older token is taken again, and carried out on
 * the sessions that live. An order that ptyd may not have got is given again when it has told its
 * sessions; what an earlier placerd did not get to do is done then, too.
 */
#include "placerd/placerd.h"

#include <stdio.h>

#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"

/* A ptyd that dies later than this after an order has passed it on. */
#define DETACH_DOUBT_MS 5000

/* --- orders --- */

static void
send_end(const struct session *s)
{
	struct pl_end end = { .session_id = s->id, .end_reason = (uint8_t)s->end_due };

	proc_send(EDGE_PLACE_PTY, MSG_PTY_END_NOW, 0, NULL, &end, -1);
}

static void
send_detach(const struct session *s, uint64_t sid_hash)
{
	struct pl_detach detach = { .session_id = s->id, .sid_hash = sid_hash };

	proc_send(EDGE_PLACE_PTY, MSG_PTY_DETACH, 0, NULL, &detach, -1);
}

/* One that is being made is ended as soon as it is there: see revoke_ends. */
static void
order_end(const struct placerd *d, struct session *s, enum end_reason reason)
{
	s->end_due = reason;
	if (d->is_synced && s->status != STATUS_STARTING)
		send_end(s);
}

static void
order_detach(const struct placerd *d, struct session *s, uint64_t sid_hash)
{
	/* Two that are in doubt at once become one of everybody. */
	s->detach_sid_hash = s->detach_due && s->detach_sid_hash != sid_hash ? 0 : sid_hash;
	s->detach_due = true;
	s->detach_mono_ms = mono_ms();
	if (d->is_synced)
		send_detach(s, sid_hash);
}

bool
revoke_ends(struct placerd *d, struct session *s)
{
	if (s->end_due == END_NONE || session_has_ended(s->status))
		return false;
	order_end(d, s, s->end_due);
	return true;
}

/* --- whom a rule concerns --- */

/* An attachment under that sid may be on a session that was made under another. */
static bool
may_hold_attachment(const struct revoked_rule *rule, const struct session *s)
{
	if (rule->sid.len == 0 || !view_is(rule->issuer, s->issuer))
		return false;
	/* Without a subject: all whose owner's tokens have a sid. */
	return rule->subject.len ? view_is(rule->subject, s->subject) : s->sid[0] != '\0';
}

static void
write_detached(struct placerd *d, const struct session *s, struct view by)
{
	struct audit_event e = peers_audit_of(s, AUDIT_SESSION_DETACHED, AUDIT_NO_PHASE, &s->trace);

	e.reason = view_of(session_end_name(END_REVOKED));
	e.actor = by;
	audit_write(d->keepers.audit, &e);
}

/* Made under it, or driven under it last. */
static bool
concerns(const struct revoked_rule *rule, const struct session *s, uint64_t sid_hash)
{
	bool is_theirs = view_is(rule->issuer, s->issuer) &&
	    (rule->subject.len == 0 || view_is(rule->subject, s->subject));

	return revoked_rule_matches(rule, view_of(s->issuer), view_of(s->subject),
		   view_of(s->sid)) ||
	    (is_theirs && sid_hash != 0 && s->driver_sid_hash == sid_hash);
}

static void
apply_to(struct placerd *d, const struct revoked_rule *rule, struct session *s, struct view by,
    struct revoke_count *count)
{
	uint64_t sid_hash = identity_sid_hash(rule->sid);

	if (!concerns(rule, s, sid_hash)) {
		if (may_hold_attachment(rule, s))
			order_detach(d, s, sid_hash);
	} else if (s->on_logout == ON_LOGOUT_END) {
		order_end(d, s, END_REVOKED);
		count->ended++;
	} else {
		order_detach(d, s, sid_hash);
		write_detached(d, s, by);
		count->detached++;
	}
}

static void
apply(struct placerd *d, const struct revoked_rule *rule, struct view by,
    struct revoke_count *count)
{
	for (struct session *s = NULL; (s = registry_next(d->registry, s));) {
		if (!session_has_ended(s->status))
			apply_to(d, rule, s, by, count);
	}
}

/* --- a revocation --- */

static struct audit_event
audit_of(const struct pl_revoke *what, enum audit_phase phase, struct view by,
    const struct trace *trace)
{
	return (struct audit_event){ .name = AUDIT_IDENTITY_REVOKED,
		.phase = phase,
		.issuer = what->issuer,
		.subject = what->subject,
		.actor = by,
		.trace = trace };
}

/* It takes access away: a log that cannot be written does not stop it. */
static void
write_intent(struct placerd *d, const struct pl_revoke *what, struct view by,
    const struct trace *trace)
{
	struct audit_event e = audit_of(what, AUDIT_INTENT, by, trace);
	char detail[272];

	snprintf(detail, sizeof(detail), "sid %.*s", VIEW_ARG(what->sid));
	e.detail = what->sid.len ? view_of(detail) : view_of("");
	audit_write(d->keepers.audit, &e);
}

static void
write_outcome(struct placerd *d, const struct pl_revoke *what, struct view by,
    const struct trace *trace, const struct revoke_count *count, int rc)
{
	struct audit_event e = audit_of(what, AUDIT_OUTCOME, by, trace);
	char detail[64];

	snprintf(detail, sizeof(detail), "ended %u detached %u", count->ended, count->detached);
	e.detail = view_of(detail);
	e.reason = view_of(rc ? err_code(rc) : "");
	audit_write(d->keepers.audit, &e);
	if (rc)
		log_warn("event=revocation_not_kept error=%s", err_code(rc));
	log_info("event=identity_revoked ended=%u detached=%u", count->ended, count->detached);
}

int
revoke_now(struct placerd *d, const struct pl_revoke *what, struct view by,
    const struct trace *trace, struct revoke_count *count)
{
	struct revoked_rule rule = { .issuer = what->issuer,
		.subject = what->subject,
		.sid = what->sid,
		.at_s = what->at_s };
	uint64_t now_s = (uint64_t)wall_s();
	struct revoke_count own;
	int rc = revoked_check_jti(d->revoked, what->issuer, what->jti, now_s);

	count = count ? count : &own;
	*count = (struct revoke_count){ 0 };
	if (rc != 0) {
		log_warnx("event=logout_token_replayed");
		return rc;
	}
	write_intent(d, what, by, trace);
	rc = revoked_add(d->revoked, what, now_s);
	apply(d, &rule, by, count);
	if (d->is_synced)
		revoked_done(d->revoked, what, now_s);
	write_outcome(d, what, by, trace, count, rc);
	return rc;
}

int
revoke_on_request(void *ctx, struct peer *from, struct msg *m)
{
	const struct pl_revoke *what = &m->u.revoke;
	int rc;

	if (what->subject.len == 0 && what->sid.len == 0)
		return -FOG_E_LIAR;
	rc = revoke_now(ctx, what, view_of("provider"), &m->trace, NULL);
	if (rc != 0)
		return peers_refuse_message(from, m, rc, "", "");
	peer_send(from, MSG_AUTH_REVOKED, m->request_id, &m->trace, NULL, -1);
	return 0;
}

/* --- one session --- */

int
revoke_session_as_admin(struct placerd *d, const struct id128 *session_id, struct view by,
    const struct trace *trace)
{
	struct session *s = registry_find(d->registry, session_id);
	struct audit_event e;

	if (!d->is_synced)
		return -FOG_E_UNAVAILABLE;
	if (!s)
		return -FOG_E_NO_SESSION;
	if (session_has_ended(s->status))
		return -FOG_E_SESSION_ENDED;
	e = peers_audit_of(s, AUDIT_SESSION_TERMINATED, AUDIT_INTENT, trace);
	e.reason = view_of(session_end_name(END_ADMIN));
	e.actor = by;
	audit_write(d->keepers.audit, &e);
	order_end(d, s, END_ADMIN);
	log_info("event=session_revoked sid=%s", log_id(session_id));
	return 0;
}

/* --- what is left to do --- */

static void
repeat_orders(struct session *s, uint64_t now_mono_ms)
{
	if (s->end_due != END_NONE)
		send_end(s);
	else if (s->detach_due && now_mono_ms - s->detach_mono_ms <= DETACH_DOUBT_MS)
		send_detach(s, s->detach_sid_hash);
	s->detach_due = false;
}

void
revoke_on_synced(struct placerd *d)
{
	const struct revoked_rule *rule = NULL;
	struct revoke_count count = { 0 };

	for (struct session *s = NULL; (s = registry_next(d->registry, s));) {
		if (!session_has_ended(s->status))
			repeat_orders(s, mono_ms());
	}
	while ((rule = revoked_next(d->revoked, rule))) {
		struct pl_revoke what = { .issuer = rule->issuer,
			.subject = rule->subject,
			.sid = rule->sid,
			.at_s = rule->at_s };

		if (rule->is_done)
			continue;
		apply(d, rule, view_of("provider"), &count);
		revoked_done(d->revoked, &what, (uint64_t)wall_s());
	}
	if (count.ended > 0 || count.detached > 0)
		log_info("event=revocations_resumed ended=%u detached=%u", count.ended,
		    count.detached);
}
