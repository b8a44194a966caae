/* SPDX-License-Identifier: MIT */
/*
 * http1 against tables of requests. Every row is fed whole, byte by byte and in two pieces cut at
 * each position, and each way has to give the same transcript.
 */
#include "gatewayd/http1.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S(text) text, sizeof(text) - 1
#define NELEMS(a) (sizeof(a) / sizeof((a)[0]))
#define HOST "Host: a.example\r\n"
#define GET(fields) "GET / HTTP/1.1\r\n" fields "\r\n"
#define POST(fields, content) "POST / HTTP/1.1\r\n" HOST fields "\r\n" content
#define CHUNKED(content) POST("Transfer-Encoding: chunked\r\n", content)
#define CHUNKED_HEAD "POST / {Host=a.example,Transfer-Encoding=chunked} Ck ["
#define A10 "aaaaaaaaaa"
#define A63 A10 A10 A10 A10 A10 A10 "aaa"

static const struct http1_limits LIMITS = {
	.header_bytes = 1024,
	.header_count = 16,
	.uri_bytes = 256,
	.body_bytes = 4096,
};

/*
 * Transcript of the requests in an input, one after the other:
 *   METHOD path[?query] {name=value,...} flags [content]
 * flags: C chunked, k keep-alive, u upgrade, e expects 100-continue. Then "more" (ends inside a
 * request), "status reason", or nothing when the input ended with a request.
 */
struct transcript {
	char text[4096];
	size_t len;
	size_t consumed;
	bool in_content;
};

struct row {
	const char *name;
	const char *input;
	size_t len;
	const char *expect;
};

static void
put(struct transcript *t, const char *s, size_t len)
{
	assert_true(len < sizeof(t->text) - t->len);
	memcpy(t->text + t->len, s, len);
	t->len += len;
	t->text[t->len] = '\0';
}

static void
put_str(struct transcript *t, const char *s)
{
	put(t, s, strlen(s));
}

/* Views of the head are strings too. */
static void
put_view(struct transcript *t, struct http1_view v)
{
	assert_int_equal(strlen(v.ptr), v.len);
	put(t, v.ptr, v.len);
}

static void
put_head(struct transcript *t, const struct http1 *h)
{
	const struct http1_request *r = http1_request(h);
	struct http1_view name, value;

	put_view(t, r->method);
	put_str(t, " ");
	put_view(t, r->path);
	if (r->query.ptr != NULL) {
		put_str(t, "?");
		put_view(t, r->query);
	}
	put_str(t, " {");
	for (size_t i = 0; http1_field_at(h, i, &name, &value); i++) {
		put_str(t, i > 0 ? "," : "");
		put_view(t, name);
		put_str(t, "=");
		put_view(t, value);
	}
	put_str(t, "} ");
	put_str(t, r->chunked ? "C" : "");
	put_str(t, r->keep_alive ? "k" : "");
	put_str(t, r->upgrade ? "u" : "");
	put_str(t, r->expect_continue ? "e" : "");
	put_str(t, " [");
}

static void
put_error(struct transcript *t, const struct http1 *h)
{
	char status[8];

	(void)snprintf(status, sizeof(status), "%d ", http1_status(h));
	put_str(t, status);
	put_str(t, http1_reason(h));
}

/* Feeds one piece until the parser wants more or has failed. */
static enum http1_event
feed_piece(struct http1 *h, struct transcript *t, const char *p, size_t len)
{
	enum http1_event event;
	size_t n = 0, used;

	for (;;) {
		event = http1_feed(h, p + n, len - n, &used);
		assert_true(used <= len - n);
		n += used;
		t->consumed += used;
		if (event == HTTP1_HEADERS_DONE) {
			put_head(t, h);
		} else if (event == HTTP1_BODY) {
			struct http1_view body = http1_body(h);

			assert_true(body.len > 0 && body.ptr >= p &&
			    body.ptr + body.len <= p + len);
			put(t, body.ptr, body.len);
		} else if (event == HTTP1_DONE) {
			put_str(t, "]");
			http1_reset(h);
			if (n == len)
				return HTTP1_DONE;
		} else {
			break;
		}
	}
	if (event == HTTP1_NEED_MORE)
		assert_int_equal(n, len);
	return event;
}

static void
finish(struct http1 *h, struct transcript *t)
{
	size_t used = 1;

	if (http1_status(h) != 0) {
		put_error(t, h);
		assert_int_equal(http1_feed(h, "x", 1, &used), HTTP1_ERROR);
		assert_int_equal(used, 0);
	} else {
		assert_string_equal(http1_reason(h), "");
		put_str(t, http1_started(h) ? "more" : "");
	}
}

/* Pieces of the given size, the last one shorter; first, when not 0, is the size of the first. */
static void
transcribe(const struct http1_limits *limits, const struct row *row, size_t first, size_t piece,
    struct transcript *t)
{
	struct http1 *h = http1_new(limits);
	enum http1_event event = HTTP1_NEED_MORE;
	size_t len;

	assert_non_null(h);
	t->len = t->consumed = 0;
	t->text[0] = '\0';
	for (size_t n = 0; n < row->len && event != HTTP1_ERROR; n += len) {
		char *copy;

		len = n == 0 && first > 0 ? first : piece;
		len = len < row->len - n ? len : row->len - n;
		/* its own allocation, so that a sanitizer sees a read past the piece */
		copy = malloc(len);
		assert_non_null(copy);
		memcpy(copy, row->input + n, len);
		event = feed_piece(h, t, copy, len);
		free(copy);
	}
	finish(h, t);
	http1_free(h);
}

static void
check_same(const struct row *row, const struct transcript *whole, const struct transcript *other,
    size_t at)
{
	if (strcmp(whole->text, other->text) != 0 || whole->consumed != other->consumed)
		fail_msg("%s: cut at %zu: \"%s\" instead of \"%s\"", row->name, at, other->text,
		    whole->text);
}

static void
check_row(const struct http1_limits *limits, const struct row *row)
{
	struct transcript whole, other;

	transcribe(limits, row, 0, row->len, &whole);
	if (strcmp(whole.text, row->expect) != 0)
		fail_msg("%s: \"%s\" instead of \"%s\"", row->name, whole.text, row->expect);
	transcribe(limits, row, 0, 1, &other);
	check_same(row, &whole, &other, 0);
	for (size_t at = 1; at < row->len; at++) {
		transcribe(limits, row, at, row->len, &other);
		check_same(row, &whole, &other, at);
	}
}

