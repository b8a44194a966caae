/* SPDX-License-Identifier: MIT */
/* Host and Origin allow-lists: see origin.h. */
#include "gatewayd/origin.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/fleetorigins.h"

/* The names of loopback that a browser knows; "[::1]" is last: it cannot stand in a CSP. */
static const char *const loopback_names[] = { "127.0.0.1", "localhost", "[::1]" };

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	    c == '_' || c == '[' || c == ']' || c == ':';
}

/* Where the port begins (its colon), or len: a colon inside [] belongs to the address. */
static size_t
find_port(const char *host, size_t len)
{
	for (size_t i = len; i > 0 && host[i - 1] != ']'; i--) {
		if (host[i - 1] == ':')
			return i - 1;
	}
	return len;
}

static bool
is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits >= 1 && digits <= 5 && text[digits] == '\0' && text[0] != '0';
}

/* "Host" or "Host:port" to "host:port". */
static int
canonical_host(struct view host, bool https, char out[static ORIGIN_NAME_SIZE])
{
	size_t port_at;

	/* Room for a scheme in front and a port behind. */
	if (host.len == 0 || host.len > ORIGIN_NAME_SIZE - 16)
		return -FOG_E_BOUNDS;
	for (size_t i = 0; i < host.len; i++) {
		out[i] = lower(host.p[i]);
		if (!is_host_char(out[i]))
			return -FOG_E_BOUNDS;
	}
	out[host.len] = '\0';
	port_at = find_port(out, host.len);
	if (port_at == 0)
		return -FOG_E_BOUNDS;
	if (port_at == host.len)
		snprintf(out + host.len, ORIGIN_NAME_SIZE - host.len, ":%s", https ? "443" : "80");
	else if (!is_port(out + port_at + 1))
		return -FOG_E_BOUNDS;
	return 0;
}

/* Takes "http://" or "https://" off the front. */
static bool
take_scheme(struct view *url, bool *https)
{
	static const char *const schemes[] = { "http://", "https://" };

	for (size_t i = 0; i < COUNT_OF(schemes); i++) {
		size_t len = strlen(schemes[i]);

		if (url->len > len && strncasecmp(url->p, schemes[i], len) == 0) {
			*https = i == 1;
			*url = view_bytes(url->p + len, url->len - len);
			return true;
		}
	}
	return false;
}

/* "https://Name" to its scheme and "name:443". */
static int
canonical_origin(struct view origin, bool *https, char out[static ORIGIN_NAME_SIZE])
{
	if (!take_scheme(&origin, https))
		return -FOG_E_BOUNDS;
	return canonical_host(origin, *https, out);
}

static bool
is_loopback_host(const char *host)
{
	size_t len = find_port(host, strlen(host));

	for (size_t i = 0; i < COUNT_OF(loopback_names); i++) {
		if (strlen(loopback_names[i]) == len && memcmp(host, loopback_names[i], len) == 0)
			return true;
	}
	return false;
}

static const char *
port_of(const char *host)
{
	return host + find_port(host, strlen(host)); /* with its colon */
}

static int
add_host(struct origins *o, const char *host)
{
	for (size_t i = 0; i < o->host_count; i++) {
		if (strcmp(o->hosts[i], host) == 0)
			return 0;
	}
	if (o->host_count == ORIGIN_HOSTS_MAX)
		return -FOG_E_BOUNDS;
	snprintf(o->hosts[o->host_count++], ORIGIN_NAME_SIZE, "%s", host);
	return 0;
}

/* The host itself, and for a name of loopback the other ones as well. */
static int
add_host_and_kin(struct origins *o, const char *host)
{
	char name[ORIGIN_NAME_SIZE];
	int rc = add_host(o, host);

	for (size_t i = 0; rc == 0 && is_loopback_host(host) && i < COUNT_OF(loopback_names); i++) {
		snprintf(name, sizeof(name), "%s%s", loopback_names[i], port_of(host));
		rc = add_host(o, name);
	}
	return rc;
}

static int
add_origin(struct origins *o, bool https, const char *host)
{
	int len;

	if (o->allowed_count == ORIGIN_ALLOWED_MAX)
		return -FOG_E_BOUNDS;
	len = snprintf(o->allowed[o->allowed_count], ORIGIN_NAME_SIZE, "%s://%s",
	    https ? "https" : "http", host);
	if (len < 0 || len >= ORIGIN_NAME_SIZE)
		return -FOG_E_BOUNDS;
	o->allowed_count++;
	return 0;
}

static int
add_origin_and_kin(struct origins *o, bool https, const char *host)
{
	char name[ORIGIN_NAME_SIZE];
	int rc = 0;

	if (!is_loopback_host(host))
		return add_origin(o, https, host);
	for (size_t i = 0; rc == 0 && i < COUNT_OF(loopback_names); i++) {
		snprintf(name, sizeof(name), "%s%s", loopback_names[i], port_of(host));
		rc = add_origin(o, https, name);
	}
	return rc;
}

static int
add_listed_origins(struct origins *o, const char *list)
{
	char host[ORIGIN_NAME_SIZE];
	bool https;

	for (const char *p = list; *p; p += strcspn(p, " ")) {
		p += strspn(p, " ");
		if (*p &&
		    (canonical_origin(view_bytes(p, strcspn(p, " ")), &https, host) != 0 ||
			add_origin_and_kin(o, https, host) != 0))
			return -FOG_E_BOUNDS;
	}
	return 0;
}

