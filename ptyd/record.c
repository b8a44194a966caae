/* SPDX-License-Identifier: MIT */
/* Session records: see record.h. */
#include "ptyd/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

#define HEAD_BYTES 12
#define SUM_BYTES 8

/* Earlier versions, into the struct of today: what they did not have is empty. */
#define FIELDS_record_end(F, T) \
	F(T, str, idem_key, 0, 128) \
	F(T, u64, idem_hash, 0, UINT64_MAX) \
	F(T, raw32, nonce, 0, 0) \
	F(T, u32, slot, 0, SESSION_SLOTS - 1) \
	F(T, raw32, broker_nonce, 0, 0) \
	F(T, u8, acknowledged, 0, 1) \
	F(T, u64, ended_boot_ms, 0, UINT64_MAX)
/* clang-format off */
#define FIELDS_record_1(F, T) \
	FIELDS_session_base(F, T) \
	F(T, str, issuer, 1, 255) \
	F(T, str, subject, 1, 255) \
	FIELDS_record_end(F, T)
#define FIELDS_record_2(F, T) \
	FIELDS_session_base(F, T) \
	F(T, str, issuer, 1, 255) \
	F(T, str, subject, 1, 255) \
	F(T, str, sid, 0, 255) \
	FIELDS_record_end(F, T)
#define FIELDS_record_3(F, T) \
	FIELDS_session(F, T) \
	F(T, str, issuer, 1, 255) \
	F(T, str, subject, 1, 255) \
	F(T, str, sid, 0, 255) \
	FIELDS_record_end(F, T)
/* clang-format on */

static const struct field record_1_fields[] = { FIELDS_record_1(CODEC_ROW,
    struct pl_session_record) };
static const struct field record_2_fields[] = { FIELDS_record_2(CODEC_ROW,
    struct pl_session_record) };
static const struct field record_3_fields[] = { FIELDS_record_3(CODEC_ROW,
    struct pl_session_record) };
static const struct layout earlier[] = {
	{ "record_1", record_1_fields, COUNT_OF(record_1_fields),
	    sizeof(struct pl_session_record) },
	{ "record_2", record_2_fields, COUNT_OF(record_2_fields),
	    sizeof(struct pl_session_record) },
	{ "record_3", record_3_fields, COUNT_OF(record_3_fields),
	    sizeof(struct pl_session_record) },
};
_Static_assert(COUNT_OF(earlier) == RECORD_VERSION - 1, "each version before this one is read");

static const char *const suffixes[RECORD_FILE_COUNT] = { ".rec", ".tmp", ".sock" };

int
record_encode(struct writer *w, const struct pl_session_record *from)
{
	unsigned char *length;
	size_t start = w->len;
	struct writer at;

	put_u32(w, RECORD_MAGIC);
	put_u32(w, RECORD_VERSION);
	length = w->p + w->len;
	put_u32(w, 0);
	codec_put(w, &msg_layouts[PAYLOAD_session_record], from, NULL);
	if (w->err)
		return w->err;
	writer_init(&at, length, 4);
	put_u32(&at, (uint32_t)(w->len - start - HEAD_BYTES));
	put_u64(w, fnv1a(FNV1A_SEED, w->p + start, w->len - start));
	return w->err;
}

static enum record_result
check_frame(const unsigned char *bytes, size_t len, const struct layout **layout,
    struct reader *payload)
{
	struct reader r;
	uint32_t version, length;

	reader_init(&r, bytes, len);
	if (get_u32(&r) != RECORD_MAGIC)
		return RECORD_BROKEN;
	version = get_u32(&r);
	if (r.err == 0 && (version == 0 || version > RECORD_VERSION))
		return RECORD_OTHER_VERSION;
	*layout = version == RECORD_VERSION ? &msg_layouts[PAYLOAD_session_record]
					    : &earlier[r.err ? 0 : version - 1];
	length = get_u32(&r);
	if (r.err || len < HEAD_BYTES + SUM_BYTES || length != len - HEAD_BYTES - SUM_BYTES)
		return RECORD_BROKEN;
	reader_init(&r, bytes + len - SUM_BYTES, SUM_BYTES);
	if (get_u64(&r) != fnv1a(FNV1A_SEED, bytes, len - SUM_BYTES))
		return RECORD_BROKEN;
	reader_init(payload, bytes + HEAD_BYTES, length);
	return RECORD_OK;
}

