/* SPDX-License-Identifier: MIT */
/* gatewayd: the unprivileged network front. It believes nothing and decides nothing. */
#include <stdlib.h>
#include <sys/resource.h>

#include <event2/event.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "gatewayd/answer.h"
#include "gatewayd/askers.h"
#include "gatewayd/attach.h"
#include "gatewayd/conn.h"
#include "gatewayd/forwarded.h"
#include "gatewayd/gatewayd.h"
#include "gatewayd/limits.h"
#include "gatewayd/listener.h"
#include "gatewayd/peers.h"
#include "gatewayd/penalty.h"
#include "gatewayd/static.h"
#include "gatewayd/tls.h"
#include "gatewayd/worker.h"

#define FDS_RESERVED 32  /* channels, listeners, the loop, files of a reload */
#define FDS_PER_WORKER 4 /* its mailbox; its loop, with the pair for signals that each has */

static struct gateway gateway = {
	.conns = TAILQ_HEAD_INITIALIZER(gateway.conns),
	.graves = TAILQ_HEAD_INITIALIZER(gateway.graves),
};

/* --- before the drop --- */

/* Whatever these libraries open or allocate on first use, they do here. */
static int
init_libraries(void)
{
	unsigned char byte;

	if (json_init() == 0 &&
	    OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
		NULL) == 1 &&
	    RAND_bytes(&byte, 1) == 1)
		return 0;
	log_error("event=start_failed step=libraries");
	return -1;
}

static int
load_page(struct gateway *g)
{
	int dir = proc_take_gift(GIFT_GATEWAYD_PAGE);

	if (dir < 0)
		return 0;
	g->files = static_load(dir);
	if (!g->files) {
		log_warn("event=start_failed step=page");
		return -1;
	}
	log_debug("event=page_loaded files=%zu", static_count(g->files));
	return 0;
}

static int
load_tls(struct gateway *g)
{
	int cert = proc_take_gift(GIFT_GATEWAYD_TLS_CERT);
	int key = proc_take_gift(GIFT_GATEWAYD_TLS_KEY);

	if (cert < 0 && key < 0)
		return 0;
	g->tls = tls_new(cert, key);
	return g->tls ? 0 : -1;
}

/* Who may say for whom he asks, how often one may, and who may not for a while. */
static int
load_sources(struct gateway *g)
{
	const struct config *c = g->config;
	const uint32_t per_minute[LIMIT_KINDS] = {
		[LIMIT_FAILED_TOKENS] = c->failed_tokens_per_minute,
		[LIMIT_ATTACHES] = c->attaches_per_minute,
		[LIMIT_CREATES] = c->creates_per_minute,
	};
	char err[PROXIES_ERROR_SIZE], shown[2 * PROXIES_ERROR_SIZE];

	if (proxies_new(c->trusted_proxies, &g->proxies, err) != 0) {
		log_error("event=start_failed step=TRUSTED_PROXIES detail=%s",
		    log_escape(view_of(err), shown, sizeof(shown)));
		return -1;
	}
	g->rates = limits_new(per_minute);
	g->askers = askers_new();
	if (g->rates && g->askers &&
	    penalties_open(proc_take_gift(GIFT_GATEWAYD_PENALTIES), c->crash_penalty_seconds,
		&g->penalties) == 0)
		return 0;
	log_warn("event=start_failed step=\"limits and penalties\"");
	return -1;
}

/* Each connection may come to have a stream as well, and the other processes pass new ends. */
static void
fit_connections(struct gateway *g)
{
	struct rlimit limit;
	rlim_t reserved = FDS_RESERVED + FDS_PER_WORKER * (rlim_t)g->config->gateway_workers, room;

	g->max_connections = g->config->max_connections;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_max = limit.rlim_max < PROC_NOFILE ? limit.rlim_max : PROC_NOFILE;
	room = limit.rlim_max > reserved + 1 ? (limit.rlim_max - reserved) / 2 : 1;
	if (g->max_connections <= room)
		return;
	log_warnx("event=connections_cut from=%u to=%u reason=RLIMIT_NOFILE", g->max_connections,
	    (unsigned)room);
	g->max_connections = (unsigned)room;
}

static int
load(void *ctx)
{
	struct gateway *g = ctx;

	g->config = proc_config();
	g->base = proc_base();
	g->limits = (struct http1_limits){ .header_bytes = g->config->http_max_header_bytes,
		.header_count = g->config->http_max_headers,
		.uri_bytes = g->config->http_max_uri_bytes,
		.body_bytes = g->config->http_max_body_bytes };
	fit_connections(g);
	if (init_libraries() != 0 || load_page(g) != 0 || load_sources(g) != 0)
		return -1;
	return load_tls(g);
}

