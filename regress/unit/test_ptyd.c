/* SPDX-License-Identifier: MIT */
/* links: ptyd/record.c ptyd/plan.c ptyd/slots.c */
/*
 * The real ptyd, spawner, holder and session-init, started as fogd starts them; the test plays
 * fogd, placerd and gatewayd on their edges, kills each of them, and looks at what is left.
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
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/mono.h"
#include "common/privdrop.h"
#include "common/proc.h"
#include "common/stream.h"
#include "ptyd/launch.h"
#include "ptyd/plan.h"
#include "ptyd/record.h"
#include "regress/unit/wire.h"

#define PTYD_UID 64321
#define MAX_SESSIONS 4
#define REQUEST_TIMEOUT_MS 4000 /* more than it takes to kill a holder that does not end */
#define TO_TEXT(number) TO_TEXT_(number)
#define TO_TEXT_(number) #number
#define SAFE_FD 64

struct role_process {
	enum proc_id id;
	pid_t pid;
	struct wire control;
};

static char folder[] = "/tmp/fog-ptyd-XXXXXX";
static char sessions[64];
static struct role_process ptyd = { .id = PROC_PTYD }, spawner = { .id = PROC_SPAWNER };
static struct wire place, delivery; /* the ends of placerd and gatewayd */
static uint64_t epoch, next_request = UINT64_C(7) << 32;
static int holder_exe, init_exe, log_fd;

/* --- fogd's part --- */

static const char *
test_environment(const char *name)
{
	if (strcmp(name, "MAX_SESSIONS") == 0)
		return "4";
	if (strcmp(name, "LOG_LEVEL") == 0)
		return "debug";
	if (strcmp(name, "REQUEST_TIMEOUT_MS") == 0)
		return TO_TEXT(REQUEST_TIMEOUT_MS);
	return strcmp(name, "USE_STUB_CONNECTOR") == 0 ? "1" : NULL;
}

static int
config_record(enum proc_id id)
{
	static unsigned char bytes[32768];
	struct config c;
	struct writer w;
	char err[256];
	int fd = memfd_create("config", MFD_CLOEXEC);

	if (config_from_env(&c, test_environment, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	writer_init(&w, bytes, sizeof(bytes));
	assert_int_equal(config_put(&w, &c, id), 0);
	config_fini(&c);
	assert_int_equal(write(fd, bytes, w.len), (ssize_t)w.len);
	return fd;
}

static int
open_program(const char *name)
{
	char path[PATH_MAX], program[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	int fd;

	assert_true(n > 0);
	path[n] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	snprintf(program, sizeof(program), "%s/libexec/cloudshell-fog/%s", path, name);
	fd = open(program, O_PATH | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s is missing: make programs", program);
	return fd;
}

static _Noreturn void
become(int exe, enum proc_id id, const int *gifts, size_t count)
{
	char *const argv[] = { "role", NULL }, *const env[] = { NULL };
	int high[16], null = open("/dev/null", O_RDWR);

	exe = fcntl(exe, F_DUPFD_CLOEXEC, SAFE_FD);
	for (size_t i = 0; i < count; i++)
		high[i] = fcntl(gifts[i], F_DUPFD_CLOEXEC, SAFE_FD);
	dup2(null, 0);
	dup2(null, 1);
	dup2(log_fd, 2);
	for (size_t i = 0; i < count; i++)
		dup2(high[i], GIFT_CONTROL + (int)i);
	syscall(SYS_close_range, GIFT_CONTROL + count, SAFE_FD - 1, 0);
	if (geteuid() == 0 &&
	    privdrop_before_exec(id == PROC_PTYD ? PTYD_UID : 0, id == PROC_PTYD ? PTYD_UID : 0,
		id == PROC_PTYD ? CAP_BIT(CAP_SYS_CHROOT) : privdrop_spawner_caps))
		_exit(99);
	syscall(SYS_execveat, exe, "", argv, env, AT_EMPTY_PATH);
	_exit(98);
}

static void
start_role(struct role_process *r, int first, int second)
{
	int pair[2];
	int exe = open_program(r->id == PROC_PTYD ? "ptyd" : "spawner");
	int gifts[5] = { -1, config_record(r->id), open(sessions, O_RDONLY | O_DIRECTORY), first,
		second };

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			     pair),
	    0);
	gifts[0] = pair[1];
	r->pid = fork();
	if (r->pid == 0)
		become(exe, r->id, gifts, first < 0 ? 3 : 5);
	close(exe);
	close(pair[1]);
	close(gifts[1]);
	close(gifts[2]);
	close_fd(&r->control.fd);
	r->control.fd = pair[0];
	wire_hello(&r->control, EDGE_CONTROL, 1);
}

static void
give_end(const struct role_process *r, enum edge edge, int fd)
{
	struct pl_new_peer end = { .edge = (uint8_t)edge, .epoch = epoch };

	assert_true(wire_send(&r->control, MSG_CTL_NEW_PEER, 0, &end, fd));
}

static void
pair_of(int pair[2])
{
	epoch++;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			     pair),
	    0);
}

static void
wire_spawner(void)
{
	int pair[2];

	pair_of(pair);
	give_end(&ptyd, EDGE_PTY_SPAWN, pair[0]);
	give_end(&spawner, EDGE_PTY_SPAWN, pair[1]);
}

static void
wire_neighbour(enum edge edge, struct wire *own)
{
	int pair[2];

	pair_of(pair);
	close_fd(&own->fd);
	own->fd = pair[0];
	give_end(&ptyd, edge, pair[1]);
	if (edge != EDGE_DELIVERY)
		wire_hello(own, edge, epoch);
}

static void
start_ptyd(void)
{
	start_role(&ptyd, -1, -1);
	assert_true(wire_expect(&ptyd.control, MSG_CTL_READY));
	wire_neighbour(EDGE_PLACE_PTY, &place);
	wire_neighbour(EDGE_DELIVERY, &delivery);
}

static void
start_spawner(int holder, int init)
{
	start_role(&spawner, holder, init);
	assert_true(wire_expect(&spawner.control, MSG_CTL_READY));
}

static void
kill_role(struct role_process *r)
{
	int status;

	kill(r->pid, SIGKILL);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close_fd(&r->control.fd);
}

