/* SPDX-License-Identifier: MIT */
/*
 * bench: throughput, latency and memory of the service, as ratios to a bare PTY reader, to two
 * relays without any protocol and to ttyd in the same run, interleaved, and held against bounds;
 * its sandboxes, as ratios to those of bwrap and crun.
 *
 *   bench [--quick] [--only sandbox] [--rounds N] [--strict] [--json FILE]
 *                                                             environment: FOG_BUILD, ROUNDS, TTYD
 *
 * Exits 1 when something could not be measured, with --strict 3 when a bound is not met.
 */
#include "regress/bench/bench.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "regress/bench/box.h"
#include "regress/bench/measure.h"
#include "regress/bench/report.h"
#include "regress/bench/service.h"

#define ROUNDS_MAX 100
#define SECONDS_PER_ROUND 90 /* then the run is given up; 25 to 45 are usual */
#define EXIT_NOT_MET 3
#define LOAD_QUIET 1.0

static const struct effort normal = { .rounds = 5,
	.flood_slices = 32,
	.echo_slices = 20,
	.busy_slices = 12,
	.busy_ms = 50,
	.flow_ms = 1000,
	.stall_ms = 800,
	.prompts = 8,
	.rate_sessions = 16,
	.idle_sessions = 50,
	.box_slices = 20,
	.box_rate_sessions = 32 };
static const struct effort quick = { .rounds = 3,
	.flood_slices = 10,
	.echo_slices = 6,
	.busy_slices = 6,
	.busy_ms = 40,
	.flow_ms = 400,
	.stall_ms = 400,
	.prompts = 4,
	.rate_sessions = 8,
	.idle_sessions = 50,
	.box_slices = 8,
	.box_rate_sessions = 16 };

struct options {
	struct effort effort;
	const char *json;
	bool is_strict, only_sandbox;
};

#define IN_DATA_PATH (IN_FLOOD | IN_ECHO | IN_BUSY_ECHO)
#define IN_SANDBOX (IN_BOX | IN_BOX_RATE | IN_BOX_MEMORY)
#define IN_ALL (IN_DATA_PATH | IN_INTERRUPT | IN_STALL | IN_PROMPT | IN_RATE | IN_IDLE)

static struct contender contenders[] = {
	{ .ops = &terminal_pty, .takes_part = IN_DATA_PATH | IN_PROMPT | IN_BOX },
	{ .ops = &terminal_relay, .takes_part = IN_DATA_PATH | IN_INTERRUPT },
	{ .ops = &terminal_relay2, .takes_part = IN_DATA_PATH | IN_INTERRUPT },
	{ .ops = &terminal_ttyd, .takes_part = IN_ALL },
	{ .ops = &terminal_fog_v1, .takes_part = IN_ALL },
	{ .ops = &terminal_fog_json, .takes_part = IN_FLOOD | IN_ECHO | IN_INTERRUPT | IN_STALL },
	{ .ops = &terminal_fog_v1_tls, .takes_part = IN_ALL & ~(unsigned)IN_RATE },
	{ .ops = &terminal_fog_json_tls, .takes_part = IN_FLOOD },
	{ .ops = &terminal_fog_sandbox, .takes_part = IN_BOX | IN_BOX_RATE | IN_BOX_MEMORY },
	{ .ops = &terminal_bwrap, .takes_part = IN_BOX | IN_BOX_RATE },
	{ .ops = &terminal_crun, .takes_part = IN_BOX | IN_BOX_RATE },
};

/*
 * In every round, one contender after the other. What is over sooner than the scheduler changes its
 * mind is done more than once.
 */
static const struct {
	const char *name;
	unsigned times;
	enum takes_part part;
	void (*measure)(struct contender *c, const struct effort *e);
} measurements[] = {
	{ "ctrl-C in a flood", 1, IN_INTERRUPT, measure_interrupt },
	{ "stalled client", 1, IN_STALL, measure_stall },
	{ "create to prompt", 2, IN_PROMPT, measure_prompt },
	{ "sessions per second", 1, IN_RATE, measure_rate },
	{ "sandboxes per second", 1, IN_BOX_RATE, measure_box_rate },
};

static char doing[128] = "starting";
static volatile sig_atomic_t interrupted_by;

/* --- see bench.h --- */

void
bench_fail(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "bench: %s: ", doing);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

