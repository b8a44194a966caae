/* SPDX-License-Identifier: MIT */
/* Requests that are passed on to another node: see forward.h. */
#include "authd/forward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "authd/confirm.h"
#include "authd/nodeanswer.h"
#include "authd/nodefetch.h"
#include "common/cleanup.h"
#include "common/fleetorigins.h"
#include "common/log.h"
#include "common/proc.h"

#define BODY_MAX_BYTES 4096 /* of fetch in messages.def */
#define URL_SIZE (NODE_URL_BYTES + ID_TEXT_SIZE + 32)

struct forward {
	struct authd *a;
	uint64_t id; /* of the request */
	char node[NODE_NAME_BYTES], url[NODE_URL_BYTES], self[NODE_NAME_BYTES];
	char reason[65];
	struct nodefetch *fetch;
};

static const struct verb {
	enum msg_phase phase;
	uint8_t method;
	const char *tail; /* after the session's id */
} verbs[] = {
	{ PH_CREATE, METHOD_POST, "" },
	{ PH_SHOW, METHOD_GET, "" },
	{ PH_END, METHOD_DELETE, "" },
	{ PH_MINT, METHOD_POST, "/attach" },
	{ PH_EXTEND, METHOD_PATCH, "" },
};

static const struct verb *
find_verb(enum msg_phase phase)
{
	for (size_t i = 0; i < COUNT_OF(verbs); i++) {
		if (verbs[i].phase == phase)
			return &verbs[i];
	}
	return NULL;
}

/* --- what the node is asked --- */

static void
format_url(const struct forward *f, const struct asked *q, char out[static URL_SIZE])
{
	char id[ID_TEXT_SIZE] = "";

	if (q->phase != PH_CREATE)
		id_format(&q->session_id, id);
	snprintf(out, URL_SIZE, "%s/v1/sessions%s%s%s", f->url, *id ? "/" : "", id,
	    find_verb(q->phase)->tail);
}

/* As the client wished it, but for the latencies, which are of use to who chooses. */
static json_t *
create_body(const struct forward *f, const struct pass *p)
{
	json_t *obj = json_pack("{s:s, s:I, s:s}", "profile", p->profile, "ttl_seconds",
	    (json_int_t)p->ttl_seconds, "placement_hint", f->node);

	if (obj && *p->image_ref)
		json_object_set_new(obj, "image_ref", json_string(p->image_ref));
	return obj;
}

static json_t *
body_of(const struct forward *f, const struct asked *q)
{
	switch (q->phase) {
	case PH_CREATE:
		return create_body(f, q->pass);
	case PH_MINT:
		return json_pack("{s:s}", "role", session_role_name(q->role));
	case PH_EXTEND:
		return q->pass->ttl_seconds
		    ? json_pack("{s:I}", "ttl_seconds", (json_int_t)q->pass->ttl_seconds)
		    : json_object();
	default:
		return NULL;
	}
}

/* 0 and *len; -1: it cannot be written. */
static int
write_body(const struct forward *f, const struct asked *q, char out[static BODY_MAX_BYTES],
    size_t *len)
{
	json_t *obj = body_of(f, q);

	*len = obj ? json_dumpb(obj, out, BODY_MAX_BYTES, JSON_COMPACT) : 0;
	json_decref(obj);
	if (*len > BODY_MAX_BYTES)
		return -1;
	return *len > 0 || q->phase == PH_SHOW || q->phase == PH_END ? 0 : -1;
}

/* --- what placerd is told --- */

/* q stays in the table, and may be gone when this returns. */
static void
report(struct authd *a, const struct asked *q, const struct pl_forwarded *said)
{
	uint64_t id = q->id;
	int rc = proc_send(EDGE_AUTH_PLACE, MSG_PLACE_FORWARDED, id, &q->trace, said, -1);

	asked_sent(a, id, rc);
}

static void
report_no_answer(struct authd *a, const struct asked *q, const char *node,
    enum forward_result result, const struct nodeanswer *answer)
{
	struct pl_forwarded said = { .result = (uint8_t)result,
		.status = (uint16_t)answer->status,
		.detail = view_of(answer->detail) };
	char shown[4 * sizeof(answer->detail) + 3];

	/* The text is that node's. */
	log_info("event=forward_%s req=%llx node=%s status=%u reason=%s",
	    result == FORWARD_REFUSED ? "refused" : "failed", (unsigned long long)q->id, node,
	    answer->status, log_escape(said.detail, shown, sizeof(shown)));
	report(a, q, &said);
}

/* --- what it answered --- */

/*
 * The end of the request here. placerd is told first: a session that it does not know of is not
 * given out, and ends there, since nobody confirms it.
 */
static void
finish(struct authd *a, struct asked *q, const struct forward *f, const struct nodeanswer *answer)
{
	struct pl_forwarded said = { .session_id = answer->session_id,
		.result = FORWARD_DONE,
		.status = (uint16_t)answer->status };
	struct pl_relayed relayed = { .status = (uint16_t)answer->status,
		.body = view_bytes(answer->body, answer->len) };
	bool told;

	asked_take(a, q->id);
	if (proc_send(EDGE_AUTH_PLACE, MSG_PLACE_FORWARDED, q->id, &q->trace, &said, -1) != 0) {
		asked_refuse(q, -FOG_E_UNAVAILABLE, "");
		asked_release(a, q);
		return;
	}
	told = asked_answer(q, MSG_GATE_RELAYED, &relayed);
	log_info("event=forward_done req=%llx node=%s status=%u", (unsigned long long)q->id,
	    f->node, answer->status);
	if (q->phase == PH_CREATE && told)
		confirm_start(a,
		    &(struct confirmed){ .id = q->id,
			.session_id = answer->session_id,
			.url = f->url,
			.node = f->node,
			.self = f->self,
			.authorization = q->pass->authorization });
	asked_release(a, q);
}