/* The order to make a session does not overtake the new end that it goes out on. */
static void
await_spawner_edge(void)
{
	static char text[1 << 20];
	char line[64];
	ssize_t n;
	unsigned count = 0;

	snprintf(line, sizeof(line), "edge_up edge=ptyd-spawner epoch=%llu\n",
	    (unsigned long long)epoch);
	for (int i = 0; i < 500 && count < 2; i++) {
		poll(NULL, 0, 10);
		n = pread(log_fd, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = '\0';
		count = 0;
		for (const char *at = text; (at = strstr(at, line)); at++)
			count++;
	}
	assert_int_equal(count, 2);
}

static void
start_all(void)
{
	start_spawner(holder_exe, init_exe);
	start_ptyd();
	wire_spawner();
	await_spawner_edge();
}

/* --- placerd's part --- */

static struct pl_plan
new_plan(void)
{
	struct pl_plan p = { .profile = view_of("default"),
		.status = STATUS_STARTING,
		.created_s = 1000,
		.expires_s = 1600,
		.node = view_of("here"),
		.region = view_of("local"),
		.tier = TIER_FOG,
		.placement_reason = view_of("only_node"),
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.idem_key = view_of(""),
		.ttl_seconds = 600,
		.ring_bytes = 65536,
		.cpu_milli = 500,
		.memory_bytes = 1 << 29,
		.storage_bytes = 1 << 30,
		.pids = 512 };

	assert_int_equal(id_session_new(3, &p.session_id), 0);
	return p;
}

static void
expect_place(enum msg_type type)
{
	assert_true(wire_expect(&place, type));
}

static struct id128
create(void)
{
	struct pl_plan p = new_plan();

	assert_true(wire_send(&place, MSG_PTY_CREATE, ++next_request, &p, -1));
	assert_true(wire_expect(&place, MSG_PLACE_STARTED));
	assert_int_equal(place.m.request_id, next_request);
	assert_true(id_equal(&place.m.u.session_id.session_id, &p.session_id));
	return p.session_id;
}

static void
assert_refused(enum msg_type type, const void *payload, int error)
{
	assert_true(wire_send(&place, type, ++next_request, payload, -1));
	expect_place(MSG_PLACE_REFUSED);
	assert_int_equal(place.m.request_id, next_request);
	assert_string_equal(err_code(place.m.u.refused.error), err_code(error));
}

static struct pl_grant
grant_for(const struct id128 *id)
{
	struct pl_grant g = { .session_id = *id,
		.role = ROLE_DRIVER,
		.token_expires_boot_ms = boot_ms() + 60000 };

	assert_int_equal(id_random(&g.token_id), 0);
	return g;
}

/* The stream as gatewayd gets it: the same request on both ways. */
static int
attach(const struct id128 *id)
{
	struct pl_grant g = grant_for(id);

	assert_true(wire_send(&place, MSG_PTY_ATTACH, ++next_request, &g, -1));
	assert_true(wire_expect(&delivery, MSG_GATE_DELIVER));
	assert_int_equal(delivery.m.request_id, next_request);
	assert_true(id_equal(&delivery.m.u.session_role.session_id, id));
	expect_place(MSG_PLACE_ATTACHED);
	assert_int_equal(place.m.request_id, next_request);
	return steal_fd(&delivery.m.fd);
}

static void
expect_state(unsigned status, unsigned reason)
{
	do {
		expect_place(MSG_PLACE_STATE);
	} while (place.m.u.state.status != status);
	assert_int_equal(place.m.u.state.end_reason, reason);
}

static void
keep(const struct id128 *id)
{
	struct pl_session_id kept = { *id };

	assert_true(wire_send(&place, MSG_PTY_STATE_KEPT, 0, &kept, -1));
}

static void
end_session(const struct id128 *id)
{
	struct pl_end end = { *id, END_REQUEST };

	assert_true(wire_send(&place, MSG_PTY_END, ++next_request, &end, -1));
	expect_state(STATUS_TERMINATED, END_REQUEST);
	expect_place(MSG_PLACE_ENDED);
	assert_int_equal(place.m.request_id, next_request);
	keep(id);
}

/* The whole list: how many there are, and the status of one (0: it is not in it). */
static unsigned
take_list(const struct id128 *id, unsigned *status)
{
	unsigned count = 0;

	*status = 0;
	for (;;) {
		assert_int_equal(wire_receive(&place, WIRE_WAIT_MS), 1);
		if (place.m.type == MSG_PLACE_KNOWN_ALL)
			return count;
		if (place.m.type != MSG_PLACE_KNOWN)
			continue;
		count++;
		if (id && id_equal(id, &place.m.u.known.session_id))
			*status = place.m.u.known.status;
	}
}

/* --- gatewayd's part --- */

/* Types a line and reads until the text comes (NULL: the end); `out` gets what was read. */
static void
talk(int fd, uint64_t *at, const char *line, const char *text, char *out, size_t out_size)
{
	static unsigned char bytes[STREAM_FRAME_MAX * 2];
	struct stream_input in = { *at, view_of(line) };
	struct writer w;
	size_t len = 0, out_len = 0, used;
	struct stream_msg m;

	writer_init(&w, bytes, sizeof(bytes));
	assert_int_equal(stream_put(&w, STREAM_INPUT, &in), 0);
	assert_int_equal(send(fd, bytes, w.len, MSG_NOSIGNAL), (ssize_t)w.len);
	*at += strlen(line);
	for (out[0] = '\0'; !text || !strstr(out, text);) {
		ssize_t n;

		assert_true(wire_wait(fd, WIRE_WAIT_MS));
		n = recv(fd, bytes + len, sizeof(bytes) - len, 0);
		if (n == 0 && !text)
			return;
		assert_true(n > 0);
		len += (size_t)n;
		while (stream_next(bytes, len, PROC_HOLDER, &m, &used) == 1) {
			if (m.type == STREAM_HELLO)
				*at = *at > m.u.hello.in_next ? *at : m.u.hello.in_next;
			if (m.type == STREAM_OUTPUT && out_len + m.u.output.bytes.len < out_size) {
				memcpy(out + out_len, m.u.output.bytes.p, m.u.output.bytes.len);
				out_len += m.u.output.bytes.len;
				out[out_len] = '\0';
			}
			memmove(bytes, bytes + used, len - used);
			len -= used;
		}
	}
}

/* --- what is left --- */

static bool
file_exists(const struct id128 *id, const char *suffix)
{
	char path[200], text[ID_TEXT_SIZE];

	id_format(id, text);
	snprintf(path, sizeof(path), "%s/%s%s", sessions, text, suffix);
	return access(path, F_OK) == 0;
}

static void
await_no_file(const struct id128 *id, const char *suffix)
{
	for (int i = 0; i < 500 && file_exists(id, suffix); i++)
		poll(NULL, 0, 20);
	assert_false(file_exists(id, suffix));
}

static unsigned
count_files(void)
{
	DIR *d = opendir(sessions);
	unsigned n = 0;
	struct dirent *e;

	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* A number out of the last log line that has the session's id: "holder_pid=". */
static pid_t
logged_pid(const struct id128 *id, const char *key)
{
	static char text[1 << 20];
	char line[128], id_text[ID_TEXT_SIZE], *at;
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	assert_true(n > 0);
	text[n] = '\0';
	id_format(id, id_text);
	snprintf(line, sizeof(line), "event=session_started sid=%s", id_text);
	at = strstr(text, line);
	assert_non_null(at);
	at = strstr(at, key);
	assert_non_null(at);
	return (pid_t)strtol(at + strlen(key), NULL, 10);
}

static pid_t
first_child_of(pid_t pid)
{
	char path[64], text[64] = "";
	cleanup_fd int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	return (pid_t)strtol(text, NULL, 10);
}

/* While it lives: the child of session-init, which is the holder's. */
static pid_t
shell_of(const struct id128 *id)
{
	return first_child_of(first_child_of(logged_pid(id, "holder_pid=")));
}

static bool
is_alive(pid_t pid)
{
	char path[64], text[512] = "";
	cleanup_fd int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return false;
	return strstr(text, ") Z ") == NULL;
}

static void
await_death(pid_t pid)
{
	for (int i = 0; i < 500 && is_alive(pid); i++)
		poll(NULL, 0, 20);
	assert_false(is_alive(pid));
}

/* --- tests --- */

static void
test_life(void **state)
{
	char out[65536], name[64];
	struct id128 id;
	uint64_t at = 0;
	unsigned status;
	pid_t shell;
	int fd;

	(void)state;
	start_all();
	assert_int_equal(take_list(NULL, &status), 0);
	id = create();
	shell = shell_of(&id);
	snprintf(name, sizeof(name), "/proc/%d/comm", shell);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	assert_in_range(read(fd, out, sizeof(out)), 3, 6);
	assert_true(strncmp(out, "sh\n", 3) == 0 || strncmp(out, "dash\n", 5) == 0);
	close(fd);
	fd = attach(&id);
	talk(fd, &at, "echo $((6*7)); id -u\n", "42\r\n", out, sizeof(out));
	talk(fd, &at, "exit 4\n", NULL, out, sizeof(out));
	expect_state(STATUS_EXITED, END_EXIT);
	assert_int_equal(place.m.u.state.exit_kind, EXIT_CODE);
	assert_int_equal(place.m.u.state.exit_value, 4);
	assert_true(file_exists(&id, ".sock"));
	keep(&id);
	await_no_file(&id, ".sock");
	assert_true(file_exists(&id, ".rec"));
	await_death(logged_pid(&id, "holder_pid="));
	assert_refused(MSG_PTY_ATTACH,
	    &(struct pl_grant){ .session_id = id, .role = ROLE_DRIVER, .token_expires_boot_ms = 1 },
	    FOG_E_SESSION_ENDED);
	close(fd);
}

static void
test_refusals(void **state)
{
	struct pl_plan plan = new_plan();
	struct id128 id = create(), unknown = plan.session_id;
	struct pl_grant g = grant_for(&unknown);
	struct pl_end end = { unknown, END_REQUEST };
	int fd;

	(void)state;
	assert_refused(MSG_PTY_ATTACH, &g, FOG_E_NO_SESSION);
	assert_refused(MSG_PTY_END, &end, FOG_E_NO_SESSION);
	g = grant_for(&id);
	assert_true(wire_send(&place, MSG_PTY_ATTACH, ++next_request, &g, -1));
	expect_place(MSG_PLACE_ATTACHED);
	assert_true(wire_expect(&delivery, MSG_GATE_DELIVER));
	fd = delivery.m.fd;
	assert_refused(MSG_PTY_ATTACH, &g, FOG_E_USED_ATTACH_TOKEN);
	plan.status = STATUS_RUNNING;
	assert_refused(MSG_PTY_CREATE, &plan, FOG_E_SPAWN);
	plan.status = STATUS_STARTING;
	plan.session_id = id;
	assert_refused(MSG_PTY_CREATE, &plan, FOG_E_SPAWN);
	close(fd);
	end_session(&id);
	/* Ending what has ended is no error. */
	end.session_id = id;
	assert_true(wire_send(&place, MSG_PTY_END, ++next_request, &end, -1));
	expect_place(MSG_PLACE_ENDED);
}

static void
test_viewer(void **state)
{
	struct id128 id = create();
	struct pl_grant g = grant_for(&id);

	(void)state;
	g.role = ROLE_VIEWER;
	assert_true(wire_send(&place, MSG_PTY_ATTACH, ++next_request, &g, -1));
	expect_place(MSG_PLACE_ATTACHED);
	assert_int_equal(place.m.u.session_role.role, ROLE_VIEWER);
	assert_true(wire_expect(&delivery, MSG_GATE_DELIVER));
	assert_int_equal(delivery.m.u.session_role.role, ROLE_VIEWER);
	close_fd(&delivery.m.fd);
	end_session(&id);
}

/* When the list says that this session ends. */
static uint64_t
listed_expiry(const struct id128 *id)
{
	uint64_t expires_s = 0;

	do {
		assert_int_equal(wire_receive(&place, WIRE_WAIT_MS), 1);
		if (place.m.type == MSG_PLACE_KNOWN && id_equal(id, &place.m.u.known.session_id))
			expires_s = place.m.u.known.expires_s;
	} while (place.m.type != MSG_PLACE_KNOWN_ALL);
	return expires_s;
}

/* A longer life is the holder's, and so every later broker's. */
static void
test_extend(void **state)
{
	struct pl_plan plan = new_plan(); /* of 600 s, made at 1000 */
	struct id128 id = create();
	struct pl_extend want = { plan.session_id, 900 };

	(void)state;
	assert_refused(MSG_PTY_EXTEND, &want, FOG_E_NO_SESSION);
	want.session_id = id;
	assert_true(wire_send(&place, MSG_PTY_EXTEND, ++next_request, &want, -1));
	expect_place(MSG_PLACE_EXTENDED);
	assert_int_equal(place.m.request_id, next_request);
	assert_true(id_equal(&place.m.u.extended.session_id, &id));
	assert_int_equal(place.m.u.extended.expires_s, 1900);
	want.ttl_seconds = 899;
	assert_refused(MSG_PTY_EXTEND, &want, FOG_E_TTL);
	wire_neighbour(EDGE_PLACE_PTY, &place);
	assert_int_equal(listed_expiry(&id), 1900);
	kill_role(&ptyd);
	start_ptyd();
	wire_spawner();
	assert_int_equal(listed_expiry(&id), 1900);
	want.ttl_seconds = 1000;
	assert_true(wire_send(&place, MSG_PTY_EXTEND, ++next_request, &want, -1));
	expect_place(MSG_PLACE_EXTENDED);
	assert_int_equal(place.m.u.extended.expires_s, 2000);
	end_session(&id);
	assert_refused(MSG_PTY_EXTEND, &want, FOG_E_SESSION_ENDED);
}

/* placerd dies between the order and the holder's answer: what the holder did is known all the same. */
static void
test_extend_unheard(void **state)
{
	struct id128 id = create();
	struct pl_extend want = { id, 900 };
	pid_t holder = logged_pid(&id, "holder_pid=");
	uint64_t expires_s;

	(void)state;
	kill(holder, SIGSTOP);
	assert_true(wire_send(&place, MSG_PTY_EXTEND, ++next_request, &want, -1));
	wire_neighbour(EDGE_PLACE_PTY, &place);
	assert_int_equal(listed_expiry(&id), 1600);
	kill(holder, SIGCONT);
	for (int i = 0; i < 100; i++) {
		wire_neighbour(EDGE_PLACE_PTY, &place);
		expires_s = listed_expiry(&id);
		if (expires_s != 1600)
			break;
		poll(NULL, 0, 20);
	}
	assert_int_equal(expires_s, 1900);
	end_session(&id);
}

/* --- sessions that wait for a confirmation --- */

static struct id128
create_provisional(uint64_t ms)
{
	struct pl_plan p = new_plan();

	p.confirm_by_boot_ms = boot_ms() + ms;
	assert_true(wire_send(&place, MSG_PTY_CREATE, ++next_request, &p, -1));
	expect_place(MSG_PLACE_STARTED);
	return p.session_id;
}

/* What the list has of this session: until when it waits. */
static uint64_t
listed_confirm_by(const struct id128 *id)
{
	uint64_t by = UINT64_MAX;

	do {
		assert_int_equal(wire_receive(&place, WIRE_WAIT_MS), 1);
		if (place.m.type == MSG_PLACE_KNOWN && id_equal(id, &place.m.u.known.session_id))
			by = place.m.u.known.confirm_by_boot_ms;
	} while (place.m.type != MSG_PLACE_KNOWN_ALL);
	return by;
}

/* Every later placerd and broker knows until when it waits, and that it does no more. */
static void
test_confirm(void **state)
{
	struct id128 id = create_provisional(60000);
	struct pl_confirm want = { .confirm_by_boot_ms = boot_ms() + 120000 };

	(void)state;
	assert_int_equal(id_session_new(3, &want.session_id), 0);
	assert_refused(MSG_PTY_CONFIRM, &want, FOG_E_NO_SESSION);
	want.session_id = id;
	for (int i = 0; i < 3; i++, want.confirm_by_boot_ms = 0) {
		assert_true(wire_send(&place, MSG_PTY_CONFIRM, ++next_request, &want, -1));
		expect_place(MSG_PLACE_CONFIRMED);
		assert_int_equal(place.m.request_id, next_request);
		assert_true(place.m.u.confirm.confirm_by_boot_ms == want.confirm_by_boot_ms);
		wire_neighbour(EDGE_PLACE_PTY, &place);
		assert_true(listed_confirm_by(&id) == want.confirm_by_boot_ms);
		kill_role(&ptyd);
		start_ptyd();
		wire_spawner();
		assert_true(listed_confirm_by(&id) == want.confirm_by_boot_ms);
	}
	want.confirm_by_boot_ms = boot_ms() + 10;
	assert_true(wire_send(&place, MSG_PTY_CONFIRM, ++next_request, &want, -1));
	expect_place(MSG_PLACE_CONFIRMED);
	assert_true(place.m.u.confirm.confirm_by_boot_ms == 0);
	end_session(&id);
	assert_refused(MSG_PTY_CONFIRM, &want, FOG_E_SESSION_ENDED);
}

/* The broker dies before the holder hears of it: it is not confirmed, and nobody was told that it is. */
static void
test_confirm_unheard(void **state)
{
	struct id128 id = create_provisional(60000);
	struct pl_confirm want = { .session_id = id };
	pid_t holder = logged_pid(&id, "holder_pid=");

	(void)state;
	kill(holder, SIGSTOP);
	assert_true(wire_send(&place, MSG_PTY_CONFIRM, ++next_request, &want, -1));
	wire_neighbour(EDGE_PLACE_PTY, &place);
	assert_true(listed_confirm_by(&id) != 0);
	kill(holder, SIGCONT);
	kill_role(&ptyd);
	start_ptyd();
	wire_spawner();
	/* What the holder has done with what was on its way is what the list says. */
	if (listed_confirm_by(&id) != 0) {
		assert_true(wire_send(&place, MSG_PTY_CONFIRM, ++next_request, &want, -1));
		expect_place(MSG_PLACE_CONFIRMED);
	}
	wire_neighbour(EDGE_PLACE_PTY, &place);
	assert_true(listed_confirm_by(&id) == 0);
	end_session(&id);
}

/* Nobody is there when its time is over: it ends all the same, and the next broker knows why. */
static void
test_unconfirmed_without_broker(void **state)
{
	struct id128 id = create_provisional(500);
	pid_t shell = shell_of(&id);

	(void)state;
	kill_role(&ptyd);
	await_death(shell);
	start_ptyd();
	wire_spawner();
	do {
		expect_place(MSG_PLACE_KNOWN);
	} while (!id_equal(&place.m.u.known.session_id, &id));
	assert_int_equal(place.m.u.known.status, STATUS_TERMINATED);
	assert_int_equal(place.m.u.known.end_reason, END_ABANDONED);
	keep(&id);
}

static void
test_attach_confirms(void **state)
{
	struct id128 id = create_provisional(60000);
	int fd = attach(&id);

	(void)state;
	wire_neighbour(EDGE_PLACE_PTY, &place);
	assert_true(listed_confirm_by(&id) == 0);
	close(fd);
	end_session(&id);
}

/* --- identities that end --- */

/* Reads frames until one of this type comes; hello and status are kept. False: the stream ended. */
static bool
read_until(int fd, enum stream_type type, struct stream_hello *hello, unsigned *status)
{
	static unsigned char bytes[STREAM_FRAME_MAX * 2];
	static size_t len;
	static int last_fd = -1;
	struct stream_msg m;
	size_t used;

	if (last_fd != fd)
		len = 0;
	last_fd = fd;
	for (;;) {
		ssize_t n;

		while (stream_next(bytes, len, PROC_HOLDER, &m, &used) == 1) {
			memmove(bytes, bytes + used, len - used);
			len -= used;
			if (m.type == STREAM_HELLO && hello)
				*hello = m.u.hello;
			if (m.type == STREAM_STATUS && status)
				*status = m.u.status.state;
			if (m.type == type)
				return true;
		}
		assert_true(wire_wait(fd, WIRE_WAIT_MS));
		n = recv(fd, bytes + len, sizeof(bytes) - len, 0);
		if (n <= 0) {
			last_fd = -1;
			return false;
		}
		len += (size_t)n;
	}
}

static struct pl_regrant
regrant_for(const struct id128 *id, uint64_t attachment)
{
	struct pl_regrant g = { .session_id = *id,
		.token_expires_boot_ms = boot_ms() + 60000,
		.role = ROLE_DRIVER,
		.until_boot_ms = boot_ms() + 600000,
		.sid_hash = 7,
		.attachment = attachment };

	assert_int_equal(id_random(&g.token_id), 0);
	return g;
}

static void
test_renew(void **state)
{
	struct id128 id = create(), none;
	struct stream_hello hello = { 0 };
	int fd = attach(&id);
	struct pl_regrant g, bad;
	struct pl_grant far = grant_for(&id);
	unsigned status = 0;

	(void)state;
	assert_true(read_until(fd, STREAM_HELLO, &hello, NULL));
	g = regrant_for(&id, hello.attachment);
	assert_int_equal(id_session_new(3, &none), 0);
	bad = g;
	bad.session_id = none;
	assert_refused(MSG_PTY_RENEW, &bad, FOG_E_NO_SESSION);
	bad = g;
	bad.attachment++;
	assert_refused(MSG_PTY_RENEW, &bad, FOG_E_NO_ATTACHMENT);
	/* Beyond what ptyd allows, whatever placerd says. */
	bad = g;
	bad.until_boot_ms = boot_ms() + (86400 + 60 + 86400) * UINT64_C(1000) + 5000;
	assert_refused(MSG_PTY_RENEW, &bad, FOG_E_BAD_ATTACH_TOKEN);
	far.until_boot_ms = bad.until_boot_ms;
	assert_refused(MSG_PTY_ATTACH, &far, FOG_E_BAD_ATTACH_TOKEN);
	assert_true(wire_send(&place, MSG_PTY_RENEW, ++next_request, &g, -1));
	expect_place(MSG_PLACE_RENEWED);
	assert_int_equal(place.m.request_id, next_request);
	assert_true(id_equal(&place.m.u.renewed.session_id, &id));
	assert_true(place.m.u.renewed.attachment == hello.attachment);
	assert_true(read_until(fd, STREAM_STATUS, NULL, &status));
	assert_int_equal(status, STREAM_STATE_RENEWED);
	assert_refused(MSG_PTY_RENEW, &g, FOG_E_USED_ATTACH_TOKEN);
	close(fd);
	end_session(&id);
	assert_refused(MSG_PTY_RENEW, &g, FOG_E_SESSION_ENDED);
}

static void
test_detach(void **state)
{
	struct id128 id = create(), none;
	struct pl_detach all = { id, 0 };
	int fd = attach(&id);
	unsigned status = 0;

	(void)state;
	assert_int_equal(id_session_new(3, &none), 0);
	all.session_id = none;
	assert_true(wire_send(&place, MSG_PTY_DETACH, 0, &all, -1)); /* says nothing */
	all.session_id = id;
	assert_true(wire_send(&place, MSG_PTY_DETACH, 0, &all, -1));
	assert_true(read_until(fd, STREAM_STATUS, NULL, &status));
	assert_int_equal(status, STREAM_STATE_REVOKED);
	assert_false(read_until(fd, STREAM_EXIT, NULL, NULL));
	expect_state(STATUS_DETACHED, END_NONE);
	close(fd);
	end_session(&id);
	assert_true(wire_send(&place, MSG_PTY_DETACH, 0, &all, -1));
}

/* An order that comes while the holder is looked for reaches it as soon as it is joined. */
static void
test_orders_before_the_holder_is_joined(void **state)
{
	struct id128 detached = create(), ended = create();
	struct pl_detach all = { detached, 0 };
	struct pl_end end = { ended, END_REVOKED };
	pid_t holders[2] = { logged_pid(&detached, "holder_pid="),
		logged_pid(&ended, "holder_pid=") };
	unsigned status = 0;
	int fd = attach(&detached);

	(void)state;
	kill_role(&ptyd);
	for (size_t i = 0; i < COUNT_OF(holders); i++)
		kill(holders[i], SIGSTOP);
	start_ptyd();
	wire_spawner();
	assert_true(wire_send(&place, MSG_PTY_DETACH, 0, &all, -1));
	assert_true(wire_send(&place, MSG_PTY_END_NOW, 0, &end, -1));
	poll(NULL, 0, 200);
	for (size_t i = 0; i < COUNT_OF(holders); i++)
		kill(holders[i], SIGCONT);
	while (read_until(fd, STREAM_STATUS, NULL, &status))
		;
	assert_int_equal(status, STREAM_STATE_REVOKED);
	close(fd);
	take_list(NULL, &status);
	expect_state(STATUS_TERMINATED, END_REVOKED);
	assert_true(id_equal(&place.m.u.state.session_id, &ended));
	keep(&ended);
	end_session(&detached);
}

static void
test_end_now(void **state)
{
	static const enum end_reason reasons[] = { END_REVOKED, END_ADMIN };
	struct id128 none;
	struct pl_end end = { .end_reason = END_REVOKED };

	(void)state;
	assert_int_equal(id_session_new(3, &none), 0);
	end.session_id = none;
	assert_true(wire_send(&place, MSG_PTY_END_NOW, 0, &end, -1)); /* says nothing */
	for (size_t i = 0; i < COUNT_OF(reasons); i++) {
		struct id128 id = create();

		end = (struct pl_end){ id, (uint8_t)reasons[i] };
		assert_true(wire_send(&place, MSG_PTY_END_NOW, 0, &end, -1));
		expect_state(STATUS_TERMINATED, reasons[i]);
		keep(&id);
	}
	/* Any other reason is none of these orders. */
	end.end_reason = END_TTL;
	assert_true(wire_send(&place, MSG_PTY_END_NOW, 0, &end, -1));
	assert_false(wire_expect(&place, MSG_PLACE_STATE)); /* it hangs up */
	wire_neighbour(EDGE_PLACE_PTY, &place);
	assert_true(wire_expect(&ptyd.control, MSG_CTL_PEER_BAD));
}

/* The holder answers after ptyd has given up: no lie, and what it did is known to the next broker and placerd. */
static void
test_extend_late(void **state)
{
	struct id128 id = create();
	struct pl_extend want = { id, 900 };
	pid_t holder = logged_pid(&id, "holder_pid=");
	uint64_t expires_s = 0;
	int fd;

	(void)state;
	kill(holder, SIGSTOP);
	assert_refused(MSG_PTY_EXTEND, &want, FOG_E_TIMEOUT);
	kill(holder, SIGCONT);
	for (int i = 0; i < 100 && expires_s != 1900; i++) {
		poll(NULL, 0, 20);
		wire_neighbour(EDGE_PLACE_PTY, &place);
		expires_s = listed_expiry(&id);
	}
	assert_int_equal(expires_s, 1900);
	fd = attach(&id); /* nobody takes it for a liar */
	close(fd);
	want.ttl_seconds = 901;
	assert_true(wire_send(&place, MSG_PTY_EXTEND, ++next_request, &want, -1));
	expect_place(MSG_PLACE_EXTENDED);
	assert_int_equal(place.m.request_id, next_request);
	end_session(&id);
}

static void
test_limit(void **state)
{
	struct id128 ids[MAX_SESSIONS];
	struct pl_plan plan = new_plan();

	(void)state;
	for (int i = 0; i < MAX_SESSIONS; i++)
		ids[i] = create();
	assert_refused(MSG_PTY_CREATE, &plan, FOG_E_FULL);
	end_session(&ids[0]);
	ids[0] = create();
	for (int i = 0; i < MAX_SESSIONS; i++)
		end_session(&ids[i]);
}

/* Without gatewayd's edge the stream goes nowhere, and the request is answered. */
static void
test_no_delivery(void **state)
{
	struct id128 id = create();
	struct pl_grant g = grant_for(&id);
	int fd;

	(void)state;
	close_fd(&delivery.fd);
	assert_refused(MSG_PTY_ATTACH, &g, FOG_E_UNAVAILABLE);
	wire_neighbour(EDGE_DELIVERY, &delivery);
	fd = attach(&id);
	close(fd);
	end_session(&id);
}

/* kill -9 of the broker: the stream flows on, and the next one finds the session. */
static void
test_broker_dies(void **state)
{
	char out[65536];
	struct id128 id = create();
	uint64_t at = 0;
	unsigned status;
	pid_t shell = shell_of(&id);
	int fd = attach(&id), again;

	(void)state;
	talk(fd, &at, "echo be\"\"fore\n", "before\r\n", out, sizeof(out));
	kill_role(&ptyd);
	talk(fd, &at, "echo dur\"\"ing\n", "during\r\n", out, sizeof(out));
	start_ptyd();
	wire_spawner();
	take_list(&id, &status);
	assert_int_equal(status, STATUS_RUNNING);
	again = attach(&id);
	talk(again, &at, "echo af\"\"ter\n", "after\r\n", out, sizeof(out));
	assert_non_null(strstr(out, "before\r\n"));
	assert_true(is_alive(shell));
	close(fd);
	close(again);
	end_session(&id);
	await_death(shell);
}

/* The session ends while there is no broker: the next one still hears how. */
static void
test_end_unheard(void **state)
{
	char out[65536];
	struct id128 id = create();
	uint64_t at = 0;
	unsigned status;
	int fd = attach(&id);

	(void)state;
	kill_role(&ptyd);
	talk(fd, &at, "exit 9\n", NULL, out, sizeof(out));
	close(fd);
	start_ptyd();
	wire_spawner();
	take_list(&id, &status);
	assert_int_equal(status, STATUS_EXITED);
	assert_int_equal(place.m.type, MSG_PLACE_KNOWN_ALL);
	keep(&id);
	await_no_file(&id, ".sock");
}

static void
test_spawner_dies(void **state)
{
	struct id128 id = create(), later;
	struct pl_plan plan = new_plan();
	char out[65536];
	uint64_t at = 0;
	pid_t shell;
	int fd;

	(void)state;
	kill_role(&spawner);
	assert_refused(MSG_PTY_CREATE, &plan, FOG_E_UNAVAILABLE);
	fd = attach(&id);
	talk(fd, &at, "echo al\"\"ive\n", "alive\r\n", out, sizeof(out));
	start_spawner(holder_exe, init_exe);
	wire_spawner();
	later = create();
	end_session(&later);
	/* A holder that does not answer is killed, also one of the spawner before. */
	shell = shell_of(&id);
	kill(logged_pid(&id, "holder_pid="), SIGSTOP);
	close(fd);
	end_session(&id);
	await_death(shell);
	await_no_file(&id, ".sock");
}

/* Of one session, and of all together (id 0); the stub measures nothing, but it is asked. */
static void
test_usage(void **state)
{
	struct id128 id = create();
	struct pl_session_id which[] = { { id }, { { { 0 } } }, { new_plan().session_id } };

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_true(wire_send(&place, MSG_PTY_SHOW, ++next_request, &which[i], -1));
		expect_place(MSG_PLACE_USAGE);
		assert_int_equal(place.m.request_id, next_request);
		assert_true(id_equal(&place.m.u.usage.session_id, &which[i].session_id));
		assert_int_equal(place.m.u.usage.known, 0);
	}
	assert_refused(MSG_PTY_SHOW, &which[2], FOG_E_NO_SESSION);
	/* One that does not answer any more is replaced, and nobody waits for it. */
	kill(spawner.pid, SIGSTOP);
	assert_int_equal(waitpid(spawner.pid, NULL, WUNTRACED), spawner.pid);
	assert_true(wire_send(&place, MSG_PTY_SHOW, ++next_request, &which[1], -1));
	assert_false(wire_wait(place.fd, 200));
	kill_role(&spawner);
	expect_place(MSG_PLACE_REFUSED);
	assert_int_equal(place.m.request_id, next_request);
	assert_string_equal(err_code(place.m.u.refused.error), err_code(FOG_E_UNAVAILABLE));
	assert_refused(MSG_PTY_SHOW, &which[1], FOG_E_UNAVAILABLE);
	start_spawner(holder_exe, init_exe);
	wire_spawner();
	end_session(&id);
	assert_refused(MSG_PTY_SHOW, &which[0], FOG_E_NO_SESSION);
	assert_true(wire_send(&place, MSG_PTY_SHOW, ++next_request, &which[1], -1));
	expect_place(MSG_PLACE_USAGE);
}

static void
test_holder_dies(void **state)
{
	struct id128 id = create(), other = create();
	pid_t shell = shell_of(&id);

	(void)state;
	kill(logged_pid(&id, "holder_pid="), SIGKILL);
	expect_state(STATUS_LOST, END_HOLDER);
	assert_true(id_equal(&place.m.u.state.session_id, &id));
	await_death(shell);
	keep(&id);
	await_no_file(&id, ".sock");
	assert_true(is_alive(shell_of(&other)));
	end_session(&other);
}

/* A broker that died in the middle of a create leaves nothing of it (R3). */
static void
test_half_made(void **state)
{
	struct pl_plan plan = new_plan();
	unsigned status;

	(void)state;
	kill(spawner.pid, SIGSTOP);
	assert_true(wire_send(&place, MSG_PTY_CREATE, ++next_request, &plan, -1));
	for (int i = 0; i < 500 && !file_exists(&plan.session_id, ".rec"); i++)
		poll(NULL, 0, 10);
	assert_true(file_exists(&plan.session_id, ".rec"));
	kill_role(&ptyd);
	kill(spawner.pid, SIGCONT);
	start_ptyd();
	wire_spawner();
	take_list(&plan.session_id, &status);
	assert_int_equal(status, 0);
	await_no_file(&plan.session_id, ".rec");
	await_no_file(&plan.session_id, ".sock");
}

/* The spawner dies over a create: refused, and nothing is left. */
static void
test_spawner_dies_making(void **state)
{
	struct pl_plan plan = new_plan();

	(void)state;
	kill(spawner.pid, SIGSTOP);
	assert_true(wire_send(&place, MSG_PTY_CREATE, ++next_request, &plan, -1));
	poll(NULL, 0, 100);
	kill_role(&spawner);
	expect_place(MSG_PLACE_REFUSED);
	assert_int_equal(place.m.u.refused.error, FOG_E_UNAVAILABLE);
	start_spawner(holder_exe, init_exe);
	wire_spawner();
	await_no_file(&plan.session_id, ".rec");
	assert_false(file_exists(&plan.session_id, ".sock"));
}

/* Programs that do not come up: named, and nothing is left. */
static void
test_broken_programs(void **state)
{
	static const struct {
		const char *name, *holder;
		bool empty_init;
		const char *detail;
		unsigned times;
	} rows[] = {
		/* Who says so first, its end or what init finds at the terminal, is chance. */
		{ "the holder ends at once", "/bin/true", false, "holder: ", 100 },
		{ "the init is no program", NULL, true, "init: Exec format error", 1 },
	};
	struct pl_plan plan;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int empty = memfd_create("empty", MFD_CLOEXEC);
		int holder = rows[i].holder ? open(rows[i].holder, O_PATH | O_CLOEXEC) : holder_exe;

		print_message("%s\n", rows[i].name);
		kill_role(&spawner);
		start_spawner(holder, rows[i].empty_init ? empty : init_exe);
		wire_spawner();
		for (unsigned n = 0; n < rows[i].times; n++) {
			plan = new_plan();
			assert_refused(MSG_PTY_CREATE, &plan, FOG_E_SPAWN);
			assert_memory_equal(place.m.u.refused.detail.p, rows[i].detail,
			    strlen(rows[i].detail));
			await_no_file(&plan.session_id,
			    ".rec"); /* the refusal may be here before it */
			await_no_file(&plan.session_id, ".sock");
		}
		close(empty);
		if (rows[i].holder)
			close(holder);
	}
	kill_role(&spawner);
	start_spawner(holder_exe, init_exe);
	wire_spawner();
}

