/* SPDX-License-Identifier: MIT */
/* links: gatewayd/renewal.c gatewayd/peers.c gatewayd/api_json.c gatewayd/challenge.c gatewayd/origin.c */
/* links: gatewayd/askers.c gatewayd/source.c */
/*
 * Tests of gatewayd/renewal.c, and of what gatewayd/peers.c believes of authd: its neighbours, the
 * worker and the answer to a client are made up here.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <jansson.h>

#include "common/log.h"
#include "common/proc.h"
#include "gatewayd/answer.h"
#include "gatewayd/api.h"
#include "gatewayd/attach.h"
#include "gatewayd/limits.h"
#include "gatewayd/peers.h"
#include "gatewayd/renewal.h"
#include "gatewayd/worker.h"

#define ATTACHMENT 7
#define TOKEN "h.c.s"

static struct config config = { .request_timeout_ms = 1000 };
static struct gateway gateway = { .config = &config, .incarnation = 3 };
static const struct id128 session = { { 1 } }, other_session = { { 2 } };

/* What the made-up neighbours do, and what they were told. */
static struct {
	bool has_authd, takes_pair_down;
	size_t queued;
	int send_error;
	uint32_t wait;
	unsigned sent, answered, refusals, problems;
	enum msg_type type;
	uint64_t id, attachment;
	bool token_is_right;
	struct id128 session_id;
	int error; /* of the last answer to the worker */
	struct problem problem;
} world;

/* --- neighbours --- */

struct peer *
proc_peer(enum edge edge)
{
	static char peer;

	return edge == EDGE_GATE_AUTH && world.has_authd ? (struct peer *)(void *)&peer : NULL;
}

size_t
peer_queued(const struct peer *p)
{
	assert_non_null(p);
	return world.queued;
}

enum edge
peer_edge(const struct peer *p)
{
	assert_non_null(p);
	return EDGE_GATE_AUTH;
}

uint64_t
peer_epoch(const struct peer *p)
{
	assert_non_null(p);
	return 3;
}

bool
peer_fd_is_stream(int fd)
{
	return fd >= 0;
}

int
proc_send(enum edge edge, enum msg_type type, uint64_t id, const struct trace *trace,
    const void *payload, int fd)
{
	const struct pl_use_renewal *use = payload;

	assert_int_equal(edge, EDGE_GATE_AUTH);
	assert_non_null(trace);
	assert_int_equal(fd, -1);
	world.sent++;
	world.type = type;
	world.id = id;
	if (type == MSG_AUTH_RENEW) {
		world.token_is_right = view_is(use->token, TOKEN);
		world.session_id = use->session_id;
		world.attachment = use->attachment;
	}
	if (world.takes_pair_down)
		peers_edge_down(&gateway, EDGE_GATE_AUTH);
	return world.send_error;
}

void
workers_answer(struct workers *w, struct renewal *r)
{
	assert_null(w);
	world.answered++;
	world.error = r->error;
	renewal_free(r);
}

uint32_t
limits_wait(const struct limits *l, enum limit_kind kind, const struct source_key *from,
    uint64_t now_ms)
{
	(void)l;
	(void)from;
	(void)now_ms;
	return kind == LIMIT_FAILED_TOKENS ? world.wait : 0;
}

uint32_t
limits_take(struct limits *l, enum limit_kind kind, const struct source_key *from, uint64_t now_ms)
{
	(void)l;
	(void)from;
	(void)now_ms;
	assert_int_equal(kind, LIMIT_ATTACHES);
	return 0;
}

void
api_token_refused(struct gateway *g, const struct source_key *from, bool token_given, int error)
{
	assert_ptr_equal(g, &gateway);
	assert_non_null(from);
	assert_true(token_given);
	world.refusals += error != 0;
}

void
api_metrics_answer(struct conn *c, const struct pl_gate_ready *node)
{
	(void)c;
	(void)node;
	fail_msg("nothing here is a scrape");
}

struct view
api_header(const struct conn *c, const char *name)
{
	(void)c;
	(void)name;
	return view_bytes(NULL, 0);
}

