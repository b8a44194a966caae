/* SPDX-License-Identifier: MIT */
/*
 * Tests of the file systems of sessions, on the kernel's own loop devices and ext4, as privileged
 * as the spawner is and no more; without root or loop devices they are skipped.
 * links: ptyd/storage.c ptyd/idmap.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/mono.h"
#include "common/privdrop.h"
#include "ptyd/idmap.h"
#include "ptyd/storage.h"

#define MIB (UINT64_C(1) << 20)
#define SIZE (32 * MIB)
#define TAIL MIB /* of a file, which stays empty */
#define FILES_MOST (SIZE / STORAGE_BYTES_PER_INODE)
#define FILES_LEAST (FILES_MOST / 100 * 95)
#define TOOLS_ID 1947600895U
#define SLOT_ID 1879048192U
#define OTHER_SLOT_ID (SLOT_ID + 65536)
#define DISK_ID 1947533312U
#define FREE_MS 1000
#define MAKERS 8
#define DIRTY_BYTES (200 * MIB)

/* A call that returns 0, else its errno is shown. */
#define assert_done(call) assert_int_equal((call) == 0 ? 0 : errno, 0)

static struct {
	char path[PATH_MAX];
	int dir;
	struct storage s;
	bool is_usable;
} t = { .dir = -1, .s = STORAGE_EMPTY };

static const unsigned char home_a[STORAGE_HOME_ID_BYTES] = { 0xa0, [31] = 0x0a };

static void
need_storage(void)
{
	if (!t.is_usable) {
		print_message("not as root, or no loop devices or mke2fs: skipped\n");
		skip();
	}
}

/* Loop devices on files of ours. */
static int
devices_in_use(void)
{
	char text[PATH_MAX];
	glob_t found = { 0 };
	int count = 0;

	if (glob("/sys/block/loop*/loop/backing_file", 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			cleanup_fd int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
			ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

			count += n > 0 && strncmp(text, t.path, strlen(t.path)) == 0;
		}
	}
	globfree(&found);
	return count;
}

static void
assert_free(void)
{
	uint64_t until = mono_ms() + FREE_MS;

	while (devices_in_use() > 0 && mono_ms() < until)
		usleep(2000);
	assert_int_equal(devices_in_use(), 0);
}

static bool
is_bound(dev_t device)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/loop", major(device), minor(device));
	return access(path, F_OK) == 0;
}

static int
write_bytes(int fd, uint64_t bytes)
{
	static const char block[65536] = { 1 };

	for (uint64_t done = 0; done < bytes;) {
		ssize_t n = write(fd, block, sizeof(block));

		if (n < 0)
			return -errno;
		done += (uint64_t)n;
	}
	return 0;
}

/* 0 or -errno of the writing or of fsync. */
static int
fill(int tree, const char *name, uint64_t bytes)
{
	cleanup_fd int fd = openat(tree, name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
	int rc = fd < 0 ? -errno : write_bytes(fd, bytes);

	return rc ? rc : (fsync(fd) == 0 ? 0 : -errno);
}

static int
open_home(uint64_t bytes, unsigned wait_ms, int *tree)
{
	return storage_home(&t.s, home_a, bytes, DISK_ID, wait_ms, tree);
}

static void
forget(const char *dir, const char *pattern)
{
	char path[PATH_MAX + 64];
	glob_t found = { 0 };

	snprintf(path, sizeof(path), "%s/%s/%s", t.path, dir, pattern);
	if (glob(path, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			assert_done(unlink(found.gl_pathv[i]));
	}
	globfree(&found);
}

static size_t
count_files(const char *dir)
{
	char path[PATH_MAX + 64];
	glob_t found = { 0 };
	size_t count;

	snprintf(path, sizeof(path), "%s/%s/*", t.path, dir);
	glob(path, 0, NULL, &found);
	count = found.gl_pathc;
	globfree(&found);
	return count;
}

static int
forget_all(void **state)
{
	(void)state;
	if (t.is_usable) {
		/* What a test that has failed left open. */
		syscall(SYS_close_range, t.s.homes + 1, ~0U, 0);
		forget("storage", "*");
		forget("homes", "*");
	}
	return 0;
}

/* --- what is thrown away --- */

static void
sizes_have_bounds(void **state)
{
	static const uint64_t wrong[] = { 0, 1, STORAGE_MIN_BYTES - 1, STORAGE_MAX_BYTES + 1,
		UINT64_MAX };

	(void)state;
	need_storage();
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		int tree = -1;

		assert_int_equal(storage_scratch(&t.s, wrong[i], SLOT_ID, &tree), -ERANGE);
		assert_int_equal(open_home(wrong[i], 0, &tree), -ERANGE);
		assert_int_equal(tree, -1);
	}
	assert_int_equal(count_files("storage") + count_files("homes"), 0);
}

static void
assert_layer(int tree, const char *name)
{
	struct stat st;

	assert_done(fstatat(tree, name, &st, AT_SYMLINK_NOFOLLOW));
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(st.st_uid, SLOT_ID);
	assert_int_equal(st.st_gid, SLOT_ID);
}

/* Whether the kernel says that it has mounted it so. */
static void
assert_option(int tree, const char *option, bool is_wanted)
{
	char path[64], text[4096] = "\n", line[64];
	struct stat st;
	ssize_t n;

	assert_done(fstat(tree, &st));
	snprintf(path, sizeof(path), "/proc/fs/ext4/loop%u/options", minor(st.st_dev));
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text + 1, sizeof(text) - 2);
	assert_true(n > 0);
	snprintf(line, sizeof(line), "\n%s\n", option);
	if ((strstr(text, line) != NULL) != is_wanted)
		print_error("%s: %s", option, text);
	assert_int_equal(strstr(text, line) != NULL, is_wanted);
}

