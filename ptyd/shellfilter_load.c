/* SPDX-License-Identifier: MIT */
/* Loading the filter of a shell: see shellfilter.h. */
#include "ptyd/shellfilter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

int
shellfilter_load(void)
{
	/* The kernel only reads it. */
	const struct sock_fprog program = { shellfilter_count,
		(struct sock_filter *)(uintptr_t)shellfilter_program };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : -errno;
}
