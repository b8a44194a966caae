/* SPDX-License-Identifier: MIT */
/*
 * What the files of the fetcher share. The fetcher is the one outbound HTTPS client: it sends what its
 * one neighbour asks, and judges only where that may go. It reads no answer, decides nothing, and keeps
 * nothing secret beyond the request. It runs twice: for authd as the fetcher, for placerd as the prober.
 */
#ifndef FETCHER_FETCHER_H
#define FETCHER_FETCHER_H

#include <stddef.h>
#include <stdint.h>

#include "common/peer.h"
#include "common/session.h"
#include "fetcher/target.h"

#define PROVIDER_FETCHES_MAX 4 /* at once; more are refused as busy */
#define NODE_FETCHES_MAX 120   /* those of authd/nodefetch.c together */
#define FETCHES_MAX (PROVIDER_FETCHES_MAX + NODE_FETCHES_MAX)
#define ADDRESSES_MAX 16 /* of one name; the others are not looked at, nor connected to */

struct event;
struct event_base;
struct evdns_base;
struct evdns_getaddrinfo_request;

/* Which of the two this process is: the program is one. */
struct fetcher_role {
	const char *name; /* of the program */
	enum proc_id id;
	enum edge edge;
	enum msg_type part, end; /* how it answers */
	bool is_prober;
};

/*
 * Fetches to the provider and fetches to nodes share nothing: no authority, no connection, no rate.
 * By enum fetch_to.
 */
struct lane {
	struct fetcher *owner;
	const struct lane_kind *kind;
	char *ca; /* certificates, PEM; NULL: nothing of this kind is fetched */
	size_t ca_len;
	void *store; /* X509_STORE: the same, read */
	void *multi; /* CURLM */
	void *share; /* CURLSH: TLS sessions; NULL: none are kept */
	struct event *timer;
	double tokens; /* of the rate bound */
	uint64_t tokens_mono_ms;
	unsigned under_way;
};

/* One request, until it is answered. */
struct fetch {
	struct fetcher *owner;
	struct lane *lane;
	uint64_t id; /* of the request; 0: this slot is free */
	struct trace trace;
	struct target target;
	uint64_t started_mono_ms;
	struct event *deadline;                 /* for all of it, the name included */
	struct evdns_getaddrinfo_request *name; /* while it is being resolved */
	void *easy;                             /* CURL, while it is being fetched */
	void *resolved;                         /* curl_slist, which easy borrows */
	enum fetch_method method;
	void *lines;         /* curl_slist of header lines, likewise: secret */
	unsigned char *sent; /* the request's body, likewise: secret */
	size_t sent_len;
	enum fetch_error error; /* why a callback has ended the transfer */
	unsigned headers;
	size_t header_bytes;
	unsigned char *body; /* max_bytes long */
	size_t len, max_bytes;
};

struct fetcher {
	const struct fetcher_role *role;
	struct event_base *base;
	struct https_url issuer; /* text empty: none is configured */
	const char *origins;     /* FLEET_ORIGINS */
	struct evdns_base *names;
	struct lane lanes[FETCH_TO_NODE + 1];
	struct fetch fetches[FETCHES_MAX];
};

/* requests.c: what the neighbour asks, and its answers. */

/* How much of a kind is fetched, and how its connections are kept. */
struct lane_kind {
	unsigned at_once;
	double burst,
	    per_ms; /* of requests: more of them is a fault, which no other server shall feel */
	unsigned connections; /* kept for the next; 0: each request has one of its own */
};

extern const struct lane_kind lane_kinds[FETCH_TO_NODE + 1];
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

/* Before the filter, and then for each kind that will be fetched. 0 or -1. */
int transfer_init(void);
int transfer_open(struct lane *l);
/* Copies what is to be sent beside the URL. 0 or -1. */
int transfer_prepare(struct fetch *f, const struct pl_fetch *wanted);
/*
 * Begins. addresses: what follows "+host:port:" in CURLOPT_RESOLVE; NULL for a host that is an
 * address. Returns 0 or -1; fetch_end follows later on.
 */
int transfer_start(struct fetch *f, const char *addresses);
unsigned transfer_status(const struct fetch *f); /* HTTP, of one that has ended well */
/* Ends it, and wipes what was sent; one that has not begun is fine. */
void transfer_cancel(struct fetch *f);

#endif
