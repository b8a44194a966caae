/* SPDX-License-Identifier: MIT */
/*
 * Requests that authd passes on to other nodes: gatewayd, placerd and the fetcher are played by hand.
 * links: authd/peers.c authd/asked.c authd/forward.c authd/confirm.c authd/listing.c authd/nodeanswer.c
 * links: authd/nodefetch.c authd/verify.c authd/known.c authd/attachtoken.c authd/devtoken.c
 * links: authd/keyfetch.c authd/keys.c authd/waiting.c authd/token.c authd/claims.c authd/claimread.c
 * links: authd/jwk.c authd/jwkread.c authd/jwa.c authd/jws.c authd/tokenerr.c authd/metadata.c
 * links: authd/httpsurl.c authd/dpop.c authd/seen.c authd/htu.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "authd/asked.h"
#include "authd/confirm.h"
#include "authd/listing.h"
#include "authd/nodefetch.h"
#include "authd/peers.h"
#include "common/requests.h"
#include "regress/unit/role_check.h"

#define GATE EDGE_GATE_AUTH
#define PLACE EDGE_AUTH_PLACE
#define FETCH EDGE_AUTH_FETCH

#define NODE "fog-b"
#define URL "https://b.fog.example.org"

static struct authd authd;
static struct id128 there; /* a session of NODE */
static char there_text[ID_TEXT_SIZE];

static int
set_up(void **state)
{
	(void)state;
	memset(&authd, 0, sizeof(authd));
	authd.keys.ttl_seconds = 60;
	assert_int_equal(verify_init(&authd.keys), 0);
	assert_int_equal(secret_init_random(&authd.keys.signing_key, 32), 0);
	role.self = PROC_AUTHD;
	role.ctx = &authd;
	role.edge_up = peers_edge_up;
	role.edge_down = peers_edge_down;
	role.ops.handlers = authd_handlers;
	role.ops.phase_of = peers_phase_of;
	role_begin();
	free(role.config.fleet_origins);
	role.config.fleet_origins = strdup("https://*.fog.example.org");
	assert_non_null(role.config.fleet_origins);
	assert_int_equal(verify_configure(&authd, &role.config), 0);
	assert_int_equal(peers_start(&authd), 0);
	connect_neighbour(GATE);
	connect_neighbour(PLACE);
	connect_neighbour(FETCH);
	assert_int_equal(id_session_new(id_node_tag(NODE), &there), 0);
	id_format(&there, there_text);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	requests_clear(authd.requests, -FOG_E_UNAVAILABLE);
	requests_free(authd.requests);
	confirms_free(&authd);
	nodefetches_free(authd.nodes);
	event_free(authd.place_free);
	secret_wipe(&authd.keys.signing_key);
	role_end();
	return 0;
}

#define AS(token) .bearer = view_of(token), .scheme = SCHEME_BEARER

static void
ask_create(uint64_t id, const char *forwarded_by, const char *idem_key)
{
	struct pl_bearer_create want = { AS("alice"), .profile = view_of("de\"fault"),
		.ttl_seconds = 60, .idem_key = view_of(idem_key),
		.forwarded_by = view_of(forwarded_by) };

	say(GATE, MSG_AUTH_CREATE, id, &want);
	assert_true(view_is(hear(PLACE, MSG_PLACE_CREATE, id)->create.forwarded_by, forwarded_by));
}

static void
ask_about(enum msg_type type, enum msg_type passed_on, uint64_t id)
{
	struct pl_bearer_mint want = { AS("alice"), .session_id = there, .role = ROLE_DRIVER };
	struct pl_bearer_extend longer = { AS("alice"), .session_id = there, .ttl_seconds = 90 };

	say(GATE, type, id, type == MSG_AUTH_EXTEND ? (const void *)&longer : &want);
	hear(PLACE, passed_on, id);
}

