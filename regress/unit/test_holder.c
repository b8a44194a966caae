/* SPDX-License-Identifier: MIT */
/*
 * A real holder with a real init and shell, started by ptyd/launch.c as the spawner does it; the
 * test plays broker and gatewayd. As root with ids of a session's own, otherwise as it is.
 * links: ptyd/launch.c ptyd/connector_stub.c ptyd/shellfilter.c ptyd/pty.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/mono.h"
#include "common/msg.h"
#include "common/secret.h"
#include "common/stream.h"
#include "ptyd/connector.h"
#include "ptyd/pty.h"
#include "ptyd/shellfilter.h"
#include "regress/unit/wire.h"

#define WAIT_MS WIRE_WAIT_MS
#define SESSION_UID 1879048192u
#define RING_BYTES 262144
#define OUT_MAX (8u << 20)

/* One session with both of its sides in the test's hands. */
struct session {
	struct id128 id;
	char id_text[ID_TEXT_SIZE];
	struct raw32 nonce, broker_nonce;
	uint32_t ttl_seconds;
	pid_t pid;
	struct wire broker;
};

struct stream {
	int fd;
	size_t len;
	unsigned char bytes[2 * STREAM_FRAME_MAX];
	struct stream_hello hello;
	struct stream_exit exit;
	bool has_exit;
	unsigned status;
	uint64_t answer;
	size_t out_len;
	char *out; /* OUT_MAX */
};

static char folder[] = "/tmp/fog-holder-XXXXXX";
static int holder_exe, init_exe;
static struct sock_fprog filter;

/* --- making one --- */

static int
sealed_plan(const struct session *s)
{
	struct pl_holder_plan p = { .session_id = s->id,
		.profile = view_of("default"),
		.status = STATUS_STARTING,
		.created_s = 1,
		.expires_s = 1234567890,
		.node = view_of("here"),
		.region = view_of("local"),
		.tier = TIER_FOG,
		.placement_reason = view_of("only_node"),
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.idem_key = view_of("key"),
		.idem_hash = 42,
		.nonce = s->nonce,
		.slot = 5,
		.broker_nonce = s->broker_nonce,
		.broker_uid = geteuid(),
		.ttl_seconds = s->ttl_seconds,
		.ring_bytes = RING_BYTES };
	unsigned char bytes[4096];
	struct writer w;
	int fd = memfd_create("plan", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	writer_init(&w, bytes, sizeof(bytes));
	assert_int_equal(codec_put(&w, &msg_layouts[PAYLOAD_holder_plan], &p, NULL), 0);
	assert_int_equal(write(fd, bytes, w.len), (ssize_t)w.len);
	assert_int_equal(fcntl(fd, F_ADD_SEALS,
			     F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
	    0);
	return fd;
}

static struct sockaddr_un
address_of(const struct session *s)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s.sock", folder, s->id_text);
	return at;
}

static int
bound_socket(const struct session *s)
{
	struct sockaddr_un at = address_of(s);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void
start_session(struct session *s, uint32_t ttl_seconds)
{
	struct pty pty = PTY_EMPTY;
	struct launch l = { .connector = &connector_stub,
		.filter = &filter,
		.holder_filter = filter_export(PROC_HOLDER),
		.ids = { geteuid() == 0, SESSION_UID, SESSION_UID + 1, SESSION_UID, SESSION_UID + 1,
		    "/tmp", "session" },
		.holder_exe = holder_exe,
		.init_exe = init_exe };
	int report[2];
	char b[REPORT_BYTES];

	*s = (struct session){ .ttl_seconds = ttl_seconds, .broker.fd = -1 };
	assert_int_equal(id_session_new(1, &s->id), 0);
	id_format(&s->id, s->id_text);
	l.session_id = s->id_text;
	assert_int_equal(secret_random(&s->nonce, sizeof(s->nonce)), 0);
	assert_int_equal(secret_random(&s->broker_nonce, sizeof(s->broker_nonce)), 0);
	assert_int_equal(pty_open(&pty, 80, 24), 0);
	if (l.ids.change)
		assert_int_equal(pty_give(&pty, l.ids.shell_uid, l.ids.shell_gid), 0);
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, l.init_pair), 0);
	l.master = pty.master;
	l.slave = pty.slave;
	l.listener = bound_socket(s);
	l.plan = sealed_plan(s);
	l.report = report[1];
	l.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	s->pid = launch_fork(&l);
	assert_true(s->pid > 0);
	pty_close(&pty);
	close(l.listener);
	close(l.plan);
	close(l.null);
	close(l.holder_filter);
	close(l.init_pair[0]);
	close(l.init_pair[1]);
	close(report[1]);
	assert_int_equal(read(report[0], b, sizeof(b)), 0);
	close(report[0]);
}

