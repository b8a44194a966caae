/* SPDX-License-Identifier: MIT */
/* Counters of what was denied: see egress_denied.h. */
#include "common/egress_denied.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/egress_nft.h"
#include "common/session.h"

#define TYPE_OF(message) (NFNL_SUBSYS_NFTABLES << 8 | (message))

/* Without NLM_F_ACK: the answer itself is awaited, and nothing after it. */
struct egress_denied_query
egress_denied_ask(uint32_t slot)
{
	struct egress_denied_query q = { .len = 0 };
	struct nlmsghdr *h = mnl_nlmsg_put_header(q.bytes);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	char name[EGRESS_NAME_SIZE] = EGRESS_DENIED_COUNTER;

	h->nlmsg_type = TYPE_OF(NFT_MSG_GETOBJ);
	h->nlmsg_flags = NLM_F_REQUEST;
	g->nfgen_family = NFPROTO_INET;
	if (slot < SESSION_RANGES)
		snprintf(name, sizeof(name), "s%u_deny", slot);
	mnl_attr_put_strz(h, NFTA_OBJ_TABLE, EGRESS_TABLE_NAME);
	mnl_attr_put_strz(h, NFTA_OBJ_NAME, name);
	mnl_attr_put_u32(h, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	q.len = h->nlmsg_len;
	return q;
}

static int
read_error(const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
	bool is_whole = mnl_nlmsg_get_payload_len(h) >= sizeof(e->error);

	return is_whole && e->error < 0 ? e->error : -EBADMSG;
}

static int
find_packets(const struct nlattr *attr, void *packets)
{
	const struct nlattr *in;

	if (mnl_attr_get_type(attr) != NFTA_OBJ_DATA)
		return MNL_CB_OK;
	mnl_attr_for_each_nested(in, attr)
	{
		if (mnl_attr_get_type(in) != NFTA_COUNTER_PACKETS ||
		    mnl_attr_validate(in, MNL_TYPE_U64) < 0)
			continue;
		*(uint64_t *)packets = be64toh(mnl_attr_get_u64(in));
		return MNL_CB_STOP;
	}
	return MNL_CB_OK;
}

int
egress_denied_read(const void *answer, size_t len, uint64_t *packets)
{
	const struct nlmsghdr *h = answer;

	if (len > INT_MAX || !mnl_nlmsg_ok(h, (int)len))
		return -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR)
		return read_error(h);
	if (h->nlmsg_type != TYPE_OF(NFT_MSG_NEWOBJ) ||
	    mnl_nlmsg_get_payload_len(h) < sizeof(struct nfgenmsg))
		return -EBADMSG;
	return mnl_attr_parse(h, sizeof(struct nfgenmsg), find_packets, packets) == MNL_CB_STOP
	    ? 0
	    : -EBADMSG;
}

int
egress_denied(uint32_t slot, uint64_t *packets)
{
	_Alignas(struct nlmsghdr) char answer[1024];
	struct egress_denied_query q = egress_denied_ask(slot);
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	ssize_t n = -1;
	int rc;

	if (nl && mnl_socket_sendto(nl, q.bytes, q.len) >= 0)
		n = mnl_socket_recvfrom(nl, answer, sizeof(answer));
	rc = n < 0 ? -errno : egress_denied_read(answer, (size_t)n, packets);
	if (nl)
		mnl_socket_close(nl);
	return rc;
}
