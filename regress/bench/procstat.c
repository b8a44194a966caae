/* SPDX-License-Identifier: MIT */
/* /proc: see procstat.h. */
#include "regress/bench/procstat.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"

struct process {
	pid_t pid, parent;
	unsigned long long started; /* clock ticks since boot */
	bool descends;
};

/* Length read (NUL-terminated), or -1. */
static ssize_t
read_file(pid_t pid, const char *file, char *out, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, out, size - 1);
	close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n;
}

/* proc(5): behind the name in parentheses come state, parent, … and as 22nd field the start. */
static int
read_process(pid_t pid, struct process *p)
{
	char text[1024], *at;

	if (read_file(pid, "stat", text, sizeof(text)) <= 0)
		return -1;
	at = strrchr(text, ')');
	if (!at || strlen(at) < 5 || at[2] == 'Z')
		return -1;
	p->pid = pid;
	p->parent = (pid_t)strtol(at + 4, NULL, 10);
	p->descends = false;
	for (int field = 3; at && field <= 22; field++)
		at = strchr(at + 1, ' ');
	p->started = at ? strtoull(at, NULL, 10) : 0;
	return 0;
}

static size_t
read_all(struct process *all, size_t max)
{
	DIR *dir = opendir("/proc");
	size_t n = 0;

	if (!dir)
		bench_fail_errno("/proc");
	for (struct dirent *e = readdir(dir); e && n < max; e = readdir(dir)) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid > 0 && read_process(pid, &all[n]) == 0)
			n++;
	}
	closedir(dir);
	return n;
}

static int
by_start(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	if (x->started != y->started)
		return x->started > y->started ? 1 : -1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

static bool
has_marked_parent(const struct process *all, size_t n, const struct process *p, pid_t root)
{
	if (p->parent == root)
		return true;
	for (size_t i = 0; i < n; i++) {
		if (all[i].descends && all[i].pid == p->parent)
			return true;
	}
	return false;
}

static void
mark_descendants(struct process *all, size_t n, pid_t root)
{
	bool is_changed;

	do {
		is_changed = false;
		for (size_t i = 0; i < n; i++) {
			if (all[i].descends || !has_marked_parent(all, n, &all[i], root))
				continue;
			all[i].descends = is_changed = true;
		}
	} while (is_changed);
}

static bool
is_named(pid_t pid, const char *name)
{
	char line[256];

	return read_file(pid, "cmdline", line, sizeof(line)) > 0 && strcmp(line, name) == 0;
}

size_t
proc_descendants(pid_t root, const char *name, pid_t *out, size_t max)
{
	cleanup_free struct process *all = calloc(PIDS_MAX, sizeof(*all));
	size_t n, found = 0;

	if (!all)
		bench_fail("out of memory");
	n = read_all(all, PIDS_MAX);
	mark_descendants(all, n, root);
	qsort(all, n, sizeof(*all), by_start);
	for (size_t i = 0; i < n && found < max; i++) {
		if (all[i].descends && (!name || is_named(all[i].pid, name)))
			out[found++] = all[i].pid;
	}
	return found;
}

/* One line of smaps: the head of a mapping, or a figure of it. */
struct smaps_scan {
	bool is_anonymous, is_left_out;
	size_t without_kib;
	struct memory *sum;
};

/* proc_pid_smaps(5): "from-to rwxp offset device inode  path", anonymous without a path. */
static void
scan_head(struct smaps_scan *s, const char *line)
{
	int at = 0;

	if (sscanf(line, "%*x-%*x %*s %*x %*s %*u%n", &at) != 0 || at == 0)
		bench_fail("a mapping that cannot be read");
	s->is_anonymous = line[at + (int)strspn(line + at, " ")] == '\n';
	s->is_left_out = false;
}

static void
scan_figure(struct smaps_scan *s, const char *name, double kib)
{
	if (strcmp(name, "Size") == 0)
		s->is_left_out = s->without_kib > 0 && s->is_anonymous &&
		    kib >= (double)s->without_kib;
	else if (s->is_left_out)
		return;
	else if (strcmp(name, "Rss") == 0)
		s->sum->rss_kib += kib;
	else if (strcmp(name, "Pss") == 0)
		s->sum->pss_kib += kib;
	else if (strcmp(name, "Private_Clean") == 0 || strcmp(name, "Private_Dirty") == 0)
		s->sum->private_kib += kib;
}

static void
scan_line(struct smaps_scan *s, char *line)
{
	char *colon = strchr(line, ':'), *space = strchr(line, ' ');

	if (!colon || (space && space < colon)) {
		scan_head(s, line);
		return;
	}
	*colon = '\0';
	scan_figure(s, line, strtod(colon + 1, NULL));
}

/* The sum that the kernel makes is cheaper than all mappings, and enough where none is left out. */
int
proc_memory(pid_t pid, size_t without_kib, struct memory *out)
{
	struct smaps_scan s = { .without_kib = without_kib, .sum = out };
	char path[64], line[512];
	FILE *f;

	*out = (struct memory){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid,
	    without_kib > 0 ? "smaps" : "smaps_rollup");
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		scan_line(&s, line);
	fclose(f);
	return out->rss_kib > 0 ? 0 : -1;
}

unsigned
proc_threads(pid_t pid)
{
	char text[4096];
	const char *at;

	if (read_file(pid, "status", text, sizeof(text)) <= 0)
		return 0;
	at = strstr(text, "\nThreads:");
	return at ? (unsigned)strtoul(at + strlen("\nThreads:"), NULL, 10) : 0;
}

/* The clock of another process has nanoseconds where /proc/PID/stat has hundredths of a second. */
double
proc_cpu_s(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
		bench_fail("process %d is gone", (int)pid);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}
