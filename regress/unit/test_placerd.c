/* SPDX-License-Identifier: MIT */
/*
 * placerd's handlers between an authd and a ptyd that are played by hand.
 * links: placerd/peers.c placerd/create.c placerd/extend.c placerd/session.c placerd/registry.c placerd/audit.c
 * links: placerd/quota.c placerd/policy.c placerd/place.c placerd/yaml.c placerd/identity.c placerd/renew.c
 * links: placerd/revoke.c placerd/revoked.c placerd/rate.c placerd/show.c placerd/totals.c placerd/elsewhere.c
 * links: placerd/provisional.c placerd/passed.c placerd/where.c placerd/hold.c placerd/distance.c placerd/nodes.c placerd/fleet.c placerd/fleetlist.c
 * links: placerd/probe.c placerd/nodestatus.c placerd/decision.c placerd/asked_record.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/json.h"
#include "placerd/fleet.h"
#include "placerd/nodes.h"
#include "placerd/placerd.h"
#include "placerd/quota.h"
#include "placerd/yaml.h"
#include "regress/unit/role_check.h"

#define AUTH EDGE_AUTH_PLACE
#define PTY EDGE_PLACE_PTY

#define DIGEST_A "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST_B "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static const char policy_text[] =
    "profiles:\n"
    "  - {name: default, cpu: \"500m\", memory: \"512Mi\", storage: \"1Gi\",\n"
    "     max_ttl_seconds: 3600, max_sessions: 2, allowed_groups: []}\n"
    "  - {name: closed, cpu: \"1\", memory: \"1Gi\", storage: \"1Gi\",\n"
    "     max_ttl_seconds: 60, max_sessions: 1, allowed_groups: [admins],\n"
    "     idle_timeout_seconds: 900, ring_size: 128Ki}\n"
    "  - {name: stays, cpu: \"1\", memory: \"1Gi\", storage: \"1Gi\", on_logout: detach,\n"
    "     max_ttl_seconds: 3600, max_sessions: 9, allowed_groups: []}\n"
    "  - {name: boxed, cpu: \"2\", memory: \"1Gi\", storage: \"2Gi\", pids: 99, io_weight: 7,\n"
    "     max_ttl_seconds: 3600, max_sessions: 9, allowed_groups: [], home: persistent,\n"
    "     limits: best-effort, images: [base@" DIGEST_A ", " DIGEST_B "],\n"
    "     egress: [10.1.0.0/16 tcp 443, 10.9.0.53 udp 53], dns: 10.9.0.53}\n"
    "  - {name: plain, cpu: \"1\", memory: \"1Gi\", storage: \"1Gi\", images: [" DIGEST_B "],\n"
    "     max_ttl_seconds: 3600, max_sessions: 9, allowed_groups: []}\n";

static struct placerd placerd;
static int audit_fd;                              /* the audit log's own descriptor */
static char folder[] = "/tmp/fog-placerd-XXXXXX"; /* placerd's own directory */
static int folder_fd = -1;

static struct policy *
read_policy(void)
{
	char err[YAML_ERROR_BYTES] = "";
	struct policy *p = policy_new_from_yaml("policy.yaml", policy_text, strlen(policy_text),
	    err, sizeof(err));

	assert_string_equal(err, "");
	return p;
}

/* As a placerd that starts reads them. */
static void
open_revoked(void)
{
	struct revoked_found found;

	revoked_free(placerd.revoked);
	placerd.revoked = revoked_new(3600);
	assert_int_equal(revoked_open(placerd.revoked, folder_fd, (uint64_t)wall_s(), &found),
	    REVOKED_OK);
}

/* As a placerd that has just started. */
static void
open_passed(void)
{
	struct passed_now now = { .wall_s = (uint64_t)wall_s(), .mono_ms = mono_ms() };
	struct passed_found found;

	passed_free(placerd.passed);
	placerd.passed = passed_new(REGISTRY_REPEAT_MS);
	assert_int_equal(passed_open(placerd.passed, folder_fd, now, &found), PASSED_OK);
	assert_int_equal(found.damaged, 0);
}

static void
set_rates(uint32_t creates, uint32_t attaches)
{
	rate_free(placerd.creates);
	rate_free(placerd.attaches);
	placerd.creates = rate_new(creates);
	placerd.attaches = rate_new(attaches);
}

static int
set_up(void **state)
{
	(void)state;
	memset(&placerd, 0, sizeof(placerd));
	role.self = PROC_PLACERD;
	role.ctx = &placerd;
	role.edge_up = peers_edge_up;
	role.edge_down = peers_edge_down;
	role.ops.handlers = placerd_handlers;
	role.ops.phase_of = peers_phase_of;
	role_begin();
	assert_int_equal(json_init(), 0);
	audit_fd = memfd_create("audit", MFD_CLOEXEC);
	placerd.keepers.audit = audit_new(audit_fd, -1);
	placerd.keepers.quota = quota_new();
	placerd.registry = registry_new();
	placerd.policy = read_policy();
	open_revoked();
	set_rates(0, 0);
	snprintf(placerd.node_name, sizeof(placerd.node_name), "fog-1");
	placerd.nodes = nodes_new_alone("fog-1", "lab", SESSION_SLOTS);
	placerd.fleet = fleet_new(1, 0, 1, mono_ms());
	assert_int_equal(peers_start(&placerd), 0);
	open_passed();
	connect_neighbour(AUTH);
	connect_neighbour(PTY);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	requests_clear(placerd.requests, -FOG_E_UNAVAILABLE);
	requests_free(placerd.requests);
	event_free(placerd.loose_ends);
	free(placerd.places);
	passed_free(placerd.passed);
	fleet_free(placerd.fleet);
	nodes_free(placerd.nodes);
	registry_free(placerd.registry);
	audit_free(placerd.keepers.audit);
	quota_free(placerd.keepers.quota);
	policy_free(placerd.policy);
	revoked_free(placerd.revoked);
	rate_free(placerd.creates);
	rate_free(placerd.attaches);
	unlinkat(folder_fd, "revoked.0", 0);
	unlinkat(folder_fd, "revoked.1", 0);
	unlinkat(folder_fd, PASSED_FILE, 0);
	role_end();
	return 0;
}

static void
sync_pty(void)
{
	say(PTY, MSG_PLACE_KNOWN_ALL, 0, NULL);
}

static void
ask_check(uint64_t request, uint8_t with_totals)
{
	struct pl_check check = { .with_totals = with_totals };

	say(AUTH, MSG_PLACE_CHECK, request, &check);
}

/* How many lines of the audit log hold this text. */
static unsigned
audited(const char *text)
{
	static char log[65536];
	ssize_t n = pread(audit_fd, log, sizeof(log) - 1, 0);
	unsigned found = 0;

	assert_true(n >= 0);
	log[n] = '\0';
	for (char *at = log; (at = strstr(at, text)); at++)
		found++;
	return found;
}

static struct pl_create
wish(const char *subject, const char *key)
{
	return (struct pl_create){ .issuer = view_of("dev"),
		.subject = view_of(subject),
		.profile = view_of("default"),
		.ttl_seconds = 60,
		.idem_key = view_of(key) };
}

static struct pl_who_session
who(const char *subject, const struct id128 *id)
{
	return (struct pl_who_session){ .issuer = view_of("dev"),
		.subject = view_of(subject),
		.session_id = *id };
}

/* Asks for a session and hears the order; the session is not started yet. */
static struct id128
ask_for_one(uint64_t request, const char *subject, const char *key)
{
	struct pl_create want = wish(subject, key);

	say(AUTH, MSG_PLACE_CREATE, request, &want);
	return hear(PTY, MSG_PTY_CREATE, request)->plan.session_id;
}

static struct id128
make_one(uint64_t request, const char *subject, const char *key)
{
	struct pl_session_id started = { ask_for_one(request, subject, key) };

	say(PTY, MSG_PLACE_STARTED, request, &started);
	hear(AUTH, MSG_AUTH_CREATED, request);
	return started.session_id;
}

static void
tell_state(const struct id128 *id, enum session_status status, enum end_reason reason)
{
	struct pl_state told = { .session_id = *id,
		.status = (uint8_t)status,
		.end_reason = (uint8_t)reason };

	say(PTY, MSG_PLACE_STATE, 0, &told);
}

static void
expect_status(const char *subject, const struct id128 *id, enum session_status status)
{
	struct pl_who_session asks = who(subject, id);

	say(AUTH, MSG_PLACE_SHOW, 9000, &asks);
	assert_string_equal(session_status_name(hear(AUTH, MSG_AUTH_SHOWN, 9000)->shown.status),
	    session_status_name(status));
}

static void
test_create(void **state)
{
	struct pl_create want = wish("alice", "");
	struct pl_session_id started;
	const union payload *u;

	(void)state;
	sync_pty();
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	/* Written down before it is ordered. */
	assert_int_equal(audited("\"placement.decided\""), 1);
	assert_int_equal(audited("\"session.created\",\"phase\":\"intent\""), 1);
	u = hear(PTY, MSG_PTY_CREATE, 1);
	started.session_id = u->plan.session_id;
	assert_true(id_is_session(&started.session_id));
	assert_true(view_is(u->plan.subject, "alice") && view_is(u->plan.issuer, "dev"));
	assert_true(view_is(u->plan.placement_reason, "local-only"));
	assert_int_equal(u->plan.ttl_seconds, 60);
	assert_int_equal(u->plan.expires_s - u->plan.created_s, 60);
	assert_int_equal(u->plan.cpu_milli, 500);
	assert_int_equal(u->plan.idle_timeout_s, 0);
	assert_int_equal(u->plan.ring_bytes, role.config.output_ring_bytes);
	hear_nothing(AUTH);
	say(PTY, MSG_PLACE_STARTED, 1, &started);
	u = hear(AUTH, MSG_AUTH_CREATED, 1);
	assert_true(id_equal(&u->session.session_id, &started.session_id));
	assert_int_equal(u->session.status, STATUS_DETACHED);
	assert_true(view_is(u->session.node, "fog-1"));
	assert_int_equal(audited("\"runtime.allocated\""), 1);
	assert_int_equal(audited("\"session.created\",\"phase\":\"outcome\""), 1);
}

static void
test_plan_has_what_the_profile_says(void **state)
{
	struct pl_create want = wish("alice", "");
	unsigned char groups[64];
	const union payload *u;
	struct writer w;

	(void)state;
	sync_pty();
	writer_init(&w, groups, sizeof(groups));
	put_view(&w, view_of("admins"));
	want.groups = view_bytes(groups, w.len);
	want.profile = view_of("closed");
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	u = hear(PTY, MSG_PTY_CREATE, 1);
	assert_int_equal(u->plan.idle_timeout_s, 900);
	assert_int_equal(u->plan.ring_bytes, 128 << 10);
}

