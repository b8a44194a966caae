/* SPDX-License-Identifier: MIT */
/* The seccomp tables: see filter.h. libseccomp kills foreign ABIs (bad architecture) itself. */
#include "common/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

#ifdef FOG_NO_FILTER

int
filter_load(enum proc_id role)
{
	(void)role;
	return 0;
}

int
filter_export(enum proc_id role)
{
	(void)role;
	return memfd_create("filter", MFD_CLOEXEC);
}

#else

#define SC(name) SCMP_SYS(name)
#define LIST_END (-10000) /* libseccomp uses small negative numbers for calls of other ABIs */

/* What libc, malloc and libevent's loop need in every role. */
static const int common_calls[] = { SC(read), SC(pread64), SC(write), SC(readv), SC(writev),
	SC(close), SC(fstat), SC(lseek), SC(recvmsg), SC(recvfrom), SC(shutdown), SC(getsockopt),
	SC(epoll_ctl), SC(epoll_wait), SC(epoll_pwait), SC(epoll_create1), SC(eventfd2), SC(poll),
	SC(timerfd_settime), SC(timerfd_create), SC(brk), SC(munmap), SC(mremap), SC(madvise),
	SC(futex), SC(getrandom), SC(clock_gettime), SC(clock_getres), SC(gettimeofday), SC(time),
	SC(clock_nanosleep), SC(nanosleep), SC(restart_syscall), SC(rt_sigaction),
	SC(rt_sigprocmask), SC(rt_sigreturn), SC(sigaltstack), SC(exit), SC(exit_group), SC(getpid),
	SC(gettid), SC(getuid), SC(geteuid), SC(getgid), SC(getegid), SC(sched_yield),
	SC(membarrier), SC(rseq), SC(set_robust_list), SC(pipe2), LIST_END };

/* What a role may ask of a descriptor: never F_SETFL, which could take O_APPEND off the audit log. */
static const int fcntl_commands[] = { F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC, F_GET_SEALS };

/* Calls that libraries try and can do without: an errno, not death. */
static const struct {
	int call, error;
} soft_calls[] = { { SC(clone3), ENOSYS }, { SC(openat), EACCES }, { SC(open), EACCES },
	{ SC(access), EACCES }, { SC(newfstatat), EACCES }, { SC(readlink), EACCES },
	{ SC(sysinfo), EPERM }, { SC(uname), EPERM }, { SC(prlimit64), EPERM },
	{ SC(getrusage), EPERM }, { SC(sched_getaffinity), EPERM }, { SC(statx), ENOSYS },
	{ SC(getcwd), EACCES }, { SC(madvise), ENOSYS } };

static const int gatewayd_calls[] = { SC(accept4), SC(setsockopt), SC(getsockname), SC(getpeername),
	LIST_END };
static const int authd_calls[] = { LIST_END };
static const int placerd_calls[] = { SC(accept4), LIST_END };
static const int ptyd_calls[] = { SC(openat), SC(unlink), SC(unlinkat), SC(rename), SC(renameat),
	SC(renameat2), SC(getdents64), SC(newfstatat), SC(fsync), SC(fdatasync), SC(ftruncate),
	SC(memfd_create), SC(pidfd_open), SC(waitid), LIST_END };
/* sendto with an address is how evdns asks a name server. */
static const int fetcher_calls[] = { SC(connect), SC(sendto), SC(setsockopt), SC(getsockname),
	SC(getpeername), LIST_END };
static const int holder_calls[] = { SC(accept4), SC(listen), SC(waitid), LIST_END };

/* Denied with EPERM to fogd, the spawner and hence to every shell (S26 in part). */
static const int denied_calls[] = { SC(bpf), SC(perf_event_open), SC(add_key), SC(keyctl),
	SC(request_key), SC(userfaultfd), SC(open_by_handle_at), SC(init_module), SC(finit_module),
	SC(delete_module), SC(kexec_load), SC(kexec_file_load), SC(io_uring_setup),
	SC(io_uring_enter), SC(io_uring_register), SC(iopl), SC(ioperm), SC(swapon), SC(swapoff),
	SC(reboot), SC(acct), SC(quotactl), SC(syslog), SC(vhangup), SC(nfsservctl),
	SC(lookup_dcookie), SC(settimeofday), SC(clock_settime), SC(adjtimex), SC(clock_adjtime),
	LIST_END };

