/* SPDX-License-Identifier: MIT */
/*
 * authd with an identity provider, between a gatewayd, a placerd and a fetcher that are played by
 * hand: tokens, keys that come late or never, and neighbours that lie.
 * links: authd/peers.c authd/verify.c authd/known.c authd/attachtoken.c authd/devtoken.c authd/keyfetch.c authd/keys.c
 * links: authd/asked.c authd/forward.c authd/confirm.c authd/listing.c authd/nodeanswer.c authd/nodefetch.c
 * links: authd/waiting.c authd/token.c authd/claims.c authd/claimread.c authd/jwk.c authd/jwkread.c
 * links: authd/jwa.c authd/jws.c authd/tokenerr.c authd/metadata.c authd/httpsurl.c authd/dpop.c authd/seen.c authd/htu.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "authd/dpop.h"
#include "authd/keyfetch.h"
#include "authd/known.h"
#include "authd/nodefetch.h"
#include "authd/peers.h"
#include "authd/waiting.h"
#include "common/requests.h"
#include "regress/unit/jose.h"
#include "regress/unit/role_check.h"

#define GATE EDGE_GATE_AUTH
#define PLACE EDGE_AUTH_PLACE
#define FETCH EDGE_AUTH_FETCH

#define ISSUER "https://idp.example"
#define OTHER_ISSUER "https://other.example"
#define LOCATION ISSUER "/.well-known/openid-configuration"
#define JWKS_URI ISSUER "/keys"
#define SESSION_TEXT "01000000-0000-8000-8000-000000000001"
#define GRACE_S 100
#define SID \
	{ \
		{ \
			1, [6] = 0x80, [8] = 0x80, [15] = 1 \
		} \
	}

static const struct id128 sid_a = SID;
static struct authd authd;
static EVP_PKEY *pkeys[2], *proof_key;
static uint64_t fetch_id;

/* --- the role and its configuration --- */

static int
make_pkeys(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(pkeys); i++)
		assert_non_null(pkeys[i] = EVP_EC_gen("P-256"));
	assert_non_null(proof_key = EVP_EC_gen("P-256"));
	return 0;
}

static int
free_pkeys(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(pkeys); i++)
		EVP_PKEY_free(pkeys[i]);
	EVP_PKEY_free(proof_key);
	return 0;
}

static void
set_text(char **field, const char *value)
{
	free(*field);
	assert_non_null(*field = strdup(value));
}

static void
start_role(bool short_ages, bool need_nonce)
{
	fetch_id = 0;
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
	set_text(&role.config.oidc_issuer_url, ISSUER);
	set_text(&role.config.oidc_client_id, "fog-web");
	set_text(&role.config.oidc_audience, "fog");
	role.config.identity_grace_seconds = GRACE_S;
	role.config.oidc_fetch_timeout_ms = 100;
	role.config.dpop_nonce = need_nonce;
	if (short_ages) {
		role.config.oidc_keys_refresh_seconds = 1;
		role.config.oidc_keys_max_age_seconds = 2;
	}
	assert_int_equal(verify_configure(&authd, &role.config), 0);
	assert_false(authd.dev_shim);
	assert_int_equal(peers_start(&authd), 0);
	connect_neighbour(GATE);
	connect_neighbour(PLACE);
}

static int
set_up(void **state)
{
	(void)state;
	start_role(false, false);
	return 0;
}

static int
set_up_short_ages(void **state)
{
	(void)state;
	start_role(true, false);
	return 0;
}

static int
set_up_with_nonce(void **state)
{
	(void)state;
	start_role(false, true);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	requests_clear(authd.requests, -FOG_E_UNAVAILABLE);
	assert_int_equal(waiting_count(authd.waiting_for_key), 0);
	requests_free(authd.requests);
	waiting_free(authd.waiting_for_key);
	keyfetch_free(authd.provider);
	dpop_free(authd.dpop);
	known_free(authd.known);
	event_free(authd.place_free);
	nodefetches_free(authd.nodes);
	secret_wipe(&authd.keys.signing_key);
	role_end();
	return 0;
}

/* --- the provider, behind the fetcher --- */

static void
expect_fetch(const char *url)
{
	const union payload *u = hear(FETCH, MSG_FETCH_SEND, 0);

	assert_true(view_is(u->fetch.url, url));
	assert_int_equal(u->fetch.max_bytes, 65536);
	assert_int_equal(u->fetch.timeout_ms, 100);
	assert_true(role.heard.request_id > fetch_id);
	fetch_id = role.heard.request_id;
}

static void
end_fetch(enum fetch_error error, unsigned status, size_t total)
{
	struct pl_fetched end = { .error = (uint8_t)error,
		.status = (uint16_t)status,
		.total_bytes = (uint32_t)total };

	say(FETCH, MSG_AUTH_FETCHED, fetch_id, &end);
}

static void
send_part(uint64_t id, const char *bytes, size_t len)
{
	struct pl_fetched_part part = { .part = view_bytes(bytes, len) };

	say(FETCH, MSG_AUTH_FETCHED_PART, id, &part);
}

