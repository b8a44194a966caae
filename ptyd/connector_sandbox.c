/* SPDX-License-Identifier: MIT */
/* The sandbox connector: from an order to a session in namespaces of its own. See connector.h. */
#include "ptyd/connector.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/egress.h"
#include "common/egress_denied.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "ptyd/cgroup.h"
#include "ptyd/egress.h"
#include "ptyd/fdtools.h"
#include "ptyd/slots.h"
#include "ptyd/sandbox.h"
#include "ptyd/storage.h"

#define SESSIONS_UNIT "cloudshell-fog-sessions.service"
#define IMAGE_NAME_SIZE 72        /* "sha256-" and 64 digits */
#define HOME_FIRST_ID 1879048192U /* on the disk of a home, whatever slot has it: never changes */
#define PROCESSES_SPARE 16
#define GROUP_WAIT_MS 500 /* for the last session of this slot */
#define ERRAND_WAIT_MS 2000
#define MEND_SECONDS 20
#define HOME_WAIT_MS 3000 /* likewise: its data may still be on their way to the disk */

/*
 * nftables are slow to forget, and libnftables ends its process when memory is out: children do that.
 * Whoever makes the next session in the slot waits for them.
 */
struct errand {
	LIST_ENTRY(errand) next;
	uint32_t slot;
	int pidfd;
	struct event *on_exit;
};

/* Of the spawner; its children have a copy. */
static struct host {
	struct cgroup cgroup;
	struct storage storage;
	struct egress_net net;
	struct slots linked; /* whose sessions have a way out */
	LIST_HEAD(, errand) errands;
	struct event *mender;
	int images; /* the store */
} host = { .cgroup = CGROUP_EMPTY, .storage = STORAGE_EMPTY, .images = -1 };

/* Of a child that makes a session, in both its halves. */
static struct making {
	struct sandbox_plan plan;
	struct sandbox box;
	struct egress_rule rules[EGRESS_RULES_MAX];
	unsigned rule_count;
} making;

/* --- in the spawner, once --- */

