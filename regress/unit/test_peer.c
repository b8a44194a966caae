/* SPDX-License-Identifier: MIT */
/* links: common/peer.c */
/* A peer over a real socket pair whose other end is played by hand: every lie, and what follows. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/peer.h"

#define EPOCH 42
#define MANY_FDS 8                             /* more than a peer has room for */
#define SEND_LIMIT (PEER_QUEUE_RECORDS + 4096) /* more than kernel and queue hold together */

/* What the handlers and down() saw, and what they are to do. */
static struct seen {
	unsigned phase; /* answer of phase_of */
	int answer;     /* of a handler */
	bool keep_fd, free_in_handler, free_in_down;
	int greeted, handled, downs, fd;
	enum msg_type type;
	uint64_t request_id;
	enum peer_down why;
	char detail[160], line[LOG_LINE_MAX];
} seen;

static struct event_base *base;
static struct peer *peer;
static int raw; /* the other end */

static int
open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void
capture_log(enum log_level level, const char *line)
{
	if (level <= LOG_LEVEL_WARN)
		snprintf(seen.line, sizeof(seen.line), "%s", line);
}

/* --- the peer's side --- */

static int
on_any(void *ctx, struct peer *from, struct msg *m)
{
	assert_ptr_equal(ctx, &seen);
	assert_ptr_equal(from, peer);
	assert_int_equal(m->fd >= 0, msg_rows[m->type].fds == 1);
	seen.handled++;
	seen.type = m->type;
	seen.request_id = m->request_id;
	if (seen.keep_fd)
		seen.fd = steal_fd(&m->fd);
	if (seen.free_in_handler) {
		peer_free(from);
		peer = NULL;
	}
	return seen.answer;
}

static int
on_hello(void *ctx, struct peer *from, struct msg *m)
{
	assert_ptr_equal(ctx, &seen);
	assert_ptr_equal(from, peer);
	assert_int_equal(m->u.hello.epoch, EPOCH);
	seen.greeted++;
	return 0;
}

static unsigned
phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	(void)ctx;
	(void)from;
	return m->request_id == 0 ? PH_NOTE : seen.phase;
}

static void
on_down(void *ctx, struct peer *p, enum peer_down why, const char *detail)
{
	(void)ctx;
	assert_false(peer_is_up(p));
	seen.downs++;
	seen.why = why;
	snprintf(seen.detail, sizeof(seen.detail), "%s", detail);
	if (seen.free_in_down) {
		peer_free(p);
		peer = NULL;
	}
}

static const msg_handler handlers[MSG_COUNT] = {
	[MSG_HELLO] = on_hello,
	[MSG_PTY_CREATE] = on_any,
	[MSG_PTY_END] = on_any,
	[MSG_PTY_HOLDER_STREAM] = on_any,
	[MSG_PTY_HOLDER_REFUSED] = on_any,
	[MSG_PTY_HOLDER_STATE] = on_any,
	[MSG_GATE_DELIVER] = on_any,
};
static const struct peer_ops ops = { handlers, phase_of, on_down };

static void
turn(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void
settle(void)
{
	for (int i = 0; i < 8; i++)
		turn();
}

static void
open_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			     pair),
	    0);
}

static void
begin(void)
{
	seen = (struct seen){ .fd = -1 };
	base = event_base_new();
	assert_non_null(base);
	log_set_sink(capture_log);
}

static void
make_peer(int fd, enum proc_id self, enum proc_id other, enum peer_way way)
{
	struct peer_end end = { .fd = fd,
		.self = self,
		.other = other,
		.way = way,
		.epoch = EPOCH,
		.edge = other == PROC_HOLDER ? EDGE_HOLDER : EDGE_PLACE_PTY };

	peer = peer_new(base, &end, &ops, &seen);
	assert_non_null(peer);
}

/* A ptyd whose neighbour is played over `raw`. */
static void
begin_with(enum proc_id other)
{
	int pair[2] = { -1, -1 };

	begin();
	open_pair(pair);
	raw = pair[1];
	make_peer(pair[0], PROC_PTYD, other, PEER_BOTH);
}

static void
finish(void)
{
	peer_free(peer);
	peer = NULL;
	close_fd(&raw);
	event_base_free(base);
	log_set_sink(NULL);
}

/* --- the neighbour's side --- */

