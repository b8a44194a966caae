/* SPDX-License-Identifier: MIT */
/*
 * Plays one of our processes as broken into. It is installed in place of a role in a test-only
 * libexec folder and takes its name from argv[0]. It starts like the role and then keeps silent;
 * signal SIGRTMIN + n makes it commit the n-th misdeed of its row of the table below
 * (hostile_peer --list ROLE prints number, edge and name). A hostile holder cannot be told by
 * signal: what it does is written in its session's Idempotency-Key.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/log.h"
#include "common/privdrop.h"
#include "common/proc.h"
#include "ptyd/launch.h"
#include "ptyd/plan.h"

#define RECORD_MAX (2 * MSG_MAX_BYTES)
#define BOMB_FDS 253 /* SCM_MAX_FD */
#define FLOOD_RECORDS 5000
#define FLOOD_SLICE 100
#define PATIENCE_MS 2000 /* for room in a full socket */
#define ANY_PHASE (PH_NEW | PH_ASKED | PH_SYNC | PH_NOTE)
#define TOKEN_MAX 4096
#define PLAN_MAX_BYTES 16384

struct misdeed {
	enum proc_id role;
	enum edge edge;
	const char *name;
	void (*commit)(const struct misdeed *d);
	enum msg_type sample; /* the honest message that is twisted, or the one that is sent */
};

/* The last request, or the first news of a session, that came over an edge. */
struct heard {
	uint64_t request_id;
	struct id128 session_id;
};

static struct hostile {
	struct role role;
	struct heard heard[EDGE_COUNT];
	struct id128 session_id; /* of the session we made or were told of */
	char token[TOKEN_MAX];
	uint64_t last_id;
	int parent_pidfd, init_pidfd, stream, blocking; /* made before the filter */
} self = { .parent_pidfd = -1, .init_pidfd = -1, .stream = -1, .blocking = -1 };

/* A session that exists nowhere: UUIDv8, as placerd makes them. */
static const struct id128 made_up = { .b = { 0xba, 0xdb, 0xad, 0xba, 0, 0, 0x80, 0, 0x80, 0, 0, 0,
					  0, 0, 0, 1 } };

/* --- records --- */

/* Never one of an earlier life, which may still be pending. */
static uint64_t
fresh_id(void)
{
	return (uint64_t)getpid() << 32 | ++self.last_id;
}

/* Every field at its lower bound; session ids are ours to choose, and the profile is a real one. */
static void
fill_field(const struct field *f, void *at, const struct id128 *session_id)
{
	static const char xs[] = "xxxxxxxxxxxxxxxx";

	switch (f->kind) {
	case FIELD_u8:
		*(uint8_t *)at = (uint8_t)f->min;
		break;
	case FIELD_u16:
		*(uint16_t *)at = (uint16_t)f->min;
		break;
	case FIELD_u32:
		*(uint32_t *)at = (uint32_t)f->min;
		break;
	case FIELD_u64:
		*(uint64_t *)at = f->min;
		break;
	case FIELD_id:
		*(struct id128 *)at = *session_id;
		break;
	case FIELD_raw32:
	case FIELD_raw768:
		break;
	default:
		*(struct view *)at = strcmp(f->name, "profile") == 0
		    ? view_of("default")
		    : view_bytes(xs, (size_t)f->min);
		break;
	}
}

static void
fill_payload(enum msg_type type, const struct id128 *session_id, union payload *u)
{
	const struct layout *l = &msg_layouts[msg_rows[type].payload];

	memset(u, 0, sizeof(*u));
	for (size_t i = 0; i < l->count; i++)
		fill_field(&l->fields[i], (char *)u + l->fields[i].offset, session_id);
}

static size_t
encode(unsigned char *out, enum msg_type type, uint64_t request_id, const struct id128 *session_id)
{
	union payload u;
	struct writer w;

	fill_payload(type, session_id, &u);
	writer_init(&w, out, RECORD_MAX);
	if (msg_put(&w, type, request_id, NULL, &u) != 0)
		log_error("event=hostile_mistake message=%s", msg_rows[type].name);
	return w.len;
}

static bool
is_request(enum msg_type type)
{
	return !(msg_rows[type].phases & (PH_NOTE | PH_SYNC | PH_HELLO));
}

static size_t
encode_sample(unsigned char *out, enum msg_type type)
{
	return encode(out, type, is_request(type) ? fresh_id() : 0, &made_up);
}

static int
socket_of(enum edge edge)
{
	/* Made before any edge, and the only one that is not in proc.c's table. */
	return edge == EDGE_CONTROL ? (int)GIFT_CONTROL
	    : proc_peer(edge)       ? peer_fd(proc_peer(edge))
				    : -1;
}

