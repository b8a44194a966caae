/* SPDX-License-Identifier: MIT */
/*
 * Two floors: raw bytes between TCP and a PTY, without any protocol. relay does it in one process,
 * a write for each read; relay2 in two over a socketpair, of which the one at the PTY reads until
 * EAGAIN before each write. Each terminal has processes of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"
#include "regress/bench/child.h"
#include "regress/bench/link.h"
#include "regress/bench/procstat.h"
#include "regress/bench/terminal.h"

#define PUMP_BYTES 65536
#define PROCESSES_MAX 2
#define END_S 2

struct relay_terminal {
	struct terminal base;
	struct link link;
	pid_t processes[PROCESSES_MAX];
	size_t n;
	char bytes[PUMP_BYTES];
};

/* --- the processes --- */

/* One direction: what has been read and not written. Nothing more is read while that is so. */
struct pump {
	int from, to;
	bool until_eagain;
	size_t at, len;
	char bytes[PUMP_BYTES];
};

/* False: the end of what is pumped from, or it cannot be written on. */
static bool
pump_fill(struct pump *p)
{
	ssize_t n;

	do {
		n = read(p->from, p->bytes + p->len, sizeof(p->bytes) - p->len);
		if (n > 0)
			p->len += (size_t)n;
	} while (n > 0 && p->until_eagain && p->len < sizeof(p->bytes));
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)) || p->len > 0;
}

static bool
pump_drain(struct pump *p)
{
	ssize_t n = write(p->to, p->bytes + p->at, p->len - p->at);

	if (n > 0)
		p->at += (size_t)n;
	if (p->at == p->len)
		p->at = p->len = 0;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Fills as soon as there is something and drains at once: it waits for room only if it must. */
static bool
pump_step(struct pump *p, short from, short to)
{
	if (p->len == 0 && (from & (POLLIN | POLLHUP | POLLERR)) && !pump_fill(p))
		return false;
	if (p->len > p->at && ((from & POLLIN) || (to & (POLLOUT | POLLHUP | POLLERR))))
		return pump_drain(p);
	return true;
}

static short
pump_events(const struct pump *from_here, const struct pump *to_here)
{
	return (short)((from_here->len == 0 ? POLLIN : 0) | (to_here->len > 0 ? POLLOUT : 0));
}

static void
relay(int a, int b, bool until_eagain)
{
	static struct pump there, back;
	struct pollfd fds[2] = { { .fd = a }, { .fd = b } };

	there = (struct pump){ .from = a, .to = b, .until_eagain = until_eagain };
	back = (struct pump){ .from = b, .to = a };
	do {
		fds[0].events = pump_events(&there, &back);
		fds[1].events = pump_events(&back, &there);
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
	} while (pump_step(&there, fds[0].revents, fds[1].revents) &&
	    pump_step(&back, fds[1].revents, fds[0].revents));
}

static bool
set_nonblocking(int fd)
{
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0;
}

/* The PTY of a new shell on one side, whatever other descriptor on the other. */
static _Noreturn void
run_holder(int other, bool until_eagain)
{
	struct winsize size = { .ws_col = 80, .ws_row = 24 };
	int master;
	pid_t shell = forkpty(&master, NULL, NULL, &size);

	if (shell == 0)
		terminal_become_shell();
	if (shell > 0 && set_nonblocking(master) && set_nonblocking(other))
		relay(master, other, until_eagain);
	if (shell > 0) {
		kill(shell, SIGKILL);
		close(master);
		waitpid(shell, NULL, 0);
	}
	_exit(0);
}

static int
accept_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
		_exit(1);
	return fd;
}

static _Noreturn void
run_front(int listener, int holder)
{
	int client = accept_one(listener);

	if (set_nonblocking(holder))
		relay(holder, client, false);
	_exit(0);
}

/* --- the terminal --- */

static int
listen_somewhere(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) != 0 || listen(fd, 1) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &size) != 0)
		bench_fail_errno("listening");
	*port = ntohs(at.sin_port);
	return fd;
}

static struct relay_terminal *
relay_new(const struct terminal_ops *ops)
{
	struct relay_terminal *t = calloc(1, sizeof(*t));

	if (!t)
		bench_fail("out of memory");
	t->base.ops = ops;
	return t;
}

static struct terminal *
relay_open(void)
{
	struct relay_terminal *t = relay_new(&terminal_relay);
	uint16_t port;
	cleanup_fd int listener = listen_somewhere(&port);
	pid_t pid = child_start();

	if (pid == 0)
		run_holder(accept_one(listener), false);
	t->processes[t->n++] = pid;
	link_open(&t->link, port, false);
	return &t->base;
}

static void
start_pair(struct relay_terminal *t, int listener)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		bench_fail_errno("socketpair");
	t->processes[0] = child_start();
	if (t->processes[0] == 0) {
		close(pair[0]);
		run_holder(pair[1], true);
	}
	close(pair[1]);
	t->processes[1] = child_start();
	if (t->processes[1] == 0)
		run_front(listener, pair[0]);
	close(pair[0]);
	t->n = 2;
}

static struct terminal *
relay2_open(void)
{
	struct relay_terminal *t = relay_new(&terminal_relay2);
	uint16_t port;
	cleanup_fd int listener = listen_somewhere(&port);

	start_pair(t, listener);
	link_open(&t->link, port, false);
	return &t->base;
}

static void
relay_type(struct terminal *base, const void *bytes, size_t len)
{
	link_send(&((struct relay_terminal *)base)->link, bytes, len);
}

static struct view
relay_next(struct terminal *base, bool is_counting)
{
	struct relay_terminal *t = (struct relay_terminal *)base;

	(void)is_counting;
	return view_bytes(t->bytes, link_recv(&t->link, t->bytes, sizeof(t->bytes)));
}

static double
relay_cpu_s(struct terminal *base)
{
	const struct relay_terminal *t = (const struct relay_terminal *)base;
	double sum = 0;

	for (size_t i = 0; i < t->n; i++)
		sum += proc_cpu_s(t->processes[i]);
	return sum;
}

static void
relay_close(struct terminal *base)
{
	struct relay_terminal *t = (struct relay_terminal *)base;

	link_close(&t->link);
	for (size_t i = 0; i < t->n; i++)
		child_join(t->processes[i], END_S);
	free(t);
}

const struct terminal_ops terminal_relay = { "relay", relay_open, relay_type, relay_next,
	relay_cpu_s, NULL, relay_close };
const struct terminal_ops terminal_relay2 = { "relay2", relay2_open, relay_type, relay_next,
	relay_cpu_s, NULL, relay_close };
