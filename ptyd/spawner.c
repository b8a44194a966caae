/* SPDX-License-Identifier: MIT */
/*
 * The spawner: the one role that keeps privilege. Takes fixed-size orders from the broker alone,
 * opens the terminal, binds the holder's socket and forks the session (launch.c); kills a
 * session on request, after making sure that it is one. Never waits for anything.
 */
#include "ptyd/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/log.h"
#include "common/proc.h"
#include "ptyd/connector.h"
#include "ptyd/slots.h"

#define MAKING_MAX 64 /* sessions being made at once */
#define MAKING_DEADLINE_MS 5000
#define CLEAN_AGAIN_MS 100
#define STATS_BYTES 8192 /* as in messages.def */
#define SOCKET_NAME_SIZE (ID_TEXT_SIZE + 8)

/* A child: being made, or living as a holder until we can reap it. */
struct child {
	TAILQ_ENTRY(child) next;
	struct id128 session_id;
	uint64_t request_id;
	struct trace trace;
	pid_t pid;
	uint32_t slot;
	int pidfd, report;
	struct event *on_exit, *on_report, *deadline;
	bool making;
	bool is_killed; /* and therefore done with its slot */
};

static struct spawner {
	TAILQ_HEAD(, child) children;
	struct slots unclean; /* ended, and something of them is left */
	struct event *cleaner;
	size_t making;
	const struct connector_ops *connector;
	/* Whose the stub's shells are; of root they never are, but of ids of the slot's own. */
	uid_t shell_uid;
	gid_t shell_gid;
	int null, holder_exe, init_exe, holder_filter;
} spawner = { .children = TAILQ_HEAD_INITIALIZER(spawner.children),
	.null = -1,
	.connector = &connector_stub };

/* --- children --- */

static void
child_free(struct child *c)
{
	TAILQ_REMOVE(&spawner.children, c, next);
	if (c->making)
		spawner.making--;
	if (c->on_exit)
		event_free(c->on_exit);
	if (c->on_report)
		event_free(c->on_report);
	if (c->deadline)
		event_free(c->deadline);
	close_fd(&c->report);
	close_fd(&c->pidfd);
	free(c);
}

static void
socket_name(const struct id128 *id, char out[static SOCKET_NAME_SIZE])
{
	char text[ID_TEXT_SIZE];

	id_format(id, text);
	snprintf(out, SOCKET_NAME_SIZE, "%s.sock", text);
}

static void
send_failure(uint64_t request_id, const struct trace *trace, const struct id128 *id,
    enum spawn_stage stage, int error)
{
	struct pl_spawn_failed failed = { .session_id = *id,
		.stage = (uint8_t)stage,
		.error_number = (uint32_t)error & 0xfff };
	char name[SOCKET_NAME_SIZE];

	socket_name(id, name);
	unlink(name);
	log_info("event=spawn_failed sid=%s stage=%s errno=%d", log_id(id),
	    session_stage_name(stage), error);
	proc_send(EDGE_PTY_SPAWN, MSG_PTY_SPAWN_FAILED, request_id, trace, &failed, -1);
}

/* The child is no more in the making; its events for that are gone. */
static void
end_making(struct child *c)
{
	event_free(c->on_report);
	event_free(c->deadline);
	c->on_report = c->deadline = NULL;
	close_fd(&c->report);
	c->making = false;
	spawner.making--;
}

/* With the holder its end of init's pipe closes, and init gets its death signal, and all with it. */
static bool
end_holder(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
}

/* Kills what there is; the reaping follows when the pidfd says so. */
static void
fail_making(struct child *c, enum spawn_stage stage, int error)
{
	end_making(c);
	c->is_killed = end_holder(c->pidfd);
	send_failure(c->request_id, &c->trace, &c->session_id, stage, error);
}

static bool
has_exited(const struct child *c)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

static void
succeed_making(struct child *c)
{
	struct pl_spawned done = { c->session_id, (uint32_t)c->pid };

	end_making(c);
	proc_send(EDGE_PTY_SPAWN, MSG_PTY_SPAWNED, c->request_id, &c->trace, &done, -1);
}

/*
 * End of file without a report: the holder listens and the shell runs. Or its maker was killed: that
 * closes its descriptors before its pidfd tells.
 */
static void
on_report(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	unsigned char b[REPORT_BYTES];
	enum spawn_stage stage;
	ssize_t n = read(fd, b, sizeof(b));
	int error;

	(void)what;
	if (n < 0)
		return;
	if (n == 0 && !has_exited(c) && !spawner_is_leaving(c->pid))
		succeed_making(c);
	else if (launch_report_get(b, (size_t)n, &stage, &error))
		fail_making(c, stage, error);
	else
		fail_making(c, STAGE_HOLDER, ECHILD);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	fail_making(arg, STAGE_HOLDER, ETIMEDOUT);
}

