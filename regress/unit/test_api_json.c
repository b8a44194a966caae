/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/api_json.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "gatewayd/api_json.h"

#define COPY_OF(T, kind, name, min, max) .name = s->name,

static void
assert_json(json_t *obj, const char *text)
{
	cleanup_free char *got = json_dumps(obj, JSON_COMPACT | JSON_REAL_PRECISION(15));

	assert_non_null(got);
	assert_string_equal(got, text);
	json_decref(obj);
}

static void
writes_quantities(void **state)
{
	static const struct {
		uint64_t value;
		const char *cpu, *bytes;
	} cases[] = {
		{ 1, "1m", "1" },
		{ 500, "500m", "500" },
		{ 1000, "1", "1k" },
		{ 1024, "1024m", "1Ki" },
		{ 2000, "2", "2k" },
		{ 2500, "2500m", "2500" },
		{ 1048576, "1048576m", "1Mi" },
		{ 536870912, "536870912m", "512Mi" },
		{ 512000000, "512000", "512M" },
		{ UINT64_C(1) << 30, "1073741824m", "1Gi" },
		{ 1000000000, "1000000", "1G" },
		{ UINT64_C(1) << 40, "1099511627776m", "1Ti" },
		{ UINT64_C(1) << 50, "1125899906842624m", "1024Ti" },
		{ UINT64_MAX, "18446744073709551615m", "18446744073709551615" },
	};
	char text[QUANTITY_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		quantity_cpu(cases[i].value, text);
		assert_string_equal(text, cases[i].cpu);
		quantity_bytes(cases[i].value, text);
		assert_string_equal(text, cases[i].bytes);
	}
}

static const struct pl_session running = { .session_id = { { 0x12 } },
	.profile = { "default", 7 },
	.status = STATUS_RUNNING,
	.created_s = 0,
	.expires_s = 3600,
	.node = { "edge-1", 6 },
	.region = { "local", 5 },
	.tier = TIER_FOG,
	.placement_reason = { "only_node", 9 } };

#define RUNNING \
	"{\"session_id\":\"12000000-0000-0000-0000-000000000000\",\"profile\":\"default\"," \
	"\"status\":\"%s\",\"created_at\":\"1970-01-01T00:00:00Z\"," \
	"\"expires_at\":\"1970-01-01T01:00:00Z\",\"placement\":{\"node\":\"edge-1\"," \
	"\"region\":\"local\",\"tier\":\"fog\"},\"placement_reason\":\"only_node\"%s}"

static void
writes_sessions(void **state)
{
	struct pl_session s = running;
	char text[1024];

	(void)state;
	snprintf(text, sizeof(text), RUNNING, "running", "");
	assert_json(api_json_session(&s), text);
	s.status = STATUS_EXITED;
	s.exit_kind = EXIT_CODE;
	s.exit_value = 3;
	s.end_reason = END_EXIT;
	snprintf(text, sizeof(text), RUNNING, "exited",
	    ",\"exit\":{\"code\":3},\"end_reason\":\"exit\"");
	assert_json(api_json_session(&s), text);
	s.exit_kind = EXIT_SIGNAL;
	s.exit_value = 9;
	snprintf(text, sizeof(text), RUNNING, "exited",
	    ",\"exit\":{\"code\":137,\"signal\":9},\"end_reason\":\"exit\"");
	assert_json(api_json_session(&s), text);
	s.profile = view_of("\xff");
	assert_null(api_json_session(&s));
}

#define SHA_A "sha256:0102000000000000000000000000000000000000000000000000000000000000"

static void
writes_images(void **state)
{
	struct pl_session s = running;
	char text[1024];

	(void)state;
	s.image = (struct raw32){ { 1, 2 } };
	s.end_reason = END_EXIT;
	snprintf(text, sizeof(text), RUNNING, "running",
	    ",\"image_ref\":\"" SHA_A "\",\"end_reason\":\"exit\"");
	assert_json(api_json_session(&s), text);
}

static struct pl_shown
shown_of(const struct pl_session *s)
{
	return (struct pl_shown){ FIELDS_session(COPY_OF, ) };
}

static void
writes_what_is_used(void **state)
{
	struct pl_shown s = shown_of(&running);
	char text[1024];

	(void)state;
	snprintf(text, sizeof(text), RUNNING, "running", "");
	assert_json(api_json_shown(&s), text); /* nothing is known of it */
	s.holds = 1u << LIMIT_STORAGE;
	snprintf(text, sizeof(text), RUNNING, "running",
	    ",\"limits\":{\"enforced\":[\"storage\"]},\"usage\":{}");
	assert_json(api_json_shown(&s), text);
	s.holds = (1u << LIMIT_COUNT) - 1;
	s.known = (1u << USAGE_COUNT) - 1;
	s.cpu_usec = 1500000;
	s.memory_bytes = UINT64_MAX;
	s.memory_peak_bytes = 8192;
	s.pids = 3;
	s.oom_kills = 1;
	s.cpu_pressure = 7;
	s.memory_pressure = 10000;
	s.io_pressure = 0;
	s.egress_denied = 12;
	snprintf(text, sizeof(text), RUNNING, "running",
	    ",\"limits\":{\"enforced\":[\"cpu\",\"memory\",\"swap\",\"pids\",\"io\",\"storage\"]},"
	    "\"usage\":{\"cpu_seconds\":1.5,\"memory_bytes\":9223372036854775807,"
	    "\"memory_peak_bytes\":8192,\"pids\":3,\"oom_kills\":1,"
	    "\"pressure\":{\"cpu\":0.07,\"memory\":100.0,\"io\":0.0},\"egress_denied\":12}");
	assert_json(api_json_shown(&s), text);
	s.known = 1u << USAGE_PIDS | 1u << USAGE_IO_PRESSURE;
	s.holds = 0;
	snprintf(text, sizeof(text), RUNNING, "running",
	    ",\"limits\":{\"enforced\":[]},\"usage\":{\"pids\":3,\"pressure\":{\"io\":0.0}}");
	assert_json(api_json_shown(&s), text);
	s.profile = view_of("\xff");
	assert_null(api_json_shown(&s));
}

