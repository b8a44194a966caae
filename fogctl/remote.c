/* SPDX-License-Identifier: MIT */
/* What the service is asked, and how its answers are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "fogctl/command.h"

/* Those of the service: as many as a node keeps, and of a fleet. */
#define ROWS_MAX 65536

/* --- asking --- */

struct asking {
	const char *path;
	const char *rows; /* NULL: the answer is one line */
	json_t *list, *answer;
};

static int
give_up(const struct asking *a, const char *why)
{
	fputs("fogctl: ", stderr);
	put_text(stderr, a->path);
	fprintf(stderr, ": the answer is of another version of the service: %s\n", why);
	return -2;
}

static int
on_line(void *arg, const char *line, size_t len)
{
	struct asking *a = arg;
	struct json_error_text err;
	json_t *obj, *row;

	if (json_parse_strict(line, len, JSON_DEPTH_DEFAULT, &obj, &err) != 0)
		return give_up(a, err.text);
	row = a->rows ? json_object_get(obj, a->rows) : NULL;
	if (!row) {
		a->answer = obj;
		return 0;
	}
	if (json_array_size(a->list) >= ROWS_MAX || json_array_append(a->list, row) != 0) {
		json_release(obj);
		return give_up(a, "it is too long");
	}
	json_release(obj);
	return 1;
}

/* Of a list the end line becomes all of it: {"sessions":2} gets the rows in place of the number. */
static int
put_rows(struct asking *a, const char *rows)
{
	char member[32];
	const json_t *told;

	if (!rows || json_object_get(a->answer, "error"))
		return 0;
	snprintf(member, sizeof(member), "%ss", rows);
	told = json_object_get(a->answer, member);
	if (!json_is_integer(told) || (size_t)json_integer_value(told) != json_array_size(a->list))
		return give_up(a, "its rows are not all there");
	return json_object_set(a->answer, member, a->list);
}

static const char *
socket_of(const struct fogctl_wish *w)
{
	return wish_has(w, OPTION_SOCKET) ? wish_value(w, OPTION_SOCKET) : FOGCTL_SOCKET;
}

int
remote_ask(const struct fogctl_wish *w, json_t *request, json_t **answer)
{
	struct asking a = { socket_of(w), w->command->rows, json_array(), NULL };
	cleanup_free char *text = json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII);
	cleanup_free char *line = NULL;
	int rc = EXIT_NO_SERVICE;

	json_decref(request);
	if (text && asprintf(&line, "%s\n", text) >= 0)
		rc = client_ask(a.path, line, strlen(line), on_line, &a);
	if (rc == 0)
		rc = put_rows(&a, w->command->rows);
	json_decref(a.list);
	if (rc == 0) {
		*answer = a.answer;
		return EXIT_DONE;
	}
	json_release(a.answer);
	return rc < 0 ? EXIT_NO_SERVICE : rc;
}

static int
show_answer(const struct fogctl_wish *w, json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");

	if (wish_has(w, OPTION_JSON))
		return json_print(json_incref(answer), error ? EXIT_REFUSED : EXIT_DONE);
	if (error) {
		fputs("fogctl: refused: ", stderr);
		put_text(stderr,
		    json_is_string(error) ? json_string_value(error) : "no reason was given");
		putc('\n', stderr);
		return EXIT_REFUSED;
	}
	if (w->command->tell(answer, w->arguments) == 0)
		return EXIT_DONE;
	fprintf(stderr, "fogctl: the answer is of another version of the service\n");
	return EXIT_NO_SERVICE;
}

static int
ask_and_show(const struct fogctl_wish *w, json_t *request)
{
	json_t *answer = NULL;
	int status;

	if (!request)
		return usage_error("an argument is not UTF-8", NULL);
	status = remote_ask(w, request, &answer);
	if (status != EXIT_DONE)
		return status;
	status = show_answer(w, answer);
	json_release(answer);
	return status;
}

int
run_remote(const struct fogctl_wish *w)
{
	json_t *request = json_pack("{s:s}", "command", w->command->request);
	int rc = request ? 0 : -1;

	for (int i = 0; rc == 0 && i < w->n_arguments; i++)
		rc = json_object_set_new(request, w->command->argument[i].member,
		    json_string(w->arguments[i]));
	if (rc == 0)
		return ask_and_show(w, request);
	json_decref(request);
	return ask_and_show(w, NULL);
}

int
run_log_verbose(const struct fogctl_wish *w)
{
	bool on = strcmp(w->arguments[0], "on") == 0;

	if (!on && strcmp(w->arguments[0], "off") != 0)
		return usage_error("log verbose is on or off, not", w->arguments[0]);
	return ask_and_show(w,
	    json_pack("{s:s, s:b}", "command", w->command->request, "on", (int)on));
}