/* A fetcher without room has sent nothing; after anything else the node may have done it all the same. */
static enum forward_result
read_error(const char *error, struct nodeanswer *out)
{
	snprintf(out->detail, sizeof(out->detail), "%s", error);
	return strcmp(error, session_fetch_error_name(FETCH_E_BUSY)) == 0 ? FORWARD_REFUSED
									  : FORWARD_FAILED;
}

static void
on_answer(void *ctx, const struct nodefetch_end *end)
{
	struct forward *f = ctx;
	struct authd *a = f->a;
	struct asked *q = asked_find(a, f->id);
	struct nodeanswer_asked asked = { .phase = q->phase,
		.node = f->node,
		.url = f->url,
		.session_id = q->session_id,
		.reason = f->reason };
	struct nodeanswer answer = { 0 };
	enum forward_result result = FORWARD_FAILED;

	q->forward = NULL;
	if (end->error)
		result = read_error(end->error, &answer);
	else
		result = nodeanswer_read(&asked, end->status, end->body, end->len, &answer);
	if (result == FORWARD_DONE)
		finish(a, q, f, &answer);
	else
		report_no_answer(a, q, f->node, result, &answer);
	explicit_bzero(&answer, sizeof(answer));
	free(f);
}

/* --- AUTH_FORWARD --- */

static int
redirect(struct authd *a, struct asked *q, const struct pl_forward *to)
{
	struct pl_redirect there = { .node = to->node, .url = to->url };
	struct pl_forwarded said = { .result = FORWARD_BOUND };

	asked_take(a, q->id);
	asked_answer(q, MSG_GATE_REDIRECT, &there);
	proc_send(EDGE_AUTH_PLACE, MSG_PLACE_FORWARDED, q->id, &q->trace, &said, -1);
	asked_release(a, q);
	return 0;
}

/* Not even tried. */
static int
refuse(struct authd *a, struct asked *q, const struct forward *f, const char *why)
{
	struct nodeanswer none = { 0 };

	snprintf(none.detail, sizeof(none.detail), "%s", why);
	report_no_answer(a, q, f->node, FORWARD_REFUSED, &none);
	return 0;
}

static struct nodefetch *
send_on(struct forward *f, const struct asked *q, uint32_t timeout_ms)
{
	char url[URL_SIZE], body[BODY_MAX_BYTES];
	struct pl_fetch what = { .to = FETCH_TO_NODE,
		.method = find_verb(q->phase)->method,
		.authorization = view_bytes(q->pass->authorization, q->pass->len),
		.idem_key = view_of(q->pass->idem_key),
		.forwarded_by = view_of(f->self),
		.max_bytes = NODEANSWER_READ_BYTES,
		.timeout_ms = timeout_ms };
	size_t len;

	if (write_body(f, q, body, &len) != 0)
		return NULL;
	format_url(f, q, url);
	what.url = view_of(url);
	what.body = view_bytes(body, len);
	return nodefetch_send(f->a->nodes,
	    q->phase == PH_CREATE ? NODEFETCH_CREATE : NODEFETCH_SESSION,
	    nodefetch_person(q->who.issuer, q->who.subject), &what, on_answer, f);
}

static int
copy_names(struct forward *f, const struct pl_forward *to)
{
	return view_copy(to->node, f->node, sizeof(f->node)) == 0 &&
		view_copy(to->url, f->url, sizeof(f->url)) == 0 &&
		view_copy(to->self, f->self, sizeof(f->self)) == 0 &&
		view_copy(to->reason, f->reason, sizeof(f->reason)) == 0
	    ? 0
	    : -1;
}

static int
start(struct authd *a, struct asked *q, const struct pl_forward *to)
{
	struct forward *f = calloc(1, sizeof(*f));
	static const struct forward none;

	if (!f || copy_names(f, to) != 0 || !q->pass) {
		free(f);
		return refuse(a, q, &none, "out_of_memory");
	}
	f->a = a;
	f->id = q->id;
	f->fetch = send_on(f, q, to->timeout_ms);
	if (!f->fetch) {
		refuse(a, q, f, "busy");
		free(f);
		return 0;
	}
	q->forward = f;
	return 0;
}

int
forward_on_request(void *ctx, struct peer *from, struct msg *m)
{
	struct authd *a = ctx;
	struct asked *q = asked_find(a, m->request_id);
	const struct pl_forward *to = &m->u.forward;

	(void)from;
	/* One at a time, about what was asked, nowhere else than the operator has said, and only once. */
	if (q->forward || *q->forwarded_by || !id_equal(&to->session_id, &q->session_id) ||
	    !nodeanswer_is_base(to->url) ||
	    !fleetorigins_cover(proc_config()->fleet_origins, to->url))
		return -FOG_E_LIAR;
	return q->is_bound ? redirect(a, q, to) : start(a, q, to);
}

void
forward_drop(struct asked *q)
{
	if (!q->forward)
		return;
	nodefetch_cancel(q->forward->fetch);
	free(q->forward);
	q->forward = NULL;
}