static int
allow_list(scmp_filter_ctx f, const int *calls)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && calls[i] != LIST_END; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	return rc;
}

static bool
is_listed(const int *calls, int call)
{
	for (size_t i = 0; calls[i] != LIST_END; i++) {
		if (calls[i] == call)
			return true;
	}
	return false;
}

static int
soften(scmp_filter_ctx f, const int *own)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT_OF(soft_calls); i++) {
		if (is_listed(common_calls, soft_calls[i].call) ||
		    is_listed(own, soft_calls[i].call))
			continue;
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO((uint32_t)soft_calls[i].error),
		    soft_calls[i].call, 0);
	}
	return rc;
}

/* Anonymous memory, never executable; files are mapped by nobody. */
static int
allow_memory(scmp_filter_ctx f)
{
	int rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(mmap), 2,
	    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
	    SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));

	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(mprotect), 1,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(prctl), 1,
		    SCMP_A0(SCMP_CMP_EQ, PR_GET_SECCOMP, 0));
	return rc;
}

/* No address: what is connected stays so. */
static int
allow_by_argument(scmp_filter_ctx f)
{
	int rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(sendto), 1, SCMP_A4(SCMP_CMP_EQ, 0, 0));

	/* sendmsg has its address in memory; on TCP it counts with this flag alone, and connects. */
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(sendmsg), 1,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0));
	for (size_t i = 0; rc == 0 && i < COUNT_OF(fcntl_commands); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(fcntl), 1,
		    SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntl_commands[i], 0));
	return rc;
}

/* abort() signals the process itself, and nobody else. */
static int
allow_abort(scmp_filter_ctx f)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(tgkill), 1,
	    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
}

/* The broker seals a holder's plan, and connects to holders: to nothing but UNIX sockets. */
static int
allow_ptyd_calls(scmp_filter_ctx f)
{
	int rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(socket), 1,
	    SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));

	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(connect), 0);
	return rc ? rc
		  : seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(fcntl), 1,
			SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS, 0));
}

static int
allow_ioctl(scmp_filter_ctx f, unsigned long command)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, command, 0));
}

/* A thread of this process (worker.c), never a process or a namespace. */
static int
allow_thread(scmp_filter_ctx f)
{
	scmp_datum_t must = CLONE_THREAD | CLONE_VM | CLONE_SIGHAND;
	scmp_datum_t never = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
	    CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;

	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(clone), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, must | never, must));
}

/* How much has come, which libevent asks, and what OpenSSL may make of a socket. */
static int
allow_gatewayd_calls(scmp_filter_ctx f)
{
	int rc = allow_ioctl(f, FIONREAD);

	if (rc == 0)
		rc = allow_ioctl(f, FIONBIO);
	return rc ? rc : allow_thread(f);
}

/* The holder makes one stream per attachment, tells the terminal its size and asks who has it. */
static int
allow_holder_calls(scmp_filter_ctx f)
{
	int rc = allow_ioctl(f, TIOCSWINSZ);

	if (rc == 0)
		rc = allow_ioctl(f, TIOCGPGRP);
	return rc
	    ? rc
	    : seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(socketpair), 2,
		  SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff, SOCK_STREAM));
}

/*
 * Streams of the Internet; those to the name servers were made before. libcurl sets O_NONBLOCK on
 * each, which it has already: exactly that may be set, and no file is here to lose its O_APPEND.
 */