void
answer_problem(struct conn *c, const struct problem *p)
{
	(void)c;
	world.problems++;
	world.problem = *p;
}

void
answer_error(struct conn *c, int error, const char *detail)
{
	answer_problem(c, &(struct problem){ .error = error, .detail = view_of(detail) });
}

void
answer_json(struct conn *c, unsigned status, struct json_t *obj)
{
	(void)c;
	(void)status;
	json_decref(obj);
	fail_msg("nothing here has a good answer");
}

void
answer_json_unready(struct conn *c, struct json_t *obj)
{
	answer_json(c, 503, obj);
}

void
answer_text(struct conn *c, const char *type, const char *text, size_t len)
{
	(void)type;
	(void)text;
	(void)len;
	answer_json(c, 200, NULL);
}

void
answer_relayed(struct conn *c, unsigned status, struct view json)
{
	(void)json;
	answer_json(c, status, NULL);
}

void
answer_elsewhere(struct conn *c, struct view url)
{
	(void)url;
	answer_json(c, 307, NULL);
}

void
attach_start(struct conn *c)
{
	(void)c;
	fail_msg("nothing here is attached");
}

/* --- the tests --- */

static int
setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	world.has_authd = true;
	memset(&gateway.metrics, 0, sizeof(gateway.metrics));
	TAILQ_INIT(&gateway.conns);
	gateway.base = event_base_new();
	gateway.requests = requests_new(gateway.base, 4, peers_request_lost, &gateway);
	return gateway.requests ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	requests_free(gateway.requests);
	event_base_free(gateway.base);
	return 0;
}

static void
ask(void)
{
	struct renewal *r = renewal_new(NULL, view_of(TOKEN));

	assert_non_null(r);
	r->session_id = session;
	r->attachment = ATTACHMENT;
	renewal_ask(&gateway, r);
}

static int
hear(struct msg *m)
{
	m->request_id = world.id;
	m->fd = -1;
	return peers_handlers[m->type](&gateway, NULL, m);
}

static int
hear_renewed(const struct id128 *session_id, uint64_t attachment)
{
	struct msg m = { .type = MSG_GATE_RENEWED,
		.u.renewed = { .session_id = *session_id, .attachment = attachment } };

	return hear(&m);
}

static int
hear_refused(const struct pl_gate_refused *why)
{
	struct msg m = { .type = MSG_GATE_REFUSED, .u.gate_refused = *why };

	return hear(&m);
}

static void
a_renewal_is_asked_and_answered(void **state)
{
	(void)state;
	ask();
	assert_int_equal(world.sent, 1);
	assert_int_equal(world.type, MSG_AUTH_RENEW);
	assert_true(world.token_is_right && id_equal(&world.session_id, &session));
	assert_int_equal(world.attachment, ATTACHMENT);
	assert_int_equal(requests_phase(gateway.requests, world.id), PH_RENEW);
	assert_int_equal(world.answered, 0);
	assert_int_equal(hear_renewed(&session, ATTACHMENT), 0);
	assert_int_equal(world.answered, 1);
	assert_int_equal(world.error, 0);
	assert_int_equal(gateway.metrics.renewals, 1);
	assert_int_equal(requests_count(gateway.requests), 0);
}

static void
an_answer_about_another_one_is_a_lie(void **state)
{
	static const struct pl_gate_refused bad_nonce = { .error = FOG_E_BAD_ATTACH_TOKEN,
		.nonce = { "a b", 3 } };

	(void)state;
	ask();
	assert_int_equal(hear_renewed(&other_session, ATTACHMENT), -FOG_E_LIAR);
	assert_int_equal(hear_renewed(&session, ATTACHMENT + 1), -FOG_E_LIAR);
	assert_int_equal(hear_refused(&bad_nonce), -FOG_E_LIAR);
	assert_int_equal(world.answered, 0);
	/* The pair ends, and with it the question. */
	peers_edge_down(&gateway, EDGE_GATE_AUTH);
	assert_int_equal(world.answered, 1);
	assert_int_equal(world.error, FOG_E_UNAVAILABLE);
	assert_int_equal(gateway.metrics.renewals_refused, 1);
}

