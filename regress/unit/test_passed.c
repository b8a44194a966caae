/* SPDX-License-Identifier: MIT */
/* Creates that were passed on are known after a restart, whatever became of the last write (R7). */
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
#include "placerd/passed.h"

#define KEEP_MS 600000
#define NOW_S UINT64_C(1800000000)
#define NOW_MS UINT64_C(5000000)

static const struct passed_now now = { NOW_S, NOW_MS };

struct place {
	char dir[64];
	int fd;
};

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	*state = p;
	snprintf(p->dir, sizeof(p->dir), "/tmp/test-passed-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->fd >= 0 ? 0 : -1;
}

static int
teardown(void **state)
{
	struct place *p = *state;

	unlinkat(p->fd, PASSED_FILE, 0);
	close(p->fd);
	rmdir(p->dir);
	free(p);
	return 0;
}

static struct passed *
load_at(const struct place *at, struct passed_now when, struct passed_found *found)
{
	struct passed *p = passed_new(KEEP_MS);

	assert_non_null(p);
	assert_int_equal(passed_open(p, at->fd, when, found), PASSED_OK);
	return p;
}

static void
assert_state(const struct passed *p, uint64_t key, enum passed_state state, uint32_t tag)
{
	const struct passed_key *found = passed_find(p, key, NOW_MS);

	assert_non_null(found);
	assert_int_equal(found->state, state);
	assert_int_equal(found->tag, tag);
	assert_int_equal(found->wish_hash, 100 + key);
}

static void
ask(struct passed *p, uint64_t key, uint32_t tag)
{
	assert_int_equal(passed_ask(p, key, 100 + key, tag, now), 0);
}

static void
test_kept(void **state)
{
	struct passed_found found;
	struct passed *p = load_at(*state, now, &found);

	assert_true(found.keys == 0 && found.damaged == 0);
	for (uint64_t key = 1; key <= 5; key++) {
		ask(p, key, 7);
		assert_state(p, key, PASSED_ASKED, 7);
	}
	ask(p, 1, 8); /* the next node */
	passed_settle(p, 2, PASSED_MADE, now);
	passed_settle(p, 3, PASSED_BOUND, now);
	passed_settle(p, 4, PASSED_FREE, now);
	passed_settle(p, 6, PASSED_MADE, now); /* nobody knows of it */
	assert_state(p, 2, PASSED_MADE, 7);
	assert_null(passed_find(p, 4, NOW_MS));
	assert_null(passed_find(p, 6, NOW_MS));
	passed_free(p);

	/* Who was asked may have made it. */
	for (int i = 0; i < 2; i++) {
		p = load_at(*state, now, &found);
		assert_true(found.keys == 4 && found.damaged == 0);
		assert_state(p, 1, PASSED_MADE, 8);
		assert_state(p, 2, PASSED_MADE, 7);
		assert_state(p, 3, PASSED_BOUND, 7);
		assert_null(passed_find(p, 4, NOW_MS));
		assert_state(p, 5, PASSED_MADE, 7);
		passed_free(p);
	}
}

/* As long as a repeat gives the same session, and no longer; a clock turned back takes nothing away. */
static void
test_time(void **state)
{
	static const struct {
		int64_t later_s;
		uint64_t left_ms;
	} rows[] = { { 0, KEEP_MS }, { 1, KEEP_MS - 1000 }, { 599, 1000 }, { 600, 0 },
		{ 100000, 0 }, { -5000, KEEP_MS } };
	struct passed_found found;
	struct passed *p = load_at(*state, now, &found);

	ask(p, 1, 7);
	assert_non_null(passed_find(p, 1, NOW_MS + KEEP_MS - 1));
	assert_null(passed_find(p, 1, NOW_MS + KEEP_MS));
	passed_free(p);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct passed_now later = { NOW_S + (uint64_t)rows[i].later_s, 77 };

		p = load_at(*state, later, &found);
		assert_int_equal(found.keys, rows[i].left_ms > 0);
		if (rows[i].left_ms > 0)
			assert_non_null(passed_find(p, 1, 77 + rows[i].left_ms - 1));
		assert_null(passed_find(p, 1, 77 + rows[i].left_ms));
		passed_free(p);
	}
}

/* Many times round the file: those asked last are known, as many as there is room for. */
static void
test_bounds(void **state)
{
	const uint64_t many = 3 * PASSED_RECORDS + 17;
	struct passed_found found;
	struct passed_now at = now;
	struct passed *p = load_at(*state, now, &found);

	for (uint64_t key = 1; key <= many; key++, at.mono_ms++)
		assert_int_equal(passed_ask(p, key, 100 + key, 7, at), 0);
	for (int i = 0; i < 2; i++) {
		assert_null(passed_find(p, many - PASSED_KEYS_MAX, NOW_MS));
		for (uint64_t key = many; key > many - PASSED_KEYS_MAX; key--)
			assert_non_null(passed_find(p, key, NOW_MS));
		passed_free(p);
		p = load_at(*state, now, &found);
		assert_true(found.keys == PASSED_KEYS_MAX && found.damaged == 0);
	}
	passed_free(p);
}

static size_t
read_file(const struct place *at, unsigned char bytes[static PASSED_FILE_BYTES])
{
	cleanup_fd int fd = openat(at->fd, PASSED_FILE, O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(fd, bytes, PASSED_FILE_BYTES), PASSED_FILE_BYTES);
	return PASSED_FILE_BYTES;
}