static void
on_exit_of_child(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	siginfo_t info = { 0 };

	(void)what;
	if (c->making)
		on_report(c->report, EV_READ, c);
	if (c->making)
		fail_making(c, STAGE_HOLDER, ECHILD);
	waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG);
	log_debug("event=holder_reaped sid=%s status=%d", log_id(&c->session_id), info.si_status);
	child_free(c);
}

static bool
watch_child(struct child *c)
{
	static const struct timeval deadline = { .tv_sec = MAKING_DEADLINE_MS / 1000 };

	c->on_exit = event_new(proc_base(), c->pidfd, EV_READ, on_exit_of_child, c);
	c->on_report = event_new(proc_base(), c->report, EV_READ | EV_PERSIST, on_report, c);
	c->deadline = evtimer_new(proc_base(), on_deadline, c);
	return c->on_exit && c->on_report && c->deadline && event_add(c->on_exit, NULL) == 0 &&
	    event_add(c->on_report, NULL) == 0 && event_add(c->deadline, &deadline) == 0;
}

/* --- making one --- */

/* All that a session in the making holds here; closed again after the fork. */
struct making {
	int listener, report[2], init_pair[2];
};

static void
making_fini(struct making *k)
{
	close_fd(&k->listener);
	for (int i = 0; i < 2; i++) {
		close_fd(&k->report[i]);
		close_fd(&k->init_pair[i]);
	}
}

/*
 * Bound with the ids of the directory's owner, the broker: it alone may connect, and there is no
 * moment at which a path in its directory is chowned by root.
 */
static int
bind_as_owner(int fd, const struct sockaddr_un *at)
{
	struct stat dir;
	int rc;

	if (stat(".", &dir) != 0 || fchmod(fd, S_IRUSR | S_IWUSR) != 0)
		return -errno;
	setfsgid(dir.st_gid);
	setfsuid(dir.st_uid);
	rc = bind(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 ? 0 : -errno;
	setfsuid(geteuid());
	setfsgid(getegid());
	return rc;
}

static int
open_listener(const struct id128 *id, int *out)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	cleanup_fd int fd = -1;
	int rc;

	socket_name(id, at.sun_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	rc = bind_as_owner(fd, &at);
	if (rc == 0)
		*out = steal_fd(&fd);
	return rc;
}

static bool
is_user(void)
{
	return spawner.connector == &connector_stub &&
	    (!proc_is_rooted() || (spawner.shell_uid != 0 && spawner.shell_gid != 0));
}

static int
find_ids(uint32_t slot, struct launch_ids *ids)
{
	uint32_t base = proc_config()->session_uid_base;
	uid_t first;

	if (slots_uid(base, slot, &first) != 0 ||
	    slots_holder_uid(base, slot, &ids->holder_uid) != 0)
		return -ERANGE;
	*ids = (struct launch_ids){ .change = proc_is_rooted(),
		.holder_uid = ids->holder_uid,
		.shell_uid = first + 1,
		.shell_gid = (gid_t)first + 1 };
	if (is_user()) {
		ids->shell_uid = spawner.shell_uid;
		ids->shell_gid = spawner.shell_gid;
	}
	return 0;
}

static int
open_pipes(struct making *k)
{
	if (pipe2(k->report, O_CLOEXEC | O_NONBLOCK) != 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, k->init_pair) != 0)
		return -errno;
	return 0;
}

/* The child of a fork, watched. It keeps the report's reading end. 0 or -errno. */
static int
watch_fork(pid_t pid, struct making *k, const struct msg *m)
{
	struct child *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct child){ .session_id = m->u.spawn.session_id,
		.request_id = m->request_id,
		.trace = m->trace,
		.pid = pid,
		.slot = m->u.spawn.slot,
		.report = steal_fd(&k->report[0]),
		.making = true,
		.pidfd = (int)syscall(SYS_pidfd_open, pid, 0) };
	TAILQ_INSERT_TAIL(&spawner.children, c, next);
	spawner.making++;
	if (c->pidfd >= 0 && watch_child(c))
		return 0;
	child_free(c);
	return -EMFILE;
}

static struct init_plan
first_plan(const struct pl_spawn *order)
{
	enum init_owner owner = is_user() ? OWNER_USER : OWNER_NOBODY;

	return (struct init_plan){ .owner = spawner.connector == &connector_sandbox ? OWNER_SANDBOX
										    : owner,
		.session_id = order->session_id,
		.shell = order->shell,
		.cols = order->cols,
		.rows = order->rows,
		.max_sessions = proc_config()->max_sessions };
}

