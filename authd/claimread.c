/* SPDX-License-Identifier: MIT */
/* Single claims out of a payload. */
#include "authd/claimread.h"

#include <jansson.h>
#include <string.h>

#include "common/b64url.h"
#include "common/buf.h"
#include "common/json.h"

#define SHA256_BYTES 32

/* The text of a string value if it is clean and of a length that fits, else NULL. */
static const char *
clean_text(const json_t *value, size_t *len)
{
	const char *text = json_string_value(value);

	*len = json_string_length(value);
	if (text == NULL || *len == 0 || *len > CLAIMS_TEXT_MAX_BYTES)
		return NULL;
	return json_text_is_printable(text, *len) ? text : NULL;
}

int
claim_read_text(const json_t *json, const char *name, char out[static CLAIMS_TEXT_SIZE], int error)
{
	const json_t *value = json_object_get(json, name);
	const char *text;
	size_t len;

	out[0] = '\0';
	if (value == NULL)
		return 0;
	text = clean_text(value, &len);
	if (text == NULL)
		return -error;
	memcpy(out, text, len + 1);
	return 0;
}

int
claim_read_date(const json_t *json, const char *name, enum claim_round round, int error,
    struct claim_date *out)
{
	const json_t *value = json_object_get(json, name);
	double number = json_number_value(value);

	*out = (struct claim_date){ .is_there = value != NULL };
	if (value == NULL)
		return 0;
	/* Exact: the bound is below 2^53, and jansson has refused what is no finite double. */
	if (!json_is_number(value) || number < 0 || number > (double)CLAIMS_DATE_MAX)
		return -error;
	out->s = (uint64_t)number;
	if (round == CLAIM_ROUND_UP && (double)out->s < number)
		out->s++;
	return 0;
}

/* Walks the members that the dots of path keep apart; NULL when one of them is not there. */
static const json_t *
walk(const json_t *json, const char *path)
{
	char name[CLAIMS_GROUPS_PATH_MAX_BYTES + 1];
	size_t len;

	for (;; path += len + 1) {
		len = strcspn(path, ".");
		if (len >= sizeof(name))
			return NULL;
		memcpy(name, path, len);
		name[len] = '\0';
		json = json_object_get(json, name);
		if (json == NULL || path[len] == '\0')
			return json;
	}
}

static int
put_group(const json_t *value, struct writer *out)
{
	size_t len;
	const char *text = clean_text(value, &len);

	if (text == NULL)
		return -TOKEN_E_GROUPS_SHAPE;
	put_view(out, view_bytes(text, len));
	return out->err == 0 ? 0 : -TOKEN_E_GROUPS_SIZE;
}

int
claim_read_groups(const json_t *json, const char *path, struct writer *out)
{
	const json_t *groups = json_object_get(json, path), *group;
	size_t i;
	int error = 0;

	if (groups == NULL)
		groups = walk(json, path);
	if (groups == NULL || json_is_null(groups))
		return 0;
	if (json_is_string(groups))
		return put_group(groups, out);
	if (!json_is_array(groups))
		return -TOKEN_E_GROUPS_SHAPE;
	if (json_array_size(groups) > CLAIMS_GROUPS_MAX)
		return -TOKEN_E_GROUPS_SIZE;
	json_array_foreach(groups, i, group) {
		error = put_group(group, out);
		if (error != 0)
			break;
	}
	return error;
}

int
claim_read_jkt(const json_t *json, char out[static CLAIMS_JKT_SIZE])
{
	const json_t *cnf = json_object_get(json, "cnf"), *jkt = json_object_get(cnf, "jkt");
	unsigned char hash[SHA256_BYTES];
	size_t len = json_string_length(jkt), hash_len;

	out[0] = '\0';
	if (cnf == NULL)
		return 0;
	if (!json_is_string(jkt) || json_object_size(cnf) != 1 || len != CLAIMS_JKT_SIZE - 1 ||
	    b64url_decode(json_string_value(jkt), len, hash, sizeof(hash), &hash_len) != 0)
		return -TOKEN_E_CNF;
	memcpy(out, json_string_value(jkt), len + 1);
	return 0;
}
