/* SPDX-License-Identifier: MIT */
/* What /proc says of other processes: who descends from whom, memory, time on a CPU. */
#ifndef FOG_BENCH_PROCSTAT_H
#define FOG_BENCH_PROCSTAT_H

#include <stddef.h>
#include <sys/types.h>

#define PIDS_MAX 8192

struct memory {
	double rss_kib, pss_kib, private_kib; /* private: clean and dirty, of nobody else */
};

/*
 * Living descendants of `root` whose argv[0] is `name` (NULL: whatever it is), oldest first, at most
 * max. Zombies are not
 * counted.
 */
size_t proc_descendants(pid_t root, const char *name, pid_t *out, size_t max);
/*
 * Without the anonymous mappings of at least without_kib each (0: of all mappings). 0, or -1 where
 * smaps may not be read (it takes root) or the process is gone.
 */
int proc_memory(pid_t pid, size_t without_kib, struct memory *out);
/* Threads of a process; 0 when it is gone. */
unsigned proc_threads(pid_t pid);
/* User and system time of all threads, to the nanosecond. Fails when the process is gone. */
double proc_cpu_s(pid_t pid);

#endif
