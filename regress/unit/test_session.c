/* SPDX-License-Identifier: MIT */
/*
 * The states of a session: every pair of them, and what an end sets off.
 * links: placerd/session.c placerd/audit.c placerd/quota.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "placerd/audit.h"
#include "placerd/quota.h"
#include "placerd/session.h"

/* Rows: from; columns: to, in the order none starting running detached exited expired
 * terminated failed lost. */
static const char *const legal[STATUS_COUNT] = {
	[STATUS_NONE] = ".xxxxxxxx",
	[STATUS_STARTING] = "..xxxxxxx",
	[STATUS_RUNNING] = "...xxxxxx",
	[STATUS_DETACHED] = "..x.xxxxx",
	[STATUS_EXITED] = ".........",
	[STATUS_EXPIRED] = ".........",
	[STATUS_TERMINATED] = ".........",
	[STATUS_FAILED] = ".........",
	[STATUS_LOST] = ".........",
};

static void
test_every_transition(void **state)
{
	(void)state;
	for (unsigned from = 0; from < STATUS_COUNT; from++) {
		for (unsigned to = 0; to < STATUS_COUNT; to++)
			assert_int_equal(session_may_become(from, to), legal[from][to] == 'x');
	}
	assert_false(session_may_become(STATUS_COUNT, STATUS_RUNNING));
	assert_false(session_may_become(STATUS_NONE, STATUS_COUNT));
}

struct world {
	struct session_keepers keepers;
	int disk;
	struct session s;
};

static struct pl_owned
described(void)
{
	struct pl_owned o = { .profile = view_of("default"),
		.status = STATUS_STARTING,
		.created_s = 100,
		.expires_s = 200,
		.node = view_of("fog-1"),
		.region = view_of("local"),
		.tier = TIER_FOG,
		.placement_reason = view_of("local-only"),
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.idem_key = view_of("k"),
		.idem_hash = 7 };

	assert_int_equal(id_session_new(1, &o.session_id), 0);
	return o;
}

static int
set_up(void **state)
{
	static struct world w;
	struct pl_owned o = described();
	int pair[2];

	memset(&w, 0, sizeof(w));
	assert_int_equal(json_init(), 0);
	assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
	w.disk = pair[0];
	w.keepers.audit = audit_new(pair[1], -1);
	w.keepers.quota = quota_new();
	assert_non_null(w.keepers.audit);
	assert_non_null(w.keepers.quota);
	assert_int_equal(session_fill(&w.s, &o), 0);
	*state = &w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	audit_free(w->keepers.audit);
	quota_free(w->keepers.quota);
	close(w->disk);
	return 0;
}

static uint32_t
counted(const struct world *w)
{
	struct quota_key key = { view_of("dev"), view_of("alice"), view_of("default") };

	return quota_count(w->keepers.quota, &key);
}

static void
become(struct world *w, enum session_status status, int rc)
{
	struct session_change to = { .status = status };

	assert_int_equal(session_set_state(&w->s, &to, &w->keepers), rc);
}

static void
test_an_end_is_audited_and_frees_the_place(void **state)
{
	struct world *w = *state;
	struct session_change exited = { STATUS_EXITED, END_EXIT, EXIT_CODE, 3 };
	char text[4096];
	json_t *line;
	ssize_t n;

	assert_int_equal(session_count(&w->s, &w->keepers, 1), 0);
	assert_int_equal(counted(w), 1);
	become(w, STATUS_STARTING, 0);
	become(w, STATUS_DETACHED, 0);
	become(w, STATUS_RUNNING, 0);
	assert_int_equal(counted(w), 1);
	assert_true(read(w->disk, text, sizeof(text)) < 0);
	assert_int_equal(session_set_state(&w->s, &exited, &w->keepers), 0);
	assert_int_equal(counted(w), 0);
	assert_true(w->s.ended_mono_ms > 0);
	n = read(w->disk, text, sizeof(text) - 1);
	assert_true(n > 0);
	line = json_loadb(text, (size_t)n, JSON_DISABLE_EOF_CHECK, NULL);
	assert_string_equal(json_string_value(json_object_get(line, "event")),
	    "session.terminated");
	assert_string_equal(json_string_value(json_object_get(line, "reason")), "exit");
	assert_string_equal(json_string_value(json_object_get(line, "detail")), "exit code 3");
	assert_string_equal(json_string_value(json_object_get(line, "subject")), "alice");
	json_decref(line);
}

static void
test_an_end_is_final(void **state)
{
	struct world *w = *state;
	struct session_change lost = { .status = STATUS_LOST, .end_reason = END_HOLDER };
	struct session_change expired = { .status = STATUS_EXPIRED, .end_reason = END_TTL };

	assert_int_equal(session_count(&w->s, &w->keepers, 1), 0);
	become(w, STATUS_DETACHED, 0);
	assert_int_equal(session_set_state(&w->s, &lost, &w->keepers), 0);
	assert_int_equal(session_set_state(&w->s, &lost, &w->keepers), 0);
	assert_int_equal(session_set_state(&w->s, &expired, &w->keepers), -FOG_E_INTERNAL);
	become(w, STATUS_RUNNING, -FOG_E_INTERNAL);
	assert_int_equal(w->s.status, STATUS_LOST);
	assert_int_equal(w->s.end_reason, END_HOLDER);
	assert_int_equal(counted(w), 0);
}

static void
test_count_and_uncount_are_paired(void **state)
{
	struct world *w = *state;
	struct session other = w->s;

	assert_int_equal(session_count(&w->s, &w->keepers, 1), 0);
	assert_int_equal(session_count(&other, &w->keepers, 1), -FOG_E_QUOTA);
	session_uncount(&other, &w->keepers);
	assert_int_equal(counted(w), 1);
	session_uncount(&w->s, &w->keepers);
	session_uncount(&w->s, &w->keepers);
	assert_int_equal(counted(w), 0);
}

static void
test_texts_that_do_not_fit(void **state)
{
	struct world *w = *state;
	struct pl_owned o = described();
	char text[300];

	memset(text, 'a', sizeof(text));
	o.subject = view_bytes(text, 255);
	assert_int_equal(session_fill(&w->s, &o), 0);
	o.subject = view_bytes(text, 256);
	assert_int_equal(session_fill(&w->s, &o), -FOG_E_BOUNDS);
	o.subject = view_bytes("a\0b", 3);
	assert_int_equal(session_fill(&w->s, &o), -FOG_E_BOUNDS);
}

static void
test_wire_form(void **state)
{
	struct world *w = *state;
	unsigned char record[1024];
	struct writer writer;
	struct pl_session wire;

	become(w, STATUS_DETACHED, 0);
	wire = session_to_wire(&w->s);
	assert_int_equal(wire.status, STATUS_DETACHED);
	assert_true(view_is(wire.placement_reason, "local-only"));
	assert_int_equal(wire.expires_s, 200);
	writer_init(&writer, record, sizeof(record));
	assert_int_equal(msg_put(&writer, MSG_AUTH_SESSION, 1, NULL, &wire), 0);
	assert_true(session_is_owned_by(&w->s, view_of("dev"), view_of("alice")));
	assert_false(session_is_owned_by(&w->s, view_of("idp"), view_of("alice")));
	assert_false(session_is_owned_by(&w->s, view_of("dev"), view_of("alic")));
}

#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_transition),
		WITH_WORLD(test_an_end_is_audited_and_frees_the_place),
		WITH_WORLD(test_an_end_is_final),
		WITH_WORLD(test_count_and_uncount_are_paired),
		WITH_WORLD(test_texts_that_do_not_fit),
		WITH_WORLD(test_wire_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
