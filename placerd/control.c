/* SPDX-License-Identifier: MIT */
/* The control socket: see control.h. */
#include "placerd/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <jansson.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"

#define ISSUER_MAX_BYTES 255
#define SUBJECT_MAX_BYTES 255
#define COMMAND_MAX_BYTES 64
#define PAUSE_MS 100 /* when nobody can be accepted */

struct control_conn {
	struct control *control;
	int fd; /* -1: a free place */
	struct ucred by;
	struct event *readable, *deadline;
	size_t len;
	char *line; /* CONTROL_LINE_MAX_BYTES */
};

struct control {
	struct event_base *base;
	int fd;
	struct event *readable, *resume;
	const struct control_ops *ops;
	void *ctx;
	struct control_conn conns[CONTROL_CONNECTIONS_MAX];
};

/* --- requests --- */

struct members {
	struct json_str command, session_id, issuer, subject;
};

#define MEMBER(name, max) \
	{ \
#name, JSON_KIND_STR, true, 1, max, offsetof(struct members, name) \
	}
static const struct json_member ping_members[] = { MEMBER(command, COMMAND_MAX_BYTES) };
static const struct json_member session_members[] = { MEMBER(command, COMMAND_MAX_BYTES),
	MEMBER(session_id, ID_TEXT_SIZE - 1) };
static const struct json_member subject_members[] = { MEMBER(command, COMMAND_MAX_BYTES),
	MEMBER(issuer, ISSUER_MAX_BYTES), MEMBER(subject, SUBJECT_MAX_BYTES) };
#undef MEMBER

static const struct command_row {
	const char *name, *shape;
	const struct json_member *members;
	size_t rows;
} command_rows[] = {
	[CONTROL_PING] = { "ping", "{\"command\":\"ping\"}", ping_members, COUNT_OF(ping_members) },
	[CONTROL_REVOKE_SESSION] = { "revoke_session",
	    "{\"command\":\"revoke_session\",\"session_id\":ID}", session_members,
	    COUNT_OF(session_members) },
	[CONTROL_REVOKE_SUBJECT] = { "revoke_subject",
	    "{\"command\":\"revoke_subject\",\"issuer\":URL,\"subject\":NAME}", subject_members,
	    COUNT_OF(subject_members) },
};

static int
find_command(const json_t *obj, char err[static CONTROL_ERROR_SIZE])
{
	const char *name = json_peek_str(obj, "command");

	for (size_t i = 0; name && i < COUNT_OF(command_rows); i++) {
		if (strcmp(command_rows[i].name, name) == 0)
			return (int)i;
	}
	snprintf(err, CONTROL_ERROR_SIZE,
	    "%s; the commands are ping, revoke_session and "
	    "revoke_subject",
	    name ? "there is no such command" : "a member \"command\" is needed");
	return -1;
}

static struct view
view_of_member(struct json_str s)
{
	return view_bytes(s.s ? s.s : "", s.s ? s.len : 0);
}

static int
read_request(const json_t *obj, struct control_request *out, char err[static CONTROL_ERROR_SIZE])
{
	struct members m = { 0 };
	struct json_error_text why;
	int command = find_command(obj, err);
	const struct command_row *row;

	if (command < 0)
		return -1;
	row = &command_rows[command];
	if (json_read_members(obj, row->members, row->rows, &m, &why) != 0) {
		snprintf(err, CONTROL_ERROR_SIZE, "%s%s%s; write %s", why.member,
		    why.member[0] ? ": " : "", why.text, row->shape);
		return -1;
	}
	*out = (struct control_request){ .command = (enum control_command)command,
		.issuer = view_of_member(m.issuer),
		.subject = view_of_member(m.subject) };
	if (m.session_id.s && id_parse(m.session_id.s, m.session_id.len, &out->session_id) != 0) {
		snprintf(err, CONTROL_ERROR_SIZE,
		    "session_id is no id of a session; write it as "
		    "the API shows it, 36 characters in lower case");
		return -1;
	}
	return 0;
}

int
control_parse(const char *line, size_t len, struct control_request *out, struct json_t **object,
    char err[static CONTROL_ERROR_SIZE])
{
	struct json_error_text why;
	json_t *obj;

	if (json_parse_strict(line, len, JSON_DEPTH_DEFAULT, &obj, &why) != 0) {
		snprintf(err, CONTROL_ERROR_SIZE, "the line is no JSON object: %s", why.text);
		return -1;
	}
	if (read_request(obj, out, err) != 0) {
		json_release(obj);
		return -1;
	}
	*object = obj;
	return 0;
}

/* --- answers --- */

static json_t *
refusal(int error, const char *text)
{
	return json_pack("{s:s, s:s}", "error", text, "code", err_code(error));
}

static json_t *
revoke_session(const struct control_conn *c, const struct control_request *r)
{
	int rc = c->control->ops->revoke_session(c->control->ctx, &c->by, &r->session_id);

	return rc ? refusal(rc, err_title(rc)) : json_pack("{s:b}", "revoked", 1);
}

static json_t *
revoke_subject(const struct control_conn *c, const struct control_request *r)
{
	struct control_count count = { 0 };
	int rc = c->control->ops->revoke_subject(c->control->ctx, &c->by, r->issuer, r->subject,
	    &count);
	char text[CONTROL_ERROR_SIZE];

	if (rc == 0)
		return json_pack("{s:b, s:I, s:I}", "revoked", 1, "ended", (json_int_t)count.ended,
		    "detached", (json_int_t)count.detached);
	snprintf(text, sizeof(text), "%s; repeat it until it is done, or tokens of now stay good",
	    err_title(rc));
	return refusal(rc, text);
}

