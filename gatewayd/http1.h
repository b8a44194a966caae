/* SPDX-License-Identifier: MIT */
/*
 * http1: a strict, incremental parser of HTTP/1.1 requests (RFC 9112). It refuses and never
 * repairs: a message that two parsers could read in two ways is an error here. Pure: no I/O, no
 * clock, one allocation per parser.
 *
 * What is accepted, and where each rule comes from:
 *
 * Request line: method SP target SP version CRLF, with single SP (RFC 9112 3). RFC 9112 2.2 says
 *   that an empty line before it SHOULD be ignored: that is repair, so it is 400.
 * Method: a token, else 400; one of RFC 9110 9.1 or PATCH (RFC 5789), case-sensitive, else 501
 *   (RFC 9110 9.1). CONNECT needs the authority-form, which an origin server has no use for: 501.
 * Target: origin-form, absolute-path [ "?" query ] (RFC 9112 3.2.1), of the characters of RFC 3986
 *   3.3 and 3.4, "%" only before two hex digits. Not decoded and not normalised: "%2F", "%00" and
 *   dot segments reach the caller as they were sent. Fragments, absolute-form, authority-form and
 *   asterisk-form are 400. (RFC 9112 3.2.2 has a server take the absolute-form: it names a second
 *   host beside Host, and a client sends it to proxies only.)
 * Version: HTTP/1.1, any other one 505 (RFC 9112 2.3, RFC 9110 15.6.6). HTTP/1.0 as well: it may
 *   come without Host, its persistence is a guess, and a Transfer-Encoding in it is faulty framing
 *   (RFC 9112 6.1, 9.3). Nothing that can speak WebSocket needs it.
 * Lines: end in CRLF; bare CR, bare LF and NUL are 400 (RFC 9112 2.2).
 * Field lines: name ":" OWS value OWS (RFC 9112 5). The name is a non-empty token, no white space
 *   before the colon (5.1), no obs-fold (5.2). The value is VCHAR, SP, HTAB and obs-text, 0x80 to
 *   0xff, which is opaque (RFC 9110 5.5).
 * Host: exactly one (RFC 9112 3.2): name, IPv4 or [IPv6], then optionally a port, 1 to 65535. Of
 *   the reg-name of RFC 3986 3.2.2 only letters, digits, "-", "_" in non-empty labels: the value
 *   is compared with a configured list, and nothing else can stand in that.
 * Content-Length: at most one; decimal digits, no list, no sign, no leading zero (RFC 9112 6.2,
 *   6.3).
 * Transfer-Encoding: exactly "chunked" in any case (RFC 9112 7), another coding 501 (6.1);
 *   repeated, or beside Content-Length, 400 (6.3). No tab behind the value of these two: OWS may
 *   hold one, but llhttp refuses it there, and a length that parsers disagree about is no length.
 * Chunks: 1 to 16 hex digits, CRLF, data, CRLF (RFC 9112 7.1). Chunk extensions and trailer fields
 *   are 400: nothing here has a use for them (7.1.1 would have them ignored), and parsers differ
 *   about where they end.
 * Expect: 100-continue, else 417 (RFC 9110 10.1.1).
 * Connection: lists of tokens; close, keep-alive and upgrade are understood (RFC 9110 7.6.1, RFC
 *   9112 9.3). A request with upgrade is the last one on its connection, also when the upgrade is
 *   refused: what follows may be the other protocol, and must never be read as a request.
 *
 * Limits: method 501, target 414 (RFC 9110 15.5.15), header section 431 (RFC 6585 5), content 413
 *   (RFC 9110 15.5.14).
 */
#ifndef GATEWAYD_HTTP1_H
#define GATEWAYD_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP1_METHOD_BYTES 16 /* longest method that is read at all */
#define HTTP1_HEADER_BYTES_MAX (1U << 20)
#define HTTP1_HEADER_COUNT_MAX 1024U
#define HTTP1_URI_BYTES_MAX (1U << 16)

/* Upper bound of what one head takes in the parser: all views but http1_body() lie within it. */
#define HTTP1_STORE_BYTES(l) (HTTP1_METHOD_BYTES + 1 + (l)->uri_bytes + 1 + (l)->header_bytes)

