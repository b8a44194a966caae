/* SPDX-License-Identifier: MIT */
/* JSON of the public contract: see api_json.h. */
#include "gatewayd/api_json.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/imageref.h"
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

static void
set_image_ref(json_t *obj, const struct raw32 *image)
{
	char text[IMAGEREF_DIGEST_TEXT_SIZE];

	if (imageref_is_none(image))
		return;
	imageref_format(image, text);
	json_object_set_new(obj, "image_ref", json_string(text));
}

struct json_t *
api_json_session(const struct pl_session *s)
{
	json_t *obj = json_pack("{s:o, s:s%, s:s, s:o, s:o, s:o, s:s%}", "session_id",
	    id_json(&s->session_id), "profile", s->profile.p, s->profile.len, "status",
	    session_status_name(s->status), "created_at", time_json(s->created_s), "expires_at",
	    time_json(s->expires_s), "placement", placement_json(s->node, s->region, s->tier),
	    "placement_reason", s->placement_reason.p, s->placement_reason.len);

	if (obj)
		set_image_ref(obj, &s->image);
	if (obj && s->exit_kind != EXIT_NONE)
		json_object_set_new(obj, "exit", exit_json(s->exit_kind, s->exit_value));
	if (obj && s->end_reason != END_NONE)
		json_object_set_new(obj, "end_reason",
		    json_string(session_end_name(s->end_reason)));
	return obj;
}

static json_t *
limits_json(uint32_t holds)
{
	json_t *enforced = json_array();

	for (unsigned limit = 0; enforced && limit < LIMIT_COUNT; limit++) {
		if (holds & 1u << limit)
			json_array_append_new(enforced, json_string(session_limit_name(limit)));
	}
	return json_pack("{s:o}", "enforced", enforced);
}

static json_t *
count_json(uint64_t count)
{
	return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
}

static json_t *
percent_json(uint32_t hundredths)
{
	return json_real(hundredths / 100.0);
}

static void
set_if_known(json_t *obj, const char *name, uint32_t known, enum session_usage what, json_t *value)
{
	if (known & 1u << what)
		json_object_set(obj, name, value);
	json_decref(value);
}

static json_t *
usage_json(const struct pl_shown *s)
{
	json_t *obj = json_object(), *pressure = json_object();

	set_if_known(obj, "cpu_seconds", s->known, USAGE_CPU,
	    json_real((double)s->cpu_usec / 1000000));
	set_if_known(obj, "memory_bytes", s->known, USAGE_MEMORY, count_json(s->memory_bytes));
	set_if_known(obj, "memory_peak_bytes", s->known, USAGE_MEMORY_PEAK,
	    count_json(s->memory_peak_bytes));
	set_if_known(obj, "pids", s->known, USAGE_PIDS, count_json(s->pids));
	set_if_known(obj, "oom_kills", s->known, USAGE_OOM_KILLS, count_json(s->oom_kills));
	set_if_known(pressure, "cpu", s->known, USAGE_CPU_PRESSURE, percent_json(s->cpu_pressure));
	set_if_known(pressure, "memory", s->known, USAGE_MEMORY_PRESSURE,
	    percent_json(s->memory_pressure));
	set_if_known(pressure, "io", s->known, USAGE_IO_PRESSURE, percent_json(s->io_pressure));
	if (json_object_size(pressure) > 0)
		json_object_set(obj, "pressure", pressure);
	set_if_known(obj, "egress_denied", s->known, USAGE_EGRESS_DENIED,
	    count_json(s->egress_denied));
	json_decref(pressure);
	return obj;
}

#define COPY_SESSION(T, kind, name, min, max) .name = s->name,

struct json_t *
api_json_shown(const struct pl_shown *s)
{
	struct pl_session row = { FIELDS_session(COPY_SESSION, ) };
	json_t *obj = api_json_session(&row);

	/* Of one that has ended, and of the stub, nobody can tell. */
	if (!obj || (s->holds == 0 && s->known == 0))
		return obj;
	json_object_set_new(obj, "limits", limits_json(s->holds));
	json_object_set_new(obj, "usage", usage_json(s));
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
	struct view at = n->url.len > 0 ? n->url : view_of(url);

	return json_pack("{s:s%, s:s%, s:s, s:s%, s:b, s:s}", "name", n->name.p, n->name.len,
	    "region", n->region.p, n->region.len, "tier", session_tier_name(n->tier), "url", at.p,
	    at.len, "self", (int)n->self, "state", session_node_state_name(n->state));
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
