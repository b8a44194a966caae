/* SPDX-License-Identifier: MIT */
/*
 * Tokens of nodes, made and checked with OpenSSL's EVP. There is one algorithm, and each kind has one
 * header, compared as text: nothing in a token chooses how it is checked (RFC 8725 3.1, 3.11).
 */
#include "common/nodetoken.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "common/b64url.h"
#include "common/cleanup.h"
#include "common/compact.h"
#include "common/err.h"
#include "common/json.h"

#define HALF_BYTES 32 /* of r and of s, and of a coordinate */
#define SIGNATURE_BYTES (2 * HALF_BYTES)
#define DIGEST_BYTES 32
#define DER_MAX_BYTES 80 /* two integers of 33 bytes and their heads */
#define ID_DIGITS (2 * ID_BYTES)
#define NAME_MAX_BYTES 64
#define NUMBER_MAX INT64_C(253402300799) /* as seconds, the end of the year 9999 */
#define DECODED_MAX_BYTES B64URL_BYTES_MAX(NODETOKEN_MAX_BYTES)

/* {"alg":"ES256","typ":"fog-node-ask+jwt"} and {"alg":"ES256","typ":"fog-node-status+jwt"} */
static const char *const headers[] = {
	[NODETOKEN_ASK] = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImZvZy1ub2RlLWFzaytqd3QifQ",
	[NODETOKEN_STATUS] = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImZvZy1ub2RlLXN0YXR1cytqd3QifQ",
};

struct nodetoken_key {
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *ctx; /* set up once: it may sign any number of times */
	unsigned char point[NODETOKEN_KEY_BYTES];
};

struct nodetoken_pin {
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *ctx;
};

static EVP_MD *sha256; /* fetched once: a fetch for each token costs more than a hash */
static EC_GROUP *p256; /* likewise */

static bool
fetch_digest(void)
{
	if (!sha256)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	return sha256 != NULL;
}

static bool
fetch_curve(void)
{
	if (!p256)
		p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	return p256 != NULL;
}

/* --- keys --- */

/* OpenSSL's own would ask on the terminal. */
static int
no_password(char *out, int size, int is_writing, void *was_asked)
{
	(void)out;
	(void)size;
	(void)is_writing;
	*(bool *)was_asked = true;
	return -1;
}

static EVP_PKEY *
read_pem(const void *pem, size_t len, const char **why)
{
	BIO *bio = len > 0 && len <= INT32_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	bool was_asked = false;
	EVP_PKEY *pkey = NULL;

	if (bio)
		pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, &was_asked);
	BIO_free(bio);
	if (!pkey)
		*why = was_asked ? "it is encrypted with a password" : "it is no PEM private key";
	return pkey;
}

static const char *
check_kind(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx;
	char curve[32];
	size_t len;
	bool fits;

	if (EVP_PKEY_is_a(pkey, "EC") != 1)
		return "it is no key of an elliptic curve";
	if (EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve),
		&len) != 1 ||
	    strcmp(curve, "prime256v1") != 0)
		return "its curve is not P-256";
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	fits = ctx && EVP_PKEY_pairwise_check(ctx) == 1;
	EVP_PKEY_CTX_free(ctx);
	return fits ? NULL : "its public half does not fit its private one";
}

static bool
read_coordinate(EVP_PKEY *pkey, const char *name, unsigned char out[static HALF_BYTES])
{
	BIGNUM *n = NULL;
	bool ok = EVP_PKEY_get_bn_param(pkey, name, &n) == 1 &&
	    BN_bn2binpad(n, out, HALF_BYTES) == HALF_BYTES;

	BN_free(n);
	return ok;
}

/* By its coordinates: the file may have named the point in another form. */
static bool
read_point(EVP_PKEY *pkey, unsigned char out[static NODETOKEN_KEY_BYTES])
{
	out[0] = POINT_CONVERSION_UNCOMPRESSED;
	return read_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_X, out + 1) &&
	    read_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, out + 1 + HALF_BYTES);
}

