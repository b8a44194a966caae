/* SPDX-License-Identifier: MIT */
/*
 * How much of what sessions sent was denied: named counters of nf_tables, asked of the kernel one at a time.
 * Not by libnftables, which would list the whole table first while an event loop waits.
 */
#ifndef FOG_EGRESS_DENIED_H
#define FOG_EGRESS_DENIED_H

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#define EGRESS_DENIED_QUERY_BYTES 256

struct egress_denied_query {
	_Alignas(struct nlmsghdr) char bytes[EGRESS_DENIED_QUERY_BYTES];
	size_t len;
};

/*
 * Packets denied to the session in that slot since it is there; slot SESSION_RANGES: to all sessions since
 * there is a table. Needs CAP_NET_ADMIN, and waits for nobody but the kernel. 0 or -errno; -ENOENT: the
 * slot has no network, or there is no table.
 */
int egress_denied(uint32_t slot, uint64_t *packets);

/* The pure halves of it: the question, and the packets in the answer, which is one message. -EBADMSG: it is none,
 * and else the -errno that the kernel has put in it. */
struct egress_denied_query egress_denied_ask(uint32_t slot);
int egress_denied_read(const void *answer, size_t len, uint64_t *packets);

#endif