static int
raw_send(const void *bytes, size_t len, int fd_count)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(MANY_FDS * sizeof(int))];
	} control = { 0 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd_count > 0) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
		for (int i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &raw, sizeof(int));
	}
	return sendmsg(raw, &mh, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void
fill_payload(enum payload_kind kind, union payload *u)
{
	static const struct pl_plan plan = { .profile = { "p", 1 },
		.status = 1,
		.node = { "n", 1 },
		.tier = 1,
		.placement_reason = { "r", 1 },
		.issuer = { "i", 1 },
		.subject = { "s", 1 },
		.ttl_seconds = 1,
		.ring_bytes = 4096,
		.cpu_milli = 1,
		.memory_bytes = 1 << 20,
		.storage_bytes = 1 << 20,
		.pids = 512 };

	memset(u, 0, sizeof(*u));
	switch (kind) {
	case PAYLOAD_plan:
		u->plan = plan;
		break;
	case PAYLOAD_session_role:
		u->session_role.role = ROLE_DRIVER;
		break;
	case PAYLOAD_state:
		u->state.status = STATUS_RUNNING;
		break;
	case PAYLOAD_end:
		u->end.end_reason = END_TTL;
		break;
	case PAYLOAD_holder_refused:
		u->holder_refused.error = FOG_E_INTERNAL;
		break;
	case PAYLOAD_hello:
		u->hello.table_hash = msg_edge_hash(peer_edge(peer));
		u->hello.epoch = EPOCH;
		break;
	case PAYLOAD_session_id:
	case PAYLOAD_none:
		break;
	default:
		fail_msg("no payload for %s", msg_layouts[kind].name);
	}
}

static size_t
encode(unsigned char *out, size_t size, enum msg_type type, uint64_t request_id)
{
	union payload u;
	struct writer w;

	fill_payload(msg_rows[type].payload, &u);
	writer_init(&w, out, size);
	assert_int_equal(msg_put(&w, type, request_id, NULL, &u), 0);
	return w.len;
}

static void
raw_message(enum msg_type type, uint64_t request_id, int fd_count)
{
	unsigned char bytes[MSG_MAX_BYTES];
	size_t len = encode(bytes, sizeof(bytes), type, request_id);

	assert_int_equal(raw_send(bytes, len, fd_count), 0);
}

static void
raw_hello(void)
{
	raw_message(MSG_HELLO, 0, 0);
	settle();
}

/* Takes one record; 0 when there is none. */
static size_t
raw_receive(struct msg *m)
{
	static unsigned char bytes[MSG_MAX_BYTES];
	ssize_t n = recv(raw, bytes, sizeof(bytes), MSG_DONTWAIT);
	struct reader r;

	if (n <= 0)
		return 0;
	reader_init(&r, bytes, (size_t)n);
	assert_int_equal(msg_get_header(&r, m), 0);
	assert_int_equal(msg_get_payload(&r, m), 0);
	return (size_t)n;
}

/* --- one record after a good hello --- */

enum change { AS_IT_IS, NUMBER, EMPTY, HEADER_CUT, CUT, TRAILING, BOUND, OVERSIZE };

/* bytes has room for one more than a record may have. */
static size_t
change_record(enum change change, unsigned char *bytes, size_t len)
{
	switch (change) {
	case NUMBER:
		bytes[0] = 0x7f;
		return len;
	case EMPTY:
		return 0;
	case HEADER_CUT:
		return MSG_HEADER_BYTES - 1;
	case CUT:
		return len - 1;
	case TRAILING:
		bytes[len] = 0;
		return len + 1;
	case BOUND:
		bytes[len - 1] = 0xff; /* the last field is a small number in each case below */
		return len;
	case OVERSIZE:
		memset(bytes + len, 0, MSG_MAX_BYTES + 1 - len);
		return MSG_MAX_BYTES + 1;
	default:
		return len;
	}
}

static const struct lie {
	const char *name;
	enum proc_id sender;
	enum msg_type type;
	uint64_t request_id;
	int fds;
	unsigned phase;
	enum change change;
	int answer; /* of the handler, if it gets that far */
	int handled;
	const char *detail; /* NULL: the pair stays up */
} lies[] = {
	{ "a note", PROC_HOLDER, MSG_PTY_HOLDER_STATE, 0, 0, PH_NEW, AS_IT_IS, 0, 1, NULL },
	{ "a request", PROC_PLACERD, MSG_PTY_CREATE, 7, 0, PH_NEW, AS_IT_IS, 0, 1, NULL },
	{ "an answer with its descriptor", PROC_HOLDER, MSG_PTY_HOLDER_STREAM, 7, 1, PH_ATTACH,
	    AS_IT_IS, 0, 1, NULL },
	{ "an answer", PROC_HOLDER, MSG_PTY_HOLDER_REFUSED, 7, 0, PH_ATTACH, AS_IT_IS, 0, 1, NULL },
	{ "a handler that fails", PROC_PLACERD, MSG_PTY_CREATE, 7, 0, PH_NEW, AS_IT_IS,
	    -FOG_E_NOMEM, 1, NULL },
	{ "late answer", PROC_HOLDER, MSG_PTY_HOLDER_REFUSED, 7, 0, PH_NEW, AS_IT_IS, 0, 0, NULL },
	{ "late answer with a descriptor", PROC_HOLDER, MSG_PTY_HOLDER_STREAM, 7, 1, PH_NEW,
	    AS_IT_IS, 0, 0, NULL },

	{ "second hello", PROC_HOLDER, MSG_HELLO, 0, 0, PH_NEW, AS_IT_IS, 0, 0, "a second hello" },
	{ "unknown number", PROC_HOLDER, MSG_PTY_HOLDER_STATE, 0, 0, PH_NEW, NUMBER, 0, 0,
	    "not in the table" },
	{ "less than a header", PROC_HOLDER, MSG_PTY_HOLDER_STATE, 0, 0, PH_NEW, HEADER_CUT, 0, 0,
	    "not in the table" },
	{ "nothing but a descriptor", PROC_HOLDER, MSG_PTY_HOLDER_STATE, 0, 1, PH_NEW, EMPTY, 0, 0,
	    "not in the table" },
	{ "wrong sender", PROC_HOLDER, MSG_PTY_CREATE, 7, 0, PH_NEW, AS_IT_IS, 0, 0,
	    "not this sender's" },
	{ "answer of another sender", PROC_PLACERD, MSG_PTY_HOLDER_STREAM, 7, 1, PH_ATTACH,
	    AS_IT_IS, 0, 0, "not this sender's" },
	{ "wrong receiver", PROC_PLACERD, MSG_PTY_STATE_KEPT, 0, 0, PH_NEW, AS_IT_IS, 0, 0,
	    "not for this receiver" },
	{ "request without an id", PROC_PLACERD, MSG_PTY_CREATE, 0, 0, PH_NEW, AS_IT_IS, 0, 0,
	    "request id" },
	{ "answer without an id", PROC_HOLDER, MSG_PTY_HOLDER_REFUSED, 0, 0, PH_ATTACH, AS_IT_IS, 0,
	    0, "request id" },
	{ "note with an id", PROC_HOLDER, MSG_PTY_HOLDER_STATE, 7, 0, PH_NEW, AS_IT_IS, 0, 0,
	    "request id" },
	{ "id in use", PROC_PLACERD, MSG_PTY_CREATE, 7, 0, PH_CREATE, AS_IT_IS, 0, 0,
	    "not legal in this phase" },
	{ "answer of another verb", PROC_HOLDER, MSG_PTY_HOLDER_STREAM, 7, 1, PH_CREATE, AS_IT_IS,
	    0, 0, "not legal in this phase" },
	{ "unannounced descriptor", PROC_HOLDER, MSG_PTY_HOLDER_STATE, 0, 1, PH_NEW, AS_IT_IS, 0, 0,
	    "number of descriptors" },
	{ "missing descriptor", PROC_HOLDER, MSG_PTY_HOLDER_STREAM, 7, 0, PH_ATTACH, AS_IT_IS, 0, 0,
	    "number of descriptors" },
	{ "two descriptors", PROC_HOLDER, MSG_PTY_HOLDER_STREAM, 7, 2, PH_ATTACH, AS_IT_IS, 0, 0,
	    "number of descriptors" },
	{ "more descriptors than there is room for", PROC_HOLDER, MSG_PTY_HOLDER_STREAM, 7,
	    MANY_FDS, PH_ATTACH, AS_IT_IS, 0, 0, "too long" },
	{ "oversize", PROC_HOLDER, MSG_PTY_HOLDER_STATE, 0, 0, PH_NEW, OVERSIZE, 0, 0, "too long" },
	{ "oversize with a descriptor", PROC_HOLDER, MSG_PTY_HOLDER_STREAM, 7, 1, PH_ATTACH,
	    OVERSIZE, 0, 0, "too long" },
	{ "cut short", PROC_HOLDER, MSG_PTY_HOLDER_STATE, 0, 0, PH_NEW, CUT, 0, 0,
	    "outside its bounds" },
	{ "bytes left over", PROC_HOLDER, MSG_PTY_HOLDER_STATE, 0, 0, PH_NEW, TRAILING, 0, 0,
	    "outside its bounds" },
	{ "value above its bound", PROC_HOLDER, MSG_PTY_HOLDER_STATE, 0, 0, PH_NEW, BOUND, 0, 0,
	    "outside its bounds" },
	{ "value above its bound, beside a descriptor", PROC_HOLDER, MSG_PTY_HOLDER_STREAM, 7, 1,
	    PH_ATTACH, BOUND, 0, 0, "outside its bounds" },
	{ "what only the handler can see", PROC_PLACERD, MSG_PTY_CREATE, 7, 0, PH_NEW, AS_IT_IS,
	    -FOG_E_LIAR, 1, "refused by its handler" },
};

static void
expect_lie(const struct lie *lie)
{
	if (!lie->detail) {
		assert_int_equal(seen.downs, 0);
		assert_true(peer_is_up(peer));
		return;
	}
	assert_int_equal(seen.downs, 1);
	assert_int_equal(seen.why, PEER_LIED);
	assert_non_null(strstr(seen.detail, lie->detail));
	assert_non_null(strstr(seen.line, "event=peer_down"));
	assert_non_null(strstr(seen.line, "why=lied"));
	assert_non_null(strstr(seen.line, proc_name(lie->sender)));
	assert_false(peer_is_up(peer));
}

static void
test_one_record(void **state)
{
	unsigned char bytes[MSG_MAX_BYTES + 1];
	int before = open_descriptors();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lies); i++) {
		const struct lie *lie = &lies[i];
		size_t len;

		print_message("  %s\n", lie->name);
		begin_with(lie->sender);
		raw_hello();
		seen.phase = lie->phase;
		seen.answer = lie->answer;
		len = encode(bytes, sizeof(bytes), lie->type, lie->request_id);
		len = change_record(lie->change, bytes, len);
		assert_int_equal(raw_send(bytes, len, lie->fds), 0);
		settle();
		expect_lie(lie);
		assert_int_equal(seen.handled, lie->handled);
		finish();
		/* What arrived and was not kept is closed. */
		assert_int_equal(open_descriptors(), before);
	}
}

