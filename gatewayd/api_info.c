/* SPDX-License-Identifier: MIT */
/* Profiles, nodes, sign-in configuration, health, readiness and metrics. */
#include <stdlib.h>

#include <jansson.h>

#include "common/proc.h"
#include "gatewayd/answer.h"
#include "gatewayd/api.h"
#include "gatewayd/api_json.h"
#include "gatewayd/peers.h"
#include "gatewayd/worker.h"

#define SCRAPE_WAIT_MS 1000 /* then a scrape has this process's own counters alone */

void
api_list_profiles(struct conn *c)
{
	struct pl_bearer who = { API_CREDENTIALS(c) };

	peers_ask(c, MSG_AUTH_PROFILES, PH_PROFILES, &who);
}

void
api_list_nodes(struct conn *c)
{
	struct pl_bearer who = { API_CREDENTIALS(c) };

	peers_ask(c, MSG_AUTH_NODES, PH_NODES, &who);
}

void
api_node_status(struct conn *c)
{
	struct pl_node_token ask = { .token = c->x.bearer };

	peers_ask(c, MSG_AUTH_STATUS, PH_STATUS, &ask);
}

/*
 * How the page signs in: at the identity provider, as a public client (RFC 8252 8.4), or with the
 * dev shim, which takes any token (S24).
 */
void
api_config(struct conn *c)
{
	const struct config *config = c->g->config;

	if (config->oidc_issuer_url[0] || config->use_stub)
		answer_json(c, 200, api_json_config(config));
	else
		answer_error(c, FOG_E_UNAVAILABLE, "no way to sign in is configured");
}

/* This process alone: no part behind it is asked. */
void
api_health(struct conn *c)
{
	answer_json(c, 200, json_pack("{s:s}", "status", "ok"));
}

void
api_ready(struct conn *c)
{
	static const struct pl_check check;

	peers_ask(c, MSG_AUTH_CHECK, PH_READY, &check);
}

void
api_metrics(struct conn *c)
{
	static const struct pl_check check = { .with_totals = 1 };

	peers_ask_within(c, MSG_AUTH_CHECK, PH_READY, &check, SCRAPE_WAIT_MS);
}

void
api_metrics_answer(struct conn *c, const struct pl_gate_ready *node)
{
	size_t len;
	char *text;

	workers_count(c->g->workers, &c->g->metrics.terminal_in_bytes,
	    &c->g->metrics.terminal_out_bytes);
	text = metrics_text(&c->g->metrics, node, api_route_label, api_route_count(), &len);
	if (text)
		answer_text(c, "text/plain; version=0.0.4; charset=utf-8", text, len);
	else
		answer_error(c, -FOG_E_NOMEM, NULL);
	free(text);
}
