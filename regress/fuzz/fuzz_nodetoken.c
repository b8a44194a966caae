/* SPDX-License-Identifier: MIT */
/*
 * Node tokens under libFuzzer. The first byte says what the rest is: a token as it comes; or claims,
 * that get a header and a right signature, so that the code behind the signature is reached.
 */
#include "common/nodetoken.h"

#include <jansson.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "common/b64url.h"
#include "common/err.h"
#include "common/json.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

#define NOW UINT64_C(1750000000)
#define ASK_HEADER "{\"alg\":\"ES256\",\"typ\":\"fog-node-ask+jwt\"}"
#define STATUS_HEADER "{\"alg\":\"ES256\",\"typ\":\"fog-node-status+jwt\"}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Of no use anywhere else. */
static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
			  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrkVIb+zhJ56pyhsl\n"
			  "Scow5y74f7v/TNJ3upBebrTskuehRANCAAQUiPXjuza4gakxS/JbE7Y0Z3v99cr3\n"
			  "c/B4pgjBDfVk+wZPI0iZG4ukuTgoYj9kWe1Za6YpP0dHh5E7N3xWllSv\n"
			  "-----END PRIVATE KEY-----\n";

static EVP_PKEY *pkey;
static struct nodetoken_key *key;
static struct nodetoken_pin *pin;

static void
prepare(void)
{
	unsigned char point[NODETOKEN_KEY_BYTES];
	const char *why;
	BIO *bio;

	if (pin)
		return;
	INVARIANT(json_init() == 0 && nodetoken_load());
	bio = BIO_new_mem_buf(pem, sizeof(pem) - 1);
	pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	key = nodetoken_key_new(pem, sizeof(pem) - 1, &why);
	INVARIANT(pkey && key);
	nodetoken_key_public(key, point);
	pin = nodetoken_pin_new(point);
	INVARIANT(pin);
}

static void
check_taken(const struct nodetoken *t, enum nodetoken_kind kind)
{
	char token[NODETOKEN_MAX_BYTES + 1], issuer[65];

	INVARIANT(t->kind == kind && (t->status != NULL) == (kind == NODETOKEN_STATUS));
	INVARIANT(!t->suspects || (kind == NODETOKEN_ASK && json_is_array(t->suspects)));
	INVARIANT(t->issuer[0] && strcmp(t->audience, "fog-2") == 0);
	INVARIANT(text_is_clean(view_of(t->issuer)));
	INVARIANT(t->expires_s > t->issued_s && t->expires_s - t->issued_s <= NODETOKEN_LIFE_S);
	INVARIANT(t->expires_s + NODETOKEN_SKEW_S > NOW && t->issued_s <= NOW + NODETOKEN_SKEW_S);
	/* What was read can be said again, unless escapes have made it shorter than it is. */
	if (nodetoken_make(key, t, token, sizeof(token)) == 0) {
		INVARIANT(nodetoken_peek_issuer(view_of(token), issuer) == 0);
		INVARIANT(strcmp(issuer, t->issuer) == 0);
	}
}

static bool
verify(const char *token, size_t len, enum nodetoken_kind kind)
{
	const char *why = NULL;
	struct nodetoken t;
	int rc = nodetoken_verify(pin, kind, view_bytes(token, len), "fog-2", NOW, &t, &why);

	if (rc != 0) {
		INVARIANT(rc == -FOG_E_NODE_TOKEN && why && *why);
		return false;
	}
	INVARIANT(!why);
	check_taken(&t, kind);
	nodetoken_fini(&t);
	return true;
}

/* One token is never both: the headers differ. */
static void
verify_both(const char *token, size_t len)
{
	char issuer[65];
	bool is_readable = nodetoken_peek_issuer(view_bytes(token, len), issuer) == 0;
	bool is_ask = verify(token, len, NODETOKEN_ASK);
	bool is_status = verify(token, len, NODETOKEN_STATUS);

	INVARIANT(!(is_ask && is_status));
	INVARIANT(is_readable || (!is_ask && !is_status));
	INVARIANT(!is_readable || (issuer[0] && strlen(issuer) <= 64));
}

static void
put_signature(char *token, size_t size)
{
	unsigned char der[80], raw[64];
	const unsigned char *at = der;
	size_t der_len = sizeof(der), len = strlen(token);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ECDSA_SIG *sig;

	INVARIANT(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1);
	INVARIANT(EVP_DigestSign(ctx, der, &der_len, (unsigned char *)token, len) == 1);
	sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
	INVARIANT(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32);
	INVARIANT(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
	token[len++] = '.';
	INVARIANT(b64url_encode(raw, sizeof(raw), token + len, size - len) == 0);
}

static void
sign_and_verify(const char *header, const void *claims, size_t claims_len)
{
	static char token[3 * NODETOKEN_MAX_BYTES];
	size_t len;

	INVARIANT(b64url_encode(header, strlen(header), token, sizeof(token)) == 0);
	len = strlen(token);
	token[len++] = '.';
	INVARIANT(b64url_encode(claims, claims_len, token + len, sizeof(token) - len) == 0);
	put_signature(token, sizeof(token));
	verify_both(token, strlen(token));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0 || len > NODETOKEN_MAX_BYTES + 16)
		return 0;
	prepare();
	switch (*data++) {
	case 'A':
		sign_and_verify(ASK_HEADER, data, len - 1);
		break;
	case 'S':
		sign_and_verify(STATUS_HEADER, data, len - 1);
		break;
	default:
		verify_both((const char *)data, len - 1);
		break;
	}
	return 0;
}
