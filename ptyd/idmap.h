/* SPDX-License-Identifier: MIT */
/*
 * Id ranges (S29): the map of a session's user namespace and of mounts whose files carry other
 * ids on disk than the session has on this host. Runs between fork and exec: allocates and logs
 * nothing. Functions return 0 or -errno.
 */
#ifndef FOG_IDMAP_H
#define FOG_IDMAP_H

#include <stdint.h>
#include <sys/types.h>

#define IDMAP_COUNT 65536U

/* -ERANGE: the range reaches 0 (root), 65534 (nobody) or beyond the last id. */
int idmap_check_range(uint32_t first_host_id);

/*
 * Writes both maps of an unreaped child in a new user namespace: its inside_first.. are
 * host_first.. of our namespace. Needs CAP_SETUID and CAP_SETGID there; a map is written once.
 */
int idmap_write(pid_t child, uint32_t inside_first, uint32_t host_first);

/* A user namespace with that map and nobody in it; the caller's to close. */
int idmap_make(uint32_t inside_first, uint32_t host_first, int *userns_fd);

/*
 * A detached mount (OPEN_TREE_CLONE) shows the ids on its disk as that namespace maps them. -EINVAL:
 * the file system cannot (tmpfs before Linux 6.3).
 */
int idmap_apply(int tree_fd, int userns_fd);

/* -EBADF: not a user namespace. For a descriptor that another process has sent. */
int idmap_check_userns(int fd);

#endif