/* In two parts, as long answers come. */
static void
answer_fetch(const char *text)
{
	size_t len = strlen(text), half = len / 2;

	send_part(fetch_id, text, half);
	send_part(fetch_id, text + half, len - half);
	end_fetch(FETCH_OK, 200, len);
}

static void
answer_document(const char *issuer, const char *jwks_uri)
{
	char text[2048];

	snprintf(text, sizeof(text),
	    "{\"issuer\":\"%s\",\"jwks_uri\":\"%s\",\"authorization_endpoint\":\"%s/auth\","
	    "\"token_endpoint\":\"%s/token\"}",
	    issuer, jwks_uri, issuer, issuer);
	answer_fetch(text);
}

static void
answer_set(size_t count)
{
	char text[3 * JOSE_JWK_SIZE] = "{\"keys\":[", jwk[JOSE_JWK_SIZE];

	for (size_t i = 0; i < count; i++) {
		size_t at = strlen(text);

		jose_public(pkeys[i], jwk);
		snprintf(text + at, sizeof(text) - at, "%s{%s,\"kid\":\"key-%zu\"}", i ? "," : "",
		    jwk, i);
	}
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "]}");
	answer_fetch(text);
}

static void
fetch_keys(size_t count)
{
	connect_neighbour(FETCH);
	expect_fetch(LOCATION);
	answer_document(ISSUER, JWKS_URI);
	expect_fetch(JWKS_URI);
	answer_set(count);
}

/* --- tokens --- */

/* more: members after the usual ones, each with a comma in front. */
static const char *
make_token(size_t key, const char *typ, const char *more)
{
	static char token[JOSE_TOKEN_SIZE];
	char header[128], payload[2048];
	long long now = (long long)wall_s();

	snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"key-%zu\",\"typ\":\"%s\"}",
	    key, typ);
	snprintf(payload, sizeof(payload), "{\"iss\":\"" ISSUER "\",\"iat\":%lld,\"exp\":%lld%s}",
	    now - 10, now + 50, more);
	jose_make(token, header, payload, pkeys[key % COUNT_OF(pkeys)], JWA_ES256);
	return token;
}

#define ALICE ",\"sub\":\"alice\",\"aud\":\"fog\",\"sid\":\"sign-in-1\",\"groups\":[\"developers\"]"

static const char *
alice(size_t key)
{
	return make_token(key, "at+jwt", ALICE);
}

static void
ask_show_with(uint64_t id, const char *token, enum auth_scheme scheme, const char *proof)
{
	struct pl_bearer_session show = { .bearer = view_of(token),
		.scheme = (uint8_t)scheme,
		.proof = view_of(proof),
		.session_id = sid_a };

	say(GATE, MSG_AUTH_SHOW, id, &show);
}

static void
ask_show(uint64_t id, const char *token)
{
	ask_show_with(id, token, SCHEME_BEARER, "");
}

static void
hear_no_keys(uint64_t id)
{
	const union payload *u;

	hear_refusal(GATE, MSG_GATE_REFUSED, id, FOG_E_NO_KEYS);
	u = &role.heard.u;
	assert_in_range(u->gate_refused.retry_after_s, 1, 30);
	assert_int_equal(u->gate_refused.detail.len, 0);
}

static unsigned
sign_in_now(uint64_t id)
{
	struct pl_ready ready = { .sessions_known = 1, .audit_writable = 1 };
	struct pl_check check = { .with_totals = 0 };

	say(GATE, MSG_AUTH_CHECK, id, &check);
	hear(PLACE, MSG_PLACE_CHECK, id);
	say(PLACE, MSG_AUTH_READY, id, &ready);
	return hear(GATE, MSG_GATE_READY, id)->gate_ready.sign_in;
}

/* --- who somebody is --- */

static void
test_identity(void **state)
{
	const union payload *u;
	uint64_t until = boot_ms() + (50 + GRACE_S) * 1000;

	(void)state;
	fetch_keys(1);
	ask_show(1, alice(0));
	u = hear(PLACE, MSG_PLACE_SHOW, 1);
	assert_true(view_is(u->who_session.issuer, ISSUER));
	assert_true(view_is(u->who_session.subject, "alice"));
	assert_true(view_is(u->who_session.sid, "sign-in-1"));
	assert_in_range(u->who_session.issued_s, wall_s() - 12, wall_s() - 10);
	assert_in_range(u->who_session.until_boot_ms, until - 2000, until + 1000);
	assert_true(list_holds(u->who_session.groups, view_of("developers")));
	assert_true(id_equal(&u->who_session.session_id, &sid_a));
}

