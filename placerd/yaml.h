/* SPDX-License-Identifier: MIT */
/*
 * A strict reader for our YAML files (S22): the file is held against a table of types, and what
 * the table does not name is refused. One document; no aliases, anchors, tags, directives, merge
 * keys, duplicate or unknown keys; a value stands on one line and has no control characters.
 *
 * Nesting is as deep as the table and no deeper, whatever the file says.
 */
#ifndef PLACERD_YAML_H
#define PLACERD_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define YAML_FILE_MAX_BYTES (2 << 20) /* of a file whose type does not say */
#define YAML_KEYS_MAX 32              /* rows in one table of keys */
#define YAML_DEPTH_MAX 8              /* tables and lists in one another */
#define YAML_ERROR_BYTES 512          /* room enough for every message */

struct yaml_type;

/* A value as it stands in the file; a view, valid until the setter returns. */
struct yaml_scalar {
	const char *text; /* ends with NUL, none inside */
	size_t len;       /* bytes */
	size_t line;      /* from 1 */
	bool plain;       /* without quotes */
};

/* Checks the scalar against the type and stores it. Returns 0, or -1 with the reason in why. */
typedef int yaml_set_fn(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field,
    char *why, size_t why_size);

/* Makes room for one more zeroed item, owned by the list. Returns it, or NULL: out of memory. */
typedef void *yaml_append_fn(void *list);

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_LIST, YAML_KIND_MAP };

enum yaml_presence {
	YAML_REQUIRED,
	YAML_OPTIONAL,
	YAML_RESERVED /* a documented key that this version does not have yet: refused by name */
};

struct yaml_type {
	enum yaml_kind kind;
	/*
	 * scalar: the value of a number, the bytes of a text; list: its items. The type of the whole
	 * file, a map: max is its bytes, 0: YAML_FILE_MAX_BYTES.
	 */
	uint64_t min, max;
	yaml_set_fn *set;             /* scalar */
	yaml_append_fn *append;       /* list */
	const struct yaml_type *item; /* list */
	const char *hint; /* list with a min: what to write, said where it is empty; or NULL */
	const struct yaml_key *keys; /* map; the last row has no name */
};

struct yaml_key {
	const char *name;
	enum yaml_presence presence;
	size_t offset; /* of the field in the struct that the map fills */
	struct yaml_type type;
};

/*
 * Reads one file, given as bytes, into out. file_name is used in messages only.
 * Returns 0, or -1 with "FILE:LINE: message" in err; out may then be filled in part, and what its
 * setters and appenders have allocated is the caller's to free.
 */
int yaml_read(const char *file_name, const void *bytes, size_t len, const struct yaml_type *type,
    void *out, char *err, size_t err_size);

/*
 * The same in parts, for a file that takes long to read. bytes, out and err are borrowed until it is
 * freed. NULL: err says why. go_on reads that many members and items more: 1: there is more to read;
 * else as yaml_read, and it is called no more.
 */
struct yaml_reader *yaml_reader_new(const char *file_name, const void *bytes, size_t len,
    const struct yaml_type *type, void *out, char *err, size_t err_size);
int yaml_reader_go_on(struct yaml_reader *r, size_t members);
void yaml_reader_free(struct yaml_reader *r); /* NULL is fine */

/* Writes "FILE:LINE: PATH: message", for checks that need the whole file; cut at err_size. */
void yaml_format_error(char *err, size_t err_size, const char *file_name, size_t line,
    const char *path, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* uint32_t: plain decimal digits without a leading zero. */
yaml_set_fn yaml_set_u32;

/* char *, allocated. What YAML would take for a number, a date or a truth value needs quotes. */
yaml_set_fn yaml_set_string;

/*
 * uint64_t, from a Kubernetes quantity (apimachinery resource.Quantity: digits with an optional
 * point, then one of m, k M G T, Ki Mi Gi Ti or nothing), in thousandths of a CPU or in bytes.
 * Kubernetes rounds up what is finer than the unit; we refuse it, since it is a slip.
 */
yaml_set_fn yaml_set_cpu;
yaml_set_fn yaml_set_bytes;

#endif
