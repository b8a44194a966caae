/* SPDX-License-Identifier: MIT */
/* Answers of the chain as JSON of the public contract. Pure. */
#ifndef GATEWAYD_API_JSON_H
#define GATEWAYD_API_JSON_H

#include <stdbool.h>

#include "common/config.h"
#include "common/msg.h"

struct json_t;

#define QUANTITY_SIZE 32

/* A new object, the caller's; NULL when out of memory or when a text is not UTF-8. */
struct json_t *api_json_session(const struct pl_session *s);
/* With what it uses, as far as that is known. */
struct json_t *api_json_shown(const struct pl_shown *s);
struct json_t *api_json_profile(const struct pl_profile *p);
/* url: where the caller came in, for a node that has none of its own. */
struct json_t *api_json_node(const struct pl_node *n, const char *url);
struct json_t *api_json_created(const struct pl_created *s, const char *ws_url);
struct json_t *api_json_grant(const char *ws_url, struct view token, uint64_t expires_s);
struct json_t *api_json_ready(bool authd, bool placerd, const struct pl_gate_ready *r);
/* With OIDC_ISSUER_URL that provider, without it the dev shim. */
struct json_t *api_json_config(const struct config *config);
bool api_is_ready(const struct pl_gate_ready *r);

/* Kubernetes quantities in their shortest form: 500 -> "500m", 2000 -> "2"; 1<<29 -> "512Mi". */
void quantity_cpu(uint64_t milli, char out[static QUANTITY_SIZE]);
void quantity_bytes(uint64_t bytes, char out[static QUANTITY_SIZE]);

#endif
