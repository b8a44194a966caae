/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/origin.c. */
/* links: gatewayd/origin.c gatewayd/csp.c */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/cleanup.h"
#include "gatewayd/csp.h"
#include "gatewayd/origin.h"

#define LOOPBACK_CONFIG \
	{ \
		"", "", "127.0.0.1:8080", true, false, false, NULL \
	}
#define PUBLIC_CONFIG \
	{ \
		"https://Shell.Example.org/", "", "127.0.0.1:8080", true, false, false, NULL \
	}
#define LISTED_CONFIG \
	{ \
		"https://shell.example.org", "https://a.example  https://b.example:8443", \
		    "[::1]:8080", true, false, false, NULL \
	}

#define FLEET_CONFIG \
	{ \
		"https://a.fog.example.org", "", "127.0.0.1:8080", true, false, false, \
		    "https://*.fog.example.org https://10.0.0.5:8443 https://[fd00::5]" \
	}

static const struct {
	struct origin_config config;
	const char *host;
	bool allowed;
} hosts[] = {
	{ LOOPBACK_CONFIG, "127.0.0.1:8080", true },
	{ LOOPBACK_CONFIG, "localhost:8080", true },
	{ LOOPBACK_CONFIG, "LOCALHOST:8080", true },
	{ LOOPBACK_CONFIG, "[::1]:8080", true },
	{ LOOPBACK_CONFIG, "127.0.0.1", false },
	{ LOOPBACK_CONFIG, "127.0.0.1:1", false },
	{ LOOPBACK_CONFIG, "127.0.0.1:08080", false },
	{ LOOPBACK_CONFIG, "127.0.0.1:", false },
	{ LOOPBACK_CONFIG, "localhost.:8080", false },
	{ LOOPBACK_CONFIG, "evil.example:8080", false },
	{ LOOPBACK_CONFIG, "127.0.0.1.evil.example:8080", false },
	{ LOOPBACK_CONFIG, "localhost:8080@evil.example", false },
	{ LOOPBACK_CONFIG, "", false },
	{ LOOPBACK_CONFIG, ":8080", false },
	{ PUBLIC_CONFIG, "shell.example.org", true },
	{ PUBLIC_CONFIG, "shell.example.org:443", true },
	{ PUBLIC_CONFIG, "shell.example.org:80", false },
	{ PUBLIC_CONFIG, "localhost:8080", true }, /* a health check beside the proxy */
	{ PUBLIC_CONFIG, "xshell.example.org", false },
	{ LISTED_CONFIG, "[::1]:8080", true },
	{ LISTED_CONFIG, "a.example", false },
};

static const struct {
	struct origin_config config;
	const char *origin;
	bool allowed;
} origins[] = {
	{ LOOPBACK_CONFIG, "http://127.0.0.1:8080", true },
	{ LOOPBACK_CONFIG, "http://localhost:8080", true },
	{ LOOPBACK_CONFIG, "http://[::1]:8080", true },
	{ LOOPBACK_CONFIG, "https://127.0.0.1:8080", false },
	{ LOOPBACK_CONFIG, "http://127.0.0.1:1", false },
	{ LOOPBACK_CONFIG, "http://127.0.0.1", false },
	{ LOOPBACK_CONFIG, "null", false },
	{ LOOPBACK_CONFIG, "", false },
	{ LOOPBACK_CONFIG, "http://", false },
	{ LOOPBACK_CONFIG, "http://127.0.0.1:8080/", false },
	{ LOOPBACK_CONFIG, "http://127.0.0.1:8080 http://evil.example", false },
	{ LOOPBACK_CONFIG, "file://", false },
	{ LOOPBACK_CONFIG, "https://evil.example", false },
	{ PUBLIC_CONFIG, "https://shell.example.org", true },
	{ PUBLIC_CONFIG, "https://shell.example.org:443", true },
	{ PUBLIC_CONFIG, "http://shell.example.org", false },
	{ PUBLIC_CONFIG, "http://localhost:8080", false },
	{ LISTED_CONFIG, "https://a.example", true },
	{ LISTED_CONFIG, "https://b.example:8443", true },
	{ LISTED_CONFIG, "https://b.example", false },
	{ LISTED_CONFIG, "https://shell.example.org", false },
	{ FLEET_CONFIG, "https://a.fog.example.org", true },
	{ FLEET_CONFIG, "https://b.fog.example.org", true },
	{ FLEET_CONFIG, "https://b.fog.example.org:443", true },
	{ FLEET_CONFIG, "https://10.0.0.5:8443", true },
	{ FLEET_CONFIG, "https://[fd00::5]", true },
	{ FLEET_CONFIG, "http://b.fog.example.org", false },
	{ FLEET_CONFIG, "https://b.fog.example.org:8443", false },
	{ FLEET_CONFIG, "https://fog.example.org", false },
	{ FLEET_CONFIG, "https://b.fog.example.org/", false },
	{ FLEET_CONFIG, "https://b.fog.example.org?x", false },
	{ FLEET_CONFIG, "https://b.fog.example.org#x", false },
	{ FLEET_CONFIG, "https://b.fog.example.org https://evil.example", false },
	{ FLEET_CONFIG, "https://b.fog.example.org.evil.example", false },
	{ FLEET_CONFIG, "null", false },
};

