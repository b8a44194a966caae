/* SPDX-License-Identifier: MIT */
/*
 * Session counts in libc's balanced tree (tsearch): subjects are chosen outside, and a tree, unlike
 * a hash table, has no bad keys.
 */

#include "placerd/quota.h"

#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

struct tally {
	struct quota_key key; /* first: the tree compares keys; its views point into names */
	uint32_t sessions;
	char names[];
};

struct quota {
	void *root;
	size_t n_entries;
};

static int
compare_keys(const void *left, const void *right)
{
	const struct quota_key *a = left, *b = right;
	int order = view_compare(a->subject, b->subject);

	if (order == 0)
		order = view_compare(a->issuer, b->issuer);
	return order ? order : view_compare(a->profile, b->profile);
}

static struct tally *
find_tally(const struct quota *quota, const struct quota_key *key)
{
	struct tally *const *node = tfind(key, &quota->root, compare_keys);

	return node ? *node : NULL;
}

static bool
is_name(struct view name)
{
	return name.len > 0 && name.len <= QUOTA_NAME_MAX_BYTES;
}

static struct view
copy_name(char **to, struct view name)
{
	struct view copy = view_bytes(*to, name.len);

	memcpy(*to, name.p, name.len);
	*to += name.len;
	return copy;
}

static struct tally *
tally_new(const struct quota_key *key)
{
	struct tally *tally;
	char *to;

	tally = malloc(sizeof(*tally) + key->issuer.len + key->subject.len + key->profile.len);
	if (!tally)
		return NULL;
	to = tally->names;
	tally->key.issuer = copy_name(&to, key->issuer);
	tally->key.subject = copy_name(&to, key->subject);
	tally->key.profile = copy_name(&to, key->profile);
	tally->sessions = 1;
	return tally;
}

static int
add_tally(struct quota *quota, const struct quota_key *key)
{
	struct tally *tally;

	if (!is_name(key->issuer) || !is_name(key->subject) || !is_name(key->profile))
		return -FOG_E_BOUNDS;
	if (quota->n_entries >= QUOTA_ENTRIES_MAX)
		return -FOG_E_FULL;
	tally = tally_new(key);
	if (!tally)
		return -FOG_E_NOMEM;
	if (!tsearch(tally, &quota->root, compare_keys)) {
		free(tally);
		return -FOG_E_NOMEM;
	}
	quota->n_entries++;
	return 0;
}

struct quota *
quota_new(void)
{
	return calloc(1, sizeof(struct quota));
}

void
quota_free(struct quota *quota)
{
	if (!quota)
		return;
	tdestroy(quota->root, free);
	free(quota);
}

int
quota_reserve(struct quota *quota, const struct quota_key *key, uint32_t max_sessions)
{
	struct tally *tally = find_tally(quota, key);

	if (max_sessions == 0 || (tally && tally->sessions >= max_sessions))
		return -FOG_E_QUOTA;
	if (!tally)
		return add_tally(quota, key);
	tally->sessions++;
	return 0;
}

int
quota_release(struct quota *quota, const struct quota_key *key)
{
	struct tally *tally = find_tally(quota, key);

	if (!tally)
		return -FOG_E_INTERNAL;
	if (--tally->sessions > 0)
		return 0;
	tdelete(tally, &quota->root, compare_keys);
	quota->n_entries--;
	free(tally);
	return 0;
}

uint32_t
quota_count(const struct quota *quota, const struct quota_key *key)
{
	const struct tally *tally = find_tally(quota, key);

	return tally ? tally->sessions : 0;
}

size_t
quota_entries(const struct quota *quota)
{
	return quota->n_entries;
}
