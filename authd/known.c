/* SPDX-License-Identifier: MIT */
/* A table with one place for each token, by the beginning of its digest. See known.h. */
#include "authd/known.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_BYTES 32

struct entry {
	unsigned char digest[DIGEST_BYTES];
	uint64_t set_serial;
	size_t claims_bytes;
	unsigned char claims[]; /* struct claims as far as its groups go */
};

struct known {
	EVP_MD *sha256;
	EVP_MD_CTX *ctx;
	struct entry *slots[KNOWN_TOKENS];
};

struct known *
known_new(void)
{
	struct known *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	k->ctx = EVP_MD_CTX_new();
	if (k->sha256 && k->ctx)
		return k;
	known_free(k);
	return NULL;
}

void
known_free(struct known *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < KNOWN_TOKENS; i++)
		free(k->slots[i]);
	EVP_MD_CTX_free(k->ctx);
	EVP_MD_free(k->sha256);
	free(k);
}

/* The token's place; NULL when OpenSSL fails. */
static struct entry **
find_slot(struct known *k, struct view token, unsigned char digest[static DIGEST_BYTES])
{
	if (EVP_DigestInit_ex2(k->ctx, k->sha256, NULL) != 1 ||
	    EVP_DigestUpdate(k->ctx, token.p, token.len) != 1 ||
	    EVP_DigestFinal_ex(k->ctx, digest, NULL) != 1)
		return NULL;
	return &k->slots[(digest[0] | (size_t)digest[1] << 8) % KNOWN_TOKENS];
}

static size_t
bytes_of(const struct claims *c)
{
	return offsetof(struct claims, groups) + c->groups_len;
}

bool
known_get(struct known *k, struct view token, const struct jwk_set *set,
    const struct claims_policy *policy, time_t now_s, struct claims *out)
{
	unsigned char digest[DIGEST_BYTES];
	struct entry **slot = find_slot(k, token, digest);
	const struct entry *e = slot ? *slot : NULL;

	if (!e || e->set_serial != jwk_set_serial(set) ||
	    CRYPTO_memcmp(e->digest, digest, DIGEST_BYTES) != 0)
		return false;
	memcpy(out, e->claims, e->claims_bytes);
	return !claims_are_past(policy, now_s, out->expires_s);
}

void
known_put(struct known *k, struct view token, const struct jwk_set *set,
    const struct claims *claims)
{
	unsigned char digest[DIGEST_BYTES];
	struct entry **slot = find_slot(k, token, digest);
	struct entry *e = slot ? malloc(sizeof(*e) + bytes_of(claims)) : NULL;

	if (!e)
		return;
	memcpy(e->digest, digest, DIGEST_BYTES);
	e->set_serial = jwk_set_serial(set);
	e->claims_bytes = bytes_of(claims);
	memcpy(e->claims, claims, e->claims_bytes);
	free(*slot);
	*slot = e;
}
