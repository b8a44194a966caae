/* SPDX-License-Identifier: MIT */
/*
 * libcurl's multi interface on the event loop. A fetch from the provider has a connection of its own,
 * so that what was judged about one says nothing about another; a connection to a node, where the
 * operator's own list has judged, may serve the next fetch from that node. No redirect, proxy, cookie
 * or password file is followed, taken or read. What is sent to a node may be somebody's token: it is
 * wiped here, and libcurl has memory that is wiped when it lets go of it.
 */
#include "fetcher/fetcher.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "common/cleanup.h"
#include "fetcher/address.h"

#define HEADERS_MAX 100
#define HEADER_BYTES_MAX 32768

/* Longer than any fetch: an entry that libcurl forgot would be asked for by a resolver of its own. */
#define RESOLVED_S 300

/* A kept connection is closed at this age: a name that has moved and a certificate that has been
 * replaced are noticed. */
#define CONNECTION_LIFE_S 300
#define CONNECTION_IDLE_S 55 /* HTTP_IDLE_TIMEOUT_MS of the other end is 60 s unless configured */

#define LINE_MAX_BYTES 8400 /* "Authorization: " and what messages.def allows */

/* --- why it failed --- */

static const struct {
	CURLcode result;
	enum fetch_error error;
} reasons[] = {
	{ CURLE_COULDNT_CONNECT, FETCH_E_CONNECT },
	{ CURLE_SEND_ERROR, FETCH_E_CONNECT },
	{ CURLE_RECV_ERROR, FETCH_E_CONNECT },
	{ CURLE_GOT_NOTHING, FETCH_E_CONNECT },
	{ CURLE_SSL_CONNECT_ERROR, FETCH_E_TLS },
	{ CURLE_PEER_FAILED_VERIFICATION, FETCH_E_TLS },
	{ CURLE_SSL_ISSUER_ERROR, FETCH_E_TLS },
	{ CURLE_SSL_CERTPROBLEM, FETCH_E_TLS },
	{ CURLE_SSL_CIPHER, FETCH_E_TLS },
	{ CURLE_SSL_CACERT_BADFILE, FETCH_E_TLS },
	{ CURLE_FILESIZE_EXCEEDED, FETCH_E_SIZE },
	/* How libcurl 7.88 names a line of a header that is longer than its own bound. */
	{ CURLE_OUT_OF_MEMORY, FETCH_E_SIZE },
	{ CURLE_COULDNT_RESOLVE_HOST, FETCH_E_NAME },
	{ CURLE_OPERATION_TIMEDOUT, FETCH_E_TIME },
};

/* What a callback of ours found comes first: libcurl knows only that it was stopped. */
static enum fetch_error
error_of(const struct fetch *f, CURLcode result)
{
	if (result == CURLE_OK || f->error != FETCH_OK)
		return f->error;
	/* Also libcurl's name for a chunk that is none. */
	if (result == CURLE_RECV_ERROR && f->headers > 0)
		return FETCH_E_PROTOCOL;
	for (size_t i = 0; i < COUNT_OF(reasons); i++) {
		if (reasons[i].result == result)
			return reasons[i].error;
	}
	return FETCH_E_PROTOCOL;
}

/* --- memory that is wiped when it is given back --- */

static void
wipe_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void *
wipe_realloc(void *p, size_t size)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *grown = malloc(size);

	if (!grown)
		return NULL;
	if (p)
		memcpy(grown, p, had < size ? had : size);
	wipe_free(p);
	return grown;
}

/* --- sockets and the timer --- */

static void
take_finished(struct lane *l)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(l->multi, &left))) {
		struct fetch *f = NULL;
		CURLcode result = m->data.result;

		if (m->msg != CURLMSG_DONE ||
		    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f) != CURLE_OK)
			continue;
		fetch_end(f, error_of(f, result));
	}
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct lane *l = arg;
	int running, flags = 0;

	if (what & EV_READ)
		flags |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(l->multi, fd, flags, &running);
	take_finished(l);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct lane *l = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_finished(l);
}

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
	struct lane *l = ctx;
	struct event *ev = known;
	short wanted = EV_PERSIST;

	(void)easy;
	if (ev)
		event_free(ev);
	ev = NULL;
	if (what & CURL_POLL_IN)
		wanted |= EV_READ;
	if (what & CURL_POLL_OUT)
		wanted |= EV_WRITE;
	if (what != CURL_POLL_REMOVE) {
		ev = event_new(l->owner->base, fd, wanted, on_socket, l);
		if (ev)
			event_add(ev, NULL);
	}
	curl_multi_assign(l->multi, fd, ev);
	return ev || what == CURL_POLL_REMOVE ? 0 : -1;
}