/* Waits for room for a while. 0 or -errno. */
static int
send_raw(enum edge edge, const void *bytes, size_t len, int fd, size_t fd_count)
{
	static union {
		struct cmsghdr align;
		char room[CMSG_SPACE(BOMB_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct pollfd room = { .fd = socket_of(edge), .events = POLLOUT };
	struct cmsghdr *c;

	if (fd_count > 0) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		for (size_t i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	}
	while (sendmsg(room.fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno != EAGAIN || poll(&room, 1, PATIENCE_MS) != 1)
			return -errno;
	}
	return 0;
}

/* A record that breaks no bound, by way of the table. */
static void
say(enum edge edge, enum msg_type type, uint64_t request_id, const struct id128 *session_id, int fd)
{
	unsigned char bytes[RECORD_MAX];
	size_t len = encode(bytes, type, request_id, session_id);

	send_raw(edge, bytes, len, fd, fd >= 0);
}

/* What a person sent, to the one server that never gets it. */
static void
send_token_to_provider(const struct misdeed *d)
{
	unsigned char bytes[RECORD_MAX];
	union payload u;
	struct writer w;

	fill_payload(d->sample, &made_up, &u);
	u.fetch.to = FETCH_TO_PROVIDER;
	u.fetch.authorization = view_of("Bearer of.a.person");
	writer_init(&w, bytes, sizeof(bytes));
	if (msg_put(&w, d->sample, fresh_id(), NULL, &u) == 0)
		send_raw(d->edge, bytes, w.len, -1, 0);
}

/* --- misdeeds that any process can commit on any edge --- */

static void
garbage(const struct misdeed *d)
{
	unsigned char bytes[300];

	memset(bytes, 0xa5, sizeof(bytes));
	send_raw(d->edge, bytes, sizeof(bytes), -1, 0);
}

static void
garbage_flood(const struct misdeed *d)
{
	unsigned char bytes[MSG_MAX_BYTES];

	memset(bytes, 0x5a, sizeof(bytes));
	for (int i = 0; i < FLOOD_RECORDS; i++) {
		if (send_raw(d->edge, bytes, sizeof(bytes), -1, 0) != 0)
			break;
	}
}

static void
cut(const struct misdeed *d)
{
	unsigned char bytes[RECORD_MAX];
	size_t len = encode_sample(bytes, d->sample);

	send_raw(d->edge, bytes, len - 1, 0, msg_rows[d->sample].fds);
}

static void
oversize(const struct misdeed *d)
{
	unsigned char bytes[RECORD_MAX] = { 0 };

	encode_sample(bytes, d->sample);
	send_raw(d->edge, bytes, sizeof(bytes), 0, msg_rows[d->sample].fds);
}

/* The last field, or the last byte of the id, above what the table allows. */
static void
out_of_bounds(const struct misdeed *d)
{
	unsigned char bytes[RECORD_MAX];
	size_t len = encode_sample(bytes, d->sample);

	memset(bytes + len - 8, 0xff, 8);
	send_raw(d->edge, bytes, len, 0, msg_rows[d->sample].fds);
}

static void
descriptors(const struct misdeed *d, size_t count)
{
	unsigned char bytes[RECORD_MAX];
	size_t len = encode_sample(bytes, d->sample);

	send_raw(d->edge, bytes, len, 0, count);
}

static void
unannounced_descriptor(const struct misdeed *d)
{
	descriptors(d, msg_rows[d->sample].fds + 1u);
}

static void
missing_descriptor(const struct misdeed *d)
{
	descriptors(d, 0);
}

static void
descriptor_bomb(const struct misdeed *d)
{
	for (int i = 0; i < 16; i++)
		descriptors(d, BOMB_FDS);
}

static void
second_hello(const struct misdeed *d)
{
	say(d->edge, MSG_HELLO, 0, &made_up, -1);
}

static void
wrong_request_id(const struct misdeed *d)
{
	say(d->edge, d->sample, is_request(d->sample) ? 0 : fresh_id(), &made_up,
	    msg_rows[d->sample].fds ? 0 : -1);
}

/* The sample as it is: of another sender, for another receiver, or about nothing that exists. */
static void
send_sample(const struct misdeed *d)
{
	say(d->edge, d->sample, is_request(d->sample) ? fresh_id() : 0, &made_up,
	    msg_rows[d->sample].fds ? 0 : -1);
}

static void
id_in_use(const struct misdeed *d)
{
	uint64_t id = fresh_id();

	say(d->edge, d->sample, id, &made_up, -1);
	say(d->edge, d->sample, id, &made_up, -1);
}

static void
flood_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	log_info("event=result what=flood_over");
}

/*
 * Honest messages, more than are ever pending at once, in slices: answers are read between. Its end
 * is said when the lines that it caused are out, else fogd's limit of lines could drop that one too.
 */
static void
flood_slice(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval at_once = { .tv_usec = 1000 }, calm = { .tv_sec = 2 };
	static int sent;
	const struct misdeed *d = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < FLOOD_SLICE; i++)
		send_sample(d);
	sent += FLOOD_SLICE;
	if (sent < FLOOD_RECORDS) {
		event_base_once(proc_base(), -1, EV_TIMEOUT, flood_slice, arg, &at_once);
		return;
	}
	sent = 0;
	event_base_once(proc_base(), -1, EV_TIMEOUT, flood_over, NULL, &calm);
}

static void
flood(const struct misdeed *d)
{
	flood_slice(-1, 0, (void *)(uintptr_t)d);
}

/* Requests for ever, and no answer is read. */
static void
mute(const struct misdeed *d)
{
	struct timespec hour = { .tv_sec = 3600 };
	unsigned char bytes[RECORD_MAX];

	for (int i = 0; i < 20 * FLOOD_RECORDS; i++) {
		size_t len = encode_sample(bytes, d->sample);

		if (send_raw(d->edge, bytes, len, STDIN_FILENO, msg_rows[d->sample].fds) != 0)
			break;
	}
	nanosleep(&hour, NULL);
}

static void
hang_up(const struct misdeed *d)
{
	shutdown(socket_of(d->edge), SHUT_RDWR);
}

/* --- misdeeds about a request that is pending, or a session that is known --- */

static struct id128
other_than(const struct id128 *id)
{
	struct id128 other = *id;

	other.b[ID_BYTES - 1] ^= 1;
	return other;
}

/* An answer to what was asked last: of the wrong verb, as the sample is chosen. */
static void
answer_with_sample(const struct misdeed *d)
{
	const struct heard *h = &self.heard[d->edge];

	say(d->edge, d->sample, h->request_id, &h->session_id, msg_rows[d->sample].fds ? 0 : -1);
}

static void
answer_about_another_session(const struct misdeed *d)
{
	const struct heard *h = &self.heard[d->edge];
	struct id128 other = other_than(&h->session_id);

	say(d->edge, d->sample, h->request_id, &other, msg_rows[d->sample].fds ? 0 : -1);
}

/* The request came along the chain, the lie goes over the delivery edge. */
static void
deliver(const struct id128 *session_id, int fd)
{
	say(EDGE_DELIVERY, MSG_GATE_DELIVER, self.heard[EDGE_PLACE_PTY].request_id, session_id, fd);
}

static void
deliver_another_session(const struct misdeed *d)
{
	struct id128 other = other_than(&self.heard[EDGE_PLACE_PTY].session_id);

	(void)d;
	deliver(&other, self.stream);
}

/* Its holder could stop gatewayd's loop by not reading. */
static void
deliver_blocking_stream(const struct misdeed *d)
{
	(void)d;
	deliver(&self.heard[EDGE_PLACE_PTY].session_id, self.blocking);
}

static void
deliver_no_stream(const struct misdeed *d)
{
	(void)d;
	deliver(&self.heard[EDGE_PLACE_PTY].session_id, STDIN_FILENO);
}

static void
deliver_nothing(const struct misdeed *d)
{
	(void)d;
	deliver(&self.heard[EDGE_PLACE_PTY].session_id, -1);
}

/* About the session that ptyd named first. */
static void
about_known_session(const struct misdeed *d)
{
	say(d->edge, d->sample, is_request(d->sample) ? fresh_id() : 0, &self.session_id, -1);
}

/* --- gatewayd --- */

static void
write_on_delivery(const struct misdeed *d)
{
	int rc = send_raw(EDGE_DELIVERY, "x", 1, -1, 0);
	int rc_fd = send_raw(EDGE_DELIVERY, "x", 1, 0, 1);

	(void)d;
	log_info("event=result what=write error=%s with_descriptor=%s", strerrorname_np(-rc),
	    strerrorname_np(-rc_fd));
}

/* How many sockets that could lead to another of our processes does this one have? */
static void
count_sockets(const struct misdeed *d)
{
	int found = 0;

	(void)d;
	for (int fd = 0; fd < 256; fd++) {
		int type = 0, domain = 0;
		socklen_t len = sizeof(type);

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
		    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0)
			found += domain == AF_UNIX && type == SOCK_SEQPACKET;
	}
	log_info("event=result what=seqpacket_sockets count=%d", found);
}