/* --- after the filter --- */

/* The names of a listener, and its address for the log. */
static int
find_names(struct origins *o, const struct gateway *g, int fd, bool is_public,
    char addr[static LISTENER_ADDR_SIZE])
{
	struct origin_config config = { .gateway_url = is_public ? g->config->gateway_url : "",
		.allowed_origins = is_public ? g->config->allowed_origins : "",
		.listener = addr,
		.tls = is_public && g->tls,
		.plain_is_meant = !is_public || g->proxies,
		.fleet_origins = is_public ? g->config->fleet_origins : "" };
	const char *why = "the address of the listener is not known";
	bool is_wildcard;

	if (listener_address(fd, addr, &config.listener_is_loopback, &is_wildcard) == 0 &&
	    origins_init(o, &config, &why) == 0) {
		if (!is_wildcard || !is_public || g->config->gateway_url[0])
			return 0;
		why = "GATEWAY_URL is needed: LISTEN_ADDR is every address of this machine";
	}
	log_error("event=start_failed step=\"%s\"", why);
	return -1;
}

static int
start_public(struct gateway *g)
{
	int fd = proc_take_gift(GIFT_GATEWAYD_LISTENER);
	char addr[LISTENER_ADDR_SIZE];

	if (fd < 0 || find_names(&g->origins, g, fd, true, addr) != 0)
		return -1;
	g->listener = answer_init(g) == 0 ? listener_new(g, fd, false) : NULL;
	if (!g->listener)
		return -1;
	log_info("event=listening addr=%s tls=%d trusted_proxies=%d", addr, g->tls != NULL,
	    g->proxies != NULL);
	return 0;
}

static int
start_metrics(struct gateway *g)
{
	int fd = proc_take_gift(GIFT_GATEWAYD_METRICS);
	char addr[LISTENER_ADDR_SIZE];

	if (fd < 0)
		return 0;
	if (find_names(&g->metrics_origins, g, fd, false, addr) != 0)
		return -1;
	g->metrics_any_host = !g->metrics_origins.listens_on_loopback;
	g->metrics_listener = listener_new(g, fd, true);
	if (!g->metrics_listener)
		return -1;
	log_info("event=metrics_listening addr=%s", addr);
	return 0;
}

static void
on_reap(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_reap(arg);
}

static void
on_rested(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	penalty_working(NULL);
}

/* Before there is any thread or connection to be noted. */
static void
start_penalties(struct gateway *g)
{
	if (!g->penalties)
		return;
	penalties_judge(g->penalties, boot_ms());
	penalty_thread(g->penalties, 0);
}

static int
start(void *ctx)
{
	struct gateway *g = ctx;

	g->requests = requests_new(g->base, GATEWAY_PENDING_MAX, peers_request_lost, g);
	g->reaper = event_new(g->base, -1, EV_PERSIST, on_reap, g);
	g->rested = event_new(g->base, -1, EV_PERSIST, on_rested, NULL);
	start_penalties(g);
	if (!g->requests || !g->reaper || !g->rested || attach_init(g) != 0)
		return -1;
	return start_public(g) == 0 ? start_metrics(g) : -1;
}

/* --- later --- */

static int
prepare(void *ctx, enum reload_file file, int fd)
{
	struct gateway *g = ctx;

	if (g->tls && file == FILE_TLS_CERT)
		return tls_prepare_cert(g->tls, fd);
	if (g->tls && file == FILE_TLS_KEY)
		return tls_prepare_key(g->tls, fd);
	close_fd(&fd);
	return -1;
}

static void
commit(void *ctx, bool apply)
{
	struct gateway *g = ctx;

	if (g->tls)
		tls_commit(g->tls, apply);
}

static void
stop(void *ctx, bool end_sessions)
{
	struct gateway *g = ctx;

	(void)end_sessions;
	workers_stop(g->workers);
	g->workers = NULL; /* other events of this turn still come */
}

int
main(void)
{
	static const struct role role = { .id = PROC_GATEWAYD,
		.ctx = &gateway,
		.handlers = peers_handlers,
		.phase_of = peers_phase_of,
		.load = load,
		.start = start,
		.edge_up = peers_edge_up,
		.edge_down = peers_edge_down,
		.prepare = prepare,
		.commit = commit,
		.stop = stop };
	int rc = proc_main(&role);

	/* Also when fogd has died: clients are told, and no thread runs while exit() tears down OpenSSL. */
	workers_stop(gateway.workers);
	return rc;
}