static int
set_timer(CURLM *multi, long ms, void *ctx)
{
	struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	struct lane *l = ctx;

	(void)multi;
	return ms < 0 ? event_del(l->timer) : event_add(l->timer, &wait);
}

/* --- what libcurl asks and brings --- */

/* The second look, at the very address: whatever libcurl made of what it was given. */
static curl_socket_t
open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct fetch *f = ctx;
	int fd;

	if (purpose != CURLSOCKTYPE_IPCXN ||
	    !address_is_allowed(&to->addr, f->target.may_be_private)) {
		f->error = FETCH_E_ADDRESS;
		return CURL_SOCKET_BAD;
	}
	fd = socket(to->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* Bytes as they came: no content coding is asked for, and none is undone. */
static size_t
take_body(char *bytes, size_t size, size_t count, void *ctx)
{
	size_t len = size * count;
	struct fetch *f = ctx;

	if (len > f->max_bytes - f->len) {
		f->error = FETCH_E_SIZE;
		return 0;
	}
	memcpy(f->body + f->len, bytes, len);
	f->len += len;
	return len;
}

static size_t
take_header(char *bytes, size_t size, size_t count, void *ctx)
{
	struct fetch *f = ctx;

	(void)bytes;
	f->header_bytes += size * count;
	if (++f->headers <= HEADERS_MAX && f->header_bytes <= HEADER_BYTES_MAX)
		return size * count;
	f->error = FETCH_E_SIZE;
	return 0;
}

/* --- one fetch --- */

#define SET(option, value) failed |= curl_easy_setopt(easy, option, value) != CURLE_OK

/*
 * Only a GET goes over a kept connection: where that turns out to be dead, libcurl sends the request
 * again, and what makes a session is sent once.
 */
static bool
set_keeping(CURL *easy, const struct fetch *f)
{
	bool is_kept = f->lane->kind->connections > 0;
	bool failed = false;

	SET(CURLOPT_FRESH_CONNECT, is_kept && f->method == METHOD_GET ? 0L : 1L);
	SET(CURLOPT_FORBID_REUSE, is_kept ? 0L : 1L);
	SET(CURLOPT_MAXAGE_CONN, (long)CONNECTION_IDLE_S);
	SET(CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_LIFE_S);
	SET(CURLOPT_SSL_SESSIONID_CACHE, f->lane->share ? 1L : 0L);
	if (f->lane->share)
		SET(CURLOPT_SHARE, f->lane->share);
	return !failed;
}

/* Libcurl would read all the certificates again for each connection: 20 ms, for a system's 140. */
static CURLcode
use_store(CURL *easy, void *tls, void *store)
{
	(void)easy;
	SSL_CTX_set1_cert_store(tls, store);
	return CURLE_OK;
}

static bool
set_connection(CURL *easy, struct fetch *f)
{
	bool failed = false;

	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, f);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, (long)RESOLVED_S);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_CAINFO, NULL);
	SET(CURLOPT_SSL_CTX_FUNCTION, use_store);
	SET(CURLOPT_SSL_CTX_DATA, f->lane->store);
	return !failed;
}

static bool
set_request(CURL *easy, struct fetch *f)
{
	bool failed = false;

	SET(CURLOPT_PRIVATE, f);
	SET(CURLOPT_URL, f->target.url.text);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_USERAGENT, "cloudshell-fog");
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)f->max_bytes);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, f);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, f);
	return !failed;
}

