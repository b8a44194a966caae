/* SPDX-License-Identifier: MIT */
/* File systems of a fixed size for sessions: see storage.h. */
#include "ptyd/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/mono.h"
#include "common/privdrop.h"

#define BLOCK_BYTES 4096U
#define NAME_BYTES 72
#define PATH_BYTES 32
#define SIZE_BYTES 24
#define LOOP_TRIES 64
#define LOCK_POLL_NS 5000000L
#define MARGIN_PART 20
#define FIX_EXIT_MAX 1 /* e2fsck: it has found faults and mended them */

/*
 * Named here, whatever mke2fs.conf says. All zeroes are known to be there already, so that neither
 * mke2fs nor a kernel thread (init_itable) writes them through the sparse file.
 */
#define FEATURES \
	"none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,large_file,huge_file,dir_nlink," \
	"extra_isize,metadata_csum"
/* A copy of a template takes the longer the more is in it; nobody mends one by a second superblock. */
#define EXTENDED "nodiscard,assume_storage_prezeroed=1,lazy_journal_init=1,num_backup_sb=0"
/*
 * At its end a device may carry the label of a RAID, which a host's udev would believe and start:
 * so what a session writes never gets there.
 */
#define TAIL_BYTES (UINT64_C(1) << 20)
#define STRING(x) #x
#define TEXT_OF(x) STRING(x)

/* Nothing of it is ever read after a crash: no journal, and nothing waits for the disk. */
static const char *const scratch_flags[] = { "noinit_itable", "nobarrier", "noauto_da_alloc",
	NULL };
/* What is deleted in a home goes back to the host's disk. */
static const char *const home_flags[] = { "noinit_itable", "discard", NULL };

/* --- directories and files of ours --- */

static int
open_directory(int parent, const char *name, int *out)
{
	cleanup_fd int fd = -1;
	struct stat st;

	if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	if (st.st_uid != 0 || (st.st_mode & 077))
		return -EPERM;
	*out = steal_fd(&fd);
	return 0;
}

int
storage_open(struct storage *s, int state_dir, uint32_t tools_id)
{
	int rc = open_directory(state_dir, "storage", &s->dir);

	s->tools_id = tools_id;
	return rc ? rc : open_directory(state_dir, "homes", &s->homes);
}

/*
 * Files here are sparse: a session on a full disk would see its writes fail, and so would the
 * host. So none is started that late: what it may write has to be free now, and the margin is for
 * those that run.
 */
static int
check_room(int dir, uint64_t bytes)
{
	struct statfs st;
	uint64_t margin;

	if (fstatfs(dir, &st) != 0)
		return -errno;
	margin = (uint64_t)st.f_blocks * (uint64_t)st.f_bsize / MARGIN_PART;
	if (margin > STORAGE_MARGIN_MAX_BYTES)
		margin = STORAGE_MARGIN_MAX_BYTES;
	return (uint64_t)st.f_bavail * (uint64_t)st.f_bsize < margin + bytes ? -ENOSPC : 0;
}

/* Without a name, to be of that size. O_EXCL in flags: and it never gets one. */
static int
new_file(int dir, int flags, uint64_t bytes, int *out)
{
	int rc = check_room(dir, bytes);
	int fd = rc ? rc : openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600);

	if (fd < 0)
		return rc ? rc : -errno;
	*out = fd;
	return 0;
}

/* Whole on the disk before it has a name, so that no cut of the power leaves half of it. */
static int
give_name(int file, int dir, const char *name)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (fsync(file) != 0)
		return -errno;
	/* Another maker may have been faster: then it is theirs that counts. */
	if (linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) != 0 && errno != EEXIST)
		return -errno;
	return 0;
}

/* --- e2fsprogs --- */

/*
 * An id of its own, no capability, no environment, and the file as its one descriptor. It does
 * not die with its maker, so that one which is at work on a home comes to its end; and until then
 * it shares the lock.
 */
