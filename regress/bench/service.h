/* SPDX-License-Identifier: MIT */
/* A private instance of the service in temporary folders, for the length of one run. */
#ifndef FOG_BENCH_SERVICE_H
#define FOG_BENCH_SERVICE_H

#include <stdint.h>
#include <sys/types.h>

/* Sessions that one person may have at a time here: the most that a policy can say. */
#define SERVICE_SESSIONS_MAX 64

/*
 * Starts $FOG_BUILD/sbin/fogd on a free port of 127.0.0.1 with the stub connector and waits until
 * it is ready; fails with the end of its log otherwise. service_stop runs at exit.
 */
void service_start(void);
/* Ends service and sessions, and says so and kills by pid where a holder stays. Once is enough. */
void service_stop(void);

uint16_t service_port(void);
pid_t service_pid(void);
/* The temporary folder, which sessions can read. */
const char *service_dir(void);
/* The one descendant of that name; of several (holders) the youngest. Fails when there is none. */
pid_t service_process(const char *name);

#endif
