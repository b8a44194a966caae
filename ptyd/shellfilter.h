/* SPDX-License-Identifier: MIT */
/*
 * The filter that a shell carries, loaded last before it is started (S26): it answers with an errno,
 * since what runs there is a person's own. The program is made when all is built (shellfilter.c),
 * so that no process that runs as root, and none of a session, has to make it.
 */
#ifndef FOG_SHELLFILTER_H
#define FOG_SHELLFILTER_H

#include <linux/filter.h>

extern const struct sock_filter shellfilter_program[];
extern const unsigned short shellfilter_count;

/* Loads it into this process; no_new_privs is set already. 0 or -errno. */
int shellfilter_load(void);

#endif