static void
check_rows(const struct http1_limits *limits, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_row(limits, &rows[i]);
}

static void
test_request_line(void **state)
{
	static const struct row rows[] = {
		{ "plain", S(GET(HOST)), "GET / {Host=a.example} k []" },
		{ "query", S("GET /a/b?c=d&e HTTP/1.1\r\n" HOST "\r\n"),
		    "GET /a/b?c=d&e {Host=a.example} k []" },
		{ "empty query", S("GET /? HTTP/1.1\r\n" HOST "\r\n"),
		    "GET /? {Host=a.example} k []" },
		{ "second ? is data", S("GET /?a?b HTTP/1.1\r\n" HOST "\r\n"),
		    "GET /?a?b {Host=a.example} k []" },
		{ "two slashes stay", S("GET //x//y HTTP/1.1\r\n" HOST "\r\n"),
		    "GET //x//y {Host=a.example} k []" },
		{ "dot segments stay", S("GET /a/../b/./c HTTP/1.1\r\n" HOST "\r\n"),
		    "GET /a/../b/./c {Host=a.example} k []" },
		{ "escapes stay", S("GET /%2F%00%2e%2E?%41 HTTP/1.1\r\n" HOST "\r\n"),
		    "GET /%2F%00%2e%2E?%41 {Host=a.example} k []" },
		{ "all pchar", S("GET /azAZ09-._~!$&'()*+,;=:@ HTTP/1.1\r\n" HOST "\r\n"),
		    "GET /azAZ09-._~!$&'()*+,;=:@ {Host=a.example} k []" },
		{ "HEAD", S("HEAD / HTTP/1.1\r\n" HOST "\r\n"), "HEAD / {Host=a.example} k []" },
		{ "PUT", S("PUT / HTTP/1.1\r\n" HOST "\r\n"), "PUT / {Host=a.example} k []" },
		{ "DELETE", S("DELETE /x HTTP/1.1\r\n" HOST "\r\n"),
		    "DELETE /x {Host=a.example} k []" },
		{ "OPTIONS", S("OPTIONS /x HTTP/1.1\r\n" HOST "\r\n"),
		    "OPTIONS /x {Host=a.example} k []" },
		{ "PATCH", S("PATCH /x HTTP/1.1\r\n" HOST "\r\n"),
		    "PATCH /x {Host=a.example} k []" },
		{ "TRACE", S("TRACE /x HTTP/1.1\r\n" HOST "\r\n"),
		    "TRACE /x {Host=a.example} k []" },
		{ "nothing", S(""), "" },
		{ "one byte", S("G"), "more" },
		{ "cut in the target", S("GET /abc"), "more" },
		{ "unknown method", S("BREW / HTTP/1.1\r\n" HOST "\r\n"),
		    "501 method is not implemented" },
		{ "unknown method of three letters", S("FOO / HTTP/1.1\r\n" HOST "\r\n"),
		    "501 method is not implemented" },
		{ "lower-case method", S("get / HTTP/1.1\r\n" HOST "\r\n"),
		    "501 method is not implemented" },
		{ "CONNECT", S("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n"),
		    "501 method is not implemented" },
		{ "long method", S("GGGGGGGGGGGGGGGGG / HTTP/1.1\r\n" HOST "\r\n"),
		    "501 method is longer than any that is implemented" },
		{ "empty method", S(" / HTTP/1.1\r\n" HOST "\r\n"),
		    "400 character that is not allowed in the method" },
		{ "empty line first", S("\r\n" GET(HOST)),
		    "400 empty line before the request line" },
		{ "LF first", S("\n" GET(HOST)), "400 bare LF in the method" },
		{ "NUL first", S("\0" GET(HOST)), "400 NUL in the method" },
		{ "separator in the method", S("G(T / HTTP/1.1\r\n"),
		    "400 character that is not allowed in the method" },
		{ "TLS hello", S("\x16\x03\x01\x02"), "400 control character in the method" },
		{ "high byte in the method", S("G\xc3T / HTTP/1.1\r\n"),
		    "400 character that is not allowed in the method" },
		{ "tab after the method", S("GET\t/ HTTP/1.1\r\n"),
		    "400 control character in the method" },
		{ "CR in the method", S("GET\r\n"), "400 bare CR in the method" },
		{ "two spaces", S("GET  / HTTP/1.1\r\n"),
		    "400 more than one space after the method" },
		{ "two spaces before the version", S("GET /  HTTP/1.1\r\n"),
		    "400 more than one space after the request target" },
		{ "tab before the version", S("GET /\tHTTP/1.1\r\n"),
		    "400 control character in the request target" },
		{ "absolute-form", S("GET http://a.example/ HTTP/1.1\r\n" HOST "\r\n"),
		    "400 request target is not in origin-form" },
		{ "asterisk-form", S("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
		    "400 request target is not in origin-form" },
		{ "authority-form", S("GET a.example:80 HTTP/1.1\r\n" HOST "\r\n"),
		    "400 request target is not in origin-form" },
		{ "no target", S("GET HTTP/1.1\r\n" HOST "\r\n"),
		    "400 request target is not in origin-form" },
		{ "fragment", S("GET /#a HTTP/1.1\r\n"),
		    "400 character that is not allowed in the request target" },
		{ "quote", S("GET /\" HTTP/1.1\r\n"),
		    "400 character that is not allowed in the request target" },
		{ "backslash", S("GET /..\\x HTTP/1.1\r\n"),
		    "400 character that is not allowed in the request target" },
		{ "bracket in the query", S("GET /?[ HTTP/1.1\r\n"),
		    "400 character that is not allowed in the request target" },
		{ "UTF-8 target", S("GET /\xc3\xa4 HTTP/1.1\r\n"),
		    "400 character that is not allowed in the request target" },
		{ "NUL in the target", S("GET /\0 HTTP/1.1\r\n"), "400 NUL in the request target" },
		{ "LF in the target", S("GET /\nHTTP/1.1\r\n"),
		    "400 bare LF in the request target" },
		{ "DEL in the target", S("GET /\x7f HTTP/1.1\r\n"),
		    "400 control character in the request target" },
		{ "escape without digits", S("GET /%zz HTTP/1.1\r\n"),
		    "400 invalid percent-encoding in the request target" },
		{ "escape with one digit", S("GET /%4g HTTP/1.1\r\n"),
		    "400 invalid percent-encoding in the request target" },
		{ "escape cut by ?", S("GET /%4?a HTTP/1.1\r\n"),
		    "400 invalid percent-encoding in the request target" },
		{ "escape cut by %", S("GET /%%41 HTTP/1.1\r\n"),
		    "400 invalid percent-encoding in the request target" },
		{ "escape cut by the end", S("GET /%4 HTTP/1.1\r\n"),
		    "400 incomplete percent-encoding in the request target" },
		{ "HTTP/0.9", S("GET /\r\n"), "400 request line has no HTTP version" },
		{ "HTTP/1.0", S("GET / HTTP/1.0\r\n" HOST "\r\n"),
		    "505 only HTTP/1.1 is supported" },
		{ "HTTP/1.2", S("GET / HTTP/1.2\r\n" HOST "\r\n"),
		    "505 only HTTP/1.1 is supported" },
		{ "HTTP/2.0", S("GET / HTTP/2.0\r\n" HOST "\r\n"),
		    "505 only HTTP/1.1 is supported" },
		{ "HTTP/2 preface", S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		    "501 method is not implemented" },
		{ "lower-case version", S("GET / http/1.1\r\n"), "400 HTTP version is malformed" },
		{ "three digits", S("GET / HTTP/1.10\r\n"), "400 HTTP version is malformed" },
		{ "version with a sign", S("GET / HTTP/-1.1\r\n"),
		    "400 HTTP version is malformed" },
		{ "version without a dot", S("GET / HTTP/11\r\n"),
		    "400 HTTP version is malformed" },
		{ "short version", S("GET / HTTP/1\r\n"), "400 HTTP version is malformed" },
		{ "empty version", S("GET / \r\n"), "400 HTTP version is malformed" },
		{ "space after the version", S("GET / HTTP/1.1 \r\n"),
		    "400 HTTP version is malformed" },
		{ "fourth word", S("GET / HTTP/1.1 x\r\n"), "400 HTTP version is malformed" },
		{ "bare LF after the version", S("GET / HTTP/1.1\n" HOST "\r\n"),
		    "400 bare LF in the HTTP version" },
		{ "bare CR after the version", S("GET / HTTP/1.1\r" HOST "\r\n"),
		    "400 CR without LF" },
		{ "CR CR LF", S("GET / HTTP/1.1\r\r\n" HOST "\r\n"), "400 CR without LF" },
	};

	(void)state;
	check_rows(&LIMITS, rows, NELEMS(rows));
}

static void
test_fields(void **state)
{
	static const struct row rows[] = {
		{ "no white space", S(GET("Host:a\r\nX:1\r\n")), "GET / {Host=a,X=1} k []" },
		{ "white space around", S(GET("Host: \t a \t \r\n")), "GET / {Host=a} k []" },
		{ "white space inside", S(GET(HOST "X: a \t b\r\n")),
		    "GET / {Host=a.example,X=a \t b} k []" },
		{ "empty value", S(GET(HOST "X:\r\nY: \t\r\n")),
		    "GET / {Host=a.example,X=,Y=} k []" },
		{ "all tchar", S(GET(HOST "!#$%&'*+-.^_`|~09azAZ: v\r\n")),
		    "GET / {Host=a.example,!#$%&'*+-.^_`|~09azAZ=v} k []" },
		{ "obs-text", S(GET(HOST "X: \x80\xff\r\n")),
		    "GET / {Host=a.example,X=\x80\xff} k []" },
		{ "value with colons", S(GET(HOST "X: :a:\r\n")),
		    "GET / {Host=a.example,X=:a:} k []" },
		{ "repeated fields stay apart", S(GET(HOST "X: 1\r\nx: 2\r\n")),
		    "GET / {Host=a.example,X=1,x=2} k []" },
		{ "cut in a name", S("GET / HTTP/1.1\r\nHo"), "more" },
		{ "cut in a value", S("GET / HTTP/1.1\r\nHost: a"), "more" },
		{ "cut before the last LF", S("GET / HTTP/1.1\r\nHost: a\r\n\r"), "more" },
		{ "obs-fold", S(GET(HOST "X: a\r\n b\r\n")),
		    "400 line folding or white space before a field name" },
		{ "obs-fold by tab", S(GET(HOST "X: a\r\n\tb\r\n")),
		    "400 line folding or white space before a field name" },
		{ "white space first", S(GET(" " HOST)),
		    "400 line folding or white space before a field name" },
		{ "empty name", S(GET(HOST ": a\r\n")), "400 empty field name" },
		{ "space before the colon", S(GET("Host : a\r\n")),
		    "400 white space in or after a field name" },
		{ "tab before the colon", S(GET("Host\t: a\r\n")),
		    "400 white space in or after a field name" },
		{ "space in the name", S(GET(HOST "X Y: a\r\n")),
		    "400 white space in or after a field name" },
		{ "no colon", S(GET(HOST "X\r\n")), "400 bare CR in the field name" },
		{ "NUL in the name", S(GET(HOST "X\0Y: a\r\n")), "400 NUL in the field name" },
		{ "NUL as the name", S(GET(HOST "\0: a\r\n")), "400 NUL in the field name" },
		{ "high byte in the name", S(GET(HOST "X\xe4: a\r\n")),
		    "400 character that is not allowed in the field name" },
		{ "separator as the name", S(GET(HOST "(: a\r\n")),
		    "400 character that is not allowed in the field name" },
		{ "NUL in the value", S(GET(HOST "X: a\0b\r\n")), "400 NUL in the field value" },
		{ "LF in the value", S(GET(HOST "X: a\nY: b\r\n")),
		    "400 bare LF in the field value" },
		{ "LF before the value", S(GET(HOST "X:\n\r\n")),
		    "400 bare LF in the field value" },
		{ "bare CR in the value", S(GET(HOST "X: a\rY: b\r\n")), "400 CR without LF" },
		{ "bare CR at the end", S("GET / HTTP/1.1\r\n" HOST "\rX"), "400 CR without LF" },
		{ "escape in the value", S(GET(HOST "X: \x1b[0m\r\n")),
		    "400 control character in the field value" },
		{ "DEL in the value", S(GET(HOST "X: \x7f\r\n")),
		    "400 control character in the field value" },
		{ "LF ends the head", S("GET / HTTP/1.1\r\n" HOST "\n"),
		    "400 bare LF in the field name" },
	};

	(void)state;
	check_rows(&LIMITS, rows, NELEMS(rows));
}

static void
test_host(void **state)
{
	static const struct row rows[] = {
		{ "port", S(GET("Host: a.example:8080\r\n")), "GET / {Host=a.example:8080} k []" },
		{ "lowest port", S(GET("Host: a:1\r\n")), "GET / {Host=a:1} k []" },
		{ "highest port", S(GET("Host: a:65535\r\n")), "GET / {Host=a:65535} k []" },
		{ "IPv4", S(GET("Host: 127.0.0.1:80\r\n")), "GET / {Host=127.0.0.1:80} k []" },
		{ "IPv6", S(GET("Host: [::1]\r\n")), "GET / {Host=[::1]} k []" },
		{ "IPv6 and port", S(GET("host: [2001:db8::7]:443\r\n")),
		    "GET / {host=[2001:db8::7]:443} k []" },
		{ "IPv6 with IPv4 tail", S(GET("Host: [::ffff:1.2.3.4]\r\n")),
		    "GET / {Host=[::ffff:1.2.3.4]} k []" },
		{ "trailing dot", S(GET("Host: a.example.\r\n")), "GET / {Host=a.example.} k []" },
		{ "longest name",
		    S(GET("Host: " A63 "." A63 "." A63 "." A10 A10 A10 A10 A10 A10 "a\r\n")),
		    "GET / {Host=" A63 "." A63 "." A63 "." A10 A10 A10 A10 A10 A10 "a} k []" },
		{ "too long a name",
		    S(GET("Host: " A63 "." A63 "." A63 "." A10 A10 A10 A10 A10 A10 "aa\r\n")),
		    "400 Host is not valid" },
		{ "missing", S(GET("")), "400 Host is missing" },
		{ "missing beside others", S(GET("X-Host: a\r\n")), "400 Host is missing" },
		{ "twice", S(GET(HOST "Host: b.example\r\n")), "400 more than one Host" },
		{ "twice the same", S(GET(HOST HOST)), "400 more than one Host" },
		{ "twice by case", S(GET(HOST "hOST: a.example\r\n")), "400 more than one Host" },
		{ "empty", S(GET("Host:\r\n")), "400 Host is not valid" },
		{ "list", S(GET("Host: a,b\r\n")), "400 Host is not valid" },
		{ "space", S(GET("Host: a b\r\n")), "400 Host is not valid" },
		{ "user", S(GET("Host: u@a\r\n")), "400 Host is not valid" },
		{ "path", S(GET("Host: a/b\r\n")), "400 Host is not valid" },
		{ "scheme", S(GET("Host: http://a\r\n")), "400 Host is not valid" },
		{ "escape", S(GET("Host: a%2eb\r\n")), "400 Host is not valid" },
		{ "high byte", S(GET("Host: \xc3\xa4\r\n")), "400 Host is not valid" },
		{ "leading dot", S(GET("Host: .a\r\n")), "400 Host is not valid" },
		{ "two dots", S(GET("Host: a..b\r\n")), "400 Host is not valid" },
		{ "empty port", S(GET("Host: a:\r\n")), "400 Host is not valid" },
		{ "port 0", S(GET("Host: a:0\r\n")), "400 Host is not valid" },
		{ "port 65536", S(GET("Host: a:65536\r\n")), "400 Host is not valid" },
		{ "six digits", S(GET("Host: a:000080\r\n")), "400 Host is not valid" },
		{ "port with a sign", S(GET("Host: a:+80\r\n")), "400 Host is not valid" },
		{ "two ports", S(GET("Host: a:80:80\r\n")), "400 Host is not valid" },
		{ "port alone", S(GET("Host: :80\r\n")), "400 Host is not valid" },
		{ "open bracket", S(GET("Host: [::1\r\n")), "400 Host is not valid" },
		{ "bracket and rubbish", S(GET("Host: [::1]x\r\n")), "400 Host is not valid" },
		{ "empty literal", S(GET("Host: []\r\n")), "400 Host is not valid" },
		{ "IPv4 in brackets", S(GET("Host: [127.0.0.1]\r\n")), "400 Host is not valid" },
		{ "zone", S(GET("Host: [fe80::1%25eth0]\r\n")), "400 Host is not valid" },
		{ "IPvFuture", S(GET("Host: [v1.a]\r\n")), "400 Host is not valid" },
		{ "long literal", S(GET("Host: [" A63 "]\r\n")), "400 Host is not valid" },
	};

	(void)state;
	check_rows(&LIMITS, rows, NELEMS(rows));
}

static void
test_content_length(void **state)
{
	static const struct row rows[] = {
		{ "content", S(POST("Content-Length: 5\r\n", "hello")),
		    "POST / {Host=a.example,Content-Length=5} k [hello]" },
		{ "zero", S(POST("Content-Length: 0\r\n", "")),
		    "POST / {Host=a.example,Content-Length=0} k []" },
		{ "none", S(POST("", "")), "POST / {Host=a.example} k []" },
		{ "GET with content", S(GET(HOST "content-length: 2\r\n") "ab"),
		    "GET / {Host=a.example,content-length=2} k [ab]" },
		{ "content cut", S(POST("Content-Length: 5\r\n", "hel")),
		    "POST / {Host=a.example,Content-Length=5} k [helmore" },
		{ "twice", S(POST("Content-Length: 5\r\nContent-Length: 6\r\n", "")),
		    "400 more than one Content-Length" },
		{ "twice the same", S(POST("Content-Length: 5\r\ncontent-length: 5\r\n", "")),
		    "400 more than one Content-Length" },
		{ "list", S(POST("Content-Length: 5, 5\r\n", "")),
		    "400 Content-Length is not a decimal number" },
		{ "plus", S(POST("Content-Length: +5\r\n", "")),
		    "400 Content-Length is not a decimal number" },
		{ "minus", S(POST("Content-Length: -1\r\n", "")),
		    "400 Content-Length is not a decimal number" },
		{ "hex", S(POST("Content-Length: 0x5\r\n", "")),
		    "400 Content-Length is not a decimal number" },
		{ "fraction", S(POST("Content-Length: 5.0\r\n", "")),
		    "400 Content-Length is not a decimal number" },
		{ "space inside", S(POST("Content-Length: 1 0\r\n", "")),
		    "400 Content-Length is not a decimal number" },
		{ "other digits", S(POST("Content-Length: \xd9\xa5\r\n", "")),
		    "400 Content-Length is not a decimal number" },
		{ "rubbish after too much", S(POST("Content-Length: 99999999999x\r\n", "")),
		    "400 Content-Length is not a decimal number" },
		{ "empty", S(POST("Content-Length:\r\n", "")),
		    "400 Content-Length is empty or has a leading zero" },
		{ "leading zero", S(POST("Content-Length: 05\r\n", "")),
		    "400 Content-Length is empty or has a leading zero" },
		{ "space after it", S(POST("Content-Length:\t 1 \r\n", "x")),
		    "POST / {Host=a.example,Content-Length=1} k [x]" },
		{ "tab after it", S(POST("Content-Length: 1 \t \r\n", "x")),
		    "400 tab after Content-Length or Transfer-Encoding" },
		{ "one too many", S(POST("Content-Length: 4097\r\n", "")),
		    "413 content is too large" },
		{ "2^64", S(POST("Content-Length: 18446744073709551616\r\n", "")),
		    "413 content is too large" },
		{ "2^64 + 5", S(POST("Content-Length: 18446744073709551621\r\n", "hello")),
		    "413 content is too large" },
		{ "many digits",
		    S(POST("Content-Length: 99999999999999999999999999999999999\r\n", "")),
		    "413 content is too large" },
	};

	(void)state;
	check_rows(&LIMITS, rows, NELEMS(rows));
}

static void
test_transfer_encoding(void **state)
{
	static const struct row rows[] = {
		{ "chunks", S(CHUNKED("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")),
		    CHUNKED_HEAD "hello!]" },
		{ "no content", S(CHUNKED("0\r\n\r\n")), CHUNKED_HEAD "]" },
		{ "other case",
		    S(POST("transfer-encoding: CHunkeD\r\n", "A\r\n0123456789\r\n000\r\n\r\n")),
		    "POST / {Host=a.example,transfer-encoding=CHunkeD} Ck [0123456789]" },
		{ "hex digits", S(CHUNKED("a\r\n0123456789\r\n0B\r\n0123456789a\r\n0\r\n\r\n")),
		    CHUNKED_HEAD "01234567890123456789a]" },
		{ "sixteen digits", S(CHUNKED("0000000000000001\r\nx\r\n0000000000000000\r\n\r\n")),
		    CHUNKED_HEAD "x]" },
		{ "cut", S(CHUNKED("5\r\nhello")), CHUNKED_HEAD "hellomore" },
		{ "with Content-Length",
		    S(POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "")),
		    "400 both Transfer-Encoding and Content-Length" },
		{ "with Content-Length first",
		    S(POST("Content-Length: 5\r\nTransfer-Encoding: x\r\n", "")),
		    "400 both Transfer-Encoding and Content-Length" },
		{ "twice",
		    S(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "")),
		    "400 more than one Transfer-Encoding" },
		{ "other coding last",
		    S(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "")),
		    "400 more than one Transfer-Encoding" },
		{ "gzip", S(POST("Transfer-Encoding: gzip\r\n", "")),
		    "501 Transfer-Encoding is not chunked" },
		{ "gzip, chunked", S(POST("Transfer-Encoding: gzip, chunked\r\n", "")),
		    "501 Transfer-Encoding is not chunked" },
		{ "identity", S(POST("Transfer-Encoding: identity\r\n", "")),
		    "501 Transfer-Encoding is not chunked" },
		{ "xchunked", S(POST("Transfer-Encoding: xchunked\r\n", "")),
		    "501 Transfer-Encoding is not chunked" },
		{ "quoted", S(POST("Transfer-Encoding: \"chunked\"\r\n", "")),
		    "501 Transfer-Encoding is not chunked" },
		{ "parameter", S(POST("Transfer-Encoding: chunked;a=b\r\n", "")),
		    "501 Transfer-Encoding is not chunked" },
		{ "tab", S(POST("transfer-encoding: chunked\t\r\n", "")),
		    "400 tab after Content-Length or Transfer-Encoding" },
		{ "empty element", S(POST("Transfer-Encoding: ,chunked\r\n", "")),
		    "501 Transfer-Encoding is not chunked" },
		{ "empty", S(POST("Transfer-Encoding:\r\n", "")),
		    "501 Transfer-Encoding is not chunked" },
		{ "extension", S(CHUNKED("5;a=b\r\nhello\r\n0\r\n\r\n")),
		    CHUNKED_HEAD "400 chunk extensions are not accepted" },
		{ "space after the size", S(CHUNKED("5 \r\nhello\r\n0\r\n\r\n")),
		    CHUNKED_HEAD "400 chunk extensions are not accepted" },
		{ "trailer", S(CHUNKED("0\r\nX: y\r\n\r\n")),
		    CHUNKED_HEAD "400 trailer fields are not accepted" },
		{ "rubbish after the last chunk", S(CHUNKED("0\r\n(")),
		    CHUNKED_HEAD "400 character that is not allowed in the trailer section" },
		{ "bare LF after the size", S(CHUNKED("5\nhello")),
		    CHUNKED_HEAD "400 bare LF in the chunk size" },
		{ "bare CR after the size", S(CHUNKED("5\rhello")),
		    CHUNKED_HEAD "400 CR without LF" },
		{ "bare LF after the data", S(CHUNKED("5\r\nhello\n0\r\n\r\n")),
		    CHUNKED_HEAD "hello400 chunk is longer than its size" },
		{ "bare CR after the data", S(CHUNKED("5\r\nhello\r0\r\n\r\n")),
		    CHUNKED_HEAD "hello400 CR without LF" },
		{ "bare CR after the last chunk", S(CHUNKED("0\r\r\n")),
		    CHUNKED_HEAD "400 CR without LF" },
		{ "bare LF at the end", S(CHUNKED("0\r\n\n")),
		    CHUNKED_HEAD "400 bare LF in the trailer section" },
		{ "bare CR at the end", S(CHUNKED("0\r\n\rX")), CHUNKED_HEAD "400 CR without LF" },
		{ "size missing", S(CHUNKED("\r\n0\r\n\r\n")),
		    CHUNKED_HEAD "400 chunk size is missing" },
		{ "size with 0x", S(CHUNKED("0x5\r\nhello\r\n")),
		    CHUNKED_HEAD "400 character that is not allowed in the chunk size" },
		{ "negative size", S(CHUNKED("-1\r\n")),
		    CHUNKED_HEAD "400 character that is not allowed in the chunk size" },
		{ "short size", S(CHUNKED("4\r\nhello\r\n0\r\n\r\n")),
		    CHUNKED_HEAD "hell400 chunk is longer than its size" },
		{ "seventeen digits", S(CHUNKED("00000000000000001\r\nx\r\n0\r\n\r\n")),
		    CHUNKED_HEAD "400 chunk size has too many digits" },
		{ "size above the limit", S(CHUNKED("1001\r\n")),
		    CHUNKED_HEAD "413 content is too large" },
		{ "sum above the limit", S(CHUNKED("1\r\nx\r\n1000\r\n")),
		    CHUNKED_HEAD "x413 content is too large" },
		{ "huge size", S(CHUNKED("ffffffffffffffff\r\n")),
		    CHUNKED_HEAD "413 content is too large" },
	};

	(void)state;
	check_rows(&LIMITS, rows, NELEMS(rows));
}

