/* SPDX-License-Identifier: MIT */
/* Maps of user namespaces and of mounts: see idmap.h. */
#include "ptyd/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/cleanup.h"

#define NOBODY 65534U
#define MAP_BYTES 64
#define PATH_BYTES 32

int
idmap_check_range(uint32_t first_host_id)
{
	if (first_host_id <= NOBODY || first_host_id > UINT32_MAX - IDMAP_COUNT)
		return -ERANGE;
	return 0;
}

/* The kernel takes a map in one write alone. */
static int
write_map(pid_t child, const char *name, const char *map)
{
	char path[PATH_BYTES];
	cleanup_fd int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", child, name);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	return write(fd, map, strlen(map)) < 0 ? -errno : 0;
}

int
idmap_write(pid_t child, uint32_t inside_first, uint32_t host_first)
{
	char map[MAP_BYTES];
	int rc = idmap_check_range(host_first);

	if (rc != 0)
		return rc;
	snprintf(map, sizeof(map), "%u %u %u\n", inside_first, host_first, IDMAP_COUNT);
	rc = write_map(child, "uid_map", map);
	return rc ? rc : write_map(child, "gid_map", map);
}

int
idmap_check_userns(int fd)
{
	int type = ioctl(fd, NS_GET_NSTYPE);

	return type == CLONE_NEWUSER ? 0 : -EBADF;
}

/*
 * The anchor shares our descriptors, so that what it opens is ours at once: /proc/CHILD/ns of a
 * child that is not dumpable would ask for CAP_SYS_PTRACE, which we do not have.
 */
static _Noreturn void
hold_namespace(pid_t maker, int out)
{
	ssize_t n;
	int fd;

	/* With the descriptors it would keep mounts and locks of a maker that was killed. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != maker)
		_exit(1);
	fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	n = write(out, &fd, sizeof(fd));
	(void)n;
	for (;;)
		pause();
}

static int
take_namespace(pid_t anchor, int from, uint32_t inside_first, uint32_t host_first, int *out)
{
	int rc, fd;

	if (read(from, &fd, sizeof(fd)) != sizeof(fd))
		return -EIO;
	if (fd < 0)
		return -EMFILE;
	rc = idmap_check_userns(fd);
	if (rc == 0)
		rc = idmap_write(anchor, inside_first, host_first);
	if (rc == 0)
		*out = fd;
	else
		close(fd);
	return rc;
}

int
idmap_make(uint32_t inside_first, uint32_t host_first, int *userns_fd)
{
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_FILES, .exit_signal = SIGCHLD };
	pid_t anchor, maker = getpid();
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	anchor = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (anchor == 0)
		hold_namespace(maker, fds[1]);
	rc = anchor < 0 ? -errno
			: take_namespace(anchor, fds[0], inside_first, host_first, userns_fd);
	close(fds[0]);
	close(fds[1]);
	if (anchor > 0) {
		/* Not reaped yet, so the number is still its own. */
		kill(anchor, SIGKILL);
		waitpid(anchor, NULL, 0);
	}
	return rc;
}

int
idmap_apply(int tree_fd, int userns_fd)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP,
		.userns_fd = (uint64_t)(uint32_t)userns_fd };

	return mount_setattr(tree_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0 ? 0 : -errno;
}
