/* SPDX-License-Identifier: MIT */
/*
 * What gatewayd has asked and has not been answered: one struct asked each, in the table of requests
 * from when its bearer was found good until its one answer, and the answers.
 */
#ifndef AUTHD_ASKED_H
#define AUTHD_ASKED_H

#include "authd/authd.h"
#include "common/peer.h"
#include "common/requests.h"

#define NODE_NAME_BYTES 65 /* with the NUL; the bound of messages.def */
#define NODE_URL_BYTES 256

#define PH_LISTINGS (PH_LIST | PH_PROFILES | PH_NODES)

struct forward;
struct gather;
struct pass;

struct asked {
	uint64_t id, gate_epoch; /* who asked: the answer is for no later gatewayd */
	enum msg_phase phase;
	enum msg_type passed_on;
	struct trace trace;
	struct identity who;
	struct id128 session_id; /* where the request names one */
	uint64_t attachment;     /* likewise */
	uint8_t role;
	bool is_bound; /* its token is DPoP-bound: no other node can be shown it */
	char forwarded_by[NODE_NAME_BYTES]; /* the node that has passed it on; empty: none */
	struct pass *pass;                  /* what passing it on takes; NULL: it is not to be */
	struct forward *forward;            /* while another node is asked */
	struct gather *gather; /* a list of sessions that other nodes add to; else NULL */
	bool is_sent;
	TAILQ_ENTRY(asked) next; /* while a listing waits */
};

/* Of an identity, or of what an attach token says about it. */
#define SUBJECT_OF(who) \
	.issuer = view_of((who).issuer), .subject = view_of((who).subject), \
	.sid = view_of((who).sid), .issued_s = (who).issued_s, \
	.until_boot_ms = (who).until_boot_ms
/* Whoever asks q, as placerd is told: the members of FIELDS_identity. */
#define WHO_OF(q) \
	SUBJECT_OF((q)->who), .groups = view_bytes((q)->who.groups, (q)->who.groups_len), \
			      .forwarded_by = view_of((q)->forwarded_by)

/* Sooner than gatewayd gives up, later than placerd does: who knows most says what it was. */
uint64_t asked_deadline_mono_ms(const struct authd *a);
uint64_t asked_left_ms(uint64_t deadline_mono_ms);

/* Enters a request in the table. NULL: it has been refused. */
struct asked *asked_new(struct authd *a, struct peer *from, const struct msg *m,
    enum msg_phase phase);
/* One that the table is known to have. */
struct asked *asked_find(const struct authd *a, uint64_t id);
/* Out of the table, before the answer is sent: sending may bring an edge down. */
struct asked *asked_take(struct authd *a, uint64_t id);
/* Frees one that is out of the table, with whatever is under way for it. */
void asked_release(struct authd *a, struct asked *q);

/*
 * False: nobody is there to hear it. A gatewayd that has died gets nothing, and its successor
 * nothing that it did not ask for.
 */
bool asked_answer(const struct asked *q, enum msg_type type, const void *payload);
void asked_refuse(const struct asked *q, int error, const char *detail);
/* A request that was never entered in the table. Always 0. */
int asked_refuse_message(struct peer *from, const struct msg *m, int error, const char *detail);
/* rc of passing it on: a failed one is refused, unless the edge went down by it and refused it. */
void asked_sent(struct authd *a, uint64_t id, int rc);

/* --- what it takes to pass a request on to another node: the person's own token, and the wish --- */

struct pass {
	/* Of a create. */
	char profile[NODE_NAME_BYTES];
	char image_ref[256];
	char idem_key
	    [129]; /* the client's; else made here, so that a repeat in transport does no harm */
	uint32_t ttl_seconds; /* of an extend too; 0: none is named */
	size_t len; /* of the value of Authorization, NUL-terminated; wiped by pass_free */
	char authorization[];
};

/*
 * Keeps what m brings for q: only where there are other nodes, of what may be passed on, and while
 * its token may be shown to them. A lack of memory leaves q->pass NULL.
 */
void pass_keep(struct asked *q, const struct msg *m);
void pass_free(struct pass *p); /* NULL is fine */

#endif
