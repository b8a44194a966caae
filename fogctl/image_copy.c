/* SPDX-License-Identifier: MIT */
/*
 * Filling a tree. Files are copied byte by byte, never linked: a session shares no inode with a
 * program of the host's (S28).
 */
#include "fogctl/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Owner first: chown would clear what chmod has set. */
static int
give_to_root(int fd, mode_t mode)
{
	if (geteuid() == 0 && fchown(fd, 0, 0) != 0)
		return -1;
	return fchmod(fd, mode);
}

/* Opens the directory, made if need be. -1 with errno. */
static int
enter_directory(int dir_fd, const char *name)
{
	int fd = image_open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(dir_fd, name, 0700) != 0)
		return -1;
	fd = image_open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY);
	if (fd >= 0 && give_to_root(fd, 0755) != 0)
		close_fd(&fd);
	return fd;
}

/* The directory that len bytes of path name. -1 with errno. */
static int
enter_directories(int root_fd, const char *path, size_t len)
{
	int fd = image_open_beneath(root_fd, ".", O_RDONLY | O_DIRECTORY);
	char name[NAME_MAX + 1];

	for (size_t at = 0, n; fd >= 0 && at < len; at += n + 1) {
		int below;

		n = strcspn(path + at, "/");
		if (n == 0)
			continue;
		if (n >= sizeof(name)) {
			close_fd(&fd);
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(name, path + at, n);
		name[n] = '\0';
		below = enter_directory(fd, name);
		close_fd(&fd);
		fd = below;
	}
	return fd;
}

int
image_make_dirs(int root_fd, const char *path, struct image_error *err)
{
	cleanup_fd int fd = enter_directories(root_fd, path, strlen(path));

	return fd >= 0 ? 0 : image_fail_errno(err, "/%s", path);
}

/* The directory that the last component is in, and that component. -1 with errno. */
static int
enter_parent(int root_fd, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');

	*name = slash ? slash + 1 : path;
	return enter_directories(root_fd, path, slash ? (size_t)(slash - path) : 0);
}

int
image_put_dir(int root_fd, const char *path, mode_t mode, struct image_error *err)
{
	cleanup_fd int fd = enter_directories(root_fd, path, strlen(path));

	if (fd < 0 || give_to_root(fd, mode) != 0)
		return image_fail_errno(err, "/%s", path);
	return 0;
}

int
image_put_symlink(int root_fd, const char *path, const char *target, struct image_error *err)
{
	const char *name;
	cleanup_fd int fd = enter_parent(root_fd, path, &name);

	if (fd < 0 || (symlinkat(target, fd, name) != 0 && errno != EEXIST))
		return image_fail_errno(err, "/%s", path);
	return 0;
}

int
image_put_resolver(int root_fd, struct image_error *err)
{
	cleanup_fd int etc = image_open_beneath(root_fd, "etc", O_RDONLY | O_DIRECTORY);

	/* Of another kind: the scan refuses it by name. */
	if (etc < 0 && (errno == ELOOP || errno == ENOTDIR))
		return 0;
	if (etc < 0 && errno != ENOENT)
		return image_fail_errno(err, "/etc");
	if (etc >= 0 && unlinkat(etc, "resolv.conf", 0) != 0 && errno != ENOENT)
		return image_fail_errno(err, "/etc/resolv.conf");
	return image_put_symlink(root_fd, "etc/resolv.conf", "/run/resolv.conf", err);
}

/* A new file of no bytes; *out stays -1 when there is one. -1 with errno. */
static int
create_file(int root_fd, const char *path, int *out)
{
	const char *name;
	cleanup_fd int fd = enter_parent(root_fd, path, &name);

	if (fd < 0)
		return -1;
	*out = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *out >= 0 || errno == EEXIST ? 0 : -1;
}

int
image_put_file(int root_fd, const char *path, mode_t mode, const char *text,
    struct image_error *err)
{
	size_t len = strlen(text);
	cleanup_fd int fd = -1;

	if (create_file(root_fd, path, &fd) != 0)
		return image_fail_errno(err, "/%s", path);
	if (fd < 0)
		return 0;
	if (write(fd, text, len) != (ssize_t)len || give_to_root(fd, mode) != 0)
		return image_fail_errno(err, "/%s", path);
	return 0;
}

/* --- from another tree --- */

/* The source's own links lead within its root, as they do for the programs there. */
static int
open_source(int from_fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, from_fd, path, &how, sizeof(how));
}

