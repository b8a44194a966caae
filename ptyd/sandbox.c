/* SPDX-License-Identifier: MIT */
/* Making a sandbox, step by step: see sandbox.h. */
#include "ptyd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/privdrop.h"
#include "ptyd/idmap.h"
#include "ptyd/shellfilter.h"

#define PATH_BYTES 32
#define OPTION_BYTES 32
#define TTY_GROUP "5" /* its number in every Debian; a PTY's group, that it may be written to */
#define DEV_BYTES "65536"
#define DEV_INODES "64"
#define PLAIN (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define INERT (PLAIN | MOUNT_ATTR_NOEXEC)
#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

struct option {
	const char *key, *value; /* value NULL: a flag; key NULL: the end */
};

struct step {
	enum sandbox_stage stage;
	int (*make)(struct sandbox *s);
};

static const struct device {
	const char *path; /* of the host, all of them in /dev */
	unsigned major, minor;
} devices[SANDBOX_DEVICES] = { { "/dev/null", 1, 3 }, { "/dev/zero", 1, 5 }, { "/dev/full", 1, 7 },
	{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 } };

static const struct {
	const char *name, *target;
} dev_links[] = { { "fd", "/proc/self/fd" }, { "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" }, { "ptmx", "pts/ptmx" } };

/* What tells of the host or reaches its hardware, and what only root of the host may read at times. */
static const char *const proc_hidden[] = { "acpi", "asound", "buddyinfo", "cmdline", "config.gz",
	"driver", "interrupts", "iomem", "ioports", "kallsyms", "kcore", "key-users", "keys",
	"kmsg", "latency_stats", "mdstat", "modules", "sched_debug", "scsi", "softirqs",
	"timer_list", "zoneinfo" };
static const char *const proc_read_only[] = { "bus", "fs", "irq", "sys", "sysrq-trigger", "tty" };

static const char *const stage_names[] = { "unknown",
#define STAGE_TEXT(name, text) text,
	SANDBOX_STAGES(STAGE_TEXT) };

const char *
sandbox_stage_name(unsigned stage)
{
	return stage_names[stage < COUNT_OF(stage_names) ? stage : 0];
}

static int
run(struct sandbox *s, const struct step *steps, size_t count)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		s->stage = steps[i].stage;
		rc = steps[i].make(s);
	}
	return rc;
}

/* --- the plan --- */

