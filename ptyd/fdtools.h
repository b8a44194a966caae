/* SPDX-License-Identifier: MIT */
/*
 * What both halves of a sandbox's making do with descriptors (sandbox.h, inside.h). Nothing here
 * allocates or logs. Functions return 0 or a descriptor, or -errno.
 */
#ifndef FOG_FDTOOLS_H
#define FOG_FDTOOLS_H

#include <stdint.h>

/* A detached copy of one mount, with these attributes (MOUNT_ATTR_…), or of the file at dir/path. */
int fd_clone_tree(int dir, const char *path, uint64_t attributes);

/* What lies right beneath a directory: never through a link, never on another mount. */
int fd_open_beneath(int dir, const char *name, uint64_t flags);

/* Over a SOCK_SEQPACKET pair. */
int fd_send(int socket, int fd);
/* -EPIPE: the other end was closed instead; -EBADMSG: what came is not one descriptor. */
int fd_receive(int socket, int *out);

#endif
