/* SPDX-License-Identifier: MIT */
/* ptyd, the broker: the strictly filtered half of what makes sessions. See broker.h. */
#include "ptyd/broker.h"

#include "common/proc.h"

#define REQUESTS_MAX 4096

/*
 * A spawner that is stuck is replaced: else it might make the session after all, when nobody
 * knows of it any more and its slot is another's.
 */
static void
on_request_lost(void *ctx, struct request *r, int error)
{
	struct pending *p = r->data;
	struct peer *spawner = proc_peer(EDGE_PTY_SPAWN);

	(void)ctx;
	if (p->phase == PH_EXTEND)
		pending_outlive(p, error);
	else if (p->phase != PH_CREATE)
		pending_refuse(p, error, "");
	else if (spawner && p->session->stage == SESSION_MAKING)
		peer_lied(spawner, "it did not answer in time");
	else /* its holder may be there already, and has to end before its ids are another's */
		session_give_up(p->session, error, "adopt: the holder did not answer in time");
}

static int
broker_start(void *ctx)
{
	(void)ctx;
	broker.requests = requests_new(proc_base(), REQUESTS_MAX, on_request_lost, NULL);
	return broker.requests ? adopt_all() : -1;
}

/* Holders that nobody guards and that could not be killed while there was no spawner. */
static void
kill_leftovers(void)
{
	struct session *s;

	TAILQ_FOREACH(s, &broker.sessions, next) {
		if (session_is_ended(s) && !s->holder)
			session_kill(s);
	}
}

static void
broker_edge_up(void *ctx, struct peer *p)
{
	(void)ctx;
	if (peer_edge(p) == EDGE_PLACE_PTY) {
		broker.list_is_due = true;
		broker_try_list();
	} else if (peer_edge(p) == EDGE_PTY_SPAWN) {
		kill_leftovers();
	}
}

static struct pending *
first_in(const struct pendings *list, unsigned phases)
{
	struct pending *p;

	SLIST_FOREACH(p, list, next)
	{
		if (p->phase & phases)
			break;
	}
	return p;
}

static void
drop_in(const struct pendings *list)
{
	struct pending *p;

	/* What is being made goes on, and so does an extension: the next placerd finds it in a list. */
	while ((p = first_in(list, ~(unsigned)(PH_CREATE | PH_EXTEND))))
		pending_done(p);
}

/* Nobody will answer these any more. Each from the front: a refusal may bring placerd's end down. */
static void
refuse_shows_in(const struct pendings *list)
{
	struct pending *p;

	while ((p = first_in(list, PH_SHOW)))
		pending_refuse(p, -FOG_E_UNAVAILABLE, "");
}

static void
in_all_lists(void (*what)(const struct pendings *list))
{
	struct session *s;

	what(&broker.of_all);
	TAILQ_FOREACH(s, &broker.sessions, next)
		what(&s->pendings);
}

/* The spawner has died over these. Some may come to life all the same: then to be ended. */
static void
give_up_making(void)
{
	struct session *s;

	TAILQ_FOREACH(s, &broker.sessions, next) {
		if (s->stage == SESSION_MAKING && !s->is_found)
			session_give_up(s, -FOG_E_UNAVAILABLE, "the spawner has gone");
	}
	broker_try_list();
}

static void
broker_edge_down(void *ctx, enum edge edge)
{
	(void)ctx;
	if (edge == EDGE_PLACE_PTY)
		in_all_lists(drop_in);
	if (edge != EDGE_PTY_SPAWN)
		return;
	in_all_lists(refuse_shows_in);
	give_up_making();
}

/* The holders end by themselves; a later broker reads here that they were told to. */
static void
broker_stop(void *ctx, bool end_sessions)
{
	struct session *s;

	(void)ctx;
	if (!end_sessions)
		return;
	TAILQ_FOREACH(s, &broker.sessions, next) {
		if (session_is_ended(s) || s->stage == SESSION_FOREIGN || s->is_half_made)
			continue;
		session_ask_end(s, END_SHUTDOWN);
		session_end_lost(s);
	}
}

int
main(void)
{
	static const struct role role = { .id = PROC_PTYD,
		.handlers = broker_handlers,
		.phase_of = broker_phase_of,
		.start = broker_start,
		.edge_up = broker_edge_up,
		.edge_down = broker_edge_down,
		.stop = broker_stop };

	return proc_main(&role);
}
