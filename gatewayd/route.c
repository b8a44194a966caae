/* SPDX-License-Identifier: MIT */
/* Matching of method and path: see route.h. */
#include "gatewayd/route.h"

#include <stdio.h>
#include <string.h>

/* Takes "/segment" off the front. False at the end. */
static bool
next_segment(struct view *path, struct view *segment)
{
	const char *end;

	if (path->len == 0 || path->p[0] != '/')
		return false;
	*segment = view_bytes(path->p + 1, path->len - 1);
	end = memchr(segment->p, '/', segment->len);
	if (end)
		segment->len = (size_t)(end - segment->p);
	*path = view_bytes(segment->p + segment->len, path->len - 1 - segment->len);
	return true;
}

static bool
path_matches(const char *pattern, struct view path, struct view *id)
{
	struct view rest = view_of(pattern), want, have;

	*id = view_bytes(NULL, 0);
	while (next_segment(&rest, &want)) {
		if (!next_segment(&path, &have))
			return false;
		if (view_is(want, "{id}") && have.len > 0)
			*id = have;
		else if (!view_equal(want, have))
			return false;
	}
	return path.len == 0;
}

static bool
method_matches(const struct route *row, struct view method)
{
	return view_is(method, row->method) ||
	    ((row->flags & ROUTE_HEAD) && view_is(method, "HEAD"));
}

static void
add_allowed(char allow[static ROUTE_ALLOW_SIZE], const struct route *row)
{
	size_t used = strlen(allow);

	snprintf(allow + used, ROUTE_ALLOW_SIZE - used, "%s%s%s", used ? ", " : "", row->method,
	    row->flags & ROUTE_HEAD ? ", HEAD" : "");
}

enum route_match
route_find(const struct route *rows, size_t count, struct view method, struct view path,
    const struct route **row, struct view *id, char allow[static ROUTE_ALLOW_SIZE])
{
	struct view found;

	allow[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		if (!path_matches(rows[i].pattern, path, &found))
			continue;
		if (method_matches(&rows[i], method)) {
			*row = &rows[i];
			*id = found;
			return ROUTE_FOUND;
		}
		add_allowed(allow, &rows[i]);
	}
	return allow[0] ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}
