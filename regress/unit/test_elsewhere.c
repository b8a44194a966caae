/* SPDX-License-Identifier: MIT */
/*
 * Creates with an Idempotency-Key that other nodes have a part in: never two sessions for one key, and
 * no 201 for a session that is over.
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

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/json.h"
#include "placerd/fleet.h"
#include "placerd/nodes.h"
#include "placerd/placerd.h"
#include "placerd/quota.h"
#include "placerd/where.h"
#include "placerd/yaml.h"
#include "regress/unit/role_check.h"

#define AUTH EDGE_AUTH_PLACE
#define PTY EDGE_PLACE_PTY
#define NODES 3

static const char policy_text[] =
    "profiles:\n"
    "  - {name: default, cpu: \"500m\", memory: \"512Mi\", storage: \"1Gi\",\n"
    "     max_ttl_seconds: 3600, max_sessions: 9, allowed_groups: []}\n";

static struct placerd placerd;
static char folder[] = "/tmp/fog-elsewhere-XXXXXX";
static int folder_fd = -1;
static char key_lines[NODES][128];

static void
make_key(char line[128])
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(pkey, &der);

	assert_int_equal(len, 91);
	EVP_EncodeBlock((unsigned char *)line, der, len);
	OPENSSL_free(der);
	EVP_PKEY_free(pkey);
}

/* fog-1, which this is, and those of the others whose bit is set. */
static struct nodes *
read_nodes(unsigned others)
{
	char text[4096], err[YAML_ERROR_BYTES] = "";
	int len = snprintf(text, sizeof(text), "self: fog-1\nnodes:\n");
	struct nodes *nodes;

	for (size_t i = 0; i < NODES; i++) {
		if (i != 0 && !(others & (1u << i)))
			continue;
		len += snprintf(text + len, sizeof(text) - (size_t)len,
		    "  - name: fog-%zu\n    url: https://fog-%zu.example.org\n    region: eu\n"
		    "    tier: fog\n    trust: trusted\n    data_labels: []\n"
		    "    capacity: {sessions: 10, cpu: \"4\", memory: \"8Gi\"}\n"
		    "    public_key: \"%s\"\n",
		    i + 1, i + 1, key_lines[i]);
	}
	nodes = nodes_new_from_yaml("nodes.yaml", text, (size_t)len, "https://*.example.org",
	    "fog-1", err, sizeof(err));
	assert_string_equal(err, "");
	return nodes;
}

static void
use_nodes(unsigned others)
{
	struct fleet_report good = { .is_ready = true };

	fleet_free(placerd.fleet);
	nodes_free(placerd.nodes);
	placerd.nodes = read_nodes(others);
	placerd.fleet = fleet_new(nodes_count(placerd.nodes), nodes_self(placerd.nodes), 1,
	    mono_ms());
	for (size_t i = 0; i < nodes_count(placerd.nodes); i++)
		fleet_heard(placerd.fleet, i, &good, 5, mono_ms());
}

