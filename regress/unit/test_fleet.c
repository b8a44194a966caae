/* SPDX-License-Identifier: MIT */
/*
 * The failure detector: alone, and whole fleets of it in virtual time, where every node asks the
 * others over a network that loses, and some die.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "placerd/fleet.h"

static const struct fleet_report good = { .load = { 3, 500, 1000 },
	.is_ready = true,
	.version = 1 };

/* As often as one asks in the calm of a large fleet, in hundredths of a probe a second. */
#define CALM_CENTI \
	(100 * FLEET_WATCHED + 100 * 1000 / FLEET_CALM_EVERY_MS + \
	    (FLEET_NEAR - FLEET_WATCHED) * 100 * 1000 / FLEET_NEAR_EVERY_MS)

/* --- one detector --- */

/* The next to be asked, and when that is. */
static size_t
next_after(struct fleet *f, uint64_t *now_ms, uint32_t *wait_ms)
{
	size_t node;

	for (int i = 0; i < 1000; i++) {
		node = fleet_next(f, *now_ms, wait_ms);
		if (node != SIZE_MAX)
			return node;
		*now_ms += *wait_ms;
	}
	fail_msg("nobody is ever asked");
	return 0;
}

static void
test_each_is_asked_once_a_second(void **state)
{
	struct fleet *f = fleet_new(9, 4, 7, 1000);
	unsigned asked[9] = { 0 };
	uint64_t now_ms = 1000;
	uint32_t wait_ms;

	(void)state;
	while (now_ms < 61000) {
		size_t node = next_after(f, &now_ms, &wait_ms);

		asked[node]++;
		fleet_heard(f, node, &good, 20, now_ms + 20);
	}
	for (size_t i = 0; i < COUNT_OF(asked); i++) {
		if (i == 4)
			assert_int_equal(asked[i], 0);
		else
			assert_in_range(asked[i], 58, 61);
	}
	fleet_free(f);
}

static void
test_one_alone_asks_nobody(void **state)
{
	struct fleet *f = fleet_new(1, 0, 7, 0);
	uint32_t wait_ms = 0;

	(void)state;
	assert_true(fleet_next(f, 5, &wait_ms) == SIZE_MAX);
	assert_int_equal(wait_ms, FLEET_PROBE_EVERY_MS);
	assert_int_equal(fleet_state(f, 0, 5), NODE_UP);
	assert_null(fleet_new(0, 0, 7, 0));
	fleet_free(f);
}

#define SECONDS 700

/* However many there are, and whatever is lost: in turn, and not above the rate; but who is near. */
static void
test_rate_is_bounded(void **state)
{
	static unsigned asked[5000];
	struct fleet *f = fleet_new(COUNT_OF(asked), 0, 3, 0);
	uint64_t now_ms = 0;
	uint32_t wait_ms;
	unsigned total = 0, near = 0, watched = 0;

	(void)state;
	while (now_ms < SECONDS * 1000) {
		size_t node = next_after(f, &now_ms, &wait_ms);

		asked[node]++;
		if (node % 2)
			fleet_lost(f, node, now_ms + wait_ms);
		else
			fleet_heard(f, node, &good, 20, now_ms + 20);
	}
	for (size_t i = 1; i < COUNT_OF(asked); i++) {
		near += asked[i] > 2;
		watched += asked[i] > SECONDS * 9 / 10;
		if (asked[i] <= 2)
			total += asked[i];
		assert_in_range(asked[i], 1, SECONDS * 11 / 10);
	}
	assert_int_equal(near, FLEET_NEAR);
	assert_int_equal(watched, FLEET_WATCHED);
	assert_in_range(total, 5000, 5100); /* the first round, and the calm */
	fleet_free(f);
}

static void
test_states(void **state)
{
	struct fleet *f = fleet_new(2, 0, 1, 0);
	struct fleet_report report = good;
	enum node_state was, is;
	uint64_t now_ms = 100;
	uint32_t wait_ms;
	size_t node;

	(void)state;
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_UNKNOWN);
	assert_true(fleet_silent_ms(f, 1, now_ms) == UINT64_MAX);
	assert_false(fleet_take_change(f, &node, &was, &is));
	for (int i = 0; i < FLEET_LOST_MAX; i++) {
		assert_int_equal(fleet_state(f, 1, now_ms), NODE_UNKNOWN);
		next_after(f, &now_ms, &wait_ms);
		now_ms += wait_ms;
		fleet_lost(f, 1, now_ms);
	}
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_DOWN);
	next_after(f, &now_ms, &wait_ms);
	fleet_heard(f, 1, &report, 40, now_ms += 40);
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_UP);
	assert_int_equal(fleet_mean_ms(f, 1), 40);
	assert_int_equal(fleet_silent_ms(f, 1, now_ms + 5), 5);
	assert_true(fleet_take_change(f, &node, &was, &is));
	assert_true(node == 1 && was == NODE_UNKNOWN && is == NODE_UP);
	assert_false(fleet_take_change(f, &node, &was, &is));
	report.is_draining = true;
	fleet_heard(f, 1, &report, 40, now_ms);
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_DRAINING);
	report.is_ready = false;
	fleet_heard(f, 1, &report, 40, now_ms);
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_DOWN);
	fleet_heard(f, 1, &good, 40, now_ms);
	fleet_cordon(f, 1, true);
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_DRAINING);
	assert_true(fleet_is_cordoned(f, 1));
	fleet_cordon(f, 1, false);
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_UP);
	/* Nobody could be asked for long: what was heard is worth nothing any more. */
	assert_int_equal(fleet_state(f, 1, now_ms + 300000), NODE_UNKNOWN);
	assert_int_equal(fleet_state(f, 7, now_ms), NODE_UNKNOWN);
	fleet_free(f);
}

