/* SPDX-License-Identifier: MIT */
/* The control socket: see control.h. */
#include "placerd/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <jansson.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mono.h"

#define ISSUER_MAX_BYTES 255
#define SUBJECT_MAX_BYTES 255
#define COMMAND_MAX_BYTES 64
#define NAME_MAX_BYTES 64 /* of a node, and of a profile */
#define LATENCY_MAX_MS 600000
#define PAUSE_MS 100 /* when nobody can be accepted */

/* A list that is being told. */
struct list {
	const char *rows_named; /* NULL: none is */
	struct id128 *ids;      /* of sessions */
	size_t n, at, told;
};

struct control_conn {
	struct control *control;
	int fd; /* -1: a free place */
	struct ucred by;
	struct event *readable, *writable, *deadline;
	size_t len;
	char *line; /* CONTROL_LINE_MAX_BYTES */
	struct evbuffer *unsent;
	struct list list;
	uint64_t moved_ms; /* when it came, or was last sent something */
	bool is_leaving;   /* closed when all is sent */
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
	struct json_str command, session_id, issuer, subject, node, profile, hint;
	struct json_u32_map latency_ms;
	bool on;
};

#define TEXT(name, required, max) \
	{ \
#name, JSON_KIND_STR, required, 1, max, offsetof(struct members, name) \
	}
#define COMMAND TEXT(command, true, COMMAND_MAX_BYTES)
static const struct json_member command_members[] = { COMMAND };
static const struct json_member session_members[] = { COMMAND,
	TEXT(session_id, true, ID_TEXT_SIZE - 1) };
static const struct json_member subject_members[] = { COMMAND, TEXT(issuer, true, ISSUER_MAX_BYTES),
	TEXT(subject, true, SUBJECT_MAX_BYTES) };
static const struct json_member node_members[] = { COMMAND, TEXT(node, true, NAME_MAX_BYTES) };
static const struct json_member self_members[] = { COMMAND, TEXT(node, false, NAME_MAX_BYTES) };
static const struct json_member explain_members[] = { COMMAND, TEXT(profile, true, NAME_MAX_BYTES),
	TEXT(hint, false, NAME_MAX_BYTES),
	{ "latency_ms", JSON_KIND_OBJECT_U32, false, 0, LATENCY_MAX_MS,
	    offsetof(struct members, latency_ms) } };
static const struct json_member verbose_members[] = { COMMAND,
	{ "on", JSON_KIND_BOOL, true, 0, 0, offsetof(struct members, on) } };

#define ROW(name, members, rest) \
	{ \
		name, "{\"command\":\"" name "\"" rest "}", members, COUNT_OF(members) \
	}
static const struct command_row {
	const char *name, *shape;
	const struct json_member *members;
	size_t rows;
} command_rows[CONTROL_COMMAND_COUNT] = {
	[CONTROL_PING] = ROW("ping", command_members, ""),
	[CONTROL_STATUS] = ROW("status", command_members, ""),
	[CONTROL_LIST_SESSIONS] = ROW("list_sessions", command_members, ""),
	[CONTROL_SHOW_SESSION] = ROW("show_session", session_members, ",\"session_id\":ID"),
	[CONTROL_KILL_SESSION] = ROW("kill_session", session_members, ",\"session_id\":ID"),
	[CONTROL_REVOKE_SUBJECT] = ROW("revoke_subject", subject_members,
	    ",\"issuer\":URL,\"subject\":NAME"),
	[CONTROL_LIST_NODES] = ROW("list_nodes", command_members, ""),
	[CONTROL_CORDON_NODE] = ROW("cordon_node", node_members, ",\"node\":NAME"),
	[CONTROL_DRAIN_NODE] = ROW("drain_node", self_members, ",\"node\":NAME"),
	[CONTROL_UNDRAIN_NODE] = ROW("undrain_node", self_members, ",\"node\":NAME"),
	[CONTROL_EXPLAIN_PLACEMENT] = ROW("explain_placement", explain_members,
	    ",\"profile\":NAME,\"hint\":NAME,\"latency_ms\":{NAME:MS}"),
	[CONTROL_LOG_VERBOSE] = ROW("log_verbose", verbose_members, ",\"on\":true"),
};

