/* SPDX-License-Identifier: MIT */
/* fogctl: its two tables, and from the words of a person to a command. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "fogctl/command.h"
#include "fogctl/image.h"
#include "fogctl/node.h"

#define BIT(option) (UINT32_C(1) << OPTION_##option)
#define EVERYWHERE (BIT(JSON) | BIT(HELP) | BIT(VERSION))

const struct fogctl_option_row fogctl_options[OPTION_COUNT] = {
	[OPTION_JSON] = { { "json", NULL, "print one JSON object" }, VALUE_NONE, 1 },
	[OPTION_SOCKET] = { { "socket", "PATH", "the control socket; default " FOGCTL_SOCKET },
	    VALUE_FILE, 1 },
	[OPTION_PROFILE] = { { "profile", "NAME", "a profile of the policy" }, VALUE_TEXT, 1 },
	[OPTION_GROUP] = { { "group", "NAME", "a group of whoever asks; may be repeated" },
	    VALUE_TEXT, FOGCTL_VALUES_MAX },
	[OPTION_TTL] = { { "ttl", "SECONDS", "the ttl_seconds asked for" }, VALUE_TEXT, 1 },
	[OPTION_IMAGE] = { { "image", "REF", "the image_ref asked for" }, VALUE_TEXT, 1 },
	[OPTION_SESSIONS] = { { "sessions", "N", "sessions that they have in the profile" },
	    VALUE_TEXT, 1 },
	[OPTION_RUNTIME] = { { "runtime", "NAME", "sandbox, or stub: without images" }, VALUE_TEXT,
	    1 },
	[OPTION_HINT] = { { "hint", "NODE", "the placement_hint asked for" }, VALUE_TEXT, 1 },
	[OPTION_LATENCY] = { { "latency", "NODE=MS", "as the client measured; may be repeated" },
	    VALUE_TEXT, FOGCTL_VALUES_MAX },
	[OPTION_LIVE] = { { "live", NULL, "ask the service what it would choose now" }, VALUE_NONE,
	    1 },
	[OPTION_AUDIT] = { { "audit", "FILE", "an audit log" }, VALUE_FILE, 1 },
	[OPTION_SESSION] = { { "session", "ID", "the session of the audit log" }, VALUE_TEXT, 1 },
	[OPTION_POLICY] = { { "policy", "FILE", "a policy.yaml; default " FOGCTL_POLICY },
	    VALUE_FILE, 1 },
	[OPTION_NODES] = { { "nodes", "FILE", "a nodes.yaml" }, VALUE_FILE, 1 },
	[OPTION_ORIGINS] = { { "origins", "LIST", "FLEET_ORIGINS for it" }, VALUE_TEXT, 1 },
	[OPTION_NODE] = { { "node", "NAME", "NODE_NAME for it; default: the host's name" },
	    VALUE_TEXT, 1 },
	[OPTION_HELP] = { { "help", NULL, "print this" }, VALUE_NONE, 1 },
	[OPTION_VERSION] = { { "version", NULL, "print the version" }, VALUE_NONE, 1 },
};

#define REMOTE(words, ...) \
	{ \
		.name = words, .options = BIT(SOCKET), .run = run_remote, __VA_ARGS__ \
	}
#define ONE(text, goes_to) .argument = { { text, goes_to } }, .least = 1

const struct fogctl_command fogctl_commands[] = {
	REMOTE("ping", .request = "ping", .tell = tell_ping,
	    .help = "ask whether the service answers"),
	REMOTE("status", .request = "status", .tell = tell_members,
	    .help = "how this node, its sessions and its fleet are"),
	REMOTE("sessions list", .request = "list_sessions", .rows = "session",
	    .tell = tell_sessions, .help = "the sessions of this node"),
	REMOTE("sessions show", ONE("ID", "session_id"), .request = "show_session",
	    .tell = tell_session, .help = "one session"),
	REMOTE("sessions kill", ONE("ID", "session_id"), .request = "kill_session",
	    .tell = tell_killed, .help = "end a session at once"),
	REMOTE("sessions drain", .request = "drain_node", .tell = tell_drained,
	    .help = "take no new sessions on this node"),
	REMOTE("nodes list", .request = "list_nodes", .rows = "node", .tell = tell_nodes,
	    .help = "the fleet, as this node sees it"),
	{ .name = "nodes measure",
	    .options = BIT(SOCKET),
	    .run = run_nodes_measure,
	    .request = "list_nodes",
	    .rows = "node",
	    .help = "how far the fleet is from this machine" },
	REMOTE("nodes cordon", ONE("NAME", "node"), .request = "cordon_node", .tell = tell_cordoned,
	    .help = "place nothing on another node from here"),
	REMOTE("nodes drain", ONE("NAME", "node"), .request = "drain_node", .tell = tell_drained,
	    .help = "take no new sessions on this node"),
	REMOTE("nodes undrain", ONE("NAME", "node"), .request = "undrain_node",
	    .tell = tell_drained, .help = "undo a drain or a cordon"),
	REMOTE("subjects revoke", .argument = { { "ISSUER", "issuer" }, { "SUBJECT", "subject" } },
	    .least = 2, .request = "revoke_subject", .tell = tell_subject,
	    .help = "end or detach all sessions of a subject, and refuse the tokens it has"),
	{ .name = "policy check",
	    ONE("FILE", NULL),
	    .has_files = true,
	    .run = run_policy_check,
	    .help = "check a policy.yaml and print it as understood" },
	{ .name = "policy explain",
	    ONE("FILE", NULL),
	    .has_files = true,
	    .options = BIT(PROFILE) | BIT(GROUP) | BIT(TTL) | BIT(IMAGE) | BIT(SESSIONS) |
		BIT(RUNTIME),
	    .run = run_policy_explain,
	    .help = "decide one request by it" },
	{ .name = "policy replay",
	    ONE("FILE", NULL),
	    .has_files = true,
	    .options = BIT(AUDIT),
	    .run = run_policy_replay,
	    .help = "the requests of an audit log that it would decide differently" },
	{ .name = "placement explain",
	    .argument = { { "FILE", NULL } },
	    .has_files = true,
	    .options = BIT(SOCKET) | BIT(SESSION) | BIT(AUDIT) | BIT(LIVE) | BIT(PROFILE) |
		BIT(HINT) | BIT(LATENCY),
	    .run = run_placement_explain,
	    .tell = NULL,
	    .request = "explain_placement",
	    .help = "why a session is where it is, or where one would be" },
	{ .name = "config check",
	    .options = BIT(POLICY) | BIT(NODES) | BIT(ORIGINS) | BIT(NODE),
	    .run = run_config_check,
	    .help = "check the files of the service" },
	{ .name = "log verbose",
	    ONE("on|off", NULL),
	    .options = BIT(SOCKET),
	    .run = run_log_verbose,
	    .request = "log_verbose",
	    .tell = tell_verbose,
	    .help = "log what developers look at, or no more" },
	{ .name = "completion",
	    ONE("SHELL", NULL),
	    .run = run_completion,
	    .help = "print the completion of bash, zsh or fish" },
};
const size_t fogctl_command_count = COUNT_OF(fogctl_commands);

const char *
wish_value(const struct fogctl_wish *w, enum fogctl_option_id option)
{
	const struct fogctl_values *v = &w->option[option];

	return v->n > 0 ? v->value[v->n - 1] : NULL;
}

bool
wish_has(const struct fogctl_wish *w, enum fogctl_option_id option)
{
	return w->option[option].n > 0;
}

/* --- the usage --- */

