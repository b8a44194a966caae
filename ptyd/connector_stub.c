/* SPDX-License-Identifier: MIT */
/* The stub connector: a plain local shell. See connector.h. */
#include "ptyd/connector.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "common/privdrop.h"
#include "ptyd/pty.h"

/* A terminal of the host's, and a pid namespace where root can make one: init's death is then everybody's. */
static int
stub_allocate(struct launch *l)
{
	struct pty pty;
	int rc = pty_open(&pty);

	l->stage = STAGE_PTY;
	if (rc != 0)
		return rc;
	l->master = pty.master;
	l->slave = pty.slave;
	if (!l->ids.change)
		return 0;
	rc = pty_give(&pty, l->ids.shell_uid, l->ids.shell_gid);
	if (rc != 0)
		return rc;
	l->stage = STAGE_NAMESPACE;
	return unshare(CLONE_NEWPID) == 0 ? 0 : -errno;
}

static int
stub_fork(struct launch *l, pid_t *pid)
{
	(void)l;
	*pid = fork();
	return *pid < 0 ? -errno : 0;
}

static int
stub_enter(struct launch *l)
{
	l->stage = STAGE_IDS;
	return privdrop_to_session(l->ids.shell_uid, l->ids.shell_gid) ? -errno : 0;
}

const struct connector_ops connector_stub = { .allocate = stub_allocate,
	.fork = stub_fork,
	.enter = stub_enter };