static void
refuse_command(const char *name, char err[static CONTROL_ERROR_SIZE])
{
	int at = snprintf(err, CONTROL_ERROR_SIZE, "%s; the commands are",
	    name ? "there is no such command" : "a member \"command\" is needed");

	for (size_t i = 0; i < COUNT_OF(command_rows); i++)
		at += snprintf(err + at, CONTROL_ERROR_SIZE - (size_t)at, "%s %s", i ? "," : "",
		    command_rows[i].name);
}

static int
find_command(const json_t *obj, char err[static CONTROL_ERROR_SIZE])
{
	const char *name = json_peek_str(obj, "command");

	for (size_t i = 0; name && i < COUNT_OF(command_rows); i++) {
		if (strcmp(command_rows[i].name, name) == 0)
			return (int)i;
	}
	refuse_command(name, err);
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
		.subject = view_of_member(m.subject),
		.node = view_of_member(m.node),
		.profile = view_of_member(m.profile),
		.hint = view_of_member(m.hint),
		.latency_ms = m.latency_ms,
		.on = m.on };
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

json_t *
control_refuse(int error, const char *text)
{
	return json_pack("{s:s, s:s}", "error", text, "code", err_code(error));
}

/* 0, or -1: no memory. */
static int
put_line(struct control_conn *c, json_t *answer)
{
	cleanup_free char *text = answer ? json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII)
					 : NULL;
	size_t len = text ? strlen(text) : 0;

	json_decref(answer);
	if (!text)
		return -1;
	text[len++] = '\n'; /* in place of the NUL */
	return evbuffer_add(c->unsent, text, len);
}

static int
begin_list(struct control_conn *c, enum control_command command)
{
	const struct control_ops *ops = c->control->ops;

	c->list = (struct list){ .rows_named = "node" };
	if (command == CONTROL_LIST_NODES)
		return 0;
	c->list.rows_named = "session";
	c->list.ids = ops->list_sessions(c->control->ctx, &c->list.n);
	return c->list.ids ? 0 : -1;
}

/* The next row that is still there; NULL: the list ends. */
static json_t *
next_row(struct control_conn *c)
{
	const struct control_ops *ops = c->control->ops;
	struct list *l = &c->list;
	json_t *row = NULL;

	if (!l->ids)
		return ops->node_row(c->control->ctx, l->at++);
	while (!row && l->at < l->n)
		row = ops->session_row(c->control->ctx, &l->ids[l->at++]);
	return row;
}

static int
end_list(struct control_conn *c)
{
	bool of_sessions = c->list.ids != NULL;
	json_int_t told = (json_int_t)c->list.told;

	free(c->list.ids);
	c->list = (struct list){ 0 };
	return put_line(c, json_pack("{s:I}", of_sessions ? "sessions" : "nodes", told));
}

/* A part of the list, no more than is to be sent at once. */
static int
continue_list(struct control_conn *c)
{
	for (int i = 0; c->list.rows_named && i < CONTROL_ROWS_PER_TURN &&
	     evbuffer_get_length(c->unsent) < CONTROL_UNSENT_BYTES;
	     i++) {
		json_t *row = next_row(c);

		if (!row)
			return end_list(c);
		c->list.told++;
		if (put_line(c, json_pack("{s:o}", c->list.rows_named, row)) != 0)
			return -1;
	}
	return 0;
}

static json_t *
serve(const struct control_conn *c, const struct control_request *r)
{
	if (r->command == CONTROL_PING)
		return json_pack("{s:b, s:s}", "pong", 1, "version", FOG_VERSION);
	return c->control->ops->answer(c->control->ctx, &c->by, r);
}

/* 0, or -1: no memory. */
static int
answer_line(struct control_conn *c, size_t len)
{
	struct control_request request;
	char err[CONTROL_ERROR_SIZE];
	json_t *object = NULL;
	int rc;

	if (control_parse(c->line, len, &request, &object, err) != 0)
		return put_line(c, control_refuse(-FOG_E_BAD_REQUEST, err));
	log_info("event=control_request command=%s uid=%u gid=%u pid=%d",
	    command_rows[request.command].name, c->by.uid, c->by.gid, (int)c->by.pid);
	if (request.command == CONTROL_LIST_SESSIONS || request.command == CONTROL_LIST_NODES)
		rc = begin_list(c, request.command);
	else
		rc = put_line(c, serve(c, &request));
	json_release(object);
	return rc;
}

/* --- connections --- */

static void
conn_close(struct control_conn *c)
{
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	if (c->deadline)
		event_free(c->deadline);
	if (c->unsent)
		evbuffer_free(c->unsent);
	close_fd(&c->fd);
	free(c->line);
	free(c->list.ids);
	*c = (struct control_conn){ .control = c->control, .fd = -1 };
}