/* --- the broker's side --- */

/* The next record of this type; log lines and others between are passed over. */
static void
expect(struct session *s, enum msg_type type)
{
	assert_true(wire_expect(&s->broker, type));
}

static int
connect_broker(const struct session *s)
{
	struct sockaddr_un at = address_of(s);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	wire_hello(&(struct wire){ .fd = fd }, 1);
	return fd;
}

static void
say_nonce(const struct session *s)
{
	struct pl_nonce nonce = { s->id, s->broker_nonce };

	assert_true(wire_send(&s->broker, MSG_HOLD_HELLO, 0, &nonce, -1));
}

static void
join(struct session *s)
{
	close_fd(&s->broker.fd);
	s->broker.fd = connect_broker(s);
	say_nonce(s);
	expect(s, MSG_PTY_HOLDER_HELLO);
	assert_memory_equal(&s->broker.m.u.holder_hello.nonce, &s->nonce, sizeof(s->nonce));
	assert_true(id_equal(&s->broker.m.u.holder_hello.session_id, &s->id));
	assert_true(view_is(s->broker.m.u.holder_hello.subject, "alice"));
	assert_int_equal(s->broker.m.u.holder_hello.slot, 5);
}

static struct pl_grant
new_grant(const struct session *s)
{
	struct pl_grant g = { .session_id = s->id,
		.role = ROLE_DRIVER,
		.token_expires_boot_ms = boot_ms() + 60000 };

	assert_int_equal(id_random(&g.token_id), 0);
	return g;
}

static void
assert_refused(struct session *s, const struct pl_grant *g, int error)
{
	assert_true(wire_send(&s->broker, MSG_HOLD_ATTACH, 77, g, -1));
	do {
		assert_int_equal(wire_receive(&s->broker, WAIT_MS), 1);
		assert_int_not_equal(s->broker.m.type, MSG_PTY_HOLDER_STREAM);
	} while (s->broker.m.type != MSG_PTY_HOLDER_REFUSED);
	assert_int_equal(s->broker.m.request_id, 77);
	assert_int_equal(s->broker.m.u.refused.error, error);
}

static void
expect_state(struct session *s, unsigned status)
{
	do {
		expect(s, MSG_PTY_HOLDER_STATE);
	} while (s->broker.m.u.state.status != status);
}

/* How many processes there are with the session's id in their environment. */
static int
processes_of(const struct session *s)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int found = 0;

	while ((e = readdir(d))) {
		char path[300], env[4096];
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/environ", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, env, sizeof(env));
		close(fd);
		found += n > 0 && memmem(env, (size_t)n, s->id_text, ID_TEXT_SIZE - 1) != NULL;
	}
	closedir(d);
	return found;
}

/* Acknowledges the end and sees the holder go, with everything that was the session's. */
static void
finish(struct session *s)
{
	struct pl_session_id id = { s->id };
	struct sockaddr_un at = address_of(s);
	int status;

	assert_true(wire_send(&s->broker, MSG_HOLD_STATE_KEPT, 0, &id, -1));
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(processes_of(s), 0);
	close_fd(&s->broker.fd);
	unlink(at.sun_path);
}

static void
end_and_finish(struct session *s)
{
	struct pl_end end = { s->id, END_REQUEST };

	assert_true(wire_send(&s->broker, MSG_HOLD_END, 0, &end, -1));
	expect_state(s, STATUS_TERMINATED);
	assert_int_equal(s->broker.m.u.state.end_reason, END_REQUEST);
	finish(s);
}

