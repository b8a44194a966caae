/* SPDX-License-Identifier: MIT */
/*
 * Where the fetcher may go: addresses by range, hosts by how they are written, whose host it is.
 * links: fetcher/address.c fetcher/target.c authd/httpsurl.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "fetcher/address.h"
#include "fetcher/target.h"

static struct sockaddr_storage
address_of(const char *text)
{
	struct sockaddr_storage out = { 0 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		memcpy(&out, &v4, sizeof(v4));
	else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		memcpy(&out, &v6, sizeof(v6));
	else
		fail_msg("%s is no address", text);
	return out;
}

#define NEVER ADDRESS_NEVER
#define PRIVATE ADDRESS_PRIVATE
#define GLOBAL ADDRESS_GLOBAL

/* The edges of each range, and their neighbours outside. */
static const struct {
	const char *text;
	enum address_class class;
} addresses[] = {
	{ "0.0.0.0", NEVER },
	{ "0.255.255.255", NEVER },
	{ "1.0.0.0", GLOBAL },
	{ "9.255.255.255", GLOBAL },
	{ "10.0.0.0", PRIVATE },
	{ "10.255.255.255", PRIVATE },
	{ "11.0.0.0", GLOBAL },
	{ "100.63.255.255", GLOBAL },
	{ "100.64.0.0", PRIVATE },
	{ "100.100.100.200", NEVER },
	{ "100.127.255.255", PRIVATE },
	{ "100.128.0.0", GLOBAL },
	{ "126.255.255.255", GLOBAL },
	{ "127.0.0.1", PRIVATE },
	{ "127.255.255.255", PRIVATE },
	{ "128.0.0.0", GLOBAL },
	{ "168.63.129.15", GLOBAL },
	{ "168.63.129.16", NEVER },
	{ "169.253.255.255", GLOBAL },
	{ "169.254.0.0", NEVER },
	{ "169.254.169.254", NEVER },
	{ "169.254.255.255", NEVER },
	{ "169.255.0.0", GLOBAL },
	{ "172.15.255.255", GLOBAL },
	{ "172.16.0.0", PRIVATE },
	{ "172.31.255.255", PRIVATE },
	{ "172.32.0.0", GLOBAL },
	{ "192.0.0.192", NEVER },
	{ "192.0.1.0", GLOBAL },
	{ "192.0.2.1", NEVER },
	{ "192.88.99.1", NEVER },
	{ "192.167.255.255", GLOBAL },
	{ "192.168.0.0", PRIVATE },
	{ "192.168.255.255", PRIVATE },
	{ "192.169.0.0", GLOBAL },
	{ "198.17.255.255", GLOBAL },
	{ "198.18.0.0", NEVER },
	{ "198.19.255.255", NEVER },
	{ "198.20.0.0", GLOBAL },
	{ "198.51.100.7", NEVER },
	{ "203.0.113.7", NEVER },
	{ "223.255.255.255", GLOBAL },
	{ "224.0.0.1", NEVER },
	{ "239.255.255.255", NEVER },
	{ "240.0.0.1", NEVER },
	{ "255.255.255.255", NEVER },
	{ "::", NEVER },
	{ "::1", PRIVATE },
	{ "::2", NEVER },
	{ "::127.0.0.1", NEVER },
	{ "::ffff:127.0.0.1", PRIVATE },
	{ "::ffff:10.1.2.3", PRIVATE },
	{ "::ffff:169.254.169.254", NEVER },
	{ "::ffff:8.8.8.8", GLOBAL },
	{ "::fffe:8.8.8.8", NEVER },
	{ "64:ff9b::7f00:1", PRIVATE },
	{ "64:ff9b::a9fe:a9fe", NEVER },
	{ "64:ff9b::808:808", GLOBAL },
	{ "64:ff9b:1::808:808", NEVER },
	{ "100::1", NEVER },
	{ "2001::1", NEVER },
	{ "2001:2::1", NEVER },
	{ "2001:1ff:ffff::1", NEVER },
	{ "2001:200::1", GLOBAL },
	{ "2001:db7::1", GLOBAL },
	{ "2001:db8::1", NEVER },
	{ "2001:db9::1", GLOBAL },
	{ "2002:7f00:1::1", PRIVATE },
	{ "2002:c0a8:101::1", PRIVATE },
	{ "2002:a9fe:a9fe::1", NEVER },
	{ "2002:808:808::1", GLOBAL },
	{ "2003::1", GLOBAL },
	{ "2a00:1450:4001:80e::200e", GLOBAL },
	{ "3fff::1", NEVER },
	{ "3fff:fff:ffff::1", NEVER },
	{ "3fff:1000::1", GLOBAL },
	{ "4000::1", NEVER },
	{ "5f00::1", NEVER },
	{ "fbff::1", NEVER },
	{ "fc00::1", PRIVATE },
	{ "fd00:ec2::254", NEVER },
	{ "fd00:ec3::254", PRIVATE },
	{ "fd20:ce::254", NEVER },
	{ "fdff:ffff::1", PRIVATE },
	{ "fe00::1", NEVER },
	{ "fe80::1", NEVER },
	{ "febf::1", NEVER },
	{ "fec0::1", NEVER },
	{ "ff02::1", NEVER },
};

