/* SPDX-License-Identifier: MIT */
/* The pure parts of the image store, and the scan of trees that somebody else has made. */
/* links: fogctl/image_text.c fogctl/image_tree.c fogctl/image_packages.c */
#include "fogctl/image.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define MANIFEST \
	"cloudshell-fog-image 1\ndigest sha256:" HEX_A "\nsource base\n" \
	"created 2026-02-03T04:05:06Z\nentries 12\nbytes 3456\nend\n"
#define INDEX_ROW(name, hex) "name " name " sha256:" hex "\n"
#define INDEX(rows, count) "cloudshell-fog-images 1\n" rows "end " count "\n"

/* --- texts --- */

static void
test_names(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
		{ "base", true },
		{ "debian-12.1_x", true },
		{ "0", true },
		{ "", false },
		{ "Base", false },
		{ ".staging", false },
		{ "-x", false },
		{ "_x", false },
		{ "a..b", false },
		{ "a/b", false },
		{ "a:b", false },
		{ "a b", false },
		{ "a\n", false },
		{ "a23456789012345678901234567890123456789012345678901234567890123", true },
		{ "a234567890123456789012345678901234567890123456789012345678901234x", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (image_name_is_valid(rows[i].name) != rows[i].valid)
			fail_msg("name %s", rows[i].name);
}

static void
test_paths(void **state)
{
	static const char *const inside[] = { "a", "./a/b", "a/..b/c..", "...", "a//b", "." };
	static const char *const outside[] = { "..", "../a", "a/../b", "a/..", "/a", "./../a",
		"a//.." };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(inside); i++)
		assert_true(image_path_is_inside(inside[i]));
	for (size_t i = 0; i < COUNT_OF(outside); i++)
		assert_false(image_path_is_inside(outside[i]));
}

static void
test_manifest(void **state)
{
	static const char *const refused[] = { "", "\n", "cloudshell-fog-image 1\n",
		"cloudshell-fog-image 2\n", MANIFEST " ", MANIFEST "\n",
		"cloudshell-fog-image 1\ndigest sha256:" HEX_A "\nsource base\n"
		"created 2026-02-03T04:05:06Z\nentries 012\nbytes 3456\nend\n",
		"cloudshell-fog-image 1\ndigest sha256:" HEX_A "\nsource base\n"
		"created 2026-02-30T04:05:06Z\nentries 12\nbytes 3456\nend\n",
		"cloudshell-fog-image 1\ndigest sha256:" HEX_A "\nsource base\n"
		"created 2026-02-03T04:05:06Z\nentries 1000001\nbytes 3456\nend\n",
		"cloudshell-fog-image 1\ndigest sha256:" HEX_A "\nsource base\n"
		"created 2026-02-03T04:05:06Z\nentries 12\nbytes -1\nend\n",
		"cloudshell-fog-image 1\ndigest sha256:" HEX_A "\nsource b\x1b[2J\n"
		"created 2026-02-03T04:05:06Z\nentries 12\nbytes 3456\nend\n",
		"cloudshell-fog-image 1\ndigest sha1:" HEX_A "\nsource base\n"
		"created 2026-02-03T04:05:06Z\nentries 12\nbytes 3456\nend\n" };
	char text[IMAGE_MANIFEST_MAX];
	struct image_manifest m;
	struct image_error err;

	(void)state;
	assert_int_equal(image_manifest_parse(MANIFEST, strlen(MANIFEST), &m, &err), 0);
	assert_string_equal(m.digest, HEX_A);
	assert_string_equal(m.source, "base");
	assert_int_equal(m.created_s, 1770091506);
	assert_int_equal(m.entries, 12);
	assert_int_equal(m.bytes, 3456);
	assert_int_equal(image_manifest_format(&m, text), strlen(MANIFEST));
	assert_string_equal(text, MANIFEST);
	for (size_t i = 0; i < COUNT_OF(refused); i++)
		if (image_manifest_parse(refused[i], strlen(refused[i]), &m, &err) == 0)
			fail_msg("row %zu", i);
	/* R7: cut at any byte it is not taken for whole. */
	for (size_t len = 0; len < strlen(MANIFEST); len++)
		assert_int_equal(image_manifest_parse(MANIFEST, len, &m, &err), -1);
}

