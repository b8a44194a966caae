/* SPDX-License-Identifier: MIT */
/* What is out of service, and the file that keeps it: see drained.h. */
#include "placerd/drained.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/codec.h"
#include "common/err.h"

#define SLOTS 2
#define SUM_BYTES 8
#define BIT_SELF 1u

struct names {
	bool self;
	size_t n;
	char node[DRAINED_NODES_MAX][DRAINED_NAME_MAX_BYTES + 1];
};

struct drained {
	struct names is;
	int fd;
	unsigned current;    /* the slot that counts */
	uint64_t generation; /* of it; 0: none does */
	bool is_unwritten;   /* the file does not say what is */
	unsigned char slot[DRAINED_SLOT_BYTES];
};

struct drained *
drained_new(void)
{
	struct drained *d = calloc(1, sizeof(*d));

	if (d)
		d->fd = -1;
	return d;
}

void
drained_free(struct drained *d)
{
	if (!d)
		return;
	close_fd(&d->fd);
	free(d);
}

/* --- slots --- */

static bool
name_is_good(struct view name)
{
	return name.len > 0 && name.len <= DRAINED_NAME_MAX_BYTES && text_is_clean(name);
}

static size_t
find(const struct names *names, struct view node)
{
	size_t i = 0;

	while (i < names->n && !view_is(node, names->node[i]))
		i++;
	return i;
}

static int
add(struct names *names, struct view node)
{
	if (!name_is_good(node))
		return -FOG_E_BOUNDS;
	if (names->n >= DRAINED_NODES_MAX)
		return -FOG_E_FULL;
	return view_copy(node, names->node[names->n++], sizeof(names->node[0]));
}

static int
put_slot(struct writer *w, uint64_t generation, const struct names *names)
{
	put_u32(w, DRAINED_MAGIC);
	put_u32(w, DRAINED_VERSION);
	put_u64(w, generation);
	put_u8(w, names->self ? BIT_SELF : 0);
	put_u16(w, (uint16_t)names->n);
	for (size_t i = 0; i < names->n; i++)
		put_view(w, view_of(names->node[i]));
	put_u64(w, fnv1a(FNV1A_SEED, w->p, w->len));
	return w->err;
}

static bool
is_other_version(const unsigned char *bytes, size_t len)
{
	struct reader r;
	uint32_t magic, version;

	reader_init(&r, bytes, len);
	magic = get_u32(&r);
	version = get_u32(&r);
	return r.err == 0 && magic == DRAINED_MAGIC && version != DRAINED_VERSION;
}

/* Its generation, with what it says; 0: it is no whole slot. */
static uint64_t
get_slot(const unsigned char *bytes, size_t len, struct names *out)
{
	struct reader r;
	uint64_t generation;
	uint32_t magic, version;
	unsigned bits;
	size_t n;

	memset(out, 0, sizeof(*out));
	reader_init(&r, bytes, len);
	magic = get_u32(&r);
	version = get_u32(&r);
	generation = get_u64(&r);
	bits = get_u8(&r);
	n = get_u16(&r);
	if (r.err || magic != DRAINED_MAGIC || version != DRAINED_VERSION || bits > BIT_SELF ||
	    n > DRAINED_NODES_MAX)
		return 0;
	out->self = bits & BIT_SELF;
	while (n-- > 0) {
		struct view node = get_view(&r);

		if (r.err || find(out, node) != out->n || add(out, node) != 0)
			return 0;
	}
	n = r.at;
	return get_u64(&r) == fnv1a(FNV1A_SEED, bytes, n) && r.err == 0 ? generation : 0;
}

/* Nothing, or what a file that was never written beyond its beginning has there. */
static bool
is_blank(const unsigned char *bytes, size_t len)
{
	size_t i = 0;

	while (i < len && bytes[i] == 0)
		i++;
	return i == len;
}

