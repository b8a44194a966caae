/* SPDX-License-Identifier: MIT */
/* Tests of common/b64url.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/b64url.h"

static void
test_known_values(void **state)
{
	/*
	 * RFC 4648 10 without padding, and RFC 7515 C for the characters that base64 has otherwise.
	 */
	static const struct {
		const char *bytes, *text;
	} rows[] = {
		{ "", "" },
		{ "f", "Zg" },
		{ "fo", "Zm8" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg" },
		{ "fooba", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy" },
		{ "\x03\xec\xff\xe0\xc1", "A-z_4ME" },
	};
	unsigned char bytes[16];
	char text[16];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		len = strlen(rows[i].bytes);
		assert_int_equal(b64url_encode(rows[i].bytes, len, text, sizeof(text)), 0);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(B64URL_TEXT_LEN(len), strlen(text));
		assert_int_equal(b64url_decode(text, strlen(text), bytes, sizeof(bytes), &len), 0);
		assert_int_equal(len, strlen(rows[i].bytes));
		assert_memory_equal(bytes, rows[i].bytes, len);
	}
}

static void
test_other_texts_are_refused(void **state)
{
	static const char *const rows[] = { "A", "Zm9vA", "Zg==", "Zm8=", "Zg=", "=", "Zm 9v",
		"Zm9v\n", "Zm9v ", "Zm+v", "Zm/v", "Zm9v.", "Zh", "Zm9", "Zm9vYmF", "Z\xc3\xa9v" };
	unsigned char bytes[16];
	size_t len = 99;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(b64url_decode(rows[i], strlen(rows[i]), bytes, sizeof(bytes),
				     &len),
		    -1);
		assert_int_equal(len, 99);
	}
	assert_int_equal(b64url_decode("Zm9v\0", 5, bytes, sizeof(bytes), &len), -1);
}

/* All texts of two and three characters of all bytes: what decodes is what encodes to it. */
static void
test_one_text_for_each_value(void **state)
{
	unsigned char bytes[4];
	char text[4], again[8];
	size_t len, accepted[4] = { 0 };

	(void)state;
	for (size_t n = 2; n <= 3; n++) {
		for (uint32_t v = 0; v < 1U << (n * 8); v += n == 2 ? 1 : 7) {
			text[0] = (char)v;
			text[1] = (char)(v >> 8);
			text[2] = (char)(v >> 16);
			if (b64url_decode(text, n, bytes, sizeof(bytes), &len) != 0)
				continue;
			accepted[n]++;
			assert_int_equal(b64url_encode(bytes, len, again, sizeof(again)), 0);
			assert_int_equal(strlen(again), n);
			assert_memory_equal(again, text, n);
		}
	}
	assert_int_equal(accepted[2], 256);
	assert_true(accepted[3] > 5000);
}

static void
test_room(void **state)
{
	unsigned char bytes[3];
	char text[5];
	size_t len;

	(void)state;
	assert_int_equal(b64url_encode("foo", 3, text, 5), 0);
	memset(text, '#', sizeof(text));
	assert_int_equal(b64url_encode("foo", 3, text, 4), -1);
	assert_int_equal(b64url_encode("foo", 3, text, 0), -1);
	assert_int_equal(b64url_encode("foo", SIZE_MAX, text, 5), -1);
	assert_int_equal(text[0], '#');
	assert_int_equal(b64url_decode("Zm9v", 4, bytes, 3, &len), 0);
	assert_int_equal(b64url_decode("Zm9v", 4, bytes, 2, &len), -1);
	assert_int_equal(b64url_decode("Zg", 2, bytes, 0, &len), -1);
	assert_int_equal(b64url_decode("Zg", 2, bytes, 1, &len), 0);
	assert_int_equal(b64url_decode("", 0, bytes, 0, &len), 0);
	assert_int_equal(len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_other_texts_are_refused),
		cmocka_unit_test(test_one_text_for_each_value),
		cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
