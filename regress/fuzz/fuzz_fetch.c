/* SPDX-License-Identifier: MIT */
/*
 * What the fetcher makes of a URL: a host is a name, or the address that libc and libcurl read too; and
 * one that FLEET_ORIGINS covers is where the whole of it says.
 * links: fetcher/target.c fetcher/address.c authd/httpsurl.c
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fleetorigins.h"
#include "fetcher/address.h"
#include "fetcher/target.h"

#define SUFFIX ".fog.example.org"

/* As the second reader of the same bytes, https_url_parse, has it. */
static void
check_node(struct view url)
{
	static const char origins[] = "https://*" SUFFIX " https://10.0.0.5:8443 https://[fd00::5]";
	struct target t;
	size_t len;

	if (target_parse_node(url, origins, &t) != 0)
		return;
	len = strlen(t.url.host);
	if (t.kind == HOST_NAME &&
	    (len <= strlen(SUFFIX) || t.url.port != 443 ||
		strcmp(t.url.host + len - strlen(SUFFIX), SUFFIX) != 0))
		abort();
	if (t.kind == HOST_ADDRESS && t.address.ss_family == AF_INET &&
	    (strcmp(t.url.host, "10.0.0.5") != 0 || t.url.port != 8443))
		abort();
}

/* The input as a list: what is taken for one covers each of its entries that has no wildcard. */
static void
check_list(const uint8_t *data, size_t size)
{
	char list[1025], url[1100];
	const char *at = list, *why = NULL;
	struct fleetorigin f;

	if (view_copy(view_bytes(data, size), list, sizeof(list)) != 0)
		return;
	if (fleetorigins_check(list, &why) != 0) {
		if (!why)
			abort();
		return;
	}
	while (fleetorigins_next(&at, &f)) {
		bool is_wildcard = f.host.p[0] == '*';
		int len = snprintf(url, sizeof(url), "https://%s%.*s:%u/x", is_wildcard ? "a" : "",
		    (int)f.host.len - is_wildcard, f.host.p + is_wildcard, f.port);

		/* With one label more a name may be too long. */
		if (f.host.len < 253 && !fleetorigins_cover(list, view_bytes(url, (size_t)len)))
			abort();
	}
	if (at[strspn(at, " ")] != '\0')
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct https_url issuer;
	struct in_addr loose;
	struct target t;

	if (!*issuer.text && issuer_parse("https://id.example.org", &issuer) != 0)
		abort();
	check_node(view_bytes(data, size));
	check_list(data, size);
	if (target_parse(view_bytes(data, size), &issuer, &t) != 0)
		return 0;
	/* inet_aton(3) reads what browsers and libcurl read: it must not find an address in a name. */
	if (t.kind == HOST_NAME && inet_aton(t.url.host, &loose))
		abort();
	if (t.kind == HOST_ADDRESS && t.address.ss_family != AF_INET &&
	    t.address.ss_family != AF_INET6)
		abort();
	if (t.kind == HOST_ADDRESS)
		address_is_allowed((const struct sockaddr *)&t.address, t.may_be_private);
	if (t.may_be_private && strcmp(t.url.host, "id.example.org") != 0)
		abort();
	return 0;
}
