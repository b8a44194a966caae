/* SPDX-License-Identifier: MIT */
/*
 * http1_probe: what http1 makes of requests, for the differential test. Standard input: records of
 * a 32-bit big-endian length and so many bytes, each all that one client sends before it closes.
 * The argument is the size of the pieces that are fed, 0 for whole records. Standard output, per
 * record:
 *
 *   request METHOD TARGET    hex, TARGET put together again from path and query
 *   field NAME VALUE         hex, "-" when empty; once per field line, in order
 *   content BYTES            hex, "-" when empty; the request is complete: only now it is accepted
 *   error STATUS REASON | incomplete | rest N    how it ended; N bytes follow the last request
 *   end
 */
#include "gatewayd/http1.h"

#include <arpa/inet.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_BYTES_MAX (1U << 20)

static const struct http1_limits LIMITS = {
	.header_bytes = 12288,
	.header_count = 64,
	.uri_bytes = 4096,
	.body_bytes = 65536,
};

struct content {
	char bytes[65536]; /* LIMITS.body_bytes */
	size_t len;
};

static void
print_digits(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		(void)printf("%02x", (unsigned char)p[i]);
}

static void
print_hex(const char *before, const char *p, size_t len)
{
	(void)fputs(before, stdout);
	print_digits(p, len);
	if (len == 0)
		(void)putchar('-');
}

static void
print_query(struct http1_view query)
{
	(void)fputs("3f", stdout);
	print_digits(query.ptr, query.len);
}

static void
print_head(const struct http1 *h)
{
	const struct http1_request *r = http1_request(h);
	struct http1_view name, value;

	print_hex("request ", r->method.ptr, r->method.len);
	print_hex(" ", r->path.ptr, r->path.len);
	if (r->query.ptr != NULL)
		print_query(r->query);
	(void)putchar('\n');
	for (size_t i = 0; http1_field_at(h, i, &name, &value); i++) {
		print_hex("field ", name.ptr, name.len);
		print_hex(" ", value.ptr, value.len);
		(void)putchar('\n');
	}
}

static void
keep_content(struct content *c, struct http1_view v)
{
	if (v.len > sizeof(c->bytes) - c->len)
		errx(1, "content above the limit was accepted");
	memcpy(c->bytes + c->len, v.ptr, v.len);
	c->len += v.len;
}

/* True as long as the connection stays open for another request. */
static bool
finish_request(struct http1 *h, struct content *c)
{
	bool keep = http1_request(h)->keep_alive;

	print_hex("content ", c->bytes, c->len);
	(void)putchar('\n');
	c->len = 0;
	http1_reset(h);
	return keep;
}

static void
probe(struct http1 *h, struct content *c, const char *p, size_t len, size_t piece)
{
	enum http1_event event = HTTP1_NEED_MORE;
	size_t n = 0, end = 0, used;

	while (event != HTTP1_NEED_MORE || n < len) {
		if (event == HTTP1_NEED_MORE)
			end = piece > 0 && piece < len - n ? n + piece : len;
		event = http1_feed(h, p + n, end - n, &used);
		n += used;
		if (event == HTTP1_ERROR) {
			(void)printf("error %d %s\n", http1_status(h), http1_reason(h));
			return;
		}
		if (event == HTTP1_HEADERS_DONE)
			print_head(h);
		else if (event == HTTP1_BODY)
			keep_content(c, http1_body(h));
		else if (event == HTTP1_DONE && !finish_request(h, c)) {
			(void)printf("rest %zu\n", len - n);
			return;
		}
	}
	(void)puts(http1_started(h) ? "incomplete" : "rest 0");
}

static bool
read_record(char *buf, size_t *len)
{
	uint32_t prefix;

	if (fread(&prefix, 1, sizeof(prefix), stdin) != sizeof(prefix))
		return false;
	*len = ntohl(prefix);
	if (*len > RECORD_BYTES_MAX || fread(buf, 1, *len, stdin) != *len)
		errx(1, "record is cut off or too long");
	return true;
}

int
main(int argc, char **argv)
{
	static char record[RECORD_BYTES_MAX];
	static struct content content;
	size_t piece = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	size_t len;

	while (read_record(record, &len)) {
		struct http1 *h = http1_new(&LIMITS);

		if (h == NULL)
			err(1, "http1_new");
		content.len = 0;
		probe(h, &content, record, len, piece);
		http1_free(h);
		(void)puts("end");
	}
	return fflush(stdout) == 0 && ferror(stdin) == 0 ? 0 : 1;
}
