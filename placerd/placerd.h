/* SPDX-License-Identifier: MIT */
/*
 * What the files of placerd share. placerd says what somebody may have and where; who that is it
 * takes from authd alone, and what there is from ptyd alone.
 */
#ifndef PLACERD_PLACERD_H
#define PLACERD_PLACERD_H

#include <stdbool.h>
#include <sys/queue.h>

#include "common/peer.h"
#include "common/requests.h"
#include "placerd/audit.h"
#include "placerd/passed.h"
#include "placerd/place.h"
#include "placerd/policy.h"
#include "placerd/rate.h"
#include "placerd/registry.h"
#include "placerd/revoked.h"
#include "placerd/session.h"

struct asked;
struct event;

/* For GET /metrics. The counters begin at 0 with this process. */
struct totals {
	uint64_t made;
	uint64_t ended[STATUS_COUNT]; /* by how it ended */
	struct pl_usage used;         /* of all sessions together, as ptyd has said last */
	uint64_t used_mono_ms;        /* when; 0: never */
};

struct placerd {
	struct policy *policy;
	struct policy *next_policy; /* prepared by a reload */
	struct registry *registry;
	struct session_keepers keepers;
	struct revoked *revoked;         /* identities that are taken no more */
	struct rate *creates, *attaches; /* of each subject */
	struct requests *requests;       /* what ptyd was asked; data: struct asked */
	TAILQ_HEAD(, asked) repeats;     /* creates that wait for the session of an earlier one */
	struct totals totals;
	struct event *loose_ends; /* repeats to be answered, abandoned sessions to be ended */
	bool has_abandoned;
	char node_name[65];
	struct nodes *nodes; /* the fleet as configured; this node alone without NODES_CONFIG */
	struct nodes *next_nodes;       /* prepared by a reload */
	struct reread *reread;          /* of NODES_CONFIG, under way; NULL: none is */
	struct fleet *fleet;            /* how they are; indices are those of nodes */
	struct probe *probe;            /* asks them; NULL: there are no others */
	struct nodetoken_key *node_key; /* NULL: there are no others */
	struct places *places;          /* where subjects were placed last */
	struct passed *passed;          /* creates that were passed on, by Idempotency-Key */
	bool is_draining;               /* by an admin: this node takes no new sessions */
	struct drained *drained;        /* what an admin has taken out of service, over restarts */
	bool is_synced;                 /* ptyd has told all its sessions on the present pair */
	bool was_synced;                /* on some pair: the registry means something */
};

/* A request of authd that waits for ptyd, or an order of our own. */
struct asked {
	uint64_t id;
	uint64_t auth_epoch; /* who is to be answered; 0: nobody */
	enum msg_phase phase;
	struct trace trace;
	struct id128 session_id;
	uint8_t role;         /* PH_ATTACH, PH_RENEW */
	uint64_t sid_hash;    /* PH_ATTACH, PH_RENEW */
	uint32_t ttl_seconds; /* PH_EXTEND */
	uint64_t attachment;  /* PH_RENEW */
	bool is_repeat;
	bool is_forwarded;  /* a repeat that a node has passed on */
	bool is_confirming; /* ptyd was told to let a provisional session stay, or wait longer */
	uint64_t confirm_by_boot_ms; /* is_confirming */
	struct elsewhere *elsewhere; /* passed on to another node; NULL: it is not */
	TAILQ_ENTRY(asked) next;     /* repeats */
};

/* peers.c */
extern const msg_handler placerd_handlers[MSG_COUNT];
extern const msg_handler peers_requests[MSG_COUNT]; /* of authd, in somebody's name */
int peers_start(struct placerd *d);                 /* 0 or -1 */
unsigned peers_phase_of(void *ctx, struct peer *from, const struct msg *m);
void peers_edge_up(void *ctx, struct peer *p);
void peers_edge_down(void *ctx, enum edge edge);

/* Answers to authd; what an earlier authd asked is answered to nobody. Always 0. */
int peers_answer(const struct asked *q, enum msg_type type, const void *payload);
int peers_refuse(const struct asked *q, int error, const char *rule_id, const char *detail);
int peers_refuse_message(struct peer *from, const struct msg *m, int error, const char *rule_id,
    const char *detail);
/* What is not in the registry: unknown, or not told by ptyd yet. */
int peers_refuse_unknown(struct placerd *d, struct peer *from, const struct msg *m);
/* 0 and *out; -FOG_E_UNAVAILABLE, -FOG_E_NO_SESSION or -FOG_E_SESSION_ENDED. */
int peers_find_living(struct placerd *d, const struct id128 *id, struct view issuer,
    struct view subject, struct session **out);
