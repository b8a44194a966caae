/* SPDX-License-Identifier: MIT */
/*
 * The one lifecycle of every role that fogd starts (DESIGN 2.1): read the config record, load
 * what needs the file system, enter the root, drop and prove it, limits, filter, READY, loop.
 * And the control pair: new ends of edges, reload in two steps, stop. A role's main.c fills a
 * struct role and calls proc_main.
 *
 * Descriptors at exec: 0 and 1 /dev/null, 2 the log pipe, then the gifts below.
 */
#ifndef FOG_PROC_H
#define FOG_PROC_H

#include <stdbool.h>

#include "common/config.h"
#include "common/peer.h"

#define PENALTY_BYTES 65536 /* size of gatewayd's memfd of penalties: fixed, writable */
/* Its first four bytes, in host order, are fogd's word of how the last gatewayd ended: a crash is
 * any end by a signal but SIGKILL, SIGTERM and SIGINT, and any exit status but 0. */
#define PENALTY_DEATH_CRASH UINT32_C(1)
#define PENALTY_DEATH_OTHER UINT32_C(2)
#define PROC_NOFILE 65536 /* descriptors of a role at most; less where the host allows less */

enum gift {
	GIFT_CONTROL = 3, /* socket pair with fogd */
	GIFT_CONFIG,      /* sealed memfd: config_put of this role */
	GIFT_ROOT,        /* directory to be the root, or the working directory of the spawner */
	GIFT_OWN,         /* the first that depends on the role */

	GIFT_GATEWAYD_LISTENER = GIFT_OWN,
	GIFT_GATEWAYD_METRICS,  /* absent when METRICS_ADDR is off */
	GIFT_GATEWAYD_PAGE,     /* directory of the page */
	GIFT_GATEWAYD_TLS_CERT, /* both absent without TLS */
	GIFT_GATEWAYD_TLS_KEY,
	GIFT_GATEWAYD_PENALTIES, /* memfd of PENALTY_BYTES, the same one after every restart */

	GIFT_AUTHD_SIGNING_KEY = GIFT_OWN, /* sealed memfd, raw bytes; absent: make one */
	GIFT_AUTHD_SIGNING_KEY_PREVIOUS,   /* likewise; absent: there is none */

	GIFT_PLACERD_POLICY = GIFT_OWN,
	GIFT_PLACERD_AUDIT,     /* O_APPEND */
	GIFT_PLACERD_AUDIT_END, /* the same file, to read: how it ends */
	GIFT_PLACERD_CONTROL,   /* SOCK_STREAM listener of the control socket */
	GIFT_PLACERD_NODES,     /* sealed memfd of NODES_CONFIG; absent: this node alone */
	GIFT_PLACERD_NODE_KEY,  /* sealed memfd, PEM: there whenever GIFT_PLACERD_NODES is */

	/* Of the fetcher and the prober. Sealed memfds, PEM; absent: the system's authorities. */
	GIFT_FETCHER_CA = GIFT_OWN, /* for the provider */
	GIFT_FETCHER_FLEET_CA,      /* for the nodes */

	GIFT_SPAWNER_HOLDER = GIFT_OWN, /* O_PATH */
	GIFT_SPAWNER_INIT,              /* sealed memfd of session-init */

	GIFT_END = GIFT_OWN + 6
};

struct role {
	enum proc_id id;
	void *ctx;                   /* given to every hook and handler */
	const msg_handler *handlers; /* by enum msg_type; control messages are proc.c's */
	unsigned (*phase_of)(void *ctx, struct peer *from, const struct msg *m);
	/* Before the drop: gifts are open, files can be. Non-zero: said why in the log; exit. */
	int (*load)(void *ctx);
	/* After the filter: listeners and timers. Non-zero as above. */
	int (*start)(void *ctx);
	/* An edge has a new end / has none any more (the peer is freed by proc.c afterwards). */
	void (*edge_up)(void *ctx, struct peer *p);
	void (*edge_down)(void *ctx, enum edge edge);
	/* Reload: read the file and keep it aside (0), or say why not and return -1, or do either
	 * while others are served (PROC_PREPARED_LATER) and then call proc_prepared, in 10 s; then
	 * commit or forget all that was prepared. NULL: this role has no files. fd is taken. */
	int (*prepare)(void *ctx, enum reload_file file, int fd);
	void (*commit)(void *ctx, bool apply);
	/* Told to stop; the process ends when this returns. May be NULL. */
	void (*stop)(void *ctx, bool end_sessions);
};

/* Who holds which end of an edge. One way: right sends, left only receives. */
struct edge_row {
	enum proc_id left, right;
	bool one_way;
};
extern const struct edge_row proc_edges[EDGE_COUNT];

/* Runs the role; returns the exit status. `name -n` style options are the role's own affair
 * and parsed before. */
int proc_main(const struct role *role);

struct event_base *proc_base(void);
const struct config *proc_config(void);
/* The living end of an edge or NULL. */
struct peer *proc_peer(enum edge edge);
/* Sends on an edge: -FOG_E_UNAVAILABLE when it has no end. fd is taken. */
int proc_send(enum edge edge, enum msg_type type, uint64_t request_id, const struct trace *trace,
    const void *payload, int fd);
#define PROC_PREPARED_LATER 1
int proc_prepared(bool ok);
/*
 * Lets every role log at debug level, or at LOG_LEVEL again, which a reload and a restart do as well.
 * placerd alone is listened to.
 */
int proc_set_verbose(bool on);
/* phase_of of a control pair, at both its ends: nothing there is a request. */
unsigned proc_control_phase(void *ctx, struct peer *from, const struct msg *m);
/* peer_ops of this role, for peers that the role opens itself (EDGE_HOLDER). */
const struct peer_ops *proc_peer_ops(void);
/* A gift's descriptor, now the caller's; -1: absent or taken before. */
int proc_take_gift(enum gift gift);
/* False when started without root: no chroot, no own uid. */
bool proc_is_rooted(void);

/* Reads a whole regular file or memfd from its start, at most max bytes, NUL-terminated for
 * text readers; free() it. NULL with errno (EFBIG). */
char *proc_read_file(int fd, size_t max, size_t *len);

#endif
