/* SPDX-License-Identifier: MIT */
/* Tests of ptyd's own limits, whatever placerd says. links: ptyd/plan.c ptyd/slots.c */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "ptyd/plan.h"

#define UID_BASE 1879048192u

static struct pl_plan
good_plan(void)
{
	struct pl_plan p = { .profile = view_of("default"),
		.status = STATUS_STARTING,
		.created_s = 1000,
		.expires_s = 1060,
		.ttl_seconds = 60,
		.ring_bytes = 65536,
		.cpu_milli = 500,
		.memory_bytes = 1 << 29,
		.storage_bytes = 1 << 30,
		.pids = 512 };

	assert_int_equal(id_session_new(7, &p.session_id), 0);
	return p;
}

struct change {
	const char *name;
	void (*make)(struct pl_plan *p, struct plan_limits *l, struct plan_host *h);
	int rc;
};

#define CHANGE(name, statement) \
	static void name(struct pl_plan *p, struct plan_limits *l, struct plan_host *h) \
	{ \
		(void)p; \
		(void)l; \
		(void)h; \
		statement; \
	}
CHANGE(nothing, (void)0)
CHANGE(random_id, assert_int_equal(id_random(&p->session_id), 0); p->session_id.b[6] = 0x40)
CHANGE(known, h->id_known = true)
CHANGE(running, p->status = STATUS_RUNNING)
CHANGE(with_exit, p->exit_kind = EXIT_CODE)
CHANGE(with_reason, p->end_reason = END_TTL)
CHANGE(no_ttl, p->ttl_seconds = 0)
CHANGE(longest_ttl, p->ttl_seconds = PLAN_TTL_MAX_SECONDS)
CHANGE(ttl_too_long, p->ttl_seconds = PLAN_TTL_MAX_SECONDS + 1)
CHANGE(longest_idle, p->idle_timeout_s = PLAN_IDLE_MAX_SECONDS)
CHANGE(idle_too_long, p->idle_timeout_s = PLAN_IDLE_MAX_SECONDS + 1)
CHANGE(small_ring, p->ring_bytes = PLAN_RING_MIN_BYTES - 1)
CHANGE(large_ring, p->ring_bytes = PLAN_RING_MAX_BYTES + 1)
CHANGE(backwards, p->expires_s = p->created_s - 1)
CHANGE(for_ever, p->expires_s = UINT64_MAX)
CHANGE(full, h->living = l->max_sessions)
CHANGE(last_one, h->living = l->max_sessions - 1)
CHANGE(no_ids, l->uid_base = UINT32_MAX - 1000)

static void
test_check(void **state)
{
	static const struct change rows[] = {
		{ "a good plan", nothing, 0 },
		{ "no session id", random_id, -FOG_E_BOUNDS },
		{ "known already", known, -FOG_E_BOUNDS },
		{ "running", running, -FOG_E_BOUNDS },
		{ "has an exit", with_exit, -FOG_E_BOUNDS },
		{ "has a reason", with_reason, -FOG_E_BOUNDS },
		{ "no ttl", no_ttl, -FOG_E_BOUNDS },
		{ "longest ttl", longest_ttl, 0 },
		{ "longest idle time", longest_idle, 0 },
		{ "idle time too long", idle_too_long, -FOG_E_BOUNDS },
		{ "ttl too long", ttl_too_long, -FOG_E_BOUNDS },
		{ "small ring", small_ring, -FOG_E_BOUNDS },
		{ "large ring", large_ring, -FOG_E_BOUNDS },
		{ "ends before it begins", backwards, -FOG_E_BOUNDS },
		{ "for ever", for_ever, -FOG_E_BOUNDS },
		{ "the node is full", full, -FOG_E_FULL },
		{ "the last one", last_one, 0 },
		{ "no ids", no_ids, -FOG_E_FULL },
	};
	static const struct slots slots;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pl_plan p = good_plan();
		struct plan_limits limits = { 256, UID_BASE };
		struct plan_host host = { &slots, 0, false };
		uint32_t slot = 99;
		const char *why = "untouched";

		print_message("%s\n", rows[i].name);
		rows[i].make(&p, &limits, &host);
		assert_int_equal(plan_check(&p, &limits, &host, &slot, &why), rows[i].rc);
		assert_int_equal(slot, rows[i].rc == 0 ? 0 : 99);
		assert_int_equal(why == NULL, rows[i].rc == 0);
	}
}

