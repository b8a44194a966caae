/* SPDX-License-Identifier: MIT */
/*
 * One line of the control socket under libFuzzer. What is taken is within its bounds and free of
 * control characters; what is refused says why, in ASCII.
 */
#include "placerd/control.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
check_refusal(const char *err)
{
	INVARIANT(err[0]);
	for (const char *p = err; *p; p++)
		INVARIANT(*p >= 0x20 && *p < 0x7f);
}

static void
check_request(const struct control_request *r)
{
	const struct view texts[] = { r->issuer, r->subject, r->node, r->profile, r->hint };
	bool names = r->command == CONTROL_REVOKE_SUBJECT;
	bool explains = r->command == CONTROL_EXPLAIN_PLACEMENT;

	INVARIANT(r->command < CONTROL_COMMAND_COUNT);
	INVARIANT((r->issuer.len > 0) == names && (r->subject.len > 0) == names);
	INVARIANT((r->profile.len > 0) == explains && (explains || r->hint.len == 0));
	INVARIANT(r->command != CONTROL_CORDON_NODE || r->node.len > 0);
	INVARIANT(r->issuer.len <= 255 && r->subject.len <= 255 && r->node.len <= 64 &&
	    r->profile.len <= 64 && r->hint.len <= 64);
	INVARIANT(r->latency_ms.count <= JSON_U32_MAP_MAX && (explains || !r->latency_ms.count));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		INVARIANT(text_is_clean(texts[i]));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct control_request r;
	struct json_t *object = NULL;
	char err[CONTROL_ERROR_SIZE] = "", *line = malloc(len ? len : 1);

	INVARIANT(json_init() == 0);
	memcpy(line, data, len);
	if (control_parse(line, len, &r, &object, err) == 0)
		check_request(&r);
	else
		check_refusal(err);
	json_release(object);
	free(line);
	return 0;
}
