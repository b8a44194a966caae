/* SPDX-License-Identifier: MIT */
/*
 * The sandbox (S25 to S28), the half that session-init makes: as root of the session's own user
 * namespace, with no capability on the host, before any code of the image has run. See sandbox.h
 * for the other half. Allocates nothing.
 */
#ifndef FOG_INSIDE_H
#define FOG_INSIDE_H

#include <stdint.h>

#include "ptyd/sandbox.h"

/* Who the person is inside; images are made for that (fogctl image). */
#define INSIDE_USER "user"
#define INSIDE_USER_ID 1000U

struct inside_limits {
	uint32_t files, files_max, processes;
};

struct inside_plan {
	uint64_t tmp_bytes; /* of each of /tmp, /run and /dev/shm */
	uint64_t tmp_inodes;
	uint32_t ptys;
	const char *hostname;
};

/* Descriptors are its own. */
struct inside {
	struct inside_plan plan;
	enum spawn_stage stage;
	int parts[SANDBOX_PARTS]; /* -1: not there */
	int staging, root, dev, proc;
};

/* All of these return 0 or -errno, and leave where they were in s->stage. */

/* plan and parts are set. Until it stands in its own root with nothing of the host's left. */
int inside_enter(struct inside *s);
/* A PTY of the session's own devpts, owned by its user; both ends are the caller's. Then, as soon
 * as it is as it should be, its master goes to the maker. */
int inside_open_terminal(struct inside *s, int *master, int *slave);
int inside_give_terminal(struct inside *s, int master);
/* Ids, capabilities, no_new_privs, death with the maker, Landlock where there is one; and closes all of s. */
int inside_confine(struct inside *s);

/* With or without a sandbox. For UTF-8, and of that size: */
int inside_prepare_terminal(int fd, uint16_t cols, uint16_t rows);
/* Of RLIMIT_CORE it leaves 1. */
int inside_limit(const struct inside_limits *l);
int inside_die_with_maker(void);

#endif
