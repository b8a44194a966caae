/* SPDX-License-Identifier: MIT */
/* A discovery document by one table of its members. */
#include "authd/metadata.h"

#include <jansson.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define WELL_KNOWN "/.well-known/openid-configuration"

static const char *const error_codes[] = { [METADATA_OK] = "ok",
#define METADATA_CODE(name, code) [METADATA_E_##name] = code,
	METADATA_ERRORS(METADATA_CODE)
#undef METADATA_CODE
};

static int read_url(const json_t *value, void *field);
static int read_bool(const json_t *value, void *field);
static int read_algs(const json_t *value, void *field);

/* Discovery 3 and what others have added: where a member goes. */
static const struct member {
	const char *name;
	bool required;
	int (*read)(const json_t *value, void *field);
	size_t offset;
} members[] = {
	/* clang-format off */
	{ "jwks_uri", true, read_url, offsetof(struct metadata, jwks_uri) },
	{ "authorization_endpoint", true, read_url, offsetof(struct metadata, authorization_endpoint) },
	{ "token_endpoint", true, read_url, offsetof(struct metadata, token_endpoint) },
	{ "end_session_endpoint", false, read_url, offsetof(struct metadata, end_session_endpoint) },
	{ "dpop_signing_alg_values_supported", false, read_algs, offsetof(struct metadata, dpop_algs) },
	{ "authorization_response_iss_parameter_supported", false, read_bool,
	    offsetof(struct metadata, sends_iss) },
	{ "backchannel_logout_supported", false, read_bool, offsetof(struct metadata, sends_logout) },
	/* clang-format on */
};

const char *
metadata_error_code(int error)
{
	if (error > 0 || error <= -(int)COUNT_OF(error_codes))
		return "unknown";
	return error_codes[-error];
}

void
metadata_location(const char *issuer, char out[static METADATA_LOCATION_SIZE])
{
	size_t len = strnlen(issuer, ISSUER_MAX_BYTES);

	if (len > 0 && issuer[len - 1] == '/')
		len--;
	memcpy(out, issuer, len);
	memcpy(out + len, WELL_KNOWN, sizeof(WELL_KNOWN));
}

static int
read_url(const json_t *value, void *field)
{
	if (!json_is_string(value) ||
	    https_url_parse(json_string_value(value), json_string_length(value), field) != 0)
		return -METADATA_E_URL;
	return 0;
}

static int
read_bool(const json_t *value, void *field)
{
	if (!json_is_boolean(value))
		return -METADATA_E_SHAPE;
	*(bool *)field = json_is_true(value);
	return 0;
}

static int
read_algs(const json_t *value, void *field)
{
	const json_t *name;
	enum jwa_alg alg;
	jwa_set set = 0;
	size_t i;

	if (!json_is_array(value))
		return -METADATA_E_SHAPE;
	json_array_foreach(value, i, name) {
		if (!json_is_string(name))
			return -METADATA_E_SHAPE;
		if (jwa_from_name(json_string_value(name), &alg) == 0)
			set |= JWA_BIT(alg);
	}
	*(jwa_set *)field = set;
	return 0;
}

/* Discovery 4.3: identical, or one provider could speak for another (mix-up). */
static int
read_issuer(const json_t *json, const char *issuer, struct metadata *out)
{
	const json_t *value = json_object_get(json, "issuer");

	if (!json_is_string(value))
		return -METADATA_E_ISSUER_MISSING;
	if (strcmp(json_string_value(value), issuer) != 0)
		return -METADATA_E_ISSUER_OTHER;
	if (issuer_parse(issuer, &out->issuer_url) != 0)
		return -METADATA_E_URL;
	memcpy(out->issuer, issuer, strlen(issuer) + 1);
	return 0;
}

static int
read_members(const json_t *json, struct metadata *out)
{
	const json_t *value;
	int error = 0;

	for (size_t i = 0; i < COUNT_OF(members) && error == 0; i++) {
		value = json_object_get(json, members[i].name);
		if (value != NULL)
			error = members[i].read(value, (char *)out + members[i].offset);
		else if (members[i].required)
			error = -METADATA_E_MISSING;
	}
	return error;
}

int
metadata_parse(const char *bytes, size_t len, const char *issuer, struct metadata *out)
{
	struct metadata metadata = { 0 };
	struct json_error_text why;
	json_t *json;
	int error;

	if (len == 0 || len > METADATA_MAX_BYTES)
		return -METADATA_E_SIZE;
	if (json_parse_strict(bytes, len, METADATA_DEPTH, &json, &why) != 0)
		return -METADATA_E_JSON;
	error = read_issuer(json, issuer, &metadata);
	if (error == 0)
		error = read_members(json, &metadata);
	json_release(json);
	if (error == 0)
		*out = metadata;
	return error;
}
