/* SPDX-License-Identifier: MIT */
/* Confirms sessions that other nodes have made: see confirm.h. */
#include "authd/confirm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "authd/nodefetch.h"
#include "common/log.h"
#include "common/proc.h"

#define TRY_MS 2000
#define PAUSE_MS 300 /* before the second try, and twice that before the third */
#define ANSWER_MAX_BYTES 4096

struct confirm {
	TAILQ_ENTRY(confirm) next;
	struct authd *a;
	uint64_t id, deadline_mono_ms;
	struct id128 session_id;
	unsigned tries;
	struct nodefetch *fetch; /* NULL: between two tries */
	struct event *again;
	char *url, *node, *self, *authorization;
};

static void
wipe(struct confirm *c)
{
	if (c->again)
		event_free(c->again);
	if (c->authorization)
		explicit_bzero(c->authorization, strlen(c->authorization));
	free(c->authorization);
	free(c->url);
	free(c->node);
	free(c->self);
	free(c);
}

static void
take_out(struct confirm *c)
{
	TAILQ_REMOVE(&c->a->confirms, c, next);
	c->a->confirm_count--;
}

static void
over(struct confirm *c, const char *trouble, unsigned status)
{
	if (trouble)
		log_warnx("event=forward_unconfirmed sid=%s req=%llx node=%s tries=%u status=%u "
			  "reason=%s",
		    log_id(&c->session_id), (unsigned long long)c->id, c->node, c->tries, status,
		    trouble);
	else
		log_info("event=forward_confirmed sid=%s req=%llx node=%s tries=%u",
		    log_id(&c->session_id), (unsigned long long)c->id, c->node, c->tries);
	take_out(c);
	wipe(c);
}

static uint64_t
left_ms(const struct confirm *c)
{
	uint64_t now = mono_ms();

	return c->deadline_mono_ms > now ? c->deadline_mono_ms - now : 0;
}

static void
try_later(struct confirm *c, const char *trouble, unsigned status)
{
	uint64_t pause = (uint64_t)PAUSE_MS * c->tries;
	struct timeval tv = { .tv_sec = (time_t)(pause / 1000),
		.tv_usec = (suseconds_t)(pause % 1000 * 1000) };

	if (c->tries >= CONFIRM_TRIES || left_ms(c) <= pause)
		over(c, trouble, status);
	else
		event_add(c->again, &tv);
}

/* A node that refuses will do so again; one that is in trouble may get over it. */
static void
on_answer(void *ctx, const struct nodefetch_end *end)
{
	struct confirm *c = ctx;

	c->fetch = NULL;
	if (end->error)
		try_later(c, end->error, 0);
	else if (end->status >= 200 && end->status < 300)
		over(c, NULL, end->status);
	else if (end->status >= 500 || end->status == 429)
		try_later(c, "refused_for_now", end->status);
	else
		over(c, "refused", end->status);
}

static void
try_once(struct confirm *c)
{
	char url[512], id[ID_TEXT_SIZE];
	uint64_t left = left_ms(c);
	struct pl_fetch what = { .to = FETCH_TO_NODE,
		.method = METHOD_POST,
		.authorization = view_of(c->authorization),
		.forwarded_by = view_of(c->self),
		.max_bytes = ANSWER_MAX_BYTES,
		.timeout_ms = (uint32_t)(left < TRY_MS ? left : TRY_MS) };

	c->tries++;
	id_format(&c->session_id, id);
	snprintf(url, sizeof(url), "%s/v1/sessions/%s/confirm", c->url, id);
	what.url = view_of(url);
	if (what.timeout_ms >= 50) /* the least that messages.def has */
		c->fetch = nodefetch_send(c->a->nodes, NODEFETCH_CONFIRM, 0, &what, on_answer, c);
	if (!c->fetch)
		try_later(c, "busy", 0);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	try_once(arg);
}

static struct confirm *
confirm_new(struct authd *a, const struct confirmed *what)
{
	struct confirm *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->a = a;
	c->id = what->id;
	c->session_id = what->session_id;
	c->deadline_mono_ms = mono_ms() + CONFIRM_WITHIN_MS;
	c->url = strdup(what->url);
	c->node = strdup(what->node);
	c->self = strdup(what->self);
	c->authorization = strdup(what->authorization);
	c->again = evtimer_new(proc_base(), on_again, c);
	if (c->url && c->node && c->self && c->authorization && c->again)
		return c;
	wipe(c);
	return NULL;
}

void
confirm_start(struct authd *a, const struct confirmed *what)
{
	struct confirm *c = a->confirm_count < CONFIRMS_MAX ? confirm_new(a, what) : NULL;

	if (!c) {
		log_warnx("event=forward_unconfirmed sid=%s req=%llx node=%s reason=busy",
		    log_id(&what->session_id), (unsigned long long)what->id, what->node);
		return;
	}
	TAILQ_INSERT_TAIL(&a->confirms, c, next);
	a->confirm_count++;
	try_once(c);
}

void
confirms_free(struct authd *a)
{
	struct confirm *c;

	while ((c = TAILQ_FIRST(&a->confirms))) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) as in waiting_first */
		if (c->fetch)
			nodefetch_cancel(c->fetch);
		take_out(c);
		wipe(c);
	}
}