static void
test_connection_and_expect(void **state)
{
	static const struct row rows[] = {
		{ "close", S(GET(HOST "Connection: close\r\n")),
		    "GET / {Host=a.example,Connection=close}  []" },
		{ "close by case", S(GET(HOST "connection: CLOSE\r\n")),
		    "GET / {Host=a.example,connection=CLOSE}  []" },
		{ "keep-alive", S(GET(HOST "Connection: keep-alive\r\n")),
		    "GET / {Host=a.example,Connection=keep-alive} k []" },
		{ "upgrade", S(GET(HOST "Connection: keep-alive, Upgrade\r\n")),
		    "GET / {Host=a.example,Connection=keep-alive, Upgrade} u []" },
		{ "two fields", S(GET(HOST "Connection: upgrade\r\nConnection: close\r\n")),
		    "GET / {Host=a.example,Connection=upgrade,Connection=close} u []" },
		{ "close beats keep-alive", S(GET(HOST "Connection: close,keep-alive\r\n")),
		    "GET / {Host=a.example,Connection=close,keep-alive}  []" },
		{ "unknown option", S(GET(HOST "Connection: x-close\r\n")),
		    "GET / {Host=a.example,Connection=x-close} k []" },
		{ "prefix of an option", S(GET(HOST "Connection: clos, up\r\n")),
		    "GET / {Host=a.example,Connection=clos, up} k []" },
		{ "empty elements", S(GET(HOST "Connection: , close ,\t,\r\n")),
		    "GET / {Host=a.example,Connection=, close ,\t,}  []" },
		{ "empty", S(GET(HOST "Connection:\r\n")),
		    "GET / {Host=a.example,Connection=} k []" },
		{ "no token", S(GET(HOST "Connection: close;x\r\n")),
		    "400 Connection is not a list of tokens" },
		{ "two tokens", S(GET(HOST "Connection: keep alive\r\n")),
		    "400 Connection is not a list of tokens" },
		{ "second one bad", S(GET(HOST "Connection: close\r\nConnection: \"x\"\r\n")),
		    "400 Connection is not a list of tokens" },
		{ "100-continue", S(POST("Expect: 100-continue\r\nContent-Length: 1\r\n", "x")),
		    "POST / {Host=a.example,Expect=100-continue,Content-Length=1} ke [x]" },
		{ "100-continue by case", S(POST("expect: 100-Continue\r\n", "")),
		    "POST / {Host=a.example,expect=100-Continue} ke []" },
		{ "other expectation", S(POST("Expect: 200-ok\r\n", "")),
		    "417 Expect is not 100-continue" },
		{ "two expectations", S(POST("Expect: 100-continue, x\r\n", "")),
		    "417 Expect is not 100-continue" },
		{ "repeated", S(POST("Expect: 100-continue\r\nExpect: 100-continue\r\n", "")),
		    "417 Expect is not 100-continue" },
		{ "empty expectation", S(POST("Expect:\r\n", "")),
		    "417 Expect is not 100-continue" },
	};

	(void)state;
	check_rows(&LIMITS, rows, NELEMS(rows));
}

