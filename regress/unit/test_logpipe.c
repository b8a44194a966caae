/* SPDX-License-Identifier: MIT */
/* links: ptyd/logpipe.c */
/* What a role that was broken into can do through its log: not fill the journal, nor reach the terminal. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/mono.h"
#include "ptyd/fogd.h"

static struct event_base *base;
static int ends[2], saved_stderr, out;
static struct logpipe *logs;

static int
set_up(void **state)
{
	(void)state;
	base = event_base_new();
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	out = memfd_create("out", MFD_CLOEXEC);
	dup2(out, STDERR_FILENO);
	logs = logpipe_new(base, "role", 77, ends[0]);
	assert_non_null(logs);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	close_fd(&ends[1]);
	logpipe_free(logs);
	event_base_free(base);
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(out);
	return 0;
}

static void
run_for(uint64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	event_base_loopexit(base, &tv);
	event_base_dispatch(base);
}

static size_t
read_out(char *text, size_t size)
{
	ssize_t n = pread(out, text, size - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return (size_t)n;
}

static void
test_escaping(void **state)
{
	static const char lies[] = "info \x1b]0;owned\x07\x9b"
				   "1m\0x\rfogd[1] info event=lie\nhalf";
	char text[4096];
	size_t len;

	(void)state;
	assert_int_equal(write(ends[1], lies, sizeof(lies) - 1), (ssize_t)sizeof(lies) - 1);
	run_for(50);
	len = read_out(text, sizeof(text));
	assert_non_null(strstr(text, "role[77] info ?]0;owned??1m?x?fogd[1] info event=lie\n"));
	assert_null(strstr(text, "half"));
	for (size_t i = 0; i < len; i++)
		assert_true(text[i] == '\n' || (text[i] >= ' ' && text[i] != 0x7f));
}

static void
test_long_line(void **state)
{
	static char bytes[10000], text[40000];
	size_t len, longest = 0, start = 0;

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	assert_int_equal(write(ends[1], bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
	run_for(50);
	len = read_out(text, sizeof(text));
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '\n')
			continue;
		longest = i - start > longest ? i - start : longest;
		start = i + 1;
	}
	assert_in_range(longest, 2048, 2048 + 64);
}

static void
test_flood(void **state)
{
	static char text[8u << 20];
	size_t lines = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		for (;;) {
			if (write(ends[1], "info x\ninfo y\n", 14) < 0)
				_exit(0);
		}
	}
	run_for(1500);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	read_out(text, sizeof(text));
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	assert_in_range(lines, 5000, 3 * 11000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_escaping, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
