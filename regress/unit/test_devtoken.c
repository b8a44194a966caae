/* SPDX-License-Identifier: MIT */
/* Tests of authd/devtoken.c. links: authd/devtoken.c */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "authd/devtoken.h"

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void
test_good_tokens(void **state)
{
	static const struct {
		const char *token, *subject;
		size_t group_count;
		const char *groups[3];
	} rows[] = {
		{ "alice", "alice", 0, { NULL } },
		{ "alice+admins+power-users", "alice", 2, { "admins", "power-users" } },
		{ "a+b+c+d", "a", 3, { "b", "c", "d" } },
		{ "alice+alice", "alice", 1, { "alice" } },
		{ "alice@example.org+Dev_Ops.1", "alice@example.org", 1, { "Dev_Ops.1" } },
		{ "x+A+a", "x", 2, { "A", "a" } },
		{ A63 "b+" A63 "c", A63 "b", 1, { A63 "c" } },
	};
	struct devtoken token;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(devtoken_parse(rows[i].token, strlen(rows[i].token), &token), 0);
		assert_string_equal(token.subject, rows[i].subject);
		assert_int_equal(token.group_count, rows[i].group_count);
		for (size_t g = 0; g < token.group_count; g++)
			assert_string_equal(token.groups[g], rows[i].groups[g]);
	}
}

static void
test_bad_tokens(void **state)
{
	static const struct {
		const char *token;
		int error;
	} rows[] = {
		{ "", -DEVTOKEN_E_EMPTY },
		{ "+", -DEVTOKEN_E_EMPTY_PART },
		{ "+admins", -DEVTOKEN_E_EMPTY_PART },
		{ "alice+", -DEVTOKEN_E_EMPTY_PART },
		{ "alice++admins", -DEVTOKEN_E_EMPTY_PART },
		{ "alice+admins+", -DEVTOKEN_E_EMPTY_PART },
		{ A63 "bb", -DEVTOKEN_E_PART_LENGTH },
		{ "alice+" A63 "bb", -DEVTOKEN_E_PART_LENGTH },
		{ "alice+admins+admins", -DEVTOKEN_E_DUPLICATE },
		{ "alice+a+b+a", -DEVTOKEN_E_DUPLICATE },
		{ "al ice", -DEVTOKEN_E_CHARACTER },
		{ "alice ", -DEVTOKEN_E_CHARACTER },
		{ "alice\n", -DEVTOKEN_E_CHARACTER },
		{ "alice/root", -DEVTOKEN_E_CHARACTER },
		{ "al\xc3\xafs", -DEVTOKEN_E_CHARACTER },
		{ "alice+ad:mins", -DEVTOKEN_E_CHARACTER },
		{ "alice+\x1b[2J", -DEVTOKEN_E_CHARACTER },
	};
	struct devtoken token, untouched;

	(void)state;
	memset(&token, 0x5a, sizeof(token));
	untouched = token;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(devtoken_parse(rows[i].token, strlen(rows[i].token), &token),
		    rows[i].error);
		assert_memory_equal(&token, &untouched, sizeof(token));
	}
	assert_int_equal(devtoken_parse("al\0ce", 5, &token), -DEVTOKEN_E_CHARACTER);
}

static void
test_each_byte(void **state)
{
	static const char allowed[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-";
	struct devtoken token;
	char text[3] = "a?b";
	bool is_good;

	(void)state;
	for (int c = 0; c < 256; c++) {
		text[1] = (char)c;
		is_good = c == '+' || (c != 0 && strchr(allowed, c) != NULL);
		assert_int_equal(devtoken_parse(text, 3, &token),
		    is_good ? 0 : -DEVTOKEN_E_CHARACTER);
	}
}

static void
test_bounds(void **state)
{
	char text[DEVTOKEN_MAX_BYTES + 2] = "alice";
	struct devtoken token;
	size_t len = strlen(text);

	(void)state;
	for (int g = 0; g < DEVTOKEN_GROUPS_MAX; g++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "+g%d", g);
	assert_int_equal(devtoken_parse(text, len, &token), 0);
	assert_int_equal(token.group_count, DEVTOKEN_GROUPS_MAX);
	assert_string_equal(token.groups[DEVTOKEN_GROUPS_MAX - 1], "g31");
	len += (size_t)snprintf(text + len, sizeof(text) - len, "+more");
	assert_int_equal(devtoken_parse(text, len, &token), -DEVTOKEN_E_GROUP_COUNT);

	/* 512 bytes: seven names of 64 and one of 57, with their separators. */
	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < 7; i++) {
		text[65 * i] = (char)('b' + i);
		text[65 * i + 64] = '+';
	}
	assert_int_equal(devtoken_parse(text, DEVTOKEN_MAX_BYTES, &token), 0);
	assert_int_equal(token.group_count, 7);
	assert_int_equal(devtoken_parse(text, DEVTOKEN_MAX_BYTES + 1, &token), -DEVTOKEN_E_LENGTH);
}

static void
test_every_error_has_a_text(void **state)
{
	(void)state;
	for (int e = 0; e <= DEVTOKEN_E_DUPLICATE; e++)
		assert_string_not_equal(devtoken_strerror(-e), "unknown error");
	assert_string_equal(devtoken_strerror(-DEVTOKEN_E_DUPLICATE - 1), "unknown error");
	assert_string_equal(devtoken_strerror(1), "unknown error");
	assert_string_equal(devtoken_strerror(INT32_MIN), "unknown error");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_tokens),
		cmocka_unit_test(test_bad_tokens),
		cmocka_unit_test(test_each_byte),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_every_error_has_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