/* What was known of the identity when a token was minted comes with its use. */
static void
test_attach_token_carries_the_identity(void **state)
{
	struct pl_bearer_mint want = { .bearer = view_of(""),
		.scheme = SCHEME_BEARER,
		.session_id = sid_a,
		.role = ROLE_DRIVER };
	struct pl_session_role mintable = { sid_a, ROLE_DRIVER };
	struct pl_use_token use = { .session_id = sid_a };
	char attach[ATTACH_TOKEN_BYTES];
	const union payload *u;
	uint64_t until, issued;

	(void)state;
	fetch_keys(1);
	want.bearer = view_of(alice(0));
	say(GATE, MSG_AUTH_MINT, 1, &want);
	u = hear(PLACE, MSG_PLACE_MINT, 1);
	until = u->who_mint.until_boot_ms;
	issued = u->who_mint.issued_s;
	say(PLACE, MSG_AUTH_MINTABLE, 1, &mintable);
	u = hear(GATE, MSG_GATE_MINTED, 1);
	assert_int_equal(view_copy(u->minted.token, attach, sizeof(attach)), 0);
	use.token = view_of(attach);
	say(GATE, MSG_AUTH_ATTACH, 2, &use);
	u = hear(PLACE, MSG_PLACE_ATTACH, 2);
	assert_true(view_is(u->attach.issuer, ISSUER) && view_is(u->attach.subject, "alice"));
	assert_true(view_is(u->attach.sid, "sign-in-1"));
	assert_int_equal(u->attach.until_boot_ms, until);
	assert_int_equal(u->attach.issued_s, issued);
	ask_show(3, attach); /* it is no access token */
	hear_refusal(GATE, MSG_GATE_REFUSED, 3, FOG_E_BAD_TOKEN);
}

static void
test_bad_tokens(void **state)
{
	static const struct {
		const char *typ, *more;
	} rows[] = {
		{ "at+jwt", ",\"sub\":\"alice\",\"aud\":\"other\"" },
		{ "at+jwt", ",\"aud\":\"fog\"" },
		{ "JWT", ALICE ",\"nonce\":\"n\"" },
		{ "logout+jwt", ALICE },
		{ "dpop+jwt", ALICE },
	};

	(void)state;
	fetch_keys(1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ask_show(i + 1, make_token(0, rows[i].typ, rows[i].more));
		hear_refusal(GATE, MSG_GATE_REFUSED, i + 1, FOG_E_BAD_TOKEN);
		assert_int_equal(role.heard.u.gate_refused.detail.len, 0);
	}
	ask_show(100, "alice"); /* there is no dev shim beside a provider */
	hear_refusal(GATE, MSG_GATE_REFUSED, 100, FOG_E_BAD_TOKEN);
	hear_nothing(PLACE);
	hear_nothing(FETCH);
}

/* --- keys that come late, or never --- */

static void
test_waits_for_the_first_keys(void **state)
{
	(void)state;
	assert_int_equal(sign_in_now(90), SIGN_IN_WAITING);
	ask_show(1, alice(0)); /* no fetcher yet: nothing to wait for */
	hear_no_keys(1);
	connect_neighbour(FETCH);
	expect_fetch(LOCATION);
	ask_show(2, alice(0));
	ask_show(3, "no.token.atall");
	answer_document(ISSUER, JWKS_URI);
	expect_fetch(JWKS_URI);
	hear_nothing(PLACE);
	hear_nothing(GATE);
	answer_set(1);
	hear(PLACE, MSG_PLACE_SHOW, 2);
	hear_refusal(GATE, MSG_GATE_REFUSED, 3, FOG_E_BAD_TOKEN);
	assert_int_equal(sign_in_now(91), SIGN_IN_READY);
}

static void
test_provider_down_at_start(void **state)
{
	(void)state;
	connect_neighbour(FETCH);
	expect_fetch(LOCATION);
	ask_show(1, alice(0));
	end_fetch(FETCH_E_CONNECT, 0, 0);
	hear_no_keys(1);
	ask_show(2, alice(0));
	hear_no_keys(2);
	assert_int_equal(sign_in_now(90), SIGN_IN_WAITING);
	turn_for_ms(KEYS_RETRY_MIN_MS + 200); /* and it recovers by itself */
	expect_fetch(LOCATION);
	answer_document(ISSUER, JWKS_URI);
	expect_fetch(JWKS_URI);
	answer_set(1);
	ask_show(3, alice(0));
	hear(PLACE, MSG_PLACE_SHOW, 3);
	assert_int_equal(sign_in_now(91), SIGN_IN_READY);
}

static void
test_rotation(void **state)
{
	(void)state;
	fetch_keys(1);
	for (uint64_t id = 1; id <= 40; id++)
		ask_show(id, alice(id % 2));
	/* One key is known, and its tokens are not kept waiting. */
	for (uint64_t id = 2; id <= 40; id += 2)
		hear(PLACE, MSG_PLACE_SHOW, id);
	hear_nothing(PLACE);
	expect_fetch(JWKS_URI);
	hear_nothing(FETCH); /* once */
	answer_set(2);
	turn();
	for (uint64_t id = 1; id <= 40; id += 2)
		hear(PLACE, MSG_PLACE_SHOW, id);
	hear_nothing(GATE);
}

