/* SPDX-License-Identifier: MIT */
/* Pending requests and their answers: see asked.h. */
#include "authd/asked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/forward.h"
#include "authd/listing.h"
#include "common/cleanup.h"
#include "common/proc.h"

uint64_t
asked_deadline_mono_ms(const struct authd *a)
{
	return a->deadline_mono_ms ? a->deadline_mono_ms
				   : mono_ms() + proc_config()->request_timeout_ms / 10 * 9;
}

uint64_t
asked_left_ms(uint64_t deadline_mono_ms)
{
	uint64_t now = mono_ms();

	return deadline_mono_ms > now ? deadline_mono_ms - now : 0;
}

/* --- answers --- */

bool
asked_answer(const struct asked *q, enum msg_type type, const void *payload)
{
	struct peer *gate = proc_peer(EDGE_GATE_AUTH);

	return gate && peer_epoch(gate) == q->gate_epoch &&
	    peer_send(gate, type, q->id, &q->trace, payload, -1) == 0;
}

void
asked_refuse(const struct asked *q, int error, const char *detail)
{
	struct pl_gate_refused why = { .error = (uint16_t)-error, .detail = view_of(detail) };

	asked_answer(q, MSG_GATE_REFUSED, &why);
}

int
asked_refuse_message(struct peer *from, const struct msg *m, int error, const char *detail)
{
	struct pl_gate_refused why = { .error = (uint16_t)-error, .detail = view_of(detail) };

	peer_send(from, MSG_GATE_REFUSED, m->request_id, &m->trace, &why, -1);
	return 0;
}

/* --- the table --- */

struct asked *
asked_new(struct authd *a, struct peer *from, const struct msg *m, enum msg_phase phase)
{
	uint64_t timeout_ms = asked_left_ms(asked_deadline_mono_ms(a));
	struct asked *q;

	if (!proc_peer(EDGE_AUTH_PLACE)) {
		asked_refuse_message(from, m, -FOG_E_UNAVAILABLE, "");
		return NULL;
	}
	q = calloc(1, sizeof(*q));
	if (!q || !requests_add(a->requests, m->request_id, phase, &m->trace, timeout_ms, q)) {
		asked_refuse_message(from, m, q ? -FOG_E_FULL : -FOG_E_NOMEM, "");
		free(q);
		return NULL;
	}
	q->id = m->request_id;
	q->phase = phase;
	q->trace = m->trace;
	q->gate_epoch = peer_epoch(from);
	return q;
}

struct asked *
asked_find(const struct authd *a, uint64_t id)
{
	return requests_find(a->requests, id)->data;
}

struct asked *
asked_take(struct authd *a, uint64_t id)
{
	struct request *r = requests_find(a->requests, id);
	struct asked *q = r->data;

	requests_remove(a->requests, r);
	return q;
}

void
asked_release(struct authd *a, struct asked *q)
{
	forward_drop(q);
	if (q->phase & PH_LISTINGS)
		listing_release(a, q);
	pass_free(q->pass);
	free(q);
}

void
asked_sent(struct authd *a, uint64_t id, int rc)
{
	struct request *r = rc ? requests_find(a->requests, id) : NULL;
	struct asked *q;

	/* A failed send may have brought the edge down, and the table been cleared by that. */
	if (!r)
		return;
	q = r->data;
	requests_remove(a->requests, r);
	asked_refuse(q, rc == -FOG_E_UNAVAILABLE ? rc : -FOG_E_INTERNAL, "");
	asked_release(a, q);
}

/* --- what passing on takes --- */

#define SCHEME "Bearer "
#define PH_PASSED (PH_CREATE | PH_LIST | PH_SHOW | PH_END | PH_MINT | PH_EXTEND)

static struct pass *
pass_new(struct view bearer)
{
	size_t len = strlen(SCHEME) + bearer.len;
	struct pass *p = calloc(1, sizeof(*p) + len + 1);

	if (!p)
		return NULL;
	p->len = len;
	snprintf(p->authorization, len + 1, SCHEME "%.*s", VIEW_ARG(bearer));
	return p;
}

static int
keep_wish(struct pass *p, const struct pl_bearer_create *wish)
{
	struct id128 random;
	char text[ID_TEXT_SIZE];

	p->ttl_seconds = wish->ttl_seconds;
	if (view_copy(wish->profile, p->profile, sizeof(p->profile)) != 0 ||
	    view_copy(wish->image_ref, p->image_ref, sizeof(p->image_ref)) != 0 ||
	    view_copy(wish->idem_key, p->idem_key, sizeof(p->idem_key)) != 0)
		return -1;
	if (wish->idem_key.len > 0)
		return 0;
	if (id_random(&random) != 0)
		return -1;
	id_format(&random, text);
	snprintf(p->idem_key, sizeof(p->idem_key), "%s", text);
	return 0;
}

void
pass_keep(struct asked *q, const struct msg *m)
{
	if (!*proc_config()->fleet_origins || *q->forwarded_by || q->is_bound ||
	    !(q->phase & PH_PASSED))
		return;
	q->pass = pass_new(m->u.bearer.bearer);
	if (q->pass && m->type == MSG_AUTH_EXTEND)
		q->pass->ttl_seconds = m->u.bearer_extend.ttl_seconds;
	if (q->pass && m->type == MSG_AUTH_CREATE && keep_wish(q->pass, &m->u.bearer_create) != 0) {
		pass_free(q->pass);
		q->pass = NULL;
	}
}

void
pass_free(struct pass *p)
{
	if (p)
		explicit_bzero(p->authorization, p->len);
	free(p);
}