static void
scratch_is_empty_and_plain(void **state)
{
	mode_t mask = umask(077);
	int tree = -1;
	struct statvfs v;

	(void)state;
	need_storage();
	assert_int_equal(storage_scratch(&t.s, SIZE + 4095, SLOT_ID, &tree), 0);
	umask(mask);
	assert_layer(tree, "upper");
	assert_layer(tree, "work");
	assert_int_equal(faccessat(tree, "lost+found", F_OK, 0), -1);
	assert_done(fstatvfs(tree, &v));
	assert_int_equal(v.f_flag & (ST_NOSUID | ST_NODEV | ST_RDONLY), ST_NOSUID | ST_NODEV);
	assert_true(v.f_blocks * v.f_frsize <= SIZE);
	assert_true(v.f_blocks * v.f_frsize >= SIZE / 100 * 90);
	assert_in_range(v.f_files, FILES_LEAST, FILES_MOST);
	assert_option(tree, "errors=remount-ro", true);
	assert_option(tree, "nobarrier", true);
	assert_option(tree, "init_itable=10", false);
	assert_option(tree, "data=ordered", false);
	close(tree);
	assert_free();
	assert_int_equal(count_files("storage"), 1);
}

/* Not one byte or file more than it has, and what has been there is not there for the next one. */
static void
scratch_is_bounded(void **state)
{
	int tree = -1, rc = 0;
	char name[32];
	unsigned made = 0;

	(void)state;
	need_storage();
	assert_int_equal(storage_scratch(&t.s, SIZE, SLOT_ID, &tree), 0);
	assert_int_equal(fill(tree, "upper/all", 2 * SIZE), -ENOSPC);
	assert_done(unlinkat(tree, "upper/all", 0));
	while (rc == 0 && made < 2 * SIZE / STORAGE_BYTES_PER_INODE) {
		snprintf(name, sizeof(name), "upper/%u", made++);
		rc = mknodat(tree, name, S_IFREG | 0600, 0) == 0 ? 0 : -errno;
	}
	assert_int_equal(rc, -ENOSPC);
	assert_in_range(made, FILES_LEAST - 16, FILES_MOST);
	close(tree);
	assert_free();
	assert_int_equal(storage_scratch(&t.s, SIZE, SLOT_ID, &tree), 0);
	assert_int_equal(faccessat(tree, "upper/0", F_OK, 0), -1);
	close(tree);
}

static void
dirty_data_delays_nobody(void **state)
{
	cleanup_fd int file = -1;
	int tree = -1;

	(void)state;
	need_storage();
	assert_int_equal(storage_scratch(&t.s, DIRTY_BYTES + SIZE, SLOT_ID, &tree), 0);
	file = openat(tree, "upper/dirty", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write_bytes(file, DIRTY_BYTES), 0);
	close_fd(&file);
	close(tree);
	assert_free();
}

