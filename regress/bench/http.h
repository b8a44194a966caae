/* SPDX-License-Identifier: MIT */
/* The little of an HTTP client that the benchmark needs: requests to 127.0.0.1. */
#ifndef FOG_BENCH_HTTP_H
#define FOG_BENCH_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "regress/bench/link.h"

#define HTTP_ANSWER_MAX 16384

struct http_answer {
	unsigned status;
	char head[HTTP_ANSWER_MAX]; /* status line and fields, NUL-terminated */
	char body[HTTP_ANSWER_MAX]; /* or what followed the head of a 101; NUL-terminated */
	size_t body_len;
};

/* Sends the request (printf) and reads the answer, its body by Content-Length. */
void http_exchange(struct link *l, struct http_answer *a, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The value of a string member, as in "name": "value", without escapes; fails when absent. */
void json_text_member(const char *json, const char *name, char *out, size_t size);
/* The value of a number, likewise. */
uint64_t json_number_member(const char *json, const char *name);

#endif
