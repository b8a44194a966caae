/* SPDX-License-Identifier: MIT */
/* A ring of items in the order of their age, and a table of chains through it. */
#include "authd/seen.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/secret.h"

#define KEY_BYTES 32
#define OWNERS 4096 /* counters; owners are spread over them by the hash */

struct item {
	uint64_t hash;
	uint64_t until_ms;
	uint32_t next; /* in its chain: index plus one; 0: the last */
	uint32_t owner;
};

struct seen {
	struct seen_config config;
	unsigned char key[KEY_BYTES];
	size_t oldest, count; /* in ring */
	size_t chain_mask;
	uint32_t of_owner[OWNERS];
	uint32_t *chains; /* index plus one of the newest; 0: none */
	struct item *ring;
};

static size_t
power_of_two_from(size_t n)
{
	size_t power = 1;

	while (power < n)
		power *= 2;
	return power;
}

static bool
config_is_sound(const struct seen_config *config)
{
	return config->capacity > 0 && config->capacity <= SEEN_CAPACITY_MAX &&
	    config->per_owner > 0 && config->per_owner <= config->capacity &&
	    config->remember_ms > 0;
}

int
seen_new(const struct seen_config *config, struct seen **out)
{
	struct seen *s;
	size_t chains;

	if (!config_is_sound(config)) {
		errno = EINVAL;
		return -1;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -1;
	chains = power_of_two_from(config->capacity);
	s->config = *config;
	s->chain_mask = chains - 1;
	s->chains = calloc(chains, sizeof(*s->chains));
	s->ring = calloc(config->capacity, sizeof(*s->ring));
	if (s->chains == NULL || s->ring == NULL || secret_random(s->key, sizeof(s->key)) != 0) {
		seen_free(s);
		return -1;
	}
	*out = s;
	return 0;
}

void
seen_free(struct seen *s)
{
	if (s == NULL)
		return;
	explicit_bzero(s->key, sizeof(s->key));
	free(s->chains);
	free(s->ring);
	free(s);
}

/* 0 or -SEEN_E_CRYPTO. */
static int
hash_of(const struct seen *s, const void *bytes, size_t len, uint64_t *out)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len;

	if (HMAC(EVP_sha256(), s->key, sizeof(s->key), bytes, len, mac, &mac_len) == NULL)
		return -SEEN_E_CRYPTO;
	memcpy(out, mac, sizeof(*out));
	return 0;
}

/* Of the owner's hash and the item: no two pairs are one text. */
static int
hash_pair(const struct seen *s, uint64_t owner, struct view item, uint64_t *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE], pair[sizeof(owner) + EVP_MAX_MD_SIZE];
	unsigned int digest_len;

	if (EVP_Digest(item.p, item.len, digest, &digest_len, EVP_sha256(), NULL) != 1)
		return -SEEN_E_CRYPTO;
	memcpy(pair, &owner, sizeof(owner));
	memcpy(pair + sizeof(owner), digest, digest_len);
	return hash_of(s, pair, sizeof(owner) + digest_len, out);
}

static uint32_t *
chain_of(struct seen *s, uint64_t hash)
{
	return &s->chains[hash & s->chain_mask];
}

/* The oldest is the last of its chain, since new ones go to the front. */
static void
forget_oldest(struct seen *s)
{
	struct item *item = &s->ring[s->oldest];
	uint32_t *link = chain_of(s, item->hash);

	while (*link != s->oldest + 1)
		link = &s->ring[*link - 1].next;
	*link = 0;
	s->of_owner[item->owner]--;
	s->oldest = (s->oldest + 1) % s->config.capacity;
	s->count--;
}

static void
forget_dead(struct seen *s, uint64_t now_ms)
{
	while (s->count > 0 && s->ring[s->oldest].until_ms <= now_ms)
		forget_oldest(s);
}

static bool
holds(struct seen *s, uint64_t hash)
{
	const struct item *item;

	for (uint32_t at = *chain_of(s, hash); at != 0; at = item->next) {
		item = &s->ring[at - 1];
		if (item->hash == hash)
			return true;
	}
	return false;
}

/* A clock that went back must not put an item before one that dies later. */
static uint64_t
until_of(const struct seen *s, uint64_t now_ms)
{
	uint64_t until_ms = now_ms + s->config.remember_ms, newest_ms;

	if (until_ms < now_ms)
		until_ms = UINT64_MAX;
	if (s->count == 0)
		return until_ms;
	newest_ms = s->ring[(s->oldest + s->count - 1) % s->config.capacity].until_ms;
	return until_ms > newest_ms ? until_ms : newest_ms;
}

static void
put(struct seen *s, uint64_t hash, uint32_t owner, uint64_t now_ms)
{
	size_t at = (s->oldest + s->count) % s->config.capacity;
	uint32_t *chain = chain_of(s, hash);

	s->ring[at] = (struct item){ hash, until_of(s, now_ms), *chain, owner };
	*chain = (uint32_t)at + 1;
	s->of_owner[owner]++;
	s->count++;
}

int
seen_add(struct seen *s, struct view owner, struct view item, uint64_t now_ms)
{
	uint64_t owner_hash, hash;
	uint32_t counter;
	int error = hash_of(s, owner.p, owner.len, &owner_hash);

	if (error == 0)
		error = hash_pair(s, owner_hash, item, &hash);
	if (error != 0)
		return error;
	counter = (uint32_t)(owner_hash % OWNERS);
	forget_dead(s, now_ms);
	if (holds(s, hash))
		return -SEEN_E_REPLAY;
	if (s->count == s->config.capacity)
		return -SEEN_E_FULL;
	if (s->of_owner[counter] >= s->config.per_owner)
		return -SEEN_E_TOO_MANY;
	put(s, hash, counter, now_ms);
	return 0;
}
