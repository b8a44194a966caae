/* SPDX-License-Identifier: MIT */
/*
 * A discovery document under libFuzzer, or, after the byte U, one URL.
 * links: authd/metadata.c authd/httpsurl.c authd/jwa.c
 */
#include "authd/metadata.h"

#include <stdlib.h>
#include <string.h>

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

#define ISSUER "https://idp.example.org"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What a fetcher or a page may rely on. Reading it again gives the same. */
static void
check_url(const struct https_url *url)
{
	struct https_url again;

	INVARIANT(strncmp(url->text, "https://", 8) == 0);
	INVARIANT(strpbrk(url->text, " \"<>\\#\r\n\t") == NULL);
	INVARIANT(url->host[0] != '\0' && url->port != 0);
	INVARIANT(strpbrk(url->host, "@/?#%_ ") == NULL);
	INVARIANT(strncasecmp(url->text + 8, url->host, strlen(url->host)) == 0);
	INVARIANT(https_url_parse(url->text, strlen(url->text), &again) == 0);
	INVARIANT(strcmp(url->host, again.host) == 0 && url->port == again.port);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct metadata metadata;
	struct https_url url;
	int error;

	if (len > 0 && data[0] == 'U') {
		if (https_url_parse((const char *)data + 1, len - 1, &url) == 0)
			check_url(&url);
		return 0;
	}
	error = metadata_parse((const char *)data, len, ISSUER, &metadata);
	INVARIANT(error <= 0 && strcmp(metadata_error_code(error), "unknown") != 0);
	if (error != 0)
		return 0;
	INVARIANT(strcmp(metadata.issuer, ISSUER) == 0);
	check_url(&metadata.issuer_url);
	check_url(&metadata.jwks_uri);
	check_url(&metadata.authorization_endpoint);
	check_url(&metadata.token_endpoint);
	if (metadata.end_session_endpoint.text[0] != '\0')
		check_url(&metadata.end_session_endpoint);
	INVARIANT((metadata.dpop_algs & ~JWA_ALL) == 0);
	return 0;
}
