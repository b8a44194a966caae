/* SPDX-License-Identifier: MIT */
/* The rules for claims: one function each, in the order of two tables. */
#include "authd/claims.h"

#include <jansson.h>
#include <string.h>

#include "authd/claimread.h"
#include "authd/tokenerr.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/json.h"

#define LOGOUT_EVENT "http://schemas.openid.net/event/backchannel-logout"

/* One token on its way through the rules. */
struct check {
	const json_t *json;
	const struct claims_policy *policy;
	const char *typ, *audience;
	uint64_t now_s, skew_s, max_life_s;
	struct claims *out;
};

typedef int (*rule)(const struct check *c);

enum use { USE_ACCESS, USE_ANY, USE_LOGOUT, USE_EVENT, USE_OTHER };

/* RFC 8725 3.11: what a typ says that a token is for. */
static const struct {
	const char *typ;
	enum use use;
} uses[] = {
	{ "", USE_ANY }, { "JWT", USE_ANY }, { "at+jwt", USE_ACCESS }, /* RFC 9068 2.1 */
	{ "logout+jwt", USE_LOGOUT },    /* Back-Channel Logout 1.0 2.4 */
	{ "secevent+jwt", USE_EVENT },   /* RFC 8417 2.3 */
	{ "dpop+jwt", USE_OTHER },       /* RFC 9449 4.2 */
	{ "fog-attach+jwt", USE_OTHER }, /* our own, which no provider signs */
};

/* Keycloak writes JWT into every header and says in the claims which of its tokens this is. */
static const struct {
	const char *typ;
	enum token_error error;
} claim_typs[] = {
	{ "ID", TOKEN_E_ID_TOKEN },
	{ "Refresh", TOKEN_E_TYP_OTHER_USE },
	{ "Offline", TOKEN_E_TYP_OTHER_USE },
	{ "Logout", TOKEN_E_LOGOUT_TOKEN },
};

static const char *const id_token_marks[] = { "nonce", "at_hash", "c_hash", "s_hash" };

/* Who a token was given to: OIDC Core 2, RFC 9068 2.2, Okta, Entra ID version 1. */
static const char *const client_claims[] = { "azp", "client_id", "cid", "appid" };

/* Returns 0 and what the typ is for, or -TOKEN_E_TYP_UNKNOWN. */
static int
use_of_typ(const char *typ, enum use *out)
{
	static const char prefix[] = "application/";

	if (strncasecmp(typ, prefix, sizeof(prefix) - 1) == 0)
		typ += sizeof(prefix) - 1;
	for (size_t i = 0; i < COUNT_OF(uses); i++) {
		if (strcasecmp(typ, uses[i].typ) == 0) {
			*out = uses[i].use;
			return 0;
		}
	}
	return -TOKEN_E_TYP_UNKNOWN;
}

static int
check_access_typ(const struct check *c)
{
	enum use use;
	int error = use_of_typ(c->typ, &use);

	if (error != 0 || use == USE_ACCESS)
		return error;
	if (use == USE_ANY)
		return c->policy->require_at_jwt ? -TOKEN_E_TYP_NOT_AT_JWT : 0;
	if (use == USE_LOGOUT)
		return -TOKEN_E_LOGOUT_TOKEN;
	return use == USE_EVENT ? -TOKEN_E_EVENT_TOKEN : -TOKEN_E_TYP_OTHER_USE;
}

static int
check_logout_typ(const struct check *c)
{
	enum use use;
	int error = use_of_typ(c->typ, &use);

	if (error != 0 || use == USE_ANY || use == USE_LOGOUT)
		return error;
	return -TOKEN_E_TYP_OTHER_USE;
}

static int
check_no_events(const struct check *c)
{
	const json_t *events = json_object_get(c->json, "events");

	if (events == NULL)
		return 0;
	return json_object_get(events, LOGOUT_EVENT) != NULL ? -TOKEN_E_LOGOUT_TOKEN
							     : -TOKEN_E_EVENT_TOKEN;
}

static int
check_claim_typ(const struct check *c)
{
	const char *typ = json_peek_str(c->json, "typ");

	for (size_t i = 0; typ != NULL && i < COUNT_OF(claim_typs); i++) {
		if (strcasecmp(typ, claim_typs[i].typ) != 0)
			continue;
		if (claim_typs[i].error == TOKEN_E_ID_TOKEN && c->policy->accept_id_tokens)
			continue;
		return -(int)claim_typs[i].error;
	}
	return 0;
}

