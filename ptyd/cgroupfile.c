/* SPDX-License-Identifier: MIT */
/* The small files of cgroup v2: see cgroupfile.h. */
#include "ptyd/cgroupfile.h"

#include <errno.h>
#include <string.h>

#include "ptyd/span.h"

static const char *const controllers_by_bit[CGROUP_CONTROLLERS] = { "cpu", "memory", "pids", "io" };

#define FILE_NAME(name, text) text,
static const char *const stat_files[CGROUP_STAT_FILES] = { CGROUP_STATS(FILE_NAME) };

const char *
cgroupfile_stat_name(unsigned index)
{
	return stat_files[index];
}

const char *
cgroupfile_controller_name(unsigned index)
{
	return controllers_by_bit[index];
}

/* Every component a real one, so that nothing but the kernel's own name is ever opened. */
static bool
is_clean_path(struct span path)
{
	static const char deleted[] = " (deleted)";
	size_t tail = sizeof(deleted) - 1;
	struct span part;

	if (path.len == 0)
		return true;
	if (path.len >= tail && memcmp(path.p + path.len - tail, deleted, tail) == 0)
		return false;
	while (span_take_until(&path, '/', &part)) {
		if (part.len == 0 || span_is(part, ".") || span_is(part, ".."))
			return false;
	}
	return path.len > 0 && !span_is(path, ".") && !span_is(path, "..");
}

int
cgroupfile_own_path(const char *text, size_t len, char *out, size_t out_size)
{
	struct span rest, line, path = { NULL, 0 };

	if (!span_open(text, len, &rest))
		return -EBADMSG;
	while (span_take_until(&rest, '\n', &line)) {
		if (!span_take_prefix(&line, "0::"))
			continue;
		if (path.p || !span_take_prefix(&line, "/") || !is_clean_path(line))
			return -EBADMSG;
		path = line;
	}
	if (rest.len > 0)
		return -EBADMSG;
	if (!path.p)
		return -ENOENT;
	if (path.len >= out_size)
		return -ENAMETOOLONG;
	memcpy(out, path.p, path.len);
	out[path.len] = '\0';
	return 0;
}

static unsigned
controller_bit(struct span word)
{
	for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (span_is(word, controllers_by_bit[i]))
			return 1U << i;
	}
	return 0;
}

int
cgroupfile_controllers(const char *text, size_t len, unsigned *controllers)
{
	struct span rest, line, word;
	unsigned found = 0;

	if (!span_open(text, len, &rest))
		return -EBADMSG;
	/* The kernel writes nothing at all, or a single newline, where there are none. */
	if (rest.len > 0 && (!span_take_until(&rest, '\n', &line) || rest.len > 0))
		return -EBADMSG;
	if (len > 1) {
		while (span_take_until(&line, ' ', &word)) {
			if (!span_is_word(word))
				return -EBADMSG;
			found |= controller_bit(word);
		}
		if (!span_is_word(line))
			return -EBADMSG;
		found |= controller_bit(line);
	}
	*controllers = found;
	return 0;
}
