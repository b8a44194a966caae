/* SPDX-License-Identifier: MIT */
/* Making a sandbox, as far as it takes the host's root: see sandbox.h. */
#include "ptyd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "ptyd/fdtools.h"
#include "ptyd/idmap.h"

#define PLAIN (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

struct step {
	enum spawn_stage stage;
	int (*make)(struct sandbox *s);
};

#define NODE_ROW(name, major, minor) { "/dev/" name, major, minor },
static const struct device {
	const char *path;
	unsigned major, minor;
} devices[SANDBOX_DEVICES] = { SANDBOX_NODES(NODE_ROW) };

static int
check_plan(struct sandbox *s)
{
	const struct sandbox_plan *p = s->plan;
	int rc = idmap_check_range(p->first_id);

	if (rc == 0 && p->home >= 0)
		rc = idmap_check_range(p->home_first_id);
	if (rc != 0)
		return rc;
	return p->image < 0 || p->writable < 0 ? -EBADF : 0;
}

/* --- in the maker --- */

/* What is mounted nowhere is taken as it is: older kernels (6.1) do not copy that. */
static int
take_tree(int dir, uint64_t attributes)
{
	struct mount_attr attr = { .attr_set = attributes, .propagation = MS_PRIVATE };
	int copy = fd_clone_tree(dir, "", attributes);
	cleanup_fd int same = -1;

	if (copy != -EINVAL)
		return copy;
	same = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	if (same < 0 || mount_setattr(same, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0)
		return -errno;
	return steal_fd(&same);
}

static int
copy_directory(int dir, uint64_t attributes, int *out)
{
	struct stat st;
	int fd;

	if (fstat(dir, &st) != 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	fd = take_tree(dir, attributes);
	if (fd < 0)
		return fd;
	*out = fd;
	return 0;
}

static int
copy_image(struct sandbox *s)
{
	return copy_directory(s->plan->image, PLAIN | MOUNT_ATTR_RDONLY, &s->parts[PART_IMAGE]);
}

/* Here, with the rights of the maker: the directory around them may be closed to the session's ids. */
static int
open_layer(const struct sandbox *s, const char *name, int *out)
{
	struct stat st;
	int fd = fd_open_beneath(s->parts[PART_WRITABLE], name, O_PATH | O_DIRECTORY);

	if (fd < 0)
		return fd;
	*out = fd;
	if (fstat(fd, &st) != 0)
		return -errno;
	return st.st_uid == s->plan->first_id && st.st_gid == s->plan->first_id ? 0 : -EPERM;
}

static int
copy_storage(struct sandbox *s)
{
	int rc = copy_directory(s->plan->writable, PLAIN, &s->parts[PART_WRITABLE]);

	if (rc == 0)
		rc = open_layer(s, "upper", &s->parts[PART_UPPER]);
	return rc ? rc : open_layer(s, "work", &s->parts[PART_WORK]);
}

static int
copy_home(struct sandbox *s)
{
	cleanup_fd int userns = -1;
	int rc;

	if (s->plan->home < 0)
		return 0;
	rc = copy_directory(s->plan->home, PLAIN, &s->parts[PART_HOME]);
	if (rc != 0 || s->plan->home_first_id == s->plan->first_id)
		return rc;
	rc = idmap_make(s->plan->home_first_id, s->plan->first_id, &userns);
	return rc ? rc : idmap_apply(s->parts[PART_HOME], userns);
}

/* Read-only does not keep a device from being written; it keeps its node from being changed. */
static int
copy_devices(struct sandbox *s)
{
	struct stat st;

	for (size_t i = 0; i < SANDBOX_DEVICES; i++) {
		const struct device *d = &devices[i];
		int fd = fd_clone_tree(AT_FDCWD, d->path,
		    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);

		if (fd < 0)
			return fd;
		s->parts[PART_DEVICES + i] = fd;
		if (fstat(fd, &st) != 0)
			return -errno;
		if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(d->major, d->minor))
			return -ENODEV;
	}
	return 0;
}

static int
open_sync(struct sandbox *s)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -errno;
	s->sync = pair[0];
	s->parts[PART_SYNC] = pair[1];
	return 0;
}

int
sandbox_prepare(struct sandbox *s, const struct sandbox_plan *plan)
{
	static const struct step steps[] = { { STAGE_PLAN, check_plan },
		{ STAGE_IMAGE, copy_image }, { STAGE_STORAGE, copy_storage },
		{ STAGE_HOME, copy_home }, { STAGE_DEVICES, copy_devices },
		{ STAGE_NAMESPACE, open_sync } };
	int rc = 0;

	s->plan = plan;
	s->sync = -1;
	for (size_t i = 0; i < SANDBOX_PARTS; i++)
		s->parts[i] = -1;
	for (size_t i = 0; rc == 0 && i < COUNT_OF(steps); i++) {
		s->stage = steps[i].stage;
		rc = steps[i].make(s);
	}
	return rc;
}

/* The cgroup namespace comes later: here its root would be the maker's cgroup. */
int
sandbox_clone(struct sandbox *s, pid_t *pid)
{
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
		    CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS,
		.exit_signal = SIGCHLD };
	long child;

	s->stage = STAGE_NAMESPACE;
	if (s->plan->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)(uint32_t)s->plan->cgroup;
	}
	child = syscall(SYS_clone3, &args, sizeof(args));
	if (child < 0)
		return -errno;
	close_fd(child == 0 ? &s->sync : &s->parts[PART_SYNC]);
	*pid = (pid_t)child;
	return 0;
}

static int
map_trees(struct sandbox *s, pid_t init, int userns)
{
	int rc = idmap_check_userns(userns);

	if (rc == 0)
		rc = idmap_write(init, 0, s->plan->first_id);
	if (rc != 0)
		return rc;
	s->stage = STAGE_IMAGE;
	return idmap_apply(s->parts[PART_IMAGE], userns);
}

int
sandbox_map(struct sandbox *s, pid_t init)
{
	cleanup_fd int userns = -1;
	char go = 0;
	int rc;

	s->stage = STAGE_IDS;
	rc = fd_receive(s->sync, &userns);
	if (rc == 0)
		rc = map_trees(s, init, userns);
	if (rc != 0)
		return rc;
	s->stage = STAGE_NAMESPACE;
	return send(s->sync, &go, 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int
sandbox_take_terminal(struct sandbox *s, int *master)
{
	s->stage = STAGE_TERMINAL;
	return fd_receive(s->sync, master);
}

/* --- in init --- */

static int
await_ids(struct sandbox *s)
{
	cleanup_fd int userns = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	char go;
	int rc;
	ssize_t n;

	if (userns < 0)
		return -errno;
	rc = fd_send(s->parts[PART_SYNC], userns);
	if (rc != 0)
		return rc;
	n = recv(s->parts[PART_SYNC], &go, 1, 0);
	return n == 1 ? 0 : (n < 0 ? -errno : -EPIPE);
}

/* Until here this was root of the host by its number; the capabilities of the namespace stay. */
int
sandbox_enter(struct sandbox *s)
{
	int rc;

	s->stage = STAGE_IDS;
	rc = await_ids(s);
	if (rc != 0)
		return rc;
	if (syscall(SYS_setgroups, 0, NULL) != 0 || setresgid(0, 0, 0) != 0 ||
	    setresuid(0, 0, 0) != 0)
		return -errno;
	return 0;
}

void
sandbox_fini(struct sandbox *s)
{
	close_fd(&s->sync);
	for (size_t i = 0; i < SANDBOX_PARTS; i++)
		close_fd(&s->parts[i]);
}