static void
write_file(const struct place *at, const unsigned char *bytes, size_t len)
{
	cleanup_fd int fd = openat(at->fd, PASSED_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);

	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
}

/* Cut at every length of its first records: what stands before is known, and all goes on. */
static void
test_cut(void **state)
{
	static unsigned char bytes[PASSED_FILE_BYTES];
	struct passed_found found;
	struct passed *p = load_at(*state, now, &found);

	for (uint64_t key = 1; key <= 3; key++)
		ask(p, key, 7);
	passed_free(p);
	read_file(*state, bytes);
	for (size_t len = 0; len <= PASSED_HEADER_BYTES + 4 * PASSED_RECORD_BYTES; len++) {
		size_t whole = len < PASSED_HEADER_BYTES
		    ? 0
		    : (len - PASSED_HEADER_BYTES) / PASSED_RECORD_BYTES;

		write_file(*state, bytes, len);
		p = load_at(*state, now, &found);
		assert_int_equal(found.keys,
		    whole > 0 ? whole - 1 : 0); /* the first place is of number 4096 */
		ask(p, 9, 9);
		passed_free(p);
		p = load_at(*state, now, &found);
		assert_state(p, 9, PASSED_MADE, 9);
		passed_free(p);
	}
}

/* A record with any byte of it changed costs itself alone. */
static void
test_every_flip(void **state)
{
	static unsigned char bytes[PASSED_FILE_BYTES];
	struct passed_found found;
	struct passed *p = load_at(*state, now, &found);

	for (uint64_t key = 1; key <= 3; key++)
		ask(p, key, 7);
	passed_free(p);
	read_file(*state, bytes);
	for (size_t i = 0; i < PASSED_RECORD_BYTES; i++) {
		unsigned char *at = bytes + PASSED_HEADER_BYTES + 2 * PASSED_RECORD_BYTES + i;

		*at ^= 0x40;
		p = passed_new(KEEP_MS);
		assert_int_equal(passed_parse(p, bytes, sizeof(bytes), now, &found), PASSED_OK);
		assert_true(found.keys == 2 && found.damaged == 1);
		assert_state(p, 1, PASSED_MADE, 7);
		assert_null(passed_find(p, 2, NOW_MS));
		assert_state(p, 3, PASSED_MADE, 7);
		passed_free(p);
		*at ^= 0x40;
	}
}

static void
test_header(void **state)
{
	static unsigned char bytes[PASSED_FILE_BYTES], after[PASSED_FILE_BYTES];
	struct passed_found found;
	struct passed *p = load_at(*state, now, &found);

	ask(p, 1, 7);
	passed_free(p);
	read_file(*state, bytes);
	bytes[7] ^= 2; /* of another version: left as it is */
	write_file(*state, bytes, sizeof(bytes));
	p = passed_new(KEEP_MS);
	assert_int_equal(passed_open(p, ((struct place *)*state)->fd, now, &found),
	    PASSED_OTHER_VERSION);
	passed_free(p);
	read_file(*state, after);
	assert_memory_equal(bytes, after, sizeof(bytes));
	memset(bytes, 0, PASSED_HEADER_BYTES);
	write_file(*state, bytes, sizeof(bytes));
	for (int i = 1; i >= 0; i--) {
		p = load_at(*state, now, &found);
		assert_int_equal(found.damaged, i);
		assert_state(p, 1, PASSED_MADE, 7);
		passed_free(p);
	}
}

/* It has its blocks from the start. A write that fails is told, and what is known goes on. */
static void
test_unwritable(void **state)
{
	const struct place *at = *state;
	struct rlimit was, none = { 0 };
	struct passed_found found;
	struct passed *p = load_at(at, now, &found);
	struct stat st;

	assert_int_equal(fstatat(at->fd, PASSED_FILE, &st, 0), 0);
	assert_int_equal(st.st_size, PASSED_FILE_BYTES);
	assert_int_equal(st.st_mode & 07777, 0600);
	ask(p, 1, 7);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	none.rlim_max = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(passed_ask(p, 2, 102, 7, now), -FOG_E_UNAVAILABLE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_state(p, 1, PASSED_ASKED, 7);
	assert_state(p, 2, PASSED_ASKED, 7);
	ask(p, 3, 7);
	passed_free(p);
	p = load_at(at, now, &found);
	assert_true(found.keys == 2 && found.damaged == 0);
	assert_state(p, 3, PASSED_MADE, 7);
	passed_free(p);
}

/* Nor is a link followed to somebody else's file, or anything else taken for it. */
static void
test_strange_files(void **state)
{
	const struct place *at = *state;
	struct passed *p = passed_new(KEEP_MS);
	struct passed_found found;

	assert_int_equal(symlinkat("elsewhere", at->fd, PASSED_FILE), 0);
	assert_int_equal(passed_open(p, at->fd, now, &found), PASSED_IO);
	assert_int_equal(unlinkat(at->fd, PASSED_FILE, 0), 0);
	assert_int_equal(mkfifoat(at->fd, PASSED_FILE, 0600), 0);
	assert_int_equal(passed_open(p, at->fd, now, &found), PASSED_IO);
	passed_free(p);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PLACE(test_kept),
		WITH_PLACE(test_time),
		WITH_PLACE(test_bounds),
		WITH_PLACE(test_cut),
		WITH_PLACE(test_every_flip),
		WITH_PLACE(test_header),
		WITH_PLACE(test_unwritable),
		WITH_PLACE(test_strange_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
