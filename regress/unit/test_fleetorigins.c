/* SPDX-License-Identifier: MIT */
/* Which URLs a list of origins covers, and which lists are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fleetorigins.h"

#define FLEET \
	"https://*.fog.example.org https://cloud.example.net:8443 " \
	"https://10.0.0.5:8443  https://[fd00::5] https://*.h.example.org:444"

static const struct {
	const char *url;
	bool covered;
} urls[] = {
	{ "https://a.fog.example.org", true },
	{ "https://a.fog.example.org:443", true },
	{ "https://a.b-2.fog.example.org", true },
	{ "https://A.FOG.example.ORG", true },
	{ "https://a.fog.example.org/", true },
	{ "https://a.fog.example.org/v1/sessions?x=@evil.net", true },
	{ "https://a.fog.example.org?x", true },
	{ "https://a.fog.example.org#x", true },
	{ "https://cloud.example.net:8443/x", true },
	{ "https://10.0.0.5:8443", true },
	{ "https://[fd00::5]", true },
	{ "https://[FD00:0:0::5]:443", true },
	{ "https://n.h.example.org:444", true },
	/* not the suffix itself, nor what only ends like it */
	{ "https://fog.example.org", false },
	{ "https://.fog.example.org", false },
	{ "https://afog.example.org", false },
	{ "https://a.fog.example.org.evil.net", false },
	{ "https://a..fog.example.org", false },
	{ "https://-.fog.example.org", false },
	{ "https://a-.fog.example.org", false },
	{ "https://*.fog.example.org", false },
	{ "https://a.fog.example.org.", false },
	/* the port */
	{ "https://a.fog.example.org:8443", false },
	{ "https://cloud.example.net", false },
	{ "https://cloud.example.net:443", false },
	{ "https://n.h.example.org", false },
	{ "https://10.0.0.5", false },
	{ "https://a.fog.example.org:", false },
	{ "https://a.fog.example.org:0443", false },
	{ "https://a.fog.example.org:+443", false },
	{ "https://a.fog.example.org:443x", false },
	{ "https://a.fog.example.org:65979", false }, /* 443 + 65536 */
	/* another scheme, another writer's idea of where the host is */
	{ "http://a.fog.example.org", false },
	{ "HTTPS://a.fog.example.org", false },
	{ "wss://a.fog.example.org", false },
	{ "https:/a.fog.example.org", false },
	{ "https:///a.fog.example.org", false },
	{ "https://evil.net\\.fog.example.org", false },
	{ "https://evil.net\\a.fog.example.org", false },
	{ "https://a.fog.example.org@evil.net", false },
	{ "https://user@a.fog.example.org", false },
	{ "https://evil.net/a.fog.example.org", false },
	{ "https://evil.net?.fog.example.org", false },
	{ "https://evil.net#.fog.example.org", false },
	{ "https://evil.net:443.fog.example.org", false },
	{ "https://a.fog.example.org \r\nx: y", false },
	{ " https://a.fog.example.org", false },
	{ "https://a\xc3\xa9.fog.example.org", false },
	{ "https://a%2efog.example.org", false },
	{ "https://a_b.fog.example.org", false },
	/* addresses in other clothes */
	{ "https://10.5:8443", false },
	{ "https://167772165:8443", false },
	{ "https://0xa.0.0.5:8443", false },
	{ "https://012.0.0.5:8443", false },
	{ "https://[::ffff:10.0.0.5]:8443", false },
	{ "https://[fd00::6]", false },
	{ "https://[fd00::5%25eth0]", false },
	{ "https://[fd00::5", false },
	{ "https://fd00::5", false },
	{ "https://[fd00::5]x", false },
	{ "https://", false },
	{ "", false },
};

static void
test_cover(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(urls); i++) {
		if (fleetorigins_cover(FLEET, view_of(urls[i].url)) != urls[i].covered)
			fail_msg("%s: not %d", urls[i].url, urls[i].covered);
		assert_false(fleetorigins_cover("", view_of(urls[i].url)));
		assert_false(fleetorigins_cover("  ", view_of(urls[i].url)));
	}
	assert_false(fleetorigins_cover(FLEET, view_bytes("https://a\0.fog.example.org", 26)));
	/* The view ends it, not a NUL. */
	assert_true(fleetorigins_cover(FLEET, view_bytes("https://a.fog.example.orgevil", 25)));
	assert_false(fleetorigins_cover(FLEET, view_bytes("https://a.fog.example.orgevil", 26)));
}

