/* SPDX-License-Identifier: MIT */
/*
 * The holder: one per session, unprivileged, the owner of the terminal and of what it has shown.
 * Its files share struct holder: holder.c has the life of the session, holder_term.c the
 * terminal, holder_client.c the attached stream, holder_broker.c the socket that ptyd finds it by.
 */
#ifndef FOG_HOLDER_H
#define FOG_HOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include "common/msg.h"
#include "common/ring.h"
#include "common/stream.h"
#include "ptyd/holder_input.h"
#include "ptyd/holder_tokens.h"
#include "ptyd/holder_window.h"

/* The life of a session, forwards only; holder_set_phase alone changes it. */
enum holder_phase {
	HOLDER_LIVING,
	HOLDER_DRAINING, /* the shell has ended or is being killed: what it wrote is still read */
	HOLDER_FLUSHING, /* the end is reported; the client gets what is left and the exit */
	HOLDER_LINGERING /* until the broker has kept the end */
};

struct client;

struct holder {
	struct event_base *base;
	unsigned char *plan_bytes;
	struct pl_holder_plan plan; /* views borrow from plan_bytes */
	enum holder_phase phase;
	struct pl_state state;
	bool state_is_kept;
	unsigned final_status, final_reason; /* why it is being ended; 0: the shell did */

	struct ring *ring;
	struct window window;
	struct input input;
	struct tokens tokens;
	uint16_t cols, rows;

	struct event *term_readable, *term_writable, *term_retry;
	bool term_is_over; /* end of file on the master, in HOLDER_DRAINING */

	struct client *client; /* the driver's stream, NULL: nobody is attached */

	struct event *on_init, *on_init_exit;
	bool init_has_told; /* or will not any more */
	struct event *expiring, *expired, *phase_timer;

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
int term_resize(struct holder *h, uint16_t cols, uint16_t rows);

/* holder_client.c */
/* Attaches a new driver (an earlier one is told) and gives the other end of its stream.
 * *fd is the caller's. 0 or -FOG_E_…. */
int client_attach(struct holder *h, const struct pl_grant *g, int *fd);
bool client_has_all(const struct holder *h); /* or there is none */
uint64_t client_lag(const struct holder *h);
void client_flush(struct holder *h);  /* new output, or an end to tell */
void client_resume(struct holder *h); /* the input queue has room again */
void client_send_status(struct holder *h, enum stream_state state, const char *detail);
void client_drop(struct holder *h);

/* holder_broker.c */
int broker_start(struct holder *h);
int broker_listen(struct holder *h);
void broker_send_state(struct holder *h);

#endif
