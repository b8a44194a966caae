/* SPDX-License-Identifier: MIT */
/*
 * The network of sessions by itself, for the tests and for measuring. In the network namespace
 * that it is started in:
 * links: ptyd/egress.c ptyd/egress_link.c
 *
 *   egress_probe prepare
 *   egress_probe session SLOT [RULE…]   a process in a network namespace of its own, with these rules;
 *                                       says "PID LINK_US ENTER_US" and stays until its input ends
 *   egress_probe unlink SLOT
 *   egress_probe denied SLOT
 *   egress_probe sweep [SLOT…]          all but these
 *   egress_probe ping ADDRESS           an ICMP echo to an IPv4 address: "ok", or the errno by name
 *
 * NETWORK and NETWORK6 in the environment stand for the configuration's. Exits with 1 and the errno by
 * name on failure.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/egress_denied.h"
#include "common/session.h"
#include "ptyd/egress.h"

static struct egress_net net;

static int
fail(int rc)
{
	const char *name = strerrorname_np(-rc);

	fprintf(stderr, "%s\n", name ? name : "?");
	return 1;
}

static int
result(int rc)
{
	return rc == 0 ? 0 : fail(rc);
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint32_t
slot_of(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 10);
}

struct session {
	uint32_t slot;
	struct egress_rule rules[EGRESS_RULES_MAX];
	unsigned count;
	int up[2], down[2]; /* a byte each way; the session keeps up[1] and down[0] */
};

/* In the session: its namespaces, then what egress_enter does, in how many microseconds. */
static _Noreturn void
be_session(const struct session *s)
{
	int64_t answer = unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 0 : -errno;
	uint64_t from;
	char go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(s->up[0]);
	close(s->down[1]);
	if (write(s->up[1], &answer, sizeof(answer)) != sizeof(answer) ||
	    read(s->down[0], &go, 1) != 1)
		_exit(1);
	from = now_us();
	answer = egress_enter(&net, s->slot, s->rules, s->count);
	if (answer == 0)
		answer = (int64_t)(now_us() - from);
	if (write(s->up[1], &answer, sizeof(answer)) != sizeof(answer))
		_exit(1);
	while (read(s->down[0], &go, 1) > 0)
		;
	_exit(0);
}

static int64_t
answer_of(const struct session *s)
{
	int64_t answer;

	return read(s->up[0], &answer, sizeof(answer)) == sizeof(answer) ? answer : -EPIPE;
}

static int
hold_session(struct session *s, pid_t pid)
{
	uint64_t from;
	int64_t entered = answer_of(s);
	int rc;
	char byte;

	if (entered < 0)
		return (int)entered;
	from = now_us();
	rc = egress_link(&net, s->slot, pid, s->rules, s->count);
	from = now_us() - from;
	if (rc != 0)
		return rc;
	entered = write(s->down[1], "", 1) == 1 ? answer_of(s) : -EPIPE;
	if (entered < 0)
		return (int)entered;
	printf("%d %" PRIu64 " %" PRId64 "\n", (int)pid, from, entered);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

static int
run_session(int argc, char **argv)
{
	struct session s = { .slot = slot_of(argv[0]) };
	pid_t pid;
	int rc;

	for (int i = 1; i < argc && s.count < EGRESS_RULES_MAX; i++) {
		const char *wrong = egress_parse(argv[i], &s.rules[s.count++]);

		if (wrong) {
			fprintf(stderr, "%s: %s\n", argv[i], wrong);
			return 1;
		}
	}
	if (pipe(s.up) != 0 || pipe(s.down) != 0 || (pid = fork()) < 0)
		return fail(-errno);
	if (pid == 0)
		be_session(&s);
	close(s.up[1]);
	close(s.down[0]);
	rc = hold_session(&s, pid);
	close(s.down[1]);
	waitpid(pid, NULL, 0);
	return result(rc);
}

/* What the session's own counter says. */
static int
print_denied(uint32_t slot)
{
	uint64_t packets;
	int rc = egress_denied(slot, &packets);

	if (rc == 0)
		printf("%" PRIu64 "\n", packets);
	return result(rc);
}

static bool
is_kept(void *ctx, uint32_t slot)
{
	for (char **a = ctx; *a; a++) {
		if (slot_of(*a) == slot)
			return true;
	}
	return false;
}

/* A raw socket gets the IP header too. What is refused comes as an error of the socket. */
static int
ping(const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address) };
	/* Type 8, code 0, the checksum of that, id 0x464f, sequence 0. */
	static const unsigned char echo[] = { 8, 0, 0xb1, 0xb0, 0x46, 0x4f, 0, 0 };
	cleanup_fd int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	unsigned char reply[128];
	struct timeval wait = { .tv_sec = 1 };

	if (fd < 0 || setsockopt(fd, SOL_IP, IP_RECVERR, &(int){ 1 }, sizeof(int)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
	    send(fd, echo, sizeof(echo), 0) != sizeof(echo))
		return fail(-errno);
	for (;;) {
		ssize_t n = recv(fd, reply, sizeof(reply), 0);

		if (n < 0)
			return fail(-errno);
		if (n >= 28 && reply[20] == 0 && memcmp(reply + 24, echo + 4, 4) == 0)
			return puts("ok") < 0;
	}
}

static const char *
or_else(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return value ? value : fallback;
}

int
main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	const char *wrong = egress_net_parse(or_else("NETWORK", "100.127.224.0/19"),
	    or_else("NETWORK6", "fd66:6f67:5e55::/112"), &net);

	if (wrong) {
		fprintf(stderr, "%s\n", wrong);
		return 1;
	}
	if (strcmp(verb, "prepare") == 0)
		return result(egress_host_prepare(&net));
	if (strcmp(verb, "sweep") == 0)
		return result(egress_sweep(&net, is_kept, argv + 2));
	if (argc > 2 && strcmp(verb, "session") == 0)
		return run_session(argc - 2, argv + 2);
	if (argc > 2 && strcmp(verb, "unlink") == 0)
		return result(egress_unlink(&net, slot_of(argv[2])));
	if (argc > 2 && strcmp(verb, "denied") == 0)
		return print_denied(slot_of(argv[2]));
	if (argc > 2 && strcmp(verb, "ping") == 0)
		return ping(argv[2]);
	fprintf(stderr, "usage: egress_probe prepare|session|unlink|denied|sweep|ping …\n");
	return 1;
}
