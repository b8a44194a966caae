/* SPDX-License-Identifier: MIT */
/*
 * Asks a role's filter what it does to one call: try_syscall ROLE CALL loads the filter, makes
 * the call with arguments that do no harm, and prints `ok` or the name of the error. A call that
 * the filter kills for ends this process with SIGSYS. try_syscall --list names the calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/filter.h"

#define NO_FD (-1L)
#define NO_PID 0x3fffffffL /* above any pid: ESRCH */
#define X32_BIT 0x40000000L
#define FASTOPEN 0x20000000L /* MSG_FASTOPEN */

/* Made before the filter: what a broken-into role might have at hand. */
static struct {
	int unix_socket, tcp_socket, file;
	struct sockaddr_un nobody; /* no socket lives there */
	struct sockaddr_in closed; /* 127.0.0.1, a port that nobody listens on */
	void *page;
	size_t page_size;
} hand;

static long
fork_and_end(long flags)
{
	long pid = syscall(SYS_clone, flags, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : 0;
}

static long
try_fork(void)
{
	return fork_and_end(SIGCHLD);
}

static long
try_new_user_namespace(void)
{
	return fork_and_end(SIGCHLD | CLONE_NEWUSER);
}

static void *
end_thread(void *arg)
{
	return arg;
}

static long
try_new_thread(void)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, end_thread, NULL);
	return errno == 0 && pthread_join(thread, NULL) == 0 ? 0 : -1;
}

static long
try_thread_in_new_namespace(void)
{
	return syscall(SYS_clone, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND | CLONE_NEWNET, 0, 0, 0,
	    0);
}

static long
try_connect(void)
{
	return connect(hand.unix_socket, (struct sockaddr *)&hand.nobody, sizeof(hand.nobody));
}

/* TCP Fast Open: the address rides in the send. */
static long
try_sendto_fastopen(void)
{
	return syscall(SYS_sendto, hand.tcp_socket, "x", 1, FASTOPEN | MSG_NOSIGNAL, &hand.closed,
	    sizeof(hand.closed));
}

static long
try_sendmsg_fastopen(void)
{
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr mh = { .msg_name = &hand.closed,
		.msg_namelen = sizeof(hand.closed),
		.msg_iov = &iov,
		.msg_iovlen = 1 };

	return syscall(SYS_sendmsg, hand.tcp_socket, &mh, FASTOPEN | MSG_NOSIGNAL);
}

static long
try_sendto_plain(void)
{
	return syscall(SYS_sendto, NO_FD, "x", 1, MSG_NOSIGNAL, 0, 0);
}

