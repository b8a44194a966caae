/* SPDX-License-Identifier: MIT */
/*
 * sim: placement, policy and the failure detector of placerd on made-up fleets of up to 100,000
 * nodes, held against bounds.
 *
 *   sim [--short] [--seed N] [--jobs N] [--only PART] [--requests PERCENT]
 *       [--no-guess]
 *
 * Prints a report in Markdown. Exits 1 when a bound is not met, 2 for options that make no sense,
 * 3 when it could not run.
 */
#include "regress/sim/sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define EXIT_NOT_MET 1
#define EXIT_USAGE 2
#define EXIT_BROKEN 3
#define JOBS_ALL_MAX 512
#define PROCESSES_MAX 64

const uint32_t sim_sizes[SIZES] = { 10, 100, 1000, 10000, 100000 };

static const struct effort efforts[] = {
	{ .name = "long",
	    .seed = 1,
	    .fleets = 1000000,
	    .fleet_jobs = 8,
	    .requests = { 1000000, 6000000, 2700000, 280000, 20000 },
	    .worlds = { 20, 8, 4, 2, 1 },
	    .people = { 2000, 2000, 1000, 150, 15 },
	    .speed_visits = 40000000,
	    .speed_sizes = SIZES,
	    .detector_nodes = 1000,
	    .detector_deaths = 24,
	    .detector_calm_s = 200,
	    .slack = 100 },
	{ .name = "short",
	    .seed = 1,
	    .fleets = 60000,
	    .fleet_jobs = 4,
	    .requests = { 30000, 60000, 12000, 600, 0 },
	    .worlds = { 10, 4, 2, 1, 1 },
	    .people = { 100, 100, 40, 0, 0 },
	    .speed_visits = 2000000,
	    .speed_sizes = SIZES,
	    .detector_nodes = 100,
	    .detector_deaths = 10,
	    .detector_calm_s = 120,
	    .slack = 400 },
};

/* In the order of the report; the longest jobs begin first all the same, see run_jobs. */
static const struct sim_part *const parts[] = { &part_fleets, &part_days, &part_people,
	&part_detector, &part_speed };

struct settings {
	bool is_short, is_without_guesses;
	uint64_t seed, processes, percent;
	const char *only;
};

/* --- memory, failing --- */

void
sim_fail(const char *format, ...)
{
	va_list args;

	fputs("sim: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(EXIT_BROKEN);
}

void *
sim_zeroed(size_t n, size_t size)
{
	void *p = calloc(n > 0 ? n : 1, size);

	if (!p)
		sim_fail("no memory");
	return p;
}

void *
sim_resize(void *p, size_t n, size_t size)
{
	void *grown = reallocarray(p, n, size);

	if (!grown)
		sim_fail("no memory");
	return grown;
}

/* --- options --- */

enum option_kind { OPTION_FLAG, OPTION_NUMBER, OPTION_TEXT };

static const struct option_row {
	const char *name;
	enum option_kind kind;
	size_t offset; /* in struct settings */
	uint64_t min, max;
	const char *help;
} options[] = {
	{ "--short", OPTION_FLAG, offsetof(struct settings, is_short), 0, 0,
	    "a few seconds' worth, with wide bounds on time" },
	{ "--seed", OPTION_NUMBER, offsetof(struct settings, seed), 0, UINT64_MAX,
	    "other fleets and people; the same seed gives the same (default 1)" },
	{ "--jobs", OPTION_NUMBER, offsetof(struct settings, processes), 1, PROCESSES_MAX,
	    "processes at a time (default 2)" },
	{ "--no-guess", OPTION_FLAG, offsetof(struct settings, is_without_guesses), 0, 0,
	    "nodes that a page has not measured are not held for as far as the entry finds them" },
	{ "--only", OPTION_TEXT, offsetof(struct settings, only), 0, 0,
	    "one part: fleets, days, people, detector or speed" },
	{ "--requests", OPTION_NUMBER, offsetof(struct settings, percent), 1, 1000,
	    "so many per cent of the requests in days (default 100)" },
};

static int
usage(FILE *out, int status)
{
	fputs("usage: sim [OPTION]...\n", out);
	for (size_t i = 0; i < COUNT_OF(options); i++)
		fprintf(out, "  %-10s %-5s %s\n", options[i].name,
		    options[i].kind == OPTION_FLAG       ? ""
			: options[i].kind == OPTION_TEXT ? "NAME"
							 : "N",
		    options[i].help);
	return status;
}

static int
take_number(const struct option_row *o, const char *text, uint64_t *out)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || v < o->min || v > o->max) {
		fprintf(stderr, "sim: %s wants a number from %llu to %llu, not \"%s\"\n", o->name,
		    (unsigned long long)o->min, (unsigned long long)o->max, text);
		return -1;
	}
	*out = v;
	return 0;
}

static int
take_option(const struct option_row *o, const char *value, struct settings *s)
{
	void *at = (char *)s + o->offset;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)at = true;
		return 0;
	case OPTION_NUMBER:
		return take_number(o, value, at);
	default:
		*(const char **)at = value;
		return 0;
	}
}

