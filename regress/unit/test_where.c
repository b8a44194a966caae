/* SPDX-License-Identifier: MIT */
/*
 * What placement is given: each thing that policy demands, that is known of a node and that the client
 * says reaches place_choose as it is. The simulator and test_place.c begin behind this.
 * links: placerd/where.c placerd/hold.c placerd/distance.c placerd/nodes.c placerd/fleet.c placerd/place.c
 * links: placerd/yaml.c placerd/registry.c placerd/session.c placerd/audit.c placerd/quota.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/mono.h"
#include "common/proc.h"
#include "placerd/fleet.h"
#include "placerd/nodes.h"
#include "placerd/where.h"
#include "placerd/yaml.h"

/* This node is not the first of the file. */
enum { NEAR, SELF, FAR, CLOUD, ASIA, NODES };
static const struct {
	const char *name, *text;
} rows[NODES] = {
	[NEAR] = { "near",
	    "region: berlin, tier: fog, trust: trusted, data_labels: [gdpr], capacity: {sessions: 9}" },
	[SELF] = { "self",
	    "region: munich, tier: fog, trust: basic, capacity: {sessions: 99, cpu: 4, memory: 8Gi}" },
	[FAR] = { "far",
	    "region: paris, tier: fog, trust: attested, data_labels: [gdpr, health], "
	    "capacity: {sessions: 9, cpu: 2, memory: 2Gi}" },
	[CLOUD] = { "cloud",
	    "region: us-east-1, tier: cloud, trust: basic, capacity: {sessions: 9}" },
	[ASIA] = { "asia",
	    "region: asia-1, tier: cloud, trust: attested, capacity: {sessions: 9}" },
};

static struct placerd placerd;
static struct config config;

const struct config *
proc_config(void)
{
	return &config;
}

static struct nodes *
read_fleet(void)
{
	unsigned char der[91] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
		0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42,
		0x00, 0x04 };
	char text[4096] = "self: self\nnodes:\n", err[YAML_ERROR_BYTES] = "";
	size_t at = strlen(text);
	struct nodes *nodes;

	for (unsigned i = 0; i < NODES; i++) {
		char key[125];

		der[27] = (unsigned char)i;
		EVP_EncodeBlock((unsigned char *)key, der, sizeof(der));
		at += (size_t)snprintf(text + at, sizeof(text) - at,
		    "  - {name: %s, url: \"https://%s.example.org\", %s, public_key: \"%s\"}\n",
		    rows[i].name, rows[i].name, rows[i].text, key);
	}
	nodes = nodes_new_from_yaml("nodes.yaml", text, at, "https://*.example.org", "x", err,
	    sizeof(err));
	assert_string_equal(err, "");
	return nodes;
}

static void
hear(size_t node, const struct fleet_report *report)
{
	fleet_heard(placerd.fleet, node, report, 10, mono_ms());
}

static int
set_up(void **state)
{
	static const struct fleet_report idle = { .is_ready = true };

	(void)state;
	memset(&placerd, 0, sizeof(placerd));
	config.max_sessions = 3;
	config.cloud_fallback_region = "us-east-1";
	placerd.nodes = read_fleet();
	placerd.fleet = fleet_new(NODES, SELF, 1, mono_ms());
	placerd.registry = registry_new();
	placerd.is_synced = true;
	for (size_t i = 0; i < NODES; i++) {
		if (i != SELF)
			hear(i, &idle);
	}
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	free(placerd.places);
	registry_free(placerd.registry);
	fleet_free(placerd.fleet);
	nodes_free(placerd.nodes);
	return 0;
}

/* What is asked where nothing else is said: all are fit, and the measures name the near one. */
struct plea {
	struct policy_decision decision;
	struct where_ask ask;
	unsigned char latencies[256];
};

static void
measure(struct plea *p, const char *const pairs[])
{
	struct writer w;

	writer_init(&w, p->latencies, sizeof(p->latencies));
	for (size_t i = 0; pairs[i]; i++)
		put_view(&w, view_of(pairs[i]));
	p->ask.latencies = view_bytes(p->latencies, w.len);
}

static struct plea *
plead(void)
{
	static const char *const usual[] = { "near", "5", "self", "20", "nobody", "0", "far", "40",
		"cloud", "90", "asia", "200", NULL };
	static struct plea p;

	memset(&p, 0, sizeof(p));
	p.decision.rule = POLICY_ALLOW;
	p.ask = (struct where_ask){ .issuer = view_of("i"),
		.subject = view_of("s"),
		.hint = view_of(""),
		.decision = &p.decision };
	measure(&p, usual);
	return &p;
}

