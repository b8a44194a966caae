/* SPDX-License-Identifier: MIT */
/*
 * A real holder with a real init and shell for tests, started by ptyd/launch.c as the spawner does
 * it; the test plays broker and gatewayd. As root with ids of a session's own, otherwise as it is.
 * A test that includes it links ptyd/launch.c, initplan.c, connector_stub.c and pty.c.
 */
#ifndef FOG_TEST_HOLDER_SESSION_H
#define FOG_TEST_HOLDER_SESSION_H

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
#include "regress/unit/wire.h"

#define WAIT_MS WIRE_WAIT_MS
#define SESSION_UID 1879048192u
#define RING_BYTES 524288
#define OUT_MAX (8u << 20)

/* One session with both of its sides in the test's hands. */
struct session {
	struct id128 id;
	char id_text[ID_TEXT_SIZE];
	struct raw32 nonce, broker_nonce;
	uint32_t ttl_seconds, idle_timeout_s;
	pid_t pid;
	struct wire broker;
};

struct stream {
	int fd;
	size_t len;
	unsigned char bytes[2 * STREAM_FRAME_MAX];
	struct stream_hello hello; /* the last one; the later ones are of a gap or a size */
	unsigned hellos;
	uint64_t offset; /* of the next byte of output */
	struct stream_exit exit;
	bool has_exit;
	unsigned status; /* the last one */
	uint64_t status_at_s;
	char status_detail[201];
	unsigned statuses[STREAM_STATE_COUNT]; /* how many of each */
	uint64_t answer;
	size_t out_len;
	char *out; /* OUT_MAX */
};

static char folder[] = "/tmp/fog-holder-XXXXXX";
static int holder_exe, init_exe;
static uint64_t confirm_by_boot_ms; /* of the sessions that are made from here on */

/* --- making one --- */

static inline int
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
		.confirm_by_boot_ms = confirm_by_boot_ms,
		.nonce = s->nonce,
		.slot = 5,
		.broker_nonce = s->broker_nonce,
		.broker_uid = geteuid(),
		.ttl_seconds = s->ttl_seconds,
		.idle_timeout_s = s->idle_timeout_s,
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

static inline struct sockaddr_un
address_of(const struct session *s)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s.sock", folder, s->id_text);
	return at;
}

static inline int
bound_socket(const struct session *s)
{
	struct sockaddr_un at = address_of(s);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static inline void
start_session_of(struct session *s, uint32_t ttl_seconds, uint32_t idle_timeout_s)
{
	const struct pl_spawn order = { .cols = 80, .rows = 24 };
	struct launch l = { .connector = &connector_stub,
		.holder_filter = filter_export(PROC_HOLDER),
		.ids = { geteuid() == 0, SESSION_UID, SESSION_UID + 1, SESSION_UID + 1 },
		.order = &order,
		.master = -1,
		.slave = -1,
		.holder_exe = holder_exe,
		.init_exe = init_exe };
	int report[2];
	char b[REPORT_BYTES];

	*s = (struct session){ .ttl_seconds = ttl_seconds,
		.idle_timeout_s = idle_timeout_s,
		.broker.fd = -1 };
	assert_int_equal(id_session_new(1, &s->id), 0);
	id_format(&s->id, s->id_text);
	l.init = (struct init_plan){ .owner = OWNER_NOBODY,
		.session_id = s->id,
		.cols = order.cols,
		.rows = order.rows,
		.max_sessions = 1 };
	assert_int_equal(secret_random(&s->nonce, sizeof(s->nonce)), 0);
	assert_int_equal(secret_random(&s->broker_nonce, sizeof(s->broker_nonce)), 0);
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, l.init_pair), 0);
	l.listener = bound_socket(s);
	l.plan = sealed_plan(s);
	l.report = report[1];
	l.null = l.image = l.slot = open("/dev/null", O_RDWR | O_CLOEXEC);
	s->pid = launch_fork(&l);
	assert_true(s->pid > 0);
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

static inline void
start_session(struct session *s, uint32_t ttl_seconds)
{
	start_session_of(s, ttl_seconds, 0);
}

/* --- the broker's side --- */

/* The next record of this type; log lines and others between are passed over. */
static inline void
expect(struct session *s, enum msg_type type)
{
	assert_true(wire_expect(&s->broker, type));
}

static inline int
connect_broker(const struct session *s)
{
	struct sockaddr_un at = address_of(s);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	wire_hello(&(struct wire){ .fd = fd }, EDGE_HOLDER, 1);
	return fd;
}

static inline void
say_nonce(const struct session *s)
{
	struct pl_nonce nonce = { s->id, s->broker_nonce };

	assert_true(wire_send(&s->broker, MSG_HOLD_HELLO, 0, &nonce, -1));
}

static inline void
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

static inline struct pl_grant
new_grant(const struct session *s)
{
	struct pl_grant g = { .session_id = s->id,
		.role = ROLE_DRIVER,
		.token_expires_boot_ms = boot_ms() + 60000 };

	assert_int_equal(id_random(&g.token_id), 0);
	return g;
}