void
bench_fail_errno(const char *fmt, ...)
{
	int error = errno;
	va_list args;

	fprintf(stderr, "bench: %s: ", doing);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(error));
	exit(1);
}

void
bench_doing(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(doing, sizeof(doing), fmt, args);
	va_end(args);
}

void
bench_interrupted(void)
{
	if (interrupted_by == SIGALRM)
		bench_fail("the run took too long");
	if (interrupted_by != 0)
		bench_fail("interrupted");
}

/* Once more each second: a signal just before a blocking call does not interrupt it. */
static void
interrupt_after(unsigned seconds)
{
	struct itimerval timer = { .it_value.tv_sec = seconds, .it_interval.tv_sec = 1 };

	setitimer(ITIMER_REAL, &timer, NULL);
}

static void
on_signal(int number)
{
	if (interrupted_by == 0)
		interrupted_by = number;
}

void
bench_limit_time(unsigned seconds)
{
	static const int numbers[] = { SIGALRM, SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal };

	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		sigaction(numbers[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	interrupt_after(seconds);
}

double
bench_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void
bench_sleep_ms(unsigned ms)
{
	struct timespec wait = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&wait, NULL);
	bench_interrupted();
}

/* --- the run --- */

static void
usage(void)
{
	fprintf(stderr,
	    "usage: bench [--quick] [--only sandbox] [--rounds 1..%d] [--strict] [--json FILE]\n",
	    ROUNDS_MAX);
	exit(2);
}

static unsigned
parse_rounds(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n < 1 || n > ROUNDS_MAX)
		usage();
	return (unsigned)n;
}

static struct options
parse_options(int argc, char **argv)
{
	static const struct option known[] = { { "rounds", required_argument, NULL, 'r' },
		{ "json", required_argument, NULL, 'j' }, { "quick", no_argument, NULL, 'q' },
		{ "strict", no_argument, NULL, 's' }, { "only", required_argument, NULL, 'o' },
		{ 0 } };
	const char *rounds = getenv("ROUNDS");
	struct options o = { .effort = normal };
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'r')
			rounds = optarg;
		else if (c == 'j')
			o.json = optarg;
		else if (c == 'q')
			o.effort = quick;
		else if (c == 's')
			o.is_strict = true;
		else if (c == 'o' && strcmp(optarg, "sandbox") == 0)
			o.only_sandbox = true;
		else
			usage();
	}
	if (optind != argc)
		usage();
	if (rounds)
		o.effort.rounds = parse_rounds(rounds);
	return o;
}

static void
print_header(const struct effort *e)
{
	double load = 0;
	struct utsname u;

	if (uname(&u) != 0 || getloadavg(&load, 1) != 1)
		bench_fail_errno("this machine");
	printf("cloudshell-fog %s, Linux %s, %ld CPUs, load %.2f; %u rounds, interleaved\n",
	    FOG_VERSION, u.release, sysconf(_SC_NPROCESSORS_ONLN), load, e->rounds);
	printf("flood: cat of %u x %d MiB a round, cooked output; echo: %u bytes, one at a time "
	       "through cat, raw and without the terminal's echo\n",
	    e->flood_slices, FLOOD_SLICE_MIB, e->echo_slices * ECHO_SLICE);
	printf("memory: %u attached sessions at their prompt", e->idle_sessions);
	if (terminal_ttyd_path())
		printf("; ttyd %s\n\n", terminal_ttyd_version());
	else
		printf("; ttyd: set TTYD=/path/to/ttyd to have it measured too\n\n");
	if (load > LOAD_QUIET)
		printf("This machine is busy with something else: expect wide spreads.\n\n");
	fflush(stdout);
}

/* --- the run --- */

/* Those that take part, beginning with another one each round, so that none is always the first
 * after a pause. */
static size_t
choose(enum takes_part part, unsigned round, struct contender *chosen[static CONTENDERS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < COUNT_OF(contenders); i++) {
		struct contender *c = &contenders[(i + round) % COUNT_OF(contenders)];

		if ((c->takes_part & part) && c->missing[0] == '\0' &&
		    (c->ops != &terminal_ttyd || terminal_ttyd_path()))
			chosen[n++] = c;
	}
	return n;
}

