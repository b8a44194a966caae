/* SPDX-License-Identifier: MIT */
/* nodes.yaml from any bytes: an error with a line, or a fleet whose every value is in bounds. */
/* links: placerd/nodes.c placerd/yaml.c */

#include <stdlib.h>
#include <string.h>

#include "common/fleetorigins.h"
#include "placerd/nodes.h"
#include "placerd/yaml.h"

#define ORIGINS \
	"https://*.example.org https://*.example.org:8443 https://10.0.0.5:8443 " \
	"https://[2001:db8::1]"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
	if (!holds)
		abort();
}

static void
check_error(const char *err)
{
	char *end;

	check(strncmp(err, "fuzz:", 5) == 0);
	check(strtoul(err + 5, &end, 10) > 0 && strncmp(end, ": ", 2) == 0 && end[2]);
	check(strlen(err) < YAML_ERROR_BYTES);
	for (; *err; err++)
		check((unsigned char)*err >= 0x20 && (unsigned char)*err < 0x7f);
}

static void
check_word(const char *text, size_t max)
{
	size_t len = strlen(text);

	check(len >= 1 && len <= max);
	check(strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-._:/") == len);
}

static void
check_url(const char *url)
{
	size_t len = strlen(url);

	check(len <= NODE_URL_MAX_BYTES && strncmp(url, "https://", 8) == 0);
	check(!strpbrk(url + 8, "/?#@ \\%") && url[len - 1] != '.');
	check(fleetorigins_cover(ORIGINS, view_of(url)));
}

static void
check_node(const struct nodes *nodes, size_t i)
{
	const struct node *node = nodes_at(nodes, i);
	size_t n_labels = nodes_label_count(nodes);

	check_word(node->name, NODE_NAME_MAX_BYTES);
	check_word(node->region, NODE_REGION_MAX_BYTES);
	check_url(node->url);
	check(node->tier == TIER_FOG || node->tier == TIER_CLOUD);
	check(node->trust >= TRUST_BASIC && node->trust < TRUST_COUNT);
	check(node->labels >> n_labels == 0);
	check(node->capacity.sessions >= 1 && node->capacity.sessions <= NODE_SESSIONS_MAX);
	check(node->capacity.cpu_milli <= NODE_CPU_MAX_MILLI);
	check(node->capacity.memory_bytes <= NODE_MEMORY_MAX_BYTES);
	check(node->key[0] == 4 && node->line > 0);
	check(nodes_find(nodes, view_of(node->name)) == i);
	check(nodes_find_tag(nodes, node->tag) == i && node->tag == id_node_tag(node->name));
	for (size_t j = 0; j < i; j++) {
		check(strcmp(nodes_at(nodes, j)->url, node->url) != 0);
		check(memcmp(nodes_at(nodes, j)->key, node->key, NODE_KEY_BYTES) != 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[YAML_ERROR_BYTES] = "";
	struct nodes *nodes = nodes_new_from_yaml("fuzz", data, size, ORIGINS, "fog-1", err,
	    sizeof(err));
	size_t n_labels;

	if (!nodes) {
		check_error(err);
		return 0;
	}
	check(nodes_count(nodes) >= 1 && nodes_count(nodes) <= NODES_MAX);
	check(nodes_self(nodes) < nodes_count(nodes));
	for (size_t i = 0; i < nodes_count(nodes); i++)
		check_node(nodes, i);
	n_labels = nodes_label_count(nodes);
	check(n_labels <= PLACE_LABELS_MAX);
	for (size_t i = 0; i < n_labels; i++) {
		struct view label = nodes_label_at(nodes, i);

		check_word(label.p, NODE_LABEL_MAX_BYTES);
		check(nodes_label(nodes, label) == UINT64_C(1) << i);
	}
	nodes_free(nodes);
	return 0;
}
