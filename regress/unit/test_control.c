/* SPDX-License-Identifier: MIT */
/* The control socket: its requests, and a server with real clients and orders that are only noted. */
/* links: placerd/control.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <jansson.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "placerd/control.h"

#define ID "0192f0c1-2345-8678-9abc-def012345678"

/* --- requests --- */

static void
test_requests(void **state)
{
	static const struct {
		const char *line;
		enum control_command command;
		const char *issuer, *subject;
	} rows[] = {
		{ "{\"command\":\"ping\"}", CONTROL_PING, "", "" },
		{ " { \"command\" : \"ping\" } ", CONTROL_PING, "", "" },
		{ "{\"session_id\":\"" ID "\",\"command\":\"kill_session\"}", CONTROL_KILL_SESSION,
		    "", "" },
		{ "{\"command\":\"show_session\",\"session_id\":\"" ID "\"}", CONTROL_SHOW_SESSION,
		    "", "" },
		{ "{\"command\":\"status\"}", CONTROL_STATUS, "", "" },
		{ "{\"command\":\"list_sessions\"}", CONTROL_LIST_SESSIONS, "", "" },
		{ "{\"command\":\"list_nodes\"}", CONTROL_LIST_NODES, "", "" },
		{ "{\"command\":\"drain_node\"}", CONTROL_DRAIN_NODE, "", "" },
		{ "{\"command\":\"undrain_node\"}", CONTROL_UNDRAIN_NODE, "", "" },
		{ "{\"command\":\"revoke_subject\",\"issuer\":\"https://a.example\","
		  "\"subject\":\"j\\u00f6rg\"}",
		    CONTROL_REVOKE_SUBJECT, "https://a.example", "j\xc3\xb6rg" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct control_request r;
		struct json_t *object = NULL;
		char err[CONTROL_ERROR_SIZE] = "";

		if (control_parse(rows[i].line, strlen(rows[i].line), &r, &object, err) != 0)
			fail_msg("%s: %s", rows[i].line, err);
		assert_int_equal(r.command, rows[i].command);
		assert_true(view_is(r.issuer, rows[i].issuer));
		assert_true(view_is(r.subject, rows[i].subject));
		if (r.command == CONTROL_KILL_SESSION || r.command == CONTROL_SHOW_SESSION) {
			char text[ID_TEXT_SIZE];

			id_format(&r.session_id, text);
			assert_string_equal(text, ID);
		}
		json_release(object);
	}
}

static void
parse(const char *line, struct control_request *r, struct json_t **object)
{
	char err[CONTROL_ERROR_SIZE] = "";

	if (control_parse(line, strlen(line), r, object, err) != 0)
		fail_msg("%s: %s", line, err);
}

static void
test_members(void **state)
{
	struct control_request r;
	struct json_t *object;

	(void)state;
	parse("{\"command\":\"cordon_node\",\"node\":\"far\"}", &r, &object);
	assert_true(view_is(r.node, "far"));
	json_release(object);
	parse("{\"command\":\"log_verbose\",\"on\":true}", &r, &object);
	assert_true(r.on);
	json_release(object);
	parse("{\"command\":\"explain_placement\",\"profile\":\"p\",\"hint\":\"far\","
	      "\"latency_ms\":{\"far\":12,\"near\":0}}",
	    &r, &object);
	assert_true(view_is(r.profile, "p") && view_is(r.hint, "far"));
	assert_int_equal(r.latency_ms.count, 2);
	json_release(object);
	parse("{\"command\":\"explain_placement\",\"profile\":\"p\"}", &r, &object);
	assert_int_equal(r.hint.len + r.latency_ms.count, 0);
	json_release(object);
}

/* Each names what is wrong, or what would be right. */
static void
test_bad_requests(void **state)
{
	static const struct {
		const char *line, *said;
	} rows[] = {
		{ "", "no JSON object" },
		{ "ping", "no JSON object" },
		{ "[\"ping\"]", "no JSON object" },
		{ "{\"command\":\"ping\"} {}", "no JSON object" },
		{ "{\"command\":\"ping\",\"command\":\"ping\"}", "no JSON object" },
		{ "{}", "\"command\" is needed" },
		{ "{\"command\":1}", "\"command\" is needed" },
		{ "{\"command\":\"stop\"}", "commands are ping, status, list_sessions," },
		{ "{\"command\":\"Ping\"}", "no such command" },
		{ "{\"command\":\"ping\",\"session_id\":\"" ID "\"}", "session_id" },
		{ "{\"command\":\"kill_session\"}", "session_id" },
		{ "{\"command\":\"kill_session\",\"session_id\":7}", "session_id" },
		{ "{\"command\":\"kill_session\",\"session_id\":\"x\"}", "36 characters" },
		{ "{\"command\":\"kill_session\",\"id\":\"" ID "\"}", "\"session_id\":ID" },
		{ "{\"command\":\"status\",\"node\":\"a\"}", "node" },
		{ "{\"command\":\"cordon_node\"}", "node" },
		{ "{\"command\":\"cordon_node\",\"node\":\"\"}", "node" },
		{ "{\"command\":\"drain_node\",\"node\":1}", "node" },
		{ "{\"command\":\"log_verbose\"}", "\"on\":true" },
		{ "{\"command\":\"log_verbose\",\"on\":1}", "on" },
		{ "{\"command\":\"explain_placement\"}", "profile" },
		{ "{\"command\":\"explain_placement\",\"profile\":\"p\",\"latency_ms\":{\"a\":-1}}",
		    "latency_ms" },
		{ "{\"command\":\"explain_placement\",\"profile\":\"p\",\"latency_ms\":[1]}",
		    "latency_ms" },
		{ "{\"command\":\"explain_placement\",\"profile\":\"p\","
		  "\"latency_ms\":{\"a\":1e9}}",
		    "latency_ms" },
		{ "{\"command\":\"revoke_subject\",\"subject\":\"a\"}", "issuer" },
		{ "{\"command\":\"revoke_subject\",\"issuer\":\"a\"}", "subject" },
		{ "{\"command\":\"revoke_subject\",\"issuer\":\"\",\"subject\":\"a\"}", "issuer" },
		{ "{\"command\":\"revoke_subject\",\"issuer\":\"a\",\"subject\":\"\\u0007\"}",
		    "subject" },
		{ "{\"command\":\"revoke_subject\",\"issuer\":\"a\",\"subject\":\"b\",\"sid\":\"c\"}",
		    "sid" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct control_request r;
		struct json_t *object = NULL;
		char err[CONTROL_ERROR_SIZE] = "";

		if (control_parse(rows[i].line, strlen(rows[i].line), &r, &object, err) == 0)
			fail_msg("taken: %s", rows[i].line);
		if (!strstr(err, rows[i].said))
			fail_msg("%s: %s", rows[i].line, err);
		assert_null(object);
	}
}

/* --- the server --- */

struct served {
	char dir[64], path[96];
	struct event_base *base;
	struct control *control;
	int rc; /* what the next order gives */
	unsigned orders;
	enum control_command last;
	struct ucred by;
	char subject[64];
	size_t rows, gone_from; /* of a list; those from there on are gone meanwhile */
	unsigned made;          /* rows */
};

static json_t *
answer(void *ctx, const struct ucred *by, const struct control_request *r)
{
	struct served *s = ctx;
	char text[ID_TEXT_SIZE];

	s->orders++;
	s->last = r->command;
	s->by = *by;
	if (r->command == CONTROL_KILL_SESSION) {
		id_format(&r->session_id, text);
		assert_string_equal(text, ID);
	}
	if (r->command == CONTROL_REVOKE_SUBJECT) {
		assert_true(view_is(r->issuer, "https://a.example"));
		assert_int_equal(view_copy(r->subject, s->subject, sizeof(s->subject)), 0);
	}
	return s->rc ? control_refuse(s->rc, err_title(s->rc)) : json_pack("{s:b}", "done", 1);
}

static struct id128 *
list_sessions(void *ctx, size_t *n)
{
	const struct served *s = ctx;
	struct id128 *ids = calloc(s->rows + 1, sizeof(*ids));

	*n = s->rows;
	for (size_t i = 0; ids && i < s->rows; i++)
		memcpy(ids[i].b, &i, sizeof(i));
	return ids;
}

/* A row of the size of a session with long names. */
static json_t *
row(struct served *s, size_t i)
{
	char padding[512];

	memset(padding, 'x', sizeof(padding));
	s->made++;
	return json_pack("{s:I, s:s%}", "i", (json_int_t)i, "padding", padding, sizeof(padding));
}

static json_t *
session_row(void *ctx, const struct id128 *id)
{
	struct served *s = ctx;
	size_t i;

	memcpy(&i, id->b, sizeof(i));
	return i < s->gone_from ? row(s, i) : NULL;
}

static json_t *
node_row(void *ctx, size_t index)
{
	struct served *s = ctx;

	return index < s->rows ? row(s, index) : NULL;
}

static const struct control_ops ops = { answer, list_sessions, session_row, node_row };

static struct sockaddr_un
name_of(const struct served *s)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", s->path);
	return name;
}

static int
setup(void **state)
{
	struct served *s = calloc(1, sizeof(*s));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un name;

	*state = s;
	snprintf(s->dir, sizeof(s->dir), "/tmp/test-control-XXXXXX");
	if (!mkdtemp(s->dir))
		return -1;
	snprintf(s->path, sizeof(s->path), "%s/socket", s->dir);
	name = name_of(s);
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)) != 0 || listen(fd, 16) != 0)
		return -1;
	s->base = event_base_new();
	s->control = control_new(s->base, fd, &ops, s);
	return s->control ? 0 : -1;
}