static void
test_nothing_before_the_list_is_known(void **state)
{
	struct pl_create want = wish("alice", "");
	struct pl_identity asks = { .issuer = view_of("dev"), .subject = view_of("alice") };
	struct pl_attach attach = { .issuer = view_of("dev"),
		.subject = view_of("alice"),
		.token_expires_boot_ms = 1,
		.role = ROLE_DRIVER };
	struct id128 id = { { 0 } };
	struct pl_who_session one = who("alice", &id);

	(void)state;
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_UNAVAILABLE);
	say(AUTH, MSG_PLACE_ATTACH, 2, &attach);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_UNAVAILABLE);
	say(AUTH, MSG_PLACE_END, 3, &one);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 3, FOG_E_UNAVAILABLE);
	say(AUTH, MSG_PLACE_SHOW, 4, &one);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 4, FOG_E_UNAVAILABLE);
	say(AUTH, MSG_PLACE_LIST, 5, &asks);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 5, FOG_E_UNAVAILABLE);
	ask_check(6, 0);
	assert_int_equal(hear(AUTH, MSG_AUTH_READY, 6)->ready.sessions_known, 0);
	hear_nothing(PTY);
	sync_pty();
	ask_check(7, 0);
	assert_int_equal(hear(AUTH, MSG_AUTH_READY, 7)->ready.sessions_known, 1);
	say(AUTH, MSG_PLACE_SHOW, 8, &one);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 8, FOG_E_NO_SESSION);
}

static const struct {
	const char *profile;
	uint32_t ttl;
	int error;
	const char *rule_id;
} denial_rows[] = {
	{ "nosuch", 0, FOG_E_UNKNOWN_PROFILE, "profile.unknown" },
	{ "closed", 0, FOG_E_DENIED, "profile.allowed_groups" },
	{ "default", 3601, FOG_E_TTL, "profile.max_ttl_seconds" },
};

static void
test_denials(void **state)
{
	(void)state;
	sync_pty();
	for (size_t i = 0; i < COUNT_OF(denial_rows); i++) {
		struct pl_create want = wish("alice", "");
		const union payload *u;

		want.profile = view_of(denial_rows[i].profile);
		want.ttl_seconds = denial_rows[i].ttl;
		say(AUTH, MSG_PLACE_CREATE, i + 1, &want);
		u = hear(AUTH, MSG_AUTH_REFUSED, i + 1);
		assert_int_equal(u->refused.error, denial_rows[i].error);
		assert_true(view_is(u->refused.rule_id, denial_rows[i].rule_id));
		assert_true(u->refused.detail.len > 0);
		assert_int_equal(audited(denial_rows[i].rule_id), 1);
	}
	assert_int_equal(audited("\"policy.denied\""), COUNT_OF(denial_rows));
	hear_nothing(PTY);
}

/* ptyd is gone, and it is the order that finds it out: the request is over with that, and told once. */
static void
test_the_order_meets_the_end_of_ptyd(void **state)
{
	struct pl_create want = wish("alice", "");
	unsigned char bytes[MSG_MAX_BYTES];
	struct writer w;

	(void)state;
	sync_pty();
	writer_init(&w, bytes, sizeof(bytes));
	assert_int_equal(msg_put(&w, MSG_PLACE_CREATE, 1, NULL, &want), 0);
	/* Both are there to be read: the request before the end. */
	assert_int_equal(send(role.far[AUTH], bytes, w.len, MSG_NOSIGNAL), w.len);
	close_fd(&role.far[PTY]);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_UNAVAILABLE);
	hear_nothing(AUTH);
	assert_int_equal(role.lies, 0);
}

static void
test_quota_counts_what_is_under_way(void **state)
{
	struct pl_create want = wish("alice", "");
	struct pl_refused no_pty = { .error = FOG_E_NO_PTY };

	(void)state;
	sync_pty();
	make_one(1, "alice", "");
	ask_for_one(2, "alice", "");
	say(AUTH, MSG_PLACE_CREATE, 3, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 3, FOG_E_QUOTA);
	ask_for_one(4, "bob", "");
	/* ptyd could not make it: its place is free again, and the error is passed on. */
	say(PTY, MSG_PLACE_REFUSED, 2, &no_pty);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_NO_PTY);
	assert_int_equal(audited("\"reason\":\"no_pty\""), 1);
	ask_for_one(5, "alice", "");
}

static void
test_node_full(void **state)
{
	struct pl_create want = wish("bob", "");
	const union payload *u;

	(void)state;
	role.config.max_sessions = 1;
	sync_pty();
	make_one(1, "alice", "");
	say(AUTH, MSG_PLACE_CREATE, 2, &want);
	u = hear(AUTH, MSG_AUTH_REFUSED, 2);
	assert_int_equal(u->refused.error, FOG_E_FULL);
	assert_true(view_is(u->refused.rule_id, "node.max_sessions"));
}

static void
test_repeats(void **state)
{
	struct pl_create want = wish("alice", "key"), other = want;
	struct pl_session_id first;

	(void)state;
	sync_pty();
	first.session_id = ask_for_one(1, "alice", "key");
	/* While it is being made: waits. */
	say(AUTH, MSG_PLACE_CREATE, 2, &want);
	hear_nothing(AUTH);
	hear_nothing(PTY);
	other.ttl_seconds = 61;
	say(AUTH, MSG_PLACE_CREATE, 3, &other);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 3, FOG_E_IDEMPOTENCY);
	say(PTY, MSG_PLACE_STARTED, 1, &first);
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_CREATED, 1)->session.session_id,
	    &first.session_id));
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_CREATED, 2)->session.session_id,
	    &first.session_id));
	/* Afterwards: at once. */
	say(AUTH, MSG_PLACE_CREATE, 4, &want);
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_CREATED, 4)->session.session_id,
	    &first.session_id));
	/* A key belongs to its owner. */
	ask_for_one(5, "bob", "key");
}

static void
test_failed_create_may_be_repeated(void **state)
{
	struct pl_create want = wish("alice", "key");
	struct pl_refused no_shell = { .error = FOG_E_NO_SHELL };

	(void)state;
	sync_pty();
	ask_for_one(1, "alice", "key");
	say(AUTH, MSG_PLACE_CREATE, 2, &want);
	say(PTY, MSG_PLACE_REFUSED, 1, &no_shell);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_NO_SHELL);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_NO_SHELL);
	make_one(3, "alice", "key");
}

static void
test_no_audit_no_session(void **state)
{
	struct pl_create want = wish("alice", "");
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), kept = dup(audit_fd);
	struct id128 id;
	struct pl_attach attach;

	(void)state;
	sync_pty();
	id = make_one(1, "alice", "");
	assert_true(dup2(full, audit_fd) >= 0);
	say(AUTH, MSG_PLACE_CREATE, 2, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_NO_AUDIT);
	attach = (struct pl_attach){ .session_id = id,
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.token_expires_boot_ms = 1,
		.role = ROLE_DRIVER };
	say(AUTH, MSG_PLACE_ATTACH, 3, &attach);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 3, FOG_E_NO_AUDIT);
	hear_nothing(PTY);
	ask_check(4, 0);
	assert_int_equal(hear(AUTH, MSG_AUTH_READY, 4)->ready.audit_writable, 0);
	/* Room again: service resumes, and the place was not lost. */
	assert_true(dup2(kept, audit_fd) >= 0);
	ask_check(5, 0);
	assert_int_equal(hear(AUTH, MSG_AUTH_READY, 5)->ready.audit_writable, 1);
	assert_int_equal(audited("\"audit.resumed\""), 1);
	make_one(6, "alice", "");
	close(full);
	close(kept);
}

static void
test_list_is_the_callers_own(void **state)
{
	struct pl_identity alice = { .issuer = view_of("dev"), .subject = view_of("alice") };
	struct id128 gone, stays;

	(void)state;
	sync_pty();
	gone = make_one(1, "alice", "");
	stays = make_one(2, "alice", "");
	make_one(3, "bob", "");
	tell_state(&gone, STATUS_EXITED, END_EXIT);
	assert_true(id_equal(&hear(PTY, MSG_PTY_STATE_KEPT, 0)->session_id.session_id, &gone));
	say(AUTH, MSG_PLACE_LIST, 4, &alice);
	/* The living first. */
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_SESSION, 4)->session.session_id, &stays));
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_SESSION, 4)->session.session_id, &gone));
	hear(AUTH, MSG_AUTH_DONE, 4);
	hear_nothing(AUTH);
}

static void
test_others_sessions_are_unknown(void **state)
{
	struct id128 id;
	struct pl_who_session bob;
	struct pl_who_mint mint;
	struct pl_attach attach;

	(void)state;
	sync_pty();
	id = make_one(1, "alice", "");
	bob = who("bob", &id);
	mint = (struct pl_who_mint){ .issuer = view_of("dev"),
		.subject = view_of("bob"),
		.session_id = id,
		.role = ROLE_DRIVER };
	attach = (struct pl_attach){ .session_id = id,
		.issuer = view_of("idp"),
		.subject = view_of("alice"),
		.token_expires_boot_ms = 1,
		.role = ROLE_DRIVER };
	say(AUTH, MSG_PLACE_SHOW, 2, &bob);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_NO_SESSION);
	say(AUTH, MSG_PLACE_END, 3, &bob);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 3, FOG_E_NO_SESSION);
	say(AUTH, MSG_PLACE_MINT, 4, &mint);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 4, FOG_E_NO_SESSION);
	say(AUTH, MSG_PLACE_ATTACH, 5, &attach);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 5, FOG_E_NO_SESSION);
	hear_nothing(PTY);
}

