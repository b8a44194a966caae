/* SPDX-License-Identifier: MIT */
/* HTTP and a little JSON: see http.h. */
#include "regress/bench/http.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "regress/bench/bench.h"

static size_t
content_length(const char *head)
{
	const char *at = strcasestr(head, "\r\nContent-Length:");

	return at ? strtoul(at + strlen("\r\nContent-Length:"), NULL, 10) : 0;
}

/* Cuts what was read behind the empty line into head and body. */
static void
split_answer(struct http_answer *a, size_t len, char *end)
{
	static const char version[] = "HTTP/1.1 ";

	a->body_len = len - (size_t)(end + 4 - a->head);
	memcpy(a->body, end + 4, a->body_len);
	end[2] = '\0';
	if (strncmp(a->head, version, strlen(version)) != 0)
		bench_fail("not an HTTP answer");
	a->status = (unsigned)strtoul(a->head + strlen(version), NULL, 10);
}

static void
read_answer(struct link *l, struct http_answer *a)
{
	size_t len = 0, want;
	char *end = NULL;

	while (!end) {
		if (len == sizeof(a->head) - 1)
			bench_fail("the head of an answer is too long");
		len += link_recv(l, a->head + len, sizeof(a->head) - 1 - len);
		a->head[len] = '\0';
		end = strstr(a->head, "\r\n\r\n");
	}
	split_answer(a, len, end);
	want = content_length(a->head);
	if (want >= sizeof(a->body))
		bench_fail("the body of an answer is too long");
	while (a->body_len < want)
		a->body_len += link_recv(l, a->body + a->body_len, want - a->body_len);
	a->body[a->body_len] = '\0';
}

void
http_exchange(struct link *l, struct http_answer *a, const char *fmt, ...)
{
	char *request;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vasprintf(&request, fmt, args);
	va_end(args);
	if (len < 0)
		bench_fail("out of memory");
	link_send(l, request, (size_t)len);
	free(request);
	read_answer(l, a);
}

/* Behind the colon and white space of a member. */
static const char *
member_value(const char *json, const char *name)
{
	char quoted[64];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\"", name);
	at = strstr(json, quoted);
	if (!at)
		bench_fail("no member %s in %.200s", quoted, json);
	at += strlen(quoted);
	return at + strspn(at, " :");
}

void
json_text_member(const char *json, const char *name, char *out, size_t size)
{
	const char *from = member_value(json, name);
	size_t len = strcspn(from + 1, "\"");

	if (from[0] != '"' || len >= size)
		bench_fail("member %s is no string of the right length", name);
	memcpy(out, from + 1, len);
	out[len] = '\0';
}

uint64_t
json_number_member(const char *json, const char *name)
{
	return strtoull(member_value(json, name), NULL, 10);
}