/* Until node 1 is asked; the others answer. */
static void
reach(struct fleet *f, uint64_t *now_ms, uint32_t *wait_ms)
{
	size_t node;

	while ((node = next_after(f, now_ms, wait_ms)) != 1)
		fleet_heard(f, node, &good, 10, *now_ms);
}

/* Heard often; then lost as often as it takes. Returns how often, and sets how long that took. */
static int
count_losses(struct fleet *f, size_t namers, uint32_t took_ms, uint64_t *span_ms)
{
	uint64_t now_ms = 100, first_ms = 0;
	uint32_t wait_ms;

	for (int i = 0; i < 20; i++) {
		reach(f, &now_ms, &wait_ms);
		fleet_heard(f, 1, &good, took_ms, now_ms + took_ms);
	}
	for (int lost = 1;; lost++) {
		assert_int_not_equal(fleet_state(f, 1, now_ms), NODE_DOWN);
		reach(f, &now_ms, &wait_ms);
		if (lost == 1)
			first_ms = now_ms;
		else
			assert_int_equal(fleet_state(f, 1, now_ms), NODE_SUSPECT);
		for (size_t i = 0; i < namers; i++)
			fleet_hinted(f, 1, 2 + i, now_ms);
		fleet_lost(f, 1, now_ms += wait_ms);
		if (fleet_state(f, 1, now_ms) == NODE_DOWN) {
			*span_ms = now_ms - first_ms;
			return lost;
		}
	}
}

static const struct {
	size_t namers;
	uint32_t took_ms;
	int lost;
} losses[] = {
	{ 0, 5, FLEET_LOST_MAX },
	{ 0, 800, FLEET_LOST_MAX },
	{ 1, 5, FLEET_LOST_HINTED },
	{ 1, 800, FLEET_LOST_HINTED },
	{ 6, 5, FLEET_LOST_HINTED }, /* whoever says so */
	{ 6, 800, FLEET_LOST_HINTED },
};

static void
test_losses_in_a_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(losses); i++) {
		struct fleet *f = fleet_new(8, 0, 1, 0);
		uint64_t span_ms;

		assert_int_equal(count_losses(f, losses[i].namers, losses[i].took_ms, &span_ms),
		    losses[i].lost);
		/* With the pause before the first of them, it is within the bound. */
		assert_true(span_ms + FLEET_PROBE_EVERY_MS <= FLEET_DEAD_MS);
		assert_true(span_ms >= 1200); /* a node that stands still for a second is not out */
		fleet_free(f);
	}
}

/* The timeout follows a node that is far, and comes back. */
static void
test_timeout_adapts(void **state)
{
	struct fleet *f = fleet_new(2, 0, 1, 0);
	uint64_t now_ms = 0;
	uint32_t wait_ms;

	(void)state;
	next_after(f, &now_ms, &wait_ms);
	assert_int_equal(wait_ms, FLEET_TIMEOUT_MAX_MS);
	for (int i = 0; i < 50; i++) {
		fleet_heard(f, 1, &good, 600, now_ms + 600);
		next_after(f, &now_ms, &wait_ms);
	}
	assert_in_range(wait_ms, 600, 800);
	for (int i = 0; i < 50; i++) {
		fleet_heard(f, 1, &good, i % 2 ? 400 : 800, now_ms + 800);
		next_after(f, &now_ms, &wait_ms);
	}
	assert_int_equal(wait_ms, FLEET_TIMEOUT_MAX_MS);
	for (int i = 0; i < 80; i++) {
		fleet_heard(f, 1, &good, 2, now_ms + 2);
		next_after(f, &now_ms, &wait_ms);
	}
	assert_int_equal(wait_ms, FLEET_TIMEOUT_MIN_MS);
	fleet_free(f);
}

/* An answer that was taken for lost is an answer. */
static void
test_late_answers(void **state)
{
	struct fleet *f = fleet_new(2, 0, 1, 0);
	uint64_t now_ms = 0;
	uint32_t wait_ms;

	(void)state;
	next_after(f, &now_ms, &wait_ms);
	fleet_heard(f, 1, &good, 10, now_ms);
	next_after(f, &now_ms, &wait_ms);
	fleet_lost(f, 1, now_ms += wait_ms);
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_SUSPECT);
	next_after(f, &now_ms, &wait_ms);
	fleet_heard(f, 1, &good, 900, now_ms);
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_UP);
	fleet_lost(f, 1, now_ms); /* of what it was asked before */
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_UP);
	next_after(f, &now_ms, &wait_ms);
	fleet_unasked(f, 1, now_ms);
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_UP);
	next_after(f, &now_ms, &wait_ms);
	fleet_free(f);
}

/* Hints make nobody suspect, and bring no more than their share of probes. */
static const struct {
	size_t liars;
	unsigned per_second, in_advance;
} lies[] = {
	{ 1, FLEET_HINTS_PER_SECOND, 16 },
	{ 2, FLEET_URGENT_PER_SECOND, 32 },
	{ 9, FLEET_URGENT_PER_SECOND, 32 },
};

static unsigned
count_moved(struct fleet *f, size_t liars, uint64_t *now_ms, unsigned seconds)
{
	unsigned calm = seconds * CALM_CENTI / 100 + FLEET_NEAR, all = 0;
	uint64_t end_ms = *now_ms + (uint64_t)seconds * 1000;
	uint32_t wait_ms;

	for (; *now_ms < end_ms; all++) {
		for (size_t by = 0; by < liars; by++) {
			for (size_t i = 1; i < 100; i++)
				fleet_hinted(f, i, 900 + by, *now_ms);
		}
		fleet_heard(f, next_after(f, now_ms, &wait_ms), &good, 10, *now_ms);
	}
	return all > calm ? all - calm : 0;
}

