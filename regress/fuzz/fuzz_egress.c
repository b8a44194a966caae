/* SPDX-License-Identifier: MIT */
/*
 * Rules of egress under libFuzzer: as packed bytes and as text. What is taken keeps what egress.h
 * promises, and becomes text for libnftables of harmless characters alone.
 * links: common/egress.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/egress_nft.h"
#include "common/err.h"
#include "common/session.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			       " _.:/-@!={}\"\n";

static bool
is_same(const struct egress_rule *a, const struct egress_rule *b)
{
	unsigned char packed[2][EGRESS_RULE_BYTES];

	egress_pack(a, 1, packed[0]);
	egress_pack(b, 1, packed[1]);
	return memcmp(packed[0], packed[1], sizeof(packed[0])) == 0;
}

static void
try_rule(const struct egress_rule *r)
{
	char text[EGRESS_TEXT_SIZE], again[EGRESS_TEXT_SIZE];
	struct egress_rule back = { 0 };

	INVARIANT(egress_check(r) == NULL);
	INVARIANT(egress_reach_of(r) != EGRESS_NEVER);
	egress_format(r, text);
	INVARIANT(strlen(text) + 1 < sizeof(text));
	INVARIANT(strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.:/ -") == strlen(text));
	INVARIANT(egress_parse(text, &back) == NULL);
	INVARIANT(is_same(&back, r));
	egress_format(&back, again);
	INVARIANT(strcmp(text, again) == 0);
}

static void
try_script(const struct egress_rule *rules, unsigned count)
{
	static struct egress_script script;
	struct egress_net net;
	size_t lines = 0;

	INVARIANT(egress_net_parse("100.127.224.0/19", "fd66:6f67:5e55::/112", &net) == NULL);
	script.len = 0;
	egress_script_add(&script, &net, SESSION_RANGES - 1, rules, count, UINT32_MAX);
	INVARIANT(!script.is_cut && strlen(script.text) == script.len);
	INVARIANT(strspn(script.text, harmless) == script.len);
	for (const char *p = script.text; (p = strchr(p, '\n')); p++)
		lines++;
	INVARIANT(lines == count + 12);
}

static void
try_bytes(const uint8_t *data, size_t len)
{
	struct egress_rule rules[EGRESS_RULES_MAX] = { 0 };
	unsigned char again[EGRESS_RULES_MAX * EGRESS_RULE_BYTES];
	int count = egress_unpack(data, len, rules);

	if (count < 0) {
		INVARIANT(count == -FOG_E_BOUNDS && rules[0].family == 0);
		return;
	}
	INVARIANT((size_t)count * EGRESS_RULE_BYTES == len);
	INVARIANT(egress_pack(rules, (size_t)count, again) == len);
	INVARIANT(len == 0 || memcmp(again, data, len) == 0);
	for (int i = 0; i < count; i++)
		try_rule(&rules[i]);
	try_script(rules, (unsigned)count);
}

static void
try_text(const uint8_t *data, size_t len)
{
	struct egress_rule r = { .family = 77 };
	char *text = calloc(1, len + 1);
	const char *wrong;

	INVARIANT(text);
	memcpy(text, data, len);
	wrong = egress_parse(text, &r);
	free(text);
	if (wrong) {
		INVARIANT(r.family == 77);
		return;
	}
	try_rule(&r);
	try_script(&r, 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	try_bytes(data, len);
	try_text(data, len);
	return 0;
}