/* After a lie nothing of that neighbour is looked at any more, however much is in the socket. */
static void
test_nothing_after_a_lie(void **state)
{
	(void)state;
	begin_with(PROC_HOLDER);
	raw_hello();
	raw_message(MSG_PTY_HOLDER_STATE, 0, 0);
	raw_message(MSG_PTY_HOLDER_STATE, 7, 0);
	raw_message(MSG_PTY_HOLDER_STATE, 0, 0);
	settle();
	assert_int_equal(seen.handled, 1);
	assert_int_equal(seen.downs, 1);
	finish();
}

/* --- the birth of a pair --- */

static const struct birth {
	const char *name;
	enum msg_type type;
	int hash_off, epoch_off, fds;
	enum peer_down why;
	const char *detail; /* NULL: it is up */
} births[] = {
	{ "the hello", MSG_HELLO, 0, 0, 0, 0, NULL },
	{ "another table", MSG_HELLO, 1, 0, 0, PEER_OTHER_VERSION, "another version" },
	{ "another table and epoch", MSG_HELLO, 1, 1, 0, PEER_OTHER_VERSION, "another version" },
	{ "another epoch", MSG_HELLO, 0, 1, 0, PEER_LIED, "epoch" },
	{ "hello with a descriptor", MSG_HELLO, 0, 0, 1, PEER_LIED, "number of descriptors" },
	{ "no hello", MSG_PTY_HOLDER_STATE, 0, 0, 0, PEER_LIED, "no hello" },
};

