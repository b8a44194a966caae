/* SPDX-License-Identifier: MIT */
/* GET /v1/sessions/{id}/pty: all checks of the upgrade before authd hears of it (S13, S14). */
#include <string.h>

#include "common/mono.h"
#include "common/proc.h"
#include "gatewayd/answer.h"
#include "gatewayd/api.h"
#include "gatewayd/limits.h"
#include "gatewayd/peers.h"
#include "gatewayd/ws.h"

#define ATTACH_TOKEN_MAX 4096 /* messages.def */

/* What the query may name, each once: where the output goes on, and the token. */
struct attach_query {
	bool has_out;
	uint64_t out_from;
	struct view token;
};

static int
read_offset(struct view v, uint64_t *out)
{
	uint64_t n = 0;

	if (v.len < 1 || v.len > 20 || (v.len > 1 && v.p[0] == '0'))
		return -1;
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] < '0' || v.p[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(v.p[i] - '0'), &n))
			return -1;
	}
	*out = n;
	return 0;
}

static int
read_parameter(struct view name, struct view value, struct attach_query *q)
{
	if (view_is(name, "out") && !q->has_out) {
		q->has_out = true;
		return read_offset(value, &q->out_from);
	}
	if (!view_is(name, "token") || q->token.p)
		return -1;
	q->token = value;
	return 0;
}

static int
read_query(struct http1_view query, struct attach_query *q)
{
	const char *p = query.ptr, *end_of_query = p + query.len;

	while (p && p < end_of_query) {
		size_t len = strcspn(p, "&"), name_len = strcspn(p, "&=");
		size_t skip = name_len < len ? name_len + 1 : len;

		if (read_parameter(view_bytes(p, name_len), view_bytes(p + skip, len - skip), q) !=
		    0)
			return -1;
		p += len + (p + len < end_of_query ? 1 : 0);
	}
	return 0;
}

static int
check_upgrade(struct conn *c, struct ws_handshake *shake)
{
	static const struct {
		int error;
		const char *detail;
	} refusals[] = {
		[WS_NOT_UPGRADE] = { FOG_E_UPGRADE,
		    "this path wants an upgrade to websocket, version 13" },
		[WS_BAD_KEY] = { FOG_E_BAD_REQUEST, "Sec-WebSocket-Key is not base64 of 16 bytes" },
		[WS_BAD_PROTOCOL] = { FOG_E_BAD_REQUEST,
		    "Sec-WebSocket-Protocol names no protocol of this path, or is malformed" },
	};
	enum ws_verdict verdict = ws_check_handshake(c->parser, shake);
	struct view origin = api_header(c, "Origin");

	if (verdict != WS_ACCEPTED) {
		answer_error(c, refusals[verdict].error, refusals[verdict].detail);
		return -1;
	}
	/* None at all is no browser. */
	if (http1_header_count(c->parser, "Origin") > 0 &&
	    !origins_allow_origin(&c->g->origins, origin)) {
		answer_error(c, FOG_E_ORIGIN, NULL);
		return -1;
	}
	return 0;
}

static int
choose_token(struct conn *c, const struct ws_handshake *shake, struct attach_query *q)
{
	if (shake->token.p && q->token.p) {
		answer_error(c, FOG_E_BAD_REQUEST, "the attach token is there twice");
		return -1;
	}
	if (shake->token.p)
		q->token = shake->token;
	c->x.token_given = q->token.len > 0;
	if (q->token.len < 1 || q->token.len > ATTACH_TOKEN_MAX) {
		answer_error(c, FOG_E_BAD_ATTACH_TOKEN,
		    q->token.len ? NULL : "an attach token is needed");
		return -1;
	}
	return 0;
}

static int
check_limits(struct conn *c)
{
	uint32_t wait;

	if (api_check_guesses(c) != 0) {
		api_answer_check(c);
		return -1;
	}
	wait = limits_take(c->g->rates, LIMIT_ATTACHES, &c->x.source, mono_ms());
	if (wait)
		answer_rate_limited(c, wait);
	return wait ? -1 : 0;
}

void
api_attach(struct conn *c)
{
	struct attach_query q = { 0 };
	struct ws_handshake shake;
	struct pl_use_token use = { .session_id = c->x.session_id };

	if (check_upgrade(c, &shake) != 0)
		return;
	if (read_query(http1_request(c->parser)->query, &q) != 0) {
		answer_error(c, FOG_E_BAD_REQUEST,
		    "the query has out=OFFSET and token=, each once");
		return;
	}
	if (choose_token(c, &shake, &q) != 0 || check_limits(c) != 0)
		return;
	/* Asked now, the token would be used up for a stream that nobody can deliver. */
	if (!proc_peer(EDGE_DELIVERY)) {
		answer_error(c, -FOG_E_UNAVAILABLE, NULL);
		return;
	}
	memcpy(c->x.attach.accept, shake.accept, sizeof(shake.accept));
	c->x.attach.protocol = shake.protocol;
	use.token = q.token;
	use.has_out = q.has_out;
	use.out_from = q.out_from;
	peers_ask(c, MSG_AUTH_ATTACH, PH_ATTACH, &use);
}
