/* SPDX-License-Identifier: MIT */
/*
 * Creates with an Idempotency-Key that other nodes have a part in: never two sessions for one key, and
 * no 201 for a session that is over.
 * links: placerd/peers.c placerd/create.c placerd/extend.c placerd/session.c placerd/registry.c placerd/audit.c
 * links: placerd/quota.c placerd/policy.c placerd/place.c placerd/yaml.c placerd/identity.c placerd/renew.c
 * links: placerd/revoke.c placerd/revoked.c placerd/rate.c placerd/show.c placerd/totals.c placerd/elsewhere.c
 * links: placerd/provisional.c placerd/where.c placerd/distance.c placerd/nodes.c placerd/fleet.c placerd/fleetlist.c
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
	assert_int_equal(provisional_start(&placerd), 0);
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
	event_free(placerd.provisional);
	free(placerd.places);
	free(placerd.passed);
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

/* What was ended since nobody confirmed it is no answer to a repeat: the client would have a 201 and no session. */
static void
test_what_was_abandoned_is_not_repeated(void **state)
{
	struct pl_create again = wish("key", "", "fog-2");
	struct session *s = make_provisional(1, "key");
	struct id128 first = s->id;
	struct pl_session_id ended = { first };

	(void)state;
	s->confirm_by_mono_ms = 1;
	turn_for_ms(1200);
	hear(PTY, MSG_PTY_END, 0);
	say(AUTH, MSG_PLACE_CREATE, 2, &again);
	assert_false(id_equal(&hear(PTY, MSG_PTY_CREATE, 2)->plan.session_id, &first));
	(void)ended;
}

/* Nor by a placerd that has started since, and hears of it from ptyd. */
static void
test_what_was_abandoned_before_a_restart_is_not_repeated(void **state)
{
	struct pl_create again = wish("key", "", "fog-2");
	struct session *s = make_provisional(1, "key");
	struct pl_state told = { .session_id = s->id,
		.status = STATUS_TERMINATED,
		.end_reason = END_ABANDONED };

	(void)state;
	say(PTY, MSG_PLACE_STATE, 0, &told);
	hear(PTY, MSG_PTY_STATE_KEPT, 0);
	say(AUTH, MSG_PLACE_CREATE, 2, &again);
	hear(PTY, MSG_PTY_CREATE, 2);
}

/* Who asked here themselves has been told of it: it stays. */
static void
test_a_repeat_of_the_client_confirms(void **state)
{
	struct pl_create here = wish("key", "", "");
	struct session *s = make_provisional(1, "key");

	(void)state;
	assert_int_not_equal(s->confirm_by_mono_ms, 0);
	say(AUTH, MSG_PLACE_CREATE, 2, &here);
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_CREATED, 2)->session.session_id, &s->id));
	assert_int_equal(s->confirm_by_mono_ms, 0);
}

/* A repeat that is passed on is confirmed later: it has all the time that a first one has. */
static void
test_a_repeat_of_a_node_has_its_time(void **state)
{
	struct pl_create again = wish("key", "", "fog-2");
	struct session *s = make_provisional(1, "key");
	uint64_t now = mono_ms();

	(void)state;
	s->confirm_by_mono_ms = now + 50;
	say(AUTH, MSG_PLACE_CREATE, 2, &again);
	assert_true(id_equal(&hear(AUTH, MSG_AUTH_CREATED, 2)->session.session_id, &s->id));
	assert_true(s->confirm_by_mono_ms >= now + PROVISIONAL_MS);
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
		WITH_ROLE(test_a_repeat_goes_to_no_other_node),
		WITH_ROLE(test_ptyd_answers_for_no_other_node),
		WITH_ROLE(test_what_was_abandoned_is_not_repeated),
		WITH_ROLE(test_what_was_abandoned_before_a_restart_is_not_repeated),
		WITH_ROLE(test_a_repeat_of_the_client_confirms),
		WITH_ROLE(test_a_repeat_of_a_node_has_its_time),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