static json_t *
serve(const struct control_conn *c, const struct control_request *r)
{
	switch (r->command) {
	case CONTROL_PING:
		return json_pack("{s:b, s:s}", "pong", 1, "version", FOG_VERSION);
	case CONTROL_REVOKE_SESSION:
		return revoke_session(c, r);
	case CONTROL_REVOKE_SUBJECT:
		return revoke_subject(c, r);
	}
	return NULL;
}

static json_t *
answer_line(struct control_conn *c, size_t len)
{
	struct control_request request;
	char err[CONTROL_ERROR_SIZE];
	json_t *object = NULL, *answer;

	if (control_parse(c->line, len, &request, &object, err) != 0)
		return refusal(-FOG_E_BAD_REQUEST, err);
	log_info("event=control_request command=%s uid=%u gid=%u pid=%d",
	    command_rows[request.command].name, c->by.uid, c->by.gid, (int)c->by.pid);
	answer = serve(c, &request);
	json_release(object);
	return answer;
}

/* An answer is far smaller than the socket's buffer: who does not read his answers loses them. */
static int
send_answer(int fd, json_t *answer)
{
	cleanup_free char *text = answer ? json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII)
					 : NULL;
	size_t len = text ? strlen(text) : 0;

	json_decref(answer);
	if (!text)
		return -1;
	text[len++] = '\n'; /* in place of the NUL */
	return write(fd, text, len) == (ssize_t)len ? 0 : -1;
}

/* --- connections --- */

static void
conn_close(struct control_conn *c)
{
	if (c->readable)
		event_free(c->readable);
	if (c->deadline)
		event_free(c->deadline);
	close_fd(&c->fd);
	free(c->line);
	*c = (struct control_conn){ .control = c->control, .fd = -1 };
}

static int
wait_for_line(struct control_conn *c)
{
	static const struct timeval limit = { .tv_sec = CONTROL_TIMEOUT_MS / 1000 };

	return event_add(c->deadline, &limit);
}

/* Every whole line of what has come. 0, or -1: the connection is to be closed. */
static int
take_lines(struct control_conn *c)
{
	char *end;

	while ((end = memchr(c->line, '\n', c->len))) {
		size_t len = (size_t)(end - c->line);

		if (send_answer(c->fd, answer_line(c, len)) != 0 || wait_for_line(c) != 0)
			return -1;
		c->len -= len + 1;
		memmove(c->line, end + 1, c->len);
	}
	if (c->len < CONTROL_LINE_MAX_BYTES)
		return 0;
	(void)send_answer(c->fd, refusal(-FOG_E_TOO_LARGE, "the line is longer than 65536 bytes"));
	return -1;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct control_conn *c = arg;
	ssize_t n = read((int)fd, c->line + c->len, CONTROL_LINE_MAX_BYTES - c->len);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->len += n > 0 ? (size_t)n : 0;
	if (n <= 0 || take_lines(c) != 0)
		conn_close(c);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct control_conn *c = arg;

	(void)fd;
	(void)what;
	if (c->len > 0)
		(void)send_answer(c->fd, refusal(-FOG_E_TIMEOUT, "the line was not whole in time"));
	conn_close(c);
}

static int
conn_start(struct control_conn *c)
{
	struct event_base *base = c->control->base;
	socklen_t len = sizeof(c->by);

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &c->by, &len) != 0)
		return -1;
	c->line = malloc(CONTROL_LINE_MAX_BYTES);
	c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->deadline = evtimer_new(base, on_deadline, c);
	if (!c->line || !c->readable || !c->deadline || event_add(c->readable, NULL) != 0)
		return -1;
	return wait_for_line(c);
}

static struct control_conn *
find_place(struct control *control)
{
	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		if (control->conns[i].fd < 0)
			return &control->conns[i];
	}
	return NULL;
}

static void
admit(struct control *control, int fd)
{
	struct control_conn *c = find_place(control);

	if (!c) {
		(void)send_answer(fd,
		    refusal(-FOG_E_FULL, "too many connections; close one and try again"));
		close(fd);
		return;
	}
	c->fd = fd;
	if (conn_start(c) != 0)
		conn_close(c);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	const struct control *c = arg;

	(void)fd;
	(void)what;
	event_add(c->readable, NULL);
}

/*
 * One at a time, as the loop comes round. A failure (descriptors; a listener that is shut down)
 * leaves it in the backlog, and the loop must not spin on it.
 */
static void
on_connection(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval pause = { .tv_usec = PAUSE_MS * 1000 };
	struct control *c = arg;
	int conn = accept4((int)fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (conn >= 0)
		admit(c, conn);
	else if (event_add(c->resume, &pause) == 0)
		event_del(c->readable);
}

/* --- birth and end --- */

struct control *
control_new(struct event_base *base, int fd, const struct control_ops *ops, void *ctx)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	*c = (struct control){ .base = base, .fd = fd, .ops = ops, .ctx = ctx };
	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		c->conns[i] = (struct control_conn){ .control = c, .fd = -1 };
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_connection, c);
	c->resume = evtimer_new(base, on_resume, c);
	if (c->readable && c->resume && event_add(c->readable, NULL) == 0)
		return c;
	control_free(c);
	return NULL;
}

void
control_free(struct control *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		conn_close(&c->conns[i]);
	if (c->readable)
		event_free(c->readable);
	if (c->resume)
		event_free(c->resume);
	close_fd(&c->fd);
	free(c);
}
