/* SPDX-License-Identifier: MIT */
/*
 * authd's handlers between a gatewayd and a placerd that are played by hand.
 * links: authd/peers.c authd/verify.c authd/known.c authd/attachtoken.c authd/devtoken.c authd/keyfetch.c authd/keys.c
 * links: authd/asked.c authd/forward.c authd/confirm.c authd/listing.c authd/nodeanswer.c authd/nodefetch.c
 * links: authd/waiting.c authd/token.c authd/claims.c authd/claimread.c authd/jwk.c authd/jwkread.c
 * links: authd/jwa.c authd/jws.c authd/tokenerr.c authd/metadata.c authd/httpsurl.c authd/dpop.c authd/seen.c authd/htu.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "authd/nodefetch.h"
#include "authd/peers.h"
#include "common/requests.h"
#include "regress/unit/role_check.h"

#define GATE EDGE_GATE_AUTH
#define PLACE EDGE_AUTH_PLACE
#define LISTINGS_AT_ONCE 7

static struct authd authd;

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
	assert_int_equal(verify_configure(&authd, &role.config), 0);
	assert_true(authd.dev_shim);
	assert_int_equal(peers_start(&authd), 0);
	connect_neighbour(GATE);
	connect_neighbour(PLACE);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	requests_clear(authd.requests, -FOG_E_UNAVAILABLE);
	requests_free(authd.requests);
	event_free(authd.place_free);
	nodefetches_free(authd.nodes);
	secret_wipe(&authd.keys.signing_key);
	secret_wipe(&authd.keys.previous);
	role_end();
	return 0;
}

#define SID(last) \
	{ \
		{ \
			1, [6] = 0x80, [8] = 0x80, [15] = (last) \
		} \
	}

static const struct id128 sid_a = SID(1), sid_b = SID(2);

static struct pl_session
session_row(const struct id128 *id)
{
	return (struct pl_session){ .session_id = *id,
		.profile = view_of("default"),
		.status = STATUS_DETACHED,
		.created_s = 1,
		.expires_s = 2,
		.node = view_of("fog-1"),
		.tier = TIER_FOG,
		.placement_reason = view_of("local-only") };
}

#define AS(token) .bearer = view_of(token), .scheme = SCHEME_BEARER

static void
ask_create(uint64_t id, const char *bearer)
{
	struct pl_bearer_create want = { AS(bearer), .profile = view_of("default"),
		.ttl_seconds = 60, .idem_key = view_of("key") };

	say(GATE, MSG_AUTH_CREATE, id, &want);
}

/* Has alice make session a; her token, NUL-terminated, goes to token. */
static void
create_for_alice(uint64_t id, char *token, size_t size)
{
	struct pl_session row = session_row(&sid_a);
	const union payload *u;

	ask_create(id, "alice");
	hear(PLACE, MSG_PLACE_CREATE, id);
	say(PLACE, MSG_AUTH_CREATED, id, &row);
	u = hear(GATE, MSG_GATE_CREATED, id);
	assert_int_equal(view_copy(u->created.token, token, size), 0);
}

static void
use_token(uint64_t id, const char *token, const struct id128 *session_id)
{
	struct pl_use_token use = { .token = view_of(token),
		.session_id = *session_id,
		.has_out = 1,
		.out_from = 9 };

	say(GATE, MSG_AUTH_ATTACH, id, &use);
}