static const struct {
	struct origin_config config;
	bool websocket;
	const char *host, *url; /* url NULL: refused by origins_init */
} urls[] = {
	{ LOOPBACK_CONFIG, true, "127.0.0.1:8080", "ws://127.0.0.1:8080" },
	{ LOOPBACK_CONFIG, true, "localhost:8080", "ws://localhost:8080" },
	{ LOOPBACK_CONFIG, true, "[::1]:8080", "ws://[::1]:8080" },
	{ LOOPBACK_CONFIG, false, "", "http://127.0.0.1:8080" },
	{ { "", "", "127.0.0.1:80", true, false, false, NULL }, true, "localhost",
	    "ws://localhost" },
	{ { "", "", "[::1]:443", true, true, false, NULL }, true, "", "wss://[::1]" },
	{ PUBLIC_CONFIG, true, "shell.example.org", "wss://shell.example.org" },
	{ PUBLIC_CONFIG, true, "localhost:8080", "wss://shell.example.org" },
	{ PUBLIC_CONFIG, false, "", "https://shell.example.org" },
	{ { "https://h.example:8443", "", "127.0.0.1:1", true, false, false, NULL }, true, "",
	    "wss://h.example:8443" },
	{ { "ftp://h.example", "", "127.0.0.1:1", true, false, false, NULL }, true, "", NULL },
	{ { "https://", "", "127.0.0.1:1", true, false, false, NULL }, true, "", NULL },
	{ { "https://h.example/path", "", "127.0.0.1:1", true, false, false, NULL }, true, "",
	    NULL },
	{ { "https://user@h.example", "", "127.0.0.1:1", true, false, false, NULL }, true, "",
	    NULL },
	{ { "https://h.example:99999999", "", "127.0.0.1:1", true, false, false, NULL }, true, "",
	    NULL },
	{ { "", "not an origin", "127.0.0.1:1", true, false, false, NULL }, true, "", NULL },
	/* off loopback: TLS, or a word that there is a proxy with TLS in front (S24) */
	{ { "https://h.example", "", "192.0.2.1:8080", false, false, false, NULL }, true, "",
	    NULL },
	{ { "", "", "192.0.2.1:8080", false, false, false, NULL }, true, "", NULL },
	{ { "https://h.example", "", "192.0.2.1:8080", false, false, true, NULL }, true, "",
	    "wss://h.example" },
	{ { "https://h.example", "", "192.0.2.1:8080", false, true, false, NULL }, true, "",
	    "wss://h.example" },
};

static void
init(struct origins *o, const struct origin_config *config)
{
	const char *why;

	assert_int_equal(origins_init(o, config, &why), 0);
}

static void
checks_hosts(void **state)
{
	struct origins o;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		init(&o, &hosts[i].config);
		if (origins_allow_host(&o, view_of(hosts[i].host)) != hosts[i].allowed)
			fail_msg("Host: %s", hosts[i].host);
	}
}

