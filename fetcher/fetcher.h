/* SPDX-License-Identifier: MIT */
/*
 * What the files of the fetcher share. The fetcher is the one outbound HTTPS client: it does what
 * authd asks, one GET at a time, and judges only where it may go. It holds no secret, reads no
 * answer and decides nothing.
 */
#ifndef FETCHER_FETCHER_H
#define FETCHER_FETCHER_H

#include <stddef.h>
#include <stdint.h>

#include "common/peer.h"
#include "common/session.h"
#include "fetcher/target.h"

#define FETCHES_MAX 4    /* at once; more are refused as busy */
#define ADDRESSES_MAX 16 /* of one name; the others are not looked at, nor connected to */

struct event;
struct event_base;
struct evdns_base;
struct evdns_getaddrinfo_request;

/* One GET, from the request to its answer. */
struct fetch {
	struct fetcher *owner;
	uint64_t id; /* of the request; 0: this slot is free */
	struct trace trace;
	struct target target;
	uint64_t started_mono_ms;
	struct event *deadline;                 /* for all of it, the name included */
	struct evdns_getaddrinfo_request *name; /* while it is being resolved */
	void *easy;                             /* CURL, while it is being fetched */
	void *resolved;                         /* curl_slist, which easy borrows */
	enum fetch_error error;                 /* why a callback has ended the transfer */
	unsigned headers;
	size_t header_bytes;
	unsigned char *body; /* max_bytes long */
	size_t len, max_bytes;
};

struct fetcher {
	struct event_base *base;
	struct https_url issuer; /* text empty: none is configured, and nothing is fetched */
	char *ca;                /* certificates, PEM */
	size_t ca_len;
	struct evdns_base *names;
	void *multi; /* CURLM */
	struct event *timer;
	double tokens; /* of the rate bound */
	uint64_t tokens_mono_ms;
	struct fetch fetches[FETCHES_MAX];
};

/* requests.c: what authd asks, and its answers. */

extern const msg_handler fetcher_handlers[MSG_COUNT];
unsigned requests_phase_of(void *ctx, struct peer *from, const struct msg *m);
/* The transfer or the resolution has ended; the slot is free when this returns. */
void fetch_end(struct fetch *f, enum fetch_error error);
/* Gives up all fetches, without an answer. */
void fetch_end_all(struct fetcher *d);

/* names.c: names into addresses, all of which have been judged. */

/* Before the drop: reads resolv.conf and hosts, and opens the sockets to the name servers. 0, -1. */
int names_init(struct fetcher *d);
/* Goes on with transfer_start or fetch_end, perhaps before it returns. */
void names_resolve(struct fetch *f);
/* The callback will come no more. */
void names_cancel(struct fetch *f);

/* transfer.c: libcurl on the event loop. */

/* Before the filter. 0 or -1. */
int transfer_init(struct fetcher *d);
/*
 * Begins. addresses: what follows "+host:port:" in CURLOPT_RESOLVE; NULL for a host that is an
 * address. Returns 0 or -1; fetch_end follows later on.
 */
int transfer_start(struct fetch *f, const char *addresses);
unsigned transfer_status(const struct fetch *f); /* HTTP, of one that has ended well */
void transfer_cancel(struct fetch *f);           /* one that has not begun is fine */

#endif
