/* SPDX-License-Identifier: MIT */
/*
 * http1: the strict HTTP/1.1 request parser. A state machine over bytes: STEP has one function per
 * state, CLASS says what a byte may be. The rules and their sources are listed in http1.h.
 */
#include "gatewayd/http1.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHUNK_DIGITS_MAX 16     /* 64 bits: cannot overflow the size */
#define HOST_NAME_MAX_BYTES 253 /* RFC 1035 2.3.4, in text */
#define NELEMS(a) (sizeof(a) / sizeof((a)[0]))

enum state {
	ST_METHOD,
	ST_TARGET_START,
	ST_TARGET,
	ST_VERSION,
	ST_REQUEST_LF,
	ST_FIELD_START, /* from here to ST_HEAD_LF: counted against header_bytes */
	ST_FIELD_NAME,
	ST_VALUE_START,
	ST_VALUE,
	ST_FIELD_LF,
	ST_HEAD_LF,
	ST_HEAD, /* the head is complete but not yet checked */
	ST_CONTENT,
	ST_CHUNK_SIZE,
	ST_CHUNK_SIZE_LF,
	ST_CHUNK_DATA,
	ST_CHUNK_DATA_CR,
	ST_CHUNK_DATA_LF,
	ST_LAST_CHUNK_LF,
	ST_TRAILER_START,
	ST_TRAILER_LF,
	ST_DONE,
	ST_FAILED,
};

/* Offsets, not pointers, into the store. */
struct field {
	uint32_t name, name_len;
	uint32_t value, value_len;
};

struct http1 {
	struct http1_limits limits;
	struct http1_request request;
	struct http1_view body;
	enum state state;
	bool started;
	unsigned pct_left;     /* hex digits that a "%" in the target still needs */
	unsigned version_len;  /* bytes of the version read */
	unsigned chunk_digits; /* digits of the chunk size read */
	int status;
	uint64_t remaining; /* bytes left in the content or chunk */
	uint64_t received;  /* content announced so far by chunk sizes */
	size_t target_bytes;
	size_t header_bytes;
	size_t nfields;
	size_t used; /* bytes of the store in use */
	char version[8];
	char reason[96];
	char *store;           /* follows fields[] in the same allocation; HTTP1_STORE_BYTES */
	struct field fields[]; /* limits.header_count */
};

enum {
	TCHAR = 1,  /* RFC 9110 5.6.2 */
	TARGET = 2, /* pchar or "/" or "?", without "%": RFC 3986 3.3, 3.4 */
	VALUE = 4,  /* RFC 9110 5.5 with SP and HTAB inside */
	DIGIT = 8,
	HEX = 16,
	HOST = 32, /* name or IPv4 address */
};

#define ALNUM (TCHAR | TARGET | VALUE | HOST)

static const unsigned char CLASS[256] = {
	['\t'] = VALUE,
	[' '] = VALUE,
	['!'] = TCHAR | TARGET | VALUE,
	['"'] = VALUE,
	['#'] = TCHAR | VALUE,
	['$'] = TCHAR | TARGET | VALUE,
	['%'] = TCHAR | VALUE,
	['&'] = TCHAR | TARGET | VALUE,
	['\''] = TCHAR | TARGET | VALUE,
	['('] = TARGET | VALUE,
	[')'] = TARGET | VALUE,
	['*'] = TCHAR | TARGET | VALUE,
	['+'] = TCHAR | TARGET | VALUE,
	[','] = TARGET | VALUE,
	['-'] = TCHAR | TARGET | VALUE | HOST,
	['.'] = TCHAR | TARGET | VALUE | HOST,
	['/'] = TARGET | VALUE,
	['0' ... '9'] = ALNUM | DIGIT | HEX,
	[':'] = TARGET | VALUE,
	[';'] = TARGET | VALUE,
	['<'] = VALUE,
	['='] = TARGET | VALUE,
	['>'] = VALUE,
	['?'] = TARGET | VALUE,
	['@'] = TARGET | VALUE,
	['A' ... 'F'] = ALNUM | HEX,
	['G' ... 'Z'] = ALNUM,
	['['] = VALUE,
	['\\'] = VALUE,
	[']'] = VALUE,
	['^'] = TCHAR | VALUE,
	['_'] = TCHAR | TARGET | VALUE | HOST,
	['`'] = TCHAR | VALUE,
	['a' ... 'f'] = ALNUM | HEX,
	['g' ... 'z'] = ALNUM,
	['{'] = VALUE,
	['|'] = TCHAR | VALUE,
	['}'] = VALUE,
	['~'] = TCHAR | TARGET | VALUE,
	[0x80 ... 0xff] = VALUE,
};

