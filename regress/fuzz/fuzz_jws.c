/* SPDX-License-Identifier: MIT */
/*
 * Whole tokens under libFuzzer, against a fixed set of keys. The first byte says what the rest is: a
 * token as it comes; a header, or claims, that get the other half and a right signature, so that
 * the code behind the signature is reached. links: authd/token.c authd/jws.c authd/jwk.c
 * links: authd/jwkread.c authd/jwa.c authd/claims.c authd/claimread.c authd/tokenerr.c
 */
#include "authd/token.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "authd/tokenerr.h"
#include "common/b64url.h"
#include "common/buf.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

#define NOW 1750000000
#define ISSUER "https://idp.example.org"
#define HEADER "{\"alg\":\"EdDSA\",\"kid\":\"o\"}"
#define CLAIMS \
	"{\"iss\":\"" ISSUER \
	"\",\"sub\":\"a\",\"aud\":\"fog\",\"exp\":1750000300,\"iat\":1750000000}"
#define SIGNATURE_BYTES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* RFC 8037 A.1, RFC 7515 A.2 and A.3. */
static const char ed25519_secret[] = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
static const char set_text[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji"
    "9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690"
    "r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsm"
    "tdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2P"
    "AcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"},"
    "{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvR"
    "VEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
    "{\"kty\":\"OKP\",\"kid\":\"o\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaP"
    "cHURo\"}]}";

static const struct claims_policy policy = {
	.issuer = ISSUER,
	.audience = "fog",
	.client_id = "fog",
	.groups_path = "groups",
	.skew_s = 60,
	.max_life_s = 3600,
};

static EVP_PKEY *key;
static struct jwk_set *set;

static void
prepare(void)
{
	unsigned char secret[32];
	size_t len;

	if (set != NULL)
		return;
	INVARIANT(b64url_decode(ed25519_secret, strlen(ed25519_secret), secret, sizeof(secret),
		      &len) == 0);
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, len);
	INVARIANT(key != NULL && token_init() == 0);
	INVARIANT(jwk_set_parse(set_text, strlen(set_text), JWA_ALL, &set, NULL) == 0);
}

static void
check_taken(const struct claims *claims)
{
	struct view groups = view_bytes(claims->groups, claims->groups_len);

	INVARIANT(strcmp(claims->issuer, ISSUER) == 0);
	INVARIANT(claims->subject[0] != '\0' || claims->sid[0] != '\0');
	INVARIANT(text_is_clean(view_of(claims->subject)));
	INVARIANT(claims->expires_s > NOW - 60 && claims->issued_s <= NOW + 60);
	INVARIANT(claims->expires_s - claims->issued_s <= policy.max_life_s);
	INVARIANT(list_check(groups, SIZE_MAX, 1, CLAIMS_TEXT_MAX_BYTES));
	INVARIANT(claims->jkt[0] == '\0' || strlen(claims->jkt) == CLAIMS_JKT_SIZE - 1);
}

static void
verify(const char *token, size_t len)
{
	struct claims access, logout;
	int access_error = token_check_access(token, len, set, &policy, NOW, &access);
	int logout_error = token_check_logout(token, len, set, &policy, NOW, &logout);

	/* RFC 8725 3.12: the rules of two kinds of tokens never take the same one. */
	INVARIANT(access_error != 0 || logout_error != 0);
	INVARIANT(strcmp(token_error_code(access_error), "unknown") != 0);
	INVARIANT(strcmp(token_error_code(logout_error), "unknown") != 0);
	INVARIANT(access_error != -TOKEN_E_CRYPTO && logout_error != -TOKEN_E_CRYPTO);
	if (access_error == 0)
		check_taken(&access);
	if (logout_error == 0)
		check_taken(&logout);
}

static void
sign_and_verify(const void *header, size_t header_len, const void *claims, size_t claims_len)
{
	static char token[4 * JWS_MAX_BYTES];
	unsigned char signature[SIGNATURE_BYTES];
	size_t len, signature_len = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	INVARIANT(b64url_encode(header, header_len, token, sizeof(token)) == 0);
	len = strlen(token);
	token[len++] = '.';
	INVARIANT(b64url_encode(claims, claims_len, token + len, sizeof(token) - len) == 0);
	len = strlen(token);
	INVARIANT(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1);
	INVARIANT(EVP_DigestSign(ctx, signature, &signature_len, (unsigned char *)token, len) == 1);
	EVP_MD_CTX_free(ctx);
	token[len++] = '.';
	INVARIANT(b64url_encode(signature, signature_len, token + len, sizeof(token) - len) == 0);
	verify(token, strlen(token));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0 || len > JWS_MAX_BYTES + 16)
		return 0;
	prepare();
	switch (*data++) {
	case 'H':
		sign_and_verify(data, len - 1, CLAIMS, strlen(CLAIMS));
		break;
	case 'C':
		sign_and_verify(HEADER, strlen(HEADER), data, len - 1);
		break;
	default:
		verify((const char *)data, len - 1);
		break;
	}
	return 0;
}
