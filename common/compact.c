/* SPDX-License-Identifier: MIT */
/* Three parts and two dots. */
#include "common/compact.h"

#include <string.h>

int
compact_split(struct view text, struct view parts[static COMPACT_PARTS])
{
	struct view found[COMPACT_PARTS];
	const char *at = text.p, *end, *dot;

	if (text.len == 0)
		return -1;
	end = text.p + text.len;
	for (size_t i = 0; i < COMPACT_PARTS; i++) {
		dot = memchr(at, '.', (size_t)(end - at));
		if ((dot == NULL) != (i == COMPACT_PARTS - 1))
			return -1;
		found[i] = view_bytes(at, (size_t)((dot != NULL ? dot : end) - at));
		if (found[i].len == 0)
			return -1;
		at = dot != NULL ? dot + 1 : end;
	}
	memcpy(parts, found, sizeof(found));
	return 0;
}

struct view
compact_input(const struct view parts[static COMPACT_PARTS])
{
	return view_bytes(parts[COMPACT_HEADER].p,
	    parts[COMPACT_HEADER].len + 1 + parts[COMPACT_PAYLOAD].len);
}
