/* SPDX-License-Identifier: MIT */
/* The ranges of addresses that may and may not be connected to: see address.h. */
#include "fetcher/address.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"

#define NO_V4 0 /* no IPv6 range carries an IPv4 address at its first byte */

/* The first row that holds an address says what it is. */
static const struct {
	unsigned char prefix[4];
	unsigned bits;
	enum address_class class;
} v4_ranges[] = {
	{ { 0 }, 8, ADDRESS_NEVER },                   /* this network, RFC 791 */
	{ { 10 }, 8, ADDRESS_PRIVATE },                /* RFC 1918 */
	{ { 100, 100, 100, 200 }, 32, ADDRESS_NEVER }, /* metadata of a cloud, inside the next */
	{ { 100, 64 }, 10, ADDRESS_PRIVATE },          /* carrier-grade NAT, RFC 6598 */
	{ { 127 }, 8, ADDRESS_PRIVATE },               /* loopback */
	{ { 168, 63, 129, 16 }, 32, ADDRESS_NEVER },   /* the host's agent in a cloud */
	{ { 169, 254 }, 16, ADDRESS_NEVER },           /* link-local, metadata, RFC 3927 */
	{ { 172, 16 }, 12, ADDRESS_PRIVATE },          /* RFC 1918 */
	{ { 192, 0, 0 }, 24, ADDRESS_NEVER },          /* IETF protocols, RFC 6890 */
	{ { 192, 0, 2 }, 24, ADDRESS_NEVER },          /* documentation, RFC 5737 */
	{ { 192, 88, 99 }, 24, ADDRESS_NEVER },        /* 6to4 relays, RFC 7526 */
	{ { 192, 168 }, 16, ADDRESS_PRIVATE },         /* RFC 1918 */
	{ { 198, 18 }, 15, ADDRESS_NEVER },            /* benchmarks, RFC 2544 */
	{ { 198, 51, 100 }, 24, ADDRESS_NEVER },       /* documentation */
	{ { 203, 0, 113 }, 24, ADDRESS_NEVER },        /* documentation */
	{ { 224 }, 4, ADDRESS_NEVER },                 /* multicast, RFC 1112 */
	{ { 240 }, 4, ADDRESS_NEVER },                 /* reserved, and broadcast */
};

/* v4_at: where in the address an IPv4 address stands, which then decides. */
static const struct {
	unsigned char prefix[16];
	unsigned bits;
	enum address_class class;
	size_t v4_at;
} v6_ranges[] = {
	{ { [15] = 1 }, 128, ADDRESS_PRIVATE, NO_V4 },            /* loopback */
	{ { [10] = 0xff, 0xff }, 96, ADDRESS_NEVER, 12 },         /* mapped, RFC 4291 2.5.5.2 */
	{ { 0, 0x64, 0xff, 0x9b }, 96, ADDRESS_NEVER, 12 },       /* NAT64, RFC 6052 */
	{ { 0x20, 0x02 }, 16, ADDRESS_NEVER, 2 },                 /* 6to4, RFC 3056 */
	{ { 0x20, 0x01 }, 23, ADDRESS_NEVER, NO_V4 },             /* Teredo and others, RFC 2928 */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, ADDRESS_NEVER, NO_V4 }, /* documentation, RFC 3849 */
	{ { 0x3f, 0xff }, 20, ADDRESS_NEVER, NO_V4 },             /* documentation, RFC 9637 */
	{ { 0x20 }, 3, ADDRESS_GLOBAL, NO_V4 },                   /* RFC 4291 2.4 */
	{ { 0xfd, 0x00, 0x0e, 0xc2 }, 32, ADDRESS_NEVER, NO_V4 }, /* metadata of clouds, */
	{ { 0xfd, 0x20, 0x00, 0xce }, 32, ADDRESS_NEVER, NO_V4 }, /* inside the next */
	{ { 0xfc }, 7, ADDRESS_PRIVATE, NO_V4 },                  /* unique local, RFC 4193 */
};

static bool
has_prefix(const unsigned char *address, const unsigned char *prefix, unsigned bits)
{
	unsigned char mask = (unsigned char)(0xff00 >> (bits % 8));

	if (memcmp(address, prefix, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((address[bits / 8] ^ prefix[bits / 8]) & mask) == 0;
}

static enum address_class
classify_v4(const unsigned char *address)
{
	for (size_t i = 0; i < COUNT_OF(v4_ranges); i++) {
		if (has_prefix(address, v4_ranges[i].prefix, v4_ranges[i].bits))
			return v4_ranges[i].class;
	}
	return ADDRESS_GLOBAL;
}

/* Only 2000::/3 has been given out: all else is never. */
static enum address_class
classify_v6(const unsigned char *address)
{
	for (size_t i = 0; i < COUNT_OF(v6_ranges); i++) {
		if (!has_prefix(address, v6_ranges[i].prefix, v6_ranges[i].bits))
			continue;
		if (v6_ranges[i].v4_at != NO_V4)
			return classify_v4(address + v6_ranges[i].v4_at);
		return v6_ranges[i].class;
	}
	return ADDRESS_NEVER;
}

enum address_class
address_classify(const struct sockaddr *sa)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&v4, sa, sizeof(v4));
		return classify_v4((const unsigned char *)&v4.sin_addr);
	case AF_INET6:
		memcpy(&v6, sa, sizeof(v6));
		return classify_v6(v6.sin6_addr.s6_addr);
	default:
		return ADDRESS_NEVER;
	}
}

bool
address_is_allowed(const struct sockaddr *sa, bool may_be_private)
{
	enum address_class class = address_classify(sa);

	return class == ADDRESS_GLOBAL || (class == ADDRESS_PRIVATE && may_be_private);
}
