/* SPDX-License-Identifier: MIT */
/*
 * Runs a command in a sandbox made of given directories, for the tests and for measuring.
 * links: ptyd/sandbox.c ptyd/inside.c ptyd/fdtools.c ptyd/idmap.c ptyd/shellfilter_load.c ptyd/shellprogram.c
 *
 *   sandbox_probe [-t] [-h HOME] [-H HOME_FIRST_ID] [-b FIRST_ID] IMAGE WRITABLE COMMAND [ARG…]
 *   sandbox_probe [-t] IMAGE WRITABLE try ATTEMPT
 *   sandbox_probe -n RUNS IMAGE EMPTY_DIRECTORY COMMAND [ARG…]
 *   sandbox_probe --list
 *
 * try: makes one attempt to get out (--list names them), and prints the errno by name, or "ok".
 * -t: on a PTY of the sandbox's own. -n: microseconds from fork to the exec of COMMAND, one line a
 * run. Exits as the command does; 125 when the sandbox cannot be made, which it explains.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <arpa/inet.h>
#include <linux/close_range.h>
#include <linux/if_alg.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/privdrop.h"
#include "ptyd/idmap.h"
#include "ptyd/inside.h"
#include "ptyd/sandbox.h"
#include "ptyd/shellfilter.h"

#define EXIT_NO_SANDBOX 125
#define FIRST_ID 1879048192U

struct probe {
	struct sandbox_plan plan;
	struct inside_plan inside;
	struct inside_limits limits;
	char **argv;
	bool on_terminal;
	int exec_mark; /* closed by the exec of the command */
};

static _Noreturn void
die(const char *what, int error)
{
	fprintf(stderr, "sandbox_probe: %s: %s\n", what, strerror(error));
	_exit(EXIT_NO_SANDBOX);
}

static void
must(enum spawn_stage stage, int rc)
{
	if (rc != 0)
		die(session_stage_name(stage), -rc);
}

static int
status_to_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* --- attempts --- */

#define HIGH_BITS (1UL << 32) /* above what the kernel reads of an int */
#define NO_FD (-1)
#define HOST_PORT 47147
#define SEGMENT_KEY 0x464f4721

static int
connect_to(const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(HOST_PORT),
		.sin_addr.s_addr = inet_addr(address) };
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, sizeof(to));
}

/* bind on the host, connect inside */
static int
abstract_socket(int (*call)(int, const struct sockaddr *, socklen_t))
{
	static const char name[] = "fog-sandbox-test";
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(to.sun_path + 1, name, sizeof(name));
	if (fd < 0 ||
	    call(fd, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + sizeof(name)))
		return -1;
	return fd;
}

static int
connect_abstract(void)
{
	return abstract_socket(connect);
}

/* What is there on the host for an attempt to find. */
static int
set_baits(void)
{
	int fd = abstract_socket(bind);

	if (fd < 0 || listen(fd, 1) != 0)
		die("abstract socket", errno);
	fd = shmget(SEGMENT_KEY, 1, IPC_CREAT | 0666);
	if (fd < 0)
		die("shared memory", errno);
	return fd;
}

/* The filter says yes and does nothing; the limit tells. */
static int
change_core_limit(rlim_t to)
{
	struct rlimit l = { to, to };

	if (setrlimit(RLIMIT_CORE, &l) != 0 || prlimit(0, RLIMIT_CORE, &l, NULL) != 0)
		return -1;
	if (getrlimit(RLIMIT_CORE, &l) != 0 || (l.rlim_cur == 1 && l.rlim_max == 1)) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

static int
read_memory_of(pid_t pid)
{
	char b[8];
	struct iovec here = { b, sizeof(b) }, there = { (void *)(uintptr_t)0x400000, sizeof(b) };

	return (int)process_vm_readv(pid, &here, 1, &there, 1, 0);
}

static int
write_file(const char *path)
{
	cleanup_fd int fd = open(path, O_WRONLY);

	return fd < 0 ? -1 : (int)write(fd, "1", 1);
}

static int
attach_segment(void)
{
	return shmget(SEGMENT_KEY, 1, 0);
}

static int
set_real_time(void)
{
	return sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 });
}

static int
open_ptys(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (open("/dev/ptmx", O_RDWR | O_NOCTTY) < 0)
			return -1;
	}
	return 0;
}

static long
clone_with(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid;
}