static void
make_session(const struct misdeed *d)
{
	struct pl_bearer_create wish = { .bearer = view_of("mallory"),
		.scheme = SCHEME_BEARER,
		.proof = view_of(""),
		.profile = view_of("default"),
		.ttl_seconds = 600,
		.placement_hint = view_of(""),
		.image_ref = view_of(""),
		.idem_key = view_of(""),
		.latencies = view_of("") };

	proc_send(d->edge, MSG_AUTH_CREATE, fresh_id(), NULL, &wish, -1);
}

static void
attach_to(enum edge edge, const struct id128 *session_id)
{
	struct pl_use_token use = { .token = view_of(self.token), .session_id = *session_id };

	proc_send(edge, MSG_AUTH_ATTACH, fresh_id(), NULL, &use, -1);
}

static void
attach(const struct misdeed *d)
{
	attach_to(d->edge, &self.session_id);
}

static void
attach_to_another_session(const struct misdeed *d)
{
	struct id128 other = other_than(&self.session_id);

	attach_to(d->edge, &other);
}

static void
attach_with_altered_token(const struct misdeed *d)
{
	char *middle = strchr(self.token, '.');

	middle[9] = middle[9] == 'A' ? 'B' : 'A';
	attach_to(d->edge, &self.session_id);
}

static void
mint_as_somebody_else(const struct misdeed *d)
{
	struct pl_bearer_mint mint = { .bearer = view_of("eve"),
		.scheme = SCHEME_BEARER,
		.proof = view_of(""),
		.session_id = self.session_id,
		.role = ROLE_DRIVER };

	proc_send(d->edge, MSG_AUTH_MINT, fresh_id(), NULL, &mint, -1);
}

/* --- ptyd, towards the spawner --- */

static void
kill_by(int pidfd)
{
	say(EDGE_PTY_SPAWN, MSG_SPAWN_KILL, 0, &made_up, pidfd);
}

static void
kill_fogd(const struct misdeed *d)
{
	(void)d;
	kill_by(self.parent_pidfd);
}

static void
kill_system_init(const struct misdeed *d)
{
	(void)d;
	kill_by(self.init_pidfd);
}

static void
kill_itself_by_no_pidfd(const struct misdeed *d)
{
	(void)d;
	kill_by(STDIN_FILENO);
}

/* A slot whose ids would belong to nobody here. */
static void
spawn_out_of_range(const struct misdeed *d)
{
	unsigned char bytes[RECORD_MAX];
	size_t len = encode_sample(bytes, d->sample);

	memset(bytes + MSG_HEADER_BYTES + ID_BYTES, 0xff, 4);
	send_raw(d->edge, bytes, len, 0, 1);
}

/* --- the control pair --- */

/* fogd is told that a pair is bad which this role has no end of. */
static void
accuse_strangers(const struct misdeed *d)
{
	struct pl_new_peer bad = { .epoch = 1 };
	unsigned char bytes[RECORD_MAX];
	struct writer w;

	for (int edge = EDGE_CONTROL + 1; edge < EDGE_COUNT; edge++) {
		const struct edge_row *row = &proc_edges[edge];

		if (row->left != self.role.id && row->right != self.role.id)
			bad.edge = (uint8_t)edge;
	}
	writer_init(&w, bytes, sizeof(bytes));
	msg_put(&w, MSG_CTL_PEER_BAD, 0, NULL, &bad);
	send_raw(d->edge, bytes, w.len, -1, 0);
}