static void
open_revoked(void)
{
	struct revoked_found found;

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

static int
set_up(void **state)
{
	char err[YAML_ERROR_BYTES] = "";

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
	placerd.keepers.audit = audit_new(memfd_create("audit", MFD_CLOEXEC), -1);
	placerd.keepers.quota = quota_new();
	placerd.registry = registry_new();
	placerd.policy = policy_new_from_yaml("policy.yaml", policy_text, strlen(policy_text), err,
	    sizeof(err));
	assert_string_equal(err, "");
	open_revoked();
	placerd.creates = rate_new(0);
	placerd.attaches = rate_new(0);
	snprintf(placerd.node_name, sizeof(placerd.node_name), "fog-1");
	use_nodes(7);
	assert_int_equal(peers_start(&placerd), 0);
	open_passed();
	connect_neighbour(AUTH);
	connect_neighbour(PTY);
	say(PTY, MSG_PLACE_KNOWN_ALL, 0, NULL);
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

static struct pl_create
wish(const char *key, const char *hint, const char *forwarded_by)
{
	return (struct pl_create){ .issuer = view_of("dev"),
		.subject = view_of("alice"),
		.profile = view_of("default"),
		.ttl_seconds = 60,
		.forwarded_by = view_of(forwarded_by),
		.placement_hint = view_of(hint),
		.idem_key = view_of(key) };
}

/* That the next word to authd is to pass the request on to that node. */
static void
hear_forward(uint64_t request, const char *node)
{
	const union payload *u = hear(AUTH, MSG_AUTH_FORWARD, request);

	assert_true(view_is(u->forward.node, node));
}

static struct pl_forwarded
result_of(enum forward_result result, const char *made_by)
{
	struct pl_forwarded said = { .result = (uint8_t)result,
		.status = result == FORWARD_DONE ? 201 : 0 };

	if (made_by)
		assert_int_equal(id_session_new(id_node_tag(made_by), &said.session_id), 0);
	return said;
}

/* A session for this key on fog-2, of which the client has been told. */
static void
make_on_fog_2(uint64_t request, const char *key)
{
	struct pl_create want = wish(key, "fog-2", "");
	struct pl_forwarded done = result_of(FORWARD_DONE, "fog-2");

	say(AUTH, MSG_PLACE_CREATE, request, &want);
	hear_forward(request, "fog-2");
	say(AUTH, MSG_PLACE_FORWARDED, request, &done);
	hear_nothing(AUTH);
}

/* The node that has made it does not answer, or refuses for now: nobody else makes another. */
static void
test_a_repeat_goes_to_no_other_node(void **state)
{
	static const enum forward_result results[] = { FORWARD_FAILED, FORWARD_REFUSED };
	struct pl_create again = wish("key", "fog-2", "");

	(void)state;
	make_on_fog_2(1, "key");
	for (size_t i = 0; i < COUNT_OF(results); i++) {
		struct pl_forwarded said = result_of(results[i], NULL);

		say(AUTH, MSG_PLACE_CREATE, 2 + i, &again);
		hear_forward(2 + i, "fog-2");
		say(AUTH, MSG_PLACE_FORWARDED, 2 + i, &said);
		hear_refusal(AUTH, MSG_AUTH_REFUSED, 2 + i, FOG_E_UNREACHABLE);
		hear_nothing(PTY);
	}
	/* It is remembered all the same. */
	say(AUTH, MSG_PLACE_CREATE, 9, &again);
	hear_forward(9, "fog-2");
}

static uint32_t
sessions_on(size_t node)
{
	return fleet_load(placerd.fleet, node).sessions;
}

/* What is on its way there is counted until that node is heard of. */
static void
test_what_was_made_is_counted(void **state)
{
	(void)state;
	make_on_fog_2(1, "key");
	assert_int_equal(sessions_on(1), 1);
	assert_int_equal(fleet_load(placerd.fleet, 1).cpu_milli, 500);
	make_on_fog_2(2, "");
	assert_int_equal(sessions_on(1), 2);
	assert_int_equal(sessions_on(2), 0);
}

/* A node that had no room is not tried for the next one either. */
static void
test_a_full_node_is_known_to_be(void **state)
{
	struct pl_create want = wish("", "fog-2", "");
	struct pl_forwarded full = { .result = FORWARD_REFUSED,
		.status = 503,
		.detail = view_of("busy: no room") };
	struct pl_forwarded other = { .result = FORWARD_REFUSED,
		.status = 503,
		.detail = view_of("busybody: no such code") };
	static const struct place_room as_much = { 1, 500, 512 << 20 },
				       less = { 1, 499, 512 << 20 };

	(void)state;
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	hear_forward(1, "fog-2");
	say(AUTH, MSG_PLACE_FORWARDED, 1, &full);
	assert_true(fleet_would_refuse(placerd.fleet, 1, &as_much, mono_ms()));
	assert_false(fleet_would_refuse(placerd.fleet, 1, &less, mono_ms()));
	hear(PTY, MSG_PTY_CREATE, 1);
	say(AUTH, MSG_PLACE_CREATE, 2, &want);
	hear(PTY, MSG_PTY_CREATE, 2);
	use_nodes(7);
	say(AUTH, MSG_PLACE_CREATE, 3, &want);
	hear_forward(3, "fog-2");
	say(AUTH, MSG_PLACE_FORWARDED, 3, &other);
	assert_false(fleet_would_refuse(placerd.fleet, 1, &as_much, mono_ms()));
	hear(PTY, MSG_PTY_CREATE, 3);
	/* A repeat that is refused says nothing of room. */
	make_on_fog_2(4, "key");
	want.idem_key = view_of("key");
	say(AUTH, MSG_PLACE_CREATE, 5, &want);
	hear_forward(5, "fog-2");
	say(AUTH, MSG_PLACE_FORWARDED, 5, &full);
	assert_false(fleet_would_refuse(placerd.fleet, 1, &as_much, mono_ms()));
}

/* Whoever has no seat comes behind those that have one. */
static void
test_the_list_has_free_seats_first(void **state)
{
	static const struct place_room all = { .sessions = 10 };
	static const char *const orders[][NODES] = { { "fog-1", "fog-2", "fog-3" },
		{ "fog-1", "fog-3", "fog-2" } };
	struct fleet_report good = { .is_ready = true };
	struct pl_identity asks = { .issuer = view_of("dev"), .subject = view_of("alice") };

	(void)state;
	fleet_heard(placerd.fleet, 2, &good, 500, mono_ms());
	for (size_t i = 0; i < COUNT_OF(orders); i++) {
		say(AUTH, MSG_PLACE_NODES, 1 + i, &asks);
		for (size_t k = 0; k < NODES; k++)
			assert_true(view_is(hear(AUTH, MSG_AUTH_NODE, 1 + i)->node.name,
			    orders[i][k]));
		hear(AUTH, MSG_AUTH_DONE, 1 + i);
		fleet_promise(placerd.fleet, 1, &all, mono_ms());
	}
	/* Where one is held on to comes first all the same. */
	where_remember(&placerd, view_of("dev"), view_of("alice"),
	    &(struct where_kept){ nodes_at(placerd.nodes, 1)->tag,
		nodes_at(placerd.nodes, 2)->tag });
	say(AUTH, MSG_PLACE_NODES, 9, &asks);
	for (size_t k = 0; k < NODES; k++)
		assert_true(view_is(hear(AUTH, MSG_AUTH_NODE, 9)->node.name, orders[0][k]));
}

static struct session *
make_provisional(uint64_t request, const char *key)
{
	struct pl_create want = wish(key, "", "fog-2");
	struct pl_session_id started;

	say(AUTH, MSG_PLACE_CREATE, request, &want);
	started.session_id = hear(PTY, MSG_PTY_CREATE, request)->plan.session_id;
	say(PTY, MSG_PLACE_STARTED, request, &started);
	hear(AUTH, MSG_AUTH_CREATED, request);
	return registry_find(placerd.registry, &started.session_id);
}

/* ptyd has no part in what another node was asked. */
static void
test_ptyd_answers_for_no_other_node(void **state)
{
	struct pl_create want = wish("", "fog-2", "");
	struct pl_refused refused = { .error = FOG_E_SPAWN };

	(void)state;
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	hear_forward(1, "fog-2");
	say(PTY, MSG_PLACE_REFUSED, 1, &refused);
	assert_int_equal(role.lies, 1);
}

static void
say_state(const struct session *s, unsigned status, unsigned reason)
{
	struct pl_state told = { .session_id = s->id,
		.status = (uint8_t)status,
		.end_reason = (uint8_t)reason };

	say(PTY, MSG_PLACE_STATE, 0, &told);
}

/* What its holder is told, and says that it has done; 0: it stays. */
static void
hear_confirm(uint64_t request, const struct session *s, uint64_t least_boot_ms)
{
	struct pl_confirm order = hear(PTY, MSG_PTY_CONFIRM, request)->confirm;

	assert_true(id_equal(&order.session_id, &s->id));
	assert_int_equal(order.confirm_by_boot_ms != 0, least_boot_ms != 0);
	assert_true(order.confirm_by_boot_ms >= least_boot_ms);
	hear_nothing(AUTH); /* nobody is told before the holder knows */
	say(PTY, MSG_PLACE_CONFIRMED, request, &order);
	assert_true(s->confirm_by_boot_ms == order.confirm_by_boot_ms);
}

/* ptyd's list, as a placerd that starts anew gets it: with what this one knows. */
static void
start_anew(struct session *s)
{
	struct pl_known known = { .session_id = s->id,
		.profile = view_of("default"),
		.status = STATUS_DETACHED,
		.created_s = s->created_s,
		.expires_s = s->expires_s,
		.node = view_of("fog-1"),
		.region = view_of("eu"),
		.tier = TIER_FOG,
		.placement_reason = view_of("only"),
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.idem_key = view_of("key"),
		.idem_hash = s->idem_hash,
		.confirm_by_boot_ms = s->confirm_by_boot_ms };

	session_uncount(s, &placerd.keepers);
	registry_remove(placerd.registry, s);
	connect_neighbour(PTY);
	say(PTY, MSG_PLACE_KNOWN, 0, &known);
	say(PTY, MSG_PLACE_KNOWN_ALL, 0, NULL);
}

/* The holder has the time; a session that was asked for here has none. */
static void
test_who_is_provisional(void **state)
{
	uint64_t now = boot_ms();
	struct pl_create here = wish("other", "", "");
	struct session *s = make_provisional(1, "key");

	(void)state;
	assert_in_range(s->confirm_by_boot_ms, now + PROVISIONAL_MS, now + PROVISIONAL_MS + 5000);
	here.placement_hint = view_of("fog-1");
	say(AUTH, MSG_PLACE_CREATE, 2, &here);
	assert_true(hear(PTY, MSG_PTY_CREATE, 2)->plan.confirm_by_boot_ms == 0);
}

/* What was ended since nobody confirmed it is no answer to a repeat: the client would have a 201 and no session. */
static void
test_what_was_abandoned_is_not_repeated(void **state)
{
	struct pl_create again = wish("key", "", "fog-2");
	struct session *s = make_provisional(1, "key");
	struct id128 first = s->id;

	(void)state;
	say_state(s, STATUS_TERMINATED, END_ABANDONED);
	hear(PTY, MSG_PTY_STATE_KEPT, 0);
	say(AUTH, MSG_PLACE_CREATE, 2, &again);
	assert_false(id_equal(&hear(PTY, MSG_PTY_CREATE, 2)->plan.session_id, &first));
}

/* Nor is what is ending just then: the next repeat makes another. */
static void
test_a_repeat_meets_the_end(void **state)
{
	static const struct {
		uint16_t error, answer;
	} rows[] = { { FOG_E_SESSION_ENDED, FOG_E_UNAVAILABLE },
		{ FOG_E_NO_SESSION, FOG_E_UNAVAILABLE }, { FOG_E_UNAVAILABLE, FOG_E_UNAVAILABLE },
		{ FOG_E_HOLDER_VERSION, FOG_E_HOLDER_VERSION } };
	struct pl_create again = wish("key", "", "");
	const struct session *s = make_provisional(1, "key");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct pl_refused why = { .error = rows[i].error };

		say(AUTH, MSG_PLACE_CREATE, 2 + i, &again);
		hear(PTY, MSG_PTY_CONFIRM, 2 + i);
		say(PTY, MSG_PLACE_REFUSED, 2 + i, &why);
		hear_refusal(AUTH, MSG_AUTH_REFUSED, 2 + i, rows[i].answer);
		assert_true(provisional_is(s)); /* as ptyd will say if it has ended */
	}
}

/* Who asked here themselves has been told of it: it stays. */
static void
test_a_repeat_of_the_client_confirms(void **state)
{
	struct pl_create here = wish("key", "", "");
	struct session *s = make_provisional(1, "key");

	(void)state;
	say(AUTH, MSG_PLACE_CREATE, 2, &here);
	hear_confirm(2, s, 0);
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_CREATED, 2)->session.session_id, &s->id));
	/* From here on at once. */
	say(AUTH, MSG_PLACE_CREATE, 3, &here);
	hear(AUTH, MSG_AUTH_CREATED, 3);
	hear_nothing(PTY);
}

