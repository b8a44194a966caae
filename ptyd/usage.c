/* SPDX-License-Identifier: MIT */
/* Consumption out of the files of a control group: see usage.h. */
#include "ptyd/usage.h"

#include <errno.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "common/session.h"
#include "ptyd/span.h"

int
usage_number(const char *text, size_t len, uint64_t *value)
{
	struct span rest, line;

	if (!span_open(text, len, &rest) || !span_take_until(&rest, '\n', &line) || rest.len > 0)
		return -EBADMSG;
	return span_number(line, value) ? 0 : -EBADMSG;
}

int
usage_value(const char *text, size_t len, const char *key, uint64_t *value)
{
	struct span rest, line, name;
	uint64_t n, found = 0;
	bool seen = false;

	if (!span_open(text, len, &rest))
		return -EBADMSG;
	while (span_take_until(&rest, '\n', &line)) {
		if (!span_take_until(&line, ' ', &name) || !span_is_word(name) ||
		    !span_number(line, &n))
			return -EBADMSG;
		if (!span_is(name, key))
			continue;
		if (seen)
			return -EBADMSG;
		seen = true;
		found = n;
	}
	if (rest.len > 0)
		return -EBADMSG;
	if (!seen)
		return -ENOENT;
	*value = found;
	return 0;
}

/* "12.34": always two decimals. */
static bool
parse_percent(struct span s, uint64_t *centi)
{
	struct span whole;
	uint64_t n;

	if (!span_take_until(&s, '.', &whole) || whole.len > 3 || !span_number(whole, &n))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	if (s.len != 2)
		return false;
	n = n * 100 + (unsigned)(s.p[0] - '0') * 10 + (unsigned)(s.p[1] - '0');
	/* A running average that is rounded may pass the whole by a hundredth. */
	*centi = n > CGROUP_PRESSURE_MAX ? CGROUP_PRESSURE_MAX : n;
	return n <= CGROUP_PRESSURE_MAX + 1;
}

/* "avg10=0.00 avg60=0.00 avg300=0.00 total=0" */
static bool
parse_averages(struct span line, uint64_t *avg10)
{
	static const char *const names[] = { "avg10=", "avg60=", "avg300=" };
	uint64_t centi[COUNT_OF(names)], total;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct span field;

		if (!span_take_until(&line, ' ', &field) || !span_take_prefix(&field, names[i]) ||
		    !parse_percent(field, &centi[i]))
			return false;
	}
	if (!span_take_prefix(&line, "total=") || !span_number(line, &total))
		return false;
	*avg10 = centi[0];
	return true;
}

int
usage_pressure(const char *text, size_t len, struct cgroup_pressure *out)
{
	static const char *const names[] = { "some ", "full " };
	uint64_t centi[COUNT_OF(names)];
	struct span rest, line;

	if (!span_open(text, len, &rest))
		return -EBADMSG;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!span_take_until(&rest, '\n', &line) || !span_take_prefix(&line, names[i]) ||
		    !parse_averages(line, &centi[i]))
			return -EBADMSG;
	}
	if (rest.len > 0)
		return -EBADMSG;
	*out = (struct cgroup_pressure){ (uint16_t)centi[0], (uint16_t)centi[1] };
	return 0;
}

struct files {
	struct view text[CGROUP_STAT_FILES];
	bool is_there[CGROUP_STAT_FILES];
};

static int
unpack(struct view record, struct files *f)
{
	struct reader r;

	reader_init(&r, record.p, record.len);
	while (r.err == 0 && r.at < r.len) {
		unsigned index = get_u8(&r);

		if (index >= CGROUP_STAT_FILES || f->is_there[index])
			return -EBADMSG;
		f->text[index] = get_view(&r);
		f->is_there[index] = true;
	}
	return reader_done(&r) == 0 ? 0 : -EBADMSG;
}

static int
put_figures(const struct files *f, struct pl_usage *out)
{
	const struct {
		enum cgroup_stat file;
		const char *key; /* NULL: the file is the number */
		enum session_usage bit;
		uint64_t *to;
	} rows[] = { { CGROUP_FILE_CPU_STAT, "usage_usec", USAGE_CPU, &out->cpu_usec },
		{ CGROUP_FILE_MEMORY_CURRENT, NULL, USAGE_MEMORY, &out->memory_bytes },
		{ CGROUP_FILE_MEMORY_PEAK, NULL, USAGE_MEMORY_PEAK, &out->memory_peak_bytes },
		{ CGROUP_FILE_PIDS_CURRENT, NULL, USAGE_PIDS, &out->pids },
		{ CGROUP_FILE_MEMORY_EVENTS, "oom_kill", USAGE_OOM_KILLS, &out->oom_kills } };

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct view text = f->text[rows[i].file];
		int rc = !f->is_there[rows[i].file] ? -ENOENT
		    : rows[i].key ? usage_value(text.p, text.len, rows[i].key, rows[i].to)
				  : usage_number(text.p, text.len, rows[i].to);

		if (rc == 0)
			out->known |= 1U << rows[i].bit;
		else if (rc != -ENOENT)
			return rc;
	}
	return 0;
}

static int
put_pressures(const struct files *f, struct pl_usage *out)
{
	const struct {
		enum cgroup_stat file;
		enum session_usage bit;
		uint32_t *to;
	} rows[] = { { CGROUP_FILE_CPU_PRESSURE, USAGE_CPU_PRESSURE, &out->cpu_pressure },
		{ CGROUP_FILE_MEMORY_PRESSURE, USAGE_MEMORY_PRESSURE, &out->memory_pressure },
		{ CGROUP_FILE_IO_PRESSURE, USAGE_IO_PRESSURE, &out->io_pressure } };

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct view text = f->text[rows[i].file];
		struct cgroup_pressure got;

		if (!f->is_there[rows[i].file])
			continue;
		if (usage_pressure(text.p, text.len, &got) != 0)
			return -EBADMSG;
		*rows[i].to = got.some_centi;
		out->known |= 1U << rows[i].bit;
	}
	return 0;
}

/* A file that is there has been written by the spawner. */
static void
put_holds(const struct files *f, struct pl_usage *out)
{
	static const struct {
		enum cgroup_stat file;
		enum session_limit limit;
	} rows[] = { { CGROUP_FILE_CPU_MAX, LIMIT_CPU }, { CGROUP_FILE_MEMORY_MAX, LIMIT_MEMORY },
		{ CGROUP_FILE_SWAP_MAX, LIMIT_SWAP }, { CGROUP_FILE_PIDS_MAX, LIMIT_PIDS },
		{ CGROUP_FILE_IO_WEIGHT, LIMIT_IO } };

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (f->is_there[rows[i].file])
			out->holds |= 1U << rows[i].limit;
	}
}

int
usage_parse(struct view files, struct pl_usage *out)
{
	struct pl_usage got = *out;
	struct files f = { 0 };
	int rc = unpack(files, &f);

	if (rc == 0)
		rc = put_figures(&f, &got);
	if (rc == 0)
		rc = put_pressures(&f, &got);
	if (rc != 0)
		return rc;
	put_holds(&f, &got);
	*out = got;
	return 0;
}
