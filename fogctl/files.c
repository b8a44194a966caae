/* SPDX-License-Identifier: MIT */
/* The files of an administrator. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "fogctl/command.h"

static int
refuse_file(const char *name, int error)
{
	fputs("fogctl: ", stderr);
	put_text(stderr, name);
	fprintf(stderr, ": %s\n", strerror(error));
	return error == EACCES || error == EPERM ? EXIT_NO_RIGHTS : EXIT_USAGE;
}

static FILE *
open_file(const char *name, int *status)
{
	FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");

	if (!f)
		*status = refuse_file(name, errno);
	return f;
}

static void
close_file(FILE *f)
{
	if (f != stdin)
		fclose(f);
}

char *
file_read(const char *name, size_t max, size_t *len, int *status)
{
	FILE *f = open_file(name, status);
	char *bytes = f ? malloc(max + 1) : NULL;
	size_t n = 0;
	int error = ENOMEM;

	if (!f)
		return NULL;
	if (bytes) {
		n = fread(bytes, 1, max + 1, f);
		error = ferror(f) ? errno : n > max ? EFBIG : 0;
	}
	close_file(f);
	if (error != 0) {
		*status = refuse_file(name, error);
		free(bytes);
		return NULL;
	}
	*len = n;
	return bytes;
}

struct walk {
	const char *name, *member;
	audit_line_fn *on_line;
	void *arg;
};

static int
refuse_line(const char *name, size_t number, const char *why)
{
	fputs("fogctl: ", stderr);
	put_text(stderr, name);
	fprintf(stderr, ":%zu: %s\n", number, why);
	return EXIT_USAGE;
}

/*
 * What a placerd that was killed within a write, or a machine that stopped there, has left: it begins
 * as each line of placerd's does, or with the zeroes of a file system that had no more (R7).
 */
static bool
is_torn(const char *line, size_t len)
{
	static const char start[] = "{\"time\":\"";
	size_t n = len < sizeof(start) - 1 ? len : sizeof(start) - 1;

	return line[0] == '\0' || memcmp(line, start, n) == 0;
}

static void
tell_torn(const char *name, size_t number)
{
	fputs("fogctl: ", stderr);
	put_text(stderr, name);
	fprintf(stderr, ":%zu: a piece of a line, which is left out\n", number);
}

/* A line that another version wrote may have members we do not know, but it is an object. */
static int
take_line(const struct walk *w, size_t number, const char *line, size_t len)
{
	struct json_error_text err;
	json_t *obj;
	int status = EXIT_DONE;

	if (len == 0)
		return EXIT_DONE;
	if (json_parse_strict(line, len, JSON_DEPTH_DEFAULT, &obj, &err) != 0) {
		char why[JSON_ERROR_MESSAGE_SIZE + 80];

		if (is_torn(line, len)) {
			tell_torn(w->name, number);
			return EXIT_DONE;
		}
		snprintf(why, sizeof(why), "no line of an audit log, which is a JSON object: %s",
		    err.text);
		return refuse_line(w->name, number, why);
	}
	if (json_object_get(obj, w->member))
		status = w->on_line(w->arg, number, obj);
	json_release(obj);
	return status;
}

/* The next line without its newline, in FOGCTL_LINE_MAX_BYTES. 1, 0 at the end, -1: it is longer. */
static int
read_line(FILE *f, char *line, size_t *len)
{
	size_t n = 0;
	int c;

	while ((c = getc_unlocked(f)) != EOF && c != '\n') {
		if (n == FOGCTL_LINE_MAX_BYTES)
			return -1;
		line[n++] = (char)c;
	}
	*len = n;
	return c != EOF || n > 0;
}

static int
walk_lines(const struct walk *w, FILE *f, char *line)
{
	int status = EXIT_DONE, more = 1;
	size_t number = 0, len;

	while (status == EXIT_DONE && (more = read_line(f, line, &len)) > 0)
		status = take_line(w, ++number, line, len);
	if (more < 0)
		return refuse_line(w->name, number + 1, "the line is longer than 1048576 bytes");
	return status == EXIT_DONE && ferror(f) ? refuse_file(w->name, errno) : status;
}

int
audit_walk(const char *name, const char *member, audit_line_fn *on_line, void *arg)
{
	static char line[FOGCTL_LINE_MAX_BYTES];
	const struct walk w = { name, member, on_line, arg };
	int status = EXIT_DONE;
	FILE *f = open_file(name, &status);

	if (!f)
		return status;
	status = walk_lines(&w, f, line);
	close_file(f);
	return status;
}
