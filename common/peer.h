/* SPDX-License-Identifier: MIT */
/*
 * One end of a pair of our processes: SOCK_SEQPACKET, one record one message, the descriptor in
 * the same record. Reading, the look-up of the row, the check of sender, phase and descriptor
 * count, and decoding all happen here, before a handler sees anything. The other end is treated
 * as broken into: garbage closes the pair and is reported, it never ends this process (S7, S8).
 */
#ifndef FOG_PEER_H
#define FOG_PEER_H

#include <stdbool.h>

#include "common/msg.h"

struct event_base;
struct peer;

/*
 * Records waiting for a neighbour that reads slowly; beyond that it counts as stuck. ptyd tells all
 * the sessions of a node in one go, of at most 1.4 KiB each.
 */
#define PEER_QUEUE_RECORDS (SESSION_SLOTS + 1024)
#define PEER_QUEUE_BYTES (8u << 20)
/* Records handled in one wake-up, so that a flood cannot starve the rest. */
#define PEER_BATCH 32

/* PEER_OTHER_VERSION: its hello has another hash of this edge; nothing else of it was read. */
enum peer_down { PEER_GONE, PEER_LIED, PEER_STUCK, PEER_OTHER_VERSION };

/* 0; -FOG_E_LIAR when the message breaks the protocol in a way only the handler can see. */
typedef int (*msg_handler)(void *ctx, struct peer *from, struct msg *m);

struct peer_ops {
	/*
	 * Indexed by enum msg_type; NULL: this process does not take that message. That of
	 * MSG_HELLO, which may be NULL, is called once the other end's hello is found right.
	 */
	const msg_handler *handlers;
	/*
	 * The phase of a request (enum msg_phase): PH_NEW when the id is unknown; of the pair
	 * itself for id 0: PH_NOTE, with PH_SYNC while its list of sessions is awaited.
	 */
	unsigned (*phase_of)(void *ctx, struct peer *from, const struct msg *m);
	/* The pair has ended; the peer sends and reads no more. Free it or keep it as down. */
	void (*down)(void *ctx, struct peer *p, enum peer_down why, const char *detail);
};

enum peer_way { PEER_BOTH, PEER_SEND_ONLY, PEER_RECEIVE_ONLY };

struct peer_end {
	int fd; /* taken, also on failure */
	enum edge edge;
	enum proc_id self, other;
	enum peer_way way;
	uint64_t epoch;
};

/* NULL when out of memory. Sends the hello. ops and ctx outlive the peer. */
struct peer *peer_new(struct event_base *base, const struct peer_end *end,
    const struct peer_ops *ops, void *ctx);
void peer_free(struct peer *p); /* NULL is fine; also inside a handler of this peer */

/*
 * Queues one message. fd (-1: none) is taken, also on failure. Returns 0; -FOG_E_UNAVAILABLE
 * when the pair is down; -FOG_E_BOUNDS when the payload breaks the table (ours to mend);
 * -FOG_E_FULL when the queue is full, and then the pair goes down as stuck.
 */
int peer_send(struct peer *p, enum msg_type type, uint64_t request_id, const struct trace *trace,
    const void *payload, int fd);

/* Ends the pair as lied, with a reason for the log: for checks outside a handler. */
void peer_lied(struct peer *p, const char *detail);

bool peer_is_up(const struct peer *p); /* NULL: false */
enum edge peer_edge(const struct peer *p);
enum proc_id peer_other(const struct peer *p);
uint64_t peer_epoch(const struct peer *p);
size_t peer_queued(const struct peer *p); /* records that the other end has not room for yet */
uint64_t peer_other_hash(const struct peer *p); /* msg_edge_hash as the other end told it */
int peer_fd(const struct peer *p);              /* for SO_PEERCRED; borrowed */
const char *peer_down_name(enum peer_down why);

/*
 * A stream socket of the UNIX family that does not block: nothing else can be a holder's stream.
 * One that blocks is a lie as well: the filters let nobody change it.
 */
bool peer_fd_is_stream(int fd);

#endif