static void
name_node_at(uint64_t id, const struct id128 *session_id, const char *url)
{
	struct pl_forward to = { .node = view_of(NODE),
		.url = view_of(url),
		.self = view_of("fog-a"),
		.timeout_ms = 1500,
		.reason = view_of("fog-first") };

	if (session_id)
		to.session_id = *session_id;
	say(PLACE, MSG_AUTH_FORWARD, id, &to);
}

/* What the fetcher is asked; the id is for its answer. */
static uint64_t
hear_fetch(uint8_t method, const char *url, const char *body)
{
	const struct pl_fetch *f = &hear(FETCH, MSG_FETCH_SEND, 0)->fetch;

	assert_true(view_is(f->url, url));
	assert_int_equal(f->method, method);
	assert_int_equal(f->to, FETCH_TO_NODE);
	assert_true(view_is(f->authorization, "Bearer alice"));
	assert_true(view_is(f->forwarded_by, "fog-a"));
	assert_true(view_is(f->body, body));
	assert_true(role.heard.request_id >> 63);
	return role.heard.request_id;
}

static void
answer_fetch(uint64_t id, unsigned status, const char *body)
{
	struct pl_fetched end = { .status = (uint16_t)status,
		.total_bytes = (uint32_t)strlen(body) };

	/* In two parts, as it may come. */
	for (size_t at = 0; at < strlen(body); at += 100) {
		size_t left = strlen(body) - at;
		struct pl_fetched_part part = { .part = view_bytes(body + at,
						    left < 100 ? left : 100) };

		say(FETCH, MSG_AUTH_FETCHED_PART, id, &part);
	}
	say(FETCH, MSG_AUTH_FETCHED, id, &end);
}

static void
fail_fetch(uint64_t id, enum fetch_error error)
{
	struct pl_fetched end = { .error = (uint8_t)error };

	say(FETCH, MSG_AUTH_FETCHED, id, &end);
}

static void
hear_forwarded(uint64_t id, enum forward_result result, unsigned status, const char *detail)
{
	const struct pl_forwarded *said = &hear(PLACE, MSG_PLACE_FORWARDED, id)->forwarded;

	assert_int_equal(said->result, result);
	assert_int_equal(said->status, status);
	assert_true(view_is(said->detail, detail));
}

static const char *
created_body(void)
{
	static char text[1024];

	snprintf(text, sizeof(text),
	    "{\"session_id\":\"%s\",\"attach\":{\"ws_url\":\"wss://b.fog.example.org/v1/sessions/%s/pty\","
	    "\"token\":\"t.o.k\",\"expires_at\":\"2026-01-02T03:04:05Z\"},\"placement\":{\"node\":\"" NODE
	    "\",\"region\":\"\",\"tier\":\"fog\"},\"placement_reason\":\"x\"}",
	    there_text, there_text);
	return text;
}

static const char *
session_url(const char *tail)
{
	static char text[256];

	snprintf(text, sizeof(text), URL "/v1/sessions/%s%s", there_text, tail);
	return text;
}

#define CREATE_BODY \
	"{\"profile\":\"de\\\"fault\",\"ttl_seconds\":60,\"placement_hint\":\"" NODE "\"}"
#define PROBLEM(status) \
	"{\"title\":\"No\",\"status\":" #status ",\"code\":\"no\",\"detail\":\"why\"}"

