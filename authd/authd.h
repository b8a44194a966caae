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

#include "authd/claims.h"
#include "authd/keys.h"
#include "common/buf.h"
#include "common/config.h"
#include "common/id.h"
#include "common/mono.h"
#include "common/msg.h"
#include "common/secret.h"
#include "common/session.h"

#define IDENTITY_NAME_BYTES 256 /* issuer or subject, with the NUL; the bound of messages.def */
#define IDENTITY_GROUPS_BYTES 4096
#define ATTACH_TOKEN_BYTES 4097 /* the longest attach token, with the NUL */

struct identity {
	char issuer[IDENTITY_NAME_BYTES];
	char subject[IDENTITY_NAME_BYTES];
	char sid[IDENTITY_NAME_BYTES]; /* of the sign-in, at the provider; empty: not known */
	uint64_t issued_s;             /* wall clock of the provider */
	uint64_t until_boot_ms;        /* attached at most so long; 0: no end */
	size_t groups_len;
	unsigned char groups[IDENTITY_GROUPS_BYTES]; /* packed, see list_next */
};

/* Keys of attach tokens, and the boot that they are good for. */
struct token_keys {
	struct secret signing_key; /* makes and checks */
	struct secret previous;    /* only checks; empty: there is none */
	char boot_id[BOOT_ID_SIZE];
	uint32_t ttl_seconds;
};

/* An attach token's meaning. */
struct grant {
	struct id128 token_id, session_id;
	enum attach_role role;
	char issuer[IDENTITY_NAME_BYTES];
	char subject[IDENTITY_NAME_BYTES];
	char sid[IDENTITY_NAME_BYTES]; /* these three: of the identity behind it */
	uint64_t issued_s;
	uint64_t until_boot_ms;
	uint64_t expires_boot_ms;
	uint64_t expires_s; /* wall clock */
};

struct asked;
struct confirm;
struct dpop;
struct event;
struct keyfetch;
struct known;
struct nodefetches;
struct requests;
struct waiting;

struct authd {
	struct token_keys keys;
	bool dev_shim; /* any well-formed bearer is taken (S24) */
	/* For the provider's tokens; without a provider all of it is empty. */
	struct claims_policy policy;
	struct keys_config key_rules;
	uint32_t grace_s; /* how much longer than its token an identity lasts */
	struct keyfetch *provider;
	struct dpop *dpop;
	struct known *known;             /* tokens found right before */
	struct waiting *waiting_for_key; /* requests */
	struct requests *requests;       /* data: struct asked, in PH_WAITS struct waiter */
	uint64_t deadline_mono_ms;   /* of a request that has waited, while it goes on; else 0 */
	TAILQ_HEAD(, asked) waiting; /* listings that are not passed on yet */
	unsigned listings;           /* passed on and not yet answered */
	struct event *place_free;    /* one of them has been answered */
	struct nodefetches *nodes;   /* what other nodes are asked */
	TAILQ_HEAD(, confirm) confirms;
	unsigned confirm_count;
};

/* verify.c. Tokens and proofs are borrowed and never quoted in what comes back. */

/* Why somebody is refused. */
struct refusal {
	const char *reason; /* code or text for the log; static */
	const char *detail; /* for the person; static, may be empty */
	uint32_t retry_after_s;
	char nonce[65]; /* for the next DPoP proof; empty: none */
};

/* The token names a key that is being fetched: to be asked again when keyfetch says that it ended. */
#define VERIFY_WAIT 1

/*
 * The dev shim or the rules for the provider's tokens, from the configuration, which lives as long
 * as a. After verify_init, before the filter. 0, or -1 with the reason in the log.
 */
int verify_configure(struct authd *a, const struct config *config);
/*
 * Who the bearer of m is, one of the messages that begin with a bearer (FIELDS_bearer). What a DPoP
 * proof has to be for follows from m's type and session. Returns 0; VERIFY_WAIT; or -FOG_E_BAD_TOKEN,
 * -FOG_E_NO_KEYS, -FOG_E_BAD_PROOF, -FOG_E_NEED_NONCE, another of dpop_error_answer, with *why set.
 */
int verify_bearer(const struct authd *a, const struct msg *m, struct identity *out,
    struct refusal *why);
/* A logout token: 0; VERIFY_WAIT; or -FOG_E_BAD_LOGOUT_TOKEN, -FOG_E_NO_KEYS, with *why set. */
int verify_logout(const struct authd *a, struct view token, struct claims *out,
    struct refusal *why);
/*
 * Makes the token of g's session, role and identity, and sets g's token id and expiry.
 * ATTACH_TOKEN_BYTES are room for any. 0, or -FOG_E_INTERNAL.
 */
int grant_mint(const struct token_keys *keys, struct grant *g, char *out, size_t out_size);
/* 0, or -FOG_E_BAD_ATTACH_TOKEN with the cause by name, for the log alone, in *why. */
int grant_verify(const struct token_keys *keys, struct view token, struct grant *out,
    const char **why);
/* Leaves every library that tokens need loaded; before the filter. 0 or -1. */
int verify_init(struct token_keys *keys);

#endif
