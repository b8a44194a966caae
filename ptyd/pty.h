/* SPDX-License-Identifier: MIT */
/* Opening a pseudo-terminal, its owner and its size. */
#ifndef FOG_PTY_H
#define FOG_PTY_H

#include <stdint.h>
#include <sys/types.h>

/* Both close-on-exec; the master does not block. -1 when empty. */
struct pty {
	int master, slave;
};

#define PTY_EMPTY \
	{ \
		-1, -1 \
	}

/*
 * A new pair of that size, for UTF-8, nobody's controlling terminal. The slave is opened through
 * the master (TIOCGPTPEER), so that no path is looked up. 0, or -errno (ENOSPC: none is left).
 */
int pty_open(struct pty *p, uint16_t cols, uint16_t rows);
/* Gives the slave to a session's ids, mode 0600. 0 or -errno. */
int pty_give(const struct pty *p, uid_t uid, gid_t gid);
/* For UTF-8 and of that size, by either end. 0 or -errno. */
int pty_prepare(int fd, uint16_t cols, uint16_t rows);
int pty_resize(int fd, uint16_t cols, uint16_t rows);
void pty_close(struct pty *p);

#endif