static void
test_pipeline(void **state)
{
	static const struct row rows[] = {
		{ "two", S(GET(HOST) "GET /b HTTP/1.1\r\nHost: b\r\n\r\n"),
		    "GET / {Host=a.example} k []GET /b {Host=b} k []" },
		{ "content, then a request", S(POST("Content-Length: 3\r\n", "GET") GET(HOST)),
		    "POST / {Host=a.example,Content-Length=3} k [GET]GET / {Host=a.example} k []" },
		{ "chunks, then a request", S(CHUNKED("3\r\nabc\r\n0\r\n\r\n") GET(HOST)),
		    CHUNKED_HEAD "abc]GET / {Host=a.example} k []" },
		{ "a request in the content",
		    S(POST("Content-Length: 37\r\n", GET("Host: evil.example\r\n") "x")),
		    "POST / {Host=a.example,Content-Length=37} k ["
		    "GET / HTTP/1.1\r\nHost: evil.example\r\n\r]"
		    "400 bare LF in the method" },
		{ "empty line between", S(GET(HOST) "\r\n" GET(HOST)),
		    "GET / {Host=a.example} k []400 empty line before the request line" },
		{ "nothing is left over from the first",
		    S(POST("Connection: close, upgrade\r\nExpect: 100-continue\r\n"
			   "Transfer-Encoding: chunked\r\n",
			"1\r\nx\r\n0\r\n\r\n") "GET /? HTTP/1.1\r\n" HOST "\r\n" GET(HOST)),
		    "POST / {Host=a.example,Connection=close, upgrade,Expect=100-continue,"
		    "Transfer-Encoding=chunked} Cue [x]"
		    "GET /? {Host=a.example} k []GET / {Host=a.example} k []" },
		{ "second one cut", S(GET(HOST) "GET"), "GET / {Host=a.example} k []more" },
	};

	(void)state;
	check_rows(&LIMITS, rows, NELEMS(rows));
}

