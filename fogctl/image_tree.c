/* SPDX-License-Identifier: MIT */
/*
 * Checking and measuring a tree that somebody else has made. Nothing here resolves a path of the
 * tree's: each step opens one name in a directory that is held open.
 */
#include "fogctl/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/cleanup.h"

#define LISTING_HEAD "cloudshell-fog image listing 1\n"
#define BUFFER_SIZE (128 * 1024)
#define SET_ID_BITS (S_ISUID | S_ISGID)
#define NO_CONTENT "-"

/* What the sandbox mounts on: were one a symlink, the mount would go elsewhere. */
static const char *const mount_points[] = { "dev", "proc", "sys", "etc", "tmp", "run", "home" };

/* A file of more than one name. */
struct link_group {
	ino_t ino;
	nlink_t expected, seen;
	char *path; /* its first */
};

struct scan {
	const struct image_limits *limits;
	bool strip;
	EVP_MD_CTX *listing, *content;
	void *groups; /* struct link_group, a tree of search.h */
	struct image_sum sum;
	char path[PATH_MAX];
	size_t path_len;
	unsigned int depth;
	struct image_error *err;
	unsigned char buffer[BUFFER_SIZE];
};

static int scan_children(struct scan *s, int fd);

/* --- directories --- */

int
image_open_beneath(int dir_fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};

	return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void