static void
await_all(const pid_t *pids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int status = -1;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

/* None of them there before: neither template nor home. */
static void
makers_do_not_collide(void **state)
{
	pid_t pids[MAKERS];

	(void)state;
	need_storage();
	for (unsigned i = 0; i < MAKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			int a = -1, b = -1;
			int rc = storage_scratch(&t.s, SIZE, SLOT_ID, &a);

			if (rc == 0)
				rc = open_home(SIZE, 20000, &b);
			_exit(rc == 0 ? 0 : 1);
		}
	}
	await_all(pids, MAKERS);
	assert_free();
	assert_int_equal(count_files("storage"), 1);
	assert_int_equal(count_files("homes"), 1);
}

/* --- homes --- */

static void
home_stays(void **state)
{
	struct stat st;
	int tree = -1;

	(void)state;
	need_storage();
	assert_int_equal(open_home(SIZE, 0, &tree), 0);
	assert_done(fstat(tree, &st));
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	assert_int_equal(st.st_uid, DISK_ID + STORAGE_HOME_UID);
	assert_int_equal(st.st_gid, DISK_ID + STORAGE_HOME_UID);
	assert_int_equal(faccessat(tree, "lost+found", F_OK, 0), -1);
	assert_option(tree, "data=ordered", true);
	assert_option(tree, "discard", true);
	assert_option(tree, "nobarrier", false);
	assert_option(tree, "init_itable=10", false);
	assert_int_equal(fill(tree, "kept", MIB), 0);
	/* Its mode is its user's to change. */
	assert_done(fchmodat(tree, ".", 0750, 0));
	close(tree);
	assert_int_equal(open_home(SIZE, FREE_MS, &tree), 0);
	assert_done(fstatat(tree, "kept", &st, 0));
	assert_int_equal(st.st_size, MIB);
	assert_done(fstat(tree, &st));
	assert_int_equal(st.st_mode, S_IFDIR | 0750);
	close(tree);
	assert_free();
}

static void
home_is_mounted_once(void **state)
{
	int tree = -1, other = -1;
	uint64_t began;
	pid_t pid;

	(void)state;
	need_storage();
	assert_int_equal(open_home(SIZE, 0, &tree), 0);
	assert_int_equal(open_home(SIZE, 0, &other), -EBUSY);
	began = mono_ms();
	assert_int_equal(open_home(SIZE, 100, &other), -EBUSY);
	assert_in_range(mono_ms() - began, 100, 5000);
	assert_int_equal(other, -1);
	/* As it happens when a session has just ended: its end is waited for. */
	pid = fork();
	if (pid == 0) {
		usleep(100000);
		_exit(0);
	}
	close(tree);
	assert_int_equal(open_home(SIZE, 5000, &other), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(other);
	assert_free();
}

/* Even when it is full of somebody's bytes: what a host would read there is never a session's. */
static void
assert_tail_is_empty(uint64_t size)
{
	static char tail[TAIL];
	static const char zeroes[TAIL];
	char path[PATH_MAX + 64];
	glob_t found = { 0 };
	cleanup_fd int fd = -1;

	snprintf(path, sizeof(path), "%s/homes/*", t.path);
	assert_int_equal(glob(path, 0, NULL, &found), 0);
	fd = open(found.gl_pathv[0], O_RDONLY | O_CLOEXEC);
	globfree(&found);
	assert_int_equal(lseek(fd, 0, SEEK_END), size);
	assert_int_equal(pread(fd, tail, TAIL, (off_t)(size - TAIL)), TAIL);
	assert_memory_equal(tail, zeroes, TAIL);
}

static void
home_ends_before_its_device(void **state)
{
	static const uint64_t sizes[] = { SIZE, 2 * SIZE };

	(void)state;
	need_storage();
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		int tree = -1;

		assert_int_equal(open_home(sizes[i], FREE_MS, &tree), 0);
		assert_int_equal(fill(tree, "all", 4 * SIZE), -ENOSPC);
		close(tree);
		assert_free();
		assert_tail_is_empty(sizes[i]);
	}
}

static uint64_t
size_of(int tree)
{
	struct statvfs v;

	assert_done(fstatvfs(tree, &v));
	return v.f_blocks * v.f_frsize;
}

