/* SPDX-License-Identifier: MIT */
/* Routes and the checks that all calls share: see api.h. */
#include "gatewayd/api.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/mono.h"
#include "gatewayd/answer.h"
#include "gatewayd/askers.h"
#include "gatewayd/limits.h"
#include "gatewayd/static.h"

#define BEARER_MAX 8192     /* messages.def */
#define PROOF_MAX 4096      /* messages.def */
#define NODE_TOKEN_MAX 2048 /* messages.def */
#define NODE_NAME_MAX 64    /* messages.def */

static const struct route public_routes[] = {
	{ "POST", "/v1/sessions", ROUTE_TOKEN | ROUTE_BODY, api_create_session },
	{ "GET", "/v1/sessions", ROUTE_TOKEN | ROUTE_HEAD, api_list_sessions },
	{ "GET", "/v1/sessions/{id}", ROUTE_TOKEN | ROUTE_HEAD, api_show_session },
	{ "DELETE", "/v1/sessions/{id}", ROUTE_TOKEN, api_end_session },
	{ "PATCH", "/v1/sessions/{id}", ROUTE_TOKEN | ROUTE_BODY, api_extend_session },
	{ "POST", "/v1/sessions/{id}/attach", ROUTE_TOKEN | ROUTE_BODY, api_mint_attach },
	{ "POST", "/v1/sessions/{id}/confirm", ROUTE_TOKEN, api_confirm_session },
	{ "GET", "/v1/sessions/{id}/pty", 0, api_attach },
	{ "GET", "/v1/profiles", ROUTE_TOKEN | ROUTE_HEAD, api_list_profiles },
	{ "GET", "/v1/nodes", ROUTE_TOKEN | ROUTE_HEAD, api_list_nodes },
	{ "GET", "/v1/node/status", ROUTE_NODE, api_node_status },
	{ "POST", "/v1/oidc/backchannel-logout", ROUTE_FORM | ROUTE_ISSUER, api_logout },
	{ "GET", "/v1/config", ROUTE_HEAD, api_config },
	{ "GET", "/healthz", ROUTE_HEAD, api_health },
	{ "GET", "/readyz", ROUTE_HEAD, api_ready },
};

static const struct route metrics_routes[] = {
	{ "GET", "/metrics", ROUTE_HEAD, api_metrics },
};

/* After the rows of both tables: a file of the page, and no route at all. */
enum {
	INDEX_METRICS = COUNT_OF(public_routes),
	INDEX_FILE = INDEX_METRICS + COUNT_OF(metrics_routes),
	INDEX_NONE,
	INDEX_COUNT
};
_Static_assert(INDEX_COUNT <= METRICS_ROUTES_MAX, "a counter for each route");

struct view
api_header(const struct conn *c, const char *name)
{
	struct http1_view value;

	if (http1_header_unique(c->parser, name, &value) != 1)
		return view_bytes(NULL, 0);
	return view_bytes(value.ptr, value.len);
}

/* --- names for log and metrics --- */

size_t
api_route_index(const struct exchange *x)
{
	if (x->file)
		return INDEX_FILE;
	if (!x->route)
		return INDEX_NONE;
	if (x->route >= metrics_routes && x->route < metrics_routes + COUNT_OF(metrics_routes))
		return INDEX_METRICS + (size_t)(x->route - metrics_routes);
	return (size_t)(x->route - public_routes);
}

const char *
api_route_name(const struct exchange *x)
{
	return x->file ? "/{file}" : x->route ? x->route->pattern : "-";
}

size_t
api_route_count(void)
{
	return INDEX_COUNT;
}

void
api_route_label(size_t index, char *out, size_t out_size)
{
	const struct route *row = NULL;

	if (index < INDEX_METRICS)
		row = &public_routes[index];
	else if (index < INDEX_FILE)
		row = &metrics_routes[index - INDEX_METRICS];
	if (row)
		snprintf(out, out_size, "method=\"%s\",route=\"%s\"", row->method, row->pattern);
	else
		snprintf(out, out_size, "method=\"\",route=\"%s\"",
		    index == INDEX_FILE ? "/{file}" : "");
}

/* --- checks --- */

