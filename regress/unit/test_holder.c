/* SPDX-License-Identifier: MIT */
/*
 * The life of a session in a real holder: its shell, its end, its broker, its one driver.
 * links: ptyd/launch.c ptyd/initplan.c ptyd/connector_stub.c ptyd/pty.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "regress/unit/holder_session.h"

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
		/* 0 1 2, master, listener, init, its pidfd, image, slot, broker, the boot clock, libevent's 3. */
		assert_int_equal(fds, 14);
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
	assert_int_equal(second->statuses[STREAM_STATE_TOOK_OVER], 1);
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

static void
await_status(struct stream *t, unsigned status)
{
	while (t->status != status)
		assert_true(stream_step(t, WAIT_MS));
}

/* Made at 1, by the plan: so it ends at 1 and its life. */
static void
test_extend(void **state)
{
	struct session s;
	struct stream *t;
	struct pl_extend want;
	uint64_t start = mono_ms();

	(void)state;
	start_session(&s, 2);
	join(&s);
	t = attach(&s);
	want = (struct pl_extend){ s.id, 4 };
	assert_true(wire_send(&s.broker, MSG_HOLD_EXTEND, 80, &want, -1));
	expect(&s, MSG_PTY_HOLDER_EXTENDED);
	assert_int_equal(s.broker.m.request_id, 80);
	assert_true(id_equal(&s.broker.m.u.extended.session_id, &s.id));
	assert_int_equal(s.broker.m.u.extended.expires_s, 5);
	await_status(t, STREAM_STATE_EXTENDED);
	assert_int_equal(t->status_at_s, 5);
	want.ttl_seconds = 3;
	assert_true(wire_send(&s.broker, MSG_HOLD_EXTEND, 81, &want, -1));
	expect(&s, MSG_PTY_HOLDER_REFUSED);
	assert_int_equal(s.broker.m.request_id, 81);
	assert_int_equal(s.broker.m.u.holder_refused.error, FOG_E_TTL);
	join(&s);
	assert_int_equal(s.broker.m.u.holder_hello.expires_s, 5);
	await_end(t);
	assert_in_range(mono_ms() - start, 3900, 8000);
	assert_int_equal(t->status, STREAM_STATE_EXPIRING);
	assert_int_equal(t->status_at_s, 5);
	assert_int_equal(t->exit.end_reason, END_TTL);
	expect_state(&s, STATUS_EXPIRED);
	assert_true(wire_send(&s.broker, MSG_HOLD_EXTEND, 82, &want, -1));
	expect(&s, MSG_PTY_HOLDER_REFUSED);
	assert_int_equal(s.broker.m.u.holder_refused.error, FOG_E_SESSION_ENDED);
	stream_free(t);
	finish(&s);
}

/* Whose session, and whose broker, an extension is for is checked as for every other word. */
static void
test_extend_of_another(void **state)
{
	struct session s;
	struct pl_extend want = { .ttl_seconds = 900 };

	(void)state;
	start_session(&s, 600);
	join(&s);
	assert_int_equal(id_session_new(2, &want.session_id), 0);
	assert_true(wire_send(&s.broker, MSG_HOLD_EXTEND, 80, &want, -1));
	while (wire_receive(&s.broker, WAIT_MS) == 1)
		assert_int_not_equal(s.broker.m.type, MSG_PTY_HOLDER_EXTENDED);
	join(&s);
	end_and_finish(&s);
}

/* The job that has the terminal keeps the session; once it is over, a background job does not. */
static void
start_provisional(struct session *s, uint64_t ms)
{
	confirm_by_boot_ms = boot_ms() + ms;
	start_session(s, 60);
	join(s);
	assert_true(s->broker.m.u.holder_hello.confirm_by_boot_ms == confirm_by_boot_ms);
	confirm_by_boot_ms = 0;
}

static uint64_t
confirm(struct session *s, uint64_t by_boot_ms)
{
	struct pl_confirm want = { s->id, by_boot_ms };

	assert_true(wire_send(&s->broker, MSG_HOLD_CONFIRM, 83, &want, -1));
	expect(s, MSG_PTY_HOLDER_CONFIRMED);
	assert_int_equal(s->broker.m.request_id, 83);
	assert_true(id_equal(&s->broker.m.u.confirm.session_id, &s->id));
	return s->broker.m.u.confirm.confirm_by_boot_ms;
}

