/* SPDX-License-Identifier: MIT */
/*
 * Several clients of a real holder: a driver and viewers, slow ones, and ones that misbehave.
 * links: ptyd/launch.c ptyd/initplan.c ptyd/connector_stub.c ptyd/pty.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ptyd/holder_window.h"
#include "regress/unit/holder_session.h"

#define VIEWERS_MAX 32
#define QUIET_MS 300

static void
ack(struct stream *t, uint64_t offset)
{
	struct stream_ack a = { offset };

	put_frame(t, STREAM_ACK, &a);
}

static void
resize(struct stream *t, uint16_t cols, uint16_t rows)
{
	struct stream_resize r = { cols, rows };

	put_frame(t, STREAM_RESIZE, &r);
}

static void
probe(struct stream *t, uint64_t value)
{
	struct stream_probe p = { value };

	put_frame(t, STREAM_PROBE, &p);
	while (t->answer != value)
		assert_true(stream_step(t, WAIT_MS));
}

/* Takes all that comes until nothing has come for a while. */
static void
drain(struct stream *t)
{
	while (wire_wait(t->fd, QUIET_MS))
		assert_true(stream_step(t, WAIT_MS));
}

/* --- driver and viewers --- */

static void
test_viewers_watch(void **state)
{
	struct session s;
	struct stream *driver, *first, *second;

	(void)state;
	start_session(&s, 600);
	join(&s);
	driver = attach(&s);
	first = watch(&s);
	assert_int_equal(first->hello.role, ROLE_VIEWER);
	await_statuses(driver, STREAM_STATE_VIEWER_JOINED, 1);
	assert_string_equal(driver->status_detail, "1 viewer");
	second = watch(&s);
	await_statuses(driver, STREAM_STATE_VIEWER_JOINED, 2);
	await_statuses(first, STREAM_STATE_VIEWER_JOINED, 1);
	assert_string_equal(first->status_detail, "2 viewers");
	type(driver, "echo se\"\"en\n");
	await_text(driver, "seen\r\n");
	await_text(first, "seen\r\n");
	await_text(second, "seen\r\n");
	assert_int_equal(second->statuses[STREAM_STATE_VIEWER_JOINED], 0);
	resize(driver, 132, 43);
	while (first->hellos < 2)
		assert_true(stream_step(first, WAIT_MS));
	assert_int_equal(first->hello.cols, 132);
	assert_int_equal(first->hello.rows, 43);
	assert_int_equal(first->hello.out_lost, 0);
	assert_int_equal(driver->hellos, 1);
	stream_free(second);
	await_statuses(driver, STREAM_STATE_VIEWER_LEFT, 1);
	await_statuses(first, STREAM_STATE_VIEWER_LEFT, 1);
	assert_string_equal(first->status_detail, "1 viewer");
	type(driver, "exit 4\n");
	await_end(driver);
	await_end(first);
	assert_int_equal(driver->exit.exit_value, 4);
	assert_int_equal(first->exit.exit_value, 4);
	assert_int_equal(driver->out_len, first->out_len);
	assert_memory_equal(driver->out, first->out, driver->out_len);
	expect_state(&s, STATUS_EXITED);
	stream_free(driver);
	stream_free(first);
	finish(&s);
}

/* What a viewer types and the size it wants are nobody's, which it is told once. */
static void
test_viewer_is_read_only(void **state)
{
	struct session s;
	struct stream *driver, *viewer;

	(void)state;
	start_session(&s, 600);
	join(&s);
	driver = attach(&s);
	viewer = watch(&s);
	resize(viewer, 200, 50);
	type_at(viewer, viewer->hello.in_next, "echo ne\"\"ver\n");
	type_at(viewer, 1u << 20, "echo ne\"\"ver\n"); /* an offset that would end a driver's */
	probe(viewer, 7);
	assert_int_equal(viewer->statuses[STREAM_STATE_READ_ONLY], 1);
	type(driver, "stty size; echo do\"\"ne\n");
	await_text(driver, "24 80\r\n");
	await_text(viewer, "done\r\n");
	assert_null(strstr(viewer->out, "never"));
	ack(viewer, viewer->offset);
	probe(viewer, 8);
	assert_int_equal(viewer->statuses[STREAM_STATE_READ_ONLY], 1);
	stream_free(driver);
	stream_free(viewer);
	end_and_finish(&s);
}

