/* SPDX-License-Identifier: MIT */
/* Trusted proxies and the clients behind them: see forwarded.h. */
#include "gatewayd/forwarded.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BITS 128
#define MAPPED_BITS 96
#define ITEM_SIZE (INET6_ADDRSTRLEN + 4) /* an address, "/" and a length */

struct prefix {
	struct in6_addr address;
	unsigned bits;
};

struct proxies {
	size_t count;
	struct prefix prefix[PROXIES_MAX];
};

/* --- addresses --- */

/* IPv4 becomes ::ffff:a.b.c.d. */
static int
parse_address(struct view text, struct in6_addr *out)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.len == 0 || view_copy(text, copy, sizeof(copy)) != 0)
		return -1;
	if (inet_pton(AF_INET6, copy, out) == 1)
		return 0;
	*out = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
	return inet_pton(AF_INET, copy, out->s6_addr + 12) == 1 ? 0 : -1;
}

static bool
is_equal_to_bit(const struct in6_addr *a, const struct in6_addr *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return rest == 0 || (a->s6_addr[bytes] ^ b->s6_addr[bytes]) >> (8 - rest) == 0;
}

static bool
has_bits_beyond(const struct prefix *p)
{
	for (unsigned bit = p->bits; bit < BITS; bit++) {
		if (p->address.s6_addr[bit / 8] & (0x80 >> bit % 8))
			return true;
	}
	return false;
}

/* --- TRUSTED_PROXIES --- */

static int
refuse(char err[static PROXIES_ERROR_SIZE], struct view item, const char *why)
{
	char shown[ITEM_SIZE];

	snprintf(shown, sizeof(shown), "%.*s", VIEW_ARG(item));
	snprintf(err, PROXIES_ERROR_SIZE, "TRUSTED_PROXIES: \"%s\" %s", shown, why);
	return -1;
}

/* The digits behind "/", without a leading zero; of 0 to most. */
static int
parse_bits(struct view text, unsigned most, unsigned *out)
{
	unsigned n = 0;

	if (text.len < 1 || text.len > 3 || (text.len > 1 && text.p[0] == '0'))
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return -1;
		n = n * 10 + (unsigned)(text.p[i] - '0');
	}
	if (n > most)
		return -1;
	*out = n;
	return 0;
}

static int
parse_prefix(struct view item, struct prefix *out, char err[static PROXIES_ERROR_SIZE])
{
	const char *slash = memchr(item.p, '/', item.len);
	size_t len = slash ? (size_t)(slash - item.p) : item.len;
	struct view bits = view_bytes(item.p + len + 1, slash ? item.len - len - 1 : 0);
	unsigned skipped;

	if (parse_address(view_bytes(item.p, len), &out->address) != 0)
		return refuse(err, item,
		    "is no address; write 192.0.2.7, 192.0.2.0/24, 2001:db8::7 or 2001:db8::/48");
	skipped = memchr(item.p, ':', len) ? 0 : MAPPED_BITS;
	out->bits = BITS - skipped;
	if (slash && parse_bits(bits, BITS - skipped, &out->bits) != 0)
		return refuse(err, item,
		    "has no length behind \"/\" that its kind of address can have");
	if (out->bits == 0)
		return refuse(err, item, "is everybody, who then could name any address as his");
	out->bits += skipped;
	if (has_bits_beyond(out))
		return refuse(err, item, "has bits set beyond its length: is a host meant?");
	return 0;
}

static int
fill(struct proxies *p, const char *list, char err[static PROXIES_ERROR_SIZE])
{
	size_t len;

	for (const char *at = list + strspn(list, " "); *at; at += len + strspn(at + len, " ")) {
		len = strcspn(at, " ");
		if (p->count == PROXIES_MAX)
			return refuse(err, view_bytes(at, len), "is one more than 64");
		if (parse_prefix(view_bytes(at, len), &p->prefix[p->count], err) != 0)
			return -1;
		p->count++;
	}
	return 0;
}

int
proxies_new(const char *list, struct proxies **out, char err[static PROXIES_ERROR_SIZE])
{
	struct proxies *p = calloc(1, sizeof(*p));
	int rc = p ? fill(p, list, err) : -1;

	if (!p)
		snprintf(err, PROXIES_ERROR_SIZE, "TRUSTED_PROXIES: out of memory");
	if (rc != 0 || p->count == 0) {
		proxies_free(p);
		p = NULL;
	}
	if (rc == 0)
		*out = p;
	return rc;
}

void
proxies_free(struct proxies *p)
{
	free(p);
}

bool
proxies_trust(const struct proxies *p, const struct in6_addr *a)
{
	for (size_t i = 0; p && i < p->count; i++) {
		if (is_equal_to_bit(a, &p->prefix[i].address, p->prefix[i].bits))
			return true;
	}
	return false;
}

/* --- the fields --- */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

static struct view
trim(struct view v)
{
	while (v.len > 0 && is_space(v.p[v.len - 1]))
		v.len--;
	while (v.len > 0 && is_space(v.p[0]))
		v = view_bytes(v.p + 1, v.len - 1);
	return v;
}

static bool
is_port(struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
	}
	return v.len >= 1 && v.len <= 5;
}

