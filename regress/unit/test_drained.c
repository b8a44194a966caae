/* SPDX-License-Identifier: MIT */
/* What is out of service is there after a restart, whatever became of the last write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "placerd/drained.h"

struct place {
	char dir[64];
	int fd;
};

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	*state = p;
	snprintf(p->dir, sizeof(p->dir), "/tmp/test-drained-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->fd >= 0 ? 0 : -1;
}

static int
teardown(void **state)
{
	struct place *p = *state;

	unlinkat(p->fd, DRAINED_FILE, 0);
	close(p->fd);
	rmdir(p->dir);
	free(p);
	return 0;
}

static struct drained *
load(const struct place *p, struct drained_found *found)
{
	struct drained *d = drained_new();

	assert_non_null(d);
	assert_int_equal(drained_open(d, p->fd, found), DRAINED_OK);
	return d;
}

static void
test_kept(void **state)
{
	struct drained_found found;
	struct drained *d = load(*state, &found);

	assert_false(found.self || found.nodes || found.is_recovered);
	assert_int_equal(drained_set_self(d, true), 0);
	assert_int_equal(drained_set_node(d, view_of("b"), true), 0);
	assert_int_equal(drained_set_node(d, view_of("c"), true), 0);
	assert_int_equal(drained_set_node(d, view_of("b"), true), 0); /* as it is */
	assert_int_equal(drained_set_node(d, view_of("d"), false), 0);
	drained_free(d);

	d = load(*state, &found);
	assert_true(found.self && drained_self(d));
	assert_int_equal(found.nodes, 2);
	assert_false(found.is_recovered);
	assert_true(drained_has(d, view_of("b")) && drained_has(d, view_of("c")));
	assert_false(drained_has(d, view_of("d")));
	assert_int_equal(drained_set_node(d, view_of("b"), false), 0);
	assert_int_equal(drained_set_self(d, false), 0);
	drained_free(d);

	d = load(*state, &found);
	assert_false(drained_self(d));
	assert_string_equal(drained_at(d, 0), "c");
	assert_null(drained_at(d, 1));
	drained_free(d);
}

static void
test_bounds(void **state)
{
	struct drained_found found;
	struct drained *d = load(*state, &found);
	char name[DRAINED_NAME_MAX_BYTES + 2];

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(drained_set_node(d, view_of(name), true), -FOG_E_BOUNDS);
	assert_int_equal(drained_set_node(d, view_of(""), true), -FOG_E_BOUNDS);
	assert_int_equal(drained_set_node(d, view_of("a\nb"), true), -FOG_E_BOUNDS);
	for (int i = 0; i < DRAINED_NODES_MAX; i++) {
		/* As long as they may be, so that the fullest slot is tried. */
		snprintf(name, sizeof(name), "%064d", i);
		assert_int_equal(drained_set_node(d, view_of(name), true), 0);
	}
	assert_int_equal(drained_set_node(d, view_of("one more"), true), -FOG_E_FULL);
	drained_free(d);
	d = load(*state, &found);
	assert_int_equal(found.nodes, DRAINED_NODES_MAX);
	assert_false(found.is_recovered);
	drained_free(d);
}

/* Cut at every length, and any byte of it changed: the slot before it counts. */
static void
test_torn_write(void **state)
{
	const struct place *p = *state;
	struct drained_found found;
	struct drained *d = load(p, &found);
	static unsigned char file[DRAINED_FILE_MAX_BYTES];
	size_t len;
	int fd;

	assert_int_equal(drained_set_node(d, view_of("first"), true), 0);
	assert_int_equal(drained_set_node(d, view_of("second"), true), 0);
	drained_free(d);
	fd = openat(p->fd, DRAINED_FILE, O_RDONLY | O_CLOEXEC);
	len = (size_t)read(fd, file, sizeof(file));
	close(fd);
	assert_true(len > DRAINED_SLOT_BYTES);
	for (size_t cut = DRAINED_SLOT_BYTES; cut <= len; cut++) {
		d = drained_new();
		assert_int_equal(drained_parse(d, file, cut, &found), DRAINED_OK);
		assert_int_equal(found.nodes, cut == len ? 2 : 1);
		assert_int_equal(found.is_recovered, cut > DRAINED_SLOT_BYTES && cut < len);
		assert_true(drained_has(d, view_of("first")));
		drained_free(d);
	}
	/* Behind magic and version: a change there is another version, or none of ours. */
	for (size_t at = DRAINED_SLOT_BYTES + 8; at < len; at++) {
		d = drained_new();
		file[at] ^= 0x01;
		assert_int_equal(drained_parse(d, file, len, &found), DRAINED_OK);
		assert_int_equal(found.nodes, 1);
		assert_true(found.is_recovered);
		file[at] ^= 0x01;
		drained_free(d);
	}
}

/* The disk is full: it holds, is said not to be kept, and is kept when it is repeated. */
static void
test_unwritable(void **state)
{
	const struct rlimit none = { .rlim_cur = 0, .rlim_max = RLIM_INFINITY };
	struct rlimit limit;
	struct drained_found found;
	struct drained *d = load(*state, &found);

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(drained_set_self(d, true), -FOG_E_UNAVAILABLE);
	assert_true(drained_self(d));
	assert_int_equal(drained_set_self(d, true), -FOG_E_UNAVAILABLE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(drained_set_self(d, true), 0);
	drained_free(d);
	d = load(*state, &found);
	assert_true(drained_self(d));
	drained_free(d);
}

static void
test_foreign_files(void **state)
{
	static const unsigned char newer[] = { 'f', 'o', 'g', 'd', 0, 0, 0, 9, 0, 0 };
	const struct place *p = *state;
	struct drained_found found = { 0 };
	struct drained *d = drained_new();
	int fd = openat(p->fd, DRAINED_FILE, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, newer, sizeof(newer)), sizeof(newer));
	assert_int_equal(drained_open(d, p->fd, &found), DRAINED_OTHER_VERSION);
	drained_free(d);
	assert_int_equal(ftruncate(fd, DRAINED_FILE_MAX_BYTES + 1), 0);
	close(fd);
	d = drained_new();
	assert_int_equal(drained_open(d, p->fd, &found), DRAINED_IO);
	drained_free(d);
	unlinkat(p->fd, DRAINED_FILE, 0);
	assert_int_equal(mkfifoat(p->fd, DRAINED_FILE, 0600), 0);
	d = drained_new();
	assert_int_equal(drained_open(d, p->fd, &found), DRAINED_IO);
	drained_free(d);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unwritable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
