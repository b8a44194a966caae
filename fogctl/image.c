/* SPDX-License-Identifier: MIT */
/* `fogctl image`: its commands and options, which work on this machine's store and ask no service. */
#include "fogctl/image.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "fogctl/fogctl.h"

enum { OPTION_STORE, OPTION_STRIP, OPTION_JSON, OPTION_HELP, OPTION_COUNT };

static const struct fogctl_option options[OPTION_COUNT] = {
	[OPTION_STORE] = { "store", "DIR", "the image store; default " IMAGE_STORE },
	[OPTION_STRIP] = { "strip", NULL,
	    "import: take setuid, setgid and attributes away instead of refusing them" },
	[OPTION_JSON] = { "json", NULL, "print one JSON object" },
	[OPTION_HELP] = { "help", NULL, "print this" },
};

static const struct image_limits limits = { IMAGE_ENTRIES_MAX, IMAGE_BYTES_MAX };

/* What the line says, as it was understood. */
struct wish {
	const char *store;
	bool strip, as_json;
	char *argument[2]; /* NULL: not given */
};

struct command {
	const char *name, *shown;
	int least, most; /* arguments */
	bool changes;    /* the store */
	int (*run)(struct image_store *st, const struct wish *w, struct image_error *err);
	const char *help;
};

static int run_create(struct image_store *st, const struct wish *w, struct image_error *err);
static int run_import(struct image_store *st, const struct wish *w, struct image_error *err);
static int run_list(struct image_store *st, const struct wish *w, struct image_error *err);
static int run_verify(struct image_store *st, const struct wish *w, struct image_error *err);
static int run_rm(struct image_store *st, const struct wish *w, struct image_error *err);

static const struct command commands[] = {
	{ "create", "NAME", 1, 1, true, run_create, "make one from the packages of this machine" },
	{ "import", "SOURCE [NAME]", 1, 2, true, run_import, "take an OCI layout or archive in" },
	{ "list", "", 0, 0, false, run_list, "list the images and their names" },
	{ "verify", "NAME|DIGEST", 1, 1, false, run_verify, "compare every file with the digest" },
	{ "rm", "NAME|DIGEST", 1, 1, true, run_rm, "remove a name, or an image and its names" },
};

/* --- what is told --- */

static json_t *
describe(const struct image_manifest *m, const char *name)
{
	char digest[IMAGE_HEX_SIZE + 8];

	(void)snprintf(digest, sizeof(digest), "sha256:%s", m->digest);
	return json_pack("{s:s?, s:s, s:s, s:I, s:I, s:I}", "name", name, "digest", digest,
	    "source", m->source, "created", (json_int_t)m->created_s, "entries",
	    (json_int_t)m->entries, "bytes", (json_int_t)m->bytes);
}

static int
print_json(json_t *obj, struct image_error *err)
{
	int rc = put_json(obj);

	json_decref(obj);
	return rc == 0 ? 0 : image_fail(err, "out of memory");
}

/* --- create and import --- */

static int
commit(struct image_store *st, const struct wish *w, bool strip, struct image_manifest *m,
    const char *name, struct image_error *err)
{
	cleanup_fd int root_fd = image_open_beneath(st->staging_fd, "rootfs",
	    O_RDONLY | O_DIRECTORY);
	struct image_sum sum;

	if (root_fd < 0)
		return image_fail_errno(err, "rootfs");
	if (image_tree_scan(root_fd, &limits, strip, &sum, err) != 0)
		return -1;
	memcpy(m->digest, sum.digest, sizeof(m->digest));
	m->created_s = (uint64_t)time(NULL);
	m->entries = sum.entries;
	m->bytes = sum.bytes;
	if (image_store_commit(st, m, name, err) != 0)
		return -1;
	if (w->as_json)
		return print_json(describe(m, name), err);
	printf("%s is sha256:%s: %llu entries, %llu bytes\n", name, m->digest,
	    (unsigned long long)m->entries, (unsigned long long)m->bytes);
	if (sum.stripped > 0)
		printf("setuid, setgid or attributes were taken from %llu of them\n",
		    (unsigned long long)sum.stripped);
	return 0;
}

static int
check_name(const char *name, struct image_error *err)
{
	if (image_name_is_valid(name))
		return 0;
	return image_fail(err,
	    "%s: a name has at most %d of a-z 0-9 . _ -, and begins with a letter or digit", name,
	    IMAGE_NAME_MAX);
}

static int
run_create(struct image_store *st, const struct wish *w, struct image_error *err)
{
	struct image_manifest m = { .source = "packages of this machine" };
	cleanup_fd int root_fd = -1;

	if (check_name(w->argument[0], err) != 0 || image_store_stage(st, true, err) != 0)
		return -1;
	root_fd = image_open_beneath(st->staging_fd, "rootfs", O_RDONLY | O_DIRECTORY);
	if (root_fd < 0)
		return image_fail_errno(err, "rootfs");
	if (image_base_fill(root_fd, err) != 0)
		return -1;
	return commit(st, w, false, &m, w->argument[0], err);
}

