/* SPDX-License-Identifier: MIT */
/* A JWK set into a table of keys, and a token's signature against it. */
#include "authd/jwk.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "authd/jwkread.h"
#include "authd/tokenerr.h"
#include "common/cleanup.h"
#include "common/json.h"

struct key {
	bool has_kid;
	char kid[JWS_KID_MAX_BYTES + 1];
	jwa_set algs; /* what this key verifies: type, its alg, the configuration */
	struct evp_pkey_st *pkey;
	struct jwa_verifier verifiers[JWA_COUNT]; /* those of algs */
};

struct jwk_set {
	uint64_t serial;
	jwa_set allowed;
	size_t count;
	struct key keys[JWK_SET_MAX_KEYS];
};

static const char *const error_codes[] = { [JWK_OK] = "ok",
#define JWK_CODE(name, code) [JWK_E_##name] = code,
	JWK_ERRORS(JWK_CODE)
#undef JWK_CODE
};

const char *
jwk_error_code(int error)
{
	if (error > 0 || error <= -(int)COUNT_OF(error_codes))
		return "unknown";
	return error_codes[-error];
}

static void
key_fini(struct key *key)
{
	for (size_t i = 0; i < JWA_COUNT; i++)
		jwa_verifier_fini(&key->verifiers[i]);
	jwk_free_pkey(key->pkey);
}

void
jwk_set_free(struct jwk_set *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->count; i++)
		key_fini(&set->keys[i]);
	free(set);
}

/* On failure key_fini undoes what was done. */
static int
key_init_verifiers(struct key *key)
{
	for (unsigned int i = 0; i < JWA_COUNT; i++) {
		if ((key->algs & JWA_BIT(i)) == 0)
			continue;
		if (jwa_verifier_init(&key->verifiers[i], (enum jwa_alg)i, key->pkey) != 0)
			return -JWK_E_INVALID;
	}
	return 0;
}

static int
key_init(struct key *key, const json_t *json, jwa_set allowed)
{
	int error;

	memset(key, 0, sizeof(*key));
	error = jwk_read_kid(json, key->kid, &key->has_kid);
	if (error == 0)
		error = jwk_read_algs(json, &key->algs);
	if (error == 0 && (key->algs & allowed) == 0)
		error = -JWK_E_ALG;
	key->algs &= allowed;
	if (error == 0)
		error = jwk_read_pkey(json, &key->pkey);
	if (error == 0)
		error = jwk_check_pkey(key->pkey);
	if (error == 0)
		error = key_init_verifiers(key);
	if (error != 0)
		key_fini(key);
	return error;
}

static int
add_keys(struct jwk_set *set, const json_t *keys, struct jwk_report *report)
{
	const json_t *json;
	size_t i;
	int error;

	json_array_foreach(keys, i, json) {
		error = key_init(&set->keys[set->count], json, set->allowed);
		if (error == 0) {
			set->count++;
			continue;
		}
		report->skipped++;
		if (report->first_skipped == 0)
			report->first_skipped = error;
	}
	report->used = set->count;
	return set->count > 0 ? 0 : -JWK_E_EMPTY;
}

static bool
same_kid(const struct key *key, bool has_kid, const char *kid)
{
	return key->has_kid && has_kid && strcmp(key->kid, kid) == 0;
}

static int
check_kids(const struct jwk_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		size_t same = 0;

		for (size_t j = 0; j < set->count; j++)
			same += same_kid(&set->keys[j], set->keys[i].has_kid, set->keys[i].kid);
		if (same > JWK_SAME_KID_MAX)
			return -JWK_E_SAME_KID;
	}
	return 0;
}

/* All that speaks against the whole set, before any key is made. */
static int
check_shape(const json_t *keys)
{
	const json_t *json;
	size_t i;

	if (!json_is_array(keys))
		return -JWK_E_SHAPE;
	if (json_array_size(keys) > JWK_SET_MAX_KEYS)
		return -JWK_E_COUNT;
	json_array_foreach(keys, i, json) {
		if (jwk_has_private_member(json))
			return -JWK_E_PRIVATE;
	}
	return 0;
}

static int
set_from_json(const json_t *keys, jwa_set allowed, struct jwk_set **out, struct jwk_report *report)
{
	static uint64_t last_serial;
	struct jwk_set *set;
	int error = check_shape(keys);

	if (error != 0)
		return error;
	set = calloc(1, sizeof(*set));
	if (set == NULL)
		return -JWK_E_MEMORY;
	set->serial = ++last_serial;
	set->allowed = allowed;
	error = add_keys(set, keys, report);
	if (error == 0)
		error = check_kids(set);
	if (error == 0)
		*out = set;
	else
		jwk_set_free(set);
	return error;
}

int
jwk_set_parse(const char *bytes, size_t len, jwa_set allowed, struct jwk_set **out,
    struct jwk_report *report)
{
	struct jwk_report unused;
	struct json_error_text why;
	json_t *json;
	int error;

	if (report == NULL)
		report = &unused;
	*report = (struct jwk_report){ 0 };
	if (len == 0 || len > JWK_SET_MAX_BYTES)
		return -JWK_E_SIZE;
	if (json_parse_strict(bytes, len, JWK_SET_DEPTH, &json, &why) != 0)
		return -JWK_E_JSON;
	error = set_from_json(json_object_get(json, "keys"), allowed, out, report);
	json_release(json);
	return error;
}

uint64_t
jwk_set_serial(const struct jwk_set *set)
{
	return set->serial;
}

/* What the keys of a set have to say about a token before any signature is checked. */
struct candidates {
	size_t of_kid; /* keys with its kid */
	size_t count;  /* those that verify its algorithm too */
	struct key *keys[JWK_SET_MAX_KEYS];
};

static void
find_candidates(struct jwk_set *set, const struct jws *jws, struct candidates *out)
{
	*out = (struct candidates){ 0 };
	for (size_t i = 0; i < set->count; i++) {
		struct key *key = &set->keys[i];

		if (jws->has_kid && !same_kid(key, true, jws->kid))
			continue;
		out->of_kid++;
		if ((key->algs & JWA_BIT(jws->alg)) != 0)
			out->keys[out->count++] = key;
	}
}

static int
check_candidates(const struct candidates *found, const struct jws *jws)
{
	if (!jws->has_kid && found->count > 1)
		return -TOKEN_E_KID_MISSING;
	if (found->of_kid == 0 || (!jws->has_kid && found->count == 0))
		return -TOKEN_E_KID_UNKNOWN;
	return found->count > 0 ? 0 : -TOKEN_E_ALG_NOT_OF_KEY;
}

int
jwk_set_verify(struct jwk_set *set, const struct jws *jws)
{
	struct candidates found;
	int error;

	if ((set->allowed & JWA_BIT(jws->alg)) == 0)
		return -TOKEN_E_ALG_NOT_ALLOWED;
	find_candidates(set, jws, &found);
	error = check_candidates(&found, jws);
	if (error != 0)
		return error;
	for (size_t i = 0; i < found.count; i++) {
		error = jwa_verify(&found.keys[i]->verifiers[jws->alg], jws->input, jws->input_len,
		    jws->signature, jws->signature_len);
		if (error != -TOKEN_E_SIGNATURE)
			return error;
	}
	return -TOKEN_E_SIGNATURE;
}
