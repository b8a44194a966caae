/* SPDX-License-Identifier: MIT */
/* The record of a decision of placement, written and read: see decision.h. */

#include "placerd/decision.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/log.h"
#include "placerd/nodes.h"

#define TEXT_BYTES 300     /* of a member; 64 bytes that are no text, escaped, come to 258 */
#define LABELS_TOLD_MAX 16 /* asked for and told in any case */
#define NUMBER_MAX INT64_MAX
#define MERELY_FULL (1u << PLACE_NO_CAPACITY | 1u << PLACE_DRAINING)

/* What goes into the record. */
struct extract {
	const struct place_request *request;
	const struct place_node *table;
	const struct nodes *fleet;
	const struct place_node *nodes[DECISION_NODES_MAX];
	size_t n;
	uint64_t labels; /* bits of those that are named */
	bool is_short;   /* regions too: only those that decide something */
};

/* The rejected ones that are wanted: those that the outcome hangs on, and the best of all. */
struct rejected {
	const struct place_node *hinted, *current, *failed, *witness;
	const struct place_node *best[DECISION_REJECTED_MAX];
	size_t n_best;
};

/* Which nodes. */

static bool
is_named(const struct place_node *node, struct view name)
{
	return name.len > 0 && view_equal(node->name, name);
}

static void
keep_best(struct rejected *r, const struct place_request *request, const struct place_node *node)
{
	size_t at = r->n_best;

	if (at == DECISION_REJECTED_MAX && place_compare(request, node, r->best[at - 1]) > 0)
		return;
	if (at < DECISION_REJECTED_MAX)
		r->n_best++;
	else
		at--;
	for (; at > 0 && place_compare(request, node, r->best[at - 1]) < 0; at--)
		r->best[at] = r->best[at - 1];
	r->best[at] = node;
}

static void
keep_better(const struct place_node **kept, const struct place_request *request,
    const struct place_node *node)
{
	if (!*kept || place_compare(request, node, *kept) < 0)
		*kept = node;
}

/*
 * The refusal hangs on whether one of all is rejected by more than a lack of room, so a witness of
 * that is always kept; and that a chosen node was not the only one is seen by any other.
 */
static void
find_rejected(const struct place_request *request, const struct place_node *nodes, size_t n,
    struct rejected *r)
{
	const struct place_node *full = NULL;

	for (size_t i = 0; i < n; i++) {
		uint32_t against = place_judge(request, &nodes[i]);

		if (is_named(&nodes[i], request->hint))
			r->hinted = &nodes[i];
		if (is_named(&nodes[i], request->current))
			r->current = &nodes[i];
		if (against == 0)
			continue;
		keep_best(r, request, &nodes[i]);
		if (against == 1u << PLACE_FAILED)
			keep_better(&r->failed, request, &nodes[i]);
		keep_better(against & ~MERELY_FULL ? &r->witness : &full, request, &nodes[i]);
	}
	if (!r->witness)
		r->witness = full;
}

static void
add(struct extract *x, const struct place_node *node)
{
	for (size_t i = 0; i < x->n; i++) {
		if (x->nodes[i] == node)
			return;
	}
	if (node && x->n < DECISION_NODES_MAX)
		x->nodes[x->n++] = node;
}

static void
add_nodes(struct extract *x, const struct place_choice *choice, const struct rejected *r,
    size_t max_rejected)
{
	x->n = 0;
	for (size_t i = 0; i < choice->n_fit; i++)
		add(x, &x->table[choice->fit[i].node]);
	add(x, r->hinted);
	add(x, r->current);
	add(x, r->failed);
	add(x, r->witness);
	for (size_t i = 0; i < r->n_best && i < max_rejected; i++)
		add(x, r->best[i]);
}

/* One label of each node that lacks some, and others as far as there are few. */
static uint64_t
labels_told(const struct extract *x)
{
	uint64_t asked = x->request->labels & ~PLACE_LABEL_NOBODY_HAS, told = 0;

	if (__builtin_popcountll(asked) <= LABELS_TOLD_MAX || !x->is_short)
		return asked;
	for (size_t i = 0; i < x->n; i++) {
		uint64_t lacks = asked & ~x->nodes[i]->labels;

		if (!(lacks & told))
			told |= lacks & -lacks;
	}
	return told;
}

/* Of regions those of a node that is told, and one in any case: none would allow all. */
static bool
tells_region(const struct extract *x, size_t region)
{
	if (!x->is_short || region == 0)
		return true;
	for (size_t i = 0; i < x->n; i++) {
		if (view_equal(x->nodes[i]->region, x->request->regions[region]))
			return true;
	}
	return false;
}

