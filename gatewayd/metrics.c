/* SPDX-License-Identifier: MIT */
/* Counters as text: see metrics.h. */
#include "gatewayd/metrics.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/err.h"

/* Rows of one name follow each other; a label is one of ours, "" for none. */
static const struct row {
	const char *name, *type, *help;
	size_t offset;
	const char *label;
} rows[] = {
	{ "fog_gateway_connections", "gauge", "Open connections.",
	    offsetof(struct metrics, connections_open), "" },
	{ "fog_gateway_connections_total", "counter", "Connections accepted.",
	    offsetof(struct metrics, connections_total), "" },
	{ "fog_gateway_connections_refused_total", "counter", "Connections over a limit.",
	    offsetof(struct metrics, connections_refused), "" },
	{ "fog_gateway_tls_failures_total", "counter", "TLS handshakes that failed.",
	    offsetof(struct metrics, tls_failed), "" },
	{ "fog_gateway_attachments", "gauge", "Attached WebSockets.",
	    offsetof(struct metrics, attached), "" },
	{ "fog_gateway_attachments_total", "counter", "WebSockets attached.",
	    offsetof(struct metrics, attached_total), "" },
	{ "fog_gateway_terminal_input_bytes_total", "counter", "Terminal bytes from clients.",
	    offsetof(struct metrics, terminal_in_bytes), "" },
	{ "fog_gateway_terminal_output_bytes_total", "counter", "Terminal bytes to clients.",
	    offsetof(struct metrics, terminal_out_bytes), "" },
	{ "fog_gateway_renewals_total", "counter", "Renewals asked for by attached clients.",
	    offsetof(struct metrics, renewals), "{result=\"renewed\"}" },
	{ "fog_gateway_renewals_total", "counter", "", offsetof(struct metrics, renewals_refused),
	    "{result=\"refused\"}" },
	{ "fog_gateway_logouts_total", "counter", "Back-channel logouts by the identity provider.",
	    offsetof(struct metrics, logouts), "{result=\"done\"}" },
	{ "fog_gateway_logouts_total", "counter", "", offsetof(struct metrics, logouts_refused),
	    "{result=\"refused\"}" },
};

static const int refusals[] = { FOG_E_NO_TOKEN, FOG_E_BAD_TOKEN, FOG_E_BAD_ATTACH_TOKEN,
	FOG_E_USED_ATTACH_TOKEN, FOG_E_REVOKED, FOG_E_BAD_PROOF, FOG_E_NEED_NONCE,
	FOG_E_BAD_LOGOUT_TOKEN };
_Static_assert(COUNT_OF(refusals) == METRICS_REFUSALS, "a counter for each");

void
metrics_count_request(struct metrics *m, size_t route, unsigned status)
{
	if (route < METRICS_ROUTES_MAX && status / 100 < METRICS_CLASSES)
		m->requests[route][status / 100]++;
}

void
metrics_count_refusal(struct metrics *m, int error)
{
	for (size_t i = 0; i < COUNT_OF(refusals); i++) {
		if (refusals[i] == error)
			m->refusals[i]++;
	}
}

static void
print_refusals(FILE *out, const struct metrics *m)
{
	fputs("# HELP fog_gateway_tokens_refused_total Tokens that were refused.\n"
	      "# TYPE fog_gateway_tokens_refused_total counter\n",
	    out);
	for (size_t i = 0; i < COUNT_OF(refusals); i++)
		fprintf(out, "fog_gateway_tokens_refused_total{reason=\"%s\"} %llu\n",
		    err_code(refusals[i]), (unsigned long long)m->refusals[i]);
}

static void
print_row(FILE *out, const struct metrics *m, const struct row *row)
{
	const uint64_t *value = (const uint64_t *)(const void *)((const char *)m + row->offset);

	/* Once for a name: the first row of it has the text. */
	if (row->help[0])
		fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
		    row->type);
	fprintf(out, "%s%s %llu\n", row->name, row->label, (unsigned long long)*value);
}

static void
print_requests(FILE *out, const struct metrics *m,
    void (*route_label)(size_t route, char *out, size_t out_size), size_t routes)
{
	char label[128];

	fputs("# HELP fog_gateway_requests_total Requests answered.\n"
	      "# TYPE fog_gateway_requests_total counter\n",
	    out);
	for (size_t i = 0; i < routes && i < METRICS_ROUTES_MAX; i++) {
		route_label(i, label, sizeof(label));
		for (size_t class = 1; class < METRICS_CLASSES; class ++) {
			if (m->requests[i][class] > 0)
				fprintf(out,
				    "fog_gateway_requests_total{%s,status=\"%zuxx\"} %llu\n", label,
				    class, (unsigned long long)m->requests[i][class]);
		}
	}
}

char *
metrics_text(const struct metrics *m, void (*route_label)(size_t route, char *out, size_t out_size),
    size_t routes, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		print_row(out, m, &rows[i]);
	print_refusals(out, m);
	print_requests(out, m, route_label, routes);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