/* Each limit at its last good value and one past it. */
static void
test_limits(void **state)
{
	static const struct http1_limits small = { .header_bytes = 19,
		.header_count = 2,
		.uri_bytes = 8,
		.body_bytes = 3 };
	static const struct row rows[] = {
		{ "target fits", S("GET /2345678 HTTP/1.1\r\nHost: a\r\n\r\n"),
		    "GET /2345678 {Host=a} k []" },
		{ "target with query fits", S("GET /234?678 HTTP/1.1\r\nHost: a\r\n\r\n"),
		    "GET /234?678 {Host=a} k []" },
		{ "target too long", S("GET /23456789 HTTP/1.1\r\nHost: a\r\n\r\n"),
		    "414 request target is too long" },
		{ "query too long", S("GET /234?6789 HTTP/1.1\r\nHost: a\r\n\r\n"),
		    "414 request target is too long" },
		{ "header section fits", S(GET("Host: a\r\nX: abc\r\n")),
		    "GET / {Host=a,X=abc} k []" },
		{ "header section fits tightly", S(GET("Host:a\r\nX:abcde\r\n")),
		    "GET / {Host=a,X=abcde} k []" },
		{ "header section too long", S(GET("Host: a\r\nX: abcd\r\n")),
		    "431 header section is too long" },
		{ "white space counts", S(GET("Host:             a\r\n")),
		    "431 header section is too long" },
		{ "name without end", S(GET("XXXXXXXXXXXXXXXXXXXXXXXXXX")),
		    "431 header section is too long" },
		{ "two fields", S(GET("Host: a\r\nX:\r\n")), "GET / {Host=a,X=} k []" },
		{ "three fields", S(GET("Host: a\r\nX:\r\nY:\r\n")), "431 too many header fields" },
	};
	static const struct http1_limits content = { .header_bytes = 256,
		.header_count = 4,
		.uri_bytes = 8,
		.body_bytes = 3 };
	static const struct row content_rows[] = {
		{ "content fits", S(POST("Content-Length: 3\r\n", "abc")),
		    "POST / {Host=a.example,Content-Length=3} k [abc]" },
		{ "content too large", S(POST("Content-Length: 4\r\n", "abcd")),
		    "413 content is too large" },
		{ "chunks fit", S(CHUNKED("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")), CHUNKED_HEAD "abc]" },
		{ "chunk too large", S(CHUNKED("4\r\n")), CHUNKED_HEAD "413 content is too large" },
		{ "chunks too large", S(CHUNKED("2\r\nab\r\n2\r\n")),
		    CHUNKED_HEAD "ab413 content is too large" },
	};
	static const struct http1_limits wide = { .header_bytes = 256,
		.header_count = 4,
		.uri_bytes = 8,
		.body_bytes = INT64_MAX };
	static const struct row wide_rows[] = {
		{ "largest length", S(POST("Content-Length: 9223372036854775807\r\n", "")),
		    "POST / {Host=a.example,Content-Length=9223372036854775807} k [more" },
		{ "one more", S(POST("Content-Length: 9223372036854775808\r\n", "")),
		    "413 content is too large" },
		{ "largest chunk", S(CHUNKED("7fffffffffffffff\r\n")), CHUNKED_HEAD "more" },
		{ "chunk one more", S(CHUNKED("8000000000000000\r\n")),
		    CHUNKED_HEAD "413 content is too large" },
		{ "sum overflows", S(CHUNKED("1\r\nx\r\n7fffffffffffffff\r\n")),
		    CHUNKED_HEAD "x413 content is too large" },
	};

	(void)state;
	check_rows(&small, rows, NELEMS(rows));
	check_rows(&content, content_rows, NELEMS(content_rows));
	check_rows(&wide, wide_rows, NELEMS(wide_rows));
}

