/* SPDX-License-Identifier: MIT */
/* Copies of mounts, openat2, and descriptors from one process to another: see fdtools.h. */
#include "ptyd/fdtools.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

int
fd_clone_tree(int dir, const char *path, uint64_t attributes)
{
	/* Private: a copy of a shared mount would be its peer, and so stay tied to the host's. */
	struct mount_attr attr = { .attr_set = attributes, .propagation = MS_PRIVATE };
	cleanup_fd int fd = open_tree(dir, path,
	    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0)
		return -errno;
	return steal_fd(&fd);
}

int
fd_open_beneath(int dir, const char *name, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = BENEATH };
	long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* One byte of data, which carries one descriptor. */
struct carrier {
	char byte;
	struct iovec part;
	struct msghdr head;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
};

static struct msghdr *
carrier_init(struct carrier *c)
{
	*c = (struct carrier){ .part = { &c->byte, 1 },
		.head = { .msg_iov = &c->part,
		    .msg_iovlen = 1,
		    .msg_control = &c->control,
		    .msg_controllen = sizeof(c->control) } };
	return &c->head;
}

int
fd_send(int socket, int fd)
{
	struct carrier carrier;
	struct msghdr *m = carrier_init(&carrier);
	struct cmsghdr *c = CMSG_FIRSTHDR(m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(socket, m, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int
fd_receive(int socket, int *out)
{
	struct carrier carrier;
	struct msghdr *m = carrier_init(&carrier);
	ssize_t n = recvmsg(socket, m, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = CMSG_FIRSTHDR(m);

	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EBADMSG;
	memcpy(out, CMSG_DATA(c), sizeof(*out));
	return 0;
}