static void
test_mint_and_attach(void **state)
{
	struct id128 id;
	struct pl_who_mint mint;
	struct pl_attach attach;
	struct pl_session_role granted;

	(void)state;
	sync_pty();
	id = make_one(1, "alice", "");
	mint = (struct pl_who_mint){ .issuer = view_of("dev"),
		.subject = view_of("alice"),
		.session_id = id,
		.role = ROLE_VIEWER };
	say(AUTH, MSG_PLACE_MINT, 2, &mint);
	assert_int_equal(hear(AUTH, MSG_AUTH_MINTABLE, 2)->session_role.role, ROLE_VIEWER);
	mint.role = ROLE_DRIVER;
	say(AUTH, MSG_PLACE_MINT, 3, &mint);
	assert_int_equal(hear(AUTH, MSG_AUTH_MINTABLE, 3)->session_role.role, ROLE_DRIVER);
	attach = (struct pl_attach){ .session_id = id,
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.token_expires_boot_ms = 77,
		.role = ROLE_DRIVER,
		.has_out = 1,
		.out_from = 5 };
	say(AUTH, MSG_PLACE_ATTACH, 4, &attach);
	assert_int_equal(audited("\"session.attached\",\"phase\":\"intent\""), 1);
	assert_int_equal(hear(PTY, MSG_PTY_ATTACH, 4)->grant.token_expires_boot_ms, 77);
	assert_int_equal(role.heard.u.grant.out_from, 5);
	granted = (struct pl_session_role){ id, ROLE_DRIVER };
	say(PTY, MSG_PLACE_ATTACHED, 4, &granted);
	hear(AUTH, MSG_AUTH_ATTACHED, 4);
	assert_int_equal(audited("\"session.attached\",\"phase\":\"outcome\""), 1);
	assert_int_equal(audited("\"role\":\"driver\""), 2);
	attach.role = granted.role = ROLE_VIEWER;
	say(AUTH, MSG_PLACE_ATTACH, 7, &attach);
	assert_int_equal(hear(PTY, MSG_PTY_ATTACH, 7)->grant.role, ROLE_VIEWER);
	say(PTY, MSG_PLACE_ATTACHED, 7, &granted);
	assert_int_equal(hear(AUTH, MSG_AUTH_ATTACHED, 7)->session_role.role, ROLE_VIEWER);
	assert_int_equal(audited("\"role\":\"viewer\""), 2);
	tell_state(&id, STATUS_RUNNING, END_NONE);
	expect_status("alice", &id, STATUS_RUNNING);
	tell_state(&id, STATUS_EXPIRED, END_TTL);
	hear(PTY, MSG_PTY_STATE_KEPT, 0);
	say(AUTH, MSG_PLACE_ATTACH, 5, &attach);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 5, FOG_E_SESSION_ENDED);
	say(AUTH, MSG_PLACE_MINT, 6, &mint);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 6, FOG_E_SESSION_ENDED);
}

static struct pl_known told(const struct id128 *id, const char *key, uint64_t hash,
    enum session_status status);

/* Its holder is of another build: counted, shown, ended, but no token is made for it. */
static void
test_session_of_other_version(void **state)
{
	struct pl_who_mint mint = { .issuer = view_of("dev"),
		.subject = view_of("alice"),
		.role = ROLE_DRIVER };
	struct pl_who_session who = { .issuer = view_of("dev"), .subject = view_of("alice") };
	struct pl_known row;

	(void)state;
	assert_int_equal(id_session_new(1, &who.session_id), 0);
	mint.session_id = who.session_id;
	row = told(&who.session_id, "", 0, STATUS_DETACHED);
	row.other_version = 1;
	say(PTY, MSG_PLACE_KNOWN, 0, &row);
	sync_pty();
	expect_status("alice", &who.session_id, STATUS_DETACHED);
	assert_int_equal(registry_live(placerd.registry), 1);
	say(AUTH, MSG_PLACE_MINT, 1, &mint);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_HOLDER_VERSION);
	say(AUTH, MSG_PLACE_END, 2, &who);
	hear(PTY, MSG_PTY_END, 2);
	/* A ptyd of its own version says so. */
	connect_neighbour(PTY);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_UNAVAILABLE);
	row.other_version = 0;
	say(PTY, MSG_PLACE_KNOWN, 0, &row);
	sync_pty();
	say(AUTH, MSG_PLACE_MINT, 3, &mint);
	hear(AUTH, MSG_AUTH_MINTABLE, 3);
}

static struct pl_known
told(const struct id128 *id, const char *key, uint64_t hash, enum session_status status)
{
	return (struct pl_known){ .session_id = *id,
		.profile = view_of("default"),
		.status = (uint8_t)status,
		.created_s = (uint64_t)wall_s() - 5,
		.expires_s = (uint64_t)wall_s() + 60,
		.node = view_of("fog-1"),
		.region = view_of("local"),
		.tier = TIER_FOG,
		.placement_reason = view_of("local-only"),
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.idem_key = view_of(key),
		.idem_hash = hash };
}

static struct pl_who_extend
longer(const char *subject, const struct id128 *id, uint32_t ttl_seconds)
{
	return (struct pl_who_extend){ .issuer = view_of("dev"),
		.subject = view_of(subject),
		.session_id = *id,
		.ttl_seconds = ttl_seconds };
}

static uint64_t
life_of(const struct pl_session *s)
{
	return s->expires_s - s->created_s;
}

/* What ptyd answers to the extension that it has just been ordered. */
static struct pl_extended
extended_by(const char *subject, const struct id128 *id, uint32_t ttl_seconds)
{
	struct pl_who_session asks = who(subject, id);
	struct pl_extended done = { .session_id = *id };

	say(AUTH, MSG_PLACE_SHOW, 9000, &asks);
	done.expires_s = hear(AUTH, MSG_AUTH_SHOWN, 9000)->shown.created_s + ttl_seconds;
	return done;
}

static void
test_extend(void **state)
{
	struct id128 id;
	struct pl_who_extend want;
	struct pl_extended done;

	(void)state;
	sync_pty();
	id = make_one(1, "alice", ""); /* of 60 s */
	want = longer("alice", &id, 0);
	say(AUTH, MSG_PLACE_EXTEND, 2, &want);
	assert_int_equal(audited("\"session.extended\",\"phase\":\"intent\""), 1);
	assert_int_equal(hear(PTY, MSG_PTY_EXTEND, 2)->extend.ttl_seconds, 3600);
	assert_true(id_equal(&role.heard.u.extend.session_id, &id));
	done = extended_by("alice", &id, 3600);
	say(PTY, MSG_PLACE_EXTENDED, 2, &done);
	assert_int_equal(life_of(&hear(AUTH, MSG_AUTH_EXTENDED, 2)->session), 3600);
	assert_int_equal(audited("\"session.extended\",\"phase\":\"outcome\""), 1);
	assert_int_equal(audited("\"detail\":\"ttl_seconds 3600\""), 2);
	assert_true(extended_by("alice", &id, 0).expires_s + 3600 == done.expires_s);
	/* It is what a later one is held against. */
	want.ttl_seconds = 3599;
	say(AUTH, MSG_PLACE_EXTEND, 3, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 3, FOG_E_TTL);
	assert_true(view_is(role.heard.u.refused.rule_id, "session.not_shorter"));
	want.ttl_seconds = 3601;
	say(AUTH, MSG_PLACE_EXTEND, 4, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 4, FOG_E_TTL);
	assert_true(view_is(role.heard.u.refused.rule_id, "profile.max_ttl_seconds"));
	assert_int_equal(audited("\"policy.denied\""), 2);
	hear_nothing(PTY);
}

/* ptyd heard of an extension, placerd did not: the list has it. */
static void
test_extended_by_the_list(void **state)
{
	struct pl_who_session alice;
	struct pl_known row;
	struct id128 id;

	(void)state;
	sync_pty();
	id = make_one(1, "alice", "");
	connect_neighbour(PTY);
	row = told(&id, "", 0, STATUS_DETACHED);
	row.expires_s = 4000000000;
	say(PTY, MSG_PLACE_KNOWN, 0, &row);
	sync_pty();
	alice = who("alice", &id);
	say(AUTH, MSG_PLACE_SHOW, 2, &alice);
	assert_int_equal(hear(AUTH, MSG_AUTH_SHOWN, 2)->shown.expires_s, 4000000000);
}

static void
test_extend_refused(void **state)
{
	struct id128 id;
	struct pl_who_extend want;
	struct pl_refused why = { .error = FOG_E_TTL };
	struct pl_session_id other;
	struct pl_known row;

	(void)state;
	want = longer("alice", &(struct id128){ 0 }, 0);
	say(AUTH, MSG_PLACE_EXTEND, 1, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_UNAVAILABLE);
	sync_pty();
	id = make_one(2, "alice", "");
	want = longer("bob", &id, 0);
	say(AUTH, MSG_PLACE_EXTEND, 3, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 3, FOG_E_NO_SESSION);
	want = longer("alice", &id, 120);
	say(AUTH, MSG_PLACE_EXTEND, 4, &want);
	hear(PTY, MSG_PTY_EXTEND, 4);
	say(PTY, MSG_PLACE_REFUSED, 4, &why);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 4, FOG_E_TTL);
	assert_int_equal(audited("\"reason\":\"ttl_not_allowed\""), 1);
	say(AUTH, MSG_PLACE_EXTEND, 5, &want);
	hear(PTY, MSG_PTY_EXTEND, 5);
	disconnect(PTY);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 5, FOG_E_UNAVAILABLE);
	connect_neighbour(PTY);
	assert_int_equal(id_session_new(1, &other.session_id), 0);
	row = told(&other.session_id, "", 0, STATUS_DETACHED);
	row.other_version = 1;
	say(PTY, MSG_PLACE_KNOWN, 0, &row);
	sync_pty();
	/* It was not in the list; the other was, as one that does not understand us. */
	say(AUTH, MSG_PLACE_EXTEND, 6, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 6, FOG_E_SESSION_ENDED);
	want.session_id = other.session_id;
	say(AUTH, MSG_PLACE_EXTEND, 7, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 7, FOG_E_HOLDER_VERSION);
	hear_nothing(PTY);
}

/* Nothing is ordered that is not in the log before. */
static void
test_extend_without_audit(void **state)
{
	struct id128 id;
	struct pl_who_extend want;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	sync_pty();
	id = make_one(1, "alice", "");
	want = longer("alice", &id, 0);
	assert_true(full >= 0);
	assert_int_equal(dup2(full, audit_fd), audit_fd);
	close(full);
	say(AUTH, MSG_PLACE_EXTEND, 2, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_NO_AUDIT);
	hear_nothing(PTY);
}

static void
test_end(void **state)
{
	struct id128 id;
	struct pl_who_session alice;
	struct pl_session_id ended;

	(void)state;
	sync_pty();
	ended.session_id = id = make_one(1, "alice", "");
	alice = who("alice", &id);
	say(AUTH, MSG_PLACE_END, 2, &alice);
	assert_int_equal(hear(PTY, MSG_PTY_END, 2)->end.end_reason, END_REQUEST);
	say(PTY, MSG_PLACE_ENDED, 2, &ended);
	hear(AUTH, MSG_AUTH_ENDED, 2);
	assert_int_equal(audited("\"session.terminated\""), 1);
	assert_int_equal(audited("\"reason\":\"request\""), 1);
	expect_status("alice", &id, STATUS_TERMINATED);
	/* The note of it comes as well, and it is ended a second time: no more than once written. */
	tell_state(&id, STATUS_TERMINATED, END_REQUEST);
	hear(PTY, MSG_PTY_STATE_KEPT, 0);
	say(AUTH, MSG_PLACE_END, 3, &alice);
	hear(AUTH, MSG_AUTH_ENDED, 3);
	hear_nothing(PTY);
	assert_int_equal(audited("\"session.terminated\""), 1);
}