static void
test_birth(void **state)
{
	unsigned char bytes[MSG_MAX_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(births); i++) {
		const struct birth *b = &births[i];
		size_t len;

		print_message("  %s\n", b->name);
		begin_with(PROC_HOLDER);
		len = encode(bytes, sizeof(bytes), b->type, 0);
		bytes[MSG_HEADER_BYTES] ^= (unsigned char)b->hash_off;
		if (b->epoch_off)
			bytes[len - 1]++;
		assert_int_equal(raw_send(bytes, len, b->fds), 0);
		settle();
		assert_int_equal(seen.downs, b->detail != NULL);
		assert_int_equal(seen.greeted, b->detail == NULL);
		assert_int_equal(seen.handled, 0);
		if (b->detail) {
			assert_non_null(strstr(seen.detail, b->detail));
			assert_int_equal(seen.why, b->why);
			assert_int_equal(peer_other_hash(peer) != msg_edge_hash(EDGE_HOLDER),
			    b->type != MSG_HELLO || b->fds || b->hash_off);
		}
		finish();
	}
}

static void
test_own_hello(void **state)
{
	struct msg m = { .fd = -1 };

	(void)state;
	begin_with(PROC_PLACERD);
	assert_true(raw_receive(&m) > 0);
	assert_int_equal(m.type, MSG_HELLO);
	assert_true(m.u.hello.table_hash == msg_edge_hash(EDGE_PLACE_PTY));
	assert_int_equal(m.u.hello.epoch, EPOCH);
	assert_int_equal(peer_epoch(peer), EPOCH);
	assert_int_equal(peer_other(peer), PROC_PLACERD);
	assert_int_equal(peer_edge(peer), EDGE_PLACE_PTY);
	assert_true(peer_fd(peer) >= 0);
	finish();
}

