/* SPDX-License-Identifier: MIT */
/* The texts of the image store, strict both ways: names, digests, manifest and index. */
#include "fogctl/image.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"

#define MANIFEST_HEAD "cloudshell-fog-image 1\n"
#define INDEX_HEAD "cloudshell-fog-images 1\n"
#define DIGEST_PREFIX "sha256:"

/* --- errors --- */

/* Names of entries are anybody's, and this goes to an operator's terminal. */
static void
make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

int
image_fail(struct image_error *err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
	make_printable(err->text);
	return -1;
}

int
image_fail_errno(struct image_error *err, const char *format, ...)
{
	const char *why = strerror(errno);
	size_t len;
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
	len = strlen(err->text);
	(void)snprintf(err->text + len, sizeof(err->text) - len, ": %s", why);
	make_printable(err->text);
	return -1;
}

/* --- words --- */

bool
image_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= IMAGE_NAME_MAX && name[0] != '.' && name[0] != '_' &&
	    name[0] != '-' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len &&
	    !strstr(name, "..");
}

static bool
is_hex(const char *text)
{
	return strlen(text) == IMAGE_HEX_SIZE - 1 &&
	    strspn(text, "0123456789abcdef") == IMAGE_HEX_SIZE - 1;
}

bool
image_digest_parse(const char *text, char hex[static IMAGE_HEX_SIZE])
{
	size_t skip = strlen(DIGEST_PREFIX);

	if (strncmp(text, DIGEST_PREFIX, skip) != 0 || !is_hex(text + skip))
		return false;
	memcpy(hex, text + skip, IMAGE_HEX_SIZE);
	return true;
}

bool
image_path_is_inside(const char *path)
{
	if (path[0] == '/')
		return false;
	for (const char *at = path; *at; at += strspn(at, "/")) {
		size_t len = strcspn(at, "/");

		if (len == 2 && at[0] == '.' && at[1] == '.')
			return false;
		at += len;
	}
	return true;
}

/* --- lines --- */

struct cursor {
	const char *at, *end;
};

/* The next line, which begins with key; its rest, in printable ASCII, to value. */
static bool
take_line(struct cursor *c, const char *key, char *value, size_t size)
{
	const char *newline = memchr(c->at, '\n', (size_t)(c->end - c->at));
	size_t skip = strlen(key), len;

	if (!newline || (size_t)(newline - c->at) < skip || memcmp(c->at, key, skip) != 0)
		return false;
	len = (size_t)(newline - c->at) - skip;
	if (len == 0 || len >= size)
		return false;
	for (size_t i = 0; i < len; i++)
		if (c->at[skip + i] < ' ' || c->at[skip + i] > '~')
			return false;
	memcpy(value, c->at + skip, len);
	value[len] = '\0';
	c->at = newline + 1;
	return true;
}

/* Digits alone, and only as many as cannot overflow. */
static bool
read_number(const char *text, uint64_t *out)
{
	size_t len = strlen(text);

	if (len == 0 || len > 18 || strspn(text, "0123456789") != len)
		return false;
	*out = strtoull(text, NULL, 10);
	return true;
}

static bool
take_number(struct cursor *c, const char *key, uint64_t *out)
{
	char value[24];

	return take_line(c, key, value, sizeof(value)) && read_number(value, out);
}

static bool
take_digest(struct cursor *c, const char *key, char hex[static IMAGE_HEX_SIZE])
{
	char value[80];

	return take_line(c, key, value, sizeof(value)) && image_digest_parse(value, hex);
}

static bool
take_time(struct cursor *c, const char *key, uint64_t *out)
{
	struct tm tm = { 0 };
	char value[24];
	const char *end;
	time_t t;

	if (!take_line(c, key, value, sizeof(value)))
		return false;
	end = strptime(value, "%Y-%m-%dT%H:%M:%SZ", &tm);
	t = end && !*end ? timegm(&tm) : -1;
	if (t < 0)
		return false;
	*out = (uint64_t)t;
	return true;
}

/* --- manifest --- */

