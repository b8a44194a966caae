/* SPDX-License-Identifier: MIT */
/*
 * The audit log: what a line holds, what hostile text does to it, full disks and torn lines.
 * links: placerd/audit.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "placerd/audit.h"

#define LINES_MAX 8

/* The read end of a pipe is the disk here. */
struct log {
	struct audit *audit;
	int disk, written; /* the audit log's own */
	char text[65536];
	char *lines[LINES_MAX];
	size_t n_lines;
};

static void
log_open(struct log *l)
{
	int pair[2];

	memset(l, 0, sizeof(*l));
	assert_int_equal(json_init(), 0);
	assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
	l->disk = pair[0];
	l->written = pair[1];
	l->audit = audit_new(pair[1], -1);
	assert_non_null(l->audit);
}

static void
log_close(struct log *l)
{
	audit_free(l->audit);
	close(l->disk);
}

/* Takes all that was written, split at newlines. */
static void
log_read(struct log *l)
{
	ssize_t n = read(l->disk, l->text, sizeof(l->text) - 1);
	char *at = l->text, *end;

	assert_true(n > 0);
	l->text[n] = '\0';
	for (l->n_lines = 0; (end = strchr(at, '\n')); at = end + 1) {
		assert_true(l->n_lines < LINES_MAX);
		*end = '\0';
		l->lines[l->n_lines++] = at;
	}
	assert_int_equal(*at, '\0');
}

static json_t *
parse(const char *line)
{
	json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

	assert_true(json_is_object(object));
	return object;
}

static const char *
text_of(json_t *line, const char *member)
{
	return json_string_value(json_object_get(line, member));
}

static void
test_line_holds_all_members(void **state)
{
	static const struct trace trace = { { 1, 2, 3 } };
	static const struct raw32 image = { { 0xab, [31] = 0xcd } };
	struct id128 sid;
	struct audit_event e = { .name = AUDIT_SESSION_CREATED,
		.phase = AUDIT_INTENT,
		.session_id = &sid,
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.profile = view_of("default"),
		.role = view_of("viewer"),
		.rule_id = view_of("profile.admitted"),
		.policy = view_of("0123456789abcdef"),
		.node = view_of("fog-1"),
		.reason = view_of("local-only"),
		.detail = view_of("exit code 3"),
		.image = &image,
		.trace = &trace };
	struct log l;
	json_t *line;

	(void)state;
	log_open(&l);
	assert_int_equal(id_parse("01020304-0506-8708-890a-0b0c0d0e0f10", 36, &sid), 0);
	assert_int_equal(audit_write(l.audit, &e), 0);
	log_read(&l);
	assert_int_equal(l.n_lines, 1);
	line = parse(l.lines[0]);
	assert_string_equal(text_of(line, "event"), "session.created");
	assert_string_equal(text_of(line, "phase"), "intent");
	assert_string_equal(text_of(line, "session_id"), "01020304-0506-8708-890a-0b0c0d0e0f10");
	assert_string_equal(text_of(line, "issuer"), "dev");
	assert_string_equal(text_of(line, "subject"), "alice");
	assert_string_equal(text_of(line, "profile"), "default");
	assert_string_equal(text_of(line, "image"),
	    "sha256:ab000000000000000000000000000000000000000000000000000000000000cd");
	assert_string_equal(text_of(line, "role"), "viewer");
	assert_string_equal(text_of(line, "rule_id"), "profile.admitted");
	assert_string_equal(text_of(line, "policy"), "0123456789abcdef");
	assert_string_equal(text_of(line, "node"), "fog-1");
	assert_string_equal(text_of(line, "reason"), "local-only");
	assert_string_equal(text_of(line, "detail"), "exit code 3");
	assert_string_equal(text_of(line, "trace_id"), "01020300000000000000000000000000");
	assert_int_equal(json_integer_value(json_object_get(line, "seq")), 1);
	assert_int_equal(strlen(text_of(line, "run")), 36);
	json_decref(line);
	log_close(&l);
}