static void
test_hints_of_liars(void **state)
{
	(void)state;
	for (size_t k = 0; k < COUNT_OF(lies); k++) {
		struct fleet *f = fleet_new(1001, 0, 5, 0);
		uint64_t now_ms = 0;
		uint32_t wait_ms;
		unsigned moved;

		while (now_ms < 140000)
			fleet_heard(f, next_after(f, &now_ms, &wait_ms), &good, 10, now_ms);
		moved = count_moved(f, lies[k].liars, &now_ms, 60);
		print_message("%zu liars move %u probes in 60 s\n", lies[k].liars, moved);
		assert_in_range(moved, 10, 60 * lies[k].per_second + lies[k].in_advance);
		for (size_t i = 1; i < 1001; i++)
			assert_int_equal(fleet_state(f, i, now_ms), NODE_UP);
		fleet_hinted(f, 0, 900, now_ms);
		fleet_hinted(f, 5000, 900, now_ms);
		fleet_hinted(f, 5, 5000, now_ms);
		assert_int_equal(fleet_state(f, 0, now_ms), NODE_UP);
		fleet_free(f);
	}
}

static void
test_suspects_are_told(void **state)
{
	struct fleet *f = fleet_new(40, 0, 5, 0);
	size_t told[FLEET_SUSPECTS_MAX], last = 0;
	uint64_t now_ms = 0;
	uint32_t wait_ms;

	(void)state;
	for (size_t i = 0; i < 39; i++)
		fleet_heard(f, next_after(f, &now_ms, &wait_ms), &good, 10, now_ms);
	assert_int_equal(fleet_suspects(f, told), 0);
	for (size_t i = 0; i < 200; i++) {
		last = next_after(f, &now_ms, &wait_ms);
		fleet_lost(f, last, now_ms);
	}
	assert_int_equal(fleet_suspects(f, told), FLEET_SUSPECTS_MAX);
	for (size_t i = 0; i < FLEET_SUSPECTS_MAX; i++) {
		for (size_t j = 0; j < i; j++)
			assert_true(told[i] != told[j]);
	}
	next_after(f, &now_ms, &wait_ms);
	fleet_heard(f, told[0], &good, 10, now_ms);
	last = told[0];
	fleet_suspects(f, told);
	assert_true(told[0] != last);
	now_ms += 20000; /* old losses are no news */
	for (size_t i = 0; i < 40; i++)
		fleet_heard(f, next_after(f, &now_ms, &wait_ms), &good, 10, now_ms);
	assert_int_equal(fleet_suspects(f, told), 0);
	fleet_free(f);
}

static void
test_promises(void **state)
{
	static const struct place_room needs = { 1, 100, 200 };
	struct fleet *f = fleet_new(2, 0, 5, 0);
	uint64_t now_ms = 0;
	uint32_t wait_ms;

	(void)state;
	next_after(f, &now_ms, &wait_ms);
	fleet_heard(f, 1, &good, 10, now_ms);
	fleet_promise(f, 1, &needs, now_ms);
	assert_int_equal(fleet_load(f, 1).sessions, 4);
	assert_int_equal(fleet_load(f, 1).cpu_milli, 600);
	assert_int_equal(fleet_load(f, 1).memory_bytes, 1200);
	next_after(f, &now_ms, &wait_ms);
	fleet_promise(f, 1, &needs, now_ms); /* its answer may not know of this one */
	assert_int_equal(fleet_load(f, 1).sessions, 5);
	fleet_heard(f, 1, &good, 10, now_ms);
	assert_int_equal(fleet_load(f, 1).sessions, 4);
	next_after(f, &now_ms, &wait_ms);
	fleet_heard(f, 1, &good, 10, now_ms);
	assert_int_equal(fleet_load(f, 1).sessions, 3);
	fleet_promise(f, 0, &needs, now_ms);
	assert_int_equal(fleet_load(f, 0).sessions, 0);
	/* Nobody heard of it for long: what is older than that is not added up for ever. */
	now_ms += 2 * FLEET_PROMISES_MS;
	fleet_promise(f, 1, &needs, now_ms);
	fleet_promise(f, 1, &needs, now_ms + FLEET_PROMISES_MS);
	assert_int_equal(fleet_load(f, 1).sessions, 5);
	fleet_promise(f, 1, &needs, now_ms + FLEET_PROMISES_MS + 1);
	assert_int_equal(fleet_load(f, 1).sessions, 4);
	now_ms += 2 * FLEET_PROMISES_MS + 2; /* nobody is sent there any more */
	fleet_next(f, now_ms, &wait_ms);
	assert_int_equal(fleet_load(f, 1).sessions, 3);
	fleet_heard(f, 1, &good, 10, now_ms);
	fleet_promise(f, 1, &needs, now_ms + FLEET_PROMISES_MS - 1);
	fleet_promise(f, 1, &needs, now_ms + FLEET_PROMISES_MS + 1);
	assert_int_equal(fleet_load(f, 1).sessions, 5);
	fleet_free(f);
}

/* Of a large fleet: those that are asked for what they say of themselves, in so many seconds. */
static unsigned
count_wanted(struct fleet *f, uint64_t *now_ms, unsigned seconds)
{
	uint64_t end_ms = *now_ms + (uint64_t)seconds * 1000;
	unsigned asked = 0;
	uint32_t wait_ms;

	while (*now_ms < end_ms) {
		for (size_t i = 1; i <= 100; i++)
			fleet_wanted(f, i, *now_ms);
		fleet_heard(f, next_after(f, now_ms, &wait_ms), &good, 10, *now_ms);
		asked++;
	}
	return asked;
}

