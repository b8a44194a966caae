/* SPDX-License-Identifier: MIT */
/* JSON of the public contract: see api_json.h. */
#include "gatewayd/api_json.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/mono.h"

#define MILLI 1000
#define DEV_TOKEN "dev"

static json_t *
time_json(uint64_t wall)
{
	char text[RFC3339_UTC_SIZE];

	rfc3339_utc((time_t)wall, text);
	return json_string(text);
}

static json_t *
id_json(const struct id128 *id)
{
	char text[ID_TEXT_SIZE];

	id_format(id, text);
	return json_string(text);
}

static json_t *
placement_json(struct view node, struct view region, unsigned tier)
{
	return json_pack("{s:s%, s:s%, s:s}", "node", node.p, node.len, "region", region.p,
	    region.len, "tier", session_tier_name(tier));
}

static json_t *
exit_json(unsigned kind, uint32_t value)
{
	if (kind == EXIT_SIGNAL)
		return json_pack("{s:i, s:i}", "code", 128 + (int)(value & 127), "signal",
		    (int)value);
	return json_pack("{s:i}", "code", (int)value);
}

struct json_t *
api_json_session(const struct pl_session *s)
{
	json_t *obj = json_pack("{s:o, s:s%, s:s, s:o, s:o, s:o, s:s%}", "session_id",
	    id_json(&s->session_id), "profile", s->profile.p, s->profile.len, "status",
	    session_status_name(s->status), "created_at", time_json(s->created_s), "expires_at",
	    time_json(s->expires_s), "placement", placement_json(s->node, s->region, s->tier),
	    "placement_reason", s->placement_reason.p, s->placement_reason.len);

	if (obj && s->exit_kind != EXIT_NONE)
		json_object_set_new(obj, "exit", exit_json(s->exit_kind, s->exit_value));
	if (obj && s->end_reason != END_NONE)
		json_object_set_new(obj, "end_reason",
		    json_string(session_end_name(s->end_reason)));
	return obj;
}

struct json_t *
api_json_grant(const char *ws_url, struct view token, uint64_t expires_s)
{
	return json_pack("{s:s, s:s%, s:o}", "ws_url", ws_url, "token", token.p, token.len,
	    "expires_at", time_json(expires_s));
}

struct json_t *
api_json_created(const struct pl_created *s, const char *ws_url)
{
	return json_pack("{s:o, s:o, s:o, s:s%}", "session_id", id_json(&s->session_id), "attach",
	    api_json_grant(ws_url, s->token, s->token_expires_s), "placement",
	    placement_json(s->node, s->region, s->tier), "placement_reason", s->placement_reason.p,
	    s->placement_reason.len);
}

struct json_t *
api_json_profile(const struct pl_profile *p)
{
	char cpu[QUANTITY_SIZE], memory[QUANTITY_SIZE], storage[QUANTITY_SIZE];

	quantity_cpu(p->cpu_milli, cpu);
	quantity_bytes(p->memory_bytes, memory);
	quantity_bytes(p->storage_bytes, storage);
	return json_pack("{s:s%, s:s, s:s, s:s, s:I, s:I, s:I}", "name", p->name.p, p->name.len,
	    "cpu", cpu, "memory", memory, "storage", storage, "max_ttl_seconds",
	    (json_int_t)p->max_ttl_seconds, "idle_timeout_seconds", (json_int_t)p->idle_timeout_s,
	    "max_sessions", (json_int_t)p->max_sessions);
}

struct json_t *
api_json_node(const struct pl_node *n, const char *url)
{
	return json_pack("{s:s%, s:s%, s:s, s:s, s:b}", "name", n->name.p, n->name.len, "region",
	    n->region.p, n->region.len, "tier", session_tier_name(n->tier), "url", url, "self",
	    (int)n->self);
}

struct json_t *
api_json_ready(bool authd, bool placerd, const struct pl_gate_ready *r)
{
	bool ptyd = r && r->sessions_known, audit = r && r->audit_writable;
	unsigned sign_in = r ? r->sign_in : SIGN_IN_WAITING;

	return json_pack("{s:s, s:b, s:s, s:{s:b, s:b, s:b, s:b}}", "status",
	    authd && placerd && r && api_is_ready(r) ? "ready" : "not_ready", "dev_mode",
	    sign_in == SIGN_IN_DEV, "sign_in", session_sign_in_name(sign_in), "parts", "authd",
	    (int)authd, "placerd", (int)placerd, "ptyd", (int)ptyd, "audit", (int)audit);
}

struct json_t *
api_json_config(const struct config *config)
{
	json_t *obj;

	if (!config->oidc_issuer_url[0])
		return json_pack("{s:s, s:s}", "sign_in", "dev", "token", DEV_TOKEN);
	obj = json_pack("{s:s, s:s, s:s, s:s, s:b}", "sign_in", "oidc", "issuer",
	    config->oidc_issuer_url, "client_id", config->oidc_client_id, "scopes",
	    config->oidc_scopes, "accept_id_tokens", (int)config->oidc_accept_id_tokens);
	if (obj && config->oidc_resource[0])
		json_object_set_new(obj, "resource", json_string(config->oidc_resource));
	return obj;
}

bool
api_is_ready(const struct pl_gate_ready *r)
{
	return r->sessions_known && r->audit_writable && r->sign_in != SIGN_IN_WAITING;
}

void
quantity_cpu(uint64_t milli, char out[static QUANTITY_SIZE])
{
	bool whole = milli % MILLI == 0;

	snprintf(out, QUANTITY_SIZE, "%llu%s", (unsigned long long)(whole ? milli / MILLI : milli),
	    whole ? "" : "m");
}

/* The largest of the factors that divides, as a quantity. */
static void
quantity_by(uint64_t bytes, unsigned factor, const char *const *suffixes,
    char out[static QUANTITY_SIZE])
{
	size_t power = 0;

	while (power < 4 && bytes > 0 && bytes % factor == 0) {
		bytes /= factor;
		power++;
	}
	snprintf(out, QUANTITY_SIZE, "%llu%s", (unsigned long long)bytes, suffixes[power]);
}

void
quantity_bytes(uint64_t bytes, char out[static QUANTITY_SIZE])
{
	static const char *const binary[] = { "", "Ki", "Mi", "Gi", "Ti" };
	static const char *const decimal[] = { "", "k", "M", "G", "T" };
	char other[QUANTITY_SIZE];

	quantity_by(bytes, 1024, binary, out);
	quantity_by(bytes, 1000, decimal, other);
	if (strlen(other) < strlen(out))
		memcpy(out, other, QUANTITY_SIZE);
}