/* RFC 9110 9.1 without CONNECT, RFC 5789. */
static const char *const METHODS[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE",
	"PATCH" };

static bool
is(unsigned char c, unsigned char class)
{
	return (CLASS[c] & class) != 0;
}

static void
fail(struct http1 *h, int status, const char *reason)
{
	h->state = ST_FAILED;
	h->status = status;
	(void)snprintf(h->reason, sizeof(h->reason), "%s", reason);
}

/* 400 for a byte that has no place here; names the class of the byte, never the byte. */
static void
fail_byte(struct http1 *h, unsigned char c, const char *where)
{
	const char *what = "character that is not allowed";

	if (c == '\0')
		what = "NUL";
	else if (c == '\n')
		what = "bare LF";
	else if (c == '\r')
		what = "bare CR";
	else if (c < ' ' || c == 0x7f)
		what = "control character";
	h->state = ST_FAILED;
	h->status = 400;
	(void)snprintf(h->reason, sizeof(h->reason), "%s in the %s", what, where);
}

/* The limits on target and header section keep the store from filling up; see HTTP1_STORE_BYTES. */
static void
store_byte(struct http1 *h, unsigned char c)
{
	if (h->used == HTTP1_STORE_BYTES(&h->limits))
		fail(h, 431, "request head is too long");
	else
		h->store[h->used++] = (char)c;
}

static struct http1_view
store_view(const struct http1 *h, size_t from, size_t len)
{
	return (struct http1_view){ .ptr = h->store + from, .len = len };
}

/* The request line: RFC 9112 3. */

static void
method_done(struct http1 *h)
{
	h->request.method = store_view(h, 0, h->used);
	store_byte(h, '\0');
	for (size_t i = 0; i < NELEMS(METHODS); i++) {
		if (strcmp(METHODS[i], h->request.method.ptr) == 0) {
			h->state = ST_TARGET_START;
			return;
		}
	}
	fail(h, 501, "method is not implemented");
}

static void
on_method(struct http1 *h, unsigned char c)
{
	if (c == ' ' && h->used > 0)
		method_done(h);
	else if (c == '\r' && h->used == 0)
		fail(h, 400, "empty line before the request line");
	else if (!is(c, TCHAR))
		fail_byte(h, c, "method");
	else if (h->used == HTTP1_METHOD_BYTES)
		fail(h, 501, "method is longer than any that is implemented");
	else
		store_byte(h, c);
}

static void
on_target_start(struct http1 *h, unsigned char c)
{
	if (c == ' ') {
		fail(h, 400, "more than one space after the method");
	} else if (c != '/') {
		fail(h, 400, "request target is not in origin-form");
	} else {
		h->request.path = store_view(h, h->used, 1);
		h->target_bytes = 1;
		store_byte(h, c);
		h->state = ST_TARGET;
	}
}

static void
target_done(struct http1 *h)
{
	if (h->pct_left > 0) {
		fail(h, 400, "incomplete percent-encoding in the request target");
		return;
	}
	store_byte(h, '\0');
	h->state = ST_VERSION;
}

