/* SPDX-License-Identifier: MIT */
/* Tests of authd/metadata.c and authd/httpsurl.c. links: authd/metadata.c authd/httpsurl.c authd/jwa.c */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/metadata.h"
#include "common/cleanup.h"

#define ISSUER "https://idp.example.org/realms/a"
#define LABEL_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct metadata metadata;

/* A document with changes merged in; null takes a member away, false stays. */
static int
parse_changed(const char *changes)
{
	static const char base[] =
	    "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://keys.example.org:8443/k?v=1\","
	    "\"authorization_endpoint\":\"" ISSUER "/auth\",\"token_endpoint\":\"" ISSUER
	    "/token\",\"scopes_supported\":[\"openid\"],\"claims_parameter_supported\":true}";
	json_t *json = json_loads(base, 0, NULL), *change = json_loads(changes, 0, NULL), *value;
	cleanup_free char *text = NULL;
	const char *name;

	if (change == NULL)
		fail_msg("%s is not JSON", changes);
	json_object_foreach(change, name, value) {
		if (json_is_null(value))
			json_object_del(json, name);
		else
			json_object_set(json, name, value);
	}
	text = json_dumps(json, JSON_COMPACT);
	json_decref(change);
	json_decref(json);
	return metadata_parse(text, strlen(text), ISSUER, &metadata);
}

static void
test_plain(void **state)
{
	(void)state;
	memset(&metadata, 0x5a, sizeof(metadata));
	assert_int_equal(parse_changed("{}"), 0);
	assert_string_equal(metadata.issuer, ISSUER);
	assert_string_equal(metadata.issuer_url.host, "idp.example.org");
	assert_int_equal(metadata.issuer_url.port, 443);
	assert_string_equal(metadata.jwks_uri.text, "https://keys.example.org:8443/k?v=1");
	assert_string_equal(metadata.jwks_uri.host, "keys.example.org");
	assert_int_equal(metadata.jwks_uri.port, 8443);
	assert_string_equal(metadata.authorization_endpoint.text, ISSUER "/auth");
	assert_string_equal(metadata.token_endpoint.text, ISSUER "/token");
	assert_string_equal(metadata.end_session_endpoint.text, "");
	assert_int_equal(metadata.dpop_algs, 0);
	assert_false(metadata.sends_iss);
	assert_false(metadata.sends_logout);
}

static void
test_optional_members(void **state)
{
	(void)state;
	assert_int_equal(parse_changed("{\"end_session_endpoint\":\"" ISSUER "/end\","
				       "\"dpop_signing_alg_values_supported\":[\"ES256\",\"HS256\","
				       "\"EdDSA\",\"ES512\"],"
				       "\"authorization_response_iss_parameter_supported\":true,"
				       "\"backchannel_logout_supported\":true}"),
	    0);
	assert_string_equal(metadata.end_session_endpoint.text, ISSUER "/end");
	assert_int_equal(metadata.dpop_algs, JWA_BIT(JWA_ES256) | JWA_BIT(JWA_EDDSA));
	assert_true(metadata.sends_iss);
	assert_true(metadata.sends_logout);
}

static const struct {
	const char *changes;
	enum metadata_error want;
} bad[] = {
	{ "{\"issuer\":null}", METADATA_E_ISSUER_MISSING },
	{ "{\"issuer\":[\"" ISSUER "\"]}", METADATA_E_ISSUER_MISSING },
	{ "{\"issuer\":\"" ISSUER "/\"}", METADATA_E_ISSUER_OTHER },
	{ "{\"issuer\":\"https://IDP.example.org/realms/a\"}", METADATA_E_ISSUER_OTHER },
	{ "{\"issuer\":\"https://idp.example.org:443/realms/a\"}", METADATA_E_ISSUER_OTHER },
	{ "{\"issuer\":\"https://idp.example.org/realms/{tenantid}\"}", METADATA_E_ISSUER_OTHER },
	{ "{\"issuer\":\"\"}", METADATA_E_ISSUER_OTHER },
	{ "{\"jwks_uri\":null}", METADATA_E_MISSING },
	{ "{\"authorization_endpoint\":null}", METADATA_E_MISSING },
	{ "{\"token_endpoint\":null}", METADATA_E_MISSING },
	{ "{\"jwks_uri\":\"http://idp.example.org/keys\"}", METADATA_E_URL },
	{ "{\"jwks_uri\":\"file:///etc/passwd\"}", METADATA_E_URL },
	{ "{\"jwks_uri\":7}", METADATA_E_URL },
	{ "{\"jwks_uri\":false}", METADATA_E_URL },
	{ "{\"token_endpoint\":\"//idp.example.org/token\"}", METADATA_E_URL },
	{ "{\"authorization_endpoint\":\"javascript:alert(1)\"}", METADATA_E_URL },
	{ "{\"end_session_endpoint\":\"\"}", METADATA_E_URL },
	{ "{\"dpop_signing_alg_values_supported\":\"ES256\"}", METADATA_E_SHAPE },
	{ "{\"dpop_signing_alg_values_supported\":[1]}", METADATA_E_SHAPE },
	{ "{\"authorization_response_iss_parameter_supported\":\"true\"}", METADATA_E_SHAPE },
	{ "{\"backchannel_logout_supported\":1}", METADATA_E_SHAPE },
};