#define SHOWN_SIZE 96

static void
show_command(const struct fogctl_command *c, char out[static SHOWN_SIZE])
{
	int at = snprintf(out, SHOWN_SIZE, "%s", c->name);

	for (int i = 0; i < FOGCTL_ARGUMENTS_MAX && c->argument[i].shown; i++)
		at += snprintf(out + at, SHOWN_SIZE - (size_t)at, i < c->least ? " %s" : " [%s]",
		    c->argument[i].shown);
}

static void
print_command(FILE *out, const struct fogctl_command *c)
{
	char line[SHOWN_SIZE];

	show_command(c, line);
	fprintf(out, "  %-32s  %s\n", line, c->help);
}

static void
print_usage(FILE *out)
{
	fprintf(out,
	    "usage: fogctl COMMAND [OPTION...] [ARGUMENT...]\n"
	    "       fogctl image COMMAND ...  (without a service: fogctl image --help)\n"
	    "       fogctl node COMMAND ...   (without a service: fogctl node --help)\n\n"
	    "Commands:\n");
	for (size_t i = 0; i < fogctl_command_count; i++)
		print_command(out, &fogctl_commands[i]);
	fprintf(out, "\nOptions:\n");
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct fogctl_option *o = &fogctl_options[i].shown;
		char line[80];

		snprintf(line, sizeof(line), "--%s%s%s", o->name, o->argument ? " " : "",
		    o->argument ? o->argument : "");
		fprintf(out, "  %-32s  %s\n", line, o->help);
	}
}