/* A NUL takes the place of the first "?", so that path and query are both strings. */
static void
target_byte(struct http1 *h, unsigned char c)
{
	struct http1_request *r = &h->request;

	if (c == '?' && r->query.ptr == NULL) {
		r->query = store_view(h, h->used + 1, 0);
		store_byte(h, '\0');
		return;
	}
	if (r->query.ptr != NULL)
		r->query.len++;
	else
		r->path.len++;
	store_byte(h, c);
}

static void
on_target(struct http1 *h, unsigned char c)
{
	if (c == ' ')
		target_done(h);
	else if (c == '\r')
		fail(h, 400, "request line has no HTTP version");
	else if (h->pct_left > 0 && !is(c, HEX))
		fail(h, 400, "invalid percent-encoding in the request target");
	else if (c != '%' && !is(c, TARGET))
		fail_byte(h, c, "request target");
	else if (++h->target_bytes > h->limits.uri_bytes)
		fail(h, 414, "request target is too long");
	else {
		h->pct_left = c == '%' ? 2 : h->pct_left - (h->pct_left > 0);
		target_byte(h, c);
	}
}

static void
version_done(struct http1 *h)
{
	if (h->version_len < sizeof(h->version))
		fail(h, 400, "HTTP version is malformed");
	else if (memcmp(h->version, "HTTP/1.1", sizeof(h->version)) != 0)
		fail(h, 505, "only HTTP/1.1 is supported");
	else
		h->state = ST_REQUEST_LF;
}

/* HTTP-name "/" DIGIT "." DIGIT: RFC 9112 2.3. */
static bool
is_version_byte(size_t at, unsigned char c)
{
	static const unsigned char shape[] = "HTTP/0.0";

	return shape[at] == '0' ? is(c, DIGIT) : c == shape[at];
}

static void
on_version(struct http1 *h, unsigned char c)
{
	if (c == '\r')
		version_done(h);
	else if (h->version_len == 0 && c == ' ')
		fail(h, 400, "more than one space after the request target");
	else if (c < ' ')
		fail_byte(h, c, "HTTP version");
	else if (h->version_len == sizeof(h->version) || !is_version_byte(h->version_len, c))
		fail(h, 400, "HTTP version is malformed");
	else
		h->version[h->version_len++] = (char)c;
}

/* Every line ends in CRLF, so that no other parser can see another line: RFC 9112 2.2. */
static void
on_lf(struct http1 *h, unsigned char c)
{
	static const enum state after[] = {
		[ST_REQUEST_LF] = ST_FIELD_START,
		[ST_FIELD_LF] = ST_FIELD_START,
		[ST_HEAD_LF] = ST_HEAD,
		[ST_CHUNK_SIZE_LF] = ST_CHUNK_DATA,
		[ST_CHUNK_DATA_LF] = ST_CHUNK_SIZE,
		[ST_LAST_CHUNK_LF] = ST_TRAILER_START,
		[ST_TRAILER_LF] = ST_DONE,
	};

	if (c == '\n')
		h->state = after[h->state];
	else
		fail(h, 400, "CR without LF");
}

/* Field lines: RFC 9112 5. */

static void
field_begin(struct http1 *h, unsigned char c)
{
	if (h->nfields == h->limits.header_count) {
		fail(h, 431, "too many header fields");
		return;
	}
	h->fields[h->nfields] = (struct field){ .name = (uint32_t)h->used };
	store_byte(h, c);
	h->state = ST_FIELD_NAME;
}

static void
on_field_start(struct http1 *h, unsigned char c)
{
	if (c == '\r')
		h->state = ST_HEAD_LF;
	else if (c == ' ' || c == '\t')
		fail(h, 400, "line folding or white space before a field name");
	else if (c == ':')
		fail(h, 400, "empty field name");
	else if (!is(c, TCHAR))
		fail_byte(h, c, "field name");
	else
		field_begin(h, c);
}

