/* SPDX-License-Identifier: MIT */
/* Tokens in, meaning out: who a bearer is, and attach tokens made and checked. */
#include "authd/authd.h"

#include <stdio.h>
#include <string.h>

#include "authd/attachtoken.h"
#include "authd/devtoken.h"
#include "authd/dpop.h"
#include "authd/keyfetch.h"
#include "authd/known.h"
#include "authd/token.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/log.h"

#define CAUSE_NAME(name, text) [ATTACHTOKEN_E_##name] = #name,
static const char *const cause_names[] = { [ATTACHTOKEN_OK] = "OK",
	ATTACHTOKEN_ERRORS(CAUSE_NAME) };

_Static_assert(ATTACH_TOKEN_BYTES >= ATTACHTOKEN_SIZE, "room for any token");
_Static_assert(sizeof(((struct refusal *)0)->nonce) >= DPOP_NONCE_SIZE, "room for a nonce");
_Static_assert(IDENTITY_NAME_BYTES == CLAIMS_TEXT_SIZE &&
	IDENTITY_GROUPS_BYTES == CLAIMS_GROUPS_BYTES,
    "an identity has room for what claims hold");
_Static_assert(IDENTITY_NAME_BYTES == ATTACHTOKEN_SID_MAX_BYTES + 1,
    "an attach token has room for the sid of an identity");

static const char *
cause_name(int error)
{
	size_t i = (size_t) - (long)error;

	return error <= 0 && i < COUNT_OF(cause_names) ? cause_names[i] : "UNKNOWN";
}

static int
copy_text(char *out, size_t out_size, const char *text)
{
	return view_copy(view_of(text), out, out_size);
}

static int
refuse(struct refusal *why, int error, const char *reason)
{
	why->reason = reason;
	return error;
}

/* --- the dev shim --- */

static int
pack_groups(const struct devtoken *t, struct identity *out)
{
	struct writer w;

	writer_init(&w, out->groups, sizeof(out->groups));
	for (size_t i = 0; i < t->group_count; i++)
		put_view(&w, view_of(t->groups[i]));
	out->groups_len = w.len;
	return w.err;
}

/* Such a token has no time of issue (0): none of it is newer than a revocation. */
static int
verify_dev(struct view bearer, struct identity *out, struct refusal *why)
{
	struct devtoken t;
	int rc = devtoken_parse(bearer.p, bearer.len, &t);

	if (rc != 0) {
		why->detail = devtoken_strerror(rc);
		return refuse(why, -FOG_E_BAD_TOKEN, why->detail);
	}
	memset(out, 0, sizeof(*out));
	if (copy_text(out->issuer, sizeof(out->issuer), DEVTOKEN_ISSUER) != 0 ||
	    copy_text(out->subject, sizeof(out->subject), t.subject) != 0 ||
	    pack_groups(&t, out) != 0) {
		why->detail = "the token names too much";
		return refuse(why, -FOG_E_BAD_TOKEN, why->detail);
	}
	return 0;
}

/* --- what a DPoP proof has to be for: the request that the message stands for (RFC 9449 4.3) --- */

#define SESSIONS "/v1/sessions"

static const struct request_line {
	enum msg_type type;
	const char *method, *path;
	bool has_id; /* path, slash, the session's id, tail */
	const char *tail;
} request_lines[] = {
	{ MSG_AUTH_CREATE, "POST", SESSIONS, false, "" },
	{ MSG_AUTH_LIST, "GET", SESSIONS, false, "" },
	{ MSG_AUTH_SHOW, "GET", SESSIONS, true, "" },
	{ MSG_AUTH_END, "DELETE", SESSIONS, true, "" },
	{ MSG_AUTH_EXTEND, "PATCH", SESSIONS, true, "" },
	{ MSG_AUTH_MINT, "POST", SESSIONS, true, "/attach" },
	{ MSG_AUTH_CONFIRM, "POST", SESSIONS, true, "/confirm" },
	{ MSG_AUTH_PROFILES, "GET", "/v1/profiles", false, "" },
	{ MSG_AUTH_NODES, "GET", "/v1/nodes", false, "" },
};

