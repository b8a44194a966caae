/* SPDX-License-Identifier: MIT */
/* Opening a pseudo-terminal of the host's, and its owner. */
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
 * A new pair, nobody's controlling terminal. The slave is opened through
 * the master (TIOCGPTPEER), so that no path is looked up. 0, or -errno (ENOSPC: none is left).
 */
int pty_open(struct pty *p);
/* Gives the slave to a session's ids, mode 0600. 0 or -errno. */
int pty_give(const struct pty *p, uid_t uid, gid_t gid);
void pty_close(struct pty *p);

#endif
