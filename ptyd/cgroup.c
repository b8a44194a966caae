/* SPDX-License-Identifier: MIT */
/* Limits by cgroup v2, through descriptors alone: see cgroup.h. */
#include "ptyd/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "common/cleanup.h"
#include "common/mono.h"
#include "common/session.h"

#define NAME_SIZE 16 /* "s4095" */
#define LOOK_AGAIN_MS 1000
#define DIR_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* --- the system calls --- */

static int
kernel_open_root(const char *path, int flags)
{
	return open(path, flags);
}

static int
kernel_open_below(int dir, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static int
kernel_wait(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };

	return poll(&p, 1, timeout_ms);
}

const struct cgroup_sys cgroup_kernel = {
	.mount = "/sys/fs/cgroup",
	.own = "/proc/self/cgroup",
	.open_root = kernel_open_root,
	.open_below = kernel_open_below,
	.fs_info = fstatfs,
	.make_dir = mkdirat,
	.remove_dir = unlinkat,
	.read_at = pread,
	.write = write,
	.wait = kernel_wait,
};

/* --- files --- */

struct text {
	char p[CGROUPFILE_MAX_BYTES];
	size_t len;
};

/* From its beginning to its end. -EMSGSIZE: it has more than t has room for. */
static int
read_all(const struct cgroup_sys *sys, int fd, struct text *t)
{
	t->len = 0;
	while (t->len < sizeof(t->p)) {
		ssize_t n = sys->read_at(fd, t->p + t->len, sizeof(t->p) - t->len, (off_t)t->len);

		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		t->len += (size_t)n;
	}
	return -EMSGSIZE;
}

