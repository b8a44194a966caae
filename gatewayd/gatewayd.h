/* SPDX-License-Identifier: MIT */
/* The few types that gatewayd's files share: the process, a connection, the request on it. */
#ifndef GATEWAYD_GATEWAYD_H
#define GATEWAYD_GATEWAYD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/config.h"
#include "common/requests.h"
#include "gatewayd/challenge.h"
#include "gatewayd/http1.h"
#include "gatewayd/metrics.h"
#include "gatewayd/origin.h"
#include "gatewayd/route.h"
#include "gatewayd/source.h"
#include "gatewayd/tls.h"

#define CONN_MAGIC 0x636f6e6eu
/*
 * Requests that wait for authd at one time, over all connections, and records that it has not read.
 * Well below what a peer's queue holds: a burst of clients must not make authd look stuck.
 */
#define GATEWAY_PENDING_MAX 512

struct attach;
struct bufferevent;
struct event;
struct event_base;
struct json_t;
struct limits;
struct listener;
struct penalties;
struct proxies;
struct source;
struct static_file;
struct static_files;
struct tls;
struct workers;

TAILQ_HEAD(conn_list, conn);
STAILQ_HEAD(post_list, conn);

struct gateway {
	struct event_base *base;
	const struct config *config;
	struct http1_limits limits;
	unsigned max_connections; /* as configured, or what there are descriptors for */
	struct origins origins;   /* of the public listener */
	struct origins metrics_origins;
	bool metrics_any_host; /* the metrics listener is off loopback: any name may be its own */
	struct static_files *files;
	struct tls *tls; /* NULL: plain HTTP */
	struct listener *listener, *metrics_listener;
	struct proxies *proxies;     /* TRUSTED_PROXIES; NULL: none */
	struct limits *rates;        /* limits.h says who asks */
	struct askers *askers;       /* where other nodes ask from */
	struct penalties *penalties; /* NULL: none are kept */
	struct requests *requests;
	struct metrics metrics;
	char *fixed_headers;                 /* in every answer, CRLF after each */
	char *frameable_headers;             /* instead, in that of static_is_frameable() */
	char dpop_algs[CHALLENGE_ALGS_SIZE]; /* empty: no provider, so no DPoP */
	struct workers *workers;             /* NULL once the process ends */
	uint32_t incarnation, last_request;
	struct conn_list conns, graves;
	struct event *reaper; /* frees the graves at the end of the turn */
	struct event *rested; /* at the end of one in which TLS was read: nobody is worked for */
};

enum conn_state {
	CONN_HANDSHAKE, /* TLS */
	CONN_IDLE,      /* kept alive, no byte of the next request yet */
	CONN_HEAD,
	CONN_BODY,
	CONN_PENDING,  /* the request is complete and not answered */
	CONN_DRAIN,    /* answered; the next request waits until the answer has left */
	CONN_FLUSH,    /* the last answer is leaving */
	CONN_LINGER,   /* shut for writing; what still comes is thrown away */
	CONN_ATTACHED, /* a WebSocket: attach.c's, on another thread */
	CONN_DEAD      /* freed at the end of the turn */
};

/* What an attach waits for: the delivery from ptyd and the word of authd, in either order. */
struct attach_wait {
	int fd;                               /* the delivered stream; -1: not yet */
	uint8_t delivered_role, granted_role; /* ROLE_NONE: not yet */
	char accept[32];                      /* Sec-WebSocket-Accept */
	const char *protocol;                 /* to echo, or NULL */
	char fallback_node
	    [65]; /* in the cloud, for want of a fog node; empty: it is where it should be */
};

/* One request and its answer. */
struct exchange {
	const struct route *route; /* NULL: none found */
	const struct static_file *file;
	struct trace trace;
	struct source_key source; /* of the client, also of one behind a trusted proxy */
	uint64_t started_ms;      /* monotonic; 0: no request was read yet */
	struct view bearer;       /* of the parser's store */
	struct id128 session_id;  /* of the path */
	bool has_session_id;
	uint8_t scheme;    /* of enum auth_scheme; SCHEME_NONE: no Authorization that we know */
	struct view proof; /* of the DPoP header; empty: none */
	struct view forwarded_by; /* the node that passes this request on; empty: none */
	bool is_from_node;        /* that, and it came from where a node asks from */
	bool varies;              /* by Origin, which FLEET_ORIGINS judges */
	struct view cors;         /* Origin of another node's page; empty: none such */
	bool is_preflight;        /* of that page's browser (Fetch 3.2.2) */
	bool token_given;         /* for the challenge (RFC 6750 3.1) */
	bool is_bad_auth;         /* a 400 for the way in which credentials came (RFC 6750 3.1) */
	int error;                /* found when the headers were checked; FOG_OK: none */
	const char *error_detail;
	uint32_t retry_after_s; /* of FOG_E_RATE */
	char allow[ROUTE_ALLOW_SIZE];
	char *body;
	size_t body_len;
	uint64_t request_id;        /* 0: nothing was asked of authd */
	struct json_t *list;        /* what has arrived of a list */
	struct json_t *unreachable; /* names of nodes that did not add to it; NULL: none */
	struct attach_wait attach;
};

struct conn {
	unsigned magic;
	TAILQ_ENTRY(conn) next;
	struct gateway *g;
	struct source *source;   /* counts it; NULL: a trusted proxy's, whose client is not known */
	struct source_key from;  /* that source, or the other end of the socket */
	struct in6_addr address; /* of the other end */
	bool by_proxy;           /* which is a trusted proxy */
	struct tls_reader tls_reader;
	struct bufferevent *bev;
	struct event *deadline;
	struct http1 *parser;
	enum conn_state state;
	bool is_metrics;
	bool peer_eof; /* the client sends no more */
	bool keep_alive;
	unsigned requests;
	size_t discarded; /* while lingering */
	struct exchange x;
	struct attach *attach;   /* on worker.c's thread until it is given back */
	unsigned worker;         /* its number */
	STAILQ_ENTRY(conn) post; /* on the way to a thread */
};

#endif