static void
test_empty_members_are_left_out(void **state)
{
	static const struct trace no_trace;
	struct audit_event e = { .name = AUDIT_POLICY_DENIED, .trace = &no_trace };
	struct log l;
	json_t *line;

	(void)state;
	log_open(&l);
	assert_int_equal(audit_write(l.audit, &e), 0);
	log_read(&l);
	line = parse(l.lines[0]);
	assert_int_equal(json_object_size(line), 4);
	assert_string_equal(text_of(line, "event"), "policy.denied");
	json_decref(line);
	log_close(&l);
}

static void
test_time_has_milliseconds(void **state)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ"; /* RFC 3339 5.6 */
	struct audit_event e = { .name = AUDIT_RUNTIME_ALLOCATED };
	const char *time_text;
	struct log l;
	json_t *line;

	(void)state;
	log_open(&l);
	assert_int_equal(audit_write(l.audit, &e), 0);
	log_read(&l);
	line = parse(l.lines[0]);
	time_text = text_of(line, "time");
	assert_int_equal(strlen(time_text), strlen(form));
	for (size_t i = 0; form[i]; i++) {
		if (form[i] == 'd')
			assert_in_range(time_text[i], '0', '9');
		else
			assert_int_equal(time_text[i], form[i]);
	}
	json_decref(line);
	log_close(&l);
}

static const struct {
	const char *name, *text;
	size_t len;
	const char *read_back; /* NULL: as it was */
} hostile_rows[] = {
#define BYTES(s) s, sizeof(s) - 1
	{ "newline", BYTES("a\n{\"event\":\"forged\"}"), NULL },
	{ "quote", BYTES("a\",\"event\":\"forged"), NULL },
	{ "terminal", BYTES("\x1b[2J\x1b]0;title\a"), NULL },
	{ "umlaut", BYTES("J\xc3\xbcrgen"), NULL },
	{ "c1",
	    BYTES("\xc2\x9b"
		  "31m"),
	    NULL },
	{ "nul", BYTES("a\0b"), "\"a\\x00b\"" },
	{ "del", BYTES("a\x7f"), "\"a\\x7f\"" },
	{ "no utf-8", BYTES("\xff\xfe"), "\"\\xff\\xfe\"" },
	{ "cut utf-8", BYTES("a\xe2\x82"), "\"a\\xe2\\x82\"" },
};

static void
test_hostile_text_stays_in_its_member(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(hostile_rows); i++) {
		struct audit_event e = { .name = AUDIT_SESSION_ATTACHED,
			.subject = view_bytes(hostile_rows[i].text, hostile_rows[i].len) };
		struct log l;
		json_t *line;

		log_open(&l);
		assert_int_equal(audit_write(l.audit, &e), 0);
		log_read(&l);
		assert_int_equal(l.n_lines, 1);
		for (const char *c = l.lines[0]; *c; c++)
			assert_true(*c >= 0x20 && *c < 0x7f);
		line = parse(l.lines[0]);
		assert_string_equal(text_of(line, "event"), "session.attached");
		assert_string_equal(text_of(line, "subject"),
		    hostile_rows[i].read_back ? hostile_rows[i].read_back : hostile_rows[i].text);
		json_decref(line);
		log_close(&l);
	}
}

static void
test_longest_members_fit(void **state)
{
	char text[400];
	struct audit_event e = { .name = AUDIT_SESSION_CREATED };
	struct log l;

	(void)state;
	memset(text, '\x01', sizeof(text));
	e.issuer = e.subject = view_bytes(text, 255);
	e.profile = e.role = e.rule_id = e.node = e.reason = view_bytes(text, 64);
	e.detail = view_bytes(text, 400);
	log_open(&l);
	assert_int_equal(audit_write(l.audit, &e), 0);
	log_read(&l);
	assert_int_equal(l.n_lines, 1);
	json_decref(parse(l.lines[0]));
	log_close(&l);
}