/* The choice and its reasons, or why there is none; and what place_choose was given. */
static void
expect_told(struct plea *p, const char *wanted, struct place_node given[static NODES])
{
	char reasons[PLACE_REASON_BYTES], got[128];
	struct where w;
	int rc = where_choose(&placerd, &p->ask, &w);

	if (rc == 0) {
		struct view name = w.nodes[w.choice.fit[0].node].name;

		place_format_reasons(w.choice.fit[0].reasons, reasons);
		snprintf(got, sizeof(got), "%.*s: %s", VIEW_ARG(name), reasons);
	} else {
		snprintf(got, sizeof(got), "%s", rc == -FOG_E_FULL ? "full" : "no node");
	}
	assert_string_equal(got, wanted);
	assert_int_equal(w.n, p->ask.only_here ? 1 : NODES);
	memcpy(given, w.nodes, w.n * sizeof(*given));
	where_fini(&w);
}

static void
expect(struct plea *p, const char *wanted)
{
	struct place_node ignored[NODES];

	expect_told(p, wanted, ignored);
}

static void
add_label(struct plea *p, const char *label)
{
	snprintf(p->decision.labels[p->decision.n_labels++], sizeof(policy_name), "%s", label);
}

static void
test_what_policy_demands(void **state)
{
	struct plea *p = plead();

	(void)state;
	expect(p, "near: fog-first,nearest");
	p->decision.min_trust = TRUST_ATTESTED;
	expect(p, "far: fog-first");
	p->decision.min_trust = TRUST_TRUSTED;
	expect(p, "near: fog-first,nearest");

	p = plead();
	snprintf(p->decision.regions[0], sizeof(policy_name), "asia-1");
	p->decision.n_regions = 1;
	expect(p, "asia: cloud-fallback");
	snprintf(p->decision.regions[1], sizeof(policy_name), "paris");
	p->decision.n_regions = 2;
	expect(p, "far: fog-first");

	p = plead();
	add_label(p, "health");
	expect(p, "far: fog-first");
	add_label(p, "gdpr");
	expect(p, "far: fog-first");
	add_label(p, "nobody has it");
	expect(p, "no node");
	p = plead();
	add_label(p, "gdpr");
	expect(p, "near: fog-first,nearest");
}

static void
test_sizes(void **state)
{
	static const struct fleet_report full = { .is_ready = true,
		.load = { .sessions = 9, .cpu_milli = 100, .memory_bytes = 100 } };
	struct plea *p = plead();

	(void)state;
	p->ask.hint = view_of("far");
	p->decision.limits.cpu_milli = 2000;
	p->decision.limits.memory_bytes = UINT64_C(2) << 30;
	expect(p, "far: fog-first,hint-honoured");
	p->decision.limits.cpu_milli = 2001;
	expect(p, "near: fog-first,hint-not-fit,nearest");
	p->decision.limits.cpu_milli = 0;
	p->decision.limits.memory_bytes++;
	expect(p, "near: fog-first,hint-not-fit,nearest");
	p = plead();
	hear(NEAR, &full);
	expect(p, "self: fog-first,nearest");
}

static void
test_states(void **state)
{
	static const struct fleet_report draining = { .is_ready = true, .is_draining = true };
	static const struct fleet_report unready = { 0 };
	struct plea *p = plead();

	(void)state;
	fleet_cordon(placerd.fleet, NEAR, true);
	expect(p, "self: fog-first,nearest");
	placerd.is_draining = true;
	expect(p, "far: fog-first");
	hear(FAR, &draining);
	expect(p, "cloud: cloud-fallback");
	hear(CLOUD, &unready);
	expect(p, "asia: cloud-fallback");
	placerd.is_draining = false;
	placerd.is_synced = false;
	expect(p, "asia: cloud-fallback");
	placerd.is_synced = true;
	expect(p, "self: fog-first");
}

static void
add_session(enum session_status status)
{
	struct session fresh = { .cpu_milli = 1500, .memory_bytes = UINT64_C(3) << 30 };
	struct session *s;

	assert_int_equal(id_session_new(1, &fresh.id), 0);
	s = registry_add(placerd.registry, &fresh);
	assert_non_null(s);
	s->status = status;
	if (session_has_ended(status))
		registry_settle(placerd.registry, s);
}

/* This node's room is what its own sessions leave, and no more than MAX_SESSIONS of it. */
static void
test_own_room(void **state)
{
	struct place_node given[NODES];
	struct plea *p = plead();

	(void)state;
	add_session(STATUS_TERMINATED);
	add_session(STATUS_RUNNING);
	add_session(STATUS_DETACHED);
	expect_told(p, "near: fog-first,nearest", given);
	assert_int_equal(given[SELF].load.sessions, 2);
	assert_int_equal(given[SELF].load.cpu_milli, 3000);
	assert_int_equal(given[SELF].load.memory_bytes, UINT64_C(6) << 30);
	assert_int_equal(given[SELF].capacity.sessions, 3);
	p->ask.only_here = true;
	p->decision.limits.cpu_milli = 1000;
	expect(p, "self: local-only");
	p->decision.limits.cpu_milli++;
	expect(p, "full");
	p->decision.limits.cpu_milli = 0;
	add_session(STATUS_STARTING);
	expect(p, "full");
}

