/* SPDX-License-Identifier: MIT */
/*
 * Tests of placerd/revoked.c: whom a rule speaks of, replays, and a journal that survives a cut at
 * any byte (R7), a full disk (R8) and meets another version (R5).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "placerd/revoked.h"

#define ISS "https://idp.example"
#define NOW UINT64_C(1700000000)
#define KEEP 3600
#define FILE_MAX (4u << 20)

static char folder[] = "/tmp/fog-revoked-XXXXXX";
static int dir = -1;

/* --- helpers --- */

static struct pl_revoke
revoke_of(const char *subject, const char *sid, uint64_t at_s, const char *jti)
{
	return (struct pl_revoke){ .issuer = view_of(ISS),
		.subject = view_of(subject),
		.sid = view_of(sid),
		.at_s = at_s,
		.jti = view_of(jti),
		.jti_expires_s = *jti ? NOW + 600 : 0 };
}

static int
add(struct revoked *r, const char *subject, const char *sid, uint64_t at_s, const char *jti)
{
	struct pl_revoke what = revoke_of(subject, sid, at_s, jti);

	return revoked_add(r, &what, NOW);
}

static bool
refuses(const struct revoked *r, const char *subject, const char *sid, uint64_t issued_s)
{
	return revoked_refuses(r, view_of(ISS), view_of(subject), view_of(sid), issued_s);
}

static struct revoked *
open_at(uint64_t now_s, struct revoked_found *found)
{
	struct revoked *r = revoked_new(KEEP);

	assert_non_null(r);
	assert_int_equal(revoked_open(r, dir, now_s, found), REVOKED_OK);
	return r;
}

static const char *
name_of(int i)
{
	return i == 0 ? "revoked.0" : "revoked.1";
}

static size_t
slurp(int i, unsigned char *bytes, size_t size)
{
	cleanup_fd int fd = openat(dir, name_of(i), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, bytes, size);

	assert_true(n >= 0);
	return (size_t)n;
}