static void
writes_the_rest(void **state)
{
	struct pl_created created = { .session_id = { { 0x12 } },
		.node = { "n", 1 },
		.region = { "r", 1 },
		.tier = TIER_CLOUD,
		.placement_reason = { "x", 1 },
		.token = { "a.b.c", 5 },
		.token_expires_s = 60 };
	struct pl_profile profile = { .name = { "default", 7 },
		.cpu_milli = 500,
		.memory_bytes = 536870912,
		.storage_bytes = 1073741824,
		.max_ttl_seconds = 3600,
		.idle_timeout_s = 900,
		.max_sessions = 3 };
	struct pl_node node = { .name = { "n", 1 },
		.region = { "r", 1 },
		.tier = TIER_FOG,
		.self = 1,
		.state = NODE_UP };
	struct pl_gate_ready ready = { .sessions_known = 1,
		.audit_writable = 0,
		.sign_in = SIGN_IN_DEV };

	(void)state;
	assert_json(api_json_created(&created, "ws://h/x"),
	    "{\"session_id\":\"12000000-0000-0000-0000-000000000000\",\"attach\":"
	    "{\"ws_url\":\"ws://h/x\",\"token\":\"a.b.c\",\"expires_at\":\"1970-01-01T00:01:00Z\"},"
	    "\"placement\":{\"node\":\"n\",\"region\":\"r\",\"tier\":\"cloud\"},"
	    "\"placement_reason\":\"x\"}");
	assert_json(api_json_profile(&profile),
	    "{\"name\":\"default\",\"cpu\":\"500m\",\"memory\":\"512Mi\",\"storage\":\"1Gi\","
	    "\"max_ttl_seconds\":3600,\"idle_timeout_seconds\":900,\"max_sessions\":3}");
	assert_json(api_json_node(&node, "http://h"),
	    "{\"name\":\"n\",\"region\":\"r\",\"tier\":\"fog\",\"url\":\"http://h\",\"self\":true,\"state\":\"up\"}");
	node.url = view_of("https://n.example:8443");
	node.self = 0;
	node.state = NODE_DOWN;
	assert_json(api_json_node(&node, "http://h"),
	    "{\"name\":\"n\",\"region\":\"r\",\"tier\":\"fog\",\"url\":\"https://n.example:8443\",\"self\":false,"
	    "\"state\":\"unreachable\"}");
	assert_json(api_json_ready(true, true, &ready),
	    "{\"status\":\"not_ready\",\"dev_mode\":true,\"sign_in\":\"dev\",\"parts\":{\"authd\":true,\"placerd\":true,"
	    "\"ptyd\":true,\"audit\":false}}");
	ready.audit_writable = 1;
	ready.sign_in = SIGN_IN_STALE;
	assert_json(api_json_ready(true, true, &ready),
	    "{\"status\":\"ready\",\"dev_mode\":false,\"sign_in\":\"stale\",\"parts\":{\"authd\":true,\"placerd\":true,"
	    "\"ptyd\":true,\"audit\":true}}");
	ready.sign_in = SIGN_IN_WAITING;
	assert_json(api_json_ready(true, true, &ready),
	    "{\"status\":\"not_ready\",\"dev_mode\":false,\"sign_in\":\"waiting\",\"parts\":"
	    "{\"authd\":true,\"placerd\":true,\"ptyd\":true,\"audit\":true}}");
	assert_json(api_json_ready(true, false, NULL),
	    "{\"status\":\"not_ready\",\"dev_mode\":false,\"sign_in\":\"waiting\",\"parts\":{\"authd\":true,"
	    "\"placerd\":false,\"ptyd\":false,\"audit\":false}}");
}

static void
writes_sign_in(void **state)
{
	static char empty[] = "", issuer[] = "https://id.example.org/a", client[] = "shell",
		    scopes[] = "openid offline_access", resource[] = "https://shell.example.org";
	struct config config = { .oidc_issuer_url = empty,
		.oidc_client_id = client,
		.oidc_scopes = scopes,
		.oidc_resource = empty };

	(void)state;
	assert_json(api_json_config(&config), "{\"sign_in\":\"dev\",\"token\":\"dev\"}");
	config.oidc_issuer_url = issuer;
	assert_json(api_json_config(&config),
	    "{\"sign_in\":\"oidc\",\"issuer\":\"https://id.example.org/a\",\"client_id\":\"shell\","
	    "\"scopes\":\"openid offline_access\",\"accept_id_tokens\":false}");
	config.oidc_resource = resource;
	config.oidc_accept_id_tokens = true;
	assert_json(api_json_config(&config),
	    "{\"sign_in\":\"oidc\",\"issuer\":\"https://id.example.org/a\",\"client_id\":\"shell\","
	    "\"scopes\":\"openid offline_access\",\"accept_id_tokens\":true,"
	    "\"resource\":\"https://shell.example.org\"}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_quantities),
		cmocka_unit_test(writes_sessions),
		cmocka_unit_test(writes_images),
		cmocka_unit_test(writes_what_is_used),
		cmocka_unit_test(writes_the_rest),
		cmocka_unit_test(writes_sign_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