/* Each of these has to fail. A(name, expression: negative and errno on failure) */
#define ATTEMPTS(A) \
	A(unshare_user, unshare(CLONE_NEWUSER)) \
	A(unshare_user_high_bits, syscall(SYS_unshare, HIGH_BITS | CLONE_NEWUSER)) \
	A(unshare_mount, unshare(CLONE_NEWNS)) \
	A(unshare_net, unshare(CLONE_NEWNET)) \
	A(unshare_pid, unshare(CLONE_NEWPID)) \
	A(unshare_time, unshare(CLONE_NEWTIME)) \
	A(clone_user, clone_with(CLONE_NEWUSER)) \
	A(clone_cgroup, clone_with(CLONE_NEWCGROUP)) \
	A(clone3, syscall(SYS_clone3, NULL, 0)) \
	A(setns, setns(open("/proc/self/ns/user", O_RDONLY), 0)) \
	A(mount_tmpfs, mount("x", "/tmp", "tmpfs", 0, NULL)) \
	A(mount_proc, mount("proc", "/tmp", "proc", 0, NULL)) \
	A(mount_bind, mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL)) \
	A(remount_dev, mount(NULL, "/dev", NULL, MS_REMOUNT | MS_BIND, NULL)) \
	A(umount_mask, umount2("/proc/kcore", MNT_DETACH)) \
	A(umount_root, umount2("/", MNT_DETACH)) \
	A(pivot_root, syscall(SYS_pivot_root, "/", "/tmp")) \
	A(chroot, chroot("/tmp")) \
	A(fsopen, fsopen("tmpfs", 0)) \
	A(open_tree, open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE)) \
	A(move_mount, move_mount(NO_FD, "", NO_FD, "", 0)) \
	A(mount_setattr, mount_setattr(NO_FD, "", 0, NULL, 0)) \
	A(io_uring, syscall(SYS_io_uring_setup, 1, NULL)) \
	A(bpf, syscall(SYS_bpf, 0, NULL, 0)) \
	A(perf_event_open, syscall(SYS_perf_event_open, NULL, 0, -1, NO_FD, 0)) \
	A(add_key, syscall(SYS_add_key, "user", "x", "x", 1, -3)) \
	A(keyctl, syscall(SYS_keyctl, 0, -3, 0, 0, 0)) \
	A(request_key, syscall(SYS_request_key, "user", "x", NULL, 0)) \
	A(userfaultfd, syscall(SYS_userfaultfd, 1)) \
	A(open_by_handle_at, syscall(SYS_open_by_handle_at, NO_FD, NULL, 0)) \
	A(init_module, syscall(SYS_init_module, NULL, 0, "")) \
	A(kexec_load, syscall(SYS_kexec_load, 0, 0, NULL, 0)) \
	A(reboot, syscall(SYS_reboot, 0, 0, 0, NULL)) \
	A(unknown_call, syscall(451)) \
	A(unknown_last, syscall(511)) \
	A(tiocsti, ioctl(STDIN_FILENO, TIOCSTI, "x")) \
	A(tiocsti_high_bits, syscall(SYS_ioctl, STDIN_FILENO, HIGH_BITS | TIOCSTI, "x")) \
	A(tioclinux_high_bits, syscall(SYS_ioctl, STDIN_FILENO, HIGH_BITS | TIOCLINUX, "\2")) \
	A(tiocsetd, ioctl(STDIN_FILENO, TIOCSETD, &(int){ 2 })) \
	A(socket_packet, socket(AF_PACKET, SOCK_RAW, 0)) \
	A(socket_raw, socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)) \
	A(socket_vsock, socket(AF_VSOCK, SOCK_STREAM, 0)) \
	A(socketpair_vsock, socketpair(AF_VSOCK, SOCK_STREAM, 0, (int[2]){ 0 })) \
	A(socket_alg, socket(AF_ALG, SOCK_SEQPACKET, 0)) \
	A(socket_alg_high_bits, syscall(SYS_socket, HIGH_BITS | AF_ALG, SOCK_SEQPACKET, 0)) \
	A(socket_netfilter, socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)) \
	A(socket_audit, socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)) \
	A(socket_audit_high_bits, \
	    syscall(SYS_socket, HIGH_BITS | AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)) \
	A(setuid_root, setuid(0)) \
	A(setgid_root, setgid(0)) \
	A(setgroups, setgroups(1, &(gid_t){ 0 })) \
	A(sethostname, sethostname("x", 1)) \
	A(settimeofday, settimeofday(&(struct timeval){ 0 }, NULL)) \
	A(mknod_memory, mknod("/tmp/mem", S_IFCHR | 0666, makedev(1, 1))) \
	A(ptrace_init, ptrace(PTRACE_ATTACH, 1, NULL, NULL)) \
	A(read_memory_of_init, read_memory_of(1)) \
	A(real_time, set_real_time()) \
	A(core_limit_zero, change_core_limit(0)) \
	A(core_limit_unlimited, change_core_limit(RLIM_INFINITY)) \
	A(more_files, setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 4096, 4096 })) \
	A(more_ptys, open_ptys(64)) \
	A(host_shared_memory, attach_segment()) \
	A(host_abstract_socket, connect_abstract()) \
	A(host_loopback, connect_to("127.0.0.1")) \
	A(metadata_address, connect_to("169.254.169.254")) \
	A(write_sysrq, write_file("/proc/sysrq-trigger")) \
	A(write_core_pattern, write_file("/proc/sys/kernel/core_pattern")) \
	A(write_hostname, write_file("/proc/sys/kernel/hostname")) \
	A(write_uid_map, write_file("/proc/self/uid_map")) \
	A(read_root_of_init, open("/proc/1/root/etc", O_RDONLY)) \
	A(memory_of_init, open("/proc/1/mem", O_RDWR)) \
	A(kernel_memory, (int)read(open("/proc/kcore", O_RDONLY), &(char){ 0 }, 1) > 0 ? 0 : -1) \
	A(device_in_dev, mknod("/dev/sda", S_IFBLK | 0666, makedev(8, 0))) \
	A(change_device_node, chmod("/dev/null", 0600)) \
	A(device_of_image, open("/dev-node", O_RDONLY))

