/* SPDX-License-Identifier: MIT */
/*
 * devtoken under libFuzzer: a token that is accepted is the names that came out of it, joined again,
 * byte by byte. links: authd/devtoken.c
 */
#include "authd/devtoken.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Checks that name lies at offset at of the token, and returns the offset behind it. */
static size_t
take(const uint8_t *data, size_t len, size_t at, const char *name)
{
	size_t name_len = strlen(name);

	INVARIANT(name_len >= 1 && name_len <= DEVTOKEN_PART_MAX_BYTES);
	INVARIANT(at <= len && name_len <= len - at);
	INVARIANT(memcmp(data + at, name, name_len) == 0);
	return at + name_len;
}

static void
check_names(const uint8_t *data, size_t len, const struct devtoken *token)
{
	size_t at = take(data, len, 0, token->subject);

	INVARIANT(len <= DEVTOKEN_MAX_BYTES && token->group_count <= DEVTOKEN_GROUPS_MAX);
	for (size_t i = 0; i < token->group_count; i++) {
		INVARIANT(at < len && data[at] == '+');
		at = take(data, len, at + 1, token->groups[i]);
		for (size_t j = 0; j < i; j++)
			INVARIANT(strcmp(token->groups[i], token->groups[j]) != 0);
	}
	INVARIANT(at == len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct devtoken token;
	int error = devtoken_parse((const char *)data, len, &token);

	if (error == 0)
		check_names(data, len, &token);
	else
		INVARIANT(strcmp(devtoken_strerror(error), "unknown error") != 0);
	return 0;
}
