/* SPDX-License-Identifier: MIT */
/*
 * How long the clients of a real holder may stay attached: until their identity ends, is renewed or
 * is revoked (S10, S21).
 * links: ptyd/launch.c ptyd/initplan.c ptyd/connector_stub.c ptyd/pty.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "regress/unit/holder_session.h"

#define VIEWERS_MAX 32

static struct pl_grant
grant_until(const struct session *s, uint8_t role, uint64_t until_boot_ms, uint64_t sid_hash)
{
	struct pl_grant g = new_grant(s);

	g.role = role;
	g.until_boot_ms = until_boot_ms;
	g.sid_hash = sid_hash;
	return g;
}

static struct pl_regrant
regrant_of(const struct session *s, const struct stream *t, uint64_t until_boot_ms)
{
	struct pl_regrant g = { .session_id = s->id,
		.token_expires_boot_ms = boot_ms() + 60000,
		.role = t->hello.role,
		.until_boot_ms = until_boot_ms,
		.attachment = t->hello.attachment };

	assert_int_equal(id_random(&g.token_id), 0);
	return g;
}

static void
renew(struct session *s, const struct pl_regrant *g)
{
	assert_true(wire_send(&s->broker, MSG_HOLD_RENEW, 78, g, -1));
	expect(s, MSG_PTY_HOLDER_RENEWED);
	assert_int_equal(s->broker.m.request_id, 78);
	assert_true(id_equal(&s->broker.m.u.renewed.session_id, &s->id));
	assert_true(s->broker.m.u.renewed.attachment == g->attachment);
}

static void
renew_refused(struct session *s, const struct pl_regrant *g, int error)
{
	assert_true(wire_send(&s->broker, MSG_HOLD_RENEW, 79, g, -1));
	expect(s, MSG_PTY_HOLDER_REFUSED);
	assert_int_equal(s->broker.m.request_id, 79);
	assert_int_equal(s->broker.m.u.holder_refused.error, error);
}

static void
detach(struct session *s, uint64_t sid_hash)
{
	struct pl_detach d = { s->id, sid_hash };

	assert_true(wire_send(&s->broker, MSG_HOLD_DETACH, 0, &d, -1));
}

/* Told before, detached then, and the session runs on. */
static void
test_ends(void **state)
{
	struct session s;
	struct stream *driver, *viewer;
	uint64_t until, now_s;
	struct pl_grant g;

	(void)state;
	start_session(&s, 600);
	join(&s);
	until = boot_ms() + 1000;
	g = grant_until(&s, ROLE_DRIVER, until, 5);
	driver = attach_at(&s, &g);
	now_s = (uint64_t)wall_s();
	assert_in_range(driver->hello.until_s, now_s, now_s + 2);
	viewer = watch(&s);
	assert_true(viewer->hello.until_s == 0);
	type(driver, "echo st\"\"ays\n");
	await_text(driver, "stays\r\n");
	await_statuses(driver, STREAM_STATE_IDENTITY_EXPIRING, 1);
	/* A tenth of what is left, for it is less than a minute. */
	assert_true(boot_ms() + 110 >= until && boot_ms() < until);
	assert_in_range(driver->status_at_s, now_s, now_s + 2);
	await_end(driver);
	assert_true(boot_ms() >= until);
	assert_int_equal(driver->status, STREAM_STATE_IDENTITY_EXPIRED);
	assert_false(driver->has_exit);
	expect_state(&s, STATUS_DETACHED);
	/* Nobody else was told, but that the driver has gone. */
	await_statuses(viewer, STREAM_STATE_DRIVER_LEFT, 1);
	assert_int_equal(viewer->statuses[STREAM_STATE_IDENTITY_EXPIRING], 0);
	stream_free(driver);
	driver = attach(&s);
	type(driver, "echo go\"\"es on\n");
	await_text(driver, "goes on\r\n");
	stream_free(viewer);
	stream_free(driver);
	end_and_finish(&s);
}