static int
check_not_id_token(const struct check *c)
{
	enum use use;
	int error = use_of_typ(c->typ, &use);

	if (error != 0 || use == USE_ACCESS || c->policy->accept_id_tokens)
		return error;
	for (size_t i = 0; i < COUNT_OF(id_token_marks); i++) {
		if (json_object_get(c->json, id_token_marks[i]) != NULL)
			return -TOKEN_E_ID_TOKEN;
	}
	return 0;
}

static int
check_issuer(const struct check *c)
{
	const json_t *iss = json_object_get(c->json, "iss");

	if (iss == NULL)
		return -TOKEN_E_ISS_MISSING;
	if (!json_is_string(iss) || strcmp(json_string_value(iss), c->policy->issuer) != 0)
		return -TOKEN_E_ISS_OTHER;
	return claim_read_text(c->json, "iss", c->out->issuer, TOKEN_E_ISS_OTHER);
}

/* An absent one leaves the subject empty; check_subject and check_who say what that means. */
static int
read_subject(const struct check *c)
{
	return claim_read_text(c->json, "sub", c->out->subject, TOKEN_E_SUB_TEXT);
}

static int
check_subject(const struct check *c)
{
	int error = read_subject(c);

	return error == 0 && c->out->subject[0] == '\0' ? -TOKEN_E_SUB_MISSING : error;
}

static int
check_audience(const struct check *c)
{
	const json_t *aud = json_object_get(c->json, "aud"), *one;
	bool is_ours = false;
	size_t i;

	if (aud == NULL)
		return -TOKEN_E_AUD_MISSING;
	if (json_is_string(aud))
		return strcmp(json_string_value(aud), c->audience) == 0 ? 0 : -TOKEN_E_AUD_OTHER;
	if (json_array_size(aud) == 0) /* also 0 for what is no array */
		return -TOKEN_E_AUD_SHAPE;
	json_array_foreach(aud, i, one) {
		if (!json_is_string(one))
			return -TOKEN_E_AUD_SHAPE;
		is_ours |= strcmp(json_string_value(one), c->audience) == 0;
	}
	return is_ours ? 0 : -TOKEN_E_AUD_OTHER;
}

static int
check_client(const struct check *c)
{
	const json_t *client;
	bool is_there = false;

	if (!c->policy->require_client)
		return 0;
	for (size_t i = 0; i < COUNT_OF(client_claims); i++) {
		client = json_object_get(c->json, client_claims[i]);
		if (client == NULL)
			continue;
		if (!json_is_string(client) ||
		    strcmp(json_string_value(client), c->policy->client_id) != 0)
			return -TOKEN_E_CLIENT_OTHER;
		is_there = true;
	}
	return is_there ? 0 : -TOKEN_E_CLIENT_MISSING;
}

static int
check_expiry(const struct check *c)
{
	struct claim_date exp;
	int error = claim_read_date(c->json, "exp", CLAIM_ROUND_DOWN, TOKEN_E_EXP_NUMBER, &exp);

	if (error != 0)
		return error;
	if (!exp.is_there)
		return -TOKEN_E_EXP_MISSING;
	if (claims_are_past(c->policy, (time_t)c->now_s, exp.s))
		return -TOKEN_E_EXP_PAST;
	c->out->expires_s = exp.s;
	return 0;
}

static int
check_not_before(const struct check *c)
{
	struct claim_date nbf;
	int error = claim_read_date(c->json, "nbf", CLAIM_ROUND_UP, TOKEN_E_NBF_NUMBER, &nbf);

	return error == 0 && nbf.is_there && nbf.s > c->now_s + c->skew_s ? -TOKEN_E_NBF_FUTURE
									  : error;
}

static int
check_issued(const struct check *c)
{
	struct claim_date iat;
	int error = claim_read_date(c->json, "iat", CLAIM_ROUND_UP, TOKEN_E_IAT_NUMBER, &iat);

	if (error != 0)
		return error;
	if (!iat.is_there)
		return -TOKEN_E_IAT_MISSING;
	if (iat.s > c->now_s + c->skew_s)
		return -TOKEN_E_IAT_FUTURE;
	c->out->issued_s = iat.s;
	return 0;
}

/*
 * A revocation is for what was issued until its own iat. Rounded up, a token of the same second as
 * the logout, but before it, would outlive it where only one of the two has a fraction.
 */
static int
round_issued_down(const struct check *c)
{
	struct claim_date iat;
	int error = claim_read_date(c->json, "iat", CLAIM_ROUND_DOWN, TOKEN_E_IAT_NUMBER, &iat);

	if (error == 0)
		c->out->issued_s = iat.s;
	return error;
}

static int
check_life(const struct check *c)
{
	uint64_t from = c->out->issued_s, to = c->out->expires_s;

	return to > from && to - from <= c->max_life_s ? 0 : -TOKEN_E_LIFE;
}