static int
teardown(void **state)
{
	struct served *s = *state;

	control_free(s->control);
	event_base_free(s->base);
	unlink(s->path);
	rmdir(s->dir);
	free(s);
	return 0;
}

static int
join(const struct served *s)
{
	struct sockaddr_un name = name_of(s);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	return fd;
}

static void
turn(const struct served *s)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(s->base, EVLOOP_NONBLOCK);
}

/* What has come back by now; -1: closed. */
static ssize_t
hear(const struct served *s, int fd, char *out, size_t size)
{
	ssize_t n;

	turn(s);
	n = recv(fd, out, size - 1, MSG_DONTWAIT);
	out[n > 0 ? n : 0] = '\0';
	return n == 0 ? -1 : n < 0 ? 0 : n;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void
test_answers(void **state)
{
	static const struct {
		const char *line;
		int rc;
		const char *answer; /* its beginning */
	} rows[] = {
		{ "{\"command\":\"ping\"}\n", 0, "{\"pong\":true,\"version\":\"" },
		{ "{\"command\":\"kill_session\",\"session_id\":\"" ID "\"}\n", 0,
		    "{\"done\":true}\n" },
		{ "{\"command\":\"kill_session\",\"session_id\":\"" ID "\"}\n", -FOG_E_NO_SESSION,
		    "{\"error\":\"There is no such session\",\"code\":\"session_unknown\"}\n" },
		{ "{\"command\":\"revoke_subject\",\"issuer\":\"https://a.example\","
		  "\"subject\":\"bob\"}\n",
		    0, "{\"done\":true}\n" },
		{ "\n", 0, "{\"error\":\"the line is no JSON object" },
		{ "\x1b[2J\xff\n", 0, "{\"error\":\"the line is no JSON object" },
	};
	struct served *s = *state;
	char answer[1024];
	int fd = join(s);

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		s->rc = rows[i].rc;
		say(fd, rows[i].line);
		assert_true(hear(s, fd, answer, sizeof(answer)) > 0);
		if (strncmp(answer, rows[i].answer, strlen(rows[i].answer)) != 0)
			fail_msg("%s: %s", rows[i].line, answer);
	}
	assert_int_equal(s->orders, 3);
	assert_int_equal(s->last, CONTROL_REVOKE_SUBJECT);
	assert_string_equal(s->subject, "bob");
	assert_int_equal(s->by.uid, getuid());
	assert_int_equal(s->by.gid, getgid());
	assert_int_equal(s->by.pid, getpid());
	close(fd);
}

