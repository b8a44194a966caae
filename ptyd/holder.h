/* SPDX-License-Identifier: MIT */
/*
 * The holder: one per session, unprivileged, the owner of the terminal and of what it has shown.
 * Its files share struct holder: holder.c has the life of the session, holder_term.c the
 * terminal, holder_time.c its end by the clock, holder_attach.c who is attached, holder_identity.c for
 * how long they may be, holder_client.c the stream of each, holder_broker.c the socket that ptyd finds it by.
 */
#ifndef FOG_HOLDER_H
#define FOG_HOLDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "common/msg.h"
#include "common/ring.h"
#include "common/stream.h"
#include "ptyd/holder_idle.h"
#include "ptyd/holder_input.h"
#include "ptyd/holder_tokens.h"
#include "ptyd/holder_window.h"

/* The life of a session, forwards only; holder_set_phase alone changes it. */
enum holder_phase {
	HOLDER_LIVING,
	HOLDER_DRAINING, /* the shell has ended or is being killed: what it wrote is still read */
	HOLDER_FLUSHING, /* the end is reported; clients get what is left and the exit */
	HOLDER_LINGERING /* until the broker has kept the end */
};

struct client;
TAILQ_HEAD(client_list, client);

struct holder {
	struct event_base *base;
	unsigned char *plan_bytes;
	struct pl_holder_plan plan; /* views borrow from plan_bytes */
	enum holder_phase phase;
	struct pl_state state;
	bool state_is_kept;
	unsigned final_status, final_reason; /* why it is being ended; 0: the shell did */

	struct ring *ring;
	struct window window; /* the driver's */
	struct input input;
	struct tokens tokens;
	uint16_t cols, rows; /* of the terminal */
	uint16_t cols_wanted, rows_wanted;

	struct event *term_readable, *term_writable, *term_retry;
	bool term_is_over; /* end of file on the master, in HOLDER_DRAINING */

	struct client_list clients;
	struct client *driver; /* one of them, or NULL */
	unsigned viewers, partings;
	uint64_t attachments; /* ever: the number of the last */
	struct event *sweep;  /* frees the clients that were lost in this turn */

	struct event *on_init, *on_init_exit;
	bool init_has_told; /* or will not any more */
	pid_t shell_group;  /* the shell's process group; 0: not told yet */
	struct event *phase_timer;

	uint64_t born_mono_ms;
	struct event *expiring, *expired, *idle_look, *unconfirmed;
	struct idle idle;
	int identity_fd; /* of identity_look: a timer on CLOCK_BOOTTIME */
	struct event *identity_look;

	struct event *acceptor, *hello_timer;
	struct peer *broker, *candidate; /* the candidate has not shown the nonce */
	unsigned long log_dropped;
};

/* holder.c */
void holder_set_status(struct holder *h, unsigned status);
/* Ends the session for this reason: kills, drains, reports. A second call changes nothing. */
void holder_end(struct holder *h, unsigned status, unsigned reason);
/* The terminal has been read to its end, or the client got its last byte: maybe go on. */
void holder_advance(struct holder *h);
void holder_state_kept(struct holder *h);

/* holder_term.c. The events follow from what is wanted: call update after any change. */
int term_start(struct holder *h);
void term_update(struct holder *h);
/* Of several in one turn the last counts: it reaches the terminal with term_deliver. */
void term_resize(struct holder *h, uint16_t cols, uint16_t rows);
/* Gives the terminal the size wanted and as much of the input queue as it takes: bytes of that. */
size_t term_deliver(struct holder *h);
/* Something else than the shell is in the foreground. */
bool term_has_job(const struct holder *h);

/* holder_time.c */
int time_start(struct holder *h);
void time_stop(struct holder *h);
void time_arm(struct event *timer, uint64_t ms);
/* The session is in use: its idle time begins anew. */
void time_touch(struct holder *h);
/* Its whole life becomes so long, counted from its start; idle time begins anew, clients are told.
 * 0, -FOG_E_TTL: shorter than it is, or -FOG_E_SESSION_ENDED. */
int time_extend(struct holder *h, uint32_t ttl_seconds);
/*
 * The session was made on the word of another node, and waits for a confirmation until then on the boot
 * clock, or (0) no more. One that waits for none never does again. 0 or -FOG_E_SESSION_ENDED.
 */
int time_confirm(struct holder *h, uint64_t confirm_by_boot_ms);

/* holder_attach.c */
int clients_start(struct holder *h);
/* Attaches a driver, which takes over from an earlier one, or a viewer, and gives the other end of
 * its stream. *fd is the caller's. 0 or -FOG_E_…. */
int clients_attach(struct holder *h, const struct pl_grant *g, int *fd);
bool clients_have_all(const struct holder *h); /* or there are none */
size_t clients_read_room(struct holder *h);    /* bytes of output that may be added now */
void clients_flush(struct holder *h);          /* new output, or an end to tell */
void clients_resume(struct holder *h);         /* the input queue has room again */
/* at_s: the time of day that it speaks of, 0: none. */
void clients_send_status(struct holder *h, enum stream_state state, uint64_t at_s,
    const char *detail);
void clients_drop(struct holder *h);
/* Tells the client why and lets it go, when it has what it was promised. Not twice. */
void clients_part(struct client *c, enum stream_state state, const char *detail);
/* The living client of this number, or NULL. */
struct client *clients_find(struct holder *h, uint64_t attachment);
/* For holder_client.c: the stream is over; or it ends because of what came on it. */
void clients_lose(struct client *c);
void clients_refuse(struct client *c, int error);
/* Nobody is there any more: its place is free. What it has sent is still typed, till another drives. */
void clients_left(struct client *c);

/* holder_identity.c: how long each client may stay attached (S21), on the boot clock (R10). */
int identity_start(struct holder *h);
/* 0, or -FOG_E_BAD_ATTACH_TOKEN: that is over already. until_boot_ms 0: no end. */
int identity_check(uint64_t until_boot_ms);
void identity_set(struct client *c, uint64_t until_boot_ms, uint64_t sid_hash);
/* After identity_set, or when a client has come: the timer follows. */
void identity_arm(struct holder *h);
/* The time of day of an end on the boot clock, for display; 0: no end. */
uint64_t identity_wall_s(uint64_t until_boot_ms);
/* A client that is attached shows a newer identity: its token is consumed. 0 or -FOG_E_…. */
int identity_renew(struct holder *h, const struct pl_regrant *g);
/* An identity was revoked: clients of this sid, and of none, are detached; 0: all. */
void identity_revoke(struct holder *h, uint64_t sid_hash);

/* holder_broker.c */
int broker_start(struct holder *h);
int broker_listen(struct holder *h);
void broker_send_state(struct holder *h);

#endif
