/* SPDX-License-Identifier: MIT */
/* Sources: see source.h. */
#include "gatewayd/source.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_BYTES 8         /* of IPv6: one /64 is one source */
#define WIDE_BYTES 4           /* of IPv6 */
#define WIDE_MAPPED_BYTES 14   /* ::ffff:a.b */
#define MAPPED_PREFIX_BYTES 12 /* ::ffff: */

struct in6_addr
source_address(const struct sockaddr *sa)
{
	struct in6_addr a = { 0 };
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		a = in6.sin6_addr;
	} else if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		a.s6_addr[10] = a.s6_addr[11] = 0xff;
		memcpy(a.s6_addr + MAPPED_PREFIX_BYTES, &in.sin_addr, 4);
	}
	return a;
}

struct source_key
source_of_address(const struct in6_addr *a)
{
	struct source_key k = { 0 };

	memcpy(k.b, a->s6_addr, IN6_IS_ADDR_V4MAPPED(a) ? sizeof(k.b) : PREFIX_BYTES);
	return k;
}

struct source_key
source_of_sockaddr(const struct sockaddr *sa)
{
	struct in6_addr a = source_address(sa);

	return source_of_address(&a);
}

static struct in6_addr
address_of(const struct source_key *k)
{
	struct in6_addr a;

	memcpy(a.s6_addr, k->b, sizeof(a.s6_addr));
	return a;
}

struct source_key
source_wide(const struct source_key *k)
{
	struct in6_addr a = address_of(k);
	struct source_key wide = { 0 };

	memcpy(wide.b, k->b, IN6_IS_ADDR_V4MAPPED(&a) ? WIDE_MAPPED_BYTES : WIDE_BYTES);
	return wide;
}

bool
source_equal(const struct source_key *a, const struct source_key *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

const char *
source_format(const struct source_key *k, char out[static SOURCE_TEXT_SIZE])
{
	struct in6_addr a = address_of(k);
	char text[INET6_ADDRSTRLEN] = "-";

	if (IN6_IS_ADDR_V4MAPPED(&a)) {
		inet_ntop(AF_INET, a.s6_addr + MAPPED_PREFIX_BYTES, text, sizeof(text));
		snprintf(out, SOURCE_TEXT_SIZE, "%s", text);
	} else {
		inet_ntop(AF_INET6, &a, text, sizeof(text));
		snprintf(out, SOURCE_TEXT_SIZE, "%s/64", text);
	}
	return out;
}

/* --- SipHash-2-4 --- */

static uint64_t
rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void
sip_round(uint64_t v[static 4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

/* Up to eight bytes, the first one lowest. */
static uint64_t
sip_word(const unsigned char *p, size_t len)
{
	uint64_t word = 0;

	for (size_t i = 0; i < len; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

static void
sip_mix(uint64_t v[static 4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t
source_siphash(const struct source_hash_key *key, const void *bytes, size_t len)
{
	uint64_t v[4] = { key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du,
		key->k0 ^ 0x6c7967656e657261u, key->k1 ^ 0x7465646279746573u };
	const unsigned char *p = bytes;
	size_t at = 0;

	for (; len - at >= 8; at += 8)
		sip_mix(v, sip_word(p + at, 8));
	sip_mix(v, sip_word(p + at, len - at) | (uint64_t)len << 56);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
source_hash(const struct source_hash_key *key, const struct source_key *k)
{
	return source_siphash(key, k->b, sizeof(k->b));
}
