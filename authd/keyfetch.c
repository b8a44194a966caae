/* SPDX-License-Identifier: MIT */
/* The provider's keys, kept fresh through the fetcher: see keyfetch.h. */
#include "authd/keyfetch.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"

#define HTTP_OK 200
/* The timer's clock stands still while the machine sleeps, that of the keys does not. */
#define LOOK_AGAIN_MS UINT64_C(60000)

struct keyfetch {
	struct keys *keys;
	struct event *timer; /* the next round, the end of the keys, or the fetcher's silence */
	uint32_t timeout_ms;
	keyfetch_ended ended;
	void *ctx;
	uint64_t id;        /* of the fetch under way; 0: none */
	uint64_t id_last;   /* an id is never used twice */
	uint64_t silent_ms; /* boot clock: the fetcher has to have answered */
	char *body;         /* of keys_max_bytes, while a fetch is under way */
	size_t len;
	enum sign_in said; /* what the log was told last, and why */
	const char *said_trouble;
};

/* --- the log: what is new, and no line for each try --- */

static void
say(struct keyfetch *f)
{
	enum sign_in now = keys_sign_in(f->keys, boot_ms());
	const char *trouble = keys_trouble(f->keys);
	const struct jwk_report *report = keys_report(f->keys);

	if (now == f->said && trouble == f->said_trouble)
		return;
	if (f->said == SIGN_IN_NONE && now == SIGN_IN_WAITING && !*trouble)
		return; /* the first round is not over */
	f->said = now;
	f->said_trouble = trouble;
	if (now == SIGN_IN_READY)
		log_info("event=sign_in state=ready keys=%zu left_out=%zu reason=%s", report->used,
		    report->skipped,
		    report->skipped ? jwk_error_code(report->first_skipped) : "\"\"");
	else
		log_warnx("event=sign_in state=%s reason=%s", session_sign_in_name(now),
		    *trouble ? trouble : "keys_too_old");
}

/* --- one fetch after the other --- */

static void fail(struct keyfetch *f, const char *why);

static uint64_t
next_ms(const struct keyfetch *f, uint64_t now_ms)
{
	uint64_t due = proc_peer(EDGE_AUTH_FETCH) ? keys_due_ms(f->keys) : KEYS_NEVER;
	uint64_t end = keys_end_ms(f->keys);
	uint64_t next = f->id ? f->silent_ms : due;

	/* Past its end the set is told of once. */
	if (end < next && now_ms < end)
		next = end;
	return next > now_ms + LOOK_AGAIN_MS ? now_ms + LOOK_AGAIN_MS : next;
}

static void
arm(struct keyfetch *f)
{
	uint64_t now_ms = boot_ms();
	uint64_t next = next_ms(f, now_ms);
	uint64_t wait = next > now_ms ? next - now_ms : 0;
	struct timeval tv = { .tv_sec = (time_t)(wait / 1000),
		.tv_usec = (suseconds_t)(wait % 1000 * 1000) };

	event_add(f->timer, &tv);
}

static void
drop_body(struct keyfetch *f)
{
	free(f->body);
	f->body = NULL;
	f->len = 0;
	f->id = 0;
}

/* Asks for the URL that the round is at. */
static void
ask(struct keyfetch *f)
{
	struct pl_fetch get = { .url = view_of(keys_url(f->keys)),
		.to = FETCH_TO_PROVIDER,
		.method = METHOD_GET,
		.max_bytes = (uint32_t)keys_max_bytes(f->keys),
		.timeout_ms = f->timeout_ms };
	uint64_t id = ++f->id_last;

	f->body = malloc(get.max_bytes);
	if (!f->body) {
		fail(f, "out_of_memory");
		return;
	}
	f->len = 0;
	f->id = id;
	f->silent_ms = boot_ms() + f->timeout_ms + KEYFETCH_SILENCE_MS;
	/* A send that brings the edge down has ended this round by keyfetch_edge_down. */
	if (proc_send(EDGE_AUTH_FETCH, MSG_FETCH_SEND, id, NULL, &get, -1) != 0 && f->id == id)
		fail(f, "no_fetcher");
}