/* Address, "address:port" of IPv4, "[address]", "[address]:port" of IPv6. */
static int
parse_node(struct view v, struct in6_addr *out)
{
	const char *end = v.len > 0 ? memchr(v.p, v.p[0] == '[' ? ']' : ':', v.len) : NULL;
	size_t len = end ? (size_t)(end - v.p) : v.len;
	struct view rest = view_bytes(v.p + len, v.len - len);

	if (end && v.p[0] == '[') {
		v = view_bytes(v.p + 1, len - 1);
		rest = view_bytes(rest.p + 1, rest.len - 1);
		if (!memchr(v.p, ':', v.len)) /* IPv4 stands in no brackets */
			return -1;
	} else if (memchr(rest.p + (rest.len > 0), ':', rest.len > 0 ? rest.len - 1 : 0)) {
		return parse_address(v, out); /* more colons than a port has: IPv6 */
	} else {
		v.len = len;
	}
	if (rest.len > 0 && (rest.p[0] != ':' || !is_port(view_bytes(rest.p + 1, rest.len - 1))))
		return -1;
	return parse_address(v, out);
}

/* A quote that ends or begins no quoted-string (RFC 9110 5.6.4). */
static bool
is_escaped(struct view v, size_t at)
{
	size_t backslashes = 0;

	while (backslashes < at && v.p[at - backslashes - 1] == '\\')
		backslashes++;
	return backslashes % 2 == 1;
}

/* The first ";" outside of quotes, or the end. */
static size_t
find_semicolon(struct view v)
{
	bool is_quoted = false;
	size_t at = 0;

	for (; at < v.len && (is_quoted || v.p[at] != ';'); at++) {
		if (v.p[at] == '"' && !is_escaped(v, at))
			is_quoted = !is_quoted;
	}
	return at;
}

/* Off the front: so many bytes, and the separator behind them goes too. */
static struct view
take_front(struct view *v, size_t len)
{
	size_t skip = len < v->len ? len + 1 : len;
	struct view front = view_bytes(v->p, len);

	*v = view_bytes(v->p + skip, v->len - skip);
	return front;
}

static struct view
take_name(struct view *pair)
{
	const char *equals = pair->len > 0 ? memchr(pair->p, '=', pair->len) : NULL;

	return take_front(pair, equals ? (size_t)(equals - pair->p) : pair->len);
}

/* An IPv6 address has to be quoted; no address needs an escape (RFC 7239 4, 6). */
static int
parse_for(struct view value, struct in6_addr *out)
{
	bool is_quoted = value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"';

	if (is_quoted)
		value = view_bytes(value.p + 1, value.len - 2);
	if (!is_quoted && memchr(value.p, '[', value.len))
		return -1;
	/* One that is not in brackets is no node of RFC 7239. */
	if (value.len > 0 && value.p[0] != '[' &&
	    memchr(value.p, ':', value.len) != memrchr(value.p, ':', value.len))
		return -1;
	return parse_node(value, out);
}

/* Pairs of one element; the other ones mean nothing here, `for` may be there once. */
static int
parse_element(struct view item, struct in6_addr *out)
{
	bool found = false;

	while (item.len > 0) {
		struct view pair = trim(take_front(&item, find_semicolon(item)));
		struct view name = take_name(&pair);

		if (name.len != 3 || strncasecmp(name.p, "for", 3) != 0)
			continue;
		if (found || parse_for(pair, out) != 0)
			return -1;
		found = true;
	}
	return found ? 0 : -1;
}

typedef int (*parse_item)(struct view item, struct in6_addr *out);

/*
 * Off the end: the last item of a list. Quotes are matched from the end too, since what stands left
 * of the proxy's own item may have half of a pair; within them a comma is the client's, as in the
 * Host that a proxy tells of. False: the item has half of a pair itself.
 */
static bool
take_last(struct view *list, struct view *out)
{
	bool is_quoted = false;
	size_t at = list->len;

	for (; at > 0 && (is_quoted || list->p[at - 1] != ','); at--) {
		if (list->p[at - 1] == '"' && !is_escaped(*list, at - 1))
			is_quoted = !is_quoted;
	}
	*out = trim(view_bytes(list->p + at, list->len - at));
	list->len = at > 0 ? at - 1 : 0;
	return !is_quoted;
}

/* 1: *out is the client; 0: go on to the left; -1: nobody can be named. */
static int
walk_line(const struct proxies *p, struct view line, parse_item parse, unsigned *hops,
    struct in6_addr *out)
{
	while (line.len > 0) {
		struct view item;

		if (!take_last(&line, &item))
			return -1;
		if (item.len == 0) /* RFC 9110 5.6.1.2 */
			continue;
		if (parse(item, out) != 0 || ++*hops > FORWARDED_HOPS_MAX)
			return -1;
		if (!proxies_trust(p, out))
			return 1;
	}
	return 0;
}

/* False: the proxy itself. */
static bool
find_client(const struct proxies *p, const struct forwarded_lines *lines, parse_item parse,
    struct in6_addr *out)
{
	unsigned hops = 0;
	int found = 0;

	for (size_t i = lines->count; found == 0 && i > 0; i--)
		found = walk_line(p, lines->line[i - 1], parse, &hops, out);
	return found == 1;
}

struct in6_addr
forwarded_client(const struct proxies *p, const struct in6_addr *proxy,
    const struct forwarded_lines *x_forwarded_for, const struct forwarded_lines *forwarded)
{
	struct in6_addr by_x, by_rfc;
	bool has_x = find_client(p, x_forwarded_for, parse_node, &by_x);
	bool has_rfc = find_client(p, forwarded, parse_element, &by_rfc);

	if (has_x && has_rfc)
		return IN6_ARE_ADDR_EQUAL(&by_x, &by_rfc) ? by_x : *proxy;
	/* One that is there and names nobody disagrees with one that names somebody. */
	if (has_x && forwarded->count == 0)
		return by_x;
	if (has_rfc && x_forwarded_for->count == 0)
		return by_rfc;
	return *proxy;
}
