/* SPDX-License-Identifier: MIT */
/*
 * The wish of an attached client to stay for longer: an attach token that came in band (PROTOCOL
 * 3.2, `t`). The worker that has the client makes it, the main thread asks authd, and it comes back
 * to the worker with the answer, through the mailboxes of worker.h. At each moment one thread has
 * it; only `a` is always the worker's, since the terminal may end meanwhile.
 */
#ifndef GATEWAYD_RENEWAL_H
#define GATEWAYD_RENEWAL_H

#include <sys/queue.h>

#include "common/buf.h"
#include "common/id.h"
#include "common/msg.h"
#include "gatewayd/source.h"

#define RENEWAL_TOKEN_MAX 4096 /* messages.def */

struct attach;
struct gateway;

struct renewal {
	STAILQ_ENTRY(renewal) post; /* on the way to a thread */
	struct attach *a;           /* NULL: the terminal has ended */
	unsigned worker;            /* its number */
	struct source_key source;   /* of the client, for the limits */
	struct trace trace;
	struct id128 session_id;
	uint64_t attachment; /* of the holder's hello */
	int error;           /* the answer: 0, or FOG_E_… */
	size_t token_len;
	char token[RENEWAL_TOKEN_MAX];
};

STAILQ_HEAD(renewal_list, renewal);

/* token: 1 to RENEWAL_TOKEN_MAX bytes, copied. NULL when out of memory. */
struct renewal *renewal_new(struct attach *a, struct view token);
void renewal_free(struct renewal *r); /* wipes; NULL is fine */

/* Main thread: asks authd, within the limits of the source. */
void renewal_ask(struct gateway *g, struct renewal *r);
/* Main thread: the answer, 0 or an error of either sign. r is the worker's after this. */
void renewal_answer(struct gateway *g, struct renewal *r, int error);

#endif