#define ALNUM "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool
good_in_name(int c)
{
	return c != 0 &&
	    strchr("!#$%&'*+-.^_`|~" ALNUM ":", c) != NULL; /* "X:X: a" is the field X */
}

static bool
good_in_value(int c)
{
	return c == '\t' || (c >= ' ' && c != 0x7f);
}

static bool
good_in_target(int c)
{
	return c != 0 && strchr("-._~!$&'()*+,;=:@/?" ALNUM, c) != NULL;
}

static bool
good_in_host(int c)
{
	return c != 0 && strchr("-._" ALNUM, c) != NULL;
}

static bool
is_cr(int c)
{
	return c == '\r';
}

static bool
is_lf(int c)
{
	return c == '\n';
}

static bool
is_chunk_size(int c)
{
	return c == '1'; /* one byte of data follows */
}

/* Every byte value in each place of a request, "@": accepted exactly where the grammar has it. */
static void
test_every_byte(void **state)
{
	static const struct {
		const char *input;
		bool (*good)(int c);
	} rows[] = {
		{ "GET /@a HTTP/1.1\r\nHost: a\r\n\r\n", good_in_target },
		{ "GET / HTTP/1.1@\nHost: a\r\n\r\n", is_cr },
		{ "GET / HTTP/1.1\r@Host: a\r\n\r\n", is_lf },
		{ "GET / HTTP/1.1\r\nHost: a@a\r\n\r\n", good_in_host },
		{ "GET / HTTP/1.1\r\nHost: a\r\nX@X: a\r\n\r\n", good_in_name },
		{ "GET / HTTP/1.1\r\nHost: a\r\nX: a@a\r\n\r\n", good_in_value },
		{ "GET / HTTP/1.1\r\nHost: a\r@\r\n", is_lf },
		{ "GET / HTTP/1.1\r\nHost: a\r\n@\n", is_cr },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r@", is_lf },
		{ CHUNKED("@\r\nx\r\n0\r\n\r\n"), is_chunk_size },
		{ CHUNKED("1@\nx\r\n0\r\n\r\n"), is_cr },
		{ CHUNKED("1\r@x\r\n0\r\n\r\n"), is_lf },
		{ CHUNKED("1\r\nx@\n0\r\n\r\n"), is_cr },
		{ CHUNKED("1\r\nx\r@0\r\n\r\n"), is_lf },
		{ CHUNKED("1\r\nx\r\n0@\n\r\n"), is_cr },
		{ CHUNKED("1\r\nx\r\n0\r@\r\n"), is_lf },
		{ CHUNKED("1\r\nx\r\n0\r\n@\n"), is_cr },
		{ CHUNKED("1\r\nx\r\n0\r\n\r@"), is_lf },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		for (int c = 0; c < 256; c++) {
			char input[128];
			struct row row = { "byte", input, strlen(rows[i].input), "" };
			struct transcript t;
			bool accepted;

			assert_true(row.len < sizeof(input));
			memcpy(input, rows[i].input, row.len + 1);
			*strchr(input, '@') = (char)c;
			transcribe(&LIMITS, &row, 0, row.len, &t);
			/* a request that was accepted ends with the bracket after its content */
			accepted = t.len > 0 && t.text[t.len - 1] == ']';
			if (rows[i].good(c) != accepted)
				fail_msg("byte %d in row %zu: \"%s\"", c, i, t.text);
		}
	}
}