/* Writing. */

/* What is no UTF-8 is told escaped; jansson takes nothing else. */
static json_t *
text_value(struct view v)
{
	json_t *value = json_stringn(v.p, v.len);
	char escaped[TEXT_BYTES];

	return value ? value : json_string(log_escape(v, escaped, sizeof(escaped)));
}

static int
set_text(json_t *obj, const char *member, struct view v)
{
	return v.len ? json_object_set_new(obj, member, text_value(v)) : 0;
}

static json_t *
number_value(uint64_t number)
{
	return json_integer((json_int_t)(number < NUMBER_MAX ? number : NUMBER_MAX));
}

static int
set_number(json_t *obj, const char *member, uint64_t number)
{
	return number ? json_object_set_new(obj, member, number_value(number)) : 0;
}

/* [in use, there is]; nothing where both are 0. */
static int
set_room(json_t *obj, const char *member, uint64_t load, uint64_t capacity)
{
	json_t *pair;

	if (load == 0 && capacity == 0)
		return 0;
	pair = json_array();
	if (!pair || json_array_append_new(pair, number_value(load)) != 0 ||
	    json_array_append_new(pair, number_value(capacity)) != 0) {
		json_decref(pair);
		return -1;
	}
	return json_object_set_new(obj, member, pair);
}

/* The labels of these bits, by name; absent when there are none. */
static int
set_labels(json_t *obj, const char *member, const struct nodes *fleet, uint64_t labels)
{
	json_t *list;
	int rc = 0;

	if (labels == 0)
		return 0;
	list = json_array();
	for (uint64_t left = labels; list && left; left &= left - 1) {
		struct view name = nodes_label_at(fleet, (size_t)__builtin_ctzll(left));

		rc |= json_array_append_new(list, text_value(name));
	}
	rc |= json_object_set_new(obj, member, list);
	return rc;
}

static int
set_regions(json_t *obj, const struct extract *x)
{
	json_t *list;
	int rc = 0;

	if (x->request->n_regions == 0)
		return 0;
	list = json_array();
	for (size_t i = 0; list && i < x->request->n_regions; i++) {
		if (tells_region(x, i))
			rc |= json_array_append_new(list, text_value(x->request->regions[i]));
	}
	rc |= json_object_set_new(obj, "regions", list);
	return rc;
}

static json_t *
request_value(const struct extract *x)
{
	const struct place_request *request = x->request;
	json_t *obj = json_object();
	int rc = set_text(obj, "hint", request->hint);

	rc |= set_text(obj, "current", request->current);
	rc |= set_regions(obj, x);
	rc |= set_labels(obj, "labels", x->fleet, x->labels);
	if (request->labels & PLACE_LABEL_NOBODY_HAS)
		rc |= json_object_set_new(obj, "unknown_label", json_true());
	if (request->min_trust != TRUST_NONE)
		rc |= set_text(obj, "min_trust", view_of(session_trust_name(request->min_trust)));
	rc |= set_text(obj, "fallback_region", request->fallback_region);
	rc |= set_number(obj, "sessions", request->needs.sessions);
	rc |= set_number(obj, "cpu_milli", request->needs.cpu_milli);
	rc |= set_number(obj, "memory_bytes", request->needs.memory_bytes);
	if (rc == 0)
		return obj;
	json_decref(obj);
	return NULL;
}

static json_t *
node_value(const struct extract *x, const struct place_node *node)
{
	const struct place_room *load = &node->load, *all = &node->capacity;
	json_t *obj = json_object();
	int rc = set_text(obj, "name", node->name);

	rc |= set_text(obj, "region", node->region);
	rc |= set_text(obj, "tier", view_of(session_tier_name(node->tier)));
	rc |= set_text(obj, "trust", view_of(session_trust_name(node->trust)));
	rc |= set_text(obj, "state", view_of(session_node_state_name(node->state)));
	rc |= set_room(obj, "sessions", load->sessions, all->sessions);
	rc |= set_room(obj, "cpu_milli", load->cpu_milli, all->cpu_milli);
	rc |= set_room(obj, "memory_bytes", load->memory_bytes, all->memory_bytes);
	rc |= set_labels(obj, "lacks", x->fleet, x->labels & ~node->labels);
	if (node->latency_ms != PLACE_LATENCY_NONE)
		rc |= json_object_set_new(obj, "latency_ms", json_integer(node->latency_ms));
	if (node->has_failed)
		rc |= json_object_set_new(obj, "failed", json_true());
	if (rc == 0)
		return obj;
	json_decref(obj);
	return NULL;
}