static void
test_index(void **state)
{
	static const char whole[] = INDEX(INDEX_ROW("base", HEX_A) INDEX_ROW("dev", HEX_B), "2");
	static const char *const refused[] = { INDEX(INDEX_ROW("base", HEX_A), "2"),
		INDEX(INDEX_ROW("b", HEX_A) INDEX_ROW("a", HEX_B), "2"),
		INDEX(INDEX_ROW("a", HEX_A) INDEX_ROW("a", HEX_B), "2"),
		INDEX(INDEX_ROW("A", HEX_A), "1"), INDEX("name x\n", "1"),
		INDEX(INDEX_ROW("a", "12"), "1"), INDEX(" ", "0"), INDEX("", "00") };
	struct image_index *x = calloc(1, sizeof(*x));
	cleanup_free char *text = NULL;
	struct image_error err;
	size_t len;

	(void)state;
	assert_non_null(x);
	assert_int_equal(image_index_parse(whole, strlen(whole), x, &err), 0);
	assert_int_equal(x->count, 2);
	assert_string_equal(image_index_find(x, "dev")->digest, HEX_B);
	assert_null(image_index_find(x, "de"));
	text = image_index_format(x, &len);
	assert_string_equal(text, whole);
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		if (image_index_parse(refused[i], strlen(refused[i]), x, &err) == 0)
			fail_msg("row %zu", i);
		assert_int_equal(x->count, 0);
	}
	for (len = 0; len < strlen(whole); len++)
		assert_int_equal(image_index_parse(whole, len, x, &err), -1);
	free(x);
}

static void
test_index_changes(void **state)
{
	struct image_index *x = calloc(1, sizeof(*x));
	char name[16];

	(void)state;
	assert_non_null(x);
	assert_int_equal(image_index_put(x, "b", HEX_A), 0);
	assert_int_equal(image_index_put(x, "a", HEX_A), 0);
	assert_int_equal(image_index_put(x, "c", HEX_A), 0);
	assert_int_equal(image_index_put(x, "b", HEX_B), 0);
	assert_int_equal(x->count, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(x->rows[i].name[0], 'a' + i);
	assert_true(image_index_names(x, HEX_B));
	image_index_drop(x, "b", NULL);
	assert_false(image_index_names(x, HEX_B));
	image_index_drop(x, NULL, HEX_A);
	assert_int_equal(x->count, 0);
	for (int i = 0; i < IMAGE_NAMES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(image_index_put(x, name, HEX_A), 0);
	}
	assert_int_equal(image_index_put(x, "one-more", HEX_A), -1);
	assert_int_equal(image_index_put(x, "n7", HEX_B), 0);
	free(x);
}

/* --- packages --- */

static void
test_packages(void **state)
{
	static const char *const lines[] = {
		"installed\tamd64\tdpkg\tdpkg\t\ttar (>= 1.28)",
		"installed\ti386\tlibc6\tlibc6:i386\t\tlibgcc-s1",
		"installed\tamd64\tlibc6\tlibc6:amd64\tlibc6-2.36\tlibgcc-s1:any",
		"installed\tamd64\tlibgcc-s1\tlibgcc-s1:amd64\t\t",
		"installed\tamd64\tbash\tbash\t\tlibc6 (>= 2.36), base, debconf | debconf-2.0",
		"installed\tall\tmawk\tmawk\tbase (= 1), awk\tno-such | other, gone",
		"installed\tall\tdebconf\tdebconf\tdebconf-2.0\tperl-base",
		"not-installed\tall\tgone\tgone\t\tdpkg",
	};
	struct package_list *l = package_list_new();
	cleanup_free char **names = NULL;
	char line[128] = "installed\tamd64";

	(void)state;
	assert_int_equal(package_list_add(l, line), -1);
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		(void)snprintf(line, sizeof(line), "%s", lines[i]);
		assert_int_equal(package_list_add(l, line), 0);
	}
	assert_false(package_list_want(l, "gone"));
	assert_true(package_list_want(l, "bash"));
	names = package_list_wanted(l);
	assert_string_equal(names[0], "libc6:amd64");
	assert_string_equal(names[1], "libgcc-s1:amd64");
	assert_string_equal(names[2], "bash");
	assert_string_equal(names[3], "mawk");
	assert_null(names[4]);
	package_list_free(l);
}

