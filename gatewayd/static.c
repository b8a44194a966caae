/* SPDX-License-Identifier: MIT */
/* Static files in memory: see static.h. */
#include "gatewayd/static.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/proc.h"

#define FILES_MAX 64
#define FILE_MAX_BYTES (16u << 20)
#define NAME_MAX_BYTES 128
#define HASH_CHARS 8 /* of a content hash in a name */
#define ETAG_BYTES 16
#define CALLBACK_FILE "signed-in.html"

struct static_file {
	char *name;
	char *bytes;
	size_t len;
	const char *type;
	bool immutable, frameable;
	char etag[2 * ETAG_BYTES + 3];
};

struct static_files {
	struct static_file files[FILES_MAX];
	size_t count;
};

static const struct {
	const char *suffix, *type;
} types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".svg", "image/svg+xml" },
	{ ".json", "application/json" },
	{ ".woff2", "font/woff2" },
	{ ".txt", "text/plain; charset=utf-8" },
	{ "", "application/octet-stream" },
};

static const char *
type_of(const char *name)
{
	size_t len = strlen(name), i = 0, n;

	for (;; i++) {
		n = strlen(types[i].suffix);
		if (len >= n && strcmp(name + len - n, types[i].suffix) == 0)
			return types[i].type;
	}
}

/* app-1A2B3C4D.js: what is behind such a name never changes. */
static bool
has_content_hash(const char *name)
{
	static const char hash[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	const char *dash = strrchr(name, '-');

	return dash && strspn(dash + 1, hash) == HASH_CHARS && dash[1 + HASH_CHARS] == '.';
}

static bool
is_servable(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";

	return name[0] != '.' && strlen(name) <= NAME_MAX_BYTES &&
	    strspn(name, allowed) == strlen(name);
}

static int
set_etag(struct static_file *f)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char *at = f->etag;
	unsigned len;

	if (EVP_Digest(f->bytes, f->len, digest, &len, EVP_sha256(), NULL) != 1)
		return -1;
	*at++ = '"';
	for (size_t i = 0; i < ETAG_BYTES; i++)
		at += sprintf(at, "%02x", digest[i]);
	memcpy(at, "\"", 2);
	return 0;
}

static int
load_file(struct static_file *f, int dir, const char *name)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return -1;
	f->bytes = proc_read_file(fd, FILE_MAX_BYTES, &f->len);
	if (!f->bytes)
		return -1;
	f->name = strdup(name);
	f->type = type_of(name);
	f->immutable = has_content_hash(name);
	f->frameable = strcmp(name, CALLBACK_FILE) == 0;
	return f->name && set_etag(f) == 0 ? 0 : -1;
}

static void
load_entry(struct static_files *files, int dir, const char *name)
{
	struct static_file *f = &files->files[files->count];

	if (!is_servable(name) || files->count == FILES_MAX)
		return;
	if (load_file(f, dir, name) == 0) {
		files->count++;
		return;
	}
	if (errno != EISDIR && errno != EFBIG)
		log_warn("event=page_file_skipped");
	free(f->name);
	free(f->bytes);
	*f = (struct static_file){ 0 };
}

struct static_files *
static_load(int dir_fd)
{
	struct static_files *files = calloc(1, sizeof(*files));
	DIR *dir = files ? fdopendir(dir_fd) : NULL;
	struct dirent *entry;

	if (!dir) {
		int saved = errno;

		free(files);
		close_fd(&dir_fd);
		errno = saved;
		return NULL;
	}
	/* A gatewayd before this one has read the same open directory to its end. */
	rewinddir(dir);
	while ((entry = readdir(dir)))
		load_entry(files, dirfd(dir), entry->d_name);
	closedir(dir);
	return files;
}

void
static_free(struct static_files *files)
{
	if (!files)
		return;
	for (size_t i = 0; i < files->count; i++) {
		free(files->files[i].name);
		free(files->files[i].bytes);
	}
	free(files);
}

size_t
static_count(const struct static_files *files)
{
	return files ? files->count : 0;
}

/* Paths that are no file's name. */
static const struct {
	const char *path, *name;
} paths[] = {
	{ "", "index.html" },
	{ "signed-in", CALLBACK_FILE },
};

const struct static_file *
static_find(const struct static_files *files, struct view path)
{
	struct view name;

	if (!files || path.len == 0 || path.p[0] != '/')
		return NULL;
	name = view_bytes(path.p + 1, path.len - 1);
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		if (view_is(name, paths[i].path)) {
			name = view_of(paths[i].name);
			break;
		}
	}
	for (size_t i = 0; i < files->count; i++) {
		if (view_is(name, files->files[i].name))
			return &files->files[i];
	}
	return NULL;
}

bool
static_is_frameable(const struct static_file *f)
{
	return f->frameable;
}

/* A cache would keep the callback under its URL, with the code in it (RFC 6749 10.5). */
static const char *
cache_of(const struct static_file *f)
{
	if (f->frameable)
		return "no-store";
	return f->immutable ? "public, max-age=31536000, immutable" : "no-cache";
}

struct answer_file
static_answer(const struct static_file *f)
{
	return (struct answer_file){ .type = f->type,
		.etag = f->etag,
		.bytes = f->bytes,
		.len = f->len,
		.cache = cache_of(f) };
}