/* ptyd dies while a session is made and another lives; its successor knows neither. */
static void
test_ptyd_dies(void **state)
{
	struct id128 live, half;

	(void)state;
	sync_pty();
	live = make_one(1, "alice", "");
	half = ask_for_one(2, "alice", "");
	disconnect(PTY);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_UNAVAILABLE);
	expect_status("alice", &live, STATUS_DETACHED);
	connect_neighbour(PTY);
	sync_pty();
	expect_status("alice", &live, STATUS_LOST);
	expect_status("alice", &half, STATUS_FAILED);
	assert_int_equal(audited("\"reason\":\"holder_lost\""), 1);
	/* Both places are free. */
	make_one(3, "alice", "");
	make_one(4, "alice", "");
}

/* A placerd that has just started takes sessions, counts and keys from ptyd's list. */
static void
test_registry_is_read_from_ptyd(void **state)
{
	struct pl_create want = wish("alice", "key");
	struct id128 id;
	struct pl_known row;
	uint64_t hash;

	(void)state;
	sync_pty();
	id = ask_for_one(1, "carol", "key");
	hash = role.heard.u.plan.idem_hash;
	connect_neighbour(PTY);
	assert_int_equal(id_session_new(1, &id), 0);
	row = told(&id, "key", hash, STATUS_DETACHED);
	say(PTY, MSG_PLACE_KNOWN, 0, &row);
	sync_pty();
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_UNAVAILABLE);
	expect_status("alice", &id, STATUS_DETACHED);
	say(AUTH, MSG_PLACE_CREATE, 2, &want);
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_CREATED, 2)->session.session_id, &id));
	make_one(3, "alice", "");
	want = wish("alice", "");
	say(AUTH, MSG_PLACE_CREATE, 4, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 4, FOG_E_QUOTA);
}

static void
test_list_with_ended_and_found_again(void **state)
{
	struct id128 ended, back;
	struct pl_known row;

	(void)state;
	sync_pty();
	back = make_one(1, "alice", "");
	tell_state(&back, STATUS_LOST, END_HOLDER);
	hear(PTY, MSG_PTY_STATE_KEPT, 0);
	connect_neighbour(PTY);
	assert_int_equal(id_session_new(1, &ended), 0);
	row = told(&ended, "", 0, STATUS_EXITED);
	row.end_reason = END_EXIT;
	say(PTY, MSG_PLACE_KNOWN, 0, &row);
	assert_true(id_equal(&hear(PTY, MSG_PTY_STATE_KEPT, 0)->session_id.session_id, &ended));
	row = told(&back, "", 0, STATUS_DETACHED);
	say(PTY, MSG_PLACE_KNOWN, 0, &row);
	sync_pty();
	expect_status("alice", &ended, STATUS_EXITED);
	expect_status("alice", &back, STATUS_DETACHED);
	/* One place is taken by it. */
	make_one(2, "alice", "");
	assert_int_equal(registry_live(placerd.registry), 2);
}

static void
test_late_create_is_ended(void **state)
{
	struct id128 id;

	(void)state;
	role.config.request_timeout_ms = 100;
	sync_pty();
	id = ask_for_one(1, "alice", "");
	turn_for_ms(300);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_TIMEOUT);
	assert_true(id_equal(&hear(PTY, MSG_PTY_END, 0)->end.session_id, &id));
	assert_int_equal(role.heard.u.end.end_reason, END_ABANDONED);
	expect_status("alice", &id, STATUS_FAILED);
	/* It comes to life after all: ended again. */
	tell_state(&id, STATUS_DETACHED, END_NONE);
	assert_true(id_equal(&hear(PTY, MSG_PTY_END, 0)->end.session_id, &id));
	expect_status("alice", &id, STATUS_FAILED);
	assert_int_equal(role.lies, 0);
}

static void
test_late_repeat(void **state)
{
	struct pl_create want = wish("alice", "key");
	uint64_t heard;

	(void)state;
	role.config.request_timeout_ms = 500;
	sync_pty();
	ask_for_one(1, "alice", "key");
	say(AUTH, MSG_PLACE_CREATE, 2, &want);
	turn_for_ms(600);
	/* In any order. */
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 0, FOG_E_TIMEOUT);
	heard = role.heard.request_id;
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 3 - heard, FOG_E_TIMEOUT);
	hear_nothing(AUTH);
	assert_int_equal(requests_count(placerd.requests), 1); /* the order to end it */
}

/* Answers about another session than the one asked for. */
static void
test_lying_ptyd(void **state)
{
	static const enum msg_type lies[] = { MSG_PLACE_STARTED, MSG_PLACE_ATTACHED,
		MSG_PLACE_ENDED, MSG_PLACE_EXTENDED, MSG_PLACE_KNOWN_ALL };
	struct id128 id;

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(lies); i++) {
		union payload lie = { .session_role = { .role = ROLE_DRIVER } };
		struct pl_who_session alice;
		struct pl_who_extend more;
		struct pl_attach attach;
		bool is_note = lies[i] == MSG_PLACE_KNOWN_ALL;

		connect_neighbour(PTY);
		sync_pty();
		id = ask_for_one(100 + i, "alice", "");
		if (lies[i] != MSG_PLACE_STARTED) {
			struct pl_session_id started = { id };

			say(PTY, MSG_PLACE_STARTED, 100 + i, &started);
			hear(AUTH, MSG_AUTH_CREATED, 100 + i);
		}
		alice = who("alice", &id);
		more = longer("alice", &id, 0);
		attach = (struct pl_attach){ .session_id = id,
			.issuer = view_of("dev"),
			.subject = view_of("alice"),
			.token_expires_boot_ms = 1,
			.role = ROLE_DRIVER };
		if (lies[i] == MSG_PLACE_ATTACHED)
			say(AUTH, MSG_PLACE_ATTACH, 200 + i, &attach);
		if (lies[i] == MSG_PLACE_ENDED)
			say(AUTH, MSG_PLACE_END, 200 + i, &alice);
		if (lies[i] == MSG_PLACE_EXTENDED)
			say(AUTH, MSG_PLACE_EXTEND, 200 + i, &more);
		say(PTY, lies[i], is_note ? 0 : (lies[i] == MSG_PLACE_STARTED ? 100 : 200) + i,
		    is_note ? NULL : &lie);
		assert_int_equal(role.lies, i + 1);
		if (!is_note)
			hear_refusal(AUTH, MSG_AUTH_REFUSED, 0, FOG_E_UNAVAILABLE);
	}
}

/* The right session, but not until when it was asked to live. */
static void
test_lying_about_time(void **state)
{
	struct id128 id;
	struct pl_who_extend want;
	struct pl_extended done;

	(void)state;
	sync_pty();
	id = make_one(1, "alice", "");
	want = longer("alice", &id, 120);
	say(AUTH, MSG_PLACE_EXTEND, 2, &want);
	hear(PTY, MSG_PTY_EXTEND, 2);
	done = extended_by("alice", &id, 121);
	say(PTY, MSG_PLACE_EXTENDED, 2, &done);
	assert_int_equal(role.lies, 1);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_UNAVAILABLE);
}

/* A new authd does not know the ids that the last one left pending here: it is no liar. */
static void
test_new_authd_with_an_old_id(void **state)
{
	struct pl_create want = wish("bob", "");
	struct pl_session_id started;

	(void)state;
	sync_pty();
	started.session_id = ask_for_one(1, "alice", "");
	connect_neighbour(AUTH);
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_FULL);
	say(PTY, MSG_PLACE_STARTED, 1, &started);
	hear_nothing(AUTH); /* the answer was another's */
	assert_int_equal(role.lies, 0);
	expect_status("alice", &started.session_id, STATUS_DETACHED);
	/* The same authd twice with one id is one. */
	ask_for_one(2, "bob", "");
	say(AUTH, MSG_PLACE_CREATE, 2, &want);
	assert_int_equal(role.lies, 1);
}

static void
test_profiles_and_nodes(void **state)
{
	unsigned char groups[64];
	struct writer w;
	struct pl_identity asks = { .issuer = view_of("dev"), .subject = view_of("alice") };

	(void)state;
	say(AUTH, MSG_PLACE_PROFILES, 1, &asks);
	assert_true(view_is(hear(AUTH, MSG_AUTH_PROFILE, 1)->profile.name, "default"));
	assert_true(view_is(hear(AUTH, MSG_AUTH_PROFILE, 1)->profile.name, "stays"));
	assert_true(view_is(hear(AUTH, MSG_AUTH_PROFILE, 1)->profile.name, "boxed"));
	assert_true(view_is(hear(AUTH, MSG_AUTH_PROFILE, 1)->profile.name, "plain"));
	hear(AUTH, MSG_AUTH_DONE, 1);
	writer_init(&w, groups, sizeof(groups));
	put_view(&w, view_of("admins"));
	asks.groups = view_bytes(groups, w.len);
	say(AUTH, MSG_PLACE_PROFILES, 2, &asks);
	hear(AUTH, MSG_AUTH_PROFILE, 2);
	assert_true(view_is(hear(AUTH, MSG_AUTH_PROFILE, 2)->profile.name, "closed"));
	assert_int_equal(role.heard.u.profile.idle_timeout_s, 900);
	for (int i = 0; i < 3; i++)
		hear(AUTH, MSG_AUTH_PROFILE, 2);
	hear(AUTH, MSG_AUTH_DONE, 2);
	say(AUTH, MSG_PLACE_NODES, 3, &asks);
	assert_true(view_is(hear(AUTH, MSG_AUTH_NODE, 3)->node.name, "fog-1"));
	hear(AUTH, MSG_AUTH_DONE, 3);
}

/* --- identities that end --- */

#define ISSUER "https://idp"
#define ISSUED UINT64_C(1700000000)

/* A session of alice at the provider, of this profile and by a token of this sid. */
static struct id128
make_under(uint64_t request, const char *profile, const char *subject, const char *sid)
{
	struct pl_create want = { .issuer = view_of(ISSUER),
		.subject = view_of(subject),
		.sid = view_of(sid),
		.issued_s = ISSUED,
		.profile = view_of(profile),
		.ttl_seconds = 60 };
	struct pl_session_id started;

	say(AUTH, MSG_PLACE_CREATE, request, &want);
	started.session_id = hear(PTY, MSG_PTY_CREATE, request)->plan.session_id;
	assert_true(view_is(role.heard.u.plan.sid, sid));
	say(PTY, MSG_PLACE_STARTED, request, &started);
	hear(AUTH, MSG_AUTH_CREATED, request);
	return started.session_id;
}

