/* SPDX-License-Identifier: MIT */
/* Answers: see answer.h. */
#include "gatewayd/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <jansson.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "gatewayd/api.h"
#include "gatewayd/challenge.h"
#include "gatewayd/conn.h"
#include "gatewayd/csp.h"
#include "gatewayd/static.h"

#define RETRY_AFTER_SECONDS 1

#define HEADER_LINES_SIZE 1024
#define PREFLIGHT_MAX_AGE_S 600

struct answer {
	unsigned status;
	const char *type;  /* NULL: no body at all */
	const char *lines; /* its own header lines, CRLF after each; may be NULL */
	const void *bytes;
	size_t len;
	bool borrowed; /* bytes outlive the answer */
};

static const struct http_status {
	unsigned status;
	const char *phrase;
	const char *code; /* for what is refused before there is an error of err.def */
} statuses[] = {
	{ 200, "OK", NULL },
	{ 201, "Created", NULL },
	{ 204, "No Content", NULL },
	{ 304, "Not Modified", NULL },
	{ 307, "Temporary Redirect", NULL },
	{ 400, "Bad Request", "bad_request" },
	{ 401, "Unauthorized", NULL },
	{ 403, "Forbidden", NULL },
	{ 404, "Not Found", NULL },
	{ 405, "Method Not Allowed", NULL },
	{ 408, "Request Timeout", "request_timeout" },
	{ 409, "Conflict", NULL },
	{ 413, "Content Too Large", "too_large" },
	{ 414, "URI Too Long", "uri_too_long" },
	{ 415, "Unsupported Media Type", NULL },
	{ 417, "Expectation Failed", "expectation_failed" },
	{ 421, "Misdirected Request", NULL },
	{ 422, "Unprocessable Content", NULL },
	{ 426, "Upgrade Required", NULL },
	{ 429, "Too Many Requests", NULL },
	{ 431, "Request Header Fields Too Large", "headers_too_large" },
	{ 500, "Internal Server Error", NULL },
	{ 501, "Not Implemented", "not_implemented" },
	{ 503, "Service Unavailable", NULL },
	{ 505, "HTTP Version Not Supported", "version_not_supported" },
};

static const struct http_status *
find_status(unsigned status)
{
	for (size_t i = 0; i < COUNT_OF(statuses); i++) {
		if (statuses[i].status == status)
			return &statuses[i];
	}
	return find_status(500);
}

/* The lines that every answer has; frameable: those of the page that the provider returns to. */
static char *
fixed_headers(const struct gateway *g, const char *issuer, bool frameable)
{
	char connect_src[ORIGIN_CSP_SIZE], policy[CSP_SIZE];
	char *out = NULL;
	struct csp csp = { .connect_src = connect_src, .issuer = issuer, .frameable = frameable };
	int n;

	origins_connect_src(&g->origins, connect_src);
	if (csp_write(&csp, policy) != 0)
		return NULL;
	n = asprintf(&out,
	    "Content-Security-Policy: %s\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "Referrer-Policy: no-referrer\r\n"
	    "Cross-Origin-Opener-Policy: same-origin\r\n"
	    "Cross-Origin-Resource-Policy: same-origin\r\n"
	    "Permissions-Policy: camera=(), microphone=(), geolocation=(), payment=(), usb=()\r\n"
	    "%s",
	    policy, g->tls ? "Strict-Transport-Security: max-age=31536000\r\n" : "");
	return n < 0 ? NULL : out;
}

int
answer_init(struct gateway *g)
{
	char source[CSP_SOURCE_SIZE];
	const char *issuer = g->config->oidc_issuer_url[0] ? source : NULL;
	const char *wrong = NULL;

	if (issuer && csp_source_of(g->config->oidc_issuer_url, source) != 0)
		wrong = "OIDC_ISSUER_URL is no https URL of a name";
	else if (issuer && challenge_algs_of(g->config->oidc_algorithms, g->dpop_algs) != 0)
		wrong = "OIDC_ALGORITHMS is no list of names";
	if (wrong) {
		log_error("event=start_failed step=\"%s\"", wrong);
		return -1;
	}
	g->fixed_headers = fixed_headers(g, issuer, false);
	g->frameable_headers = fixed_headers(g, issuer, true);
	return g->fixed_headers && g->frameable_headers ? 0 : -1;
}

/* IMF-fixdate (RFC 9110 5.6.7), made once a second. */
static const char *
http_date(void)
{
	static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static char text[40];
	static time_t made;
	char iso[RFC3339_UTC_SIZE];
	time_t now = wall_s();
	unsigned month;

	if (now != made) {
		rfc3339_utc(now, iso);
		month = (unsigned)(iso[5] - '0') * 10 + (unsigned)(iso[6] - '0') - 1;
		snprintf(text, sizeof(text), "%.3s, %.2s %.3s %.4s %.8s GMT",
		    days + now / 86400 % 7 * 3, iso + 8, months + month * 3, iso, iso + 11);
		made = now;
	}
	return text;
}