static json_t *
nodes_value(const struct extract *x)
{
	json_t *list = json_array();
	int rc = 0;

	for (size_t i = 0; list && i < x->n; i++)
		rc |= json_array_append_new(list, node_value(x, x->nodes[i]));
	if (rc == 0)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *
rejected_value(const struct place_choice *choice)
{
	json_t *obj = json_object();
	int rc = 0;

	for (unsigned i = PLACE_CONSTRAINTS_FROM; obj && i < PLACE_REASON_COUNT; i++)
		rc |= set_number(obj, place_reason_code(i), choice->rejected_by[i]);
	if (rc == 0)
		return obj;
	json_decref(obj);
	return NULL;
}

static json_t *
record_value(const struct extract *x, const struct place_choice *choice)
{
	char reasons[PLACE_REASON_BYTES];
	json_t *obj = json_object();
	int rc = json_object_set_new(obj, "request", request_value(x));

	rc |= json_object_set_new(obj, "nodes", nodes_value(x));
	if (choice->n_fit > 0) {
		place_format_reasons(choice->fit[0].reasons, reasons);
		rc |= set_text(obj, "choice", x->nodes[0]->name);
		rc |= set_text(obj, "reasons", view_of(reasons));
	}
	rc |= json_object_set_new(obj, "fit", number_value(choice->n_fit_all));
	rc |= json_object_set_new(obj, "rejected", rejected_value(choice));
	if (rc == 0)
		return obj;
	json_decref(obj);
	return NULL;
}

static bool
fits(const json_t *obj)
{
	return json_dumpb(obj, NULL, 0, JSON_COMPACT | JSON_ENSURE_ASCII) < DECISION_MAX_BYTES;
}

/* How much is told, from all to what the outcome hangs on; the last always fits. */
static const struct {
	size_t max_rejected;
	bool is_short;
} lengths[] = { { DECISION_REJECTED_MAX, false }, { DECISION_REJECTED_MAX, true }, { 4, true },
	{ 0, true } };

struct json_t *
decision_to_json(const struct place_request *request, const struct place_node *nodes, size_t n,
    const struct place_choice *choice, const struct nodes *fleet)
{
	struct extract x = { .request = request, .table = nodes, .fleet = fleet };
	struct rejected rejected = { 0 };
	json_t *obj = NULL;

	find_rejected(request, nodes, n, &rejected);
	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		x.is_short = lengths[i].is_short || request->n_regions > DECISION_REGIONS_MAX;
		add_nodes(&x, choice, &rejected, lengths[i].max_rejected);
		x.labels = labels_told(&x);
		obj = record_value(&x, choice);
		if (!obj || fits(obj))
			break;
		if (i + 1 < COUNT_OF(lengths))
			json_decref(obj);
	}
	return obj;
}

/* Reading. */

struct record_reader {
	struct decision *d;
	char *err;
	size_t err_size;
};

static int __attribute__((format(printf, 2, 3)))
fail(const struct record_reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->err, r->err_size, fmt, ap);
	va_end(ap);
	return -1;
}

static int
check_members(const struct record_reader *r, json_t *obj, const char *what,
    const char *const *members)
{
	const char *name;
	json_t *value;

	if (!json_is_object(obj))
		return fail(r, "%s is not an object", what);
	json_object_foreach(obj, name, value) {
		size_t i = 0;

		while (members[i] && strcmp(members[i], name) != 0)
			i++;
		if (!members[i])
			return fail(r, "%s has a member that this version does not know", what);
	}
	return 0;
}

static int
take_text(const struct record_reader *r, const json_t *value, const char *member, struct view *out)
{
	if (!json_is_string(value) || json_string_length(value) == 0 ||
	    json_string_length(value) > TEXT_BYTES)
		return fail(r, "%s is not a text of 1 to %d bytes", member, TEXT_BYTES);
	*out = view_bytes(json_string_value(value), json_string_length(value));
	return 0;
}

static int
read_text(const struct record_reader *r, const json_t *obj, const char *member, struct view *out)
{
	const json_t *value = json_object_get(obj, member);

	return value ? take_text(r, value, member, out) : 0;
}

static int
take_number(const struct record_reader *r, const json_t *value, const char *member, uint64_t max,
    uint64_t *out)
{
	json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;

	if (number < 0 || (uint64_t)number > max)
		return fail(r, "%s is not a whole number from 0 to %ju", member, (uintmax_t)max);
	*out = (uint64_t)number;
	return 0;
}

static int
read_number(const struct record_reader *r, const json_t *obj, const char *member, uint64_t max,
    uint64_t *out)
{
	const json_t *value = json_object_get(obj, member);

	return value ? take_number(r, value, member, max, out) : 0;
}

