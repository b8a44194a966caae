/* SPDX-License-Identifier: MIT */
/*
 * The Content-Security-Policy of every answer (S35), in one place: our own files and the identity
 * provider's origin, nothing else. Pure.
 */
#ifndef GATEWAYD_CSP_H
#define GATEWAYD_CSP_H

#include <stdbool.h>
#include <stddef.h>

#define CSP_SOURCE_SIZE 288 /* "https://" name ":" port */
#define CSP_SIZE 6144

/*
 * "https://Host:443/path" to the source "https://host:443". An address in brackets cannot stand in a
 * policy. 0 or -FOG_E_BOUNDS.
 */
int csp_source_of(const char *url, char out[static CSP_SOURCE_SIZE]);

struct csp {
	const char *connect_src; /* sources for our own calls and WebSockets */
	const char
	    *issuer; /* source of the provider; NULL: none. Called, and framed for a silent round */
	bool frameable; /* by our own page alone: the page that the provider returns to */
};

/* The value of the field. 0 or -FOG_E_BOUNDS. */
int csp_write(const struct csp *csp, char out[static CSP_SIZE]);

#endif
