/* SPDX-License-Identifier: MIT */
/* Tokens in, meaning out: who a bearer is, and attach tokens made and checked. */
#include "authd/authd.h"

#include <string.h>

#include "authd/attachtoken.h"
#include "authd/devtoken.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"

#define CAUSE_NAME(name, text) [ATTACHTOKEN_E_##name] = #name,
static const char *const cause_names[] = { [ATTACHTOKEN_OK] = "OK",
	ATTACHTOKEN_ERRORS(CAUSE_NAME) };

_Static_assert(ATTACH_TOKEN_BYTES >= ATTACHTOKEN_SIZE, "room for any token");

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
pack_groups(const struct devtoken *t, struct identity *out)
{
	struct writer w;

	writer_init(&w, out->groups, sizeof(out->groups));
	for (size_t i = 0; i < t->group_count; i++)
		put_view(&w, view_of(t->groups[i]));
	out->groups_len = w.len;
	return w.err;
}

int
verify_bearer(const struct authd *a, struct view bearer, struct identity *out, const char **why)
{
	struct devtoken t;
	int rc;

	if (!a->dev_shim) {
		*why = "no sign-in is configured";
		return -FOG_E_BAD_TOKEN;
	}
	rc = devtoken_parse(bearer.p, bearer.len, &t);
	if (rc != 0) {
		*why = devtoken_strerror(rc);
		return -FOG_E_BAD_TOKEN;
	}
	memset(out, 0, sizeof(*out));
	if (copy_text(out->issuer, sizeof(out->issuer), DEVTOKEN_ISSUER) != 0 ||
	    copy_text(out->subject, sizeof(out->subject), t.subject) != 0 ||
	    pack_groups(&t, out) != 0) {
		*why = "the token names too much";
		return -FOG_E_BAD_TOKEN;
	}
	return 0;
}

static int
claims_of(const struct token_keys *keys, const struct grant *g, struct attachtoken *t)
{
	t->session_id = g->session_id;
	t->issued_wall_s = wall_s();
	t->expires_wall_s = t->issued_wall_s + (time_t)keys->ttl_seconds;
	t->expires_boot_ms = boot_ms() + (uint64_t)keys->ttl_seconds * 1000;
	t->role = g->role;
	if (id_random(&t->token_id) != 0 ||
	    copy_text(t->subject, sizeof(t->subject), g->subject) != 0 ||
	    copy_text(t->subject_issuer, sizeof(t->subject_issuer), g->issuer) != 0 ||
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
	struct attach_now now = { wall_s(), boot_ms(), keys->boot_id };
	struct attachtoken t;
	int rc = attachtoken_verify(&keys->signing_key, token.p, token.len, &now, &t);

	*why = cause_name(rc);
	if (rc != 0)
		return -FOG_E_BAD_ATTACH_TOKEN;
	*out = (struct grant){ .token_id = t.token_id,
		.session_id = t.session_id,
		.role = t.role,
		.expires_boot_ms = t.expires_boot_ms,
		.expires_s = (uint64_t)t.expires_wall_s };
	if (copy_text(out->issuer, sizeof(out->issuer), t.subject_issuer) != 0 ||
	    copy_text(out->subject, sizeof(out->subject), t.subject) != 0)
		return -FOG_E_BAD_ATTACH_TOKEN;
	return 0;
}

int
verify_init(struct token_keys *keys)
{
	return json_init() == 0 && boot_id_read(keys->boot_id) == 0 && attachtoken_init() == 0 ? 0
											       : -1;
}
