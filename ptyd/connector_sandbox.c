/* SPDX-License-Identifier: MIT */
/* The sandbox connector: from an order to a session in namespaces of its own. See connector.h. */
#include "ptyd/connector.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
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
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "ptyd/cgroup.h"
#include "ptyd/egress.h"
#include "ptyd/plan.h"
#include "ptyd/pty.h"
#include "ptyd/sandbox.h"
#include "ptyd/storage.h"

#define SESSIONS_UNIT "cloudshell-fog-sessions.service"
#define IMAGE_NAME_SIZE 72        /* "sha256-" and 64 digits */
#define HOME_FIRST_ID 1879048192U /* on the disk of a home, whatever slot has it: never changes */
#define USER_ID 1000
#define HOSTNAME "cloudshell"
#define PTYS_MAX 64 /* of a session, where the host has so many for all */
#define PTYS_MIN 4
#define FILES 4096
#define PROCESSES_SPARE 16
#define SCRATCH_BLOCK 4096
#define GROUP_WAIT_MS 500 /* for the last session of this slot */
#define ERRAND_WAIT_MS 2000
#define MEND_SECONDS 20
#define HOME_WAIT_MS 3000 /* likewise: its data may still be on their way to the disk */
#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

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
	uint32_t ptys;
	int images; /* the store */
} host = { .cgroup = CGROUP_EMPTY, .storage = STORAGE_EMPTY, .images = -1 };

/* Of a child that makes a session, in both its halves. */
static struct making {
	struct sandbox_plan plan;
	struct sandbox box;
	struct egress_rule rules[EGRESS_RULES_MAX];
	unsigned rule_count;
} making = { .box = SANDBOX_EMPTY };

#define STAGE_OF(name, text) [SANDBOX_AT_##name] = STAGE_##name,
static const enum spawn_stage stages[SANDBOX_AT_COUNT] = { SANDBOX_STAGES(STAGE_OF) };

static const struct {
	unsigned controller;
	enum session_limit limit;
} limit_rows[] = { { CGROUP_CPU, LIMIT_CPU }, { CGROUP_MEMORY, LIMIT_MEMORY },
	{ CGROUP_SWAP, LIMIT_SWAP }, { CGROUP_PIDS, LIMIT_PIDS }, { CGROUP_IO, LIMIT_IO } };

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
	if (rc == 0 && plan_uid_of_tools(proc_config()->session_uid_base, &tools) != 0)
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
		cgroup_sweep(&host.cgroup, NULL, NULL, 0);
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

/* 0 where it cannot be read. */
static uint32_t
read_number(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return (uint32_t)strtoul(text, NULL, 10);
}

/*
 * All devpts of a host share one pool, of which a part is kept for the host's own. Some sessions
 * that take all they may must leave the others theirs.
 */
static uint32_t
share_of_ptys(void)
{
	uint32_t all = read_number("/proc/sys/kernel/pty/max");
	uint32_t kept = read_number("/proc/sys/kernel/pty/reserve");
	uint32_t share = all > kept ? (all - kept) / proc_config()->max_sessions : 0;

	if (share < PTYS_MIN)
		return PTYS_MIN;
	return share < PTYS_MAX ? share : PTYS_MAX;
}

/* Without a limit of 1 a crash in a session could start a program of the host's: see sandbox.c. */
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
	host.ptys = share_of_ptys();
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
	l->stage = stages[making.box.stage];
	return rc;
}

static int
make_group(const struct pl_spawn *order)
{
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
		making.plan.processes += PROCESSES_SPARE;
	return rc;
}

static int
open_below(int dir, const char *name, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_DIRECTORY | O_CLOEXEC, .resolve = BENEATH };
	long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
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
	l->image = open_below(host.images, name, O_RDONLY);
	if (l->image < 0)
		return l->image;
	rc = lock_image(l->image, name);
	if (rc == 0)
		making.plan.image = open_below(l->image, "rootfs", O_PATH);
	return rc ? rc : (making.plan.image < 0 ? making.plan.image : 0);
}

/* With a home that is kept, three quarters are the home's. */
static int
open_storage(struct launch *l)
{
	const struct pl_spawn *o = l->order;
	bool is_kept = o->home == HOME_PERSISTENT;
	uint64_t rest = is_kept ? o->storage_bytes / 4 : o->storage_bytes;
	int rc;

	l->stage = STAGE_STORAGE;
	rc = storage_scratch(&host.storage, rest, making.plan.first_id, &making.plan.writable);
	if (rc != 0 || !is_kept)
		return rc;
	l->stage = STAGE_HOME;
	return storage_home(&host.storage, o->home_id.b, o->storage_bytes - rest, HOME_FIRST_ID,
	    HOME_WAIT_MS, &making.plan.home);
}

static int
fill_plan(struct launch *l)
{
	const struct pl_spawn *o = l->order;
	uid_t first;
	int count = egress_unpack(o->egress.b, (size_t)o->egress_count * EGRESS_RULE_BYTES,
	    making.rules);

	if (count < 0 || plan_uid(proc_config()->session_uid_base, o->slot, &first) != 0)
		return -EINVAL;
	making.rule_count = (unsigned)count;
	making.plan = (struct sandbox_plan){ .image = -1,
		.writable = -1,
		.home = -1,
		.cgroup = -1,
		.first_id = first,
		.home_first_id = HOME_FIRST_ID,
		.uid = USER_ID,
		.gid = USER_ID,
		.tmp_bytes = o->memory_bytes / 4,
		.tmp_inodes = o->memory_bytes / 4 / SCRATCH_BLOCK,
		.ptys = host.ptys,
		.files = FILES,
		.processes = o->pids,
		.hostname = HOSTNAME,
		.user = SANDBOX_USER };
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
	int rc;

	l->stage = STAGE_PLAN;
	rc = fill_plan(l);
	if (rc == 0)
		rc = lock_slot(l);
	if (rc == 0) {
		l->stage = STAGE_LIMITS;
		rc = make_group(l->order);
	}
	if (rc == 0) {
		l->stage = STAGE_IMAGE;
		rc = open_image(l);
	}
	if (rc == 0)
		rc = open_storage(l);
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
	/* Init goes on meanwhile, and the holder tells the first who attaches of a size. */
	return rc ? rc : pty_resize(l->master, l->order->cols, l->order->rows);
}

