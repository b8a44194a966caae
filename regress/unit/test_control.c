/* SPDX-License-Identifier: MIT */
/* The control socket: its requests, and a server with real clients and orders that are only noted. */
/* links: placerd/control.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

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
		{ "{\"session_id\":\"" ID "\",\"command\":\"revoke_session\"}",
		    CONTROL_REVOKE_SESSION, "", "" },
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
		if (r.command == CONTROL_REVOKE_SESSION) {
			char text[ID_TEXT_SIZE];

			id_format(&r.session_id, text);
			assert_string_equal(text, ID);
		}
		json_release(object);
	}
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
		{ "{\"command\":\"stop\"}", "ping, revoke_session and revoke_subject" },
		{ "{\"command\":\"Ping\"}", "no such command" },
		{ "{\"command\":\"ping\",\"session_id\":\"" ID "\"}", "session_id" },
		{ "{\"command\":\"revoke_session\"}", "session_id" },
		{ "{\"command\":\"revoke_session\",\"session_id\":7}", "session_id" },
		{ "{\"command\":\"revoke_session\",\"session_id\":\"x\"}", "36 characters" },
		{ "{\"command\":\"revoke_session\",\"id\":\"" ID "\"}", "\"session_id\":ID" },
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
	unsigned sessions, subjects;
	struct ucred by;
	char subject[64];
};

static int
revoke_session(void *ctx, const struct ucred *by, const struct id128 *session_id)
{
	struct served *s = ctx;
	char text[ID_TEXT_SIZE];

	id_format(session_id, text);
	assert_string_equal(text, ID);
	s->sessions++;
	s->by = *by;
	return s->rc;
}

static int
revoke_subject(void *ctx, const struct ucred *by, struct view issuer, struct view subject,
    struct control_count *count)
{
	struct served *s = ctx;

	assert_true(view_is(issuer, "https://a.example"));
	assert_int_equal(view_copy(subject, s->subject, sizeof(s->subject)), 0);
	s->subjects++;
	s->by = *by;
	*count = (struct control_count){ .ended = 2, .detached = 1 };
	return s->rc;
}

static const struct control_ops ops = { revoke_session, revoke_subject };

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
		{ "{\"command\":\"revoke_session\",\"session_id\":\"" ID "\"}\n", 0,
		    "{\"revoked\":true}\n" },
		{ "{\"command\":\"revoke_session\",\"session_id\":\"" ID "\"}\n", -FOG_E_NO_SESSION,
		    "{\"error\":\"There is no such session\",\"code\":\"session_unknown\"}\n" },
		{ "{\"command\":\"revoke_subject\",\"issuer\":\"https://a.example\","
		  "\"subject\":\"bob\"}\n",
		    0, "{\"revoked\":true,\"ended\":2,\"detached\":1}\n" },
		{ "{\"command\":\"revoke_subject\",\"issuer\":\"https://a.example\","
		  "\"subject\":\"bob\"}\n",
		    -FOG_E_FULL, "{\"error\":\"The service is busy; repeat it" },
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
	assert_int_equal(s->sessions, 2);
	assert_int_equal(s->subjects, 2);
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
	return json_init();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