static void
write_file(const char *name, const char *bytes, size_t len)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", sessions, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	if (geteuid() == 0)
		assert_int_equal(fchown(fd, PTYD_UID, PTYD_UID), 0);
	close(fd);
}

static bool
has_file(const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", sessions, name);
	return access(path, F_OK) == 0;
}

static void
remove_file(const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", sessions, name);
	assert_int_equal(unlink(path), 0);
}

/* What cannot be read is left alone; of another version nothing is touched (R5, R7). */
static void
test_strange_files(void **state)
{
	static const char junk[] = "README", broken[] = "01234567-0123-8123-8123-0123456789ab.rec",
			  unfinished[] = "01234567-0123-8123-8123-0123456789ac.tmp",
			  other[] = "01234567-0123-8123-8123-0123456789ad.rec";
	unsigned status;
	int exit_status;

	(void)state;
	kill_role(&ptyd);
	write_file(junk, "hello", 5);
	write_file(broken, "fogr\0\0\0\1", 8);
	write_file(unfinished, "fogr", 4);
	start_ptyd();
	wire_spawner();
	take_list(NULL, &status);
	assert_true(has_file(junk));
	assert_true(has_file(broken));
	assert_false(has_file(unfinished));
	remove_file(junk);
	remove_file(broken);
	kill_role(&ptyd);
	write_file(other, "fogr\0\0\0\177anything", 16);
	start_role(&ptyd, -1, -1);
	assert_int_equal(waitpid(ptyd.pid, &exit_status, 0), ptyd.pid);
	assert_true(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 1);
	assert_true(has_file(other));
	remove_file(other);
	start_ptyd();
	wire_spawner();
	take_list(NULL, &status);
}

