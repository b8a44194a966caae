/* SPDX-License-Identifier: MIT */
/*
 * placerd/drained.c: whatever its file holds, what is read of it is within its bounds. So that the
 * fuzzer gets past the sum, the input is tried as the file, as its second slot, and with a sum of
 * its own.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec.h"
#include "placerd/drained.h"

static void
try_file(const uint8_t *bytes, size_t len)
{
	struct drained *d = drained_new();
	struct drained_found found;
	size_t walked = 0;
	const char *name;

	if (!d)
		abort();
	if (drained_parse(d, bytes, len, &found) == DRAINED_OK) {
		for (; (name = drained_at(d, walked)); walked++) {
			if (!drained_has(d, view_of(name)) || !text_is_clean(view_of(name)) ||
			    !name[0] || strlen(name) > DRAINED_NAME_MAX_BYTES)
				abort();
		}
		if (walked != found.nodes || walked > DRAINED_NODES_MAX ||
		    found.self != drained_self(d))
			abort();
	}
	drained_free(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char file[DRAINED_FILE_MAX_BYTES];
	struct writer w;

	try_file(data, size);
	if (size > DRAINED_SLOT_BYTES - 64)
		return 0;
	writer_init(&w, file, DRAINED_SLOT_BYTES);
	put_u32(&w, DRAINED_MAGIC);
	put_u32(&w, DRAINED_VERSION);
	put_u64(&w, 7);
	put_raw(&w, data, size);
	put_u64(&w, fnv1a(FNV1A_SEED, file, w.len));
	memset(file + w.len, 0, sizeof(file) - w.len);
	try_file(file, w.len);
	memcpy(file + DRAINED_SLOT_BYTES, data, size);
	try_file(file, DRAINED_SLOT_BYTES + size);
	return 0;
}