static _Noreturn void
become_tool(const struct storage *s, char *const argv[], int file)
{
	static char *const env[] = { "MKE2FS_CONFIG=/dev/null", NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (dup2(file, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
	    dup2(null, STDERR_FILENO) >= 0 &&
	    syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) == 0 &&
	    !privdrop_to_session(s->tools_id, s->tools_id))
		execve(argv[0], argv, env);
	_exit(127);
}

/* They open by name what they work on, so it is theirs meanwhile. -EIO: one has failed. */
static int
run_tool(const struct storage *s, char *const argv[], int file, int exit_max)
{
	int rc, status = 0;
	pid_t pid;

	if (access(argv[0], X_OK) != 0 || fchown(file, s->tools_id, s->tools_id) != 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		become_tool(s, argv, file);
	rc = pid < 0 || TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) < 0 ? -errno : 0;
	if (fchown(file, 0, 0) != 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) > exit_max))
		rc = -EIO;
	return rc;
}

/* What e2fsprogs are to make of a file of that size. */
static void
print_size(uint64_t bytes, char out[static SIZE_BYTES])
{
	snprintf(out, SIZE_BYTES, "%lluK", (unsigned long long)((bytes - TAIL_BYTES) / 1024));
}

static int
format(const struct storage *s, int file, uint64_t bytes, bool with_journal)
{
	char size[SIZE_BYTES];
	char *const argv[] = { "/usr/sbin/mke2fs", "-q", "-F", "-e", "remount-ro", "-b", "4096",
		"-m", "0", "-I", "256", "-i", TEXT_OF(STORAGE_BYTES_PER_INODE), "-O",
		with_journal ? FEATURES ",sparse_super,has_journal" : FEATURES ",sparse_super2",
		"-E", EXTENDED, "/proc/self/fd/0", size, NULL };

	print_size(bytes, size);
	if (ftruncate(file, (off_t)bytes) != 0)
		return -errno;
	return run_tool(s, argv, file, 0);
}

static int
check_size(uint64_t *bytes)
{
	if (*bytes < STORAGE_MIN_BYTES || *bytes > STORAGE_MAX_BYTES)
		return -ERANGE;
	*bytes -= *bytes % BLOCK_BYTES;
	return 0;
}

/* --- the loop device --- */

static int
claim_loop(const char *path, int file)
{
	const struct loop_config config = { .fd = (uint32_t)file,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR };
	cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return errno == ENOENT ? -ENODEV : -errno;
	if (!S_ISBLK(st.st_mode) || major(st.st_rdev) != LOOP_MAJOR)
		return -ENODEV;
	return ioctl(fd, LOOP_CONFIGURE, &config) == 0 ? steal_fd(&fd) : -errno;
}

/* A descriptor, or -errno. */
static int
open_loop(int file, char path[static PATH_BYTES])
{
	cleanup_fd int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	for (int i = 0; i < LOOP_TRIES; i++) {
		int fd, number = ioctl(control, LOOP_CTL_GET_FREE);

		if (number < 0)
			return -ENODEV;
		snprintf(path, PATH_BYTES, "/dev/loop%d", number);
		fd = claim_loop(path, file);
		/* Somebody has taken or removed it meanwhile. */
		if (fd != -EBUSY && fd != -ENXIO)
			return fd;
	}
	return -EAGAIN;
}

/* --- mounts --- */

static int
configure(int fs, const char *source, const char *const flags[])
{
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) != 0)
		return -errno;
	for (; *flags; flags++) {
		if (fsconfig(fs, FSCONFIG_SET_FLAG, *flags, NULL, 0) != 0)
			return -errno;
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		return 0;
	/* No magic number, or a wrong checksum: what a damaged superblock is like. */
	return errno == EINVAL || errno == EBADMSG ? -EUCLEAN : -errno;
}

static int
mount_loop(int loop, const char *source, const char *const flags[], int *tree)
{
	cleanup_fd int fs = fsopen("ext4", FSOPEN_CLOEXEC), fd = -1;
	struct stat device, root;
	int rc = fs < 0 ? -errno : configure(fs, source, flags);

	if (rc != 0)
		return rc;
	fd = fsmount(fs, FSMOUNT_CLOEXEC,
	    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME);
	if (fd < 0 || fstat(loop, &device) != 0 || fstat(fd, &root) != 0)
		return -errno;
	/* The source was a name: what it named has to be what we have. */
	if (root.st_dev != device.st_rdev)
		return -ENODEV;
	/* e2fsck makes it anew when it needs it; and then it has something in it and stays. */
	unlinkat(fd, "lost+found", AT_REMOVEDIR);
	*tree = steal_fd(&fd);
	return 0;
}

