/* SPDX-License-Identifier: MIT */
/* The control socket from the outside: see fogctl.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "fogctl/fogctl.h"

#define ANSWER_MAX_BYTES 65536
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
connect_to(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
	cleanup_fd int fd = -1;

	if (strlen(path) >= sizeof(name.sun_path)) {
		complain(path, "the path of a socket is shorter", NULL);
		return -1;
	}
	memcpy(name.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    connect(fd, (struct sockaddr *)&name, sizeof(name)) != 0) {
		complain(path, strerror(errno), advice_for(errno));
		return -1;
	}
	return steal_fd(&fd);
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

/* Up to the newline, which is not kept. */
static char *
receive_line(int fd)
{
	cleanup_free char *line = malloc(ANSWER_MAX_BYTES + 1);
	size_t len = 0;

	while (line && len < ANSWER_MAX_BYTES) {
		ssize_t n = recv(fd, line + len, ANSWER_MAX_BYTES - len, 0);
		char *end;

		if (n == 0)
			errno = ECONNRESET;
		if (n == 0 || (n < 0 && errno != EINTR))
			return NULL;
		len += n > 0 ? (size_t)n : 0;
		line[len] = '\0';
		end = memchr(line, '\n', len);
		if (end) {
			char *whole = line;

			*end = '\0';
			line = NULL;
			return whole;
		}
	}
	errno = EMSGSIZE;
	return NULL;
}

char *
client_ask(const char *path, const char *request, size_t len)
{
	cleanup_fd int fd = connect_to(path);
	char *answer;

	if (fd < 0)
		return NULL;
	answer = send_all(fd, request, len) == 0 ? receive_line(fd) : NULL;
	if (!answer && (errno == EAGAIN || errno == EWOULDBLOCK))
		complain(path, "no answer in time", NULL);
	else if (!answer)
		complain(path, strerror(errno), "the service has not answered");
	return answer;
}
