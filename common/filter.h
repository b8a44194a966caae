/* SPDX-License-Identifier: MIT */
/*
 * The seccomp filters, one table a role (S3). The lists of the unprivileged roles allow by name
 * and kill on anything else; fogd and the spawner have a deny list that answers with an errno,
 * since what they carry is inherited by every shell.
 */
#ifndef FOG_FILTER_H
#define FOG_FILTER_H

#include <fcntl.h>

#include "common/msg.h"

#define FILTER_CALLS_MAX 1024 /* instructions of an exported filter */
/* SCMP_FLTATR_CTL_OPTIMIZE, seccomp_attr_set(3): the kernel tries each call number when one is loaded. */
#define FILTER_AS_TREE 2
#define FILTER_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Loads the filter of a role, last of all. 0 or -errno. A build with FOG_NO_FILTER (sanitizers)
 * loads none and returns 0. */
int filter_load(enum proc_id role);
/*
 * The filter of a strict role as a sealed memfd, for many processes that load it without building
 * it: the caller's descriptor, or -errno. It knows no pid, so that abort() in them ends in SIGSYS.
 */
int filter_export(enum proc_id role);
int filter_load_program(int fd); /* 0 or -errno; borrows fd */
/* True when this build has filters. */
int filter_is_built(void);

#endif
