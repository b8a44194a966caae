/* SPDX-License-Identifier: MIT */
/*
 * Live sessions per issuer, subject and profile. The check against the limit and the count are one
 * call, made before the session is ordered, so that creates which are under way count as well and
 * no number of them at once passes the limit (S23). placerd runs one thread: a call is atomic.
 */
#ifndef PLACERD_QUOTA_H
#define PLACERD_QUOTA_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define QUOTA_ENTRIES_MAX 65536 /* triples that have at least one session */
#define QUOTA_NAME_MAX_BYTES 255

struct quota;

/* Whose sessions; borrowed. Compared byte by byte: "a" of one issuer is not "a" of another. */
struct quota_key {
	struct view issuer;
	struct view subject;
	struct view profile;
};

/* NULL: out of memory. */
struct quota *quota_new(void);
void quota_free(struct quota *quota);

/*
 * Counts one session more. Returns 0, or: -FOG_E_QUOTA when max_sessions are counted already,
 * -FOG_E_FULL when there are QUOTA_ENTRIES_MAX triples, -FOG_E_BOUNDS when a name is empty or too
 * long, -FOG_E_NOMEM. Sessions that a start finds alive are counted with UINT32_MAX: they exist.
 */
int quota_reserve(struct quota *quota, const struct quota_key *key, uint32_t max_sessions);

/*
 * Counts one less: the session has ended, or was never made. Exactly one release for each
 * successful reserve; -FOG_E_INTERNAL when nothing is counted there, and nothing changes.
 */
int quota_release(struct quota *quota, const struct quota_key *key);

uint32_t quota_count(const struct quota *quota, const struct quota_key *key);

/* Triples with at least one session. */
size_t quota_entries(const struct quota *quota);

#endif
