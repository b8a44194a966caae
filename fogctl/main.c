/* SPDX-License-Identifier: MIT */
/* fogctl: its two tables, and from the words of a person to a request and back. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "fogctl/fogctl.h"
#include "fogctl/image.h"

enum { OPTION_JSON, OPTION_SOCKET, OPTION_HELP, OPTION_VERSION, OPTION_COUNT };

static const struct fogctl_option options[OPTION_COUNT] = {
	[OPTION_JSON] = { "json", NULL, "print the answer as it came, one JSON object" },
	[OPTION_SOCKET] = { "socket", "PATH", "the control socket; default " FOGCTL_SOCKET },
	[OPTION_HELP] = { "help", NULL, "print this" },
	[OPTION_VERSION] = { "version", NULL, "print the version" },
};

static int tell_ping(json_t *answer, char **arguments);
static int tell_subject(json_t *answer, char **arguments);
static int tell_session(json_t *answer, char **arguments);

static const struct fogctl_command commands[] = {
	{ "ping", { { 0 } }, "ping", tell_ping, "ask whether the service answers" },
	{ "sessions revoke", { { "ID", "session_id" } }, "revoke_session", tell_session,
	    "end a session at once" },
	{ "subjects revoke", { { "ISSUER", "issuer" }, { "SUBJECT", "subject" } }, "revoke_subject",
	    tell_subject, "end or detach all sessions of a subject, and refuse the tokens it has" },
};

/* What the line says, as it was understood. */
struct wish {
	bool as_json;
	const char *socket;
	const struct fogctl_command *command;
	char **arguments;
};

/* --- answers --- */

/* Of somebody else's, onto an operator's terminal: what could be a command to that is spelled out. */
static void
put_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text >= ' ' && *text <= '~')
			putc(*text, out);
		else
			fprintf(out, "\\x%02x", (unsigned char)*text);
	}
}

static int
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

static int
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

static int
tell_session(json_t *answer, char **arguments)
{
	if (!json_is_true(json_object_get(answer, "revoked")))
		return -1;
	printf("session %s is being ended\n", arguments[0]);
	return 0;
}

static enum fogctl_exit
show_answer(const struct wish *w, json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");

	if (w->as_json) {
		json_dumpf(answer, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
	} else if (error) {
		fputs("fogctl: refused: ", stderr);
		put_text(stderr,
		    json_is_string(error) ? json_string_value(error) : "no reason was given");
		putc('\n', stderr);
	} else if (w->command->tell(answer, w->arguments) != 0) {
		fprintf(stderr, "fogctl: the answer is of another version of the service\n");
		return EXIT_NO_SERVICE;
	}
	return error ? EXIT_REFUSED : EXIT_DONE;
}

/* --- the request --- */

/* One line with its newline; NULL: an argument is not UTF-8, or no memory. */
static char *
make_request(const struct wish *w)
{
	json_t *obj = json_pack("{s:s}", "command", w->command->request);
	cleanup_free char *text = NULL;
	char *line = NULL;
	int rc = obj ? 0 : -1;

	for (int i = 0; rc == 0 && i < FOGCTL_ARGUMENTS_MAX && w->command->argument[i].shown; i++)
		rc = json_object_set_new(obj, w->command->argument[i].member,
		    json_string(w->arguments[i]));
	text = rc == 0 ? json_dumps(obj, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	json_decref(obj);
	return text && asprintf(&line, "%s\n", text) >= 0 ? line : NULL;
}

static enum fogctl_exit
run(const struct wish *w)
{
	cleanup_free char *request = make_request(w);
	cleanup_free char *line = NULL;
	struct json_error_text err;
	enum fogctl_exit status;
	json_t *answer;

	if (!request) {
		fprintf(stderr, "fogctl: an argument is not UTF-8\n");
		return EXIT_USAGE;
	}
	line = client_ask(w->socket, request, strlen(request));
	if (!line)
		return EXIT_NO_SERVICE;
	if (json_parse_strict(line, strlen(line), JSON_DEPTH_DEFAULT, &answer, &err) != 0) {
		fprintf(stderr, "fogctl: %s: the answer is no JSON object: %s\n", w->socket,
		    err.text);
		return EXIT_NO_SERVICE;
	}
	status = show_answer(w, answer);
	json_release(answer);
	return status;
}

/* --- the command line --- */

static void
print_usage(FILE *out)
{
	fprintf(out,
	    "usage: fogctl [OPTION...] COMMAND [ARGUMENT...]\n"
	    "       fogctl image COMMAND ...  (without a service: fogctl image --help)\n\n"
	    "Commands:\n");
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		const struct fogctl_argument *a = commands[i].argument;
		char line[80];

		snprintf(line, sizeof(line), "%s%s%s%s%s", commands[i].name, a[0].shown ? " " : "",
		    a[0].shown ? a[0].shown : "", a[1].shown ? " " : "",
		    a[1].shown ? a[1].shown : "");
		fprintf(out, "  %-32s  %s\n", line, commands[i].help);
	}
	fprintf(out, "\nOptions:\n");
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		char line[80];

		snprintf(line, sizeof(line), "--%s%s%s", options[i].name,
		    options[i].argument ? " " : "", options[i].argument ? options[i].argument : "");
		fprintf(out, "  %-32s  %s\n", line, options[i].help);
	}
}

