/* SPDX-License-Identifier: MIT */
/* Pseudo-terminals: see pty.h. */
#include "ptyd/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/cleanup.h"

static int
open_slave(int master)
{
	int unlocked = 0;

	if (ioctl(master, TIOCSPTLCK, &unlocked) != 0)
		return -1;
	return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

int
pty_open(struct pty *p)
{
	struct pty got = PTY_EMPTY;

	got.master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (got.master < 0)
		return -errno;
	got.slave = open_slave(got.master);
	if (got.slave < 0) {
		int error = -errno;

		pty_close(&got);
		return error;
	}
	*p = got;
	return 0;
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