static void
test_wanted(void **state)
{
	struct fleet *f = fleet_new(1001, 0, 5, 0);
	unsigned calm = 300 * CALM_CENTI / 100 + FLEET_NEAR, asked;
	uint64_t now_ms = 0, from_ms;
	uint32_t wait_ms;
	size_t node = 1;

	(void)state;
	while (now_ms < 140000)
		fleet_heard(f, next_after(f, &now_ms, &wait_ms), &good, 10, now_ms);
	while (fleet_silent_ms(f, node, now_ms) < FLEET_FRESH_MS)
		node++;
	/* It is asked next, and then not before what is known of it is old again. */
	fleet_wanted(f, node, now_ms);
	assert_int_equal(fleet_next(f, now_ms, &wait_ms), node);
	fleet_wanted(f, node, now_ms);
	fleet_heard(f, node, &good, 10, now_ms);
	from_ms = now_ms;
	fleet_wanted(f, node, now_ms);
	while (now_ms < from_ms + 2000)
		fleet_heard(f, next_after(f, &now_ms, &wait_ms), &good, 10, now_ms);
	assert_true(fleet_silent_ms(f, node, now_ms) >= 2000);
	/* However many want however many. */
	asked = count_wanted(f, &now_ms, 300);
	print_message("%u more in 300 s\n", asked - calm);
	assert_in_range(asked - calm, 100, 300000 / FLEET_WANTED_EVERY_MS + FLEET_WANTED_MAX);
	assert_int_equal(fleet_state(f, node, now_ms), NODE_UP);
	fleet_wanted(f, 0, now_ms);
	fleet_wanted(f, 1001, now_ms);
	fleet_free(f);
}

/* Who is lost is asked as that demands. */
static void
test_wanted_is_no_help_for_the_lost(void **state)
{
	struct fleet *f = fleet_new(2, 0, 5, 0);
	uint64_t now_ms = 0;
	uint32_t wait_ms;

	(void)state;
	next_after(f, &now_ms, &wait_ms);
	fleet_heard(f, 1, &good, 10, now_ms);
	next_after(f, &now_ms, &wait_ms);
	fleet_lost(f, 1, now_ms += 50);
	for (int i = 0; i < FLEET_LOST_MAX; i++) {
		fleet_wanted(f, 1, now_ms + FLEET_FRESH_MS);
		assert_int_equal(fleet_next(f, now_ms + FLEET_AGAIN_SOON_MS / 2, &wait_ms),
		    SIZE_MAX);
		next_after(f, &now_ms, &wait_ms);
		fleet_lost(f, 1, now_ms += 10);
	}
	assert_int_equal(fleet_state(f, 1, now_ms), NODE_DOWN);
	fleet_wanted(f, 1, now_ms + FLEET_FRESH_MS);
	assert_int_equal(fleet_next(f, now_ms, &wait_ms), SIZE_MAX);
	fleet_free(f);
}

/* What it had no room for is not to be asked for again at once; less may fit. */
static void
test_refused(void **state)
{
	static const struct place_room half = { 1, 500, 200 }, more = { 1, 600, 200 },
				       less_cpu = { 1, 499, 900 }, less_memory = { 1, 900, 199 };
	struct fleet *f = fleet_new(2, 0, 5, 0);
	uint64_t now_ms = 100;
	uint32_t wait_ms;

	(void)state;
	assert_false(fleet_would_refuse(f, 1, &half, now_ms));
	fleet_refused(f, 1, &half, now_ms);
	assert_true(fleet_would_refuse(f, 1, &half, now_ms));
	assert_true(fleet_would_refuse(f, 1, &more, now_ms + FLEET_REFUSED_MS - 1));
	assert_false(fleet_would_refuse(f, 1, &less_cpu, now_ms));
	assert_false(fleet_would_refuse(f, 1, &less_memory, now_ms));
	assert_false(fleet_would_refuse(f, 1, &half, now_ms + FLEET_REFUSED_MS));
	/* It says itself what room it has, if it was asked after that. */
	fleet_heard(f, 1, &good, 10, now_ms);
	assert_true(fleet_would_refuse(f, 1, &half, now_ms));
	assert_int_equal(next_after(f, &now_ms, &wait_ms), 1);
	assert_true(fleet_would_refuse(f, 1, &half, now_ms));
	fleet_heard(f, 1, &good, 10, now_ms);
	assert_false(fleet_would_refuse(f, 1, &half, now_ms));
	fleet_refused(f, 0, &half, now_ms);
	assert_false(fleet_would_refuse(f, 0, &half, now_ms));
	fleet_refused(f, 2, &half, now_ms);
	fleet_free(f);
}

static void
test_another_table(void **state)
{
	static const size_t map[] = { 2, SIZE_MAX, 0, 1, 99 };
	struct fleet *f = fleet_new(3, 0, 5, 0), *g;
	uint64_t now_ms = 0;
	uint32_t wait_ms;
	unsigned asked[5] = { 0 };

	(void)state;
	for (int i = 0; i < 2; i++)
		fleet_heard(f, next_after(f, &now_ms, &wait_ms), &good, 10, now_ms);
	fleet_cordon(f, 1, true);
	g = fleet_new(5, 2, 6, now_ms);
	fleet_adopt(g, f, map);
	fleet_free(f);
	assert_int_equal(fleet_state(g, 0, now_ms), NODE_UP);
	assert_int_equal(fleet_state(g, 1, now_ms), NODE_UNKNOWN);
	assert_int_equal(fleet_state(g, 2, now_ms), NODE_UP);
	assert_int_equal(fleet_state(g, 3, now_ms), NODE_DRAINING);
	assert_int_equal(fleet_state(g, 4, now_ms), NODE_UNKNOWN);
	assert_int_equal(fleet_load(g, 0).sessions, 3);
	for (uint64_t end_ms = now_ms + 5000; now_ms < end_ms;) {
		size_t node = next_after(g, &now_ms, &wait_ms);

		asked[node]++;
		fleet_heard(g, node, &good, 10, now_ms);
	}
	for (size_t i = 0; i < 5; i++)
		assert_true(i == 2 ? asked[i] == 0 : asked[i] >= 4);
	fleet_free(g);
}