static void
test_full_disk_refuses_and_resumes(void **state)
{
	struct audit_event e = { .name = AUDIT_SESSION_CREATED };
	struct log l;
	json_t *line;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), kept;

	(void)state;
	log_open(&l);
	kept = dup(l.written);
	assert_true(full >= 0 && kept >= 0);
	assert_int_equal(audit_write(l.audit, &e), 0);
	/* The log's descriptor becomes the full disk, and later the pipe again. */
	assert_true(dup2(full, l.written) >= 0);
	assert_int_equal(audit_write(l.audit, &e), -FOG_E_NO_AUDIT);
	assert_false(audit_is_writable(l.audit));
	assert_int_equal(audit_write(l.audit, &e), -FOG_E_NO_AUDIT);
	assert_int_equal(audit_retry(l.audit), -FOG_E_NO_AUDIT);
	assert_true(dup2(kept, l.written) >= 0);
	close(kept);
	assert_int_equal(audit_write(l.audit, &e), 0);
	assert_true(audit_is_writable(l.audit));
	log_read(&l);
	assert_int_equal(l.n_lines, 3);
	line = parse(l.lines[1]);
	assert_string_equal(text_of(line, "event"), "audit.resumed");
	/* Its number shows how many before it are not there; attempts to resume are none. */
	assert_int_equal(json_integer_value(json_object_get(line, "seq")), 4);
	assert_string_equal(text_of(line, "detail"), "2 lines could not be written");
	json_decref(line);
	line = parse(l.lines[2]);
	assert_string_equal(text_of(line, "event"), "session.created");
	json_decref(line);
	close(full);
	log_close(&l);
}

/* A pipe with little room takes the first part of a line: what a disk does that becomes full. */
static void
test_torn_line_stays_alone(void **state)
{
	struct audit_event small = { .name = AUDIT_SESSION_CREATED };
	struct audit_event large = small;
	char text[400], filler[4096];
	struct log l;
	ssize_t n;

	(void)state;
	memset(text, '\x01', sizeof(text));
	memset(filler, '.', sizeof(filler));
	large.issuer = large.subject = view_bytes(text, 255);
	large.detail = view_bytes(text, 400);
	log_open(&l);
	assert_true(fcntl(l.disk, F_SETPIPE_SZ, 8192) == 8192);
	assert_int_equal(write(l.written, filler, sizeof(filler)), sizeof(filler));
	assert_int_equal(audit_write(l.audit, &large), -FOG_E_NO_AUDIT);
	assert_false(audit_is_writable(l.audit));
	n = read(l.disk, l.text, sizeof(l.text));
	assert_int_equal(n, 8192); /* the filler, and half a line */
	assert_int_equal(audit_write(l.audit, &small), 0);
	log_read(&l);
	assert_int_equal(l.n_lines, 3);
	assert_string_equal(l.lines[0], ""); /* ends the torn one */
	json_decref(parse(l.lines[1]));
	json_decref(parse(l.lines[2]));
	log_close(&l);
}

/* What a placerd that was killed has left: the first line of the next one is not lost in it (R7). */
static void
test_begins_behind_a_torn_line(void **state)
{
	static const struct {
		const char *before, *first;
	} rows[] = { { "", "{" }, { "{}\n", "{" }, { "{}\n{\"time\":", "\n" } };
	struct audit_event e = { .name = AUDIT_POLICY_DENIED };

	(void)state;
	assert_int_equal(json_init(), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int fd = memfd_create("audit", MFD_CLOEXEC);
		struct audit *audit;
		char first = 0;

		assert_int_equal(write(fd, rows[i].before, strlen(rows[i].before)),
		    strlen(rows[i].before));
		audit = audit_new(fcntl(fd, F_DUPFD_CLOEXEC, 0), fd);
		assert_non_null(audit);
		lseek(fd, 0, SEEK_END);
		assert_int_equal(audit_write(audit, &e), 0);
		assert_int_equal(pread(fd, &first, 1, (off_t)strlen(rows[i].before)), 1);
		assert_int_equal(first, rows[i].first[0]);
		audit_free(audit);
		close(fd);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_behind_a_torn_line),
		cmocka_unit_test(test_line_holds_all_members),
		cmocka_unit_test(test_empty_members_are_left_out),
		cmocka_unit_test(test_time_has_milliseconds),
		cmocka_unit_test(test_hostile_text_stays_in_its_member),
		cmocka_unit_test(test_longest_members_fit),
		cmocka_unit_test(test_full_disk_refuses_and_resumes),
		cmocka_unit_test(test_torn_line_stays_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
