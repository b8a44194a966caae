/* SPDX-License-Identifier: MIT */
/*
 * A provider's key set under libFuzzer, and tokens that claim each algorithm against what it gave.
 * links: authd/jwk.c authd/jwkread.c authd/jwa.c authd/jws.c authd/tokenerr.c
 */
#include "authd/jwk.h"

#include <stdlib.h>
#include <string.h>

#include "authd/tokenerr.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Nobody has signed: whatever the keys are, no answer is yes. */
static void
verify_all(struct jwk_set *set)
{
	static const char input[] = "e30.e30";
	static struct jws jws;

	jws.input = input;
	jws.input_len = strlen(input);
	memset(jws.signature, 0x5a, sizeof(jws.signature));
	for (unsigned int i = 0; i < JWA_COUNT; i++) {
		jws.alg = (enum jwa_alg)i;
		for (int kid = 0; kid < 2; kid++) {
			jws.has_kid = kid == 1;
			memcpy(jws.kid, "a", 2);
			jws.signature_len = i < JWA_ES256 ? 256 : i == JWA_ES384 ? 96 : 64;
			INVARIANT(jwk_set_verify(set, &jws) < 0);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct jwk_report report;
	struct jwk_set *set = NULL;
	int error;

	INVARIANT(jwa_init() == 0);
	error = jwk_set_parse((const char *)data, len, JWA_ALL, &set, &report);
	INVARIANT(error <= 0 && strcmp(jwk_error_code(error), "unknown") != 0);
	INVARIANT((error == 0) == (set != NULL));
	INVARIANT(report.used + report.skipped <= JWK_SET_MAX_KEYS);
	INVARIANT((report.skipped == 0) == (report.first_skipped == 0));
	if (error == 0) {
		INVARIANT(report.used > 0);
		verify_all(set);
	}
	jwk_set_free(set);
	return 0;
}
