/* SPDX-License-Identifier: MIT */
/* fogd: opens, starts, wires, watches, restarts. It parses its environment and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/mono.h"
#include "common/privdrop.h"
#include "ptyd/fogd.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS 2000
#define STEADY_MS 10000 /* alive this long: the next death is a first one again */
#define STOP_PATIENCE_S 3

const struct program programs[FOGD_ROLES] = {
	{ PROC_GATEWAYD, "gatewayd", "gateway", ROOT_EMPTY },
	{ PROC_AUTHD, "authd", "auth", ROOT_EMPTY },
	{ PROC_PLACERD, "placerd", "placer", ROOT_STATE },
	{ PROC_PTYD, "ptyd", "pty", ROOT_SESSIONS },
	{ PROC_SPAWNER, "spawner", NULL, ROOT_SESSIONS },
};

struct options {
	bool check, print, foreground;
	bool verbose;
};

static struct fogd fogd;

/* --- what follows a role's end --- */

static void
leave_when_all_ended(struct fogd *f)
{
	for (size_t i = 0; i < FOGD_ROLES; i++) {
		if (f->children[i].pid != 0)
			return;
	}
	event_base_loopbreak(f->base);
}

static void
stop(struct fogd *f, bool end_sessions, int status)
{
	struct pl_stop order = { .end_sessions = end_sessions };
	struct timeval patience = { .tv_sec = STOP_PATIENCE_S };

	if (f->stopping)
		return;
	f->stopping = true;
	f->status = status;
	notify_send("STOPPING=1");
	log_info("event=stopping sessions=%s", end_sessions ? "end" : "stay");
	for (size_t i = 0; i < FOGD_ROLES; i++) {
		if (f->children[i].control)
			peer_send(f->children[i].control, MSG_CTL_STOP, 0, NULL, &order, -1);
	}
	event_base_loopexit(f->base, &patience);
	leave_when_all_ended(f);
}

static void
start_and_wire(struct child *c)
{
	struct timeval soon = { .tv_usec = BACKOFF_FIRST_MS * 1000 };

	if (child_start(c) == 0)
		child_wire_all(c);
	else
		event_add(c->restart, &soon);
}

static void
on_restart(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start_and_wire(arg);
}

/* The first restart is at once, the following ones wait longer and longer (R6). */
static void
restart(struct child *c)
{
	struct timeval wait = { 0 };
	unsigned ms;

	if (mono_ms() - c->started_mono_ms > STEADY_MS)
		c->failures = 0;
	ms = c->failures == 0 ? 0 : BACKOFF_FIRST_MS << (c->failures < 6 ? c->failures - 1 : 5);
	if (ms > BACKOFF_MOST_MS)
		ms = BACKOFF_MOST_MS;
	c->failures++;
	wait.tv_sec = ms / 1000;
	wait.tv_usec = (ms % 1000) * 1000;
	event_add(c->restart, &wait);
}

static void
log_end(const struct child *c, int status, int code)
{
	const char *role = proc_name(c->program->id);

	if (code == CLD_EXITED)
		log_info("event=role_ended role=%s exit=%d", role, status);
	else if (status == SIGSYS)
		log_warnx("event=filter_violation role=%s", role);
	else
		log_warnx("event=role_ended role=%s signal=%s", role, sigabbrev_np(status));
}

void
fogd_child_ended(struct child *c, int status, int code)
{
	struct fogd *f = c->fogd;

	log_end(c, status, code);
	if (f->stopping) {
		leave_when_all_ended(f);
		return;
	}
	reload_child_gone(c);
	if (!f->announced) { /* a fault of the start, such as a bad policy: no second try */
		stop(f, false, 1);
		return;
	}
	restart(c);
}

void
fogd_child_ready(struct child *c)
{
	struct fogd *f = c->fogd;

	if (f->announced || f->stopping)
		return;
	for (size_t i = 0; i < FOGD_ROLES; i++) {
		if (!f->children[i].ready)
			return;
	}
	f->announced = true;
	notify_send("READY=1");
	log_info("event=ready");
}