static void
test_create_is_forwarded_and_confirmed(void **state)
{
	const union payload *u;
	uint64_t fetch;

	(void)state;
	ask_create(1, "", "key");
	name_node_at(1, NULL, URL);
	fetch = hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY);
	assert_true(view_is(role.heard.u.fetch.idem_key, "key"));
	assert_int_equal(role.heard.u.fetch.timeout_ms, 1500);
	answer_fetch(fetch, 201, created_body());
	u = hear(PLACE, MSG_PLACE_FORWARDED, 1);
	assert_int_equal(u->forwarded.result, FORWARD_DONE);
	assert_true(id_equal(&u->forwarded.session_id, &there));
	u = hear(GATE, MSG_GATE_RELAYED, 1);
	assert_int_equal(u->relayed.status, 201);
	assert_non_null(memmem(u->relayed.body.p, u->relayed.body.len,
	    "\"placement_reason\":\"fog-first\"", 30));
	assert_int_equal(requests_count(authd.requests), 0);
	/* Three tries at most, and a node in trouble is asked again. */
	fetch = hear_fetch(METHOD_POST, session_url("/confirm"), "");
	answer_fetch(fetch, 503, PROBLEM(503));
	hear_nothing(FETCH);
	turn_for_ms(350);
	fetch = hear_fetch(METHOD_POST, session_url("/confirm"), "");
	answer_fetch(fetch, 200, "{\"confirmed\":true}");
	turn_for_ms(700);
	hear_nothing(FETCH);
	assert_int_equal(authd.confirm_count, 0);
	assert_int_equal(role.lies, 0);
}

static void
test_confirm_gives_up(void **state)
{
	uint64_t fetch;

	(void)state;
	ask_create(1, "", "key");
	name_node_at(1, NULL, URL);
	answer_fetch(hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY), 201, created_body());
	for (int i = 0; i < 3; i++) {
		fetch = hear_fetch(METHOD_POST, session_url("/confirm"), "");
		fail_fetch(fetch, FETCH_E_CONNECT);
		turn_for_ms(350 * (unsigned)(i + 1));
	}
	hear_nothing(FETCH);
	assert_int_equal(authd.confirm_count, 0);
}

/* The next node is named while the request goes on; then it may be made here after all. */
static void
test_next_candidate(void **state)
{
	struct pl_session row = { .session_id = there,
		.profile = view_of("default"),
		.status = STATUS_DETACHED,
		.node = view_of("fog-a"),
		.tier = TIER_FOG,
		.placement_reason = view_of("next-best") };

	(void)state;
	ask_create(1, "", "");
	name_node_at(1, NULL, URL);
	fail_fetch(hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY), FETCH_E_CONNECT);
	hear_forwarded(1, FORWARD_FAILED, 0, "connection_failed");
	name_node_at(1, NULL, URL);
	answer_fetch(hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY), 503, PROBLEM(503));
	hear_forwarded(1, FORWARD_REFUSED, 503, "no: why");
	name_node_at(1, NULL, URL);
	answer_fetch(hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY), 201, "{}");
	hear_forwarded(1, FORWARD_FAILED, 201, "not what the API answers");
	hear_nothing(GATE);
	say(PLACE, MSG_AUTH_CREATED, 1, &row);
	hear(GATE, MSG_GATE_CREATED, 1);
	hear_nothing(FETCH);
	assert_int_equal(role.lies, 0);
}

/* Without a key of the client's one is made, the same at each node that is asked. */
static void
test_idempotency_key_is_made(void **state)
{
	char key[129];

	(void)state;
	ask_create(1, "", "");
	name_node_at(1, NULL, URL);
	fail_fetch(hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY), FETCH_E_TIME);
	hear_forwarded(1, FORWARD_FAILED, 0, "timeout");
	name_node_at(1, NULL, URL);
	hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY);
	assert_int_equal(view_copy(role.heard.u.fetch.idem_key, key, sizeof(key)), 0);
	assert_true(strlen(key) >= 32);
}

static const struct about_row {
	enum msg_type asked, passed_on;
	uint8_t method;
	const char *tail, *body;
	unsigned status;
	const char *answer;
} about_rows[] = {
	{ MSG_AUTH_END, MSG_PLACE_END, METHOD_DELETE, "", "", 200, "{\"terminated\":true}" },
	{ MSG_AUTH_SHOW, MSG_PLACE_SHOW, METHOD_GET, "", "", 404, PROBLEM(404) },
	{ MSG_AUTH_MINT, MSG_PLACE_MINT, METHOD_POST, "/attach", "{\"role\":\"driver\"}", 401,
	    PROBLEM(401) },
	{ MSG_AUTH_EXTEND, MSG_PLACE_EXTEND, METHOD_PATCH, "", "{\"ttl_seconds\":90}", 422,
	    PROBLEM(422) },
};