#define ATTEMPT_FUNCTION(name, expression) \
	static long try_##name(void) \
	{ \
		return (expression); \
	}
ATTEMPTS(ATTEMPT_FUNCTION)

#define ATTEMPT_ROW(name, expression) { #name, try_##name },
static const struct {
	const char *name;
	long (*make)(void);
} attempts[] = { ATTEMPTS(ATTEMPT_ROW) };

static _Noreturn void
attempt(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(attempts); i++) {
		if (strcmp(attempts[i].name, name) != 0)
			continue;
		errno = 0;
		if (attempts[i].make() >= 0)
			puts("ok");
		else
			puts(errno ? strerrorname_np(errno) : "nothing");
		fflush(stdout);
		_exit(0);
	}
	die(name, ENOENT);
}

static _Noreturn void
exec_command(const struct probe *p)
{
	static char *const env[] = { "PATH=/usr/bin:/bin", "TERM=xterm", "HOME=/home/user", NULL };

	if (p->on_terminal) {
		setsid();
		ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	}
	if (strcmp(p->argv[0], "try") == 0)
		attempt(p->argv[1] ? p->argv[1] : "");
	execve(p->argv[0], p->argv, env);
	die(p->argv[0], errno);
}

/* Pid 1: the command as its child, so that default signals work for it. */
static _Noreturn void
be_init(const struct probe *p, struct sandbox *s)
{
	struct inside in = { .plan = p->inside };
	int master = -1, slave = -1, status = 0, rc;
	pid_t child, ended;

	rc = sandbox_enter(s);
	must(s->stage, rc);
	memcpy(in.parts, s->parts, sizeof(in.parts));
	rc = inside_enter(&in);
	must(in.stage, rc);
	if (p->on_terminal) {
		must(STAGE_TERMINAL, inside_open_terminal(&in, &master, &slave));
		must(STAGE_TERMINAL, inside_give_terminal(&in, master));
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			dup2(slave, fd);
	}
	must(STAGE_LIMITS, inside_limit(&p->limits));
	rc = inside_confine(&in);
	must(in.stage, rc);
	must(STAGE_FILTER, shellfilter_load());
	syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	child = fork();
	if (child == 0)
		exec_command(p);
	close(p->exec_mark);
	do
		ended = waitpid(-1, &status, 0);
	while (ended > 0 && ended != child);
	_exit(ended == child ? status_to_code(status) : EXIT_NO_SANDBOX);
}

/* Until all slaves are closed: a master then reads EIO. */
static void
relay(int master)
{
	char b[4096];
	ssize_t n;

	while ((n = read(master, b, sizeof(b))) > 0) {
		if (write(STDOUT_FILENO, b, (size_t)n) != n)
			break;
	}
}