/* A broker that has been broken into cannot have just anybody killed. */
static void
test_spawner_kills_sessions_alone(void **state)
{
	struct pl_session_id id = { new_plan().session_id };
	struct wire as_broker = { .fd = -1 };
	int pair[2], self, status;
	pid_t bystander = fork();

	(void)state;
	if (bystander == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	kill_role(&spawner);
	start_spawner(holder_exe, init_exe);
	pair_of(pair);
	as_broker.fd = pair[0];
	give_end(&spawner, EDGE_PTY_SPAWN, pair[1]);
	wire_hello(&as_broker, EDGE_PTY_SPAWN, epoch);
	self = (int)syscall(SYS_pidfd_open, bystander, 0);
	assert_true(self >= 0);
	assert_true(wire_send(&as_broker, MSG_SPAWN_KILL, 0, &id, self));
	assert_false(wire_expect(&as_broker, MSG_PTY_SPAWNED)); /* it hangs up */
	assert_true(wire_expect(&spawner.control, MSG_CTL_PEER_BAD));
	assert_int_equal(waitpid(bystander, &status, WNOHANG), 0);
	kill(bystander, SIGKILL);
	waitpid(bystander, &status, 0);
	close(as_broker.fd);
	wire_spawner();
}

/* Nor can it give two sessions the ids of one slot (S29). */
static void
test_spawner_slots(void **state)
{
	struct pl_spawn order = { .slot = 7,
		.cols = 80,
		.rows = 24,
		.cpu_milli = 500,
		.memory_bytes = 1 << 29,
		.storage_bytes = 1 << 30,
		.pids = 512 };
	struct wire as_broker = { .fd = -1 };
	int pair[2];

	(void)state;
	pair_of(pair);
	as_broker.fd = pair[0];
	give_end(&spawner, EDGE_PTY_SPAWN, pair[1]);
	wire_hello(&as_broker, EDGE_PTY_SPAWN, epoch);
	assert_true(wire_expect(&as_broker, MSG_HELLO));
	kill(spawner.pid, SIGSTOP); /* both are there before the first can come to its end */
	assert_int_equal(waitpid(spawner.pid, NULL, WUNTRACED), spawner.pid);
	for (uint64_t i = 1; i <= 2; i++) {
		order.session_id = new_plan().session_id;
		assert_true(wire_send(&as_broker, MSG_SPAWN_SESSION, next_request + i, &order,
		    memfd_create("no-plan", MFD_CLOEXEC)));
	}
	kill(spawner.pid, SIGCONT);
	assert_true(wire_expect(&as_broker, MSG_PTY_SPAWN_FAILED));
	assert_int_equal(as_broker.m.u.spawn_failed.stage, STAGE_PLAN);
	assert_int_equal(as_broker.m.u.spawn_failed.error_number, EBUSY);
	/* The other fails as its plan is none, and then the slot is free again. */
	assert_true(wire_expect(&as_broker, MSG_PTY_SPAWN_FAILED));
	assert_int_equal(as_broker.m.u.spawn_failed.stage, STAGE_HOLDER);
	assert_true(wire_send(&as_broker, MSG_SPAWN_SESSION, next_request + 3, &order,
	    memfd_create("no-plan", MFD_CLOEXEC)));
	assert_true(wire_expect(&as_broker, MSG_PTY_SPAWN_FAILED));
	assert_int_equal(as_broker.m.u.spawn_failed.stage, STAGE_HOLDER);
	close(as_broker.fd);
	wire_spawner();
}

/* What is no slot can be measured, which is all of them, but not released. */
static void
test_spawner_measures_all(void **state)
{
	struct pl_slot all = { .slot = SESSION_SLOTS };
	struct wire as_broker = { .fd = -1 };
	int pair[2];

	(void)state;
	pair_of(pair);
	as_broker.fd = pair[0];
	give_end(&spawner, EDGE_PTY_SPAWN, pair[1]);
	wire_hello(&as_broker, EDGE_PTY_SPAWN, epoch);
	assert_true(wire_expect(&as_broker, MSG_HELLO));
	assert_true(wire_send(&as_broker, MSG_SPAWN_USAGE, ++next_request, &all, -1));
	assert_true(wire_expect(&as_broker, MSG_PTY_STATS));
	assert_true(id_is_zero(&as_broker.m.u.usage.session_id));
	assert_true(wire_send(&as_broker, MSG_SPAWN_RELEASE, 0, &all, -1));
	assert_false(wire_expect(&as_broker, MSG_PTY_STATS)); /* it hangs up */
	assert_true(wire_expect(&spawner.control, MSG_CTL_PEER_BAD));
	close(as_broker.fd);
	wire_spawner();
}

/* --- holders that are not of this build --- */

#define FAKE_SLOT 0 /* the first that a new session would get */

struct fake {
	const char *name;
	uint64_t hash_off; /* 0: it speaks our version, and lies then */
	unsigned status;   /* in its record */
	int64_t expires_in_s;
	int attach_error;
	unsigned refuses_with; /* not 0: it is of our version, and answers so whatever is asked */
	bool hangs_up;         /* such a one, when it has told its end */
};

static struct id128
write_record(const struct fake *f)
{
	unsigned char bytes[RECORD_MAX_BYTES];
	struct pl_session_record r = { .profile = view_of("default"),
		.status = (uint8_t)f->status,
		.created_s = (uint64_t)wall_s() - 100,
		.expires_s = (uint64_t)(wall_s() + f->expires_in_s),
		.node = view_of("here"),
		.region = view_of("local"),
		.tier = TIER_FOG,
		.placement_reason = view_of("only_node"),
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.idem_key = view_of(""),
		.slot = FAKE_SLOT };
	char name[RECORD_NAME_SIZE];
	struct writer w;

	assert_int_equal(id_session_new(3, &r.session_id), 0);
	writer_init(&w, bytes, sizeof(bytes));
	assert_int_equal(record_encode(&w, &r), 0);
	record_name(&r.session_id, RECORD_FILE_REC, name);
	write_file(name, (const char *)bytes, w.len);
	return r.session_id;
}

static int
bind_socket(const struct id128 *id)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char name[RECORD_NAME_SIZE];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	record_name(id, RECORD_FILE_SOCKET, name);
	assert_true(snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", sessions, name) <
	    (int)sizeof(at.sun_path));
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(at.sun_path, PTYD_UID, PTYD_UID), 0);
	return fd;
}