static void
on_field_name(struct http1 *h, unsigned char c)
{
	struct field *f = &h->fields[h->nfields];

	if (c == ':') {
		f->name_len = (uint32_t)h->used - f->name;
		store_byte(h, '\0');
		f->value = (uint32_t)h->used;
		h->state = ST_VALUE_START;
	} else if (c == ' ' || c == '\t') {
		fail(h, 400, "white space in or after a field name");
	} else if (!is(c, TCHAR)) {
		fail_byte(h, c, "field name");
	} else {
		store_byte(h, c);
	}
}

static bool
is_framing_field(const char *name)
{
	return strcasecmp(name, "Content-Length") == 0 ||
	    strcasecmp(name, "Transfer-Encoding") == 0;
}

/* Cuts the white space off the end of the value; true when there was a tab in it. */
static bool
trim_value(struct http1 *h, const struct field *f)
{
	bool tab = false;

	while (h->used > f->value &&
	    (h->store[h->used - 1] == ' ' || h->store[h->used - 1] == '\t')) {
		h->used--;
		tab = tab || h->store[h->used] == '\t';
	}
	return tab;
}

static void
value_done(struct http1 *h)
{
	struct field *f = &h->fields[h->nfields];
	bool tab = trim_value(h, f);

	f->value_len = (uint32_t)h->used - f->value;
	store_byte(h, '\0');
	h->nfields++;
	h->state = ST_FIELD_LF;
	/* llhttp refuses it there: a length that parsers disagree about is no length */
	if (tab && is_framing_field(h->store + f->name))
		fail(h, 400, "tab after Content-Length or Transfer-Encoding");
}

static void
on_value(struct http1 *h, unsigned char c)
{
	if (c == '\r')
		value_done(h);
	else if (!is(c, VALUE))
		fail_byte(h, c, "field value");
	else
		store_byte(h, c);
}

static void
on_value_start(struct http1 *h, unsigned char c)
{
	if (c == ' ' || c == '\t')
		return;
	h->state = ST_VALUE;
	on_value(h, c);
}

/* Checks of a complete head. Each one ends in fail() or leaves its finding in h->request. */

static bool
port_valid(const char *s)
{
	unsigned long port = 0;
	size_t n = 0;

	if (*s == '\0')
		return true;
	if (*s++ != ':')
		return false;
	for (; n < 5 && is((unsigned char)s[n], DIGIT); n++)
		port = port * 10 + (unsigned long)(s[n] - '0');
	return s[n] == '\0' && port >= 1 && port <= 65535;
}