/* Whoever is there to hear of it, and also when nobody is. */
static void
test_unconfirmed(void **state)
{
	static const bool is_heard[] = { true, false };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(is_heard); i++) {
		struct pl_confirm want = { 0 };
		uint64_t start = mono_ms();
		struct session s;

		start_provisional(&s, 600);
		if (is_heard[i]) {
			expect_state(&s, STATUS_TERMINATED);
			assert_int_equal(s.broker.m.u.state.end_reason, END_ABANDONED);
			assert_in_range(mono_ms() - start, 500, 5000);
		} else {
			close_fd(&s.broker.fd);
			poll(NULL, 0, 1500);
			join(&s);
			assert_int_equal(s.broker.m.u.holder_hello.status, STATUS_TERMINATED);
			assert_int_equal(s.broker.m.u.holder_hello.end_reason, END_ABANDONED);
		}
		want.session_id = s.id;
		assert_true(wire_send(&s.broker, MSG_HOLD_CONFIRM, 84, &want, -1));
		expect(&s, MSG_PTY_HOLDER_REFUSED);
		assert_int_equal(s.broker.m.u.holder_refused.error, FOG_E_SESSION_ENDED);
		finish(&s);
	}
}

/* It may be told to wait longer; once it stays, it stays, whatever is said later. */
static void
test_confirmed(void **state)
{
	struct session s;
	uint64_t later = boot_ms() + 1200;

	(void)state;
	start_provisional(&s, 600);
	assert_true(confirm(&s, later) == later);
	poll(NULL, 0, 700);
	join(&s);
	assert_true(s.broker.m.u.holder_hello.confirm_by_boot_ms == later);
	assert_true(confirm(&s, 0) == 0);
	assert_true(confirm(&s, boot_ms() + 10) == 0);
	poll(NULL, 0, 800);
	join(&s);
	assert_int_equal(s.broker.m.u.holder_hello.status, STATUS_DETACHED);
	assert_true(s.broker.m.u.holder_hello.confirm_by_boot_ms == 0);
	end_and_finish(&s);
}

static void
test_attach_confirms(void **state)
{
	struct session s;
	struct stream *t;

	(void)state;
	start_provisional(&s, 600);
	t = attach(&s);
	stream_free(t);
	poll(NULL, 0, 800);
	join(&s);
	assert_true(s.broker.m.u.holder_hello.confirm_by_boot_ms == 0);
	end_and_finish(&s);
}

/* A confirmation for another session, or of a broker that has not shown its nonce. */
static void
test_confirm_of_another(void **state)
{
	struct session s;
	struct pl_confirm want = { 0 };

	(void)state;
	start_provisional(&s, 60000);
	assert_int_equal(id_session_new(1, &want.session_id), 0);
	assert_true(wire_send(&s.broker, MSG_HOLD_CONFIRM, 85, &want, -1));
	while (wire_receive(&s.broker, WAIT_MS) == 1)
		assert_int_not_equal(s.broker.m.type, MSG_PTY_HOLDER_CONFIRMED);
	join(&s);
	assert_true(s.broker.m.u.holder_hello.confirm_by_boot_ms != 0);
	end_and_finish(&s);
}

static void
test_idle(void **state)
{
	struct session s;
	struct stream *t;
	uint64_t start;

	(void)state;
	start_session_of(&s, 600, 2);
	join(&s);
	t = attach(&s);
	type(t, "sleep 1000 & sleep 4; echo o\"\"ver\n");
	await_text(t, "over\r\n");
	start = mono_ms();
	assert_int_equal(t->status, STREAM_STATE_NONE);
	await_status(t, STREAM_STATE_IDLE);
	assert_in_range(t->status_at_s, wall_s(), wall_s() + 2);
	await_end(t);
	assert_in_range(mono_ms() - start, 1900, 6000);
	assert_true(t->has_exit);
	assert_int_equal(t->exit.end_reason, END_IDLE);
	expect_state(&s, STATUS_EXPIRED);
	assert_int_equal(s.broker.m.u.state.end_reason, END_IDLE);
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
		cmocka_unit_test(test_extend),
		cmocka_unit_test(test_extend_of_another),
		cmocka_unit_test(test_unconfirmed),
		cmocka_unit_test(test_confirmed),
		cmocka_unit_test(test_attach_confirms),
		cmocka_unit_test(test_confirm_of_another),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_brokers),
		cmocka_unit_test(test_end_without_broker),
		cmocka_unit_test(test_killed_holder),
		cmocka_unit_test(test_bad_frames),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
