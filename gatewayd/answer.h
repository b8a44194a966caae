/* SPDX-License-Identifier: MIT */
/*
 * Answers: one to each request. Every function here is the last that a handler calls: it logs and
 * counts the request, writes the answer and forgets the exchange.
 */
#ifndef GATEWAYD_ANSWER_H
#define GATEWAYD_ANSWER_H

#include "gatewayd/gatewayd.h"

/* 2xx with JSON. obj is taken; NULL (out of memory, text that is not UTF-8) becomes a 500. */
void answer_json(struct conn *c, unsigned status, struct json_t *obj);

/* The same for a 503 that is no problem: GET /readyz. */
void answer_json_unready(struct conn *c, struct json_t *obj);

/*
 * A file in memory that outlives the answer. headers: its own lines, CRLF after each. Answers 304
 * when If-None-Match says so (RFC 9110 13.1.2).
 */
struct answer_file {
	const char *type, *etag, *cache;
	const void *bytes;
	size_t len;
};
void answer_file(struct conn *c, const struct answer_file *f);

/* Text that is made for this answer; copied. */
void answer_text(struct conn *c, const char *type, const char *text, size_t len);

/*
 * Another node's answer, JSON as authd has written it: a problem (RFC 9457) from 400 on. It may hold an
 * attach token.
 */
void answer_relayed(struct conn *c, unsigned status, struct view json);

/*
 * The same request is to be sent to another node, whose https://host[:port] that is: 307 with
 * Location, or 409 with it in the body for a client that cannot read a redirection's (Fog-Location:
 * body), such as fetch in a browser.
 */
void answer_elsewhere(struct conn *c, struct view url);

/* application/problem+json (RFC 9457). */
struct problem {
	int error;                   /* FOG_E_… of either sign */
	struct view detail;          /* empty: the title */
	struct view rule_id, member; /* empty: none */
	struct view policy_version;  /* of what decided; empty: no policy did */
	struct view change;          /* the smallest that would allow it; empty: none is known */
	uint32_t retry_after_s;      /* of a 429 or 503; 0: as usual */
	struct view nonce;           /* for the next DPoP proof; empty: none */
	struct view location;        /* the URL to ask instead; empty: none */
};
void answer_problem(struct conn *c, const struct problem *p);
void answer_error(struct conn *c, int error, const char *detail); /* detail: may be NULL */
void answer_rate_limited(struct conn *c, uint32_t retry_after_s);
void answer_bad_member(struct conn *c, const char *member, const char *detail);

/* What the parser or a deadline refuses: 400, 408, 413, 414, 417, 431, 501 or 505. */
void answer_http_error(struct conn *c, unsigned status, const char *detail);

/* 204 to a preflight of another node's page: what it may send to this path (Fetch 3.2.2). */
void answer_preflight(struct conn *c);

/* 101, and no more: the connection is no HTTP any longer (RFC 6455 4.2.2). */
void answer_switching(struct conn *c, const char *accept, const char *protocol);

/* Makes the lines that every answer has, once the names of the listener are known. 0 or -1, told. */
int answer_init(struct gateway *g);

#endif
