/* SPDX-License-Identifier: MIT */
/*
 * fogctl, the client of the control socket: one JSON object in one line there, one back
 * (placerd/control.h). All options and commands stand in two tables, which the usage and the shell
 * completion are made from.
 */
#ifndef FOGCTL_FOGCTL_H
#define FOGCTL_FOGCTL_H

#include <stddef.h>

#define FOGCTL_SOCKET "/run/cloudshell-fog/control.sock"
#define FOGCTL_ARGUMENTS_MAX 2

/* Scripts rely on these. */
enum fogctl_exit { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_NO_SERVICE = 3 };

struct json_t;

struct fogctl_option {
	const char *name;     /* without "--" */
	const char *argument; /* NULL: takes none */
	const char *help;
};

struct fogctl_argument {
	const char *shown;  /* in the usage */
	const char *member; /* of the request */
};

struct fogctl_command {
	const char *name;                                      /* its words, a space between */
	struct fogctl_argument argument[FOGCTL_ARGUMENTS_MAX]; /* shown NULL: no more */
	const char *request;                                   /* "command" of the request */
	/* Says to a person what the answer says. 0, or -1: it lacks what it should have. */
	int (*tell)(struct json_t *answer, char **arguments);
	const char *help;
};

/*
 * Sends one line and gives the answer's, without its newline; free() it. NULL: said on stderr what
 * is wrong and what would be right; no service.
 */
char *client_ask(const char *path, const char *request, size_t len);

#endif
