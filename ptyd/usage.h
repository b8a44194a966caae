/* SPDX-License-Identifier: MIT */
/*
 * What a session has used, out of the files of its control group: pure, no allocation. The spawner
 * reads the files and passes them on as they are; this is what the broker makes of them. Formats are
 * those of the kernel's Documentation/admin-guide/cgroup-v2.rst and accounting/psi.rst.
 */
#ifndef FOG_USAGE_H
#define FOG_USAGE_H

#include "common/buf.h"
#include "common/msg.h"
#include "ptyd/cgroupfile.h"

/* memory.current, pids.current: one decimal number. */
int usage_number(const char *text, size_t len, uint64_t *value);

/*
 * cpu.stat, memory.events, cgroup.events: lines "key number", the whole file is checked.
 * -ENOENT: the key is not there; a key that is there twice is -EBADMSG.
 */
int usage_value(const char *text, size_t len, const char *key, uint64_t *value);

/* Share of the last 10 s in which some, or all, tasks waited: hundredths of a per cent. */
struct cgroup_pressure {
	uint16_t some_centi, full_centi;
};
#define CGROUP_PRESSURE_MAX 10000

/* cpu.pressure, memory.pressure, io.pressure: a line "some …" and a line "full …". */
int usage_pressure(const char *text, size_t len, struct cgroup_pressure *out);

/*
 * A record of CGROUP_STATS: sets what it tells of in *out, and adds to out->holds which limits it
 * shows. What a host does not say is not known. -EBADMSG: the kernel does not write such a thing; then
 * *out is as it was.
 */
int usage_parse(struct view files, struct pl_usage *out);

#endif
