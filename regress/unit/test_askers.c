/* SPDX-License-Identifier: MIT */
/* Where other nodes ask from. links: gatewayd/askers.c gatewayd/source.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gatewayd/askers.h"

static struct askers *askers;

static int
set_up(void **state)
{
	(void)state;
	askers = askers_new();
	return askers ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	askers_free(askers);
	return 0;
}

static struct source_key
source(unsigned n)
{
	return (struct source_key){ { 0x20, 0x01, (unsigned char)(n >> 16), (unsigned char)(n >> 8),
	    (unsigned char)n } };
}

/* How many of so many are passed on at this moment. */
static unsigned
take(const struct source_key *from, unsigned count, uint64_t now_ms)
{
	unsigned passed = 0;

	while (count-- > 0)
		passed += askers_take(askers, from, now_ms);
	return passed;
}

static void
test_strangers_share_one_rate(void **state)
{
	unsigned passed = 0;

	(void)state;
	for (unsigned second = 1; second <= 10; second++) {
		for (unsigned n = 0; n < 1000; n++) {
			struct source_key from = source(second * 1000 + n);

			passed += take(&from, 1, second * 1000);
		}
	}
	assert_in_range(passed, 10 * ASKERS_STRANGERS_PER_SECOND, 12 * ASKERS_STRANGERS_PER_SECOND);
}

/* The reason for all this: whatever strangers do, a node is heard. */
static void
test_a_node_is_heard_among_strangers(void **state)
{
	struct source_key node = source(1);

	(void)state;
	assert_true(askers_take(askers, &node, 1000));
	askers_answered(askers, &node, 1000);
	assert_true(askers_know(askers, &node, 1000));
	for (unsigned n = 0; n < 100000; n++) {
		struct source_key from = source(1000 + n);

		take(&from, 1, 2000);
		assert_false(askers_know(askers, &from, 2000));
	}
	assert_int_equal(take(&node, 8, 2000), 8);
}

static void
test_a_node_has_a_rate_too(void **state)
{
	struct source_key node = source(1), other = source(2);

	(void)state;
	askers_answered(askers, &node, 1000);
	askers_answered(askers, &other, 1000);
	assert_int_equal(take(&node, 1000, 1000), 2 * ASKERS_EACH_PER_SECOND);
	assert_int_equal(take(&other, 8, 1000), 8);
	assert_int_equal(take(&node, 1000, 2000), ASKERS_EACH_PER_SECOND);
}

static void
test_who_is_not_answered_is_forgotten(void **state)
{
	struct source_key node = source(1);

	(void)state;
	askers_answered(askers, &node, 1000);
	assert_true(askers_know(askers, &node, ASKERS_KEEP_MS));
	assert_false(askers_know(askers, &node, 1000 + ASKERS_KEEP_MS));
	for (unsigned n = 0; n < 4 * ASKERS_MAX; n++) {
		struct source_key from = source(10 + n);

		askers_answered(askers, &from, 2000 + n);
	}
	assert_false(askers_know(askers, &node, 3000));
}

#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TABLE(test_strangers_share_one_rate),
		WITH_TABLE(test_a_node_is_heard_among_strangers),
		WITH_TABLE(test_a_node_has_a_rate_too),
		WITH_TABLE(test_who_is_not_answered_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