static bool
host_literal_valid(const char *s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	const char *end = strchr(s, ']');
	size_t len;

	if (end == NULL || (len = (size_t)(end - s) - 1) >= sizeof(text))
		return false;
	memcpy(text, s + 1, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1 && port_valid(end + 1);
}

static bool
host_name_valid(const char *s)
{
	size_t n = 0;

	for (; is((unsigned char)s[n], HOST); n++)
		if (s[n] == '.' && (n == 0 || s[n - 1] == '.'))
			return false;
	return n >= 1 && n <= HOST_NAME_MAX_BYTES && port_valid(s + n);
}

/* RFC 9112 3.2. */
static void
check_host(struct http1 *h)
{
	struct http1_view v;
	int found = http1_header_unique(h, "Host", &v);

	if (found == 0)
		fail(h, 400, "Host is missing");
	else if (found < 0)
		fail(h, 400, "more than one Host");
	else if (!(*v.ptr == '[' ? host_literal_valid(v.ptr) : host_name_valid(v.ptr)))
		fail(h, 400, "Host is not valid");
}

static void
check_content_length(struct http1 *h, const struct http1_view *v)
{
	uint64_t length = 0;
	bool too_large = false;

	for (size_t i = 0; i < v->len; i++) {
		if (!is((unsigned char)v->ptr[i], DIGIT)) {
			fail(h, 400, "Content-Length is not a decimal number");
			return;
		}
		/* The limit is at most INT64_MAX: stopping there leaves no room for overflow. */
		too_large = too_large || length > h->limits.body_bytes / 10;
		length = too_large ? 0 : length * 10 + (uint64_t)(v->ptr[i] - '0');
	}
	if (v->len == 0 || (v->len > 1 && v->ptr[0] == '0'))
		fail(h, 400, "Content-Length is empty or has a leading zero");
	else if (too_large || length > h->limits.body_bytes)
		fail(h, 413, "content is too large");
	else
		h->request.content_length = length;
}

/* One unambiguous length, or none at all: RFC 9112 6.1 to 6.3. */
static void
check_framing(struct http1 *h)
{
	struct http1_view te, cl;
	int has_te = http1_header_unique(h, "Transfer-Encoding", &te);
	int has_cl = http1_header_unique(h, "Content-Length", &cl);

	if (has_te != 0 && has_cl != 0)
		fail(h, 400, "both Transfer-Encoding and Content-Length");
	else if (has_te < 0)
		fail(h, 400, "more than one Transfer-Encoding");
	else if (has_cl < 0)
		fail(h, 400, "more than one Content-Length");
	else if (has_te > 0 && strcasecmp(te.ptr, "chunked") != 0)
		fail(h, 501, "Transfer-Encoding is not chunked");
	else if (has_te > 0)
		h->request.chunked = true;
	else if (has_cl > 0)
		check_content_length(h, &cl);
}

/* RFC 9110 10.1.1. */
static void
check_expect(struct http1 *h)
{
	struct http1_view v;
	int found = http1_header_unique(h, "Expect", &v);

	if (found != 0 && (found < 0 || strcasecmp(v.ptr, "100-continue") != 0))
		fail(h, 417, "Expect is not 100-continue");
	else
		h->request.expect_continue = found > 0;
}

static bool
option_is(const char *s, size_t len, const char *name)
{
	return strlen(name) == len && strncasecmp(s, name, len) == 0;
}

static void
connection_option(struct http1_request *r, const char *s, size_t len)
{
	bool upgrade = option_is(s, len, "upgrade");

	/* either of them wins over keep-alive wherever it stands */
	if (upgrade || option_is(s, len, "close"))
		r->keep_alive = false;
	r->upgrade = r->upgrade || upgrade;
}

/* #token; empty elements are legal for a recipient: RFC 9110 5.6.1.2. */
static bool
connection_list(struct http1_request *r, const char *s)
{
	size_t len;

	for (;;) {
		s += strspn(s, " \t");
		for (len = 0; is((unsigned char)s[len], TCHAR); len++)
			;
		connection_option(r, s, len);
		s += len;
		s += strspn(s, " \t");
		if (*s == '\0')
			return true;
		if (*s++ != ',')
			return false;
	}
}

/* RFC 9110 7.6.1. */
static void
check_connection(struct http1 *h)
{
	struct http1_view name, value;

	h->request.keep_alive = true;
	for (size_t i = 0; http1_field_at(h, i, &name, &value); i++) {
		if (strcasecmp(name.ptr, "Connection") == 0 &&
		    !connection_list(&h->request, value.ptr)) {
			fail(h, 400, "Connection is not a list of tokens");
			return;
		}
	}
}

static enum http1_event
head_done(struct http1 *h)
{
	static void (*const checks[])(struct http1 *) = {
		check_host,
		check_framing,
		check_expect,
		check_connection,
	};

	for (size_t i = 0; i < NELEMS(checks); i++) {
		checks[i](h);
		if (h->state == ST_FAILED)
			return HTTP1_ERROR;
	}
	h->remaining = h->request.content_length;
	if (h->request.chunked)
		h->state = ST_CHUNK_SIZE;
	else
		h->state = h->remaining > 0 ? ST_CONTENT : ST_DONE;
	return HTTP1_HEADERS_DONE;
}

/* Chunked coding: RFC 9112 7.1. */

static unsigned
hex_value(unsigned char c)
{
	return is(c, DIGIT) ? c - (unsigned)'0' : (c | 0x20U) - 'a' + 10U;
}

static void
chunk_digit(struct http1 *h, unsigned char c)
{
	if (h->chunk_digits == CHUNK_DIGITS_MAX) {
		fail(h, 400, "chunk size has too many digits");
		return;
	}
	h->chunk_digits++;
	h->remaining = h->remaining * 16 + hex_value(c);
	if (h->remaining > h->limits.body_bytes - h->received)
		fail(h, 413, "content is too large");
}

static void
chunk_size_done(struct http1 *h)
{
	if (h->chunk_digits == 0) {
		fail(h, 400, "chunk size is missing");
		return;
	}
	h->received += h->remaining;
	h->chunk_digits = 0;
	h->state = h->remaining > 0 ? ST_CHUNK_SIZE_LF : ST_LAST_CHUNK_LF;
}

static void
on_chunk_size(struct http1 *h, unsigned char c)
{
	if (is(c, HEX))
		chunk_digit(h, c);
	else if (c == '\r')
		chunk_size_done(h);
	else if (c == ';' || c == ' ' || c == '\t')
		fail(h, 400, "chunk extensions are not accepted");
	else
		fail_byte(h, c, "chunk size");
}

static void
on_chunk_data_cr(struct http1 *h, unsigned char c)
{
	if (c == '\r')
		h->state = ST_CHUNK_DATA_LF;
	else
		fail(h, 400, "chunk is longer than its size");
}

static void
on_trailer_start(struct http1 *h, unsigned char c)
{
	if (c == '\r')
		h->state = ST_TRAILER_LF;
	else if (is(c, TCHAR))
		fail(h, 400, "trailer fields are not accepted");
	else
		fail_byte(h, c, "trailer section");
}

static size_t
take_body(struct http1 *h, const char *data, size_t len)
{
	if (len > h->remaining)
		len = (size_t)h->remaining;
	h->body = (struct http1_view){ .ptr = data, .len = len };
	h->remaining -= len;
	if (h->remaining == 0)
		h->state = h->state == ST_CONTENT ? ST_DONE : ST_CHUNK_DATA_CR;
	return len;
}

/*
 * No row: ST_HEAD, ST_DONE and ST_FAILED end the loop of http1_feed(); content goes by the span and
 * not by the byte.
 */
static void (*const STEP[])(struct http1 *, unsigned char) = {
	[ST_METHOD] = on_method,
	[ST_TARGET_START] = on_target_start,
	[ST_TARGET] = on_target,
	[ST_VERSION] = on_version,
	[ST_REQUEST_LF] = on_lf,
	[ST_FIELD_START] = on_field_start,
	[ST_FIELD_NAME] = on_field_name,
	[ST_VALUE_START] = on_value_start,
	[ST_VALUE] = on_value,
	[ST_FIELD_LF] = on_lf,
	[ST_HEAD_LF] = on_lf,
	[ST_CHUNK_SIZE] = on_chunk_size,
	[ST_CHUNK_SIZE_LF] = on_lf,
	[ST_CHUNK_DATA_CR] = on_chunk_data_cr,
	[ST_CHUNK_DATA_LF] = on_lf,
	[ST_LAST_CHUNK_LF] = on_lf,
	[ST_TRAILER_START] = on_trailer_start,
	[ST_TRAILER_LF] = on_lf,
};

static void
step(struct http1 *h, unsigned char c)
{
	bool in_header = h->state >= ST_FIELD_START && h->state <= ST_HEAD_LF;

	if (in_header && ++h->header_bytes > h->limits.header_bytes)
		fail(h, 431, "header section is too long");
	else
		STEP[h->state](h, c);
}

static enum http1_event
next_event(struct http1 *h)
{
	switch (h->state) {
	case ST_HEAD:
		return head_done(h);
	case ST_DONE:
		return HTTP1_DONE;
	case ST_FAILED:
		return HTTP1_ERROR;
	default:
		return HTTP1_NEED_MORE;
	}
}

enum http1_event
http1_feed(struct http1 *h, const void *data, size_t len, size_t *consumed)
{
	const char *p = data;
	enum http1_event event;
	size_t n = 0;

	h->body = (struct http1_view){ 0 };
	while ((event = next_event(h)) == HTTP1_NEED_MORE && n < len) {
		h->started = true;
		if (h->state == ST_CONTENT || h->state == ST_CHUNK_DATA) {
			n += take_body(h, p + n, len - n);
			event = HTTP1_BODY;
			break;
		}
		step(h, (unsigned char)p[n++]);
	}
	*consumed = n;
	return event;
}

static bool
limits_valid(const struct http1_limits *l)
{
	return l->header_bytes >= 2 && l->header_bytes <= HTTP1_HEADER_BYTES_MAX &&
	    l->header_count >= 1 && l->header_count <= HTTP1_HEADER_COUNT_MAX &&
	    l->uri_bytes >= 1 && l->uri_bytes <= HTTP1_URI_BYTES_MAX && l->body_bytes <= INT64_MAX;
}

struct http1 *
http1_new(const struct http1_limits *limits)
{
	size_t fields_bytes = limits->header_count * sizeof(struct field);
	struct http1 *h;

	if (!limits_valid(limits)) {
		errno = EINVAL;
		return NULL;
	}
	h = malloc(sizeof(*h) + fields_bytes + HTTP1_STORE_BYTES(limits));
	if (h == NULL)
		return NULL;
	*h = (struct http1){ .limits = *limits };
	h->store = (char *)h + sizeof(*h) + fields_bytes;
	return h;
}

void
http1_reset(struct http1 *h)
{
	struct http1_limits limits = h->limits;
	char *store = h->store;

	explicit_bzero(store, h->used);
	*h = (struct http1){ .limits = limits, .store = store };
}

void
http1_free(struct http1 *h)
{
	if (h == NULL)
		return;
	http1_reset(h);
	free(h);
}

bool
http1_started(const struct http1 *h)
{
	return h->started;
}

const struct http1_request *
http1_request(const struct http1 *h)
{
	return &h->request;
}

struct http1_view
http1_body(const struct http1 *h)
{
	return h->body;
}

int
http1_status(const struct http1 *h)
{
	return h->status;
}

const char *
http1_reason(const struct http1 *h)
{
	return h->reason;
}

bool
http1_field_at(const struct http1 *h, size_t i, struct http1_view *name, struct http1_view *value)
{
	const struct field *f = &h->fields[i];

	if (i >= h->nfields)
		return false;
	*name = store_view(h, f->name, f->name_len);
	*value = store_view(h, f->value, f->value_len);
	return true;
}

bool
http1_header_get(const struct http1 *h, const char *name, size_t nth, struct http1_view *value)
{
	struct http1_view n, v;

	for (size_t i = 0; http1_field_at(h, i, &n, &v); i++) {
		if (strcasecmp(n.ptr, name) == 0 && nth-- == 0) {
			*value = v;
			return true;
		}
	}
	return false;
}

size_t
http1_header_count(const struct http1 *h, const char *name)
{
	struct http1_view n, v;
	size_t count = 0;

	for (size_t i = 0; http1_field_at(h, i, &n, &v); i++)
		count += strcasecmp(n.ptr, name) == 0;
	return count;
}

int
http1_header_unique(const struct http1 *h, const char *name, struct http1_view *value)
{
	struct http1_view first, second;

	if (!http1_header_get(h, name, 0, &first))
		return 0;
	if (http1_header_get(h, name, 1, &second))
		return -1;
	*value = first;
	return 1;
}
