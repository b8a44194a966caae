/* SPDX-License-Identifier: MIT */
/* Tests of authd/htu.c. links: authd/htu.c authd/httpsurl.c */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/htu.h"
#include "common/cleanup.h"

/* A copy of its own, so that the sanitizer sees each byte read behind it. */
static int
parse(const char *text, size_t len, struct htu *out)
{
	char *copy = malloc(len + 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, text, len);
	rc = htu_parse(view_bytes(copy, len), out);
	free(copy);
	return rc;
}

static void
test_normal_forms(void **state)
{
	static const struct {
		const char *text;
		bool is_https;
		const char *host;
		uint16_t port;
		const char *path;
	} rows[] = {
		{ "http://a", false, "a", 80, "/" },
		{ "https://a/", true, "a", 443, "/" },
		{ "hTTpS://EXAMPLE.org/v1", true, "example.org", 443, "/v1" },
		{ "https://a:/v1", true, "a", 443, "/v1" },
		{ "https://a:443/v1", true, "a", 443, "/v1" },
		{ "https://a:00443/v1", true, "a", 443, "/v1" },
		{ "http://a:443/v1", false, "a", 443, "/v1" },
		{ "http://[::1]:8080/v1", false, "[::1]", 8080, "/v1" },
		{ "http://[2001:DB8::A]", false, "[2001:db8::a]", 80, "/" },
		{ "http://a?x=/../y", false, "a", 80, "/" },
		{ "http://a/b?x#y", false, "a", 80, "/b" },
		{ "http://a/b#?", false, "a", 80, "/b" },
		{ "http://a/b?\x01 \"", false, "a", 80, "/b" },
		{ "http://%61.%4fRG/", false, "a.org", 80, "/" },
		/* RFC 3986 6.2.2.1 and 6.2.2.2 */
		{ "http://a/%7euser/%7E/%2f%2F%c3%A9", false, "a", 80, "/~user/~/%2F%2F%C3%A9" },
		{ "http://a/%76%31/s%65ssions", false, "a", 80, "/v1/sessions" },
		{ "http://a/%00", false, "a", 80, "/%00" },
		{ "http://a/%3fb%23", false, "a", 80, "/%3Fb%23" },
		{ "http://a/%2541", false, "a", 80, "/%2541" },
		{ "http://a/A", false, "a", 80, "/A" },
		/* RFC 3986 5.2.4 and 5.4 */
		{ "http://a/b/c/./../../g", false, "a", 80, "/g" },
		{ "http://a/b/c/d;p/../../g", false, "a", 80, "/b/g" },
		{ "http://a/b/c/.", false, "a", 80, "/b/c/" },
		{ "http://a/b/c/..", false, "a", 80, "/b/" },
		{ "http://a/b/c/../", false, "a", 80, "/b/" },
		{ "http://a/../../../g", false, "a", 80, "/g" },
		{ "http://a/..", false, "a", 80, "/" },
		{ "http://a/.", false, "a", 80, "/" },
		{ "http://a/b//..", false, "a", 80, "/b/" },
		{ "http://a//b", false, "a", 80, "//b" },
		{ "http://a/b/", false, "a", 80, "/b/" },
		{ "http://a/b/%2e%2E/g", false, "a", 80, "/g" },
		{ "http://a/b/...", false, "a", 80, "/b/..." },
		{ "http://a/.b/..c/g.", false, "a", 80, "/.b/..c/g." },
	};
	struct htu htu;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (parse(rows[i].text, strlen(rows[i].text), &htu) != 0)
			fail_msg("refused: %s", rows[i].text);
		if (strcmp(htu.path, rows[i].path) != 0 || strcmp(htu.host, rows[i].host) != 0)
			fail_msg("%s: %s %s", rows[i].text, htu.host, htu.path);
		assert_int_equal(htu.is_https, rows[i].is_https);
		assert_int_equal(htu.port, rows[i].port);
	}
}