static void
test_create_names_the_subject_and_mints(void **state)
{
	struct pl_session row = session_row(&sid_a);
	const union payload *u;
	struct view groups;

	(void)state;
	ask_create(1, "alice+admins+power-users");
	u = hear(PLACE, MSG_PLACE_CREATE, 1);
	assert_true(view_is(u->create.issuer, "dev") && view_is(u->create.subject, "alice"));
	assert_true(view_is(u->create.profile, "default") && view_is(u->create.idem_key, "key"));
	groups = u->create.groups;
	assert_true(list_holds(groups, view_of("admins")));
	assert_true(list_holds(groups, view_of("power-users")));
	assert_false(list_holds(groups, view_of("alice")));
	say(PLACE, MSG_AUTH_CREATED, 1, &row);
	u = hear(GATE, MSG_GATE_CREATED, 1);
	assert_true(id_equal(&u->created.session_id, &sid_a));
	assert_true(view_is(u->created.node, "fog-1"));
	assert_true(u->created.token.len > 100);
	assert_true(u->created.token_expires_s >= (uint64_t)wall_s() + 58);
	assert_int_equal(requests_count(authd.requests), 0);
}

static void
test_attach_token_names_its_subject(void **state)
{
	struct pl_attached granted = { sid_a, ROLE_DRIVER, view_of("fog-1"),
		view_of("cloud-fallback") };
	char token[ATTACH_TOKEN_BYTES];
	const union payload *u;

	(void)state;
	create_for_alice(1, token, sizeof(token));
	use_token(2, token, &sid_a);
	u = hear(PLACE, MSG_PLACE_ATTACH, 2);
	assert_true(view_is(u->attach.issuer, "dev") && view_is(u->attach.subject, "alice"));
	assert_true(id_equal(&u->attach.session_id, &sid_a));
	assert_int_equal(u->attach.role, ROLE_DRIVER);
	assert_int_equal(u->attach.out_from, 9);
	assert_true(u->attach.token_expires_boot_ms > boot_ms() + 55000);
	say(PLACE, MSG_AUTH_ATTACHED, 2, &granted);
	u = hear(GATE, MSG_GATE_ATTACHED, 2);
	assert_int_equal(u->attached.role, ROLE_DRIVER);
	assert_true(view_is(u->attached.node, "fog-1"));
	assert_true(view_is(u->attached.placement_reason, "cloud-fallback"));
}

static void
test_bad_attach_tokens(void **state)
{
	char token[ATTACH_TOKEN_BYTES], cut[ATTACH_TOKEN_BYTES];
	struct secret other;

	(void)state;
	create_for_alice(1, token, sizeof(token));
	use_token(2, token, &sid_b); /* another's session */
	hear_refusal(GATE, MSG_GATE_REFUSED, 2, FOG_E_BAD_ATTACH_TOKEN);
	assert_int_equal(role.heard.u.refused.detail.len, 0);
	snprintf(cut, sizeof(cut), "%.*s", (int)strlen(token) - 1, token);
	use_token(3, cut, &sid_a);
	hear_refusal(GATE, MSG_GATE_REFUSED, 3, FOG_E_BAD_ATTACH_TOKEN);
	use_token(4, "alice", &sid_a); /* a bearer is no attach token */
	hear_refusal(GATE, MSG_GATE_REFUSED, 4, FOG_E_BAD_ATTACH_TOKEN);
	assert_int_equal(secret_init_random(&other, 32), 0);
	secret_wipe(&authd.keys.signing_key);
	secret_take(&authd.keys.signing_key, &other);
	use_token(5, token, &sid_a); /* of an earlier authd */
	hear_refusal(GATE, MSG_GATE_REFUSED, 5, FOG_E_BAD_ATTACH_TOKEN);
	hear_nothing(PLACE);
}

