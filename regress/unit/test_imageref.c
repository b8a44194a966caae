/* SPDX-License-Identifier: MIT */
/* Tests of common/imageref.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/cleanup.h"
#include "common/imageref.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NAME_64 "a234567890123456789012345678901234567890123456789012345678901234"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static const struct {
	const char *text;
	const char *wrong; /* part of it; NULL: it is right */
} rows[] = {
	{ "sha256:" HEX, NULL },
	{ "a@sha256:" HEX, NULL },
	{ "debian-12.base_x@sha256:" HEX, NULL },
	{ NAME_64 "@sha256:" HEX, NULL },
	{ "", "a digest is needed" },
	{ "base", "a digest is needed" },
	{ "base:latest", "a digest is needed" },
	{ "SHA256:" HEX, "a digest is needed" },
	{ HEX, "a digest is needed" },
	{ "registry.example/base:1", "a digest is needed" },
	{ "base@", "a digest is sha256:" },
	{ "base@latest", "a digest is sha256:" },
	{ "base@" HEX, "a digest is sha256:" },
	{ "base@sha256:", "a digest is sha256:" },
	{ "base@sha512:" HEX, "a digest is sha256:" },
	{ "base@sha256:" HEX "0", "a digest is sha256:" },
	{ "base@sha256:0" HEX "@", "a digest is sha256:" },
	{ "sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
	    "a digest is sha256:" },
	{ "sha256:g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	    "a digest is sha256:" },
	{ "sha256: 123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	    "a digest is sha256:" },
	{ "sha256:" HEX " ", "a digest is sha256:" },
	{ "sha256:" ZEROS, "a digest is sha256:" }, /* what stands for none */
	{ "@sha256:" HEX, "the name before the @" },
	{ "a@b@sha256:" HEX, "a digest is sha256:" },
	{ NAME_64 "5@sha256:" HEX, "the name before the @" },
	{ "Base@sha256:" HEX, "the name before the @" },
	{ "-base@sha256:" HEX, "the name before the @" },
	{ ".base@sha256:" HEX, "the name before the @" },
	{ "a..b@sha256:" HEX, "the name before the @" },
	{ "../b@sha256:" HEX, "the name before the @" },
	{ "a/b@sha256:" HEX, "the name before the @" },
	{ "base:12@sha256:" HEX, "the name before the @" },
	{ "b\xc3\xa4@sha256:" HEX, "the name before the @" },
};

static void
test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct raw32 digest = { { 0x77 } };
		const char *wrong = imageref_parse(view_of(rows[i].text), &digest);

		if ((wrong == NULL) != (rows[i].wrong == NULL) ||
		    (wrong && !strstr(wrong, rows[i].wrong)))
			fail_msg("\"%s\": %s", rows[i].text, wrong ? wrong : "taken");
		assert_int_equal(digest.b[0], wrong ? 0x77 : 0x01);
		assert_int_equal(digest.b[31], wrong ? 0 : 0xef);
	}
}

/* A request's text has no NUL behind it, and may have one inside. */
static void
test_views(void **state)
{
	static const char text[] = "sha256:" HEX;
	char longer[sizeof(text) + 1] = "sha256:" HEX "0", zero[] = "a\0b@sha256:" HEX;
	struct raw32 digest;

	(void)state;
	assert_null(imageref_parse(view_bytes(longer, sizeof(text) - 1), &digest));
	assert_non_null(imageref_parse(view_bytes(longer, sizeof(text) - 2), &digest));
	assert_non_null(imageref_parse(view_bytes(zero, sizeof(zero) - 1), &digest));
	assert_non_null(imageref_parse(view_bytes(NULL, 0), &digest));
}

static void
test_format(void **state)
{
	char out[IMAGEREF_DIGEST_TEXT_SIZE];
	struct raw32 digest = { { 0 } };

	(void)state;
	assert_true(imageref_is_none(&digest));
	assert_null(imageref_parse(view_of("x@sha256:" HEX), &digest));
	assert_false(imageref_is_none(&digest));
	imageref_format(&digest, out);
	assert_string_equal(out, "sha256:" HEX);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
