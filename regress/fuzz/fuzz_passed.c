/* SPDX-License-Identifier: MIT */
/*
 * placerd/passed.c: whatever its file holds, what is read of it is within its bounds. So that the fuzzer
 * gets past the sums, the input is tried as the file, and as records of it with sums of their own.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec.h"
#include "placerd/passed.h"

#define BODY_BYTES (PASSED_RECORD_BYTES - 8)
#define KEEP_MS 600000

static void
try_file(const uint8_t *bytes, size_t len)
{
	static const struct passed_now now = { 1000, 5 };
	struct passed *p = passed_new(KEEP_MS);
	struct passed_found found;

	if (!p)
		abort();
	if (passed_parse(p, bytes, len, now, &found) == PASSED_OK &&
	    (found.keys > PASSED_KEYS_MAX || found.damaged > PASSED_RECORDS + 1 ||
		passed_find(p, 0, now.mono_ms + KEEP_MS)))
		abort();
	passed_free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char file[PASSED_FILE_BYTES];
	struct writer w;

	try_file(data, size);
	writer_init(&w, file, sizeof(file));
	put_u32(&w, PASSED_MAGIC);
	put_u32(&w, PASSED_VERSION);
	for (; size >= BODY_BYTES; data += BODY_BYTES, size -= BODY_BYTES) {
		put_raw(&w, data, BODY_BYTES);
		put_u64(&w, fnv1a(FNV1A_SEED, data, BODY_BYTES));
	}
	try_file(file, w.len < sizeof(file) ? w.len : sizeof(file));
	return 0;
}
