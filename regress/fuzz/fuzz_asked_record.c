/* SPDX-License-Identifier: MIT */
/*
 * placerd/asked_record.c: whatever an audit log says was asked, what is taken of it is within its
 * bounds, and its record says the same again.
 * links: placerd/asked_record.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "placerd/asked_record.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

static void
check_again(const struct asked_record *first)
{
	struct json_t *obj = asked_record_to_json(&first->identity, &first->request,
	    first->live_sessions);
	struct asked_record again;
	char err[256] = "";

	INVARIANT(obj);
	INVARIANT(asked_record_from_json(obj, &again, err, sizeof(err)) == 0);
	INVARIANT(view_equal(first->request.profile, again.request.profile));
	INVARIANT(view_equal(first->request.image_ref, again.request.image_ref));
	INVARIANT(view_equal(first->identity.groups, again.identity.groups));
	INVARIANT(first->request.ttl_seconds == again.request.ttl_seconds);
	INVARIANT(first->request.needs_image == again.request.needs_image);
	INVARIANT(first->live_sessions == again.live_sessions);
	json_release(obj);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct asked_record record;
	struct json_error_text why;
	struct json_t *obj;
	char err[256] = "";

	INVARIANT(json_init() == 0);
	if (json_parse_strict((const char *)data, len, JSON_DEPTH_DEFAULT, &obj, &why) != 0)
		return 0;
	if (asked_record_from_json(obj, &record, err, sizeof(err)) == 0) {
		INVARIANT(text_is_clean(record.request.profile));
		check_again(&record);
	} else {
		INVARIANT(err[0]);
	}
	json_release(obj);
	return 0;
}
