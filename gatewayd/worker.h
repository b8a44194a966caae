/* SPDX-License-Identifier: MIT */
/*
 * The threads that attached terminals run on, each with a loop of its own. A connection belongs to
 * one thread at a time: the main one accepts it, reads its request and ends it; between the two it
 * is a worker's. It is passed on whole, through a mailbox, so nothing else is locked or shared.
 */
#ifndef GATEWAYD_WORKER_H
#define GATEWAYD_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct attach;
struct conn;
struct event_base;
struct gateway;
struct renewal;
struct turn;
struct worker;
struct workers;

TAILQ_HEAD(attach_list, attach);

/* What an attachment sees of its thread. */
struct worker_view {
	struct event_base *base;
	struct attach_list attached;
	struct turn *turn;                    /* buffers of attach.c for one turn */
	_Atomic uint64_t in_bytes, out_bytes; /* of terminals, since the start */
};

struct worker_ops {
	struct turn *(*turn_new)(const struct gateway *g);
	void (*run)(struct attach *a,
	    struct worker_view *w);                        /* on the worker: the terminal begins */
	void (*stop)(struct worker_view *w);               /* on the worker: the process ends */
	void (*ended)(struct conn *c);                     /* on the main thread: it is back */
	void (*ask)(struct gateway *g, struct renewal *r); /* on the main thread; r is taken */
	void (*answered)(struct renewal *r);               /* on the worker; r is taken */
};

/* Starts so many threads. NULL: errno; none is left then. g and ops outlive them. */
struct workers *workers_start(struct gateway *g, unsigned count, const struct worker_ops *ops);
/* Each calls its stop(); returns when they have ended. NULL is fine. */
void workers_stop(struct workers *w);

/* Main thread: c->attach begins on the thread that has the fewest. c is not touched after this. */
void workers_give(struct workers *w, struct conn *c);
/* Worker: the terminal of c has ended, and nothing of it is on this thread any more. */
void worker_return(struct worker_view *w, struct conn *c);

/* Worker: the main thread is to ask; r is its until it is back. */
void worker_ask(struct worker_view *w, struct renewal *r);
/* Main thread: r goes back to its worker. w NULL: nobody is there any more. */
void workers_answer(struct workers *w, struct renewal *r);

/* NULL: none. */
void workers_count(const struct workers *w, uint64_t *in_bytes, uint64_t *out_bytes);

#endif