/* "path/debian.tar" is debian, and so is "path/debian:12". */
static void
name_from_source(const char *source, char name[static IMAGE_NAME_MAX + 2])
{
	const char *slash = strrchr(source, '/');
	const char *start = slash && slash[1] ? slash + 1 : source;
	size_t len = strcspn(start, ":/");

	if (len > 4 && memcmp(start + len - 4, ".tar", 4) == 0)
		len -= 4;
	(void)snprintf(name, IMAGE_NAME_MAX + 2, "%.*s", (int)len, start);
}

static int
run_import(struct image_store *st, const struct wish *w, struct image_error *err)
{
	struct image_manifest m = { 0 };
	char name[IMAGE_NAME_MAX + 2];

	name_from_source(w->argument[0], name);
	if (w->argument[1])
		(void)snprintf(name, sizeof(name), "%s", w->argument[1]);
	if (check_name(name, err) != 0)
		return -1;
	if ((size_t)snprintf(m.source, sizeof(m.source), "%s", w->argument[0]) >= sizeof(m.source))
		return image_fail(err, "the source has more than %d bytes", IMAGE_SOURCE_MAX);
	for (const char *p = m.source; *p; p++)
		if (*p < ' ' || *p > '~')
			return image_fail(err, "the source has to be printable ASCII");
	if (image_store_stage(st, false, err) != 0 ||
	    image_import_fill(st->staging_fd, w->argument[0], &limits, err) != 0)
		return -1;
	return commit(st, w, w->strip, &m, name, err);
}

/* --- list --- */

struct listing {
	const struct image_store *st;
	json_t *rows; /* NULL: as text */
	bool damaged;
};

static void
list_damaged(struct listing *l, const char *hex, const char *name, const char *why)
{
	fprintf(stderr, "fogctl: %s sha256:%s: %s\n", name ? name : "-", hex, why);
	l->damaged = true;
}

static void
list_one(struct listing *l, const char *hex, const char *name)
{
	struct image_error err;
	struct image_manifest m;
	cleanup_fd int fd = -1;

	if (image_store_open_image(l->st, hex, &fd, &m, &err) != 0)
		list_damaged(l, hex, name, err.text);
	else if (l->rows)
		json_array_append_new(l->rows, describe(&m, name));
	else
		printf("%-16s sha256:%s %8llu entries %12llu bytes  %s\n", name ? name : "-", hex,
		    (unsigned long long)m.entries, (unsigned long long)m.bytes, m.source);
}

static int
list_unnamed(struct listing *l, struct image_error *err)
{
	char **names = NULL, digest[IMAGE_HEX_SIZE + 8], hex[IMAGE_HEX_SIZE];
	size_t count = 0;

	if (image_list_names(l->st->fd, UINT64_MAX, &names, &count) != 0)
		return image_fail_errno(err, "the store cannot be read");
	for (size_t i = 0; i < count; i++) {
		if (strncmp(names[i], "sha256-", 7) != 0)
			continue;
		(void)snprintf(digest, sizeof(digest), "sha256:%s", names[i] + 7);
		if (image_digest_parse(digest, hex) && !image_index_names(l->st->index, hex))
			list_one(l, hex, NULL);
	}
	image_free_names(names, count);
	return 0;
}

static int
run_list(struct image_store *st, const struct wish *w, struct image_error *err)
{
	struct listing l = { st, w->as_json ? json_array() : NULL, false };
	int rc;

	for (size_t i = 0; i < st->index->count; i++)
		list_one(&l, st->index->rows[i].digest, st->index->rows[i].name);
	rc = list_unnamed(&l, err);
	if (rc != 0)
		json_decref(l.rows);
	else if (w->as_json)
		rc = print_json(json_pack("{s:o}", "images", l.rows), err);
	if (rc == 0 && l.damaged)
		rc = image_fail(err, "the store has damaged images");
	return rc;
}

/* --- verify and rm --- */

static int
compare(const struct image_manifest *m, const struct image_sum *sum, struct image_error *err)
{
	if (strcmp(m->digest, sum->digest) != 0)
		return image_fail(err, "sha256:%s: changed: its files now are sha256:%s", m->digest,
		    sum->digest);
	if (m->entries != sum->entries || m->bytes != sum->bytes)
		return image_fail(err, "sha256:%s: the manifest was changed", m->digest);
	return 0;
}

