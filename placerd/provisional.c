/* SPDX-License-Identifier: MIT */
/*
 * A session made on the word of another node is provisional: that node may have given up waiting, and
 * have asked a third one. Only the one whose answer arrived is confirmed; the others end.
 *
 * A placerd that starts anew takes what it finds for confirmed: the window is the PROVISIONAL_MS after a
 * lost answer.
 */
#include <event2/event.h>

#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "placerd/placerd.h"

static const struct timeval every = { .tv_sec = 1 };

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct placerd *d = arg;
	uint64_t now = mono_ms();
	bool more = false;

	(void)fd;
	(void)what;
	for (struct session *s = NULL; (s = registry_next(d->registry, s));) {
		if (s->confirm_by_mono_ms == 0 || session_has_ended(s->status))
			continue;
		if (s->confirm_by_mono_ms > now) {
			more = true;
			continue;
		}
		s->confirm_by_mono_ms = 0;
		s->idem_key[0] = '\0'; /* whoever repeats it gets another */
		log_info("event=session_unconfirmed sid=%s", log_id(&s->id));
		peers_abandon(d, s);
	}
	if (more)
		event_add(d->provisional, &every);
}

int
provisional_start(struct placerd *d)
{
	d->provisional = evtimer_new(proc_base(), on_timer, d);
	return d->provisional ? 0 : -1;
}

void
provisional_add(struct placerd *d, struct session *s)
{
	s->confirm_by_mono_ms = mono_ms() + PROVISIONAL_MS;
	if (!event_pending(d->provisional, EV_TIMEOUT, NULL))
		event_add(d->provisional, &every);
}

void
provisional_confirm(struct session *s)
{
	s->confirm_by_mono_ms = 0;
}

void
provisional_repeat(struct placerd *d, struct session *s, struct view forwarded_by)
{
	if (s->confirm_by_mono_ms == 0)
		return;
	if (forwarded_by.len > 0)
		provisional_add(d, s);
	else
		provisional_confirm(s);
}

int
provisional_on_confirm(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct pl_who_session *who = &m->u.who_session;
	struct pl_session_id confirmed = { .session_id = who->session_id };
	struct session *s;
	int rc = peers_find_living(d, &who->session_id, who->issuer, who->subject, &s);

	if (rc != 0)
		return peers_refuse_message(from, m, rc, "", "");
	provisional_confirm(s);
	peer_send(from, MSG_AUTH_CONFIRMED, m->request_id, &m->trace, &confirmed, -1);
	return 0;
}
