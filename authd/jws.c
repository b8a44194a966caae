/* SPDX-License-Identifier: MIT */
/* Compact JWS: three parts, one header, nothing believed. */
#include "authd/jws.h"

#include <jansson.h>
#include <string.h>

#include "authd/tokenerr.h"
#include "common/cleanup.h"
#include "common/compact.h"
#include "common/json.h"

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

/* jwk: where an embedded key goes; NULL: it is refused like the other keys that a token brings. */
static int
check_refused(const json_t *header, json_t **jwk)
{
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		if (jwk != NULL && refused[i].error == TOKEN_E_JWK)
			continue;
		if (json_object_get(header, refused[i].name) != NULL)
			return -(int)refused[i].error;
	}
	return 0;
}

static int
read_header(const json_t *header, struct jws *out, json_t **jwk)
{
	bool has_typ;
	int error = check_refused(header, jwk);

	if (error == 0)
		error = read_alg(header, out);
	if (error == 0)
		error = read_text(header, "kid", out->kid, sizeof(out->kid), &out->has_kid);
	if (error == 0)
		error = read_text(header, "typ", out->typ, sizeof(out->typ), &has_typ);
	if (error == 0 && has_typ && out->typ[0] == '\0')
		error = -TOKEN_E_HEADER_MEMBER;
	if (error == 0 && jwk != NULL)
		*jwk = json_incref(json_object_get(header, "jwk"));
	return error;
}

/* The payload's storage serves the header first: neither is longer than the token. */
static int
parse_header(struct view part, struct jws *out, json_t **jwk)
{
	struct json_error_text why;
	json_t *header;
	size_t len;
	int error;

	if (b64url_decode(part.p, part.len, out->payload, sizeof(out->payload), &len) != 0)
		return -TOKEN_E_ENCODING;
	if (json_parse_strict((const char *)out->payload, len, JWS_HEADER_DEPTH, &header, &why) !=
	    0)
		return -TOKEN_E_HEADER_JSON;
	error = read_header(header, out, jwk);
	json_release(header);
	return error;
}

static int
decode_rest(const struct view parts[static COMPACT_PARTS], struct jws *out)
{
	struct view payload = parts[COMPACT_PAYLOAD], signature = parts[COMPACT_SIGNATURE];

	if (b64url_decode(payload.p, payload.len, out->payload, sizeof(out->payload),
		&out->payload_len) != 0)
		return -TOKEN_E_ENCODING;
	/* A signature longer than any key makes is no fault of its encoding. */
	if (B64URL_BYTES_MAX(signature.len) > sizeof(out->signature))
		return -TOKEN_E_SIGNATURE;
	if (b64url_decode(signature.p, signature.len, out->signature, sizeof(out->signature),
		&out->signature_len) != 0)
		return -TOKEN_E_ENCODING;
	return 0;
}

static int
parse(const char *token, size_t len, struct jws *out, json_t **jwk)
{
	struct view parts[COMPACT_PARTS], input;
	int error;

	if (len == 0 || len > JWS_MAX_BYTES)
		return -TOKEN_E_LENGTH;
	if (compact_split(view_bytes(token, len), parts) != 0)
		return -TOKEN_E_PARTS;
	error = parse_header(parts[COMPACT_HEADER], out, jwk);
	if (error == 0)
		error = decode_rest(parts, out);
	if (error != 0)
		return error;
	input = compact_input(parts);
	out->input = input.p;
	out->input_len = input.len;
	return 0;
}

int
jws_parse(const char *token, size_t len, struct jws *out)
{
	return parse(token, len, out, NULL);
}

int
jws_parse_with_key(const char *token, size_t len, struct jws *out, json_t **jwk)
{
	json_t *found = NULL;
	int error = parse(token, len, out, &found);

	if (error == 0)
		*jwk = found;
	else
		json_release(found);
	return error;
}