/* The session runs on without a driver, and nobody becomes one by watching. */
static void
test_driver_comes_and_goes(void **state)
{
	struct session s;
	struct stream *driver, *viewer, *next;

	(void)state;
	start_session(&s, 600);
	join(&s);
	viewer = watch(&s);
	driver = attach(&s);
	await_statuses(viewer, STREAM_STATE_DRIVER_JOINED, 1);
	type(driver, "echo first; sleep 0.3; echo a\"\"lone\n");
	await_text(driver, "first\r\n");
	stream_free(driver);
	await_statuses(viewer, STREAM_STATE_DRIVER_LEFT, 1);
	expect_state(&s, STATUS_DETACHED);
	await_text(viewer, "alone\r\n");
	type(viewer, "echo ne\"\"ver\n");
	probe(viewer, 9);
	driver = attach(&s);
	await_statuses(viewer, STREAM_STATE_DRIVER_JOINED, 2);
	/* A take-over is no leaving. */
	next = attach(&s);
	await_statuses(next, STREAM_STATE_TOOK_OVER, 1);
	await_statuses(viewer, STREAM_STATE_DRIVER_JOINED, 3);
	await_end(driver);
	assert_int_equal(driver->status, STREAM_STATE_TAKEN_OVER);
	type(next, "echo la\"\"st\n");
	await_text(viewer, "last\r\n");
	assert_int_equal(viewer->statuses[STREAM_STATE_DRIVER_LEFT], 1);
	assert_null(strstr(viewer->out, "never"));
	assert_int_equal(next->statuses[STREAM_STATE_VIEWER_JOINED], 0);
	stream_free(driver);
	stream_free(next);
	stream_free(viewer);
	end_and_finish(&s);
}

static void
test_too_many_viewers(void **state)
{
	struct stream *driver, *viewers[VIEWERS_MAX];
	struct session s;
	struct pl_grant g;

	(void)state;
	start_session(&s, 600);
	join(&s);
	driver = attach(&s);
	for (int i = 0; i < VIEWERS_MAX; i++)
		viewers[i] = watch(&s);
	g = new_grant(&s);
	g.role = ROLE_VIEWER;
	assert_refused(&s, &g, FOG_E_VIEWERS);
	await_statuses(driver, STREAM_STATE_VIEWER_JOINED, VIEWERS_MAX);
	stream_free(viewers[0]);
	await_statuses(driver, STREAM_STATE_VIEWER_LEFT, 1);
	/* The refused token has not been used. */
	viewers[0] = attach_at(&s, &g);
	type(driver, "exit\n");
	for (int i = 0; i < VIEWERS_MAX; i++) {
		await_end(viewers[i]);
		assert_true(viewers[i]->has_exit);
		stream_free(viewers[i]);
	}
	await_end(driver);
	stream_free(driver);
	expect_state(&s, STATUS_EXITED);
	finish(&s);
}

/* --- slow ones --- */

/* It gets the beginning, a hello that says what is missing, and the end; the driver gets all. */
static void
test_stalled_viewer_gets_a_gap(void **state)
{
	struct session s;
	struct stream *driver, *viewer;
	size_t before, after;

	(void)state;
	start_session(&s, 600);
	join(&s);
	driver = attach(&s);
	viewer = watch(&s);
	type(driver, "seq 300000; echo do\"\"ne\n");
	await_text(driver, "done\r\n");
	assert_non_null(strstr(driver->out, "\r\n299999\r\n300000\r\n"));
	while (viewer->hellos < 2)
		assert_true(stream_step(viewer, WAIT_MS));
	before = (size_t)(viewer->hello.out_from - viewer->hello.out_lost);
	await_text(viewer, "done\r\n");
	drain(driver);
	drain(viewer);
	assert_int_equal(viewer->hellos, 2);
	assert_true(viewer->offset == driver->offset);
	assert_memory_equal(viewer->out, driver->out, before);
	after = viewer->out_len - before;
	assert_memory_equal(viewer->out + before, driver->out + driver->out_len - after, after);
	stream_free(driver);
	stream_free(viewer);
	end_and_finish(&s);
}