static void
test_bad_documents(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		int error = parse_changed(bad[i].changes);

		if (error != -(int)bad[i].want)
			fail_msg("%s: %s", bad[i].changes, metadata_error_code(error));
	}
}

static void
test_not_json(void **state)
{
	static const char *const texts[] = { "null", "[]", "<html>", "{\"issuer\":1,\"issuer\":2}",
		"\xef\xbb\xbf{}", "{} {}", "{\"a\":\"\xff\"}", "{\"a\":[[[[[[[[]]]]]]]]}" };
	static char large[METADATA_MAX_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		assert_int_equal(metadata_parse(texts[i], strlen(texts[i]), ISSUER, &metadata),
		    -METADATA_E_JSON);
	memset(large, ' ', sizeof(large));
	large[0] = '{';
	large[1] = '}';
	assert_int_equal(metadata_parse(large, sizeof(large) - 1, ISSUER, &metadata),
	    -METADATA_E_ISSUER_MISSING);
	assert_int_equal(metadata_parse(large, sizeof(large), ISSUER, &metadata), -METADATA_E_SIZE);
	assert_int_equal(metadata_parse(large, 0, ISSUER, &metadata), -METADATA_E_SIZE);
}

static const struct {
	const char *text, *host;
	unsigned int port; /* 0: refused */
} urls[] = {
	{ "https://a", "a", 443 },
	{ "https://a/", "a", 443 },
	{ "https://a?q=%20&b='()*", "a", 443 },
	{ "https://Idp.Example.ORG/Path", "idp.example.org", 443 },
	{ "https://a:1", "a", 1 },
	{ "https://a:65535/x", "a", 65535 },
	{ "https://127.0.0.1:8443/x", "127.0.0.1", 8443 },
	{ "https://[::1]/x", "[::1]", 443 },
	{ "https://[2001:DB8::1]:444", "[2001:db8::1]", 444 },
	{ "https://a/@b:c", "a", 443 },
	{ "https://" LABEL_63 ".org", LABEL_63 ".org", 443 },
	{ "https://", NULL, 0 },
	{ "https:///x", NULL, 0 },
	{ "https:a", NULL, 0 },
	{ "HTTPS://a", NULL, 0 },
	{ "http://a", NULL, 0 },
	{ "https://a:", NULL, 0 },
	{ "https://a:0", NULL, 0 },
	{ "https://a:080", NULL, 0 },
	{ "https://a:65536", NULL, 0 },
	{ "https://a:100000", NULL, 0 },
	{ "https://a:-1", NULL, 0 },
	{ "https://a:8x", NULL, 0 },
	{ "https://user@a", NULL, 0 },
	{ "https://user:pw@a/", NULL, 0 },
	{ "https://good.org@evil.org/", NULL, 0 },
	{ "https://a#f", NULL, 0 },
	{ "https://a/#", NULL, 0 },
	{ "https://a\\@b", NULL, 0 },
	{ "https://a/ b", NULL, 0 },
	{ " https://a", NULL, 0 },
	{ "https://a\r\nHost: b", NULL, 0 },
	{ "https://a/\x7f", NULL, 0 },
	{ "https://\xc3\xa4.org", NULL, 0 },
	{ "https://a_b.org", NULL, 0 },
	{ "https://a%2eorg", NULL, 0 },
	{ "https://-a.org", NULL, 0 },
	{ "https://a-.org", NULL, 0 },
	{ "https://a..org", NULL, 0 },
	{ "https://a.org./", NULL, 0 },
	{ "https://.a", NULL, 0 },
	{ "https://" LABEL_63 "a.org", NULL, 0 },
	{ "https://[::1", NULL, 0 },
	{ "https://[]", NULL, 0 },
	{ "https://[::1]x", NULL, 0 },
	{ "https://[fe80::1%25eth0]/", NULL, 0 },
	{ "https://[1.2.3.4]/", NULL, 0 },
	{ "https://::1/", NULL, 0 },
};

static void
test_urls(void **state)
{
	struct https_url url;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(urls); i++) {
		int rc = https_url_parse(urls[i].text, strlen(urls[i].text), &url);

		if (rc != (urls[i].port == 0 ? -1 : 0))
			fail_msg("%s: %d", urls[i].text, rc);
		if (rc != 0)
			continue;
		assert_string_equal(url.text, urls[i].text);
		assert_string_equal(url.host, urls[i].host);
		assert_int_equal(url.port, urls[i].port);
	}
	assert_int_equal(https_url_parse("https://a\0b", 11, &url), -1);
}

