/* SPDX-License-Identifier: MIT */
/*
 * Where the other nodes of the fleet ask from: a source whose ask was answered with a status, which
 * placerd signs for nodes alone. Strangers may forge asks as often as they like, and share a node's
 * address with it (a NAT, a shell on that node): neither may make this node look dead to the fleet, nor
 * keep out what it passes on. So a source that was answered within ASKERS_KEEP_MS has a rate of its own;
 * all others together have one that leaves placerd (PROBE_ANSWERS_PER_SECOND) room for those. Pure: the
 * clock is a parameter. Main thread alone.
 */
#ifndef GATEWAYD_ASKERS_H
#define GATEWAYD_ASKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "gatewayd/source.h"

#define ASKERS_MAX 4096           /* sources; who was answered longest ago is forgotten */
#define ASKERS_KEEP_MS 3600000    /* since the last answer */
#define ASKERS_EACH_PER_SECOND 16 /* a node asks eight times a second, all others together */
#define ASKERS_STRANGERS_PER_SECOND 50

struct askers;

struct askers *askers_new(void);    /* NULL: no memory or no randomness */
void askers_free(struct askers *a); /* NULL is fine */

/* Whether one more ask may be passed on, which it takes. */
bool askers_take(struct askers *a, const struct source_key *from, uint64_t now_ms);
/* An ask from there was answered. */
void askers_answered(struct askers *a, const struct source_key *from, uint64_t now_ms);
/* Some node asks from there. */
bool askers_know(const struct askers *a, const struct source_key *from, uint64_t now_ms);

#endif