static long
try_mmap(int prot, int flags, int fd)
{
	void *p = mmap(NULL, hand.page_size, prot, flags, fd, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long
try_mmap_exec(void)
{
	return try_mmap(PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static long
try_mmap_anonymous(void)
{
	return try_mmap(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static long
try_mmap_file(void)
{
	return try_mmap(PROT_READ, MAP_PRIVATE, hand.file);
}

static long
try_mprotect_exec(void)
{
	return syscall(SYS_mprotect, hand.page, hand.page_size, PROT_READ | PROT_EXEC);
}

static long
try_mprotect_read(void)
{
	return syscall(SYS_mprotect, hand.page, hand.page_size, PROT_READ);
}

static long
try_pkey_mprotect_exec(void)
{
	return syscall(SYS_pkey_mprotect, hand.page, hand.page_size, PROT_READ | PROT_EXEC, -1);
}

#ifdef __x86_64__
/* getpid as a 32-bit program calls it: a foreign ABI to the filter. */
static long
try_int80(void)
{
	long rc = 20;

	__asm__ volatile("int $0x80" : "+a"(rc) : : "memory", "r8", "r9", "r10", "r11");
	return rc < 0 ? -1 : 0;
}

static long
try_x32(void)
{
	return syscall(X32_BIT | SYS_getpid);
}
#endif

/* CALL(name, expression): a call without preparation. */
#define CALLS(CALL) \
	CALL(getpid, syscall(SYS_getpid)) \
	CALL(socket_unix, socket(AF_UNIX, SOCK_SEQPACKET, 0)) \
	CALL(socket_inet, socket(AF_INET, SOCK_STREAM, 0)) \
	CALL(socket_inet6, socket(AF_INET6, SOCK_DGRAM, 0)) \
	CALL(socket_inet_stream, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) \
	CALL(socket_inet6_stream, socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) \
	CALL(socket_raw, socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)) \
	CALL(socket_packet, socket(AF_PACKET, SOCK_RAW, 0)) \
	CALL(socket_netlink, socket(AF_NETLINK, SOCK_RAW, 0)) \
	CALL(socketpair_datagram, socketpair(AF_UNIX, SOCK_DGRAM, 0, (int[2]){ 0, 0 })) \
	CALL(bind, bind(NO_FD, (struct sockaddr *)&hand.nobody, sizeof(hand.nobody))) \
	CALL(listen, listen(NO_FD, 1)) \
	CALL(accept4, accept4(NO_FD, NULL, NULL, 0)) \
	CALL(execve, syscall(SYS_execve, "/nonexistent", NULL, NULL)) \
	CALL(execveat, syscall(SYS_execveat, NO_FD, "", NULL, NULL, AT_EMPTY_PATH)) \
	CALL(openat, openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY)) \
	CALL(openat2, syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0)) \
	CALL(unlink, unlink("/nonexistent/x")) \
	CALL(mkdir, mkdir("/nonexistent/x", 0700)) \
	CALL(chmod, chmod("/nonexistent/x", 0700)) \
	CALL(mknod, mknod("/nonexistent/x", S_IFIFO, 0)) \
	CALL(fcntl_setfl, fcntl(hand.file, F_SETFL, 0)) \
	CALL(fcntl_set_nonblocking, fcntl(hand.file, F_SETFL, O_RDWR | O_NONBLOCK)) \
	CALL(fcntl_getfl, fcntl(hand.file, F_GETFL) < 0 ? -1 : 0) \
	CALL(fcntl_setown, fcntl(hand.unix_socket, F_SETOWN, getpid())) \
	CALL(ftruncate, ftruncate(NO_FD, 0)) \
	CALL(fallocate, fallocate(NO_FD, 0, 0, 1)) \
	CALL(pwrite, pwrite(NO_FD, "", 0, 0)) \
	CALL(pwritev2, pwritev2(NO_FD, NULL, 0, 0, 0)) \
	CALL(kill, kill((pid_t)NO_PID, 0)) \
	CALL(tgkill_self, syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0)) \
	CALL(tgkill_other, syscall(SYS_tgkill, NO_PID, NO_PID, 0)) \
	CALL(tkill, syscall(SYS_tkill, NO_PID, 0)) \
	CALL(pidfd_open, syscall(SYS_pidfd_open, NO_PID, 0)) \
	CALL(pidfd_send_signal, syscall(SYS_pidfd_send_signal, NO_FD, 0, NULL, 0)) \
	CALL(pidfd_getfd, syscall(SYS_pidfd_getfd, NO_FD, 0, 0)) \
	CALL(ptrace, ptrace(PTRACE_CONT, (pid_t)NO_PID, NULL, NULL)) \
	CALL(process_vm_readv, process_vm_readv((pid_t)NO_PID, NULL, 0, NULL, 0, 0)) \
	CALL(clone3, syscall(SYS_clone3, NULL, 0)) \
	CALL(setuid, setuid(getuid())) \
	CALL(setgroups, syscall(SYS_setgroups, -1, NULL)) \
	CALL(capset, syscall(SYS_capset, NULL, NULL)) \
	CALL(prctl_set_dumpable, prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) \
	CALL(prctl_get_seccomp, prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2 ? 0 : -1) \
	CALL(seccomp, syscall(SYS_seccomp, -1, 0, NULL)) \
	CALL(unshare, unshare(0)) \
	CALL(setns, setns(NO_FD, 0)) \
	CALL(chroot, chroot("/nonexistent")) \
	CALL(pivot_root, syscall(SYS_pivot_root, "/nonexistent", "/nonexistent")) \
	CALL(mount, mount("x", "/nonexistent", "tmpfs", 0, NULL)) \
	CALL(bpf, syscall(SYS_bpf, -1, NULL, 0)) \
	CALL(io_uring_setup, syscall(SYS_io_uring_setup, 0, NULL)) \
	CALL(perf_event_open, syscall(SYS_perf_event_open, NULL, 0, -1, NO_FD, 0)) \
	CALL(keyctl, syscall(SYS_keyctl, -1, 0, 0, 0, 0)) \
	CALL(add_key, syscall(SYS_add_key, NULL, NULL, NULL, 0, 0)) \
	CALL(request_key, syscall(SYS_request_key, NULL, NULL, NULL, 0)) \
	CALL(userfaultfd, syscall(SYS_userfaultfd, -1)) \
	CALL(open_by_handle_at, syscall(SYS_open_by_handle_at, NO_FD, NULL, 0)) \
	CALL(init_module, syscall(SYS_init_module, NULL, 0, "")) \
	CALL(finit_module, syscall(SYS_finit_module, NO_FD, "", 0)) \
	CALL(kexec_load, syscall(SYS_kexec_load, 0, -1L, NULL, -1L)) \
	CALL(reboot, syscall(SYS_reboot, 0, 0, 0, NULL)) \
	CALL(ioctl, ioctl(NO_FD, TIOCGWINSZ, NULL)) \
	CALL(ioctl_foreground, ioctl(NO_FD, TIOCGPGRP, NULL)) \
	CALL(ioctl_sti, ioctl(NO_FD, TIOCSTI, NULL)) \
	CALL(personality, personality(0xffffffff)) \
	CALL(memfd_create, memfd_create("try", MFD_CLOEXEC)) \
	CALL(unknown, syscall(9999))

#define CALL_FUNCTION(name, expression) \
	static long try_##name(void) \
	{ \
		return (expression); \
	}
CALLS(CALL_FUNCTION)

#define CALL_ROW(name, expression) { #name, try_##name },
static const struct {
	const char *name;
	long (*make)(void);
} calls[] = {
	CALLS(CALL_ROW){ "fork", try_fork },
	{ "new_user_namespace", try_new_user_namespace },
	{ "new_thread", try_new_thread },
	{ "thread_in_new_namespace", try_thread_in_new_namespace },
	{ "connect", try_connect },
	{ "sendto_fastopen", try_sendto_fastopen },
	{ "sendmsg_fastopen", try_sendmsg_fastopen },
	{ "sendto_plain", try_sendto_plain },
	{ "mmap_exec", try_mmap_exec },
	{ "mmap_anonymous", try_mmap_anonymous },
	{ "mmap_file", try_mmap_file },
	{ "mprotect_exec", try_mprotect_exec },
	{ "mprotect_read", try_mprotect_read },
	{ "pkey_mprotect_exec", try_pkey_mprotect_exec },
#ifdef __x86_64__
	{ "int80", try_int80 },
	{ "x32", try_x32 },
#endif
};

static int
prepare(void)
{
	hand.nobody = (struct sockaddr_un){ .sun_family = AF_UNIX, .sun_path = "/nonexistent/x" };
	hand.closed = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons(1),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	hand.unix_socket = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	hand.tcp_socket = socket(AF_INET, SOCK_STREAM, 0);
	hand.file = memfd_create("try", MFD_CLOEXEC);
	hand.page_size = (size_t)sysconf(_SC_PAGESIZE);
	hand.page = mmap(NULL, hand.page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	    -1, 0);
	if (hand.unix_socket < 0 || hand.tcp_socket < 0 || hand.file < 0 || hand.page == MAP_FAILED)
		return -1;
	if (ftruncate(hand.file, (off_t)hand.page_size) != 0)
		return -1;
	return setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}

static int
find_role(const char *name)
{
	for (int p = PROC_FOGD; p < PROC_ROLE; p++) {
		if (strcmp(proc_name((unsigned)p), name) == 0)
			return p;
	}
	return -1;
}

static int
try(enum proc_id role, long (*make)(void))
{
	const char *said = "ok";
	int rc;

	if (prepare() != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return 2;
	rc = filter_load(role);
	if (rc != 0) {
		fprintf(stderr, "the filter cannot be loaded: %s\n", strerror(-rc));
		return 2;
	}
	if (make() < 0)
		said = strerrorname_np(errno);
	dprintf(STDOUT_FILENO, "%s\n", said ? said : "unknown errno");
	return 0;
}

int
main(int argc, char **argv)
{
	int role = argc == 3 ? find_role(argv[1]) : -1;

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < COUNT_OF(calls); i++)
			puts(calls[i].name);
		return 0;
	}
	if (!filter_is_built()) {
		fputs("this build has no filters\n", stderr);
		return 3;
	}
	for (size_t i = 0; role >= 0 && i < COUNT_OF(calls); i++) {
		if (strcmp(calls[i].name, argv[2]) == 0)
			return try((enum proc_id)role, calls[i].make);
	}
	fputs("usage: try_syscall ROLE CALL | --list\n", stderr);
	return 2;
}
