/* SPDX-License-Identifier: MIT */
/*
 * The filter that a shell carries, loaded last before the exec of its init (S26): it answers
 * with an errno, since what runs there is a person's own. Built once in the spawner, loaded in
 * each child without allocating.
 */
#ifndef FOG_SHELLFILTER_H
#define FOG_SHELLFILTER_H

#include <linux/filter.h>

/* Builds the program; *out is the caller's, free it with shellfilter_free. 0 or -errno. */
int shellfilter_build(struct sock_fprog *out);
void shellfilter_free(struct sock_fprog *p);
/* Loads it into this process; no_new_privs is set already. 0 or -errno. */
int shellfilter_load(const struct sock_fprog *p);

#endif
