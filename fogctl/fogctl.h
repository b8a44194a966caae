/* SPDX-License-Identifier: MIT */
/* What all of fogctl, the command of administrators, shares; command.h has its commands. */
#ifndef FOGCTL_FOGCTL_H
#define FOGCTL_FOGCTL_H

#include <stdio.h>

/* Scripts rely on these. */
enum fogctl_exit {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1, /* by the service or by policy; or there is a difference */
	EXIT_USAGE = 2,   /* the command line, or a file, is wrong */
	EXIT_NO_SERVICE = 3,
	EXIT_NO_RIGHTS = 4, /* this user may not use the socket, or read the file */
	EXIT_NO_OUTPUT = 5  /* what was to be printed could not be written */
};

struct fogctl_option {
	const char *name;     /* without "--" */
	const char *argument; /* NULL: takes none */
	const char *help;
};

/* Of somebody else's, onto an operator's terminal: what could be a command to that is spelled out. */
void put_text(FILE *out, const char *text);

struct json_t;

/*
 * One JSON object in a line on stdout, borrowed: of ASCII, and every control character in it escaped.
 * 0, or -1: no memory.
 */
int put_json(const struct json_t *obj);

#endif
