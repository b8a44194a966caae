/* SPDX-License-Identifier: MIT */
/* placement explain: a decision out of the audit log, or the service's, made once more here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/id.h"
#include "common/json.h"
#include "fogctl/command.h"
#include "placerd/decision.h"

struct explained {
	struct decision d;
	struct place_choice choice;
	const char *node; /* chosen here; "": none was fit */
	size_t node_len;
	char reasons[PLACE_REASON_BYTES];
	bool is_same;
};

static void
choose_again(struct explained *e)
{
	struct view node = view_of("");

	e->reasons[0] = '\0';
	if (place_choose(&e->d.request, e->d.nodes, e->d.n, &e->choice) == 0) {
		node = e->d.nodes[e->choice.fit[0].node].name;
		place_format_reasons(e->choice.fit[0].reasons, e->reasons);
	}
	e->node = node.p;
	e->node_len = node.len;
	e->is_same = view_equal(node, e->d.choice) && view_is(e->d.reasons, e->reasons);
}

/* --- telling --- */

/* The reasons of a candidate: as the choice says, or what is against it. */
static void
format_candidate(const struct explained *e, size_t node, bool *is_fit, size_t *rank,
    char out[static PLACE_REASON_BYTES])
{
	uint32_t against = place_judge(&e->d.request, &e->d.nodes[node]);

	*is_fit = against == 0;
	*rank = 0;
	for (size_t i = 0; i < e->choice.n_fit; i++) {
		if (e->choice.fit[i].node != node)
			continue;
		*rank = i + 1;
		against = e->choice.fit[i].reasons;
	}
	place_format_reasons(against, out);
}

static json_t *
candidate_to_json(const struct explained *e, size_t i)
{
	const struct place_node *n = &e->d.nodes[i];
	char reasons[PLACE_REASON_BYTES];
	bool is_fit;
	size_t rank;
	json_t *obj;
	int rc = 0;

	format_candidate(e, i, &is_fit, &rank, reasons);
	obj = json_pack("{s:s%, s:b, s:s, s:s, s:s%, s:s, s:s}", "node", n->name.p, n->name.len,
	    "fit", (int)is_fit, "reasons", reasons, "tier", session_tier_name(n->tier), "region",
	    n->region.p, n->region.len, "trust", session_trust_name(n->trust), "state",
	    session_node_state_name(n->state));
	if (rank > 0)
		rc |= json_object_set_new(obj, "rank", json_integer((json_int_t)rank));
	if (n->latency_ms != PLACE_LATENCY_NONE)
		rc |= json_object_set_new(obj, "latency_ms", json_integer(n->latency_ms));
	rc |= json_object_set_new(obj, "sessions", json_integer(n->load.sessions));
	rc |= json_object_set_new(obj, "of", json_integer(n->capacity.sessions));
	if (obj && rc == 0)
		return obj;
	json_decref(obj);
	return NULL;
}

/* Those that are fit in the order in which they would be tried, then those that are not. */
static json_t *
candidates_to_json(const struct explained *e)
{
	json_t *list = json_array();
	int rc = 0;

	for (size_t i = 0; i < e->choice.n_fit; i++)
		rc |= json_array_append_new(list, candidate_to_json(e, e->choice.fit[i].node));
	for (size_t i = 0; i < e->d.n; i++) {
		size_t kept = 0;

		while (kept < e->choice.n_fit && e->choice.fit[kept].node != i)
			kept++;
		if (kept == e->choice.n_fit)
			rc |= json_array_append_new(list, candidate_to_json(e, i));
	}
	if (rc == 0)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *
explained_to_json(const struct explained *e)
{
	const struct view *then = &e->d.choice, *why = &e->d.reasons;

	return json_pack("{s:s%, s:s, s:s%, s:s%, s:b, s:o}", "choice", e->node, e->node_len,
	    "reasons", e->reasons, "recorded_choice", then->p ? then->p : "", then->len,
	    "recorded_reasons", why->p ? why->p : "", why->len, "same", (int)e->is_same,
	    "candidates", candidates_to_json(e));
}

static int
tell(const json_t *told, const struct explained *e)
{
	static const char *const headings[] = { "RANK", "NODE", "TIER", "REGION", "TRUST", "STATE",
		"LATENCY_MS", "SESSIONS", "OF", "REASONS", NULL };
	static const char *const names[] = { "rank", "node", "tier", "region", "trust", "state",
		"latency_ms", "sessions", "of", "reasons" };
	struct table *t = table_new(headings);
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(told, "candidates"), i, row) {
		for (size_t c = 0; c < COUNT_OF(names); c++)
			table_add_value(t, json_object_get(row, names[c]));
	}
	fputs(e->node_len ? "placed on " : "placed nowhere", stdout);
	put_text(stdout, json_string_value(json_object_get(told, "choice")));
	printf("%s%s\n", e->node_len ? ": " : "", e->reasons);
	if (table_print(t) != 0)
		return -1;
	if (e->is_same) {
		puts("replays to the same choice");
		return 0;
	}
	fputs("differs: the record says ", stdout);
	put_text(stdout, json_string_value(json_object_get(told, "recorded_choice")));
	fputs(": ", stdout);
	put_text(stdout, json_string_value(json_object_get(told, "recorded_reasons")));
	putchar('\n');
	return 0;
}