static void
spill(int i, const void *bytes, size_t len)
{
	cleanup_fd int fd = openat(dir, name_of(i), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
}

/* The file that counts, and its length. */
static int
current(void)
{
	unsigned char a[64] = { 0 }, b[64] = { 0 };
	uint64_t first = revoked_generation(a, slurp(0, a, sizeof(a)));

	return first < revoked_generation(b, slurp(1, b, sizeof(b)));
}

static int
empty_folder(void **state)
{
	(void)state;
	unlinkat(dir, name_of(0), 0);
	unlinkat(dir, name_of(1), 0);
	return 0;
}

/* --- the table --- */

static const struct {
	const char *subject, *sid; /* of the rule */
	const char *who, *with;    /* of a token */
	bool matches;
} match_rows[] = {
	{ "alice", "", "alice", "", true },
	{ "alice", "", "alice", "s1", true },
	{ "alice", "", "bob", "", false },
	{ "alice", "", "bob", "alice", false },
	{ "alice", "s1", "alice", "s1", true },
	{ "alice", "s1", "alice", "", true },
	{ "alice", "s1", "alice", "s2", false },
	{ "alice", "s1", "bob", "s1", false },
	{ "", "s1", "alice", "s1", true },
	{ "", "s1", "bob", "s1", true },
	{ "", "s1", "alice", "s2", false },
	{ "", "s1", "alice", "", false },
	{ "", "s1", "s1", "", false },
};

static void
test_whom_a_rule_speaks_of(void **state)
{
	struct revoked_found found;

	for (size_t i = 0; i < COUNT_OF(match_rows); i++) {
		struct revoked *r;
		const struct revoked_rule *rule;

		empty_folder(state);
		r = open_at(NOW, &found);
		assert_int_equal(add(r, match_rows[i].subject, match_rows[i].sid, NOW, ""), 0);
		rule = revoked_next(r, NULL);
		assert_non_null(rule);
		assert_null(revoked_next(r, rule));
		assert_int_equal(refuses(r, match_rows[i].who, match_rows[i].with, NOW),
		    match_rows[i].matches);
		assert_int_equal(revoked_rule_matches(rule, view_of(ISS),
				     view_of(match_rows[i].who), view_of(match_rows[i].with)),
		    match_rows[i].matches);
		/* A token that was issued later, and one of another issuer, are taken. */
		assert_false(refuses(r, match_rows[i].who, match_rows[i].with, NOW + 1));
		assert_false(revoked_refuses(r, view_of("https://other"),
		    view_of(match_rows[i].who), view_of(match_rows[i].with), NOW));
		revoked_free(r);
	}
}

/* Of two at different times the later counts, whichever comes first. */
static void
test_again(void **state)
{
	struct revoked_found found;
	struct revoked *r = open_at(NOW, &found);
	struct pl_revoke what = revoke_of("alice", "", NOW, "");

	(void)state;
	assert_int_equal(add(r, "alice", "", NOW, ""), 0);
	revoked_done(r, &what, NOW);
	assert_true(revoked_next(r, NULL)->is_done);
	assert_int_equal(add(r, "alice", "", NOW - 50, ""), 0);
	assert_false(revoked_next(r, NULL)->is_done); /* who came back since is to go as well */
	assert_true(refuses(r, "alice", "", NOW));
	assert_int_equal(add(r, "alice", "", NOW + 50, ""), 0);
	assert_true(refuses(r, "alice", "", NOW + 50));
	assert_int_equal(revoked_rules(r), 1);
	assert_int_equal(add(r, "alice", "s1", NOW + 50, ""), 0);
	assert_int_equal(add(r, "", "", NOW, "j"), -FOG_E_BOUNDS);
	assert_int_equal(revoked_rules(r), 2);
	revoked_free(r);
}

static void
test_replay(void **state)
{
	struct revoked_found found;
	struct revoked *r = open_at(NOW, &found);

	(void)state;
	assert_int_equal(revoked_check_jti(r, view_of(ISS), view_of("j1"), NOW), 0);
	assert_int_equal(add(r, "alice", "", NOW, "j1"), 0);
	for (int life = 0; life < 2; life++) {
		assert_int_equal(revoked_check_jti(r, view_of(ISS), view_of("j1"), NOW),
		    -FOG_E_BAD_LOGOUT_TOKEN);
		assert_int_equal(revoked_check_jti(r, view_of(ISS), view_of("j1"), NOW + 600),
		    -FOG_E_BAD_LOGOUT_TOKEN);
		assert_int_equal(revoked_check_jti(r, view_of(ISS), view_of("j1"), NOW + 601), 0);
		assert_int_equal(revoked_check_jti(r, view_of(ISS), view_of("j2"), NOW), 0);
		assert_int_equal(revoked_check_jti(r, view_of("x"), view_of("j1"), NOW), 0);
		assert_int_equal(revoked_check_jti(r, view_of(ISS), view_of(""), NOW), 0);
		revoked_free(r);
		r = open_at(NOW, &found);
		assert_int_equal(found.jtis, 1);
	}
	revoked_free(r);
}

/* --- the journal --- */

static void
test_kept(void **state)
{
	struct revoked_found found;
	struct revoked *r = open_at(NOW, &found);
	struct pl_revoke done = revoke_of("", "s9", NOW, "");
	const struct revoked_rule *rule = NULL;
	struct stat st;
	unsigned n = 0;

	(void)state;
	assert_int_equal(add(r, "alice", "", NOW, "j1"), 0);
	assert_int_equal(add(r, "bob", "s1", NOW - 9, "j2"), 0);
	assert_int_equal(add(r, "", "s9", NOW, "j3"), 0);
	revoked_done(r, &done, NOW);
	revoked_free(r);
	assert_int_equal(fstatat(dir, name_of(0), &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	r = open_at(NOW + 10, &found);
	assert_int_equal(found.rules, 3);
	assert_int_equal(found.jtis, 3);
	assert_true(found.dropped_bytes == 0 && !found.is_unfinished);
	assert_true(refuses(r, "alice", "any", NOW));
	assert_true(refuses(r, "bob", "s1", NOW - 9));
	assert_false(refuses(r, "bob", "s1", NOW - 8));
	while ((rule = revoked_next(r, rule)))
		n += rule->is_done;
	assert_int_equal(n, 1);
	revoked_free(r);
	/* No token from before can be alive: forgotten, in the file too. */
	r = open_at(NOW + KEEP + 1, &found);
	assert_int_equal(found.rules, 0);
	assert_int_equal(found.jtis, 0);
	assert_int_equal(revoked_file_bytes(r), REVOKED_HEADER_BYTES);
	revoked_free(r);
}

/* Reads what `len` bytes of the journal say, in a folder of their own. */
static void
check_cut(const unsigned char *bytes, size_t len, const size_t *ends, unsigned n_ends)
{
	struct revoked_found found;
	struct revoked *r;
	unsigned whole = 0;
	char name[16];

	empty_folder(NULL);
	spill(0, bytes, len);
	r = open_at(NOW, &found);
	while (whole < n_ends && ends[whole] <= len)
		whole++;
	assert_int_equal(found.rules, whole);
	assert_int_equal(found.jtis, whole);
	for (unsigned i = 0; i < n_ends; i++) {
		snprintf(name, sizeof(name), "user-%u", i);
		assert_int_equal(refuses(r, name, "", NOW), i < whole);
	}
	if (len >= REVOKED_HEADER_BYTES)
		assert_int_equal(found.dropped_bytes,
		    len - (whole ? ends[whole - 1] : REVOKED_HEADER_BYTES));
	else
		assert_int_equal(found.dropped_bytes, len);
	/* It goes on from there, and the next one finds nothing to complain of. */
	assert_int_equal(add(r, "later", "", NOW, "later"), 0);
	revoked_free(r);
	r = open_at(NOW, &found);
	assert_int_equal(found.rules, whole + 1);
	assert_true(found.dropped_bytes == 0 && !found.is_unfinished);
	revoked_free(r);
}

#define CUT_RECORDS 4

static void
test_cut_at_every_byte(void **state)
{
	static unsigned char bytes[8192];
	struct revoked_found found;
	size_t ends[CUT_RECORDS], len;
	struct revoked *r = open_at(NOW, &found);
	char name[16], jti[16];

	(void)state;
	for (unsigned i = 0; i < CUT_RECORDS; i++) {
		snprintf(name, sizeof(name), "user-%u", i);
		snprintf(jti, sizeof(jti), "jti-%u", i);
		assert_int_equal(add(r, name, i % 2 ? "sid" : "", NOW, jti), 0);
		ends[i] = revoked_file_bytes(r);
	}
	revoked_free(r);
	len = slurp(current(), bytes, sizeof(bytes));
	assert_int_equal(len, ends[CUT_RECORDS - 1]);
	for (size_t cut = 0; cut <= len; cut++)
		check_cut(bytes, cut, ends, CUT_RECORDS);
}

/* A flipped bit ends the prefix there, or is another version's business. */
static void
test_every_bit(void **state)
{
	static unsigned char bytes[8192];
	struct revoked_found found;
	struct revoked *r = open_at(NOW, &found);
	enum revoked_result result;
	size_t len, used;

	(void)state;
	assert_int_equal(add(r, "alice", "s1", NOW, "j1"), 0);
	revoked_free(r);
	len = slurp(current(), bytes, sizeof(bytes));
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		r = revoked_new(KEEP);
		used = 1;
		result = revoked_parse(r, bytes, len, NOW, &used);
		assert_int_equal(revoked_rules(r), 0);
		assert_int_equal(result,
		    bit / 8 >= 4 && bit / 8 < 8 && bit != 56 ? REVOKED_OTHER_VERSION : REVOKED_OK);
		if (result == REVOKED_OK)
			assert_true(used == 0 || used == REVOKED_HEADER_BYTES);
		revoked_free(r);
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
}

/* A rewrite that was cut short anywhere leaves the file before it, which counts. */
static void
test_cut_rewrite(void **state)
{
	static unsigned char old[8192], rewritten[8192];
	struct pl_revoke over = revoke_of("carol", "", NOW - KEEP - 5, "");
	struct revoked_found found;
	struct revoked *r = open_at(NOW, &found);
	size_t old_len, len;
	int from;

	(void)state;
	assert_int_equal(add(r, "alice", "", NOW, "j1"), 0);
	assert_int_equal(add(r, "bob", "", NOW, "j2"), 0);
	assert_int_equal(revoked_add(r, &over, NOW - KEEP - 5), 0);
	revoked_free(r);
	from = current();
	old_len = slurp(from, old, sizeof(old));
	/* What is of use to nobody is left out: rewritten to the other file. */
	r = open_at(NOW, &found);
	assert_int_equal(found.rules, 2);
	revoked_free(r);
	assert_int_not_equal(current(), from);
	len = slurp(!from, rewritten, sizeof(rewritten));
	/* Cut among its records, which come first, and then in its header. */
	for (size_t cut = 0; cut < len + REVOKED_HEADER_BYTES; cut++) {
		unsigned char torn[8192] = { 0 };
		size_t torn_len = cut < len ? cut : len;

		if (torn_len > REVOKED_HEADER_BYTES)
			memcpy(torn + REVOKED_HEADER_BYTES, rewritten + REVOKED_HEADER_BYTES,
			    torn_len - REVOKED_HEADER_BYTES);
		memcpy(torn, rewritten, cut - torn_len);
		spill(from, old, old_len);
		spill(!from, torn, torn_len);
		r = open_at(NOW, &found);
		assert_int_equal(found.rules, 2);
		assert_true(refuses(r, "alice", "", NOW));
		assert_int_equal(found.is_unfinished, cut > 0);
		revoked_free(r);
	}
}

/* What an earlier use of a file has left behind the end of a later one is not read. */
static void
test_remains_of_an_earlier_use(void **state)
{
	static unsigned char bytes[8192];
	struct revoked_found found;
	struct revoked *r = open_at(NOW, &found);
	size_t len, end;
	int file;

	(void)state;
	assert_int_equal(add(r, "alice", "", NOW, "j1"), 0);
	end = revoked_file_bytes(r);
	assert_int_equal(add(r, "carol", "", NOW, "j2"), 0);
	revoked_free(r);
	file = current();
	len = slurp(file, bytes, sizeof(bytes));
	/* The same file with a later generation, its first record gone. */
	empty_folder(state);
	r = open_at(NOW, &found);
	revoked_free(r);
	{
		unsigned char fresh[64] = { 0 };
		size_t n = slurp(current(), fresh, sizeof(fresh));

		assert_int_equal(n, REVOKED_HEADER_BYTES);
		assert_int_equal(revoked_generation(fresh, n), revoked_generation(bytes, len));
		fresh[15]++; /* another generation, summed anew */
		{
			struct writer w;

			writer_init(&w, fresh + 16, 8);
			put_u64(&w, fnv1a(FNV1A_SEED, fresh, 16));
		}
		memcpy(bytes, fresh, REVOKED_HEADER_BYTES);
	}
	empty_folder(state);
	spill(0, bytes, len);
	r = open_at(NOW, &found);
	assert_int_equal(found.rules, 0);
	assert_int_equal(found.dropped_bytes, len - REVOKED_HEADER_BYTES);
	assert_true(end < len);
	revoked_free(r);
}

/* Of another version: not started, nothing touched (R5). */
static void
test_other_version(void **state)
{
	static const unsigned char later[] = "fogv\0\0\0\2whatever it has";
	unsigned char bytes[64];
	struct revoked_found found;

	(void)state;
	for (int i = 0; i < REVOKED_FILES; i++) {
		struct revoked *r = revoked_new(KEEP);

		empty_folder(state);
		spill(i, later, sizeof(later));
		assert_int_equal(revoked_open(r, dir, NOW, &found), REVOKED_OTHER_VERSION);
		assert_int_equal(slurp(i, bytes, sizeof(bytes)), sizeof(later));
		assert_memory_equal(bytes, later, sizeof(later));
		assert_int_equal(faccessat(dir, name_of(!i), F_OK, 0), -1);
		revoked_free(r);
	}
}

static void
test_strange_files(void **state)
{
	struct revoked_found found;
	struct revoked *r = revoked_new(KEEP);

	(void)state;
	assert_int_equal(mkfifoat(dir, name_of(0), 0600), 0);
	assert_int_equal(revoked_open(r, dir, NOW, &found), REVOKED_IO);
	revoked_free(r);
	empty_folder(state);
	assert_int_equal(symlinkat("/etc/passwd", dir, name_of(1)), 0);
	r = revoked_new(KEEP);
	assert_int_equal(revoked_open(r, dir, NOW, &found), REVOKED_IO);
	revoked_free(r);
	empty_folder(state);
	spill(0, "junk that is longer than a header", 33);
	r = open_at(NOW, &found);
	assert_int_equal(found.dropped_bytes + found.is_unfinished, 33);
	revoked_free(r);
}

static void
limit_files(rlim_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that fills in the middle of a record: said, and mended by the next (R8). */
static void
test_full_disk(void **state)
{
	struct revoked_found found;
	struct revoked *r = open_at(NOW, &found);
	size_t end;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(add(r, "alice", "", NOW, "j1"), 0);
	end = revoked_file_bytes(r);
	limit_files(end + 20);
	assert_int_equal(add(r, "bob", "", NOW, "j2"), -FOG_E_UNAVAILABLE);
	limit_files(RLIM_INFINITY);
	/* It counts, but its token may come again. */
	assert_true(refuses(r, "bob", "", NOW));
	assert_int_equal(revoked_check_jti(r, view_of(ISS), view_of("j2"), NOW), 0);
	assert_int_equal(revoked_file_bytes(r), end);
	assert_int_equal(add(r, "bob", "", NOW, "j2"), 0);
	revoked_free(r);
	r = open_at(NOW, &found);
	assert_int_equal(found.rules, 2);
	assert_int_equal(found.jtis, 2);
	assert_int_equal(found.dropped_bytes, 0);
	revoked_free(r);
}

/* A long life of many: the file is rewritten, and neither it nor the table grows on. */
static void
test_bounded_file(void **state)
{
	static char name[256];
	struct revoked_found found;
	struct revoked *r = open_at(NOW, &found);
	uint64_t largest = 0;
	struct pl_revoke what;

	(void)state;
	memset(name, 'x', 200);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(name + 200, 50, "%u", i);
		what = revoke_of("", name, NOW + i * 10, "");
		assert_int_equal(revoked_add(r, &what, NOW + i * 10), 0);
		revoked_done(r, &what, NOW + i * 10);
		if (revoked_file_bytes(r) > largest)
			largest = revoked_file_bytes(r);
	}
	assert_true(largest < FILE_MAX);
	assert_true(revoked_rules(r) < 10000);
	assert_true(refuses(r, "alice", name, NOW));
	revoked_free(r);
	r = open_at(NOW + 19999 * 10, &found);
	assert_int_equal(found.rules, KEEP / 10 + 1);
	assert_true(refuses(r, "alice", name, NOW));
	revoked_free(r);
}

static void
test_bounded_table(void **state)
{
	struct revoked_found found;
	struct revoked *r = revoked_new(KEEP);
	char name[16];

	(void)state;
	/* From a journal, so that the disk is not what takes the time. */
	{
		static unsigned char bytes[(REVOKED_RULES_MAX + 10) * 128];
		struct writer w, at;

		writer_init(&w, bytes, sizeof(bytes));
		put_u32(&w, REVOKED_MAGIC);
		put_u32(&w, REVOKED_VERSION);
		put_u64(&w, 1);
		put_u64(&w, fnv1a(FNV1A_SEED, bytes, 16));
		for (unsigned i = 0; i < REVOKED_RULES_MAX + 5; i++) {
			size_t start = w.len;
			struct pl_revoke what;

			snprintf(name, sizeof(name), "user-%u", i);
			what = revoke_of(name, "", NOW, "");
			put_u16(&w, 0);
			put_u8(&w, REVOKED_RULE);
			put_u64(&w, NOW);
			assert_int_equal(codec_put(&w, &msg_layouts[PAYLOAD_revoke], &what, NULL),
			    0);
			writer_init(&at, bytes + start, 2);
			put_u16(&at, (uint16_t)(w.len - start - 2));
			put_u64(&w, fnv1a(FNV1A_SEED ^ 1, bytes + start, w.len - start));
		}
		assert_int_equal(w.err, 0);
		spill(0, bytes, w.len);
	}
	assert_int_equal(revoked_open(r, dir, NOW, &found), REVOKED_OK);
	assert_int_equal(found.rules, REVOKED_RULES_MAX);
	assert_int_equal(add(r, "one more", "", NOW, "j1"), -FOG_E_FULL);
	assert_false(refuses(r, "one more", "", NOW));
	assert_int_equal(add(r, "user-1", "", NOW + 5, "j1"), 0); /* it is there already */
	{
		struct pl_revoke what = revoke_of("one more", "", NOW + KEEP + 9, "j2");

		assert_int_equal(revoked_add(r, &what, NOW + KEEP + 9), 0);
	}
	assert_int_equal(revoked_rules(r), 1);
	revoked_free(r);
}

/* The bytes of today: whoever changes them takes another version. */
static void
test_format(void **state)
{
	static const unsigned char wanted[] = "fogv\0\0\0\1\0\0\0\0\0\0\0\1";
	unsigned char bytes[1024];
	struct revoked_found found;
	struct revoked *r = open_at(NOW, &found);
	uint64_t sum;
	size_t len;

	(void)state;
	assert_int_equal(add(r, "alice", "s1", NOW, "j1"), 0);
	revoked_free(r);
	len = slurp(current(), bytes, sizeof(bytes));
	assert_memory_equal(bytes, wanted, sizeof(wanted) - 1);
	sum = fnv1a(FNV1A_SEED, bytes, len);
	assert_int_equal(REVOKED_VERSION, 1);
	assert_true(sum == UINT64_C(0x46ae226cedda19a7));
}

static int
set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	empty_folder(state);
	close(dir);
	return rmdir(folder);
}

#define IN_FOLDER(f) cmocka_unit_test_setup(f, empty_folder)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_whom_a_rule_speaks_of),
		IN_FOLDER(test_again),
		IN_FOLDER(test_replay),
		IN_FOLDER(test_kept),
		IN_FOLDER(test_cut_at_every_byte),
		IN_FOLDER(test_every_bit),
		IN_FOLDER(test_cut_rewrite),
		IN_FOLDER(test_remains_of_an_earlier_use),
		IN_FOLDER(test_other_version),
		IN_FOLDER(test_strange_files),
		IN_FOLDER(test_full_disk),
		IN_FOLDER(test_bounded_file),
		IN_FOLDER(test_bounded_table),
		IN_FOLDER(test_format),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