static const struct misdeed misdeeds[] = {
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "garbage", garbage, 0 },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "garbage_flood", garbage_flood, 0 },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "descriptor_bomb", descriptor_bomb, MSG_AUTH_CHECK },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "second_hello", second_hello, 0 },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "oversize", oversize, MSG_AUTH_SHOW },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "name_a_subject", send_sample, MSG_PLACE_CREATE },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "speak_to_ptyd", send_sample, MSG_PTY_CREATE },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "answer_as_placerd", send_sample, MSG_AUTH_CREATED },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "id_in_use", id_in_use, MSG_AUTH_CREATE },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "mute", mute, MSG_AUTH_PROFILES },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "flood", flood, MSG_AUTH_CHECK },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "probe", send_sample, MSG_AUTH_CHECK },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "make_session", make_session, 0 },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "attach", attach, 0 },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "attach_to_another_session", attach_to_another_session,
	    0 },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "attach_with_altered_token", attach_with_altered_token,
	    0 },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "mint_as_somebody_else", mint_as_somebody_else, 0 },
	{ PROC_GATEWAYD, EDGE_DELIVERY, "write_on_delivery", write_on_delivery, 0 },
	{ PROC_GATEWAYD, EDGE_DELIVERY, "count_sockets", count_sockets, 0 },
	{ PROC_GATEWAYD, EDGE_GATE_AUTH, "hang_up", hang_up, 0 },
	{ PROC_GATEWAYD, EDGE_CONTROL, "control_garbage", garbage, 0 },
	{ PROC_GATEWAYD, EDGE_CONTROL, "accuse_strangers", accuse_strangers, 0 },

	{ PROC_AUTHD, EDGE_GATE_AUTH, "garbage_left", garbage, 0 },
	{ PROC_AUTHD, EDGE_GATE_AUTH, "cut_left", cut, MSG_GATE_REFUSED },
	{ PROC_AUTHD, EDGE_GATE_AUTH, "deliver", send_sample, MSG_GATE_DELIVER },
	{ PROC_AUTHD, EDGE_GATE_AUTH, "descriptor_left", unannounced_descriptor, MSG_GATE_REFUSED },
	{ PROC_AUTHD, EDGE_GATE_AUTH, "wrong_verb_left", answer_with_sample, MSG_GATE_CREATED },
	{ PROC_AUTHD, EDGE_GATE_AUTH, "other_session_left", answer_about_another_session,
	    MSG_GATE_SHOWN },
	{ PROC_AUTHD, EDGE_GATE_AUTH, "extended_another", answer_about_another_session,
	    MSG_GATE_EXTENDED },
	{ PROC_AUTHD, EDGE_GATE_AUTH, "late_left", flood, MSG_GATE_DONE },
	{ PROC_AUTHD, EDGE_AUTH_PLACE, "garbage_right", garbage_flood, 0 },
	{ PROC_AUTHD, EDGE_AUTH_PLACE, "speak_as_ptyd", send_sample, MSG_PLACE_KNOWN_ALL },
	{ PROC_AUTHD, EDGE_AUTH_PLACE, "id_in_use", id_in_use, MSG_PLACE_CREATE },
	{ PROC_AUTHD, EDGE_AUTH_PLACE, "mute", mute, MSG_PLACE_PROFILES },
	{ PROC_AUTHD, EDGE_AUTH_PLACE, "no_request_id", wrong_request_id, MSG_PLACE_LIST },
	{ PROC_AUTHD, EDGE_AUTH_PLACE, "bounds_right", out_of_bounds, MSG_PLACE_MINT },
	{ PROC_AUTHD, EDGE_AUTH_FETCH, "garbage_fetch", garbage, 0 },
	{ PROC_AUTHD, EDGE_AUTH_FETCH, "fetch_as_gatewayd", send_sample, MSG_AUTH_CREATE },
	{ PROC_AUTHD, EDGE_AUTH_FETCH, "fetch_no_request_id", wrong_request_id, MSG_FETCH_SEND },
	{ PROC_AUTHD, EDGE_AUTH_FETCH, "fetch_bounds", out_of_bounds, MSG_FETCH_SEND },
	{ PROC_AUTHD, EDGE_AUTH_FETCH, "fetch_descriptor", unannounced_descriptor, MSG_FETCH_SEND },
	{ PROC_AUTHD, EDGE_AUTH_FETCH, "fetch_flood", flood, MSG_FETCH_SEND },
	{ PROC_AUTHD, EDGE_AUTH_FETCH, "fetch_as_placerd", send_sample, MSG_PROBE_SEND },
	{ PROC_AUTHD, EDGE_AUTH_FETCH, "token_to_provider", send_token_to_provider,
	    MSG_FETCH_SEND },
	{ PROC_AUTHD, EDGE_CONTROL, "control_garbage", garbage_flood, 0 },
	{ PROC_AUTHD, EDGE_CONTROL, "accuse_strangers", accuse_strangers, 0 },

	{ PROC_PLACERD, EDGE_AUTH_PLACE, "garbage_left", garbage, 0 },
	{ PROC_PLACERD, EDGE_AUTH_PLACE, "descriptor_bomb", descriptor_bomb, MSG_AUTH_REFUSED },
	{ PROC_PLACERD, EDGE_AUTH_PLACE, "wrong_verb_left", answer_with_sample, MSG_AUTH_CREATED },
	{ PROC_PLACERD, EDGE_AUTH_PLACE, "other_session_left", answer_about_another_session,
	    MSG_AUTH_SHOWN },
	{ PROC_PLACERD, EDGE_AUTH_PLACE, "extended_another", answer_about_another_session,
	    MSG_AUTH_EXTENDED },
	{ PROC_PLACERD, EDGE_AUTH_PLACE, "forward_to_a_stranger", answer_with_sample,
	    MSG_AUTH_FORWARD },
	{ PROC_PLACERD, EDGE_AUTH_PLACE, "list_of_a_stranger", answer_with_sample, MSG_AUTH_ALSO },
	{ PROC_PLACERD, EDGE_AUTH_PLACE, "late_left", flood, MSG_AUTH_REFUSED },
	{ PROC_PLACERD, EDGE_PLACE_PROBE, "garbage_probe", garbage, 0 },
	{ PROC_PLACERD, EDGE_PLACE_PROBE, "probe_as_authd", send_sample, MSG_FETCH_SEND },
	{ PROC_PLACERD, EDGE_PLACE_PROBE, "probe_no_request_id", wrong_request_id, MSG_PROBE_SEND },
	{ PROC_PLACERD, EDGE_PLACE_PROBE, "probe_bounds", out_of_bounds, MSG_PROBE_SEND },
	{ PROC_PLACERD, EDGE_PLACE_PROBE, "probe_flood", flood, MSG_PROBE_SEND },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "garbage_right", garbage, 0 },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "plan_out_of_bounds", out_of_bounds, MSG_PTY_CREATE },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "descriptor_right", unannounced_descriptor, MSG_PTY_END },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "speak_as_spawner", send_sample, MSG_PTY_SPAWNED },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "speak_as_holder", send_sample, MSG_PTY_HOLDER_STATE },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "id_in_use", id_in_use, MSG_PTY_CREATE },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "create_twin", about_known_session, MSG_PTY_CREATE },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "kept_though_living", about_known_session,
	    MSG_PTY_STATE_KEPT },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "attach_unknown", send_sample, MSG_PTY_ATTACH },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "end_unknown", send_sample, MSG_PTY_END },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "extend_unknown", send_sample, MSG_PTY_EXTEND },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "extend_for_ever", out_of_bounds, MSG_PTY_EXTEND },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "flood", flood, MSG_PTY_ATTACH },
	{ PROC_PLACERD, EDGE_PLACE_PTY, "mute", mute, MSG_PTY_ATTACH },
	{ PROC_PLACERD, EDGE_CONTROL, "control_garbage", cut, MSG_CTL_PREPARED },
	{ PROC_PLACERD, EDGE_CONTROL, "accuse_strangers", accuse_strangers, 0 },

	{ PROC_PTYD, EDGE_PLACE_PTY, "garbage_left", garbage, 0 },
	{ PROC_PTYD, EDGE_PLACE_PTY, "known_late", send_sample, MSG_PLACE_KNOWN },
	{ PROC_PTYD, EDGE_PLACE_PTY, "known_all_twice", send_sample, MSG_PLACE_KNOWN_ALL },
	{ PROC_PTYD, EDGE_PLACE_PTY, "descriptor_left", unannounced_descriptor, MSG_PLACE_STATE },
	{ PROC_PTYD, EDGE_PLACE_PTY, "bounds_left", out_of_bounds, MSG_PLACE_STATE },
	{ PROC_PTYD, EDGE_PLACE_PTY, "extended_another", answer_about_another_session,
	    MSG_PLACE_EXTENDED },
	{ PROC_PTYD, EDGE_PLACE_PTY, "extended_otherwise", answer_with_sample, MSG_PLACE_EXTENDED },
	{ PROC_PTYD, EDGE_PLACE_PTY, "late_left", flood, MSG_PLACE_STARTED },
	{ PROC_PTYD, EDGE_DELIVERY, "garbage_delivery", garbage, 0 },
	{ PROC_PTYD, EDGE_DELIVERY, "deliver_unasked", flood, MSG_GATE_DELIVER },
	{ PROC_PTYD, EDGE_DELIVERY, "deliver_bomb", descriptor_bomb, MSG_GATE_DELIVER },
	{ PROC_PTYD, EDGE_DELIVERY, "deliver_without_descriptor", missing_descriptor,
	    MSG_GATE_DELIVER },
	{ PROC_PTYD, EDGE_DELIVERY, "deliver_another_session", deliver_another_session, 0 },
	{ PROC_PTYD, EDGE_DELIVERY, "deliver_no_stream", deliver_no_stream, 0 },
	{ PROC_PTYD, EDGE_DELIVERY, "deliver_blocking_stream", deliver_blocking_stream, 0 },
	{ PROC_PTYD, EDGE_DELIVERY, "deliver_nothing", deliver_nothing, 0 },
	{ PROC_PTYD, EDGE_PTY_SPAWN, "garbage_right", garbage, 0 },
	{ PROC_PTYD, EDGE_PTY_SPAWN, "spawn_without_plan", send_sample, MSG_SPAWN_SESSION },
	{ PROC_PTYD, EDGE_PTY_SPAWN, "spawn_out_of_range", spawn_out_of_range, MSG_SPAWN_SESSION },
	{ PROC_PTYD, EDGE_PTY_SPAWN, "spawn_no_descriptor", missing_descriptor, MSG_SPAWN_SESSION },
	{ PROC_PTYD, EDGE_PTY_SPAWN, "mute", mute, MSG_SPAWN_SESSION },
	{ PROC_PTYD, EDGE_PTY_SPAWN, "kill_fogd", kill_fogd, 0 },
	{ PROC_PTYD, EDGE_PTY_SPAWN, "kill_system_init", kill_system_init, 0 },
	{ PROC_PTYD, EDGE_PTY_SPAWN, "kill_by_no_pidfd", kill_itself_by_no_pidfd, 0 },
	{ PROC_PTYD, EDGE_CONTROL, "control_garbage", oversize, MSG_CTL_READY },

	{ PROC_SPAWNER, EDGE_PTY_SPAWN, "garbage", garbage, 0 },
	{ PROC_SPAWNER, EDGE_PTY_SPAWN, "descriptor_bomb", descriptor_bomb, MSG_PTY_SPAWNED },
	{ PROC_SPAWNER, EDGE_PTY_SPAWN, "speak_as_placerd", send_sample, MSG_PTY_CREATE },
	{ PROC_SPAWNER, EDGE_PTY_SPAWN, "late", flood, MSG_PTY_SPAWNED },
	{ PROC_SPAWNER, EDGE_PTY_SPAWN, "spawned_another", answer_about_another_session,
	    MSG_PTY_SPAWNED },
	{ PROC_SPAWNER, EDGE_PTY_SPAWN, "spawned_nothing", answer_with_sample, MSG_PTY_SPAWNED },
	{ PROC_SPAWNER, EDGE_CONTROL, "control_garbage", garbage, 0 },
	{ PROC_SPAWNER, EDGE_CONTROL, "accuse_strangers", accuse_strangers, 0 },

	{ PROC_FETCHER, EDGE_AUTH_FETCH, "garbage", garbage, 0 },
	{ PROC_FETCHER, EDGE_AUTH_FETCH, "descriptor_bomb", descriptor_bomb, MSG_AUTH_FETCHED },
	{ PROC_FETCHER, EDGE_AUTH_FETCH, "speak_as_placerd", send_sample, MSG_AUTH_CREATED },
	{ PROC_FETCHER, EDGE_AUTH_FETCH, "speak_as_gatewayd", send_sample, MSG_AUTH_CREATE },
	{ PROC_FETCHER, EDGE_AUTH_FETCH, "no_request_id", wrong_request_id, MSG_AUTH_FETCHED },
	{ PROC_FETCHER, EDGE_AUTH_FETCH, "bounds", out_of_bounds, MSG_AUTH_FETCHED },
	{ PROC_FETCHER, EDGE_AUTH_FETCH, "oversize", oversize, MSG_AUTH_FETCHED_PART },
	{ PROC_FETCHER, EDGE_AUTH_FETCH, "unasked", send_sample, MSG_AUTH_FETCHED },
	{ PROC_FETCHER, EDGE_CONTROL, "control_garbage", garbage, 0 },
	{ PROC_FETCHER, EDGE_CONTROL, "accuse_strangers", accuse_strangers, 0 },

	{ PROC_PROBER, EDGE_PLACE_PROBE, "garbage", garbage, 0 },
	{ PROC_PROBER, EDGE_PLACE_PROBE, "descriptor_bomb", descriptor_bomb, MSG_PLACE_FETCHED },
	{ PROC_PROBER, EDGE_PLACE_PROBE, "speak_as_authd", send_sample, MSG_PLACE_CREATE },
	{ PROC_PROBER, EDGE_PLACE_PROBE, "speak_as_ptyd", send_sample, MSG_PLACE_KNOWN_ALL },
	{ PROC_PROBER, EDGE_PLACE_PROBE, "speak_as_fetcher", send_sample, MSG_AUTH_FETCHED },
	{ PROC_PROBER, EDGE_PLACE_PROBE, "no_request_id", wrong_request_id, MSG_PLACE_FETCHED },
	{ PROC_PROBER, EDGE_PLACE_PROBE, "bounds", out_of_bounds, MSG_PLACE_FETCHED },
	{ PROC_PROBER, EDGE_PLACE_PROBE, "oversize", oversize, MSG_PLACE_FETCHED_PART },
	{ PROC_PROBER, EDGE_PLACE_PROBE, "unasked", send_sample, MSG_PLACE_FETCHED },
	{ PROC_PROBER, EDGE_CONTROL, "control_garbage", garbage, 0 },
	{ PROC_PROBER, EDGE_CONTROL, "accuse_strangers", accuse_strangers, 0 },
};