static void
test_unknown_key(void **state)
{
	(void)state;
	fetch_keys(1);
	ask_show(1, alice(1));
	expect_fetch(JWKS_URI);
	answer_set(1);
	hear_refusal(GATE, MSG_GATE_REFUSED, 1, FOG_E_BAD_TOKEN);
	for (uint64_t id = 2; id <= 20; id++) { /* within the cool-down */
		ask_show(id, alice(1 + id));
		hear_refusal(GATE, MSG_GATE_REFUSED, id, FOG_E_BAD_TOKEN);
	}
	hear_nothing(FETCH);
	hear_nothing(PLACE);
	ask_show(30, alice(0));
	hear(PLACE, MSG_PLACE_SHOW, 30);
}

static void
test_unknown_key_with_the_provider_down(void **state)
{
	(void)state;
	fetch_keys(1);
	ask_show(1, alice(1));
	expect_fetch(JWKS_URI);
	end_fetch(FETCH_E_TIME, 0, 0);
	hear_refusal(GATE, MSG_GATE_REFUSED, 1, FOG_E_BAD_TOKEN);
	assert_int_equal(sign_in_now(90), SIGN_IN_STALE);
	ask_show(2, alice(0)); /* the keys at hand go on serving */
	hear(PLACE, MSG_PLACE_SHOW, 2);
}

/* The provider stops: what is at hand serves until its age, and then it is tried again and again. */
static void
test_keys_too_old(void **state)
{
	uint64_t start = mono_ms();
	unsigned tries = 0;

	(void)state;
	fetch_keys(1);
	for (; mono_ms() < start + 3500; turn_for_ms(50)) {
		if (listen_once(FETCH) > 0) {
			fetch_id++;
			tries++;
			end_fetch(FETCH_E_CONNECT, 0, 0);
		}
		if (mono_ms() < start + 1900) {
			ask_show(100 + mono_ms(), alice(0));
			hear(PLACE, MSG_PLACE_SHOW, 0);
		}
	}
	assert_in_range(tries, 2, 3);
	ask_show(1, alice(0));
	hear_no_keys(1);
	assert_int_equal(sign_in_now(2), SIGN_IN_WAITING);
	hear_nothing(PLACE);
	assert_int_equal(role.lies, 0);
}

/* --- requests that wait --- */

static void
test_waiting_ends_with_gatewayd(void **state)
{
	(void)state;
	connect_neighbour(FETCH);
	expect_fetch(LOCATION);
	ask_show(1, alice(0));
	ask_show(2, alice(0));
	assert_int_equal(waiting_count(authd.waiting_for_key), 2);
	connect_neighbour(GATE);
	assert_int_equal(waiting_count(authd.waiting_for_key), 0);
	assert_int_equal(requests_count(authd.requests), 0);
	ask_show(2, alice(0)); /* the next one may use the id: placerd never heard of it */
	answer_document(ISSUER, JWKS_URI);
	expect_fetch(JWKS_URI);
	answer_set(1);
	hear(PLACE, MSG_PLACE_SHOW, 2);
	hear_nothing(PLACE);
	assert_int_equal(role.lies, 0);
}

static void
test_id_of_a_waiting_request(void **state)
{
	struct pl_use_token use = { .token = view_of("x"), .session_id = sid_a };

	(void)state;
	connect_neighbour(FETCH);
	expect_fetch(LOCATION);
	ask_show(1, alice(0));
	ask_show(1, alice(0));
	assert_int_equal(role.lies, 1);
	assert_int_equal(waiting_count(authd.waiting_for_key), 0);
	connect_neighbour(GATE);
	ask_show(3, alice(0));
	say(GATE, MSG_AUTH_ATTACH, 3, &use); /* in another verb */
	assert_int_equal(role.lies, 2);
	connect_neighbour(GATE);
	answer_document(ISSUER, JWKS_URI);
	expect_fetch(JWKS_URI);
	answer_set(1);
	hear_nothing(PLACE);
}

/* placerd cannot have been asked what waits. */
static void
test_answer_to_a_waiting_request(void **state)
{
	struct pl_refused why = { .error = FOG_E_DENIED };

	(void)state;
	connect_neighbour(FETCH);
	expect_fetch(LOCATION);
	ask_show(1, alice(0));
	say(PLACE, MSG_AUTH_REFUSED, 1, &why);
	assert_int_equal(role.lies, 1);
	hear_refusal(GATE, MSG_GATE_REFUSED, 1, FOG_E_UNAVAILABLE);
	assert_int_equal(waiting_count(authd.waiting_for_key), 0);
}

static void
test_too_many_wait(void **state)
{
	(void)state;
	connect_neighbour(FETCH);
	expect_fetch(LOCATION);
	for (uint64_t id = 1; id <= WAITING_MAX; id++)
		ask_show(id, alice(0));
	hear_nothing(GATE);
	ask_show(WAITING_MAX + 1, alice(0));
	hear_no_keys(WAITING_MAX + 1);
	answer_document(ISSUER, JWKS_URI);
	expect_fetch(JWKS_URI);
	answer_set(1);
	for (uint64_t id = 1; id <= WAITING_MAX; id++)
		hear(PLACE, MSG_PLACE_SHOW, id);
	assert_int_equal(waiting_count(authd.waiting_for_key), 0);
	assert_int_equal(requests_count(authd.requests), WAITING_MAX);
}

