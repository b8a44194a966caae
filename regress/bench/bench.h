/* SPDX-License-Identifier: MIT */
/*
 * What all files of the benchmark share: how it gives up, its clock, and the bound of its time.
 * It measures and tests nothing; any surprise ends it, and what it started ends with it (atexit).
 */
#ifndef FOG_BENCH_H
#define FOG_BENCH_H

/* Says why on stderr, together with what was being done, and exits 1. */
void bench_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* The same with the text of errno. */
void bench_fail_errno(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Names what is done from now on, for messages. */
void bench_doing(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * SIGINT, SIGTERM and the end of the time interrupt every blocking call; a call that came back with
 * EINTR asks here, which does not return when the run is over.
 */
void bench_interrupted(void);
void bench_limit_time(unsigned seconds);

/* CLOCK_MONOTONIC in seconds, to the nanosecond. */
double bench_now_s(void);
void bench_sleep_ms(unsigned ms);

#endif