/* Within the kernel, without a copy in user space. */
static int
copy_bytes(int from, int to)
{
	ssize_t n;

	while ((n = copy_file_range(from, NULL, to, NULL, 1U << 30, 0)) > 0)
		;
	return n == 0 ? 0 : -1;
}

/* From file systems that copy_file_range does not work between. */
static int
copy_bytes_slowly(int from, int to)
{
	char buffer[64 * 1024];
	ssize_t n;

	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0, w; done < n; done += w)
			if ((w = write(to, buffer + done, (size_t)(n - done))) < 0)
				return -1;
	return n == 0 ? 0 : -1;
}

static int
copy_file(int from_fd, const char *from, int root_fd, const char *path, struct image_error *err)
{
	cleanup_fd int in = open_source(from_fd, from, O_RDONLY | O_NONBLOCK), out = -1;
	struct timespec times[2];
	struct stat sb;

	if (in < 0 || fstat(in, &sb) != 0)
		return image_fail_errno(err, "/%s", from);
	/* What the host does not show to everybody may be a secret. */
	if (!S_ISREG(sb.st_mode) || !(sb.st_mode & S_IROTH))
		return 0;
	if (create_file(root_fd, path, &out) != 0)
		return image_fail_errno(err, "/%s", path);
	if (out < 0)
		return 0;
	if (copy_bytes(in, out) != 0 && copy_bytes_slowly(in, out) != 0)
		return image_fail_errno(err, "/%s", path);
	times[0] = times[1] = sb.st_mtim;
	if (give_to_root(out, sb.st_mode & 0777) != 0 || futimens(out, times) != 0)
		return image_fail_errno(err, "/%s", path);
	return 0;
}

static int
copy_symlink(int from, int root_fd, const char *path, struct image_error *err)
{
	char target[PATH_MAX];
	ssize_t len = readlinkat(from, "", target, sizeof(target) - 1);

	if (len <= 0)
		return image_fail_errno(err, "/%s", path);
	target[len] = '\0';
	return image_put_symlink(root_fd, path, target, err);
}

int
image_copy(int from_fd, const char *from, int root_fd, const char *path, struct image_error *err)
{
	cleanup_fd int fd = open_source(from_fd, from, O_PATH);
	struct stat sb;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : image_fail_errno(err, "/%s", from);
	if (fstat(fd, &sb) != 0)
		return image_fail_errno(err, "/%s", from);
	if (S_ISDIR(sb.st_mode))
		return image_make_dirs(root_fd, path, err);
	if (S_ISLNK(sb.st_mode))
		return copy_symlink(fd, root_fd, path, err);
	return S_ISREG(sb.st_mode) ? copy_file(from_fd, from, root_fd, path, err) : 0;
}

/* --- what every image has --- */

static const struct {
	const char *path;
	mode_t mode;
} places[] = {
	{ "dev", 0755 },
	{ "proc", 0555 },
	{ "sys", 0555 },
	{ "run", 0755 },
	{ "home", 0755 },
	{ "etc", 0755 },
	{ "tmp", 01777 },
};

int
image_put_mount_points(int root_fd, struct image_error *err)
{
	struct stat sb;

	/* Of what is there the scan says whether it will do. */
	for (size_t i = 0; i < COUNT_OF(places); i++)
		if (fstatat(root_fd, places[i].path, &sb, AT_SYMLINK_NOFOLLOW) != 0 &&
		    image_put_dir(root_fd, places[i].path, places[i].mode, err) != 0)
			return -1;
	return 0;
}