static struct pl_revoke
revocation(const char *subject, const char *sid, const char *jti)
{
	return (struct pl_revoke){ .issuer = view_of(ISSUER),
		.subject = view_of(subject),
		.sid = view_of(sid),
		.at_s = ISSUED,
		.jti = view_of(jti),
		.jti_expires_s = (uint64_t)wall_s() + 600 };
}

static void
sign_out(uint64_t request, const char *subject, const char *sid, const char *jti)
{
	struct pl_revoke what = revocation(subject, sid, jti);

	say(AUTH, MSG_PLACE_REVOKE, request, &what);
	hear(AUTH, MSG_AUTH_REVOKED, request);
}

static void
hear_end(const struct id128 *id, enum end_reason reason)
{
	const struct pl_end *end = &hear(PTY, MSG_PTY_END_NOW, 0)->end;

	assert_true(id_equal(&end->session_id, id));
	assert_int_equal(end->end_reason, reason);
}

static void
hear_detach(const struct id128 *id, const char *sid)
{
	const struct pl_detach *detach = &hear(PTY, MSG_PTY_DETACH, 0)->detach;

	assert_true(id_equal(&detach->session_id, id));
	assert_true(detach->sid_hash == identity_sid_hash(view_of(sid)));
}

/* By each profile's word: ended or detached; nobody else's. */
static void
test_revoke_subject(void **state)
{
	struct id128 ends, stays;

	(void)state;
	sync_pty();
	ends = make_under(1, "default", "alice", "s1");
	stays = make_under(2, "stays", "alice", "");
	make_under(3, "default", "bob", "s1");
	sign_out(4, "alice", "", "j1");
	hear_end(&ends, END_REVOKED);
	hear_detach(&stays, "");
	hear_nothing(PTY);
	assert_int_equal(audited("\"identity.revoked\",\"phase\":\"intent\""), 1);
	assert_int_equal(audited("\"identity.revoked\",\"phase\":\"outcome\""), 1);
	assert_int_equal(audited("\"actor\":\"provider\",\"detail\":\"ended 1 detached 1\""), 1);
	assert_int_equal(audited("\"session.detached\""), 1);
	tell_state(&ends, STATUS_TERMINATED, END_REVOKED);
	hear(PTY, MSG_PTY_STATE_KEPT, 0);
	assert_int_equal(audited("\"reason\":\"revoked\""), 2);
}

static void
test_revoke_sid(void **state)
{
	struct id128 mine, unknown, other, stays;

	(void)state;
	sync_pty();
	mine = make_under(1, "default", "alice", "s1");
	unknown = make_under(2, "default", "alice", "");
	other = make_under(3, "stays", "alice", "s2");
	stays = make_under(4, "stays", "alice", "s1");
	/* With a subject: of that sid, of none, and who is attached elsewhere under it. */
	sign_out(5, "alice", "s1", "j1");
	hear_end(&mine, END_REVOKED);
	hear_end(&unknown, END_REVOKED);
	hear_detach(&other, "s1");
	hear_detach(&stays, "s1");
	hear_nothing(PTY);
	/* Without: of that sid alone. */
	sign_out(6, "", "s2", "j2");
	hear_detach(&mine, "s2"); /* on its way to its end */
	hear_detach(&other, "s2");
	hear_detach(&stays, "s2");
	hear_nothing(PTY);
}

/* Every verb, and only for tokens that are not newer. */
static void
test_revoked_is_refused(void **state)
{
	struct id128 id;
	struct pl_identity list = { .issuer = view_of(ISSUER),
		.subject = view_of("alice"),
		.issued_s = ISSUED };
	struct pl_create create = { .issuer = list.issuer,
		.subject = list.subject,
		.issued_s = ISSUED,
		.profile = view_of("stays") };
	struct pl_who_session one = { .issuer = list.issuer,
		.subject = list.subject,
		.issued_s = ISSUED };
	struct pl_who_mint mint = { .issuer = list.issuer,
		.subject = list.subject,
		.issued_s = ISSUED,
		.role = ROLE_DRIVER };
	struct pl_who_extend extend = { .issuer = list.issuer,
		.subject = list.subject,
		.issued_s = ISSUED };
	struct pl_attach attach = { .issuer = list.issuer,
		.subject = list.subject,
		.issued_s = ISSUED,
		.token_expires_boot_ms = 1,
		.role = ROLE_DRIVER };
	struct pl_renew renew = { .issuer = list.issuer,
		.subject = list.subject,
		.issued_s = ISSUED,
		.token_expires_boot_ms = 1,
		.role = ROLE_DRIVER,
		.attachment = 1 };
	const struct {
		enum msg_type type;
		const void *payload;
	} rows[] = { { MSG_PLACE_CREATE, &create }, { MSG_PLACE_LIST, &list },
		{ MSG_PLACE_SHOW, &one }, { MSG_PLACE_END, &one }, { MSG_PLACE_MINT, &mint },
		{ MSG_PLACE_ATTACH, &attach }, { MSG_PLACE_PROFILES, &list },
		{ MSG_PLACE_NODES, &list }, { MSG_PLACE_EXTEND, &extend },
		{ MSG_PLACE_RENEW, &renew } };

	(void)state;
	sync_pty();
	id = make_under(1, "stays", "alice", "");
	one.session_id = mint.session_id = extend.session_id = attach.session_id = id;
	renew.session_id = id;
	sign_out(2, "alice", "", "j1");
	hear_detach(&id, "");
	for (int life = 0; life < 2; life++) {
		for (size_t i = 0; i < COUNT_OF(rows); i++) {
			say(AUTH, rows[i].type, 10 + i, rows[i].payload);
			hear_refusal(AUTH, MSG_AUTH_REFUSED, 10 + i, FOG_E_REVOKED);
		}
		hear_nothing(PTY);
		open_revoked(); /* the next placerd knows it, too */
	}
	mint.issued_s = ISSUED + 1;
	say(AUTH, MSG_PLACE_MINT, 30, &mint);
	hear(AUTH, MSG_AUTH_MINTABLE, 30);
	list.subject = view_of("bob");
	say(AUTH, MSG_PLACE_NODES, 31, &list);
	hear(AUTH, MSG_AUTH_NODE, 31);
	hear(AUTH, MSG_AUTH_DONE, 31);
}

static void
test_logout_replayed(void **state)
{
	struct pl_revoke again = revocation("alice", "", "j1"), nobody = revocation("", "", "j9");

	(void)state;
	sync_pty();
	sign_out(1, "alice", "", "j1");
	for (int life = 0; life < 2; life++) {
		say(AUTH, MSG_PLACE_REVOKE, 2, &again);
		hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_BAD_LOGOUT_TOKEN);
		open_revoked();
	}
	sign_out(3, "alice", "", "j2");
	assert_int_equal(audited("\"identity.revoked\",\"phase\":\"intent\""), 2);
	say(AUTH, MSG_PLACE_REVOKE, 4, &nobody);
	assert_int_equal(role.lies, 1);
}

/* Revoked while it is being made: nobody gets it, and it ends as soon as it is there. */
static void
test_revoked_while_starting(void **state)
{
	struct pl_create want = { .issuer = view_of(ISSUER),
		.subject = view_of("alice"),
		.issued_s = ISSUED,
		.profile = view_of("default") };
	struct pl_session_id started;

	(void)state;
	sync_pty();
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	started.session_id = hear(PTY, MSG_PTY_CREATE, 1)->plan.session_id;
	sign_out(2, "alice", "", "j1");
	hear_nothing(PTY);
	say(PTY, MSG_PLACE_STARTED, 1, &started);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_REVOKED);
	hear_end(&started.session_id, END_REVOKED);
}

static struct pl_known
told_of(const struct id128 *id, const char *profile)
{
	struct pl_known k = told(id, "", 0, STATUS_DETACHED);

	k.issuer = view_of(ISSUER);
	k.subject = view_of("alice");
	k.profile = view_of(profile);
	return k;
}

/* ptyd is not there when it comes: the order waits for its list. */
static void
test_revoked_without_ptyd(void **state)
{
	struct id128 ends, stays;
	struct pl_known known;

	(void)state;
	sync_pty();
	ends = make_under(1, "default", "alice", "");
	stays = make_under(2, "stays", "alice", "");
	disconnect(PTY);
	peers_edge_down(&placerd, PTY);
	sign_out(3, "alice", "", "j1");
	connect_neighbour(PTY);
	known = told_of(&ends, "default");
	say(PTY, MSG_PLACE_KNOWN, 0, &known);
	known = told_of(&stays, "stays");
	say(PTY, MSG_PLACE_KNOWN, 0, &known);
	hear_nothing(PTY);
	sync_pty();
	hear_end(&ends, END_REVOKED);
	hear_detach(&stays, "");
	hear_end(&ends, END_REVOKED); /* by the journal's rule, which was not done */
	hear_detach(&stays, "");
	hear_nothing(PTY);
	/* An end that has not come is asked for again; a detach is not, it is long ago. */
	placerd.is_synced = false;
	registry_find(placerd.registry, &stays)->detach_due = true;
	registry_find(placerd.registry, &stays)->detach_mono_ms = mono_ms() - 6000;
	connect_neighbour(PTY);
	known = told_of(&ends, "default");
	say(PTY, MSG_PLACE_KNOWN, 0, &known);
	known = told_of(&stays, "stays");
	say(PTY, MSG_PLACE_KNOWN, 0, &known);
	sync_pty();
	hear_end(&ends, END_REVOKED);
	hear_nothing(PTY);
}