/* Enters a request in the table. NULL: it has been refused. */
struct asked *peers_ask(struct placerd *d, struct peer *from, const struct msg *m,
    enum msg_phase phase, const struct id128 *session_id);
/* As that, but given up sooner: after timeout_ms, or the time for any request if that is less. */
struct asked *peers_ask_within(struct placerd *d, struct peer *from, const struct msg *m,
    enum msg_phase phase, const struct id128 *session_id, uint64_t timeout_ms);
/* Out of the table; the caller frees it. NULL when the table does not have it any more. */
struct asked *peers_take(struct placerd *d, uint64_t id);
/* rc of an order: a failed one is refused, unless the edge went down by it and refused it. */
void peers_ordered(struct placerd *d, uint64_t id, int rc);
/*
 * session_set_state, and what follows for the registry and, in a later turn, for the creates that
 * wait for it. A change that is not legal is logged, and nothing changes.
 */
void peers_change(struct placerd *d, struct session *s, const struct session_change *to);
/* Orders the end of a session that nobody knows of, in a later turn. */
void peers_abandon(struct placerd *d, struct session *s);
/* The parts of an audit line that say which session, whose and where. */
struct audit_event peers_audit_of(const struct session *s, enum audit_name name,
    enum audit_phase phase, const struct trace *trace);

/* identity.c: who asks is not revoked, and does not ask too often; then the request is looked at. */
int identity_on_request(void *ctx, struct peer *from, struct msg *m);
/* FNV-1a of a sid; 0 when it is empty, and only then. */
uint64_t identity_sid_hash(struct view sid);

/* renew.c: a client that is attached shows a newer identity (PLACE_RENEW). */
int renew_on_request(void *ctx, struct peer *from, struct msg *m);
int renew_on_renewed(void *ctx, struct peer *from, struct msg *m);
void renew_on_refused(struct placerd *d, const struct asked *q, const struct pl_refused *why);

/* revoke.c: the end of an identity (OIDC Back-Channel Logout 1.0), or of one session by an admin. */
struct revoke_count {
	unsigned ended, detached; /* sessions for which that was ordered */
};
int revoke_on_request(void *ctx, struct peer *from, struct msg *m);
/*
 * Remembers it durably, writes it to the audit log, ends or detaches the living sessions that match
 * by their on_logout. `by`: who wants it, for the log and the audit log ("provider", "uid 0 pid 7").
 * One of subject and sid must be there; at_s is the time of the provider's clock, or wall_s().
 * 0; -FOG_E_BAD_LOGOUT_TOKEN: its jti was seen before, and nothing is done; -FOG_E_FULL or
 * -FOG_E_UNAVAILABLE: the sessions are dealt with, but it could not be remembered: to be repeated.
 * *count (may be NULL) is always set.
 */
int revoke_now(struct placerd *d, const struct pl_revoke *what, struct view by,
    const struct trace *trace, struct revoke_count *count);
/*
 * Ends one session, whoever's, as END_ADMIN. 0: ordered; -FOG_E_NO_SESSION, -FOG_E_SESSION_ENDED,
 * or -FOG_E_UNAVAILABLE: ptyd is not there, or has not told its sessions.
 */
int revoke_session_as_admin(struct placerd *d, const struct id128 *session_id, struct view by,
    const struct trace *trace);
/* ptyd has told all its sessions: what could not be ordered is ordered now. */
void revoke_on_synced(struct placerd *d);
/* A session that was being made when its owner was revoked: ended. False: there is nothing to do. */
bool revoke_ends(struct placerd *d, struct session *s);

/* extend.c: the lengthening of a session's life. */
int extend_on_request(void *ctx, struct peer *from, struct msg *m);
int extend_on_extended(void *ctx, struct peer *from, struct msg *m);
void extend_on_refused(struct placerd *d, const struct asked *q, const struct pl_refused *why);

/*
 * show.c: one session, with what it uses, if ptyd can tell: only one that lives, in a sandbox, and
 * only when ptyd does so at once. Else nothing is known of that, and the rest is said all the same.
 */
int show_on_request(void *ctx, struct peer *from, struct msg *m);
int show_on_usage(void *ctx, struct peer *from, struct msg *m);
/* ptyd is late or gone, or cannot tell. */
void show_on_lost(struct placerd *d, const struct asked *q);

/*
 * totals.c: whether this part is ready, and all sessions of this node together: for GET /readyz and
 * GET /metrics (S38).
 */
/* A session has changed its state. */
void totals_count(struct totals *t, enum session_status from, enum session_status to);
int totals_on_check(void *ctx, struct peer *from, struct msg *m);
/* The answer of a check that has waited for ptyd. used NULL: it is late or gone, or cannot tell. */
void totals_on_usage(struct placerd *d, const struct asked *q, const struct pl_usage *used);

