/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/client.c, each plain and over TLS. links: gatewayd/client.c gatewayd/tls.c */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/ssl.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "gatewayd/client.h"
#include "gatewayd/tls.h"
#include "regress/unit/tls_pair.h"

#define LOTS (1u << 20) /* more than a socket takes */
#define TURNS_MAX 10000
/* Records of 65 bytes: what OpenSSL 3.0 reads ahead then ends within a header, so it reads again. */
#define RECORD_PAD 44

/* The side of the service with its client, and the person's side as a bare descriptor. */
struct line {
	struct event_base *base, *worker; /* of the bufferevent, and of its client */
	struct tls *tls;
	struct bufferevent *bev;
	struct client *client;
	int peer;
	SSL_CTX *peer_ctx;
	SSL *peer_ssl; /* NULL: plain */
	size_t got;    /* of the person's bytes */
	size_t reads, calls, writable_count;
	bool is_gone;
	unsigned char last[65536];
};

static size_t allocations; /* by libevent */

static void *
counted_malloc(size_t size)
{
	allocations++;
	return malloc(size);
}

static void *
counted_realloc(void *p, size_t size)
{
	allocations++;
	return realloc(p, size);
}

/* --- the service's side --- */

static void
on_readable(void *ctx)
{
	struct line *l = ctx;
	ssize_t n = client_read(l->client, l->last, sizeof(l->last));

	l->calls++;
	if (n < 0) {
		l->is_gone = true;
		client_set_reading(l->client, false);
		return;
	}
	l->reads += n > 0;
	l->got += (size_t)n;
}

static void
on_writable(void *ctx)
{
	struct line *l = ctx;

	l->writable_count++;
}

static const struct client_ops ops = { on_readable, on_writable };

