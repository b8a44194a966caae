/* SPDX-License-Identifier: MIT */
/* Messages of rtnetlink(7): see egress_rtnl.h. */
#include "common/egress_rtnl.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

static struct nlmsghdr *
request_add(struct egress_request *r, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(r->bytes + r->len);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	h->nlmsg_seq = ++r->count;
	return h;
}

static void
request_end(struct egress_request *r, const struct nlmsghdr *h)
{
	r->len += MNL_ALIGN(h->nlmsg_len);
}

static struct ifinfomsg *
put_interface(struct nlmsghdr *h, unsigned index)
{
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

	i->ifi_family = AF_UNSPEC;
	i->ifi_index = (int)index;
	return i;
}

struct egress_hardware
egress_hardware(uint32_t slot)
{
	return (struct egress_hardware){ { 0x02, 'f', 'o', 'g', slot >> 8 & 0xff, slot & 0xff } };
}

/*
 * Both ends have the same hardware address and no ARP: then the kernel takes its own for the
 * neighbour's, and nobody asks, answers or waits.
 */
void
egress_put_pair(struct egress_request *r, uint32_t slot, pid_t init)
{
	const struct egress_hardware mac = egress_hardware(slot);
	struct nlmsghdr *h = request_add(r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct nlattr *info, *data, *peer;
	char name[EGRESS_NAME_SIZE];

	egress_link_name(slot, name);
	put_interface(h, 0);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put(h, IFLA_ADDRESS, sizeof(mac.bytes), mac.bytes);
	mnl_attr_put_u32(h, IFLA_GROUP, EGRESS_GROUP);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	put_interface(h, 0);
	mnl_attr_put_strz(h, IFLA_IFNAME, EGRESS_SESSION_NAME);
	mnl_attr_put(h, IFLA_ADDRESS, sizeof(mac.bytes), mac.bytes);
	mnl_attr_put_u32(h, IFLA_NET_NS_PID, (uint32_t)init);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	request_end(r, h);
}

/* No address but ours: none made of the hardware address. */
void
egress_put_no_link_local(struct egress_request *r, unsigned index)
{
	struct nlmsghdr *h = request_add(r, RTM_SETLINK, 0);
	struct nlattr *families, *v6;

	put_interface(h, index);
	families = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	v6 = mnl_attr_nest_start(h, AF_INET6);
	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, v6);
	mnl_attr_nest_end(h, families);
	request_end(r, h);
}

void
egress_put_up(struct egress_request *r, unsigned index)
{
	struct nlmsghdr *h = request_add(r, RTM_SETLINK, 0);
	struct ifinfomsg *i = put_interface(h, index);

	i->ifi_flags = i->ifi_change = IFF_UP | IFF_NOARP;
	request_end(r, h);
}

void
egress_put_address(struct egress_request *r, unsigned index, unsigned family,
    struct egress_address address)
{
	struct nlmsghdr *h = request_add(r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(h, sizeof(*a));

	a->ifa_family = family == 4 ? AF_INET : AF_INET6;
	a->ifa_prefixlen = family == 4 ? EGRESS_LINK_PREFIX : EGRESS_LINK_PREFIX6;
	a->ifa_index = index;
	if (family == 6)
		a->ifa_flags = IFA_F_NODAD;
	mnl_attr_put(h, IFA_LOCAL, family == 4 ? 4 : 16, address.bytes);
	mnl_attr_put(h, IFA_ADDRESS, family == 4 ? 4 : 16, address.bytes);
	request_end(r, h);
}

void
egress_put_default_route(struct egress_request *r, unsigned index, unsigned family,
    struct egress_address gateway)
{
	struct nlmsghdr *h = request_add(r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->rtm_family = family == 4 ? AF_INET : AF_INET6;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_BOOT;
	m->rtm_scope = RT_SCOPE_UNIVERSE;
	m->rtm_type = RTN_UNICAST;
	mnl_attr_put(h, RTA_GATEWAY, family == 4 ? 4 : 16, gateway.bytes);
	mnl_attr_put_u32(h, RTA_OIF, index);
	request_end(r, h);
}

void
egress_put_removal(struct egress_request *r, uint32_t slot)
{
	struct nlmsghdr *h = request_add(r, RTM_DELLINK, 0);
	char name[EGRESS_NAME_SIZE];

	egress_link_name(slot, name);
	put_interface(h, 0);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	request_end(r, h);
}
