/* SPDX-License-Identifier: MIT */
/*
 * When the clock ends a session: after its whole life, counted from its start, or when it has been
 * idle. Both are told before. All on the monotonic clock (R10); times of day are for display. And,
 * told to nobody, when it was made for another node and nobody has confirmed it. See holder.h.
 */
#include "ptyd/holder.h"

#include <stdio.h>

#include "common/log.h"
#include "common/mono.h"

#define NOTICE_MAX_MS 60000

void
time_arm(struct event *timer, uint64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	event_add(timer, &tv);
}

/* --- the whole life --- */

static uint64_t
life_ms(const struct holder *h)
{
	return (uint64_t)h->plan.ttl_seconds * 1000;
}

/* Until this age; 0 when it is over. */
static uint64_t
until_age_ms(const struct holder *h, uint64_t age_ms)
{
	uint64_t now_ms = mono_ms() - h->born_mono_ms;

	return age_ms > now_ms ? age_ms - now_ms : 0;
}

static void
arm_life(struct holder *h)
{
	uint64_t life = life_ms(h);
	uint64_t notice = life / 10 < NOTICE_MAX_MS ? life / 10 : NOTICE_MAX_MS;

	time_arm(h->expiring, until_age_ms(h, life - notice));
	time_arm(h->expired, until_age_ms(h, life));
}

static void
warn(struct holder *h, enum stream_state state, uint64_t at_s, const char *what, uint64_t left_ms)
{
	char detail[96];

	snprintf(detail, sizeof(detail), "%s in %llu s", what,
	    (unsigned long long)(left_ms < 1000 ? 1 : (left_ms + 500) / 1000));
	clients_send_status(h, state, at_s, detail);
}

static void
on_expiring(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;

	(void)fd;
	(void)what;
	warn(h, STREAM_STATE_EXPIRING, h->plan.expires_s, "The session ends",
	    until_age_ms(h, life_ms(h)));
}

static void
on_expired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	holder_end(arg, STATUS_EXPIRED, END_TTL);
}

/* Not shorter: nobody's end comes sooner than they were told. */
int
time_extend(struct holder *h, uint32_t ttl_seconds)
{
	if (h->phase != HOLDER_LIVING)
		return -FOG_E_SESSION_ENDED;
	if (ttl_seconds < h->plan.ttl_seconds)
		return -FOG_E_TTL;
	h->plan.ttl_seconds = ttl_seconds;
	h->plan.expires_s = h->plan.created_s + ttl_seconds;
	log_info("event=session_extended ttl_seconds=%u", ttl_seconds);
	arm_life(h);
	time_touch(h);
	clients_send_status(h, STREAM_STATE_EXTENDED, h->plan.expires_s,
	    "The session lives longer");
	return 0;
}

/* --- idle time --- */

static void
on_idle_look(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;
	uint64_t wait_ms = 0;

	(void)fd;
	(void)what;
	switch (idle_look(&h->idle, mono_ms(), h->input.next, term_has_job(h), &wait_ms)) {
	case IDLE_END:
		holder_end(h, STATUS_EXPIRED, END_IDLE);
		return;
	case IDLE_WARN:
		warn(h, STREAM_STATE_IDLE, (uint64_t)wall_s() + (wait_ms + 500) / 1000,
		    "Nothing is typed and nothing runs: the session ends", wait_ms);
		break;
	case IDLE_GO_ON:
		break;
	}
	time_arm(h->idle_look, wait_ms);
}

void
time_touch(struct holder *h)
{
	idle_reset(&h->idle, mono_ms());
}

/* --- a confirmation --- */

static uint64_t
confirm_left_ms(const struct holder *h)
{
	uint64_t now = boot_ms();

	return h->plan.confirm_by_boot_ms > now ? h->plan.confirm_by_boot_ms - now : 0;
}

static void
arm_unconfirmed(struct holder *h)
{
	if (h->plan.confirm_by_boot_ms == 0)
		event_del(h->unconfirmed);
	else
		time_arm(h->unconfirmed, confirm_left_ms(h));
}

/* After a suspend this comes late by that, which harms nobody: nothing else ends with it. */
static void
on_unconfirmed(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;

	(void)fd;
	(void)what;
	if (confirm_left_ms(h) > 0) {
		arm_unconfirmed(h);
		return;
	}
	log_info("event=session_unconfirmed");
	holder_end(h, STATUS_TERMINATED, END_ABANDONED);
}

/* A late one counts while the session lives: who confirms has taken this session and no other. */
int
time_confirm(struct holder *h, uint64_t confirm_by_boot_ms)
{
	if (h->phase != HOLDER_LIVING)
		return -FOG_E_SESSION_ENDED;
	if (h->plan.confirm_by_boot_ms == 0)
		return 0;
	h->plan.confirm_by_boot_ms = confirm_by_boot_ms;
	arm_unconfirmed(h);
	return 0;
}

/* --- all of them --- */

int
time_start(struct holder *h)
{
	h->born_mono_ms = mono_ms();
	idle_init(&h->idle, h->plan.idle_timeout_s, h->born_mono_ms);
	h->expiring = evtimer_new(h->base, on_expiring, h);
	h->expired = evtimer_new(h->base, on_expired, h);
	h->idle_look = evtimer_new(h->base, on_idle_look, h);
	h->unconfirmed = evtimer_new(h->base, on_unconfirmed, h);
	if (!h->expiring || !h->expired || !h->idle_look || !h->unconfirmed)
		return -1;
	arm_life(h);
	arm_unconfirmed(h);
	if (h->idle.timeout_ms > 0)
		time_arm(h->idle_look, h->idle.step_ms);
	return 0;
}

void
time_stop(struct holder *h)
{
	event_del(h->expiring);
	event_del(h->expired);
	event_del(h->idle_look);
	event_del(h->unconfirmed);
}