static void
test_bad_bearers(void **state)
{
	static const char *const rows[] = { "al ice", "alice++admins", "+", "alice+a+a",
		"eyJhbGciOiJub25lIn0..:" };
	char token[ATTACH_TOKEN_BYTES];
	struct pl_bearer_session show = { AS(""), .session_id = sid_a };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		ask_create(i + 1, rows[i]);
		hear_refusal(GATE, MSG_GATE_REFUSED, i + 1, FOG_E_BAD_TOKEN);
		assert_null(memmem(role.heard.u.refused.detail.p, role.heard.u.refused.detail.len,
		    rows[i], strlen(rows[i])));
	}
	create_for_alice(20, token, sizeof(token));
	show.bearer = view_of(token); /* an attach token is no bearer, short or long */
	say(GATE, MSG_AUTH_SHOW, 21, &show);
	hear_refusal(GATE, MSG_GATE_REFUSED, 21, FOG_E_BAD_TOKEN);
	show.bearer = view_of("alice");
	show.scheme = SCHEME_DPOP; /* nothing is bound to a key here */
	say(GATE, MSG_AUTH_SHOW, 22, &show);
	hear_refusal(GATE, MSG_GATE_REFUSED, 22, FOG_E_BAD_TOKEN);
	authd.dev_shim = false;
	ask_create(23, "alice");
	hear_refusal(GATE, MSG_GATE_REFUSED, 23, FOG_E_BAD_TOKEN);
	hear_nothing(PLACE);
}

static void
test_mint(void **state)
{
	struct pl_bearer_mint want = { AS("alice"), .session_id = sid_a, .role = ROLE_DRIVER };
	struct pl_session_role mintable = { sid_a, ROLE_DRIVER };
	char token[ATTACH_TOKEN_BYTES];
	const union payload *u;

	(void)state;
	say(GATE, MSG_AUTH_MINT, 1, &want);
	u = hear(PLACE, MSG_PLACE_MINT, 1);
	assert_true(view_is(u->who_mint.subject, "alice"));
	say(PLACE, MSG_AUTH_MINTABLE, 1, &mintable);
	u = hear(GATE, MSG_GATE_MINTED, 1);
	assert_int_equal(view_copy(u->minted.token, token, sizeof(token)), 0);
	use_token(2, token, &sid_a);
	hear(PLACE, MSG_PLACE_ATTACH, 2);
}

static void
test_extend(void **state)
{
	struct pl_bearer_extend want = { AS("alice+admins"), .session_id = sid_a,
		.ttl_seconds = 7200 };
	struct pl_session row = session_row(&sid_a);
	const union payload *u;

	(void)state;
	say(GATE, MSG_AUTH_EXTEND, 1, &want);
	u = hear(PLACE, MSG_PLACE_EXTEND, 1);
	assert_true(view_is(u->who_extend.issuer, "dev"));
	assert_true(view_is(u->who_extend.subject, "alice"));
	assert_true(list_holds(u->who_extend.groups, view_of("admins")));
	assert_true(id_equal(&u->who_extend.session_id, &sid_a));
	assert_int_equal(u->who_extend.ttl_seconds, 7200);
	row.expires_s = 7201;
	say(PLACE, MSG_AUTH_EXTENDED, 1, &row);
	assert_int_equal(hear(GATE, MSG_GATE_EXTENDED, 1)->session.expires_s, 7201);
	assert_int_equal(requests_count(authd.requests), 0);
	want.bearer = view_of("al ice");
	say(GATE, MSG_AUTH_EXTEND, 2, &want);
	hear_refusal(GATE, MSG_GATE_REFUSED, 2, FOG_E_BAD_TOKEN);
	hear_nothing(PLACE);
}

static void
test_viewer(void **state)
{
	struct pl_bearer_mint want = { AS("alice"), .session_id = sid_a, .role = ROLE_VIEWER };
	struct pl_session_role mintable = { sid_a, ROLE_VIEWER };
	char token[ATTACH_TOKEN_BYTES];
	const union payload *u;

	(void)state;
	say(GATE, MSG_AUTH_MINT, 1, &want);
	assert_int_equal(hear(PLACE, MSG_PLACE_MINT, 1)->who_mint.role, ROLE_VIEWER);
	say(PLACE, MSG_AUTH_MINTABLE, 1, &mintable);
	u = hear(GATE, MSG_GATE_MINTED, 1);
	assert_int_equal(u->minted.role, ROLE_VIEWER);
	assert_int_equal(view_copy(u->minted.token, token, sizeof(token)), 0);
	use_token(2, token, &sid_a);
	assert_int_equal(hear(PLACE, MSG_PLACE_ATTACH, 2)->attach.role, ROLE_VIEWER);
}