/* What the client was promised comes before the end of its stream. */
static void
test_pending_bytes_come_first(void **state)
{
	struct session s;
	struct stream *t;
	struct pl_grant g;

	(void)state;
	start_session(&s, 600);
	join(&s);
	g = grant_until(&s, ROLE_DRIVER, boot_ms() + 700, 0);
	t = attach_at(&s, &g);
	type(t, "yes 0123456789 | head -c 4000000\n");
	/* It stands still from here to the end of its identity. */
	poll(NULL, 0, 800);
	await_end(t);
	assert_int_equal(t->status, STREAM_STATE_IDENTITY_EXPIRED);
	assert_int_equal(t->len, 0); /* no frame was cut */
	stream_free(t);
	end_and_finish(&s);
}

static void
test_renewed(void **state)
{
	struct session s;
	struct stream *driver, *viewer;
	struct pl_grant g;
	struct pl_regrant again;
	uint64_t until;

	(void)state;
	start_session(&s, 600);
	join(&s);
	until = boot_ms() + 1200;
	g = grant_until(&s, ROLE_DRIVER, until, 1);
	driver = attach_at(&s, &g);
	g = grant_until(&s, ROLE_VIEWER, until, 1);
	viewer = attach_at(&s, &g);
	assert_true(driver->hello.attachment != viewer->hello.attachment);
	again = regrant_of(&s, driver, until + 600000);
	renew(&s, &again);
	await_statuses(driver, STREAM_STATE_RENEWED, 1);
	assert_in_range(driver->status_at_s, (uint64_t)wall_s() + 590, (uint64_t)wall_s() + 610);
	/* The viewer was not. */
	await_end(viewer);
	assert_int_equal(viewer->status, STREAM_STATE_IDENTITY_EXPIRED);
	type(driver, "echo still he\"\"re\n");
	await_text(driver, "still here\r\n");
	assert_int_equal(driver->statuses[STREAM_STATE_IDENTITY_EXPIRING], 0);
	/* To no end, and to one that is near: the new one counts. */
	again = regrant_of(&s, driver, 0);
	renew(&s, &again);
	await_statuses(driver, STREAM_STATE_RENEWED, 2);
	assert_true(driver->status_at_s == 0);
	again = regrant_of(&s, driver, boot_ms() + 300);
	renew(&s, &again);
	await_end(driver);
	assert_int_equal(driver->statuses[STREAM_STATE_IDENTITY_EXPIRING], 1);
	assert_int_equal(driver->status, STREAM_STATE_IDENTITY_EXPIRED);
	stream_free(driver);
	stream_free(viewer);
	end_and_finish(&s);
}

static void
test_renewal_refused(void **state)
{
	struct session s;
	struct stream *driver;
	struct pl_grant g, attach_again;
	struct pl_regrant again, bad;

	(void)state;
	start_session(&s, 600);
	join(&s);
	g = grant_until(&s, ROLE_DRIVER, boot_ms() + 60000, 1);
	driver = attach_at(&s, &g);
	again = regrant_of(&s, driver, boot_ms() + 90000);
	bad = again;
	bad.attachment += 1;
	renew_refused(&s, &bad, FOG_E_NO_ATTACHMENT);
	bad = again;
	bad.role = ROLE_VIEWER;
	renew_refused(&s, &bad, FOG_E_ROLE);
	bad = again;
	bad.until_boot_ms = boot_ms() - 1;
	renew_refused(&s, &bad, FOG_E_BAD_ATTACH_TOKEN);
	bad = again;
	bad.token_expires_boot_ms = boot_ms() - 1;
	renew_refused(&s, &bad, FOG_E_BAD_ATTACH_TOKEN);
	bad = again;
	bad.token_id = g.token_id; /* that it came with */
	renew_refused(&s, &bad, FOG_E_USED_ATTACH_TOKEN);
	/* No refusal used it up; a renewal does, for attaching too. */
	renew(&s, &again);
	renew_refused(&s, &again, FOG_E_USED_ATTACH_TOKEN);
	attach_again = new_grant(&s);
	attach_again.token_id = again.token_id;
	assert_refused(&s, &attach_again, FOG_E_USED_ATTACH_TOKEN);
	await_statuses(driver, STREAM_STATE_RENEWED, 1);
	/* An identity that is over attaches nobody. */
	g = grant_until(&s, ROLE_DRIVER, boot_ms(), 1);
	assert_refused(&s, &g, FOG_E_BAD_ATTACH_TOKEN);
	stream_free(driver);
	expect_state(&s, STATUS_DETACHED);
	bad = again;
	assert_int_equal(id_random(&bad.token_id), 0);
	renew_refused(&s, &bad, FOG_E_NO_ATTACHMENT);
	end_and_finish(&s);
}

