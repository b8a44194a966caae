/* SPDX-License-Identifier: MIT */
/*
 * `fogctl image create`: the host's installed packages become an image, without a network. Which
 * files they have dpkg says; /etc is written afresh, so that nothing of the host's own goes along.
 */
#include "fogctl/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Without these there is no image. */
static const char *const needed[] = { "base-files", "bash", "coreutils", "dash", "findutils",
	"grep", "libc-bin", "ncurses-base", "procps", "sed", "util-linux" };

/* These as far as they are installed. */
static const char *const welcome[] = { "bsdextrautils", "bsdutils", "bzip2", "ca-certificates",
	"curl", "debianutils", "diffutils", "file", "gawk", "git", "gzip", "hostname", "iproute2",
	"jq", "less", "mawk", "nano", "ncurses-bin", "netbase", "openssh-client", "openssl",
	"psmisc", "tar", "tzdata", "vim-tiny", "xz-utils" };

/* Of /etc: public, and of no use when it is not the host's. */
static const char *const etc_files[] = { "etc/debian_version", "etc/os-release", "etc/protocols",
	"etc/services", "etc/ssl/openssl.cnf", "etc/terminfo/", "etc/vim/" };

/* The last is made when ca-certificates is set up and is no package's. */
#define CA_BUNDLE "etc/ssl/certs/ca-certificates.crt"

static const char *const left_out[] = { "boot/", "dev/", "etc/", "home/", "media/", "proc/",
	"root/", "run/", "sys/", "tmp/", "usr/lib/systemd/", "usr/lib/udev/", "usr/local/",
	"usr/share/bug/", "usr/share/doc/", "usr/share/doc-base/", "usr/share/info/",
	"usr/share/lintian/", "usr/share/locale/", "usr/share/man/", "usr/share/pixmaps/", "var/" };

/* They are symlinks into usr on a merged host, and in the image then. */
static const char *const merged[] = { "bin", "lib", "lib32", "lib64", "libx32", "sbin" };

static const char *const alternatives[] = { "awk", "editor", "nawk", "nc", "pager", "vi", "view" };

static const struct {
	const char *path;
	mode_t mode;
} directories[] = {
	{ "mnt", 0755 },
	{ "opt", 0755 },
	{ "root", 0700 },
	{ "srv", 0755 },
	{ "usr/local/bin", 0755 },
	{ "var/cache", 0755 },
	{ "var/lib", 0755 },
	{ "var/log", 0755 },
	{ "var/tmp", 01777 },
};

static const struct {
	const char *path, *text;
} files[] = {
	{ "etc/passwd",
	    "root:x:0:0:root:/root:/bin/bash\n"
	    "user:x:1000:1000:user:/home/user:/bin/bash\n"
	    "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n" },
	{ "etc/group", "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n" },
	{ "etc/nsswitch.conf",
	    "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n" },
	{ "etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n" },
	{ "etc/hostname", "session\n" },
	{ "etc/shells", "/bin/sh\n/bin/bash\n" },
	{ "etc/profile",
	    "export PATH=\"${PATH:-/usr/local/bin:/usr/bin:/bin}\"\n"
	    "export LANG=\"${LANG:-C.UTF-8}\"\n"
	    "umask 022\n"
	    "if [ -n \"$BASH_VERSION\" ]; then\n"
	    "\t. /etc/bash.bashrc\n"
	    "fi\n" },
	{ "etc/bash.bashrc",
	    "case $- in *i*) ;; *) return ;; esac\n"
	    "shopt -s checkwinsize\n"
	    "PS1='\\u@\\h:\\w\\$ '\n"
	    "alias ls='ls --color=auto' grep='grep --color=auto'\n" },
};

/* What package_list_add takes. */
#define PACKAGE_COLUMNS \
	"${db:Status-Status}\t${Architecture}\t${Package}\t${binary:Package}\t" \
	"${Provides}\t${Pre-Depends}, ${Depends}\n"

struct base {
	int host_fd, root_fd;
	struct package_list *packages;
	bool is_merged[COUNT_OF(merged)];
};

/* --- which files --- */

static bool
starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static bool
starts_with_one(const char *path, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (starts_with(path, list[i]))
			return true;
	return false;
}

/* A licence goes with what it is for. */
static bool
is_copyright(const char *path)
{
	const char *name = strrchr(path, '/');

	return starts_with(path, "usr/share/doc/") && name && strcmp(name, "/copyright") == 0;
}

static bool
belongs(const char *path)
{
	return is_copyright(path) || starts_with_one(path, etc_files, COUNT_OF(etc_files)) ||
	    !starts_with_one(path, left_out, COUNT_OF(left_out));
}

/* /bin/bash is at usr/bin/bash where bin is a symlink. */
static int
merge_path(const struct base *b, const char *path, char out[static PATH_MAX])
{
	const char *usr = "";

	for (size_t i = 0; i < COUNT_OF(merged); i++) {
		size_t len = strlen(merged[i]);

		if (b->is_merged[i] && strncmp(path, merged[i], len) == 0 && path[len] == '/')
			usr = "usr/";
	}
	return snprintf(out, PATH_MAX, "%s%s", usr, path) < PATH_MAX ? 0 : -1;
}

/* --- copying --- */

static int
copy_path(struct base *b, const char *path, struct image_error *err)
{
	char merged_path[PATH_MAX];

	if (!image_path_is_inside(path) || merge_path(b, path, merged_path) != 0)
		return image_fail(err, "dpkg-query names the path /%s", path);
	return image_copy(b->host_fd, merged_path, b->root_fd, merged_path, err);
}

