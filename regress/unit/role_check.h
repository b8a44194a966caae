/* SPDX-License-Identifier: MIT */
/*
 * One role's handlers without the role: its edges are real socket pairs, its neighbours are played
 * by hand at their other ends, and these functions stand in for those of common/proc.c.
 */
#ifndef REGRESS_ROLE_CHECK_H
#define REGRESS_ROLE_CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/config.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/peer.h"
#include "common/proc.h"

#define RECORDS_A_TURN 64

static struct role_under_test {
	enum proc_id self;
	void *ctx;
	void (*edge_up)(void *ctx, struct peer *p);
	void (*edge_down)(void *ctx, enum edge edge);
	struct peer_ops ops;
	struct event_base *base;
	struct config config;
	struct peer *edges[EDGE_COUNT];
	int far[EDGE_COUNT]; /* the neighbours' ends; -1 */
	uint64_t epoch;
	unsigned lies; /* of neighbours, found out */
	/* What was heard last: its views borrow from bytes. */
	struct msg heard;
	unsigned char bytes[MSG_MAX_BYTES];
} role;

struct event_base *
proc_base(void)
{
	return role.base;
}

const struct config *
proc_config(void)
{
	return &role.config;
}

struct peer *
proc_peer(enum edge edge)
{
	return peer_is_up(role.edges[edge]) ? role.edges[edge] : NULL;
}

int
proc_send(enum edge edge, enum msg_type type, uint64_t request_id, const struct trace *trace,
    const void *payload, int fd)
{
	struct peer *p = proc_peer(edge);

	assert_int_equal(fd, -1);
	return p ? peer_send(p, type, request_id, trace, payload, -1) : -FOG_E_UNAVAILABLE;
}

static void
on_role_edge_down(void *ctx, struct peer *p, enum peer_down why, const char *detail)
{
	(void)detail;
	if (why == PEER_LIED)
		role.lies++;
	role.edge_down(ctx, peer_edge(p));
}

static const char *
no_variable(const char *name)
{
	return strcmp(name, "USE_STUB_CONNECTOR") == 0 ? "1" : NULL;
}

static void
no_log(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

/* The caller has filled self, ctx, hooks, handlers and phase_of. */
static void
role_begin(void)
{
	char err[256];

	log_set_sink(no_log);
	role.ops.down = on_role_edge_down;
	role.base = event_base_new();
	assert_non_null(role.base);
	assert_int_equal(config_from_env(&role.config, no_variable, err, sizeof(err)), 0);
	for (size_t i = 0; i < EDGE_COUNT; i++)
		role.far[i] = -1;
}

static void
role_end(void)
{
	for (size_t i = 0; i < EDGE_COUNT; i++) {
		peer_free(role.edges[i]);
		close_fd(&role.far[i]);
	}
	event_base_free(role.base);
	config_fini(&role.config);
	memset(&role, 0, sizeof(role));
}

static void
turn(void)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(role.base, EVLOOP_NONBLOCK);
}

static inline void
turn_for_ms(unsigned ms)
{
	struct timespec pause = { .tv_nsec = 5000000 };

	for (uint64_t until = mono_ms() + ms; mono_ms() < until; nanosleep(&pause, NULL))
		turn();
}

static void
say(enum edge edge, enum msg_type type, uint64_t id, const void *payload)
{
	unsigned char bytes[MSG_MAX_BYTES];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	assert_int_equal(msg_put(&w, type, id, NULL, payload), 0);
	assert_int_equal(send(role.far[edge], bytes, w.len, MSG_NOSIGNAL), w.len);
	turn();
}

static ssize_t
listen_once(enum edge edge)
{
	turn();
	return recv(role.far[edge], role.bytes, sizeof(role.bytes), MSG_DONTWAIT);
}

static void
hear_nothing(enum edge edge)
{
	assert_int_equal(listen_once(edge), -1);
	assert_int_equal(errno, EAGAIN);
}

/* The next record there has to be this one. Its payload is valid until the next is heard. */
static const union payload *
hear(enum edge edge, enum msg_type type, uint64_t id)
{
	ssize_t n = listen_once(edge);
	struct reader r;

	assert_true(n > 0);
	reader_init(&r, role.bytes, (size_t)n);
	assert_int_equal(msg_get_header(&r, &role.heard), 0);
	assert_string_equal(msg_rows[role.heard.type].name, msg_rows[type].name);
	assert_int_equal(msg_get_payload(&r, &role.heard), 0);
	if (id != 0)
		assert_int_equal(role.heard.request_id, id);
	return &role.heard.u;
}

__attribute__((unused)) static void
hear_refusal(enum edge edge, enum msg_type type, uint64_t id, int error)
{
	assert_string_equal(err_code(hear(edge, type, id)->refused.error), err_code(error));
}

static void
disconnect(enum edge edge)
{
	close_fd(&role.far[edge]);
	turn();
	peer_free(role.edges[edge]);
	role.edges[edge] = NULL;
}

/* A new neighbour on this edge, hellos exchanged. */
static void
connect_neighbour(enum edge edge)
{
	const struct edge_row rows[EDGE_COUNT] = {
		[EDGE_GATE_AUTH] = { PROC_GATEWAYD, PROC_AUTHD, false },
		[EDGE_AUTH_PLACE] = { PROC_AUTHD, PROC_PLACERD, false },
		[EDGE_PLACE_PTY] = { PROC_PLACERD, PROC_PTYD, false },
		[EDGE_AUTH_FETCH] = { PROC_AUTHD, PROC_FETCHER, false },
		[EDGE_PLACE_PROBE] = { PROC_PLACERD, PROC_PROBER, false },
	};
	struct peer_end end = { .edge = edge,
		.self = role.self,
		.epoch = ++role.epoch,
		.other = rows[edge].left == role.self ? rows[edge].right : rows[edge].left };
	struct pl_hello hello = { .table_hash = msg_edge_hash(edge), .epoch = end.epoch };
	int pair[2];

	if (role.far[edge] >= 0)
		disconnect(edge);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			     pair),
	    0);
	end.fd = pair[0];
	role.far[edge] = pair[1];
	role.edges[edge] = peer_new(role.base, &end, &role.ops, role.ctx);
	assert_non_null(role.edges[edge]);
	role.edge_up(role.ctx, role.edges[edge]);
	hear(edge, MSG_HELLO, 0);
	say(edge, MSG_HELLO, 0, &hello);
}

#endif
