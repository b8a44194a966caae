/* SPDX-License-Identifier: MIT */
/* Private instances: see service.h. */
#include "regress/bench/service.h"

#include <errno.h>
#include <fcntl.h>
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
#include "regress/bench/box.h"
#include "regress/bench/child.h"
#include "regress/bench/procstat.h"
#include "regress/bench/tempdir.h"

#define START_S 15
#define STOP_S 8
#define OPENSSL_S 10
#define LINGER_S 8 /* a holder with nobody to tell its end to stays for 5 s */
#define LOG_SHOWN_BYTES 2048
#define LOG_LINE_BYTES 600
#define LOG_READ_BYTES (64 << 10)

struct instance {
	char dir[256];
	char run_dir[64]; /* on tmpfs, as /run is: its records are fsynced */
	pid_t pid;        /* 0: not running */
	uint16_t port;
	bool is_tls, is_sandbox;
};

static struct instance instances[SERVICE_COUNT];
static pid_t owner; /* a child of ours that gives up stops nothing */

static char *
path_in_dir(const struct instance *in, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", in->dir, name) < 0)
		bench_fail("out of memory");
	return path;
}

/* A sandbox is of the only image that there is; here no cgroup can be asked for. */
static void
write_profile(FILE *f, const struct instance *in)
{
	fprintf(f,
	    "profiles:\n"
	    "  - name: default\n"
	    "    cpu: \"4\"\n"
	    "    memory: \"4Gi\"\n"
	    "    storage: \"%s\"\n"
	    "    max_ttl_seconds: 3600\n"
	    "    max_sessions: %d\n"
	    "    allowed_groups: []\n",
	    in->is_sandbox ? "1Gi" : "4Gi", SERVICE_SESSIONS_MAX);
	if (in->is_sandbox)
		fprintf(f, "    images: [\"%s\"]\n    limits: best-effort\n", box_image());
}

static void
write_policy(struct instance *in)
{
	cleanup_free char *path = path_in_dir(in, "policy.yaml");
	FILE *f = fopen(path, "we");

	if (!f)
		bench_fail_errno("%s", path);
	write_profile(f, in);
	if (fclose(f) != 0)
		bench_fail_errno("%s", path);
}

static void
make_dirs(struct instance *in)
{
	cleanup_free char *state = NULL;

	umask(022);
	if (tempdir_make(tempdir_parent(), in->dir, sizeof(in->dir)) != 0 ||
	    tempdir_make("/dev/shm", in->run_dir, sizeof(in->run_dir)) != 0)
		bench_fail_errno("a temporary folder");
	state = path_in_dir(in, "state");
	if (mkdir(state, 0755) != 0)
		bench_fail_errno("%s", state);
	write_policy(in);
}

/* Self-signed: the clients here check no certificate. */
static void
make_certificate(const struct instance *in)
{
	cleanup_free char *cert = path_in_dir(in, "cert.pem");
	cleanup_free char *key = path_in_dir(in, "key.pem");
	char *argv[] = { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-out",
		cert, "-keyout", key, NULL };
	pid_t pid = child_start();

	if (pid == 0)
		child_exec(argv, environ, NULL);
	if (child_join(pid, OPENSSL_S) != 0)
		bench_fail("the openssl command made no certificate");
}