static void
test_others_are_refused(void **state)
{
	static const char *const rows[] = { "", "a", "/v1", "//a/v1", "http", "http:", "http:/a",
		"http://", "http:///v1", "http://?a", "http://:80/", "ftp://a/", "ws://a/", "://a/",
		"xhttp://a/", "http ://a/", " http://a/", "http://a /", "http://a/ ", "http://u@a/",
		"http://u:p@a/", "http://a@/", "http://a\\b/", "http://a/\x7f", "http://a/\x01",
		"http://a/\xc3\xa9", "http://\xc3\xa9/", "http://a/<", "http://a/\"", "http://a/{",
		"http://a/|", "http://a/^", "http://a/`", "http://a/%", "http://a/%4",
		"http://a/%4g", "http://a/%-1", "http://%2f/", "http://a%00/", "http://a:65536/",
		"http://a:99999999/", "http://a:-1/", "http://a:+1/", "http://a:8x/",
		"http://a:80:80/", "http://[::1/", "http://::1/", "http://[]/", "http://[::1]x/",
		"http://[::1]80/", "http://[::1%25lo]/", "http://[v1.a]/", "http://a,b/",
		"http://a;b/", "http://a!/", "http://a[1]/" };
	struct htu htu, untouched;

	(void)state;
	memset(&htu, 0x5a, sizeof(htu));
	untouched = htu;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (parse(rows[i], strlen(rows[i]), &htu) != -1)
			fail_msg("taken: %s", rows[i]);
		assert_memory_equal(&htu, &untouched, sizeof(htu));
	}
	assert_int_equal(parse("http://a/\0b", 11, &htu), -1);
}

static void
test_bounds(void **state)
{
	char text[HTU_MAX_BYTES + 2];
	struct htu htu;

	(void)state;
	snprintf(text, sizeof(text), "http://a/%0*d", HTU_MAX_BYTES + 1 - 9, 7);
	assert_int_equal(parse(text, HTU_MAX_BYTES, &htu), 0);
	assert_int_equal(strlen(htu.path), HTU_MAX_BYTES - 8);
	assert_int_equal(parse(text, HTU_MAX_BYTES + 1, &htu), -1);
	snprintf(text, sizeof(text), "http://%0*d", HTU_HOST_MAX_BYTES + 1, 7);
	assert_int_equal(parse(text, 7 + HTU_HOST_MAX_BYTES, &htu), 0);
	assert_int_equal(parse(text, 7 + HTU_HOST_MAX_BYTES + 1, &htu), -1);
}

static void
test_origins(void **state)
{
	static const struct {
		const char *a, *b;
		bool is_same;
	} rows[] = {
		{ "https://Shell.example.org", "https://shell.example.org:443/x", true },
		{ "https://shell.example.org", "http://shell.example.org:443/", false },
		{ "https://shell.example.org", "https://shell.example.org:444/", false },
		{ "https://shell.example.org", "https://shell.example.org./", false },
		{ "https://shell.example.org", "https://xshell.example.org/", false },
		{ "https://shell.example.org", "https://shell.example.org.evil.example/", false },
	};
	struct htu a, b;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(parse(rows[i].a, strlen(rows[i].a), &a), 0);
		assert_int_equal(parse(rows[i].b, strlen(rows[i].b), &b), 0);
		assert_int_equal(htu_same_origin(&a, &b), rows[i].is_same);
		assert_int_equal(htu_same_origin(&b, &a), rows[i].is_same);
	}
}

static void
test_loopback(void **state)
{
	static const struct {
		const char *text;
		bool is_loopback;
	} rows[] = {
		{ "http://localhost", true },
		{ "https://LOCALHOST:8443/", true },
		{ "http://127.0.0.1:1", true },
		{ "http://[::1]:8080", true },
		{ "http://127.0.0.2", false },
		{ "http://localhost.", false },
		{ "http://localhost.example.org", false },
		{ "http://127.0.0.1.example.org", false },
		{ "http://[::]", false },
		{ "http://[::ffff:127.0.0.1]", false },
		{ "http://2130706433", false },
	};
	struct htu htu;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(parse(rows[i].text, strlen(rows[i].text), &htu), 0);
		if (htu_is_loopback(&htu) != rows[i].is_loopback)
			fail_msg("%s", rows[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normal_forms),
		cmocka_unit_test(test_others_are_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_origins),
		cmocka_unit_test(test_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
