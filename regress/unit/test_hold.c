/* SPDX-License-Identifier: MIT */
/*
 * What the choice holds on to: home, or where one was last while home cannot have one.
 * links: placerd/hold.c placerd/place.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "placerd/hold.h"

enum { HOME, LAST, OTHER, NODES };

/* What is wrong with home. */
enum trouble { NOTHING, DOWN, UNKNOWN, SUSPECT, DRAINING, FULL, FAILED, TOO_SMALL, UNTRUSTED };

static void
make_nodes(struct place_node nodes[static NODES], enum trouble trouble)
{
	static const enum node_state states[] = { [DOWN] = NODE_DOWN,
		[UNKNOWN] = NODE_UNKNOWN,
		[SUSPECT] = NODE_SUSPECT,
		[DRAINING] = NODE_DRAINING };
	static const char *const names[NODES] = { "home", "last", "other" };

	for (size_t i = 0; i < NODES; i++)
		nodes[i] = (struct place_node){ .name = view_of(names[i]),
			.trust = TRUST_TRUSTED,
			.state = NODE_UP,
			.capacity = { 10, 4000, 1 << 20 },
			.latency_ms = 10 };
	if (trouble >= DOWN && trouble <= DRAINING)
		nodes[HOME].state = states[trouble];
	if (trouble == FULL)
		nodes[HOME].load.sessions = 10;
	if (trouble == TOO_SMALL)
		nodes[HOME].capacity.cpu_milli = 100;
	nodes[HOME].has_failed = trouble == FAILED;
	if (trouble == UNTRUSTED)
		nodes[HOME].trust = TRUST_BASIC;
}

static const struct {
	struct hold was;
	enum trouble trouble; /* of home */
	size_t current;       /* what is held on to */
	struct hold then;     /* when OTHER is chosen */
} rows[] = {
	{ { HOLD_NONE, HOLD_NONE }, NOTHING, HOLD_NONE, { OTHER, OTHER } },
	{ { HOME, HOME }, NOTHING, HOME, { OTHER, OTHER } }, /* another was worth the move */
	{ { HOME, LAST }, NOTHING, HOME, { OTHER, OTHER } },
	{ { HOME, LAST }, SUSPECT, HOME, { OTHER, OTHER } },
	/* What passes: it stays home. */
	{ { HOME, HOME }, FULL, HOME, { HOME, OTHER } },
	{ { HOME, LAST }, FULL, LAST, { HOME, OTHER } },
	{ { HOME, LAST }, TOO_SMALL, LAST, { HOME, OTHER } },
	{ { HOME, LAST }, DOWN, LAST, { HOME, OTHER } },
	{ { HOME, LAST }, UNKNOWN, LAST, { HOME, OTHER } },
	{ { HOME, LAST }, DRAINING, LAST, { HOME, OTHER } },
	{ { HOME, LAST }, FAILED, LAST, { HOME, OTHER } },
	{ { HOME, HOLD_NONE }, FULL, HOLD_NONE, { HOME, OTHER } },
	/* Policy does not permit it any more. */
	{ { HOME, LAST }, UNTRUSTED, LAST, { OTHER, OTHER } },
	/* Home has left the fleet. */
	{ { HOLD_NONE, LAST }, NOTHING, LAST, { OTHER, OTHER } },
};

static void
test_what_is_held_on_to(void **state)
{
	static const struct place_request request = { .min_trust = TRUST_TRUSTED,
		.needs = { 1, 500, 1 << 10 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct place_node nodes[NODES];
		struct hold then;

		make_nodes(nodes, rows[i].trouble);
		then = hold_after(&rows[i].was, &request, nodes, OTHER);
		print_message("row %zu\n", i);
		assert_true(hold_current(&rows[i].was, &request, nodes) == rows[i].current);
		assert_true(then.home == rows[i].then.home && then.last == rows[i].then.last);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_is_held_on_to) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