static int
refuse(struct conn *c, int error, const char *detail)
{
	c->x.error = error;
	c->x.error_detail = detail;
	return -1;
}

static void
take_trace(struct conn *c)
{
	struct view parent = api_header(c, "traceparent");

	if (parent.p)
		(void)trace_parse(parent.p, parent.len, c->x.trace.b); /* else: the new one */
}

static int
check_host(struct conn *c)
{
	struct view host = api_header(c, "Host");

	if (c->is_metrics && c->g->metrics_any_host)
		return 0;
	if (origins_allow_host(c->is_metrics ? &c->g->metrics_origins : &c->g->origins, host))
		return 0;
	return refuse(c, FOG_E_HOST, "the Host field names another server");
}

static int
find_file(struct conn *c, struct view method, struct view path)
{
	const struct static_file *file = c->is_metrics ? NULL : static_find(c->g->files, path);

	if (!file)
		return refuse(c, FOG_E_NOT_FOUND, NULL);
	if (!view_is(method, "GET") && !view_is(method, "HEAD")) {
		snprintf(c->x.allow, sizeof(c->x.allow), "GET, HEAD");
		return refuse(c, FOG_E_METHOD, NULL);
	}
	c->x.file = file;
	return 0;
}

static int
check_id(struct conn *c, struct view id)
{
	if (!id.p)
		return 0;
	c->x.has_session_id = id_parse(id.p, id.len, &c->x.session_id) == 0;
	return 0;
}

/* Calls of the API, which the page of another node may make: no file, and nothing of the metrics. */
static void
take_origin(struct conn *c)
{
	const struct http1_request *r = http1_request(c->parser);
	struct view path = view_bytes(r->path.ptr, r->path.len), origin = api_header(c, "Origin");

	if (c->is_metrics || !*c->g->config->fleet_origins ||
	    !((path.len > 4 && memcmp(path.p, "/v1/", 4) == 0) || view_is(path, "/healthz")))
		return;
	c->x.varies = true;
	if (origin.len > 0 && origins_is_node(&c->g->origins, origin))
		c->x.cors = origin;
}

/* Its answer names the methods of the path; what the call itself needs is asked of that. */
static bool
is_preflight(const struct conn *c, struct view method)
{
	return c->x.cors.len > 0 && view_is(method, "OPTIONS") &&
	    api_header(c, "Access-Control-Request-Method").len > 0;
}

static int
find_route(struct conn *c, struct view *id)
{
	const struct http1_request *r = http1_request(c->parser);
	struct view method = view_bytes(r->method.ptr, r->method.len);
	struct view path = view_bytes(r->path.ptr, r->path.len);
	const struct route *rows = c->is_metrics ? metrics_routes : public_routes;
	size_t count = c->is_metrics ? COUNT_OF(metrics_routes) : COUNT_OF(public_routes);

	switch (route_find(rows, count, method, path, &c->x.route, id, c->x.allow)) {
	case ROUTE_FOUND:
		return check_id(c, *id);
	case ROUTE_NO_METHOD:
		c->x.is_preflight = is_preflight(c, method);
		return c->x.is_preflight ? 0 : refuse(c, FOG_E_METHOD, NULL);
	default:
		return find_file(c, method, path);
	}
}

/* token68 (RFC 9110 11.2). */
static bool
is_token68(struct view v)
{
	size_t i = 0;

	while (i < v.len &&
	    ((v.p[i] >= 'A' && v.p[i] <= 'Z') || (v.p[i] >= 'a' && v.p[i] <= 'z') ||
		(v.p[i] >= '0' && v.p[i] <= '9') || strchr("-._~+/", v.p[i])))
		i++;
	if (i == 0)
		return false;
	while (i < v.len && v.p[i] == '=')
		i++;
	return i == v.len;
}

static uint8_t
scheme_of(const struct conn *c, struct view name)
{
	static const struct {
		const char *name;
		uint8_t scheme;
	} schemes[] = { { "Bearer", SCHEME_BEARER }, { "DPoP", SCHEME_DPOP } };

	for (size_t i = 0; i < COUNT_OF(schemes); i++) {
		if (name.len == strlen(schemes[i].name) &&
		    strncasecmp(name.p, schemes[i].name, name.len) == 0 &&
		    (schemes[i].scheme == SCHEME_BEARER || c->g->config->oidc_issuer_url[0]))
			return schemes[i].scheme;
	}
	return SCHEME_NONE;
}

