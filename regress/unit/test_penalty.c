/* SPDX-License-Identifier: MIT */
/* Penalties after a crash, through memory that a hostile gatewayd may have written. */
/* links: gatewayd/penalty.c gatewayd/source.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/proc.h"
#include "gatewayd/penalty.h"

#define START_MS UINT64_C(5000000)
#define SECONDS 60

static struct source_key
key_of(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return source_of_address(&a);
}

static int
setup(void **state)
{
	*state = aligned_alloc(4096, PENALTY_BYTES);
	if (*state)
		memset(*state, 0, PENALTY_BYTES);
	return *state ? 0 : -1;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

/* One life of gatewayd that ends while it works for `from`; what the next one does about it. */
static size_t
live_and_die(void *map, const struct source_key *from, uint32_t death, uint64_t now_ms)
{
	struct penalties *p = penalties_new(map, SECONDS);
	size_t punished;

	penalties_judge(p, now_ms);
	penalty_thread(p, 0);
	penalty_working(from);
	penalty_thread(NULL, 0);
	penalties_free(p);
	memcpy(map, &death, sizeof(death)); /* fogd's */
	p = penalties_new(map, SECONDS);
	punished = penalties_judge(p, now_ms);
	penalties_free(p);
	return punished;
}

static uint32_t
left(void *map, const struct source_key *from, uint64_t now_ms)
{
	struct penalties *p = penalties_new(map, SECONDS);
	uint32_t seconds;

	penalties_judge(p, now_ms);
	seconds = penalties_left(p, from, now_ms);
	penalties_free(p);
	return seconds;
}

static void
test_deaths(void **state)
{
	struct source_key a = key_of("::ffff:192.0.2.7"), b = key_of("::ffff:192.0.2.8");
	static const struct {
		uint32_t death;
		size_t punished;
	} rows[] = { { 0, 0 }, { PENALTY_DEATH_CRASH, 1 }, { PENALTY_DEATH_OTHER, 0 }, { 77, 0 } };

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		memset(*state, 0, PENALTY_BYTES);
		assert_int_equal(live_and_die(*state, &a, rows[i].death, START_MS),
		    rows[i].punished);
		assert_int_equal(left(*state, &a, START_MS), rows[i].punished ? SECONDS : 0);
		assert_int_equal(left(*state, &b, START_MS), 0);
		/* The word counts once. */
		assert_int_equal(live_and_die(*state, NULL, PENALTY_DEATH_CRASH, START_MS), 0);
	}
}

static void
test_idle_is_nobodys(void **state)
{
	struct source_key a = key_of("2001:db8::1");
	struct penalties *p = penalties_new(*state, SECONDS);
	uint32_t death = PENALTY_DEATH_CRASH;

	penalties_judge(p, START_MS);
	penalty_working(&a); /* a thread that has no place yet */
	penalty_thread(p, 3);
	penalty_working(&a);
	penalty_working(NULL);
	memcpy(*state, &death, sizeof(death));
	assert_int_equal(penalties_judge(p, START_MS), 0);
	penalty_thread(NULL, 0);
	penalties_free(p);
}

/* Several threads: each source once. */
static void
test_threads(void **state)
{
	struct source_key a = key_of("2001:db8::1"), b = key_of("::ffff:192.0.2.8");
	const struct source_key *work[] = { &a, &b, &a };
	struct penalties *p = penalties_new(*state, SECONDS);
	uint32_t death = PENALTY_DEATH_CRASH;

	penalties_judge(p, START_MS);
	for (unsigned i = 0; i < COUNT_OF(work); i++) {
		penalty_thread(p, i * 32);
		penalty_working(work[i]);
	}
	memcpy(*state, &death, sizeof(death));
	assert_int_equal(penalties_judge(p, START_MS), 2);
	assert_int_equal(penalties_left(p, &a, START_MS), SECONDS);
	assert_int_equal(penalties_left(p, &b, START_MS), SECONDS);
	penalty_thread(NULL, 0);
	penalties_free(p);
}

/* Of several threads at work the one that dies is blamed, when it can say so. */
static void
test_blame(void **state)
{
	struct source_key a = key_of("2001:db8::1"), b = key_of("::ffff:192.0.2.8");
	void *map = mmap(NULL, PENALTY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	    -1, 0);
	struct penalties *p = penalties_new(map, SECONDS);
	uint32_t death = PENALTY_DEATH_CRASH;
	int status = 0;
	pid_t pid;

	(void)state;
	assert_ptr_not_equal(map, MAP_FAILED);
	penalties_judge(p, START_MS);
	penalty_thread(p, 1);
	penalty_working(&b);
	pid = fork();
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL); /* cmocka has its own */
		penalties_watch();
		penalty_thread(p, 2);
		penalty_working(&a);
		abort();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	memcpy(map, &death, sizeof(death));
	assert_int_equal(penalties_judge(p, START_MS), 1);
	assert_int_equal(penalties_left(p, &a, START_MS), SECONDS);
	assert_int_equal(penalties_left(p, &b, START_MS), 0);
	penalty_thread(NULL, 0);
	penalties_free(p);
	munmap(map, PENALTY_BYTES);
}

