/* SPDX-License-Identifier: MIT */
/*
 * GET over kept-alive connections to 127.0.0.1, one request on its way on each:
 *   http_load port path connections seconds rate     (rate: requests a second in all; 0: as fast as it goes)
 * Header lines come on standard input, so that a token is in no command line. Prints one line of
 * JSON: requests, a second, and the median and the 99th percentile of the delay in microseconds.
 * Any answer but 200 ends it: what is measured is the right answer.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define SAMPLES_MAX 4000000
#define ANSWER_MAX 65536
#define NS 1000000000LL

struct link {
	int fd;
	bool is_busy;
	int64_t sent_ns;
	size_t len; /* of the answer so far */
	char answer[ANSWER_MAX];
};

static struct {
	struct sockaddr_in to;
	char request[16384];
	size_t request_len;
	struct link links[CONNECTIONS_MAX];
	int count, epoll;
	uint32_t *delays_us;
	size_t done, owed; /* owed: requests that the rate has asked for and no link had room for */
} load;

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

/* The server closes after so many requests on one connection, as it says. */
static void
open_link(struct link *l)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = l };
	int one = 1;

	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&load.to, sizeof(load.to)) != 0)
		err(1, "connect");
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	epoll_ctl(load.epoll, EPOLL_CTL_ADD, l->fd, &ev);
}

static void
ask(struct link *l)
{
	l->is_busy = true;
	l->len = 0;
	l->sent_ns = now_ns();
	if (write(l->fd, load.request, load.request_len) != (ssize_t)load.request_len)
		err(1, "write");
}

/* Bytes of the whole answer once its head is there; 0: not yet. */
static size_t
size_of_answer(const struct link *l)
{
	const char *end = strstr(l->answer, "\r\n\r\n");
	const char *field = end ? strcasestr(l->answer, "\r\ncontent-length:") : NULL;

	if (!end)
		return 0;
	if (strncmp(l->answer, "HTTP/1.1 200 ", 13) != 0)
		errx(1, "not 200: %.60s", l->answer);
	if (!field || field > end)
		errx(1, "no Content-Length");
	return (size_t)(end + 4 - l->answer) + strtoul(field + 17, NULL, 10);
}

static void
finish(struct link *l)
{
	bool closes = strcasestr(l->answer, "\r\nconnection: close") != NULL;

	if (load.done == SAMPLES_MAX)
		errx(1, "more than %d requests", SAMPLES_MAX);
	load.delays_us[load.done++] = (uint32_t)((now_ns() - l->sent_ns) / 1000);
	l->is_busy = false;
	if (closes) {
		close(l->fd);
		open_link(l);
	}
}

static void
on_readable(struct link *l)
{
	ssize_t n = read(l->fd, l->answer + l->len, sizeof(l->answer) - 1 - l->len);
	size_t whole;

	if (n <= 0)
		errx(1, "the connection was closed");
	l->len += (size_t)n;
	l->answer[l->len] = '\0';
	whole = size_of_answer(l);
	if (whole == 0 || l->len < whole)
		return;
	finish(l);
}

static void
ask_where_idle(bool at_rate)
{
	for (int i = 0; i < load.count && (!at_rate || load.owed > 0); i++) {
		if (load.links[i].is_busy)
			continue;
		ask(&load.links[i]);
		load.owed -= at_rate;
	}
}

static int
start_clock(double rate)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	long long step_ns = (long long)(NS / rate);
	struct itimerspec every = { .it_interval = { step_ns / NS, step_ns % NS },
		.it_value = { step_ns / NS, step_ns % NS } };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };

	timerfd_settime(fd, 0, &every, NULL);
	epoll_ctl(load.epoll, EPOLL_CTL_ADD, fd, &ev);
	return fd;
}

static void
run(double seconds, double rate)
{
	int64_t until = now_ns() + (int64_t)(seconds * NS);
	int clock = rate > 0 ? start_clock(rate) : -1;
	struct epoll_event ev[CONNECTIONS_MAX];
	uint64_t ticks;

	while (now_ns() < until) {
		int n;

		ask_where_idle(rate > 0);
		n = epoll_wait(load.epoll, ev, CONNECTIONS_MAX, 100);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr)
				on_readable(ev[i].data.ptr);
			else if (read(clock, &ticks, sizeof(ticks)) == sizeof(ticks))
				load.owed += ticks;
		}
	}
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void
report(double seconds)
{
	if (load.done == 0)
		errx(1, "no answer at all");
	qsort(load.delays_us, load.done, sizeof(*load.delays_us), compare);
	printf("{\"requests\":%zu,\"per_second\":%.1f,\"p50_us\":%u,\"p99_us\":%u}\n", load.done,
	    (double)load.done / seconds, load.delays_us[load.done / 2],
	    load.delays_us[load.done * 99 / 100]);
}

static void
build_request(const char *port, const char *path)
{
	size_t room = sizeof(load.request), n;

	n = (size_t)snprintf(load.request, room, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n", path,
	    port);
	while (n + 512 < room && fgets(load.request + n, (int)(room - n - 4), stdin)) {
		n += strcspn(load.request + n, "\r\n");
		memcpy(load.request + n, "\r\n", 3);
		n += 2;
	}
	memcpy(load.request + n, "\r\n", 2);
	load.request_len = n + 2;
}

static double
number(const char *text, double min, double max)
{
	char *end;
	double n = strtod(text, &end);

	if (*text == '\0' || *end != '\0' || n < min || n > max)
		errx(2, "%s: not a number of %g to %g", text, min, max);
	return n;
}

int
main(int argc, char **argv)
{
	double seconds, rate;

	if (argc != 6)
		errx(2, "usage: http_load port path connections seconds rate <headers");
	load.to = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons((uint16_t)number(argv[1], 1, 65535)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	load.count = (int)number(argv[3], 1, CONNECTIONS_MAX);
	seconds = number(argv[4], 0.01, 600);
	rate = number(argv[5], 0, 1e6);
	build_request(argv[1], argv[2]);
	load.delays_us = calloc(SAMPLES_MAX, sizeof(*load.delays_us));
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!load.delays_us || load.epoll < 0)
		err(1, "start");
	for (int i = 0; i < load.count; i++)
		open_link(&load.links[i]);
	run(seconds, rate);
	report(seconds);
	return 0;
}