static void
test_waiting_takes_too_long(void **state)
{
	(void)state;
	role.config.request_timeout_ms = 100;
	role.config.oidc_fetch_timeout_ms = 60000;
	connect_neighbour(FETCH);
	hear(FETCH, MSG_FETCH_SEND, 0);
	fetch_id = role.heard.request_id;
	ask_show(1, alice(0));
	turn_for_ms(300);
	hear_no_keys(1);
	assert_int_equal(requests_count(authd.requests), 0);
	answer_document(ISSUER, JWKS_URI);
	expect_fetch(JWKS_URI);
	answer_set(1);
	hear_nothing(PLACE);
	assert_int_equal(role.lies, 0);
}

/* --- a fetcher that has been broken into --- */

static void
test_keys_of_another_issuer(void **state)
{
	(void)state;
	connect_neighbour(FETCH);
	expect_fetch(LOCATION);
	ask_show(1, alice(0));
	answer_document(OTHER_ISSUER, OTHER_ISSUER "/keys");
	hear_no_keys(1);
	hear_nothing(FETCH);                   /* nobody asks where that document points to */
	send_part(fetch_id, "{\"keys\":[", 9); /* and keys that come all the same are a lie */
	assert_int_equal(role.lies, 1);
	ask_show(2, alice(0));
	hear_no_keys(2);
	hear_nothing(PLACE);
	connect_neighbour(FETCH);
	turn_for_ms(KEYS_RETRY_MIN_MS + 200);
	expect_fetch(LOCATION);
}

static void
lie_unasked_part(void)
{
	end_fetch(FETCH_E_CONNECT, 0, 0);
	send_part(fetch_id, "x", 1);
}

static void
lie_unasked_end(void)
{
	end_fetch(FETCH_E_CONNECT, 0, 0);
	end_fetch(FETCH_OK, 200, 0);
}

static void
lie_other_id(void)
{
	send_part(fetch_id + 1, "x", 1);
}

static void
lie_too_long(void)
{
	static char bytes[12288];

	memset(bytes, ' ', sizeof(bytes));
	for (int i = 0; i < 6 && role.lies == 0 && proc_peer(FETCH); i++)
		send_part(fetch_id, bytes, sizeof(bytes));
}

static void
lie_of_the_length(void)
{
	send_part(fetch_id, "xy", 2);
	end_fetch(FETCH_OK, 200, 3);
}

static void
lie_error_with_status(void)
{
	end_fetch(FETCH_E_TLS, 200, 0);
}

static void
test_lying_fetcher(void **state)
{
	static void (*const lies[])(void) = { lie_unasked_part, lie_unasked_end, lie_other_id,
		lie_too_long, lie_of_the_length, lie_error_with_status };

	for (unsigned i = 0; i < COUNT_OF(lies); i++) {
		connect_neighbour(FETCH);
		expect_fetch(LOCATION);
		ask_show(1, alice(0));
		lies[i]();
		assert_int_equal(role.lies, 1);
		assert_null(proc_peer(FETCH));
		hear_no_keys(1);
		tear_down(state);
		set_up(state);
	}
}

static void
test_fetcher_dies(void **state)
{
	(void)state;
	connect_neighbour(FETCH);
	expect_fetch(LOCATION);
	ask_show(1, alice(0));
	disconnect(FETCH);
	hear_no_keys(1);
	turn_for_ms(KEYS_RETRY_MIN_MS + 100);
	fetch_keys(1);
	ask_show(2, alice(0));
	hear(PLACE, MSG_PLACE_SHOW, 2);
	assert_int_equal(role.lies, 0);
}

static void
test_silent_fetcher(void **state)
{
	(void)state;
	connect_neighbour(FETCH);
	expect_fetch(LOCATION);
	ask_show(1, alice(0));
	turn_for_ms(KEYFETCH_SILENCE_MS + 300);
	assert_int_equal(role.lies, 1);
	assert_null(proc_peer(FETCH));
	hear_no_keys(1);
}

/* Answers that are true and of no use leave the keys at hand as they are. */
static void
test_answers_that_are_no_keys(void **state)
{
	static const unsigned statuses[] = { 0, 204, 206, 302, 401, 500 };

	fetch_keys(1);
	tear_down(state);
	for (size_t i = 0; i < COUNT_OF(statuses); i++) {
		set_up(state);
		fetch_keys(1);
		ask_show(1, alice(1));
		expect_fetch(JWKS_URI);
		send_part(fetch_id, "{}", 2);
		end_fetch(FETCH_OK, statuses[i], 2);
		hear_refusal(GATE, MSG_GATE_REFUSED, 1, FOG_E_BAD_TOKEN);
		assert_int_equal(sign_in_now(2), SIGN_IN_STALE);
		ask_show(3, alice(0));
		hear(PLACE, MSG_PLACE_SHOW, 3);
		assert_int_equal(role.lies, 0);
		tear_down(state);
	}
	set_up(state);
}

