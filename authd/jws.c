/* SPDX-License-Identifier: MIT */
/* Compact JWS: three parts, one header, nothing believed. */
#include "authd/jws.h"

#include <jansson.h>
#include <string.h>

#include "authd/tokenerr.h"
#include "common/cleanup.h"
#include "common/json.h"

#define PARTS 3

/* Members that may not be there at all, whatever their value. */
static const struct {
	const char *name;
	enum token_error error;
} refused[] = {
	{ "crit", TOKEN_E_CRIT },
	{ "b64", TOKEN_E_B64 },
	{ "jwk", TOKEN_E_JWK },
	{ "jku", TOKEN_E_JKU },
	{ "x5u", TOKEN_E_X5U },
	{ "x5c", TOKEN_E_X5C },
};

/* Algorithms that are told apart from unknown ones, in any letter case: the log shall name them. */
static const struct {
	const char *name;
	enum token_error error;
} known_bad[] = {
	{ "none", TOKEN_E_ALG_NONE },
	{ "HS256", TOKEN_E_ALG_SYMMETRIC },
	{ "HS384", TOKEN_E_ALG_SYMMETRIC },
	{ "HS512", TOKEN_E_ALG_SYMMETRIC },
};

struct part {
	const char *text;
	size_t len;
};

static int
split(const char *token, size_t len, struct part parts[static PARTS])
{
	const char *at = token, *end = token + len, *dot;

	for (size_t i = 0; i < PARTS; i++) {
		dot = memchr(at, '.', (size_t)(end - at));
		if ((dot == NULL) != (i == PARTS - 1))
			return -TOKEN_E_PARTS;
		parts[i] = (struct part){ at, (size_t)((dot != NULL ? dot : end) - at) };
		if (parts[i].len == 0)
			return -TOKEN_E_PARTS;
		at = dot != NULL ? dot + 1 : end;
	}
	return 0;
}

static int
read_alg(const json_t *header, struct jws *out)
{
	const char *name = json_string_value(json_object_get(header, "alg"));

	if (name == NULL)
		return -TOKEN_E_HEADER_MEMBER;
	if (jwa_from_name(name, &out->alg) == 0)
		return 0;
	for (size_t i = 0; i < COUNT_OF(known_bad); i++) {
		if (strcasecmp(name, known_bad[i].name) == 0)
			return -(int)known_bad[i].error;
	}
	return -TOKEN_E_ALG_UNKNOWN;
}

/* Absent is fine: *has says which. */
static int
read_text(const json_t *header, const char *name, char *out, size_t out_size, bool *has)
{
	const json_t *value = json_object_get(header, name);
	size_t len = json_string_length(value);

	*has = value != NULL;
	out[0] = '\0';
	if (value == NULL)
		return 0;
	if (!json_is_string(value) || len >= out_size ||
	    !json_text_is_printable(json_string_value(value), len))
		return -TOKEN_E_HEADER_MEMBER;
	memcpy(out, json_string_value(value), len + 1);
	return 0;
}

static int
read_header(const json_t *header, struct jws *out)
{
	bool has_typ;
	int error;

	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		if (json_object_get(header, refused[i].name) != NULL)
			return -(int)refused[i].error;
	}
	error = read_alg(header, out);
	if (error == 0)
		error = read_text(header, "kid", out->kid, sizeof(out->kid), &out->has_kid);
	if (error == 0)
		error = read_text(header, "typ", out->typ, sizeof(out->typ), &has_typ);
	if (error == 0 && has_typ && out->typ[0] == '\0')
		error = -TOKEN_E_HEADER_MEMBER;
	return error;
}

/* The payload's storage serves the header first: neither is longer than the token. */
static int
parse_header(const struct part *part, struct jws *out)
{
	struct json_error_text why;
	json_t *header;
	size_t len;
	int error;

	if (b64url_decode(part->text, part->len, out->payload, sizeof(out->payload), &len) != 0)
		return -TOKEN_E_ENCODING;
	if (json_parse_strict((const char *)out->payload, len, JWS_HEADER_DEPTH, &header, &why) !=
	    0)
		return -TOKEN_E_HEADER_JSON;
	error = read_header(header, out);
	json_release(header);
	return error;
}

int
jws_parse(const char *token, size_t len, struct jws *out)
{
	struct part parts[PARTS];
	int error;

	if (len == 0 || len > JWS_MAX_BYTES)
		return -TOKEN_E_LENGTH;
	error = split(token, len, parts);
	if (error == 0)
		error = parse_header(&parts[0], out);
	if (error != 0)
		return error;
	if (b64url_decode(parts[1].text, parts[1].len, out->payload, sizeof(out->payload),
		&out->payload_len) != 0)
		return -TOKEN_E_ENCODING;
	/* A signature longer than any key makes is no fault of its encoding. */
	if (B64URL_BYTES_MAX(parts[2].len) > sizeof(out->signature))
		return -TOKEN_E_SIGNATURE;
	if (b64url_decode(parts[2].text, parts[2].len, out->signature, sizeof(out->signature),
		&out->signature_len) != 0)
		return -TOKEN_E_ENCODING;
	out->input = token;
	out->input_len = parts[0].len + 1 + parts[1].len;
	return 0;
}