/* A bad entry covers nothing, and those beside it go on. */
static void
test_cover_beside_a_bad_entry(void **state)
{
	const char *list = "https://*.org http://b.example.org https://a.example.org";

	(void)state;
	assert_true(fleetorigins_cover(list, view_of("https://a.example.org")));
	assert_false(fleetorigins_cover(list, view_of("https://b.example.org")));
}

static void
test_long_names(void **state)
{
	char list[600], url[600], label[65];

	(void)state;
	memset(label, 'a', 64);
	label[64] = '\0';
	snprintf(url, sizeof(url), "https://%.63s.example.org", label);
	assert_true(fleetorigins_cover("https://*.example.org", view_of(url)));
	snprintf(url, sizeof(url), "https://%s.example.org", label);
	assert_false(fleetorigins_cover("https://*.example.org", view_of(url)));
	/* 253 bytes in all, and one more. */
	snprintf(url, sizeof(url), "https://%.63s.%.63s.%.63s.%.49s.example.org", label, label,
	    label, label);
	assert_int_equal(strlen(url), 8 + 253);
	assert_true(fleetorigins_cover("https://*.example.org", view_of(url)));
	snprintf(list, sizeof(list), "%sg", url);
	assert_false(fleetorigins_cover("https://*.example.orgg", view_of(list)));
}

static const struct {
	const char *list;
	const char *why; /* a part of it; NULL: it is fine */
} lists[] = {
	{ "", NULL },
	{ "   ", NULL },
	{ FLEET, NULL },
	{ "https://fog", NULL }, /* a name of the operator's own network */
	{ "https://a.example.org:1 https://a.example.org:65535", NULL },
	{ "https://*.example.org", NULL },
	{ "https://*.org", "with a dot" },
	{ "https://*.10.0.0.5", "with a dot" },
	{ "https://*.[fd00::5]", "with a dot" },
	{ "https://*", "is not" },
	{ "https://*.", "is not" },
	{ "https://**.example.org", "is not" },
	{ "https://a.*.example.org", "is not" },
	{ "https://a*.example.org", "is not" },
	{ "https://*.*.example.org", "is not" },
	{ "https://*.a.example.org:*", "is not" },
	{ "https://Fog.example.org", "lower case" },
	{ "https://[FD00::5]", "lower case" },
	{ "https://a.example.org/", "path" },
	{ "https://a.example.org?x", "path" },
	{ "http://a.example.org", "https://" },
	{ "a.example.org", "https://" },
	{ "https://", "https://" },
	{ "https://a.example.org.", "is not" },
	{ "https://u@a.example.org", "is not" },
	{ "https://a.example.org:0", "is not" },
	{ "https://a.example.org:65536", "is not" },
	{ "https://10.1", "is not" },
	{ "https://a.example.org,https://b.example.org", "path" },
	{ "https://a.example.org\thttps://b.example.org", "path" },
	{ "https://a.example.org http://b.example.org", "https://" },
};

static void
test_check(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		const char *why = "untouched";
		int rc = fleetorigins_check(lists[i].list, &why);

		if (rc != (lists[i].why ? -1 : 0))
			fail_msg("%s: %d", lists[i].list, rc);
		if (lists[i].why && !strstr(why, lists[i].why))
			fail_msg("%s: %s", lists[i].list, why);
	}
}

static void
test_next(void **state)
{
	static const struct {
		const char *host;
		unsigned port;
		bool is_ipv6;
	} wanted[] = { { "*.fog.example.org", 443, false }, { "cloud.example.net", 8443, false },
		{ "10.0.0.5", 8443, false }, { "[fd00::5]", 443, true },
		{ "*.h.example.org", 444, false } };
	struct fleetorigin o;
	const char *at = FLEET;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		assert_true(fleetorigins_next(&at, &o));
		assert_true(view_is(o.host, wanted[i].host));
		assert_int_equal(o.port, wanted[i].port);
		assert_int_equal(o.is_ipv6, wanted[i].is_ipv6);
	}
	assert_false(fleetorigins_next(&at, &o));
	assert_false(fleetorigins_next(&at, &o));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cover),
		cmocka_unit_test(test_cover_beside_a_bad_entry),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