static int
run_verify(struct image_store *st, const struct wish *w, struct image_error *err)
{
	cleanup_fd int fd = -1, root_fd = -1;
	char hex[IMAGE_HEX_SIZE];
	struct image_manifest m;
	struct image_sum sum;

	if (image_store_resolve(st, w->argument[0], hex, err) != 0 ||
	    image_store_open_image(st, hex, &fd, &m, err) != 0)
		return -1;
	if (flock(fd, LOCK_SH | LOCK_NB) != 0)
		return image_fail(err, "sha256:%s: is being removed", hex);
	root_fd = image_open_beneath(fd, "rootfs", O_RDONLY | O_DIRECTORY);
	if (root_fd < 0)
		return image_fail_errno(err, "sha256:%s: rootfs", hex);
	if (image_tree_scan(root_fd, &limits, false, &sum, err) != 0 || compare(&m, &sum, err) != 0)
		return -1;
	if (w->as_json)
		return print_json(json_pack("{s:b}", "verified", 1), err);
	printf("sha256:%s is unchanged\n", hex);
	return 0;
}

static int
run_rm(struct image_store *st, const struct wish *w, struct image_error *err)
{
	bool gone = false;

	if (image_store_remove(st, w->argument[0], &gone, err) != 0)
		return -1;
	if (w->as_json)
		return print_json(json_pack("{s:b}", "image_removed", gone), err);
	printf(gone ? "%s is removed\n" : "the name %s is removed; its image has others\n",
	    w->argument[0]);
	return 0;
}

/* --- the command line --- */

static void
print_usage(FILE *out)
{
	fprintf(out,
	    "usage: fogctl image COMMAND [OPTION...] [ARGUMENT...]\n\nCommands, as root:\n");
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		fprintf(out, "  image %-6s %-19s  %s\n", commands[i].name, commands[i].shown,
		    commands[i].help);
	fprintf(out, "\nOptions:\n");
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		char line[80];

		(void)snprintf(line, sizeof(line), "--%s%s%s", options[i].name,
		    options[i].argument ? " " : "", options[i].argument ? options[i].argument : "");
		fprintf(out, "  %-32s  %s\n", line, options[i].help);
	}
}

static int
refuse_usage(const char *what, const char *which)
{
	fprintf(stderr, "fogctl: %s%s%s\nTry: fogctl image --help\n", what, which ? ": " : "",
	    which ? which : "");
	return EXIT_USAGE;
}

static const struct command *
find_command(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int
run(const struct command *c, const struct wish *w)
{
	struct image_store st = { .fd = -1, .lock_fd = -1, .staging_fd = -1 };
	struct image_error err = { "" };
	int rc;

	if (geteuid() != 0) {
		fprintf(stderr, "fogctl: images are root's alone: run this as root\n");
		return EXIT_REFUSED;
	}
	umask(022); /* what umoci makes has the modes of the image */
	rc = image_store_open(&st, w->store, c->changes, &err);
	if (rc == 0 && c->changes)
		rc = image_store_lock(&st, &err);
	if (rc == 0)
		rc = c->run(&st, w, &err);
	image_store_close(&st);
	if (rc == 0 && fflush(stdout) == 0)
		return EXIT_DONE;
	fprintf(stderr, "fogctl: refused: %s\n", rc == 0 ? strerror(errno) : err.text);
	return EXIT_REFUSED;
}

/* 0, or an exit status plus one. */
static int
read_options(int argc, char **argv, struct wish *w)
{
	struct option long_options[OPTION_COUNT + 1] = { 0 };
	int option;

	for (int i = 0; i < OPTION_COUNT; i++)
		long_options[i] = (struct option){ options[i].name,
			options[i].argument ? required_argument : no_argument, NULL, i };
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_STORE:
			w->store = optarg;
			break;
		case OPTION_STRIP:
			w->strip = true;
			break;
		case OPTION_JSON:
			w->as_json = true;
			break;
		case OPTION_HELP:
			print_usage(stdout);
			return EXIT_DONE + 1;
		default:
			fprintf(stderr, "Try: fogctl image --help\n");
			return EXIT_USAGE + 1;
		}
	}
	return 0;
}

int
image_main(int argc, char **argv)
{
	struct wish w = { .store = IMAGE_STORE };
	const struct command *c;
	int status = read_options(argc, argv, &w), count;

	if (status != 0)
		return status - 1;
	if (optind == argc)
		return refuse_usage("image needs a command", NULL);
	c = find_command(argv[optind]);
	if (!c)
		return refuse_usage("image has no such command", argv[optind]);
	count = argc - optind - 1;
	if (count < c->least || count > c->most)
		return refuse_usage("wrong number of arguments for image", c->name);
	if (w.strip && c->run != run_import)
		return refuse_usage("--strip is for image import", NULL);
	for (int i = 0; i < count; i++)
		w.argument[i] = argv[optind + 1 + i];
	return run(c, &w);
}
