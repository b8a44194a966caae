/* SPDX-License-Identifier: MIT */
/* The status of a node to JSON and back. */
#include "placerd/nodestatus.h"

#include <jansson.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

/* Bounds that no node comes near, and whose sums do not overflow. */
#define SESSIONS_MAX 10000000
#define CPU_MILLI_MAX INT64_C(1000000000000)
#define MEMORY_BYTES_MAX (INT64_C(1) << 60)

struct members {
	uint32_t v, sessions;
	uint64_t cpu_milli, memory_bytes;
	bool ready, draining;
	struct json_str version;
};

/* clang-format off */
#define MEMBER(name, kind, min, max) \
	{ #name, JSON_KIND_##kind, true, min, max, offsetof(struct members, name) }
/* clang-format on */

static const struct json_member rows[] = {
	MEMBER(v, U32, NODESTATUS_V, NODESTATUS_V),
	MEMBER(version, STR, 1, NODESTATUS_VERSION_MAX_BYTES),
	MEMBER(ready, BOOL, 0, 0),
	MEMBER(draining, BOOL, 0, 0),
	MEMBER(sessions, U32, 0, SESSIONS_MAX),
	MEMBER(cpu_milli, U64, 0, CPU_MILLI_MAX),
	MEMBER(memory_bytes, U64, 0, MEMORY_BYTES_MAX),
};

/* --- to JSON --- */

json_t *
nodestatus_suspects_to_json(const struct suspects *s)
{
	json_t *list = json_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < s->n; i++)
		ok = json_array_append_new(list, json_string(s->names[i])) == 0;
	if (ok)
		return list;
	json_decref(list);
	return NULL;
}

json_t *
nodestatus_to_json(const struct nodestatus *s)
{
	json_t *suspects = nodestatus_suspects_to_json(&s->suspects);

	if (!suspects)
		return NULL;
	return json_pack("{s:i, s:s, s:b, s:b, s:I, s:I, s:I, s:o}", "v", NODESTATUS_V, "version",
	    s->version, "ready", s->is_ready, "draining", s->is_draining, "sessions",
	    (json_int_t)s->load.sessions, "cpu_milli", (json_int_t)s->load.cpu_milli,
	    "memory_bytes", (json_int_t)s->load.memory_bytes, "suspects", suspects);
}

/* --- from JSON --- */

/* One at a time, so that the rest of the object is passed over and the wrong one can be named. */
static bool
read_member(const json_t *obj, const struct json_member *row, struct members *out)
{
	json_t *value = json_object_get(obj, row->name), *alone = json_object();
	struct json_error_text err;
	bool ok = value && alone && json_object_set(alone, row->name, value) == 0 &&
	    json_read_members(alone, row, 1, out, &err) == 0;

	/* The text that out points to lives on in obj. */
	json_decref(alone);
	return ok;
}

static int
read_members(const json_t *obj, struct nodestatus *out, const char **why)
{
	struct members m;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!read_member(obj, &rows[i], &m)) {
			*why = rows[i].name;
			return -1;
		}
	}
	memcpy(out->version, m.version.s, m.version.len + 1);
	out->is_ready = m.ready;
	out->is_draining = m.draining;
	out->load = (struct place_room){ m.sessions, m.cpu_milli, m.memory_bytes };
	return 0;
}

static bool
read_name(const json_t *value, char out[static NODESTATUS_NAME_MAX_BYTES + 1])
{
	size_t len = json_string_length(value);

	if (!json_is_string(value) || len == 0 || len > NODESTATUS_NAME_MAX_BYTES ||
	    !json_text_is_printable(json_string_value(value), len))
		return false;
	memcpy(out, json_string_value(value), len + 1);
	return true;
}

int
nodestatus_suspects_from_json(const json_t *list, struct suspects *out)
{
	if (!json_is_array(list) || json_array_size(list) > FLEET_SUSPECTS_MAX)
		return -1;
	out->n = json_array_size(list);
	for (size_t i = 0; i < out->n; i++) {
		if (!read_name(json_array_get(list, i), out->names[i]))
			return -1;
	}
	return 0;
}

int
nodestatus_from_json(const json_t *obj, struct nodestatus *out, const char **why)
{
	struct nodestatus read = { 0 };

	if (read_members(obj, &read, why) != 0)
		return -1;
	if (nodestatus_suspects_from_json(json_object_get(obj, "suspects"), &read.suspects) != 0) {
		*why = "suspects";
		return -1;
	}
	*out = read;
	return 0;
}
