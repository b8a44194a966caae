/* SPDX-License-Identifier: MIT */
/* Create, list, show, confirm, extend and end a session; mint an attach token. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "gatewayd/answer.h"
#include "gatewayd/api.h"
#include "gatewayd/peers.h"

#define NAME_MAX_BYTES 64
#define IMAGE_MAX_BYTES 255
#define TTL_MAX_SECONDS 31536000 /* a bound of shape: policy has its own */
#define LATENCY_MAX_MS 60000
#define LATENCIES_MAX_BYTES 2048 /* messages.def */
#define IDEM_KEY_MAX_BYTES 128

struct create_body {
	struct json_str profile, placement_hint, image_ref;
	uint32_t ttl_seconds;
	struct json_u32_map latency_ms;
};

static const struct json_member create_members[] = {
	{ "profile", JSON_KIND_STR, true, 1, NAME_MAX_BYTES,
	    offsetof(struct create_body, profile) },
	{ "ttl_seconds", JSON_KIND_U32, true, 1, TTL_MAX_SECONDS,
	    offsetof(struct create_body, ttl_seconds) },
	{ "placement_hint", JSON_KIND_STR, false, 1, NAME_MAX_BYTES,
	    offsetof(struct create_body, placement_hint) },
	{ "image_ref", JSON_KIND_STR, false, 1, IMAGE_MAX_BYTES,
	    offsetof(struct create_body, image_ref) },
	{ "latency_ms", JSON_KIND_OBJECT_U32, false, 0, LATENCY_MAX_MS,
	    offsetof(struct create_body, latency_ms) },
};

struct extend_body {
	uint32_t ttl_seconds;
};

static const struct json_member extend_members[] = {
	{ "ttl_seconds", JSON_KIND_U32, false, 1, TTL_MAX_SECONDS,
	    offsetof(struct extend_body, ttl_seconds) },
};

struct mint_body {
	struct json_str role;
};

static const struct json_member mint_members[] = {
	{ "role", JSON_KIND_STR, false, 1, 16, offsetof(struct mint_body, role) },
};

static void
answer_json_error(struct conn *c, const struct json_error_text *err)
{
	if (err->member[0])
		answer_bad_member(c, err->member, err->text);
	else
		answer_error(c, FOG_E_BAD_REQUEST, err->text);
}

/* The body by a table, into *out. NULL: answered. The strings live as long as the object. */
static struct json_t *
read_body(struct conn *c, const struct json_member *table, size_t rows, void *out)
{
	struct json_error_text err;
	struct json_t *obj;

	if (json_parse_strict(c->x.body ? c->x.body : "", c->x.body_len, JSON_DEPTH_DEFAULT, &obj,
		&err) != 0) {
		answer_json_error(c, &err);
		return NULL;
	}
	if (json_read_members(obj, table, rows, out, &err) != 0) {
		json_release(obj);
		answer_json_error(c, &err);
		return NULL;
	}
	return obj;
}

static struct view
view_of_str(struct json_str s)
{
	return view_bytes(s.s ? s.s : "", s.s ? s.len : 0);
}

/* name, milliseconds, name, … as a list field. */
static int
put_latencies(const struct json_u32_map *map, struct writer *w)
{
	char ms[12];

	for (size_t i = 0; i < map->count; i++) {
		snprintf(ms, sizeof(ms), "%u", map->entries[i].value);
		put_view(w, view_of_str(map->entries[i].name));
		put_view(w, view_of(ms));
	}
	return w->err;
}

/* 1 to 128 printable ASCII characters, once, or not at all. */
static int
read_idem_key(struct conn *c, struct view *out)
{
	*out = api_header(c, "Idempotency-Key");
	if (!out->p && http1_header_count(c->parser, "Idempotency-Key") == 0) {
		*out = view_of("");
		return 0;
	}
	if (!out->p || out->len < 1 || out->len > IDEM_KEY_MAX_BYTES)
		return -FOG_E_BOUNDS;
	for (size_t i = 0; i < out->len; i++) {
		if (out->p[i] < 0x20 || out->p[i] > 0x7e)
			return -FOG_E_BOUNDS;
	}
	return 0;
}

