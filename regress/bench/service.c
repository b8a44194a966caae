/* SPDX-License-Identifier: MIT */
/* A private instance: see service.h. */
#include "regress/bench/service.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"
#include "regress/bench/procstat.h"

#define START_S 15
#define STOP_S 8
#define LINGER_S 8 /* a holder with nobody to tell its end to stays for 5 s */
#define LOG_SHOWN_BYTES 2048
#define LOG_READ_BYTES (64 << 10)

static struct {
	char dir[256];
	char run_dir[64]; /* on tmpfs, as /run is: its records are fsynced */
	pid_t pid;        /* 0: not running */
	uint16_t port;
} service;

static char *
path_in_dir(const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", service.dir, name) < 0)
		bench_fail("out of memory");
	return path;
}

static void
write_policy(void)
{
	cleanup_free char *path = path_in_dir("policy.yaml");
	FILE *f = fopen(path, "we");

	if (!f)
		bench_fail_errno("%s", path);
	fprintf(f,
	    "profiles:\n"
	    "  - name: default\n"
	    "    cpu: \"4\"\n"
	    "    memory: \"4Gi\"\n"
	    "    storage: \"4Gi\"\n"
	    "    max_ttl_seconds: 3600\n"
	    "    max_sessions: %d\n"
	    "    allowed_groups: []\n",
	    SERVICE_SESSIONS_MAX);
	if (fclose(f) != 0)
		bench_fail_errno("%s", path);
}

/* out is empty until it is made, so that only what is ours is removed. */
static int
make_temp_dir(const char *parent, char *out, size_t size)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/fog-bench-XXXXXX", parent);
	if (strlen(path) >= size || !mkdtemp(path))
		return -1;
	memcpy(out, path, strlen(path) + 1);
	return chmod(out, 0755); /* sessions read the flood's file */
}

static void
make_dirs(void)
{
	const char *tmp = getenv("TMPDIR");
	cleanup_free char *state = NULL;

	umask(022);
	if (make_temp_dir(tmp ? tmp : "/tmp", service.dir, sizeof(service.dir)) != 0 ||
	    make_temp_dir("/dev/shm", service.run_dir, sizeof(service.run_dir)) != 0)
		bench_fail_errno("a temporary folder");
	state = path_in_dir("state");
	if (mkdir(state, 0755) != 0)
		bench_fail_errno("%s", state);
	write_policy();
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	remove(path);
	return 0;
}

static void
remove_dir(char *path)
{
	if (path[0] != '\0')
		nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	path[0] = '\0';
}

/* The last bytes of the service's log, NUL-terminated; free() it. */
static char *
read_log(size_t most)
{
	cleanup_free char *path = path_in_dir("log");
	char *text = calloc(1, most + 1);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	off_t from = size > (off_t)most ? size - (off_t)most : 0;

	if (!text)
		bench_fail("out of memory");
	if (fd >= 0 && pread(fd, text, most, from) < 0)
		text[0] = '\0';
	return text;
}

static _Noreturn void
fail_with_log(const char *what)
{
	cleanup_free char *text = read_log(LOG_SHOWN_BYTES);

	fprintf(stderr, "--- the end of fogd's log\n%s---\n", text);
	bench_fail("the service %s", what);
}

static _Noreturn void
become_fogd(const char *fogd, pid_t parent)
{
	cleanup_free char *log = path_in_dir("log");
	const char *path = getenv("PATH");
	char policy[300], run[300], state[300], search[1024];
	char *env[] = { "USE_STUB_CONNECTOR=1", "LISTEN_ADDR=127.0.0.1:0", "METRICS_ADDR=off",
		policy, run, state, search, NULL };
	char *argv[] = { (char *)(uintptr_t)fogd, "-d", NULL };
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

	snprintf(policy, sizeof(policy), "POLICY_CONFIG=%s/policy.yaml", service.dir);
	snprintf(run, sizeof(run), "RUN_DIR=%s", service.run_dir);
	snprintf(state, sizeof(state), "STATE_DIR=%s/state", service.dir);
	snprintf(search, sizeof(search), "PATH=%s", path ? path : "/usr/bin:/bin");
	setsid(); /* ^C is for the benchmark, which then stops the service in its way */
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	if (getppid() == parent)
		execve(fogd, argv, env);
	perror(fogd);
	_exit(127);
}