static void
test_requests_about_sessions(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(about_rows); i++) {
		const struct about_row *row = &about_rows[i];
		const union payload *u;
		uint64_t fetch;

		ask_about(row->asked, row->passed_on, 10 + i);
		name_node_at(10 + i, &there, URL);
		fetch = hear_fetch(row->method, session_url(row->tail), row->body);
		assert_int_equal(role.heard.u.fetch.idem_key.len, 0);
		answer_fetch(fetch, row->status, row->answer);
		hear_forwarded(10 + i, FORWARD_DONE, row->status, "");
		u = hear(GATE, MSG_GATE_RELAYED, 10 + i);
		assert_int_equal(u->relayed.status, row->status);
		hear_nothing(FETCH);
	}
	ask_about(MSG_AUTH_SHOW, MSG_PLACE_SHOW, 20);
	name_node_at(20, &there, URL);
	answer_fetch(hear_fetch(METHOD_GET, session_url(""), ""), 500, PROBLEM(500));
	hear_forwarded(20, FORWARD_REFUSED, 500, "no: why");
	assert_int_equal(role.lies, 0);
}

/* A token that is bound to a key is shown to no other node: its holder asks there (RFC 9449). */
static void
test_bound_token(void **state)
{
	const union payload *u;

	(void)state;
	ask_about(MSG_AUTH_SHOW, MSG_PLACE_SHOW, 1);
	asked_find(&authd, 1)->is_bound = true; /* the dev shim binds none */
	name_node_at(1, &there, URL);
	u = hear(GATE, MSG_GATE_REDIRECT, 1);
	assert_true(view_is(u->redirect.node, NODE) && view_is(u->redirect.url, URL));
	hear_forwarded(1, FORWARD_BOUND, 0, "");
	hear_nothing(FETCH);
	assert_int_equal(requests_count(authd.requests), 0);
}

/* What placerd must not bring authd to: each is a lie of its own. */
static void
test_lying_placerd(void **state)
{
	static const char *const urls[] = { "https://evil.example.org",
		"https://b.fog.example.org/x", "https://b.fog.example.org:8443",
		"https://b.fog.example.org@evil.org", "http://b.fog.example.org" };
	unsigned lies = 0;
	uint64_t id = 1;

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(urls); i++) {
		ask_create(++id, "", "");
		name_node_at(id, NULL, urls[i]);
		assert_int_equal(role.lies, ++lies);
		hear_refusal(GATE, MSG_GATE_REFUSED, id, FOG_E_UNAVAILABLE);
		connect_neighbour(PLACE);
	}
	ask_create(++id, "fog-c", ""); /* forwarded once already */
	name_node_at(id, NULL, URL);
	assert_int_equal(role.lies, ++lies);
	hear_refusal(GATE, MSG_GATE_REFUSED, id, FOG_E_UNAVAILABLE);
	connect_neighbour(PLACE);
	ask_create(++id, "", "");
	name_node_at(id, &there, URL); /* a create is about no session */
	assert_int_equal(role.lies, ++lies);
	hear_refusal(GATE, MSG_GATE_REFUSED, id, FOG_E_UNAVAILABLE);
	connect_neighbour(PLACE);
	hear_nothing(FETCH);
	ask_create(++id, "", "");
	name_node_at(id, NULL, URL);
	name_node_at(id, NULL, URL); /* one at a time */
	assert_int_equal(role.lies, ++lies);
	hear_refusal(GATE, MSG_GATE_REFUSED, id, FOG_E_UNAVAILABLE);
}

