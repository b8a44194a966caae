/* SPDX-License-Identifier: MIT */
/* Answers of other nodes: see nodeanswer.h. */
#include "authd/nodeanswer.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "authd/metadata.h"
#include "common/cleanup.h"
#include "common/json.h"
#include "common/session.h"

#define DEPTH 8
#define TOKEN_MAX_BYTES 4096
#define STATUS_FIRST_ERROR 400

#define SCHEME "https://"

/* --- members that are known, by tables --- */

enum kind {
	KIND_TEXT,   /* printable, 1 to max bytes */
	KIND_EMPTY,  /* likewise, or empty */
	KIND_CODE,   /* lower case, digits, _ - . , : */
	KIND_ID,     /* of a session */
	KIND_TIME,   /* RFC 3339, UTC, whole seconds */
	KIND_STATUS, /* a word of the API each */
	KIND_END,
	KIND_TIER,
	KIND_LIMITS, /* a list of such words */
	KIND_TOKEN,  /* a JWS */
	KIND_COUNT,  /* a whole number from 0 to max, 0: any */
	KIND_REAL,   /* a number not below 0 */
	KIND_TRUE,
	KIND_OBJECT, /* by a table */
};

enum { OPTIONAL, REQUIRED };

struct member {
	const char *name;
	enum kind kind;
	int need;
	size_t max;
	const struct member *members; /* ends with a row without a name */
};

#define END_OF_MEMBERS \
	{ \
		NULL, KIND_TEXT, OPTIONAL, 0, NULL \
	}

static const struct member placement_members[] = {
	{ "node", KIND_TEXT, REQUIRED, 64, NULL },
	{ "region", KIND_EMPTY, REQUIRED, 64, NULL },
	{ "tier", KIND_TIER, REQUIRED, 0, NULL },
	END_OF_MEMBERS,
};

static const struct member exit_members[] = {
	{ "code", KIND_COUNT, REQUIRED, 255, NULL },
	{ "signal", KIND_COUNT, OPTIONAL, 255, NULL },
	END_OF_MEMBERS,
};

static const struct member limits_members[] = {
	{ "enforced", KIND_LIMITS, REQUIRED, 0, NULL },
	END_OF_MEMBERS,
};

static const struct member pressure_members[] = {
	{ "cpu", KIND_REAL, OPTIONAL, 0, NULL },
	{ "memory", KIND_REAL, OPTIONAL, 0, NULL },
	{ "io", KIND_REAL, OPTIONAL, 0, NULL },
	END_OF_MEMBERS,
};

static const struct member usage_members[] = {
	{ "cpu_seconds", KIND_REAL, OPTIONAL, 0, NULL },
	{ "memory_bytes", KIND_COUNT, OPTIONAL, 0, NULL },
	{ "memory_peak_bytes", KIND_COUNT, OPTIONAL, 0, NULL },
	{ "pids", KIND_COUNT, OPTIONAL, 0, NULL },
	{ "oom_kills", KIND_COUNT, OPTIONAL, 0, NULL },
	{ "pressure", KIND_OBJECT, OPTIONAL, 0, pressure_members },
	{ "egress_denied", KIND_COUNT, OPTIONAL, 0, NULL },
	END_OF_MEMBERS,
};

static const struct member session_members[] = {
	{ "session_id", KIND_ID, REQUIRED, 0, NULL },
	{ "profile", KIND_TEXT, REQUIRED, 64, NULL },
	{ "status", KIND_STATUS, REQUIRED, 0, NULL },
	{ "created_at", KIND_TIME, REQUIRED, 0, NULL },
	{ "expires_at", KIND_TIME, REQUIRED, 0, NULL },
	{ "placement", KIND_OBJECT, REQUIRED, 0, placement_members },
	{ "placement_reason", KIND_CODE, REQUIRED, 64, NULL },
	{ "image_ref", KIND_CODE, OPTIONAL, 255, NULL },
	{ "exit", KIND_OBJECT, OPTIONAL, 0, exit_members },
	{ "end_reason", KIND_END, OPTIONAL, 0, NULL },
	{ "limits", KIND_OBJECT, OPTIONAL, 0, limits_members },
	{ "usage", KIND_OBJECT, OPTIONAL, 0, usage_members },
	END_OF_MEMBERS,
};

