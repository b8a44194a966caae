/* SPDX-License-Identifier: MIT */
/*
 * A session made on the word of another node is provisional: that node may have given up waiting, and
 * have asked a third one. Only the one whose answer arrived is confirmed; the others end.
 *
 * Its holder keeps the time and ends it, whatever becomes of the daemons meanwhile. What is known here
 * is the holder's word, and may be older than the truth: so a confirmation counts when the holder has
 * taken it, and only then is anybody told.
 */
#include <stdlib.h>

#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "placerd/placerd.h"

bool
provisional_is(const struct session *s)
{
	return s->confirm_by_boot_ms != 0 && !session_has_ended(s->status);
}

uint64_t
provisional_until(bool is_forwarded)
{
	return is_forwarded ? boot_ms() + PROVISIONAL_MS : 0;
}

void
provisional_order(struct placerd *d, struct asked *q, uint64_t confirm_by_boot_ms)
{
	struct pl_confirm order = { .session_id = q->session_id,
		.confirm_by_boot_ms = confirm_by_boot_ms };
	uint64_t id = q->id;
	int rc;

	q->is_confirming = true;
	q->confirm_by_boot_ms = confirm_by_boot_ms;
	/* Should ptyd's end go down by it, q goes with all that it was asked. */
	rc = proc_send(EDGE_PLACE_PTY, MSG_PTY_CONFIRM, id, &q->trace, &order, -1);
	peers_ordered(d, id, rc);
}

static int
answer(const struct asked *q, const struct session *s)
{
	struct pl_session_id confirmed = { .session_id = q->session_id };
	struct pl_session_role mintable = { .session_id = q->session_id, .role = q->role };

	if (q->phase == PH_CONFIRM)
		return peers_answer(q, MSG_AUTH_CONFIRMED, &confirmed);
	if (q->phase == PH_MINT)
		return peers_answer(q, MSG_AUTH_MINTABLE, &mintable);
	return create_answer_repeat(q, s);
}

int
provisional_on_confirm(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_who_session *who = &m->u.who_session;
	struct pl_session_id confirmed = { .session_id = who->session_id };
	struct session *s;
	struct asked *q;
	int rc = peers_find_living(d, &who->session_id, who->issuer, who->subject, &s);

	if (rc != 0)
		return peers_refuse_message(from, m, rc, "", "");
	if (!provisional_is(s))
		return peer_send(from, MSG_AUTH_CONFIRMED, m->request_id, &m->trace, &confirmed,
		    -1);
	q = peers_ask(d, from, m, PH_CONFIRM, &s->id);
	if (q)
		provisional_order(d, q, 0);
	return 0;
}

/* ptyd: its holder has taken it, or knew that it stays. */
int
provisional_on_confirmed(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_confirm *done = &m->u.confirm;
	struct asked *q = requests_find(d->requests, m->request_id)->data;
	struct session *s = registry_find(d->registry, &q->session_id);

	(void)from;
	if (!q->is_confirming || !id_equal(&q->session_id, &done->session_id) ||
	    (done->confirm_by_boot_ms != 0 && done->confirm_by_boot_ms != q->confirm_by_boot_ms))
		return -FOG_E_LIAR;
	peers_take(d, q->id);
	if (s)
		s->confirm_by_boot_ms = done->confirm_by_boot_ms;
	log_info("event=session_confirmed sid=%s req=%llx stays=%d", log_id(&q->session_id),
	    (unsigned long long)q->id, done->confirm_by_boot_ms == 0);
	answer(q, s);
	free(q);
	return 0;
}

/* A repeat that came while it was ending: there is soon another answer than this session. */
void
provisional_on_refused(const struct asked *q, const struct pl_refused *why)
{
	struct pl_refused again = { .error = FOG_E_UNAVAILABLE, .retry_after_s = 1 };
	bool has_ended = why->error == FOG_E_SESSION_ENDED || why->error == FOG_E_NO_SESSION;

	peers_answer(q, MSG_AUTH_REFUSED, q->phase == PH_CREATE && has_ended ? &again : why);
}
