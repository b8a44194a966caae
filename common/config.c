/* SPDX-License-Identifier: MIT */
/* The option table and its readers: see config.h. */
#include "common/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/egress_nft.h"
#include "common/err.h"
#include "common/fleetorigins.h"
#include "common/log.h"

enum option_kind { KIND_str, KIND_u32, KIND_flag };

struct option {
	const char *variable, *fallback;
	enum option_kind kind;
	uint64_t min, max;
	uint32_t who;
	size_t offset;
};

#define OPTION_ROW(kind, field, VAR, def, min, max, who, help) \
	{ #VAR, def, KIND_##kind, min, max, who, offsetof(struct config, field) },
static const struct option options[] = { CONFIG(OPTION_ROW) };

#define NOT_BUILT_ROW(VAR, why) { #VAR, why },
static const struct {
	const char *variable, *why;
} not_built[] = { CONFIG_NOT_BUILT(NOT_BUILT_ROW) };

#define AT(c, o, type) ((type *)(void *)((char *)(c) + (o)->offset))

static bool
is_secret(const struct option *o)
{
	return strcmp(o->variable, "SESSION_TOKEN_SIGNING_KEY") == 0 ||
	    strcmp(o->variable, "SESSION_TOKEN_SIGNING_KEY_PREVIOUS") == 0;
}

static int
set_str(struct config *c, const struct option *o, const char *value, char *err, size_t err_size)
{
	size_t len = strlen(value);

	if (len < o->min || len > o->max || !text_is_clean(view_of(value))) {
		snprintf(err, err_size,
		    "%s: must be %llu to %llu characters without control characters", o->variable,
		    (unsigned long long)o->min, (unsigned long long)o->max);
		return -1;
	}
	free(*AT(c, o, char *));
	*AT(c, o, char *) = strdup(value);
	return *AT(c, o, char *) ? 0 : -1;
}

static bool
parse_number(const char *value, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)value[0]) || strlen(value) > 18)
		return false;
	*out = strtoull(value, &end, 10);
	return *end == '\0';
}

static int
set_number(struct config *c, const struct option *o, const char *value, char *err, size_t err_size)
{
	uint64_t n;

	if (!parse_number(value, &n) || n < o->min || n > o->max) {
		char shown[80];

		snprintf(err, err_size, "%s=%s: must be a whole number from %llu to %llu",
		    o->variable, log_escape(view_of(value), shown, sizeof(shown)),
		    (unsigned long long)o->min, (unsigned long long)o->max);
		return -1;
	}
	if (o->kind == KIND_flag)
		*AT(c, o, bool) = n == 1;
	else
		*AT(c, o, uint32_t) = (uint32_t)n;
	return 0;
}

static int
set_option(struct config *c, const struct option *o, const char *value, char *err, size_t err_size)
{
	if (o->kind == KIND_str)
		return set_str(c, o, value, err, err_size);
	return set_number(c, o, value, err, err_size);
}

static int
set_defaults(struct config *c, char *err, size_t err_size)
{
	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (set_option(c, &options[i], options[i].fallback, err, err_size) != 0)
			return -1;
	}
	return 0;
}

static int
refuse_not_built(const char *(*get)(const char *), char *err, size_t err_size)
{
	for (size_t i = 0; i < COUNT_OF(not_built); i++) {
		const char *value = get(not_built[i].variable);

		if (!value || !*value || strcmp(value, "0") == 0)
			continue;
		snprintf(err, err_size, "%s: not available in this version (%s); unset it",
		    not_built[i].variable, not_built[i].why);
		return -1;
	}
	return 0;
}

/*
 * The stub means the dev shim as well; the dev shim may have a sandbox (S24). A sandbox cannot be made
 * without root.
 */
static int
settle_runtime(struct config *c, char *err, size_t err_size)
{
	const char *runtime = *c->runtime ? c->runtime : (c->use_stub ? "stub" : "sandbox");
	bool is_stub = strcmp(runtime, "stub") == 0;
	char shown[80], *settled;

	if (!is_stub && strcmp(runtime, "sandbox") != 0) {
		snprintf(err, err_size,
		    "RUNTIME=%s: not available in this version; write sandbox or stub",
		    log_escape(view_of(runtime), shown, sizeof(shown)));
		return -1;
	}
	if (!is_stub && geteuid() != 0) {
		snprintf(err, err_size,
		    "RUNTIME=sandbox: needs root; start as root, or write stub "
		    "(USE_STUB_CONNECTOR=1), for development on a loopback listener");
		return -1;
	}
	c->use_stub = c->use_stub || is_stub;
	settled = strdup(runtime);
	free(c->runtime);
	c->runtime = settled;
	return settled ? 0 : -1;
}

/* Set to anything but what it is without being set. */
static bool
is_set(const struct config *c, const struct option *o)
{
	char number[16];

	if (o->kind == KIND_str)
		return strcmp(*AT(c, o, char *), o->fallback) != 0;
	snprintf(number, sizeof(number), "%u",
	    o->kind == KIND_flag ? *AT(c, o, bool) : *AT(c, o, uint32_t));
	return strcmp(number, o->fallback) != 0;
}