static void
home_grows_and_never_shrinks(void **state)
{
	static const uint64_t sizes[] = { 32 * MIB, 64 * MIB, 1024 * MIB, 40 * MIB };
	uint64_t before = 0;
	struct stat st;

	(void)state;
	need_storage();
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		uint64_t now;
		int tree = -1;

		assert_int_equal(open_home(sizes[i], FREE_MS, &tree), 0);
		if (i == 0)
			assert_int_equal(fill(tree, "kept", MIB), 0);
		assert_done(fstatat(tree, "kept", &st, 0));
		assert_int_equal(st.st_size, MIB);
		assert_int_equal(faccessat(tree, "lost+found", F_OK, 0), -1);
		now = size_of(tree);
		if (i + 1 == COUNT_OF(sizes))
			assert_int_equal(now, before);
		else
			assert_in_range(now, sizes[i] / 100 * 75, sizes[i]);
		before = now;
		close(tree);
	}
	assert_free();
}

static int
make_directory_as(int tree, uid_t uid)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(setgid(uid) != 0 || setuid(uid) != 0 || mkdirat(tree, "mine", 0700) != 0);
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

/*
 * A file that one slot's user has made belongs to the user of the next slot. The mount itself gets
 * the map, not a copy: Linux 6.1 does not copy what is attached nowhere.
 */
static void
home_follows_its_person(void **state)
{
	static const uint32_t slots[] = { SLOT_ID, OTHER_SLOT_ID, DISK_ID };
	struct stat st;

	(void)state;
	need_storage();
	for (size_t i = 0; i < COUNT_OF(slots); i++) {
		cleanup_fd int tree = -1, userns = -1;
		uid_t user = slots[i] + STORAGE_HOME_UID;

		assert_int_equal(open_home(SIZE, FREE_MS, &tree), 0);
		if (slots[i] != DISK_ID) {
			assert_int_equal(idmap_make(DISK_ID, slots[i], &userns), 0);
			assert_int_equal(idmap_apply(tree, userns), 0);
		}
		assert_done(fstat(tree, &st));
		assert_int_equal(st.st_uid, user);
		if (i == 0)
			assert_int_equal(make_directory_as(tree, user), 0);
		assert_done(fstatat(tree, "mine", &st, 0));
		assert_int_equal(st.st_uid, user);
	}
	assert_free();
}

/* --- what goes wrong --- */

/* Made with the first session of a size. */
static void
make_template(void)
{
	int tree = -1;

	assert_int_equal(storage_scratch(&t.s, SIZE, SLOT_ID, &tree), 0);
	close(tree);
	assert_free();
}

static void
damage(const char *dir)
{
	static const char garbage[65536] = { 'x' };
	char path[PATH_MAX + 64];
	glob_t found = { 0 };

	snprintf(path, sizeof(path), "%s/%s/*", t.path, dir);
	assert_int_equal(glob(path, 0, NULL, &found), 0);
	cleanup_fd int fd = open(found.gl_pathv[0], O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, garbage, sizeof(garbage), 0), sizeof(garbage));
	globfree(&found);
}

static void
damage_is_said(void **state)
{
	int tree = -1;

	(void)state;
	need_storage();
	assert_int_equal(open_home(SIZE, 0, &tree), 0);
	close(steal_fd(&tree));
	assert_free();
	damage("homes");
	assert_int_equal(open_home(SIZE, FREE_MS, &tree), -EUCLEAN);
	assert_int_equal(open_home(2 * SIZE, FREE_MS, &tree), -EUCLEAN);
	assert_int_equal(count_files("homes"), 1);
	make_template();
	damage("storage");
	assert_int_equal(storage_scratch(&t.s, SIZE, SLOT_ID, &tree), -EUCLEAN);
	assert_int_equal(tree, -1);
	assert_int_equal(storage_scratch(&t.s, SIZE, SLOT_ID, &tree), 0);
	close(tree);
	assert_free();
}