static int
refuse_usage(const char *what, const char *which)
{
	fprintf(stderr, "fogctl: %s%s%s\nTry: fogctl --help\n", what, which ? ": " : "",
	    which ? which : "");
	return EXIT_USAGE;
}

/* How many of the words are the command's name; 0: they are not. */
static int
match_name(const char *name, char **words, int count)
{
	int n = 0;

	for (const char *at = name; *at; at += strspn(at, " ")) {
		size_t len = strcspn(at, " ");

		if (n == count || strlen(words[n]) != len || memcmp(words[n], at, len) != 0)
			return 0;
		at += len;
		n++;
	}
	return n;
}

static int
count_arguments(const struct fogctl_command *c)
{
	int n = 0;

	while (n < FOGCTL_ARGUMENTS_MAX && c->argument[n].shown)
		n++;
	return n;
}

static int
find_command(struct wish *w, char **words, int count)
{
	int used = 0;

	if (count == 0)
		return refuse_usage("a command is needed", NULL);
	if (strcmp(words[0], "image") == 0)
		return refuse_usage("its options stand behind it", words[0]);
	for (size_t i = 0; used == 0 && i < COUNT_OF(commands); i++) {
		used = match_name(commands[i].name, words, count);
		w->command = &commands[i];
	}
	if (used == 0)
		return refuse_usage("there is no such command", words[0]);
	if (count - used != count_arguments(w->command))
		return refuse_usage("wrong number of arguments for", w->command->name);
	w->arguments = words + used;
	return 0;
}

static void
make_long_options(struct option out[static OPTION_COUNT + 1])
{
	for (int i = 0; i < OPTION_COUNT; i++)
		out[i] = (struct option){ options[i].name,
			options[i].argument ? required_argument : no_argument, NULL, i };
	out[OPTION_COUNT] = (struct option){ 0 };
}

int
main(int argc, char **argv)
{
	struct option long_options[OPTION_COUNT + 1];
	struct wish wish = { .socket = FOGCTL_SOCKET };
	int option, status;

	/* Its options are its own. */
	if (argc > 1 && strcmp(argv[1], "image") == 0)
		return image_main(argc - 1, argv + 1);
	make_long_options(long_options);
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_JSON:
			wish.as_json = true;
			break;
		case OPTION_SOCKET:
			wish.socket = optarg;
			break;
		case OPTION_HELP:
			print_usage(stdout);
			return EXIT_DONE;
		case OPTION_VERSION:
			printf("fogctl %s\n", FOG_VERSION);
			return EXIT_DONE;
		default:
			fprintf(stderr, "Try: fogctl --help\n");
			return EXIT_USAGE;
		}
	}
	status = find_command(&wish, argv + optind, argc - optind);
	return status ? status : (int)run(&wish);
}