static int
read_bool(const struct record_reader *r, const json_t *obj, const char *member, bool *out)
{
	const json_t *value = json_object_get(obj, member);

	if (value && !json_is_boolean(value))
		return fail(r, "%s is neither true nor false", member);
	*out = json_is_true(value);
	return 0;
}

/* A word of session.h, numbered from 1; absent: 0. */
static int
read_word(const struct record_reader *r, const json_t *obj, const char *member,
    const char *name_of(unsigned), unsigned count, unsigned *out)
{
	const json_t *value = json_object_get(obj, member);
	struct view text;

	*out = 0;
	if (!value)
		return 0;
	if (take_text(r, value, member, &text) != 0)
		return -1;
	for (unsigned i = 1; i < count; i++) {
		if (view_is(text, name_of(i))) {
			*out = i;
			return 0;
		}
	}
	return fail(r, "%s is none of the words for it", member);
}

/* A list, or NULL for none, which an absent one is. */
static int
read_list(const struct record_reader *r, const json_t *obj, const char *member, size_t max,
    const json_t **out)
{
	*out = json_object_get(obj, member);
	if (*out && (!json_is_array(*out) || json_array_size(*out) > max))
		return fail(r, "%s is not a list of at most %zu", member, max);
	return 0;
}

static int
read_regions(const struct record_reader *r, const json_t *obj)
{
	struct decision *d = r->d;
	const json_t *list;

	if (read_list(r, obj, "regions", DECISION_REGIONS_MAX, &list) != 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (take_text(r, json_array_get(list, i), "regions", &d->regions[i]) != 0)
			return -1;
	}
	d->request.regions = d->regions;
	d->request.n_regions = json_array_size(list);
	return 0;
}

static size_t
find_label(const struct decision *d, struct view name)
{
	size_t i = 0;

	while (i < d->n_labels && !view_is(name, d->labels[i]))
		i++;
	return i;
}

static int
read_asked_labels(const struct record_reader *r, const json_t *obj)
{
	struct decision *d = r->d;
	struct view name = { 0 };
	bool is_unknown = false;
	const json_t *list;

	if (read_bool(r, obj, "unknown_label", &is_unknown) != 0 ||
	    read_list(r, obj, "labels", PLACE_LABELS_MAX, &list) != 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (take_text(r, json_array_get(list, i), "labels", &name) != 0)
			return -1;
		if (find_label(d, name) < d->n_labels ||
		    view_copy(name, d->labels[i], sizeof(d->labels[i])) != 0)
			return fail(r, "labels has one twice, or one that is too long");
		d->n_labels++;
	}
	d->request.labels = (UINT64_C(1) << d->n_labels) - 1;
	if (is_unknown)
		d->request.labels |= PLACE_LABEL_NOBODY_HAS;
	return 0;
}

static int
read_request(const struct record_reader *r, json_t *obj)
{
	static const char *const members[] = { "hint", "current", "regions", "labels",
		"unknown_label", "min_trust", "fallback_region", "sessions", "cpu_milli",
		"memory_bytes", NULL };
	struct place_request *request = &r->d->request;
	uint64_t sessions = 0;
	unsigned trust = 0;

	if (check_members(r, obj, "request", members) != 0 ||
	    read_text(r, obj, "hint", &request->hint) != 0 ||
	    read_text(r, obj, "current", &request->current) != 0 || read_regions(r, obj) != 0 ||
	    read_asked_labels(r, obj) != 0 ||
	    read_word(r, obj, "min_trust", session_trust_name, TRUST_COUNT, &trust) != 0 ||
	    read_text(r, obj, "fallback_region", &request->fallback_region) != 0 ||
	    read_number(r, obj, "sessions", UINT32_MAX, &sessions) != 0 ||
	    read_number(r, obj, "cpu_milli", NUMBER_MAX, &request->needs.cpu_milli) != 0 ||
	    read_number(r, obj, "memory_bytes", NUMBER_MAX, &request->needs.memory_bytes) != 0)
		return -1;
	request->min_trust = trust;
	request->needs.sessions = (uint32_t)sessions;
	return 0;
}

static int
read_pair(const struct record_reader *r, const json_t *obj, const char *member, uint64_t max,
    uint64_t *load, uint64_t *capacity)
{
	const json_t *pair = json_object_get(obj, member);

	*load = *capacity = 0;
	if (!pair)
		return 0;
	if (json_array_size(pair) != 2)
		return fail(r, "%s is not a list of two numbers", member);
	return take_number(r, json_array_get(pair, 0), member, max, load) != 0 ||
		take_number(r, json_array_get(pair, 1), member, max, capacity) != 0
	    ? -1
	    : 0;
}

