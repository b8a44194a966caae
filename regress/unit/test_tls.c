/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/tls.c: which pairs of files are taken, and the two steps of a reload. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "gatewayd/tls.h"
#include "regress/unit/tls_pair.h"

static struct pair one, two;

static int
setup(void **state)
{
	(void)state;
	log_init(-1, LOG_LEVEL_ERROR);
	make_pair(&one);
	make_pair(&two);
	return 0;
}

static void
takes_pairs_that_match(void **state)
{
	const struct {
		const char *cert, *key;
		bool taken;
	} cases[] = {
		{ one.cert, one.key, true },
		{ one.cert, two.key, false },
		{ one.key, one.cert, false },
		{ "", one.key, false },
		{ one.cert, "", false },
		{ "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", one.key,
		    false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct tls *t = tls_new(file_of(cases[i].cert), file_of(cases[i].key));

		assert_int_equal(t != NULL, cases[i].taken);
		tls_free(t);
	}
}

static void
a_directory_is_no_file(void **state)
{
	(void)state;
	assert_null(tls_new(open("/", O_RDONLY | O_CLOEXEC), file_of(one.key)));
	assert_null(tls_new(file_of(one.cert), open("/", O_RDONLY | O_CLOEXEC)));
}

static void
reloads_in_two_steps(void **state)
{
	struct tls *t = tls_new(file_of(one.cert), file_of(one.key));

	(void)state;
	assert_non_null(t);
	assert_int_equal(tls_prepare_cert(t, file_of(two.cert)), 0);
	assert_int_equal(tls_prepare_key(t, file_of(two.key)), 0);
	tls_commit(t, true);
	/* The order does not matter, and what was dropped is not remembered. */
	assert_int_equal(tls_prepare_key(t, file_of(one.key)), 0);
	tls_commit(t, false);
	assert_int_equal(tls_prepare_key(t, file_of(two.key)), 0);
	assert_int_equal(tls_prepare_cert(t, file_of(one.cert)), -1);
	tls_commit(t, false);
	assert_int_equal(tls_prepare_key(t, file_of(one.key)), 0);
	assert_int_equal(tls_prepare_cert(t, file_of(one.cert)), 0);
	tls_commit(t, true);
	tls_commit(t, true);
	tls_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_pairs_that_match),
		cmocka_unit_test(a_directory_is_no_file),
		cmocka_unit_test(reloads_in_two_steps),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
