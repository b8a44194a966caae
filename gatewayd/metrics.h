/* SPDX-License-Identifier: MIT */
/*
 * Counters, and their text for Prometheus (format 0.0.4), with those of the node as placerd tells
 * them. Labels are ours alone, and nothing is of one person or one session (S38).
 */
#ifndef GATEWAYD_METRICS_H
#define GATEWAYD_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "common/msg.h"

#define METRICS_ROUTES_MAX 24
#define METRICS_CLASSES 6 /* 1xx..5xx by their first digit */
#define METRICS_REFUSALS 8

struct metrics {
	uint64_t connections_open, connections_total, connections_refused;
	uint64_t tls_failed;
	uint64_t requests[METRICS_ROUTES_MAX][METRICS_CLASSES];
	uint64_t attached, attached_total;
	uint64_t terminal_in_bytes, terminal_out_bytes; /* as of the last scrape */
	uint64_t refusals[METRICS_REFUSALS];            /* of tokens */
	uint64_t renewals, renewals_refused;
	uint64_t logouts, logouts_refused;
};

void metrics_count_request(struct metrics *m, size_t route, unsigned status);
/* A token was refused. error: FOG_E_…; one that says nothing of a token is not counted. */
void metrics_count_refusal(struct metrics *m, int error);

/*
 * The text of one scrape; free() it. NULL when out of memory. route_label writes the labels of
 * route 0..routes-1: `method="GET",route="/healthz"`. node NULL: nobody has told of it. What is not
 * known of it is left out.
 */
char *metrics_text(const struct metrics *m, const struct pl_gate_ready *node,
    void (*route_label)(size_t route, char *out, size_t out_size), size_t routes, size_t *len);

#endif
