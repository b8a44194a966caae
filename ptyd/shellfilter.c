/* SPDX-License-Identifier: MIT */
/*
 * What no shell may do, as a program for the kernel: this one is run while all is built, and prints
 * the array that shellfilter.h declares.
 */
#include "ptyd/shellfilter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/filter.h"

#define SC(name) SCMP_SYS(name)
#define LOW32 UINT64_C(0xffffffff) /* the kernel looks at no more of an int argument */

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const int denied[] = { SC(setns), SC(mount), SC(umount2), SC(pivot_root), SC(move_mount),
	SC(open_tree), SC(fsopen), SC(fsconfig), SC(fsmount), SC(fspick), SC(mount_setattr),
	SC(bpf), SC(perf_event_open), SC(add_key), SC(keyctl), SC(request_key), SC(userfaultfd),
	SC(io_uring_setup), SC(io_uring_enter), SC(io_uring_register), SC(open_by_handle_at),
	SC(name_to_handle_at), SC(kexec_load), SC(kexec_file_load), SC(init_module),
	SC(finit_module), SC(delete_module), SC(swapon), SC(swapoff), SC(reboot), SC(acct),
	SC(quotactl), SC(quotactl_fd), SC(syslog), SC(vhangup), SC(settimeofday), SC(clock_settime),
	SC(adjtimex), SC(clock_adjtime), SC(iopl), SC(ioperm), SC(modify_ldt), SC(fanotify_init),
	SC(lookup_dcookie), SC(uselib), SC(ustat), SC(sysfs) };

/* Typing into a terminal on behalf of its user, pasting into a console, drivers behind a terminal. */
static const uint64_t denied_ioctls[] = { TIOCSTI, TIOCLINUX, TIOCSETD };

/*
 * Calls newer than this list was read against: 450 is set_mempolicy_home_node, Linux 5.17. The
 * same numbers on every architecture from 424 on; what no kernel has yet says ENOSYS by itself.
 */
#define CALL_LAST_KNOWN 450
#define CALL_LAST_TO_COME 511

static const uint64_t namespace_flags[] = { CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET,
	CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWTIME };

/* In ascending order. */
static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

static int
deny(scmp_filter_ctx f, int call, unsigned count, struct scmp_arg_cmp arg)
{
	return seccomp_rule_add_array(f, SCMP_ACT_ERRNO(EPERM), call, count, &arg);
}

static int
deny_calls(scmp_filter_ctx f)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT_OF(denied); i++)
		rc = deny(f, denied[i], 0, (struct scmp_arg_cmp){ 0 });
	/* clone3 hides its flags in memory; libc falls back to clone on ENOSYS alone. */
	return rc ? rc : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SC(clone3), 0);
}

static int
deny_ioctls(scmp_filter_ctx f)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT_OF(denied_ioctls); i++)
		rc = deny(f, SC(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, LOW32, denied_ioctls[i]));
	return rc;
}

/* One rule a flag: "any of these bits" is not one comparison. */
static int
deny_namespaces(scmp_filter_ctx f)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT_OF(namespace_flags); i++) {
		uint64_t flag = namespace_flags[i];

		rc = deny(f, SC(unshare), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
		/* To clone, the low byte is the exit signal, where CLONE_NEWTIME would be. */
		if (rc == 0 && flag != CLONE_NEWTIME)
			rc = deny(f, SC(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
	}
	return rc;
}

static bool
family_is_allowed(int family)
{
	for (size_t i = 0; i < COUNT_OF(families); i++) {
		if (families[i] == family)
			return true;
	}
	return false;
}

/* All above the last of the list by one comparison, which takes what is in the high bits for more. */
static int
deny_families(scmp_filter_ctx f)
{
	struct scmp_arg_cmp not_route[] = { SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0),
		SCMP_A2(SCMP_CMP_NE, 0, 0) };
	int last = families[COUNT_OF(families) - 1];
	int rc = seccomp_rule_add_array(f, SCMP_ACT_ERRNO(EPERM), SC(socket), 2, not_route);

	for (int family = 0; rc == 0 && family < last; family++) {
		if (!family_is_allowed(family))
			rc = deny(f, SC(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0));
	}
	return rc ? rc : deny(f, SC(socket), 1, SCMP_A0(SCMP_CMP_GT, (scmp_datum_t)last, 0));
}

/* The kernel makes both sockets, and loads their module, before it finds that they make no pair. */
static int
deny_pairs(scmp_filter_ctx f)
{
	return deny(f, SC(socketpair), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
}

static int
deny_unknown(scmp_filter_ctx f)
{
	int rc = 0;

	for (int call = CALL_LAST_KNOWN + 1; rc == 0 && call <= CALL_LAST_TO_COME; call++)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), call, 0);
	return rc;
}

/*
 * The limit on core dumps stays as it is: 0 would let a core_pattern that is a pipe run its
 * program as root of the host. Programs that set it to 0 go on: nothing is dumped in any case.
 */
static int
freeze_core_limit(scmp_filter_ctx f)
{
	int rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(0), SC(setrlimit), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, RLIMIT_CORE));

	if (rc != 0)
		return rc;
	return seccomp_rule_add(f, SCMP_ACT_ERRNO(0), SC(prlimit64), 2,
	    SCMP_A1(SCMP_CMP_MASKED_EQ, LOW32, RLIMIT_CORE), SCMP_A2(SCMP_CMP_NE, 0, 0));
}

/* To a descriptor, which is what libseccomp can write to. 0 or -errno. */
static int
build(int out)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int rc;

	if (!f)
		return -ENOMEM;
	/* Calls of another ABI of this machine would pass by all of the above. */
	rc = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0)
		rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, FILTER_AS_TREE);
	if (rc == 0)
		rc = deny_calls(f);
	if (rc == 0)
		rc = deny_ioctls(f);
	if (rc == 0)
		rc = deny_namespaces(f);
	if (rc == 0)
		rc = deny_families(f);
	if (rc == 0)
		rc = deny_pairs(f);
	if (rc == 0)
		rc = deny_unknown(f);
	if (rc == 0)
		rc = freeze_core_limit(f);
	if (rc == 0)
		rc = seccomp_export_bpf(f, out);
	seccomp_release(f);
	return rc;
}

/* As C: an instruction a line. 0 or -errno. */
static int
print_program(int from)
{
	struct sock_filter line;
	unsigned count = 0;
	off_t at = 0;

	puts("/* Made by ptyd/shellfilter.c. */\n#include \"ptyd/shellfilter.h\"\n\n"
	     "const struct sock_filter shellfilter_program[] = {");
	for (; pread(from, &line, sizeof(line), at) == sizeof(line); at += sizeof(line), count++)
		printf("\t{ %#x, %u, %u, %#x },\n", line.code, line.jt, line.jf, line.k);
	printf("};\nconst unsigned short shellfilter_count = %u;\n", count);
	if (count == 0 || count > BPF_MAXINSNS)
		return -EFBIG;
	return fflush(stdout) == 0 ? 0 : -errno;
}

int
main(void)
{
	cleanup_fd int fd = memfd_create("shellfilter", MFD_CLOEXEC);
	int rc = fd < 0 ? -errno : build(fd);

	if (rc == 0)
		rc = print_program(fd);
	if (rc == 0)
		return 0;
	fprintf(stderr, "shellfilter: %s\n", strerror(-rc));
	return 1;
}
