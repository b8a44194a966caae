/* SPDX-License-Identifier: MIT */
/*
 * The status of another node under libFuzzer: what is read is within its bounds, and the same when it
 * is written and read again; so are suspects alone, as an ask has them.
 * links: placerd/nodestatus.c
 */
#include "placerd/nodestatus.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/json.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())
#define STATUS_MAX_BYTES 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
check_read(const struct nodestatus *s)
{
	struct nodestatus again;
	const char *why = NULL;
	json_t *obj;

	INVARIANT(s->version[0] && text_is_clean(view_of(s->version)));
	INVARIANT(s->suspects.n <= FLEET_SUSPECTS_MAX);
	for (size_t i = 0; i < s->suspects.n; i++)
		INVARIANT(s->suspects.names[i][0] && text_is_clean(view_of(s->suspects.names[i])));
	obj = nodestatus_to_json(s);
	INVARIANT(obj && nodestatus_from_json(obj, &again, &why) == 0);
	INVARIANT(strcmp(again.version, s->version) == 0 && again.is_ready == s->is_ready);
	INVARIANT(again.load.sessions == s->load.sessions &&
	    again.load.cpu_milli == s->load.cpu_milli &&
	    again.load.memory_bytes == s->load.memory_bytes);
	INVARIANT(memcmp(&again.suspects, &s->suspects, sizeof(s->suspects)) == 0);
	json_decref(obj);
}

static void
check_suspects(const json_t *list)
{
	struct suspects s, again;
	json_t *obj;

	memset(&s, 0, sizeof(s));
	memset(&again, 0, sizeof(again));
	if (nodestatus_suspects_from_json(list, &s) != 0)
		return;
	INVARIANT(json_is_array(list) && s.n == json_array_size(list));
	obj = nodestatus_suspects_to_json(&s);
	INVARIANT(obj && nodestatus_suspects_from_json(obj, &again) == 0);
	INVARIANT(memcmp(&s, &again, sizeof(s)) == 0);
	json_decref(obj);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct json_error_text err;
	struct nodestatus s;
	const char *why = NULL;
	json_t *obj;

	if (len > STATUS_MAX_BYTES || json_init() != 0 ||
	    json_parse_strict((const char *)data, len, JSON_DEPTH_DEFAULT, &obj, &err) != 0)
		return 0;
	check_suspects(obj);
	if (nodestatus_from_json(obj, &s, &why) == 0)
		check_read(&s);
	else
		INVARIANT(why && *why);
	json_release(obj);
	return 0;
}
