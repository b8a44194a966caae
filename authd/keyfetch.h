/* SPDX-License-Identifier: MIT */
/*
 * The provider's keys, kept fresh: keys.c decides, and this asks the fetcher for it (EDGE_AUTH_FETCH)
 * and puts its answers together. The fetcher is treated as broken into: it can bring no keys but
 * those that the named URL is said to have given, no more bytes than were asked for, and nothing
 * that was not asked for; and who is silent is replaced.
 */
#ifndef AUTHD_KEYFETCH_H
#define AUTHD_KEYFETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "authd/keys.h"
#include "common/peer.h"

/* What the fetcher has over its own deadline to say that it has passed. */
#define KEYFETCH_SILENCE_MS 2000

struct event_base;
struct keyfetch;

/* A round has ended, well or not: tokens that waited for it are looked at again. */
typedef void (*keyfetch_ended)(void *ctx);

/* timeout_ms: for one answer. NULL when out of memory. The config is copied, its issuer borrowed. */
struct keyfetch *keyfetch_new(struct event_base *base, const struct keys_config *config,
    uint32_t timeout_ms, keyfetch_ended ended, void *ctx);
void keyfetch_free(struct keyfetch *f); /* NULL is fine */

/* The set to verify with, or NULL, and what to do about a token whose key is not in it: keys.h. */
struct jwk_set *keyfetch_usable(const struct keyfetch *f);
bool keyfetch_want_unknown(struct keyfetch *f);
/* Without any keys: true while a round is under way that may bring some. */
bool keyfetch_is_under_way(const struct keyfetch *f);
enum sign_in keyfetch_sign_in(const struct keyfetch *f);
uint32_t keyfetch_retry_after_s(const struct keyfetch *f);

/* The fetcher's end of the edge has come, or gone. */
void keyfetch_edge_up(struct keyfetch *f);
void keyfetch_edge_down(struct keyfetch *f);
/* peer_ops.phase_of for its messages. */
unsigned keyfetch_phase(const struct keyfetch *f, uint64_t request_id);
/* 0 or -FOG_E_LIAR. */
int keyfetch_on_part(struct keyfetch *f, const struct pl_fetched_part *part);
int keyfetch_on_end(struct keyfetch *f, const struct pl_fetched *end);

#endif