/* --- trees --- */

struct tree {
	char path[32];
	int fd;
	struct image_error err;
	struct image_sum sum;
};

static const struct image_limits wide = { 1000, 1 << 20 };

static void
put(const struct tree *t, const char *path, const char *text)
{
	int fd = openat(t->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int
make_tree(void **state)
{
	struct tree *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	umask(022);
	memcpy(t->path, "/tmp/test-image-XXXXXX", sizeof("/tmp/test-image-XXXXXX"));
	assert_non_null(mkdtemp(t->path));
	assert_int_equal(chmod(t->path, 0755), 0);
	t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(t->fd >= 0);
	assert_int_equal(mkdirat(t->fd, "etc", 0755), 0);
	put(t, "etc/passwd", "root:x:0:0:root:/:/bin/sh\n");
	assert_int_equal(symlinkat("etc/passwd", t->fd, "link"), 0);
	assert_int_equal(mkdirat(t->fd, "d", 0700), 0);
	*state = t;
	return 0;
}

static int
remove_tree(void **state)
{
	struct tree *t = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(image_tree_remove(tmp, t->path + strlen("/tmp/"), &t->err), 0);
	assert_int_equal(access(t->path, F_OK), -1);
	close(tmp);
	close(t->fd);
	free(t);
	return 0;
}

static int
scan(struct tree *t)
{
	return image_tree_scan(t->fd, &wide, false, &t->sum, &t->err);
}

static void
assert_refused(struct tree *t, const char *text)
{
	assert_int_equal(scan(t), -1);
	if (!strstr(t->err.text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, t->err.text);
}

static void
test_counts(void **state)
{
	struct tree *t = *state;
	char before[IMAGE_HEX_SIZE];

	assert_int_equal(scan(t), 0);
	assert_int_equal(t->sum.entries, 4);
	assert_int_equal(t->sum.bytes, 26);
	memcpy(before, t->sum.digest, sizeof(before));
	/* Times are not part of it, nor is the order in which a directory is read. */
	assert_int_equal(futimens(t->fd, (struct timespec[2]){ { 1, 0 }, { 1, 0 } }), 0);
	put(t, "b", "");
	put(t, "a", "");
	assert_int_equal(unlinkat(t->fd, "b", 0) | unlinkat(t->fd, "a", 0), 0);
	assert_int_equal(scan(t), 0);
	assert_string_equal(t->sum.digest, before);
}

static void
make_longer(const struct tree *t)
{
	put(t, "etc/passwd", "root:x:0:0:root:/:/bin/sh\n\n");
}

static void
make_other(const struct tree *t)
{
	put(t, "etc/passwd", "toor:x:0:0:root:/:/bin/sh\n");
}

static void
make_file(const struct tree *t)
{
	put(t, "new", "");
}

static void
make_directory(const struct tree *t)
{
	assert_int_equal(mkdirat(t->fd, "new", 0644), 0);
}

static void
make_mode(const struct tree *t)
{
	assert_int_equal(fchmodat(t->fd, "etc/passwd", 0666, 0), 0);
}

static void
make_root_mode(const struct tree *t)
{
	assert_int_equal(fchmod(t->fd, 0777), 0);
}

static void
make_moved(const struct tree *t)
{
	assert_int_equal(renameat(t->fd, "d", t->fd, "etc/d"), 0);
}

static void
make_target(const struct tree *t)
{
	assert_int_equal(unlinkat(t->fd, "link", 0), 0);
	assert_int_equal(symlinkat("etc/passwe", t->fd, "link"), 0);
}

static void
make_linked(const struct tree *t)
{
	assert_int_equal(linkat(t->fd, "etc/passwd", t->fd, "new", 0), 0);
}

static void
make_gone(const struct tree *t)
{
	assert_int_equal(unlinkat(t->fd, "d", AT_REMOVEDIR), 0);
}

/* Every change gives another digest, and no two of them the same. */
static void
test_changes(void **state)
{
	static void (*const changes[])(const struct tree *) = { make_longer, make_other, make_file,
		make_directory, make_mode, make_root_mode, make_moved, make_target, make_linked,
		make_gone };
	char digests[COUNT_OF(changes) + 1][IMAGE_HEX_SIZE];
	void *fresh;

	assert_int_equal(scan(*state), 0);
	memcpy(digests[0], ((struct tree *)*state)->sum.digest, IMAGE_HEX_SIZE);
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		make_tree(&fresh);
		changes[i](fresh);
		assert_int_equal(scan(fresh), 0);
		memcpy(digests[i + 1], ((struct tree *)fresh)->sum.digest, IMAGE_HEX_SIZE);
		remove_tree(&fresh);
		for (size_t j = 0; j <= i; j++)
			if (strcmp(digests[i + 1], digests[j]) == 0)
				fail_msg("changes %zu and %zu give one digest", i + 1, j);
	}
}

static void
test_kinds(void **state)
{
	struct tree *t = *state;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	assert_int_equal(mkfifoat(t->fd, "d/queue", 0600), 0);
	assert_refused(t, "/d/queue: is a fifo");
	assert_int_equal(unlinkat(t->fd, "d/queue", 0), 0);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/d/sock", t->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	assert_refused(t, "/d/sock: is a socket");
	assert_int_equal(unlinkat(t->fd, "d/sock", 0), 0);
	if (geteuid() == 0 && mknodat(t->fd, "d/null", S_IFCHR | 0666, 0x103) == 0)
		assert_refused(t, "/d/null: is a device node");
}

static void
test_mount_points(void **state)
{
	static const char *const places[] = { "dev", "proc", "sys", "tmp", "run", "home" };
	static const char *const targets[] = { "/dev", "etc", "../../../dev" };
	struct tree *t = *state;
	char expected[64];

	for (size_t i = 0; i < COUNT_OF(places); i++) {
		for (size_t j = 0; j < COUNT_OF(targets); j++) {
			assert_int_equal(symlinkat(targets[j], t->fd, places[i]), 0);
			(void)snprintf(expected, sizeof(expected), "/%s: has to be a directory",
			    places[i]);
			assert_refused(t, expected);
			assert_int_equal(unlinkat(t->fd, places[i], 0), 0);
		}
	}
	/* Elsewhere a symlink is only text: whoever follows it is inside. */
	assert_int_equal(symlinkat("../../../../etc/shadow", t->fd, "d/proc"), 0);
	assert_int_equal(scan(t), 0);
	assert_int_equal(renameat(t->fd, "etc", t->fd, "d/etc"), 0);
	assert_int_equal(symlinkat("d/etc", t->fd, "etc"), 0);
	assert_refused(t, "/etc: has to be a directory");
}

static void
test_set_id(void **state)
{
	static const mode_t modes[] = { 04755, 02755, 06711 };
	struct tree *t = *state;
	struct stat sb;

	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		put(t, "su", "x");
		assert_int_equal(fchmodat(t->fd, "su", modes[i], 0), 0);
		assert_refused(t, "/su: is setuid or setgid");
		assert_int_equal(image_tree_scan(t->fd, &wide, true, &t->sum, &t->err), 0);
		assert_int_equal(t->sum.stripped, 1);
		assert_int_equal(fstatat(t->fd, "su", &sb, 0), 0);
		assert_int_equal(sb.st_mode & 07777, modes[i] & 0777);
		assert_int_equal(scan(t), 0);
	}
	assert_int_equal(fchmodat(t->fd, "d", 02755, 0), 0);
	assert_refused(t, "/d: is setuid or setgid");
}

static void
test_attributes(void **state)
{
	/* VFS_CAP_REVISION_2, cap_net_raw */
	static const unsigned char capability[20] = { 1, 0, 0, 2, 0, 0x20 };
	struct tree *t = *state;
	int fd = openat(t->fd, "etc/passwd", O_RDONLY | O_CLOEXEC);

	if (fsetxattr(fd, "user.note", "x", 1, 0) == 0) {
		assert_refused(t, "/etc/passwd: has the extended attribute user.note");
		assert_int_equal(image_tree_scan(t->fd, &wide, true, &t->sum, &t->err), 0);
		assert_int_equal(t->sum.stripped, 1);
		assert_int_equal(scan(t), 0);
	}
	if (fsetxattr(fd, "security.capability", capability, sizeof(capability), 0) == 0)
		assert_refused(t, "/etc/passwd: has the extended attribute security.capability");
	close(fd);
}

static void
test_hard_links(void **state)
{
	struct tree *t = *state;
	char outside[64];

	(void)snprintf(outside, sizeof(outside), "%s-outside", t->path);
	assert_int_equal(linkat(t->fd, "etc/passwd", t->fd, "d/second", 0), 0);
	assert_int_equal(scan(t), 0);
	assert_int_equal(t->sum.bytes, 26); /* the file is there once */
	assert_int_equal(linkat(t->fd, "etc/passwd", AT_FDCWD, outside, 0), 0);
	assert_int_equal(scan(t), -1);
	assert_int_equal(unlink(outside), 0);
	assert_string_equal(t->err.text, "/d/second: has a hard link outside of the image");
}

static void
test_limits(void **state)
{
	static const struct {
		struct image_limits limits;
		const char *text; /* NULL: taken */
	} rows[] = {
		{ { 4, 26 }, NULL },
		{ { 3, 26 }, "/etc: the image has more than 3 entries" },
		{ { 2, 26 }, "the image has more than 2 entries" },
		{ { 4, 25 }, "/etc/passwd: the image has more than 25 bytes" },
	};
	struct tree *t = *state;
	int fd;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int rc = image_tree_scan(t->fd, &rows[i].limits, false, &t->sum, &t->err);

		assert_int_equal(rc, rows[i].text ? -1 : 0);
		if (rows[i].text && !strstr(t->err.text, rows[i].text))
			fail_msg("\"%s\" is not in \"%s\"", rows[i].text, t->err.text);
	}
	/* A file that claims a terabyte is refused by its size, not by reading it. */
	put(t, "huge", "");
	fd = openat(t->fd, "huge", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
	close(fd);
	assert_refused(t, "/huge: the image has more than 1048576 bytes");
}

static void
test_deep(void **state)
{
	struct tree *t = *state;
	int fd = openat(t->fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < IMAGE_DEPTH_MAX + 2; i++) {
		int below;

		assert_int_equal(mkdirat(fd, "n", 0755), 0);
		below = openat(fd, "n", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = below;
	}
	close(fd);
	assert_refused(t, "n: lies too deep");
}

/* What goes to the operator's terminal is text, whatever the entry is called. */
static void
test_escape(void **state)
{
	struct tree *t = *state;

	assert_int_equal(mkfifoat(t->fd, "d/\x1b]0;x\x07\n", 0600), 0);
	assert_refused(t, "/d/?]0;x??: is a fifo");
}

static void
test_beneath(void **state)
{
	struct tree *t = *state;

	assert_int_equal(symlinkat("/etc", t->fd, "out"), 0);
	assert_int_equal(image_open_beneath(t->fd, "../..", O_RDONLY), -1);
	assert_int_equal(image_open_beneath(t->fd, "/etc", O_RDONLY), -1);
	assert_int_equal(image_open_beneath(t->fd, "out/passwd", O_RDONLY), -1);
	assert_int_equal(errno, ELOOP);
}

int
main(void)
{
#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, make_tree, remove_tree)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_index_changes),
		cmocka_unit_test(test_packages),
		TREE_TEST(test_counts),
		TREE_TEST(test_changes),
		TREE_TEST(test_kinds),
		TREE_TEST(test_mount_points),
		TREE_TEST(test_set_id),
		TREE_TEST(test_attributes),
		TREE_TEST(test_hard_links),
		TREE_TEST(test_limits),
		TREE_TEST(test_deep),
		TREE_TEST(test_escape),
		TREE_TEST(test_beneath),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