/* --- the role --- */

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	const struct misdeed *d = arg;

	(void)number;
	(void)what;
	log_info("event=misdeed name=%s edge=%s", d->name, edge_name(d->edge));
	d->commit(d);
}

static int
load(void *ctx)
{
	int number = SIGRTMIN;

	(void)ctx;
	for (size_t i = 0; i < COUNT_OF(misdeeds); i++) {
		struct event *e;

		if (misdeeds[i].role != self.role.id)
			continue;
		e = evsignal_new(proc_base(), number++, on_signal, (void *)(uintptr_t)&misdeeds[i]);
		if (!e || event_add(e, NULL) != 0)
			return -1;
	}
	if (self.role.id == PROC_PTYD) {
		self.parent_pidfd = (int)syscall(SYS_pidfd_open, getppid(), 0);
		self.init_pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
		self.stream = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		self.blocking = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	}
	return 0;
}

static void
remember(const struct peer *from, const struct msg *m)
{
	const struct layout *l = &msg_layouts[msg_rows[m->type].payload];
	struct heard *h = &self.heard[peer_edge(from)];

	if (msg_rows[m->type].phases == PH_NEW)
		h->request_id = m->request_id;
	for (size_t i = 0; i < l->count; i++) {
		if (l->fields[i].kind == FIELD_id && strcmp(l->fields[i].name, "session_id") == 0)
			memcpy(&h->session_id, (const char *)&m->u + l->fields[i].offset,
			    sizeof(h->session_id));
	}
	if (m->type == MSG_PLACE_KNOWN || m->type == MSG_GATE_CREATED)
		self.session_id = h->session_id;
	if (m->type == MSG_GATE_CREATED)
		view_copy(m->u.created.token, self.token, sizeof(self.token));
}