static int
mount_file(int file, const char *const flags[], int *tree)
{
	char source[PATH_BYTES];
	cleanup_fd int loop = open_loop(file, source);

	return loop < 0 ? loop : mount_loop(loop, source, flags, tree);
}

/* --- what gets a name --- */

static const char *const layers[] = { "upper", "work" }; /* of an overlay */

static int
add_layers(int file)
{
	cleanup_fd int tree = -1, dir = -1;
	int rc = mount_file(file, scratch_flags, &tree);

	for (size_t i = 0; rc == 0 && i < COUNT_OF(layers); i++) {
		if (mkdirat(tree, layers[i], 0755) != 0 || fchmodat(tree, layers[i], 0755, 0) != 0)
			rc = -errno;
	}
	/* Closing it would not say that it could not be written. */
	dir = rc == 0 ? openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return rc == 0 && syncfs(dir) != 0 ? -errno : rc;
}

/* Makes one whole, with that name. */
static int
make_named(const struct storage *s, int dir, const char *name, uint64_t bytes, bool with_journal)
{
	cleanup_fd int file = -1;
	/* A template is never written again. */
	int rc = new_file(dir, 0, with_journal ? bytes : 0, &file);

	if (rc == 0)
		rc = format(s, file, bytes, with_journal);
	if (rc == 0 && !with_journal)
		rc = add_layers(file);
	return rc ? rc : give_name(file, dir, name);
}

static int
open_or_make(const struct storage *s, int dir, const char *name, uint64_t bytes, bool with_journal,
    int *out)
{
	static const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, name, flags);

	if (fd < 0 && errno == ENOENT) {
		int rc = make_named(s, dir, name, bytes, with_journal);

		if (rc != 0)
			return rc;
		fd = openat(dir, name, flags);
	}
	if (fd < 0)
		return -errno;
	*out = fd;
	return 0;
}

/* --- what is thrown away --- */

/* All that is not a hole, to where there are holes alone. */
static int
copy_sparse(int from, int to)
{
	off_t at = 0;

	while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
		off_t there = at, end = lseek(from, at, SEEK_HOLE);
		ssize_t n = copy_file_range(from, &at, to, &there, (size_t)(end - at), 0);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
	}
	return errno == ENXIO ? 0 : -errno;
}

/* The number tells formats apart: another list of features, another number. */
static void
template_name(uint64_t bytes, char out[static NAME_BYTES])
{
	snprintf(out, NAME_BYTES, "scratch-2-%llu.ext4", (unsigned long long)bytes);
}

static int
open_template(const struct storage *s, uint64_t *bytes, int *out)
{
	char name[NAME_BYTES];
	int rc = check_size(bytes);

	if (rc == 0)
		template_name(*bytes, name);
	return rc ? rc : open_or_make(s, s->dir, name, *bytes, false, out);
}

static int
give_layers(int tree, uint32_t owner)
{
	for (size_t i = 0; i < COUNT_OF(layers); i++) {
		if (fchownat(tree, layers[i], owner, owner, AT_SYMLINK_NOFOLLOW) != 0)
			return errno == ENOENT || errno == EBADMSG ? -EUCLEAN : -errno;
	}
	return 0;
}

/*
 * What is in a file when it becomes a device's is waited for until it is on the disk, by newer
 * kernels (6.18): so it is empty then. Somebody may have looked at the device before it was filled.
 */
static int
mount_copy(const struct storage *s, int template, uint64_t bytes, int *tree)
{
	char source[PATH_BYTES];
	cleanup_fd int file = -1, loop = -1;
	int rc = new_file(s->dir, O_EXCL, bytes, &file);

	if (rc != 0 || ftruncate(file, (off_t)bytes) != 0)
		return rc ? rc : -errno;
	loop = open_loop(file, source);
	rc = loop < 0 ? loop : copy_sparse(template, file);
	if (rc == 0 && ioctl(loop, BLKFLSBUF, 0) != 0)
		rc = -errno;
	return rc ? rc : mount_loop(loop, source, scratch_flags, tree);
}