/* The other end is gone already: said in a turn of the loop, not from inside peer_new. */
static void
test_dead_at_birth(void **state)
{
	int pair[2] = { -1, -1 };

	(void)state;
	begin();
	seen.free_in_down = true;
	open_pair(pair);
	close(pair[1]);
	raw = -1;
	make_peer(pair[0], PROC_PTYD, PROC_HOLDER, PEER_BOTH);
	assert_int_equal(seen.downs, 0);
	settle();
	assert_int_equal(seen.downs, 1);
	assert_int_equal(seen.why, PEER_GONE);
	finish();
}

/* --- the end of a pair --- */

static void
test_closed_by_the_other(void **state)
{
	(void)state;
	begin_with(PROC_HOLDER);
	raw_hello();
	raw_message(MSG_PTY_HOLDER_STATE, 0, 0);
	close_fd(&raw);
	settle();
	assert_int_equal(seen.handled, 1);
	assert_int_equal(seen.downs, 1);
	assert_int_equal(seen.why, PEER_GONE);
	assert_string_equal(seen.line, ""); /* an ordinary death is no warning */
	finish();
}

/* A record of no bytes reads as the end of the socket; it is no way to make the peer spin. */
static void
test_empty_record(void **state)
{
	(void)state;
	begin_with(PROC_HOLDER);
	raw_hello();
	assert_int_equal(raw_send("", 0, 0), 0);
	settle();
	assert_int_equal(seen.downs, 1);
	assert_int_equal(seen.why, PEER_GONE);
	finish();
}

static void
test_freed_in_its_handler(void **state)
{
	int before = open_descriptors();

	(void)state;
	for (int liar = 0; liar < 2; liar++) {
		begin_with(PROC_HOLDER);
		raw_hello();
		seen.phase = PH_ATTACH;
		seen.free_in_handler = true;
		seen.answer = liar ? -FOG_E_LIAR : 0;
		raw_message(MSG_PTY_HOLDER_STREAM, 7, 1);
		raw_message(MSG_PTY_HOLDER_STREAM, 8, 1);
		settle();
		assert_int_equal(seen.handled, 1);
		assert_int_equal(seen.downs, 0); /* it was the owner's own wish */
		finish();
		assert_int_equal(open_descriptors(), before);
	}
}

static void
test_freed_in_down(void **state)
{
	(void)state;
	begin_with(PROC_HOLDER);
	raw_hello();
	seen.free_in_down = true;
	raw_message(MSG_PTY_HOLDER_STATE, 7, 0);
	raw_message(MSG_PTY_HOLDER_STATE, 0, 0);
	settle();
	assert_int_equal(seen.downs, 1);
	assert_int_equal(seen.handled, 0);
	finish();
}

