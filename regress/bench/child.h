/* SPDX-License-Identifier: MIT */
/* Children of the benchmark: the floors, further clients, other programs. None outlives it. */
#ifndef FOG_BENCH_CHILD_H
#define FOG_BENCH_CHILD_H

#include <sys/types.h>

/* fork() that does not fail; the child is killed when its parent ends. It leaves by _exit. */
pid_t child_start(void);
/* In a child: becomes the program, its output in the file (NULL: none). */
void child_exec(char *const argv[], char *const env[], const char *output)
    __attribute__((noreturn));
/* Waits for its end; kills it after so many seconds (0: at once). Returns the status of wait(2). */
int child_join(pid_t pid, unsigned seconds);

#endif