/* Whether it is among the next so many. */
static bool
is_asked_soon(struct fleet *f, size_t node, int among, uint64_t *now_ms)
{
	uint32_t wait_ms;

	for (; among > 0; among--) {
		if (next_after(f, now_ms, &wait_ms) == node)
			return true;
	}
	return false;
}

/* One that asks us is asked soon, though its turn is far away. */
static void
test_seen(void **state)
{
	struct fleet *f = fleet_new(2000, 0, 5, 0);
	uint64_t now_ms = 0;
	uint32_t wait_ms;

	(void)state;
	for (int i = 0; i < 5; i++)
		fleet_lost(f, next_after(f, &now_ms, &wait_ms), now_ms);
	now_ms += 5000;
	assert_false(is_asked_soon(f, 1234, FLEET_NEAR + 5, &now_ms));
	fleet_seen(f, 1234, now_ms);
	assert_true(is_asked_soon(f, 1234, 5, &now_ms));
	fleet_lost(f, 1234, now_ms);
	fleet_seen(f, 1234, now_ms);
	assert_false(is_asked_soon(f, 1234, 5, &now_ms));
	fleet_free(f);
}

/*
 * Who is near is the same after a restart, and all have been chosen by as many as they choose: so each
 * is watched. What is told goes to all of them at once.
 */
static void
test_who_is_near(void **state)
{
	static unsigned by[300][2];

	(void)state;
	for (size_t self = 0; self < COUNT_OF(by); self++) {
		struct fleet *f = fleet_new(COUNT_OF(by), self, self * 7, 0);
		unsigned asked[COUNT_OF(by)] = { 0 };
		uint64_t now_ms = 0;
		uint32_t wait_ms;

		while (now_ms < 400000) {
			size_t node = next_after(f, &now_ms, &wait_ms);

			asked[node] += now_ms > 100000;
			fleet_heard(f, node, &good, 10, now_ms);
		}
		for (size_t i = 0; i < COUNT_OF(by); i++) {
			by[i][0] += asked[i] > 200;
			by[i][1] += asked[i] > 3;
		}
		fleet_free(f);
	}
	for (size_t i = 0; i < COUNT_OF(by); i++) {
		assert_in_range(by[i][0], FLEET_WATCHED - 1, FLEET_WATCHED);
		assert_in_range(by[i][1], FLEET_NEAR - 5, FLEET_NEAR);
	}
}

/* --- whole fleets --- */

#define KEPT_MS 55000 /* as fetcher/transfer.c keeps a connection */

enum happening { WAKE, ARRIVES, ANSWERED, OVERDUE };

struct event {
	uint64_t at_ms, asked_ms;
	enum happening what;
	uint32_t observer, target;
	uint32_t way_ms; /* from one to the other */
	uint32_t n_suspects;
	uint16_t suspects[FLEET_SUSPECTS_MAX];
	uint32_t next; /* in the same millisecond, or of the free */
};

#define WHEEL_MS 8192 /* nothing is due later than that */

struct due {
	uint32_t first, last;
};

struct world {
	size_t n;
	unsigned loss_percent;
	bool is_listed; /* somebody asks each node for the list, all the time */
	uint64_t now_ms, seed;
	struct fleet **of;
	bool *is_dead;
	uint64_t *wakes_ms; /* the next WAKE that counts */
	unsigned *asked;    /* by observer, since whoever reads it has set it to 0 */
	struct event *events;
	struct due *due; /* by millisecond */
	uint32_t n_events, cap, free;
	uint64_t probes, false_downs;
	size_t victim;
};

static uint64_t
roll(struct world *w)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return w->seed >> 33;
}

/* A place for it: one that is free, or a new one. Places count from 1. */
static uint32_t
take_place(struct world *w)
{
	uint32_t place = w->free;

	if (place != 0) {
		w->free = w->events[place].next;
		return place;
	}
	if (++w->n_events >= w->cap) {
		w->cap = w->cap ? 2 * w->cap : 1024;
		w->events = realloc(w->events, w->cap * sizeof(*w->events));
		assert_non_null(w->events);
	}
	return w->n_events;
}

static void
push(struct world *w, const struct event *e)
{
	uint32_t place = take_place(w);
	struct due *due = &w->due[e->at_ms % WHEEL_MS];

	assert_true(e->at_ms >= w->now_ms && e->at_ms < w->now_ms + WHEEL_MS);
	w->events[place] = *e;
	w->events[place].next = 0;
	*(due->first ? &w->events[due->last].next : &due->first) = place;
	due->last = place;
}

/* The first that is due in this millisecond; false when there is none left. */
static bool
pop(struct world *w, struct event *e)
{
	struct due *due = &w->due[w->now_ms % WHEEL_MS];
	uint32_t place = due->first;

	if (place == 0)
		return false;
	*e = w->events[place];
	due->first = e->next;
	w->events[place].next = w->free;
	w->free = place;
	return true;
}

static void
note_downs(struct world *w, size_t observer)
{
	enum node_state was, is;
	size_t node;

	while (fleet_take_change(w->of[observer], &node, &was, &is))
		w->false_downs += is == NODE_DOWN && !w->is_dead[node];
}

static void
put_suspects(const struct fleet *f, struct event *e)
{
	size_t told[FLEET_SUSPECTS_MAX];

	e->n_suspects = (uint32_t)fleet_suspects(f, told);
	for (size_t i = 0; i < e->n_suspects; i++)
		e->suspects[i] = (uint16_t)told[i];
}

