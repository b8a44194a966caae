/* SPDX-License-Identifier: MIT */
/* Rules and counters of sessions in the host's nftables: see egress.h. */
#include "ptyd/egress.h"

#include <errno.h>
#include <fcntl.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <linux/netlink.h>

#include "common/cleanup.h"
#include "common/session.h"
#include "ptyd/egress_link.h"

#define TRIES 3

/* It gives no number, only what strerror says of one. */
static int
error_in(const char *text)
{
	static const int known[] = { ENOENT, EEXIST, EBUSY, EPERM, ENOMEM, ENOSPC, EINTR,
		ERESTART };

	for (size_t i = 0; text && i < COUNT_OF(known); i++) {
		if (strstr(text, strerror(known[i])))
			return -known[i];
	}
	if (text && (strstr(text, strerror(EOPNOTSUPP)) || strstr(text, "cache initialization")))
		return -EPROTONOSUPPORT;
	return -EIO;
}

/* out NULL, or room for what it prints. */
static int
run(const char *commands, char *out, size_t out_size)
{
	struct nft_ctx *nft;
	const char *printed;
	int rc;

	/* Without netfilter in the kernel nft_ctx_new would end the process. */
	cleanup_fd int probe = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (probe < 0)
		return errno == EPROTONOSUPPORT ? -EPROTONOSUPPORT : -errno;
	nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!nft)
		return -ENOMEM;
	nft_ctx_output_set_flags(nft, NFT_CTX_OUTPUT_NUMERIC_ALL);
	if (nft_ctx_buffer_error(nft) != 0 || nft_ctx_buffer_output(nft) != 0)
		rc = -ENOMEM;
	else
		rc = nft_run_cmd_from_buffer(nft, commands) == 0
		    ? 0
		    : error_in(nft_ctx_get_error_buffer(nft));
	printed = rc == 0 && out ? nft_ctx_get_output_buffer(nft) : NULL;
	if (out)
		snprintf(out, out_size, "%s", printed ? printed : "");
	nft_ctx_free(nft);
	return rc;
}

static int
run_script(const struct egress_script *s)
{
	return s->is_cut ? -EOVERFLOW : run(s->text, NULL, 0);
}

int
egress_host_prepare(const struct egress_net *net)
{
	struct egress_script s = { .len = 0 };
	int rc;

	egress_script_host(&s, net);
	rc = run_script(&s);
	return rc == -ENOENT ? -EPROTONOSUPPORT : rc; /* an expression or hook that is not there */
}

/* --- a session --- */

static int
add_session(const struct egress_net *net, uint32_t slot, const struct egress_rule *rules,
    unsigned count)
{
	struct egress_script s = { .len = 0 };
	uint32_t mark;

	if (getrandom(&mark, sizeof(mark), 0) != sizeof(mark))
		return -errno;
	egress_script_add(&s, net, slot, rules, count, mark | 1);
	return run_script(&s);
}

/* All at once; or, where something is missing, line by line what is there. */
static int
remove_session(const struct egress_net *net, uint32_t slot)
{
	struct egress_script s = { .len = 0 };
	char *rest = s.text;
	int rc, first = 0;

	egress_script_remove(&s, net, slot);
	rc = run_script(&s);
	if (rc != -ENOENT)
		return rc;
	for (char *line; (line = strsep(&rest, "\n")) && *line;) {
		rc = run(line, NULL, 0);
		if (rc != 0 && rc != -ENOENT && first == 0)
			first = rc;
	}
	return first;
}

static bool
has_family(const struct egress_rule *rules, unsigned count, unsigned family)
{
	for (unsigned i = 0; i < count; i++) {
		if (rules[i].family == family)
			return true;
	}
	return false;
}

static bool
is_forwarding(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char value = '0';

	return fd >= 0 && read(fd, &value, 1) == 1 && value != '0';
}

static int
check_forwarding(bool has_v6)
{
	if (!is_forwarding("/proc/sys/net/ipv4/ip_forward"))
		return -ENONET;
	return has_v6 && !is_forwarding("/proc/sys/net/ipv6/conf/all/forwarding") ? -ENONET : 0;
}

int
egress_link(const struct egress_net *net, uint32_t slot, pid_t init,
    const struct egress_rule *rules, unsigned count)
{
	bool has_v6 = has_family(rules, count, 6);
	int rc = slot < SESSION_RANGES && count <= EGRESS_RULES_MAX ? check_forwarding(has_v6)
								    : -EINVAL;

	if (rc != 0)
		return rc;
	rc = add_session(net, slot, rules, count);
	for (int i = 1; i < TRIES && (rc == -EEXIST || rc == -ENOENT); i++) {
		rc = rc == -EEXIST ? egress_unlink(net, slot) : egress_host_prepare(net);
		if (rc == 0)
			rc = add_session(net, slot, rules, count);
	}
	if (rc == 0)
		rc = link_make(net, slot, init, has_v6);
	if (rc != 0)
		egress_unlink(net, slot);
	return rc;
}

int
egress_enter(const struct egress_net *net, uint32_t slot, const struct egress_rule *rules,
    unsigned count)
{
	return link_enter(net, slot, has_family(rules, count, 6));
}

int
egress_unlink(const struct egress_net *net, uint32_t slot)
{
	int gone = link_remove(slot), rc = remove_session(net, slot);

	return gone != 0 && gone != -ENODEV ? gone : rc;
}

int
egress_sweep(const struct egress_net *net, bool (*keep)(void *ctx, uint32_t slot), void *ctx)
{
	static const char before[] =
	    "counter s"; /* made first, removed last: "counter s12_deny {" */
	static char listed[SESSION_RANGES * 96];
	const char *at = listed;
	int rc = run("list counters table " EGRESS_TABLE, listed, sizeof(listed)), first = 0;

	if (rc != 0)
		return rc == -ENOENT ? 0 : rc;
	while ((at = strstr(at, before))) {
		uint32_t slot;

		at += sizeof(before) - 1;
		slot = (uint32_t)strtoul(at, NULL, 10);
		if (*at < '0' || *at > '9' || slot >= SESSION_RANGES || (keep && keep(ctx, slot)))
			continue;
		rc = egress_unlink(net, slot);
		if (first == 0)
			first = rc;
	}
	return first;
}