static void
a_refusal_is_passed_on(void **state)
{
	static const struct pl_gate_refused used = { .error = FOG_E_USED_ATTACH_TOKEN,
		.detail = { "why", 3 } };

	(void)state;
	ask();
	assert_int_equal(hear_refused(&used), 0);
	assert_int_equal(world.error, FOG_E_USED_ATTACH_TOKEN);
	assert_int_equal(world.refusals, 1);
	assert_int_equal(gateway.metrics.renewals_refused, 1);
	assert_int_equal(requests_count(gateway.requests), 0);
}

static void
whatever_fails_is_answered_once(void **state)
{
	static const struct {
		bool has_authd, takes_pair_down;
		size_t queued;
		int send_error;
		uint32_t wait;
		unsigned sent;
		int error;
	} cases[] = {
		{ false, false, 0, 0, 0, 0, FOG_E_UNAVAILABLE },
		{ true, false, GATEWAY_PENDING_MAX, 0, 0, 0, FOG_E_FULL },
		{ true, false, 0, -FOG_E_BOUNDS, 0, 1, FOG_E_BOUNDS },
		{ true, true, 0, -FOG_E_LIAR, 0, 1, FOG_E_UNAVAILABLE },
		{ true, false, 0, 0, 5, 0, FOG_E_RATE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&world, 0, sizeof(world));
		world.has_authd = cases[i].has_authd;
		world.takes_pair_down = cases[i].takes_pair_down;
		world.queued = cases[i].queued;
		world.send_error = cases[i].send_error;
		world.wait = cases[i].wait;
		ask();
		assert_int_equal(world.sent, cases[i].sent);
		assert_int_equal(world.answered, 1);
		assert_int_equal(world.error, cases[i].error);
		assert_int_equal(requests_count(gateway.requests), 0);
	}
	(void)state;
}

static void
a_full_table_asks_nobody(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		ask();
	assert_int_equal(world.sent, 4);
	assert_int_equal(world.answered, 1);
	assert_int_equal(world.error, FOG_E_FULL);
	peers_edge_down(&gateway, EDGE_GATE_AUTH);
	assert_int_equal(world.answered, 5);
}

/* Which check failed stays in authd's log; how long to wait, and the nonce, do not. */
static void
a_401_has_no_detail_of_authd(void **state)
{
	static const struct pl_gate_refused bad = { .error = FOG_E_NEED_NONCE,
		.detail = { "nonce_old", 9 },
		.nonce = { "n1", 2 } },
					    busy = { .error = FOG_E_NO_KEYS,
						    .detail = { "no keys", 7 },
						    .retry_after_s = 9 };
	struct conn c = { .g = &gateway };

	(void)state;
	peers_ask(&c, MSG_AUTH_LOGOUT, PH_LOGOUT, &(struct pl_logout){ .token = view_of("t") });
	assert_int_equal(c.x.request_id, world.id);
	assert_int_equal(hear_refused(&bad), 0);
	assert_int_equal(c.x.request_id, 0);
	assert_int_equal(world.problem.error, FOG_E_NEED_NONCE);
	assert_int_equal(world.problem.detail.len, 0);
	assert_true(view_is(world.problem.nonce, "n1"));
	assert_int_equal(gateway.metrics.logouts_refused, 1);
	peers_ask(&c, MSG_AUTH_PROFILES, PH_PROFILES, &(struct pl_bearer){ 0 });
	assert_int_equal(hear_refused(&busy), 0);
	assert_true(view_is(world.problem.detail, "no keys"));
	assert_int_equal(world.problem.retry_after_s, 9);
	assert_int_equal(world.problems, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_renewal_is_asked_and_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_about_another_one_is_a_lie, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(a_refusal_is_passed_on, setup, teardown),
		cmocka_unit_test_setup_teardown(whatever_fails_is_answered_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_table_asks_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(a_401_has_no_detail_of_authd, setup, teardown),
	};

	log_init(-1, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