/* The old driver stands still in a flood: what it has begun to get is completed first. */
static void
test_take_over_of_a_stalled_driver(void **state)
{
	struct session s;
	struct stream *old, *next;

	(void)state;
	start_session(&s, 600);
	join(&s);
	old = attach(&s);
	type(old, "yes flood\n");
	await_text(old, "flood\r\nflood\r\n");
	poll(NULL, 0, QUIET_MS);
	next = attach(&s);
	await_statuses(next, STREAM_STATE_TOOK_OVER, 1);
	await_end(old); /* every frame of it is whole: see stream_step */
	assert_int_equal(old->status, STREAM_STATE_TAKEN_OVER);
	type(next, "\003");
	type(next, "echo st\"\"opped\n");
	await_text(next, "stopped\r\n");
	stream_free(old);
	stream_free(next);
	end_and_finish(&s);
}

/* As many probes as the holder has room to answer. */
static void
ask_much(struct stream *t)
{
	static unsigned char bytes[128 << 10];
	struct pollfd room = { .fd = t->fd, .events = POLLOUT };
	struct stream_probe p = { 1 };
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	while (stream_put(&w, STREAM_PROBE, &p) == 0)
		;
	for (size_t at = 0; at < w.len && poll(&room, 1, QUIET_MS) == 1;) {
		ssize_t n = send(t->fd, bytes + at, w.len - at, MSG_NOSIGNAL);

		assert_true(n > 0);
		at += (size_t)n;
	}
}

/* Nor do answers that it has not read take the place of the word why it parts. */
static void
test_take_over_of_a_full_driver(void **state)
{
	struct session s;
	struct stream *old, *next;

	(void)state;
	start_session(&s, 600);
	join(&s);
	old = attach(&s);
	type(old, "yes flood\n");
	await_text(old, "flood\r\nflood\r\n");
	poll(NULL, 0, QUIET_MS);
	ask_much(old);
	poll(NULL, 0, QUIET_MS);
	next = attach(&s);
	await_end(old);
	assert_int_equal(old->status, STREAM_STATE_TAKEN_OVER);
	stream_free(old);
	stream_free(next);
	end_and_finish(&s);
}

/* The end is told at once, and clients that do not read it do not keep the session's holder. */
static void
test_end_with_stalled_clients(void **state)
{
	struct session s;
	struct stream *driver, *viewer;
	struct pl_end end = { .end_reason = END_REQUEST };
	uint64_t start;

	(void)state;
	start_session(&s, 600);
	join(&s);
	driver = attach(&s);
	viewer = watch(&s);
	type(driver, "yes flood\n");
	await_text(driver, "flood\r\nflood\r\n");
	poll(NULL, 0, QUIET_MS);
	end.session_id = s.id;
	start = mono_ms();
	assert_true(wire_send(&s.broker, MSG_HOLD_END, 0, &end, -1));
	expect_state(&s, STATUS_TERMINATED);
	assert_true(mono_ms() - start < 4000); /* DRAIN_MS is 2000 */
	finish(&s);
	assert_true(mono_ms() - start < 10000); /* FLUSH_MS is 5000 */
	stream_free(driver);
	stream_free(viewer);
}

/* --- the window --- */

