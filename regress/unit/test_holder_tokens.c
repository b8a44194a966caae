/* SPDX-License-Identifier: MIT */
/* Tests of ptyd/holder_tokens.c: an attach token works once, and the set is bounded (S19). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/err.h"
#include "ptyd/holder_tokens.h"

static struct tokens set;

static struct id128
token(uint32_t n)
{
	struct id128 id = { { 0 } };

	memcpy(id.b, &n, sizeof(n));
	return id;
}

static int
consume(uint32_t n, uint64_t expires, uint64_t now)
{
	struct id128 id = token(n);

	return tokens_consume(&set, &id, expires, now);
}

static void
test_once(void **state)
{
	(void)state;
	tokens_init(&set);
	assert_int_equal(consume(1, 1000, 10), 0);
	assert_int_equal(consume(1, 1000, 11), -FOG_E_USED_ATTACH_TOKEN);
	assert_int_equal(consume(1, 2000, 999), -FOG_E_USED_ATTACH_TOKEN);
	assert_int_equal(consume(2, 1000, 11), 0);
}

static void
test_expiry(void **state)
{
	static const struct {
		uint64_t expires, now;
		int rc;
	} rows[] = {
		{ 1000, 999, 0 },
		{ 1000, 1000, -FOG_E_BAD_ATTACH_TOKEN },
		{ 1000, UINT64_MAX, -FOG_E_BAD_ATTACH_TOKEN },
		{ 1000 + TOKEN_LIFE_MAX_MS, 1000, 0 },
		{ 1001 + TOKEN_LIFE_MAX_MS, 1000, -FOG_E_BAD_ATTACH_TOKEN },
		{ UINT64_MAX, 1000, -FOG_E_BAD_ATTACH_TOKEN },
	};

	(void)state;
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tokens_init(&set);
		assert_int_equal(consume(i, rows[i].expires, rows[i].now), rows[i].rc);
	}
	/* One that has expired is forgotten, and refused by its expiry all the same. */
	tokens_init(&set);
	assert_int_equal(consume(1, 1000, 10), 0);
	assert_int_equal(consume(2, 3000, 2000), 0);
	assert_int_equal(set.count, 1);
	assert_int_equal(consume(1, 1000, 2000), -FOG_E_BAD_ATTACH_TOKEN);
}

static void
test_bound(void **state)
{
	(void)state;
	tokens_init(&set);
	for (uint32_t i = 0; i < TOKENS_MAX; i++)
		assert_int_equal(consume(i, 1000 + i, 10), 0);
	assert_int_equal(consume(TOKENS_MAX, 1000, 10), -FOG_E_RATE);
	assert_int_equal(consume(3, 1003, 10), -FOG_E_USED_ATTACH_TOKEN);
	assert_int_equal(consume(TOKENS_MAX, 5000, 1000), 0);
	assert_int_equal(consume(TOKENS_MAX, 5000, 1000), -FOG_E_USED_ATTACH_TOKEN);
	assert_int_equal(consume(TOKENS_MAX + 1, 5000, 1000), -FOG_E_RATE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
