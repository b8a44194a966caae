/* SPDX-License-Identifier: MIT */
/* Making a sandbox from within, step by step: see inside.h. */
#include "ptyd/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
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
#include <termios.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/privdrop.h"
#include "ptyd/fdtools.h"

#define PATH_BYTES 32
#define OPTION_BYTES 32
#define TTY_GROUP "5" /* its number in every Debian; a PTY's group, that it may be written to */
#define DEV_BYTES "65536"
#define DEV_INODES "64"
#define PLAIN (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define INERT (PLAIN | MOUNT_ATTR_NOEXEC)

struct option {
	const char *key, *value; /* value NULL: a flag; key NULL: the end */
};

struct step {
	enum spawn_stage stage;
	int (*make)(struct inside *s);
};

#define NODE_NAME(name, major, minor) name,
static const char *const nodes[SANDBOX_DEVICES] = { SANDBOX_NODES(NODE_NAME) };

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

static int
run(struct inside *s, const struct step *steps, size_t count)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		s->stage = steps[i].stage;
		rc = steps[i].make(s);
	}
	return rc;
}

/* --- small tools; 0, descriptors or -errno --- */

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

/* A directory that is there or is made; -ELOOP or -ENOTDIR where the image has something else. */
static int
mount_point(int dir, const char *name)
{
	if (mkdirat(dir, name, 0755) != 0 && errno != EEXIST)
		return -errno;
	return fd_open_beneath(dir, name, O_PATH | O_DIRECTORY);
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

/* --- namespaces --- */

static int
leave_host_names(struct inside *s)
{
	struct mount_attr quiet = { .propagation = MS_PRIVATE };

	if (unshare(CLONE_NEWCGROUP) != 0)
		return -errno;
	if (sethostname(s->plan.hostname, strlen(s->plan.hostname)) != 0)
		return -errno;
	return mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &quiet, sizeof(quiet)) == 0 ? 0 : -errno;
}

static int
raise_loopback(struct inside *s)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	(void)s;
	return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0 ? 0 : -errno;
}

/* --- the root --- */

/* A file system of our own to build in. On top of "/", which is the one directory sure to be there. */
static int
open_staging(struct inside *s)
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
attach_image(struct inside *s)
{
	return attach_at(s->parts[PART_IMAGE], s->staging, "image");
}

static int
attach_storage(struct inside *s)
{
	return attach_at(s->parts[PART_WRITABLE], s->staging, "writable");
}

static int
open_root(struct inside *s)
{
	s->root = mount_overlay(s->parts[PART_IMAGE], s->parts[PART_UPPER], s->parts[PART_WORK]);
	return s->root < 0 ? s->root : attach_at(s->root, s->staging, "root");
}

/* --- /dev --- */

static int
add_devices(struct inside *s)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < SANDBOX_DEVICES; i++) {
		cleanup_fd int at = openat(s->dev, nodes[i],
		    O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0444);

		rc = at < 0 ? -errno : attach(s->parts[PART_DEVICES + i], at);
	}
	return rc;
}

static int
add_dev_links(struct inside *s)
{
	for (size_t i = 0; i < COUNT_OF(dev_links); i++) {
		if (symlinkat(dev_links[i].target, s->dev, dev_links[i].name) != 0)
			return -errno;
	}
	return 0;
}

static int
open_dev(struct inside *s)
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
add_pts(struct inside *s)
{
	char max[OPTION_BYTES], uid[OPTION_BYTES];
	const struct option options[] = { { "ptmxmode", "0666" }, { "mode", "0620" },
		{ "uid", uid }, { "gid", TTY_GROUP }, { "max", max }, { 0 } };

	snprintf(max, sizeof(max), "%u", s->plan.ptys);
	snprintf(uid, sizeof(uid), "%u", INSIDE_USER_ID);
	return mount_at(s->dev, "pts", "devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

/* A tmpfs of the session's size. */
static int
add_scratch(const struct inside *s, int dir, const char *name, const char *mode)
{
	char size[OPTION_BYTES], inodes[OPTION_BYTES];
	const struct option options[] = { { "size", size }, { "nr_inodes", inodes },
		{ "mode", mode }, { 0 } };

	snprintf(size, sizeof(size), "%llu", (unsigned long long)s->plan.tmp_bytes);
	snprintf(inodes, sizeof(inodes), "%llu", (unsigned long long)s->plan.tmp_inodes);
	return mount_at(dir, name, "tmpfs", options, PLAIN);
}

static int
add_shm(struct inside *s)
{
	return add_scratch(s, s->dev, "shm", "1777");
}

static int
close_dev(struct inside *s)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	return mount_setattr(s->dev, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0 ? 0 : -errno;
}

/* --- /proc --- */

static int
open_proc(struct inside *s)
{
	static const struct option options[] = { { "hidepid", "invisible" }, { 0 } };

	s->proc = new_mount("proc", options, INERT);
	return s->proc < 0 ? s->proc : attach_at(s->proc, s->root, "proc");
}

/* Covers something of /proc by `cover` (itself, when -1), read-only. */
static int
cover_proc(const struct inside *s, const char *name, bool hide)
{
	cleanup_fd int at = fd_open_beneath(s->proc, name, O_PATH);
	cleanup_fd int cover = -1;
	struct stat st;

	if (at == -ENOENT)
		return 0; /* not in this kernel */
	if (at < 0 || fstat(at, &st) != 0)
		return at < 0 ? at : -errno;
	if (hide)
		cover = fd_clone_tree(s->staging, S_ISDIR(st.st_mode) ? "directory" : "file",
		    INERT | MOUNT_ATTR_RDONLY);
	else
		cover = fd_clone_tree(at, "", INERT | MOUNT_ATTR_RDONLY);
	return cover < 0 ? cover : attach(cover, at);
}

static int
mask_proc(struct inside *s)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT_OF(proc_hidden); i++)
		rc = cover_proc(s, proc_hidden[i], true);
	for (size_t i = 0; rc == 0 && i < COUNT_OF(proc_read_only); i++)
		rc = cover_proc(s, proc_read_only[i], false);
	return rc;
}

