/* SPDX-License-Identifier: MIT */
/*
 * ptyd/record.c: whatever a record file holds, it is read or refused; what is read is written
 * again as the same bytes, but for the fields that a later build has appended. So that the fuzzer
 * gets past the checksum, the input is tried as it is and as the payload of a record.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ptyd/record.h"

static void
try_record(const uint8_t *bytes, size_t len)
{
	unsigned char again[RECORD_MAX_BYTES];
	struct record r;
	struct writer w;

	if (record_decode(bytes, len, &r) != RECORD_OK)
		return;
	writer_init(&w, again, sizeof(again));
	if (record_encode(&w, &r.pl) != 0)
		abort();
	/* One of version 1 is written as one of today. */
	if (bytes[7] == RECORD_VERSION &&
	    (w.len > len || memcmp(again + 12, bytes + 12, w.len - 20) != 0))
		abort();
	if (bytes[7] == RECORD_VERSION && w.len == len && memcmp(again, bytes, len) != 0)
		abort();
	record_fini(&r);
}

static void
try_payload(uint32_t version, const uint8_t *data, size_t size)
{
	unsigned char framed[RECORD_MAX_BYTES];
	struct writer w;

	writer_init(&w, framed, sizeof(framed));
	put_u32(&w, RECORD_MAGIC);
	put_u32(&w, version);
	put_u32(&w, (uint32_t)size);
	put_raw(&w, data, size);
	if (w.err)
		return;
	put_u64(&w, fnv1a(FNV1A_SEED, w.p, w.len));
	if (!w.err)
		try_record(framed, w.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_record(data, size);
	for (uint32_t version = 1; version <= RECORD_VERSION; version++)
		try_payload(version, data, size);
	return 0;
}
