/* SPDX-License-Identifier: MIT */
/* links: common/requests.c */
/* The table of pending requests: ids, phases, the bound, deadlines, and owners that touch it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/cleanup.h"
#include "common/requests.h"

#define MAX 512
#define LONG_MS 60000

static struct event_base *base;
static struct requests *table;

static struct lost {
	int count, error;
	uint64_t ids; /* sum */
	void *data;
	/* What the owner does when told. */
	bool clear_again, add_again, remove_it;
	uint64_t remove_id;
} lost;

static void
on_lost(void *ctx, struct request *r, int error)
{
	struct request *other;

	assert_ptr_equal(ctx, &lost);
	lost.count++;
	lost.error = error;
	lost.ids += r->id;
	lost.data = r->data;
	if (lost.clear_again) {
		lost.clear_again = false;
		requests_clear(table, -FOG_E_UNAVAILABLE);
	}
	if (lost.remove_it)
		requests_remove(table, r);
	other = lost.remove_id ? requests_find(table, lost.remove_id) : NULL;
	if (other)
		requests_remove(table, other);
	if (lost.add_again) {
		lost.add_again = false;
		assert_non_null(requests_add(table, 999, PH_LIST, NULL, LONG_MS, NULL));
	}
}

static int
setup(void **state)
{
	(void)state;
	lost = (struct lost){ 0 };
	base = event_base_new();
	table = base ? requests_new(base, MAX, on_lost, &lost) : NULL;
	return table ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	requests_free(table);
	event_base_free(base);
	return 0;
}

static struct request *
add(uint64_t id, uint64_t timeout_ms)
{
	return requests_add(table, id, PH_CREATE, NULL, timeout_ms, NULL);
}

/* Ids as gatewayd makes them, and ones that meet in a bucket. */
static const uint64_t ids[] = { 1, 2, 255, 256, 257, 513, UINT64_C(1) << 32,
	(UINT64_C(1) << 32) | 1, (UINT64_C(7) << 32) | 7, UINT64_MAX, UINT64_MAX - 1 };

static void
test_add_find_remove(void **state)
{
	struct trace trace = { .b = "fifteen letters" };
	int data;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		struct request *r = requests_add(table, ids[i], PH_MINT, &trace, LONG_MS, &data);

		assert_non_null(r);
		assert_true(r->id == ids[i]);
		assert_memory_equal(&r->trace, &trace, sizeof(trace));
		assert_ptr_equal(r->data, &data);
		assert_int_equal(requests_count(table), i + 1);
	}
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		struct request *r = requests_find(table, ids[i]);

		assert_non_null(r);
		assert_true(r->id == ids[i]);
		assert_int_equal(requests_phase(table, ids[i]), PH_MINT);
		requests_remove(table, r);
		assert_null(requests_find(table, ids[i]));
		assert_int_equal(requests_phase(table, ids[i]), PH_NEW);
		assert_int_equal(requests_count(table), COUNT_OF(ids) - 1 - i);
	}
	assert_int_equal(lost.count, 0);
}

static void
test_refused(void **state)
{
	(void)state;
	assert_null(add(0, LONG_MS));
	assert_non_null(add(5, LONG_MS));
	assert_null(add(5, LONG_MS));
	assert_int_equal(requests_count(table), 1);
	for (uint64_t id = 1000; requests_count(table) < MAX; id++)
		assert_non_null(add(id, LONG_MS));
	assert_null(add(7, LONG_MS));
	requests_remove(table, requests_find(table, 5));
	assert_non_null(add(7, LONG_MS));
}

static void
loop_for(int ms)
{
	struct timeval until = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_base_loopexit(base, &until);
	event_base_dispatch(base);
}

static void
test_deadline(void **state)
{
	int data;

	(void)state;
	assert_non_null(requests_add(table, 1, PH_CREATE, NULL, 1, &data));
	assert_non_null(add(2, LONG_MS));
	loop_for(300);
	assert_int_equal(lost.count, 1);
	assert_int_equal(lost.error, -FOG_E_TIMEOUT);
	assert_ptr_equal(lost.data, &data);
	assert_null(requests_find(table, 1));
	assert_non_null(requests_find(table, 2));
	/* The timer runs again after it had nothing to do. */
	requests_remove(table, requests_find(table, 2));
	loop_for(200);
	assert_non_null(add(3, 1));
	loop_for(300);
	assert_int_equal(lost.count, 2);
	assert_int_equal(requests_count(table), 0);
}

static void
fill(size_t n, uint64_t step)
{
	for (size_t i = 1; i <= n; i++)
		assert_non_null(add(i * step, LONG_MS));
}

static void
test_clear(void **state)
{
	(void)state;
	fill(100, 1);
	requests_clear(table, -FOG_E_UNAVAILABLE);
	assert_int_equal(lost.count, 100);
	assert_int_equal(lost.error, -FOG_E_UNAVAILABLE);
	assert_int_equal(lost.ids, 5050);
	assert_int_equal(requests_count(table), 0);
	requests_clear(table, -FOG_E_UNAVAILABLE);
	assert_int_equal(lost.count, 100);
}

/* Telling an owner may bring an edge down, and that clears the table: one bucket, 20 entries. */
static void
test_cleared_while_clearing(void **state)
{
	(void)state;
	fill(20, 256);
	lost.clear_again = true;
	requests_clear(table, -FOG_E_UNAVAILABLE);
	assert_int_equal(lost.count, 20);
	assert_int_equal(lost.ids, 210 * 256);
	assert_int_equal(requests_count(table), 0);
}

/* The sweep comes past a living entry first and then to a late one, whose owner clears all. */
static void
test_cleared_while_sweeping(void **state)
{
	(void)state;
	assert_non_null(add(256, 1));
	assert_non_null(add(512, LONG_MS));
	lost.clear_again = true;
	loop_for(300);
	assert_int_equal(lost.count, 2);
	assert_int_equal(lost.ids, 768);
	assert_int_equal(requests_count(table), 0);
}

/* Whether it is late itself or not: what its owner took out is not told any more. */
static void
test_removed_while_sweeping(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		lost = (struct lost){ .remove_id = 256, .remove_it = true };
		assert_non_null(add(256, late ? 1 : LONG_MS));
		assert_non_null(add(512, 1));
		loop_for(300);
		assert_int_equal(lost.count, 1);
		assert_int_equal(lost.ids, 512);
		assert_int_equal(requests_count(table), 0);
	}
}

static void
test_added_while_sweeping(void **state)
{
	(void)state;
	assert_non_null(add(999 + 256, 1));
	lost.add_again = true;
	loop_for(300);
	assert_int_equal(lost.count, 1);
	assert_non_null(requests_find(table, 999));
	assert_int_equal(requests_count(table), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_add_find_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clear, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cleared_while_clearing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cleared_while_sweeping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_while_sweeping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_added_while_sweeping, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