static void
log_request(const struct conn *c, unsigned status)
{
	const struct exchange *x = &c->x;
	const struct http1_request *r = http1_request(c->parser);
	char trace[TRACE_ID_TEXT_SIZE], source[SOURCE_TEXT_SIZE];
	bool known = x->route || x->file;

	trace_format(x->trace.b, trace);
	/* Only the pattern and a method of the route's own: nothing that was sent (S19). */
	/* Other nodes ask several times a second. */
	(known && x->route && (x->route->flags & ROUTE_NODE) && status == 200 ? log_debug
									      : log_info)(
	    "event=request method=%.*s route=%s status=%u dur_ms=%llu source=%s trace=%s",
	    known ? (int)r->method.len : 1, known ? r->method.ptr : "-", api_route_name(x), status,
	    (unsigned long long)(mono_ms() - x->started_ms), source_format(&x->source, source),
	    trace);
}

static bool
is_head(const struct conn *c)
{
	/* Also of a request that was refused: a body would be read as the next answer. */
	struct http1_view method = http1_request(c->parser)->method;

	return method.len == 4 && memcmp(method.ptr, "HEAD", 4) == 0;
}

/* No credentials: what says who asks is a header that the page itself has set. */
static void
put_cors(struct evbuffer *out, const struct exchange *x)
{
	if (x->varies)
		evbuffer_add_printf(out, "Vary: Origin\r\n");
	if (x->cors.len > 0)
		evbuffer_add_printf(out,
		    "Access-Control-Allow-Origin: %.*s\r\n"
		    "Access-Control-Expose-Headers: Retry-After, DPoP-Nonce, Date, "
		    "WWW-Authenticate\r\n",
		    VIEW_ARG(x->cors));
}

static void
put_head(struct conn *c, const struct answer *a)
{
	struct evbuffer *out = conn_output(c);

	evbuffer_add_printf(out, "HTTP/1.1 %u %s\r\nDate: %s\r\n%s", a->status,
	    find_status(a->status)->phrase, http_date(),
	    c->x.file && static_is_frameable(c->x.file) ? c->g->frameable_headers
							: c->g->fixed_headers);
	put_cors(out, &c->x);
	if (a->lines)
		evbuffer_add_printf(out, "%s", a->lines);
	if (a->type)
		evbuffer_add_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", a->type,
		    a->len);
	/* 426 has to name Upgrade in Connection (RFC 9110 7.8). */
	evbuffer_add_printf(out, "Connection: %s\r\n\r\n",
	    a->status == 426    ? "close, Upgrade"
		: c->keep_alive ? "keep-alive"
				: "close");
}

static void
send_answer(struct conn *c, const struct answer *a)
{
	log_request(c, a->status);
	metrics_count_request(&c->g->metrics, api_route_index(&c->x), a->status);
	if (a->status == 426)
		c->keep_alive = false;
	put_head(c, a);
	if (a->len > 0 && !is_head(c)) {
		if (a->borrowed)
			evbuffer_add_reference(conn_output(c), a->bytes, a->len, NULL, NULL);
		else
			evbuffer_add(conn_output(c), a->bytes, a->len);
	}
	conn_answered(c);
}

/* When an answer could not be made: this one needs no memory but the connection's. */
static void
send_bare_problem(struct conn *c)
{
	char text[512], trace[TRACE_ID_TEXT_SIZE];
	struct answer a = { .status = 500,
		.type = "application/problem+json",
		.lines = "Cache-Control: no-store\r\n",
		.bytes = text };
	const char *code = err_code(FOG_E_INTERNAL), *title = err_title(FOG_E_INTERNAL);

	trace_format(c->x.trace.b, trace);
	a.len = (size_t)snprintf(text, sizeof(text),
	    "{\"type\":\"urn:cloudshell-fog:error:%s\",\"title\":\"%s\",\"status\":500,"
	    "\"detail\":\"%s\",\"code\":\"%s\",\"trace_id\":\"%s\"}",
	    code, title, title, code, trace);
	send_answer(c, &a);
}

/* All that a double surely holds: 0.07 is written as that, not as 0.070000000000000007. */
#define DIGITS JSON_REAL_PRECISION(15)

static void
send_json(struct conn *c, unsigned status, const char *type, const char *lines, json_t *obj)
{
	cleanup_free char *text = obj ? json_dumps(obj, JSON_COMPACT | DIGITS) : NULL;
	struct answer a = { .status = status, .type = type, .lines = lines, .bytes = text };

	json_decref(obj);
	if (!text) {
		send_bare_problem(c);
		return;
	}
	a.len = strlen(text);
	send_answer(c, &a);
	explicit_bzero(text, a.len); /* may hold an attach token */
}