static bool
is_label(const char *text, size_t size, bool with_upper)
{
	size_t len = strnlen(text, size);

	if (len == 0 || len == size || text[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		bool ok = (text[i] >= 'a' && text[i] <= 'z') ||
		    (text[i] >= '0' && text[i] <= '9') || text[i] == '-' ||
		    (with_upper && text[i] >= 'A' && text[i] <= 'Z');

		if (!ok)
			return false;
	}
	return true;
}

static bool
is_plain_id(uint32_t id)
{
	return id > 0 && id < IDMAP_COUNT - 2;
}

int
sandbox_check(const struct sandbox_plan *p)
{
	int rc = idmap_check_range(p->first_id);

	if (rc == 0 && p->home >= 0)
		rc = idmap_check_range(p->home_first_id);
	if (rc != 0)
		return rc;
	if (!is_plain_id(p->uid) || !is_plain_id(p->gid) || p->ptys == 0 || p->files == 0 ||
	    p->processes == 0 || p->tmp_bytes == 0 || p->tmp_inodes == 0)
		return -EINVAL;
	if (!is_label(p->hostname, sizeof(p->hostname), true) ||
	    !is_label(p->user, sizeof(p->user), false))
		return -EINVAL;
	return p->image < 0 || p->writable < 0 ? -EBADF : 0;
}

static int
check_plan(struct sandbox *s)
{
	return sandbox_check(s->plan);
}

/* --- small tools; descriptors or -errno --- */

static int
clone_tree(int dir, const char *path, uint64_t attributes)
{
	/* Private: a copy of a shared mount would be its peer, and so stay tied to the host's. */
	struct mount_attr attr = { .attr_set = attributes, .propagation = MS_PRIVATE };
	cleanup_fd int fd = open_tree(dir, path,
	    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0)
		return -errno;
	return steal_fd(&fd);
}

static int
attach(int tree, int at)
{
	return move_mount(tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0
	    ? 0
	    : -errno;
}

static int
configure(int fs, const struct option *options)
{
	for (const struct option *o = options; o->key; o++) {
		if (fsconfig(fs, o->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, o->key,
			o->value, 0) != 0)
			return -errno;
	}
	return fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0 ? 0 : -errno;
}

static int
new_mount(const char *type, const struct option *options, uint64_t attributes)
{
	cleanup_fd int fs = fsopen(type, FSOPEN_CLOEXEC);
	int rc, fd;

	/* The name that mount tables show for it. */
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", type, 0) != 0)
		return -errno;
	rc = configure(fs, options);
	if (rc != 0)
		return rc;
	fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
	return fd < 0 ? -errno : fd;
}

/* What lies right beneath a directory: never through a link, never on another mount. */
static int
open_beneath(int dir, const char *name, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = BENEATH };
	long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* A directory that is there or is made; -ELOOP or -ENOTDIR where the image has something else. */
static int
mount_point(int dir, const char *name)
{
	if (mkdirat(dir, name, 0755) != 0 && errno != EEXIST)
		return -errno;
	return open_beneath(dir, name, O_PATH | O_DIRECTORY);
}

static int
attach_at(int tree, int dir, const char *name)
{
	cleanup_fd int at = mount_point(dir, name);

	return at < 0 ? at : attach(tree, at);
}

/* Mounts a new file system at dir/name. */
static int
mount_at(int dir, const char *name, const char *type, const struct option *options,
    uint64_t attributes)
{
	cleanup_fd int fd = new_mount(type, options, attributes);

	return fd < 0 ? fd : attach_at(fd, dir, name);
}

/* --- in the maker --- */

/* What is mounted nowhere is taken as it is: older kernels (6.1) do not copy that. */
static int
take_tree(int dir, uint64_t attributes)
{
	struct mount_attr attr = { .attr_set = attributes, .propagation = MS_PRIVATE };
	int copy = clone_tree(dir, "", attributes);
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
	return copy_directory(s->plan->image, PLAIN | MOUNT_ATTR_RDONLY, &s->image);
}

/* Here, with the rights of the maker: the directory around them may be closed to the session's ids. */
static int
open_layer(const struct sandbox *s, const char *name, int *out)
{
	struct stat st;
	int fd = open_beneath(s->writable, name, O_PATH | O_DIRECTORY);

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
	int rc = copy_directory(s->plan->writable, PLAIN, &s->writable);

	if (rc == 0)
		rc = open_layer(s, "upper", &s->upper);
	return rc ? rc : open_layer(s, "work", &s->work);
}

static int
copy_home(struct sandbox *s)
{
	cleanup_fd int userns = -1;
	int rc;

	if (s->plan->home < 0)
		return 0;
	rc = copy_directory(s->plan->home, PLAIN, &s->home);
	if (rc != 0 || s->plan->home_first_id == s->plan->first_id)
		return rc;
	rc = idmap_make(s->plan->home_first_id, s->plan->first_id, &userns);
	return rc ? rc : idmap_apply(s->home, userns);
}

/* Read-only does not keep a device from being written; it keeps its node from being changed. */
static int
copy_devices(struct sandbox *s)
{
	struct stat st;

	for (size_t i = 0; i < SANDBOX_DEVICES; i++) {
		const struct device *d = &devices[i];
		int fd = clone_tree(AT_FDCWD, d->path,
		    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);

		if (fd < 0)
			return fd;
		s->devices[i] = fd;
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
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->sync) == 0 ? 0 : -errno;
}

int
sandbox_prepare(struct sandbox *s, const struct sandbox_plan *plan)
{
	static const struct step steps[] = { { SANDBOX_AT_PLAN, check_plan },
		{ SANDBOX_AT_IMAGE, copy_image }, { SANDBOX_AT_STORAGE, copy_storage },
		{ SANDBOX_AT_HOME, copy_home }, { SANDBOX_AT_DEVICES, copy_devices },
		{ SANDBOX_AT_NAMESPACE, open_sync } };

	s->plan = plan;
	return run(s, steps, COUNT_OF(steps));
}

/* The cgroup namespace comes later: here its root would be the maker's cgroup. */
int
sandbox_clone(struct sandbox *s, pid_t *pid)
{
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
		    CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS,
		.exit_signal = SIGCHLD };
	long child;

	s->stage = SANDBOX_AT_NAMESPACE;
	if (s->plan->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)(uint32_t)s->plan->cgroup;
	}
	child = syscall(SYS_clone3, &args, sizeof(args));
	if (child < 0)
		return -errno;
	close_fd(&s->sync[child == 0 ? 0 : 1]);
	*pid = (pid_t)child;
	return 0;
}

