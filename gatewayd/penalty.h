/* SPDX-License-Identifier: MIT */
/*
 * Sources at whose bytes gatewayd has crashed are not served for a while (as sshd's
 * PerSourcePenalties): CRASH_PENALTY_SECONDS, twice that each time it happens again within an hour
 * after, up to an hour. On CLOCK_BOOTTIME.
 *
 * What is known lives in memory that fogd hands to each gatewayd in turn: the source each thread
 * works for just now, the thread that died, and the penalties. The gatewayd before this one may have been broken into,
 * so every value in it is checked; the worst that it can do is keep addresses out for an hour.
 * How it ended is fogd's word: a gatewayd that was only killed or told to stop punishes nobody.
 */
#ifndef GATEWAYD_PENALTY_H
#define GATEWAYD_PENALTY_H

#include <stddef.h>
#include <stdint.h>

#include "gatewayd/source.h"

#define PENALTY_MAX_SECONDS 3600
#define PENALTY_THREADS 65 /* the main one and GATEWAY_WORKERS */
#define PENALTY_SOURCES 512

struct penalties;

/*
 * fd: the gift (taken; -1: none). seconds: CRASH_PENALTY_SECONDS, 0: none are kept. Before the
 * filter. *out NULL: none are kept. 0, or -1 with errno.
 */
int penalties_open(int fd, uint32_t seconds, struct penalties **out);
/* The same over PENALTY_BYTES of memory, aligned for uint64_t, that outlives *out. NULL: memory. */
struct penalties *penalties_new(void *map, uint32_t seconds);
void penalties_free(struct penalties *p); /* NULL is fine */

/* A thread that dies by a fault or abort() says that it was the one. penalties_open() has done it. */
void penalties_watch(void);

/* Once, at start: punishes whom the last gatewayd died for, and says so in the log. How many. */
size_t penalties_judge(struct penalties *p, uint64_t now_boot_ms);

/* Seconds, rounded up, for which this source is not served; 0: it is. p NULL: 0. */
uint32_t penalties_left(const struct penalties *p, const struct source_key *from,
    uint64_t now_boot_ms);

/*
 * From here on this thread works on bytes of that source; NULL: of nobody. A thread that has never
 * called penalty_thread() is not noted. number: below PENALTY_THREADS, another for each thread.
 */
void penalty_thread(struct penalties *p, unsigned number);
void penalty_working(const struct source_key *from);

#endif
