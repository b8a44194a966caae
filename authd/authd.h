/* SPDX-License-Identifier: MIT */
/*
 * What the files of authd share. authd is the only reader of tokens: from a bearer it says who
 * somebody is, and it makes and checks attach tokens. It decides nothing else.
 */
#ifndef AUTHD_AUTHD_H
#define AUTHD_AUTHD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/buf.h"
#include "common/id.h"
#include "common/mono.h"
#include "common/secret.h"
#include "common/session.h"

#define IDENTITY_NAME_BYTES 256 /* issuer or subject, with the NUL; the bound of messages.def */
#define IDENTITY_GROUPS_BYTES 4096
#define ATTACH_TOKEN_BYTES 4097 /* the longest attach token, with the NUL */

struct identity {
	char issuer[IDENTITY_NAME_BYTES];
	char subject[IDENTITY_NAME_BYTES];
	size_t groups_len;
	unsigned char groups[IDENTITY_GROUPS_BYTES]; /* packed, see list_next */
};

/* Keys of attach tokens, and the boot that they are good for. */
struct token_keys {
	struct secret signing_key;
	char boot_id[BOOT_ID_SIZE];
	uint32_t ttl_seconds;
};

/* An attach token's meaning. */
struct grant {
	struct id128 token_id, session_id;
	enum attach_role role;
	char issuer[IDENTITY_NAME_BYTES];
	char subject[IDENTITY_NAME_BYTES];
	uint64_t expires_boot_ms;
	uint64_t expires_s; /* wall clock */
};

struct asked;
struct event;
struct requests;

struct authd {
	struct token_keys keys;
	bool dev_shim;               /* any well-formed bearer is taken (S24) */
	struct requests *requests;   /* data: struct asked */
	TAILQ_HEAD(, asked) waiting; /* listings that are not passed on yet */
	unsigned listings;           /* passed on and not yet answered */
	struct event *place_free;    /* one of them has been answered */
};

/* verify.c. bearer and token are borrowed and never quoted in what comes back. */

/* 0, or -FOG_E_BAD_TOKEN with the reason, a static text for the person, in *why. */
int verify_bearer(const struct authd *a, struct view bearer, struct identity *out,
    const char **why);
/*
 * Makes the token of g's session, role, issuer and subject, and sets g's token id and expiry.
 * ATTACH_TOKEN_BYTES are room for any. 0, or -FOG_E_INTERNAL.
 */
int grant_mint(const struct token_keys *keys, struct grant *g, char *out, size_t out_size);
/* 0, or -FOG_E_BAD_ATTACH_TOKEN with the cause by name, for the log alone, in *why. */
int grant_verify(const struct token_keys *keys, struct view token, struct grant *out,
    const char **why);
/* Leaves every library that tokens need loaded; before the filter. 0 or -1. */
int verify_init(struct token_keys *keys);

#endif