static int
read_auth_time(const struct check *c)
{
	struct claim_date at;
	int error = claim_read_date(c->json, "auth_time", CLAIM_ROUND_DOWN, TOKEN_E_AUTH_TIME, &at);

	if (error != 0)
		return error;
	c->out->has_auth_time = at.is_there;
	c->out->auth_time_s = at.s;
	return 0;
}

static int
read_jti(const struct check *c)
{
	return claim_read_text(c->json, "jti", c->out->jti, TOKEN_E_JTI_TEXT);
}

static int
check_jti(const struct check *c)
{
	int error = read_jti(c);

	return error == 0 && c->out->jti[0] == '\0' ? -TOKEN_E_JTI_MISSING : error;
}

static int
read_sid(const struct check *c)
{
	return claim_read_text(c->json, "sid", c->out->sid, TOKEN_E_SID_TEXT);
}

static int
read_groups(const struct check *c)
{
	struct writer w;
	int error;

	writer_init(&w, c->out->groups, sizeof(c->out->groups));
	error = c->policy->groups_path != NULL
	    ? claim_read_groups(c->json, c->policy->groups_path, &w)
	    : 0;
	c->out->groups_len = w.len;
	return error;
}

static int
read_confirmation(const struct check *c)
{
	return claim_read_jkt(c->json, c->out->jkt);
}

static int
check_logout_event(const struct check *c)
{
	const json_t *events = json_object_get(c->json, "events");

	return json_is_object(json_object_get(events, LOGOUT_EVENT)) ? 0 : -TOKEN_E_EVENTS_MISSING;
}

static int
check_no_nonce(const struct check *c)
{
	return json_object_get(c->json, "nonce") == NULL ? 0 : -TOKEN_E_NONCE;
}

static int
check_who(const struct check *c)
{
	return c->out->subject[0] != '\0' || c->out->sid[0] != '\0' ? 0 : -TOKEN_E_WHO_MISSING;
}

static const rule access_rules[] = { check_access_typ, check_no_events, check_claim_typ,
	check_not_id_token, check_issuer, check_subject, check_audience, check_client, check_expiry,
	check_not_before, check_issued, round_issued_down, check_life, read_auth_time, read_jti,
	read_sid, read_groups, read_confirmation };

static const rule logout_rules[] = { check_logout_typ, check_logout_event, check_no_nonce,
	check_issuer, check_audience, check_expiry, check_not_before, check_issued, check_life,
	check_jti, read_subject, read_sid, check_who };

static int
run_rules(const rule *rules, size_t count, struct check *c, const unsigned char *payload,
    size_t len, struct claims *out)
{
	struct claims claims = { 0 };
	struct json_error_text why;
	json_t *json;
	int error = 0;

	if (json_parse_strict((const char *)payload, len, CLAIMS_DEPTH, &json, &why) != 0)
		return -TOKEN_E_CLAIMS_JSON;
	c->json = json;
	c->out = &claims;
	for (size_t i = 0; i < count && error == 0; i++)
		error = rules[i](c);
	json_release(json);
	if (error == 0)
		*out = claims;
	return error;
}

static uint64_t
skew_of(const struct claims_policy *policy)
{
	return policy->skew_s < CLAIMS_SKEW_MAX_S ? policy->skew_s : CLAIMS_SKEW_MAX_S;
}

bool
claims_are_past(const struct claims_policy *policy, time_t now_s, uint64_t expires_s)
{
	return now_s > 0 && (uint64_t)now_s >= expires_s + skew_of(policy);
}

static struct check
check_of(const struct claims_policy *policy, time_t now_s, const char *typ)
{
	return (struct check){
		.policy = policy,
		.typ = typ,
		.now_s = now_s > 0 ? (uint64_t)now_s : 0,
		.skew_s = skew_of(policy),
	};
}

int
claims_check_access(const struct claims_policy *policy, time_t now_s, const char *typ,
    const unsigned char *payload, size_t len, struct claims *out)
{
	struct check c = check_of(policy, now_s, typ);

	c.audience = policy->audience;
	c.max_life_s = policy->max_life_s;
	return run_rules(access_rules, COUNT_OF(access_rules), &c, payload, len, out);
}

int
claims_check_logout(const struct claims_policy *policy, time_t now_s, const char *typ,
    const unsigned char *payload, size_t len, struct claims *out)
{
	struct check c = check_of(policy, now_s, typ);

	c.audience = policy->client_id;
	c.max_life_s = CLAIMS_LOGOUT_LIFE_MAX_S;
	return run_rules(logout_rules, COUNT_OF(logout_rules), &c, payload, len, out);
}