/* placerd died after it had written it down: the next one carries it out, once. */
static void
test_revoked_before_a_crash(void **state)
{
	struct pl_revoke what = revocation("alice", "", "j1");
	struct id128 ends, stays, gone;
	struct pl_known known;

	(void)state;
	assert_int_equal(revoked_add(placerd.revoked, &what, (uint64_t)wall_s()), 0);
	open_revoked();
	assert_int_equal(id_session_new(1, &ends), 0);
	assert_int_equal(id_session_new(1, &stays), 0);
	assert_int_equal(id_session_new(1, &gone), 0);
	known = told_of(&ends, "default");
	say(PTY, MSG_PLACE_KNOWN, 0, &known);
	known = told_of(&stays, "stays"); /* what its profile says is read from the policy of now */
	say(PTY, MSG_PLACE_KNOWN, 0, &known);
	known = told_of(&gone, "no-such-profile");
	say(PTY, MSG_PLACE_KNOWN, 0, &known);
	sync_pty();
	hear_end(&ends, END_REVOKED);
	hear_detach(&stays, "");
	hear_end(&gone, END_REVOKED);
	hear_nothing(PTY);
	/* The one after that finds it done: who has signed in anew since is left alone. */
	open_revoked();
	placerd.is_synced = false;
	registry_find(placerd.registry, &ends)->end_due = END_NONE;
	registry_find(placerd.registry, &gone)->end_due = END_NONE;
	registry_find(placerd.registry, &stays)->detach_due = false;
	connect_neighbour(PTY);
	known = told_of(&stays, "stays");
	say(PTY, MSG_PLACE_KNOWN, 0, &known);
	sync_pty();
	hear_nothing(PTY);
}

static void
test_admin_ends_one(void **state)
{
	struct trace trace = { 0 };
	struct id128 id, none;

	(void)state;
	assert_int_equal(id_session_new(1, &none), 0);
	assert_int_equal(revoke_session_as_admin(&placerd, &none, view_of("uid 0"), &trace),
	    -FOG_E_UNAVAILABLE);
	sync_pty();
	assert_int_equal(revoke_session_as_admin(&placerd, &none, view_of("uid 0"), &trace),
	    -FOG_E_NO_SESSION);
	id = make_under(1, "stays", "alice", "");
	assert_int_equal(revoke_session_as_admin(&placerd, &id, view_of("uid 0"), &trace), 0);
	hear_end(&id, END_ADMIN);
	assert_int_equal(audited("\"actor\":\"uid 0\""), 1);
	tell_state(&id, STATUS_TERMINATED, END_ADMIN);
	hear(PTY, MSG_PTY_STATE_KEPT, 0);
	assert_int_equal(revoke_session_as_admin(&placerd, &id, view_of("uid 0"), &trace),
	    -FOG_E_SESSION_ENDED);
}

static void
test_renew(void **state)
{
	struct pl_renew want = { .issuer = view_of(ISSUER),
		.subject = view_of("alice"),
		.sid = view_of("s1"),
		.issued_s = ISSUED,
		.until_boot_ms = 5000,
		.token_expires_boot_ms = 77,
		.role = ROLE_VIEWER,
		.attachment = 3 };
	struct pl_refused no = { .error = FOG_E_NO_ATTACHMENT };
	struct pl_renewed done;
	const struct pl_regrant *g;

	(void)state;
	want.token_id.b[0] = 9;
	say(AUTH, MSG_PLACE_RENEW, 1, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_UNAVAILABLE);
	sync_pty();
	want.session_id = make_under(2, "default", "alice", "s1");
	want.subject = view_of("bob");
	say(AUTH, MSG_PLACE_RENEW, 3, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 3, FOG_E_NO_SESSION);
	want.subject = view_of("alice");
	say(AUTH, MSG_PLACE_RENEW, 4, &want);
	assert_int_equal(audited("\"session.renewed\",\"phase\":\"intent\""), 1);
	g = &hear(PTY, MSG_PTY_RENEW, 4)->regrant;
	assert_true(id_equal(&g->token_id, &want.token_id) && g->token_expires_boot_ms == 77);
	assert_true(g->until_boot_ms == 5000 && g->attachment == 3 && g->role == ROLE_VIEWER);
	assert_true(g->sid_hash == identity_sid_hash(view_of("s1")) && g->sid_hash != 0);
	done = (struct pl_renewed){ want.session_id, 3 };
	say(PTY, MSG_PLACE_RENEWED, 4, &done);
	assert_true(hear(AUTH, MSG_AUTH_RENEWED, 4)->renewed.attachment == 3);
	assert_int_equal(audited("\"session.renewed\",\"phase\":\"outcome\""), 1);
	say(AUTH, MSG_PLACE_RENEW, 5, &want);
	hear(PTY, MSG_PTY_RENEW, 5);
	say(PTY, MSG_PLACE_REFUSED, 5, &no);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 5, FOG_E_NO_ATTACHMENT);
	assert_int_equal(audited("\"reason\":\"attachment_unknown\""), 1);
	/* Another attachment than was asked for. */
	say(AUTH, MSG_PLACE_RENEW, 6, &want);
	hear(PTY, MSG_PTY_RENEW, 6);
	done.attachment = 4;
	say(PTY, MSG_PLACE_RENEWED, 6, &done);
	assert_int_equal(role.lies, 1);
}

static void
test_grant_has_the_identity(void **state)
{
	struct pl_attach want = { .issuer = view_of(ISSUER),
		.subject = view_of("alice"),
		.sid = view_of("s1"),
		.issued_s = ISSUED,
		.until_boot_ms = 4711,
		.token_expires_boot_ms = 77,
		.role = ROLE_DRIVER };
	const struct pl_grant *g;

	(void)state;
	sync_pty();
	want.session_id = make_under(1, "default", "alice", "s2");
	say(AUTH, MSG_PLACE_ATTACH, 2, &want);
	g = &hear(PTY, MSG_PTY_ATTACH, 2)->grant;
	assert_true(g->until_boot_ms == 4711);
	assert_true(g->sid_hash == identity_sid_hash(view_of("s1")));
	assert_true(identity_sid_hash(view_of("")) == 0);
}

/* Made under one sign-in and driven under the next: it ends with either. */
static void
test_revoke_driven(void **state)
{
	struct pl_attach want = { .issuer = view_of(ISSUER),
		.subject = view_of("alice"),
		.sid = view_of("s2"),
		.issued_s = ISSUED,
		.token_expires_boot_ms = 77,
		.role = ROLE_DRIVER };
	struct pl_session_role granted = { .role = ROLE_DRIVER };
	struct id128 driven, watched;

	(void)state;
	sync_pty();
	driven = make_under(1, "default", "alice", "s1");
	watched = make_under(2, "default", "alice", "s1");
	for (uint64_t id = 3; id < 5; id++) {
		want.role = granted.role = id == 3 ? ROLE_DRIVER : ROLE_VIEWER;
		want.session_id = granted.session_id = id == 3 ? driven : watched;
		say(AUTH, MSG_PLACE_ATTACH, id, &want);
		hear(PTY, MSG_PTY_ATTACH, id);
		say(PTY, MSG_PLACE_ATTACHED, id, &granted);
		hear(AUTH, MSG_AUTH_ATTACHED, id);
	}
	sign_out(5, "alice", "s2", "j1");
	hear_end(&driven, END_REVOKED);
	hear_detach(&watched, "s2");
	hear_nothing(PTY);
}

static void
test_rates(void **state)
{
	struct pl_create create = wish("alice", ""), bobs = wish("bob", "");
	struct pl_who_mint mint = { .issuer = view_of("dev"),
		.subject = view_of("alice"),
		.role = ROLE_DRIVER };
	struct pl_attach attach = { .issuer = view_of("dev"),
		.subject = view_of("alice"),
		.token_expires_boot_ms = 77,
		.role = ROLE_DRIVER };
	const struct pl_refused *why;

	(void)state;
	set_rates(2, 3);
	/* What is refused anyway takes nothing. */
	say(AUTH, MSG_PLACE_CREATE, 1, &create);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_UNAVAILABLE);
	sync_pty();
	mint.session_id = attach.session_id = make_one(2, "alice", "");
	make_one(3, "alice", "");
	say(AUTH, MSG_PLACE_CREATE, 4, &create);
	why = &hear(AUTH, MSG_AUTH_REFUSED, 4)->refused;
	assert_int_equal(why->error, FOG_E_RATE);
	assert_in_range(why->retry_after_s, 29, 30);
	/* Another has its own; mints and attaches count together, creates do not. */
	say(AUTH, MSG_PLACE_CREATE, 5, &bobs);
	hear(PTY, MSG_PTY_CREATE, 5);
	say(AUTH, MSG_PLACE_MINT, 6, &mint);
	hear(AUTH, MSG_AUTH_MINTABLE, 6);
	say(AUTH, MSG_PLACE_ATTACH, 7, &attach);
	hear(PTY, MSG_PTY_ATTACH, 7);
	say(AUTH, MSG_PLACE_MINT, 8, &mint);
	hear(AUTH, MSG_AUTH_MINTABLE, 8);
	say(AUTH, MSG_PLACE_ATTACH, 9, &attach);
	why = &hear(AUTH, MSG_AUTH_REFUSED, 9)->refused;
	assert_int_equal(why->error, FOG_E_RATE);
	assert_in_range(why->retry_after_s, 19, 20);
	hear_nothing(PTY);
}

static int
make_folder(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder_fd >= 0 ? 0 : -1;
}

static int
remove_folder(void **state)
{
	(void)state;
	close_fd(&folder_fd);
	return rmdir(folder);
}

/* --- RUNTIME=sandbox --- */

static void
use_sandbox(void)
{
	free(role.config.runtime);
	role.config.runtime = strdup("sandbox");
	assert_non_null(role.config.runtime);
}

static struct pl_create
boxed(const char *subject, const char *profile, const char *image_ref)
{
	struct pl_create want = wish(subject, "");

	want.profile = view_of(profile);
	want.image_ref = view_of(image_ref);
	return want;
}

static void
test_sandbox_has_what_the_profile_says(void **state)
{
	/* SHA-256 of "dev", NUL, "alice", NUL, "boxed" */
	static const char home[] =
	    "ab4c028b43ba85fe00fa9793c8049d9220b93f4a72cbb9e0d296f644be55b7c4";
	struct pl_create want = boxed("alice", "boxed", "");
	struct egress_rule rules[EGRESS_RULES_MAX];
	char hex[2 * sizeof(struct raw32) + 1];
	struct pl_session_id started;
	const union payload *u;

	(void)state;
	use_sandbox();
	sync_pty();
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	u = hear(PTY, MSG_PTY_CREATE, 1);
	assert_int_equal(u->plan.cpu_milli, 2000);
	assert_int_equal(u->plan.memory_bytes, 1 << 30);
	assert_int_equal(u->plan.storage_bytes, UINT64_C(2) << 30);
	assert_int_equal(u->plan.pids, 99);
	assert_int_equal(u->plan.io_weight, 7);
	assert_int_equal(u->plan.limits, LIMITS_BEST_EFFORT);
	assert_int_equal(u->plan.home, HOME_PERSISTENT);
	for (size_t i = 0; i < sizeof(struct raw32); i++)
		snprintf(hex + 2 * i, 3, "%02x", u->plan.home_id.b[i]);
	assert_string_equal(hex, home);
	assert_int_equal(u->plan.image.b[0], 0x01);
	assert_true(view_equal(u->plan.resolver, view_bytes("\x0a\x09\x00\x35", 4)));
	assert_int_equal(egress_unpack(u->plan.egress.p, u->plan.egress.len, rules), 2);
	assert_int_equal(rules[0].port_to, 443);
	assert_int_equal(rules[1].protocol, EGRESS_UDP);
	started.session_id = u->plan.session_id;
	say(PTY, MSG_PLACE_STARTED, 1, &started);
	assert_int_equal(hear(AUTH, MSG_AUTH_CREATED, 1)->session.image.b[0], 0x01);
	assert_int_equal(audited("\"session.created\""), 2);
	assert_int_equal(audited("\"runtime.allocated\""), 1);
	assert_int_equal(audited("\"image\":\"" DIGEST_A "\""), 3);
}

