/* SPDX-License-Identifier: MIT */
/* The small files of cgroup v2: see cgroupfile.h. */
#include "ptyd/cgroupfile.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"

/* A piece of the text, without its terminator. */
struct span {
	const char *p;
	size_t len;
};

static const char *const controllers_by_bit[CGROUP_CONTROLLERS] = { "cpu", "memory", "pids", "io" };

const char *
cgroupfile_controller_name(unsigned index)
{
	return controllers_by_bit[index];
}

/* Cuts what stands before the terminator off the front. false: there is no terminator left. */
static bool
take_until(struct span *from, char end, struct span *out)
{
	const char *at = from->len ? memchr(from->p, end, from->len) : NULL;

	if (!at)
		return false;
	*out = (struct span){ from->p, (size_t)(at - from->p) };
	from->p = at + 1;
	from->len -= out->len + 1;
	return true;
}

static bool
is_text(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

static bool
take_prefix(struct span *s, const char *prefix)
{
	size_t len = strlen(prefix);

	if (s->len < len || memcmp(s->p, prefix, len) != 0)
		return false;
	s->p += len;
	s->len -= len;
	return true;
}

/* A whole span of decimal digits, as the kernel writes them: no sign, no leading zero. */
static bool
parse_number(struct span s, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0 || (s.len > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9 || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, digit, &n))
			return false;
	}
	*out = n;
	return true;
}

static bool
is_word(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.'))
			return false;
	}
	return s.len > 0;
}

/* The file as a span; false when no read of ours could have given it. */
static bool
open_text(const char *text, size_t len, struct span *out)
{
	*out = (struct span){ text, len };
	return len <= CGROUPFILE_MAX_BYTES && (len == 0 || !memchr(text, '\0', len));
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
	while (take_until(&path, '/', &part)) {
		if (part.len == 0 || is_text(part, ".") || is_text(part, ".."))
			return false;
	}
	return path.len > 0 && !is_text(path, ".") && !is_text(path, "..");
}

int
cgroupfile_own_path(const char *text, size_t len, char *out, size_t out_size)
{
	struct span rest, line, path = { NULL, 0 };

	if (!open_text(text, len, &rest))
		return -EBADMSG;
	while (take_until(&rest, '\n', &line)) {
		if (!take_prefix(&line, "0::"))
			continue;
		if (path.p || !take_prefix(&line, "/") || !is_clean_path(line))
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
		if (is_text(word, controllers_by_bit[i]))
			return 1U << i;
	}
	return 0;
}

int
cgroupfile_controllers(const char *text, size_t len, unsigned *controllers)
{
	struct span rest, line, word;
	unsigned found = 0;

	if (!open_text(text, len, &rest))
		return -EBADMSG;
	/* The kernel writes nothing at all, or a single newline, where there are none. */
	if (rest.len > 0 && (!take_until(&rest, '\n', &line) || rest.len > 0))
		return -EBADMSG;
	if (len > 1) {
		while (take_until(&line, ' ', &word)) {
			if (!is_word(word))
				return -EBADMSG;
			found |= controller_bit(word);
		}
		if (!is_word(line))
			return -EBADMSG;
		found |= controller_bit(line);
	}
	*controllers = found;
	return 0;
}

int
cgroupfile_number(const char *text, size_t len, uint64_t *value)
{
	struct span rest, line;

	if (!open_text(text, len, &rest) || !take_until(&rest, '\n', &line) || rest.len > 0)
		return -EBADMSG;
	return parse_number(line, value) ? 0 : -EBADMSG;
}

int
cgroupfile_value(const char *text, size_t len, const char *key, uint64_t *value)
{
	struct span rest, line, name;
	uint64_t n, found = 0;
	bool seen = false;

	if (!open_text(text, len, &rest))
		return -EBADMSG;
	while (take_until(&rest, '\n', &line)) {
		if (!take_until(&line, ' ', &name) || !is_word(name) || !parse_number(line, &n))
			return -EBADMSG;
		if (!is_text(name, key))
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

	if (!take_until(&s, '.', &whole) || whole.len > 3 || !parse_number(whole, &n))
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

		if (!take_until(&line, ' ', &field) || !take_prefix(&field, names[i]) ||
		    !parse_percent(field, &centi[i]))
			return false;
	}
	if (!take_prefix(&line, "total=") || !parse_number(line, &total))
		return false;
	*avg10 = centi[0];
	return true;
}

int
cgroupfile_pressure(const char *text, size_t len, struct cgroup_pressure *out)
{
	static const char *const names[] = { "some ", "full " };
	uint64_t centi[COUNT_OF(names)];
	struct span rest, line;

	if (!open_text(text, len, &rest))
		return -EBADMSG;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!take_until(&rest, '\n', &line) || !take_prefix(&line, names[i]) ||
		    !parse_averages(line, &centi[i]))
			return -EBADMSG;
	}
	if (rest.len > 0)
		return -EBADMSG;
	*out = (struct cgroup_pressure){ (uint16_t)centi[0], (uint16_t)centi[1] };
	return 0;
}