/* The method, and what goes with it: all borrowed from f. */
static bool
set_sent(CURL *easy, struct fetch *f)
{
	static const char
	    *const methods[] = { [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE" };
	bool has_body = f->method == METHOD_POST || f->method == METHOD_PATCH;
	bool failed = false;

	if (has_body) {
		SET(CURLOPT_POSTFIELDSIZE, (long)f->sent_len);
		SET(CURLOPT_POSTFIELDS, f->sent ? (char *)f->sent : "");
	}
	if (f->method == METHOD_PATCH || f->method == METHOD_DELETE)
		SET(CURLOPT_CUSTOMREQUEST, methods[f->method]);
	if (f->lines)
		SET(CURLOPT_HTTPHEADER, f->lines);
	return !failed;
}

/* "+": the entry may leave libcurl's cache, else each name ever fetched would stay there. */
static bool
set_addresses(CURL *easy, struct fetch *f, const char *addresses)
{
	char entry[URL_HOST_MAX_BYTES + ADDRESSES_MAX * 64];
	bool failed = false;

	snprintf(entry, sizeof(entry), "+%s:%u:%s", f->target.url.host, f->target.url.port,
	    addresses);
	f->resolved = curl_slist_append(NULL, entry);
	SET(CURLOPT_RESOLVE, f->resolved);
	return f->resolved && !failed;
}

static int
add_line(struct fetch *f, const char *name, struct view value)
{
	char line[LINE_MAX_BYTES];
	struct curl_slist *longer;

	if (value.len == 0)
		return 0;
	snprintf(line, sizeof(line), "%s: %.*s", name, VIEW_ARG(value));
	longer = curl_slist_append(f->lines, line);
	explicit_bzero(line, sizeof(line));
	if (!longer)
		return -1;
	f->lines = longer;
	return 0;
}

/* The values are clean text (messages.def): none ends its line. */
int
transfer_prepare(struct fetch *f, const struct pl_fetch *wanted)
{
	const char *type = wanted->body.len > 0 ? "application/json" : "";
	struct curl_slist *longer;

	f->method = (enum fetch_method)wanted->method;
	if (add_line(f, "Authorization", wanted->authorization) != 0 ||
	    add_line(f, "Idempotency-Key", wanted->idem_key) != 0 ||
	    add_line(f, "Fog-Forwarded-By", wanted->forwarded_by) != 0 ||
	    add_line(f, "Content-Type", view_of(type)) != 0)
		return -1;
	if (wanted->body.len == 0 && (f->method == METHOD_POST || f->method == METHOD_PATCH)) {
		/* libcurl's way to leave out the type that it would make up. */
		longer = curl_slist_append(f->lines, "Content-Type:");
		if (!longer)
			return -1;
		f->lines = longer;
	}
	if (wanted->body.len == 0)
		return 0;
	f->sent = malloc(wanted->body.len);
	if (!f->sent)
		return -1;
	memcpy(f->sent, wanted->body.p, wanted->body.len);
	f->sent_len = wanted->body.len;
	return 0;
}

int
transfer_start(struct fetch *f, const char *addresses)
{
	CURL *easy = f->easy = curl_easy_init();

	if (!easy || !set_connection(easy, f) || !set_keeping(easy, f) || !set_request(easy, f) ||
	    !set_sent(easy, f) || (addresses && !set_addresses(easy, f, addresses)))
		return -1;
	return curl_multi_add_handle(f->lane->multi, easy) == CURLM_OK ? 0 : -1;
}

unsigned
transfer_status(const struct fetch *f)
{
	long status = 0;

	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	return (unsigned)status;
}

void
transfer_cancel(struct fetch *f)
{
	if (f->easy) {
		curl_multi_remove_handle(f->lane->multi, f->easy);
		curl_easy_cleanup(f->easy);
	}
	curl_slist_free_all(f->resolved);
	curl_slist_free_all(f->lines);
	wipe_free(f->sent);
	f->easy = NULL;
	f->resolved = f->lines = NULL;
	f->sent = NULL;
}

/* Sessions of TLS, which each fetch would otherwise keep for itself alone. One thread: no locks. */
static void *
share_sessions(void)
{
	CURLSH *share = curl_share_init();

	if (share &&
	    curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK)
		return share;
	curl_share_cleanup(share);
	return NULL;
}

/* As libcurl sets it up: a certificate of the file is trusted, be it its own authority or not. */
static X509_STORE *
read_store(const struct lane *l)
{
	BIO *bio = BIO_new_mem_buf(l->ca, (int)l->ca_len);
	X509_STORE *store = X509_STORE_new();
	bool ok = bio && store &&
	    X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN) == 1;
	X509 *x;

	while (ok && (x = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL))) {
		ok = X509_STORE_add_cert(store, x) == 1;
		X509_free(x);
	}
	ERR_clear_error(); /* the end of the file is one */
	BIO_free(bio);
	if (ok)
		return store;
	X509_STORE_free(store);
	return NULL;
}

int
transfer_open(struct lane *l)
{
	CURLM *m = l->multi = curl_multi_init();

	l->timer = evtimer_new(l->owner->base, on_timer, l);
	l->store = read_store(l);
	if (!l->timer || !m || !l->store)
		return -1;
	curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(m, CURLMOPT_SOCKETDATA, l);
	curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(m, CURLMOPT_TIMERDATA, l);
	curl_multi_setopt(m, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	if (l->kind->connections == 0)
		return 0;
	curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)l->kind->connections);
	l->share = share_sessions();
	return l->share ? 0 : -1;
}

int
transfer_init(void)
{
	return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_free, wipe_realloc, strdup,
		   calloc) == CURLE_OK
	    ? 0
	    : -1;
}
