/* SPDX-License-Identifier: MIT */
/*
 * The store: what is in it is whole, and what is half made has another name (R7). Bytes are on the
 * disk before the rename that shows them.
 */
#include "fogctl/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/secret.h"

#define STAGING_PREFIX ".staging-"
#define DIRECTORY_PREFIX "sha256-"
#define DIRECTORY_SIZE (sizeof(DIRECTORY_PREFIX) + IMAGE_HEX_SIZE)

static void
name_directory(const char *hex, char out[static DIRECTORY_SIZE])
{
	(void)snprintf(out, DIRECTORY_SIZE, DIRECTORY_PREFIX "%s", hex);
}

/* --- small files --- */

/* Up to max bytes to out; len says how many. -1 with errno; what is larger is EFBIG. */
static int
read_small(int dir_fd, const char *name, char *out, size_t max, size_t *len)
{
	cleanup_fd int fd = image_open_beneath(dir_fd, name, O_RDONLY | O_NONBLOCK);
	struct stat sb;
	ssize_t n = 0;
	size_t at = 0;

	if (fd < 0 || fstat(fd, &sb) != 0)
		return -1;
	errno = S_ISREG(sb.st_mode) ? EFBIG : EINVAL;
	if (!S_ISREG(sb.st_mode) || sb.st_size > (off_t)max)
		return -1;
	while (at < max && (n = read(fd, out + at, max - at)) > 0)
		at += (size_t)n;
	if (n < 0)
		return -1;
	*len = at;
	return 0;
}

static int
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int
write_small(int dir_fd, const char *name, const char *bytes, size_t len)
{
	cleanup_fd int fd = openat(dir_fd, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || write_all(fd, bytes, len) != 0)
		return -1;
	return fsync(fd);
}

/* --- index --- */

static int
read_index_into(struct image_store *st, char *bytes, struct image_error *err)
{
	size_t len;

	st->index->count = 0;
	if (read_small(st->fd, "index", bytes, IMAGE_INDEX_MAX, &len) != 0)
		return errno == ENOENT ? 0 : image_fail_errno(err, "index");
	return image_index_parse(bytes, len, st->index, err);
}

static int
read_index(struct image_store *st, struct image_error *err)
{
	char *bytes = malloc(IMAGE_INDEX_MAX);
	int rc = bytes ? read_index_into(st, bytes, err) : image_fail(err, "out of memory");

	free(bytes);
	return rc;
}

static int
write_index(struct image_store *st, struct image_error *err)
{
	size_t len = 0;
	cleanup_free char *bytes = image_index_format(st->index, &len);

	if (!bytes)
		return image_fail(err, "out of memory");
	if ((unlinkat(st->fd, "index.new", 0) != 0 && errno != ENOENT) ||
	    write_small(st->fd, "index.new", bytes, len) != 0 ||
	    renameat(st->fd, "index.new", st->fd, "index") != 0 || fsync(st->fd) != 0)
		return image_fail_errno(err, "index cannot be written");
	return 0;
}

/* --- open, lock, close --- */

static int
check_store(int fd, const char *path, struct image_error *err)
{
	struct stat sb;

	if (fstat(fd, &sb) != 0)
		return image_fail_errno(err, "%s", path);
	if (sb.st_uid != geteuid())
		return image_fail(err, "%s: the store has to be root's", path);
	if (sb.st_mode & 077)
		return image_fail(err, "%s: the store has to be closed to others: chmod 700 %s",
		    path, path);
	return 0;
}

int
image_store_open(struct image_store *st, const char *path, bool make, struct image_error *err)
{
	*st = (struct image_store){ .fd = -1, .lock_fd = -1, .staging_fd = -1 };
	if (make && mkdir(path, 0700) != 0 && errno != EEXIST)
		return image_fail_errno(err, "%s", path);
	st->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (st->fd < 0)
		return image_fail_errno(err, "%s", path);
	st->index = calloc(1, sizeof(*st->index));
	if (!st->index)
		return image_fail(err, "out of memory");
	if (check_store(st->fd, path, err) != 0)
		return -1;
	return read_index(st, err);
}

