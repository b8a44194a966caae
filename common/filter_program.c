/* SPDX-License-Identifier: MIT */
/* Loading a filter that another process has built: see filter.h. Needs no libseccomp. */
#include "common/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef FOG_NO_FILTER

int
filter_is_built(void)
{
	return 0;
}

int
filter_load_program(int fd)
{
	(void)fd;
	return 0;
}

#else

int
filter_is_built(void)
{
	return 1;
}

static int
load(struct sock_filter *code, size_t size)
{
	struct sock_fprog program = { .len = (unsigned short)(size / sizeof(*code)),
		.filter = code };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : -errno;
}

int
filter_load_program(int fd)
{
	struct sock_filter code[FILTER_CALLS_MAX];
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & FILTER_SEALS) != FILTER_SEALS || fstat(fd, &st) != 0)
		return -EPERM;
	if (st.st_size <= 0 || (size_t)st.st_size > sizeof(code) || st.st_size % sizeof(*code) != 0)
		return -EFBIG;
	if (pread(fd, code, (size_t)st.st_size, 0) != st.st_size)
		return -EIO;
	return load(code, (size_t)st.st_size);
}

#endif
