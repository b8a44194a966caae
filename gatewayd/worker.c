/* SPDX-License-Identifier: MIT */
/* Threads for attached terminals: see worker.h. */
#include "gatewayd/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "gatewayd/gatewayd.h"
#include "gatewayd/penalty.h"
#include "gatewayd/renewal.h"

/* Connections and renewals on their way to a thread, and its event. */
struct mailbox {
	pthread_mutex_t lock;
	struct post_list posts;
	struct renewal_list renewals;
	int fd;
	struct event *arrival;
};

struct worker {
	struct worker_view view; /* first: an attachment gives it back */
	struct workers *all;
	struct mailbox mailbox;
	pthread_t thread;
	unsigned number;
	unsigned attached; /* the main thread's count */
	atomic_bool is_stopping;
};

struct workers {
	struct gateway *g;
	const struct worker_ops *ops;
	struct mailbox mailbox; /* back to the main thread */
	unsigned count;         /* those that run */
	struct worker of[];
};

/* --- mailboxes --- */

static int
mailbox_init(struct mailbox *m, struct event_base *base, event_callback_fn on_arrival, void *arg)
{
	pthread_mutex_init(&m->lock, NULL);
	STAILQ_INIT(&m->posts);
	STAILQ_INIT(&m->renewals);
	m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->fd < 0)
		return -1;
	m->arrival = event_new(base, m->fd, EV_READ | EV_PERSIST, on_arrival, arg);
	return m->arrival ? event_add(m->arrival, NULL) : -1;
}

static void
mailbox_fini(struct mailbox *m)
{
	struct renewal *r;

	while ((r = STAILQ_FIRST(&m->renewals))) {
		STAILQ_REMOVE_HEAD(&m->renewals, post);
		renewal_free(r);
	}
	if (m->arrival)
		event_free(m->arrival);
	close_fd(&m->fd);
	pthread_mutex_destroy(&m->lock);
}

static void
ring(struct mailbox *m)
{
	static const uint64_t one = 1;
	ssize_t n = write(m->fd, &one, sizeof(one));

	(void)n; /* full: it has been rung often enough */
}

static void
mailbox_put(struct mailbox *m, struct conn *c)
{
	pthread_mutex_lock(&m->lock);
	STAILQ_INSERT_TAIL(&m->posts, c, post);
	pthread_mutex_unlock(&m->lock);
	ring(m);
}

static void
mailbox_put_renewal(struct mailbox *m, struct renewal *r)
{
	pthread_mutex_lock(&m->lock);
	STAILQ_INSERT_TAIL(&m->renewals, r, post);
	pthread_mutex_unlock(&m->lock);
	ring(m);
}

static void
mailbox_take(struct mailbox *m, struct post_list *out, struct renewal_list *renewals)
{
	uint64_t rung;
	ssize_t n = read(m->fd, &rung, sizeof(rung));

	(void)n;
	STAILQ_INIT(out);
	STAILQ_INIT(renewals);
	pthread_mutex_lock(&m->lock);
	STAILQ_CONCAT(out, &m->posts);
	STAILQ_CONCAT(renewals, &m->renewals);
	pthread_mutex_unlock(&m->lock);
}

/* --- on a worker --- */

static void
on_given(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct post_list given;
	struct renewal_list answers;
	struct renewal *r;
	struct conn *c;

	(void)fd;
	(void)what;
	mailbox_take(&w->mailbox, &given, &answers);
	while ((c = STAILQ_FIRST(&given))) {
		STAILQ_REMOVE_HEAD(&given, post);
		w->all->ops->run(c->attach, &w->view);
	}
	while ((r = STAILQ_FIRST(&answers))) {
		STAILQ_REMOVE_HEAD(&answers, post);
		w->all->ops->answered(r);
	}
	if (!atomic_load(&w->is_stopping))
		return;
	w->all->ops->stop(&w->view);
	event_base_loopbreak(w->view.base);
}