static int
read_file(const struct cgroup_sys *sys, int dir, const char *name, struct text *t)
{
	cleanup_fd int fd = sys->open_below(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	t->len = 0;
	return fd < 0 ? -errno : read_all(sys, fd, t);
}

/* In one write, which these files take as one order. */
static int
write_file(const struct cgroup_sys *sys, int dir, const char *name, const char *text)
{
	cleanup_fd int fd = sys->open_below(dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = sys->write(fd, text, len);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static int
read_controllers(const struct cgroup_sys *sys, int dir, const char *name, unsigned *out)
{
	struct text t;
	int rc = read_file(sys, dir, name, &t);

	return rc != 0 ? rc : cgroupfile_controllers(t.p, t.len, out);
}

/* --- the subtree --- */

static int
is_cgroup2(const struct cgroup_sys *sys, int fd, bool *out)
{
	struct statfs fs;

	if (sys->fs_info(fd, &fs) != 0)
		return -errno;
	*out = fs.f_type == CGROUP2_SUPER_MAGIC;
	return 0;
}

/* The root of the v2 hierarchy: the mount itself, or beside those of v1. */
static int
open_hierarchy(const struct cgroup_sys *sys, int *out)
{
	cleanup_fd int mount = sys->open_root(sys->mount, DIR_FLAGS);
	cleanup_fd int unified = -1;
	bool is_v2 = false;
	int rc;

	if (mount < 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	rc = is_cgroup2(sys, mount, &is_v2);
	if (rc != 0)
		return rc;
	if (is_v2) {
		*out = steal_fd(&mount);
		return 0;
	}
	unified = sys->open_below(mount, "unified", DIR_FLAGS);
	if (unified < 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	rc = is_cgroup2(sys, unified, &is_v2);
	if (rc == 0 && !is_v2)
		rc = -EOPNOTSUPP;
	if (rc == 0)
		*out = steal_fd(&unified);
	return rc;
}

static int
own_path(const struct cgroup_sys *sys, char *out, size_t out_size)
{
	cleanup_fd int fd = sys->open_root(sys->own, O_RDONLY | O_CLOEXEC);
	struct text t;
	int rc;

	if (fd < 0)
		return -errno;
	rc = read_all(sys, fd, &t);
	if (rc == 0)
		rc = cgroupfile_own_path(t.p, t.len, out, out_size);
	return rc == -ENOENT ? -EOPNOTSUPP : rc;
}

/* Puts another name in place of the last component. */
static int
go_beside(char *path, size_t size, const char *name)
{
	char *slash = strrchr(path, '/');
	char *last = slash ? slash + 1 : path;

	if (name[0] == '\0' || strchr(name, '/') || strcmp(name, "..") == 0 ||
	    strlen(name) >= size - (size_t)(last - path))
		return -EINVAL;
	memcpy(last, name, strlen(name) + 1);
	return 0;
}

/* Something else may be mounted over a group: what was opened is looked at again. */
static int
open_base(const struct cgroup_sys *sys, int hierarchy, const char *path, struct cgroup *got)
{
	bool is_v2 = false;
	int rc;

	got->base = sys->open_below(hierarchy, path[0] ? path : ".", DIR_FLAGS);
	if (got->base < 0)
		return -errno;
	rc = is_cgroup2(sys, got->base, &is_v2);
	if (rc == 0 && !is_v2)
		rc = -EOPNOTSUPP;
	if (rc == 0)
		rc = read_controllers(sys, got->base, "cgroup.controllers", &got->available);
	if (rc == 0)
		rc = read_controllers(sys, got->base, "cgroup.subtree_control", &got->enabled);
	return rc;
}

int
cgroup_open(struct cgroup *c, const struct cgroup_sys *sys, const char *beside)
{
	struct cgroup got = { .sys = sys, .base = -1 };
	cleanup_fd int hierarchy = -1;
	char path[CGROUPFILE_MAX_BYTES] = "";
	int rc = open_hierarchy(sys, &hierarchy);

	if (rc == 0)
		rc = own_path(sys, path, sizeof(path));
	if (rc != 0)
		return rc;
	if (beside)
		rc = go_beside(path, sizeof(path), beside);
	if (rc == 0)
		rc = open_base(sys, hierarchy, path, &got);
	if (rc == 0)
		*c = got;
	else
		close_fd(&got.base);
	return rc;
}

void
cgroup_close(struct cgroup *c)
{
	close_fd(&c->base);
}

/*
 * Processes and controllers for others exclude each other, but the kernel refuses that for
 * memory and io alone: cpu and pids would turn the group into a threaded one, in whose children
 * nothing can be started. The root of all (it alone has no type) may have both.
 */
static int
check_no_process(const struct cgroup *c)
{
	struct text t;
	int rc = read_file(c->sys, c->base, "cgroup.type", &t);

	if (rc != 0)
		return rc == -ENOENT ? 0 : rc;
	rc = read_file(c->sys, c->base, "cgroup.procs", &t);
	if (rc == -EMSGSIZE || (rc == 0 && t.len > 0))
		return -EBUSY;
	return rc;
}

int
cgroup_prepare(struct cgroup *c)
{
	unsigned wanted = c->available & ~c->enabled;
	char order[64] = "";
	int rc;

	if (wanted == 0)
		return 0;
	rc = check_no_process(c);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++) {
		size_t len = strlen(order);

		if (wanted >> i & 1)
			snprintf(order + len, sizeof(order) - len, "%s+%s", len ? " " : "",
			    cgroupfile_controller_name(i));
	}
	rc = write_file(c->sys, c->base, "cgroup.subtree_control", order);
	if (rc == 0)
		c->enabled |= wanted;
	return rc;
}

/* --- the limits of a session --- */

bool
cgroup_limits_fit(const struct cgroup_limits *l)
{
	return l->cpu_milli >= 1 && l->cpu_milli <= CGROUP_CPU_MAX_MILLI &&
	    l->memory_bytes >= CGROUP_MEMORY_MIN_BYTES &&
	    l->memory_bytes <= CGROUP_MEMORY_MAX_BYTES && l->pids >= CGROUP_PIDS_MIN &&
	    l->pids <= CGROUP_PIDS_MAX && l->io_weight <= CGROUP_IO_WEIGHT_MAX;
}

/* One line for one file. */
struct setting {
	const char *file;
	unsigned limit; /* what does not hold without it; 0: the kernel always has the file */
	const char *before;
	uint64_t value;
	uint64_t after; /* 0: nothing */
};

static int
write_setting(const struct cgroup_sys *sys, int dir, const struct setting *s)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "%s%" PRIu64, s->before, s->value);

	if (s->after)
		snprintf(text + len, sizeof(text) - (size_t)len, " %" PRIu64, s->after);
	return write_file(sys, dir, s->file, text);
}

/* A file that this kernel does not have is a limit that does not hold; any other error is one. */
static int
write_limits(const struct cgroup *c, int dir, const struct cgroup_limits *l, unsigned *holds)
{
	/* The kernel takes quotas from 1 ms, and periods up to 1 s. */
	uint64_t period_us = l->cpu_milli < 10 ? 1000000 : 100000;
	const struct setting settings[] = {
		{ "cgroup.max.descendants", 0, "", 0, 0 },
		{ "cpu.max", CGROUP_CPU, "", l->cpu_milli * period_us / 1000, period_us },
		{ "memory.max", CGROUP_MEMORY, "", l->memory_bytes, 0 },
		{ "memory.oom.group", CGROUP_MEMORY, "", 1, 0 },
		{ "memory.swap.max", CGROUP_SWAP, "", 0, 0 },
		{ "pids.max", CGROUP_PIDS, "", l->pids, 0 },
		{ "io.weight", CGROUP_IO, "default ", l->io_weight, 0 },
	};
	unsigned on = c->enabled | (c->enabled & CGROUP_MEMORY ? CGROUP_SWAP : 0);

	for (size_t i = 0; i < COUNT_OF(settings); i++) {
		const struct setting *s = &settings[i];
		int rc;

		if ((s->limit && !(on & s->limit)) || (s->limit == CGROUP_IO && s->value == 0))
			continue;
		rc = write_setting(c->sys, dir, s);
		if (rc == -ENOENT && s->limit)
			on &= ~s->limit;
		else if (rc != 0)
			return rc;
	}
	*holds = on;
	return 0;
}

/* --- a session --- */

static int
session_name(uint32_t slot, char out[static NAME_SIZE])
{
	if (slot >= SESSION_SLOTS)
		return -EINVAL;
	snprintf(out, NAME_SIZE, "s%" PRIu32, slot);
	return 0;
}

int
cgroup_session_open(const struct cgroup *c, uint32_t slot, int *dir)
{
	char name[NAME_SIZE];
	int fd, rc = session_name(slot, name);

	if (rc != 0)
		return rc;
	fd = c->sys->open_below(c->base, name, DIR_FLAGS);
	if (fd < 0)
		return -errno;
	*dir = fd;
	return 0;
}

int
cgroup_session_make(const struct cgroup *c, uint32_t slot, const struct cgroup_limits *l,
    unsigned required, int *dir, unsigned *holds)
{
	char name[NAME_SIZE];
	cleanup_fd int fd = -1;
	unsigned on = 0;
	int rc;

	if (session_name(slot, name) != 0 || !cgroup_limits_fit(l))
		return -EINVAL;
	if (c->sys->make_dir(c->base, name, 0755) != 0)
		return -errno;
	rc = cgroup_session_open(c, slot, &fd);
	if (rc == 0)
		rc = write_limits(c, fd, l, &on);
	if (rc == 0 && (required & ~on) != 0)
		rc = -EOPNOTSUPP;
	if (rc != 0) {
		c->sys->remove_dir(c->base, name, AT_REMOVEDIR);
		return rc;
	}
	*dir = steal_fd(&fd);
	*holds = on;
	return 0;
}

int
cgroup_session_kill(const struct cgroup *c, int dir)
{
	return write_file(c->sys, dir, "cgroup.kill", "1");
}

int
cgroup_session_remove(const struct cgroup *c, uint32_t slot)
{
	char name[NAME_SIZE];
	int rc = session_name(slot, name);

	if (rc != 0)
		return rc;
	if (c->sys->remove_dir(c->base, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* The kernel removes no group in which anybody lives. */
static int
remove_when_empty(const struct cgroup *c, uint32_t slot, int dir, uint32_t timeout_ms)
{
	cleanup_fd int events = c->sys->open_below(dir, "cgroup.events",
	    O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t now, until = mono_ms() + timeout_ms;
	struct text t;
	int left_ms;

	if (events < 0)
		return -errno;
	for (;;) {
		/* Reading arms the wait, so it comes before the try. */
		int rc = read_all(c->sys, events, &t);

		if (rc == 0)
			rc = cgroup_session_remove(c, slot);
		if (rc != -EBUSY)
			return rc;
		now = mono_ms();
		if (now >= until)
			return -ETIMEDOUT;
		left_ms = until - now < LOOK_AGAIN_MS ? (int)(until - now) : LOOK_AGAIN_MS;
		if (c->sys->wait(events, left_ms) < 0 && errno != EINTR)
			return -errno;
	}
}

int
cgroup_session_end(const struct cgroup *c, uint32_t slot, uint32_t timeout_ms)
{
	cleanup_fd int dir = -1;
	int rc = cgroup_session_open(c, slot, &dir);

	if (rc != 0)
		return rc == -ENOENT ? 0 : rc;
	rc = cgroup_session_kill(c, dir);
	return rc ? rc : remove_when_empty(c, slot, dir, timeout_ms);
}

unsigned
cgroup_sweep(const struct cgroup *c)
{
	unsigned left = 0;

	/* By name rather than by reading the directory: no other name is ours. */
	for (uint32_t slot = 0; slot < SESSION_SLOTS; slot++) {
		int rc = cgroup_session_remove(c, slot);

		if (rc != 0 && rc != -EBUSY)
			left++;
	}
	return left;
}

/* --- consumption --- */

/* What a host may lack: the file, or PSI is compiled in but switched off. */
static bool
is_not_told(int rc)
{
	return rc == -ENOENT || rc == -EOPNOTSUPP;
}

/* Every group has its cpu.stat, with controllers or without, for as long as there is the group. */
int
cgroup_pack_stats(const struct cgroup *c, int dir, struct writer *w)
{
	struct text t;

	for (unsigned i = 0; i < CGROUP_STAT_FILES; i++) {
		int rc = read_file(c->sys, dir, cgroupfile_stat_name(i), &t);

		if (rc != 0 && (i == CGROUP_FILE_CPU_STAT || !is_not_told(rc)))
			return rc;
		if (rc != 0)
			continue;
		put_u8(w, (uint8_t)i);
		put_view(w, view_bytes(t.p, t.len));
	}
	return w->err == 0 ? 0 : -EMSGSIZE;
}
