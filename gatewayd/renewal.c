/* SPDX-License-Identifier: MIT */
/* Renewals in band: see renewal.h. */
#include "gatewayd/renewal.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mono.h"
#include "gatewayd/api.h"
#include "gatewayd/limits.h"
#include "gatewayd/peers.h"
#include "gatewayd/worker.h"

struct renewal *
renewal_new(struct attach *a, struct view token)
{
	struct renewal *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->a = a;
	r->token_len = token.len;
	memcpy(r->token, token.p, token.len);
	return r;
}

void
renewal_free(struct renewal *r)
{
	if (!r)
		return;
	explicit_bzero(r->token, r->token_len);
	free(r);
}

void
renewal_ask(struct gateway *g, struct renewal *r)
{
	uint64_t now = mono_ms();

	if (trace_random(r->trace.b) != 0)
		log_warn("event=no_randomness");
	if (limits_wait(g->rates, LIMIT_FAILED_TOKENS, &r->source, now) != 0 ||
	    limits_take(g->rates, LIMIT_ATTACHES, &r->source, now) != 0)
		renewal_answer(g, r, FOG_E_RATE);
	else
		peers_ask_renewal(g, r);
}

void
renewal_answer(struct gateway *g, struct renewal *r, int error)
{
	r->error = error < 0 ? -error : error;
	if (r->error)
		g->metrics.renewals_refused++;
	else
		g->metrics.renewals++;
	api_token_refused(g, &r->source, true, r->error);
	workers_answer(g->workers, r);
}
