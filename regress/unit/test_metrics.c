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
	text = metrics_text(&m, label, 2, &len);
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
	char *text = metrics_text(&m, label, 2, &len);

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_refusals_by_their_code),
		cmocka_unit_test(says_type_and_help_once_for_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