static const struct request_line *
find_request_line(enum msg_type type)
{
	for (size_t i = 0; i < COUNT_OF(request_lines); i++) {
		if (request_lines[i].type == type)
			return &request_lines[i];
	}
	return NULL;
}

/* All that name a session do so in the same place. */
_Static_assert(offsetof(union payload, bearer_mint.session_id) ==
	    offsetof(union payload, bearer_session.session_id) &&
	offsetof(union payload, bearer_extend.session_id) ==
	    offsetof(union payload, bearer_session.session_id),
    "the session id comes after the bearer");

static void
format_path(const struct request_line *line, const struct msg *m, char *out, size_t out_size)
{
	char id[ID_TEXT_SIZE] = "";

	if (line->has_id)
		id_format(&m->u.bearer_session.session_id, id);
	snprintf(out, out_size, "%s%s%s%s", line->path, line->has_id ? "/" : "", id, line->tail);
}

static int
refuse_proof(const struct authd *a, int error, uint64_t now_mono_ms, struct refusal *why)
{
	int answer = dpop_error_answer(error);

	if (answer == -FOG_E_NEED_NONCE && dpop_nonce(a->dpop, now_mono_ms, why->nonce) != 0)
		answer = -FOG_E_INTERNAL;
	return refuse(why, answer, dpop_error_code(error));
}

static int
check_proof(const struct authd *a, const struct msg *m, const struct claims *c, struct refusal *why)
{
	const struct request_line *line = find_request_line(m->type);
	struct dpop_now now = { wall_s(), mono_ms() };
	char path[sizeof(SESSIONS) + ID_TEXT_SIZE + 16];
	struct dpop_request request = { .proof = m->u.bearer.proof,
		.path = path,
		.token = m->u.bearer.bearer,
		.jkt = c->jkt,
		.who = c->subject };
	int error;

	if (!line)
		return refuse(why, -FOG_E_INTERNAL, "no_request_line");
	request.method = line->method;
	format_path(line, m, path, sizeof(path));
	error = dpop_check(a->dpop, &request, &now);
	return error == 0 ? 0 : refuse_proof(a, error, now.mono_ms, why);
}

/* The scheme says whether the key's holder is to be asked for; the token has the last word. */
static int
check_binding(const struct authd *a, const struct msg *m, const struct claims *c,
    struct refusal *why)
{
	bool is_dpop = m->u.bearer.scheme == SCHEME_DPOP;

	if (!*c->jkt)
		return is_dpop ? refuse(why, -FOG_E_BAD_TOKEN, "dpop_scheme_for_unbound_token") : 0;
	if (!is_dpop) /* RFC 9449 7.2: else a thief would just leave the proof out */
		return refuse(why, -FOG_E_BAD_PROOF, "bearer_scheme_for_bound_token");
	return check_proof(a, m, c, why);
}

/* --- the provider's tokens --- */

typedef int (*token_check)(const char *token, size_t len, struct jwk_set *keys,
    const struct claims_policy *policy, time_t now_s, struct claims *out);

static int
refuse_without_keys(const struct authd *a, struct refusal *why)
{
	if (keyfetch_is_under_way(a->provider))
		return VERIFY_WAIT;
	why->retry_after_s = keyfetch_retry_after_s(a->provider);
	return refuse(why, -FOG_E_NO_KEYS, "no_keys");
}

/* bad: the error of a token that is at fault itself. */
static int
check_token(const struct authd *a, struct view token, token_check check, int bad,
    struct claims *out, struct refusal *why)
{
	struct jwk_set *set = keyfetch_usable(a->provider);
	int error;

	if (!set)
		return refuse_without_keys(a, why);
	error = check(token.p, token.len, set, &a->policy, wall_s(), out);
	if (error == 0)
		return 0;
	if (error == -TOKEN_E_KID_UNKNOWN && keyfetch_want_unknown(a->provider))
		return VERIFY_WAIT;
	return refuse(why, token_error_answer(error) ? bad : -FOG_E_INTERNAL,
	    token_error_code(error));
}

