/* SPDX-License-Identifier: MIT */
/* One end of a socket pair between our processes: see peer.h. */
#include "common/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/log.h"

#define PEER_MAGIC 0x70656572u
#define MAX_DESCRIPTORS 4 /* room to see, and close, what was not announced */
#define RETRY_MS 5

struct record {
	TAILQ_ENTRY(record) next;
	int fd;
	size_t len;
	unsigned char bytes[];
};

struct peer {
	unsigned magic;
	struct peer_end end;
	const struct peer_ops *ops;
	void *ctx;
	struct event *readable, *writable, *retry;
	TAILQ_HEAD(, record) queue;
	size_t queued_records, queued_bytes;
	bool up, hello_seen, in_turn, doomed;
	uint64_t other_hash; /* of the other end's hello; 0 before it */
};

static const char *const down_names[] = { "gone", "lied", "stuck", "other_version" };

/* What one recvmsg brought. */
struct arrival {
	unsigned char bytes[MSG_MAX_BYTES];
	size_t len;
	int fds[MAX_DESCRIPTORS];
	size_t fd_count;
	int flags;
};

/* Records hold tokens: wiped when they go. */
static void
drop_first(struct peer *p)
{
	struct record *r = TAILQ_FIRST(&p->queue);

	TAILQ_REMOVE(&p->queue, r, next);
	p->queued_records--;
	p->queued_bytes -= r->len;
	explicit_bzero(r->bytes, r->len);
	close_fd(&r->fd);
	free(r);
}

static void
drop_queue(struct peer *p)
{
	while (p->queued_records > 0)
		drop_first(p);
}

static void
release(struct peer *p)
{
	if (p->readable)
		event_free(p->readable);
	if (p->writable)
		event_free(p->writable);
	if (p->retry)
		event_free(p->retry);
	p->readable = p->writable = p->retry = NULL;
	drop_queue(p);
	close_fd(&p->end.fd);
	p->up = false;
}

static void
go_down(struct peer *p, enum peer_down why, const char *detail)
{
	if (!p->up)
		return;
	release(p);
	if (why == PEER_GONE || why == PEER_OTHER_VERSION) /* the owner knows what that means */
		log_debug("event=peer_down edge=%s peer=%s why=%s", edge_name(p->end.edge),
		    proc_name(p->end.other), down_names[why]);
	else
		log_warnx("event=peer_down edge=%s peer=%s why=%s detail=\"%s\"",
		    edge_name(p->end.edge), proc_name(p->end.other), down_names[why], detail);
	p->ops->down(p->ctx, p, why, detail);
}

void
peer_lied(struct peer *p, const char *detail)
{
	go_down(p, PEER_LIED, detail);
}

/* sendmsg of one record: 0, -EAGAIN, or another -errno. */
static int
transmit(int sock, const void *bytes, size_t len, int fd)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* ETOOMANYREFS: as many descriptors as RLIMIT_NOFILE are on their way and not yet received. */
static bool
is_passing(int rc)
{
	return rc == -EAGAIN || rc == -ENOBUFS || rc == -ETOOMANYREFS;
}

/* But for EAGAIN the socket is writable all the time, and waiting for that would spin. */
static void
send_later(struct peer *p, int rc)
{
	static const struct timeval pause = { .tv_usec = RETRY_MS * 1000 };

	if (rc == -EAGAIN)
		event_add(p->writable, NULL);
	else
		event_add(p->retry, &pause);
}

static int
enqueue(struct peer *p, const struct writer *w, int fd)
{
	struct record *r;

	if (p->queued_records >= PEER_QUEUE_RECORDS || p->queued_bytes + w->len > PEER_QUEUE_BYTES)
		return -FOG_E_FULL;
	r = malloc(sizeof(*r) + w->len);
	if (!r)
		return -FOG_E_NOMEM;
	r->fd = fd;
	r->len = w->len;
	memcpy(r->bytes, w->p, w->len);
	TAILQ_INSERT_TAIL(&p->queue, r, next);
	p->queued_records++;
	p->queued_bytes += w->len;
	return 0;
}

