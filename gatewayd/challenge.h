/* SPDX-License-Identifier: MIT */
/*
 * What a refused client is told about tokens: WWW-Authenticate, one line for each scheme (RFC 6750
 * 3, RFC 9449 7.1), and DPoP-Nonce (RFC 9449 9). Which of the checks failed is in authd's log, and
 * never here. Pure.
 */
#ifndef GATEWAYD_CHALLENGE_H
#define GATEWAYD_CHALLENGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define CHALLENGE_REALM "cloudshell-fog"
#define CHALLENGE_SIZE 512
#define CHALLENGE_ALGS_SIZE 129 /* config.def */

struct challenge {
	int error;             /* FOG_E_… of the answer: says the error code */
	bool token_given;      /* else no error code is told (RFC 6750 3.1) */
	uint8_t scheme;        /* that the token came with; SCHEME_NONE counts as Bearer */
	const char *dpop_algs; /* "ES256 EdDSA"; NULL or empty: DPoP is not spoken here */
	struct view nonce;     /* for the next proof; empty: none */
};

/* Header lines, CRLF after each. */
void challenge_write(const struct challenge *ch, char out[static CHALLENGE_SIZE]);

/* OIDC_ALGORITHMS, "ES256,EdDSA", as algs has them (RFC 9449 7.1). 0, or -1: not such a list. */
int challenge_algs_of(const char *list, char out[static CHALLENGE_ALGS_SIZE]);
/* RFC 9449 8.1: NQCHAR alone. */
bool challenge_nonce_is_clean(struct view nonce);

#endif