/* --- the client's side --- */

static void
stream_free(struct stream *t)
{
	close_fd(&t->fd);
	free(t->out);
	free(t);
}

static void
take_frame(struct stream *t, const struct stream_msg *m)
{
	assert_false(t->has_exit); /* nothing follows it */
	switch (m->type) {
	case STREAM_OUTPUT:
		assert_true(t->out_len + m->u.output.bytes.len < OUT_MAX);
		memcpy(t->out + t->out_len, m->u.output.bytes.p, m->u.output.bytes.len);
		t->out_len += m->u.output.bytes.len;
		t->out[t->out_len] = '\0';
		break;
	case STREAM_HELLO:
		t->hello = m->u.hello;
		break;
	case STREAM_EXIT:
		t->exit = m->u.exit;
		t->has_exit = true;
		break;
	case STREAM_STATUS:
		t->status = m->u.status.state;
		break;
	default:
		t->answer = m->u.answer.value;
		break;
	}
}

/* Waits for more and takes all whole frames; false at the end of the stream. */
static bool
stream_step(struct stream *t, int ms)
{
	struct stream_msg m;
	size_t used;
	ssize_t n;

	assert_true(wire_wait(t->fd, ms));
	n = read(t->fd, t->bytes + t->len, sizeof(t->bytes) - t->len);
	if (n <= 0)
		return false;
	t->len += (size_t)n;
	while (stream_next(t->bytes, t->len, PROC_HOLDER, &m, &used) == 1) {
		take_frame(t, &m);
		memmove(t->bytes, t->bytes + used, t->len - used);
		t->len -= used;
	}
	return true;
}

static struct stream *
attach_at(struct session *s, const struct pl_grant *g)
{
	struct stream *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	assert_true(wire_send(&s->broker, MSG_HOLD_ATTACH, 76, g, -1));
	expect(s, MSG_PTY_HOLDER_STREAM);
	assert_int_equal(s->broker.m.request_id, 76);
	t->fd = s->broker.m.fd;
	t->out = calloc(1, OUT_MAX);
	assert_non_null(t->out);
	while (t->hello.cols == 0)
		assert_true(stream_step(t, WAIT_MS));
	return t;
}

static struct stream *
attach(struct session *s)
{
	struct pl_grant g = new_grant(s);

	return attach_at(s, &g);
}