static void
checks_origins(void **state)
{
	struct origins o;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(origins); i++) {
		init(&o, &origins[i].config);
		if (origins_allow_origin(&o, view_of(origins[i].origin)) != origins[i].allowed)
			fail_msg("Origin: %s", origins[i].origin);
	}
}

static void
writes_urls(void **state)
{
	struct origins o;
	char url[ORIGIN_NAME_SIZE];
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(urls); i++) {
		int rc = origins_init(&o, &urls[i].config, &why);

		assert_int_equal(rc == 0, urls[i].url != NULL);
		assert_int_equal(rc != 0, why != NULL);
		if (rc != 0)
			continue;
		assert_int_equal(origins_base_url(&o, urls[i].websocket, view_of(urls[i].host), url,
				     sizeof(url)),
		    0);
		assert_string_equal(url, urls[i].url);
	}
	assert_true(origins_base_url(&o, true, view_of(""), url, 5) < 0);
}

static void
long_names_are_refused(void **state)
{
	char name[2 * ORIGIN_NAME_SIZE];
	struct origins o;

	(void)state;
	init(&o, &hosts[0].config);
	memset(name, 'a', sizeof(name));
	for (size_t len = 1; len <= sizeof(name); len++)
		assert_false(origins_allow_host(&o, view_bytes(name, len)));
}

static void
writes_connect_src(void **state)
{
	struct origins o;
	char csp[ORIGIN_CSP_SIZE];

	(void)state;
	init(&o, &hosts[0].config);
	origins_connect_src(&o, csp);
	assert_string_equal(csp, "'self' ws://127.0.0.1:8080 ws://localhost:8080");
	init(&o, &(struct origin_config)PUBLIC_CONFIG);
	origins_connect_src(&o, csp);
	assert_string_equal(csp, "'self' wss://shell.example.org:443");
	init(&o, &(struct origin_config)FLEET_CONFIG);
	origins_connect_src(&o, csp);
	assert_string_equal(csp,
	    "'self' wss://a.fog.example.org:443 https://*.fog.example.org wss://*.fog.example.org "
	    "https://10.0.0.5:8443 wss://10.0.0.5:8443");
}

/* The call of the API from another node's page: what is allowed for this node alone is not for that. */
static void
knows_the_pages_of_nodes(void **state)
{
	struct origins o;

	(void)state;
	init(&o, &(struct origin_config)FLEET_CONFIG);
	assert_true(origins_is_node(&o, view_of("https://b.fog.example.org")));
	assert_false(origins_is_node(&o, view_of("https://b.fog.example.org/x")));
	assert_false(origins_is_node(&o, view_bytes(NULL, 0)));
	assert_false(origins_is_node(&o, view_of("null")));
	init(&o, &(struct origin_config)LISTED_CONFIG);
	assert_true(origins_allow_origin(&o, view_of("https://a.example")));
	assert_false(origins_is_node(&o, view_of("https://a.example")));
}

/* The longest list that config.def lets pass fits, each entry twice. */
static void
writes_a_long_connect_src(void **state)
{
	struct origin_config config = PUBLIC_CONFIG;
	char list[1025] = "", csp[ORIGIN_CSP_SIZE], out[CSP_SIZE];
	struct csp policy = { .connect_src = csp };
	struct origins o;

	(void)state;
	for (size_t at = 0; at + 13 < sizeof(list); at += 12)
		memcpy(list + at, "https://a:1 ", 13);
	config.fleet_origins = list;
	init(&o, &config);
	origins_connect_src(&o, csp);
	assert_string_equal(csp + strlen(csp) - 22, " https://a:1 wss://a:1");
	assert_int_equal(csp_write(&policy, out), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_hosts),
		cmocka_unit_test(checks_origins),
		cmocka_unit_test(writes_urls),
		cmocka_unit_test(long_names_are_refused),
		cmocka_unit_test(writes_connect_src),
		cmocka_unit_test(knows_the_pages_of_nodes),
		cmocka_unit_test(writes_a_long_connect_src),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
