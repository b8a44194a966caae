/* SPDX-License-Identifier: MIT */
/*
 * Interfaces, addresses and routes of sessions with egress, as requests to rtnetlink(7): some messages
 * in one buffer, each of which the kernel answers. Pure.
 */
#ifndef FOG_EGRESS_RTNL_H
#define FOG_EGRESS_RTNL_H

#include <linux/netlink.h>
#include <sys/types.h>

#include "common/egress_nft.h"

#define EGRESS_SESSION_NAME "eth0"
#define EGRESS_REQUEST_BYTES 2048 /* five messages of less than 200 */

struct egress_request {
	_Alignas(struct nlmsghdr) char bytes[EGRESS_REQUEST_BYTES];
	size_t len;
	unsigned count; /* of messages, and of answers to come */
};

struct egress_hardware {
	unsigned char bytes[6];
};

/* Of both ends of the pair. */
struct egress_hardware egress_hardware(uint32_t slot);

/* fogN here, and eth0 in the network namespace of init. */
void egress_put_pair(struct egress_request *r, uint32_t slot, pid_t init);
/* No IPv6 address but those given. */
void egress_put_no_link_local(struct egress_request *r, unsigned index);
void egress_put_up(struct egress_request *r, unsigned index);
void egress_put_address(struct egress_request *r, unsigned index, unsigned family,
    struct egress_address address);
void egress_put_default_route(struct egress_request *r, unsigned index, unsigned family,
    struct egress_address gateway);
void egress_put_removal(struct egress_request *r, uint32_t slot);

#endif
