/* SPDX-License-Identifier: MIT */
/* DPoP proofs: the rules as one function each, in the order of a table. */
#include "authd/dpop.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/claimread.h"
#include "authd/htu.h"
#include "authd/jwkread.h"
#include "authd/seen.h"
#include "common/b64url.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "common/secret.h"

#define TYP "dpop+jwt"
#define KEY_BYTES 32
#define HASH_TEXT_SIZE 44 /* a SHA-256 in base64url with its NUL */

_Static_assert(JWK_THUMBPRINT_SIZE == HASH_TEXT_SIZE && CLAIMS_JKT_SIZE == HASH_TEXT_SIZE &&
	DPOP_NONCE_SIZE == HASH_TEXT_SIZE,
    "all of them are SHA-256 in base64url");

struct dpop {
	jwa_set allowed;
	bool need_nonce, has_base;
	uint64_t started_s;
	struct htu base;
	struct seen *seen;
	unsigned char nonce_key[KEY_BYTES];
};

/* One proof on its way through the rules. */
struct check {
	struct dpop *dpop;
	const struct dpop_request *request;
	uint64_t now_s, now_ms;
	const struct jws *jws;
	const json_t *jwk, *claims;
};

typedef int (*rule)(const struct check *c);

static const struct {
	const char *code;
	enum fog_err answer;
} rows[] = {
#define DPOP_ROW(name, code, answer) [DPOP_E_##name - DPOP_E_FIRST] = { code, FOG_E_##answer },
	DPOP_ERRORS(DPOP_ROW)
#undef DPOP_ROW
};

static bool
is_ours(int error)
{
	return error < -(int)DPOP_E_FIRST && error > -(int)DPOP_E_COUNT;
}

const char *
dpop_error_code(int error)
{
	return is_ours(error) ? rows[-error - (int)DPOP_E_FIRST].code : token_error_code(error);
}

int
dpop_error_answer(int error)
{
	if (error == 0)
		return 0;
	if (is_ours(error))
		return -(int)rows[-error - (int)DPOP_E_FIRST].answer;
	return token_error_answer(error) != NULL ? -FOG_E_BAD_PROOF : -FOG_E_INTERNAL;
}

static int
set_base(struct dpop *d, const char *url)
{
	d->has_base = url != NULL && url[0] != '\0';
	if (!d->has_base)
		return 0;
	if (htu_parse(view_of(url), &d->base) == 0 && strcmp(d->base.path, "/") == 0)
		return 0;
	errno = EINVAL;
	return -1;
}

int
dpop_new(const struct dpop_config *config, struct dpop **out)
{
	const struct seen_config seen = { DPOP_REMEMBER_MAX, DPOP_REMEMBER_MAX_PER_PERSON,
		DPOP_REMEMBER_MS };
	struct dpop *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return -1;
	d->allowed = config->allowed;
	d->need_nonce = config->need_nonce;
	d->started_s = config->started_s > 0 ? (uint64_t)config->started_s : 0;
	if (set_base(d, config->base_url) != 0 || seen_new(&seen, &d->seen) != 0 ||
	    secret_random(d->nonce_key, sizeof(d->nonce_key)) != 0) {
		dpop_free(d);
		return -1;
	}
	*out = d;
	return 0;
}

void
dpop_free(struct dpop *d)
{
	if (d == NULL)
		return;
	seen_free(d->seen);
	explicit_bzero(d->nonce_key, sizeof(d->nonce_key));
	free(d);
}

/* ---- nonces ----------------------------------------------------------------------------------- */

static int
nonce_of_slot(const struct dpop *d, uint64_t slot, char out[static DPOP_NONCE_SIZE])
{
	unsigned char mac[EVP_MAX_MD_SIZE], bytes[sizeof(slot)];
	unsigned int mac_len;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(slot >> 8 * i);
	if (HMAC(EVP_sha256(), d->nonce_key, sizeof(d->nonce_key), bytes, sizeof(bytes), mac,
		&mac_len) == NULL)
		return -1;
	return b64url_encode(mac, mac_len, out, DPOP_NONCE_SIZE);
}

int
dpop_nonce(const struct dpop *d, uint64_t mono_ms, char out[static DPOP_NONCE_SIZE])
{
	return nonce_of_slot(d, mono_ms / DPOP_NONCE_SLOT_MS, out);
}

/* Whether value is a text of that many bytes which are those of want, in constant time. */
static bool
is_hash_text(const json_t *value, const char want[static HASH_TEXT_SIZE])
{
	return json_string_length(value) == HASH_TEXT_SIZE - 1 &&
	    secret_equal(json_string_value(value), want, HASH_TEXT_SIZE - 1);
}