void
answer_json(struct conn *c, unsigned status, struct json_t *obj)
{
	send_json(c, status, "application/json", "Cache-Control: no-store\r\n", obj);
}

void
answer_json_unready(struct conn *c, struct json_t *obj)
{
	char lines[HEADER_LINES_SIZE];

	snprintf(lines, sizeof(lines), "Cache-Control: no-store\r\nRetry-After: %d\r\n",
	    RETRY_AFTER_SECONDS);
	send_json(c, 503, "application/json", lines, obj);
}

void
answer_text(struct conn *c, const char *type, const char *text, size_t len)
{
	struct answer a = { .status = 200,
		.type = type,
		.bytes = text,
		.len = len,
		.lines = "Cache-Control: no-store\r\n" };

	send_answer(c, &a);
}

/* --- files --- */

/* Weak comparison with one list of entity tags, or "*" (RFC 9110 8.8.3.2, 13.1.2). */
static bool
list_names_etag(struct http1_view list, const char *etag)
{
	const char *p = list.ptr, *end = list.ptr + list.len;
	size_t len = strlen(etag);

	while (p < end) {
		size_t n;

		p += strspn(p, " \t,");
		n = strcspn(p, ",");
		while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		if (n == 1 && *p == '*')
			return true;
		if (n == len + 2 && memcmp(p, "W/", 2) == 0 && memcmp(p + 2, etag, len) == 0)
			return true;
		if (n == len && memcmp(p, etag, len) == 0)
			return true;
		p += strcspn(p, ",");
	}
	return false;
}

static bool
is_unchanged(const struct conn *c, const char *etag)
{
	struct http1_view value;

	for (size_t i = 0; http1_header_get(c->parser, "If-None-Match", i, &value); i++) {
		if (list_names_etag(value, etag))
			return true;
	}
	return false;
}

void
answer_file(struct conn *c, const struct answer_file *f)
{
	char lines[HEADER_LINES_SIZE];
	struct answer a = { .status = 200,
		.type = f->type,
		.lines = lines,
		.bytes = f->bytes,
		.len = f->len,
		.borrowed = true };

	snprintf(lines, sizeof(lines), "ETag: %s\r\nCache-Control: %s\r\n", f->etag, f->cache);
	if (is_unchanged(c, f->etag)) {
		a.status = 304;
		a.type = NULL;
		a.len = 0;
	}
	send_answer(c, &a);
}

/* --- problems --- */

static void
challenge_lines(const struct conn *c, const struct problem *p, char out[static CHALLENGE_SIZE])
{
	/* An attach token is no access token: no proof goes with it. */
	bool has_dpop = c->x.route && (c->x.route->flags & ROUTE_TOKEN);
	struct challenge ch = { .error = p->error < 0 ? -p->error : p->error,
		.token_given = c->x.token_given,
		.scheme = c->x.scheme,
		.dpop_algs = has_dpop ? c->g->dpop_algs : NULL,
		.nonce = p->nonce };

	challenge_write(&ch, out);
}

/*
 * Some sessions cannot be made until somebody changes the node, which has no cgroups or not that
 * image. Where another try may do, placerd says when.
 */
static bool
retry_helps(const struct problem *p)
{
	return p->retry_after_s > 0 || (p->error != FOG_E_SPAWN && p->error != -FOG_E_SPAWN);
}

/* The header lines that a status asks for (RFC 6750 3, RFC 9110 10.2.1, 10.2.3, 15.5.22). */
static void
problem_lines(const struct conn *c, unsigned status, const struct problem *p,
    char out[static HEADER_LINES_SIZE])
{
	size_t used = (size_t)snprintf(out, HEADER_LINES_SIZE, "Cache-Control: no-store\r\n");
	size_t size = HEADER_LINES_SIZE - used;

	out += used;
	if (status == 401 || (status == 400 && c->x.is_bad_auth))
		challenge_lines(c, p, out);
	else if (status == 405)
		snprintf(out, size, "Allow: %s\r\n", c->x.allow);
	else if (status == 426)
		snprintf(out, size, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
	else if ((status == 429 || status == 503) && retry_helps(p))
		snprintf(out, size, "Retry-After: %u\r\n",
		    p->retry_after_s ? p->retry_after_s : RETRY_AFTER_SECONDS);
}

static void
set_text(json_t *obj, const char *name, struct view text)
{
	/* NULL when it is not UTF-8: the member is left out. */
	json_t *value = text.len > 0 ? json_stringn(text.p, text.len) : NULL;

	if (value)
		json_object_set_new(obj, name, value);
}

static void
send_problem(struct conn *c, unsigned status, const char *code, const char *title,
    const struct problem *p)
{
	char type[96], lines[HEADER_LINES_SIZE], trace[TRACE_ID_TEXT_SIZE];
	json_t *obj;

	trace_format(c->x.trace.b, trace);
	snprintf(type, sizeof(type), "urn:cloudshell-fog:error:%s", code);
	obj = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "type", type, "title", title, "status",
	    (int)status, "detail", title, "code", code, "trace_id", trace);
	if (obj) {
		set_text(obj, "detail", p->detail);
		set_text(obj, "rule_id", p->rule_id);
		set_text(obj, "policy_version", p->policy_version);
		set_text(obj, "change", p->change);
		set_text(obj, "member", p->member);
		set_text(obj, "location", p->location);
	}
	/* What a provider's logout request is answered with (Back-Channel Logout 1.0 2.8). */
	if (obj && status == 400 && c->x.route && (c->x.route->flags & ROUTE_FORM))
		set_text(obj, "error", view_of("invalid_request"));
	problem_lines(c, status, p, lines);
	send_json(c, status, "application/problem+json", lines, obj);
}

