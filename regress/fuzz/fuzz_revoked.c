/* SPDX-License-Identifier: MIT */
/*
 * placerd/revoked.c: whatever a journal holds, its longest valid prefix is read and the rest is left.
 * So that the fuzzer gets past the sums, the input is tried as it is and as the record of a journal.
 */
#include <stdint.h>
#include <stdlib.h>

#include "placerd/revoked.h"

#define NOW UINT64_C(1700000000)

static size_t
try_journal(const uint8_t *bytes, size_t len, size_t *rules)
{
	struct revoked *r = revoked_new(3600);
	const struct revoked_rule *rule = NULL;
	size_t used = 0, walked = 0;

	if (!r)
		abort();
	if (revoked_parse(r, bytes, len, NOW, &used) == REVOKED_OK && used > len)
		abort();
	while ((rule = revoked_next(r, rule))) {
		walked++;
		if (!revoked_refuses(r, rule->issuer, rule->subject, rule->sid, rule->at_s) ||
		    rule->issuer.len == 0 || rule->subject.len + rule->sid.len == 0)
			abort();
	}
	if (walked != revoked_rules(r))
		abort();
	*rules = walked;
	revoked_free(r);
	return used;
}

/* The prefix alone says the same as all of it. */
static void
try_prefix(const uint8_t *bytes, size_t len)
{
	size_t all, alone, used = try_journal(bytes, len, &all);

	if (used > 0 && (try_journal(bytes, used, &alone) != used || all != alone))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char framed[8192];
	struct writer w;
	size_t at;

	try_prefix(data, size);
	writer_init(&w, framed, sizeof(framed));
	put_u32(&w, REVOKED_MAGIC);
	put_u32(&w, REVOKED_VERSION);
	put_u64(&w, 1);
	put_u64(&w, fnv1a(FNV1A_SEED, framed, 16));
	at = w.len;
	put_u16(&w, (uint16_t)size);
	put_raw(&w, data, size);
	if (w.err)
		return 0;
	put_u64(&w, fnv1a(FNV1A_SEED ^ 1, framed + at, w.len - at));
	if (!w.err)
		try_prefix(framed, w.len);
	return 0;
}
