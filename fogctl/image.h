/* SPDX-License-Identifier: MIT */
/*
 * The image store of this machine, and what `fogctl image` does with it: an administrator's command,
 * run as root; no daemon links any of this. A store is a directory of root's, mode 0700:
 *   sha256-HEX/manifest   what the image is (image_text.c)
 *   sha256-HEX/rootfs/    its files; HEX is the digest over all of them (image_tree.c)
 *   index                 names, each of one digest (image_text.c), replaced by rename(2)
 *   lock                  held with flock(2) by who changes the store
 *   .staging-HEX/         half made or half removed; the next one who changes the store removes it
 * Who uses an image holds LOCK_SH on its directory: then it is not removed.
 * Functions return 0, or -1 with *err filled; results are set only on success.
 */
#ifndef FOGCTL_IMAGE_H
#define FOGCTL_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define IMAGE_STORE "/var/lib/cloudshell-fog/images"

#define IMAGE_HEX_SIZE 65 /* a SHA-256 in lower case, with its NUL */
#define IMAGE_NAME_MAX 64
#define IMAGE_SOURCE_MAX 255
#define IMAGE_NAMES_MAX 1024
#define IMAGE_MANIFEST_MAX 1024 /* bytes */
#define IMAGE_INDEX_MAX (256 * 1024)
#define IMAGE_ENTRIES_MAX 1000000
#define IMAGE_BYTES_MAX (UINT64_C(16) << 30)
#define IMAGE_OWNER_MAX 65535 /* a session has ids 0 to this */
#define IMAGE_DEPTH_MAX 128

/* --- image_text.c: pure, and under a fuzzer --- */

/* One line of printable ASCII. */
struct image_error {
	char text[768];
};