/* A repeat that is passed on is confirmed later: it has all the time that a first one has. */
static void
test_a_repeat_of_a_node_has_its_time(void **state)
{
	struct pl_create again = wish("key", "", "fog-2");
	struct session *s = make_provisional(1, "key");
	uint64_t now = boot_ms();

	(void)state;
	say(AUTH, MSG_PLACE_CREATE, 2, &again);
	hear_confirm(2, s, now + PROVISIONAL_MS);
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_CREATED, 2)->session.session_id, &s->id));
}

/* Those that come while it is being made are told when its holder knows. */
static void
test_repeats_while_it_is_made(void **state)
{
	struct pl_create by_node = wish("key", "", "fog-2"), here = wish("key", "", "");
	struct pl_session_id started;
	struct session *s;

	(void)state;
	say(AUTH, MSG_PLACE_CREATE, 1, &by_node);
	started.session_id = hear(PTY, MSG_PTY_CREATE, 1)->plan.session_id;
	s = registry_find(placerd.registry, &started.session_id);
	say(AUTH, MSG_PLACE_CREATE, 2, &by_node);
	say(AUTH, MSG_PLACE_CREATE, 3, &here);
	hear_nothing(AUTH);
	hear_nothing(PTY);
	say(PTY, MSG_PLACE_STARTED, 1, &started);
	hear(AUTH, MSG_AUTH_CREATED, 1);
	hear_confirm(2, s, boot_ms());
	hear(AUTH, MSG_AUTH_CREATED, 2);
	hear_confirm(3, s, 0);
	hear(AUTH, MSG_AUTH_CREATED, 3);
}

