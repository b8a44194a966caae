/* SPDX-License-Identifier: MIT */
/* A URL in normal form: escapes first, then its parts (RFC 3986 6.2.2). */
#include "authd/htu.h"

#include <string.h>
#include <strings.h>

#include "authd/metadata.h"
#include "common/cleanup.h"

#define SCHEME_END "://"
#define PORT_MAX_DIGITS 5

static const struct {
	const char *name;
	bool is_https;
	uint16_t port;
} schemes[] = {
	{ "http", false, 80 },
	{ "https", true, 443 },
};

static const char digits[] = "0123456789";
static const char host_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";
static const char address_characters[] = "0123456789abcdef:.";

/* RFC 3986 2: printable, and yet in no URL. */
static const char forbidden[] = "\"<>\\^`{}|";

static const char *const loopback[] = { "localhost", "127.0.0.1", "[::1]" };

static bool
is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 3986 2.3 */
static bool
is_unreserved(char c)
{
	return is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Writes an escape in its normal form (RFC 3986 6.2.2.1, 6.2.2.2). Returns its length, or 0. */
static size_t
put_escape(const char *at, size_t left, char out[static 3])
{
	static const char hex[] = "0123456789ABCDEF";
	int high = left >= 3 ? hex_value(at[1]) : -1, low = left >= 3 ? hex_value(at[2]) : -1;

	if (high < 0 || low < 0)
		return 0;
	out[0] = (char)(high << 4 | low);
	if (is_unreserved(out[0]))
		return 1;
	out[0] = '%';
	out[1] = hex[high];
	out[2] = hex[low];
	return 3;
}

/*
 * Copies up to query and fragment with escapes in normal form and a NUL behind. What an escape hides
 * is never a delimiter, so that this may come before the parts are told apart.
 */
static int
put_unescaped(struct view text, char out[static HTU_MAX_BYTES + 1])
{
	size_t n;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];

		if (c == '?' || c == '#')
			break;
		if (c <= ' ' || c >= 0x7f || strchr(forbidden, c) != NULL)
			return -1;
		if (c != '%') {
			*out++ = c;
			continue;
		}
		n = put_escape(text.p + i, text.len - i, out);
		if (n == 0)
			return -1;
		out += n;
		i += 2;
	}
	*out = '\0';
	return 0;
}

/* Returns what is behind the scheme, or NULL. */
static const char *
read_scheme(const char *text, struct htu *out)
{
	const char *end = strstr(text, SCHEME_END);

	if (end == NULL)
		return NULL;
	for (size_t i = 0; i < COUNT_OF(schemes); i++) {
		if (strlen(schemes[i].name) != (size_t)(end - text) ||
		    strncasecmp(text, schemes[i].name, (size_t)(end - text)) != 0)
			continue;
		out->is_https = schemes[i].is_https;
		out->port = schemes[i].port;
		return end + strlen(SCHEME_END);
	}
	return NULL;
}

static int
read_host(const char *text, size_t len, struct htu *out)
{
	size_t inner;

	if (len == 0 || len > HTU_HOST_MAX_BYTES)
		return -1;
	for (size_t i = 0; i < len; i++)
		out->host[i] = lower(text[i]);
	out->host[len] = '\0';
	if (out->host[0] != '[' || out->host[len - 1] != ']')
		return strspn(out->host, host_characters) == len ? 0 : -1;
	inner = strspn(out->host + 1, address_characters);
	return inner > 0 && inner == len - 2 ? 0 : -1;
}

/* text is "", ":" or ":port". */
static int
read_port(const char *text, size_t len, struct htu *out)
{
	unsigned int port = 0;

	if (len <= 1)
		return len == 0 || text[0] == ':' ? 0 : -1;
	if (text[0] != ':' || len > 1 + PORT_MAX_DIGITS || strspn(text + 1, digits) < len - 1)
		return -1;
	for (size_t i = 1; i < len; i++)
		port = port * 10 + (unsigned int)(text[i] - '0');
	if (port > UINT16_MAX)
		return -1;
	out->port = (uint16_t)port;
	return 0;
}

/* How many dots a segment is, when it is one or two dots and nothing else; else 0. */
static size_t
dots_of(const char *segment, size_t len)
{
	return len <= 2 && strspn(segment, ".") >= len ? len : 0;
}

/* RFC 3986 5.2.4, in place: what is written never passes what is read. */
static void
remove_dot_segments(char *path)
{
	const char *at = path;
	char *out = path;

	while (*at == '/') {
		const char *segment = at + 1;
		size_t len = strcspn(segment, "/"), dots = dots_of(segment, len);
		bool is_last = segment[len] == '\0';

		at = segment + len;
		if (dots == 2) {
			while (out > path && *--out != '/')
				;
		}
		if (dots == 0) {
			memmove(out, segment - 1, len + 1);
			out += len + 1;
		} else if (is_last) {
			*out++ = '/';
		}
	}
	*out = '\0';
}

int
htu_parse(struct view text, struct htu *out)
{
	char clean[HTU_MAX_BYTES + 1];
	struct htu htu = { 0 };
	const char *authority, *path;
	size_t host_len;

	if (text.len > HTU_MAX_BYTES || put_unescaped(text, clean) != 0)
		return -1;
	authority = read_scheme(clean, &htu);
	if (authority == NULL)
		return -1;
	path = authority + strcspn(authority, "/");
	/* A user before the host is refused with it: no host and no port has an @. */
	host_len = url_host_length(authority, (size_t)(path - authority));
	if (read_host(authority, host_len, &htu) != 0 ||
	    read_port(authority + host_len, (size_t)(path - authority) - host_len, &htu) != 0)
		return -1;
	memcpy(htu.path, "/", 2);
	if (*path != '\0')
		memcpy(htu.path, path, strlen(path) + 1);
	remove_dot_segments(htu.path);
	*out = htu;
	return 0;
}

bool
htu_same_origin(const struct htu *a, const struct htu *b)
{
	return a->is_https == b->is_https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool
htu_is_loopback(const struct htu *htu)
{
	for (size_t i = 0; i < COUNT_OF(loopback); i++) {
		if (strcmp(htu->host, loopback[i]) == 0)
			return true;
	}
	return false;
}