/* They return -1. image_fail_errno adds what errno says. */
int image_fail(struct image_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int image_fail_errno(struct image_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* [a-z0-9][a-z0-9._-]*, at most IMAGE_NAME_MAX, no "..". */
bool image_name_is_valid(const char *name);
/* "sha256:" and 64 digits in lower case, of which hex is set; false: it is no digest. */
bool image_digest_parse(const char *text, char hex[static IMAGE_HEX_SIZE]);
/* An entry of an archive: relative, and no component is "..". */
bool image_path_is_inside(const char *path);

struct image_manifest {
	char digest[IMAGE_HEX_SIZE];
	char source[IMAGE_SOURCE_MAX + 1]; /* printable ASCII */
	uint64_t created_s;                /* Unix time */
	uint64_t entries, bytes;
};

/* Only the very bytes that image_manifest_format makes are taken. That returns how many, or -1. */
int image_manifest_parse(const char *bytes, size_t len, struct image_manifest *out,
    struct image_error *err);
int image_manifest_format(const struct image_manifest *m, char out[static IMAGE_MANIFEST_MAX]);

struct image_index {
	size_t count;
	struct image_name {
		char name[IMAGE_NAME_MAX + 1];
		char digest[IMAGE_HEX_SIZE];
	} rows[IMAGE_NAMES_MAX]; /* sorted by name */
};

/* Likewise. The formatted text is the caller's to free; NULL: no memory. */
int image_index_parse(const char *bytes, size_t len, struct image_index *out,
    struct image_error *err);
char *image_index_format(const struct image_index *x, size_t *len);
const struct image_name *image_index_find(const struct image_index *x, const char *name);
/* Adds the name or moves it. -1: the index is full. */
int image_index_put(struct image_index *x, const char *name, const char *hex);
/* Removes one name, and all of a digest; NULL: none. */
void image_index_drop(struct image_index *x, const char *name, const char *hex);
bool image_index_names(const struct image_index *x, const char *hex);

/* --- image_tree.c: a tree that may be hostile, by descriptors only --- */

struct image_limits {
	uint64_t entries, bytes;
};

struct image_sum {
	char digest[IMAGE_HEX_SIZE];
	uint64_t entries, bytes;
	uint64_t stripped; /* entries that lost a bit or an attribute */
};

/*
 * Checks every entry and takes the digest: SHA-256 over a line for what it is, then for each entry
 * in the order of a sorted walk "TYPE MODE UID GID SIZE SHA256", its path and its target, each
 * ended by NUL. TYPE is d, f, l or h (the target is the first path of the same file). Times are
 * not in it. Refused, by name: what is no file, directory or symlink; setuid, setgid and extended
 * attributes (strip: removed instead); owners above IMAGE_OWNER_MAX; /dev /proc /sys /etc /tmp
 * /run /home that are no directories; files linked from outside; mount points; more than the limits.
 */
int image_tree_scan(int root_fd, const struct image_limits *limits, bool strip,
    struct image_sum *out, struct image_error *err);
/* Removes dir_fd/name and all below. */
int image_tree_remove(int dir_fd, const char *name, struct image_error *err);
/* One component or a path, through no symlink and out of nothing (openat2). -1 with errno. */
int image_open_beneath(int dir_fd, const char *path, int flags);
/* The sorted names in a directory; free() each and the array. -1 with errno; EFBIG: above max. */
int image_list_names(int dir_fd, uint64_t max, char ***names, size_t *count);
void image_free_names(char **names, size_t count);

/* --- image_store.c --- */

struct image_store {
	int fd;         /* the directory */
	int lock_fd;    /* -1: not locked */
	int staging_fd; /* -1: nothing is being made */
	char staging[32];
	struct image_index *index;
};

/* make: it is made when it is missing. */
int image_store_open(struct image_store *st, const char *path, bool make, struct image_error *err);
void image_store_close(struct image_store *st); /* and discards what is being made */
/* Before any change. Removes what was left half made. */
int image_store_lock(struct image_store *st, struct image_error *err);
/* Makes staging_fd, and in it an empty rootfs unless it will come by rename. */
int image_store_stage(struct image_store *st, bool rootfs, struct image_error *err);
/* Moves the staged rootfs to its digest, and gives it the name. */
int image_store_commit(struct image_store *st, const struct image_manifest *m, const char *name,
    struct image_error *err);
/* A name or a digest to a digest. The image may be missing all the same. */
int image_store_resolve(const struct image_store *st, const char *word,
    char hex[static IMAGE_HEX_SIZE], struct image_error *err);
int image_store_open_image(const struct image_store *st, const char *hex, int *fd,
    struct image_manifest *m, struct image_error *err);
/* Of a name only the name, and the image when it has no other. */
int image_store_remove(struct image_store *st, const char *word, bool *gone,
    struct image_error *err);

/* --- image_run.c --- */

/* Called with each line of output, without its newline. Not 0 ends it. */
typedef int image_line_fn(void *arg, char *line, struct image_error *err);

/*
 * Runs a program of the administrator's PATH in a directory (AT_FDCWD: here) with an environment of
 * ours. package is named when it is missing. on_line NULL: the output goes to stderr.
 */
int image_run(char *const argv[], const char *package, int cwd_fd, image_line_fn *on_line,
    void *arg, struct image_error *err);

/* --- image_copy.c: into a tree that is ours alone --- */

/* Makes the directory and those above it, mode 0755, owner 0:0. */
int image_make_dirs(int root_fd, const char *path, struct image_error *err);
/* A new file or directory with exactly this mode, owner 0:0; one that is there is left. */
int image_put_file(int root_fd, const char *path, mode_t mode, const char *text,
    struct image_error *err);
int image_put_dir(int root_fd, const char *path, mode_t mode, struct image_error *err);
int image_put_symlink(int root_fd, const char *path, const char *target, struct image_error *err);
/* /etc/resolv.conf becomes a link to /run/resolv.conf, which every session has its own of. */
int image_put_resolver(int root_fd, struct image_error *err);
/*
 * Copies a file, a symlink or an empty directory as an inode of its own, owner 0:0, without setuid
 * and setgid. What is missing, of another kind, or not for everybody to read is left out.
 */
int image_copy(int from_fd, const char *from, int root_fd, const char *path,
    struct image_error *err);
/* The places that a session mounts on. */
int image_put_mount_points(int root_fd, struct image_error *err);

/* --- image_base.c, image_import.c: what fills a staged rootfs --- */

int image_base_fill(int root_fd, struct image_error *err);
/* source: an OCI layout directory, DIR:TAG or an archive. Makes staging_fd/rootfs. */
int image_import_fill(int staging_fd, const char *source, const struct image_limits *limits,
    struct image_error *err);

/* --- image_packages.c: which packages a base image is made of; pure --- */

struct package_list;

struct package_list *package_list_new(void);
void package_list_free(struct package_list *l);
/*
 * One line of `dpkg-query -W`: status, architecture, package, package with architecture, provides,
 * dependencies; a tab between. Not installed: left out. -1: no memory, or another shape.
 */
int package_list_add(struct package_list *l, char *line);
/*
 * Marks the package and all it depends on, as far as they are installed and not on the list of
 * those that only set up or run a whole system. false: it is not installed.
 */
bool package_list_want(struct package_list *l, const char *name);
/* The wanted ones, as dpkg-query -L takes them; NULL-terminated, free() the array. */
char **package_list_wanted(const struct package_list *l);

/* --- image.c --- */

/* argv[0] is "image". Returns enum fogctl_exit. */
int image_main(int argc, char **argv);

#endif
