/* SPDX-License-Identifier: MIT */
/*
 * The registry: whose session, which id, what is kept and for how long.
 * links: placerd/registry.c placerd/session.c placerd/audit.c placerd/quota.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "placerd/registry.h"

#define DEV view_of("dev")

static struct session *
add(struct registry *r, const char *issuer, const char *subject, const char *key,
    uint64_t born_mono_ms)
{
	struct session s = { .born_mono_ms = born_mono_ms };

	assert_int_equal(id_session_new(1, &s.id), 0);
	snprintf(s.issuer, sizeof(s.issuer), "%s", issuer);
	snprintf(s.subject, sizeof(s.subject), "%s", subject);
	snprintf(s.idem_key, sizeof(s.idem_key), "%s", key);
	return registry_add(r, &s);
}

static void
end(struct registry *r, struct session *s, uint64_t ended_mono_ms)
{
	s->ended_mono_ms = ended_mono_ms;
	registry_settle(r, s);
}

static void
test_found_by_id_for_its_owner_alone(void **state)
{
	struct registry *r = registry_new();
	struct session *s = add(r, "dev", "alice", "", 0);
	struct id128 other;

	(void)state;
	assert_non_null(s);
	assert_int_equal(id_session_new(1, &other), 0);
	assert_ptr_equal(registry_find(r, &s->id), s);
	assert_null(registry_find(r, &other));
	assert_ptr_equal(registry_find_owned(r, &s->id, DEV, view_of("alice")), s);
	assert_null(registry_find_owned(r, &s->id, DEV, view_of("bob")));
	assert_null(registry_find_owned(r, &s->id, view_of("idp"), view_of("alice")));
	assert_null(registry_find_owned(r, &s->id, view_of("deva"), view_of("lice")));
	assert_null(registry_add(r, s)); /* the id is known */
	assert_int_equal(registry_live(r), 1);
	registry_free(r);
}

static void
test_walk_of_the_living(void **state)
{
	struct registry *r = registry_new();
	struct session *s[4];

	(void)state;
	assert_null(registry_next_live(r, NULL));
	for (size_t i = 0; i < 4; i++)
		s[i] = add(r, "dev", "alice", "", i);
	end(r, s[2], 10);
	end(r, s[0], 11);
	assert_ptr_equal(registry_next_live(r, NULL), s[1]);
	assert_ptr_equal(registry_next_live(r, s[1]), s[3]);
	assert_null(registry_next_live(r, s[3]));
	assert_ptr_equal(registry_next(r, NULL), s[0]); /* all of them: as they were made */
	registry_remove(r, s[1]);
	end(r, s[3], 12);
	assert_null(registry_next_live(r, NULL));
	assert_int_equal(registry_live(r), 0);
	assert_int_equal(registry_ended(r), 3);
	registry_free(r);
}

static void
test_walk_of_an_owner(void **state)
{
	struct registry *r = registry_new();
	struct session *first = add(r, "dev", "alice", "", 0), *s = NULL;
	char name[16];

	(void)state;
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "user-%d", i);
		assert_non_null(add(r, "dev", name, "", 0));
	}
	assert_non_null(add(r, "dev", "alice", "", 0));
	s = registry_next_of(r, DEV, view_of("alice"), NULL);
	assert_non_null(s);
	assert_ptr_not_equal(s, first); /* the newest comes first */
	assert_ptr_equal(registry_next_of(r, DEV, view_of("alice"), s), first);
	assert_null(registry_next_of(r, DEV, view_of("alice"), first));
	assert_null(registry_next_of(r, DEV, view_of("nobody"), NULL));
	registry_free(r);
}

static void
test_ended_ones_are_kept_ten_minutes(void **state)
{
	struct registry *r = registry_new();
	struct session *a = add(r, "dev", "alice", "", 0), *b = add(r, "dev", "alice", "", 0);
	struct id128 id = a->id;

	(void)state;
	end(r, a, 1000);
	end(r, a, 1000); /* once is enough */
	end(r, b, 5000);
	assert_int_equal(registry_live(r), 0);
	assert_int_equal(registry_ended(r), 2);
	registry_sweep(r, 1000 + REGISTRY_KEEP_MS - 1);
	assert_ptr_equal(registry_find(r, &id), a);
	registry_sweep(r, 1000 + REGISTRY_KEEP_MS);
	assert_null(registry_find(r, &id));
	assert_ptr_equal(registry_next_of(r, DEV, view_of("alice"), NULL), b);
	assert_int_equal(registry_ended(r), 1);
	registry_free(r);
}

/* Somebody who makes and ends sessions all day costs bounded memory. */
static void
test_ended_ones_are_bounded(void **state)
{
	struct registry *r = registry_new();

	(void)state;
	for (int i = 0; i < REGISTRY_ENDED_MAX + 10; i++) {
		struct session *s = add(r, "dev", "alice", "", 0);

		assert_non_null(s);
		end(r, s, 1);
	}
	registry_sweep(r, 2);
	assert_int_equal(registry_ended(r), REGISTRY_ENDED_MAX);
	registry_free(r);
}

static void
test_live_ones_are_bounded(void **state)
{
	struct registry *r = registry_new();
	struct session *s = NULL;

	(void)state;
	for (int i = 0; i < SESSION_SLOTS; i++)
		s = add(r, "dev", "alice", "", 0);
	assert_non_null(s);
	assert_null(add(r, "dev", "alice", "", 0));
	end(r, s, 1);
	assert_non_null(add(r, "dev", "alice", "", 0));
	registry_free(r);
}

static void
test_repeats(void **state)
{
	struct registry *r = registry_new();
	struct session *s = add(r, "dev", "alice", "key", 1000);
	struct view alice = view_of("alice"), key = view_of("key"), none = view_of("");

	(void)state;
	assert_non_null(add(r, "dev", "alice", "", 1000));
	assert_ptr_equal(registry_find_repeat(r, DEV, alice, key, 1000), s);
	assert_ptr_equal(registry_find_repeat(r, DEV, alice, key, 1000 + REGISTRY_REPEAT_MS - 1),
	    s);
	assert_null(registry_find_repeat(r, DEV, alice, key, 1000 + REGISTRY_REPEAT_MS));
	assert_null(registry_find_repeat(r, DEV, alice, none, 1000));
	assert_null(registry_find_repeat(r, DEV, alice, view_of("ke"), 1000));
	assert_null(registry_find_repeat(r, DEV, view_of("bob"), key, 1000));
	end(r, s, 1500);
	assert_ptr_equal(registry_find_repeat(r, DEV, alice, key, 2000), s);
	registry_free(r);
}

static void
test_walk_over_all(void **state)
{
	struct registry *r = registry_new();
	struct session *made[3], *s = NULL;

	(void)state;
	for (int i = 0; i < 3; i++)
		made[i] = add(r, "dev", "alice", "", 0);
	for (int i = 0; i < 3; i++) {
		s = registry_next(r, s);
		assert_ptr_equal(s, made[i]);
		end(r, s, 1); /* settled on the way */
	}
	assert_null(registry_next(r, s));
	registry_remove(r, made[1]);
	assert_ptr_equal(registry_next(r, made[0]), made[2]);
	registry_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_by_id_for_its_owner_alone),
		cmocka_unit_test(test_walk_of_the_living),
		cmocka_unit_test(test_walk_of_an_owner),
		cmocka_unit_test(test_ended_ones_are_kept_ten_minutes),
		cmocka_unit_test(test_ended_ones_are_bounded),
		cmocka_unit_test(test_live_ones_are_bounded),
		cmocka_unit_test(test_repeats),
		cmocka_unit_test(test_walk_over_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