static int
fork_session(struct making *k, const struct launch_ids *ids, const struct msg *m)
{
	struct launch l = { .connector = spawner.connector,
		.holder_filter = spawner.holder_filter,
		.ids = *ids,
		.init = first_plan(&m->u.spawn),
		.null = spawner.null,
		.master = -1,
		.slave = -1,
		.image = spawner.null,
		.slot = spawner.null,
		.order = &m->u.spawn,
		.listener = k->listener,
		.plan = m->fd,
		.report = k->report[1],
		.init_pair = { k->init_pair[0], k->init_pair[1] },
		.holder_exe = spawner.holder_exe,
		.init_exe = spawner.init_exe };
	pid_t pid;
	int rc;

	if (spawner.connector->begin)
		spawner.connector->begin(&m->u.spawn);
	pid = launch_fork(&l);
	if (pid < 0)
		return -errno;
	rc = watch_fork(pid, k, m);
	if (rc != 0) {
		/* Not reaped yet, so the number is still its own; it dies at once. */
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return rc;
}

/* Two sessions of one slot would share their ids, whatever a broker that was broken into asks. */
static bool
slot_is_taken(uint32_t slot)
{
	struct child *c;

	TAILQ_FOREACH(c, &spawner.children, next) {
		if (c->slot == slot && !c->is_killed && !has_exited(c))
			return true;
	}
	return false;
}

static int
check_order(const struct pl_spawn *order, struct launch_ids *ids)
{
	if (spawner.making >= MAKING_MAX)
		return -EAGAIN;
	return slot_is_taken(order->slot) ? -EBUSY : find_ids(order->slot, ids);
}

static int
make_session(const struct msg *m, enum spawn_stage *stage)
{
	struct making k = { .listener = -1, .report = { -1, -1 }, .init_pair = { -1, -1 } };
	struct launch_ids ids;
	int rc;

	*stage = STAGE_PLAN;
	rc = check_order(&m->u.spawn, &ids);
	if (rc == 0) {
		*stage = STAGE_SOCKET;
		rc = open_listener(&m->u.spawn.session_id, &k.listener);
	}
	if (rc == 0) {
		*stage = STAGE_FORK;
		rc = open_pipes(&k);
	}
	if (rc == 0)
		rc = fork_session(&k, &ids, m);
	making_fini(&k);
	return rc;
}

static int
broker_on_session(void *ctx, struct peer *from, struct msg *m)
{
	enum spawn_stage stage;
	int rc = make_session(m, &stage);

	(void)ctx;
	(void)from;
	if (rc != 0)
		send_failure(m->request_id, &m->trace, &m->u.spawn.session_id, stage, -rc);
	return 0;
}

/* --- killing one --- */

static struct child *
child_of(pid_t pid)
{
	struct child *c;

	TAILQ_FOREACH(c, &spawner.children, next) {
		if (c->pid == pid)
			break;
	}
	return c;
}

/*
 * A broker that has been broken into could pass any pidfd. While the process behind it has not
 * been reaped its number is its own, and if it has been, the signal below goes nowhere.
 * Without root all are one user, and the name of an older spawner's holder has to do.
 */
static bool
may_kill(pid_t pid)
{
	char name[32];
	uid_t uid;

	if (!spawner_process_of(pid, &uid, name, sizeof(name)))
		return false;
	if (proc_is_rooted())
		return slots_own_uid(proc_config()->session_uid_base, uid);
	return uid == geteuid() && strcmp(name, "holder") == 0;
}

static int
broker_on_kill(void *ctx, struct peer *from, struct msg *m)
{
	pid_t pid = spawner_pid_of(m->fd);
	struct child *c = child_of(pid);

	(void)ctx;
	(void)from;
	if (pid == 0)
		return 0;
	if (pid < 0 || (!c && !may_kill(pid))) {
		log_warnx("event=kill_refused sid=%s pid=%d", log_id(&m->u.session_id.session_id),
		    pid);
		return -FOG_E_LIAR;
	}
	if (!end_holder(m->fd))
		return 0;
	log_info("event=session_killed sid=%s", log_id(&m->u.session_id.session_id));
	if (c)
		c->is_killed = true;
	return 0;
}

/* --- what is left of one --- */

static void
clean(uint32_t slot)
{
	static const struct timeval soon = { .tv_usec = CLEAN_AGAIN_MS * 1000 };
	int rc;

	slots_release(&spawner.unclean, slot);
	if (!spawner.connector->release || slot_is_taken(slot))
		return; /* whoever has it now has cleaned up */
	rc = spawner.connector->release(slot);
	if (rc == 0)
		return;
	if (rc != -EAGAIN)
		log_warnx("event=release_failed slot=%u detail=\"%s\"", slot, strerrordesc_np(-rc));
	slots_take(&spawner.unclean, slot);
	event_add(spawner.cleaner, &soon);
}

static void
on_cleaner(evutil_socket_t fd, short what, void *arg)
{
	struct slots due = spawner.unclean;

	(void)fd;
	(void)what;
	(void)arg;
	for (uint32_t slot = 0; slot < SESSION_SLOTS; slot++) {
		if (slots_has(&due, slot))
			clean(slot);
	}
}

/* The broker has seen its holder dead. */
static int
broker_on_release(void *ctx, struct peer *from, struct msg *m)
{
	(void)ctx;
	(void)from;
	if (m->u.slot.slot >= SESSION_SLOTS)
		return -FOG_E_LIAR;
	clean(m->u.slot.slot);
	return 0;
}

static int
broker_on_usage(void *ctx, struct peer *from, struct msg *m)
{
	struct pl_stats stats = { .session_id = m->u.slot.session_id };
	unsigned char room[STATS_BYTES];
	struct writer files;

	(void)ctx;
	writer_init(&files, room, sizeof(room));
	if (spawner.connector->stats)
		spawner.connector->stats(m->u.slot.slot, &stats, &files);
	return peer_send(from, MSG_PTY_STATS, m->request_id, &m->trace, &stats, -1);
}

/* --- the role --- */

static unsigned
phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	struct child *c;

	(void)ctx;
	(void)from;
	if (m->request_id == 0)
		return PH_NOTE;
	TAILQ_FOREACH(c, &spawner.children, next) {
		if (c->making && c->request_id == m->request_id)
			return PH_CREATE;
	}
	return PH_NEW;
}