static void
test_ranges(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		struct sockaddr_storage a = address_of(addresses[i].text);
		const struct sockaddr *sa = (const void *)&a;
		enum address_class class = addresses[i].class;

		if (address_classify(sa) != class)
			fail_msg("%s: %d", addresses[i].text, address_classify(sa));
		assert_int_equal(address_is_allowed(sa, false), class == GLOBAL);
		assert_int_equal(address_is_allowed(sa, true), class != NEVER);
	}
}

static void
test_other_families(void **state)
{
	const struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/x" };
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	(void)state;
	assert_false(address_is_allowed((const void *)&un, true));
	assert_false(address_is_allowed(&none, true));
}

static void
test_targets(void **state)
{
	static const struct {
		const char *url;
		int rc;
		enum host_kind kind;
		bool may_be_private;
	} rows[] = {
		{ "https://id.example.org/keys", 0, HOST_NAME, true },
		{ "https://ID.Example.ORG:8443/keys?x=1", 0, HOST_NAME, true },
		{ "https://id.example.org.evil.net/keys", 0, HOST_NAME, false },
		{ "https://example.org/keys", 0, HOST_NAME, false },
		{ "https://localhost/keys", 0, HOST_NAME, false },
		{ "https://127.0.0.1/keys", 0, HOST_ADDRESS, false },
		{ "https://[::1]/keys", 0, HOST_ADDRESS, false },
		{ "https://[::ffff:127.0.0.1]:1/", 0, HOST_ADDRESS, false },
		{ "https://0x7f.example.org/", 0, HOST_NAME, false },
		{ "https://1e100.net/", 0, HOST_NAME, false },
		{ "https://127.1/keys", -1, HOST_NAME, false },
		{ "https://2130706433/keys", -1, HOST_NAME, false },
		{ "https://0x7f000001/keys", -1, HOST_NAME, false },
		{ "https://0x7F.0.0.1/keys", -1, HOST_NAME, false },
		{ "https://0x/keys", -1, HOST_NAME, false },
		{ "https://0177.0.0.1/keys", -1, HOST_NAME, false },
		{ "https://1.2.3.4.5/keys", -1, HOST_NAME, false },
		{ "https://example.1/keys", -1, HOST_NAME, false },
		{ "https://256.1.1.1/keys", -1, HOST_NAME, false },
		{ "http://id.example.org/keys", -1, HOST_NAME, false },
		{ "HTTPS://id.example.org/keys", -1, HOST_NAME, false },
		{ "file:///etc/passwd", -1, HOST_NAME, false },
		{ "https:///keys", -1, HOST_NAME, false },
		{ "https://a@id.example.org/keys", -1, HOST_NAME, false },
		{ "https://id.example.org\\@evil.net/", -1, HOST_NAME, false },
		{ "https://id.example.org/#x", -1, HOST_NAME, false },
		{ "https://id.example.org/a b", -1, HOST_NAME, false },
		{ "https://id.example.org/\r\nX: 1", -1, HOST_NAME, false },
		{ "https://id.example.org:0/", -1, HOST_NAME, false },
		{ "https://id.example.org:65536/", -1, HOST_NAME, false },
		{ "", -1, HOST_NAME, false },
	};
	struct https_url issuer;

	(void)state;
	assert_int_equal(issuer_parse("https://id.example.org/realms/a", &issuer), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct target t;

		if (target_parse(view_of(rows[i].url), &issuer, &t) != rows[i].rc)
			fail_msg("%s: not %d", rows[i].url, rows[i].rc);
		if (rows[i].rc != 0)
			continue;
		if (t.kind != rows[i].kind || t.may_be_private != rows[i].may_be_private)
			fail_msg("%s: kind %d, may be private %d", rows[i].url, t.kind,
			    t.may_be_private);
	}
}