static const struct member grant_members[] = {
	{ "ws_url", KIND_TEXT, REQUIRED, 512, NULL },
	{ "token", KIND_TOKEN, REQUIRED, TOKEN_MAX_BYTES, NULL },
	{ "expires_at", KIND_TIME, REQUIRED, 0, NULL },
	END_OF_MEMBERS,
};

static const struct member created_members[] = {
	{ "session_id", KIND_ID, REQUIRED, 0, NULL },
	{ "attach", KIND_OBJECT, REQUIRED, 0, grant_members },
	{ "placement", KIND_OBJECT, REQUIRED, 0, placement_members },
	END_OF_MEMBERS,
};

static const struct member ended_members[] = {
	{ "terminated", KIND_TRUE, REQUIRED, 0, NULL },
	END_OF_MEMBERS,
};

/* Of these, one that is not as it should be is left out. */
static const struct member problem_members[] = {
	{ "title", KIND_TEXT, OPTIONAL, 128, NULL },
	{ "detail", KIND_TEXT, OPTIONAL, 512, NULL },
	{ "rule_id", KIND_CODE, OPTIONAL, 128, NULL },
	{ "policy_version", KIND_CODE, OPTIONAL, 16, NULL },
	{ "change", KIND_TEXT, OPTIONAL, 200, NULL },
	{ "member", KIND_TEXT, OPTIONAL, 64, NULL },
	{ "trace_id", KIND_CODE, OPTIONAL, 32, NULL },
	END_OF_MEMBERS,
};

/* --- one value --- */

static bool
has_only(const char *text, const char *allowed)
{
	return text[strspn(text, allowed)] == '\0';
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static bool
is_time(const char *text, size_t len)
{
	static const char form[] = "0000-00-00T00:00:00Z";

	if (len != sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	}
	return true;
}

static bool
is_word(const char *text, const char *(*name_of)(unsigned), unsigned first, unsigned count)
{
	for (unsigned i = first; i < count; i++) {
		if (strcmp(text, name_of(i)) == 0)
			return true;
	}
	return false;
}

static bool
is_session_id(const char *text, size_t len)
{
	struct id128 id;

	return id_parse(text, len, &id) == 0 && id_is_session(&id);
}

static bool
is_limits(const json_t *list)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > LIMIT_COUNT)
		return false;
	json_array_foreach(list, i, item) {
		if (!json_is_string(item) ||
		    !is_word(json_string_value(item), session_limit_name, 0, LIMIT_COUNT))
			return false;
	}
	return true;
}

static bool
is_good_text(const struct member *m, const char *text, size_t len)
{
	switch (m->kind) {
	case KIND_TEXT:
	case KIND_EMPTY:
		return len <= m->max && (len > 0 || m->kind == KIND_EMPTY) &&
		    json_text_is_printable(text, len);
	case KIND_CODE:
		return len > 0 && len <= m->max && has_only(text, LOWER DIGITS "_-.,:");
	case KIND_TOKEN:
		return len > 0 && len <= m->max &&
		    has_only(text, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "_-.");
	case KIND_ID:
		return is_session_id(text, len);
	case KIND_TIME:
		return is_time(text, len);
	case KIND_STATUS:
		return is_word(text, session_status_name, STATUS_NONE + 1, STATUS_COUNT);
	case KIND_END:
		return is_word(text, session_end_name, END_NONE + 1, END_COUNT);
	case KIND_TIER:
		return is_word(text, session_tier_name, TIER_FOG, TIER_CLOUD + 1);
	default:
		return false;
	}
}

