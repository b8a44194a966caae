/* SPDX-License-Identifier: MIT */
/*
 * A client that is attached shows a newer identity (PLACE_RENEW): it may stay attached for longer,
 * which is access that is given, and written down before.
 */
#include "placerd/placerd.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/proc.h"

static int
write_renewed(struct placerd *d, const struct session *s, const struct asked *q,
    enum audit_phase phase, const char *reason)
{
	struct audit_event e = peers_audit_of(s, AUDIT_SESSION_RENEWED, phase, &q->trace);

	e.role = view_of(session_role_name(q->role));
	e.reason = view_of(reason);
	return audit_write(d->keepers.audit, &e);
}

static int
proceed(struct placerd *d, struct peer *from, const struct msg *m, const struct session *s)
{
	const struct pl_renew *want = &m->u.renew;
	struct pl_regrant regrant = { .session_id = want->session_id,
		.token_id = want->token_id,
		.token_expires_boot_ms = want->token_expires_boot_ms,
		.role = want->role,
		.until_boot_ms = want->until_boot_ms,
		.sid_hash = identity_sid_hash(want->sid),
		.attachment = want->attachment };
	struct asked *q = peers_ask(d, from, m, PH_RENEW, &s->id);
	int rc;

	if (!q)
		return 0;
	q->role = want->role;
	q->attachment = want->attachment;
	q->sid_hash = regrant.sid_hash;
	rc = write_renewed(d, s, q, AUDIT_INTENT, NULL);
	if (rc == 0)
		rc = proc_send(EDGE_PLACE_PTY, MSG_PTY_RENEW, m->request_id, &m->trace, &regrant,
		    -1);
	peers_ordered(d, m->request_id, rc);
	return 0;
}

int
renew_on_request(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_renew *want = &m->u.renew;
	struct session *s = NULL;
	int rc = peers_find_living(d, &want->session_id, want->issuer, want->subject, &s);

	return rc ? peers_refuse_message(from, m, rc, "", "") : proceed(d, from, m, s);
}

int
renew_on_renewed(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_renewed *done = &m->u.renewed;
	struct asked *q = requests_find(d->requests, m->request_id)->data;
	struct session *s = registry_find(d->registry, &q->session_id);

	(void)from;
	if (!id_equal(&q->session_id, &done->session_id) || q->attachment != done->attachment)
		return -FOG_E_LIAR;
	peers_take(d, q->id);
	if (s) {
		session_driven(s, q->role, q->sid_hash);
		write_renewed(d, s, q, AUDIT_OUTCOME, NULL);
	}
	log_info("event=renewed sid=%s req=%llx role=%s", log_id(&q->session_id),
	    (unsigned long long)q->id, session_role_name(q->role));
	peers_answer(q, MSG_AUTH_RENEWED, done);
	free(q);
	return 0;
}

void
renew_on_refused(struct placerd *d, const struct asked *q, const struct pl_refused *why)
{
	const struct session *s = registry_find(d->registry, &q->session_id);

	if (s)
		write_renewed(d, s, q, AUDIT_OUTCOME, err_code(why->error));
}
