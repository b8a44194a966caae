/* SPDX-License-Identifier: MIT */
/* links: common/err.c */
/* Every error has a status, a code of its own and a public text; unknown numbers are internal. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/err.h"

static void
test_every_row(void **state)
{
	(void)state;
	for (int e = 1; e < FOG_E_COUNT; e++) {
		int status = err_http_status(e);

		assert_true(status >= 400 && status <= 599);
		assert_int_equal(err_http_status(-e), status);
		assert_string_equal(err_code(-e), err_code(e));
		assert_string_equal(err_title(-e), err_title(e));
		assert_true(strlen(err_title(e)) > 0);
		/* A member of problem+json that clients switch on. */
		assert_int_equal(strspn(err_code(e), "abcdefghijklmnopqrstuvwxyz_"),
		    strlen(err_code(e)));
		for (int other = 1; other < e; other++)
			assert_string_not_equal(err_code(e), err_code(other));
	}
	assert_int_equal(err_http_status(FOG_OK), 200);
}

static void
test_known(void **state)
{
	static const struct {
		int error, status;
		const char *code;
	} rows[] = {
		{ FOG_E_BAD_TOKEN, 401, "token_invalid" },
		{ FOG_E_DENIED, 403, "denied" },
		{ FOG_E_NO_SESSION, 404, "session_unknown" },
		{ FOG_E_QUOTA, 409, "too_many_sessions" },
		{ FOG_E_TTL, 422, "ttl_not_allowed" },
		{ FOG_E_UNAVAILABLE, 503, "unavailable" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(err_http_status(rows[i].error), rows[i].status);
		assert_string_equal(err_code(rows[i].error), rows[i].code);
	}
}

static void
test_unknown(void **state)
{
	static const int odd[] = { FOG_E_COUNT, -FOG_E_COUNT, 65535, INT_MAX, -INT_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(odd); i++) {
		assert_int_equal(err_http_status(odd[i]), 500);
		assert_string_equal(err_code(odd[i]), "internal");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
