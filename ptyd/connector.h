/* SPDX-License-Identifier: MIT */
/*
 * What a runtime has to bring (DESIGN 4): four functions. The holder's side is the same for all.
 * The first three run in children of the spawner before their exec, so they allocate nothing and
 * log nothing; they return 0 or -errno.
 */
#ifndef FOG_CONNECTOR_H
#define FOG_CONNECTOR_H

#include "ptyd/launch.h"

struct connector_ops {
	const char *name;
	/* In the maker: where the session will live. The next child of this process is its init. */
	int (*allocate)(const struct launch *l);
	/* In the init, a session leader with 0, 1 and 2 set: makes the terminal its own. */
	int (*attach)(const struct launch *l);
	/* In the init, before its ids are dropped: what it may use. */
	int (*limits)(const struct launch *l);
	/* In the spawner: ends the session of this holder, whatever it does. */
	int (*terminate)(int holder_pidfd);
};

/* A plain local shell, for development: no walls but ids, a filter and a pid namespace. */
extern const struct connector_ops connector_stub;

#endif