static int
set_base(struct origins *o, const struct origin_config *config)
{
	struct view url = view_of(config->gateway_url);

	if (url.len == 0) {
		o->https = config->tls;
		return canonical_host(view_of(config->listener), o->https, o->base);
	}
	if (url.p[url.len - 1] == '/')
		url.len--;
	return canonical_origin(url, &o->https, o->base);
}

int
origins_init(struct origins *o, const struct origin_config *config, const char **why)
{
	char listener[ORIGIN_NAME_SIZE];

	*o = (struct origins){ .listens_on_loopback = config->listener_is_loopback,
		.fleet = config->fleet_origins ? config->fleet_origins : "" };
	*why = "LISTEN_ADDR is off loopback without TLS; set TLS_CERT_FILE and TLS_KEY_FILE, or in "
	       "TRUSTED_PROXIES the TLS proxy that is in front";
	if (!config->listener_is_loopback && !config->tls && !config->plain_is_meant)
		return -1;
	*why = "GATEWAY_URL is no URL of a server: scheme, name and port, nothing behind";
	if (set_base(o, config) != 0 || add_host_and_kin(o, o->base) != 0)
		return -1;
	o->is_loopback = is_loopback_host(o->base);
	*why = "the listener's address is not one";
	if (canonical_host(view_of(config->listener), config->tls, listener) != 0)
		return -1;
	/* Health checks from the same machine, whatever the public name is. */
	if (config->listener_is_loopback && add_host_and_kin(o, listener) != 0)
		return -1;
	*why = "ALLOWED_ORIGINS is no list of at most 32 origins such as https://shell.example.org";
	if (config->allowed_origins[0] ? add_listed_origins(o, config->allowed_origins)
				       : add_origin_and_kin(o, o->https, o->base))
		return -1;
	*why = NULL;
	return 0;
}

bool
origins_allow_host(const struct origins *o, struct view host)
{
	char name[ORIGIN_NAME_SIZE];

	if (canonical_host(host, o->https, name) != 0)
		return false;
	for (size_t i = 0; i < o->host_count; i++) {
		if (strcmp(o->hosts[i], name) == 0)
			return true;
	}
	return false;
}

bool
origins_allow_origin(const struct origins *o, struct view origin)
{
	char host[ORIGIN_NAME_SIZE], full[ORIGIN_NAME_SIZE + 8];
	bool https;

	if (canonical_origin(origin, &https, host) != 0)
		return false;
	snprintf(full, sizeof(full), "%s://%s", https ? "https" : "http", host);
	for (size_t i = 0; i < o->allowed_count; i++) {
		if (strcmp(o->allowed[i], full) == 0)
			return true;
	}
	return origins_is_node(o, origin);
}

bool
origins_is_node(const struct origins *o, struct view origin)
{
	char host[ORIGIN_NAME_SIZE];
	bool https;

	/* An origin has nothing behind its port, where the rule itself would let a path pass. */
	return canonical_origin(origin, &https, host) == 0 && fleetorigins_cover(o->fleet, origin);
}

static void
cut_default_port(char *host, bool https)
{
	char *port = host + find_port(host, strlen(host));

	if (strcmp(port, https ? ":443" : ":80") == 0)
		*port = '\0';
}

int
origins_base_url(const struct origins *o, bool websocket, struct view host, char *out,
    size_t out_size)
{
	char asked[ORIGIN_NAME_SIZE], shown[ORIGIN_NAME_SIZE];
	int len;

	snprintf(shown, sizeof(shown), "%s", o->base);
	/* The names of loopback are one origin here, but not to a browser: stay with the client's. */
	if (o->is_loopback && canonical_host(host, o->https, asked) == 0 &&
	    is_loopback_host(asked) && strcmp(port_of(asked), port_of(o->base)) == 0)
		snprintf(shown, sizeof(shown), "%s", asked);
	cut_default_port(shown, o->https);
	len = snprintf(out, out_size, "%s%s://%s", websocket ? "ws" : "http", o->https ? "s" : "",
	    shown);
	return len < 0 || (size_t)len >= out_size ? -FOG_E_BOUNDS : 0;
}

/* CSP 2.3.1: a source without a port is that of its scheme's own. */
static void
append_fleet(const struct origins *o, char out[static ORIGIN_CSP_SIZE])
{
	const char *at = o->fleet;
	struct fleetorigin f;
	char port[8];

	while (fleetorigins_next(&at, &f)) {
		size_t used = strlen(out);

		snprintf(port, sizeof(port), ":%u", f.port);
		if (f.port == FLEETORIGINS_HTTPS_PORT)
			port[0] = '\0';
		if (!f.is_ipv6)
			snprintf(out + used, ORIGIN_CSP_SIZE - used, " https://%.*s%s wss://%.*s%s",
			    VIEW_ARG(f.host), port, VIEW_ARG(f.host), port);
	}
}

void
origins_connect_src(const struct origins *o, char out[static ORIGIN_CSP_SIZE])
{
	const char *scheme = o->https ? "wss" : "ws";
	const char *port = port_of(o->base);

	if (o->is_loopback)
		snprintf(out, ORIGIN_CSP_SIZE, "'self' %s://%s%s %s://%s%s", scheme,
		    loopback_names[0], port, scheme, loopback_names[1], port);
	else
		snprintf(out, ORIGIN_CSP_SIZE, "'self' %s://%s", scheme, o->base);
	append_fleet(o, out);
}