/* 60 s, 120 s, … up to an hour; from the beginning again when it stays away for an hour. */
static void
test_doubling(void **state)
{
	static const uint32_t want[] = { 60, 120, 240, 480, 960, 1920, 3600, 3600 };
	struct source_key a = key_of("2001:db8::1");
	uint64_t now = START_MS;

	for (size_t i = 0; i < COUNT_OF(want); i++) {
		assert_int_equal(live_and_die(*state, &a, PENALTY_DEATH_CRASH, now), 1);
		assert_int_equal(left(*state, &a, now), want[i]);
		assert_int_equal(left(*state, &a, now + want[i] * 1000 - 1), 1);
		now += want[i] * UINT64_C(1000);
		assert_int_equal(left(*state, &a, now), 0);
	}
	now += UINT64_C(3600000);
	assert_int_equal(live_and_die(*state, &a, PENALTY_DEATH_CRASH, now), 1);
	assert_int_equal(left(*state, &a, now), 60);
}

/* More sources than there are places: the one that ends first makes room. */
static void
test_many(void **state)
{
	struct source_key k = key_of("2001:db8::1"), last = k;

	for (unsigned i = 0; i < PENALTY_SOURCES + 3; i++) {
		k.b[6] = (unsigned char)(i >> 8);
		k.b[7] = (unsigned char)i;
		last = k;
		assert_int_equal(live_and_die(*state, &k, PENALTY_DEATH_CRASH, START_MS + i), 1);
	}
	assert_int_equal(left(*state, &last, START_MS + 1000), SECONDS);
	k.b[6] = k.b[7] = 0;
	assert_int_equal(left(*state, &k, START_MS + 1000), 0);
}

/* Whatever stands in the memory: no crash, no penalty longer than the longest, none for ever. */
static void
test_hostile_memory(void **state)
{
	unsigned char *map = *state;
	struct source_key a = key_of("::ffff:192.0.2.7");
	uint32_t seed = 1;

	for (int round = 0; round < 200; round++) {
		struct penalties *p;

		for (size_t i = round % 4 ? 8 : 0; i < PENALTY_BYTES; i++) {
			seed = seed * 1664525 + 1013904223;
			/* Mostly addresses as they should be, so that the rest is looked at. */
			map[i] = round & 1 ? (unsigned char)(seed >> 24) : a.b[i % sizeof(a.b)];
		}
		map[0] = PENALTY_DEATH_CRASH;
		p = penalties_new(map, SECONDS);
		penalties_judge(p, START_MS);
		assert_in_range(penalties_left(p, &a, START_MS), 0, PENALTY_MAX_SECONDS);
		assert_int_equal(penalties_left(p, &a, START_MS + PENALTY_MAX_SECONDS * 1000), 0);
		penalties_free(p);
	}
}

static void
test_gift(void **state)
{
	struct penalties *p = NULL;
	struct source_key a = key_of("::ffff:192.0.2.7");
	int fd = memfd_create("penalties", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(penalties_open(-1, SECONDS, &p), 0);
	assert_null(p);
	assert_int_equal(ftruncate(fd, PENALTY_BYTES), 0);
	assert_int_equal(penalties_open(dup(fd), 0, &p), 0); /* CRASH_PENALTY_SECONDS=0 */
	assert_null(p);
	assert_int_equal(penalties_open(dup(fd), SECONDS, &p), 0);
	assert_non_null(p);
	penalties_judge(p, START_MS);
	penalty_thread(p, 0);
	penalty_working(&a);
	penalty_thread(NULL, 0);
	penalties_free(p);
	assert_int_equal(pwrite(fd, &(uint32_t){ PENALTY_DEATH_CRASH }, sizeof(uint32_t), 0), 4);
	assert_int_equal(penalties_open(dup(fd), SECONDS, &p), 0);
	assert_int_equal(penalties_judge(p, START_MS), 1);
	penalties_free(p);
	assert_int_equal(ftruncate(fd, PENALTY_BYTES / 2), 0);
	assert_int_equal(penalties_open(fd, SECONDS, &p), -1);
	assert_int_equal(penalties_left(NULL, &a, START_MS), 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_deaths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle_is_nobodys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
		cmocka_unit_test(test_blame),
		cmocka_unit_test_setup_teardown(test_doubling, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_memory, setup, teardown),
		cmocka_unit_test(test_gift),
	};

	log_init(STDERR_FILENO, LOG_LEVEL_ERROR); /* hundreds are punished here */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
