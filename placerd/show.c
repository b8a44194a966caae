/* SPDX-License-Identifier: MIT */
/* One session, with what it uses and which of its limits hold: that is for ptyd to say (S29). */
#include "placerd/placerd.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"

/* Consumption is a courtesy: nobody waits long for it. */
#define USAGE_TIMEOUT_MS 1000

#define COPY_ROW(T, kind, name, min, max) .name = row.name,
#define COPY_USED(T, kind, name, min, max) .name = used->name,

static struct pl_shown
shown_of(const struct session *s, const struct pl_usage *used)
{
	struct pl_session row = session_to_wire(s);

	return (struct pl_shown){ FIELDS_session(COPY_ROW, ) FIELDS_used(COPY_USED, ) };
}

/* Ended meanwhile: nothing is used any more, whatever was measured a moment ago. */
static void
answer(struct placerd *d, const struct asked *q, const struct pl_usage *used)
{
	static const struct pl_usage unknown;
	const struct session *s = registry_find(d->registry, &q->session_id);
	struct pl_shown shown;

	if (id_is_zero(&q->session_id)) {
		totals_on_usage(d, q, used);
		return;
	}
	if (!s) {
		peers_refuse(q, -FOG_E_NO_SESSION, "", "");
		return;
	}
	shown = shown_of(s, used && !session_has_ended(s->status) ? used : &unknown);
	peers_answer(q, MSG_AUTH_SHOWN, &shown);
}

static bool
can_be_measured(const struct placerd *d, const struct session *s)
{
	return d->is_synced && create_in_sandbox() &&
	    (s->status == STATUS_RUNNING || s->status == STATUS_DETACHED);
}

/* A failed order has answered already when the edge went down by it. */
static void
ask_ptyd(struct placerd *d, struct asked *q)
{
	struct pl_session_id which = { .session_id = q->session_id };
	uint64_t id = q->id;

	if (proc_send(EDGE_PLACE_PTY, MSG_PTY_SHOW, id, &q->trace, &which, -1) == 0)
		return;
	q = peers_take(d, id);
	if (q)
		answer(d, q, NULL);
	free(q);
}

int
show_on_request(void *ctx, struct peer *from, struct msg *m)
{
	static const struct pl_usage unknown;
	struct placerd *d = ctx;
	const struct pl_who_session *who = &m->u.who_session;
	const struct session *s;
	struct pl_shown shown;
	struct asked *q;

	registry_sweep(d->registry, mono_ms());
	s = registry_find_owned(d->registry, &who->session_id, who->issuer, who->subject);
	if (!s)
		return peers_refuse_unknown(d, from, m);
	if (!can_be_measured(d, s)) {
		shown = shown_of(s, &unknown);
		peer_send(from, MSG_AUTH_SHOWN, m->request_id, &m->trace, &shown, -1);
		return 0;
	}
	q = peers_ask_within(d, from, m, PH_SHOW, &s->id, USAGE_TIMEOUT_MS);
	if (q)
		ask_ptyd(d, q);
	return 0;
}

int
show_on_usage(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	struct asked *q = requests_find(d->requests, m->request_id)->data;

	(void)from;
	if (!id_equal(&q->session_id, &m->u.usage.session_id))
		return -FOG_E_LIAR;
	peers_take(d, q->id);
	answer(d, q, &m->u.usage);
	free(q);
	return 0;
}

void
show_on_lost(struct placerd *d, const struct asked *q)
{
	answer(d, q, NULL);
}