static enum http1_event
feed_head(struct http1 *h, const char *head)
{
	size_t used;

	return http1_feed(h, head, strlen(head), &used);
}

static void
test_lookup(void **state)
{
	struct http1 *h = http1_new(&LIMITS);
	struct http1_view v = { .ptr = "untouched", .len = 0 };

	(void)state;
	assert_non_null(h);
	assert_false(http1_started(h));
	assert_int_equal(feed_head(h, GET(HOST "Origin: https://x\r\nCookie: a\r\ncookie: b\r\n")),
	    HTTP1_HEADERS_DONE);
	assert_true(http1_started(h));
	assert_int_equal(http1_header_unique(h, "ORIGIN", &v), 1);
	assert_string_equal(v.ptr, "https://x");
	assert_int_equal(v.len, 9);
	v.ptr = "untouched";
	assert_int_equal(http1_header_unique(h, "Cookie", &v), -1);
	assert_int_equal(http1_header_unique(h, "Authorization", &v), 0);
	assert_int_equal(http1_header_unique(h, "Origi", &v), 0);
	assert_false(http1_header_get(h, "Cookie", 2, &v));
	assert_string_equal(v.ptr, "untouched");
	assert_true(http1_header_get(h, "Cookie", 1, &v));
	assert_string_equal(v.ptr, "b");
	assert_int_equal(http1_header_count(h, "Cookie"), 2);
	assert_int_equal(http1_header_count(h, "Host"), 1);
	assert_int_equal(http1_header_count(h, "X"), 0);
	http1_free(h);
}

