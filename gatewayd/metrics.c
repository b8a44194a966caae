/* SPDX-License-Identifier: MIT */
/* Counters as text: see metrics.h. */
#include "gatewayd/metrics.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"

static const struct row {
	const char *name, *type, *help;
	size_t offset;
} rows[] = {
	{ "fog_gateway_connections", "gauge", "Open connections.",
	    offsetof(struct metrics, connections_open) },
	{ "fog_gateway_connections_total", "counter", "Connections accepted.",
	    offsetof(struct metrics, connections_total) },
	{ "fog_gateway_connections_refused_total", "counter", "Connections over a limit.",
	    offsetof(struct metrics, connections_refused) },
	{ "fog_gateway_tls_failures_total", "counter", "TLS handshakes that failed.",
	    offsetof(struct metrics, tls_failed) },
	{ "fog_gateway_attachments", "gauge", "Attached WebSockets.",
	    offsetof(struct metrics, attached) },
	{ "fog_gateway_attachments_total", "counter", "WebSockets attached.",
	    offsetof(struct metrics, attached_total) },
	{ "fog_gateway_terminal_input_bytes_total", "counter", "Terminal bytes from clients.",
	    offsetof(struct metrics, terminal_in_bytes) },
	{ "fog_gateway_terminal_output_bytes_total", "counter", "Terminal bytes to clients.",
	    offsetof(struct metrics, terminal_out_bytes) },
};

void
metrics_count_request(struct metrics *m, size_t route, unsigned status)
{
	if (route < METRICS_ROUTES_MAX && status / 100 < METRICS_CLASSES)
		m->requests[route][status / 100]++;
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
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const uint64_t *value = (const uint64_t *)(const void *)((const char *)m +
		    rows[i].offset);

		fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", rows[i].name, rows[i].help,
		    rows[i].name, rows[i].type, rows[i].name, (unsigned long long)*value);
	}
	print_requests(out, m, route_label, routes);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