static inline void
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

static inline void
expect_state(struct session *s, unsigned status)
{
	do {
		expect(s, MSG_PTY_HOLDER_STATE);
	} while (s->broker.m.u.state.status != status);
}

/* How many processes there are with the session's id in their environment. */
static inline int
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
static inline void
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

static inline void
end_and_finish(struct session *s)
{
	struct pl_end end = { s->id, END_REQUEST };

	assert_true(wire_send(&s->broker, MSG_HOLD_END, 0, &end, -1));
	expect_state(s, STATUS_TERMINATED);
	assert_int_equal(s->broker.m.u.state.end_reason, END_REQUEST);
	finish(s);
}

/* --- the client's side --- */

static inline void
stream_free(struct stream *t)
{
	close_fd(&t->fd);
	free(t->out);
	free(t);
}

static inline void
take_hello(struct stream *t, const struct stream_hello *h)
{
	if (t->hellos++ > 0)
		assert_true(h->out_from == t->offset + h->out_lost);
	t->hello = *h;
	t->offset = h->out_from;
}

static inline void
take_output(struct stream *t, struct view bytes)
{
	assert_true(t->hellos > 0);
	assert_true(t->out_len + bytes.len < OUT_MAX);
	memcpy(t->out + t->out_len, bytes.p, bytes.len);
	t->out_len += bytes.len;
	t->out[t->out_len] = '\0';
	t->offset += bytes.len;
}

static inline void
take_status(struct stream *t, const struct stream_status *s)
{
	t->status = s->state;
	t->status_at_s = s->at_s;
	t->statuses[s->state]++;
	memcpy(t->status_detail, s->detail.p, s->detail.len);
	t->status_detail[s->detail.len] = '\0';
}

static inline void
take_frame(struct stream *t, const struct stream_msg *m)
{
	assert_false(t->has_exit); /* nothing follows it */
	switch (m->type) {
	case STREAM_OUTPUT:
		take_output(t, m->u.output.bytes);
		break;
	case STREAM_HELLO:
		take_hello(t, &m->u.hello);
		break;
	case STREAM_EXIT:
		t->exit = m->u.exit;
		t->has_exit = true;
		break;
	case STREAM_STATUS:
		take_status(t, &m->u.status);
		break;
	default:
		t->answer = m->u.answer.value;
		break;
	}
}

/* Waits for more and takes all whole frames; false at the end of the stream. */
static inline bool
stream_step(struct stream *t, int ms)
{
	struct stream_msg m;
	size_t used;
	ssize_t n;
	int rc;

	assert_true(wire_wait(t->fd, ms));
	n = read(t->fd, t->bytes + t->len, sizeof(t->bytes) - t->len);
	if (n <= 0)
		return false;
	t->len += (size_t)n;
	while ((rc = stream_next(t->bytes, t->len, PROC_HOLDER, &m, &used)) == 1) {
		take_frame(t, &m);
		memmove(t->bytes, t->bytes + used, t->len - used);
		t->len -= used;
	}
	assert_int_equal(rc, 0);
	return true;
}

static inline struct stream *
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
	while (t->hellos == 0)
		assert_true(stream_step(t, WAIT_MS));
	return t;
}

static inline struct stream *
attach(struct session *s)
{
	struct pl_grant g = new_grant(s);

	return attach_at(s, &g);
}

static inline struct stream *
watch(struct session *s)
{
	struct pl_grant g = new_grant(s);

	g.role = ROLE_VIEWER;
	return attach_at(s, &g);
}

static inline void
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

static inline void
type_at(struct stream *t, uint64_t offset, const char *text)
{
	struct stream_input in = { offset, view_of(text) };

	put_frame(t, STREAM_INPUT, &in);
}

static inline void
type(struct stream *t, const char *text)
{
	type_at(t, t->hello.in_next, text);
	t->hello.in_next += strlen(text);
}

static inline void
await_text(struct stream *t, const char *text)
{
	while (!strstr(t->out, text))
		assert_true(stream_step(t, WAIT_MS));
}

/* Of this many statuses of one kind the last has come. */
static inline void
await_statuses(struct stream *t, enum stream_state state, unsigned count)
{
	while (t->statuses[state] < count)
		assert_true(stream_step(t, WAIT_MS));
	assert_int_equal(t->statuses[state], count);
}

static inline void
await_end(struct stream *t)
{
	while (stream_step(t, WAIT_MS))
		;
}

static inline size_t
count_text(const char *in, const char *what)
{
	size_t n = 0;

	for (const char *at = in; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

/* --- the group of tests --- */

static inline int
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

static inline int
set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	holder_exe = open_program("holder", O_PATH);
	init_exe = open_program("session-init", O_PATH);
	if (holder_exe < 0 || init_exe < 0)
		fail_msg("build holder and session-init first: make programs");
	assert_non_null(mkdtemp(folder));
	return 0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	return rmdir(folder);
}

#endif