static int
send_or_queue(struct peer *p, const struct writer *w, int fd)
{
	bool is_first = TAILQ_EMPTY(&p->queue);
	int rc = is_first ? transmit(p->end.fd, w->p, w->len, fd) : -EAGAIN;

	if (rc == 0) {
		close_fd(&fd);
		return 0;
	}
	if (is_passing(rc)) {
		if (is_first)
			send_later(p, rc);
		rc = enqueue(p, w, fd);
		if (rc == 0)
			return 0;
		close_fd(&fd);
		go_down(p, PEER_STUCK, "its queue is full");
		return rc;
	}
	close_fd(&fd);
	go_down(p, PEER_GONE, "send failed");
	return -FOG_E_UNAVAILABLE;
}

int
peer_send(struct peer *p, enum msg_type type, uint64_t request_id, const struct trace *trace,
    const void *payload, int fd)
{
	/* Not on the stack: pages once touched there stay. A log line of what fails may send, too. */
	static unsigned char bytes[MSG_MAX_BYTES];
	struct writer w;
	int rc = -FOG_E_UNAVAILABLE;

	if (peer_is_up(p)) {
		writer_init(&w, bytes, sizeof(bytes));
		rc = msg_put(&w, type, request_id, trace, payload);
		if (rc == 0) {
			rc = send_or_queue(p, &w, steal_fd(&fd));
		} else {
			log_error("event=unsendable message=%s", msg_rows[type].name);
		}
		explicit_bzero(bytes, w.len);
	}
	close_fd(&fd);
	return rc;
}

static void
on_writable(evutil_socket_t sock, short what, void *arg)
{
	struct peer *p = arg;
	struct record *r;
	int rc = 0;

	(void)sock;
	(void)what;
	while (p->queued_records > 0) {
		r = TAILQ_FIRST(&p->queue);
		/* The analyzer does not see that TAILQ_REMOVE moved the head on. */
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		rc = transmit(p->end.fd, r->bytes, r->len, r->fd);
		if (rc != 0)
			break;
		drop_first(p);
	}
	if (is_passing(rc))
		send_later(p, rc);
	else if (rc != 0)
		go_down(p, PEER_GONE, "send failed");
}

static void
collect_descriptors(struct msghdr *mh, struct arrival *a)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && a->fd_count < MAX_DESCRIPTORS; i++)
			memcpy(&a->fds[a->fd_count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
}

/* 1: a record; 0: the end; -1: errno. */
static int
receive(int sock, struct arrival *a)
{
	struct iovec iov = { .iov_base = a->bytes, .iov_len = sizeof(a->bytes) };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
	} control;
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room) };
	ssize_t n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	a->fd_count = 0;
	if (n < 0)
		return -1;
	a->len = (size_t)n;
	a->flags = mh.msg_flags;
	collect_descriptors(&mh, a);
	return n > 0 || a->fd_count > 0;
}

static bool
is_of_other_version(const struct peer *p)
{
	return p->hello_seen && p->other_hash != msg_edge_hash(p->end.edge);
}

static const char *
check_hello(struct peer *p, const struct msg *m)
{
	p->hello_seen = true;
	p->other_hash = m->u.hello.table_hash;
	if (is_of_other_version(p))
		return "it speaks another version of the protocol";
	if (m->u.hello.epoch != p->end.epoch)
		return "its epoch is another";
	return NULL;
}