/* What is kept is one person's, and of one profile; what is not kept has no name. */
static void
test_homes_differ(void **state)
{
	static const char *const subjects[] = { "alice", "bob", "alic", "ealice" };
	struct raw32 none = { { 0 } }, ids[6];
	struct pl_create want = boxed("alice", "plain", "");

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(create_home_id(view_of("dev"), view_of(subjects[i]),
				     view_of("boxed"), &ids[i]),
		    0);
	/* The same letters, cut elsewhere. */
	assert_int_equal(create_home_id(view_of("deva"), view_of("lice"), view_of("boxed"),
			     &ids[4]),
	    0);
	assert_int_equal(create_home_id(view_of("dev"), view_of("alicebox"), view_of("ed"),
			     &ids[5]),
	    0);
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(&ids[i], &ids[j], sizeof(ids[i]));
	}
	use_sandbox();
	sync_pty();
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	hear(PTY, MSG_PTY_CREATE, 1);
	assert_memory_equal(&role.heard.u.plan.home_id, &none, sizeof(none));
	assert_int_equal(role.heard.u.plan.pids, POLICY_PIDS_DEFAULT);
	assert_int_equal(role.heard.u.plan.egress.len + role.heard.u.plan.resolver.len, 0);
}

static const struct {
	const char *profile, *image_ref;
	int error; /* FOG_OK: it is made */
	const char *detail;
} image_rows[] = {
	{ "boxed", "", FOG_OK, NULL },
	{ "boxed", DIGEST_B, FOG_OK, NULL },
	{ "boxed", "base@" DIGEST_A, FOG_OK, NULL },
	{ "plain", "base@" DIGEST_A, FOG_E_DENIED, "allows " DIGEST_B },
	{ "boxed", "base", FOG_E_IMAGE_REF, "a digest is needed" },
	{ "boxed", "base@sha256:12", FOG_E_IMAGE_REF, "a digest is sha256:" },
	{ "default", "", FOG_E_DENIED, "names no image to run in" },
};

static void
test_images(void **state)
{
	(void)state;
	use_sandbox();
	sync_pty();
	for (size_t i = 0; i < COUNT_OF(image_rows); i++) {
		struct pl_create want = boxed("alice", image_rows[i].profile,
		    image_rows[i].image_ref);
		const union payload *u;
		char detail[512];

		say(AUTH, MSG_PLACE_CREATE, i + 1, &want);
		if (image_rows[i].error == FOG_OK) {
			hear(PTY, MSG_PTY_CREATE, i + 1);
			continue;
		}
		u = hear(AUTH, MSG_AUTH_REFUSED, i + 1);
		assert_int_equal(u->refused.error, image_rows[i].error);
		assert_true(view_is(u->refused.rule_id, "profile.images"));
		assert_int_equal(view_copy(u->refused.detail, detail, sizeof(detail)), 0);
		assert_non_null(strstr(detail, image_rows[i].detail));
	}
	hear_nothing(PTY);
}

/* Without a sandbox there is no image, and none is asked for. */
static void
test_stub_has_no_image(void **state)
{
	struct pl_create want = boxed("alice", "boxed", ""),
			 named = boxed("alice", "boxed", DIGEST_A);
	struct raw32 none = { { 0 } };

	(void)state;
	sync_pty();
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	assert_memory_equal(&hear(PTY, MSG_PTY_CREATE, 1)->plan.image, &none, sizeof(none));
	assert_int_equal(audited("\"image\""), 0);
	say(AUTH, MSG_PLACE_CREATE, 2, &named);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_DENIED);
	assert_true(view_is(role.heard.u.refused.rule_id, "profile.images"));
}

/* A placerd that starts learns the images from ptyd's list. */
static void
test_image_comes_back(void **state)
{
	struct pl_identity alice = { .issuer = view_of("dev"), .subject = view_of("alice") };
	struct pl_known row;
	struct id128 id;

	(void)state;
	assert_int_equal(id_session_new(1, &id), 0);
	row = told(&id, "", 0, STATUS_DETACHED);
	row.image.b[31] = 9;
	say(PTY, MSG_PLACE_KNOWN, 0, &row);
	sync_pty();
	say(AUTH, MSG_PLACE_LIST, 1, &alice);
	assert_int_equal(hear(AUTH, MSG_AUTH_SESSION, 1)->session.image.b[31], 9);
	hear(AUTH, MSG_AUTH_DONE, 1);
	expect_status("alice", &id, STATUS_DETACHED);
	assert_int_equal(role.heard.u.shown.image.b[31], 9);
}

static struct id128
make_boxed(uint64_t request)
{
	struct pl_create want = boxed("alice", "boxed", "");
	struct pl_session_id started;

	use_sandbox();
	sync_pty();
	say(AUTH, MSG_PLACE_CREATE, request, &want);
	started.session_id = hear(PTY, MSG_PTY_CREATE, request)->plan.session_id;
	say(PTY, MSG_PLACE_STARTED, request, &started);
	hear(AUTH, MSG_AUTH_CREATED, request);
	return started.session_id;
}

static void
ask_show(uint64_t request, const struct id128 *id)
{
	struct pl_who_session asks = who("alice", id);

	say(AUTH, MSG_PLACE_SHOW, request, &asks);
}

static void
hear_shown_unmeasured(uint64_t request, const struct id128 *id)
{
	const union payload *u = hear(AUTH, MSG_AUTH_SHOWN, request);

	assert_true(id_equal(&u->shown.session_id, id));
	assert_int_equal(u->shown.holds, 0);
	assert_int_equal(u->shown.known, 0);
	assert_int_equal(u->shown.pids, 0);
	assert_int_equal(u->shown.image.b[0], 0x01);
}

static struct pl_usage
five_pids(const struct id128 *id)
{
	return (struct pl_usage){ .session_id = *id,
		.holds = 1u << LIMIT_PIDS | 1u << LIMIT_STORAGE,
		.known = 1u << USAGE_PIDS,
		.pids = 5 };
}

static void
test_show_tells_what_is_used(void **state)
{
	struct id128 id = make_boxed(1);
	struct pl_usage used = five_pids(&id);
	const union payload *u;

	(void)state;
	ask_show(2, &id);
	assert_true(id_equal(&hear(PTY, MSG_PTY_SHOW, 2)->session_id.session_id, &id));
	hear_nothing(AUTH);
	say(PTY, MSG_PLACE_USAGE, 2, &used);
	u = hear(AUTH, MSG_AUTH_SHOWN, 2);
	assert_true(id_equal(&u->shown.session_id, &id));
	assert_int_equal(u->shown.status, STATUS_DETACHED);
	assert_int_equal(u->shown.holds, used.holds);
	assert_int_equal(u->shown.known, used.known);
	assert_int_equal(u->shown.pids, 5);
	assert_int_equal(requests_count(placerd.requests), 0);
	/* Ended while it was measured: that is of no use any more. */
	ask_show(3, &id);
	hear(PTY, MSG_PTY_SHOW, 3);
	tell_state(&id, STATUS_EXITED, END_EXIT);
	hear(PTY, MSG_PTY_STATE_KEPT, 0);
	say(PTY, MSG_PLACE_USAGE, 3, &used);
	hear_shown_unmeasured(3, &id);
	/* And afterwards nobody is asked. */
	ask_show(4, &id);
	hear_nothing(PTY);
	hear_shown_unmeasured(4, &id);
	assert_int_equal(role.lies, 0);
}

static void
test_show_without_an_answer(void **state)
{
	struct pl_refused busy = { .error = FOG_E_FULL };
	struct id128 id = make_boxed(1);
	struct pl_usage used = five_pids(&id);

	(void)state;
	ask_show(2, &id);
	hear(PTY, MSG_PTY_SHOW, 2);
	say(PTY, MSG_PLACE_REFUSED, 2, &busy);
	hear_shown_unmeasured(2, &id);
	role.config.request_timeout_ms = 100;
	ask_show(3, &id);
	hear(PTY, MSG_PTY_SHOW, 3);
	turn_for_ms(300);
	hear_shown_unmeasured(3, &id);
	/* Late: dropped. */
	say(PTY, MSG_PLACE_USAGE, 3, &used);
	hear_nothing(AUTH);
	ask_show(4, &id);
	hear(PTY, MSG_PTY_SHOW, 4);
	disconnect(PTY);
	hear_shown_unmeasured(4, &id);
	ask_show(5, &id);
	hear_shown_unmeasured(5, &id);
	assert_int_equal(role.lies, 0);
}

static void
test_usage_of_another(void **state)
{
	struct id128 id = make_boxed(1), other;
	struct pl_usage used;

	(void)state;
	assert_int_equal(id_session_new(1, &other), 0);
	used = five_pids(&other);
	ask_show(2, &id);
	hear(PTY, MSG_PTY_SHOW, 2);
	say(PTY, MSG_PLACE_USAGE, 2, &used);
	assert_int_equal(role.lies, 1);
	hear_shown_unmeasured(2, &id);
}

/* What all use together: the session id is 0. */
static struct pl_usage
all_use(uint64_t cpu_usec)
{
	return (struct pl_usage){ .known = 1u << USAGE_CPU | 1u << USAGE_IO_PRESSURE,
		.cpu_usec = cpu_usec,
		.io_pressure = 125 };
}

static void
expect_living(uint64_t request, uint32_t starting, uint32_t running, uint32_t detached)
{
	const struct pl_ready *r = &hear(AUTH, MSG_AUTH_READY, request)->ready;

	assert_int_equal(r->starting, starting);
	assert_int_equal(r->running, running);
	assert_int_equal(r->detached, detached);
}