/* --- telling --- */

int
tell_ping(json_t *answer, char **arguments)
{
	const char *version = json_string_value(json_object_get(answer, "version"));

	(void)arguments;
	if (!version)
		return -1;
	fputs("the service answers, version ", stdout);
	put_text(stdout, version);
	putchar('\n');
	return 0;
}

int
tell_members(json_t *answer, char **arguments)
{
	(void)arguments;
	return table_print_members(answer);
}

int
tell_session(json_t *answer, char **arguments)
{
	const json_t *session = json_object_get(answer, "session");

	(void)arguments;
	return session ? table_print_members(session) : -1;
}

/* One row for each item; a name with a dot is looked for in an object of the item. */
static int
tell_rows(const json_t *rows, const char *const headings[], const char *const names[])
{
	struct table *t = table_new(headings);
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		for (size_t c = 0; names[c]; c++) {
			const char *dot = strchr(names[c], '.');
			char outer[32];

			snprintf(outer, sizeof(outer), "%.*s", dot ? (int)(dot - names[c]) : 31,
			    names[c]);
			table_add_value(t,
			    dot ? json_object_get(json_object_get(row, outer), dot + 1)
				: json_object_get(row, outer));
		}
	}
	return table_print(t);
}

int
tell_sessions(json_t *answer, char **arguments)
{
	static const char *const headings[] = { "SESSION", "STATUS", "PROFILE", "SUBJECT",
		"CREATED", "EXPIRES", "PLACED", NULL };
	static const char *const names[] = { "session_id", "status", "profile", "subject",
		"created_at", "expires_at", "placement_reason", NULL };
	const json_t *rows = json_object_get(answer, "sessions");

	(void)arguments;
	return json_is_array(rows) ? tell_rows(rows, headings, names) : -1;
}

int
tell_nodes(json_t *answer, char **arguments)
{
	static const char *const headings[] = { "NODE", "SELF", "STATE", "CORDONED", "TIER",
		"REGION", "TRUST", "SESSIONS", "OF", "SILENT_MS", "ANSWERS_IN_MS", NULL };
	static const char *const names[] = { "name", "self", "state", "cordoned", "tier", "region",
		"trust", "load.sessions", "capacity.sessions", "silent_ms", "answers_in_ms", NULL };
	const json_t *rows = json_object_get(answer, "nodes");

	(void)arguments;
	return json_is_array(rows) ? tell_rows(rows, headings, names) : -1;
}

int
tell_killed(json_t *answer, char **arguments)
{
	if (!json_is_true(json_object_get(answer, "killed")))
		return -1;
	printf("session %s is being ended\n", arguments[0]);
	return 0;
}

int
tell_subject(json_t *answer, char **arguments)
{
	const json_t *ended = json_object_get(answer, "ended");
	const json_t *detached = json_object_get(answer, "detached");

	if (!json_is_integer(ended) || !json_is_integer(detached))
		return -1;
	put_text(stdout, arguments[1]);
	fputs(" at ", stdout);
	put_text(stdout, arguments[0]);
	printf(" is revoked; sessions ended: %lld, detached: %lld\n",
	    (long long)json_integer_value(ended), (long long)json_integer_value(detached));
	return 0;
}

int
tell_cordoned(json_t *answer, char **arguments)
{
	const char *node = json_string_value(json_object_get(answer, "node"));
	const json_t *on = json_object_get(answer, "cordoned");

	(void)arguments;
	if (!node || !json_is_boolean(on))
		return -1;
	put_text(stdout, node);
	puts(json_is_true(on) ? " gets no new sessions from this node"
			      : " gets new sessions from this node again");
	return 0;
}

/* undrain may have been about another node. */
int
tell_drained(json_t *answer, char **arguments)
{
	const char *node = json_string_value(json_object_get(answer, "node"));
	const json_t *on = json_object_get(answer, "draining");
	const json_t *left = json_object_get(answer, "sessions");

	if (!on)
		return tell_cordoned(answer, arguments);
	if (!node || !json_is_boolean(on) || !json_is_integer(left))
		return -1;
	put_text(stdout, node);
	printf(" takes %s; sessions here: %lld\n",
	    json_is_true(on) ? "no new sessions" : "new sessions again",
	    (long long)json_integer_value(left));
	return 0;
}

int
tell_verbose(json_t *answer, char **arguments)
{
	const json_t *on = json_object_get(answer, "verbose");

	(void)arguments;
	if (!json_is_boolean(on))
		return -1;
	puts(json_is_true(on) ? "the service logs at debug level until it is told otherwise"
			      : "the service logs at LOG_LEVEL");
	return 0;
}
