/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/metrics.c: the text of Prometheus' format 0.0.4, with labels of ours alone. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "gatewayd/metrics.h"

static void
label(size_t route, char *out, size_t size)
{
	snprintf(out, size, "method=\"GET\",route=\"/%zu\"", route);
}

static unsigned
count_of(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, word)); p++)
		n++;
	return n;
}

static void
counts_refusals_by_their_code(void **state)
{
	struct metrics m = { .renewals = 3, .renewals_refused = 4, .logouts = 5 };
	size_t len;
	char *text;

	(void)state;
	metrics_count_refusal(&m, FOG_E_BAD_TOKEN);
	metrics_count_refusal(&m, FOG_E_BAD_TOKEN);
	metrics_count_refusal(&m, FOG_E_NEED_NONCE);
	metrics_count_refusal(&m, FOG_E_NO_SESSION); /* says nothing of a token */
	metrics_count_request(&m, 1, 401);
	text = metrics_text(&m, NULL, label, 2, &len);
	assert_non_null(text);
	assert_int_equal(len, strlen(text));
	assert_non_null(strstr(text,
	    "fog_gateway_tokens_refused_total{reason=\"token_invalid\"} 2\n"));
	assert_non_null(strstr(text,
	    "fog_gateway_tokens_refused_total{reason=\"dpop_nonce_needed\"} 1\n"));
	assert_non_null(strstr(text,
	    "fog_gateway_tokens_refused_total{reason=\"identity_revoked\"} 0\n"));
	assert_null(strstr(text, "session_unknown"));
	assert_non_null(strstr(text, "fog_gateway_renewals_total{result=\"renewed\"} 3\n"));
	assert_non_null(strstr(text, "fog_gateway_renewals_total{result=\"refused\"} 4\n"));
	assert_non_null(strstr(text, "fog_gateway_logouts_total{result=\"done\"} 5\n"));
	assert_non_null(strstr(text,
	    "fog_gateway_requests_total{method=\"GET\",route=\"/1\",status=\"4xx\"} 1\n"));
	free(text);
}

static void
says_type_and_help_once_for_a_name(void **state)
{
	static const char *const names[] = { "connections", "renewals_total", "logouts_total",
		"tokens_refused_total", "requests_total" };
	struct metrics m = { 0 };
	char line[96];
	size_t len;
	char *text = metrics_text(&m, NULL, label, 2, &len);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(line, sizeof(line), "# TYPE fog_gateway_%s ", names[i]);
		assert_int_equal(count_of(text, line), 1);
		snprintf(line, sizeof(line), "# HELP fog_gateway_%s ", names[i]);
		assert_int_equal(count_of(text, line), 1);
	}
	assert_int_equal(count_of(text, "# TYPE "), count_of(text, "# HELP "));
	free(text);
}

/* No figures without somebody who told them; of those told only what is known. */
static const struct {
	struct pl_gate_ready node;
	const char *lines[5]; /* to be there, whole */
	const char *absent[2];
} node_rows[] = {
	{ { .sessions_known = 1, .running = 2, .detached = 3, .made = 7, .expired = 1 },
	    { "\nfog_node_sessions{status=\"running\"} 2\n",
		"\nfog_node_sessions{status=\"detached\"} 3\n",
		"\nfog_node_sessions_made_total 7\n",
		"\nfog_node_sessions_ended_total{status=\"expired\"} 1\n" },
	    { "cpu_seconds", "pressure" } },
	{ { .made = 7, .failed = 9 },
	    { "\nfog_node_sessions_made_total 7\n", "\nfog_node_sessions_failed_total 9\n",
		"\nfog_node_sessions_ended_total{status=\"lost\"} 0\n" },
	    { "fog_node_sessions{", "fog_node_sessions " } },
	{ { .known = 1u << USAGE_CPU | 1u << USAGE_MEMORY | 1u << USAGE_IO_PRESSURE |
		  1u << USAGE_OOM_KILLS,
	      .cpu_usec = UINT64_C(12000345),
	      .memory_bytes = UINT64_C(1) << 40,
	      .oom_kills = 4,
	      .io_pressure = 125 },
	    { "\nfog_node_sessions_cpu_seconds_total 12.000345\n",
		"\nfog_node_sessions_memory_bytes 1099511627776\n",
		"\nfog_node_sessions_oom_kills_total 4\n",
		"\nfog_node_sessions_pressure_ratio{resource=\"io\"} 0.0125\n" },
	    { "resource=\"cpu\"", "fog_node_sessions_processes" } },
	{ { .known = (1u << USAGE_COUNT) - 1,
	      .pids = 8,
	      .cpu_pressure = 10000,
	      .egress_denied = 9 },
	    { "\nfog_node_sessions_processes 8\n", "\nfog_node_sessions_egress_denied_total 9\n",
		"\nfog_node_sessions_pressure_ratio{resource=\"cpu\"} 1.0000\n",
		"\nfog_node_sessions_pressure_ratio{resource=\"memory\"} 0.0000\n",
		"\nfog_node_sessions_cpu_seconds_total 0.000000\n" },
	    { NULL } },
};

/* Every name that has a value has its text before it, once; the others have none. */
static void
assert_names_have_text(const char *text)
{
	char line[96];

	for (const char *p = text; (p = strstr(p, "\nfog_node_sessions")); p++) {
		size_t len = strcspn(p + 1, "{ ");

		snprintf(line, sizeof(line), "# TYPE %.*s ", (int)len, p + 1);
		assert_int_equal(count_of(text, line), 1);
		assert_true(strstr(text, line) < p);
	}
	assert_int_equal(count_of(text, "# TYPE "), count_of(text, "# HELP "));
}

static void
tells_of_the_node_what_is_known(void **state)
{
	struct metrics m = { 0 };
	size_t len;
	char *text = metrics_text(&m, NULL, label, 2, &len);

	(void)state;
	assert_non_null(text);
	assert_null(strstr(text, "fog_node"));
	free(text);
	for (size_t i = 0; i < sizeof(node_rows) / sizeof(node_rows[0]); i++) {
		text = metrics_text(&m, &node_rows[i].node, label, 2, &len);
		assert_non_null(text);
		for (size_t j = 0; j < 4 && node_rows[i].lines[j]; j++)
			if (!strstr(text, node_rows[i].lines[j]))
				fail_msg("row %zu lacks %s", i, node_rows[i].lines[j]);
		for (size_t j = 0; j < 2 && node_rows[i].absent[j]; j++)
			assert_null(strstr(text, node_rows[i].absent[j]));
		assert_names_have_text(text);
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_refusals_by_their_code),
		cmocka_unit_test(says_type_and_help_once_for_a_name),
		cmocka_unit_test(tells_of_the_node_what_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
