/* SPDX-License-Identifier: MIT */
/*
 * A provider's discovery document (OpenID Connect Discovery 1.0 3 and 4.3; RFC 8414 2 and 3.3): who
 * it speaks for, and where its endpoints are. Nothing is fetched here, and no address is judged:
 * the fetcher does both (S20).
 */
#ifndef AUTHD_METADATA_H
#define AUTHD_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "authd/jwa.h"

#define METADATA_MAX_BYTES 65536
#define METADATA_DEPTH 8
#define URL_MAX_BYTES 1024
#define URL_HOST_MAX_BYTES 253 /* RFC 1035 2.3.4 as text */
#define ISSUER_MAX_BYTES 255

/* Room for an issuer, the well-known path and a NUL. */
#define METADATA_LOCATION_SIZE (ISSUER_MAX_BYTES + sizeof("/.well-known/openid-configuration"))

/* E(NAME, code for the log) */
#define METADATA_ERRORS(E) \
	E(SIZE, "metadata_too_large") \
	E(JSON, "metadata_not_json") \
	E(ISSUER_MISSING, "issuer_missing") \
	E(ISSUER_OTHER, "issuer_other") \
	E(MISSING, "endpoint_missing") \
	E(URL, "endpoint_not_a_clean_https_url") \
	E(SHAPE, "member_of_wrong_type")

enum metadata_error {
	METADATA_OK,
#define METADATA_ENUM(name, code) METADATA_E_##name,
	METADATA_ERRORS(METADATA_ENUM)
#undef METADATA_ENUM
};

const char *metadata_error_code(int error);

/* An https URL and the parts that decide whether it may be fetched. */
struct https_url {
	char text[URL_MAX_BYTES + 1];      /* whole, as it came; empty: absent */
	char host[URL_HOST_MAX_BYTES + 1]; /* lower case; an IPv6 address with its brackets */
	uint16_t port;
};

struct metadata {
	char issuer[ISSUER_MAX_BYTES + 1];
	struct https_url issuer_url;
	struct https_url jwks_uri;
	struct https_url authorization_endpoint;
	struct https_url token_endpoint;
	struct https_url end_session_endpoint; /* OIDC RP-Initiated Logout 1.0 2.1; may be absent */
	jwa_set dpop_algs; /* RFC 9449 5.1: those of them that JWA_ALGS has; 0: no DPoP */
	bool sends_iss;    /* RFC 9207 3: authorization answers name their issuer */
	bool sends_logout; /* Back-Channel Logout 1.0 2.1 */
};

/*
 * Reads len bytes; text needs no NUL. Taken is exactly https://host[:port][/path][?query]: scheme
 * in lower case; a host of letters, digits, dots and hyphens, or an IPv6 address in brackets; a
 * port of 1 to 65535; printable ASCII without space, quotes, angle brackets, backslash, caret,
 * backtick, braces or bar (RFC 3986 2); no user, no fragment. Returns 0 or -1; *out is set only on
 * success.
 */
int https_url_parse(const char *text, size_t len, struct https_url *out);

/* Of the host at the front of an authority, an IPv6 address with its brackets: its bytes. len > 0. */
size_t url_host_length(const char *text, size_t len);

/*
 * Whether a configured issuer can be one (Discovery 3): an https URL of at most ISSUER_MAX_BYTES
 * without query. *out is set on success. Returns 0 or -1.
 */
int issuer_parse(const char *issuer, struct https_url *out);

/* Discovery 4.1: where the document of this issuer is; one slash at its end falls away. */
void metadata_location(const char *issuer, char out[static METADATA_LOCATION_SIZE]);

/*
 * Reads the document that came from metadata_location(issuer). Its issuer must be the configured
 * one byte for byte (Discovery 4.3); jwks_uri and both endpoints must be there; members that are
 * known have their type, others are ignored. Returns 0 or a negative enum metadata_error; *out is
 * set only on success.
 */
int metadata_parse(const char *bytes, size_t len, const char *issuer, struct metadata *out);

#endif
