/* SPDX-License-Identifier: MIT */
/*
 * The fleet as the operator wrote it: nodes.yaml (fog-nodes.yaml(5)). What a node may be trusted
 * with, and how much it holds, is said here and never by the node (S37).
 */
#ifndef PLACERD_NODES_H
#define PLACERD_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/id.h"
#include "placerd/place.h"

#define NODES_MAX 20000
#define NODES_FILE_MAX_BYTES (16u << 20)
#define NODE_KEY_BYTES 65 /* uncompressed point of P-256 (SEC 1 2.3.3) */
#define NODE_NAME_MAX_BYTES 64
#define NODE_REGION_MAX_BYTES 64
#define NODE_LABEL_MAX_BYTES 64
#define NODE_URL_MAX_BYTES 255
#define NODE_SESSIONS_MAX 4095 /* of MAX_SESSIONS: SESSION_SLOTS */
#define NODE_CPU_MAX_MILLI UINT64_C(65536000)
#define NODE_MEMORY_MIN_BYTES (UINT64_C(8) << 20)
#define NODE_MEMORY_MAX_BYTES (UINT64_C(1) << 50)

struct node {
	char *name; /* at most 64 bytes */
	char *url;  /* "https://host[:port]", no path, no trailing slash */
	char *region;
	enum node_tier tier;
	enum node_trust trust;
	uint64_t labels; /* bits of nodes_label */
	struct place_room capacity;
	unsigned char key[NODE_KEY_BYTES];
	uint32_t tag; /* id_node_tag(name): unique in the file */
	size_t line;  /* where it stands, from 1 */
	size_t key_line;
};

struct nodes;

/*
 * Reads the file, given as bytes. origins: FLEET_ORIGINS, which has to cover every url; self_name:
 * NODE_NAME or the host's name, for a file whose `self` is absent, else `self` rules. NULL with
 * "FILE:LINE: message" in err (YAML_ERROR_BYTES). Two nodes of one name, key, url or tag are refused.
 */
struct nodes *nodes_new_from_yaml(const char *file_name, const void *bytes, size_t len,
    const char *origins, const char *self_name, char *err, size_t err_size);
/*
 * The same in parts, so that a large fleet holds nobody up: yaml.h. What is given is borrowed until the
 * reader is freed, and in the end all that holds of the whole file is checked at once. 1: there is more
 * to read; 0 with *out; -1 with the message.
 */
struct nodes_reader *nodes_reader_new(const char *file_name, const void *bytes, size_t len,
    const char *origins, const char *self_name, char *err, size_t err_size);
int nodes_reader_go_on(struct nodes_reader *r, size_t members, struct nodes **out);
void nodes_reader_free(struct nodes_reader *r); /* NULL is fine */
/*
 * That public_key of these nodes is a point of the curve, which takes arithmetic: nodekeys.c, after
 * nodetoken_load. At most `most` of them from *at on, which is moved. 1: there are more; 0; -1 with
 * the message.
 */
int nodes_check_keys(const struct nodes *nodes, size_t *at, size_t most, const char *file_name,
    char *err, size_t err_size);
/*
 * Of one node alone, this one: what there is without NODES_CONFIG. It is in the fog, has no url, no
 * key and no labels, and its trust is basic, since nobody has said more. NULL: no memory.
 */
struct nodes *nodes_new_alone(const char *name, const char *region, uint32_t max_sessions);
void nodes_free(struct nodes *nodes); /* NULL is fine */

size_t nodes_count(const struct nodes *nodes);
const struct node *nodes_at(const struct nodes *nodes, size_t index); /* borrowed */
size_t nodes_self(const struct nodes *nodes);                         /* index of this node */
/* Index, or SIZE_MAX. In constant time on the whole. */
size_t nodes_find(const struct nodes *nodes, struct view name);
size_t nodes_find_tag(const struct nodes *nodes, uint32_t tag);

/*
 * Whether a cloud node is in that region. Where none is in CLOUD_FALLBACK_REGION, though there are
 * cloud nodes, a warning is due: then any of them is as good as another.
 */
bool nodes_has_cloud_in(const struct nodes *nodes, struct view region);
bool nodes_has_cloud(const struct nodes *nodes);

/*
 * The bit of a data label; 0 when no node has it: then no node fits who needs it. n is how many
 * labels the fleet knows.
 */
uint64_t nodes_label(const struct nodes *nodes, struct view label);
size_t nodes_label_count(const struct nodes *nodes);
struct view nodes_label_at(const struct nodes *nodes, size_t index);

#endif