static void
discard(struct image_store *st)
{
	struct image_error ignored;

	close_fd(&st->staging_fd);
	if (st->staging[0])
		(void)image_tree_remove(st->fd, st->staging, &ignored);
	st->staging[0] = '\0';
}

void
image_store_close(struct image_store *st)
{
	discard(st);
	close_fd(&st->lock_fd);
	close_fd(&st->fd);
	free(st->index);
	st->index = NULL;
}

/* Under the lock nobody else makes anything: what is staged is of one who died. */
static int
remove_stale(struct image_store *st, struct image_error *err)
{
	char **names = NULL;
	size_t count = 0;
	int rc = 0;

	if (image_list_names(st->fd, UINT64_MAX, &names, &count) != 0)
		return image_fail_errno(err, "the store cannot be read");
	for (size_t i = 0; rc == 0 && i < count; i++)
		if (strncmp(names[i], STAGING_PREFIX, strlen(STAGING_PREFIX)) == 0)
			rc = image_tree_remove(st->fd, names[i], err);
	image_free_names(names, count);
	return rc;
}

int
image_store_lock(struct image_store *st, struct image_error *err)
{
	st->lock_fd = openat(st->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (st->lock_fd < 0)
		return image_fail_errno(err, "lock");
	if (flock(st->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK
		    ? image_fail(err, "another command is changing the store")
		    : image_fail_errno(err, "lock");
	if (remove_stale(st, err) != 0)
		return -1;
	return read_index(st, err); /* somebody may have changed it before the lock was ours */
}

/* --- making --- */

static int
name_staging(char *out, size_t size, struct image_error *err)
{
	unsigned long long random;

	if (secret_random(&random, sizeof(random)) != 0)
		return image_fail_errno(err, "no random number");
	(void)snprintf(out, size, STAGING_PREFIX "%016llx", random);
	return 0;
}

int
image_store_stage(struct image_store *st, bool rootfs, struct image_error *err)
{
	char name[sizeof(st->staging)];

	if (name_staging(name, sizeof(name), err) != 0)
		return -1;
	if (mkdirat(st->fd, name, 0700) != 0)
		return image_fail_errno(err, "%s", name);
	memcpy(st->staging, name, sizeof(name));
	st->staging_fd = image_open_beneath(st->fd, name, O_RDONLY | O_DIRECTORY);
	if (st->staging_fd < 0)
		return image_fail_errno(err, "%s", name);
	if (rootfs &&
	    (mkdirat(st->staging_fd, "rootfs", 0700) != 0 ||
		fchmodat(st->staging_fd, "rootfs", 0755, 0) != 0))
		return image_fail_errno(err, "%s/rootfs", name);
	return 0;
}

static int
write_manifest(const struct image_store *st, const struct image_manifest *m,
    struct image_error *err)
{
	char text[IMAGE_MANIFEST_MAX];
	int len = image_manifest_format(m, text);

	if (len < 0)
		return image_fail(err, "the manifest cannot be written");
	if (write_small(st->staging_fd, "manifest", text, (size_t)len) != 0 ||
	    syncfs(st->staging_fd) != 0)
		return image_fail_errno(err, "manifest");
	return 0;
}

/* Equal bytes are in the store once; one that is there may be in use and stays. */
static int
move_to_digest(struct image_store *st, const char *hex, struct image_error *err)
{
	char name[DIRECTORY_SIZE];

	name_directory(hex, name);
	if (renameat2(st->fd, st->staging, st->fd, name, RENAME_NOREPLACE) != 0) {
		if (errno != EEXIST)
			return image_fail_errno(err, "%s", name);
		discard(st);
		return 0;
	}
	st->staging[0] = '\0';
	if (fsync(st->fd) != 0)
		return image_fail_errno(err, "%s", name);
	return 0;
}

int
image_store_commit(struct image_store *st, const struct image_manifest *m, const char *name,
    struct image_error *err)
{
	if (image_index_put(st->index, name, m->digest) != 0)
		return image_fail(err, "the store has %d names", IMAGE_NAMES_MAX);
	if (write_manifest(st, m, err) != 0 || move_to_digest(st, m->digest, err) != 0)
		return -1;
	return write_index(st, err);
}

/* --- using and removing --- */

int
image_store_resolve(const struct image_store *st, const char *word, char hex[static IMAGE_HEX_SIZE],
    struct image_error *err)
{
	const struct image_name *row;

	if (image_digest_parse(word, hex))
		return 0;
	row = image_name_is_valid(word) ? image_index_find(st->index, word) : NULL;
	if (!row)
		return image_fail(err, "%s: no image has this name", word);
	memcpy(hex, row->digest, IMAGE_HEX_SIZE);
	return 0;
}

int
image_store_open_image(const struct image_store *st, const char *hex, int *fd,
    struct image_manifest *m, struct image_error *err)
{
	char name[DIRECTORY_SIZE], bytes[IMAGE_MANIFEST_MAX];
	cleanup_fd int dir_fd = -1;
	size_t len;

	name_directory(hex, name);
	dir_fd = image_open_beneath(st->fd, name, O_RDONLY | O_DIRECTORY);
	if (dir_fd < 0)
		return errno == ENOENT ? image_fail(err, "sha256:%s: not in the store", hex)
				       : image_fail_errno(err, "%s", name);
	if (read_small(dir_fd, "manifest", bytes, sizeof(bytes), &len) != 0)
		return image_fail_errno(err, "%s/manifest", name);
	if (image_manifest_parse(bytes, len, m, err) != 0)
		return -1;
	if (strcmp(m->digest, hex) != 0)
		return image_fail(err, "%s/manifest: has the digest of another image", name);
	*fd = steal_fd(&dir_fd);
	return 0;
}

/* First out of sight in one step, then file by file. Damaged ones go too: no manifest is read. */
static int
remove_image(struct image_store *st, const char *hex, struct image_error *err)
{
	char name[DIRECTORY_SIZE];
	cleanup_fd int fd = -1;

	name_directory(hex, name);
	fd = image_open_beneath(st->fd, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return errno == ENOENT ? 0 : image_fail_errno(err, "%s", name);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		return image_fail(err, "sha256:%s: is in use", hex);
	if (name_staging(st->staging, sizeof(st->staging), err) != 0 || write_index(st, err) != 0)
		return -1;
	if (renameat2(st->fd, name, st->fd, st->staging, RENAME_NOREPLACE) != 0)
		return image_fail_errno(err, "%s", name);
	if (fsync(st->fd) != 0 || image_tree_remove(st->fd, st->staging, err) != 0)
		return -1;
	st->staging[0] = '\0';
	return 0;
}

static bool
image_exists(const struct image_store *st, const char *hex)
{
	char name[DIRECTORY_SIZE];

	name_directory(hex, name);
	return faccessat(st->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int
image_store_remove(struct image_store *st, const char *word, bool *gone, struct image_error *err)
{
	char hex[IMAGE_HEX_SIZE];
	bool by_name = !image_digest_parse(word, hex);

	if (by_name && image_store_resolve(st, word, hex, err) != 0)
		return -1;
	if (!by_name && !image_exists(st, hex) && !image_index_names(st->index, hex))
		return image_fail(err, "%s: not in the store", word);
	image_index_drop(st->index, by_name ? word : NULL, by_name ? NULL : hex);
	*gone = !image_index_names(st->index, hex);
	if (*gone && image_exists(st, hex))
		return remove_image(st, hex, err);
	return write_index(st, err);
}
