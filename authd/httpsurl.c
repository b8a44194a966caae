/* SPDX-License-Identifier: MIT */
/* https URLs of a provider, strictly (RFC 3986, RFC 9110 4.2.2). */
#include "authd/metadata.h"

#include <arpa/inet.h>
#include <string.h>

#define SCHEME "https://"
#define HTTPS_PORT 443
#define LABEL_MAX_BYTES 63

/* RFC 3986 2: what no URL holds, though it is printable. A fragment stays with the browser. */
static const char forbidden[] = "\"<>\\^`{}|#";

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_clean(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] >= 0x7f || strchr(forbidden, text[i]) != NULL)
			return false;
	}
	return true;
}

/* RFC 1123 2.1: labels of letters, digits and inner hyphens; also a dotted IPv4 address. */
static int
check_name(const char *host)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t len;

	for (;; host += len + 1) {
		len = strspn(host, letters);
		if (len == 0 || len > LABEL_MAX_BYTES || host[0] == '-' || host[len - 1] == '-')
			return -1;
		if (host[len] == '\0')
			return 0;
		if (host[len] != '.')
			return -1;
	}
}

/* RFC 3986 3.2.2: the only address that stands in brackets; no zone. */
static int
check_ipv6(const char *host, size_t len)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (len < 2 || len - 2 >= sizeof(text) || host[len - 1] != ']')
		return -1;
	memcpy(text, host + 1, len - 2);
	text[len - 2] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1 ? 0 : -1;
}

static int
read_host(const char *text, size_t len, struct https_url *out)
{
	if (len == 0 || len > URL_HOST_MAX_BYTES)
		return -1;
	for (size_t i = 0; i < len; i++)
		out->host[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
	out->host[len] = '\0';
	return out->host[0] == '[' ? check_ipv6(out->host, len) : check_name(out->host);
}

/* text is ":port" or nothing. */
static int
read_port(const char *text, size_t len, uint16_t *out)
{
	unsigned int port = 0;

	*out = HTTPS_PORT;
	if (len == 0)
		return 0;
	if (text[0] != ':' || len < 2 || len > 6 || text[1] == '0')
		return -1;
	for (size_t i = 1; i < len; i++) {
		if (!is_digit(text[i]))
			return -1;
		port = port * 10 + (unsigned int)(text[i] - '0');
	}
	if (port > UINT16_MAX)
		return -1;
	*out = (uint16_t)port;
	return 0;
}

size_t
url_host_length(const char *text, size_t len)
{
	const char *bracket = text[0] == '[' ? memchr(text, ']', len) : NULL;
	const char *colon = memchr(text, ':', len);

	if (bracket != NULL)
		return (size_t)(bracket + 1 - text);
	return colon != NULL ? (size_t)(colon - text) : len;
}

int
https_url_parse(const char *text, size_t len, struct https_url *out)
{
	struct https_url url = { 0 };
	size_t scheme_len = strlen(SCHEME), authority_len, host_len;
	const char *authority = url.text + scheme_len;

	if (len <= scheme_len || len > URL_MAX_BYTES || !is_clean(text, len) ||
	    memcmp(text, SCHEME, scheme_len) != 0)
		return -1;
	memcpy(url.text, text, len);
	authority_len = strcspn(authority, "/?");
	/* A user before the host is refused with it: no host and no port has an @. */
	host_len = url_host_length(authority, authority_len);
	if (read_host(authority, host_len, &url) != 0 ||
	    read_port(authority + host_len, authority_len - host_len, &url.port) != 0)
		return -1;
	*out = url;
	return 0;
}

int
issuer_parse(const char *issuer, struct https_url *out)
{
	size_t len = strlen(issuer);

	if (len > ISSUER_MAX_BYTES || strchr(issuer, '?') != NULL)
		return -1;
	return https_url_parse(issuer, len, out);
}
