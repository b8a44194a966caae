/* SPDX-License-Identifier: MIT */
/* links: common/log.c */
/* Log lines: shape, levels, cutting, escaping of remote text, and a pipe that nobody reads. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/log.h"

static int ends[2];       /* a pipe as fogd makes it */
static char got[1 << 17]; /* more than a pipe holds */

static int
setup(void **state)
{
	(void)state;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	log_set_sink(NULL);
	log_init(ends[1], LOG_LEVEL_DEBUG);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	log_init(STDERR_FILENO, LOG_LEVEL_INFO);
	close_fd(&ends[0]);
	close_fd(&ends[1]);
	return 0;
}

/* All that is in the pipe. */
static const char *
drain(void)
{
	size_t at = 0;
	ssize_t n;

	while (at < sizeof(got) - 1 && (n = read(ends[0], got + at, sizeof(got) - 1 - at)) > 0)
		at += (size_t)n;
	got[at] = '\0';
	return got;
}

static void
test_lines(void **state)
{
	(void)state;
	log_error("event=a n=%d", 1);
	log_warnx("event=b");
	log_info("event=c text=%s", "x");
	log_debug("event=d");
	assert_string_equal(drain(),
	    "error event=a n=1\nwarn event=b\ninfo event=c text=x\ndebug event=d\n");
}

static void
test_levels(void **state)
{
	(void)state;
	for (int most = LOG_LEVEL_ERROR; most <= LOG_LEVEL_DEBUG; most++) {
		int lines = 0;

		log_init(ends[1], (enum log_level)most);
		assert_int_equal(log_level_get(), most);
		log_error("e");
		log_warnx("w");
		log_info("i");
		log_debug("d");
		for (const char *p = drain(); *p; p++)
			lines += *p == '\n';
		assert_int_equal(lines, most + 1);
	}
	assert_string_equal(log_level_name(LOG_LEVEL_WARN), "warn");
}

static void
test_errno(void **state)
{
	(void)state;
	errno = ENOENT;
	log_warn("event=open");
	assert_int_equal(errno, ENOENT);
	log_info("event=x");
	assert_int_equal(errno, ENOENT);
	assert_string_equal(drain(),
	    "warn event=open error=\"No such file or directory\"\ninfo event=x\n");
	errno = 99999;
	log_warn("event=odd");
	assert_int_equal(errno, 99999);
	assert_string_equal(drain(), "warn event=odd error=\"unknown\"\n");
	/* Also when the write itself fails. */
	log_init(-1, LOG_LEVEL_DEBUG);
	errno = ENOENT;
	log_info("event=lost");
	assert_int_equal(errno, ENOENT);
	log_init(ends[1], LOG_LEVEL_DEBUG);
	log_info("event=next");
	assert_non_null(strstr(drain(), "lines=1\n"));
}

/* A line is cut, is one line, and goes out in one piece: it is below PIPE_BUF. */
static void
test_long_line(void **state)
{
	static char text[3 * LOG_LINE_MAX];
	const char *line;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 3; i++)
		log_warn("%s", text + i * LOG_LINE_MAX);
	for (line = drain(); *line; line = strchr(line, '\n') + 1) {
		assert_int_equal(strncmp(line, "warn xxx", 8), 0);
		assert_true(strcspn(line, "\n") <= LOG_LINE_MAX + 8);
	}
}

/* To the last byte: a short line may fit where a longer one did not. */
static void
fill_pipe(void)
{
	while (write(ends[1], got, 4096) > 0)
		;
	while (write(ends[1], "\n", 1) == 1)
		;
	assert_int_equal(errno, EAGAIN);
}