static struct pl_who_session
about(const struct session *s)
{
	return (struct pl_who_session){ .issuer = view_of("dev"),
		.subject = view_of("alice"),
		.session_id = s->id };
}

/* By the other node, before and after this placerd was started anew. */
static void
test_confirm(void **state)
{
	struct session *s = make_provisional(1, "key");
	struct pl_who_session who = about(s);
	struct id128 id = s->id;

	(void)state;
	start_anew(s);
	s = registry_find(placerd.registry, &id);
	assert_true(provisional_is(s));
	say(AUTH, MSG_PLACE_CONFIRM, 2, &who);
	hear_confirm(2, s, 0);
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_CONFIRMED, 2)->session_id.session_id, &id));
	start_anew(s);
	say(AUTH, MSG_PLACE_CONFIRM, 3, &who);
	hear(AUTH, MSG_AUTH_CONFIRMED, 3);
	hear_nothing(PTY);
}

/* ptyd dies over it: nobody is told that it stays, and it is to be asked again. */
static void
test_confirm_unheard(void **state)
{
	struct session *s = make_provisional(1, "key");
	struct pl_who_session who = about(s);

	(void)state;
	say(AUTH, MSG_PLACE_CONFIRM, 2, &who);
	hear(PTY, MSG_PTY_CONFIRM, 2);
	connect_neighbour(PTY);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_UNAVAILABLE);
	assert_true(provisional_is(s));
}

