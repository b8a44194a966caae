/* SPDX-License-Identifier: MIT */
/* links: common/config.c */
/* config.def: defaults, each kind of bad value named, the records of the roles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/config.h"

static const char *set_name, *set_value;
static bool with_issuer;

static const char *
environment(const char *name)
{
	if (set_name && strcmp(name, set_name) == 0)
		return set_value;
	if (with_issuer && strcmp(name, "OIDC_ISSUER_URL") == 0)
		return "https://id.example.org/realms/a";
	if (with_issuer && strcmp(name, "OIDC_CLIENT_ID") == 0)
		return "fog";
	return strcmp(name, "USE_STUB_CONNECTOR") == 0 ? "1" : NULL;
}

static int
read_with(struct config *c, const char *name, const char *value, char *err, size_t size)
{
	set_name = name;
	set_value = value;
	return config_from_env(c, environment, err, size);
}

static void
test_defaults(void **state)
{
	struct config c;
	char err[256];

	(void)state;
	assert_int_equal(read_with(&c, NULL, NULL, err, sizeof(err)), 0);
	assert_string_equal(c.listen_addr, "127.0.0.1:8080");
	assert_string_equal(c.runtime, "stub");
	assert_int_equal(c.attach_token_ttl_seconds, 60);
	config_fini(&c);
}

static const char *
stub_by_its_new_name(const char *name)
{
	return strcmp(name, "RUNTIME") == 0 ? "stub" : NULL;
}

/* The two names are the same choice. */
static void
test_runtime(void **state)
{
	struct config c;
	char err[256];

	(void)state;
	assert_int_equal(config_from_env(&c, stub_by_its_new_name, err, sizeof(err)), 0);
	assert_int_equal(c.use_stub, 1);
	assert_string_equal(c.runtime, "stub");
	config_fini(&c);
}

