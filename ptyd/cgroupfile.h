/* SPDX-License-Identifier: MIT */
/*
 * The small files of cgroup v2, read strictly: pure, no allocation. Formats are those of the
 * kernel's Documentation/admin-guide/cgroup-v2.rst and accounting/psi.rst. Every function takes a
 * whole file of at most CGROUPFILE_MAX_BYTES (no NUL needed) whose last line ends in a newline,
 * and returns 0, or -EBADMSG for what the kernel does not write; results are set only on success.
 */
#ifndef FOG_CGROUPFILE_H
#define FOG_CGROUPFILE_H

#include <stddef.h>
#include <stdint.h>

#include "ptyd/span.h"

#define CGROUPFILE_MAX_BYTES SPAN_MAX_BYTES

/* Controllers, a set of bits. */
enum cgroup_controller {
	CGROUP_CPU = 1 << 0,
	CGROUP_MEMORY = 1 << 1,
	CGROUP_PIDS = 1 << 2,
	CGROUP_IO = 1 << 3,
};
#define CGROUP_CONTROLLERS 4

/* Name of the controller with bit 1 << index, index < CGROUP_CONTROLLERS. Static. */
const char *cgroupfile_controller_name(unsigned index);

/*
 * /proc/<pid>/cgroup: the path of the one line "0::/…" without its first slash ("" is the root of
 * the hierarchy), NUL-terminated. Paths that are not below the root of the mount (a "..", or
 * " (deleted)" at the end) or have an empty component are refused. -ENOENT: there is no such line,
 * so no cgroup v2; -ENAMETOOLONG: out is too small.
 */
int cgroupfile_own_path(const char *text, size_t len, char *out, size_t out_size);

/* cgroup.controllers, cgroup.subtree_control: words; those we do not know are passed over. */
int cgroupfile_controllers(const char *text, size_t len, unsigned *controllers);

/*
 * What tells of consumption, and of which limits hold. X(NAME, file): CGROUP_FILE_NAME is its index
 * in a record of them, which is u8 index, u16 length and bytes for each that this host has.
 */
#define CGROUP_STATS(X) \
	X(CPU_STAT, "cpu.stat") \
	X(MEMORY_CURRENT, "memory.current") \
	X(MEMORY_PEAK, "memory.peak") \
	X(MEMORY_EVENTS, "memory.events") \
	X(PIDS_CURRENT, "pids.current") \
	X(CPU_PRESSURE, "cpu.pressure") \
	X(MEMORY_PRESSURE, "memory.pressure") \
	X(IO_PRESSURE, "io.pressure") \
	X(CPU_MAX, "cpu.max") \
	X(MEMORY_MAX, "memory.max") \
	X(SWAP_MAX, "memory.swap.max") \
	X(PIDS_MAX, "pids.max") \
	X(IO_WEIGHT, "io.weight")
#define ENUM_CGROUP_STAT(name, text) CGROUP_FILE_##name,
enum cgroup_stat { CGROUP_STATS(ENUM_CGROUP_STAT) CGROUP_STAT_FILES };

/* Static. */
const char *cgroupfile_stat_name(unsigned index);

#endif
