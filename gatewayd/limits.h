/* SPDX-License-Identifier: MIT */
/*
 * How often a source may do what costs us, or what a guesser does: token buckets (GCRA), one for
 * each kind and source, that hold as many as the limit says for a minute and fill evenly. Pure: the
 * clock is a parameter. Main thread alone.
 *
 * Who asks, and what:
 *   before a bearer, logout or attach token is passed to authd
 *	limits_wait(LIMIT_FAILED_TOKENS)	not 0: 429, and authd never sees the token
 *   when authd, or our own look at its form, has refused it (401, or 400 of a logout token), but
 *   not for a lacking one, a wanted nonce or a sign-out
 *	limits_charge(LIMIT_FAILED_TOKENS)
 *   POST /v1/sessions, before authd is asked
 *	limits_take(LIMIT_CREATES)
 *   GET /v1/sessions/{id}/pty, after the checks of the upgrade and before authd is asked, minting
 *   an attach token, and a renewal in band
 *	limits_take(LIMIT_ATTACHES)
 * all with c->g->rates, &c->x.source and mono_ms(). What is not 0 is the Retry-After of the 429.
 *
 * The table holds LIMITS_SOURCES sources; a bucket that is full again needs no place in it. Where
 * there is no place left, a new source is counted together with its wide prefix (/16 of IPv4, /32
 * of IPv6), which may do LIMITS_WIDE_FACTOR times as much, in a table of its own. So somebody with
 * very many addresses who fills the table gains nothing by taking the next one, and is in the way
 * of newcomers of his own wide prefixes alone. When that table too has no place, the wide prefix
 * that has used least is forgotten: nobody is ever refused for want of a place.
 */
#ifndef GATEWAYD_LIMITS_H
#define GATEWAYD_LIMITS_H

#include <stdint.h>

#include "gatewayd/source.h"

#define LIMITS_SOURCES 65536
#define LIMITS_WIDE_SOURCES 4096
#define LIMITS_WIDE_FACTOR 16

enum limit_kind { LIMIT_FAILED_TOKENS, LIMIT_ATTACHES, LIMIT_CREATES, LIMIT_KINDS };

struct limits;

/* per_minute: 0 to 1000000 for each kind, 0: no limit. NULL: no memory or no randomness. */
struct limits *limits_new(const uint32_t per_minute[static LIMIT_KINDS]);
void limits_free(struct limits *l); /* NULL is fine */

/* Seconds until one more is allowed, 1 to 120; 0: now. Takes nothing. l NULL: 0. */
uint32_t limits_wait(const struct limits *l, enum limit_kind kind, const struct source_key *from,
    uint64_t now_ms);

/* The same, and takes it when the answer is 0. */
uint32_t limits_take(struct limits *l, enum limit_kind kind, const struct source_key *from,
    uint64_t now_ms);

/*
 * Takes one that has happened already, whether there is one or not: several may be under way while
 * the first fails. The debt ends at the size of the bucket.
 */
void limits_charge(struct limits *l, enum limit_kind kind, const struct source_key *from,
    uint64_t now_ms);

#endif