/* In any pieces, and several at once. */
static void
test_pieces(void **state)
{
	static const char ping[] = "{\"command\":\"ping\"}\n";
	struct served *s = *state;
	char answer[1024];
	int fd = join(s);

	for (size_t i = 0; i < sizeof(ping) - 2; i++) {
		assert_int_equal(send(fd, ping + i, 1, 0), 1);
		assert_int_equal(hear(s, fd, answer, sizeof(answer)), 0);
	}
	say(fd, "\n{\"command\":\"ping\"}\n{\"command\":\"pi");
	assert_true(hear(s, fd, answer, sizeof(answer)) > 0);
	assert_int_equal(strncmp(answer, "{\"pong\":true", 12), 0);
	assert_non_null(strstr(answer, "}\n{\"pong\":true"));
	say(fd, "ng\"}\n");
	assert_true(hear(s, fd, answer, sizeof(answer)) > 0);
	close(fd);
	turn(s);
}

static void
test_long_line(void **state)
{
	struct served *s = *state;
	char *line = malloc(CONTROL_LINE_MAX_BYTES), answer[1024];
	int fd = join(s);

	memset(line, ' ', CONTROL_LINE_MAX_BYTES);
	for (size_t at = 0; at < CONTROL_LINE_MAX_BYTES; turn(s)) {
		ssize_t n = send(fd, line + at, CONTROL_LINE_MAX_BYTES - at,
		    MSG_DONTWAIT | MSG_NOSIGNAL);

		at += n > 0 ? (size_t)n : 0;
	}
	assert_true(hear(s, fd, answer, sizeof(answer)) > 0);
	assert_non_null(strstr(answer, "longer than 65536 bytes"));
	assert_int_equal(hear(s, fd, answer, sizeof(answer)), -1);
	free(line);
	close(fd);
}