static void
test_slots(void **state)
{
	struct slots s = { { 0 } };
	uint32_t slot;

	(void)state;
	for (uint32_t i = 0; i < SESSION_SLOTS; i++) {
		assert_int_equal(plan_free_slot(&s, SESSION_SLOTS, &slot), 0);
		assert_int_equal(slot, i);
		assert_false(slots_has(&s, slot));
		assert_true(slots_take(&s, slot));
		assert_true(slots_has(&s, slot));
		assert_false(slots_take(&s, slot));
	}
	assert_int_equal(plan_free_slot(&s, SESSION_SLOTS, &slot), -FOG_E_FULL);
	assert_false(slots_take(&s, SESSION_SLOTS));
	assert_false(slots_has(&s, SESSION_SLOTS));
	slots_release(&s, 1000);
	slots_release(&s, 63);
	slots_release(&s, SESSION_SLOTS);
	assert_int_equal(plan_free_slot(&s, SESSION_SLOTS, &slot), 0);
	assert_int_equal(slot, 63);
	assert_int_equal(plan_free_slot(&s, 63, &slot), -FOG_E_FULL);
}

/* No session's range has a holder's id in it, and each holder's id tells its slot. */
static void
test_holders(void **state)
{
	uint32_t slot;
	uid_t uid, first;

	(void)state;
	for (uint32_t i = 0; i < SESSION_SLOTS; i++) {
		assert_int_equal(slots_holder_uid(UID_BASE, i, &uid), 0);
		assert_true(plan_slot_of_holder(UID_BASE, uid, &slot));
		assert_int_equal(slot, i);
		assert_int_equal(slots_uid(UID_BASE, i, &first), 0);
		assert_true(uid >= UID_BASE + SESSION_SLOTS * 65536u);
		/* as builds before this one had it */
		assert_true(plan_slot_of_holder(UID_BASE, first, &slot));
		assert_int_equal(slot, i);
		assert_false(plan_slot_of_holder(UID_BASE, first + 1, &slot));
	}
	assert_false(plan_slot_of_holder(UID_BASE, uid + 1, &slot));
	assert_false(plan_slot_of_holder(UID_BASE, UID_BASE - 1, &slot));
	assert_false(plan_slot_of_holder(UID_BASE, UID_BASE + SESSION_RANGES * 65536u, &slot));
}

static void
test_uids(void **state)
{
	uid_t uid;

	(void)state;
	assert_int_equal(slots_uid(UID_BASE, 0, &uid), 0);
	assert_int_equal(uid, UID_BASE);
	assert_int_equal(slots_uid(UID_BASE, SESSION_SLOTS - 1, &uid), 0);
	assert_int_equal(uid, UID_BASE + (SESSION_SLOTS - 1) * 65536u);
	assert_int_equal(slots_uid(UID_BASE, SESSION_SLOTS, &uid), -FOG_E_BOUNDS);
	assert_int_equal(slots_uid(0, 0, &uid), -FOG_E_BOUNDS);
	assert_int_equal(slots_uid(4026466304u, SESSION_SLOTS - 1, &uid), 0);
	assert_int_equal(slots_holder_uid(4026466304u, SESSION_SLOTS - 1, &uid), 0);
	/* The holders' range of a higher base would hold (uid_t)-1. */
	assert_int_equal(slots_uid(4026531840u, SESSION_SLOTS - 1, &uid), 0);
	assert_int_equal(slots_holder_uid(4026531840u, 0, &uid), -FOG_E_BOUNDS);
	assert_int_equal(slots_holder_uid(UID_BASE, SESSION_SLOTS, &uid), -FOG_E_BOUNDS);
	assert_false(slots_own_uid(UID_BASE, 0));
	assert_false(slots_own_uid(UID_BASE, 1000));
	assert_false(slots_own_uid(UID_BASE, UID_BASE - 1));
	assert_true(slots_own_uid(UID_BASE, UID_BASE));
	assert_true(slots_own_uid(UID_BASE, UID_BASE + SESSION_RANGES * 65536u - 1));
	assert_false(slots_own_uid(UID_BASE, UID_BASE + SESSION_RANGES * 65536u));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_holders),
		cmocka_unit_test(test_uids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