/* A request is refused or late meanwhile: what its node has made is never confirmed. */
static void
test_answer_to_nobody(void **state)
{
	struct pl_refused why = { .error = FOG_E_TIMEOUT };
	uint64_t fetch;

	(void)state;
	ask_create(1, "", "key");
	name_node_at(1, NULL, URL);
	fetch = hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY);
	say(PLACE, MSG_AUTH_REFUSED, 1, &why);
	hear_refusal(GATE, MSG_GATE_REFUSED, 1, FOG_E_TIMEOUT);
	answer_fetch(fetch, 201, created_body());
	hear_nothing(PLACE);
	hear_nothing(GATE);
	hear_nothing(FETCH);
	/* And of a gatewayd that has died. */
	ask_create(2, "", "key");
	name_node_at(2, NULL, URL);
	fetch = hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY);
	connect_neighbour(GATE);
	answer_fetch(fetch, 201, created_body());
	hear_forwarded(2, FORWARD_DONE, 201, "");
	hear_nothing(GATE);
	hear_nothing(FETCH);
	assert_int_equal(role.lies, 0);
}

static void
test_without_a_fetcher(void **state)
{
	(void)state;
	ask_create(1, "", "key");
	name_node_at(1, NULL, URL);
	hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY);
	disconnect(FETCH);
	hear_forwarded(1, FORWARD_FAILED, 0, "fetcher_gone");
	name_node_at(1, NULL, URL);
	hear_forwarded(1, FORWARD_REFUSED, 0, "busy");
	assert_int_equal(requests_count(authd.requests), 1);
}

static void
test_lying_fetcher(void **state)
{
	struct pl_fetched end = { .status = 200, .total_bytes = 7 };
	uint64_t fetch;

	(void)state;
	ask_about(MSG_AUTH_SHOW, MSG_PLACE_SHOW, 1);
	name_node_at(1, &there, URL);
	fetch = hear_fetch(METHOD_GET, session_url(""), "");
	say(FETCH, MSG_AUTH_FETCHED, fetch, &end); /* of which nothing came */
	assert_int_equal(role.lies, 1);
	hear_forwarded(1, FORWARD_FAILED, 0, "fetcher_gone");
	connect_neighbour(FETCH);
	say(FETCH, MSG_AUTH_FETCHED, fetch, &end); /* nobody asks for it any more */
	assert_int_equal(role.lies, 2);
}

/* Of one person, and on one node: more would keep out others. */
static void
test_as_many_as_there_is_room_for(void **state)
{
	enum { MOST = 16 };

	(void)state;
	for (uint64_t id = 1; id <= MOST + 1; id++) {
		ask_create(id, "", "key");
		name_node_at(id, NULL, URL);
		if (id <= MOST)
			hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY);
	}
	hear_forwarded(MOST + 1, FORWARD_REFUSED, 0, "busy");
	hear_nothing(FETCH);
}

static bool said_raw, said_escaped;

static void
look_for_text(enum log_level level, const char *line)
{
	(void)level;
	said_raw = said_raw || strstr(line, "\" event=forged") || strstr(line, "\u202e");
	said_escaped = said_escaped || strstr(line, "\\x22 event=forged");
}

/* What a node says ends no text of the log, and turns none round. */
static void
test_log_quotes_what_a_node_says(void **state)
{
	uint64_t fetch;

	(void)state;
	log_set_sink(look_for_text);
	ask_create(1, "", "key");
	name_node_at(1, NULL, URL);
	fetch = hear_fetch(METHOD_POST, URL "/v1/sessions", CREATE_BODY);
	answer_fetch(fetch, 403,
	    "{\"title\":\"No\",\"status\":403,\"code\":\"no\",\"detail\":\"x\\\" event=forged \\u202e\"}");
	log_set_sink(no_log);
	assert_true(said_escaped && !said_raw);
}

/* --- lists --- */

static void
ask_list(uint64_t id, const char *forwarded_by)
{
	struct pl_bearer want = { AS("alice"), .forwarded_by = view_of(forwarded_by) };

	say(GATE, MSG_AUTH_LIST, id, &want);
	hear(PLACE, MSG_PLACE_LIST, id);
}

static void
name_also(uint64_t id, const char *node, const char *url)
{
	struct pl_also also = { .node = view_of(node),
		.url = view_of(url),
		.self = view_of("fog-a") };

	say(PLACE, MSG_AUTH_ALSO, id, &also);
}

