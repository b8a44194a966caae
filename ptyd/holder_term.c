/* SPDX-License-Identifier: MIT */
/* The terminal of a holder: output into the ring, the input queue out of it. See holder.h. */
#include "ptyd/holder.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ptyd/launch.h"

/* While the shell lives but has closed its terminal: look again, without spinning. */
static const struct timeval retry_after = { .tv_usec = 100000 };

static size_t
room(struct holder *h)
{
	return window_room(&h->window, h->client != NULL, h->phase != HOLDER_LIVING, client_lag(h));
}

static bool
wants_read(struct holder *h)
{
	return !h->term_is_over && h->phase <= HOLDER_DRAINING &&
	    !event_pending(h->term_retry, EV_TIMEOUT, NULL) && room(h) > 0;
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

/* Reads until the terminal is empty or the limit is reached: it gives 4 KiB at a time. */
static void
gather(struct holder *h, size_t limit)
{
	static unsigned char bytes[4096];
	size_t got = 0;

	while (got < limit) {
		size_t want = limit - got < sizeof(bytes) ? limit - got : sizeof(bytes);
		ssize_t n = read(HOLDER_FD_MASTER, bytes, want);

		if (n > 0) {
			ring_write(h->ring, bytes, (size_t)n);
			got += (size_t)n;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			on_hangup(h);
		break;
	}
}

static void
on_term_readable(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;

	(void)fd;
	(void)what;
	gather(h, room(h));
	client_flush(h);
	term_update(h);
	if (h->term_is_over)
		holder_advance(h);
}

static void
on_term_writable(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;
	const unsigned char *bytes;
	size_t len;
	ssize_t n;

	(void)what;
	bytes = input_view(&h->input, &len);
	if (bytes) {
		n = write(fd, bytes, len);
		if (n > 0)
			input_consume(&h->input, (size_t)n);
		else if (errno != EAGAIN && errno != EINTR)
			on_hangup(h);
	}
	client_resume(h);
	term_update(h);
}

static void
on_term_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	term_update(arg);
}

int
term_resize(struct holder *h, uint16_t cols, uint16_t rows)
{
	struct winsize size = { .ws_col = cols, .ws_row = rows };

	if (ioctl(HOLDER_FD_MASTER, TIOCSWINSZ, &size) != 0)
		return -1;
	h->cols = cols;
	h->rows = rows;
	return 0;
}

int
term_start(struct holder *h)
{
	struct winsize size;

	if (ioctl(HOLDER_FD_MASTER, TIOCGWINSZ, &size) != 0)
		return -1;
	h->cols = size.ws_col;
	h->rows = size.ws_row;
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
