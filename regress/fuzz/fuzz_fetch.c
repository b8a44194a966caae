/* SPDX-License-Identifier: MIT */
/*
 * What the fetcher makes of a URL: a host is a name, or the address that libc and libcurl read too.
 * links: fetcher/target.c fetcher/address.c authd/httpsurl.c
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fetcher/address.h"
#include "fetcher/target.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct https_url issuer;
	struct in_addr loose;
	struct target t;

	if (!*issuer.text && issuer_parse("https://id.example.org", &issuer) != 0)
		abort();
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
