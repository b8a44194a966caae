/* SPDX-License-Identifier: MIT */
/* Consumed attach tokens: see holder_tokens.h. */
#include "ptyd/holder_tokens.h"

#include "common/err.h"

void
tokens_init(struct tokens *t)
{
	t->count = 0;
}

static void
forget_expired(struct tokens *t, uint64_t now_boot_ms)
{
	for (size_t i = 0; i < t->count;) {
		if (t->used[i].expires_boot_ms > now_boot_ms)
			i++;
		else
			t->used[i] = t->used[--t->count];
	}
}

int
tokens_consume(struct tokens *t, const struct id128 *id, uint64_t expires_boot_ms,
    uint64_t now_boot_ms)
{
	if (expires_boot_ms <= now_boot_ms || expires_boot_ms - now_boot_ms > TOKEN_LIFE_MAX_MS)
		return -FOG_E_BAD_ATTACH_TOKEN;
	for (size_t i = 0; i < t->count; i++) {
		if (id_equal(&t->used[i].id, id))
			return -FOG_E_USED_ATTACH_TOKEN;
	}
	forget_expired(t, now_boot_ms);
	if (t->count == TOKENS_MAX)
		return -FOG_E_RATE;
	t->used[t->count].id = *id;
	t->used[t->count++].expires_boot_ms = expires_boot_ms;
	return 0;
}
