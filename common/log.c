/* SPDX-License-Identifier: MIT */
/* Log lines: see log.h. */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int log_fd = STDERR_FILENO;
static log_sink log_to;
/* gatewayd has threads. */
static atomic_int log_most = LOG_LEVEL_INFO; /* enum log_level */
static atomic_ulong log_dropped;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void
log_init(int fd, enum log_level most)
{
	log_fd = fd;
	log_most = (int)most;
}

void
log_set_sink(log_sink sink)
{
	log_to = sink;
}

enum log_level
log_level_get(void)
{
	return (enum log_level)log_most;
}

void
log_set_level(enum log_level most)
{
	log_most = (int)most;
}

const char *
log_level_name(enum log_level level)
{
	return level_names[level];
}

/* One write, so that a line is atomic in the pipe (it is below PIPE_BUF). */
static int
write_line(char *line, size_t len)
{
	line[len++] = '\n';
	return write(log_fd, line, len) < 0 ? -1 : 0;
}

/* Counts on when not even this line passes. */
static void
note_dropped(void)
{
	char line[64];
	unsigned long dropped = atomic_exchange(&log_dropped, 0); /* of two threads one tells */
	int n = snprintf(line, sizeof(line), "warn event=log_dropped lines=%lu", dropped);

	if (dropped > 0 && (n <= 0 || write_line(line, (size_t)n) != 0))
		log_dropped += dropped;
}

static void
emit(enum log_level level, const char *text)
{
	char line[LOG_LINE_MAX + 32];
	int n;

	if (log_to) {
		log_to(level, text);
		return;
	}
	if (log_dropped > 0)
		note_dropped();
	n = snprintf(line, sizeof(line) - 1, "%s %s", level_names[level], text);
	if (n > 0 &&
	    write_line(line, (size_t)n < sizeof(line) - 1 ? (size_t)n : sizeof(line) - 2) != 0)
		log_dropped++;
}

static void __attribute__((format(printf, 3, 0)))
vlog(enum log_level level, int with_errno, const char *fmt, va_list args)
{
	int saved = errno;
	char text[LOG_LINE_MAX];
	int n;

	if ((int)level > log_most)
		return;
	n = vsnprintf(text, sizeof(text), fmt, args);
	if (with_errno && n >= 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, " error=\"%s\"",
		    strerrordesc_np(saved) ? strerrordesc_np(saved) : "unknown");
	emit(level, text);
	errno = saved;
}

#define LOG_BODY(level, with_errno) \
	va_list args; \
	va_start(args, fmt); \
	vlog(level, with_errno, fmt, args); \
	va_end(args)

void
log_error(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_ERROR, 0);
}

void
log_warn(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_WARN, 1);
}

void
log_warnx(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_WARN, 0);
}

void
log_info(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_INFO, 0);
}

void
log_debug(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_DEBUG, 0);
}

void
fatal(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_ERROR, 1);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_ERROR, 0);
	exit(1);
}

const char *
log_escape(struct view v, char *out, size_t out_size)
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0;

	out[at++] = '"';
	for (size_t i = 0; i < v.len && at + 6 < out_size; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			out[at++] = (char)c;
			continue;
		}
		out[at++] = '\\';
		out[at++] = 'x';
		out[at++] = hex[c >> 4];
		out[at++] = hex[c & 15];
	}
	out[at++] = '"';
	out[at] = '\0';
	return out;
}

const char *
log_id(const struct id128 *id)
{
	static _Thread_local char turns[4][ID_TEXT_SIZE];
	static _Thread_local unsigned next;
	char *out = turns[next++ % 4];

	id_format(id, out);
	return out;
}
