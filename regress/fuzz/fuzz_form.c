/* SPDX-License-Identifier: MIT */
/*
 * A form body under libFuzzer: what is found lies in the body and is no longer than what was sent,
 * and a body with that value encoded byte by byte, and nothing else, has the same value.
 */
#include "gatewayd/form.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INVARIANT(condition) ((condition) ? (void)0 : abort())
#define NAME "logout_token"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
check_again(struct view value)
{
	size_t at = strlen(NAME) + 1;
	char *body = malloc(at + 3 * value.len + 1);
	struct view again;

	memcpy(body, NAME "=", at);
	for (size_t i = 0; i < value.len; i++, at += 3)
		snprintf(body + at, 4, "%%%02X", (unsigned char)value.p[i]);
	INVARIANT(form_find(body, at, NAME, &again) == FORM_FOUND);
	INVARIANT(view_equal(value, again));
	free(body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *body = malloc(len ? len : 1);
	struct view out;

	memcpy(body, data, len);
	if (form_find(body, len, NAME, &out) == FORM_FOUND) {
		INVARIANT(out.p >= body && out.p + out.len <= body + len);
		check_again(out);
	}
	free(body);
	return 0;
}
