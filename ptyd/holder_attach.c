/* SPDX-License-Identifier: MIT */
/*
 * Who is attached to a session: one driver, some viewers, and those who part with last words. A
 * client is freed at the end of the turn in which it is lost, so that every loop over all of them
 * may lose one.
 */
#include <stdio.h>

#include "common/log.h"
#include "common/mono.h"
#include "ptyd/holder_client.h"

#define VIEWERS_MAX 32
#define PARTINGS_MAX (VIEWERS_MAX + 4) /* a revocation may detach all of them at once */

static const struct timeval last_words = { .tv_sec = 1 };

/* --- telling --- */

static void
tell(struct client *c, enum stream_state state, const char *detail)
{
	client_queue_status(c, state, 0, detail);
	client_flush(c);
}

static void
tell_viewers(struct holder *h, enum stream_state state, const char *detail)
{
	struct client *c;

	TAILQ_FOREACH(c, &h->clients, next)
		if (c->role == ROLE_VIEWER && !c->is_parting)
			tell(c, state, detail);
}

/* All others are told how many watch now. */
static void
tell_viewers_count(struct holder *h, const struct client *who, enum stream_state state)
{
	char detail[32];
	struct client *c;

	snprintf(detail, sizeof(detail), "%u viewer%s", h->viewers, h->viewers == 1 ? "" : "s");
	TAILQ_FOREACH(c, &h->clients, next)
		if (c != who && !c->is_parting)
			tell(c, state, detail);
}

void
clients_send_status(struct holder *h, enum stream_state state, uint64_t at_s, const char *detail)
{
	struct client *c;

	TAILQ_FOREACH(c, &h->clients, next) {
		if (c->is_parting)
			continue;
		client_queue_status(c, state, at_s, detail);
		client_flush(c);
	}
}

/* --- all of them --- */

void
clients_flush(struct holder *h)
{
	struct client *c;

	/* One that waits for its socket goes on when that has room. */
	TAILQ_FOREACH(c, &h->clients, next)
		if (!event_pending(c->writable, EV_WRITE, NULL))
			client_flush(c);
}

void
clients_resume(struct holder *h)
{
	struct client *c;

	TAILQ_FOREACH(c, &h->clients, next)
		client_resume(c);
}

bool
clients_have_all(const struct holder *h)
{
	const struct client *c;

	TAILQ_FOREACH(c, &h->clients, next)
		if (!c->is_parting && !c->has_left && !client_has_all(c))
			return false;
	return true;
}

size_t
clients_read_room(struct holder *h)
{
	uint64_t end = ring_end(h->ring);

	if (!h->driver)
		return h->plan.ring_bytes;
	/* The shell has gone and what it left is little. What is not sent yet is not overwritten. */
	if (h->phase != HOLDER_LIVING)
		return (size_t)(h->plan.ring_bytes - (end - h->driver->cursor));
	return window_read_room(&h->window, end);
}

/* --- leaving --- */

/* Its place is free, which the others are told. */
static void
leave(struct client *c)
{
	struct holder *h = c->h;

	if (c == h->driver) {
		h->driver = NULL;
		tell_viewers(h, STREAM_STATE_DRIVER_LEFT, "Nobody drives this session now");
		if (h->phase == HOLDER_LIVING)
			holder_set_status(h, STATUS_DETACHED);
	} else if (c->role == ROLE_VIEWER) {
		h->viewers--;
		tell_viewers_count(h, c, STREAM_STATE_VIEWER_LEFT);
	}
}

void
clients_lose(struct client *c)
{
	if (c->is_over)
		return;
	c->is_over = true;
	event_del(c->readable);
	event_del(c->writable);
	event_del(c->hangup);
	event_active(c->h->sweep, EV_TIMEOUT, 0);
}

void
clients_left(struct client *c)
{
	if (c->has_left || c->is_parting || c->is_over)
		return;
	c->has_left = true;
	c->pending_len = 0;
	event_del(c->writable);
	event_del(c->hangup);
	leave(c);
}

static void
forget(struct client *c)
{
	struct holder *h = c->h;

	TAILQ_REMOVE(&h->clients, c, next);
	if (c->is_parting)
		h->partings--;
	else if (!c->has_left)
		leave(c);
	client_free(c);
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;
	struct client *c, *after;

	(void)fd;
	(void)what;
	for (c = TAILQ_FIRST(&h->clients); c; c = after) {
		after = TAILQ_NEXT(c, next);
		if (c->is_over)
			forget(c);
	}
	term_update(h);
	if (h->phase == HOLDER_FLUSHING)
		holder_advance(h);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	clients_lose(arg);
}