static int
show(const struct fogctl_wish *w, const struct explained *e)
{
	int status = e->is_same ? EXIT_DONE : EXIT_REFUSED;
	json_t *told = explained_to_json(e);

	if (!told || wish_has(w, OPTION_JSON))
		return json_print(told, status);
	if (tell(told, e) != 0)
		status = EXIT_REFUSED;
	json_decref(told);
	return status;
}

/* source is where it stands, for whoever is told that it is none. */
static int
explain(const struct fogctl_wish *w, const char *source, size_t number, json_t *decision)
{
	cleanup_free struct explained *e = calloc(1, sizeof(*e));
	char err[256] = "out of memory";
	int status;

	if (!e || decision_from_json(decision, &e->d, err, sizeof(err)) != 0) {
		put_text(stderr, source);
		fprintf(stderr, ":%zu: decision: ", number);
		put_text(stderr, err);
		putc('\n', stderr);
		return EXIT_USAGE;
	}
	choose_again(e);
	status = show(w, e);
	decision_fini(&e->d);
	return status;
}

/* --- out of a file --- */

#define STOP (-1)
#define RECENT 256

struct search {
	const struct fogctl_wish *w;
	const char *file, *session;
	bool is_found;
	int status;
	/*
	 * A decision comes before its session, and those of other requests are between them: of all that
	 * came while another node was asked.
	 */
	struct {
		json_t *line;
		size_t number;
	} recent[RECENT];
	size_t n;
};

static const char *
member(const json_t *line, const char *name)
{
	const char *text = json_peek_str(line, name);

	return text ? text : "";
}

static int
take_first(void *arg, size_t number, const json_t *line)
{
	struct search *s = arg;

	s->is_found = true;
	s->status = explain(s->w, s->file, number, json_object_get(line, "decision"));
	return STOP;
}

static void
remember(struct search *s, size_t number, const json_t *line)
{
	size_t at = s->n++ % RECENT;

	json_decref(s->recent[at].line);
	s->recent[at].line = json_incref((json_t *)(uintptr_t)line);
	s->recent[at].number = number;
}

static bool
is_same(const json_t *a, const json_t *b, const char *name)
{
	return strcmp(member(a, name), member(b, name)) == 0;
}

/*
 * The session was made by the same request, and that by its last decision. A client may give several
 * requests one trace: they are told apart by whom and on which node.
 */
static int
take_session(struct search *s, const json_t *made)
{
	for (size_t back = 1; back <= RECENT && back <= s->n; back++) {
		size_t at = (s->n - back) % RECENT;
		const json_t *line = s->recent[at].line;

		if (!is_same(line, made, "trace_id") || !is_same(line, made, "issuer") ||
		    !is_same(line, made, "subject") || !is_same(line, made, "node"))
			continue;
		s->is_found = true;
		s->status = explain(s->w, s->file, s->recent[at].number,
		    json_object_get(line, "decision"));
		return STOP;
	}
	return EXIT_DONE;
}

/* Here, or by another node which this one has chosen. */
static bool
is_making(const json_t *line)
{
	return strcmp(member(line, "event"), "session.created") == 0 ||
	    strcmp(member(line, "event"), "session.forwarded") == 0;
}

static int
look_for_session(void *arg, size_t number, const json_t *line)
{
	struct search *s = arg;

	if (json_object_get(line, "decision") &&
	    strcmp(member(line, "event"), "placement.decided") == 0)
		remember(s, number, line);
	if (is_making(line) && strcmp(member(line, "session_id"), s->session) == 0)
		return take_session(s, line);
	return EXIT_DONE;
}

