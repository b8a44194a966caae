/* SPDX-License-Identifier: MIT */
/* TLS 1.2 and later for the public listener: OpenSSL bufferevents, and certificates that change. */
#ifndef GATEWAYD_TLS_H
#define GATEWAYD_TLS_H

#include <stdbool.h>

struct bufferevent;
struct event_base;
struct tls;

/* Certificate chain and private key, PEM; descriptors are taken. NULL: said why in the log. */
struct tls *tls_new(int cert_fd, int key_fd);
void tls_free(struct tls *t);

/*
 * Reload in two steps: each file is kept aside; a pair that does not match is refused when its
 * second file comes. fd is taken. 0, or -1: said why in the log.
 */
int tls_prepare_cert(struct tls *t, int fd);
int tls_prepare_key(struct tls *t, int fd);
/* Connections from now on get the new pair; or it is forgotten. */
void tls_commit(struct tls *t, bool apply);

/* A bufferevent that owns fd and waits for the handshake. NULL when out of memory; fd is then
 * still the caller's. */
struct bufferevent *tls_accept(struct tls *t, struct event_base *base, int fd);

/* Who is told, on the thread that reads, that OpenSSL has bytes and is about to look at them. */
struct tls_reader {
	void (*reading)(void *ctx);
	void *ctx;
};
/* r outlives the bufferevent, or the next such reader of its BIO. No TLS: does nothing. */
void tls_watch(struct bufferevent *bev, struct tls_reader *r);

/* close_notify, when this is a TLS connection. */
void tls_shutdown_write(struct bufferevent *bev);

#endif