static void *
work(void *arg)
{
	struct worker *w = arg;

	penalty_thread(w->all->g->penalties, 1 + w->number);
	event_base_loop(w->view.base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

void
worker_return(struct worker_view *view, struct conn *c)
{
	struct worker *w = (struct worker *)view;

	mailbox_put(&w->all->mailbox, c);
}

void
worker_ask(struct worker_view *view, struct renewal *r)
{
	struct worker *w = (struct worker *)view;

	r->worker = w->number;
	mailbox_put_renewal(&w->all->mailbox, r);
}

/* --- on the main thread --- */

static void
on_returned(evutil_socket_t fd, short what, void *arg)
{
	struct workers *w = arg;
	struct post_list returned;
	struct renewal_list wishes;
	struct renewal *r;
	struct conn *c;

	(void)fd;
	(void)what;
	mailbox_take(&w->mailbox, &returned, &wishes);
	while ((c = STAILQ_FIRST(&returned))) {
		STAILQ_REMOVE_HEAD(&returned, post);
		w->of[c->worker].attached--;
		w->ops->ended(c);
	}
	while ((r = STAILQ_FIRST(&wishes))) {
		STAILQ_REMOVE_HEAD(&wishes, post);
		w->ops->ask(w->g, r);
	}
}

void
workers_answer(struct workers *w, struct renewal *r)
{
	if (w)
		mailbox_put_renewal(&w->of[r->worker].mailbox, r);
	else
		renewal_free(r);
}

void
workers_give(struct workers *w, struct conn *c)
{
	unsigned least = 0;

	for (unsigned i = 1; i < w->count; i++) {
		if (w->of[i].attached < w->of[least].attached)
			least = i;
	}
	w->of[least].attached++;
	c->worker = least;
	mailbox_put(&w->of[least].mailbox, c);
}

void
workers_count(const struct workers *w, uint64_t *in_bytes, uint64_t *out_bytes)
{
	*in_bytes = *out_bytes = 0;
	for (unsigned i = 0; w && i < w->count; i++) {
		*in_bytes += atomic_load_explicit(&w->of[i].view.in_bytes, memory_order_relaxed);
		*out_bytes += atomic_load_explicit(&w->of[i].view.out_bytes, memory_order_relaxed);
	}
}

/* --- start and end --- */

static void
worker_fini(struct worker *w)
{
	mailbox_fini(&w->mailbox);
	if (w->view.base)
		event_base_free(w->view.base);
	free(w->view.turn);
}

/* Signals are the main thread's: a thread begins with the mask of the one that makes it. */
static int
start_thread(struct worker *w)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&w->thread, NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = rc;
	return rc == 0 ? 0 : -1;
}

static int
worker_start(struct workers *all, struct worker *w)
{
	w->all = all;
	w->number = all->count;
	w->mailbox.fd = -1;
	TAILQ_INIT(&w->view.attached);
	w->view.base = event_base_new();
	w->view.turn = all->ops->turn_new(all->g);
	if (w->view.base && w->view.turn &&
	    mailbox_init(&w->mailbox, w->view.base, on_given, w) == 0 && start_thread(w) == 0)
		return 0;
	worker_fini(w);
	return -1;
}

struct workers *
workers_start(struct gateway *g, unsigned count, const struct worker_ops *ops)
{
	struct workers *w = calloc(1, sizeof(*w) + count * sizeof(w->of[0]));

	if (!w)
		return NULL;
	w->g = g;
	w->ops = ops;
	w->mailbox.fd = -1;
	if (mailbox_init(&w->mailbox, g->base, on_returned, w) == 0) {
		while (w->count < count && worker_start(w, &w->of[w->count]) == 0)
			w->count++;
	}
	if (w->count == count)
		return w;
	workers_stop(w);
	return NULL;
}

void
workers_stop(struct workers *w)
{
	if (!w)
		return;
	for (unsigned i = 0; i < w->count; i++) {
		atomic_store(&w->of[i].is_stopping, true);
		ring(&w->of[i].mailbox);
	}
	for (unsigned i = 0; i < w->count; i++) {
		pthread_join(w->of[i].thread, NULL);
		worker_fini(&w->of[i]);
	}
	mailbox_fini(&w->mailbox);
	free(w);
}