struct http1_limits {
	/* header section on the wire with its last empty line; 2 to HTTP1_HEADER_BYTES_MAX */
	size_t header_bytes;
	/* field lines; 1 to HTTP1_HEADER_COUNT_MAX */
	size_t header_count;
	/* request target; 1 to HTTP1_URI_BYTES_MAX */
	size_t uri_bytes;
	/* content without chunk framing; 0 allows none, at most INT64_MAX */
	uint64_t body_bytes;
};

enum http1_event {
	HTTP1_NEED_MORE,    /* all input consumed, nothing to report */
	HTTP1_HEADERS_DONE, /* once per request: the head is complete and was checked */
	HTTP1_BODY,         /* http1_body() holds the next bytes of the content, at least one */
	HTTP1_DONE,         /* end of the request; repeated, consuming nothing, until reset */
	HTTP1_ERROR,        /* http1_status(), http1_reason(); final, consumes nothing more */
};

/*
 * Borrowed bytes. Those of a head are valid until http1_reset() or http1_free(), contain no NUL and
 * have one after them.
 */
struct http1_view {
	const char *ptr;
	size_t len;
};

struct http1_request {
	struct http1_view method;
	struct http1_view path;  /* raw, begins with "/" */
	struct http1_view query; /* raw, without "?"; ptr NULL when there was no "?" */
	uint64_t content_length; /* 0 when chunked or absent */
	bool chunked;
	bool keep_alive;      /* another request may follow: neither close nor upgrade */
	bool upgrade;         /* option of Connection; the Upgrade field is the caller's to check */
	bool expect_continue; /* the client waits for 100 before it sends content */
};

struct http1;

/* One parser for one connection; NULL with errno EINVAL (a limit out of range) or ENOMEM. */
struct http1 *http1_new(const struct http1_limits *limits);

/* Wipes what was stored (a head carries credentials) and frees; NULL is fine. */
void http1_free(struct http1 *h);

/* Wipes the finished request and gets ready for the next one on the connection. */
void http1_reset(struct http1 *h);

/*
 * Reads up to len bytes and stops at the first event; *consumed (never NULL) is how many bytes
 * were taken, on HTTP1_ERROR with the offending one. Call again with the rest until
 * HTTP1_NEED_MORE, also when no byte is left (len 0, data may be NULL): one byte can complete
 * both the headers and the request. After HTTP1_DONE the byte at *consumed is the first of the
 * next (pipelined) request, or of the protocol that the connection was upgraded to.
 */
enum http1_event http1_feed(struct http1 *h, const void *data, size_t len, size_t *consumed);

/* True once a byte of the current request was seen: a slow client, not an idle connection. */
bool http1_started(const struct http1 *h);

/* From HTTP1_HEADERS_DONE until reset. */
const struct http1_request *http1_request(const struct http1 *h);

/* Only directly after HTTP1_BODY: a part of what http1_feed() was given, not NUL-terminated. */
struct http1_view http1_body(const struct http1 *h);

/* After HTTP1_ERROR 400, 413, 414, 417, 431, 501 or 505; before it 0. */
int http1_status(const struct http1 *h);

/* After HTTP1_ERROR what was wrong, in words and without remote text; before it "". */
const char *http1_reason(const struct http1 *h);

/*
 * Field lines, from HTTP1_HEADERS_DONE until reset. Names compare without case (RFC 9110 5.1);
 * lines of one name are never joined.
 */

/* How many lines have that name. */
size_t http1_header_count(const struct http1 *h, const char *name);

/* The nth line of that name, from 0; false when there are not so many. */
bool http1_header_get(const struct http1 *h, const char *name, size_t nth,
    struct http1_view *value);

/*
 * 1 and *value when there is exactly one line of that name, 0 when there is none, -1 when there are
 * more: which a caller refuses for every field that decides something.
 */
int http1_header_unique(const struct http1 *h, const char *name, struct http1_view *value);

/* The line at index i of all, in the order they were sent; false when i is past the last. */
bool http1_field_at(const struct http1 *h, size_t i, struct http1_view *name,
    struct http1_view *value);

#endif