void
answer_problem(struct conn *c, const struct problem *p)
{
	struct source_key guesser = api_guesser(c);

	api_token_refused(c->g, &guesser, c->x.token_given, p->error);
	send_problem(c, (unsigned)err_http_status(p->error), err_code(p->error),
	    err_title(p->error), p);
}

void
answer_relayed(struct conn *c, unsigned status, struct view json)
{
	char lines[HEADER_LINES_SIZE];
	struct problem p = { .error = status == 401 ? FOG_E_BAD_TOKEN : FOG_OK };
	struct answer a = { .status = status,
		.type = status >= 400 ? "application/problem+json" : "application/json",
		.lines = lines,
		.bytes = json.p,
		.len = json.len };

	problem_lines(c, status, &p, lines);
	send_answer(c, &a);
}

void
answer_elsewhere(struct conn *c, struct view url)
{
	const struct http1_request *r = http1_request(c->parser);
	struct problem p = { .error = FOG_E_ELSEWHERE };
	cleanup_free char *location = NULL, *lines = NULL;

	if (asprintf(&location, "%.*s%.*s%s%.*s", VIEW_ARG(url), (int)r->path.len, r->path.ptr,
		r->query.ptr ? "?" : "", (int)r->query.len, r->query.ptr ? r->query.ptr : "") < 0 ||
	    asprintf(&lines, "Cache-Control: no-store\r\nLocation: %s\r\n", location) < 0) {
		send_bare_problem(c);
		return;
	}
	p.location = view_of(location);
	if (view_is(api_header(c, "Fog-Location"), "body"))
		answer_problem(c, &p);
	else
		send_json(c, 307, "application/json", lines,
		    json_pack("{s:s}", "location", location));
}

void
answer_error(struct conn *c, int error, const char *detail)
{
	answer_problem(c, &(struct problem){ .error = error, .detail = view_of(detail) });
}

void
answer_rate_limited(struct conn *c, uint32_t retry_after_s)
{
	answer_problem(c, &(struct problem){ .error = FOG_E_RATE, .retry_after_s = retry_after_s });
}

void
answer_bad_member(struct conn *c, const char *member, const char *detail)
{
	answer_problem(c,
	    &(struct problem){ .error = FOG_E_BAD_MEMBER,
		.detail = view_of(detail),
		.member = view_of(member) });
}

void
answer_http_error(struct conn *c, unsigned status, const char *detail)
{
	const struct http_status *s = find_status(status);

	send_problem(c, s->status, s->code ? s->code : "internal", s->phrase,
	    &(struct problem){ .detail = view_of(detail) });
}

void
answer_preflight(struct conn *c)
{
	char lines[HEADER_LINES_SIZE];
	struct answer a = { .status = 204, .lines = lines };

	snprintf(lines, sizeof(lines),
	    "Access-Control-Allow-Methods: %s\r\n"
	    "Access-Control-Allow-Headers: Authorization, Content-Type, DPoP, Idempotency-Key, "
	    "Accept, Fog-Location\r\n"
	    "Access-Control-Max-Age: %d\r\n",
	    c->x.allow, PREFLIGHT_MAX_AGE_S);
	send_answer(c, &a);
}

void
answer_switching(struct conn *c, const char *accept, const char *protocol)
{
	struct evbuffer *out = conn_output(c);

	log_request(c, 101);
	metrics_count_request(&c->g->metrics, api_route_index(&c->x), 101);
	evbuffer_add_printf(out,
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
	    accept);
	if (protocol)
		evbuffer_add_printf(out, "Sec-WebSocket-Protocol: %s\r\n", protocol);
	evbuffer_add(out, "\r\n", 2);
}
