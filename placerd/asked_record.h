/* SPDX-License-Identifier: MIT */
/*
 * What policy was asked, as the audit log keeps it, and back: with the identity of the line, from
 * the record alone the same policy_admit decides the same, and a draft says what it would decide.
 */
#ifndef PLACERD_ASKED_RECORD_H
#define PLACERD_ASKED_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "placerd/policy.h"

#define ASKED_GROUPS_MAX_BYTES 4096 /* packed: that of messages.def */

struct json_t;

/*
 * The record, one JSON object: {"profile":"p","ttl_seconds":0,"image_ref":"","needs_image":true,
 * "groups":["a",…],"live_sessions":1}. Issuer and subject are members of the line. NULL: no memory.
 * The caller's.
 */
struct json_t *asked_record_to_json(const struct policy_identity *identity,
    const struct policy_request *request, uint32_t live_sessions);

/* Read back; its views point into the object that it was read from, and into itself. */
struct asked_record {
	struct policy_identity identity; /* groups alone: the rest is the line's */
	struct policy_request request;
	uint32_t live_sessions;
	unsigned char groups[ASKED_GROUPS_MAX_BYTES];
};

/* 0, or -1 with what is wrong. */
int asked_record_from_json(const struct json_t *obj, struct asked_record *out, char *err,
    size_t err_size);

#endif