static void
test_lied_outside_a_handler(void **state)
{
	(void)state;
	begin_with(PROC_HOLDER);
	raw_hello();
	peer_lied(peer, "wrong nonce");
	peer_lied(peer, "again");
	assert_int_equal(seen.downs, 1);
	assert_int_equal(seen.why, PEER_LIED);
	assert_string_equal(seen.detail, "wrong nonce");
	finish();
}

static void
test_handler_keeps_the_descriptor(void **state)
{
	(void)state;
	begin_with(PROC_HOLDER);
	raw_hello();
	seen.phase = PH_ATTACH;
	seen.keep_fd = true;
	raw_message(MSG_PTY_HOLDER_STREAM, 7, 1);
	settle();
	assert_int_equal(seen.handled, 1);
	assert_true(seen.fd >= 0);
	assert_int_equal(fcntl(seen.fd, F_GETFD), FD_CLOEXEC);
	close(seen.fd);
	finish();
}

/* --- amounts --- */

static void
test_flood(void **state)
{
	(void)state;
	begin_with(PROC_HOLDER);
	raw_hello();
	for (int i = 0; i < 3 * PEER_BATCH; i++)
		raw_message(MSG_PTY_HOLDER_STATE, 0, 0);
	for (int i = 1; i <= 3; i++) {
		turn();
		assert_int_equal(seen.handled, i * PEER_BATCH);
	}
	assert_true(peer_is_up(peer));
	finish();
}

/* Sends without being read until it fails; each record carries a descriptor. */
static int
send_until_stuck(int *sent)
{
	struct pl_session_id id = { 0 };
	int rc = 0;

	for (*sent = 0; rc == 0 && *sent < SEND_LIMIT; (*sent)++)
		rc = peer_send(peer, MSG_SPAWN_KILL, 0, NULL, &id, dup(raw));
	return rc;
}

static void
test_neighbour_that_does_not_read(void **state)
{
	int before = open_descriptors();
	int sent;

	(void)state;
	for (int free_in_down = 0; free_in_down < 2; free_in_down++) {
		begin_with(PROC_SPAWNER);
		raw_hello();
		seen.free_in_down = free_in_down;
		assert_int_equal(send_until_stuck(&sent), -FOG_E_FULL);
		assert_true(sent > PEER_QUEUE_RECORDS && sent < SEND_LIMIT);
		assert_int_equal(seen.downs, 1);
		assert_int_equal(seen.why, PEER_STUCK);
		assert_non_null(strstr(seen.line, "why=stuck"));
		finish();
		assert_int_equal(open_descriptors(), before);
	}
}

/* Large records reach the bound in bytes before the one in records. */
static void
test_queue_bounded_in_bytes(void **state)
{
	static char text[8192];
	struct pl_bearer bearer = { .bearer = view_bytes(text, sizeof(text)),
		.scheme = SCHEME_BEARER };
	size_t sent = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	begin_with(PROC_AUTHD);
	while (peer_send(peer, MSG_AUTH_LIST, ++sent, NULL, &bearer, -1) == 0)
		assert_true(sent < PEER_QUEUE_RECORDS);
	assert_true(sent * sizeof(text) > PEER_QUEUE_BYTES / 2);
	assert_true(sent * sizeof(text) < 2 * (size_t)PEER_QUEUE_BYTES);
	assert_int_equal(seen.why, PEER_STUCK);
	finish();
}

/* What was queued goes out in order, once, when the neighbour reads again. */
static void
test_slow_neighbour(void **state)
{
	struct pl_session_id id = { 0 };
	uint64_t next = 0;
	struct msg m = { .fd = -1 };

	(void)state;
	begin_with(PROC_PLACERD);
	raw_hello();
	for (uint64_t i = 1; i <= 1000; i++)
		assert_int_equal(peer_send(peer, MSG_PLACE_STARTED, i, NULL, &id, -1), 0);
	for (int turns = 0; turns < 2000 && next <= 1000; turns++) {
		while (raw_receive(&m) > 0) {
			assert_int_equal(m.request_id, next);
			assert_int_equal(m.type, next ? MSG_PLACE_STARTED : MSG_HELLO);
			next++;
		}
		turn();
	}
	assert_int_equal(next, 1001);
	assert_true(peer_is_up(peer));
	assert_int_equal(seen.downs, 0);
	finish();
}

/* --- sending --- */

