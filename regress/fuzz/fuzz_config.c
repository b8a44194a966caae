/* SPDX-License-Identifier: MIT */
/* links: common/config.c common/buf.c */
/* The record that a role reads at its birth; the first byte chooses the role. What is taken is
 * within bounds and is written as the same bytes again. */
#include <stdlib.h>
#include <string.h>

#include "common/config.h"

#define RECORD_MAX 32768

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char again[RECORD_MAX];
	struct config c;
	struct reader r;
	struct writer w;
	enum proc_id role;

	if (size < 1 || size > RECORD_MAX)
		return 0;
	role = (enum proc_id)(data[0] % PROC_COUNT);
	reader_init(&r, data + 1, size - 1);
	if (config_get(&r, &c, role) != 0)
		return 0;
	writer_init(&w, again, sizeof(again));
	if (config_put(&w, &c, role) != 0 || w.len != size - 1 ||
	    memcmp(again, data + 1, w.len) != 0)
		abort();
	config_fini(&c);
	return 0;
}
