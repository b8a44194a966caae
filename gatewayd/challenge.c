/* SPDX-License-Identifier: MIT */
/* WWW-Authenticate: see challenge.h. */
#include "gatewayd/challenge.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/session.h"

/* An error that is not here has no code of its own: a token lacks. */
static const struct row {
	int error;
	const char *code;
	bool is_dpop; /* of that scheme, whichever the token came with */
} rows[] = {
	{ FOG_E_BAD_REQUEST, "invalid_request", false },
	{ FOG_E_BAD_TOKEN, "invalid_token", false },
	{ FOG_E_BAD_ATTACH_TOKEN, "invalid_token", false },
	{ FOG_E_USED_ATTACH_TOKEN, "invalid_token", false },
	{ FOG_E_REVOKED, "invalid_token", false },
	{ FOG_E_NODE_TOKEN, "invalid_token", false },
	{ FOG_E_BAD_PROOF, "invalid_dpop_proof", true },
	{ FOG_E_NEED_NONCE, "use_dpop_nonce", true },
};

static const struct row *
find_row(const struct challenge *ch)
{
	for (size_t i = 0; ch->token_given && i < COUNT_OF(rows); i++) {
		if (rows[i].error == ch->error)
			return &rows[i];
	}
	return NULL;
}

/* ", error="…"" where it is this scheme's, into the rest of the line. */
static size_t
put_error(const struct row *row, bool is_told, char *out, size_t size)
{
	int n = row && is_told ? snprintf(out, size, ", error=\"%s\"\r\n", row->code)
			       : snprintf(out, size, "\r\n");

	return (size_t)n;
}

void
challenge_write(const struct challenge *ch, char out[static CHALLENGE_SIZE])
{
	const struct row *row = find_row(ch);
	bool has_dpop = ch->dpop_algs && ch->dpop_algs[0];
	bool tells_dpop = has_dpop && row && (row->is_dpop || ch->scheme == SCHEME_DPOP);
	size_t at;

	at = (size_t)snprintf(out, CHALLENGE_SIZE,
	    "WWW-Authenticate: Bearer realm=\"" CHALLENGE_REALM "\"");
	at += put_error(row, !tells_dpop && row && !row->is_dpop, out + at, CHALLENGE_SIZE - at);
	if (!has_dpop)
		return;
	at += (size_t)snprintf(out + at, CHALLENGE_SIZE - at,
	    "WWW-Authenticate: DPoP realm=\"" CHALLENGE_REALM "\", algs=\"%.*s\"",
	    CHALLENGE_ALGS_SIZE - 1, ch->dpop_algs);
	at += put_error(row, tells_dpop, out + at, CHALLENGE_SIZE - at);
	if (ch->nonce.len > 0 && challenge_nonce_is_clean(ch->nonce))
		snprintf(out + at, CHALLENGE_SIZE - at, "DPoP-Nonce: %.*s\r\n",
		    VIEW_ARG(ch->nonce));
}

int
challenge_algs_of(const char *list, char out[static CHALLENGE_ALGS_SIZE])
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789-, ";
	size_t len = strlen(list);

	if (len >= CHALLENGE_ALGS_SIZE || strspn(list, allowed) != len)
		return -1;
	for (size_t i = 0; i <= len; i++)
		out[i] = list[i] == ',' ? ' ' : list[i];
	return 0;
}

bool
challenge_nonce_is_clean(struct view nonce)
{
	for (size_t i = 0; i < nonce.len; i++) {
		if (nonce.p[i] <= ' ' || nonce.p[i] > '~' || nonce.p[i] == '"' ||
		    nonce.p[i] == '\\')
			return false;
	}
	return nonce.len <= 64; /* messages.def */
}
