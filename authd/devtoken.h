/* SPDX-License-Identifier: MIT */
/*
 * The development shim's bearer tokens: `alice` is subject alice, `alice+admins+power-users` is
 * alice in the groups admins and power-users. Proves nothing about anybody: authd takes these only
 * with the stub connector on a loopback listener (S24).
 */
#ifndef AUTHD_DEVTOKEN_H
#define AUTHD_DEVTOKEN_H

#include <stddef.h>

/* The issuer of every subject made here. */
#define DEVTOKEN_ISSUER "dev"

#define DEVTOKEN_MAX_BYTES 512
#define DEVTOKEN_PART_MAX_BYTES 64
#define DEVTOKEN_GROUPS_MAX 32

struct devtoken {
	char subject[DEVTOKEN_PART_MAX_BYTES + 1];
	size_t group_count;
	char groups[DEVTOKEN_GROUPS_MAX][DEVTOKEN_PART_MAX_BYTES + 1];
};

/* What was wrong: E(name, text for the person). Functions return them negated. */
#define DEVTOKEN_ERRORS(E) \
	E(EMPTY, "the token is empty") \
	E(LENGTH, "the token is longer than 512 bytes") \
	E(EMPTY_PART, "a name in the token is empty") \
	E(PART_LENGTH, "a name in the token is longer than 64 bytes") \
	E(CHARACTER, "a name in the token has a character outside A-Z a-z 0-9 . _ @ -") \
	E(GROUP_COUNT, "the token names more than 32 groups") \
	E(DUPLICATE, "the token names a group twice")

enum devtoken_error {
	DEVTOKEN_OK,
#define DEVTOKEN_ENUM(name, text) DEVTOKEN_E_##name,
	DEVTOKEN_ERRORS(DEVTOKEN_ENUM)
#undef DEVTOKEN_ENUM
};

/* The text of what devtoken_parse returned. Holds nothing of the token. */
const char *devtoken_strerror(int error);

/*
 * Reads len bytes; token needs no NUL. Returns 0 or a negative error; *out is set only on success.
 */
int devtoken_parse(const char *token, size_t len, struct devtoken *out);

#endif
