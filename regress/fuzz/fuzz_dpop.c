/* SPDX-License-Identifier: MIT */
/*
 * DPoP proofs under libFuzzer. The first byte says what the rest is: a proof as it comes; a header,
 * or claims, that get the other half and a right signature, so that the code behind the signature is
 * reached; or a URL. links: authd/dpop.c authd/htu.c authd/httpsurl.c authd/seen.c authd/jws.c authd/jwa.c
 * links: authd/jwkread.c authd/claimread.c authd/tokenerr.c
 */
#include "authd/dpop.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/htu.h"
#include "common/b64url.h"
#include "common/err.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

#define NOW 1750000000
#define BASE "https://shell.example.org"
#define PATH "/v1/sessions"
#define TOKEN "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
#define HEADER \
	"{\"typ\":\"dpop+jwt\",\"alg\":\"EdDSA\",\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\"," \
	"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}}"
#define CLAIMS \
	"{\"jti\":\"j\",\"htm\":\"GET\",\"htu\":\"" BASE PATH "\",\"iat\":1750000000,\"ath\":" \
	"\"%s\"}"
#define SIGNATURE_BYTES 64
#define PROOF_BYTES (4 * DPOP_PROOF_MAX_BYTES)

/* RFC 8037 A.1 to A.3 */
static const char secret_text[] = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
static const char jkt[] = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

static EVP_PKEY *key;
static char good_claims[512];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
prepare(void)
{
	unsigned char secret[32];
	char ath[64];
	size_t len;

	if (key != NULL)
		return;
	INVARIANT(b64url_decode(secret_text, strlen(secret_text), secret, sizeof(secret), &len) ==
	    0);
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, len);
	INVARIANT(key != NULL && jwa_init() == 0);
	INVARIANT(EVP_Digest(TOKEN, strlen(TOKEN), secret, NULL, EVP_sha256(), NULL) == 1);
	INVARIANT(b64url_encode(secret, sizeof(secret), ath, sizeof(ath)) == 0);
	snprintf(good_claims, sizeof(good_claims), CLAIMS, ath);
}

/* A proof is taken once, and only as the one it is. */
static void
check_taken(struct dpop *dpop, struct dpop_request *request, const struct dpop_now *now)
{
	INVARIANT(dpop_check(dpop, request, now) == -DPOP_E_REPLAY);
	request->method = "POST";
	INVARIANT(dpop_check(dpop, request, now) == -DPOP_E_HTM);
	request->method = "GET";
	request->path = "/v1/profiles";
	INVARIANT(dpop_check(dpop, request, now) == -DPOP_E_HTU_PATH);
	request->path = PATH;
	request->token = view_of(TOKEN "x");
	INVARIANT(dpop_check(dpop, request, now) == -DPOP_E_ATH);
	request->jkt = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
	INVARIANT(dpop_check(dpop, request, now) == -DPOP_E_OTHER_KEY);
}

static void
check(const char *proof, size_t len)
{
	const struct dpop_config config = { .base_url = BASE, .allowed = JWA_ALL };
	const struct dpop_now now = { NOW, 5000 };
	struct dpop_request request = { view_bytes(proof, len), "GET", PATH, view_of(TOKEN), jkt };
	struct dpop *dpop;
	int error;

	INVARIANT(dpop_new(&config, &dpop) == 0);
	error = dpop_check(dpop, &request, &now);
	INVARIANT(strcmp(dpop_error_code(error), "unknown") != 0);
	INVARIANT(error != -TOKEN_E_CRYPTO && dpop_error_answer(error) != -FOG_E_INTERNAL);
	if (error == 0)
		check_taken(dpop, &request, &now);
	dpop_free(dpop);
}

static void
sign_and_check(const void *header, size_t header_len, const void *claims, size_t claims_len)
{
	static char proof[PROOF_BYTES];
	unsigned char signature[SIGNATURE_BYTES];
	size_t len, signature_len = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	INVARIANT(b64url_encode(header, header_len, proof, sizeof(proof)) == 0);
	len = strlen(proof);
	proof[len++] = '.';
	INVARIANT(b64url_encode(claims, claims_len, proof + len, sizeof(proof) - len) == 0);
	len = strlen(proof);
	INVARIANT(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1);
	INVARIANT(EVP_DigestSign(ctx, signature, &signature_len, (unsigned char *)proof, len) == 1);
	EVP_MD_CTX_free(ctx);
	proof[len++] = '.';
	INVARIANT(b64url_encode(signature, signature_len, proof + len, sizeof(proof) - len) == 0);
	check(proof, strlen(proof));
}

/* What is in normal form stays as it is. */
static void
check_url(const char *text, size_t len)
{
	char again[HTU_HOST_MAX_BYTES + HTU_MAX_BYTES + 32];
	struct htu htu, same;

	if (htu_parse(view_bytes(text, len), &htu) != 0)
		return;
	INVARIANT(htu.path[0] == '/' && htu.host[0] != '\0');
	INVARIANT(strstr(htu.path, "/../") == NULL && strstr(htu.path, "/./") == NULL);
	INVARIANT(strpbrk(htu.path, "?# ") == NULL && strpbrk(htu.host, "/?#@% ") == NULL);
	snprintf(again, sizeof(again), "%s://%s:%u%s", htu.is_https ? "https" : "http", htu.host,
	    (unsigned int)htu.port, htu.path);
	if (strlen(again) > HTU_MAX_BYTES)
		return;
	INVARIANT(htu_parse(view_of(again), &same) == 0);
	INVARIANT(htu_same_origin(&htu, &same) && strcmp(htu.path, same.path) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0 || len > DPOP_PROOF_MAX_BYTES + 16)
		return 0;
	prepare();
	switch (*data++) {
	case 'H':
		sign_and_check(data, len - 1, good_claims, strlen(good_claims));
		break;
	case 'C':
		sign_and_check(HEADER, strlen(HEADER), data, len - 1);
		break;
	case 'U':
		check_url((const char *)data, len - 1);
		break;
	default:
		check((const char *)data, len - 1);
		break;
	}
	return 0;
}