/* A token to attach with is worth nothing when the session ends before it is used. */
static void
test_mint_confirms(void **state)
{
	struct session *s = make_provisional(1, "key");
	struct pl_who_mint want = { .issuer = view_of("dev"),
		.subject = view_of("alice"),
		.session_id = s->id,
		.role = ROLE_VIEWER };

	(void)state;
	say(AUTH, MSG_PLACE_MINT, 2, &want);
	hear_confirm(2, s, 0);
	assert_int_equal(hear(AUTH, MSG_AUTH_MINTABLE, 2)->session_role.role, ROLE_VIEWER);
}

/* Another time than the one ordered, another session, or what nobody has ordered. */
static void
test_lies_about_confirmations(void **state)
{
	struct session *s = make_provisional(1, "key");
	struct pl_who_session who = about(s);
	struct pl_confirm lie = { .session_id = s->id, .confirm_by_boot_ms = 5 };

	(void)state;
	say(AUTH, MSG_PLACE_CONFIRM, 2, &who);
	hear(PTY, MSG_PTY_CONFIRM, 2);
	say(PTY, MSG_PLACE_CONFIRMED, 2, &lie);
	assert_int_equal(role.lies, 1);
	assert_true(provisional_is(s));
}

/* --- what an earlier placerd has passed on --- */