/* --- logout --- */

#define EVENTS ",\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}"
#define LOGOUT ",\"aud\":\"fog-web\",\"sub\":\"alice\",\"sid\":\"sign-in-1\",\"jti\":\"j-1\"" EVENTS

static void
send_logout(uint64_t id, const char *token)
{
	struct pl_logout logout = { .token = view_of(token) };

	say(GATE, MSG_AUTH_LOGOUT, id, &logout);
}

static void
test_logout(void **state)
{
	struct pl_refused replayed = { .error = FOG_E_BAD_LOGOUT_TOKEN };
	const union payload *u;

	(void)state;
	fetch_keys(1);
	send_logout(1, make_token(0, "logout+jwt", LOGOUT));
	u = hear(PLACE, MSG_PLACE_REVOKE, 1);
	assert_true(view_is(u->revoke.issuer, ISSUER) && view_is(u->revoke.subject, "alice"));
	assert_true(view_is(u->revoke.sid, "sign-in-1") && view_is(u->revoke.jti, "j-1"));
	assert_in_range(u->revoke.at_s, wall_s() - 12, wall_s() - 10);
	assert_in_range(u->revoke.jti_expires_s, wall_s() + 48 + CLAIMS_SKEW_MAX_S,
	    wall_s() + 50 + CLAIMS_SKEW_MAX_S);
	say(PLACE, MSG_AUTH_REVOKED, 1, NULL);
	hear(GATE, MSG_GATE_LOGGED_OUT, 1);
	send_logout(2, make_token(0, "logout+jwt", LOGOUT));
	hear(PLACE, MSG_PLACE_REVOKE, 2);
	say(PLACE, MSG_AUTH_REFUSED, 2, &replayed);
	hear_refusal(GATE, MSG_GATE_REFUSED, 2, FOG_E_BAD_LOGOUT_TOKEN);
	assert_int_equal(requests_count(authd.requests), 0);
}

static void
test_bad_logout_tokens(void **state)
{
	static const char *const rows[] = {
		",\"aud\":\"fog\",\"sub\":\"alice\",\"jti\":\"j\"" EVENTS,
		",\"aud\":\"fog-web\",\"sub\":\"alice\"" EVENTS,
		",\"aud\":\"fog-web\",\"sub\":\"alice\",\"jti\":\"j\"",
		",\"aud\":\"fog-web\",\"jti\":\"j\"" EVENTS,
		LOGOUT ",\"nonce\":\"n\"",
	};

	(void)state;
	fetch_keys(1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		send_logout(i + 1, make_token(0, "logout+jwt", rows[i]));
		hear_refusal(GATE, MSG_GATE_REFUSED, i + 1, FOG_E_BAD_LOGOUT_TOKEN);
	}
	send_logout(50, alice(0));
	hear_refusal(GATE, MSG_GATE_REFUSED, 50, FOG_E_BAD_LOGOUT_TOKEN);
	send_logout(51, "x");
	hear_refusal(GATE, MSG_GATE_REFUSED, 51, FOG_E_BAD_LOGOUT_TOKEN);
	ask_show(52, make_token(0, "logout+jwt", LOGOUT)); /* and it is no access token */
	hear_refusal(GATE, MSG_GATE_REFUSED, 52, FOG_E_BAD_TOKEN);
	hear_nothing(PLACE);
}

static void
test_logout_by_a_new_key(void **state)
{
	(void)state;
	send_logout(1, make_token(0, "logout+jwt", LOGOUT));
	hear_no_keys(1);
	fetch_keys(1);
	send_logout(2, make_token(1, "logout+jwt", LOGOUT));
	hear_nothing(PLACE);
	expect_fetch(JWKS_URI);
	answer_set(2);
	hear(PLACE, MSG_PLACE_REVOKE, 2);
	say(PLACE, MSG_AUTH_REVOKED, 2, NULL);
	hear(GATE, MSG_GATE_LOGGED_OUT, 2);
}

/* --- DPoP --- */

static void
hash_text(const char *text, char out[static 64])
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)text, strlen(text), hash);
	assert_int_equal(b64url_encode(hash, sizeof(hash), out, 64), 0);
}

static const char *
bound_token(void)
{
	char jwk[2 * JOSE_JWK_SIZE], jkt[64], more[512];
	char x[JOSE_JWK_SIZE], y[JOSE_JWK_SIZE];

	jose_number(proof_key, OSSL_PKEY_PARAM_EC_PUB_X, 32, x);
	jose_number(proof_key, OSSL_PKEY_PARAM_EC_PUB_Y, 32, y);
	/* RFC 7638 3: the members in this order, without white space. */
	snprintf(jwk, sizeof(jwk),
	    "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%.64s\",\"y\":\"%.64s\"}", x, y);
	hash_text(jwk, jkt);
	snprintf(more, sizeof(more), ALICE ",\"cnf\":{\"jkt\":\"%s\"}", jkt);
	return make_token(0, "at+jwt", more);
}