int
image_manifest_format(const struct image_manifest *m, char out[static IMAGE_MANIFEST_MAX])
{
	time_t t = (time_t)m->created_s;
	char created[40];
	struct tm tm;
	int len;

	if (!gmtime_r(&t, &tm) || !strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return -1;
	len = snprintf(out, IMAGE_MANIFEST_MAX,
	    MANIFEST_HEAD "digest " DIGEST_PREFIX
			  "%s\nsource %s\ncreated %s\nentries %llu\nbytes %llu\nend\n",
	    m->digest, m->source, created, (unsigned long long)m->entries,
	    (unsigned long long)m->bytes);
	return len > 0 && len < IMAGE_MANIFEST_MAX ? len : -1;
}

/* What is taken is compared with what would have been written: one spelling for each image. */
static bool
manifest_is_canonical(const struct image_manifest *m, const char *bytes, size_t len)
{
	char text[IMAGE_MANIFEST_MAX];
	int n = image_manifest_format(m, text);

	return n > 0 && (size_t)n == len && memcmp(text, bytes, len) == 0;
}

int
image_manifest_parse(const char *bytes, size_t len, struct image_manifest *out,
    struct image_error *err)
{
	struct cursor c = { bytes, bytes + len };
	struct image_manifest m = { 0 };
	char version[8];

	if (len > IMAGE_MANIFEST_MAX || !take_line(&c, "cloudshell-fog-image ", version, 8))
		return image_fail(err, "manifest: not one of an image");
	if (!take_digest(&c, "digest ", m.digest))
		return image_fail(err, "manifest: the digest is missing or wrong");
	if (!take_line(&c, "source ", m.source, sizeof(m.source)))
		return image_fail(err, "manifest: the source is missing or wrong");
	if (!take_time(&c, "created ", &m.created_s))
		return image_fail(err, "manifest: the time is missing or wrong");
	if (!take_number(&c, "entries ", &m.entries) || m.entries > IMAGE_ENTRIES_MAX)
		return image_fail(err, "manifest: the number of entries is missing or wrong");
	if (!take_number(&c, "bytes ", &m.bytes) || m.bytes > IMAGE_BYTES_MAX)
		return image_fail(err, "manifest: the number of bytes is missing or wrong");
	if (!manifest_is_canonical(&m, bytes, len))
		return image_fail(err, "manifest: of another version, or changed");
	*out = m;
	return 0;
}

/* --- index --- */

char *
image_index_format(const struct image_index *x, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	fputs(INDEX_HEAD, out);
	for (size_t i = 0; i < x->count; i++)
		fprintf(out, "name %s " DIGEST_PREFIX "%s\n", x->rows[i].name, x->rows[i].digest);
	fprintf(out, "end %zu\n", x->count);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static bool
read_row(char *value, struct image_name *row)
{
	char *space = strchr(value, ' ');

	if (!space)
		return false;
	*space = '\0';
	if (!image_name_is_valid(value) || !image_digest_parse(space + 1, row->digest))
		return false;
	memcpy(row->name, value, (size_t)(space - value) + 1);
	return true;
}

static int
read_rows(struct cursor *c, struct image_index *x, struct image_error *err)
{
	char value[IMAGE_NAME_MAX + 80];

	while (take_line(c, "name ", value, sizeof(value))) {
		if (x->count == IMAGE_NAMES_MAX)
			return image_fail(err, "index: more than %d names", IMAGE_NAMES_MAX);
		if (!read_row(value, &x->rows[x->count]))
			return image_fail(err, "index: line %zu is wrong", x->count + 2);
		if (x->count > 0 && strcmp(x->rows[x->count - 1].name, x->rows[x->count].name) >= 0)
			return image_fail(err, "index: line %zu is out of order", x->count + 2);
		x->count++;
	}
	return 0;
}

int
image_index_parse(const char *bytes, size_t len, struct image_index *out, struct image_error *err)
{
	struct cursor c = { bytes, bytes + len };
	cleanup_free char *text = NULL;
	char version[8];
	size_t n = 0;

	out->count = 0;
	if (len > IMAGE_INDEX_MAX || !take_line(&c, "cloudshell-fog-images ", version, 8))
		return image_fail(err, "index: not one of images");
	if (read_rows(&c, out, err) != 0) {
		out->count = 0;
		return -1;
	}
	text = image_index_format(out, &n);
	if (text && n == len && memcmp(text, bytes, len) == 0)
		return 0;
	out->count = 0;
	return image_fail(err, "index: of another version, changed or cut");
}

const struct image_name *
image_index_find(const struct image_index *x, const char *name)
{
	for (size_t i = 0; i < x->count; i++)
		if (strcmp(x->rows[i].name, name) == 0)
			return &x->rows[i];
	return NULL;
}

int
image_index_put(struct image_index *x, const char *name, const char *hex)
{
	size_t at = 0;

	image_index_drop(x, name, NULL);
	if (x->count == IMAGE_NAMES_MAX)
		return -1;
	while (at < x->count && strcmp(x->rows[at].name, name) < 0)
		at++;
	memmove(&x->rows[at + 1], &x->rows[at], (x->count - at) * sizeof(x->rows[0]));
	(void)snprintf(x->rows[at].name, sizeof(x->rows[at].name), "%s", name);
	memcpy(x->rows[at].digest, hex, IMAGE_HEX_SIZE);
	x->count++;
	return 0;
}

void
image_index_drop(struct image_index *x, const char *name, const char *hex)
{
	size_t kept = 0;

	for (size_t i = 0; i < x->count; i++) {
		const struct image_name *row = &x->rows[i];
		bool meant = (name && strcmp(row->name, name) == 0) ||
		    (hex && strcmp(row->digest, hex) == 0);

		if (!meant)
			x->rows[kept++] = *row;
	}
	x->count = kept;
}

bool
image_index_names(const struct image_index *x, const char *hex)
{
	for (size_t i = 0; i < x->count; i++)
		if (strcmp(x->rows[i].digest, hex) == 0)
			return true;
	return false;
}