struct nodetoken_key *
nodetoken_key_new(const void *pem, size_t len, const char **why)
{
	struct nodetoken_key *key = calloc(1, sizeof(*key));

	*why = "out of memory";
	if (!key || !fetch_digest())
		goto fail;
	key->pkey = read_pem(pem, len, why);
	if (!key->pkey)
		goto fail;
	*why = check_kind(key->pkey);
	if (*why)
		goto fail;
	*why = "it cannot be used";
	key->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	if (!key->ctx || EVP_PKEY_sign_init(key->ctx) != 1 ||
	    EVP_PKEY_CTX_set_signature_md(key->ctx, sha256) != 1 ||
	    !read_point(key->pkey, key->point))
		goto fail;
	return key;
fail:
	ERR_clear_error();
	nodetoken_key_free(key);
	return NULL;
}

void
nodetoken_key_free(struct nodetoken_key *key)
{
	if (!key)
		return;
	EVP_PKEY_CTX_free(key->ctx);
	EVP_PKEY_free(key->pkey); /* wipes the private half */
	free(key);
}

void
nodetoken_key_public(const struct nodetoken_key *key, unsigned char out[static NODETOKEN_KEY_BYTES])
{
	memcpy(out, key->point, NODETOKEN_KEY_BYTES);
}

/* Refuses what is not on the curve; P-256 has no other points of small order. */
static EVP_PKEY *
pkey_of_point(const unsigned char point[static NODETOKEN_KEY_BYTES])
{
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
				    (char[]){ "prime256v1" }, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point,
		    NODETOKEN_KEY_BYTES),
		OSSL_PARAM_construct_end() };
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *pkey = NULL;

	if (ctx && point[0] == POINT_CONVERSION_UNCOMPRESSED && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

bool
nodetoken_is_point(const unsigned char point[static NODETOKEN_KEY_BYTES])
{
	EC_POINT *p = fetch_curve() ? EC_POINT_new(p256) : NULL;
	bool is_one = p && point[0] == POINT_CONVERSION_UNCOMPRESSED &&
	    EC_POINT_oct2point(p256, p, point, NODETOKEN_KEY_BYTES, NULL) == 1;

	EC_POINT_free(p);
	if (!is_one)
		ERR_clear_error();
	return is_one;
}

struct nodetoken_pin *
nodetoken_pin_new(const unsigned char point[static NODETOKEN_KEY_BYTES])
{
	struct nodetoken_pin *pin = calloc(1, sizeof(*pin));

	if (!pin)
		return NULL;
	pin->pkey = fetch_digest() ? pkey_of_point(point) : NULL;
	if (pin->pkey)
		pin->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pin->pkey, NULL);
	if (pin->ctx && EVP_PKEY_verify_init(pin->ctx) == 1 &&
	    EVP_PKEY_CTX_set_signature_md(pin->ctx, sha256) == 1)
		return pin;
	ERR_clear_error();
	nodetoken_pin_free(pin);
	return NULL;
}

void
nodetoken_pin_free(struct nodetoken_pin *pin)
{
	if (!pin)
		return;
	EVP_PKEY_CTX_free(pin->ctx);
	EVP_PKEY_free(pin->pkey);
	free(pin);
}

/* --- signatures: r and s side by side (RFC 7518 3.4), where OpenSSL has DER --- */

static bool
raw_of_der(const unsigned char *der, size_t len, unsigned char raw[static SIGNATURE_BYTES])
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
	bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, HALF_BYTES) == HALF_BYTES &&
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + HALF_BYTES, HALF_BYTES) == HALF_BYTES;

	ECDSA_SIG_free(sig);
	return ok;
}

/* Returns the length, or -1. */
static int
der_of_raw(const unsigned char raw[static SIGNATURE_BYTES], unsigned char der[static DER_MAX_BYTES])
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, HALF_BYTES, NULL);
	BIGNUM *s = BN_bin2bn(raw + HALF_BYTES, HALF_BYTES, NULL);
	int len = -1;

	if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
	} else if (i2d_ECDSA_SIG(sig, NULL) <= DER_MAX_BYTES) {
		len = i2d_ECDSA_SIG(sig, &der);
	}
	ECDSA_SIG_free(sig);
	return len;
}

