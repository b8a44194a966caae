/* SPDX-License-Identifier: MIT */
/* Routes and the checks that all calls share: see api.h. */
#include "gatewayd/api.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "gatewayd/answer.h"
#include "gatewayd/static.h"

#define BEARER_MAX 8192 /* messages.def */

static const struct route public_routes[] = {
	{ "POST", "/v1/sessions", ROUTE_TOKEN | ROUTE_BODY, api_create_session },
	{ "GET", "/v1/sessions", ROUTE_TOKEN | ROUTE_HEAD, api_list_sessions },
	{ "GET", "/v1/sessions/{id}", ROUTE_TOKEN | ROUTE_HEAD, api_show_session },
	{ "DELETE", "/v1/sessions/{id}", ROUTE_TOKEN, api_end_session },
	{ "PATCH", "/v1/sessions/{id}", ROUTE_TOKEN | ROUTE_BODY, api_extend_session },
	{ "POST", "/v1/sessions/{id}/attach", ROUTE_TOKEN | ROUTE_BODY, api_mint_attach },
	{ "GET", "/v1/sessions/{id}/pty", 0, api_attach },
	{ "GET", "/v1/profiles", ROUTE_TOKEN | ROUTE_HEAD, api_list_profiles },
	{ "GET", "/v1/nodes", ROUTE_TOKEN | ROUTE_HEAD, api_list_nodes },
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
		return refuse(c, FOG_E_METHOD, NULL);
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

/* RFC 6750 2.1: in the header alone, once. */
static int
check_token(struct conn *c)
{
	static const char scheme[] = "Bearer ";
	struct view value = api_header(c, "Authorization");
	size_t skip = strlen(scheme);

	if (!value.p && http1_header_count(c->parser, "Authorization") == 0)
		return refuse(c, FOG_E_NO_TOKEN, NULL);
	if (!value.p || value.len < skip - 1 || strncasecmp(value.p, scheme, skip - 1) != 0)
		return refuse(c, FOG_E_NO_TOKEN, "the scheme of Authorization is not Bearer");
	c->x.token_given = true;
	if (value.len <= skip || value.p[skip - 1] != ' ')
		return refuse(c, FOG_E_BAD_TOKEN, NULL);
	c->x.bearer = view_bytes(value.p + skip, value.len - skip);
	if (c->x.bearer.len > BEARER_MAX || !is_token68(c->x.bearer))
		return refuse(c, FOG_E_BAD_TOKEN, NULL);
	return 0;
}

/* application/json, with or without a charset, which means nothing (RFC 8259 11). */
static bool
is_json_type(struct view v)
{
	static const char want[] = "application/json";
	size_t len = strlen(want);

	if (!v.p || v.len < len || strncasecmp(v.p, want, len) != 0)
		return false;
	return v.len == len || v.p[len] == ';' || v.p[len] == ' ' || v.p[len] == '\t';
}

static int
check_body(struct conn *c, bool has_body)
{
	if (!has_body)
		return 0;
	if (!c->x.route || !(c->x.route->flags & ROUTE_BODY))
		return refuse(c, FOG_E_BAD_REQUEST, "this call takes no body");
	if (!is_json_type(api_header(c, "Content-Type")))
		return refuse(c, FOG_E_MEDIA_TYPE, NULL);
	return 0;
}

void
api_check(struct conn *c, bool has_body)
{
	struct view id = { 0 };

	take_trace(c);
	if (check_host(c) != 0 || find_route(c, &id) != 0)
		return;
	if (c->x.route && (c->x.route->flags & ROUTE_TOKEN) && check_token(c) != 0)
		return;
	if (id.p && !c->x.has_session_id)
		refuse(c, FOG_E_NO_SESSION, NULL);
	else
		check_body(c, has_body);
}

void
api_answer_check(struct conn *c)
{
	answer_error(c, c->x.error, c->x.error_detail);
}

void
api_handle(struct conn *c)
{
	struct answer_file file;

	if (c->x.route) {
		c->x.route->handle(c);
		return;
	}
	file = static_answer(c->x.file);
	answer_file(c, &file);
}