static bool
is_good(const struct member *m, const json_t *value)
{
	switch (m->kind) {
	case KIND_LIMITS:
		return is_limits(value);
	case KIND_COUNT:
		return json_is_integer(value) && json_integer_value(value) >= 0 &&
		    (m->max == 0 || json_integer_value(value) <= (json_int_t)m->max);
	case KIND_REAL:
		return json_is_number(value) && json_number_value(value) >= 0;
	case KIND_TRUE:
		return json_is_true(value);
	case KIND_OBJECT:
		return json_is_object(value);
	default:
		return json_is_string(value) &&
		    is_good_text(m, json_string_value(value), json_string_length(value));
	}
}

/* --- objects --- */

/* The members of the table, checked; NULL: not all are as they should be. Nested as deep as tables. */
static json_t *
copy_members(const json_t *from, const struct member *table,
    bool strict) // NOLINT(misc-no-recursion)
{
	json_t *out = json_object();

	for (const struct member *m = table; out && m->name; m++) {
		json_t *value = json_object_get(from, m->name), *copy = NULL;

		if (!value && m->need == OPTIONAL)
			continue;
		if (value && is_good(m, value))
			copy = m->kind == KIND_OBJECT ? copy_members(value, m->members, strict)
						      : json_incref(value);
		if (!copy && !strict)
			continue;
		if (!copy || json_object_set_new(out, m->name, copy) != 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

/* All that a double surely holds, as gatewayd writes it. */
#define REAL_DIGITS JSON_REAL_PRECISION(15)

size_t
nodeanswer_write(const struct json_t *obj, char out[static NODEANSWER_BODY_BYTES])
{
	size_t len = json_dumpb(obj, out, NODEANSWER_BODY_BYTES, JSON_COMPACT | REAL_DIGITS);

	return len <= NODEANSWER_BODY_BYTES ? len : 0;
}

static const char *
text_of(const json_t *obj, const char *name)
{
	return json_string_value(json_object_get(obj, name));
}

static bool
id_of(const json_t *obj, struct id128 *out)
{
	const char *text = text_of(obj, "session_id");

	return text && id_parse(text, strlen(text), out) == 0;
}

/* --- whose it is --- */

/* What comes after the authority: "" or what begins with / or ?. */
static const char *
after_authority(const struct https_url *url)
{
	const char *authority = url->text + strlen(SCHEME);

	return authority + strcspn(authority, "/?");
}

bool
nodeanswer_is_base(struct view url)
{
	struct https_url parsed;

	return https_url_parse(url.p, url.len, &parsed) == 0 && !*after_authority(&parsed);
}

/* wss on the node's own host and port, the path of that session, and no more. */
static bool
is_own_ws_url(const struct nodeanswer_asked *asked, const char *ws_url, const struct id128 *id)
{
	struct https_url node, said;
	char text[sizeof("https") + 512], path[ID_TEXT_SIZE + 32], id_text[ID_TEXT_SIZE];

	if (strncmp(ws_url, "wss://", 6) != 0)
		return false;
	snprintf(text, sizeof(text), "https%s", ws_url + 3);
	id_format(id, id_text);
	snprintf(path, sizeof(path), "/v1/sessions/%s/pty", id_text);
	return https_url_parse(asked->url, strlen(asked->url), &node) == 0 &&
	    https_url_parse(text, strlen(text), &said) == 0 && strcmp(node.host, said.host) == 0 &&
	    node.port == said.port && strcmp(after_authority(&said), path) == 0;
}

static bool
is_placed_there(const struct nodeanswer_asked *asked, const json_t *obj)
{
	const char *node = text_of(json_object_get(obj, "placement"), "node");

	return node && strcmp(node, asked->node) == 0;
}

/* A node starts sessions of its own tag alone. */
static bool
is_of_node(const struct nodeanswer_asked *asked, const struct id128 *id)
{
	return id_session_node_tag(id) == id_node_tag(asked->node);
}

/* --- what each answer has to be --- */

/* NULL, or what is wrong with it. */
typedef const char *(*check)(const struct nodeanswer_asked *asked, json_t *obj,
    struct nodeanswer *out);

static const char *
check_created(const struct nodeanswer_asked *asked, json_t *obj, struct nodeanswer *out)
{
	if (!id_of(obj, &out->session_id) || !is_of_node(asked, &out->session_id))
		return "the session's id is not one of that node";
	if (!is_placed_there(asked, obj))
		return "the session is said to be on another node";
	if (!is_own_ws_url(asked, text_of(json_object_get(obj, "attach"), "ws_url"),
		&out->session_id))
		return "the ws_url is not on that node";
	if (json_object_set_new(obj, "placement_reason", json_string(asked->reason)) != 0)
		return "out of memory";
	return NULL;
}

static const char *
check_session(const struct nodeanswer_asked *asked, json_t *obj, struct nodeanswer *out)
{
	struct id128 id;

	(void)out;
	if (!id_of(obj, &id) || !id_equal(&id, &asked->session_id))
		return "the answer is about another session";
	return is_placed_there(asked, obj) ? NULL : "the session is said to be on another node";
}

static const char *
check_ended(const struct nodeanswer_asked *asked, json_t *obj, struct nodeanswer *out)
{
	(void)asked;
	(void)obj;
	(void)out;
	return NULL;
}

static const char *
check_grant(const struct nodeanswer_asked *asked, json_t *obj, struct nodeanswer *out)
{
	(void)out;
	return is_own_ws_url(asked, text_of(obj, "ws_url"), &asked->session_id)
	    ? NULL
	    : "the ws_url is not on that node";
}

static const struct good {
	enum msg_phase phase;
	unsigned status;
	const struct member *members;
	check check;
} goods[] = {
	{ PH_CREATE, 201, created_members, check_created },
	{ PH_SHOW, 200, session_members, check_session },
	{ PH_EXTEND, 200, session_members, check_session },
	{ PH_END, 200, ended_members, check_ended },
	{ PH_MINT, 201, grant_members, check_grant },
};

static const struct good *
find_good(enum msg_phase phase)
{
	for (size_t i = 0; i < COUNT_OF(goods); i++) {
		if (goods[i].phase == phase)
			return &goods[i];
	}
	return NULL;
}

/* Cut, but not within a character. */
static void
set_detail(struct nodeanswer *out, const char *text)
{
	size_t len = strlen(text);

	if (len >= sizeof(out->detail)) {
		len = sizeof(out->detail) - 1;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(out->detail, text, len);
	out->detail[len] = '\0';
}

static enum forward_result
fail(struct nodeanswer *out, const char *why)
{
	set_detail(out, why);
	return FORWARD_FAILED;
}

static enum forward_result
read_good(const struct nodeanswer_asked *asked, const struct good *good, const json_t *said,
    struct nodeanswer *out)
{
	json_t *obj = copy_members(said, good->members, true);
	const char *wrong = obj ? good->check(asked, obj, out) : "not what the API answers";

	if (!wrong) {
		out->len = nodeanswer_write(obj, out->body);
		wrong = out->len > 0 ? NULL : "the answer is too large";
	}
	json_decref(obj);
	return wrong ? fail(out, wrong) : FORWARD_DONE;
}

/* --- problems (RFC 9457) --- */

/*
 * Those of a request that was read and judged, as docs/openapi.json has them: who only looks or ends is
 * refused nothing by policy, and sends nothing that could be out of bounds. Others say that the nodes
 * do not fit each other. A create is tried elsewhere whatever its refusal.
 */
static bool
is_relayed(enum msg_phase phase, unsigned status)
{
	static const struct {
		unsigned status;
		unsigned phases;
	} rows[] = {
		{ 400, PH_SHOW | PH_END | PH_MINT | PH_EXTEND },
		{ 401, PH_SHOW | PH_END | PH_MINT | PH_EXTEND },
		{ 403, PH_MINT | PH_EXTEND },
		{ 404, PH_SHOW | PH_END | PH_MINT | PH_EXTEND },
		{ 409, PH_SHOW | PH_END | PH_MINT | PH_EXTEND },
		{ 422, PH_MINT | PH_EXTEND },
		{ 429, PH_SHOW | PH_END | PH_MINT | PH_EXTEND },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (rows[i].status == status)
			return (rows[i].phases & phase) != 0;
	}
	return false;
}

/* As gatewayd would write it, and whose it is. NULL: it is none. */
static json_t *
copy_problem(const struct nodeanswer_asked *asked, unsigned status, const json_t *said)
{
	const char *code = text_of(said, "code");
	char type[96];
	json_t *obj;

	if (!code || !*code || strlen(code) > 64 || !has_only(code, LOWER DIGITS "_") ||
	    json_integer_value(json_object_get(said, "status")) != (json_int_t)status)
		return NULL;
	obj = copy_members(said, problem_members, false);
	snprintf(type, sizeof(type), "urn:cloudshell-fog:error:%s", code);
	if (!obj || json_object_set_new(obj, "type", json_string(type)) != 0 ||
	    json_object_set_new(obj, "status", json_integer(status)) != 0 ||
	    json_object_set_new(obj, "code", json_string(code)) != 0 ||
	    json_object_set_new(obj, "node", json_string(asked->node)) != 0) {
		json_decref(obj);
		return NULL;
	}
	if (!text_of(obj, "title"))
		json_object_set_new(obj, "title", json_string(code));
	return obj;
}

static void
describe(const json_t *problem, struct nodeanswer *out)
{
	const char *detail = text_of(problem, "detail");
	char text[64 + 2 + 512 + 1];

	snprintf(text, sizeof(text), "%s: %s", text_of(problem, "code"),
	    detail ? detail : text_of(problem, "title"));
	set_detail(out, text);
}

static enum forward_result
read_problem(const struct nodeanswer_asked *asked, const json_t *said, struct nodeanswer *out)
{
	json_t *problem = copy_problem(asked, out->status, said);
	bool is_answer = is_relayed(asked->phase, out->status);

	if (!problem)
		return fail(out, "an error without its code");
	if (is_answer)
		out->len = nodeanswer_write(problem, out->body);
	else
		describe(problem, out);
	json_decref(problem);
	return out->len > 0 ? FORWARD_DONE : FORWARD_REFUSED;
}

enum forward_result
nodeanswer_read(const struct nodeanswer_asked *asked, unsigned status, const char *body, size_t len,
    struct nodeanswer *out)
{
	const struct good *good = find_good(asked->phase);
	enum forward_result result;
	struct json_error_text err;
	json_t *said;

	*out = (struct nodeanswer){ .status = status };
	if (!good || (status != good->status && status < STATUS_FIRST_ERROR))
		return fail(out, "a status that is none of the API");
	if (json_parse_strict(body, len, DEPTH, &said, &err) != 0)
		return fail(out, "the body is no JSON object");
	result = status == good->status ? read_good(asked, good, said, out)
					: read_problem(asked, said, out);
	json_release(said);
	return result;
}

/* --- lists --- */

static json_t *
copy_row(const struct nodeanswer_asked *asked, const json_t *said)
{
	json_t *row = json_is_object(said) ? copy_members(said, session_members, true) : NULL;
	struct id128 id;

	if (row && id_of(row, &id) && is_of_node(asked, &id) && is_placed_there(asked, row))
		return row;
	json_decref(row);
	return NULL;
}

static json_t *
copy_rows(const struct nodeanswer_asked *asked, const json_t *said)
{
	json_t *rows = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach(said, i, item) {
		json_t *row = rows ? copy_row(asked, item) : NULL;

		if (!row || json_array_append_new(rows, row) != 0) {
			json_decref(rows);
			return NULL;
		}
	}
	return rows;
}

struct json_t *
nodeanswer_read_list(const struct nodeanswer_asked *asked, unsigned status, const char *body,
    size_t len, const char **why)
{
	struct json_error_text err;
	json_t *said, *rows, *list;

	*why = "status_not_200";
	if (status != 200)
		return NULL;
	*why = "not_json";
	if (json_parse_strict(body, len, DEPTH, &said, &err) != 0)
		return NULL;
	list = json_object_get(said, "sessions");
	rows = json_is_array(list) ? copy_rows(asked, list) : NULL;
	json_release(said);
	*why = rows ? "" : "not_its_sessions";
	return rows;
}
