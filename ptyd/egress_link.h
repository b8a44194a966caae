/* SPDX-License-Identifier: MIT */
/* Interfaces and addresses of egress.h, by rtnetlink(7). Functions return 0 or -errno. */
#ifndef FOG_EGRESS_LINK_H
#define FOG_EGRESS_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/egress_nft.h"

/* The pair, with the peer as eth0 in init's namespace, and our side of it up. */
int link_make(const struct egress_net *net, uint32_t slot, pid_t init, bool has_v6);
int link_enter(const struct egress_net *net, uint32_t slot, bool has_v6);
int link_remove(uint32_t slot); /* -ENODEV: there is none */

#endif