/* Nobody reads: lines are dropped and not waited for, and the next one that passes says how many. */
static void
test_full_pipe(void **state)
{
	static const struct {
		int info, debug; /* lines lost, of two levels */
	} rows[] = { { 1, 0 }, { 7, 0 }, { 7, 3 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char wanted[96];

		fill_pipe();
		for (int n = 0; n < rows[i].info; n++)
			log_info("event=lost");
		for (int n = 0; n < rows[i].debug; n++)
			log_debug("event=lost");
		drain();
		log_info("event=passes");
		snprintf(wanted, sizeof(wanted),
		    "warn event=log_dropped lines=%d\ninfo event=passes\n",
		    rows[i].info + rows[i].debug);
		assert_string_equal(drain(), wanted);
		log_info("event=quiet");
		assert_string_equal(drain(), "info event=quiet\n");
	}
}

static enum log_level sunk_level;
static char sunk[LOG_LINE_MAX];

static void
sink(enum log_level level, const char *line)
{
	sunk_level = level;
	snprintf(sunk, sizeof(sunk), "%s", line);
	errno = EIO;
}

static void
test_sink(void **state)
{
	(void)state;
	log_set_sink(sink);
	errno = EAGAIN;
	log_warnx("event=up");
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(sunk_level, LOG_LEVEL_WARN);
	assert_string_equal(sunk, "event=up");
	log_set_sink(NULL);
	assert_string_equal(drain(), "");
}

static void
test_escape(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} rows[] = {
		{ "", 0, "\"\"" },
		{ "plain text", 10, "\"plain text\"" },
		{ "a\nb", 3, "\"a\\x0ab\"" },
		{ "\x1b[2J", 4, "\"\\x1b[2J\"" },
		{ "say \"x\"", 7, "\"say \\x22x\\x22\"" },
		{ "back\\slash", 10, "\"back\\x5cslash\"" },
		{ "\x7f\xff\x80", 3, "\"\\x7f\\xff\\x80\"" },
		{ "nul\0in", 6, "\"nul\\x00in\"" },
		{ "a b event=forged", 16, "\"a b event=forged\"" },
	};
	char out[128];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_string_equal(log_escape(view_bytes(rows[i].in, rows[i].len), out,
					sizeof(out)),
		    rows[i].out);
}

/* Whatever the size: quoted, closed, within it, and no escape cut in two. */
static void
test_escape_cuts(void **state)
{
	static const char in[] = "ab\n\n\ncdefghij\x1b\x1b\x1b";
	char out[64];

	(void)state;
	for (size_t size = 8; size <= sizeof(out); size++) {
		size_t len;

		memset(out, '#', sizeof(out));
		log_escape(view_of(in), out, size);
		len = strnlen(out, sizeof(out));
		assert_true(len < size);
		assert_int_equal(out[0], '"');
		assert_int_equal(out[len - 1], '"');
		for (size_t i = size; i < sizeof(out); i++)
			assert_int_equal(out[i], '#');
		for (const char *p = strchr(out, '\\'); p; p = strchr(p + 1, '\\'))
			assert_true(p[1] == 'x' && p + 4 < out + len);
	}
}

#define THREADS 4
#define LINES 50000 /* of each: more than the pipe holds */

static void *
log_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < LINES; i++)
		log_info("event=line");
	return NULL;
}

/* What one read of the pipe brought: lines that passed, and those said to be dropped. */
static unsigned long
count_lines(const char *text)
{
	static const char said[] = "warn event=log_dropped lines=";
	unsigned long count = 0, dropped;

	for (const char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
		dropped = strncmp(at, said, strlen(said)) == 0
		    ? strtoul(at + strlen(said), NULL, 10)
		    : 1;
		assert_in_range(dropped, 1, THREADS * LINES);
		count += dropped;
	}
	return count;
}

/* Each line passes or is said to be dropped, once, whichever threads meet at it. */
static void
test_threads_drop(void **state)
{
	pthread_t threads[THREADS];
	unsigned long count = 0;

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_many, NULL), 0);
	/* Room comes now and then, so that many lines find that some were dropped. */
	while (pthread_tryjoin_np(threads[0], NULL) != 0) {
		count += count_lines(drain());
		poll(NULL, 0, 5);
	}
	for (int i = 1; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	count += count_lines(drain());
	log_info("event=last");
	count += count_lines(drain());
	assert_int_equal(count, THREADS * LINES + 1);
}

static void
test_ids(void **state)
{
	struct id128 a = { .b = { 1 } }, b = { .b = { 2 } };
	char line[2 * ID_TEXT_SIZE + 2];

	(void)state;
	snprintf(line, sizeof(line), "%s %s", log_id(&a), log_id(&b));
	assert_string_equal(line,
	    "01000000-0000-0000-0000-000000000000 "
	    "02000000-0000-0000-0000-000000000000");
}

static void
test_fatal(void **state)
{
	(void)state;
	for (int with_errno = 0; with_errno < 2; with_errno++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			errno = ENOMEM;
			if (with_errno)
				fatal("event=end");
			fatalx("event=end");
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 1);
		assert_string_equal(drain(),
		    with_errno ? "error event=end error=\"Cannot allocate memory\"\n"
			       : "error event=end\n");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errno, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_pipe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads_drop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sink, setup, teardown),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_escape_cuts),
		cmocka_unit_test(test_ids),
		cmocka_unit_test_setup_teardown(test_fatal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
