/* SPDX-License-Identifier: MIT */
/* The table of nodes.yaml's keys, what must hold of the whole fleet, and finding a node in it. */

#include "placerd/nodes.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/b64url.h"
#include "common/cleanup.h"
#include "common/fleetorigins.h"
#include "placerd/yaml.h"

#define PATH_BYTES 48
#define SPKI_BYTES 91
#define SPKI_TEXT_LEN 124

/* A data label as it stands in the file. */
struct label {
	char *text;
	size_t line;
};

/* A node with what is looked at once all are known. */
struct item {
	struct node node; /* first: the reader's table has its offsets */
	struct label *labels;
	size_t n_labels;
	size_t url_line;
};

/* The file as it is read. */
struct file {
	struct item *items;
	size_t n, cap;
	char *self;
	size_t self_line;
};

struct nodes {
	struct node *nodes;
	size_t n, self;
	uint32_t *slots; /* by tag: index + 1, 0 is free; n_slots is a power of 2 above 2 * n */
	size_t n_slots;
	char labels[PLACE_LABELS_MAX][NODE_LABEL_MAX_BYTES + 1];
	size_t n_labels;
};

/* One value. */

static int __attribute__((format(printf, 3, 4)))
wrong(char *why, size_t why_size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, why_size, fmt, ap);
	va_end(ap);
	return -1;
}