int
usage_error(const char *what, const char *which)
{
	fprintf(stderr, "fogctl: %s%s", what, which ? ": " : "");
	put_text(stderr, which ? which : "");
	fprintf(stderr, "\nTry: fogctl --help\n");
	return EXIT_USAGE;
}

/* --- the command line --- */

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

/* 0, or EXIT_USAGE: an option that the command would not look at says something else was meant. */
static int
check_options(const struct fogctl_wish *w)
{
	for (int i = 0; i < OPTION_COUNT; i++) {
		char text[120];

		if (w->option[i].n == 0 || (w->command->options | EVERYWHERE) & UINT32_C(1) << i)
			continue;
		snprintf(text, sizeof(text), "--%s is no option of", fogctl_options[i].shown.name);
		return usage_error(text, w->command->name);
	}
	return 0;
}

/* Of a command of two words the second may be what is wrong: then those that there are, are named. */
static int
refuse_words(const char *word)
{
	size_t len = strlen(word);
	char text[160];
	int at = 0;

	for (size_t i = 0; i < fogctl_command_count && (size_t)at < sizeof(text); i++) {
		const char *name = fogctl_commands[i].name;

		if (strncmp(name, word, len) == 0 && name[len] == ' ')
			at += snprintf(text + at, sizeof(text) - (size_t)at, "%s %s",
			    at ? "," : "there is no such command; there are", name);
	}
	return at ? usage_error(text, NULL) : usage_error("there is no such command", word);
}

static int
refuse_count(const struct fogctl_command *c)
{
	char line[SHOWN_SIZE];

	show_command(c, line);
	return usage_error("wrong number of arguments; it is", line);
}

static int
find_command(struct fogctl_wish *w, char **words, int count)
{
	int used = 0;

	if (count == 0)
		return usage_error("a command is needed", NULL);
	if (strcmp(words[0], "image") == 0 || strcmp(words[0], "node") == 0)
		return usage_error("its options stand behind it", words[0]);
	for (size_t i = 0; used == 0 && i < fogctl_command_count; i++) {
		used = match_name(fogctl_commands[i].name, words, count);
		w->command = &fogctl_commands[i];
	}
	if (used == 0)
		return refuse_words(words[0]);
	w->arguments = words + used;
	w->n_arguments = count - used;
	if (w->n_arguments < w->command->least || w->n_arguments > count_arguments(w->command))
		return refuse_count(w->command);
	return check_options(w);
}

static int
take_option(struct fogctl_wish *w, int option, const char *value)
{
	struct fogctl_values *v = &w->option[option];

	if (v->n == fogctl_options[option].most)
		return usage_error("given too often", fogctl_options[option].shown.name);
	v->value[v->n++] = value ? value : "";
	return 0;
}

/* 0, or EXIT_USAGE. */
static int
read_options(int argc, char **argv, struct fogctl_wish *w)
{
	struct option long_options[OPTION_COUNT + 1] = { 0 };
	int option, status = 0;

	for (int i = 0; i < OPTION_COUNT; i++)
		long_options[i] = (struct option){ fogctl_options[i].shown.name,
			fogctl_options[i].shown.argument ? required_argument : no_argument, NULL,
			i };
	while (status == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == '?') {
			fprintf(stderr, "Try: fogctl --help\n");
			return EXIT_USAGE;
		}
		status = take_option(w, option, optarg);
	}
	return status;
}

/* A script that reads half an answer has to know: whatever the exit status would have been. */
static void
check_output(void)
{
	bool failed = ferror(stdout) != 0;

	if (fflush(stdout) == 0 && !failed)
		return;
	fputs("fogctl: standard output cannot be written\n", stderr);
	_exit(EXIT_NO_OUTPUT);
}

int
main(int argc, char **argv)
{
	struct fogctl_wish wish = { 0 };
	int status;

	atexit(check_output);

	/* Their options are their own. */
	if (argc > 1 && strcmp(argv[1], "image") == 0)
		return image_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "node") == 0)
		return node_main(argc - 1, argv + 1);
	status = read_options(argc, argv, &wish);
	if (status == 0 && wish_has(&wish, OPTION_HELP)) {
		print_usage(stdout);
		return EXIT_DONE;
	}
	if (status == 0 && wish_has(&wish, OPTION_VERSION)) {
		printf("fogctl %s\n", FOG_VERSION);
		return EXIT_DONE;
	}
	if (status == 0)
		status = find_command(&wish, argv + optind, argc - optind);
	if (status == 0 && json_init() != 0)
		status = EXIT_REFUSED;
	return status ? status : wish.command->run(&wish);
}
