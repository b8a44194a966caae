/* SPDX-License-Identifier: MIT */
/*
 * What a runtime has to bring (DESIGN 4). The holder's side is the same for all. Those that run in
 * children of the spawner before their exec allocate nothing and log nothing; they return 0 or
 * -errno, and may name the stage in l->stage. NULL: there is nothing to do.
 *
 *   maker: allocate, fork                    init: enter
 *          settle, then it is the holder           then it is session-init
 */
#ifndef FOG_CONNECTOR_H
#define FOG_CONNECTOR_H

#include "common/msg.h"
#include "ptyd/launch.h"

struct connector_ops {
	/* In the spawner, once, while it may still open files: what all its sessions need. */
	int (*start)(void);
	/* In the spawner: a session is about to be made. */
	void (*begin)(const struct pl_spawn *order);
	/* In the maker: where the session will live, and the rest of l->init. */
	int (*allocate)(struct launch *l);
	/* In the maker: as fork; *pid is 0 in what becomes the session's init. */
	int (*fork)(struct launch *l, pid_t *pid);
	/* In the maker: what init waits for, until l->master is there. */
	int (*settle)(struct launch *l, pid_t init);
	/* In the init, a session leader: gives up all rights on the host. */
	int (*enter)(struct launch *l);
	/* In the spawner: nothing of a slot's session is left. -EAGAIN: not yet, call again soon. */
	int (*release)(uint32_t slot);
	/*
	 * In the spawner: the files that tell what the session in this slot has used, as far as
	 * there are any; of SESSION_SLOTS, what all together have. out->files borrows from `files`.
	 */
	void (*stats)(uint32_t slot, struct pl_stats *out, struct writer *files);
};

/* A plain local shell, for development: no walls but ids, a filter and a pid namespace. */
extern const struct connector_ops connector_stub;
/* Namespaces, an image, limits (S25 to S30). */
extern const struct connector_ops connector_sandbox;

#endif