/* Is this message legal here and now? NULL, or what is wrong. */
static const char *
check_row(const struct peer *p, const struct msg *m, size_t fd_count)
{
	const struct msg_row *row = &msg_rows[m->type];

	if (fd_count != row->fds)
		return "the number of descriptors is wrong";
	if ((m->type == MSG_HELLO) == p->hello_seen)
		return p->hello_seen ? "a second hello" : "the first record is no hello";
	if (m->type == MSG_HELLO)
		return NULL;
	if (row->sender != PROC_ANY && row->sender != p->end.other)
		return "the message is not this sender's";
	if (!p->ops->handlers[m->type])
		return "the message is not for this receiver";
	if ((row->phases & (PH_NOTE | PH_SYNC)) ? m->request_id != 0 : m->request_id == 0)
		return "the request id is not one for this message";
	return NULL;
}

/* NULL: go on; "": a late answer, to be dropped; else what is wrong. */
static const char *
check_phase(struct peer *p, const struct msg *m)
{
	unsigned phase = p->ops->phase_of(p->ctx, p, m);
	unsigned legal = msg_rows[m->type].phases;

	if (phase & legal)
		return NULL;
	if (phase == PH_NEW && (legal & PH_ASKED))
		return "";
	return "the message is not legal in this phase";
}

/*
 * The kernel leaves out what this process has no room for in its table of descriptors. A sender
 * cannot bring that about, but many clients can, and the neighbour must not be blamed for it.
 */
static bool
lacks_descriptors(const struct arrival *a)
{
	return (a->flags & (MSG_TRUNC | MSG_CTRUNC)) == MSG_CTRUNC && a->fd_count < MAX_DESCRIPTORS;
}

static const char *
deliver(struct peer *p, struct arrival *a)
{
	struct msg m;
	struct reader r;
	const char *wrong;

	/* Without a new end from fogd a role is of no use: then it ends, and is started afresh. */
	if (lacks_descriptors(a) && p->end.edge != EDGE_CONTROL) {
		log_warnx("event=descriptor_lost edge=%s peer=%s", edge_name(p->end.edge),
		    proc_name(p->end.other));
		return NULL;
	}
	if (a->flags & (MSG_TRUNC | MSG_CTRUNC))
		return "the record is too long";
	reader_init(&r, a->bytes, a->len);
	if (msg_get_header(&r, &m) != 0)
		return "the message is not in the table";
	if ((wrong = check_row(p, &m, a->fd_count)))
		return wrong;
	if (m.type != MSG_HELLO && (wrong = check_phase(p, &m))) {
		if (*wrong)
			return wrong;
		log_debug("event=late_answer message=%s", msg_rows[m.type].name);
		return NULL;
	}
	if (msg_get_payload(&r, &m) != 0)
		return "a field is outside its bounds";
	if (m.type == MSG_HELLO && (wrong = check_hello(p, &m)))
		return wrong;
	if (!p->ops->handlers[m.type]) /* a hello may have none */
		return NULL;
	m.fd = a->fd_count ? steal_fd(&a->fds[0]) : -1;
	wrong = p->ops->handlers[m.type](p->ctx, p, &m) == -FOG_E_LIAR ? "refused by its handler"
								       : NULL;
	close_fd(&m.fd);
	return wrong;
}

static void
name_the_liar(struct peer *p, const struct arrival *a, const char *wrong)
{
	char detail[128];
	struct reader r;
	struct msg m;

	reader_init(&r, a->bytes, a->len);
	snprintf(detail, sizeof(detail), "%s (%s)", wrong,
	    msg_get_header(&r, &m) == 0 ? msg_rows[m.type].name : "unknown message");
	go_down(p, is_of_other_version(p) ? PEER_OTHER_VERSION : PEER_LIED, detail);
}

static bool
take_one(struct peer *p)
{
	static struct arrival a; /* one turn at a time; too large for the stack */
	const char *wrong;
	int rc = receive(p->end.fd, &a);

	if (rc < 0) {
		/* It closed with records of ours unread: its own last ones are still to be had. */
		if (errno == ECONNRESET)
			return true;
		if (errno != EAGAIN && errno != EINTR)
			go_down(p, PEER_GONE, "receive failed");
		return false;
	}
	if (rc == 0) {
		go_down(p, PEER_GONE, "closed");
		return false;
	}
	wrong = deliver(p, &a);
	for (size_t i = 0; i < a.fd_count; i++)
		close_fd(&a.fds[i]);
	if (wrong)
		name_the_liar(p, &a, wrong);
	explicit_bzero(a.bytes, a.len);
	return p->up && !p->doomed;
}