static void
take_suspects(struct fleet *f, size_t by, const struct event *e, uint64_t now_ms)
{
	for (size_t i = 0; i < e->n_suspects; i++)
		fleet_hinted(f, e->suspects[i], by, now_ms);
}

/* TCP and TLS come first, where no connection is open. */
static uint32_t
ways_to(const struct world *w, size_t observer, size_t target)
{
	return fleet_silent_ms(w->of[observer], target, w->now_ms) <= KEPT_MS ? 1 : 5;
}

/* As probe.c does on its timer. */
static void
wake(struct world *w, uint32_t observer)
{
	uint32_t wait_ms;
	size_t target;

	for (size_t i = 1; w->is_listed && i <= FLEET_WANTED_MAX; i++)
		fleet_wanted(w->of[observer], (observer + 3 * i) % w->n, w->now_ms);
	while ((target = fleet_next(w->of[observer], w->now_ms, &wait_ms)) != SIZE_MAX) {
		struct event e = { .asked_ms = w->now_ms,
			.observer = observer,
			.target = (uint32_t)target };

		w->probes++;
		w->asked[observer]++;
		e.at_ms = w->now_ms + wait_ms;
		e.what = OVERDUE;
		push(w, &e);
		if (roll(w) % 100 < w->loss_percent)
			continue;
		e.way_ms = 3 + (uint32_t)(roll(w) % 40);
		e.at_ms = w->now_ms + (uint64_t)e.way_ms * ways_to(w, observer, target);
		e.what = ARRIVES;
		put_suspects(w->of[observer], &e);
		push(w, &e);
	}
	if (w->wakes_ms[observer] == w->now_ms + wait_ms)
		return;
	w->wakes_ms[observer] = w->now_ms + wait_ms;
	push(w,
	    &(struct event){ .at_ms = w->now_ms + wait_ms, .what = WAKE, .observer = observer });
}

static void
arrive(struct world *w, struct event *e)
{
	struct fleet *f = w->of[e->target];

	if (w->is_dead[e->target])
		return;
	fleet_seen(f, e->observer, w->now_ms);
	take_suspects(f, e->observer, e, w->now_ms);
	put_suspects(f, e);
	e->at_ms += e->way_ms;
	e->what = ANSWERED;
	push(w, e);
	wake(w, e->target);
}

static void
take_answer(struct world *w, const struct event *e)
{
	struct fleet *f = w->of[e->observer];

	fleet_heard(f, e->target, &good, (uint32_t)(w->now_ms - e->asked_ms), w->now_ms);
	take_suspects(f, e->target, e, w->now_ms);
}

/* Is there an answer to this or a later ask already? */
static bool
is_moot(const struct world *w, const struct event *e)
{
	uint64_t silent_ms = fleet_silent_ms(w->of[e->observer], e->target, w->now_ms);

	return silent_ms != UINT64_MAX && w->now_ms - silent_ms > e->asked_ms;
}

static void
happen(struct world *w, struct event *e)
{
	if (w->is_dead[e->observer])
		return;
	if (e->what == WAKE && w->wakes_ms[e->observer] != w->now_ms)
		return;
	if (e->what == ARRIVES) {
		arrive(w, e);
		return;
	}
	if (e->what == ANSWERED)
		take_answer(w, e);
	else if (e->what == OVERDUE && !is_moot(w, e))
		fleet_lost(w->of[e->observer], e->target, w->now_ms);
	note_downs(w, e->observer);
	wake(w, e->observer);
}

static void
run_until(struct world *w, uint64_t end_ms)
{
	struct event e;

	for (;; w->now_ms++) {
		while (pop(w, &e))
			happen(w, &e);
		if (w->now_ms == end_ms)
			return;
	}
}

static struct world
make_world(size_t n, unsigned loss_percent, uint64_t seed)
{
	struct world w = { .n = n, .loss_percent = loss_percent, .seed = seed, .now_ms = 1000 };

	w.of = calloc(n, sizeof(struct fleet *));
	w.is_dead = calloc(n, sizeof(*w.is_dead));
	w.wakes_ms = calloc(n, sizeof(*w.wakes_ms));
	w.asked = calloc(n, sizeof(*w.asked));
	w.due = calloc(WHEEL_MS, sizeof(*w.due));
	for (size_t i = 0; i < n; i++) {
		w.of[i] = fleet_new(n, i, roll(&w) << 20 | i, w.now_ms);
		assert_non_null(w.of[i]);
		w.wakes_ms[i] = w.now_ms + roll(&w) % 1000;
		push(&w,
		    &(struct event){ .at_ms = w.wakes_ms[i],
			.what = WAKE,
			.observer = (uint32_t)i });
	}
	return w;
}

static void
free_world(struct world *w)
{
	for (size_t i = 0; i < w->n; i++)
		fleet_free(w->of[i]);
	free(w->of);
	free(w->is_dead);
	free(w->wakes_ms);
	free(w->asked);
	free(w->events);
	free(w->due);
}

/* How many of the living have the node in that state. */
static size_t
count_state(const struct world *w, size_t node, enum node_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < w->n; i++)
		count += i != node && !w->is_dead[i] &&
		    fleet_state(w->of[i], node, w->now_ms) == state;
	return count;
}

/* Of the living, for whom it is no candidate: down, or never heard of. */
static size_t
count_out(const struct world *w, size_t node)
{
	return count_state(w, node, NODE_DOWN) + count_state(w, node, NODE_UNKNOWN);
}

struct span {
	uint64_t first_ms, share_ms;
};

/* In the order of the fleet's table, so far apart, from there on. */
struct victims {
	size_t n, first, apart;
};

static size_t
victim_of(const struct world *w, const struct victims *v, size_t i)
{
	return (v->first + i * v->apart) % w->n;
}