static void
test_send_on_a_down_peer(void **state)
{
	struct pl_session_id id = { 0 };
	int before;

	(void)state;
	begin_with(PROC_SPAWNER);
	raw_hello();
	close_fd(&raw);
	settle();
	before = open_descriptors();
	assert_int_equal(peer_send(peer, MSG_SPAWN_KILL, 0, NULL, &id, dup(0)), -FOG_E_UNAVAILABLE);
	assert_int_equal(peer_send(NULL, MSG_SPAWN_KILL, 0, NULL, &id, dup(0)), -FOG_E_UNAVAILABLE);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(seen.downs, 1);
	finish();
}

/* The first to learn of the death is a send; the owner may free the peer in down(). */
static void
test_send_finds_the_death(void **state)
{
	struct pl_session_id id = { 0 };

	(void)state;
	begin_with(PROC_SPAWNER);
	seen.free_in_down = true;
	close_fd(&raw);
	assert_int_equal(peer_send(peer, MSG_SPAWN_KILL, 0, NULL, &id, -1), -FOG_E_UNAVAILABLE);
	assert_int_equal(seen.downs, 1);
	assert_int_equal(seen.why, PEER_GONE);
	finish();
}

/* Our own mistake in a payload is refused and harms nobody. */
static void
test_send_out_of_bounds(void **state)
{
	struct pl_end end = { .end_reason = END_COUNT };
	int before;

	(void)state;
	begin_with(PROC_HOLDER);
	raw_hello();
	before = open_descriptors();
	assert_int_equal(peer_send(peer, MSG_HOLD_END, 0, NULL, &end, dup(0)), -FOG_E_BOUNDS);
	assert_int_equal(open_descriptors(), before);
	assert_true(peer_is_up(peer));
	finish();
}

static void
test_trace_and_id_travel(void **state)
{
	struct trace trace = { .b = "0123456789abcde" };
	struct pl_session_id id = { 0 };
	struct msg m = { .fd = -1 };

	(void)state;
	begin_with(PROC_PLACERD);
	assert_true(raw_receive(&m) > 0);
	assert_int_equal(peer_send(peer, MSG_PLACE_STARTED, UINT64_MAX, &trace, &id, -1), 0);
	assert_true(raw_receive(&m) > 0);
	assert_true(m.request_id == UINT64_MAX);
	assert_memory_equal(m.trace.b, trace.b, sizeof(trace.b));
	finish();
}

/* --- the delivery edge --- */