/* A file system of ours as the host's disk. */
static void
disk_is_full_or_read_only(void **state)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	struct storage inner = STORAGE_EMPTY, none = STORAGE_EMPTY;
	int disk = -1, tree = -1, home = -1, other = -1;
	struct stat st;

	(void)state;
	need_storage();
	assert_int_equal(storage_scratch(&t.s, 4 * SIZE, SLOT_ID, &disk), 0);
	assert_int_equal(storage_open(&inner, disk, TOOLS_ID), 0);
	/* More than there is, to one alone. */
	assert_int_equal(storage_scratch(&inner, 16 * SIZE, SLOT_ID, &tree), -ENOSPC);
	assert_int_equal(storage_home(&inner, home_a, 16 * SIZE, DISK_ID, 0, &tree), -ENOSPC);
	assert_int_equal(storage_scratch(&inner, 3 * SIZE, SLOT_ID, &other), 0);
	assert_int_equal(storage_scratch(&inner, 3 * SIZE, SLOT_ID, &tree), 0);
	assert_done(fstat(tree, &st));
	assert_int_equal(fill(other, "upper/all", 5 * SIZE / 2), 0);
	/* Within what was promised, but there is no more: an error, and not for ever. */
	assert_true(fill(tree, "upper/all", 5 * SIZE / 2) < 0);
	assert_int_equal(storage_scratch(&inner, SIZE, SLOT_ID, &home), -ENOSPC);
	assert_int_equal(storage_home(&inner, home_a, SIZE, DISK_ID, 0, &home), -ENOSPC);
	assert_int_equal(home, -1);
	close(other);
	close(tree);
	for (int i = 0; i < FREE_MS / 10 && is_bound(st.st_dev); i++)
		usleep(10000);
	assert_false(is_bound(st.st_dev));
	assert_int_equal(storage_scratch(&inner, SIZE, SLOT_ID, &tree), 0);
	assert_int_equal(storage_home(&inner, home_a, SIZE, DISK_ID, 0, &home), 0);
	close(home);
	close(tree);
	usleep(100000);
	assert_done(mount_setattr(disk, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)));
	assert_int_equal(storage_open(&none, inner.dir, TOOLS_ID), -EROFS);
	assert_done(fstat(disk, &st));
	close(inner.dir);
	close(inner.homes);
	inner = (struct storage)STORAGE_EMPTY;
	assert_int_equal(storage_open(&inner, disk, TOOLS_ID), 0);
	assert_int_equal(storage_scratch(&inner, SIZE, SLOT_ID, &tree), -EROFS);
	assert_int_equal(storage_home(&inner, home_a, SIZE, DISK_ID, FREE_MS, &tree), -EROFS);
	close(inner.dir);
	close(inner.homes);
	close(disk);
	assert_free();
}

/* In a mount namespace of its own, where that directory is empty. */
static int
without(const char *dir)
{
	int tree = -1, rc;

	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", dir, "tmpfs", 0, NULL) != 0)
		return 1;
	rc = storage_scratch(&t.s, SIZE, SLOT_ID, &tree);
	return -rc;
}

static void
assert_error_without(const char *dir, int error)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(without(dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), error);
}

static void
what_is_missing_is_said(void **state)
{
	(void)state;
	need_storage();
	assert_error_without("/usr/sbin", ENOENT);
	assert_int_equal(count_files("storage"), 0);
	make_template();
	assert_error_without("/usr/sbin", 0); /* not missed once there is a template */
	assert_error_without("/dev", ENODEV);
	assert_free();
}

static void
open_directories_are_refused(void **state)
{
	struct storage s = STORAGE_EMPTY;
	int dir, links;

	(void)state;
	need_storage();
	assert_done(mkdirat(t.dir, "a", 0700));
	dir = openat(t.dir, "a", O_PATH | O_CLOEXEC);
	assert_done(mkdirat(dir, "storage", 0755));
	assert_int_equal(storage_open(&s, dir, TOOLS_ID), -EPERM);
	assert_done(fchmodat(dir, "storage", 0700, 0));
	assert_done(symlinkat("storage", dir, "homes"));
	links = storage_open(&s, dir, TOOLS_ID);
	assert_true(links == -ENOTDIR || links == -ELOOP);
	close(s.dir);
	assert_done(unlinkat(dir, "homes", 0));
	assert_done(mkdirat(dir, "homes", 0700));
	assert_done(fchownat(dir, "homes", TOOLS_ID, 0, 0));
	assert_int_equal(storage_open(&s, dir, TOOLS_ID), -EPERM);
	close(s.dir);
	close(dir);
}

/* --- death at any step --- */

static int
make_scratch(void)
{
	int tree = -1;

	return storage_scratch(&t.s, SIZE, SLOT_ID, &tree);
}

static int
make_home(void)
{
	int tree = -1;

	return open_home(SIZE, 5000, &tree);
}

