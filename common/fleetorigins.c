/* SPDX-License-Identifier: MIT */
/* Which URLs FLEET_ORIGINS covers: see fleetorigins.h. */
#include "common/fleetorigins.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define SCHEME "https://"
#define NAME_MAX_BYTES 253 /* RFC 1035 2.3.4 as text */
#define LABEL_MAX_BYTES 63

enum host_kind { HOST_BAD, HOST_NAME, HOST_V4, HOST_V6 };

/* A host and its port, as an entry or a URL has them. */
struct place {
	enum host_kind kind;
	struct view name; /* of HOST_NAME, without "*." */
	bool is_wildcard;
	struct in6_addr address; /* of HOST_V6; of HOST_V4 its first four bytes */
	uint16_t port;
};

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_label_char(char c)
{
	return (lower(c) >= 'a' && lower(c) <= 'z') || is_digit(c) || c == '-';
}

/* Takes a label off the front of a name; what is left begins behind its dot. */
static bool
take_label(struct view *name, struct view *label)
{
	size_t len = 0;

	while (len < name->len && is_label_char(name->p[len]))
		len++;
	*label = view_bytes(name->p, len);
	if (len == 0 || len > LABEL_MAX_BYTES || label->p[0] == '-' || label->p[len - 1] == '-')
		return false;
	if (len == name->len) {
		name->len = 0;
		return true;
	}
	/* A dot, and something behind it. */
	if (name->p[len] != '.' || len + 1 == name->len)
		return false;
	*name = view_bytes(name->p + len + 1, name->len - len - 1);
	return true;
}

/* WHATWG URL 3.5, "ends in a number": what inet_aton(3) may take for an address. */
static bool
is_numeric(struct view label)
{
	bool is_hex = label.len >= 2 && label.p[0] == '0' && lower(label.p[1]) == 'x';

	for (size_t i = is_hex ? 2 : 0; i < label.len; i++) {
		char c = lower(label.p[i]);

		if (!is_digit(c) && !(is_hex && c >= 'a' && c <= 'f'))
			return false;
	}
	return true;
}

/* RFC 1123 2.1. */
static bool
is_name(struct view host)
{
	struct view label = { 0 };

	if (host.len == 0 || host.len > NAME_MAX_BYTES)
		return false;
	while (host.len > 0) {
		if (!take_label(&host, &label))
			return false;
	}
	return !is_numeric(label);
}

static bool
is_address(int family, struct view text, void *out)
{
	char copy[INET6_ADDRSTRLEN];

	return view_copy(text, copy, sizeof(copy)) == 0 && inet_pton(family, copy, out) == 1;
}

static enum host_kind
read_host(struct view host, struct place *out)
{
	if (host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
		return is_address(AF_INET6, view_bytes(host.p + 1, host.len - 2), &out->address)
		    ? HOST_V6
		    : HOST_BAD;
	if (is_address(AF_INET, host, &out->address))
		return HOST_V4;
	out->name = host;
	return is_name(host) ? HOST_NAME : HOST_BAD;
}

/* text: ":port" or nothing. */
static bool
read_port(struct view text, uint16_t *out)
{
	unsigned port = 0;

	*out = FLEETORIGINS_HTTPS_PORT;
	if (text.len == 0)
		return true;
	if (text.p[0] != ':' || text.len < 2 || text.len > 6 || text.p[1] == '0')
		return false;
	for (size_t i = 1; i < text.len; i++) {
		if (!is_digit(text.p[i]))
			return false;
		port = port * 10 + (unsigned)(text.p[i] - '0');
	}
	*out = (uint16_t)port;
	return port <= UINT16_MAX;
}

static size_t
host_length(struct view authority)
{
	const char *end = memchr(authority.p, authority.p[0] == '[' ? ']' : ':', authority.len);

	if (!end)
		return authority.len;
	return (size_t)(end - authority.p) + (*end == ']' ? 1 : 0);
}

/* What stands behind "https://" and before the path; p NULL: it is no such URL. */
static struct view
authority_of(struct view url)
{
	size_t scheme = strlen(SCHEME), len = 0;

	if (url.len <= scheme || memcmp(url.p, SCHEME, scheme) != 0)
		return view_bytes(NULL, 0);
	url = view_bytes(url.p + scheme, url.len - scheme);
	while (len < url.len && url.p[len] != '/' && url.p[len] != '?' && url.p[len] != '#')
		len++;
	return len > 0 ? view_bytes(url.p, len) : view_bytes(NULL, 0);
}

static bool
read_place(struct view authority, struct place *out)
{
	size_t len = host_length(authority);

	*out = (struct place){ 0 };
	out->kind = read_host(view_bytes(authority.p, len), out);
	return out->kind != HOST_BAD &&
	    read_port(view_bytes(authority.p + len, authority.len - len), &out->port);
}

/* --- the list --- */

static struct view
take_word(const char **at)
{
	struct view word;

	*at += strspn(*at, " ");
	word = view_bytes(*at, strcspn(*at, " "));
	*at += word.len;
	return word;
}

static bool
has_upper(struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] != lower(v.p[i]))
			return true;
	}
	return false;
}