static const char *
make_proof(const char *method, const char *url, const char *token, const char *nonce)
{
	static char proof[JOSE_TOKEN_SIZE];
	static unsigned count;
	char jwk[JOSE_JWK_SIZE], header[JOSE_JWK_SIZE + 64], payload[1024], ath[64];

	jose_public(proof_key, jwk);
	hash_text(token, ath);
	snprintf(header, sizeof(header), "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{%s}}",
	    jwk);
	snprintf(payload, sizeof(payload),
	    "{\"jti\":\"proof-%u\",\"htm\":\"%s\",\"htu\":\"%s\",\"iat\":%lld,\"ath\":\"%s\"%s%s%s}",
	    count++, method, url, (long long)wall_s() + 1, ath, *nonce ? ",\"nonce\":\"" : "",
	    nonce, *nonce ? "\"" : "");
	jose_make(proof, header, payload, proof_key, JWA_ES256);
	return proof;
}

#define SHOW_URL "http://127.0.0.1:8080/v1/sessions/" SESSION_TEXT

static void
test_dpop(void **state)
{
	char token[JOSE_TOKEN_SIZE], proof[JOSE_TOKEN_SIZE];

	(void)state;
	fetch_keys(1);
	snprintf(token, sizeof(token), "%s", bound_token());
	snprintf(proof, sizeof(proof), "%s", make_proof("GET", SHOW_URL, token, ""));
	ask_show_with(1, token, SCHEME_DPOP, proof);
	hear(PLACE, MSG_PLACE_SHOW, 1);
	ask_show_with(2, token, SCHEME_DPOP, proof); /* replayed */
	hear_refusal(GATE, MSG_GATE_REFUSED, 2, FOG_E_BAD_PROOF);
	ask_show_with(3, token, SCHEME_DPOP, "");
	hear_refusal(GATE, MSG_GATE_REFUSED, 3, FOG_E_BAD_PROOF);
	ask_show(4, token); /* stolen: the proof left out */
	hear_refusal(GATE, MSG_GATE_REFUSED, 4, FOG_E_BAD_PROOF);
	ask_show_with(5, token, SCHEME_BEARER, make_proof("GET", SHOW_URL, token, ""));
	hear_refusal(GATE, MSG_GATE_REFUSED, 5, FOG_E_BAD_PROOF);
	ask_show_with(6, alice(0), SCHEME_DPOP, "");
	hear_refusal(GATE, MSG_GATE_REFUSED, 6, FOG_E_BAD_TOKEN);
	hear_nothing(PLACE);
}

/* Each verb wants a proof for what it does, whatever gatewayd makes of the request. */
static const struct {
	enum msg_type type, passed_on;
	const char *method, *path;
} verb_rows[] = {
	{ MSG_AUTH_CREATE, MSG_PLACE_CREATE, "POST", "/v1/sessions" },
	{ MSG_AUTH_LIST, MSG_PLACE_LIST, "GET", "/v1/sessions" },
	{ MSG_AUTH_SHOW, MSG_PLACE_SHOW, "GET", "/v1/sessions/" SESSION_TEXT },
	{ MSG_AUTH_END, MSG_PLACE_END, "DELETE", "/v1/sessions/" SESSION_TEXT },
	{ MSG_AUTH_EXTEND, MSG_PLACE_EXTEND, "PATCH", "/v1/sessions/" SESSION_TEXT },
	{ MSG_AUTH_MINT, MSG_PLACE_MINT, "POST", "/v1/sessions/" SESSION_TEXT "/attach" },
	{ MSG_AUTH_PROFILES, MSG_PLACE_PROFILES, "GET", "/v1/profiles" },
	{ MSG_AUTH_NODES, MSG_PLACE_NODES, "GET", "/v1/nodes" },
};

static void
say_verb(enum msg_type type, uint64_t id, const char *token, const char *proof)
{
	union payload u;

	memset(&u, 0, sizeof(u));
	switch (msg_rows[type].payload) {
	case PAYLOAD_bearer_create:
		u.bearer_create.profile = view_of("default");
		break;
	case PAYLOAD_bearer_mint:
		u.bearer_mint.role = ROLE_DRIVER;
		u.bearer_mint.session_id = sid_a;
		break;
	case PAYLOAD_bearer:
		break;
	default:
		u.bearer_session.session_id = sid_a;
	}
	u.bearer.bearer = view_of(token);
	u.bearer.scheme = SCHEME_DPOP;
	u.bearer.proof = view_of(proof);
	say(GATE, type, id, &u);
}