static bool
is_name_end(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* a-z and 0-9, and inside also the characters of `inside`. */
static bool
is_name(const char *text, size_t len, const char *inside)
{
	if (len == 0 || !is_name_end(text[0]) || !is_name_end(text[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_name_end(text[i]) && !strchr(inside, text[i]))
			return false;
	}
	return true;
}

static int
set_name(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	if (scalar->len <= type->max && !is_name(scalar->text, scalar->len, "-."))
		return wrong(why, why_size,
		    "must be of a-z and 0-9, and inside also - and .; as in \"fog-1.berlin\"");
	return yaml_set_string(type, scalar, field, why, why_size);
}

/* The line goes beside the name, for what is found wrong later. */
static int
set_node_name(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field,
    char *why, size_t why_size)
{
	struct node *node = (struct node *)((char *)field - offsetof(struct node, name));

	node->line = scalar->line;
	return set_name(type, scalar, &node->name, why, why_size);
}

static int
set_self(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	struct file *file = (struct file *)((char *)field - offsetof(struct file, self));

	file->self_line = scalar->line;
	return set_name(type, scalar, &file->self, why, why_size);
}

static int
set_label(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	struct label *label = field;

	label->line = scalar->line;
	if (scalar->len <= type->max && !is_name(scalar->text, scalar->len, "-._:/"))
		return wrong(why, why_size,
		    "a data label has a-z and 0-9, and inside also - . _ : /; as in \"gdpr\"");
	return yaml_set_string(type, scalar, &label->text, why, why_size);
}

static int
set_tier(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	(void)type;
	for (unsigned tier = TIER_FOG; tier <= TIER_CLOUD; tier++) {
		if (strcmp(scalar->text, session_tier_name(tier)) == 0) {
			*(enum node_tier *)field = tier;
			return 0;
		}
	}
	return wrong(why, why_size, "must be fog or cloud");
}

static int
set_trust(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	(void)type;
	for (unsigned trust = TRUST_BASIC; trust < TRUST_COUNT; trust++) {
		if (strcmp(scalar->text, session_trust_name(trust)) == 0) {
			*(enum node_trust *)field = trust;
			return 0;
		}
	}
	return wrong(why, why_size, "must be attested, trusted or basic");
}

/* URLs: one spelling of each, so that two that differ are two. */

/* "" or ":1" to ":65535", not the default, and not with a zero in front. */
static const char *
check_port(const char *text)
{
	size_t len = strlen(text);
	unsigned long port;

	if (len == 0)
		return NULL;
	port = len <= 6 && strspn(text + 1, "0123456789") == len - 1 ? strtoul(text + 1, NULL, 10)
								     : 0;
	if (port == 0 || port > 65535 || text[1] == '0')
		return "the port must be a number from 1 to 65535";
	return port == FLEETORIGINS_HTTPS_PORT ? "write it without :443, which is the default"
					       : NULL;
}

static const char *
check_ipv6(const char *host, size_t len)
{
	char text[INET6_ADDRSTRLEN], canonical[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (len >= sizeof(text))
		return "what stands in the brackets is no IPv6 address";
	memcpy(text, host, len);
	text[len] = '\0';
	if (inet_pton(AF_INET6, text, &address) != 1)
		return "what stands in the brackets is no IPv6 address";
	if (!inet_ntop(AF_INET6, &address, canonical, sizeof(canonical)) ||
	    strcmp(text, canonical) != 0)
		return "write the IPv6 address in its short form (RFC 5952)";
	return NULL;
}

/* A host whose last label begins with a digit is an address, or nothing (WHATWG URL 3.5). */
static const char *
check_host(const char *host, size_t len)
{
	char text[NODE_URL_MAX_BYTES + 1];
	struct in_addr address;
	const char *dot;

	memcpy(text, host, len);
	text[len] = '\0';
	if (!is_name(text, len, "-.") || strstr(text, "..") || strstr(text, ".-") ||
	    strstr(text, "-."))
		return "the host must be a name in lower case or an address";
	dot = strrchr(text, '.');
	if (isdigit((unsigned char)(dot ? dot + 1 : text)[0]) &&
	    inet_pton(AF_INET, text, &address) != 1)
		return "the host looks like an IPv4 address and is none";
	return NULL;
}

static const char *
check_url(const char *url)
{
	static const char scheme[] = "https://";
	const char *host = url + strlen(scheme), *end, *bad;

	if (strncmp(url, scheme, strlen(scheme)) != 0)
		return "must begin with https://";
	if (strchr(host, '@'))
		return "must have no user";
	if (strpbrk(host, "?#"))
		return "must have no query and no fragment";
	if (strchr(host, '/'))
		return "must have no path, nor a / at its end";
	if (*host == '[') {
		end = strchr(host, ']');
		bad = end ? check_ipv6(host + 1, (size_t)(end - host - 1))
			  : "the ] of the address is missing";
		end = end ? end + 1 : host;
		if (!bad && *end && *end != ':')
			bad = "after the ] comes a port or nothing";
	} else {
		end = host + strcspn(host, ":");
		bad = check_host(host, (size_t)(end - host));
	}
	return bad ? bad : check_port(end);
}

static int
set_url(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	struct item *item = (struct item *)((char *)field - offsetof(struct item, node.url));
	const char *bad = scalar->len <= type->max ? check_url(scalar->text) : NULL;

	item->url_line = scalar->line;
	if (bad)
		return wrong(why, why_size, "%s; as in \"https://fog-1.example.org\"", bad);
	return yaml_set_string(type, scalar, &item->node.url, why, why_size);
}

/* Keys. */

/* id-ecPublicKey on prime256v1, then the bits of the point (RFC 5480 2): all but the point itself. */
static const unsigned char spki_prefix[SPKI_BYTES - NODE_KEY_BYTES] = { 0x30, 0x59, 0x30, 0x13,
	0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
	0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };

/* Plain base64 (RFC 4648 4) of that many bytes, canonical. */
static bool
decode_spki(const struct yaml_scalar *scalar, unsigned char out[static SPKI_BYTES])
{
	char text[SPKI_TEXT_LEN];
	size_t len = 0;

	if (scalar->len != sizeof(text) || strpbrk(scalar->text, "-_") ||
	    memcmp(scalar->text + sizeof(text) - 2, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < sizeof(text); i++) {
		char c = scalar->text[i];

		text[i] = (char)(c == '+' ? '-' : c == '/' ? '_' : c);
	}
	return b64url_decode(text, sizeof(text) - 2, out, SPKI_BYTES, &len) == 0 &&
	    len == SPKI_BYTES;
}

static int
set_key(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	struct item *item = (struct item *)((char *)field - offsetof(struct item, node.key));
	unsigned char spki[SPKI_BYTES];

	(void)type;
	item->node.key_line = scalar->line;
	if (!decode_spki(scalar, spki) || memcmp(spki, spki_prefix, sizeof(spki_prefix)) != 0 ||
	    spki[sizeof(spki_prefix)] != 4)
		return wrong(why, why_size,
		    "is no public key of P-256; write the line of base64 (%d characters) that "
		    "\"fogctl node keygen\" prints",
		    SPKI_TEXT_LEN);
	memcpy(item->node.key, spki + sizeof(spki_prefix), NODE_KEY_BYTES);
	return 0;
}

/* The file. */

static void *
append_node(void *list)
{
	struct file *file = list;
	size_t cap = file->cap ? file->cap * 2 : 16;
	struct item *grown = file->items;

	if (file->n == file->cap) {
		grown = reallocarray(file->items, cap, sizeof(*grown));
		if (!grown)
			return NULL;
		file->items = grown;
		file->cap = cap;
	}
	memset(&grown[file->n], 0, sizeof(*grown));
	return &grown[file->n++];
}

static void *
append_label(void *list)
{
	struct item *item = list;
	struct label *grown;

	grown = reallocarray(item->labels, item->n_labels + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	item->labels = grown;
	memset(&grown[item->n_labels], 0, sizeof(*grown));
	return &grown[item->n_labels++];
}

static const struct yaml_type label_type = { .kind = YAML_KIND_SCALAR,
	.min = 1,
	.max = NODE_LABEL_MAX_BYTES,
	.set = set_label };

/* clang-format off */
#define SCALAR(key, presence, type, member, setter, least, most) \
	{ key, presence, offsetof(struct type, member), \
	  { .kind = YAML_KIND_SCALAR, .set = (setter), .min = (least), .max = (most) } }

static const struct yaml_key room_keys[] = {
	SCALAR("sessions", YAML_REQUIRED, place_room, sessions, yaml_set_u32, 1, NODE_SESSIONS_MAX),
	SCALAR("cpu", YAML_OPTIONAL, place_room, cpu_milli, yaml_set_cpu, 1, NODE_CPU_MAX_MILLI),
	SCALAR("memory", YAML_OPTIONAL, place_room, memory_bytes, yaml_set_bytes,
	       NODE_MEMORY_MIN_BYTES, NODE_MEMORY_MAX_BYTES),
	{ 0 }
};

static const struct yaml_key node_keys[] = {
	SCALAR("name", YAML_REQUIRED, item, node.name, set_node_name, 1, NODE_NAME_MAX_BYTES),
	SCALAR("url", YAML_REQUIRED, item, node.url, set_url, 1, NODE_URL_MAX_BYTES),
	SCALAR("region", YAML_REQUIRED, item, node.region, set_name, 1, NODE_REGION_MAX_BYTES),
	SCALAR("tier", YAML_REQUIRED, item, node.tier, set_tier, 0, 0),
	SCALAR("trust", YAML_REQUIRED, item, node.trust, set_trust, 0, 0),
	{ "data_labels", YAML_OPTIONAL, 0,
	  { .kind = YAML_KIND_LIST, .append = append_label, .item = &label_type,
	    .max = PLACE_LABELS_MAX } },
	{ "capacity", YAML_REQUIRED, offsetof(struct item, node.capacity),
	  { .kind = YAML_KIND_MAP, .keys = room_keys } },
	SCALAR("public_key", YAML_REQUIRED, item, node.key, set_key, 0, 0),
	{ 0 }
};

static const struct yaml_type node_type = { .kind = YAML_KIND_MAP, .keys = node_keys };

static const struct yaml_key file_keys[] = {
	SCALAR("self", YAML_OPTIONAL, file, self, set_self, 1, NODE_NAME_MAX_BYTES),
	{ "nodes", YAML_REQUIRED, 0,
	  { .kind = YAML_KIND_LIST, .append = append_node, .item = &node_type,
	    .min = 1, .max = NODES_MAX } },
	{ 0 }
};
/* clang-format on */

static const struct yaml_type file_type = { .kind = YAML_KIND_MAP,
	.max = NODES_FILE_MAX_BYTES,
	.keys = file_keys };

_Static_assert(COUNT_OF(node_keys) <= YAML_KEYS_MAX, "the reader has no room for these keys");

static void
file_fini(struct file *file)
{
	for (size_t i = 0; i < file->n; i++) {
		struct item *item = &file->items[i];

		for (size_t j = 0; j < item->n_labels; j++)
			free(item->labels[j].text);
		free(item->labels);
		free(item->node.name);
		free(item->node.url);
		free(item->node.region);
	}
	free(file->items);
	free(file->self);
}

/* What must hold of the whole. */

/* Where messages go. */
struct complaint {
	const char *file_name;
	char *err;
	size_t err_size;
};

#define COMPLAIN(c, line, path, ...) \
	(yaml_format_error((c)->err, (c)->err_size, (c)->file_name, line, path, __VA_ARGS__), -1)

static void
format_path(char out[static PATH_BYTES], const struct file *file, const struct item *item,
    const char *key)
{
	(void)snprintf(out, PATH_BYTES, "nodes[%zu].%s", (size_t)(item - file->items), key);
}

static int
check_origins(const struct file *file, const char *origins, const struct complaint *c)
{
	char path[PATH_BYTES];

	for (size_t i = 0; i < file->n; i++) {
		const struct item *item = &file->items[i];

		if (fleetorigins_cover(origins, view_of(item->node.url)))
			continue;
		format_path(path, file, item, "url");
		return COMPLAIN(c, item->url_line, path,
		    "FLEET_ORIGINS does not cover \"%s\"; add it there, or a *. that covers it",
		    item->node.url);
	}
	return 0;
}

static int
compare_names(const void *left, const void *right)
{
	const struct item *const *a = left, *const *b = right;

	return strcmp((*a)->node.name, (*b)->node.name);
}

static int
compare_urls(const void *left, const void *right)
{
	const struct item *const *a = left, *const *b = right;

	return strcmp((*a)->node.url, (*b)->node.url);
}

static int
compare_keys(const void *left, const void *right)
{
	const struct item *const *a = left, *const *b = right;

	return memcmp((*a)->node.key, (*b)->node.key, NODE_KEY_BYTES);
}

static int
compare_tags(const void *left, const void *right)
{
	const struct item *const *a = left, *const *b = right;

	return ((*a)->node.tag > (*b)->node.tag) - ((*a)->node.tag < (*b)->node.tag);
}

typedef int compare_fn(const void *, const void *);

static size_t
line_of(const struct item *item, const char *key)
{
	if (strcmp(key, "url") == 0)
		return item->url_line;
	return strcmp(key, "public_key") == 0 ? item->node.key_line : item->node.line;
}

/* What no two nodes may have alike. Names come first, since equal names have equal tags. */
static const struct unique {
	const char *key;
	compare_fn *compare;
	const char *what, *remedy;
} uniques[] = {
	{ "name", compare_names, "is the name of", "each node has its own" },
	{ "url", compare_urls, "is the url of", "each node has its own" },
	{ "public_key", compare_keys, "is the key of",
	    "make another for each node with \"fogctl node keygen\"" },
	{ "name", compare_tags, "has the same 32-bit tag as", "rename one of the two" },
};

static int
check_unique(const struct file *file, struct item **sorted, const struct unique *unique,
    const struct complaint *c)
{
	char path[PATH_BYTES];

	qsort(sorted, file->n, sizeof(sorted[0]), unique->compare);
	for (size_t i = 1; i < file->n; i++) {
		struct item *first = sorted[i - 1], *second = sorted[i];

		if (unique->compare(&first, &second) != 0)
			continue;
		if (first > second) {
			first = sorted[i];
			second = sorted[i - 1];
		}
		format_path(path, file, second, unique->key);
		return COMPLAIN(c, line_of(second, unique->key), path,
		    "%s the node \"%s\" on line %zu too; %s", unique->what, first->node.name,
		    first->node.line, unique->remedy);
	}
	return 0;
}

static int
check_uniques(const struct file *file, const struct complaint *c)
{
	cleanup_free struct item **sorted = calloc(file->n, sizeof(sorted[0]));

	if (!sorted)
		return COMPLAIN(c, 1, "", "out of memory");
	for (size_t i = 0; i < file->n; i++) {
		sorted[i] = &file->items[i];
		sorted[i]->node.tag = id_node_tag(sorted[i]->node.name);
	}
	for (size_t i = 0; i < COUNT_OF(uniques); i++) {
		if (check_unique(file, sorted, &uniques[i], c) < 0)
			return -1;
	}
	return 0;
}

static uint64_t
bit_of_label(struct nodes *nodes, const char *text)
{
	size_t i = 0;

	while (i < nodes->n_labels && strcmp(nodes->labels[i], text) != 0)
		i++;
	if (i == PLACE_LABELS_MAX)
		return 0;
	if (i == nodes->n_labels)
		(void)snprintf(nodes->labels[nodes->n_labels++], sizeof(nodes->labels[0]), "%s",
		    text);
	return UINT64_C(1) << i;
}

static int
take_labels(struct nodes *nodes, const struct file *file, struct item *item,
    const struct complaint *c)
{
	char path[PATH_BYTES];

	for (size_t i = 0; i < item->n_labels; i++) {
		uint64_t bit = bit_of_label(nodes, item->labels[i].text);

		format_path(path, file, item, "data_labels");
		if (bit == 0)
			return COMPLAIN(c, item->labels[i].line, path,
			    "\"%s\" is one label more than the %d that a fleet may have",
			    item->labels[i].text, PLACE_LABELS_MAX);
		if (item->node.labels & bit)
			return COMPLAIN(c, item->labels[i].line, path, "\"%s\" is given twice",
			    item->labels[i].text);
		item->node.labels |= bit;
	}
	return 0;
}

/* Finding. */

static size_t
slot_of(const struct nodes *nodes, uint32_t tag)
{
	size_t at = tag & (nodes->n_slots - 1);

	while (nodes->slots[at] != 0 && nodes->nodes[nodes->slots[at] - 1].tag != tag)
		at = (at + 1) & (nodes->n_slots - 1);
	return at;
}

static int
index_tags(struct nodes *nodes)
{
	nodes->n_slots = 4;
	while (nodes->n_slots <= 2 * nodes->n)
		nodes->n_slots *= 2;
	nodes->slots = calloc(nodes->n_slots, sizeof(nodes->slots[0]));
	if (!nodes->slots)
		return -1;
	for (size_t i = 0; i < nodes->n; i++)
		nodes->slots[slot_of(nodes, nodes->nodes[i].tag)] = (uint32_t)i + 1;
	return 0;
}

size_t
nodes_find_tag(const struct nodes *nodes, uint32_t tag)
{
	uint32_t found = nodes->slots[slot_of(nodes, tag)];

	return found ? found - 1 : SIZE_MAX;
}

size_t
nodes_find(const struct nodes *nodes, struct view name)
{
	char text[NODE_NAME_MAX_BYTES + 1];
	size_t found;

	if (name.len == 0 || view_copy(name, text, sizeof(text)) != 0)
		return SIZE_MAX;
	found = nodes_find_tag(nodes, id_node_tag(text));
	return found != SIZE_MAX && view_is(name, nodes->nodes[found].name) ? found : SIZE_MAX;
}

/* Making. */

static int
find_self(struct nodes *nodes, const struct file *file, const char *self_name,
    const struct complaint *c)
{
	nodes->self = nodes_find(nodes, view_of(file->self ? file->self : self_name));
	if (nodes->self != SIZE_MAX)
		return 0;
	if (file->self)
		return COMPLAIN(c, file->self_line, "self",
		    "no node of the list is named \"%s\"; add it, or write the name that this "
		    "node has in it",
		    file->self);
	return COMPLAIN(c, 1, "",
	    "no node of the list has this node's name, \"%s\"; add it, or set NODE_NAME or self",
	    self_name);
}

/* Takes the nodes out of the file, so that what is freed with it is the rest. */
static int
adopt(struct nodes *nodes, struct file *file, const struct complaint *c)
{
	nodes->nodes = calloc(file->n, sizeof(nodes->nodes[0]));
	if (!nodes->nodes)
		return COMPLAIN(c, 1, "", "out of memory");
	for (size_t i = 0; i < file->n; i++) {
		if (take_labels(nodes, file, &file->items[i], c) < 0)
			return -1;
		nodes->nodes[nodes->n++] = file->items[i].node;
		file->items[i].node = (struct node){ 0 };
	}
	return index_tags(nodes) < 0 ? COMPLAIN(c, 1, "", "out of memory") : 0;
}

struct nodes_reader {
	struct yaml_reader *yaml;
	struct file file;
	const char *origins, *self_name;
	struct complaint c;
};

struct nodes_reader *
nodes_reader_new(const char *file_name, const void *bytes, size_t len, const char *origins,
    const char *self_name, char *err, size_t err_size)
{
	struct nodes_reader *r = calloc(1, sizeof(*r));

	if (!r) {
		yaml_format_error(err, err_size, file_name, 1, "", "out of memory");
		return NULL;
	}
	r->origins = origins;
	r->self_name = self_name;
	r->c = (struct complaint){ file_name, err, err_size };
	r->yaml = yaml_reader_new(file_name, bytes, len, &file_type, &r->file, err, err_size);
	if (r->yaml)
		return r;
	nodes_reader_free(r);
	return NULL;
}

void
nodes_reader_free(struct nodes_reader *r)
{
	if (!r)
		return;
	yaml_reader_free(r->yaml);
	file_fini(&r->file);
	free(r);
}

static struct nodes *
check_and_adopt(struct nodes_reader *r)
{
	struct nodes *nodes = calloc(1, sizeof(*nodes));

	if (!nodes) {
		(void)COMPLAIN(&r->c, 1, "", "out of memory");
		return NULL;
	}
	if (check_origins(&r->file, r->origins, &r->c) == 0 &&
	    check_uniques(&r->file, &r->c) == 0 && adopt(nodes, &r->file, &r->c) == 0 &&
	    find_self(nodes, &r->file, r->self_name, &r->c) == 0)
		return nodes;
	nodes_free(nodes);
	return NULL;
}

int
nodes_reader_go_on(struct nodes_reader *r, size_t members, struct nodes **out)
{
	int rc = yaml_reader_go_on(r->yaml, members);
	struct nodes *nodes = rc == 0 ? check_and_adopt(r) : NULL;

	if (rc != 0)
		return rc;
	if (!nodes)
		return -1;
	*out = nodes;
	return 0;
}

struct nodes *
nodes_new_from_yaml(const char *file_name, const void *bytes, size_t len, const char *origins,
    const char *self_name, char *err, size_t err_size)
{
	struct nodes *nodes = NULL;
	struct nodes_reader *r = nodes_reader_new(file_name, bytes, len, origins, self_name, err,
	    err_size);

	if (r)
		(void)nodes_reader_go_on(r, SIZE_MAX, &nodes);
	nodes_reader_free(r);
	return nodes;
}

struct nodes *
nodes_new_alone(const char *name, const char *region, uint32_t max_sessions)
{
	struct nodes *nodes = calloc(1, sizeof(*nodes));
	struct node *node = calloc(1, sizeof(*node));

	if (!nodes || !node) {
		free(nodes);
		free(node);
		return NULL;
	}
	nodes->nodes = node;
	nodes->n = 1;
	*node = (struct node){ .name = strdup(name),
		.url = strdup(""),
		.region = strdup(region),
		.tier = TIER_FOG,
		.trust = TRUST_BASIC,
		.capacity = { .sessions = max_sessions },
		.tag = id_node_tag(name) };
	if (node->name && node->url && node->region && index_tags(nodes) == 0)
		return nodes;
	nodes_free(nodes);
	return NULL;
}

void
nodes_free(struct nodes *nodes)
{
	if (!nodes)
		return;
	for (size_t i = 0; i < nodes->n; i++) {
		free(nodes->nodes[i].name);
		free(nodes->nodes[i].url);
		free(nodes->nodes[i].region);
	}
	free(nodes->nodes);
	free(nodes->slots);
	free(nodes);
}

/* Reading. */

size_t
nodes_count(const struct nodes *nodes)
{
	return nodes->n;
}

const struct node *
nodes_at(const struct nodes *nodes, size_t index)
{
	return &nodes->nodes[index];
}

size_t
nodes_self(const struct nodes *nodes)
{
	return nodes->self;
}

bool
nodes_has_cloud_in(const struct nodes *nodes, struct view region)
{
	for (size_t i = 0; i < nodes->n; i++) {
		if (nodes->nodes[i].tier == TIER_CLOUD && view_is(region, nodes->nodes[i].region))
			return true;
	}
	return false;
}

bool
nodes_has_cloud(const struct nodes *nodes)
{
	for (size_t i = 0; i < nodes->n; i++) {
		if (nodes->nodes[i].tier == TIER_CLOUD)
			return true;
	}
	return false;
}

uint64_t
nodes_label(const struct nodes *nodes, struct view label)
{
	for (size_t i = 0; i < nodes->n_labels; i++) {
		if (view_is(label, nodes->labels[i]))
			return UINT64_C(1) << i;
	}
	return 0;
}

size_t
nodes_label_count(const struct nodes *nodes)
{
	return nodes->n_labels;
}

struct view
nodes_label_at(const struct nodes *nodes, size_t index)
{
	return index < nodes->n_labels ? view_of(nodes->labels[index]) : view_of("");
}