static bool
needs_nonce(const struct check *c)
{
	struct claim_date iat;

	return c->dpop->need_nonce ||
	    claim_read_date(c->claims, "iat", CLAIM_ROUND_DOWN, DPOP_E_IAT, &iat) != 0 ||
	    iat.s <= c->dpop->started_s;
}

static int
check_nonce(const struct check *c)
{
	const json_t *value = json_object_get(c->claims, "nonce");
	uint64_t slot = c->now_ms / DPOP_NONCE_SLOT_MS;
	char now[DPOP_NONCE_SIZE], before[DPOP_NONCE_SIZE];

	if (!needs_nonce(c))
		return 0;
	if (value == NULL)
		return -DPOP_E_NONCE_MISSING;
	if (nonce_of_slot(c->dpop, slot, now) != 0 || nonce_of_slot(c->dpop, slot - 1, before) != 0)
		return -TOKEN_E_CRYPTO;
	return is_hash_text(value, now) || is_hash_text(value, before) ? 0 : -DPOP_E_NONCE;
}

/* ---- header and key --------------------------------------------------------------------------- */

static int
check_typ(const struct check *c)
{
	return strcmp(c->jws->typ, TYP) == 0 ? 0 : -DPOP_E_TYP;
}

static int
check_alg(const struct check *c)
{
	return (c->dpop->allowed & JWA_BIT(c->jws->alg)) != 0 ? 0 : -DPOP_E_ALG;
}

static int
check_jwk(const struct check *c)
{
	jwa_set algs;
	int error;

	if (c->jwk == NULL)
		return -DPOP_E_JWK_MISSING;
	if (jwk_has_private_member(c->jwk))
		return -DPOP_E_JWK_PRIVATE;
	error = jwk_read_algs(c->jwk, &algs);
	if (error != 0)
		return error == -JWK_E_SYMMETRIC ? -DPOP_E_JWK_SYMMETRIC : -DPOP_E_JWK;
	return (algs & JWA_BIT(c->jws->alg)) != 0 ? 0 : -DPOP_E_ALG_NOT_OF_KEY;
}

/* Before the key is made and used, which costs more: any other key is a stranger's. */
static int
check_thumbprint(const struct check *c)
{
	char thumbprint[JWK_THUMBPRINT_SIZE];

	if (jwk_thumbprint(c->jwk, thumbprint) != 0)
		return -DPOP_E_JWK;
	if (strlen(c->request->jkt) != JWK_THUMBPRINT_SIZE - 1 ||
	    !secret_equal(thumbprint, c->request->jkt, JWK_THUMBPRINT_SIZE - 1))
		return -DPOP_E_OTHER_KEY;
	return 0;
}

/*
 * Without jwk_check_pkey, which would let anybody with an RSA key keep us busy: a key that is weak
 * lets others forge the proofs of its own holder, and of nobody else.
 */
static int
check_signature(const struct check *c)
{
	struct evp_pkey_st *pkey = NULL;
	struct jwa_verifier verifier;
	int error;

	if (jwk_read_pkey(c->jwk, &pkey) != 0)
		return -DPOP_E_JWK;
	error = jwa_verifier_init(&verifier, c->jws->alg, pkey) == 0 ? 0 : -DPOP_E_JWK;
	if (error == 0) {
		error = jwa_verify(&verifier, c->jws->input, c->jws->input_len, c->jws->signature,
		    c->jws->signature_len);
		jwa_verifier_fini(&verifier);
	}
	jwk_free_pkey(pkey);
	return error;
}

/* ---- claims ----------------------------------------------------------------------------------- */

static int
check_htm(const struct check *c)
{
	const char *htm = json_peek_str(c->claims, "htm");

	return htm != NULL && strcmp(htm, c->request->method) == 0 ? 0 : -DPOP_E_HTM;
}

static int
check_htu(const struct check *c)
{
	const json_t *value = json_object_get(c->claims, "htu");
	struct htu htu;
	bool is_our_origin;

	if (!json_is_string(value) ||
	    htu_parse(view_bytes(json_string_value(value), json_string_length(value)), &htu) != 0)
		return -DPOP_E_HTU;
	is_our_origin = c->dpop->has_base ? htu_same_origin(&htu, &c->dpop->base)
					  : htu_is_loopback(&htu);
	if (!is_our_origin)
		return -DPOP_E_HTU_ORIGIN;
	return strcmp(htu.path, c->request->path) == 0 ? 0 : -DPOP_E_HTU_PATH;
}

static int
check_iat(const struct check *c)
{
	struct claim_date iat;
	int error = claim_read_date(c->claims, "iat", CLAIM_ROUND_DOWN, DPOP_E_IAT, &iat);

	if (error != 0 || !iat.is_there)
		return -DPOP_E_IAT;
	if (iat.s + DPOP_WINDOW_S < c->now_s)
		return -DPOP_E_IAT_PAST;
	return iat.s > c->now_s + DPOP_WINDOW_S ? -DPOP_E_IAT_FUTURE : 0;
}