/* RFC 6750 3.1: invalid_request. */
static int
refuse_twice(struct conn *c, const char *detail)
{
	c->x.token_given = c->x.is_bad_auth = true;
	return refuse(c, FOG_E_BAD_REQUEST, detail);
}

/* RFC 6750 2.1, RFC 9449 7.1: in the header alone, once. */
static int
read_token(struct conn *c)
{
	struct view value = api_header(c, "Authorization");
	size_t count = http1_header_count(c->parser, "Authorization");
	const char *space = count == 1 ? memchr(value.p, ' ', value.len) : NULL;
	size_t len = space ? (size_t)(space - value.p) : value.len;

	if (count == 0)
		return refuse(c, FOG_E_NO_TOKEN, NULL);
	if (count > 1)
		return refuse_twice(c, "Authorization is there more than once");
	c->x.scheme = scheme_of(c, view_bytes(value.p, len));
	if (c->x.scheme == SCHEME_NONE)
		return refuse(c, FOG_E_NO_TOKEN, "the scheme of Authorization is not one of ours");
	c->x.token_given = true;
	c->x.bearer = view_bytes(value.p + len + (space ? 1 : 0),
	    value.len - len - (space ? 1 : 0));
	if (c->x.bearer.len > BEARER_MAX || !is_token68(c->x.bearer))
		return refuse(c, FOG_E_BAD_TOKEN, NULL);
	return 0;
}

/* RFC 9449 4.3, the first check; all others are authd's. */
static int
read_proof(struct conn *c)
{
	struct view value = api_header(c, "DPoP");
	size_t count = http1_header_count(c->parser, "DPoP");

	if (count > 1)
		return refuse_twice(c, "DPoP is there more than once");
	if (count == 1 && (value.len > PROOF_MAX || !is_token68(value)))
		return refuse(c, FOG_E_BAD_PROOF, NULL);
	c->x.proof = value;
	return 0;
}

/*
 * Guesses of who shares an address with a node do not keep out what that node passes on: this is
 * counted apart. No source is like that: the last byte of a /64 and the first of an IPv4 address are 0.
 */
struct source_key
api_guesser(const struct conn *c)
{
	struct source_key key = c->x.source;

	if (c->x.is_from_node)
		key.b[key.b[0] == 0 ? 0 : sizeof(key.b) - 1] ^= 1;
	return key;
}

int
api_check_guesses(struct conn *c)
{
	struct source_key from = api_guesser(c);
	uint32_t wait = limits_wait(c->g->rates, LIMIT_FAILED_TOKENS, &from, mono_ms());

	c->x.retry_after_s = wait;
	return wait ? refuse(c, FOG_E_RATE, NULL) : 0;
}

/* Who passes a request on says so once, by a node's name: nobody else has a use for the field. */
static int
read_forwarded_by(struct conn *c)
{
	struct view value = api_header(c, "Fog-Forwarded-By");
	size_t count = http1_header_count(c->parser, "Fog-Forwarded-By");
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";

	if (count == 0)
		return 0;
	if (count > 1 || value.len < 1 || value.len > NODE_NAME_MAX ||
	    strspn(value.p, allowed) != value.len)
		return refuse(c, FOG_E_BAD_REQUEST, "Fog-Forwarded-By is the name of a node, once");
	c->x.forwarded_by = value;
	c->x.is_from_node = askers_know(c->g->askers, &c->x.source, mono_ms());
	return 0;
}

uint32_t
api_take(struct conn *c, enum limit_kind kind)
{
	/* Those of all who came to that node: each subject has a limit of its own, in placerd. */
	return c->x.is_from_node ? 0 : limits_take(c->g->rates, kind, &c->x.source, mono_ms());
}

/*
 * A node's token says who asks, and signs nobody in (common/nodetoken.h). It cannot be guessed, so that
 * wrong ones are no guesses: or whoever shares an address with a node would make us look dead to it.
 */
