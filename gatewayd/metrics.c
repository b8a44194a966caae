/* SPDX-License-Identifier: MIT */
/* Counters as text: see metrics.h. */
#include "gatewayd/metrics.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/*
 * Of the node. The counters of how sessions were made and ended begin at 0 when placerd starts;
 * those of what they have used are of the kernel, since their common control group was made.
 */
#define OF_NODE(field) \
	.offset = offsetof(struct pl_gate_ready, field), \
	.size = sizeof(((struct pl_gate_ready *)NULL)->field)
#define SESSIONS "fog_node_sessions"

enum told { ALWAYS, WHEN_SYNCED, WHEN_MEASURED };

static const struct node_row {
	const char *name, *type, *help;
	size_t offset, size;
	const char *label;
	unsigned decimals; /* the value is in units of 10^-decimals */
	enum told told;
	enum session_usage usage; /* WHEN_MEASURED */
} node_rows[] = {
	{ SESSIONS, "gauge", "Sessions of this node that live.", OF_NODE(starting),
	    "{status=\"starting\"}", 0, WHEN_SYNCED, 0 },
	{ SESSIONS, "gauge", "", OF_NODE(running), "{status=\"running\"}", 0, WHEN_SYNCED, 0 },
	{ SESSIONS, "gauge", "", OF_NODE(detached), "{status=\"detached\"}", 0, WHEN_SYNCED, 0 },
	{ SESSIONS "_made_total", "counter", "Sessions made.", OF_NODE(made), "", 0, ALWAYS, 0 },
	{ SESSIONS "_failed_total", "counter", "Sessions that could not be made.", OF_NODE(failed),
	    "", 0, ALWAYS, 0 },
	{ SESSIONS "_ended_total", "counter", "Sessions that have ended, by how.", OF_NODE(exited),
	    "{status=\"exited\"}", 0, ALWAYS, 0 },
	{ SESSIONS "_ended_total", "counter", "", OF_NODE(expired), "{status=\"expired\"}", 0,
	    ALWAYS, 0 },
	{ SESSIONS "_ended_total", "counter", "", OF_NODE(terminated), "{status=\"terminated\"}", 0,
	    ALWAYS, 0 },
	{ SESSIONS "_ended_total", "counter", "", OF_NODE(lost), "{status=\"lost\"}", 0, ALWAYS,
	    0 },
	{ SESSIONS "_cpu_seconds_total", "counter", "CPU time used by all sessions.",
	    OF_NODE(cpu_usec), "", 6, WHEN_MEASURED, USAGE_CPU },
	{ SESSIONS "_memory_bytes", "gauge",
	    "Memory in use by all sessions, with their page cache.", OF_NODE(memory_bytes), "", 0,
	    WHEN_MEASURED, USAGE_MEMORY },
	{ SESSIONS "_memory_peak_bytes", "gauge", "The most that was ever in use.",
	    OF_NODE(memory_peak_bytes), "", 0, WHEN_MEASURED, USAGE_MEMORY_PEAK },
	{ SESSIONS "_processes", "gauge",
	    "Processes and threads of all sessions, and an idle one that keeps their control group.",
	    OF_NODE(pids), "", 0, WHEN_MEASURED, USAGE_PIDS },
	{ SESSIONS "_oom_kills_total", "counter", "Processes of sessions killed for their memory.",
	    OF_NODE(oom_kills), "", 0, WHEN_MEASURED, USAGE_OOM_KILLS },
	{ SESSIONS "_pressure_ratio", "gauge",
	    "Share of the last 10 s in which some process of a session waited.",
	    OF_NODE(cpu_pressure), "{resource=\"cpu\"}", 4, WHEN_MEASURED, USAGE_CPU_PRESSURE },
	{ SESSIONS "_pressure_ratio", "gauge", "", OF_NODE(memory_pressure),
	    "{resource=\"memory\"}", 4, WHEN_MEASURED, USAGE_MEMORY_PRESSURE },
	{ SESSIONS "_pressure_ratio", "gauge", "", OF_NODE(io_pressure), "{resource=\"io\"}", 4,
	    WHEN_MEASURED, USAGE_IO_PRESSURE },
	{ SESSIONS "_egress_denied_total", "counter",
	    "Packets that the rules of sessions' profiles did not let out.", OF_NODE(egress_denied),
	    "", 0, WHEN_MEASURED, USAGE_EGRESS_DENIED },
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
print_help(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
print_row(FILE *out, const struct metrics *m, const struct row *row)
{
	const uint64_t *value = (const uint64_t *)(const void *)((const char *)m + row->offset);

	/* Once for a name: the first row of it has the text. */
	if (row->help[0])
		print_help(out, row->name, row->type, row->help);
	fprintf(out, "%s%s %llu\n", row->name, row->label, (unsigned long long)*value);
}

static bool
is_told(const struct pl_gate_ready *node, const struct node_row *row)
{
	if (row->told == WHEN_MEASURED)
		return node->known & 1u << row->usage;
	return row->told == ALWAYS || node->sessions_known;
}

static unsigned long long
value_of(const struct pl_gate_ready *node, const struct node_row *row)
{
	const char *at = (const char *)node + row->offset;
	uint64_t wide;
	uint32_t narrow;

	if (row->size == sizeof(wide)) {
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, at, sizeof(narrow));
	return narrow;
}

/* A fraction is written in full, and without floating point: a counter never seems to go back. */
static void
print_node_row(FILE *out, const struct pl_gate_ready *node, const struct node_row *row)
{
	unsigned long long value = value_of(node, row), unit = 1;

	for (unsigned i = 0; i < row->decimals; i++)
		unit *= 10;
	fprintf(out, "%s%s %llu", row->name, row->label, value / unit);
	if (row->decimals > 0)
		fprintf(out, ".%0*llu", (int)row->decimals, value % unit);
	fputc('\n', out);
}

static void
print_node(FILE *out, const struct pl_gate_ready *node)
{
	const char *name = "", *type = "", *help = "", *named = "";

	for (size_t i = 0; i < COUNT_OF(node_rows); i++) {
		const struct node_row *row = &node_rows[i];

		if (row->help[0]) {
			name = row->name;
			type = row->type;
			help = row->help;
		}
		if (!is_told(node, row))
			continue;
		/* Once for a name, with the first of its rows that is known. */
		if (named != name)
			print_help(out, name, type, help);
		named = name;
		print_node_row(out, node, row);
	}
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
metrics_text(const struct metrics *m, const struct pl_gate_ready *node,
    void (*route_label)(size_t route, char *out, size_t out_size), size_t routes, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		print_row(out, m, &rows[i]);
	print_refusals(out, m);
	print_requests(out, m, route_label, routes);
	if (node)
		print_node(out, node);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