/* Shows the nonce of its record, and then refuses. */
static void
play_refusing(const struct fake *f, struct wire *to)
{
	struct pl_holder_hello hello = { .profile = view_of("default"),
		.status = STATUS_DETACHED,
		.created_s = 1000,
		.expires_s = (uint64_t)(wall_s() + f->expires_in_s),
		.node = view_of("here"),
		.region = view_of("local"),
		.tier = TIER_FOG,
		.placement_reason = view_of("only_node"),
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.idem_key = view_of(""),
		.slot = FAKE_SLOT };
	struct pl_holder_refused no = { .error = (uint16_t)f->refuses_with,
		.rule_id = view_of(""),
		.detail = view_of("") };
	struct pl_state end = { .status = STATUS_TERMINATED, .end_reason = END_REQUEST };

	while (wire_receive(to, -1) == 1) {
		if (to->m.type == MSG_HOLD_HELLO) {
			hello.session_id = to->m.u.nonce.session_id;
			wire_send(to, MSG_PTY_HOLDER_HELLO, 0, &hello, -1);
		} else if (to->m.request_id != 0) {
			wire_send(to, MSG_PTY_HOLDER_REFUSED, to->m.request_id, &no, -1);
		} else if (to->m.type == MSG_HOLD_END && f->hangs_up) {
			end.session_id = to->m.u.end.session_id;
			wire_send(to, MSG_PTY_HOLDER_STATE, 0, &end, -1);
			shutdown(to->fd, SHUT_RDWR);
		}
	}
}

