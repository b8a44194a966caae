/* SPDX-License-Identifier: MIT */
/*
 * The network of a session that may reach something (S30): a veth pair, and rules in the host's
 * nftables that nothing inside can touch. Sessions without egress need none of this: they have
 * a network namespace with loopback alone.
 *
 *   spawner   egress_host_prepare  the table inet cloudshell_fog, with nobody in it
 *   maker     egress_link          the session's chains, then the pair (fogN here, eth0 there)
 *   init      egress_enter         addresses and routes of eth0, while it may
 *   spawner   egress_unlink        all of it gone
 *
 * What comes from our interfaces (known by their device group, whatever their name) is dropped but
 * for what the chain of the session accepts, also where the host itself is meant; what goes to
 * them, but for answers of connections that this session has opened. A table that is
 * half there, or a chain that is missing, therefore denies.
 *
 * Functions return 0 or -errno unless said otherwise. They wait for the kernel, allocate, and (in
 * libnftables) end the process when memory is out. They log nothing and keep no descriptor.
 */
#ifndef FOG_EGRESS_HOST_H
#define FOG_EGRESS_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/egress_nft.h"

/*
 * Makes the table, or in one step renews what of it belongs to no session: living ones keep theirs
 * and their connections. Also mends it after somebody has flushed the ruleset: call it now and then.
 * -EPROTONOSUPPORT: the kernel has no nf_tables, or not the expressions needed.
 */
int egress_host_prepare(const struct egress_net *net);

/*
 * For the child `init`, not reaped yet, in a network namespace of its own. What an earlier session
 * left in the slot goes first. On failure nothing is left. rules: such as egress_check takes.
 * -ENONET: this host forwards no packets (sysctl net.ipv4.ip_forward, or
 * net.ipv6.conf.all.forwarding when there are rules for IPv6); -EPROTONOSUPPORT: as above;
 * -EEXIST: somebody else's interface has the name.
 */
int egress_link(const struct egress_net *net, uint32_t slot, pid_t init,
    const struct egress_rule *rules, unsigned count);

/* Needs CAP_NET_ADMIN in its namespace, after egress_link with the same rules. IPv6 is there only
 * when one of them is for IPv6, so that nobody waits for what never answers. */
int egress_enter(const struct egress_net *net, uint32_t slot, const struct egress_rule *rules,
    unsigned count);

/* 0 also if there is nothing. Waits 10 to 50 ms for the kernel to let go of chains: in an event loop
 * it belongs into a child. */
int egress_unlink(const struct egress_net *net, uint32_t slot);

/* egress_unlink for all slots that `keep` does not name; keep NULL: for all. */
int egress_sweep(const struct egress_net *net, bool (*keep)(void *ctx, uint32_t slot), void *ctx);

#endif