static void
test_proofs_are_for_one_verb(void **state)
{
	char token[JOSE_TOKEN_SIZE], url[256];
	uint64_t id = 0;

	(void)state;
	fetch_keys(1);
	snprintf(token, sizeof(token), "%s", bound_token());
	for (size_t i = 0; i < COUNT_OF(verb_rows); i++) {
		snprintf(url, sizeof(url), "https://localhost%s", verb_rows[i].path);
		for (size_t k = 0; k < COUNT_OF(verb_rows); k++) {
			say_verb(verb_rows[k].type, ++id, token,
			    make_proof(verb_rows[i].method, url, token, ""));
			if (i == k)
				hear(PLACE, verb_rows[k].passed_on, id);
			else
				hear_refusal(GATE, MSG_GATE_REFUSED, id, FOG_E_BAD_PROOF);
		}
	}
	hear_nothing(PLACE);
}

static void
test_nonce(void **state)
{
	char token[JOSE_TOKEN_SIZE], nonce[65];
	const union payload *u;

	(void)state;
	fetch_keys(1);
	snprintf(token, sizeof(token), "%s", bound_token());
	ask_show_with(1, token, SCHEME_DPOP, make_proof("GET", SHOW_URL, token, ""));
	hear_refusal(GATE, MSG_GATE_REFUSED, 1, FOG_E_NEED_NONCE);
	u = &role.heard.u;
	assert_int_equal(view_copy(u->gate_refused.nonce, nonce, sizeof(nonce)), 0);
	assert_true(strlen(nonce) >= 22);
	ask_show_with(2, token, SCHEME_DPOP, make_proof("GET", SHOW_URL, token, nonce));
	hear(PLACE, MSG_PLACE_SHOW, 2);
}

/* What claims take, messages carry: never an internal error for somebody's many groups. */
static void
test_many_groups(void **state)
{
	char token[JOSE_TOKEN_SIZE], more[2048];

	(void)state;
	fetch_keys(1);
	for (unsigned count = 256; count <= 257; count++) {
		size_t at = (size_t)snprintf(more, sizeof(more),
		    ",\"sub\":\"alice\",\"aud\":\"fog\",\"groups\":[\"g\"");

		for (unsigned i = 1; i < count; i++)
			at += (size_t)snprintf(more + at, sizeof(more) - at, ",\"g\"");
		snprintf(more + at, sizeof(more) - at, "]");
		snprintf(token, sizeof(token), "%s", make_token(0, "at+jwt", more));
		ask_show(count, token);
		if (count == 256)
			hear(PLACE, MSG_PLACE_SHOW, count);
		else
			hear_refusal(GATE, MSG_GATE_REFUSED, count, FOG_E_BAD_TOKEN);
	}
}

/* --- what cannot be configured --- */

static void
test_bad_configurations(void **state)
{
	struct authd other = { 0 };

	(void)state;
	set_text(&role.config.oidc_issuer_url, "http://idp.example");
	assert_int_equal(verify_configure(&other, &role.config), -1);
	set_text(&role.config.oidc_issuer_url, ISSUER);
	set_text(&role.config.oidc_client_id, "");
	assert_int_equal(verify_configure(&other, &role.config), -1);
	set_text(&role.config.oidc_client_id, "fog-web");
	set_text(&role.config.oidc_algorithms, "HS256");
	assert_int_equal(verify_configure(&other, &role.config), -1);
	assert_null(other.provider);
}

#define WITH_ROLE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROLE(test_identity),
		WITH_ROLE(test_attach_token_carries_the_identity),
		WITH_ROLE(test_bad_tokens),
		WITH_ROLE(test_waits_for_the_first_keys),
		WITH_ROLE(test_provider_down_at_start),
		WITH_ROLE(test_rotation),
		WITH_ROLE(test_unknown_key),
		WITH_ROLE(test_unknown_key_with_the_provider_down),
		cmocka_unit_test_setup_teardown(test_keys_too_old, set_up_short_ages, tear_down),
		WITH_ROLE(test_waiting_ends_with_gatewayd),
		WITH_ROLE(test_id_of_a_waiting_request),
		WITH_ROLE(test_answer_to_a_waiting_request),
		WITH_ROLE(test_too_many_wait),
		WITH_ROLE(test_waiting_takes_too_long),
		WITH_ROLE(test_keys_of_another_issuer),
		WITH_ROLE(test_lying_fetcher),
		WITH_ROLE(test_fetcher_dies),
		WITH_ROLE(test_silent_fetcher),
		WITH_ROLE(test_answers_that_are_no_keys),
		WITH_ROLE(test_logout),
		WITH_ROLE(test_bad_logout_tokens),
		WITH_ROLE(test_logout_by_a_new_key),
		WITH_ROLE(test_dpop),
		WITH_ROLE(test_proofs_are_for_one_verb),
		cmocka_unit_test_setup_teardown(test_nonce, set_up_with_nonce, tear_down),
		WITH_ROLE(test_many_groups),
		WITH_ROLE(test_bad_configurations),
	};

	return cmocka_run_group_tests(tests, make_pkeys, free_pkeys);
}
