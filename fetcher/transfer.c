/* SPDX-License-Identifier: MIT */
/*
 * libcurl's multi interface on the event loop. Every fetch has a connection of its own, so that
 * what was judged about one says nothing about another; no redirect, proxy, cookie or password file
 * is followed, taken or read.
 */
#include "fetcher/fetcher.h"

#include <stdio.h>
#include <string.h>

#include <curl/curl.h>
#include <event2/event.h>

#include "common/cleanup.h"
#include "fetcher/address.h"

#define HEADERS_MAX 100
#define HEADER_BYTES_MAX 32768

/* Longer than any fetch: an entry that libcurl forgot would be asked for by a resolver of its own. */
#define RESOLVED_S 300

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

/* --- sockets and the timer --- */

static void
take_finished(struct fetcher *d)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(d->multi, &left))) {
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
	struct fetcher *d = arg;
	int running, flags = 0;

	if (what & EV_READ)
		flags |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(d->multi, fd, flags, &running);
	take_finished(d);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fetcher *d = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(d->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_finished(d);
}

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
	struct fetcher *d = ctx;
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
		ev = event_new(d->base, fd, wanted, on_socket, d);
		if (ev)
			event_add(ev, NULL);
	}
	curl_multi_assign(d->multi, fd, ev);
	return ev || what == CURL_POLL_REMOVE ? 0 : -1;
}

static int
set_timer(CURLM *multi, long ms, void *ctx)
{
	struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	struct fetcher *d = ctx;

	(void)multi;
	return ms < 0 ? event_del(d->timer) : event_add(d->timer, &wait);
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

static bool
set_connection(CURL *easy, struct fetch *f)
{
	struct curl_blob ca = { f->owner->ca, f->owner->ca_len, CURL_BLOB_NOCOPY };
	bool failed = false;

	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, f);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, (long)RESOLVED_S);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_CAINFO_BLOB, &ca);
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

int
transfer_start(struct fetch *f, const char *addresses)
{
	CURL *easy = f->easy = curl_easy_init();

	if (!easy || !set_connection(easy, f) || !set_request(easy, f) ||
	    (addresses && !set_addresses(easy, f, addresses)))
		return -1;
	return curl_multi_add_handle(f->owner->multi, easy) == CURLM_OK ? 0 : -1;
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
		curl_multi_remove_handle(f->owner->multi, f->easy);
		curl_easy_cleanup(f->easy);
	}
	curl_slist_free_all(f->resolved);
	f->easy = NULL;
	f->resolved = NULL;
}

int
transfer_init(struct fetcher *d)
{
	CURLM *m;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -1;
	d->timer = evtimer_new(d->base, on_timer, d);
	d->multi = m = curl_multi_init();
	if (!d->timer || !m)
		return -1;
	curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(m, CURLMOPT_SOCKETDATA, d);
	curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(m, CURLMOPT_TIMERDATA, d);
	curl_multi_setopt(m, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return 0;
}
