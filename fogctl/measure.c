/* SPDX-License-Identifier: MIT */
/*
 * How far the nodes of the fleet are from this machine: the time that a TCP connection takes to be
 * there, the least of a few. What the page does for a person (web/latency.ts), for an administrator.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/mono.h"
#include "fogctl/command.h"

#define NODES_MOST 64 /* as many as latency_ms takes; the others are left out, and that is said */
#define ROUNDS 5
#define ROUND_MS 1000
#define BUDGET_MS 3000
#define GIVE_UP_AFTER 2 /* rounds, when a node is GIVE_UP_TIMES as far as the nearest */
#define GIVE_UP_TIMES 3
#define NOT_MEASURED UINT64_MAX

struct target {
	const char *name, *state;
	struct sockaddr_storage address;
	socklen_t len; /* 0: its name is not known here */
	int fd;        /* under way; -1 */
	uint64_t begun_us;
	uint64_t least_us; /* NOT_MEASURED: it has not answered */
};

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* "https://host[:port]", the host perhaps in brackets. False: no address. */
static bool
resolve(const char *url, struct target *t)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char host[256], *name = host, *end;
	const char *port = "443";

	if (!url || strncmp(url, "https://", 8) != 0 || strlen(url + 8) >= sizeof(host))
		return false;
	memcpy(host, url + 8, strlen(url + 8) + 1);
	end = *host == '[' ? strchr(host, ']') : host;
	if (end && *host == '[') {
		name = host + 1;
		*end++ = '\0';
	}
	end = end ? strchr(end, ':') : NULL;
	if (end) {
		*end = '\0';
		port = end + 1;
	}
	if (getaddrinfo(name, port, &hints, &found) != 0)
		return false;
	memcpy(&t->address, found->ai_addr, found->ai_addrlen);
	t->len = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

static uint64_t
least_of_all(const struct target *targets, size_t n)
{
	uint64_t least = NOT_MEASURED;

	for (size_t i = 0; i < n; i++)
		least = targets[i].least_us < least ? targets[i].least_us : least;
	return least;
}

static bool
is_worth_asking(const struct target *t, unsigned round, uint64_t nearest_us)
{
	if (t->len == 0 || (round > 0 && t->least_us == NOT_MEASURED))
		return false;
	return round < GIVE_UP_AFTER || t->least_us <= nearest_us * GIVE_UP_TIMES;
}

static void
begin(struct target *t)
{
	t->fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	t->begun_us = now_us();
	if (t->fd >= 0 && connect(t->fd, (const struct sockaddr *)&t->address, t->len) != 0 &&
	    errno != EINPROGRESS)
		close_fd(&t->fd);
}

/* The connection is there, or is refused: by the machine that was asked, which is as far. */
static void
finish(struct target *t)
{
	uint64_t took_us = now_us() - t->begun_us;
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
	    (error == 0 || error == ECONNREFUSED) && took_us < t->least_us)
		t->least_us = took_us;
	close_fd(&t->fd);
}

/* All that have begun, until they are done or `until` has come. */
static void
wait_for(struct target *targets, size_t n, uint64_t until_ms)
{
	for (;;) {
		struct pollfd fds[NODES_MOST];
		uint64_t now_ms = mono_ms();
		size_t open = 0;

		for (size_t i = 0; i < n; i++) {
			fds[i] = (struct pollfd){ .fd = targets[i].fd, .events = POLLOUT };
			open += targets[i].fd >= 0;
		}
		if (open == 0 || now_ms >= until_ms ||
		    poll(fds, (nfds_t)n, (int)(until_ms - now_ms)) <= 0)
			break;
		for (size_t i = 0; i < n; i++) {
			if (fds[i].fd >= 0 && fds[i].revents)
				finish(&targets[i]);
		}
	}
	for (size_t i = 0; i < n; i++)
		close_fd(&targets[i].fd);
}

static void
measure(struct target *targets, size_t n)
{
	uint64_t end_ms = mono_ms() + BUDGET_MS;

	for (unsigned round = 0; round < ROUNDS && mono_ms() < end_ms; round++) {
		uint64_t nearest_us = least_of_all(targets, n);
		uint64_t until_ms = mono_ms() + ROUND_MS;

		for (size_t i = 0; i < n; i++) {
			if (is_worth_asking(&targets[i], round, nearest_us))
				begin(&targets[i]);
		}
		wait_for(targets, n, until_ms < end_ms ? until_ms : end_ms);
	}
}

/* Rounded up, so that nothing is 0 ms away. */
static json_int_t
ms_of(const struct target *t)
{
	return (json_int_t)((t->least_us + 999) / 1000);
}

static int
tell_json(const struct target *targets, size_t n)
{
	json_t *figures = json_object();

	for (size_t i = 0; i < n; i++) {
		if (targets[i].least_us != NOT_MEASURED)
			json_object_set_new(figures, targets[i].name,
			    json_integer(ms_of(&targets[i])));
	}
	return json_print(json_pack("{s:o}", "latency_ms", figures), EXIT_DONE);
}

static int
tell_table(const struct target *targets, size_t n)
{
	static const char *const headings[] = { "NODE", "STATE", "LATENCY_MS", NULL };
	struct table *t = table_new(headings);

	for (size_t i = 0; i < n; i++) {
		char ms[24] = "-";

		if (targets[i].least_us != NOT_MEASURED)
			snprintf(ms, sizeof(ms), "%lld", (long long)ms_of(&targets[i]));
		table_add(t, targets[i].name);
		table_add(t, targets[i].state);
		table_add(t, ms);
	}
	return table_print(t) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

/* Rows that are none are left out: what is shown is what was measured. */
static size_t
take_nodes(const json_t *rows, struct target targets[static NODES_MOST])
{
	const json_t *row;
	size_t i, n = 0;

	json_array_foreach(rows, i, row) {
		const char *name = json_string_value(json_object_get(row, "name"));
		const char *state = json_string_value(json_object_get(row, "state"));
		struct target t = { .name = name,
			.state = state ? state : "",
			.fd = -1,
			.least_us = NOT_MEASURED };

		if (!name || n == NODES_MOST)
			continue;
		(void)resolve(json_string_value(json_object_get(row, "url")), &t);
		targets[n++] = t;
	}
	return n;
}

int
run_nodes_measure(const struct fogctl_wish *w)
{
	struct target targets[NODES_MOST];
	json_t *answer = NULL;
	const json_t *rows;
	int status = remote_ask(w, json_pack("{s:s}", "command", w->command->request), &answer);
	size_t n;

	if (status != EXIT_DONE)
		return status;
	rows = json_object_get(answer, "nodes");
	n = take_nodes(rows, targets);
	measure(targets, n);
	if (json_array_size(rows) > n)
		fprintf(stderr, "fogctl: only the first %zu of %zu nodes are measured\n", n,
		    json_array_size(rows));
	status = wish_has(w, OPTION_JSON) ? tell_json(targets, n) : tell_table(targets, n);
	json_release(answer);
	return status;
}