static int
send_fd(int socket, int fd)
{
	char byte = 0;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec part = { &byte, 1 };
	struct msghdr m = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(socket, &m, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* -EPIPE: the other end was closed instead. */
static int
receive_fd(int socket, int *out)
{
	char byte;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec part = { &byte, 1 };
	struct msghdr m = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EBADMSG;
	memcpy(out, CMSG_DATA(c), sizeof(*out));
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
	s->stage = SANDBOX_AT_IMAGE;
	return idmap_apply(s->image, userns);
}

int
sandbox_map(struct sandbox *s, pid_t init)
{
	cleanup_fd int userns = -1;
	char go = 0;
	int rc;

	s->stage = SANDBOX_AT_IDS;
	rc = receive_fd(s->sync[0], &userns);
	if (rc == 0)
		rc = map_trees(s, init, userns);
	if (rc != 0)
		return rc;
	s->stage = SANDBOX_AT_NAMESPACE;
	return send(s->sync[0], &go, 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int
sandbox_take_terminal(struct sandbox *s, int *master)
{
	s->stage = SANDBOX_AT_TERMINAL;
	return receive_fd(s->sync[0], master);
}

/* --- in init: namespaces --- */

static int
await_ids(struct sandbox *s)
{
	cleanup_fd int userns = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	char go;
	int rc;
	ssize_t n;

	if (userns < 0)
		return -errno;
	rc = send_fd(s->sync[1], userns);
	if (rc != 0)
		return rc;
	n = recv(s->sync[1], &go, 1, 0);
	return n == 1 ? 0 : (n < 0 ? -errno : -EPIPE);
}

/* Until here this was root of the host by its number; the capabilities of the namespace stay. */
static int
become_inner_root(struct sandbox *s)
{
	(void)s;
	if (syscall(SYS_setgroups, 0, NULL) != 0 || setresgid(0, 0, 0) != 0 ||
	    setresuid(0, 0, 0) != 0)
		return -errno;
	umask(0);
	return 0;
}

static int
leave_host_names(struct sandbox *s)
{
	struct mount_attr quiet = { .propagation = MS_PRIVATE };

	if (unshare(CLONE_NEWCGROUP) != 0)
		return -errno;
	if (sethostname(s->plan->hostname, strlen(s->plan->hostname)) != 0)
		return -errno;
	return mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &quiet, sizeof(quiet)) == 0 ? 0 : -errno;
}

static int
raise_loopback(struct sandbox *s)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	(void)s;
	return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0 ? 0 : -errno;
}

/* --- in init: the root --- */

/* A file system of our own to build in. On top of "/", which is the one directory sure to be there. */
static int
open_staging(struct sandbox *s)
{
	static const struct option options[] = { { "size", DEV_BYTES }, { "nr_inodes", DEV_INODES },
		{ "mode", "0700" }, { 0 } };
	cleanup_fd int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int empty = -1;
	int rc;

	s->staging = new_mount("tmpfs", options, INERT);
	if (s->staging < 0 || top < 0)
		return s->staging < 0 ? s->staging : -errno;
	rc = attach(s->staging, top);
	if (rc != 0)
		return rc;
	empty = openat(s->staging, "file", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
	return empty >= 0 && mkdirat(s->staging, "directory", 0555) == 0 ? 0 : -errno;
}

/* Overlayfs of Linux 6.1 takes layers by path alone, and only of mounts that are attached. */
static int
mount_overlay(int image, int upper, int work)
{
	char lower_path[PATH_BYTES], upper_path[PATH_BYTES], work_path[PATH_BYTES];
	const struct option options[] = { { "userxattr", NULL }, { "lowerdir", lower_path },
		{ "upperdir", upper_path }, { "workdir", work_path }, { 0 } };

	snprintf(lower_path, sizeof(lower_path), "/proc/self/fd/%d", image);
	snprintf(upper_path, sizeof(upper_path), "/proc/self/fd/%d", upper);
	snprintf(work_path, sizeof(work_path), "/proc/self/fd/%d", work);
	return new_mount("overlay", options, PLAIN);
}

static int
attach_image(struct sandbox *s)
{
	return attach_at(s->image, s->staging, "image");
}

static int
attach_storage(struct sandbox *s)
{
	return attach_at(s->writable, s->staging, "writable");
}

static int
open_root(struct sandbox *s)
{
	s->root = mount_overlay(s->image, s->upper, s->work);
	return s->root < 0 ? s->root : attach_at(s->root, s->staging, "root");
}

/* --- in init: /dev --- */

static int
add_devices(struct sandbox *s)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < SANDBOX_DEVICES; i++) {
		const char *name = strrchr(devices[i].path, '/') + 1;
		cleanup_fd int at = openat(s->dev, name, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC,
		    0444);

		rc = at < 0 ? -errno : attach(s->devices[i], at);
	}
	return rc;
}

static int
add_dev_links(struct sandbox *s)
{
	for (size_t i = 0; i < COUNT_OF(dev_links); i++) {
		if (symlinkat(dev_links[i].target, s->dev, dev_links[i].name) != 0)
			return -errno;
	}
	return 0;
}

static int
open_dev(struct sandbox *s)
{
	static const struct option options[] = { { "size", DEV_BYTES }, { "nr_inodes", DEV_INODES },
		{ "mode", "0755" }, { 0 } };
	int rc;

	s->dev = new_mount("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (s->dev < 0)
		return s->dev;
	rc = attach_at(s->dev, s->root, "dev");
	if (rc == 0)
		rc = add_devices(s);
	return rc ? rc : add_dev_links(s);
}

/* Every mount of devpts is an instance of its own. */
static int
add_pts(struct sandbox *s)
{
	char max[OPTION_BYTES], uid[OPTION_BYTES];
	const struct option options[] = { { "ptmxmode", "0666" }, { "mode", "0620" },
		{ "uid", uid }, { "gid", TTY_GROUP }, { "max", max }, { 0 } };

	snprintf(max, sizeof(max), "%u", s->plan->ptys);
	snprintf(uid, sizeof(uid), "%u", s->plan->uid);
	return mount_at(s->dev, "pts", "devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

/* A tmpfs of the session's size. */
static int
add_scratch(const struct sandbox *s, int dir, const char *name, const char *mode)
{
	char size[OPTION_BYTES], inodes[OPTION_BYTES];
	const struct option options[] = { { "size", size }, { "nr_inodes", inodes },
		{ "mode", mode }, { 0 } };

	snprintf(size, sizeof(size), "%llu", (unsigned long long)s->plan->tmp_bytes);
	snprintf(inodes, sizeof(inodes), "%llu", (unsigned long long)s->plan->tmp_inodes);
	return mount_at(dir, name, "tmpfs", options, PLAIN);
}

static int
add_shm(struct sandbox *s)
{
	return add_scratch(s, s->dev, "shm", "1777");
}

static int
close_dev(struct sandbox *s)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	return mount_setattr(s->dev, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0 ? 0 : -errno;
}

/* --- in init: /proc --- */

static int
open_proc(struct sandbox *s)
{
	static const struct option options[] = { { "hidepid", "invisible" }, { 0 } };

	s->proc = new_mount("proc", options, INERT);
	return s->proc < 0 ? s->proc : attach_at(s->proc, s->root, "proc");
}

/* Covers something of /proc by `cover` (itself, when -1), read-only. */
static int
cover_proc(const struct sandbox *s, const char *name, bool hide)
{
	cleanup_fd int at = open_beneath(s->proc, name, O_PATH);
	cleanup_fd int cover = -1;
	struct stat st;

	if (at == -ENOENT)
		return 0; /* not in this kernel */
	if (at < 0 || fstat(at, &st) != 0)
		return at < 0 ? at : -errno;
	if (hide)
		cover = clone_tree(s->staging, S_ISDIR(st.st_mode) ? "directory" : "file",
		    INERT | MOUNT_ATTR_RDONLY);
	else
		cover = clone_tree(at, "", INERT | MOUNT_ATTR_RDONLY);
	return cover < 0 ? cover : attach(cover, at);
}

static int
mask_proc(struct sandbox *s)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT_OF(proc_hidden); i++)
		rc = cover_proc(s, proc_hidden[i], true);
	for (size_t i = 0; rc == 0 && i < COUNT_OF(proc_read_only); i++)
		rc = cover_proc(s, proc_read_only[i], false);
	return rc;
}

/* --- in init: the rest of the tree --- */

static int
add_tmp(struct sandbox *s)
{
	int rc = add_scratch(s, s->root, "tmp", "1777");

	return rc ? rc : add_scratch(s, s->root, "run", "0755");
}

static int
add_home(struct sandbox *s)
{
	cleanup_fd int homes = mount_point(s->root, "home");
	cleanup_fd int at = homes < 0 ? homes : mount_point(homes, s->plan->user);

	if (at < 0)
		return at;
	if (s->home >= 0)
		return attach(s->home, at);
	return fchownat(at, "", s->plan->uid, s->plan->gid, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

/*
 * The old root goes where the new one is, on top of it, and from there away with all that was
 * mounted on it. Twice: what the first call finds uppermost is the staging tree on the old root.
 */
static int
change_root(struct sandbox *s)
{
	if (fchdir(s->root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		if (umount2(".", MNT_DETACH) != 0)
			return -errno;
	}
	return chdir("/") == 0 ? 0 : -errno;
}

static int
mount_id_of(int dir, const char *path, uint64_t *id)
{
	struct statx st;

	if (statx(dir, path, AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) != 0)
		return -errno;
	if (!(st.stx_mask & STATX_MNT_ID))
		return -ENOTSUP;
	*id = st.stx_mnt_id;
	return 0;
}

/* Proof: "/" is the overlay; "/.." would find what were still mounted on top of it. */
static int
prove_root(struct sandbox *s)
{
	static const char *const paths[] = { "/", "/..", "." };
	uint64_t wanted = 0, found = 0;
	int rc = mount_id_of(s->root, "", &wanted);

	for (size_t i = 0; rc == 0 && i < COUNT_OF(paths); i++) {
		rc = mount_id_of(AT_FDCWD, paths[i], &found);
		if (rc == 0 && found != wanted)
			rc = -EXDEV;
	}
	return rc;
}

int
sandbox_enter(struct sandbox *s)
{
	static const struct step steps[] = { { SANDBOX_AT_IDS, await_ids },
		{ SANDBOX_AT_IDS, become_inner_root }, { SANDBOX_AT_NAMESPACE, leave_host_names },
		{ SANDBOX_AT_NETWORK, raise_loopback }, { SANDBOX_AT_ROOT, open_staging },
		{ SANDBOX_AT_IMAGE, attach_image }, { SANDBOX_AT_STORAGE, attach_storage },
		{ SANDBOX_AT_ROOT, open_root }, { SANDBOX_AT_DEVICES, open_dev },
		{ SANDBOX_AT_DEVICES, add_pts }, { SANDBOX_AT_DEVICES, add_shm },
		{ SANDBOX_AT_DEVICES, close_dev }, { SANDBOX_AT_PROC, open_proc },
		{ SANDBOX_AT_PROC, mask_proc }, { SANDBOX_AT_ROOT, add_tmp },
		{ SANDBOX_AT_HOME, add_home }, { SANDBOX_AT_ROOT, change_root },
		{ SANDBOX_AT_ROOT, prove_root } };

	return run(s, steps, COUNT_OF(steps));
}

/* By the descriptor of the master, never by the name of the slave. */
int
sandbox_open_terminal(struct sandbox *s, int *master, int *slave)
{
	static const int unlocked;
	cleanup_fd int ours = -1, peer = -1;

	s->stage = SANDBOX_AT_TERMINAL;
	ours = openat(s->dev, "pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
	if (ours < 0 || ioctl(ours, TIOCSPTLCK, &unlocked) != 0)
		return -errno;
	peer = ioctl(ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (peer < 0)
		return -errno;
	*master = steal_fd(&ours);
	*slave = steal_fd(&peer);
	return 0;
}

int
sandbox_give_terminal(struct sandbox *s, int master)
{
	return send_fd(s->sync[1], master);
}

/* --- in init: nothing that is left --- */

/*
 * A core limit of 0 does not keep a dump from a core_pattern that is a pipe, whose program the
 * kernel starts as root of the host; 1 does. The filter keeps it so.
 */
static int
set_limits(struct sandbox *s)
{
	const struct {
		__rlimit_resource_t what;
		rlim_t value;
	} limits[] = { { RLIMIT_NOFILE, s->plan->files }, { RLIMIT_NPROC, s->plan->processes },
		{ RLIMIT_CORE, 1 } };

	for (size_t i = 0; i < COUNT_OF(limits); i++) {
		struct rlimit both;

		if (getrlimit(limits[i].what, &both) != 0)
			return -errno;
		/* A host that allows less of it allows less: none here may raise that. */
		if (limits[i].value < both.rlim_max)
			both.rlim_max = limits[i].value;
		both.rlim_cur = both.rlim_max;
		if (setrlimit(limits[i].what, &both) != 0)
			return -errno;
	}
	return 0;
}

static int
drop_privilege(struct sandbox *s)
{
	if (privdrop_to_session(s->plan->uid, s->plan->gid))
		return errno ? -errno : -EPERM;
	return 0;
}

/* After the last change of ids, which would clear it. */
static int
die_with_maker(struct sandbox *s)
{
	(void)s;
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 ? 0 : -errno;
}

/* Within any domain links and renames between directories are refused, but where this says so. */
static int
landlock_rules(int ruleset)
{
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct landlock_path_beneath_attr all = { .allowed_access = LANDLOCK_ACCESS_FS_REFER,
		.parent_fd = root };

	if (root < 0 ||
	    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &all, 0) != 0)
		return -errno;
	return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? 0 : -errno;
}

/* An extra wall where the kernel has one: no device nodes, and no change of any mount (S25, S26). */
static int
restrict_by_landlock(struct sandbox *s)
{
	static const struct landlock_ruleset_attr attr = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		    LANDLOCK_ACCESS_FS_REFER
	};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	cleanup_fd int ruleset = -1;

	(void)s;
	if (abi < 2) /* the first could not allow links between directories */
		return 0;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	return ruleset < 0 ? -errno : landlock_rules(ruleset);
}

int
sandbox_confine(struct sandbox *s, const struct sock_fprog *filter)
{
	static const struct step steps[] = { { SANDBOX_AT_LIMITS, set_limits },
		{ SANDBOX_AT_IDS, drop_privilege }, { SANDBOX_AT_IDS, die_with_maker },
		{ SANDBOX_AT_FILTER, restrict_by_landlock } };
	int rc = run(s, steps, COUNT_OF(steps));

	if (rc != 0)
		return rc;
	s->stage = SANDBOX_AT_FILTER;
	sandbox_fini(s);
	return shellfilter_load(filter);
}

void
sandbox_fini(struct sandbox *s)
{
	int *const all[] = { &s->image, &s->writable, &s->upper, &s->work, &s->home, &s->sync[0],
		&s->sync[1], &s->staging, &s->root, &s->dev, &s->proc };

	for (size_t i = 0; i < COUNT_OF(all); i++)
		close_fd(all[i]);
	for (size_t i = 0; i < SANDBOX_DEVICES; i++)
		close_fd(&s->devices[i]);
}