static int
read_rooms(const struct record_reader *r, const json_t *obj, struct place_node *node)
{
	struct place_room *load = &node->load, *all = &node->capacity;
	uint64_t used, sessions;

	if (read_pair(r, obj, "sessions", UINT32_MAX, &used, &sessions) != 0 ||
	    read_pair(r, obj, "cpu_milli", NUMBER_MAX, &load->cpu_milli, &all->cpu_milli) != 0 ||
	    read_pair(r, obj, "memory_bytes", NUMBER_MAX, &load->memory_bytes,
		&all->memory_bytes) != 0)
		return -1;
	load->sessions = (uint32_t)used;
	all->sessions = (uint32_t)sessions;
	return 0;
}

static int
read_lacking(const struct record_reader *r, const json_t *obj, struct place_node *node)
{
	const struct decision *d = r->d;
	struct view name = { 0 };
	const json_t *list;

	if (read_list(r, obj, "lacks", PLACE_LABELS_MAX, &list) != 0)
		return -1;
	node->labels = d->request.labels & ~PLACE_LABEL_NOBODY_HAS;
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t label;

		if (take_text(r, json_array_get(list, i), "lacks", &name) != 0)
			return -1;
		label = find_label(d, name);
		if (label == d->n_labels)
			return fail(r, "lacks has a label that is not asked for");
		node->labels &= ~(UINT64_C(1) << label);
	}
	return 0;
}

static int
read_node(const struct record_reader *r, json_t *obj, struct place_node *node)
{
	static const char *const members[] = { "name", "region", "tier", "trust", "state",
		"sessions", "cpu_milli", "memory_bytes", "lacks", "latency_ms", "failed", NULL };
	uint64_t latency_ms = PLACE_LATENCY_NONE;
	unsigned tier, trust, state;

	if (check_members(r, obj, "a node", members) != 0 ||
	    read_text(r, obj, "name", &node->name) != 0 ||
	    read_text(r, obj, "region", &node->region) != 0 ||
	    read_word(r, obj, "tier", session_tier_name, TIER_CLOUD + 1, &tier) != 0 ||
	    read_word(r, obj, "trust", session_trust_name, TRUST_COUNT, &trust) != 0 ||
	    read_word(r, obj, "state", session_node_state_name, NODE_STATE_COUNT, &state) != 0 ||
	    read_rooms(r, obj, node) != 0 || read_lacking(r, obj, node) != 0 ||
	    read_number(r, obj, "latency_ms", PLACE_LATENCY_NONE - 1, &latency_ms) != 0 ||
	    read_bool(r, obj, "failed", &node->has_failed) != 0)
		return -1;
	if (node->name.len == 0 || tier == 0 || trust == 0 || state == 0)
		return fail(r, "a node has no name, tier, trust or state");
	node->tier = tier;
	node->trust = trust;
	node->state = state;
	node->latency_ms = (uint32_t)latency_ms;
	return 0;
}

static int
read_nodes(const struct record_reader *r, const json_t *obj)
{
	struct decision *d = r->d;
	const json_t *list;

	if (read_list(r, obj, "nodes", DECISION_NODES_MAX, &list) != 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (read_node(r, json_array_get(list, i), &d->nodes[i]) != 0)
			return -1;
		for (size_t j = 0; j < i; j++) {
			if (view_equal(d->nodes[i].name, d->nodes[j].name))
				return fail(r, "nodes has two of one name");
		}
		d->n++;
	}
	return 0;
}

static int
read_record(const struct record_reader *r, json_t *obj)
{
	static const char *const members[] = { "request", "nodes", "choice", "reasons", "fit",
		"rejected", NULL };

	if (check_members(r, obj, "the record", members) != 0 ||
	    read_request(r, json_object_get(obj, "request")) != 0 || read_nodes(r, obj) != 0 ||
	    read_text(r, obj, "choice", &r->d->choice) != 0 ||
	    read_text(r, obj, "reasons", &r->d->reasons) != 0)
		return -1;
	return 0;
}

int
decision_from_json(struct json_t *obj, struct decision *out, char *err, size_t err_size)
{
	struct record_reader r = { .d = out, .err = err, .err_size = err_size };

	memset(out, 0, sizeof(*out));
	out->object = json_incref(obj);
	if (read_record(&r, obj) == 0)
		return 0;
	decision_fini(out);
	return -1;
}

void
decision_fini(struct decision *d)
{
	json_decref(d->object);
	memset(d, 0, sizeof(*d));
}
