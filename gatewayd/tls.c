/* SPDX-License-Identifier: MIT */
/* TLS: see tls.h. */
#include "gatewayd/tls.h"

#include <stdlib.h>
#include <string.h>

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/proc.h"

#define PEM_MAX_BYTES (1u << 20)
#define CHAIN_MAX 16

/* A file as it was read. */
struct pem {
	char *text;
	size_t len;
};

struct tls {
	SSL_CTX *ctx;
	struct pem new_cert, new_key; /* prepared; text NULL: not yet */
	SSL_CTX *new_ctx;
};

static void
pem_wipe(struct pem *p)
{
	if (p->text)
		explicit_bzero(p->text, p->len);
	free(p->text);
	*p = (struct pem){ 0 };
}

static int
pem_read(struct pem *p, int fd, const char *what)
{
	cleanup_fd int owned = fd;

	p->text = proc_read_file(owned, PEM_MAX_BYTES, &p->len);
	if (p->text)
		return 0;
	log_warn("event=tls_file_refused file=%s reason=unreadable", what);
	return -1;
}

static int
refuse(const char *why)
{
	char text[128] = "";

	if (ERR_peek_error())
		ERR_error_string_n(ERR_peek_error(), text, sizeof(text));
	ERR_clear_error();
	log_warnx("event=tls_refused reason=\"%s\" detail=\"%s\"", why, text);
	return -1;
}

/* A key that wants a passphrase is refused: there is no terminal to ask on. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static int
use_chain(SSL_CTX *ctx, const struct pem *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->text, (int)pem->len);
	X509 *cert = bio ? PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL) : NULL;
	int ok = cert && SSL_CTX_use_certificate(ctx, cert) == 1;

	X509_free(cert);
	for (int i = 0; ok && i < CHAIN_MAX; i++) {
		cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
		if (!cert)
			break;
		ok = SSL_CTX_add0_chain_cert(ctx, cert) == 1;
		if (!ok)
			X509_free(cert);
	}
	BIO_free(bio);
	if (ok)
		ERR_clear_error(); /* the end of the file reads as an error */
	return ok ? 0 : refuse("the certificate file holds no certificate chain");
}

static int
use_key(SSL_CTX *ctx, const struct pem *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->text, (int)pem->len);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	int ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	if (!ok)
		return refuse("the key file holds no private key, or not that of the certificate");
	return SSL_CTX_check_private_key(ctx) == 1
	    ? 0
	    : refuse("the private key is not that of the certificate");
}

static void
harden(SSL_CTX *ctx)
{
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
		SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* A write that was cut goes on from another buffer: see client.c. */
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* A read ends with a record that holds no data: else those of a stranger make it endless. */
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20"); /* of TLS 1.2 */
}

static SSL_CTX *
make_ctx(const struct pem *cert, const struct pem *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx) {
		refuse("no memory");
		return NULL;
	}
	harden(ctx);
	if (use_chain(ctx, cert) != 0 || use_key(ctx, key) != 0) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

struct tls *
tls_new(int cert_fd, int key_fd)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t) {
		close_fd(&cert_fd);
		close_fd(&key_fd);
		return NULL;
	}
	if (tls_prepare_cert(t, cert_fd) != 0)
		close_fd(&key_fd);
	else
		tls_prepare_key(t, key_fd);
	t->ctx = t->new_ctx;
	t->new_ctx = NULL;
	tls_commit(t, false); /* wipes the files */
	if (t->ctx)
		return t;
	free(t);
	return NULL;
}

void
tls_free(struct tls *t)
{
	if (!t)
		return;
	tls_commit(t, false);
	SSL_CTX_free(t->ctx);
	free(t);
}

/*
 * The files come one after the other and usually change together, so the first alone need not
 * match what is in use: only the pair that is complete decides.
 */
static int
prepare(struct tls *t, struct pem *into, int fd, const char *what)
{
	pem_wipe(into);
	if (pem_read(into, fd, what) != 0)
		return -1;
	if (!t->new_cert.text || !t->new_key.text)
		return 0;
	SSL_CTX_free(t->new_ctx);
	t->new_ctx = make_ctx(&t->new_cert, &t->new_key);
	return t->new_ctx ? 0 : -1;
}

int
tls_prepare_cert(struct tls *t, int fd)
{
	return prepare(t, &t->new_cert, fd, "certificate");
}

int
tls_prepare_key(struct tls *t, int fd)
{
	return prepare(t, &t->new_key, fd, "key");
}

void
tls_commit(struct tls *t, bool apply)
{
	if (apply && t->new_ctx) {
		SSL_CTX_free(t->ctx); /* connections that have it keep it */
		t->ctx = t->new_ctx;
		t->new_ctx = NULL;
		log_info("event=tls_reloaded");
	}
	SSL_CTX_free(t->new_ctx);
	t->new_ctx = NULL;
	pem_wipe(&t->new_cert);
	pem_wipe(&t->new_key);
}

struct bufferevent *
tls_accept(struct tls *t, struct event_base *base, int fd)
{
	SSL *ssl = SSL_new(t->ctx);

	if (!ssl)
		return NULL;
	/* When this fails libevent has freed ssl or has not: leave it. */
	return bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
	    BEV_OPT_CLOSE_ON_FREE);
}

static long
on_bio(BIO *bio, int what, const char *bytes, size_t len, int i, long l, int rc, size_t *done)
{
	const struct tls_reader *r = (struct tls_reader *)BIO_get_callback_arg(bio);

	(void)bytes, (void)len, (void)i, (void)l, (void)done;
	if (what == (BIO_CB_READ | BIO_CB_RETURN))
		r->reading(r->ctx);
	return rc;
}

void
tls_watch(struct bufferevent *bev, struct tls_reader *r)
{
	SSL *ssl = bufferevent_openssl_get_ssl(bev);

	if (!ssl)
		return;
	BIO_set_callback_arg(SSL_get_rbio(ssl), (char *)r);
	BIO_set_callback_ex(SSL_get_rbio(ssl), on_bio);
}

void
tls_shutdown_write(struct bufferevent *bev)
{
	SSL *ssl = bufferevent_openssl_get_ssl(bev);

	if (ssl && SSL_is_init_finished(ssl)) {
		SSL_shutdown(ssl);
		ERR_clear_error();
	}
}
