/* SPDX-License-Identifier: MIT */
/* Requests that wait for a key: see waiting.h. */
#include "authd/waiting.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

struct held {
	struct waiter w; /* first: callers hold a pointer to it */
	TAILQ_ENTRY(held) next;
	size_t len;
	unsigned char record[];
};

struct waiting {
	TAILQ_HEAD(, held) list;
	size_t count, bytes;
	size_t going; /* so many from the head go on */
	struct event *turn;
	waiting_go go;
	void *ctx;
};

static void
wipe(struct held *h)
{
	explicit_bzero(h->record, h->len);
	free(h);
}

static void
take_out(struct waiting *ws, struct held *h)
{
	TAILQ_REMOVE(&ws->list, h, next);
	ws->count--;
	ws->bytes -= h->len;
}

/* Off the list before it goes: it may come to wait again, and all others may be removed by that. */
static void
go_on(struct waiting *ws, struct held *h)
{
	struct reader r;
	struct msg m;

	take_out(ws, h);
	reader_init(&r, h->record, h->len);
	if (msg_get_header(&r, &m) == 0 && msg_get_payload(&r, &m) == 0) {
		m.fd = -1;
		ws->go(ws->ctx, &h->w, &m);
	}
	wipe(h);
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *ws = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < WAITING_A_TURN && ws->going > 0 && ws->count > 0; i++) {
		ws->going--;
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) as in waiting_first */
		go_on(ws, TAILQ_FIRST(&ws->list));
	}
	if (ws->going > 0 && ws->count > 0)
		event_active(ws->turn, EV_TIMEOUT, 0);
	else
		ws->going = 0;
}

void
waiting_wake(struct waiting *ws)
{
	ws->going = ws->count;
	if (ws->going > 0)
		event_active(ws->turn, EV_TIMEOUT, 0);
}

struct waiting *
waiting_new(struct event_base *base, waiting_go go, void *ctx)
{
	struct waiting *ws = calloc(1, sizeof(*ws));

	if (!ws)
		return NULL;
	TAILQ_INIT(&ws->list);
	ws->go = go;
	ws->ctx = ctx;
	ws->turn = evtimer_new(base, on_turn, ws);
	if (!ws->turn) {
		free(ws);
		return NULL;
	}
	return ws;
}

void
waiting_free(struct waiting *ws)
{
	if (!ws)
		return;
	while (ws->count > 0)
		waiting_remove(ws, waiting_first(ws));
	event_free(ws->turn);
	free(ws);
}

static struct held *
hold(const struct msg *m, const struct writer *w)
{
	struct held *h = malloc(sizeof(*h) + w->len);

	if (!h)
		return NULL;
	h->w.id = m->request_id;
	h->len = w->len;
	memcpy(h->record, w->p, w->len);
	return h;
}

struct waiter *
waiting_add(struct waiting *ws, const struct msg *m, uint64_t gate_epoch, uint64_t deadline_mono_ms)
{
	static unsigned char bytes[MSG_MAX_BYTES];
	struct held *h = NULL;
	struct writer w;

	if (ws->count >= WAITING_MAX)
		return NULL;
	writer_init(&w, bytes, sizeof(bytes));
	if (msg_put(&w, m->type, m->request_id, &m->trace, &m->u) == 0 &&
	    ws->bytes + w.len <= WAITING_MAX_BYTES)
		h = hold(m, &w);
	explicit_bzero(bytes, w.len);
	if (!h)
		return NULL;
	h->w.gate_epoch = gate_epoch;
	h->w.deadline_mono_ms = deadline_mono_ms;
	TAILQ_INSERT_TAIL(&ws->list, h, next);
	ws->count++;
	ws->bytes += h->len;
	return &h->w;
}

void
waiting_remove(struct waiting *ws, struct waiter *w)
{
	struct held *h = (struct held *)w;

	take_out(ws, h);
	wipe(h);
}

struct waiter *
waiting_first(struct waiting *ws)
{
	struct held *h = TAILQ_FIRST(&ws->list);

	/* The analyzer does not see that TAILQ_REMOVE moved the head on. */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	return h ? &h->w : NULL;
}

size_t
waiting_count(const struct waiting *ws)
{
	return ws->count;
}
