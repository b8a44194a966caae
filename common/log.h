/* SPDX-License-Identifier: MIT */
/*
 * One event, one line: `level event=name key=value …`, written to the pipe that fogd reads (a
 * filtered process opens nothing). A write that would block is dropped and counted; the next
 * line that passes says how many. Never pass tokens, keys, keystrokes or terminal output.
 */
#ifndef FOG_LOG_H
#define FOG_LOG_H

#include <stddef.h>

#include "common/buf.h"
#include "common/id.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

#define LOG_LINE_MAX 1024

/* Where a finished line (no newline) goes in place of the descriptor; for the holder. */
typedef void (*log_sink)(enum log_level level, const char *line);

void log_init(int fd, enum log_level most);
void log_set_sink(log_sink sink);
enum log_level log_level_get(void);
void log_set_level(enum log_level most);
const char *log_level_name(enum log_level level);

/* All keep errno. log_warn adds the text of errno. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* For start-up and broken invariants of our own: logs with errno if set, exits 1. */
void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void fatalx(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/*
 * Remote text made safe for a line: quotes it, escapes controls, quotes, backslash and bytes
 * above 0x7e as \xHH, cuts at out_size. Returns out.
 */
const char *log_escape(struct view v, char *out, size_t out_size);

/* An id as text in a static buffer of four turns: for arguments of one log call. */
const char *log_id(const struct id128 *id);

#endif