/* --- in init --- */

/* /run is a file system of this session's that nobody has been in yet. */
static int
name_resolver(const struct pl_spawn *order)
{
	char address[INET6_ADDRSTRLEN], line[INET6_ADDRSTRLEN + 16];
	int family = order->resolver_len == sizeof(struct in6_addr) ? AF_INET6 : AF_INET, len;
	cleanup_fd int fd = -1;

	if (order->resolver_len == 0)
		return 0;
	inet_ntop(family, &order->resolver, address, sizeof(address));
	len = snprintf(line, sizeof(line), "nameserver %s\n", address);
	fd = open("/run/resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd >= 0 && write(fd, line, (size_t)len) == len ? 0 : -errno;
}

/* Its size is there before the holder can ask for it. */
static int
open_terminal(struct launch *l)
{
	int rc = at_stage(l, sandbox_open_terminal(&making.box, &l->master, &l->slave));

	if (rc == 0)
		rc = pty_prepare(l->slave, l->order->cols, l->order->rows);
	if (rc == 0)
		rc = at_stage(l, sandbox_give_terminal(&making.box, l->master));
	close_fd(&l->master); /* nobody in the session has it */
	return rc;
}

static int
sandbox_attach(struct launch *l)
{
	int rc = at_stage(l, sandbox_enter(&making.box));

	if (rc != 0)
		return rc;
	l->stage = STAGE_NETWORK;
	if (making.rule_count > 0)
		rc = egress_enter(&host.net, l->order->slot, making.rules, making.rule_count);
	if (rc == 0)
		rc = name_resolver(l->order);
	return rc ? rc : open_terminal(l);
}

static int
sandbox_limits(struct launch *l)
{
	return at_stage(l, sandbox_confine(&making.box, l->filter));
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

/* Hundredths of a percent, as far as there is one. */
static void
put_pressure(const struct cgroup_usage *u, enum cgroup_wait what, enum session_usage bit,
    uint32_t *to, uint32_t *known)
{
	if (!u->has_pressure[what])
		return;
	*to = u->pressure[what].some_centi;
	*known |= 1U << bit;
}

static void
put_usage(const struct cgroup_usage *u, struct pl_usage *out)
{
	const struct {
		enum cgroup_figure from;
		enum session_usage bit;
		uint64_t *to;
	} rows[] = { { CGROUP_CPU_USEC, USAGE_CPU, &out->cpu_usec },
		{ CGROUP_MEMORY_BYTES, USAGE_MEMORY, &out->memory_bytes },
		{ CGROUP_MEMORY_PEAK_BYTES, USAGE_MEMORY_PEAK, &out->memory_peak_bytes },
		{ CGROUP_PIDS_NOW, USAGE_PIDS, &out->pids },
		{ CGROUP_OOM_KILLS, USAGE_OOM_KILLS, &out->oom_kills } };

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!u->has_figure[rows[i].from])
			continue;
		*rows[i].to = u->figure[rows[i].from];
		out->known |= 1U << rows[i].bit;
	}
	put_pressure(u, CGROUP_WAIT_CPU, USAGE_CPU_PRESSURE, &out->cpu_pressure, &out->known);
	put_pressure(u, CGROUP_WAIT_MEMORY, USAGE_MEMORY_PRESSURE, &out->memory_pressure,
	    &out->known);
	put_pressure(u, CGROUP_WAIT_IO, USAGE_IO_PRESSURE, &out->io_pressure, &out->known);
}

static void
put_holds(unsigned holds, struct pl_usage *out)
{
	for (size_t i = 0; i < COUNT_OF(limit_rows); i++) {
		if (holds & limit_rows[i].controller)
			out->holds |= 1U << limit_rows[i].limit;
	}
}

/* What is in the base counts all below it, those that are gone too, and the idle process of its unit. */
static void
sandbox_usage(uint32_t slot, struct pl_usage *out)
{
	struct cgroup_usage u;
	cleanup_fd int dir = -1;
	bool is_all = slot >= SESSION_SLOTS;

	if (!is_all)
		out->holds = 1U << LIMIT_STORAGE;
	if (host.cgroup.base < 0 || (!is_all && cgroup_session_open(&host.cgroup, slot, &dir) != 0))
		return;
	if (!is_all)
		put_holds(cgroup_session_holds(&host.cgroup, dir), out);
	if (cgroup_usage_read(&host.cgroup, is_all ? host.cgroup.base : dir, &u) == 0)
		put_usage(&u, out);
}

static int
sandbox_terminate(int holder_pidfd)
{
	return connector_stub
	    .terminate(holder_pidfd); /* init dies with its holder, and all with init */
}

const struct connector_ops connector_sandbox = { "sandbox", sandbox_start, sandbox_begin,
	sandbox_allocate, sandbox_fork, sandbox_settle, sandbox_attach, sandbox_limits,
	sandbox_terminate, sandbox_release, sandbox_usage };