static void
test_receive_only(void **state)
{
	struct msg m = { .fd = -1 };
	int pair[2] = { -1, -1 };

	(void)state;
	begin();
	open_pair(pair);
	raw = pair[1];
	assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
	make_peer(pair[0], PROC_GATEWAYD, PROC_PTYD, PEER_RECEIVE_ONLY);
	settle();
	assert_int_equal(raw_receive(&m), 0); /* not even a hello */
	raw_hello();
	seen.phase = PH_ATTACH;
	raw_message(MSG_GATE_DELIVER, 7, 1);
	settle();
	assert_int_equal(seen.handled, 1);
	assert_int_equal(seen.type, MSG_GATE_DELIVER);
	assert_int_equal(seen.downs, 0);
	/* The kernel keeps the direction. */
	assert_int_equal(send(peer_fd(peer), "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	close_fd(&raw);
	settle();
	assert_int_equal(seen.downs, 1);
	finish();
}

static void
test_send_only(void **state)
{
	struct pl_session_role to = { .role = ROLE_DRIVER };
	struct msg m = { .fd = -1 };
	int pair[2] = { -1, -1 };

	(void)state;
	begin();
	open_pair(pair);
	raw = pair[1];
	assert_int_equal(shutdown(raw, SHUT_WR), 0);
	make_peer(pair[0], PROC_PTYD, PROC_GATEWAYD, PEER_SEND_ONLY);
	/* The shut side reports its end for ever: that is not the pair's death. */
	settle();
	assert_int_equal(seen.downs, 0);
	assert_true(raw_receive(&m) > 0);
	assert_int_equal(m.type, MSG_HELLO);
	assert_int_equal(peer_send(peer, MSG_GATE_DELIVER, 7, NULL, &to, dup(0)), 0);
	assert_true(raw_receive(&m) > 0);
	assert_int_equal(m.request_id, 7);
	close_fd(&raw);
	assert_int_equal(peer_send(peer, MSG_GATE_DELIVER, 8, NULL, &to, dup(0)),
	    -FOG_E_UNAVAILABLE);
	assert_int_equal(seen.why, PEER_GONE);
	finish();
}

/* No place for a descriptor is our own trouble: the record is lost, and nobody is blamed for it. */
static void
test_no_descriptor_left(void **state)
{
	struct rlimit limit, none;

	(void)state;
	begin_with(PROC_HOLDER);
	raw_hello();
	seen.phase = PH_ATTACH;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ 0, limit.rlim_max };
	raw_message(MSG_PTY_HOLDER_STREAM, 7, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	settle();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(seen.handled, 0);
	assert_int_equal(seen.downs, 0);
	assert_non_null(strstr(seen.line, "event=descriptor_lost"));
	raw_message(MSG_PTY_HOLDER_STREAM, 8, 1);
	settle();
	assert_int_equal(seen.handled, 1);
	assert_int_equal(seen.request_id, 8);
	finish();
}

#define PASSING_MAX 32 /* RLIMIT_NOFILE of the child below */
#define PASSING_SENT 50
#define PASSING_UID 1878917121 /* of nobody else: the kernel counts by user, and root is exempt */

/* The number of descriptors that arrived in order, or -1 when the pair went down. */
static int
pass_descriptors(void)
{
	struct rlimit limit = { PASSING_MAX, PASSING_MAX };
	struct pl_session_role to = { .role = ROLE_DRIVER };
	struct msg m = { .fd = -1 };
	uint64_t got = 0;

	if (setresuid(PASSING_UID, PASSING_UID, PASSING_UID) != 0 && geteuid() == 0)
		return -1;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return -1;
	for (uint64_t i = 1; i <= PASSING_SENT; i++) {
		if (peer_send(peer, MSG_GATE_DELIVER, i, NULL, &to, dup(0)) != 0)
			return -1;
	}
	for (int turns = 0; turns < 1000 && got < PASSING_SENT; turns++) {
		while (raw_receive(&m) > 0)
			got += m.request_id == got + 1;
		turn();
		usleep(1000);
	}
	return peer_is_up(peer) ? (int)got : -1;
}

/* A neighbour that is slow to take descriptors: the kernel refuses more of them (ETOOMANYREFS). */
static void
test_descriptors_on_their_way(void **state)
{
	int pair[2] = { -1, -1 }, status;
	pid_t pid;

	(void)state;
	begin();
	open_pair(pair);
	raw = pair[1];
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		event_reinit(base);
		make_peer(pair[0], PROC_PTYD, PROC_GATEWAYD, PEER_SEND_ONLY);
		_exit(pass_descriptors() == PASSING_SENT ? 0 : 1);
	}
	close_fd(&pair[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	finish();
}

static void
test_names(void **state)
{
	(void)state;
	assert_string_equal(peer_down_name(PEER_GONE), "gone");
	assert_string_equal(peer_down_name(PEER_LIED), "lied");
	assert_string_equal(peer_down_name(PEER_STUCK), "stuck");
	assert_string_equal(peer_down_name(PEER_OTHER_VERSION), "other_version");
	assert_false(peer_is_up(NULL));
	peer_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_record),
		cmocka_unit_test(test_nothing_after_a_lie),
		cmocka_unit_test(test_birth),
		cmocka_unit_test(test_own_hello),
		cmocka_unit_test(test_dead_at_birth),
		cmocka_unit_test(test_closed_by_the_other),
		cmocka_unit_test(test_empty_record),
		cmocka_unit_test(test_freed_in_its_handler),
		cmocka_unit_test(test_freed_in_down),
		cmocka_unit_test(test_lied_outside_a_handler),
		cmocka_unit_test(test_handler_keeps_the_descriptor),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_neighbour_that_does_not_read),
		cmocka_unit_test(test_queue_bounded_in_bytes),
		cmocka_unit_test(test_slow_neighbour),
		cmocka_unit_test(test_send_on_a_down_peer),
		cmocka_unit_test(test_send_finds_the_death),
		cmocka_unit_test(test_send_out_of_bounds),
		cmocka_unit_test(test_trace_and_id_travel),
		cmocka_unit_test(test_receive_only),
		cmocka_unit_test(test_send_only),
		cmocka_unit_test(test_no_descriptor_left),
		cmocka_unit_test(test_descriptors_on_their_way),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