/* RFC 7519 4.1.4, 4.1.5. The window stands for the skew. */
static int
check_dates(const struct check *c)
{
	struct claim_date exp, nbf;
	int error = claim_read_date(c->claims, "exp", CLAIM_ROUND_DOWN, DPOP_E_DATES, &exp);

	if (error == 0)
		error = claim_read_date(c->claims, "nbf", CLAIM_ROUND_UP, DPOP_E_DATES, &nbf);
	if (error != 0)
		return error;
	if (exp.is_there && c->now_s >= exp.s + DPOP_WINDOW_S)
		return -DPOP_E_DATES;
	return nbf.is_there && nbf.s > c->now_s + DPOP_WINDOW_S ? -DPOP_E_DATES : 0;
}

/* RFC 9449 4.2: the hash of the token's ASCII text. */
static int
check_ath(const struct check *c)
{
	struct view token = c->request->token;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int digest_len;
	char want[HASH_TEXT_SIZE];

	if (EVP_Digest(token.p, token.len, digest, &digest_len, EVP_sha256(), NULL) != 1 ||
	    b64url_encode(digest, digest_len, want, sizeof(want)) != 0)
		return -TOKEN_E_CRYPTO;
	return is_hash_text(json_object_get(c->claims, "ath"), want) ? 0 : -DPOP_E_ATH;
}

static int
error_of_seen(int error)
{
	switch (-error) {
	case SEEN_OK:
		return 0;
	case SEEN_E_REPLAY:
		return -DPOP_E_REPLAY;
	case SEEN_E_TOO_MANY:
		return -DPOP_E_TOO_MANY;
	case SEEN_E_FULL:
		return -DPOP_E_FULL;
	default:
		return -TOKEN_E_CRYPTO;
	}
}

static int
read_jti(const struct check *c, char out[static CLAIMS_TEXT_SIZE])
{
	int error = claim_read_text(c->claims, "jti", out, DPOP_E_JTI);

	return error == 0 && out[0] == '\0' ? -DPOP_E_JTI : error;
}

static int
check_jti(const struct check *c)
{
	char jti[CLAIMS_TEXT_SIZE];

	return read_jti(c, jti);
}

/* Last of all: only what is right in everything else may take room in the memory. */
static int
check_replay(const struct check *c)
{
	char jti[CLAIMS_TEXT_SIZE], item[CLAIMS_JKT_SIZE + CLAIMS_TEXT_SIZE];
	int error = read_jti(c, jti);

	if (error != 0)
		return error;
	/* check_thumbprint has found jkt of one length: no two pairs are one text. */
	snprintf(item, sizeof(item), "%s%s", c->request->jkt, jti);
	return error_of_seen(seen_add(c->dpop->seen, view_of(c->request->who), view_of(item),
	    c->now_ms));
}

static const rule header_rules[] = { check_typ, check_alg, check_jwk, check_thumbprint,
	check_signature };
static const rule claim_rules[] = { check_htm, check_htu, check_iat, check_dates, check_ath,
	check_jti, check_nonce, check_replay };

static int
run(const rule *rules, size_t count, const struct check *c)
{
	int error = 0;

	for (size_t i = 0; i < count && error == 0; i++)
		error = rules[i](c);
	return error;
}

static int
check_claims(struct check *c)
{
	struct json_error_text why;
	json_t *claims;
	int error;

	if (json_parse_strict((const char *)c->jws->payload, c->jws->payload_len, CLAIMS_DEPTH,
		&claims, &why) != 0)
		return -DPOP_E_CLAIMS_JSON;
	c->claims = claims;
	error = run(claim_rules, COUNT_OF(claim_rules), c);
	json_release(claims);
	return error;
}

int
dpop_check(struct dpop *d, const struct dpop_request *request, const struct dpop_now *now)
{
	struct check c = { .dpop = d,
		.request = request,
		.now_s = now->wall_s > 0 ? (uint64_t)now->wall_s : 0,
		.now_ms = now->mono_ms };
	struct jws jws;
	json_t *jwk;
	int error;

	if (request->proof.len == 0)
		return -DPOP_E_MISSING;
	if (request->proof.len > DPOP_PROOF_MAX_BYTES)
		return -TOKEN_E_LENGTH;
	error = jws_parse_with_key(request->proof.p, request->proof.len, &jws, &jwk);
	if (error == 0) {
		c.jws = &jws;
		c.jwk = jwk;
		error = run(header_rules, COUNT_OF(header_rules), &c);
		if (error == 0)
			error = check_claims(&c);
		json_release(jwk);
	}
	explicit_bzero(&jws, sizeof(jws)); /* one that was refused may be right elsewhere */
	return error;
}
