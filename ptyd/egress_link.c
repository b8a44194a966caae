/* SPDX-License-Identifier: MIT */
/* Interfaces and addresses of sessions: see egress_link.h. */
#include "ptyd/egress_link.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"
#include "common/egress_rtnl.h"

/* The first error of the answers in one datagram; *left counts them down. */
static int
read_answers(const char *bytes, size_t len, unsigned *left)
{
	int rest = (int)len, rc = 0;

	for (const struct nlmsghdr *h = (const void *)bytes; mnl_nlmsg_ok(h, rest);
	     h = mnl_nlmsg_next(h, &rest)) {
		const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

		if (h->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(h) < sizeof(e->error))
			continue;
		if (*left > 0)
			--*left;
		if (rc == 0)
			rc = e->error;
	}
	return rc;
}

static int
talk(struct mnl_socket *nl, const struct egress_request *r)
{
	_Alignas(struct nlmsghdr) char answer[8192];
	unsigned left = r->count;
	int first = 0;

	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, r->bytes, r->len) < 0)
		return -errno;
	while (left > 0) {
		ssize_t n = mnl_socket_recvfrom(nl, answer, sizeof(answer));
		int rc = n < 0 ? -errno : read_answers(answer, (size_t)n, &left);

		if (n <= 0)
			return n < 0 ? rc : -EPROTO;
		if (first == 0)
			first = rc;
	}
	return first;
}

static int
request_send(const struct egress_request *r)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int rc = nl ? talk(nl, r) : -errno;

	if (nl)
		mnl_socket_close(nl);
	return rc;
}

/* A kernel without IPv6 knows none of this, and needs it not. */
static void
quiet_v6(unsigned index)
{
	struct egress_request r = { .len = 0 };

	egress_put_no_link_local(&r, index);
	request_send(&r);
}

static int
raise_link(const struct egress_net *net, uint32_t slot, unsigned index, enum egress_side side,
    bool has_v6)
{
	struct egress_request r = { .len = 0 };

	quiet_v6(index);
	egress_put_up(&r, index);
	for (unsigned family = 4; family <= (has_v6 ? 6U : 4U); family += 2) {
		egress_put_address(&r, index, family, egress_address(net, family, slot, side));
		if (side == EGRESS_SESSION)
			egress_put_default_route(&r, index, family,
			    egress_address(net, family, slot, EGRESS_HOST));
	}
	return request_send(&r);
}

int
link_make(const struct egress_net *net, uint32_t slot, pid_t init, bool has_v6)
{
	struct egress_request r = { .len = 0 };
	char name[IFNAMSIZ];
	unsigned index;
	int rc;

	egress_put_pair(&r, slot, init);
	rc = request_send(&r);
	if (rc != 0)
		return rc;
	egress_link_name(slot, name);
	index = if_nametoindex(name);
	rc = index == 0 ? -errno : raise_link(net, slot, index, EGRESS_HOST, has_v6);
	if (rc != 0)
		link_remove(slot);
	return rc;
}

int
link_enter(const struct egress_net *net, uint32_t slot, bool has_v6)
{
	unsigned index = if_nametoindex(EGRESS_SESSION_NAME);

	return index == 0 ? -errno : raise_link(net, slot, index, EGRESS_SESSION, has_v6);
}

/* Somebody else's interface may have such a name; it stays. */
static bool
is_ours(const char *name, uint32_t slot)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct egress_hardware ours = egress_hardware(slot);
	struct ifreq r = { 0 };

	memcpy(r.ifr_name, name, strlen(name));
	return fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &r) == 0 &&
	    memcmp(r.ifr_hwaddr.sa_data, ours.bytes, sizeof(ours.bytes)) == 0;
}

int
link_remove(uint32_t slot)
{
	struct egress_request r = { .len = 0 };
	char name[IFNAMSIZ];

	egress_link_name(slot, name);
	egress_put_removal(&r, slot);
	return is_ours(name, slot) ? request_send(&r) : -ENODEV;
}