static bool
hash(struct view input, unsigned char out[static DIGEST_BYTES])
{
	return EVP_Digest(input.p, input.len, out, NULL, sha256, NULL) == 1;
}

static bool
sign(const struct nodetoken_key *key, struct view input, unsigned char raw[static SIGNATURE_BYTES])
{
	unsigned char digest[DIGEST_BYTES], der[DER_MAX_BYTES];
	size_t len = sizeof(der);

	return hash(input, digest) &&
	    EVP_PKEY_sign(key->ctx, der, &len, digest, sizeof(digest)) == 1 &&
	    raw_of_der(der, len, raw);
}

static bool
is_signed(const struct nodetoken_pin *pin, struct view input, struct view text)
{
	unsigned char raw[SIGNATURE_BYTES], digest[DIGEST_BYTES], der[DER_MAX_BYTES];
	size_t raw_len;
	int der_len;
	bool ok;

	if (text.len != B64URL_TEXT_LEN(SIGNATURE_BYTES) ||
	    b64url_decode(text.p, text.len, raw, sizeof(raw), &raw_len) != 0)
		return false;
	der_len = der_of_raw(raw, der);
	ok = der_len > 0 && hash(input, digest) &&
	    EVP_PKEY_verify(pin->ctx, der, (size_t)der_len, digest, sizeof(digest)) == 1;
	ERR_clear_error(); /* OpenSSL queues what a stranger's signature did not fit */
	return ok;
}

/* --- claims --- */

struct claims {
	struct json_str iss, aud, jti;
	uint64_t iat, exp;
};

static const struct json_member claim_members[] = {
	{ "iss", JSON_KIND_STR, true, 1, NAME_MAX_BYTES, offsetof(struct claims, iss) },
	{ "aud", JSON_KIND_STR, true, 1, NAME_MAX_BYTES, offsetof(struct claims, aud) },
	{ "jti", JSON_KIND_STR, true, ID_DIGITS, ID_DIGITS, offsetof(struct claims, jti) },
	{ "iat", JSON_KIND_U64, true, 0, NUMBER_MAX, offsetof(struct claims, iat) },
	{ "exp", JSON_KIND_U64, true, 0, NUMBER_MAX, offsetof(struct claims, exp) },
};

/* By hand and not by isxdigit: lower case is the one spelling. -1: it is none. */
static int
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
read_id(const char *text, struct id128 *out)
{
	for (size_t i = 0; i < ID_BYTES; i++) {
		int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		out->b[i] = (unsigned char)(high << 4 | low);
	}
	return 0;
}

/* Beside the claims of all: what a status has to have, and an ask may. */
static const char *const more_names[] = {
	[NODETOKEN_ASK] = "suspects",
	[NODETOKEN_STATUS] = "status",
};

static bool
is_more_fit(const json_t *more, enum nodetoken_kind kind)
{
	return kind == NODETOKEN_ASK ? !more || json_is_array(more) : json_is_object(more);
}

/* What is more is taken out of obj before its members are held against the table. */
static int
read_claims(json_t *obj, enum nodetoken_kind kind, struct nodetoken *out)
{
	json_t *more = json_incref(json_object_get(obj, more_names[kind]));
	struct json_error_text err;
	struct claims c;
	bool ok = is_more_fit(more, kind);

	if (ok && more)
		json_object_del(obj, more_names[kind]);
	ok = ok && json_read_members(obj, claim_members, COUNT_OF(claim_members), &c, &err) == 0 &&
	    read_id(c.jti.s, &out->id) == 0;
	if (!ok) {
		json_decref(more);
		return -1;
	}
	out->kind = kind;
	memcpy(out->issuer, c.iss.s, c.iss.len + 1);
	memcpy(out->audience, c.aud.s, c.aud.len + 1);
	out->issued_s = c.iat;
	out->expires_s = c.exp;
	out->status = kind == NODETOKEN_STATUS ? more : NULL;
	out->suspects = kind == NODETOKEN_ASK ? more : NULL;
	return 0;
}