static void
round_ended(struct keyfetch *f)
{
	say(f);
	arm(f);
	f->ended(f->ctx);
}

static void
fail(struct keyfetch *f, const char *why)
{
	drop_body(f);
	keys_fail(f->keys, boot_ms(), why);
	round_ended(f);
}

static void
take(struct keyfetch *f)
{
	enum keys_step step = keys_take(f->keys, boot_ms(), f->body, f->len);

	drop_body(f);
	if (step == KEYS_MORE)
		ask(f);
	else
		round_ended(f);
}

static void
begin_if_due(struct keyfetch *f)
{
	if (proc_peer(EDGE_AUTH_FETCH) && boot_ms() >= keys_due_ms(f->keys)) {
		keys_begin(f->keys);
		ask(f);
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct keyfetch *f = arg;
	struct peer *fetcher = proc_peer(EDGE_AUTH_FETCH);

	(void)fd;
	(void)what;
	say(f);
	if (fetcher && f->id && boot_ms() >= f->silent_ms)
		peer_lied(fetcher, "it is silent"); /* ends the round */
	else
		begin_if_due(f);
	arm(f);
}

/* --- the fetcher's side --- */

void
keyfetch_edge_up(struct keyfetch *f)
{
	begin_if_due(f);
	arm(f);
}

void
keyfetch_edge_down(struct keyfetch *f)
{
	if (f->id)
		fail(f, "fetcher_gone");
}

/* There are no late answers, since silence ends the edge: whatever else comes is a lie. */
unsigned
keyfetch_phase(const struct keyfetch *f, uint64_t request_id)
{
	return f->id && request_id == f->id ? PH_FETCH : PH_NOTE;
}

int
keyfetch_on_part(struct keyfetch *f, const struct pl_fetched_part *part)
{
	if (part->part.len > keys_max_bytes(f->keys) - f->len)
		return -FOG_E_LIAR;
	memcpy(f->body + f->len, part->part.p, part->part.len);
	f->len += part->part.len;
	return 0;
}

int
keyfetch_on_end(struct keyfetch *f, const struct pl_fetched *end)
{
	if (end->error == FETCH_OK ? end->total_bytes != f->len : end->status != 0)
		return -FOG_E_LIAR;
	if (end->error != FETCH_OK)
		fail(f, session_fetch_error_name(end->error));
	else if (end->status != HTTP_OK)
		fail(f, "status_not_200");
	else
		take(f);
	return 0;
}

/* --- for tokens --- */

struct jwk_set *
keyfetch_usable(const struct keyfetch *f)
{
	return keys_usable(f->keys, boot_ms());
}

bool
keyfetch_want_unknown(struct keyfetch *f)
{
	bool was_fetching = keys_is_fetching(f->keys);

	if (!was_fetching && !proc_peer(EDGE_AUTH_FETCH))
		return false;
	if (!keys_want_unknown(f->keys, boot_ms()))
		return false;
	if (!was_fetching) {
		ask(f);
		arm(f);
	}
	return keys_is_fetching(f->keys); /* it may have failed at once */
}

bool
keyfetch_is_under_way(const struct keyfetch *f)
{
	return keys_is_fetching(f->keys);
}

enum sign_in
keyfetch_sign_in(const struct keyfetch *f)
{
	return keys_sign_in(f->keys, boot_ms());
}

uint32_t
keyfetch_retry_after_s(const struct keyfetch *f)
{
	return keys_retry_after_s(f->keys, boot_ms());
}

struct keyfetch *
keyfetch_new(struct event_base *base, const struct keys_config *config, uint32_t timeout_ms,
    keyfetch_ended ended, void *ctx)
{
	struct keyfetch *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->timeout_ms = timeout_ms;
	f->ended = ended;
	f->ctx = ctx;
	f->said_trouble = "";
	f->keys = keys_new(config);
	f->timer = evtimer_new(base, on_timer, f);
	if (f->keys && f->timer)
		return f;
	keyfetch_free(f);
	return NULL;
}

void
keyfetch_free(struct keyfetch *f)
{
	if (!f)
		return;
	if (f->timer)
		event_free(f->timer);
	keys_free(f->keys);
	free(f->body);
	free(f);
}
