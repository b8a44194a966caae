/* SPDX-License-Identifier: MIT */
/* Starting a role, wiring its edges, and seeing it end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/mono.h"
#include "common/privdrop.h"
#include "ptyd/fogd.h"

#define CONFIG_RECORD_MAX 32768
#define SAFE_FD 64 /* sources are moved above this before they take their places */

/* Everything one exec needs, prepared before the fork. */
struct birth {
	const struct child *child;
	int log;
	int gifts[GIFT_END];
	char *argv[4];
};

struct child *
child_of(struct fogd *f, enum proc_id id)
{
	FOR_EACH_CHILD(f, c) {
		if (c->program->id == id)
			return c;
	}
	return NULL;
}

/* --- in the child, between fork and exec: no allocation, no lock --- */

static void
die(const char *step)
{
	dprintf(STDERR_FILENO, "error event=start_failed step=\"%s\" error=\"%s\"\n", step,
	    strerrordesc_np(errno));
	_exit(1);
}

/*
 * Two passes, since a source may lie where another gift belongs. dup2 clears close-on-exec. None
 * may be lost: without its certificate gatewayd would do without TLS.
 */
static void
place_gifts(struct birth *b)
{
	for (int i = 0; i < GIFT_END; i++) {
		if (b->gifts[i] >= 0 &&
		    (b->gifts[i] = fcntl(b->gifts[i], F_DUPFD_CLOEXEC, SAFE_FD)) < 0)
			die("descriptors");
	}
	for (int i = GIFT_CONTROL; i < GIFT_END; i++) {
		if (b->gifts[i] < 0)
			close(i);
		else if (dup2(b->gifts[i], i) < 0)
			die("descriptors");
	}
}