static void
test_too_many(void **state)
{
	struct served *s = *state;
	int fds[CONTROL_CONNECTIONS_MAX], extra;
	char answer[1024];

	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		fds[i] = join(s);
		turn(s);
	}
	extra = join(s);
	assert_true(hear(s, extra, answer, sizeof(answer)) > 0);
	assert_non_null(strstr(answer, "too many connections"));
	assert_int_equal(hear(s, extra, answer, sizeof(answer)), -1);
	close(extra);
	close(fds[0]);
	turn(s);
	extra = join(s);
	say(extra, "{\"command\":\"ping\"}\n");
	assert_true(hear(s, extra, answer, sizeof(answer)) > 0);
	assert_non_null(strstr(answer, "pong"));
	close(extra);
	for (int i = 1; i < CONTROL_CONNECTIONS_MAX; i++)
		close(fds[i]);
	turn(s);
}

/* Who asks nothing holds nobody up, and who has just asked is left alone. */
static void
test_idle_give_way(void **state)
{
	static const struct timespec still = { CONTROL_YIELD_MS / 1000,
		(CONTROL_YIELD_MS % 1000 + 20) * 1000000L };
	struct served *s = *state;
	int fds[CONTROL_CONNECTIONS_MAX], extra[2];
	char answer[1024];

	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		fds[i] = join(s);
		turn(s);
	}
	say(fds[1], "{\"command\":");
	turn(s);
	nanosleep(&still, NULL);
	say(fds[0], "{\"command\":\"ping\"}\n");
	assert_true(hear(s, fds[0], answer, sizeof(answer)) > 0);
	for (int i = 0; i < 2; i++) {
		extra[i] = join(s);
		say(extra[i], "{\"command\":\"ping\"}\n");
		assert_true(hear(s, extra[i], answer, sizeof(answer)) > 0);
		assert_non_null(strstr(answer, "pong"));
	}
	assert_int_equal(hear(s, fds[0], answer, sizeof(answer)), 0);
	assert_true(hear(s, fds[1], answer, sizeof(answer)) > 0);
	assert_non_null(strstr(answer, "not whole in time"));
	assert_int_equal(hear(s, fds[1], answer, sizeof(answer)), -1);
	assert_int_equal(hear(s, fds[2], answer, sizeof(answer)), -1);
	assert_int_equal(hear(s, fds[3], answer, sizeof(answer)), 0);
	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		close(fds[i]);
	close(extra[0]);
	close(extra[1]);
	turn(s);
}

