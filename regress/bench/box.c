/* SPDX-License-Identifier: MIT */
/* The sandboxes' common root, and how others are told to make the like of ours: see box.h. */
#include "regress/bench/box.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"
#include "regress/bench/child.h"
#include "regress/bench/tempdir.h"

#define IMAGE_S 60
#define CGROUPS "/sys/fs/cgroup"
#define SEARCH "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"

static struct {
	char dir[256], run_dir[64]; /* the second on tmpfs, as /run is */
	char state[300], bundle[300], log[300], crun_root[100];
	char image[80], rootfs[512];
	char container[64];
	unsigned containers;
	int mounts; /* mount namespace for crun; -1: ours will do */
	pid_t owner;
} box = { .mounts = -1 };

const char *
box_state_dir(void)
{
	return box.state;
}

const char *
box_image(void)
{
	return box.image;
}

const char *
box_log(void)
{
	return box.log;
}

/* --- bwrap --- */

/*
 * It does less than ours: nothing of /proc is covered, there is no filter, and what is written goes
 * to a tmpfs where ours has an overlay on a disk of the session's own (0.8 has no overlay).
 */
void
box_become_bwrap(void)
{
	char *argv[] = { "bwrap", "--unshare-user", "--unshare-pid", "--unshare-net",
		"--unshare-ipc", "--unshare-uts", "--unshare-cgroup", "--uid", "1000", "--gid",
		"1000", "--cap-drop", "ALL", "--hostname", "session", "--die-with-parent",
		"--ro-bind", box.rootfs, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs",
		"/dev/shm", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/home", "--dir",
		"/home/user", "--chdir", "/home/user", "--clearenv", "--setenv", "TERM",
		"xterm-256color", "--setenv", "LANG", "C.UTF-8", "--setenv", "SHELL", "/bin/bash",
		"--setenv", "PATH", SEARCH, "--setenv", "HOME", "/home/user", "--setenv", "USER",
		"user", "--setenv", "LOGNAME", "user", "/bin/bash", "-l", NULL };

	execvp(argv[0], argv);
	perror(argv[0]);
}

/* --- crun --- */

void
box_next_container(void)
{
	snprintf(box.container, sizeof(box.container), "bench-%d-%u", (int)getpid(),
	    box.containers++);
}

/* No cgroup, as ours has none with `limits: best-effort` on a machine without controllers. */
void
box_become_crun(void)
{
	char *argv[] = { "crun", "--root", box.crun_root, "--cgroup-manager=disabled", "run",
		"--bundle", box.bundle, box.container, NULL };

	if (box.mounts >= 0 && setns(box.mounts, CLONE_NEWNS) != 0) {
		perror("setns");
		return;
	}
	execvp(argv[0], argv);
	perror(argv[0]);
}

/*
 * OCI runtime specification 1.0.2. What ours covers in /proc is covered here too, and the list of
 * calls is that of ptyd/shellfilter.c as far as it goes by the call alone. Its user namespace maps
 * each id to itself, since crun has no idmapped root: the work is the same.
 */
static const char bundle_format[] =
    "{\"ociVersion\":\"1.0.2\",\"hostname\":\"session\",\n"
    "\"process\":{\"terminal\":true,\"user\":{\"uid\":1000,\"gid\":1000},\n"
    " \"args\":[\"/bin/bash\",\"-l\"],\"cwd\":\"/home/user\",\n"
    " \"env\":[\"TERM=xterm-256color\",\"LANG=C.UTF-8\",\"SHELL=/bin/bash\",\"PATH=" SEARCH "\",\n"
    "  \"HOME=/home/user\",\"USER=user\",\"LOGNAME=user\"],\n"
    " \"capabilities\":{},\"noNewPrivileges\":true,\n"
    " \"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1024,\"hard\":1024},\n"
    "  {\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":1}]},\n"
    "\"root\":{\"path\":\"%s\",\"readonly\":true},\n"
    "\"mounts\":[\n"
    " {\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},\n"
    " {\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\n"
    "  \"options\":[\"nosuid\",\"mode=755\",\"size=64k\"]},\n"
    " {\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\n"
    "  \"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]},\n"
    " {\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\n"
    "  \"options\":[\"nosuid\",\"nodev\",\"mode=1777\"]},\n"
    " {\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\n"
    "  \"options\":[\"nosuid\",\"nodev\",\"mode=1777\"]},\n"
    " {\"destination\":\"/run\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\n"
    "  \"options\":[\"nosuid\",\"nodev\",\"mode=755\"]},\n"
    " {\"destination\":\"/home\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\n"
    "  \"options\":[\"nosuid\",\"nodev\",\"mode=755\"]}],\n"
    "\"linux\":{\n"
    " \"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":65536}],\n"
    " \"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":65536}],\n"
    " \"namespaces\":[{\"type\":\"user\"},{\"type\":\"mount\"},{\"type\":\"pid\"},\n"
    "  {\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"cgroup\"}],\n"
    " \"maskedPaths\":[\"/proc/acpi\",\"/proc/asound\",\"/proc/buddyinfo\",\"/proc/cmdline\",\n"
    "  \"/proc/config.gz\",\"/proc/driver\",\"/proc/interrupts\",\"/proc/iomem\",\"/proc/ioports\",\n"
    "  \"/proc/kallsyms\",\"/proc/kcore\",\"/proc/key-users\",\"/proc/keys\",\"/proc/kmsg\",\n"
    "  \"/proc/latency_stats\",\"/proc/mdstat\",\"/proc/modules\",\"/proc/sched_debug\",\n"
    "  \"/proc/scsi\",\"/proc/softirqs\",\"/proc/timer_list\",\"/proc/zoneinfo\"],\n"
    " \"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\",\n"
    "  \"/proc/sysrq-trigger\",\"/proc/tty\"],\n"
    " \"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\n"
    "  \"syscalls\":[{\"action\":\"SCMP_ACT_ERRNO\",\"names\":[\"setns\",\"mount\",\"umount2\",\n"
    "   \"pivot_root\",\"move_mount\",\"open_tree\",\"fsopen\",\"fsconfig\",\"fsmount\",\"fspick\",\n"
    "   \"mount_setattr\",\"bpf\",\"perf_event_open\",\"add_key\",\"keyctl\",\"request_key\",\n"
    "   \"userfaultfd\",\"io_uring_setup\",\"io_uring_enter\",\"io_uring_register\",\n"
    "   \"open_by_handle_at\",\"name_to_handle_at\",\"kexec_load\",\"kexec_file_load\",\n"
    "   \"init_module\",\"finit_module\",\"delete_module\",\"swapon\",\"swapoff\",\"reboot\",\n"
    "   \"acct\",\"quotactl\",\"quotactl_fd\",\"syslog\",\"vhangup\",\"settimeofday\",\n"
    "   \"clock_settime\",\"adjtimex\",\"clock_adjtime\",\"iopl\",\"ioperm\",\"modify_ldt\",\n"
    "   \"fanotify_init\",\"lookup_dcookie\",\"uselib\",\"ustat\",\"sysfs\"]}]}}}\n";

