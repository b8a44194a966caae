/* SPDX-License-Identifier: MIT */
/*
 * POST /v1/oidc/backchannel-logout (OIDC Back-Channel Logout 1.0 2.5): the provider's own call, with
 * a token that authd verifies. It comes from no page: any page may send a form here, and would have
 * its reader refused for the guesses.
 */
#include "gatewayd/answer.h"
#include "gatewayd/api.h"
#include "gatewayd/form.h"
#include "gatewayd/peers.h"

#define LOGOUT_TOKEN_MAX 8192 /* messages.def */

/* The characters of a compact JWS; what it means is authd's to say. */
static bool
can_be_token(struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] <= ' ' || v.p[i] > '~')
			return false;
	}
	return v.len >= 1 && v.len <= LOGOUT_TOKEN_MAX;
}

void
api_logout(struct conn *c)
{
	static const char *const wrong[] = {
		[FORM_MALFORMED] = "the body is no well-formed form",
		[FORM_MISSING] = "logout_token is missing",
		[FORM_REPEATED] = "logout_token is there more than once",
	};
	struct pl_logout logout = { 0 };
	enum form_verdict verdict = form_find(c->x.body, c->x.body_len, "logout_token",
	    &logout.token);

	if (http1_header_count(c->parser, "Origin") > 0) {
		answer_error(c, FOG_E_ORIGIN, NULL);
		return;
	}
	if (verdict != FORM_FOUND) {
		answer_error(c, FOG_E_BAD_REQUEST, wrong[verdict]);
		return;
	}
	c->x.token_given = true;
	if (api_check_guesses(c) != 0)
		api_answer_check(c);
	else if (!can_be_token(logout.token))
		answer_error(c, FOG_E_BAD_LOGOUT_TOKEN, NULL);
	else
		peers_ask(c, MSG_AUTH_LOGOUT, PH_LOGOUT, &logout);
}
