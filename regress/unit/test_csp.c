/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/csp.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/cleanup.h"
#include "gatewayd/csp.h"

static const struct {
	const char *url, *source; /* NULL: refused */
} sources[] = {
	{ "https://id.example.org", "https://id.example.org" },
	{ "https://id.example.org/", "https://id.example.org" },
	{ "https://ID.Example.org:8443/realms/A", "https://id.example.org:8443" },
	{ "https://127.0.0.1:8443/a?b#c", "https://127.0.0.1:8443" },
	{ "https://id.example.org?x", "https://id.example.org" },
	{ "http://id.example.org", NULL },
	{ "HTTPS://id.example.org", NULL },
	{ "https://", NULL },
	{ "https:///x", NULL },
	{ "https://:443", NULL },
	{ "https://id.example.org:", NULL },
	{ "https://id.example.org:44a", NULL },
	{ "https://[::1]:8443", NULL },
	{ "https://a@b", NULL },
	{ "https://a b", NULL },
	{ "https://a;script-src *", NULL },
	{ "https://a,b", NULL },
	{ "https://*.example.org", NULL },
	{ "https://a\r\nX: y", NULL },
	{ "", NULL },
};

static void
takes_the_origin_of_an_issuer(void **state)
{
	char out[CSP_SOURCE_SIZE], longest[512] = "https://";

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sources); i++) {
		int rc = csp_source_of(sources[i].url, out);

		if ((rc == 0) != (sources[i].source != NULL))
			fail_msg("%d for: %s", rc, sources[i].url);
		if (rc == 0)
			assert_string_equal(out, sources[i].source);
	}
	memset(longest + 8, 'a', CSP_SOURCE_SIZE - 8);
	assert_int_not_equal(csp_source_of(longest, out), 0);
	longest[CSP_SOURCE_SIZE - 1] = '\0';
	assert_int_equal(csp_source_of(longest, out), 0);
}

static void
writes_policies(void **state)
{
	struct csp csp = { .connect_src = "'self' ws://localhost:1" };
	char out[CSP_SIZE], long_src[CSP_SIZE];

	(void)state;
	assert_int_equal(csp_write(&csp, out), 0);
	assert_string_equal(out,
	    "default-src 'none'; script-src 'self'; style-src 'self'; "
	    "connect-src 'self' ws://localhost:1; img-src 'self'; font-src 'self'; "
	    "manifest-src 'none'; frame-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
	    "form-action 'none'");
	csp.issuer = "https://id.example.org";
	csp.frameable = true;
	assert_int_equal(csp_write(&csp, out), 0);
	assert_string_equal(out,
	    "default-src 'none'; script-src 'self'; style-src 'self'; "
	    "connect-src 'self' ws://localhost:1 https://id.example.org; img-src 'self'; "
	    "font-src 'self'; manifest-src 'none'; frame-src 'self' https://id.example.org; "
	    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'");
	memset(long_src, 'a', sizeof(long_src));
	long_src[sizeof(long_src) - 1] = '\0';
	csp.connect_src = long_src;
	assert_int_not_equal(csp_write(&csp, out), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_origin_of_an_issuer),
		cmocka_unit_test(writes_policies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