static void
put_frame(struct stream *t, enum stream_type type, const void *payload)
{
	static unsigned char bytes[STREAM_FRAME_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	assert_int_equal(stream_put(&w, type, payload), 0);
	for (size_t at = 0; at < w.len;) {
		struct pollfd p = { .fd = t->fd, .events = POLLOUT };
		ssize_t n;

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		n = send(t->fd, bytes + at, w.len - at, MSG_NOSIGNAL);
		assert_true(n > 0 || errno == EAGAIN);
		at += n > 0 ? (size_t)n : 0;
	}
}

static void
type_at(struct stream *t, uint64_t offset, const char *text)
{
	struct stream_input in = { offset, view_of(text) };

	put_frame(t, STREAM_INPUT, &in);
}

static void
type(struct stream *t, const char *text)
{
	type_at(t, t->hello.in_next, text);
	t->hello.in_next += strlen(text);
}

static void
await_text(struct stream *t, const char *text)
{
	while (!strstr(t->out, text))
		assert_true(stream_step(t, WAIT_MS));
}

static void
await_end(struct stream *t)
{
	while (stream_step(t, WAIT_MS))
		;
}

static size_t
count_text(const char *in, const char *what)
{
	size_t n = 0;

	for (const char *at = in; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

/* --- tests --- */

static void
test_shell(void **state)
{
	struct session s;
	struct stream *t;
	struct stream_resize size = { 132, 43 };
	struct stream_probe probe = { 0x1234567890abcdef };

	(void)state;
	start_session(&s, 600);
	join(&s);
	assert_int_equal(s.broker.m.u.holder_hello.status, STATUS_DETACHED);
	t = attach(&s);
	assert_int_equal(t->hello.cols, 80);
	assert_int_equal(t->hello.role, ROLE_DRIVER);
	assert_true(t->hello.expires_s == 1234567890);
	type(t, "echo $((6*7)) $TERM $HOME $FOG_SESSION_ID\n");
	await_text(t, "42 xterm-256color /tmp");
	await_text(t, s.id_text);
	put_frame(t, STREAM_RESIZE, &size);
	type(t, "stty size\n");
	await_text(t, "43 132");
	put_frame(t, STREAM_PROBE, &probe);
	while (t->answer == 0)
		assert_true(stream_step(t, WAIT_MS));
	assert_true(t->answer == probe.value);
	type(t, "exit 3\n");
	await_end(t);
	assert_true(t->has_exit);
	assert_int_equal(t->exit.exit_kind, EXIT_CODE);
	assert_int_equal(t->exit.exit_value, 3);
	assert_int_equal(t->exit.end_reason, END_EXIT);
	expect_state(&s, STATUS_EXITED);
	assert_int_equal(s.broker.m.u.state.exit_value, 3);
	stream_free(t);
	finish(&s);
}

static void
assert_status(pid_t pid, const char *key, const char *value)
{
	char path[64], text[4096] = "", wanted[64];
	cleanup_fd int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	snprintf(wanted, sizeof(wanted), "\n%s:\t%s", key, value);
	assert_non_null(strstr(text, wanted));
}

static void
test_privilege(void **state)
{
	static const char no_caps[] = "0000000000000000";
	char uid[64], path[64];
	struct session s;
	struct dirent *e;
	unsigned fds = 0;
	DIR *d;

	(void)state;
	start_session(&s, 600);
	join(&s);
	assert_status(s.pid, "NoNewPrivs", "1");
	assert_status(s.pid, "CapEff", no_caps);
	assert_status(s.pid, "CapPrm", no_caps);
	if (filter_is_built())
		assert_status(s.pid, "Seccomp", "2");
	if (geteuid() == 0) {
		assert_status(s.pid, "CapBnd", no_caps);
		snprintf(uid, sizeof(uid), "%u\t%u\t%u\t%u", SESSION_UID, SESSION_UID, SESSION_UID,
		    SESSION_UID);
		assert_status(s.pid, "Uid", uid);
		snprintf(path, sizeof(path), "/proc/%d/fd", s.pid);
		d = opendir(path);
		while ((e = readdir(d)))
			fds += e->d_name[0] != '.';
		closedir(d);
		/* 0 1 2, master, listener, init, its pidfd, broker, libevent's epoll and pair. */
		assert_int_equal(fds, 11);
	}
	end_and_finish(&s);
}

/* What the shell may not do is answered with an errno, and it goes on. */
static void
test_shell_is_confined(void **state)
{
	struct session s;
	struct stream *t;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	type(t,
	    "grep -E 'NoNewPrivs|Seccomp:|CapEff|CapBnd' /proc/self/status; echo fds $(ls /proc/self/fd)\n");
	await_text(t, "NoNewPrivs:\t1");
	await_text(t, "Seccomp:\t2");
	await_text(t, "CapEff:\t0000000000000000");
	await_text(t, "fds 0 1 2 3\r\n"); /* 3: the directory that ls reads */
	type(t, "unshare -U true; echo status $?; id -u\n");
	await_text(t, "unshare failed: Operation not permitted");
	await_text(t, "status 1");
	if (geteuid() == 0)
		await_text(t, "1879048193");
	stream_free(t);
	end_and_finish(&s);
}

static void
test_input_once(void **state)
{
	struct session s;
	struct stream *t;
	uint64_t at;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	at = t->hello.in_next;
	type(t, "echo on\"\"ce\n");
	await_text(t, "once\r\n");
	type_at(t, at, "echo on\"\"ce\n");
	type_at(t, at, "echo on\"\"ce\necho th\"\"en\n");
	await_text(t, "then\r\n");
	assert_int_equal(count_text(t->out, "once\r\n"), 1);
	/* Bytes are missing before this: refused, and the session goes on. */
	type_at(t, at + 1000, "echo never\n");
	await_end(t);
	assert_int_equal(t->status, STREAM_STATE_BAD_INPUT);
	stream_free(t);
	expect_state(&s, STATUS_DETACHED);
	t = attach(&s);
	assert_true(t->hello.in_next == at + strlen("echo on\"\"ce\necho th\"\"en\n"));
	await_text(t, "then\r\n");
	assert_null(strstr(t->out, "never"));
	stream_free(t);
	end_and_finish(&s);
}

static void
test_tokens(void **state)
{
	struct session s;
	struct stream *t;
	struct pl_grant g, other;

	(void)state;
	start_session(&s, 600);
	join(&s);
	g = new_grant(&s);
	t = attach_at(&s, &g);
	assert_refused(&s, &g, FOG_E_USED_ATTACH_TOKEN);
	other = new_grant(&s);
	other.role = ROLE_VIEWER;
	assert_refused(&s, &other, FOG_E_ROLE);
	other = new_grant(&s);
	other.token_expires_boot_ms = boot_ms();
	assert_refused(&s, &other, FOG_E_BAD_ATTACH_TOKEN);
	other = new_grant(&s);
	other.has_out = 1;
	other.out_from = UINT64_MAX;
	assert_refused(&s, &other, FOG_E_OFFSET);
	other = new_grant(&s);
	other.session_id.b[15] ^= 1;
	assert_refused(&s, &other, FOG_E_NO_SESSION);
	type(t, "echo al\"\"ive\n");
	await_text(t, "alive\r\n");
	stream_free(t);
	end_and_finish(&s);
}

static void
test_resume_and_take_over(void **state)
{
	struct session s;
	struct stream *first, *second;
	struct pl_grant g;
	uint64_t cut;

	(void)state;
	start_session(&s, 600);
	join(&s);
	first = attach(&s);
	type(first, "for i in $(seq 2000); do echo line $i; done; echo do\"\"ne\n");
	await_text(first, "line 100\r\n");
	cut = (uint64_t)(strstr(first->out, "line 100\r\n") - first->out);
	g = new_grant(&s);
	g.has_out = 1;
	g.out_from = cut;
	second = attach_at(&s, &g);
	assert_true(second->hello.out_from == cut);
	assert_true(second->hello.out_lost == 0);
	await_text(second, "done\r\n");
	await_end(first);
	assert_int_equal(first->status, STREAM_STATE_TAKEN_OVER);
	/* Both saw one stream: what the second got continues the first at the cut. */
	assert_true(first->out_len >= cut);
	assert_memory_equal(first->out + cut, second->out, first->out_len - cut);
	assert_int_equal(count_text(second->out, "line 2000\r\n"), 1);
	stream_free(first);
	stream_free(second);
	expect_state(&s, STATUS_DETACHED);
	end_and_finish(&s);
}

/* More than the ring while nobody is there: the last of it is kept and the loss is told. */
static void
test_ring_overwrites(void **state)
{
	struct session s;
	struct stream *t;
	struct pl_grant g;
	uint64_t deadline = mono_ms() + WAIT_MS;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	type(t, "sleep 0.3; seq 100000; echo do\"\"ne\n");
	do {
		stream_free(t);
		poll(NULL, 0, 100);
		g = new_grant(&s);
		g.has_out = 1;
		t = attach_at(&s, &g);
	} while (t->hello.out_lost == 0 && mono_ms() < deadline);
	assert_true(t->hello.out_lost > 0);
	assert_true(t->hello.out_from == t->hello.out_lost);
	await_text(t, "done\r\n");
	assert_non_null(strstr(t->out, "\n100000\r\n"));
	stream_free(t);
	end_and_finish(&s);
}

/* All that was written before the exit arrives, before the exit, at a slow reader. */
static void
test_drain_before_exit(void **state)
{
	struct session s;
	struct stream *t;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	type(t, "stty -onlcr; exec sh -c 'seq 200000; exit 7'\n");
	await_text(t, "\n1000\n");
	poll(NULL, 0, 500);
	await_end(t);
	assert_true(t->has_exit);
	assert_int_equal(t->exit.exit_value, 7);
	assert_non_null(strstr(t->out, "\n199999\n200000\n"));
	assert_int_equal(count_text(t->out, "\n150000\n"), 1);
	expect_state(&s, STATUS_EXITED);
	stream_free(t);
	finish(&s);
}

/* ^C gets through while the client reads nothing: the program waits, the ring is bounded. */
static void
test_interrupt_flood(void **state)
{
	struct session s;
	struct stream *t;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	type(t, "yes flood\n");
	await_text(t, "flood\r\nflood\r\n");
	poll(NULL, 0, 300);
	type(t, "\003");
	type(t, "echo st\"\"opped\n");
	await_text(t, "stopped\r\n");
	assert_true(t->out_len < 6u << 20);
	stream_free(t);
	end_and_finish(&s);
}

static void
test_big_input(void **state)
{
	enum { LINES = 4000 };
	static char text[LINES * 64];
	struct session s;
	struct stream *t;
	size_t len = 0;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	type(t, "stty -echo; wc -c; echo co\"\"unted\n");
	poll(NULL, 0, 200);
	for (int i = 0; i < LINES; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%040d\n", i);
	for (size_t at = 0; at < len;) {
		size_t n = len - at < STREAM_DATA_MAX ? len - at : STREAM_DATA_MAX;
		struct stream_input in = { t->hello.in_next, view_bytes(text + at, n) };

		put_frame(t, STREAM_INPUT, &in);
		t->hello.in_next += n;
		at += n;
	}
	type(t, "\004");
	await_text(t, "164000\r\n");
	await_text(t, "counted\r\n");
	stream_free(t);
	end_and_finish(&s);
}

static void
test_ttl(void **state)
{
	struct session s;
	struct stream *t;
	uint64_t start = mono_ms();

	(void)state;
	start_session(&s, 1);
	join(&s);
	t = attach(&s);
	type(t, "trap '' HUP TERM; (trap '' HUP TERM; sleep 1000) & sleep 1000\n");
	await_end(t);
	assert_in_range(mono_ms() - start, 900, 5000);
	assert_int_equal(t->status, STREAM_STATE_EXPIRING);
	assert_true(t->has_exit);
	assert_int_equal(t->exit.end_reason, END_TTL);
	assert_int_equal(t->exit.exit_kind, EXIT_SIGNAL);
	assert_int_equal(t->exit.exit_value, SIGKILL);
	expect_state(&s, STATUS_EXPIRED);
	assert_refused(&s,
	    &(struct pl_grant){ .session_id = s.id,
		.role = ROLE_DRIVER,
		.token_expires_boot_ms = boot_ms() + 1000 },
	    FOG_E_SESSION_ENDED);
	stream_free(t);
	finish(&s);
}

/* Without any broker the terminal goes on; one with the wrong nonce changes nothing. */
static void
test_brokers(void **state)
{
	struct session s;
	struct stream *t;
	struct pl_nonce wrong;
	char b[64];
	int liar;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	close_fd(&s.broker.fd);
	type(t, "echo with\"\"out\n");
	await_text(t, "without\r\n");
	join(&s);
	assert_int_equal(s.broker.m.u.holder_hello.status, STATUS_RUNNING);
	liar = connect_broker(&s);
	wrong = (struct pl_nonce){ s.id, s.broker_nonce };
	wrong.nonce.b[31] ^= 1;
	wire_send(&(struct wire){ .fd = liar }, MSG_HOLD_HELLO, 0, &wrong, -1);
	while (read(liar, b, sizeof(b)) > 0)
		;
	close(liar);
	/* Nor does one that asks before it has shown the nonce. */
	liar = connect_broker(&s);
	wire_send(&(struct wire){ .fd = liar }, MSG_HOLD_END, 0,
	    &(struct pl_end){ s.id, END_REQUEST }, -1);
	while (read(liar, b, sizeof(b)) > 0)
		;
	close(liar);
	type(t, "echo st\"\"ill\n");
	await_text(t, "still\r\n");
	stream_free(t);
	expect_state(&s, STATUS_DETACHED);
	end_and_finish(&s);
}

/* The end waits in the holder for a broker that comes later. */
static void
test_end_without_broker(void **state)
{
	struct session s;
	struct stream *t;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	close_fd(&s.broker.fd);
	type(t, "kill -9 $$\n");
	await_end(t);
	assert_int_equal(t->exit.exit_kind, EXIT_SIGNAL);
	assert_int_equal(t->exit.exit_value, SIGKILL);
	stream_free(t);
	join(&s);
	assert_int_equal(s.broker.m.u.holder_hello.status, STATUS_EXITED);
	assert_int_equal(s.broker.m.u.holder_hello.exit_kind, EXIT_SIGNAL);
	finish(&s);
}

/* A killed holder takes its session along. */
static void
test_killed_holder(void **state)
{
	struct session s;
	struct stream *t;
	int left = 1;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	type(t, "trap '' HUP TERM; sleep 1000 & echo st\"\"arted\n");
	await_text(t, "started");
	/* One in the middle of its exec has no environment to be seen. */
	for (int i = 0; i < 200 && processes_of(&s) < 2; i++)
		poll(NULL, 0, 20);
	assert_true(processes_of(&s) >= 2);
	assert_int_equal(connector_stub.terminate(-1), -EBADF);
	kill(s.pid, SIGKILL);
	assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
	for (int i = 0; i < 200 && left > 0; i++) {
		left = processes_of(&s);
		poll(NULL, 0, 20);
	}
	assert_int_equal(left, 0);
	stream_free(t);
	close_fd(&s.broker.fd);
	unlink(address_of(&s).sun_path);
}

/* Garbage on the stream ends the stream alone. */
static void
test_bad_frames(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t len;
	} rows[] = {
		{ "no type", "\0\0\0\0", 4 },
		{ "too long", "\0\2\0\0i", 5 },
		{ "unknown type", "\0\0\0\1Z", 5 },
		{ "the other side's", "\0\0\0\2oX", 6 },
		{ "no columns", "\0\0\0\5r\0\0\0\1", 9 },
		{ "left over", "\0\0\0\6r\0\1\0\1\1", 10 },
		{ "ack of the future", "\0\0\0\11a\177\0\0\0\0\0\0\0", 13 },
	};
	struct session s;
	struct stream *t;

	(void)state;
	start_session(&s, 600);
	join(&s);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("%s\n", rows[i].name);
		t = attach(&s);
		assert_int_equal(send(t->fd, rows[i].bytes, rows[i].len, MSG_NOSIGNAL),
		    (ssize_t)rows[i].len);
		await_end(t);
		stream_free(t);
	}
	t = attach(&s);
	type(t, "echo al\"\"ive\n");
	await_text(t, "alive\r\n");
	stream_free(t);
	end_and_finish(&s);
}

/* --- the group --- */

static int
open_program(const char *name, int flags)
{
	char path[PATH_MAX], program[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return -1;
	path[n] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	snprintf(program, sizeof(program), "%s/libexec/cloudshell-fog/%s", path, name);
	return open(program, flags | O_CLOEXEC);
}

static int
set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	holder_exe = open_program("holder", O_PATH);
	init_exe = open_program("session-init", O_PATH);
	if (holder_exe < 0 || init_exe < 0)
		fail_msg("build holder and session-init first: make programs");
	assert_non_null(mkdtemp(folder));
	return shellfilter_build(&filter);
}

static int
tear_down(void **state)
{
	(void)state;
	shellfilter_free(&filter);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shell),
		cmocka_unit_test(test_privilege),
		cmocka_unit_test(test_shell_is_confined),
		cmocka_unit_test(test_input_once),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_resume_and_take_over),
		cmocka_unit_test(test_ring_overwrites),
		cmocka_unit_test(test_drain_before_exit),
		cmocka_unit_test(test_interrupt_flood),
		cmocka_unit_test(test_big_input),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_brokers),
		cmocka_unit_test(test_end_without_broker),
		cmocka_unit_test(test_killed_holder),
		cmocka_unit_test(test_bad_frames),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