static int
on_message(void *ctx, struct peer *from, struct msg *m)
{
	enum payload_kind kind = msg_rows[m->type].payload;
	const char *error = kind == PAYLOAD_refused ? err_code(m->u.refused.error)
	    : kind == PAYLOAD_gate_refused          ? err_code(m->u.gate_refused.error)
						    : "none";

	(void)ctx;
	remember(from, m);
	log_info("event=heard message=%s error=%s", msg_rows[m->type].name, error);
	return 0;
}

static unsigned
any_phase(void *ctx, struct peer *from, const struct msg *m)
{
	(void)ctx;
	(void)from;
	(void)m;
	return ANY_PHASE;
}

/* A broken-into ptyd tells placerd of a session that does not exist, of a user of its choice. */
static void
edge_up(void *ctx, struct peer *p)
{
	union payload u;

	(void)ctx;
	log_info("event=hostile_ready edge=%s", edge_name(peer_edge(p)));
	if (self.role.id != PROC_PTYD || peer_edge(p) != EDGE_PLACE_PTY)
		return;
	fill_payload(MSG_PLACE_KNOWN, &made_up, &u);
	u.known.issuer = view_of("dev");
	u.known.subject = view_of("victim");
	u.known.profile = view_of("default");
	u.known.status = STATUS_DETACHED;
	u.known.created_s = (uint64_t)time(NULL);
	u.known.expires_s = u.owned.created_s + 600;
	peer_send(p, MSG_PLACE_KNOWN, 0, NULL, &u, -1);
	peer_send(p, MSG_PLACE_KNOWN_ALL, 0, NULL, NULL, -1);
}

