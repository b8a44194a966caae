/* SPDX-License-Identifier: MIT */
/*
 * How long each client may stay attached: until its identity ends, or is revoked, whatever gatewayd
 * does (S10, S21). One timer, on the boot clock: it fires after a suspend, and no step of the wall
 * clock moves it (R10). See holder.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "ptyd/holder_client.h"

#define NOTICE_MAX_MS 60000

/* --- the ends --- */

uint64_t
identity_wall_s(uint64_t until_boot_ms)
{
	uint64_t now_ms = boot_ms();
	uint64_t left_ms = until_boot_ms > now_ms ? until_boot_ms - now_ms : 0;

	return until_boot_ms ? (uint64_t)wall_s() + (left_ms + 500) / 1000 : 0;
}

int
identity_check(uint64_t until_boot_ms)
{
	return until_boot_ms == 0 || until_boot_ms > boot_ms() ? 0 : -FOG_E_BAD_ATTACH_TOKEN;
}

void
identity_set(struct client *c, uint64_t until_boot_ms, uint64_t sid_hash)
{
	uint64_t now_ms = boot_ms();
	uint64_t left_ms = until_boot_ms > now_ms ? until_boot_ms - now_ms : 0;
	uint64_t notice_ms = left_ms / 10 < NOTICE_MAX_MS ? left_ms / 10 : NOTICE_MAX_MS;

	c->sid_hash = sid_hash;
	c->until_boot_ms = until_boot_ms;
	c->warn_boot_ms = until_boot_ms ? until_boot_ms - notice_ms : 0;
}

/* 0: there is nothing to wait for. */
static uint64_t
next_of(const struct client *c)
{
	if (c->is_parting || c->is_over)
		return 0;
	return c->warn_boot_ms ? c->warn_boot_ms : c->until_boot_ms;
}

void
identity_arm(struct holder *h)
{
	struct itimerspec at = { 0 }; /* disarms */
	const struct client *c;
	uint64_t nearest = 0;

	TAILQ_FOREACH(c, &h->clients, next) {
		uint64_t next = next_of(c);

		if (next && (!nearest || next < nearest))
			nearest = next;
	}
	at.it_value.tv_sec = (time_t)(nearest / 1000);
	at.it_value.tv_nsec = (long)(nearest % 1000 * 1000000);
	if (timerfd_settime(h->identity_fd, TFD_TIMER_ABSTIME, &at, NULL) != 0)
		log_warn("event=identity_timer_failed");
}

static void
warn(struct client *c, uint64_t now_ms)
{
	uint64_t left_s = (c->until_boot_ms - now_ms + 500) / 1000;
	char detail[64];

	snprintf(detail, sizeof(detail), "Your sign-in ends in %" PRIu64 " s", left_s ? left_s : 1);
	c->warn_boot_ms = 0;
	client_queue_status(c, STREAM_STATE_IDENTITY_EXPIRING, identity_wall_s(c->until_boot_ms),
	    detail);
	client_flush(c);
}

static void
look_at(struct client *c, uint64_t now_ms)
{
	if (next_of(c) == 0 || next_of(c) > now_ms)
		return;
	if (c->until_boot_ms > now_ms) {
		warn(c, now_ms);
		return;
	}
	log_info("event=identity_expired attachment=%" PRIu64 " role=%s", c->number,
	    session_role_name(c->role));
	clients_part(c, STREAM_STATE_IDENTITY_EXPIRED, "Your sign-in has ended");
}

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;
	uint64_t times, now_ms = boot_ms();
	struct client *c;

	(void)what;
	if (read(fd, &times, sizeof(times)) < 0)
		return; /* it was set anew since it fired */
	TAILQ_FOREACH(c, &h->clients, next)
		look_at(c, now_ms);
	identity_arm(h);
	term_update(h);
}

/* --- what changes them --- */

static int
check_regrant(struct holder *h, const struct pl_regrant *g, struct client **out)
{
	struct client *c = clients_find(h, g->attachment);

	if (h->phase != HOLDER_LIVING)
		return -FOG_E_SESSION_ENDED;
	if (!c)
		return -FOG_E_NO_ATTACHMENT;
	if (c->role != g->role)
		return -FOG_E_ROLE;
	*out = c;
	return identity_check(g->until_boot_ms);
}

int
identity_renew(struct holder *h, const struct pl_regrant *g)
{
	struct client *c = NULL;
	int rc = check_regrant(h, g, &c);

	if (rc == 0)
		rc = tokens_consume(&h->tokens, &g->token_id, g->token_expires_boot_ms, boot_ms());
	if (rc != 0)
		return rc;
	identity_set(c, g->until_boot_ms, g->sid_hash);
	identity_arm(h);
	client_queue_status(c, STREAM_STATE_RENEWED, identity_wall_s(c->until_boot_ms),
	    "You stay attached");
	client_flush(c);
	return 0;
}

void
identity_revoke(struct holder *h, uint64_t sid_hash)
{
	struct client *c;

	TAILQ_FOREACH(c, &h->clients, next) {
		if (sid_hash == 0 || c->sid_hash == 0 || c->sid_hash == sid_hash)
			clients_part(c, STREAM_STATE_REVOKED, "You have been signed out");
	}
	log_info("event=identity_revoked everybody=%d", sid_hash == 0);
	identity_arm(h);
	term_update(h);
}

/* --- start --- */

int
identity_start(struct holder *h)
{
	h->identity_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (h->identity_fd < 0)
		return -1;
	h->identity_look = event_new(h->base, h->identity_fd, EV_READ | EV_PERSIST, on_look, h);
	return h->identity_look ? event_add(h->identity_look, NULL) : -1;
}