/* Without an issuer they would do nothing, which whoever sets them does not expect. */
static int
refuse_without_issuer(const struct config *c, char *err, size_t err_size)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		bool is_oidc = strncmp(options[i].variable, "OIDC_", 5) == 0 ||
		    strcmp(options[i].variable, "DPOP_NONCE") == 0;

		if (!is_oidc || !is_set(c, &options[i]))
			continue;
		snprintf(err, err_size, "%s: is of no use without OIDC_ISSUER_URL; set that too",
		    options[i].variable);
		return -1;
	}
	return 0;
}

/* Whether a list holds these bytes. */
static bool
list_names(const char *list, const char *name, size_t len)
{
	for (size_t n; *list; list += n + (list[n] != '\0')) {
		n = strcspn(list, ", ");
		if (n == len && memcmp(list, name, len) == 0)
			return true;
	}
	return false;
}

/* As jwa_set_parse has it. The default is all that there are: some of those, each once. */
static bool
algorithms_are_known(const char *text)
{
	const char *all = "", *rest;
	size_t len;

	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (strcmp(options[i].variable, "OIDC_ALGORITHMS") == 0)
			all = options[i].fallback;
	}
	for (;; text = rest + 1) {
		len = strcspn(text, ", ");
		rest = text + len;
		if (len == 0 || !list_names(all, text, len) ||
		    (*rest && list_names(rest + 1, text, len)))
			return false;
		if (!*rest)
			return true;
	}
}

/* A server and nothing behind it: what browsers call an origin. */
static bool
is_server_url(const char *url)
{
	const char *server = strstr(url, "://"), *end;

	if (!server)
		return false;
	server += 3;
	end = server + strcspn(server, "/?#");
	return end > server && !memchr(server, '@', (size_t)(end - server)) &&
	    (*end == '\0' || strcmp(end, "/") == 0);
}

static int
check_issuer(const struct config *c, char *err, size_t err_size)
{
	const char *wrong = NULL;

	if (!*c->oidc_issuer_url)
		return refuse_without_issuer(c, err, err_size);
	if (strncmp(c->oidc_issuer_url, "https://", 8) != 0 || strlen(c->oidc_issuer_url) == 8)
		wrong = "OIDC_ISSUER_URL: must begin with https://";
	else if (strpbrk(c->oidc_issuer_url, "?# "))
		wrong = "OIDC_ISSUER_URL: must have neither query nor fragment nor space";
	else if (!*c->oidc_client_id)
		wrong = "OIDC_CLIENT_ID: must be set when OIDC_ISSUER_URL is";
	else if (!algorithms_are_known(c->oidc_algorithms))
		wrong = "OIDC_ALGORITHMS: must be some of RS256,RS384,RS512,PS256,ES256,ES384,"
			"EdDSA,Ed25519 with commas between, each once";
	else if (c->oidc_require_at_jwt && c->oidc_accept_id_tokens)
		wrong = "OIDC_ACCEPT_ID_TOKENS: contradicts OIDC_REQUIRE_AT_JWT, since ID tokens "
			"are not of type at+jwt; set one of them";
	else if (c->oidc_keys_max_age_seconds < c->oidc_keys_refresh_seconds)
		wrong = "OIDC_KEYS_MAX_AGE_SECONDS: must not be below OIDC_KEYS_REFRESH_SECONDS";
	if (wrong)
		snprintf(err, err_size, "%s", wrong);
	return wrong ? -1 : 0;
}

static int
check_fleet(const struct config *c, char *err, size_t err_size)
{
	const char *why;

	if (fleetorigins_check(c->fleet_origins, &why) != 0)
		snprintf(err, err_size, "FLEET_ORIGINS: %s", why);
	else if (*c->nodes_config && !*c->fleet_origins)
		snprintf(err, err_size,
		    "FLEET_ORIGINS: must be set when NODES_CONFIG is: it says "
		    "where the nodes may be");
	else
		return 0;
	return -1;
}

static int
check_egress(const struct config *c, char *err, size_t err_size)
{
	struct egress_net net;
	char four[80], six[80];
	const char *wrong = egress_net_parse(c->egress_network, c->egress_network6, &net);

	if (wrong)
		snprintf(err, err_size,
		    "EGRESS_NETWORK=%s, EGRESS_NETWORK6=%s: must be an IPv4 /19 and an IPv6 /112, "
		    "such as 100.127.224.0/19 and fd66:6f67:5e55::/112 (%s)",
		    log_escape(view_of(c->egress_network), four, sizeof(four)),
		    log_escape(view_of(c->egress_network6), six, sizeof(six)), wrong);
	return wrong ? -1 : 0;
}

