/* SPDX-License-Identifier: MIT */
/* Tests of common/secret.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/secret.h"

static void
test_random_fills_all_bytes(void **state)
{
	unsigned char bytes[300], seen[300] = { 0 };

	(void)state;
	/* A byte that is 0 in each of 16 draws was never written: 2^-128 by chance. */
	for (int draw = 0; draw < 16; draw++) {
		memset(bytes, 0, sizeof(bytes));
		assert_int_equal(secret_random(bytes, sizeof(bytes)), 0);
		for (size_t i = 0; i < sizeof(bytes); i++)
			seen[i] |= bytes[i];
	}
	for (size_t i = 0; i < sizeof(seen); i++)
		assert_int_not_equal(seen[i], 0);
	assert_int_equal(secret_random(NULL, 0), 0);
}

static void
test_init_random_makes_different_secrets(void **state)
{
	struct secret a, b;

	(void)state;
	assert_int_equal(secret_init_random(&a, 32), 0);
	assert_int_equal(secret_init_random(&b, 32), 0);
	assert_int_equal(a.len, 32);
	assert_false(secret_equal(a.bytes, b.bytes, 32));
	secret_wipe(&a);
	secret_wipe(&b);
}

static void
test_length_bounds(void **state)
{
	static const struct {
		size_t len;
		int result;
	} rows[] = {
		{ 0, -1 },
		{ 1, 0 },
		{ SECRET_MAX_BYTES, 0 },
		{ SECRET_MAX_BYTES + 1, -1 },
		{ SIZE_MAX, -1 },
	};
	static const unsigned char bytes[SECRET_MAX_BYTES];
	struct secret s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s = SECRET_EMPTY;
		errno = 0;
		assert_int_equal(secret_init_random(&s, rows[i].len), rows[i].result);
		assert_int_equal(errno, rows[i].result == 0 ? 0 : EINVAL);
		assert_int_equal(s.len, rows[i].result == 0 ? rows[i].len : 0);
		secret_wipe(&s);
		assert_int_equal(secret_copy(&s, bytes, rows[i].len), rows[i].result);
		assert_int_equal(s.len, rows[i].result == 0 ? rows[i].len : 0);
		secret_wipe(&s);
	}
}

static void
test_copy_take_wipe(void **state)
{
	struct secret a, b;
	unsigned char *bytes;

	(void)state;
	assert_int_equal(secret_copy(&a, "correct horse", 13), 0);
	bytes = a.bytes;
	secret_take(&b, &a);
	assert_null(a.bytes);
	assert_int_equal(a.len, 0);
	assert_ptr_equal(b.bytes, bytes);
	assert_memory_equal(b.bytes, "correct horse", 13);
	secret_take(&b, &b);
	assert_ptr_equal(b.bytes, bytes);
	secret_wipe(&b);
	assert_null(b.bytes);
	assert_int_equal(b.len, 0);
	secret_wipe(&b);
	secret_wipe(NULL);
}

static void
test_equal_sees_each_bit(void **state)
{
	unsigned char a[32], b[32];

	(void)state;
	assert_int_equal(secret_random(a, sizeof(a)), 0);
	memcpy(b, a, sizeof(a));
	assert_true(secret_equal(a, b, sizeof(a)));
	assert_true(secret_equal(a, b, 0));
	for (size_t bit = 0; bit < 8 * sizeof(a); bit++) {
		b[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_false(secret_equal(a, b, sizeof(a)));
		assert_true(secret_equal(a, b, bit / 8));
		b[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_fills_all_bytes),
		cmocka_unit_test(test_init_random_makes_different_secrets),
		cmocka_unit_test(test_length_bounds),
		cmocka_unit_test(test_copy_take_wipe),
		cmocka_unit_test(test_equal_sees_each_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
