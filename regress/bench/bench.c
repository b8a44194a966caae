/* SPDX-License-Identifier: MIT */
/*
 * bench: throughput, latency and memory of the service, as ratios to a bare PTY reader in the same
 * run, interleaved.
 *
 *   bench [--rounds N] [--json FILE]        environment: FOG_BUILD, ROUNDS
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
#include "regress/bench/measure.h"
#include "regress/bench/report.h"
#include "regress/bench/service.h"

#define ROUNDS_DEFAULT 5
#define ROUNDS_MAX 100
#define TIME_S 85 /* for up to ROUNDS_DEFAULT rounds */
#define TIME_PER_ROUND_S 16

struct options {
	unsigned rounds;
	const char *json;
};

static struct contender contenders[] = {
	{ .ops = &terminal_pty },
	{ .ops = &terminal_fog_v1 },
	{ .ops = &terminal_fog_json },
};

static const struct {
	const char *name;
	void (*measure)(const struct terminal_ops *ops, struct results *r);
} measurements[] = {
	{ "flood", measure_flood },
	{ "echo", measure_echo },
	{ "create to prompt", measure_prompt },
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
	fprintf(stderr, "usage: bench [--rounds 1..%d] [--json FILE]\n", ROUNDS_MAX);
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
		{ "json", required_argument, NULL, 'j' }, { 0 } };
	const char *rounds = getenv("ROUNDS");
	struct options o = { .rounds = rounds ? parse_rounds(rounds) : ROUNDS_DEFAULT };
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'r')
			o.rounds = parse_rounds(optarg);
		else if (c == 'j')
			o.json = optarg;
		else
			usage();
	}
	if (optind != argc)
		usage();
	return o;
}

static void
print_header(const struct options *o)
{
	double load = 0;
	struct utsname u;

	if (uname(&u) != 0 || getloadavg(&load, 1) != 1)
		bench_fail_errno("this machine");
	printf("cloudshell-fog %s, Linux %s, %ld CPUs, load %.2f; %u rounds, interleaved\n",
	    FOG_VERSION, u.release, sysconf(_SC_NPROCESSORS_ONLN), load, o->rounds);
	printf(
	    "flood: cat of %d MiB, cooked output; echo: %d bytes, one at a time through cat, raw and "
	    "without the terminal's echo\n",
	    FLOOD_MIB, ECHO_COUNT);
	printf("memory: %d attached sessions at their prompt\n\n", IDLE_SESSIONS);
	fflush(stdout);
}

static void
measure_memory(struct contender *c)
{
	bench_doing("memory of %s", c->ops->name);
	if (!measure_idle(c->ops, &c->results))
		printf(
		    "memory is not measured: reading smaps_rollup of the service takes root\n\n");
}

/* Each round begins with another one, so that none is always the first after a pause. */
static void
run_round(unsigned round)
{
	for (size_t m = 0; m < COUNT_OF(measurements); m++) {
		for (size_t i = 0; i < COUNT_OF(contenders); i++) {
			struct contender *c = &contenders[(i + round) % COUNT_OF(contenders)];

			bench_doing("%s of %s", measurements[m].name, c->ops->name);
			measurements[m].measure(c->ops, &c->results);
		}
	}
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

	bench_limit_time(o.rounds <= ROUNDS_DEFAULT ? TIME_S : o.rounds * TIME_PER_ROUND_S);
	print_header(&o);
	service_start();
	measure_prepare(service_dir());
	measure_memory(&contenders[1]);
	for (unsigned round = 0; round < o.rounds; round++)
		run_round(round);
	bench_doing("reporting");
	report_print(contenders, COUNT_OF(contenders));
	if (o.json)
		report_write_json(o.json, contenders, COUNT_OF(contenders), o.rounds);
	free_results();
	return 0;
}
