/* SPDX-License-Identifier: MIT */
/* Tests of ptyd/pty.c on real terminals. links: ptyd/pty.c ptyd/inside.c ptyd/fdtools.c */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "ptyd/inside.h"
#include "ptyd/pty.h"

static void
test_open(void **state)
{
	struct pty p = PTY_EMPTY;
	struct winsize size;
	struct termios t;

	(void)state;
	assert_int_equal(pty_open(&p), 0);
	assert_int_equal(inside_prepare_terminal(p.slave, 132, 43), 0);
	assert_int_equal(ioctl(p.slave, TIOCGWINSZ, &size), 0);
	assert_int_equal(size.ws_col, 132);
	assert_int_equal(size.ws_row, 43);
	assert_int_equal(tcgetattr(p.slave, &t), 0);
	assert_true(t.c_iflag & IUTF8);
	assert_true(fcntl(p.master, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(p.master, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(p.slave, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(inside_prepare_terminal(p.slave, 80, 24), 0);
	assert_int_equal(ioctl(p.slave, TIOCGWINSZ, &size), 0);
	assert_int_equal(size.ws_col, 80);
	pty_close(&p);
	assert_int_equal(p.master, -1);
	assert_int_equal(p.slave, -1);
}

static void
test_bytes(void **state)
{
	struct pty p = PTY_EMPTY;
	char got[16] = "";

	(void)state;
	assert_int_equal(pty_open(&p), 0);
	assert_int_equal(write(p.slave, "out", 3), 3);
	assert_int_equal(read(p.master, got, sizeof(got)), 3);
	assert_memory_equal(got, "out", 3);
	assert_int_equal(write(p.master, "in\n", 3), 3);
	assert_int_equal(read(p.slave, got, sizeof(got)), 3);
	assert_memory_equal(got, "in\n", 3);
	pty_close(&p);
}

static void
test_owner(void **state)
{
	uid_t uid = geteuid() == 0 ? 12345 : geteuid();
	gid_t gid = geteuid() == 0 ? 12346 : getegid();
	struct pty p = PTY_EMPTY;
	struct stat st;

	(void)state;
	assert_int_equal(pty_open(&p), 0);
	assert_int_equal(pty_give(&p, uid, gid), 0);
	assert_int_equal(fstat(p.slave, &st), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
	assert_int_equal(st.st_mode & 07777, 0600);
	pty_close(&p);
}

/* No descriptor left: an error, and the caller's pair is untouched. */
static void
test_exhausted(void **state)
{
	struct rlimit old, few;
	struct pty p = PTY_EMPTY;
	int lowest = dup(0);

	(void)state;
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = (rlim_t)lowest + 1; /* room for the master alone */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(pty_open(&p), -EMFILE);
	assert_int_equal(p.master, -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(pty_open(&p), 0);
	pty_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_exhausted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
