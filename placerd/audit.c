/* SPDX-License-Identifier: MIT */
/* Audit lines: see audit.h. */
#include "placerd/audit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/imageref.h"
#include "common/log.h"
#include "common/mono.h"

/* Every member at its bound of messages.def, every byte of it escaped, is below this. */
#define LINE_MAX_BYTES 65536
#define TEXT_MAX_BYTES 2048 /* of a member that is no text */
#define TIME_BYTES (RFC3339_UTC_SIZE + 4)

struct audit {
	int fd;
	char run[ID_TEXT_SIZE];
	uint64_t seq;
	uint64_t lost; /* lines since the last that was written */
	bool is_torn;  /* the last write ended in the middle of a line */
};

#define AUDIT_TEXT(name, text) [AUDIT_##name] = text,
static const char *const names[] = { AUDIT_EVENTS(AUDIT_TEXT) };
static const char *const phases[] = { NULL, "intent", "outcome" };

static bool
ends_torn(int read_fd)
{
	off_t size = lseek(read_fd, 0, SEEK_END);
	char last;

	if (size <= 0 || pread(read_fd, &last, 1, size - 1) != 1 || last == '\n')
		return false;
	log_warnx("event=audit_line_torn at=%lld", (long long)size);
	return true;
}

struct audit *
audit_new(int fd, int read_fd)
{
	struct audit *a = calloc(1, sizeof(*a));
	struct id128 run;

	if (!a || id_random(&run) != 0) {
		close_fd(&fd);
		free(a);
		return NULL;
	}
	a->fd = fd;
	a->is_torn = ends_torn(read_fd);
	id_format(&run, a->run);
	return a;
}

void
audit_free(struct audit *a)
{
	if (!a)
		return;
	close_fd(&a->fd);
	free(a);
}

/* RFC 3339 5.6, UTC, milliseconds. */
static void
format_now(char out[static TIME_BYTES])
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	rfc3339_utc(now.tv_sec, out);
	snprintf(out + RFC3339_UTC_SIZE - 2, 6, ".%03uZ", (unsigned)(now.tv_nsec / 1000000) % 1000);
}

/* jansson takes UTF-8 alone and leaves DEL as it is, and readers choke on NUL: as escaped text. */
static json_t *
text_value(struct view v)
{
	char escaped[TEXT_MAX_BYTES];
	bool is_plain = !memchr(v.p, 0x7f, v.len) && !memchr(v.p, 0, v.len);
	json_t *value = is_plain ? json_stringn(v.p, v.len) : NULL;

	return value ? value : json_string(log_escape(v, escaped, sizeof(escaped)));
}

static int
set_text(json_t *line, const char *member, struct view v)
{
	return v.len ? json_object_set_new(line, member, text_value(v)) : 0;
}

static bool
is_traced(const struct trace *trace)
{
	static const struct trace none;

	return trace && memcmp(trace, &none, sizeof(none)) != 0;
}

static int
set_ids(json_t *line, const struct audit_event *e)
{
	char sid[ID_TEXT_SIZE], trace[TRACE_ID_TEXT_SIZE];
	int rc = 0;

	if (e->session_id) {
		id_format(e->session_id, sid);
		rc |= set_text(line, "session_id", view_of(sid));
	}
	if (is_traced(e->trace)) {
		trace_format(e->trace->b, trace);
		rc |= set_text(line, "trace_id", view_of(trace));
	}
	return rc;
}

static int
set_image(json_t *line, const struct raw32 *image)
{
	char text[IMAGEREF_DIGEST_TEXT_SIZE];

	if (!image || imageref_is_none(image))
		return 0;
	imageref_format(image, text);
	return set_text(line, "image", view_of(text));
}

/* It stays the caller's. */
static int
set_object(json_t *line, const char *member, json_t *object)
{
	return object ? json_object_set(line, member, object) : 0;
}

static json_t *
line_new(const struct audit *a, const struct audit_event *e)
{
	char now[TIME_BYTES];
	json_t *line = json_object();
	int rc;

	format_now(now);
	rc = set_text(line, "time", view_of(now));
	rc |= json_object_set_new(line, "seq", json_integer((json_int_t)a->seq));
	rc |= set_text(line, "run", view_of(a->run));
	rc |= set_text(line, "event", view_of(names[e->name]));
	rc |= set_text(line, "phase", view_of(phases[e->phase]));
	rc |= set_ids(line, e);
	rc |= set_text(line, "issuer", e->issuer);
	rc |= set_text(line, "subject", e->subject);
	rc |= set_text(line, "profile", e->profile);
	rc |= set_image(line, e->image);
	rc |= set_text(line, "role", e->role);
	rc |= set_text(line, "rule_id", e->rule_id);
	rc |= set_text(line, "policy", e->policy);
	rc |= set_text(line, "node", e->node);
	rc |= set_text(line, "reason", e->reason);
	rc |= set_text(line, "actor", e->actor);
	rc |= set_text(line, "detail", e->detail);
	rc |= set_object(line, "request", e->request);
	rc |= set_object(line, "decision", e->decision);
	if (rc == 0)
		return line;
	json_decref(line);
	return NULL;
}

/* The line with its newline, and one before it when the last line was torn. 0: it does not fit. */
static size_t
format_line(const struct audit *a, const struct audit_event *e, char *out, size_t size)
{
	json_t *line = line_new(a, e);
	size_t at = 0, len;

	if (!line)
		return 0;
	if (a->is_torn)
		out[at++] = '\n';
	len = json_dumpb(line, out + at, size - at - 1, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(line);
	if (len == 0 || len > size - at - 1)
		return 0;
	out[at + len] = '\n';
	return at + len + 1;
}

static int
append(struct audit *a, const char *line, size_t len)
{
	ssize_t n;

	do {
		n = write(a->fd, line, len);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)len) {
		a->is_torn = false;
		return 0;
	}
	if (n > 0)
		a->is_torn = true;
	if (n >= 0)
		errno = ENOSPC; /* a short write to a file means that */
	return -FOG_E_NO_AUDIT;
}

static int
write_line(struct audit *a, const struct audit_event *e)
{
	static char line[LINE_MAX_BYTES];
	size_t len;
	int rc;

	a->seq++;
	errno = ENOMEM;
	len = format_line(a, e, line, sizeof(line));
	rc = len ? append(a, line, len) : -FOG_E_NO_AUDIT;
	if (rc != 0 && a->lost++ == 0)
		log_warn("event=audit_unwritable name=%s", names[e->name]);
	return rc;
}

int
audit_retry(struct audit *a)
{
	char detail[64];
	struct audit_event resumed = { .name = AUDIT_AUDIT_RESUMED };
	uint64_t seq = a->seq, lost = a->lost;

	if (a->lost == 0)
		return 0;
	snprintf(detail, sizeof(detail), "%llu lines could not be written",
	    (unsigned long long)a->lost);
	resumed.detail = view_of(detail);
	if (write_line(a, &resumed) != 0) {
		/* An attempt is no event: neither the count nor the numbers may say so. */
		a->seq = seq;
		a->lost = lost;
		return -FOG_E_NO_AUDIT;
	}
	log_info("event=audit_resumed lost=%llu", (unsigned long long)a->lost);
	a->lost = 0;
	return 0;
}

int
audit_write(struct audit *a, const struct audit_event *e)
{
	if (audit_retry(a) == 0)
		return write_line(a, e);
	a->seq++;
	a->lost++;
	return -FOG_E_NO_AUDIT;
}

bool
audit_is_writable(const struct audit *a)
{
	return a->lost == 0;
}