/* A line of dpkg-query -L; those without a slash in front are about diversions. */
static int
on_path(void *arg, char *line, struct image_error *err)
{
	if (line[0] != '/' || line[1] == '\0' || line[1] == '.' || !belongs(line + 1))
		return 0;
	for (size_t i = 0; i < COUNT_OF(merged); i++)
		if (strcmp(line + 1, merged[i]) == 0)
			return 0;
	return copy_path(arg, line + 1, err);
}

static int
on_package(void *arg, char *line, struct image_error *err)
{
	if (package_list_add(((struct base *)arg)->packages, line) != 0)
		return image_fail(err, "dpkg-query gives a line of another shape");
	return 0;
}

static int
choose_packages(struct base *b, struct image_error *err)
{
	char format[] = PACKAGE_COLUMNS;
	char *query[] = { "dpkg-query", "-W", "-f", format, NULL };

	if (image_run(query, "dpkg", AT_FDCWD, on_package, b, err) != 0)
		return -1;
	for (size_t i = 0; i < COUNT_OF(needed); i++)
		if (!package_list_want(b->packages, needed[i]))
			return image_fail(err, "%s is not installed: apt-get install %s", needed[i],
			    needed[i]);
	for (size_t i = 0; i < COUNT_OF(welcome); i++)
		(void)package_list_want(b->packages, welcome[i]);
	return 0;
}

static int
copy_packages(struct base *b, struct image_error *err)
{
	cleanup_free char **names = package_list_wanted(b->packages);
	cleanup_free char **query = NULL;
	size_t count = 0;

	if (!names)
		return image_fail(err, "out of memory");
	while (names[count])
		count++;
	query = calloc(count + 3, sizeof(*query));
	if (!query)
		return image_fail(err, "out of memory");
	query[0] = "dpkg-query";
	query[1] = "-L";
	memcpy(query + 2, names, count * sizeof(*names));
	return image_run(query, "dpkg", AT_FDCWD, on_path, b, err);
}

/* --- what is no package's --- */

static int
put_merged(struct base *b, struct image_error *err)
{
	char target[16], expected[16];

	for (size_t i = 0; i < COUNT_OF(merged); i++) {
		ssize_t n = readlinkat(b->host_fd, merged[i], target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		(void)snprintf(expected, sizeof(expected), "usr/%s", merged[i]);
		b->is_merged[i] = strcmp(target, expected) == 0;
		if (b->is_merged[i] &&
		    (image_make_dirs(b->root_fd, expected, err) != 0 ||
			image_put_symlink(b->root_fd, merged[i], expected, err) != 0))
			return -1;
	}
	return 0;
}

static int
put_etc(struct base *b, struct image_error *err)
{
	for (size_t i = 0; i < COUNT_OF(directories); i++)
		if (image_put_dir(b->root_fd, directories[i].path, directories[i].mode, err) != 0)
			return -1;
	for (size_t i = 0; i < COUNT_OF(files); i++)
		if (image_put_file(b->root_fd, files[i].path, 0644, files[i].text, err) != 0)
			return -1;
	if (image_put_resolver(b->root_fd, err) != 0)
		return -1;
	return image_copy(b->host_fd, CA_BUNDLE, b->root_fd, CA_BUNDLE, err);
}

static bool
is_in_image(const struct base *b, const char *absolute)
{
	char path[PATH_MAX];
	int fd;

	if (absolute[0] != '/' || merge_path(b, absolute + 1, path) != 0)
		return false;
	fd = image_open_beneath(b->root_fd, path, O_PATH);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* What update-alternatives points to, as far as it is here, without the detour through /etc. */
static int
put_alternatives(struct base *b, struct image_error *err)
{
	for (size_t i = 0; i < COUNT_OF(alternatives); i++) {
		char from[64], path[64], target[PATH_MAX];
		ssize_t n;

		(void)snprintf(from, sizeof(from), "etc/alternatives/%s", alternatives[i]);
		(void)snprintf(path, sizeof(path), "usr/bin/%s", alternatives[i]);
		n = readlinkat(b->host_fd, from, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (is_in_image(b, target) && image_put_symlink(b->root_fd, path, target, err) != 0)
			return -1;
	}
	return 0;
}

/* vim is often there twice, and its own vi is not the small one's. */
static int
put_vi(struct base *b, struct image_error *err)
{
	if (!is_in_image(b, "/usr/bin/vim.tiny"))
		return 0;
	return image_put_symlink(b->root_fd, "usr/bin/vi", "/usr/bin/vim.tiny", err);
}

static int
fill(struct base *b, struct image_error *err)
{
	if (choose_packages(b, err) != 0 || put_merged(b, err) != 0 ||
	    image_put_mount_points(b->root_fd, err) != 0 || put_etc(b, err) != 0 ||
	    copy_packages(b, err) != 0 || put_alternatives(b, err) != 0 || put_vi(b, err) != 0)
		return -1;
	if (!is_in_image(b, "/bin/bash") || !is_in_image(b, "/bin/sh"))
		return image_fail(err, "the host's packages gave no shell");
	return 0;
}

int
image_base_fill(int root_fd, struct image_error *err)
{
	struct base b = { .host_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.root_fd = root_fd };
	int rc = -1;

	b.packages = package_list_new();
	if (b.host_fd < 0 || !b.packages)
		(void)image_fail_errno(err, "/");
	else
		rc = fill(&b, err);
	package_list_free(b.packages);
	close_fd(&b.host_fd);
	return rc;
}
