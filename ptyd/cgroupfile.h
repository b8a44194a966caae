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

#define CGROUPFILE_MAX_BYTES 4096

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

/* memory.current, pids.current: one decimal number. */
int cgroupfile_number(const char *text, size_t len, uint64_t *value);

/*
 * cpu.stat, memory.events, cgroup.events: lines "key number", the whole file is checked.
 * -ENOENT: the key is not there; a key that is there twice is -EBADMSG.
 */
int cgroupfile_value(const char *text, size_t len, const char *key, uint64_t *value);

/* Share of the last 10 s in which some, or all, tasks waited: hundredths of a per cent. */
struct cgroup_pressure {
	uint16_t some_centi, full_centi;
};
#define CGROUP_PRESSURE_MAX 10000

/* cpu.pressure, memory.pressure, io.pressure: a line "some …" and a line "full …". */
int cgroupfile_pressure(const char *text, size_t len, struct cgroup_pressure *out);

#endif
