/* SPDX-License-Identifier: MIT */
/* From what dpkg says about the installed packages to those that a base image needs. */
#include "fogctl/image.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define COLUMNS 6

struct package {
	char *row; /* the columns point into it */
	const char *name, *full_name, *architecture;
	char *provides, *depends;
	bool wanted;
};

struct package_list {
	struct package *rows;
	size_t count, room;
};

/* They run a system, install software or let people in: a session does none of it. */
static const char *const left_out[] = { "adduser", "apt", "cdebconf", "debconf", "dpkg",
	"init-system-helpers", "install-info", "libpam-modules", "libpam-modules-bin",
	"libpam-runtime", "login", "man-db", "passwd", "sensible-utils", "systemd",
	"sysvinit-utils", "ucf", "udev", "xauth" };

struct package_list *
package_list_new(void)
{
	return calloc(1, sizeof(struct package_list));
}

void
package_list_free(struct package_list *l)
{
	for (size_t i = 0; l && i < l->count; i++)
		free(l->rows[i].row);
	if (l)
		free(l->rows);
	free(l);
}

static int
split_columns(char *row, char *column[static COLUMNS])
{
	for (int i = 0; i < COLUMNS; i++) {
		column[i] = row;
		row += strcspn(row, "\t");
		if (*row == '\t')
			*row++ = '\0';
		else if (i < COLUMNS - 1)
			return -1;
	}
	return 0;
}

static int
add_row(struct package_list *l, const struct package *p)
{
	if (l->count == l->room) {
		size_t room = l->room ? l->room * 2 : 256;
		struct package *rows = reallocarray(l->rows, room, sizeof(*rows));

		if (!rows)
			return -1;
		l->rows = rows;
		l->room = room;
	}
	l->rows[l->count++] = *p;
	return 0;
}

int
package_list_add(struct package_list *l, char *line)
{
	char *column[COLUMNS], *row = strdup(line);
	struct package p;

	if (!row || split_columns(row, column) != 0) {
		free(row);
		return -1;
	}
	p = (struct package){ row, column[2], column[3], column[1], column[4], column[5], false };
	if (strcmp(column[0], "installed") != 0) {
		free(row);
		return 0;
	}
	if (add_row(l, &p) != 0) {
		free(row);
		return -1;
	}
	return 0;
}

/* The length of a package's name in front of version, architecture and what follows. */
static size_t
name_length(const char *text)
{
	return strcspn(text, " (:|,");
}

static bool
same_name(const char *name, const char *text, size_t len)
{
	return strlen(name) == len && memcmp(name, text, len) == 0;
}

static bool
provides(const struct package *p, const char *name, size_t len)
{
	for (const char *at = p->provides; *at; at += strspn(at, ", ")) {
		size_t n = name_length(at);

		if (n == len && memcmp(at, name, n) == 0)
			return true;
		at += strcspn(at, ",");
	}
	return false;
}

/* dpkg itself is of the machine's own architecture; a foreign one's libraries are not for us. */
static bool
is_native(const struct package_list *l, const struct package *p)
{
	if (strcmp(p->architecture, "all") == 0)
		return true;
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->rows[i].name, "dpkg") == 0)
			return strcmp(l->rows[i].architecture, p->architecture) == 0;
	return true;
}

static struct package *
find(const struct package_list *l, const char *name, size_t len)
{
	for (size_t i = 0; i < l->count; i++)
		if (same_name(l->rows[i].name, name, len) && is_native(l, &l->rows[i]))
			return &l->rows[i];
	for (size_t i = 0; i < l->count; i++)
		if (provides(&l->rows[i], name, len) && is_native(l, &l->rows[i]))
			return &l->rows[i];
	return NULL;
}

static bool
is_left_out(const struct package *p)
{
	for (size_t i = 0; i < COUNT_OF(left_out); i++)
		if (strcmp(p->name, left_out[i]) == 0)
			return true;
	return false;
}

/* The first of the alternatives "a (>= 1) | b" that is installed. */
static struct package *
choose(const struct package_list *l, const char *clause, size_t len)
{
	for (const char *at = clause; at < clause + len; at++) {
		struct package *p;

		at += strspn(at, " ");
		p = find(l, at, name_length(at));
		if (p)
			return p;
		at += strcspn(at, "|,");
	}
	return NULL;
}

/* Marks what p depends on. true: there was something new. */
static bool
want_dependencies(const struct package_list *l, const struct package *p)
{
	bool news = false;

	for (const char *at = p->depends; *at; at += strspn(at, ", ")) {
		size_t len = strcspn(at, ",");
		struct package *needed = choose(l, at, len);

		if (needed && !needed->wanted && !is_left_out(needed)) {
			needed->wanted = true;
			news = true;
		}
		at += len;
	}
	return news;
}

bool
package_list_want(struct package_list *l, const char *name)
{
	struct package *p = find(l, name, strlen(name));
	bool news = true;

	if (!p)
		return false;
	p->wanted = true;
	while (news) {
		news = false;
		for (size_t i = 0; i < l->count; i++)
			if (l->rows[i].wanted)
				news |= want_dependencies(l, &l->rows[i]);
	}
	return true;
}

char **
package_list_wanted(const struct package_list *l)
{
	char **names = calloc(l->count + 1, sizeof(*names));
	size_t n = 0;

	for (size_t i = 0; names && i < l->count; i++)
		if (l->rows[i].wanted)
			names[n++] = (char *)l->rows[i].full_name;
	return names;
}
