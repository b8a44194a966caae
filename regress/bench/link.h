/* SPDX-License-Identifier: MIT */
/* One TCP connection to 127.0.0.1, plain or TLS: what the clients of the benchmark speak over. */
#ifndef FOG_BENCH_LINK_H
#define FOG_BENCH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

struct link {
	int fd;
	SSL *ssl; /* NULL: plain */
};

/* A connection with TCP_NODELAY; over TLS no certificate is checked. Fails if it cannot be made. */
void link_open(struct link *l, uint16_t port, bool is_tls);
void link_close(struct link *l);
/* Sends all of it, or fails. */
void link_send(struct link *l, const void *bytes, size_t len);
/* At least one byte, or fails: the other end must not close. 0: none within the patience. */
size_t link_recv(struct link *l, void *out, size_t size);
/* How long link_recv() waits; at first without end. */
void link_set_patience(struct link *l, unsigned ms);

#endif