void
clients_part(struct client *c, enum stream_state state, const char *detail)
{
	struct holder *h = c->h;

	if (c->is_parting || c->is_over)
		return;
	leave(c);
	c->is_parting = true;
	event_del(c->readable);
	event_del(c->hangup);
	c->deadline = evtimer_new(h->base, on_deadline, c);
	if (++h->partings > PARTINGS_MAX || !c->deadline ||
	    event_add(c->deadline, &last_words) != 0)
		clients_lose(c);
	else
		tell(c, state, detail);
}

void
clients_refuse(struct client *c, int error)
{
	log_warnx("event=bad_stream reason=%s", err_code(error));
	if (error == -FOG_E_OFFSET && !c->has_left)
		clients_part(c, STREAM_STATE_BAD_INPUT,
		    "Its offset is beyond what was sent before");
	else
		clients_lose(c);
}

void
clients_drop(struct holder *h)
{
	struct client *c;

	TAILQ_FOREACH(c, &h->clients, next)
		clients_lose(c);
}

/* --- attaching --- */

static int
check_grant(const struct holder *h, const struct pl_grant *g)
{
	if (!id_equal(&g->session_id, &h->plan.session_id))
		return -FOG_E_NO_SESSION;
	if (h->phase != HOLDER_LIVING)
		return -FOG_E_SESSION_ENDED;
	if (g->role == ROLE_VIEWER && h->viewers >= VIEWERS_MAX)
		return -FOG_E_VIEWERS;
	if (g->has_out && g->out_from > ring_end(h->ring))
		return -FOG_E_OFFSET;
	return identity_check(g->until_boot_ms);
}

static void
begin(struct client *c, const struct pl_grant *g)
{
	uint64_t start = ring_start(c->h->ring);
	uint64_t asked = g->has_out ? g->out_from : start;
	uint64_t from = asked > start ? asked : start;

	client_begin(c, from, from - asked);
}

/* What those who have left typed before, and nobody has taken, is not typed between. */
static void
lose_those_who_left(struct holder *h)
{
	struct client *c;

	TAILQ_FOREACH(c, &h->clients, next)
		if (c->has_left)
			clients_lose(c);
}

static void
seat_driver(struct client *c, const struct pl_grant *g)
{
	struct holder *h = c->h;
	struct client *old = h->driver;

	lose_those_who_left(h);
	/* The place does not become free: nobody is told so. */
	h->driver = c;
	if (old)
		clients_part(old, STREAM_STATE_TAKEN_OVER,
		    "Another window attached to this session");
	begin(c, g);
	if (old)
		client_queue_status(c, STREAM_STATE_TOOK_OVER, 0, "Another window was detached");
	tell_viewers(h, STREAM_STATE_DRIVER_JOINED, "Somebody drives this session");
	holder_set_status(h, STATUS_RUNNING);
}

static void
seat_viewer(struct client *c, const struct pl_grant *g)
{
	struct holder *h = c->h;

	h->viewers++;
	begin(c, g);
	tell_viewers_count(h, c, STREAM_STATE_VIEWER_JOINED);
}

int
clients_attach(struct holder *h, const struct pl_grant *g, int *fd)
{
	int rc = check_grant(h, g);
	struct client *c;

	if (rc == 0)
		rc = tokens_consume(&h->tokens, &g->token_id, g->token_expires_boot_ms, boot_ms());
	if (rc != 0)
		return rc;
	c = client_new(h, g->role, fd);
	if (!c)
		return -FOG_E_NOMEM;
	identity_set(c, g->until_boot_ms, g->sid_hash);
	/* In front: output goes to the driver first. */
	if (g->role == ROLE_DRIVER) {
		seat_driver(c, g);
		TAILQ_INSERT_HEAD(&h->clients, c, next);
	} else {
		seat_viewer(c, g);
		TAILQ_INSERT_TAIL(&h->clients, c, next);
	}
	identity_arm(h);
	client_flush(c);
	term_update(h);
	return 0;
}

struct client *
clients_find(struct holder *h, uint64_t attachment)
{
	struct client *c;

	TAILQ_FOREACH(c, &h->clients, next)
		if (c->number == attachment && !c->is_parting && !c->is_over)
			return c;
	return NULL;
}

int
clients_start(struct holder *h)
{
	TAILQ_INIT(&h->clients);
	window_init(&h->window, h->plan.ring_bytes);
	h->sweep = evtimer_new(h->base, on_sweep, h);
	return h->sweep ? 0 : -1;
}