/* Counted on the clock that no step of the wall clock moves (R10). */
static uint64_t
until_boot_ms(const struct claims *c, uint32_t grace_s)
{
	int64_t left_s = (int64_t)c->expires_s - (int64_t)wall_s() + (int64_t)grace_s;

	return boot_ms() + (left_s > 0 ? (uint64_t)left_s * 1000 : 1);
}

static void
identify(const struct claims *c, uint32_t grace_s, struct identity *out)
{
	memcpy(out->issuer, c->issuer, sizeof(out->issuer));
	memcpy(out->subject, c->subject, sizeof(out->subject));
	memcpy(out->sid, c->sid, sizeof(out->sid));
	out->issued_s = c->issued_s;
	out->until_boot_ms = until_boot_ms(c, grace_s);
	out->groups_len = c->groups_len;
	memcpy(out->groups, c->groups, c->groups_len);
}

static int
check_access_token(const struct authd *a, struct view token, struct claims *out,
    struct refusal *why)
{
	const struct jwk_set *set = keyfetch_usable(a->provider);
	int rc;

	if (set && known_get(a->known, token, set, &a->policy, wall_s(), out))
		return 0;
	rc = check_token(a, token, token_check_access, -FOG_E_BAD_TOKEN, out, why);
	if (rc == 0)
		known_put(a->known, token, set, out);
	return rc;
}

static int
verify_access(const struct authd *a, const struct msg *m, struct identity *out, struct refusal *why)
{
	struct claims c;
	int rc = check_access_token(a, m->u.bearer.bearer, &c, why);

	if (rc == 0)
		rc = check_binding(a, m, &c, why);
	if (rc == 0)
		identify(&c, a->grace_s, out);
	return rc;
}

int
verify_bearer(const struct authd *a, const struct msg *m, struct identity *out, struct refusal *why)
{
	*why = (struct refusal){ .reason = "", .detail = "" };
	if (a->provider)
		return verify_access(a, m, out, why);
	if (a->dev_shim && m->u.bearer.scheme == SCHEME_BEARER)
		return verify_dev(m->u.bearer.bearer, out, why);
	why->detail = a->dev_shim ? "development tokens are plain bearers"
				  : "no sign-in is configured";
	return refuse(why, -FOG_E_BAD_TOKEN, why->detail);
}

int
verify_logout(const struct authd *a, struct view token, struct claims *out, struct refusal *why)
{
	*why = (struct refusal){ .reason = "", .detail = "" };
	if (!a->provider)
		return refuse(why, -FOG_E_NOT_FOUND, "no_provider");
	return check_token(a, token, token_check_logout, -FOG_E_BAD_LOGOUT_TOKEN, out, why);
}

/* --- attach tokens --- */

static int
claims_of(const struct token_keys *keys, const struct grant *g, struct attachtoken *t)
{
	t->session_id = g->session_id;
	t->issued_wall_s = wall_s();
	t->expires_wall_s = t->issued_wall_s + (time_t)keys->ttl_seconds;
	t->expires_boot_ms = boot_ms() + (uint64_t)keys->ttl_seconds * 1000;
	t->role = g->role;
	t->identity_until_boot_ms = g->until_boot_ms;
	t->identity_issued_s = g->issued_s;
	if (id_random(&t->token_id) != 0 ||
	    copy_text(t->subject, sizeof(t->subject), g->subject) != 0 ||
	    copy_text(t->subject_issuer, sizeof(t->subject_issuer), g->issuer) != 0 ||
	    copy_text(t->identity_sid, sizeof(t->identity_sid), g->sid) != 0 ||
	    copy_text(t->boot_id, sizeof(t->boot_id), keys->boot_id) != 0)
		return -FOG_E_INTERNAL;
	return 0;
}

int
grant_mint(const struct token_keys *keys, struct grant *g, char *out, size_t out_size)
{
	struct attachtoken t = { 0 };

	if (claims_of(keys, g, &t) != 0 ||
	    attachtoken_mint(&keys->signing_key, &t, out, out_size) != 0)
		return -FOG_E_INTERNAL;
	g->token_id = t.token_id;
	g->expires_boot_ms = t.expires_boot_ms;
	g->expires_s = (uint64_t)t.expires_wall_s;
	return 0;
}

