/* SPDX-License-Identifier: MIT */
/*
 * What other nodes are asked, through the fetcher (EDGE_AUTH_FETCH), which is treated as broken into,
 * as in keyfetch.h: it can bring no more bytes than were asked for and nothing that was not asked
 * for, and who is silent is replaced. Its ids have the top bit set; those of keyfetch.c have not.
 */
#ifndef AUTHD_NODEFETCH_H
#define AUTHD_NODEFETCH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/peer.h"

#define NODEFETCH_SILENCE_MS \
	2000 /* what the fetcher has over a deadline to say that it has passed */

struct event_base;
struct nodefetch;
struct nodefetches;

/*
 * Each kind has a bound of its own, at once and in a second, so that no number of lists keeps a create
 * waiting, nor what is made from being confirmed; of these one node has a part, so that one which is
 * slow does not take all, and so has one person. Together they are what the fetcher has for nodes.
 */
enum nodefetch_kind {
	NODEFETCH_CREATE,
	NODEFETCH_SESSION, /* about one that is there */
	NODEFETCH_LIST,
	NODEFETCH_CONFIRM,
	NODEFETCH_KIND_COUNT
};

/* How it ended. The body is borrowed, and wiped after the call. */
struct nodefetch_end {
	const char
	    *error;      /* why there is no answer, a static name for the log; NULL: there is one */
	unsigned status; /* HTTP */
	const char *body;
	size_t len;
};

/* Always in a later turn than nodefetch_send. The fetch is over and its handle gone. */
typedef void (*nodefetch_done)(void *ctx, const struct nodefetch_end *end);

struct nodefetches *nodefetches_new(struct event_base *base); /* NULL when out of memory */
void nodefetches_free(struct nodefetches *ns); /* without calling done; NULL is fine */

/* whose: of issuer and subject; 0: of nobody. */
uint64_t nodefetch_person(const char *issuer, const char *subject);
/* NULL: nothing was sent, for want of a fetcher, of memory, or of room. */
struct nodefetch *nodefetch_send(struct nodefetches *ns, enum nodefetch_kind kind, uint64_t whose,
    const struct pl_fetch *what, nodefetch_done done, void *ctx);
/* done is not called any more. What was sent is under way all the same, and counts until it ends. */
void nodefetch_cancel(struct nodefetch *f);

bool nodefetch_is_ours(uint64_t request_id);
/* peer_ops.phase_of for its messages. */
unsigned nodefetches_phase(const struct nodefetches *ns, uint64_t request_id);
/* 0 or -FOG_E_LIAR. */
int nodefetches_on_part(struct nodefetches *ns, const struct msg *m);
int nodefetches_on_end(struct nodefetches *ns, const struct msg *m);
void nodefetches_edge_down(struct nodefetches *ns);

#endif
