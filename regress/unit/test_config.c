/* SPDX-License-Identifier: MIT */
/* links: common/config.c */
/* config.def: defaults, each kind of bad value named, the records of the roles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/config.h"

static const char *set_name, *set_value;

static const char *
environment(const char *name)
{
	if (set_name && strcmp(name, set_name) == 0)
		return set_value;
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

/* The message names the variable and says what would be right. */
static void
test_bad_values(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} rows[] = {
		{ "RUNTIME", "sandbox", "RUNTIME" },
		{ "RUNTIME", "k8s", "write stub" },
		{ "OIDC_ISSUER_URL", "https://id.example.org", "OIDC_ISSUER_URL: not available" },
		{ "OIDC_CLIENT_ID", "x", "OIDC_CLIENT_ID: not available" },
		{ "USE_K8S", "1", "USE_K8S: not available" },
		{ "NODES_CONFIG", "/etc/nodes.yaml", "NODES_CONFIG" },
		{ "OTEL_EXPORTER_OTLP_ENDPOINT", "http://x", "OTEL_EXPORTER_OTLP_ENDPOINT" },
		{ "USE_STUB_CONNECTOR", "0", "must be 1 in this version" },
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

/* The signing key is in no role's record and in no print (S1, S5). */
static void
test_key_goes_nowhere(void **state)
{
	static const char key[] =
	    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	struct config c;
	char err[256], *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_int_equal(read_with(&c, "SESSION_TOKEN_SIGNING_KEY", key, err, sizeof(err)), 0);
	for (int role = PROC_GATEWAYD; role <= PROC_SPAWNER; role++) {
		unsigned char bytes[32768];
		struct writer w;

		writer_init(&w, bytes, sizeof(bytes));
		assert_int_equal(config_put(&w, &c, (enum proc_id)role), 0);
		assert_null(memmem(bytes, w.len, key, 16));
	}
	config_print(&c, out);
	fclose(out);
	assert_null(strstr(text, "0011223344"));
	assert_non_null(strstr(text, "SESSION_TOKEN_SIGNING_KEY=set\n"));
	free(text);
	config_fini(&c);
}

static void
test_records(void **state)
{
	struct config c, got;
	char err[256];

	(void)state;
	assert_int_equal(read_with(&c, "HTTP_MAX_HEADERS", "7", err, sizeof(err)), 0);
	for (int role = PROC_GATEWAYD; role <= PROC_SPAWNER; role++) {
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
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_key_goes_nowhere),
		cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