int
storage_scratch(const struct storage *s, uint64_t bytes, uint32_t first_id, int *tree)
{
	cleanup_fd int template = -1, fd = -1;
	char name[NAME_BYTES];
	int rc = open_template(s, &bytes, &template);

	if (rc == 0)
		rc = mount_copy(s, template, bytes, &fd);
	if (rc == 0)
		rc = give_layers(fd, first_id);
	if (rc == -EUCLEAN) {
		/* A template that is damaged is made anew the next time. */
		template_name(bytes, name);
		unlinkat(s->dir, name, 0);
	}
	if (rc == 0)
		*tree = steal_fd(&fd);
	return rc;
}

/* --- homes --- */

static void
home_name(const unsigned char id[STORAGE_HOME_ID_BYTES], char out[static NAME_BYTES])
{
	size_t at = 0;

	for (size_t i = 0; i < STORAGE_HOME_ID_BYTES; i++)
		at += (size_t)snprintf(out + at, NAME_BYTES - at, "%02x", id[i]);
	snprintf(out + at, NAME_BYTES - at, ".ext4");
}

/* The lock is the open file's, which the loop device keeps when we have closed our descriptor. */
static int
lock_home(int file, unsigned wait_ms)
{
	static const struct timespec pause = { .tv_nsec = LOCK_POLL_NS };
	uint64_t until = mono_ms() + wait_ms;

	while (flock(file, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (mono_ms() >= until)
			return -EBUSY;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/*
 * Not when mounted: that would ask for CAP_SYS_RESOURCE. resize2fs wants it checked before. The
 * length of the file comes last, and says that all is done.
 */
static int
grow_home(const struct storage *s, int file, uint64_t bytes)
{
	char size[SIZE_BYTES];
	char *const check[] = { "/usr/sbin/e2fsck", "-f", "-p", "/proc/self/fd/0", NULL };
	char *const resize[] = { "/usr/sbin/resize2fs", "/proc/self/fd/0", size, NULL };
	struct stat st;
	int rc;

	if (fstat(file, &st) != 0)
		return -errno;
	if (st.st_size >= (off_t)bytes)
		return 0;
	print_size(bytes, size);
	rc = run_tool(s, check, file, FIX_EXIT_MAX);
	if (rc == 0)
		rc = run_tool(s, resize, file, 0);
	else if (rc == -EIO)
		rc = -EUCLEAN;
	return rc ? rc : (ftruncate(file, (off_t)bytes) == 0 ? 0 : -errno);
}

/* Once. The owner comes last, and says that all is done. */
static int
give_home(int tree, uint32_t owner)
{
	struct stat st;

	if (fstat(tree, &st) != 0)
		return -errno;
	if (st.st_uid == owner)
		return 0;
	if (fchmodat(tree, ".", 0700, 0) != 0 ||
	    fchownat(tree, "", owner, owner, AT_EMPTY_PATH) != 0)
		return -errno;
	return 0;
}

int
storage_home(const struct storage *s, const unsigned char home_id[STORAGE_HOME_ID_BYTES],
    uint64_t bytes, uint32_t disk_first_id, unsigned wait_ms, int *tree)
{
	cleanup_fd int file = -1, fd = -1;
	char name[NAME_BYTES];
	int rc = check_size(&bytes);

	home_name(home_id, name);
	if (rc == 0)
		rc = open_or_make(s, s->homes, name, bytes, true, &file);
	if (rc == 0)
		rc = lock_home(file, wait_ms);
	if (rc == 0)
		rc = grow_home(s, file, bytes);
	if (rc == 0)
		rc = mount_file(file, home_flags, &fd);
	if (rc == 0)
		rc = give_home(fd, disk_first_id + STORAGE_HOME_UID);
	if (rc == 0)
		*tree = steal_fd(&fd);
	return rc;
}
