/* SPDX-License-Identifier: MIT */
/* The control socket from the outside. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "fogctl/command.h"

#define ANSWER_LINE_MAX_BYTES 65536
#define TIMEOUT_SECONDS 30

static void
complain(const char *path, const char *what, const char *advice)
{
	fprintf(stderr, "fogctl: %s: %s%s%s\n", path, what, advice ? "; " : "",
	    advice ? advice : "");
}

static const char *
advice_for(int error)
{
	switch (error) {
	case ENOENT:
		return "is the service running, and is this its RUN_DIR? see --socket";
	case ECONNREFUSED:
		return "the service is not running";
	case EACCES:
	case EPERM:
		return "only root and the members of ADMIN_GROUP may use it";
	default:
		return NULL;
	}
}

static int
status_for(int error)
{
	return error == EACCES || error == EPERM ? EXIT_NO_RIGHTS : EXIT_NO_SERVICE;
}

/* 0, or an exit status. */
static int
connect_to(const char *path, int *out)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
	cleanup_fd int fd = -1;

	if (strlen(path) >= sizeof(name.sun_path)) {
		complain(path, "the path of a socket is shorter", NULL);
		return EXIT_NO_SERVICE;
	}
	memcpy(name.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    connect(fd, (struct sockaddr *)&name, sizeof(name)) != 0) {
		int error = errno;

		complain(path, strerror(error), advice_for(error));
		return status_for(error);
	}
	*out = steal_fd(&fd);
	return 0;
}

static int
send_all(int fd, const char *bytes, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, bytes + at, len - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -1;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

struct incoming {
	size_t len;
	char bytes[ANSWER_LINE_MAX_BYTES];
};

/* More of the answer. 0, or -1 with errno. */
static int
receive_some(int fd, struct incoming *in)
{
	ssize_t n;

	if (in->len == sizeof(in->bytes)) {
		errno = EMSGSIZE;
		return -1;
	}
	n = recv(fd, in->bytes + in->len, sizeof(in->bytes) - in->len, 0);
	if (n == 0)
		errno = ECONNRESET;
	if (n == 0 || (n < 0 && errno != EINTR))
		return -1;
	in->len += n > 0 ? (size_t)n : 0;
	return 0;
}

/* -1 with errno; else what on_line has said last: 0, or below -1. */
static int
receive_lines(int fd, client_line_fn *on_line, void *arg)
{
	cleanup_free struct incoming *in = malloc(sizeof(*in));
	int more = 1;

	if (!in)
		return -1;
	in->len = 0;
	while (more == 1) {
		char *end = memchr(in->bytes, '\n', in->len);
		size_t len;

		if (!end) {
			if (receive_some(fd, in) != 0)
				return -1;
			continue;
		}
		len = (size_t)(end - in->bytes);
		more = on_line(arg, in->bytes, len);
		in->len -= len + 1;
		memmove(in->bytes, end + 1, in->len);
	}
	return more;
}

int
client_ask(const char *path, const char *request, size_t len, client_line_fn *on_line, void *arg)
{
	cleanup_fd int fd = -1;
	int rc = connect_to(path, &fd);

	if (rc != 0)
		return rc;
	/* One who is not let in is told why, maybe before the request was sent. */
	rc = send_all(fd, request, len) == 0 || errno == EPIPE ? receive_lines(fd, on_line, arg)
							       : -1;
	if (rc == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		complain(path, "no answer in time", NULL);
	else if (rc == -1)
		complain(path, strerror(errno), "the service has not answered");
	return rc == -1 ? EXIT_NO_SERVICE : rc;
}