/* One that is known to be down is not waited for. */
static void
test_list_with_a_dead_node(void **state)
{
	struct pl_also also = { .node = view_of(NODE),
		.url = view_of(URL),
		.self = view_of("fog-a"),
		.is_down = 1 };

	(void)state;
	ask_list(1, "");
	say(PLACE, MSG_AUTH_ALSO, 1, &also);
	say(PLACE, MSG_AUTH_DONE, 1, NULL);
	assert_true(view_is(hear(GATE, MSG_GATE_UNREACHED, 1)->node_name.node, NODE));
	hear(GATE, MSG_GATE_DONE, 1);
	hear_nothing(FETCH);
	assert_int_equal(authd.listings, 0);
}

static const char *
list_body(void)
{
	static char text[1024];

	snprintf(text, sizeof(text),
	    "{\"sessions\":[{\"session_id\":\"%s\",\"profile\":\"p\",\"status\":\"running\","
	    "\"created_at\":\"2026-01-02T03:04:05Z\",\"expires_at\":\"2026-01-02T03:04:05Z\","
	    "\"placement\":{\"node\":\"" NODE "\",\"region\":\"\",\"tier\":\"fog\"},"
	    "\"placement_reason\":\"x\",\"evil\":1}]}",
	    there_text);
	return text;
}

static void
test_list_of_several_nodes(void **state)
{
	const union payload *u;
	uint64_t b, c, d;

	(void)state;
	ask_list(1, "");
	name_also(1, NODE, URL);
	name_also(1, "fog-c", "https://c.fog.example.org");
	name_also(1, "fog-d", "https://d.fog.example.org");
	hear_nothing(FETCH);
	say(PLACE, MSG_AUTH_DONE, 1, NULL);
	b = hear_fetch(METHOD_GET, URL "/v1/sessions", "");
	c = hear_fetch(METHOD_GET, "https://c.fog.example.org/v1/sessions", "");
	d = hear_fetch(METHOD_GET, "https://d.fog.example.org/v1/sessions", "");
	answer_fetch(c, 200, list_body()); /* sessions of another node */
	u = hear(GATE, MSG_GATE_UNREACHED, 1);
	assert_true(view_is(u->node_name.node, "fog-c"));
	answer_fetch(b, 200, list_body());
	u = hear(GATE, MSG_GATE_RELAYED, 1);
	assert_int_equal(u->relayed.status, 200);
	assert_non_null(memmem(u->relayed.body.p, u->relayed.body.len, there_text, 36));
	assert_null(memmem(u->relayed.body.p, u->relayed.body.len, "evil", 4));
	hear_nothing(GATE);
	fail_fetch(d, FETCH_E_TIME);
	assert_true(view_is(hear(GATE, MSG_GATE_UNREACHED, 1)->node_name.node, "fog-d"));
	hear(GATE, MSG_GATE_DONE, 1);
	assert_int_equal(requests_count(authd.requests), 0);
	assert_int_equal(authd.listings, 0);
	assert_int_equal(role.lies, 0);
}

static void
test_list_that_was_forwarded(void **state)
{
	(void)state;
	ask_list(1, "fog-c");
	name_also(1, NODE, URL);
	say(PLACE, MSG_AUTH_DONE, 1, NULL);
	hear(GATE, MSG_GATE_DONE, 1);
	hear_nothing(FETCH);
}