/*
 * With the ids of its slot; greets whoever connects. One of another version hangs up when it has
 * been greeted, as a real one does; the other says something wrong.
 */
static _Noreturn void
play_holder(const struct fake *f, int listener, int ready)
{
	struct pl_hello hello = { msg_edge_hash(EDGE_HOLDER) ^ f->hash_off, 1 };
	uid_t uid = geteuid();

	prctl(PR_SET_NAME, "holder", 0, 0, 0);
	if (uid == 0 &&
	    (slots_holder_uid(1879048192, FAKE_SLOT, &uid) != 0 || setresuid(uid, uid, uid) != 0))
		_exit(97);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the last change of ids */
	listen(listener, 4);
	close(ready);
	for (;;) {
		struct wire to = { .fd = accept(listener, NULL, NULL) };

		wire_send(&to, MSG_HELLO, 0, &hello, -1);
		if (f->refuses_with != 0)
			play_refusing(f, &to);
		else if (f->hash_off == 0)
			wire_send(&to, MSG_HELLO, 0, &hello, -1);
		while (wire_receive(&to, WIRE_WAIT_MS) == 1 && f->hash_off == 0)
			;
		close_fd(&to.fd);
	}
}

/* A holder that an earlier ptyd left, found by a new one. */
static pid_t
start_fake(const struct fake *f, struct id128 *id)
{
	int listener, ready[2];
	char none;
	pid_t pid;

	print_message("%s\n", f->name);
	kill_role(&ptyd);
	*id = write_record(f);
	listener = bind_socket(id);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		play_holder(f, listener, ready[1]);
	close(listener);
	close(ready[1]);
	assert_int_equal(read(ready[0], &none, 1), 0);
	close(ready[0]);
	start_ptyd();
	wire_spawner();
	return pid;
}

static void
await_fake(pid_t pid, int sig)
{
	int status;

	await_death(pid);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == sig);
}

static const struct fake strangers[] = {
	{ "of another version", 1, STATUS_DETACHED, 600, FOG_E_HOLDER_VERSION, 0, false },
	{ "of our version, and it lies", 0, STATUS_DETACHED, 600, FOG_E_UNAVAILABLE, 0, false },
};

