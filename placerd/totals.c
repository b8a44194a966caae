/* SPDX-License-Identifier: MIT */
/* All sessions of this node together, in numbers without any name (S38); ptyd knows what they use. */
#include <stdlib.h>

#include "common/mono.h"
#include "common/proc.h"
#include "placerd/placerd.h"

#define USAGE_FRESH_MS 5000
#define USAGE_TIMEOUT_MS 500 /* gatewayd waits for a second */

/* What ptyd told of at our start was made, or has ended, in an earlier life. */
void
totals_count(struct totals *t, enum session_status from, enum session_status to)
{
	if (from == STATUS_NONE || from == to)
		return;
	if (from == STATUS_STARTING && to != STATUS_FAILED)
		t->made++;
	if (session_has_ended(to))
		t->ended[to]++;
}

static void
count_living(struct placerd *d, struct pl_ready *out)
{
	uint32_t count[STATUS_COUNT] = { 0 };

	for (struct session *s = NULL; (s = registry_next(d->registry, s));)
		count[s->status]++;
	out->starting = count[STATUS_STARTING];
	out->running = count[STATUS_RUNNING];
	out->detached = count[STATUS_DETACHED];
}

#define COPY_MEASURED(T, kind, name, min, max) out->name = used->name;

static void
fill_totals(struct placerd *d, const struct pl_usage *used, struct pl_ready *out)
{
	const struct totals *t = &d->totals;

	count_living(d, out);
	out->made = t->made;
	out->failed = t->ended[STATUS_FAILED];
	out->exited = t->ended[STATUS_EXITED];
	out->expired = t->ended[STATUS_EXPIRED];
	out->terminated = t->ended[STATUS_TERMINATED];
	out->lost = t->ended[STATUS_LOST];
	if (used) {
		FIELDS_measured(COPY_MEASURED, )
	}
}

static struct pl_ready
ready_now(struct placerd *d)
{
	/* A front that is told "not ready" sends nothing that would try the log again. */
	return (struct pl_ready){ .sessions_known = d->is_synced,
		.audit_writable = audit_retry(d->keepers.audit) == 0 };
}

static bool
is_fresh(const struct totals *t)
{
	return t->used_mono_ms != 0 && mono_ms() - t->used_mono_ms <= USAGE_FRESH_MS;
}

/* Session id 0: all of them. A failed order has answered already when the edge went down by it. */
static void
ask_ptyd(struct placerd *d, uint64_t id, const struct trace *trace)
{
	static const struct pl_session_id all;
	struct asked *q;

	if (proc_send(EDGE_PLACE_PTY, MSG_PTY_SHOW, id, trace, &all, -1) == 0)
		return;
	q = peers_take(d, id);
	if (q)
		totals_on_usage(d, q, NULL);
	free(q);
}

int
totals_on_check(void *ctx, struct peer *from, struct msg *m)
{
	static const struct id128 all;
	struct placerd *d = ctx;
	bool is_measurable = d->is_synced && create_in_sandbox();
	struct pl_ready ready;

	if (m->u.check.with_totals && is_measurable && !is_fresh(&d->totals)) {
		if (peers_ask_within(d, from, m, PH_SHOW, &all, USAGE_TIMEOUT_MS))
			ask_ptyd(d, m->request_id, &m->trace);
		return 0;
	}
	ready = ready_now(d);
	if (m->u.check.with_totals)
		fill_totals(d, is_measurable ? &d->totals.used : NULL, &ready);
	peer_send(from, MSG_AUTH_READY, m->request_id, &m->trace, &ready, -1);
	return 0;
}

void
totals_on_usage(struct placerd *d, const struct asked *q, const struct pl_usage *used)
{
	struct pl_ready ready = ready_now(d);

	if (used) {
		d->totals.used = *used;
		d->totals.used_mono_ms = mono_ms();
	}
	fill_totals(d, used, &ready);
	peers_answer(q, MSG_AUTH_READY, &ready);
}