static void
use_renewal(uint64_t id, const char *token, const struct id128 *session_id, uint64_t attachment)
{
	struct pl_use_renewal use = { .token = view_of(token),
		.session_id = *session_id,
		.attachment = attachment };

	say(GATE, MSG_AUTH_RENEW, id, &use);
}

static void
test_renew(void **state)
{
	struct pl_renewed renewed = { sid_a, 7 };
	char token[ATTACH_TOKEN_BYTES];
	const union payload *u;

	(void)state;
	create_for_alice(1, token, sizeof(token));
	use_renewal(2, token, &sid_b, 7);
	hear_refusal(GATE, MSG_GATE_REFUSED, 2, FOG_E_BAD_ATTACH_TOKEN);
	use_renewal(3, "alice", &sid_a, 7);
	hear_refusal(GATE, MSG_GATE_REFUSED, 3, FOG_E_BAD_ATTACH_TOKEN);
	hear_nothing(PLACE);
	use_renewal(4, token, &sid_a, 7);
	u = hear(PLACE, MSG_PLACE_RENEW, 4);
	assert_true(view_is(u->renew.issuer, "dev") && view_is(u->renew.subject, "alice"));
	assert_true(id_equal(&u->renew.session_id, &sid_a));
	assert_int_equal(u->renew.attachment, 7);
	assert_int_equal(u->renew.role, ROLE_DRIVER);
	assert_int_equal(u->renew.until_boot_ms, 0);
	assert_int_equal(u->renew.issued_s, 0); /* the dev shim knows no time of issue */
	assert_true(u->renew.token_expires_boot_ms > boot_ms() + 55000);
	say(PLACE, MSG_AUTH_RENEWED, 4, &renewed);
	u = hear(GATE, MSG_GATE_RENEWED, 4);
	assert_true(id_equal(&u->renewed.session_id, &sid_a));
	assert_int_equal(u->renewed.attachment, 7);
	assert_int_equal(requests_count(authd.requests), 0);
}

static void
test_lies_about_a_renewal(void **state)
{
	static const struct pl_renewed lies[] = { { SID(2), 7 }, { SID(1), 8 } };
	char token[ATTACH_TOKEN_BYTES];

	(void)state;
	create_for_alice(1, token, sizeof(token));
	for (unsigned i = 0; i < COUNT_OF(lies); i++) {
		use_renewal(10 + i, token, &sid_a, 7);
		hear(PLACE, MSG_PLACE_RENEW, 10 + i);
		say(PLACE, MSG_AUTH_RENEWED, 10 + i, &lies[i]);
		assert_int_equal(role.lies, i + 1);
		hear_refusal(GATE, MSG_GATE_REFUSED, 10 + i, FOG_E_UNAVAILABLE);
		connect_neighbour(PLACE);
	}
}

/* The signing key is rotated: what the last one signed is good, and what one before it did is not. */
static void
test_two_signing_keys(void **state)
{
	char token[ATTACH_TOKEN_BYTES], newer[ATTACH_TOKEN_BYTES];

	(void)state;
	create_for_alice(1, token, sizeof(token));
	secret_take(&authd.keys.previous, &authd.keys.signing_key);
	assert_int_equal(secret_init_random(&authd.keys.signing_key, 32), 0);
	create_for_alice(2, newer, sizeof(newer));
	use_token(3, token, &sid_a);
	hear(PLACE, MSG_PLACE_ATTACH, 3);
	use_token(4, newer, &sid_a);
	hear(PLACE, MSG_PLACE_ATTACH, 4);
	secret_wipe(&authd.keys.previous);
	use_token(5, token, &sid_a);
	hear_refusal(GATE, MSG_GATE_REFUSED, 5, FOG_E_BAD_ATTACH_TOKEN);
	use_token(6, newer, &sid_a);
	hear(PLACE, MSG_PLACE_ATTACH, 6);
}

