/* SPDX-License-Identifier: MIT */
/* Connections: see link.h. */
#include "regress/bench/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "regress/bench/bench.h"

static int
connect_to(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		bench_fail_errno("connecting to 127.0.0.1:%u", port);
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
		bench_fail_errno("TCP_NODELAY");
	return fd;
}

static SSL_CTX *
client_context(void)
{
	static SSL_CTX *ctx;

	if (ctx)
		return ctx;
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		bench_fail("no TLS context");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

/* An interrupted call is to be made again with the same arguments. */
static bool
is_to_retry(const SSL *ssl, int rc)
{
	int error = SSL_get_error(ssl, rc);

	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE &&
	    (error != SSL_ERROR_SYSCALL || errno != EINTR))
		return false;
	bench_interrupted();
	return true;
}

void
link_open(struct link *l, uint16_t port, bool is_tls)
{
	int rc;

	*l = (struct link){ .fd = connect_to(port) };
	if (!is_tls)
		return;
	l->ssl = SSL_new(client_context());
	if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1)
		bench_fail("no TLS connection");
	while ((rc = SSL_connect(l->ssl)) != 1) {
		if (!is_to_retry(l->ssl, rc))
			bench_fail("the TLS handshake failed");
	}
}

void
link_close(struct link *l)
{
	SSL_free(l->ssl);
	/* The other end must see it although a child may have a copy. */
	if (l->fd >= 0) {
		shutdown(l->fd, SHUT_RDWR);
		close(l->fd);
	}
	*l = (struct link){ .fd = -1 };
}

static void
send_tls(SSL *ssl, const void *bytes, size_t len)
{
	size_t done;
	int rc;

	while ((rc = SSL_write_ex(ssl, bytes, len, &done)) != 1) {
		if (!is_to_retry(ssl, rc))
			bench_fail("sending over TLS");
	}
}

void
link_send(struct link *l, const void *bytes, size_t len)
{
	const char *at = bytes;

	if (l->ssl) {
		send_tls(l->ssl, bytes, len);
		return;
	}
	while (len > 0) {
		ssize_t n = send(l->fd, at, len, MSG_NOSIGNAL);

		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else if (errno == EINTR) {
			bench_interrupted();
		} else {
			bench_fail_errno("sending");
		}
	}
}

static size_t
recv_tls(SSL *ssl, void *out, size_t size)
{
	size_t n;
	int rc;

	while ((rc = SSL_read_ex(ssl, out, size, &n)) != 1) {
		if (!is_to_retry(ssl, rc))
			bench_fail("the other end closed the TLS connection");
		if (errno == EAGAIN)
			return 0;
	}
	return n;
}

void
link_set_patience(struct link *l, unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	if (setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) != 0)
		bench_fail_errno("SO_RCVTIMEO");
}

size_t
link_recv(struct link *l, void *out, size_t size)
{
	ssize_t n;

	if (l->ssl)
		return recv_tls(l->ssl, out, size);
	while ((n = recv(l->fd, out, size, 0)) <= 0) {
		if (n == 0)
			bench_fail("the other end closed the connection");
		if (errno == EAGAIN)
			return 0;
		if (errno != EINTR)
			bench_fail_errno("receiving");
		bench_interrupted();
	}
	return (size_t)n;
}
