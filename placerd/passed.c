/* SPDX-License-Identifier: MIT */
/* Creates that were passed on, by key, and the file that keeps them: see passed.h. */
#include "placerd/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/codec.h"
#include "common/err.h"

#define SUM_BYTES 8

struct record {
	uint64_t number, key_hash, wish_hash, written_s;
	uint32_t tag;
	uint8_t state;
};

struct passed {
	uint64_t keep_ms;
	int fd;          /* -1: nothing is kept over restarts */
	uint64_t number; /* of the last record */
	struct passed_key keys[PASSED_KEYS_MAX];
};

struct passed *
passed_new(uint64_t keep_ms)
{
	struct passed *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->keep_ms = keep_ms;
	p->fd = -1;
	return p;
}

void
passed_free(struct passed *p)
{
	if (!p)
		return;
	close_fd(&p->fd);
	free(p);
}

/* --- the table --- */

/* Its place, or a free one, or that of the oldest. */
static struct passed_key *
place_of(struct passed *p, uint64_t key_hash)
{
	struct passed_key *oldest = &p->keys[0];

	for (size_t i = 0; i < PASSED_KEYS_MAX; i++) {
		if (p->keys[i].number > 0 && p->keys[i].key_hash == key_hash)
			return &p->keys[i];
		if (p->keys[i].number < oldest->number)
			oldest = &p->keys[i];
	}
	return oldest;
}

const struct passed_key *
passed_find(const struct passed *p, uint64_t key_hash, uint64_t now_mono_ms)
{
	for (size_t i = 0; i < PASSED_KEYS_MAX; i++) {
		const struct passed_key *key = &p->keys[i];

		if (key->number > 0 && key->key_hash == key_hash &&
		    key->until_mono_ms > now_mono_ms)
			return key;
	}
	return NULL;
}

/* --- the file --- */

static void
put_record(struct writer *w, const struct record *r)
{
	size_t start = w->len;

	put_u64(w, r->number);
	put_u64(w, r->key_hash);
	put_u64(w, r->wish_hash);
	put_u32(w, r->tag);
	put_u8(w, r->state);
	put_u64(w, r->written_s);
	put_u64(w, fnv1a(FNV1A_SEED, w->p + start, w->len - start));
}

static bool
get_record(const unsigned char *bytes, struct record *out)
{
	struct reader r;

	reader_init(&r, bytes, PASSED_RECORD_BYTES);
	out->number = get_u64(&r);
	out->key_hash = get_u64(&r);
	out->wish_hash = get_u64(&r);
	out->tag = get_u32(&r);
	out->state = get_u8(&r);
	out->written_s = get_u64(&r);
	return get_u64(&r) == fnv1a(FNV1A_SEED, bytes, PASSED_RECORD_BYTES - SUM_BYTES) &&
	    r.err == 0 && out->number > 0 && out->number < UINT64_MAX &&
	    out->state < PASSED_STATE_COUNT;
}

static bool
is_blank(const unsigned char *bytes)
{
	static const unsigned char zeros[PASSED_RECORD_BYTES];

	return memcmp(bytes, zeros, sizeof(zeros)) == 0;
}

/* Of a clock that was turned back meanwhile we only know that it is not older than that. */
static uint64_t
left_ms(const struct passed *p, uint64_t written_s, uint64_t now_s)
{
	uint64_t age_s = now_s > written_s ? now_s - written_s : 0;

	return age_s < p->keep_ms / 1000 ? p->keep_ms - age_s * 1000 : 0;
}

/* Who was asked may have made it: only that node knows. */
static void
take_record(struct passed *p, const struct record *r, struct passed_now now)
{
	struct passed_key *key = place_of(p, r->key_hash);
	uint64_t left = left_ms(p, r->written_s, now.wall_s);
	bool counts = left > 0 && r->state != PASSED_FREE;

	if (!counts && key->key_hash != r->key_hash)
		return;
	*key = (struct passed_key){ .number = counts ? r->number : 0,
		.key_hash = r->key_hash,
		.wish_hash = r->wish_hash,
		.until_mono_ms = now.mono_ms + left,
		.tag = r->tag,
		.state = r->state == PASSED_ASKED ? PASSED_MADE : (enum passed_state)r->state };
}

enum header { HEADER_GOOD, HEADER_BROKEN, HEADER_OTHER };

static enum header
header_of(const void *bytes, size_t len)
{
	struct reader r;
	uint32_t magic, version;

	reader_init(&r, bytes, len);
	magic = get_u32(&r);
	version = get_u32(&r);
	if (r.err || magic != PASSED_MAGIC)
		return HEADER_BROKEN;
	return version == PASSED_VERSION ? HEADER_GOOD : HEADER_OTHER;
}

/* NULL: the file ends before. */
static const unsigned char *
record_at(const void *bytes, size_t len, size_t place)
{
	size_t at = PASSED_HEADER_BYTES + place * PASSED_RECORD_BYTES;

	return len >= at + PASSED_RECORD_BYTES ? (const unsigned char *)bytes + at : NULL;
}

static bool
read_place(const void *bytes, size_t len, size_t place, struct record *out)
{
	const unsigned char *at = record_at(bytes, len, place);

	return at && get_record(at, out) && out->number % PASSED_RECORDS == place;
}