static bool
are_out(const struct world *w, const struct victims *v, unsigned share)
{
	for (size_t i = 0; i < v->n; i++) {
		if (count_out(w, victim_of(w, v, i)) * 100 < (w->n - v->n) * share)
			return false;
	}
	return true;
}

static bool
is_one_unnoticed(const struct world *w, const struct victims *v)
{
	for (size_t i = 0; i < v->n; i++) {
		if (count_state(w, victim_of(w, v, i), NODE_DOWN) == 0)
			return true;
	}
	return false;
}

/* From their death until each is out at the first of the others, and at `share` percent of them. */
static struct span
time_deaths(struct world *w, const struct victims *v, unsigned share)
{
	uint64_t start_ms = w->now_ms;
	struct span s = { 0 };

	for (size_t i = 0; i < v->n; i++)
		w->is_dead[victim_of(w, v, i)] = true;
	while (w->now_ms < start_ms + 30000 && !are_out(w, v, share)) {
		run_until(w, w->now_ms + 20);
		if (is_one_unnoticed(w, v))
			s.first_ms = w->now_ms - start_ms;
	}
	s.share_ms = w->now_ms - start_ms;
	return s;
}

static const struct {
	size_t n;
	unsigned loss_percent;
	uint64_t warm_ms;
	int deaths;
	size_t at_once;
	bool is_listed;
} deaths[] = {
	{ 3, 0, 20000, 20, 1, false },
	{ 3, 10, 20000, 20, 1, false },
	{ 9, 0, 20000, 20, 1, false },
	{ 9, 10, 20000, 20, 1, false },
	{ FLEET_SMALL, 0, 40000, 20, 1, false },
	{ FLEET_SMALL, 10, 40000, 20, 1, false },
	{ FLEET_SMALL + 1, 0, 40000, 20, 1, false },
	{ FLEET_SMALL + 1, 10, 40000, 20, 1, false },
	{ 100, 0, 40000, 20, 1, false },
	{ 100, 5, 40000, 20, 8, false },
	{ 100, 5, 40000, 20, 8, true },
	{ 100, 10, 40000, 20, 1, false },
	{ 1000, 0, 140000, 2, 8, false },
	{ 1000, 5, 140000, 2, 8, true },
	{ 1000, 10, 140000, 1, 1, false },
};

static uint64_t
max_ms(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void
revive(struct world *w, size_t node)
{
	fleet_free(w->of[node]);
	w->of[node] = fleet_new(w->n, node, roll(w), w->now_ms);
	w->is_dead[node] = false;
	w->wakes_ms[node] = w->now_ms;
	push(w, &(struct event){ .at_ms = w->now_ms, .what = WAKE, .observer = (uint32_t)node });
}

static struct span
longest_of(struct world *w, int times, size_t at_once)
{
	struct span longest = { 0 };

	for (int k = 0; k < times; k++) {
		struct victims v = { at_once, roll(w) % w->n, 1 + w->n / (at_once + 1) };
		struct span took = time_deaths(w, &v, 100);

		longest.first_ms = max_ms(longest.first_ms, took.first_ms);
		longest.share_ms = max_ms(longest.share_ms, took.share_ms);
		for (size_t i = 0; i < v.n; i++)
			revive(w, victim_of(w, &v, i));
		run_until(w, w->now_ms + 30000 + roll(w) % 1000); /* it is calm again */
	}
	return longest;
}

/* At all of the others, whatever the fleet's size. */
static void
test_dead_nodes_are_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(deaths); i++) {
		struct world w = make_world(deaths[i].n, deaths[i].loss_percent, 11 + i);
		struct span longest;

		w.is_listed = deaths[i].is_listed;
		run_until(&w, w.now_ms + deaths[i].warm_ms);
		longest = longest_of(&w, deaths[i].deaths, deaths[i].at_once);
		print_message("%zu nodes, %u %% lost, %zu at once%s: out at one after %llu ms, at "
			      "all others after %llu ms; %llu wrongly out\n",
		    deaths[i].n, deaths[i].loss_percent, deaths[i].at_once,
		    deaths[i].is_listed ? ", listed" : "", (unsigned long long)longest.first_ms,
		    (unsigned long long)longest.share_ms, (unsigned long long)w.false_downs);
		assert_true(longest.share_ms <= FLEET_DEAD_MS);
		free_world(&w);
	}
}

static const struct {
	size_t n;
	unsigned loss_percent;
	uint64_t span_ms;
	uint64_t most;       /* wrong ones in all */
	unsigned rate_centi; /* at most, of one node */
} calms[] = {
	{ 3, 10, 3600000, 0, 100 * FLEET_PROBES_PER_SECOND },
	{ 9, 10, 600000, 1, 110 * FLEET_PROBES_PER_SECOND },
	{ 100, 10, 600000, 4, CALM_CENTI * 2 },
	{ 100, 0, 600000, 0, CALM_CENTI * 11 / 10 },
	{ 1000, 5, 100000, 1, CALM_CENTI * 3 / 2 },
};

static void
test_loss_is_no_death(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(calms); i++) {
		struct world w = make_world(calms[i].n, calms[i].loss_percent, 5);

		run_until(&w, w.now_ms + 20000 + calms[i].n * 1000 / FLEET_PROBES_PER_SECOND);
		w.probes = 0;
		run_until(&w, w.now_ms + calms[i].span_ms);
		print_message("%zu nodes, %u %% lost, %llu s: %llu wrongly out, %.1f probes a "
			      "second of each\n",
		    calms[i].n, calms[i].loss_percent, (unsigned long long)calms[i].span_ms / 1000,
		    (unsigned long long)w.false_downs,
		    (double)w.probes * 1000 / (double)calms[i].span_ms / (double)calms[i].n);
		assert_true(w.false_downs <= calms[i].most);
		assert_true(w.probes <=
		    calms[i].n * calms[i].span_ms / 1000 * calms[i].rate_centi / 100);
		free_world(&w);
	}
}

