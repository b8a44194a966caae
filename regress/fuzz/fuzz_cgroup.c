/* SPDX-License-Identifier: MIT */
/*
 * The small files of cgroup v2 under libFuzzer: every reader gets every input. Each either refuses
 * it and leaves its result alone, or gives what keeps the promises of cgroupfile.h.
 * links: ptyd/cgroupfile.c ptyd/usage.c ptyd/span.c
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ptyd/cgroupfile.h"
#include "ptyd/usage.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

#define SMALL_BYTES 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool
has_component(const char *path, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = path;; p++) {
		const char *slash = strchrnul(p, '/');

		if ((size_t)(slash - p) == len && memcmp(p, name, len) == 0)
			return true;
		if (*slash == '\0')
			return false;
		p = slash;
	}
}

static void
try_own_path(const char *text, size_t len)
{
	char path[CGROUPFILE_MAX_BYTES], small[SMALL_BYTES] = "";
	int rc = cgroupfile_own_path(text, len, path, sizeof(path));
	int again = cgroupfile_own_path(text, len, small, sizeof(small));

	if (rc != 0) {
		INVARIANT(rc == -EBADMSG || rc == -ENOENT);
		INVARIANT(again == rc && small[0] == '\0');
		return;
	}
	INVARIANT(strlen(path) < len && !strchr(path, '\n'));
	INVARIANT(path[0] == '\0' || !has_component(path, ""));
	INVARIANT(!has_component(path, ".") && !has_component(path, ".."));
	INVARIANT(again == (strlen(path) < sizeof(small) ? 0 : -ENAMETOOLONG));
	INVARIANT(again != 0 || strcmp(small, path) == 0);
}

static void
try_controllers(const char *text, size_t len)
{
	unsigned set = UINT32_MAX;
	int rc = cgroupfile_controllers(text, len, &set);

	INVARIANT(rc == 0 ? set < 1U << CGROUP_CONTROLLERS : rc == -EBADMSG && set == UINT32_MAX);
	for (unsigned i = 0; rc == 0 && i < CGROUP_CONTROLLERS; i++)
		INVARIANT(!(set >> i & 1) ||
		    memmem(text, len, cgroupfile_controller_name(i),
			strlen(cgroupfile_controller_name(i))));
}

/* What is read is written in one way only. */
static void
try_number(const char *text, size_t len)
{
	char again[32];
	uint64_t v = 7;

	if (usage_number(text, len, &v) != 0) {
		INVARIANT(v == 7);
		return;
	}
	snprintf(again, sizeof(again), "%" PRIu64 "\n", v);
	INVARIANT(strlen(again) == len && memcmp(again, text, len) == 0);
}

static void
try_values(const char *text, size_t len)
{
	static const char *const keys[] = { "usage_usec", "populated", "oom_kill", "" };
	uint64_t v;

	try_number(text, len);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		int rc;

		v = 7;
		rc = usage_value(text, len, keys[i], &v);
		INVARIANT(rc == 0 || rc == -EBADMSG || rc == -ENOENT);
		INVARIANT(rc == 0 || v == 7);
		INVARIANT(rc != 0 || memmem(text, len, keys[i], strlen(keys[i])));
	}
	/* No key is empty: the last one was looked for in vain. */
	INVARIANT(v == 7);
}

static void
try_pressure(const char *text, size_t len)
{
	struct cgroup_pressure p = { UINT16_MAX, UINT16_MAX };

	if (usage_pressure(text, len, &p) == 0)
		INVARIANT(p.some_centi <= CGROUP_PRESSURE_MAX &&
		    p.full_centi <= CGROUP_PRESSURE_MAX);
	else
		INVARIANT(p.some_centi == UINT16_MAX && p.full_centi == UINT16_MAX);
}

/* The record of all files that the broker gets. */
static void
try_record(const uint8_t *data, size_t len)
{
	struct pl_usage u = { .holds = 1U << LIMIT_STORAGE };
	int rc = usage_parse(view_bytes(data, len), &u);

	INVARIANT(rc == 0 || rc == -EBADMSG);
	INVARIANT(rc == 0 || (u.known == 0 && u.holds == 1U << LIMIT_STORAGE));
	INVARIANT(u.known < 1U << USAGE_COUNT && u.holds < 1U << LIMIT_COUNT);
	INVARIANT(u.cpu_pressure <= CGROUP_PRESSURE_MAX && u.io_pressure <= CGROUP_PRESSURE_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;

	try_own_path(text, len);
	try_controllers(text, len);
	try_values(text, len);
	try_pressure(text, len);
	try_record(data, len);
	return 0;
}