static void
place_standard(const struct birth *b)
{
	int null = open("/dev/null", O_RDWR);

	/* The log first: it may be what lies at 1. */
	if (null < 0 || dup2(b->log, 2) < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		die("standard descriptors");
	if (null > 2)
		close(null);
}

static void
become(struct birth *b)
{
	static char *const no_environment[] = { NULL };
	const struct child *c = b->child;
	int exe = fcntl(c->exe_fd, F_DUPFD_CLOEXEC, SAFE_FD);
	sigset_t none;
	const char *step = NULL;

	place_standard(b);
	place_gifts(b);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (c->fogd->rooted)
		step = privdrop_before_exec(c->uid, c->gid,
		    c->program->id == PROC_SPAWNER ? privdrop_spawner_caps
						   : CAP_BIT(CAP_SYS_CHROOT));
	if (step)
		die(step);
	syscall(SYS_execveat, exe, "", b->argv, no_environment, AT_EMPTY_PATH);
	die("exec");
}

/* --- in fogd --- */

static int
config_memfd(struct fogd *f, enum proc_id id)
{
	unsigned char bytes[CONFIG_RECORD_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	if (config_put(&w, &f->config, id) != 0)
		return -1;
	return gifts_sealed("config", bytes, w.len, false);
}

static int
fork_role(struct child *c, struct birth *b)
{
	pid_t pid;

	b->child = c;
	b->argv[0] = (char *)(uintptr_t)c->program->file;
	pid = fork();
	if (pid == 0)
		become(b);
	return pid;
}

/* There is no process any more, and nothing of it is left here. */
static void
forget(struct child *c)
{
	if (c->exited)
		event_free(c->exited);
	c->exited = NULL;
	close_fd(&c->pidfd);
	logpipe_free(c->log);
	c->log = NULL;
	peer_free(c->control);
	c->control = NULL;
	c->pid = 0;
	c->ready = false;
}

static void
on_exited(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	siginfo_t info = { 0 };

	(void)what;
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
		return;
	forget(c);
	fogd_child_ended(c, info.si_status, info.si_code);
}

/* --- the control pair, fogd's end --- */

static int
on_ready(void *ctx, struct peer *from, struct msg *m)
{
	struct child *c = ctx;

	(void)from;
	(void)m;
	if (c->ready)
		return -FOG_E_LIAR;
	c->ready = true;
	fogd_child_ready(c);
	return 0;
}

/* The reporter says that its neighbour on this edge broke the protocol: replace the neighbour. */
static int
on_peer_bad(void *ctx, struct peer *from, struct msg *m)
{
	struct child *c = ctx;
	enum edge edge = (enum edge)m->u.new_peer.edge;
	const struct edge_row *row = &proc_edges[edge];
	enum proc_id other = row->left == c->program->id ? row->right : row->left;

	(void)from;
	if (row->left != c->program->id && row->right != c->program->id)
		return -FOG_E_LIAR;
	/* Replaced meanwhile, or about to be. */
	if (m->u.new_peer.epoch != c->fogd->edge_epochs[edge] || child_of(c->fogd, other)->pid == 0)
		return 0;
	log_warnx("event=peer_bad edge=%s accused=%s by=%s", edge_name(edge), proc_name(other),
	    proc_name(c->program->id));
	child_kill(child_of(c->fogd, other));
	return 0;
}

static int
on_prepared(void *ctx, struct peer *from, struct msg *m)
{
	(void)from;
	return reload_answer(ctx, m->u.prepared.ok);
}

/* An admin's wish (fogctl log verbose): all roles, since what is looked for is seldom in one alone. */
static int
on_set_verbose(void *ctx, struct peer *from, struct msg *m)
{
	struct child *c = ctx;

	(void)from;
	FOR_EACH_CHILD(c->fogd, each)
		peer_send(each->control, MSG_CTL_VERBOSE, 0, NULL, &m->u.verbose, -1);
	return 0;
}

/* EOF comes with the exit, which the pidfd tells; a liar is killed at once. */
static void
on_control_down(void *ctx, struct peer *p, enum peer_down why, const char *detail)
{
	struct child *c = ctx;

	(void)p;
	(void)detail;
	if (why == PEER_GONE)
		return;
	log_warnx("event=peer_bad edge=control accused=%s by=fogd", proc_name(c->program->id));
	child_kill(c);
}

static const msg_handler control_handlers[MSG_COUNT] = {
	[MSG_CTL_READY] = on_ready,
	[MSG_CTL_PEER_BAD] = on_peer_bad,
	[MSG_CTL_PREPARED] = on_prepared,
	[MSG_CTL_SET_VERBOSE] = on_set_verbose,
};
static const struct peer_ops ops = { control_handlers, proc_control_phase, on_control_down };

static int
watch(struct child *c, int control_fd, int log_fd)
{
	struct event_base *base = c->fogd->base;
	struct peer_end end = { .fd = control_fd,
		.edge = EDGE_CONTROL,
		.self = PROC_FOGD,
		.other = c->program->id,
		.way = PEER_BOTH,
		.epoch = 1 };

	c->control = peer_new(base, &end, &ops, c);
	c->log = logpipe_new(base, c->program->file, c->pid, log_fd);
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (!c->control || !c->log || c->pidfd < 0)
		return -1;
	c->exited = event_new(base, c->pidfd, EV_READ | EV_PERSIST, on_exited, c);
	return c->exited ? event_add(c->exited, NULL) : -1;
}

int
child_start(struct child *c)
{
	struct birth b = { 0 };
	int ends[] = { -1, -1, -1, -1 }, *control = ends, *logs = ends + 2;
	int rc = -1;

	memcpy(b.gifts, c->gifts, sizeof(b.gifts));
	b.gifts[GIFT_CONFIG] = config_memfd(c->fogd, c->program->id);
	if (b.gifts[GIFT_CONFIG] >= 0 && pipe2(logs, O_CLOEXEC) == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, control) == 0) {
		b.gifts[GIFT_CONTROL] = control[1];
		b.log = logs[1];
		c->pid = fork_role(c, &b);
		if (c->pid > 0)
			rc = watch(c, steal_fd(&control[0]), steal_fd(&logs[0]));
	}
	if (rc == 0) {
		log_info("event=role_started role=%s pid=%d", proc_name(c->program->id),
		    (int)c->pid);
	} else {
		log_warn("event=role_not_started role=%s", proc_name(c->program->id));
		if (c->pid > 0 && kill(c->pid, SIGKILL) == 0) /* unreaped: the number is its */
			waitpid(c->pid, NULL, 0);
		forget(c);
	}
	close_fd(&b.gifts[GIFT_CONFIG]);
	for (size_t i = 0; i < COUNT_OF(ends); i++)
		close_fd(&ends[i]);
	c->started_mono_ms = mono_ms();
	return rc;
}

/* --- edges --- */

static void
give_end(struct child *c, enum edge edge, uint64_t epoch, int fd)
{
	struct pl_new_peer peer = { .edge = (uint8_t)edge, .epoch = epoch };

	peer_send(c->control, MSG_CTL_NEW_PEER, 0, NULL, &peer, fd);
}

static void
wire(struct fogd *f, enum edge edge)
{
	const struct edge_row *row = &proc_edges[edge];
	struct child *left = child_of(f, row->left), *right = child_of(f, row->right);
	int pair[2];

	if (left->pid == 0 || right->pid == 0)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		log_warn("event=edge_not_made edge=%s", edge_name(edge));
		child_kill(left); /* it is wired again when it has been started again */
		return;
	}
	/* The kernel keeps the direction: the receiver cannot write, whatever it becomes (S8). */
	if (row->one_way)
		shutdown(pair[0], SHUT_WR);
	f->edge_epochs[edge] = ++f->next_epoch;
	give_end(left, edge, f->next_epoch, pair[0]);
	give_end(right, edge, f->next_epoch, pair[1]);
}

void
child_wire_all(struct child *c)
{
	for (int edge = EDGE_CONTROL + 1; edge < EDGE_COUNT; edge++) {
		if (proc_edges[edge].left == c->program->id ||
		    proc_edges[edge].right == c->program->id)
			wire(c->fogd, (enum edge)edge);
	}
}

void
child_kill(struct child *c)
{
	if (c->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
}

/* `fogd -n` and `-T`: the one parser of that file, dropped as when it serves, says what it is. */
int
child_run_check(struct fogd *f, enum proc_id id, const char *option, const char *argument,
    enum gift gift, int out)
{
	struct child *c = child_of(f, id);
	struct birth b = { .log = out,
		.argv = { NULL, (char *)(uintptr_t)option, (char *)(uintptr_t)argument } };
	siginfo_t info = { 0 };
	pid_t pid;

	memset(b.gifts, -1, sizeof(b.gifts));
	b.gifts[GIFT_OWN] = c->gifts[gift];
	pid = fork_role(c, &b);
	if (pid <= 0 || waitid(P_PID, (id_t)pid, &info, WEXITED) != 0)
		return -1;
	return info.si_code == CLD_EXITED && info.si_status == 0 ? 0 : -1;
}
