/* SPDX-License-Identifier: MIT */
/* A private instance of the service in temporary folders, for the length of one run. */
#ifndef FOG_BENCH_SERVICE_H
#define FOG_BENCH_SERVICE_H

#include <stdint.h>
#include <sys/types.h>

/* Sessions that one person may have at a time here: the most that a policy can say. */
#define SERVICE_SESSIONS_MAX 64

/* Side by side: fogd has one listener, and one kind of sessions. */
enum service { SERVICE_PLAIN, SERVICE_TLS, SERVICE_SANDBOX, SERVICE_COUNT };

/*
 * Starts $FOG_BUILD/sbin/fogd on a free port of 127.0.0.1 with the stub connector (SERVICE_SANDBOX:
 * with sandboxes of the image of box.h) and waits until it is ready; fails with the end of its log
 * otherwise. For TLS the openssl command makes a certificate. What runs is stopped at exit: service and sessions end, and where a holder stays
 * that is said and it is killed by pid.
 */
void service_start(enum service s);

/* The same, but what is wrong is returned: NULL, or a text. */
const char *service_try(enum service s);

uint16_t service_port(enum service s);
pid_t service_pid(enum service s);
/* The temporary folder of the plain one, which sessions can read. */
const char *service_dir(void);
/* The one descendant of that name; of several (holders) the youngest. Fails when there is none. */
pid_t service_process(enum service s, const char *name);

#endif