/* Of one node within a second, in the calm of a large fleet: two rounds of who is watched meet. */
#define BUSY (2 * FLEET_WATCHED + 6)

/*
 * Runs for so many seconds. Sets what one node asked at most within one of them, and in how many of
 * them at most one node asked more often than in the calm. Returns how often all asked.
 */
static uint64_t
count_asked(struct world *w, unsigned seconds, unsigned *busiest, unsigned *hurried)
{
	unsigned *hurried_of = calloc(w->n, sizeof(*hurried_of));
	uint64_t before = w->probes;

	assert_non_null(hurried_of);
	*busiest = *hurried = 0;
	memset(w->asked, 0, w->n * sizeof(*w->asked));
	for (; seconds > 0; seconds--) {
		run_until(w, w->now_ms + 1000);
		for (size_t i = 0; i < w->n; i++) {
			*busiest = w->asked[i] > *busiest ? w->asked[i] : *busiest;
			hurried_of[i] += w->asked[i] > BUSY;
			*hurried = hurried_of[i] > *hurried ? hurried_of[i] : *hurried;
			w->asked[i] = 0;
		}
	}
	free(hurried_of);
	return w->probes - before;
}

/* A large fleet is calm, also beside nodes that are long gone; and one death hurries it for a while. */
static void
test_pace(void **state)
{
	static const unsigned calm_s = 200, alarm_s = 20, calm_centi = CALM_CENTI;
	struct world w = make_world(1000, 0, 21);
	unsigned busiest, hurried;
	uint64_t asked;

	(void)state;
	for (size_t i = 0; i < 10; i++)
		w.is_dead[i * 7] = true;
	run_until(&w, w.now_ms + 160000);
	asked = count_asked(&w, calm_s, &busiest, &hurried);
	print_message("1000 nodes in the calm: %.2f probes a second of each, %u in one at most\n",
	    (double)asked / 990 / calm_s, busiest);
	assert_in_range(asked, UINT64_C(990) * calm_s * CALM_CENTI / 100 * 95 / 100,
	    UINT64_C(990) * calm_s * CALM_CENTI / 100 * 105 / 100);
	assert_true(busiest <= BUSY);
	w.is_dead[500] = true;
	asked = count_asked(&w, calm_s, &busiest, &hurried);
	print_message("one dies: %u s of more probes at one node, %u in a second; of all %.2f more "
		      "each\n",
	    hurried, busiest, (double)asked / 989 - calm_centi / 100.0 * calm_s);
	assert_true(hurried <= alarm_s);
	assert_true(busiest <= FLEET_PROBES_PER_SECOND + 2 * FLEET_NEAR);
	assert_true(asked <= UINT64_C(990) *
		(calm_s * CALM_CENTI / 100 * 105 / 100 + alarm_s * FLEET_PROBES_PER_SECOND));
	count_asked(&w, 60, &busiest, &hurried);
	assert_true(busiest <= BUSY);
	assert_int_equal(w.false_downs, 0);
	free_world(&w);
}

/* A small fleet knows no calm: each asks all that it may, and no more. */
static void
test_pace_of_small_fleets(void **state)
{
	static const struct {
		size_t n;
		unsigned centi, most; /* a second: of probes; in one */
	} paces[] = { { 9, 100 * FLEET_PROBES_PER_SECOND, FLEET_PROBES_PER_SECOND + 1 },
		{ FLEET_SMALL, 100 * FLEET_PROBES_PER_SECOND, FLEET_PROBES_PER_SECOND + 1 },
		{ FLEET_SMALL + 1, CALM_CENTI, BUSY } };
	unsigned busiest, hurried;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(paces); i++) {
		struct world w = make_world(paces[i].n, 0, 3);
		uint64_t all = paces[i].n * paces[i].centi, asked;

		run_until(&w, w.now_ms + 30000);
		asked = count_asked(&w, 100, &busiest, &hurried);
		assert_in_range(asked, all - all / 20, all + all / 50);
		assert_true(busiest <= paces[i].most);
		free_world(&w);
	}
}

/* Half of the nodes are gone and come back: found out, and found again. */
static void
test_many_at_once(void **state)
{
	struct world w = make_world(9, 10, 77);
	uint64_t start_ms;

	(void)state;
	run_until(&w, w.now_ms + 20000);
	for (size_t i = 0; i < 4; i++)
		w.is_dead[i] = true;
	run_until(&w, w.now_ms + FLEET_DEAD_MS + 1000);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(count_state(&w, i, NODE_DOWN), 5);
	for (size_t i = 0; i < 4; i++)
		revive(&w, i);
	start_ms = w.now_ms;
	run_until(&w, start_ms + 6000);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(count_state(&w, i, NODE_DOWN) + count_state(&w, i, NODE_UNKNOWN),
		    0);
	free_world(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_asked_once_a_second),
		cmocka_unit_test(test_one_alone_asks_nobody),
		cmocka_unit_test(test_rate_is_bounded),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_losses_in_a_row),
		cmocka_unit_test(test_timeout_adapts),
		cmocka_unit_test(test_late_answers),
		cmocka_unit_test(test_hints_of_liars),
		cmocka_unit_test(test_suspects_are_told),
		cmocka_unit_test(test_promises),
		cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_wanted_is_no_help_for_the_lost),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_another_table),
		cmocka_unit_test(test_seen),
		cmocka_unit_test(test_who_is_near),
		cmocka_unit_test(test_dead_nodes_are_out),
		cmocka_unit_test(test_loss_is_no_death),
		cmocka_unit_test(test_pace),
		cmocka_unit_test(test_pace_of_small_fleets),
		cmocka_unit_test(test_many_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