/* A request without content ends without another byte, and DONE stays until the reset. */
static void
test_events(void **state)
{
	struct http1 *h = http1_new(&LIMITS);
	size_t used = 1;

	(void)state;
	assert_non_null(h);
	assert_int_equal(http1_feed(h, NULL, 0, &used), HTTP1_NEED_MORE);
	assert_int_equal(used, 0);
	assert_int_equal(feed_head(h, GET(HOST)), HTTP1_HEADERS_DONE);
	assert_int_equal(http1_feed(h, NULL, 0, &used), HTTP1_DONE);
	assert_int_equal(http1_feed(h, "GET", 3, &used), HTTP1_DONE);
	assert_int_equal(used, 0);
	http1_reset(h);
	assert_false(http1_started(h));
	assert_int_equal(http1_feed(h, "GET", 3, &used), HTTP1_NEED_MORE);
	assert_int_equal(used, 3);
	assert_int_equal(http1_status(h), 0);
	http1_free(h);
	http1_free(NULL);
}

static void
test_content_length_value(void **state)
{
	struct http1 *h = http1_new(&LIMITS);
	size_t used;

	(void)state;
	assert_non_null(h);
	assert_int_equal(feed_head(h, POST("Content-Length: 4096\r\n", "ab")), HTTP1_HEADERS_DONE);
	assert_int_equal(http1_request(h)->content_length, 4096);
	assert_int_equal(http1_feed(h, "ab", 2, &used), HTTP1_BODY);
	assert_int_equal(http1_body(h).len, 2);
	assert_int_equal(http1_feed(h, NULL, 0, &used), HTTP1_NEED_MORE);
	assert_null(http1_body(h).ptr);
	http1_free(h);
}

static void
test_new_checks_limits(void **state)
{
	static const struct {
		struct http1_limits limits;
		bool good;
	} rows[] = {
		{ { 2, 1, 1, 0 }, true },
		{ { HTTP1_HEADER_BYTES_MAX, HTTP1_HEADER_COUNT_MAX, HTTP1_URI_BYTES_MAX,
		      INT64_MAX },
		    true },
		{ { 1, 1, 1, 0 }, false },
		{ { 2, 0, 1, 0 }, false },
		{ { 2, 1, 0, 0 }, false },
		{ { HTTP1_HEADER_BYTES_MAX + 1, 1, 1, 0 }, false },
		{ { 2, HTTP1_HEADER_COUNT_MAX + 1, 1, 0 }, false },
		{ { 2, 1, HTTP1_URI_BYTES_MAX + 1, 0 }, false },
		{ { 2, 1, 1, (uint64_t)INT64_MAX + 1 }, false },
		{ { SIZE_MAX, SIZE_MAX, SIZE_MAX, UINT64_MAX }, false },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		struct http1 *h;

		errno = 0;
		h = http1_new(&rows[i].limits);
		assert_int_equal(h != NULL, rows[i].good);
		assert_int_equal(errno, rows[i].good ? 0 : EINVAL);
		http1_free(h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_line),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_content_length),
		cmocka_unit_test(test_transfer_encoding),
		cmocka_unit_test(test_connection_and_expect),
		cmocka_unit_test(test_pipeline),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_content_length_value),
		cmocka_unit_test(test_new_checks_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