static int
restart_deadline(struct control_conn *c)
{
	static const struct timeval limit = { .tv_sec = CONTROL_TIMEOUT_MS / 1000 };

	c->moved_ms = mono_ms();
	return event_add(c->deadline, &limit);
}

static bool
is_busy(const struct control_conn *c)
{
	return c->list.rows_named || evbuffer_get_length(c->unsent) > 0;
}

/* What take_line would not only look at. */
static bool
has_line(const struct control_conn *c)
{
	return c->len == CONTROL_LINE_MAX_BYTES || memchr(c->line, '\n', c->len);
}

/* What the socket takes now. 0, or -1. */
static int
send_some(struct control_conn *c)
{
	if (evbuffer_get_length(c->unsent) == 0)
		return 0;
	if (evbuffer_write(c->unsent, c->fd) > 0)
		return restart_deadline(c);
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

/* The next whole line of what has come, if there is one. 0, or -1: no memory. */
static int
take_line(struct control_conn *c)
{
	const char *end = memchr(c->line, '\n', c->len);
	size_t len;

	if (!end) {
		if (c->len < CONTROL_LINE_MAX_BYTES)
			return 0;
		c->is_leaving = true;
		return put_line(c,
		    control_refuse(-FOG_E_TOO_LARGE, "the line is longer than 65536 bytes"));
	}
	len = (size_t)(end - c->line);
	if (answer_line(c, len) != 0)
		return -1;
	c->len -= len + 1;
	memmove(c->line, end + 1, c->len);
	return 0;
}

/*
 * One step: a line, or a part of a list. What is left waits for the next turn of the loop, and no
 * more is read until it has left. 0, or -1: the connection is to be closed.
 */
static int
step(struct control_conn *c)
{
	int rc = 0;

	if (c->list.rows_named)
		rc = continue_list(c);
	else if (!is_busy(c) && !c->is_leaving)
		rc = take_line(c);
	if (rc != 0 || send_some(c) != 0)
		return -1;
	if (is_busy(c) || (!c->is_leaving && has_line(c))) {
		event_del(c->readable);
		return event_add(c->writable, NULL);
	}
	return c->is_leaving ? -1 : event_add(c->readable, NULL);
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
	if (n <= 0 || step(c) != 0)
		conn_close(c);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct control_conn *c = arg;

	(void)fd;
	(void)what;
	if (step(c) != 0)
		conn_close(c);
}

static void
give_up(struct control_conn *c)
{
	if (c->len > 0 && !is_busy(c) &&
	    put_line(c, control_refuse(-FOG_E_TIMEOUT, "the line was not whole in time")) == 0)
		(void)send_some(c);
	conn_close(c);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	give_up(arg);
}

static int
conn_start(struct control_conn *c)
{
	struct event_base *base = c->control->base;
	socklen_t len = sizeof(c->by);

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &c->by, &len) != 0)
		return -1;
	c->line = malloc(CONTROL_LINE_MAX_BYTES);
	c->unsent = evbuffer_new();
	c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, c->fd, EV_WRITE, on_writable, c);
	c->deadline = evtimer_new(base, on_deadline, c);
	if (!c->line || !c->unsent || !c->readable || !c->writable || !c->deadline ||
	    event_add(c->readable, NULL) != 0)
		return -1;
	return restart_deadline(c);
}

/* To one who is not let in: it fits into the empty buffer of a new socket. */
static void
send_refusal(int fd, int error, const char *text)
{
	json_t *answer = control_refuse(error, text);
	cleanup_free char *line = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	json_decref(answer);
	if (line)
		(void)!write(fd, line, strlen(line));
	(void)!write(fd, "\n", 1);
}

static struct control_conn *
find_place(struct control *control)
{
	struct control_conn *stillest = &control->conns[0];

	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		if (control->conns[i].fd < 0)
			return &control->conns[i];
		if (control->conns[i].moved_ms < stillest->moved_ms)
			stillest = &control->conns[i];
	}
	if (mono_ms() - stillest->moved_ms < CONTROL_YIELD_MS)
		return NULL;
	give_up(stillest);
	return stillest;
}

static void
admit(struct control *control, int fd)
{
	struct control_conn *c = find_place(control);

	if (!c) {
		send_refusal(fd, -FOG_E_FULL, "too many connections; close one and try again");
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