static void
on_readable(evutil_socket_t sock, short what, void *arg)
{
	struct peer *p = arg;

	(void)sock;
	(void)what;
	if (p->magic != PEER_MAGIC)
		return;
	p->in_turn = true;
	for (int i = 0; i < PEER_BATCH && take_one(p); i++)
		;
	p->in_turn = false;
	if (p->doomed)
		peer_free(p);
}

static bool
arm(struct peer *p, struct event_base *base)
{
	p->readable = event_new(base, p->end.fd, EV_READ | EV_PERSIST, on_readable, p);
	p->writable = event_new(base, p->end.fd, EV_WRITE, on_writable, p);
	p->retry = evtimer_new(base, on_writable, p);
	if (!p->readable || !p->writable || !p->retry)
		return false;
	return p->end.way == PEER_SEND_ONLY || event_add(p->readable, NULL) == 0;
}

/*
 * An end that is dead already is told by the first read or send of a later turn: down() from
 * inside peer_new would find an owner that does not have the peer yet.
 */
static void
say_hello(struct peer *p)
{
	struct pl_hello hello = { .table_hash = msg_edge_hash(p->end.edge), .epoch = p->end.epoch };
	static unsigned char bytes[MSG_MAX_BYTES];
	struct writer w;

	if (p->end.way == PEER_RECEIVE_ONLY)
		return;
	writer_init(&w, bytes, sizeof(bytes));
	if (msg_put(&w, MSG_HELLO, 0, NULL, &hello) == 0 &&
	    transmit(p->end.fd, w.p, w.len, -1) == -EAGAIN && enqueue(p, &w, -1) == 0)
		send_later(p, -EAGAIN);
}

struct peer *
peer_new(struct event_base *base, const struct peer_end *end, const struct peer_ops *ops, void *ctx)
{
	struct peer *p = calloc(1, sizeof(*p));
	int fd = end->fd;

	if (!p) {
		close_fd(&fd);
		return NULL;
	}
	*p = (struct peer){ .magic = PEER_MAGIC, .end = *end, .ops = ops, .ctx = ctx, .up = true };
	TAILQ_INIT(&p->queue);
	if (!arm(p, base)) {
		peer_free(p);
		return NULL;
	}
	say_hello(p);
	return p;
}

void
peer_free(struct peer *p)
{
	if (!p)
		return;
	release(p);
	p->doomed = true;
	if (p->in_turn)
		return;
	p->magic = 0;
	free(p);
}

bool
peer_is_up(const struct peer *p)
{
	return p && p->up;
}

enum edge
peer_edge(const struct peer *p)
{
	return p->end.edge;
}

enum proc_id
peer_other(const struct peer *p)
{
	return p->end.other;
}

uint64_t
peer_epoch(const struct peer *p)
{
	return p->end.epoch;
}

size_t
peer_queued(const struct peer *p)
{
	return p->queued_records;
}

uint64_t
peer_other_hash(const struct peer *p)
{
	return p->other_hash;
}

int
peer_fd(const struct peer *p)
{
	return p->end.fd;
}

const char *
peer_down_name(enum peer_down why)
{
	return down_names[why];
}

bool
peer_fd_is_stream(int fd)
{
	int type = 0, domain = 0, flags = fcntl(fd, F_GETFL);
	socklen_t len = sizeof(type);

	if (flags < 0 || !(flags & O_NONBLOCK) ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
		return false;
	len = sizeof(domain);
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && type == SOCK_STREAM &&
	    domain == AF_UNIX;
}