static int
check_node_token(struct conn *c)
{
	int rc = read_token(c);

	if (rc != 0)
		return rc;
	if (c->x.scheme != SCHEME_BEARER || c->x.bearer.len > NODE_TOKEN_MAX)
		return refuse(c, FOG_E_NODE_TOKEN, NULL);
	if (askers_take(c->g->askers, &c->x.source, mono_ms()))
		return 0;
	c->x.retry_after_s = 1;
	return refuse(c, FOG_E_RATE, NULL);
}

/* A source that has guessed too often learns no more of its guesses. */
static int
check_token(struct conn *c)
{
	int rc = read_token(c);

	if (rc == 0)
		rc = read_proof(c);
	if (rc == 0)
		rc = read_forwarded_by(c);
	if (c->x.token_given && !c->x.is_bad_auth && api_check_guesses(c) != 0)
		return -1;
	return rc;
}

void
api_token_refused(struct gateway *g, const struct source_key *from, bool token_given, int error)
{
	/* Not those that a guesser learns nothing by: a nonce that is wanted, a sign-out. */
	static const int guesses[] = { FOG_E_BAD_TOKEN, FOG_E_BAD_ATTACH_TOKEN,
		FOG_E_USED_ATTACH_TOKEN, FOG_E_BAD_PROOF, FOG_E_BAD_LOGOUT_TOKEN };

	error = error < 0 ? -error : error;
	metrics_count_refusal(&g->metrics, error);
	for (size_t i = 0; token_given && i < COUNT_OF(guesses); i++) {
		if (guesses[i] == error)
			limits_charge(g->rates, LIMIT_FAILED_TOKENS, from, mono_ms());
	}
}

/* With or without a charset, which means nothing (RFC 8259 11, WHATWG URL 5). */
static bool
is_media_type(struct view v, const char *want)
{
	size_t len = strlen(want);

	if (!v.p || v.len < len || strncasecmp(v.p, want, len) != 0)
		return false;
	return v.len == len || v.p[len] == ';' || v.p[len] == ' ' || v.p[len] == '\t';
}

static int
check_body(struct conn *c, bool has_body)
{
	unsigned flags = c->x.route ? c->x.route->flags : 0;
	bool is_form = flags & ROUTE_FORM;

	if (!has_body)
		return 0;
	if (!(flags & (ROUTE_BODY | ROUTE_FORM)))
		return refuse(c, FOG_E_BAD_REQUEST, "this call takes no body");
	if (!is_media_type(api_header(c, "Content-Type"),
		is_form ? "application/x-www-form-urlencoded" : "application/json"))
		return refuse(c, FOG_E_MEDIA_TYPE,
		    is_form ? "the body is not application/x-www-form-urlencoded" : NULL);
	return 0;
}

/* Like a path that is not there. */
static int
check_issuer(struct conn *c)
{
	if (!c->x.route || !(c->x.route->flags & ROUTE_ISSUER) || c->g->config->oidc_issuer_url[0])
		return 0;
	return refuse(c, FOG_E_NOT_FOUND, "no identity provider is configured");
}

void
api_check(struct conn *c, bool has_body)
{
	struct view id = { 0 };

	take_trace(c);
	if (check_host(c) != 0)
		return;
	take_origin(c);
	if (find_route(c, &id) != 0 || check_issuer(c) != 0)
		return;
	if (c->x.route && (c->x.route->flags & ROUTE_TOKEN) && check_token(c) != 0)
		return;
	if (c->x.route && (c->x.route->flags & ROUTE_NODE) && check_node_token(c) != 0)
		return;
	if (id.p && !c->x.has_session_id)
		refuse(c, FOG_E_NO_SESSION, NULL);
	else
		check_body(c, has_body);
}

void
api_answer_check(struct conn *c)
{
	answer_problem(c,
	    &(struct problem){ .error = c->x.error,
		.detail = view_of(c->x.error_detail),
		.retry_after_s = c->x.retry_after_s });
}

void
api_handle(struct conn *c)
{
	struct answer_file file;

	if (c->x.route) {
		c->x.route->handle(c);
		return;
	}
	if (c->x.is_preflight) {
		answer_preflight(c);
		return;
	}
	file = static_answer(c->x.file);
	answer_file(c, &file);
}
