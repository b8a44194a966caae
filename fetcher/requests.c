/* SPDX-License-Identifier: MIT */
/* What authd asks for, and what it is answered: the body in parts, then how it went. */
#include "fetcher/fetcher.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "fetcher/address.h"

#define PART_MAX_BYTES 12288 /* of messages.def */

/* authd asks a few times a minute: more is a fault there, which no provider shall feel. */
#define RATE_BURST 20.0
#define RATE_PER_MS 0.004

/* --- answers --- */

static void
send_body(const struct fetch *f)
{
	for (size_t at = 0; at < f->len; at += PART_MAX_BYTES) {
		size_t len = f->len - at < PART_MAX_BYTES ? f->len - at : PART_MAX_BYTES;
		struct pl_fetched_part part = { .part = view_bytes(f->body + at, len) };

		proc_send(EDGE_AUTH_FETCH, MSG_AUTH_FETCHED_PART, f->id, &f->trace, &part, -1);
	}
}

static void
send_result(const struct fetch *f, enum fetch_error error, unsigned status)
{
	struct pl_fetched end = { .error = (uint8_t)error, .status = (uint16_t)status };

	if (error == FETCH_OK) {
		end.total_bytes = (uint32_t)f->len;
		send_body(f);
	}
	proc_send(EDGE_AUTH_FETCH, MSG_AUTH_FETCHED, f->id, &f->trace, &end, -1);
}

/* The host and no more of the URL: what follows may be somebody's. */
static void
log_result(const struct fetch *f, enum fetch_error error, unsigned status)
{
	const char *host = *f->target.url.host ? f->target.url.host : "-";
	unsigned long long took = mono_ms() - f->started_mono_ms;

	if (error == FETCH_OK)
		log_info("event=fetched host=%s status=%u bytes=%zu dur_ms=%llu", host, status,
		    f->len, took);
	else
		log_warnx("event=fetch_failed host=%s error=%s dur_ms=%llu", host,
		    session_fetch_error_name(error), took);
}

/* --- one fetch --- */

static void
release(struct fetch *f)
{
	names_cancel(f);
	transfer_cancel(f);
	if (f->deadline)
		event_free(f->deadline);
	free(f->body);
	*f = (struct fetch){ .owner = f->owner };
}

void
fetch_end(struct fetch *f, enum fetch_error error)
{
	unsigned status = error == FETCH_OK ? transfer_status(f) : 0;

	if (error == FETCH_OK && (status < 100 || status > 599)) {
		error = FETCH_E_PROTOCOL;
		status = 0;
	}
	log_result(f, error, status);
	send_result(f, error, status);
	release(f);
}

void
fetch_end_all(struct fetcher *d)
{
	for (size_t i = 0; i < FETCHES_MAX; i++)
		release(&d->fetches[i]);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	fetch_end(arg, FETCH_E_TIME);
}

static int
prepare(struct fetch *f, const struct pl_fetch *wanted)
{
	struct timeval timeout = { .tv_sec = wanted->timeout_ms / 1000,
		.tv_usec = wanted->timeout_ms % 1000 * 1000 };

	f->max_bytes = wanted->max_bytes;
	f->body = malloc(f->max_bytes);
	f->deadline = evtimer_new(f->owner->base, on_deadline, f);
	return f->body && f->deadline ? event_add(f->deadline, &timeout) : -1;
}

static void
begin(struct fetch *f, const struct pl_fetch *wanted)
{
	const struct sockaddr *sa = (const void *)&f->target.address;

	if (!*f->owner->issuer.text ||
	    target_parse(wanted->url, &f->owner->issuer, &f->target) != 0)
		fetch_end(f, FETCH_E_URL);
	else if (prepare(f, wanted) != 0)
		fetch_end(f, FETCH_E_BUSY);
	else if (f->target.kind == HOST_NAME)
		names_resolve(f);
	else if (!address_is_allowed(sa, f->target.may_be_private))
		fetch_end(f, FETCH_E_ADDRESS);
	else if (transfer_start(f, NULL) != 0)
		fetch_end(f, FETCH_E_CONNECT);
}

/* --- requests --- */

static struct fetch *
find(struct fetcher *d, uint64_t id)
{
	for (size_t i = 0; i < FETCHES_MAX; i++) {
		if (d->fetches[i].id == id)
			return &d->fetches[i];
	}
	return NULL;
}

static bool
take_token(struct fetcher *d)
{
	uint64_t now = mono_ms();

	d->tokens += (double)(now - d->tokens_mono_ms) * RATE_PER_MS;
	d->tokens_mono_ms = now;
	if (d->tokens > RATE_BURST)
		d->tokens = RATE_BURST;
	if (d->tokens < 1)
		return false;
	d->tokens -= 1;
	return true;
}

static int
on_get(void *ctx, struct peer *from, struct msg *m)
{
	struct fetcher *d = ctx;
	struct fetch *f = find(d, 0), none = { .owner = d };

	(void)from;
	if (!f || !take_token(d)) {
		none.id = m->request_id;
		none.trace = m->trace;
		none.started_mono_ms = mono_ms();
		fetch_end(&none, FETCH_E_BUSY);
		return 0;
	}
	f->id = m->request_id;
	f->trace = m->trace;
	f->started_mono_ms = mono_ms();
	begin(f, &m->u.fetch);
	return 0;
}

const msg_handler fetcher_handlers[MSG_COUNT] = { [MSG_FETCH_GET] = on_get };

unsigned
requests_phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	(void)from;
	if (m->request_id == 0)
		return PH_NOTE;
	return find(ctx, m->request_id) ? PH_FETCH : PH_NEW;
}