static void
test_logout_without_a_provider(void **state)
{
	struct pl_logout logout = { .token = view_of("a.b.c") };

	(void)state;
	say(GATE, MSG_AUTH_LOGOUT, 1, &logout);
	hear_refusal(GATE, MSG_GATE_REFUSED, 1, FOG_E_NOT_FOUND);
	hear_nothing(PLACE);
}

#define COPY_ROW(T, kind, name, min, max) .name = row.name,

static struct pl_shown
shown_row(const struct id128 *id)
{
	struct pl_session row = session_row(id);

	return (struct pl_shown){ FIELDS_session(COPY_ROW, ).known = 1u << USAGE_PIDS, .pids = 5,
		.holds = 1u << LIMIT_PIDS };
}

static void
test_show_is_relayed(void **state)
{
	struct pl_bearer_session want = { AS("alice"), .session_id = sid_a };
	struct pl_shown shown = shown_row(&sid_a);
	const union payload *u;

	(void)state;
	shown.image.b[0] = 7;
	say(GATE, MSG_AUTH_SHOW, 1, &want);
	assert_true(view_is(hear(PLACE, MSG_PLACE_SHOW, 1)->who_session.subject, "alice"));
	say(PLACE, MSG_AUTH_SHOWN, 1, &shown);
	u = hear(GATE, MSG_GATE_SHOWN, 1);
	assert_true(id_equal(&u->shown.session_id, &sid_a));
	assert_int_equal(u->shown.image.b[0], 7);
	assert_int_equal(u->shown.known, 1u << USAGE_PIDS);
	assert_int_equal(u->shown.pids, 5);
	assert_int_equal(u->shown.holds, 1u << LIMIT_PIDS);
	assert_int_equal(requests_count(authd.requests), 0);
	/* Once is enough. */
	say(PLACE, MSG_AUTH_SHOWN, 1, &shown);
	hear_nothing(GATE);
	assert_int_equal(role.lies, 0);
}

/* What each answer must be about, when it is about a session. */
static const struct {
	enum msg_type asked, passed_on, answer;
	struct pl_session_role lie;
} lie_rows[] = {
	{ MSG_AUTH_MINT, MSG_PLACE_MINT, MSG_AUTH_MINTABLE, { SID(2), ROLE_DRIVER } },
	{ MSG_AUTH_MINT, MSG_PLACE_MINT, MSG_AUTH_MINTABLE, { SID(1), ROLE_VIEWER } },
	{ MSG_AUTH_END, MSG_PLACE_END, MSG_AUTH_ENDED, { SID(2), ROLE_DRIVER } },
	{ MSG_AUTH_SHOW, MSG_PLACE_SHOW, MSG_AUTH_SHOWN, { SID(2), ROLE_DRIVER } },
	{ MSG_AUTH_SHOW, MSG_PLACE_SHOW, MSG_AUTH_SESSION, { SID(1), ROLE_DRIVER } },
	{ MSG_AUTH_EXTEND, MSG_PLACE_EXTEND, MSG_AUTH_EXTENDED, { SID(2), ROLE_DRIVER } },
	{ MSG_AUTH_EXTEND, MSG_PLACE_EXTEND, MSG_AUTH_SESSION, { SID(1), ROLE_DRIVER } },
	{ MSG_AUTH_ATTACH, MSG_PLACE_ATTACH, MSG_AUTH_ATTACHED, { SID(2), ROLE_DRIVER } },
	{ MSG_AUTH_ATTACH, MSG_PLACE_ATTACH, MSG_AUTH_ATTACHED, { SID(1), ROLE_VIEWER } },
};