/* Listed, neither attached nor extended nor given its ids away, and ended when that is asked. */
static void
test_foreign_holder(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(strangers); i++) {
		const struct fake *f = &strangers[i];
		struct pl_extend extend = { .ttl_seconds = 700 };
		struct pl_grant g;
		struct id128 id, other;
		unsigned status;
		pid_t pid = start_fake(f, &id);

		take_list(&id, &status);
		assert_int_equal(status, STATUS_DETACHED);
		g = grant_for(&id);
		assert_refused(MSG_PTY_ATTACH, &g, f->attach_error);
		extend.session_id = id;
		assert_refused(MSG_PTY_EXTEND, &extend, f->attach_error);
		other = create();
		assert_int_not_equal(logged_pid(&other, " slot="), FAKE_SLOT);
		end_session(&other);
		assert_true(is_alive(pid));
		end_session(&id);
		await_fake(pid, SIGKILL);
		await_no_file(&id, ".sock");
	}
}

/* The error of a later build is none of ours: the request is answered all the same. */
static void
test_unknown_error_of_a_holder(void **state)
{
	static const struct fake later = { .name = "of a later build",
		.status = STATUS_DETACHED,
		.expires_in_s = 600,
		.refuses_with = UINT16_MAX };
	struct id128 id;
	unsigned status;
	pid_t pid = start_fake(&later, &id);
	struct pl_grant g = grant_for(&id);
	struct pl_extend extend = { id, 700 };

	(void)state;
	take_list(&id, &status);
	assert_int_equal(status, STATUS_DETACHED);
	assert_refused(MSG_PTY_ATTACH, &g, FOG_E_INTERNAL);
	assert_refused(MSG_PTY_EXTEND, &extend, FOG_E_INTERNAL);
	end_session(&id);
	await_fake(pid, SIGKILL);
	await_no_file(&id, ".sock");
}

/* It cannot be told that its end is known, so it would stay for minutes, and its slot with it. */
static void
test_holder_that_hangs_up(void **state)
{
	static const struct fake deaf = { .name = "hangs up",
		.status = STATUS_DETACHED,
		.expires_in_s = 600,
		.refuses_with = FOG_E_FULL,
		.hangs_up = true };
	struct id128 id;
	unsigned status;
	pid_t pid = start_fake(&deaf, &id);

	(void)state;
	take_list(&id, &status);
	assert_int_equal(status, STATUS_DETACHED);
	end_session(&id);
	poll(NULL, 0, 5000); /* so long it may have output for its clients */
	assert_true(is_alive(pid));
	await_fake(pid, SIGKILL);
	await_no_file(&id, ".sock");
	assert_true(file_exists(&id, ".rec"));
}

/* placerd is told which of them cannot be attached, and every new placerd again. */
static void
test_foreign_holder_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(strangers); i++) {
		const struct fake *f = &strangers[i];
		unsigned named = 0;
		struct id128 id;
		pid_t pid = start_fake(f, &id);

		for (int placerds = 0; placerds < 2; placerds++) {
			do {
				assert_int_equal(wire_receive(&place, WIRE_WAIT_MS), 1);
				if (place.m.type == MSG_PLACE_KNOWN &&
				    id_equal(&id, &place.m.u.known.session_id))
					named += place.m.u.known.other_version;
			} while (place.m.type != MSG_PLACE_KNOWN_ALL);
			wire_neighbour(EDGE_PLACE_PTY, &place);
		}
		assert_int_equal(named, f->attach_error == FOG_E_HOLDER_VERSION ? 2 : 0);
		end_session(&id);
		await_fake(pid, SIGKILL);
	}
}

/* Its end by itself is seen; what it was called follows from its time. */
static void
test_foreign_holder_ends(void **state)
{
	static const struct {
		struct fake fake;
		unsigned status, reason;
	} rows[] = {
		{ { "after its time", 1, STATUS_DETACHED, -1, 0, 0, false }, STATUS_EXPIRED,
		    END_TTL },
		{ { "before its time", 1, STATUS_DETACHED, 600, 0, 0, false }, STATUS_LOST,
		    END_HOLDER },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct id128 id, other;
		unsigned status;
		pid_t pid = start_fake(&rows[i].fake, &id);

		take_list(&id, &status);
		assert_int_equal(status, STATUS_DETACHED);
		kill(pid, SIGTERM);
		expect_state(rows[i].status, rows[i].reason);
		keep(&id);
		await_fake(pid, SIGTERM);
		await_no_file(&id, ".sock");
		other = create();
		assert_int_equal(logged_pid(&other, " slot="), FAKE_SLOT); /* free again */
		end_session(&other);
		await_no_file(&other, ".sock");
	}
}

/* Of a create that nobody was told of nothing stays, whoever made it (R3). */
static void
test_foreign_holder_half_made(void **state)
{
	static const struct fake half = { "half made", 1, STATUS_STARTING, 600, 0, 0, false };
	struct id128 id;
	unsigned status;
	pid_t pid = start_fake(&half, &id);

	(void)state;
	take_list(&id, &status);
	assert_int_equal(status, 0);
	await_fake(pid, SIGKILL);
	await_no_file(&id, ".rec");
	await_no_file(&id, ".sock");
}

/* Without a spawner the kill waits for the next one. */
static void
test_foreign_holder_without_spawner(void **state)
{
	struct id128 id;
	unsigned status;
	pid_t pid = start_fake(&strangers[0], &id);
	struct pl_end end = { id, END_REQUEST };

	(void)state;
	take_list(&id, &status);
	kill_role(&spawner);
	assert_true(wire_send(&place, MSG_PTY_END, ++next_request, &end, -1));
	poll(NULL, 0, 100);
	assert_true(is_alive(pid));
	start_spawner(holder_exe, init_exe);
	wire_spawner();
	expect_state(STATUS_TERMINATED, END_REQUEST);
	keep(&id);
	await_fake(pid, SIGKILL);
	await_no_file(&id, ".sock");
}

/*
 * A record that is lost takes the nonces with it: the holder is left alone, its ids are not given
 * to another, and a socket without a holder goes.
 */
static void
test_holder_without_record(void **state)
{
	struct id128 id, stale, other;
	char name[RECORD_NAME_SIZE];
	unsigned status;
	pid_t pid = start_fake(&strangers[0], &id);

	(void)state;
	take_list(&id, &status);
	kill_role(&ptyd);
	record_name(&id, RECORD_FILE_REC, name);
	write_file(name, "fogr\0\0\0\1", 8);
	assert_int_equal(id_session_new(3, &stale), 0);
	close(bind_socket(&stale));
	start_ptyd();
	wire_spawner();
	take_list(&id, &status);
	assert_int_equal(status, 0);
	assert_true(has_file(name));
	assert_false(file_exists(&stale, ".sock"));
	other = create();
	if (geteuid() == 0) /* else there are no ids to tell them by, nor to share */
		assert_int_not_equal(logged_pid(&other, " slot="), FAKE_SLOT);
	end_session(&other);
	assert_true(is_alive(pid));
	kill(pid, SIGKILL);
	await_fake(pid, SIGKILL);
	remove_file(name);
	record_name(&id, RECORD_FILE_SOCKET, name);
	remove_file(name);
}

/* --- a holder that comes up and says nothing --- */

#define MUTE_NAME "mute-holder"

#define SLOW_PROFILE "slow" /* of a session whose holder shows its nonce when it is told to */

static void
go_on(int number)
{
	(void)number;
}

static void
send_holder_hello(struct wire *to, const struct pl_holder_plan *plan)
{
	struct pl_holder_hello hello = { .nonce = plan->nonce, .slot = plan->slot };

#define COPY_FIELD(type, kind, name, min, max) hello.name = plan->name;
	FIELDS_owned(COPY_FIELD, )
#undef COPY_FIELD
	    hello.status = STATUS_DETACHED;
	wire_send(to, MSG_PTY_HOLDER_HELLO, 0, &hello, -1);
}

/* As a real one, but that it waits for SIGUSR1 before it proves itself; then it lives on. */
static _Noreturn void
play_slow(const struct pl_holder_plan *plan)
{
	struct pl_hello hello = { msg_edge_hash(EDGE_HOLDER), 1 };
	struct wire to;

	wire_wait(HOLDER_FD_LISTEN, -1);
	to.fd = accept(HOLDER_FD_LISTEN, NULL, NULL);
	wire_send(&to, MSG_HELLO, 0, &hello, -1);
	while (wire_receive(&to, -1) == 1 && to.m.type != MSG_HOLD_HELLO)
		;
	pause();
	send_holder_hello(&to, plan);
	for (;;)
		pause();
}

static void
read_holder_plan(struct pl_holder_plan *plan)
{
	static unsigned char bytes[RECORD_MAX_BYTES];
	ssize_t n = pread(HOLDER_FD_PLAN, bytes, sizeof(bytes), 0);
	struct reader r;

	reader_init(&r, bytes, n > 0 ? (size_t)n : 0);
	if (codec_get(&r, &msg_layouts[PAYLOAD_holder_plan], plan, NULL) != 0)
		_exit(96);
}

/* What a holder is started as; this program plays it when it is started so. */
static _Noreturn void
play_mute(void)
{
	struct pl_holder_plan plan;

	read_holder_plan(&plan);
	signal(SIGUSR1, go_on);
	prctl(PR_SET_NAME, MUTE_NAME, 0, 0, 0);
	listen(HOLDER_FD_LISTEN, 4);
	close(HOLDER_FD_REPORT);
	if (view_is(plan.profile, SLOW_PROFILE))
		play_slow(&plan);
	for (;;)
		pause();
}