static void
test_url_bounds(void **state)
{
	char text[URL_MAX_BYTES + 2] = "https://a/", host[300];
	struct https_url url;

	(void)state;
	memset(text + 10, 'p', sizeof(text) - 10);
	assert_int_equal(https_url_parse(text, URL_MAX_BYTES, &url), 0);
	assert_int_equal(strlen(url.text), URL_MAX_BYTES);
	assert_int_equal(https_url_parse(text, URL_MAX_BYTES + 1, &url), -1);

	/* 253 characters of host, and one more */
	snprintf(host, sizeof(host), "https://%s.%s.%s.%.61s", LABEL_63, LABEL_63, LABEL_63,
	    LABEL_63);
	assert_int_equal(https_url_parse(host, strlen(host), &url), 0);
	assert_int_equal(strlen(url.host), URL_HOST_MAX_BYTES);
	snprintf(host, sizeof(host), "https://%s.%s.%s.%.62s", LABEL_63, LABEL_63, LABEL_63,
	    LABEL_63);
	assert_int_equal(https_url_parse(host, strlen(host), &url), -1);
}

static void
test_issuers(void **state)
{
	char location[METADATA_LOCATION_SIZE], issuer[ISSUER_MAX_BYTES + 2] = "https://a/";
	struct https_url url;

	(void)state;
	metadata_location("https://a", location);
	assert_string_equal(location, "https://a/.well-known/openid-configuration");
	metadata_location("https://a/", location);
	assert_string_equal(location, "https://a/.well-known/openid-configuration");
	metadata_location("https://a/b/c", location);
	assert_string_equal(location, "https://a/b/c/.well-known/openid-configuration");
	assert_int_equal(issuer_parse("https://a/b", &url), 0);
	assert_int_equal(issuer_parse("https://a/b?c", &url), -1);
	assert_int_equal(issuer_parse("http://a/b", &url), -1);
	assert_int_equal(issuer_parse("", &url), -1);
	memset(issuer + 10, 'p', ISSUER_MAX_BYTES - 10);
	assert_int_equal(issuer_parse(issuer, &url), 0);
	metadata_location(issuer, location);
	assert_int_equal(strlen(location), METADATA_LOCATION_SIZE - 1);
	issuer[ISSUER_MAX_BYTES] = 'p';
	assert_int_equal(issuer_parse(issuer, &url), -1);
}

static void
test_error_codes(void **state)
{
	(void)state;
	for (int i = 1; i <= METADATA_E_SHAPE; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(metadata_error_code(-i), metadata_error_code(-j));
	assert_string_equal(metadata_error_code(1), "unknown");
	assert_string_equal(metadata_error_code(-METADATA_E_SHAPE - 1), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_optional_members),
		cmocka_unit_test(test_bad_documents),
		cmocka_unit_test(test_not_json),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_url_bounds),
		cmocka_unit_test(test_issuers),
		cmocka_unit_test(test_error_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
