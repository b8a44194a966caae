/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/static.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "gatewayd/static.h"

static char dir[] = "/tmp/fog-test-static.XXXXXX";

static const char *const names[] = { "index.html", "app-1A2B3C4D.js", "app-1a2b3c4d.js",
	"favicon.svg", "empty.txt", "signed-in.html", ".hidden", "has space" };

static void
write_file(const char *name)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	if (strcmp(name, "empty.txt") != 0)
		fputs(name, f);
	fclose(f);
}

static int
setup(void **state)
{
	char path[128];

	(void)state;
	log_init(-1, LOG_LEVEL_ERROR);
	if (!mkdtemp(dir))
		return -1;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		write_file(names[i]);
	snprintf(path, sizeof(path), "%s/folder", dir);
	if (mkdir(path, 0700) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/link.html", dir);
	return symlink("/etc/passwd", path);
}

static int
teardown(void **state)
{
	char path[128];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/link.html", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/folder", dir);
	rmdir(path);
	return rmdir(dir);
}

static int
open_dir(void)
{
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static const struct {
	const char *path, *type, *cache; /* type NULL: not served */
} cases[] = {
	{ "/", "text/html; charset=utf-8", "no-cache" },
	{ "/index.html", "text/html; charset=utf-8", "no-cache" },
	{ "/app-1A2B3C4D.js", "text/javascript; charset=utf-8",
	    "public, max-age=31536000, immutable" },
	{ "/app-1a2b3c4d.js", "text/javascript; charset=utf-8", "no-cache" },
	{ "/favicon.svg", "image/svg+xml", "no-cache" },
	{ "/empty.txt", "text/plain; charset=utf-8", "no-cache" },
	{ "/signed-in", "text/html; charset=utf-8", "no-store" },
	{ "/signed-in.html", "text/html; charset=utf-8", "no-store" },
	{ "/signed-in/", NULL, NULL },
	{ "/.hidden", NULL, NULL },
	{ "/has space", NULL, NULL },
	{ "/folder", NULL, NULL },
	{ "/link.html", NULL, NULL },
	{ "/index.html/", NULL, NULL },
	{ "//index.html", NULL, NULL },
	{ "/../etc/passwd", NULL, NULL },
	{ "", NULL, NULL },
};

static void
serves_what_may_be_served(void **state)
{
	struct static_files *files = static_load(open_dir());

	(void)state;
	assert_non_null(files);
	assert_int_equal(static_count(files), 6);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct static_file *f = static_find(files, view_of(cases[i].path));
		struct answer_file a;

		if ((f != NULL) != (cases[i].type != NULL))
			fail_msg("%s: %s", cases[i].path, f ? "served" : "not served");
		if (!f)
			continue;
		a = static_answer(f);
		assert_string_equal(a.type, cases[i].type);
		assert_string_equal(a.cache, cases[i].cache);
		assert_int_equal(static_is_frameable(f),
		    strncmp(cases[i].path, "/signed-in", 10) == 0);
		assert_int_equal(strlen(a.etag), 34);
		assert_true(a.etag[0] == '"' && a.etag[33] == '"');
	}
	static_free(files);
}

static void
etags_follow_the_bytes(void **state)
{
	struct static_files *files = static_load(open_dir());
	struct answer_file page = static_answer(static_find(files, view_of("/")));
	struct answer_file icon = static_answer(static_find(files, view_of("/favicon.svg")));

	(void)state;
	assert_memory_equal(page.bytes, "index.html", page.len);
	/* The first half of SHA-256 of the 11 bytes "favicon.svg". */
	assert_string_equal(icon.etag, "\"3f3b73521188431f604f717485d0384f\"");
	assert_string_not_equal(page.etag, icon.etag);
	static_free(files);
}

/* A gatewayd that is started again gets the directory that the one before it has read. */
static void
a_directory_is_read_from_its_start(void **state)
{
	int fd = open_dir(), again = dup(fd);
	struct static_files *first = static_load(fd), *second = static_load(again);

	(void)state;
	assert_int_equal(static_count(first), static_count(second));
	static_free(first);
	static_free(second);
	assert_null(static_load(-1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_what_may_be_served),
		cmocka_unit_test(etags_follow_the_bytes),
		cmocka_unit_test(a_directory_is_read_from_its_start),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
