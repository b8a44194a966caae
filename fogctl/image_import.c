/* SPDX-License-Identifier: MIT */
/*
 * `fogctl image import`: skopeo checks the digests of an OCI layout or archive, tar says what the
 * layers would write, umoci writes it. What came of it is scanned like every image.
 */
#include "fogctl/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/json.h"

#define LAYOUT "oci:image"        /* a directory in the staging directory, and the tag */
#define TO_LAYOUT "oci:oci:image" /* the same for skopeo, with its transport */
#define DOCUMENT_MAX (4 * 1024 * 1024)
#define DOCUMENT_DEPTH 32
#define LAYERS_MAX 256

/* --- where it comes from --- */

/* skopeo takes "TRANSPORT:PATH:TAG": a colon in the path would be another tag. */
static int
make_reference(const char *path, const char *tag, char out[static PATH_MAX + 64],
    struct image_error *err)
{
	cleanup_free char *absolute = realpath(path, NULL);
	struct stat sb;
	int len;

	if (!absolute || stat(absolute, &sb) != 0)
		return image_fail_errno(err, "%s", path);
	if (!S_ISDIR(sb.st_mode) && !S_ISREG(sb.st_mode))
		return image_fail(err, "%s: neither a directory nor a file", path);
	if (strchr(absolute, ':'))
		return image_fail(err, "%s: a path with a colon cannot be imported", absolute);
	len = snprintf(out, PATH_MAX + 64, "%s:%s%s%s", S_ISDIR(sb.st_mode) ? "oci" : "oci-archive",
	    absolute, *tag ? ":" : "", tag);
	return len < PATH_MAX + 64 ? 0 : image_fail(err, "%s: the path is too long", path);
}

/* PATH, or PATH:TAG when there is nothing at the whole of it. */
static int
read_source(const char *source, char out[static PATH_MAX + 64], struct image_error *err)
{
	const char *colon = strrchr(source, ':');
	char path[PATH_MAX];

	if (access(source, F_OK) == 0 || !colon || strchr(colon, '/'))
		return make_reference(source, "", out, err);
	if ((size_t)(colon - source) >= sizeof(path))
		return image_fail(err, "%s: the path is too long", source);
	memcpy(path, source, (size_t)(colon - source));
	path[colon - source] = '\0';
	return make_reference(path, colon + 1, out, err);
}

/* --- its layers --- */

static int
read_document_into(int fd, const char *path, char *bytes, json_t **out, struct image_error *err)
{
	struct json_error_text wrong;
	size_t len = 0;
	ssize_t n = 0;

	while (len < DOCUMENT_MAX && (n = read(fd, bytes + len, DOCUMENT_MAX - len)) > 0)
		len += (size_t)n;
	if (n < 0 || len == DOCUMENT_MAX)
		return image_fail(err, "%s: cannot be read, or is too large", path);
	if (json_parse_strict(bytes, len, DOCUMENT_DEPTH, out, &wrong) != 0)
		return image_fail(err, "%s: %s", path, wrong.text);
	return 0;
}

static int
read_document(int dir_fd, const char *path, json_t **out, struct image_error *err)
{
	cleanup_fd int fd = image_open_beneath(dir_fd, path, O_RDONLY | O_NONBLOCK);
	char *bytes;
	int rc;

	if (fd < 0)
		return image_fail_errno(err, "%s", path);
	bytes = malloc(DOCUMENT_MAX);
	rc = bytes ? read_document_into(fd, path, bytes, out, err)
		   : image_fail(err, "out of memory");
	free(bytes);
	return rc;
}

/* Where the layout keeps what has this descriptor. */
static int
find_blob(const json_t *descriptor, char out[static 128], struct image_error *err)
{
	const char *digest = json_string_value(json_object_get(descriptor, "digest"));
	char hex[IMAGE_HEX_SIZE];

	if (!digest || !image_digest_parse(digest, hex))
		return image_fail(err, "the image names a part without a sha256 digest");
	(void)snprintf(out, 128, "oci/blobs/sha256/%s", hex);
	return 0;
}

struct inventory {
	const struct image_limits *limits;
	uint64_t entries, bytes;
};

static int
on_layer_name(void *arg, char *line, struct image_error *err)
{
	struct inventory *v = arg;

	if (!image_path_is_inside(line))
		return image_fail(err, "%s: a name that leads out of the image", line);
	if (++v->entries > v->limits->entries)
		return image_fail(err, "%s: the image has more than %llu entries", line,
		    (unsigned long long)v->limits->entries);
	return 0;
}

static const char *
refused_kind(char kind)
{
	switch (kind) {
	case 'b':
	case 'c':
		return "is a device node";
	case 'p':
		return "is a fifo";
	default:
		return NULL;
	}
}