/* Those of the sid that was revoked, and those that have none. */
static void
test_revoked_by_sid(void **state)
{
	struct session s;
	struct stream *driver, *mine, *none;
	struct pl_grant g;
	struct pl_regrant again;

	(void)state;
	start_session(&s, 600);
	join(&s);
	g = grant_until(&s, ROLE_DRIVER, 0, 11);
	driver = attach_at(&s, &g);
	g = grant_until(&s, ROLE_VIEWER, 0, 22);
	mine = attach_at(&s, &g);
	g = grant_until(&s, ROLE_VIEWER, 0, 0);
	none = attach_at(&s, &g);
	detach(&s, 22);
	await_end(mine);
	await_end(none);
	assert_int_equal(mine->status, STREAM_STATE_REVOKED);
	assert_int_equal(none->status, STREAM_STATE_REVOKED);
	type(driver, "echo not m\"\"e\n");
	await_text(driver, "not me\r\n");
	/* A renewal under another sid counts from then on. */
	again = regrant_of(&s, driver, 0);
	again.sid_hash = 33;
	renew(&s, &again);
	detach(&s, 11);
	await_statuses(driver, STREAM_STATE_RENEWED, 1);
	assert_int_equal(driver->statuses[STREAM_STATE_REVOKED], 0);
	detach(&s, 33);
	await_end(driver);
	assert_int_equal(driver->status, STREAM_STATE_REVOKED);
	stream_free(driver);
	stream_free(mine);
	stream_free(none);
	end_and_finish(&s);
}

/* Each of a full house is told why. */
static void
test_everybody_revoked(void **state)
{
	struct stream *all[VIEWERS_MAX + 1];
	struct session s;

	(void)state;
	start_session(&s, 600);
	join(&s);
	all[0] = attach(&s);
	for (size_t i = 1; i < COUNT_OF(all); i++)
		all[i] = watch(&s);
	detach(&s, 0);
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		await_end(all[i]);
		assert_int_equal(all[i]->status, STREAM_STATE_REVOKED);
		stream_free(all[i]);
	}
	all[0] = attach(&s);
	type(all[0], "echo aga\"\"in\n");
	await_text(all[0], "again\r\n");
	stream_free(all[0]);
	end_and_finish(&s);
}

/* One that reads nothing is let go all the same (S10). */
static void
test_revoked_without_reading(void **state)
{
	struct session s;
	struct stream *t;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	type(t, "cat /dev/zero\n");
	poll(NULL, 0, 300);
	detach(&s, 0);
	expect_state(&s, STATUS_DETACHED);
	stream_free(t);
	end_and_finish(&s);
}

/* Of another session: the broker has been broken into. */
static void
test_wrong_session(void **state)
{
	struct session s;
	struct pl_detach d = { .sid_hash = 0 };

	(void)state;
	start_session(&s, 600);
	join(&s);
	assert_true(wire_send(&s.broker, MSG_HOLD_DETACH, 0, &d, -1));
	assert_false(wire_expect(&s.broker, MSG_PTY_HOLDER_STATE)); /* it hangs up */
	join(&s);
	end_and_finish(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_pending_bytes_come_first),
		cmocka_unit_test(test_renewed),
		cmocka_unit_test(test_renewal_refused),
		cmocka_unit_test(test_revoked_by_sid),
		cmocka_unit_test(test_everybody_revoked),
		cmocka_unit_test(test_revoked_without_reading),
		cmocka_unit_test(test_wrong_session),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