static void
test_lying_placerd(void **state)
{
	char token[ATTACH_TOKEN_BYTES];

	(void)state;
	create_for_alice(1, token, sizeof(token));
	for (unsigned i = 0; i < COUNT_OF(lie_rows); i++) {
		struct pl_bearer_mint want = { AS("alice"), .session_id = sid_a,
			.role = ROLE_DRIVER };
		struct pl_bearer_extend longer = { AS("alice"), .session_id = sid_a };
		struct pl_session row = session_row(&lie_rows[i].lie.session_id);
		struct pl_shown shown = shown_row(&lie_rows[i].lie.session_id);
		struct pl_attached attached = { lie_rows[i].lie.session_id, lie_rows[i].lie.role,
			view_of("fog-1"), view_of("local-only") };
		bool is_shown = lie_rows[i].answer == MSG_AUTH_SHOWN;
		bool is_row = lie_rows[i].answer == MSG_AUTH_SESSION ||
		    lie_rows[i].answer == MSG_AUTH_EXTENDED;

		if (lie_rows[i].asked == MSG_AUTH_ATTACH)
			use_token(10 + i, token, &sid_a);
		else if (lie_rows[i].asked == MSG_AUTH_EXTEND)
			say(GATE, MSG_AUTH_EXTEND, 10 + i, &longer);
		else
			say(GATE, lie_rows[i].asked, 10 + i, &want);
		hear(PLACE, lie_rows[i].passed_on, 10 + i);
		say(PLACE, lie_rows[i].answer, 10 + i,
		    is_shown                                      ? (const void *)&shown
			: is_row                                  ? (const void *)&row
			: lie_rows[i].answer == MSG_AUTH_ATTACHED ? (const void *)&attached
								  : &lie_rows[i].lie);
		assert_int_equal(role.lies, i + 1);
		hear_refusal(GATE, MSG_GATE_REFUSED, 10 + i, FOG_E_UNAVAILABLE);
		connect_neighbour(PLACE);
	}
}

static void
ask_list(uint64_t id, enum msg_type type)
{
	struct pl_bearer want = { AS("alice") };

	say(GATE, type, id, &want);
}

static void
test_list_is_relayed(void **state)
{
	struct pl_session row = session_row(&sid_a);

	(void)state;
	ask_list(1, MSG_AUTH_LIST);
	assert_true(view_is(hear(PLACE, MSG_PLACE_LIST, 1)->identity.subject, "alice"));
	say(PLACE, MSG_AUTH_SESSION, 1, &row);
	row.session_id = sid_b;
	say(PLACE, MSG_AUTH_SESSION, 1, &row);
	say(PLACE, MSG_AUTH_DONE, 1, NULL);
	assert_true(id_equal(&hear(GATE, MSG_GATE_SESSION, 1)->session.session_id, &sid_a));
	assert_true(id_equal(&hear(GATE, MSG_GATE_SESSION, 1)->session.session_id, &sid_b));
	hear(GATE, MSG_GATE_DONE, 1);
	assert_int_equal(requests_count(authd.requests), 0);
	/* Too late: dropped. */
	say(PLACE, MSG_AUTH_SESSION, 1, &row);
	hear_nothing(GATE);
	assert_int_equal(role.lies, 0);
}

/* A burst of listings is passed on a few at a time, and all are answered in the end. */
static void
test_listings_are_paced(void **state)
{
	enum { ALL = 40 };
	uint64_t done = 0;

	(void)state;
	for (uint64_t i = 1; i <= ALL; i++)
		ask_list(i, i % 2 ? MSG_AUTH_LIST : MSG_AUTH_NODES);
	for (uint64_t i = 1; i <= LISTINGS_AT_ONCE; i++)
		hear(PLACE, i % 2 ? MSG_PLACE_LIST : MSG_PLACE_NODES, i);
	hear_nothing(PLACE);
	for (done = 1; done <= ALL; done++) {
		say(PLACE, MSG_AUTH_DONE, done, NULL);
		hear(GATE, MSG_GATE_DONE, done);
		if (done + LISTINGS_AT_ONCE <= ALL)
			hear(PLACE,
			    (done + LISTINGS_AT_ONCE) % 2 ? MSG_PLACE_LIST : MSG_PLACE_NODES,
			    done + LISTINGS_AT_ONCE);
		hear_nothing(PLACE);
	}
	assert_int_equal(authd.listings, 0);
	assert_int_equal(requests_count(authd.requests), 0);
}