static int
read_payload(struct view part, enum nodetoken_kind kind, struct nodetoken *out)
{
	unsigned char text[DECODED_MAX_BYTES];
	struct json_error_text err;
	json_t *obj;
	size_t len;
	int rc;

	if (b64url_decode(part.p, part.len, text, sizeof(text), &len) != 0 ||
	    json_parse_strict((const char *)text, len, JSON_DEPTH_DEFAULT, &obj, &err) != 0)
		return -1;
	rc = read_claims(obj, kind, out);
	json_release(obj);
	return rc;
}

static int
split(struct view token, struct view parts[static COMPACT_PARTS], enum nodetoken_kind *kind)
{
	if (token.len == 0 || token.len > NODETOKEN_MAX_BYTES || compact_split(token, parts) != 0)
		return -1;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		if (view_is(parts[COMPACT_HEADER], headers[i])) {
			*kind = (enum nodetoken_kind)i;
			return 0;
		}
	}
	return -1;
}

/* --- making --- */

static json_t *
claims_to_json(const struct nodetoken *t)
{
	json_t *more = t->kind == NODETOKEN_STATUS ? t->status : t->suspects, *obj;
	char jti[ID_DIGITS + 1];

	for (size_t i = 0; i < ID_BYTES; i++)
		snprintf(jti + 2 * i, 3, "%02x", t->id.b[i]);
	obj = json_pack("{s:s, s:s, s:I, s:I, s:s}", "iss", t->issuer, "aud", t->audience, "iat",
	    (json_int_t)t->issued_s, "exp", (json_int_t)t->expires_s, "jti", jti);
	if (obj && (more || t->kind == NODETOKEN_STATUS) &&
	    json_object_set(obj, more_names[t->kind], more) != 0) {
		json_decref(obj);
		return NULL;
	}
	return obj;
}

/* Header, dot and claims: what is signed. */
static int
put_input(const struct nodetoken *t, char *out, size_t out_size)
{
	char text[DECODED_MAX_BYTES];
	json_t *obj = claims_to_json(t);
	size_t len, at;

	if (!obj)
		return -FOG_E_INTERNAL;
	len = json_dumpb(obj, text, sizeof(text), JSON_COMPACT);
	json_decref(obj);
	if (len == 0 || len > sizeof(text))
		return -FOG_E_BOUNDS;
	at = (size_t)snprintf(out, out_size, "%s.", headers[t->kind]);
	if (at >= out_size || b64url_encode(text, len, out + at, out_size - at) != 0)
		return -FOG_E_BOUNDS;
	return 0;
}

int
nodetoken_make(const struct nodetoken_key *key, const struct nodetoken *t, char *out,
    size_t out_size)
{
	unsigned char raw[SIGNATURE_BYTES];
	char token[NODETOKEN_MAX_BYTES + 1];
	size_t len;
	int rc = put_input(t, token, sizeof(token));

	if (rc != 0)
		return rc;
	len = strlen(token);
	if (!sign(key, view_bytes(token, len), raw)) {
		ERR_clear_error();
		return -FOG_E_INTERNAL;
	}
	if (len + 1 + B64URL_TEXT_LEN(SIGNATURE_BYTES) >= sizeof(token))
		return -FOG_E_BOUNDS;
	token[len++] = '.';
	if (b64url_encode(raw, sizeof(raw), token + len, sizeof(token) - len) != 0)
		return -FOG_E_BOUNDS;
	len = strlen(token);
	if (len >= out_size)
		return -FOG_E_BOUNDS;
	memcpy(out, token, len + 1);
	return 0;
}

/* --- checking --- */

