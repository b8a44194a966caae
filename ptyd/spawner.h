/* SPDX-License-Identifier: MIT */
/*
 * Parts of the spawner that can be tried alone: whether a pidfd that the broker wants killed is one
 * of ours.
 */
#ifndef FOG_SPAWNER_H
#define FOG_SPAWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The process of a pidfd, of this process's descriptors. 0: it has ended; -1: it is no pidfd. */
pid_t spawner_pid_of(int pidfd);
/* Real and effective uid of a process and its name, out of /proc. False: it has gone. */
bool spawner_process_of(pid_t pid, uid_t *uid, char *name, size_t name_size);
/* It has closed all its descriptors: it is about to end, or has ended. */
bool spawner_is_leaving(pid_t pid);

#endif
