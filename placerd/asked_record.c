/* SPDX-License-Identifier: MIT */
/* What policy was asked, to JSON and back: see asked_record.h. */
#include "placerd/asked_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"

#define NAME_MAX_BYTES 512
#define IMAGE_REF_MAX_BYTES 512

/* jansson takes UTF-8 alone: other bytes as escaped text, which names nobody. */
static json_t *
text_of(struct view v)
{
	char escaped[2048];
	json_t *value = json_stringn(v.len ? v.p : "", v.len);

	return value ? value : json_string(log_escape(v, escaped, sizeof(escaped)));
}

static json_t *
groups_of(struct view list)
{
	json_t *groups = json_array();
	struct view group;

	while (groups && list_next(&list, &group)) {
		if (json_array_append_new(groups, text_of(group)) != 0) {
			json_decref(groups);
			return NULL;
		}
	}
	return groups;
}

json_t *
asked_record_to_json(const struct policy_identity *identity, const struct policy_request *request,
    uint32_t live_sessions)
{
	return json_pack("{s:o, s:I, s:o, s:b, s:o, s:I}", "profile", text_of(request->profile),
	    "ttl_seconds", (json_int_t)request->ttl_seconds, "image_ref",
	    text_of(request->image_ref), "needs_image", (int)request->needs_image, "groups",
	    groups_of(identity->groups), "live_sessions", (json_int_t)live_sessions);
}

/* --- back --- */

struct members {
	struct json_str profile, image_ref;
	uint32_t ttl_seconds, live_sessions;
	bool needs_image;
};

#define AT(member) offsetof(struct members, member)
static const struct json_member table[] = {
	{ "profile", JSON_KIND_STR, true, 0, NAME_MAX_BYTES, AT(profile) },
	{ "image_ref", JSON_KIND_STR, true, 0, IMAGE_REF_MAX_BYTES, AT(image_ref) },
	{ "ttl_seconds", JSON_KIND_U32, true, 0, UINT32_MAX, AT(ttl_seconds) },
	{ "live_sessions", JSON_KIND_U32, true, 0, UINT32_MAX, AT(live_sessions) },
	{ "needs_image", JSON_KIND_BOOL, true, 0, 0, AT(needs_image) },
};
#undef AT

static int
pack_groups(const json_t *groups, struct writer *w)
{
	const json_t *group;
	size_t i;

	if (!json_is_array(groups))
		return -1;
	json_array_foreach(groups, i, group) {
		struct view text = view_bytes(json_string_value(group), json_string_length(group));

		if (!json_is_string(group) || !text_is_clean(text))
			return -1;
		put_view(w, text);
	}
	return w->err;
}

int
asked_record_from_json(const json_t *obj, struct asked_record *out, char *err, size_t err_size)
{
	/* The table reader has no lists: it sees the object without that one. */
	json_t *rest = json_is_object(obj) ? json_copy((json_t *)(uintptr_t)obj) : NULL;
	struct members m = { 0 };
	struct json_error_text why = { .text = "it is no object" };
	struct writer w;
	int rc = -1;

	writer_init(&w, out->groups, sizeof(out->groups));
	if (rest && pack_groups(json_object_get(obj, "groups"), &w) != 0)
		snprintf(why.text, sizeof(why.text), "groups is no list of names");
	else if (rest && json_object_del(rest, "groups") == 0)
		rc = json_read_members(rest, table, COUNT_OF(table), &m, &why);
	json_decref(rest);
	if (rc != 0) {
		snprintf(err, err_size, "request: %s%s%s", why.member, why.member[0] ? ": " : "",
		    why.text);
		return -1;
	}
	out->identity = (struct policy_identity){ .issuer = view_of(""),
		.subject = view_of(""),
		.groups = view_bytes(out->groups, w.len) };
	out->request = (struct policy_request){ .profile = view_bytes(m.profile.s, m.profile.len),
		.ttl_seconds = m.ttl_seconds,
		.image_ref = view_bytes(m.image_ref.s, m.image_ref.len),
		.needs_image = m.needs_image };
	out->live_sessions = m.live_sessions;
	return 0;
}
