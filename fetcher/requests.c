/* SPDX-License-Identifier: MIT */
/* What the neighbour asks for, and what it is answered: the body in parts, then how it went. */
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

/*
 * authd asks the provider a few times a minute. Nodes are asked by people's requests and by probes,
 * which come often enough to be worth a kept connection; one that is not used soon is closed.
 */
const struct lane_kind lane_kinds[FETCH_TO_NODE + 1] = {
	[FETCH_TO_PROVIDER] = { PROVIDER_FETCHES_MAX, .burst = 20, .per_ms = 0.004 },
	[FETCH_TO_NODE] = { NODE_FETCHES_MAX, .burst = 512, .per_ms = 0.256, .connections = 64 },
};

/* --- answers --- */

static void
send_body(const struct fetch *f)
{
	const struct fetcher_role *role = f->owner->role;

	for (size_t at = 0; at < f->len; at += PART_MAX_BYTES) {
		size_t len = f->len - at < PART_MAX_BYTES ? f->len - at : PART_MAX_BYTES;
		struct pl_fetched_part part = { .part = view_bytes(f->body + at, len) };

		proc_send(role->edge, role->part, f->id, &f->trace, &part, -1);
	}
}

static void
send_result(const struct fetch *f, enum fetch_error error, unsigned status)
{
	const struct fetcher_role *role = f->owner->role;
	struct pl_fetched end = { .error = (uint8_t)error, .status = (uint16_t)status };

	if (error == FETCH_OK) {
		end.total_bytes = (uint32_t)f->len;
		send_body(f);
	}
	proc_send(role->edge, role->end, f->id, &f->trace, &end, -1);
}

/*
 * The host and no more of the URL: what follows may be somebody's. Probes come each second, and
 * placerd logs what follows from them: here they are for developers.
 */
static void
log_result(const struct fetch *f, enum fetch_error error, unsigned status)
{
	const char *host = *f->target.url.host ? f->target.url.host : "-";
	unsigned long long took = mono_ms() - f->started_mono_ms;
	bool is_to_node = f->lane == &f->owner->lanes[FETCH_TO_NODE];
	void (*log_as)(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

	if (error == FETCH_OK) {
		log_as = is_to_node ? log_debug : log_info;
		log_as("event=fetched host=%s status=%u bytes=%zu dur_ms=%llu", host, status,
		    f->len, took);
	} else {
		log_as = f->owner->role->is_prober ? log_debug : log_warnx;
		log_as("event=fetch_failed host=%s error=%s dur_ms=%llu", host,
		    session_fetch_error_name(error), took);
	}
}

/* --- one fetch --- */

static void
release(struct fetch *f)
{
	names_cancel(f);
	transfer_cancel(f);
	if (f->deadline)
		event_free(f->deadline);
	if (f->body)
		explicit_bzero(f->body, f->len); /* may hold an attach token */
	free(f->body);
	if (f->id != 0 && f->lane)
		f->lane->under_way--;
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
	if (!f->body || !f->deadline || transfer_prepare(f, wanted) != 0)
		return -1;
	return event_add(f->deadline, &timeout);
}

static bool
find_target(struct fetch *f, const struct pl_fetch *wanted)
{
	const struct fetcher *d = f->owner;

	if (!f->lane->ca)
		return false;
	if (wanted->to == FETCH_TO_NODE)
		return target_parse_node(wanted->url, d->origins, &f->target) == 0;
	return target_parse(wanted->url, &d->issuer, &f->target) == 0;
}

static void
begin(struct fetch *f, const struct pl_fetch *wanted)
{
	const struct sockaddr *sa = (const void *)&f->target.address;

	if (!find_target(f, wanted))
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
take_token(struct lane *l)
{
	uint64_t now = mono_ms();

	l->tokens += (double)(now - l->tokens_mono_ms) * l->kind->per_ms;
	l->tokens_mono_ms = now;
	if (l->tokens > l->kind->burst)
		l->tokens = l->kind->burst;
	if (l->tokens < 1)
		return false;
	l->tokens -= 1;
	return true;
}

/* A provider is sent nothing but the URL: a person's token is for nodes alone (S37). */
static bool
is_well_formed(const struct pl_fetch *wanted)
{
	bool has_more = wanted->authorization.len > 0 || wanted->idem_key.len > 0 ||
	    wanted->forwarded_by.len > 0;

	if (wanted->to == FETCH_TO_PROVIDER)
		return wanted->method == METHOD_GET && !has_more && wanted->body.len == 0;
	return wanted->body.len == 0 || wanted->method == METHOD_POST ||
	    wanted->method == METHOD_PATCH;
}

/* The room of a lane is its own: a fleet that hangs keeps no key of the provider out. */
static struct fetch *
find_room(struct fetcher *d, struct lane *l)
{
	return l->under_way < l->kind->at_once && take_token(l) ? find(d, 0) : NULL;
}

static int
on_send(void *ctx, struct peer *from, struct msg *m)
{
	struct fetcher *d = ctx;
	struct lane *lane = &d->lanes[m->u.fetch.to];
	struct fetch none = { .owner = d }, *f;

	(void)from;
	if (!is_well_formed(&m->u.fetch))
		return -FOG_E_LIAR;
	f = find_room(d, lane);
	if (!f)
		f = &none;
	f->id = m->request_id;
	f->lane = lane;
	f->trace = m->trace;
	f->started_mono_ms = mono_ms();
	lane->under_way++;
	if (f == &none)
		fetch_end(f, FETCH_E_BUSY);
	else
		begin(f, &m->u.fetch);
	return 0;
}

/* Which of them comes is the edge's affair: an edge takes its own alone. */
const msg_handler
    fetcher_handlers[MSG_COUNT] = { [MSG_FETCH_SEND] = on_send, [MSG_PROBE_SEND] = on_send };

unsigned
requests_phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	(void)from;
	if (m->request_id == 0)
		return PH_NOTE;
	return find(ctx, m->request_id) ? PH_FETCH : PH_NEW;
}
