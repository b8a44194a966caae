/* SPDX-License-Identifier: MIT */
/*
 * What a running service is asked over its control socket (placerd/control.h), and what is worked
 * out here from files by the very functions of placerd. All options and commands stand in two tables
 * (main.c), which the usage and the completion of shells are made from. `image` and `node` have
 * tables of their own.
 */
#ifndef FOGCTL_COMMAND_H
#define FOGCTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fogctl/fogctl.h"

#define FOGCTL_SOCKET "/run/cloudshell-fog/control.sock"
#define FOGCTL_POLICY "/etc/cloudshell-fog/policy.yaml"
#define FOGCTL_ARGUMENTS_MAX 2
#define FOGCTL_VALUES_MAX 64             /* of an option that may be repeated */
#define FOGCTL_LINE_MAX_BYTES (1u << 20) /* of the audit log */

enum fogctl_option_id {
	OPTION_JSON,
	OPTION_SOCKET,
	OPTION_PROFILE,
	OPTION_GROUP,
	OPTION_TTL,
	OPTION_IMAGE,
	OPTION_SESSIONS,
	OPTION_RUNTIME,
	OPTION_HINT,
	OPTION_LATENCY,
	OPTION_LIVE,
	OPTION_AUDIT,
	OPTION_SESSION,
	OPTION_POLICY,
	OPTION_NODES,
	OPTION_ORIGINS,
	OPTION_NODE,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_COUNT
};

enum fogctl_value { VALUE_NONE, VALUE_TEXT, VALUE_FILE };

struct fogctl_option_row {
	struct fogctl_option shown;
	enum fogctl_value value; /* what a shell completes */
	size_t most;             /* how often it may be given */
};

struct fogctl_argument {
	const char *shown;  /* in the usage */
	const char *member; /* of the request; NULL: the command reads it itself */
};

struct json_t;
struct fogctl_wish;

struct fogctl_command {
	const char *name;                                      /* its words, a space between */
	struct fogctl_argument argument[FOGCTL_ARGUMENTS_MAX]; /* shown NULL: no more */
	int least;                                             /* arguments that are needed */
	uint32_t options; /* 1u << enum fogctl_option_id, beside those of every command */
	bool has_files;   /* its first argument is one */
	/* Returns enum fogctl_exit. */
	int (*run)(const struct fogctl_wish *w);
	const char *request; /* "command" of the request, for run_remote */
	const char *rows;    /* of a list: the member of each line that has a row */
	/* Says to a person what the answer says. 0, or -1: it lacks what it should have. */
	int (*tell)(struct json_t *answer, char **arguments);
	const char *help;
};

struct fogctl_values {
	const char *value[FOGCTL_VALUES_MAX];
	size_t n;
};

/* What the line says, as it was understood. */
struct fogctl_wish {
	const struct fogctl_command *command;
	char **arguments;
	int n_arguments;
	struct fogctl_values option[OPTION_COUNT];
};

/* The last value given; NULL: none. */
const char *wish_value(const struct fogctl_wish *w, enum fogctl_option_id option);
bool wish_has(const struct fogctl_wish *w, enum fogctl_option_id option);

/* --- main.c --- */

extern const struct fogctl_option_row fogctl_options[OPTION_COUNT];
extern const struct fogctl_command fogctl_commands[];
extern const size_t fogctl_command_count;

/* Says what is wrong on stderr, which may be NULL. Always EXIT_USAGE. */
int usage_error(const char *what, const char *which);

/* --- client.c --- */

/*
 * Sends one line and gives each line of the answer, without its newline, to on_line: it returns 0
 * when that was the last, 1 to wait for the next, -2 to give up. Returns 0, -2, or EXIT_NO_SERVICE
 * or EXIT_NO_RIGHTS: said on stderr what is wrong and what would be right.
 */
typedef int client_line_fn(void *arg, const char *line, size_t len);
int client_ask(const char *path, const char *request, size_t len, client_line_fn *on_line,
    void *arg);

/* --- remote.c: commands that ask the service --- */

int run_remote(const struct fogctl_wish *w);
/* Asks with this request, which is taken. *answer is for json_release, and set on EXIT_DONE alone. */
int remote_ask(const struct fogctl_wish *w, struct json_t *request, struct json_t **answer);
int tell_ping(struct json_t *answer, char **arguments);
int tell_members(struct json_t *answer, char **arguments);
int tell_session(struct json_t *answer, char **arguments);
int tell_sessions(struct json_t *answer, char **arguments);
int tell_nodes(struct json_t *answer, char **arguments);
int tell_killed(struct json_t *answer, char **arguments);
int tell_subject(struct json_t *answer, char **arguments);
int tell_drained(struct json_t *answer, char **arguments);
int tell_cordoned(struct json_t *answer, char **arguments);
int tell_verbose(struct json_t *answer, char **arguments);
int run_log_verbose(const struct fogctl_wish *w);

/* --- policy.c, placement.c: commands about files --- */

int run_policy_check(const struct fogctl_wish *w);
int run_policy_explain(const struct fogctl_wish *w);
int run_policy_replay(const struct fogctl_wish *w);
int run_config_check(const struct fogctl_wish *w);
int run_placement_explain(const struct fogctl_wish *w);

/* --- measure.c --- */

int run_nodes_measure(const struct fogctl_wish *w);

/* --- completion.c --- */

int run_completion(const struct fogctl_wish *w);

/* --- files.c --- */

/* A whole file of at most max bytes, "-": stdin; free() it. NULL: *status says why, and so it said. */
char *file_read(const char *name, size_t max, size_t *len, int *status);

/*
 * Walks the lines of an audit log that are JSON objects with this member: on_line gets each, borrowed,
 * and returns 0 to go on. A piece of a line, as a power failure leaves it, is told of and left out; a
 * file that has another line which is none is refused by its number. Returns
 * EXIT_DONE, what on_line returned otherwise, or another exit status that has been explained.
 */
typedef int audit_line_fn(void *arg, size_t number, const struct json_t *line);
int audit_walk(const char *name, const char *member, audit_line_fn *on_line, void *arg);

/* --- table.c: for people --- */

#define TABLE_COLUMNS_MAX 12

struct table;

/* headings: NULL-terminated. NULL: no memory. */
struct table *table_new(const char *const headings[]);
/* The next cell of the row, copied; NULL reads as "-". */
void table_add(struct table *t, const char *text);
void table_add_value(struct table *t, const struct json_t *value); /* a list: its items */
/* Prints to stdout and frees. 0, or -1: memory was short somewhere. */
int table_print(struct table *t);
void table_drop(struct table *t); /* unprinted; NULL is fine */
/* A table of the members of an object, with those of the objects in it, in two columns. */
int table_print_members(const struct json_t *obj);

/* Prints one JSON object, which is taken, in a line. Returns status, or EXIT_REFUSED: no memory. */
int json_print(struct json_t *obj, int status);

#endif
