/* SPDX-License-Identifier: MIT */
/*
 * Where a request comes from, as limits, penalties, connection counts and logs see it: an IPv4
 * address, or the /64 of an IPv6 address, since whoever has one address of it has all of them.
 */
#ifndef GATEWAYD_SOURCE_H
#define GATEWAYD_SOURCE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define SOURCE_TEXT_SIZE 64 /* "192.0.2.1", "2001:db8::/64" */

/* An address in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2); all zero: unknown. */
struct source_key {
	unsigned char b[16];
};

/* Another family than IPv4 and IPv6 is the unknown source. */
struct source_key source_of_sockaddr(const struct sockaddr *sa);
struct source_key source_of_address(const struct in6_addr *a);
/* The address alone, uncut: what lists of addresses are compared with. */
struct in6_addr source_address(const struct sockaddr *sa);

/* A wider prefix that it belongs to: /16 of IPv4, /32 of IPv6. */
struct source_key source_wide(const struct source_key *k);

bool source_equal(const struct source_key *a, const struct source_key *b);
const char *source_format(const struct source_key *k, char out[static SOURCE_TEXT_SIZE]);

/* SipHash-2-4 (Aumasson, Bernstein 2012): nobody who lacks the key can choose what collides. */
struct source_hash_key {
	uint64_t k0, k1;
};
uint64_t source_siphash(const struct source_hash_key *key, const void *bytes, size_t len);
uint64_t source_hash(const struct source_hash_key *key, const struct source_key *k);

#endif