enum drained_result
drained_parse(struct drained *d, const void *bytes, size_t len, struct drained_found *found)
{
	struct names *names = &(struct names){ 0 };
	struct drained_found result = { 0 };

	for (unsigned i = 0; i < SLOTS; i++) {
		size_t at = i * (size_t)DRAINED_SLOT_BYTES, end = at + DRAINED_SLOT_BYTES;
		const unsigned char *slot = (const unsigned char *)bytes + (at < len ? at : len);
		size_t n = at < len ? (end < len ? end : len) - at : 0;
		uint64_t generation = get_slot(slot, n, names);

		if (is_other_version(slot, n))
			return DRAINED_OTHER_VERSION;
		result.is_recovered |= generation == 0 && !is_blank(slot, n);
		if (generation > d->generation) {
			d->is = *names;
			d->generation = generation;
			d->current = i;
		}
	}
	result.nodes = d->is.n;
	result.self = d->is.self;
	*found = result;
	return DRAINED_OK;
}

/* --- the file --- */

/* 0 and its size, or -1 with errno. */
static int
open_file(struct drained *d, int dir_fd, size_t *size)
{
	/* O_NONBLOCK: a foreign FIFO of that name would stop us. */
	const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_DSYNC;
	cleanup_fd int dir = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	d->fd = openat(dir_fd, DRAINED_FILE, flags, S_IRUSR | S_IWUSR);
	if (d->fd < 0 || dir < 0 || fstat(d->fd, &st) != 0 || fsync(dir) != 0)
		return -1;
	errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
	*size = (size_t)st.st_size;
	return S_ISREG(st.st_mode) && st.st_size <= DRAINED_FILE_MAX_BYTES ? 0 : -1;
}

enum drained_result
drained_open(struct drained *d, int dir_fd, struct drained_found *found)
{
	enum drained_result result = DRAINED_IO;
	size_t size = 0;
	char *bytes = malloc(DRAINED_FILE_MAX_BYTES);

	if (bytes && open_file(d, dir_fd, &size) == 0 &&
	    pread(d->fd, bytes, size, 0) == (ssize_t)size)
		result = drained_parse(d, bytes, size, found);
	free(bytes);
	return result;
}

static int
save(struct drained *d)
{
	unsigned other = d->generation == 0 ? 0 : (d->current + 1) % SLOTS;
	struct writer w;

	writer_init(&w, d->slot, sizeof(d->slot));
	d->is_unwritten = true;
	if (put_slot(&w, d->generation + 1, &d->is) != 0 || d->fd < 0 ||
	    lseek(d->fd, (off_t)other * DRAINED_SLOT_BYTES, SEEK_SET) < 0 ||
	    write(d->fd, w.p, w.len) != (ssize_t)w.len)
		return -FOG_E_UNAVAILABLE;
	d->is_unwritten = false;
	d->current = other;
	d->generation++;
	return 0;
}

/* --- asking and changing --- */

bool
drained_self(const struct drained *d)
{
	return d->is.self;
}

bool
drained_has(const struct drained *d, struct view node)
{
	return find(&d->is, node) < d->is.n;
}

const char *
drained_at(const struct drained *d, size_t index)
{
	return index < d->is.n ? d->is.node[index] : NULL;
}

int
drained_set_self(struct drained *d, bool is_drained)
{
	if (d->is.self == is_drained && !d->is_unwritten)
		return 0;
	d->is.self = is_drained;
	return save(d);
}

int
drained_set_node(struct drained *d, struct view node, bool is_drained)
{
	size_t at = find(&d->is, node);
	bool is_there = at < d->is.n;
	int rc = 0;

	if (is_there == is_drained && !d->is_unwritten)
		return 0;
	if (is_drained && !is_there)
		rc = add(&d->is, node);
	if (is_there && !is_drained && at != --d->is.n)
		memcpy(d->is.node[at], d->is.node[d->is.n], sizeof(d->is.node[0]));
	return rc ? rc : save(d);
}
