/* SPDX-License-Identifier: MIT */
/* Tests of gatewayd/challenge.c: the examples of RFC 6750 3 and RFC 9449 7.1, 9, as we write them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/session.h"
#include "gatewayd/challenge.h"

#define ALGS "ES256 EdDSA"
#define BEARER "WWW-Authenticate: Bearer realm=\"cloudshell-fog\""
#define DPOP "WWW-Authenticate: DPoP realm=\"cloudshell-fog\", algs=\"ES256 EdDSA\""
#define END "\r\n"
#define TOKEN true
#define NO_TOKEN false

static const struct {
	struct challenge ch;
	const char *lines;
} cases[] = {
	/* Without a provider. */
	{ { FOG_E_NO_TOKEN, NO_TOKEN, SCHEME_NONE, NULL, { 0 } }, BEARER END },
	{ { FOG_E_NO_TOKEN, NO_TOKEN, SCHEME_NONE, "", { 0 } }, BEARER END },
	{ { FOG_E_BAD_TOKEN, TOKEN, SCHEME_BEARER, NULL, { 0 } },
	    BEARER ", error=\"invalid_token\"" END },
	{ { FOG_E_BAD_ATTACH_TOKEN, NO_TOKEN, SCHEME_NONE, NULL, { 0 } }, BEARER END },
	{ { FOG_E_USED_ATTACH_TOKEN, TOKEN, SCHEME_NONE, NULL, { 0 } },
	    BEARER ", error=\"invalid_token\"" END },
	{ { FOG_E_BAD_REQUEST, TOKEN, SCHEME_BEARER, NULL, { 0 } },
	    BEARER ", error=\"invalid_request\"" END },
	/* With one. */
	{ { FOG_E_NO_TOKEN, NO_TOKEN, SCHEME_NONE, ALGS, { 0 } }, BEARER END DPOP END },
	{ { FOG_E_BAD_TOKEN, TOKEN, SCHEME_BEARER, ALGS, { 0 } },
	    BEARER ", error=\"invalid_token\"" END DPOP END },
	{ { FOG_E_BAD_TOKEN, TOKEN, SCHEME_DPOP, ALGS, { 0 } },
	    BEARER END DPOP ", error=\"invalid_token\"" END },
	{ { FOG_E_REVOKED, TOKEN, SCHEME_DPOP, ALGS, { 0 } },
	    BEARER END DPOP ", error=\"invalid_token\"" END },
	{ { FOG_E_BAD_PROOF, TOKEN, SCHEME_DPOP, ALGS, { 0 } },
	    BEARER END DPOP ", error=\"invalid_dpop_proof\"" END },
	{ { FOG_E_BAD_PROOF, TOKEN, SCHEME_BEARER, ALGS, { 0 } },
	    BEARER END DPOP ", error=\"invalid_dpop_proof\"" END },
	{ { FOG_E_NEED_NONCE, TOKEN, SCHEME_DPOP, ALGS, { "n-0S6_WzA2Mj", 12 } },
	    BEARER END DPOP ", error=\"use_dpop_nonce\"" END "DPoP-Nonce: n-0S6_WzA2Mj" END },
	{ { FOG_E_NEED_NONCE, TOKEN, SCHEME_DPOP, ALGS, { "a\r\nX: b", 7 } },
	    BEARER END DPOP ", error=\"use_dpop_nonce\"" END },
	{ { FOG_E_BAD_REQUEST, TOKEN, SCHEME_DPOP, ALGS, { 0 } },
	    BEARER END DPOP ", error=\"invalid_request\"" END },
};

static void
writes_challenges(void **state)
{
	char out[CHALLENGE_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		challenge_write(&cases[i].ch, out);
		assert_string_equal(out, cases[i].lines);
	}
}

static void
the_longest_fits(void **state)
{
	char algs[CHALLENGE_ALGS_SIZE], nonce[64], out[CHALLENGE_SIZE];
	struct challenge ch = { FOG_E_BAD_PROOF, true, SCHEME_DPOP, algs,
		{ nonce, sizeof(nonce) } };

	(void)state;
	memset(algs, 'a', sizeof(algs));
	algs[sizeof(algs) - 1] = '\0';
	memset(nonce, 'n', sizeof(nonce));
	challenge_write(&ch, out);
	assert_string_equal(out + strlen(out) - 4, "nn\r\n");
}

static void
algorithms_become_a_list_with_spaces(void **state)
{
	char out[CHALLENGE_ALGS_SIZE], longest[CHALLENGE_ALGS_SIZE + 1] = { 0 };

	(void)state;
	assert_int_equal(challenge_algs_of("ES256,EdDSA", out), 0);
	assert_string_equal(out, ALGS);
	assert_int_equal(challenge_algs_of("ES256\"", out), -1);
	assert_int_equal(challenge_algs_of("ES256\\", out), -1);
	assert_int_equal(challenge_algs_of("ES256\r", out), -1);
	memset(longest, 'a', CHALLENGE_ALGS_SIZE);
	assert_int_equal(challenge_algs_of(longest, out), -1);
	longest[CHALLENGE_ALGS_SIZE - 1] = '\0';
	assert_int_equal(challenge_algs_of(longest, out), 0);
}

static void
nonces_are_of_rfc_9449(void **state)
{
	static const struct {
		const char *nonce;
		size_t len;
		bool is_clean;
	} nonces[] = {
		{ "", 0, true },
		{ "!#$[]~", 6, true },
		{ "a b", 3, false },
		{ "a\"", 2, false },
		{ "a\\", 2, false },
		{ "a\n", 2, false },
		{ "a\0", 2, false },
		{ "\x7f", 1, false },
		{ "\xc3\xa9", 2, false },
		{ "0123456789012345678901234567890123456789012345678901234567890123", 64, true },
		{ "01234567890123456789012345678901234567890123456789012345678901234", 65, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(nonces); i++) {
		struct view nonce = { nonces[i].nonce, nonces[i].len };

		assert_int_equal(challenge_nonce_is_clean(nonce), nonces[i].is_clean);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_challenges),
		cmocka_unit_test(the_longest_fits),
		cmocka_unit_test(algorithms_become_a_list_with_spaces),
		cmocka_unit_test(nonces_are_of_rfc_9449),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
