/* SPDX-License-Identifier: MIT */
/* The terminal of a holder: output into the ring, the input queue out of it. See holder.h. */
#include "ptyd/holder.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ptyd/launch.h"

#define STREAM_SIZE_MAX 1000U /* of stream.def: columns, rows */
#define GATHER_BYTES 65536    /* the most read in one wake-up */
#define LONE_BYTES 256        /* less is an echo: nothing more waits behind it */
#define FLOOD_BYTES 8192      /* more in one wake-up is a flood */

/* In a flood: what comes in so little time makes fuller frames, and fewer wake-ups of everybody. */
static const struct timespec flood_wait = { .tv_nsec = 100000 };

/* While the shell lives but has closed its terminal: look again, without spinning. */
static const struct timeval retry_after = { .tv_usec = 100000 };

static bool
wants_read(struct holder *h)
{
	return !h->term_is_over && h->phase <= HOLDER_DRAINING &&
	    !event_pending(h->term_retry, EV_TIMEOUT, NULL) && clients_read_room(h) > 0;
}

static bool
wants_write(const struct holder *h)
{
	size_t len;

	return h->phase == HOLDER_LIVING && input_view(&h->input, &len) &&
	    !event_pending(h->term_retry, EV_TIMEOUT, NULL);
}

static void
arm(struct event *e, bool wanted, short what)
{
	if (wanted && !event_pending(e, what, NULL))
		event_add(e, NULL);
	else if (!wanted)
		event_del(e);
}

void
term_update(struct holder *h)
{
	arm(h->term_readable, wants_read(h), EV_READ);
	arm(h->term_writable, wants_write(h), EV_WRITE);
}

/* No process has the terminal open: the end while draining; else one may open it again. */
static void
on_hangup(struct holder *h)
{
	if (h->phase == HOLDER_LIVING) {
		event_add(h->term_retry, &retry_after);
		return;
	}
	h->term_is_over = true;
}

/* Straight into the ring: bytes read, 0 when there are none now. */
static size_t
read_some(struct holder *h, size_t limit)
{
	size_t space;
	void *bytes = ring_space(h->ring, &space);
	ssize_t n = read(HOLDER_FD_MASTER, bytes, limit < space ? limit : space);

	if (n > 0) {
		ring_append(h->ring, (size_t)n);
		return (size_t)n;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		on_hangup(h);
	return 0;
}

/* Until the terminal is empty or the limit is reached: it gives 4 KiB at a time. */
static size_t
drain(struct holder *h, size_t limit)
{
	size_t got = 0, n;

	do {
		n = read_some(h, limit - got);
		got += n;
	} while (n >= LONE_BYTES && got < limit);
	return got;
}

static void
gather(struct holder *h, size_t limit)
{
	size_t got;

	if (limit > GATHER_BYTES)
		limit = GATHER_BYTES;
	got = drain(h, limit);
	if (got < FLOOD_BYTES || got == limit || h->phase != HOLDER_LIVING)
		return;
	nanosleep(&flood_wait, NULL);
	drain(h, limit - got);
}

static void
on_term_readable(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;
	size_t limit = clients_read_room(h);

	(void)fd;
	(void)what;
	if (limit > 0) {
		gather(h, limit);
		clients_flush(h);
	}
	term_update(h);
	if (h->term_is_over)
		holder_advance(h);
}

static void
apply_size(struct holder *h)
{
	struct winsize size = { .ws_col = h->cols_wanted, .ws_row = h->rows_wanted };

	if ((size.ws_col == h->cols && size.ws_row == h->rows) ||
	    ioctl(HOLDER_FD_MASTER, TIOCSWINSZ, &size) != 0)
		return;
	h->cols = size.ws_col;
	h->rows = size.ws_row;
	clients_flush(h);
}

size_t
term_deliver(struct holder *h)
{
	const unsigned char *bytes;
	size_t len;
	ssize_t n;

	if (h->phase == HOLDER_LIVING)
		apply_size(h);
	if (!wants_write(h))
		return 0;
	bytes = input_view(&h->input, &len);
	n = write(HOLDER_FD_MASTER, bytes, len);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		on_hangup(h);
	if (n <= 0)
		return 0;
	input_consume(&h->input, (size_t)n);
	return (size_t)n;
}

static void
on_term_writable(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;

	(void)fd;
	(void)what;
	term_deliver(h);
	clients_resume(h);
	term_update(h);
}

static void
on_term_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	term_update(arg);
}

void
term_resize(struct holder *h, uint16_t cols, uint16_t rows)
{
	h->cols_wanted = cols;
	h->rows_wanted = rows;
}

/* The master tells the foreground group, by the number that it has where we are. */
bool
term_has_job(const struct holder *h)
{
	pid_t group = 0;

	return ioctl(HOLDER_FD_MASTER, TIOCGPGRP, &group) == 0 && group != 0 &&
	    group != h->shell_group;
}

int
term_start(struct holder *h)
{
	struct winsize size;

	if (ioctl(HOLDER_FD_MASTER, TIOCGWINSZ, &size) != 0)
		return -1;
	/* The shell may have been quick to make it none at all. */
	h->cols = h->cols_wanted = size.ws_col - 1U < STREAM_SIZE_MAX ? size.ws_col : 80;
	h->rows = h->rows_wanted = size.ws_row - 1U < STREAM_SIZE_MAX ? size.ws_row : 24;
	h->term_readable = event_new(h->base, HOLDER_FD_MASTER, EV_READ | EV_PERSIST,
	    on_term_readable, h);
	h->term_writable = event_new(h->base, HOLDER_FD_MASTER, EV_WRITE | EV_PERSIST,
	    on_term_writable, h);
	h->term_retry = evtimer_new(h->base, on_term_retry, h);
	if (!h->term_readable || !h->term_writable || !h->term_retry)
		return -1;
	term_update(h);
	return 0;
}