static pid_t
start(const struct probe *p, int *master)
{
	struct sandbox s;
	pid_t init;
	int rc = sandbox_prepare(&s, &p->plan);

	must(s.stage, rc);
	rc = sandbox_clone(&s, &init);
	must(s.stage, rc);
	if (init == 0)
		be_init(p, &s);
	rc = sandbox_map(&s, init);
	must(s.stage, rc);
	if (p->on_terminal)
		must(STAGE_TERMINAL, sandbox_take_terminal(&s, master));
	sandbox_fini(&s);
	return init;
}

static int
run_once(const struct probe *p)
{
	int segment = strcmp(p->argv[0], "try") == 0 ? set_baits() : -1;
	int master = -1, status = 0;
	pid_t init = start(p, &master);

	if (master >= 0)
		relay(master);
	if (segment >= 0)
		shmctl(segment, IPC_RMID, NULL);
	return waitpid(init, &status, 0) == init ? status_to_code(status) : EXIT_NO_SANDBOX;
}

/* --- measuring --- */

static int
make_writable(int parent, unsigned number, uint32_t owner)
{
	char name[16];
	int fd;

	snprintf(name, sizeof(name), "%u", number);
	if (mkdirat(parent, name, 0700) != 0)
		die("make a directory", errno);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || mkdirat(fd, "upper", 0755) != 0 || mkdirat(fd, "work", 0755) != 0 ||
	    fchownat(fd, "upper", owner, owner, 0) != 0 ||
	    fchownat(fd, "work", owner, owner, 0) != 0)
		die("make a writable tree", errno);
	return fd;
}

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* The maker is a fork, as in the service, so that its cost counts. */
static double
measure_one(struct probe *p)
{
	double begin = now_us(), took;
	int mark[2], status;
	char byte;
	pid_t maker;

	if (pipe2(mark, O_CLOEXEC) != 0)
		die("pipe", errno);
	maker = fork();
	if (maker == 0) {
		close(mark[0]);
		p->exec_mark = mark[1];
		int master = -1;
		pid_t init = start(p, &master);

		close(mark[1]);
		waitpid(init, &status, 0);
		_exit(status_to_code(status));
	}
	close(mark[1]);
	if (read(mark[0], &byte, 1) < 0)
		die("wait for exec", errno);
	took = now_us() - begin;
	close(mark[0]);
	waitpid(maker, &status, 0);
	if (status_to_code(status) == EXIT_NO_SANDBOX)
		_exit(EXIT_NO_SANDBOX);
	return took;
}

static int
measure(struct probe *p, unsigned runs)
{
	int parent = p->plan.writable;

	for (unsigned i = 0; i < runs; i++) {
		p->plan.writable = make_writable(parent, i, p->plan.first_id);
		printf("%.0f\n", measure_one(p));
		fflush(stdout);
		close(p->plan.writable);
	}
	return 0;
}

/* --- options --- */

/* As privileged as the spawner is, and no more. */
static void
be_as_the_spawner(void)
{
	const char *step = privdrop_finish(privdrop_spawner_caps);
	int rc;

	if (step)
		die(step, errno);
	rc = filter_load(PROC_SPAWNER);
	if (rc != 0)
		die("filter of the spawner", -rc);
}

static int
open_tree_of(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die(path, errno);
	return fd;
}

static uint32_t
number_of(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 10);
}

int
main(int argc, char **argv)
{
	struct probe p = { .plan = { .home = -1, .cgroup = -1, .first_id = FIRST_ID },
		.inside = { .tmp_bytes = 16 << 20,
		    .tmp_inodes = 1000,
		    .ptys = 4,
		    .hostname = "fog-probe" },
		.limits = { 256, 256, 64 },
		.exec_mark = -1 };
	unsigned runs = 0;
	int c;

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < COUNT_OF(attempts); i++)
			puts(attempts[i].name);
		return 0;
	}
	while ((c = getopt(argc, argv, "+tn:h:H:b:")) != -1) {
		if (c == 't')
			p.on_terminal = true;
		else if (c == 'n')
			runs = number_of(optarg);
		else if (c == 'h')
			p.plan.home = open_tree_of(optarg);
		else if (c == 'H')
			p.plan.home_first_id = number_of(optarg);
		else if (c == 'b')
			p.plan.first_id = number_of(optarg);
		else
			return 2;
	}
	if (argc - optind < 3)
		return 2;
	if (p.plan.home_first_id == 0)
		p.plan.home_first_id = p.plan.first_id;
	p.plan.image = open_tree_of(argv[optind]);
	p.plan.writable = open_tree_of(argv[optind + 1]);
	p.argv = argv + optind + 2;
	be_as_the_spawner();
	return runs ? measure(&p, runs) : run_once(&p);
}