/* Whatever it heard of it, or not: that node is asked, and no other. */
static void
test_a_repeat_after_a_restart(void **state)
{
	struct pl_create want = wish("key", "fog-2", ""), again = wish("key", "", "");
	struct pl_forwarded failed = result_of(FORWARD_FAILED, NULL),
			    done = result_of(FORWARD_DONE, "fog-2");

	(void)state;
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	hear_forward(1, "fog-2");
	open_passed();
	say(AUTH, MSG_PLACE_CREATE, 2, &again);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_IDEMPOTENCY);
	say(AUTH, MSG_PLACE_CREATE, 3, &want);
	hear_forward(3, "fog-2");
	say(AUTH, MSG_PLACE_FORWARDED, 3, &failed);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 3, FOG_E_UNREACHABLE);
	say(AUTH, MSG_PLACE_CREATE, 4, &want);
	hear_forward(4, "fog-2");
	say(AUTH, MSG_PLACE_FORWARDED, 4, &done);
	open_passed();
	say(AUTH, MSG_PLACE_CREATE, 5, &want);
	hear_forward(5, "fog-2");
	hear_nothing(PTY);
}

/* The request is lost here, and nobody heard what became of it there. */
static void
test_a_repeat_of_what_was_lost(void **state)
{
	struct pl_create want = wish("key", "fog-2", "");
	const union payload *u;

	(void)state;
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	hear_forward(1, "fog-2");
	connect_neighbour(PTY);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_UNAVAILABLE);
	say(PTY, MSG_PLACE_KNOWN_ALL, 0, NULL);
	say(AUTH, MSG_PLACE_CREATE, 2, &want);
	u = hear(AUTH, MSG_AUTH_FORWARD, 2);
	assert_true(view_is(u->forward.node, "fog-2"));
	assert_true(view_is(u->forward.reason, "repeated"));
}

/* The last of those that were asked is the one that may have it. */
static void
test_a_repeat_after_a_restart_goes_to_the_last(void **state)
{
	struct pl_create want = wish("key", "fog-2", "");
	struct pl_forwarded failed = result_of(FORWARD_FAILED, NULL);

	(void)state;
	placerd.is_draining = true;
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	hear_forward(1, "fog-2");
	say(AUTH, MSG_PLACE_FORWARDED, 1, &failed);
	hear_forward(1, "fog-3");
	open_passed();
	say(AUTH, MSG_PLACE_CREATE, 2, &want);
	hear_forward(2, "fog-3");
	say(AUTH, MSG_PLACE_FORWARDED, 2, &failed);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 2, FOG_E_UNREACHABLE);
}