int
grant_verify(const struct token_keys *keys, struct view token, struct grant *out, const char **why)
{
	const struct secret *const pair[ATTACHTOKEN_KEYS] = { &keys->signing_key,
		keys->previous.len > 0 ? &keys->previous : NULL };
	struct attach_now now = { wall_s(), boot_ms(), keys->boot_id };
	struct attachtoken t;
	int rc = attachtoken_verify(pair, token.p, token.len, &now, &t);

	*why = cause_name(rc);
	if (rc != 0)
		return -FOG_E_BAD_ATTACH_TOKEN;
	*out = (struct grant){ .token_id = t.token_id,
		.session_id = t.session_id,
		.role = t.role,
		.issued_s = t.identity_issued_s,
		.until_boot_ms = t.identity_until_boot_ms,
		.expires_boot_ms = t.expires_boot_ms,
		.expires_s = (uint64_t)t.expires_wall_s };
	if (copy_text(out->issuer, sizeof(out->issuer), t.subject_issuer) != 0 ||
	    copy_text(out->subject, sizeof(out->subject), t.subject) != 0 ||
	    copy_text(out->sid, sizeof(out->sid), t.identity_sid) != 0)
		return -FOG_E_BAD_ATTACH_TOKEN;
	return 0;
}

/* --- start --- */

int
verify_init(struct token_keys *keys)
{
	return token_init() == 0 && boot_id_read(keys->boot_id) == 0 && attachtoken_init() == 0
	    ? 0
	    : -1;
}

static int
not_configured(const char *variable, const char *value)
{
	char shown[256];

	log_error("event=start_failed step=configuration variable=%s value=%s", variable,
	    log_escape(view_of(value), shown, sizeof(shown)));
	return -1;
}

static struct claims_policy
policy_of(const struct config *c)
{
	return (struct claims_policy){ .issuer = c->oidc_issuer_url,
		.audience = *c->oidc_audience ? c->oidc_audience : c->oidc_client_id,
		.client_id = c->oidc_client_id,
		.require_client = c->oidc_require_client,
		.groups_path = c->oidc_groups_claim,
		.skew_s = c->oidc_skew_seconds,
		.max_life_s = c->oidc_max_token_seconds,
		.require_at_jwt = c->oidc_require_at_jwt,
		.accept_id_tokens = c->oidc_accept_id_tokens };
}

static int
configure_dpop(struct authd *a, const struct config *c)
{
	struct dpop_config dpop = { .base_url = c->gateway_url,
		.allowed = a->key_rules.algorithms,
		.need_nonce = c->dpop_nonce,
		.started_s = wall_s() };

	return dpop_new(&dpop, &a->dpop) == 0 ? 0 : not_configured("GATEWAY_URL", c->gateway_url);
}

static int
prepare_known(struct authd *a)
{
	a->known = known_new();
	if (!a->known)
		log_error("event=start_failed step=\"memory for tokens\"");
	return a->known ? 0 : -1;
}

int
verify_configure(struct authd *a, const struct config *c)
{
	struct https_url issuer;

	a->dev_shim = !*c->oidc_issuer_url && c->use_stub;
	if (!*c->oidc_issuer_url)
		return 0;
	if (issuer_parse(c->oidc_issuer_url, &issuer) != 0)
		return not_configured("OIDC_ISSUER_URL", c->oidc_issuer_url);
	if (!*c->oidc_client_id)
		return not_configured("OIDC_CLIENT_ID", "");
	if (jwa_set_parse(c->oidc_algorithms, &a->key_rules.algorithms) != 0)
		return not_configured("OIDC_ALGORITHMS", c->oidc_algorithms);
	a->key_rules.issuer = c->oidc_issuer_url;
	a->key_rules.refresh_ms = UINT64_C(1000) * c->oidc_keys_refresh_seconds;
	a->key_rules.max_age_ms = UINT64_C(1000) * c->oidc_keys_max_age_seconds;
	a->key_rules.cooldown_ms = UINT64_C(1000) * c->oidc_keys_cooldown_seconds;
	a->policy = policy_of(c);
	a->grace_s = c->identity_grace_seconds;
	return prepare_known(a) == 0 ? configure_dpop(a, c) : -1;
}
