/* SPDX-License-Identifier: MIT */
/*
 * Which addresses may be connected to (S20). A provider's metadata names hosts, and names resolve
 * to what their owner likes: neither may lead into the operator's own network.
 */
#ifndef FETCHER_ADDRESS_H
#define FETCHER_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/*
 * ADDRESS_PRIVATE: loopback, RFC 1918, RFC 4193, RFC 6598. ADDRESS_NEVER: link-local (where clouds
 * keep their metadata), multicast, unspecified, documentation, benchmarks, reserved, and every
 * family but the two of the Internet. An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is
 * what the IPv4 address is.
 */
enum address_class { ADDRESS_NEVER, ADDRESS_PRIVATE, ADDRESS_GLOBAL };

/* By the IANA special-purpose registries (RFC 6890); what is in none of them is global. */
enum address_class address_classify(const struct sockaddr *sa);

/* may_be_private: the operator has named this very host. */
bool address_is_allowed(const struct sockaddr *sa, bool may_be_private);

#endif