static bool
has_ended(void)
{
	if (service.pid == 0 || waitpid(service.pid, NULL, WNOHANG) == 0)
		return false;
	service.pid = 0;
	return true;
}

/* The port in `event=listening addr=127.0.0.1:PORT`, once `event=ready` is there too; or 0. */
static uint16_t
port_of_ready(const char *log)
{
	static const char listening[] = "event=listening addr=127.0.0.1:";
	const char *at = strstr(log, listening);

	if (!at || !strstr(log, "event=ready"))
		return 0;
	return (uint16_t)strtoul(at + strlen(listening), NULL, 10);
}

static bool
is_ready(void)
{
	char *log = read_log(LOG_READ_BYTES);

	service.port = port_of_ready(log);
	free(log);
	return service.port != 0;
}

static void
wait_ready(void)
{
	double deadline_s = bench_now_s() + START_S;

	while (!is_ready()) {
		bool is_over = has_ended();

		if (is_over || bench_now_s() > deadline_s)
			fail_with_log(is_over ? "did not start" : "was not ready in time");
		bench_sleep_ms(10);
	}
}

void
service_start(void)
{
	const char *build = getenv("FOG_BUILD");
	cleanup_free char *fogd = NULL;
	pid_t self = getpid();

	bench_doing("starting the service");
	if (asprintf(&fogd, "%s/sbin/fogd", build ? build : "build") < 0)
		bench_fail("out of memory");
	if (access(fogd, X_OK) != 0)
		bench_fail_errno("%s (FOG_BUILD names the build tree)", fogd);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* a holder that stays becomes our child and is seen */
	atexit(service_stop);
	make_dirs();
	service.pid = fork();
	if (service.pid == 0)
		become_fogd(fogd, self);
	if (service.pid < 0)
		bench_fail_errno("fork");
	wait_ready();
}

static bool
wait_until(bool (*is_over)(void), unsigned seconds)
{
	double deadline_s = bench_now_s() + seconds;

	while (!is_over()) {
		if (bench_now_s() > deadline_s)
			return false;
		usleep(10000);
	}
	return true;
}

static bool
no_holder_left(void)
{
	pid_t pid;

	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return proc_descendants(getpid(), "holder", &pid, 1) == 0;
}

static void
kill_holders(void)
{
	pid_t left[SERVICE_SESSIONS_MAX];
	size_t n = proc_descendants(getpid(), "holder", left, COUNT_OF(left));

	for (size_t i = 0; i < n; i++) {
		fprintf(stderr, "bench: holder %d was left over: killed\n", (int)left[i]);
		kill(left[i], SIGKILL);
	}
}

void
service_stop(void)
{
	if (service.pid > 0 && kill(service.pid, SIGQUIT) == 0 && !wait_until(has_ended, STOP_S)) {
		fprintf(stderr, "bench: fogd did not stop: killed\n");
		kill(service.pid, SIGKILL);
		wait_until(has_ended, STOP_S);
	}
	if (!wait_until(no_holder_left, LINGER_S))
		kill_holders();
	remove_dir(service.dir);
	remove_dir(service.run_dir);
}

uint16_t
service_port(void)
{
	return service.port;
}

pid_t
service_pid(void)
{
	return service.pid;
}

const char *
service_dir(void)
{
	return service.dir;
}

pid_t
service_process(const char *name)
{
	pid_t found[PIDS_MAX / 8];
	size_t n = proc_descendants(service.pid, name, found, COUNT_OF(found));

	if (n == 0)
		bench_fail("no %s is running", name);
	return found[n - 1];
}
