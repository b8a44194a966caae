/* SPDX-License-Identifier: MIT */
/* Lines from the roles, with time and role in front, to standard error. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/mono.h"
#include "ptyd/fogd.h"

#define LINE_MAX_BYTES 2048
#define LINES_A_SECOND 10000 /* of one role: the rest waits in its pipe, or is dropped there */

struct logpipe {
	int fd;
	struct event *readable, *rest;
	const char *role;
	pid_t pid;
	unsigned lines; /* in this second */
	uint64_t second;
	size_t len;
	char line[LINE_MAX_BYTES];
};

/* Lines on their way out: as many as a pipe takes at once when it says that it has room. */
static char out[PIPE_BUF];
static size_t out_len, out_lines, dropped;

/* A terminal held by ctrl-S or a full journal must not stop the parent: such lines are dropped. */
static void
write_out(void)
{
	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (out_len > 0 && (poll(&room, 1, 0) != 1 || write(STDERR_FILENO, out, out_len) < 0))
		dropped += out_lines;
	out_len = out_lines = 0;
}

static void
print_line(const char *role, pid_t pid, const char *line, size_t len)
{
	char when[RFC3339_UTC_SIZE] = "";
	const char *gap = getenv("JOURNAL_STREAM") ? "" : " "; /* it has times of its own */

	if (*gap)
		rfc3339_utc(wall_s(), when);
	if (sizeof(out) - out_len < len + 256)
		write_out();
	if (dropped > 0)
		out_len += (size_t)snprintf(out + out_len, sizeof(out) - out_len,
		    "fogd: %zu log lines dropped\n", dropped);
	dropped = 0;
	out_len += (size_t)snprintf(out + out_len, sizeof(out) - out_len, "%s%s%s[%d] %.*s\n", when,
	    gap, role, (int)pid, (int)len, line);
	out_lines++;
}

void
logpipe_own_sink(enum log_level level, const char *line)
{
	char text[LOG_LINE_MAX + 16];

	snprintf(text, sizeof(text), "%s %s", log_level_name(level), line);
	print_line("fogd", getpid(), text, strlen(text));
	write_out();
}

/* Control characters of a role that was broken into do not reach the operator's terminal (S34). */
static void
make_printable(char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xa0))
			line[i] = '?';
	}
}

static void
take_lines(struct logpipe *l)
{
	char *end;

	while ((end = memchr(l->line, '\n', l->len)) || l->len == sizeof(l->line)) {
		size_t len = end ? (size_t)(end - l->line) : l->len;
		size_t used = end ? len + 1 : len;

		make_printable(l->line, len);
		print_line(l->role, l->pid, l->line, len);
		l->lines++;
		memmove(l->line, l->line + used, l->len - used);
		l->len -= used;
	}
}

static bool
read_some(struct logpipe *l)
{
	ssize_t n = read(l->fd, l->line + l->len, sizeof(l->line) - l->len);

	if (n > 0) {
		l->len += (size_t)n;
		take_lines(l);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		event_del(l->readable);
	return false;
}

/* A role that was broken into must neither fill the journal nor keep the parent busy. */
static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval pause = { .tv_sec = 1 };
	struct logpipe *l = arg;

	(void)fd;
	if (what & EV_TIMEOUT)
		event_add(l->readable, NULL);
	if (l->second != mono_ms() / 1000) {
		l->second = mono_ms() / 1000;
		l->lines = 0;
	}
	for (int i = 0; i < 16 && l->lines < LINES_A_SECOND && read_some(l); i++)
		;
	write_out();
	if (l->lines < LINES_A_SECOND)
		return;
	event_del(l->readable);
	event_add(l->rest, &pause);
}

struct logpipe *
logpipe_new(struct event_base *base, const char *role, pid_t pid, int read_fd)
{
	struct logpipe *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->fd = read_fd;
	l->role = role;
	l->pid = pid;
	fcntl(read_fd, F_SETFL, O_NONBLOCK);
	l->readable = event_new(base, read_fd, EV_READ | EV_PERSIST, on_readable, l);
	l->rest = evtimer_new(base, on_readable, l);
	if (l->readable && l->rest && event_add(l->readable, NULL) == 0)
		return l;
	logpipe_free(l);
	return NULL;
}

void
logpipe_free(struct logpipe *l)
{
	if (!l)
		return;
	while (read_some(l))
		;
	write_out();
	if (l->readable)
		event_free(l->readable);
	if (l->rest)
		event_free(l->rest);
	close(l->fd);
	free(l);
}
