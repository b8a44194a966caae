/* SPDX-License-Identifier: MIT */
/* The keys of nodes.yaml, looked at as what they are: see nodes.h. */
#include "placerd/nodes.h"

#include <stdio.h>

#include "common/nodetoken.h"
#include "placerd/yaml.h"

#define PATH_BYTES 48

int
nodes_check_keys(const struct nodes *nodes, size_t *at, size_t most, const char *file_name,
    char *err, size_t err_size)
{
	for (size_t n = nodes_count(nodes); *at < n; ++*at, most--) {
		const struct node *node = nodes_at(nodes, *at);
		char path[PATH_BYTES];

		if (most == 0)
			return 1;
		if (nodetoken_is_point(node->key))
			continue;
		snprintf(path, sizeof(path), "nodes[%zu].public_key", *at);
		yaml_format_error(err, err_size, file_name, node->key_line, path,
		    "is no key of P-256; make one with \"fogctl node keygen\"");
		return -1;
	}
	return 0;
}
