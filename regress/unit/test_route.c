/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/route.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/cleanup.h"
#include "gatewayd/route.h"

static const struct route rows[] = {
	{ "POST", "/v1/sessions", ROUTE_TOKEN | ROUTE_BODY, NULL },
	{ "GET", "/v1/sessions", ROUTE_TOKEN | ROUTE_HEAD, NULL },
	{ "GET", "/v1/sessions/{id}", ROUTE_HEAD, NULL },
	{ "DELETE", "/v1/sessions/{id}", 0, NULL },
	{ "POST", "/v1/sessions/{id}/attach", 0, NULL },
	{ "GET", "/v1/sessions/{id}/pty", 0, NULL },
};

static const struct {
	const char *method, *path;
	enum route_match match;
	int row;        /* of rows; -1: none */
	const char *id; /* NULL: none */
	const char *allow;
} cases[] = {
	{ "POST", "/v1/sessions", ROUTE_FOUND, 0, NULL, NULL },
	{ "GET", "/v1/sessions", ROUTE_FOUND, 1, NULL, NULL },
	{ "HEAD", "/v1/sessions", ROUTE_FOUND, 1, NULL, NULL },
	{ "GET", "/v1/sessions/abc", ROUTE_FOUND, 2, "abc", NULL },
	{ "GET", "/v1/sessions/{id}", ROUTE_FOUND, 2, "{id}", NULL },
	{ "DELETE", "/v1/sessions/abc", ROUTE_FOUND, 3, "abc", NULL },
	{ "POST", "/v1/sessions/abc/attach", ROUTE_FOUND, 4, "abc", NULL },
	{ "GET", "/v1/sessions/abc/pty", ROUTE_FOUND, 5, "abc", NULL },
	{ "PUT", "/v1/sessions", ROUTE_NO_METHOD, -1, NULL, "POST, GET, HEAD" },
	{ "get", "/v1/sessions", ROUTE_NO_METHOD, -1, NULL, "POST, GET, HEAD" },
	{ "HEAD", "/v1/sessions/abc/pty", ROUTE_NO_METHOD, -1, NULL, "GET" },
	{ "POST", "/v1/sessions/abc", ROUTE_NO_METHOD, -1, NULL, "GET, HEAD, DELETE" },
	{ "GET", "/", ROUTE_NO_PATH, -1, NULL, NULL },
	{ "GET", "", ROUTE_NO_PATH, -1, NULL, NULL },
	{ "GET", "/v1", ROUTE_NO_PATH, -1, NULL, NULL },
	{ "GET", "/v1/", ROUTE_NO_PATH, -1, NULL, NULL },
	{ "GET", "/v1/sessions/", ROUTE_NO_PATH, -1, NULL, NULL },
	{ "GET", "//v1/sessions", ROUTE_NO_PATH, -1, NULL, NULL },
	{ "GET", "/V1/sessions", ROUTE_NO_PATH, -1, NULL, NULL },
	{ "GET", "/v1/session", ROUTE_NO_PATH, -1, NULL, NULL },
	{ "GET", "/v1/sessions/abc/pty/", ROUTE_NO_PATH, -1, NULL, NULL },
	{ "GET", "/v1/sessions//pty", ROUTE_NO_PATH, -1, NULL, NULL },
	{ "GET", "/v1/sessions/a/b/c", ROUTE_NO_PATH, -1, NULL, NULL },
};

static void
finds_rows(void **state)
{
	const struct route *row;
	char allow[ROUTE_ALLOW_SIZE];
	struct view id;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum route_match match = route_find(rows, COUNT_OF(rows), view_of(cases[i].method),
		    view_of(cases[i].path), &row, &id, allow);

		if (match != cases[i].match)
			fail_msg("%s %s: %d", cases[i].method, cases[i].path, match);
		if (match == ROUTE_FOUND)
			assert_ptr_equal(row, &rows[cases[i].row]);
		if (match == ROUTE_FOUND && cases[i].id)
			assert_true(view_is(id, cases[i].id));
		else if (match == ROUTE_FOUND)
			assert_null(id.p);
		if (match == ROUTE_NO_METHOD)
			assert_string_equal(allow, cases[i].allow);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(finds_rows) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
