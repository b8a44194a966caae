/* SPDX-License-Identifier: MIT */
/* Content-Security-Policy: see csp.h. */
#include "gatewayd/csp.h"

#include <stdio.h>
#include <string.h>

#include "common/err.h"

#define SCHEME "https://"
#define SCHEME_LEN (sizeof(SCHEME) - 1)

int
csp_source_of(const char *url, char out[static CSP_SOURCE_SIZE])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
	size_t len, host, at = SCHEME_LEN;

	if (strncmp(url, SCHEME, SCHEME_LEN) != 0)
		return -FOG_E_BOUNDS;
	len = at + strcspn(url + at, "/?#");
	if (len >= CSP_SOURCE_SIZE)
		return -FOG_E_BOUNDS;
	for (size_t i = 0; i < len; i++)
		out[i] = url[i] >= 'A' && url[i] <= 'Z' ? (char)(url[i] - 'A' + 'a') : url[i];
	out[len] = '\0';
	host = strspn(out + at, allowed);
	at += host;
	if (out[at] == ':')
		at += 1 + strspn(out + at + 1, "0123456789");
	return host > 0 && at == len && out[len - 1] != ':' ? 0 : -FOG_E_BOUNDS;
}

/*
 * A frame of the provider comes back to our own page: each step of its way is checked (CSP3
 * 6.4.2.2), so that 'self' is there beside the issuer.
 */
int
csp_write(const struct csp *csp, char out[static CSP_SIZE])
{
	const char *issuer = csp->issuer ? csp->issuer : "";
	const char *space = csp->issuer ? " " : "";
	int n = snprintf(out, CSP_SIZE,
	    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src %s%s%s; "
	    "img-src 'self'; font-src 'self'; manifest-src 'none'; frame-src %s%s%s; "
	    "frame-ancestors %s; base-uri 'none'; form-action 'none'",
	    csp->connect_src, space, issuer, csp->issuer ? "'self'" : "'none'", space, issuer,
	    csp->frameable ? "'self'" : "'none'");

	return n < 0 || n >= CSP_SIZE ? -FOG_E_BOUNDS : 0;
}