static void
test_what_was_tried(void **state)
{
	static uint32_t failed[2];
	struct plea *p = plead();

	(void)state;
	failed[0] = nodes_at(placerd.nodes, NEAR)->tag;
	failed[1] = 7; /* of a node that is gone */
	p->ask.failed = failed;
	p->ask.n_failed = 2;
	expect(p, "self: fog-first,nearest,next-best");
}

/* As a session is made where it was chosen to be. */
static void
make_chosen(struct plea *p)
{
	struct where w;

	assert_int_equal(where_choose(&placerd, &p->ask, &w), 0);
	where_remember(&placerd, p->ask.issuer, p->ask.subject, &w.kept);
	where_fini(&w);
}

static void
remember_far(void)
{
	uint32_t tag = nodes_at(placerd.nodes, FAR)->tag;

	where_remember(&placerd, view_of("i"), view_of("s"), &(struct where_kept){ tag, tag });
}

/* Only this node counts, whatever the client and the past say. */
static void
test_only_here(void **state)
{
	struct place_node given[NODES];
	struct plea *p = plead();

	(void)state;
	remember_far();
	p->ask.only_here = true;
	p->ask.hint = view_of("near");
	expect_told(p, "self: local-only,hint-unknown-node", given);
	assert_true(view_is(given[0].name, "self") && view_is(given[0].region, "munich"));
	p->decision.min_trust = TRUST_TRUSTED;
	expect(p, "no node");
}

static void
test_where_one_was(void **state)
{
	static const char *const alike[] = { "near", "20", "self", "21", "far", "24", NULL };
	struct plea *p = plead();

	(void)state;
	measure(p, alike);
	expect(p, "near: fog-first,nearest");
	remember_far();
	expect(p, "far: fog-first,stayed");
	p->ask.subject = view_of("another");
	expect(p, "near: fog-first,nearest");
}

/* Who had to go further comes back, and meanwhile is not sent to and fro. */
static void
test_home_is_full_for_a_while(void **state)
{
	static const char *const alike[] = { "near", "20", "self", "21", "far", "24", NULL };
	static const char *const other[] = { "near", "20", "self", "24", "far", "21", NULL };
	static const struct fleet_report full = { .is_ready = true, .load.sessions = 9 };
	static const struct fleet_report idle = { .is_ready = true };
	struct plea *p = plead();

	(void)state;
	measure(p, alike);
	make_chosen(p);
	measure(p, other);
	expect(p, "near: fog-first,stayed");
	measure(p, alike);
	hear(NEAR, &full);
	expect(p, "self: fog-first,nearest");
	make_chosen(p);
	measure(p, other);
	expect(p, "self: fog-first,stayed");
	make_chosen(p);
	hear(NEAR, &idle);
	measure(p, alike);
	expect(p, "near: fog-first,nearest");
	p->ask.hint = view_of("far"); /* for once, and no more */
	make_chosen(p);
	p->ask.hint = view_of("");
	measure(p, other);
	expect(p, "near: fog-first,stayed");
	p->ask.only_here = true; /* likewise: there was no time for another */
	make_chosen(p);
	p->ask.only_here = false;
	expect(p, "near: fog-first,stayed");
	hear(NEAR, &full);
	expect(p, "self: fog-first,stayed");
}

/* The client's figure goes before the guess; a guess is no less than what leads to this node. */
static void
test_latencies(void **state)
{
	static const char *const own[] = { "self", "20", "far", "19", NULL };
	static const char *const none[] = { NULL };
	struct place_node given[NODES];
	struct plea *p = plead();

	(void)state;
	measure(p, own);
	expect_told(p, "far: fog-first,nearest", given);
	assert_int_equal(given[SELF].latency_ms, 20);
	assert_int_equal(given[FAR].latency_ms, 19);
	assert_int_equal(given[NEAR].latency_ms, 30);
	measure(p, none);
	expect_told(p, "far: fog-first", given);
	for (size_t i = 0; i < NODES; i++)
		assert_int_equal(given[i].latency_ms, PLACE_LATENCY_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_what_policy_demands), TEST(test_sizes),
		TEST(test_states), TEST(test_own_room), TEST(test_what_was_tried),
		TEST(test_only_here), TEST(test_where_one_was), TEST(test_home_is_full_for_a_while),
		TEST(test_latencies) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
