/* SPDX-License-Identifier: MIT */
/*
 * The seccomp filters, one table a role (S3). The lists of the unprivileged roles allow by name
 * and kill on anything else; fogd and the spawner have a deny list that answers with an errno,
 * since what they carry is inherited by every shell.
 */
#ifndef FOG_FILTER_H
#define FOG_FILTER_H

#include "common/msg.h"

/* Loads the filter of a role, last of all. 0 or -errno. A build with FOG_NO_FILTER (sanitizers)
 * loads none and returns 0. */
int filter_load(enum proc_id role);
/* True when this build has filters. */
int filter_is_built(void);

#endif