/* An acknowledgement opens the window, and without more of them the program waits. */
static void
test_window_holds_a_flood(void **state)
{
	struct session s;
	struct stream *t;
	uint64_t acked;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	type(t, "PS1=; echo rea\"\"dy\n");
	await_text(t, "ready\r\n");
	ack(t, t->offset);
	type(t, "yes flood\n");
	for (int i = 0; i < 10; i++) {
		acked = t->offset;
		drain(t);
		assert_in_range(t->offset - acked, i == 0 ? 1 : WINDOW_MIN_BYTES / 8,
		    RING_BYTES / 2);
		ack(t, t->offset);
	}
	/* Acknowledged at once it grows no further than it may. */
	for (int i = 0; i < 2000; i++) {
		assert_true(stream_step(t, WAIT_MS));
		ack(t, t->offset);
		if (t->out_len > OUT_MAX / 2)
			break;
	}
	acked = t->offset;
	drain(t);
	assert_true(t->offset - acked <= RING_BYTES / 2);
	ack(t, t->offset);
	type(t, "\003");
	type(t, "echo st\"\"opped\n");
	while (!strstr(t->out, "stopped\r\n")) {
		ack(t, t->offset);
		assert_true(stream_step(t, WAIT_MS));
	}
	stream_free(t);
	end_and_finish(&s);
}

/* So it is while the ring is replayed: the terminal is not read before that is over. */
static void
test_window_holds_a_replay(void **state)
{
	struct session s;
	struct stream *t;
	uint64_t at;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	type(t, "PS1=; sleep 0.2; yes flood\n");
	await_text(t, "yes flood\r\n");
	stream_free(t);
	poll(NULL, 0, 1000);
	t = attach(&s);
	assert_true(t->hello.out_next - t->hello.out_from == RING_BYTES);
	ack(t, t->hello.out_from);
	poll(NULL, 0, 300); /* the acknowledgement is there before the socket has room again */
	drain(t);           /* what the socket took before it */
	assert_true(t->offset < t->hello.out_next);
	while (t->offset < t->hello.out_next) {
		at = t->offset;
		ack(t, at);
		drain(t);
		assert_in_range(t->offset - at, 1, RING_BYTES / 2);
	}
	/* Nothing has been read in the meantime but what fits into the window. */
	assert_true(t->offset <= t->hello.out_next + RING_BYTES / 2);
	stream_free(t);
	end_and_finish(&s);
}

/* --- what a decent client would not send --- */

static void
test_bad_ack_of_a_viewer(void **state)
{
	struct session s;
	struct stream *driver, *viewer;

	(void)state;
	start_session(&s, 600);
	join(&s);
	driver = attach(&s);
	viewer = watch(&s);
	await_statuses(driver, STREAM_STATE_VIEWER_JOINED, 1);
	ack(viewer, 1u << 30);
	await_end(viewer);
	await_statuses(driver, STREAM_STATE_VIEWER_LEFT, 1);
	type(driver, "echo al\"\"ive\n");
	await_text(driver, "alive\r\n");
	stream_free(driver);
	stream_free(viewer);
	end_and_finish(&s);
}

/* Far more than a terminal takes, at once: the last counts, and the shell goes on. */
static void
test_resize_storm(void **state)
{
	struct session s;
	struct stream *t;

	(void)state;
	start_session(&s, 600);
	join(&s);
	t = attach(&s);
	type(t, "trap 'n=$((n+1))' WINCH; echo rea\"\"dy\n");
	await_text(t, "ready\r\n");
	for (int i = 0; i < 50000; i++)
		resize(t, (uint16_t)(i % 1000 + 1), (uint16_t)((i * 7) % 1000 + 1));
	resize(t, 97, 31);
	type(t, "stty size; echo do\"\"ne\n");
	await_text(t, "31 97\r\n");
	await_text(t, "done\r\n");
	stream_free(t);
	end_and_finish(&s);
}

static void
send_megabyte(struct stream *t)
{
	static char text[STREAM_DATA_MAX];

	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 16; i++) {
		struct stream_input in = { t->hello.in_next, view_bytes(text, sizeof(text)) };

		put_frame(t, STREAM_INPUT, &in);
		t->hello.in_next += sizeof(text);
	}
}