static int
explain_file(const struct fogctl_wish *w, const char *file, const char *session)
{
	struct search s = { .w = w, .file = file, .session = session };
	int status = session ? audit_walk(file, "event", look_for_session, &s)
			     : audit_walk(file, "decision", take_first, &s);

	for (size_t i = 0; i < RECENT; i++)
		json_decref(s.recent[i].line);
	if (s.is_found)
		return s.status;
	if (status != EXIT_DONE)
		return status;
	put_text(stderr, file);
	fprintf(stderr, ":1: %s\n",
	    session ? "this session, with the placement.decided before it, is not in this log"
		    : "no line of an audit log that has a \"decision\"; see placement.decided");
	return EXIT_USAGE;
}

/* --- of the service, now --- */

static int
add_latency(json_t *latencies, const char *text)
{
	const char *equals = strrchr(text, '=');
	char name[65];

	if (!equals || equals == text || equals - text >= (ptrdiff_t)sizeof(name) || !equals[1] ||
	    strlen(equals) > 7 || strspn(equals + 1, "0123456789") != strlen(equals + 1))
		return usage_error("--latency is NODE=MILLISECONDS, not", text);
	snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
	return json_object_set_new(latencies, name,
	    json_integer((json_int_t)strtoul(equals + 1, NULL, 10)));
}

/* 0 and *out, or EXIT_USAGE. */
static int
make_request(const struct fogctl_wish *w, json_t **out)
{
	const struct fogctl_values *measured = &w->option[OPTION_LATENCY];
	const char *hint = wish_value(w, OPTION_HINT);
	json_t *latencies = json_object(), *request;
	int rc = latencies ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < measured->n; i++)
		rc = add_latency(latencies, measured->value[i]);
	request = rc == 0 ? json_pack("{s:s, s:s, s:O}", "command", w->command->request, "profile",
				wish_value(w, OPTION_PROFILE), "latency_ms", latencies)
			  : NULL;
	if (request && hint && json_object_set_new(request, "hint", json_string(hint)) != 0) {
		json_decref(request);
		request = NULL;
	}
	json_decref(latencies);
	if (request) {
		*out = request;
		return 0;
	}
	return rc == EXIT_USAGE ? rc : usage_error("an argument is not UTF-8", NULL);
}

static int
explain_live(const struct fogctl_wish *w)
{
	json_t *request, *answer;
	const char *error;
	int status;

	if (!wish_has(w, OPTION_PROFILE))
		return usage_error("--live needs", "--profile");
	status = make_request(w, &request);
	if (status == 0)
		status = remote_ask(w, request, &answer);
	if (status != EXIT_DONE)
		return status;
	error = json_peek_str(answer, "error");
	if (!error) {
		status = explain(w, "the service", 1, json_object_get(answer, "decision"));
		json_release(answer);
		return status;
	}
	if (wish_has(w, OPTION_JSON))
		return json_print(answer, EXIT_REFUSED);
	fputs("fogctl: refused: ", stderr);
	put_text(stderr, error);
	putc('\n', stderr);
	json_release(answer);
	return EXIT_REFUSED;
}

int
run_placement_explain(const struct fogctl_wish *w)
{
	const char *session = wish_value(w, OPTION_SESSION), *audit = wish_value(w, OPTION_AUDIT);
	bool is_live = wish_has(w, OPTION_LIVE);
	struct id128 id;

	if (is_live + (w->n_arguments > 0) + (audit != NULL) != 1)
		return usage_error("one of these is needed: FILE, --session with --audit, or "
				   "--live",
		    NULL);
	if (!audit != !session)
		return usage_error("--session and --audit go together", NULL);
	if (!is_live &&
	    (wish_has(w, OPTION_PROFILE) || wish_has(w, OPTION_HINT) ||
		wish_has(w, OPTION_LATENCY) || wish_has(w, OPTION_SOCKET)))
		return usage_error("--profile, --hint, --latency and --socket go with", "--live");
	if (is_live)
		return explain_live(w);
	if (session && id_parse(session, strlen(session), &id) != 0)
		return usage_error("no id of a session", session);
	return explain_file(w, audit ? audit : w->arguments[0], session);
}
