/* SPDX-License-Identifier: MIT */
/*
 * One member of an application/x-www-form-urlencoded body (WHATWG URL 5.1), read strictly: pairs
 * "name=value" with "&" between them and nothing empty, printable ASCII, "%" only before two hex
 * digits, "+" for a space. What could be read in two ways is refused. Pure.
 */
#ifndef GATEWAYD_FORM_H
#define GATEWAYD_FORM_H

#include <stddef.h>

#include "common/buf.h"

#define FORM_PAIRS_MAX 32

enum form_verdict {
	FORM_FOUND,
	FORM_MALFORMED, /* also: more than FORM_PAIRS_MAX pairs */
	FORM_MISSING,   /* no pair has the name */
	FORM_REPEATED   /* more than one has it (OIDC Back-Channel Logout 1.0 2.5 sends one) */
};

/*
 * Decodes the body where it is and looks at all of it; names are compared decoded. FORM_FOUND:
 * *out lies in the body, and may hold any byte.
 */
enum form_verdict form_find(char *body, size_t len, const char *name, struct view *out);

#endif
