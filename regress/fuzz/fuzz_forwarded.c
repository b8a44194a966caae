/* SPDX-License-Identifier: MIT */
/*
 * TRUSTED_PROXIES and the two fields under libFuzzer. The first line is the list; one that is not
 * taken is replaced. Each further line is one of X-Forwarded-For (it begins with "x") or Forwarded.
 * Whoever is named as the client is the proxy itself or nobody that is trusted.
 */
#include "gatewayd/forwarded.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct proxies *
make_list(const char *text)
{
	char err[PROXIES_ERROR_SIZE];
	struct proxies *p = NULL;

	if (proxies_new(text, &p, err) == 0)
		return p;
	INVARIANT(!p && strncmp(err, "TRUSTED_PROXIES: ", 17) == 0);
	INVARIANT(proxies_new("10.0.0.0/8 2001:db8::/32", &p, err) == 0);
	return p;
}

static void
add_line(struct forwarded_lines *to, const char *text)
{
	if (to->count < FORWARDED_LINES_MAX)
		to->line[to->count++] = view_of(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct in6_addr proxy = { .s6_addr = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 } };
	struct forwarded_lines x = { 0 }, rfc = { 0 };
	char *text = malloc(len + 1), *at = text, *list;
	struct proxies *p;
	struct in6_addr client;

	memcpy(text, data, len);
	text[len] = '\0';
	list = strsep(&at, "\n");
	while (at) {
		char *line = strsep(&at, "\n");

		add_line(*line == 'x' ? &x : &rfc, *line == 'x' ? line + 1 : line);
	}
	p = make_list(list);
	client = forwarded_client(p, &proxy, &x, &rfc);
	INVARIANT(IN6_ARE_ADDR_EQUAL(&client, &proxy) || !proxies_trust(p, &client));
	proxies_free(p);
	free(text);
	return 0;
}