static void
test_lies_about_a_list(void **state)
{
	(void)state;
	ask_list(1, "");
	name_also(1, NODE, "https://evil.example.org");
	assert_int_equal(role.lies, 1);
	hear_refusal(GATE, MSG_GATE_REFUSED, 1, FOG_E_UNAVAILABLE);
	connect_neighbour(PLACE);
	ask_list(2, "");
	for (unsigned i = 0; i <= LISTING_NODES_MAX; i++)
		name_also(2, NODE, URL);
	assert_int_equal(role.lies, 2);
	hear_refusal(GATE, MSG_GATE_REFUSED, 2, FOG_E_UNAVAILABLE);
	connect_neighbour(PLACE);
	ask_list(3, "");
	name_also(3, NODE, URL);
	say(PLACE, MSG_AUTH_DONE, 3, NULL);
	say(PLACE, MSG_AUTH_DONE, 3, NULL); /* it has said all */
	assert_int_equal(role.lies, 3);
	hear_refusal(GATE, MSG_GATE_REFUSED, 3, FOG_E_UNAVAILABLE);
	assert_int_equal(authd.listings, 0);
}

/* --- confirmations and nodes' questions of others, as they come in --- */

static void
test_confirm_is_relayed(void **state)
{
	struct pl_bearer_session want = { AS("alice"), .session_id = there,
		.forwarded_by = view_of("fog-c") };
	struct pl_session_id done = { there };
	const union payload *u;

	(void)state;
	say(GATE, MSG_AUTH_CONFIRM, 1, &want);
	u = hear(PLACE, MSG_PLACE_CONFIRM, 1);
	assert_true(view_is(u->who_session.subject, "alice"));
	assert_true(view_is(u->who_session.forwarded_by, "fog-c"));
	say(PLACE, MSG_AUTH_CONFIRMED, 1, &done);
	assert_true(id_equal(&hear(GATE, MSG_GATE_CONFIRMED, 1)->session_id.session_id, &there));
	say(GATE, MSG_AUTH_CONFIRM, 2, &want);
	hear(PLACE, MSG_PLACE_CONFIRM, 2);
	done.session_id.b[15] ^= 1;
	say(PLACE, MSG_AUTH_CONFIRMED, 2, &done);
	assert_int_equal(role.lies, 1);
}

static void
test_status_is_relayed(void **state)
{
	struct pl_node_token ask = { .token = view_of("a.b.c") };
	struct pl_node_status status = { .token = view_of("d.e.f") };
	struct pl_refused why = { .error = FOG_E_NODE_TOKEN, .detail = view_of("clock_differs") };

	(void)state;
	say(GATE, MSG_AUTH_STATUS, 1, &ask);
	assert_true(view_is(hear(PLACE, MSG_PLACE_STATUS, 1)->node_token.token, "a.b.c"));
	say(PLACE, MSG_AUTH_NODE_STATUS, 1, &status);
	assert_true(view_is(hear(GATE, MSG_GATE_STATUS, 1)->node_status.token, "d.e.f"));
	say(GATE, MSG_AUTH_STATUS, 2, &ask);
	hear(PLACE, MSG_PLACE_STATUS, 2);
	say(PLACE, MSG_AUTH_REFUSED, 2, &why);
	hear_refusal(GATE, MSG_GATE_REFUSED, 2, FOG_E_NODE_TOKEN);
	assert_true(view_is(role.heard.u.gate_refused.detail, "clock_differs"));
}

#define WITH_ROLE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROLE(test_create_is_forwarded_and_confirmed),
		WITH_ROLE(test_confirm_gives_up),
		WITH_ROLE(test_next_candidate),
		WITH_ROLE(test_idempotency_key_is_made),
		WITH_ROLE(test_requests_about_sessions),
		WITH_ROLE(test_bound_token),
		WITH_ROLE(test_lying_placerd),
		WITH_ROLE(test_answer_to_nobody),
		WITH_ROLE(test_without_a_fetcher),
		WITH_ROLE(test_lying_fetcher),
		WITH_ROLE(test_as_many_as_there_is_room_for),
		WITH_ROLE(test_log_quotes_what_a_node_says),
		WITH_ROLE(test_list_of_several_nodes),
		WITH_ROLE(test_list_that_was_forwarded),
		WITH_ROLE(test_list_with_a_dead_node),
		WITH_ROLE(test_lies_about_a_list),
		WITH_ROLE(test_confirm_is_relayed),
		WITH_ROLE(test_status_is_relayed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
