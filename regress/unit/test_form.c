/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/form.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "gatewayd/form.h"

#define BYTES(text) text, sizeof(text) - 1

static const struct {
	const char *body;
	size_t len;
	enum form_verdict verdict;
	const char *value;
} cases[] = {
	{ BYTES("t=a.b-c_d"), FORM_FOUND, "a.b-c_d" },
	{ BYTES("t="), FORM_FOUND, "" },
	{ BYTES("x=1&t=abc&y=2"), FORM_FOUND, "abc" },
	{ BYTES("x=1&x=2&t=abc"), FORM_FOUND, "abc" },
	{ BYTES("t=a%2Eb%2ec"), FORM_FOUND, "a.b.c" },
	{ BYTES("t=a+b%2Bc"), FORM_FOUND, "a b+c" },
	{ BYTES("%74=abc"), FORM_FOUND, "abc" },
	{ BYTES("t=a=b=="), FORM_FOUND, "a=b==" },
	{ BYTES("t=%c3%a9~!*'()"), FORM_FOUND, "\xc3\xa9~!*'()" },
	{ BYTES("t=a;u=b"), FORM_FOUND, "a;u=b" },
	{ BYTES(""), FORM_MISSING, NULL },
	{ BYTES("T=abc"), FORM_MISSING, NULL },
	{ BYTES("tt=abc&xt=1"), FORM_MISSING, NULL },
	{ BYTES("t%00=abc"), FORM_MISSING, NULL },
	{ BYTES("t=a&t=a"), FORM_REPEATED, NULL },
	{ BYTES("t=a&%74=b"), FORM_REPEATED, NULL },
	{ BYTES("t=a&t="), FORM_REPEATED, NULL },
	{ BYTES("t"), FORM_MALFORMED, NULL },
	{ BYTES("t=a&x"), FORM_MALFORMED, NULL },
	{ BYTES("=a"), FORM_MALFORMED, NULL },
	{ BYTES("t=a&"), FORM_MALFORMED, NULL },
	{ BYTES("&t=a"), FORM_MALFORMED, NULL },
	{ BYTES("t=a&&x=1"), FORM_MALFORMED, NULL },
	{ BYTES("&"), FORM_MALFORMED, NULL },
	{ BYTES("t=%"), FORM_MALFORMED, NULL },
	{ BYTES("t=%2"), FORM_MALFORMED, NULL },
	{ BYTES("t=%2&x=1"), FORM_MALFORMED, NULL },
	{ BYTES("t=%2g"), FORM_MALFORMED, NULL },
	{ BYTES("t=%g2"), FORM_MALFORMED, NULL },
	{ BYTES("t=a b"), FORM_MALFORMED, NULL },
	{ BYTES("t=a\r\n"), FORM_MALFORMED, NULL },
	{ BYTES("t=a\0b"), FORM_MALFORMED, NULL },
	{ BYTES("t=\xc3\xa9"), FORM_MALFORMED, NULL },
	{ BYTES("t=a&x=\x7f"), FORM_MALFORMED, NULL },
	{ BYTES("{\"t\":\"a\"}"), FORM_MALFORMED, NULL },
};

/* A copy of the exact size, so that a sanitizer sees a read past its end. */
static char *
copy_of(const char *body, size_t len)
{
	char *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, body, len);
	return copy;
}

static void
reads_one_member(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char *body = copy_of(cases[i].body, cases[i].len);
		struct view out = { 0 };
		enum form_verdict verdict = form_find(body, cases[i].len, "t", &out);

		if (verdict != cases[i].verdict)
			fail_msg("%u for: %s", verdict, cases[i].body);
		if (verdict == FORM_FOUND)
			assert_true(view_is(out, cases[i].value));
		free(body);
	}
}

static void
a_decoded_nul_is_only_a_byte(void **state)
{
	char body[] = "t=a%00b";
	struct view out;

	(void)state;
	assert_int_equal(form_find(body, sizeof(body) - 1, "t", &out), FORM_FOUND);
	assert_int_equal(out.len, 3);
	assert_memory_equal(out.p, "a\0b", 3);
}

static void
bounds_the_pairs(void **state)
{
	char body[4 * (FORM_PAIRS_MAX + 1)];
	struct view out;
	size_t len = 0;

	(void)state;
	assert_int_equal(form_find(NULL, 0, "t", &out), FORM_MISSING);
	for (unsigned pairs = 1; pairs <= FORM_PAIRS_MAX + 1; pairs++) {
		if (len > 0)
			body[len - 1] = '&';
		memcpy(body + len, pairs == 1 ? "t=1" : "x=1", 4);
		/* What was decoded before stays as it is: there is nothing to decode. */
		assert_int_equal(form_find(body, len + 3, "t", &out),
		    pairs <= FORM_PAIRS_MAX ? FORM_FOUND : FORM_MALFORMED);
		len += 4;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_one_member),
		cmocka_unit_test(a_decoded_nul_is_only_a_byte),
		cmocka_unit_test(bounds_the_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