static void
edge_down(void *ctx, enum edge edge)
{
	(void)ctx;
	log_info("event=edge_lost edge=%s", edge_name(edge));
}

static int
play_role(enum proc_id id)
{
	static msg_handler handlers[MSG_COUNT];

	for (size_t i = 0; i < MSG_COUNT; i++)
		handlers[i] = msg_rows[i].receiver == id ? on_message : NULL;
	self.role = (struct role){ .id = id,
		.handlers = handlers,
		.phase_of = any_phase,
		.load = load,
		.edge_up = edge_up,
		.edge_down = edge_down };
	return proc_main(&self.role);
}

/* --- the holder --- */

static struct {
	struct event_base *base;
	unsigned char plan_bytes[PLAN_MAX_BYTES];
	struct pl_holder_plan plan;
	char misdeed[64];
	struct peer *broker;
	int stream;
} holder = { .stream = -1 };

static bool
does(const char *misdeed)
{
	return strcmp(holder.misdeed, misdeed) == 0;
}

static void
send_holder_hello(struct peer *to)
{
	union payload u;

	fill_payload(MSG_PTY_HOLDER_HELLO, &holder.plan.session_id, &u);
#define COPY_PLAN(T, kind, name, min, max) u.holder_hello.name = holder.plan.name;
	FIELDS_holder_hello(COPY_PLAN, ) u.holder_hello.status = STATUS_DETACHED;
	if (does("wrong-nonce"))
		u.holder_hello.nonce.b[31] ^= 1;
	if (does("another-session"))
		u.holder_hello.session_id = other_than(&holder.plan.session_id);
	if (does("another-owner"))
		u.holder_hello.subject = view_of("somebody-else");
	if (does("another-life"))
		u.holder_hello.expires_s = u.holder_hello.created_s + PLAN_TTL_MAX_SECONDS + 1;
	if (does("another-slot"))
		u.holder_hello.slot ^= 1;
	if (!does("silent"))
		peer_send(to, MSG_PTY_HOLDER_HELLO, 0, NULL, &u, -1);
}