/* Alone or with the dev shim beside it; and never without root. */
static void
test_sandbox(void **state)
{
	static const struct {
		const char *name, *value;
		int use_stub;
	} rows[] = { { "USE_STUB_CONNECTOR", "0", 0 }, { "RUNTIME", "sandbox", 1 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct config c;
		char err[256] = "";
		int rc = read_with(&c, rows[i].name, rows[i].value, err, sizeof(err));

		assert_int_equal(rc, geteuid() == 0 ? 0 : -1);
		if (rc != 0) {
			assert_non_null(strstr(err, "RUNTIME=sandbox: needs root"));
			continue;
		}
		assert_int_equal(c.use_stub, rows[i].use_stub);
		assert_string_equal(c.runtime, "sandbox");
		config_fini(&c);
	}
}

/* The message names the variable and says what would be right. */
static void
test_bad_values(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} rows[] = {
		{ "RUNTIME", "k8s", "write sandbox or stub" },
		{ "RUNTIME", "Sandbox", "write sandbox or stub" },
		{ "OIDC_ISSUER_URL", "https://id.example.org", "OIDC_CLIENT_ID: must be set" },
		{ "OIDC_CLIENT_ID", "x", "OIDC_CLIENT_ID: is of no use without OIDC_ISSUER_URL" },
		{ "OIDC_CA_FILE", "/x", "OIDC_CA_FILE: is of no use" },
		{ "OIDC_ALGORITHMS", "RS256", "OIDC_ALGORITHMS: is of no use" },
		{ "OIDC_SKEW_SECONDS", "59", "OIDC_SKEW_SECONDS: is of no use" },
		{ "OIDC_SKEW_SECONDS", "61", "from 0 to 60" },
		{ "OIDC_REQUIRE_AT_JWT", "1", "OIDC_REQUIRE_AT_JWT: is of no use" },
		{ "DPOP_NONCE", "1", "DPOP_NONCE: is of no use" },
		{ "USE_K8S", "1", "USE_K8S: not available" },
		{ "NODES_CONFIG", "/etc/nodes.yaml", "NODES_CONFIG" },
		{ "OTEL_EXPORTER_OTLP_ENDPOINT", "http://x", "OTEL_EXPORTER_OTLP_ENDPOINT" },
		{ "USE_STUB_CONNECTOR", "yes", "whole number from 0 to 1" },
		{ "ATTACH_TOKEN_TTL_SECONDS", "61", "from 1 to 60" },
		{ "ATTACH_TOKEN_TTL_SECONDS", "0", "from 1 to 60" },
		{ "ATTACH_TOKEN_TTL_SECONDS", "-1", "whole number" },
		{ "ATTACH_TOKEN_TTL_SECONDS", "1e1", "whole number" },
		{ "ATTACH_TOKEN_TTL_SECONDS", "99999999999999999999", "whole number" },
		{ "HTTP_MAX_HEADERS", "3", "from 4 to 256" },
		{ "LOG_LEVEL", "loud", "error, warn, info or debug" },
		{ "TLS_CERT_FILE", "/x", "TLS_KEY_FILE: must be set when TLS_CERT_FILE is" },
		{ "TLS_KEY_FILE", "/x", "TLS_CERT_FILE: must be set when TLS_KEY_FILE is" },
		{ "NODE_NAME", "a\nb", "without control characters" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct config c;
		char err[256] = "";

		assert_int_equal(read_with(&c, rows[i].name, rows[i].value, err, sizeof(err)), -1);
		if (!strstr(err, rows[i].says))
			fail_msg("%s=%s: said \"%s\"", rows[i].name, rows[i].value, err);
	}
}

/* With an issuer: what must be with it, and what cannot be together. */
static void
test_issuer(void **state)
{
	static const struct {
		const char *name, *value, *says; /* NULL: it is taken */
	} rows[] = {
		{ "LOG_LEVEL", "info", NULL },
		{ "OIDC_AUDIENCE", "api", NULL },
		{ "OIDC_REQUIRE_AT_JWT", "1", NULL },
		{ "OIDC_ACCEPT_ID_TOKENS", "1", NULL },
		{ "OIDC_SKEW_SECONDS", "0", NULL },
		{ "OIDC_CLIENT_ID", "", "OIDC_CLIENT_ID: must be set when OIDC_ISSUER_URL is" },
		{ "OIDC_ISSUER_URL", "http://id.example.org", "must begin with https://" },
		{ "OIDC_ISSUER_URL", "HTTPS://id.example.org", "must begin with https://" },
		{ "OIDC_ISSUER_URL", "https://", "must begin with https://" },
		{ "OIDC_ISSUER_URL", "https://id.example.org?a", "neither query nor fragment" },
		{ "OIDC_ISSUER_URL", "https://id.example.org/#a", "neither query nor fragment" },
		{ "OIDC_ISSUER_URL", "https://id.example.org /", "nor space" },
		{ "OIDC_KEYS_MAX_AGE_SECONDS", "599", "below OIDC_KEYS_REFRESH_SECONDS" },
		{ "OIDC_KEYS_MAX_AGE_SECONDS", "600", NULL },
		{ "OIDC_ALGORITHMS", "ES256", NULL },
		{ "OIDC_ALGORITHMS", "Ed25519,RS256", NULL },
		{ "OIDC_ALGORITHMS", "HS256", "OIDC_ALGORITHMS: must be some of" },
		{ "OIDC_ALGORITHMS", "RS25", "OIDC_ALGORITHMS: must be some of" },
		{ "OIDC_ALGORITHMS", "RS256,", "OIDC_ALGORITHMS: must be some of" },
		{ "OIDC_ALGORITHMS", "RS256,ES256,RS256", "OIDC_ALGORITHMS: must be some of" },
		{ "GATEWAY_URL", "https://shell.example.org:8443", NULL },
		{ "GATEWAY_URL", "https://shell.example.org/", NULL },
		{ "GATEWAY_URL", "https://shell.example.org/fog", "with no path behind" },
		{ "GATEWAY_URL", "https://a@shell.example.org", "with no path behind" },
		{ "GATEWAY_URL", "https://", "with no path behind" },
		{ "EGRESS_NETWORK", "10.1.32.0/19", NULL },
		{ "EGRESS_NETWORK", "10.1.0.0/16",
		    "EGRESS_NETWORK=\"10.1.0.0/16\", EGRESS_NETWORK6=\"fd66" },
		{ "EGRESS_NETWORK", "10.1.0.0/16", "must be an IPv4 /19 and an IPv6 /112" },
		{ "EGRESS_NETWORK", "10.1.1.0/19", "must be an IPv4 /19" },
		{ "EGRESS_NETWORK", "10.1.32.0/19 tcp", "must be an IPv4 /19" },
		{ "EGRESS_NETWORK", "nonsense!", "must be an IPv4 /19" },
		{ "EGRESS_NETWORK", "fd00::/112", "must be an IPv4 /19" },
		{ "EGRESS_NETWORK", "127.0.0.0/19", "must be an IPv4 /19" },
		{ "EGRESS_NETWORK6", "fd00:1::/112", NULL },
		{ "EGRESS_NETWORK6", "fd00:1::/64", "EGRESS_NETWORK6=\"fd00:1::/64\": must be" },
	};

	(void)state;
	with_issuer = true;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct config c;
		char err[256] = "";
		int rc = read_with(&c, rows[i].name, rows[i].value, err, sizeof(err));

		if (rc != (rows[i].says ? -1 : 0) || (rows[i].says && !strstr(err, rows[i].says)))
			fail_msg("%s=%s: said \"%s\"", rows[i].name, rows[i].value, err);
		if (rc == 0)
			config_fini(&c);
	}
	with_issuer = false;
}