/* "-rw-r--r-- 0/0   SIZE DATE TIME NAME"; a device has MAJOR,MINOR, a hard link its target behind. */
static int
on_layer_entry(void *arg, char *line, struct image_error *err)
{
	struct inventory *v = arg;
	char *field[6], *at = line, *target;
	uint64_t size;

	for (int i = 0; i < 6; i++) {
		field[i] = at + strspn(at, " ");
		at = field[i] + strcspn(field[i], " ");
		if (i < 5 && *at)
			*at++ = '\0';
	}
	if (refused_kind(line[0]))
		return image_fail(err, "/%s: %s", field[5], refused_kind(line[0]));
	target = line[0] == 'h' ? strstr(field[5], " link to ") : NULL;
	if (line[0] == 'h' && (!target || !image_path_is_inside(target + strlen(" link to "))))
		return image_fail(err, "/%s: a hard link that leads out of the image", field[5]);
	size = line[0] == '-' ? strtoull(field[2], NULL, 10) : 0;
	if (size > v->limits->bytes - v->bytes)
		return image_fail(err, "/%s: the image has more than %llu bytes", field[5],
		    (unsigned long long)v->limits->bytes);
	v->bytes += size;
	return 0;
}

/* Before anything is written: a name with ".." or a file of a petabyte is refused by what it says. */
static int
check_layer(int staging_fd, char *blob, struct inventory *v, struct image_error *err)
{
	char *names[] = { "tar", "--list", "--absolute-names", "--quoting-style=escape", "--file",
		blob, NULL };
	char *entries[] = { "tar", "--list", "--verbose", "--numeric-owner", "--absolute-names",
		"--quoting-style=escape", "--file", blob, NULL };

	if (image_run(names, "tar", staging_fd, on_layer_name, v, err) != 0)
		return -1;
	return image_run(entries, "tar", staging_fd, on_layer_entry, v, err);
}

static int
check_layers(int staging_fd, const json_t *manifest, const struct image_limits *limits,
    struct image_error *err)
{
	struct inventory v = { .limits = limits };
	const json_t *layers = json_object_get(manifest, "layers");
	char blob[128];

	if (!json_is_array(layers) || json_array_size(layers) > LAYERS_MAX)
		return image_fail(err, "the image has no layers, or more than %d", LAYERS_MAX);
	for (size_t i = 0; i < json_array_size(layers); i++)
		if (find_blob(json_array_get(layers, i), blob, err) != 0 ||
		    check_layer(staging_fd, blob, &v, err) != 0)
			return -1;
	return 0;
}

static int
check_layout(int staging_fd, const struct image_limits *limits, struct image_error *err)
{
	json_t *index = NULL, *manifest = NULL;
	char blob[128];
	int rc = -1;

	if (read_document(staging_fd, "oci/index.json", &index, err) == 0 &&
	    find_blob(json_array_get(json_object_get(index, "manifests"), 0), blob, err) == 0 &&
	    read_document(staging_fd, blob, &manifest, err) == 0)
		rc = check_layers(staging_fd, manifest, limits, err);
	json_release(index);
	json_release(manifest);
	return rc;
}

/* --- the whole --- */

static int
unpack(int staging_fd, struct image_error *err)
{
	char *argv[] = { "umoci", "unpack", "--image", LAYOUT, "bundle", NULL };
	cleanup_fd int root_fd = -1;

	if (image_run(argv, "umoci", staging_fd, NULL, NULL, err) != 0)
		return -1;
	if (renameat(staging_fd, "bundle/rootfs", staging_fd, "rootfs") != 0)
		return image_fail_errno(err, "the unpacked image");
	if (image_tree_remove(staging_fd, "bundle", err) != 0 ||
	    image_tree_remove(staging_fd, "oci", err) != 0)
		return -1;
	root_fd = image_open_beneath(staging_fd, "rootfs", O_RDONLY | O_DIRECTORY);
	if (root_fd < 0)
		return image_fail_errno(err, "the unpacked image");
	if (image_put_resolver(root_fd, err) != 0)
		return -1;
	return image_put_mount_points(root_fd, err);
}

static int
ignore_line(void *arg, char *line, struct image_error *err)
{
	(void)arg, (void)line, (void)err;
	return 0;
}

/* Before any byte is copied. */
static int
require_program(char *program, struct image_error *err)
{
	char *argv[] = { program, "--version", NULL };

	return image_run(argv, "skopeo umoci", AT_FDCWD, ignore_line, NULL, err);
}

int
image_import_fill(int staging_fd, const char *source, const struct image_limits *limits,
    struct image_error *err)
{
	char reference[PATH_MAX + 64];
	char *copy[] = { "skopeo", "--insecure-policy", "copy", "--quiet", reference, TO_LAYOUT,
		NULL };

	if (read_source(source, reference, err) != 0 || require_program("skopeo", err) != 0 ||
	    require_program("umoci", err) != 0)
		return -1;
	if (image_run(copy, "skopeo", staging_fd, NULL, NULL, err) != 0)
		return image_fail(err, "%s: skopeo takes it for no whole OCI layout or archive",
		    source);
	if (check_layout(staging_fd, limits, err) != 0)
		return -1;
	return unpack(staging_fd, err);
}