/* --- signals; libevent's handler writes one byte to a socket pair (S4) --- */

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)what;
	if (number == SIGHUP)
		reload_begin(arg);
	else
		stop(arg, number == SIGQUIT, 0);
}

/* Holders whose spawner died are ours to reap (subreaper); roles are told by their pidfds. */
static void
on_sigchld(evutil_socket_t number, short what, void *arg)
{
	struct fogd *f = arg;
	siginfo_t info = { 0 };

	(void)number;
	(void)what;
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
		for (size_t i = 0; i < FOGD_ROLES; i++) {
			if (f->children[i].pid == info.si_pid)
				return; /* its pidfd is readable; come back after that */
		}
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
		info.si_pid = 0;
	}
}

static void
watch_signals(struct fogd *f)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP };

	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		event_add(evsignal_new(f->base, numbers[i], on_signal, f), NULL);
	event_add(evsignal_new(f->base, SIGCHLD, on_sigchld, f), NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* --- start --- */

static void
usage(FILE *out)
{
	fputs("usage: fogd [-dv]      run (in the foreground; -d for a terminal, -v more log)\n"
	      "       fogd -n         check the configuration\n"
	      "       fogd -T         print the configuration as understood\n"
	      "Configuration is by environment variables: fog-gateway.env(5)\n",
	    out);
}

static void
parse_options(int argc, char **argv, struct options *o)
{
	int c;

	while ((c = getopt(argc, argv, "nTdvh")) != -1) {
		switch (c) {
		case 'n':
			o->check = true;
			break;
		case 'T':
			o->print = true;
			break;
		case 'd':
			o->foreground = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind != argc) {
		fprintf(stderr, "fogd: %s: takes no arguments\n", argv[optind]);
		usage(stderr);
		exit(2);
	}
}

static void
give_up(const char *err)
{
	fprintf(stderr, "fogd: %s\n", err);
	exit(1);
}

static const char *
xdg_dir(const char *variable, const char *fallback, char *out, size_t out_size)
{
	const char *base = getenv(variable), *home = getenv("HOME");

	if (base && *base == '/')
		snprintf(out, out_size, "%s/cloudshell-fog", base);
	else if (home && *home == '/')
		snprintf(out, out_size, "%s/%s/cloudshell-fog", home, fallback);
	else
		return NULL;
	return out;
}

/* Started without root: our directories follow the user's (XDG Base Directory). */
static const char *
environment(const char *name)
{
	static char run[512], state[512];
	const char *value = getenv(name);

	if ((value && *value) || geteuid() == 0)
		return value;
	if (strcmp(name, "RUN_DIR") == 0)
		return xdg_dir("XDG_RUNTIME_DIR", ".cache", run, sizeof(run));
	if (strcmp(name, "STATE_DIR") == 0)
		return xdg_dir("XDG_STATE_HOME", ".local/state", state, sizeof(state));
	return value;
}

static void
read_environment(struct fogd *f, bool verbose)
{
	char err[1024];

	if (config_from_env(&f->config, environment, err, sizeof(err)) != 0)
		give_up(err);
	config_clear_env();
	if (verbose) {
		free(f->config.log_level);
		f->config.log_level = strdup("debug");
	}
}

/* What run() would open, but neither bound nor made. */
static int
check_values(struct fogd *f, char *err, size_t err_size)
{
	const struct config *c = &f->config;

	if (bindaddr_check("LISTEN_ADDR", c->listen_addr, c->use_stub, err, err_size) != 0)
		return -1;
	if (strcmp(c->metrics_addr, "off") != 0 &&
	    bindaddr_check("METRICS_ADDR", c->metrics_addr, false, err, err_size) != 0)
		return -1;
	if (gifts_find_users(f, err, err_size) != 0 ||
	    gifts_open_files(c, &f->files, err, err_size) != 0)
		return -1;
	return gifts_open_key(&f->config, &f->signing_key, err, err_size);
}

/* The policy's own parser, dropped, checks it (-n) or prints it (-T). */
static int
run_policy_check(struct fogd *f, const char *option, int out)
{
	char prefix[4096], path[4200];
	struct child *placer = child_of(f, PROC_PLACERD);

	if (gifts_find_prefix(prefix, sizeof(prefix)) != 0)
		give_up("cannot tell where this program is installed");
	snprintf(path, sizeof(path), "%s/libexec/cloudshell-fog/placerd", prefix);
	placer->exe_fd = open(path, O_PATH | O_CLOEXEC);
	if (placer->exe_fd < 0)
		give_up("placerd: not installed beside this program");
	return child_run_check(f, PROC_PLACERD, option, f->config.policy_config, f->files.policy,
	    out);
}

static int
check(struct fogd *f)
{
	char err[1024];

	if (check_values(f, err, sizeof(err)) != 0)
		give_up(err);
	return run_policy_check(f, "-n", STDERR_FILENO) == 0 ? 0 : 1;
}

static int
print(struct fogd *f)
{
	char err[1024];

	config_print(&f->config, stdout);
	fflush(stdout);
	if (check_values(f, err, sizeof(err)) != 0)
		give_up(err);
	return run_policy_check(f, "-T", STDOUT_FILENO) == 0 ? 0 : 1;
}

static void
prepare_table(struct fogd *f)
{
	f->rooted = geteuid() == 0;
	for (size_t i = 0; i < FOGD_ROLES; i++) {
		f->children[i] = (struct child){ .fogd = f,
			.program = &programs[i],
			.exe_fd = -1,
			.pidfd = -1 };
	}
	f->next_files = f->files = (struct files){ -1, -1, -1 };
	f->listener = f->metrics = f->page = f->signing_key = f->audit = f->lock = -1;
	f->holder_exe = f->init_memfd = -1;
}

static void
say_what_is_missing(const struct fogd *f)
{
	if (!f->rooted)
		log_warnx("event=unprivileged missing=\"own users, empty root directories, pid "
			  "namespaces, distinct session ids\" detail=\"started without root; "
			  "no_new_privs, limits and filters are on\"");
	if (!filter_is_built())
		log_warnx("event=no_filters detail=\"this is a sanitizer build\"");
	if (f->config.use_stub)
		log_warnx("event=dev_mode detail=\"any bearer token is taken and shells are not "
			  "sandboxed; loopback only\"");
}

static void
confine(struct fogd *f)
{
	const char *step = f->rooted ? privdrop_limit_caps(privdrop_fogd_caps) : NULL;

	if (step)
		give_up(step);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (filter_load(PROC_FOGD) != 0)
		give_up("cannot load the seccomp filter");
}

static void
start_all(struct fogd *f)
{
	for (size_t i = 0; i < FOGD_ROLES; i++) {
		struct child *c = &f->children[i];

		c->restart = evtimer_new(f->base, on_restart, c);
		if (!c->restart || child_start(c) != 0)
			give_up("cannot start the roles");
	}
	for (int edge = EDGE_CONTROL + 1; edge < EDGE_COUNT; edge++)
		child_wire(f, (enum edge)edge);
}

static int
run(struct fogd *f)
{
	char err[1024];

	notify_init();
	if (gifts_open(f, err, sizeof(err)) != 0)
		give_up(err);
	f->base = event_base_new();
	if (!f->base)
		give_up("out of memory");
	watch_signals(f);
	confine(f);
	say_what_is_missing(f);
	start_all(f);
	event_base_dispatch(f->base);
	for (size_t i = 0; i < FOGD_ROLES; i++) {
		child_kill(&f->children[i]);
		logpipe_free(f->children[i].log);
	}
	return f->status;
}

/* Started with one of 0, 1, 2 closed, the next open would land there. */
static void
fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close_fd(&fd);
}

int
main(int argc, char **argv)
{
	struct options o = { 0 };

	fill_standard_descriptors();
	parse_options(argc, argv, &o);
	umask(022);
	prepare_table(&fogd);
	read_environment(&fogd, o.verbose);
	if (o.print)
		return print(&fogd);
	if (o.check)
		return check(&fogd);
	log_set_sink(logpipe_own_sink);
	log_init(STDERR_FILENO, (enum log_level)config_log_level(&fogd.config));
	return run(&fogd);
}