static void
write_bundle(void)
{
	cleanup_free char *path = NULL;
	FILE *f;

	if (asprintf(&path, "%s/config.json", box.bundle) < 0)
		bench_fail("out of memory");
	f = fopen(path, "we");
	if (!f || fprintf(f, bundle_format, box.rootfs) < 0 || fclose(f) != 0)
		bench_fail_errno("%s", path);
}

/* crun 1.8 gives up where cgroups are neither version 1 nor 2 alone, whether or not it may use them. */
static void
show_one_hierarchy(int ready)
{
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("cgroup2", CGROUPS, "cgroup2", 0, NULL) != 0 || write(ready, "", 1) != 1)
		_exit(1);
	pause();
	_exit(1);
}

static int
open_mounts_of(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Without it crun itself will say what it misses. */
static void
prepare_mounts(void)
{
	struct statfs fs;
	int ready[2];
	char byte;
	pid_t pid;

	if (statfs(CGROUPS, &fs) != 0 || fs.f_type == CGROUP2_SUPER_MAGIC)
		return;
	if (pipe2(ready, O_CLOEXEC) != 0)
		bench_fail_errno("pipe");
	pid = child_start();
	if (pid == 0)
		show_one_hierarchy(ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) == 1)
		box.mounts = open_mounts_of(pid);
	close(ready[0]);
	child_join(pid, 0);
}

/* --- the image --- */

static void
remove_dirs(void)
{
	if (getpid() != box.owner)
		return;
	tempdir_remove(box.dir);
	tempdir_remove(box.run_dir);
}

static void
make_dirs(void)
{
	cleanup_free char *images = NULL;

	umask(022);
	box.owner = getpid();
	atexit(remove_dirs);
	if (tempdir_make(tempdir_parent(), box.dir, sizeof(box.dir)) != 0 ||
	    tempdir_make("/dev/shm", box.run_dir, sizeof(box.run_dir)) != 0)
		bench_fail_errno("a temporary folder");
	snprintf(box.state, sizeof(box.state), "%s/state", box.dir);
	snprintf(box.bundle, sizeof(box.bundle), "%s/bundle", box.dir);
	snprintf(box.log, sizeof(box.log), "%s/log", box.dir);
	snprintf(box.crun_root, sizeof(box.crun_root), "%s/crun", box.run_dir);
	if (asprintf(&images, "%s/images", box.state) < 0)
		bench_fail("out of memory");
	if (mkdir(box.state, 0755) != 0 || mkdir(images, 0700) != 0 || mkdir(box.bundle, 0755) != 0)
		bench_fail_errno("%s", box.dir);
}

/* "base is sha256:HEX: so many entries, so many bytes" */
static int
parse_created(const char *line)
{
	char hex[65];

	if (sscanf(line, "base is sha256:%64[0-9a-f]:", hex) != 1 || strlen(hex) != 64)
		return -1;
	snprintf(box.image, sizeof(box.image), "sha256:%s", hex);
	snprintf(box.rootfs, sizeof(box.rootfs), "%s/images/sha256-%s/rootfs", box.state, hex);
	return 0;
}

/* What fogctl said: the digest, or why not. */
static const char *
make_image(void)
{
	static char said[400];
	const char *build = getenv("FOG_BUILD");
	cleanup_free char *fogctl = NULL, *store = NULL;
	FILE *f;
	pid_t pid;

	if (asprintf(&fogctl, "%s/bin/fogctl", build ? build : "build") < 0 ||
	    asprintf(&store, "%s/images", box.state) < 0)
		bench_fail("out of memory");
	pid = child_start();
	if (pid == 0) {
		char *argv[] = { fogctl, "image", "create", "base", "--store", store, NULL };

		child_exec(argv, environ, box.log);
	}
	child_join(pid, IMAGE_S);
	f = fopen(box.log, "re");
	if (!f || !fgets(said, sizeof(said), f))
		snprintf(said, sizeof(said), "%s image create base said nothing", fogctl);
	if (f)
		fclose(f);
	said[strcspn(said, "\n")] = '\0';
	return parse_created(said) == 0 ? NULL : said;
}

const char *
box_prepare(void)
{
	const char *why;

	bench_doing("making an image");
	if (geteuid() != 0)
		return "it takes root";
	make_dirs();
	why = make_image();
	if (why)
		return why;
	write_bundle();
	prepare_mounts();
	return NULL;
}
