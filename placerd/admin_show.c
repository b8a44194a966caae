/* SPDX-License-Identifier: MIT */
/* What administrators look at: see admin.h. */
#include "placerd/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/err.h"
#include "common/imageref.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "placerd/control.h"
#include "placerd/decision.h"
#include "placerd/fleet.h"
#include "placerd/nodes.h"
#include "placerd/placerd.h"
#include "placerd/where.h"

#define TEXT_MAX_BYTES 1100 /* the longest text of a session, each byte escaped */
#define LATENCIES_BYTES (JSON_U32_MAP_MAX * (JSON_U32_NAME_MAX_BYTES + 16))

/* jansson takes UTF-8 alone: other bytes as escaped text. */
static json_t *
text_of(const char *text)
{
	char escaped[TEXT_MAX_BYTES];
	json_t *value = json_string(text);

	return value ? value : json_string(log_escape(view_of(text), escaped, sizeof(escaped)));
}

static int
set(json_t *obj, const char *member, json_t *value)
{
	return json_object_set_new(obj, member, value);
}

static int
set_number(json_t *obj, const char *member, uint64_t value)
{
	return set(obj, member, json_integer((json_int_t)value));
}

/* Left out when there is none. */
static int
set_text(json_t *obj, const char *member, const char *text)
{
	return text[0] ? set(obj, member, text_of(text)) : 0;
}

static int
set_time(json_t *obj, const char *member, uint64_t seconds)
{
	char text[RFC3339_UTC_SIZE];

	rfc3339_utc((time_t)seconds, text);
	return set_text(obj, member, text);
}

static json_t *
whole(json_t *obj, int rc)
{
	if (rc == 0)
		return obj;
	json_decref(obj);
	return NULL;
}

/* --- status --- */

static json_t *
count_sessions(struct placerd *d)
{
	uint32_t count[STATUS_COUNT] = { 0 };

	for (struct session *s = NULL; (s = registry_next(d->registry, s));)
		count[s->status]++;
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "living",
	    (json_int_t)registry_live(d->registry), "most", (json_int_t)proc_config()->max_sessions,
	    "starting", (json_int_t)count[STATUS_STARTING], "running",
	    (json_int_t)count[STATUS_RUNNING], "detached", (json_int_t)count[STATUS_DETACHED]);
}

static enum node_state
state_of(const struct placerd *d, size_t node, uint64_t now_mono_ms)
{
	if (node != nodes_self(d->nodes))
		return fleet_state(d->fleet, node, now_mono_ms);
	if (!d->is_synced)
		return NODE_DOWN;
	return d->is_draining ? NODE_DRAINING : NODE_UP;
}

static json_t *
count_nodes(const struct placerd *d)
{
	uint32_t count[NODE_STATE_COUNT] = { 0 };
	uint64_t now = mono_ms();
	json_t *obj = json_object();
	int rc = obj ? 0 : -1;

	for (size_t i = 0; i < nodes_count(d->nodes); i++)
		count[state_of(d, i, now)]++;
	for (unsigned state = NODE_STATE_NONE + 1; rc == 0 && state < NODE_STATE_COUNT; state++)
		rc = set_number(obj, session_node_state_name(state), count[state]);
	return whole(obj, rc);
}

json_t *
admin_show_status(struct placerd *d)
{
	bool is_writable = audit_retry(d->keepers.audit) == 0;

	return json_pack("{s:o, s:s, s:b, s:b, s:o, s:s, s:o, s:b, s:b}", "node",
	    text_of(d->node_name), "version", FOG_VERSION, "ready",
	    (int)(d->is_synced && is_writable), "draining", (int)d->is_draining, "sessions",
	    count_sessions(d), "policy", policy_version(d->policy), "nodes", count_nodes(d),
	    "audit_writable", (int)is_writable, "verbose",
	    (int)(log_level_get() == LOG_LEVEL_DEBUG));
}

/* --- one session --- */

static int
set_end(json_t *obj, const struct session *s)
{
	int rc = set_text(obj, "end_reason", session_end_name(s->end_reason));

	if (rc == 0 && s->exit_kind == EXIT_CODE)
		rc = set_number(obj, "exit_code", s->exit_value);
	if (rc == 0 && s->exit_kind == EXIT_SIGNAL)
		rc = set_number(obj, "exit_signal", s->exit_value);
	return rc;
}

json_t *
admin_show_session(struct placerd *d, const struct id128 *id)
{
	const struct session *s = registry_find(d->registry, id);
	char text[ID_TEXT_SIZE], image[IMAGEREF_DIGEST_TEXT_SIZE] = "";
	json_t *obj;
	int rc;

	if (!s)
		return NULL;
	obj = json_object();
	id_format(&s->id, text);
	if (!imageref_is_none(&s->image))
		imageref_format(&s->image, image);
	rc = set_text(obj, "session_id", text);
	rc |= set_text(obj, "status", session_status_name(s->status));
	rc |= set_text(obj, "profile", s->profile);
	rc |= set_text(obj, "issuer", s->issuer);
	rc |= set_text(obj, "subject", s->subject);
	rc |= set_text(obj, "node", s->node);
	rc |= set_text(obj, "region", s->region);
	rc |= set_text(obj, "tier", session_tier_name(s->tier));
	rc |= set_text(obj, "placement_reason", s->placement_reason);
	rc |= set_text(obj, "image", image);
	rc |= set_time(obj, "created_at", s->created_s);
	rc |= set_time(obj, "expires_at", s->expires_s);
	if (session_has_ended(s->status))
		rc |= set_end(obj, s);
	return whole(obj, rc);
}