/* create.c: the making of a session. */
/* Loads the hash of create_home_id, which needs the file system, and no filter yet. */
bool create_load(void);
/* What a kept home goes by: SHA-256 of issuer, subject and profile. 0 or -FOG_E_INTERNAL. */
int create_home_id(struct view issuer, struct view subject, struct view profile, struct raw32 *out);
/* RUNTIME=sandbox: a session has an image, and its consumption is known. */
bool create_in_sandbox(void);
int create_on_request(void *ctx, struct peer *from, struct msg *m);
int create_on_started(void *ctx, struct peer *from, struct msg *m);
void create_on_refused(struct placerd *d, const struct asked *q, const struct pl_refused *why);
void create_on_lost(struct placerd *d, struct asked *q, int error);
/* s NULL: it is gone. Always 0. */
int create_answer_repeat(const struct asked *q, const struct session *s);
/* Answers the creates that waited for a session which is no longer starting. */
void create_answer_repeats(struct placerd *d);

/* --- elsewhere.c: requests that are for another node --- */

/* A request on its way: of a create also the request itself, and who has failed. */
/* Tags of nodes, 0: none. What the next choice for a subject holds on to: hold.h. */
struct where_kept {
	uint32_t home, last;
};

struct elsewhere {
	uint64_t deadline_mono_ms; /* for all tries together */
	uint32_t tag;              /* of the node that is asked now */
	char name[65];             /* its name */
	char reason[65];           /* placement_reason */
	uint32_t failed[PLACE_KEPT];
	size_t n_failed;
	uint64_t wish_hash;
	bool is_repeat;
	struct where_kept kept;
	struct place_room needs;
	char tried[300]; /* who has failed and why, for the person */
	size_t len;
	unsigned char record[];
};

struct where;

enum elsewhere_repeat {
	ELSEWHERE_NEW,
	ELSEWHERE_MADE, /* that node has it, or may have it */
	ELSEWHERE_GONE, /* that node is no part of the fleet any more, or out; the session may live on */
	ELSEWHERE_UNDER_WAY, /* the first request is not over */
	ELSEWHERE_OTHER_WISH
};
/* Whether a create with this key was passed on in the last ten minutes, and to which node. */
enum elsewhere_repeat elsewhere_find_repeat(struct placerd *d, const struct pl_create *want,
    uint64_t wish_hash, size_t *node);
/*
 * Passes a create on to that node. e: of the tries before, taken; NULL: this is the first. where: by
 * which it was chosen; NULL: that node has made the session already, and no other is tried. Always 0.
 */
int elsewhere_create(struct placerd *d, struct peer *from, const struct msg *m, size_t node,
    const char *reason, uint64_t wish_hash, struct elsewhere *e, const struct where *where);
/* A request about a session of another node is passed on, and true. */
bool elsewhere_on_request(struct placerd *d, struct peer *from, const struct msg *m,
    struct view forwarded_by);
int elsewhere_on_forwarded(void *ctx, struct peer *from, struct msg *m);
void elsewhere_on_lost(struct placerd *d, struct asked *q, int error);
uint64_t elsewhere_left_ms(const struct elsewhere *e);
/* There is no time for one more node. NULL: there is. */
bool elsewhere_is_late(const struct elsewhere *e);
/* The create goes on here, or not at all: its key is free. e is taken, NULL is fine. */
void elsewhere_give_up(struct placerd *d, const struct pl_create *want, struct elsewhere *e);
void elsewhere_free(struct elsewhere *e);
/* create.c: the choice and what follows from it. e as above. Always 0. */
int create_try(struct placerd *d, struct peer *from, struct msg *m, struct elsewhere *e);

/*
 * provisional.c: a session that another node has asked for is ended by its holder, unless that node, or
 * its owner by attaching, confirms it.
 */
#define PROVISIONAL_MS 10000
bool provisional_is(const struct session *s);
/* On the boot clock, of what a node asks for now; 0: its owner does, who is told of it here: it stays. */
uint64_t provisional_until(bool is_forwarded);
/*
 * Has its holder told how long it waits (0: it stays). The request, of PH_CONFIRM, PH_MINT or a repeat
 * of PH_CREATE, is answered when the holder has taken that.
 */
void provisional_order(struct placerd *d, struct asked *q, uint64_t confirm_by_boot_ms);
int provisional_on_confirm(void *ctx, struct peer *from, struct msg *m);
int provisional_on_confirmed(void *ctx, struct peer *from, struct msg *m);
void provisional_on_refused(const struct asked *q, const struct pl_refused *why);

#endif