/* The port that is asked for is the port of the address. */
static void
test_addresses_of_targets(void **state)
{
	const struct https_url none = { 0 };
	struct https_url issuer;
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;
	struct target t;

	(void)state;
	assert_int_equal(issuer_parse("https://id.example.org", &issuer), 0);
	assert_int_equal(target_parse(view_of("https://192.0.2.7:444/"), &none, &t), -1);
	assert_int_equal(target_parse(view_of("https://192.0.2.7:444/"), &issuer, &t), 0);
	memcpy(&v4, &t.address, sizeof(v4));
	assert_int_equal(v4.sin_addr.s_addr, htonl(0xc0000207));
	assert_int_equal(v4.sin_port, htons(444));
	assert_int_equal(target_parse(view_of("https://[2001:db8::7]/"), &issuer, &t), 0);
	memcpy(&v6, &t.address, sizeof(v6));
	assert_int_equal(v6.sin6_addr.s6_addr[15], 7);
	assert_int_equal(v6.sin6_port, htons(443));
	assert_false(t.may_be_private);
}

/* A node's may be private, whatever the host, and is one that FLEET_ORIGINS covers. */
static void
test_targets_of_nodes(void **state)
{
	static const char origins[] =
	    "https://*.fog.example.org https://10.0.0.5:8443 https://169.254.169.254";
	static const struct {
		const char *url;
		int rc;
		enum host_kind kind;
	} rows[] = {
		{ "https://a.fog.example.org/v1/node/status", 0, HOST_NAME },
		{ "https://A.fog.example.org:443/v1/sessions?x=1", 0, HOST_NAME },
		{ "https://10.0.0.5:8443/v1/sessions", 0, HOST_ADDRESS },
		{ "https://169.254.169.254/", 0, HOST_ADDRESS }, /* its address is judged later */
		{ "https://a.fog.example.org:8443/", -1, HOST_NAME },
		{ "https://fog.example.org/", -1, HOST_NAME },
		{ "https://a.fog.example.org@evil.net/", -1, HOST_NAME },
		{ "https://evil.net/.fog.example.org", -1, HOST_NAME },
		{ "https://a.fog.example.org/#x", -1, HOST_NAME },
		{ "https://a.fog.example.org/a b", -1, HOST_NAME },
		{ "https://a.fog.example.org/\r\nX: 1", -1, HOST_NAME },
		{ "http://a.fog.example.org/", -1, HOST_NAME },
		{ "https://id.example.org/", -1, HOST_NAME },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct target t;

		if (target_parse_node(view_of(rows[i].url), origins, &t) != rows[i].rc)
			fail_msg("%s: not %d", rows[i].url, rows[i].rc);
		if (rows[i].rc == 0 && (t.kind != rows[i].kind || !t.may_be_private))
			fail_msg("%s: kind %d", rows[i].url, t.kind);
		assert_int_equal(target_parse_node(view_of(rows[i].url), "", &t), -1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_other_families),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_addresses_of_targets),
		cmocka_unit_test(test_targets_of_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