/* The stub: counted all the same, and nobody is asked what they use. */
static void
test_totals_count_sessions(void **state)
{
	const struct pl_ready *r = &role.heard.u.ready;
	struct pl_refused why = { .error = FOG_E_SPAWN, .detail = view_of("fork: no memory") };
	struct id128 ended[4];
	struct pl_known old;

	(void)state;
	assert_int_equal(id_session_new(1, &ended[0]), 0);
	old = told(&ended[0], "", 0, STATUS_EXITED);
	old.end_reason = END_EXIT;
	say(PTY, MSG_PLACE_KNOWN, 0, &old); /* of an earlier life: not counted */
	hear(PTY, MSG_PTY_STATE_KEPT, 0);
	assert_int_equal(id_session_new(1, &ended[1]), 0);
	old = told(&ended[1], "", 0, STATUS_DETACHED);
	say(PTY, MSG_PLACE_KNOWN, 0, &old); /* this was not made now, but lives and will end */
	ask_check(1, 1);
	expect_living(1, 0, 0, 1);
	assert_int_equal(r->sessions_known, 0);
	sync_pty();
	make_one(2, "anna", "");
	ended[2] = make_one(3, "berta", "");
	ended[3] = make_one(4, "carla", "");
	tell_state(&ended[2], STATUS_RUNNING, END_NONE);
	ask_for_one(5, "dora", "");
	ask_check(6, 1);
	expect_living(6, 1, 1, 3);
	assert_int_equal(r->made, 3);
	say(PTY, MSG_PLACE_REFUSED, 5, &why);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 5, FOG_E_SPAWN);
	tell_state(&ended[1], STATUS_LOST, END_HOLDER);
	tell_state(&ended[2], STATUS_EXPIRED, END_TTL);
	tell_state(&ended[3], STATUS_EXITED, END_EXIT);
	for (int i = 0; i < 3; i++)
		hear(PTY, MSG_PTY_STATE_KEPT, 0);
	tell_state(&ended[3], STATUS_EXITED, END_EXIT); /* told again: counted once */
	hear(PTY, MSG_PTY_STATE_KEPT, 0);
	ask_check(7, 1);
	expect_living(7, 0, 0, 1);
	assert_int_equal(r->sessions_known, 1);
	assert_int_equal(r->made, 3);
	assert_int_equal(r->failed, 1);
	assert_int_equal(r->exited, 1);
	assert_int_equal(r->expired, 1);
	assert_int_equal(r->terminated, 0);
	assert_int_equal(r->lost, 1);
	assert_int_equal(r->known, 0);
	hear_nothing(PTY);
	/* To whom did not ask nothing is told. */
	ask_check(8, 0);
	expect_living(8, 0, 0, 0);
	assert_int_equal(r->made, 0);
	assert_int_equal(role.lies, 0);
}

static void
test_totals_tell_what_is_used(void **state)
{
	const struct pl_ready *r = &role.heard.u.ready;
	struct pl_usage used = all_use(5000000);

	(void)state;
	make_boxed(1);
	ask_check(2, 0);
	hear_nothing(PTY);
	hear(AUTH, MSG_AUTH_READY, 2);
	ask_check(3, 1);
	assert_true(id_is_zero(&hear(PTY, MSG_PTY_SHOW, 3)->session_id.session_id));
	hear_nothing(AUTH);
	say(PTY, MSG_PLACE_USAGE, 3, &used);
	expect_living(3, 0, 0, 1);
	assert_int_equal(r->known, used.known);
	assert_int_equal(r->cpu_usec, 5000000);
	assert_int_equal(r->io_pressure, 125);
	assert_int_equal(r->sessions_known, 1);
	assert_int_equal(r->audit_writable, 1);
	assert_int_equal(requests_count(placerd.requests), 0);
	/* For a while that does; then ptyd is asked again. */
	ask_check(4, 1);
	hear_nothing(PTY);
	assert_int_equal(hear(AUTH, MSG_AUTH_READY, 4)->ready.cpu_usec, 5000000);
	placerd.totals.used_mono_ms -= 5001;
	used = all_use(6000000);
	ask_check(5, 1);
	hear(PTY, MSG_PTY_SHOW, 5);
	say(PTY, MSG_PLACE_USAGE, 5, &used);
	assert_int_equal(hear(AUTH, MSG_AUTH_READY, 5)->ready.cpu_usec, 6000000);
	assert_int_equal(role.lies, 0);
}

/* Whatever is wrong with ptyd: an answer, soon, without what is not known. */
static void
test_totals_without_an_answer(void **state)
{
	struct pl_refused busy = { .error = FOG_E_FULL };
	const struct pl_ready *r = &role.heard.u.ready;

	(void)state;
	make_boxed(1);
	ask_check(2, 1);
	hear(PTY, MSG_PTY_SHOW, 2);
	say(PTY, MSG_PLACE_REFUSED, 2, &busy);
	expect_living(2, 0, 0, 1);
	assert_int_equal(r->known, 0);
	ask_check(3, 1);
	hear(PTY, MSG_PTY_SHOW, 3);
	turn_for_ms(700);
	expect_living(3, 0, 0, 1);
	assert_int_equal(r->known, 0);
	ask_check(4, 1);
	hear(PTY, MSG_PTY_SHOW, 4);
	disconnect(PTY);
	expect_living(4, 0, 0, 1);
	assert_int_equal(r->known, 0);
	assert_int_equal(r->sessions_known, 0);
	ask_check(5, 1);
	expect_living(5, 0, 0, 1);
	assert_int_equal(r->known, 0);
	assert_int_equal(role.lies, 0);
}

/* One session's figures are not those of all. */
static void
test_totals_of_another(void **state)
{
	struct id128 id = make_boxed(1);
	struct pl_usage used = five_pids(&id);

	(void)state;
	ask_check(2, 1);
	hear(PTY, MSG_PTY_SHOW, 2);
	say(PTY, MSG_PLACE_USAGE, 2, &used);
	assert_int_equal(role.lies, 1);
	assert_int_equal(hear(AUTH, MSG_AUTH_READY, 2)->ready.known, 0);
}

static const struct {
	int error;
	const char *detail;
	uint32_t said, retry_after_s;
} spawn_rows[] = {
	{ FOG_E_SPAWN, "limits: this node cannot enforce those of cpu", 0, 0 },
	{ FOG_E_SPAWN, "image: it is not in the store of this node", 0, 0 },
	{ FOG_E_SPAWN, "image: in a moment", 30, 30 },
	{ FOG_E_SPAWN, "images: no such stage", 0, 1 },
	{ FOG_E_SPAWN, "home: it is in use by another session of yours", 0, 1 },
	{ FOG_E_SPAWN, "fork: Resource temporarily unavailable", 0, 1 }, { FOG_E_SPAWN, "", 0, 1 },
	{ FOG_E_NO_PTY, "pty: No space left on device", 0, 0 }, /* gatewayd says when */
};

/* What the spawner could not do reaches the person, with a time where another try may do. */
static void
test_spawn_failures(void **state)
{
	(void)state;
	sync_pty();
	for (size_t i = 0; i < COUNT_OF(spawn_rows); i++) {
		struct pl_refused why = { .error = (uint16_t)spawn_rows[i].error,
			.detail = view_of(spawn_rows[i].detail),
			.retry_after_s = spawn_rows[i].said };
		const union payload *u;

		ask_for_one(i + 1, "alice", "");
		say(PTY, MSG_PLACE_REFUSED, i + 1, &why);
		u = hear(AUTH, MSG_AUTH_REFUSED, i + 1);
		assert_int_equal(u->refused.error, spawn_rows[i].error);
		assert_true(view_is(u->refused.detail, spawn_rows[i].detail));
		assert_int_equal(u->refused.retry_after_s, spawn_rows[i].retry_after_s);
	}
	assert_int_equal(audited("\"detail\":\"limits: this node cannot enforce"), 1);
}

#define WITH_ROLE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROLE(test_create),
		WITH_ROLE(test_sandbox_has_what_the_profile_says),
		WITH_ROLE(test_homes_differ),
		WITH_ROLE(test_images),
		WITH_ROLE(test_stub_has_no_image),
		WITH_ROLE(test_image_comes_back),
		WITH_ROLE(test_show_tells_what_is_used),
		WITH_ROLE(test_show_without_an_answer),
		WITH_ROLE(test_usage_of_another),
		WITH_ROLE(test_totals_count_sessions),
		WITH_ROLE(test_totals_tell_what_is_used),
		WITH_ROLE(test_totals_without_an_answer),
		WITH_ROLE(test_totals_of_another),
		WITH_ROLE(test_spawn_failures),
		WITH_ROLE(test_plan_has_what_the_profile_says),
		WITH_ROLE(test_nothing_before_the_list_is_known),
		WITH_ROLE(test_denials),
		WITH_ROLE(test_the_order_meets_the_end_of_ptyd),
		WITH_ROLE(test_quota_counts_what_is_under_way),
		WITH_ROLE(test_node_full),
		WITH_ROLE(test_repeats),
		WITH_ROLE(test_failed_create_may_be_repeated),
		WITH_ROLE(test_no_audit_no_session),
		WITH_ROLE(test_list_is_the_callers_own),
		WITH_ROLE(test_others_sessions_are_unknown),
		WITH_ROLE(test_mint_and_attach),
		WITH_ROLE(test_session_of_other_version),
		WITH_ROLE(test_extend),
		WITH_ROLE(test_extended_by_the_list),
		WITH_ROLE(test_extend_refused),
		WITH_ROLE(test_extend_without_audit),
		WITH_ROLE(test_end),
		WITH_ROLE(test_ptyd_dies),
		WITH_ROLE(test_registry_is_read_from_ptyd),
		WITH_ROLE(test_list_with_ended_and_found_again),
		WITH_ROLE(test_late_create_is_ended),
		WITH_ROLE(test_late_repeat),
		WITH_ROLE(test_lying_ptyd),
		WITH_ROLE(test_lying_about_time),
		WITH_ROLE(test_new_authd_with_an_old_id),
		WITH_ROLE(test_profiles_and_nodes),
		WITH_ROLE(test_revoke_subject),
		WITH_ROLE(test_revoke_sid),
		WITH_ROLE(test_revoked_is_refused),
		WITH_ROLE(test_logout_replayed),
		WITH_ROLE(test_revoked_while_starting),
		WITH_ROLE(test_revoked_without_ptyd),
		WITH_ROLE(test_revoked_before_a_crash),
		WITH_ROLE(test_admin_ends_one),
		WITH_ROLE(test_renew),
		WITH_ROLE(test_grant_has_the_identity),
		WITH_ROLE(test_revoke_driven),
		WITH_ROLE(test_rates),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
