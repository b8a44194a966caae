/* SPDX-License-Identifier: MIT */
/* Bounds: see bounds.h. */
#include "regress/bench/bounds.h"

#include "common/cleanup.h"

const struct bound bounds[] = {
	{ METRIC_FLOOD, &terminal_fog_v1, &terminal_relay2, AT_LEAST_RATIO, 0.9 },
	{ METRIC_FLOOD, &terminal_fog_v1, &terminal_relay, AT_LEAST_RATIO, 1.1 },
	{ METRIC_FLOOD, &terminal_fog_v1, &terminal_ttyd, AT_LEAST_RATIO, 1.2 },
	{ METRIC_FLOOD, &terminal_fog_v1_tls, &terminal_relay2, AT_LEAST_RATIO, 0.8 },
	{ METRIC_FLOOD, &terminal_fog_json, &terminal_relay2, AT_LEAST_RATIO, 0.7 },
	{ METRIC_CPU, &terminal_fog_v1, &terminal_relay2, AT_MOST_RATIO, 1.2 },
	{ METRIC_CPU, &terminal_fog_v1, &terminal_ttyd, AT_MOST_RATIO, 0.7 },
	{ METRIC_ECHO_P50, &terminal_fog_v1, &terminal_relay2, AT_MOST_RATIO, 1.15 },
	{ METRIC_ECHO_P50, &terminal_fog_v1, &terminal_ttyd, ONLY_DIFFERENCE, 0 },
	{ METRIC_BUSY_P50, &terminal_fog_v1, &terminal_relay2, AT_MOST_RATIO, 1.15 },
	{ METRIC_BUSY_P50, &terminal_fog_v1, &terminal_ttyd, ONLY_DIFFERENCE, 0 },
	{ METRIC_INTERRUPT, &terminal_fog_v1, NULL, AT_MOST_VALUE, 90 },
	{ METRIC_INTERRUPT, &terminal_fog_v1_tls, NULL, AT_MOST_VALUE, 90 },
	{ METRIC_STALL, &terminal_fog_v1, NULL, AT_MOST_VALUE, 256 },
	{ METRIC_STALL, &terminal_fog_v1_tls, NULL, AT_MOST_VALUE, 256 },
	{ METRIC_STALL, &terminal_fog_json, NULL, AT_MOST_VALUE, 256 },
	{ METRIC_PROMPT, &terminal_fog_v1, &terminal_ttyd, AT_MOST_RATIO, 2.5 },
	{ METRIC_RATE, &terminal_fog_v1, &terminal_ttyd, AT_LEAST_RATIO, 0.5 },
	{ METRIC_FRONT_PSS, &terminal_fog_v1, NULL, AT_MOST_VALUE, 16 },
	{ METRIC_FRONT_PSS, &terminal_fog_v1_tls, NULL, AT_MOST_VALUE, 48 },
	{ METRIC_HOLDER_PSS, &terminal_fog_v1, NULL, AT_MOST_VALUE, 200 },
	{ METRIC_THREADS, &terminal_fog_v1, NULL, AT_MOST_VALUE, 0 },
	{ METRIC_BOX_PROMPT, &terminal_fog_sandbox, &terminal_bwrap, AT_MOST_RATIO, 2 },
	{ METRIC_BOX_PROMPT, &terminal_fog_sandbox, &terminal_crun, AT_MOST_RATIO, 0.3 },
	{ METRIC_BOX_TAIL, &terminal_fog_sandbox, NULL, AT_MOST_VALUE, 5 },
	{ METRIC_BOX_RATE, &terminal_fog_sandbox, &terminal_bwrap, AT_LEAST_RATIO, 0.5 },
	{ METRIC_BOX_FIXED, &terminal_fog_sandbox, NULL, AT_MOST_VALUE, 400 },
};
const size_t bounds_count = COUNT_OF(bounds);

static const struct samples *
find_samples(const struct terminal_ops *ops, enum metric m, const struct contender *all, size_t n)
{
	static const struct samples none;

	for (size_t i = 0; i < n; i++) {
		if (all[i].ops == ops)
			return &all[i].results.of[m];
	}
	return &none;
}

static void
collect(const struct bound *b, const struct contender *all, size_t n, struct samples *out)
{
	const struct samples *of = find_samples(b->of, b->metric, all, n), *to;

	if (b->to) {
		to = find_samples(b->to, b->metric, all, n);
		if (b->kind == ONLY_DIFFERENCE)
			samples_difference(of, to, out);
		else
			samples_ratio(of, to, out);
		return;
	}
	for (size_t i = 0; i < of->n; i++)
		samples_add(out, of->v[i]);
}

enum verdict
bound_judge(const struct bound *b, const struct contender *all, size_t n, struct samples *out)
{
	double median;

	*out = (struct samples){ 0 };
	collect(b, all, n, out);
	if (out->n == 0)
		return VERDICT_NOT_MEASURED;
	if (b->kind == ONLY_DIFFERENCE)
		return VERDICT_TOLD;
	median = samples_at(out, 0.5);
	if (b->kind == AT_LEAST_RATIO)
		return median >= b->limit ? VERDICT_MET : VERDICT_NOT_MET;
	return median <= b->limit ? VERDICT_MET : VERDICT_NOT_MET;
}