static const char *
contradictions(const char *name)
{
	if (strcmp(name, "OIDC_REQUIRE_AT_JWT") == 0 || strcmp(name, "OIDC_ACCEPT_ID_TOKENS") == 0)
		return "1";
	return environment(name);
}

static void
test_contradiction(void **state)
{
	struct config c;
	char err[256] = "";

	(void)state;
	set_name = NULL;
	with_issuer = true;
	assert_int_equal(config_from_env(&c, contradictions, err, sizeof(err)), -1);
	with_issuer = false;
	assert_non_null(strstr(err, "OIDC_ACCEPT_ID_TOKENS: contradicts OIDC_REQUIRE_AT_JWT"));
}

/* The signing keys are in no role's record and in no print (S1, S5). */
static void
check_key_goes_nowhere(const char *variable)
{
	static const char key[] =
	    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	struct config c;
	char err[256], said[80], *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(read_with(&c, variable, key, err, sizeof(err)), 0);
	for (int role = PROC_GATEWAYD; role < PROC_ROLE; role++) {
		unsigned char bytes[32768];
		struct writer w;

		writer_init(&w, bytes, sizeof(bytes));
		assert_int_equal(config_put(&w, &c, (enum proc_id)role), 0);
		assert_null(memmem(bytes, w.len, key, 16));
	}
	config_print(&c, out);
	fclose(out);
	assert_null(strstr(text, "0011223344"));
	snprintf(said, sizeof(said), "%s=set\n", variable);
	assert_non_null(strstr(text, said));
	free(text);
	config_fini(&c);
}

static void
test_keys_go_nowhere(void **state)
{
	(void)state;
	check_key_goes_nowhere("SESSION_TOKEN_SIGNING_KEY");
	check_key_goes_nowhere("SESSION_TOKEN_SIGNING_KEY_PREVIOUS");
}

/* Of another's environment nothing is left either. */
static void
test_environment_is_cleared(void **state)
{
	char *values[2];

	(void)state;
	setenv("SESSION_TOKEN_SIGNING_KEY", "0123", 1);
	setenv("SESSION_TOKEN_SIGNING_KEY_PREVIOUS", "4567", 1);
	values[0] = getenv("SESSION_TOKEN_SIGNING_KEY");
	values[1] = getenv("SESSION_TOKEN_SIGNING_KEY_PREVIOUS");
	config_clear_env();
	assert_null(getenv("SESSION_TOKEN_SIGNING_KEY"));
	assert_null(getenv("SESSION_TOKEN_SIGNING_KEY_PREVIOUS"));
	assert_true(values[0] && *values[0] == '\0');
	assert_true(values[1] && *values[1] == '\0');
}

static void
test_records(void **state)
{
	struct config c, got;
	char err[256];

	(void)state;
	assert_int_equal(read_with(&c, "HTTP_MAX_HEADERS", "7", err, sizeof(err)), 0);
	for (int role = PROC_GATEWAYD; role < PROC_ROLE; role++) {
		unsigned char bytes[32768];
		struct writer w;
		struct reader r;

		writer_init(&w, bytes, sizeof(bytes));
		assert_int_equal(config_put(&w, &c, (enum proc_id)role), 0);
		reader_init(&r, bytes, w.len);
		assert_int_equal(config_get(&r, &got, (enum proc_id)role), 0);
		assert_int_equal(got.http_max_headers, role == PROC_GATEWAYD ? 7 : 64);
		config_fini(&got);
		for (size_t cut = 0; cut < w.len; cut++) {
			reader_init(&r, bytes, cut);
			assert_int_not_equal(config_get(&r, &got, (enum proc_id)role), 0);
		}
	}
	config_fini(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_runtime),
		cmocka_unit_test(test_sandbox),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_issuer),
		cmocka_unit_test(test_contradiction),
		cmocka_unit_test(test_keys_go_nowhere),
		cmocka_unit_test(test_environment_is_cleared),
		cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