/* Nobody has made it: the key is free, also for another wish, and after a restart. */
static void
test_a_free_key_after_a_restart(void **state)
{
	struct pl_create want = wish("key", "fog-2", ""), other = want;
	struct pl_forwarded failed = result_of(FORWARD_FAILED, NULL);

	(void)state;
	placerd.is_draining = true;
	use_nodes(2);
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	hear_forward(1, "fog-2");
	say(AUTH, MSG_PLACE_FORWARDED, 1, &failed);
	hear(AUTH, MSG_AUTH_REFUSED, 1);
	open_passed();
	other.ttl_seconds = 59;
	say(AUTH, MSG_PLACE_CREATE, 2, &other);
	hear_forward(2, "fog-2");
}

/* Its client was sent to a node: there again, and nowhere else when that is gone. */
static void
test_a_bound_key_after_a_restart(void **state)
{
	struct pl_create want = wish("key", "fog-2", "");
	struct pl_forwarded bound = result_of(FORWARD_BOUND, NULL);

	(void)state;
	for (uint64_t request = 1; request <= 3; request++) {
		say(AUTH, MSG_PLACE_CREATE, request, &want);
		hear_forward(request, "fog-2");
		say(AUTH, MSG_PLACE_FORWARDED, request, &bound);
		open_passed();
	}
	use_nodes(1);
	say(AUTH, MSG_PLACE_CREATE, 4, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 4, FOG_E_UNREACHABLE);
}

/* What cannot be kept is not passed on: a later placerd would know nothing of it. */
static void
test_nothing_is_passed_on_unkept(void **state)
{
	struct pl_create want = wish("key", "fog-2", ""), keyless = wish("", "fog-2", "");

	(void)state;
	passed_free(placerd.passed);
	placerd.passed = passed_new(REGISTRY_REPEAT_MS); /* without its file */
	say(AUTH, MSG_PLACE_CREATE, 1, &want);
	hear_refusal(AUTH, MSG_AUTH_REFUSED, 1, FOG_E_UNAVAILABLE);
	say(AUTH, MSG_PLACE_CREATE, 2, &keyless);
	hear_forward(2, "fog-2");
}

static int
begin(void **state)
{
	(void)state;
	for (size_t i = 0; i < NODES; i++)
		make_key(key_lines[i]);
	assert_non_null(mkdtemp(folder));
	folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return create_load() ? 0 : -1;
}

static int
finish(void **state)
{
	(void)state;
	close_fd(&folder_fd);
	return rmdir(folder);
}

#define WITH_ROLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROLE(test_what_was_made_is_counted),
		WITH_ROLE(test_a_full_node_is_known_to_be),
		WITH_ROLE(test_the_list_has_free_seats_first),
		WITH_ROLE(test_a_repeat_goes_to_no_other_node),
		WITH_ROLE(test_ptyd_answers_for_no_other_node),
		WITH_ROLE(test_who_is_provisional),
		WITH_ROLE(test_what_was_abandoned_is_not_repeated),
		WITH_ROLE(test_a_repeat_meets_the_end),
		WITH_ROLE(test_a_repeat_of_the_client_confirms),
		WITH_ROLE(test_a_repeat_of_a_node_has_its_time),
		WITH_ROLE(test_repeats_while_it_is_made),
		WITH_ROLE(test_confirm),
		WITH_ROLE(test_confirm_unheard),
		WITH_ROLE(test_mint_confirms),
		WITH_ROLE(test_lies_about_confirmations),
		WITH_ROLE(test_a_repeat_after_a_restart),
		WITH_ROLE(test_a_repeat_of_what_was_lost),
		WITH_ROLE(test_a_repeat_after_a_restart_goes_to_the_last),
		WITH_ROLE(test_a_free_key_after_a_restart),
		WITH_ROLE(test_a_bound_key_after_a_restart),
		WITH_ROLE(test_nothing_is_passed_on_unkept),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
