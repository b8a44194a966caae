/* SPDX-License-Identifier: MIT */
/*
 * The clocks. Deadlines use mono_ms; what must survive a suspend or be bound to this boot uses
 * boot_ms; wall_s is for token claims, the API and audit only (a step of it must change nothing
 * else).
 */
#ifndef COMMON_MONO_H
#define COMMON_MONO_H

#include <stdint.h>
#include <time.h>

/* Bytes of "2026-01-31T23:59:59Z" with its NUL. */
#define RFC3339_UTC_SIZE 21

/* Bytes of the kernel's boot id (36 characters in the form of a UUID) with its NUL. */
#define BOOT_ID_SIZE 37

/* CLOCK_MONOTONIC in milliseconds. Cannot fail. */
uint64_t mono_ms(void);

/* CLOCK_BOOTTIME in milliseconds: since boot, time asleep included. Cannot fail. */
uint64_t boot_ms(void);

/* CLOCK_REALTIME in seconds since 1970-01-01T00:00:00Z. Cannot fail. */
time_t wall_s(void);

/*
 * Writes t in the form of RFC 3339 5.6, in UTC, whole seconds, NUL-terminated. Times before 1970
 * and after 9999 are written as the nearest that the form can hold. Opens no file (gmtime_r reads
 * the time zone when first called, which a filtered process does not survive).
 */
void rfc3339_utc(time_t t, char out[static RFC3339_UTC_SIZE]);

/*
 * Reads the id of this boot from /proc/sys/kernel/random/boot_id into out, lower-case,
 * NUL-terminated. Call it before the root is changed and the filter loaded. Returns 0, or -1 with
 * errno.
 */
int boot_id_read(char out[static BOOT_ID_SIZE]);

#endif