static void
measure_memory(const struct effort *e)
{
	struct contender *chosen[CONTENDERS_MAX];
	size_t n = choose(IN_IDLE, 0, chosen);

	if (!measure_can_read_memory()) {
		printf("memory is not measured: reading smaps of the service takes root\n\n");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		bench_doing("memory of %s", chosen[i]->ops->name);
		measure_idle(chosen[i], e);
	}
}

static void
measure_in_turn(size_t which, unsigned round, const struct effort *e)
{
	struct contender *chosen[CONTENDERS_MAX];
	size_t n = choose(measurements[which].part, round, chosen);

	for (size_t i = 0; i < n; i++) {
		bench_doing("%s: %s", chosen[i]->ops->name, measurements[which].name);
		measurements[which].measure(chosen[i], e);
	}
}

static void
run_round(unsigned round, const struct effort *e)
{
	struct contender *chosen[CONTENDERS_MAX];
	size_t n = choose(IN_FLOOD, round, chosen);

	measure_floods(chosen, n, e);
	n = choose(IN_ECHO, round, chosen);
	measure_echoes(chosen, n, e);
	n = choose(IN_BUSY_ECHO, round, chosen);
	measure_busy_echoes(chosen, n, e);
	n = choose(IN_BOX, round, chosen);
	measure_boxes(chosen, n, e);
	for (size_t m = 0; m < COUNT_OF(measurements); m++) {
		for (unsigned time = 0; time < measurements[m].times; time++)
			measure_in_turn(m, round + time, e);
	}
}

/* --- sandboxes --- */

/* Why a contender has none; a service, where it is one, is started. */
static const char *
why_no_sandbox(const struct contender *c, const char *none_at_all)
{
	const char *why = none_at_all;

	if (!why && c->ops == &terminal_fog_sandbox)
		why = service_try(SERVICE_SANDBOX);
	return why ? why : measure_box_probe(c->ops);
}

static void
prepare_sandboxes(const char *none_at_all)
{
	static const struct terminal_ops *const boxes[] = { &terminal_fog_sandbox, &terminal_bwrap,
		&terminal_crun };

	for (size_t i = 0; i < COUNT_OF(contenders); i++) {
		struct contender *c = &contenders[i];
		const char *why = NULL;

		for (size_t b = 0; b < COUNT_OF(boxes); b++) {
			if (c->ops == boxes[b])
				why = why_no_sandbox(c, none_at_all);
		}
		if (!why)
			continue;
		snprintf(c->missing, sizeof(c->missing), "%s", why);
		printf("%s is not measured: %s\n", c->ops->name, why);
	}
}

static void
measure_sandbox_memory(const struct effort *e)
{
	struct contender *chosen[CONTENDERS_MAX];
	size_t n = choose(IN_BOX_MEMORY, 0, chosen);

	for (size_t i = 0; i < n; i++) {
		bench_doing("memory of %s", chosen[i]->ops->name);
		measure_box_memory(chosen[i], e);
	}
}

static void
leave_only(unsigned parts)
{
	for (size_t i = 0; i < COUNT_OF(contenders); i++)
		contenders[i].takes_part &= parts;
}

static void
prepare_terminals(const struct effort *e)
{
	service_start(SERVICE_PLAIN);
	service_start(SERVICE_TLS);
	measure_prepare(service_dir());
	measure_memory(e);
}

static void
free_results(void)
{
	for (size_t i = 0; i < COUNT_OF(contenders); i++) {
		for (int m = 0; m < METRIC_COUNT; m++)
			samples_free(&contenders[i].results.of[m]);
	}
}

int
main(int argc, char **argv)
{
	struct options o = parse_options(argc, argv);
	const char *no_sandbox;
	unsigned not_met;

	bench_limit_time(o.effort.rounds * SECONDS_PER_ROUND);
	print_header(&o.effort);
	no_sandbox = box_prepare();
	if (o.only_sandbox)
		leave_only(IN_SANDBOX);
	else
		prepare_terminals(&o.effort);
	prepare_sandboxes(no_sandbox);
	measure_sandbox_memory(&o.effort);
	for (unsigned round = 0; round < o.effort.rounds; round++)
		run_round(round, &o.effort);
	bench_doing("reporting");
	not_met = report_print(contenders, COUNT_OF(contenders));
	if (o.json)
		report_write_json(o.json, contenders, COUNT_OF(contenders), &o.effort);
	free_results();
	return o.is_strict && not_met > 0 ? EXIT_NOT_MET : 0;
}
