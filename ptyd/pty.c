/* SPDX-License-Identifier: MIT */
/* Pseudo-terminals: see pty.h. */
#include "ptyd/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "common/cleanup.h"

/* Erasing a character in cooked mode takes all its bytes. */
static int
set_utf8(int slave)
{
	struct termios t;

	if (tcgetattr(slave, &t) != 0)
		return -1;
	t.c_iflag |= IUTF8;
	return tcsetattr(slave, TCSANOW, &t);
}

int
pty_resize(int fd, uint16_t cols, uint16_t rows)
{
	struct winsize size = { .ws_col = cols, .ws_row = rows };

	return ioctl(fd, TIOCSWINSZ, &size) == 0 ? 0 : -errno;
}

int
pty_prepare(int fd, uint16_t cols, uint16_t rows)
{
	return set_utf8(fd) == 0 ? pty_resize(fd, cols, rows) : -errno;
}

static int
open_slave(int master)
{
	int unlocked = 0;

	if (ioctl(master, TIOCSPTLCK, &unlocked) != 0)
		return -1;
	return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

int
pty_open(struct pty *p, uint16_t cols, uint16_t rows)
{
	struct pty got = PTY_EMPTY;
	int error;

	got.master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (got.master < 0)
		return -errno;
	got.slave = open_slave(got.master);
	error = got.slave < 0 ? -errno : pty_prepare(got.slave, cols, rows);
	if (error != 0)
		pty_close(&got);
	else
		*p = got;
	return error;
}

int
pty_give(const struct pty *p, uid_t uid, gid_t gid)
{
	/* The mode first: afterwards the file is another's. */
	if (fchmod(p->slave, S_IRUSR | S_IWUSR) != 0 || fchown(p->slave, uid, gid) != 0)
		return -errno;
	return 0;
}

void
pty_close(struct pty *p)
{
	close_fd(&p->master);
	close_fd(&p->slave);
}
