/* SPDX-License-Identifier: MIT */
/* Scope-bound cleanup for early returns, and moving out of it. */
#ifndef FOG_CLEANUP_H
#define FOG_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void
cleanup_free_(void *p)
{
	free(*(void **)p);
}

static inline void
cleanup_fd_(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define cleanup_free __attribute__((cleanup(cleanup_free_)))
#define cleanup_fd __attribute__((cleanup(cleanup_fd_)))

/* Takes the descriptor out of its variable, which becomes empty (-1). */
static inline int
steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Closes the descriptor and marks the variable empty. */
static inline void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(steal_fd(fd));
}

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
