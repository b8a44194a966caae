/* SPDX-License-Identifier: MIT */
/* One JWK into what it may verify and into OpenSSL's key. */
#include "authd/jwkread.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#include "common/b64url.h"
#include "common/cleanup.h"
#include "common/json.h"

#define RSA_MAX_BYTES (JWA_RSA_MAX_BITS / 8)
#define RSA_EXPONENT_MAX_BYTES 8
#define RSA_EXPONENT_MIN 65537
#define POINT_MAX_BYTES 48 /* one coordinate on P-384 */
#define ED25519_KEY_BYTES 32
#define THUMBPRINT_INPUT_MAX_BYTES (B64URL_TEXT_LEN(RSA_MAX_BYTES) + 128)

static const char *const private_members[] = { "d", "p", "q", "dp", "dq", "qi", "oth", "priv" };

static int read_rsa(const json_t *json, EVP_PKEY **out);
static int read_p256(const json_t *json, EVP_PKEY **out);
static int read_p384(const json_t *json, EVP_PKEY **out);
static int read_ed25519(const json_t *json, EVP_PKEY **out);

/*
 * The types of keys: crv NULL means that the type has none. members: those that make the key (RFC
 * 7638 3.2, RFC 8037 2).
 */
static const struct type {
	const char *kty, *crv;
	jwa_set algs;
	int (*read)(const json_t *json, EVP_PKEY **out);
	const char *members[4];
} types[] = {
	{ "RSA", NULL, JWA_SET_RSA, read_rsa, { "e", "kty", "n" } },
	{ "EC", "P-256", JWA_SET_P256, read_p256, { "crv", "kty", "x", "y" } },
	{ "EC", "P-384", JWA_SET_P384, read_p384, { "crv", "kty", "x", "y" } },
	{ "OKP", "Ed25519", JWA_SET_ED25519, read_ed25519, { "crv", "kty", "x" } },
};

static const char *
text_of(const json_t *json, const char *name)
{
	return json_string_value(json_object_get(json, name));
}

bool
jwk_has_private_member(const json_t *json)
{
	for (size_t i = 0; i < COUNT_OF(private_members); i++) {
		if (json_object_get(json, private_members[i]) != NULL)
			return true;
	}
	return false;
}

int
jwk_read_kid(const json_t *json, char kid[static JWS_KID_MAX_BYTES + 1], bool *has_kid)
{
	const json_t *value = json_object_get(json, "kid");
	size_t len = json_string_length(value);

	*has_kid = value != NULL;
	if (value == NULL)
		return 0;
	if (!json_is_string(value) || len > JWS_KID_MAX_BYTES ||
	    !json_text_is_printable(json_string_value(value), len))
		return -JWK_E_KID;
	memcpy(kid, json_string_value(value), len + 1);
	return 0;
}

static int
find_type(const json_t *json, const struct type **out)
{
	const char *kty = text_of(json, "kty"), *crv = text_of(json, "crv");
	bool is_known = false;

	if (kty == NULL)
		return -JWK_E_KEY_SHAPE;
	if (strcmp(kty, "oct") == 0)
		return -JWK_E_SYMMETRIC;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		if (strcmp(kty, types[i].kty) != 0)
			continue;
		is_known = true;
		if (types[i].crv != NULL && (crv == NULL || strcmp(crv, types[i].crv) != 0))
			continue;
		*out = &types[i];
		return 0;
	}
	return is_known ? -JWK_E_CURVE : -JWK_E_KTY;
}

/* Absent, or a text that is value. */
static bool
is_absent_or(const json_t *json, const char *name, const char *value)
{
	const char *text = text_of(json, name);

	return json_object_get(json, name) == NULL || (text != NULL && strcmp(text, value) == 0);
}

static bool
ops_allow_verify(const json_t *ops)
{
	const json_t *op;
	size_t i;

	if (ops == NULL)
		return true;
	json_array_foreach(ops, i, op) {
		if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0)
			return true;
	}
	return false;
}

int
jwk_read_algs(const json_t *json, jwa_set *out)
{
	const struct type *type;
	const char *name = text_of(json, "alg");
	enum jwa_alg alg;
	int error;

	if (!json_is_object(json))
		return -JWK_E_KEY_SHAPE;
	error = find_type(json, &type);
	if (error != 0)
		return error;
	if (!is_absent_or(json, "use", "sig"))
		return -JWK_E_USE;
	if (!ops_allow_verify(json_object_get(json, "key_ops")))
		return -JWK_E_KEY_OPS;
	*out = type->algs;
	if (json_object_get(json, "alg") == NULL)
		return 0;
	if (name == NULL || jwa_from_name(name, &alg) != 0 || (type->algs & JWA_BIT(alg)) == 0)
		return -JWK_E_ALG;
	/* Two names of one algorithm are one: a key marked EdDSA verifies Ed25519. */
	*out = type->algs == JWA_SET_ED25519 ? type->algs : JWA_BIT(alg);
	return 0;
}

/* The members that make the key, alone. NULL: one is absent or no text, or memory is out. */
static json_t *
essence_of(const json_t *json, const struct type *type)
{
	json_t *out = json_object(), *value;
	bool is_whole = out != NULL;

	for (size_t i = 0; is_whole && i < COUNT_OF(type->members); i++) {
		if (type->members[i] == NULL)
			break;
		value = json_object_get(json, type->members[i]);
		is_whole = json_is_string(value) &&
		    json_object_set(out, type->members[i], value) == 0;
	}
	if (is_whole)
		return out;
	json_decref(out);
	return NULL;
}

