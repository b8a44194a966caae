/* SPDX-License-Identifier: MIT */
/*
 * The broker's sessions. broker.c takes the messages of placerd and the spawner; sessions.c has
 * the life of a session; join.c connects to holders, proves them and takes their messages;
 * adopt.c finds what an earlier broker has left.
 */
#ifndef FOG_BROKER_H
#define FOG_BROKER_H

#include <stdbool.h>
#include <sys/queue.h>

#include "common/peer.h"
#include "common/requests.h"
#include "ptyd/plan.h"
#include "ptyd/record.h"

struct event;

enum session_stage {
	SESSION_MAKING, /* no holder is connected yet: the spawner has the order, or we look for it */
	SESSION_JOINING, /* connected to its holder, which has not shown its nonce */
	SESSION_LIVE,    /* joined; it may have ended, and its holder wait for us to keep that */
	SESSION_APART,   /* ended, and no holder of it is left */
	SESSION_FOREIGN /* its holder lives, and is not spoken to: its slot is taken until it ends */
};

struct session;

/* A request of placerd about a session, until it is answered. */
struct pending {
	SLIST_ENTRY(pending) next;
	struct session *session; /* NULL: about all of them together */
	uint64_t id;
	struct trace trace;
	enum msg_phase phase;
	uint8_t role;         /* PH_ATTACH */
	uint32_t ttl_seconds; /* PH_EXTEND */
	bool is_answered;     /* PH_EXTEND: placerd waits no more, the holder may still do it */
	uint64_t attachment;  /* PH_RENEW */
	uint64_t confirm_by_boot_ms; /* PH_CONFIRM */
};

SLIST_HEAD(pendings, pending);

struct session {
	TAILQ_ENTRY(session) next;
	LIST_ENTRY(session) by_id; /* while it is not forgotten */
	struct record record;
	enum session_stage stage;
	struct pendings pendings;
	struct peer *holder;   /* NULL: not connected */
	int pidfd;             /* of the holder, opened before it showed its nonce */
	struct event *on_exit; /* the pidfd */
	struct event *timer;   /* of the stage: patience, kill, forget */
	bool is_found;     /* not made by us: by an earlier broker, or by a spawner that has died */
	bool is_awaited;   /* the list of sessions waits for it */
	bool is_half_made; /* nobody was told of it: to be ended and forgotten (R3) */
	bool is_other_version; /* SESSION_FOREIGN: another build made its holder */
	bool is_forgotten;     /* freed at the end of this turn */
	bool holds_slot;
	unsigned tries;    /* to find its holder */
	uint8_t end_asked; /* enum end_reason of a PTY_END; 0: none */
	bool detach_due;   /* a PTY_DETACH came before its holder had shown its nonce */
	uint64_t detach_sid_hash;
	uint64_t log_second;
	unsigned log_lines;
	uint32_t holder_pid; /* for the log */
};

#define SESSION_CHAINS 1024 /* power of two */

struct broker {
	TAILQ_HEAD(sessions, session) sessions;
	LIST_HEAD(chain, session) ids[SESSION_CHAINS];
	TAILQ_HEAD(forgotten, session) forgotten;
	struct slots slots;
	struct slots strays; /* of holders without a readable record: taken for good */
	struct requests *requests;
	struct pendings of_all;
	bool list_is_due; /* placerd has a new end and no list yet */
};

/* broker.c */
extern const msg_handler broker_handlers[MSG_COUNT];
unsigned broker_phase_of(void *ctx, struct peer *from, const struct msg *m);

/* After that a holder is killed whose end is known, but which cannot be told so. */
#define UNHEARD_MS 6000

/* sessions.c */
extern struct broker broker;

/* A copy of the record; no file is written. NULL: a field is out of bounds, or no memory. */
struct session *session_new(const struct pl_session_record *from);
/* Forgets it with its files; what is pending is refused. Freed at the end of the turn. */
void session_forget(struct session *s);
struct session *session_find(const struct id128 *id);
bool session_is_ended(const struct session *s);
/* Its holder is of another build: it lives on, is listed and can be ended, but not attached. */
bool session_is_other_version(const struct session *s);
bool session_save(const struct session *s); /* a failure is logged */
void session_set_stage(struct session *s, enum session_stage stage);
void session_set_timer(struct session *s, uint64_t ms);
/* Its end by the clock, as its holder has it; the record follows. False: it cannot be that. */
bool session_set_expiry(struct session *s, uint64_t expires_s);
/* Until when it waits to be confirmed (0: it stays), as its holder has it; the record follows. */
void session_set_confirm(struct session *s, uint64_t confirm_by_boot_ms);
/* Passes a PTY_DETACH on, now or as soon as its holder is joined. */
void session_detach(struct session *s, uint64_t sid_hash);
/* A status that is none of an end: told to placerd. */
void session_set_status(struct session *s, unsigned status);
/* Asks the holder to end it; if it does not within 3 s, it is killed; a foreign one at once. */
void session_ask_end(struct session *s, unsigned reason);
/* The one way to an end: record, log, placerd, whoever waits. A second end changes nothing. */
void session_end(struct session *s, const struct pl_state *end);
/* Its holder has gone without telling an end: that was asked for, its time was over, or it is lost. */
void session_end_lost(struct session *s);
void session_answer_ended(struct session *s); /* to all that is pending about it */
/* The holder may go: its end is kept. */
void session_tell_kept(struct session *s);
/* Starts the last ten minutes of its record, when placerd has it and no holder is left. */
void session_keep(struct session *s);
/* Asks the spawner to kill its holder, if there is one and it lives. */
void session_kill(struct session *s);
/* No holder is left: slot and socket are free again. */
void session_apart(struct session *s);
/* Its holder has proved itself: whoever waited for the session is told. */
void session_joined(struct session *s);
/* It could not be made: refuses, and leaves nothing behind. */
void session_abort(struct session *s, int error, const char *detail);
/* As above, but its holder may live: to be found, ended and forgotten. */
void session_give_up(struct session *s, int error, const char *detail);
void session_refuse_all(struct session *s, int error, const char *detail);
/* Sends the list of sessions once it is due and nothing is on its way. */
void broker_try_list(void);
void broker_refuse(uint64_t id, const struct trace *trace, int error, const char *detail);

/* s NULL: about all sessions. NULL: too many, or the id is known. */
struct pending *pending_new(struct session *s, const struct msg *m, enum msg_phase phase,
    uint64_t timeout_ms);
/* The pending request of this id, if it is about this session in this phase. */
struct pending *pending_find(uint64_t id, const struct session *s, enum msg_phase phase);
void pending_done(struct pending *p);
void pending_refuse(struct pending *p, int error, const char *detail);
/* Its time is over: refuses it, once, and goes on to listen for what the holder has made of it. */
void pending_outlive(struct pending *p, int error);

/* join.c */
/* Connects to the holder's socket; 0, -EAGAIN: again later, or another -errno. */
int join_start(struct session *s);
void join_end(struct session *s); /* closes the connection and the pidfd */

/* adopt.c */
/* Reads the directory; -1 (logged) when there is a record of another version (R5). */
int adopt_all(void);
/* Looks for the holder of a session that is_found. */
void adopt_try(struct session *s);
void adopt_settled(struct session *s); /* this one is no longer waited for */

#endif
