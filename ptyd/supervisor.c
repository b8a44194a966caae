/* SPDX-License-Identifier: MIT */
/* fogd: opens, starts, wires, watches, restarts. It parses its environment and nothing else. */
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

#define STEADY_MS 10000 /* alive this long: the next death is a first one again */
#define STOP_PATIENCE_S 3

static const struct program programs[FOGD_ROLES] = {
	{ PROC_GATEWAYD, "gatewayd", "gateway", ROOT_EMPTY },
	{ PROC_AUTHD, "authd", "auth", ROOT_EMPTY },
	{ PROC_PLACERD, "placerd", "placer", ROOT_STATE },
	{ PROC_PTYD, "ptyd", "pty", ROOT_SESSIONS },
	{ PROC_SPAWNER, "spawner", NULL, ROOT_SESSIONS },
	{ PROC_FETCHER, "fetcher", "fetch", ROOT_EMPTY },
	{ PROC_PROBER, "prober", "probe", ROOT_EMPTY },
};

struct options {
	bool check, print, verbose;
};

static struct fogd fogd;

/* --- what follows a role's end --- */

static void
leave_when_all_ended(struct fogd *f)
{
	FOR_EACH_CHILD(f, c) {
		if (c->pid != 0)
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
	FOR_EACH_CHILD(f, c)
		peer_send(c->control, MSG_CTL_STOP, 0, NULL, &order, -1);
	event_base_loopexit(f->base, &patience);
	leave_when_all_ended(f);
}

/* The first restart is at once, the following ones wait longer and longer (R6). */
static void
restart(struct child *c)
{
	static const struct timeval waits[] = { { 0, 0 }, { 0, 100000 }, { 0, 200000 },
		{ 0, 400000 }, { 0, 800000 }, { 1, 600000 }, { 2, 0 } };

	if (mono_ms() - c->started_mono_ms > STEADY_MS)
		c->failures = 0;
	event_add(c->restart, &waits[c->failures]);
	if (c->failures < COUNT_OF(waits) - 1)
		c->failures++;
}

static void
on_restart(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;

	(void)fd;
	(void)what;
	if (c->fogd->stopping)
		return;
	if (child_start(c) == 0)
		child_wire_all(c);
	else
		restart(c);
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

/*
 * Holders whose spawner died are ours (subreaper). Roles are told by their pidfds; one of them
 * may stand before others here, so that its end has to look again.
 */
static void
reap_orphans(struct fogd *f)
{
	siginfo_t info = { 0 };

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
		FOR_EACH_CHILD(f, c) {
			if (c->pid == info.si_pid)
				return;
		}
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
		info.si_pid = 0;
	}
}

/* The next gatewayd punishes the source that this one died for: how it died is fogd's to say. */
static void
note_death(const struct child *c, int status, int code)
{
	bool told = status == SIGKILL || status == SIGTERM || status == SIGINT;
	uint32_t word = (code == CLD_EXITED ? status == 0 : told) ? PENALTY_DEATH_OTHER
								  : PENALTY_DEATH_CRASH;

	if (c->program->id == PROC_GATEWAYD &&
	    pwrite(c->gifts[GIFT_GATEWAYD_PENALTIES], &word, sizeof(word), 0) != sizeof(word))
		log_warn("event=death_not_noted");
}

void
fogd_child_ended(struct child *c, int status, int code)
{
	struct fogd *f = c->fogd;

	log_end(c, status, code);
	note_death(c, status, code);
	reap_orphans(f);
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
	FOR_EACH_CHILD(f, each) {
		if (!each->ready)
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
	if (number == SIGCHLD)
		reap_orphans(arg);
	else if (number == SIGHUP)
		reload_begin(arg);
	else
		stop(arg, number == SIGQUIT, 0);
}

static void
watch_signals(struct fogd *f)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGCHLD };

	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		event_add(evsignal_new(f->base, numbers[i], on_signal, f), NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* --- start --- */

static _Noreturn void
usage(int status)
{
	fputs("usage: fogd [-dv]      run (in the foreground; -d for a terminal, -v more log)\n"
	      "       fogd -n         check the configuration\n"
	      "       fogd -T         print the configuration as understood\n"
	      "Configuration is by environment variables: fog-gateway.env(5)\n",
	    status == 0 ? stdout : stderr);
	exit(status);
}

static void
parse_options(int argc, char **argv, struct options *o)
{
	int c;

	while ((c = getopt(argc, argv, "nTdvh")) != -1) {
		o->check |= c == 'n';
		o->print |= c == 'T';
		o->verbose |= c == 'v';
		if (c == 'h' || c == '?')
			usage(c == 'h' ? 0 : 2);
	}
	if (optind == argc)
		return;
	fprintf(stderr, "fogd: %s: takes no arguments\n", argv[optind]);
	usage(2);
}

static void
give_up(const char *err)
{
	fprintf(stderr, "fogd: %s\n", err);
	exit(1);
}

static void
read_environment(struct fogd *f, bool verbose)
{
	char err[ERR_SIZE];

	if (verbose)
		setenv("LOG_LEVEL", "debug", 1);
	if (config_from_env(&f->config, config_user_env, err, sizeof(err)) != 0)
		give_up(err);
	config_clear_env();
}

/* -n and -T: what run() would open, but neither bound nor made. The files' own parser, dropped,
 * checks or prints them. */
static int
check(struct fogd *f, bool print)
{
	const struct config *c = &f->config;
	int out = print ? STDOUT_FILENO : STDERR_FILENO;
	char err[ERR_SIZE], nodes[ERR_SIZE], host[65] = "";

	if (print)
		config_print(c, stdout);
	fflush(stdout);
	if (gifts_open(f, true, err) != 0)
		give_up(err);
	if (child_run_check(f, PROC_PLACERD, print ? "-T" : "-n", c->policy_config,
		GIFT_PLACERD_POLICY, out) != 0)
		return 1;
	/* It has no configuration: what the file is held against goes along. */
	gethostname(host, sizeof(host) - 1);
	snprintf(nodes, sizeof(nodes), "%s\n%s\n%s", c->fleet_origins,
	    *c->node_name ? c->node_name : host, c->nodes_config);
	return *c->nodes_config &&
	    child_run_check(f, PROC_PLACERD, print ? "-P" : "-N", nodes, GIFT_PLACERD_NODES, out) !=
	    0;
}

static void
prepare_table(struct fogd *f)
{
	f->rooted = geteuid() == 0;
	for (size_t i = 0; i < FOGD_ROLES; i++) {
		f->children[i] = (struct child){ .fogd = f, .program = &programs[i] };
		f->children[i].exe_fd = f->children[i].pidfd = -1;
		memset(f->children[i].gifts, -1, sizeof(f->children[i].gifts));
	}
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
		log_warnx("event=dev_mode detail=\"%sloopback only\" runtime=%s",
		    *f->config.oidc_issuer_url ? "" : "any bearer token is taken; ",
		    f->config.runtime);
}

static void
confine(struct fogd *f)
{
	const char *step = f->rooted ? privdrop_limit_caps(privdrop_fogd_caps) : NULL;

	if (step)
		give_up(step);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (filter_load(PROC_FOGD) != 0)
		give_up("cannot load the seccomp filter");
}

static void
start_all(struct fogd *f)
{
	FOR_EACH_CHILD(f, c) {
		c->restart = evtimer_new(f->base, on_restart, c);
		if (!c->restart || child_start(c) != 0)
			give_up("cannot start the roles");
		child_wire_all(c); /* to those that run already */
	}
}

static int
run(struct fogd *f)
{
	char err[ERR_SIZE];

	if (gifts_open(f, false, err) != 0)
		give_up(err);
	f->base = event_base_new();
	if (!f->base)
		give_up("out of memory");
	notify_init(f->base);
	watch_signals(f);
	privdrop_core_limit(); /* here it may still be raised: sudo(8) makes it 0 */
	confine(f);
	say_what_is_missing(f);
	start_all(f);
	event_base_dispatch(f->base);
	FOR_EACH_CHILD(f, c) {
		child_kill(c);
		logpipe_free(c->log);
	}
	return f->status;
}

/* Started with one of 0, 1, 2 closed, the next open would land there. */
static void
fill_standard_descriptors(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
		;
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
	if (o.print || o.check)
		return check(&fogd, o.print);
	log_set_sink(logpipe_own_sink);
	log_init(STDERR_FILENO, (enum log_level)config_log_level(&fogd.config));
	return run(&fogd);
}
