/* SPDX-License-Identifier: MIT */
/* Records on a socket for tests that play one of our processes: blocking, with a deadline. */
#ifndef FOG_TEST_WIRE_H
#define FOG_TEST_WIRE_H

#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/msg.h"

#define WIRE_WAIT_MS 20000

struct wire {
	int fd;
	struct msg m; /* the last record; its descriptor is the test's */
	unsigned char record[MSG_MAX_BYTES];
};

static inline bool
wire_wait(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* fd (-1: none) is taken. */
static inline bool
wire_send(const struct wire *to, enum msg_type type, uint64_t request_id, const void *payload,
    int fd)
{
	unsigned char bytes[MSG_MAX_BYTES];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct writer w;
	struct iovec iov;
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	writer_init(&w, bytes, sizeof(bytes));
	if (msg_put(&w, type, request_id, NULL, payload) != 0)
		return false;
	iov = (struct iovec){ bytes, w.len };
	if (fd >= 0) {
		struct cmsghdr *c = &control.align;

		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control.room);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	n = sendmsg(to->fd, &mh, MSG_NOSIGNAL);
	close_fd(&fd);
	return n == (ssize_t)w.len;
}

static inline void
wire_hello(const struct wire *to, enum edge edge, uint64_t epoch)
{
	struct pl_hello hello = { msg_edge_hash(edge), epoch };

	wire_send(to, MSG_HELLO, 0, &hello, -1);
}

/* 1: a record is in from->m; 0: the end; -1: none in time, or it is not in the table. */
static inline int
wire_receive(struct wire *from, int ms)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { from->record, sizeof(from->record) };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room) };
	struct cmsghdr *c;
	struct reader r;
	ssize_t n;

	if (!wire_wait(from->fd, ms))
		return -1;
	n = recvmsg(from->fd, &mh, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return 0;
	reader_init(&r, from->record, (size_t)n);
	if (msg_get_header(&r, &from->m) != 0 || msg_get_payload(&r, &from->m) != 0)
		return -1;
	c = CMSG_FIRSTHDR(&mh);
	if (c)
		memcpy(&from->m.fd, CMSG_DATA(c), sizeof(int));
	return 1;
}

/* The next record of this type; those between are passed over. False: none came in time. */
static inline bool
wire_expect(struct wire *from, enum msg_type type)
{
	for (;;) {
		if (wire_receive(from, WIRE_WAIT_MS) != 1)
			return false;
		if (from->m.type == type)
			return true;
		close_fd(&from->m.fd);
	}
}

#endif