static int
check_together(struct config *c, char *err, size_t err_size)
{
	static const char levels[] = " error warn info debug ";
	char wanted[16];

	snprintf(wanted, sizeof(wanted), " %s ", c->log_level);
	if (!strstr(levels, wanted)) {
		snprintf(err, err_size, "LOG_LEVEL: must be error, warn, info or debug");
		return -1;
	}
	if (!*c->tls_cert_file != !*c->tls_key_file) {
		snprintf(err, err_size, "%s: must be set when %s is",
		    *c->tls_cert_file ? "TLS_KEY_FILE" : "TLS_CERT_FILE",
		    *c->tls_cert_file ? "TLS_CERT_FILE" : "TLS_KEY_FILE");
		return -1;
	}
	if (*c->gateway_url && strncmp(c->gateway_url, "http://", 7) != 0 &&
	    strncmp(c->gateway_url, "https://", 8) != 0) {
		snprintf(err, err_size, "GATEWAY_URL: must begin with http:// or https://");
		return -1;
	}
	if (*c->gateway_url && !is_server_url(c->gateway_url)) {
		snprintf(err, err_size,
		    "GATEWAY_URL: must be scheme, name and port, with no path behind");
		return -1;
	}
	if (check_issuer(c, err, err_size) != 0 || check_fleet(c, err, err_size) != 0 ||
	    check_egress(c, err, err_size) != 0)
		return -1;
	return settle_runtime(c, err, err_size);
}

int
config_from_env(struct config *c, const char *(*get)(const char *name), char *err, size_t err_size)
{
	int rc = set_defaults(c, err, err_size);

	for (size_t i = 0; rc == 0 && i < COUNT_OF(options); i++) {
		const char *value = get(options[i].variable);

		if (value && *value)
			rc = set_option(c, &options[i], value, err, err_size);
	}
	if (rc == 0)
		rc = refuse_not_built(get, err, err_size);
	if (rc == 0)
		rc = check_together(c, err, err_size);
	if (rc != 0)
		config_fini(c);
	return rc;
}

void
config_fini(struct config *c)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		char **text = AT(c, &options[i], char *);

		if (options[i].kind != KIND_str)
			continue;
		if (*text && is_secret(&options[i]))
			explicit_bzero(*text, strlen(*text));
		free(*text);
	}
	memset(c, 0, sizeof(*c));
}

const char *
config_user_env(const char *name)
{
	static char run[512], state[512];
	const char *value = getenv(name), *home = getenv("HOME"), *base;
	bool is_run = strcmp(name, "RUN_DIR") == 0;
	char *out = is_run ? run : state;

	if ((value && *value) || geteuid() == 0 || (!is_run && strcmp(name, "STATE_DIR") != 0))
		return value;
	base = getenv(is_run ? "XDG_RUNTIME_DIR" : "XDG_STATE_HOME");
	if (base && *base == '/')
		snprintf(out, sizeof(run), "%s/cloudshell-fog", base);
	else if (home && *home == '/')
		snprintf(out, sizeof(run), "%s/%s/cloudshell-fog", home,
		    is_run ? ".cache" : ".local/state");
	return *out ? out : NULL;
}

void
config_clear_env(void)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		char *value = getenv(options[i].variable);

		if (value && is_secret(&options[i]))
			explicit_bzero(value, strlen(value));
		unsetenv(options[i].variable);
	}
}

int
config_put(struct writer *w, const struct config *c, enum proc_id role)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		const struct option *o = &options[i];

		if (!(o->who & (1u << role)))
			continue;
		if (o->kind == KIND_str)
			put_view(w, view_of(*AT(c, o, char *)));
		else if (o->kind == KIND_flag)
			put_u32(w, *AT(c, o, bool));
		else
			put_u32(w, *AT(c, o, uint32_t));
	}
	return w->err;
}

static int
get_option(struct reader *r, struct config *c, const struct option *o)
{
	char text[2048], err[128];

	if (o->kind == KIND_str) {
		if (view_copy(get_view(r), text, sizeof(text)) != 0)
			return -FOG_E_BOUNDS;
	} else {
		snprintf(text, sizeof(text), "%u", get_u32(r));
	}
	if (r->err)
		return r->err;
	return set_option(c, o, text, err, sizeof(err)) == 0 ? 0 : -FOG_E_BOUNDS;
}

int
config_get(struct reader *r, struct config *c, enum proc_id role)
{
	char err[128];
	int rc = set_defaults(c, err, sizeof(err)) == 0 ? 0 : -FOG_E_NOMEM;

	for (size_t i = 0; rc == 0 && i < COUNT_OF(options); i++) {
		if (options[i].who & (1u << role))
			rc = get_option(r, c, &options[i]);
	}
	if (rc == 0)
		rc = reader_done(r);
	if (rc != 0)
		config_fini(c);
	return rc;
}

void
config_print(const struct config *c, FILE *out)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		const struct option *o = &options[i];

		if (is_secret(o))
			fprintf(out, "%s=%s\n", o->variable, **AT(c, o, char *) ? "set" : "");
		else if (o->kind == KIND_str)
			fprintf(out, "%s=%s\n", o->variable, *AT(c, o, char *));
		else if (o->kind == KIND_flag)
			fprintf(out, "%s=%d\n", o->variable, *AT(c, o, bool));
		else
			fprintf(out, "%s=%u\n", o->variable, *AT(c, o, uint32_t));
	}
}

int
config_log_level(const struct config *c)
{
	static const char initials[] = "ewid";

	return (int)(strchr(initials, c->log_level[0]) - initials);
}