/* Reads nothing while others list a lot: the listings wait for it, and it is not taken for stuck. */
static void
test_slow_gatewayd(void **state)
{
	enum { ALL = 100, ROWS = 64 };
	struct pl_session row = session_row(&sid_a);
	unsigned answered = 0, heard = 0;

	(void)state;
	for (uint64_t i = 1; i <= ALL; i++)
		ask_list(i, MSG_AUTH_LIST);
	while (heard < ALL) {
		uint64_t id = 0;

		/* A placerd that answers at once whatever it is asked. */
		while (listen_once(PLACE) > 0) {
			struct reader r;

			reader_init(&r, role.bytes, sizeof(role.bytes));
			assert_int_equal(msg_get_header(&r, &role.heard), 0);
			id = role.heard.request_id;
			for (unsigned n = 0; n < ROWS; n++)
				say(PLACE, MSG_AUTH_SESSION, id, &row);
			say(PLACE, MSG_AUTH_DONE, id, NULL);
			answered++;
		}
		assert_non_null(proc_peer(GATE));
		assert_true(answered - heard <= 2 * LISTINGS_AT_ONCE);
		for (unsigned n = 0; n < ROWS; n++)
			hear(GATE, MSG_GATE_SESSION, heard + 1);
		hear(GATE, MSG_GATE_DONE, ++heard);
		turn_for_ms(3);
	}
	assert_int_equal(answered, ALL);
}

static void
test_answer_to_a_listing_that_waits(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= LISTINGS_AT_ONCE + 1; i++)
		ask_list(i, MSG_AUTH_LIST);
	say(PLACE, MSG_AUTH_DONE, LISTINGS_AT_ONCE + 1, NULL);
	assert_int_equal(role.lies, 1); /* it was never asked */
}

static void
test_check(void **state)
{
	struct pl_ready ready = { .sessions_known = 1,
		.audit_writable = 1,
		.running = 3,
		.lost = 4,
		.known = 1u << USAGE_PIDS,
		.pids = 55,
		.io_pressure = 66 };
	const union payload *u;

	(void)state;
	for (uint8_t with = 0; with <= 1; with++) {
		struct pl_check check = { .with_totals = with };

		say(GATE, MSG_AUTH_CHECK, 1, &check);
		assert_int_equal(hear(PLACE, MSG_PLACE_CHECK, 1)->check.with_totals, with);
		say(PLACE, MSG_AUTH_READY, 1, &ready);
		u = hear(GATE, MSG_GATE_READY, 1);
		assert_int_equal(u->gate_ready.sessions_known, 1);
		assert_int_equal(u->gate_ready.audit_writable, 1);
		assert_int_equal(u->gate_ready.sign_in, SIGN_IN_DEV);
		assert_int_equal(u->gate_ready.running, 3);
		assert_int_equal(u->gate_ready.lost, 4);
		assert_int_equal(u->gate_ready.known, 1u << USAGE_PIDS);
		assert_int_equal(u->gate_ready.pids, 55);
		assert_int_equal(u->gate_ready.io_pressure, 66);
	}
}

static void
test_refusals_are_relayed_whole(void **state)
{
	struct pl_refused why = { .error = FOG_E_QUOTA,
		.rule_id = view_of("profile.max_sessions"),
		.detail = view_of("end one first") };
	const union payload *u;

	(void)state;
	ask_create(1, "alice");
	hear(PLACE, MSG_PLACE_CREATE, 1);
	say(PLACE, MSG_AUTH_REFUSED, 1, &why);
	u = hear(GATE, MSG_GATE_REFUSED, 1);
	assert_int_equal(u->refused.error, FOG_E_QUOTA);
	assert_true(view_is(u->refused.rule_id, "profile.max_sessions"));
	assert_true(view_is(u->refused.detail, "end one first"));
}