/* What is wrong with an entry; NULL: nothing. */
static const char *
read_entry(struct view word, struct place *out)
{
	struct view authority = authority_of(word);
	bool is_wildcard = authority.len > 2 && memcmp(authority.p, "*.", 2) == 0;

	if (!authority.p)
		return "an entry does not begin with https:// and a host";
	if (authority.p + authority.len != word.p + word.len)
		return "an entry has a path: it ends with its host or port";
	if (has_upper(authority))
		return "an entry is not in lower case";
	if (is_wildcard)
		authority = view_bytes(authority.p + 2, authority.len - 2);
	if (!read_place(authority, out))
		return "an entry is not https://HOST, https://*.HOST or either with :PORT";
	if (is_wildcard && (out->kind != HOST_NAME || !memchr(out->name.p, '.', out->name.len)))
		return "behind *. there must be a name with a dot in it, such as fog.example.org";
	out->is_wildcard = is_wildcard;
	return NULL;
}

int
fleetorigins_check(const char *origins, const char **why)
{
	struct place entry;
	struct view word;

	while ((word = take_word(&origins)).len > 0) {
		*why = read_entry(word, &entry);
		if (*why)
			return -1;
	}
	return 0;
}

bool
fleetorigins_next(const char **at, struct fleetorigin *out)
{
	struct view word = take_word(at), authority;
	struct place entry;

	if (word.len == 0 || read_entry(word, &entry) != NULL)
		return false;
	authority = authority_of(word);
	*out = (struct fleetorigin){ .host = view_bytes(authority.p, host_length(authority)),
		.port = entry.port,
		.is_ipv6 = entry.kind == HOST_V6 };
	return true;
}

/* --- whether it covers --- */

static bool
is_same_text(struct view entry, const char *text)
{
	for (size_t i = 0; i < entry.len; i++) {
		if (entry.p[i] != lower(text[i]))
			return false;
	}
	return true;
}

static bool
covers(const struct place *entry, const struct place *url)
{
	size_t more = url->name.len - entry->name.len;

	if (entry->kind != url->kind || entry->port != url->port)
		return false;
	if (entry->kind != HOST_NAME)
		return memcmp(&entry->address, &url->address, sizeof(entry->address)) == 0;
	if (!entry->is_wildcard)
		return more == 0 && is_same_text(entry->name, url->name.p);
	/* Both are names, so that what stands before the dot is one label or more. */
	return url->name.len > entry->name.len && url->name.p[more - 1] == '.' &&
	    is_same_text(entry->name, url->name.p + more);
}

bool
fleetorigins_cover(const char *origins, struct view url)
{
	struct view authority = authority_of(url), word;
	struct place place, entry;

	if (!authority.p || !read_place(authority, &place))
		return false;
	while ((word = take_word(&origins)).len > 0) {
		if (read_entry(word, &entry) == NULL && covers(&entry, &place))
			return true;
	}
	return false;
}