static int
send_to_broker(const void *bytes, size_t len)
{
	return send(peer_fd(holder.broker), bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

static void
say_to_broker(enum msg_type type, const struct id128 *session_id)
{
	union payload u;

	fill_payload(type, session_id, &u);
	peer_send(holder.broker, type, 0, NULL, &u, -1);
}

/* After a good hello, while the session seems to live. */
static void
lie_to_broker(void)
{
	struct id128 other = other_than(&holder.plan.session_id);

	if (does("garbage"))
		send_to_broker("garbage for the broker, more than a header of it", 48);
	else if (does("state-of-another"))
		say_to_broker(MSG_PTY_HOLDER_STATE, &other);
	else if (does("speak-as-placerd"))
		say_to_broker(MSG_PTY_STATE_KEPT, &other);
	else if (does("hello-twice"))
		send_holder_hello(holder.broker);
	else if (does("flood"))
		for (int i = 0; i < FLOOD_RECORDS && peer_is_up(holder.broker); i++)
			say_to_broker(MSG_PTY_HOLDER_LOG, &other);
}

static void
on_lie_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (peer_is_up(holder.broker))
		lie_to_broker();
}

static int
holder_on_hello(void *ctx, struct peer *from, struct msg *m)
{
	static const struct timeval soon = { .tv_usec = 300000 };

	(void)ctx;
	(void)m;
	send_holder_hello(from);
	event_base_once(holder.base, -1, EV_TIMEOUT, on_lie_timer, NULL, &soon);
	return 0;
}

/* What gatewayd gets on its stream. */
static void
lie_to_gateway(int fd)
{
	static const unsigned char huge[] = { 0xff, 0xff, 0xff, 0xff, 'o', 'x' };
	static const unsigned char of_gateway[] = { 0, 0, 0, 5, 'r', 0, 80, 0, 24 };
	static const unsigned char zeros[4096];
	ssize_t n = 0;

	if (does("stream-garbage"))
		n = write(fd, "\xde\xad\xbe\xef garbage, not a frame", 24);
	else if (does("stream-huge"))
		n = write(fd, huge, sizeof(huge));
	else if (does("stream-as-gateway"))
		n = write(fd, of_gateway, sizeof(of_gateway));
	else if (does("stream-zeros"))
		n = write(fd, zeros, sizeof(zeros));
	if (n < 0)
		log_warn("event=hostile_mistake");
}

static int
holder_on_attach(void *ctx, struct peer *from, struct msg *m)
{
	struct pl_session_role what = { .session_id = m->u.grant.session_id,
		.role = m->u.grant.role };
	int pair[2];

	(void)ctx;
	if (does("stream-no-socket"))
		return peer_send(from, MSG_PTY_HOLDER_STREAM, m->request_id, NULL, &what,
		    fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
	if (socketpair(AF_UNIX,
		SOCK_STREAM | SOCK_CLOEXEC | (does("stream-blocking") ? 0 : SOCK_NONBLOCK), 0,
		pair) != 0)
		return 0;
	if (does("stream-of-another"))
		what.session_id = other_than(&what.session_id);
	close_fd(&holder.stream);
	holder.stream = pair[0];
	lie_to_gateway(pair[0]);
	return peer_send(from, MSG_PTY_HOLDER_STREAM, m->request_id, NULL, &what, pair[1]);
}

static int
holder_on_extend(void *ctx, struct peer *from, struct msg *m)
{
	struct pl_extended done = { .session_id = m->u.extend.session_id,
		.expires_s = holder.plan.created_s + m->u.extend.ttl_seconds };

	(void)ctx;
	if (does("extends-another"))
		done.session_id = other_than(&done.session_id);
	if (does("extends-longer"))
		done.expires_s++;
	return peer_send(from, MSG_PTY_HOLDER_EXTENDED, m->request_id, NULL, &done, -1);
}

static int
holder_on_end(void *ctx, struct peer *from, struct msg *m)
{
	(void)ctx;
	(void)from;
	(void)m;
	event_base_loopexit(holder.base, NULL);
	return 0;
}

static int
holder_on_kept(void *ctx, struct peer *from, struct msg *m)
{
	(void)ctx;
	(void)from;
	(void)m;
	return 0;
}

static void
holder_down(void *ctx, struct peer *p, enum peer_down why, const char *detail)
{
	(void)ctx;
	(void)why;
	(void)detail;
	if (p == holder.broker)
		holder.broker = NULL;
	peer_free(p);
}

static void
holder_on_accept(evutil_socket_t fd, short what, void *arg)
{
	static const msg_handler handlers[MSG_COUNT] = {
		[MSG_HOLD_HELLO] = holder_on_hello,
		[MSG_HOLD_ATTACH] = holder_on_attach,
		[MSG_HOLD_EXTEND] = holder_on_extend,
		[MSG_HOLD_END] = holder_on_end,
		[MSG_HOLD_STATE_KEPT] = holder_on_kept,
	};
	static const struct peer_ops ops = { handlers, any_phase, holder_down };
	struct peer_end end = { .edge = EDGE_HOLDER,
		.self = PROC_HOLDER,
		.other = PROC_PTYD,
		.way = PEER_BOTH,
		.epoch = 1 };

	(void)what;
	(void)arg;
	end.fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (end.fd < 0)
		return;
	peer_free(holder.broker);
	holder.broker = peer_new(holder.base, &end, &ops, NULL);
}

static int
read_plan(void)
{
	ssize_t n = pread(HOLDER_FD_PLAN, holder.plan_bytes, sizeof(holder.plan_bytes), 0);
	struct reader r;

	if (n <= 0)
		return -1;
	reader_init(&r, holder.plan_bytes, (size_t)n);
	if (codec_get(&r, &msg_layouts[PAYLOAD_holder_plan], &holder.plan, NULL) != 0)
		return -1;
	return view_copy(holder.plan.idem_key, holder.misdeed, sizeof(holder.misdeed));
}

static int
play_holder(void)
{
	struct event *acceptor;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "holder", 0, 0, 0);
	log_init(-1, LOG_LEVEL_ERROR);
	fcntl(HOLDER_FD_LISTEN, F_SETFL, O_NONBLOCK);
	holder.base = event_base_new();
	if (!holder.base || read_plan() != 0 || privdrop_finish(0) || filter_load(PROC_HOLDER) != 0)
		return 1;
	acceptor = event_new(holder.base, HOLDER_FD_LISTEN, EV_READ | EV_PERSIST, holder_on_accept,
	    NULL);
	if (!acceptor || event_add(acceptor, NULL) != 0 || listen(HOLDER_FD_LISTEN, 4) != 0)
		return 1;
	close(HOLDER_FD_REPORT);
	event_base_dispatch(holder.base);
	return 0;
}

/* --- start --- */

static int
list(const char *role)
{
	int number = SIGRTMIN;

	for (size_t i = 0; i < COUNT_OF(misdeeds); i++) {
		if (strcmp(proc_name(misdeeds[i].role), role) == 0)
			printf("%d %s %s\n", number++, edge_name(misdeeds[i].edge),
			    misdeeds[i].name);
	}
	return number > SIGRTMIN && number <= SIGRTMAX ? 0 : 2;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--list") == 0)
		return list(argv[2]);
	if (argc == 1 && strcmp(argv[0], "holder") == 0)
		return play_holder();
	for (int p = PROC_GATEWAYD; argc == 1 && p < PROC_ROLE; p++) {
		if (strcmp(argv[0], proc_name((unsigned)p)) == 0)
			return play_role((enum proc_id)p);
	}
	fputs("usage: hostile_peer --list ROLE\n", stderr);
	return 2;
}