static void
turn(struct line *l)
{
	event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	event_base_loop(l->worker, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* --- the person's side --- */

/* Bytes; 0: none now; -1: the end. */
static ssize_t
peer_read(struct line *l, void *out, size_t size)
{
	ssize_t n = l->peer_ssl ? SSL_read(l->peer_ssl, out, (int)size)
				: recv(l->peer, out, size, MSG_DONTWAIT);

	if (n > 0)
		return n;
	if (l->peer_ssl)
		return SSL_get_error(l->peer_ssl, (int)n) == SSL_ERROR_WANT_READ ? 0 : -1;
	return n < 0 && errno == EAGAIN ? 0 : -1;
}

static void
peer_write(struct line *l, const void *bytes, size_t len)
{
	if (l->peer_ssl)
		assert_int_equal(SSL_write(l->peer_ssl, bytes, (int)len), (int)len);
	else
		assert_int_equal(send(l->peer, bytes, len, 0), (ssize_t)len);
}

/* Reads all that is to come; it has to be the bytes 0, 1, 2 … modulo 251, count of them. */
static void
expect_counted(struct line *l, size_t count)
{
	static unsigned char bytes[65536];
	size_t at = 0;

	for (int i = 0; i < TURNS_MAX && at < count; i++) {
		ssize_t n = peer_read(l, bytes, sizeof(bytes));

		assert_true(n >= 0);
		for (ssize_t j = 0; j < n; j++, at++) {
			if (bytes[j] != at % 251)
				fail_msg("byte %zu is %u", at, bytes[j]);
		}
		turn(l);
	}
	assert_int_equal(at, count);
}

static unsigned char *
counted_bytes(size_t count)
{
	unsigned char *bytes = malloc(count);

	assert_non_null(bytes);
	for (size_t i = 0; i < count; i++)
		bytes[i] = (unsigned char)(i % 251);
	return bytes;
}

/* --- a line --- */

static void
shake_hands(struct line *l)
{
	l->peer_ctx = SSL_CTX_new(TLS_client_method());
	l->peer_ssl = SSL_new(l->peer_ctx);
	SSL_set_fd(l->peer_ssl, l->peer);
	bufferevent_enable(l->bev, EV_READ | EV_WRITE);
	for (int i = 0; i < TURNS_MAX && SSL_connect(l->peer_ssl) != 1; i++)
		turn(l);
	assert_true(SSL_is_init_finished(l->peer_ssl));
	turn(l);
}

static struct line *
line_new(bool is_tls)
{
	static struct pair pair;
	struct line *l = calloc(1, sizeof(*l));
	int fds[2];

	assert_non_null(l);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	l->base = event_base_new();
	l->worker = event_base_new();
	l->peer = fds[1];
	if (!is_tls) {
		l->bev = bufferevent_socket_new(l->base, fds[0], BEV_OPT_CLOSE_ON_FREE);
		bufferevent_enable(l->bev, EV_READ | EV_WRITE);
		return l;
	}
	if (!pair.cert[0])
		make_pair(&pair);
	l->tls = tls_new(file_of(pair.cert), file_of(pair.key));
	l->bev = tls_accept(l->tls, l->base, fds[0]);
	shake_hands(l);
	return l;
}

static void
start_client(struct line *l)
{
	l->client = client_new(l->bev, &ops, l);
	assert_non_null(l->client);
	assert_int_equal(client_start(l->client, l->worker), 0);
}

static struct line *
line_with_client(bool is_tls)
{
	struct line *l = line_new(is_tls);

	start_client(l);
	client_set_reading(l->client, true);
	return l;
}

static void
stop_client(struct line *l)
{
	client_stop(l->client);
	client_free(l->client);
	l->client = NULL;
}

static void
line_free(struct line *l)
{
	if (l->client)
		stop_client(l);
	bufferevent_free(l->bev);
	turn(l); /* what libevent frees later */
	SSL_free(l->peer_ssl);
	SSL_CTX_free(l->peer_ctx);
	close_fd(&l->peer);
	tls_free(l->tls);
	event_base_free(l->base);
	event_base_free(l->worker);
	free(l);
}

/* --- tests; *state is whether it is over TLS --- */

static void
writes_at_once(void **state)
{
	struct line *l = line_with_client(*state != NULL);
	char text[16];

	client_write(l->client, "hello", 5);
	assert_int_equal(client_backlog(l->client), 0);
	assert_int_equal(peer_read(l, text, sizeof(text)), 5); /* without a turn of the loop */
	assert_memory_equal(text, "hello", 5);
	line_free(l);
}

static void
what_waited_before_goes_first(void **state)
{
	struct line *l = line_new(*state != NULL);
	char text[16];

	bufferevent_disable(l->bev, EV_WRITE);
	evbuffer_add(bufferevent_get_output(l->bev), "first ", 6);
	start_client(l);
	client_write(l->client, "then", 4);
	assert_int_equal(peer_read(l, text, 6), 6);
	assert_memory_equal(text, "first ", 6);
	assert_int_equal(peer_read(l, text, sizeof(text)), 4);
	line_free(l);
}

static void
what_is_not_taken_waits_in_order(void **state)
{
	struct line *l = line_with_client(*state != NULL);
	unsigned char *bytes = counted_bytes(LOTS);
	size_t waiting;

	client_write(l->client, bytes, LOTS - 1000);
	waiting = client_backlog(l->client);
	assert_true(waiting > 0);
	client_write(l->client, bytes + LOTS - 1000, 1000);
	assert_int_equal(client_backlog(l->client), waiting + 1000);
	turn(l);
	assert_int_equal(l->writable_count, 0); /* the person reads nothing */
	expect_counted(l, LOTS);
	assert_true(l->writable_count > 0);
	assert_int_equal(client_backlog(l->client), 0);
	free(bytes);
	line_free(l);
}

/* The bufferevent goes on with what waits, also in the middle of a TLS record. */
static void
the_backlog_is_given_back(void **state)
{
	struct line *l = line_with_client(*state != NULL);
	unsigned char *bytes = counted_bytes(LOTS);

	client_write(l->client, bytes, LOTS);
	assert_true(client_backlog(l->client) > 0);
	stop_client(l);
	bufferevent_enable(l->bev, EV_READ | EV_WRITE);
	expect_counted(l, LOTS);
	free(bytes);
	line_free(l);
}

static void
reads_when_asked_to(void **state)
{
	struct line *l = line_with_client(*state != NULL);
	unsigned char *bytes = counted_bytes(40000);

	client_set_reading(l->client, false);
	peer_write(l, bytes, 40000);
	for (int i = 0; i < 5; i++)
		turn(l);
	assert_int_equal(l->got, 0);
	client_set_reading(l->client, true);
	for (int i = 0; i < TURNS_MAX && l->got < 40000; i++)
		turn(l);
	assert_int_equal(l->got, 40000);
	free(bytes);
	line_free(l);
}

/* Several TLS records come with one read of the socket, of which nothing tells afterwards. */
static void
records_read_ahead_are_not_forgotten(void **state)
{
	struct line *l = line_with_client(*state != NULL);

	for (int i = 0; i < 100; i++)
		peer_write(l, "key", 3);
	for (int i = 0; i < 200; i++)
		turn(l);
	assert_int_equal(l->got, 300);
	/* Also when reading pauses in between. */
	for (int i = 0; i < 100; i++)
		peer_write(l, "key", 3);
	turn(l);
	client_set_reading(l->client, false);
	turn(l);
	client_set_reading(l->client, true);
	for (int i = 0; i < 200; i++)
		turn(l);
	assert_int_equal(l->got, 600);
	line_free(l);
}

static void
the_end_is_told(void **state)
{
	struct line *l = line_with_client(*state != NULL);

	client_write(l->client, "x", 1);
	close_fd(&l->peer);
	turn(l);
	assert_true(l->is_gone);
	line_free(l);
}

/* Also when nothing is read: by the write that fails. */
static void
a_write_that_fails_is_told(void **state)
{
	struct line *l = line_with_client(*state != NULL);

	client_set_reading(l->client, false);
	close_fd(&l->peer);
	for (int i = 0; i < 3; i++)
		client_write(l->client, "x", 1);
	assert_false(l->is_gone); /* not within the write */
	assert_int_equal(client_backlog(l->client), 0);
	turn(l);
	assert_true(l->is_gone);
	line_free(l);
}

static void
exchange(struct line *l, int count)
{
	static unsigned char bytes[20000];

	for (int i = 0; i < count; i++) {
		peer_write(l, "key", 3);
		turn(l);
		client_write(l->client, bytes, i % 2 ? sizeof(bytes) : 1);
		while (peer_read(l, bytes, sizeof(bytes)) > 0)
			;
	}
}

static void
nothing_is_allocated_in_the_steady_state(void **state)
{
	struct line *l = line_with_client(*state != NULL);
	size_t before;

	exchange(l, 10);
	before = allocations;
	assert_true(before > 0);
	exchange(l, 1000);
	assert_int_equal(allocations, before);
	assert_int_equal(l->got, 3030);
	line_free(l);
}

/* Puts records into the service's socket that hold no data, as many as it takes. Bytes. */
static int
send_key_updates(struct line *l)
{
	BIO *records = BIO_new(BIO_s_mem());
	char *bytes;
	long len;
	int waiting;

	SSL_set0_wbio(l->peer_ssl, records);
	SSL_set_block_padding(l->peer_ssl, RECORD_PAD);
	for (int i = 0; i < 5000; i++) {
		assert_int_equal(SSL_key_update(l->peer_ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(l->peer_ssl), 1);
	}
	len = BIO_get_mem_data(records, &bytes);
	assert_true(send(l->peer, bytes, (size_t)len, 0) > 0);
	assert_int_equal(ioctl(bufferevent_getfd(l->bev), FIONREAD, &waiting), 0);
	return waiting;
}

/* One turn takes a part of them only, and no turn is lost: all are taken in the end. */
static void
expect_small_turns(struct line *l, int waiting)
{
	int fd = bufferevent_getfd(l->bev), left = waiting;

	assert_true(waiting > 100000);
	turn(l);
	assert_int_equal(ioctl(fd, FIONREAD, &left), 0);
	assert_true(left > waiting / 2);
	for (int i = 0; i < TURNS_MAX && left > 0; i++) {
		turn(l);
		assert_int_equal(ioctl(fd, FIONREAD, &left), 0);
	}
	assert_int_equal(left, 0);
}

static void
records_without_data_do_not_hold_a_turn(void **state)
{
	struct line *l = line_with_client(true);

	(void)state;
	expect_small_turns(l, send_key_updates(l));
	assert_false(l->is_gone);
	line_free(l);
}

/*
 * Asks for answers and reads none, until OpenSSL cannot write one: it reads nothing before that has
 * gone out, and what the person sends stays in the socket.
 */
static void
ask_and_never_read(struct line *l)
{
	BIO *records = BIO_new(BIO_s_mem());
	char *bytes;
	long len;
	ssize_t n;

	SSL_set0_wbio(l->peer_ssl, records);
	for (int turns = 0, stuck = 0; turns < TURNS_MAX && stuck < 20; turns++) {
		for (int i = 0; i < 200; i++) {
			assert_int_equal(SSL_key_update(l->peer_ssl, SSL_KEY_UPDATE_REQUESTED), 1);
			assert_int_equal(SSL_do_handshake(l->peer_ssl), 1);
		}
		len = BIO_get_mem_data(records, &bytes);
		n = send(l->peer, bytes, (size_t)len, MSG_DONTWAIT);
		assert_true(n == len || (n < 0 && errno == EAGAIN));
		stuck = n < 0 ? stuck + 1 : 0;
		BIO_reset(records);
		turn(l);
	}
}

/* A person who does not read costs no turns: there is nothing to do until there is room. */
static void
an_answer_that_waits_costs_nothing(void **state)
{
	struct line *l = line_with_client(true);
	int waiting = 0;

	(void)state;
	ask_and_never_read(l);
	assert_int_equal(ioctl(bufferevent_getfd(l->bev), FIONREAD, &waiting), 0);
	assert_true(waiting > 0);
	l->calls = 0;
	for (int i = 0; i < 100; i++)
		turn(l);
	assert_false(l->is_gone);
	assert_in_range(l->calls, 0, 2);
	line_free(l);
}

/* Nor before there is an attachment: then they are a stranger's. */
static void
strangers_records_do_not_hold_a_turn(void **state)
{
	struct line *l = line_new(true);

	(void)state;
	expect_small_turns(l, send_key_updates(l));
	line_free(l);
}

static int
prepare(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	log_init(-1, LOG_LEVEL_ERROR);
	return 0;
}

#define BOTH(test) \
	{ #test ", plain", test, NULL, NULL, NULL }, \
	{ \
#test ", TLS", test, NULL, NULL, (void *)(uintptr_t)1 \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(writes_at_once),
		BOTH(what_waited_before_goes_first),
		BOTH(what_is_not_taken_waits_in_order),
		BOTH(the_backlog_is_given_back),
		BOTH(reads_when_asked_to),
		BOTH(records_read_ahead_are_not_forgotten),
		BOTH(the_end_is_told),
		BOTH(a_write_that_fails_is_told),
		BOTH(nothing_is_allocated_in_the_steady_state),
		cmocka_unit_test(records_without_data_do_not_hold_a_turn),
		cmocka_unit_test(an_answer_that_waits_costs_nothing),
		cmocka_unit_test(strangers_records_do_not_hold_a_turn),
	};

	event_set_mem_functions(counted_malloc, counted_realloc, free);
	return cmocka_run_group_tests(tests, prepare, NULL);
}