/* --- the rest of the tree --- */

static int
add_tmp(struct inside *s)
{
	int rc = add_scratch(s, s->root, "tmp", "1777");

	return rc ? rc : add_scratch(s, s->root, "run", "0755");
}

static int
add_home(struct inside *s)
{
	cleanup_fd int homes = mount_point(s->root, "home");
	cleanup_fd int at = homes < 0 ? homes : mount_point(homes, INSIDE_USER);

	if (at < 0)
		return at;
	if (s->parts[PART_HOME] >= 0)
		return attach(s->parts[PART_HOME], at);
	return fchownat(at, "", INSIDE_USER_ID, INSIDE_USER_ID, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

/*
 * The old root goes where the new one is, on top of it, and from there away with all that was
 * mounted on it. Twice: what the first call finds uppermost is the staging tree on the old root.
 */
static int
change_root(struct inside *s)
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
prove_root(struct inside *s)
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
inside_enter(struct inside *s)
{
	static const struct step steps[] = { { STAGE_NAMESPACE, leave_host_names },
		{ STAGE_NETWORK, raise_loopback }, { STAGE_ROOT, open_staging },
		{ STAGE_IMAGE, attach_image }, { STAGE_STORAGE, attach_storage },
		{ STAGE_ROOT, open_root }, { STAGE_DEVICES, open_dev }, { STAGE_DEVICES, add_pts },
		{ STAGE_DEVICES, add_shm }, { STAGE_DEVICES, close_dev }, { STAGE_PROC, open_proc },
		{ STAGE_PROC, mask_proc }, { STAGE_ROOT, add_tmp }, { STAGE_HOME, add_home },
		{ STAGE_ROOT, change_root }, { STAGE_ROOT, prove_root } };

	s->staging = s->root = s->dev = s->proc = -1;
	umask(0);
	return run(s, steps, COUNT_OF(steps));
}

/* By the descriptor of the master, never by the name of the slave. */
int
inside_open_terminal(struct inside *s, int *master, int *slave)
{
	static const int unlocked;
	cleanup_fd int ours = -1, peer = -1;

	s->stage = STAGE_TERMINAL;
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

/* Erasing a character in cooked mode takes all its bytes. */
static int
set_utf8(int slave)
{
	struct termios t;

	if (tcgetattr(slave, &t) != 0)
		return -1;
	t.c_iflag |= IUTF8;
	return tcsetattr(slave, TCSANOW, &t);
}

static int
set_size(int fd, uint16_t cols, uint16_t rows)
{
	struct winsize size = { .ws_col = cols, .ws_row = rows };

	return ioctl(fd, TIOCSWINSZ, &size) == 0 ? 0 : -errno;
}

int
inside_prepare_terminal(int fd, uint16_t cols, uint16_t rows)
{
	return set_utf8(fd) == 0 ? set_size(fd, cols, rows) : -errno;
}

int
inside_give_terminal(struct inside *s, int master)
{
	return fd_send(s->parts[PART_SYNC], master);
}

/* --- nothing that is left --- */

static rlim_t
lower(rlim_t a, rlim_t b)
{
	return a < b ? a : b; /* RLIM_INFINITY is the largest number */
}

/*
 * A core limit of 0 does not keep a dump from a core_pattern that is a pipe, whose program the
 * kernel starts as root of the host; 1 does. The filter keeps it so.
 */
int
inside_limit(const struct inside_limits *l)
{
	const struct {
		__rlimit_resource_t what;
		rlim_t soft, hard;
	} limits[] = { { RLIMIT_NOFILE, l->files, l->files_max },
		{ RLIMIT_NPROC, l->processes, l->processes }, { RLIMIT_CORE, 1, 1 } };

	for (size_t i = 0; i < COUNT_OF(limits); i++) {
		struct rlimit both;

		if (getrlimit(limits[i].what, &both) != 0)
			return -errno;
		/* A host that allows less of it allows less: none here may raise that. */
		both.rlim_max = lower(both.rlim_max, limits[i].hard);
		both.rlim_cur = lower(both.rlim_max, limits[i].soft);
		if (setrlimit(limits[i].what, &both) != 0)
			return -errno;
	}
	return 0;
}

static int
drop_privilege(struct inside *s)
{
	(void)s;
	if (privdrop_to_session(INSIDE_USER_ID, INSIDE_USER_ID))
		return errno ? -errno : -EPERM;
	return 0;
}

/* After the last change of ids, which would clear it. */
int
inside_die_with_maker(void)
{
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
restrict_by_landlock(struct inside *s)
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

static int
die_with_maker(struct inside *s)
{
	(void)s;
	return inside_die_with_maker();
}

static int
close_all(struct inside *s)
{
	int *const own[] = { &s->staging, &s->root, &s->dev, &s->proc };

	for (size_t i = 0; i < COUNT_OF(own); i++)
		close_fd(own[i]);
	for (size_t i = 0; i < SANDBOX_PARTS; i++)
		close_fd(&s->parts[i]);
	return 0;
}

int
inside_confine(struct inside *s)
{
	static const struct step steps[] = { { STAGE_IDS, drop_privilege },
		{ STAGE_IDS, die_with_maker }, { STAGE_FILTER, restrict_by_landlock },
		{ STAGE_FILTER, close_all } };

	return run(s, steps, COUNT_OF(steps));
}