/* The last bytes of the service's log, NUL-terminated; free() it. */
static char *
read_log(const struct instance *in, size_t most)
{
	cleanup_free char *path = path_in_dir(in, "log");
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
become_fogd(const struct instance *in, const char *fogd, pid_t parent)
{
	cleanup_free char *log = path_in_dir(in, "log");
	const char *path = getenv("PATH");
	char policy[300], run[300], state[400], search[1024], cert[300], key[300];
	char *env[] = { "USE_STUB_CONNECTOR=1", in->is_sandbox ? "RUNTIME=sandbox" : "RUNTIME=stub",
		"LISTEN_ADDR=127.0.0.1:0", "METRICS_ADDR=off", "ATTACHES_PER_MINUTE=0",
		"CREATES_PER_MINUTE=0", policy, run, state, search, in->is_tls ? cert : NULL, key,
		NULL };
	char *argv[] = { (char *)(uintptr_t)fogd, "-d", NULL };
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

	snprintf(policy, sizeof(policy), "POLICY_CONFIG=%s/policy.yaml", in->dir);
	snprintf(run, sizeof(run), "RUN_DIR=%s", in->run_dir);
	if (in->is_sandbox)
		snprintf(state, sizeof(state), "STATE_DIR=%s", box_state_dir());
	else
		snprintf(state, sizeof(state), "STATE_DIR=%s/state", in->dir);
	snprintf(cert, sizeof(cert), "TLS_CERT_FILE=%s/cert.pem", in->dir);
	snprintf(key, sizeof(key), "TLS_KEY_FILE=%s/key.pem", in->dir);
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
has_ended(struct instance *in)
{
	if (in->pid == 0 || waitpid(in->pid, NULL, WNOHANG) == 0)
		return false;
	in->pid = 0;
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
is_ready(struct instance *in)
{
	char *log = read_log(in, LOG_READ_BYTES);

	in->port = port_of_ready(log);
	free(log);
	return in->port != 0;
}

/* NULL, or what is wrong. */
static const char *
wait_ready(struct instance *in)
{
	double deadline_s = bench_now_s() + START_S;

	while (!is_ready(in)) {
		if (has_ended(in))
			return "did not start";
		if (bench_now_s() > deadline_s)
			return "was not ready in time";
		bench_sleep_ms(10);
	}
	return NULL;
}

static bool
no_holder_left(struct instance *in)
{
	pid_t pid;

	(void)in;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return proc_descendants(getpid(), "holder", &pid, 1) == 0;
}

static bool
wait_until(bool (*is_over)(struct instance *in), struct instance *in, unsigned seconds)
{
	double deadline_s = bench_now_s() + seconds;

	while (!is_over(in)) {
		if (bench_now_s() > deadline_s)
			return false;
		usleep(10000);
	}
	return true;
}

static void
stop_fogd(struct instance *in)
{
	if (in->pid == 0 || kill(in->pid, SIGQUIT) != 0 || wait_until(has_ended, in, STOP_S))
		return;
	fprintf(stderr, "bench: fogd did not stop: killed\n");
	kill(in->pid, SIGKILL);
	wait_until(has_ended, in, STOP_S);
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

static void
stop_all(void)
{
	if (getpid() != owner)
		return;
	for (size_t i = 0; i < COUNT_OF(instances); i++)
		stop_fogd(&instances[i]);
	if (!wait_until(no_holder_left, NULL, LINGER_S))
		kill_holders();
	for (size_t i = 0; i < COUNT_OF(instances); i++) {
		tempdir_remove(instances[i].dir);
		tempdir_remove(instances[i].run_dir);
	}
}

static void
stop_at_exit(void)
{
	if (owner != 0)
		return;
	owner = getpid();
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* a holder that stays becomes our child and is seen */
	atexit(stop_all);
}

static const char *
start(enum service s)
{
	struct instance *in = &instances[s];
	const char *build = getenv("FOG_BUILD");
	cleanup_free char *fogd = NULL;
	pid_t self = getpid();

	bench_doing("starting the service");
	if (asprintf(&fogd, "%s/sbin/fogd", build ? build : "build") < 0)
		bench_fail("out of memory");
	if (access(fogd, X_OK) != 0)
		bench_fail_errno("%s (FOG_BUILD names the build tree)", fogd);
	stop_at_exit();
	in->is_tls = s == SERVICE_TLS;
	in->is_sandbox = s == SERVICE_SANDBOX;
	make_dirs(in);
	if (in->is_tls)
		make_certificate(in);
	in->pid = fork();
	if (in->pid == 0)
		become_fogd(in, fogd, self);
	if (in->pid < 0)
		bench_fail_errno("fork");
	return wait_ready(in);
}

void
service_start(enum service s)
{
	const char *wrong = start(s);
	char *text;

	if (!wrong)
		return;
	text = read_log(&instances[s], LOG_SHOWN_BYTES);
	fprintf(stderr, "--- the end of fogd's log\n%s---\n", text);
	bench_fail("the service %s", wrong);
}

/* The line that says it: the first error, or which process failed, or the last line of all. */
static const char *
telling_line(char *log)
{
	static const char *const telling[] = { " error ", " signal=", " exit=1" };
	char *found = NULL, *end;

	for (size_t i = 0; i < COUNT_OF(telling) && !found; i++)
		found = strstr(log, telling[i]);
	if (!found && *log)
		found = log + strlen(log) - 1; /* a newline */
	if (!found)
		return "it said nothing";
	end = strchr(found, '\n');
	if (end)
		*end = '\0';
	found = memrchr(log, '\n', (size_t)(found - log));
	return found ? found + 1 : log;
}

const char *
service_try(enum service s)
{
	static char why[LOG_LINE_BYTES];
	const char *wrong = start(s);
	char *text;

	if (!wrong)
		return NULL;
	text = read_log(&instances[s], LOG_READ_BYTES);
	snprintf(why, sizeof(why), "the service %s: %s", wrong, telling_line(text));
	free(text);
	stop_fogd(&instances[s]);
	return why;
}

uint16_t
service_port(enum service s)
{
	return instances[s].port;
}

pid_t
service_pid(enum service s)
{
	return instances[s].pid;
}

const char *
service_dir(void)
{
	return instances[SERVICE_PLAIN].dir;
}

pid_t
service_process(enum service s, const char *name)
{
	pid_t found[PIDS_MAX / 8];
	size_t n = proc_descendants(instances[s].pid, name, found, COUNT_OF(found));

	if (n == 0)
		bench_fail("no %s is running", name);
	return found[n - 1];
}