int
jwk_thumbprint(const json_t *json, char out[static JWK_THUMBPRINT_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int digest_len;
	char text[THUMBPRINT_INPUT_MAX_BYTES];
	const struct type *type;
	json_t *essence;
	size_t len;
	int error = find_type(json, &type);

	if (error != 0)
		return error;
	essence = essence_of(json, type);
	if (essence == NULL)
		return -JWK_E_ENCODING;
	len = json_dumpb(essence, text, sizeof(text), JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(essence);
	if (len == 0 || len > sizeof(text))
		return -JWK_E_ENCODING;
	if (EVP_Digest(text, len, digest, &digest_len, EVP_sha256(), NULL) != 1 ||
	    b64url_encode(digest, digest_len, out, JWK_THUMBPRINT_SIZE) != 0)
		return -JWK_E_MEMORY;
	return 0;
}

static int
read_bytes(const json_t *json, const char *name, unsigned char *out, size_t out_size, size_t *len)
{
	const json_t *value = json_object_get(json, name);

	if (!json_is_string(value) ||
	    b64url_decode(json_string_value(value), json_string_length(value), out, out_size,
		len) != 0)
		return -JWK_E_ENCODING;
	return 0;
}

/* RFC 7518 2, Base64urlUInt: as few bytes as it takes. */
static int
read_uint(const json_t *json, const char *name, unsigned char *out, size_t out_size, size_t *len)
{
	int error = read_bytes(json, name, out, out_size, len);

	return error == 0 && (*len == 0 || out[0] == 0) ? -JWK_E_ENCODING : error;
}

static int
pkey_from_builder(const char *type, OSSL_PARAM_BLD *builder, EVP_PKEY **out)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;
	bool ok;

	ok = params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	if (!ok)
		return -JWK_E_INVALID;
	*out = pkey;
	return 0;
}

/* The builder borrows n and e until it has made its parameters. */
static int
pkey_from_rsa(BIGNUM *n, BIGNUM *e, EVP_PKEY **out)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	int error = -JWK_E_MEMORY;

	if (builder != NULL && n != NULL && e != NULL &&
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		error = pkey_from_builder("RSA", builder, out);
	OSSL_PARAM_BLD_free(builder);
	return error;
}

static int
read_rsa(const json_t *json, EVP_PKEY **out)
{
	unsigned char n[RSA_MAX_BYTES], e[RSA_EXPONENT_MAX_BYTES];
	size_t n_len, e_len;
	BIGNUM *n_bn, *e_bn;
	int error = read_uint(json, "n", n, sizeof(n), &n_len);

	if (error == 0)
		error = read_uint(json, "e", e, sizeof(e), &e_len);
	if (error != 0)
		return error;
	n_bn = BN_bin2bn(n, (int)n_len, NULL);
	e_bn = BN_bin2bn(e, (int)e_len, NULL);
	/* An even or a small exponent makes forging a matter of roots (Coppersmith and others). */
	if (n_bn == NULL || e_bn == NULL)
		error = -JWK_E_MEMORY;
	else if (BN_num_bits(n_bn) < JWA_RSA_MIN_BITS || !BN_is_odd(e_bn) ||
	    BN_get_word(e_bn) < RSA_EXPONENT_MIN)
		error = -JWK_E_WEAK;
	else
		error = pkey_from_rsa(n_bn, e_bn, out);
	BN_free(n_bn);
	BN_free(e_bn);
	return error;
}

/* RFC 7518 6.2.1: both coordinates have the full length of the curve. */
static int
read_ec(const json_t *json, const char *group, size_t size, EVP_PKEY **out)
{
	unsigned char point[1 + 2 * POINT_MAX_BYTES] = { POINT_CONVERSION_UNCOMPRESSED };
	size_t x_len, y_len;
	OSSL_PARAM_BLD *builder;
	int error = read_bytes(json, "x", point + 1, size, &x_len);

	if (error == 0)
		error = read_bytes(json, "y", point + 1 + size, size, &y_len);
	if (error != 0 || x_len != size || y_len != size)
		return -JWK_E_ENCODING;
	builder = OSSL_PARAM_BLD_new();
	error = -JWK_E_MEMORY;
	if (builder != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point,
		1 + 2 * size) == 1)
		error = pkey_from_builder("EC", builder, out);
	OSSL_PARAM_BLD_free(builder);
	return error;
}

static int
read_p256(const json_t *json, EVP_PKEY **out)
{
	return read_ec(json, "prime256v1", 32, out);
}

static int
read_p384(const json_t *json, EVP_PKEY **out)
{
	return read_ec(json, "secp384r1", 48, out);
}

/* RFC 8037 2 */
static int
read_ed25519(const json_t *json, EVP_PKEY **out)
{
	unsigned char x[ED25519_KEY_BYTES];
	size_t len;

	if (read_bytes(json, "x", x, sizeof(x), &len) != 0 || len != sizeof(x))
		return -JWK_E_ENCODING;
	*out = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof(x));
	return *out != NULL ? 0 : -JWK_E_INVALID;
}

int
jwk_check_pkey(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	int ok = ctx != NULL && EVP_PKEY_public_check(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return ok ? 0 : -JWK_E_INVALID;
}

int
jwk_read_pkey(const json_t *json, EVP_PKEY **out)
{
	const struct type *type;
	EVP_PKEY *pkey = NULL;
	int error = find_type(json, &type);

	if (error == 0)
		error = type->read(json, &pkey);
	ERR_clear_error();
	if (error == 0)
		*out = pkey;
	return error;
}

void
jwk_free_pkey(EVP_PKEY *pkey)
{
	EVP_PKEY_free(pkey);
}