static void
ask_create(struct conn *c, const struct create_body *body)
{
	unsigned char latencies[LATENCIES_MAX_BYTES];
	struct writer w;
	struct pl_bearer_create wish = { API_CREDENTIALS(c), .profile = view_of_str(body->profile),
		.ttl_seconds = body->ttl_seconds,
		.placement_hint = view_of_str(body->placement_hint),
		.image_ref = view_of_str(body->image_ref) };

	uint32_t wait;

	writer_init(&w, latencies, sizeof(latencies));
	if (read_idem_key(c, &wish.idem_key) != 0) {
		answer_error(c, FOG_E_BAD_REQUEST,
		    "Idempotency-Key is 1 to 128 printable ASCII characters, once");
	} else if (put_latencies(&body->latency_ms, &w) != 0) {
		answer_bad_member(c, "latency_ms", "the names are too long together");
	} else if ((wait = api_take(c, LIMIT_CREATES))) {
		answer_rate_limited(c, wait);
	} else {
		wish.latencies = view_bytes(latencies, w.len);
		peers_ask(c, MSG_AUTH_CREATE, PH_CREATE, &wish);
	}
}

void
api_create_session(struct conn *c)
{
	struct create_body body = { 0 };
	struct json_t *obj = read_body(c, create_members, COUNT_OF(create_members), &body);

	if (!obj)
		return;
	ask_create(c, &body);
	json_release(obj);
}

void
api_list_sessions(struct conn *c)
{
	struct pl_bearer who = { API_CREDENTIALS(c) };

	peers_ask(c, MSG_AUTH_LIST, PH_LIST, &who);
}

void
api_show_session(struct conn *c)
{
	struct pl_bearer_session which = { API_CREDENTIALS(c), .session_id = c->x.session_id };

	peers_ask(c, MSG_AUTH_SHOW, PH_SHOW, &which);
}

void
api_end_session(struct conn *c)
{
	struct pl_bearer_session which = { API_CREDENTIALS(c), .session_id = c->x.session_id };

	peers_ask(c, MSG_AUTH_END, PH_END, &which);
}

void
api_confirm_session(struct conn *c)
{
	struct pl_bearer_session which = { API_CREDENTIALS(c), .session_id = c->x.session_id };

	peers_ask(c, MSG_AUTH_CONFIRM, PH_CONFIRM, &which);
}

void
api_extend_session(struct conn *c)
{
	struct extend_body body = { 0 };
	struct json_t *obj = NULL;
	struct pl_bearer_extend wish = { API_CREDENTIALS(c), .session_id = c->x.session_id };

	if (c->x.body_len > 0) {
		obj = read_body(c, extend_members, COUNT_OF(extend_members), &body);
		if (!obj)
			return;
		wish.ttl_seconds = body.ttl_seconds;
	}
	peers_ask(c, MSG_AUTH_EXTEND, PH_EXTEND, &wish);
	json_release(obj);
}

static enum attach_role
role_by_name(struct json_str name)
{
	if (!name.s || strcmp(name.s, session_role_name(ROLE_DRIVER)) == 0)
		return ROLE_DRIVER;
	return strcmp(name.s, session_role_name(ROLE_VIEWER)) == 0 ? ROLE_VIEWER : ROLE_NONE;
}

void
api_mint_attach(struct conn *c)
{
	struct mint_body body = { 0 };
	struct json_t *obj = NULL;
	struct pl_bearer_mint wish = { API_CREDENTIALS(c), .session_id = c->x.session_id,
		.role = ROLE_DRIVER };
	uint32_t wait;

	if (c->x.body_len > 0) {
		obj = read_body(c, mint_members, COUNT_OF(mint_members), &body);
		if (!obj)
			return;
		wish.role = (uint8_t)role_by_name(body.role);
	}
	if (wish.role == ROLE_NONE)
		answer_bad_member(c, "role", "the role is driver or viewer");
	else if ((wait = api_take(c, LIMIT_ATTACHES)))
		answer_rate_limited(c, wait);
	else
		peers_ask(c, MSG_AUTH_MINT, PH_MINT, &wish);
	json_release(obj);
}