static int
open_store(int state_dir)
{
	struct stat st;

	if (mkdirat(state_dir, "images", 0700) != 0 && errno != EEXIST)
		return -errno;
	host.images = openat(state_dir, "images", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (host.images < 0 || fstat(host.images, &st) != 0)
		return -errno;
	return st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 ? 0 : -EPERM;
}

static int
open_state(void)
{
	cleanup_fd int state_dir = open(proc_config()->state_dir,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uid_t tools;
	int rc;

	if (state_dir < 0)
		return -errno;
	rc = open_store(state_dir);
	if (rc == 0 && slots_tools_uid(proc_config()->session_uid_base, &tools) != 0)
		rc = -ERANGE;
	return rc ? rc : storage_open(&host.storage, state_dir, tools);
}

static int
try_cgroup(void)
{
	int rc = cgroup_open(&host.cgroup, &cgroup_kernel, SESSIONS_UNIT);

	if (rc == 0)
		rc = cgroup_prepare(&host.cgroup);
	if (rc != 0)
		cgroup_close(&host.cgroup);
	return rc;
}

/* Without a group of our own, sessions start only where a profile says limits: best-effort. */
static void
open_cgroup(void)
{
	static const unsigned wanted = CGROUP_NEEDED & ~CGROUP_SWAP; /* which needs no controller */
	int rc = try_cgroup();

	if (rc == 0 && (host.cgroup.enabled & wanted) == wanted) {
		cgroup_sweep(&host.cgroup);
		return;
	}
	log_warnx("event=no_limits detail=\"sessions start only in profiles with limits: "
		  "best-effort\" cause=\"%s\"",
	    rc ? strerrordesc_np(-rc) : "cgroup v2 has no controllers here");
}

/* The unit whose group it is may have been stopped and started since. */
static void
renew_cgroup(void)
{
	int procs = host.cgroup.base < 0
	    ? -1
	    : openat(host.cgroup.base, "cgroup.procs", O_PATH | O_CLOEXEC);

	if (procs >= 0) {
		close_fd(&procs);
		return;
	}
	cgroup_close(&host.cgroup);
	if (try_cgroup() == 0)
		log_info("event=limits_found");
}

/* --- errands --- */

static void
errand_done(evutil_socket_t fd, short what, void *arg)
{
	struct errand *e = arg;
	siginfo_t info;

	(void)what;
	waitid(P_PIDFD, (id_t)fd, &info, WEXITED);
	LIST_REMOVE(e, next);
	event_free(e->on_exit);
	close_fd(&e->pidfd);
	free(e);
}

/* In a child, or here when there can be none. */
static void
run_errand(uint32_t slot, int (*work)(const struct egress_net *net, uint32_t slot))
{
	struct errand *e = calloc(1, sizeof(*e));
	pid_t pid = e ? fork() : -1;

	if (pid == 0)
		_exit(work(&host.net, slot) != 0);
	if (pid < 0) {
		free(e);
		work(&host.net, slot);
		return;
	}
	e->slot = slot;
	e->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	e->on_exit = event_new(proc_base(), e->pidfd, EV_READ, errand_done, e);
	LIST_INSERT_HEAD(&host.errands, e, next);
	if (e->pidfd < 0 || !e->on_exit || event_add(e->on_exit, NULL) != 0)
		waitpid(pid, NULL, 0);
}

/* In the maker. */
static void
await_errand(uint32_t slot)
{
	struct errand *e;

	LIST_FOREACH(e, &host.errands, next)
	{
		struct pollfd p = { .fd = e->pidfd, .events = POLLIN };

		if (e->slot == slot)
			poll(&p, 1, ERRAND_WAIT_MS);
	}
}

static int
prepare_host(const struct egress_net *net, uint32_t slot)
{
	(void)slot;
	return egress_host_prepare(net);
}

/* Somebody may have flushed all rules of the host; then ours are gone, too, until this. */
static void
on_mender(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	for (size_t i = 0; i < COUNT_OF(host.linked.used); i++) {
		if (host.linked.used[i] != 0) {
			run_errand(SESSION_SLOTS, prepare_host);
			return;
		}
	}
}

/* Not by ioctl: for a name that is not there the kernel would look for a module, by a process each. */
static bool
has_link(void *ctx, uint32_t slot)
{
	char path[64];

	(void)ctx;
	snprintf(path, sizeof(path), "/sys/class/net/fog%u", slot);
	return access(path, F_OK) == 0;
}

/* What an earlier spawner has left: of the living it is theirs, of the dead nobody's. */
static void
find_links(void)
{
	egress_sweep(&host.net, has_link, NULL);
	for (uint32_t slot = 0; slot < SESSION_SLOTS; slot++) {
		if (has_link(NULL, slot))
			slots_take(&host.linked, slot);
	}
}

/* Without a limit of 1 a crash in a session could start a program of the host's: see inside.c. */
static int
check_core_limit(void)
{
	struct rlimit core;

	if (getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max >= 1)
		return 0;
	log_warnx(
	    "event=start_failed step=\"core limit\" detail=\"it is 0; make it 1 (LimitCORE=1)\"");
	return -EPERM;
}

static int
sandbox_start(void)
{
	const struct config *c = proc_config();
	const char *wrong = egress_net_parse(c->egress_network, c->egress_network6, &host.net);
	int rc;

	if (check_core_limit() != 0)
		return -EPERM;
	if (wrong) {
		log_warnx("event=start_failed step=\"EGRESS_NETWORK\" detail=\"%s\"", wrong);
		return -EINVAL;
	}
	rc = open_state();
	if (rc != 0) {
		errno = -rc;
		log_warn("event=start_failed step=\"image store and storage in STATE_DIR\" "
			 "detail=\"images, storage and homes have to be directories of root that "
			 "nobody else can write to\"");
		return rc;
	}
	open_cgroup();
	find_links();
	return 0;
}

static void
sandbox_begin(const struct pl_spawn *order)
{
	static const struct timeval every = { .tv_sec = MEND_SECONDS };

	renew_cgroup();
	if (order->egress_count == 0)
		return;
	slots_take(&host.linked, order->slot);
	if (!host.mender)
		host.mender = event_new(proc_base(), -1, EV_PERSIST, on_mender, NULL);
	if (host.mender && !event_pending(host.mender, EV_TIMEOUT, NULL))
		event_add(host.mender, &every);
}

/* --- in the maker --- */

static int
at_stage(struct launch *l, int rc)
{
	l->stage = making.box.stage;
	return rc;
}

static int
make_group(struct launch *l)
{
	const struct pl_spawn *order = l->order;
	const struct cgroup_limits limits = { .cpu_milli = order->cpu_milli,
		.memory_bytes = order->memory_bytes,
		.pids = order->pids,
		.io_weight = order->io_weight };
	unsigned holds, required = order->limits == LIMITS_REQUIRED ? CGROUP_NEEDED : 0;
	int rc;

	if (host.cgroup.base < 0)
		return required ? -EOPNOTSUPP : 0;
	rc = cgroup_session_end(&host.cgroup, order->slot, GROUP_WAIT_MS);
	if (rc == 0)
		rc = cgroup_session_make(&host.cgroup, order->slot, &limits, required,
		    &making.plan.cgroup, &holds);
	/* The group's bound is the one to be met: it counts, and says so in pids.events. */
	if (rc == 0 && (holds & CGROUP_PIDS))
		l->init.processes += PROCESSES_SPARE;
	return rc;
}

/* Whoever removes it holds the lock and has moved it away. */
static int
lock_image(int image, const char *name)
{
	struct stat held, named;

	if (flock(image, LOCK_SH | LOCK_NB) != 0)
		return -ENOENT;
	if (fstat(image, &held) != 0 ||
	    fstatat(host.images, name, &named, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	return held.st_ino == named.st_ino && held.st_dev == named.st_dev ? 0 : -ENOENT;
}

static int
open_image(struct launch *l)
{
	char name[IMAGE_NAME_SIZE] = "sha256-";
	size_t at = strlen(name);
	int rc;

	for (size_t i = 0; i < sizeof(l->order->image.b); i++, at += 2)
		snprintf(name + at, sizeof(name) - at, "%02x", l->order->image.b[i]);
	l->image = fd_open_beneath(host.images, name, O_RDONLY | O_DIRECTORY);
	if (l->image < 0)
		return l->image;
	rc = lock_image(l->image, name);
	if (rc == 0)
		making.plan.image = fd_open_beneath(l->image, "rootfs", O_PATH | O_DIRECTORY);
	return rc ? rc : (making.plan.image < 0 ? making.plan.image : 0);
}

/* Three quarters of it all, where it is kept. */
static uint64_t
home_bytes(const struct pl_spawn *o)
{
	return o->home == HOME_PERSISTENT ? o->storage_bytes - o->storage_bytes / 4 : 0;
}

static int
open_scratch(struct launch *l)
{
	return storage_scratch(&host.storage, l->order->storage_bytes - home_bytes(l->order),
	    making.plan.first_id, &making.plan.writable);
}

static int
open_home(struct launch *l)
{
	if (l->order->home != HOME_PERSISTENT)
		return 0;
	return storage_home(&host.storage, l->order->home_id.b, home_bytes(l->order), HOME_FIRST_ID,
	    HOME_WAIT_MS, &making.plan.home);
}

static int
fill_plan(struct launch *l)
{
	const struct pl_spawn *o = l->order;
	uid_t first;
	int count = egress_unpack(o->egress.b, (size_t)o->egress_count * EGRESS_RULE_BYTES,
	    making.rules);

	if (count < 0 || slots_uid(proc_config()->session_uid_base, o->slot, &first) != 0)
		return -EINVAL;
	making.rule_count = (unsigned)count;
	making.plan = (struct sandbox_plan){ .image = -1,
		.writable = -1,
		.home = -1,
		.cgroup = -1,
		.first_id = first,
		.home_first_id = HOME_FIRST_ID };
	l->init.has_home = o->home == HOME_PERSISTENT;
	l->init.processes = o->pids;
	l->init.memory_bytes = o->memory_bytes;
	l->init.resolver_len = o->resolver_len;
	l->init.resolver = o->resolver;
	return 0;
}

/*
 * One byte of a file for each slot; the lock is the open file's. The holder keeps it, so that no spawner, whatever it remembers and whatever a broker that was broken
 * into asks, gives the ids of a living session to another (S29). What failed before in this slot
 * may still be on its way out.
 */
static int
lock_slot(struct launch *l)
{
	static const struct timespec pause = { .tv_nsec = 5000000 };
	uint64_t until = mono_ms() + GROUP_WAIT_MS;
	struct flock lock = { .l_type = F_WRLCK, .l_start = l->order->slot, .l_len = 1 };

	l->slot = openat(host.storage.dir, "slots", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (l->slot < 0)
		return -errno;
	while (fcntl(l->slot, F_OFD_SETLK, &lock) != 0) {
		if (errno != EAGAIN)
			return -errno;
		if (mono_ms() >= until)
			return -EBUSY;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int
sandbox_allocate(struct launch *l)
{
	static const struct {
		enum spawn_stage stage;
		int (*make)(struct launch *l);
	} steps[] = { { STAGE_PLAN, fill_plan }, { STAGE_PLAN, lock_slot },
		{ STAGE_LIMITS, make_group }, { STAGE_IMAGE, open_image },
		{ STAGE_STORAGE, open_scratch }, { STAGE_HOME, open_home } };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT_OF(steps); i++) {
		l->stage = steps[i].stage;
		rc = steps[i].make(l);
	}
	return rc ? rc : at_stage(l, sandbox_prepare(&making.box, &making.plan));
}

static int
sandbox_fork(struct launch *l, pid_t *pid)
{
	return at_stage(l, sandbox_clone(&making.box, pid));
}

static int
link_up(uint32_t slot, pid_t init)
{
	int rc;

	await_errand(slot);
	rc = egress_host_prepare(&host.net);
	return rc ? rc : egress_link(&host.net, slot, init, making.rules, making.rule_count);
}

static int
sandbox_settle(struct launch *l, pid_t init)
{
	int rc = 0;

	l->stage = STAGE_NETWORK;
	if (making.rule_count > 0)
		rc = link_up(l->order->slot, init);
	if (rc == 0)
		rc = at_stage(l, sandbox_map(&making.box, init));
	if (rc == 0)
		rc = at_stage(l, sandbox_take_terminal(&making.box, &l->master));
	return rc;
}

/* --- in init --- */

static int
sandbox_leave_host(struct launch *l)
{
	int rc = at_stage(l, sandbox_enter(&making.box));

	l->parts = making.box.parts;
	if (rc != 0 || making.rule_count == 0)
		return rc;
	l->stage = STAGE_NETWORK;
	return egress_enter(&host.net, l->order->slot, making.rules, making.rule_count);
}

/* --- in the spawner --- */

static int
sandbox_release(uint32_t slot)
{
	int rc = host.cgroup.base < 0 ? 0 : cgroup_session_end(&host.cgroup, slot, 0);

	if (rc == -ETIMEDOUT)
		return -EAGAIN;
	if (slots_has(&host.linked, slot))
		run_errand(slot, egress_unlink);
	slots_release(&host.linked, slot);
	return rc;
}

/* What is in the base counts all below it, those that are gone too, and the idle process of its unit. */
static void
sandbox_stats(uint32_t slot, struct pl_stats *out, struct writer *files)
{
	cleanup_fd int dir = -1;
	bool is_all = slot >= SESSION_SLOTS;

	if (!is_all)
		out->holds = 1U << LIMIT_STORAGE;
	/* Without any egress the kernel is not asked: it would load nf_tables for that. */
	out->knows_denied = (is_all ? host.mender != NULL : slots_has(&host.linked, slot)) &&
	    egress_denied(is_all ? SESSION_RANGES : slot, &out->egress_denied) == 0;
	if (host.cgroup.base < 0 || (!is_all && cgroup_session_open(&host.cgroup, slot, &dir) != 0))
		return;
	if (cgroup_pack_stats(&host.cgroup, is_all ? host.cgroup.base : dir, files) == 0)
		out->files = view_bytes(files->p, files->len);
}

const struct connector_ops connector_sandbox = { .start = sandbox_start,
	.begin = sandbox_begin,
	.allocate = sandbox_allocate,
	.fork = sandbox_fork,
	.settle = sandbox_settle,
	.enter = sandbox_leave_host,
	.release = sandbox_release,
	.stats = sandbox_stats };