static bool
is_child_of(pid_t pid, pid_t parent)
{
	char path[64], text[512] = "", *at;
	cleanup_fd int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return false;
	at = strrchr(text, ')'); /* then the state and the parent */
	return at && strlen(at) > 4 && strtol(at + 4, NULL, 10) == parent;
}

/* Of our own spawner; others may run this test beside us. 0: there is none. */
static pid_t
find_mute(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	while ((e = readdir(d))) {
		char path[300], name[32] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 &&
		    strcmp(name, MUTE_NAME "\n") == 0 &&
		    is_child_of((pid_t)strtol(e->d_name, NULL, 10), spawner.pid))
			found = (pid_t)strtol(e->d_name, NULL, 10);
		close_fd(&fd);
	}
	closedir(d);
	return found;
}

/* As its ids have it. */
static uint32_t
slot_of(pid_t pid)
{
	char path[64], text[4096] = "", *at;
	uint32_t slot;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	at = strstr(text, "Uid:");
	assert_non_null(at);
	assert_true(plan_slot_of_holder(1879048192, (uid_t)strtoul(at + 4, NULL, 10), &slot));
	return slot;
}

/* Orders a session whose holder this program plays, and waits until the broker has connected. */
static pid_t
order_mute(const struct pl_plan *plan)
{
	int mute_exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	pid_t mute;

	kill_role(&spawner);
	start_spawner(mute_exe, init_exe);
	wire_spawner();
	await_spawner_edge();
	assert_true(wire_send(&place, MSG_PTY_CREATE, ++next_request, plan, -1));
	for (int i = 0; i < 500 && !find_mute(); i++)
		poll(NULL, 0, 10);
	poll(NULL, 0, 500);
	mute = find_mute();
	assert_true(mute > 0);
	close(mute_exe);
	return mute;
}

/* Refused, it lives and nobody can kill it: no other session gets its ids, and it goes in the end. */
static void
expect_ids_kept(const struct pl_plan *plan, pid_t mute)
{
	struct id128 other;
	uint32_t slot;

	expect_place(MSG_PLACE_REFUSED);
	assert_int_equal(place.m.request_id, next_request);
	assert_true(is_alive(mute));
	slot = slot_of(mute);
	start_spawner(holder_exe, init_exe);
	wire_spawner();
	await_spawner_edge();
	other = create();
	if (geteuid() == 0) /* else there are no ids to share */
		assert_false(is_alive(mute) && slot == (uint32_t)logged_pid(&other, " slot="));
	await_death(mute);
	end_session(&other);
	await_no_file(&plan->session_id, ".rec");
	await_no_file(&plan->session_id, ".sock");
}

/* Given up while nobody can kill it, it keeps its ids for as long as it lives (S29). */
static void
test_mute_holder_without_spawner(void **state)
{
	struct pl_plan plan = new_plan();
	pid_t mute = order_mute(&plan);

	(void)state;
	kill_role(&spawner);
	expect_ids_kept(&plan, mute);
}

/* The same when it has proved itself, and that it has begun cannot be written down. */
static void
test_unwritable_record_without_spawner(void **state)
{
	struct pl_plan plan = new_plan();
	pid_t mute;

	(void)state;
	plan.profile = view_of(SLOW_PROFILE);
	mute = order_mute(&plan);
	kill_role(&spawner);
	if (geteuid() == 0)
		assert_int_equal(chown(sessions, 0, 0), 0);
	assert_int_equal(chmod(sessions, geteuid() == 0 ? 0755 : 0500), 0);
	kill(mute, SIGUSR1);
	assert_true(wire_wait(place.fd, WIRE_WAIT_MS));
	assert_int_equal(chmod(sessions, 0700), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(sessions, PTYD_UID, PTYD_UID), 0);
	expect_ids_kept(&plan, mute);
}

/* The order to end all sessions: they go, and the records say why. */
static void
test_stop_with_sessions(void **state)
{
	struct id128 id = create();
	pid_t shell = shell_of(&id), holder = logged_pid(&id, "holder_pid=");
	struct pl_stop stop = { .end_sessions = 1 };
	unsigned status;
	int exit_status;

	(void)state;
	assert_true(wire_send(&ptyd.control, MSG_CTL_STOP, 0, &stop, -1));
	assert_int_equal(waitpid(ptyd.pid, &exit_status, 0), ptyd.pid);
	assert_true(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0);
	await_death(shell);
	await_death(holder);
	start_ptyd();
	wire_spawner();
	take_list(&id, &status);
	assert_int_equal(status, STATUS_TERMINATED);
	keep(&id);
	await_no_file(&id, ".sock");
}

static unsigned
count_fds(pid_t pid)
{
	char path[64];
	unsigned n = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	if (!d)
		return 0;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void
live_and_die(void)
{
	struct id128 id = create();
	int fd = attach(&id);

	close(fd);
	end_session(&id);
	await_no_file(&id, ".sock");
	await_death(logged_pid(&id, "holder_pid="));
}

/* Nothing grows: descriptors of both, zombies, files. */
static void
test_no_leaks(void **state)
{
	unsigned fds_before[2], files_before;
	char path[64], text[64] = "";
	int fd;

	(void)state;
	live_and_die(); /* all that came before has settled */
	poll(NULL, 0, 100);
	fds_before[0] = count_fds(ptyd.pid);
	fds_before[1] = count_fds(spawner.pid);
	files_before = count_files();
	for (int i = 0; i < 40; i++)
		live_and_die();
	poll(NULL, 0, 100);
	assert_int_equal(count_files(), files_before + 40);
	assert_int_equal(count_fds(ptyd.pid), fds_before[0]);
	assert_int_equal(count_fds(spawner.pid), fds_before[1]);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", spawner.pid, spawner.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, text, sizeof(text)), 0);
	close(fd);
}

/* --- the group --- */

static int
set_up(void **state)
{
	char path[64];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	place.fd = delivery.fd = ptyd.control.fd = spawner.control.fd = -1;
	holder_exe = open_program("holder");
	init_exe = open_program("session-init");
	assert_non_null(mkdtemp(folder));
	snprintf(sessions, sizeof(sessions), "%s/sessions", folder);
	assert_int_equal(mkdir(sessions, 0700), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(sessions, PTYD_UID, PTYD_UID), 0);
	snprintf(path, sizeof(path), "%s/log", folder);
	log_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

static void
print_log(void)
{
	char bytes[4096];
	ssize_t n;
	off_t at = 0;

	while ((n = pread(log_fd, bytes, sizeof(bytes), at)) > 0) {
		at += n;
		fwrite(bytes, 1, (size_t)n, stdout);
	}
}

static void
remove_folder(const char *path)
{
	char name[PATH_MAX];
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		unlink(name);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static int
tear_down(void **state)
{
	(void)state;
	kill_role(&ptyd);
	kill_role(&spawner);
	if (getenv("FOG_TEST_LOG"))
		print_log();
	remove_folder(sessions);
	remove_folder(folder);
	return access(folder, F_OK) == 0 ? -1 : 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_viewer),
		cmocka_unit_test(test_extend),
		cmocka_unit_test(test_extend_unheard),
		cmocka_unit_test(test_extend_late),
		cmocka_unit_test(test_confirm),
		cmocka_unit_test(test_confirm_unheard),
		cmocka_unit_test(test_unconfirmed_without_broker),
		cmocka_unit_test(test_attach_confirms),
		cmocka_unit_test(test_renew),
		cmocka_unit_test(test_detach),
		cmocka_unit_test(test_orders_before_the_holder_is_joined),
		cmocka_unit_test(test_end_now),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_no_delivery),
		cmocka_unit_test(test_broker_dies),
		cmocka_unit_test(test_end_unheard),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_spawner_dies),
		cmocka_unit_test(test_holder_dies),
		cmocka_unit_test(test_half_made),
		cmocka_unit_test(test_spawner_dies_making),
		cmocka_unit_test(test_broken_programs),
		cmocka_unit_test(test_strange_files),
		cmocka_unit_test(test_spawner_kills_sessions_alone),
		cmocka_unit_test(test_spawner_slots),
		cmocka_unit_test(test_spawner_measures_all),
		cmocka_unit_test(test_foreign_holder),
		cmocka_unit_test(test_unknown_error_of_a_holder),
		cmocka_unit_test(test_holder_that_hangs_up),
		cmocka_unit_test(test_foreign_holder_is_named),
		cmocka_unit_test(test_foreign_holder_ends),
		cmocka_unit_test(test_foreign_holder_half_made),
		cmocka_unit_test(test_foreign_holder_without_spawner),
		cmocka_unit_test(test_holder_without_record),
		cmocka_unit_test(test_mute_holder_without_spawner),
		cmocka_unit_test(test_unwritable_record_without_spawner),
		cmocka_unit_test(test_stop_with_sessions),
		cmocka_unit_test(test_no_leaks),
	};

	if (argc == 1 && strcmp(argv[0], "holder") == 0)
		play_mute();
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
