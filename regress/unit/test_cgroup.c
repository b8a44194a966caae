/* SPDX-License-Identifier: MIT */
/*
 * Tests of the limits by cgroup v2: the parser; the module on a directory tree that imitates
 * cgroupfs, with each system call made to fail in turn; and on the kernel's own, as far as
 * this host has one. links: ptyd/cgroup.c ptyd/cgroupfile.c ptyd/span.c ptyd/usage.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/mono.h"
#include "common/session.h"
#include "ptyd/cgroup.h"
#include "ptyd/usage.h"

#define ALL_CONTROLLERS (CGROUP_CPU | CGROUP_MEMORY | CGROUP_PIDS | CGROUP_IO)
#define END_MS 5000

/* --- the parser --- */

struct path_case {
	const char *text;
	int rc;
	const char *path;
};

static void
own_path_is_read(void **state)
{
	static const struct path_case cases[] = {
		{ "0::/\n", 0, "" },
		{ "0::/system.slice/fog.service\n", 0, "system.slice/fog.service" },
		{ "9:name=systemd:/\n8:pids:/x\n0::/a/b\n", 0, "a/b" },
		{ "0::/a\\x2db/..c/.d\n", 0, "a\\x2db/..c/.d" },
		{ "0::/service\n", 0, "service" },
		{ "", -ENOENT, NULL },
		{ "10::/a\n", -ENOENT, NULL },
		{ "8:pids:/x\n", -ENOENT, NULL },
		{ "0::/a", -EBADMSG, NULL },
		{ "0::a\n", -EBADMSG, NULL },
		{ "0::\n", -EBADMSG, NULL },
		{ "0:://a\n", -EBADMSG, NULL },
		{ "0::/a/\n", -EBADMSG, NULL },
		{ "0::/a//b\n", -EBADMSG, NULL },
		{ "0::/..\n", -EBADMSG, NULL },
		{ "0::/../x\n", -EBADMSG, NULL },
		{ "0::/a/../b\n", -EBADMSG, NULL },
		{ "0::/a/./b\n", -EBADMSG, NULL },
		{ "0::/a/.\n", -EBADMSG, NULL },
		{ "0::/a (deleted)\n", -EBADMSG, NULL },
		{ "0::/a\n0::/b\n", -EBADMSG, NULL },
		{ "0::/\n0::/\n", -EBADMSG, NULL },
		{ "0::/a\n1", -EBADMSG, NULL },
		{ "0::/a-path-that-is-longer-than-the-room-for-it\n", -ENAMETOOLONG, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char out[32] = "unset";
		int rc = cgroupfile_own_path(cases[i].text, strlen(cases[i].text), out,
		    sizeof(out));

		if (rc != cases[i].rc)
			print_error("own_path: %s", cases[i].text);
		assert_int_equal(rc, cases[i].rc);
		assert_string_equal(out, cases[i].path ? cases[i].path : "unset");
	}
	assert_int_equal(cgroupfile_own_path("0::/a\0b\n", 8, (char[32]){ 0 }, 32), -EBADMSG);
}

struct controllers_case {
	const char *text;
	int rc;
	unsigned set;
};

static void
controllers_are_read(void **state)
{
	static const struct controllers_case cases[] = {
		{ "", 0, 0 },
		{ "\n", 0, 0 },
		{ "hugetlb\n", 0, 0 },
		{ "cpuset cpu io memory hugetlb pids rdma misc\n", 0, ALL_CONTROLLERS },
		{ "cpu pids\n", 0, CGROUP_CPU | CGROUP_PIDS },
		{ "memory\n", 0, CGROUP_MEMORY },
		{ "cpus memoryx xio\n", 0, 0 },
		{ "cpu", -EBADMSG, 0 },
		{ "cpu\n\n", -EBADMSG, 0 },
		{ "cpu\nio\n", -EBADMSG, 0 },
		{ " cpu\n", -EBADMSG, 0 },
		{ "cpu \n", -EBADMSG, 0 },
		{ "cpu  io\n", -EBADMSG, 0 },
		{ "CPU\n", -EBADMSG, 0 },
		{ "+cpu\n", -EBADMSG, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		unsigned set = 0;

		assert_int_equal(cgroupfile_controllers(cases[i].text, strlen(cases[i].text), &set),
		    cases[i].rc);
		assert_int_equal(set, cases[i].set);
	}
}

struct value_case {
	const char *text, *key; /* key NULL: the file is one number */
	int rc;
	uint64_t value;
};

static void
values_are_read(void **state)
{
	static const struct value_case cases[] = {
		{ "0\n", NULL, 0, 0 },
		{ "4096\n", NULL, 0, 4096 },
		{ "18446744073709551615\n", NULL, 0, UINT64_MAX },
		{ "18446744073709551616\n", NULL, -EBADMSG, 0 },
		{ "99999999999999999999\n", NULL, -EBADMSG, 0 },
		{ "max\n", NULL, -EBADMSG, 0 },
		{ "007\n", NULL, -EBADMSG, 0 },
		{ "-1\n", NULL, -EBADMSG, 0 },
		{ "+1\n", NULL, -EBADMSG, 0 },
		{ " 1\n", NULL, -EBADMSG, 0 },
		{ "1 \n", NULL, -EBADMSG, 0 },
		{ "1\n2\n", NULL, -EBADMSG, 0 },
		{ "1", NULL, -EBADMSG, 0 },
		{ "\n", NULL, -EBADMSG, 0 },
		{ "", NULL, -EBADMSG, 0 },
		{ "usage_usec 12\nuser_usec 7\n", "usage_usec", 0, 12 },
		{ "usage_usec 12\nuser_usec 7\n", "user_usec", 0, 7 },
		{ "usage_usec 12\nuser_usec 7\n", "usec", -ENOENT, 0 },
		{ "core_sched.force_idle_usec 3\n", "core_sched.force_idle_usec", 0, 3 },
		{ "populated 0\nfrozen 0\n", "populated", 0, 0 },
		{ "low 0\noom 2\noom_kill 1\noom_group_kill 1\n", "oom_kill", 0, 1 },
		{ "", "populated", -ENOENT, 0 },
		{ "populated 0\npopulated 1\n", "populated", -EBADMSG, 0 },
		{ "populated 0\nfrozen\n", "populated", -EBADMSG, 0 },
		{ "populated 0\nfrozen x\n", "populated", -EBADMSG, 0 },
		{ "populated  0\n", "populated", -EBADMSG, 0 },
		{ "populated 0\n\n", "populated", -EBADMSG, 0 },
		{ "populated 0", "populated", -EBADMSG, 0 },
		{ "populated 0\nfro", "populated", -EBADMSG, 0 },
		{ "Populated 0\n", "populated", -EBADMSG, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct value_case *k = &cases[i];
		uint64_t v = 0;
		int rc = k->key ? usage_value(k->text, strlen(k->text), k->key, &v)
				: usage_number(k->text, strlen(k->text), &v);

		if (rc != k->rc)
			print_error("value: %s", k->text);
		assert_int_equal(rc, k->rc);
		assert_true(v == k->value);
	}
}

#define QUIET "avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

struct pressure_case {
	const char *text;
	int rc;
	struct cgroup_pressure out;
};

static void
pressure_is_read(void **state)
{
	static const struct pressure_case cases[] = {
		{ "some " QUIET "full " QUIET, 0, { 0, 0 } },
		{ "some avg10=12.34 avg60=0.01 avg300=99.99 total=7\nfull avg10=0.05 avg60=0.00 "
		  "avg300=0.00 total=1\n",
		    0, { 1234, 5 } },
		{ "some avg10=100.00 avg60=100.00 avg300=1.00 total=7\nfull avg10=100.01 "
		  "avg60=0.00 avg300=0.00 total=1\n",
		    0, { 10000, 10000 } },
		{ "some avg10=100.02 avg60=0.00 avg300=0.00 total=0\nfull " QUIET, -EBADMSG,
		    { 0, 0 } },
		{ "some " QUIET, -EBADMSG, { 0, 0 } },
		{ "full " QUIET "some " QUIET, -EBADMSG, { 0, 0 } },
		{ "some " QUIET "full " QUIET "some " QUIET, -EBADMSG, { 0, 0 } },
		{ "some avg10=0.0 avg60=0.00 avg300=0.00 total=0\nfull " QUIET, -EBADMSG,
		    { 0, 0 } },
		{ "some avg10=0.000 avg60=0.00 avg300=0.00 total=0\nfull " QUIET, -EBADMSG,
		    { 0, 0 } },
		{ "some avg10=.00 avg60=0.00 avg300=0.00 total=0\nfull " QUIET, -EBADMSG,
		    { 0, 0 } },
		{ "some avg10=0.x0 avg60=0.00 avg300=0.00 total=0\nfull " QUIET, -EBADMSG,
		    { 0, 0 } },
		{ "some avg10=0.00 avg300=0.00 total=0\nfull " QUIET, -EBADMSG, { 0, 0 } },
		{ "some avg10=0.00 avg60=0.00 avg300=0.00 total=\nfull " QUIET, -EBADMSG,
		    { 0, 0 } },
		{ "some avg10=0.00 avg60=0.00 avg300=0.00 total=0 x\nfull " QUIET, -EBADMSG,
		    { 0, 0 } },
		{ "", -EBADMSG, { 0, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct cgroup_pressure p = { 0, 0 };

		assert_int_equal(usage_pressure(cases[i].text, strlen(cases[i].text), &p),
		    cases[i].rc);
		assert_int_equal(p.some_centi, cases[i].out.some_centi);
		assert_int_equal(p.full_centi, cases[i].out.full_centi);
	}
}

static void
files_are_bounded(void **state)
{
	static char text[CGROUPFILE_MAX_BYTES + 1];
	unsigned set;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[CGROUPFILE_MAX_BYTES - 1] = '\n';
	assert_int_equal(cgroupfile_controllers(text, CGROUPFILE_MAX_BYTES, &set), 0);
	text[CGROUPFILE_MAX_BYTES - 1] = 'a';
	text[CGROUPFILE_MAX_BYTES] = '\n';
	assert_int_equal(cgroupfile_controllers(text, CGROUPFILE_MAX_BYTES + 1, &set), -EBADMSG);
}

static void
limits_have_bounds(void **state)
{
	const struct cgroup_limits good = { 500, 512u << 20, 64, 100 };
	struct cgroup_limits l = good;

	(void)state;
	assert_true(cgroup_limits_fit(&l));
#define BAD(field, v) \
	do { \
		l = good; \
		l.field = (v); \
		assert_false(cgroup_limits_fit(&l)); \
	} while (0)
	BAD(cpu_milli, 0);
	BAD(cpu_milli, CGROUP_CPU_MAX_MILLI + 1);
	BAD(memory_bytes, CGROUP_MEMORY_MIN_BYTES - 1);
	BAD(memory_bytes, CGROUP_MEMORY_MAX_BYTES + 1);
	BAD(pids, CGROUP_PIDS_MIN - 1);
	BAD(pids, CGROUP_PIDS_MAX + 1);
	BAD(io_weight, CGROUP_IO_WEIGHT_MAX + 1);
#undef BAD
	l = (struct cgroup_limits){ CGROUP_CPU_MAX_MILLI, CGROUP_MEMORY_MAX_BYTES, CGROUP_PIDS_MAX,
		CGROUP_IO_WEIGHT_MAX };
	assert_true(cgroup_limits_fit(&l));
	l = (struct cgroup_limits){ 1, CGROUP_MEMORY_MIN_BYTES, CGROUP_PIDS_MIN, 0 };
	assert_true(cgroup_limits_fit(&l));
}

/* --- an imitation of cgroupfs on plain directories --- */

static struct imitation {
	char dir[PATH_MAX], mount[PATH_MAX + 16], own[PATH_MAX + 16];
	struct cgroup_sys sys;
	long type;           /* of what fs_info is asked */
	const char *missing; /* a file that new groups do not have */
	unsigned calls, fail_at;
	int fail_with;
	bool is_lasting; /* every call from fail_at on fails */
	bool is_immortal;
} im;

static bool
must_fail(void)
{
	im.calls++;
	if (im.calls != im.fail_at && !(im.is_lasting && im.calls > im.fail_at))
		return false;
	errno = im.fail_with;
	return true;
}

static int
im_open_root(const char *path, int flags)
{
	return must_fail() ? -1 : cgroup_kernel.open_root(path, flags);
}

static int
im_open_below(int dir, const char *path, int flags)
{
	return must_fail() ? -1 : cgroup_kernel.open_below(dir, path, flags);
}

static int
im_fs_info(int fd, struct statfs *out)
{
	(void)fd;
	if (must_fail())
		return -1;
	out->f_type = im.type;
	return 0;
}

static void
put_file(int dir, const char *name, const char *text)
{
	cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static const struct {
	const char *name, *text;
} group_files[] = {
	{ "cgroup.type", "domain\n" },
	{ "cgroup.controllers", "cpuset cpu io memory hugetlb pids\n" },
	{ "cgroup.subtree_control", "\n" },
	{ "cgroup.procs", "" },
	{ "cgroup.kill", "" },
	{ "cgroup.events", "populated 0\nfrozen 0\n" },
	{ "cgroup.max.descendants", "max\n" },
	{ "cpu.max", "max 100000\n" },
	{ "cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n" },
	{ "memory.max", "max\n" },
	{ "memory.swap.max", "max\n" },
	{ "memory.oom.group", "0\n" },
	{ "memory.current", "4096\n" },
	{ "memory.peak", "8192\n" },
	{ "memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 1\n" },
	{ "pids.max", "max\n" },
	{ "pids.current", "3\n" },
	{ "io.weight", "default 100\n" },
	{ "cpu.pressure", "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nfull " QUIET },
	{ "memory.pressure", "some " QUIET "full " QUIET },
	{ "io.pressure",
	    "some avg10=2.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00 "
	    "avg60=0.00 avg300=0.00 total=1\n" },
};

static void
fill_group(int dir)
{
	for (size_t i = 0; i < COUNT_OF(group_files); i++) {
		if (!im.missing || strcmp(im.missing, group_files[i].name) != 0)
			put_file(dir, group_files[i].name, group_files[i].text);
	}
}

static int
im_make_dir(int parent, const char *name, mode_t mode)
{
	cleanup_fd int dir = -1;

	if (must_fail() || mkdirat(parent, name, mode) != 0)
		return -1;
	dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	fill_group(dir);
	return 0;
}

static void
get_file(int dir, const char *name, char *out, size_t size)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	assert_true(n >= 0);
	out[n] = '\0';
}

static bool
is_populated(int dir)
{
	char text[64] = "";

	get_file(dir, "cgroup.events", text, sizeof(text));
	return strncmp(text, "populated 1", 11) == 0;
}

static int
im_remove_dir(int parent, const char *name, int flags)
{
	cleanup_fd int dir = -1;

	if (must_fail())
		return -1;
	dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	if (is_populated(dir)) {
		errno = EBUSY;
		return -1;
	}
	for (size_t i = 0; i < COUNT_OF(group_files); i++)
		unlinkat(dir, group_files[i].name, 0);
	return unlinkat(parent, name, flags);
}

static ssize_t
im_read_at(int fd, void *to, size_t size, off_t at)
{
	return must_fail() ? -1 : pread(fd, to, size, at);
}

/* An order "+cpu +io" is read back as "cpu io". */
static ssize_t
im_write(int fd, const void *from, size_t len)
{
	const char *p = from;

	if (must_fail() || ftruncate(fd, 0) != 0)
		return -1;
	if (p[0] != '+')
		return write(fd, from, len);
	for (size_t i = 0; i < len; i++)
		assert_true(p[i] == '+' || write(fd, p + i, 1) == 1);
	return write(fd, "\n", 1) == 1 ? (ssize_t)len : -1;
}

/* While somebody waits, all those that were killed die. */
static int
im_wait(int fd, int timeout_ms)
{
	char path[64];

	assert_true(timeout_ms > 0);
	if (must_fail())
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (im.is_immortal)
		usleep(1000);
	else
		put_file(AT_FDCWD, path, "populated 0\nfrozen 0\n");
	return 0;
}

static int
open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* A mount with one group fog.service, which this process is said to be in. */
static int
setup(void **state)
{
	cleanup_fd int mount = -1;

	(void)state;
	memset(&im, 0, sizeof(im));
	snprintf(im.dir, sizeof(im.dir), "%s/fog-cgroup-XXXXXX",
	    getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(im.dir));
	snprintf(im.mount, sizeof(im.mount), "%s/mount", im.dir);
	snprintf(im.own, sizeof(im.own), "%s/own", im.dir);
	im.type = CGROUP2_SUPER_MAGIC;
	im.sys = (struct cgroup_sys){ im.mount, im.own, im_open_root, im_open_below, im_fs_info,
		im_make_dir, im_remove_dir, im_read_at, im_write, im_wait };
	assert_int_equal(mkdir(im.mount, 0755), 0);
	mount = open_dir(im.mount);
	fill_group(mount);
	assert_int_equal(im_make_dir(mount, "fog.service", 0755), 0);
	put_file(AT_FDCWD, im.own, "0::/fog.service\n");
	return 0;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int
teardown(void **state)
{
	(void)state;
	return nftw(im.dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void
use_calls(unsigned fail_at, int fail_with)
{
	im.calls = 0;
	im.fail_at = fail_at;
	im.fail_with = fail_with;
}

static struct cgroup
opened(void)
{
	struct cgroup c = CGROUP_EMPTY;

	assert_int_equal(cgroup_open(&c, &im.sys, NULL), 0);
	return c;
}

static struct cgroup
prepared(void)
{
	struct cgroup c = opened();

	assert_int_equal(cgroup_prepare(&c), 0);
	return c;
}

static const struct cgroup_limits some_limits = { 500, 512u << 20, 64, 200 };

static void
assert_file(int dir, const char *name, const char *text)
{
	char got[256];

	get_file(dir, name, got, sizeof(got));
	assert_string_equal(got, text);
}

static size_t
count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static bool
has_group(const struct cgroup *c, const char *name)
{
	return faccessat(c->base, name, F_OK, 0) == 0;
}

static void
opening_finds_the_own_group(void **state)
{
	struct cgroup c = opened();

	(void)state;
	assert_int_equal(c.available, ALL_CONTROLLERS);
	assert_int_equal(c.enabled, 0);
	assert_true(has_group(&c, "cgroup.procs"));
	cgroup_close(&c);
	assert_int_equal(c.base, -1);
}

static void
opening_refuses_what_is_no_cgroup2(void **state)
{
	struct cgroup c = CGROUP_EMPTY;
	cleanup_fd int mount = open_dir(im.mount);

	(void)state;
	im.type = TMPFS_MAGIC;
	assert_int_equal(cgroup_open(&c, &im.sys, NULL), -EOPNOTSUPP);
	/* Also when there is a directory of that name, but nothing is mounted there. */
	assert_int_equal(mkdirat(mount, "unified", 0755), 0);
	assert_int_equal(cgroup_open(&c, &im.sys, NULL), -EOPNOTSUPP);
	im.type = CGROUP2_SUPER_MAGIC;
	put_file(AT_FDCWD, im.own, "8:pids:/x\n");
	assert_int_equal(cgroup_open(&c, &im.sys, NULL), -EOPNOTSUPP);
	put_file(AT_FDCWD, im.own, "0::/../fog.service\n");
	assert_int_equal(cgroup_open(&c, &im.sys, NULL), -EBADMSG);
	put_file(AT_FDCWD, im.own, "0::/gone.service\n");
	assert_int_equal(cgroup_open(&c, &im.sys, NULL), -ENOENT);
	assert_int_equal(symlinkat("fog.service", mount, "link"), 0);
	put_file(AT_FDCWD, im.own, "0::/link\n");
	assert_int_equal(cgroup_open(&c, &im.sys, NULL), -ENOTDIR);
	put_file(AT_FDCWD, im.own, "0::/link/below\n");
	assert_int_equal(cgroup_open(&c, &im.sys, NULL), -ELOOP);
	assert_int_equal(c.base, -1);
}

/* Sessions in a unit that is not restarted with ours. */
static void
opening_finds_another_unit(void **state)
{
	static const char *const own[] = { "0::/fog.service\n", "0::/\n" };
	struct cgroup c = CGROUP_EMPTY;
	cleanup_fd int mount = open_dir(im.mount), other = -1;
	char name[CGROUPFILE_MAX_BYTES];

	(void)state;
	assert_int_equal(cgroup_open(&c, &im.sys, "other.service"), -ENOENT);
	assert_int_equal(im_make_dir(mount, "other.service", 0755), 0);
	other = openat(mount, "other.service", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put_file(other, "cgroup.controllers", "pids\n");
	for (size_t i = 0; i < COUNT_OF(own); i++) {
		put_file(AT_FDCWD, im.own, own[i]);
		assert_int_equal(cgroup_open(&c, &im.sys, "other.service"), 0);
		assert_int_equal(c.available, CGROUP_PIDS);
		cgroup_close(&c);
	}
	assert_int_equal(cgroup_open(&c, &im.sys, "a/b"), -EINVAL);
	assert_int_equal(cgroup_open(&c, &im.sys, ".."), -EINVAL);
	assert_int_equal(cgroup_open(&c, &im.sys, ""), -EINVAL);
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	put_file(AT_FDCWD, im.own, "0::/x.slice/fog.service\n");
	assert_int_equal(cgroup_open(&c, &im.sys, name), -EINVAL);
}

static int
im_hybrid_info(int fd, struct statfs *out)
{
	char path[64], target[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	assert_true(n > 0);
	target[n] = '\0';
	out->f_type = strstr(target, "/unified") ? CGROUP2_SUPER_MAGIC : TMPFS_MAGIC;
	return 0;
}

static void
a_hybrid_tree_has_no_controllers(void **state)
{
	struct cgroup c = CGROUP_EMPTY;
	cleanup_fd int mount = open_dir(im.mount), unified = -1;
	int dir = -1;
	unsigned holds = 0;

	(void)state;
	im.sys.fs_info = im_hybrid_info;
	assert_int_equal(im_make_dir(mount, "unified", 0755), 0);
	unified = openat(mount, "unified", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put_file(unified, "cgroup.controllers", "hugetlb\n");
	put_file(AT_FDCWD, im.own, "8:pids:/x\n0::/\n");
	c = prepared();
	assert_int_equal(c.available | c.enabled, 0);
	assert_int_equal(cgroup_session_make(&c, 0, &some_limits, CGROUP_NEEDED, &dir, &holds),
	    -EOPNOTSUPP);
	assert_false(has_group(&c, "s0"));
	assert_int_equal(cgroup_session_make(&c, 0, &some_limits, 0, &dir, &holds), 0);
	assert_int_equal(holds, 0);
	assert_file(dir, "memory.max", "max\n");
	close_fd(&dir);
	assert_int_equal(cgroup_session_end(&c, 0, END_MS), 0);
	cgroup_close(&c);
}

static void
preparing_enables_all_at_once(void **state)
{
	struct cgroup c = prepared();

	(void)state;
	assert_int_equal(c.enabled, ALL_CONTROLLERS);
	assert_file(c.base, "cgroup.subtree_control", "cpu memory pids io\n");
	use_calls(0, 0);
	assert_int_equal(cgroup_prepare(&c), 0);
	assert_int_equal(im.calls, 0);
	cgroup_close(&c);
}

static void
preparing_adds_what_is_missing(void **state)
{
	struct cgroup c = opened();

	(void)state;
	put_file(c.base, "cgroup.subtree_control", "cpu pids\n");
	put_file(c.base, "cgroup.controllers", "cpu memory pids\n");
	cgroup_close(&c);
	c = opened();
	assert_int_equal(c.enabled, CGROUP_CPU | CGROUP_PIDS);
	assert_int_equal(cgroup_prepare(&c), 0);
	assert_file(c.base, "cgroup.subtree_control", "memory\n");
	assert_int_equal(c.enabled, CGROUP_CPU | CGROUP_PIDS | CGROUP_MEMORY);
	cgroup_close(&c);
}

/* A group in which others live has not been delegated; the root of all may have processes. */
static void
preparing_refuses_a_group_with_processes(void **state)
{
	struct cgroup c = opened();

	(void)state;
	put_file(c.base, "cgroup.procs", "1\n42\n");
	assert_int_equal(cgroup_prepare(&c), -EBUSY);
	assert_int_equal(c.enabled, 0);
	assert_file(c.base, "cgroup.subtree_control", "\n");
	assert_int_equal(unlinkat(c.base, "cgroup.type", 0), 0);
	assert_int_equal(cgroup_prepare(&c), 0);
	cgroup_close(&c);
}

static void
a_session_has_its_limits(void **state)
{
	struct cgroup c = prepared();
	cleanup_fd int dir = -1;
	unsigned holds = 0;

	(void)state;
	assert_int_equal(cgroup_session_make(&c, 4094, &some_limits, CGROUP_NEEDED, &dir, &holds),
	    0);
	assert_true(has_group(&c, "s4094"));
	assert_int_equal(holds, ALL_CONTROLLERS | CGROUP_SWAP);
	assert_file(dir, "cpu.max", "50000 100000");
	assert_file(dir, "memory.max", "536870912");
	assert_file(dir, "memory.swap.max", "0");
	assert_file(dir, "memory.oom.group", "1");
	assert_file(dir, "pids.max", "64");
	assert_file(dir, "io.weight", "default 200");
	assert_file(dir, "cgroup.max.descendants", "0");
	cgroup_close(&c);
}

static void
small_shares_and_no_weight(void **state)
{
	const struct cgroup_limits tiny = { 1, CGROUP_MEMORY_MIN_BYTES, CGROUP_PIDS_MIN, 0 };
	struct cgroup c = prepared();
	cleanup_fd int dir = -1;
	unsigned holds = 0;

	(void)state;
	assert_int_equal(cgroup_session_make(&c, 0, &tiny, CGROUP_NEEDED, &dir, &holds), 0);
	assert_file(dir, "cpu.max", "1000 1000000"); /* the kernel's least quota is 1 ms */
	assert_file(dir, "io.weight", "default 100\n");
	cgroup_close(&c);
}

static void
bad_orders_make_nothing(void **state)
{
	struct cgroup_limits bad = some_limits;
	struct cgroup c = prepared();
	cleanup_fd int dir = -1;
	int other = -1;
	unsigned holds = 77;

	(void)state;
	bad.pids = 1;
	assert_int_equal(cgroup_session_make(&c, 0, &bad, 0, &dir, &holds), -EINVAL);
	assert_int_equal(cgroup_session_make(&c, SESSION_SLOTS, &some_limits, 0, &dir, &holds),
	    -EINVAL);
	assert_int_equal(cgroup_session_open(&c, SESSION_SLOTS, &dir), -EINVAL);
	assert_int_equal(cgroup_session_remove(&c, SESSION_SLOTS), -EINVAL);
	assert_int_equal(cgroup_session_end(&c, SESSION_SLOTS, 0), -EINVAL);
	assert_int_equal(cgroup_session_open(&c, 0, &dir), -ENOENT);
	assert_int_equal(dir, -1);
	assert_int_equal(holds, 77);
	assert_int_equal(cgroup_session_make(&c, 0, &some_limits, 0, &dir, &holds), 0);
	put_file(dir, "memory.max", "7\n");
	assert_int_equal(cgroup_session_make(&c, 0, &some_limits, 0, &other, &holds), -EEXIST);
	assert_int_equal(other, -1);
	assert_file(dir, "memory.max", "7\n");
	cgroup_close(&c);
}

/* What the kernel lacks is said, and refused where it is required. */
static void
a_missing_file_is_a_limit_that_does_not_hold(void **state)
{
	static const struct {
		const char *file;
		unsigned limit;
	} cases[] = { { "cpu.max", CGROUP_CPU }, { "memory.max", CGROUP_MEMORY },
		{ "memory.oom.group", CGROUP_MEMORY }, { "memory.swap.max", CGROUP_SWAP },
		{ "pids.max", CGROUP_PIDS }, { "io.weight", CGROUP_IO } };
	struct cgroup c = prepared();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		unsigned all = ALL_CONTROLLERS | CGROUP_SWAP, holds = 0;
		int dir = -1;

		im.missing = cases[i].file;
		assert_int_equal(cgroup_session_make(&c, 9, &some_limits, all, &dir, &holds),
		    -EOPNOTSUPP);
		assert_false(has_group(&c, "s9"));
		assert_int_equal(cgroup_session_make(&c, 9, &some_limits, 0, &dir, &holds), 0);
		assert_int_equal(holds, all & ~cases[i].limit);
		close_fd(&dir);
		assert_int_equal(cgroup_session_remove(&c, 9), 0);
	}
	im.missing = NULL;
	cgroup_close(&c);
}

static void
populate(int dir)
{
	put_file(dir, "cgroup.events", "populated 1\nfrozen 0\n");
}

static void
ending_kills_waits_and_removes(void **state)
{
	struct cgroup c = prepared();
	cleanup_fd int dir = -1;
	unsigned holds;

	(void)state;
	assert_int_equal(cgroup_session_end(&c, 5, END_MS), 0); /* there is none */
	assert_int_equal(cgroup_session_make(&c, 5, &some_limits, 0, &dir, &holds), 0);
	populate(dir);
	assert_int_equal(cgroup_session_remove(&c, 5), -EBUSY);
	assert_file(dir, "cgroup.kill", "");
	im.is_immortal = true;
	assert_int_equal(cgroup_session_end(&c, 5, 0), -ETIMEDOUT);
	assert_int_equal(cgroup_session_end(&c, 5, 20), -ETIMEDOUT);
	assert_file(dir, "cgroup.kill", "1");
	assert_true(has_group(&c, "s5"));
	im.is_immortal = false;
	assert_int_equal(cgroup_session_end(&c, 5, END_MS), 0);
	assert_false(has_group(&c, "s5"));
	assert_int_equal(cgroup_session_remove(&c, 5), 0);
	cgroup_close(&c);
}

static void
sweeping_removes_what_is_left_over(void **state)
{
	static const uint32_t slots[] = { 0, 3, 7, SESSION_SLOTS - 1 };
	struct cgroup c = prepared();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(slots); i++) {
		cleanup_fd int dir = -1;
		unsigned holds;

		assert_int_equal(cgroup_session_make(&c, slots[i], &some_limits, 0, &dir, &holds),
		    0);
		if (slots[i] != 3)
			populate(dir);
	}
	assert_int_equal(mkdirat(c.base, "s5x", 0755), 0);
	assert_int_equal(cgroup_sweep(&c), 0);
	assert_true(has_group(&c, "s0") && has_group(&c, "s7") && has_group(&c, "s4094"));
	assert_false(has_group(&c, "s3"));
	assert_true(has_group(&c, "s5x"));
	cgroup_close(&c);
}

#define ALL_USAGE ((1U << USAGE_EGRESS_DENIED) - 1) /* that is no group's */
#define RECORD_BYTES 8192

/* As the spawner reads it and the broker makes sense of it. */
static int
usage_of(const struct cgroup *c, int dir, struct pl_usage *u)
{
	unsigned char room[RECORD_BYTES];
	struct writer files;
	int rc;

	*u = (struct pl_usage){ 0 };
	writer_init(&files, room, sizeof(room));
	rc = cgroup_pack_stats(c, dir, &files);
	return rc ? rc : usage_parse(view_bytes(room, files.len), u);
}

static bool
knows(const struct pl_usage *u, enum session_usage what)
{
	return u->known >> what & 1;
}

static void
usage_is_read(void **state)
{
	struct cgroup c = prepared();
	cleanup_fd int dir = -1;
	struct pl_usage u;
	unsigned holds;

	(void)state;
	assert_int_equal(cgroup_session_make(&c, 1, &some_limits, 0, &dir, &holds), 0);
	assert_int_equal(usage_of(&c, dir, &u), 0);
	assert_int_equal(u.known, ALL_USAGE);
	assert_int_equal(u.cpu_usec, 1500);
	assert_int_equal(u.memory_bytes, 4096);
	assert_int_equal(u.memory_peak_bytes, 8192);
	assert_int_equal(u.pids, 3);
	assert_int_equal(u.oom_kills, 2);
	assert_int_equal(u.cpu_pressure, 150);
	assert_int_equal(u.io_pressure, 200);
	assert_int_equal(u.holds,
	    1U << LIMIT_CPU | 1U << LIMIT_MEMORY | 1U << LIMIT_SWAP | 1U << LIMIT_PIDS |
		1U << LIMIT_IO);
	assert_int_equal(unlinkat(dir, "memory.peak", 0), 0);
	assert_int_equal(unlinkat(dir, "io.pressure", 0), 0);
	assert_int_equal(unlinkat(dir, "memory.swap.max", 0), 0);
	assert_int_equal(usage_of(&c, dir, &u), 0);
	assert_int_equal(u.known, ALL_USAGE & ~(1U << USAGE_MEMORY_PEAK | 1U << USAGE_IO_PRESSURE));
	assert_int_equal(u.holds,
	    1U << LIMIT_CPU | 1U << LIMIT_MEMORY | 1U << LIMIT_PIDS | 1U << LIMIT_IO);
	put_file(dir, "pids.current", "many\n");
	assert_int_equal(usage_of(&c, dir, &u), -EBADMSG);
	assert_int_equal(u.known, 0);
	assert_int_equal(cgroup_session_remove(&c, 1), 0);
	assert_int_equal(usage_of(&c, dir, &u), -ENOENT);
	cgroup_close(&c);
}

/* What no spawner sends. */
static void
bad_records_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int rc;
	} cases[] = { { "", 0, 0 },
		{ "\1\0\2"
		  "7\n",
		    5, 0 },
		{ "\1\0\2"
		  "7\n"
		  "\1\0\2"
		  "8\n",
		    10, -EBADMSG },
		{ "\377\0\0", 3, -EBADMSG }, { "\1", 1, -EBADMSG },
		{ "\1\0\3"
		  "7\n",
		    5, -EBADMSG },
		{ "\1\0\2"
		  "7\n"
		  "\5",
		    6, -EBADMSG },
		{ "\5\0\0", 3, -EBADMSG } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pl_usage u = { .holds = 1U << LIMIT_STORAGE };

		assert_int_equal(usage_parse(view_bytes(cases[i].bytes, cases[i].len), &u),
		    cases[i].rc);
		assert_int_equal(u.holds, 1U << LIMIT_STORAGE);
		assert_int_equal(u.known,
		    cases[i].rc == 0 && cases[i].len ? 1U << USAGE_MEMORY : 0);
		assert_int_equal(u.memory_bytes, u.known ? 7 : 0);
	}
}

/* --- each system call fails once --- */

struct fault {
	const char *name;
	int (*run)(struct cgroup *c, int *dir);
	bool (*is_clean)(const struct cgroup *c); /* after a failure */
};

static int
run_open(struct cgroup *c, int *dir)
{
	struct cgroup got = CGROUP_EMPTY;
	int rc = cgroup_open(&got, &im.sys, NULL);

	(void)c;
	(void)dir;
	assert_int_equal(got.base >= 0, rc == 0);
	cgroup_close(&got);
	return rc;
}

static int
run_prepare(struct cgroup *c, int *dir)
{
	int rc = cgroup_prepare(c);

	(void)dir;
	assert_int_equal(c->enabled, rc == 0 ? ALL_CONTROLLERS : 0);
	c->enabled = 0;
	return rc;
}

static int
run_make(struct cgroup *c, int *dir)
{
	unsigned holds = 77;
	int rc;

	c->enabled = ALL_CONTROLLERS;
	rc = cgroup_session_make(c, 1, &some_limits, CGROUP_NEEDED, dir, &holds);
	assert_int_equal(holds == 77, rc != 0);
	assert_int_equal(*dir < 0, rc != 0);
	return rc;
}

static int
run_end(struct cgroup *c, int *dir)
{
	cleanup_fd int s8 = -1;
	unsigned holds, fail_at = im.fail_at;
	int rc;

	(void)dir;
	im.fail_at = 0;
	rc = cgroup_session_make(c, 8, &some_limits, 0, &s8, &holds);
	if (rc == 0)
		populate(s8);
	else
		assert_int_equal(rc, -EEXIST); /* of the failure before */
	use_calls(fail_at, im.fail_with);
	return cgroup_session_end(c, 8, END_MS);
}

static bool
no_session(const struct cgroup *c)
{
	return !has_group(c, "s1");
}

static bool
still_there(const struct cgroup *c)
{
	return has_group(c, "s8");
}

static bool
not_enabled(const struct cgroup *c)
{
	char text[64] = "";

	get_file(c->base, "cgroup.subtree_control", text, sizeof(text));
	return strcmp(text, "\n") == 0 || text[0] == '\0';
}

/* EIO in each call in turn, until a run passes without one. */
static void
fail_each_call(const struct fault *f)
{
	struct cgroup c = opened();
	size_t fds = count_fds();
	unsigned n = 0;
	int rc;

	do {
		int dir = -1;

		use_calls(++n, EIO);
		rc = f->run(&c, &dir);
		use_calls(0, 0);
		close_fd(&dir);
		assert_int_equal(count_fds(), fds);
		if (rc == 0)
			break;
		if (rc != -EIO || !f->is_clean(&c))
			print_error("%s, call %u: %d\n", f->name, n, rc);
		assert_int_equal(rc, -EIO);
		assert_true(f->is_clean(&c));
	} while (n < 200);
	assert_int_equal(rc, 0);
	assert_in_range(n, 4, 199);
	cgroup_close(&c);
}

static void
faults_leave_nothing_half_made(void **state)
{
	static const struct fault faults[] = {
		{ "open", run_open, no_session },
		{ "prepare", run_prepare, not_enabled },
		{ "make", run_make, no_session },
		{ "end", run_end, still_there },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(faults); i++)
		fail_each_call(&faults[i]);
}

/* A failing clean-up leaves an empty group at worst, and the next sweep takes it. */
static void
a_sweep_takes_what_a_failed_cleanup_left(void **state)
{
	struct cgroup c = prepared();
	cleanup_fd int s1 = -1;
	unsigned holds;

	(void)state;
	use_calls(3, EIO); /* the group is made and opened, nothing works from then on */
	im.is_lasting = true;
	assert_int_equal(cgroup_session_make(&c, 1, &some_limits, 0, &s1, &holds), -EIO);
	im.is_lasting = false;
	use_calls(0, 0);
	assert_true(has_group(&c, "s1"));
	assert_int_equal(cgroup_session_make(&c, 1, &some_limits, 0, &s1, &holds), -EEXIST);
	assert_int_equal(cgroup_sweep(&c), 0);
	assert_int_equal(cgroup_session_make(&c, 1, &some_limits, 0, &s1, &holds), 0);
	cgroup_close(&c);
}

/* --- the kernel's --- */

static pid_t
fork_into(int dir)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)dir };

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static pid_t
sleeper_in(int dir)
{
	pid_t pid = fork_into(dir);

	if (pid == 0) {
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	return pid;
}

static int
signal_of(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* A group of the test's own in the kernel's tree, without controllers. false: there is no way. */
static bool
open_private(struct cgroup *outer, struct cgroup *own, char *name, size_t size)
{
	int rc = cgroup_open(outer, &cgroup_kernel, NULL);

	if (rc != 0) {
		print_message("no cgroup v2 on this host: %s\n", strerror(-rc));
		return false;
	}
	snprintf(name, size, "fog-test-%d", getpid());
	if (mkdirat(outer->base, name, 0755) != 0) {
		print_message("no group of our own: %s\n", strerror(errno));
		cgroup_close(outer);
		return false;
	}
	*own = (struct cgroup){ .sys = &cgroup_kernel, .base = -1 };
	own->base = openat(outer->base, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(own->base >= 0);
	return true;
}

static void
try_life(const struct cgroup *c)
{
	cleanup_fd int dir = -1;
	struct pl_usage u;
	unsigned holds = 77;
	struct pl_usage all;
	pid_t pids[2];

	assert_int_equal(cgroup_session_make(c, 3, &some_limits, 0, &dir, &holds), 0);
	assert_int_equal(holds, 0);
	assert_int_not_equal(mkdirat(dir, "nested", 0755), 0);
	for (size_t i = 0; i < COUNT_OF(pids); i++)
		pids[i] = sleeper_in(dir);
	assert_int_equal(usage_of(c, dir, &u), 0);
	assert_true(knows(&u, USAGE_CPU));
	assert_false(knows(&u, USAGE_MEMORY) || knows(&u, USAGE_PIDS));
	assert_int_equal(cgroup_session_remove(c, 3), -EBUSY);
	assert_int_equal(cgroup_sweep(c), 0);
	assert_int_equal(cgroup_session_end(c, 3, END_MS), 0);
	for (size_t i = 0; i < COUNT_OF(pids); i++)
		assert_int_equal(signal_of(pids[i]), SIGKILL);
	assert_false(has_group(c, "s3"));
	assert_int_equal(usage_of(c, dir, &all), -ENOENT);
	/* The base goes on to count it. */
	assert_int_equal(usage_of(c, c->base, &all), 0);
	assert_true(knows(&all, USAGE_CPU));
	assert_true(all.cpu_usec >= u.cpu_usec);
}

static void
the_kernel_kills_and_removes(void **state)
{
	struct cgroup outer = CGROUP_EMPTY, c = CGROUP_EMPTY;
	char name[32];

	(void)state;
	if (!open_private(&outer, &c, name, sizeof(name)))
		skip(); /* no cgroup v2 that this user may write: nothing here has such groups */
	for (int i = 0; i < 20; i++)
		try_life(&c);
	cgroup_close(&c);
	assert_int_equal(unlinkat(outer.base, name, AT_REMOVEDIR), 0);
	cgroup_close(&outer);
}

/* This process alone in a group with the controllers, as under systemd-run -p Delegate=yes. */
static const char *
why_not_delegated(struct cgroup *c)
{
	char procs[64], self[32];

	if (cgroup_open(c, &cgroup_kernel, NULL) != 0)
		return "no cgroup v2 on this host";
	if ((~c->available & (CGROUP_CPU | CGROUP_MEMORY | CGROUP_PIDS)) != 0)
		return "the cgroup v2 of this host has no controllers for cpu, memory and pids";
	if (geteuid() != 0)
		return "not root";
	snprintf(self, sizeof(self), "%d\n", getpid());
	get_file(c->base, "cgroup.procs", procs, sizeof(procs));
	return strcmp(procs, self) == 0 ? NULL : "this process is not alone in a group of its own";
}

/* Forks until it may not; its children, which stay behind, are killed with the group. */
static void
try_fork_bomb(int dir)
{
	pid_t pid = fork_into(dir);
	int status = 0, made = 0;

	if (pid == 0) {
		for (; made < 64; made++) {
			pid_t child = fork();

			if (child == 0)
				for (;;)
					pause();
			if (child < 0)
				break;
		}
		_exit(made);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7); /* of pids.max 8, one is its parent's */
}

static void
eat_memory(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t at = 0; p != MAP_FAILED && at < bytes; at += 4096)
		((volatile char *)p)[at] = 1;
	_exit(0);
}

static void
try_memory_bomb(const struct cgroup *c, int dir)
{
	struct pl_usage u;
	pid_t bystander = sleeper_in(dir), eater = fork_into(dir);

	if (eater == 0)
		eat_memory(64u << 20);
	assert_true(eater > 0);
	assert_int_equal(signal_of(eater), SIGKILL);
	assert_int_equal(signal_of(bystander), SIGKILL); /* the group goes as one */
	assert_int_equal(usage_of(c, dir, &u), 0);
	assert_int_equal(u.known | 1U << USAGE_MEMORY_PEAK, ALL_USAGE);
	assert_true(u.oom_kills >= 1);
	assert_int_equal(u.pids, 0);
}

/* What the base says of groups that are gone, and of what is in its leaf: this process. */
static void
try_usage_of_all(const struct cgroup *c)
{
	struct pl_usage u;

	assert_int_equal(usage_of(c, c->base, &u), 0);
	assert_true(u.cpu_usec >= 1000);
	assert_true(u.oom_kills >= 1);
	assert_int_equal(u.pids, 1);
	for (unsigned i = USAGE_CPU_PRESSURE; i <= USAGE_IO_PRESSURE; i++)
		assert_true(knows(&u, i));
}

/* A tenth of a CPU for 500 ms of spinning: some 50 ms, and never half of it. */
static void
try_cpu_hog(const struct cgroup *c, int dir)
{
	struct pl_usage before, after;
	pid_t pid;

	assert_int_equal(usage_of(c, dir, &before), 0);
	pid = fork_into(dir);
	if (pid == 0) {
		for (uint64_t until = mono_ms() + 500; mono_ms() < until;)
			;
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(signal_of(pid), 0);
	assert_int_equal(usage_of(c, dir, &after), 0);
	assert_in_range(after.cpu_usec - before.cpu_usec, 1000, 250000);
}

static void
try_limits(const struct cgroup *c)
{
	const struct cgroup_limits l = { 100, 16u << 20, 8, 0 };
	cleanup_fd int dir = -1;
	unsigned holds;

	assert_int_equal(cgroup_session_make(c, 1, &l, CGROUP_NEEDED, &dir, &holds), 0);
	assert_file(dir, "cpu.max", "10000 100000\n");
	assert_file(dir, "memory.max", "16777216\n");
	assert_file(dir, "memory.swap.max", "0\n");
	assert_file(dir, "memory.oom.group", "1\n");
	assert_file(dir, "pids.max", "8\n");
	try_cpu_hog(c, dir);
	try_fork_bomb(dir);
	assert_int_equal(cgroup_session_kill(c, dir), 0);
	assert_int_equal(cgroup_session_end(c, 1, END_MS), 0);
	close_fd(&dir);
	assert_int_equal(cgroup_session_make(c, 1, &l, CGROUP_NEEDED, &dir, &holds), 0);
	try_memory_bomb(c, dir);
	assert_int_equal(cgroup_session_end(c, 1, END_MS), 0);
	try_usage_of_all(c);
}

static void
try_bounds(const struct cgroup *c)
{
	static const struct cgroup_limits cases[] = {
		{ 1, CGROUP_MEMORY_MIN_BYTES, CGROUP_PIDS_MIN, 1 },
		{ 9, 4096 * 1000, 3, 100 },
		{ 10, 1u << 30, 100, 0 },
		{ CGROUP_CPU_MAX_MILLI, CGROUP_MEMORY_MAX_BYTES, CGROUP_PIDS_MAX,
		    CGROUP_IO_WEIGHT_MAX },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		cleanup_fd int dir = -1;
		unsigned holds;

		assert_int_equal(cgroup_session_make(c, 2, &cases[i], CGROUP_NEEDED, &dir, &holds),
		    0);
		assert_int_equal(cgroup_session_remove(c, 2), 0);
	}
}

/* Out of the group that is to hand controllers on. */
static void
go_below(const struct cgroup *c)
{
	cleanup_fd int leaf = -1;

	assert_int_equal(mkdirat(c->base, "service", 0755), 0);
	leaf = openat(c->base, "service", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put_file(leaf, "cgroup.procs", "0");
}

static void
the_kernel_enforces(void **state)
{
	struct cgroup c = CGROUP_EMPTY;
	const char *why = why_not_delegated(&c);

	(void)state;
	if (why) {
		print_message("%s\n", why);
		cgroup_close(&c);
		skip();
	}
	assert_int_equal(cgroup_prepare(&c), -EBUSY);
	go_below(&c);
	assert_int_equal(cgroup_prepare(&c), 0);
	assert_int_equal(c.enabled, c.available);
	assert_int_equal(cgroup_sweep(&c), 0);
	try_bounds(&c);
	try_limits(&c);
	cgroup_close(&c);
}

#define ON_IMITATION(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_path_is_read),
		cmocka_unit_test(controllers_are_read),
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(pressure_is_read),
		cmocka_unit_test(files_are_bounded),
		cmocka_unit_test(limits_have_bounds),
		ON_IMITATION(opening_finds_the_own_group),
		ON_IMITATION(opening_finds_another_unit),
		ON_IMITATION(opening_refuses_what_is_no_cgroup2),
		ON_IMITATION(a_hybrid_tree_has_no_controllers),
		ON_IMITATION(preparing_enables_all_at_once),
		ON_IMITATION(preparing_adds_what_is_missing),
		ON_IMITATION(preparing_refuses_a_group_with_processes),
		ON_IMITATION(a_session_has_its_limits),
		ON_IMITATION(small_shares_and_no_weight),
		ON_IMITATION(bad_orders_make_nothing),
		ON_IMITATION(a_missing_file_is_a_limit_that_does_not_hold),
		ON_IMITATION(ending_kills_waits_and_removes),
		ON_IMITATION(sweeping_removes_what_is_left_over),
		ON_IMITATION(usage_is_read),
		cmocka_unit_test(bad_records_are_refused),
		ON_IMITATION(faults_leave_nothing_half_made),
		ON_IMITATION(a_sweep_takes_what_a_failed_cleanup_left),
		cmocka_unit_test(the_kernel_kills_and_removes),
		cmocka_unit_test(the_kernel_enforces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