int
nodetoken_peek_issuer(struct view token, char out[static 65])
{
	struct view parts[COMPACT_PARTS];
	enum nodetoken_kind kind;
	struct nodetoken t;

	if (split(token, parts, &kind) != 0 || read_payload(parts[COMPACT_PAYLOAD], kind, &t) != 0)
		return -1;
	memcpy(out, t.issuer, sizeof(t.issuer));
	nodetoken_fini(&t);
	return 0;
}

/* The clock is looked at last: what it is blamed for, it alone is to blame for. */
static const char *
check_claims(const struct nodetoken *t, const char *audience, uint64_t now_s)
{
	if (strcmp(t->audience, audience) != 0)
		return "other_audience";
	if (t->expires_s <= t->issued_s || t->expires_s - t->issued_s > NODETOKEN_LIFE_S)
		return "lifetime";
	if (now_s + NODETOKEN_SKEW_S < t->issued_s || now_s >= t->expires_s + NODETOKEN_SKEW_S)
		return "clock_differs";
	return NULL;
}

int
nodetoken_verify(const struct nodetoken_pin *pin, enum nodetoken_kind kind, struct view token,
    const char *audience, uint64_t now_s, struct nodetoken *out, const char **why)
{
	struct view parts[COMPACT_PARTS];
	enum nodetoken_kind said;
	struct nodetoken t;

	*why = "malformed";
	if (split(token, parts, &said) != 0)
		return -FOG_E_NODE_TOKEN;
	*why = "other_kind";
	if (said != kind)
		return -FOG_E_NODE_TOKEN;
	*why = "signature";
	if (!is_signed(pin, compact_input(parts), parts[COMPACT_SIGNATURE]))
		return -FOG_E_NODE_TOKEN;
	*why = "claims";
	if (read_payload(parts[COMPACT_PAYLOAD], kind, &t) != 0)
		return -FOG_E_NODE_TOKEN;
	*why = check_claims(&t, audience, now_s);
	if (*why) {
		nodetoken_fini(&t);
		return -FOG_E_NODE_TOKEN;
	}
	*out = t;
	return 0;
}

void
nodetoken_fini(struct nodetoken *t)
{
	json_release(t->status);
	json_release(t->suspects);
	t->status = t->suspects = NULL;
}

/* --- before the filter --- */

static int
try_kind(const struct nodetoken_key *key, const struct nodetoken_pin *pin, enum nodetoken_kind kind)
{
	struct nodetoken made = { .kind = kind, .issuer = "a", .audience = "b", .expires_s = 1 };
	struct nodetoken read;
	char token[NODETOKEN_MAX_BYTES + 1];
	const char *why;
	int rc;

	if (kind == NODETOKEN_STATUS)
		made.status = json_object();
	rc = nodetoken_make(key, &made, token, sizeof(token));
	json_release(made.status);
	if (rc == 0)
		rc = nodetoken_verify(pin, kind, view_of(token), "b", 0, &read, &why);
	if (rc == 0)
		nodetoken_fini(&read);
	return rc;
}

/* A key of no use but to be tried. */
static struct nodetoken_key *
make_key(void)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_secmem());
	struct nodetoken_key *key = NULL;
	const char *why;
	char *pem;
	long len;

	if (pkey && bio &&
	    PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1) {
		len = BIO_get_mem_data(bio, &pem);
		key = nodetoken_key_new(pem, (size_t)len, &why);
	}
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return key;
}

bool
nodetoken_load(void)
{
	static bool is_loaded;
	struct nodetoken_pin *pin = NULL;
	struct nodetoken_key *key;

	if (is_loaded)
		return true;
	key = make_key();
	if (key)
		pin = nodetoken_pin_new(key->point);
	is_loaded = pin && nodetoken_is_point(key->point) &&
	    try_kind(key, pin, NODETOKEN_ASK) == 0 && try_kind(key, pin, NODETOKEN_STATUS) == 0;
	nodetoken_pin_free(pin);
	nodetoken_key_free(key);
	return is_loaded;
}