static int
allow_fetcher_calls(scmp_filter_ctx f)
{
	static const scmp_datum_t families[] = { AF_INET, AF_INET6 };
	scmp_datum_t type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT_OF(families); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(socket), 3,
		    SCMP_A0(SCMP_CMP_EQ, families[i], 0), SCMP_A1(SCMP_CMP_EQ, type, 0),
		    SCMP_A2(SCMP_CMP_EQ, 0, 0));
	return rc
	    ? rc
	    : seccomp_rule_add(f, SCMP_ACT_ALLOW, SC(fcntl), 2, SCMP_A1(SCMP_CMP_EQ, F_SETFL, 0),
		  SCMP_A2(SCMP_CMP_EQ, O_RDWR | O_NONBLOCK, 0));
}

struct filter_row {
	enum proc_id role;
	const int *calls;
	int (*more)(scmp_filter_ctx f);
};

static const struct filter_row filters[] = {
	{ PROC_GATEWAYD, gatewayd_calls, allow_gatewayd_calls },
	{ PROC_AUTHD, authd_calls, NULL },
	{ PROC_PLACERD, placerd_calls, NULL },
	{ PROC_PTYD, ptyd_calls, allow_ptyd_calls },
	{ PROC_HOLDER, holder_calls, allow_holder_calls },
	{ PROC_FETCHER, fetcher_calls, allow_fetcher_calls },
	{ PROC_PROBER, fetcher_calls, allow_fetcher_calls },
};

static int
build_strict(scmp_filter_ctx f, const struct filter_row *row)
{
	int rc = allow_list(f, common_calls);

	if (rc == 0)
		rc = allow_list(f, row->calls);
	if (rc == 0)
		rc = soften(f, row->calls);
	if (rc == 0)
		rc = allow_memory(f);
	if (rc == 0)
		rc = allow_by_argument(f);
	if (rc == 0 && row->more)
		rc = row->more(f);
	return rc;
}

/* NULL: out of memory. */
static scmp_filter_ctx
new_filter(uint32_t otherwise)
{
	scmp_filter_ctx f = seccomp_init(otherwise);

	if (f && seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, FILTER_AS_TREE) != 0) {
		seccomp_release(f);
		return NULL;
	}
	return f;
}

static int
load_strict(const struct filter_row *row)
{
	scmp_filter_ctx f = new_filter(SCMP_ACT_KILL_PROCESS);
	int rc = f ? build_strict(f, row) : -ENOMEM;

	if (rc == 0)
		rc = allow_abort(f);
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	malloc_trim(0); /* what building took */
	errno = 0;
	return rc;
}

static int
load_deny_list(void)
{
	scmp_filter_ctx f = new_filter(SCMP_ACT_ALLOW);
	int rc = f ? seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) : -ENOMEM;

	for (size_t i = 0; rc == 0 && denied_calls[i] != LIST_END; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), denied_calls[i], 0);
	if (rc == 0)
		rc = seccomp_load(f);
	if (f)
		seccomp_release(f);
	return rc;
}

static const struct filter_row *
find_row(enum proc_id role)
{
	for (size_t i = 0; i < COUNT_OF(filters); i++) {
		if (filters[i].role == role)
			return &filters[i];
	}
	return NULL;
}

int
filter_load(enum proc_id role)
{
	const struct filter_row *row = find_row(role);

	return row ? load_strict(row) : load_deny_list();
}

static int
write_program(scmp_filter_ctx f, int fd)
{
	int rc = seccomp_export_bpf(f, fd);

	if (rc == 0 && fcntl(fd, F_ADD_SEALS, FILTER_SEALS) != 0)
		rc = -errno;
	return rc;
}

int
filter_export(enum proc_id role)
{
	cleanup_fd int fd = memfd_create("filter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const struct filter_row *row = find_row(role);
	scmp_filter_ctx f;
	int rc;

	if (fd < 0 || !row)
		return fd < 0 ? -errno : -EINVAL;
	f = new_filter(SCMP_ACT_KILL_PROCESS);
	rc = f ? build_strict(f, row) : -ENOMEM;
	if (rc == 0)
		rc = write_program(f, fd);
	seccomp_release(f);
	return rc ? rc : steal_fd(&fd);
}

#endif