image_free_names(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

static int
append_name(char ***names, size_t *count, size_t *room, const char *name)
{
	if (*count == *room) {
		size_t more = *room ? *room * 2 : 32;
		char **grown = reallocarray(*names, more, sizeof(**names));

		if (!grown)
			return -1;
		*names = grown;
		*room = more;
	}
	(*names)[*count] = strdup(name);
	if (!(*names)[*count])
		return -1;
	++*count;
	return 0;
}

static int
read_names(DIR *dir, uint64_t max, char ***names, size_t *count)
{
	const struct dirent *e;
	size_t room = 0;

	while (errno = 0, (e = readdir(dir)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (*count >= max) {
			errno = EFBIG;
			return -1;
		}
		if (append_name(names, count, &room, e->d_name) != 0)
			return -1;
	}
	return errno ? -1 : 0;
}

int
image_list_names(int dir_fd, uint64_t max, char ***names, size_t *count)
{
	int fd = image_open_beneath(dir_fd, ".", O_RDONLY | O_DIRECTORY), saved;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	char **found = NULL;
	size_t n = 0;
	int rc;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	rc = read_names(dir, max, &found, &n);
	saved = errno;
	closedir(dir);
	if (rc != 0) {
		image_free_names(found, n);
		errno = saved;
		return -1;
	}
	if (n > 1)
		qsort(found, n, sizeof(*found), compare_names);
	*names = found;
	*count = n;
	return 0;
}

/* --- the path, for messages and for the listing --- */

static int
refuse(struct scan *s, const char *why)
{
	return image_fail(s->err, "/%s: %s", s->path, why);
}

static int
refuse_errno(struct scan *s)
{
	return image_fail_errno(s->err, "/%s", s->path);
}

static int
push_name(struct scan *s, const char *name)
{
	size_t room = sizeof(s->path) - s->path_len;
	int n = snprintf(s->path + s->path_len, room, "%s%s", s->path_len ? "/" : "", name);

	if (n < 0 || (size_t)n >= room)
		return refuse(s, "the path is too long");
	s->path_len += (size_t)n;
	return 0;
}

static void
pop_name(struct scan *s, size_t len)
{
	s->path_len = len;
	s->path[len] = '\0';
}

/* --- the listing --- */

static void
write_hex(const unsigned char *bytes, unsigned int len, char *out)
{
	for (unsigned int i = 0; i < len; i++)
		(void)snprintf(out + 2 * (size_t)i, 3, "%02x", bytes[i]);
}

static int
finish_digest(EVP_MD_CTX *ctx, char hex[static IMAGE_HEX_SIZE])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (EVP_DigestFinal_ex(ctx, bytes, &len) != 1 || 2 * len != IMAGE_HEX_SIZE - 1)
		return -1;
	write_hex(bytes, len, hex);
	return 0;
}

/* Ended by NUL, which is in no path: two different trees never give the same bytes. */
static int
put_field(struct scan *s, const char *text)
{
	if (EVP_DigestUpdate(s->listing, text, strlen(text) + 1) != 1)
		return image_fail(s->err, "the digest cannot be computed");
	return 0;
}

static int
put_entry(struct scan *s, char type, const struct stat *sb, uint64_t size, const char *hash,
    const char *target)
{
	mode_t mode = type == 'l' ? 0777 : sb->st_mode & 07777;
	char line[160];

	(void)snprintf(line, sizeof(line), "%c %04o %u %u %llu %s", type, (unsigned int)mode,
	    sb->st_uid, sb->st_gid, (unsigned long long)size, hash);
	if (put_field(s, line) != 0 || put_field(s, s->path) != 0)
		return -1;
	return put_field(s, target);
}

/* --- attributes and bits --- */

/* A host with SELinux labels everything; no other attribute is part of an image. */
static bool
attribute_is_harmless(const char *name)
{
	return strcmp(name, "security.selinux") == 0;
}

/* A capability gives privilege, an ACL is not in the digest, overlay's redirect what is looked up. */
static int
check_attributes(struct scan *s, int fd, bool *changed)
{
	char *list = (char *)s->buffer;
	ssize_t len = flistxattr(fd, list, sizeof(s->buffer));

	if (len < 0)
		return errno == ENOTSUP ? 0 : refuse_errno(s);
	for (const char *name = list; name < list + len; name += strlen(name) + 1) {
		if (attribute_is_harmless(name))
			continue;
		if (!s->strip)
			return image_fail(s->err, "/%s: has the extended attribute %s", s->path,
			    name);
		if (fremovexattr(fd, name) != 0)
			return refuse_errno(s);
		*changed = true;
	}
	return 0;
}

/* fd is open for the entry of *sb, whose mode is brought up to date. */
static int
check_privilege(struct scan *s, int fd, struct stat *sb)
{
	bool changed = false;

	if (check_attributes(s, fd, &changed) != 0)
		return -1;
	if (sb->st_mode & SET_ID_BITS) {
		if (!s->strip)
			return refuse(s, "is setuid or setgid");
		if (fchmod(fd, sb->st_mode & 07777 & ~SET_ID_BITS) != 0)
			return refuse_errno(s);
		sb->st_mode &= ~(mode_t)SET_ID_BITS;
		changed = true;
	}
	s->sum.stripped += changed;
	return 0;
}

/* --- hard links --- */

static int
compare_groups(const void *a, const void *b)
{
	const struct link_group *x = a, *y = b;

	return (x->ino > y->ino) - (x->ino < y->ino);
}

static void
free_group(void *p)
{
	struct link_group *g = p;

	free(g->path);
	free(g);
}

/* Counts one more name of the file; NULL: no memory. */
static struct link_group *
note_link(struct scan *s, const struct stat *sb)
{
	struct link_group key = { .ino = sb->st_ino }, *g, **found;

	found = tfind(&key, &s->groups, compare_groups);
	if (found) {
		(*found)->seen++;
		return *found;
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	*g = (struct link_group){ sb->st_ino, sb->st_nlink, 1, strdup(s->path) };
	if (!g->path || !tsearch(g, &s->groups, compare_groups)) {
		free_group(g);
		return NULL;
	}
	return g;
}

static void
find_outside_link(const void *node, VISIT visit, void *arg)
{
	const struct link_group *g = *(struct link_group *const *)node;
	const struct link_group **outside = arg;

	if ((visit == postorder || visit == leaf) && g->seen != g->expected)
		*outside = g;
}

/* Whoever holds another name of a file could change the image from there (S28). */
static int
check_links(struct scan *s)
{
	const struct link_group *outside = NULL;

	twalk_r(s->groups, find_outside_link, &outside);
	if (outside)
		return image_fail(s->err, "/%s: has a hard link outside of the image",
		    outside->path);
	return 0;
}

/* --- entries --- */

/* Opens the entry, which has to be the one that was looked at. */
static int
open_checked(struct scan *s, int dir_fd, const char *name, const struct stat *seen, int *out)
{
	int fd = image_open_beneath(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOATIME);
	struct stat sb;

	if (fd < 0 && errno == EPERM) /* O_NOATIME is the owner's and root's */
		fd = image_open_beneath(dir_fd, name, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return errno == EXDEV ? refuse(s, "is a mount point") : refuse_errno(s);
	if (fstat(fd, &sb) != 0 || sb.st_ino != seen->st_ino || sb.st_dev != seen->st_dev ||
	    (sb.st_mode & S_IFMT) != (seen->st_mode & S_IFMT)) {
		close(fd);
		return refuse(s, "changes while it is read");
	}
	*out = fd;
	return 0;
}

static int
hash_content(struct scan *s, int fd, uint64_t size, char hex[static IMAGE_HEX_SIZE])
{
	uint64_t total = 0;
	ssize_t n;

	if (EVP_DigestInit_ex(s->content, EVP_sha256(), NULL) != 1)
		return image_fail(s->err, "the digest cannot be computed");
	while ((n = read(fd, s->buffer, sizeof(s->buffer))) > 0 && total <= size) {
		total += (uint64_t)n;
		if (EVP_DigestUpdate(s->content, s->buffer, (size_t)n) != 1)
			return image_fail(s->err, "the digest cannot be computed");
	}
	if (n < 0)
		return refuse_errno(s);
	if (total != size)
		return refuse(s, "changes while it is read");
	return finish_digest(s->content, hex);
}

static int
scan_content(struct scan *s, int fd, const struct stat *sb)
{
	uint64_t size = (uint64_t)sb->st_size;
	char hex[IMAGE_HEX_SIZE];

	if (size > s->limits->bytes - s->sum.bytes)
		return image_fail(s->err, "/%s: the image has more than %llu bytes", s->path,
		    (unsigned long long)s->limits->bytes);
	s->sum.bytes += size;
	if (hash_content(s, fd, size, hex) != 0)
		return -1;
	return put_entry(s, 'f', sb, size, hex, "");
}

static int
scan_file(struct scan *s, int dir_fd, const char *name, struct stat *sb)
{
	const struct link_group *g = NULL;
	cleanup_fd int fd = -1;

	if (open_checked(s, dir_fd, name, sb, &fd) != 0 || check_privilege(s, fd, sb) != 0)
		return -1;
	if (sb->st_nlink > 1) {
		g = note_link(s, sb);
		if (!g)
			return refuse_errno(s);
	}
	if (g && g->seen > 1)
		return put_entry(s, 'h', sb, 0, NO_CONTENT, g->path);
	return scan_content(s, fd, sb);
}

static int
scan_directory(struct scan *s, int dir_fd, const char *name, struct stat *sb)
{
	cleanup_fd int fd = -1;
	int rc;

	if (s->depth == IMAGE_DEPTH_MAX)
		return refuse(s, "lies too deep");
	if (open_checked(s, dir_fd, name, sb, &fd) != 0 || check_privilege(s, fd, sb) != 0 ||
	    put_entry(s, 'd', sb, 0, NO_CONTENT, "") != 0)
		return -1;
	s->depth++;
	rc = scan_children(s, fd);
	s->depth--;
	return rc;
}

static int
scan_symlink(struct scan *s, int dir_fd, const char *name, struct stat *sb)
{
	char target[PATH_MAX];
	ssize_t len = readlinkat(dir_fd, name, target, sizeof(target));

	if (len < 0)
		return refuse_errno(s);
	if (len == 0 || (size_t)len >= sizeof(target))
		return refuse(s, "the target of the symlink is empty or too long");
	if (sb->st_nlink > 1)
		return refuse(s, "is a symlink with more than one name");
	target[len] = '\0';
	return put_entry(s, 'l', sb, (uint64_t)len, NO_CONTENT, target);
}

static bool
is_mount_point(const char *path)
{
	for (size_t i = 0; i < COUNT_OF(mount_points); i++)
		if (strcmp(path, mount_points[i]) == 0)
			return true;
	return false;
}

static int
scan_kind(struct scan *s, int dir_fd, const char *name, struct stat *sb)
{
	switch (sb->st_mode & S_IFMT) {
	case S_IFREG:
		return scan_file(s, dir_fd, name, sb);
	case S_IFDIR:
		return scan_directory(s, dir_fd, name, sb);
	case S_IFLNK:
		return scan_symlink(s, dir_fd, name, sb);
	case S_IFCHR:
	case S_IFBLK:
		return refuse(s, "is a device node");
	case S_IFIFO:
		return refuse(s, "is a fifo");
	case S_IFSOCK:
		return refuse(s, "is a socket");
	default:
		return refuse(s, "is of an unknown kind");
	}
}

static int
scan_entry(struct scan *s, int dir_fd, const char *name)
{
	size_t len = s->path_len;
	struct stat sb;
	int rc;

	if (push_name(s, name) != 0)
		return -1;
	if (fstatat(dir_fd, name, &sb, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0)
		rc = refuse_errno(s);
	else if (is_mount_point(s->path) && !S_ISDIR(sb.st_mode))
		rc = refuse(s, "has to be a directory");
	else if (sb.st_uid > IMAGE_OWNER_MAX || sb.st_gid > IMAGE_OWNER_MAX)
		rc = refuse(s, "the owner or group is above 65535");
	else
		rc = scan_kind(s, dir_fd, name, &sb);
	pop_name(s, len);
	return rc;
}

static int
scan_children(struct scan *s, int fd)
{
	char **names = NULL;
	size_t count = 0;
	int rc = 0;

	if (image_list_names(fd, s->limits->entries - s->sum.entries, &names, &count) != 0) {
		if (errno != EFBIG)
			return refuse_errno(s);
		return image_fail(s->err, "/%s: the image has more than %llu entries", s->path,
		    (unsigned long long)s->limits->entries);
	}
	s->sum.entries += count;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = scan_entry(s, fd, names[i]);
	image_free_names(names, count);
	return rc;
}

/* --- the whole --- */

static int
scan_root(struct scan *s, int root_fd)
{
	struct stat sb;

	if (fstat(root_fd, &sb) != 0)
		return refuse_errno(s);
	if (!S_ISDIR(sb.st_mode))
		return refuse(s, "is no directory");
	if (EVP_DigestInit_ex(s->listing, EVP_sha256(), NULL) != 1)
		return image_fail(s->err, "the digest cannot be computed");
	if (put_field(s, LISTING_HEAD) != 0 || scan_directory(s, root_fd, ".", &sb) != 0 ||
	    check_links(s) != 0)
		return -1;
	if (finish_digest(s->listing, s->sum.digest) != 0)
		return image_fail(s->err, "the digest cannot be computed");
	return 0;
}

int
image_tree_scan(int root_fd, const struct image_limits *limits, bool strip, struct image_sum *out,
    struct image_error *err)
{
	struct scan *s = calloc(1, sizeof(*s));
	int rc = -1;

	if (!s)
		return image_fail(err, "out of memory");
	s->limits = limits;
	s->strip = strip;
	s->err = err;
	s->listing = EVP_MD_CTX_new();
	s->content = EVP_MD_CTX_new();
	if (s->listing && s->content)
		rc = scan_root(s, root_fd);
	else
		(void)image_fail(err, "out of memory");
	if (rc == 0)
		*out = s->sum;
	EVP_MD_CTX_free(s->listing);
	EVP_MD_CTX_free(s->content);
	tdestroy(s->groups, free_group);
	free(s);
	return rc;
}

/* --- removing --- */

static int remove_children(int dir_fd);

static int
remove_entry(int dir_fd, const char *name)
{
	cleanup_fd int fd = -1;

	if (unlinkat(dir_fd, name, 0) == 0)
		return 0;
	if (errno != EISDIR)
		return -1;
	fd = image_open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || remove_children(fd) != 0)
		return -1;
	return unlinkat(dir_fd, name, AT_REMOVEDIR);
}

static int
remove_children(int dir_fd)
{
	char **names = NULL;
	size_t count = 0;
	int rc = 0;

	if (image_list_names(dir_fd, UINT64_MAX, &names, &count) != 0)
		return -1;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = remove_entry(dir_fd, names[i]);
	image_free_names(names, count);
	return rc;
}

int
image_tree_remove(int dir_fd, const char *name, struct image_error *err)
{
	if (remove_entry(dir_fd, name) != 0 && errno != ENOENT)
		return image_fail_errno(err, "%s cannot be removed", name);
	return 0;
}