/* --- one node --- */

static json_t *
labels_of(const struct placerd *d, const struct node *node)
{
	json_t *labels = json_array();
	int rc = labels ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < nodes_label_count(d->nodes); i++) {
		struct view label = nodes_label_at(d->nodes, i);

		if (node->labels & nodes_label(d->nodes, label))
			rc = json_array_append_new(labels, json_stringn(label.p, label.len));
	}
	return whole(labels, rc);
}

static int
set_room(json_t *obj, const char *member, const struct place_room *room)
{
	return set(obj, member,
	    json_pack("{s:I, s:I, s:I}", "sessions", (json_int_t)room->sessions, "cpu_milli",
		(json_int_t)room->cpu_milli, "memory_bytes", (json_int_t)room->memory_bytes));
}

/* What was heard of it; of this node there is nothing to hear. */
static int
set_heard(json_t *obj, const struct placerd *d, size_t index, uint64_t now_mono_ms)
{
	uint64_t silent_ms = fleet_silent_ms(d->fleet, index, now_mono_ms);
	int rc = 0;

	if (index == nodes_self(d->nodes))
		return 0;
	if (silent_ms != UINT64_MAX) {
		rc = set_number(obj, "silent_ms", silent_ms);
		rc |= set_number(obj, "answers_in_ms", fleet_mean_ms(d->fleet, index));
	}
	return rc;
}

json_t *
admin_show_node(struct placerd *d, size_t index)
{
	uint64_t now = mono_ms();
	const struct node *node;
	struct place_room load;
	bool is_self;
	json_t *obj;
	int rc;

	if (index >= nodes_count(d->nodes))
		return NULL;
	node = nodes_at(d->nodes, index);
	is_self = index == nodes_self(d->nodes);
	if (is_self)
		where_own_load(d, &load);
	else
		load = fleet_load(d->fleet, index);
	obj = json_object();
	rc = set_text(obj, "name", node->name);
	rc |= set(obj, "self", json_boolean(is_self));
	rc |= set_text(obj, "state", session_node_state_name(state_of(d, index, now)));
	rc |= set(obj, "cordoned", json_boolean(!is_self && fleet_is_cordoned(d->fleet, index)));
	rc |= set_text(obj, "region", node->region);
	rc |= set_text(obj, "tier", session_tier_name(node->tier));
	rc |= set_text(obj, "trust", session_trust_name(node->trust));
	rc |= set(obj, "data_labels", labels_of(d, node));
	rc |= set_text(obj, "url", node->url ? node->url : "");
	rc |= set_room(obj, "load", &load);
	rc |= set_room(obj, "capacity", &node->capacity);
	rc |= set_heard(obj, d, index, now);
	return whole(obj, rc);
}

/* --- a placement, without a session --- */

/* name, milliseconds, name, … as the API hands them on. */
static struct view
pack_latencies(const struct json_u32_map *map, unsigned char out[static LATENCIES_BYTES])
{
	struct writer w;
	char ms[12];

	writer_init(&w, out, LATENCIES_BYTES);
	for (size_t i = 0; i < map->count; i++) {
		snprintf(ms, sizeof(ms), "%u", map->entries[i].value);
		put_view(&w, view_bytes(map->entries[i].name.s, map->entries[i].name.len));
		put_view(&w, view_of(ms));
	}
	return view_bytes(out, w.len);
}

/* As of somebody who may use the profile, and has no session of it. */
static void
admit(const struct policy *policy, const struct policy_profile *profile,
    struct policy_decision *out)
{
	unsigned char groups[POLICY_GROUP_MAX_BYTES + 2];
	struct policy_identity who = { view_of("-"), view_of("-"), view_of("") };
	struct policy_request request = { .profile = view_of(profile->name) };
	struct writer w;

	writer_init(&w, groups, sizeof(groups));
	if (profile->n_groups > 0)
		put_view(&w, view_of(profile->groups[0]));
	who.groups = view_bytes(groups, w.len);
	policy_admit(policy, &who, &request, 0, out);
}

json_t *
admin_explain(struct placerd *d, const struct control_request *r)
{
	unsigned char latencies[LATENCIES_BYTES];
	const struct policy_profile *profile = policy_find_profile(d->policy, r->profile);
	struct policy_decision decision;
	struct where_ask ask = { .issuer = view_of("-"),
		.subject = view_of("-"),
		.hint = r->hint,
		.latencies = pack_latencies(&r->latency_ms, latencies),
		.decision = &decision };
	struct where where;
	json_t *told = NULL;

	if (!profile)
		return control_refuse(-FOG_E_UNKNOWN_PROFILE, err_title(-FOG_E_UNKNOWN_PROFILE));
	admit(d->policy, profile, &decision);
	if (decision.rule != POLICY_ALLOW)
		return control_refuse(-(int)policy_rule_error(decision.rule), decision.detail);
	if (where_choose(d, &ask, &where) != -FOG_E_NOMEM)
		told = decision_to_json(&where.request, where.nodes, where.n, &where.choice,
		    d->nodes);
	where_fini(&where);
	return told ? json_pack("{s:o}", "decision", told) : NULL;
}
