/* SPDX-License-Identifier: MIT */
/*
 * Another node's answer to a request that was passed on to it. It is hostile bytes: read strictly, held
 * against what was asked and against the node that was asked, and written anew from the members that
 * the API has (docs/openapi.json), so that nothing else of it travels on. Pure.
 */
#ifndef AUTHD_NODEANSWER_H
#define AUTHD_NODEANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/id.h"
#include "common/msg.h"

#define NODEANSWER_BODY_BYTES 12288 /* of relayed in messages.def */
#define NODEANSWER_DETAIL_SIZE 201  /* of forwarded, with its NUL */
/* What is read of an answer at most, and of a list. */
#define NODEANSWER_READ_BYTES 65536
#define NODEANSWER_LIST_BYTES 262144

struct json_t;

struct nodeanswer_asked {
	enum msg_phase phase;    /* PH_CREATE, PH_SHOW, PH_END, PH_MINT, PH_EXTEND; PH_LIST */
	const char *node, *url;  /* the node's name, and its https://host[:port] */
	struct id128 session_id; /* where the request names one */
	const char *reason;      /* placement_reason to be told, of a create */
};

struct nodeanswer {
	unsigned status;         /* to be relayed, or what the node answered */
	struct id128 session_id; /* PH_CREATE: the one that was made */
	size_t len;              /* of body */
	char body
	    [NODEANSWER_BODY_BYTES]; /* FORWARD_DONE: one JSON object. May hold an attach token */
	char detail[NODEANSWER_DETAIL_SIZE]; /* else: why not; UTF-8 without control characters */
};

/*
 * FORWARD_DONE: the answer is to be relayed: of a create only that one was made; of the others also
 * that the node refuses, by the person's or the request's own fault (4xx). FORWARD_REFUSED: the node
 * says that it will not, or cannot. FORWARD_FAILED: what it says is not to be believed. In all three
 * *out is set, without a body but in the first.
 */
enum forward_result nodeanswer_read(const struct nodeanswer_asked *asked, unsigned status,
    const char *body, size_t len, struct nodeanswer *out);

/*
 * The rows of a list of sessions (PH_LIST), each as it is to be relayed: a JSON array, the caller's.
 * NULL: the answer is not to be believed, or is a refusal; *why says it, static.
 */
struct json_t *nodeanswer_read_list(const struct nodeanswer_asked *asked, unsigned status,
    const char *body, size_t len, const char **why);

/* The length of obj's text in out; 0: it does not fit. */
size_t nodeanswer_write(const struct json_t *obj, char out[static NODEANSWER_BODY_BYTES]);

/* https://host[:port] and no more: what a node's URL has to be. */
bool nodeanswer_is_base(struct view url);

#endif