static int
make_larger_home(void)
{
	int tree = -1;

	return open_home(2 * SIZE, 5000, &tree);
}

static pid_t
start_traced(int (*make)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(make() == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	assert_done(ptrace(PTRACE_SETOPTIONS, pid, NULL,
	    PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	return pid;
}

/* Killed before or after its step-th system call begins or ends. false: it came to its end. */
static bool
die_at(int (*make)(void), unsigned step)
{
	pid_t pid = start_traced(make);
	int status = 0, signal = 0;

	for (unsigned at = 0; at < step;) {
		assert_done(ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signal));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			return false;
		}
		signal = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
		at += signal == 0;
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return true;
}

static int
in_child(int (*make)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(make() == 0 ? 0 : 1);
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* Nothing is left but what is whole, and that can be used at once. */
static void
die_at_each_step(int (*make)(void), int (*before)(void))
{
	unsigned step = 0;
	bool died = true;

	need_storage();
	while (died) {
		forget_all(NULL);
		if (before)
			assert_int_equal(in_child(before), 0);
		died = die_at(make, ++step);
		assert_free();
		assert_in_range(count_files("storage") + count_files("homes"), 0, 1);
		assert_int_equal(in_child(make), 0);
		assert_free();
		assert_int_equal(count_files("storage") + count_files("homes"), 1);
	}
	print_message("%u steps\n", step - 1);
	assert_in_range(step, 40, 400);
}

static void
scratch_dies_at_each_step(void **state)
{
	(void)state;
	die_at_each_step(make_scratch, NULL);
}

static void
home_dies_at_each_step(void **state)
{
	(void)state;
	die_at_each_step(make_home, NULL);
}

static void
growing_dies_at_each_step(void **state)
{
	(void)state;
	die_at_each_step(make_larger_home, make_home);
}

/* --- around it --- */

static bool
open_storage(void)
{
	return storage_open(&t.s, t.dir, TOOLS_ID) == 0 &&
	    access("/dev/loop-control", R_OK | W_OK) == 0 && access("/usr/sbin/mke2fs", X_OK) == 0;
}

/* As privileged as the spawner; but a leak checker wants to look into us. */
static int
set_up(void **state)
{
	const char *parent = getenv("TMPDIR");

	(void)state;
	snprintf(t.path, sizeof(t.path), "%s/fog-storage-XXXXXX", parent ? parent : "/tmp");
	if (!mkdtemp(t.path))
		return -1;
	t.dir = open(t.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (geteuid() != 0)
		return 0;
	if (privdrop_finish(privdrop_spawner_caps) || filter_load(PROC_SPAWNER) != 0 ||
	    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0)
		return -1;
	t.is_usable = open_storage();
	return 0;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
tear_down(void **state)
{
	(void)state;
	close_fd(&t.s.dir);
	close_fd(&t.s.homes);
	close_fd(&t.dir);
	return nftw(t.path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(sizes_have_bounds, forget_all),
		cmocka_unit_test_teardown(scratch_is_empty_and_plain, forget_all),
		cmocka_unit_test_teardown(scratch_is_bounded, forget_all),
		cmocka_unit_test_teardown(dirty_data_delays_nobody, forget_all),
		cmocka_unit_test_teardown(makers_do_not_collide, forget_all),
		cmocka_unit_test_teardown(home_stays, forget_all),
		cmocka_unit_test_teardown(home_is_mounted_once, forget_all),
		cmocka_unit_test_teardown(home_grows_and_never_shrinks, forget_all),
		cmocka_unit_test_teardown(home_ends_before_its_device, forget_all),
		cmocka_unit_test_teardown(home_follows_its_person, forget_all),
		cmocka_unit_test_teardown(damage_is_said, forget_all),
		cmocka_unit_test_teardown(disk_is_full_or_read_only, forget_all),
		cmocka_unit_test_teardown(what_is_missing_is_said, forget_all),
		cmocka_unit_test_teardown(open_directories_are_refused, forget_all),
		cmocka_unit_test_teardown(scratch_dies_at_each_step, forget_all),
		cmocka_unit_test_teardown(home_dies_at_each_step, forget_all),
		cmocka_unit_test_teardown(growing_dies_at_each_step, forget_all),
	};

	return cmocka_run_group_tests_name("storage", tests, set_up, tear_down);
}
