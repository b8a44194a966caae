/* SPDX-License-Identifier: MIT */
/*
 * http1 under libFuzzer: any bytes, fed whole, byte by byte, and in pieces whose size the input
 * chooses. All three have to agree on every request, and every view has to lie inside the parser's
 * store or the fed piece.
 */
#include "gatewayd/http1.h"

#include <stdlib.h>
#include <string.h>

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Small, so that the limits are reached too. */
static const struct http1_limits LIMITS = {
	.header_bytes = 512,
	.header_count = 8,
	.uri_bytes = 64,
	.body_bytes = 256,
};

/* What was parsed, as one hash in which every string is followed by its length. */
struct digest {
	uint64_t hash;
	uint64_t content_bytes; /* of the request that is being read */
	size_t consumed;
	size_t requests;
	int status;
};

static void
mix(struct digest *d, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		d->hash = (d->hash ^ (unsigned char)p[i]) * 0x100000001b3ULL;
}

static void
mix_number(struct digest *d, uint64_t n)
{
	mix(d, (const char *)&n, sizeof(n));
}

static void
check_view(struct digest *d, const struct http1_request *r, struct http1_view v)
{
	const char *store = r->method.ptr;

	INVARIANT(v.ptr >= store && v.ptr + v.len < store + HTTP1_STORE_BYTES(&LIMITS));
	INVARIANT(strlen(v.ptr) == v.len);
	mix(d, v.ptr, v.len);
	mix_number(d, v.len);
}

static void
check_field(struct digest *d, const struct http1 *h, struct http1_view name,
    struct http1_view value)
{
	const struct http1_request *r = http1_request(h);
	struct http1_view found;

	check_view(d, r, name);
	check_view(d, r, value);
	INVARIANT(name.len > 0);
	INVARIANT(strpbrk(name.ptr, " \t\r\n:") == NULL && strpbrk(value.ptr, "\r\n") == NULL);
	INVARIANT(http1_header_get(h, name.ptr, http1_header_count(h, name.ptr) - 1, &found));
}

static void
check_head(struct digest *d, const struct http1 *h)
{
	const struct http1_request *r = http1_request(h);
	struct http1_view name, value;
	size_t n = 0;

	check_view(d, r, r->method);
	check_view(d, r, r->path);
	INVARIANT(r->path.ptr[0] == '/');
	if (r->query.ptr != NULL)
		check_view(d, r, r->query);
	INVARIANT(r->path.len + (r->query.ptr != NULL) + r->query.len <= LIMITS.uri_bytes);
	for (; http1_field_at(h, n, &name, &value); n++)
		check_field(d, h, name, value);
	INVARIANT(n >= 1 && n <= LIMITS.header_count);
	INVARIANT(http1_header_unique(h, "Host", &value) == 1);
	INVARIANT(http1_header_count(h, "Content-Length") +
		http1_header_count(h, "Transfer-Encoding") <=
	    1);
	INVARIANT(r->content_length <= LIMITS.body_bytes && !(r->chunked && r->content_length > 0));
	mix_number(d, r->content_length);
	mix_number(d, r->chunked | r->keep_alive << 1 | r->upgrade << 2 | r->expect_continue << 3);
	d->content_bytes = 0;
}

static void
check_content(struct digest *d, struct http1_view body, const char *piece, size_t len)
{
	INVARIANT(body.len > 0 && body.ptr >= piece && body.ptr + body.len <= piece + len);
	mix(d, body.ptr, body.len);
	d->content_bytes += body.len;
	INVARIANT(d->content_bytes <= LIMITS.body_bytes);
}

static void
check_done(struct digest *d, struct http1 *h)
{
	const struct http1_request *r = http1_request(h);

	INVARIANT(r->chunked || d->content_bytes == r->content_length);
	mix_number(d, d->content_bytes);
	d->requests++;
	http1_reset(h);
	INVARIANT(!http1_started(h));
}

static enum http1_event
feed_piece(struct digest *d, struct http1 *h, const char *piece, size_t len)
{
	enum http1_event event;
	size_t n = 0, used;

	do {
		event = http1_feed(h, piece + n, len - n, &used);
		INVARIANT(used <= len - n);
		n += used;
		if (event == HTTP1_HEADERS_DONE)
			check_head(d, h);
		else if (event == HTTP1_BODY)
			check_content(d, http1_body(h), piece, len);
		else if (event == HTTP1_DONE)
			check_done(d, h);
	} while (event != HTTP1_NEED_MORE && event != HTTP1_ERROR);
	INVARIANT(event == HTTP1_ERROR || n == len);
	d->consumed += n;
	return event;
}

static struct digest
digest_of(const char *data, size_t len, size_t size)
{
	struct digest d = { .hash = 0xcbf29ce484222325ULL };
	struct http1 *h = http1_new(&LIMITS);
	enum http1_event event = HTTP1_NEED_MORE;

	INVARIANT(h != NULL);
	for (size_t n = 0; n < len && event == HTTP1_NEED_MORE; n += size)
		event = feed_piece(&d, h, data + n, size < len - n ? size : len - n);
	d.status = http1_status(h);
	INVARIANT((event == HTTP1_ERROR) == (d.status != 0));
	INVARIANT((d.status == 0) == (http1_reason(h)[0] == '\0'));
	mix(&d, http1_reason(h), strlen(http1_reason(h)));
	http1_free(h);
	return d;
}

static void
check_same(const struct digest *a, const struct digest *b)
{
	INVARIANT(a->hash == b->hash && a->consumed == b->consumed);
	INVARIANT(a->requests == b->requests && a->status == b->status);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *p = (const char *)data;
	struct digest whole, bytes, pieces;

	if (len == 0)
		return 0;
	whole = digest_of(p, len, len);
	bytes = digest_of(p, len, 1);
	pieces = digest_of(p, len, 2 + data[len - 1] % 61);
	check_same(&whole, &bytes);
	check_same(&whole, &pieces);
	return 0;
}