static void
test_megabyte_without_pause(void **state)
{
	struct session s;
	struct stream *driver, *viewer;

	(void)state;
	start_session(&s, 600);
	join(&s);
	driver = attach(&s);
	viewer = watch(&s);
	send_megabyte(viewer);
	probe(viewer, 1);
	assert_int_equal(viewer->statuses[STREAM_STATE_READ_ONLY], 1);
	type(driver, "stty raw -echo; echo rea\"\"dy; head -c 1048576 | wc -c\n");
	await_text(driver, "ready\n");
	send_megabyte(driver);
	await_text(driver, "1048576\n");
	await_text(viewer, "1048576\n");
	stream_free(driver);
	stream_free(viewer);
	end_and_finish(&s);
}

/* Types without end, until the holder takes no more. Bytes. */
static size_t
type_until_full(struct stream *t)
{
	static const char text[4096] = { 0 };
	struct pollfd room = { .fd = t->fd, .events = POLLOUT };
	unsigned char bytes[sizeof(text) + 64];
	uint64_t at = t->hello.in_next;
	size_t sent = 0;

	while (poll(&room, 1, QUIET_MS) == 1) {
		struct stream_input in = { at + sent, view_bytes(text, sizeof(text)) };
		struct writer w;

		writer_init(&w, bytes, sizeof(bytes));
		assert_int_equal(stream_put(&w, STREAM_INPUT, &in), 0);
		for (size_t done = 0; done < w.len;) {
			ssize_t n = send(t->fd, bytes + done, w.len - done,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

			if (n < 0)
				return sent;
			done += (size_t)n;
		}
		sent += sizeof(text);
	}
	return sent;
}

/*
 * The shell takes no input and says nothing. That its driver has gone is told all the same, and
 * what it typed before is typed when there is room.
 */
static void
test_full_driver_leaves(void **state)
{
	struct session s;
	struct stream *driver, *viewer, *next;
	static const char line[] = "stty raw -echo; echo re\"\"ady; sleep 5; echo aw\"\"ake; "
				   "head -c 80000 | wc -c; exec sleep 100\n";
	size_t sent;

	(void)state;
	start_session(&s, 600);
	join(&s);
	driver = attach(&s);
	viewer = watch(&s);
	type(driver, line);
	await_text(driver, "ready");
	sent = type_until_full(driver);
	assert_true(sent > STREAM_DATA_MAX + 20000); /* more than the queue holds */
	stream_free(driver);
	expect_state(&s, STATUS_DETACHED);
	probe(viewer, 7);
	assert_null(strstr(viewer->out, "awake")); /* told before anything is taken or printed */
	await_statuses(viewer, STREAM_STATE_DRIVER_LEFT, 1);
	await_text(viewer, "awake\n80000");
	next = attach(&s);
	assert_true(next->hello.in_next >= strlen(line) + 80000);
	stream_free(next);
	expect_state(&s, STATUS_DETACHED);
	stream_free(viewer);
	end_and_finish(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_viewers_watch),
		cmocka_unit_test(test_viewer_is_read_only),
		cmocka_unit_test(test_driver_comes_and_goes),
		cmocka_unit_test(test_too_many_viewers),
		cmocka_unit_test(test_stalled_viewer_gets_a_gap),
		cmocka_unit_test(test_take_over_of_a_stalled_driver),
		cmocka_unit_test(test_take_over_of_a_full_driver),
		cmocka_unit_test(test_end_with_stalled_clients),
		cmocka_unit_test(test_window_holds_a_flood),
		cmocka_unit_test(test_window_holds_a_replay),
		cmocka_unit_test(test_bad_ack_of_a_viewer),
		cmocka_unit_test(test_resize_storm),
		cmocka_unit_test(test_megabyte_without_pause),
		cmocka_unit_test(test_full_driver_leaves),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