/* All of what is sent until it ends in this line. How many lines there were. */
static size_t
hear_list(const struct served *s, int fd, const char *end)
{
	static char text[4 << 20];
	size_t len = 0, lines = 0;

	while (len < strlen(end) || strcmp(text + len - strlen(end), end) != 0) {
		ssize_t n = hear(s, fd, text + len, sizeof(text) - len);

		assert_true(n >= 0);
		len += (size_t)n;
	}
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	return lines;
}

/* A row in a line, those that have gone left out, and the connection serves on. */
static void
test_lists(void **state)
{
	struct served *s = *state;
	char said[256];
	int fd = join(s);

	s->rows = s->gone_from = 4095;
	say(fd, "{\"command\":\"list_sessions\"}\n{\"command\":\"ping\"}\n");
	snprintf(said, sizeof(said), "{\"sessions\":4095}\n{\"pong\":true,\"version\":\"%s\"}\n",
	    FOG_VERSION);
	assert_int_equal(hear_list(s, fd, said), 4097);
	s->gone_from = 3;
	say(fd, "{\"command\":\"list_sessions\"}\n");
	assert_int_equal(hear_list(s, fd, "{\"sessions\":3}\n"), 4);
	s->rows = 2;
	say(fd, "{\"command\":\"list_nodes\"}\n");
	assert_int_equal(hear_list(s, fd, "{\"nodes\":2}\n"), 3);
	s->rows = 0;
	say(fd, "{\"command\":\"list_sessions\"}\n");
	assert_int_equal(hear_list(s, fd, "{\"sessions\":0}\n"), 1);
	close(fd);
	turn(s);
}

/* No more is made than the socket and the buffer hold, and others are served meanwhile. */
static void
test_slow_reader(void **state)
{
	struct served *s = *state;
	int slow = join(s), size = 4096, other = join(s);
	char heard[1024];
	unsigned made;

	assert_int_equal(setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	s->rows = s->gone_from = 4095;
	say(slow, "{\"command\":\"list_sessions\"}\n");
	event_base_loop(s->base, EVLOOP_NONBLOCK);
	event_base_loop(s->base, EVLOOP_NONBLOCK);
	assert_true(s->made <= 2 * CONTROL_ROWS_PER_TURN);
	for (int i = 0; i < 100; i++)
		turn(s);
	made = s->made;
	assert_true(made < 4095);
	for (int i = 0; i < 100; i++)
		turn(s);
	assert_int_equal(s->made, made);
	say(other, "{\"command\":\"ping\"}\n");
	assert_true(hear(s, other, heard, sizeof(heard)) > 0);
	assert_int_equal(hear_list(s, slow, "{\"sessions\":4095}\n"), 4096);
	say(slow, "{\"command\":\"list_sessions\"}\n");
	turn(s);
	close(slow); /* in the middle of it */
	close(other);
	turn(s);
}

/* Without descriptors, or with a listener that an earlier placerd has shut down, nothing spins. */
static void
test_no_descriptors(void **state)
{
	static const struct timeval a_while = { .tv_usec = 250000 };
	struct served *s = *state;
	struct rlimit limit, none;
	char answer[1024];
	clock_t began;
	int fd = join(s);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	began = clock();
	event_base_loopexit(s->base, &a_while);
	event_base_dispatch(s->base);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(clock() - began < CLOCKS_PER_SEC / 10);
	event_base_loopexit(s->base, &a_while);
	event_base_dispatch(s->base);
	say(fd, "{\"command\":\"ping\"}\n");
	assert_true(hear(s, fd, answer, sizeof(answer)) > 0);
	close(fd);
	turn(s);
}

static int
group_setup(void **state)
{
	(void)state;
	log_init(STDERR_FILENO, LOG_LEVEL_WARN);
	signal(SIGPIPE, SIG_IGN);
	return json_init();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle_give_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