static bool
is_part(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (strcmp(parts[i]->name, name) == 0)
			return true;
	}
	fprintf(stderr, "sim: there is no part \"%s\"\n", name);
	return false;
}

static const struct option_row *
find_option(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	}
	fprintf(stderr, "sim: there is no option \"%s\"\n", name);
	return NULL;
}

/* 0, or -1 after having said what is wrong. */
static int
read_options(int argc, char **argv, struct settings *s)
{
	for (int i = 1; i < argc; i++) {
		const struct option_row *o = find_option(argv[i]);
		bool has_value = o && o->kind != OPTION_FLAG;

		if (!o)
			return -1;
		if (has_value && i + 1 == argc) {
			fprintf(stderr, "sim: %s wants a value\n", o->name);
			return -1;
		}
		if (take_option(o, has_value ? argv[i + 1] : "", s) != 0)
			return -1;
		i += has_value;
	}
	return s->only && !is_part(s->only) ? -1 : 0;
}

/* --- jobs --- */

struct job {
	const struct sim_part *part;
	uint32_t index; /* in its part */
	unsigned char *result;
};

struct run {
	struct effort effort;
	struct job jobs[JOBS_ALL_MAX];
	uint32_t n_jobs;
	atomic_uint *next; /* shared */
	unsigned char *results;
	size_t results_len;
};

static void *
share(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		sim_fail("no shared memory");
	return p;
}

static void
list_jobs(struct run *run, const char *only)
{
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		uint32_t n = parts[i]->jobs(&run->effort);

		if (only && strcmp(only, parts[i]->name) != 0)
			continue;
		for (uint32_t k = 0; k < n; k++) {
			if (run->n_jobs == JOBS_ALL_MAX)
				sim_fail("more than %d jobs", JOBS_ALL_MAX);
			run->jobs[run->n_jobs++] = (struct job){ parts[i], k, NULL };
		}
	}
	run->results_len = (size_t)run->n_jobs * JOB_RESULT_BYTES;
	run->results = share(run->results_len);
	run->next = share(sizeof(*run->next));
	for (uint32_t i = 0; i < run->n_jobs; i++)
		run->jobs[i].result = run->results + (size_t)i * JOB_RESULT_BYTES;
}

static void
work(struct run *run)
{
	uint32_t i;

	while ((i = atomic_fetch_add(run->next, 1)) < run->n_jobs) {
		const struct job *job = &run->jobs[i];

		if (!job->part->is_alone)
			job->part->run(&run->effort, job->index, job->result);
	}
}

static void
run_jobs(struct run *run, unsigned processes)
{
	bool has_failed = false;
	int status;

	for (uint32_t i = 0; i < run->n_jobs; i++) {
		if (run->jobs[i].part->is_alone)
			run->jobs[i].part->run(&run->effort, run->jobs[i].index,
			    run->jobs[i].result);
	}
	for (unsigned i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			sim_fail("fork: %s", strerror(errno));
		if (pid == 0) {
			work(run);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < processes; i++)
		has_failed |= wait(&status) < 0 || status != 0;
	if (has_failed)
		sim_fail("a part of it came to an end by itself");
}

static void
tell_parts(const struct run *run, struct report *r)
{
	for (uint32_t i = 0; i < run->n_jobs;) {
		const struct sim_part *part = run->jobs[i].part;
		uint32_t n = 0;

		while (i + n < run->n_jobs && run->jobs[i + n].part == part)
			n++;
		part->tell(&run->effort, run->jobs[i].result, n, r);
		i += n;
	}
}

static void
join_arguments(int argc, char **argv, char *out, size_t size)
{
	size_t len = (size_t)snprintf(out, size, argc > 1 ? "regress/sim" : "make sim");

	for (int i = 1; i < argc && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, " %s", argv[i]);
}

int
main(int argc, char **argv)
{
	struct settings s = { .seed = 1, .processes = 2, .percent = 100 };
	struct run run = { 0 };
	struct report r;
	char command[256];
	bool is_met;

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage(stdout, 0);
	if (read_options(argc, argv, &s) != 0)
		return usage(stderr, EXIT_USAGE);
	run.effort = efforts[s.is_short];
	run.effort.seed = s.seed;
	run.effort.guesses = !s.is_without_guesses;
	for (size_t i = 0; i < SIZES; i++)
		run.effort.requests[i] = (uint32_t)(run.effort.requests[i] * s.percent / 100);
	list_jobs(&run, s.only);
	run_jobs(&run, (unsigned)s.processes);
	report_init(&r);
	tell_parts(&run, &r);
	join_arguments(argc, argv, command, sizeof(command));
	is_met = report_print(&r, stdout, command);
	report_fini(&r);
	munmap(run.results, run.results_len);
	munmap(run.next, sizeof(*run.next));
	return is_met ? 0 : EXIT_NOT_MET;
}
