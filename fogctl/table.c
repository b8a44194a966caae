/* SPDX-License-Identifier: MIT */
/* Tables on a terminal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "fogctl/command.h"

struct table {
	size_t columns, cells, room;
	char **cell; /* row by row, the headings first */
	bool is_short;
};

void
put_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text >= ' ' && *text <= '~')
			putc(*text, out);
		else
			fprintf(out, "\\x%02x", (unsigned char)*text);
	}
}

/* As put_text would write it; NULL: no memory. */
static char *
escape(const char *text)
{
	char *out = malloc(strlen(text) * 4 + 1), *to = out;

	for (; out && *text; text++) {
		if (*text >= ' ' && *text <= '~')
			*to++ = *text;
		else
			to += sprintf(to, "\\x%02x", (unsigned char)*text);
	}
	if (out)
		*to = '\0';
	return out;
}

static int
grow(struct table *t)
{
	size_t room = t->room ? t->room * 2 : 64;
	char **cell = reallocarray(t->cell, room, sizeof(*cell));

	if (!cell)
		return -1;
	t->cell = cell;
	t->room = room;
	return 0;
}

void
table_add(struct table *t, const char *text)
{
	if (!t)
		return;
	if (t->cells == t->room && grow(t) != 0) {
		t->is_short = true;
		return;
	}
	t->cell[t->cells] = escape(text && *text ? text : "-");
	if (t->cell[t->cells])
		t->cells++;
	else
		t->is_short = true;
}

struct table *
table_new(const char *const headings[])
{
	struct table *t = calloc(1, sizeof(*t));

	for (; t && headings[t->columns]; t->columns++)
		table_add(t, headings[t->columns]);
	return t;
}

static void
put_scalar(FILE *out, const json_t *value)
{
	if (json_is_string(value))
		fputs(json_string_value(value), out);
	else if (json_is_integer(value))
		fprintf(out, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		fputs(json_is_true(value) ? "yes" : "no", out);
}

void
table_add_value(struct table *t, const json_t *value)
{
	cleanup_free char *text = NULL;
	size_t len = 0, i;
	FILE *out = open_memstream(&text, &len);
	const json_t *item;

	if (!out) {
		if (t)
			t->is_short = true;
		return;
	}
	if (json_is_array(value)) {
		json_array_foreach(value, i, item) {
			if (i > 0)
				putc(' ', out);
			put_scalar(out, item);
		}
	} else {
		put_scalar(out, value);
	}
	if (fclose(out) == 0)
		table_add(t, text);
}

static void
print_rows(const struct table *t, const size_t width[])
{
	for (size_t i = 0; i < t->cells; i++) {
		bool is_last = (i + 1) % t->columns == 0;

		printf("%-*s%s", is_last ? 0 : (int)width[i % t->columns], t->cell[i],
		    is_last ? "\n" : "  ");
	}
}

void
table_drop(struct table *t)
{
	for (size_t i = 0; t && i < t->cells; i++)
		free(t->cell[i]);
	if (t)
		free(t->cell);
	free(t);
}

int
table_print(struct table *t)
{
	size_t width[TABLE_COLUMNS_MAX] = { 0 };
	int rc;

	if (!t)
		return -1;
	for (size_t i = 0; i < t->cells; i++) {
		size_t len = strlen(t->cell[i]);

		if (len > width[i % t->columns])
			width[i % t->columns] = len;
	}
	rc = t->is_short ? -1 : 0;
	if (rc == 0)
		print_rows(t, width);
	table_drop(t);
	return rc;
}

/* An object has as many levels as our answers have, and json_parse_strict has bounded them. */
static void
add_members(struct table *t, const json_t *obj, const char *before)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)obj, name, value) {
		cleanup_free char *path = NULL;

		if (asprintf(&path, "%s%s%s", before, *before ? "." : "", name) < 0) {
			path = NULL;
			continue;
		}
		if (json_is_object(value)) {
			add_members(t, value, path);
			continue;
		}
		table_add(t, path);
		table_add_value(t, value);
	}
}

int
table_print_members(const json_t *obj)
{
	static const char *const headings[] = { "WHAT", "VALUE", NULL };
	struct table *t = table_new(headings);

	if (t)
		add_members(t, obj, "");
	return table_print(t);
}

/* jansson leaves DEL as it is, the one control character that is ASCII and above the others. */
static int
put_some(const char *bytes, size_t len, void *out)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == 0x7f)
			fputs("\\u007f", out);
		else
			putc(bytes[i], out);
	}
	return 0;
}

int
put_json(const json_t *obj)
{
	if (!obj ||
	    json_dump_callback(obj, put_some, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) != 0)
		return -1;
	putchar('\n');
	return 0;
}

int
json_print(json_t *obj, int status)
{
	int rc = put_json(obj);

	json_decref(obj);
	if (rc == 0)
		return status;
	fprintf(stderr, "fogctl: out of memory\n");
	return EXIT_REFUSED;
}