enum record_result
record_decode(const void *bytes, size_t len, struct record *out)
{
	struct record got = { .storage = malloc(len ? len : 1), .storage_len = len };
	const struct layout *layout;
	enum record_result result;
	struct reader payload;

	if (!got.storage)
		return RECORD_NO_MEMORY;
	memcpy(got.storage, bytes, len);
	result = check_frame(got.storage, len, &layout, &payload);
	/* What a later build has appended stands behind our last field, and is of no use to us. */
	if (result == RECORD_OK && codec_get(&payload, layout, &got.pl, NULL) != 0)
		result = RECORD_BROKEN;
	if (result == RECORD_OK)
		*out = got;
	else
		record_fini(&got);
	return result;
}

enum record_result
record_init(struct record *r, const struct pl_session_record *from)
{
	unsigned char bytes[RECORD_MAX_BYTES];
	enum record_result result = RECORD_BROKEN;
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	if (record_encode(&w, from) == 0)
		result = record_decode(bytes, w.len, r);
	explicit_bzero(bytes, sizeof(bytes));
	return result;
}

void
record_fini(struct record *r)
{
	if (r->storage)
		explicit_bzero(r->storage, r->storage_len);
	free(r->storage);
	explicit_bzero(r, sizeof(*r));
}

void
record_name(const struct id128 *id, enum record_file kind, char out[static RECORD_NAME_SIZE])
{
	char text[ID_TEXT_SIZE];

	id_format(id, text);
	snprintf(out, RECORD_NAME_SIZE, "%s%s", text, suffixes[kind]);
}

int
record_parse_name(const char *name, struct id128 *id, enum record_file *kind)
{
	if (strlen(name) < ID_TEXT_SIZE || id_parse(name, ID_TEXT_SIZE - 1, id) != 0 ||
	    !id_is_session(id))
		return -1;
	for (int i = 0; i < RECORD_FILE_COUNT; i++) {
		if (strcmp(name + ID_TEXT_SIZE - 1, suffixes[i]) == 0) {
			*kind = (enum record_file)i;
			return 0;
		}
	}
	return -1;
}

static int
write_file(const char *name, const unsigned char *bytes, size_t len)
{
	/* O_NONBLOCK: a foreign FIFO of that name would stop us. */
	cleanup_fd int fd = open(name,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, S_IRUSR | S_IWUSR);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, bytes, len);
	if (n >= 0 && (size_t)n < len)
		errno = ENOSPC;
	return n == (ssize_t)len ? fsync(fd) : -1;
}

enum record_result
record_save(const struct record *r)
{
	char name[RECORD_NAME_SIZE], tmp[RECORD_NAME_SIZE];
	unsigned char bytes[RECORD_MAX_BYTES];
	enum record_result result = RECORD_OK;
	struct writer w;

	record_name(&r->pl.session_id, RECORD_FILE_REC, name);
	record_name(&r->pl.session_id, RECORD_FILE_TMP, tmp);
	writer_init(&w, bytes, sizeof(bytes));
	if (record_encode(&w, &r->pl) != 0)
		result = RECORD_BROKEN;
	else if (write_file(tmp, bytes, w.len) != 0 || rename(tmp, name) != 0)
		result = RECORD_IO;
	explicit_bzero(bytes, sizeof(bytes));
	if (result == RECORD_IO)
		record_unlink(&r->pl.session_id, RECORD_FILE_TMP);
	return result;
}

enum record_result
record_load(const char *name, struct record *out)
{
	cleanup_fd int fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	unsigned char bytes[RECORD_MAX_BYTES];
	enum record_result result;
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

	if (n < 0)
		return RECORD_IO;
	result = record_decode(bytes, (size_t)n, out);
	explicit_bzero(bytes, sizeof(bytes));
	return result;
}

void
record_unlink(const struct id128 *id, enum record_file kind)
{
	char name[RECORD_NAME_SIZE];
	int saved = errno;

	record_name(id, kind, name);
	unlink(name);
	errno = saved;
}
