/* SPDX-License-Identifier: MIT */
/*
 * Another node's answer under libFuzzer: the first byte says to what, the next two the status.
 * links: authd/nodeanswer.c authd/httpsurl.c
 */
#include "authd/nodeanswer.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/json.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const enum msg_phase phases[] = { PH_CREATE, PH_SHOW, PH_END, PH_MINT, PH_EXTEND, PH_LIST };

/* A session of fog-b. */
static const char id_text[] = "57a1c1c1-0000-8000-8000-000000000001";

static struct nodeanswer_asked asked = { .node = "fog-b",
	.url = "https://fog-b.example.org",
	.reason = "fog-first" };

/* Its own tag, which the seeds have too: that of the name is a hash. */
static void
set_session(void)
{
	uint32_t tag = id_node_tag(asked.node);

	INVARIANT(id_parse(id_text, strlen(id_text), &asked.session_id) == 0);
	for (int i = 0; i < 4; i++)
		asked.session_id.b[i] = (unsigned char)(tag >> (24 - 8 * i));
}

static const char *
text_of(const json_t *obj, const char *name)
{
	return json_string_value(json_object_get(obj, name));
}

static bool
is_own(const json_t *obj)
{
	const char *text = text_of(obj, "session_id");
	struct id128 id;

	return text && id_parse(text, strlen(text), &id) == 0 &&
	    id_session_node_tag(&id) == id_node_tag(asked.node);
}

/* What is relayed is one object, is about that node alone, and is told again as it was told. */
static void
check_relayed(const struct nodeanswer *out)
{
	json_t *obj = json_loadb(out->body, out->len, JSON_REJECT_DUPLICATES, NULL);
	static struct nodeanswer again;

	INVARIANT(json_is_object(obj));
	if (out->status >= 400) {
		INVARIANT(strcmp(text_of(obj, "node"), asked.node) == 0);
		INVARIANT(json_integer_value(json_object_get(obj, "status")) == out->status);
	} else if (asked.phase == PH_CREATE) {
		INVARIANT(is_own(obj));
		INVARIANT(strncmp(text_of(json_object_get(obj, "attach"), "ws_url"), "wss://", 6) ==
		    0);
		INVARIANT(strcmp(text_of(obj, "placement_reason"), asked.reason) == 0);
	}
	json_decref(obj);
	INVARIANT(nodeanswer_read(&asked, out->status, out->body, out->len, &again) ==
	    FORWARD_DONE);
	INVARIANT(again.len == out->len);
}

static void
check_list(unsigned status, const char *body, size_t len)
{
	const char *why;
	json_t *rows = nodeanswer_read_list(&asked, status, body, len, &why);
	const json_t *row;
	size_t i;

	INVARIANT(!rows == (*why != '\0'));
	json_array_foreach(rows, i, row)
		INVARIANT(is_own(row));
	json_decref(rows);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct nodeanswer out;
	enum forward_result result;
	unsigned status;

	if (len < 3)
		return 0;
	json_init();
	set_session();
	asked.phase = phases[data[0] % COUNT_OF(phases)];
	status = ((unsigned)data[1] << 8 | data[2]) % 600;
	if (asked.phase == PH_LIST) {
		check_list(status, (const char *)data + 3, len - 3);
		return 0;
	}
	result = nodeanswer_read(&asked, status, (const char *)data + 3, len - 3, &out);
	INVARIANT(result == FORWARD_DONE || result == FORWARD_REFUSED || result == FORWARD_FAILED);
	INVARIANT((result == FORWARD_DONE) == (out.len > 0) && out.len <= sizeof(out.body));
	INVARIANT(json_text_is_printable(out.detail, strlen(out.detail)));
	if (result == FORWARD_DONE)
		check_relayed(&out);
	return 0;
}