static int
take_program(enum gift gift)
{
	int fd = proc_take_gift(gift);

	if (fd >= 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

static int
spawner_load(void *ctx)
{
	(void)ctx;
	if (strcmp(proc_config()->runtime, "sandbox") == 0)
		spawner.connector = &connector_sandbox;
	spawner.holder_exe = take_program(GIFT_SPAWNER_HOLDER);
	spawner.init_exe = take_program(GIFT_SPAWNER_INIT);
	spawner.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	spawner.holder_filter = filter_export(PROC_HOLDER);
	if (spawner.holder_exe < 0 || spawner.init_exe < 0 || spawner.null < 0 ||
	    spawner.holder_filter < 0) {
		errno = spawner.holder_filter < 0 ? -spawner.holder_filter : errno;
		log_warn("event=start_failed step=\"programs, /dev/null and filters\"");
		return -1;
	}
	spawner.shell_uid = proc_is_rooted() ? proc_config()->stub_shell_uid : getuid();
	spawner.shell_gid = proc_is_rooted() ? proc_config()->stub_shell_gid : getgid();
	return !spawner.connector->start || spawner.connector->start() == 0 ? 0 : -1;
}

static int
spawner_start(void *ctx)
{
	(void)ctx;
	spawner.cleaner = evtimer_new(proc_base(), on_cleaner, NULL);
	return spawner.cleaner ? 0 : -1;
}

/* The broker has gone: what is half-made would be nobody's. */
static void
spawner_edge_down(void *ctx, enum edge edge)
{
	struct child *c;

	(void)ctx;
	(void)edge;
	TAILQ_FOREACH(c, &spawner.children, next) {
		if (c->making)
			fail_making(c, STAGE_HOLDER, ECONNRESET);
	}
}

static void
spawner_stop(void *ctx, bool end_sessions)
{
	(void)end_sessions; /* the broker tells the holders */
	spawner_edge_down(ctx, EDGE_PTY_SPAWN);
}

int
main(void)
{
	static const msg_handler handlers[MSG_COUNT] = {
		[MSG_SPAWN_SESSION] = broker_on_session,
		[MSG_SPAWN_KILL] = broker_on_kill,
		[MSG_SPAWN_RELEASE] = broker_on_release,
		[MSG_SPAWN_USAGE] = broker_on_usage,
	};
	static const struct role role = { .id = PROC_SPAWNER,
		.handlers = handlers,
		.phase_of = phase_of,
		.load = spawner_load,
		.start = spawner_start,
		.edge_down = spawner_edge_down,
		.stop = spawner_stop };

	return proc_main(&role);
}
