/* SPDX-License-Identifier: MIT */
/* Reading what is to be fetched: see target.h. */
#include "fetcher/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/fleetorigins.h"

/* An address of 16 bytes in brackets; https_url_parse has let no other text in brackets pass. */
static int
read_v6(const struct https_url *url, struct sockaddr_storage *out)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(url->port) };
	char text[INET6_ADDRSTRLEN];

	snprintf(text, sizeof(text), "%.*s", (int)strlen(url->host) - 2, url->host + 1);
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1)
		return -1;
	memcpy(out, &v6, sizeof(v6));
	return 0;
}

static int
read_v4(const struct https_url *url, struct sockaddr_storage *out)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(url->port) };

	if (inet_pton(AF_INET, url->host, &v4.sin_addr) != 1)
		return -1;
	memcpy(out, &v4, sizeof(v4));
	return 0;
}

/* WHATWG URL 3.5, "ends in a number": libcurl reads such hosts as inet_aton(3) does. */
static bool
ends_in_number(const char *host)
{
	const char *dot = strrchr(host, '.'), *last = dot ? dot + 1 : host;

	if (last[0] == '0' && last[1] == 'x')
		return last[2 + strspn(last + 2, "0123456789abcdef")] == '\0';
	return last[strspn(last, "0123456789")] == '\0';
}

static int
read_target(struct view url, struct target *out)
{
	*out = (struct target){ .kind = HOST_ADDRESS };
	if (https_url_parse(url.p, url.len, &out->url) != 0)
		return -1;
	if (out->url.host[0] == '[')
		return read_v6(&out->url, &out->address);
	if (read_v4(&out->url, &out->address) == 0)
		return 0;
	out->kind = HOST_NAME;
	return ends_in_number(out->url.host) ? -1 : 0;
}

int
target_parse(struct view url, const struct https_url *issuer, struct target *out)
{
	struct target t;

	if (!*issuer->text || read_target(url, &t) != 0)
		return -1;
	t.may_be_private = strcmp(t.url.host, issuer->host) == 0;
	*out = t;
	return 0;
}

int
target_parse_node(struct view url, const char *origins, struct target *out)
{
	struct target t;

	if (!fleetorigins_cover(origins, url) || read_target(url, &t) != 0)
		return -1;
	t.may_be_private = true;
	*out = t;
	return 0;
}