enum passed_result
passed_parse(struct passed *p, const void *bytes, size_t len, struct passed_now now,
    struct passed_found *found)
{
	struct record r;

	*found = (struct passed_found){ 0 };
	if (header_of(bytes, len) == HEADER_OTHER)
		return PASSED_OTHER_VERSION;
	found->damaged = header_of(bytes, len) == HEADER_BROKEN && len > 0;
	for (size_t i = 0; i < PASSED_RECORDS; i++) {
		if (read_place(bytes, len, i, &r))
			p->number = r.number > p->number ? r.number : p->number;
		else if (record_at(bytes, len, i) && !is_blank(record_at(bytes, len, i)))
			found->damaged++;
	}
	/* The oldest first: behind the newest. */
	for (size_t i = 1; i <= PASSED_RECORDS; i++) {
		if (read_place(bytes, len, (p->number + i) % PASSED_RECORDS, &r))
			take_record(p, &r, now);
	}
	for (size_t i = 0; i < PASSED_KEYS_MAX; i++)
		found->keys += p->keys[i].number > 0;
	return PASSED_OK;
}

/* 0, or -1 with errno. */
static int
write_at(int fd, size_t offset, const void *bytes, size_t len)
{
	ssize_t n;

	if (fd < 0 || lseek(fd, (off_t)offset, SEEK_SET) < 0)
		return -1;
	n = write(fd, bytes, len);
	if (n >= 0 && (size_t)n < len)
		errno = ENOSPC;
	return n == (ssize_t)len ? 0 : -1;
}

/* What a first start, or one on a full disk, has not made: with blocks for all of it. */
static int
complete(struct passed *p, unsigned char *bytes, size_t size)
{
	struct writer w;

	if (size == PASSED_FILE_BYTES && header_of(bytes, size) == HEADER_GOOD)
		return 0;
	memset(bytes + size, 0, PASSED_FILE_BYTES - size);
	writer_init(&w, bytes, PASSED_HEADER_BYTES);
	put_u32(&w, PASSED_MAGIC);
	put_u32(&w, PASSED_VERSION);
	return write_at(p->fd, 0, bytes, PASSED_FILE_BYTES);
}

/* 0 and its size, or -1 with errno. */
static int
open_file(struct passed *p, int dir_fd, size_t *size)
{
	/* O_NONBLOCK: a foreign FIFO of that name would stop us. */
	const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_DSYNC;
	cleanup_fd int dir = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	p->fd = openat(dir_fd, PASSED_FILE, flags, S_IRUSR | S_IWUSR);
	if (p->fd < 0 || dir < 0 || fstat(p->fd, &st) != 0 || fsync(dir) != 0)
		return -1;
	errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
	*size = (size_t)st.st_size;
	return S_ISREG(st.st_mode) && st.st_size <= PASSED_FILE_BYTES ? 0 : -1;
}

enum passed_result
passed_open(struct passed *p, int dir_fd, struct passed_now now, struct passed_found *found)
{
	enum passed_result result = PASSED_IO;
	unsigned char *bytes = malloc(PASSED_FILE_BYTES);
	size_t size = 0;

	if (bytes && open_file(p, dir_fd, &size) == 0 &&
	    pread(p->fd, bytes, size, 0) == (ssize_t)size)
		result = passed_parse(p, bytes, size, now, found);
	if (result == PASSED_OK && complete(p, bytes, size) != 0)
		result = PASSED_IO;
	free(bytes);
	return result;
}

static int
append(struct passed *p, const struct passed_key *key, enum passed_state state,
    struct passed_now now)
{
	unsigned char bytes[PASSED_RECORD_BYTES];
	struct record r = { .number = p->number + 1,
		.key_hash = key->key_hash,
		.wish_hash = key->wish_hash,
		.tag = key->tag,
		.state = (uint8_t)state,
		.written_s = now.wall_s };
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	put_record(&w, &r);
	if (write_at(p->fd, PASSED_HEADER_BYTES + r.number % PASSED_RECORDS * PASSED_RECORD_BYTES,
		bytes, w.len) != 0)
		return -FOG_E_UNAVAILABLE;
	p->number = r.number;
	return 0;
}

/* --- changes --- */

int
passed_ask(struct passed *p, uint64_t key_hash, uint64_t wish_hash, uint32_t tag,
    struct passed_now now)
{
	struct passed_key *key = place_of(p, key_hash);

	*key = (struct passed_key){ .number = p->number + 1,
		.key_hash = key_hash,
		.wish_hash = wish_hash,
		.until_mono_ms = now.mono_ms + p->keep_ms,
		.tag = tag,
		.state = PASSED_ASKED };
	return append(p, key, PASSED_ASKED, now);
}

void
passed_settle(struct passed *p, uint64_t key_hash, enum passed_state state, struct passed_now now)
{
	struct passed_key *key = place_of(p, key_hash);

	if (key->number == 0 || key->key_hash != key_hash)
		return;
	key->state = state;
	if (state == PASSED_FREE)
		key->number = 0;
	if (state == PASSED_FREE || state == PASSED_BOUND)
		append(p, key, state, now);
}