static void
test_without_placerd(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= LISTINGS_AT_ONCE + 2; i++)
		ask_list(i, MSG_AUTH_LIST);
	ask_create(100, "alice");
	disconnect(PLACE);
	for (unsigned i = 0; i < LISTINGS_AT_ONCE + 3; i++)
		hear_refusal(GATE, MSG_GATE_REFUSED, 0, FOG_E_UNAVAILABLE);
	assert_int_equal(requests_count(authd.requests), 0);
	assert_int_equal(authd.listings, 0);
	ask_create(101, "alice");
	hear_refusal(GATE, MSG_GATE_REFUSED, 101, FOG_E_UNAVAILABLE);
	connect_neighbour(PLACE);
	ask_create(102, "alice");
	hear(PLACE, MSG_PLACE_CREATE, 102);
}

/* What a dead gatewayd asked is answered to nobody, and its ids are taken until then. */
static void
test_new_gatewayd(void **state)
{
	struct pl_session row = session_row(&sid_a);

	(void)state;
	ask_create(1, "alice");
	ask_create(2, "alice");
	hear(PLACE, MSG_PLACE_CREATE, 1);
	hear(PLACE, MSG_PLACE_CREATE, 2);
	connect_neighbour(GATE);
	say(PLACE, MSG_AUTH_CREATED, 1, &row);
	hear_nothing(GATE);
	ask_create(2, "mallory");
	assert_int_equal(role.lies, 1);
	hear_nothing(PLACE);
}

static void
test_too_many_pending(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 1024; i++) {
		ask_create(i, "alice");
		hear(PLACE, MSG_PLACE_CREATE, i);
	}
	ask_create(1025, "alice");
	hear_refusal(GATE, MSG_GATE_REFUSED, 1025, FOG_E_FULL);
}

static void
test_timeout(void **state)
{
	struct pl_session row = session_row(&sid_a);

	(void)state;
	role.config.request_timeout_ms = 100;
	ask_create(1, "alice");
	hear(PLACE, MSG_PLACE_CREATE, 1);
	turn_for_ms(300);
	hear_refusal(GATE, MSG_GATE_REFUSED, 1, FOG_E_TIMEOUT);
	say(PLACE, MSG_AUTH_CREATED, 1, &row);
	hear_nothing(GATE);
	assert_int_equal(role.lies, 0);
}

#define WITH_ROLE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROLE(test_create_names_the_subject_and_mints),
		WITH_ROLE(test_attach_token_names_its_subject),
		WITH_ROLE(test_bad_attach_tokens),
		WITH_ROLE(test_bad_bearers),
		WITH_ROLE(test_mint),
		WITH_ROLE(test_extend),
		WITH_ROLE(test_viewer),
		WITH_ROLE(test_renew),
		WITH_ROLE(test_lies_about_a_renewal),
		WITH_ROLE(test_two_signing_keys),
		WITH_ROLE(test_logout_without_a_provider),
		WITH_ROLE(test_lying_placerd),
		WITH_ROLE(test_show_is_relayed),
		WITH_ROLE(test_list_is_relayed),
		WITH_ROLE(test_listings_are_paced),
		WITH_ROLE(test_slow_gatewayd),
		WITH_ROLE(test_answer_to_a_listing_that_waits),
		WITH_ROLE(test_check),
		WITH_ROLE(test_refusals_are_relayed_whole),
		WITH_ROLE(test_without_placerd),
		WITH_ROLE(test_new_gatewayd),
		WITH_ROLE(test_too_many_pending),
		WITH_ROLE(test_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
